# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What makes the objects that a database lacks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _ddl, _ownership
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import Attributes, Located, locate
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

_RELATIONS = ("table", "view", "materialized view", "foreign table", "sequence", "composite type")


@dataclass(frozen=True)
class Script:
    """SQL statements, without their semicolons, in order. notes: what the operator has to know or to do besides, one line each."""

    statements: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """What is missing, and the objects that were compared."""

    kind: str
    name: str
    attributes: Attributes
    expected: Objects
    found: Objects

    def parts(self, key: str) -> Mapping[str, Attributes]:
        """Return the columns, constraints, … that it is to have."""
        return self.attributes.get(key) or {}


def missing_object(wanted: Located, expected: Objects, found: Objects) -> Script | None:
    """Return what makes an object, and all of its parts; None when that is left to a revision."""
    if wanted.attributes is None or wanted.kind not in _OBJECTS or _taken(wanted, found):
        return None
    return _OBJECTS[wanted.kind](Missing(wanted.kind, wanted.name, wanted.attributes, expected, found))


def _taken(wanted: Located, found: Objects) -> bool:
    """Say whether a relation of another kind has the name."""
    return wanted.kind in _RELATIONS and any(wanted.name in found.get(kind, {}) for kind in _RELATIONS)


def _made(new: Missing, create: str, after: Sequence[str] = (), notes: Sequence[str] = ()) -> Script:
    """Return the script of an object with what those of all kinds have: owner, comment, privileges."""
    kind, name, held = new.kind, new.name, new.attributes
    owner, privileges = held.get("owner"), held.get("privileges")
    superfluous = _ownership.lacking(kind, owner, None, privileges) if "privileges" in held else {}
    statements = (
        create,
        *_ownership.owned(kind, name, held),
        *after,
        *_ownership.remarks(kind, name, held),
        *_ownership.grants(kind, name, _ownership.lacking(kind, owner, privileges, None)),
    )
    return Script(statements, (*notes, *revocations(kind, name, superfluous)))


def revocations(kind: str, name: str, superfluous: _ownership.Grants) -> Iterator[str]:
    """Yield in words which privileges are to be taken away."""
    for role, privileges in superfluous.items():
        yield f"take {', '.join(privileges)} on {kind} {name} from {_ownership.grantee(role)} by a revision (REVOKE)"


# Types, sequences and the like


def _schema(new: Missing) -> Script:
    return _made(new, f"CREATE SCHEMA {new.name}")


def _extension(new: Missing) -> Script:
    return Script((_ddl.extension(new.name, new.attributes),))


def _enum(new: Missing) -> Script:
    return _made(new, _ddl.enum(new.name, new.attributes))


def _domain(new: Missing) -> Script:
    after: list[str] = []
    for name, held in new.parts("constraints").items():
        after.append(f"ALTER DOMAIN {new.name} ADD {_ddl.constraint(name, held)}{_unvalidated(held)}")
        after += _ownership.remarks("constraint", name, held, new.name, of_domain=True)
    return _made(new, _ddl.domain(new.name, new.attributes), after)


def _composite(new: Missing) -> Script:
    comments = [
        text
        for name, held in new.parts("columns").items()
        for text in _ownership.remarks("column", name, held, new.name)
    ]
    return _made(new, _ddl.composite(new.name, new.attributes), comments)


def _sequence(new: Missing) -> Script | None:
    """A sequence that belongs to a column of a missing table is given to it when the table is made."""
    column = new.attributes.get("owned_by")
    column_is_there = column is not None and locate(f"column {column}", new.found).attributes is not None
    if new.attributes.get("identity"):
        return None if column_is_there else Script((), (f"it comes along with the column {column}",))
    if not column_is_there:
        return _made(new, _ddl.sequence(new.name, new.attributes))
    note = f"the column {column} may hold values already: set the sequence past the greatest with setval()"
    return _made(new, _ddl.sequence(new.name, new.attributes), [f"ALTER SEQUENCE {new.name} OWNED BY {column}"], [note])


def _statistics(new: Missing) -> Script:
    table, target = new.attributes["table"], new.attributes.get("target")
    columns: Mapping[str, Any] = next(
        (new.expected[kind][table]["columns"] for kind in _RELATIONS if table in new.expected.get(kind, {})), {}
    )
    after = [] if target is None else [f"ALTER STATISTICS {new.name} SET STATISTICS {target}"]
    return _made(new, _ddl.statistics(new.name, new.attributes, columns), after)


# Views


def _view(new: Missing) -> Script | None:
    query = new.attributes["definition"].strip().rstrip(";")
    create = " ".join([f"CREATE {new.kind.upper()} {new.name}", *_storage(new.attributes), "AS", query])
    columns: list[str] = []
    for name, held in new.parts("columns").items():
        if "default" in held:
            columns.append(f"ALTER VIEW {new.name} ALTER COLUMN {quote_ident(name)} SET DEFAULT {held['default']}")
        columns += _ddl.column_details(new.name, name, held)
    parts = _parts(new)
    return None if parts is None else _made(new, create, [*columns, *parts])


def _storage(attributes: Attributes) -> Iterator[str]:
    """Yield how a relation is stored, as CREATE wants it behind its columns."""
    if "access_method" in attributes:
        yield f"USING {quote_ident(attributes['access_method'])}"
    given = [
        _ddl.settings(attributes[key], prefix)
        for key, prefix in (("options", ""), ("toast_options", "toast."))
        if key in attributes
    ]
    if given:
        yield f"WITH ({', '.join(given)})"
    if "tablespace" in attributes:
        yield f"TABLESPACE {quote_ident(attributes['tablespace'])}"


# Tables


