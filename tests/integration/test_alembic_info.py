"""alembic_info against a real PostgreSQL: each state made by hand, what is told of a project, and that nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
import trees
from psycopg import sql
from support import Database, Ran, names

Info = Callable[..., Ran]


@pytest.fixture
def info(database: Database, collections: Path, tmp_path: Path) -> Info:
    """Run the module on the project in tmp_path and the test's database, and see that it left both as they were."""

    def run(inherited: dict[str, str] | None = None, **options: Any) -> Ran:
        arguments = {"project": str(tmp_path), **options}
        if not {"url", "login_db"} & set(arguments):
            arguments["url"] = database.url
        before = everything(database)
        ran = support.run_module(collections, "alembic_info", arguments, environment=inherited)
        assert everything(database) == before
        assert not ran.result.get("changed")
        assert "\n" not in ran.msg
        return ran

    return run


def everything(database: Database) -> list[Any]:
    """Return all relations, all schemas, the number of rows written, and the rows of the version table."""
    rows = database.rows("SELECT nspname FROM pg_namespace ORDER BY 1") if database.parts else []
    there = "public.alembic_version" in database.relations()
    versions = database.rows("SELECT version_num FROM public.alembic_version ORDER BY 1") if there else []
    return [database.relations(), rows, versions]


def stamp(database: Database, *revisions: str) -> None:
    """Write a version table by hand."""
    database.rows("CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) PRIMARY KEY)")
    database.rows("DELETE FROM alembic_version")
    for revision in revisions:
        database.rows(f"INSERT INTO alembic_version VALUES ('{revision}')")


def with_models(*tables: str, schema: str | None = None, more: str = "") -> str:
    """Return an env.py whose models have these tables."""
    text = f"import sqlalchemy as sa\nmetadata = sa.MetaData(schema={schema!r})\n"
    text += f"for name in {tables!r}:\n    sa.Table(name, metadata, sa.Column('id', sa.Integer))\n"
    return trees.sync_env(before=text, configure=f", target_metadata=metadata{more}")


def tables(database: Database, *names: str) -> None:
    """Make tables as the revisions of those names would."""
    for name in names:
        database.rows(f"CREATE TABLE t_{name} (id int PRIMARY KEY)")


def says(ran: Ran, state: str, *evidence: str) -> None:
    """See that the module found this state, with these words among the evidence."""
    assert not ran.failed, ran.msg
    assert ran.result["state"] == state
    told = " ".join(ran.result["evidence"])
    for words in evidence:
        assert words in told, told
    assert ran.result["next_action"]


# The eight states


def test_fresh(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(3))
    ran = info()
    says(ran, "fresh", "There is no alembic_version", "There are no tables.")
    assert database.relations() == []
    assert (ran.result["current"], names(ran.result["pending"])) == ([], ["r1", "r2", "r3"])
    stamp(database)  # as after a downgrade to the base
    says(info(), "fresh", "public.alembic_version has no row")


@pytest.mark.parametrize("env", trees.ENVIRONMENTS.values(), ids=trees.ENVIRONMENTS.keys())
def test_behind_then_managed(env: str, database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(3), env)
    stamp(database, "r1")
    ran = info()
    says(ran, "behind", "public.alembic_version is at r1.", "2 of 3 revisions are pending: r2, r3.")
    assert ran.result["pending"] == [
        {"revision": "r2", "message": "make r2", "path": "migrations/versions/r2.py"},
        {"revision": "r3", "message": "make r3", "path": "migrations/versions/r3.py"},
    ]
    assert [item["path"] for item in ran.result["resolved"]] == ["migrations/versions/r1.py"]
    says(info(revision="r1"), "managed", "That is what is wanted")
    stamp(database, "r3")
    ran = info()
    says(ran, "managed", "That is the newest revision", "not judged")
    assert (ran.result["current"], ran.result["heads"], ran.result["pending"]) == (["r3"], ["r3"], [])


def test_ahead(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(3))
    stamp(database, "r3")
    ran = info(revision="r1")
    says(ran, "ahead", "That is past r1, which is wanted.")
    assert (ran.result["targets"], ran.result["pending"]) == (["r1"], [])


def test_legacy(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2), with_models("t_r1", "t_r2"))
    tables(database, "r1")
    ran = info()
    says(ran, "legacy", "There are tables: public.t_r1.", "Of the 2 tables of the models 1 are there.")
    assert "schema_verify" in ran.result["next_action"]
    stamp(database)
    says(info(), "legacy", "public.alembic_version has no row")


