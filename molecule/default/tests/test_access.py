"""What site leaves alone, what it puts right, and who gets in: each account, database, address, TLS and password against the answer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import lab
import plays
import psycopg
import pytest

# Each role's verifier, and the transaction that wrote its row: an equal verifier that is written again shows as well.
VERIFIERS = "SELECT rolname, md5(coalesce(rolpassword, '')), xmin FROM pg_authid WHERE rolcanlogin ORDER BY 1"

# A change by hand, a question about it, and the answer that the inventory wants.
DRIFT = {
    "revoked privilege": (
        "REVOKE INSERT ON plans FROM powergym_app",
        "SELECT has_table_privilege('powergym_app', 'plans', 'INSERT')",
        "t",
    ),
    "revoked default privilege": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE powergym_owner IN SCHEMA public REVOKE SELECT ON TABLES FROM powergym_readonly",
        "SELECT bool_or(defaclacl::text LIKE '%powergym_readonly=r/%') FROM pg_default_acl WHERE defaclrole = 'powergym_owner'::regrole",
        "t",
    ),
    "everyone connects": (
        "GRANT CONNECT ON DATABASE powergym TO PUBLIC",
        "SELECT has_database_privilege('pgsteward_nobody', 'powergym', 'CONNECT')",
        "f",
    ),
    "owner of the database": (
        "ALTER DATABASE powergym OWNER TO postgres",
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'powergym'",
        "powergym_owner",
    ),
    "owner of the schema": (
        "ALTER SCHEMA public OWNER TO postgres",
        "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'public'",
        "pg_database_owner",
    ),
    "row security bypassed": (
        "ALTER ROLE powergym_app BYPASSRLS",
        "SELECT rolbypassrls FROM pg_roles WHERE rolname = 'powergym_app'",
        "f",
    ),
    "role of the migrator": (
        "ALTER ROLE powergym_migrator IN DATABASE powergym RESET role",
        "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'powergym_migrator'::regrole",
        "{role=powergym_owner}",
    ),
    "membership": (
        "REVOKE powergym_owner FROM powergym_migrator",
        "SELECT pg_has_role('powergym_migrator', 'powergym_owner', 'SET')",
        "t",
    ),
}


def verifiers() -> dict[str, list[str]]:
    return {name: rest for name, *rest in lab.psql("postgres", VERIFIERS)}


@pytest.fixture(scope="module")
def repaired() -> Iterator[tuple[dict[str, list[str]], plays.Played]]:
    """Change much by hand, run the role, return the verifiers of before and the run."""
    before = verifiers()
    lab.psql("postgres", "CREATE ROLE pgsteward_nobody")
    try:
        lab.psql("powergym", "; ".join(statement for statement, _question, _answer in DRIFT.values()))
        lab.psql("postgres", "ALTER ROLE powergym_readonly PASSWORD 'another one'")
        yield before, plays.converge("--tags", "pg_access", "--diff")
    finally:
        lab.psql("postgres", "DROP ROLE pgsteward_nobody")


@pytest.mark.parametrize("case", DRIFT)
@pytest.mark.usefixtures("repaired")
def test_a_change_by_hand_is_put_right(case: str) -> None:
    _statement, question, answer = DRIFT[case]
    assert lab.psql("powergym", question) == [[answer]]


def test_only_the_password_that_differs_is_set(repaired: tuple[dict[str, list[str]], plays.Played]) -> None:
    before, run = repaired
    assert run.changed > 0
    digests = {name: digest for name, (digest, _xmin) in verifiers().items()}
    assert {name for name, (digest, _xmin) in before.items() if digests[name] != digest} == {"powergym_readonly"}
    with lab.connect("powergym_readonly", "powergym") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.usefixtures("repaired")
def test_a_second_site_run_rewrites_no_verifier() -> None:
    before = verifiers()
    assert len(before) >= 5
    assert plays.converge().changed == 0
    assert verifiers() == before


# The login matrix

FOREIGN = "pgsteward_matrix"  # a database in which nobody but superusers may connect; pg_hba lets everyone of this machine try
APPLICATION = ("powergym_app", "powergym_readonly", "powergym_migrator")
WITH_PASSWORD = (*APPLICATION, "powergym_monitor", "pgsteward_test")
WITHOUT_PASSWORD = ("powergym_owner", "postgres", "pgsteward_unknown")
SOURCES = ("controller", "client1", "loopback")


class Login(NamedTuple):
    """One attempt."""

    account: str
    database: str
    source: str
    tls: bool
    password: str


ATTEMPTS = [
    Login(account, *rest)
    for account in (*WITH_PASSWORD, *WITHOUT_PASSWORD)
    for rest in product(
        ("powergym", "postgres", FOREIGN),
        SOURCES,
        (True, False),
        ("right", "wrong", "none") if account in WITH_PASSWORD else ("wrong", "none"),
    )
]

ANSWERS = {
    "in": "1",
    "no rule": "no pg_hba.conf entry",
    "no TLS": "no encryption",
    "no password": "no password supplied",
    "wrong password": "password authentication failed",
    "no privilege": "permission denied for database",
}


def expected(login: Login) -> str:
    """Return the answer that inventory and roles promise, by the order in which the server decides."""
    if not login.tls:
        return "no TLS"
    listed = login.source == "loopback" or (
        login.source == "controller"
        and (
            login.account == "pgsteward_test"
            or login.database == FOREIGN
            or (login.database == "powergym" and login.account in APPLICATION)
        )
    )
    if not listed:
        return "no rule"
    if login.password == "none":
        return "no password"
    if login.password == "wrong" or login.account in WITHOUT_PASSWORD:
        return "wrong password"
    return "no privilege" if login.database == FOREIGN and login.account != "pgsteward_test" else "in"


def secret(login: Login) -> str:
    right = lab.password(login.account) if login.password == "right" else ""
    return {"right": right, "wrong": "wrong", "none": ""}[login.password]


def from_here(login: Login) -> str:
    """Return what a client on this machine is told."""
    tls = {} if login.tls else {"sslmode": "disable"}
    try:
        with lab.connect(login.account, login.database, password=secret(login), connect_timeout=5, **tls) as connection:
            return str(connection.execute("SELECT 1").fetchone()[0])  # type: ignore[index]
    except psycopg.OperationalError as error:
        return str(error)


def from_host(host: str, address: str, logins: list[Login]) -> list[str]:
    """Return what psql on a host of the lab is told, one answer a login; passwords go over stdin."""
    script = (
        "while IFS='\t' read -r user database mode PGPASSWORD; do export PGPASSWORD;"
        f' psql -XAtqw "host={address} user=$user dbname=$database sslmode=$mode connect_timeout=5" -c "SELECT 1" 2>&1'
        " | tr '\\n' ' '; echo; done"
    )
    lines = [
        "\t".join((login.account, login.database, "require" if login.tls else "disable", secret(login)))
        for login in logins
    ]
    command = ["docker", "exec", "-i", f"pgsteward-{host}", "sh", "-c", script]
    run = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[Login, str]]:
    """Try every login once."""
    install = "command -v psql >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends postgresql-client; }"
    subprocess.run(["docker", "exec", "pgsteward-client1", "sh", "-c", install], check=True, capture_output=True)
    lab.authority()
    os.environ.pop("PGPASSWORD", None)
    by_source = {source: [login for login in ATTEMPTS if login.source == source] for source in SOURCES}
    lab.psql("postgres", f"CREATE DATABASE {FOREIGN}")
    try:
        lab.psql("postgres", f"REVOKE CONNECT ON DATABASE {FOREIGN} FROM PUBLIC")
        with ThreadPoolExecutor(6) as pool:
            outside = pool.submit(from_host, "client1", lab.address("db1"), by_source["client1"])
            inside = pool.submit(from_host, "db1", "127.0.0.1", by_source["loopback"])
            found = dict(zip(by_source["controller"], pool.map(from_here, by_source["controller"]), strict=True))
            found |= dict(zip(by_source["client1"], outside.result(), strict=True))
            found |= dict(zip(by_source["loopback"], inside.result(), strict=True))
        yield found
    finally:
        lab.psql("postgres", f"DROP DATABASE {FOREIGN} WITH (FORCE)")


def test_the_matrix_is_large_and_holds_every_answer() -> None:
    assert len(set(ATTEMPTS)) >= 60
    assert {expected(login) for login in ATTEMPTS} == set(ANSWERS)


@pytest.mark.parametrize("login", ATTEMPTS, ids=["-".join(map(str, login)) for login in ATTEMPTS])
def test_login(answers: dict[Login, str], login: Login) -> None:
    answer, words = answers[login].strip(), ANSWERS[expected(login)]
    assert answer == words if words == "1" else words in answer
