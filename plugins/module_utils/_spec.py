# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a live schema differs from a declared one. Pure.

docs/spec.md says what is compared, and how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec_expressions as expressions
from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec_types as types
from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec_versions as versions
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import ABSENT, EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, quote_ident, split
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import part_name
from ansible_collections.pgsteward.postgres.plugins.module_utils._spec_parse import (
    SERIAL_DEFAULT,
    Key,
    Part,
    Spec,
    Table,
    parse,
)

__all__ = ["Spec", "drifts", "parse"]

Attributes = Mapping[str, Any]
Objects = Mapping[str, Mapping[str, Attributes]]
Comparisons = Mapping[str, Callable[[Any, Any], bool]]  # attribute -> whether the expected value is the one found

# What an attribute is when a snapshot leaves it out, where that is not None.
_DEFAULTS: Attributes = {
    "not_null": False,
    "unique": False,
    "method": "btree",
    "include": [],
    "on_delete": "no action",
    "on_update": "no action",
    "valid": True,
    "enforced": True,
    "without_overlaps": False,
}
_SOUND = {"valid": True}
_IN_FORCE = {"valid": True, "enforced": True}
# The usual names of operator classes that are the default of their type, as snapshots leave those out.
_DEFAULT_CLASS = re.compile(r"[a-z0-9]+(_minmax|_inclusion|_l2)?_ops")
_SWITCHED = {"on": "true", "yes": "true", "off": "false", "no": "false"}


def drifts(spec: Spec, objects: Objects) -> list[Drift]:
    """Return where objects, those of a snapshot, are not as spec asks, in the order of the spec.

    What the spec does not name is not judged. Of a thing that is missing, nothing but that is said.
    """
    found = [drift for part in spec.extensions for drift in _named(part, "extension", objects, _EXTENSION)]
    found += [drift for part in spec.enums for drift in _named(part, "enum", objects, {})]
    return found + [drift for table in spec.tables for drift in _table(table, objects)]


def _named(part: Part, kind: str, objects: Objects, same: Comparisons) -> Iterator[Drift]:
    name = qualified(*part.name)
    yield from _judged(f"{kind} {name}", part.expected, objects.get(kind, {}).get(name), same)


def _judged(name: str, expected: Attributes | None, found: Attributes | None, same: Comparisons) -> Iterator[Drift]:
    """Yield the difference in existence, or else those in the attributes that are expected; None is absent."""
    if (expected is None) != (found is None):
        yield Drift(name, EXISTENCE, *((PRESENT, ABSENT) if found is None else (ABSENT, PRESENT)))
    elif expected is not None and found is not None:
        for attribute, wanted in expected.items():
            value = found.get(attribute, _DEFAULTS.get(attribute))
            if not same.get(attribute, _equal)(wanted, value):
                yield Drift(name, attribute, wanted, value)


def _table(table: Table, objects: Objects) -> Iterator[Drift]:
    name = qualified(*table.name)
    kinds = [kind for kind in ("table", "foreign table", "view", "materialized view") if name in objects.get(kind, {})]
    kind = next((kind for kind in kinds if kind.endswith("table")), "table")
    found = objects.get(kind, {}).get(name)
    if found is None and table.present and kinds:
        yield Drift(f"table {name}", EXISTENCE, PRESENT, kinds[0])
    elif found is None or not table.present:
        yield from _judged(f"{kind} {name}", {} if table.present else None, found, {})
    else:
        yield from _columns(table, name, found)
        for key in table.keys:
            yield from _KEYS[key.kind](key, name, found)
        yield from _checks(table, name, found)
        yield from _indexes(table, name, found)


def _columns(table: Table, name: str, found: Attributes) -> Iterator[Drift]:
    for part in table.columns:
        expected, column = part.expected, found.get("columns", {}).get(part.name[0])
        if expected and column and expected.get("default") == SERIAL_DEFAULT and "identity" in column:
            expected = {key: value for key, value in expected.items() if key != "default"}
        yield from _judged(part_name("column", name, quote_ident(part.name[0])), expected, column, _COLUMN)


