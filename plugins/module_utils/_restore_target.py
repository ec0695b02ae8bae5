# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""To what a cluster is restored and from which backup: targets, the window that a stanza can be restored to, refusals. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_wal as wal
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_wal import Archive, Leg

LATEST, IMMEDIATE, TIME, LSN, XID, NAME = "latest", "immediate", "time", "lsn", "xid", "name"
KINDS = (LATEST, IMMEDIATE, TIME, LSN, XID, NAME)
POINTED = (TIME, LSN, XID, NAME)  # those that want a value
NAME_LIMIT = 63  # bytes of the name of a restore point
ONE_REPOSITORY = (
    "repository_time is about one repository, whose storage keeps versions: name that as well, as in repository=2"
)

_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[ T](?P<clock>\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?) ?(?P<zone>Z|UTC|[+-]\d\d(?::?\d\d)?)?",
    re.IGNORECASE,
)
_STAMP = re.compile(r"(\d{8}T\d{6})Z$")


# Targets


@dataclass(frozen=True)
class Target:
    """What a restore aims at. text: as PostgreSQL takes it. timeline: `latest`, or its number in decimal. exclusive: stops before it."""

    kind: str
    text: str = ""
    timeline: str = LATEST
    exclusive: bool = False

    @property
    def at(self) -> float | None:
        """Return the time that is aimed at, in seconds since 1970."""
        return datetime.fromisoformat(self.text).timestamp() if self.kind == TIME else None

    @property
    def lsn(self) -> Lsn | None:
        """Return the position that is aimed at."""
        return Lsn.parse(self.text) if self.kind == LSN else None

    def __str__(self) -> str:
        words = {
            LATEST: "the end of the archive",
            IMMEDIATE: "the end of the backup",
            TIME: f"time {moment(self.at)}",
            LSN: f"LSN {self.text}",
            XID: f"transaction {self.text}",
            NAME: f"restore point {self.text!r}",
        }[self.kind]
        return f"{'just before ' if self.exclusive else ''}{words}" + (
            f" on timeline {self.timeline}" if self.timeline != LATEST else ""
        )


def moment(seconds: float | None) -> str:
    """Return a time as it is shown to people: UTC, with as many digits as it has."""
    if seconds is None:
        return "an unknown time"
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"{text.rstrip('0').rstrip('.')} UTC"


def target_of(kind: str, text: str = "", timeline: str = LATEST, exclusive: bool = False) -> Target:
    """Return the target that an operator names; raises StewardError with what is wrong with it."""
    if kind not in KINDS:
        raise StewardError(f"a restore aims at one of {', '.join(KINDS)}, not at {kind!r}")
    if kind in POINTED and not text.strip():
        raise StewardError(f"target {kind} has no value: give the {kind} that is aimed at")
    if kind not in POINTED and text.strip():
        raise StewardError(f"target {kind} takes no value, and {text.strip()!r} was given: leave one of them out")
    if exclusive and kind not in (TIME, LSN, XID):
        raise StewardError(f"target {kind} cannot be exclusive: only a time, an LSN and a transaction can")
    if timeline != LATEST and not (timeline.isascii() and timeline.isdigit() and int(timeline) > 0):
        raise StewardError(f"timeline {timeline!r} is neither {LATEST!r} nor a number such as 2")
    if timeline != LATEST and kind == IMMEDIATE:
        raise StewardError(
            "target immediate goes no further than the backup, so it has no timeline to follow: leave that out"
        )
    if timeline != LATEST:
        timeline = str(int(timeline))
    read = {TIME: _time, LSN: _lsn, XID: _xid, NAME: _name}.get(kind)
    return Target(kind, read(text.strip()) if read else "", timeline, exclusive)


def _time(text: str) -> str:
    match = _TIME.fullmatch(text)
    if match is None:
        raise StewardError(f"target time {text!r} cannot be read: write it like 2026-10-01 03:12:45.5+00")
    if not match["zone"]:
        raise StewardError(f"target time {text!r} has no zone: add one, as in {text}+00 for UTC")
    zone = match["zone"].upper()
    zone = "+00:00" if zone in ("Z", "UTC") else zone if len(zone) > 3 else f"{zone}:00"
    try:
        at = datetime.fromisoformat(f"{match['date']}T{match['clock'].replace(',', '.')}{zone}")
    except ValueError as error:
        raise StewardError(f"target time {text!r} is none ({error})") from None
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")


