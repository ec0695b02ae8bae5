# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A catalog snapshot: what it holds, its canonical text, its fingerprints, and reading it back from a file. Pure.

docs/snapshots.md describes the format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident

FORMAT = 1
REMEDY = "take a new one with schema_info"

# Attributes that hold parts of an object, and what one of the parts is called.
PARTS: Mapping[str, str] = {
    "columns": "column",
    "constraints": "constraint",
    "indexes": "index",
    "triggers": "trigger",
    "rules": "rule",
    "policies": "policy",
}
# fmt: off
KINDS = (
    "access method", "aggregate", "base type", "cast", "collation", "composite type", "conversion", "database", "default privileges",
    "domain", "enum", "event trigger", "extension", "foreign data wrapper", "foreign table", "function", "language",
    "materialized view", "operator", "operator class", "operator family", "procedure", "publication", "range type", "schema",
    "sequence", "server", "statistics", "subscription", "system privileges", "table", "text search configuration",
    "text search dictionary", "text search parser", "text search template", "transform", "user mapping", "view",
)
# fmt: on
# What belongs to the database as a whole.
GLOBAL_KINDS = frozenset(
    {
        "access method",
        "cast",
        "database",
        "event trigger",
        "extension",
        "foreign data wrapper",
        "language",
        "publication",
        "server",
        "subscription",
        "system privileges",
        "transform",
        "user mapping",
    }
)  # fmt: skip
PRIVILEGE_KINDS = ("default privileges", "system privileges")

Objects = dict[str, dict[str, dict[str, Any]]]  # kind -> name -> attributes


@dataclass(frozen=True)
class Scope:
    """What a snapshot is limited to. schemas and kinds: None is all of them. without: attributes left out of every object."""

    schemas: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, schemas: Iterable[str] | None, kinds: Iterable[str] | None, without: Iterable[str] | None) -> Scope:
        """Return the scope that a module's options name, in order; empty lists mean no limit. Raises StewardError."""
        unknown = sorted(set(kinds or ()) - set(KINDS))
        if unknown:
            raise StewardError(
                f"kinds has {', '.join(map(repr, unknown))}, which is no kind: there are {', '.join(KINDS)}"
            )
        return cls(
            tuple(sorted(set(schemas))) if schemas else None,
            tuple(sorted(set(kinds))) if kinds else None,
            tuple(sorted(set(without or ()))),
        )

    def within(self, other: Scope) -> Scope:
        """Return what both scopes cover."""
        return Scope(
            _both(self.schemas, other.schemas),
            _both(self.kinds, other.kinds),
            tuple(sorted({*self.without, *other.without})),
        )

    def has_kind(self, kind: str) -> bool:
        """Say whether objects of a kind are covered."""
        if kind in PRIVILEGE_KINDS and "privileges" in self.without:
            return False
        return self.kinds is None or kind in self.kinds

    def as_dict(self) -> dict[str, Any]:
        """Return the scope as a snapshot holds it."""
        return {
            "schemas": None if self.schemas is None else list(self.schemas),
            "kinds": None if self.kinds is None else list(self.kinds),
            "without": list(self.without),
        }


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return one if other is None else other
    return tuple(sorted(set(one) & set(other)))


