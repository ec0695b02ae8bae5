"""Who blocked a migration, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _lock_waits, _runner_lock
from ansible_collections.pgsteward.postgres.plugins.module_utils._lock_waits import Wait, Waits

SEEN = Wait("r1", 7, "app", "shop", "SELECT 1", 2.54, 0.1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT *\n  FROM busy", "SELECT * FROM busy"),
        ("ALTER ROLE a PASSWORD 'it''s'", "ALTER ROLE a PASSWORD '…'"),
        ("SELECT 'cut off in the mid", "SELECT '…'"),
        ("DO $x$ secret $y$ more $x$ AS b", "DO '…' AS b"),
        ("SELECT token-word", "SELECT ********"),
    ],
)
def test_values_of_others_are_not_shown(query: str, expected: str) -> None:
    assert _lock_waits.shown(query, {"token-word"}) == expected


@pytest.mark.parametrize(
    ("waits", "expected"),
    [
        ([], ""),
        ([SEEN], "blocked by pid 7 of app, 2.5 s old: SELECT 1"),
        ([Wait("r1", 0, None, None, None, None, 0.1)], "blocked by a prepared transaction"),
        ([Wait("r1", 8, None, None, None, None, 0.1)] * 4, "blocked by pid 8; pid 8; pid 8 and 1 more"),
    ],
)
def test_blocked_by(waits: list[Wait], expected: str) -> None:
    assert _lock_waits.blocked_by(waits) == expected


class _Answers:
    """A connection whose query always has the same rows."""

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self.rows = rows

    def execute(self, _query: str, _values: list[Any]) -> _Answers:
        return self

    def fetchall(self) -> tuple[tuple[Any, ...], ...]:
        return self.rows


def test_waits_grow_while_they_are_seen() -> None:
    waits = Waits(frozenset())
    connection: Any = _Answers((7, "app", "shop", "SELECT 'x'", 1.23456))
    for _look in range(2):
        waits.sample(connection, 99, "r1")
    [wait] = waits.of("r1")
    assert (wait.pid, wait.query, wait.age) == (7, "SELECT '…'", 1.235)
    assert waits.of("r2") == []
    assert [entry["pid"] for entry in waits.as_return()] == [7]


def test_the_key_fits_a_bigint() -> None:
    assert -(2**63) <= _runner_lock.KEY < 2**63
