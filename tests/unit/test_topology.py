"""What single servers add up to."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import TopologyError, judge


def server(state: str, identifier: str = "7", timeline: int = 1) -> dict[str, Any]:
    return {"state": state, "system_identifier": identifier, "timeline": timeline}


EMPTY: dict[str, Any] = {"state": "empty"}


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ({"a": EMPTY}, {"primary": None, "empty": ["a"], "system_identifier": None, "timeline": None}),
        ({"a": server("primary", timeline=3)}, {"primary": "a", "timeline": 3, "system_identifier": "7"}),
        (
            {"a": server("primary"), "b": server("standby"), "c": server("standby")},
            {"primary": "a", "standbys": ["b", "c"]},
        ),
        ({"a": {}, "b": server("standby")}, {"primary": None, "unreachable": ["a"], "standbys": ["b"]}),
        ({"a": {"state": "stopped"}, "b": server("primary")}, {"primary": "b", "stopped": ["a"]}),
    ],
)
def test_judge(instances: dict[str, dict[str, Any]], expected: dict[str, Any]) -> None:
    facts = judge(instances).as_facts()
    assert {name: facts[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        ({"a": server("primary"), "b": server("primary")}, ("two primaries", "a and b")),
        ({"a": server("primary", "7"), "b": server("standby", "8")}, ("different clusters", "a has 7, b has 8")),
    ],
)
def test_judge_refuses(instances: dict[str, dict[str, Any]], words: tuple[str, ...]) -> None:
    with pytest.raises(TopologyError) as caught:
        judge(instances)
    assert all(word in str(caught.value) for word in words)
