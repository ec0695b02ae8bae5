"""Inputs of pg_migrate."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _projects

SHOP = {"name": "shop", "databases": [{"name": "orders"}]}
SECRETS = {"orders_migrator": "secret"}


def wrong(**inputs: Any) -> list[str]:
    return _projects.findings({"projects": [SHOP], "passwords": SECRETS, "scratch": {}, **inputs})


def test_databases_fill_in_what_is_usual() -> None:
    (record,) = _projects.databases([SHOP], "/opt/pgsteward")
    assert record == {
        "project": "shop",
        "source": None,
        "directory": "/opt/pgsteward/shop/project",
        "virtualenv": "/opt/pgsteward/shop/venv",
        "config": "alembic.ini",
        "name": "orders",
        "section": "alembic",
        "user": "orders_migrator",
        "revision": "heads",
        "x": [],
        "extensions": [],
        "baseline": None,
        "validate": {"fail_on": "error", "ignore": []},
        "verify": {
            **_projects.VERIFY_DEFAULTS,
            "truth": "snapshot",
            "snapshot": "/opt/pgsteward/shop/project/alembic/snapshots",
        },
    }


@pytest.mark.parametrize(
    ("projects", "passwords", "finding"),
    [
        ([], {}, None),
        ([SHOP], SECRETS, None),
        ("shop", {}, None),  # a wrong type is the specification's to report
        (
            [SHOP],
            {},
            "pg_migrate_passwords has no entry for orders_migrator, who migrates orders: put it into the vault",
        ),
        (
            [SHOP],
            {"orders_migrator": ""},
            "pg_migrate_passwords has no entry for orders_migrator, who migrates orders: put it into the vault",
        ),
        ([SHOP, SHOP], SECRETS, "pg_migrate_projects: shop is listed 2 times"),
        ([{"name": "shop"}], {}, "pg_migrate_projects[0]: needs a name and a list of databases"),
        ([{**SHOP, "src": "x"}], SECRETS, "pg_migrate_projects[0]: unknown key src"),
        ([{"name": "shop", "databases": [{}]}], {}, "pg_migrate_projects[0].databases[0]: needs a name"),
        (
            [{"name": "shop", "databases": [{"name": "orders", "url": "x"}]}],
            SECRETS,
            "pg_migrate_projects[0].databases[0]: unknown key url",
        ),
        (
            [{"name": "shop", "databases": [{"name": "orders", "verify": {"truht": "spec"}}]}],
            SECRETS,
            "pg_migrate_projects[0].databases[0].verify: unknown key truht",
        ),
        (
            [{"name": "shop", "databases": [{"name": "orders", "verify": {"truth": "spec"}}]}],
            SECRETS,
            "pg_migrate_projects[0].databases[0].verify: truth spec needs the key spec, a path in the project",
        ),
        (
            [{"name": "shop", "databases": [{"name": "orders", "verify": "spec"}]}],
            SECRETS,
            "pg_migrate_projects[0].databases[0].verify: needs keys such as truth and accept",
        ),
    ],
)
def test_findings(projects: Any, passwords: dict[str, str], finding: str | None) -> None:
    assert wrong(projects=projects, passwords=passwords) == ([finding] if finding else [])


@pytest.mark.parametrize(
    ("scratch", "finding"),
    [
        ({"kind": "instance"}, None),
        ({"kind": "database"}, "pg_migrate_scratch: kind database needs a url"),
        ({"type": "database"}, "pg_migrate_scratch: unknown key type"),
    ],
)
def test_scratch_findings(scratch: dict[str, str], finding: str | None) -> None:
    assert wrong(scratch=scratch) == ([finding] if finding else [])


@pytest.mark.parametrize(
    ("database", "finding"),
    [
        ({"extensions": "vector"}, "extensions: needs a list of names"),
        ({"validate": "error"}, "validate: needs keys such as fail_on and ignore"),
        ({"validate": {"failon": "error"}}, "validate: unknown key failon"),
        ({"validate": {"fail_on": "note"}}, "validate: fail_on note is none of error, warning, never"),
        ({"validate": {"ignore": [{"check": "x"}]}}, "validate.ignore[0]: needs a check and a reason"),
        ({"validate": {"fail_on": "warning", "ignore": [{"check": "x", "reason": "y"}]}}, None),
    ],
)
def test_database_findings(database: dict[str, Any], finding: str | None) -> None:
    projects = [{**SHOP, "databases": [{"name": "orders", **database}]}]
    assert wrong(projects=projects) == ([f"pg_migrate_projects[0].databases[0].{finding}"] if finding else [])


@pytest.mark.parametrize(
    ("check", "finding"),
    [
        ({"name": "health", "url": "http://shop/health"}, None),
        ({"name": "health", "command": ["true"], "retries": 5}, None),
        ({"url": "http://shop/health"}, "needs a name, and either url or command"),
        ({"name": "health"}, "needs a name, and either url or command"),
        ({"name": "health", "url": "x", "command": ["y"]}, "needs a name, and either url or command"),
        ({"name": "health", "command": "true"}, "command needs a list of words, as no shell reads it"),
        ({"name": "health", "url": "x", "retry": 1}, "unknown key retry"),
    ],
)
def test_check_findings(check: dict[str, Any], finding: str | None) -> None:
    assert wrong(checks=[check]) == ([f"pg_migrate_checks[0]: {finding}"] if finding else [])


def test_the_tools_keep_their_directory() -> None:
    text = "pg_migrate_projects[0]: the name tools is taken by a directory of the role: choose another"
    assert wrong(projects=[{**SHOP, "name": "tools"}]) == [text]


TWO = [SHOP, {"name": "crm", "databases": [{"name": "orders"}, {"name": "people", "user": "orders_migrator"}]}]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (None, ["shop/orders", "crm/orders", "crm/people"]),
        ("orders", ["shop/orders", "crm/orders"]),
        ("crm/orders", ["crm/orders"]),
        ("people", ["crm/people"]),
    ],
)
def test_a_run_may_be_limited_to_one_database(only: str | None, names: list[str]) -> None:
    found = _projects.databases(TWO, "/opt/pgsteward", only)
    assert [f"{record['project']}/{record['name']}" for record in found] == names
    assert wrong(projects=TWO, database=only) == []


def test_a_misspelt_database_is_refused() -> None:
    text = "pg_migrate_database: no project has a database ordres; there are: orders, orders, people"
    assert wrong(projects=TWO, database="ordres") == [text]


def test_a_dry_run_reads_copies_with_the_environments_that_are_there() -> None:
    (record,) = _projects.databases([SHOP], "/opt/pgsteward", None, "/tmp/preview")  # noqa: S108
    assert record["directory"] == "/tmp/preview/shop/project"  # noqa: S108
    assert record["virtualenv"] == "/opt/pgsteward/shop/venv"
    assert record["verify"]["snapshot"].startswith("/tmp/preview/shop/project/")  # noqa: S108


def test_projects_of_ones_own_are_verified_by_their_history() -> None:
    (record,) = _projects.databases([{**SHOP, "source": "/srv/shop"}], "/opt/pgsteward")
    assert record["verify"]["truth"] == "history"
    named = {**SHOP, "databases": [{"name": "orders", "verify": {"truth": "spec", "spec": "promises.yml"}}]}
    (record,) = _projects.databases([named], "/opt/pgsteward")
    assert record["verify"]["spec"] == "/opt/pgsteward/shop/project/promises.yml"
    assert record["verify"]["snapshot"] is None


def test_report_has_a_line_for_each_database_and_the_details() -> None:
    drift = {
        "object": "column public.t.a",
        "attribute": "type",
        "expected": "text",
        "found": None,
        "severity": "wrong_results",
        "remedy": "one\ntwo",
    }
    results = [
        {"item": {"name": "a"}, "clean": True, "objects": 3, "truth_name": "snapshot s", "accepted": [], "drift": []},
        {
            "item": {"name": "b"},
            "clean": False,
            "objects": 3,
            "truth_name": "spec p",
            "accepted": [drift],
            "drift": [drift],
            "msg": "x",
        },
        {"item": {"name": "c"}, "msg": "cannot connect"},
    ]
    assert _projects.report(results) == [
        "a: clean, 3 objects are as in snapshot s",
        "b: 1 differences from spec p (1 wrong_results), 1 accepted",
        "  wrong_results: column public.t.a: type: expected text, found none",
        "    remedy: one",
        "    two",
        "c: not verified: cannot connect",
    ]
