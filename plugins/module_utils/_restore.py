# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A backup becomes a data directory: in the place of the present one, which is kept aside, or beside everything that runs.

In place the restore goes into a directory of its own as well; the former data stay where they are until it is complete, and then both
change places by renames. So a restore that fails, or is killed, leaves what was there, and going back is the same renames again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pwd
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _controldata,
    _owned_file,
    _postmaster,
    _restore_plan,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_source as source_of
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_wal as wal
from ansible_collections.pgsteward.postgres.plugins.module_utils import _standby_data as standby_data
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_plan import Need, Plan
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import PROGRAM, Backrest
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import (
    IMMEDIATE,
    LATEST,
    POINTED,
    Stanza,
    Target,
    Wish,
)

LIMIT = 7 * 86400.0  # seconds for a restore
STILL_WRITTEN = 10.0  # seconds
NEW, UNDONE = ".restoring", ".undone"  # what is not complete yet, and what was given up; both go away by themselves
TABLESPACES = "pg_tblspc"
MARK = "restore.json"  # lies in every directory that is made for a server beside the live one
# What a server of another time must not bring along, and what a running one leaves behind.
_NOT_COPIED = frozenset({standby_data.WAL, "postmaster.pid", "postmaster.opts"})
# Configuration that some platforms keep among the data: that of today is kept.
_CONFIGURATION = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "conf.d")


@dataclass(frozen=True)
class Request:
    """What to restore where.

    wal_directory: where the WAL is kept apart. processes: how many transfer at a time. foreign: system identifier of another cluster whose
    data may be put aside.
    """

    backrest: Backrest
    target: Target
    wish: Wish
    data_directory: Path
    bin_directory: Path
    wal_directory: Path | None = None
    processes: int = 2
    limit: float = LIMIT
    foreign: str | None = None


# The command line


def command(
    request: Request, plan: Plan, into: Path, tablespaces: Mapping[int, Path], scratch: Path | None = None
) -> list[str]:
    """Return the command line of pgbackrest restore.

    into: the directory that is filled. tablespaces: oid -> directory. scratch: where a restore beside everything else keeps its locks and
    its queue; in place it is None, and the server archives again once it is promoted.
    """
    target, backup = plan.target, plan.backup
    kind = {LATEST: "standby"}.get(target.kind, target.kind)
    options = [
        f"--stanza={plan.stanza.name}",
        f"--repo={backup.repository}",
        f"--set={backup.label}",
        "--reset-pg1-host",  # on a repository host the server is elsewhere
        f"--pg1-path={into}",
        f"--process-max={request.processes}",
        "--delta",
        f"--type={kind}",
        f"--recovery-option=restore_command={restore_command(request, scratch)}",
    ]
    if target.kind in POINTED:
        options.append(f"--target={target.text}")
    if target.kind != LATEST:
        options.append("--target-action=pause")
    if target.exclusive:
        options.append("--target-exclusive")
    if target.kind == IMMEDIATE:
        options.append("--recovery-option=recovery_target_timeline=current")
    else:
        # By its number a server wants to see its history, which is missing where archiving began on it.
        options.append(f"--target-timeline={'current' if plan.timeline == backup.timeline else plan.timeline}")
    if target.kind == LATEST:  # it goes on asking the archive, and streams from nobody
        options += ["--recovery-option=primary_conninfo=", "--recovery-option=primary_slot_name="]
    options += [f"--tablespace-map={oid}={path}" for oid, path in sorted(tablespaces.items())]
    if scratch is not None:
        options += ["--archive-mode=off", f"--lock-path={scratch / 'lock'}"]
    return request.backrest.command("restore", *options)


def restore_command(request: Request, scratch: Path | None) -> str:
    """Return how the restored server gets its WAL. Beside a live one it shares neither locks nor queue with that."""
    words = [PROGRAM, f"--stanza={request.backrest.stanza}", "--log-level-stderr=error"]
    if request.backrest.config:
        words.append(f"--config={request.backrest.config}")
    words += request.backrest.of_then()
    if scratch is not None:
        words += ["--reset-pg1-host", f"--pg1-path={request.data_directory}"]
        words += [f"--lock-path={scratch / 'lock'}", f"--spool-path={scratch / 'spool'}"]
    return f'{" ".join(map(_quoted, words)).replace("%", "%%")} archive-get %f "%p"'


def _quoted(word: str) -> str:
    """Return a word of a shell's command line. Without single quotes: pgBackRest puts all of it between some, as it is."""
    return word if shlex.quote(word) == word else f'"{word}"'