@pytest.mark.parametrize(("at", "there"), [("r3", ("r1", "r2")), ("r2", ("r1",))], ids=["at the head", "behind"])
def test_partial(at: str, there: tuple[str, ...], database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(3), with_models("t_r1", "t_r2", "t_r3"))
    stamp(database, at)
    tables(database, *there)
    ran = info()
    says(ran, "partial", f"1 of the 3 tables of the models is missing, though applied revisions name it: t_{at}.")
    assert "verify" in ran.result["next_action"]
    tables(database, at)
    assert info().result["state"] == ("managed" if at == "r3" else "behind")


def test_not_partial(database: Database, info: Info, tmp_path: Path) -> None:
    """A model that nobody wrote a revision for, one that autogenerate leaves out, one in a schema of the tenant's."""
    trees.write_tree(tmp_path, trees.chain(1), with_models("t_r1", "t_new"))
    stamp(database, "r1")
    tables(database, "r1")
    says(info(), "managed", "The models have tables that no revision names, and that are not there: t_new.")
    left_out = ", include_object=lambda item, name, *rest: name == 't_r1'"
    (tmp_path / "migrations" / "env.py").write_text(with_models("t_r1", "t_new", more=left_out))
    says(info(), "managed", "All 1 tables of the models are there.")
    translated = with_models("t_r1", schema="tenant").replace(
        "engine.connect()", "engine.connect().execution_options(schema_translate_map={'tenant': 'public'})"
    )
    (tmp_path / "migrations" / "env.py").write_text(translated)
    says(info(), "managed", "not judged")


def test_diverged(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.BRANCHES)
    stamp(database, "left1", "gone9")
    ran = info()
    says(ran, "diverged", "names gone9, and no file of the project has it.", "left1")
    assert ran.result["pending"] == []
    assert [item["revision"] for item in ran.result["resolved"]] == ["left1"]
    stamp(database, "base0", "right1")
    says(info(), "diverged", "But base0 is part of right1 already")
    # The only row is unknown, and yet the tables are those of this project.
    (tmp_path / "migrations" / "env.py").write_text(with_models("t_base0", "t_left1", "t_other"))
    stamp(database, "gone9")
    tables(database, "base0", "left1")
    says(info(), "diverged", "Of the 3 tables of the models 2 are there.", "the file of gone9 is missing")


