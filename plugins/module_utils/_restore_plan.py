# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore before it begins: which backup, which WAL, how much room. Whatever can be known to keep it from its target is said here."""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_source as source_of
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_target as aim
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_wal as wal
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import Backrest
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import (
    LATEST,
    Backup,
    Source,
    Stanza,
    Target,
    Window,
    Wish,
    moment,
)

_SPARE = 64 << 20  # bytes for the first WAL that is fetched
_FICLONE = 0x40049409  # linux/fs.h


@dataclass(frozen=True)
class Need:
    """Bytes that a restore writes below a path. shared: the file system can share blocks with what is kept, so it may take less."""

    path: Path
    size: int
    shared: bool = False


@dataclass(frozen=True)
class Plan:
    """What a restore will do.

    end: where the last segment that is replayed begins, for the end of the archive, which has no position. local: segments that only this
    host has.
    """

    target: Target
    stanza: Stanza
    backup: Backup
    source: Source
    windows: tuple[Window, ...]
    tablespaces: Mapping[int, Path]
    end: Lsn | None
    local: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def timeline(self) -> int:
        """Return the timeline that is followed."""
        return self.source.way[-1].timeline

    def as_facts(self) -> dict[str, Any]:
        """Return plain data for Ansible and reports."""
        backup = self.backup
        return {
            "target": str(self.target),
            "target_type": self.target.kind,
            "stanza": self.stanza.name,
            "repository": backup.repository,
            "backup": backup.label,
            "backup_type": backup.kind,
            "backup_ended": moment(backup.ended),
            "size": backup.size,
            "timeline": self.timeline,
            "from_timeline": backup.timeline,
            "first_segment": backup.first,
            "end": str(self.end) if self.end is not None else None,
            "tablespaces": {str(oid): str(path) for oid, path in self.tablespaces.items()},
            "windows": [window.as_facts() for window in self.windows],
            "warnings": list(self.warnings),
        }


def make(
    backrest: Backrest,
    target: Target,
    wish: Wish,
    now: float,
    major: int,
    here: Callable[[Stanza], Mapping[str, float]],
) -> Plan:
    """Return the plan of a restore; raises StewardError with why it cannot reach its target.

    major: version of the server that is to run there. here: says which segments of a stanza's cluster are on this host and when they were
    written; those of the archive come first.
    """
    backrest.refuse_old()
    stanza = backrest.stanza_facts()
    if stanza.version != str(major):
        raise StewardError(
            f"the backups of {stanza.name!r} are of PostgreSQL {stanza.version}, and the server here is {major}: restore where there is a"
            f" server of version {stanza.version}"
        )
    local = here(stanza)
    sources, problems = source_of.look_everywhere(backrest, stanza, target, wish, local)
    backup, chosen = aim.choose(stanza, target, sources, wish, now)
    chosen = source_of.complete(backrest, stanza, chosen, backup, target)
    missing, doubt = aim.gap_findings(stanza, target, backup, chosen)
    for other in sources:
        if (missing or doubt) and other is not chosen and other.repository != chosen.repository:
            # A server asks each repository for a segment, so one may fill the gaps of another.
            more = source_of.complete(backrest, stanza, other, backup, target)
            chosen = Source(chosen.repository, chosen.archive | more.archive, chosen.way)
            missing, doubt = aim.gap_findings(stanza, target, backup, chosen)
    if missing:
        raise StewardError(missing)
    last = wal.reach(chosen.way, chosen.archive, stanza.segment_bytes)
    notes = [
        *(f"repository {key} is left out: {text}" for key, text in {**stanza.problems, **problems}.items()),
        doubt,
        aim.unknown_place(target, wish),
        f"backup {backup.label} was taken with damaged pages: see pgbackrest info --set={backup.label}"
        if backup.damaged
        else None,
    ]
    return Plan(
        target=target,
        stanza=stanza,
        backup=backup,
        source=chosen,
        windows=tuple(aim.windows(stanza, sources)),
        tablespaces=backrest.tablespaces(backup),
        end=Lsn(last[0] * stanza.segment_bytes) if target.kind == LATEST and last else None,
        local=tuple(sorted(name for name, when in local.items() if chosen.archive.segments.get(name) == when)),
        warnings=tuple(note for note in notes if note),
    )


def major_of(backrest: Backrest, bin_directory: Path) -> int:
    """Return the major version of the server's programs in a directory; raises StewardError where there are none."""
    outcome = source_of.as_account(backrest.owner, [str(bin_directory / "postgres"), "--version"], run=backrest.run)
    match = re.search(r"\) (\d+)", outcome.stdout)
    if match is None:
        raise StewardError(f"{bin_directory} holds no server: install PostgreSQL here, or name its programs' directory")
    return int(match[1])


# Room


def room_finding(needs: Sequence[Need]) -> str | None:
    """Return why there is not enough room, with both figures, None where there is."""
    for need in needs:
        place = next(parent for parent in (need.path, *need.path.parents) if parent.exists())
        free = shutil.disk_usage(place).free
        if free < need.size + _SPARE and not need.shared:
            return (
                f"not enough room for the restore: it takes {mebibytes(need.size + _SPARE)} below {need.path}, and {place} has"
                f" {mebibytes(free)} free. Make room, or restore on another host"
            )
    return None


def mebibytes(size: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{size / (1 << 20):,.0f} MiB"


def shares_blocks(directory: Path) -> bool:
    """Tell whether files below a directory can be copied without copying their blocks, as XFS and Btrfs do."""
    with (
        contextlib.suppress(OSError),
        tempfile.TemporaryFile(dir=directory) as one,
        tempfile.TemporaryFile(dir=directory) as other,
    ):
        one.write(b"\0" * 4096)
        one.flush()
        fcntl.ioctl(other.fileno(), _FICLONE, one.fileno())
        return True
    return False
