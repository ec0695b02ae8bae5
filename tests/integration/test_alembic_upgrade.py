"""alembic_upgrade against a real PostgreSQL: what works, looked at from another connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support
import trees
from support import Database, Upgrade, names

# The plain way


@pytest.mark.parametrize("env", trees.ENVIRONMENTS.values(), ids=trees.ENVIRONMENTS.keys())
def test_applies_what_is_pending_and_nothing_twice(
    env: str, database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(3), env)
    first = upgrade()
    assert not first.failed, first.msg
    assert first.result["changed"]
    assert first.result["state"] == "fresh"
    assert names(first.result["pending"]) == names(first.result["applied"]) == ["r1", "r2", "r3"]
    assert all(entry["seconds"] >= 0 for entry in first.result["applied"])
    assert database.tables() == ["r1", "r2", "r3"]
    assert database.rows("SELECT version_num FROM alembic_version") == [("r3",)]
    second = upgrade()
    assert not second.failed, second.msg
    assert (second.result["changed"], second.result["state"], second.result["applied"]) == (False, "managed", [])
    assert second.result["current"] == second.result["heads"] == ["r3"]


def test_login_options_serve_instead_of_url(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    assert upgrade(**database.login).result["changed"]
    assert database.tables() == ["r1"]


@pytest.fixture
def named(database: Database, secret_role: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The ways to name the database by environment."""
    account, address = "{login_user}", "{login_host}:{login_port}/{login_db}".format(**secret_role)
    url = f"postgresql://{account.format(**secret_role)}:{QUOTED[0]}@{address}"
    parts = {
        "POSTGRES_DB": database.name,
        "POSTGRES_HOST": secret_role["login_host"],
        "POSTGRES_PORT": str(secret_role["login_port"]),
        "POSTGRES_USER": secret_role["login_user"],
        "POSTGRES_PASSWORD": support.PASSWORD,
    }
    return {"DATABASE_URL": {"DATABASE_URL": url.replace("://", "+psycopg://")}, "POSTGRES_DB": parts}


@pytest.mark.parametrize("way", ["DATABASE_URL", "POSTGRES_DB"])
@pytest.mark.parametrize("env", [trees.SYNC, trees.FROM_ENVIRONMENT], ids=["sync", "DATABASE_URL"])
def test_environment_serves_instead_of_url(
    env: str,
    way: str,
    named: dict[str, dict[str, str]],
    database: Database,
    collections: Path,
    tmp_path: Path,
) -> None:
    trees.write_tree(tmp_path, trees.chain(1), env)
    ran = support.run_module(
        collections, "alembic_upgrade", {"project": str(tmp_path), "environment": named[way], "ssl_mode": "require"}
    )
    assert not ran.failed, ran.msg
    assert database.tables() == ["r1"]
    assert not any(form in ran.text for form in (support.PASSWORD, *QUOTED))


def test_a_url_of_asyncpg_is_understood(upgrade: Upgrade, database: Database, tmp_path: Path) -> None:
    """Our own connections are made by psycopg, the project's by asyncpg, each with its own words for TLS."""
    trees.write_tree(tmp_path, trees.chain(1), trees.ASYNC)
    ran = upgrade(url=database.url.replace("postgresql://", "postgresql+asyncpg://") + "?ssl=require")
    assert not ran.failed, ran.msg
    assert database.tables() == ["r1"]


# What the run has to say


