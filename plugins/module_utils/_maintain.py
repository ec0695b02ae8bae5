# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Maintenance as data: its tasks, when they run, thresholds, clean-up jobs, and what is wrong with them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, split

VACUUM, FREEZE, REINDEX, CLEAN_UP, WEEKLY, MONTHLY = SCHEDULED = (
    "vacuum", "freeze", "reindex", "clean_up", "weekly", "monthly",
)  # fmt: skip
REVIEW, VECTORS, COLLATIONS = "review", "vectors", "collations"
TASKS = (VACUUM, FREEZE, REINDEX, CLEAN_UP, REVIEW, VECTORS, COLLATIONS)
REVIEWS = ("indexes", "statements", "disk", "retention")
# What a timer has done, beyond a task of that name.
PARTS: Mapping[str, tuple[str, ...]] = {
    WEEKLY: ("statements", "disk"),
    MONTHLY: ("indexes", "retention", VECTORS, COLLATIONS),
}
SCHEDULES: Mapping[str, str] = {
    FREEZE: "*-*-* 00/6:15:00",
    CLEAN_UP: "*-*-* 03:30:00",
    VACUUM: "*-*-* 04:30:00",
    REINDEX: "Sun *-*-* 05:30:00",
    WEEKLY: "Mon *-*-* 06:30:00",
    MONTHLY: "*-*-01 07:30:00",
}
# Name -> the least, the most, what holds where nothing is said.
THRESHOLDS: Mapping[str, tuple[float, float, float]] = {
    "bloat_percent": (10, 95, 40),
    "index_mb": (0, 1_000_000, 8),
    "freeze_age": (1_000_000, 1_500_000_000, 180_000_000),
    "unused_days": (1, 3650, 30),
    "free_disk_percent": (1, 50, 10),
    "recall": (0.5, 1, 0.9),
    "build_minutes": (1, 1440, 30),
}
JOB_KEYS: Mapping[str, Any] = {
    "name": None, "database": None, "table": None, "column": None, "older_than": None, "user": None,
    "batch": 1000, "pause": 0.1, "lock_timeout": 500, "without_index": False,
}  # fmt: skip
JOB_NEEDS = ("name", "table", "column", "older_than")
JOB_LIMITS: Mapping[str, tuple[float, float]] = {"batch": (1, 100_000), "pause": (0, 60), "lock_timeout": (10, 60_000)}
DATABASE_KEYS = ("name", "schedules", "thresholds")

_UNITS = "second|minute|hour|day|week|month|year"
_INTERVAL = re.compile(rf"\s*[0-9]{{1,6}}\s+(?:{_UNITS})s?(?:\s+[0-9]{{1,6}}\s+(?:{_UNITS})s?)*\s*")
_JOB_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Job:
    """Rows of a table that go once they are older than an interval. pause: seconds; lock_timeout: milliseconds."""

    name: str
    schema: str
    table: str
    column: str
    older_than: str
    batch: int = 1000
    pause: float = 0.1
    lock_timeout: int = 500
    without_index: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {qualified(self.schema, self.table)}.{self.column}"


def job_of(given: Mapping[str, Any], where: str = "job") -> Job:
    """Return the job that an entry describes. Raises StewardError with what is wrong first."""
    found = job_findings([given], where)
    if found:
        raise StewardError(found[0])
    held = {**JOB_KEYS, **{key: value for key, value in given.items() if value is not None}}
    schema, table = table_of(held["table"], "table")
    return Job(
        name=held["name"],
        schema=schema,
        table=table,
        column=str(held["column"]),
        older_than=" ".join(str(held["older_than"]).split()),
        batch=int(held["batch"]),
        pause=float(held["pause"]),
        lock_timeout=int(held["lock_timeout"]),
        without_index=bool(held["without_index"]),
    )


def table_of(text: str, where: str) -> tuple[str, str]:
    """Return schema and name of a table or an index; without a schema it is in public. Raises StewardError."""
    try:
        parts = split(str(text))
    except ValueError:
        parts = ()
    if len(parts) not in (1, 2):
        raise StewardError(f"{where} is {text!r}, which is no name: write schema.name")
    return (parts[0], parts[1]) if len(parts) == 2 else ("public", parts[0])


