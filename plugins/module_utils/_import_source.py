# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A SQLite file that is read: opened so that nothing of it changes, checked, and its tables row by row, all as one transaction sees it."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_sqlite import BESIDE, BUSY_LIMIT, MAGIC
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

_TOLERANT = functools.partial(str, encoding="utf-8", errors="surrogateescape")
_INTERNAL = ("sqlite_", "alembic_version")


@dataclass(frozen=True)
class Column:
    """A column of a table in the file, with the type that it was declared with, which SQLite hardly minds."""

    name: str
    declared: str = ""


@dataclass(frozen=True)
class Table:
    """A table in the file. key: its primary key. rowid: the column that is another name of the row's number.

    number: what the row's number is called where no column hides that; None when nothing reaches it.
    highest: the greatest number that SQLite gave to a row, where it remembers that.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    rowid: str | None = None
    number: str | None = "rowid"
    highest: int | None = None

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [column.name for column in self.columns]

    @property
    def order(self) -> str:
        """The order to read it in, always the same."""
        columns = (self.rowid or self.number,) if self.rowid or self.number else self.key
        return ", ".join(identifier(name) for name in columns if name)


@contextmanager
def opened(path: Path, temporary: Path) -> Iterator[sqlite3.Connection]:
    """Hold a file open in one read transaction; temporary is a private directory. Raises StewardError.

    The file is read where it is, its WAL included. Where that cannot be done without a write, as with a WAL in a directory that
    nothing can be written to, or a journal that has to be rolled back first, a copy is read.
    """
    _refuse_foreign(path)
    connection = _attempt(path, "?mode=ro") or _attempt(_copied(path, temporary), "")
    if connection is None:
        raise StewardError(f"{path} cannot be read as a SQLite file: it is encrypted, damaged, or locked")
    with contextlib.closing(connection):
        yield connection


def _refuse_foreign(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(len(MAGIC))
    except OSError as error:
        raise StewardError(f"{path} cannot be read: {error.strerror}") from None
    if not head:
        raise StewardError(f"{path} is empty")
    if head != MAGIC:
        raise StewardError(f"{path} is no SQLite file, or is encrypted")


def _attempt(path: Path, mode: str) -> sqlite3.Connection | None:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}{mode}", uri=True, timeout=BUSY_LIMIT, isolation_level=None)
    try:
        # Views, defaults and generated columns of the file may call functions: none that do anything.
        connection.execute("PRAGMA trusted_schema = off")
        connection.execute("PRAGMA query_only = on")
        connection.execute("PRAGMA cell_size_check = on")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        connection.close()
        return None
    return connection


def _copied(path: Path, temporary: Path) -> Path:
    """Copy a file with what belongs to it."""
    copy = temporary / "copy.sqlite"
    try:
        shutil.copyfile(path, copy)
        for ending in BESIDE:
            beside = path.with_name(path.name + ending)
            if ending != "-shm" and beside.exists():
                shutil.copyfile(beside, copy.with_name(copy.name + ending))
    except OSError as error:
        raise StewardError(f"{path} cannot be copied to {temporary}: {error.strerror}") from None
    return copy


def check(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Return what breaks foreign keys within the file, a line for each key; raise StewardError when the file is damaged."""
    with _readable(path):
        said = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
        if said != ["ok"]:
            raise StewardError(f"{path} is damaged: {' / '.join(said)}"[:500])
        broken: dict[tuple[str, str], list[Any]] = {}
        # A key that leads to no unique column is the file's own mistake; those of the database are looked at anyway.
        with contextlib.suppress(sqlite3.OperationalError):
            for table, number, parent, _key in connection.execute("PRAGMA foreign_key_check"):
                broken.setdefault((table, parent), []).append(number)
    return [
        f"{len(numbers)} rows of {table} refer to rows of {parent} that are not there{_first(numbers[0])}"
        for (table, parent), numbers in broken.items()
    ]


def _first(number: int | None) -> str:
    return f" (the first is row {number})" if number is not None else ""  # without row numbers SQLite tells none


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StewardError(f"{path} is damaged: {error}") from None


def tables(connection: sqlite3.Connection, path: Path) -> dict[str, Table]:
    """Return the tables of a file by name: not SQLite's own, not Alembic's, no virtual ones."""
    with _readable(path):
        listed = connection.execute("PRAGMA table_list").fetchall()
        names = [
            (name, bool(without))
            for schema, name, kind, _columns, without, _strict in listed
            if schema == "main" and kind == "table" and not name.startswith(_INTERNAL)
        ]
        counters = {}
        if any(name == "sqlite_sequence" for _schema, name, *_rest in listed):
            counters = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        return {name: _table(connection, name, without, counters.get(name)) for name, without in sorted(names)}


