"""Connection strings with all servers of a cluster, read back by the libraries that take them, and the sums of pools."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.filter import connection_string as plugin
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection_string import (
    ConnectionStringError,
    connection_string,
    pool_findings,
)
from asyncpg.connect_utils import SessionAttribute, _parse_connect_dsn_and_args
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql import asyncpg, psycopg

HOSTS = ("10.0.0.11", "10.0.0.12")
SIX = ("db1.example.org", "fd00::12")
NASTY = "a b:c@d/e?f=g&h'i\\j%k+l#m[n]ü"
CA = "/etc/my shop/ca's.crt"


def test_what_they_look_like() -> None:
    given: dict[str, Any] = {"hosts": HOSTS, "database": "shop", "user": "app", "sslrootcert": "/etc/ca.crt"}
    said = "target_session_attrs=read-write{}sslmode=verify-full{}sslrootcert=/etc/ca.crt{}connect_timeout=5"
    assert connection_string(**given) == (
        "postgresql://app@10.0.0.11:5432,10.0.0.12:5432/shop?" + said.format("&", "&", "&")
    )
    assert connection_string(**given, form="keywords") == (
        "host=10.0.0.11,10.0.0.12 port=5432 dbname=shop user=app " + said.format(" ", " ", " ")
    )
    assert connection_string(**given, form="sqlalchemy", driver="psycopg2") == (
        "postgresql+psycopg2://app@/shop?host=10.0.0.11,10.0.0.12&port=5432,5432&" + said.format("&", "&", "&")
    )
    assert connection_string(**given, form="sqlalchemy", driver="asyncpg", read_only=True) == (
        "postgresql+asyncpg://app@/shop?host=10.0.0.11,10.0.0.12&port=5432,5432&target_session_attrs=prefer-standby&ssl=verify-full"
    )
    assert connection_string(**given, driver="asyncpg") == (
        "postgresql://app@10.0.0.11:5432,10.0.0.12:5432/shop"
        "?target_session_attrs=read-write&sslmode=verify-full&sslrootcert=/etc/ca.crt"
    )


@pytest.mark.parametrize("hosts", [HOSTS, SIX, HOSTS[:1]], ids=["addresses", "IPv6", "single"])
@pytest.mark.parametrize("form", ["uri", "keywords"])
def test_libpq_reads_back_what_was_given(form: str, hosts: tuple[str, ...]) -> None:
    text = connection_string(
        hosts, NASTY, NASTY, NASTY, 6432, form, sslrootcert=CA, options={"application_name": NASTY}
    )
    read = conninfo_to_dict(text)
    ports = {"uri": ",".join("6432" for _host in hosts), "keywords": "6432"}
    assert read == {
        "host": ",".join(hosts),
        "port": ports[form],
        "dbname": NASTY,
        "user": NASTY,
        "password": NASTY,
        "target_session_attrs": "read-write",
        "sslmode": "verify-full",
        "sslrootcert": CA,
        "connect_timeout": "5",
        "application_name": NASTY,
    }


@pytest.mark.parametrize("hosts", [HOSTS, SIX, HOSTS[:1]], ids=["addresses", "IPv6", "single"])
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_sqlalchemy_reads_back_what_was_given(driver: str, hosts: tuple[str, ...]) -> None:
    text = connection_string(hosts, NASTY, NASTY, NASTY, 6432, "sqlalchemy", driver, read_only=True, sslrootcert=CA)
    url = make_url(text)
    assert NASTY not in repr(url)
    if driver == "psycopg":
        _, read = psycopg.dialect().create_connect_args(url)
        assert (read.pop("sslrootcert"), read.pop("connect_timeout"), read.pop("dbname")) == (CA, "5", NASTY)
        where: tuple[Any, Any] = (",".join(hosts), ",".join("6432" for _host in hosts))
        tls = {"sslmode": "verify-full"}
    else:
        _, read = asyncpg.dialect().create_connect_args(url)
        assert read.pop("database") == NASTY
        where = (list(hosts), [6432] * len(hosts)) if len(hosts) > 1 else (hosts[0], 6432)
        tls = {"ssl": "verify-full"}
    assert (read.pop("host"), read.pop("port")) in (where, (where[0], str(where[1])))
    assert read == {"user": NASTY, "password": NASTY, "target_session_attrs": "prefer-standby", **tls}


@pytest.mark.parametrize("hosts", [HOSTS, SIX, HOSTS[:1]], ids=["addresses", "IPv6", "single"])
def test_asyncpg_reads_back_what_was_given(hosts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", lambda _self, cafile: seen.append(str(cafile)))
    text = connection_string(hosts, NASTY, NASTY, NASTY, 6432, driver="asyncpg", sslrootcert=CA)
    names = "host port user password passfile database ssl service servicefile direct_tls server_settings"
    names += " target_session_attrs krbsrvname gsslib"
    addresses, read = _parse_connect_dsn_and_args(dsn=text, **dict.fromkeys(names.split()))
    assert addresses == [(host, 6432) for host in hosts]
    assert (read.user, read.password, read.database, read.server_settings) == (NASTY, NASTY, NASTY, None)
    assert (read.target_session_attrs, seen[0]) == (SessionAttribute.read_write, CA)
    assert read.ssl.check_hostname


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hosts": []}, "hosts is empty"),
        ({"hosts": "10.0.0.11"}, "hosts must be a list"),
        ({"hosts": ["10.0.0.11", "10.0.0.11"]}, "hosts has 10.0.0.11 twice"),
        (
            {"hosts": ["db1:5433"]},
            "hosts has 'db1:5433', which is no host name and no address; the port is given by port",
        ),
        ({"hosts": ["db1,db2"]}, "hosts has 'db1,db2'"),
        ({"hosts": ["/run/postgresql"]}, "hosts has '/run/postgresql'"),
        ({"hosts": ["10.0.0.11", None]}, "hosts has 'None'"),
        ({"port": 0}, "port 0 is no number from 1 to 65535"),
        ({"port": "5432,5433"}, "port '5432,5433' is no number"),
        ({"port": True}, "port True is no number"),
        ({"database": ""}, "database must be a text"),
        ({"user": "app\n"}, "user must be a text without control characters"),
        ({"password": "Geheimnis\x00"}, "password must be a text without control characters"),
        ({"form": "jdbc"}, "form jdbc is none of uri, keywords, sqlalchemy"),
        ({"driver": "pg8000"}, "driver pg8000 is none of psycopg, psycopg2, asyncpg"),
        ({"form": "keywords", "driver": "asyncpg"}, "asyncpg reads no keywords: write form=uri"),
        ({"options": {"sslmode": "prefer"}}, "options has sslmode, which the string says by itself"),
        ({"options": {"a&b": "c"}}, "options has 'a&b', which is no name of a parameter"),
        ({"options": {"passfile": ""}}, "options.passfile must be a text"),
    ],
)
def test_refused(changes: dict[str, Any], words: str) -> None:
    given = {"hosts": HOSTS, "database": "shop", "user": "app", **changes}
    with pytest.raises(ConnectionStringError) as caught:
        connection_string(**given)
    assert words in str(caught.value)
    assert "Geheimnis" not in str(caught.value)
    with pytest.raises(AnsibleFilterError):
        plugin.connection_string(**given)


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="unexpected keyword argument 'databse'"):
        plugin.connection_string(HOSTS, databse="shop", user="app")


def application(name: str = "powergym", **changes: Any) -> dict[str, Any]:
    """Return an application with the guides' pool, 10 and 20 more, in one process."""
    return {"name": name, "processes": 1, "pool_size": 10, "max_overflow": 20, **changes}


