# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The drill of physical backups: the newest one becomes a server, all WAL of the archive is replayed, everything in it is read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _drill, _recovery, _restore, _restored_drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Aim, Limits, Server
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import Backrest
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import LATEST, Wish, target_of

_TABLES = """
SELECT coalesce(json_agg(json_build_object('name', quote_ident(nspname) || '.' || quote_ident(relname), 'rows', reltuples::bigint)
  ORDER BY 1), '[]')
FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence = 'p' AND nspname <> 'information_schema' AND nspname !~ '^pg_'
"""
_COUNT = "(SELECT count(*) FROM ONLY {table})"
_COUNTS = "SELECT to_json(ARRAY[{counts}])"
_TOGETHER = 200  # tables that are counted by one statement


@dataclass(frozen=True, kw_only=True)
class Given(_drill.Scratch):
    """What a drill is told. count_bytes: up to this size of a database its rows are counted, of larger ones they are estimated."""

    stanza: str
    config: str | None = None
    repository: int | None = None
    target: str = LATEST
    count_bytes: int = 20 << 30
    reach_seconds: float = 86400.0
    stall_seconds: float = 300.0
    verify_seconds: float = 3600.0


def run(
    given: Given, say: _drill.Say, live: Server | None = None, now: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Do the drill; return its record, whose `error` is None when everything was proven. Only what keeps it from beginning is raised.

    live: the server of this host; how its catalogs differ is noted. That is no error: it goes on, and what was restored ends with the archive.
    """

    def prove(record: _drill.Record) -> None:
        try:
            _prove(given, record, say, live)
        except StewardError as error:
            raise StewardError(f"{error}{_damage(given, record)}") from None

    return _drill.run(given.base, "physical", given.stanza, prove, now)


def _damage(given: Given, record: Mapping[str, Any]) -> str:
    """Return which files of the repository are damaged, where something could not be restored or replayed; the tools do not always name them."""
    failed = [name for name, note in record["steps"].items() if not note.get("done")]
    if not set(failed) & {"restore", "recover"}:
        return ""
    repository = record["plan"]["repository"]
    found = Backrest(given.stanza, given.owner, given.config).damage(repository, given.verify_seconds)
    if found is None:
        command = f"pgbackrest --stanza={given.stanza} --repo={repository} --log-level-console=info verify"
        return f". Where repository {repository} is, as {given.owner}, this names what is damaged: {command}"
    return f". pgbackrest verify finds: {', '.join(found[: _drill.KEPT_LINES])}" if found else ""


def _prove(given: Given, record: _drill.Record, say: _drill.Say, live: Server | None) -> None:
    """Restore, start, reach the target, read everything; note each step. Raises StewardError for the first that is not as it should be."""
    request = _restore.Request(
        backrest=Backrest(given.stanza, given.owner, given.config),
        target=target_of(given.target),
        wish=Wish(repository=given.repository),
        data_directory=given.base / "data",
        bin_directory=given.bin_directory,
        processes=given.processes,
    )
    plan = _restore.make_plan(request, record["begun"], in_place=False)
    record["plan"] = plan.as_facts()
    say(f"backup {plan.backup.label} of repository {plan.backup.repository}, to {plan.target}")
    with _drill.step(record, "restore", say) as note:
        note.update(_restore.beside(request, plan, given.base, record["begun"], locked=True))
    server = given.server
    with _drill.running(given) as alive:
        with _drill.step(record, "recover", say) as note:
            aim = Aim(plan.target.kind, str(plan.target), plan.end)
            seen = _recovery.reach(server, aim, Limits(given.reach_seconds, given.stall_seconds), alive)
            note.update(seen.as_facts())
            _recovery.promote(server, 300)
        drifts = _compared(given, live, record, say) if live else {}  # before the extension of pg_amcheck is in them
        with _drill.step(record, "read", say) as note:
            note.update(_drill.amcheck(given))
        with _drill.step(record, "count", say):
            record["databases"] = counted(server, given.count_bytes)
            for one in record["databases"]:
                one["drift"] = drifts.get(one["name"])
    with _drill.step(record, "checksums", say) as note:
        note.update(_drill.checksums(server))


def _compared(given: Given, live: Server, record: _drill.Record, say: _drill.Say) -> dict[str, Any]:
    """Return how each restored database differs from that of the same name that is live."""
    with _drill.step(record, "compare", say):
        names = [one["name"] for one in _recovery.databases(given.server)]
        truth = _restored_drift.live(live)
        found: dict[str, Any] = _drill.as_owner(given.owner, lambda: _restored_drift.drifts(given.server, names, truth))
    return found


def counted(server: Server, count_bytes: int) -> list[dict[str, Any]]:
    """Return the databases with their tables and rows. Raises StewardError where one cannot be read."""
    found = []
    for one in _recovery.databases(server):
        tables = json.loads(_answer(server, _TABLES, one["name"]))
        exact = one["bytes"] <= count_bytes
        rows = _rows(server, one["name"], [table["name"] for table in tables]) if exact else {}
        found.append(
            {
                **one,
                "tables": len(tables),
                "rows": sum(rows.values()) if exact else sum(max(0, table["rows"]) for table in tables),
                "estimated": not exact,
                "rows_of": rows,
            }
        )
    return found


def _rows(server: Server, database: str, tables: Sequence[str]) -> dict[str, int]:
    """Return the rows of each table. tables: names in the form that the server has quoted them in."""
    rows: dict[str, int] = {}
    for begin in range(0, len(tables), _TOGETHER):
        part = tables[begin : begin + _TOGETHER]
        counts = ", ".join(_COUNT.format(table=table) for table in part)
        rows |= dict(zip(part, json.loads(_answer(server, _COUNTS.format(counts=counts), database)), strict=True))
    return rows


def _answer(server: Server, statement: str, database: str) -> str:
    answer = server.psql(statement, database, limit=86400)
    if not answer:
        raise StewardError(f"the database {database} of the restored server cannot be read: {server.words()}")
    return answer