def _lsn(text: str) -> str:
    return str(Lsn.parse(text))


def _xid(text: str) -> str:
    if not (text.isascii() and text.isdigit() and int(text) > 2):
        raise StewardError(
            f"target transaction {text!r} is none: give its number, as pg_current_xact_id() or the server's log says it"
        )
    return str(int(text))


def _name(text: str) -> str:
    if len(text.encode()) > NAME_LIMIT or not text.isprintable():
        raise StewardError(
            f"restore point {text!r} cannot exist: a name has up to {NAME_LIMIT} bytes of printable characters"
        )
    return text


# What a stanza holds, by `pgbackrest info --output=json`


@dataclass(frozen=True)
class Backup:
    """One backup in one repository. Times in seconds since 1970; first, last: segments that make it consistent; size: bytes when restored."""

    repository: int
    label: str
    kind: str
    begun: float
    ended: float
    first: str
    last: str
    start: Lsn | None
    stop: Lsn | None
    size: int
    damaged: bool = False

    @property
    def timeline(self) -> int:
        """Return the timeline on which it was taken."""
        return wal.timeline_of(self.first)

    @property
    def usable_from(self) -> float:
        """Return the time from which on it can be recovered to."""
        return self.ended + wal.WHOLE


@dataclass(frozen=True)
class Stanza:
    """The backups of the database that a stanza is of now. archives: repository -> its archive's id and newest segment. problems: by repository."""

    name: str
    version: str
    system_identifier: str
    backups: tuple[Backup, ...] = ()
    archives: Mapping[int, tuple[str, str | None]] = field(default_factory=dict)
    problems: Mapping[int, str] = field(default_factory=dict)

    @property
    def segment_bytes(self) -> int:
        """Return the size of its segments."""
        return wal.segment_bytes_of(
            pair for backup in self.backups for pair in ((backup.first, backup.start), (backup.last, backup.stop))
        )


_MISSING, _NO_BACKUP, _DIFFERENT = 1, 2, 4  # codes of the status of a stanza


def stanza_of(text: str, name: str) -> Stanza:
    """Return what the JSON of `pgbackrest info` says of a stanza; raises StewardError when nothing can be restored from it."""
    try:
        found = [entry for entry in json.loads(text, strict=False) if entry["name"] == name]
        if not found:
            raise StewardError(f"unknown stanza {name!r}: the configured repositories know no backups of that name")
        return _stanza(found[0])
    except (ValueError, KeyError, TypeError) as error:
        raise StewardError(
            f"pgbackrest info says nothing that is known here ({type(error).__name__}: {error})"
        ) from None


def _stanza(entry: Mapping[str, Any]) -> Stanza:
    name = entry["name"]
    repositories = {int(one["key"]): one["status"] for one in entry.get("repo", ())}
    problems = {key: " ".join(str(status["message"]).split()) for key, status in repositories.items() if status["code"]}
    databases = {(int(one["repo-key"]), int(one["id"])): one for one in entry.get("db", ())}
    if not databases:
        said = "; ".join(f"repository {key}: {text}" for key, text in problems.items()) or entry["status"]["message"]
        if entry["status"]["code"] == _MISSING:
            raise StewardError(f"unknown stanza {name!r} ({said}): name the right one, or make it and take a backup")
        if "access denied" in said:  # a repository host lets a server read its own stanza only
            raise StewardError(
                f"unknown stanza {name!r}, or one that this host may not read ({said}): name the right one"
            )
        raise StewardError(f"the stanza {name!r} cannot be read: {said}")
    current = {key: max(number for other, number in databases if other == key) for key, _number in databases}
    newest = databases[max(current.items(), key=lambda item: item[1])]
    archives = {
        int(one["database"]["repo-key"]): (str(one["id"]), one.get("max"))
        for one in entry.get("archive", ())
        if int(one["database"]["id"]) == current.get(int(one["database"]["repo-key"]))
    }
    backups = [_backup(one) for one in entry.get("backup", ()) if _is_of(one["database"], current)]
    if not backups:
        said = "; ".join(f"repository {key}: {text}" for key, text in problems.items())
        raise StewardError(
            f"there is no backup of the stanza {name!r}{f' ({said})' if said else ''}: nothing can be restored"
        )
    return Stanza(
        name=name,
        version=str(newest["version"]),
        system_identifier=str(newest["system-id"]),
        backups=tuple(sorted(backups, key=lambda backup: (backup.ended, -backup.repository))),
        archives=archives,
        problems=problems,
    )


