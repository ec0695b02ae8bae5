"""Planned changes of primary under load: nobody gets an error, nothing is lost, and the wait is short."""

from __future__ import annotations

import re
import statistics
import subprocess
from pathlib import Path

import cluster
import lab
import plays
import pytest

ROUNDS = 10 if lab.FULL else 2  # there and back
RAW_ROUNDS = 4 if lab.FULL else 1
LONGEST, MEDIAN = 1.0, 0.6


@pytest.fixture(scope="module")
def stalls() -> dict[str, list[float]]:
    return {"ours": [], "raw": [], "seconds": []}


@pytest.mark.parametrize("_turn", range(RAW_ROUNDS))
def test_the_same_steps_by_hand(_turn: int, stalls: dict[str, list[float]]) -> None:
    """The other side of the ratio: no module, no checks, the same servers under the same load. First, as it leaves the readers aside."""
    old = cluster.primary()
    new = next(node for node in cluster.nodes() if node != old)
    script = Path(lab.ROOT) / "molecule" / "shared" / "raw_switchover.sh"
    with cluster.loaded() as running:
        run = subprocess.run([str(script), old, new, *cluster.poolers()], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        cluster.goes_on(running)
        report = running.stop()
    stalls["raw"].append(report.write_stall.seconds)
    cluster.whole()


@pytest.mark.parametrize("_turn", range(ROUNDS))
def test_clients_do_not_notice(_turn: int, stalls: dict[str, list[float]]) -> None:
    before = cluster.primary()
    with cluster.loaded() as running:
        run = cluster.play("switchover")
        cluster.goes_on(running)
        report = running.stop()
    assert run.code == 0, run.text
    assert cluster.primary() != before
    cluster.whole()
    assert (report.write_errors, report.read_errors) == (0, 0), report
    assert cluster.lost(report) == []
    assert report.commits_per_second >= 500 or not lab.FULL, report
    assert report.write_stall.seconds <= LONGEST, report
    stalls["ours"].append(report.write_stall.seconds)
    stalls["seconds"].append(run.seconds)
    assert run.report["outcome"] == "done"
    assert run.report["primary_after"] == cluster.primary()
    assert run.report["loss"]["bytes"] == 0


def test_the_median_is_short(stalls: dict[str, list[float]]) -> None:
    median, raw = statistics.median(stalls["ours"]), statistics.median(stalls["raw"])
    print(
        f"\nswitchover: longest stall of a client {max(stalls['ours']):.3f} s, median {median:.3f} s, by hand {raw:.3f} s,"
        f" ratio {median / raw:.2f}; the playbook takes {statistics.median(stalls['seconds']):.1f} s"
    )
    assert median <= MEDIAN


def test_site_keeps_the_topology() -> None:
    before, started = cluster.primary(), cluster.ask(cluster.primary(), "SELECT pg_postmaster_start_time()")
    run = cluster.play("site")
    assert run.code == 0, run.text
    assert cluster.primary() == before
    assert cluster.ask(before, "SELECT pg_postmaster_start_time()") == started
    assert plays.Played(run.code, run.text).changed == 0, run.text


def test_a_dry_run_shows_the_plan_and_acts_on_nothing() -> None:
    before = cluster.primary()
    run = cluster.play("switchover", "--check")
    assert run.code == 0, run.text
    assert re.search(rf"primary: {before}", run.text)
    assert "becomes primary" in run.text
    assert cluster.primary() == before
    for pooler in cluster.poolers():
        assert "pgsteward-resume" not in cluster.on(pooler, "systemctl", "list-timers", "--no-pager")
