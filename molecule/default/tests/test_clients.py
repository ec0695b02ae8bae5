"""The recipes of docs/clients.md, run as they stand there, behind PgBouncer 1.18, 1.24 and 1.26, and what it forbids, shown."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import asyncpg
import lab
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

sys.path.insert(0, str(lab.ROOT / ".cache" / "collections"))

from ansible_collections.pgsteward.postgres.plugins.module_utils._connection_string import connection_string

PORT = 6432
DATABASE, USER = "powergym", "powergym_app"
TEXT = (lab.ROOT / "docs" / "clients.md").read_text()
RECIPES = dict(re.findall(r"^```python (\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
WITHOUT_PREPARED = "debian12"  # PgBouncer 1.18
QUERY = "SELECT count(*) FROM clients WHERE dni_number = {}"
Two = tuple[psycopg.Connection[Any], psycopg.Connection[Any]]
OFTEN = 8  # psycopg prepares a statement when it meets it for the sixth time
UNPREPARED = (
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)


def end_sessions(server: str) -> None:
    """End the application's server connections, and with them what was left on them."""
    query = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename"
    lab.psql("postgres", f"{query} = '{USER}'", server)


@pytest.fixture(scope="module", params=lab.few(lab.hosts("postgres"), "db12", "db14"))
def server(request: pytest.FixtureRequest) -> str:
    """Return the name of one server after the other; the version without prepared statements and the newest are enough for CI."""
    return str(request.param)


@pytest.fixture(autouse=True)
def fresh(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test server connections that nobody left anything on, and its password by the environment."""
    end_sessions(server)
    monkeypatch.setenv("PGPASSWORD", lab.password(USER))


def url(server: str, database: str = DATABASE) -> str:
    """Return the URL of an entry of the host's pooler, as docs/clients.md has it."""
    return f"postgresql://{USER}@{lab.address(server)}:{PORT}/{database}?sslmode=verify-full&sslrootcert={lab.authority(server)}"


def recipe(name: str, server: str) -> dict[str, Any]:
    """Run a recipe; return what it defines."""
    given = {
        "url": url(server),
        # SQLAlchemy hands asyncpg a password of its own or none; the driver then asks the environment.
        "dialect_url": f"postgresql+asyncpg://{USER}@{lab.address(server)}:{PORT}/{DATABASE}",
        "ca": str(lab.authority(server)),
    }
    exec(compile(RECIPES[name], name, "exec"), given)  # noqa: S102 - our own documentation
    return given


# Two clients take turns so that the first meets another server connection than the one it has prepared its statement on: the pooler hands
# out the connection that was used last. Each returns the number of server connections seen.


def torn_psycopg(connect: Callable[[], psycopg.Connection[Any]]) -> int:
    with connect() as first, connect() as second:
        seen = set()
        for _ in range(OFTEN):
            with first.transaction():
                first.execute(QUERY.format("%s"), ["1"])
                seen |= set(first.execute("SELECT pg_backend_pid()").fetchall())
        with second.transaction():
            second.execute("SELECT 1")
            with first.transaction():
                first.execute(QUERY.format("%s"), ["1"])
                seen |= set(first.execute("SELECT pg_backend_pid()").fetchall())
        with second.transaction():
            for _ in range(OFTEN):
                second.execute(QUERY.format("%s"), ["1"])
    return len(seen)


def torn_sqlalchemy(engine: sa.Engine) -> int:
    query = sa.text(QUERY.format(":number"))
    with engine.connect() as first, engine.connect() as second:
        seen = set()
        for _ in range(OFTEN):
            with first.begin():
                first.execute(query, {"number": "1"})
                seen.add(first.scalar(sa.text("SELECT pg_backend_pid()")))
        with second.begin():
            second.execute(sa.text("SELECT 1"))
            with first.begin():
                first.execute(query, {"number": "1"})
                seen.add(first.scalar(sa.text("SELECT pg_backend_pid()")))
        with second.begin():
            for _ in range(OFTEN):
                second.execute(query, {"number": "1"})
    engine.dispose()
    return len(seen)


async def torn_asyncpg(open_pool: Callable[[], Any]) -> int:
    pool = await open_pool()
    try:
        async with pool.acquire() as first, pool.acquire() as second:
            seen = set()
            for _ in range(OFTEN):
                await first.fetch(QUERY.format("$1"), "1")
                seen.add(await first.fetchval("SELECT pg_backend_pid()"))
            async with second.transaction():
                await second.fetchval("SELECT 1")
                await first.fetch(QUERY.format("$1"), "1")
                seen.add(await first.fetchval("SELECT pg_backend_pid()"))
            async with second.transaction():
                for _ in range(OFTEN):
                    await second.fetch(QUERY.format("$1"), "1")
            # Types of the database's own: asyncpg has to ask for them in between.
            await first.fetchval("SELECT array_agg(role) FROM users")
    finally:
        pool.terminate()
    return len(seen)


async def torn_async_sqlalchemy(engine: AsyncEngine) -> int:
    query = sa.text(QUERY.format(":number"))

    async def ask(connection: AsyncConnection, times: int, seen: set[Any]) -> None:
        for _ in range(times):
            async with connection.begin():
                await connection.execute(query, {"number": "1"})
                seen.add(await connection.scalar(sa.text("SELECT pg_backend_pid()")))

    try:
        async with engine.connect() as first, engine.connect() as second:
            seen: set[Any] = set()
            await ask(first, OFTEN, seen)
            async with second.begin():
                await second.execute(sa.text("SELECT 1"))
                await ask(first, 1, seen)
            await ask(second, OFTEN, set())
    finally:
        await engine.dispose()
    return len(seen)


def run_recipe(name: str, server: str) -> int:
    """Run a recipe and two clients by it; return the number of server connections that the first has met."""
    made = recipe(name, server)
    if "connect" in made:
        return torn_psycopg(made["connect"])
    if "open_pool" in made:
        return asyncio.run(torn_asyncpg(made["open_pool"]))
    if isinstance(made["engine"], AsyncEngine):
        return asyncio.run(torn_async_sqlalchemy(made["engine"]))
    return torn_sqlalchemy(made["engine"])


def prepares(server: str) -> bool:
    """Tell whether the host's PgBouncer follows prepared statements."""
    return lab.hosts("postgres")[server]["lab_image"] != WITHOUT_PREPARED


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith("_1_18")])
def test_what_serves_the_oldest_serves_all(server: str, name: str) -> None:
    assert run_recipe(name, server) == 2


