# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What sqlite_import does, from its options to its result."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection, _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_load as loading
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_plan as plans
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_source as source
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_target as target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_load import Job
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_plan import Choices, Hint, Load
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_stream import Rejects
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_values import POLICIES, UNITS

APPLICATION_NAME = "pgsteward sqlite_import"
SHOWN = 20  # rejected rows in the result; all of them are in the file
_NOTES = {
    "bad_utf8": "texts with bytes that are no UTF-8 were changed",
    "nul_bytes": "texts with a NUL were changed",
    "numbers_as_text": "numbers became text",
    "rounded": "numbers were rounded",
    "zone_assumed": "times without a zone were taken to be in that of the option timezone",
    "zone_dropped": "times with a zone were brought to that of the option timezone",
}
TABLES = "tables has {!r}: give it the name of a table, or null to leave {} out"

COLUMN_OPTIONS: dict[str, dict[str, Any]] = {
    "table": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "to": {"type": "str"},
    "ignore": {"type": "bool", "default": False},
    "unit": {"type": "str", "choices": list(UNITS)},
    "binary": {"type": "str", "choices": ["hex", "utf8"]},
    "round": {"type": "bool", "default": False},
    "empty_as_null": {"type": "bool", "default": False},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "source": {"type": "path", "required": True},
    "schema": {"type": "str", "default": "public"},
    "tables": {"type": "dict", "default": {}},
    "columns": {"type": "list", "elements": "dict", "options": COLUMN_OPTIONS, "default": []},
    "timezone": {"type": "str", "default": "UTC"},
    "on_nul": {"type": "str", "choices": list(POLICIES), "default": "fail"},
    "on_bad_utf8": {"type": "str", "choices": list(POLICIES), "default": "fail"},
    "on_orphan": {"type": "str", "choices": ["fail", "reject"], "default": "fail"},
    "max_rejected": {"type": "int", "default": 0},
    "rejects": {"type": "path"},
    "mode": {"type": "str", "choices": ["fail", "append", "replace"], "default": "fail"},
    "confirm": {"type": "str"},
    "commit": {"type": "str", "choices": ["all", "table"], "default": "all"},
    "lock_timeout": {"type": "str", "default": "5s"},
}


def run(params: Mapping[str, Any], check: bool, temporary: str) -> dict[str, Any]:
    """Return the result of sqlite_import; temporary is a private directory. Raises StewardError, with nothing changed unless it says so."""
    begun = time.monotonic()
    choices = _choices(params)
    rejects = _rejects(params, check)
    place, path = _connection.place_from_params(params), Path(params["source"])
    with source.opened(path, Path(temporary)) as file:
        broken = source.check(file, path)
        tables = source.tables(file, path)
        with contextlib.closing(_connection.connect(place, APPLICATION_NAME)) as connection:
            database = _connection.read_server(connection, place).database
            if params["mode"] == "replace" and params["confirm"] != database:
                said = "is missing" if params["confirm"] is None else f"is {params['confirm']!r}"
                raise StewardError(
                    f"confirm {said}: rows of database {database} are replaced only with confirm: {database}"
                )
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise StewardError(f"database {database} is in {encoding}, and imports are for UTF8 only")
            there = target.read(connection, params["schema"])
            if not there:
                raise StewardError(
                    f"schema {params['schema']} of {place} has no table: bring it to its revision first, by the playbook migrate"
                )
            loads = plans.match(
                tables, there, choices, params["schema"], lambda table, column: source.numbers(file, table, column)
            )
            bars = _barred(file, loads)
            if params["mode"] == "append":
                loading.excuse(connection, bars)
            _refuse_orphans(bars, broken, params["on_orphan"])
            sizes = {load.source.name: plans.rows_of(source.extent(file, load.source, load.wide())) for load in loads}
            job = Job(file, connection, place, loads, params["mode"], params["lock_timeout"], rejects, bars, sizes)
            looked = time.monotonic()
            try:
                loading.rehearse(job) if check else loading.run(job, params["commit"] == "all")
            except StewardError as error:
                raise StewardError(f"{error}{_lasting(job, check)}", **{**_facts(job, params), **error.facts}) from None
    if rejects.items and not check:
        _owned_file.write(
            Path(params["rejects"]), "".join(json.dumps(item) + "\n" for item in rejects.items), mode=0o600
        )
    seconds = {"look": round(looked - begun, 2), "total": round(time.monotonic() - begun, 2)}
    return {
        **_facts(job, params),
        "changed": _changed(job),
        "seconds": seconds,
        "diff": _diff(job),
        "summary": [_line(done, check) for done in job.done.values()],
    }


