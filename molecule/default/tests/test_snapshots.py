"""A schema is the same after pg_dump and psql, on the same server and on the next major version: no difference is found.

The schema is that of the drift matrix, which has something of every kind.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator

import lab
import pytest

sys.path.insert(0, str(lab.ROOT / ".cache" / "collections"))

from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import compare
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Scope, Snapshot

FILES = [lab.ROOT / "tests" / "integration" / name for name in ("drift_schema.sql", "drift_database.sql")]
HOSTS = lab.few(sorted(lab.hosts("postgres"), key=lab.version), "db12", "db14")
CLEAN, COPY = "pgsteward_drift_clean", "pgsteward_drift_copy"
ROLES = [f"pgsteward_drift_{name}" for name in ("owner", "reader", "writer")]


def psql(host: str, database: str, text: str) -> None:
    """Give a text to the host's own psql; unlike an argument, it may be long, and have psql's own commands in it."""
    command = ["docker", "exec", "-i", f"pgsteward-{host}", "runuser", "-u", "postgres", "--"]
    command += ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", database]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd="/")
    assert run.returncode == 0, run.stderr


def drop(host: str, database: str) -> None:
    if lab.psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{database}'", host):
        psql(host, database, "SET client_min_messages = error; DROP SUBSCRIPTION IF EXISTS app_subscription")
        psql(host, "postgres", f"DROP DATABASE {database} WITH (FORCE)")


def read(host: str, database: str, scope: Scope | None = None) -> Snapshot:
    with lab.connect("pgsteward_test", database, host) as connection:
        return _catalog.read(connection, Place(database=database), scope).snapshot


def differences(expected: Snapshot, found: Snapshot) -> list[str]:
    return [f"{drift.object}: {drift.attribute}" for drift in compare(expected.objects, found.objects)]


@pytest.fixture(scope="module", autouse=True)
def schema() -> Iterator[None]:
    """Put the clean schema on every host, owned by the account of the tests as far as its roles do not own it."""
    clean()
    try:
        for host in HOSTS:
            psql(host, "postgres", "; ".join(f"CREATE ROLE {role}" for role in ROLES))
            psql(host, "postgres", f"CREATE DATABASE {CLEAN} OWNER pgsteward_test TEMPLATE template0")
            psql(host, CLEAN, "SET SESSION AUTHORIZATION pgsteward_test;" + "".join(file.read_text() for file in FILES))
        yield
    finally:
        clean()


def clean() -> None:
    for host in HOSTS:
        for database in (CLEAN, COPY):
            drop(host, database)
        psql(host, "postgres", "SET client_min_messages = error; DROP ROLE IF EXISTS " + ", ".join(ROLES))


@pytest.mark.parametrize("host", HOSTS)
def test_into_a_new_database(host: str) -> None:
    psql(host, "postgres", f"CREATE DATABASE {COPY} TEMPLATE template0")
    psql(host, COPY, lab.run_on(host, "pg_dump", CLEAN))
    found = differences(read(host, CLEAN), read(host, COPY))
    drop(host, COPY)
    # What the database itself has is no part of such a dump.
    assert {name.partition(": ")[0] for name in found} == {"database current"}


@pytest.mark.parametrize("host", HOSTS)
def test_with_the_database(host: str) -> None:
    before = read(host, CLEAN)
    dump = lab.run_on(host, "pg_dump", "--create", CLEAN)
    drop(host, CLEAN)
    psql(host, "postgres", dump)
    assert differences(before, read(host, CLEAN)) == []
    assert before.as_text() == read(host, CLEAN).as_text()


@pytest.mark.parametrize(("host", "newer"), list(itertools.combinations(HOSTS, 2)))
def test_to_a_newer_major_version(host: str, newer: str) -> None:
    scope = Scope(without=("version",))  # of extensions, which the distributions have in other versions
    dump = lab.run_on(host, "pg_dump", "--create", CLEAN)
    drop(newer, CLEAN)
    psql(newer, "postgres", dump)
    assert differences(read(host, CLEAN, scope), read(newer, CLEAN, scope)) == []
