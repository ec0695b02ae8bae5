"""Where tables and columns go, in which order, and what has no place; rows on their way, and what is compared of them."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_plan as plans
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_proof as proof
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_source as source
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_stream as stream
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_target as target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_plan import Choices, Hint, Load
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_stream import Rejects
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_values import Kind

SHOWN = {"int4": "integer", "varchar": "character varying(5)", "timestamp": "timestamp without time zone"}


def facts(name: str, type_: str, **more: Any) -> dict[str, Any]:
    """Return a column as the server tells it."""
    plain = {"name": name, "type": type_, "builtin": True, "shown": SHOWN.get(type_, type_), "modifier": -1}
    usual = {"required": False, "generated": False, "optional": True, "send": None, "labels": None, "sequence": None}
    return {**plain, **usual, **more}


def there(name: str, *columns: dict[str, Any], **more: Any) -> target.Table:
    """Return a table of the database."""
    usual = {"schema": "public", "name": name, "kind": "r", "key": ["id"], "keys": None}
    return target.table_of({**usual, "columns": list(columns), **more})


def key(columns: list[str], references: str, referenced: list[str] | None = None) -> dict[str, Any]:
    """Return a foreign key as the server tells it."""
    name = f"{columns[0]}_fkey"
    wanted = {"references": ["public", references], "referenced": referenced or ["id"]}
    return {"name": name, "columns": columns, **wanted, "deferrable": False}


ID = facts("id", "int4", required=True, optional=True, sequence="public.persons_id_seq")
PERSONS = there(
    "persons", ID, facts("name", "varchar", modifier=9, required=True, optional=False), facts("seen", "timestamp")
)
FACES = there("faces", ID, facts("person_id", "int4"), keys=[key(["person_id"], "persons")])
DATABASE = {"persons": PERSONS, "faces": FACES}


def table(name: str, *columns: str, **more: Any) -> source.Table:
    """Return a table of the file."""
    return source.Table(name, tuple(map(source.Column, columns)), ("id",), "id", **more)


FILE = {"faces": table("faces", "id", "person_id"), "persons": table("persons", "id", "name", "seen")}


def matched(
    file: Mapping[str, source.Table] = FILE,
    database: Mapping[str, target.Table] = DATABASE,
    tables: Mapping[str, str | None] | None = None,
    numbers: tuple[float, float] | None = None,
    hints: tuple[Hint, ...] = (),
) -> list[Load]:
    """Return what goes where."""
    choices = Choices(tables or {}, hints, UTC)
    return plans.match(file, database, choices, "public", lambda _table, _column: numbers)


def test_by_name() -> None:
    faces, persons = matched()
    assert [pair.column.name for pair in persons.pairs] == ["id", "name", "seen"]
    assert persons.read == ["id", "name", "seen", "id"]
    assert (persons.ordered, faces.ordered) == ("id", "id")
    assert [[load.target.name for load in group] for group in plans.groups([faces, persons])] == [
        ["persons"],
        ["faces"],
    ]


def test_capitals_and_a_map() -> None:
    file = {"Persons": table("Persons", "ID", "title"), "junk": table("junk", "x")}
    hints = (Hint("Persons", "title", "name"),)
    [load] = matched(file, tables={"junk": None}, hints=hints)
    assert [(pair.name, pair.column.name) for pair in load.pairs] == [("ID", "id"), ("title", "name")]
    [load] = matched({"old": table("old", "id", "name")}, tables={"old": "persons"})
    assert load.target is PERSONS


def test_one_column_to_two() -> None:
    database = {"persons": there("persons", ID, facts("name", "text"), facts("copy", "text"))}
    hints = (Hint("persons", "name", "name"), Hint("persons", "name", "copy"), Hint("persons", "seen", None))
    [load] = matched({"persons": FILE["persons"]}, database, hints=hints)
    assert [(pair.name, pair.column.name) for pair in load.pairs] == [("id", "id"), ("name", "name"), ("name", "copy")]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"file": {"other": table("other", "id")}}, "schema public has no table other"),
        ({"tables": {"faces": "nowhere"}}, "schema public has no table nowhere, which tables says faces goes to"),
        ({"tables": {"fotos": None}}, "tables has 'fotos', and the file has faces, persons"),
        ({"tables": {"faces": None, "persons": None}}, "the file has no table to import"),
        ({"tables": {"faces": "persons"}}, "column faces.person_id of the file has no place: public.persons has no column person_id"),
        ({"hints": (Hint("persons", "nick", None),)}, "columns has persons.nick, and that table of the file has id, name, seen"),
        ({"hints": (Hint("person", "name", None),)}, "columns has table 'person'"),
        ({"hints": (Hint("persons", "name", "Name"),)}, "column persons.name of the file has no place: public.persons has no column Name"),
        ({"hints": (Hint("persons", "name", "seen"),)}, "two columns of persons go to public.persons.seen"),
        ({"hints": (Hint("persons", "name", None),)}, "nothing of persons goes to public.persons.name, which has to have a value"),
        ({"numbers": (1990, 2025)}, "column persons.seen of the file has numbers from 1990 to 2025 for times"),
        (
            {"database": {**DATABASE, "faces": there("faces", ID, facts("person_id", "inet"))}},
            "column faces.person_id of the file has no place: public.faces.person_id is inet, and values are converted to",
        ),
        (
            {"database": {**DATABASE, "faces": there("faces", ID, facts("person_id", "int4", generated=True))}},
            "column faces.person_id of the file goes to public.faces.person_id, which is generated",
        ),
        (
            {"file": {"faces": FILE["faces"], "Faces": table("Faces", "id")}},
            "two tables of the file go to faces",
        ),
    ],
)  # fmt: skip
def test_no_place(given: dict[str, Any], words: str) -> None:
    with pytest.raises(StewardError) as caught:
        matched(**given)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ({}, "a b c"),
        ({"a": "b", "b": "c"}, "c b a"),
        ({"a": "a"}, "a b c"),
        ({"a": "b", "b": "a", "c": "a"}, "a+b c"),
        ({"a": "c", "b": "a", "c": "b"}, "a+b+c"),
        ({"a": "elsewhere"}, "a b c"),
    ],
)
def test_order(keys: dict[str, str], order: str) -> None:
    columns = (ID, facts("other", "int4"))
    database = {
        name: there(name, *columns, keys=[key(["other"], keys[name])] if name in keys else None) for name in "abc"
    }
    loads = matched({name: table(name, "id", "other") for name in "abc"}, database)
    groups = plans.groups(loads)
    assert " ".join("+".join(sorted(load.target.name for load in group)) for group in groups) == order
    crossing = [key.name for group in groups for _table, key in plans.crossing(group)]
    assert len(crossing) == (0 if "+" not in order else order.count("+") + 1)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (facts("c", "varchar", modifier=259), ("varchar", 255, None, 0)),
        (facts("c", "numeric", modifier=(10 << 16 | 2) + 4), ("numeric", None, 10, 2)),
        (facts("c", "numeric", modifier=(3 << 16 | (-2 & 0x7FF)) + 4), ("numeric", None, 3, -2)),
        (facts("c", "timestamp", modifier=0), ("timestamp", 0, None, 0)),
        (facts("c", "vector", builtin=False, modifier=512), ("vector", 512, None, 0)),
        (facts("c", "bool", builtin=False, shown="planted.bool"), ("planted.bool", None, None, 0)),
        (facts("c", "mood", builtin=False, labels=["sad"]), ("enum", None, None, 0)),
    ],
)
def test_types(given: dict[str, Any], kind: tuple[Any, ...]) -> None:
    found = target.kind_of(given)
    assert (found.name, found.limit, found.precision, found.scale) == kind


@pytest.mark.parametrize(("extent", "rows"), [(0, 512), (100, 512), (16384, 256), (10**9, 1)])
def test_rows_of_a_chunk(extent: int, rows: int) -> None:
    assert plans.rows_of(extent) == rows


# Rows on their way


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    """Persons, the third of which has no name and the fifth a long one, and faces of persons that are there, or refused, or nowhere."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(
            """
            CREATE TABLE persons (id INTEGER PRIMARY KEY, name, seen);
            CREATE TABLE faces (id INTEGER PRIMARY KEY, person_id);
            INSERT INTO persons VALUES (1, 'a' || char(9) || 'b', '2025-01-01 10:00:00'), (2, '\\N', NULL), (3, NULL, NULL),
                (4, 'four', NULL), (5, 'too long', NULL);
            INSERT INTO faces VALUES (1, 1), (2, 3), (3, NULL), (4, 99), (5, 2);
            """
        )
        yield connection


