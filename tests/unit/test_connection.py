"""Places, URLs, arguments and masking, without a server."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from sqlalchemy.engine import make_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://app:pw@db1:5433/shop", Place("shop", "db1", 5433, "app", "pw")),
        ("postgres://app@db1/shop", Place("shop", "db1", None, "app")),
        ("postgresql+asyncpg://app:p%40s%25@db1/shop", Place("shop", "db1", None, "app", "p@s%", "asyncpg")),
        ("postgresql+psycopg://a%2Fb:x+y@[::1]:5432/shop", Place("shop", "::1", 5432, "a/b", "x+y", "psycopg")),
        ("postgresql:///shop", Place("shop")),
        ("postgresql://", Place(None)),
        (
            "postgresql://app@/shop?host=/run/postgresql&port=6000&sslmode=require",
            Place(
                "shop",
                "/run/postgresql",
                6000,
                "app",
                query=(("host", "/run/postgresql"), ("port", "6000"), ("sslmode", "require")),
            ),
        ),
        ("postgresql:///shop?host=a&host=b", Place("shop", "a,b", query=(("host", "a"), ("host", "b")))),
    ],
)
def test_parse_url(url: str, place: Place) -> None:
    assert _connection.parse_url(url) == place


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense hunter2", "no database URL"),
        ("mysql://root:hunter2@db/shop", "'mysql'"),
        ("postgresql://app:hunter2@x@db/shop", "%40"),
        ("postgresql://app:hunter2@db:port/shop", "no number"),
        ("", "no database URL"),
    ],
)
def test_parse_url_refuses_without_telling_the_password(url: str, message: str) -> None:
    with pytest.raises(StewardError, match=message) as caught:
        _connection.parse_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        Place("shop", "db1", 5433, "app", "pw"),
        Place("shop", "db1", None, "a@b", "p@s: %w/o#rd?&+é"),
        Place("shop", "::1", 5432, "app", "pw", "psycopg"),
        Place("shop", None, None, None),
    ],
)
def test_rendered_urls_mean_the_same_to_sqlalchemy_and_to_us(place: Place) -> None:
    url = _connection.render_url(place)
    seen = make_url(url)
    assert (seen.database, seen.host, seen.port, seen.username, seen.password) == (
        place.database,
        place.host,
        place.port,
        place.user,
        place.password,
    )
    assert _connection.parse_url(url) == place


def test_a_socket_directory_travels_in_the_query() -> None:
    url = _connection.render_url(Place("shop", "/run/postgresql", 6000, "app", "pw"))
    assert make_url(url).query["host"] == "/run/postgresql"
    parsed = _connection.parse_url(url)
    assert (parsed.host, parsed.port, parsed.password) == ("/run/postgresql", 6000, "pw")


def test_several_hosts_travel_in_the_query_each_with_its_port() -> None:
    url = _connection.render_url(Place("shop", "db1,db2", 6000, "app", "pw"))
    assert make_url(url).query == {"host": "db1,db2", "port": "6000,6000"}
    parsed = _connection.parse_url(url)
    assert (parsed.host, parsed.port, parsed.password) == ("db1,db2", 6000, "pw")


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"url": "postgresql://app@db1/shop"}, Place("shop", "db1", None, "app")),
        ({"login_db": "shop"}, Place("shop")),
        ({"login_db": "shop", "login_host": "db1", "login_unix_socket": "/run"}, Place("shop", "/run")),
        (
            {"login_db": "shop", "login_host": "db1,db2"},
            Place("shop", "db1,db2", query=(("target_session_attrs", "primary"),)),
        ),
        (
            {"login_db": "shop", "login_user": "", "ssl_mode": "verify-full", "ca_cert": "/ca.pem"},
            Place("shop", query=(("sslmode", "verify-full"), ("sslrootcert", "/ca.pem"))),
        ),
    ],
)
def test_place_from_params(params: dict[str, str], place: Place) -> None:
    assert _connection.place_from_params(params) == place


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql:///shop", {"options": "-c search_path=pg_catalog,pg_temp", "dbname": "shop"}),
        (
            "postgresql:///shop?options=-c%20role%3Downer",
            {"options": "-c role=owner -c search_path=pg_catalog,pg_temp", "dbname": "shop"},
        ),
        ("postgresql+asyncpg://db1/shop?ssl=require", {"sslmode": "require", "host": "db1"}),
        ("postgresql+asyncpg://db1/shop?ssl=true&prepared_statement_cache_size=0", {"sslmode": "require"}),
        ("postgresql://db1/shop?connect_timeout=3", {"connect_timeout": "3"}),
    ],
)
def test_connection_arguments(url: str, expected: dict[str, str]) -> None:
    arguments = _connection.connection_arguments(_connection.parse_url(url), "test")
    assert {key: arguments[key] for key in expected} == expected
    assert arguments["application_name"] == "test"
    assert arguments["options"].endswith(_connection.PINNED_OPTIONS)
    assert "prepared_statement_cache_size" not in arguments


PREFIX = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("driver_message", "expected"),
    [
        (
            f'{PREFIX}FATAL:  password authentication failed for user "app"\n{PREFIX}FATAL:  no pg_hba.conf entry for …',
            'password authentication failed for user "app": check the user and the password',
        ),
        (f"{PREFIX}FATAL:  no pg_hba.conf entry for host", "no pg_hba.conf entry for host: add a pg_hba rule"),
        (f"{PREFIX}Connection refused\n\tIs the server running?", "Connection refused: check that the server runs"),
        ("[Errno -2] Name or service not known", "Name or service not known: check the host name"),
        (f'{PREFIX}FATAL:  database "x" does not exist', 'database "x" does not exist: create the database'),
        (f"{PREFIX}FATAL:  das System startet gerade", "das System startet gerade: check url or login_*"),
        (f"{PREFIX}FATAL:  unsupported startup parameter: options", "not that of a connection pooler"),
        ("", "no reason given: check url or login_*"),
    ],
)
def test_login_message(driver_message: str, expected: str) -> None:
    message = _connection.login_message(Place("shop", "db1", None, "app", "hunter2"), driver_message)
    assert message.startswith("cannot connect to host db1 port 5432 database shop user app: ")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("standby", "pooled", "message"), [(True, False, "is a standby"), (False, True, "is a connection pooler")]
)
def test_refuse_unwritable(standby: bool, pooled: bool, message: str) -> None:
    with pytest.raises(StewardError, match=message):
        _connection.refuse_unwritable(Place("shop"), standby, pooled)


def test_a_primary_is_not_refused() -> None:
    _connection.refuse_unwritable(Place("shop"), standby=False, pooled=False)


@pytest.mark.parametrize(
    "text",
    [
        "it is p@s%w d!",
        "postgresql://app:p%40s%25w%20d%21@db1/shop",
        "postgresql://app:p%40s%25w d%21@db1/shop",
        "p%40s%25w+d%21",
        "p%%40s%%25w%%20d%%21",
    ],
)
def test_mask_knows_every_spelling(text: str) -> None:
    masked = _connection.mask(text, _connection.secret_forms("p@s%w d!"))
    assert _connection.MASK in masked
    assert "s%w" not in masked
    assert "40s" not in masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mysql://root:toor@db/shop", "mysql://root:********@db/shop"),
        ("host=db1 password=toor dbname=x", "host=db1 password=******** dbname=x"),
        ("{'db_password': 'to or', 'x': 1}", "{'db_password': ********, 'x': 1}"),
        ("PGPASSWORD=toor", "PGPASSWORD=********"),
        ("password authentication failed for user", "password authentication failed for user"),
        ("http://db1:5432/path@x", "http://db1:********@x"),
    ],
)
def test_mask_sees_passwords_of_others(text: str, masked: str) -> None:
    assert _connection.mask(text, ()) == masked


def test_a_place_never_shows_its_password() -> None:
    place = Place("shop", "db1", 5432, "app", "hunter2")
    assert "hunter2" not in f"{place} {place!r}"