def test_messages(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    assert upgrade(check=True, revision=["r1"]).result["messages"] == [
        "fresh database detected", "needs migration: 1 pending (r1)",
    ]  # fmt: skip
    *first, completed, stamped = upgrade(revision=["r1"]).result["messages"]
    assert first == ["fresh database detected", "needs migration: 1 pending (r1)", "running migrations to r1"]
    assert completed.startswith("completed: 1 applied in 0.")
    assert stamped == "stamped with revision r1"
    assert upgrade(revision=["r1"]).result["messages"] == ["stamped with revision r1", "up to date"]
    (tmp_path / "migrations" / "versions" / "r2.py").write_text(trees.revision("r2", "r1", 'op.execute("SELECT 1/0")'))
    failed = upgrade()
    assert failed.result["messages"] == [
        "stamped with revision r1", "needs migration: 1 pending (r2)", "running migrations to r2", f"failed: {failed.msg}",
    ]  # fmt: skip
    unreachable = upgrade(url="postgresql://nobody:hush@127.0.0.1:1/none")
    assert unreachable.result["messages"] == [f"connection failed: {unreachable.msg}"]
    database.rows("DROP TABLE alembic_version; DROP SCHEMA pgsteward CASCADE")
    assert upgrade(check=True).result["messages"][0] == "legacy database detected"


def test_goes_through_ansible_itself(database: Database, collections: Path, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    process = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible")), "localhost", "-m", "pgsteward.postgres.alembic_upgrade",
            "-e", f"ansible_python_interpreter={sys.executable}",
            "-a", json.dumps({"project": str(tmp_path), "url": database.url}),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_STDOUT_CALLBACK": "minimal"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    assert database.tables() == ["r1", "r2"]


def test_pyproject_serves_without_an_ini(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1), trees.FROM_ENVIRONMENT)
    (tmp_path / "alembic.ini").unlink()
    (tmp_path / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    assert upgrade().result["applied"]
    assert database.tables() == ["r1"]


# Check mode


@pytest.mark.parametrize("env", trees.ENVIRONMENTS.values(), ids=trees.ENVIRONMENTS.keys())
def test_check_mode_lists_and_writes_nothing(env: str, database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2), env)
    checked = upgrade(check=True)
    assert not checked.failed, checked.msg
    assert checked.result["changed"]
    assert checked.result["sql_method"] == "offline"
    assert [text.split("(")[0].strip() for text in checked.result["sql"]] == ["CREATE TABLE t_r1", "CREATE TABLE t_r2"]
    assert checked.result["pending"] == [
        {"revision": "r1", "message": "make r1", "path": "migrations/versions/r1.py"},
        {"revision": "r2", "message": "make r2", "path": "migrations/versions/r2.py"},
    ]
    assert checked.result["diff"]["before"] == "revision: none\n"
    after = checked.result["diff"]["after"].splitlines()
    assert [line for line in after if not line.startswith("    ")] == [
        "revision: r2", "applied: r1 (make r1)", "applied: r2 (make r2)",
    ]  # fmt: skip
    assert "    CREATE TABLE t_r1 (" in after
    assert database.relations() == []


OWN_CONNECTION = """\
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"].replace("+psycopg", ""), autocommit=True) as own:
    own.execute("CREATE TABLE early (id int)")
"""


def test_check_mode_says_the_same_after_a_run(upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    upgrade(revision="r1")
    checked = upgrade(check=True)
    assert (checked.result["current"], names(checked.result["pending"])) == (["r1"], ["r2"])
    upgrade()
    checked = upgrade(check=True)
    assert (checked.result["changed"], checked.result["pending"]) == (False, [])
    assert checked.result["diff"]["before"] == checked.result["diff"]["after"] == "revision: r2\n"


@pytest.mark.parametrize(
    "parts",
    [
        {"connected": 'connection.exec_driver_sql("CREATE TABLE early (id int)")\nconnection.commit()\n'},
        {"run": 'connection.exec_driver_sql("CREATE TABLE early (id int)")\ncontext.run_migrations()'},
        {"before": OWN_CONNECTION},
    ],
    ids=["before configure", "after configure", "on a connection of its own"],
)  # fmt: skip
def test_check_mode_is_read_only_for_env_py_too(
    parts: dict[str, str], database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(**parts))
    checked = upgrade(check=True)
    assert "read-only transaction" in checked.msg
    assert database.relations() == []


# Targets


@pytest.mark.parametrize(
    ("revision", "applied"),
    [
        (["heads"], ["base0", "left1", "right1", "right2"]),
        (["left1"], ["base0", "left1"]),
        (["left1", "right1"], ["base0", "left1", "right1"]),
        (["left@head"], ["base0", "left1"]),
        (["right@heads"], ["base0", "right1", "right2"]),
        (["right"], ["base0", "right1"]),
        (["+1"], ["base0"]),
        (["bas"], ["base0"]),  # a beginning of base0
    ],
)
def test_targets(revision: list[str], applied: list[str], database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.BRANCHES)
    ran = upgrade(revision=revision)
    assert sorted(names(ran.result["applied"])) == applied, ran.msg
    assert database.tables() == applied


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("right_", "no revision 'right_'; its heads are left1, right2"),
        ("ri", "'ri' is ambiguous: right1, right2"),
        ("head", "2 heads (left1, right2): write heads"),
        ("base", "'base' leads back"),
        ("-1", "'-1' leads back"),
        ("+9", "revision '+9' cannot be found"),
        ("middle@head", "middle"),
    ],
)
def test_wrong_targets_change_nothing(
    revision: str, message: str, database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.BRANCHES)
    ran = upgrade(revision=revision)
    assert ran.failed
    assert message in ran.msg
    assert "\n" not in ran.msg
    assert database.relations() == []