# What is on the host


def local_segments(request: Request, system_identifier: str) -> dict[str, float]:
    """Return the segments that a server which is stopped has written, and when: of those some may not be archived.

    Nothing where its control file cannot be read, is of another cluster, or does not lead to the end of its WAL.
    """
    data = request.data_directory
    try:
        control = _controldata.read(request.bin_directory, data)
    except StewardError:
        return {}
    held = _controldata.written(data, control.wal_segment_bytes)
    if held is None or control.system_identifier != system_identifier:
        return {}
    newest = _controldata.newest(control, held)
    end = _controldata.wal_end(request.bin_directory, data, newest)
    if end is None:
        return {}
    size, found = control.wal_segment_bytes, {}
    for path in (data / standby_data.WAL).iterdir():
        with contextlib.suppress(StewardError, OSError):
            if wal.number_of(path.name, size) <= end // size and wal.timeline_of(path.name) <= newest.timeline:
                found[path.name] = path.stat().st_mtime
    return found


def live_segments(data: Path, segment_bytes: int, now: float) -> dict[str, float]:
    """Return the segments of a server that runs, and when they were written: until it has stopped they are archived, or come along."""
    found = {}
    for path in (data / standby_data.WAL).iterdir():
        with contextlib.suppress(StewardError, OSError):
            wal.number_of(path.name, segment_bytes)
            found[path.name] = path.stat().st_mtime
    newest = max(found, key=lambda name: found[name], default=None)
    # Later names are files that wait to be written again.
    return {
        name: now if name == newest else when
        for name, when in found.items()
        if newest is not None
        and wal.number_of(name, segment_bytes) <= wal.number_of(newest, segment_bytes)
        and wal.timeline_of(name) <= wal.timeline_of(newest)
    }


def tablespace_links(data: Path) -> dict[int, Path]:
    """Return the tablespaces of a data directory, by oid."""
    directory = data / TABLESPACES
    links = [path for path in directory.iterdir() if path.is_symlink()] if directory.is_dir() else []
    return {int(link.name): link.readlink() for link in links if link.name.isdigit()}


def wal_place(request: Request) -> Path | None:
    """Return where the restored server keeps its WAL when that is apart: where it is asked to be, or where it was."""
    return request.wal_directory or standby_data.wal_apart(request.data_directory)


def places(request: Request, plan: Plan) -> list[Path]:
    """Return the directories that change places with those of the restore: the data, the tablespaces, the WAL when it is apart."""
    apart = wal_place(request)
    return [request.data_directory, *plan.tablespaces.values(), *([apart] if apart else [])]


def in_place_finding(request: Request, plan: Plan) -> str | None:
    """Return why a restore in place cannot keep what is there aside, None when it can, once the server is stopped."""
    mounts = [str(place) for place in places(request, plan) if place.is_mount()]
    if mounts:
        return (
            f"{' and '.join(mounts)} is a file system of its own, so what it holds cannot be kept aside: restore beside it, or put the data into"
            " a directory of it"
        )
    return _restore_plan.room_finding(needs(request, plan))


def needs(request: Request, plan: Plan) -> list[Need]:
    """Return what a restore in place writes where. A copy of what is there is made first, and then made equal to the backup."""
    there, sizes = tablespace_links(request.data_directory), {}
    for oid, place in plan.tablespaces.items():
        if oid in there and place.is_dir():
            sizes[place] = standby_data.size_of(place)
    data = request.data_directory
    own = standby_data.size_of(data) if data.is_dir() else 0
    rest = max(own, plan.backup.size - sum(sizes.values()))
    parent = next(path for path in data.parents if path.exists())
    device = parent.stat().st_dev
    same = sum(size for place, size in sizes.items() if place.stat().st_dev == device)
    return [
        Need(data, rest + same, _restore_plan.shares_blocks(parent)),
        *(
            Need(place, size, _restore_plan.shares_blocks(place))
            for place, size in sizes.items()
            if place.stat().st_dev != device
        ),
    ]


