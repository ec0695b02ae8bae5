# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The errors at the end of a server's log, counted and put together. Pure but for reading the end of a file."""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import mask

UTC = timezone.utc  # noqa: UP017 - hosts with Python 3.9 have no datetime.UTC
READ = 4 << 20  # bytes from the end of the file: what a busy server writes within minutes, and read in no time
WINDOW = 3600.0  # seconds
KEPT = 10  # kinds of messages
SHOWN = 160  # characters of a message

# A line begins with its time in every prefix that keeps one (%t, %m); %n, seconds since 1970, is read as well.
_LINE = re.compile(
    r"^(?:(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? (?P<zone>[A-Za-z0-9/_+:-]+)|(?P<epoch>\d{10}(?:\.\d+)?))"
    r"(?P<prefix>.*?)\b(?P<severity>ERROR|FATAL|PANIC):  (?P<text>.*)$"
)
_VALUE = re.compile(r"\"[^\"]*\"|'[^']*'|\(.*?\)=\(.*\)|\b[0-9][0-9A-Fa-f/.:]*\b")

# Messages that are more than a statement that failed: pattern -> what it means.
GRAVE = (
    (re.compile(r"No space left on device|could not (?:extend|write to|fsync) file", re.I), "the disk is full or broken"),
    (re.compile(r"invalid page|page verification failed|checksum", re.I), "pages are damaged"),
    (re.compile(r"could not (?:open|read) (?:file|block)", re.I), "files are missing or cannot be read"),
    (re.compile(r"was terminated by signal|terminating any other active|crash of another server process", re.I), "a process crashed"),
    (re.compile(r"out of memory|Cannot allocate memory", re.I), "memory ran out"),
    (re.compile(r"out of shared memory", re.I), "the table of locks is full: raise max_locks_per_transaction"),
    (re.compile(r"not accepting commands|to avoid (?:wraparound|XID assignment)", re.I), "transaction numbers run out: vacuum"),
)  # fmt: skip
# What no one has to look at: a server that starts or stops turns clients away, and an account that is refused is its own affair.
_ORDINARY = re.compile(
    r"^(?:the database system is|terminating connection due to administrator command|terminating walreceiver|canceling statement due to"
    r"|connection to client lost|unsupported frontend protocol)"
)


@dataclass(frozen=True)
class Entry:
    """A message of the log. at: seconds since 1970."""

    at: float
    severity: str
    text: str


def entries(lines: Iterable[str], log_timezone: str = "UTC") -> list[Entry]:
    """Return the errors of a log in its order; lines without a time belong to the one before and are passed over."""
    found = []
    for line in lines:
        match = _LINE.match(line)
        if match:
            at = float(match["epoch"]) if match["epoch"] else _seconds(match["time"], match["zone"], log_timezone)
            found.append(Entry(at, match["severity"], match["text"].strip()))
    return found


def _seconds(text: str, zone: str, log_timezone: str) -> float:
    for name in (log_timezone, zone):  # what stands in the line is an abbreviation, which several zones may have
        try:
            where = UTC if name in ("UTC", "GMT", "Etc/UTC") else zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            continue
        return datetime.fromisoformat(text).replace(tzinfo=where).timestamp()
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def summary(found: Iterable[Entry], now: float) -> dict[str, Any]:
    """Return how many errors the last hour had by severity, which kinds most often, and which of them are grave; none shows a value."""
    recent = [entry for entry in found if now - WINDOW <= entry.at and not _ORDINARY.match(entry.text)]
    kinds: dict[tuple[str, str], list[Entry]] = {}
    for entry in recent:
        kinds.setdefault((entry.severity, kind(entry.text)), []).append(entry)
    told: list[dict[str, Any]] = [
        {"severity": severity, "text": text, "count": len(of_it), "last": of_it[-1].at, "meaning": meaning(of_it[-1])}
        for (severity, text), of_it in kinds.items()
    ]
    told.sort(key=lambda one: (one["meaning"] is None, -one["count"]))
    counts = {
        severity: sum(1 for entry in recent if entry.severity == severity) for severity in ("ERROR", "FATAL", "PANIC")
    }
    return {"window": WINDOW, "errors": len(recent), "counts": counts, "kinds": told[:KEPT]}


def kind(text: str) -> str:
    """Return a message without what differs from one time to the next: names, numbers and values."""
    return mask(" ".join(_VALUE.sub("…", text).split()), ())[:SHOWN]


def meaning(entry: Entry) -> str | None:
    """Return what a message means for the server itself, None for one that is a statement's affair."""
    for pattern, text in GRAVE:
        if pattern.search(entry.text):
            return text
    return "the server ended itself" if entry.severity == "PANIC" else None


def tail(path: Path, length: int = READ) -> list[str]:
    """Return the lines at the end of a file, without the first one where that is cut; raises OSError."""
    with path.open("rb") as stream:
        start = max(0, stream.seek(0, os.SEEK_END) - length)
        stream.seek(start)
        lines = stream.read().decode("utf-8", errors="replace").splitlines()
    return lines[1:] if start else lines