def test_on_the_way(file: sqlite3.Connection) -> None:
    faces, persons = matched()
    bars = plans.bars([faces, persons])
    assert [(bar.columns, bar.referenced) for bar in bars] == [(("person_id",), ("id",))]
    bars[0].missing = {
        tuple(map(str, row)) for row in source.orphans(file, faces.source, ["person_id"], persons.source, ["id"])
    }
    rejects = Rejects(10)
    lines = [
        b"".join(stream.lines(load, texts) for texts in stream.converted(file, load, 2, bars, rejects))
        for load in (persons, faces)
    ]
    assert lines[0] == b"1\ta\\tb\t2025-01-01 10:00:00\n2\t\\\\N\t\\N\n4\tfour\t\\N\n"
    assert lines[1] == b"1\t1\n3\t\\N\n5\t2\n"
    assert [stream.words(item) for item in rejects.items] == [
        "persons.name, row id=3, is NULL, and the column takes none",
        "persons.name, row id=5, has 8 characters, and character varying(5) takes 5: 'too long'",
        "faces.person_id, row id=2, refers by key person_id_fkey to a row of public.persons that is not there: 3",
        "faces.person_id, row id=4, refers by key person_id_fkey to a row of public.persons that is not there: 99",
    ]


def test_one_too_many(file: sqlite3.Connection) -> None:
    _faces, persons = matched()
    with pytest.raises(StewardError) as caught:
        list(stream.converted(file, persons, 10, [], Rejects()))
    assert str(caught.value) == "persons.name, row id=3, is NULL, and the column takes none"
    with pytest.raises(StewardError, match="that is one more than the 1 that may be left out"):
        list(stream.converted(file, persons, 10, [], Rejects(1)))