def test_foreign(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    stamp(database, "r")  # a beginning of an id is no id
    ran = info()
    says(ran, "foreign", "names r, and no file of the project has it.", "The project has r1, r2.")
    assert (ran.result["current"], ran.result["resolved"], ran.result["pending"]) == (["r"], [], [])
    (tmp_path / "migrations" / "env.py").write_text(with_models("t_r1", "t_r2"))
    says(info(), "foreign", "Of the 2 tables of the models 0 are there.")


# What is told of a project and a server


def test_branches_merges_and_dates(database: Database, info: Info, tmp_path: Path) -> None:
    dated = trees.table("merged1", ("left1", "right2")).replace(
        "make merged1", "join\n\nRevision ID: merged1\nRevises: left1, right2\nCreate Date: 2024-03-01 10:00:00.5\n"
    )
    trees.write_tree(
        tmp_path, {**trees.BRANCHES, "merged": dated, "other": trees.table("other1", None, 'depends_on = "left1"')}
    )
    stamp(database, "left1", "right1")
    ran = info()
    says(ran, "behind", "public.alembic_version is at left1, right1.", "3 of 6 revisions are pending")
    result = ran.result
    assert result["heads"] == ["merged1", "other1"]
    assert sorted(result["bases"]) == ["base0", "other1"]
    assert result["merges"] == ["merged1"]
    assert result["branches"]["points"] == [{"revision": "base0", "next": ["left1", "right1"]}]
    assert set(result["branches"]["labels"]) == {"left", "right"}
    history = {item["revision"]: item for item in result["history"]}
    assert list(history).index("base0") < list(history).index("left1") < list(history).index("merged1")
    assert history["merged1"]["created"] == "2024-03-01 10:00:00.5"
    assert history["merged1"]["down"] == ["left1", "right2"]
    assert (history["other1"]["down"], history["other1"]["depends_on"]) == ([], ["left1"])
    assert history["base0"]["created"] is None
    assert names(info(revision="left@head").result["pending"]) == ["right2", "merged1"]


def test_when_a_revision_was_applied_is_told_to_those_who_may_know(
    database: Database, info: Info, upgrade: support.Upgrade, secret_role: dict[str, Any], tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(4))
    stamp(database, "r1")  # by other means
    assert not upgrade(revision=["r3"]).failed

    def applied(**options: Any) -> list[float | None]:
        return [one["applied"] for one in info(**options).result["history"]]

    [(second, third)] = database.rows(
        "SELECT min(extract(epoch FROM finished)::float8), max(extract(epoch FROM finished)::float8) FROM pgsteward.journal"
    )
    assert applied() == [None, second, third, None]
    database.rows("UPDATE alembic_version SET version_num = 'r2'")  # taken back by other means
    assert applied() == [None, second, None, None]
    database.rows(f"GRANT SELECT ON alembic_version TO {secret_role['login_user']}")
    assert applied(**secret_role) == [None] * 4


@pytest.mark.parametrize(("count", "rows"), [(1, ["other1"]), (2, ["other1", "r2"])])
def test_heads_that_depend_on_each_other_are_no_divergence(
    count: int, rows: list[str], database: Database, info: Info, tmp_path: Path
) -> None:
    """Alembic keeps no row for a head that another one depends on."""
    other = trees.table("other1", None, 'depends_on = "r1"')
    trees.write_tree(tmp_path, {**trees.chain(count), "other": other})
    stamp(database, *rows)
    ran = info()
    says(ran, "managed", "That is the newest revision")
    assert ran.result["heads"] == ["other1", f"r{count}"]


def test_what_is_told_of_the_server_and_the_interpreter(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    result = info(python=sys.executable).result
    assert (result["database"], result["standby"], result["pooled"]) == (database.name, False, False)
    assert result["server_version"] == database.connect().info.server_version
    assert set(result["versions"]) == {"python", "alembic", "sqlalchemy"}
    assert result["interpreter"] == sys.executable
    assert (result["target_metadata"], result["connected"]) == (False, True)


def test_version_table_and_locations_as_env_py_sets_them(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(
        tmp_path, {},
        trees.sync_env(
            before='context.script.version_locations = [context.config.get_main_option("here") + "/elsewhere"]\n',
            configure=', version_table="revisions", version_table_schema="app"',
        ),
    )  # fmt: skip
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "r1.py").write_text(trees.table("r1", None))
    ran = info()
    says(ran, "fresh", "There is no app.revisions")
    assert names(ran.result["pending"]) == ["r1"]
    assert (ran.result["version_table"], ran.result["version_table_schema"]) == ("revisions", "app")
    database.rows("CREATE SCHEMA app")
    database.rows("CREATE TABLE app.revisions (version_num varchar(32))")
    database.rows("INSERT INTO app.revisions VALUES ('r1')")
    stamp(database, "x9")  # the table of another project in the same database
    says(info(), "managed", "app.revisions is at r1.")


def test_another_projects_version_table_is_no_table_of_anybodys(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(configure=', version_table="revisions"'))
    stamp(database, "x9")
    says(info(), "fresh", "Other version tables are there: public.alembic_version.")


def test_a_database_without_an_encoding(database: Database, collections: Path, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    support.drop_database(database.name)
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        options = sql.SQL("TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
        connection.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(database.name), options))
    with psycopg.connect(**{**database.parts, "dbname": database.name}, client_encoding="UTF8") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('r1')")
        connection.commit()
        ran = support.run_module(collections, "alembic_info", {"project": str(tmp_path), "url": database.url})
    says(ran, "behind", "public.alembic_version is at r1.")
    assert ran.result["database"] == database.name


def test_five_hundred_revisions(
    database: Database, info: Info, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names_of = [f"t_r{number}" for number in range(1, 501)]
    trees.write_tree(tmp_path, trees.chain(500), with_models(*names_of))
    stamp(database, "r250")
    with database.connect() as connection:
        for name in names_of[:250]:
            connection.execute(f"CREATE TABLE {name} (id int)")
    took = {}
    for label in ("first", "again"):
        started = time.monotonic()
        ran = info()
        took[label] = time.monotonic() - started
    with capsys.disabled():
        print(f"\nalembic_info, 500 revisions, 250 pending: {took['first']:.2f} s, then {took['again']:.2f} s")
    says(ran, "behind", "250 of 500 revisions are pending: r251, r252, r253, r254, r255 and 245 more.")
    assert len(ran.result["history"]) == 500
    database.rows("DROP TABLE t_r7")
    says(info(), "partial", "applied revisions name it: t_r7.")
    assert took["again"] < 10


# env files that go their own way, and reading only


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"connected": 'connection.exec_driver_sql("CREATE TABLE early (id int)")\nconnection.commit()\n'}, ""),
        ({"run": 'connection.exec_driver_sql("CREATE TABLE early (id int)")\ncontext.run_migrations()'}, ""),
        ({"connected": 'connection.exec_driver_sql("CREATE SCHEMA app")\nconnection.commit()\n'}, "CREATE SCHEMA"),
    ],
    ids=["before configure", "after configure", "schema"],
)  # fmt: skip
def test_env_py_cannot_write(parts: dict[str, str], message: str, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(**parts))
    ran = info()
    assert "read-only transaction" in ran.msg
    assert message in ran.msg
    assert ran.msg.endswith("alembic_info only reads; let env.py write inside of revisions only")
    assert ran.result["connected"]


