"""The statements of pending revisions that alembic_upgrade shows, and where it has them from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
import trees
from support import Database, Upgrade, names

BIND = 'count = op.get_bind().execute(sa.text("SELECT count(*) FROM t_r1")).scalar()\n'
BIND += 'op.execute(f"CREATE TABLE t_r2_{count} (id int)")'
BOUND = {**trees.chain(1), "r2": trees.revision("r2", "r1", BIND), "r3": trees.table("r3", "r2")}


def heads(statements: list[str]) -> list[str]:
    """Return the beginnings of statements."""
    return [statement.split("(")[0].strip() for statement in statements]


def test_rendered_offline(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    fill = 'op.bulk_insert(sa.table("t_r1", sa.column("id", sa.Integer)), [{"id": 7}])\n'
    fill += "op.execute(\"COMMENT ON TABLE t_r1 IS 'all; of % it'\")"
    trees.write_tree(tmp_path, {**trees.chain(1), "r2": trees.revision("r2", "r1", fill)})
    upgrade(revision=["r1"])
    before = database.rows("SELECT * FROM pgsteward.journal")
    checked = upgrade(check=True)
    assert checked.result["sql_method"] == "offline"
    assert checked.result["sql"] == [
        "INSERT INTO t_r1 (id) VALUES (7)", "COMMENT ON TABLE t_r1 IS 'all; of % it'",
    ]  # fmt: skip
    assert checked.result["diff"]["after"].splitlines()[1:] == [
        "applied: r2 (make r2)", "    INSERT INTO t_r1 (id) VALUES (7);", "    COMMENT ON TABLE t_r1 IS 'all; of % it';",
    ]  # fmt: skip
    assert "alembic_version" not in str(checked.result["sql"])
    assert database.rows("SELECT * FROM pgsteward.journal") == before
    assert database.rows("SELECT count(*) FROM t_r1") == [(0,)]


def test_several_heads_offline(upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, {**trees.BRANCHES, "merge": trees.table("merged", ("left1", "right2"))})
    upgrade(revision=["left1", "right1"])
    checked = upgrade(check=True)
    assert checked.result["sql_method"] == "offline", checked.text
    assert heads(checked.result["sql"]) == ["CREATE TABLE t_right2", "CREATE TABLE t_merged"]


def test_autocommit_blocks_offline(upgrade: Upgrade, tmp_path: Path) -> None:
    block = "with op.get_context().autocommit_block():\n    "
    block += 'op.create_index("i_r2", "t_r1", ["id"], postgresql_concurrently=True)'
    trees.write_tree(tmp_path, {**trees.chain(1), "r2": trees.revision("r2", "r1", block)})
    assert heads(upgrade(check=True).result["sql"]) == ["CREATE TABLE t_r1", "CREATE INDEX CONCURRENTLY i_r2 ON t_r1"]


OFFLINE_ENV = trees.SYNC.replace("engine = ", "assert not context.is_offline_mode(), 'never'\nengine = ")


@pytest.mark.parametrize("revisions", [BOUND, trees.chain(2)], ids=["get_bind", "env.py"])
def test_without_scratch_there_is_a_list(
    revisions: dict[str, str], database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, revisions, OFFLINE_ENV)
    checked = upgrade(check=True, scratch="none")
    assert not checked.failed, checked.msg
    assert (checked.result["sql_method"], checked.result["sql"]) == ("list", [])
    assert names(checked.result["pending"]) == list(revisions)
    assert "the statements are not shown: offline rendering failed" in str(checked.result["warnings"])
    assert database.relations() == []


@pytest.mark.parametrize("env", [trees.SYNC, trees.FROM_ENVIRONMENT], ids=["sync", "DATABASE_URL"])
def test_replayed_in_a_private_cluster(
    env: str, monkeypatch: pytest.MonkeyPatch, collections: Path, tmp_path: Path
) -> None:
    support.use_server(monkeypatch, 15)
    if not Path("/usr/lib/postgresql/15/bin/initdb").exists():
        pytest.skip("the server's binaries of PostgreSQL 15 are not on this host")
    database = support.create_database(f"pgsteward_test_{os.getpid()}_preview")
    try:
        trees.write_tree(tmp_path, BOUND, env)
        options = {"project": str(tmp_path), "url": database.url}
        support.run_module(collections, "alembic_upgrade", {**options, "revision": ["r1"]})
        before = database.relations()
        checked = support.run_module(collections, "alembic_upgrade", options, check=True)
        assert checked.result["sql_method"] == "replay", checked.text
        assert heads(checked.result["sql"]) == [
            "SELECT count", "CREATE TABLE t_r2_0", "CREATE TABLE t_r3",
        ]  # fmt: skip
        assert database.relations() == before
        assert database.parts["password"] not in checked.text
    finally:
        support.drop_database(database.name)


@pytest.fixture
def modest(database: Database) -> Iterator[str]:
    """The URL of a login that may create databases and nothing else."""
    role, parts = f"{database.name}_modest", database.parts
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'modest-word'".encode())
        yield f"postgresql://{role}:modest-word@{parts['host']}:{parts.get('port', 5432)}/{database.name}"
        connection.execute(f"DROP ROLE {role}".encode())


def test_replayed_in_a_scratch_database(database: Database, modest: str, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, BOUND)
    checked = upgrade(check=True, scratch="database", scratch_url=modest, revision=["r2"])
    assert checked.result["sql_method"] == "replay", checked.text
    assert heads(checked.result["sql"]) == ["CREATE TABLE t_r1", "SELECT count", "CREATE TABLE t_r2_0"]
    assert "modest-word" not in checked.text
    assert database.relations() == []
    assert database.scratches() == []


def test_a_replay_that_fails_leaves_a_list(modest: str, upgrade: Upgrade, tmp_path: Path) -> None:
    broken = trees.revision("r2", "r1", BIND.replace("t_r1", "nowhere"))
    trees.write_tree(tmp_path, {**trees.chain(1), "r2": broken})
    checked = upgrade(check=True, scratch="database", scratch_url=modest)
    assert checked.result["sql_method"] == "list"
    assert "and so did a replay (revision r2" in str(checked.result["warnings"])


def test_what_ran_is_returned(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    many = 'for number in range(600):\n    op.execute(f"INSERT INTO t_r1 VALUES ({number})")\n'
    many += "op.execute(\"COMMENT ON TABLE t_r1 IS '100 %%'\")"
    trees.write_tree(tmp_path, {**BOUND, "r4": trees.revision("r4", "r3", many)})
    ran = upgrade()
    assert ran.result["sql_method"] == "executed"
    assert heads(ran.result["sql"][:4]) == [
        "CREATE TABLE t_r1", "SELECT count", "CREATE TABLE t_r2_0", "CREATE TABLE t_r3",
    ]  # fmt: skip
    assert ran.result["sql"][-1] == "-- and 101 more statements"
    assert len(ran.result["sql"]) == 4 + 500 + 1
    assert "alembic_version" not in str(ran.result["sql"])
    assert "    CREATE TABLE t_r2_0 (id int);" in ran.result["diff"]["after"].splitlines()
    assert (upgrade().result["sql"], upgrade().result["sql_method"]) == ([], "list")
    assert database.rows("SELECT count(*) FROM t_r1") == [(600,)]


def test_a_password_in_a_statement_is_masked(secret_role: dict[str, Any], upgrade: Upgrade, tmp_path: Path) -> None:
    body = f'op.execute(sa.text("CREATE TABLE note AS SELECT :word AS word").bindparams(word={support.PASSWORD!r}))\n'
    body += 'op.execute(f"COMMENT ON TABLE note IS \'" + ' + repr(support.PASSWORD.replace(":", "\\:")) + ' + "\'")'
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, body)})
    for check in (True, False):
        ran = upgrade(check=check, **secret_role)
        assert not ran.failed, ran.msg
        assert "********" in str(ran.result["sql"])
        assert support.PASSWORD not in ran.text


PRINTING = 'print(context.config.get_main_option("sqlalchemy.url"))\n'
ELSEWHERE = 'context.script.version_locations = [context.config.get_main_option("here") + "/migrations/versions"]\n'
SEVERAL = {
    **trees.BRANCHES,
    "bound": trees.revision("bound", "left1", BIND.replace("t_r1", "t_left1").replace("t_r2", "t_bound")),
}


TREES: dict[str, tuple[dict[str, str], str, str]] = {
    "sync": (trees.chain(3), trees.SYNC, "offline"),
    "begin": (trees.chain(3), trees.BEGIN, "offline"),
    "DATABASE_URL": (trees.chain(3), trees.FROM_ENVIRONMENT, "offline"),
    "prints its password": (trees.chain(3), trees.sync_env(before=PRINTING), "offline"),
    "locations": (trees.chain(3), trees.sync_env(before=ELSEWHERE), "offline"),
    "500": (trees.chain(500), trees.SYNC, "offline"),
    "branches": (trees.BRANCHES, trees.SYNC, "offline"),
    "branches bound": (SEVERAL, trees.SYNC, "replay"),
    "prints bound": (BOUND, trees.sync_env(before=PRINTING), "replay"),
}


@pytest.mark.parametrize(
    "tree", support.few(TREES, "DATABASE_URL", "locations", "500", "branches bound", "prints bound")
)
def test_every_pending_revision_of_every_tree_is_shown(
    tree: str, monkeypatch: pytest.MonkeyPatch, collections: Path, tmp_path: Path
) -> None:
    """No revision without its statements, and the way that they were found is named. An async env.py has its turn in test_versions."""
    revisions, env, method = TREES[tree]
    support.use_server(monkeypatch, support.LOCAL_MAJOR)
    database = support.create_database(f"pgsteward_test_{os.getpid()}_shown")
    try:
        trees.write_tree(tmp_path, revisions, env)
        options = {"project": str(tmp_path), "url": database.url.replace("://", "+psycopg://")}
        checked = support.run_module(collections, "alembic_upgrade", options, check=True)
        assert checked.result["sql_method"] == method, checked.text
        shown = checked.result["diff"]["after"].split("applied: ")[1:]
        assert len(shown) == len(revisions) == len(checked.result["pending"])
        assert all("CREATE TABLE" in text for text in shown)
        assert database.parts["password"] not in checked.text
        assert database.relations() == []
    finally:
        support.drop_database(database.name)
