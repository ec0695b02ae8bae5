"""The health of real servers: nothing is invented on a healthy one, and each fault that is made is found and named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import private_pair
import psycopg
import pytest
import support
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health, _health_facts, _private_cluster
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_thresholds as thresholds
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, parse_url
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import connect as pinned
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "4",
    "autovacuum": "on",
    "autovacuum_naptime": "1h",
    "archive_mode": "on",
    "max_prepared_transactions": "2",
    "shared_preload_libraries": "pg_stat_statements",
}
# Faults that last for seconds only.
SOON = {
    "idle_in_transaction": 0.2,
    "blocked": {"notice": None, "warning": 0.2},
    "query": {"notice": 0.2},
    "transaction": 1000,
    "prepared_transaction": 0.1,
}
LIMIT = 15.0  # seconds that a fault may take to come about
TABLES = 5000

Found = list[tuple[str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Place]:
    """A server of this module's own, with a database `shop`."""
    binaries = _private_cluster.find_binaries(support.LOCAL_MAJOR)
    with _private_cluster.private_cluster(binaries, "postgres", SETTINGS) as place:
        run(place, "ALTER SYSTEM SET archive_command = '/bin/true'", "SELECT pg_reload_conf()", "CREATE DATABASE shop")
        run(
            replace(place, database="shop"),
            "CREATE TABLE orders (id int PRIMARY KEY, state text)",
            "INSERT INTO orders VALUES (1), (2)",
        )
        yield replace(place, database="shop")


def connect(place: Place, application: str) -> psycopg.Connection[Any]:
    """Return a connection that sees what applications see."""
    connection = pinned(place, application)
    connection.execute("SET search_path = public, pg_catalog")
    return connection


def run(place: Place, *statements: str) -> list[Any]:
    with connect(place, "test") as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def facts(place: Place) -> dict[str, Any]:
    return _health_facts.read(place)


def found(place: Place, given: dict[str, Any] = SOON) -> Found:
    """Return names and subjects of what is wrong, sorted. Versions are those of the machine, and what stands on the command line of such a
    server, and otherwise in its file, is taken for pending.
    """
    told = _health.findings(facts(place), thresholds.merged(given))
    return sorted((one.name, one.subject) for one in told if one.name not in ("version", "pending_restart"))


def until(place: Place, expected: Found) -> None:
    limit = time.monotonic() + LIMIT
    while (seen := found(place)) != expected:
        assert time.monotonic() < limit, seen
        time.sleep(0.1)


def test_nothing_is_wrong_with_a_healthy_server(server: Place) -> None:
    assert found(server) == []
    told = facts(server)
    assert (told["role"], told["unknown"], told["archiver"]["mode"]) == ("primary", [], "on")
    [shop] = [one for one in told["databases"] if one["name"] == "shop"]
    assert (shop["tables"]["count"], shop["indexes"]["count"], shop["invalid_indexes"]) == (1, 1, [])
    with connect(server, "test") as connection:
        assert connection.execute("SELECT pg_database_size('shop')").fetchall() == [(shop["bytes"],)]


@contextmanager
def waiting(place: Place, statement: str) -> Iterator[None]:
    """Run a statement that has to wait, until it may go on or is ended."""

    def wait() -> None:
        with connect(place, "test") as connection:
            try:
                connection.execute(statement.encode())
            except psycopg.Error:
                return

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        run(
            place,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
        )
        thread.join(LIMIT)


def test_a_chain_of_three_is_found_with_who_began_it(server: Place) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(connect(server, "first"))
        first.execute("BEGIN; LOCK orders IN SHARE MODE")
        stack.enter_context(waiting(server, "ALTER TABLE orders ADD COLUMN x int"))
        until(server, [("blocked", "shop"), ("idle_in_transaction", "shop")])
        stack.enter_context(waiting(server, "SELECT * FROM orders WHERE state = 'secret'"))
        limit = time.monotonic() + LIMIT
        while facts(server)["waiting"] < 2 and time.monotonic() < limit:
            time.sleep(0.1)
        # Nobody waits for the lock that is asked for: looking ends, and soon.
        told = facts(server)
        assert told["seconds"] < 1
        [root] = told["blocking"]
        [second] = root["blocks"]
        [third] = second["blocks"]
        assert (root["pid"], root["application"], root["state"]) == (
            first.info.backend_pid,
            "first",
            "idle in transaction",
        )
        assert (second["query"], third["query"]) == (
            "ALTER TABLE orders ADD COLUMN x int",
            "SELECT * FROM orders WHERE state = '…'",
        )
        assert third["waiting"] > 0
    until(server, [])


