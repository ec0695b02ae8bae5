"""Dumps of real databases into a real S3 store, and back: everything is there again, and nothing that is not whole passes for a dump."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import s3_server
import support
from alembic import command
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config, _dump_host, _private_cluster
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import target_of
from databases import own_database
from dump_rows import checksums, fill
from histories import SYSTEMS, WITH_VECTORS, config_of
from private_pair import caught_up, pair
from psycopg import conninfo, sql
from s3_server import SECRET_KEY, Server
from support import Database, Ran

KEY = "5f" * 32
Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def private_url() -> Iterator[str]:
    """A server of the version of this machine's tools, for as long as these tests run."""
    binaries = _private_cluster.find_binaries(support.LOCAL_MAJOR)
    with _private_cluster.private_cluster(binaries, "postgres", {"max_wal_size": "4GB"}) as place:
        parts = {
            "host": place.host,
            "port": place.port,
            "user": place.user,
            "password": place.password,
            "dbname": "postgres",
        }
        yield conninfo.make_conninfo(**{name: str(value) for name, value in parts.items()})


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A store that all tests of a worker share; each has databases of its own name."""
    with s3_server.serve(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "dumps.key"
    path.write_text(KEY)
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def run(collections: Path) -> Run:
    """Run a module."""

    def execute(module: str, /, check: bool = False, **options: Any) -> Ran:
        return support.run_module(collections, module, options, check)

    return execute


@pytest.fixture
def shop(private_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A small database with most kinds of things in two schemas, and an owner of its own."""
    monkeypatch.setenv("PGSTEWARD_TEST_URL", private_url)
    monkeypatch.delenv("PGSTEWARD_TEST_TEMPLATE", raising=False)
    with own_database() as database:
        owner = f"{database.name}_owner"
        database.rows(f"CREATE ROLE {owner}; ALTER DATABASE {database.name} OWNER TO {owner}; SET ROLE {owner};" + SHOP)
        yield database
        for (name,) in database.rows(
            f"SELECT datname FROM pg_database WHERE starts_with(datname, '{database.name}_') OR datname = '{database.name}'"
        ):
            support.drop_database(name)
        with psycopg.connect(support.server_url(), autocommit=True) as connection:
            connection.execute(f"DROP ROLE {owner}".encode())


SHOP = """
CREATE SCHEMA sales;
CREATE TYPE sales.state AS ENUM ('new', 'paid');
CREATE TABLE public.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE sales.orders (id serial PRIMARY KEY, customer_id bigint REFERENCES public.customers, state sales.state DEFAULT 'new', note text);
CREATE INDEX orders_state_idx ON sales.orders (state);
CREATE TABLE sales.items (order_id int REFERENCES sales.orders, n int CHECK (n > 0));
CREATE VIEW sales.open AS SELECT * FROM sales.orders WHERE state = 'new';
CREATE TABLE sales.events (at date, x int) PARTITION BY RANGE (at);
CREATE TABLE sales.events_1 PARTITION OF sales.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO public.customers (name) SELECT 'customer ' || n FROM generate_series(1, 50) n;
INSERT INTO sales.orders (customer_id, note) SELECT 1 + n % 50, E'nä''me\\t\\\\.' || n FROM generate_series(1, 200) n;
INSERT INTO sales.items SELECT 1 + n % 200, n FROM generate_series(1, 500) n;
INSERT INTO sales.events SELECT date '2026-01-01' + n, n FROM generate_series(1, 90) n;
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('003_events');
"""


def server_login(database: Database) -> dict[str, Any]:
    """Return the login options for administration."""
    return {key: value for key, value in database.login.items() if key != "login_db"}