def _is_of(database: Mapping[str, Any], current: Mapping[int, int]) -> bool:
    return int(database["id"]) == current.get(int(database["repo-key"]))


def _backup(entry: Mapping[str, Any]) -> Backup:
    positions = entry.get("lsn") or {}
    return Backup(
        repository=int(entry["database"]["repo-key"]),
        label=str(entry["label"]),
        kind=str(entry["type"]),
        begun=float(entry["timestamp"]["start"]),
        ended=float(entry["timestamp"]["stop"]),
        first=str(entry["archive"]["start"]),
        last=str(entry["archive"]["stop"]),
        start=Lsn.parse(positions["start"]) if positions.get("start") else None,
        stop=Lsn.parse(positions["stop"]) if positions.get("stop") else None,
        size=int(entry["info"]["size"]),
        damaged=bool(entry.get("error")),
    )


# The choice of a backup


@dataclass(frozen=True)
class Source:
    """One repository: what is known of its archive, and the way to the timeline that is followed there."""

    repository: int
    archive: Archive
    way: tuple[Leg, ...]


@dataclass(frozen=True)
class Wish:
    """What narrows the choice: a repository, a backup by its label, a time (seconds since 1970) which the backup has to be older than."""

    repository: int | None = None
    label: str | None = None
    before: float | None = None


@dataclass(frozen=True)
class Window:
    """What one repository can be restored to: from the end of its oldest backup to its newest WAL."""

    repository: int
    first: Backup
    begin: Lsn
    until: float | None
    end: Lsn

    def __str__(self) -> str:
        return (
            f"repository {self.repository}: from {moment(self.first.usable_from)} (LSN {self.begin}, end of backup {self.first.label})"
            f" to {moment(self.until)} (LSN {self.end}, end of the newest WAL)"
        )

    def as_facts(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "repository": self.repository,
            "backup": self.first.label,
            "from": moment(self.first.usable_from),
            "from_lsn": str(self.begin),
            "to": moment(self.until),
            "to_lsn": str(self.end),
        }


def stop_of(backup: Backup, segment_bytes: int) -> Lsn:
    """Return where a backup is consistent, or an upper bound of that where the repository does not note it."""
    return backup.stop or Lsn((wal.number_of(backup.last, segment_bytes) + 1) * segment_bytes)


def on_the_way(backup: Backup, way: Sequence[Leg], segment_bytes: int) -> bool:
    """Tell whether the timeline of a backup leads to the one that is followed, and had not been left when it was taken."""
    stop = stop_of(backup, segment_bytes)
    return any(leg.timeline == backup.timeline and (leg.end is None or stop <= leg.end) for leg in way)


def windows(stanza: Stanza, sources: Sequence[Source]) -> list[Window]:
    """Return what each repository can be restored to on the way that is followed."""
    found, size = [], stanza.segment_bytes
    for source in sources:
        usable = [one for one in stanza.backups if _in(one, source) and on_the_way(one, source.way, size)]
        last = wal.reach(source.way, source.archive, size)
        if usable:
            first = min(usable, key=lambda backup: backup.ended)
            number = last[0] if last else wal.number_of(first.last, size)
            found.append(
                Window(
                    repository=source.repository,
                    first=first,
                    begin=stop_of(first, size),
                    until=source.archive.segments[last[1]] if last else None,
                    end=Lsn((number + 1) * size),
                )
            )
    return found


