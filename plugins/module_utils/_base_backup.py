# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A data directory made by pg_basebackup: what may be replaced, what is kept aside, and the copy itself."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _controldata, _owned_file, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._replica import conninfo
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import unfinished_mark

# What a data directory may be.
NOTHING = "nothing"  # absent, or empty
UNFINISHED = "unfinished"  # a copy of ours that was cut short
OWN_STANDBY = "own standby"  # follows this cluster, and was never promoted
OTHER = "other"  # everything else


@dataclass(frozen=True)
class Request:
    """What to copy where. replace: an own standby may go. confirm, node: they must be equal to put foreign data aside."""

    data_directory: Path
    bin_directory: Path
    wal_directory: Path | None
    host: str
    port: int
    user: str
    pass_file: Path
    ca_file: Path
    slot: str | None
    rate_limit: str | None
    owner: str
    replace: bool
    node: str
    confirm: str


def kind_of(data_directory: Path, bin_directory: Path, system_identifier: str) -> tuple[str, str]:
    """Return what is in a data directory, and one phrase about it. Reads only."""
    entries = [path.name for path in data_directory.iterdir()] if data_directory.exists() else []
    entries = [name for name in entries if name != "lost+found"]
    if not entries:
        return NOTHING, "is empty"
    if unfinished_mark(data_directory).exists():
        return UNFINISHED, "holds a copy that was cut short"
    if "PG_VERSION" not in entries:
        return OTHER, f"holds {', '.join(sorted(entries)[:3])}, which is no data directory"
    try:
        control = _controldata.read(bin_directory, data_directory)
    except StewardError as error:
        return OTHER, f"cannot be read ({error})"
    if control.system_identifier != system_identifier:
        return (
            OTHER,
            f"belongs to another cluster (system identifier {control.system_identifier}, not {system_identifier})",
        )
    if "standby.signal" not in entries or not control.in_recovery:
        return OTHER, f"was written by a primary ({control.state}, timeline {control.timeline})"
    return OWN_STANDBY, "is a standby of this cluster"


def decide(kind: str, phrase: str, request: Request) -> bool:
    """Return whether a copy is to be made; raise StewardError when what is there must not be touched.

    Nothing, and a copy of ours that was cut short, are always filled. An own standby only when asked (replace). Anything else
    wants the name of the node as confirmation.
    """
    if kind in (NOTHING, UNFINISHED):
        return True
    if kind == OWN_STANDBY:
        return request.replace
    if not request.replace:
        raise StewardError(
            f"{request.data_directory} {phrase}: nothing is copied over it; reinit_standby with -e confirm={request.node} puts it aside"
        )
    if request.confirm != request.node:
        raise StewardError(
            f"{request.data_directory} {phrase}: give -e confirm={request.node} to put it aside and copy the primary's data"
            + (f", not {request.confirm}" if request.confirm else "")
        )
    return True


def room_findings(needed: int, path: Path) -> str | None:
    """Return why `needed` bytes do not fit below `path`, None when they do."""
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free >= needed:
        return None
    return f"{place} has {free >> 20} MB free and the copy takes about {needed >> 20} MB; make room, then run again"


def set_aside(directory: Path, now: float) -> Path:
    """Move the content of a data directory beside it and return where it is.

    A directory that is a file system of its own keeps its place: then the content cannot be moved, and StewardError says so.
    """
    aside = directory.with_name(f"{directory.name}.aside-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}")
    if directory.is_mount():
        raise StewardError(
            f"{directory} is a file system of its own, so what it holds cannot be put aside: empty it by hand"
        )
    directory.rename(aside)
    return aside


