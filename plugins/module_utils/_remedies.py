# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mends a difference: SQL where that only adds or validates, words where it takes a decision or a revision. Pure.

It is shown to the operator and never run from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _ddl, _ownership
from ansible_collections.pgsteward.postgres.plugins.module_utils._additions import missing_part
from ansible_collections.pgsteward.postgres.plugins.module_utils._creation import Script, missing_object, revocations
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import KEYS, Located, locate
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import literal
from ansible_collections.pgsteward.postgres.plugins.module_utils._remedy_words import words
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

_NUMBERS = re.compile(r"\d+")
_UNGRANTABLE = ("database", "default privileges", "system privileges")


def remedy(drift: Drift, expected: Objects, found: Objects) -> str:
    """Return what to do about a difference: statements that end with a semicolon each, or words.

    expected and found are the objects that were compared. Remarks behind statements are SQL comments.
    """
    script = script_of(drift, expected, found)
    if script is None:
        return _line(words(drift, expected, found))
    notes = [_line(note) for note in script.notes]
    if not script.statements:
        return f"{_line(drift.object)} is missing: {'; '.join(notes)}"
    return "\n".join([*(f"{text};" for text in script.statements), *(f"-- {note}" for note in notes)])


def statements(drift: Drift, expected: Objects, found: Objects) -> tuple[str, ...] | None:
    """Return the SQL that mends a difference, one statement an item, without semicolons; None where only words help.

    Nothing in it drops, rewrites, or locks a table while it is read. It is empty where the remedy of another difference, such
    as that of a partitioned table, mends this one too. CONCURRENTLY wants to be outside of a transaction.
    """
    script = script_of(drift, expected, found)
    return None if script is None else script.statements


def _line(text: str) -> str:
    """Return text on one line, which a name with a line break in it cannot leave."""
    return " ".join(text.split())


# Statements


@dataclass(frozen=True)
class Change:
    """An attribute of what is on both sides: the object as wanted and as it is there, the attribute as expected and as found."""

    wanted: Located
    there: Located
    expected: Any
    found: Any

    @property
    def column(self) -> str:
        """Return the beginning of what alters a column."""
        return f"ALTER TABLE ONLY {self.wanted.owner} ALTER COLUMN {quote_ident(self.wanted.name)}"


def script_of(drift: Drift, expected: Objects, found: Objects) -> Script | None:
    """Return statements as the function of that name does, with what the operator has to know or to do besides."""
    wanted, there = locate(drift.object, expected), locate(drift.object, found)
    if drift.attribute == EXISTENCE:
        if drift.expected != PRESENT:
            return None
        if wanted.kind not in KEYS:
            return missing_object(wanted, expected, found)
        return missing_part(wanted, found.get(wanted.owner_kind, {}).get(wanted.owner), found)
    change = Change(wanted, there, drift.expected, drift.found)
    # A spec asks for attributes of what it does not describe as a whole; being valid is the same everywhere.
    if (
        drift.attribute not in _CHANGES
        or there.attributes is None
        or (wanted.attributes is None and drift.attribute != "valid")
    ):
        return None
    script = Script(
        tuple(_CHANGES[drift.attribute](change)), tuple(_superfluous(change)) if drift.attribute == "privileges" else ()
    )
    return script if script.statements else None


def _comment(change: Change) -> Iterator[str]:
    wanted = change.wanted
    if change.expected is not None and wanted.kind != "database":
        held = {"comment": change.expected}
        yield from _ownership.remarks(wanted.kind, wanted.name, held, wanted.owner, wanted.owner_kind == "domain")


def _default(change: Change) -> Iterator[str]:
    """Yield what sets a default; what a column counts or works out by itself is not given up for one."""
    if change.expected is None or change.there.get("generated") or change.there.get("identity"):
        return
    alter = change.column if change.wanted.kind == "column" else f"ALTER DOMAIN {change.wanted.name}"
    yield f"{alter} SET DEFAULT {change.expected}"


def _enabled(change: Change) -> Iterator[str]:
    if change.expected != "disabled":
        yield _ddl.switch(change.wanted.kind, change.wanted.name, change.wanted.owner, change.expected)


def _privileges(change: Change) -> Iterator[str]:
    wanted = change.wanted
    if wanted.kind in _UNGRANTABLE:
        return
    missing = _ownership.lacking(wanted.kind, change.there.get("owner"), change.expected, change.found)
    table, column = (wanted.owner, wanted.name) if wanted.kind == "column" else (wanted.name, "")
    yield from _ownership.grants(wanted.kind, table, missing, column)


def _superfluous(change: Change) -> Iterator[str]:
    wanted = change.wanted
    name = f"{wanted.owner}.{quote_ident(wanted.name)}" if wanted.kind == "column" else wanted.name
    held = _ownership.lacking(wanted.kind, change.there.get("owner"), change.found, change.expected)
    return revocations(wanted.kind, name, held)


def _labels(change: Change) -> Iterator[str]:
    yield from _ddl.new_labels(change.wanted.name, change.expected or (), change.found or ()) or ()


def _row_security(change: Change) -> Iterator[str]:
    if not list(_ddl.row_security(change.wanted.name, change.found, change.expected)):
        yield from _ddl.row_security(change.wanted.name, change.expected, change.found)


def _statistics(change: Change) -> Iterator[str]:
    if change.wanted.kind == "column":
        yield f"{change.column} SET STATISTICS {-1 if change.expected is None else change.expected}"


def _target(change: Change) -> Iterator[str]:
    yield f"ALTER STATISTICS {change.wanted.name} SET STATISTICS {-1 if change.expected is None else change.expected}"


def _version(change: Change) -> Iterator[str]:
    if change.wanted.kind == "extension" and _numbers(change.expected) >= _numbers(change.found):
        yield f"ALTER EXTENSION {change.wanted.name} UPDATE TO {literal(change.expected)}"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in _NUMBERS.findall(version)]


def _owned_by(change: Change) -> Iterator[str]:
    if change.expected is not None and not change.wanted.get("identity") and not change.there.get("identity"):
        yield f"ALTER SEQUENCE {change.wanted.name} OWNED BY {change.expected}"


def _partition_of(change: Change) -> Iterator[str]:
    """Yield what makes a partition's index a part of its parent's; a table's rows would be read for that."""
    if change.wanted.kind == "index" and change.expected is not None and change.found is None:
        yield f"ALTER INDEX {change.expected} ATTACH PARTITION {change.there.name}"


def _valid(change: Change) -> Iterator[str]:
    """Yield what validates; an index of a partitioned table is valid when those of the partitions are."""
    there = change.there
    if change.found is not False:
        return
    if there.kind == "constraint" and there.owner_kind != "domain":
        yield f"ALTER TABLE {there.owner} VALIDATE CONSTRAINT {quote_ident(there.name)}"
    if there.kind == "index" and "partition_by" not in there.whole and (there.get("unique") or not there.behind):
        yield f"REINDEX INDEX CONCURRENTLY {there.name}"


_CHANGES: Mapping[str, Callable[[Change], Iterator[str]]] = {
    "comment": _comment,
    "default": _default,
    "enabled": _enabled,
    "labels_in_order": _labels,
    "owned_by": _owned_by,
    "partition_of": _partition_of,
    "privileges": _privileges,
    "row_security": _row_security,
    "statistics": _statistics,
    "target": _target,
    "valid": _valid,
    "version": _version,
}