def job_findings(jobs: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    """Return what is wrong with clean-up jobs, each finding in one line that begins with where the job is."""
    found = []
    for number, job in enumerate(jobs):
        found += [f"{where}[{number}]{text}" for text in _job(job)]
    names = [str(job.get("name")) for job in jobs]
    found += [
        f"{where} has two jobs of the name {name}: give each its own"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    return found


def _job(job: Mapping[str, Any]) -> list[str]:
    unknown = sorted(set(job) - set(JOB_KEYS))
    if unknown:
        return [f" has {unknown[0]}, which there is not: there are {', '.join(JOB_KEYS)}"]
    lacking = [key for key in JOB_NEEDS if job.get(key) in (None, "")]
    if lacking:
        return [f" has no {lacking[0]}"]
    found = []
    if not _JOB_NAME.fullmatch(str(job["name"])):
        found.append(f".name is {job['name']!r}: write small letters, digits, _ and -, 40 at most")
    try:
        table_of(job["table"], ".table")
    except StewardError as error:
        found.append(str(error))
    if not is_interval(str(job["older_than"])):
        found.append(f".older_than is {job['older_than']!r}, which is no interval: write a number and a unit, 30 days")
    return found + _out_of_range({key: job[key] for key in JOB_LIMITS if job.get(key) is not None}, JOB_LIMITS, "")


def is_interval(text: str) -> bool:
    """Tell whether a text is an interval that is longer than nothing: `30 days`, `1 year 6 months`."""
    return bool(_INTERVAL.fullmatch(text)) and any(int(number) for number in re.findall(r"\d+", text))


def threshold_findings(given: Mapping[str, Any], where: str) -> list[str]:
    """Return what is wrong with thresholds."""
    unknown = sorted(set(given) - set(THRESHOLDS))
    if unknown:
        return [f"{where} has {unknown[0]}, which there is not: there are {', '.join(THRESHOLDS)}"]
    return _out_of_range(given, {name: limits[:2] for name, limits in THRESHOLDS.items()}, where)


def _out_of_range(given: Mapping[str, Any], limits: Mapping[str, tuple[float, float]], where: str) -> list[str]:
    found = []
    for name, value in given.items():
        least, most = limits[name]
        try:
            good = not isinstance(value, bool) and least <= float(value) <= most
        except (TypeError, ValueError):
            good = False
        if not good:
            found.append(f"{where}.{name} is {value!r}: give a number from {least:,} to {most:,}")
    return found


def thresholds_of(*given: Mapping[str, Any]) -> dict[str, float]:
    """Return all thresholds; what is said later comes first. Raises StewardError when one is out of range."""
    held: dict[str, float] = {name: limits[2] for name, limits in THRESHOLDS.items()}
    for one in given:
        stated = {name: value for name, value in one.items() if value is not None}
        for finding in threshold_findings(stated, "thresholds"):
            raise StewardError(finding)
        held |= {name: float(value) for name, value in stated.items()}
    return held


def schedule_findings(given: Mapping[str, Any], where: str) -> list[str]:
    """Return what is wrong with times, but for what only systemd can tell."""
    return [
        f"{where} has {name}, which is never scheduled: there are {', '.join(SCHEDULED)}"
        for name in sorted(set(given) - set(SCHEDULED))
    ] + [
        f"{where}.{name} is {when!r}: write a time as systemd's OnCalendar has it, or null for never"
        for name, when in given.items()
        if name in SCHEDULED and when is not None and (not isinstance(when, str) or not when.strip() or "\n" in when)
    ]


def hours(calendar: str) -> set[int]:
    """Return the hours in which a time of systemd comes, as far as it says them plainly; nothing of one that does not."""
    match = re.search(r"(?:^|[\sT])([0-9,./*]+):[0-9*]", calendar)
    found: set[int] = set()
    for part in match[1].split(",") if match else []:
        if part == "*":
            return set()
        begin, _dots, end = part.partition("..")
        start, _slash, step = begin.partition("/")
        if not start.isdigit() or (end and not end.isdigit()) or (step and not step.isdigit()):
            return set()
        found |= set(range(int(start), 24 if step else int(end or start) + 1, int(step or 1) or 1))
    return found


def backup_findings(schedules: Mapping[str, Any], backups: Iterable[str], where: str) -> list[str]:
    """Return which heavy task begins in the hour of a backup. The freeze guard is light unless it is needed, and then it must not wait."""
    taken = set().union(*(hours(str(one)) for one in backups if one))
    return [
        f"{where}.{task} is {schedules[task]}, in the hour of a backup: move one of both"
        for task in (VACUUM, REINDEX, CLEAN_UP)
        if schedules.get(task) and hours(str(schedules[task])) & taken
    ]


def label(text: str) -> str:
    """Return a text as the value of a label of a metric."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def readable(size: float) -> str:
    """Return an amount of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1024 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError
