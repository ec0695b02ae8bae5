# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SQLite files as a source of dumps, and back: copied by SQLite's own backup, with its WAL taken into account, and checked before use."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump import Clock, look_at, now
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_branch import Branch, Outcome, refuse_none_left
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_fetch import fetch, unpacked
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_process import private_directory
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import CHUNK, free_below, room_finding

MAGIC = b"SQLite format 3\x00"
BUSY_LIMIT = 60.0  # seconds to wait for a writer
BESIDE = ("-wal", "-shm", "-journal")  # files that belong to a database file
METHOD = "gzip"
_COUNT = "SELECT count(*) FROM "


@dataclass(frozen=True)
class Request:
    """Which file to dump, and what the database is called in the stores."""

    path: Path
    database: str
    environment: str
    host: str
    staging: Path


def preview(request: Request, targets: Sequence[Target]) -> dict[str, Any]:
    """Return what take() would do, having written nothing. Raises StewardError."""
    size = _refuse_unreadable(request)
    _ready, failed = look_at(targets, dry=True)
    if failed:
        raise StewardError(str(failed[0].error))
    return {
        "name": str(names.name_of(request.environment, now())),
        "database": request.database,
        "dump_format": names.SQLITE,
        "compression": METHOD,
        "expected_bytes": size,
    }


def take(request: Request, targets: Sequence[Target], clock: Clock = now) -> list[Outcome]:
    """Dump the file into every store. Raises StewardError when it could not be done at all."""
    begun, at = time.monotonic(), clock()
    name = names.name_of(request.environment, at)
    size = _refuse_unreadable(request)
    ready, failed = look_at(targets)
    if not ready:
        raise StewardError(str(failed[0].error))
    with private_directory(request.staging) as private:
        copy = private / "copy.sqlite"
        _copy(request.path, copy)
        facts = _look(copy, str(request.path))
        key = f"{names.folder(request.database)}/{name}"
        branches = [Branch(target, key, features.notes) for target, features in ready]
        try:
            for branch in branches:
                branch.attempt(branch.open, names.dump_ending(names.SQLITE, METHOD), size)
            for data in _gzipped(copy):
                for branch in branches:
                    branch.attempt(branch.write, data)
                refuse_none_left(branches)
            for branch in branches:
                branch.attempt(branch.close)
        except BaseException as error:
            for branch in branches:
                if branch.error is None:
                    branch.fail(str(error))
            raise
    manifest = Manifest(
        name=str(name),
        database=request.database,
        environment=request.environment,
        kind=manifests.SQLITE,
        begun=manifests.moment(at),
        seconds=round(time.monotonic() - begun, 2),
        host=request.host,
        dump_format=names.SQLITE,
        compression=METHOD,
        server_version=sqlite3.sqlite_version,
        tool_version=sqlite3.sqlite_version,
        files=(),
        database_bytes=size,
        properties={"path": str(request.path)},
        **facts,
    )
    return [*(branch.sealed(manifest) for branch in branches), *failed]


def _refuse_unreadable(request: Request) -> int:
    """Return the size of the file; raise StewardError when it is none of SQLite's, or there is no room for a copy."""
    try:
        with request.path.open("rb") as stream:
            head = stream.read(len(MAGIC))
        size = sum(path.stat().st_size for path in (request.path, _beside(request.path, "-wal")) if path.exists())
    except OSError as error:
        raise StewardError(f"{request.path} cannot be read: {error.strerror}") from None
    if head != MAGIC:
        raise StewardError(f"{request.path} is no SQLite file, or is encrypted")
    finding = room_finding(size, free_below(request.staging), str(request.staging), f"the copy of {request.path}")
    if finding:
        raise StewardError(finding)
    return size


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _copy(path: Path, copy: Path) -> None:
    """Copy a database that may be in use, as one transaction sees it."""
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_LIMIT)
            ) as held,
            contextlib.closing(sqlite3.connect(copy)) as made,
        ):
            held.backup(made)
    except sqlite3.Error as error:
        raise StewardError(f"{path} cannot be copied: {error}") from None


