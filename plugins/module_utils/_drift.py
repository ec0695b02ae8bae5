# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs between a schema as it should be and one as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import (
    KINDS,
    PARTS,
    Objects,
    are_parts,
    part_name,
)

EXISTENCE, PRESENT, ABSENT = "existence", "present", "absent"


@dataclass(frozen=True)
class Drift:
    """One difference: which object, which attribute of it, its value as expected and as found (None: the default, or none)."""

    object: str
    attribute: str
    expected: Any
    found: Any


def compare(expected: Objects, found: Objects) -> list[Drift]:
    """Return every difference, sorted by kind and name. An object that is missing is one difference, whatever it holds."""
    return [
        drift
        for kind in sorted({*expected, *found})
        for drift in _named(expected.get(kind, {}), found.get(kind, {}), lambda name, kind=kind: f"{kind} {name}", "")
    ]


def seen(drifts: Iterable[Drift], unseen: Sequence[tuple[str, str]]) -> list[Drift]:
    """Return the drifts without those about what could not be read on one of both sides."""
    hidden = set(unseen)
    return [drift for drift in drifts if not hidden & {(drift.object, drift.attribute), (_kind_of(drift.object), "*")}]


def _kind_of(name: str) -> str:
    """Return the kind that stands before an object's name; kinds are words, and names of relations have a dot or stand last."""
    fitting = [kind for kind in (*KINDS, *PARTS.values()) if name.startswith(f"{kind} ")]
    return max(fitting, key=len, default="")


def _named(expected: Mapping[str, Any], found: Mapping[str, Any], name_of: Any, table: str) -> Iterator[Drift]:
    if expected == found:
        return
    for name in sorted({*expected, *found}):
        if name not in found:
            yield Drift(name_of(name), EXISTENCE, PRESENT, ABSENT)
        elif name not in expected:
            yield Drift(name_of(name), EXISTENCE, ABSENT, PRESENT)
        elif expected[name] != found[name]:
            yield from _attributes(name_of(name), table or name, expected[name], found[name])


def _attributes(name: str, table: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Drift]:
    """Yield the differences of two objects that bear the same name; table is the name that their parts stand behind."""
    for key in sorted({*expected, *found}):
        wanted, there = expected.get(key), found.get(key)
        if wanted == there:
            continue
        if are_parts(key, wanted if wanted is not None else there):
            part = PARTS[key]
            yield from _named(
                wanted or {}, there or {}, lambda item, part=part: part_name(part, table, quote_ident(item)), table
            )
        elif key == "column_order":
            # Columns that only one side has are differences of their own.
            both = set(wanted or ()) & set(there or ())
            wanted, there = ([item for item in order or () if item in both] for order in (wanted, there))
            if wanted != there:
                yield Drift(name, key, wanted, there)
        elif key == "index":
            # The index behind a constraint bears its name.
            index = part_name("index", table, name[name.index(table) + len(table) + 1 :])
            yield from _attributes(index, table, wanted or {}, there or {})
        else:
            yield Drift(name, key, wanted, there)
