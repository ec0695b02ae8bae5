# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mends a difference: SQL where that only adds or validates, words where it takes a decision or a revision. Pure.

It is shown to the operator and never run from here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _ddl
from ansible_collections.pgsteward.postgres.plugins.module_utils._additions import missing_part
from ansible_collections.pgsteward.postgres.plugins.module_utils._creation import Script, missing_object, revocations
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import KEYS, OWNERS, Located, locate
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import literal
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

SHOWN = 120  # characters of a value in words
_NUMBERS = re.compile(r"\d+")
_TEXT_TYPE = re.compile(r"character varying(?:\((?P<length>\d+)\))?|text")
_UNGRANTABLE = ("database", "default privileges", "system privileges")


def remedy(drift: Drift, expected: Objects, found: Objects) -> str:
    """Return what to do about a difference: statements that end with a semicolon each, or words.

    expected and found are the objects that were compared. Remarks behind statements are SQL comments.
    """
    script = _script(drift, expected, found)
    if script is None:
        return _line(_words(drift, expected, found))
    notes = [_line(note) for note in script.notes]
    if not script.statements:
        return f"{_line(drift.object)} is missing: {'; '.join(notes)}"
    return "\n".join([*(f"{text};" for text in script.statements), *(f"-- {note}" for note in notes)])


def statements(drift: Drift, expected: Objects, found: Objects) -> tuple[str, ...] | None:
    """Return the SQL that mends a difference, one statement an item, without semicolons; None where only words help.

    Nothing in it drops, rewrites, or locks a table while it is read. It is empty where the remedy of another difference, such
    as that of a partitioned table, mends this one too. CONCURRENTLY wants to be outside of a transaction.
    """
    script = _script(drift, expected, found)
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


def _script(drift: Drift, expected: Objects, found: Objects) -> Script | None:
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
        yield from _ddl.remarks(wanted.kind, wanted.name, held, wanted.owner, wanted.owner_kind == "domain")


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
    missing = _ddl.lacking(wanted.kind, change.there.get("owner"), change.expected, change.found)
    table, column = (wanted.owner, wanted.name) if wanted.kind == "column" else (wanted.name, "")
    yield from _ddl.grants(wanted.kind, table, missing, column)


def _superfluous(change: Change) -> Iterator[str]:
    wanted = change.wanted
    name = f"{wanted.owner}.{quote_ident(wanted.name)}" if wanted.kind == "column" else wanted.name
    held = _ddl.lacking(wanted.kind, change.there.get("owner"), change.found, change.expected)
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


# Words

_ALONE = "write a revision that changes {attribute} of {object} from {found} to {expected}"
_REBUILT = "{object} has {attribute} {found}, expected {expected}: write a revision that builds the expected index concurrently under another"
_REBUILT += " name, drops this one and renames the new one"
_REPLACED = "write a revision that drops {object} and adds it as expected: {attribute} is {found}, expected {expected}"
_REDEFINED = "{attribute} of {object} is not the expected one: write a revision that replaces it"

