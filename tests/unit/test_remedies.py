"""What the operator is told to do about a difference: SQL that only adds, or words. That the SQL works is for the integration tests."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._additions import is_steady
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import ABSENT, EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._remedies import remedy, statements

Objects = dict[str, dict[str, dict[str, Any]]]

COLUMNS = {"id": {"type": "bigint", "not_null": True}, "na me": {"type": "character varying(10)"}}
TABLE = {"owner": "shop_owner", "columns": COLUMNS, "column_order": list(COLUMNS)}
EXTRA = "is not expected: if nobody needs it, drop it by a revision; if it is wanted, take a new snapshot"


def table(**attributes: Any) -> Objects:
    return {"table": {"public.t": {**TABLE, **attributes}}}


def column(**attributes: Any) -> Objects:
    return table(columns={**COLUMNS, "new": attributes}, column_order=[*COLUMNS, "new"])


def constraint(**attributes: Any) -> Objects:
    return table(constraints={"the one": attributes})


def index(**attributes: Any) -> Objects:
    return table(indexes={"i": {"method": "btree", "columns": ["id"], **attributes}})


def remedies(expected: Objects, found: Objects) -> list[str]:
    return [remedy(drift, expected, found) for drift in _drift.compare(expected, found)]


@pytest.mark.parametrize(
    ("expected", "found", "text"),
    [
        (column(type="text"), table(), "ALTER TABLE public.t ADD COLUMN new text;"),
        (
            column(type="text", not_null=True, default="'x''(y'::text", comment="it's"),
            table(),
            "ALTER TABLE public.t ADD COLUMN new text DEFAULT 'x''(y'::text NOT NULL;\nCOMMENT ON COLUMN public.t.new IS 'it''s';",
        ),
        (
            column(type="text", not_null=True),
            table(),
            "ALTER TABLE public.t ADD COLUMN new text;\n-- new is to be NOT NULL: fill it and set that by a revision",
        ),
        (
            column(type="uuid", not_null=True, default="gen_random_uuid()"),
            table(),
            ("ALTER TABLE public.t ADD COLUMN new uuid;\n"
            "ALTER TABLE public.t ALTER COLUMN new SET DEFAULT gen_random_uuid();\n"
            "-- the rows that are there have no new yet: fill it by a revision\n"
            "-- new is to be NOT NULL: fill it and set that by a revision"),
        ),
        (
            constraint(type="check", expression="(id > 0)"),
            table(),
            ('ALTER TABLE public.t ADD CONSTRAINT "the one" CHECK ((id > 0)) NOT VALID;\n'
            'ALTER TABLE public.t VALIDATE CONSTRAINT "the one";'),
        ),
        (
            constraint(type="primary key", columns=["id"]),
            table(),
            ('CREATE UNIQUE INDEX CONCURRENTLY "the one" ON public.t USING btree (id);\n'
            'ALTER TABLE public.t ADD CONSTRAINT "the one" PRIMARY KEY USING INDEX "the one";'),
        ),
        (
            index(columns=["na me", "(lower(x))"], opclasses=["", "text_pattern_ops"], orders=["DESC", ""]),
            table(),
            'CREATE INDEX CONCURRENTLY i ON public.t USING btree ("na me" DESC, (lower(x)) text_pattern_ops);',
        ),
        (
            {"enum": {"public.e": {"labels_in_order": ["a", "b'", "c", "d"]}}},
            {"enum": {"public.e": {"labels_in_order": ["c"]}}},
            ("ALTER TYPE public.e ADD VALUE 'a' BEFORE 'c';\n"
            "ALTER TYPE public.e ADD VALUE 'b''' AFTER 'a';\n"
            "ALTER TYPE public.e ADD VALUE 'd' AFTER 'c';"),
        ),
        (
            table(privileges={"shop app": ["INSERT*", "SELECT"], "PUBLIC": ["SELECT"]}),
            table(privileges={"old": ["ALL"], "PUBLIC": ["SELECT", "UPDATE"]}),
            ('GRANT SELECT ON TABLE public.t TO "shop app";\nGRANT INSERT ON TABLE public.t TO "shop app" WITH GRANT OPTION;\n'
            "-- take ALL on table public.t from old by a revision (REVOKE)\n"
            "-- take UPDATE on table public.t from PUBLIC by a revision (REVOKE)"),
        ),
        (table(privileges={"shop_owner": ["SELECT"]}), table(privileges={"shop_owner": ["SELECT"], "a": ["SELECT"]}), None),
        (table(privileges=None), table(privileges={"shop_owner": ["SELECT"]}), "GRANT DELETE, INSERT"),
        (table(row_security="forced"), table(row_security="enabled"), "ALTER TABLE public.t FORCE ROW LEVEL SECURITY;"),
        (
            {"extension": {"vector": {"version": "0.10.0", "schema": "public"}}},
            {"extension": {"vector": {"version": "0.8.0", "schema": "public"}}},
            "ALTER EXTENSION vector UPDATE TO '0.10.0';",
        ),
        (
            table(constraints={"fk": {"type": "foreign key", "columns": ["id"], "references": "public.far", "referenced_columns": ["id"]}}),
            {},
            ('CREATE TABLE public.t (id bigint NOT NULL, "na me" character varying(10));\n'
            "ALTER TABLE public.t OWNER TO shop_owner;\n"
            "-- its foreign key fk can be added when there is a table public.far"),
        ),
    ],
)  # fmt: skip
def test_sql(expected: Objects, found: Objects, text: str | None) -> None:
    (said,) = remedies(expected, found)
    (drift,) = _drift.compare(expected, found)
    made = statements(drift, expected, found)
    if text is None:
        assert made is None
    else:
        assert said.startswith(text)
        assert made is not None
        assert "\n".join(f"{item};" for item in made) == said.split("\n--")[0]


@pytest.mark.parametrize(
    ("expected", "found", "text"),
    [
        (
            column(type="character varying(255)"),
            column(type="text"),
            "write a revision that changes type of column public.t.new from text to character varying(255): it rewrites the table",
        ),
        (
            column(type="text"),
            column(type="character varying(9)"),
            "write a revision that changes type of column public.t.new from character varying(9) to text: it takes a short lock",
        ),
        (
            column(type="text", not_null=True),
            column(type="text"),
            ("column public.t.new takes NULL: write a revision that adds CHECK (new IS NOT NULL) NOT VALID to public.t, validates it,"
            " sets NOT NULL and drops the check"),
        ),
        (
            column(type="text"),
            column(type="text", default="'x'::text"),
            "column public.t.new has default 'x'::text, none is expected: write a revision that drops it, or take a new snapshot",
        ),
        (
            column(type="bigint"),
            column(type="bigint", identity="always"),
            "write a revision that changes identity of column public.t.new from always to none, and sets the sequence",
        ),
        (column(type="bigint", identity="always"), table(), "column public.t.new is missing: write a revision that creates it: it has"),
        (column(type="bigint", generated="id * 2"), table(), "column public.t.new is missing: write a revision that creates it: it has"),
        (table(), column(type="text"), f"column public.t.new {EXTRA}"),
        (table(), {"view": {"public.t": {"definition": "SELECT 1"}}}, "table public.t is missing: write a revision that creates it in place of the view"),
        (constraint(type="exclude", definition="EXCLUDE …"), table(), 'constraint public.t."the one" is missing: write a revision that'),
        (
            table(columns={}, constraints={"key": {"type": "primary key", "columns": ["na me"]}}),
            table(columns={}),
            "constraint public.t.key is missing: write a revision that creates it: it cannot be added without keeping",
        ),
        (
            constraint(type="unique", columns=["id"]),
            {"table": {"public.t": {**TABLE, "indexes": {"the one": {"method": "btree", "columns": ["na me"]}}}}},
            'constraint public.t."the one" is missing',
        ),
        (index(), index(columns=["na me"]), 'index public.i has columns ["na me"], expected ["id"]: write a revision that builds the'),
        (index(opclass_options=[{"siglen": "1"}]), table(), "index public.i is missing: write a revision that creates it"),
        (
            {"enum": {"public.e": {"labels_in_order": ["a", "b"]}}},
            {"enum": {"public.e": {"labels_in_order": ["b", "a"]}}},
            'enum public.e has the labels ["b", "a"], expected ["a", "b"]: labels can be added, not moved or removed',
        ),
        (table(row_security=None), table(row_security="enabled"), "write a revision that changes row security of table public.t from enabled to off"),
        (table(owner="a"), table(owner="b"), "table public.t belongs to b, expected a: write a revision that gives it to a (OWNER TO)"),
        (table(comment=None), table(comment="x"), "table public.t has comment x, none is expected"),
        (
            {"extension": {"vector": {"version": "0.8.0"}}},
            {"extension": {"vector": {"version": "0.10.0"}}},
            "extension vector has version 0.10.0, expected 0.8.0: install the expected version",
        ),
        (
            {"function": {"public.f(integer)": {"body": "a"}}},
            {},
            "function public.f(integer) is missing: write a revision that creates it, as the migration that made it elsewhere does",
        ),
        (
            constraint(type="foreign key", references="public.x", columns=["id"]),
            constraint(type="foreign key", references="public.x", columns=["id"], disabled_triggers=True),
            'the triggers that keep constraint public.t."the one" are switched off, so rows may have come in unchecked: count them',
        ),
        (
            {"table": {"public.p\n;x": {**TABLE, "partition_by": "RANGE (id)", "indexes": {"i\n": {"method": "btree", "columns": ["id"]}}}}},
            {"table": {"public.p\n;x": {**TABLE, "partition_by": "RANGE (id)", "indexes": {"i\n": {"method": "btree", "columns": ["id"], "valid": False}}}}},
            'index public."i " is not valid: of a partitioned table, attach a valid index of each partition',
        ),
    ],
)  # fmt: skip
def test_words(expected: Objects, found: Objects, text: str) -> None:
    drift = _drift.compare(expected, found)[0]
    said = remedy(drift, expected, found)
    assert said.startswith(text)
    assert "\n" not in said
    assert statements(drift, expected, found) is None


def test_children_are_mended_with_their_parents() -> None:
    check = {"type": "check", "expression": "(id > 0)"}
    expected: Objects = {
        "table": {
            "public.a": {**TABLE, "inherits": ["public.t"], "constraints": {"c": {**check, "inherited": True}}},
            "public.t": {**TABLE, "constraints": {"c": check}},
        }
    }
    found: Objects = {"table": {"public.a": {**TABLE, "inherits": ["public.t"]}, "public.t": TABLE}}
    child, parent = _drift.compare(expected, found)
    assert statements(child, expected, found) == ()
    assert remedy(child, expected, found) == "constraint public.a.c is missing: it comes along with that of public.t"
    assert remedy(parent, expected, found).startswith("ALTER TABLE public.t ADD CONSTRAINT c CHECK")


def test_a_name_cannot_leave_its_comment() -> None:
    expected: Objects = {
        "table": {"public.t": {**TABLE, "columns": {"a\r\nDROP TABLE x": {"type": "text", "not_null": True}}}}
    }
    found: Objects = {"table": {"public.t": {**TABLE, "columns": {}}}}
    (said,) = remedies(expected, found)
    assert said.splitlines()[-1] == '-- "a DROP TABLE x" is to be NOT NULL: fill it and set that by a revision'


@pytest.mark.parametrize(
    ("drift", "text"),
    [
        (Drift("column public.t.gone", EXISTENCE, PRESENT, ABSENT), "column public.t.gone is missing: write a revision that creates it"),
        (Drift("constraint public.t.(unique id)", EXISTENCE, PRESENT, ABSENT), "constraint public.t.(unique id) is missing: write a"),
        (Drift("column public.t.id", EXISTENCE, ABSENT, PRESENT), "column public.t.id is not wanted: write a revision that drops it"),
        (Drift("column public.t.id", "default", "serial", None), "write a revision that changes default of column public.t.id from none"),
        (Drift("extension vector", "version", ">=0.8", "0.7.0"), "extension vector has version 0.7.0, expected >=0.8: install"),
        (Drift('constraint public.t."the one"', "valid", True, False), 'ALTER TABLE public.t VALIDATE CONSTRAINT "the one";'),
        (Drift("index public.i", "valid", True, False), "REINDEX INDEX CONCURRENTLY public.i;"),
    ],
)  # fmt: skip
def test_what_a_spec_asks_for(drift: Drift, text: str) -> None:
    found = table(constraints={"the one": {"type": "check", "valid": False}}, indexes={"i": {"valid": False}})
    found["extension"] = {"vector": {"version": "0.7.0"}}
    assert remedy(drift, {}, found).startswith(text)


@pytest.mark.parametrize(
    ("expression", "steady"),
    [
        ("0", True),
        ("'f(x)'::text", True),
        (r"E'\'f(x)'::text", True),
        ("now()", True),
        ("(CURRENT_TIMESTAMP AT TIME ZONE 'utc'::text)", True),
        ("'1'::public.vector(3)", True),
        ("'x'::character varying(255)", True),
        ("nextval('public.s'::regclass)", False),
        ("random()", False),
        ('public."F"()', False),
        ("(1 OPERATOR(public.+) 2)", False),
    ],
)
def test_which_defaults_are_the_same_for_all_rows(expression: str, steady: bool) -> None:
    assert is_steady(expression) is steady
