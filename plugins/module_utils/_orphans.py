# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows that break a foreign key: which keys, how their columns are compared, in which order, and the words about them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, split
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

NAME_BYTES = 63
SIDE = "__orphans"
MARKS = {"orphaned_at": "timestamp with time zone", "orphan_reason": "text"}
TABLES = ("r", "p")
KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "c": "a composite type"}
DONE = {"quarantine": "moved", "delete": "deleted"}

# What a key does to rows that refer to a row which goes, by pg_constraint.confdeltype.
_ON_DELETE = {"c": "would delete them", "n": "would empty their columns", "d": "would change their columns"}

Name = tuple[str, str]


@dataclass(frozen=True)
class Wanted:
    """A foreign key as somebody names it, in plain names. Without referenced_columns: the primary key. full: MATCH FULL.

    on_delete: as in pg_constraint.confdeltype.
    """

    name: str
    table: Name
    columns: tuple[str, ...]
    references: Name
    referenced_columns: tuple[str, ...] = ()
    full: bool = False
    on_delete: str = "a"

    @classmethod
    def of(cls, item: Mapping[str, Any], where: str) -> Wanted:
        """Return the key that an item of the option keys describes; where names the item. Raises StewardError."""
        table = _table_name(item["table"], f"{where}.table")
        columns, referenced = tuple(item["columns"]), tuple(item.get("referenced_columns") or ())
        if not columns:
            raise StewardError(
                f"{where}.columns is empty: name the columns of {qualified(*table)} that refer to another table"
            )
        for option, names in (("columns", columns), ("referenced_columns", referenced)):
            if len(set(names)) < len(names):
                raise StewardError(f"{where}.{option} names a column twice ({', '.join(names)}): name each once")
        if referenced and len(columns) != len(referenced):
            raise StewardError(
                f"{where} has {len(columns)} columns and {len(referenced)} referenced_columns: give as many of one as of the other"
            )
        name = item.get("name") or "_".join((table[1], *columns, "fkey"))
        return cls(name, table, columns, _table_name(item["references"], f"{where}.references"), referenced)


def _table_name(text: str, where: str) -> Name:
    """Return schema and table; without a schema it is public, whatever the account's search path."""
    try:
        parts = split(text)
    except ValueError:
        parts = ()
    if len(parts) not in (1, 2):
        raise StewardError(
            f"{where} is {text!r}, which names no table: write schema.table, each in double quotes if it has a dot"
        )
    return (parts[0], parts[1]) if len(parts) == 2 else ("public", parts[0])


@dataclass(frozen=True)
class Column:
    """A column of a table: its type as SQL text, and its collation where that is not the type's own."""

    name: str
    type: str
    collation: str | None = None

    @property
    def definition(self) -> str:
        """The column as CREATE TABLE has it."""
        return f"{identifier(self.name)} {self.type}" + (f" COLLATE {self.collation}" if self.collation else "")


@dataclass(frozen=True)
class Relation:
    """A table. kind as in pg_class.relkind. root: oid of the partitioned table on top of it, its own elsewhere."""

    oid: int
    root: int
    schema: str
    name: str
    kind: str
    owner: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()

    def __str__(self) -> str:
        return qualified(self.schema, self.name)

    @property
    def sql(self) -> str:
        """The name as SQL text."""
        return qualified_sql((self.schema, self.name))

    def rows(self, alias: str) -> str:
        """Return the rows that a key on this table looks at: those of partitions, not those of tables that inherit."""
        return f"{'' if self.kind == 'p' else 'ONLY '}{self.sql} AS {alias}"


def qualified_sql(name: Name) -> str:
    """Return a name with its schema as SQL text."""
    return ".".join(map(identifier, name))


@dataclass(frozen=True)
class Pair:
    """Two columns that a key joins. operator as SQL text, of which left and right are the types (None: polymorphic)."""

    column: str
    referenced: str
    operator: str
    left: str | None = None
    right: str | None = None
    collation: str | None = None

    def equal(self, parent: str, child: str) -> str:
        """Return the comparison for two aliases. With exact types the server has no choice between operators."""
        left = f"{parent}.{identifier(self.referenced)}" + (f"::{self.left}" if self.left else "")
        right = f"{child}.{identifier(self.column)}" + (f"::{self.right}" if self.right else "")
        return f"{left} OPERATOR({self.operator}) {right}" + (f" COLLATE {self.collation}" if self.collation else "")


@dataclass(frozen=True)
class Key:
    """A foreign key whose tables and columns are there."""

    name: str
    child: Relation
    parent: Relation
    pairs: tuple[Pair, ...]
    full: bool = False
    on_delete: str = "a"

    @property
    def columns(self) -> list[str]:
        """The columns that refer."""
        return [pair.column for pair in self.pairs]

    @property
    def referenced(self) -> list[str]:
        """The columns that are referred to."""
        return [pair.referenced for pair in self.pairs]

    def match(self, parent: str, child: str) -> str:
        """Return when a row is the parent of another."""
        return " AND ".join(pair.equal(parent, child) for pair in self.pairs)

    def broken(self, child: str = "c") -> str:
        """Return when a row breaks the key: no parent, and not excused by a NULL in any (MATCH FULL: in all) of its columns."""
        asked = (" OR " if self.full else " AND ").join(given(child, column) for column in self.columns)
        return f"({asked}) AND NOT EXISTS (SELECT FROM {self.parent.rows('p')} WHERE {self.match('p', child)})"


