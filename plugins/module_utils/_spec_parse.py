# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A declared schema, read from the YAML that a person writes. Pure.

docs/spec.md describes the format. Every error is one line that names the file and the line in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec_types as types
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, split
from ansible_collections.pgsteward.postgres.plugins.module_utils._marked_yaml import LineError, Value, read

FORMAT = 1
# What a serial column has for a default: either is fine.
SERIAL_DEFAULT = "nextval(…) or identity"

_ABSENT = "absent"
_ACTIONS = ("no action", "restrict", "cascade", "set null", "set default")
_NAME_BYTES = 63  # NAMEDATALEN - 1
_REQUIREMENT = re.compile(r"(?:==?|!=|<>|>=|<=|>|<)?\s*\d[\w.-]*")
_QUOTED = r'"(?:[^"]|"")*"'
_REFERENCE = re.compile(rf"(?P<table>(?:{_QUOTED}|[^\"(])+)(?:\((?P<columns>(?:{_QUOTED}|[^\"()])+)\))?\s*")
_COLUMN = re.compile(rf"\s*({_QUOTED}|[^\",]+)\s*(,|\Z)")

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Part:
    """A column, index, enum or extension. name: of enums (schema, name), of others one; expected: attribute -> value, holding
    only what is judged; None: it must not be there."""

    name: tuple[str, ...]
    expected: Mapping[str, Any] | None


@dataclass(frozen=True)
class Key:
    """A constraint without a name. kind: primary key, unique or foreign key; expected as in Part."""

    kind: str
    columns: tuple[str, ...]
    expected: Mapping[str, Any] | None


@dataclass(frozen=True)
class Table:
    """A table. name: (schema, name); checks are expressions that must be among its check constraints."""

    name: tuple[str, ...]
    present: bool = True
    columns: tuple[Part, ...] = ()
    keys: tuple[Key, ...] = ()
    checks: tuple[str, ...] = ()
    indexes: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Spec:
    """What a file asks of a schema."""

    extensions: tuple[Part, ...]
    enums: tuple[Part, ...]
    tables: tuple[Table, ...]


def parse(text: str, name: str) -> Spec:
    """Return the spec that a file's text holds; name is the file's, for errors.

    Raises StewardError, of one line such as `shop.yml line 7: unknown key "colums" in table users: did you mean columns?`.
    """
    try:
        return _spec(read(text))
    except LineError as error:
        place = f"{name} line {error.line}:" if error.line else name
        raise StewardError(f"{place} {error}") from None


def _spec(root: Value) -> Spec:
    _check_format(root)
    entries = _entries(root, "the spec", ("format", "schema", "extensions", "enums", "tables"))
    schema = _name(entries["schema"], "schema") if "schema" in entries else "public"
    spec = Spec(
        _each(entries, "extensions", lambda key, value: _extension(_named(key, value.line), value)),
        _each(entries, "enums", lambda key, value: _enum(key, value, schema)),
        _each(entries, "tables", lambda key, value: _table(key, value, schema)),
    )
    if not (spec.extensions or spec.enums or spec.tables):
        raise LineError(root.line, "names no extensions, enums or tables: nothing would be verified")
    for key, parts in (("enums", spec.enums), ("tables", spec.tables)):
        _check_once([qualified(*part.name) for part in parts], entries.get(key, root), key)
    return spec


def _check_format(root: Value) -> None:
    if root.kind != "mapping":
        raise LineError(root.line, f"a spec is a mapping with format, tables and so on, not {root}")
    value = root.entries.get("format")
    if not value:
        raise LineError(root.line, f'format is missing: write "format: {FORMAT}" at the top')
    if not re.fullmatch(r"[1-9]\d{0,8}", value.text):
        raise LineError(value.line, f"format must be {FORMAT}, not {value}")
    if int(value.text) > FORMAT:
        raise LineError(
            value.line, f"format {value.text} is newer than this collection reads ({FORMAT}): update the collection"
        )