def _look(copy: Path, name: str) -> dict[str, Any]:
    """Return row counts, revisions and a fingerprint of the schema. Raises StewardError when the database is damaged."""
    try:
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            said = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if said != ["ok"]:
                raise StewardError(f"{name} is damaged: {' / '.join(said)}")
            schema = connection.execute(
                "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1, 2"
            ).fetchall()
            tables = [
                table
                for kind, table, sql in schema
                if kind == "table" and not table.startswith("sqlite_") and "VIRTUAL TABLE" not in sql.upper()
            ]
            rows = {
                quote_ident(table): int(connection.execute(_COUNT + '"' + table.replace('"', '""') + '"').fetchone()[0])
                for table in tables
            }
            revisions = {}
            if "alembic_version" in tables:
                held = connection.execute("SELECT version_num FROM alembic_version ORDER BY 1").fetchall()
                revisions["alembic_version"] = [str(revision) for (revision,) in held]
    except sqlite3.Error as error:
        raise StewardError(f"{name} is damaged: {error}") from None
    fingerprint = hashlib.sha256(repr(schema).encode("utf-8", "surrogatepass")).hexdigest()
    return {"rows": rows, "revisions": revisions, "fingerprint": fingerprint}


def _gzipped(path: Path) -> Iterator[bytes]:
    """Yield a file compressed, the same for the same file."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: with the header of gzip, which then holds no time
    with path.open("rb") as stream:
        while data := stream.read(CHUNK):
            packed = packer.compress(data)
            if packed:
                yield packed
    yield packer.flush()


def refuse(manifest: Manifest, path: Path, confirm: str) -> None:
    """Raise StewardError when a dump is not to be restored to a file. Looks only."""
    if manifest.kind != manifests.SQLITE:
        raise StewardError(f"{manifest.name} is a dump of {manifest.kind}, which goes to a server and not to a file")
    if not path.is_absolute() or not path.parent.is_dir():
        raise StewardError(f"{path} is no place for the file: give an absolute path in a directory that is there")
    if path.exists() and confirm != str(path):
        given = f", not {confirm}" if confirm else ""
        raise StewardError(f"{path} is there: give confirm={path} to restore over it{given}, or another path")
    finding = room_finding(manifest.database_bytes, free_below(path.parent), str(path.parent), str(path))
    if finding:
        raise StewardError(finding)


def restore(target: Target, manifest: Manifest, path: Path, confirm: str, staging: Path) -> dict[str, Any]:
    """Restore a dump to a file; what was there is kept beside it. Raises StewardError with the former file in place."""
    begun = time.monotonic()
    refuse(manifest, path, confirm)
    partial = path.with_name(f".{path.name}.restoring")
    with private_directory(staging) as private:
        fetched = fetch(target, manifest, private)
        try:
            with partial.open("wb") as out:
                for data in unpacked(fetched.path):
                    out.write(data)
                out.flush()
                os.fsync(out.fileno())
            facts = _look(partial, manifest.name)
            different = manifests.compare_rows(manifest.rows, facts["rows"])
            if different or facts["fingerprint"] != manifest.fingerprint:
                raise StewardError(f"{manifest.name} is not what its manifest says; {path} is as it was")
            former = _set_aside(path) if path.exists() else None
            if former:
                shutil.copystat(former, partial)
                with contextlib.suppress(PermissionError):
                    os.chown(partial, former.stat().st_uid, former.stat().st_gid)
            _put_in_place(partial, path, former)
        except OSError as error:
            raise StewardError(f"{path} cannot be written: {error.strerror}") from None
        finally:
            partial.unlink(missing_ok=True)
            for ending in BESIDE:
                _beside(partial, ending).unlink(missing_ok=True)
    return {
        "changed": True,
        "state": "done",
        "path": str(path),
        "former": str(former) if former else None,
        "name": manifest.name,
        "rows": {
            "tables": len(facts["rows"]),
            "expected": sum(manifest.rows.values()),
            "found": sum(facts["rows"].values()),
            "different": [],
        },
        "revisions": facts["revisions"],
        "seconds": round(time.monotonic() - begun, 2),
    }


def _set_aside(path: Path) -> Path:
    """Move a database file out of the way."""
    former = path.with_name(f"{path.name}.before_{datetime.now(UTC).strftime(names.STAMP)}")
    _move(path, former)
    return former


def _put_in_place(partial: Path, path: Path, former: Path | None) -> None:
    try:
        partial.rename(path)
    except OSError:
        if former:
            _move(former, path)
        raise


def _move(path: Path, to: Path) -> None:
    """Rename a database file with what belongs to it: a WAL that stayed would be read into the next one."""
    path.rename(to)
    for ending in BESIDE:
        if _beside(path, ending).exists():
            _beside(path, ending).rename(_beside(to, ending))
