"""The files of a pooler as texts, what is wrong with inputs, and what a version lacks."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbouncer as pgbouncer
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbouncer_findings as judged
from ansible_collections.pgsteward.postgres.plugins.module_utils import _scram
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

SHOP: list[dict[str, Any]] = [{"name": "shop"}]
GIVEN: dict[str, Any] = {
    "databases": SHOP,
    "primary": "10.0.0.1",
    "standbys": [],
    "server_port": 5432,
    "server_connections": 90,
    "poolers": 1,
    "listen_addresses": ["127.0.0.1"],
    "port": 6432,
    "client_addresses": ["10.0.0.0/8", "fd00::1"],
    "max_client_conn": 1000,
    "settings": {},
    "lookup_user": "pgbouncer_lookup",
    "lookup_password": "a secret",
    "operations_user": "pooler_operations",
    "operations_password": "another",
    "operations_addresses": ["10.0.0.9"],
    "directory": "/etc/pgbouncer",
    "socket_directory": "/run/pgbouncer",
    "certificate_file": "/c",
    "key_file": "/k",
    "server_ca_file": "/a",
}


@pytest.mark.parametrize(
    ("databases", "connections", "poolers", "pools", "limits"),
    [
        (SHOP, 90, 1, [20, 20], [45, 45]),
        (SHOP, 90, 2, [18, 18], [22, 22]),
        (SHOP, 4, 1, [2, 2], [2, 2]),
        ([{"name": "shop", "pool_size": 20}], 90, 1, [20, 20], [25, 65]),
        ([{"name": "shop", "pool_size": 20, "standby_pool_size": 4}], 30, 1, [20, 4], [25, 5]),
        ([{"name": f"shop{number}"} for number in range(5)], 90, 2, [4] * 10, [4] * 10),
    ],
)
def test_pools(
    databases: list[dict[str, Any]], connections: int, poolers: int, pools: list[int], limits: list[int]
) -> None:
    listed = pgbouncer.entries(databases, connections, poolers)
    assert [entry.pool for entry in listed] == pools
    assert [entry.limit for entry in listed] == limits
    assert poolers * sum(entry.limit for entry in listed) <= connections
    assert all(entry.pool <= entry.limit for entry in listed)


@pytest.mark.parametrize(
    ("databases", "connections", "poolers", "need"),
    [(SHOP, 3, 1, 4), (SHOP, 90, 40, 160), ([{"name": "shop", "pool_size": 100}], 90, 1, 107)],
)
def test_pools_that_the_server_cannot_hold(
    databases: list[dict[str, Any]], connections: int, poolers: int, need: int
) -> None:
    with pytest.raises(StewardError, match=rf"{connections} connections are too few .* need {need}: raise"):
        pgbouncer.entries(databases, connections, poolers)
    assert pgbouncer.entries(databases, need, poolers)


@pytest.mark.parametrize(
    ("standbys", "version", "host"),
    [
        ([], "1.26.1", "10.0.0.1"),
        (["10.0.0.2"], "1.18.0", "10.0.0.2"),
        (["10.0.0.2", "10.0.0.3"], "1.24.1", "10.0.0.2"),
        (["10.0.0.2", "10.0.0.3"], "1.25.0", "10.0.0.2,10.0.0.3"),
    ],
)
def test_entries_lead_to_the_primary_and_to_the_standbys(standbys: list[str], version: str, host: str) -> None:
    text = pgbouncer.databases_ini(pgbouncer.entries(SHOP, 90, 1), "10.0.0.1", standbys, 5433, "looker", version)
    rest = "port=5433 dbname=shop auth_user=looker pool_mode=transaction pool_size=20 max_db_connections=45"
    assert text.splitlines()[1:] == ["[databases]", f"shop = host=10.0.0.1 {rest}", f"shop_ro = host={host} {rest}"]


def test_names_that_need_quotes() -> None:
    listed = pgbouncer.entries([{"name": 'it\'s a "shop"', "standby_name": "r"}], 90, 1)
    text = pgbouncer.databases_ini(listed, "p", [], 5432, "looker", "1.26.1")
    assert text.splitlines()[2].startswith('"it\'s a ""shop""" = host=p port=5432 dbname=\'it\'\'s a "shop"\' ')
    assert '"it\'s a ""shop""","r" all' in pgbouncer.hba(listed, ["10.0.0.0/8"], "ops", [], "looker")


def test_settings_that_a_version_does_not_know_are_left_out() -> None:
    settings = pgbouncer.plan(GIVEN)["settings"]
    assert "max_prepared_statements = 200\n" in pgbouncer.pgbouncer_ini(settings, "/etc/pgbouncer", "1.21.0")
    assert "max_prepared_statements" not in pgbouncer.pgbouncer_ini(settings, "/etc/pgbouncer", "1.20.1")
    assert pgbouncer.pgbouncer_ini(settings, "/d").endswith("\n%include /d/databases.ini\n")


def test_settings_of_the_operator() -> None:
    own = {"verbose": 1, "tcp_keepalive": False, "server_login_retry": None, "ignore_startup_parameters": "search_path"}
    text = pgbouncer.pgbouncer_ini(pgbouncer.plan({**GIVEN, "settings": own})["settings"], "/etc/pgbouncer")
    assert "verbose = 1\n" in text
    assert "tcp_keepalive = 0\n" in text
    assert "server_login_retry" not in text
    # The blanks keep PgBouncer 1.20 to 1.26.0 from spinning.
    assert "ignore_startup_parameters = extra_float_digits, options, search_path\n" in text


