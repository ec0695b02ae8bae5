"""Inputs of pg_migrate."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _projects

SHOP = {"name": "shop", "databases": [{"name": "orders"}]}
SECRETS = {"orders_migrator": "secret"}


def test_databases_fill_in_what_is_usual() -> None:
    (record,) = _projects.databases([SHOP], "/opt/pgsteward")
    assert record == {
        "project": "shop",
        "directory": "/opt/pgsteward/shop/project",
        "virtualenv": "/opt/pgsteward/shop/venv",
        "config": "alembic.ini",
        "name": "orders",
        "section": "alembic",
        "user": "orders_migrator",
        "revision": "heads",
        "x": [],
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
    assert _projects.findings(projects, passwords, {}) == ([finding] if finding else [])


@pytest.mark.parametrize(
    ("scratch", "finding"),
    [
        ({"kind": "instance"}, None),
        ({"kind": "database"}, "pg_migrate_scratch: kind database needs a url"),
        ({"type": "database"}, "pg_migrate_scratch: unknown key type"),
    ],
)
def test_scratch_findings(scratch: dict[str, str], finding: str | None) -> None:
    assert _projects.findings([SHOP], SECRETS, scratch) == ([finding] if finding else [])


def test_projects_of_ones_own_are_verified_by_their_models() -> None:
    (record,) = _projects.databases([{**SHOP, "source": "/srv/shop"}], "/opt/pgsteward")
    assert record["verify"]["truth"] == "metadata"
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
