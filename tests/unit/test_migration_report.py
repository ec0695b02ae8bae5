"""A run of pg_migrate as data and as text."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _migration_report, _projects

SHOP, CRM = _projects.databases(
    [{"name": "app", "databases": [{"name": "shop", "extensions": ["vector"]}, {"name": "crm"}]}], "/opt/pgsteward"
)
BEHIND = {
    "state": "behind",
    "current": ["r1"],
    "pending": [{"revision": "r2", "message": "more"}],
    "standby": False,
    "server_version": 170004,
    "evidence": ["Evidence."],
    "next_action": "Do this.",
}
MANAGED = {**BEHIND, "state": "managed", "current": ["r2"], "pending": []}
PLANNED = {"pending": BEHIND["pending"], "current": ["r1"], "sql": ["ALTER TABLE t ADD COLUMN a int"], "edited": []}
INSIDE = {
    "installed": ["vector"],
    "available": [{"name": "vector", "trusted": False}],
    "creates": True,
    "superuser": False,
}
APPLIED = {
    "applied": [{"revision": "r2", "seconds": 0.0412, "message": "more"}],
    "current": ["r2"],
    "waits": [],
    "retries": 0,
}
CLEAN = {"clean": True, "truth_name": "snapshot s", "drift": [], "accepted": []}
CONTEXT = {
    "host": "db1",
    "inventory": ["inventories/production"],
    "at": "20261121T150000Z",
    "check": False,
    "failure": None,
    "free": None,
    "needed": 2**28,
    "allow_destructive": [],
    "backup": False,
    "kept": {
        "inventory": ["inventories/production"],
        "cluster": "prod",
        "plan": {"due": [], "left": [], "failures": []},
        "dumped": [],
        "point": {"name": "before-migrate-1", "results": []},
    },
    "drill": {"wanted": False, "records": []},
}
BACK = "ansible-playbook -i inventories/production pgsteward.postgres.downgrade -e database=shop -e revision=r1 -e confirm=shop"


def run(context: dict[str, Any] | None = None, databases: Any = (SHOP,), **steps: Any) -> dict[str, Any]:
    """Return the record of a run; a step is what it said of shop, or a list of loop results."""
    results = {
        name: said if isinstance(said, list) else [{"item": SHOP, **said}]
        for name, said in steps.items()
        if said is not None
    }
    return _migration_report.record(list(databases), results, {**CONTEXT, **(context or {})})


def test_a_run_that_went_well() -> None:
    record = run(
        looked=BEHIND,
        planned=PLANNED,
        asked={"query_result": [INSIDE]},
        validated={"findings": []},
        orphans={"total": 0, "found": [{"name": "k", "table": "t", "columns": ["a"], "references": "s", "orphans": 0, "sample": [1]}]},
        upgraded=APPLIED,
        verified=CLEAN,
        checks=[{"item": {"name": "health", "url": "x"}, "status": 200}],
    )  # fmt: skip
    assert (record["ended"], record["message"]) == ("well", "1 revision applied")
    assert record["databases"][0]["go_back"] == [BACK]
    assert "sample" not in record["databases"][0]["orphans"]["keys"][0]
    assert _migration_report.lines(record) == [
        "1 revision applied",
        "shop: 1 revision applied, now at r2",
        "  before: behind, at r1",
        "  r2: 0.041 s (more)",
        "  orphans: none in 1 key",
        "  backup: none was taken, as neither dumps nor pg_migrate_backup_command are set",
        "  schema: as in snapshot s",
        "check health: well, status 200",
    ]
    page = _migration_report.markdown(record)
    assert page.startswith("# Migration: db1, 20261121T150000Z\n")
    assert "| r2 | 0.041 | more |" in page
    assert f"```sh\n{BACK}\n```" in page


def test_a_run_that_found_nothing_to_do() -> None:
    record = run(looked=MANAGED, planned={**PLANNED, "pending": []}, verified=CLEAN)
    assert (record["ended"], record["message"]) == ("well", "nothing is pending in 1 database")
    assert record["databases"][0]["go_back"] == []
    assert _migration_report.lines(record)[1:] == ["shop: nothing pending, at r2", "  schema: as in snapshot s"]


def test_a_dry_run_says_what_would_be_applied() -> None:
    record = run({"check": True}, [SHOP, CRM], looked=BEHIND, planned=PLANNED)
    assert record["message"] == "1 revision would be applied, 1 database could not be looked at yet"
    assert _migration_report.lines(record)[1:] == [
        "shop: would apply: r2; it is at r1",
        "  before: behind, at r1",
        "crm: not looked at",
    ]


DROP = {"check": "destructive", "severity": "error", "revision": "r2", "message": "costs t", "remedy": "take a dump"}
LOCK = {"check": "locks", "severity": "warning", "revision": "r2", "message": "locks t", "remedy": "do it otherwise"}
LIST_IT = "list it in pg_access_databases, and run the playbook site"
MOVE_THEM = "look with foreign_key_orphans, and move them aside by its action quarantine"
ORPHANS = {"name": "k", "table": "public.t", "columns": ["a"], "references": "public.s", "orphans": 2}


@pytest.mark.parametrize(
    ("steps", "blocker"),
    [
        ({"looked": {"msg": "cannot connect to shop"}}, "cannot connect to shop"),
        ({"looked": {**BEHIND, "state": None}}, "Evidence. Do this."),
        ({"looked": {**BEHIND, "state": "legacy"}}, "the database is legacy. Evidence. Do this."),
        ({"looked": {**BEHIND, "standby": True}}, "a standby answered: give pg_migrate_host the address of the primary"),
        ({"looked": {**BEHIND, "server_version": 120004}}, "the server is PostgreSQL 12, and 13 is the oldest that is supported"),
        ({"planned": {"msg": "left half done"}}, "left half done"),
        (
            {"planned": {"msg": "edited: r1", "edited": ["r1"], "pending": PLANNED["pending"]}},
            "edited: r1 (pg_migrate_accept_edited: [r1])",
        ),
        ({"asked": {"msg": "no"}}, "the extensions cannot be read: no"),
        (
            {"asked": {"query_result": [{**INSIDE, "installed": [], "available": []}]}},
            "extension vector is not on the server: install its package there",
        ),
        (
            {"asked": {"query_result": [{**INSIDE, "installed": []}]}},
            f"extension vector is not in the database: {LIST_IT}",
        ),
        (
            {
                "planned": {**PLANNED, "sql": ['create extension if not exists "vector"']},
                "asked": {"query_result": [{**INSIDE, "installed": []}]},
            },
            f"extension vector is to be created by a revision, and shop_migrator must not: {LIST_IT}",
        ),
        ({"validated": {"msg": "broken"}}, "the revisions cannot be validated: broken"),
        (
            {"validated": {"findings": [DROP, LOCK]}},
            "destructive in r2: costs t: if that is meant, allow it by pg_migrate_allow_destructive: [r2]",
        ),
        (
            {"validated": {"findings": [{**LOCK, "severity": "error"}]}},
            "locks in r2: locks t: do it otherwise; or accept it by validate.ignore of the database",
        ),
        (
            {"orphans": {"total": 2, "found": [ORPHANS]}},
            f"2 rows break the key k of public.t, as public.s does not have the value: {MOVE_THEM}",
        ),
        ({"backups": {"rc": 3, "stderr": "one\nno room\n"}}, "pg_migrate_backup_command failed with exit status 3: no room"),
    ],
)  # fmt: skip
def test_what_stops_a_run(steps: dict[str, Any], blocker: str) -> None:
    record = run(**{"looked": BEHIND, "planned": PLANNED, **steps})
    assert record["blockers"] == [f"shop: {blocker}"]
    assert (record["ended"], record["message"]) == ("stopped", f"stopped before anything was changed: shop: {blocker}")
    assert _migration_report.lines(record)[:2] == ["shop: BLOCKED, nothing was changed", f"  {blocker}"]
    assert _migration_report.markdown(record).startswith("# Migration stopped: db1")


@pytest.mark.parametrize(
    "steps",
    [
        {"validated": {"findings": [LOCK, {**DROP, "severity": "note"}]}},
        {"orphans": {"msg": "no scratch"}},  # the server itself refuses a key that rows break
        {"backups": {"skipped": True}},
        {"planned": {**PLANNED, "sql": ["CREATE EXTENSION hstore"]}, "asked": {"query_result": [
            {**INSIDE, "available": [{"name": "hstore", "trusted": True}]}
        ]}},
    ],
)  # fmt: skip
def test_what_does_not_stop_a_run(steps: dict[str, Any]) -> None:
    assert run(**{"looked": BEHIND, "planned": PLANNED, **steps})["blockers"] == []


@pytest.mark.parametrize(("allowed", "count"), [(["r2"], 0), (["r3"], 1)])
def test_what_destroys_is_allowed_by_name(allowed: list[str], count: int) -> None:
    record = run({"allow_destructive": allowed}, looked=BEHIND, planned=PLANNED, validated={"findings": [DROP]})
    assert len(record["blockers"]) == count


def test_a_database_may_be_stricter_or_only_report() -> None:
    strict = {**SHOP, "validate": {"fail_on": "warning", "ignore": []}}
    lax = {**SHOP, "validate": {"fail_on": "never", "ignore": []}}
    found = {"findings": [DROP, LOCK]}
    assert len(run(databases=[strict], looked=BEHIND, planned=PLANNED, validated=found)["blockers"]) == 2
    assert len(run(databases=[lax], looked=BEHIND, planned=PLANNED, validated=found)["blockers"]) == 1


def test_a_full_disk_stops_a_run() -> None:
    record = run({"free": "1048576"}, looked=BEHIND, planned=PLANNED)
    assert record["blockers"] == ["db1 has 1 MiB free, and 256 MiB are needed"]


def test_one_blocker_leaves_the_other_database_alone() -> None:
    legacy = {"item": CRM, **BEHIND, "state": "legacy"}
    record = run(databases=[SHOP, CRM], looked=[{"item": SHOP, **BEHIND}, legacy])
    assert record["ended"] == "stopped"
    assert _migration_report.lines(record)[0] == "shop: not applied: r2; it is at r1"


def test_a_failure_says_where_the_database_is_and_how_to_go_back() -> None:
    failed = {**APPLIED, "msg": "revision r3 failed", "current": ["r2"]}
    pending = [*PLANNED["pending"], {"revision": "r3", "message": ""}]
    record = run(
        {"backup": True, "failure": "One or more items failed"},
        looked=BEHIND,
        planned={**PLANNED, "pending": pending},
        backups={"rc": 0, "stdout": "dump\n/backup/shop.dump\n"},
        upgraded=failed,
    )
    assert (record["ended"], record["message"]) == ("failed", "shop: revision r3 failed")
    told = _migration_report.lines(record)
    assert told[:2] == ["shop: FAILED, 1 of 2 revisions are applied, it is at r2", "  revision r3 failed"]
    assert told[-3:] == [
        "  backup: taken before (/backup/shop.dump)",
        f"to take shop back to r1:\n{BACK}",
        "or restore the backup of shop that was taken before",
    ]


NAMED = {"item": "db2", "query_result": [{"lsn": "0/3000148"}]}
STANDBY = {"item": "db1", "query_result": []}
GONE = {"item": "db3", "unreachable": True, "msg": "Failed to connect to the host via ssh: timed out"}
SKIPPED = {"item": "db1", "skipped": True}


def pointed(*results: dict[str, Any]) -> dict[str, Any]:
    """Return the context of a run whose servers were asked for a restore point."""
    return {"kept": {**CONTEXT["kept"], "point": {"name": "before-migrate-1", "results": list(results)}}}


def test_a_failure_names_the_restore_point_and_how_to_get_there() -> None:
    failed = {**APPLIED, "msg": "revision r3 failed", "current": ["r2"]}
    record = run(pointed(STANDBY, NAMED, GONE), looked=BEHIND, planned=PLANNED, upgraded=failed)
    command = (
        "ansible-playbook -i inventories/production pgsteward.postgres.restore_point_in_time"
        " -e target_name=before-migrate-1 -e confirm=prod"
    )
    assert _migration_report.lines(record)[-3:] == [
        "restore point: before-migrate-1, at 0/3000148 on db2",
        f"to take shop back to r1:\n{BACK}",
        f"to take the whole cluster back to the restore point, with every database of it:\n{command}",
    ]
    assert f"```sh\n{command}\n```" in _migration_report.markdown(record)


@pytest.mark.parametrize(
    ("results", "ended"),
    [
        ([], "well"),
        ([SKIPPED], "well"),
        ([STANDBY, NAMED], "well"),
        ([STANDBY, GONE], "stopped"),
        ([STANDBY], "stopped"),
    ],
)
def test_nothing_is_migrated_without_the_restore_point_that_was_asked_for(
    results: list[dict[str, Any]], ended: str
) -> None:
    record = run(pointed(*results), looked=BEHIND, planned=PLANNED)
    assert record["ended"] == ended
    if ended == "stopped":
        assert record["blockers"][0].startswith("no server has named a restore point (db1: a standby"), record[
            "message"
        ]


DUMP = "backup_prod_20261121_150001"
DUE = {"name": "shop", "host": "db2", "bytes": 3 << 20}
TAKEN = {"item": DUE, "rc": 0, "stdout": f"shop to local: {DUMP}, 1.0 MB in 0.1 s, 4 files, checked by sha256"}


def dumped(*results: dict[str, Any]) -> dict[str, Any]:
    """Return the context of a run that dumps shop first."""
    plan = {"due": [DUE], "left": [], "failures": []}
    return {"kept": {**CONTEXT["kept"], "plan": plan, "dumped": list(results)}}


def test_a_failure_names_the_dump_and_how_to_restore_it() -> None:
    """Also where no revision is applied: one that is no transaction may have changed rows."""
    failed = {"applied": [], "current": ["r1"], "msg": "revision r2 failed"}
    record = run(dumped(TAKEN), looked=BEHIND, planned=PLANNED, upgraded=failed)
    start = "ansible-playbook -i inventories/production pgsteward.postgres.restore_dump"
    command = f"{start} -e database=shop -e dump={DUMP} -e confirm=shop"
    assert _migration_report.lines(record)[-4:] == [
        f"  dump: {DUMP}, taken on db2 (3.0 MB in the database)",
        "  no revision is to be taken back: it is where it was, at r1",
        f"to restore shop as it was dumped, without what was written since:\n{command}",
        f"the same without Ansible, on db2:\nsudo /usr/local/bin/restore-db {DUMP} --of shop --confirm shop",
    ]
    assert f"```sh\n{command}\n```" in _migration_report.markdown(record)


def test_a_dump_that_failed_stops_the_run() -> None:
    failed = {"item": DUE, "rc": 1, "stdout": "", "stderr": "backup-db: shop to local: no space\n"}
    record = run(dumped(failed), looked=BEHIND, planned=PLANNED)
    assert record["blockers"] == ["the dump of shop on db2 failed: backup-db: shop to local: no space"]


def test_a_dry_run_says_what_would_be_dumped() -> None:
    skipped = {"item": DUE, "skipped": True}
    told = _migration_report.lines(run({"check": True, **dumped(skipped)}, looked=BEHIND, planned=PLANNED))
    assert told[-1] == "  dump: would be taken on db2 (3.0 MB in the database)"


PROVEN = {"kind": "physical", "host": "db2", "seconds": 12.5, "error": None}


@pytest.mark.parametrize(
    ("wanted", "check", "records", "blocker"),
    [
        (False, False, [], None),
        (True, False, [PROVEN], None),
        (True, True, [], None),
        (True, False, [], "no server has done one"),
        (True, False, [{**PROVEN, "error": "damaged"}], "db2: damaged"),
        (True, False, [PROVEN, {**PROVEN, "kind": "dump", "error": "damaged"}], "db2: damaged"),
        (True, False, [PROVEN, {}], "a server: it has left no record"),
    ],
)
def test_a_drill_that_is_wanted_has_to_have_proven_something(
    wanted: bool, check: bool, records: list[dict[str, Any]], blocker: str | None
) -> None:
    record = run({"check": check, "drill": {"wanted": wanted, "records": records}}, looked=BEHIND, planned=PLANNED)
    assert record["ended"] == ("stopped" if blocker else "well")
    assert not blocker or f"there is none ({blocker})" in record["message"]


def test_a_report_names_the_drill() -> None:
    record = run({"drill": {"wanted": True, "records": [PROVEN]}}, looked=BEHIND, planned=PLANNED, upgraded=APPLIED)
    assert _migration_report.lines(record)[-1] == "restore drill (physical): proven on db2 in 12.5 s"


def test_a_failure_that_changed_nothing_says_so() -> None:
    record = run(
        looked=BEHIND, planned=PLANNED, upgraded={"msg": "revision r2 failed", "applied": [], "current": ["r1"]}
    )
    assert _migration_report.lines(record)[-1] == "  no revision is to be taken back: it is where it was, at r1"


@pytest.mark.parametrize(
    ("verified", "error"),
    [
        ({"msg": "no scratch"}, "the schema could not be verified: no scratch"),
        ({**CLEAN, "clean": False, "drift": [{"object": "table t", "attribute": "existence", "severity": "slower"}], "msg": "shop differs"},
         "shop differs"),
        ({**CLEAN, "clean": False, "drift": [], "accepted": []}, None),  # less than its fail_on
    ],
)  # fmt: skip
def test_a_schema_that_is_not_as_it_should_be_fails_the_run(verified: dict[str, Any], error: str | None) -> None:
    record = run(looked=BEHIND, planned=PLANNED, upgraded=APPLIED, verified=verified)
    assert record["databases"][0]["errors"] == ([error] if error else [])
    assert record["ended"] == ("failed" if error else "well")


@pytest.mark.parametrize(
    ("check", "well", "detail"),
    [
        ({"item": {"name": "x", "url": "u"}, "status": 503}, False, "status 503, and 200 is wanted"),
        ({"item": {"name": "x", "url": "u", "status": 401}, "status": 401}, True, "status 401"),
        ({"item": {"name": "x", "url": "u"}, "status": -1, "msg": "refused"}, False, "refused"),
        ({"item": {"name": "x", "command": ["c"]}, "rc": 0, "stdout": "fine"}, True, "exit status 0"),
        ({"item": {"name": "x", "command": ["c"]}, "rc": 2, "stderr": "a\nb"}, False, "exit status 2: b"),
    ],
)
def test_checks(check: dict[str, Any], well: bool, detail: str) -> None:
    record = run(looked=MANAGED, checks=[check])
    assert record["checks"] == [{"name": "x", "well": well, "detail": detail}]
    assert record["ended"] == ("well" if well else "failed")


def test_what_failed_otherwise_is_told() -> None:
    record = run({"failure": "install | Ship: no space"})
    assert (record["ended"], record["message"]) == ("failed", "install | Ship: no space")


@pytest.mark.parametrize(("revisions", "wanted"), [([], ["base"]), (["r1"], ["r1"]), (["a1", "b1"], ["a1", "b1"])])
def test_the_way_back_is_one_command_for_each_branch(revisions: list[str], wanted: list[str]) -> None:
    commands = _migration_report.go_back("shop", revisions, ["my inventory"])
    assert commands == [
        "ansible-playbook -i 'my inventory' pgsteward.postgres.downgrade -e database=shop"
        f" -e revision={revision} -e confirm=shop"
        for revision in wanted
    ]


def test_waits_are_told() -> None:
    wait = {"revision": "r2", "pid": 4711, "user": "reporting", "application": "nightly", "seconds": 0.451}
    told = _migration_report.lines(run(looked=BEHIND, planned=PLANNED, upgraded={**APPLIED, "waits": [wait]}))
    assert "  r2 waited 0.451 s for process 4711 of reporting nightly" in told


def test_validation_has_a_line_for_each_database() -> None:
    result = {
        "item": SHOP,
        "findings": [DROP, LOCK],
        "ignored": [{**LOCK, "reason": "at night"}],
        "pending": [1],
        "checks": {"graph": "done"},
        "staircase": [{"revision": "r2", "up": 0.1, "down": 0.2, "again": None}],
    }
    assert _migration_report.validation([result, {"item": CRM, "msg": "no alembic.ini"}]) == [
        "shop: 1 error, 1 warning, 1 pending",
        "  graph: done",
        "  error: destructive in r2: costs t",
        "    remedy: take a dump",
        "  warning: locks in r2: locks t",
        "    remedy: do it otherwise",
        "  ignored: locks in r2: locks t (at night)",
        "  r2: up 0.100 s, down 0.200 s",
        "crm: not validated: no alembic.ini",
    ]


def test_adoption_shows_the_evidence() -> None:
    near = {"revision": ["r1"], "distance": 1, "missing": 1, "extra": 0, "changed": 0}
    drift = {
        "kind": "missing",
        "object": "index i",
        "attribute": "existence",
        "blocks": True,
        "remedy": "CREATE INDEX i",
    }
    stopped = {
        "item": SHOP,
        "msg": "not proven",
        "candidates": [near],
        "ties": [["r1"], ["r2"]],
        "drift": [drift],
        "revision": ["r1"],
    }
    adopted = {
        "item": CRM,
        "candidates": [near],
        "ties": [],
        "drift": [],
        "revision": ["r1"],
        "repaired": ["CREATE INDEX i"],
    }
    managed = {"item": CRM, "state": "managed", "current": ["r2"]}
    assert _migration_report.adoption([stopped, adopted, managed]) == [
        "shop: not adopted",
        "  not proven",
        "  candidate r1: 1 difference (1 missing, 0 extra, 0 changed)",
        "  as near as others: r1; -e revision= takes one of them",
        "  as near as others: r2; -e revision= takes one of them",
        "  missing: index i: existence (blocks)",
        "    remedy: CREATE INDEX i",
        "crm: stamped with r1, which is proven",
        "  candidate r1: 1 difference (1 missing, 0 extra, 0 changed)",
        "  ran: CREATE INDEX i",
        "crm: nothing to adopt, it is managed, at r2",
    ]
