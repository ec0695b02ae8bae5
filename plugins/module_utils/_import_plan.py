# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which table and column of a SQLite file goes to which of the database, how, and in which order. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_source as source
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_target as target
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_values as values
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import fold
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_values import Conversion, Rules

CHUNK_ROWS = 512  # what a processor keeps near
CHUNK_BYTES = 4 * 1024 * 1024
_COUNTED = ("timestamp", "timestamptz", "date")
_WIDE = ("text", "varchar", "bytea", "json", "jsonb", "citext")

Numbers = Callable[[source.Table, str], tuple[float, float] | None]


@dataclass(frozen=True)
class Hint:
    """What is said of a column of the file. to: None leaves it out."""

    table: str
    name: str
    to: str | None
    unit: str | None = None
    binary: str | None = None
    rounded: bool = False
    empty_as_null: bool = False

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Hint:
        """Return the hint that an item of the option columns is."""
        return cls(
            item["table"],
            item["name"],
            None if item.get("ignore") else item.get("to") or item["name"],
            item.get("unit"),
            item.get("binary"),
            bool(item.get("round")),
            bool(item.get("empty_as_null")),
        )


@dataclass(frozen=True)
class Choices:
    """What is chosen for a whole import. tables: from a name in the file to one in the database; to None leaves it out."""

    tables: Mapping[str, str | None]
    hints: Sequence[Hint]
    zone: tzinfo
    nul: str = "fail"
    encoding: str = "fail"


@dataclass(frozen=True)
class Pair:
    """A column of the file and the one that it goes to."""

    name: str
    column: target.Column
    conversion: Conversion
    tally: Counter[str]
    empty_as_null: bool = False


@dataclass(frozen=True)
class Load:
    """A table to load. shown: columns by which a row is named in messages."""

    source: source.Table
    target: target.Table
    pairs: tuple[Pair, ...]
    shown: tuple[str, ...]

    @property
    def read(self) -> list[str]:
        """The columns that are read: those that go somewhere, then those that name a row."""
        return [*(pair.name for pair in self.pairs), *self.shown]

    @property
    def ordered(self) -> str | None:
        """The column by whose number both sides can be read in the same order; None when there is none."""
        key = self.target.key
        if len(key) != 1 or self.source.rowid is None:
            return None
        pair = next((pair for pair in self.pairs if pair.column.name == key[0]), None)
        whole = pair and pair.name == self.source.rowid and pair.column.kind.name in ("int2", "int4", "int8")
        return key[0] if whole else None

    def wide(self) -> list[str]:
        """Return the columns whose values may be of any length."""
        return list(
            dict.fromkeys(p.name for p in self.pairs if p.column.kind.name in _WIDE and not p.column.kind.limit)
        )


def rows_of(extent: int) -> int:
    """Return how many rows to take at a time when the largest takes about extent bytes."""
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(extent, 1)))


def match(
    file: Mapping[str, source.Table], there: Mapping[str, target.Table], choices: Choices, schema: str, numbers: Numbers
) -> list[Load]:
    """Return the tables to load, in the file's order. Raises StewardError for what has no place to go to."""
    _refuse_unknown(file, choices)
    loads = []
    for table in file.values():
        if table.name in choices.tables and choices.tables[table.name] is None:
            continue
        wanted = choices.tables.get(table.name)
        found = there.get(wanted) if wanted else _named(there, table.name)
        if found is None:
            missing = f"{wanted}, which tables says {table.name} goes to" if wanted else table.name
            raise StewardError(
                f"schema {schema} has no table {missing}: bring the schema to its revision first, or name another table in tables, or null to leave it out"
            )
        loads.append(_load(table, found, choices, numbers))
    if not loads:
        raise StewardError("the file has no table to import")
    twice = [str(name) for name, count in Counter(load.target.name for load in loads).items() if count > 1]
    if twice:
        raise StewardError(f"two tables of the file go to {twice[0]}: leave one out, or name another table in tables")
    return loads


def _refuse_unknown(file: Mapping[str, source.Table], choices: Choices) -> None:
    for name in choices.tables:
        if name not in file:
            raise StewardError(f"tables has {name!r}, and the file has {', '.join(file) or 'no table'}")
    for hint in choices.hints:
        if hint.table not in file:
            raise StewardError(f"columns has table {hint.table!r}, and the file has {', '.join(file) or 'no table'}")
        if hint.name not in file[hint.table].names:
            raise StewardError(
                f"columns has {hint.table}.{hint.name}, and that table of the file has {', '.join(file[hint.table].names)}"
            )


def _named(there: Mapping[str, Any], name: str) -> Any:
    """Return what has a name, or else the only one whose name differs in capitals alone."""
    if name in there:
        return there[name]
    alike = [found for other, found in there.items() if fold(other) == fold(name)]
    return alike[0] if len(alike) == 1 else None