def make_plan(request: Request, now: float, in_place: bool) -> Plan:
    """Return the plan of a restore; raises StewardError where it cannot be done. Reads only."""

    def here(stanza: Stanza) -> Mapping[str, float]:
        found = _identifier(request) if in_place else None
        if found not in (None, stanza.system_identifier, request.foreign):
            raise StewardError(
                f"the stanza {stanza.name!r} is of another cluster (system identifier {stanza.system_identifier}) than what is in"
                f" {request.data_directory} ({found}): name the right stanza; or, where these data are to go aside for it, confirm {found} as"
                " well"
            )
        if not in_place or request.backrest.as_of:  # what is here is later than what is asked for
            return {}
        if _postmaster.find(request.data_directory):
            return live_segments(request.data_directory, stanza.segment_bytes, now)
        return local_segments(request, stanza.system_identifier)

    major = _restore_plan.major_of(request.backrest, request.bin_directory)
    return _restore_plan.make(request.backrest, request.target, request.wish, now, major, here)


def _identifier(request: Request) -> str | None:
    try:
        return _controldata.read(request.bin_directory, request.data_directory).system_identifier
    except StewardError:
        return None


# In place


def records(data: Path) -> list[Path]:
    """Return the files that say what restores in place have put aside, the oldest first: a second try leaves what the first one kept."""
    return sorted(data.parent.glob(f".{data.name}.pgsteward_restore.*.json"))


def read_record(data: Path) -> dict[str, Any]:
    """Return what the last restore in place has put aside; raises StewardError when there is nothing."""
    found = records(data)
    if not found:
        raise StewardError(f"no restore in place of {data} is on record: there is nothing to go back to, or to remove")
    return _read(found[-1])


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def in_place(request: Request, plan: Plan, now: float) -> dict[str, Any]:
    """Restore into the place of a data directory, whose server is stopped; return what was done.

    Raises StewardError, and then what was there is as it was.
    """
    data, backrest = request.data_directory, request.backrest
    if _postmaster.find(data):
        raise StewardError(f"a server runs in {data}: stop it first")
    finding = in_place_finding(request, plan)
    if finding:
        raise StewardError(finding)
    begun, news = time.monotonic(), {place: _named(place, NEW) for place in places(request, plan)}
    for new in news.values():
        _remove(new)
    try:
        with _owned(backrest.owner) as owner:
            _copy_former(request, plan, news, owner)
            done = _run(request, plan, news[data], {oid: news[path] for oid, path in plan.tablespaces.items()}, None)
            _furnish(request, plan, news, owner)
    except BaseException:
        for new in news.values():
            _remove(new)
        raise
    moved = _change_places(request, plan, news, now)
    return {**done, "aside": moved, "seconds": round(time.monotonic() - begun, 2)}


