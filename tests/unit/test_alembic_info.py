"""The eight states, and what is told of a history, without a server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic_info, _alembic_state, _projects
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_info import Relation
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_state import Facts, Models
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

#   a1 - b1 - m1      n1 (label other) needs b1
#      \ c1 /
DOWN = {"a1": [], "b1": ["a1"], "c1": ["a1"], "m1": ["b1", "c1"], "n1": ["b1"]}
GRAPH: dict[str, dict[str, Any]] = {
    name: {"down": down, "labels": ["other"] * (name == "n1"), "message": f"make {name}", "path": f"{name}.py"}
    for name, down in DOWN.items()
}
FILES = {name: {"down": [] if name == "n1" else down, "created": None} for name, down in DOWN.items()}
HEADS = ("m1", "n1")


def facts(*current: str, targets: tuple[str, ...] = HEADS, **rest: Any) -> Facts:
    """Return facts about a database whose version table holds current."""
    usual = {"graph": GRAPH, "version_table": "public.alembic_version", "has_version_table": bool(current)}
    return Facts(current=current, targets=targets, heads=HEADS, **{**usual, **rest})


@pytest.mark.parametrize(
    ("given", "state", "evidence"),
    [
        (facts(), "fresh", "There are no tables."),
        (facts(has_version_table=True), "fresh", "public.alembic_version has no row, so no revision is recorded."),
        (facts(others=("app.revisions",)), "fresh", "Other version tables are there: app.revisions."),
        (facts(tables=("public.t",)), "legacy", "There is no public.alembic_version, so no revision is recorded."),
        (facts(tables=tuple("abcdefg")), "legacy", "There are tables: a, b, c, d, e and 2 more."),
        (
            facts(tables=("t",), models=Models(present=("t",), undecided=("u",))),
            "legacy",
            "Of the 2 tables of the models 1 are there.",
        ),
        (facts("m1", "n1"), "managed", "That is the newest revision, and nothing is pending."),
        (facts("b1", targets=("b1",)), "managed", "That is what is wanted, and nothing is pending."),
        (facts("m1", "n1", models=Models(present=("t", "u"))), "managed", "All 2 tables of the models are there."),
        (facts("m1", "n1"), "managed", "Whether tables are missing is not judged, as the project gives no models that tell."),
        (
            facts("m1", "n1", models=Models(unwritten=("v",))),
            "managed",
            "The models have tables that no revision names, and that are not there: v.",
        ),
        (facts("a1"), "behind", "4 of 5 revisions are pending: b1, c1, m1, n1."),
        (facts("b1", "c1"), "behind", "2 of 5 revisions are pending: m1, n1."),
        (
            facts("a1", models=Models(present=("t",), undecided=("u",))),
            "behind",
            "No table that the applied revisions promise is missing; still to come: u.",
        ),
        (facts("c1", targets=("b1",)), "behind", "1 of 5 revisions are pending: b1."),
        (facts("m1", targets=("b1",)), "ahead", "That is past b1, which is wanted."),
        (facts("a1", targets=()), "ahead", "That is past the base, which is wanted."),
        (
            facts("m1", "n1", models=Models(present=("t",), missing=("u",))),
            "partial",
            "1 of the 2 tables of the models is missing, though applied revisions name it: u.",
        ),
        (
            facts("a1", models=Models(missing=("t", "u"))),
            "partial",
            "2 of the 2 tables of the models are missing, though applied revisions name them: t, u.",
        ),
        (facts("a1", "x9"), "diverged", "public.alembic_version names x9, and no file of the project has it."),
        (facts("a1", "x9"), "diverged", "So the file of x9 is missing from this project."),
        (
            facts("x9", models=Models(present=("t", "u"), unwritten=("v",))),
            "diverged",
            "Of the 3 tables of the models 2 are there.",
        ),
        (facts("a1", "m1"), "diverged", "But a1 is part of m1 already, so no run of Alembic wrote this."),
        (facts("b1", "n1"), "diverged", "But b1 is part of n1 already, so no run of Alembic wrote this."),
        (facts("x8", "x9"), "foreign", "public.alembic_version names x8, x9, and no file of the project has them."),
        (facts("x9"), "foreign", "Without target_metadata a missing file cannot be told from another project's database."),
        (
            facts("x9", models=Models(present=("t",), unwritten=("u", "v"))),
            "foreign",
            "Of the 3 tables of the models 1 are there.",
        ),
        (facts("x9", graph={}, targets=()), "foreign", "The project has no revisions."),
    ],
)  # fmt: skip
def test_states(given: Facts, state: str, evidence: str) -> None:
    verdict = _alembic_state.decide(given)
    assert verdict.state == state
    assert evidence in verdict.evidence
    assert verdict.next_action == _alembic_state.NEXT_ACTIONS[state]


def test_every_state_has_a_next_action_of_one_sentence() -> None:
    assert len(_alembic_state.NEXT_ACTIONS) == 8
    assert all(text.endswith(".") and "\n" not in text for text in _alembic_state.NEXT_ACTIONS.values())


def test_next_actions_name_playbooks_that_are_there() -> None:
    named = re.findall(r"playbook (\w+)", " ".join(_alembic_state.NEXT_ACTIONS.values()))
    assert named
    assert set(named) <= {path.stem for path in (Path(__file__).resolve().parents[2] / "playbooks").glob("*.yml")}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (facts(), ["a1", "b1", "c1", "m1", "n1"]),
        (facts("b1"), ["c1", "m1", "n1"]),
        (facts("m1", "n1"), []),
        (facts("x9"), []),  # nobody knows what lies between
        (facts("a1", "x9"), []),
        (facts("m1", targets=("b1",)), []),
    ],
)
def test_pending(given: Facts, expected: list[str]) -> None:
    assert _alembic_state.pending(given) == expected


APPLIED = [_alembic_state.words('op.create_table("t_a")'), _alembic_state.words("CREATE TABLE app.users (id int)")]
OTHERS = [_alembic_state.words('op.create_table("later")\nop.drop_table("t_a")')]


@pytest.mark.parametrize(
    ("table", "live", "group"),
    [
        ((None, "t_a"), {("public", "t_a")}, "present"),
        ((None, "t_a"), {("tenant", "t_a")}, "present"),  # in any schema
        (("app", "users"), {("app", "users")}, "present"),
        (("app", "users"), {("public", "users")}, "missing"),
        ((None, "users"), set(), "missing"),
        ((None, "later"), set(), "undecided"),
        ((None, "t_a"), set(), "undecided"),  # a pending revision names it too
        ((None, "t_"), set(), "unwritten"),  # a whole word, not part of one
    ],
)
def test_models(table: tuple[str | None, str], live: set[tuple[str, str]], group: str) -> None:
    found = _alembic_state.judge_models([table], live, APPLIED, OTHERS)
    assert getattr(found, group) == (table[1] if table[0] is None else f"{table[0]}.{table[1]}",)


RELATIONS = [
    Relation("app", "alembic_version", True, True),
    Relation("public", "alembic_version", True, True),
    Relation("public", "t", True, False),
]


@pytest.mark.parametrize(
    ("schema", "search_path", "found"),
    [
        (None, ("public", "app"), "public.alembic_version"),
        (None, ("tenant", "app"), "app.alembic_version"),
        ("app", ("public",), "app.alembic_version"),
        ("tenant", ("public",), "None"),
    ],
)
def test_version_table_is_found_as_the_session_would(
    schema: str | None, search_path: tuple[str, ...], found: str
) -> None:
    answer = Answer(version_table="alembic_version", version_table_schema=schema, search_path=search_path)
    assert str(_alembic_info.version_table(RELATIONS, answer)) == found


def test_history_tells_dependencies_apart() -> None:
    history = {item["revision"]: item for item in _alembic_info.history_of(GRAPH, FILES, {}, [])}
    assert list(history) == list(GRAPH)
    assert (history["m1"]["down"], history["m1"]["depends_on"]) == (["b1", "c1"], [])
    assert (history["n1"]["down"], history["n1"]["depends_on"]) == ([], ["b1"])


def test_when_a_revision_was_applied_counts_while_the_database_has_it() -> None:
    history = _alembic_info.history_of(GRAPH, FILES, {"a1": 1.5, "c1": 2.5, "gone": 3.5}, ["b1"])
    assert {item["revision"]: item["applied"] for item in history if item["applied"]} == {"a1": 1.5}


def test_branches() -> None:
    assert _alembic_info.branches_of(_alembic_info.history_of(GRAPH, FILES, {}, []), GRAPH) == {
        "points": [{"revision": "a1", "next": ["b1", "c1"]}],
        "labels": {"other": ["n1"]},
    }


# The report of the playbook


def looked(name: str, state: str, current: list[str], pending: list[dict[str, str]], **rest: Any) -> dict[str, Any]:
    """Return a result of the module as a loop registers it."""
    history = [{"revision": "r1"}, {"revision": "r2"}]
    usual = {"item": {"name": name}, "state": state, "current": current, "pending": pending, "heads": ["r2"]}
    return {
        **usual,
        "history": history,
        "evidence": ["It is so."],
        "next_action": "Do this.",
        "connected": True,
        **rest,
    }


R2 = {"revision": "r2", "message": "make r2"}


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (
            looked("a", "managed", ["r2"], []),
            ["a: managed", "Connected", "Current Revision: r2", "Needs Migration: No", "No pending migrations"],
        ),
        (
            looked("a", "behind", ["r1"], [R2, {"revision": "r3", "message": ""}]),
            ["a: behind", "Connected", "Current Revision: r1", "Needs Migration: Yes", "Pending: r2 (make r2)", "Pending: r3"],
        ),
        (
            looked("a", "legacy", [], [R2]),
            [
                *("a: legacy", "Connected", "Current Revision: none", "Needs Migration: Yes", "Pending: r2 (make r2)"),
                *("It is so.", "Do this."),
            ],
        ),
        (
            looked("a", "diverged", ["r1", "x9"], []),
            [
                *("a: diverged", "Connected", "Current Revision: r1, x9 (in no file of the project)"),
                *("Needs Migration: Unknown", "It is so.", "Do this."),
            ],
        ),
    ],
    ids=["managed", "behind", "legacy", "diverged"],
)  # fmt: skip
def test_status_report(result: dict[str, Any], lines: list[str]) -> None:
    always = {"Head Revision: r2", "Total Migrations: 2"}
    told = [line.strip().removeprefix("Database Connection: ") for line in _projects.status([result])]
    assert [line for line in told if line not in always] == lines
    assert always <= set(told)


def test_status_report_tells_why_a_database_could_not_be_read() -> None:
    pooled = {"state": None, "connected": True, "evidence": ["A pooler."], "next_action": "Go around it."}
    results = [
        {"item": {"name": "a"}, "msg": "there is no alembic.ini"},
        {"item": {"name": "b"}, "msg": "cannot connect", "connected": False},
        {"item": {"name": "c"}, "msg": "env.py failed", "connected": True},
        {"item": {"name": "d"}, **pooled},
    ]
    assert _projects.status(results) == [
        "a: not read",
        "  Not read: there is no alembic.ini",
        "b: not read",
        "  Database Connection: Failed: cannot connect",
        "c: not read",
        "  Database Connection: Connected",
        "  Not read: env.py failed",
        "d: not read",
        "  Database Connection: Connected",
        "  Not read: A pooler. Go around it.",
    ]