def test_never_goes_back(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(3))
    upgrade()
    ran = upgrade(revision="r1")
    assert (ran.failed, ran.result["changed"], ran.result["state"], ran.result["current"]) == (
        False,
        False,
        "ahead",
        ["r3"],
    )
    assert "past r1" in str(ran.result["warnings"])
    assert database.tables() == ["r1", "r2", "r3"]


def test_unknown_revision_in_the_database(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    upgrade()
    (tmp_path / "migrations" / "versions" / "r2.py").unlink()
    ran = upgrade()
    assert "'r2'" in ran.msg
    assert "no file of this project" in ran.msg
    # A beginning of a known id is no membership either.
    database.rows("UPDATE alembic_version SET version_num = 'r'")
    assert "'r'" in upgrade().msg


# env files that go their own way


def test_version_table_and_locations_set_by_env_py(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE SCHEMA app")
    trees.write_tree(
        tmp_path, {},
        trees.sync_env(
            before='context.script.version_locations = [context.config.get_main_option("here") + "/elsewhere"]\n',
            configure=', version_table="revisions", version_table_schema="app"',
        ),
    )  # fmt: skip
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "r1.py").write_text(trees.table("r1", None))
    ran = upgrade()
    assert names(ran.result["applied"]) == ["r1"], ran.msg
    assert (ran.result["version_table"], ran.result["version_table_schema"]) == ("revisions", "app")
    assert database.rows("SELECT version_num FROM app.revisions") == [("r1",)]
    assert not upgrade().result["changed"]


def test_version_table_found_by_the_search_path_of_env_py(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE SCHEMA tenant")
    connected = 'connection.exec_driver_sql("SET search_path = tenant, public")\nconnection.commit()\n'
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(connected=connected))
    assert upgrade().result["current"] == ["r1"]
    assert "tenant.alembic_version" in database.relations()


def test_callbacks_of_env_py_are_still_called(upgrade: Upgrade, tmp_path: Path) -> None:
    env = trees.sync_env(configure=', on_version_apply=lambda step, **_: print("seen", step.up_revision_id)')
    trees.write_tree(tmp_path, trees.chain(2), env)
    assert [line for line in upgrade().result["output"] if line.startswith("seen")] == ["seen r1", "seen r2"]


def test_an_exit_after_the_work_is_no_failure(upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(after="import sys; sys.exit(0)\n"))
    assert names(upgrade().result["applied"]) == ["r1"]


def test_an_env_py_may_try_again(upgrade: Upgrade, tmp_path: Path) -> None:
    run = "try:\n    context.run_migrations()\nexcept RuntimeError:\n    pass"
    twice = trees.sync_env(run=run).replace("with engine", "for _attempt in range(2):\n  with engine")
    body = "import pathlib\nflag = pathlib.Path('tried')\nif not flag.exists():\n    flag.touch()\n    raise RuntimeError('not yet')"
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, body)}, twice)
    ran = upgrade()
    assert names(ran.result["applied"]) == ["r1"], ran.msg


def test_x_arguments_reach_env_py(upgrade: Upgrade, tmp_path: Path) -> None:
    env = trees.sync_env(before='print("tenant", context.get_x_argument(as_dictionary=True)["tenant"])\n')
    trees.write_tree(tmp_path, trees.chain(1), env)
    assert "tenant main" in upgrade(x=["tenant=main"]).result["output"]


# Locks and timeouts


def test_lock_timeout_ends_the_wait(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE TABLE busy (id int)")
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, 'op.execute("ALTER TABLE busy ADD n int")')})
    with database.connect() as reader, reader.transaction():
        reader.execute("SELECT * FROM busy")
        ran = upgrade(lock_timeout="100ms", lock_retry="0")
    assert "lock timeout" in ran.msg
    assert not upgrade(lock_timeout="100ms").failed


