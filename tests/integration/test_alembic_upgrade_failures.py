"""alembic_upgrade against a real PostgreSQL: what fails, what it says, and what lasts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support
import trees
from support import Database, Upgrade, names

# env files that fail


SELECT = 'connection.exec_driver_sql("SELECT 1")\n'
OFFLINE = "from alembic import context\ncontext.configure(url='postgresql://')\ncontext.run_migrations()\n"


@pytest.mark.parametrize(
    ("env", "message", "left"),
    [
        ("pass\n", "without running the migrations", []),
        (trees.sync_env(run="pass"), "without running the migrations", []),
        (trees.sync_env(connected=SELECT), "because env.py had a transaction", []),
        (trees.sync_env(before="import sys; sys.exit(0)\n"), "ended the process (exit status 0)", []),
        (trees.sync_env(before="import os; os._exit(0)\n"), "exit status 0, without an answer", []),
        (trees.sync_env(after="import os; os.kill(os.getpid(), 9)\n"), "killed by signal 9", ["r1", "r2"]),
        (trees.sync_env(before="import shop\n"), "No module named 'shop' (migrations/env.py line 3): install it", []),
        (trees.sync_env(before="raise ValueError('sad')\n"), "ValueError: sad (migrations/env.py line 3)", []),
        (OFFLINE, "configures no connection", []),
        (trees.FROM_ENVIRONMENT.replace('os.environ["DATABASE_URL"]', '"sqlite://"'), "connects to sqlite", []),
    ],
    ids=["empty", "no run", "transaction", "exit", "os._exit", "killed", "import", "exception", "offline", "sqlite"],
)  # fmt: skip
def test_env_files_that_fail(
    env: str, message: str, left: list[str], database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(2), env)
    ran = upgrade()
    assert ran.failed
    assert message in ran.msg
    assert "\n" not in ran.msg
    assert names(ran.result.get("applied", [])) == database.tables() == left


def test_an_error_that_env_py_swallows_is_seen(upgrade: Upgrade, tmp_path: Path) -> None:
    swallow = "try:\n    context.run_migrations()\nexcept Exception:\n    pass"
    trees.write_tree(
        tmp_path, {"r1": trees.revision("r1", None, 'op.execute("SELECT 1/0")')}, trees.sync_env(run=swallow)
    )
    assert "division by zero" in upgrade().msg


def test_another_database_is_left_alone(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    other = support.create_database(database.name + "_other")
    try:
        url = other.url.replace("postgresql://", "postgresql+psycopg://")
        trees.write_tree(
            tmp_path,
            trees.chain(1),
            trees.sync_env(before=f"context.config.set_main_option('sqlalchemy.url', {url!r})\n"),
        )
        ran = upgrade()
        assert f"/{other.name}, but the module was given" in ran.msg
        assert f"/{database.name}:" in ran.msg
        assert other.relations() == database.relations() == []
        # A URL that says one thing and a connection that goes elsewhere.
        given = database.url.replace("://", "+psycopg://")
        creator = f"import psycopg, sqlalchemy\nengine = sqlalchemy.create_engine({given!r}, "
        creator += f"creator=lambda: psycopg.connect({other.url!r}))\nwith engine.connect()"
        (tmp_path / "migrations" / "env.py").write_text(trees.SYNC.replace("with engine.connect()", creator))
        assert "reaches another server or database" in upgrade().msg
        assert other.relations() == database.relations() == []
    finally:
        support.drop_database(other.name)


# Revisions that fail, and what lasts


def test_a_failing_revision_names_everything(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    bad = trees.revision(
        "r3", "r2", 'op.execute("CREATE TABLE half (id int)")\nop.execute("SELECT * FROM nowhere")', "read nowhere"
    )
    trees.write_tree(tmp_path, {**trees.chain(2), "r3": bad})
    ran = upgrade()
    assert ran.msg == (
        'revision r3 (read nowhere) failed: UndefinedTable: relation "nowhere" does not exist'
        " (migrations/versions/r3.py line 9);"
        " applied before: r1, r2; the database is at r2; mend migrations/versions/r3.py and run again"
    )
    assert (names(ran.result["applied"]), ran.result["current"], ran.result["changed"]) == (["r1", "r2"], ["r2"], True)
    assert database.tables() == ["r1", "r2"]
    assert "public.half" not in database.relations()


def test_a_failure_in_a_transaction_of_env_py_takes_all_back(
    database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(
        tmp_path, {**trees.chain(1), "r2": trees.revision("r2", "r1", 'op.execute("SELECT 1/0")')}, trees.BEGIN
    )
    ran = upgrade()
    assert "applied before: nothing; the database is at no revision" in ran.msg
    assert (ran.result["applied"], ran.result["changed"], database.tables()) == ([], False, [])


def test_a_concurrent_index_stays_when_the_next_revision_fails(
    database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    body = "with op.get_context().autocommit_block():\n    "
    body += 'op.create_index("i_r2", "t_r1", ["id"], postgresql_concurrently=True)'
    trees.write_tree(
        tmp_path,
        {
            **trees.chain(1),
            "r2": trees.revision("r2", "r1", body),
            "r3": trees.revision("r3", "r2", 'op.execute("SELECT 1/0")'),
        },
    )
    ran = upgrade()
    assert (names(ran.result["applied"]), ran.result["current"]) == (["r1", "r2"], ["r2"])
    assert database.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i_r2'::regclass") == [(True,)]
    assert database.rows("SELECT version_num FROM alembic_version") == [("r2",)]


def test_autocommit_block_inside_a_transaction_of_env_py_is_explained(upgrade: Upgrade, tmp_path: Path) -> None:
    body = "with op.get_context().autocommit_block():\n    pass"
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, body)}, trees.BEGIN)
    assert "without beginning a transaction" in upgrade().msg


@pytest.mark.parametrize(
    ("revisions", "message"),
    [
        ({"r2": trees.table("r2", "r0")}, "r0"),
        ({"r1": trees.table("r1", "r2"), "r2": trees.table("r2", "r1")}, "ycle"),
        ({"r1": "this is no python\n"}, "SyntaxError"),
    ],
    ids=["missing down_revision", "cycle", "syntax"],
)
def test_broken_trees(
    revisions: dict[str, str], message: str, database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, revisions)
    ran = upgrade()
    assert ran.failed
    assert message in ran.msg
    assert "\n" not in ran.msg
    assert database.relations() == []


def test_a_missing_down_revision_is_named_with_its_user(upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, {"r2": trees.table("r2", "r0")})
    assert "Revision r0 referenced from" in upgrade().msg


def test_duplicate_ids_warn(upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, {**trees.chain(1), "twin": trees.table("r1", None)})
    ran = upgrade()
    assert not ran.failed, ran.msg
    assert "r1 is present more than once" in str(ran.result["warnings"])


def test_legacy_database_is_told(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE TABLE by_hand (id int)")
    trees.write_tree(tmp_path, trees.chain(1))
    ran = upgrade(check=True)
    assert ran.result["state"] == "legacy"
    assert "without Alembic" in str(ran.result["warnings"])


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project": "/nonexistent/project"}, "/nonexistent/project is no directory"),
        ({"revision": []}, "revision is empty"),
        ({"config": "alembic.cfg"}, "there is no alembic.cfg in"),
        ({"section": "shop"}, "has no section [shop]; it has: alembic, other"),
        ({"python": "/nonexistent/python"}, "no interpreter /nonexistent/python"),
        ({"virtualenv": ".venv"}, ".venv/bin/python: name one"),
        ({"lock_timeout": "soon"}, "lock_timeout is no duration"),
        ({"lock_wait": "a while"}, "lock_wait is no duration"),
        ({"url": "mysql://root@db/shop"}, "'mysql'"),
        ({"url": "nonsense"}, "url is no database URL"),
        ({"url": "postgresql+pg8000://u:secret@127.0.0.1:1/x"}, "port 1 database x user u"),
    ],
)
def test_bad_input(options: dict[str, Any], message: str, database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    ran = upgrade(**options)
    assert ran.failed
    assert message in ran.msg
    assert "\n" not in ran.msg
    assert database.relations() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"login_password": "wrong"}, "password authentication failed"),
        ({"login_user": "no_such_role_here"}, "check the user and the password"),
        ({"login_db": "no_such_database_here"}, "create the database or check its name"),
        ({"login_port": 1}, "check that the server runs and listens there"),
        ({"login_host": "no-such-host.invalid"}, "check the host name"),
    ],
)
def test_refused_logins(
    change: dict[str, Any], message: str, database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(before="open('touched', 'w')\n"))
    ran = upgrade(**{**database.login, **change})
    assert message in ran.msg
    assert ran.msg.startswith("cannot connect to host ")
    assert "\n" not in ran.msg
    assert not (tmp_path / "touched").exists()


def test_missing_driver_and_missing_alembic(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    ran = upgrade(url=database.url.replace("postgresql://", "postgresql+nodriver://"))
    assert ran.msg == f"{sys.executable} cannot import nodriver: install the driver there"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "empty")], check=True)
    ran = upgrade(virtualenv="empty")
    assert "cannot import alembic (No module named 'alembic'): install it there" in ran.msg


def test_a_role_that_may_not_read_the_version_table(
    secret_role: dict[str, Any], upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    upgrade()
    ran = upgrade(**secret_role)
    assert "permission denied for table alembic_version" in ran.msg
    assert "\n" not in ran.msg
