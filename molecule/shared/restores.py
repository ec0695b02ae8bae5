"""A restored server beside the live ones, for the tests to look into: made and removed by the module under test, asked by psql."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import backups
import cluster
import lab
import load
import plays

PORT = 5440
BASE = "/var/lib/pgsteward/restores"
BINARIES = f"/usr/lib/postgresql/{cluster.MAJOR}/bin"
BESIDE = {"stanza": backups.STANZA, "bin_directory": BINARIES, "beside": f"{BASE}/{PORT}", "port": PORT}


def now(node: str) -> str:
    """Return the time of a server, as targets are written."""
    return cluster.ask(
        node, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'"
    )


def start(host: str, name: str, check: bool = False, **options: Any) -> subprocess.Popen[str]:
    """Start a module on a host as root."""
    command = ["ansible", "-i", str(lab.INVENTORY), host, "--one-line", "-m", f"pgsteward.postgres.{name}"]
    command += ["-a", json.dumps(options), *(["--check"] if check else [])]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=lab.ROOT, env=plays.environment()
    )


def finish(running: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the result of a module, failed or not."""
    text, _ = running.communicate()
    assert "{" in text, text
    return dict(json.loads(text[text.index("{") :]))


def module(host: str, name: str, check: bool = False, **options: Any) -> dict[str, Any]:
    """Run a module on a host as root; return its result, failed or not."""
    return finish(start(host, name, check, **options))


def plan(host: str, **asked: Any) -> dict[str, Any]:
    """Return the plan of a restore beside, or the refusal."""
    return module(host, "pgbackrest_restore", check=True, **BESIDE, **asked)


def inside(host: str, query: str, database: str = cluster.DATABASE) -> str:
    """Ask the restored server."""
    command = ["runuser", "-u", "postgres", "--", "psql", "-h", f"{BASE}/{PORT}/socket", "-p", str(PORT), "-XAtq"]
    return cluster.on(host, *command, "-d", database, "-c", query)


def committed(host: str, run: int) -> dict[int, frozenset[int]]:
    """Return what the restored server holds of a run of the load: the sequence numbers of each writer."""
    rows = f"SELECT writer, array_agg(sequence) AS ids FROM {load.TABLE} WHERE run = {run} GROUP BY writer"
    found = json.loads(inside(host, f"SELECT coalesce(json_object_agg(writer, ids), '{{}}') FROM ({rows}) AS w"))
    return {int(writer): frozenset(ids) for writer, ids in found.items()}


@contextmanager
def beside(host: str, **asked: Any) -> Iterator[dict[str, Any]]:
    """Have a restored server beside the live one for a while; give what was reached."""
    try:
        made = module(host, "pgbackrest_restore", **BESIDE, **asked)
        assert "start" in made, made
        cluster.on(host, *made["start"])
        wanted = {"target_type": made["plan"]["target_type"], "target": made["plan"]["target"]}
        if made["plan"]["end"]:
            wanted["end"] = made["plan"]["end"]
        yield module(
            host,
            "pg_recovery",
            data_directory=f"{BASE}/{PORT}/data",
            bin_directory=BINARIES,
            last_words=["tail", "-n", "20", made["log"]],
            timeout=120,
            **wanted,
        )
    finally:
        module(host, "pgbackrest_restore", state="undone", beside=f"{BASE}/{PORT}", port=PORT)
        assert PORT not in map(int, filter(str.isdigit, cluster.on(host, "ls", "-A", BASE).split()))
