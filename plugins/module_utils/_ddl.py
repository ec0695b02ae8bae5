# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects of a snapshot as SQL that makes them. Pure.

Names of relations are as SQL quotes them, names of columns, constraints, indexes and roles are bare. Texts end without a semicolon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _ownership
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import Attributes
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import literal
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import schema_of

_ENABLED = {None: "ENABLE", "disabled": "DISABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}


def names(items: Sequence[str]) -> str:
    """Return bare names as a list."""
    return ", ".join(map(quote_ident, items))


def settings(values: Mapping[str, str], prefix: str = "") -> str:
    """Return storage options as a list."""
    return ", ".join(f"{prefix}{quote_ident(name)} = {literal(value)}" for name, value in values.items())


# Columns


def column(name: str, attributes: Attributes, sequence: str = "", typed: bool = False) -> str:
    """Return the definition of a column. sequence: what stands in the brackets behind IDENTITY.

    typed: its table is made of a type, which says what type the column has. column_details has what this leaves out.
    """
    words = [quote_ident(name), "WITH OPTIONS" if typed else attributes["type"]]
    if "collation" in attributes and not typed:
        words.append(f"COLLATE {attributes['collation']}")
    if "default" in attributes:
        words.append(f"DEFAULT {attributes['default']}")
    if "generated" in attributes:
        words.append(
            f"GENERATED ALWAYS AS ({attributes['generated']}) {'VIRTUAL' if attributes.get('virtual') else 'STORED'}"
        )
    if "identity" in attributes and sequence:
        words.append(f"GENERATED {attributes['identity'].upper()} AS IDENTITY ({sequence})")
    if attributes.get("not_null"):
        words.append("NOT NULL NO INHERIT" if attributes["not_null"] == "no inherit" else "NOT NULL")
    return " ".join(words)


def column_details(table: str, name: str, attributes: Attributes) -> Iterator[str]:
    """Yield what gives a new column that which its definition has no words for."""
    alter = f"ALTER TABLE ONLY {table} ALTER COLUMN {quote_ident(name)} SET"
    if "storage" in attributes:
        yield f"{alter} STORAGE {attributes['storage'].upper()}"
    if "compression" in attributes:
        yield f"{alter} COMPRESSION {attributes['compression']}"
    if "statistics" in attributes:
        yield f"{alter} STATISTICS {attributes['statistics']}"
    if "options" in attributes:
        yield f"{alter} ({settings(attributes['options'])})"
    yield from _ownership.remarks("column", name, attributes, table)
    yield from _ownership.grants(
        "column", table, _ownership.lacking("column", None, attributes.get("privileges"), None), name
    )


# Constraints


def constraint(name: str, attributes: Attributes) -> str:
    """Return a constraint as ADD takes it."""
    body = _CONSTRAINTS[attributes["type"]](attributes)
    if attributes.get("no_inherit"):
        body += " NO INHERIT"
    if attributes["type"] != "exclude":  # whose definition has it
        body += timing(attributes)
    if attributes.get("enforced") is False:
        body += " NOT ENFORCED"
    return f"CONSTRAINT {quote_ident(name)} {body}"


def timing(attributes: Attributes) -> str:
    """Return when a constraint is checked."""
    return " DEFERRABLE" * bool(attributes.get("deferrable")) + " INITIALLY DEFERRED" * bool(
        attributes.get("initially_deferred")
    )


def _key(attributes: Attributes) -> str:
    behind = attributes.get("index", {})
    words = [
        attributes["type"].upper(),
        *["NULLS NOT DISTINCT"] * bool(attributes.get("nulls_not_distinct")),
        f"({names(attributes['columns'])}{' WITHOUT OVERLAPS' if attributes.get('without_overlaps') else ''})",
    ]
    if "include" in attributes:
        words.append(f"INCLUDE ({names(attributes['include'])})")
    if "options" in behind:
        words.append(f"WITH ({settings(behind['options'])})")
    if "tablespace" in behind:
        words.append(f"USING INDEX TABLESPACE {quote_ident(behind['tablespace'])}")
    return " ".join(words)


def _foreign_key(attributes: Attributes) -> str:
    def side(columns: Sequence[str]) -> str:
        last = " PERIOD" if attributes.get("period") else ""
        return ", ".join([*map(quote_ident, columns[:-1]), f"{last} {quote_ident(columns[-1])}".strip()])

    words = [
        f"FOREIGN KEY ({side(attributes['columns'])})",
        f"REFERENCES {attributes['references']} ({side(attributes['referenced_columns'])})",
    ]
    if "match" in attributes:
        words.append(f"MATCH {attributes['match'].upper()}")
    if "on_update" in attributes:
        words.append(f"ON UPDATE {attributes['on_update'].upper()}")
    if "on_delete" in attributes:
        words.append(f"ON DELETE {attributes['on_delete'].upper()}")
    if "on_delete_columns" in attributes:
        words.append(f"({names(attributes['on_delete_columns'])})")
    return " ".join(words)


_CONSTRAINTS: Mapping[str, Callable[[Attributes], str]] = {
    "primary key": _key,
    "unique": _key,
    "foreign key": _foreign_key,
    "check": lambda attributes: f"CHECK ({attributes['expression']})",
    "exclude": lambda attributes: str(attributes["definition"]),
}


# Indexes


def index(
    name: str, attributes: Attributes, table: str, columns: Mapping[str, Any], how: str = "", only: bool = False
) -> str | None:
    """Return CREATE INDEX, or None when the snapshot tells too little. columns: those of the table. how: CONCURRENTLY or nothing."""
    elements = [_element(attributes, place, columns) for place in range(len(attributes["columns"]))]
    if None in elements:
        return None
    words = [
        *["CREATE", *["UNIQUE"] * bool(attributes.get("unique")), "INDEX", *[how] * bool(how), quote_ident(name)],
        *[
            "ON",
            *["ONLY"] * only,
            table,
            "USING",
            quote_ident(attributes["method"]),
            f"({', '.join(map(str, elements))})",
        ],
    ]
    if "include" in attributes:
        words.append(f"INCLUDE ({names(attributes['include'])})")
    if attributes.get("nulls_not_distinct"):
        words.append("NULLS NOT DISTINCT")
    if "options" in attributes:
        words.append(f"WITH ({settings(attributes['options'])})")
    if "tablespace" in attributes:
        words.append(f"TABLESPACE {quote_ident(attributes['tablespace'])}")
    if "predicate" in attributes:
        words.append(f"WHERE {attributes['predicate']}")
    return " ".join(words)


def _element(attributes: Attributes, place: int, columns: Mapping[str, Any]) -> str | None:
    def beside(key: str) -> Any:
        values = attributes.get(key)
        return values[place] if values else None

    words = [_term(attributes["columns"][place], columns)]
    if beside("collations"):
        words.append(f"COLLATE {beside('collations')}")
    if beside("opclasses"):
        words.append(beside("opclasses"))
    if beside("opclass_options"):
        # They follow the operator class's name, which a snapshot leaves out when it is the usual one.
        if not beside("opclasses"):
            return None
        words.append(f"({settings(beside('opclass_options'))})")
    if beside("orders"):
        words.append(beside("orders"))
    return " ".join(words)


def _term(text: str, columns: Mapping[str, Any]) -> str:
    """Return a column or an expression, which stands in brackets, of a table that has the columns."""
    return text if text.startswith("(") and text not in columns else quote_ident(text)


def index_details(name: str, attributes: Attributes, table: str) -> Iterator[str]:
    """Yield what gives a new index that which CREATE INDEX has no words for. name is bare."""
    full = f"{schema_of(table)}.{quote_ident(name)}"
    for number, target in enumerate(attributes.get("statistics", ()), start=1):
        if (target if target is not None else -1) >= 0:
            yield f"ALTER INDEX {full} ALTER COLUMN {number} SET STATISTICS {target}"
    if attributes.get("clustered"):
        yield f"ALTER TABLE {table} CLUSTER ON {quote_ident(name)}"
    if attributes.get("replica_identity"):
        yield f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {quote_ident(name)}"
    yield from _ownership.remarks("index", full, attributes)


def constraint_details(name: str, attributes: Attributes, table: str) -> Iterator[str]:
    """Yield what gives a new constraint of a table, or the index behind it, that which ADD has no words for."""
    yield from _ownership.remarks("constraint", name, attributes, table)
    yield from index_details(name, attributes.get("index", {}), table)


# Triggers, rules, policies


def switch(kind: str, name: str, table: str, enabled: str | None) -> str:
    """Return what sets when a trigger or rule of a table, or an event trigger, fires."""
    if kind == "event trigger":
        return f"ALTER EVENT TRIGGER {name} {_ENABLED[enabled]}"
    return f"ALTER TABLE ONLY {table} {_ENABLED[enabled]} {kind.upper()} {quote_ident(name)}"


def defined(kind: str, name: str, attributes: Attributes, table: str) -> Iterator[str]:
    """Yield what makes a trigger or a rule."""
    yield attributes["definition"].rstrip("; \n")
    if "enabled" in attributes:
        yield switch(kind, name, table, attributes["enabled"])
    yield from _ownership.remarks(kind, name, attributes, table)


def policy(name: str, attributes: Attributes, table: str) -> Iterator[str]:
    """Yield what makes a policy of row security."""
    words = [f"CREATE POLICY {quote_ident(name)} ON {table}"]
    if attributes.get("permissive") is False:
        words.append("AS RESTRICTIVE")
    if "command" in attributes:
        words.append(f"FOR {attributes['command'].upper()}")
    if "roles" in attributes:
        words.append(f"TO {', '.join(map(_ownership.grantee, attributes['roles']))}")
    if "using" in attributes:
        words.append(f"USING ({attributes['using']})")
    if "check" in attributes:
        words.append(f"WITH CHECK ({attributes['check']})")
    yield " ".join(words)
    yield from _ownership.remarks("policy", name, attributes, table)


def row_security(table: str, wanted: str | None, there: str | None = None) -> Iterator[str]:
    """Yield what switches row security on as far as wanted and not there yet; never what switches it off."""
    for word in ("enable", "force"):
        if _secured(wanted, word) and not _secured(there, word):
            yield f"ALTER TABLE {table} {word.upper()} ROW LEVEL SECURITY"


def _secured(value: str | None, word: str) -> bool:
    return value in {"enable": ("enabled", "forced"), "force": ("forced", "forced, not enabled")}[word]


# Extensions, sequences, types, statistics


def extension(name: str, attributes: Attributes) -> str:
    """Return CREATE EXTENSION."""
    return f"CREATE EXTENSION {name} WITH SCHEMA {qualified(attributes['schema'])} VERSION {literal(attributes['version'])}"


def sequence_options(attributes: Attributes) -> str:
    """Return how a sequence counts. Where it starts is said whenever its limits are not the usual ones, which would move it."""
    falling = attributes.get("increment", 1) < 0
    values = {
        "INCREMENT BY": attributes.get("increment"),
        "MINVALUE": attributes.get("minimum"),
        "MAXVALUE": attributes.get("maximum"),
        "START WITH": attributes.get("start"),
        "CACHE": attributes.get("cache"),
    }
    if values["START WITH"] is None and ("minimum" in attributes or "maximum" in attributes):
        values["START WITH"] = -1 if falling else 1
    words = [f"{word} {value}" for word, value in values.items() if value is not None]
    return " ".join([*words, *["CYCLE"] * bool(attributes.get("cycle"))])


def sequence(name: str, attributes: Attributes) -> str:
    """Return CREATE SEQUENCE."""
    unlogged = "UNLOGGED " if attributes.get("persistence") == "unlogged" else ""
    return f"CREATE {unlogged}SEQUENCE {name} AS {attributes['type']} {sequence_options(attributes)}".rstrip()


def enum(name: str, attributes: Attributes) -> str:
    """Return CREATE TYPE of an enum."""
    return f"CREATE TYPE {name} AS ENUM ({', '.join(map(literal, attributes['labels_in_order']))})"


def new_labels(name: str, wanted: Sequence[str], there: Sequence[str]) -> list[str] | None:
    """Return what adds the labels that an enum lacks, or None when those that are there are not among the wanted in that order."""
    remaining = iter(wanted)
    if not all(label in remaining for label in there):
        return None
    statements = []
    for place, label in enumerate(wanted):
        if label not in there:
            where = f" AFTER {literal(wanted[place - 1])}" if place else f" BEFORE {literal(there[0])}" if there else ""
            statements.append(f"ALTER TYPE {name} ADD VALUE {literal(label)}{where}")
    return statements


def domain(name: str, attributes: Attributes) -> str:
    """Return CREATE DOMAIN without its constraints."""
    words = [f"CREATE DOMAIN {name} AS {attributes['base']}"]
    if "collation" in attributes:
        words.append(f"COLLATE {attributes['collation']}")
    if "default" in attributes:
        words.append(f"DEFAULT {attributes['default']}")
    if attributes.get("not_null"):
        words.append("NOT NULL NO INHERIT" if attributes["not_null"] == "no inherit" else "NOT NULL")
    return " ".join(words)


def composite(name: str, attributes: Attributes) -> str:
    """Return CREATE TYPE of a composite type."""
    columns = attributes.get("columns", {})
    fields = [column(field, columns[field]) for field in attributes.get("column_order", ())]
    return f"CREATE TYPE {name} AS ({', '.join(fields)})"


def statistics(name: str, attributes: Attributes, columns: Mapping[str, Any]) -> str:
    """Return CREATE STATISTICS. columns: those of the table."""
    kinds = f" ({', '.join(attributes['kinds'])})" if "kinds" in attributes else ""
    terms = ", ".join(_term(text, columns) for text in attributes["columns"])
    return f"CREATE STATISTICS {name}{kinds} ON {terms} FROM {attributes['table']}"