def clear(directory: Path) -> None:
    """Remove what a data directory holds; the directory itself stays, as it may be a file system of its own."""
    for path in directory.iterdir():
        if path.name == "lost+found":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def copy(request: Request, run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> dict[str, Any]:
    """Run pg_basebackup as the owner of the data; return seconds and bytes. Raises StewardError with its last words.

    A copy that is cut short leaves a mark, so that the next run knows that what is there is no data of anybody.
    """
    account = pwd.getpwnam(request.owner)
    owner = (account.pw_uid, account.pw_gid)
    directory, mark = request.data_directory, unfinished_mark(request.data_directory)
    for parent in reversed([path for path in directory.parents if not path.exists()]):
        parent.mkdir(mode=0o755)
        os.chown(parent, *owner)
    _owned_file.write(mark, "pg_basebackup has begun here and not ended.\n", owner=owner)
    if not directory.exists():
        directory.mkdir(mode=0o700)
    os.chown(directory, *owner)
    directory.chmod(0o700)
    clear(directory)
    begun, line = time.monotonic(), command(request)
    try:
        outcome = run(
            line,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
        )
    except OSError as error:
        raise StewardError(f"cannot run {line[0]}: {error}") from None
    if outcome.returncode:
        words = " / ".join(
            line for line in outcome.stderr.splitlines() if "error" in line.lower() or "fatal" in line.lower()
        )
        raise StewardError(f"pg_basebackup from {request.host} failed: {words or outcome.stderr[-500:]}")
    (directory / "standby.signal").touch(mode=0o600)
    os.chown(directory / "standby.signal", *owner)
    mark.unlink()
    return {"seconds": round(time.monotonic() - begun, 2), "bytes": size_of(directory)}


def command(request: Request) -> list[str]:
    """Return pg_basebackup's command line. The password is in the pass file."""
    login = conninfo(
        {
            "host": request.host,
            "port": request.port,
            "user": request.user,
            "passfile": request.pass_file,
            "sslmode": "verify-full",
            "sslrootcert": request.ca_file,
            "connect_timeout": 10,
            "application_name": "pgsteward base backup",
        }
    )
    return [
        str(request.bin_directory / "pg_basebackup"),
        f"--dbname={login}",
        f"--pgdata={request.data_directory}",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--no-password",
        "--verbose",
        *([f"--slot={request.slot}"] if request.slot else []),
        *([f"--waldir={request.wal_directory}"] if request.wal_directory else []),
        *([f"--max-rate={request.rate_limit}"] if request.rate_limit else []),
    ]


def size_of(directory: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def ask_primary(request: Request) -> tuple[str, int]:
    """Return the system identifier of the primary and the bytes of its databases; raises StewardError when it cannot be asked."""
    query = (("passfile", str(request.pass_file)), ("sslmode", "verify-full"), ("sslrootcert", str(request.ca_file)))
    place = Place("postgres", request.host, request.port, request.user, query=query)
    with connect(place, "pgsteward pg_base_backup") as connection:
        [(standby, identifier, size)] = connection.execute(
            "SELECT pg_is_in_recovery(), (SELECT system_identifier::text FROM pg_control_system()),"
            " (SELECT sum(pg_database_size(oid))::bigint FROM pg_database)"
        ).fetchall()
    if standby:
        raise StewardError(f"{request.host} is a standby: copy from the primary")
    return identifier, size


def carry_out(request: Request, dry_run: bool) -> dict[str, Any]:
    """Decide, put aside what is somebody's, copy; return the module's result."""
    system_identifier, needed = ask_primary(request)
    kind, phrase = kind_of(request.data_directory, request.bin_directory, system_identifier)
    result: Mapping[str, Any] = {"changed": False, "found": kind, "aside": None, "seconds": 0.0, "bytes": 0}
    if not decide(kind, phrase, request):
        return dict(result)
    if _postmaster.find(request.data_directory) and not dry_run:
        raise StewardError(f"a server runs in {request.data_directory}: stop it first")
    missing = room_findings(needed if kind != OWN_STANDBY else 0, request.data_directory)
    if missing:
        raise StewardError(missing)
    aside = None
    if not dry_run:
        if kind == OTHER:
            aside = set_aside(request.data_directory, time.time())
        result = {**result, **copy(request)}
    return {**result, "changed": True, "aside": str(aside) if aside else None}
