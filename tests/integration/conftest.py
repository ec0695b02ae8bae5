"""Fixtures of the integration tests: a database and a project per test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
from psycopg import sql
from support import Database, Ran, Upgrade

_numbers = itertools.count(1)
# They run playbooks on one host of the lab, which bear no other beside them.
ON_THE_HOST = {"test_bad_input", "test_build"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Say which tests two workers may not divide: those that share a fixture of their module. All others are on their own."""
    assert isinstance(item, pytest.Function)
    module = item.module.__name__
    fixtures = itertools.chain.from_iterable(item._fixtureinfo.name2fixturedefs.values())
    if module in ON_THE_HOST:
        item.add_marker(pytest.mark.xdist_group("host"))
    elif any(fixture.scope == "module" for fixture in fixtures):
        item.add_marker(pytest.mark.xdist_group(module))


@pytest.fixture
def database() -> Iterator[support.Database]:
    """An empty database of the test's own."""
    name = f"pgsteward_test_{os.getpid()}_{next(_numbers)}"
    yield support.create_database(name)
    support.drop_database(name)


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path that leads to this checkout."""
    return support.collections_path(tmp_path_factory.mktemp("collections"))


@pytest.fixture
def upgrade(database: Database, collections: Path, tmp_path: Path) -> Upgrade:
    """Run the module on the project in tmp_path and the test's database; options override."""

    def run(check: bool = False, inherited: dict[str, str] | None = None, **options: Any) -> Ran:
        arguments = {"project": str(tmp_path), **options}
        if not {"url", "login_db"} & set(arguments):
            arguments["url"] = database.url
        return support.run_module(collections, "alembic_upgrade", arguments, check, inherited)

    return run


@pytest.fixture
def secret_role(database: Database) -> Iterator[dict[str, Any]]:
    """Login options of a role with a password that needs quoting everywhere, owner of the database."""
    role = f"{database.name}_role"
    with database.connect() as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(support.PASSWORD))
        )
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database.name), sql.Identifier(role))
        )
        connection.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(role)))
    yield {**database.login, "login_user": role, "login_password": support.PASSWORD}
    support.drop_database(database.name)
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
