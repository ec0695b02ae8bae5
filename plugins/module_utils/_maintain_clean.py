# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clean-up: rows that are older than an interval go, in small batches that leave the server to the others.

With an index on the column each batch is the next range of it, so that no batch reads what an earlier one has left dead. Without one it is the
next range of pages: one read of the table, in as small steps. Rows that somebody has locked are passed over and looked at again at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain import Job, readable
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_session import Session, escaped, patiently
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

TYPES = ("timestamp with time zone", "timestamp without time zone", "date")
BATCH_SECONDS = 0.2  # a batch that takes longer is followed by a smaller one
LEAST_BATCH = 50
SMALL_PAGES = 1280  # 10 MB are read sooner than an index is worth it
STEP_PAGES = 128
PASSES = 3
STATEMENT_TIMEOUT = "60s"

_TABLE = """
SELECT c.oid::int8, c.relkind::text, coalesce(format_type(a.atttypid, NULL), ''), greatest(c.reltuples, 0)::float8,
  ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum),
  EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D')
    OR EXISTS (SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid),
  has_table_privilege(c.oid, 'DELETE') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = %(column)s AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = %(schema)s AND c.relname = %(table)s
"""
_LEAVES = """
SELECT n.nspname::text, c.relname::text, pg_relation_size(c.oid)::int8, pg_relation_size(c.oid) / current_setting('block_size')::int8,
  EXISTS (
    SELECT FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_am AS m ON m.oid = x.relam
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree' AND a.attname = %(column)s
  )
FROM (SELECT %(oid)s::oid AS relid UNION SELECT relid::oid FROM pg_partition_tree(%(oid)s::oid::regclass) WHERE isleaf) AS p
JOIN pg_class AS c ON c.oid = p.relid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' ORDER BY 1, 2
"""
_REFERRERS = """
SELECT k.conname::text, k.conrelid::regclass::text, k.confdeltype::text, greatest(c.reltuples, 0)::float8,
  EXISTS (
    SELECT FROM pg_index AS i WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
    AND (string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality(k.conkey)] @> k.conkey
  )
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND k.confrelid = %(oid)s::oid AND k.conparentid = 0
"""
_DELETES = {"c": "deletes them as well", "n": "empties their columns", "d": "changes their columns"}


@dataclass(frozen=True)
class Leaf:
    """A table that holds rows, a partition or the whole. pages: of 8 kB, mostly."""

    schema: str
    name: str
    size: int
    pages: int
    keyed: bool

    @property
    def sql(self) -> str:
        """The name as SQL text, in a statement with parameters."""
        return f"{escaped(self.schema)}.{escaped(self.name)}"


@dataclass
class Cleaning:
    """A job on its way."""

    job: Job
    type: str
    cutoff: str
    leaves: tuple[Leaf, ...]
    warnings: list[str] = field(default_factory=list)
    expired: int = 0
    deleted: int = 0
    batches: int = 0
    left: int = 0
    seconds: float = 0.0
    slowest: float = 0.0

    def as_return(self) -> dict[str, Any]:
        """Return what became of it as the module says it."""
        return {
            "name": self.job.name,
            "table": qualified(self.job.schema, self.job.table),
            "column": self.job.column,
            "cutoff": self.cutoff,
            "expired": self.expired,
            "deleted_count": self.deleted,
            "left_count": self.left,
            "batches": self.batches,
            "seconds": round(self.seconds, 3),
            "slowest_batch": round(self.slowest, 3),
            "warnings": self.warnings,
        }


def keyed_statement(leaf: Leaf, column: str, type_: str) -> str:
    """Return the statement that deletes the next batch in the order of an index: how many went, and the last value among them."""
    name = escaped(column)
    return (
        f"WITH gone AS (DELETE FROM ONLY {leaf.sql} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY {leaf.sql}"  # noqa: S608  # quoted
        f" WHERE {name} >= %(low)s::{type_} AND {name} < %(cutoff)s::{type_} ORDER BY {name} LIMIT %(batch)s FOR UPDATE SKIP LOCKED))"
        f" AND {name} < %(cutoff)s::{type_} RETURNING {name} AS at) SELECT count(*), max(at)::text FROM gone"
    )


def paged_statement(leaf: Leaf, column: str, type_: str) -> str:
    """Return the statement that deletes what is old within a range of pages, one batch of it: how many went."""
    name = escaped(column)
    return (
        f"WITH gone AS (DELETE FROM ONLY {leaf.sql} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY {leaf.sql}"  # noqa: S608  # quoted
        f" WHERE ctid >= %(first)s::tid AND ctid < %(last)s::tid AND {name} < %(cutoff)s::{type_} LIMIT %(batch)s FOR UPDATE SKIP LOCKED))"
        f" AND {name} < %(cutoff)s::{type_} RETURNING 1) SELECT count(*) FROM gone"
    )


