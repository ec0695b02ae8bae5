"""The declared schema: its errors, what counts as the same, and the drifts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _marked_yaml as marked_yaml
from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec as specs
from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec_expressions as expressions
from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec_types as types
from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec_versions as versions
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

HEAD = "format: 1\ntables:\n  users:\n"  # three lines
TABLE = "table public.users"

Found = dict[str, dict[str, dict[str, Any]]]


def drifts(text: str, objects: Found) -> list[tuple[Any, ...]]:
    found = specs.drifts(specs.parse(text, "shop.yml"), objects)
    assert all(isinstance(drift, Drift) for drift in found)
    return [(drift.object, drift.attribute, drift.expected, drift.found) for drift in found]


def table_drifts(body: str, found: dict[str, Any]) -> list[tuple[Any, ...]]:
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    return drifts(HEAD + indented, {"table": {"public.users": found}})


# Reading


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", " is empty"),
        ("# nothing\n", " is empty"),
        ("- a\n", " line 1: a spec is a mapping with format, tables and so on, not a list"),
        ("shop\n", ' line 1: a spec is a mapping with format, tables and so on, not "shop"'),
        ("tables: {}\n", ' line 1: format is missing: write "format: 1" at the top'),
        ("\nformat: 2\nnews: 1\n", " line 2: format 2 is newer than this collection reads (1): update the collection"),
        ("format: one\n", ' line 1: format must be 1, not "one"'),
        ("format:\n", " line 1: format must be 1, not nothing"),
        ("format: 1\n", " line 1: names no extensions, enums or tables: nothing would be verified"),
        ("format: 1\ntables:\n", " line 1: names no extensions, enums or tables: nothing would be verified"),
        ("format: 1\ntabels: {}\n", ' line 2: unknown key "tabels" in the spec: did you mean tables?'),
        (
            "format: 1\nviews: {}\n",
            ' line 2: unknown key "views" in the spec: it takes format, schema, extensions, enums, tables',
        ),
        (f"{HEAD}    colums: {{}}\n", ' line 4: unknown key "colums" in table users: did you mean columns?'),
        (
            f"{HEAD}    columns:\n      email: {{typ: text}}\n",
            ' line 5: unknown key "typ" in column email of table users: did you mean type?',
        ),
        (
            f"{HEAD}    columns:\n      price: {{type: numeric(10,2)}}\n",
            ' line 5: unknown key "2)" in column price of table users: a text with a comma, such as numeric(10,2), wants quotes',
        ),
        (
            f"{HEAD}    columns:\n      email:\n        nul: true\n",
            ' line 6: unknown key "nul" in column email of table users: did you mean null?',
        ),
        (f"{HEAD}    columns: [email]\n", " line 4: columns of table users must be a mapping, not a list"),
        (f"{HEAD}    columns:\n      - email\n", " line 4: columns of table users must be a mapping, not a list"),
        (
            f"{HEAD}    columns: {{email: [text]}}\n",
            " line 4: column email of table users must be a type, a mapping or absent, not a list",
        ),
        (
            f"{HEAD}    columns:\n      email: varchar(\n",
            ' line 5: type of column email of table users: "varchar(" is not a type',
        ),
        (f"{HEAD}    columns: {{email: 5}}\n", ' line 4: type of column email of table users: "5" is not a type'),
        (
            f"{HEAD}    columns: {{email: {{type: []}}}}\n",
            " line 4: type of column email of table users must be text, not a list",
        ),
        (
            f"{HEAD}    columns: {{email: {{null: maybe}}}}\n",
            ' line 4: null of column email of table users must be true or false, not "maybe"',
        ),
        (
            f"{HEAD}    columns: {{tags: {{default: []}}}}\n",
            " line 4: default of column tags of table users must be text, not a list",
        ),
        (
            f"{HEAD}    columns: {{id: {{type: serial, default: 1}}}}\n",
            " line 4: column id of table users is serial, which says null and default already: leave them out",
        ),
        (
            f"{HEAD}    columns: {{email: {{absent: true, type: text}}}}\n",
            " line 4: column email of table users is to be absent, so type cannot be asked of it",
        ),
        (
            f"{HEAD}    columns: {{email: {{absent: 1}}}}\n",
            ' line 4: absent of column email of table users must be true or false, not "1"',
        ),
        (f"{HEAD}    primary_key: id\n", ' line 4: primary_key of table users must be a list, not "id"'),
        (f"{HEAD}    primary_key: []\n", " line 4: primary_key of table users must not be an empty list"),
        (f"{HEAD}    primary_key: [id, id]\n", ' line 4: "id" stands twice in primary_key of table users'),
        (f"{HEAD}    primary_key: [[id]]\n", " line 4: primary_key of table users must hold names, not a list"),
        (f"{HEAD}    primary_key:\n      -\n", " line 5: primary_key of table users must hold names, not nothing"),
        (f"{HEAD}    unique: email\n", ' line 4: unique of table users must be a list, not "email"'),
        (
            f"{HEAD}    unique:\n      - [id]\n      - email\n",
            ' line 6: an entry of unique of table users must be a mapping, not "email"',
        ),
        (
            f"{HEAD}    foreign_keys:\n      - {{references: persons(id)}}\n",
            " line 5: an entry of foreign_keys of table users has no columns",
        ),
        (
            f"{HEAD}    foreign_keys:\n      - {{columns: [a], on_delet: cascade}}\n",
            ' line 5: unknown key "on_delet" in an entry of foreign_keys of table users: did you mean on_delete?',
        ),
        (
            f"{HEAD}    foreign_keys:\n      - columns: [a]\n        on_delete: set_null\n",
            (
                " line 6: on_delete of foreign key a in foreign_keys of table users must be one of no action, restrict,"
                ' cascade, set null, set default, not "set_null": did you mean set null?'
            ),
        ),
        (
            f"{HEAD}    foreign_keys: [{{columns: [a], references: persons(id}}]\n",
            ' line 4: references of foreign key a in foreign_keys of table users must be like persons(id), not "persons(id"',
        ),
        (
            f"{HEAD}    foreign_keys: [{{columns: [a], references: 'persons(id, x)'}}]\n",
            " line 4: references of foreign key a in foreign_keys of table users must name as many columns as columns does",
        ),
        (f"{HEAD}    checks: price >= 0\n", ' line 4: checks of table users must be a list, not "price >= 0"'),
        (
            f"{HEAD}    indexes: {{i: email}}\n",
            ' line 4: index i of table users must be a list of columns, a mapping or absent, not "email"',
        ),
        (
            f"{HEAD}    indexes:\n      i: {{columns: [a], methd: gin}}\n",
            ' line 5: unknown key "methd" in index i of table users: did you mean method?',
        ),
        (
            f"{HEAD}    indexes:\n      i: {{columns: [a, b], opclass: text_ops}}\n",
            " line 5: opclass of index i of table users must have one name for each of its columns",
        ),
        (
            f"{HEAD}    indexes:\n      i:\n        options: [m]\n",
            " line 6: options of index i of table users must be a mapping, not a list",
        ),
        (
            f"{HEAD}    indexes:\n      i: {{unique: 1}}\n",
            ' line 5: unique of index i of table users must be true or false, not "1"',
        ),
        ("format: 1\nenums: {e: a}\n", ' line 2: enum e must be a list of labels, a mapping or absent, not "a"'),
        ("format: 1\nenums:\n  e: [a, b, a]\n", ' line 3: "a" stands twice in labels of enum e'),
        (
            'format: 1\nextensions: {vector: "> new"}\n',
            ' line 2: version of extension vector must be like 0.8.0, ">=0.8" or ">=0.8, <0.9", not "> new"',
        ),
        (
            "format: 1\nextensions: {vector: {versio: 1}}\n",
            ' line 2: unknown key "versio" in extension vector: did you mean version?',
        ),
        ("format: 1\ntables: users\n", ' line 2: tables must be a mapping, not "users"'),
        ("format: 1\ntables: {users: [id]}\n", " line 2: table users must be a mapping or absent, not a list"),
        (f"{HEAD}  users:\n", ' line 4: "users" stands twice; first on line 3'),
        (f"{HEAD}  public.users:\n", ' line 2: "public.users" stands twice in tables'),
        (
            "format: 1\ntables: {a.b.c: }\n",
            ' line 2: "a.b.c" is neither a name nor schema.name: a name that holds a dot stands in double quotes',
        ),
        ('format: 1\ntables: {"": }\n', ' line 2: "" is neither a name nor schema.name'),
        (
            'format: 1\ntables: {"a\\0b": }\n',
            " line 2: 'a\\x00b' is not a name: PostgreSQL cannot store the character 0",
        ),
        (
            f"format: 1\ntables: {{{'é' * 32}: }}\n",
            f' line 2: "{"é" * 32}" is longer than a name can be, 63 bytes',
        ),
        ("format: 1\nschema: [a]\n", " line 2: schema must hold names, not a list"),
        ("format: 1\ntables:\n  a: {b: [}\n", " line 3: not YAML: while parsing a flow node"),
        ("format: 1\n\ttables:\n", " line 2: not YAML: while scanning for the next token"),
        ("format: 1\ntables:\n  a: *b\n", " line 3: not YAML: found undefined alias 'b'"),
        ("format: 1\nx: \x07\n", " line 2: not YAML: character 7 is not allowed"),
        ("format: 1\n---\nformat: 1\n", " line 2: not YAML: expected a single document"),
        ("format: 1\nschema: !vault x\n", " line 2: tag !vault has no meaning here"),
        ("format: 1\n? [a]\n: b\n", " line 2: a key must be a name, not a list or a mapping"),
        ("format: 1\n<<: a\n", " line 2: << takes mappings only"),
    ],
)
def test_errors_name_the_line(text: str, error: str) -> None:
    with pytest.raises(StewardError) as caught:
        specs.parse(text, "shop.yml")
    assert str(caught.value).startswith(f"shop.yml{error}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("#" * (marked_yaml.MAXIMUM_BYTES + 1), " has 1048577 bytes; at most 1048576 are read"),
        ("x: " + "y" * 20_000, " line 1: a text has 20000 characters; at most 10000 are read"),
        ("[" * 5000, " is nested too deeply, or holds itself"),
        ("&a [*a]", " is nested too deeply, or holds itself"),
        (
            "a: &a {b: c, d: e, f: g}\nd:\n  <<: [" + ", ".join(["*a"] * 40_000) + "]\n",
            " holds more than 100000 values, aliases unfolded",
        ),
        (
            "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)),
            " holds more than 100000 values, aliases unfolded",
        ),
        (
            "a0: &a0 {x: y}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)),
            " holds more than 100000 values, aliases unfolded",
        ),
    ],
)
def test_bombs_end_in_an_error(text: str, error: str) -> None:
    with pytest.raises(StewardError) as caught:
        specs.parse(text, "shop.yml")
    assert str(caught.value) == f"shop.yml{error}"


def test_missing_yaml_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(StewardError, match=r"^PyYAML cannot be imported .* install python3-yaml there$"):
        specs.parse("format: 1", "shop.yml")


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    text = """
format: 1
tables:
  a: &base
    columns: {id: bigint, name: text}
  b:
    <<: *base
    columns: {id: uuid}
  c: *base
