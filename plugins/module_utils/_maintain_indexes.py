# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Indexes as the catalog has them: which are invalid, bloated, unused, the same as others, or missing on foreign keys. Pure but for the queries."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain import readable
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_session import Session, escaped
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

PAGE_OVERHEAD = 40  # header and special space of a page of a B-tree
TUPLE_OVERHEAD = 12  # line pointer and header of an index tuple
ALIGNMENT = 8
FILL = 90
LEAST_KEY_ROWS = 10_000  # a table below that is read as fast as its index

# What REINDEX CONCURRENTLY that was cut short leaves: a copy that is not finished, or the former one that is not gone.
_LEFT_OVER = re.compile(r"(?P<name>.+)_cc(?:new|old)\d*")

_INDEXES = """
WITH
  widths AS MATERIALIZED (SELECT schemaname, tablename, attname, avg_width FROM pg_stats WHERE NOT inherited),
  parts AS (
    SELECT x.indexrelid, a.attlen, n.nspname, CASE WHEN b.attname IS NULL THEN i.relname ELSE t.relname END AS relation,
      coalesce(b.attname, a.attname) AS attname
    FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_namespace AS n ON n.oid = i.relnamespace JOIN pg_attribute AS a ON a.attrelid = i.oid AND a.attnum > 0
    LEFT JOIN pg_attribute AS b ON b.attrelid = t.oid AND b.attnum = x.indkey[a.attnum - 1] AND b.attnum > 0
  ),
  keys AS (
    SELECT p.indexrelid, sum(CASE WHEN p.attlen > 0 THEN p.attlen ELSE w.avg_width END)::float8 AS width,
      bool_and(p.attlen > 0 OR w.avg_width IS NOT NULL) AS known
    FROM parts AS p LEFT JOIN widths AS w ON w.schemaname = p.nspname AND w.tablename = p.relation AND w.attname = p.attname GROUP BY 1
  )
SELECT i.oid::int8, n.nspname::text, i.relname::text, t.relname::text, t.oid::int8, m.amname::text, x.indisvalid AND x.indisready, x.indisunique,
  EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x')), x.indisexclusion, x.indisreplident,
  EXISTS (SELECT FROM pg_stat_progress_create_index AS b WHERE b.index_relid = i.oid AND b.datname = current_database()),
  i.relpages::int8 * current_setting('block_size')::int8, greatest(i.reltuples, 0)::float8, coalesce(s.idx_scan, 0)::int8,
  string_to_array(x.indkey::text, ' ')::int[], x.indnkeyatts::int,
  concat_ws('/', x.indclass::text, x.indcollation::text, x.indoption::text), pg_get_expr(x.indexprs, x.indrelid), pg_get_expr(x.indpred, x.indrelid),
  coalesce((SELECT option_value::int FROM pg_options_to_table(i.reloptions) WHERE option_name = 'fillfactor'), 90),
  current_setting('block_size')::int, keys.width, keys.known
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = i.relnamespace JOIN pg_am AS m ON m.oid = i.relam
LEFT JOIN keys ON keys.indexrelid = i.oid LEFT JOIN pg_stat_all_indexes AS s ON s.indexrelid = i.oid
WHERE i.relkind = 'i' AND i.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY 2, 3
"""
_KEYS = """
SELECT k.conname::text, k.conrelid::int8, n.nspname::text, c.relname::text, k.confrelid::regclass::text, k.conkey::int[],
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
  greatest(c.reltuples, 0)::float8, c.relpages::int8 * current_setting('block_size')::int8
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND c.relkind = 'r' ORDER BY 3, 4, 1
"""
# The function of the extension only: whoever may create functions may have made one of that name.
_PGSTATTUPLE = """
SELECT n.nspname::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pgstattuple'
WHERE p.proname = 'pgstatindex' AND p.proargtypes = '2205'::oidvector
"""


