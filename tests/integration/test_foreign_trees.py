"""Our modules on Alembic trees that we did not write: optuna's, and the two of mlflow. Real server, the applications' own code."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import foreign_trees
import psycopg
import pytest
import support
from foreign_trees import MLFLOW, MLFLOW_AUTH, OPTUNA, application
from support import Database, Ran, names

pytestmark = pytest.mark.skipif(not foreign_trees.PYTHON.exists(), reason="tools/integration makes .cache/trees")

Module = Callable[..., Ran]

OPTUNA_REVISIONS = [
    "v0.9.0.a", "v1.2.0.a", "v1.3.0.a", "v2.4.0.a", "v2.6.0.a",
    "v3.0.0.a", "v3.0.0.b", "v3.0.0.c", "v3.0.0.d", "v3.2.0.a",
]  # fmt: skip
MLFLOW_HEAD = "dc11669786a5"
AUTH_HEAD = "f1a2b3c4d5e6"


@pytest.fixture
def module(database: Database, collections: Path) -> Module:
    """Run a module on a tree and the test's database."""

    def run(name: str, tree: dict[str, Any], check: bool = False, **options: Any) -> Ran:
        ran = support.run_module(collections, name, {**tree, "url": database.url, **options}, check)
        assert database.parts["password"] not in ran.text
        return ran

    return run


@pytest.fixture
def scratch(database: Database) -> Iterator[dict[str, Any]]:
    """Options for a scratch database, made by a login that may do nothing else."""
    role, password = f"pgsteward_test_{os.getpid()}_trees", secrets.token_hex(12)
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{password}'".encode())
        address = f"{connection.info.host}:{connection.info.port}/{database.name}"
        yield {"scratch": "database", "scratch_url": f"postgresql://{role}:{password}@{address}"}
        connection.execute(f"DROP ROLE {role}".encode())


def test_optuna(database: Database, module: Module, scratch: dict[str, Any]) -> None:
    """Ten revisions, of which the third cannot be rendered offline; in the end the application works on the database."""
    info = module("alembic_info", OPTUNA)
    assert (info.result["state"], names(info.result["pending"])) == ("fresh", OPTUNA_REVISIONS), info.text

    checked = module("alembic_upgrade", OPTUNA, check=True, **scratch)
    shown = foreign_trees.previewed(checked.result["diff"])
    assert checked.result["sql_method"] == "replay", checked.text
    assert list(shown) == OPTUNA_REVISIONS
    assert all(shown.values()), shown
    assert database.relations() == []

    ran = module("alembic_upgrade", OPTUNA)
    assert names(ran.result["applied"]) == OPTUNA_REVISIONS, ran.text
    assert ran.result["sql"] == checked.result["sql"]
    assert database.rows("SELECT version_num FROM alembic_version") == [("v3.2.0.a",)]
    assert not module("alembic_upgrade", OPTUNA).result["changed"]
    assert module("alembic_info", OPTUNA).result["state"] == "managed"

    # Another tool's word: the application itself.
    assert application(foreign_trees.OPTUNA_WORKS, database) == "2\n"

    # Place for alembic_downgrade: its preview, and its refusal of v2.4.0.a, whose body is empty.


def test_optuna_made_by_its_models(database: Database, module: Module) -> None:
    """create_all leaves no revision behind: that is a legacy database, and nothing is written to it."""
    application(foreign_trees.OPTUNA_CREATE_ALL, database)
    before = database.relations()
    info = module("alembic_info", OPTUNA)
    assert info.result["state"] == "legacy", info.text
    assert "Of the 12 tables of the models 12 are there." in info.result["evidence"]
    assert database.relations() == before

    # Place for alembic_adopt: distance and ties, and no blind stamp.


def test_optuna_history_and_models_differ(database: Database, module: Module, scratch: dict[str, Any]) -> None:
    """What no revision ever made is found, and nothing is written in check mode."""
    there = sorted(Path(OPTUNA["project"]).rglob("*.py"))
    shown = module("alembic_revision", OPTUNA, check=True, message="catch up", **scratch)
    assert shown.result["operations"] == [
        "create table trial_heartbeats",
        "alter column trial_values.trial_id",
        "drop index trials_study_id_key on trials",
        "create index ix_trials_study_id on trials",
    ], shown.text
    assert shown.result["down_revision"] == ["v3.2.0.a"]
    assert (sorted(Path(OPTUNA["project"]).rglob("*.py")), database.relations()) == (there, [])


def test_mlflow_trees_in_one_database(database: Database, module: Module, scratch: dict[str, Any]) -> None:
    """Two trees with a version table each, the first on tables that the application makes beforehand."""
    application(foreign_trees.MLFLOW_FIRST_TABLES, database)
    info = module("alembic_info", MLFLOW)
    assert (info.result["state"], len(info.result["pending"])) == ("legacy", 67), info.text
    assert "Of the 63 tables of the models 5 are there." in info.result["evidence"]

    # The first tables are in no revision, so a replay on an empty database cannot get past the first one. That is said.
    before = database.relations()
    checked = module("alembic_upgrade", MLFLOW, check=True, **scratch)
    assert (checked.result["sql_method"], len(checked.result["pending"])) == ("list", 67), checked.text
    assert "revision 451aebb31d03 (add metric step) failed: UndefinedTable" in str(checked.result["warnings"])
    assert database.relations() == before

    ran = module("alembic_upgrade", MLFLOW)
    assert (len(ran.result["applied"]), ran.result["current"]) == (67, [MLFLOW_HEAD]), ran.text
    assert not module("alembic_upgrade", MLFLOW).result["changed"]
    assert application(foreign_trees.MLFLOW_ACCEPTS, database) == "True\n"

    # The other tree sees nothing of the first but tables that are not its own.
    before = database.relations()
    checked = module("alembic_upgrade", MLFLOW_AUTH, check=True, **scratch)
    shown = foreign_trees.previewed(checked.result["diff"])
    assert (checked.result["sql_method"], checked.result["version_table"]) == ("replay", "alembic_version_auth")
    # The last one does nothing on an empty database: it looks first whether mlflow's other tables are there.
    assert [bool(statements) for statements in shown.values()] == [True] * 6 + [False], shown
    assert database.relations() == before
    ran = module("alembic_upgrade", MLFLOW_AUTH)
    assert (len(ran.result["applied"]), ran.result["current"]) == (7, [AUTH_HEAD]), ran.text
    assert "UPDATE role_permissions" in foreign_trees.previewed(ran.result["diff"])[AUTH_HEAD][0]
    assert not module("alembic_upgrade", MLFLOW_AUTH).result["changed"]
    versions = "SELECT a.version_num, b.version_num FROM alembic_version a, alembic_version_auth b"
    assert database.rows(versions) == [(MLFLOW_HEAD, AUTH_HEAD)]
    for tree in (MLFLOW, MLFLOW_AUTH):
        assert module("alembic_info", tree).result["state"] == "managed"

    # Place for alembic_adopt and alembic_stamp: each with its own version table.
