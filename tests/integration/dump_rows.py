"""Rows for whatever tables a database has, the same on every run, with values that want quoting somewhere."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql
from support import Database

COUNT = 40
_COLUMNS = """
SELECT c.oid::int, n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL), a.atttypmod, t.typtype = 'e', a.attidentity <> '',
  f.confrelid::int, (SELECT k.attname FROM pg_attribute k WHERE k.attrelid = f.confrelid AND k.attnum = f.confkey[1])
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_constraint f ON f.conrelid = c.oid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum]
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attgenerated = '' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
  AND c.relname <> 'alembic_version'
ORDER BY c.oid, a.attnum
"""
# Values of row n by type. Text is cut to the length of its column.
_VALUES = {
    "text": "'nä''me ' || n || E' \\\\N\\t\\\\.'",
    "character varying": "'n' || n || 'ä''\\'",
    "uuid": "md5('u' || n)::uuid",
    "boolean": "n % 3 = 0",
    "date": "date '2026-01-01' + n",
    "timestamp with time zone": "timestamptz '2026-01-01 00:00:00.123456+00' + n * interval '1 hour'",
    "timestamp without time zone": "timestamp '2026-01-01 00:00:00.654321' + n * interval '1 hour'",
    "jsonb": "jsonb_build_object('n', n, 'ä', E'\\t\"', 'list', jsonb_build_array(n, null))",
    "json": "json_build_object('n', n, 'ä', E'\\t\"')",
    "bytea": "decode(md5(n::text), 'hex') || '\\x00'::bytea",
    "double precision": "n / 7.0",
    "real": "(n / 7.0)::real",
    "numeric": "n + 0.25",
    "inet": "('10.0.0.' || n)::inet",
    "interval": "n * interval '1 minute'",
    "vector": "(SELECT array_agg(((n * i) % 17) / 16.0 ORDER BY i) FROM generate_series(1, {size}) i)::vector",
    "text[]": "ARRAY['a' || n, NULL, E'\"\\\\']",
    "character varying[]": "ARRAY['a' || n, NULL]",
}  # fmt: skip


def fill(database: Database, count: int = COUNT) -> int:
    """Fill every table, parents first; return how many rows there are then."""
    with database.connect() as connection:
        columns = connection.execute(_COLUMNS).fetchall()
        names = {row[0]: (row[1], row[2]) for row in columns}
        parents = {oid: {row[8] for row in columns if row[0] == oid and row[8] not in (None, oid)} for oid in names}
        done: list[int] = []
        while len(done) < len(names):
            ready = [oid for oid in names if oid not in done and parents[oid] <= set(done)]
            assert ready, "keys in a circle"
            for oid in ready:
                _fill_table(connection, names, names[oid], [row for row in columns if row[0] == oid], count)
            done += ready
    return count * len(names)


def _fill_table(
    connection: Connection[Any],
    names: dict[int, tuple[str, str]],
    table: tuple[str, str],
    columns: list[Any],
    count: int,
) -> None:
    wanted = [row for row in columns if not row[7]]
    values = [_value(row, names) for row in wanted]
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM generate_series(1, {}) n").format(
        sql.Identifier(*table),
        sql.SQL(", ").join(sql.Identifier(row[3]) for row in wanted),
        sql.SQL(", ").join(values),
        sql.Literal(count),
    )
    connection.execute(statement)


def _value(column: Any, names: dict[int, tuple[str, str]]) -> sql.Composable:
    """Return the value of a column in row n."""
    oid, _schema, _table, _name, kind, size, enum, _identity, parent, key = column
    if parent == oid:
        return sql.SQL("NULL")
    if parent:
        return sql.SQL("(SELECT {} FROM {} ORDER BY 1 OFFSET (n - 1) % {} LIMIT 1)").format(
            sql.Identifier(key), sql.Identifier(*names[parent]), sql.Literal(COUNT)
        )
    if enum:
        return sql.SQL("(enum_range(NULL::{0}))[1 + n % array_length(enum_range(NULL::{0}), 1)]").format(sql.SQL(kind))
    if kind in ("integer", "bigint", "smallint"):
        return sql.SQL("n")
    text = _VALUES[kind].replace("{size}", str(size))
    return sql.SQL(f"left({text}, {size - 4})" if kind == "character varying" and size > 0 else text)


def checksums(database: Database) -> dict[str, str]:
    """Return a digest of the rows of every table, by SQL alone."""
    tables = database.rows(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
    )
    found = {}
    with database.connect() as connection:
        for schema, name in tables:
            query = sql.SQL(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))), '') FROM {} t"
            )
            row = connection.execute(query.format(sql.Identifier(schema, name))).fetchone()
            found[f"{schema}.{name}"] = str(row[0]) if row else ""
    return found
