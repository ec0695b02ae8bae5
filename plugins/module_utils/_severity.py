# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How grave a difference is, by what it does to those who use the database. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import Located, locate
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

SEVERITIES = ("data_at_risk", "wrong_results", "slower", "cosmetic")  # gravest first
_AT_RISK, _WRONG, _SLOWER, _COSMETIC = SEVERITIES


def _each(severity: str, names: str) -> dict[str, str]:
    return {name.strip(): severity for name in names.split(",")}


# What does not stand in a table is wrong_results.
_MISSING = {
    **_each(
        _AT_RISK, "constraint, trigger, rule, policy, event trigger, publication, default privileges, system privileges"
    ),
    **_each(_SLOWER, "index, statistics"),
}
_EXTRA = {
    **_each(_AT_RISK, "publication, default privileges, system privileges"),
    **_each(_SLOWER, "index"),
    **_each(
        _COSMETIC,
        "table, foreign table, view, materialized view, column, sequence, enum, domain, composite type, range type",
    ),
    **_each(_COSMETIC, "base type, extension, schema, statistics, foreign data wrapper, server"),
}
# Of any kind of object.
_ATTRIBUTES = {
    **_each(_AT_RISK, "owner, privileges, labels, security_definer, leakproof, row_security, replica_identity"),
    **_each(_SLOWER, "options, toast_options, access_method, tablespace, storage, compression, statistics, target"),
    **_each(_SLOWER, "cost, rows, parallel, support, cache, clustered"),
    **_each(_COSMETIC, "comment, column_order, inherited"),
}
# Of one kind, before those of any; the entry * is for all other attributes but those that are cosmetic anywhere.
_OF_KIND: Mapping[str, Mapping[str, str]] = {
    # A constraint that says another thing is as good as the expected one lost.
    "constraint": {**_each(_WRONG, "deferrable, initially_deferred"), "include": _SLOWER, "*": _AT_RISK},
    "index": {"replica_identity": _AT_RISK, "*": _SLOWER},
    "policy": {"*": _AT_RISK},
    "publication": {"*": _AT_RISK},
    "statistics": _each(_SLOWER, "table, columns, kinds"),
    "view": {"options": _AT_RISK},
    "user mapping": {"options": _WRONG},
    "server": {"options": _WRONG},
    "foreign data wrapper": {"options": _WRONG},
}
# What a unique index can differ in and keep out the same rows.
_HARMLESS_TO_UNIQUE = frozenset("comment labels options statistics tablespace clustered orders include".split())
# What a database may have too little of or too much: the values that keep out less than expected put data at risk, the others
# are what stands behind them.
_DIRECTED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "not_null": ((None, False, "not valid", "no inherit"), _WRONG),
    "unique": ((None, False), _WRONG),
    "valid": ((False,), _COSMETIC),
    "enforced": ((False,), _WRONG),
    "enabled": (("disabled", "replica"), _WRONG),
    "disabled_triggers": ((True,), _WRONG),
    "persistence": (("unlogged", "temporary"), _SLOWER),
}


def severity(drift: Drift, expected: Objects, found: Objects) -> str:
    """Return one of SEVERITIES. expected and found are the objects that were compared; expected may lack what a spec asked for."""
    wanted, there = locate(drift.object, expected), locate(drift.object, found)
    if drift.attribute == EXISTENCE:
        return _of_missing(wanted) if drift.expected == PRESENT else _of_extra(there)
    return _of_difference(drift, wanted, there)


def at_least(severity: str, threshold: str) -> bool:
    """Say whether a severity is as grave as the threshold, or graver."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(threshold)


def _of_missing(wanted: Located) -> str:
    if wanted.get("unique"):
        return _AT_RISK
    return _MISSING.get(wanted.kind, _WRONG)


def _of_extra(there: Located) -> str:
    """What refuses rows that the application may write is more than a superfluous thing."""
    if there.get("unique") or (there.kind == "column" and _wants_a_value(there)):
        return _WRONG
    return _EXTRA.get(there.kind, _WRONG)


def _wants_a_value(column: Located) -> bool:
    return bool(column.get("not_null")) and not any(column.get(word) for word in ("default", "generated", "identity"))


def _of_difference(drift: Drift, wanted: Located, there: Located) -> str:
    item, attribute = wanted if wanted.attributes else there, drift.attribute
    usual = _ATTRIBUTES.get(attribute)
    if usual == _COSMETIC:
        return usual
    if item.kind == "index" and item.get("unique") and attribute not in _HARMLESS_TO_UNIQUE:
        return _AT_RISK
    if attribute in _DIRECTED and not (item.kind == "index" and attribute == "valid"):
        weak, otherwise = _DIRECTED[attribute]
        return _AT_RISK if drift.found in weak else otherwise
    of_kind = _OF_KIND.get(item.kind, {})
    return of_kind.get(attribute) or of_kind.get("*") or usual or _WRONG