def _table(connection: sqlite3.Connection, name: str, without: bool, highest: Any) -> Table:
    found = connection.execute(f"PRAGMA table_xinfo({identifier(name)})").fetchall()
    # Hidden: 2 and 3 are generated columns, 1 one of a virtual table.
    columns = tuple(Column(row[1], row[2]) for row in found if row[6] != 1)
    keys = [row for row in sorted(found, key=lambda row: int(row[5])) if row[5]]
    key = tuple(row[1] for row in keys)
    rowid = None
    if len(keys) == 1 and not without and keys[0][2].upper() == "INTEGER":
        # INTEGER PRIMARY KEY DESC is no alias, and then has an index of its own.
        indexes = connection.execute(f"PRAGMA index_list({identifier(name)})").fetchall()
        rowid = None if any(row[3] == "pk" for row in indexes) else key[0]
    taken = {column.name.lower() for column in columns}
    number = next((word for word in ("rowid", "_rowid_", "oid") if word not in taken), None)
    return Table(name, columns, key, rowid, None if without else number, highest if isinstance(highest, int) else None)


def count(connection: sqlite3.Connection, table: Table) -> int:
    """Return how many rows a table has."""
    return int(connection.execute(f"SELECT count(*) FROM {identifier(table.name)}").fetchone()[0])  # noqa: S608


def extent(connection: sqlite3.Connection, table: Table, columns: Sequence[str]) -> int:
    """Return about how many bytes the largest values of some columns have together."""
    if not columns:
        return 0
    largest = ", ".join(f"max(length(CAST({identifier(name)} AS BLOB)))" for name in columns)
    row = connection.execute(f"SELECT {largest} FROM {identifier(table.name)}").fetchone()  # noqa: S608
    return sum(size or 0 for size in row)


def numbers(connection: sqlite3.Connection, table: Table, column: str) -> tuple[float, float] | None:
    """Return the least and the greatest number of a column, also of those kept as text; None when it has none."""
    name = identifier(column)
    # Most columns have none: a date has a dash in the fifth place, and to see that takes a fraction of the time.
    other = f"typeof({name}) NOT IN ('text', 'null') OR substr({name}, 5, 1) <> '-'"
    query = f"SELECT EXISTS (SELECT 1 FROM {identifier(table.name)} WHERE {other})"  # noqa: S608
    if not connection.execute(query).fetchone()[0]:
        return None
    number = (
        f"CASE typeof({name}) WHEN 'integer' THEN {name} WHEN 'real' THEN {name} WHEN 'text' THEN"
        f" CASE WHEN {name} GLOB '[0-9-]*' AND substr({name}, 2) NOT GLOB '*[^0-9.]*' THEN CAST({name} AS REAL) END END"
    )
    row = connection.execute(f"SELECT min({number}), max({number}) FROM {identifier(table.name)}").fetchone()  # noqa: S608
    return None if row[0] is None else (row[0], row[1])


def chunks(
    connection: sqlite3.Connection, table: Table, columns: Sequence[str], size: int
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of some columns, size at a time. Bytes of a text that are no UTF-8 become single surrogates."""
    listed = ", ".join(identifier(name) for name in columns)
    query = f"SELECT {listed} FROM {identifier(table.name)} ORDER BY {table.order} LIMIT -1 OFFSET ?"  # noqa: S608
    done = 0
    factory: Callable[[bytes], str] = str
    while True:
        connection.text_factory = factory
        cursor = connection.execute(query, (done,))
        try:
            while rows := cursor.fetchmany(size):
                yield rows
                done += len(rows)
        except sqlite3.OperationalError as error:
            # Only from here on: the tolerant way takes twice the time.
            if factory is _TOLERANT or "decode" not in str(error):
                raise StewardError(f"table {table.name} of the file cannot be read: {error}") from None
            factory = _TOLERANT
            continue
        except sqlite3.Error as error:
            raise StewardError(f"table {table.name} of the file cannot be read: {error}") from None
        finally:
            connection.text_factory = str
        return


def orphans(
    connection: sqlite3.Connection, child: Table, columns: Sequence[str], parent: Table, referenced: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return the different values of some columns that no row of the parent has; a NULL in one of them refers to nothing."""
    names = [identifier(name) for name in columns]
    given = " AND ".join(f"c.{name} IS NOT NULL" for name in names)
    match = " AND ".join(f"p.{identifier(other)} = c.{name}" for name, other in zip(names, referenced, strict=True))
    query = (
        f"SELECT DISTINCT {', '.join(f'c.{name}' for name in names)} FROM {identifier(child.name)} AS c"  # noqa: S608
        f" WHERE {given} AND NOT EXISTS (SELECT 1 FROM {identifier(parent.name)} AS p WHERE {match})"
    )
    connection.text_factory = _TOLERANT
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.text_factory = str