def _in(backup: Backup, source: Source) -> bool:
    return backup.repository == source.repository


def choose(stanza: Stanza, target: Target, sources: Sequence[Source], wish: Wish, now: float) -> tuple[Backup, Source]:
    """Return the backup that a restore begins with, and its repository. sources: the repositories that can be read.

    It is the newest one from which the target can be reached, whatever pgBackRest would take: below 2.54 that is the newest of all for a
    time before every backup. now: seconds since 1970. Raises StewardError.
    """
    size = stanza.segment_bytes
    _known(stanza, sources, wish)
    if target.at is not None and target.at > now:
        raise StewardError(f"target {target} is in the future: it is {moment(now)} now")
    candidates = [
        (backup, source)
        for source in sources
        for backup in stanza.backups
        if _in(backup, source) and wish.label in (None, backup.label) and wish.repository in (None, backup.repository)
    ]
    known = [(one, of) for one, of in candidates if target.kind == IMMEDIATE or on_the_way(one, of.way, size)]
    if not known:
        raise StewardError(_off_the_way(target, candidates, size))
    seen = [of for of in sources if wish.repository in (None, of.repository)]
    bounds = "; ".join(str(window) for window in windows(stanza, seen))
    fitting = [(one, of) for one, of in known if _reaches(one, target, wish, size)]
    if not fitting:
        which = f"backup {wish.label}, which is too young for it" if wish.label else "the window"
        raise StewardError(
            f"target {target} is before {which}: {bounds}"
            if target.kind in (TIME, LSN) or wish.label
            else f"no backup is older than {moment(wish.before)}: {bounds}"
        )
    chosen, source = max(fitting, key=lambda pair: (pair[0].ended, -pair[0].repository))
    _ends(target, source, size, bounds)
    return chosen, source


def _known(stanza: Stanza, sources: Sequence[Source], wish: Wish) -> None:
    """Raise StewardError for a repository or a backup that is not there."""
    held = sorted({backup.repository for backup in stanza.backups})
    if wish.repository is not None and wish.repository not in held:
        problem = stanza.problems.get(wish.repository)
        raise StewardError(
            f"repository {wish.repository} has no backup of {stanza.name!r}"
            + (f" ({problem})" if problem else "")
            + f"; there are some in {', '.join(map(str, held))}"
        )
    if wish.label is not None and wish.label not in (backup.label for backup in stanza.backups):
        there = dict.fromkeys(backup.label for backup in reversed(stanza.backups))
        raise StewardError(f"there is no backup {wish.label!r}; the newest ones are {', '.join(list(there)[:5])}")
    if not sources:
        raise StewardError(
            "no repository can be read: "
            + "; ".join(f"repository {key}: {text}" for key, text in stanza.problems.items())
        )


def _reaches(backup: Backup, target: Target, wish: Wish, segment_bytes: int) -> bool:
    """Tell whether a backup is complete before the target."""
    before = target.at if target.at is not None else hint(target, wish)
    if before is not None and backup.usable_from > before:
        return False
    return target.lsn is None or stop_of(backup, segment_bytes) <= target.lsn