def dump(run: Run, database: Database, store: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Dump a database; return the result, without the password having been said."""
    ran = run("pg_dump", **{**database.login, "environment": "test", "store": store, **more})
    assert not ran.failed, ran.text
    assert database.login["login_password"] not in ran.text
    assert SECRET_KEY not in ran.text
    return ran.result


def restore(run: Run, of: Database, store: dict[str, Any], **more: Any) -> Ran:
    """Restore the newest dump of a database."""
    return run("pg_restore", **{**server_login(of), "source": of.name, "store": store, **more})


def there(database: Database, name: str) -> bool:
    """Say whether the server has a database."""
    return bool(database.rows(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"))


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_five_systems_come_back(
    run: Run, s3: Server, key_file: str, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    support.use_server(monkeypatch, support.LOCAL_MAJOR)  # a server of the lab, which has pgvector
    monkeypatch.syspath_prepend(str(support.ROOT / "migrations"))
    form = {"pixcrawler": "plain", "imagemanager": "directory"}.get(system, "custom")
    store = s3.store(encryption_key_file=key_file)
    with own_database(vector=system in WITH_VECTORS) as database:
        command.upgrade(config_of(system, database), "head")
        rows = fill(database)
        before = checksums(database)
        taken = dump(run, database, store, format=form, jobs=2 if form == "directory" else 1)
        assert taken["verified"] == ["size and checksum of the store"]
        assert taken["manifest"]["rows"] | {"public.alembic_version": 1} == taken["manifest"]["rows"]
        assert sum(taken["manifest"]["rows"].values()) == rows + 1
        support.drop_database(database.name)
        ran = restore(run, database, store, jobs=2)
        assert not ran.failed, ran.text
        assert checksums(database) == before
        assert ran.result["catalog"]["equal"]
        assert ran.result["catalog"]["found"] == taken["manifest"]["fingerprint"]
        assert ran.result["rows"]["found"] == rows + 1
        assert ran.result["revisions"] == taken["manifest"]["revisions"] != {}
    assert not any(
        b"face_embeddings" in path.read_bytes() for path in (s3.files / "dumps").rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("form", ["custom", "plain", "directory"])
@pytest.mark.parametrize("where", ["bucket", "directory"])
def test_there_and_back(run: Run, s3: Server, shop: Database, tmp_path: Path, form: str, where: str) -> None:
    store = s3.store() if where == "bucket" else {"path": str(tmp_path / "dumps")}
    taken = dump(run, shop, store, format=form)
    before = checksums(shop)
    copy = f"{shop.name}_copy"
    ran = restore(run, shop, store, database=copy)
    assert not ran.failed, ran.text
    assert checksums(Database(copy)) == before
    assert ran.result["catalog"]["equal"]
    assert (ran.result["name"], ran.result["former"], ran.result["state"]) == (taken["name"], None, "done")
    owner = shop.rows(f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{copy}'")
    assert owner == [(f"{shop.name}_owner",)]


def test_a_live_database_is_not_restored_over_unless_its_name_is_said(run: Run, shop: Database, tmp_path: Path) -> None:
    store = {"path": str(tmp_path / "dumps")}
    dump(run, shop, store)
    wanted = checksums(shop)
    shop.rows("DELETE FROM sales.items; INSERT INTO public.customers (name) VALUES ('later')")
    changed = checksums(shop)
    for options in ({}, {"confirm": "shop"}, {"clean": True}, {"tables": ["sales.orders"]}):
        ran = restore(run, shop, store, **options)
        assert f"database {shop.name} is there: give confirm={shop.name} to restore over it" in ran.msg
        assert "\n" not in ran.msg
    assert checksums(shop) == changed
    ran = restore(run, shop, store, confirm=shop.name, check=True)
    assert ran.result["plan"][0].startswith(f"replace database {shop.name} by ")
    assert checksums(shop) == changed
    with shop.connect() as session:  # somebody who is in it is sent away
        ran = restore(run, shop, store, confirm=shop.name)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert not ran.failed, ran.text
    assert checksums(shop) == wanted
    assert checksums(Database(ran.result["former"])) == changed


def test_clean_leaves_the_database_and_what_else_is_in_it(run: Run, shop: Database, tmp_path: Path) -> None:
    store = {"path": str(tmp_path / "dumps")}
    dump(run, shop, store)
    wanted = checksums(shop)
    shop.rows("DELETE FROM sales.items; CREATE TABLE public.newer (x int)")
    [(oid,)] = shop.rows(f"SELECT oid FROM pg_database WHERE datname = '{shop.name}'")
    ran = restore(run, shop, store, confirm=shop.name, clean=True)
    assert not ran.failed, ran.text
    found = checksums(shop)
    assert found.pop("public.newer")
    assert found == wanted
    assert shop.rows(f"SELECT oid FROM pg_database WHERE datname = '{shop.name}'") == [(oid,)]
    assert ran.result["catalog"]["differences"] == ["table public.newer: existence"]


def test_a_table_and_a_schema(run: Run, shop: Database, tmp_path: Path) -> None:
    store, copy = {"path": str(tmp_path / "dumps")}, Database(f"{shop.name}_part")
    dump(run, shop, store)
    before = checksums(shop)
    ran = restore(run, shop, store, database=copy.name, tables=["sales.orders"])
    assert not ran.failed, ran.text
    assert checksums(copy) == {"sales.orders": before["sales.orders"]}
    assert copy.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'orders' ORDER BY 1") == [
        ("orders_pkey",),
        ("orders_state_idx",),
    ]
    assert copy.rows("SELECT last_value FROM sales.orders_id_seq") == [(200,)]
    assert ran.result["left_out"] == ["fk constraint sales.orders orders_customer_id_fkey"]
    support.drop_database(copy.name)
    ran = restore(run, shop, store, database=copy.name, schemas=["sales"])
    assert not ran.failed, ran.text
    assert checksums(copy) == {name: digest for name, digest in before.items() if name.startswith("sales.")}
    # Back into the database that is there: what nobody else leads to.
    shop.rows("DROP TABLE sales.items")
    ran = restore(run, shop, store, tables=["sales.items"], confirm=shop.name)
    assert not ran.failed, ran.text
    assert checksums(shop) == before
    shop.rows("DELETE FROM sales.items")
    ran = restore(run, shop, store, tables=["sales.items"], confirm=shop.name, content="data")
    assert not ran.failed, ran.text
    assert checksums(shop) == before
    # One that cannot be is rolled back, and said to be.
    ran = restore(run, shop, store, tables=["sales.orders"], confirm=shop.name)
    assert ran.failed
    assert "already exists" in ran.msg
    assert ran.msg.endswith(f"database {shop.name} is as it was")
    assert ran.result["state"] == "unchanged"
    assert checksums(shop) == before


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_large_tables_come_back_frozen(run: Run, shop: Database, tmp_path: Path, form: str) -> None:
    shop.rows(
        """CREATE TABLE sales."Odd ""FROM stdin;" AS SELECT n, E'ä\\\\.\\n\\t' || n AS note, CASE WHEN n % 2 = 0 THEN '' END AS gap
          FROM generate_series(1, 60000) n;
        ALTER TABLE sales."Odd ""FROM stdin;" ADD double_n bigint GENERATED ALWAYS AS (n * 2) STORED, ADD PRIMARY KEY (n);
        INSERT INTO sales.events SELECT '2026-05-05', n FROM generate_series(1, 50000) n"""
    )
    store, copy = {"path": str(tmp_path / "dumps")}, Database(f"{shop.name}_copy")
    dump(run, shop, store, format=form)
    before = checksums(shop)
    ran = restore(run, shop, store, database=copy.name, jobs=2)
    assert not ran.failed, ran.text
    assert checksums(copy) == before
    assert ran.result["catalog"]["equal"]
    pages = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relpages > 10 AND relallvisible >= relpages - 1 AND relname !~ '^pg_' ORDER BY 1"
    assert copy.rows(pages) == [('Odd "FROM stdin;',), ("events_1",)]
    support.drop_database(copy.name)
    ran = restore(run, shop, store, database=copy.name, tables=["sales.events"], role=f"{shop.name}_owner")
    assert not ran.failed, ran.text
    assert checksums(copy) == {"sales.events_1": before["sales.events_1"]}


def test_the_account_of_dumps_reads_everything_and_writes_nothing(run: Run, shop: Database, tmp_path: Path) -> None:
    role = f"{shop.name}_dumps"
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN BYPASSRLS PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(support.PASSWORD)
            )
        )
        connection.execute(f"GRANT pg_read_all_data TO {role}".encode())
    try:
        shop.rows(
            "ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY; ALTER TABLE sales.orders FORCE ROW LEVEL SECURITY"
        )
        store, login = {"path": str(tmp_path / "dumps")}, {"login_user": role, "login_password": support.PASSWORD}
        ran = run("pg_dump", **{**shop.login, **login, "environment": "test", "store": store})
        assert not ran.failed, ran.text
        assert support.PASSWORD not in ran.text
        assert ran.result["manifest"]["rows"]["sales.orders"] == 200
        assert "the passwords of roles are not in it" in ran.result["notes"]
        assert not restore(run, shop, store, database=f"{shop.name}_copy").failed
        copy = Database(f"{shop.name}_copy")
        assert checksums(copy) == checksums(shop)
        ran = run("pg_dump", **{**shop.login, **login, "environment": "test", "store": store, "role_passwords": True})
        assert "only a superuser may read the passwords of roles" in ran.msg
        shop.rows("SELECT lo_from_bytea(0, 'x')")
        ran = run("pg_dump", **{**shop.login, **login, "environment": "test", "store": store})
        assert "may not read 1 large objects" in ran.msg
        assert len(target_of(store).store.items()) == 4
    finally:
        with psycopg.connect(support.server_url(), autocommit=True) as connection:
            connection.execute(f"DROP ROLE {role}".encode())


# Bad input: one line, before anything starts


def test_stores_that_cannot_be_used(run: Run, s3: Server, shop: Database, tmp_path: Path) -> None:
    wrong = [
        ({"secret_key": "wr0ng/secret"}, "refuses the secret key: check it"),
        ({"access_key": "nobody"}, "does not know the access key: check it"),
        ({"bucket": "elsewhere"}, "has no such bucket: make it first"),
        ({"endpoint": "https://localhost:1"}, "does not answer: check endpoint, and the firewall between"),
        ({"ca_cert": str(s3_server.certify(tmp_path)[0])}, "has a certificate that is not accepted"),
        ({"encryption_key_file": str(tmp_path / "none")}, "is not there; make one with: openssl rand -hex 32"),
        ({"path": "/srv/dumps"}, "give either path, a directory, or bucket"),
    ]
    before = s3.held()
    for change, words in wrong:
        for check in (False, True):
            ran = run("pg_dump", check=check, **{**shop.login, "environment": "test", "store": s3.store(**change)})
            assert words in ran.msg
            assert "\n" not in ran.msg
            assert SECRET_KEY not in ran.text
            assert "wr0ng" not in ran.text
    assert s3.held() == before


def test_a_certificate_that_has_expired(run: Run, shop: Database, tmp_path: Path) -> None:
    with s3_server.serve(tmp_path, days=-1) as server:
        ran = run("pg_dump", **{**shop.login, "environment": "test", "store": server.store()})
        assert ran.msg.endswith(f"at {server.endpoint} has a certificate that has expired: renew it")
        assert server.held() == []


def test_other_bad_input(run: Run, shop: Database, tmp_path: Path) -> None:
    store = {"path": str(tmp_path / "dumps")}
    for options, words in (
        ({"environment": "a b"}, "cannot be part of a dump's name"),
        ({"jobs": 4}, "only the format directory is written in parallel"),
        ({"compression": "zstd"}, "compression zstd needs the tools of PostgreSQL 16, and here is pg_dump 15"),
        ({"compression": "lz4"}, "is none of auto, gzip, zstd and none"),
        ({"schemas": ["a"], "tables": ["b"]}, "name the one or the other"),
        ({"bin_directory": str(tmp_path)}, "there are none here: install postgresql-client-15"),
        ({"login_db": "nothing_there"}, "create the database or check its name"),
    ):
        ran = run("pg_dump", **{**shop.login, "environment": "test", "store": store, **options})
        assert words in ran.msg
        assert "\n" not in ran.msg
    assert not (tmp_path / "dumps").exists() or target_of(store).store.items() == []
    ran = run("pg_dump", check=True, **{**shop.login, "environment": "test", "store": {"path": str(tmp_path / "new")}})
    assert (ran.result["changed"], ran.result["compression"], ran.result["dump_format"]) == (True, "gzip", "custom")
    assert not (tmp_path / "new").exists()


def test_retention_that_would_take_everything(run: Run, shop: Database, tmp_path: Path) -> None:
    store = {"path": str(tmp_path / "dumps")}
    ran = run("pg_dump_retention", store=store, days=0)
    assert "retention would remove every dump" in ran.msg
    names = [dump(run, shop, store)["name"] for _turn in range(3)]
    ran = run("pg_dump_retention", check=True, store=store, count=1)
    assert ran.result["databases"][shop.name]["removed"] == names[:2]
    assert len(run("pg_dump_info", store=store).result["dumps"]) == 3
    ran = run("pg_dump_retention", store=store, count=1)
    assert (ran.result["changed"], ran.result["databases"][shop.name]["removed"]) == (True, names[:2])
    assert [one["name"] for one in run("pg_dump_info", store=store).result["dumps"]] == names[2:]
    assert run("pg_dump_retention", store=store, count=1).result["changed"] is False


def test_no_space(run: Run, shop: Database, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a file system of its own wants root")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        both = r"not enough space: .* takes up to [0-9.]+ MB, and .* has [0-9.]+ kB free; make room, then run again"
        ran = run("pg_dump", **{**shop.login, "environment": "test", "store": {"path": str(small)}})
        assert ran.failed
        assert re.search(both, ran.msg), ran.msg
        store = {"path": str(tmp_path / "dumps")}
        ran = run(
            "pg_dump",
            **{**shop.login, "environment": "test", "store": store, "format": "directory", "staging": str(small)},
        )
        assert re.search(both, ran.msg), ran.msg
        assert [path for path in small.iterdir() if not path.name.startswith(".")] == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


# What is not whole is no dump


def test_a_flipped_byte_is_found_and_named(run: Run, s3: Server, shop: Database, key_file: str) -> None:
    for store, ending in (
        (s3.store(), ".dump"),
        (s3.store(prefix="locked", encryption_key_file=key_file), ".dump.enc"),
    ):
        name = dump(run, shop, store)["name"]
        path = s3.files / "dumps" / str(store["prefix"]) / shop.name / f"{name}{ending}"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)
        info = run("pg_dump_info", store=store, database=shop.name)
        assert info.result["damaged"] == []  # the sizes are right
        info = run("pg_dump_info", store=store, database=shop.name, verify=True)
        [finding] = info.result["damaged"]
        assert finding.startswith(f"{shop.name}/{name}{ending} is damaged: its SHA-256 is ")
        ran = restore(run, shop, store, database=f"{shop.name}_copy")
        assert f"{shop.name}/{name}{ending} " in ran.msg
        assert not there(shop, f"{shop.name}_copy")


def test_a_missing_file_and_a_wrong_key(run: Run, s3: Server, shop: Database, key_file: str, tmp_path: Path) -> None:
    store = s3.store(encryption_key_file=key_file)
    name = dump(run, shop, store)["name"]
    other = tmp_path / "other.key"
    other.write_text("11" * 32)
    other.chmod(0o600)
    ran = restore(run, shop, s3.store(encryption_key_file=str(other)), name=name, database=f"{shop.name}_copy")
    assert "is encrypted with the key" in ran.msg
    target_of(store).store.remove(f"{shop.name}/{name}.dump.enc")
    ran = restore(run, shop, store, name=name, database=f"{shop.name}_copy")
    assert f"{shop.name}/{name}.dump.enc is missing" in ran.msg
    assert f"has no good dump of {shop.name}" in restore(run, shop, store, database=f"{shop.name}_copy").msg
    assert not there(shop, f"{shop.name}_copy")


def start(collections: Path, name: str, options: dict[str, Any]) -> subprocess.Popen[str]:
    """Begin a module in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"ansible_collections.pgsteward.postgres.plugins.modules.{name}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(collections)},
    )
    assert process.stdin
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    process.stdin.close()
    process.stdin = None  # or communicate() would use it
    return process


