"""The load client of the fault tests without a server: what it counts as stalls, lost, unknown, and how it reports."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "molecule" / "shared"))

import load

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Database:
    """Answers the queries of a report: rows that hold (writer, sequence, timeline)."""

    def __init__(self, *rows: tuple[int, int, int]) -> None:
        self.rows = rows

    def execute(self, query: str, _parameters: list[int]) -> Any:
        if "array_agg" in query:
            writers = {writer for writer, *_ in self.rows}
            return [(writer, [number for other, number, _ in self.rows if other == writer]) for writer in writers]
        times: dict[int, list[datetime]] = {}
        for _, number, timeline in self.rows:
            times.setdefault(timeline, []).append(NOON.replace(second=number))
        answer = [(timeline, min(written), max(written)) for timeline, written in sorted(times.items())]
        return SimpleNamespace(fetchall=lambda: answer)


def report(
    acknowledged: dict[int, set[int]], unknown: dict[int, set[int]] | None = None, **changes: Any
) -> load.Report:
    """Return a report of ten seconds with these ids."""
    stall = load.Stall(0.25, NOON.timestamp(), "writer 1")
    given: dict[str, Any] = {
        "run": 1,
        "seconds": 10.0,
        "acknowledged": {writer: frozenset(ids) for writer, ids in acknowledged.items()},
        "unknown": {writer: frozenset((unknown or {}).get(writer, ())) for writer in acknowledged},
        "reads": 3,
        "reads_on_standby": 2,
        "write_failures": (),
        "read_failures": (),
        "write_errors": 0,
        "read_errors": 0,
        **dict.fromkeys(("write_stall", "write_stall_of_all", "read_stall", "read_stall_of_all"), stall),
        "cpu_seconds": 0.5,
    }
    return load.Report(**{**given, **changes})


@pytest.mark.parametrize(
    ("times", "end", "gap"),
    [
        ([], 9.0, (0.0, 9.0)),
        ([1.0], 1.0, (0.0, 1.0)),
        ([1.0], 4.0, (3.0, 1.0)),
        ([1.0, 2.0, 5.0, 6.0], 6.5, (3.0, 2.0)),
        ([1.0, 2.0, 5.0, 6.0], 16.0, (10.0, 6.0)),
        ([1.0, 3.0, 5.0], 5.0, (2.0, 1.0)),
        # An answer that came after the end was asked for ends its own stall.
        ([1.0, 8.0], 5.0, (7.0, 1.0)),
    ],
)
def test_longest_gap(times: list[float], end: float, gap: tuple[float, float]) -> None:
    assert load.longest_gap(times, end) == gap


def test_what_is_missing_what_landed_and_what_should_not_be_there() -> None:
    seen = report({0: {1, 2, 4}, 1: {1, 2, 3}}, {0: {3, 5}})
    database = Database((0, 1, 1), (0, 2, 1), (0, 5, 2), (1, 1, 1), (1, 3, 2), (1, 9, 2))
    assert seen.missing(database) == [(0, 4), (1, 2)]  # type: ignore[arg-type]
    assert seen.landed(database) == [(0, 5)]  # type: ignore[arg-type]
    assert seen.extra(database) == [(1, 9)]  # type: ignore[arg-type]  # noqa: S610


def test_a_writer_whose_rows_are_all_gone_lost_them_all() -> None:
    assert report({0: {1, 2}}).missing(Database()) == [(0, 1), (0, 2)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "gaps"),
    [
        ([], []),
        ([(0, 1, 1), (0, 9, 1)], []),
        ([(0, 1, 1), (0, 9, 1), (1, 12, 2)], [(1, 2, 3.0)]),
        ([(0, 1, 1), (0, 5, 3), (1, 6, 3), (0, 9, 4)], [(1, 3, 4.0), (3, 4, 3.0)]),
    ],
)
def test_outage(rows: list[tuple[int, int, int]], gaps: list[tuple[int, int, float]]) -> None:
    found = report({0: set()}).outage(Database(*rows))  # type: ignore[arg-type]
    assert [(gap.old, gap.new, gap.seconds) for gap in found] == gaps


class PoolerError(psycopg.errors.ProtocolViolation):
    """An error that PgBouncer itself reports."""

    diag = SimpleNamespace(message_primary="")  # type: ignore[assignment]

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.diag = SimpleNamespace(message_primary=text)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (psycopg.OperationalError("consuming input failed"), True),
        (psycopg.errors.AdminShutdown("terminating connection"), True),
        (psycopg.errors.CrashShutdown("crash of another process"), True),
        (psycopg.errors.ConnectionFailure("gone"), True),
        (PoolerError("server conn crashed?"), True),
        (PoolerError("server login has been failing, cached error: connect failed (server_login_retry)"), False),
        (PoolerError("query_wait_timeout"), False),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT"), False),
        (psycopg.errors.UniqueViolation("duplicate key"), False),
        (psycopg.errors.QueryCanceled("statement timeout"), False),
        (psycopg.errors.DiskFull("no space left"), False),
    ],
)
def test_whose_outcome_is_unknown(error: psycopg.Error, unknown: bool) -> None:
    assert load.outcome_is_unknown(error) is unknown


def test_the_report_as_data_and_for_people() -> None:
    at = NOON.timestamp()
    failures = tuple(load.Failure(at + n, f"writer {n}", "execute", "AdminShutdown", "ended", n) for n in range(2))
    seen = report({0: {1, 2}, 1: {1}}, {0: {3}}, write_failures=failures, write_errors=2, cut=("reader 3",))
    data = json.loads(json.dumps(seen.as_dict()))
    assert (data["commits"], data["commits_per_second"], data["unknown"], data["cut"]) == (3, 0.3, 1, ["reader 3"])
    assert data["errors"] == [{"text": "execute: AdminShutdown: ended", "count": 2, "first": at, "last": at + 1}]
    assert data["write_stall"] == {"seconds": 0.25, "began": at, "client": "writer 1"}
    text = str(seen)
    assert "3 commits in 10.0 s" in text
    assert "errors: 2 of writers, 0 of readers; commits of unknown outcome: 1" in text
    assert "longest stall of a writer 0.250 s (writer 1, from 12:00:00.000)" in text
    assert "2 times execute: AdminShutdown: ended (first 12:00:00.000)" in text
    assert text.endswith("without an answer at the end, and cut off: reader 3")


def test_nobody_answers() -> None:
    """Nothing listens on port 1: the load is not started, in bounded time, and the reason is told."""
    clients = load.Load(["postgresql://u@127.0.0.1:1/d"], ["postgresql://u@127.0.0.1:1/d"], writers=2, readers=1)
    with pytest.raises(load.LoadError) as caught:
        clients.start(limit=0.3)
    assert str(caught.value).startswith("3 of 3 clients had no answer within 0.3 s: 3 times OperationalError: ")
    assert "refused" in str(caught.value)
    assert clients.stop().commits == 0


def test_clients_are_spread_over_the_urls_in_turn() -> None:
    clients = load.Load(["a", "b"], ["c", "d", "e"], writers=4, readers=4)._clients
    assert [(client.name, client._url) for client in clients] == [
        ("writer 0", "a"), ("writer 1", "b"), ("writer 2", "a"), ("writer 3", "b"),
        ("reader 0", "c"), ("reader 1", "d"), ("reader 2", "e"), ("reader 3", "c"),
    ]  # fmt: skip
    assert load.Load([], ["c"], readers=1)._writers == []
