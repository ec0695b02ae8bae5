"""The health of a server: thresholds, findings, who blocks whom, rates, and the errors of a log."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _health,
    _health_facts,
    _health_locks,
    _health_log,
    _health_queries,
    _health_rates,
    _maintain,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_thresholds as thresholds
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from health_cases import DAY, HOST, NOW, STATEMENT, database, facts, inside, raw, session, slot

LIMITS = thresholds.merged({})


def found(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one.name, one.severity, one.subject) for one in _health.findings(told, LIMITS)]


@pytest.mark.parametrize("standby", [False, True])
def test_nothing_is_wrong_with_a_healthy_server(standby: bool) -> None:
    told = raw()
    if standby:
        replay = {"paused": False, "received_lsn": "0/5", "replayed_lsn": "0/5", "bytes": 0, "seconds": 0}
        receiver = {"status": "streaming", "from": "10.0.0.1", "heard": 0.5}
        # Slots for siblings keep nothing; nobody archives.
        kept = [slot(active=False, restart_lsn=None, wal_status=None, retained_bytes=None)]
        told = raw(standby=True, followers=[], slots=kept, replay=replay, receiver=receiver)
    assert found(facts(told)) == []


def waits(pid: int, *others: int, seconds: float = 0.0) -> dict[str, Any]:
    return session(pid, blocked_by=list(others), waiting=seconds)


TOLD = [
    ({"backends": [{"type": "client backend", "state": "idle", "database": "shop", "user": "a", "count": 80}]}, "connections", "warning", ""),
    ({"backends": [{"type": "client backend", "state": "idle", "database": "shop", "user": "a", "count": 96}]}, "connections", "critical", ""),
    ({"databases": [database(limit=10)]}, "connections", "critical", "shop"),
    ({"sessions": [session(1, transaction_age=301.0)]}, "long_transaction", "warning", "shop"),
    ({"sessions": [session(1, transaction_age=3601.0)]}, "long_transaction", "critical", "shop"),
    ({"sessions": [session(1, query_age=6.0)]}, "long_query", "notice", "shop"),
    ({"sessions": [session(1, query_age=301.0)]}, "long_query", "warning", "shop"),
    ({"sessions": [session(1, state="idle in transaction", state_age=61.0, transaction_age=9999.0)]}, "idle_in_transaction", "warning", "shop"),
    ({"sessions": [session(1, state="idle in transaction (aborted)", state_age=601.0)]}, "idle_in_transaction", "critical", "shop"),
    ({"sessions": [session(1, state="idle in transaction", state_age=1.0, transaction_age=9999.0)]}, "long_transaction", "critical", "shop"),
    ({"prepared": [{"gid": "x", "database": "shop", "owner": "o", "age": 301.0}]}, "prepared_transaction", "warning", "shop"),
    ({"sessions": [session(1), waits(2, 1, seconds=6.0)]}, "blocked", "warning", "shop"),
    ({"sessions": [session(1), waits(2, 1, seconds=1.0), waits(3, 2, seconds=61.0)]}, "blocked", "critical", "shop"),
    ({"databases": [database(blocks_hit=80_000, blocks_read=20_000)]}, "cache_hit", "warning", "shop"),
    ({"databases": [database(freeze_age=200_000_001)]}, "freeze_age", "warning", "shop"),
    ({"databases": [database(freeze_age=1_000_000_001)]}, "freeze_age", "critical", "shop"),
    ({"databases": [database(multixact_age=400_000_001)]}, "multixact_age", "warning", "shop"),
    ({"databases": [database(checksum_failures=1)]}, "damaged_pages", "critical", "shop"),
    ({"databases": [database(collation_actual="2.41")]}, "collation", "warning", "shop"),
    ({"followers": [{"name": "db2", "address": None, "state": "streaming", "sync_state": "async", "lag_bytes": 65 << 20, "lag_seconds": 0}]},
     "lag_bytes", "warning", "db2"),
    ({"followers": [{"name": "db2", "address": None, "state": "catchup", "sync_state": "async", "lag_bytes": 0, "lag_seconds": 301}]},
     "lag_seconds", "critical", "db2"),
    ({"settings": {"synchronous_standby_names": "ANY 1 (db2)"}}, "no_synchronous_standby", "critical", ""),
    ({"slots": [slot(active=False, inactive_since=NOW - 60)]}, "slot_inactive", "warning", "db2"),
    ({"slots": [slot(retained_bytes=11 << 30)]}, "slot_retained", "critical", "db2"),
    ({"slots": [slot(active=False, wal_status="lost", restart_lsn=None, invalidation="wal_removed")]}, "slot_lost", "critical", "db2"),
    ({"archiver": {**raw()["archiver"], "last_failed_time": NOW}}, "archiver_failing", "critical", ""),
    ({"archiver": {**raw()["archiver"], "last_time": None}}, "archiver_failing", "critical", ""),
    ({"archive_waiting": 17}, "archive_waiting", "warning", ""),
    ({"pending_restart": ["shared_buffers"]}, "pending_restart", "warning", ""),
    ({"settings": {"autovacuum": "off"}}, "autovacuum_off", "critical", ""),
    ({"version_text": "17.6"}, "version", "warning", "PostgreSQL"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "name", "severity", "subject"), TOLD)
def test_what_a_server_says_is_found_and_nothing_else(
    changes: dict[str, Any], name: str, severity: str, subject: str
) -> None:
    assert found(facts(raw(**changes))) == [(name, severity, subject)]


INSIDE = [
    ({"invalid_indexes": [{"schema": "public", "name": "i", "table": "t", "bytes": 8192}]}, "invalid_index", "warning", "shop.i"),
    ({"unused_indexes": [{"schema": "audit", "name": "i", "table": "t", "bytes": 101 << 20}]}, "unused_index", "notice", "shop.audit.i"),
    ({"dead": [{"schema": "public", "name": "t", "live": 30_000, "dead": 10_000, "vacuumed": None, "analyzed": None}]}, "dead_rows", "warning", "shop.t"),
    ({"extensions": {"vector": {"version": "0.8.0", "schema": "public"}}}, "version", "warning", "pgvector in shop"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "name", "severity", "subject"), INSIDE)
def test_what_is_in_a_database_is_found(changes: dict[str, Any], name: str, severity: str, subject: str) -> None:
    assert set(found(facts(within=inside(**changes)))) == {(name, severity, subject)}


BIG = "My Table"
MAINTAINED = [
    ({"databases": [database(freeze_age=200_000_001)]}, {}, {"task": "freeze"}),
    ({"databases": [database(collation_actual="2.41")]}, {}, {"task": "collations", "repair": "true"}),
    ({}, {"invalid_indexes": [{"schema": "public", "name": BIG, "table": "t", "bytes": 1}]}, {"task": "reindex", "index": BIG}),
    ({}, {"dead": [{"schema": "public", "name": BIG, "live": 0, "dead": 10_000, "vacuumed": None, "analyzed": None}]}, {"task": "vacuum", "table": BIG}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "within", "expected"), MAINTAINED)
def test_what_maintenance_mends_is_said_as_the_playbook_takes_it(
    changes: dict[str, Any], within: dict[str, Any], expected: dict[str, str]
) -> None:
    [one] = _health.findings(facts(raw(**changes), within=inside(**within)), LIMITS)
    words = shlex.split(one.next_step.partition("playbook maintain ")[2].partition(": it builds")[0].partition(";")[0])
    said = dict(word.split("=", 1) for word in words[1::2])
    assert said.pop("database") == "shop"
    for kind in {"index", "table"} & said.keys():
        schema, said[kind] = _maintain.table_of(said[kind], kind)
        assert schema == "public"
    assert said == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"dead": [{"schema": "public", "name": "t", "live": 10, "dead": 9_999, "vacuumed": None, "analyzed": None}]},
        {"unused_indexes": [{"schema": "public", "name": "i", "table": "t", "bytes": 8192}]},
    ],
)
def test_what_is_small_is_not_found(changes: dict[str, Any]) -> None:
    assert found(facts(within=inside(**changes))) == []


DISK = HOST["disks"][0]
CERTIFICATE = HOST["certificates"][0]
KIND = {
    "severity": "ERROR",
    "text": "could not extend file …",
    "count": 3,
    "last": NOW,
    "meaning": "the disk is full or broken",
}
HOSTS = [
    ({"disks": [{**DISK, "free_percent": 14.9}]}, "disk_free", "warning", DISK["path"]),
    ({"disks": [{**DISK, "free_percent": 4.9}]}, "disk_free", "critical", DISK["path"]),
    ({"disks": [{**DISK, "free_inodes_percent": 4.9}]}, "disk_free", "critical", DISK["path"]),
    ({"certificates": [{**CERTIFICATE, "ends": NOW + 20 * DAY}]}, "certificate", "warning", CERTIFICATE["path"]),
    ({"certificates": [{**CERTIFICATE, "ends": NOW - 1}]}, "certificate", "critical", CERTIFICATE["path"]),
    ({"log": {**HOST["log"], "errors": 101}}, "log_errors", "warning", HOST["log"]["path"]),
    ({"log": {**HOST["log"], "errors": 3, "kinds": [KIND]}}, "log_grave", "critical", HOST["log"]["path"]),
    ({"log": None, "disks": [], "certificates": []}, None, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "name", "severity", "subject"), HOSTS)
def test_what_a_host_knows_is_found(changes: dict[str, Any], name: str | None, severity: str, subject: str) -> None:
    assert found(facts(host=changes)) == ([(name, severity, subject)] if name else [])


def test_a_standby_that_does_not_stream_or_replay_is_found() -> None:
    replay = {"paused": True, "received_lsn": "0/5", "replayed_lsn": "0/5", "bytes": 0, "seconds": 0}
    told = facts(raw(standby=True, followers=[], slots=[], replay=replay, receiver=None))
    assert found(told) == [("replay_paused", "critical", ""), ("not_streaming", "critical", "")]


def test_a_statement_is_slow_by_its_mean_over_some_calls() -> None:
    told = facts()
    for calls, expected in ((5, [("slow_statement", "notice", "shop")]), (4, [])):
        told["statements"]["top"] = [{**STATEMENT, "calls": calls, "mean_ms": 1001.0}]
        assert found(told) == expected
    told["statements"] = None
    assert found(told) == []


def test_statements_are_shown_without_values_and_the_busiest_beside_the_slowest() -> None:
    often = {**STATEMENT, "mean_ms": 0.12345, "calls": 10**6, "query": "SELECT * FROM orders WHERE note = 'secret'"}
    told = _health_facts.shaped(
        raw(), {"shop": inside()}, {"held": 2, "most": 9, "top": [STATEMENT], "busiest": [often]}
    )
    [busy] = told["statements"]["busiest"]
    assert (busy["mean_ms"], busy["calls"]) == (0.123, 10**6)
    assert "secret" not in busy["query"]
    query = _health_queries.statements('public."pg_stat_statements"')
    assert query.index("ORDER BY calls < 5, mean_exec_time DESC LIMIT") < query.index(
        "ORDER BY total_exec_time DESC LIMIT"
    )


def test_each_finding_has_all_that_an_operator_needs() -> None:
    for changes, *_ in TOLD:
        for one in _health.findings(facts(raw(**changes)), LIMITS):
            assert one.text
            assert one.next_step
            assert "\n" not in one.text + one.next_step
            assert (one.unit is None) == (one.value is None)


def test_the_gravest_come_first() -> None:
    told = facts(raw(sessions=[session(1, query_age=6.0)], pending_restart=["x"], settings={"autovacuum": "off"}))
    assert [one.severity for one in _health.findings(told, LIMITS)] == ["critical", "warning", "notice"]


def test_thresholds_are_taken_away_and_replaced() -> None:
    told = facts(raw(sessions=[session(1, query_age=6.0, transaction_age=400.0)]))
    assert _health.findings(told, thresholds.merged({"query": None, "transaction": {"warning": 500}})) == []
    [one] = _health.findings(told, thresholds.merged({"query": 5.5, "transaction": None}))
    assert (one.severity, one.threshold, one.value, one.unit) == ("warning", 5.5, 6.0, "seconds")


WRONG = [
    ("text", "thresholds: give a dictionary such as"),
    ({"conections": 5}, "thresholds: there is no threshold conections, is connections meant?"),
    ({"xyz": 5}, "thresholds: there is no threshold xyz: they are archive_waiting, backup_age"),
    ({"connections": 101}, "thresholds.connections: 101 is out of range: give from 0 to 100 percent"),
    ({"connections": {"warning": -1}}, "thresholds.connections.warning: -1 is out of range"),
    ({"backup_age": 5}, "thresholds.backup_age: 5 is out of range: give at least 60 seconds"),
    ({"connections": {"warn": 5}}, "thresholds.connections: warn is no severity"),
    ({"connections": "many"}, "thresholds.connections: 'many' is no number of percent"),
    ({"connections": True}, "thresholds.connections: True is no number of percent"),
    ({"connections": float("nan")}, "thresholds.connections: nan is no number of percent"),
    ({"connections": {"warning": 96}}, "thresholds.connections: its limits must rise from notice over warning to critical, and are warning 96, critical 95"),
    ({"disk_free": {"warning": 4}}, "thresholds.disk_free: its limits must fall from notice over warning to critical"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "line"), WRONG)
def test_wrong_thresholds_are_refused_in_a_line(given: Any, line: str) -> None:
    [said] = thresholds.findings(given)
    assert said.startswith(line)
    with pytest.raises(StewardError, match=r"^thresholds"):
        thresholds.merged(given)


def test_the_defaults_are_right_themselves() -> None:
    assert thresholds.findings({name: {} for name in thresholds.DEFAULTS}) == []
    assert thresholds.findings(None) == []
    assert list(thresholds.DEFAULTS) == sorted(thresholds.DEFAULTS)
    used = Path(_health.__file__).read_text() + Path(_health.__file__).with_name("_health_document.py").read_text()
    assert [name for name in thresholds.DEFAULTS if f'"{name}"' not in used] == []


def test_the_documentation_has_the_thresholds() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "status.md").read_text()
    for name, one in thresholds.DEFAULTS.items():
        assert f"| `{name}` | {one.unit} |" in text, name


# Who blocks whom


def shape(roots: list[dict[str, Any]]) -> list[Any]:
    return [(one["pid"], shape(one["blocks"])) for one in roots]


TREES = [
    ("nobody waits", [session(1), session(2)], []),
    ("a chain of three", [session(1), waits(2, 1), waits(3, 2)], [(1, [(2, [(3, [])])])]),
    ("two behind one, the longest wait first", [session(1), waits(2, 1, seconds=1), waits(3, 1, seconds=9)], [(1, [(3, []), (2, [])])]),
    ("two roots, the longest wait first", [session(1), waits(2, 1, seconds=1), session(5), waits(6, 5, seconds=2)], [(5, [(6, [])]), (1, [(2, [])])]),
    ("one behind two stands once", [session(1), session(2), waits(3, 1, 2)], [(1, [(3, [])])]),
    ("a blocker that is gone by now", [waits(2, 1)], [(1, [(2, [])])]),
    ("a prepared transaction", [waits(2, 0)], [(0, [(2, [])])]),
    ("a ring of two", [waits(1, 2), waits(2, 1)], [(1, [(2, [])])]),
    ("a ring of three with one behind it", [waits(7, 8), waits(8, 9), waits(9, 7), waits(4, 8)], [(7, [(9, [(8, [(4, [])])])])]),
    ("a session that names itself, as a worker of a parallel query may", [waits(1, 1)], []),
]  # fmt: skip


@pytest.mark.parametrize(("_case", "sessions", "expected"), TREES, ids=[case for case, *_ in TREES])
def test_who_blocks_whom(_case: str, sessions: list[dict[str, Any]], expected: list[Any]) -> None:
    assert shape(_health_locks.tree(sessions)) == expected


def test_a_root_knows_how_many_wait_and_for_how_long() -> None:
    [root] = _health_locks.tree(
        [session(1, state="idle in transaction"), waits(2, 1, seconds=9.0), waits(3, 2, seconds=4.0)]
    )
    assert (root["blocked"], root["longest_wait"], root["blocked_by"]) == (2, 9.0, [])
    lines = list(_health_locks.lines([root]))
    assert lines[0].startswith("pid 1 of shop_app in shop (web): idle in transaction: UPDATE orders")
    assert lines[1].startswith("  pid 2 of shop_app in shop (web): waits 9 s, active")
    assert lines[2].startswith("    pid 3")


def test_the_blocker_that_is_named_is_who_began_it() -> None:
    sessions = [
        session(1, state="idle in transaction", state_age=20.0),
        waits(2, 1, seconds=15.0),
        waits(3, 2, seconds=10.0),
    ]
    [one] = _health.findings(facts(raw(sessions=sessions)), LIMITS)
    assert one.text.startswith("pid 1 of shop_app in shop (web) blocks 2, for up to 15s (1 <- 2 <- 3)")
    assert "pg_terminate_backend(1)" in one.next_step


# What the queries say


def test_values_of_others_queries_are_not_shown() -> None:
    told = facts(
        raw(
            sessions=[
                session(1, query_age=9.0, query="SELECT 1 FROM users WHERE mail = 'a@b.c' AND password = 'hunter2")
            ]
        )
    )
    assert told["longest_query"]["query"] == "SELECT 1 FROM users WHERE mail = '…' AND password = ********"


def test_clients_are_counted_by_what_they_do() -> None:
    told = facts()["connections"]
    assert (told["total"], told["limit"], told["percent"]) == (12, 97, 12.4)
    assert told["by_state"] == {"idle": 10, "active": 2}
    assert told["by_user"] == {"shop_app": 12}


def test_who_waits_for_a_lock_is_blocked_and_no_long_query() -> None:
    sessions = [session(1), session(2, blocked_by=[1], waiting=6.0, query_age=6.0)]
    assert found(facts(raw(sessions=sessions))) == [("blocked", "warning", "shop")]


def test_autovacuum_is_no_long_query_and_templates_are_no_databases() -> None:
    told = facts(raw(sessions=[session(1, type="autovacuum worker", query_age=9999.0, transaction_age=9999.0)]))
    assert (told["longest_query"], told["longest_transaction"]) == (None, None)
    assert [one["name"] for one in told["databases"]] == ["shop"]


@pytest.mark.parametrize("major", [13, 14, 15, 16, 17, 18])
def test_each_version_is_asked_for_what_it_has(major: int) -> None:
    server, within = _health_queries.server(major), _health_queries.database(major)
    assert ("s.inactive_since" in server) == (major >= 17)
    assert ("datcollversion" in server) == (major >= 15)
    assert ("l.waitstart" in server) == (major >= 14)
    assert ("pg_stat_checkpointer" in server) == (major >= 17)
    assert ("pg_stat_get_lastscan" in within) == (major >= 16)
    # Nothing that waits for a lock of a table, or reads its files.
    for function in ("pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size", "pgstattuple"):
        assert function not in server + within


# From one call to the next


def state(at: float, **changes: Any) -> dict[str, Any]:
    """Return what a call has left."""
    one = {
        "commits": 999_000,
        "rollbacks": 100,
        "blocks_read": 10_000,
        "blocks_hit": 790_000,
        "bytes": 4 << 30,
        "reset": None,
        **changes,
    }
    return {
        "at": at,
        "started": NOW - 5 * DAY,
        "databases": {"shop": {**one, "table_bytes": 3 << 30, "index_bytes": 1 << 30}},
    }


RATES = [
    (None, {"transactions_per_second": None, "cache_hit": 99.0, "growth_bytes": None, "growth_percent_per_day": None}),
    (state(NOW - 100), {"transactions_per_second": 10.0, "cache_hit": 100.0, "growth_bytes": 4 << 30, "table_growth_bytes": 3 << 30}),
    (state(NOW - DAY), {"growth_percent_per_day": 100.0}),
    (state(NOW - 1), {"transactions_per_second": None, "growth_bytes": 4 << 30}),
    (state(NOW - 100, commits=2_000_000), {"transactions_per_second": None}),
    (state(NOW - 100, reset=NOW - 200), {"transactions_per_second": None}),
    ({**state(NOW - 100), "started": NOW - DAY}, {"transactions_per_second": None}),
    ({**state(NOW - 100), "databases": {}}, {"transactions_per_second": None, "growth_bytes": None, "seconds": None}),
    (state(NOW - 100, blocks_hit=985_000), {"cache_hit": 99.0}),
]  # fmt: skip


@pytest.mark.parametrize(("before", "expected"), RATES)
def test_what_changed_since_the_last_call(before: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    rates = facts(before=before)["databases"][0]["rates"]
    assert {key: rates[key] for key in expected} == expected


@pytest.mark.parametrize(("seconds", "expected"), [(DAY, [("growth", "notice", "shop")]), (1800, [])])
def test_growth_is_found_over_an_hour_or_more(seconds: int, expected: list[Any]) -> None:
    assert found(facts(before=state(NOW - seconds))) == expected


def test_what_is_kept_is_what_the_next_call_reads(tmp_path: Path) -> None:
    path = tmp_path / "below" / "health.json"
    assert _health_facts.read_state(path) is None
    _health_facts.keep_state(path, facts())
    assert _health_facts.read_state(path) == _health_rates.kept(facts())
    for text in ("", "[]", "{", "{}"):
        path.write_text(text)
        assert _health_facts.read_state(path) is None


# The log

LOG = """\
2026-11-21 22:00:00 UTC [9]: [1-1] user=,db=,app=,client= LOG:  checkpoint starting: time
2026-11-21 22:00:01 UTC [9]: [1-1] user=a,db=shop,app=,client=[local] ERROR:  duplicate key value violates unique constraint "orders_pkey"
2026-11-21 22:00:01 UTC [9]: [2-1] user=a,db=shop,app=,client=[local] DETAIL:  Key (id)=(7) already exists.
2026-11-21 22:26:01.123 UTC [9] a@shop ERROR:  duplicate key value violates unique constraint "users_pkey"
2026-11-21 22:26:02.123 UTC [9] a@shop FATAL:  the database system is starting up
2026-11-21 22:26:03 UTC [9]: [1-1] user=,db=,app=,client= PANIC:  could not write to file "pg_wal/xlogtemp.9": No space left on device
no time here ERROR:  passed over
"""


def test_the_errors_of_the_last_hour_are_counted_by_kind() -> None:
    now = _health_log.entries(LOG.splitlines())[0].at + 3599
    told = _health_log.summary(_health_log.entries(LOG.splitlines()), now)
    assert told["counts"] == {"ERROR": 2, "FATAL": 0, "PANIC": 1}
    grave, usual = told["kinds"]
    assert (grave["meaning"], usual["count"]) == ("the disk is full or broken", 2)
    assert usual["text"] == "duplicate key value violates unique constraint …"
    assert _health_log.summary(_health_log.entries(LOG.splitlines()), now + 10)["errors"] == 2


def test_times_of_a_log_are_those_of_its_zone() -> None:
    line = "2026-11-21 22:00:00 CET [9] ERROR:  x"
    utc, cet = (_health_log.entries([line], zone)[0].at for zone in ("UTC", "Europe/Berlin"))
    assert utc - cet == 3600
    assert _health_log.entries(["1795300000.123 [9] ERROR:  x"])[0].at == 1795300000.123


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('relation "secrets" does not exist at character 15', "relation … does not exist at character …"),
        ("invalid input syntax for type integer: 'abc'", "invalid input syntax for type integer: …"),
        ("could not connect with password=hunter2", "could not connect with password=********"),
    ],
)
def test_a_kind_of_message_has_no_values(text: str, expected: str) -> None:
    assert _health_log.kind(text) == expected


def test_the_end_of_a_file_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("first\nsecond\nthird\n")
    assert _health_log.tail(path, 9) == ["third"]
    assert _health_log.tail(path) == ["first", "second", "third"]


def test_the_log_is_where_the_collector_says(tmp_path: Path) -> None:
    assert _health_facts._log_path("/some/log", str(tmp_path), None) == Path("/some/log")
    assert _health_facts._log_path(None, str(tmp_path), None) is None
    (tmp_path / "current_logfiles").write_text("stderr log/postgresql-Sat.log\ncsvlog log/postgresql-Sat.csv\n")
    assert _health_facts._log_path(None, str(tmp_path), None) == tmp_path / "log" / "postgresql-Sat.log"
    (tmp_path / "current_logfiles").write_text("csvlog log/postgresql-Sat.csv\n")
    assert _health_facts._log_path(None, str(tmp_path), None) is None


def test_a_disk_that_holds_several_things_is_one(tmp_path: Path) -> None:
    [one] = _health_facts.disks([("data", tmp_path), ("WAL", tmp_path), ("gone", tmp_path / "gone")])
    assert one["holds"] == ["data", "WAL"]
    assert 0 <= one["free_percent"] <= 100