def _primary_key(key: Key, table: str, found: Attributes) -> Iterator[Drift]:
    there = _constraints(found, "primary key")
    if key.expected is not None and not there:
        yield Drift(_unnamed(key, table), EXISTENCE, PRESENT, ABSENT)
    for name, constraint in there.items():
        expected = None if key.expected is None else {"columns": list(key.columns), "without_overlaps": False}
        yield from _judged(part_name("constraint", table, quote_ident(name)), expected, constraint, {})
        if key.expected is not None:
            yield from _judged(part_name("index", table, quote_ident(name)), _SOUND, constraint.get("index", {}), {})


def _unique(key: Key, table: str, found: Attributes) -> Iterator[Drift]:
    """A constraint, an index or the primary key may keep columns unique; only the first two can be unwanted."""
    same = _column_comparison(found)
    fitting = [unique for unique in _uniques(found) if _same_set(key.columns, unique[2], same)]
    if key.expected is None:
        for kind, name, _columns, _valid in fitting:
            if kind != "primary key":
                yield Drift(part_name(kind, table, quote_ident(name)), EXISTENCE, ABSENT, PRESENT)
    elif not fitting:
        yield Drift(_unnamed(key, table), EXISTENCE, PRESENT, ABSENT)
    elif not any(valid for *_, valid in fitting):
        yield Drift(part_name("index", table, quote_ident(fitting[0][1])), "valid", True, False)


def _uniques(found: Attributes) -> Iterator[tuple[str, str, Sequence[str], bool]]:
    """Yield kind, name, columns and validity of all that keeps columns unique in every row."""
    for kind, word in (("constraint", "unique"), ("primary key", "primary key")):
        for name, constraint in _constraints(found, word).items():
            if not constraint.get("without_overlaps"):
                yield kind, name, constraint["columns"], constraint.get("index", {}).get("valid", True)
    for name, index in found.get("indexes", {}).items():
        if index.get("unique") and index.get("predicate") is None:
            yield "index", name, index["columns"], index.get("valid", True)


def _foreign_key(key: Key, table: str, found: Attributes) -> Iterator[Drift]:
    """Of several foreign keys of the same columns, the one that comes nearest is meant."""
    fitting = {
        part_name("constraint", table, quote_ident(name)): _ordered(constraint, key.columns)
        for name, constraint in _constraints(found, "foreign key").items()
        if sorted(constraint["columns"]) == sorted(key.columns)
    }
    if key.expected is None:
        for name in fitting:
            yield Drift(name, EXISTENCE, ABSENT, PRESENT)
    elif not fitting:
        yield Drift(_unnamed(key, table), EXISTENCE, PRESENT, ABSENT)
    else:
        expected = {**key.expected, **_IN_FORCE}
        yield from min((list(_judged(name, expected, held, {})) for name, held in fitting.items()), key=len)


def _ordered(constraint: Attributes, columns: Sequence[str]) -> Attributes:
    """Return a foreign key with the columns it refers to in the order of these columns of its own."""
    pairs = dict(zip(constraint["columns"], constraint.get("referenced_columns", ()), strict=False))
    return {**constraint, "referenced_columns": [pairs.get(column) for column in columns]}


def _checks(table: Table, name: str, found: Attributes) -> Iterator[Drift]:
    varying = _varying(found)
    for check in table.checks:
        fitting = {
            part_name("constraint", name, quote_ident(item)): constraint
            for item, constraint in _constraints(found, "check").items()
            if expressions.same(check, constraint["expression"], varying)
        }
        if not fitting:
            yield Drift(_unnamed(Key("check", (check,), {}), name), EXISTENCE, PRESENT, ABSENT)
        else:
            yield from min((list(_judged(item, _IN_FORCE, held, {})) for item, held in fitting.items()), key=len)


