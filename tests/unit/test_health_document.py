"""One document about an environment, and the screen that is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health, _health_screen
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_document as documents
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_thresholds as thresholds
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from health_cases import DAY, NOW, facts, raw, session, slot

REPLAY = {"paused": False, "received_lsn": "0/5", "replayed_lsn": "0/5", "bytes": 0, "seconds": 0}
STREAMING = {"status": "streaming", "from": "10.0.0.1", "heard": 0.5}
POOL = {
    "database": "shop",
    "user": "shop_app",
    "cl_active": "12",
    "cl_waiting": "0",
    "sv_active": "3",
    "sv_idle": "2",
    "maxwait": "0",
    "maxwait_us": "0",
}
QUEUE = {**POOL, "cl_waiting": "7", "maxwait": "1", "maxwait_us": "500000"}
ITEM = {"name": "shop", "project": "shop"}
REPOSITORY = {"repository": 1, "status": 0, "full_age": 3.0 * DAY, "backup_age": 3600.0, "backups": 5}


def health(**changes: Any) -> dict[str, Any]:
    """Return what pg_health_info returns."""
    told = facts(raw(**changes))
    limits = thresholds.merged({})
    return {"health": told, "findings": [one.as_return() for one in _health.findings(told, limits)]}


def standby() -> dict[str, Any]:
    return health(
        standby=True,
        followers=[],
        slots=[slot(active=False, restart_lsn=None, retained_bytes=None)],
        replay=REPLAY,
        receiver=STREAMING,
    )


def topology(**changes: Any) -> dict[str, Any]:
    return {
        "primary": "db1",
        "standbys": ["db2"],
        "stopped": [],
        "empty": [],
        "unreachable": [],
        "fenced": [],
        "timeline": 3,
        "system_identifier": "7",
        "problems": [],
        "instances": {"db1": {"state": "primary", "timeline": 3}, "db2": {"state": "standby", "timeline": 3, "upstream": "10.0.0.1"}},
        **changes,
    }  # fmt: skip


def pooler(**changes: Any) -> dict[str, Any]:
    shown = {
        "pools": [POOL, {**POOL, "database": "pgbouncer"}],
        "databases": [{"name": "shop", "paused": "0"}, {"name": "pgbouncer", "paused": "0"}],
        "config": [{"key": "max_client_conn", "value": "1000"}],
        "version": [{"version": "PgBouncer 1.26.1"}],
        **changes,
    }
    return {"results": [{"item": item, "rows": rows} for item, rows in shown.items()]}


def backups(**changes: Any) -> dict[str, Any]:
    one = {"number": 1, "encrypted": True, "backups": []}
    return {
        "version": "2.60", "busy": False, "repositories": [one], "figures": {"repositories": [REPOSITORY]}, "findings": [], "archiver": None,
        **changes,
    }  # fmt: skip


def dumps(**changes: Any) -> dict[str, Any]:
    one = {"name": "backup_shop_20261121_020000", "database": "shop", "good": True, "bytes": 1 << 30}
    return {"wanted": ["shop"], "dumps": [one], **changes}


def looked(**changes: Any) -> dict[str, Any]:
    return {
        "item": ITEM, "state": "managed", "current": ["003"], "heads": ["003"], "pending": [], "next_action": "",
        "history": [{"revision": "003", "message": "third", "file": "x"}], **changes,
    }  # fmt: skip


def compared(*drift: dict[str, Any]) -> dict[str, Any]:
    return {
        "results": [
            {"item": ITEM, "clean": not drift, "truth_name": "its history", "drift": list(drift), "accepted": []}
        ]
    }


def asked(**changes: Any) -> dict[str, Any]:
    return {
        "environment": "production",
        "at": NOW,
        "thresholds": {},
        "expected": {"servers": ["db1", "db2"], "poolers": ["pool1"]},
        "topology": topology(),
        "health": {"db1": health(), "db2": standby()},
        "poolers": {"pool1": pooler()},
        "backups": {"db1": backups()},
        "dumps": {"db1": {"nas": dumps()}},
        "looked": {"db1": {"results": [looked()]}},
        "compared": {"db1": compared()},
        "not_looked": {},
        **changes,
    }


def with_drills(*records: dict[str, Any]) -> dict[str, Any]:
    one = health()
    one["health"]["drills"] = list(records)
    return {"db1": one, "db2": {**standby(), "health": {**standby()["health"], "drills": []}}}


DRILL = {
    "kind": "physical",
    "cluster": "shop",
    "host": "db1",
    "begun": NOW - DAY,
    "seconds": 9.0,
    "error": None,
    "proven": NOW - DAY,
    "last_proven": NOW - DAY,
}
PROVEN = [DRILL, {**DRILL, "kind": "dump"}]


def healthy(**changes: Any) -> dict[str, Any]:
    return asked(**{"health": with_drills(*PROVEN), **changes})


def found(made: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [(one["host"], one["name"], one["severity"], one["subject"]) for one in made["findings"]]


def test_nothing_is_wrong_with_a_healthy_environment() -> None:
    made = documents.document(healthy())
    assert (found(made), made["verdict"], made["exit_code"], made["unknown"]) == ([], "good", 0, [])
    assert json.loads(json.dumps(made)) == made


def test_one_without_poolers_backups_and_projects_is_healthy_too() -> None:
    none: dict[str, Any] = {"poolers": {}, "backups": {}, "dumps": {}, "looked": {}, "compared": {}}
    made = documents.document(healthy(**none, expected={"servers": ["db1", "db2"], "poolers": []}))
    assert (found(made), made["backups"], made["schema"]) == ([], None, [])


DOWN = {
    "health": {"db1": with_drills(*PROVEN)["db1"]},
    "topology": topology(standbys=[], unreachable=["db2"], instances={"db1": {"state": "primary"}, "db2": {}}),
}
LOST = {
    "health": {"db2": with_drills(*PROVEN)["db1"]},
    "topology": topology(primary=None, unreachable=["db1"], instances={"db1": {}, "db2": {"state": "standby"}}),
}
DRIFT = {"severity": "wrong_results", "object": "table orders", "attribute": "state", "remedy": "ALTER …"}
CASES = [
    (DOWN, [("db2", "server_down", "warning", "")]),
    (LOST, [("", "no_primary", "critical", ""), ("db1", "server_down", "critical", "")]),
    ({"topology": topology(problems=["two primaries: db1 and db2 both take writes"])}, [("", "topology", "critical", "")]),
    ({"topology": topology(instances={"db1": {"state": "primary"}, "db2": {"state": "stopped", "fenced": True}})}, [("db2", "server_down", "warning", "")]),
    ({"health": {"db1": with_drills(*PROVEN)["db1"], "db2": {"msg": "psycopg 3 cannot be imported"}}}, [("db2", "not_looked_into", "warning", "")]),
    ({"poolers": {}}, [("pool1", "pooler_down", "critical", "")]),
    ({"poolers": {"pool1": {"results": [{"item": "pools", "msg": "connection refused"}]}}}, [("pool1", "pooler_down", "critical", "")]),
    ({"poolers": {"pool1": pooler(databases=[{"name": "shop", "paused": "1"}])}}, [("pool1", "pooler_paused", "critical", "")]),
    ({"poolers": {"pool1": pooler(pools=[QUEUE])}}, [("pool1", "pooler_queue", "warning", "shop")]),
    ({"poolers": {"pool1": pooler(pools=[{**POOL, "cl_active": "960"}])}}, [("pool1", "pooler_clients", "critical", "")]),
    ({"poolers": {"pool1": pooler(version=[{"version": "PgBouncer 1.24.1"}])}}, [("pool1", "version", "warning", "PgBouncer")]),
    ({"backups": {"db1": {"msg": "pgBackRest is not installed here"}}}, [("db1", "backups", "critical", "")]),
    ({"backups": {"db1": backups(findings=["repository 1: there is no backup yet: run it"], figures={"repositories": [{**REPOSITORY, "status": 2}]})}},
     [("db1", "backups", "critical", "repository 1")]),
    ({"backups": {"db1": backups(figures={"repositories": [{**REPOSITORY, "backup_age": 1.6 * DAY}]})}}, [("db1", "backup_age", "warning", "repository 1")]),
    ({"backups": {"db1": backups(figures={"repositories": [{**REPOSITORY, "full_age": 16 * DAY}]})}}, [("db1", "full_backup_age", "critical", "repository 1")]),
    ({"backups": {"db1": backups(version="2.55.1")}}, [("db1", "version", "notice", "pgBackRest")] * 2),
    ({"dumps": {"db1": {"nas": {"msg": "no answer"}}}}, [("db1", "dumps", "critical", "nas")]),
    ({"dumps": {"db1": {"nas": dumps(dumps=[])}}}, [("db1", "dumps", "critical", "shop in nas")]),
    ({"dumps": {"db1": {"nas": dumps(dumps=[{"name": "backup_shop_20261101_020000", "database": "shop", "good": True, "bytes": 1}])}}},
     [("db1", "dump_age", "critical", "shop in nas")]),
    ({"health": with_drills()}, [("", "proven_restore", "warning", "physical"), ("", "proven_restore", "warning", "dump")]),
    ({"health": with_drills({**DRILL, "error": "a page is damaged"}, PROVEN[1])}, [("db1", "restore_drill", "critical", "physical")]),
    ({"health": with_drills({**DRILL, "last_proven": NOW - 36 * DAY}, PROVEN[1])}, [("db1", "proven_restore", "warning", "physical")]),
    ({"looked": {"db1": {"results": [looked(state="behind", pending=[{"revision": "004", "message": "x"}])]}}}, [("db1", "schema_behind", "warning", "shop")]),
    ({"looked": {"db1": {"results": [looked(state="legacy", next_action="adopt it")]}}}, [("db1", "schema", "warning", "shop")]),
    ({"looked": {"db1": {"results": [{"item": ITEM, "msg": "cannot connect"}]}}}, [("db1", "schema", "warning", "shop")]),
    ({"looked": {}, "not_looked": {"db1": "pg_migrate_projects: wrong"}}, [("db1", "schema", "warning", "schemas")]),
    ({"compared": {"db1": compared(DRIFT)}}, [("db1", "drift", "warning", "shop")]),
    ({"compared": {"db1": compared({**DRIFT, "severity": "data_at_risk"}, {**DRIFT, "severity": "slower"})}},
     [("db1", "drift", "critical", "shop"), ("db1", "drift", "notice", "shop")]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_what_only_shows_in_all_of_them_is_found_and_nothing_else(changes: dict[str, Any], expected: list[Any]) -> None:
    made = documents.document(healthy(**changes))
    assert found(made) == expected
    assert all(one["next_step"] for one in made["findings"])
    _health_screen.screen(made)


def test_everything_is_down() -> None:
    nothing: dict[str, Any] = {name: {} for name in ("health", "poolers", "backups", "dumps", "looked", "compared")}
    made = documents.document(asked(topology=None, **nothing))
    assert [one["name"] for one in made["findings"]] == ["no_primary", "server_down", "server_down", "pooler_down"]
    assert (made["verdict"], made["exit_code"]) == ("critical", 2)
    assert made["topology"]["unreachable"] == ["db1", "db2"]
    assert any(line.startswith("db1") and "unreachable" in line for line in _health_screen.screen(made))


def test_what_a_server_found_itself_carries_its_host() -> None:
    made = documents.document(
        healthy(
            health={**with_drills(*PROVEN), "db2": {**standby(), "findings": health(pending_restart=["x"])["findings"]}}
        )
    )
    assert found(made) == [("db2", "pending_restart", "warning", "")]
    assert (made["counts"], made["exit_code"]) == ({"critical": 0, "warning": 1, "notice": 0}, 1)


def test_what_was_not_compared_is_unknown_and_no_drift() -> None:
    made = documents.document(healthy(compared={"db1": {"results": [{"item": ITEM, "msg": "no scratch"}]}}))
    assert made["unknown"] == [{"host": "db1", "what": "drift of shop", "reason": "no scratch"}]
    assert made["findings"] == []
    for told in ({"skipped": True}, {"results": [{"item": ITEM, "skipped": True}]}):
        skipped = documents.document(healthy(compared={"db1": told}))
        assert (skipped["unknown"], skipped["schema"][0]["drift"]) == ([], None)


def test_wrong_thresholds_are_refused() -> None:
    with pytest.raises(StewardError, match="connections: 101 is out of range"):
        documents.document(asked(thresholds={"connections": 101}))


@pytest.mark.parametrize(
    ("verdict", "fail_on", "expected"),
    [
        ("good", "notice", False),
        ("notice", "notice", True),
        ("notice", "warning", False),
        ("warning", "critical", False),
        ("critical", "critical", True),
        ("critical", "never", False),
    ],
)
def test_a_run_fails_from_a_severity_on(verdict: str, fail_on: str, expected: bool) -> None:
    assert documents.reaches(verdict, fail_on) is expected


# The screen


def test_a_healthy_environment_is_one_short_screen() -> None:
    lines = _health_screen.screen(documents.document(healthy()))
    assert lines[0] == "production: GOOD, 2026-11-21 22:26:40 UTC"
    assert lines[-1] == "Nothing was found."
    assert len(lines) <= 24
    assert max(map(len, lines)) <= _health_screen.WIDTH
    text = "\n".join(lines)
    for part in (
        "db1     primary  18.6     3   12/97",
        "120 B, 0.0 s",
        "50 %",
        "1.26.1",
        "12/1000",
        "repository 1: 5 backups, full 3d ago, last 1h ago",
        "managed, clean",
    ):
        assert part in text, part
    assert "last proven restore (physical): 1d ago" in text


def test_findings_are_shown_with_what_to_do() -> None:
    sessions = [
        session(1, state="idle in transaction", state_age=20.0, transaction_age=20.0),
        session(2, blocked_by=[1], waiting=15.0),
        session(3, blocked_by=[2], waiting=10.0),
    ]
    told = {
        **with_drills(*PROVEN),
        "db1": health(sessions=sessions, slots=[slot(active=False, retained_bytes=2 << 30)]),
    }
    told["db1"]["health"]["drills"] = PROVEN
    lines = _health_screen.screen(documents.document(healthy(health=told)))
    start = lines.index("db1: who blocks whom")
    assert [line[: len("      pid 3")] for line in lines[start + 1 : start + 4]] == [
        "  pid 1 of ",
        "    pid 2 o",
        "      pid 3",
    ]
    assert "WARNING   db1: nobody reads from the slot db2, and it keeps 2.0 GB of WAL" in lines
    assert "WARNING   db1: the slot db2 keeps 2.0 GB of WAL [limit 1.0 GB]" in lines
    assert any(line.strip().startswith("-> bring its reader back") for line in lines)
    assert max(map(len, lines)) <= _health_screen.WIDTH


def test_many_of_a_kind_are_counted() -> None:
    slots = [slot(name=f"s{number}", active=False) for number in range(9)]
    told = {**with_drills(*PROVEN), "db1": health(slots=slots)}
    told["db1"]["health"]["drills"] = PROVEN
    lines = _health_screen.screen(documents.document(healthy(health=told)))
    assert sum("nobody reads from the slot" in line for line in lines) == 3
    assert "WARNING   and 6 more of slot_inactive on db1: see the JSON" in lines
