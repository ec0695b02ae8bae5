# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a SQLite file is imported to: tables that are there already, with their columns, keys and counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_values as values
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_values import Kind
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

if TYPE_CHECKING:
    import psycopg

_FROM_EXTENSIONS = ("citext", "halfvec", "vector")


@dataclass(frozen=True)
class Column:
    """A column of a table. optional: it may stay away from a row. sequence: the counter that fills it, as SQL text."""

    name: str
    kind: Kind
    required: bool = False
    optional: bool = True
    generated: bool = False
    sequence: str | None = None


@dataclass(frozen=True)
class Key:
    """A foreign key of a table. references: schema and name."""

    name: str
    columns: tuple[str, ...]
    references: tuple[str, str]
    referenced: tuple[str, ...]
    deferrable: bool = False


@dataclass(frozen=True)
class Table:
    """A table. kind as in pg_class.relkind; key: its primary key."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    kind: str = "r"

    def __str__(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def sql(self) -> str:
        """The name as SQL text."""
        return f"{identifier(self.schema)}.{identifier(self.name)}"

    @property
    def rows(self) -> str:
        """Its rows as SQL text: those of its partitions, not those of tables that inherit."""
        return self.sql if self.kind == "p" else f"ONLY {self.sql}"


# The search path is pinned, so names without a schema are those of pg_catalog. A domain counts as what it is made of.
TABLES = """
SELECT json_build_object(
    'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'columns', (
        SELECT json_agg(json_build_object(
            'name', a.attname, 'type', b.typname, 'builtin', b.typnamespace = 'pg_catalog'::regnamespace,
            'shown', format_type(a.atttypid, a.atttypmod), 'modifier', d.modifier,
            'required', a.attnotnull OR d.required, 'generated', a.attgenerated <> '',
            'optional', a.atthasdef OR a.attidentity <> '' OR NOT a.attnotnull,
            'send', quote_ident(sn.nspname) || '.' || quote_ident(s.proname),
            'labels', (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = b.oid),
            'sequence', pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname)
        ) ORDER BY a.attnum)
        FROM pg_attribute a
        CROSS JOIN LATERAL (
            WITH RECURSIVE up (type, modifier, required) AS (
                SELECT a.atttypid, a.atttypmod, false
                UNION ALL
                SELECT t.typbasetype, t.typtypmod, up.required OR t.typnotnull FROM up JOIN pg_type t ON t.oid = up.type WHERE t.typtype = 'd')
            SELECT up.type, up.modifier, up.required FROM up JOIN pg_type t ON t.oid = up.type WHERE t.typtype <> 'd') AS d
        JOIN pg_type b ON b.oid = d.type
        LEFT JOIN pg_proc s ON s.oid = b.typsend LEFT JOIN pg_namespace sn ON sn.oid = s.pronamespace
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'key', (
        SELECT json_agg(a.attname ORDER BY u.place)
        FROM pg_constraint k CROSS JOIN unnest(k.conkey) WITH ORDINALITY AS u (number, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number
        WHERE k.conrelid = c.oid AND k.contype = 'p'),
    'keys', (
        SELECT json_agg(json_build_object(
            'name', k.conname, 'references', json_build_array(pn.nspname, p.relname), 'deferrable', k.condeferrable,
            'columns', (SELECT json_agg(a.attname ORDER BY u.place) FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
                        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
            'referenced', (SELECT json_agg(a.attname ORDER BY u.place) FROM unnest(k.confkey) WITH ORDINALITY AS u (number, place)
                           JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number)) ORDER BY k.conname)
        FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
        WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname
"""


def read(connection: psycopg.Connection[Any], schema: str) -> dict[str, Table]:
    """Return the tables of a schema by name, partitions apart."""
    rows = connection.execute(TABLES, {"schema": schema}).fetchall()
    return {facts["name"]: table_of(facts) for (facts,) in rows}


def table_of(facts: Mapping[str, Any]) -> Table:
    """Return the table that a row of TABLES describes."""
    keys = [
        Key(key["name"], tuple(key["columns"]), tuple(key["references"]), tuple(key["referenced"]), key["deferrable"])
        for key in facts["keys"] or ()
    ]
    columns = tuple(map(_column_of, facts["columns"] or ()))
    return Table(facts["schema"], facts["name"], columns, tuple(facts["key"] or ()), tuple(keys), facts["kind"])


def _column_of(facts: Mapping[str, Any]) -> Column:
    return Column(
        facts["name"],
        kind_of(facts),
        bool(facts["required"]),
        bool(facts["optional"]),
        bool(facts["generated"]),
        facts["sequence"],
    )


def kind_of(facts: Mapping[str, Any]) -> Kind:
    """Return the type of a column; one that somebody made and that is no enum is called what it is shown as."""
    name, shown, modifier = facts["type"], facts["shown"], facts["modifier"]
    limit = precision = None
    scale = 0
    if facts["labels"]:
        return Kind("enum", shown, labels=tuple(facts["labels"]))
    if not facts["builtin"] and name not in _FROM_EXTENSIONS:
        return Kind(shown, shown)
    if modifier >= 0:
        if name == "numeric":
            # Of the eleven lowest bits the first is a sign, since 15.
            precision, scale = (modifier - 4) >> 16 & 0xFFFF, ((modifier - 4 & 0x7FF) ^ 1024) - 1024
        elif name in ("varchar", "bpchar"):
            limit = modifier - 4
        else:
            limit = modifier
    return Kind(name, shown, limit, precision, scale, send=facts["send"] or "")


def refusal(column: Column) -> str:
    """Return why no value can be converted for a column."""
    return f"is {column.kind.shown}, and values are converted to {', '.join(values.kinds())} and enums only"