def test_a_slot_that_nobody_reads_from_is_found(server: Place) -> None:
    run(
        server,
        "SELECT pg_create_physical_replication_slot('old', true), pg_create_physical_replication_slot('reserve')",
    )
    try:
        until(server, [("slot_inactive", "old")])
    finally:
        run(server, "SELECT pg_drop_replication_slot('old'), pg_drop_replication_slot('reserve')")
    assert found(server) == []


def test_an_archiver_that_fails_is_found(server: Place) -> None:
    def command(text: str) -> None:
        run(
            server,
            f"ALTER SYSTEM SET archive_command = '{text}'",
            "SELECT pg_reload_conf()",
            "SELECT txid_current(), pg_switch_wal()",
        )

    command("/bin/false")
    try:
        until(server, [("archiver_failing", "")])
    finally:
        command("/bin/true")
    until(server, [])


def test_an_invalid_index_is_found_and_one_that_is_being_built_is_not(server: Place) -> None:
    with ExitStack() as stack:
        reader = stack.enter_context(connect(server, "reader"))
        reader.execute("BEGIN; INSERT INTO orders VALUES (77)")
        stack.enter_context(waiting(server, "CREATE INDEX CONCURRENTLY cut_short ON orders (state)"))
        limit = time.monotonic() + LIMIT
        while facts(server)["waiting"] < 1 and time.monotonic() < limit:
            time.sleep(0.1)
        assert not [name for name, _subject in found(server) if name == "invalid_index"]
    try:
        until(server, [("invalid_index", "shop.cut_short")])
    finally:
        run(server, "DROP INDEX cut_short")


def test_a_prepared_transaction_is_found_and_whom_it_blocks(server: Place) -> None:
    run(server, "BEGIN", "LOCK orders", "PREPARE TRANSACTION 'left'")
    try:
        until(server, [("prepared_transaction", "shop")])
        with waiting(server, "SELECT * FROM orders"):
            until(server, [("blocked", ""), ("prepared_transaction", "shop")])
            assert [one["pid"] for one in facts(server)["blocking"]] == [0]
    finally:
        run(server, "ROLLBACK PREPARED 'left'")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"freeze_age": 10_000}, ("freeze_age", "shop")),
        ({"connections": {"warning": 1, "critical": None}}, ("connections", "")),
    ],
)
def test_a_figure_is_found_by_its_threshold(server: Place, given: dict[str, Any], expected: tuple[str, str]) -> None:
    if "freeze_age" in given:
        run(server, "DO $$ BEGIN FOR i IN 1..10100 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")
    with connect(server, "another"):
        assert expected in found(server, given)


def test_the_slowest_statements_are_told_where_they_are_counted(server: Place) -> None:
    assert facts(server)["statements"] is None
    run(server, "CREATE EXTENSION pg_stat_statements")
    try:
        for _ in range(5):
            run(server, "SELECT pg_sleep(0.02) AS slow, 'secret' AS value")
        top = facts(server)["statements"]["top"]
        slow = next(one for one in top if "pg_sleep" in one["query"])
        assert (slow["database"], slow["user"], slow["calls"]) == ("shop", "postgres", 5)
        assert slow["mean_ms"] >= 20
        # What was run once, however long it took, is no reason to leave out what is slow each time.
        run(server, *[f"SELECT pg_sleep(0.03) AS once{number}" for number in range(12)])
        assert any(one["calls"] == 5 and "AS slow" in one["query"] for one in facts(server)["statements"]["top"])
        # Many small ones take more than a few slow ones: what is asked once for each row of another statement.
        run(server, *["SELECT pg_sleep(0.005) FROM orders WHERE id = 1"] * 30)
        busiest = facts(server)["statements"]["busiest"]
        assert [one["calls"] for one in busiest if "FROM orders" in one["query"]] == [30]
        assert [one["total_ms"] for one in busiest] == sorted((one["total_ms"] for one in busiest), reverse=True)
        assert len(top) <= 10
        assert "secret" not in str(top)
    finally:
        run(server, "DROP EXTENSION pg_stat_statements")


