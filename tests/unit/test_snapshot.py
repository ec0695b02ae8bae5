"""Snapshots as files, their fingerprints and their scope; what differs between two."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _drift, _snapshot
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Scope, Snapshot

TABLE = {
    "owner": "o",
    "column_order": ["id", "owner"],
    "columns": {"id": {"type": "bigint", "not_null": True, "comment": "c"}, "owner": {"type": "text"}},
    "constraints": {"t_pkey": {"type": "primary key", "columns": ["id"], "index": {"options": {"fillfactor": "70"}}}},
    "indexes": {"Odd": {"method": "btree", "columns": ["id"]}},
}
OBJECTS: dict[str, Any] = {
    "table": {"public.t": TABLE},
    "enum": {"public.e": {"owner": "o", "labels_in_order": ["a", "b"]}},
}


def changed(**table: Any) -> dict[str, Any]:
    """Return the objects with another table."""
    return {**OBJECTS, "table": {"public.t": {**TABLE, **table}}}


def test_a_file_gives_the_snapshot_back() -> None:
    snapshot = Snapshot(OBJECTS, Scope(("public",), None, ("version",)), (("policy", "*"),))
    assert _snapshot.parse(snapshot.as_text(), "f") == snapshot
    assert snapshot.as_text() == Snapshot(dict(reversed(OBJECTS.items())), snapshot.scope, snapshot.unseen).as_text()


def test_fingerprints_tell_which_object_differs() -> None:
    one, other = Snapshot(OBJECTS).as_dict(), Snapshot(changed(owner="x")).as_dict()
    assert one["fingerprint"] != other["fingerprint"]
    assert one["fingerprints"]["enum"] == other["fingerprints"]["enum"]
    assert one["fingerprints"]["table"] != other["fingerprints"]["table"]
    assert Snapshot(OBJECTS, Scope(without=("owner",))).as_dict()["fingerprint"] != one["fingerprint"]


def damaged(**changes: Any) -> str:
    """Return a snapshot's text with fields changed."""
    return json.dumps({**Snapshot(OBJECTS).as_dict(), **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "f is no catalog snapshot: it is not JSON"),
        ("{", "f is no catalog snapshot: it is not JSON"),
        ("[]", "f is no catalog snapshot: it lacks format, objects or fingerprint"),
        ('{"version": 3, "resources": []}', "f is no catalog snapshot: it lacks format, objects or fingerprint"),
        (damaged(format=None), "f is no catalog snapshot: its format is None"),
        (damaged(format=2), "f has snapshot format 2, and this version of the collection reads up to 1: update it"),
        (damaged(scope=3), "f is no catalog snapshot: its scope or its objects have another shape"),
        (
            damaged(scope={"schemas": "public", "kinds": None, "without": []}),
            "its scope or its objects have another shape",
        ),
        (damaged(objects={"table": []}), "its scope or its objects have another shape"),
        (damaged(unseen=[1]), "its scope or its objects have another shape"),
        (damaged(objects=changed(owner="x")), "f was changed since it was taken: its fingerprint does not fit"),
    ],
)
def test_what_is_no_snapshot_is_refused(text: str, words: str) -> None:
    with pytest.raises(StewardError) as caught:
        _snapshot.parse(text, "f")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "schema_info" in str(caught.value)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(StewardError, match="kinds has 'tables', which is no kind: there are access method"):
        Scope.of(None, ["tables"], None)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Scope(), Scope(), Scope()),
        (Scope(("a", "b")), Scope(("b", "c")), Scope(("b",))),
        (Scope(kinds=("table",)), Scope(), Scope(kinds=("table",))),
        (Scope(without=("a",)), Scope(without=("b",)), Scope(without=("a", "b"))),
    ],
)
def test_scopes_meet(one: Scope, other: Scope, both: Scope) -> None:
    assert one.within(other) == other.within(one) == both


def test_attributes_are_left_out_but_not_columns_of_that_name() -> None:
    (table,) = _snapshot.limit(OBJECTS, Scope(kinds=("table",), without=("comment", "owner")))["table"].values()
    assert "owner" not in table
    assert table["columns"] == {"id": {"type": "bigint", "not_null": True}, "owner": {"type": "text"}}
    assert table["indexes"]["Odd"]["columns"] == ["id"]


@pytest.mark.parametrize(
    ("found", "drifts"),
    [
        (OBJECTS, []),
        (changed(owner="x"), [Drift("table public.t", "owner", "o", "x")]),
        (changed(comment="new"), [Drift("table public.t", "comment", None, "new")]),
        ({"enum": OBJECTS["enum"]}, [Drift("table public.t", "existence", "present", "absent")]),
        ({**OBJECTS, "view": {"public.v": {}}}, [Drift("view public.v", "existence", "absent", "present")]),
        (
            changed(columns={**TABLE["columns"], "id": {"type": "integer", "not_null": True, "comment": "c"}}),
            [Drift("column public.t.id", "type", "bigint", "integer")],
        ),
        (
            changed(columns={"id": TABLE["columns"]["id"]}, column_order=["id"]),
            [Drift("column public.t.owner", "existence", "present", "absent")],
        ),
        (
            changed(column_order=["owner", "id"]),
            [Drift("table public.t", "column_order", ["id", "owner"], ["owner", "id"])],
        ),
        (changed(indexes={}), [Drift('index public."Odd"', "existence", "present", "absent")]),
        (
            changed(constraints={"t_pkey": {"type": "primary key", "columns": ["id"]}}),
            [Drift("index public.t_pkey", "options", {"fillfactor": "70"}, None)],
        ),
        (
            changed(constraints={"t_pkey": {**TABLE["constraints"]["t_pkey"], "columns": ["owner"]}}),
            [Drift("constraint public.t.t_pkey", "columns", ["id"], ["owner"])],
        ),
    ],
)
def test_compare(found: dict[str, Any], drifts: list[Drift]) -> None:
    assert _drift.compare(OBJECTS, found) == drifts


def test_what_was_not_seen_is_not_judged() -> None:
    drifts = [
        Drift("policy public.t.p", "existence", "present", "absent"),
        Drift("user mapping a on s", "options", {"user": "x"}, None),
        Drift("table public.policy p", "owner", "a", "b"),
    ]
    assert _drift.seen(drifts, (("policy", "*"), ("user mapping a on s", "options"))) == drifts[2:]


@pytest.mark.parametrize(
    ("name", "schema"),
    [("public.t", "public"), ('"a.b"."c"', '"a.b"'), ('"q""q".t', '"q""q"'), ("s.f(a.b, c)", "s")],
)
def test_schema_of(name: str, schema: str) -> None:
    assert _snapshot.schema_of(name) == schema