def given(alias: str, column: str) -> str:
    """Return when a column of an alias is not NULL."""
    # Unlike IS NOT NULL, this asks for the value itself, not for the fields of a composite one.
    return f"{alias}.{identifier(column)} IS DISTINCT FROM NULL"


@dataclass
class Found:
    """What was found of a key, and done about it. sample: values as the server writes them, by column."""

    key: Key
    orphans: int
    sample: list[dict[str, str | None]]
    seconds: float = 0.0
    removed: int = 0
    cascaded: bool = field(default=False)


def side_of(table: Relation) -> Name:
    """Return the name of the table for a table's orphans; a long one is cut and gets a digest, so that two stay two."""
    name = table.name + SIDE
    if len(name.encode()) > NAME_BYTES:
        tail = f"_{hashlib.sha256(table.name.encode()).hexdigest()[:8]}{SIDE}"
        name = table.name.encode()[: NAME_BYTES - len(tail)].decode(errors="ignore") + tail
    return table.schema, name


def is_side_table(name: str, attributes: Mapping[str, Any]) -> bool:
    """Say whether a table of a snapshot, by its name as SQL quotes it, is one that holds orphans."""
    columns = attributes.get("columns", {})
    marked = all(columns.get(mark, {}).get("type") == type_ for mark, type_ in MARKS.items())
    return marked and name.rstrip('"').endswith(SIDE)


# The order of work


def in_order(keys: Iterable[Key]) -> list[Key]:
    """Return the keys so that rows go before those that refer to them: a parent that goes makes new orphans.

    In a ring of tables somebody has to be the first.
    """
    by_child: dict[int, list[Key]] = {}
    for key in keys:
        by_child.setdefault(key.child.root, []).append(key)
    ordered: list[Key] = []
    seen: set[int] = set()

    def visit(table: int) -> None:
        if table in seen:
            return
        seen.add(table)
        for key in by_child.get(table, ()):
            visit(key.parent.root)
        ordered.extend(by_child.get(table, ()))

    for table in by_child:
        visit(table)
    return ordered


def batches(rows: Iterable[tuple[int, str]], size: int) -> Iterator[str]:
    """Yield conditions on the alias c that hold for at most size of the rows, which are (tableoid, ctid).

    The rows stand in order of tableoid. Each condition is about one partition.
    """
    for table, group in groupby(rows, key=lambda row: row[0]):
        places = [place for _table, place in group]
        for start in range(0, len(places), size):
            listed = ",".join(f'"{place}"' for place in places[start : start + size])
            yield f"c.tableoid = '{table}'::oid AND c.ctid = ANY ('{{{listed}}}'::tid[])"


# Words


def referred_message(key: Key, referrer: Key, count: int) -> str:
    """Return why the orphans of a key cannot go: rows refer to them by a key that is there."""
    return (
        f"{count} {_rows(count)} of {referrer.child} refer by key {referrer.name} to orphans of key {key.name} in {key.child},"
        f" and it {_ON_DELETE.get(referrer.on_delete, 'forbids to remove those')}: repair or remove the referring rows first, or drop that key"
    )


def stuck_message(key: Key, count: int) -> str:
    """Return what to say when rows that break a key are found and none of them can be removed."""
    return (
        f"{count} {_rows(count)} of {key.child} that break key {key.name} stay when they are deleted:"
        " a BEFORE DELETE trigger keeps them, or they change all the time; look at its triggers"
    )


def done_words(found: Sequence[Found], action: str) -> str:
    """Return what lasts after a failure, and the next step."""
    lasts = [
        f"{item.removed} {_rows(item.removed)} of {item.key.child} ({item.key.name})" for item in found if item.removed
    ]
    if not lasts:
        return f"nothing was {DONE[action]}"
    return f"{', '.join(lasts)} {DONE[action]} before it stay {DONE[action]}, and the same again goes on with the rest"


def cascade_words(found: Iterable[Found], action: str) -> list[str]:
    """Return a sentence for each key by which more rows went than were orphans at first."""
    return [
        f"key {item.key.name}: {item.removed} {_rows(item.removed)} of {item.key.child} {DONE[action]}, {item.orphans} of them orphans at"
        f" first: the others referred to rows that this run {DONE[action]}"
        for item in found
        if item.cascaded and item.removed > item.orphans
    ]


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def result(found: Sequence[Found], action: str, check: bool) -> dict[str, Any]:
    """Return the module's result. In check mode each orphan counts as moved or deleted."""
    acting = action != "report"
    removed = {item.key: item.orphans if check else item.removed for item in found} if acting else {}
    return {
        "changed": any(removed.values()),
        "found": [_as_return(item, removed.get(item.key, 0), action) for item in found],
        "total": sum(item.orphans for item in found),
        "diff": {
            "before": _counts((item.key, item.orphans) for item in found),
            "after": _counts((item.key, 0 if acting else item.orphans) for item in found),
        },
    }


def _as_return(item: Found, removed: int, action: str) -> dict[str, Any]:
    key = item.key
    described = {
        "name": key.name,
        "table": str(key.child),
        "columns": key.columns,
        "references": str(key.parent),
        "referenced_columns": key.referenced,
        "orphans": item.orphans,
        "sample": item.sample,
        "moved": removed if action == "quarantine" else 0,
        "deleted": removed if action == "delete" else 0,
        "seconds": round(item.seconds, 3),
    }
    return {**described, "side_table": qualified(*side_of(key.child))} if action == "quarantine" else described


def _counts(counts: Iterable[tuple[Key, int]]) -> str:
    return "".join(f"{key.child} {key.name}: {count} orphans\n" for key, count in counts)