def _load(table: source.Table, to: target.Table, choices: Choices, numbers: Numbers) -> Load:
    by_name = {column.name: column for column in to.columns}
    pairs: list[Pair] = []
    for name in table.names:
        hints = [hint for hint in choices.hints if hint.table == table.name and hint.name == name]
        for hint in hints or [Hint(table.name, name, name)]:
            if hint.to is None:
                continue
            column = by_name.get(hint.to) if hints else _named(by_name, hint.to)
            if column is None:
                raise StewardError(
                    f"column {table.name}.{name} of the file has no place: {to} has no column {hint.to}; name another one in columns, or ignore it there"
                )
            pairs.append(_pair(table, to, hint, column, choices, numbers))
    if not pairs:
        raise StewardError(f"table {table.name} of the file has no column that goes to {to}")
    taken = Counter(pair.column.name for pair in pairs)
    twice = [name for name, count in taken.items() if count > 1]
    if twice:
        raise StewardError(f"two columns of {table.name} go to {to}.{twice[0]}: ignore one in columns, or name another")
    missing = [c.name for c in to.columns if c.required and not c.optional and not c.generated and c.name not in taken]
    if missing:
        raise StewardError(
            f"nothing of {table.name} goes to {to}.{missing[0]}, which has to have a value and has no default: name its column in columns"
        )
    shown = table.key or ((table.number,) if table.number else ())
    return Load(table, to, tuple(pairs), shown)


def _pair(
    table: source.Table, to: target.Table, hint: Hint, column: target.Column, choices: Choices, numbers: Numbers
) -> Pair:
    place = f"{table.name}.{hint.name}"
    if column.generated:
        raise StewardError(
            f"column {place} of the file goes to {to}.{column.name}, which is generated: ignore it in columns"
        )
    unit = hint.unit
    if unit is None and column.kind.name in _COUNTED:
        found = numbers(table, hint.name)
        unit = _unit(place, *found) if found else None
    tally: Counter[str] = Counter()
    rules = Rules(choices.nul, choices.encoding, choices.zone, unit, hint.rounded, hint.binary, tally)
    conversion = values.conversion(column.kind, rules)
    if conversion is None:
        raise StewardError(f"column {place} of the file has no place: {to}.{column.name} {target.refusal(column)}")
    return Pair(hint.name, column, conversion, tally, hint.empty_as_null)


def _unit(place: str, low: float, high: float) -> str:
    unit = values.unit_of(low, high)
    if unit is None:
        raise StewardError(
            f"column {place} of the file has numbers from {low:.15g} to {high:.15g} for times, and what they count is not clear: give its unit in columns"
        )
    return unit


# The order of work


def groups(loads: Iterable[Load]) -> list[list[Load]]:
    """Return the tables in the order to load them in: those that others refer to first, those that refer to each other together.

    Tarjan's algorithm; a group of one table may refer to itself.
    """
    by_name = {(load.target.schema, load.target.name): load for load in loads}
    index: dict[tuple[str, str], int] = {}
    low: dict[tuple[str, str], int] = {}
    stack: list[tuple[str, str]] = []
    found: list[list[Load]] = []

    def visit(name: tuple[str, str]) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for key in by_name[name].target.keys:
            other = key.references
            if other not in by_name:
                continue
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            start = stack.index(name)
            found.append([by_name[member] for member in stack[start:]])
            del stack[start:]

    for name in by_name:
        if name not in index:
            visit(name)
    return found


def crossing(group: Sequence[Load]) -> list[tuple[target.Table, target.Key]]:
    """Return the keys between different tables of a group: no order of the tables suits them."""
    names = {(load.target.schema, load.target.name) for load in group}
    return [
        (load.target, key)
        for load in group
        for key in load.target.keys
        if key.references in names and key.references != (load.target.schema, load.target.name)
    ]


@dataclass
class Bar:
    """Values of a key that no row may have, since no row that they refer to is or will be there."""

    key: target.Key
    child: Load
    parent: Load
    columns: tuple[str, ...]  # of the file
    referenced: tuple[str, ...]
    missing: set[tuple[str, ...]] = field(default_factory=set)

    def message(self) -> str:
        """Return what to say when there are such values."""
        few = ", ".join("/".join(values) for values in sorted(self.missing)[:5]).encode(errors="replace").decode()
        return (
            f"{self.child.source.name}.{', '.join(self.columns)} of the file has {len(self.missing)} values that no row of"
            f" {self.parent.source.name} has ({few[:200]}{', …' if len(self.missing) > 5 else ''}), and key {self.key.name} wants one:"
            " mend the file, or choose on_orphan reject"
        )

    def why(self) -> str:
        """Return why a row is refused."""
        return f"refers by key {self.key.name} to a row of {self.parent.target} that is not there"


def bars(loads: Sequence[Load]) -> list[Bar]:
    """Return the keys between the tables of an import, by columns of the file; a key with a column from elsewhere is left to the server."""
    by_name = {(load.target.schema, load.target.name): load for load in loads}
    found = []
    for load in loads:
        for key in load.target.keys:
            parent = by_name.get(key.references)
            if parent is None:
                continue
            own, theirs = _sources(load, key.columns), _sources(parent, key.referenced)
            if own and theirs:
                found.append(Bar(key, load, parent, own, theirs))
    return found


def _sources(load: Load, columns: Sequence[str]) -> tuple[str, ...]:
    names = {pair.column.name: pair.name for pair in load.pairs}
    return tuple(names[name] for name in columns) if all(name in names for name in columns) else ()
