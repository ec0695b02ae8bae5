# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""VACUUM and ANALYZE of what has changed, the guard against old transaction numbers, and VACUUM FULL by name."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain import readable, table_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_session import (
    Session,
    oldest,
    refuse_without_space,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

CATALOG_DEAD = 1000  # its own vacuum leaves some dead rows in the catalog, which are nobody's trouble
PARTITIONED = "p"
MULTIXACT_AGE = 2  # multixacts are held against the threshold times this, as the server's own limits are
URGENT_AGE = 1_000_000_000
ANALYZE_ONLY_SINCE = 180000
# As autovacuum goes about it, ten times as fast; what is urgent goes without a rest.
_GENTLY = "SELECT set_config('vacuum_cost_delay', %(delay)s, false), set_config('vacuum_cost_limit', '2000', false)"

# Sizes as the catalog has them: to ask for one exactly waits for whoever has locked the table.
_TABLES = """
SELECT n.nspname::text, c.relname::text, c.relkind::text,
  (c.relpages::int8 + coalesce(t.relpages, 0)) * current_setting('block_size')::int8,
  coalesce(s.n_dead_tup, 0)::int8, coalesce(s.n_mod_since_analyze, 0)::int8, coalesce(s.n_ins_since_vacuum, 0)::int8,
  (s.last_vacuum IS NOT NULL OR s.last_autovacuum IS NOT NULL), (s.last_analyze IS NOT NULL OR s.last_autoanalyze IS NOT NULL),
  CASE WHEN c.relfrozenxid = '0' THEN 0 ELSE greatest(age(c.relfrozenxid), coalesce(age(t.relfrozenxid), 0)) END::int8,
  CASE WHEN c.relminmxid = '0' THEN 0 ELSE greatest(mxid_age(c.relminmxid), coalesce(mxid_age(t.relminmxid), 0)) END::int8,
  coalesce(pg_partition_root(c.oid)::oid, c.oid)::int8, c.oid::int8
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
ORDER BY 1, 2
"""
_HOLDING = """
SELECT 'prepared transaction ' || gid, age(transaction)::int8 FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL
SELECT 'replication slot ' || slot_name, greatest(age(xmin), age(catalog_xmin))::int8 FROM pg_replication_slots
WHERE coalesce(xmin, catalog_xmin) IS NOT NULL
UNION ALL
SELECT 'session ' || pid || coalesce(' of ' || usename, ''), age(backend_xmin)::int8 FROM pg_stat_activity
WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY 2 DESC
"""
_SIZE = "SELECT pg_total_relation_size(%(oid)s::oid)::int8"
_DATABASE_AGE = "SELECT age(datfrozenxid)::int8 FROM pg_database WHERE datname = current_database()"