def test_what_env_py_writes_afterwards_is_a_warning(info: Info, tmp_path: Path) -> None:
    trees.write_tree(
        tmp_path,
        trees.chain(1),
        trees.sync_env(run='context.run_migrations()\nconnection.exec_driver_sql("CREATE TABLE late (id int)")'),
    )
    ran = info()
    says(ran, "fresh")
    assert "after everything was read, env.py failed" in str(ran.result["warnings"])


def test_every_session_of_env_py_reads_only(info: Info, tmp_path: Path) -> None:
    own = (
        'import os, psycopg\nown = psycopg.connect(os.environ["DATABASE_URL"].replace("+psycopg", ""))\n'
        'print("own", own.execute("SHOW default_transaction_read_only").fetchone()[0])\n'
    )
    run = 'print("its", connection.exec_driver_sql("SHOW transaction_read_only").scalar())\ncontext.run_migrations()'
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(before=own, run=run))
    ran = info()
    says(ran, "fresh")
    assert {"own on", "its on"} <= set(ran.result["output"])


def test_a_password_never_shows(secret_role: dict[str, Any], info: Info, tmp_path: Path) -> None:
    chatter = (
        "import os\nprint(context.config.get_main_option('sqlalchemy.url'), os.environ['DATABASE_URL'])\n"
        f"print({support.PASSWORD!r}, os.environ['API_TOKEN'])\n"
    )
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(before=chatter))
    options = {**secret_role, "environment": {"API_TOKEN": "s3cr3t-token"}}
    ran = info(**options)
    says(ran, "fresh")
    assert any("********" in line for line in ran.result["output"])
    (tmp_path / "migrations" / "env.py").write_text(f"raise ValueError('cannot use ' + {support.PASSWORD!r})\n")
    failed = info(**options)
    assert "cannot use ********" in failed.msg
    for form in (support.PASSWORD, "p%40ss%20%25w%3Ao%2Frd%23%3F", "p%40ss", "s3cr3t-token"):
        assert form not in ran.text + failed.text


