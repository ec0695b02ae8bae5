"""What the tests of a cluster do to it and ask of it: by docker and psql, past everything that is under test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lab
import load
import plays
import psycopg

DATABASE, WRITER, OWNER = "powergym", "powergym_app", "powergym_migrator"
NETWORK = "pgsteward-lab"
MAJOR = lab.version(next(iter(lab.hosts("postgres"))))
DATA = f"/var/lib/postgresql/{MAJOR}/main"
SERVICE = f"postgresql@{MAJOR}-main"
FENCE = {"pg_replica_fence_command": [str(lab.ROOT / "molecule" / "shared" / "fence_host.sh"), "{host}"]}
LIMIT = 150  # seconds that a playbook may take
REPORTS = lab.ROOT / ".cache" / "reports"


def nodes() -> list[str]:
    """Return the names of the servers."""
    return list(lab.hosts("postgres"))


def poolers() -> list[str]:
    """Return the names of the poolers."""
    return list(lab.hosts("pgbouncer"))


def address(host: str) -> str:
    """Return the address of a host."""
    return str({**lab.hosts("postgres"), **lab.hosts("pgbouncer")}[host]["ansible_host"])


def docker(*arguments: str, check: bool = True) -> str:
    """Return what a docker command prints."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check).stdout.strip()


def on(host: str, *command: str, check: bool = True) -> str:
    """Return what a command prints on a host, run as root, also when the host is cut off from the network."""
    return docker("exec", "-w", "/", f"pgsteward-{host}", *command, check=check)


def ask(node: str, query: str, database: str = "postgres") -> str:
    """Return the one value that a server answers over its socket, nothing when it does not."""
    command = ["timeout", "5", "runuser", "-u", "postgres", "--", "psql", "-XAtq", "-d", database, "-c", query]
    return on(node, *command, check=False)


def writable() -> list[str]:
    """Return the servers that take writes: asked one by one on their hosts, past the network."""
    return [node for node in nodes() if ask(node, "SELECT NOT pg_is_in_recovery()") == "t"]


def primary() -> str:
    """Return the one server that takes writes."""
    found = writable()
    assert len(found) == 1, found
    return found[0]


def followers() -> set[str]:
    """Return the standbys that stream from the primary."""
    return set(ask(primary(), "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'").split())


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return what the condition gives once that is true; fail when it is not within the limit."""
    limit = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < limit, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


def whole() -> None:
    """Wait until one server takes writes and all others follow it."""
    until(
        lambda: len(writable()) == 1 and followers() == set(nodes()) - {primary()}, 30, "one primary, all others follow"
    )


@cache
def authority() -> Path:
    """Return a file with the certificate of the cluster's authority."""
    lab.STATE.mkdir(parents=True, exist_ok=True)
    path = lab.STATE / "ca-cluster.crt"
    path.write_text(on(nodes()[0], "cat", "/etc/pgsteward/tls/ca.crt"))
    return path


def url(pooler: str, database: str = DATABASE, user: str = WRITER) -> str:
    """Return how an application reaches a database through a pooler."""
    query = f"sslmode=verify-full&sslrootcert={authority()}"
    return f"postgresql://{user}:{lab.password(user)}@{address(pooler)}:6432/{database}?{query}"


def connect(
    host: str, user: str, database: str = DATABASE, port: int = 5432, **changes: Any
) -> psycopg.Connection[Any]:
    """Return an autocommit connection over the network, TLS verified."""
    given = {
        "host": address(host),
        "port": port,
        "user": user,
        "dbname": database,
        "password": lab.password(user) if "password" not in changes else "",
        "sslmode": "verify-full",
        "sslrootcert": str(authority()),
        "connect_timeout": 5,
        **changes,
    }
    return psycopg.connect(**given, autocommit=True)


@contextmanager
def loaded(**options: Any) -> Iterator[load.Load]:
    """Write and read through the poolers all the while."""
    with connect(primary(), OWNER) as connection:
        load.prepare(connection)
    until(
        lambda: all(ask(node, "SELECT to_regclass('load_commits')", DATABASE) for node in nodes()),
        10,
        "the table everywhere",
    )
    writing = [url(pooler) for pooler in poolers()]
    reading = [url(pooler, f"{DATABASE}_ro") for pooler in poolers()]
    with load.Load(writing, reading, **options) as running:
        yield running


