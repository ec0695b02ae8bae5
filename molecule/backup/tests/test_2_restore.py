"""The cluster comes back as it was at any point, in place or beside; what cannot be reached is refused before anything is touched."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backups
import cluster
import lab
import load
import plays
import pytest
import restores
from restores import BASE, BINARIES, PORT, beside, inside, module, plan

POINT = "before the table goes"
full_only = pytest.mark.skipif(not lab.FULL, reason="acceptance size")
cluster.LIMIT = 900  # seconds that a restore in place may take, with the standbys that are made anew

WRITE = """
DROP TABLE IF EXISTS restored;
CREATE TABLE restored (id int PRIMARY KEY, pad text);
INSERT INTO restored SELECT 0, 'begun';
"""


@dataclass(frozen=True)
class Written:
    """What was written, in its order: rows 1 and 2, 50 ms apart; a restore point; then the table was dropped. Times as the commits have them."""

    first: str
    second: str
    between: str
    lsn: str
    xid: str
    timeline: int


def commit(node: str, row: int) -> str:
    """Commit one row; return the number of its transaction."""
    return cluster.ask(
        node, f"INSERT INTO restored VALUES ({row}, 'x') RETURNING pg_current_xact_id()::text", cluster.DATABASE
    )


@pytest.fixture(scope="module")
def written() -> Written:
    """Write what the tests restore; the archive holds all of it, and a commit behind it."""
    backups.idle()
    node = cluster.primary()
    with cluster.connect(node, cluster.OWNER) as connection:
        load.prepare(connection)
        connection.execute(WRITE)  # as the owner: what the superuser makes, the site would give to the owner
    time.sleep(1.5)  # repositories know whole seconds
    xid = commit(node, 1)
    between = restores.now(node)
    time.sleep(0.05)
    commit(node, 2)
    lsn = cluster.ask(node, "SELECT pg_current_wal_lsn()")
    cluster.ask(node, f"SELECT pg_create_restore_point('{POINT}')")
    cluster.ask(node, "DROP TABLE restored", cluster.DATABASE)
    cluster.ask(node, "SELECT pg_current_xact_id()")
    backups.archived(backups.switch_wal(node), 60)
    timeline = int(cluster.ask(node, "SELECT timeline_id FROM pg_control_checkpoint()"))
    return Written(between, restores.now(node), between, lsn, xid, timeline)


def standby() -> str:
    return sorted(cluster.followers())[0]


KINDS: dict[str, tuple[str, str]] = {  # what is aimed at, and the rows that are there then
    "time": ("between", "0,1"),
    "lsn": ("lsn", "0,1,2"),
    "xid": ("xid", "0,1"),
    "name": ("", "0,1,2"),
    "latest": ("", ""),
    "immediate": ("", ""),
}


@pytest.mark.parametrize("kind", lab.few(KINDS, "time", "xid", "latest"))
def test_each_kind_of_target(written: Written, kind: str) -> None:
    """Beside, on the standby: neither of the live servers notices."""
    host, (field, rows) = standby(), KINDS[kind]
    target = POINT if kind == "name" else str(getattr(written, field)) if field else ""
    archived = [backups.last_wal(number) for number in backups.REPOSITORIES]
    with beside(host, target_type=kind, target=target) as reached:
        assert "reached" in reached, reached
        assert inside(host, "SELECT pg_is_in_recovery()") == "t"
        assert inside(host, "SHOW listen_addresses") == ""
        assert inside(host, "SHOW archive_mode") == "off"
        there = inside(host, "SELECT to_regclass('restored') IS NOT NULL")
        assert there == ("t" if rows else "f"), kind
        if rows:
            assert inside(host, "SELECT string_agg(id::text, ',' ORDER BY id) FROM restored") == rows
        if kind == "time":
            # Promoted, it writes a timeline of its own, which stays where it is.
            inside(host, "SELECT pg_promote(true, 60)")
            inside(host, "CREATE TABLE written_beside (); SELECT pg_switch_wal()")
    time.sleep(2)
    assert [backups.last_wal(number) for number in backups.REPOSITORIES] == archived
    assert cluster.followers() == set(cluster.nodes()) - {cluster.primary()}


@pytest.mark.usefixtures("written")
def test_just_before_a_transaction(written: Written) -> None:
    host = standby()
    with beside(host, target_type="xid", target=written.xid, exclusive=True):
        assert inside(host, "SELECT string_agg(id::text, ',' ORDER BY id) FROM restored") == "0"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "before the window": (
        {"target_type": "time", "target": "2020-01-01 00:00:00+00"},
        "is before the window: repository 1: from ",
    ),
    "in the future": ({"target_type": "time", "target": "2099-01-01 00:00:00+00"}, "is in the future: it is "),
    "a position before": (
        {"target_type": "lsn", "target": "0/100"},
        "target LSN 0/100 is before the window: repository 1: from ",
    ),
    "a position after": (
        {"target_type": "lsn", "target": "FF/0"},
        "target LSN FF/0 is after the window: repository 1: from ",
    ),
    "no zone": ({"target_type": "time", "target": "2026-01-01 00:00:00"}, "has no zone: add one"),
    "a timeline": ({"timeline": "77"}, "timeline 77 is not in the archive, which knows 1"),
    "a backup": ({"backup": "20200101-000000F"}, "there is no backup '20200101-000000F'; the newest ones are "),
    "a repository": ({"repository": 9}, "repository 9 has no backup of 'lab'; there are some in 1"),
    "a stanza": ({"stanza": "nobody"}, "unknown stanza 'nobody'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_reached_is_refused(case: str) -> None:
    asked, words = REFUSED[case]
    given = {"stanza": backups.STANZA, "bin_directory": BINARIES, "beside": f"{BASE}/{PORT}", "port": PORT, **asked}
    refused = module(standby(), "pgbackrest_restore", **given)
    assert words in refused["msg"], refused
    assert "\n" not in refused["msg"]
    assert cluster.on(standby(), "ls", "-A", BASE, check=False) == ""


def test_a_window_names_both_its_ends() -> None:
    refused = plan(standby(), target_type="time", target="2020-01-01 00:00:00+00")["msg"]
    assert refused.count(" UTC (LSN ") == 2 * len(backups.REPOSITORIES)
    assert refused.count("end of backup ") == refused.count("end of the newest WAL") == len(backups.REPOSITORIES)


def stored(segment: str) -> list[str]:
    """Return the files that hold a segment on the host of the repositories."""
    found = cluster.on(
        backups.STORE, "find", "/var/lib", "/srv", "-name", f"{segment}-*", "-not", "-path", "*/aside/*", check=False
    )
    return found.split()


@contextmanager
def missing(files: list[str]) -> Iterator[None]:
    """Have files of a repository gone for a while."""
    for file in files:
        cluster.on(backups.STORE, "mv", file, f"{file}.gone")
    try:
        yield
    finally:
        for file in files:
            cluster.on(backups.STORE, "mv", f"{file}.gone", file)


def test_a_missing_segment_is_named_before_it_is_needed(written: Written) -> None:
    """Of two repositories one fills the gaps of the other; where both lack it the restore does not begin."""
    host, node = standby(), cluster.primary()
    segment = cluster.ask(node, f"SELECT pg_walfile_name('{written.lsn}')")
    backups.archived(backups.switch_wal(node))
    files = stored(segment)
    # A store that keeps files in a form of its own has nothing to take away: then the one repository is asked alone.
    alone = {"repository": 1} if len(files) == 1 else {}
    with missing(files):
        refused = plan(host, **alone).get("msg", "")
        assert f"WAL segment {segment} is missing in repository" in refused, refused
        assert "can be reached. Aim before it" in refused
        assert "plan" in plan(host, target_type="immediate", **alone)
    with missing(files[:1]):
        assert "plan" in plan(host)


def test_room_is_asked_for_first() -> None:
    """Both figures are named."""
    host = standby()
    cluster.on(host, "mkdir", "-p", "/mnt/small")
    cluster.on(host, "mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", "/mnt/small")
    try:
        refused = module(
            host, "pgbackrest_restore", stanza=backups.STANZA, bin_directory=BINARIES, beside="/mnt/small/x", port=PORT
        )
    finally:
        cluster.on(host, "umount", "/mnt/small")
    assert "not enough room for the restore: it takes " in refused["msg"], refused
    assert "/mnt/small has 16 MiB free" in refused["msg"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "it replaces the data of lab: confirm that by -e confirm=lab"),
        ({"confirm": "production"}, "confirm=production is not the name of this cluster, which is lab"),
        ({"confirm": "lab", "target_lsn": "0/1"}, "target_lsn is for the playbook restore_point_in_time"),
        ({"then": "back", "confirm": "lab"}, "no restore in place is on record on any server that answers"),
    ],
)
def test_nothing_is_restored_by_mistake(asked: dict[str, str], words: str) -> None:
    run = cluster.play("restore", **asked)
    assert run.code != 0
    assert words in " ".join(run.text.split()), run.text
    cluster.whole()


# In place


def rows() -> str:
    return cluster.ask(
        cluster.primary(), "SELECT string_agg(id::text, ',' ORDER BY id) FROM restored", cluster.DATABASE
    )


def kept(node: str) -> list[str]:
    """Return what restores in place have put aside on a host."""
    names = cluster.on(node, "ls", "-A", str(Path(cluster.DATA).parent)).split()
    return [name for name in names if ".aside-" in name or "pgsteward_restore" in name or "restoring" in name]


def test_a_dropped_table_is_back(written: Written) -> None:
    """The one whole way: clients of the pooler wait, standbys are made anew, WAL is archived on the new timeline, what was there is kept."""
    node = cluster.primary()
    with load.Load([cluster.url(pooler) for pooler in cluster.poolers()], writers=2, rate=20.0) as clients:
        run = cluster.play("restore_point_in_time", target_name=POINT, confirm="lab")
        assert run.code == 0, run.text
        cluster.goes_on(clients)
        report = clients.stop()
    assert report.write_errors == 0, report
    print(
        f"\nrestore in place: {run.seconds:.0f} s, clients of the pooler wait {report.write_stall_of_all.seconds:.1f} s of them"
    )
    assert run.report["outcome"] == "restored"
    assert run.report["plan"]["target"] == f"restore point '{POINT}'"
    assert cluster.primary() == node
    assert rows() == "0,1,2"
    cluster.whole()
    assert int(cluster.ask(node, "SELECT timeline_id FROM pg_control_checkpoint()")) > written.timeline
    backups.archived(backups.switch_wal(node), 60)
    # Nothing of the restore is left in the settings, here or where its copies are.
    for server in cluster.nodes():
        assert "recovery_target" not in cluster.on(server, "cat", f"{cluster.DATA}/postgresql.auto.conf")
        assert cluster.ask(server, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
    assert len(kept(node)) == 2
    assert f"in {cluster.DATA}.aside-" in " ".join(run.text.split())
    removed = cluster.play("restore", then="remove", confirm="lab")
    assert removed.code == 0, removed.text
    assert kept(node) == []


def test_a_time_that_was_undone_wants_a_decision(written: Written) -> None:
    """After the restore point the first timeline went on: the table was dropped there."""
    refused = plan(standby(), target_type="time", target=written.second)["msg"]
    assert "is of a time that was undone: a restore left timeline" in refused, refused
    assert f"Choose: timeline={written.timeline} has what was there at that time" in refused
    with beside(standby(), target_type="time", target=written.second, timeline=str(written.timeline)):
        assert inside(standby(), "SELECT to_regclass('restored') IS NULL") == "t"


@full_only
def test_site_has_nothing_to_do_afterwards() -> None:
    run = plays.play(plays.SITE, host="all")
    assert run.code == 0, run.text
    assert run.changed == 0, run.text


@full_only
def test_a_target_that_is_not_there_puts_everything_back() -> None:
    """It is known only when the WAL has been replayed; the former data are back, and nothing is left of the attempt."""
    node = cluster.primary()
    identity = cluster.on(node, "stat", "-c", "%i", cluster.DATA)
    cluster.ask(node, "INSERT INTO restored VALUES (9, 'after')", cluster.DATABASE)
    run = cluster.play("restore_point_in_time", target_name="nobody", confirm="lab")
    words = " ".join(run.text.split())
    assert run.code != 0
    assert "the server ended before it had reached restore point 'nobody'" in words, run.text
    assert "What was there before is back in" in words
    assert run.report["outcome"] == "undone"
    cluster.whole()
    assert cluster.primary() == node
    assert rows() == "0,1,2,9"
    assert cluster.on(node, "stat", "-c", "%i", cluster.DATA) == identity
    assert kept(node) == []


@full_only
@pytest.mark.parametrize("then", ["back", "promote"])
def test_a_look_before_it_takes_writes(then: str) -> None:
    node = cluster.primary()
    cluster.ask(node, "DELETE FROM restored WHERE id = 9", cluster.DATABASE)
    time.sleep(1)
    point = restores.now(node)
    time.sleep(0.1)
    cluster.ask(node, "INSERT INTO restored VALUES (9, 'after')", cluster.DATABASE)
    run = cluster.play("restore_point_in_time", target_time=point, confirm="lab", promote=False)
    assert run.code == 0, run.text
    assert run.report["outcome"] == "waits"
    assert cluster.writable() == []
    assert cluster.ask(node, "SELECT count(*) FROM restored WHERE id = 9", cluster.DATABASE) == "0"
    decided = cluster.play("restore", then=then, confirm="lab")
    assert decided.code == 0, decided.text
    cluster.whole()
    assert cluster.primary() == node
    assert ("9" in rows().split(",")) == (then == "back")
    if then == "promote":
        assert cluster.play("restore", then="remove", confirm="lab").code == 0
    assert kept(node) == []


@full_only
def test_a_run_that_is_killed_in_the_middle_leaves_what_was_there() -> None:
    """kill -9 on the controller and on the host, while the data come; the server starts with what it had, and a second run ends well."""
    node = cluster.primary()
    cluster.ask(
        node,
        "CREATE TABLE large AS SELECT g, gen_random_uuid(), md5(g::text) FROM generate_series(1, 2000000) g",
        cluster.DATABASE,
    )
    backups.archived(backups.switch_wal(node), 120)
    assert backups.play("pgsteward.postgres.backup", type="full").code == 0
    running = cluster.start("restore", confirm="lab")
    cluster.until(
        lambda: cluster.on(node, "ls", f"{cluster.DATA}.restoring/base", check=False), 300, "the restore has begun"
    )
    os.killpg(running[0].pid, signal.SIGKILL)
    running[0].communicate()
    module_processes = cluster.on(node, "pgrep", "-f", "AnsiballZ_pgbackrest_restore").split()
    cluster.on(node, "kill", "-9", *module_processes)
    cluster.until(
        lambda: not cluster.on(node, "pgrep", "-f", "pgbackrest.*restore", check=False), 30, "the end of pgbackrest"
    )
    assert cluster.on(node, "cat", f"{cluster.DATA}/PG_VERSION") == str(cluster.MAJOR)
    run = cluster.play("restore", confirm="lab", node=node, take_over=True)
    assert run.code == 0, run.text
    cluster.whole()
    assert cluster.ask(node, "SELECT count(*) FROM large", cluster.DATABASE) == "2000000"
    assert cluster.play("restore", then="remove", confirm="lab").code == 0
    cluster.ask(node, "DROP TABLE large", cluster.DATABASE)