def _extension(name: str, value: Value) -> Part:
    what = f"extension {name}"
    if _is_absent(value):
        return Part((name,), None)
    if value.kind == "text":
        return Part((name,), {"version": _requirement(value, what)})
    entries = _body(value, what, ("version", "schema"))
    readers = {"version": lambda v: _requirement(v, what), "schema": lambda v: _name(v, f"schema of {what}")}
    return Part((name,), None if entries is None else {key: readers[key](held) for key, held in entries.items()})


def _requirement(value: Value, what: str) -> str:
    text = _text(value, f"version of {what}")
    if not all(_REQUIREMENT.fullmatch(part.strip()) for part in text.split(",")):
        raise LineError(value.line, f'version of {what} must be like 0.8.0, ">=0.8" or ">=0.8, <0.9", not {value}')
    return text


def _enum(written: str, value: Value, schema: str) -> Part:
    what, name = f"enum {written}", _pair(written, value.line, schema)
    if value.kind == "list":
        return Part(name, {"labels_in_order": _names(value, f"labels of {what}", empty=True)})
    return Part(name, None if _body(value, what, (), "a list of labels") is None else {})


def _table(written: str, value: Value, schema: str) -> Table:
    what, name = f"table {written}", _pair(written, value.line, schema)
    keys = ("columns", "primary_key", "unique", "foreign_keys", "checks", "indexes")
    entries = _body(value, what, keys)
    if entries is None:
        return Table(name, present=False)
    return Table(
        name,
        True,
        _each(entries, "columns", lambda key, held: _column(_named(key, held.line), held, what), what),
        (
            *([_primary_key(entries["primary_key"], what)] if "primary_key" in entries else ()),
            *(_unique(item, f"unique of {what}") for item in _items(entries, "unique", what)),
            *(_foreign_key(item, f"foreign_keys of {what}", schema) for item in _items(entries, "foreign_keys", what)),
        ),
        tuple(_text(item, f"an entry of checks of {what}") for item in _items(entries, "checks", what)),
        _each(entries, "indexes", lambda key, held: _index(_named(key, held.line), held, what), what),
    )


def _column(name: str, value: Value, table: str) -> Part:
    what = f"column {name} of {table}"
    if value.kind == "text" and not _is_absent(value):
        return Part((name,), _typed(value, what))
    entries = _body(value, what, ("type", "null", "default"), "a type")
    if entries is None:
        return Part((name,), None)
    expected = _typed(entries["type"], what) if "type" in entries else {}
    if expected.get("default") == SERIAL_DEFAULT and {"null", "default"} & entries.keys():
        raise LineError(
            value.line, f"{what} is {entries['type'].text}, which says null and default already: leave them out"
        )
    if "null" in entries:
        expected["not_null"] = not _truth(entries["null"], f"null of {what}")
    if "default" in entries:
        default = entries["default"]
        expected["default"] = None if default.kind == "null" else _text(default, f"default of {what}")
    return Part((name,), expected)


def _typed(value: Value, what: str) -> dict[str, Any]:
    text = _text(value, f"type of {what}")
    base = types.base_of_serial(text)
    if base:
        return {"type": base, "not_null": True, "default": SERIAL_DEFAULT}
    try:
        types.parse(text)
    except ValueError as error:
        raise LineError(value.line, f"type of {what}: {error}") from None
    return {"type": text}


def _primary_key(value: Value, table: str) -> Key:
    if _is_absent(value):
        return Key("primary key", (), None)
    return Key("primary key", tuple(_names(value, f"primary_key of {table}")), {})


def _unique(value: Value, what: str) -> Key:
    if value.kind == "list":
        return Key("unique", tuple(_names(value, f"an entry of {what}")), {})
    columns, entries = _keyed(value, what, ())
    return Key("unique", columns, entries)


def _foreign_key(value: Value, what: str, schema: str) -> Key:
    columns, entries = _keyed(value, what, ("references", "on_delete", "on_update"))
    if entries is None:
        return Key("foreign key", columns, None)
    what = f"foreign key {', '.join(columns)} in {what}"
    expected: dict[str, Any] = {}
    if "references" in entries:
        expected = _reference(entries["references"], what, schema)
        if len(expected.get("referenced_columns", columns)) != len(columns):
            raise LineError(
                entries["references"].line, f"references of {what} must name as many columns as columns does"
            )
    expected |= {
        key: _choice(entries[key], f"{key} of {what}", _ACTIONS) for key in ("on_delete", "on_update") if key in entries
    }
    return Key("foreign key", columns, expected)