@dataclass(frozen=True)
class Snapshot:
    """A schema as data. unseen: what the account could not read, as pairs of an object (or a kind) and an attribute (or *)."""

    objects: Objects
    scope: Scope = field(default_factory=Scope)
    unseen: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the snapshot as docs/snapshots.md describes it, with its fingerprints."""
        fingerprints = {
            kind: {name: _digest(_canonical(attributes)) for name, attributes in named.items()}
            for kind, named in self.objects.items()
        }
        return {
            "format": FORMAT,
            "scope": self.scope.as_dict(),
            "unseen": [list(pair) for pair in self.unseen],
            "objects": self.objects,
            "fingerprints": fingerprints,
            "fingerprint": whole(self.scope, fingerprints),
        }

    def as_text(self) -> str:
        """Return the file: sorted, indented, the same for the same schema."""
        return json.dumps(self.as_dict(), sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def whole(scope: Scope, fingerprints: Mapping[str, Mapping[str, str]]) -> str:
    """Return the fingerprint of a snapshot: that of its scope and of the fingerprints of all objects."""
    return _digest(_canonical([scope.as_dict(), fingerprints]))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse(text: str, name: str) -> Snapshot:
    """Return the snapshot that a file's text holds; name is the file's, for errors.

    Raises StewardError for what is no snapshot, has a newer format, or was changed since it was taken.
    """
    try:
        held = json.loads(text)
    except ValueError as error:
        raise StewardError(f"{name} is no catalog snapshot: it is not JSON ({error}); {REMEDY}") from None
    if not isinstance(held, dict) or not isinstance(held.get("objects"), dict) or "fingerprint" not in held:
        raise StewardError(f"{name} is no catalog snapshot: it lacks format, objects or fingerprint; {REMEDY}")
    if not isinstance(held.get("format"), int) or held["format"] < 1:
        raise StewardError(f"{name} is no catalog snapshot: its format is {held.get('format')!r}; {REMEDY}")
    if held["format"] > FORMAT:
        raise StewardError(
            f"{name} has snapshot format {held['format']}, and this version of the collection reads up to {FORMAT}: update it, or {REMEDY}"
        )
    try:
        limits = held["scope"]
        scope = Scope(_strings(limits["schemas"]), _strings(limits["kinds"]), _strings(limits["without"]) or ())
        snapshot = Snapshot(
            held["objects"], scope, tuple((str(item), str(attribute)) for item, attribute in held["unseen"])
        )
        intact = snapshot.as_dict()["fingerprint"] == held["fingerprint"]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StewardError(
            f"{name} is no catalog snapshot: its scope or its objects have another shape; {REMEDY}"
        ) from None
    if not intact:
        raise StewardError(f"{name} was changed since it was taken: its fingerprint does not fit; {REMEDY}")
    return snapshot


def _strings(values: Sequence[Any] | None) -> tuple[str, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError
    return tuple(values)


def are_parts(key: str, value: Any) -> bool:
    """Say whether an attribute holds parts of the object; the columns of an index are a list of names."""
    return key in PARTS and isinstance(value, dict)


def part_name(kind: str, table: str, name: str) -> str:
    """Return how a drift calls a part of an object; table and name are as SQL quotes them.

    An index is named like a relation of its own, in its table's schema; other parts stand behind their table.
    """
    if kind == "index":
        return f"index {schema_of(table)}.{name}"
    return f"{kind} {table}.{name}"


def schema_of(qualified: str) -> str:
    """Return the schema, quoted as it stands, of a qualified name."""
    if qualified.startswith('"'):
        end = 1
        while qualified[end] != '"' or qualified[end : end + 2] == '""':
            end += 2 if qualified[end] == '"' else 1
        return qualified[: end + 1]
    return qualified.partition(".")[0]


def schema_of_object(kind: str, name: str) -> str | None:
    """Return the schema, quoted, that an object of a snapshot belongs to; None when it belongs to none."""
    if kind in GLOBAL_KINDS:
        return None
    if kind == "default privileges":
        return name.rpartition(" in ")[2] if " in " in name else None
    return name if kind == "schema" else schema_of(name)


def limit(objects: Objects, scope: Scope) -> Objects:
    """Return objects without the kinds and attributes that the scope leaves out; schemas are not looked at."""
    kept = {kind: named for kind, named in objects.items() if scope.has_kind(kind)}
    if not scope.without:
        return kept
    hidden = frozenset(scope.without)
    return {kind: {name: _stripped(found, hidden) for name, found in named.items()} for kind, named in kept.items()}


def _stripped(attributes: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    return {
        key: {name: _stripped(part, hidden) for name, part in value.items()} if are_parts(key, value) else value
        for key, value in attributes.items()
        if key not in hidden
    }


def without_table(objects: Objects, name: str, schema: str | None = None) -> Objects:
    """Return objects without a table; without a schema, of any."""
    suffix = f".{quote_ident(name)}"
    whole = quote_ident(schema) + suffix if schema else None

    def stays(key: str) -> bool:
        return key != whole if whole else not key.endswith(suffix)

    kept = {
        kind: {key: value for key, value in named.items() if kind != "table" or stays(key)}
        for kind, named in objects.items()
    }
    return {kind: named for kind, named in kept.items() if named}