def test_a_member_of_pg_monitor_sees_the_same_but_where_it_is_not_let_in(server: Place) -> None:
    run(server, "CREATE ROLE watcher LOGIN PASSWORD 'watching' IN ROLE pg_monitor", "CREATE DATABASE closed")
    run(server, "REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    try:
        told, own = (facts(place) for place in (replace(server, user="watcher", password="watching"), server))
        assert [one["what"] for one in told["unknown"]] == ["database closed"]
        assert told["settings"] == own["settings"]
        assert (told["archiver"]["waiting"], told["wal_bytes"]) == (own["archiver"]["waiting"], own["wal_bytes"])
        assert all(one["bytes"] for one in told["databases"])
    finally:
        run(server, "DROP DATABASE closed")
        run(server, "DROP ROLE watcher")


def test_who_may_not_look_is_told_what_it_lacks(server: Place) -> None:
    run(server, "CREATE ROLE stranger LOGIN PASSWORD 'strange'")
    try:
        with pytest.raises(StewardError, match=r"permission denied .*: make the account a member of pg_monitor"):
            facts(replace(server, user="stranger", password="strange"))
    finally:
        run(server, "DROP ROLE stranger")


def test_a_pair_is_healthy_until_its_standby_is_lost() -> None:
    off = [("autovacuum_off", "")]  # private clusters have it so
    with private_pair.pair(support.LOCAL_MAJOR) as (primary, standby):
        private_pair.caught_up(primary, standby)
        until(primary, off)
        until(standby, off)
        assert [one["state"] for one in facts(primary)["followers"]] == ["streaming"]
        told = facts(standby)
        assert (told["role"], told["receiver"]["status"], told["replay"]["bytes"]) == ("standby", "streaming", 0)
        run(standby, "SELECT pg_wal_replay_pause()")
        until(standby, [*off, ("replay_paused", "")])
        run(standby, "SELECT pg_wal_replay_resume()")
        run(standby, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        until(standby, [*off, ("not_streaming", "")])


def test_what_is_planted_in_a_database_is_never_called(server: Place) -> None:
    plant = """CREATE FUNCTION public.{name} RETURNS {type} LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.called VALUES ('{name}'); RETURN NULL; END $$"""
    planted = {
        "age(xid)": "int",
        "pg_database_size(oid)": "bigint",
        "current_setting(text)": "text",
        "pg_stat_get_live_tuples(oid)": "bigint",
    }
    run(
        server,
        "CREATE TABLE called (name text)",
        *(plant.format(name=name, type=kind) for name, kind in planted.items()),
    )
    run(server, "CREATE VIEW public.pg_class AS SELECT * FROM pg_catalog.pg_class WHERE public.age('3'::xid) > 0")
    try:
        assert found(server) == []
        assert run(server, "SELECT count(*) FROM public.called") == [(0,)]
    finally:
        run(
            server,
            "DROP VIEW public.pg_class",
            *(f"DROP FUNCTION public.{name}" for name in planted),
            "DROP TABLE public.called",
        )


def test_five_thousand_tables_take_half_a_second_and_no_more_questions(
    server: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    one: Callable[..., Any] = _health_facts._one

    def counting(connection: psycopg.Connection[Any], query: str) -> Any:
        asked.append(query)
        return one(connection, query)

    monkeypatch.setattr(_health_facts, "_one", counting)
    facts(server)
    few = len(asked)
    run(server, "CREATE DATABASE many")
    try:
        many = replace(server, database="many")
        for start in range(0, TABLES, 1000):  # the table of locks is no larger
            run(
                many,
                f"""DO $$ BEGIN FOR i IN {start}..{start + 999} LOOP
                EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, note text)', i); END LOOP; END $$""",
            )
        run(many, "ANALYZE")
        asked.clear()
        took = []
        for _ in range(3):
            told = _health_facts.read(many, ["many"])
            took.append(told["seconds"])
        print(f"{TABLES} tables: {took} s")
        [seen] = [entry for entry in told["databases"] if entry["name"] == "many"]
        assert (seen["tables"]["count"], seen["indexes"]["count"]) == (TABLES, TABLES)
        assert len(asked) == 3 * 2 <= 3 * few
        assert min(took) <= 0.5
    finally:
        run(server, "DROP DATABASE many")


@pytest.mark.parametrize("major", support.MAJORS)
def test_each_version_answers(monkeypatch: pytest.MonkeyPatch, major: int) -> None:
    support.use_server(monkeypatch, major)
    told = _health_facts.read(replace(parse_url(support.server_url()), database="postgres"))
    assert told["version"] // 10000 == major
    assert told["unknown"] == []


def test_what_is_left_tells_the_next_call(server: Place, tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    _health_facts.keep_state(path, facts(server))
    for _ in range(3):
        run(server, "SELECT 1")
    run(server, "CREATE TABLE big AS SELECT generate_series(1, 100000)")
    before = {**(_health_facts.read_state(path) or {})}
    before["at"] -= 100  # as if it had been a while
    try:
        told = _health_facts.read(server, before=before)
        [shop] = [one for one in told["databases"] if one["name"] == "shop"]
        assert shop["rates"]["growth_bytes"] > 3_000_000
        assert shop["rates"]["seconds"] >= 100
    finally:
        run(server, "DROP TABLE big")