def hint(target: Target, wish: Wish) -> float | None:
    """Return the time that a transaction or a restore point is known to be after; the names of our own restore points end with theirs."""
    stamp = _STAMP.search(target.text) if target.kind == NAME else None
    if wish.before is not None or stamp is None:
        return wish.before
    return datetime.strptime(stamp[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()


def _off_the_way(target: Target, candidates: Sequence[tuple[Backup, Source]], segment_bytes: int) -> str:
    """Return why no backup leads to the timeline that is followed."""
    for backup, source in candidates:
        for leg in source.way:
            if leg.timeline == backup.timeline and leg.end is not None:
                return (
                    f"backup {backup.label} was complete at LSN {stop_of(backup, segment_bytes)} of timeline {leg.timeline}, which was left at"
                    f" {leg.end} for timeline {source.way[-1].timeline}: follow its own by timeline {leg.timeline}, or take an older backup"
                )
    known = sorted({backup.timeline for backup, _source in candidates})
    if not known:
        return f"there is no backup to begin with for {target}: name another repository, or none"
    wanted, way = candidates[0][1].way[-1].timeline, candidates[0][1].way
    lost = f", and the archive lacks its history ({wanted:08X}.history)" if wanted > 1 and len(way) == 1 else ""
    listed = ", ".join(map(str, known))
    return (
        f"no backup leads to timeline {wanted}{lost}: those that may be taken are of timeline {listed}; name that one"
    )


def _ends(target: Target, source: Source, segment_bytes: int, bounds: str) -> None:
    """Raise StewardError for a target after all that is archived, or of a time that a restore has undone."""
    last = wal.reach(source.way, source.archive, segment_bytes)
    if target.lsn is not None and last is not None and target.lsn > (last[0] + 1) * segment_bytes:
        raise StewardError(f"target {target} is after the window: {bounds}")
    if target.at is None:
        return
    until = source.archive.segments[last[1]] if last else None
    if until is not None and target.at > until + wal.WHOLE:
        raise StewardError(
            f"target {target} is after the window, as the newest WAL was archived at {moment(until)} and recovery would end before it: {bounds}."
            " The target latest restores all of it"
        )
    left = wal.undone(source.way, source.archive, target.at, segment_bytes) if target.timeline == LATEST else None
    if left:
        raise StewardError(
            f"target {target} is of a time that was undone: {left.words}. Choose: timeline={left.timeline} has what was there at that time,"
            f" timeline={source.way[-1].timeline} is what came of the restore"
        )


def way_to(target: Target, archive: Archive, histories: Mapping[int, str]) -> tuple[Leg, ...]:
    """Return the way to the timeline that a target names. histories: the texts of history files, by timeline.

    A cluster that was archived only when it was on a later timeline has WAL of that one and no history; then it begins there.
    Raises StewardError when the archive does not know that timeline.
    """
    known = sorted({1, *archive.histories, *(wal.timeline_of(name) for name in archive.directories)})
    wanted = wal.newest_timeline(archive) if target.timeline == LATEST else int(target.timeline)
    if wanted not in known:
        raise StewardError(
            f"timeline {wanted} is not in the archive, which knows {', '.join(map(str, known))}: name one of these"
        )
    return wal.legs(wanted, histories.get(wanted, ""))


def last_needed(target: Target, backup: Backup, source: Source, segment_bytes: int) -> int:
    """Return the number of the last segment that may be replayed; beyond it nothing is looked for."""
    least = wal.number_of(backup.last, segment_bytes)
    if target.kind == IMMEDIATE:
        return least
    if target.lsn is not None:
        return max(least, target.lsn // segment_bytes)
    last = wal.reach(source.way, source.archive, segment_bytes)
    return max(least, last[0]) if last else least


def gap_findings(stanza: Stanza, target: Target, backup: Backup, source: Source) -> tuple[str | None, str | None]:
    """Return why the WAL between backup and target does not do, and what may be wrong with it; None where it is whole."""
    size = stanza.segment_bytes
    way = (Leg(backup.timeline, Lsn(0)),) if target.kind == IMMEDIATE else source.way
    walked = wal.steps(way, source.archive, backup.first, last_needed(target, backup, source, size), size)
    found = wal.gap(walked, target.at, certain=target.kind not in (XID, NAME))
    if found is None:
        return None, None
    text = f"WAL segment {found.name} is missing in repository {source.repository}, between backup {backup.label} ({backup.first}) and {target}"
    if not found.certain:
        return None, f"{text}: the target is reached only if it is before that"
    end = Lsn(wal.number_of(found.name, size) * size)
    return (
        f"{text}: nothing from LSN {end} on can be reached. Aim before it, or begin with a backup that is younger",
        None,
    )


def unknown_place(target: Target, wish: Wish) -> str | None:
    """Return what has to be said of a target whose place nobody knows beforehand, None for others."""
    if target.kind not in (XID, NAME):
        return None
    which = "older than the backup" if hint(target, wish) is None else "older than it is said to be"
    return (
        f"whether {target} exists shows only when the WAL is replayed. If it does not, or is {which}, recovery ends without it, which is an"
        " error; then take an older backup"
    )
