"""Large tables of an archive: which they are, and FREEZE in the scripts of their rows."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_load as load
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_load import Table, frozen
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_toc import Entry
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

HEAD = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n\nSET client_encoding = 'UTF8';\n\n--\n-- Data for Name: t\n--\n\n"
COPY = b'COPY public."T ( FROM stdin;" (a, b) FROM stdin;\n'
ROWS_TEXT = b"1\tCOPY x FROM stdin;\n\\.\n\n"
TABLE = Table("", "public", "T ( FROM stdin;")


@pytest.mark.parametrize("head", [HEAD, b""])
def test_frozen(head: bytes) -> None:
    expected = (
        head + b'TRUNCATE TABLE ONLY "public"."T ( FROM stdin;";\n' + COPY[:-2] + b" WITH (FREEZE);\n" + ROWS_TEXT
    )
    assert frozen(head + COPY + ROWS_TEXT, TABLE) == expected


@pytest.mark.parametrize("size", [0, 10, len(HEAD), len(HEAD) + 5, len(HEAD) + len(COPY) - 1])
def test_a_beginning_that_is_too_short(size: int) -> None:
    assert frozen((HEAD + COPY)[:size], TABLE) is None


def test_rows_that_are_no_copy() -> None:
    with pytest.raises(StewardError, match="its rows are no COPY in the dump"):
        frozen(HEAD + b"COPY t TO stdout;\n", TABLE)


def entry(number: int, kind: str, name: str, schema: str = "public") -> tuple[int, Entry]:
    return number, Entry(f"{number}; 0 0 {kind} {schema} {name} me", kind, schema, name, frozenset())


TOC = dict(
    [
        entry(1, "TABLE", "small"),
        entry(2, "TABLE", "Large"),
        entry(3, "TABLE", "larger"),
        entry(4, "TABLE DATA", "small"),
        entry(5, "TABLE DATA", "Large"),
        entry(6, "TABLE DATA", "larger"),
        entry(7, "SEQUENCE SET", "s"),
        entry(8, "INDEX", "i"),
    ]
)
ROWS = {"public.small": load.LARGE - 1, 'public."Large"': load.LARGE, "public.larger": 9 * load.LARGE}


@pytest.mark.parametrize(
    ("without", "large", "rest"),
    [
        ((), ["larger", "Large"], (1, 2, 3, 4, 7, 8)),
        ((6, 8), ["Large"], (1, 2, 3, 4, 7)),
        ((5, 6), [], (1, 2, 3, 4, 7, 8)),
    ],
)
def test_divide(without: tuple[int, ...], large: list[str], rest: tuple[int, ...]) -> None:
    division = load.divide(TOC, [one.line for number, one in TOC.items() if number not in without], ROWS)
    assert [table.name for table in division.large] == large
    assert division.rest == tuple(TOC[number].line for number in rest)
    assert [table.line for table in division.large] == [TOC[{"Large": 5, "larger": 6}[name]].line for name in large]


def test_without_counts_pg_restore_does_it_all() -> None:
    assert load.divide(TOC, [one.line for one in TOC.values()], {}).large == ()
