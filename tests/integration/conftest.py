"""Fixtures of the integration tests: a database and a project per test."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
from psycopg import sql
from support import Database, Ran, Upgrade
from xdist.scheduler import LoadScopeScheduling

sys.path.insert(0, str(support.ROOT / "molecule" / "shared"))  # what the scenarios share with these tests

_numbers = itertools.count(1)
# What two workers may not divide: files whose tests share names or a fixture that takes long to make, and all that run playbooks on the lab's host.
TOGETHER = {
    "test_bad_input": "host",
    "test_build": "host",
    **{
        name: name
        for name in (
            *("test_alembic_adopt", "test_alembic_bad_input", "test_alembic_revision", "test_alembic_stamp"),
            *("test_alembic_versions", "test_drift_matrix", "test_foreign_trees", "test_migrations", "test_remedies"),
            *("test_report_page", "test_scratch"),
        )
    },
}


class Scheduling(LoadScopeScheduling):
    """Give a worker such tests as one piece, and all others one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(Path(nodeid.partition("::")[0]).stem, nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Name the scheduler: the groups of pytest-xdist 3.8 are lost on pytest 9.2."""
    return Scheduling(config, log)


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