def test_autocommit_blocks_wait_and_settings_come_back(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    note = (
        "op.execute(\"INSERT INTO notes SELECT current_setting('lock_timeout'), current_setting('statement_timeout')\")"
    )
    block = f"with op.get_context().autocommit_block():\n    {note}"
    body = f'op.execute("CREATE TABLE notes (l text, s text)")\n{note}\n{block}\n{note}'
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, body)})
    assert not upgrade(lock_timeout="3s", statement_timeout="1min").failed
    assert database.rows("SELECT l, s FROM notes") == [("3s", "1min"), ("0", "30min"), ("3s", "1min")]


# Secrets


QUOTED = ("p%40ss%20%25w%3Ao%2Frd%23%3F", "p%%40ss", "p%40ss")


def test_a_password_of_any_characters_works_and_never_shows(
    secret_role: dict[str, Any], upgrade: Upgrade, tmp_path: Path
) -> None:
    chatter = (
        "import os, sys\n"
        "print(context.config.get_main_option('sqlalchemy.url'), os.environ['DATABASE_URL'])\n"
        "print(os.environ['API_TOKEN'], os.environ['APP_PASSWORD'])\n"
        "print(open('/proc/self/cmdline').read(), open('/proc/self/environ').read(), file=sys.stderr)\n"
    )
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(before=chatter))
    options = {"environment": {"API_TOKEN": "s3cr3t-token", "PLACE": "shown"}}
    ran = upgrade(**secret_role, **options, inherited={"APP_PASSWORD": "inherited-word"})
    assert not ran.failed, ran.msg
    assert any("********" in line for line in ran.result["output"])
    assert any("PLACE=shown" in line for line in ran.result["output"])
    for form in (support.PASSWORD, *QUOTED, "s3cr3t-token", "inherited-word"):
        assert form not in ran.text
    # What is not masked must not have been there: the first environment of the process, and its command line.
    assert not any("API_TOKEN" in line for line in ran.result["output"])
    url = f"postgresql://{secret_role['login_user']}:{QUOTED[0]}@{secret_role['login_host']}:{secret_role['login_port']}/{secret_role['login_db']}"
    again = upgrade(url=url, **options, inherited={"APP_PASSWORD": "inherited-word"})
    assert not again.failed
    assert not again.result["changed"], again.msg
    assert not any(form in again.text for form in (support.PASSWORD, *QUOTED))


def test_a_password_in_an_error_of_env_py_is_masked(
    secret_role: dict[str, Any], upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(
        tmp_path, trees.chain(1), trees.sync_env(before=f"raise ValueError('cannot use ' + {support.PASSWORD!r})\n")
    )
    ran = upgrade(**secret_role)
    assert "cannot use ********" in ran.msg
    assert support.PASSWORD not in ran.text


# Least trust


PLANTED = """
CREATE TABLE public.calls (name text, application text);
CREATE FUNCTION public.note(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.calls VALUES (name, pg_catalog.current_setting('application_name'));
END $$;
CREATE FUNCTION public.current_database() RETURNS name LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('current_database'); RETURN pg_catalog.current_database(); END $$;
CREATE FUNCTION public.pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('pg_is_in_recovery'); RETURN false; END $$;
CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('current_setting'); RETURN pg_catalog.current_setting($1); END $$;
CREATE FUNCTION public.to_char(timestamp, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('to_char'); RETURN pg_catalog.to_char($1, $2); END $$;
CREATE FUNCTION public.eq(name, text) RETURNS bool LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('='); RETURN $1::text OPERATOR(pg_catalog.=) $2; END $$;
CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.eq);
CREATE FUNCTION public.eq(oid, oid) RETURNS bool LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.note('oid ='); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.eq);
"""


def test_planted_functions_and_operators_are_not_called(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows(PLANTED)
    database.rows(f"ALTER DATABASE {database.name} SET search_path = public, pg_catalog")
    block = "with op.get_context().autocommit_block():\n    pass"
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, block)})
    ran = upgrade()
    assert names(ran.result["applied"]) == ["r1"], ran.msg
    # SQLAlchemy's own queries fall for the operators on the application's connection; ours must not, and no function is met.
    calls = database.rows("SELECT DISTINCT name, application FROM calls")
    assert [name for name, application in calls if "=" not in name or "alembic_upgrade" in application] == []
    # The traps work: a connection that is not pinned steps into them.
    database.rows("SELECT current_database() FROM pg_class WHERE oid = oid LIMIT 1")
    assert {name for (name,) in database.rows("SELECT DISTINCT name::text FROM calls")} >= {"current_database", "oid ="}
