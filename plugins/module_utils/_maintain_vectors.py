# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Indexes of pgvector: whether their parameters fit the rows, whether a build fits its memory, and how much a search by them finds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgvector
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain import readable
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_reindex import build_memory
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_session import Session, escaped
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

IVFFLAT, HNSW = "ivfflat", "hnsw"
LISTS, LINKS = 100, 16  # what an index has that does not say
NEIGHBOURS = 10
SAMPLE = 20
LARGE_ROWS, LARGE_SAMPLE = 1_000_000, 5  # an exact search reads everything
SEARCH_TIMEOUT = "120s"
ITERATIVE_SINCE = (0, 8)

# Class of operators -> the operator that a search sorts by.
_OPERATORS = {"l2": "<->", "cosine": "<=>", "ip": "<#>", "l1": "<+>", "hamming": "<~>", "jaccard": "<%>"}

_EXTENSION = """
SELECT x.extversion::text, n.nspname::text FROM pg_extension AS x JOIN pg_namespace AS n ON n.oid = x.extnamespace WHERE x.extname = 'vector'
"""
_INDEXES = """
SELECT n.nspname::text, i.relname::text, t.relname::text, m.amname::text, x.indisvalid, pg_relation_size(i.oid)::int8,
  greatest(t.reltuples, 0)::float8, a.atttypmod::int, o.opcname::text,
  CASE WHEN x.indkey[0] <> 0 THEN (SELECT attname::text FROM pg_attribute WHERE attrelid = t.oid AND attnum = x.indkey[0]) END,
  x.indpred IS NOT NULL, coalesce((SELECT json_object_agg(option_name, option_value) FROM pg_options_to_table(i.reloptions)), '{}'), i.oid::int8
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = i.relnamespace JOIN pg_am AS m ON m.oid = i.relam
JOIN pg_attribute AS a ON a.attrelid = i.oid AND a.attnum = 1 JOIN pg_opclass AS o ON o.oid = x.indclass[0]
WHERE i.relkind = 'i' AND m.amname IN ('ivfflat', 'hnsw') ORDER BY 1, 2
"""
_SETTINGS = """
SELECT pg_size_bytes(current_setting('maintenance_work_mem')), current_setting('ivfflat.probes', true), current_setting('hnsw.ef_search', true),
  current_setting('hnsw.iterative_scan', true), current_setting('ivfflat.iterative_scan', true)
"""