def lost(report: load.Report) -> list[tuple[int, int]]:
    """Return the acknowledged commits that the primary does not have."""
    with connect(primary(), WRITER) as connection:
        return report.missing(connection)


def goes_on(running: load.Load, seconds: float = 15) -> None:
    """Wait until commits are acknowledged again."""
    before = running.commits()
    until(lambda: running.commits() > before + 50, seconds, "commits")


@dataclass(frozen=True)
class Run:
    """How a playbook ended, and what it reported."""

    code: int
    text: str
    seconds: float
    report: dict[str, Any]


def command(playbook: str, *options: str, inventory: Path = lab.INVENTORY, **variables: Any) -> list[str]:
    """Return the command line of a playbook of the collection against the cluster."""
    given = {"pg_replica_report_directory": str(REPORTS), **variables}
    return [
        "ansible-playbook",
        "-i",
        str(inventory),
        f"pgsteward.postgres.{playbook}",
        *options,
        "--extra-vars",
        json.dumps(given),
    ]


def play(playbook: str, *options: str, **variables: Any) -> Run:
    """Run a playbook to its end."""
    return finish(start(playbook, *options, **variables))


def start(playbook: str, *options: str, **variables: Any) -> tuple[subprocess.Popen[str], float]:
    """Start a playbook, as the leader of a process group, as a terminal does."""
    process = subprocess.Popen(
        command(playbook, *options, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=lab.ROOT,
        env=plays.environment(),
        start_new_session=True,
    )
    return process, time.monotonic()


def finish(running: tuple[subprocess.Popen[str], float]) -> Run:
    """Wait for the end of a playbook."""
    process, began = running
    try:
        text, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        raise AssertionError(f"the playbook did not end within {LIMIT} s: {text}") from None
    written = sorted(REPORTS.glob("*.json"), key=lambda path: path.stat().st_mtime)
    report = {}
    if written and written[-1].stat().st_mtime > time.time() - (time.monotonic() - began):
        report = json.loads(written[-1].read_text())
    return Run(process.returncode, text, time.monotonic() - began, report)


def interrupt(running: tuple[subprocess.Popen[str], float]) -> None:
    """Press Ctrl-C."""
    os.killpg(running[0].pid, signal.SIGINT)


# What happens to hosts


def crash(node: str) -> None:
    """Kill the server, as the kernel does when memory is short."""
    on(node, "sh", "-c", f"kill -9 $(head -n 1 {DATA}/postmaster.pid)")
    until(lambda: not on(node, "pgrep", "-x", "postgres", check=False), 10, "the end of all its processes")


def cut_power(host: str) -> None:
    """Take a host away in the middle of everything."""
    docker("kill", f"pgsteward-{host}")


def power_on(host: str) -> None:
    """Start a host and wait until it can be reached."""
    docker("start", f"pgsteward-{host}")
    until(lambda: on(host, "systemctl", "is-system-running", check=False) in ("running", "degraded"), 60, "booted")


def isolate(host: str) -> None:
    """Cut a host off from the network; what runs on it goes on."""
    docker("network", "disconnect", NETWORK, f"pgsteward-{host}")


def reconnect(host: str) -> None:
    """Give a host its network back."""
    docker("network", "connect", "--ip", address(host), NETWORK, f"pgsteward-{host}")


def is_up(host: str) -> bool:
    """Tell whether a host runs."""
    return docker("inspect", "-f", "{{.State.Running}}", f"pgsteward-{host}") == "true"


def is_connected(host: str) -> bool:
    """Tell whether a host is on the network."""
    return NETWORK in docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", f"pgsteward-{host}")


def heal() -> list[Run]:
    """Bring back every host, and every server as a standby of the one that takes writes; return the runs of rejoin."""
    for host in (*nodes(), *poolers()):
        if not is_connected(host):
            reconnect(host)
        if not is_up(host):
            power_on(host)
    leading = primary()
    runs = [play("rejoin", node=node, confirm=node) for node in nodes() if node != leading and node not in followers()]
    assert all(run.code == 0 for run in runs), [run.text for run in runs if run.code]
    whole()
    return runs