def enlarge(database: Database, megabytes: int) -> None:
    """Give a database rows whose dump is as large as that, unless it is compressed."""
    database.rows(
        f"CREATE TABLE public.much AS SELECT n, repeat(md5(n::text), 32768) AS x FROM generate_series(1, {megabytes}) n"
    )


def wait_for(what: Callable[[], Any], seconds: float = 30) -> Any:
    """Return what something says as soon as it says something."""
    limit = time.monotonic() + seconds
    while not (said := what()):
        assert time.monotonic() < limit, "it does not come about"
        time.sleep(0.01)
    return said


def uploads(store: dict[str, Any], database: str) -> list[str]:
    """Return the uploads of a database that have begun and not ended."""
    return [one["Key"] for one in target_of(store).store._uploads(f"{database}/")]  # type: ignore[attr-defined]


def sessions(database: Database) -> int:
    """Return how many sessions of dumps a database has."""
    [(count,)] = database.rows(
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}' AND application_name LIKE 'pgsteward %'"
    )
    return int(count)


def test_kill_in_the_middle_of_an_upload(run: Run, collections: Path, s3: Server, shop: Database) -> None:
    store = s3.store()
    enlarge(shop, 100)
    process = start(
        collections, "pg_dump", {**shop.login, "environment": "test", "store": store, "compression": "none"}
    )
    wait_for(lambda: uploads(store, shop.name))
    seen = secrets_in_processes(shop)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert seen == []
    assert not [key for key in s3.held() if shop.name in key and "/.rclone_temp" not in key]
    assert run("pg_dump_info", store=store, database=shop.name).result["dumps"] == []
    wait_for(lambda: sessions(shop) == 0)
    # Its parts are given up by the retention, once nobody can be at it any more.
    dump(run, shop, store)
    assert len(uploads(store, shop.name)) == 1
    assert len(target_of(store).store.sweep(f"{shop.name}/", timedelta(0))) == 1
    assert uploads(store, shop.name) == []


