"""Which state of a history a catalog is in, and what a repair would run: tables of small catalogs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _adoption, _pending_keys, _repair
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import compare
from ansible_collections.pgsteward.postgres.plugins.module_utils._history import Step, changes
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects


def table(*columns: str, indexes: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """Return a table of integers."""
    held: dict[str, Any] = {"columns": {name: {"type": "integer"} for name in columns}, "column_order": list(columns)}
    if indexes:
        held["indexes"] = {name: {"method": "btree", "columns": [columns[0]]} for name in indexes}
    return {**held, **more}


def objects(**tables: dict[str, Any]) -> Objects:
    """Return a catalog of tables in public."""
    return {"table": {f"public.{name}": held for name, held in tables.items()}, "schema": {"public": {}}}


A, B = table("id", indexes=("a_id",)), table("id", "a_id")
WIDE = table("id", "more", indexes=("a_id",))
STEPS = (
    Step((), objects()),
    Step(("r1",), objects(a=A)),
    Step(("r2",), objects(a=A, b=B)),
    Step(("r3",), objects(a=WIDE, b=B)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("live", "nearest", "distance", "blocking"),
    [
        (objects(a=A), ["r1"], 0, []),
        (objects(a=A, b=B), ["r2"], 0, []),
        (objects(a=WIDE, b=B), ["r3"], 0, []),
        # What is missing: an index, a table of the nearest state.
        (objects(a=table("id"), b=B), ["r2"], 1, ["index public.a_id"]),
        (objects(a=WIDE), ["r1"], 1, ["column public.a.more"]),
        # Too much: a column of nobody's, one that a later revision makes.
        (objects(a=A, b=table("id", "a_id", "own")), ["r2"], 1, ["column public.b.own"]),
        # A table or an index that no revision makes stands in nobody's way.
        (objects(a=A, backup=B), ["r1"], 0, []),
        (objects(a=table("id", indexes=("a_id", "a_own"))), ["r1"], 0, []),
        # Another type is another column; a comment is not.
        (objects(a={**A, "columns": {"id": {"type": "bigint"}}}), ["r1"], 1, ["column public.a.id"]),
        (objects(a={**A, "comment": "said"}), ["r1"], 0, []),
        # Nothing of the history: the nearest is the smallest, and far away.
        (objects(other=B), ["r1"], 3, ["table public.a"]),
    ],
)
def test_nearest(live: Objects, nearest: list[str], distance: int, blocking: list[str]) -> None:
    choice = _adoption.choose(_adoption.candidates(STEPS, live))
    assert choice.best is not None
    assert list(choice.best.heads) == nearest
    assert choice.best.distance == distance
    assert [item.drift.object for item in choice.best.blocking] == blocking


def test_a_tie_is_one_and_a_name_decides_it() -> None:
    steps = (*STEPS, Step(("r4",), STEPS[-1].objects))
    found = _adoption.candidates(steps, objects(a=WIDE, b=B))
    choice = _adoption.choose(found)
    assert choice.best is None
    assert [item.heads for item in choice.nearest] == [("r3",), ("r4",)]
    assert "fits several revisions equally well (r3, r4)" in _adoption.summary("database x", choice, False)
    named = _adoption.choose(found, ["r4"]).best
    assert named is not None
    assert named.heads == ("r4",)


def test_a_candidate_is_what_comparing_whole_catalogs_gives() -> None:
    live = objects(a=table("id", "x"), c=B)
    for candidate in _adoption.candidates(STEPS, live):
        expected = {(item.object, item.attribute) for item in compare(candidate.step.objects, live)}
        assert {(item.drift.object, item.drift.attribute) for item in candidate.differences} == expected


def test_hidden_things_are_not_judged() -> None:
    hidden = (("column public.a.more", "existence"),)
    choice = _adoption.choose(_adoption.candidates(STEPS, objects(a=WIDE), hidden), ["r1"])
    assert choice.best is not None
    assert choice.best.blocking == ()


def test_changes_by_identity() -> None:
    assert changes({}, STEPS[1].objects)[0][:2] == ("table", "public.a")
    assert changes(STEPS[1].objects, STEPS[1].objects) == []
    later = {"table": {"public.b": B}}
    assert changes({"table": {"public.a": A}}, later) == [("table", "public.b", B), ("table", "public.a", None)]


# Repairs


@pytest.mark.parametrize(
    ("live", "statements", "left"),
    [
        (objects(a=table("id"), b=B), ["CREATE INDEX CONCURRENTLY a_id"], []),
        (objects(a=A), ["CREATE TABLE public.b"], []),
        (objects(a=A, b=table("id")), ["ALTER TABLE public.b ADD COLUMN a_id"], []),
        # What is there and differs, or is too much, is left alone.
        (objects(a=A, b=table("id", "a_id", "own")), [], ["column public.b.own"]),
        (objects(a={**A, "columns": {"id": {"type": "bigint"}}}, b=B), [], ["column public.a.id"]),
    ],
)
def test_repair_plan(live: Objects, statements: list[str], left: list[str]) -> None:
    expected = STEPS[2].objects
    plan = _repair.plan(compare(expected, live), expected, live)
    assert [any(text.startswith(start) for text in plan.statements) for start in statements] == [True] * len(statements)
    assert [drift.object for drift, _reason in plan.left if drift.attribute != "column_order"] == left
    assert not any(
        word in text.upper() for text in plan.statements for word in ("DROP ", "DELETE", "TRUNCATE", " TYPE ")
    )


def test_a_column_that_must_not_be_null_and_has_no_default_is_left_to_a_revision() -> None:
    held = {**table("id"), "columns": {"id": {"type": "integer"}, "must": {"type": "integer", "not_null": True}}}
    expected, live = objects(a=held), objects(a=table("id"))
    drifts = [drift for drift in compare(expected, live) if drift.attribute == "existence"]
    plan = _repair.plan(drifts, expected, live)
    assert plan.statements == ()
    assert "must is to be NOT NULL" in plan.left[0][1]


# Keys to come


def key(columns: list[str], references: str, **more: Any) -> dict[str, Any]:
    """Return a foreign key to the column id of a table."""
    return {"type": "foreign key", "columns": columns, "references": references, "referenced_columns": ["id"], **more}


PRIMARY = {"a_pkey": {"type": "primary key", "columns": ["id"]}}


@pytest.mark.parametrize(
    ("before", "after", "names", "notes"),
    [
        ({}, {"b_a": key(["a_id"], "public.a")}, ["b_a"], 0),
        ({"b_a": key(["a_id"], "public.a")}, {"b_a": key(["a_id"], "public.a")}, [], 0),
        ({}, {"b_a": key(["a_id"], "public.a", valid=False)}, ["b_a"], 0),
        ({"b_a": key(["a_id"], "public.a", valid=False)}, {"b_a": key(["a_id"], "public.a")}, ["b_a"], 0),
        ({"b_a": key(["a_id"], "public.a", valid=False)}, {"b_a": key(["a_id"], "public.a", valid=False)}, [], 0),
        ({}, {"b_n": key(["a_id"], "public.new")}, [], 1),
        ({}, {"b_x": key(["new_column"], "public.a")}, [], 0),
    ],
)
def test_new_keys(before: dict[str, Any], after: dict[str, Any], names: list[str], notes: int) -> None:
    parent = table("id", constraints=PRIMARY)
    child = table("id", "a_id")
    earlier = objects(a=parent, b={**child, "constraints": before})
    later = objects(a=parent, b={**table("id", "a_id", "new_column"), "constraints": after}, new=parent)
    keys, said = _pending_keys.new_keys(earlier, later)
    assert [item.name for item in keys] == names
    assert len(said) == notes
    assert all((item.table, item.references) == (("public", "b"), ("public", "a")) for item in keys)
