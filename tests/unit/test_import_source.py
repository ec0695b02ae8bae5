"""SQLite files are read as they are: with their WAL, checked, unchanged, whatever they hold."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_source as source
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

MAKE = """
CREATE TABLE persons (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, "odd ""name" BLOB);
CREATE TABLE faces (id TEXT PRIMARY KEY, person_id INTEGER REFERENCES persons, born REAL, age AS (2025 - born)) WITHOUT ROWID;
CREATE TABLE rowid_taken ("rowid" TEXT, _rowid_ TEXT);
CREATE TABLE descending (id INTEGER PRIMARY KEY DESC);
CREATE TABLE pairs (a INTEGER, b INTEGER, PRIMARY KEY (b, a));
CREATE VIEW shown AS SELECT * FROM persons;
CREATE TABLE alembic_version (version_num TEXT);
INSERT INTO persons VALUES (1, 'one', x'00'), (2, NULL, NULL), (7, 'seven', 5);
DELETE FROM persons WHERE id = 7;
INSERT INTO faces VALUES ('f1', 1, 1990), ('f2', 1, '1763024400'), ('f3', NULL, NULL);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with some tables."""
    path = tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(MAKE)
    return path


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.fixture
def file(path: Path, temporary: Path) -> Iterator[sqlite3.Connection]:
    """The file, opened."""
    with source.opened(path, temporary) as connection:
        yield connection


def rows(connection: sqlite3.Connection, table: source.Table, size: int = 2) -> list[tuple[object, ...]]:
    """Return all rows of a table."""
    return [row for chunk in source.chunks(connection, table, table.names, size) for row in chunk]


def test_tables(file: sqlite3.Connection, path: Path) -> None:
    found = source.tables(file, path)
    assert list(found) == ["descending", "faces", "pairs", "persons", "rowid_taken"]
    persons, faces = found["persons"], found["faces"]
    assert (persons.names, persons.key, persons.rowid, persons.highest) == (
        ["id", "name", 'odd "name'],
        ("id",),
        "id",
        7,
    )
    assert (faces.names, faces.key, faces.rowid, faces.number) == (
        ["id", "person_id", "born", "age"],
        ("id",),
        None,
        None,
    )
    assert found["rowid_taken"].number == "oid"
    assert found["descending"].rowid is None
    assert found["pairs"].key == ("b", "a")


def test_rows(file: sqlite3.Connection, path: Path) -> None:
    found = source.tables(file, path)
    assert rows(file, found["persons"]) == [(1, "one", b"\0"), (2, None, None)]
    assert [row[0] for row in rows(file, found["faces"])] == ["f1", "f2", "f3"]
    assert source.count(file, found["persons"]) == 2
    assert source.numbers(file, found["faces"], "born") == (1990, 1763024400)
    assert source.numbers(file, found["faces"], "id") is None
    assert source.extent(file, found["persons"], ["name", 'odd "name']) == 4
    assert source.check(file, path) == []


def test_the_wal_counts_and_nothing_changes(path: Path, temporary: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("INSERT INTO persons VALUES (8, 'in the WAL', NULL)")
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        with source.opened(path, temporary) as file:
            persons = source.tables(file, path)["persons"]
            assert len(rows(file, persons)) == 3
            writer.execute("INSERT INTO persons VALUES (9, 'later', NULL)")
            assert len(rows(file, persons)) == 3  # one transaction sees one moment
            with pytest.raises(sqlite3.OperationalError):
                file.execute("DELETE FROM persons")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_a_wal_that_nobody_can_open_is_read_in_a_copy(
    path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = path.with_name("taken.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("INSERT INTO persons VALUES (8, 'in the WAL', NULL)")
        for ending in ("", "-wal"):
            shutil.copyfile(f"{path}{ending}", f"{other}{ending}")
    attempt = source._attempt
    monkeypatch.setattr(source, "_attempt", lambda path, mode: None if mode else attempt(path, mode))
    with source.opened(other, temporary) as file:
        assert len(rows(file, source.tables(file, other)["persons"])) == 3


def test_bad_utf_8_is_seen_where_it_is(path: Path, temporary: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.executemany(
            "INSERT INTO persons (name) VALUES (CAST(? AS TEXT))", [(b"ok",)] * 3 + [(b"caf\xe9",), (b"z",)]
        )
        writer.commit()
    with source.opened(path, temporary) as file:
        found = rows(file, source.tables(file, path)["persons"])
        assert [row[1] for row in found] == ["one", None, "ok", "ok", "ok", "caf\udce9", "z"]
        assert [row[0] for row in found] == [1, 2, 8, 9, 10, 11, 12]


def test_what_breaks_its_own_keys_is_told(path: Path, temporary: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("INSERT INTO faces (id, person_id) VALUES ('f4', 99), ('f5', 98)")
        writer.commit()
    with source.opened(path, temporary) as file:
        assert source.check(file, path) == ["2 rows of faces refer to rows of persons that are not there"]
        found = source.tables(file, path)
        assert source.orphans(file, found["faces"], ["person_id"], found["persons"], ["id"]) == [(99,), (98,)]


def damaged(path: Path) -> None:
    """Write over a part of each page but the first."""
    data = bytearray(path.read_bytes())
    for place in range(4096, len(data), 4096):
        data[place : place + 300] = b"\xaa" * 300
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("id,name\n1,one\n"), "is no SQLite file, or is encrypted"),
        (lambda path: path.write_bytes(hashlib.shake_128(b"").digest(8192)), "is no SQLite file, or is encrypted"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "cannot be read as a SQLite file"),
        (damaged, "is damaged"),
    ],
)
def test_bad_files(path: Path, temporary: Path, change: object, words: str) -> None:
    assert callable(change)
    change(path)
    with pytest.raises(StewardError) as caught, source.opened(path, temporary) as file:
        source.check(file, path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