def secrets_in_processes(database: Database) -> list[str]:
    """Return the command lines on this machine that have a secret in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = path.read_text(errors="replace")
            if any(secret in text for secret in (SECRET_KEY, KEY, str(database.login["login_password"]))):
                found.append(text)
    return found


def test_kill_in_the_middle_of_a_restore(run: Run, collections: Path, shop: Database, tmp_path: Path) -> None:
    store = {"path": str(tmp_path / "dumps")}
    enlarge(shop, 40)
    dump(run, shop, store)
    before = checksums(shop)
    options = {**server_login(shop), "source": shop.name, "store": store, "confirm": shop.name}
    process = start(collections, "pg_restore", options)

    def unfinished() -> list[str]:
        return [
            name
            for (name,) in shop.rows(
                f"SELECT datname FROM pg_database WHERE datname LIKE '{shop.name}\\_restoring\\_%'"
            )
        ]

    [left] = wait_for(unfinished)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert checksums(shop) == before
    assert unfinished() == [left]
    wait_for(lambda: not shop.rows(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{left}'"))
    ran = restore(run, shop, store, confirm=shop.name)
    assert not ran.failed, ran.text
    assert unfinished() == []
    assert checksums(shop) == before


# The commands


@pytest.fixture
def commands(
    shop: Database, s3: Server, key_file: str, tmp_path: Path, collections: Path
) -> Callable[..., subprocess.Popen[str]]:
    """Begin a command on a configuration of its own. The login is what libpq finds in the environment, in the place of the local socket."""
    parts = shop.parts
    inputs = {
        "environment": "test", "host": "here", "account": "root" if os.geteuid() == 0 else os.environ.get("USER", ""), "socket": parts["host"],
        "port": int(parts["port"]), "user": parts["user"], "superuser": parts["user"], "directory": str(tmp_path / "state"),
        "from": "primary", "bin_directory": None, "databases": [{"name": shop.name, "format": "directory", "jobs": 2, "compression": "none"}], "sqlite": [],
        "stores": [{**s3.store(encryption_key_file=key_file), "name": "offsite"}], "retention": {"count": 2},
    }  # fmt: skip
    (tmp_path / "state").mkdir()
    (tmp_path / "dumps.json").write_text(_dump_config.text_of(inputs))
    passfile = tmp_path / ".pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:*:*:{parts['password']}\n")
    script = _dump_host.commands()

    def begin(program: str, *words: str) -> subprocess.Popen[str]:
        path = tmp_path / program
        path.write_text(script[f"/usr/local/bin/{program}"].replace(_dump_host.LIBRARY, str(collections)))
        return subprocess.Popen(
            [sys.executable, str(path), *words, "--config", str(tmp_path / "dumps.json")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )

    return begin


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return how a command ended."""
    out, err = process.communicate(timeout=120)
    assert SECRET_KEY not in out + err
    return process.returncode, out, err