def test_no_account_looks_up_passwords_globally() -> None:
    assert "auth_user" not in pgbouncer.plan(GIVEN)["settings"]


def test_rules_for_clients() -> None:
    assert pgbouncer.plan(GIVEN)["hba"].splitlines()[1:] == [
        'hostssl pgbouncer "pooler_operations" 10.0.0.9/32 scram-sha-256',
        "host pgbouncer all 0.0.0.0/0 reject",
        "host pgbouncer all ::/0 reject",
        'host all "pooler_operations" 0.0.0.0/0 reject',
        'host all "pooler_operations" ::/0 reject',
        'host all "pgbouncer_lookup" 0.0.0.0/0 reject',
        'host all "pgbouncer_lookup" ::/0 reject',
        'hostssl "shop","shop_ro" all 10.0.0.0/8 scram-sha-256',
        'hostssl "shop","shop_ro" all fd00::1/128 scram-sha-256',
    ]


def test_accounts_are_read_as_they_were_written() -> None:
    accounts = {'a "b"': 'x""y', "c": "SCRAM-SHA-256$4096:c2FsdA==$a:b"}
    assert pgbouncer.read_userlist(pgbouncer.userlist(accounts)) == accounts
    assert pgbouncer.read_userlist(None) == {}


def test_a_verifier_is_that_of_its_password() -> None:
    made = pgbouncer.verifier("a secret", b"0123456789abcdef")
    assert _scram.matches("a secret", made)
    assert not _scram.matches("another", made)


def test_sound_inputs_have_no_findings() -> None:
    assert judged.findings(GIVEN) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"databases": []}, "pgbouncer_databases: name at least one database"),
        ({"databases": [{"nam": "shop"}]}, "pgbouncer_databases[0]: unknown key nam; did you mean name?"),
        ({"databases": [{"name": "pgbouncer"}]}, "that of PgBouncer's console"),
        ({"databases": [{"name": "a"}, {"name": "a_ro"}]}, "a_ro is the name of two entries"),
        ({"databases": [{"name": "a,b"}]}, "cannot be the name of an entry"),
        ({"databases": [{"name": "a", "pool_size": 0}]}, "pool_size 0 is too small"),
        ({"databases": [{"name": "a", "pool_mode": "some"}]}, "pool_mode some is none"),
        ({"primary": None}, "pgbouncer_primary: give the address"),
        ({"primary": "a b"}, "a b is no address or name of a host"),
        ({"port": 65536}, "pgbouncer_port: 65536 is not a port"),
        ({"max_client_conn": 0}, "pgbouncer_max_client_conn: 0 is too small"),
        ({"client_addresses": ["10.0.0.1/8"]}, "10.0.0.1/8 has bits of a host set"),
        ({"client_addresses": ["app.example.org"]}, "PgBouncer takes such as 10.20.0.0/16"),
        ({"lookup_password": None}, "pgbouncer_lookup_password: put the password of pgbouncer_lookup into the vault"),
        ({"lookup_password": "SCRAM-SHA-256$4096:a$b:c"}, "must be the password itself"),
        ({"operations_password": None}, "pgbouncer_operations_password: put the password"),
        ({"operations_user": "pgbouncer_lookup"}, "it must be another account"),
        ({"operations_user": 'x" all'}, "cannot be the name of this account"),
        ({"settings": {"auth_type": "trust"}}, "auth_type is the role's own"),
        ({"settings": {"max_client_con": 5}}, "no setting max_client_con; did you mean max_client_conn?"),
        ({"settings": {"server_check_query": "a\nb"}}, "has several lines"),
        ({"server_connections": 3}, "3 connections are too few for 2 entries on 1 pooler(s), which need 4"),
    ],
)
def test_findings(changes: dict[str, Any], line: str) -> None:
    found = judged.findings({**GIVEN, **changes})
    assert any(line in one for one in found), found
    assert not any("a secret" in one for one in found)


def test_a_pooler_may_do_without_an_operations_account() -> None:
    assert judged.findings({**GIVEN, "operations_password": None, "operations_addresses": []}) == []


@pytest.mark.parametrize(
    ("version", "package", "missing", "present"),
    [
        ("1.18.0", "1.18.0-1+deb12u1", {"CVE-2026-6664", "CVE-2026-107350"}, {"CVE-2025-2291", "CVE-2026-107349"}),
        ("1.24.1", "1.24.1-1+deb13u2", {"CVE-2026-107349", "CVE-2026-19888"}, {"CVE-2026-6664", "CVE-2025-12819"}),
        ("1.24.1", "1.24.1-1", {"CVE-2026-6664", "CVE-2025-12819"}, {"CVE-2025-2291"}),
        ("1.26.1", "", set(), {hole.name for hole in judged.HOLES}),
    ],
)
def test_holes(version: str, package: str, missing: set[str], present: set[str]) -> None:
    found = {hole.name for hole in judged.open_holes(version, package)}
    assert missing <= found
    assert not present & found
    assert len(judged.hole_lines(version, package)) == len(found)


@pytest.mark.parametrize(("version", "count"), [("1.18.0", 2), ("1.24.1", 1), ("1.26.1", 0)])
def test_limits(version: str, count: int) -> None:
    assert len(judged.limits(version)) == count
