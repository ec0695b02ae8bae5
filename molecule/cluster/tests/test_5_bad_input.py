"""What cannot be right is refused with its reason before anything changes."""

from __future__ import annotations

from typing import Any

import cluster
import pytest
from conftest import full_only

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
        pytest.param("failover", {"force": STANDBY}, "is a primary that answers", marks=full_only),
        ("rejoin", {}, "rejoin wants the host that is to come back"),
        pytest.param("rejoin", {"node": PRIMARY}, "is the primary; there is nothing to come back to", marks=full_only),
        pytest.param(
            "reinit_standby",
            {"node": UNKNOWN},
            "reinit_standby wants the standby that is to be made anew",
            marks=full_only,
        ),
        pytest.param(
            "site",
            {"pg_replica_synchronous": "quorum", "pg_replica_synchronous_hosts": [UNKNOWN]},
            "node9 is no host of this cluster",
            marks=full_only,
        ),
        ("site", {"pg_replica_synchronous": "quorum", "pg_replica_synchronous_count": 3}, "3 standbys cannot confirm"),
        pytest.param("site", {"pg_replica_password": ""}, "pg_replica_password: it is empty", marks=full_only),
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


@full_only
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


@full_only
def test_a_pooler_that_was_not_asked_is_noticed() -> None:
    with cluster.connect(cluster.poolers()[0], cluster.WRITER, port=6432, prepare_threshold=None) as connection:
        connection.execute("SELECT 1")
        run = cluster.play("switchover", "--limit", "postgres:!pool1", "--check")
    # A pooler that is left out of the run has not answered.
    assert run.code != 0
    assert "pool1 cannot be asked" in " ".join(run.text.split()), run.text


@full_only
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
