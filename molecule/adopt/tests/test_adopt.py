"""A server made by hand: a dry run says all that would change, the first run changes that and restarts nothing. The tests run in their order."""

from __future__ import annotations

import re

import lab
import plays
import psycopg
import pytest

SERVER, CONFIG = "adopt1", "/etc/postgresql/17/main"
STATE = "SELECT pg_postmaster_start_time(), (SELECT count(*) FROM pg_database), (SELECT oid FROM pg_database WHERE datname = 'shop')"


def value(query: str, database: str = "postgres") -> str:
    return lab.psql(database, query, SERVER)[0][0]


def files() -> str:
    """Return digests of all that the server reads and of what a run would install."""
    paths = ("/etc/postgresql", "/etc/postgresql-common", "/var/lib/postgresql/17/main/postgresql.auto.conf")
    listing = lab.run_on(SERVER, "find", *paths, "-type", "f", "-exec", "sha256sum", "{}", "+", user="root")
    return listing + lab.run_on(SERVER, "dpkg-query", "-W", user="root")


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def before() -> list[list[str]]:
    """Return when the server started and which databases it has, as the admin left it."""
    return lab.psql("postgres", STATE, SERVER)


@pytest.mark.usefixtures("before")
def test_settings_by_alter_system_are_named_all_at_once() -> None:
    found = files()
    run = plays.play(plays.SITE, "--check", "--diff", host=SERVER)
    assert run.code != 0
    assert (
        "log_lock_waits, log_statement: set by hand where the server reads it after our file, which would override ours:"
        " run ALTER SYSTEM RESET log_lock_waits; ALTER SYSTEM RESET log_statement"
    ) in words(run.text)
    assert files() == found
    for name in ("log_lock_waits", "log_statement"):
        lab.psql("postgres", f"ALTER SYSTEM RESET {name}", SERVER)
    lab.psql("postgres", "SELECT pg_reload_conf()", SERVER)


def test_a_dry_run_says_what_stays_what_gives_way_and_what_waits(before: list[list[str]]) -> None:
    found = files()
    run = plays.converge("--check", "--diff", host=SERVER)
    assert files() == found
    assert lab.psql("postgres", STATE, SERVER) == before
    report = re.sub(r"\s-\s+|[:'\s]+", " ", run.text)
    gives_way, stays = report.split("give way to the inventory ", 1)[1].split(" stay in force ", 1)
    for name, there, wanted in (("max_connections", "120", "100"), ("log_min_duration_statement", "500ms", "250ms")):
        assert re.search(rf"becomes {wanted} file \S+ line \d+ name {name} value {there}\b", gives_way)
    assert "name wal_level" not in gives_way  # the same value in both
    assert "name listen_addresses" not in gives_way
    for name, there, file in (
        ("bgwriter_delay", "300ms", "postgresql.conf"),
        ("deadlock_timeout", "2s", "10-admin.conf"),
        ("vacuum_cost_limit", "500", "postgresql.auto.conf"),
    ):
        assert re.search(rf"file \S+/{file} line \d+ name {name} value {there}\b", stays), name
    assert "name data_directory" not in stays
    waiting = re.search(r"([\w, -]+) takes? effect at a restart", report)
    assert waiting
    assert "cluster_name" in waiting[1]
    assert "max_connections" in waiting[1]
    assert "listen_addresses" not in waiting[1]
    assert "wal_level" not in waiting[1]
    for rule in ("host all legacy 0.0.0.0/0 md5", "host shop shop 10.213.77.0/24 scram-sha-256"):
        assert f"- {rule}" in run.text


def test_the_first_run_restarts_nothing_and_the_second_changes_nothing(before: list[list[str]]) -> None:
    with psycopg.connect(**login(), sslmode="require", autocommit=True) as connection:
        first = plays.converge(host=SERVER)
        assert first.changed > 0
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1000,)
    assert plays.converge(host=SERVER).changed == 0
    assert lab.psql("postgres", STATE, SERVER) == before


def login(**changes: str) -> dict[str, str]:
    usual = {
        "host": str(lab.hosts("postgres")[SERVER]["ansible_host"]),
        "dbname": "shop",
        "user": "shop",
        "password": "by hand",
    }
    return {**usual, **changes}


def test_data_roles_and_instance_are_as_they_were() -> None:
    assert value("SELECT count(*) || ' ' || max(id) FROM orders", "shop") == "1000 1000"
    assert value("SELECT tableowner FROM pg_tables WHERE tablename = 'orders'", "shop") == "shop"
    assert value("SELECT rolsuper FROM pg_roles WHERE rolname = 'legacy'") == "t"
    assert value("SHOW data_checksums") == "off"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("log_min_duration_statement", "250ms"),  # the inventory's
        ("log_statement", "ddl"),  # the role's
        ("bgwriter_delay", "300ms"),  # the admin's, each from another file
        ("deadlock_timeout", "2s"),
        ("vacuum_cost_limit", "500"),
        ("max_connections", "120"),  # until somebody restarts the server
        ("ssl_cert_file", "/etc/pgsteward/tls/server.crt"),
    ],
)
def test_setting_in_force(name: str, wanted: str) -> None:
    assert value(f"SHOW {name}") == wanted


def test_who_is_listed_gets_in_by_tls_and_who_is_not_does_not() -> None:
    verified = {"sslmode": "verify-full", "sslrootcert": str(lab.authority(SERVER))}
    with psycopg.connect(**login(**verified)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("shop",)
    for changes in ({"sslmode": "disable"}, {"user": "legacy", "sslmode": "require"}):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(**login(**changes))