def _indexes(table: Table, name: str, found: Attributes) -> Iterator[Drift]:
    behind = {
        item: {"unique": True, "columns": constraint["columns"], **_included(constraint), **constraint.get("index", {})}
        for kind in ("primary key", "unique")
        for item, constraint in _constraints(found, kind).items()
    }
    there = {**behind, **found.get("indexes", {})}
    same, varying = _column_comparison(found), _varying(found)
    comparisons: Comparisons = {
        "columns": lambda wanted, held: len(wanted) == len(held) and all(map(same, wanted, held)),
        "include": lambda wanted, held: sorted(wanted) == sorted(held),
        "opclasses": _same_classes,
        "options": _same_options,
        "predicate": lambda wanted, held: (
            wanted is (held is not None)
            if isinstance(wanted, bool)
            else held is not None and expressions.same(wanted, held, varying)
        ),
    }
    for part in table.indexes:
        expected = None if part.expected is None else {**part.expected, **_SOUND}
        yield from _judged(
            part_name("index", name, quote_ident(part.name[0])), expected, there.get(part.name[0]), comparisons
        )


def _constraints(found: Attributes, kind: str) -> dict[str, Attributes]:
    return {name: held for name, held in found.get("constraints", {}).items() if held["type"] == kind}


def _included(constraint: Attributes) -> dict[str, Any]:
    return {"include": constraint["include"]} if "include" in constraint else {}


def _varying(found: Attributes) -> list[str]:
    """Return the columns that the server casts to text wherever an operator reads them."""
    columns: Mapping[str, Attributes] = found.get("columns", {})
    return [name for name, column in columns.items() if column["type"].startswith("character varying")]


def _unnamed(key: Key, table: str) -> str:
    """Return what a constraint that is not there is called: `constraint public.users.(unique email)`."""
    columns = key.columns if key.kind == "check" else map(quote_ident, key.columns)
    return f"constraint {table}.({key.kind} {', '.join(columns)})"


def _column_comparison(found: Attributes) -> Callable[[str, str], bool]:
    """Return what says whether a column or expression of an index is the expected one."""
    varying = _varying(found)
    # A bracket makes an expression of it, unless it is the name of a column.
    return lambda wanted, held: (
        held == wanted
        or ("(" in wanted and held not in found.get("columns", {}) and expressions.same(wanted, held, varying))
    )


def _same_set(wanted: Sequence[str], held: Sequence[str], same: Callable[[str, str], bool]) -> bool:
    return len(wanted) == len(held) and all(any(same(one, other) for other in held) for one in wanted)


def _same_classes(wanted: Sequence[str], held: Sequence[str | None] | None) -> bool:
    classes = held or [None] * len(wanted)
    return len(wanted) == len(classes) and all(map(_same_class, wanted, classes))


def _same_class(wanted: str, held: str | None) -> bool:
    if not held:
        return wanted == "default" or _DEFAULT_CLASS.fullmatch(wanted) is not None
    try:
        parts = split(wanted)
        return split(held)[-len(parts) :] == parts
    except ValueError:
        return wanted == held


def _same_options(wanted: Mapping[str, str], held: Mapping[str, Any] | Sequence[str] | None) -> bool:
    pairs = held.items() if isinstance(held, Mapping) else [item.split("=", 1) for item in held or ()]
    options = {key: _SWITCHED.get(str(value).lower(), str(value).lower()) for key, value in pairs}
    return all(options.get(key) == _SWITCHED.get(value, value) for key, value in wanted.items())


def _same_default(wanted: str | None, held: str | None) -> bool:
    if wanted == SERIAL_DEFAULT:
        return held is not None and held.startswith("nextval(")
    return expressions.same_default(wanted, held)


def _equal(wanted: Any, held: Any) -> bool:
    return bool(wanted == held)


_COLUMN: Comparisons = {"type": types.same, "default": _same_default}
_EXTENSION: Comparisons = {"version": lambda wanted, held: versions.satisfies(str(held or ""), wanted)}
_KEYS: dict[str, Callable[[Key, str, Attributes], Iterator[Drift]]] = {
    "primary key": _primary_key,
    "unique": _unique,
    "foreign key": _foreign_key,
}
