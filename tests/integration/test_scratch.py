"""Scratch databases of all kinds, and models created in them, on real servers. A private cluster plays the live server."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
import trees
from ansible_collections.pgsteward.postgres.plugins.module_utils import _models, _scratch
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect, parse_url
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._private_cluster import find_binaries, private_cluster
from ansible_collections.pgsteward.postgres.plugins.module_utils._scratch import Live, read_live, scratch
from ansible_collections.pgsteward.postgres.plugins.module_utils._stage import Stage
from support import Database
from test_alembic_versions import stack as stack

# "superseded" stands in for a password: the socket is in a directory that nobody else can enter.
SHOP = """
CREATE ROLE shop_owner; CREATE ROLE shop_app; CREATE ROLE "odd ""one"; CREATE ROLE powerful CREATEROLE;
CREATE ROLE migrator LOGIN PASSWORD 'superseded' IN ROLE shop_owner;
CREATE ROLE maker LOGIN PASSWORD 'superseded' CREATEDB;
CREATE ROLE maker2 LOGIN PASSWORD 'superseded' CREATEDB;
CREATE ROLE plain LOGIN PASSWORD 'superseded';
CREATE ROLE heir LOGIN PASSWORD 'superseded' CREATEDB IN ROLE powerful;
CREATE ROLE super LOGIN PASSWORD 'superseded' SUPERUSER
"""
EXTENSIONS = "CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext VERSION '1.7'; CREATE EXTENSION pageinspect"


def _rows(place: Place, query: str) -> list[tuple[Any, ...]]:
    with connect(place, "test") as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def _make(server: Place, name: str, options: str = "") -> Place:
    _rows(server, f'CREATE DATABASE "{name}" TEMPLATE template0 {options}')
    return replace(server, database=name)


def _read(place: Place) -> Live:
    with connect(place, "test") as connection:
        return read_live(connection, place)


def _url(place: Place, user: str, database: str = "postgres") -> str:
    return f"postgresql://{user}:superseded@/{database}?host={place.host}"


def _databases(server: Place) -> list[str]:
    return sorted(name for (name,) in _rows(server, "SELECT datname FROM pg_database WHERE datname LIKE 'pgsteward%'"))


@pytest.fixture(scope="module")
def server() -> Iterator[Place]:
    """A server that plays the live one; the newest whose programs are here."""
    for major in range(20, 12, -1):
        with contextlib.suppress(StewardError):
            binaries = find_binaries(major)
            break
    else:
        pytest.skip("there are no server binaries of PostgreSQL on this machine")
    with private_cluster(binaries, "postgres", {}) as place:
        yield place


@pytest.fixture(scope="module")
def shop(server: Place) -> Place:
    """The live database, of a migrator who works as its owner."""
    _rows(server, SHOP)
    database = _make(server, "shop", "OWNER shop_owner")
    _rows(database, EXTENSIONS)
    _rows(database, "ALTER ROLE migrator IN DATABASE shop SET role = shop_owner")
    _rows(database, 'ALTER DATABASE shop SET search_path = "Odd one", public')
    return parse_url(_url(server, "migrator", "shop"))


# instance


def test_an_instance_is_like_the_live_database(shop: Place) -> None:
    live = _read(shop)
    with scratch(None, live) as made:
        found = _read(made.place)
        for name in (
            "database",
            "user",
            "owner",
            "locale",
            "extensions",
            "roles",
            "memberships",
            "defaults",
            "session",
        ):
            assert getattr(found, name) == getattr(live, name), name
        assert (made.notes, found.started == live.started) == ((), False)
        assert _rows(made.place, "SELECT current_user, session_user") == [("shop_owner", "migrator")]
        _rows(made.place, 'CREATE TABLE public.t (); GRANT SELECT ON public.t TO shop_app, "odd ""one"')
        assert _rows(made.place, "SELECT setting FROM pg_settings WHERE name IN ('listen_addresses', 'fsync')") == [
            ("off",),
            ("",),
        ]
        directory = Path(str(made.place.host))
        assert directory.stat().st_mode & 0o777 == 0o700
        rules = (directory / "data" / "pg_hba.conf").read_text()
        assert {line.split()[-1] for line in rules.splitlines() if line and line[0] != "#"} == {"scram-sha-256"}
        with pytest.raises(StewardError, match="password authentication failed"):
            connect(replace(made.place, password="guessed"), "test")
        with scratch(None, live) as second:
            assert _rows(second.place, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
        assert _rows(made.place, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(1,)]
    assert not directory.exists()


def test_locales_are_carried_over_or_the_difference_is_told(server: Place) -> None:
    place = _make(server, "icu", "LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' ENCODING UTF8")
    live = _read(place)
    with scratch(None, live) as made:
        assert (_read(made.place).locale, made.notes) == (live.locale, ())
    with scratch(None, replace(live, locale=replace(live.locale, provider="c", collate="xx_XX", locale=None))) as made:
        assert made.notes == (
            "the scratch database has UTF8 C.UTF-8, the live one UTF8 xx_XX: texts may sort and fold otherwise",
        )


def test_a_live_database_of_a_name_that_initdb_uses(server: Place) -> None:
    with scratch(None, _read(replace(server, database="postgres"))) as made:
        assert (made.place.database, made.notes) == ("postgres", ())


def test_an_extension_of_another_version_or_without_files(shop: Place) -> None:
    live = _read(shop)
    other = [replace(item, version="0.1") if item.name == "hstore" else item for item in live.extensions]
    with scratch(None, replace(live, extensions=tuple(other))) as made:
        assert made.notes == ("extension hstore is 1.8 in the scratch database, and 0.1 in the live one",)
    missing = replace(live.extensions[0], name="not_there")
    with (
        pytest.raises(StewardError, match=r"extension not_there .*: the server does not have it: install its package"),
        scratch(None, replace(live, extensions=(*live.extensions, missing))),
    ):
        pass


def test_an_instance_goes_away_with_an_error_in_its_use(shop: Place) -> None:
    made = []

    def use() -> None:
        with scratch(None, _read(shop)) as used:
            made.append(Path(str(used.place.host)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert made[0].name.startswith("pgsteward_scratch_")
    assert not made[0].exists()


HOLD = """
import json, sys
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection, _scratch
kind, url, fields = json.loads(sys.stdin.readline())
place = _connection.Place(**fields)
with _connection.connect(place, "test") as connection:
    live = _scratch.read_live(connection, place)
