# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pg_controldata says of a data directory, whether a server runs on it or not; and positions in the WAL."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

LIMIT = 10.0  # seconds; the file has 8 KiB

# States of a data directory that matter to decisions; the words are pg_controldata's.
SHUT_DOWN = "shut down"
SHUT_DOWN_IN_RECOVERY = "shut down in recovery"
IN_ARCHIVE_RECOVERY = "in archive recovery"
IN_PRODUCTION = "in production"

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_Value = TypeVar("_Value")


class Lsn(int):
    """A position in the WAL, in bytes from its beginning; compares as a number and reads as PostgreSQL writes it."""

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Return the position that a text such as 0/3000148 names; raises StewardError for anything else."""
        match = _LSN.fullmatch(text.strip())
        if match is None:
            raise StewardError(f"{text!r} is no position in the WAL: one reads like 0/3000148")
        return cls(int(match[1], 16) << 32 | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    __repr__ = __str__


@dataclass(frozen=True)
class ControlData:
    """What matters of a control file.

    checkpoint: where the record of the last checkpoint begins. redo: from where recovery starts. min_recovery: up to where
    recovery must come before the data are consistent, with its timeline; None outside recovery. While a server runs all this
    is of its last checkpoint (primary) or restart point (standby). timeline is older than the server's own from a promotion
    until the first checkpoint after it.
    """

    state: str
    system_identifier: str
    checkpoint: Lsn
    redo: Lsn
    timeline: int
    previous_timeline: int
    min_recovery: Lsn | None
    min_recovery_timeline: int | None
    checksums: bool
    wal_log_hints: bool
    wal_segment_bytes: int

    @property
    def in_recovery(self) -> bool:
        """Whether the data are those of a standby, running or not, that was never promoted."""
        return self.state in (IN_ARCHIVE_RECOVERY, SHUT_DOWN_IN_RECOVERY)


def parse(text: str) -> ControlData:
    """Return what the output of pg_controldata says; raises StewardError when something is missing in it."""
    fields = {
        name.strip(): value.strip()
        for name, colon, value in (line.partition(":") for line in text.splitlines())
        if colon
    }

    def field(name: str, read: Callable[[str], _Value]) -> _Value:
        try:
            return read(fields[name])
        except (KeyError, ValueError):
            raise StewardError(
                f"pg_controldata does not say {name!r} in a form that is known here: use the one of the server's version"
            ) from None

    least = field("Minimum recovery ending location", Lsn.parse)
    return ControlData(
        state=field("Database cluster state", str),
        system_identifier=field("Database system identifier", str),
        checkpoint=field("Latest checkpoint location", Lsn.parse),
        redo=field("Latest checkpoint's REDO location", Lsn.parse),
        timeline=field("Latest checkpoint's TimeLineID", int),
        previous_timeline=field("Latest checkpoint's PrevTimeLineID", int),
        min_recovery=least or None,
        min_recovery_timeline=field("Min recovery ending loc's timeline", int) or None,
        checksums=field("Data page checksum version", int) > 0,
        wal_log_hints=field("wal_log_hints setting", str) == "on",
        wal_segment_bytes=field("Bytes per WAL segment", int),
    )


def read(bin_directory: Path, data_directory: Path) -> ControlData:
    """Return what the control file of a data directory says; raises StewardError when it cannot be read.

    Needs the rights of the account that owns the data, and changes nothing.
    """
    command = [str(bin_directory / "pg_controldata"), "-D", str(data_directory)]
    try:
        answer = _run(command, LIMIT)
    except (OSError, subprocess.SubprocessError) as error:
        raise StewardError(f"cannot run {command[0]}: {error}") from None
    if answer.returncode:
        raise StewardError(f"pg_controldata cannot read {data_directory}: {answer.stderr or answer.stdout}")
    return parse(answer.stdout)


_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")


@dataclass(frozen=True)
class Written:
    """The newest timeline of which an instance holds WAL, and where the first segment of it begins."""

    timeline: int
    since: Lsn


def written(data_directory: Path, segment_bytes: int) -> Written | None:
    """Return what the names of the files in pg_wal say, None where there is no WAL or it cannot be listed.

    The control file shows the timeline of the last checkpoint or restart point, minutes after a change of primary still the old one,
    and a standby that has lost its primary has nobody else to say on which timeline it received.
    """
    try:
        files = [file.name for file in (data_directory / "pg_wal").iterdir()]
    except OSError:
        return None
    # pg_rewind leaves segments of the timeline that it undoes, and takes away their history.
    known = {1, *(int(name[:8], 16) for name in files if name.endswith(".history"))}
    names = [match for match in map(_SEGMENT.fullmatch, files) if match and int(match[1], 16) in known]
    if not names:
        return None
    timeline, log, segment = min((-int(name[1], 16), int(name[2], 16), int(name[3], 16)) for name in names)
    return Written(-timeline, Lsn((log << 32) + segment * segment_bytes))


def newest(control: ControlData, held: Written | None) -> ControlData:
    """Return the control data as they will be: of the newest timeline, where the server was promoted since its last checkpoint."""
    if held is None or held.timeline <= control.timeline:
        return control
    return replace(control, timeline=held.timeline, redo=max(held.since, control.redo))


_END = re.compile(r"error in WAL record at [0-9A-F]+/[0-9A-F]+: .*? at ([0-9A-F]+/[0-9A-F]+)")


def wal_end(bin_directory: Path, data_directory: Path, control: ControlData) -> Lsn | None:
    """Return up to where the server that is stopped has written its WAL, None when that cannot be read.

    pg_waldump reads the timeline of `control` from its redo location on and says at which position the next record is missing.
    """
    command = [
        str(bin_directory / "pg_waldump"),
        "--quiet",
        f"--path={data_directory / 'pg_wal'}",
        f"--timeline={control.timeline}",
        f"--start={control.redo}",
    ]
    try:
        answer = _run(command, 6 * LIMIT)
    except (OSError, subprocess.SubprocessError):
        return None
    found = _END.search(answer.stderr)
    return Lsn.parse(found[1]) if found else None


def _run(command: list[str], limit: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=limit,
        env={**os.environ, "LC_ALL": "C"},
    )