@dataclass(frozen=True)
class Index:
    """An index. columns: attribute numbers of its table, 0 for an expression; key_width: bytes, None where it is not known."""

    oid: int
    schema: str
    name: str
    table: str
    table_oid: int
    method: str
    valid: bool
    unique: bool
    constraint: bool
    exclusion: bool
    identity: bool
    building: bool
    size: int
    rows: float
    scans: int
    columns: tuple[int, ...]
    keys: int
    classes: str
    expressions: str | None
    predicate: str | None
    fill: int = FILL
    page: int = 8192
    key_width: float | None = None
    width_known: bool | None = None

    def __str__(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def sql(self) -> str:
        """The name as SQL text."""
        return f"{identifier(self.schema)}.{identifier(self.name)}"

    @property
    def of(self) -> str:
        """The table's name for people."""
        return qualified(self.schema, self.table)


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of a table."""

    name: str
    table_oid: int
    schema: str
    table: str
    references: str
    columns: tuple[int, ...]
    names: tuple[str, ...]
    rows: float
    size: int


def read(held: Session) -> list[Index]:
    """Return the indexes of all tables of users."""
    return [Index(*_fields(row)) for row in held.rows(_INDEXES)]


def read_keys(held: Session) -> list[ForeignKey]:
    """Return the foreign keys of all tables."""
    return [ForeignKey(*_fields(row)) for row in held.rows(_KEYS)]


def _fields(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


def least_size(index: Index) -> int | None:
    """Return how many bytes a B-tree takes that was just built, at most; None where nobody knows.

    Equal keys share a tuple since PostgreSQL 13, which this leaves out: it never makes an index out to be more bloated than it is.
    """
    if index.method != "btree" or index.key_width is None or not index.width_known:
        return None
    width = TUPLE_OVERHEAD + math.ceil(index.key_width / ALIGNMENT) * ALIGNMENT
    per_page = max(1, math.floor((index.page - PAGE_OVERHEAD) * index.fill / 100 / width))
    leaves = math.ceil(index.rows / per_page)
    inner, level = 0, leaves
    while level > 1:
        level = math.ceil(level / max(2, per_page))
        inner += level
    return (1 + max(1, leaves) + inner) * index.page


def bloat_percent(index: Index) -> float | None:
    """Return which part of an index is more than it needs, in percent, as estimated; None where nobody knows."""
    least = least_size(index)
    if least is None or not index.size:
        return None
    return round(max(0.0, 100.0 * (index.size - least) / index.size), 1)


def used_percent(density: float, pages: int, index: Index) -> float:
    """Return the density of an index with its empty pages counted; it has none (NaN) where everything is empty."""
    return 0.0 if math.isnan(density) else min(density, density * pages * index.page / max(1, index.size))


def density_percent(density: float, fill: int) -> float:
    """Return the same from the density of its leaves as pgstatindex has measured it."""
    return round(max(0.0, 100.0 * (1.0 - density / fill)), 1)


def measure(held: Session, indexes: Iterable[Index], least_bytes: float) -> dict[int, tuple[float, str]]:
    """Return the bloat of B-trees of at least so many bytes, by oid, with how it is known."""
    schema, found = held.one(_PGSTATTUPLE), {}
    for index in indexes:
        if index.method != "btree" or not index.valid or index.size < least_bytes:
            continue
        if schema:
            query = f"SELECT avg_leaf_density, leaf_pages FROM {escaped(schema)}.pgstatindex(%(oid)s::oid::regclass)"  # noqa: S608  # quoted
            density, pages = held.rows(query, {"oid": index.oid})[0]
            found[index.oid] = (density_percent(used_percent(float(density), pages, index), index.fill), "measured")
            continue
        percent = bloat_percent(index)
        if percent is not None:
            found[index.oid] = (percent, "estimated")
    return found


def left_over(index: Index, indexes: Iterable[Index]) -> bool:
    """Tell whether an invalid index is what a REINDEX CONCURRENTLY has left, beside the one that it was to replace."""
    match = _LEFT_OVER.fullmatch(index.name)
    if index.valid or not match:
        return False
    # A copy may lie beside an original that is invalid as well; a former one lies beside what took its place.
    copy = "_ccnew" in index.name[len(match["name"]) :]
    return any(
        (other.valid or (copy and not _LEFT_OVER.fullmatch(other.name))) and other.table_oid == index.table_oid and other.name.startswith(match["name"][:50])
        and other.columns == index.columns and other.oid != index.oid
        for other in indexes
    )  # fmt: skip


def unused(indexes: Iterable[Index], least_bytes: float) -> list[Index]:
    """Return the indexes that no query has used, and that keep no promise: not unique, no constraint, no identity."""
    return [
        index
        for index in indexes
        if not index.scans and index.valid and index.size >= least_bytes
        and not (index.unique or index.constraint or index.exclusion or index.identity)
    ]  # fmt: skip


def duplicates(indexes: Sequence[Index]) -> list[tuple[Index, Index, str]]:
    """Return pairs of (superfluous, kept, why): the same index twice, or one whose columns another begins with."""
    found = []
    for index in indexes:
        kept = next((other for other in indexes if _same(index, other) and _better(other, index)), None)
        if kept:
            found.append((index, kept, "the same"))
            continue
        longer = next((other for other in indexes if _begins(index, other)), None)
        if longer:
            found.append((index, longer, "its columns begin those of the other"))
    return found


def _signature(index: Index) -> tuple[Any, ...]:
    return (index.table_oid, index.method, index.columns, index.keys, index.classes, index.expressions, index.predicate)


def _same(index: Index, other: Index) -> bool:
    return index.oid != other.oid and index.valid and other.valid and _signature(index) == _signature(other)


def _better(kept: Index, other: Index) -> bool:
    """Tell which of two that are the same stays: what keeps a promise, then what is used, then the older one."""

    def order(index: Index) -> tuple[bool, bool, bool, int, int]:
        return (not index.constraint, not index.unique, not index.identity, -index.scans, index.oid)

    return order(kept) < order(other) and not (other.constraint or other.identity)


def _begins(index: Index, other: Index) -> bool:
    if index.unique or index.constraint or index.identity or not (index.valid and other.valid):
        return False
    same = (index.table_oid, index.method, index.predicate) == (other.table_oid, other.method, other.predicate)
    if not same or index.method != "btree" or index.expressions or len(index.columns) != index.keys:
        return False
    if index.keys >= other.keys or other.columns[: index.keys] != index.columns:
        return False
    mine, its = ([part.split() for part in one.classes.split("/")] for one in (index, other))
    return all(short == long[: len(short)] for short, long in zip(mine, its, strict=True))


def without_index(keys: Iterable[ForeignKey], indexes: Sequence[Index]) -> list[ForeignKey]:
    """Return the keys whose columns no index begins with, in whatever order: a row that goes from the other table reads all of this one."""
    return [
        key
        for key in keys
        if not any(
            index.table_oid == key.table_oid and index.valid and index.predicate is None and index.method in ("btree", "hash")
            and set(index.columns[: len(key.columns)]) == set(key.columns) and index.keys >= len(key.columns)
            for index in indexes
        )
    ]  # fmt: skip


def review(
    indexes: Sequence[Index], keys: Iterable[ForeignKey], thresholds: Mapping[str, float], days: float
) -> dict[str, Any]:
    """Return what a review of indexes finds. days: since when the server counts their use."""
    least = thresholds["index_mb"] * (1 << 20)
    told = days >= thresholds["unused_days"]
    idle = unused(indexes, least) if told else []
    double = duplicates(indexes)
    superfluous = {index.oid for index, _kept, _why in double}
    missing = without_index(keys, indexes)
    broken = [index for index in indexes if not index.valid and not index.building]
    findings = [
        *(
            f"{index} of {index.of} is invalid: it costs writes and serves no query; the task reindex settles it"
            for index in broken
        ),
        *(f"{index} ({readable(index.size)}) is superfluous beside {kept}: {why}" for index, kept, why in double),
        *(
            f"{index} ({readable(index.size)}) was not used in {days:.0f} days; standbys count their own use"
            for index in idle
            if index.oid not in superfluous
        ),
        *(
            f"{qualified(key.schema, key.table)} has no index on {', '.join(key.names)} for {key.name}: a row that goes from {key.references}"
            f" reads its {key.rows:,.0f} rows"
            for key in missing
            if key.rows >= LEAST_KEY_ROWS
        ),
    ]
    return {
        "unused": [_entry(index, f"DROP INDEX CONCURRENTLY {index}") for index in idle],
        "unused_known": told,
        "duplicate": [
            {**_entry(index, f"DROP INDEX CONCURRENTLY {index}"), "beside": str(kept), "why": why} for index, kept, why in double
        ],
        "missing": [
            {
                "key": key.name,
                "table": qualified(key.schema, key.table),
                "columns": list(key.names),
                "rows": int(key.rows),
                "statement": f"CREATE INDEX CONCURRENTLY ON {qualified(key.schema, key.table)} ({', '.join(map(identifier, key.names))})",
            }
            for key in missing
        ],
        "invalid": [_entry(index, f"REINDEX INDEX CONCURRENTLY {index}") for index in broken],
        "days": round(days, 1),
        "findings": findings,
    }  # fmt: skip


def _entry(index: Index, statement: str) -> dict[str, Any]:
    return {"index": str(index), "table": index.of, "bytes": index.size, "scans": index.scans, "statement": statement}
