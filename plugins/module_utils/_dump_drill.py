# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The drill of dumps: the newest one of every database in every store is restored into a server that nobody else sees, and read.

What it is held against is its manifest: files, rows, catalog and revisions are those of the moment of the dump.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _drill,
    _dump,
    _dump_restore,
    _dump_sqlite,
    _owned_file,
    _restore,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config as config
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_list as dumps
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._drill import Record, Say, Scratch, step
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_actions import MAINTENANCE, maintenance
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_config import Config
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_process import find_tools
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_restore import major_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier, literal
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import as_account

KIND = "dump"
START_LIMIT = 60.0
MAKE_LIMIT = 300.0
SHOWN = 5  # differences of a catalog that are named


@dataclass(frozen=True)
class Case:
    """A dump that is to be proven, and the entry of the record that says what became of it."""

    target: Target
    dump: dumps.Listed
    manifest: Manifest
    entry: dict[str, Any]

    @property
    def about(self) -> str:
        """What it is, for people."""
        return f" {self.manifest.database} from {self.target.name}"


def base_of(held: Config) -> Path:
    """Return the directory of the drills of a host."""
    return held.directory / "drill"


def run(
    held: Config,
    targets: Sequence[Target],
    databases: Sequence[str],
    say: Say,
    now: Callable[[], float] = time.time,
) -> Record:
    """Do the drill as the account of the server; return its record. Only what keeps it from beginning is raised."""
    return _drill.run(
        base_of(held), KIND, held.environment, lambda record: _prove(held, targets, databases, record, say), now
    )


def _prove(held: Config, targets: Sequence[Target], databases: Sequence[str], record: Record, say: Say) -> None:
    """Prove one dump after the other. One that fails keeps no other from its turn; all are named in the StewardError at the end."""
    record["dumps"] = []
    with step(record, "look", say):
        cases = [
            case
            for shelf in map(dumps.Shelf, targets)
            for database in databases
            if (case := choose(shelf, database, record["dumps"])) is not None
        ]
        _prepare(base_of(held))
    files = [case for case in cases if case.manifest.kind == manifests.SQLITE]
    for case in files:
        _attempt(held, case, partial(_prove_file, base_of(held), case, record, say))
    of_servers = [case for case in cases if case not in files]
    if of_servers:
        _prove_on_server(held, of_servers, record, say)
    sum_up(record)


def choose(shelf: dumps.Shelf, database: str, entries: list[dict[str, Any]]) -> Case | None:
    """Return the newest dump of a database in a store; note there what it is, or why there is none to prove."""
    entry: dict[str, Any] = {"store": shelf.target.name, "database": database, "name": None, "error": None}
    entries.append(entry)
    try:
        dump = shelf.newest(database)
        entry["name"] = dump.name
        if dump.manifest is None or not dump.good:
            raise StewardError("; ".join(dump.as_return()["findings"]))
    except StewardError as error:
        entry["error"] = str(error)
        return None
    manifest = dump.manifest
    entry |= {"begun": manifest.begun, "format": manifest.dump_format, "stored_bytes": manifest.bytes}
    if manifest.content == plan.DATA:
        entry["skipped"] = "it has rows only, which go into a database that is there"
        return None
    return Case(shelf.target, dump, manifest, entry)


def sum_up(record: Record) -> None:
    """Note what was restored at which speed; raise StewardError with all that failed, and when there was nothing to prove."""
    done = [entry for entry in record["dumps"] if entry.get("proven")]
    seconds = sum(entry["seconds"] for entry in done)
    if seconds:
        total = sum(entry["bytes"] for entry in done)
        note = record["steps"].setdefault("restore", {})
        note.update(bytes=total, bytes_per_second=round(total / seconds))
    if any("bytes" in entry and "amcheck" not in entry for entry in record["dumps"]):
        record["steps"]["read"].pop("damaged", None)  # of one that was well
    failed = [entry for entry in record["dumps"] if entry["error"]]
    if failed:
        raise StewardError(
            "; ".join(f"{entry['database']} from {entry['store']}: {entry['error']}" for entry in failed)
        )
    if not done:
        raise StewardError("there is no dump that could be proven")


def _attempt(held: Config, case: Case, prove: Callable[[], None]) -> None:
    """Prove one dump; note why it is none. One whose files are damaged is remembered as such, for the retention and for those who list."""
    try:
        prove()
        case.entry["proven"] = True
    except StewardError as error:
        case.entry["error"] = str(error)
        with contextlib.suppress(StewardError):  # the store may be what fails
            found = dumps.verify(case.target, case.dump).findings
            if found:
                case.entry["error"] = "; ".join(found)
                config.mark_damaged(
                    held.state, case.manifest.database, case.target.name, case.manifest.name, _dump.now()
                )


# Servers


def _prepare(base: Path) -> None:
    for directory in (base, base / "data", base / "socket", base / "files"):
        directory.mkdir(mode=0o700, exist_ok=True)
        if directory == base:
            _owned_file.write(base / _restore.MARK, "{}\n")


def _prove_on_server(held: Config, cases: Sequence[Case], record: Record, say: Say) -> None:
    """Make a server that fits every dump, and prove them on it."""
    newest = max(major_of(case.manifest.tool_version) for case in cases)
    scratch = Scratch(
        base=base_of(held), bin_directory=find_tools(newest, held.bin_directory).directory, owner=held.account
    )
    with step(record, "initialize", say):
        initialize(scratch)
    with _drill.running(scratch) as alive:
        with step(record, "start", say):
            _wait(scratch, alive)
        for case in cases:
            _attempt(held, case, partial(_prove_one, scratch, case, record, say))
            _drop(scratch, case.manifest.database)


