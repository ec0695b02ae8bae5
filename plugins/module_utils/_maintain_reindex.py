# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""REINDEX CONCURRENTLY of what is invalid or bloated, or of what was named; and what an earlier one has left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain_indexes as indexes_of
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgvector
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain import table_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_indexes import Index
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_session import (
    Session,
    oldest,
    refuse_without_space,
)

BUILD, DROP = "build", "drop"
HNSW = "hnsw"
NO_LONGER_FITS = "no longer fits"  # what the server says of a graph that leaves its memory
MEMORY_SHARE = 4  # a build takes a quarter of the memory that is free, at most

_WORK_MEMORY = "SELECT pg_size_bytes(current_setting('maintenance_work_mem'))"
_SET = "SELECT set_config(%(name)s, %(value)s, false)"
_DIMENSIONS = """
SELECT a.atttypmod::int, greatest(t.reltuples, 0)::float8, coalesce(o.option_value::int, 16)
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
JOIN pg_attribute AS a ON a.attrelid = i.oid AND a.attnum = 1
LEFT JOIN LATERAL (SELECT option_value FROM pg_options_to_table(i.reloptions) WHERE option_name = 'm') AS o ON true
WHERE x.indexrelid = %(oid)s::oid
"""


@dataclass(frozen=True)
class Step:
    """What becomes of an index, and why."""

    index: Index
    verb: str
    reason: str
    bloat: float | None = None

    @property
    def statement(self) -> str:
        """The statement that does it."""
        word = "REINDEX INDEX CONCURRENTLY" if self.verb == BUILD else "DROP INDEX CONCURRENTLY IF EXISTS"
        return f"{word} {self.index.sql}"


def plan(
    indexes: Sequence[Index], bloat: Mapping[int, tuple[float, str]], threshold: float, least_bytes: float
) -> list[Step]:
    """Return what is to be done where nothing was named: leftovers go, the invalid and the bloated are built again, the smallest first."""
    steps = []
    for index in indexes:
        if index.building:
            continue
        if not index.valid:
            gone = indexes_of.left_over(index, indexes)
            steps.append(
                Step(index, DROP if gone else BUILD, "left by a REINDEX that was cut short" if gone else "invalid")
            )
            continue
        percent, how = bloat.get(index.oid, (0.0, ""))
        if percent >= threshold and index.size >= least_bytes:
            steps.append(Step(index, BUILD, f"{percent:.0f} % more than it needs, {how}", percent))
    return sorted(steps, key=lambda step: (step.verb != DROP, step.index.valid, step.index.size))


def by_name(indexes: Sequence[Index], index: str | None, table: str | None, database: str) -> list[Step]:
    """Return the steps for what was named: an index, the indexes of a table, or those of the database. Raises StewardError."""
    wanted = list(indexes)
    if index:
        name = table_of(index, "index")
        wanted = [one for one in indexes if (one.schema, one.name) == name]
        if not wanted:
            raise StewardError(f"there is no index {qualified(*name)} in {database}")
    elif table:
        name = table_of(table, "table")
        wanted = [one for one in indexes if (one.schema, one.table) == name]
        if not wanted:
            raise StewardError(f"there is no table {qualified(*name)} with indexes in {database}")
    steps = []
    for one in wanted:
        gone = indexes_of.left_over(one, indexes)
        steps.append(Step(one, DROP if gone else BUILD, "left by a REINDEX that was cut short" if gone else "named"))
    return steps


def build_memory(rows: float, dimensions: int, links: int) -> int:
    """Return the bytes that the graph of an HNSW index takes while it is built, and a tenth more; links: its m."""
    return int(max(0.0, rows) * (4 * max(1, dimensions) + 250 + 30 * links) * 1.1)