def _table(new: Missing) -> Script | None:
    sequences = dict(_sequences(new))
    columns, parts = _columns(new, sequences), _parts(new)
    if columns is None or parts is None or new.attributes.get("persistence") == "temporary":
        return None
    details: list[str] = []
    for name, held in new.parts("columns").items():
        details += _ddl.column_details(new.name, name, held)
    given = [
        f"ALTER SEQUENCE {name} OWNED BY {held['owned_by']}"
        for name, held in sequences.items()
        if not held.get("identity")
    ]
    constraints, notes = _constraints(new)
    if "bound" in new.attributes:
        # Its indexes become parts of the parent's by this; without them the parent would have others made.
        parts.append(
            f"ALTER TABLE {new.attributes['partition_of']} ATTACH PARTITION {new.name} {new.attributes['bound']}"
        )
    return _made(new, _create_table(new, columns), [*details, *given, *constraints, *parts], notes)


def _create_table(new: Missing, columns: Sequence[str]) -> str:
    held = new.attributes
    words = ["CREATE", *["UNLOGGED"] * ("persistence" in held), "TABLE", new.name]
    if "of_type" in held:
        words.append(f"OF {held['of_type']}")
    if columns or "of_type" not in held:
        words.append(f"({', '.join(columns)})")
    if "inherits" in held:
        words.append(f"INHERITS ({', '.join(held['inherits'])})")
    if "partition_by" in held:
        words.append(f"PARTITION BY {held['partition_by']}")
    return " ".join([*words, *_storage(held)])


def _sequences(new: Missing) -> Iterator[tuple[str, Attributes]]:
    """Yield the sequences that belong to columns of a table."""
    for name, held in new.expected.get("sequence", {}).items():
        if held.get("owned_by", "").startswith(f"{new.name}."):
            yield name, held


def _columns(new: Missing, sequences: Mapping[str, Attributes]) -> list[str] | None:
    """Return the definitions of a table's columns; None when one that it inherits is not like its parent's."""
    counters = {held["owned_by"]: (name, held) for name, held in sequences.items()}
    typed, partition = "of_type" in new.attributes, "bound" in new.attributes
    definitions = []
    for name in new.attributes.get("column_order", ()):
        held = new.parts("columns")[name]
        if held.get("inherited") and not partition:
            if not _is_parents(new, name, held):
                return None
        elif not typed or held.keys() & {"not_null", "default", "generated", "identity"}:
            # A partition gets its identity from its parent.
            counter = None if partition else counters.get(f"{new.name}.{quote_ident(name)}")
            counting = f"SEQUENCE NAME {counter[0]} {_ddl.sequence_options(counter[1])}".rstrip() if counter else ""
            definitions.append(_ddl.column(name, held, counting, typed))
    return definitions


def _is_parents(new: Missing, column: str, held: Attributes) -> bool:
    def plain(item: Attributes) -> dict[str, Any]:
        return {key: item.get(key) for key in ("type", "default", "not_null", "generated", "collation")}

    tables = new.expected.get("table", {})
    parents = [tables.get(parent, {}).get("columns", {}).get(column) for parent in new.attributes.get("inherits", ())]
    return any(parent is not None and plain(parent) == plain(held) for parent in parents)


def _constraints(new: Missing) -> tuple[list[str], list[str]]:
    """Return what adds the constraints of a new table, and notes about foreign keys that want another table first."""
    statements: list[str] = []
    notes: list[str] = []
    # Keys come first: foreign keys of the table may refer to its own.
    for name, held in sorted(new.parts("constraints").items(), key=lambda item: item[1]["type"] == "foreign key"):
        if held.get("inherited") and "bound" not in new.attributes:
            continue
        other = held.get("references", new.name)
        if other != new.name and not any(other in new.found.get(kind, {}) for kind in ("table", "foreign table")):
            # To a partitioned table it cannot be added without a scan later; others add it when both are there.
            if "partition_by" not in new.attributes:
                notes.append(f"its foreign key {quote_ident(name)} can be added when there is a table {other}")
                continue
            notes.append(f"the table {other} has to be there first")
        statements.append(f"ALTER TABLE {new.name} ADD {_ddl.constraint(name, held)}{_unvalidated(held)}")
        statements += _ddl.constraint_details(name, held, new.name)
    return statements, notes


def _unvalidated(constraint: Attributes) -> str:
    return " NOT VALID" if constraint.get("valid") is False else ""


def _parts(new: Missing) -> list[str] | None:
    """Return what makes the indexes, triggers, rules and policies of a table or view; None when the snapshot tells too little."""
    statements: list[str] = []
    for name, held in new.parts("indexes").items():
        create = _ddl.index(name, held, new.name, new.parts("columns"))
        if create is None:
            return None
        statements += [create, *_ddl.index_details(name, held, new.name)]
    for key, kind in (("triggers", "trigger"), ("rules", "rule")):
        for name, held in new.parts(key).items():
            if not held.get("inherited"):
                statements += _ddl.defined(kind, name, held, new.name)
    for name, held in new.parts("policies").items():
        statements += _ddl.policy(name, held, new.name)
    statements += _ddl.row_security(new.name, new.attributes.get("row_security"))
    if new.attributes.get("replica_identity") in ("full", "nothing"):
        statements.append(f"ALTER TABLE {new.name} REPLICA IDENTITY {new.attributes['replica_identity'].upper()}")
    return statements


_OBJECTS: Mapping[str, Callable[[Missing], Script | None]] = {
    "composite type": _composite,
    "domain": _domain,
    "enum": _enum,
    "extension": _extension,
    "materialized view": _view,
    "schema": _schema,
    "sequence": _sequence,
    "statistics": _statistics,
    "table": _table,
    "view": _view,
}