def initialize(scratch: Scratch) -> None:
    """Make an empty server. Each database gets encoding and locale of its own, so those of the server do not matter."""
    program = scratch.bin_directory / "initdb"
    if not program.exists():
        raise StewardError(
            f"{program} is not there: a drill wants the programs of the server, not only those of clients"
        )
    command = [
        str(program),
        "--pgdata",
        str(scratch.server.data_directory),
        "--username",
        scratch.owner,
        "--encoding=UTF8",
    ]
    command += ["--locale=C", "--auth-local=peer", "--auth-host=reject", "--data-checksums", "--no-sync"]
    outcome = as_account(scratch.owner, command, MAKE_LIMIT)
    if outcome.returncode:
        raise StewardError(f"initdb failed: {' / '.join(outcome.stderr.strip().splitlines()[-_drill.KEPT_LINES :])}")


def _wait(scratch: Scratch, alive: Callable[[], bool]) -> None:
    limit = time.monotonic() + START_LIMIT
    while not scratch.server.psql("SELECT 1"):
        if not alive() or time.monotonic() > limit:
            raise StewardError(f"the server of the drill does not start: {scratch.server.words()}")
        time.sleep(0.1)


def _prove_one(scratch: Scratch, case: Case, record: Record, say: Say) -> None:
    manifest, entry = case.manifest, case.entry
    place = Place(None, str(scratch.base / "socket"), _drill.PORT, scratch.owner)
    request = _dump_restore.Request(
        place=maintenance(place, manifest.database),
        database=manifest.database,
        staging=scratch.base / "files",
        confirm=manifest.database,
        create_roles=True,
        keep_former=False,
        bin_directory=scratch.bin_directory,
    )
    with step(record, "restore", say, case.about):
        notes = [] if manifest.of(manifests.GLOBALS) else _make_roles(scratch, manifest)
        result = _dump_restore.restore(request, case.target, manifest)
    held = scratch.server.psql(f"SELECT pg_database_size({literal(manifest.database)})")
    note_result(entry, result, int(held or 0), notes)
    with step(record, "read", say, case.about) as note:
        note.update(_drill.amcheck(scratch, manifest.database))
        entry["amcheck"] = note.get("skipped") or "no damage"
    finding = difference(manifest, result, _major(scratch))
    if finding:
        raise StewardError(finding)


def _make_roles(scratch: Scratch, manifest: Manifest) -> list[str]:
    """Make the roles that the dump names, as it was taken without globals."""
    for role in manifest.roles:
        scratch.server.psql(f"CREATE ROLE {identifier(role)}")  # one that is there stays as it is
    return ["it has no globals: the roles that it names were made without any properties"] if manifest.roles else []


def note_result(entry: dict[str, Any], result: Mapping[str, Any], size: int, notes: Sequence[str]) -> None:
    """Note what a restore has brought."""
    catalog, seconds = result.get("catalog"), result["seconds"]
    entry |= {
        "bytes": size,
        "seconds": seconds,
        "bytes_per_second": round(size / seconds) if seconds else None,
        "tables": result["rows"]["tables"],
        "rows": result["rows"]["found"],
        "expected": result["rows"]["expected"],
        "revisions": sorted(revision for held in result["revisions"].values() for revision in held),
        "fingerprint": catalog and catalog["found"],
        "catalog": "not compared: the dump has a part of the database only"
        if catalog is None
        else "as in the manifest"
        if catalog["equal"]
        else f"{catalog['count']} differences",
        "notes": [*notes, *result.get("notes", ())],
    }


def difference(manifest: Manifest, result: Mapping[str, Any], major: int) -> str | None:
    """Return how what was restored is not what the manifest says, None where it is; rows were compared by the restore.

    A server of another major version may tell the same catalog in other words: then its differences are noted, and no more.
    """
    catalog, found = result.get("catalog"), []
    if catalog and not catalog["equal"] and major_of(manifest.server_version) == major:
        named = ", ".join(catalog["differences"][:SHOWN])
        found.append(f"the catalog differs from that of the manifest in {catalog['count']} places: {named}")
    held = {table: list(revisions) for table, revisions in result["revisions"].items()}
    told = {table: list(revisions) for table, revisions in manifest.revisions.items()}
    if manifest.content == plan.ALL and held != told:
        found.append(f"the revisions are {held}, and the manifest says {told}")
    return "; ".join(found) or None


def _major(scratch: Scratch) -> int:
    return int((scratch.server.data_directory / "PG_VERSION").read_text(encoding="ascii"))


def _drop(scratch: Scratch, database: str) -> None:
    """Make room for the next one."""
    if database != MAINTENANCE:
        scratch.server.psql(f"DROP DATABASE IF EXISTS {identifier(database)} WITH (FORCE)", limit=int(MAKE_LIMIT))


# Files


def _prove_file(base: Path, case: Case, record: Record, say: Say) -> None:
    path = base / "files" / "proven.db"
    try:
        with step(record, "restore", say, case.about):
            result = _dump_sqlite.restore(case.target, case.manifest, path, str(path), base / "files")
        note_result(case.entry, result, path.stat().st_size, ())
        case.entry["catalog"] = "as in the manifest"  # a restore that found another one fails
        case.entry["amcheck"] = "no damage"
    finally:
        path.unlink(missing_ok=True)