Begin = Callable[..., subprocess.Popen[str]]


def test_backup_db_and_restore_db(commands: Begin, shop: Database, s3: Server, tmp_path: Path) -> None:
    before = checksums(shop)
    code, out, err = ended(commands("backup-db"))
    assert (code, err) == (0, "")
    assert f"{shop.name} to offsite: backup_test_" in out
    assert "checked by size and checksum of the store" in out
    state = json.loads((tmp_path / "state" / "dumps.json").read_text())
    assert state["databases"][shop.name]["offsite"]["error"] is None
    name = state["databases"][shop.name]["offsite"]["last_good"]["name"]
    code, out, _err = ended(commands("backup-db", "--list", shop.name))
    assert (code, name in out) == (0, True)
    shop.rows("DELETE FROM sales.items")
    code, out, err = ended(commands("restore-db", name))
    assert (code, out) == (2, "")
    assert f"give confirm={shop.name} to restore over it" in err
    code, out, err = ended(commands("restore-db", "latest", "--of", shop.name, "--confirm", shop.name))
    assert (code, err) == (0, "")
    assert "the catalog is that of the dump\n" in out
    assert "what was there before is kept as " in out
    assert "public.alembic_version: 003_events\n" in out
    assert checksums(shop) == before
    toc = f"s3://dumps/lab/{shop.name}/{name}/toc.dat.enc"
    code, out, err = ended(commands("restore-db", toc, "--into", f"{shop.name}_copy", "--table", "public.customers"))
    assert (code, err) == (0, "")
    assert checksums(Database(f"{shop.name}_copy")) == {"public.customers": before["public.customers"]}
    assert [key for key in s3.held() if "pgsteward-write-check" in key] == []