@dataclass(frozen=True)
class Table:
    """What the server counts of a table."""

    schema: str
    name: str
    kind: str
    size: int
    dead: int
    modified: int
    inserted: int
    vacuumed: bool
    analyzed: bool
    age: int
    multixact_age: int
    root: int
    oid: int

    def __str__(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def sql(self) -> str:
        """The name as SQL text."""
        return f"{identifier(self.schema)}.{identifier(self.name)}"


def wants_vacuum(table: Table) -> bool:
    """Tell whether a table has changed since it was last looked at."""
    if table.kind == PARTITIONED:
        return False
    if table.schema == "pg_catalog":
        return table.dead > CATALOG_DEAD
    return bool(table.dead or table.modified or table.inserted) or not (table.vacuumed and table.analyzed)


def to_analyze(tables: Sequence[Table], vacuumed: Iterable[Table]) -> list[Table]:
    """Return the partitioned tables whose partitions have changed: autovacuum never analyzes them."""
    changed = {table.root for table in vacuumed}
    return [table for table in tables if table.kind == PARTITIONED and (table.oid in changed or not table.analyzed)]


def to_freeze(tables: Iterable[Table], threshold: float) -> list[Table]:
    """Return the tables whose transaction numbers are older than the threshold, the oldest first."""
    old = [table for table in tables if table.age > threshold or table.multixact_age > threshold * MULTIXACT_AGE]
    return sorted(old, key=lambda table: (-table.age, -table.multixact_age))


def full_findings(table: str | None, confirm: str | None) -> list[str]:
    """Return why VACUUM FULL may not begin: it locks everybody out of the table, so it takes its name twice."""
    if not table:
        return ["full wants table: VACUUM FULL is done by name only, as nobody can use the table meanwhile"]
    if confirm != table:
        said = "is missing" if confirm is None else f"is {confirm!r}"
        return [
            f"confirm {said}: VACUUM FULL keeps everybody out of {table} until it is done; it wants confirm: {table}"
        ]
    return []


def skipped(notices: Iterable[str]) -> bool:
    """Tell whether the server passed a table over because somebody had locked it."""
    return any("lock not available" in notice for notice in notices)


def vacuum(held: Session, table: str | None, check: bool) -> dict[str, Any]:
    """Vacuum and analyze what has changed, or one table whatever it has; return the result of the module."""
    tables = read(held)
    wanted = [named(tables, table, held.database)] if table else [one for one in tables if wants_vacuum(one)]
    parents = [] if table else to_analyze(tables, wanted)
    only = "ONLY " if held.version >= ANALYZE_ONLY_SINCE else ""
    steps = [(one, f"VACUUM (ANALYZE, SKIP_LOCKED) {one.sql}") for one in wanted if one.kind != PARTITIONED]
    steps += [(one, f"ANALYZE {only}{one.sql}") for one in [*parents, *(w for w in wanted if w.kind == PARTITIONED)]]
    result = _each(held, steps, check, "2ms")
    blocker = oldest(held)
    if blocker:
        result["findings"].append(f"{held.database}: {blocker}: what is dead since then cannot be removed")
    return result


def freeze(held: Session, table: str | None, threshold: float, check: bool) -> dict[str, Any]:
    """Freeze what is older than the threshold, or one table; return the result of the module."""
    tables = read(held)
    wanted = [named(tables, table, held.database)] if table else to_freeze(tables, threshold)
    urgent = any(one.age > URGENT_AGE for one in wanted)
    steps = [(one, f"VACUUM (FREEZE) {one.sql}") for one in wanted if one.kind != PARTITIONED]
    result = _each(held, steps, check, "0" if urgent else "2ms", lock="60s")
    result["age"] = int(held.one(_DATABASE_AGE))
    if not check and wanted:
        still = to_freeze(read(held), threshold)
        holders = [f"{who} ({age:,})" for who, age in held.rows(_HOLDING) if age > threshold]
        if still and not table:
            why = f"held back by {', '.join(holders[:3])}" if holders else "look at what was skipped"
            result["findings"].append(f"{still[0]} is still {still[0].age:,} transactions old: {why}")
    return result


def full(held: Session, table: str, check: bool) -> dict[str, Any]:
    """Rewrite one table; return the result of the module."""
    found = named(read(held), table, held.database)
    if found.kind == PARTITIONED:
        raise StewardError(f"{found} is partitioned: name the partition")
    before = int(held.one(_SIZE, {"oid": found.oid}))
    refuse_without_space(held, before, f"VACUUM FULL of {found}")
    result = _each(held, [(found, f"VACUUM (FULL, ANALYZE) {found.sql}")], check, "0")
    result["tables"][0]["bytes"] = before
    if not check:
        result["tables"][0]["bytes_after"] = held.one(_SIZE, {"oid": found.oid})
    return result


def read(held: Session) -> list[Table]:
    """Return all tables of the database but the temporary ones."""
    return [Table(*row) for row in held.rows(_TABLES)]


def named(tables: Iterable[Table], name: str, database: str) -> Table:
    """Return the table of that name. Raises StewardError."""
    wanted = table_of(name, "table")
    for table in tables:
        if (table.schema, table.name) == wanted:
            return table
    raise StewardError(f"there is no table {qualified(*wanted)} in {database}")


def _each(
    held: Session, steps: Sequence[tuple[Table, str]], check: bool, delay: str, lock: str = "2s"
) -> dict[str, Any]:
    import psycopg

    held.limit(lock)
    held.rows(_GENTLY, {"delay": delay})
    done, findings = [], []
    for table, statement in steps:
        entry: dict[str, Any] = {
            "table": str(table), "statement": statement, "bytes": table.size, "dead": table.dead, "age": table.age,
        }  # fmt: skip
        if not check:
            held.notices.clear()
            begun = time.monotonic()
            try:
                held.rows(statement)
            except psycopg.Error as error:
                entry["error"] = held.why(error)
            if skipped(held.notices):
                entry["error"] = "somebody had it locked"
            entry["seconds"] = round(time.monotonic() - begun, 3)
            if "error" in entry:
                findings.append(f"{table} was passed over: {entry['error']}")
        done.append(entry)
    good = [one for one in done if "error" not in one]
    if steps and not good:
        raise StewardError(f"{held.database}: {findings[0]}", tables=done)
    total = readable(sum(one["bytes"] for one in good))
    return {
        "changed": bool(good),
        "tables": done,
        "findings": findings,
        "summary": f"{len(good)} of {len(done)} tables, {total}",
    }
