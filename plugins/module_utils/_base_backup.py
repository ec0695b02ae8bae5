# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A data directory made by pg_basebackup: what may be replaced, what is kept aside, and the copy itself."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _controldata, _owned_file, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils import _standby_data as standby_data
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._standby_data import Primary, Reach, Standby
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import unfinished_mark

# What a data directory may be.
NOTHING = "nothing"  # absent, or empty
UNFINISHED = "unfinished"  # a copy of ours that was cut short
OWN_STANDBY = "own standby"  # follows this cluster, was never promoted, and has nothing that the primary lacks
OTHER = "other"  # everything else

APPLICATION = "pgsteward base backup"
# What a server keeps in a directory of WAL, and nothing else does.
_WAL_NAME = re.compile(
    r"[0-9A-F]{24}(\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history(\.tmp)?|archive_status|summaries"
    r"|xlogtemp\.[0-9]+|RECOVERYXLOG|RECOVERYHISTORY"
)


@dataclass(frozen=True)
class Request(Standby):
    """What to copy where. replace: an own standby may go. confirm, node: they must be equal to put foreign data aside."""

    wal_directory: Path | None
    slot: str | None
    rate_limit: str | None
    replace: bool
    node: str
    confirm: str


def entries(directory: Path | None) -> list[str]:
    """Return the names in a directory, sorted; none where there is no directory."""
    return sorted(path.name for path in directory.iterdir()) if directory and directory.exists() else []


def standing(request: Request) -> Reach:
    """Return up to where the WAL of what is there goes; nothing where no control file says so."""
    if "PG_VERSION" not in entries(request.data_directory) or unfinished_mark(request.data_directory).exists():
        return {}
    try:
        control = _controldata.read(request.bin_directory, request.data_directory)
    except StewardError:
        return {}
    return standby_data.reached(request.bin_directory, request.data_directory, control)


def kind_of(data_directory: Path, bin_directory: Path, primary: Primary, reach: Reach) -> tuple[str, str]:
    """Return what is in a data directory, and one phrase about it. reach: up to where its WAL goes. Reads only."""
    names = [name for name in entries(data_directory) if name != "lost+found"]
    if not names:
        return NOTHING, "is empty"
    if unfinished_mark(data_directory).exists():
        return UNFINISHED, "holds a copy that was cut short"
    if "PG_VERSION" not in names:
        return OTHER, f"holds {', '.join(names[:3])}, which is no data directory"
    try:
        control = _controldata.read(bin_directory, data_directory)
    except StewardError as error:
        return OTHER, f"cannot be read ({error})"
    if control.system_identifier != primary.system_identifier:
        return (
            OTHER,
            f"belongs to another cluster (system identifier {control.system_identifier}, not {primary.system_identifier})",
        )
    if standby_data.SIGNAL not in names or not control.in_recovery:
        return OTHER, f"was written by a primary ({control.state}, timeline {control.timeline})"
    surplus = standby_data.ahead(reach, primary)
    if surplus:
        return OTHER, f"is a standby whose WAL {surplus}"
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


def wal_finding(data: Path, wanted: Path | None) -> str | None:
    """Return why the WAL cannot be kept apart, in `wanted`, or its former directory not be emptied; None when all is well.

    The former one is where data/pg_wal leads to. It goes the way of the data, and so may hold nothing but WAL.
    """
    former = standby_data.wal_apart(data)
    foreign = [name for name in entries(former) if not _WAL_NAME.fullmatch(name)]
    if foreign:
        return (
            f"{former}, where {data / standby_data.WAL} leads to, holds {', '.join(foreign[:3])} beside WAL: take that away first, as the"
            " directory goes the way of the data"
        )
    if wanted is None:
        return None
    if not wanted.is_absolute() or wanted.is_relative_to(data) or data.is_relative_to(wanted):
        return f"pg_replica_wal_directory: {wanted} must be an absolute path apart from the data directory {data}"
    found = entries(wanted)
    if found and wanted.resolve() != former:
        return (
            f"pg_replica_wal_directory: {wanted} holds {', '.join(found[:3])}, which do not belong to {data}: nothing is written over them; take"
            " them away, or name another directory"
        )
    return None


def room_findings(needed: int, path: Path) -> str | None:
    """Return why `needed` bytes do not fit below `path`, None when they do."""
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free >= needed:
        return None
    return f"{place} has {free >> 20} MB free and the copy takes about {needed >> 20} MB; make room, then run again"