@pytest.mark.parametrize(
    ("applications", "limit", "poolers", "words"),
    [
        ([], 1000, 1, []),
        (
            [application(processes=8), application("pixcrawler", processes=4, pool_size=20, max_overflow=10)],
            1000,
            2,
            [],
        ),
        ([application(processes=33)], 1000, 1, []),
        (
            [application(processes=34)],
            1000,
            1,
            [
                "(powergym 1020), and there is room for 1000 (poolers: 1, max_client_conn: 1000): raise max_client_conn to 1020,"
            ],
        ),
        (
            [application(processes=24), application("shop", processes=40)],
            1000,
            2,
            [
                "(shop 1200, powergym 720), and there is room for 1000 when one of 2 poolers is lost: raise max_client_conn to 1920,"
            ],
        ),
        (
            [application(processes=50), application("b", processes=50)],
            1000,
            2,
            ["there is room for 2000 (poolers: 2"],
        ),
        ([application(processes=51)], 1000, 3, []),
        (
            [application(max_overflow=-1)],
            1000,
            1,
            ["powergym: pool_size 0 and max_overflow -1 mean a pool without a limit"],
        ),
        ([application(pool_size=0)], 1000, 1, ["powergym: pool_size 0"]),
        ([application(processes=0)], 1000, 1, ["powergym: processes must be a number, 1 or more"]),
        ([application(pool_size="ten")], 1000, 1, ["powergym: pool_size must be a number, 0 or more"]),
        ([{"pool_size": 10, "processes": 1}], 5, 1, ["applications can open 10 connections (applications[0] 10)"]),
        ([{"pool_size": 10}], 5, 1, ["applications[0]: processes must be a number"]),
        ([application(overflow=3)], 1000, 1, ["powergym: overflow is no key of an application"]),
    ],
)
def test_pools(applications: list[dict[str, Any]], limit: int, poolers: int, words: list[str]) -> None:
    found = pool_findings(applications, limit, poolers)
    assert len(found) == len(words), found
    for line, expected in zip(found, words, strict=True):
        assert expected in line
    assert plugin.pool_findings(applications, limit, poolers) == found