def test_an_account_that_only_reads(
    secret_role: dict[str, Any], database: Database, info: Info, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    stamp(database, "r1")
    ran = info(**secret_role)
    assert "permission denied for table alembic_version" in ran.msg
    database.rows(f"GRANT SELECT ON alembic_version TO {secret_role['login_user']}")
    says(info(**secret_role), "managed")


def test_a_lock_does_not_keep_it_for_ever(database: Database, collections: Path, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    stamp(database, "r1")
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        options = {"project": str(tmp_path), "url": database.url}
        ran = support.run_module(collections, "alembic_info", options)
    assert "lock timeout" in ran.msg


# What the owner of a database may plant. An operator that SQLAlchemy meets on the project's own connection is let pass.
PLANTED = """
CREATE FUNCTION public.sprung(name text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'trap % is sprung', name; END $$;
CREATE FUNCTION public.current_database() RETURNS name LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.sprung('current_database'); END $$;
CREATE FUNCTION public.pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.sprung('pg_is_in_recovery'); END $$;
CREATE FUNCTION public.pg_backend_pid() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.sprung('pg_backend_pid'); END $$;
CREATE FUNCTION public.to_char(timestamp, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM public.sprung('to_char'); END $$;
CREATE FUNCTION public.eq(oid, oid) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.current_setting('application_name') OPERATOR(pg_catalog.~) 'pgsteward' THEN PERFORM public.sprung('='); END IF;
    RETURN $1 OPERATOR(pg_catalog.=) $2;
END $$;
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.eq);
"""


def test_planted_functions_and_operators_are_not_called(database: Database, collections: Path, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    stamp(database, "r1")
    with database.connect() as connection:
        connection.execute(PLANTED)
        connection.execute(f"ALTER DATABASE {database.name} SET search_path = public, pg_catalog")
    ran = support.run_module(collections, "alembic_info", {"project": str(tmp_path), "url": database.url})
    says(ran, "managed")
    # The traps work: a connection that is not pinned steps into them.
    with pytest.raises(psycopg.errors.RaiseException, match="current_database is sprung"):
        database.rows("SELECT current_database()")


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project": "/nonexistent/project"}, "/nonexistent/project is no directory: bring it there"),
        ({"config": "alembic.cfg"}, "there is no alembic.cfg in"),
        ({"section": "shop"}, "has no section [shop]; it has: alembic, other"),
        ({"revision": []}, "revision is empty: name one, or heads"),
        ({"revision": "r9"}, "the project has no revision 'r9'; its heads are r2"),
        ({"revision": "base"}, "'base' leads back"),
        ({"python": "/nonexistent/python"}, "no interpreter /nonexistent/python: name one by virtualenv or python"),
        ({"url": "mysql://root@db/shop"}, "'mysql'"),
        ({"url": "postgresql://u:secret@127.0.0.1:1/x"}, "check that the server runs and listens there"),
    ],
)
def test_bad_input(options: dict[str, Any], message: str, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    ran = info(**options)
    assert ran.failed
    assert message in ran.msg


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"login_password": "wrong"}, "password authentication failed"),
        ({"login_db": "no_such_database_here"}, "create the database or check its name"),
        ({"login_host": "no-such-host.invalid"}, "check the host name"),
    ],
)
def test_refused_logins(change: dict[str, Any], message: str, database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(before="open('touched', 'w')\n"))
    ran = info(**{**database.login, **change})
    assert message in ran.msg
    assert ran.msg.startswith("cannot connect to host ")
    assert ran.result["connected"] is False
    assert not (tmp_path / "touched").exists()


def test_missing_driver_and_missing_alembic(database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    ran = info(url=database.url.replace("postgresql://", "postgresql+nodriver://"))
    assert ran.msg == f"{sys.executable} cannot import nodriver: install the driver there"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "empty")], check=True)
    ran = info(virtualenv="empty")
    assert "cannot import alembic (No module named 'alembic'): install it there" in ran.msg


def test_another_database_is_not_looked_at(database: Database, info: Info, tmp_path: Path) -> None:
    other = database.url.replace("postgresql://", "postgresql+psycopg://").replace(database.name, "postgres")
    redirect = f"context.config.set_main_option('sqlalchemy.url', {other!r})\n"
    trees.write_tree(tmp_path, trees.chain(1), trees.sync_env(before=redirect))
    assert "/postgres, but the module was given" in info().msg


def test_several_version_tables_are_refused(info: Info, tmp_path: Path) -> None:
    env = (
        trees.SYNC
        + "    context.configure(connection=connection, version_table='second')\n    context.run_migrations()\n"
    )
    trees.write_tree(tmp_path, trees.chain(1), env)
    assert "env.py uses several version tables: choose one by x or environment" in info().msg


@pytest.mark.skipif(
    os.environ.get("PGSTEWARD_FULL") != "1", reason="acceptance size (PGSTEWARD_FULL=1): installs a virtual environment"
)
@pytest.mark.parametrize(
    ("env", "driver", "packages"),
    [
        (trees.ASYNC, "asyncpg", ["alembic", "sqlalchemy[asyncio]", "asyncpg"]),
        (trees.ASYNC, "psycopg", ["alembic", "sqlalchemy[asyncio]", "psycopg[binary]"]),
        (trees.SYNC, "psycopg2", ["alembic==1.7.7", "sqlalchemy==1.4.54", "psycopg2-binary", "setuptools<80"]),
    ],
    ids=["async by asyncpg", "async by psycopg", "alembic 1.7, SQLAlchemy 1.4"],
)
def test_stacks(env: str, driver: str, packages: list[str], database: Database, info: Info, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2), env)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / ".venv")], check=True)
    subprocess.run([str(tmp_path / ".venv" / "bin" / "pip"), "install", "--quiet", *packages], check=True)
    options = {"virtualenv": ".venv", "url": database.url.replace("://", f"+{driver}://")}
    says(info(**options), "fresh")
    stamp(database, "r1")
    says(info(**options), "behind", "1 of 2 revisions are pending: r2.")
