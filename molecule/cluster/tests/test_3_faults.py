"""A switchover that goes wrong in the middle: somebody serves again soon, never two, nothing is lost, and the run says what happened."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cluster
import lab
import psycopg
import pytest

SOON, ARMED = 5.0, 35.0  # seconds without a commit: with somebody who acts, and where only the armed RESUME is left


@dataclass(frozen=True)
class Scene:
    """Who is who when the fault is injected. playing: the run of the playbook; client: one with an open transaction."""

    old: str
    new: str
    playing: tuple[subprocess.Popen[str], float]
    client: psycopg.Connection[Any]


def armed() -> bool:
    """Tell whether the poolers are prepared: from then on the module runs within seconds."""
    return all(
        "pgsteward-resume.timer" in cluster.on(pooler, "systemctl", "list-timers", "--no-pager", "--plain", check=False)
        for pooler in cluster.poolers()
    )


def step(old: str) -> str:
    """Return what the run on the primary's host has noted of itself."""
    return cluster.on(old, "sh", "-c", "cat /var/lib/pgsteward/operation.json 2>/dev/null", check=False)


def pausing(scene: Scene) -> None:
    """Wait until clients are being held back."""
    cluster.until(lambda: '"step": "pause"' in step(scene.old) or scene.playing[0].poll() is not None, 60, "PAUSE")


def candidate_is_killed(scene: Scene) -> None:
    pausing(scene)
    cluster.cut_power(scene.new)


def pooler_does_not_answer(scene: Scene) -> None:
    """After it was prepared, and before PAUSE."""
    pooler = cluster.poolers()[1]
    cluster.on(pooler, "sh", "-c", "kill -STOP $(cat /run/pgbouncer/pgbouncer.pid)")
    cluster.until(lambda: scene.playing[0].poll() is not None or "pause" in step(scene.old), 60, "PAUSE")
    time.sleep(4)  # longer than PAUSE may take
    cluster.on(pooler, "sh", "-c", "kill -CONT $(cat /run/pgbouncer/pgbouncer.pid)")


def promoting(scene: Scene) -> None:
    """Wait until the candidate was asked; what it runs at the end of recovery keeps it there for a while."""
    cluster.until(
        lambda: '"promotion_requested": true' in step(scene.old) or scene.playing[0].poll() is not None,
        60,
        "the request",
    )
    assert scene.playing[0].poll() is None, cluster.finish(scene.playing).text
    cluster.until(lambda: cluster.on(scene.new, "pgrep", "-f", "[s]leep 13", check=False), 5, "the end of recovery")


def candidate_is_killed_while_it_is_promoted(scene: Scene) -> None:
    with contextlib.suppress(psycopg.Error):
        scene.client.execute("COMMIT")
    promoting(scene)
    cluster.on(scene.new, "pkill", "-9", "-x", "postgres")


def candidate_host_is_lost_while_it_is_promoted(scene: Scene) -> None:
    with contextlib.suppress(psycopg.Error):
        scene.client.execute("COMMIT")
    promoting(scene)
    cluster.cut_power(scene.new)


def promotion_is_late(scene: Scene) -> None:
    """What the server runs at the end of recovery takes longer than the module waits; it was set beforehand."""


def primary_does_not_stop(scene: Scene) -> None:
    """A walsender that stands still; the server waits for it."""
    pausing(scene)
    cluster.on(scene.old, "sh", "-c", f"kill -STOP $(pgrep -f 'postgres: .*[w]alsender.*{cluster.address(scene.new)}')")


def keyboard(scene: Scene) -> None:
    pausing(scene)
    cluster.interrupt(scene.playing)


def primary_host_is_lost(scene: Scene) -> None:
    pausing(scene)
    cluster.cut_power(scene.old)


# Faults for which the end of recovery takes longer than the module waits.
SLOW = (candidate_is_killed_while_it_is_promoted, candidate_host_is_lost_while_it_is_promoted, promotion_is_late)


