# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore drill: the newest backup becomes a server that nobody else sees, everything in it is read, and it is gone again.

Runs on hosts without Ansible too, below a timer. Whatever happens, nothing of it is left: not when it fails, and what a drill that was
killed has left is removed by the next one and by the unit that it ran in.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _beside, _postmaster, _recovery, _restore
from ansible_collections.pgsteward.postgres.plugins.module_utils._children import bound_to_parent
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Aim, Limits, Server
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import Backrest, as_account
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import LATEST, Wish, target_of

PORT = 5432  # names the socket only
STOP_LIMIT = 300.0
CHECK_LIMIT = 7 * 86400.0
KEPT_LINES = 10  # of what a check says

_BAD_CHECKSUMS = re.compile(r"^Bad checksums:\s+(\d+)$", re.MULTILINE)
_TABLES = """
SELECT coalesce(json_agg(json_build_object('name', quote_ident(nspname) || '.' || quote_ident(relname), 'rows', reltuples::bigint)
  ORDER BY 1), '[]')
FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence = 'p' AND nspname <> 'information_schema' AND nspname !~ '^pg_'
"""
_COUNT = "(SELECT count(*) FROM ONLY {table})"
_COUNTS = "SELECT to_json(ARRAY[{counts}])"
_TOGETHER = 200  # tables that are counted by one statement


@dataclass(frozen=True)
class Given:
    """What a drill is told. count_bytes: up to this size of a database its rows are counted, of larger ones they are estimated."""

    stanza: str
    bin_directory: Path
    base: Path
    owner: str = "postgres"
    config: str | None = None
    repository: int | None = None
    target: str = LATEST
    processes: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    count_bytes: int = 20 << 30
    reach_seconds: float = 86400.0
    stall_seconds: float = 300.0
    verify_seconds: float = 3600.0


Say = Callable[[str], None]


def run(given: Given, say: Say, now: Callable[[], float] = time.time) -> dict[str, Any]:
    """Do the drill; return its record, whose `error` is None when everything was proven. Only what keeps it from beginning is raised."""
    begun = now()
    record: dict[str, Any] = {
        "kind": "physical",
        "cluster": given.stanza,
        "host": socket.gethostname(),
        "begun": round(begun, 3),
        "proven": None,
        "error": None,
        "steps": {},
    }
    with _restore.alone(given.base):
        clean(given.base)
        try:
            _prove(given, record, say)
            record["proven"] = round(begun, 3)  # what it held was as old as this
        except StewardError as error:
            record["error"] = f"{error}{_damage(given, record)}"
        finally:
            clean(given.base)
    record["removed"] = not given.base.exists()
    record["seconds"] = round(now() - begun, 2)
    return record


def _damage(given: Given, record: Mapping[str, Any]) -> str:
    """Return which files of the repository are damaged, where something could not be restored or replayed; the tools do not always name them."""
    failed = [name for name, note in record["steps"].items() if not note.get("done")]
    if not set(failed) & {"restore", "recover"}:
        return ""
    found = Backrest(given.stanza, given.owner, given.config).damage(record["plan"]["repository"], given.verify_seconds)
    return f". pgbackrest verify finds: {', '.join(found[:KEPT_LINES])}" if found else ""


def clean(base: Path) -> bool:
    """Stop the server of a drill and remove its directory; tell whether there was one. A directory of anybody else is left alone."""
    if not base.exists():
        return False
    if _restore.beside_mark(base) is None and any(base.iterdir()):
        raise StewardError(f"{base} was not made by a drill: it is left alone; name another directory")
    if not _postmaster.stop(base / "data", signal.SIGQUIT, 10.0):
        _postmaster.stop(base / "data", signal.SIGKILL, 10.0)
    return _restore.remove_beside(base)