@pytest.mark.parametrize("name", [name.removesuffix("_1_18") for name in RECIPES if name.endswith("_1_18")])
def test_the_drivers_defaults_need_prepared_statements(server: str, name: str) -> None:
    if prepares(server):
        assert run_recipe(name, server) == 2
        return
    with pytest.raises((*UNPREPARED, sa.exc.DBAPIError)) as caught:
        run_recipe(name, server)
    assert re.search(r'prepared statement ".*" (does not exist|already exists)', str(caught.value))


def test_psycopg_asynchronously(server: str) -> None:
    """SQLAlchemy's asyncio takes the recipe of the synchronous engine; so does psycopg's own."""
    arguments: dict[str, Any] = {} if prepares(server) else {"prepare_threshold": None}
    engine = create_async_engine(url(server).replace("://", "+psycopg://"), connect_args=arguments)
    assert asyncio.run(torn_async_sqlalchemy(engine)) == 2

    async def ask() -> Any:
        async with await psycopg.AsyncConnection.connect(url(server), **arguments) as connection:
            return await (await connection.execute("SELECT 1")).fetchone()

    assert asyncio.run(ask()) == (1,)


def test_the_reading_entry(server: str) -> None:
    with psycopg.connect(url(server, f"{DATABASE}_ro"), prepare_threshold=None) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (DATABASE,)


# What transaction pooling forbids