def test_empty_texts(file: sqlite3.Connection) -> None:
    file.execute("UPDATE persons SET name = 'x', seen = ''")
    hints = (Hint("persons", "seen", "seen", empty_as_null=True),)
    [load] = matched({"persons": FILE["persons"]}, hints=hints)
    assert [texts[2] for texts in stream.converted(file, load, 10, [], Rejects())] == [[None] * 5]


# Checksums


TEXT = proof.Compared("c", Kind("text", "text"))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("chunks", [[5], [2, 3], [1, 1, 1, 1, 1], [4, 1]])
def test_ordered_checksums_do_not_depend_on_chunks(chunks: list[int]) -> None:
    texts = ["a", None, "c", "d", "e"]
    sums, place = proof.Ordered([TEXT], 2), 0
    for count in chunks:
        sums.add([texts[place : place + count]])
        place += count
    assert sums.rows == 5
    wanted = digest(digest("a\x1f\x1e") + digest("c\x1fd") + digest("e"))
    assert sums.result() == [wanted]
    assert sums.result() == [wanted]


def test_unordered_checksums() -> None:
    one, two = proof.Unordered([TEXT] * 2), proof.Unordered([TEXT] * 2)
    one.add([["a", "b", None], ["x", "y", "z"]])
    two.add([["b"], ["z"]])
    two.add([[None, "a"], ["x", "y"]])
    assert one.result() == two.result()
    assert one.result()[0] == f"{int(digest('a')[:14], 16) + int(digest('b')[:14], 16)}:2"


def test_empty_tables_have_checksums() -> None:
    assert proof.Ordered([TEXT], 2).result() == [digest("")]
    assert proof.Unordered([TEXT]).result() == ["0:0"]