def next_batch(batch: int, seconds: float, most: int) -> int:
    """Return how many rows come next, after a batch that took so long: half as many, a quarter more, or the same."""
    if seconds > BATCH_SECONDS:
        return max(min(LEAST_BATCH, most), batch // 2)
    return min(most, batch + max(1, batch // 4)) if seconds < BATCH_SECONDS / 2 else batch


def rest(seconds: float, pause: float) -> float:
    """Return how long to pause after a batch: never less than the batch itself took, so that half of the time is the others'."""
    return max(pause, seconds)


def refusal(job: Job, leaves: Sequence[Leaf], type_: str, rows: float) -> str | None:
    """Return why a job may not run as it is, None where it may."""
    table = qualified(job.schema, job.table)
    if type_ not in TYPES:
        return f"{job}: the column is of type {type_}: older_than wants a date or a timestamp"
    if unkeyed(leaves) and not job.without_index:
        return (
            f"{job} has no index: every run would read all of {table}, {cost(leaves, rows)}; CREATE INDEX CONCURRENTLY ON {table}"
            f" ({identifier(job.column)}), or accept the cost by without_index: true"
        )
    return None


def unkeyed(leaves: Sequence[Leaf]) -> list[Leaf]:
    """Return the tables that lack an index and are too large to be read each time."""
    return [leaf for leaf in leaves if not leaf.keyed and leaf.pages > SMALL_PAGES]


def cost(leaves: Sequence[Leaf], rows: float) -> str:
    """Return in words what a run without an index reads."""
    return f"{readable(sum(leaf.size for leaf in unkeyed(leaves)))}, about {rows:,.0f} rows"


def referrer_warnings(job: Job, referrers: Sequence[Sequence[Any]]) -> list[str]:
    """Return what keys of other tables make of a deletion: (name, table, confdeltype, rows, indexed) each."""
    found = []
    for name, table, action, rows, indexed in referrers:
        if action in _DELETES:
            found.append(f"{job.name}: rows of {table} refer to these by {name}, which {_DELETES[action]}")
        if not indexed and rows > 1000:
            found.append(
                f"{job.name}: {table} has no index on the columns of {name}: each row that is deleted reads its {rows:,.0f} rows"
            )
    return found


def prepare(held: Session, job: Job) -> Cleaning:
    """Return a job that is ready to run. Raises StewardError when it cannot be right, with nothing changed."""
    table = qualified(job.schema, job.table)
    names = {"schema": job.schema, "table": job.table, "column": job.column}
    rows = held.rows(_TABLE, names)
    if not rows:
        raise StewardError(f"{job.name}: there is no table {table} in {held.database}")
    oid, kind, type_, live, columns, watched, allowed = rows[0]
    if kind not in ("r", "p"):
        raise StewardError(f"{job.name}: {table} is no table that rows can be deleted from")
    if not type_:
        raise StewardError(f"{job.name}: {table} has no column {job.column}: it has {', '.join(columns)}")
    if not allowed:
        raise StewardError(
            f"{job.name}: {held.place.user or 'the account'} has no right to remove rows from {table}: give user an account that owns it"
        )
    if held.superuser and watched:
        raise StewardError(
            f"{job.name}: {table} has triggers or rules, which would run as a superuser: give user the account that owns the table"
        )
    leaves = tuple(Leaf(*row) for row in held.rows(_LEAVES, {"oid": oid, "column": job.column}))
    wrong = refusal(job, leaves, type_, live)
    if wrong:
        raise StewardError(wrong)
    cutoff = held.one(f"SELECT ((clock_timestamp() - %(age)s::interval)::{type_})::text", {"age": job.older_than})
    cleaning = Cleaning(job, type_, cutoff, leaves)
    if unkeyed(leaves):
        cleaning.warnings.append(f"{job}: has no index, so {cost(leaves, live)} are read")
    cleaning.warnings += referrer_warnings(job, held.rows(_REFERRERS, {"oid": oid}))
    return cleaning


def count(held: Session, cleaning: Cleaning) -> int:
    """Return how many rows are old enough."""
    name, total = escaped(cleaning.job.column), 0
    for leaf in cleaning.leaves:
        query = f"SELECT count(*) FROM ONLY {leaf.sql} WHERE {name} < %(cutoff)s::{cleaning.type}"  # noqa: S608  # quoted
        total += int(held.one(query, {"cutoff": cleaning.cutoff}))
    return total


def clean(held: Session, cleaning: Cleaning, sleep: Callable[[float], None] = time.sleep) -> None:
    """Delete what is old. Raises StewardError, with what was done until then in its facts."""
    import psycopg

    begun = time.monotonic()
    held.limit(f"{cleaning.job.lock_timeout}ms", STATEMENT_TIMEOUT)
    try:
        for leaf in cleaning.leaves:
            _clean_leaf(held, cleaning, leaf, sleep)
    except (psycopg.Error, StewardError) as error:
        said = held.why(error) if isinstance(error, psycopg.Error) else str(error)
        cleaning.seconds = time.monotonic() - begun
        raise StewardError(
            f"{cleaning.job.name}: {said}; {cleaning.deleted:,} rows were deleted and stay so",
            jobs=[cleaning.as_return()],
            deleted_count=cleaning.deleted,
        ) from None
    cleaning.seconds = time.monotonic() - begun


def _clean_leaf(held: Session, cleaning: Cleaning, leaf: Leaf, sleep: Callable[[float], None]) -> None:
    passing = _by_key if leaf.keyed else _by_pages
    for number in range(PASSES):
        if number:
            sleep(max(cleaning.job.pause, 0.5))
        passing(held, cleaning, leaf, sleep)
        left = _left(held, cleaning, leaf)
        if not left:
            return
    cleaning.left += left
    cleaning.warnings.append(f"{cleaning.job.name}: rows of {leaf.name} are locked by others: the next run takes them")


def _left(held: Session, cleaning: Cleaning, leaf: Leaf) -> int:
    name = escaped(cleaning.job.column)
    query = f"SELECT count(*) FROM (SELECT FROM ONLY {leaf.sql} WHERE {name} < %(cutoff)s::{cleaning.type} LIMIT 1000) AS old"  # noqa: S608  # quoted
    return int(held.one(query, {"cutoff": cleaning.cutoff}))


def _by_key(held: Session, cleaning: Cleaning, leaf: Leaf, sleep: Callable[[float], None]) -> None:
    statement, batch = keyed_statement(leaf, cleaning.job.column, cleaning.type), cleaning.job.batch
    low = "-infinity"
    while True:
        given = {"low": low, "cutoff": cleaning.cutoff, "batch": batch}
        (gone, last), seconds = _batch(held, cleaning, statement, given)
        if not gone:
            return
        low = last
        sleep(rest(seconds, cleaning.job.pause))
        batch = next_batch(batch, seconds, cleaning.job.batch)


def _by_pages(held: Session, cleaning: Cleaning, leaf: Leaf, sleep: Callable[[float], None]) -> None:
    statement, batch = paged_statement(leaf, cleaning.job.column, cleaning.type), cleaning.job.batch
    for first, last in ranges(leaf.pages):
        given = {"first": f"({first},0)", "last": f"({last},0)", "cutoff": cleaning.cutoff}
        full = True
        while full:
            (gone,), seconds = _batch(held, cleaning, statement, {**given, "batch": batch})
            full = gone == batch
            # Pages without anything old are read at half speed, without further waits.
            sleep(rest(seconds, cleaning.job.pause if gone else 0.0))
            batch = next_batch(batch, seconds, cleaning.job.batch)


def ranges(pages: int, step: int = STEP_PAGES) -> Iterator[tuple[int, int]]:
    """Yield ranges of pages, the first and the one behind the last; rows that come meanwhile are new."""
    for first in range(0, pages, step):
        yield first, min(first + step, pages)


def _batch(
    held: Session, cleaning: Cleaning, statement: str, given: Mapping[str, Any]
) -> tuple[tuple[Any, ...], float]:
    begun = time.monotonic()
    row = patiently(
        lambda: held.rows(statement, given)[0], f"rows of {qualified(cleaning.job.schema, cleaning.job.table)}"
    )
    seconds = time.monotonic() - begun
    cleaning.deleted += row[0]
    cleaning.batches += bool(row[0])
    cleaning.slowest = max(cleaning.slowest, seconds)
    return row, seconds


def run(held: Session, jobs: Sequence[Job], check: bool) -> dict[str, Any]:
    """Do jobs one after the other, all of them looked at first; return the result of the module. Raises StewardError."""
    held.limit("2s", STATEMENT_TIMEOUT)
    prepared = [prepare(held, job) for job in jobs]
    for number, cleaning in enumerate(prepared):
        if check:
            cleaning.expired = count(held, cleaning)
            continue
        try:
            clean(held, cleaning)
        except StewardError as error:
            done = [*prepared[:number], cleaning]
            error.facts = {"jobs": [one.as_return() for one in done], "deleted_count": sum(one.deleted for one in done)}
            raise
        cleaning.expired = cleaning.deleted + cleaning.left
    return {
        "changed": any(one.expired if check else one.deleted for one in prepared),
        "deleted_count": sum(one.deleted for one in prepared),
        "jobs": [one.as_return() for one in prepared],
        "findings": [text for one in prepared for text in one.warnings],
    }