def memory_for(needed: int, set_: int, available: int | None) -> tuple[int, bool]:
    """Return the maintenance_work_mem for a build in bytes, and whether it is enough."""
    most = max(set_, (available or 0) // MEMORY_SHARE)
    return min(max(needed, set_), most), needed <= most


def available_memory(text: str) -> int | None:
    """Return the bytes that /proc/meminfo says are available."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def run(
    held: Session,
    named: Mapping[str, str | None],
    thresholds: Mapping[str, float],
    check: bool,
    say: Callable[[str], None] = lambda _text: None,
) -> dict[str, Any]:
    """Do it; return the result of the module. named: index, table, database, one of them or none. Raises StewardError."""
    found = indexes_of.read(held)
    least = thresholds["index_mb"] * (1 << 20)
    if named.get("database") and named["database"] != held.database:
        raise StewardError(
            f"database is {named['database']!r}, and this is {held.database}: name the one that is meant"
        )
    measured = indexes_of.measure(held, found, 0 if any(named.values()) else least)
    steps = (
        by_name(found, named.get("index"), named.get("table"), held.database)
        if any(named.values())
        else plan(found, measured, thresholds["bloat_percent"], least)
    )
    return apply(held, steps, thresholds, check, say)


def apply(
    held: Session,
    steps: Sequence[Step],
    thresholds: Mapping[str, float],
    check: bool,
    say: Callable[[str], None] = lambda _text: None,
) -> dict[str, Any]:
    """Do steps one after the other; what fails keeps the others from nothing. Raises StewardError when nothing could be done."""
    done: list[dict[str, Any]] = []
    findings = []
    for step in steps:
        entry: dict[str, Any] = {
            "index": str(step.index), "table": step.index.of, "reason": step.reason, "bytes": step.index.size,
            "bloat_percent": step.bloat, "statement": step.statement,
        }  # fmt: skip
        refused = refusal(step)
        if refused:
            entry["error"] = refused
        elif not check:
            say(f"{held.database}: {step.statement}")
            _do(held, step, thresholds["build_minutes"], entry)
        if "error" in entry:
            findings.append(f"{step.index} was left as it was: {entry['error']}")
        findings += entry.get("notes", [])
        done.append(entry)
    good = [one for one in done if "error" not in one]
    if done and not good:
        raise StewardError(f"{held.database}: {findings[0]}", indexes=done)
    return {
        "changed": bool(good),
        "indexes": done,
        "findings": findings,
        "summary": f"{len(good)} of {len(done)} indexes",
    }


def refusal(step: Step) -> str | None:
    """Return why an index cannot be built beside itself."""
    if step.verb == BUILD and step.index.exclusion:
        return "an exclusion constraint cannot be built concurrently: REINDEX INDEX without it locks the table"
    return None


def _do(held: Session, step: Step, minutes: float, entry: dict[str, Any]) -> None:
    """Build or drop an index, and note how it went.

    No limit on locks: only changes of the table itself and vacuum wait behind this one, and a build that is cut short leaves an invalid index.
    """
    import psycopg

    begun = time.monotonic()
    held.limit("0", f"{minutes * 60:.0f}s")
    held.notices.clear()
    try:
        if step.verb == BUILD:
            refuse_without_space(held, step.index.size, step.statement)
            entry["notes"] = _prepare_vectors(held, step.index)
        held.rows(step.statement)
    except StewardError as error:
        entry["error"] = str(error)
    except psycopg.Error as error:
        blocker = oldest(held) if not held.connection.closed else None
        entry["error"] = held.why(error) + (f"; {blocker}" if blocker else "")
        _tidy(held, step.index)
    if any(NO_LONGER_FITS in notice for notice in held.notices):
        entry.setdefault("notes", []).append(
            f"{step.index} left its memory while it was built: raise maintenance_work_mem"
        )
    entry["seconds"] = round(time.monotonic() - begun, 3)
    if "error" not in entry and step.verb == BUILD:
        after = held.one("SELECT pg_relation_size(to_regclass(%(name)s))::int8", {"name": step.index.sql})
        entry["bytes_after"] = after


def _tidy(held: Session, index: Index) -> None:
    """Drop what a build that was cut short has left, where it can be told."""
    if held.connection.closed:
        return
    found = indexes_of.read(held)
    for other in found:
        if other.table_oid == index.table_oid and not other.building and indexes_of.left_over(other, found):
            held.limit("5s", "60s")
            held.rows(f"DROP INDEX CONCURRENTLY IF EXISTS {other.sql}")


def _prepare_vectors(held: Session, index: Index) -> list[str]:
    """Give a build of an HNSW index the memory that it needs, and no parallel workers where its version cannot; return notes."""
    if index.method != HNSW:
        return []
    version = held.one("SELECT extversion FROM pg_extension WHERE extname = 'vector'") or ""
    workers = 0 if _pgvector.PARALLEL_BUILD in _pgvector.open_gates(version) else 2
    held.rows(_SET, {"name": "max_parallel_maintenance_workers", "value": str(workers)})
    dimensions, rows, links = held.rows(_DIMENSIONS, {"oid": index.oid})[0]
    needed = build_memory(rows, dimensions, links)
    value, enough = memory_for(needed, int(held.one(_WORK_MEMORY)), _available(held))
    held.rows(_SET, {"name": "maintenance_work_mem", "value": f"{value // 1024}kB"})
    return (
        []
        if enough
        else [f"{index} takes {needed >> 20} MB to build, and {value >> 20} MB can be had: it will take longer"]
    )


def _available(held: Session) -> int | None:
    if not (held.place.host or "/").startswith("/"):
        return None
    try:
        return available_memory(Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        return None
