# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What it takes to make a data directory a standby's, by a copy or by pg_rewind.

Who the primary is and how far its WAL goes, how far that of the directory goes, programs that run as the owner of the data, and
where former data are kept.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _controldata
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import ControlData, Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._replica import conninfo

if TYPE_CHECKING:
    import psycopg

# Arguments of every module that makes a standby; the fragment standby_data documents them.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "data_directory": {"type": "path", "required": True},
    "bin_directory": {"type": "path", "required": True},
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str", "required": True},
    "pass_file": {"type": "path", "required": True, "no_log": False},
    "owner": {"type": "str", "default": "postgres"},
}
SIGNAL = "standby.signal"
WAL = "pg_wal"
PAGE = 8192  # bytes of a page of WAL, and of its two kinds of header, which come before its first record
PAGE_HEADERS = (24, 40)

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Reach = Mapping[int, Lsn]  # timeline -> up to where


@dataclass(frozen=True)
class Standby:
    """A data directory here, and the primary that it is to follow."""

    data_directory: Path
    bin_directory: Path
    host: str
    port: int
    user: str
    pass_file: Path
    ca_file: Path
    owner: str


@dataclass(frozen=True)
class Primary:
    """What the primary says of itself. size: bytes of its databases; reach: where it left each earlier timeline, and where it is."""

    system_identifier: str
    size: int
    timeline: int
    reach: Reach


def with_paths(specification: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a module with its paths as such."""
    return {
        name: Path(value) if value and specification[name]["type"] == "path" else value for name, value in given.items()
    }


def login(standby: Standby, application: str, **more: Any) -> str:
    """Return the connection string for a program that asks the primary. The password is in the pass file."""
    return conninfo(
        {
            "host": standby.host,
            "port": standby.port,
            "user": standby.user,
            **more,
            "passfile": standby.pass_file,
            "sslmode": "verify-full",
            "sslrootcert": standby.ca_file,
            "connect_timeout": 10,
            "application_name": application,
        }
    )


def ask_primary(standby: Standby, application: str, history: bool = True) -> Primary:
    """Return what the primary says; raises StewardError when it cannot be asked, or is none.

    history: whether to ask where it left earlier timelines too, which takes the right to read that file.
    """
    query = (("passfile", str(standby.pass_file)), ("sslmode", "verify-full"), ("sslrootcert", str(standby.ca_file)))
    place = Place("postgres", standby.host, standby.port, standby.user, query=query)
    with connect(place, application) as connection:
        [(recovers,)] = connection.execute("SELECT pg_is_in_recovery()").fetchall()
        if recovers:
            raise StewardError(f"{standby.host} is a standby: name the primary")
        [(identifier, size, lsn, timeline)] = connection.execute(
            "SELECT (SELECT system_identifier::text FROM pg_control_system()),"
            " (SELECT sum(pg_database_size(oid))::bigint FROM pg_database),"
            " pg_current_wal_flush_lsn()::text, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"
        ).fetchall()
        text = _history(connection, standby.user, timeline) if history and timeline > 1 else ""
    return Primary(identifier, size, timeline, {**forks(text), timeline: Lsn.parse(lsn)})


def _history(connection: psycopg.Connection[Any], user: str, timeline: int) -> str:
    import psycopg

    file = f"{WAL}/{timeline:08X}.history"
    try:
        [(content,)] = connection.execute("SELECT pg_read_binary_file(%s)", [file]).fetchall()
    except psycopg.Error as error:
        raise StewardError(
            f"{user} cannot read {file} on the primary: as for pg_rewind, GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO {user} ({error})"
        ) from None
    return bytes(content).decode(errors="replace")


def forks(history: str) -> dict[int, Lsn]:
    """Return where each earlier timeline was left, by the text of a timeline's history file."""
    rows = [line.split() for line in history.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {int(row[0]): Lsn.parse(row[1]) for row in rows}


def reached(bin_directory: Path, data_directory: Path, control: ControlData) -> dict[int, Lsn]:
    """Return up to where the WAL of a directory goes, on the timeline of its last checkpoint and on that which recovery was on.

    Received WAL counts whether it was replayed or not, as far as it can be read: a standby replays it before it asks its primary.
    """
    starts = {control.timeline: (control.redo, control.checkpoint)}
    if control.min_recovery and control.min_recovery_timeline:
        start, least = starts.get(control.min_recovery_timeline, (control.min_recovery, control.min_recovery))
        starts[control.min_recovery_timeline] = (start, max(least, control.min_recovery))
    ends = {
        timeline: _controldata.wal_end(bin_directory, data_directory, replace(control, timeline=timeline, redo=start))
        for timeline, (start, _least) in starts.items()
    }
    return {timeline: max(ends[timeline] or least, least) for timeline, (_start, least) in starts.items()}


def beyond(mine: Reach, theirs: Reach) -> int | None:
    """Return the first timeline on which `mine` goes further than `theirs`, None when all of it is a part of theirs."""
    return next((line for line in sorted(mine) if _level(mine[line]) > _level(theirs.get(line, Lsn(0)))), None)


def _level(lsn: Lsn) -> Lsn:
    """Return the position without the header of a page, behind which nothing has been written yet."""
    return Lsn(lsn - lsn % PAGE) if lsn % PAGE in PAGE_HEADERS else lsn


def ahead(mine: Reach, primary: Primary) -> str | None:
    """Return what a directory has and the primary has not, as one phrase, None when there is nothing."""
    timeline = beyond(mine, primary.reach)
    if timeline is None:
        return None
    theirs = primary.reach.get(timeline)
    if theirs is None:
        return f"has timeline {timeline}, which the primary on timeline {primary.timeline} does not know"
    where = "is" if timeline == primary.timeline else f"left that timeline for {primary.timeline}"
    return f"goes up to {mine[timeline]} on timeline {timeline}, ahead of {theirs}, where the primary {where}"


def run_as_owner(owner: str, command: list[str], run: Run = subprocess.run) -> subprocess.CompletedProcess[str]:
    """Run a program as the account that owns the data, with a small environment; raises StewardError when there is no such program."""
    account = pwd.getpwnam(owner)
    try:
        return run(
            command,
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
        raise StewardError(f"cannot run {command[0]}: {error}") from None


def mark_standby(data_directory: Path, owner: str) -> None:
    """Have the server start as a standby."""
    account, signal = pwd.getpwnam(owner), data_directory / SIGNAL
    signal.touch(mode=0o600)
    os.chown(signal, account.pw_uid, account.pw_gid)


def wal_apart(data_directory: Path) -> Path | None:
    """Return the directory that a data directory keeps its WAL in when that is another one, and is there."""
    link = data_directory / WAL
    return link.resolve() if link.is_symlink() and link.is_dir() else None


def aside_of(directory: Path, now: float) -> Path:
    """Return where what a directory holds at that time, in seconds since 1970, is kept."""
    return directory.with_name(f"{directory.name}.aside-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}")


def size_of(directory: Path | None) -> int:
    """Return the bytes of all files below a directory; 0 without one."""
    paths = directory.rglob("*") if directory else ()
    return sum(path.lstat().st_size for path in paths if path.is_file() and not path.is_symlink())