with _scratch.scratch(kind, live, url=url) as made:
    print(json.dumps([made.place.host, made.place.database]), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def _held(collections: Path, kind: str, place: Place, url: str | None = None) -> Iterator[tuple[Any, str, str]]:
    """Hold a scratch database in a process of its own; give the process, and the host and the name of the database."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env={**os.environ, "PYTHONPATH": str(collections)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    with process:
        process.stdin.write(json.dumps([kind, url, asdict(place)]) + "\n")
        process.stdin.flush()
        host, database = json.loads(process.stdout.readline())
        yield process, host, database


def test_nothing_outlives_a_killed_run_for_long(shop: Place, collections: Path) -> None:
    with _held(collections, "instance", shop) as (process, host, _database):
        postmaster = os.pidfd_open(int(Path(host, "data", "postmaster.pid").read_text().split()[0]))
        process.kill()
        assert select.select([postmaster], [], [], 1.0)[0], "the server is alive a second after its run was killed"
        os.close(postmaster)
    assert Path(host).is_dir()
    with scratch(None, _read(shop)):
        assert not Path(host).exists()


# database


def test_a_database_is_made_and_dropped(server: Place, shop: Place) -> None:
    live = replace(_read(shop), extensions=_read(shop).extensions[:2])
    live = replace(live, place=replace(live.place, driver="asyncpg"))
    with scratch("database", live, url=_url(server, "maker")) as made:
        assert (made.notes, made.place.driver, [made.place.database]) == ((), "asyncpg", _databases(server))
        found = _read(made.place)
        assert (found.extensions, found.locale, found.owner) == (live.extensions, live.locale, "maker")
        with psycopg.connect(dbname=made.place.database, host=server.host, user="maker", password="superseded"):
            pass
        stays = connect(made.place, "test")  # whoever is still in it does not stand in the way
    assert _databases(server) == []
    assert stays.info.host == server.host
    stays.close()


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("super", "user super has SUPERUSER and CREATEROLE"),
        ("heir", "user heir has CREATEROLE, by itself or by a role that it is a member of"),
        ("plain", "user plain may not create databases: give the account CREATEDB"),
        ("nobody", "password authentication failed"),
    ],
)
def test_logins_that_make_no_scratch_database(user: str, message: str, server: Place, shop: Place) -> None:
    with pytest.raises(StewardError, match=message), scratch("database", _read(shop), url=_url(server, user)):
        pass
    assert _databases(server) == []


def test_an_extension_that_only_a_superuser_may_create_comes_from_a_template(server: Place, shop: Place) -> None:
    live, url = _read(shop), _url(server, "maker")
    with (
        pytest.raises(StewardError, match=r"extension pageinspect .* name a database that has it by scratch_template"),
        scratch("database", live, url=url),
    ):
        pass
    assert _databases(server) == []
    template = _make(server, "Our template", "IS_TEMPLATE true ENCODING SQL_ASCII LOCALE 'C'")
    _rows(template, EXTENSIONS)
    with scratch("database", live, url=url, template="Our template") as made:
        assert _read(made.place).extensions == live.extensions
        assert "the scratch database has SQL_ASCII C, the live one" in made.notes[0]
    _rows(template, "CREATE TABLE public.t (id serial); CREATE TYPE public.e AS ENUM ()")
    with (
        pytest.raises(
            StewardError, match=r"it has sequence public\.t_id_seq, table public\.t, type public\.e: a scratch"
        ),
        scratch("database", live, url=url, template="Our template"),
    ):
        pass
    with (
        pytest.raises(StewardError, match="shop"),
        scratch("database", live, url=url, template="shop"),
    ):
        pass
    assert _databases(server) == []


def test_databases_of_killed_runs(server: Place, shop: Place, collections: Path) -> None:
    live, url = replace(_read(shop), extensions=()), _url(server, "maker")
    with _held(collections, "database", _trimmed(server), url) as (running, _host, used):
        with _held(collections, "database", _trimmed(server), url) as (killed, _host, left):
            assert _databases(server) == sorted([used, left])
            killed.kill()
        _wait_until_left(server, left)
        with scratch("database", live, url=_url(server, "maker2")) as made:
            assert made.notes == (f"scratch database {left} was left behind by an earlier run of maker: drop it",)
        with connect(parse_url(_url(server, "maker", left)), "test"), scratch("database", live, url=url) as made:
            assert "somebody is connected to it: drop it" in made.notes[0]
        with scratch("database", live, url=url) as made:
            assert made.notes == (f"scratch database {left} was left behind by an earlier run: it is dropped now",)
            assert used in _databases(server)
        assert _databases(server) == [used]
        running.stdin.close()
        assert running.wait() == 0
    assert _databases(server) == []


def _trimmed(server: Place) -> Place:
    """Return a database without extensions that only a superuser may create."""
    return replace(server, database="template1")


def _wait_until_left(server: Place, name: str) -> None:
    """Wait until the server has noticed that the session of a killed run is gone."""
    query = f"SELECT pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity WHERE application_name = '{name}'"
    for _attempt in range(1000):
        if _rows(server, query)[0][1] == 0:
            return
    pytest.fail("the session of a killed run is still there")


# url: on the server of the lab


def test_a_database_that_is_given(database: Database) -> None:
    postgres = parse_url(replace(database, name="postgres").url)
    live = replace(_read(postgres), extensions=())
    with scratch("url", live, url=database.url) as made:
        assert made.place.database == database.name
        _rows(made.place, "CREATE TABLE public.t ()")
        assert made.notes[-1] == f"scratch database {database.name} is not ours: what this run made in it stays"
    assert database.relations() == ["public.t"]
    with (
        pytest.raises(StewardError, match=r"is not empty, it has table public\.t"),
        scratch("url", live, url=database.url),
    ):
        pass
    itself = _read(parse_url(database.url))
    with pytest.raises(StewardError, match="leads to the live database"), scratch("url", itself, url=database.url):
        pass
    older = replace(live, major=99)
    with pytest.raises(StewardError, match="and the live server 99"), scratch("url", older, url=database.url):
        pass


def test_the_account_of_the_lab_is_too_powerful(database: Database) -> None:
    live = _read(parse_url(database.url))
    with pytest.raises(StewardError, match="SUPERUSER"), scratch("database", live, url=database.url):
        pass


# Models

MODELS = """\
import sqlalchemy as sa
metadata = sa.MetaData()
mood = sa.Enum("good", "bad", name="mood", schema="Odd one")
sa.Table("persons", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("mood", mood))
sa.Table("visits", metadata, sa.Column("person", sa.ForeignKey("persons.id")), schema="log")
"""


def _with_models(env: str, models: str = MODELS, metadata: str = "metadata") -> str:
    configured = env.replace(
        "configure(connection=connection", f"configure(connection=connection, target_metadata={metadata}"
    )
    return models + configured


def _project(root: Path, env: str, **options: Any) -> Project:
    trees.write_tree(root, trees.chain(1), env)
    return Project(str(root), "alembic.ini", "alembic", options.pop("python", sys.executable), **options)


@pytest.mark.parametrize("env", trees.ENVIRONMENTS)
def test_models_in_a_database(env: str, database: Database, tmp_path: Path) -> None:
    project = _project(tmp_path, _with_models(trees.ENVIRONMENTS[env]))
    assert _models.create_models(Stage.at(project, parse_url(database.url), frozenset(), str(tmp_path))) == ()
    tables = [name for name in database.relations() if not name.endswith(("_pkey", "_seq"))]
    assert tables == ["log.visits", "public.persons"]
    assert database.rows("SELECT typnamespace::regnamespace::text FROM pg_type WHERE typname = 'mood'") == [
        ('"Odd one"',)
    ]


@pytest.mark.parametrize(("env", "driver"), [(trees.SYNC, None), (trees.FROM_ENVIRONMENT, "psycopg")])
def test_models_in_an_instance(env: str, driver: str | None, shop: Place, tmp_path: Path) -> None:
    live = _read(replace(shop, driver=driver))
    environment = {"APP_URL": _url(shop, "migrator", "shop")}
    with scratch(None, live) as made:
        redirected = _scratch.redirect(environment, live.place, made.place)
        project = _project(tmp_path, _with_models(env), environment=redirected)
        assert _models.create_models(Stage.at(project, made.place, frozenset(), str(tmp_path))) == ()
        assert redirected["APP_URL"].endswith(f":5432/shop?host={str(made.place.host).replace('/', '%2F')}")
        # The session's search path comes from the live database, its role too.
        owners = _rows(
            made.place, "SELECT schemaname, tablename, tableowner FROM pg_tables WHERE tableowner <> 'migrator'"
        )
        assert sorted(owners) == [("Odd one", "persons", "shop_owner"), ("log", "visits", "shop_owner")]
    assert _rows(shop, "SELECT count(*) FROM pg_tables WHERE schemaname !~ '^pg_|information'") == [(0,)]


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (trees.SYNC, "env.py gives no target_metadata: models cannot be compared"),
        (_with_models(trees.SYNC, MODELS, "sa.MetaData()"), "target_metadata has no tables: the modules that define"),
        (_with_models(trees.SYNC, "import shop\n"), "No module named 'shop' (migrations/env.py line 1): install it"),
        (
            _with_models(trees.SYNC, MODELS + "sa.Table('w', metadata, sa.Column('c', sa.Text(collation='none')))\n"),
            'the models cannot be created: UndefinedObject: collation "none" for encoding "UTF8" does not exist',
        ),
        (
            _with_models(trees.SYNC.replace("    context.configure", '    connection.exec_driver_sql("SELECT 1")\n    context.configure')),
            "the tables of its models are not there: it must commit what it did",
        ),
        (_with_models(trees.SYNC.replace("        context.run_migrations()", "        pass")), "must call context.run_migrations"),
        (MODELS + "raise ValueError('Geheimnis ' + 'x@y://u:hush@h')\n", "ValueError: ******** x@y://u:********@h"),
    ],
    ids=["none", "empty", "import", "type", "transaction", "no run", "secret"],
)  # fmt: skip
def test_models_that_fail(env: str, message: str, database: Database, tmp_path: Path) -> None:
    project = _project(tmp_path, env)
    with pytest.raises(StewardError) as caught:
        _models.create_models(Stage.at(project, parse_url(database.url), frozenset({"Geheimnis"}), str(tmp_path)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Geheimnis" not in json.dumps(caught.value.facts)
    assert [name for name in database.relations() if "." in name and "alembic" not in name] == []


@pytest.mark.skipif(os.environ.get("PGSTEWARD_FULL") != "1", reason="acceptance size (PGSTEWARD_FULL=1)")
@pytest.mark.parametrize(("env", "driver"), [(trees.SYNC, None), (trees.ASYNC, "asyncpg"), (trees.ASYNC, "psycopg")])
def test_models_with_other_versions(
    env: str, driver: str | None, stack: tuple[Path, list[str]], shop: Place, tmp_path: Path
) -> None:
    python, packages = stack
    if driver and not any(package.startswith(driver) for package in packages if "psycopg2" not in package):
        pytest.skip(f"{driver} is not in this virtual environment")
    with scratch(None, _read(replace(shop, driver=driver))) as made:
        project = _project(tmp_path, _with_models(env), python=str(python))
        assert _models.create_models(Stage.at(project, made.place, frozenset(), str(tmp_path))) == ()
        assert _rows(made.place, "SELECT count(*) FROM pg_tables WHERE tableowner = 'shop_owner'") == [(2,)]


def test_models_are_not_created_elsewhere(database: Database, tmp_path: Path) -> None:
    other = support.create_database(f"{database.name}_other")
    try:
        project = _project(tmp_path, _with_models(trees.FROM_ENVIRONMENT), environment={"DATABASE_URL": other.url})
        with pytest.raises(StewardError, match=f"/{other.name}, but the module was given"):
            _models.create_models(Stage.at(project, parse_url(database.url), frozenset(), str(tmp_path)))
        assert other.relations() == database.relations() == []
    finally:
        support.drop_database(other.name)