@pytest.fixture
def two(server: str) -> Iterator[Two]:
    """Two clients without prepared statements; what they leave on server connections goes with these."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(psycopg.connect(url(server), autocommit=True, prepare_threshold=None)) for _ in range(2)
        ]
        yield connections[0], connections[1]
    end_sessions(server)


def value(connection: psycopg.Connection[Any], query: str) -> Any:
    """Return the one value of a query."""
    row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return row and row[0]


def test_a_setting_reaches_a_stranger(two: Two) -> None:
    client, stranger = two
    client.execute("SET statement_timeout = '7s'")
    with stranger.transaction():
        assert value(stranger, "SHOW statement_timeout") == "7s"
        assert value(client, "SHOW statement_timeout") == "0"


def test_a_local_setting_does_not(two: Two) -> None:
    client, stranger = two
    with client.transaction():
        client.execute("SET LOCAL statement_timeout = '7s'")
        assert value(client, "SHOW statement_timeout") == "7s"
    with stranger.transaction():
        assert value(stranger, "SHOW statement_timeout") == "0"


def test_a_time_zone_stays_with_its_client(two: Two) -> None:
    client, stranger = two
    client.execute("SET TimeZone = 'Asia/Tokyo'")
    with stranger.transaction():
        assert value(stranger, "SHOW TimeZone") != "Asia/Tokyo"
        assert value(client, "SHOW TimeZone") == "Asia/Tokyo"


def test_options_of_the_connection_string_have_no_effect(server: str) -> None:
    options = "-c statement_timeout=7s"
    with psycopg.connect(url(server), options=options, application_name="shop", prepare_threshold=None) as connection:
        assert value(connection, "SHOW statement_timeout") == "0"
        assert value(connection, "SHOW application_name") == "shop"


def test_a_session_lock_locks_nobody_out(two: Two) -> None:
    client, stranger = two
    client.execute("SELECT pg_advisory_lock(7)")
    with stranger.transaction():
        assert value(stranger, "SELECT pg_try_advisory_lock(7)") is True
        assert value(client, "SELECT pg_advisory_unlock(7)") is False


def test_a_lock_of_the_transaction_does(two: Two) -> None:
    client, stranger = two
    with client.transaction():
        client.execute("SELECT pg_advisory_xact_lock(7)")
        assert value(stranger, "SELECT pg_try_advisory_xact_lock(7)") is False


def test_nobody_is_notified(two: Two) -> None:
    client, stranger = two
    client.execute("LISTEN news")
    stranger.execute("NOTIFY news")
    assert list(client.notifies(timeout=0.3, stop_after=1)) == []


@pytest.mark.parametrize(
    ("left", "wanted", "error"),
    [
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "FETCH c", psycopg.errors.InvalidCursorName),
        ("PREPARE p AS SELECT 1", "EXECUTE p", psycopg.errors.InvalidSqlStatementName),
    ],
)
def test_what_is_left_for_later_is_gone(two: Two, left: str, wanted: str, error: type[psycopg.Error]) -> None:
    client, stranger = two
    with client.transaction():
        client.execute(left)  # type: ignore[call-overload]
    with stranger.transaction():
        stranger.execute("SELECT 1")
        with pytest.raises(error):
            client.execute(wanted)  # type: ignore[call-overload]


def test_asyncpg_may_not_bring_settings(server: str) -> None:
    async def connect(**settings: str) -> str:
        connection = await asyncpg.connect(url(server), statement_cache_size=0, server_settings=settings)
        try:
            return str(await connection.fetchval("SHOW application_name"))
        finally:
            connection.terminate()

    assert asyncio.run(connect(application_name="shop")) == "shop"
    with pytest.raises(asyncpg.ProtocolViolationError, match="unsupported startup parameter: jit"):
        asyncio.run(connect(jit="off"))


# Lost connections


def cut(descriptor: int) -> None:
    """Shut a client's socket, as a pooler that ends does."""
    with socket.socket(fileno=os.dup(descriptor)) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def test_a_ping_replaces_a_dead_connection(server: str) -> None:
    made = recipe("sqlalchemy_1_18", server)
    careless = sa.create_engine(made["engine"].url, connect_args={"prepare_threshold": None})
    for engine in (made["engine"], careless):
        with engine.connect() as connection:
            cut(connection.connection.driver_connection.fileno())
    with made["engine"].connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    with pytest.raises(sa.exc.OperationalError), careless.connect() as connection:
        connection.scalar(sa.text("SELECT 1"))


def test_a_ping_replaces_a_dead_connection_of_asyncpg(server: str) -> None:
    engine = recipe("sqlalchemy_asyncpg_1_18", server)["engine"]

    async def ask() -> Any:
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            raw.driver_connection.terminate()
        async with engine.connect() as connection:
            answer = await connection.scalar(sa.text("SELECT 1"))
        await engine.dispose()
        return answer

    assert asyncio.run(ask()) == 1


def test_the_pooler_replaces_idle_server_connections(server: str) -> None:
    with psycopg.connect(url(server), autocommit=True, prepare_threshold=None) as connection:
        before = value(connection, "SELECT pg_backend_pid()")
        lab.psql("postgres", f"SELECT pg_terminate_backend({before}, 5000)", server)
        assert value(connection, "SELECT pg_backend_pid()") != before


