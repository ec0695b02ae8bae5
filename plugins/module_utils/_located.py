# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The object of a snapshot that a difference is about. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, quote_ident, split
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import KINDS, PARTS, Objects, schema_of

Attributes = Mapping[str, Any]

KEYS = {part: key for key, part in PARTS.items()}
# What parts stand in. No two of these can have the same name.
OWNERS = ("table", "view", "materialized view", "foreign table", "domain", "composite type")
BACKED = ("primary key", "unique", "exclude")  # constraints with an index of their own
# Of two kinds that begin alike, the longer one is meant.
_KIND = re.compile("(" + "|".join(sorted((*KINDS, *KEYS), key=len, reverse=True)) + ") ")


@dataclass(frozen=True)
class Located:
    """An object or a part of one. attributes: None when it is not there.

    name: as SQL quotes it, that of a column and its like bare. owner, owner_kind and whole: the table (or view, domain, type)
    that a part belongs to, and all that is known of it. behind: it is the index of a constraint.
    """

    kind: str
    name: str
    attributes: Attributes | None = None
    owner: str = ""
    owner_kind: str = ""
    whole: Attributes = field(default_factory=dict)
    behind: bool = False

    def get(self, attribute: str) -> Any:
        """Return the value of an attribute; None is PostgreSQL's default, or no object."""
        return (self.attributes or {}).get(attribute)


def locate(text: str, objects: Objects) -> Located:
    """Return the object that a difference calls text. What snapshots do not call so, such as a key without a name, has no attributes."""
    match = _KIND.match(text)
    if not match:
        return Located("", text)
    kind, name = match[1], text[match.end() :]
    if kind not in KEYS:
        return Located(kind, name, objects.get(kind, {}).get(name))
    try:
        *table, part = split(name)
    except ValueError:
        return Located(kind, name)
    if kind == "index":
        return _index(name, table, part, objects)
    owner = qualified(*table)
    for owner_kind in OWNERS:
        whole = objects.get(owner_kind, {}).get(owner)
        if whole is not None:
            return Located(kind, part, (whole.get(KEYS[kind]) or {}).get(part), owner, owner_kind, whole)
    return Located(kind, part, None, owner)


def _index(name: str, schema: list[str], bare: str, objects: Objects) -> Located:
    """Return an index, which is named without its table."""
    for owner_kind in ("table", "materialized view"):
        for owner, whole in objects.get(owner_kind, {}).items():
            index = (whole.get("indexes") or {}).get(bare)
            constraint = None if index else (whole.get("constraints") or {}).get(bare)
            if constraint and constraint["type"] in BACKED:
                index = index_of(constraint)
            if index and schema_of(owner) == quote_ident(*schema):
                return Located("index", name, index, owner, owner_kind, whole, constraint is not None)
    return Located("index", name)


def index_of(constraint: Attributes) -> dict[str, Any]:
    """Return the index behind a primary key or a unique constraint, as a snapshot has indexes."""
    carried = {key: constraint[key] for key in ("include", "nulls_not_distinct") if key in constraint}
    unique = constraint["type"] != "exclude"
    return {
        "method": "btree",
        "columns": constraint.get("columns", []),
        **({"unique": True} if unique else {}),
        **carried,
        **constraint.get("index", {}),
    }