def _choices(params: Mapping[str, Any]) -> Choices:
    for name, wanted in params["tables"].items():
        if wanted is not None and (not isinstance(wanted, str) or not wanted):
            raise StewardError(TABLES.format({name: wanted}, name))
    return Choices(
        params["tables"],
        [Hint.of(item) for item in params["columns"]],
        _zone(params["timezone"]),
        params["on_nul"],
        params["on_bad_utf8"],
    )


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise StewardError(f"timezone is {name!r}, which this host does not know: write it as Europe/Berlin") from None


def _rejects(params: Mapping[str, Any], check: bool) -> Rejects:
    limit = params["max_rejected"]
    if limit < 0:
        raise StewardError(f"max_rejected is {limit}: give at least 0")
    if limit and not params["rejects"]:
        raise StewardError("max_rejected needs rejects, the file for the rows that are left out")
    if limit:
        path = Path(params["rejects"])
        if not path.parent.is_dir():
            raise StewardError(f"rejects {path} cannot be written: there is no directory {path.parent}; make it first")
        if not check:
            _owned_file.refuse_unwritable(path)
    if params["on_orphan"] == "reject" and not limit:
        raise StewardError("on_orphan reject needs max_rejected, the number of rows that may be left out")
    return Rejects(limit)


def _barred(file: sqlite3.Connection, loads: Sequence[Load]) -> list[plans.Bar]:
    """Return the keys between the tables of an import, with the values that refer to nothing."""
    bars = plans.bars(loads)
    for bar in bars:
        found = source.orphans(file, bar.child.source, bar.columns, bar.parent.source, bar.referenced)
        bar.missing = {tuple(map(str, values)) for values in found}
    return bars


def _refuse_orphans(bars: Sequence[plans.Bar], broken: Sequence[str], on_orphan: str) -> None:
    if on_orphan == "reject":
        return
    for bar in bars:
        if bar.missing:
            raise StewardError(bar.message())
    if broken and not bars:
        raise StewardError(f"the file breaks its own foreign keys: {broken[0]}: mend it, or choose on_orphan reject")


# Results


def _changed(job: Job) -> bool:
    return bool(job.counters) or any(done.state == "loaded" and done.rows for done in job.done.values())


def _facts(job: Job, params: Mapping[str, Any]) -> dict[str, Any]:
    items = job.rejects.items
    return {
        "rows": {str(done.load.target): done.rows for done in job.done.values()},
        "checksums": {str(done.load.target): done.checksums for done in job.done.values()},
        "rejected": items[:SHOWN],
        "rejected_count": len(items),
        "rejects": params["rejects"] if items else None,
        "sequences": job.counters,
        "tables": [_table(done) for done in job.done.values()],
    }


def _table(done: loading.Done) -> dict[str, Any]:
    notes = {pair.column.name: dict(pair.tally) for pair in done.load.pairs if pair.tally}
    return {
        "source": done.load.source.name,
        "target": str(done.load.target),
        "state": done.state,
        "rows": done.rows,
        "rejected": done.rejected,
        "changed_values": notes,
        "seconds": round(done.seconds, 2),
    }


def _line(done: loading.Done, check: bool) -> str:
    """Return what became of a table, for people."""
    verb = "were there already" if done.state == loading.SAME else "would be loaded" if check else "loaded"
    left = f", {done.rejected} left out" if done.rejected else ""
    notes = [
        f"{pair.column.name}: {count} {_NOTES[note]}"
        for pair in done.load.pairs
        for note, count in pair.tally.items()
        if count
    ]
    return f"{done.load.source.name} to {done.load.target}: {done.rows} rows {verb}{left}" + "".join(
        f"; {note}" for note in notes
    )


def _diff(job: Job) -> dict[str, str]:
    before = [
        f"{done.load.target}: {done.rows if done.state == loading.SAME else 0} rows of the file\n"
        for done in job.done.values()
    ]
    after = [f"{done.load.target}: {done.rows} rows of the file\n" for done in job.done.values()]
    return {"before": "".join(before), "after": "".join(after)}


def _lasting(job: Job, check: bool) -> str:
    """Return what stays after a failure."""
    stays = [str(done.load.target) for done in job.done.values() if done.state == "loaded"]
    if check or not stays:
        return ""
    return f"; {', '.join(stays)} is imported and stays, and the same import again goes on with the rest"
