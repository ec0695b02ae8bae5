# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reviews: what is slow, what grows, which indexes are too many or too few, and whether clean-up keeps up. They only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _lock_waits
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain_clean as clean
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain_indexes as indexes_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain import Job, readable
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_session import Session, escaped, free_space

SHOWN = 10
SLOW_MS = 1000.0
LEAST_CALLS = 5
SOON_DAYS = 30
STATEMENT_TIMEOUT = "120s"

_STATEMENTS_SCHEMA = """
SELECT n.nspname::text FROM pg_extension AS x JOIN pg_namespace AS n ON n.oid = x.extnamespace WHERE x.extname = 'pg_stat_statements'
"""
_SIZES = """
SELECT n.nspname::text, c.relname::text, (c.relpages + coalesce(t.relpages, 0) + x.pages)::int8 * current_setting('block_size')::int8,
  x.pages::int8 * current_setting('block_size')::int8
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
CROSS JOIN LATERAL (
  SELECT coalesce(sum(i.relpages), 0) AS pages FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid
) AS x
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relpersistence <> 't'
ORDER BY 3 DESC LIMIT 200
"""
_DAYS = """
SELECT extract(epoch FROM clock_timestamp() - coalesce(stats_reset, pg_postmaster_start_time()))::float8 / 86400
FROM pg_stat_database WHERE datname = current_database()
"""


def statements(held: Session) -> dict[str, Any]:
    """Return the statements with the longest mean time."""
    schema = held.one(_STATEMENTS_SCHEMA)
    if schema is None:
        return {"statements": [], "findings": [f"{held.database} has no pg_stat_statements: nobody knows what is slow"]}
    query = (
        f"SELECT query, calls::int8, mean_exec_time::float8, total_exec_time::float8, rows::int8 FROM {escaped(schema)}.pg_stat_statements"  # noqa: S608  # quoted
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND calls >= %(calls)s"
        " ORDER BY mean_exec_time DESC LIMIT %(shown)s"
    )
    import psycopg

    try:
        rows = held.rows(query, {"calls": LEAST_CALLS, "shown": SHOWN})
    except psycopg.Error as error:
        return {"statements": [], "findings": [f"pg_stat_statements cannot be read: {held.why(error)}"]}
    return {"statements": [_statement(row) for row in rows], "findings": slow_findings(rows)}


def _statement(row: Sequence[Any]) -> dict[str, Any]:
    query, calls, mean, total, rows = row
    return {
        "query": _lock_waits.shown(query, ())[:200],
        "calls": calls,
        "mean_ms": round(mean, 3),
        "total_seconds": round(total / 1000, 3),
        "rows": rows,
    }


def slow_findings(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return what is slow: (query, calls, mean in ms, …) each."""
    return [
        f"{mean / 1000:.1f} s on average in {calls:,} calls: {_lock_waits.shown(query, ())[:80]}"
        for query, calls, mean, *_rest in rows
        if mean >= SLOW_MS
        and _lock_waits.shown(query, ()).partition(" ")[0].upper()
        in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE")
    ]


def disk(
    held: Session, thresholds: Mapping[str, float], before: Mapping[str, Any] | None, now: float
) -> dict[str, Any]:
    """Return sizes, what grew since the review before, and how long the disk lasts. before: the `disk` of that one."""
    tables = [
        {"table": qualified(schema, name), "bytes": total, "index_bytes": of_indexes}
        for schema, name, total, of_indexes in held.rows(_SIZES)
    ]
    space = free_space(held)
    told = {
        "at": round(now, 3),
        "bytes": int(held.one("SELECT pg_database_size(current_database())")),
        "tables": tables,
        "free_bytes": space[0] if space else None,
        "disk_bytes": space[1] if space else None,
    }
    grown = growth(told, before)
    return {
        "disk": {**told, **grown},
        "findings": disk_findings(held.database, {**told, **grown}, thresholds["free_disk_percent"]),
    }


def growth(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what grew in bytes a day, and in how many days the disk is full at that; nothing within an hour."""
    if not before or now["at"] - before["at"] < 3600:
        return {"bytes_per_day": None, "days_left": None, "grown": []}
    days = (now["at"] - before["at"]) / 86400
    daily = (now["bytes"] - before["bytes"]) / days
    former = {one["table"]: one["bytes"] for one in before["tables"]}
    grown = sorted(((one["bytes"] - former.get(one["table"], 0), one["table"]) for one in now["tables"]), reverse=True)
    free = now["free_bytes"]
    return {
        "bytes_per_day": round(daily),
        "days_left": round(free / daily, 1) if free is not None and daily > 0 else None,
        "grown": [{"table": table, "bytes": more} for more, table in grown[:SHOWN] if more > 0],
    }


def disk_findings(database: str, told: Mapping[str, Any], free_percent: float) -> list[str]:
    """Return what is wrong with the disk."""
    found = []
    free, whole, left = told["free_bytes"], told["disk_bytes"], told["days_left"]
    if whole and free is not None and 100 * free / whole < free_percent:
        found.append(f"{readable(free)} of {readable(whole)} of the disk are free, less than {free_percent:.0f} %")
    if left is not None and left < SOON_DAYS:
        most = f", most of it {told['grown'][0]['table']}" if told["grown"] else ""
        found.append(
            f"{database} grows by {readable(told['bytes_per_day'])} a day{most}: the disk is full in {left:.0f} days"
        )
    return found


def index_review(held: Session, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """Return which indexes are too many, and which are missing."""
    days = float(held.one(_DAYS) or 0.0)
    return indexes_of.review(indexes_of.read(held), indexes_of.read_keys(held), thresholds, days)


def retention(held: Session, jobs: Sequence[Job]) -> dict[str, Any]:
    """Return whether clean-up keeps up: what each job would still have to delete."""
    told: list[dict[str, Any]] = []
    findings: list[str] = []
    for job in jobs:
        try:
            cleaning = clean.prepare(held, job)
            cleaning.expired = clean.count(held, cleaning)
        except StewardError as error:
            told.append({"name": job.name, "expired": None, "error": str(error)})
            findings.append(str(error))
            continue
        told.append(
            {"name": job.name, "table": qualified(job.schema, job.table), "expired": cleaning.expired, "error": None}
        )
        findings += cleaning.warnings
        if cleaning.expired:
            findings.append(
                f"{job.name}: {cleaning.expired:,} rows of {qualified(job.schema, job.table)} are older than {job.older_than} and still there"
            )
    return {"retention": told, "findings": findings}


def run(
    held: Session,
    kinds: Sequence[str],
    thresholds: Mapping[str, float],
    jobs: Sequence[Job],
    before: Mapping[str, Any] | None,
    now: float,
) -> dict[str, Any]:
    """Do the reviews that were asked for; return the result of the module."""
    held.limit("2s", STATEMENT_TIMEOUT)
    result: dict[str, Any] = {"changed": False}
    findings: list[str] = []
    for kind in kinds:
        if kind == "indexes":
            part = {"indexes_review": index_review(held, thresholds)}
            findings += part["indexes_review"].pop("findings")
        else:
            part = (
                statements(held)
                if kind == "statements"
                else disk(held, thresholds, before, now)
                if kind == "disk"
                else retention(held, jobs)
            )
            findings += part.pop("findings")
        result |= part
    return {**result, "findings": findings, "summary": f"{len(findings)} findings"}
