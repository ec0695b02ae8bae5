"""The SQL around a restore: roles that are missing, and a database like the one that was dumped."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_globals as sql

GLOBALS = """--
-- PostgreSQL database cluster dump
--
SET default_transaction_read_only = off;

CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;
CREATE ROLE shop_app;
ALTER ROLE shop_app WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS;
CREATE ROLE "Shop ""Owner";
ALTER ROLE "Shop ""Owner" WITH NOSUPERUSER;
ALTER ROLE shop_app SET statement_timeout TO '30s';
GRANT "Shop ""Owner" TO shop_app WITH INHERIT TRUE GRANTED BY postgres;
GRANT pg_monitor TO shop_app GRANTED BY admin;
GRANT gone TO shop_app;
"""


@pytest.mark.parametrize(
    ("missing", "there", "lines"),
    [
        ((), {"postgres", "shop_app"}, []),
        (
            {"shop_app"},
            {"postgres", "pg_monitor", 'Shop "Owner'},
            [
                "CREATE ROLE shop_app;",
                "ALTER ROLE shop_app WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS;",
                "ALTER ROLE shop_app SET statement_timeout TO '30s';",
                'GRANT "Shop ""Owner" TO shop_app WITH INHERIT TRUE;',
                "GRANT pg_monitor TO shop_app;",
            ],
        ),
        (
            {'Shop "Owner'},
            {"postgres"},
            ['CREATE ROLE "Shop ""Owner";', 'ALTER ROLE "Shop ""Owner" WITH NOSUPERUSER;'],
        ),
    ],
)
def test_missing_roles(missing: set[str], there: set[str], lines: list[str]) -> None:
    assert sql.role_statements(GLOBALS, missing, there) == lines


def test_roles_in() -> None:
    assert sql.roles_in(GLOBALS) == ["postgres", "shop_app", 'Shop "Owner']


@pytest.mark.parametrize(
    ("properties", "major", "words"),
    [
        ({}, 17, ""),
        (
            {"encoding": "UTF8", "locale": {"provider": "libc", "collate": "C.UTF-8", "ctype": "C.UTF-8"}},
            17,
            " ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
        ),
        (
            {
                "encoding": "UTF8",
                "locale": {"provider": "icu", "collate": "C", "ctype": "C", "locale": "de-AT", "rules": "&a<b"},
            },
            17,
            " ENCODING 'UTF8' LOCALE_PROVIDER 'icu' LC_COLLATE 'C' LC_CTYPE 'C' ICU_LOCALE 'de-AT' ICU_RULES '&a<b'",
        ),
        (
            {"locale": {"provider": "builtin", "collate": "C", "ctype": "C", "locale": "C.UTF-8"}},
            17,
            " LOCALE_PROVIDER 'builtin' LC_COLLATE 'C' LC_CTYPE 'C' BUILTIN_LOCALE 'C.UTF-8'",
        ),
    ],
)
def test_create_database(properties: dict[str, Any], major: int, words: str) -> None:
    assert sql.create_database('a "b', properties, major) == f'CREATE DATABASE "a ""b" TEMPLATE template0{words}'


def done(what: str) -> str:
    return f"DO $steward$ BEGIN {what} END $steward$"


@pytest.mark.parametrize(
    ("properties", "owner", "statements"),
    [
        ({}, True, []),
        ({"owner": "shop_owner"}, True, ['ALTER DATABASE "shop" OWNER TO "shop_owner"']),
        ({"owner": "shop_owner"}, False, []),
        ({"owner": "nobody"}, True, []),
        (
            {"privileges": {"PUBLIC": ["CONNECT"], "shop_app": ["CONNECT", "TEMPORARY*"], "nobody": ["CONNECT"]}},
            True,
            [
                'REVOKE ALL ON DATABASE "shop" FROM PUBLIC',
                'GRANT CONNECT ON DATABASE "shop" TO PUBLIC',
                'GRANT CONNECT ON DATABASE "shop" TO "shop_app"',
                'GRANT TEMPORARY ON DATABASE "shop" TO "shop_app" WITH GRANT OPTION',
            ],
        ),
        (
            {"settings": {"search_path": '"$user", public', "hnsw.ef_search": "it's", "x.password": "(hidden)"}},
            False,
            [
                done(
                    'PERFORM pg_catalog.set_config(\'search_path\', \'"$user", public\', true); ALTER DATABASE "shop" SET "search_path" FROM CURRENT;'
                ),
                done(
                    "PERFORM pg_catalog.set_config('hnsw.ef_search', 'it''s', true); ALTER DATABASE \"shop\" SET \"hnsw\".\"ef_search\" FROM CURRENT;"
                ),
            ],
        ),
        (
            {"role_settings": {"shop_app": {"work_mem": "64MB"}, "nobody": {"work_mem": "1MB"}}},
            True,
            [
                done(
                    'PERFORM pg_catalog.set_config(\'work_mem\', \'64MB\', true); ALTER ROLE "shop_app" IN DATABASE "shop" SET "work_mem" FROM CURRENT;'
                )
            ],
        ),
        (
            {"role_settings": {"shop_app": {"role": "shop_owner"}}},
            True,
            ['ALTER ROLE "shop_app" IN DATABASE "shop" SET "role" = \'shop_owner\''],
        ),
        (
            {"connection_limit": 10, "comment": "the shop"},
            True,
            ['ALTER DATABASE "shop" CONNECTION LIMIT 10', "COMMENT ON DATABASE \"shop\" IS 'the shop'"],
        ),
    ],
)
def test_properties(properties: dict[str, Any], owner: bool, statements: list[str]) -> None:
    assert sql.property_statements("shop", properties, owner, {"shop_owner", "shop_app"}) == statements
