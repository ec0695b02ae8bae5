# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tables of a database written to JSON lines or to a SQLite file: all rows of one moment, ids kept."""

from __future__ import annotations

import contextlib
import filecmp
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_target as target
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_target import Column, Table
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "pgsteward pg_export"
FORMATS = ("jsonl", "sqlite")
BATCH = 1000
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# How values are written, and that nobody gets a part of the rows. Long reads are what this is for.
SETTINGS = """
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('row_security', 'off', true),
       pg_catalog.set_config('client_encoding', 'UTF8', true), pg_catalog.set_config('datestyle', 'ISO, MDY', true),
       pg_catalog.set_config('timezone', 'UTC', true), pg_catalog.set_config('bytea_output', 'hex', true),
       pg_catalog.set_config('intervalstyle', 'postgres', true), pg_catalog.set_config('extra_float_digits', '1', true),
       pg_catalog.set_config('statement_timeout', '0', true), pg_catalog.set_config('lock_timeout', '10s', true)
"""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "schema": {"type": "str", "default": "public"},
    "tables": {"type": "list", "elements": "str", "required": True},
    "format": {"type": "str", "choices": list(FORMATS), "default": "jsonl"},
    "path": {"type": "path", "required": True},
}

# The declared type gives a column the affinity that keeps its values as they are written here.
_DECLARED = {
    "int2": "INTEGER",
    "int4": "INTEGER",
    "int8": "INTEGER",
    "bool": "BOOLEAN",
    "float4": "REAL",
    "float8": "REAL",
    "bytea": "BLOB",
}
_SPECIAL_FLOATS = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity"}