@pytest.mark.parametrize("name", ["sqlalchemy", "sqlalchemy_1_18"])
def test_work_is_done_again_after_a_lost_connection(server: str, name: str) -> None:
    engine, retry = recipe(name, server)["engine"], recipe("retry", server)
    runs = []

    def work(connection: sa.Connection) -> int:
        runs.append(1)
        if len(runs) == 1:
            connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return int(connection.scalar(sa.text("SELECT 42")) or 0)

    assert (retry["in_transaction"](engine, work), len(runs)) == (42, 2)


def test_work_that_is_wrong_is_not_done_again(server: str) -> None:
    engine, retry = recipe("sqlalchemy_1_18", server)["engine"], recipe("retry", server)
    runs = []

    def work(connection: sa.Connection) -> None:
        runs.append(1)
        connection.execute(sa.text("SELECT 1/0"))

    with pytest.raises(sa.exc.DataError, match="division by zero"):
        retry["in_transaction"](engine, work)
    assert len(runs) == 1


def test_a_write_on_a_standby_is_tried_again(server: str) -> None:
    """A read-only transaction gives the error of a standby."""
    engine, retry = recipe("sqlalchemy_1_18", server)["engine"], recipe("retry", server)
    runs = []

    def work(connection: sa.Connection) -> None:
        runs.append(1)
        if len(runs) == 1:
            connection.execute(sa.text("SET TRANSACTION READ ONLY"))
            connection.execute(sa.text("DELETE FROM plans WHERE false"))

    retry["in_transaction"](engine, work)
    assert len(runs) == 2


# Without a pooler: all servers in one string. Nothing listens on the first of them, as on a host whose server is down.

ASK = "SELECT host(inet_server_addr()), pg_is_in_recovery()"


@pytest.fixture
def cluster(server: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What names a cluster whose first server is down."""
    monkeypatch.setenv("PGSSLROOTCERT", str(lab.authority(server)))  # for asyncpg through SQLAlchemy
    return {
        "hosts": ["127.0.0.1", lab.address(server)],
        "database": DATABASE,
        "user": USER,
        "sslrootcert": str(lab.authority(server)),
    }


@pytest.mark.parametrize("read_only", [False, True], ids=["read-write", "prefer-standby"])
@pytest.mark.parametrize("reader", ["psycopg", "keywords", "asyncpg", "sqlalchemy", "sqlalchemy+asyncpg"])
def test_a_string_of_all_servers(server: str, cluster: dict[str, Any], reader: str, read_only: bool) -> None:
    def text(**how: Any) -> str:
        return connection_string(**cluster, read_only=read_only, **how)

    async def by_asyncpg() -> Any:
        connection = await asyncpg.connect(text(driver="asyncpg"))
        try:
            return tuple(await connection.fetchrow(ASK))
        finally:
            await connection.close()

    async def by_sqlalchemy() -> Any:
        engine = create_async_engine(text(form="sqlalchemy", driver="asyncpg"))
        async with engine.connect() as connection:
            answer = tuple((await connection.execute(sa.text(ASK))).one())
        await engine.dispose()
        return answer

    if reader == "sqlalchemy":
        with sa.create_engine(text(form="sqlalchemy")).connect() as connection:
            answer = tuple(connection.execute(sa.text(ASK)).one())
    elif reader == "sqlalchemy+asyncpg":
        answer = asyncio.run(by_sqlalchemy())
    elif reader == "asyncpg":
        answer = asyncio.run(by_asyncpg())
    else:
        with psycopg.connect(text(form="keywords" if reader == "keywords" else "uri")) as connection:
            answer = connection.execute(ASK).fetchone()
    assert answer == (lab.address(server), False)


def test_asyncpg_with_a_limit_for_each_host(server: str, cluster: dict[str, Any]) -> None:
    urls = [connection_string(**{**cluster, "hosts": [host]}, driver="asyncpg") for host in cluster["hosts"]]

    async def ask() -> Any:
        connection = await recipe("asyncpg_hosts", server)["connect_first"](urls)
        try:
            return await connection.fetchval("SELECT host(inet_server_addr())")
        finally:
            await connection.close()

    assert asyncio.run(ask()) == lab.address(server)
