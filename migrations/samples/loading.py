"""How the sample rows get into the tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

_COLUMNS = (
    "SELECT attname FROM pg_catalog.pg_attribute"
    " WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)
_VECTOR_INDEXES = (
    "SELECT i.indexrelid::regclass::text, pg_catalog.pg_get_indexdef(i.indexrelid)"
    " FROM pg_catalog.pg_index i"
    " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
    " JOIN pg_catalog.pg_am a ON a.oid = c.relam"
    " WHERE i.indrelid = pg_catalog.to_regclass(%s) AND a.amname IN ('hnsw', 'ivfflat')"
    " AND pg_catalog.pg_has_role(c.relowner, 'USAGE')"
)


def copy_rows(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """COPY the rows into the table and return their number.

    Columns that the table does not have are left out, and a table that is not there gets nothing: so the samples can be
    loaded at an older revision, too, and be there when the next one is applied.
    """
    present = {name for (name,) in connection.execute(_COLUMNS, [f'"{table}"'])}
    wanted = [position for position, column in enumerate(columns) if column in present]
    if not wanted:
        return 0
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(sql.Identifier(columns[position]) for position in wanted)
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row([row[position] for position in wanted])
        return cursor.rowcount


def advance_sequences(connection: psycopg.Connection[Any], tables: Iterable[str]) -> None:
    """Let the ids that the server gives out next follow those of the samples."""
    for table in tables:
        statement = sql.SQL(
            "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence({}, 'id'), max(id)) FROM {} HAVING count(*) > 0"
        )
        connection.execute(statement.format(sql.Literal(table), sql.Identifier(table)))


@contextmanager
def vector_indexes_built_afterwards(connection: psycopg.Connection[Any], table: str) -> Iterator[None]:
    """Drop the table's HNSW and IVFFlat indexes and build them again at the end, all in the caller's transaction.

    Built at once an HNSW index takes a fifth of the time that its growth row by row would, and an IVFFlat index learns
    its lists from the rows. An account that does not own the indexes leaves them as they are, and loads slowly.
    """
    indexes = connection.execute(_VECTOR_INDEXES, [table]).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    # pgvector before 0.8.2 must not build HNSW in parallel.
    connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")
    for _, definition in indexes:
        connection.execute(definition)


def analyze(connection: psycopg.Connection[Any], tables: Iterable[str]) -> None:
    """Let the planner know the new rows now, rather than when autovacuum comes by."""
    for table in tables:
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
