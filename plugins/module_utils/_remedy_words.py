# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do about a difference that SQL alone does not mend safely, in words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import OWNERS, Located, locate
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

SHOWN = 120  # characters of a value
_TEXT_TYPE = re.compile(r"character varying(?:\((?P<length>\d+)\))?|text")

_EXTRA = "{object} is not expected: if nobody needs it, drop it by a revision; if it is wanted, take a new snapshot"
_UNWANTED = "{object} is not wanted: write a revision that drops it"  # says a spec
_GONE = "{object} is missing: write a revision that creates it"
_REASONS: Mapping[str, str] = {
    "column": ": it has to be filled, or the type of its table has to change",
    "constraint": ": it cannot be added without keeping the table locked while it is read",
    **dict.fromkeys(("function", "procedure", "aggregate"), ", as the migration that made it elsewhere does"),
}

_CHANGE = "write a revision that changes {attribute} of {object} from {found} to {expected}"
_IS = "{object} has {attribute} {found}, expected {expected}: "
_REPLACE = "{attribute} of {object} is not the expected one: write a revision that replaces it"
_SUPERFLUOUS = (
    "{object} has {attribute} {found}, none is expected: write a revision that drops it, or take a new snapshot"
)
_STRICTER = "{object} is valid, which is more than expected: take a new snapshot"
_REWRITES = _CHANGE + ": it rewrites the table"
_LATER = _CHANGE + ": it holds for rows written from then on"

# By kind and attribute; * is any.
_SENTENCES: Mapping[str, str] = {
    "column not_null": "{object} takes NULL: write a revision that adds CHECK ({name} IS NOT NULL) NOT VALID to {owner}, validates it,"
    " sets NOT NULL and drops the check",
    "domain not_null": "write a revision that sets NOT NULL of {object}: the tables that use it are read under a lock",
    "column generated": _REWRITES,
    "* access_method": _REWRITES,
    "* persistence": _REWRITES,
    "column collation": _CHANGE + ": it builds the indexes of the column anew",
    "column identity": _CHANGE + ", and sets the sequence past the greatest value with setval()",
    "column storage": _LATER,
    "column compression": _LATER,
    "* column_order": "the columns of {object} stand in another order than expected: who names columns does not mind, and only making"
    " the table anew would change it; if it is to stay, take a new snapshot",
    "* owner": "{object} belongs to {found}, expected {expected}: write a revision that gives it to {expected} (OWNER TO)",
    "* privileges": _IS + "take the superfluous ones away by a revision (REVOKE)",
    "* comment": _IS + "change it by a revision, or take a new snapshot",
    "* tablespace": _CHANGE + ": it moves the files under a lock",
    "* labels_in_order": "{object} has the labels {found}, expected {expected}: labels can be added, not moved or removed, so write a revision"
    " that makes a new type and turns the columns over to it",
    "* enabled": "{object} is {found}, expected {expected}: write a revision that switches it",
    "constraint disabled_triggers": "the triggers that keep {object} are switched off, so rows may have come in unchecked: count them with"
    " foreign_key_orphans, then, as a superuser, ALTER TABLE {owner} ENABLE TRIGGER ALL, and the same for the table that it refers to",
    "constraint valid": "{object} is not valid: validate it by a revision; that blocks writes to the tables that use the domain",
    "index valid": "{object} is not valid: of a partitioned table, attach a valid index of each partition; else write a revision that builds it anew",
    "table partition_of": _CHANGE + ": the rows are read for it, unless a valid check says the same as the bound",
    "constraint *": _IS + "write a revision that drops it and adds the expected one",
    "index *": _IS
    + "write a revision that builds the expected index concurrently under another name, drops this one and renames the new one",
    "policy *": _IS + "write a revision that alters the policy",
    "extension version": _IS
    + "install the expected version on the host and update the extension; if this one is wanted, take a new snapshot",
    "* definition": _REPLACE,
    "* body": _REPLACE,
    "database *": "{attribute} of the database is {found}, expected {expected}: use ALTER DATABASE, or make the database anew where that cannot",
    "sequence *": _CHANGE + " (ALTER SEQUENCE)",
}
# What a snapshot leaves out.
_DEFAULTS = {"enabled": "enabled", "row_security": "off", "persistence": "permanent"}
_NONE = frozenset("comment default generated identity predicate partition_of bound inherits".split())


def words(drift: Drift, expected: Objects, found: Objects) -> str:
    """Return what is, what should be, and where the change belongs. expected may lack what a spec asked for."""
    wanted, there = locate(drift.object, expected), locate(drift.object, found)
    if drift.attribute == EXISTENCE and drift.expected != PRESENT:
        return (_EXTRA if expected else _UNWANTED).format(object=drift.object)
    if drift.attribute == EXISTENCE:
        return _GONE.format(object=drift.object) + _because(wanted, found)
    item = there if there.attributes is not None else wanted
    return _sentence(drift, item).format(
        object=drift.object,
        attribute=drift.attribute.replace("_", " "),
        name=quote_ident(item.name),
        owner=item.owner,
        expected=_shown(drift.attribute, drift.expected),
        found=_shown(drift.attribute, drift.found),
    )


def _because(wanted: Located, found: Objects) -> str:
    """Return why no SQL is proposed; what a spec asks for is not known well enough for reasons."""
    in_place = next((kind for kind in OWNERS if wanted.name in found.get(kind, {})), None)
    if wanted.kind in OWNERS and in_place:
        return f" in place of the {in_place} of that name"
    return _REASONS.get(wanted.kind, "") if wanted.attributes is not None else ""


def _sentence(drift: Drift, item: Located) -> str:
    if drift.attribute == "type" and item.kind == "column":
        return f"{_CHANGE}: it takes a short lock" if _widens(drift.found, drift.expected) else _REWRITES
    if drift.attribute == "valid" and drift.found is not False:
        return _STRICTER
    if not drift.expected and drift.attribute in ("comment", "default", "not_null"):
        return _SUPERFLUOUS
    if (drift.attribute == "not_null" and drift.found) or (drift.attribute == "disabled_triggers" and not drift.found):
        return _CHANGE
    places = (f"{item.kind} {drift.attribute}", f"* {drift.attribute}", f"{item.kind} *")
    return next((_SENTENCES[place] for place in places if place in _SENTENCES), _CHANGE)


def _widens(found: str, wanted: str) -> bool:
    """Say whether every value of a text type stays as it is in another."""
    old, new = _TEXT_TYPE.fullmatch(found), _TEXT_TYPE.fullmatch(wanted)
    if not old or not new:
        return False
    return new["length"] is None or (old["length"] is not None and int(old["length"]) <= int(new["length"]))


def _shown(attribute: str, value: Any) -> str:
    if value is None:
        return "none" if attribute in _NONE else _DEFAULTS.get(attribute, "the default")
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
