"""Printed definitions: one text for what is the same, and no text changed that need not be."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _canonical

# What a server prints, and the form that is compared; most pairs are what PostgreSQL printed before and after a restore.
EXPRESSIONS = {
    "an IN list": (
        "((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
        "((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text]))",
    ),
    "NOT IN, more than one": (
        "((a <> ALL ((ARRAY['x'::d])::text[])) AND (b = ANY ((ARRAY[c, NULL::d])::text[])))",
        "((a <> ALL (ARRAY[('x'::d)::text])) AND (b = ANY (ARRAY[(c)::text, (NULL::d)::text])))",
    ),
    "types of several words, with modifiers, of a schema": (
        'f((ARRAY[a])::character varying(5)[], (ARRAY[b])::timestamp(3) without time zone[], (ARRAY[c])::"S.1"."t]"[])',
        'f(ARRAY[(a)::character varying(5)], ARRAY[(b)::timestamp(3) without time zone], ARRAY[(c)::"S.1"."t]"])',
    ),
    "elements with commas, brackets and strings": (
        "((ARRAY[f(a, b[1]), 'x, ]'::v, (c || ','::text)])::text[])[1]",
        "(ARRAY[(f(a, b[1]))::text, ('x, ]'::v)::text, ((c || ','::text))::text])[1]",
    ),
    "arrays in an array": (
        "(ARRAY[ARRAY['a'::v, 'b'::v], ARRAY['c'::v]])::text[]",
        "ARRAY[ARRAY[('a'::v)::text, ('b'::v)::text], ARRAY[('c'::v)::text]]",
    ),
    "an array cast twice": (
        "((ARRAY[(ARRAY['a'::v])::w[]])::text[])",
        "(ARRAY[ARRAY[(('a'::v)::w)::text]])",
    ),
    "an element on its own lines": (
        "(s = ANY ((ARRAY[\nCASE\n    WHEN f THEN 'a'::v\nEND, 'c'::v])::text[]))",
        "(s = ANY (ARRAY[(\nCASE\n    WHEN f THEN 'a'::v\nEND)::text, ('c'::v)::text]))",
    ),
    "statistics, which are printed pretty": (
        "CREATE STATISTICS s ON (a::text = ANY (ARRAY['x'::v, b || c]::text[])), d FROM public.t",
        "CREATE STATISTICS s ON (a::text = ANY (ARRAY['x'::v::text, (b || c)::text])), d FROM public.t",
    ),
    "BETWEEN first": (
        "(((a >= 1) AND (a <= 2)) AND b AND ((c >= 1) AND (c <= 2)))",
        "((a >= 1) AND (a <= 2) AND b AND ((c >= 1) AND (c <= 2)))",
    ),
    "OR of lists": (
        "((((a = 'x'::text) OR (a = b)) OR (c = d)) OR e)",
        "((a = 'x'::text) OR (a = b) OR (c = d) OR e)",
    ),
    "a name that became a keyword": (
        '(("json" ->> \'"json"\'::text) = public."json_value"(t."system_user"))',
        "((json ->> '\"json\"'::text) = public.json_value(t.system_user))",
    ),
    "XML without INDENT": (
        "XMLSERIALIZE(CONTENT f(x) AS character varying(10) NO INDENT)",
        "XMLSERIALIZE(CONTENT f(x) AS character varying(10))",
    ),
    "an XML predicate": (
        "((NOT (x IS DOCUMENT)) OR f((y IS DOCUMENT)))",
        "((NOT x IS DOCUMENT) OR f(y IS DOCUMENT))",
    ),
    "an index on a time zone": ("((seen AT TIME ZONE 'UTC'::text))", "(seen AT TIME ZONE 'UTC'::text)"),
    "a partition key": ("RANGE (((at AT TIME ZONE 'UTC'::text)), b)", "RANGE ((at AT TIME ZONE 'UTC'::text), b)"),
    "an index on a period": ("(((a, b) OVERLAPS (c, d))) DESC", "((a, b) OVERLAPS (c, d)) DESC"),
    "an index on a normal form": ("((name IS NFC NORMALIZED))", "(name IS NFC NORMALIZED)"),
}
# Texts that look as if something had to be done.
UNTOUCHED = [
    "",
    "'(ARRAY[''a''::character varying])::text[]'::text",
    "E'\\'(ARRAY[a])::text[]'::text",
    '"(ARRAY[a])::text[]"',
    "$q$(ARRAY[a])::text[] $x$ $q$ || $$(ARRAY[a])::text[]$$",
    "'((a AND b)) AND c'::text || '\"json\"'::text",
    "(ARRAY[]::character varying[])::text[]",
    "(ARRAY[a, b])::my_domain",
    "((tags)::text[] @> ARRAY[('a'::v)::text])",
    "(tags[1])::text",
    "((ARRAY['a'::text, 'b'::text])[1] = ANY ('{])::text[]}'::text[]))",
    "(a AND ((b OR c)) AND (d AND e))",
    "(((a)) AND ((b)) AND (c))",
    "(((a OR b)) AND ((c)) OR d)",
    "GROUPING SETS ((a, b))",
    '"JSON" || "json " || "select" || \'"json"\'::text',
    "XMLSERIALIZE(CONTENT x AS text INDENT)",
    "f(x IS DOCUMENT)",
    "(a = x IS DOCUMENT)",
    "f[(a AT TIME ZONE b)]",
    "((a AT TIME ZONE b) = c)",
    ") unbalanced ] ((ARRAY[a])::",
]
QUERIES = {
    "a table": (
        " SELECT t.a,\n    lower(t.b) AS c\n   FROM public.t\n  WHERE ((t.a > 1) AND f(t.b, 't.b'::text));",
        " SELECT a,\n    lower(b) AS c\n   FROM public.t\n  WHERE ((a > 1) AND f(b, 't.b'::text));",
    ),
    "an alias in quotes": (
        ' SELECT "T.t"."a.b",\n    "T.t"."say ""hi"""\n   FROM "S"."Odd.t" "T.t"(i, "a.b");',
        ' SELECT "a.b",\n    "say ""hi"""\n   FROM "S"."Odd.t" "T.t"(i, "a.b");',
    ),
    "a whole row": (
        " SELECT (t.pair).x AS x,\n    t.*::public.t AS t,\n    t.tags[1] AS tags\n   FROM ONLY public.t;",
        " SELECT (pair).x AS x,\n    t.*::public.t AS t,\n    tags[1] AS tags\n   FROM ONLY public.t;",
    ),
    "a schema called like the table": (
        ' SELECT s.f(s.a) AS f,\n    NULL::s.t AS n,\n    (s.b COLLATE s."C") AS c,\n    XMLSERIALIZE(CONTENT s.x AS s.d) AS x\n   FROM s.s;',
        ' SELECT s.f(a) AS f,\n    NULL::s.t AS n,\n    (b COLLATE s."C") AS c,\n    XMLSERIALIZE(CONTENT x AS s.d) AS x\n   FROM s.s;',
    ),
    "operators of a schema called like the table": (
        " SELECT (s.a OPERATOR(s.=) 1) AS o\n   FROM s.s;",
        " SELECT (a OPERATOR(s.=) 1) AS o\n   FROM s.s;",
    ),
    "queries within": (
        " SELECT t.a,\n    ( SELECT t.b FROM u WHERE (u.a = t.a)) AS m,\n    (( SELECT 1) UNION ( SELECT 2) LIMIT t.a) AS l\n   FROM t;",
        " SELECT a,\n    ( SELECT t.b FROM u WHERE (u.a = t.a)) AS m,\n    (( SELECT 1) UNION ( SELECT 2) LIMIT t.a) AS l\n   FROM t;",
    ),
    "queries after FROM": (
        " SELECT t.a\n   FROM t\n  WHERE ((EXISTS ( WITH q AS ( SELECT t.b) SELECT t.c)) AND (t.d IN ( VALUES (t.e))));",
        " SELECT a\n   FROM t\n  WHERE ((EXISTS ( WITH q AS ( SELECT t.b) SELECT t.c)) AND (d IN ( VALUES (t.e))));",
    ),
    "a common table expression": (
        " WITH q AS (\n         SELECT q.a\n           FROM public.q\n        )\n SELECT q.a\n   FROM q;",
        " WITH q AS (\n         SELECT q.a\n           FROM public.q\n        )\n SELECT a\n   FROM q;",
    ),
    "a subquery": (
        " SELECT s.a\n   FROM ( SELECT s.a\n           FROM (x\n             JOIN s USING (a))) s\n  WHERE (s.a IS DISTINCT FROM 1);",
        " SELECT a\n   FROM ( SELECT s.a\n           FROM (x\n             JOIN s USING (a))) s\n  WHERE (a IS DISTINCT FROM 1);",
    ),
    "a union in FROM": (
        " SELECT s.a\n   FROM (( SELECT s.a\n           FROM s) UNION ALL ( SELECT 2)) s;",
        " SELECT a\n   FROM (( SELECT s.a\n           FROM s) UNION ALL ( SELECT 2)) s;",
    ),
    "a function": (
        " SELECT x.n,\n    EXTRACT(year FROM x.o) AS y\n   FROM ROWS FROM(f(1), g(2)) WITH ORDINALITY x(n, m, o);",
        " SELECT n,\n    EXTRACT(year FROM o) AS y\n   FROM ROWS FROM(f(1), g(2)) WITH ORDINALITY x(n, m, o);",
    ),
    "a sample": (
        " SELECT p.id\n   FROM public.p TABLESAMPLE bernoulli (10.5) REPEATABLE (3)\n FOR UPDATE OF p;",
        " SELECT id\n   FROM public.p TABLESAMPLE bernoulli (10.5) REPEATABLE (3)\n FOR UPDATE OF p;",
    ),
    "names of other output columns": (
        " SELECT DISTINCT ON (t.x, t.z) t.y AS x,\n    t.z\n   FROM t\n  ORDER BY t.x DESC, t.z, (t.x + 1), t.x[1], (lower(t.x));",
        " SELECT DISTINCT ON (t.x, z) y AS x,\n    z\n   FROM t\n  ORDER BY t.x DESC, z, (x + 1), x[1], (lower(x));",
    ),
    "names of other output columns in calls": (
        " SELECT rank(t.x) OVER (PARTITION BY t.x, t.y ORDER BY t.x) AS x,\n    count(*) AS y\n   FROM t\n  GROUP BY t.x, t.y\n  ORDER BY t.y;",
        " SELECT rank(x) OVER (PARTITION BY t.x, t.y ORDER BY t.x) AS x,\n    count(*) AS y\n   FROM t\n  GROUP BY x, y\n  ORDER BY t.y;",
    ),
    "names of other output columns in CASE": (
        " SELECT t.y AS x\n   FROM t\n  ORDER BY\n        CASE t.x\n            WHEN 1 THEN t.x\n        END, t.x;",
        " SELECT y AS x\n   FROM t\n  ORDER BY\n        CASE x\n            WHEN 1 THEN x\n        END, t.x;",
    ),
    "both kinds of rules": (
        " SELECT t.a\n   FROM t\n  WHERE (t.b = ANY ((ARRAY[t.c, 'x'::v])::text[]));",
        " SELECT a\n   FROM t\n  WHERE (b = ANY (ARRAY[(c)::text, ('x'::v)::text]));",
    ),
}
# PostgreSQL 15 and its successors print these alike.
SAME_QUERIES = [
    " SELECT a.x,\n    b.y\n   FROM (a\n     JOIN b USING (id));",
    " SELECT a.x,\n    b.y\n   FROM a,\n    b;",
    " SELECT a.x\n   FROM a\nUNION\n SELECT b.x\n   FROM b;",
    "( SELECT a.x\n   FROM a\n LIMIT 1)\nEXCEPT\n SELECT b.x\n   FROM b;",
    " VALUES (1,'a.x'::text), (2,'b'::text);",
    " SELECT 1 AS one;",
    " SELECT;",
    "",
]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression(name: str) -> None:
    printed, canonical = EXPRESSIONS[name]
    assert _canonical.expression(printed) == canonical
    assert _canonical.expression(canonical) == canonical


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_needs_nothing_stays(text: str) -> None:
    assert _canonical.expression(text) == text


def test_what_needs_nothing_is_not_even_copied() -> None:
    text = "((price > (0)::numeric) AND (name ~ '^[a-z]'::text))"
    assert _canonical.expression(text) is text


@pytest.mark.parametrize("name", QUERIES)
def test_view(name: str) -> None:
    of_15, of_16 = QUERIES[name]
    assert _canonical.view(of_15, 15) == of_16
    assert _canonical.view(of_16, 16) == of_16
    assert _canonical.view(of_16, 15) == of_16


@pytest.mark.parametrize("text", SAME_QUERIES)
def test_view_of_many_tables_or_none(text: str) -> None:
    assert _canonical.view(text, 15) == text
    assert _canonical.view(text, 18) == text


def test_expressions_may_be_as_deep_as_they_like() -> None:
    depth = 5000
    total = "(" * depth + "t.a" + " + 1)" * depth
    query = f" SELECT {total} AS n\n   FROM t;"
    assert _canonical.view(query, 15) == query.replace("t.a", "a")
    cast = f"((ARRAY[{total}])::bigint[])"
    assert _canonical.expression(cast) == f"(ARRAY[({total})::bigint])"
