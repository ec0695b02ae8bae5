"""SQLite files: dumped while they are in use, checked, and back again with the former file kept."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_list as dumps
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_sqlite as sqlite
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target, target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


@pytest.fixture
def source(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database whose last rows are in its WAL only, held open by a writer."""
    with contextlib.closing(sqlite3.connect(tmp_path / "faces.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute('CREATE TABLE persons (id INTEGER PRIMARY KEY, name TEXT, "odd ""name" BLOB)')
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('003')")
        connection.executemany("INSERT INTO persons VALUES (?, ?, ?)", [(n, f"p{n}", bytes([n])) for n in range(100)])
        yield connection


@pytest.fixture
def target(tmp_path: Path) -> Target:
    key = tmp_path / "key"
    key.write_text("07" * 32)
    key.chmod(0o600)
    return target_of({"path": str(tmp_path / "dumps"), "encryption_key_file": str(key)})


def request(tmp_path: Path, **given: Any) -> sqlite.Request:
    return sqlite.Request(
        **{
            "path": tmp_path / "faces.db",
            "database": "faces",
            "environment": "lab",
            "host": "h",
            "staging": tmp_path / "stage",
            **given,
        }
    )


def dumped(tmp_path: Path, target: Target) -> Manifest:
    [outcome] = sqlite.take(request(tmp_path), [target])
    assert outcome.error is None
    assert outcome.manifest
    return outcome.manifest


def rows(path: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM persons ORDER BY 1").fetchall()


@pytest.mark.usefixtures("source")
def test_a_dump_has_what_is_in_the_wal(tmp_path: Path, target: Target) -> None:
    manifest = dumped(tmp_path, target)
    assert (manifest.kind, manifest.rows) == ("sqlite", {"alembic_version": 1, "persons": 100})
    assert manifest.revisions == {"alembic_version": ["003"]}
    [dump] = dumps.listing(target).dumps
    assert dumps.verify(target, dump).good
    assert [file.ending for file in manifest.files] == [".sqlite.gz.enc"]
    assert not list((tmp_path / "stage").glob(".private-*"))


def test_there_and_back(tmp_path: Path, target: Target, source: sqlite3.Connection) -> None:
    manifest, wanted = dumped(tmp_path, target), rows(tmp_path / "faces.db")
    source.execute("DELETE FROM persons WHERE id > 3")
    path = tmp_path / "faces.db"
    with pytest.raises(StewardError, match=f"{path} is there: give confirm={path} to restore over it, or another path"):
        sqlite.restore(target, manifest, path, "", tmp_path / "stage")
    result = sqlite.restore(target, manifest, path, str(path), tmp_path / "stage")
    assert rows(path) == wanted
    assert result["rows"] == {"tables": 2, "expected": 101, "found": 101, "different": []}
    # What was there is whole, with its WAL.
    assert len(rows(Path(result["former"]))) == 4
    other = tmp_path / "other.db"
    assert sqlite.restore(target, manifest, other, "", tmp_path / "stage")["former"] is None
    assert rows(other) == wanted
    assert not list(tmp_path.glob(".*restoring*"))


@pytest.mark.usefixtures("source")
def test_a_damaged_dump_is_not_restored(tmp_path: Path, target: Target) -> None:
    manifest = dumped(tmp_path, target)
    [path] = (tmp_path / "dumps" / "faces").glob("*.sqlite.gz.enc")
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(StewardError, match="was changed or cut short"):
        sqlite.restore(target, manifest, tmp_path / "other.db", "", tmp_path / "stage")
    assert not (tmp_path / "other.db").exists()


def test_a_damaged_database_is_not_dumped(tmp_path: Path, target: Target, source: sqlite3.Connection) -> None:
    source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(tmp_path / "faces.db", tmp_path / "bad.db")
    data = bytearray((tmp_path / "bad.db").read_bytes())
    data[4096 + 8 : 4096 + 200] = b"\xff" * 192
    (tmp_path / "bad.db").write_bytes(data)
    with pytest.raises(StewardError, match=r"bad\.db (is damaged|cannot be copied)"):
        sqlite.take(request(tmp_path, path=tmp_path / "bad.db"), [target])
    assert target.store.items() == []


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"hello", "is no SQLite file, or is encrypted"), (None, "cannot be read: No such file or directory")],
)
def test_what_is_no_database(tmp_path: Path, target: Target, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "faces.db").write_bytes(content)
    with pytest.raises(StewardError, match=words):
        sqlite.preview(request(tmp_path), [target])
    assert not (tmp_path / "dumps").exists()
