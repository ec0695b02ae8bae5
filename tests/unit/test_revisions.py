"""What the runner's answer means, without a runner."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _revisions
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer, Applied, Failure, Revision

GRAPH: dict[str, dict[str, Any]] = {
    name: {"down": down, "message": f"make {name}", "path": f"versions/{name}.py", "labels": []}
    for name, down in {"r1": [], "r2": ["r1"], "r3": ["r2"], "s1": []}.items()
}
R1, R2, R3 = (Revision(name, f"make {name}", f"versions/{name}.py") for name in ("r1", "r2", "r3"))
PLANNED = Answer(
    current=("r1",), heads=("r3", "s1"), targets=("r3",), pending=(R2, R3), graph=GRAPH, version_table="alembic_version"
)


def lines(*facts: dict[str, Any]) -> str:
    return "".join(json.dumps(fact) + "\n" for fact in facts)


PLAN = {"current": ["r1"], "targets": ["r3"], "pending": ["r2", "r3"], "graph": GRAPH}


def test_an_answer_that_ended_well() -> None:
    text = lines(
        PLAN,
        {"running": "r2"},
        {"applied": {"revision": "r2", "seconds": 0.5}},
        {"running": "r3"},
        {"applied": {"revision": "r3", "seconds": 1.5}},
        {"finished": True},
        {"notes": ["Revision x is present more than once"]},
    )
    answer = _revisions.read_answer(text)
    assert answer.applied == (Applied(R2, 0.5), Applied(R3, 1.5))
    assert (answer.finished, answer.running, answer.failure) == (True, None, None)
    assert answer.notes == ("Revision x is present more than once",)


def test_an_answer_cut_short_is_true_as_far_as_it_goes() -> None:
    answer = _revisions.read_answer(lines(PLAN, {"running": "r2"}) + '{"applied": {"revi')
    assert (answer.running, answer.applied, answer.finished) == (R2, (), False)
    assert _revisions.read_answer("") == Answer()


def test_an_answer_with_an_error() -> None:
    answer = _revisions.read_answer(lines(PLAN, {"error": {"text": "bad", "where": "env.py line 3"}, "ours": False}))
    assert answer.failure == Failure("bad", "env.py line 3", False)


@pytest.mark.parametrize(
    ("change", "has_tables", "state"),
    [
        ({"current": ()}, False, "fresh"),
        ({"current": ()}, True, "legacy"),
        ({}, True, "behind"),
        ({"pending": ()}, True, "managed"),
        ({"pending": (), "ahead": True}, True, "ahead"),
    ],
)
def test_state_of(change: dict[str, Any], has_tables: bool, state: str) -> None:
    assert _revisions.state_of(replace(PLANNED, **change), has_tables) == state


@pytest.mark.parametrize(
    ("current", "reached"),
    [(["r3"], True), (["r3", "s1"], True), (["r2"], False), ([], False), (["r3", "alien"], False)],
)
def test_reached(current: list[str], reached: bool) -> None:
    assert _revisions.reached(PLANNED, current) is reached


def test_nothing_to_reach_is_reached() -> None:
    assert _revisions.reached(Answer(graph={}), [])


@pytest.mark.parametrize(("current", "lasting"), [(["r3"], [R2, R3]), (["r2"], [R2]), (["r1"], []), ([], [])])
def test_lasting(current: list[str], lasting: list[Revision]) -> None:
    answer = replace(PLANNED, applied=(Applied(R2, 0.1), Applied(R3, 0.1)))
    assert [item.revision for item in _revisions.lasting(answer, current)] == lasting


@pytest.mark.parametrize(
    ("current", "pending", "expected"),
    [
        (("r1",), (R2, R3), ["r3"]),
        ((), (R1,), ["r1"]),
        (("s1",), (R1,), ["r1", "s1"]),
        (("r3",), (), ["r3"]),
        ((), (), []),
    ],
)
def test_after_heads(current: tuple[str, ...], pending: tuple[Revision, ...], expected: list[str]) -> None:
    assert _revisions.after_heads(replace(PLANNED, current=current, pending=pending)) == expected


def test_difference() -> None:
    difference = _revisions.difference(PLANNED, {"r3": ("ALTER TABLE a\n  ADD b int;", "-- done")})
    assert difference["before"] == "revision: r1\n"
    assert difference["after"] == (
        "revision: r3\napplied: r2 (make r2)\napplied: r3 (make r3)\n    ALTER TABLE a\n      ADD b int;\n    -- done\n"
    )


BAD = Failure("UndefinedTable: no such thing", "versions/r3.py line 8", False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"running": R3, "failure": BAD},
            (
                "revision r3 (make r3) failed: UndefinedTable: no such thing (versions/r3.py line 8); applied before: r2;"
                " the database is at r2; mend versions/r3.py and run again"
            ),
        ),
        (
            {"failure": Failure("ValueError: no", "", False)},
            "env.py failed: ValueError: no; applied before: r2; the database is at r2",
        ),
        ({"failure": Failure("two heads", "", True)}, "two heads"),
        (
            {"graph": None, "failure": Failure("ModuleNotFoundError: No module named 'shop'", "env.py line 1", False)},
            (
                "env.py failed: ModuleNotFoundError: No module named 'shop' (env.py line 1): install it in that interpreter,"
                " or name its directory by environment PYTHONPATH or prepend_sys_path"
            ),
        ),
        (
            {"running": R3},
            (
                "revision r3 (make r3) failed: killed; applied before: r2; the database is at r2;"
                " mend versions/r3.py and run again"
            ),
        ),
        (
            {"running": R3, "external": True, "failure": Failure("AssertionError", "", False)},
            (
                "revision r3 (make r3) failed: AssertionError; applied before: r2; the database is at r2; let env.py connect"
                " without beginning a transaction (autocommit_block needs that), and run again"
            ),
        ),
    ],
)
def test_failure_message(change: dict[str, Any], expected: str) -> None:
    answer = replace(PLANNED, **change)
    assert _revisions.failure_message(answer, ["r2"], "killed", [Applied(R2, 0.1)]) == expected


@pytest.mark.parametrize(
    ("external", "current", "expected"),
    [
        (False, ["r1"], "at r1 instead of r3: nothing was committed"),
        (True, [], "at no revision instead of r3: not everything was committed, because env.py had a transaction open"),
    ],
)
def test_unreached_message(external: bool, current: list[str], expected: str) -> None:
    assert expected in _revisions.unreached_message(replace(PLANNED, external=external), current)


LOCKED = Failure("LockNotAvailable: canceling", "", False, "55P03")


@pytest.mark.parametrize(
    ("change", "locked_out"),
    [
        ({"failure": LOCKED}, True),
        ({"failure": LOCKED, "autocommit": True}, False),
        ({"failure": BAD}, False),
        ({}, False),
    ],
)
def test_locked_out(change: dict[str, Any], locked_out: bool) -> None:
    assert _revisions.locked_out(replace(PLANNED, **change)) is locked_out


def test_a_later_try_goes_on_with_the_first_plan() -> None:
    earlier = replace(PLANNED, applied=(Applied(R2, 0.1),), failure=LOCKED, running=R3, sql={"r2": ("a",)})
    later = replace(
        PLANNED, current=("r2",), pending=(R3,), applied=(Applied(R3, 0.2),), finished=True, sql={"r3": ("b",)}
    )
    both = _revisions.continued(earlier, later)
    assert (both.current, both.pending) == (("r1",), (R2, R3))
    assert both.applied == (Applied(R2, 0.1), Applied(R3, 0.2))
    assert (both.finished, both.failure, both.running) == (True, None, None)
    assert both.sql == {"r2": ("a",), "r3": ("b",)}


def test_a_later_try_without_a_plan_is_told_against_the_first() -> None:
    earlier = replace(PLANNED, failure=LOCKED, running=R2)
    both = _revisions.continued(earlier, Answer(failure=BAD))
    assert (both.graph, both.pending, both.failure, both.running) == (GRAPH, (R2, R3), BAD, None)
    assert _revisions.continued(Answer(failure=LOCKED), PLANNED) == PLANNED
    assert _revisions.continued(None, PLANNED) == PLANNED


def test_a_failure_for_a_lock_names_who_blocks() -> None:
    answer = replace(PLANNED, running=R3, failure=LOCKED)
    message = _revisions.failure_message(answer, ["r2"], "", [Applied(R2, 0.1)], circumstances="blocked by pid 7")
    assert message == (
        "revision r3 (make r3) failed: LockNotAvailable: canceling, blocked by pid 7; applied before: r2;"
        " the database is at r2; end what blocks, or raise lock_timeout or lock_retry, and run again"
    )


def test_what_is_left_comes_first() -> None:
    answer = replace(PLANNED, running=R3, failure=BAD)
    message = _revisions.failure_message(answer, ["r2"], "", [], first="DROP INDEX CONCURRENTLY public.i")
    assert message.endswith("; DROP INDEX CONCURRENTLY public.i, then mend versions/r3.py and run again")


def test_statements_are_kept_by_revision() -> None:
    text = lines(PLAN, {"sql": {"revision": "r2", "statements": ["a", "b"]}})
    assert _revisions.read_answer(text).sql == {"r2": ("a", "b")}


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        (Answer(version_table_schema="app", search_path=("public",)), "app"),
        (Answer(search_path=("tenant", "public")), "tenant"),
        (Answer(), None),
    ],
)
def test_home_schema(answer: Answer, schema: str | None) -> None:
    assert _revisions.home_schema(answer) == schema