def _prove(given: Given, record: dict[str, Any], say: Say) -> None:
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
    with _step(record, "restore", say) as note:
        note.update(_restore.beside(request, plan, given.base, record["begun"], locked=True))
    server = Server(
        request.data_directory, given.bin_directory, given.owner, None, ("tail", "-n", "20", str(given.base / "log"))
    )
    with _running(given, server) as alive:
        with _step(record, "recover", say) as note:
            aim = Aim(plan.target.kind, str(plan.target), plan.end)
            seen = _recovery.reach(server, aim, Limits(given.reach_seconds, given.stall_seconds), alive)
            note.update(seen.as_facts())
            _recovery.promote(server, 300)
        with _step(record, "read", say) as note:
            note.update(amcheck(given))
        with _step(record, "count", say):
            record["databases"] = counted(server, given.count_bytes)
    with _step(record, "checksums", say) as note:
        note.update(checksums(server))


@contextmanager
def _step(record: dict[str, Any], name: str, say: Say) -> Iterator[dict[str, Any]]:
    """Give what is to be noted of a step, with its seconds, also when it fails."""
    begun = time.monotonic()
    note: dict[str, Any] = {}
    record["steps"][name] = note
    try:
        yield note
        note["done"] = True
    finally:
        note["seconds"] = round(time.monotonic() - begun, 2)
        say(f"{name}: {note['seconds']} s")


# The server: a child of ours, so that it ends with us


@contextmanager
def _running(given: Given, server: Server) -> Iterator[Callable[[], bool]]:
    """Run the server; give what tells whether it still does. At the end it has shut down."""
    command = _beside.furnish(server, given.base, PORT, given.settings)
    with (given.base / "log").open("ab") as log:
        process = _start(command, given, log)
        try:
            yield lambda: process.poll() is None
            process.send_signal(signal.SIGINT)
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            raise StewardError(
                f"the restored server does not shut down within {STOP_LIMIT:.0f} s: {server.words()}"
            ) from None
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
                _last(process)


def _start(command: Sequence[str], given: Given, log: IO[bytes]) -> subprocess.Popen[bytes]:
    become: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(given.owner)
        become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        return subprocess.Popen(
            list(command),
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=bound_to_parent(signal.SIGQUIT),
            **become,
        )
    except OSError as error:
        raise StewardError(f"{command[0]} cannot be run: {error}") from None


def _last(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# Reading


def amcheck(given: Given) -> dict[str, Any]:
    """Have every table and index of every database checked; raises StewardError with what is damaged."""
    program = given.bin_directory / "pg_amcheck"
    if not program.exists():
        return {"skipped": "there is no pg_amcheck before PostgreSQL 14"}
    outcome = as_account(
        given.owner,
        [
            "env",
            "PGOPTIONS=-c search_path=pg_catalog,pg_temp",
            str(program),
            "--all",
            "--install-missing=pg_catalog",
            f"--jobs={given.processes}",
            *("-h", str(given.base / "socket"), "-p", str(PORT), "-U", given.owner, "--no-password"),
        ],
        CHECK_LIMIT,
    )
    if outcome.returncode:
        lines = [line.strip() for line in f"{outcome.stdout}\n{outcome.stderr}".splitlines() if line.strip()]
        raise StewardError(f"pg_amcheck finds damage: {' / '.join(lines[:KEPT_LINES])}")
    return {"damaged": 0}


def checksums(server: Server) -> dict[str, Any]:
    """Have the checksum of every page compared, on the server that has shut down; raises StewardError for pages that are wrong."""
    command = [str(server.bin_directory / "pg_checksums"), "--check", "-D", str(server.data_directory)]
    outcome = as_account(server.owner, command, CHECK_LIMIT)
    if "checksums are not enabled" in outcome.stderr:
        return {"skipped": "the cluster has no data checksums"}
    found = _BAD_CHECKSUMS.search(outcome.stdout)
    if outcome.returncode or found is None or int(found[1]):
        wrong = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
        raise StewardError(f"pages with wrong checksums: {' / '.join(wrong[:KEPT_LINES]) or outcome.stdout}")
    return {"bad": 0}


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
