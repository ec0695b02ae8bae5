"""What the tests of backups ask and do: by pgbackrest, psql and systemctl on the hosts, past everything that is under test."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cluster
import lab
import load
import plays

STANZA = "lab"
STORE = next(iter(lab.hosts("pgbackrest")))
REPOSITORIES = (1, 2)
RECORD = "/var/lib/pgsteward/backup/physical.json"
AUTHORITY_KEY = "/etc/pgsteward/tls/ca.key"  # on the first server
ARCHIVED_WITHIN = 15.0  # seconds for a segment that is switched by hand, in both repositories


def pgbackrest(host: str, command: str, *options: str, check: bool = True) -> str:
    """Return what a command of pgBackRest prints on a host, run as the server's account."""
    return cluster.on(
        host, "runuser", "-u", "postgres", "--", "pgbackrest", command, f"--stanza={STANZA}", *options, check=check
    )


def info(host: str = STORE) -> dict[str, Any]:
    """Return what pgBackRest says of the stanza."""
    (answer,) = json.loads(pgbackrest(host, "info", "--output=json"))
    return dict(answer)


def labels(repository: int) -> list[str]:
    """Return the backups of a repository, the oldest first."""
    return [one["label"] for one in info()["backup"] if one["database"]["repo-key"] == repository]


def last_wal(repository: int) -> str:
    """Return the newest segment in a repository."""
    listed = [one["max"] for one in info()["archive"] if one["database"]["repo-key"] == repository and one["max"]]
    return max(listed, default="")


def switch_wal(node: str) -> str:
    """Write something, have the server begin another segment, and return the one that is complete now."""
    cluster.ask(node, "SELECT pg_logical_emit_message(false, 'test', 'x')")
    return cluster.ask(node, "SELECT pg_walfile_name(pg_switch_wal())")


def archived(segment: str, seconds: float = ARCHIVED_WITHIN) -> float:
    """Wait until a segment is in every repository; return how long that took."""
    began = time.monotonic()
    cluster.until(
        lambda: all(last_wal(number) >= segment for number in REPOSITORIES), seconds, f"{segment} in every repository"
    )
    return time.monotonic() - began


def record() -> dict[str, Any]:
    """Return what the host of the repositories has kept of its backups."""
    return dict(json.loads(cluster.on(STORE, "cat", RECORD)))


def idle(seconds: float = 120) -> None:
    """Wait until no backup runs, such as the first one, which begins by itself."""
    cluster.until(
        lambda: (
            "activ" not in cluster.on(STORE, "systemctl", "show", "-PActiveState", "pgsteward-backup@*", check=False)
        ),
        seconds,
        "no backup runs",
    )


def play(playbook: str, *options: str, **variables: Any) -> plays.Played:
    """Run a playbook on the whole environment."""
    return plays.play(playbook, *options, host="all", variables=variables)


def secrets() -> list[str]:
    """Return the secrets that nobody may see."""
    return [lab.password(name) for name in ("s3_key_secret", "repository_pass", "s3_key")]


@contextmanager
def stopped(host: str, service: str) -> Iterator[None]:
    """Have a service stopped for a while."""
    cluster.on(host, "systemctl", "stop", service)
    try:
        yield
    finally:
        cluster.on(host, "systemctl", "start", service)


@contextmanager
def loaded(**options: Any) -> Iterator[load.Load]:
    """Write all the while, on whatever server takes writes."""
    with cluster.connect(cluster.primary(), cluster.OWNER) as connection:
        load.prepare(connection)
    hosts = ",".join(f"{cluster.address(node)}:5432" for node in cluster.nodes())
    user, query = (
        cluster.WRITER,
        f"target_session_attrs=read-write&sslmode=verify-full&sslrootcert={cluster.authority()}",
    )
    url = f"postgresql://{user}:{lab.password(user)}@{hosts}/{cluster.DATABASE}?{query}"
    with load.Load([url], **{"writers": 4, "rate": 20.0, **options}) as running:
        yield running


@contextmanager
def store_down() -> Iterator[None]:
    """Have the S3 store answer nobody for a while."""
    with stopped(STORE, "s3-store"):
        yield
