"""Orphan rows without a server: keys as options name them, the order of work, the SQL, the side table, the words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _orphan_sql, _orphans
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._orphans import (
    Column,
    Found,
    Key,
    Pair,
    Relation,
    Wanted,
)


def relation(name: str, oid: int = 1, **changes: Any) -> Relation:
    """Return a table with the columns id and other_id."""
    columns = (Column("id", "bigint"), Column("other_id", "integer"))
    return replace(Relation(oid, oid, "public", name, "r", "owner", columns, ("id",)), **changes)


def key(child: Relation, parent: Relation, **changes: Any) -> Key:
    """Return the key other_id → id."""
    pair = Pair("other_id", "id", "pg_catalog.=", "bigint", "integer")
    return replace(Key(f"{child.name}_fkey", child, parent, (pair,)), **changes)


A, B, C = (relation(name, oid) for oid, name in enumerate("abc", 1))


def item(**changes: Any) -> dict[str, Any]:
    """Return an item of the option keys."""
    return {"table": "images", "columns": ["job_id"], "references": "jobs", **changes}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, Wanted("images_job_id_fkey", ("public", "images"), ("job_id",), ("public", "jobs"))),
        (
            {"table": 'Side."a.b"', "name": "mine", "referenced_columns": ["Key"]},
            Wanted("mine", ("Side", "a.b"), ("job_id",), ("public", "jobs"), ("Key",)),
        ),
        ({"columns": ["a", "b"]}, Wanted("images_a_b_fkey", ("public", "images"), ("a", "b"), ("public", "jobs"))),
    ],
)
def test_keys_of_the_option(changes: dict[str, Any], wanted: Wanted) -> None:
    assert Wanted.of(item(**changes), "keys[0]") == wanted


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": []}, "keys[3].columns is empty: name the columns of public.images"),
        ({"columns": ["a", "a"]}, "keys[3].columns names a column twice (a, a)"),
        ({"columns": ["a", "b"], "referenced_columns": ["x"]}, "keys[3] has 2 columns and 1 referenced_columns"),
        ({"columns": ["a", "b"], "referenced_columns": ["x", "x"]}, "keys[3].referenced_columns names a column twice"),
        ({"table": ""}, "keys[3].table is '', which names no table: write schema.table"),
        ({"table": "a..b"}, "keys[3].table is 'a..b', which names no table"),
        ({"references": "base.schema.table"}, "keys[3].references is 'base.schema.table', which names no table"),
    ],
)
def test_bad_keys_of_the_option(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StewardError) as caught:
        Wanted.of(item(**changes), "keys[3]")
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ([(C, B), (B, A)], "b c"),
        ([(B, A), (C, B)], "b c"),
        ([(C, A), (C, B), (B, A)], "b c c"),
        ([(A, A), (B, A)], "a b"),
        ([(A, B), (B, A), (C, A)], "b a c"),
        ([], ""),
    ],
)
def test_parents_come_first(keys: list[tuple[Relation, Relation]], order: str) -> None:
    ordered = _orphans.in_order([key(child, parent) for child, parent in keys])
    assert " ".join(item.child.name for item in ordered) == order


def test_partitions_stand_for_their_table() -> None:
    part = relation("a1", 11, root=A.oid)
    ordered = _orphans.in_order([key(C, A), key(part, B)])
    assert [item.child.name for item in ordered] == ["a1", "c"]


def test_batches_are_about_one_partition_each() -> None:
    rows = [(7, "(0,1)"), (7, "(0,2)"), (7, "(1,1)"), (8, "(0,1)")]
    assert list(_orphans.batches(rows, 2)) == [
        "c.tableoid = '7'::oid AND c.ctid = ANY ('{\"(0,1)\",\"(0,2)\"}'::tid[])",
        "c.tableoid = '7'::oid AND c.ctid = ANY ('{\"(1,1)\"}'::tid[])",
        "c.tableoid = '8'::oid AND c.ctid = ANY ('{\"(0,1)\"}'::tid[])",
    ]


def test_counting() -> None:
    pairs = (
        Pair("x", "id", "pg_catalog.=", "bigint", "integer"),
        Pair("y", "name", "ext.=", collation='pg_catalog."C"'),
    )
    composite = key(A, relation("p", kind="p"), pairs=pairs)
    assert _orphan_sql.counting(composite) == (
        'SELECT count(*) FROM ONLY "public"."a" AS c WHERE (c."x" IS DISTINCT FROM NULL AND c."y" IS DISTINCT FROM NULL)'
        ' AND NOT EXISTS (SELECT FROM "public"."p" AS p WHERE p."id"::bigint OPERATOR(pg_catalog.=) c."x"::integer'
        ' AND p."name" OPERATOR(ext.=) c."y" COLLATE pg_catalog."C")'
    )
    assert '(c."x" IS DISTINCT FROM NULL OR c."y"' in _orphan_sql.counting(replace(composite, full=True))


def test_samples_show_keys_only() -> None:
    assert _orphan_sql.sampled_columns(key(A, B)) == ["id", "other_id"]
    assert _orphan_sql.sampled_columns(key(replace(A, primary_key=("other_id",)), B)) == ["other_id"]


def test_reason_is_text_whatever_the_names() -> None:
    odd = key(A, replace(B, name="b'\\%"), name="it's", pairs=(Pair('a"b', "id", "pg_catalog.="),))
    assert _orphan_sql.reason(odd) == (
        "concat('it''s: (a\"b) = (', c.\"a\"\"b\", E') is not in public.\"b''\\\\%\" (id)')"
    )


def test_side_tables_of_long_names_differ() -> None:
    assert _orphans.side_of(relation("t" * 54)) == ("public", "t" * 54 + "__orphans")
    names = [_orphans.side_of(relation(name))[1] for name in ("t" * 55, "t" * 56, "é" * 31, "é" * 30 + "è")]
    assert len(set(names)) == 4
    assert all(55 <= len(name.encode()) <= 63 and name.endswith("__orphans") for name in names)


def side(*columns: Column, **changes: Any) -> Relation:
    """Return a side table of A with these columns and the marks."""
    marks = [Column(name, type_) for name, type_ in _orphans.MARKS.items()]
    return relation("a__orphans", 9, columns=(*columns, *marks), **changes)


def test_side_table_is_made_and_followed() -> None:
    assert _orphan_sql.side_statements(A, None) == [
        (
            'CREATE TABLE "public"."a__orphans" ("id" bigint, "other_id" integer,'
            ' "orphaned_at" timestamp with time zone NOT NULL, "orphan_reason" text NOT NULL)'
        )
    ]
    assert _orphan_sql.side_statements(A, side(*A.columns, Column("gone", "text"))) == []
    assert _orphan_sql.side_statements(
        replace(A, columns=(*A.columns, Column("new", "text", "x.y"))), side(*A.columns)
    ) == ['ALTER TABLE "public"."a__orphans" ADD COLUMN "new" text COLLATE x.y']


@pytest.mark.parametrize(
    ("table", "there", "words"),
    [
        (
            replace(A, columns=(Column("orphan_reason", "text"),)),
            None,
            "public.a has a column orphan_reason of its own",
        ),
        (
            A,
            relation("a__orphans"),
            "public.a__orphans is not a table for orphans, which has orphaned_at and orphan_reason",
        ),
        (A, side(kind="v"), "public.a__orphans is not a table for orphans"),
        (A, side(owner="x"), "public.a__orphans belongs to x, and public.a to owner: give both to one owner"),
        (A, side(Column("id", "text")), 'column "id" bigint of public.a is "id" text in public.a__orphans: rename'),
    ],
)
def test_side_table_that_will_not_do(table: Relation, there: Relation | None, words: str) -> None:
    with pytest.raises(StewardError) as caught:
        _orphan_sql.side_statements(table, there)
    assert str(caught.value).startswith(words)


def test_result() -> None:
    found = [Found(key(B, A), 2, [{"id": "1"}], removed=5, cascaded=True), Found(key(C, B), 0, [])]
    report = _orphans.result(found, "report", check=False)
    assert (report["changed"], report["total"], [item["moved"] for item in report["found"]]) == (False, 2, [0, 0])
    assert (
        report["diff"]["after"]
        == report["diff"]["before"]
        == "public.b b_fkey: 2 orphans\npublic.c c_fkey: 0 orphans\n"
    )
    done = _orphans.result(found, "delete", check=False)
    assert (done["changed"], done["found"][0]["deleted"], done["found"][0]["moved"]) == (True, 5, 0)
    assert "side_table" not in done["found"][0]
    check = _orphans.result(found, "quarantine", check=True)
    assert (check["changed"], check["found"][0]["moved"], check["found"][0]["side_table"]) == (
        True,
        2,
        "public.b__orphans",
    )
    assert not _orphans.result([found[1]], "quarantine", check=True)["changed"]


def test_words() -> None:
    found = [
        Found(key(B, A), 2, [], removed=5, cascaded=True),
        Found(key(C, B), 0, [], removed=1),
        Found(key(A, C), 0, []),
    ]
    assert _orphans.cascade_words(found, "quarantine") == [
        "key b_fkey: 5 rows of public.b moved, 2 of them orphans at first: the others referred to rows that this run moved"
    ]
    assert _orphans.done_words(found, "delete") == (
        "5 rows of public.b (b_fkey), 1 row of public.c (c_fkey) deleted before it stay deleted, and the same again goes on with the rest"
    )
    assert _orphans.done_words(found[2:], "quarantine") == "nothing was moved"


MARKED = {"columns": {"id": {"type": "integer"}, **{name: {"type": type_} for name, type_ in _orphans.MARKS.items()}}}


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("public.images__orphans", MARKED, True),
        ('public."Odd one__orphans"', MARKED, True),
        ("public.images", MARKED, False),
        ("public.images__orphans", {"columns": {"id": {"type": "integer"}}}, False),
    ],
)
def test_is_side_table(name: str, attributes: dict[str, Any], expected: bool) -> None:
    assert _orphans.is_side_table(name, attributes) is expected
