"""What stays of dumps: each rule, what is refused, and 800 days of it against a rule written another way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_retention import (
    Dump,
    Policy,
    decide,
    policy_findings,
    policy_of,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

NOW = datetime(2026, 3, 15, 2, 0, tzinfo=UTC)  # a Sunday


def ages(*days: float, bad: tuple[float, ...] = ()) -> list[Dump]:
    """Return dumps of that many days ago, named after them."""
    return [Dump(f"{age:g}", NOW - timedelta(days=age), age not in bad) for age in days]


@pytest.mark.parametrize(
    ("policy", "there", "bad", "kept"),
    [
        ({"days": 30}, (0, 1, 29, 30, 30.1, 400), (), "30 29 1 0"),
        ({"count": 2}, (0, 1, 2, 3), (), "1 0"),
        ({"count": 9}, (0, 1), (), "1 0"),
        # The newest of each day, 15 and 14 March.
        ({"daily": 2}, (0, 0.05, 0.2, 1, 2), (), "0.2 0"),
        # Days without a dump do not count.
        ({"daily": 2}, (0, 40, 80), (), "40 0"),
        # ISO weeks: 15 March is the last day of one, 8 March of the one before.
        ({"weekly": 2}, (0, 3, 6, 7, 8, 13, 14), (), "7 0"),
        # March, then 28 February.
        ({"monthly": 2}, (0, 14, 15, 20, 50), (), "15 0"),
        # 31 December 2025 is 74 days ago.
        ({"yearly": 3}, (0, 73, 74, 100, 500), (), "500 74 0"),
        ({"days": 1, "weekly": 2}, (0, 1, 7, 8), (), "7 1 0"),
        # A damaged dump takes nobody's place, and the last good one stays whatever the rules say.
        ({"count": 1}, (0, 1, 2), (0,), "1"),
        ({"daily": 1}, (0, 0.01, 1), (0,), "0.01"),
        ({"days": 3}, (0, 1, 2, 5), (0, 1), "2 1 0"),
        ({"days": 3, "count": 1}, (0, 1, 5, 9), (0, 1), "5 1 0"),
        ({"days": 3}, (), (), ""),
    ],
)
def test_rules(policy: dict[str, int], there: tuple[float, ...], bad: tuple[float, ...], kept: str) -> None:
    decision = decide(ages(*there, bad=bad), Policy(**policy), NOW)
    assert list(decision.kept) == kept.split()
    assert {*decision.kept, *decision.removed} == {f"{age:g}" for age in there}
    assert list(decision.removed) == [
        f"{age:g}" for age in sorted(there, reverse=True) if f"{age:g}" not in kept.split()
    ]


def test_reasons() -> None:
    decision = decide(ages(0, 1, 7), Policy(days=1, weekly=2, monthly=1), NOW)
    assert decision.kept == {"7": ("weekly",), "1": ("days",), "0": ("days", "weekly", "monthly", "last good")}


def test_a_dump_from_the_future_stays() -> None:
    assert decide(ages(-1, 0), Policy(days=1), NOW).removed == ()


@pytest.mark.parametrize(
    ("there", "bad"),
    [((40, 50), ()), ((40,), ()), ((0, 1), (0, 1))],  # all too old; none good
)
def test_nothing_is_removed_where_the_rules_want_nothing(there: tuple[float, ...], bad: tuple[float, ...]) -> None:
    with pytest.raises(StewardError, match=f"would remove every dump, {len(there)} of them, the newest from"):
        decide(ages(*there, bad=bad), Policy(days=30), NOW)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"days": 0}, "would remove every dump"),
        ({"days": 0, "count": None}, "would remove every dump"),
        ({"days": -1}, "days is -1, and has to be a whole number"),
        ({"count": "many"}, "count is 'many'"),
        ({"count": True}, "count is True"),
        ({"hourly": 3}, "retention has the rule hourly, which there is not"),
        ({"days": 30}, None),
        ({"days": "30", "weekly": 0}, None),
        ({}, None),
    ],
)
def test_policies(given: dict[str, Any], words: str | None) -> None:
    findings = policy_findings(given)
    assert findings == [] if words is None else words in findings[0]
    if words:
        with pytest.raises(StewardError):
            policy_of(given)


def test_no_policy_keeps_everything() -> None:
    assert policy_of({}) is None
    assert policy_of({"days": "30", "count": None}) == Policy(days=30)


def newest_of(days: list[date], of_period: Any, last: int) -> set[date]:
    """Return the last day of each of the last periods, by groups instead of by a walk."""
    groups: dict[Any, list[date]] = {}
    for day in days:
        groups.setdefault(of_period(day), []).append(day)
    return {max(groups[period]) for period in sorted(groups)[-last:]}


def test_800_days() -> None:
    """A dump a day, three days without, and retention after each; the expected set is made from all days that ever had one."""
    policy = Policy(days=14, daily=7, weekly=5, monthly=12, yearly=3)
    first = date(2023, 11, 20)
    held: set[date] = set()
    for number in range(800):
        today = first + timedelta(days=number)
        now = datetime(today.year, today.month, today.day, 2, 10, tzinfo=UTC)
        if number not in (100, 101, 400):
            held.add(today)
        dumps = [Dump(day.isoformat(), datetime(day.year, day.month, day.day, 2, tzinfo=UTC)) for day in held]
        decision = decide(dumps, policy, now)
        assert decision.removed == () or max(held).isoformat() in decision.kept
        held = {date.fromisoformat(name) for name in decision.kept}
    today = first + timedelta(days=799)
    ever = [first + timedelta(days=number) for number in range(800) if number not in (100, 101, 400)]
    expected = {day for day in ever if (today - day).days < 14 or ever.index(day) >= len(ever) - 7}
    expected |= newest_of(ever, lambda day: day.strftime("%G-%V"), 5)
    expected |= newest_of(ever, lambda day: day.strftime("%Y-%m"), 12)
    expected |= newest_of(ever, lambda day: day.year, 3)
    # `days` counts hours: at 02:10 the dump of two weeks ago, 02:00, is ten minutes too old.
    assert held == expected
    # 14 of the last days, weeks before them, ends of months, ends of two years.
    assert len(held) == 14 + 3 + 10 + 1