# By kind and attribute; * is any. {object}, {attribute}, {expected} and {found} are filled in, {name} and {owner} too.
_SENTENCES: Mapping[tuple[str, str], str] = {
    (
        "column",
        "not_null",
    ): "write a revision that adds CHECK ({name} IS NOT NULL) NOT VALID to {owner}, validates it, sets NOT NULL and drops the check",
    ("domain", "not_null"): "write a revision that sets NOT NULL of {object}: tables that use it are read under a lock",
    ("column", "generated"): _ALONE + ": it rewrites the table",
    ("column", "collation"): _ALONE + ": it builds the column's indexes anew",
    ("column", "identity"): _ALONE + ", and sets the sequence past the greatest value with setval()",
    ("column", "storage"): _ALONE + ": it holds for rows written from then on",
    ("column", "compression"): _ALONE + ": it holds for rows written from then on",
    (
        "*",
        "column_order",
    ): "the columns of {object} stand in another order than expected: who names columns does not mind, and only making the"
    " table anew would change it; if it is to stay, take a new snapshot",
    (
        "*",
        "owner",
    ): "{object} belongs to {found}, expected {expected}: write a revision that gives it to {expected} (OWNER TO)",
    (
        "*",
        "privileges",
    ): "privileges on {object} are {found}, expected {expected}: take the superfluous ones away by a revision (REVOKE)",
    (
        "*",
        "comment",
    ): "{object} has the comment {found}, expected {expected}: change it by a revision, or take a new snapshot",
    ("*", "persistence"): _ALONE + ": it writes the whole table anew",
    ("*", "tablespace"): _ALONE + ": it moves the files under a lock",
    ("*", "access_method"): _ALONE + ": it rewrites the table",
    (
        "*",
        "labels_in_order",
    ): "{object} has the labels {found}, expected {expected}: labels can be added but not moved or removed, so write a revision"
    " that makes a new type and turns the columns over to it",
    (
        "*",
        "row_security",
    ): "row security of {object} is {found}, expected {expected}: write a revision that switches it",
    ("*", "enabled"): "{object} is {found}, expected {expected}: write a revision that switches it",
    (
        "constraint",
        "disabled_triggers",
    ): "the triggers that keep {object} are switched off, so rows may have come in unchecked: count them with"
    " foreign_key_orphans, then ALTER TABLE {owner} ENABLE TRIGGER ALL as a superuser, on the table that it refers to as well",
    ("constraint", "valid"): "{object} is {found}, expected {expected}: if that is right, take a new snapshot",
    (
        "index",
        "valid",
    ): "{object} is not valid: on a partitioned table attach a valid index of each partition; elsewhere build it anew by a revision",
    ("table", "partition_of"): _ALONE + ": attaching it reads its rows unless a valid check says the same as the bound",
    ("constraint", "*"): _REPLACED,
    ("policy", "*"): "write a revision that alters {object}: {attribute} is {found}, expected {expected}",
    ("index", "*"): _REBUILT,
    (
        "extension",
        "version",
    ): "{object} has version {found}, expected {expected}: install the expected version on the host and update the extension;"
    " if the newer one is wanted, take a new snapshot",
    ("*", "definition"): _REDEFINED,
    ("*", "body"): _REDEFINED,
    (
        "database",
        "*",
    ): "{attribute} of the database is {found}, expected {expected}: it is set with the database, by ALTER DATABASE or when it is made",
    ("sequence", "*"): _ALONE + " (ALTER SEQUENCE)",
}

_GONE = "{object} is missing: write a revision that creates it"
_GONE_BECAUSE: Mapping[str, str] = {
    "column": ": it has to be filled, or the type or parent of its table has to change",
    "constraint": ": it cannot be added without keeping the table locked while it is read",
    "database": "",
    "extension": "",
    "function": ", as the migration that made it elsewhere does",
    "procedure": ", as the migration that made it elsewhere does",
    "aggregate": ", as the migration that made it elsewhere does",
}
_EXTRA = "{object} is not expected: if nobody needs it, drop it by a revision; if it is wanted, take a new snapshot"


def _words(drift: Drift, expected: Objects, found: Objects) -> str:
    """Return in words what is, what should be, and where the change belongs."""
    wanted, there = locate(drift.object, expected), locate(drift.object, found)
    item = there if there.attributes is not None else wanted
    if drift.attribute == EXISTENCE:
        return _words_of_existence(drift, item, found)
    values = {"object": drift.object, "attribute": drift.attribute, "name": quote_ident(item.name), "owner": item.owner}
    values |= {"expected": _shown(drift.expected), "found": _shown(drift.found)}
    return _sentence(drift, item).format(**values)


def _words_of_existence(drift: Drift, item: Located, found: Objects) -> str:
    if drift.expected != PRESENT:
        return _EXTRA.format(object=drift.object)
    in_place = next((kind for kind in OWNERS if item.name in found.get(kind, {})), None)
    if item.kind in OWNERS and in_place:
        return f"{drift.object} is missing, and there is a {in_place} of that name: write a revision that puts the one in the other's place"
    return _GONE.format(object=drift.object) + _GONE_BECAUSE.get(item.kind, "")


def _sentence(drift: Drift, item: Located) -> str:
    if drift.attribute == "type" and item.kind == "column":
        return (
            f"{_ALONE}: {'it takes a short lock' if _widens(drift.found, drift.expected) else 'it rewrites the table'}"
        )
    if drift.expected is None and drift.attribute in ("default", "not_null"):
        return "write a revision that drops {attribute} of {object}, which is {found}: none is expected"
    places = ((item.kind, drift.attribute), ("*", drift.attribute), (item.kind, "*"))
    return next((_SENTENCES[place] for place in places if place in _SENTENCES), _ALONE)


def _widens(found: str, wanted: str) -> bool:
    """Say whether every value of a text type stays as it is in another."""
    old, new = _TEXT_TYPE.fullmatch(found), _TEXT_TYPE.fullmatch(wanted)
    if not old or not new:
        return False
    return new["length"] is None or (old["length"] is not None and int(old["length"]) <= int(new["length"]))


def _shown(value: Any) -> str:
    if value is None:
        return "the default"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
