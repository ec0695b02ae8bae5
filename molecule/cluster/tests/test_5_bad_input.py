"""What cannot be right is refused with its reason before anything changes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import cluster
import lab
import pytest
import yaml

UNKNOWN, PRIMARY, STANDBY = "node9", "the primary", "a standby"


def name_of(word: str) -> str:
    if word == PRIMARY:
        return cluster.primary()
    return sorted(cluster.followers())[0] if word == STANDBY else word


@pytest.mark.parametrize(
    ("playbook", "variables", "words"),
    [
        ("switchover", {"candidate": UNKNOWN}, "candidate node9 is no host of this cluster"),
        ("switchover", {"candidate": PRIMARY}, "is the primary already"),
        ("failover", {}, "is a primary that answers: run switchover, which loses nothing"),
        pytest.param("failover", {"force": STANDBY}, "is a primary that answers", marks=lab.full_only),
        ("rejoin", {}, "rejoin wants the host that is to come back"),
        pytest.param(
            "rejoin", {"node": PRIMARY}, "is the primary; there is nothing to come back to", marks=lab.full_only
        ),
        pytest.param(
            "reinit_standby",
            {"node": UNKNOWN},
            "reinit_standby wants the standby that is to be made anew",
            marks=lab.full_only,
        ),
        pytest.param(
            "site",
            {"pg_replica_synchronous": "quorum", "pg_replica_synchronous_hosts": [UNKNOWN]},
            "node9 is no host of this cluster",
            marks=lab.full_only,
        ),
        ("site", {"pg_replica_synchronous": "quorum", "pg_replica_synchronous_count": 3}, "3 standbys cannot confirm"),
        pytest.param("site", {"pg_replica_password": ""}, "pg_replica_password: it is empty", marks=lab.full_only),
    ],
)
def test_refused(playbook: str, variables: dict[str, Any], words: str) -> None:
    before, timeline = (
        cluster.primary(),
        cluster.ask(cluster.primary(), "SELECT timeline_id FROM pg_control_checkpoint()"),
    )
    given = {name: name_of(value) if isinstance(value, str) else value for name, value in variables.items()}
    run = cluster.play(playbook, **given)
    assert run.code != 0, run.text
    assert words in " ".join(run.text.split()), run.text
    assert cluster.primary() == before
    assert cluster.ask(before, "SELECT timeline_id FROM pg_control_checkpoint()") == timeline
    cluster.whole()


@lab.full_only
def test_a_candidate_whose_replay_is_paused_is_refused() -> None:
    candidate = sorted(cluster.followers())[0]
    cluster.ask(candidate, "SELECT pg_wal_replay_pause()")
    try:
        paused = cluster.play("switchover", candidate=candidate)
        assert paused.code != 0
        assert f"replay on candidate {candidate} is paused" in " ".join(paused.text.split()), paused.text
    finally:
        cluster.ask(candidate, "SELECT pg_wal_replay_resume()")
    cluster.whole()


def test_a_candidate_that_lags_is_refused() -> None:
    candidate = sorted(cluster.followers())[0]
    cluster.ask(candidate, "ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
    cluster.ask(candidate, "SELECT pg_reload_conf()")
    try:
        # It stands still at the first commit.
        cluster.ask(cluster.primary(), "SELECT pg_logical_emit_message(true, 'lab', repeat('x', 200000))")
        cluster.ask(cluster.primary(), "SELECT pg_logical_emit_message(true, 'lab', repeat('x', 200000))")
        run = cluster.play("switchover", candidate=candidate, pg_replica_max_lag="64kB")
    finally:
        cluster.ask(candidate, "ALTER SYSTEM RESET recovery_min_apply_delay")
        cluster.ask(candidate, "SELECT pg_reload_conf()")
    assert run.code != 0
    words = " ".join(run.text.split())
    assert re.search(rf"candidate {candidate} is \d{{6,}} bytes behind .*pg_replica_max_lag \(64kB\)", words), run.text
    cluster.whole()


@lab.full_only
def test_without_a_standby_nobody_takes_over() -> None:
    before, standbys = cluster.primary(), sorted(cluster.followers())
    for node in standbys:
        cluster.on(node, "systemctl", "stop", cluster.SERVICE)
    try:
        for playbook, variables in (("switchover", {}), ("failover", {"force": before})):
            run = cluster.play(playbook, **variables)
            assert run.code != 0
            assert "there is nobody to take over" in " ".join(run.text.split()), run.text
            assert cluster.writable() == [before]
    finally:
        for node in standbys:
            cluster.on(node, "systemctl", "start", cluster.SERVICE)
    cluster.whole()


def test_a_pooler_that_the_inventory_lacks_gives_itself_away(tmp_path: Path) -> None:
    """Its clients would meet a server that is going down."""
    before, missing = cluster.primary(), cluster.poolers()[-1]
    inventory = tmp_path / "inventory"
    shutil.copytree(lab.INVENTORY.parent, inventory)
    hosts = inventory / "hosts.yml"
    known = yaml.safe_load(hosts.read_text())
    groups = known["all"]["children"]["lab"]
    del groups["children"]["pgbouncer"]["hosts"][missing]
    groups["vars"]["lab_root"] = str(lab.ROOT)
    hosts.write_text(yaml.safe_dump(known))
    with cluster.connect(missing, cluster.WRITER, port=6432, prepare_threshold=None) as client:
        client.execute("SELECT 1")
        run = cluster.play("switchover", inventory=hosts)
    assert run.code != 0
    words = f"a pooler at {cluster.address(missing)} serves clients of the primary and is not in the inventory"
    assert words in " ".join(run.text.split()), run.text
    assert cluster.primary() == before


@lab.full_only
def test_a_pooler_that_was_not_asked_is_noticed() -> None:
    with cluster.connect(cluster.poolers()[0], cluster.WRITER, port=6432, prepare_threshold=None) as connection:
        connection.execute("SELECT 1")
        run = cluster.play("switchover", "--limit", "postgres:!pool1", "--check")
    # A pooler that is left out of the run has not answered.
    assert run.code != 0
    assert "pool1 cannot be asked" in " ".join(run.text.split()), run.text


@lab.full_only
def test_a_transaction_that_is_open_for_long_is_refused() -> None:
    with cluster.connect(cluster.primary(), cluster.OWNER) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT 1")
        cluster.until(
            lambda: (
                float(
                    cluster.ask(
                        cluster.primary(),
                        "SELECT extract(epoch FROM max(now() - xact_start)) FROM pg_stat_activity WHERE usename = 'powergym_migrator'",
                    )
                    or 0
                )
                > 1.5
            ),
            10,
            "an old transaction",
        )
        run = cluster.play("switchover", pg_replica_max_transaction_age=1)
    assert run.code != 0
    assert "has been open for" in " ".join(run.text.split()), run.text