def test_an_upload_that_was_killed_is_taken_up_by_the_next_run(
    run: Run, commands: Begin, shop: Database, s3: Server, key_file: str, tmp_path: Path
) -> None:
    enlarge(shop, 100)
    store = s3.store(encryption_key_file=key_file)
    process = commands("backup-db")
    wait_for(lambda: uploads(store, shop.name), 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert run("pg_dump_info", store=store, database=shop.name).result["dumps"] == []
    [staged] = (tmp_path / "state" / "staging" / shop.name).iterdir()
    code, out, err = ended(commands("backup-db"))
    assert (code, err) == (0, "")
    assert f"{shop.name}: {staged.name}, which an earlier run had staged:\n" in out
    info = run("pg_dump_info", store=store, database=shop.name, verify=True)
    assert info.result["dumps"][0]["name"] == staged.name
    assert (len(info.result["dumps"]), info.result["damaged"], info.result["unfinished"]) == (2, [], [])
    assert uploads(store, shop.name) == []
    assert not list((tmp_path / "state" / "staging").glob("*/backup_*"))
    assert not restore(run, shop, store, name=staged.name, database=f"{shop.name}_copy", tables=["public.much"]).failed


def test_a_store_that_is_away_fails_the_run_and_not_the_other_store(
    run: Run, shop: Database, tmp_path: Path, collections: Path
) -> None:
    with s3_server.serve(tmp_path) as server:
        far = server.store()
    near = {"path": str(tmp_path / "near")}
    code = (
        "import json, sys; from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump, _dump_target, _connection;"
        " from pathlib import Path; given = json.load(sys.stdin);"
        " place = _connection.place_from_params(given['login']);"
        " request = _dump.Request(place, 'test', 'here', Path(given['staging']));"
        " print(json.dumps([one.as_return() for one in _dump.take(request, [_dump_target.target_of(s) for s in given['stores']])]))"
    )
    given = {"login": shop.login, "staging": str(tmp_path / "stage"), "stores": [far, near]}
    ran = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(given), capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(collections)},
    )  # fmt: skip
    outcomes = {outcome["store"]: outcome["error"] for outcome in json.loads(ran.stdout)}
    assert outcomes[near["path"]] is None
    assert "does not answer: check endpoint" in outcomes["s3://dumps/lab"]
    assert len(run("pg_dump_info", store=near).result["dumps"]) == 1