"""
    a, b, c = specs.parse(text, "shop.yml").tables
    assert a.columns == c.columns
    assert [part.expected for part in b.columns] == [{"type": "uuid"}]


def test_names_are_text_whatever_yaml_takes_them_for() -> None:
    spec = specs.parse("format: 1\nenums: {on: [yes, no, 1, 1.10, null, '']}\nextensions: {x: 1.10}\n", "shop.yml")
    assert spec.enums[0].name == ("public", "on")
    assert spec.enums[0].expected == {"labels_in_order": ["yes", "no", "1", "1.10", "null", ""]}
    assert spec.extensions[0].expected == {"version": "1.10"}


def test_the_example_of_the_page_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs/spec.md").read_text(encoding="utf-8")
    spec = specs.parse(page.partition("```yaml\n")[2].partition("```")[0], "docs/spec.md")
    assert (len(spec.extensions), len(spec.enums), len(spec.tables)) == (3, 2, 4)


# What counts as the same


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("int", "integer"),
        ("int4", "integer"),
        ("INTEGER", "integer"),
        ("int8", "bigint"),
        ("int2", "smallint"),
        ("bool", "boolean"),
        ("float4", "real"),
        ("float(24)", "real"),
        ("float8", "double precision"),
        ("float", "double precision"),
        ("float(25)", "double precision"),
        ("double  precision", "double precision"),
        ("decimal(10,2)", "numeric(10,2)"),
        ("numeric(10, 2)", "numeric(10,2)"),
        ("numeric(10)", "numeric(10,0)"),
        ("dec", "numeric"),
        ("varchar", "character varying"),
        ("varchar(255)", "character varying(255)"),
        ("varchar (255)", "character varying(255)"),
        ("Character Varying(255)", "character varying(255)"),
        ("char varying(3)", "character varying(3)"),
        ("nchar varying(3)", "character varying(3)"),
        ("char", "character(1)"),
        ("char(5)", "character(5)"),
        ("bpchar(5)", "character(5)"),
        ("bpchar", "bpchar"),
        ("national character(5)", "character(5)"),
        ('"char"', '"char"'),
        ("bit", "bit(1)"),
        ("varbit(5)", "bit varying(5)"),
        ("timestamp", "timestamp without time zone"),
        ("timestamptz", "timestamp with time zone"),
        ("timestamptz(3)", "timestamp(3) with time zone"),
        ("timestamp(3) with time zone", "timestamp(3) with time zone"),
        ("timestamp(0)", "timestamp(0) without time zone"),
        ("timestamp (3) WITH  TIME ZONE", "timestamp(3) with time zone"),
        ("time", "time without time zone"),
        ("timetz(3)", "time(3) with time zone"),
        ("interval", "interval"),
        ("interval(3)", "interval(3)"),
        ("interval day to second(3)", "interval day to second(3)"),
        ("pg_catalog.int4", "integer"),
        ("text[]", "text[]"),
        ("text []", "text[]"),
        ("int[][]", "integer[]"),
        ("int[3]", "integer[]"),
        ("varchar(3)[]", "character varying(3)[]"),
        ("timestamptz(3)[]", "timestamp(3) with time zone[]"),
        ("jsonb", "jsonb"),
        ("vector(512)", "public.vector(512)"),
        ("VECTOR(512)", "public.vector(512)"),
        ("public.vector(512)", "public.vector(512)"),
        ("user_role_enum", "public.user_role_enum"),
        ("user_role_enum[]", "public.user_role_enum[]"),
        ("UserRole", 'public."UserRole"'),
        ('"UserRole"', 'public."UserRole"'),
        ('"odd ""name"".x"', 'app."odd ""name"".x"'),
        ("app.mood", "app.mood"),
        ('"App".mood', '"App".mood'),
        ("geometry(Point, 4326)", "public.geometry(Point,4326)"),
        ("größe", 'public."größe"'),
    ],
)
def test_same_type(written: str, printed: str) -> None:
    assert types.same(written, printed)
    assert types.same(printed, printed)
    assert types.parse(str(types.parse(printed))) == types.parse(printed)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("int", "bigint"),
        ("int", "integer[]"),
        ("int[]", "integer"),
        ("varchar(255)", "character varying(256)"),
        ("varchar", "character varying(255)"),
        ("varchar(255)", "text"),
        ("char", '"char"'),
        ("timestamptz", "timestamp without time zone"),
        ("timestamptz", "timestamp(3) with time zone"),
        ("timestamp(3)", "timestamp(3) with time zone"),
        ("numeric(10,2)", "numeric(10,3)"),
        ("float(24)", "double precision"),
        ("vector(512)", "public.vector(768)"),
        ("vector(512)", "public.vector"),
        ("app.vector(512)", "public.vector(512)"),
        ('"userrole"', 'public."UserRole"'),
        ('"UserRole"', "public.userrole"),
        ("integer", 'public."integer"'),
        ("bit", "bit varying(1)"),
        ("interval", "interval day"),
        ("GRÖSSE", 'public."größse"'),
    ],
)
def test_other_type(written: str, printed: str) -> None:
    assert not types.same(written, printed)


@pytest.mark.parametrize(
    "text", ["", "varchar(", "a b", "text with time zone", "1", "a.b.c", 'text"', "int]", "x; drop"]
)
def test_no_type(text: str) -> None:
    with pytest.raises(ValueError, match="is not a type"):
        types.parse(text)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (None, None),
        (None, "NULL::character varying"),
        ("employee", "'employee'::public.user_role_enum"),
        ("'employee'", "'employee'::public.user_role_enum"),
        ("hello world", "'hello world'::text"),
        ("'it''s'", "'it''s'::text"),
        ("", "''::text"),
        ("''", "''::character varying"),
        ("Employee", "'Employee'::text"),
        ("0", "0"),
        ("0", "'0'::bigint"),
        ("0", "'0'::text"),
        ("0", "0.00"),
        ("-1", "'-1'::integer"),
        ("-1", "(-1)"),
        ("-1.5", "'-1.5'::numeric"),
        ("1.50", "1.5"),
        ("1e3", "'1000'::numeric"),
        ("true", "true"),
        ("yes", "true"),
        ("off", "false"),
        ("true", "'true'::text"),
        ("now()", "now()"),
        ("NOW( )", "now()"),
        ("now()", "CURRENT_TIMESTAMP"),
        ("current_timestamp", "now()"),
        ("CURRENT_TIMESTAMP(3)", "CURRENT_TIMESTAMP(3)"),
        ("current_date", "CURRENT_DATE"),
        ("gen_random_uuid()", "gen_random_uuid()"),
        ("uuid_generate_v4()", "public.uuid_generate_v4()"),
        ("public.uuid_generate_v4()", "public.uuid_generate_v4()"),
        ("nextval('users_id_seq')", "nextval('public.users_id_seq'::regclass)"),
        ("nextval('users_id_seq'::regclass)", "nextval('users_id_seq'::regclass)"),
        ("{}", "'{}'::jsonb"),
        ('{"a": 1}', "'{\"a\": 1}'::jsonb"),
        ("2024-01-01", "'2024-01-01'::date"),
        ("12:30", "'12:30'::text"),
        ("now() + interval '1 day'", "(now() + '1 day'::interval)"),
        ("timezone('utc', now())", "timezone('utc'::text, now())"),
        ("now() at time zone 'utc'", "(now() AT TIME ZONE 'utc'::text)"),
        ("ARRAY['a', 'b']", "ARRAY['a'::text, 'b'::text]"),
        ("current_user", "CURRENT_USER"),
    ],
)
def test_same_default(written: str | None, printed: str | None) -> None:
    assert expressions.same_default(written, printed)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (None, "0"),
        ("0", None),
        ("null", None),
        ("employee", "'Employee'::text"),
        ("'employee'", "'employees'::text"),
        ("employee", "employee()"),
        ("00", "'0'::text"),
        ("0", "'00'::text"),
        ("1", "-1"),
        ("2", "true"),
        ("true", "false"),
        ("now()", "'now()'::text"),
        ("current_user", "'current_user'::text"),
        ("now()", "clock_timestamp()"),
        ("now()", "now"),
        ("public.uuid_generate_v4()", "app.uuid_generate_v4()"),
        ("nextval('users_id_seq')", "nextval('public.persons_id_seq'::regclass)"),
        ("CURRENT_TIMESTAMP(3)", "CURRENT_TIMESTAMP"),
        ("now() + interval '1 day'", "(now() + '2 days'::interval)"),
        ("now() + interval '1 day'", "(now() - '1 day'::interval)"),
        ("", "'x'::text"),
    ],
)
def test_other_default(written: str | None, printed: str | None) -> None:
    assert not expressions.same_default(written, printed)


VARYING = ("email", "status")  # columns of the type character varying


@pytest.mark.parametrize(
    ("written", "printed"),  # as 15, 17 and 18 print it
    [
        ("price >= 0", "(price >= (0)::numeric)"),
        ("PRICE >= 0", "(price >= (0)::numeric)"),
        ("(((price)) >= 0)", "(price >= (0)::numeric)"),
        ("price >= '0'", "(price >= (0)::numeric)"),
        ("price > 0 and price < 1000", "((price > (0)::numeric) AND (price < (1000)::numeric))"),
        ("qty BETWEEN 1 AND 10", "((qty >= 1) AND (qty <= 10))"),
        ("qty not between 1 and 10", "((qty < 1) OR (qty > 10))"),
        ("a=-1", "(a = '-1'::integer)"),
        ("a % 2 = 0", "((a % 2) = 0)"),
        ("a + b * 2 > 10", "((a + (b * 2)) > 10)"),
        ("a - b - 1 > 0", "(((a - b) - 1) > 0)"),
        ("-a < 5", "((- a) < 5)"),
        (
            "status IN ('a', 'b')",
            "((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
        ),
        ("status in ('a')", "((status)::text = 'a'::text)"),
        (
            "status not in ('a','b')",
            "((status)::text <> ALL ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
        ),
        ("email like '%@%'", "((email)::text ~~ '%@%'::text)"),
        ("email not ilike 'x%'", "((email)::text !~~* 'x%'::text)"),
        ("name ~ '^[a-z]+$'", "(name ~ '^[a-z]+$'::text)"),
        ("length(trim(name)) > 0", "(length(TRIM(BOTH FROM name)) > 0)"),
        ("lower(email) = email", "(lower((email)::text) = (email)::text)"),
        ("role != 'admin'", "(role <> 'admin'::public.user_role_enum)"),
        ("not active", "(NOT active)"),
        ("active is not true", "(active IS NOT TRUE)"),
        ("email is not null", "(email IS NOT NULL)"),
        ("(email is null) <> (name is null)", "((email IS NULL) <> (name IS NULL))"),
        ("email is not distinct from name", "(NOT ((email)::text IS DISTINCT FROM name))"),
        ("extract(year from born) > 1900", "(EXTRACT(year FROM born) > (1900)::numeric)"),
        ("born > date '2000-01-01'", "(born > '2000-01-01'::date)"),
        ("created < now() + interval '1 day'", "(created < (now() + '1 day'::interval))"),
        ("data ->> 'k' = 'v'", "((data ->> 'k'::text) = 'v'::text)"),
        ("data ? 'k'", "(data ? 'k'::text)"),
        ("tags[1] = 'x'", "(tags[1] = 'x'::text)"),
        ("'x' = any(tags)", "('x'::text = ANY (tags))"),
        ("price::text <> ''", "((price)::text <> ''::text)"),
        ("cast(price as text) <> ''", "((price)::text <> ''::text)"),
        (
            "a > 0 and (b > 0 or qty > 0) and name <> ''",
            "((a > 0) AND ((b > 0) OR (qty > 0)) AND (name <> ''::text))",
        ),
        ("a > 0 or b > 0 and qty > 0", "((a > 0) OR ((b > 0) AND (qty > 0)))"),
        ("dbl between -90 and 90", "((dbl >= ('-90'::integer)::double precision) AND (dbl <= (90)::double precision))"),
        ('"Odd ""name" > 0', '("Odd ""name" > 0)'),
        ("email collate \"C\" > 'a'", "((email)::text COLLATE \"C\" > 'a'::text)"),
        # beyond the reader, so compared as text
        ("CASE WHEN active THEN (a > 0) ELSE true END", "\nCASE\n    WHEN active THEN (a > 0)\n    ELSE true\nEND"),
        ("name similar to 'a%'", "name similar to 'a%'"),
    ],
)
def test_same_expression(written: str, printed: str) -> None:
    assert expressions.same(written, printed, VARYING)
    assert expressions.same(printed, printed, VARYING)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("price >= 0", "(price > (0)::numeric)"),
        ("price >= 0", "(price >= (1)::numeric)"),
        ("price >= 0", "(prices >= (0)::numeric)"),
        ("0 <= price", "(price >= (0)::numeric)"),
        ("a + b * 2 > 10", "(((a + b) * 2) > 10)"),
        ("a - (b - 1) > 0", "(((a - b) - 1) > 0)"),
        ("a > 0 or b > 0 and qty > 0", "(((a > 0) OR (b > 0)) AND (qty > 0))"),
        ("not (a > 0 and b > 0)", "((NOT (a > 0)) AND (b > 0))"),
        ("a is null and b is null", "(a IS NULL)"),
        ("status in ('a', 'b')", "(status = ANY (ARRAY['b'::text, 'a'::text]))"),
        ("status in ('a', 'b')", "(status = ALL (ARRAY['a'::text, 'b'::text]))"),
        ("name = 'a'", "(name = 'A'::text)"),
        ("name = 'a b'", "(name = 'a  b'::text)"),
        ("name = price", "(name = (price)::text)"),
        ('"Name" = 1', "(name = 1)"),
        ("É = 1", "(é = 1)"),
        ("name is null", "(name IS NOT NULL)"),
        ("app.f(a) > 0", "(public.f(a) > 0)"),
        ("name similar to 'a B'", "name similar to 'a b'"),
        ("CASE WHEN a THEN 'X' END = 1", "CASE WHEN a THEN 'x' END = 1"),
        ("name = E'a\\'  B'", "name = E'a\\' B'"),
        ("a > 0 -- b", "(a > 0)"),
        ("a > 0)", "(a > 0)"),
        ("", "(a > 0)"),
        ("(" * 3000 + "a" + ")" * 3000, "a"),
    ],
)
def test_other_expression(written: str, printed: str) -> None:
    assert not expressions.same(written, printed, VARYING)


@pytest.mark.parametrize(
    ("version", "requirement", "satisfied"),
    [
        ("0.8.0", "0.8.0", True),
        ("0.8.0", "0.8", True),
        ("0.8.1", "0.8", False),
        ("0.8.0", ">=0.8", True),
        ("0.10.0", ">=0.8", True),
        ("0.7.4", ">=0.8", False),
        ("0.8.2", ">0.8.1, <0.9", True),
        ("0.9", ">0.8.1, <0.9", False),
        ("0.9", "<= 0.9", True),
        ("1.6", "!=1.6", False),
        ("1.6", "==1.6", True),
        ("3.4.0dev", ">=3.4", False),
        ("3.4.0dev", ">=3.3", True),
    ],
)
def test_satisfies(version: str, requirement: str, satisfied: bool) -> None:
    assert versions.satisfies(version, requirement) is satisfied


# Drifts


EXTENSION = {"version": "0.7.4", "schema": "public"}
ENUM = {"labels_in_order": ["admin", "employee"]}


@pytest.mark.parametrize(
    ("text", "objects", "found"),
    [
        ("extensions: {vector: }", {"extension": {"vector": EXTENSION}}, []),
        ("extensions: {vector: 0.7.4}", {"extension": {"vector": EXTENSION}}, []),
        ("extensions: {vector: {version: '>=0.7', schema: public}}", {"extension": {"vector": EXTENSION}}, []),
        (
            "extensions: {vector: {version: '>=0.8', schema: vectors}}",
            {"extension": {"vector": EXTENSION}},
            [
                ("extension vector", "version", ">=0.8", "0.7.4"),
                ("extension vector", "schema", "vectors", "public"),
            ],
        ),
        ("extensions: {uuid-ossp: }", {}, [('extension "uuid-ossp"', "existence", "present", "absent")]),
        (
            "extensions: {vector: absent}",
            {"extension": {"vector": {}}},
            [("extension vector", "existence", "absent", "present")],
        ),
        ("extensions: {vector: {absent: true}}", {}, []),
        ("enums: {e: [admin, employee]}", {"enum": {"public.e": ENUM}}, []),
        ("enums: {e: }", {"enum": {"public.e": ENUM}}, []),
        (
            "enums: {e: [employee, admin]}",
            {"enum": {"public.e": ENUM}},
            [("enum public.e", "labels_in_order", ["employee", "admin"], ["admin", "employee"])],
        ),
        (
            "enums: {e: [admin]}",
            {"enum": {"public.e": ENUM}},
            [("enum public.e", "labels_in_order", ["admin"], ["admin", "employee"])],
        ),
        ("enums: {e: []}", {"enum": {"public.e": {"labels_in_order": []}}}, []),
        ("enums: {app.e: [a]}", {"enum": {"public.e": ENUM}}, [("enum app.e", "existence", "present", "absent")]),
        ("enums: {e: absent}", {"enum": {"public.e": ENUM}}, [("enum public.e", "existence", "absent", "present")]),
        ("tables: {users: }", {"table": {"public.users": {}}}, []),
        ("tables: {users: }", {}, [(TABLE, "existence", "present", "absent")]),
        ("tables: {users: {columns: {id: int}}}", {}, [(TABLE, "existence", "present", "absent")]),
        ("tables: {users: }", {"view": {"public.users": {}}}, [(TABLE, "existence", "present", "view")]),
        ("tables: {users: absent}", {"view": {"public.users": {}}}, []),
        ("tables: {users: absent}", {}, []),
        ("tables: {users: absent}", {"table": {"public.users": {}}}, [(TABLE, "existence", "absent", "present")]),
        (
            "tables: {users: {columns: {a: }}}",
            {"foreign table": {"public.users": {"columns": {"a": {"type": "text"}}}}},
            [],
        ),
        (
            "tables: {users: absent}",
            {"foreign table": {"public.users": {}}},
            [("foreign table public.users", "existence", "absent", "present")],
        ),
        ("schema: app\ntables: {users: , public.users: }", {"table": {"app.users": {}, "public.users": {}}}, []),
        ("schema: App\ntables: {users: }", {}, [('table "App".users', "existence", "present", "absent")]),
    ],
)
def test_drifts_of_objects(text: str, objects: Found, found: list[tuple[Any, ...]]) -> None:
    assert drifts(f"format: 1\n{text}\n", objects) == found


COLUMNS = {
    "id": {"type": "bigint", "not_null": True, "default": "nextval('public.users_id_seq'::regclass)"},
    "number": {"type": "integer", "not_null": True, "identity": {"always": True}},
    "email": {"type": "character varying(255)"},
    "role": {"type": "public.user_role_enum", "not_null": True, "default": "'employee'::public.user_role_enum"},
    "late": {"type": "text", "not_null": "not valid"},
}


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ("{id: bigserial, number: serial, email: varchar(255), late: text}", []),
        ("{role: {type: user_role_enum, null: false, default: employee}, email: {null: true, default: null}}", []),
        ("{email: , gone: absent, none: {absent: true}}", []),
        ("{number: {default: null}}", []),
        ("{Email: text}", [('column public.users."Email"', "existence", "present", "absent")]),
        ("{email: absent}", [("column public.users.email", "existence", "absent", "present")]),
        ("{email: varchar(100)}", [("column public.users.email", "type", "varchar(100)", "character varying(255)")]),
        ("{email: {null: false}}", [("column public.users.email", "not_null", True, False)]),
        ("{role: {null: true}}", [("column public.users.role", "not_null", False, True)]),
        ("{late: {null: false}}", [("column public.users.late", "not_null", True, "not valid")]),
        ("{email: {default: ''}}", [("column public.users.email", "default", "", None)]),
        (
            "{role: {default: admin}}",
            [("column public.users.role", "default", "admin", "'employee'::public.user_role_enum")],
        ),
        (
            "{role: {default: null}}",
            [("column public.users.role", "default", None, "'employee'::public.user_role_enum")],
        ),
        (
            "{email: serial}",
            [
                ("column public.users.email", "type", "integer", "character varying(255)"),
                ("column public.users.email", "not_null", True, False),
                ("column public.users.email", "default", "nextval(…) or identity", None),
            ],
        ),
    ],
)
def test_drifts_of_columns(columns: str, found: list[tuple[Any, ...]]) -> None:
    assert table_drifts(f"columns: {columns}", {"columns": COLUMNS}) == found


UNIQUE_INDEX = {"method": "btree", "columns": ["email"], "unique": True}
REFERENCE = {
    "type": "foreign key",
    "columns": ["user_id"],
    "references": "public.persons",
    "referenced_columns": ["id"],
}
PAIR = {"type": "foreign key", "columns": ["b", "a"], "references": "app.pairs", "referenced_columns": ["y", "x"]}
CHECK = {"type": "check", "expression": "(price >= (0)::numeric)"}
FK = "constraint public.users.users_user_id_fkey"


@pytest.mark.parametrize(
    ("body", "constraints", "indexes", "found"),
    [
        ("primary_key: [a, b]", {"pk": {"type": "primary key", "columns": ["a", "b"]}}, {}, []),
        (
            "primary_key: [a, b]",
            {"pk": {"type": "primary key", "columns": ["b", "a"]}},
            {},
            [("constraint public.users.pk", "columns", ["a", "b"], ["b", "a"])],
        ),
        (
            "primary_key: [a]",
            {"pk": {"type": "primary key", "columns": ["a"], "without_overlaps": True}},
            {},
            [("constraint public.users.pk", "without_overlaps", False, True)],
        ),
        (
            "primary_key: [a]",
            {"pk": {"type": "primary key", "columns": ["a"], "index": {"valid": False}}},
            {},
            [("index public.pk", "valid", True, False)],
        ),
        (
            "primary_key: [a, B]",
            {},
            {},
            [('constraint public.users.(primary key a, "B")', "existence", "present", "absent")],
        ),
        ("primary_key: absent", {}, {}, []),
        (
            "primary_key: absent",
            {"users_pkey": {"type": "primary key", "columns": ["a"]}},
            {},
            [("constraint public.users.users_pkey", "existence", "absent", "present")],
        ),
        ("unique: [[email]]", {"u": {"type": "unique", "columns": ["email"]}}, {}, []),
        ("unique: [[email]]", {"u": {"type": "primary key", "columns": ["email"]}}, {}, []),
        ("unique: [[email]]", {}, {"u": UNIQUE_INDEX}, []),
        ("unique: [[a, b]]", {"u": {"type": "unique", "columns": ["b", "a"]}}, {}, []),
        ("unique: [{columns: [email]}]", {}, {"u": UNIQUE_INDEX}, []),
        ("unique: [[(lower(email))]]", {}, {"u": {**UNIQUE_INDEX, "columns": ["(lower((email)::text))"]}}, []),
        (
            "unique: [[email]]",
            {
                "u": {"type": "unique", "columns": ["email", "x"]},
                "v": {"type": "unique", "columns": ["email"], "without_overlaps": True},
            },
            {"u": {**UNIQUE_INDEX, "predicate": "(a > 0)"}, "v": {**UNIQUE_INDEX, "unique": False}},
            [("constraint public.users.(unique email)", "existence", "present", "absent")],
        ),
        (
            "unique: [[email]]",
            {},
            {"u": {**UNIQUE_INDEX, "valid": False}},
            [("index public.u", "valid", True, False)],
        ),
        ("unique: [[email]]", {}, {"u": {**UNIQUE_INDEX, "valid": False}, "v": UNIQUE_INDEX}, []),
        ("unique: [{columns: [email], absent: true}]", {"pk": {"type": "primary key", "columns": ["email"]}}, {}, []),
        (
            "unique: [{columns: [email], absent: true}]",
            {"u": {"type": "unique", "columns": ["email"]}},
            {"v": UNIQUE_INDEX},
            [
                ("constraint public.users.u", "existence", "absent", "present"),
                ("index public.v", "existence", "absent", "present"),
            ],
        ),
        ("foreign_keys: [{columns: [user_id]}]", {"f": REFERENCE}, {}, []),
        ("foreign_keys: [{columns: [user_id], references: persons}]", {"f": REFERENCE}, {}, []),
        (
            "foreign_keys: [{columns: [user_id], references: public.persons ( id ), on_delete: no action, on_update: NO ACTION}]",
            {"f": REFERENCE},
            {},
            [],
        ),
        ("foreign_keys: [{columns: [a, b], references: 'app.pairs(x, y)'}]", {"f": PAIR}, {}, []),
        (
            "foreign_keys: [{columns: [a, b], references: 'app.pairs(y, x)'}]",
            {"f": PAIR},
            {},
            [("constraint public.users.f", "referenced_columns", ["y", "x"], ["x", "y"])],
        ),
        (
            "foreign_keys: [{columns: [user_id], references: people(uuid), on_delete: cascade, on_update: restrict}]",
            {"users_user_id_fkey": {**REFERENCE, "on_delete": "set null"}},
            {},
            [
                (FK, "references", "public.people", "public.persons"),
                (FK, "referenced_columns", ["uuid"], ["id"]),
                (FK, "on_delete", "cascade", "set null"),
                (FK, "on_update", "restrict", "no action"),
            ],
        ),
        (
            "foreign_keys: [{columns: [user_id]}]",
            {"users_user_id_fkey": {**REFERENCE, "valid": False}},
            {},
            [(FK, "valid", True, False)],
        ),
        (
            "foreign_keys: [{columns: [user_id]}]",
            {"users_user_id_fkey": {**REFERENCE, "enforced": False}},
            {},
            [(FK, "enforced", True, False)],
        ),
        (
            "foreign_keys: [{columns: [user_id], references: persons(id)}]",
            {"a": {**REFERENCE, "references": "public.people"}, "b": REFERENCE},
            {},
            [],
        ),
        (
            "foreign_keys: [{columns: [user_id], references: persons(id)}]",
            {"f": PAIR},
            {},
            [("constraint public.users.(foreign key user_id)", "existence", "present", "absent")],
        ),
        ("foreign_keys: [{columns: [user_id], absent: true}]", {}, {}, []),
        (
            "foreign_keys: [{columns: [user_id], absent: true}]",
            {"users_user_id_fkey": REFERENCE},
            {},
            [(FK, "existence", "absent", "present")],
        ),
        ("checks: [price >= 0]", {"c": CHECK}, {}, []),
        (
            "checks: [price > 0]",
            {"c": CHECK},
            {},
            [("constraint public.users.(check price > 0)", "existence", "present", "absent")],
        ),
        ("checks: [price >= 0]", {"c": {**CHECK, "valid": False}, "d": CHECK}, {}, []),
        (
            "checks: [price >= 0]",
            {"c": {**CHECK, "valid": False}},
            {},
            [("constraint public.users.c", "valid", True, False)],
        ),
        (
            "checks: [price >= 0]",
            {"c": {**CHECK, "enforced": False}},
            {},
            [("constraint public.users.c", "enforced", True, False)],
        ),
    ],
)
def test_drifts_of_constraints(
    body: str, constraints: dict[str, Any], indexes: dict[str, Any], found: list[tuple[Any, ...]]
) -> None:
    columns = {"email": {"type": "character varying(255)"}}
    assert table_drifts(body, {"columns": columns, "constraints": constraints, "indexes": indexes}) == found


INDEX = {
    "method": "hnsw",
    "columns": ["embedding"],
    "opclasses": ["public.vector_cosine_ops"],
    "options": {"m": "16", "ef_construction": "64"},
    "predicate": "(embedding IS NOT NULL)",
}
IDX = "index public.i"


@pytest.mark.parametrize(
    ("index", "there", "found"),
    [
        ("[embedding]", INDEX, []),
        ("", INDEX, []),
        (
            (
                "{columns: [embedding], method: HNSW, opclass: vector_cosine_ops, unique: false, include: [],"
                " options: {m: 16, EF_construction: 64}, where: embedding is not null}"
            ),
            INDEX,
            [],
        ),
        ("{opclass: [public.vector_cosine_ops], where: true}", INDEX, []),
        ("[embedding]", None, [(IDX, "existence", "present", "absent")]),
        ("absent", None, []),
        ("absent", INDEX, [(IDX, "existence", "absent", "present")]),
        ("[embedding]", {**INDEX, "valid": False}, [(IDX, "valid", True, False)]),
        ("[embedding, id]", INDEX, [(IDX, "columns", ["embedding", "id"], ["embedding"])]),
        ("[id]", INDEX, [(IDX, "columns", ["id"], ["embedding"])]),
        ("{method: ivfflat}", INDEX, [(IDX, "method", "ivfflat", "hnsw")]),
        ("{unique: true}", INDEX, [(IDX, "unique", True, False)]),
        ("{include: [id]}", INDEX, [(IDX, "include", ["id"], [])]),
        ("{include: [b, a]}", {**INDEX, "include": ["a", "b"]}, []),
        ("{opclass: vector_l2_ops}", INDEX, [(IDX, "opclasses", ["vector_l2_ops"], ["public.vector_cosine_ops"])]),
        (
            "{opclass: app.vector_cosine_ops}",
            INDEX,
            [(IDX, "opclasses", ["app.vector_cosine_ops"], ["public.vector_cosine_ops"])],
        ),
        ("{opclass: default}", INDEX, [(IDX, "opclasses", ["default"], ["public.vector_cosine_ops"])]),
        ("{options: {m: 24}}", INDEX, [(IDX, "options", {"m": "24"}, {"m": "16", "ef_construction": "64"})]),
        ("{options: {fastupdate: off}}", INDEX, [(IDX, "options", {"fastupdate": "off"}, INDEX["options"])]),
        ("{options: {fastupdate: off}}", {"columns": ["a"], "options": {"fastupdate": "false"}}, []),
        ("{where: false}", INDEX, [(IDX, "predicate", False, "(embedding IS NOT NULL)")]),
        ("{where: id > 0}", INDEX, [(IDX, "predicate", "id > 0", "(embedding IS NOT NULL)")]),
        ("{where: true}", {"columns": ["a"]}, [(IDX, "predicate", True, None)]),
        ("{where: id > 0}", {"columns": ["a"]}, [(IDX, "predicate", "id > 0", None)]),
        ("{where: false, method: btree, opclass: text_ops}", {"columns": ["a"]}, []),
        ("{opclass: vector_l2_ops}", {"method": "ivfflat", "columns": ["a"]}, []),
        (
            "{opclass: jsonb_path_ops}",
            {"method": "gin", "columns": ["a"]},
            [(IDX, "opclasses", ["jsonb_path_ops"], None)],
        ),
        (
            "{columns: [a, b], opclass: [default, gin_trgm_ops]}",
            {"columns": ["a", "b"], "opclasses": ["", "public.gin_trgm_ops"]},
            [],
        ),
        ("[(lower(email)), id]", {"columns": ["(lower((email)::text))", "id"]}, []),
        ("[lower(email)]", {"columns": ["(lower((email)::text))"]}, []),
        (
            "[(upper(email))]",
            {"columns": ["(lower((email)::text))"]},
            [(IDX, "columns", ["(upper(email))"], ["(lower((email)::text))"])],
        ),
        ("['odd(name)']", {"columns": ["odd(name)"]}, []),
        ("[(email)]", {"columns": ["email"]}, [(IDX, "columns", ["(email)"], ["email"])]),
    ],
)
def test_drifts_of_indexes(index: str, there: dict[str, Any] | None, found: list[tuple[Any, ...]]) -> None:
    table = {
        "columns": {"email": {"type": "character varying(9)"}, "odd(name)": {"type": "text"}},
        "indexes": {"i": there} if there else {},
    }
    assert table_drifts(f"indexes: {{i: {index}}}", table) == found


def test_the_index_behind_a_constraint_can_be_named() -> None:
    constraint = {"type": "unique", "columns": ["a"], "include": ["b"], "index": {"options": {"fillfactor": "70"}}}
    body = "indexes: {u: {columns: [a], unique: true, include: [b], options: {fillfactor: 70}, method: btree}}"
    assert table_drifts(body, {"constraints": {"u": constraint}}) == []
    constraint["index"]["valid"] = False
    assert table_drifts(body, {"constraints": {"u": constraint}}) == [("index public.u", "valid", True, False)]


HOSTILE = [
    "order",
    "Odd name",
    'we"ird',
    "it's",
    "naïve",
    "日本",
    "a.b",
    "a,b",
    "a(b)",
    "100%",
    "back\\slash",
    "{x}",
    "new\nline",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    """A plain name in YAML finds the object that the snapshot has under the quoted one."""
    sql = '"' + name.replace('"', '""') + '"'
    yaml = '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    # Where a schema may stand before it, a name with a dot wants quotes of its own; brackets and commas do in references.
    outer = yaml if "." not in name else f"'{sql}'"
    inner = '"' + (sql.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) + '"'
    text = f"""
