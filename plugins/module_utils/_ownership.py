# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What objects of all kinds have, as SQL that gives it to them: an owner, a comment, privileges. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import Attributes
from ansible_collections.pgsteward.postgres.plugins.module_utils._privileges import PUBLIC
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import literal

Grants = Mapping[str, Sequence[str]]  # role -> privileges; * after one says that it may be passed on

# What GRANT and ALTER … OWNER TO call a kind; those that are not here are called by their name.
_WORDS = {
    "enum": "TYPE", "composite type": "TYPE", "range type": "TYPE", "base type": "TYPE", "function": "ROUTINE",
    "procedure": "ROUTINE", "aggregate": "ROUTINE",
}  # fmt: skip
_GRANT_WORDS = {**_WORDS, "domain": "TYPE", "view": "TABLE", "materialized view": "TABLE", "foreign table": "TABLE", "column": "TABLE",
    "server": "FOREIGN SERVER"}  # fmt: skip
_PUBLIC_HAS = {
    **dict.fromkeys(("function", "procedure", "aggregate"), ("EXECUTE",)),
    **dict.fromkeys(("enum", "domain", "composite type", "range type", "base type", "language"), ("USAGE",)),
}
_EVERYTHING = ("DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE")  # what ALL is of a table


def owned(kind: str, name: str, attributes: Attributes) -> Iterator[str]:
    """Yield what gives an object to its owner, where that is known."""
    if "owner" in attributes:
        yield f"ALTER {_WORDS.get(kind, kind.upper())} {name} OWNER TO {quote_ident(attributes['owner'])}"


def remarks(kind: str, name: str, attributes: Attributes, table: str = "", of_domain: bool = False) -> Iterator[str]:
    """Yield what comments on an object, or on a part, which is named bare and with its table."""
    if "comment" in attributes:
        yield f"COMMENT ON {_target(kind, name, table, of_domain)} IS {literal(attributes['comment'])}"


def _target(kind: str, name: str, table: str, of_domain: bool) -> str:
    if kind == "column":
        return f"COLUMN {table}.{quote_ident(name)}"
    if table and kind != "index":
        return f"{kind.upper()} {quote_ident(name)} ON {'DOMAIN ' if of_domain else ''}{table}"
    if kind == "cast":
        return f"CAST ({name.replace(' as ', ' AS ')})"
    return f"{_WORDS.get(kind, kind.upper())} {name}"


def grantee(role: str) -> str:
    """Return whom a GRANT or a policy names, from a snapshot's name of a role."""
    return PUBLIC if role == PUBLIC else quote_ident(role)


def lacking(kind: str, owner: str | None, wanted: Grants | None, there: Grants | None) -> dict[str, list[str]]:
    """Return role -> privileges that are wanted and not there; None is what an object has that nobody granted anything on."""
    held = _granted(kind, owner, there)
    found = {}
    for role, privileges in _granted(kind, owner, wanted).items():
        has = {item for privilege in held.get(role, ()) for item in _single(kind, privilege)}
        if "ALL" in has:
            continue
        missing = [
            item
            for privilege in privileges
            for item in _single(kind, privilege)
            if not {item, item.rstrip("*") + "*"} & has
        ]
        if missing:
            found[role] = list(privileges) if not has else missing
    return found


def _granted(kind: str, owner: str | None, held: Grants | None) -> Grants:
    """Return all that roles have; an owner who is not in the list has everything."""
    own = {owner: ["ALL"]} if owner is not None and kind != "column" else {}
    if held is None:
        return {**own, **({PUBLIC: _PUBLIC_HAS[kind]} if kind in _PUBLIC_HAS else {})}
    return {**own, **held}


def _single(kind: str, privilege: str) -> Sequence[str]:
    """Return the privileges that ALL stands for; of other kinds than tables only an owner has ALL."""
    if privilege.rstrip("*") != "ALL" or _GRANT_WORDS.get(kind, kind.upper()) != "TABLE":
        return (privilege,)
    return [word + privilege[3:] for word in _EVERYTHING]


def grants(kind: str, name: str, missing: Grants, column_name: str = "") -> Iterator[str]:
    """Yield what grants the missing privileges; those on a column name its table too."""
    on = f"{_GRANT_WORDS.get(kind, kind.upper())} {name}"
    of = f" ({quote_ident(column_name)})" if column_name else ""
    for role, privileges in missing.items():
        for passed_on in (False, True):
            words = [privilege.rstrip("*") for privilege in privileges if privilege.endswith("*") is passed_on]
            if words:
                listed = ", ".join(f"{word}{of}" for word in words)
                yield f"GRANT {listed} ON {on} TO {grantee(role)}{' WITH GRANT OPTION' * passed_on}"
