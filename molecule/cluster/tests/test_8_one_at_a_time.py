"""Two changes of primary at once are one: the second is refused and says whose lock it met, and a run that was killed is named."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import cluster
import lab
import pytest

LOG = "/var/log/pgsteward/operations.log"


def held(node: str) -> str:
    """Return what the unit on a server says of the run that holds it, nothing where there is none."""
    seen = cluster.on(
        node, "systemctl", "show", "--property=ActiveState,Description", "pgsteward-operation", check=False
    )
    lines = dict(line.split("=", 1) for line in seen.splitlines())
    return lines["Description"] if lines.get("ActiveState") == "active" else ""


def logged(node: str) -> list[dict[str, Any]]:
    """Return the lines of the log on a server."""
    return [json.loads(line) for line in cluster.on(node, "cat", LOG).splitlines()]


@pytest.mark.usefixtures("healed")
def test_a_second_switchover_is_refused() -> None:
    before, (first, second) = cluster.primary(), sorted(cluster.followers())
    running = cluster.start("switchover", candidate=first)
    cluster.until(lambda: all(held(node) for node in cluster.nodes()), 60, "the lock on every server")
    refused = cluster.play("switchover", candidate=second)
    run = cluster.finish(running)
    assert refused.code != 0
    words = " ".join(refused.text.split())
    assert "switchover refused, nothing was changed: another operation runs: switchover by" in words, refused.text
    assert "-e take_over=true" in words
    assert run.code == 0, run.text
    assert (before, cluster.primary()) == (run.report["primary_before"], first)
    for node in cluster.nodes():
        assert held(node) == ""
        assert [line["event"] for line in logged(node)[-3:]] == ["begun", "refused", "ended"], logged(node)
        assert logged(node)[-1]["result"] == "done"
        assert cluster.on(node, "stat", "-c", "%a %U", LOG) == "640 root"


@lab.full_only
@pytest.mark.usefixtures("healed")
def test_a_run_that_was_killed_is_named_and_taken_over() -> None:
    candidate = sorted(cluster.followers())[0]
    process, _began = cluster.start("switchover", candidate=candidate)
    cluster.until(lambda: all(held(node) for node in cluster.nodes()), 60, "the lock on every server")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    dead = held(cluster.primary())
    refused = cluster.play("failover", "--check")
    assert refused.code != 0
    assert f"another operation runs: {dead} (on " in " ".join(refused.text.split()), refused.text
    run = cluster.play("switchover", candidate=candidate, take_over=True)
    assert run.code == 0, run.text
    assert cluster.primary() == candidate
    assert {held(node) for node in cluster.nodes()} == {""}


@lab.full_only
@pytest.mark.usefixtures("healed")
def test_what_is_refused_by_its_plan_holds_nobody_up() -> None:
    assert cluster.play("switchover", candidate="node9").code != 0
    assert {held(node) for node in cluster.nodes()} == {""}
    assert logged(cluster.primary())[-1]["result"] == "refused"
