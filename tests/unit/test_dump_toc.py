"""Which entries of an archive are a table's or a schema's, on the list that pg_dump 15 made of a small shop."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_toc import Toc, parse, select
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

# id | kind | schema | name | what it depends on. Entries with data have no place in the script.
ENTRIES = """
6 | SCHEMA | - | sales |
847 | TYPE | sales | state | 6
224 | FUNCTION | sales | f() | 6
216 | TABLE | public | customers |
215 | SEQUENCE | public | customers_id_seq | 216
222 | TABLE | sales | events | 6
223 | TABLE | sales | events_1 | 222 6
219 | TABLE | sales | items | 6
218 | TABLE | sales | orders | 6 847
3408 | COMMENT | sales | TABLE orders | 218
3409 | COMMENT | sales | COLUMN orders.note | 218
3410 | ACL | sales | TABLE orders | 218
3411 | ACL | sales | COLUMN orders.note | 218 3410
221 | MATERIALIZED VIEW | sales | mv | 218 6
217 | SEQUENCE | sales | orders_id_seq | 218 6
3412 | SEQUENCE OWNED BY | sales | orders_id_seq | 217
220 | VIEW | sales | v | 218 6 847
3227 | TABLE ATTACH | sales | events_1 | 222 223
3228 | DEFAULT | sales | orders id | 217 218
3400 | BLOB | - | 16450 |
3394 | TABLE DATA | public | customers |
3399 | TABLE DATA | sales | events_1 |
3397 | TABLE DATA | sales | items |
3396 | TABLE DATA | sales | orders |
3413 | SEQUENCE SET | public | customers_id_seq |
3414 | SEQUENCE SET | sales | orders_id_seq |
3401 | BLOBS | - | BLOBS |
3232 | CONSTRAINT | public | customers customers_name_key | 216
3234 | CONSTRAINT | public | customers customers_pkey | 216
3236 | CONSTRAINT | sales | orders orders_pkey | 218
3238 | INDEX | sales | events_x_idx | 222
3239 | INDEX | sales | events_1_x_idx | 223 3238
3237 | INDEX | sales | orders_state_idx | 218
3415 | COMMENT | sales | INDEX orders_state_idx | 3237
3240 | INDEX ATTACH | sales | events_1_x_idx | 222 223 3238 3239
3241 | STATISTICS | sales | st | 218 6
3244 | TRIGGER | sales | orders t | 218 224
3243 | FK CONSTRAINT | sales | items items_order_id_fkey | 218 219 3236
3242 | FK CONSTRAINT | sales | orders orders_customer_id_fkey | 216 218 3234
3389 | ROW SECURITY | sales | orders | 218
3390 | POLICY | sales | orders p | 218
3391 | PUBLICATION | - | pub |
3392 | PUBLICATION TABLE | sales | pub orders | 218 3391
3398 | MATERIALIZED VIEW DATA | sales | mv | 221 3403
"""
DATA = ("TABLE DATA", "SEQUENCE SET", "MATERIALIZED VIEW DATA", "BLOB", "BLOBS")


@pytest.fixture(scope="module")
def toc() -> Toc:
    """The archive, by the two texts that pg_restore prints of it."""
    listing, script = "; Archive created at 2026-11-22\n;\n", "-- PostgreSQL database dump\n\n"
    for line in ENTRIES.strip().splitlines():
        number, kind, schema, name, needs = (part.strip() for part in f"{line} ".split(" |"))
        listing += f"{number}; 1259 16394 {kind} {schema} {name} shop_owner\n"
        if kind not in DATA:
            script += f"--\n-- TOC entry {number} (class 1259 OID 16394)\n" + (
                f"-- Dependencies: {needs}\n" if needs else ""
            )
            script += f"-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: shop_owner\n-- Data Pos: 0\n--\n\nSELECT 1;\n\n"
    return parse(listing, script)


ORDERS = (
    "TABLE orders, COMMENT TABLE orders, COMMENT COLUMN orders.note, ACL TABLE orders, ACL COLUMN orders.note, SEQUENCE orders_id_seq,"
    " SEQUENCE OWNED BY orders_id_seq, DEFAULT orders id, TABLE DATA orders, SEQUENCE SET orders_id_seq, CONSTRAINT orders orders_pkey,"
    " INDEX orders_state_idx, COMMENT INDEX orders_state_idx, STATISTICS st, TRIGGER orders t, FK CONSTRAINT orders orders_customer_id_fkey,"
    " ROW SECURITY orders, POLICY orders p"
)
KEY = "fk constraint sales.orders orders_customer_id_fkey"


def names(toc: Toc, lines: tuple[str, ...]) -> str:
    by_line = {entry.line: entry for entry in toc.values()}
    return ", ".join(f"{by_line[line].kind} {by_line[line].name}" for line in lines)


@pytest.mark.parametrize(
    ("tables", "closed", "chosen", "left_out"),
    [
        ([("sales", "orders")], False, ORDERS, ()),
        # For an empty database: with its schema, type and function, without the key to a table that is not there.
        (
            [("sales", "orders")],
            True,
            "SCHEMA sales, TYPE state, FUNCTION f(), "
            + ORDERS.replace(" FK CONSTRAINT orders orders_customer_id_fkey,", ""),
            (KEY,),
        ),
        (
            [("public", "customers")],
            True,
            (
                "TABLE customers, SEQUENCE customers_id_seq, TABLE DATA customers, SEQUENCE SET customers_id_seq,"
                " CONSTRAINT customers customers_name_key, CONSTRAINT customers customers_pkey"
            ),
            (),
        ),
        # A partitioned table comes with its partitions.
        (
            [("sales", "events")],
            False,
            (
                "TABLE events, TABLE events_1, TABLE ATTACH events_1, TABLE DATA events_1, INDEX events_x_idx, INDEX events_1_x_idx,"
                " INDEX ATTACH events_1_x_idx"
            ),
            (),
        ),
        # One partition comes as a table.
        ([("sales", "events_1")], False, "TABLE events_1, TABLE DATA events_1, INDEX events_1_x_idx", ()),
    ],
)
def test_tables(toc: Toc, tables: list[tuple[str, str]], closed: bool, chosen: str, left_out: tuple[str, ...]) -> None:
    selection = select(toc, tables, (), closed)
    assert names(toc, selection.lines) == chosen
    assert selection.left_out == left_out
    assert selection.text == "\n".join(selection.lines) + "\n"


def test_keys_between_chosen_tables_stay(toc: Toc) -> None:
    both = select(toc, [("sales", "orders"), ("public", "customers")], (), closed=True)
    assert "FK CONSTRAINT orders orders_customer_id_fkey" in names(toc, both.lines)
    assert both.left_out == ()


def test_keys_of_others_do_not_come_along(toc: Toc) -> None:
    assert "items" not in names(toc, select(toc, [("sales", "orders")], (), closed=False).lines)


@pytest.mark.parametrize(("closed", "left_out"), [(False, ()), (True, (KEY,))])
def test_a_schema_comes_whole(toc: Toc, closed: bool, left_out: tuple[str, ...]) -> None:
    selection = select(toc, (), ["sales"], closed)
    wanted = [
        entry.line
        for entry in toc.values()
        if "sales" in (entry.schema, entry.name) and entry.kind != "PUBLICATION TABLE" and str(entry) not in left_out
    ]
    assert list(selection.lines) == wanted
    assert "VIEW v" in names(toc, selection.lines)
    assert "MATERIALIZED VIEW DATA mv" in names(toc, selection.lines)
    assert selection.left_out == left_out


@pytest.mark.parametrize(
    ("tables", "schemas", "words"),
    [
        ([("sales", "order"), ("x", "y z")], [], 'the dump has no table sales."order", x."y z"'),
        ([], ["shop"], "the dump has no schema shop"),
    ],
)
def test_what_the_dump_has_not(toc: Toc, tables: list[tuple[str, str]], schemas: list[str], words: str) -> None:
    with pytest.raises(StewardError) as caught:
        select(toc, tables, schemas, closed=False)
    assert str(caught.value) == words
