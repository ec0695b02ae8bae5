"""What a dump says of what it does not hold."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_source import facts_of, findings, notes

ANSWER: dict[str, Any] = {
    "version": "17.6 (Debian 17.6-0+deb13u1)", "number": 170006, "standby": False, "superuser": True, "bypasses": True, "user": "dumps",
    "bytes": 8_000_000, "table_bytes": 5_000_000, "extensions": {"vector": "0.8.0"}, "roles": ["a", "b"], "large_objects": 0,
    "foreign_rows": 0, "unlogged": 0,
}  # fmt: skip


def test_facts() -> None:
    facts = facts_of(ANSWER)
    assert (facts.major, facts.roles) == (17, ("a", "b"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        (
            {"large_objects": 3},
            ["dumps may not read 3 large objects: GRANT SELECT ON LARGE OBJECT to it, or dump as a superuser"],
        ),
    ],
)
def test_findings(change: dict[str, Any], words: list[str]) -> None:
    assert findings(facts_of({**ANSWER, **change})) == words


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 0),
        ({"superuser": False}, 1),
        ({"unlogged": 2}, 0),
        ({"unlogged": 2, "standby": True}, 1),
        ({"foreign_rows": 1}, 1),
    ],
)
def test_notes(change: dict[str, Any], count: int) -> None:
    assert len(notes(facts_of({**ANSWER, **change}))) == count