@dataclass(frozen=True)
class VectorIndex:
    """An index of pgvector. column is None where it is on an expression; dimensions: -1 where its type does not say them."""

    schema: str
    name: str
    table: str
    method: str
    valid: bool
    size: int
    rows: float
    dimensions: int
    opclass: str
    column: str | None
    partial: bool
    options: Mapping[str, str]
    oid: int

    def __str__(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def lists(self) -> int:
        """How many lists an IVFFlat index has."""
        return int(self.options.get("lists", LISTS))

    @property
    def links(self) -> int:
        """How many links a node of an HNSW index has, its m."""
        return int(self.options.get("m", LINKS))

    @property
    def operator(self) -> str | None:
        """The operator that searches by this index sort by."""
        return next((sign for name, sign in _OPERATORS.items() if f"_{name}_" in self.opclass), None)


@dataclass(frozen=True)
class Settings:
    """Those of the session, None where this version of the extension does not know one."""

    memory: int
    probes: str | None
    search: str | None
    hnsw_iterative: str | None
    ivfflat_iterative: str | None


def wanted_lists(rows: float) -> int:
    """Return how many lists fit so many rows: a thousandth up to a million rows, the root above (pgvector's own advice)."""
    return max(1, round(rows / 1000 if rows <= LARGE_ROWS else math.sqrt(rows)))


def wanted_probes(lists: int) -> int:
    """Return how many lists a search looks into."""
    return max(1, round(math.sqrt(lists)))


def index_findings(index: VectorIndex, settings: Settings) -> list[str]:
    """Return what is wrong with an index as it is."""
    found = []
    if not index.valid:
        found.append(f"{index} is invalid: no search uses it; the task reindex builds it again")
    if index.method == IVFFLAT:
        wanted = wanted_lists(index.rows)
        if not index.lists / 2 <= wanted <= index.lists * 2 and index.rows >= LARGE_ROWS / 100:
            found.append(
                f"{index} has {index.lists} lists for {index.rows:,.0f} rows, where {wanted} fit: make another one with lists = {wanted}, then drop this"
            )
    else:
        needed = build_memory(index.rows, index.dimensions, index.links)
        if needed > settings.memory:
            found.append(
                f"{index} takes {readable(needed)} to build, and maintenance_work_mem is {readable(settings.memory)}: a build by hand wants more;"
                " the task reindex takes what the host has free"
            )
    return found


def extension_findings(version: str, settings: Settings, methods: Sequence[str]) -> list[str]:
    """Return what is wrong with the extension and the settings of searches."""
    found = [
        f"pgvector {version}: {gate.fault}: {gate.remedy}" for gate in _pgvector.open_gates(version) if HNSW in methods
    ]
    if _pgvector.number(version)[:2] < ITERATIVE_SINCE:
        found.append(
            f"pgvector {version} has no iterative scan: a search with a filter may find fewer rows than there are"
        )
    else:
        for method, value in ((HNSW, settings.hnsw_iterative), (IVFFLAT, settings.ivfflat_iterative)):
            if method in methods and value == "off":
                best = "strict_order" if method == HNSW else "relaxed_order"
                found.append(
                    f"{method}.iterative_scan is off: a search with a filter may find fewer rows than there are; set it to {best} for the application"
                )
    return found


def recall_finding(index: VectorIndex, recall: float, threshold: float, settings: Settings) -> str | None:
    """Return what to do about a search that finds too little."""
    if recall >= threshold:
        return None
    said = f"a search by {index} finds {recall:.0%} of the {NEIGHBOURS} nearest"
    if index.method == IVFFLAT:
        return f"{said} with ivfflat.probes = {settings.probes}: set {wanted_probes(index.lists)}, or build it again, if most rows came later"
    return f"{said} with hnsw.ef_search = {settings.search}: raise it, or build the index again"


def overlap(found: Sequence[float], exact: Sequence[float]) -> float:
    """Return which part of the nearest neighbours was found: by their distances, as neighbours of the same distance are as good."""
    if not exact:
        return 1.0
    limit = exact[-1] + 1e-9 * max(1.0, abs(exact[-1]))
    return min(1.0, sum(distance <= limit for distance in found) / len(exact))


def search(index: VectorIndex, extension: str) -> str:
    """Return a search for the neighbours of a row's own vector, by its distance. Only the extension's operator is taken."""
    table, column = f"{escaped(index.schema)}.{escaped(index.table)}", escaped(index.column or "")
    distance = f"{column} OPERATOR({escaped(extension)}.{index.operator}) %(vector)s::{{type}}"
    return f"SELECT ({distance})::float8 FROM {table} ORDER BY {distance} LIMIT {NEIGHBOURS}"  # noqa: S608  # quoted


def run(held: Session, thresholds: Mapping[str, float], sample: int | None = None) -> dict[str, Any]:
    """Look at all indexes of pgvector; return the result of the module. Nothing is changed."""
    extension = held.rows(_EXTENSION)
    if not extension:
        return {"changed": False, "vectors": [], "findings": [], "version": None, "summary": "no pgvector"}
    version, schema = extension[0]
    held.limit("2s", SEARCH_TIMEOUT)
    if held.superuser:
        held.rows("LOAD 'vector'")  # its settings are known from then on
    settings = Settings(*held.rows(_SETTINGS)[0])
    indexes = [VectorIndex(*row) for row in held.rows(_INDEXES)]
    findings = extension_findings(version, settings, [index.method for index in indexes]) if indexes else []
    told = []
    for index in indexes:
        recall, note = _recall(held, index, schema, sample)
        findings += index_findings(index, settings)
        low = recall_finding(index, recall, thresholds["recall"], settings) if recall is not None else None
        findings += [low] if low else []
        told.append(
            {
                "index": str(index),
                "table": qualified(index.schema, index.table),
                "method": index.method,
                "rows": int(index.rows),
                "dimensions": index.dimensions,
                "lists": index.lists if index.method == IVFFLAT else None,
                "wanted_lists": wanted_lists(index.rows) if index.method == IVFFLAT else None,
                "build_bytes": build_memory(index.rows, index.dimensions, index.links)
                if index.method == HNSW
                else None,
                "recall": recall,
                "note": note,
            }
        )
    return {
        "changed": False, "vectors": told, "findings": findings, "version": version, "summary": f"{len(told)} indexes of pgvector {version}",
    }  # fmt: skip


def _recall(held: Session, index: VectorIndex, extension: str, sample: int | None) -> tuple[float | None, str | None]:
    """Return which part of the nearest neighbours a search by the index finds, and why not."""
    import psycopg

    why = unsearchable(index)
    if why:
        return None, why
    count = sample or (SAMPLE if index.rows <= LARGE_ROWS else LARGE_SAMPLE)
    table, column = f"{identifier(index.schema)}.{identifier(index.table)}", identifier(index.column or "")
    share = min(100.0, max(0.001, 100.0 * count * 50 / max(1.0, index.rows)))
    try:
        type_ = held.one(
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(t.typname) FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid"
            " JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE a.attrelid = %(oid)s::oid AND a.attnum = 1",
            {"oid": index.oid},
        )
        picked = f"SELECT {column}::text FROM {table} TABLESAMPLE BERNOULLI ({share}) REPEATABLE (1) WHERE {column} IS NOT NULL LIMIT {count}"  # noqa: S608  # quoted
        query = search(index, extension).replace("{type}", type_)
        parts = []
        for (vector,) in held.rows(picked):
            found, exact = (_searched(held, query, vector, by_index) for by_index in (True, False))
            parts.append(overlap(found, exact))
    except psycopg.Error as error:
        return None, held.why(error)
    return (round(sum(parts) / len(parts), 3), None) if parts else (None, "no rows")


def unsearchable(index: VectorIndex) -> str | None:
    """Return why searches by an index are not tried."""
    if not index.valid:
        return "invalid"
    if index.column is None:
        return "on an expression, which is not ours to run"
    if index.partial:
        return "with a predicate, which is not ours to run"
    return None if index.operator else f"of the operator class {index.opclass}, which is not known here"


def _searched(held: Session, query: str, vector: str, by_index: bool) -> list[float]:
    held.rows("BEGIN READ ONLY")
    try:
        for name in (
            ("enable_seqscan", "enable_sort")
            if by_index
            else ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")
        ):
            held.rows(f"SET LOCAL {name} = off")
        return [row[0] for row in held.rows(query, {"vector": vector})]
    finally:
        held.rows("ROLLBACK")