def _named(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextlib.contextmanager
def _owned(account: str) -> Iterator[tuple[int, int]]:
    """Give the numbers of an account, and translate what the system refuses into one line."""
    found = pwd.getpwnam(account)
    try:
        yield found.pw_uid, found.pw_gid
    except OSError as error:
        raise StewardError(f"the restore cannot go on: {error}") from None


def _copy_former(request: Request, plan: Plan, news: Mapping[Path, Path], owner: tuple[int, int]) -> None:
    """Begin with a copy of what is there, so that only what differs has to be fetched; with an empty directory where there is nothing."""
    data, there = request.data_directory, tablespace_links(request.data_directory)
    for place in (data, *plan.tablespaces.values()):
        new = news[place]
        _make(new, owner)
        if place == data and (data / "PG_VERSION").exists():
            _copy(place, new, _NOT_COPIED | {TABLESPACES})
        elif place in there.values() and place.is_dir():
            _copy(place, new, frozenset())


def _make(directory: Path, owner: tuple[int, int]) -> None:
    for parent in reversed([path for path in directory.parents if not path.exists()]):
        parent.mkdir(mode=0o755)
    directory.mkdir(mode=0o700, exist_ok=True)
    os.chown(directory, *owner)


def _copy(source: Path, target: Path, without: frozenset[str]) -> None:
    names = [str(path) for path in sorted(source.iterdir()) if path.name not in without]
    if not names:
        return
    outcome = subprocess.run(
        ["cp", "--archive", "--reflink=auto", "--", *names, str(target)], capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        raise StewardError(f"{source} cannot be copied: {outcome.stderr}")


def _run(
    request: Request, plan: Plan, into: Path, tablespaces: Mapping[int, Path], scratch: Path | None
) -> dict[str, Any]:
    """Run pgbackrest restore; return seconds and bytes. Raises StewardError with its reason."""
    begun = time.monotonic()
    outcome = source_of.as_account(
        request.backrest.owner,
        command(request, plan, into, tablespaces, scratch),
        request.limit,
        request.backrest.run,
        bound=True,
    )
    if outcome.returncode:
        raise StewardError(
            f"pgbackrest restore of {plan.backup.label} from repository {plan.backup.repository} failed: {source_of.words(outcome)}"
        )
    seconds = max(0.001, time.monotonic() - begun)
    return {
        "restore_seconds": round(seconds, 2),
        "bytes": plan.backup.size,
        "bytes_per_second": int(plan.backup.size / seconds),
    }


def _furnish(request: Request, plan: Plan, news: Mapping[Path, Path], owner: tuple[int, int]) -> None:
    """Give the new directory what no backup brings: links to where things will be, WAL that was not archived, the configuration of today."""
    data, apart = request.data_directory, wal_place(request)
    new = news[data]
    (new / "tablespace_map").unlink(missing_ok=True)  # it would undo the links
    for oid, place in plan.tablespaces.items():
        link = new / TABLESPACES / str(oid)
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        os.chown(link, *owner, follow_symlinks=False)
    pg_wal = new / standby_data.WAL
    for name in plan.local:
        shutil.copy2(data / standby_data.WAL / name, pg_wal / name)
        os.chown(pg_wal / name, *owner)
    if apart:
        _make(news[apart], owner)
        for path in pg_wal.iterdir():
            shutil.move(str(path), str(news[apart] / path.name))
        pg_wal.rmdir()
        pg_wal.symlink_to(apart)
        os.chown(pg_wal, *owner, follow_symlinks=False)
    if (data / "postgresql.conf").exists():
        for name in _CONFIGURATION:
            _remove(new / name)
            if (data / name).exists():
                subprocess.run(["cp", "--archive", str(data / name), str(new / name)], check=True)


def _change_places(request: Request, plan: Plan, news: Mapping[Path, Path], now: float) -> dict[str, str]:
    """Put each new directory in its place, and what was there aside; return where that is. The record of it is written before."""
    data = request.data_directory
    asides = {place: standby_data.aside_of(place, now) for place in news if place.is_dir()}
    record = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "stanza": plan.stanza.name,
        "backup": plan.backup.label,
        "repository": plan.backup.repository,
        "target": str(plan.target),
        "target_type": plan.target.kind,
        "end": str(plan.end) if plan.end is not None else None,
        "timeline": plan.timeline,
        "from_timeline": plan.backup.timeline,
        "places": [str(place) for place in news],
        "aside": {str(place): str(aside) for place, aside in asides.items()},
    }
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    _owned_file.write(
        data.with_name(f".{data.name}.pgsteward_restore.{stamp}.json"), json.dumps(record, indent=1) + "\n"
    )
    try:
        for place, new in news.items():
            if place in asides:
                place.rename(asides[place])
            new.rename(place)
        _relink(asides.get(data), {str(place): str(aside) for place, aside in asides.items()})
    except OSError as error:
        put_back(data)
        raise StewardError(f"the restored data cannot take the place of the former: {error}") from None
    return {str(place): str(aside) for place, aside in asides.items()}


def _relink(data: Path | None, moved: Mapping[str, str]) -> None:
    """Have the links of a data directory lead to where what they led to is now."""
    if data is None:
        return
    links = [data / standby_data.WAL]
    if (data / TABLESPACES).is_dir():
        links += list((data / TABLESPACES).iterdir())
    for link in links:
        if link.is_symlink() and str(link.readlink()) in moved:
            target, owner = moved[str(link.readlink())], link.lstat()
            link.unlink()
            link.symlink_to(target)
            os.chown(link, owner.st_uid, owner.st_gid, follow_symlinks=False)


def was_promoted(bin_directory: Path, data: Path) -> bool:
    """Tell whether the restored server has taken writes of its own; True where that cannot be told."""
    if not data.is_dir() or (data / "backup_label").exists():
        return False  # not even started
    try:
        return not _controldata.read(bin_directory, data).in_recovery
    except StewardError:
        return True


def put_back(data: Path) -> dict[str, Any]:
    """Undo a restore in place: what was put aside is back where it was, and what was restored is gone. Whatever was done of it before counts.

    The server must be stopped. Returns the record. Raises StewardError where there is none.
    """
    if _postmaster.find(data):
        raise StewardError(f"a server runs in {data}: stop it first")
    record = read_record(data)
    aside = {Path(place): Path(kept) for place, kept in record["aside"].items()}
    gone = []
    for place in map(Path, reversed(record["places"])):
        kept = aside.get(place)
        if (kept is not None and kept.exists()) or (kept is None and not _named(place, NEW).exists()):
            if place.exists():
                _remove(_named(place, UNDONE))
                place.rename(_named(place, UNDONE))
            if kept is not None:
                kept.rename(place)
        gone += [_named(place, UNDONE), _named(place, NEW)]
    _relink(data if data.exists() else None, {str(kept): str(place) for place, kept in aside.items()})
    records(data)[-1].unlink()
    for path in gone:
        _remove(path)
    return record


def settle(data: Path) -> list[str]:
    """Remove what restores in place had put aside; return what that was. Raises StewardError where there is nothing."""
    read_record(data)
    removed = []
    for path in records(data):
        for kept in map(Path, _read(path)["aside"].values()):
            if kept.exists():
                removed.append(str(kept))
            _remove(kept)
        path.unlink()
    return removed


def _remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        _remove_directory(path)


def _remove_directory(path: Path) -> None:
    """Remove a directory. Workers of a program that was killed write into it for a moment longer."""
    until = time.monotonic() + STILL_WRITTEN
    while True:
        try:
            shutil.rmtree(path)
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or time.monotonic() > until:
                raise StewardError(f"{path} cannot be removed: {error.strerror}: remove it yourself") from None
        time.sleep(0.1)


# Beside everything else


def beside_finding(base: Path, plan: Plan) -> str | None:
    """Return why nothing can be restored there, None when it can. What a run that was killed has left is no hindrance."""
    held = beside_mark(base)
    if held is None and base.exists() and any(base.iterdir()):
        return f"{base} holds something that no restore has made: name another port"
    if held is not None and held.get("complete"):
        return f"there is a restored server at {base} already ({held['target']}, since {held['at']}): remove it first, by state=absent"
    return _restore_plan.room_finding([Need(base, plan.backup.size)])


def beside_mark(base: Path) -> dict[str, Any] | None:
    """Return what is noted in a directory that a restore has made, None for any other one."""
    text = _owned_file.read(base / MARK)
    return json.loads(text) if text else None


def lock_of(path: Path) -> Path:
    """Return the file that is there while somebody is at work in a directory."""
    return path.with_name(f".{path.name}.lock")


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep others away from a directory that is being made or removed; raises StewardError when somebody else is at it."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    file = lock_of(path)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StewardError(f"another run is at work in {path}: wait for its end") from None
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def beside(request: Request, plan: Plan, base: Path, now: float, locked: bool = False) -> dict[str, Any]:
    """Restore into a directory below `base`, with tablespaces there; return what was done. Nothing that is live is touched.

    data_directory of the request is below base. locked: others are kept away already. Raises StewardError, and then base is gone again.
    """
    with contextlib.nullcontext() if locked else alone(base):
        return _beside(request, plan, base, now)


def _beside(request: Request, plan: Plan, base: Path, now: float) -> dict[str, Any]:
    finding = beside_finding(base, plan)
    if finding:
        raise StewardError(finding)
    begun = time.monotonic()
    note = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)), "complete": False, **plan.as_facts()}
    try:
        with _owned(request.backrest.owner) as owner:
            _remove_made(base)
            _make(base, owner)
            _owned_file.write(base / MARK, json.dumps(note, indent=1) + "\n")
            for directory in (request.data_directory, base / "lock", base / "spool", base / "socket"):
                _make(directory, owner)
            tablespaces = {oid: base / "tablespaces" / str(oid) for oid in plan.tablespaces}
            for directory in tablespaces.values():
                _make(directory.parent, owner)
                _make(directory, owner)
            done = _run(request, plan, request.data_directory, tablespaces, base)
            (request.data_directory / "tablespace_map").unlink(missing_ok=True)
            _owned_file.write(base / MARK, json.dumps({**note, "complete": True}, indent=1) + "\n")
    except BaseException:
        _remove_made(base)
        raise
    return {**done, "seconds": round(time.monotonic() - begun, 2)}


def remove_beside(base: Path) -> bool:
    """Remove a directory that beside() has made; tell whether there was one. Raises StewardError for a directory of anybody else."""
    if not base.exists():
        return False
    if beside_mark(base) is None and any(base.iterdir()):
        raise StewardError(f"{base} was not made by a restore: it is left alone")
    if _postmaster.find(base / "data"):
        raise StewardError(f"a server runs in {base / 'data'}: stop it first")
    _remove_made(base)
    return True


def _remove_made(base: Path) -> None:
    """Remove a directory with the mark last: whatever interrupts this, the next run knows whose it is."""
    if base.is_dir():
        for path in base.iterdir():
            if path.name != MARK:
                _remove(path)
    _remove(base)
