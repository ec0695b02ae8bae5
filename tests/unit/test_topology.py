"""What single servers add up to: who is primary, what is no cluster, and what a converging run does with each host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.filter.topology import topology
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import (
    FIRST,
    FOLLOWING,
    LEADING,
    LEFT_ALONE,
    judge,
)

Instances = dict[str, dict[str, Any]]

SILENT: dict[str, Any] = {}
EMPTY: dict[str, Any] = {"state": "empty"}
HUNG: dict[str, Any] = {"state": "unreachable", "reason": "too many clients already"}
NAMES = {host: [host, f"10.0.0.{number}"] for number, host in enumerate("abc", 1)}


def server(state: str, timeline: int = 1, identifier: str = "7", **rest: Any) -> dict[str, Any]:
    return {"state": state, "system_identifier": identifier, "timeline": timeline, **rest}


def primary(timeline: int = 1, **rest: Any) -> dict[str, Any]:
    return server("primary", timeline, **rest)


def standby(timeline: int = 1, **rest: Any) -> dict[str, Any]:
    return server("standby", timeline, standby_signal=True, **rest)


def stopped(timeline: int = 1, standby_signal: bool = False, **rest: Any) -> dict[str, Any]:
    return server("stopped", timeline, standby_signal=standby_signal, **rest)


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ({}, {"primary": None, "empty": [], "parts": {}, "problems": []}),
        ({"a": EMPTY}, {"primary": None, "empty": ["a"], "system_identifier": None, "timeline": None}),
        ({"a": primary(3)}, {"primary": "a", "timeline": 3, "system_identifier": "7"}),
        ({"a": primary(), "b": standby(), "c": standby()}, {"primary": "a", "standbys": ["b", "c"], "problems": []}),
        ({"a": SILENT, "b": standby(2)}, {"primary": None, "unreachable": ["a"], "standbys": ["b"], "timeline": None}),
        ({"a": stopped(), "b": primary(2)}, {"primary": "b", "stopped": ["a"], "timeline": 2, "problems": []}),
        ({"a": stopped(fenced=True), "b": primary(2)}, {"fenced": ["a"]}),
        ({"a": HUNG, "b": SILENT, "c": standby()}, {"unreachable": ["a", "b"], "primary": None}),
        ({"a": {"state": "stopped", "reason": "no programs"}, "b": primary()}, {"stopped": ["a"], "problems": []}),
    ],
)
def test_judge(instances: Instances, expected: dict[str, Any]) -> None:
    facts = judge(instances).as_facts()
    assert {name: facts[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        (
            {"a": primary(1), "b": primary(2)},
            ("two primaries: a and b both take writes", "b is on the highest timeline (2)", "-e node=a -e confirm=a"),
        ),
        # Nothing speaks for one of them: neither is named as the one to stop.
        ({"a": primary(2), "b": primary(2)}, ("they are on one timeline (2)", "-e node=HOST -e confirm=HOST")),
        ({"a": primary(1), "b": primary(2), "c": primary(3)}, ("a and b and c", "c is on", "-e node=HOST")),
        (
            {"a": primary(), "b": standby(identifier="8")},
            ("different clusters", "a has 7, b has 8", "out of the inventory"),
        ),
        ({"a": primary(), "b": stopped(identifier="8")}, ("different clusters", "a has 7, b has 8")),
        ({"a": stopped(), "b": stopped(identifier="8")}, ("different clusters", "a has 7, b has 8")),
        (
            {"a": primary(), "b": standby(upstream="10.9.9.9")},
            ("b follows 10.9.9.9, which is none of a, b, c", "--limit"),
        ),
        ({"b": standby(upstream="10.9.9.9")}, ("b follows 10.9.9.9",)),
        (
            {"a": primary(1), "b": standby(2)},
            ("b is on timeline 2, ahead of the primary a on 1", "reinit_standby with -e confirm=b"),
        ),
        ({"a": primary(1), "b": stopped(2)}, ("b is on timeline 2, ahead of the primary a on 1",)),
        ({"a": primary(1), "b": stopped(2, standby_signal=True)}, ("b is on timeline 2, ahead",)),
    ],
)
def test_problems(instances: Instances, words: tuple[str, ...]) -> None:
    [problem] = judge(instances, NAMES).problems
    assert all(word in problem for word in words), problem


@pytest.mark.parametrize(
    "instances",
    [
        {"a": primary(), "b": standby(upstream="10.0.0.1"), "c": standby(upstream="b")},
        {"a": primary(), "b": standby()},  # its receiver does not run at the moment
        {"a": primary(3), "b": stopped(2), "c": standby(2)},
        {"a": primary(), "b": EMPTY, "c": SILENT},
        {"a": primary(), "b": HUNG},
    ],
)
def test_no_problem(instances: Instances) -> None:
    assert judge(instances, NAMES).problems == ()


def test_nobody_is_a_stranger_where_addresses_are_not_known() -> None:
    assert judge({"a": primary(), "b": standby(upstream="10.9.9.9")}).problems == ()


def test_every_problem_is_told() -> None:
    found = judge({"a": primary(1), "b": standby(2, identifier="8", upstream="10.9.9.9")}, NAMES).problems
    assert [next(word for word in ("clusters", "follows", "ahead") if word in line) for line in found] == [
        "clusters",
        "follows",
        "ahead",
    ]


LATER = {"b": FOLLOWING, "c": FOLLOWING}
WAITING = {"b": FOLLOWING, "c": LEFT_ALONE}


@pytest.mark.parametrize(
    ("instances", "parts", "words"),
    [
        # Bare hosts: the first of the inventory is made primary, and only when all of them are known to be bare.
        ({"a": EMPTY}, {"a": FIRST}, None),
        ({"a": EMPTY, "b": EMPTY, "c": EMPTY}, {"a": FIRST, **LATER}, None),
        ({"a": EMPTY, "b": EMPTY, "c": SILENT}, dict.fromkeys("abc", LEFT_ALONE), "c cannot be asked"),
        ({"a": EMPTY, "b": EMPTY, "c": HUNG}, dict.fromkeys("abc", LEFT_ALONE), "c cannot be asked"),
        ({"a": SILENT, "b": SILENT}, dict.fromkeys("ab", LEFT_ALONE), "a, b cannot be asked"),
        # A single server.
        ({"a": primary()}, {"a": FIRST}, None),
        ({"a": stopped()}, {"a": FIRST}, None),
        ({"a": SILENT}, {"a": LEFT_ALONE}, "a cannot be asked"),
        ({"a": HUNG}, {"a": LEFT_ALONE}, "a cannot be asked"),
        # A primary whose standbys are to be made, and one that they follow.
        ({"a": primary(), "b": EMPTY, "c": EMPTY}, {"a": FIRST, **LATER}, None),
        ({"a": primary(), "b": standby(), "c": EMPTY}, {"a": LEADING, **LATER}, None),
        ({"a": EMPTY, "b": primary(2), "c": standby(2)}, {"a": FOLLOWING, "b": LEADING, "c": FOLLOWING}, None),
        ({"a": primary(), "b": stopped(standby_signal=True)}, {"a": LEADING, "b": FOLLOWING}, None),
        ({"a": primary(), "b": standby(), "c": SILENT}, {"a": LEADING, **WAITING}, None),
        # A former primary beside a running one is not touched.
        ({"a": stopped(), "b": primary(2)}, {"a": LEFT_ALONE, "b": FIRST}, None),
        (
            {"a": stopped(fenced=True), "b": primary(2), "c": standby(2)},
            {"a": LEFT_ALONE, "b": LEADING, "c": FOLLOWING},
            None,
        ),
        # The whole cluster is stopped: its primary may start when nobody is or may be ahead of it.
        (
            {"a": stopped(2), "b": stopped(2, standby_signal=True), "c": stopped(1, standby_signal=True)},
            {"a": FIRST, **LATER},
            None,
        ),
        ({"a": stopped(), "b": EMPTY}, {"a": FIRST, "b": FOLLOWING}, None),
        ({"a": stopped(), "b": standby()}, {"a": FIRST, "b": FOLLOWING}, None),
        ({"a": stopped(), "b": standby(), "c": SILENT}, {"a": LEFT_ALONE, **WAITING}, "c cannot be asked"),
        ({"a": stopped(1), "b": standby(2)}, {"a": LEFT_ALONE, "b": FOLLOWING}, "b wait for a primary"),
        (
            {"a": stopped(1), "b": stopped(2, standby_signal=True)},
            {"a": LEFT_ALONE, "b": FOLLOWING},
            "not known who was primary",
        ),
        ({"a": stopped(1), "b": stopped(2)}, dict.fromkeys("ab", LEFT_ALONE), "not known who was primary"),
        ({"a": stopped(1), "b": stopped(1)}, dict.fromkeys("ab", LEFT_ALONE), "not known who was primary"),
        # A fenced one is not started, whatever the others are: somebody may have taken over.
        (
            {"a": stopped(fenced=True), "b": standby()},
            {"a": LEFT_ALONE, "b": FOLLOWING},
            "fenced: a. Bring the primary",
        ),
        ({"a": stopped(fenced=True), "b": EMPTY}, dict.fromkeys("ab", LEFT_ALONE), "fenced: a"),
        # Standbys alone.
        (
            {"b": standby(), "c": standby()},
            LATER,
            "b, c wait for a primary. Bring the primary back, or run the playbook failover",
        ),
        ({"a": SILENT, "b": standby()}, {"a": LEFT_ALONE, "b": FOLLOWING}, "a cannot be asked"),
        ({"a": EMPTY, "b": standby()}, {"a": LEFT_ALONE, "b": FOLLOWING}, "playbook failover"),
        # Nobody is started beside two that take writes.
        ({"a": primary(), "b": primary(), "c": stopped()}, dict.fromkeys("abc", LEFT_ALONE), "two primaries: a and b"),
        ({"a": primary(), "b": primary(), "c": EMPTY}, dict.fromkeys("abc", LEFT_ALONE), "two primaries: a and b"),
    ],
)
def test_parts(instances: Instances, parts: dict[str, str], words: str | None) -> None:
    facts = topology(instances)
    assert facts["parts"] == parts
    assert list(parts.values()).count(FIRST) + list(parts.values()).count(LEADING) <= 1
    if words is None:
        assert facts["no_primary"] is None
    else:
        assert words in facts["no_primary"]
