# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The WAL that a restore replays: timelines and where each was left, the segments that are needed, and the first one that is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

WHOLE = 1.0  # repositories note times in whole seconds, cut off
SEGMENT_BYTES = 16 << 20  # unless a cluster was made with another size
_SIZES = tuple(1 << power for power in range(20, 31))  # what initdb takes, 1 MB to 1 GB
_NAME = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
# A segment as pgBackRest stores it; a partial one, of a timeline that was left, is replayed by nobody.
_STORED = re.compile(r"(?:.*/)?([0-9A-F]{24})-[0-9a-f]{40}(?:\.[a-z0-9]+)?")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_DIRECTORY = re.compile(r"[0-9A-F]{16}")
# The reason that a server gives for a promotion which no restore asked for.
_PROMOTED = "no recovery target specified"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?[+-]\d\d(?::?\d\d)?")


# Names of segments


def number_of(name: str, segment_bytes: int = SEGMENT_BYTES) -> int:
    """Return how many segments come before the one of that name, on whatever timeline; raises StewardError for another text."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise StewardError(f"{name!r} is no name of a WAL segment")
    return int(match[2], 16) * ((1 << 32) // segment_bytes) + int(match[3], 16)


def timeline_of(name: str) -> int:
    """Return the timeline in the name of a segment."""
    return int(name[:8], 16)


def name_of(timeline: int, number: int, segment_bytes: int = SEGMENT_BYTES) -> str:
    """Return the name of a segment."""
    log, rest = divmod(number, (1 << 32) // segment_bytes)
    return f"{timeline:08X}{log:08X}{rest:08X}"


def segment_bytes_of(pairs: Iterable[tuple[str, Lsn | None]]) -> int:
    """Return the size of a cluster's segments, by names of segments and positions in them. 16 MB where that leaves a choice."""
    known = [(name, lsn) for name, lsn in pairs if lsn]
    fitting = [size for size in _SIZES if all(number_of(name, size) == lsn // size for name, lsn in known)]
    return SEGMENT_BYTES if SEGMENT_BYTES in fitting or not fitting else fitting[0]


# What an archive holds


@dataclass(frozen=True)
class Archive:
    """What is archived of one database. Values are when, in seconds since 1970. directories: those that hold segments."""

    histories: Mapping[int, float] = field(default_factory=dict)
    segments: Mapping[str, float] = field(default_factory=dict)
    directories: tuple[str, ...] = ()

    def __or__(self, other: Archive) -> Archive:
        """Return what both hold together, as a server finds it that may ask both."""
        return Archive(
            {**other.histories, **self.histories},
            {**other.segments, **self.segments},
            tuple(sorted({*self.directories, *other.directories})),
        )


def listed(listing: Mapping[str, Mapping[str, Any]]) -> Archive:
    """Return what a listing by `pgbackrest repo-ls --output=json` names."""
    histories, segments, directories = {}, {}, []
    for path, entry in listing.items():
        when = float(entry.get("time") or 0)
        if match := _STORED.fullmatch(path):
            segments[match[1]] = when
        elif match := _HISTORY.fullmatch(path):
            histories[int(match[1], 16)] = when
        elif _DIRECTORY.fullmatch(path):
            directories.append(path)
    return Archive(histories, segments, tuple(sorted(directories)))


def directories_from(archive: Archive, first: str) -> list[str]:
    """Return the directories that may hold what is replayed from a segment on: they are named after timeline and log file."""
    log = first[8:16]
    return [name for name in archive.directories if name[8:16] >= log]


# Timelines


@dataclass(frozen=True)
class Leg:
    """One timeline on the way to another: where it begins and where it was left, and why. The last one is not left."""

    timeline: int
    begin: Lsn
    end: Lsn | None = None
    reason: str = ""

    @property
    def restored(self) -> bool:
        """Whether it was left by a restore to a target, and not by the promotion of a standby."""
        return self.end is not None and _PROMOTED not in self.reason

    @property
    def left_at(self) -> float | None:
        """Return the moment in the reason, which a restore to a time gives, in seconds since 1970."""
        match = _MOMENT.search(self.reason)
        return datetime.fromisoformat(match[0]).timestamp() if match else None


def legs(timeline: int, history: str) -> tuple[Leg, ...]:
    """Return the way to a timeline by the text of its history file, which timeline 1 has none of."""
    rows = [line.split(None, 2) for line in history.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    left = [(int(row[0]), Lsn.parse(row[1]), row[2].strip() if len(row) > 2 else "") for row in rows]
    begins = [Lsn(0), *(end for _timeline, end, _reason in left)]
    return (
        *(Leg(number, begin, end, reason) for begin, (number, end, reason) in zip(begins, left, strict=False)),
        Leg(timeline, begins[-1]),
    )


def newest_timeline(archive: Archive) -> int:
    """Return the timeline that a server would follow if it were told to follow the latest."""
    return max([1, *archive.histories, *(timeline_of(name) for name in archive.directories)])


def in_use(way: Sequence[Leg], archive: Archive, at: float) -> int:
    """Return the timeline that the cluster wrote at a time: the newest one that had been made by then, or the first of all."""
    made = [(when, timeline) for timeline, when in archive.histories.items() if when <= at]
    return max(made)[1] if made else way[0].timeline


@dataclass(frozen=True)
class Undone:
    """A time of which the way does not hold what was there: which timeline does, and how the way parts from it."""

    timeline: int
    words: str


def undone(way: Sequence[Leg], archive: Archive, at: float, segment_bytes: int) -> Undone | None:
    """Return what a restore has undone, where a time is of before that restore and of after what it went back to; None where none has."""
    used = in_use(way, archive, at)
    if used not in {leg.timeline for leg in way}:
        return Undone(
            used, f"at that time timeline {used} was in use, and timeline {way[-1].timeline} did not come of it"
        )
    for leg, following in pairwise(way):
        made = archive.histories.get(following.timeline)
        if not leg.restored or leg.end is None or made is None or at >= made:
            continue
        since = leg.left_at
        if since is None:
            since = archive.segments.get(name_of(leg.timeline, leg.end // segment_bytes - 1, segment_bytes))
        if since is None or at >= since:
            return Undone(
                leg.timeline,
                f"a restore left timeline {leg.timeline} at {leg.end} ({leg.reason}) for timeline {following.timeline}",
            )
    return None


# The way through the segments


@dataclass(frozen=True)
class Step:
    """A segment that is replayed, and when it was archived, None where it is missing."""

    number: int
    name: str
    archived: float | None


def reach(way: Sequence[Leg], archive: Archive, segment_bytes: int) -> tuple[int, str] | None:
    """Return number and name of the last segment that can be replayed on a way, None without any."""
    for leg in reversed(way):
        first = leg.begin // segment_bytes
        last = None if leg.end is None else leg.end // segment_bytes
        held = [
            (number_of(name, segment_bytes), name) for name in archive.segments if timeline_of(name) == leg.timeline
        ]
        within = [one for one in held if one[0] >= first and (last is None or one[0] <= last)]
        if within:
            return max(within)
    return None


def steps(way: Sequence[Leg], archive: Archive, first: str, last: int, segment_bytes: int) -> Iterator[Step]:
    """Give the segments from `first` to number `last`, each of the newest timeline of the way that has begun by then.

    The segment in which a timeline was left is there twice, as the new one begins with a copy; either serves up to that point.
    """
    begun = number_of(first, segment_bytes)
    eligible = [leg for leg in way if leg.timeline >= timeline_of(first)]
    for number in range(begun, last + 1):
        names = [
            name_of(leg.timeline, number, segment_bytes)
            for leg in reversed(eligible)
            if leg.begin // segment_bytes <= number and (leg.end is None or leg.end // segment_bytes >= number)
        ]
        found = next((name for name in names if name in archive.segments), None)
        yield Step(number, found or names[0], archive.segments[found] if found else None)


@dataclass(frozen=True)
class Gap:
    """The first segment that is missing. certain: the target cannot be reached without it."""

    name: str
    certain: bool


def gap(walked: Iterable[Step], at: float | None = None, certain: bool = True) -> Gap | None:
    """Return the first gap in what is replayed, None when there is none.

    at: the time that is aimed at. What was archived before it cannot hold it, so a gap behind that is in the way; a gap later on may be
    behind the target. certain: what a gap is when no time is aimed at.
    """
    before: Step | None = None
    for step in walked:
        if step.archived is None:
            if at is None:
                return Gap(step.name, certain)
            return Gap(step.name, before is None or before.archived is None or before.archived + WHOLE <= at)
        before = step
    return None