def test_from_a_standby(run: Run, tmp_path: Path) -> None:
    with pair(support.LOCAL_MAJOR) as (primary, standby):
        with connect(replace(primary, database="postgres"), "test") as connection:
            connection.execute("CREATE TABLE public.t AS SELECT n FROM generate_series(1, 1000) n")
            connection.execute("CREATE UNLOGGED TABLE public.u AS SELECT 1 AS x")
        caught_up(primary, standby)
        store = {"path": str(tmp_path / "dumps")}
        login = {
            "login_unix_socket": standby.host,
            "login_port": standby.port,
            "login_user": standby.user,
            "login_password": standby.password,
        }
        ran = run("pg_dump", **login, login_db="postgres", environment="test", store=store)
        assert not ran.failed, ran.text
        assert ran.result["standby"]
        assert ran.result["manifest"]["rows"] == {"public.t": 1000}
        assert "taken from a standby: the rows of 1 unlogged tables are not in it" in ran.result["notes"]
        ran = run("pg_restore", **login, store=store, database="copy")
        assert "is a standby, which takes no writes: give the address of the primary" in ran.msg
        ran = run("pg_restore", **{**login, "login_port": primary.port}, store=store, database="copy")
        assert not ran.failed, ran.text
        assert ran.result["rows"]["found"] == 1000
