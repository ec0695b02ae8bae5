"""Restore drills: what they prove, what they find, and that nothing of them is left, whatever becomes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import backups
import cluster
import drills
import lab
import pytest

DRILL = drills.PHYSICAL
CONFIG = "/etc/pgsteward/restore_drill.json"
cluster.LIMIT = 900


@pytest.fixture(scope="module", autouse=True)
def _ready() -> None:
    backups.idle()
    cluster.whole()


def standby() -> str:
    return sorted(cluster.followers())[0]


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
    found = DRILL.record(host)
    assert found["error"] is None
    assert set(found["steps"]) == {"restore", "recover", "compare", "read", "count", "checksums"}
    assert all(step["seconds"] >= 0 for step in found["steps"].values())
    assert found["steps"]["read"]["damaged"] == found["steps"]["checksums"]["bad"] == 0
    [database] = [one for one in found["databases"] if one["name"] == cluster.DATABASE]
    assert database["rows_of"]["public.drilled"] == 1234
    assert database["drift"]["text"] == "none, as the live database"
    assert DRILL.figure(host, "pgsteward_restore_drill_success") == 1
    assert abs(DRILL.figure(host, "pgsteward_last_proven_restore_timestamp_seconds") - time.time()) < 600
    assert DRILL.figure(host, "pgsteward_restore_drill_bytes_per_second") > 0
    assert "# Restore drill of lab: proven" in cluster.on(host, "cat", f"{DRILL.path}.md")
    DRILL.gone(host)
    time.sleep(2)
    assert [backups.last_wal(number) for number in backups.REPOSITORIES] == archived
    speed = found["steps"]["restore"]["bytes_per_second"] / (1 << 20)
    print(f"\ndrill: {found['seconds']} s, restored {speed:.0f} MiB/s")


def newest(pattern: str) -> str:
    """Return the last file below a directory of that name, of the newest full backup in the first repository: every later one needs it."""
    label = [one for one in backups.labels(1) if one.endswith("F")][-1]
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
    before = DRILL.figure(host, "pgsteward_last_proven_restore_timestamp_seconds")
    file = newest("*/bundle/*")
    with told(host, repository=1), drills.damaged(backups.STORE, file):
        assert not DRILL.proves(host)
        found = DRILL.record(host)
        if file.split("/lab/")[1] not in found["error"]:
            # pgBackRest 2.45 names none, and reads none that lies elsewhere: the drill says what does, and where.
            told_to = found["error"].partition("names what is damaged: ")[2].split()
            said = cluster.on(backups.STORE, "runuser", "-u", "postgres", "--", *told_to, check=False)
            assert f"invalid checksum '{file.split('/')[-3]}/" in said, (found["error"], said)
    assert found["last_proven"] == before
    assert DRILL.figure(host, "pgsteward_last_proven_restore_timestamp_seconds") == before
    assert DRILL.figure(host, "pgsteward_restore_drill_success") == 0
    DRILL.gone(host)


@lab.full_only
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
    with told(host, repository=1, stall_seconds=20), drills.damaged(backups.STORE, file):
        proven = DRILL.proves(host)
    if not others:  # a server asks every repository, and takes what it gets first
        assert not proven
    if not proven:
        assert segment in DRILL.record(host)["error"], DRILL.record(host)["error"]
    DRILL.gone(host)


@pytest.mark.parametrize("whom", lab.few(["main", "server", "all"], "main"))
def test_a_drill_that_is_killed_leaves_nothing(whom: str) -> None:
    host = standby()
    DRILL.killed(host, whom, "data/base")


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
