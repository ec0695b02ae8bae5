"""How the integration tests run a module and look at a database: a real server, real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import conninfo, sql

# Every character of it wants quoting somewhere.
PASSWORD = "p@ss %w:o/rd#?"
ROOT = Path(__file__).resolve().parents[2]
FULL = (
    os.environ.get("PGSTEWARD_FULL") == "1"
)  # every case; CI leaves out what tables of unit tests or other cases hold as well

Case = TypeVar("Case")


def few(cases: Iterable[Case], *enough: Case) -> list[Case]:
    """Return every case in the acceptance, in CI those that are enough there."""
    return list(cases) if FULL else list(enough)


# The host db1 as the scenario `default` made it, for playbooks.
HOST = ("-i", str(ROOT / "molecule" / "default" / "inventory" / "hosts.yml"), "--limit", "db1")
MAJORS = (15, 17, 18)  # what the lab's servers run
LOCAL_MAJOR = 15  # of Debian 12, whose server programs a private cluster finds on the machine that runs the tests


def use_server(monkeypatch: pytest.MonkeyPatch, major: int) -> None:
    """Let the test work on the lab's server of that version; skip it where that is not up."""
    url = os.environ.get(f"PGSTEWARD_TEST_URL_{major}")
    if not url:
        pytest.skip(f"PGSTEWARD_TEST_URL_{major} names no server of PostgreSQL {major} (scenario default has one)")
    monkeypatch.setenv("PGSTEWARD_TEST_URL", url)


def server_url() -> str:
    """Return the libpq URL of a role that may create databases and roles; the tests fail without it."""
    url = os.environ.get("PGSTEWARD_TEST_URL")
    assert url, "PGSTEWARD_TEST_URL must hold the URL of a PostgreSQL role that may create databases and roles"
    return url


@dataclass(frozen=True)
class Database:
    """A database of a test's own."""

    name: str
    parts: dict[str, Any] = field(default_factory=lambda: conninfo.conninfo_to_dict(server_url()))

    @property
    def url(self) -> str:
        """The URL without a driver."""
        parts = self.parts
        return f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts.get('port', 5432)}/{self.name}"

    @property
    def login(self) -> dict[str, Any]:
        """The login_* options."""
        parts = self.parts
        return {
            "login_host": parts["host"],
            "login_port": int(parts.get("port", 5432)),
            "login_user": parts["user"],
            "login_password": parts["password"],
            "login_db": self.name,
        }

    def connect(self) -> psycopg.Connection[Any]:
        """Return an autocommit connection to the database."""
        return psycopg.connect(**{**self.parts, "dbname": self.name}, autocommit=True)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, or nothing for a statement without rows."""
        with self.connect() as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def relations(self) -> list[str]:
        """Return the names of all relations that somebody made, with their schemas, sorted."""
        return [
            f"{schema}.{name}"
            for schema, name in self.rows(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2"
            )
        ]

    def scratches(self) -> list[str]:
        """Return the scratch databases that are there of accounts named after this one: other tests have theirs."""
        return [
            name
            for (name,) in self.rows(
                "SELECT datname FROM pg_database WHERE datname LIKE 'pgsteward\\_scratch\\_%'"
                f" AND starts_with(pg_get_userbyid(datdba), '{self.name}')"
            )
        ]

    def tables(self) -> list[str]:
        """Return the tables t_* that revisions made, without the prefix."""
        return [
            name
            for (name,) in self.rows(
                "SELECT substr(relname, 3) FROM pg_class WHERE relkind = 'r' AND relname LIKE 't\\_%' ORDER BY 1"
            )
        ]


def create_database(name: str) -> Database:
    """Create an empty database."""
    drop_database(name)
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return Database(name)


def commit_when_waited_for(reader: psycopg.Connection[Any], database: Database, seconds: float) -> None:
    """Let a connection in a transaction commit that many seconds after somebody began to wait for it."""
    waits = f"SELECT 1 FROM pg_locks WHERE NOT granted AND {reader.info.backend_pid} = ANY (pg_blocking_pids(pid))"

    def watch() -> None:
        limit = time.monotonic() + 60
        with database.connect() as connection:
            while not connection.execute(waits.encode()).fetchone() and time.monotonic() < limit:
                time.sleep(0.02)
        time.sleep(seconds)
        reader.execute("COMMIT")

    threading.Thread(target=watch).start()


def drop_database(name: str) -> None:
    """Drop a database, whoever is in it."""
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@dataclass(frozen=True)
class Ran:
    """How a module ended: its result, and everything that it printed."""

    result: dict[str, Any]
    text: str

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return bool(self.result.get("failed"))

    @property
    def msg(self) -> str:
        """The error, or nothing."""
        return str(self.result.get("msg", ""))


def collections_path(directory: Path) -> Path:
    """Return a collections path in directory that leads to this checkout."""
    link = directory / "ansible_collections" / "pgsteward" / "postgres"
    if not link.is_symlink():
        link.parent.mkdir(parents=True)
        link.symlink_to(ROOT)
    return directory


def run_module(
    collections: Path,
    name: str,
    arguments: dict[str, Any],
    check: bool = False,
    environment: dict[str, str] | None = None,
) -> Ran:
    """Run a module in a process of its own, with its arguments on stdin as Ansible gives them."""
    payload = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}}
    process = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.pgsteward.postgres.plugins.modules.{name}"],
        input=json.dumps(payload),
        env={**os.environ, "PYTHONPATH": str(collections), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    text = process.stdout + process.stderr
    assert process.stdout.strip().startswith("{"), text
    return Ran(json.loads(process.stdout), text)


Upgrade = Callable[..., Ran]


def names(entries: list[dict[str, Any]]) -> list[str]:
    """Return the revisions of pending or applied."""
    return [entry["revision"] for entry in entries]