def set_aside(directory: Path, now: float) -> tuple[Path, Path | None]:
    """Move a data directory, and its WAL where that is apart, each beside itself; return where they are.

    A directory that is a file system of its own keeps its place: then the content cannot be moved, and StewardError says so.
    """
    wal = standby_data.wal_apart(directory)
    for one in (directory, wal):
        if one and one.is_mount():
            raise StewardError(
                f"{one} is a file system of its own, so what it holds cannot be put aside: empty it by hand"
            )
    aside, wal_aside = standby_data.aside_of(directory, now), None
    if wal:
        wal_aside, link = standby_data.aside_of(wal, now), directory / standby_data.WAL
        wal.rename(wal_aside)
        link.unlink()
        link.symlink_to(wal_aside)  # or the old data would lead to the new WAL
    directory.rename(aside)
    return aside, wal_aside


def clear(directory: Path) -> None:
    """Remove what a data directory holds; the directory itself stays, as it may be a file system of its own."""
    for path in directory.iterdir():
        if path.name == "lost+found":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def make(directory: Path, owner: tuple[int, int]) -> None:
    """Make a directory that only its owner may enter, and those above it that are missing."""
    for parent in reversed([path for path in directory.parents if not path.exists()]):
        parent.mkdir(mode=0o755)
        os.chown(parent, *owner)
    directory.mkdir(mode=0o700, exist_ok=True)
    os.chown(directory, *owner)
    directory.chmod(0o700)


def copy(request: Request, run: standby_data.Run = subprocess.run) -> dict[str, Any]:
    """Run pg_basebackup as the owner of the data; return seconds and bytes. Raises StewardError with its last words.

    A copy that is cut short leaves a mark, so that the next run knows that what is there is no data of anybody.
    """
    account = pwd.getpwnam(request.owner)
    owner = (account.pw_uid, account.pw_gid)
    directory, mark = request.data_directory, unfinished_mark(request.data_directory)
    make(directory, owner)
    _owned_file.write(mark, "pg_basebackup has begun here and not ended.\n", owner=owner)
    former = standby_data.wal_apart(directory)
    if former:  # before the link to it goes: a run that is cut short in between finds it again
        clear(former)
    clear(directory)
    if request.wal_directory:
        make(request.wal_directory, owner)
    begun = time.monotonic()
    outcome = standby_data.run_as_owner(request.owner, command(request), run)
    if outcome.returncode:
        words = " / ".join(
            line for line in outcome.stderr.splitlines() if "error" in line.lower() or "fatal" in line.lower()
        )
        raise StewardError(f"pg_basebackup from {request.host} failed: {words or outcome.stderr[-500:]}")
    standby_data.mark_standby(directory, request.owner)
    mark.unlink()
    copied = standby_data.size_of(directory) + standby_data.size_of(request.wal_directory)
    return {"seconds": round(time.monotonic() - begun, 2), "bytes": copied}


def command(request: Request) -> list[str]:
    """Return pg_basebackup's command line. The password is in the pass file."""
    return [
        str(request.bin_directory / "pg_basebackup"),
        f"--dbname={standby_data.login(request, APPLICATION)}",
        f"--pgdata={request.data_directory}",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--no-password",
        "--verbose",
        *([f"--slot={request.slot}"] if request.slot else []),
        *([f"--waldir={request.wal_directory}"] if request.wal_directory else []),
        *([f"--max-rate={request.rate_limit}"] if request.rate_limit else []),
    ]


def carry_out(request: Request, dry_run: bool) -> dict[str, Any]:
    """Decide, put aside what is somebody's, copy; return the module's result."""
    data = request.data_directory
    reach = standing(request)  # before the primary is asked, which only gets further
    primary = standby_data.ask_primary(request, APPLICATION, history=bool(reach))
    kind, phrase = kind_of(data, request.bin_directory, primary, reach)
    result: Mapping[str, Any] = {
        "changed": False,
        "found": kind,
        "aside": None,
        "wal_aside": None,
        "seconds": 0.0,
        "bytes": 0,
    }
    if not decide(kind, phrase, request):
        return dict(result)
    if _postmaster.find(data) and not dry_run:
        raise StewardError(f"a server runs in {data}: stop it first")
    needed = primary.size if kind != OWN_STANDBY else 0
    finding = wal_finding(data, request.wal_directory) or room_findings(needed, data)
    if finding:
        raise StewardError(finding)
    result = {**result, "changed": True}
    if dry_run:
        return dict(result)
    if kind == OTHER:
        aside, wal_aside = set_aside(data, time.time())
        result = {**result, "aside": str(aside), "wal_aside": str(wal_aside) if wal_aside else None}
    return {**result, **copy(request)}