@pytest.mark.usefixtures("healed")
@pytest.mark.parametrize(
    ("fault", "limit", "words"),
    [
        pytest.param(candidate_is_killed, SOON, "switchover failed", marks=lab.full_only),
        pytest.param(pooler_does_not_answer, SOON, "switchover failed", marks=lab.full_only),
        (candidate_is_killed_while_it_is_promoted, SOON, "never took writes and is fenced"),
        pytest.param(candidate_host_is_lost_while_it_is_promoted, ARMED, "takes writes again", marks=lab.full_only),
        pytest.param(promotion_is_late, ARMED, "the promotion of", marks=lab.full_only),
        pytest.param(primary_does_not_stop, SOON, "did not stop within", marks=lab.full_only),
        pytest.param(keyboard, SOON, "", marks=lab.full_only),
        (primary_host_is_lost, ARMED, "cannot be reached any more, in the middle of the switchover"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_somebody_serves_again(fault: Callable[[Scene], None], limit: float, words: str) -> None:
    old = cluster.primary()
    new = sorted(cluster.followers())[0]
    if fault in SLOW:
        cluster.ask(new, "ALTER SYSTEM SET recovery_end_command = 'sleep 13'")
        cluster.ask(new, "SELECT pg_reload_conf()")
    try:
        with (
            cluster.loaded() as running,
            cluster.connect(cluster.poolers()[0], cluster.WRITER, port=6432, prepare_threshold=None) as client,
        ):
            cluster.goes_on(running)
            scene = Scene(old, new, cluster.start("switchover", candidate=new, **cluster.FENCE), client)
            cluster.until(lambda: armed() or scene.playing[0].poll() is not None, 90, "prepared poolers")
            # A transaction that is open when PAUSE comes: clients are held back until it ends, after the fault.
            client.execute("BEGIN")
            client.execute("SELECT 1")
            fault(scene)
            with contextlib.suppress(psycopg.Error):
                client.execute("COMMIT")
            run = cluster.finish(scene.playing)
            cluster.goes_on(running, 60)
            assert len(cluster.writable()) == 1
            report = running.stop()
    finally:
        if fault in SLOW:  # the server may be stopped, its host too
            if not cluster.is_up(new):
                cluster.power_on(new)
            cluster.on(new, "sed", "-i", "/recovery_end_command/d", f"{cluster.DATA}/postgresql.auto.conf")
            cluster.ask(new, "SELECT pg_reload_conf()")
    assert run.code != 0, run.text
    assert words in " ".join(run.text.split()), run.text
    assert cluster.lost(report) == []
    if fault is keyboard:  # whose lock ends by itself, but not before the next test
        for node in cluster.nodes():
            cluster.on(node, "systemctl", "stop", "pgsteward-operation", check=False)
    print(
        f"\n{fault.__name__}: no commit for {report.write_stall_of_all.seconds:.1f} s; {cluster.primary()} serves; {report.write_errors} errors"
    )
    assert report.write_stall_of_all.seconds <= limit, report


@lab.full_only
@pytest.mark.usefixtures("healed")
def test_the_disk_of_the_candidate_is_full() -> None:
    """Its WAL lies on a disk of its own, which is filled once the poolers are prepared."""
    old, new = cluster.primary(), sorted(cluster.followers())[0]
    small = (
        f"systemctl stop {cluster.SERVICE} && mv {cluster.DATA}/pg_wal {cluster.DATA}/pg_wal.kept && mkdir {cluster.DATA}/pg_wal"
        f" && mount -t tmpfs -o size=1g tmpfs {cluster.DATA}/pg_wal && cp -a {cluster.DATA}/pg_wal.kept/. {cluster.DATA}/pg_wal/"
        f" && chown -R postgres: {cluster.DATA}/pg_wal && chmod 700 {cluster.DATA}/pg_wal && systemctl start {cluster.SERVICE}"
    )
    cluster.on(new, "sh", "-c", small)
    cluster.whole()
    try:
        with cluster.loaded(rate=160.0) as running:
            playing = cluster.start("switchover", candidate=new)
            cluster.until(lambda: armed() or playing[0].poll() is not None, 90, "prepared poolers")
            cluster.on(new, "sh", "-c", f"dd if=/dev/zero of={cluster.DATA}/pg_wal/filler bs=1M", check=False)
            run = cluster.finish(playing)
            cluster.goes_on(running, 60)
            report = running.stop()
        assert len(cluster.writable()) == 1
        assert cluster.lost(report) == []
        # A segment that was there already may have had room for the few records that were missing.
        assert run.code != 0 or cluster.primary() == new
    finally:
        back = (
            f"systemctl stop {cluster.SERVICE}; rm -f {cluster.DATA}/pg_wal/filler; cp -a {cluster.DATA}/pg_wal/. {cluster.DATA}/pg_wal.kept/;"
            f" umount {cluster.DATA}/pg_wal && rmdir {cluster.DATA}/pg_wal && mv {cluster.DATA}/pg_wal.kept {cluster.DATA}/pg_wal;"
            f" systemctl start {cluster.SERVICE}"
        )
        cluster.on(new, "sh", "-c", back, check=False)
    assert old in cluster.nodes()
