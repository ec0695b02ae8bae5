"""The load client of the fault tests against a server: it must notice what goes wrong, or it is no witness."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Database

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "molecule" / "shared"))

import load

LIMIT = 10.0  # seconds until something that must happen has happened


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def prepared(database: Database) -> Database:
    """A database with the table of the commits."""
    with database.connect() as connection:
        load.prepare(connection)
        load.prepare(connection)  # twice is fine
    return database


@pytest.mark.parametrize("explicit", [False, True], ids=["one statement", "BEGIN to COMMIT"])
def test_a_quiet_server(prepared: Database, explicit: bool) -> None:
    with load.Load([prepared.url], [prepared.url], writers=4, readers=2, explicit=explicit) as running:
        until(lambda: running.commits() > 200)
    report = running.stop()
    assert report is running.stop()
    assert (report.write_errors, report.read_errors, report.cut) == (0, 0, ())
    assert report.reads > 0 == report.reads_on_standby
    assert 0 < report.write_stall_of_all.seconds <= report.write_stall.seconds < LIMIT
    with prepared.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM {load.TABLE}").fetchone() == (report.commits,)
        assert (report.missing(connection), report.extra(connection), report.outage(connection)) == ([], [], [])  # noqa: S610
        connection.execute(f"DELETE FROM {load.TABLE} WHERE writer = 1 AND sequence IN (3, 5)")
        connection.execute(f"INSERT INTO {load.TABLE} VALUES (%s, 2, 1000000)", [report.run])
        assert report.missing(connection) == [(1, 3), (1, 5)]
        assert report.extra(connection) == [(2, 1000000)]  # noqa: S610


def test_the_timelines_of_the_rows_give_the_outage(prepared: Database) -> None:
    with load.Load([prepared.url], writers=1) as running:
        until(lambda: running.commits() > 20)
    report = running.stop()
    with prepared.connect() as connection:
        timeline = "SELECT min(timeline), max(timeline), min(timeline) = max(timeline) FROM " + load.TABLE
        [(old, _, one)] = connection.execute(timeline).fetchall()
        assert (old, one) == connection.execute("SELECT timeline_id, true FROM pg_control_checkpoint()").fetchone()
        later = "UPDATE {} SET timeline = timeline + 1, written = written + interval '7 s' WHERE sequence > 10"
        connection.execute(later.format(load.TABLE))  # type: ignore[call-overload]
        [gap] = report.outage(connection)
    assert (gap.old, gap.new, 7 < gap.seconds < 8) == (old, old + 1, True)


def test_ended_sessions_are_errors_and_the_clients_go_on(prepared: Database) -> None:
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'load' AND datname = current_database()"
    with load.Load([prepared.url], [prepared.url], writers=3, readers=2) as running:
        with prepared.connect() as connection:
            assert connection.execute(ended).fetchone() == (5,)
        before = running.commits()
        until(lambda: running.commits() > before + 100)
    report = running.stop()
    assert (report.write_errors, report.read_errors) == (3, 2)
    assert {failure.kind for failure in report.write_failures} == {"AdminShutdown"}
    assert all(failure.unknown for failure in report.write_failures)
    with prepared.connect() as connection:
        assert (report.missing(connection), report.extra(connection)) == ([], [])  # noqa: S610
        assert report.commits + len(report.landed(connection)) == sum(map(len, report._rows(connection).values()))


def test_a_stall_is_seen_and_a_hanging_server_does_not_hold_the_client(prepared: Database) -> None:
    """The table is locked: first for half a second, then beyond the end of the load."""
    with prepared.connect() as connection:
        with load.Load([prepared.url], writers=2) as running:
            with connection.transaction():
                connection.execute(f"LOCK TABLE {load.TABLE}")
                time.sleep(0.5)
            before = running.commits()
            until(lambda: running.commits() > before + 20)
        report = running.stop()
        assert report.write_errors == 0
        assert 0.4 < report.write_stall_of_all.seconds < 2

        with load.Load([prepared.url], writers=2) as running:
            connection.autocommit = False
            connection.execute(f"LOCK TABLE {load.TABLE}")
            began = time.monotonic()
            time.sleep(0.5)
        report = running.stop()
        assert time.monotonic() - began < LIMIT
        connection.rollback()
        assert (report.cut, report.write_errors) == (("writer 0", "writer 1"), 0)
        assert {len(ids) for ids in report.unknown.values()} == {1}
        assert report.write_stall.seconds > 0.4
        assert report.missing(connection) == []
