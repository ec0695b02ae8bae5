# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which dumps of a database stay. Pure.

A dump stays when any rule of the policy wants it: `days` (younger than that), `count` (the newest so many), and `daily`, `weekly`, `monthly`,
`yearly` (the newest dump of each of the last so many days, ISO weeks, months, years that have one, in UTC). The last good dump always
stays. Nothing is removed where the rules themselves want none of the dumps that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

RULES = ("days", "count", "daily", "weekly", "monthly", "yearly")
LAST_GOOD = "last good"

_PERIODS: Mapping[str, Callable[[datetime], tuple[int, ...]]] = {
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: at.isocalendar()[:2],
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: (at.year,),
}


@dataclass(frozen=True)
class Dump:
    """A dump as far as retention is concerned. good: whole, and not known to be damaged."""

    name: str
    at: datetime
    good: bool = True


@dataclass(frozen=True)
class Policy:
    """How many of each stay; 0 is a rule that wants none."""

    days: int = 0
    count: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0


@dataclass(frozen=True)
class Decision:
    """What stays, with the rules that want it, and what goes, both oldest first."""

    kept: Mapping[str, tuple[str, ...]]
    removed: tuple[str, ...]


def policy_of(given: Mapping[str, Any]) -> Policy | None:
    """Return the policy that options name, None for none at all, which keeps everything. Raises StewardError."""
    findings = policy_findings(given)
    if findings:
        raise StewardError(findings[0])
    return Policy(**{rule: int(given[rule] or 0) for rule in given}) if given else None


def policy_findings(given: Mapping[str, Any], name: str = "retention") -> list[str]:
    """Return what is wrong with a policy; name is what the options call it."""
    unknown = sorted(set(given) - set(RULES))
    if unknown:
        return [f"{name} has the rule {unknown[0]}, which there is not: there are {', '.join(RULES)}"]
    wrong = [rule for rule, value in given.items() if value is not None and not _is_number(value)]
    if wrong:
        return [f"{name}: {wrong[0]} is {given[wrong[0]]!r}, and has to be a whole number from 0 on"]
    if given and not any(int(value or 0) for value in given.values()):
        return [
            f"{name} would remove every dump: give at least one of {', '.join(RULES)} a number above 0, or no {name}"
        ]
    return []


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or str(value).isdigit()) and int(value) >= 0


def decide(dumps: Iterable[Dump], policy: Policy, now: datetime) -> Decision:
    """Return what stays and what goes. Raises StewardError when the rules want none of the dumps that are there.

    Dumps that are not good stay or go by the same rules, and never take the place of a good one in a period or in `count`.
    """
    newest_first = sorted(dumps, key=lambda dump: (dump.at, dump.name), reverse=True)
    good = [dump for dump in newest_first if dump.good]
    wanted = _wanted(good, policy, now)
    if newest_first and not wanted:
        newest = newest_first[0]
        raise StewardError(
            f"retention would remove every dump, {len(newest_first)} of them, the newest from {_day(newest.at)}: nothing is removed; take a"
            " dump, or keep more"
        )
    for dump in newest_first:
        if not dump.good and _within_days(dump, policy, now):
            wanted.setdefault(dump.name, []).append("days")
    if good:
        wanted.setdefault(good[0].name, []).append(LAST_GOOD)
    oldest_first = newest_first[::-1]
    return Decision(
        kept={dump.name: tuple(wanted[dump.name]) for dump in oldest_first if dump.name in wanted},
        removed=tuple(dump.name for dump in oldest_first if dump.name not in wanted),
    )


def _wanted(newest_first: Sequence[Dump], policy: Policy, now: datetime) -> dict[str, list[str]]:
    """Return the names of the dumps that rules want, each with those rules."""
    found: dict[str, list[str]] = {}
    for place, dump in enumerate(newest_first):
        rules = ["days"] * _within_days(dump, policy, now) + ["count"] * (place < policy.count)
        if rules:
            found[dump.name] = rules
    for rule, period_of in _PERIODS.items():
        newest: dict[tuple[int, ...], Dump] = {}
        for dump in newest_first:
            newest.setdefault(tuple(period_of(dump.at.astimezone(UTC))), dump)
        for period in sorted(newest, reverse=True)[: getattr(policy, rule)]:
            found.setdefault(newest[period].name, []).append(rule)
    return found


def _within_days(dump: Dump, policy: Policy, now: datetime) -> bool:
    return policy.days > 0 and dump.at >= now - timedelta(days=policy.days)


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d")