def run(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """Return the result of pg_export. Raises StewardError, with the files as they were."""
    begun = time.monotonic()
    place, path = _connection.place_from_params(params), Path(params["path"])
    _refuse_place(path, params["format"])
    with contextlib.closing(_connection.connect(place, APPLICATION_NAME)) as connection, _reading(connection, place):
        there = target.read(connection, params["schema"])
        tables = chosen(there, params["tables"], params["schema"])
        files = [str(path / f"{table.name}.jsonl") for table in tables] if params["format"] == "jsonl" else [str(path)]
        if check:
            rows = {str(table): _count(connection, table) for table in tables}
            return {
                "changed": not all(Path(name).exists() for name in files),
                "rows": rows,
                "files": files,
                "seconds": 0.0,
            }
        if params["format"] == "jsonl":
            written = [_to_lines(connection, table, path / f"{table.name}.jsonl") for table in tables]
        else:
            written = _to_sqlite(connection, tables, path)
        rows = {str(table): count for table, (count, _changed) in zip(tables, written, strict=True)}
    return {
        "changed": any(changed for _count, changed in written),
        "rows": rows,
        "files": files,
        "seconds": round(time.monotonic() - begun, 2),
    }


def _refuse_place(path: Path, format_: str) -> None:
    directory = path if format_ == "jsonl" else path.parent
    if not directory.is_dir():
        raise StewardError(f"path {path} cannot be written: there is no directory {directory}; make it first")
    if format_ == "sqlite" and path.is_dir():
        raise StewardError(f"path {path} is a directory, and a SQLite file is wanted")


def chosen(there: Mapping[str, Table], names: Sequence[str], schema: str) -> list[Table]:
    """Return the tables of some names in the order of the names. Raises StewardError."""
    if not names:
        raise StewardError("tables is empty: name the tables to export")
    for name in names:
        if name not in there:
            raise StewardError(f"schema {schema} has no table {name!r}: it has {', '.join(there) or 'none'}")
        if "/" in name or name.startswith("."):
            raise StewardError(f"table {name!r} cannot be the name of a file")
    return [there[name] for name in dict.fromkeys(names)]


@contextmanager
def _reading(connection: psycopg.Connection[Any], place: Place) -> Iterator[None]:
    import psycopg

    try:
        connection.execute(READ.encode())
        connection.execute(SETTINGS)
        yield
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip().split("\n")[0]
        text = _connection.mask(said, _connection.secrets_of(place))
        raise StewardError(f"the tables of {place} cannot be exported: {text}") from None
    except OSError as error:
        raise StewardError(f"the export cannot be written: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StewardError(f"the SQLite file cannot be written: {error}") from None
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")


def _count(connection: psycopg.Connection[Any], table: Table) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table.rows}".encode()).fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def _ordered(table: Table) -> str:
    return f" ORDER BY {', '.join(map(identifier, table.key))}" if table.key else ""


@contextmanager
def _partial(path: Path) -> Iterator[tuple[Path, Callable[[], bool]]]:
    """Give a file beside another one, and what puts it in its place unless both are the same."""
    partial = path.with_name(f".{path.name}.exporting")
    partial.unlink(missing_ok=True)

    def keep() -> bool:
        if path.exists() and filecmp.cmp(partial, path, shallow=False):
            return False
        partial.replace(path)
        return True

    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield partial, keep
    finally:
        partial.unlink(missing_ok=True)


# JSON lines


def _to_lines(connection: psycopg.Connection[Any], table: Table, path: Path) -> tuple[int, bool]:
    """Write a table as one JSON object a line; return its rows, and whether the file changed."""
    rows = f"SELECT row_to_json(t) FROM (SELECT * FROM {table.rows}{_ordered(table)}) AS t"  # noqa: S608
    # JSON has no control characters, so this form of CSV leaves every line as it is.
    statement = f"COPY ({rows}) TO STDOUT (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
    count = 0
    with _partial(path) as (partial, keep):
        with partial.open("wb") as out, connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for data in copy:
                out.write(data)
                count += bytes(data).count(b"\n")
        return count, keep()


# SQLite


def _to_sqlite(connection: psycopg.Connection[Any], tables: Sequence[Table], path: Path) -> list[tuple[int, bool]]:
    """Write tables to a SQLite file; return the rows of each, and whether the file changed."""
    with _partial(path) as (partial, keep):
        with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as file:
            file.execute("PRAGMA journal_mode = off")
            file.execute("PRAGMA synchronous = off")
            file.execute("BEGIN")
            counts = [_fill(connection, file, table, tables) for table in tables]
            file.execute("COMMIT")
            said = [row[0] for row in file.execute("PRAGMA integrity_check(1)")]
            if said != ["ok"]:
                raise StewardError(f"the SQLite file came out damaged: {said[0]}")
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        changed = keep()
    return [(count, changed) for count in counts]


def _fill(connection: psycopg.Connection[Any], file: sqlite3.Connection, table: Table, tables: Sequence[Table]) -> int:
    file.execute(definition(table, tables))
    columns = ", ".join(identifier(column.name) for column in table.columns)
    statement = f"COPY (SELECT {columns} FROM {table.rows}{_ordered(table)}) TO STDOUT (FORMAT text)"  # noqa: S608
    insert = f"INSERT INTO {identifier(table.name)} VALUES ({', '.join('?' * len(table.columns))})"  # noqa: S608
    readers = [reader(column) for column in table.columns]
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for lines in _batches(_lines(copy)):
            columns_of = zip(*(line.split("\t") for line in lines), strict=True)
            values = [[read(text) for text in texts] for read, texts in zip(readers, columns_of, strict=True)]
            file.executemany(insert, zip(*values, strict=True))
    return int(file.execute(f"SELECT count(*) FROM {identifier(table.name)}").fetchone()[0])  # noqa: S608


def _lines(chunks: Iterable[Any]) -> Iterator[str]:
    """Yield the lines of a COPY; the server sends each by itself."""
    for chunk in chunks:
        yield from bytes(chunk).decode().removesuffix("\n").split("\n")


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) == BATCH or size > 4 * 1024 * 1024:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def definition(table: Table, tables: Sequence[Table]) -> str:
    """Return the statement that makes a table in a SQLite file, with its primary key and the keys to others that are there."""
    exported = {(other.schema, other.name) for other in tables}
    single = table.key[0] if len(table.key) == 1 else None
    parts = []
    for column in table.columns:
        key = " PRIMARY KEY" if column.name == single else ""
        required = " NOT NULL" if column.required and not key else ""
        parts.append(f"{identifier(column.name)} {_DECLARED.get(column.kind.name, 'TEXT')}{key}{required}")
    if len(table.key) > 1:
        parts.append(f"PRIMARY KEY ({', '.join(map(identifier, table.key))})")
    parts += [
        f"FOREIGN KEY ({', '.join(map(identifier, key.columns))})"
        f" REFERENCES {identifier(key.references[1])} ({', '.join(map(identifier, key.referenced))})"
        for key in table.keys
        if key.references in exported
    ]
    return f"CREATE TABLE {identifier(table.name)} ({', '.join(parts)})"


_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\b": "\b", "\\f": "\f", "\\v": "\v"}


def reader(column: Column) -> Callable[[str], Any]:
    """Return what makes a value of SQLite of a field of COPY."""
    kind = column.kind.name
    if kind in ("int2", "int4", "int8"):
        return lambda text: None if text == "\\N" else int(text)
    if kind == "bool":
        return lambda text: None if text == "\\N" else int(text == "t")
    if kind in ("float4", "float8"):
        return lambda text: None if text == "\\N" else _SPECIAL_FLOATS.get(text) or float(text)
    if kind == "bytea":
        return lambda text: None if text == "\\N" else bytes.fromhex(text[3:])  # behind \\x
    return lambda text: None if text == "\\N" else _plain(text)


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    parts = iter(text.split("\\"))
    found = [next(parts)]
    for part in parts:
        if part:
            found.append(_ESCAPES["\\" + part[0]] + part[1:])
        else:  # two of them: one is meant, and what follows is as it stands
            found.append("\\" + next(parts))
    return "".join(found)
