"""Restore drills: what they prove, what they find, and that nothing of them is left, whatever becomes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import backups
import cluster
import lab
import pytest

BASE = "/var/lib/pgsteward/restores"
RECORD = "/var/lib/pgsteward/drill/physical"
CONFIG = "/etc/pgsteward/restore_drill.json"
UNIT = "pgsteward-restore-drill@here"
FLIP = (
    "import sys; p = sys.argv[1]; b = bytearray(open(p, 'rb').read()); b[len(b) // 2] ^= 0x55; open(p, 'r+b').write(b)"
)
full_only = pytest.mark.skipif(not lab.FULL, reason="acceptance size")
cluster.LIMIT = 900


@pytest.fixture(scope="module", autouse=True)
def _ready() -> None:
    backups.idle()
    cluster.whole()


def standby() -> str:
    return sorted(cluster.followers())[0]


def record(host: str) -> dict[str, Any]:
    return dict(json.loads(cluster.on(host, "cat", f"{RECORD}.json")))


def figure(host: str, name: str) -> float:
    """Return a figure as the monitoring reads it."""
    lines = cluster.on(host, "cat", f"{RECORD}.prom").splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}{{")]
    assert line.startswith(f'{name}{{cluster="lab",kind="physical"}} ')
    return float(line.split()[-1])


def gone(host: str) -> None:
    """Nothing of a drill is left: no file, no process, no lock. Where all of the unit was killed, another one sees to that."""

    def left() -> list[str]:
        files = cluster.on(host, "ls", "-A", BASE, check=False)
        return [*files.split(), *cluster.on(host, "pgrep", "-f", f"{BASE}/drill", check=False).split()]

    cluster.until(lambda: not left(), 10, "nothing left")


def drill(host: str) -> bool:
    """Do a drill without Ansible, as the timer does; tell whether it proved anything."""
    return cluster.on(host, "sh", "-c", f"systemctl start {UNIT} && echo proven", check=False) == "proven"


@contextmanager
def told(host: str, **settings: Any) -> Iterator[None]:
    """Have the drill told something else for a while."""
    text = cluster.on(host, "cat", CONFIG)
    changed = json.dumps({**json.loads(text), **settings})
    cluster.on(host, "sh", "-c", f"cat > {CONFIG} <<'END'\n{changed}\nEND")
    try:
        yield
    finally:
        cluster.on(host, "sh", "-c", f"cat > {CONFIG} <<'END'\n{text}\nEND")


@contextmanager
def damaged(file: str) -> Iterator[None]:
    """Have one byte of a stored file wrong for a while."""
    cluster.on(backups.STORE, "python3", "-c", FLIP, file)
    try:
        yield
    finally:
        cluster.on(backups.STORE, "python3", "-c", FLIP, file)


def test_a_drill_proves_that_everything_can_be_restored() -> None:
    host = standby()
    cluster.ask(
        cluster.primary(),
        "CREATE TABLE IF NOT EXISTS drilled AS SELECT generate_series(1, 1234) AS id",
        cluster.DATABASE,
    )
    backups.archived(backups.switch_wal(cluster.primary()), 60)
    archived = [backups.last_wal(number) for number in backups.REPOSITORIES]
    run = cluster.play("restore_drill", kind="physical")
    assert run.code == 0, run.text
    found = record(host)
    assert found["error"] is None
    assert set(found["steps"]) == {"restore", "recover", "compare", "read", "count", "checksums"}
    assert all(step["seconds"] >= 0 for step in found["steps"].values())
    assert found["steps"]["read"]["damaged"] == found["steps"]["checksums"]["bad"] == 0
    [database] = [one for one in found["databases"] if one["name"] == cluster.DATABASE]
    assert database["rows_of"]["public.drilled"] == 1234
    assert database["drift"]["text"] == "none, as the live database"
    assert figure(host, "pgsteward_restore_drill_success") == 1
    assert abs(figure(host, "pgsteward_last_proven_restore_timestamp_seconds") - time.time()) < 600
    assert figure(host, "pgsteward_restore_drill_bytes_per_second") > 0
    assert "# Restore drill of lab: proven" in cluster.on(host, "cat", f"{RECORD}.md")
    gone(host)
    time.sleep(2)
    assert [backups.last_wal(number) for number in backups.REPOSITORIES] == archived
    speed = found["steps"]["restore"]["bytes_per_second"] / (1 << 20)
    print(f"\ndrill: {found['seconds']} s, restored {speed:.0f} MiB/s")


def newest(pattern: str) -> str:
    """Return the largest file of the newest backup of the first repository that lies below a directory of that name."""
    label = backups.labels(1)[-1]
    listed = cluster.on(
        backups.STORE,
        "find",
        f"/var/lib/pgbackrest/backup/{backups.STANZA}/{label}",
        "-path",
        pattern,
        "-type",
        "f",
        "-size",
        "+8k",
    )
    return sorted(listed.split())[-1]


def test_a_flipped_byte_in_a_stored_file_is_found_and_named() -> None:
    host = standby()
    before = figure(host, "pgsteward_last_proven_restore_timestamp_seconds")
    file = newest("*/bundle/*")
    with told(host, repository=1), damaged(file):
        assert not drill(host)
    found = record(host)
    assert file.split("/lab/")[1] in found["error"], found["error"]
    assert found["last_proven"] == before
    assert figure(host, "pgsteward_last_proven_restore_timestamp_seconds") == before
    assert figure(host, "pgsteward_restore_drill_success") == 0
    gone(host)


@full_only
def test_a_flipped_byte_in_a_stored_segment_is_found_and_named() -> None:
    """PostgreSQL sees it by the checksum of a record, and waits for a better one."""
    host, node = standby(), cluster.primary()
    cluster.ask(
        node,
        "CREATE TABLE flipped AS SELECT g, md5(g::text) FROM generate_series(1, 50000) g; DROP TABLE flipped",
        cluster.DATABASE,
    )
    segment = backups.switch_wal(node)
    backups.archived(segment, 60)
    [file] = cluster.on(backups.STORE, "find", "/var/lib/pgbackrest/archive", "-name", f"{segment}-*").split()
    others = [number for number in backups.REPOSITORIES if number != 1]
    with told(host, repository=1, stall_seconds=20), damaged(file):
        proven = drill(host)
    if not others:  # a server asks every repository, and takes what it gets first
        assert not proven
    if not proven:
        assert segment in record(host)["error"], record(host)["error"]
    gone(host)


@pytest.mark.parametrize("whom", lab.few(["main", "server", "all"], "main"))
def test_a_drill_that_is_killed_leaves_nothing(whom: str) -> None:
    host = standby()
    cluster.on(host, "systemctl", "start", "--no-block", UNIT)
    cluster.until(lambda: cluster.on(host, "ls", f"{BASE}/drill/data/base", check=False), 60, "the drill has begun")
    if whom == "main":
        cluster.on(host, "systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", UNIT)
    elif whom == "all":
        cluster.on(host, "systemctl", "kill", "--signal=SIGKILL", UNIT)
    else:
        cluster.until(
            lambda: cluster.on(host, "ls", f"{BASE}/drill/data/postmaster.pid", check=False), 60, "its server"
        )
        cluster.on(host, "sh", "-c", f"kill -9 $(head -n 1 {BASE}/drill/data/postmaster.pid)")
    ended = ("inactive", "failed")
    cluster.until(lambda: cluster.on(host, "systemctl", "is-active", UNIT, check=False) in ended, 60, "its end")
    gone(host)
    cluster.on(host, "systemctl", "reset-failed", UNIT, check=False)


def test_a_primary_leaves_the_scheduled_drill_to_its_standbys() -> None:
    node = cluster.primary()
    if cluster.on(node, "ls", CONFIG, check=False) == "":
        pytest.skip("no drill is scheduled here")
    said = cluster.on(
        node, "env", "PYTHONPATH=/usr/local/lib/pgsteward/python", "/usr/local/lib/pgsteward/restore_drill", "scheduled"
    )
    assert said == "this server has standbys: they do the drill"


def test_an_unknown_host_is_refused() -> None:
    run = cluster.play("restore_drill", on="nobody")
    assert run.code != 0
    assert "on=nobody is no server of this cluster that answers" in " ".join(run.text.split()), run.text
