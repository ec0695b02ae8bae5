"""What the demo, the scenarios and the benchmarks know of the lab: where it is, how to log in. Used from the controller."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".cache" / "lab"

sys.path.insert(0, str(ROOT / "migrations"))  # the sample data of the five systems


INVENTORY = Path(os.environ.get("LAB_INVENTORY", ROOT / "inventories" / "lab" / "hosts.yml"))
CARRIES = {"debian12": 15, "debian13": 17, "debian14": 18}  # image -> PostgreSQL of the distribution
FULL = os.environ.get("PGSTEWARD_SIZE") == "acceptance"  # every case; CI leaves out repetitions of what takes long
full_only = pytest.mark.skipif(not FULL, reason="acceptance size")

Case = TypeVar("Case")


def few(cases: Iterable[Case], *enough: Case) -> list[Case]:
    """Return every case in the acceptance, in CI those that are enough there."""
    return list(cases) if FULL else list(enough)


@cache
def hosts(group: str) -> dict[str, dict[str, Any]]:
    """Return the hosts of a group of the lab's inventory with their variables, none where it has no such group."""
    inventory = yaml.safe_load(INVENTORY.read_text())
    return dict(inventory["all"]["children"]["lab"]["children"].get(group, {}).get("hosts", {}))


def address(host: str) -> str:
    """Return the address of a host of the lab's inventory."""
    return str({**hosts("postgres"), **hosts("client")}[host]["ansible_host"])


def version(host: str) -> int:
    """Return the major version of PostgreSQL on a server of the lab."""
    return CARRIES[hosts("postgres")[host].get("lab_image") or os.environ.get("LAB_IMAGE") or "debian13"]


def run_on(host: str, *command: str, user: str = "postgres") -> str:
    """Return what `command` prints on a host of the lab, run as `user`."""
    full = ["docker", "exec", f"pgsteward-{host}", "runuser", "-u", user, "--", *command]
    return subprocess.run(full, capture_output=True, text=True, check=True, cwd="/").stdout


def psql(database: str, query: str, host: str = "db1") -> list[list[str]]:
    """Return the rows of `query`, asked by the host's own psql as its superuser."""
    output = run_on(host, "psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", query)
    return [line.split("\t") for line in output.splitlines()]


@cache
def authority(host: str = "db1") -> Path:
    """Return a file with the certificate of a server's generated authority, as a client would be given it."""
    STATE.mkdir(parents=True, exist_ok=True)
    path = STATE / ("ca.crt" if host == "db1" else f"ca-{host}.crt")
    path.write_text(run_on(host, "cat", "/etc/pgsteward/tls/ca.crt", user="root"))
    return path


def password(user: str) -> str:
    """Return the password that the lab made for an account."""
    return (STATE / "secrets" / user).read_text().split()[0]


def login(user: str, database: str, server: str = "db1", **changes: Any) -> dict[str, Any]:
    """Return how `user` logs in from this machine: TCP, TLS verified against the authority, SCRAM. `changes` take over."""
    usual = {
        "host": address(server),
        "port": 5432,
        "dbname": database,
        "user": user,
        "sslmode": "verify-full",
        "sslrootcert": str(authority(server)),
        "connect_timeout": 10,
    }
    known = {} if "password" in changes else {"password": password(user)}
    return {**usual, **known, **changes}


def connect(user: str, database: str, server: str = "db1", **changes: Any) -> psycopg.Connection[Any]:
    """Return an autocommit connection; see login()."""
    return psycopg.connect(**login(user, database, server, **changes), autocommit=True)


def url(user: str, database: str, server: str = "db1") -> str:
    """Return the libpq URL of login(), for tools that take one."""
    parts = login(user, database, server)
    query = f"sslmode={parts['sslmode']}&sslrootcert={parts['sslrootcert']}"
    return f"postgresql://{user}:{parts['password']}@{parts['host']}:{parts['port']}/{database}?{query}"


def fill_powergym(clients: int, server: str = "db1") -> int:
    """Load the sample clients unless they are there; return how many vectors there are."""
    from samples import powergym

    with connect("powergym_migrator", "powergym", server) as connection:
        (there,) = connection.execute("SELECT count(*) FROM biometrics").fetchone() or (0,)
        if there == 0:
            powergym.load(connection, clients)
            (there,) = connection.execute("SELECT count(*) FROM biometrics").fetchone() or (0,)
    return int(there)
