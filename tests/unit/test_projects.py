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
    ],
)
def test_findings(projects: Any, passwords: dict[str, str], finding: str | None) -> None:
    assert _projects.findings(projects, passwords) == ([finding] if finding else [])
