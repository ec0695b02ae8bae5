"""The record of a change of primary never says more than was seen, and a run that failed never looks like one that did not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._change_report import (
    ending,
    failover_steps,
    fences_of,
    page,
    proof,
    record,
)


def streaming(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "state": "streaming"} for name in names]


AFTER = {"state": "primary", "timeline": 2, "followers": streaming("a", "c")}


@pytest.mark.parametrize(
    ("primary", "expected", "words"),
    [
        (AFTER, ["a", "c"], []),
        (AFTER, [], []),
        ({"state": "primary", "followers": None}, [], []),
        (AFTER, ["a", "c", "d"], ["d does not follow the new primary"]),
        (
            {"state": "primary", "followers": [{"name": "a", "state": "catchup"}]},
            ["a", "c"],
            ["a does not follow", "c does not follow"],
        ),
        (
            {"state": "standby", "followers": streaming("a")},
            ["a"],
            ["the new primary does not take writes: it is standby"],
        ),
        ({"state": "unreachable", "reason": "starting up"}, ["a"], ["it is unreachable starting up"]),
        ({}, ["a"], ["does not take writes: it is unreachable"]),
    ],
)
def test_proof(primary: dict[str, Any], expected: list[str], words: list[str]) -> None:
    found = proof(primary, expected)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True)), found


SWITCHOVER = {"operation": "switchover", "primary": "a", "candidate": "b", "others": ["c"], "warnings": [], "loss": {}}
FAILOVER = {
    **SWITCHOVER,
    "operation": "failover",
    "loss": {"kind": "exact", "bytes": 768, "text": "768 bytes of WAL"},
    "warnings": ["d is unreachable"],
}
HANDED = {
    "steps": [{"name": "pause", "seconds": 0.03349}, {"name": "promote", "seconds": 0.1}],
    "pause_seconds": 0.2737,
    "lsn": "0/500",
    "candidate_lsn": "0/578",
    "timeline_before": 1,
    "warnings": ["pool2 was slow"],
}


def facts(**given: Any) -> dict[str, Any]:
    return {
        "change": SWITCHOVER,
        "environment": "lab",
        "begun": "2026-01-01T03:00:00Z",
        "ended": "2026-01-01T03:00:09Z",
        "seconds": 9.5,
        "serving": "b",
        "result": HANDED,
        "after": AFTER,
        "failure": None,
        "unproven": [],
        **given,
    }


def test_record() -> None:
    assert record(facts()) == {
        "format": 1,
        "operation": "switchover",
        "environment": "lab",
        "outcome": "done",
        "begun": "2026-01-01T03:00:00Z",
        "ended": "2026-01-01T03:00:09Z",
        "seconds": 9.5,
        "primary_before": "a",
        "primary_after": "b",
        "timeline_before": 1,
        "timeline_after": 2,
        "lsn_shutdown": "0/500",
        "lsn_candidate": "0/578",
        "pause_seconds": 0.2737,
        "steps": [{"name": "pause", "seconds": 0.033}, {"name": "promote", "seconds": 0.1}],
        "loss": {"kind": "none", "bytes": 0, "text": "nothing: the candidate had replayed all of it"},
        "standbys": ["a", "c"],
        "warnings": ["pool2 was slow"],
        "failure": None,
        "unproven": [],
    }


LOST_HOST = {"unreachable": True, "msg": "no route to host"}


@pytest.mark.parametrize(
    ("given", "outcome", "kind"),
    [
        ({}, "done", "none"),
        ({"unproven": ["c does not follow the new primary"]}, "failed", "none"),
        # It went back: the former primary goes on.
        ({"failure": "pool2 refused", "serving": "a", "result": {}}, "failed", "none"),
        # Promoted, and something afterwards went wrong.
        ({"failure": "pool2 did not resume"}, "failed", "none"),
        # Nobody saw how it ended.
        ({"failure": "a cannot be reached", "result": LOST_HOST}, "failed", "unknown"),
        ({"failure": "a cannot be reached", "result": LOST_HOST, "serving": None}, "failed", "unknown"),
        ({"change": FAILOVER, "result": {}}, "done", "exact"),
        ({"change": FAILOVER, "result": {}, "failure": "the promotion did not end"}, "failed", "exact"),
    ],
)
def test_outcome_and_loss(given: dict[str, Any], outcome: str, kind: str) -> None:
    one = record(facts(**given))
    assert (one["outcome"], one["loss"]["kind"]) == (outcome, kind)
    assert (ending(one) is None) is (outcome == "done")
    assert json.loads(json.dumps(one)) == one


def test_a_record_of_little() -> None:
    one = record(facts(change=FAILOVER, result=None, after=None, serving=None, failure="no", unproven=None))
    assert (one["timeline_before"], one["timeline_after"], one["steps"], one["standbys"]) == (None, None, [], [])
    assert one["warnings"] == ["d is unreachable"]


MOMENTS = {"started": 100.0, "seen": 103.5, "planned": "104.0", "promoted": 106.0, "led": 107.0, "ended": 112.0}
FENCES = [{"name": "a", "seconds": 0.3}, {"name": "d", "seconds": 0.7}]


@pytest.mark.parametrize(
    ("moments", "fences", "steps"),
    [
        (
            {},
            FENCES,
            {
                "observe": 3.5,
                "plan": 0.5,
                "fence a": 0.3,
                "fence d": 0.7,
                "promote": 1.0,
                "lead clients": 1.0,
                "settle": 5.0,
            },
        ),
        ({}, [], {"observe": 3.5, "plan": 0.5, "promote": 2.0, "lead clients": 1.0, "settle": 5.0}),
        # It came no further than the fence, or than the plan.
        (
            {"promoted": None, "led": None},
            FENCES[:1],
            {"observe": 3.5, "plan": 0.5, "fence a": 0.3, "settle": 7.7},
        ),
        ({"promoted": None, "led": None}, [], {"observe": 3.5, "plan": 0.5, "settle": 8.0}),
        # Nothing is shorter than nothing, whatever two clocks say.
        ({"promoted": 104.2}, FENCES[1:], {"fence d": 0.7, "promote": 0.0}),
    ],
)
def test_failover_steps(moments: dict[str, Any], fences: list[dict[str, Any]], steps: dict[str, float]) -> None:
    found = {step["name"]: round(step["seconds"], 6) for step in failover_steps({**MOMENTS, **moments}, fences)}
    assert found | steps == found
    if len(steps) > 2:
        assert list(found) == list(steps)
        assert round(sum(found.values()), 6) == 12.0


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ({"seconds": 0.25, "fenced": True}, [{"name": "a", "seconds": 0.25}]),
        (
            {"start": "2026-01-01 03:00:00.250000", "end": "2026-01-01 03:00:02.000000"},
            [{"name": "a", "seconds": 1.75}],
        ),
        ({"unreachable": True, "msg": "no route"}, []),
        ({"skipped": True}, []),
    ],
)
def test_fences_of(result: dict[str, Any], found: list[dict[str, Any]]) -> None:
    assert fences_of([{**result, "ansible_loop_var": "__host", "__host": "a"}]) == found


def test_the_record_of_a_failover_has_steps_and_timelines() -> None:
    result = {"steps": failover_steps(MOMENTS, FENCES)}
    one = record(facts(change={**FAILOVER, "timeline": 4}, result=result))
    assert (one["timeline_before"], one["timeline_after"]) == (4, 2)
    assert [step["name"] for step in one["steps"]][2:5] == ["fence a", "fence d", "promote"]
    assert "| fence d | 0.700 |" in page(one)


def test_page() -> None:
    assert page(record(facts())) == (
        "# Switchover of lab: done\n"
        "\n"
        "* begun 2026-01-01T03:00:00Z, ended 2026-01-01T03:00:09Z, 9.5 s\n"
        "* primary: a before, b after\n"
        "* timeline: 1 before, 2 after\n"
        "* loss: nothing: the candidate had replayed all of it\n"
        "* shut down at 0/500, the candidate had replayed 0/578\n"
        "* clients of the poolers waited 0.274 s\n"
        "* standbys that follow: a, c\n"
        "\n"
        "| step | seconds |\n"
        "|---|---|\n"
        "| pause | 0.033 |\n"
        "| promote | 0.100 |\n"
        "\n"
        "## Warnings\n"
        "\n"
        "* pool2 was slow\n"
    )


@pytest.mark.parametrize(
    ("given", "there", "absent"),
    [
        (
            {
                "change": FAILOVER,
                "result": {},
                "after": {},
                "serving": None,
                "failure": "it broke",
                "unproven": ["c is away"],
            },
            [
                "# Failover of lab: failed",
                "primary: a before, none after",
                "timeline: not known before, not known after",
                "loss: 768 bytes of WAL",
                "standbys that follow: none",
                "## Failure\n\n* it broke\n",
                "## Not proven\n\n* c is away\n",
                "## Warnings\n\n* d is unreachable\n",
            ],
            ["| step |", "poolers waited", "shut down at"],
        ),
        ({"result": {"lsn": "0/500"}, "failure": "x"}, ["the candidate had replayed not known"], ["## Warnings"]),
        ({"result": {"pause_seconds": 0.0}}, ["waited 0.000 s"], ["## Failure", "## Not proven"]),
    ],
)
def test_page_has(given: dict[str, Any], there: list[str], absent: list[str]) -> None:
    text = page(record(facts(**given)))
    assert [word for word in there if word not in text] == []
    assert [word for word in absent if word in text] == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, None),
        ({"failure": "pool2 refused", "serving": "a"}, "switchover failed: pool2 refused. Now a takes writes"),
        (
            {"failure": "it broke", "serving": None, "unproven": ["c is away"]},
            "switchover failed: it broke; c is away. Now no server is known to take writes",
        ),
        ({"unproven": ["c is away"]}, "switchover failed: c is away. Now b takes writes"),
    ],
)
def test_ending(given: dict[str, Any], said: str | None) -> None:
    assert ending(record(facts(**given))) == said