def _keyed(value: Value, what: str, keys: Sequence[str]) -> tuple[tuple[str, ...], Mapping[str, Value] | None]:
    """Return the columns of an entry that a list of constraints holds, and the rest of it; None: it must not be there."""
    entries = _entries(value, f"an entry of {what}", ("columns", *keys, "absent"))
    if "columns" not in entries:
        raise LineError(value.line, f"an entry of {what} has no columns")
    columns = tuple(_names(entries["columns"], f"columns of an entry of {what}"))
    rest = {key: held for key, held in entries.items() if key != "columns"}
    return columns, _body(Value(value.line, "mapping", entries=rest), f"an entry of {what}", keys)


def _reference(value: Value, what: str, schema: str) -> dict[str, Any]:
    text = _text(value, f"references of {what}")
    found = _REFERENCE.fullmatch(text)
    if not found:
        raise LineError(value.line, f"references of {what} must be like persons(id), not {value}")
    expected: dict[str, Any] = {"references": qualified(*_pair(found["table"].strip(), value.line, schema))}
    if found["columns"]:
        columns, place = [], 0
        while place < len(found["columns"]):
            column = _COLUMN.match(found["columns"], place)
            if not column:
                raise LineError(value.line, f"references of {what} must be like persons(id), not {value}")
            columns.append(column[1][1:-1].replace('""', '"') if column[1][0] == '"' else column[1].strip())
            place = column.end()
        expected["referenced_columns"] = columns
    return expected


def _index(name: str, value: Value, table: str) -> Part:
    what = f"index {name} of {table}"
    if value.kind == "list":
        return Part((name,), {"columns": _names(value, f"columns of {what}")})
    entries = _body(
        value, what, ("columns", "method", "unique", "include", "opclass", "options", "where"), "a list of columns"
    )
    if entries is None:
        return Part((name,), None)
    readers: dict[str, tuple[str, Callable[[Value, str], Any]]] = {
        "columns": ("columns", _names),
        "method": ("method", lambda held, place: _text(held, place).lower()),
        "unique": ("unique", _truth),
        "include": ("include", lambda held, place: _names(held, place, empty=True)),
        "opclass": (
            "opclasses",
            lambda held, place: _names(held, place, repeated=True) if held.kind == "list" else [_text(held, place)],
        ),
        "options": ("options", _options),
        "where": ("predicate", lambda held, place: held.truth if held.kind == "boolean" else _text(held, place)),
    }
    expected = {readers[key][0]: readers[key][1](held, f"{key} of {what}") for key, held in entries.items()}
    if "opclasses" in expected and len(expected["opclasses"]) != len(expected.get("columns", [""])):
        raise LineError(entries["opclass"].line, f"opclass of {what} must have one name for each of its columns")
    return Part((name,), expected)


def _options(value: Value, what: str) -> dict[str, str]:
    return {key.lower(): _text(held, f"{key} in {what}").lower() for key, held in _entries(value, what, None).items()}


def _each(
    entries: Mapping[str, Value], key: str, make: Callable[[str, Value], _Made], owner: str = ""
) -> tuple[_Made, ...]:
    """Return what make returns for each entry of the mapping under a key; nothing where the key is missing or empty."""
    value = entries.get(key)
    if value is None or value.kind == "null":
        return ()
    held = _entries(value, f"{key} of {owner}" if owner else key, None)
    return tuple(make(name, item) for name, item in held.items())


def _items(entries: Mapping[str, Value], key: str, owner: str) -> tuple[Value, ...]:
    value = entries.get(key)
    if value is None or value.kind == "null":
        return ()
    if value.kind != "list":
        raise LineError(value.line, f"{key} of {owner} must be a list, not {value}")
    return value.items