format: 1
enums: {{? {outer} : [{yaml}]}}
extensions: {{? {yaml} : }}
tables:
  ? {outer}
  : columns: {{? {yaml} : {{type: {inner}, default: {yaml if "'" not in name and "(" not in name else "x"}}}}}
    primary_key: [{yaml}]
    foreign_keys: [{{columns: [{yaml}], references: {inner[:-1]}({inner[1:-1]})"}}]
    indexes: {{? {yaml} : [{yaml}]}}
"""
    literal = name.replace("'", "''") if "'" not in name and "(" not in name else "x"
    table = {
        "columns": {name: {"type": f"public.{sql}", "default": f"'{literal}'::text"}},
        "constraints": {
            "k": {"type": "primary key", "columns": [name]},
            "f": {
                "type": "foreign key",
                "columns": [name],
                "references": f"public.{sql}",
                "referenced_columns": [name],
            },
        },
        "indexes": {name: {"columns": [name]}},
    }
    enum = {"labels_in_order": [name]}
    objects = {"table": {f"public.{sql}": table}, "enum": {f"public.{sql}": enum}, "extension": {sql: {}}}
    assert drifts(text, objects) == []
    empty = drifts(text, {"table": {f"public.{sql}": {}}, "enum": {}, "extension": {}})
    assert [drift[0] for drift in empty] == [
        f"extension {sql}",
        f"enum public.{sql}",
        f"column public.{sql}.{sql}",
        f"constraint public.{sql}.(primary key {sql})",
        f"constraint public.{sql}.(foreign key {sql})",
        f"index public.{sql}",
    ]
