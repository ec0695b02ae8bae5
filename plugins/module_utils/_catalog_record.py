# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the objects of a snapshot are gathered in, and what all of them are made with. Pure.

Oids are text here, as the server writes them in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _canonical
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog_queries as queries
from ansible_collections.pgsteward.postgres.plugins.module_utils._privileges import PUBLIC, privileges
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

HIDDEN = "(hidden)"
ENABLED = {"O": None, "D": "disabled", "R": "replica", "A": "always"}
_STAMP = "pg_attver"  # the server's own, see COLUMNS
_SECRET = re.compile(queries.SECRET, re.IGNORECASE)

Answers = Mapping[str, Any]


@dataclass
class Catalog:
    """The answers, and what is looked up in them again and again."""

    answers: Answers
    major: int
    objects: Objects = field(default_factory=dict)
    schema_of: dict[tuple[str, str], str | None] = field(default_factory=dict)  # (kind, name) -> schema, quoted
    unseen: list[tuple[str, str]] = field(default_factory=list)
    schemas: dict[str, str] = field(default_factory=dict)  # oid -> name, quoted
    roles: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)  # catalog -> oids that extensions made
    relations: dict[str, tuple[str, str]] = field(default_factory=dict)  # oid -> kind, qualified name
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)  # oid -> attributes of a relation or domain
    numbers: dict[str, dict[int, str]] = field(default_factory=dict)  # oid of a relation -> number -> column
    comments: dict[tuple[str, str, int], str] = field(default_factory=dict)
    labels: dict[tuple[str, str, int], dict[str, str]] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)  # oid -> oids that it inherits from, in order
    behind: dict[str, dict[str, Any]] = field(default_factory=dict)  # oid of an index -> the constraint that it serves
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)  # oid of a foreign key -> its attributes

    def put(self, kind: str, schema: str | None, name: str, attributes: dict[str, Any]) -> None:
        """Take an object in."""
        self.objects.setdefault(kind, {})[name] = attributes
        self.schema_of[kind, name] = schema

    def role(self, oid: Any) -> str:
        """Return a role's name; an oid that is no role's any more as the server shows it."""
        return PUBLIC if str(oid) == "0" else self.roles.get(str(oid), f"unknown (OID={oid})")

    def of_extension(self, catalog: str, oid: Any) -> bool:
        """Say whether an extension made the object; its version speaks for it."""
        return str(oid) in self.members.get(catalog, ())

    def common(self, catalog: str, oid: Any, owner: Any = None, acl: Any = None, kind: str = "") -> dict[str, Any]:
        """Return what objects of all kinds have: owner, privileges, comment, labels."""
        found: dict[str, Any] = {}
        if owner is not None:
            found["owner"] = self.role(owner)
        if acl is not None and (held := privileges(acl, self.role(owner), kind)) is not None:
            found["privileges"] = dict(held)
        return {**found, **self.remarks(catalog, oid)}

    def remarks(self, catalog: str, oid: Any, number: int = 0) -> dict[str, Any]:
        """Return the comment and the labels of an object or a column."""
        key = (catalog, str(oid), number)
        found: dict[str, Any] = {}
        if key in self.comments:
            found["comment"] = self.comments[key]
        if key in self.labels:
            found["labels"] = self.labels[key]
        return found


def sparse(**attributes: Any) -> dict[str, Any]:
    """Return the attributes without those that are None, False, empty text or an empty list."""
    return {key: value for key, value in attributes.items() if value or (value == 0 and value is not False)}


def options_of(values: Sequence[str] | None) -> dict[str, str] | None:
    """Return name -> value of a list of name=value; values whose names say that they are secret are hidden."""
    if not values:
        return None
    pairs = (value.partition("=")[::2] for value in values)
    return {name: HIDDEN if _SECRET.search(name) else value for name, value in pairs if name != _STAMP}


@lru_cache(maxsize=65536)
def canonical(expression: str | None) -> str | None:
    """Return the one form of an expression, a definition or a body that the server printed."""
    return None if expression is None else _canonical.expression(expression)


def bracketed(expression: str) -> str:
    """Return an expression in brackets, which the server leaves out around calls."""
    text = str(canonical(expression))
    return text if text.startswith("(") else f"({text})"