def _entries(value: Value, what: str, keys: Sequence[str] | None, wanted: str = "a mapping") -> Mapping[str, Value]:
    """Return the entries of a mapping that has no keys but these; None: any."""
    if value.kind != "mapping":
        raise LineError(value.line, f"{what} must be {wanted}, not {value}")
    for key, held in value.entries.items():
        if keys is not None and key not in keys:
            raise LineError(held.line, f'unknown key "{key}" in {what}: {_hint(key, keys)}')
    return value.entries


def _hint(key: str, keys: Sequence[str]) -> str:
    if ")" in key:
        return "a text with a comma, such as numeric(10,2), wants quotes within {}"
    near = get_close_matches(key, keys, 1)
    return f"did you mean {near[0]}?" if near else f"it takes {', '.join(keys)}"


def _body(value: Value, what: str, keys: Sequence[str], other: str = "") -> Mapping[str, Value] | None:
    """Return the entries of a thing that may be absent, which is None; of nothing, none. other: what else it may be."""
    if _is_absent(value):
        return None
    if value.kind == "null":
        return {}
    wanted = f"{other}, a mapping or {_ABSENT}" if other else f"a mapping or {_ABSENT}"
    entries = _entries(value, what, (*keys, _ABSENT), wanted)
    rest = {key: held for key, held in entries.items() if key != _ABSENT}
    if _ABSENT not in entries or not _truth(entries[_ABSENT], f"absent of {what}"):
        return rest
    if rest:
        raise LineError(value.line, f"{what} is to be absent, so {', '.join(rest)} cannot be asked of it")
    return None


def _is_absent(value: Value) -> bool:
    return value.kind == "text" and value.text == _ABSENT


def _truth(value: Value, what: str) -> bool:
    if value.kind != "boolean":
        raise LineError(value.line, f"{what} must be true or false, not {value}")
    return value.truth


def _text(value: Value, what: str) -> str:
    if value.kind not in ("text", "boolean"):
        raise LineError(value.line, f"{what} must be text, not {value}")
    return value.text


def _choice(value: Value, what: str, choices: Sequence[str]) -> str:
    text = _text(value, what).lower()
    if text not in choices:
        near = get_close_matches(text, choices, 1)
        raise LineError(
            value.line,
            f"{what} must be one of {', '.join(choices)}, not {value}" + (f": did you mean {near[0]}?" if near else ""),
        )
    return text


def _names(value: Value, what: str, empty: bool = False, repeated: bool = False) -> list[str]:
    """Return a list of names or expressions. empty: they may be; repeated: one may stand twice."""
    if value.kind != "list":
        raise LineError(value.line, f"{what} must be a list, not {value}")
    names = [_name(item, what, empty) for item in value.items]
    if not names and not empty:
        raise LineError(value.line, f"{what} must not be an empty list")
    if not repeated:
        _check_once(names, value, what)
    return names


def _check_once(names: Iterable[str], value: Value, what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise LineError(value.line, f'"{name}" stands twice in {what}')
        seen.add(name)


def _name(value: Value, what: str, empty: bool = False) -> str:
    """Return a name: text, whatever else YAML may take it for."""
    if value.kind in ("mapping", "list") or (value.kind == "null" and not value.text):
        raise LineError(value.line, f"{what} must hold names, not {value}")
    return _named(value.text, value.line, empty)


def _named(name: str, line: int, empty: bool = False) -> str:
    if not name and not empty:
        raise LineError(line, "a name is empty")
    if "\0" in name:
        raise LineError(line, f"{name!r} is not a name: PostgreSQL cannot store the character 0")
    if len(name.encode("utf-8", "surrogatepass")) > _NAME_BYTES and "(" not in name:
        raise LineError(line, f'"{name}" is longer than a name can be, {_NAME_BYTES} bytes')
    return name


def _pair(text: str, line: int, schema: str) -> tuple[str, ...]:
    """Return schema and name of what may be written with its schema."""
    try:
        parts = split(text)
    except ValueError:
        parts = ()
    if len(parts) not in (1, 2):
        raise LineError(
            line, f'"{text}" is neither a name nor schema.name: a name that holds a dot stands in double quotes'
        )
    names = tuple(_named(part, line) for part in parts)
    return names if len(names) > 1 else (schema, *names)
