"""Tables as SQLite has them: what they are made with, and how the fields of COPY become values."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _export as export
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_target import Column, Key, Table
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_values import Kind


def column(name: str, kind: str, required: bool = False) -> Column:
    """Return a column of a table."""
    return Column(name, Kind(kind, kind), required)


PERSONS = Table("public", "persons", (column("id", "int4", True), column("name", "varchar", True)), ("id",))
FACES = Table(
    "public",
    "fa\"ces",
    (column("a", "int4", True), column("b", "uuid", True), column("person_id", "int4"), column("data", "bytea")),
    ("a", "b"),
    (Key("k", ("person_id",), ("public", "persons"), ("id",)), Key("l", ("a",), ("public", "elsewhere"), ("id",))),
)  # fmt: skip


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (PERSONS, 'CREATE TABLE "persons" ("id" INTEGER PRIMARY KEY, "name" TEXT NOT NULL)'),
        (
            FACES,
            (
                'CREATE TABLE "fa""ces" ("a" INTEGER NOT NULL, "b" TEXT NOT NULL, "person_id" INTEGER, "data" BLOB,'
                ' PRIMARY KEY ("a", "b"), FOREIGN KEY ("person_id") REFERENCES "persons" ("id"))'
            ),
        ),
    ],
)
def test_definitions(table: Table, text: str) -> None:
    assert export.definition(table, [PERSONS, FACES]) == text
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(text)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("int8", "-9223372036854775808", -(2**63)),
        ("bool", "t", 1),
        ("bool", "f", 0),
        ("float8", "1e-05", 1e-05),
        ("float8", "NaN", "NaN"),
        ("float8", "0", 0.0),
        ("bytea", "\\\\x00ff", b"\x00\xff"),
        ("bytea", "\\\\x", b""),
        ("numeric", "12345678901234567890.10", "12345678901234567890.10"),
        ("text", "", ""),
        ("text", "a\\tb\\nc\\rd\\be\\ff\\vg", "a\tb\nc\rd\be\ff\vg"),
        ("text", "\\\\N", "\\N"),
        ("text", "\\\\\\\\n", "\\\\n"),
        ("text", "\\\\\\n", "\\\n"),
        ("text", "end\\\\", "end\\"),
        *((kind, "\\N", None) for kind in ("int4", "bool", "float8", "bytea", "text")),
    ],
)
def test_fields(kind: str, field: str, value: Any) -> None:
    found = export.reader(column("c", kind))(field)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "tables is empty"),
        (["nobody"], "schema public has no table 'nobody': it has persons, ../x"),
        (["../x"], "table '../x' cannot be the name of a file"),
    ],
)
def test_tables(names: list[str], words: str) -> None:
    there = {"persons": PERSONS, "../x": PERSONS}
    assert export.chosen(there, ["persons", "persons"], "public") == [PERSONS]
    with pytest.raises(StewardError) as caught:
        export.chosen(there, names, "public")
    assert str(caught.value).startswith(words)
