# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Privileges as people name them, from the lists that the catalog keeps. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

PUBLIC = "PUBLIC"

# acl.h, ACL_*_CHR
_WORDS = {
    "a": "INSERT",
    "r": "SELECT",
    "w": "UPDATE",
    "d": "DELETE",
    "D": "TRUNCATE",
    "x": "REFERENCES",
    "t": "TRIGGER",
    "m": "MAINTAIN",
    "X": "EXECUTE",
    "U": "USAGE",
    "C": "CREATE",
    "T": "TEMPORARY",
    "c": "CONNECT",
    "s": "SET",
    "A": "ALTER SYSTEM",
}
# All that there is to have, by kind of object. MAINTAIN came with PostgreSQL 17: who had everything before has everything still.
_EVERYTHING = {
    "table": frozenset("arwdDxt"),
    "sequence": frozenset("rwU"),
    "schema": frozenset("UC"),
    "database": frozenset("CTc"),
    "function": frozenset("X"),
    "type": frozenset("U"),
    "language": frozenset("U"),
    "foreign data wrapper": frozenset("U"),
    "server": frozenset("U"),
    "column": frozenset("arwx"),
}
# What everybody has without a list (acldefault() in acl.c).
_PUBLIC_DEFAULT = {
    "database": frozenset("Tc"),
    "function": frozenset("X"),
    "type": frozenset("U"),
    "language": frozenset("U"),
}

_ITEM = re.compile(r'("(?:[^"]|"")*"|[^="]*)=([a-zA-Z*]*)/')


def privileges(acl: Sequence[str] | None, owner: str, kind: str) -> Mapping[str, list[str]] | None:
    """Return grantee -> sorted privileges, the owner's left out where the owner has all; None where nothing was ever changed.

    acl: the items of an aclitem[] as text. A privilege that may be passed on ends in *; ALL is every privilege of the kind.
    An empty answer says that nobody but the owner has any.
    """
    return None if acl is None else _privileges(tuple(acl), owner, kind)


@lru_cache(maxsize=4096)
def _privileges(acl: tuple[str, ...], owner: str, kind: str) -> Mapping[str, list[str]] | None:
    held = _held(acl)
    if _is_default(held, owner, kind):
        return None
    named = {grantee: _named(letters, kind) for grantee, letters in sorted(held.items()) if letters}
    if kind != "column":
        # An owner may have given up something; then it is told.
        named.setdefault(owner, [])
        if not _EVERYTHING[kind] - {letter[0] for letter in held.get(owner, ())}:
            del named[owner]
    return named


def granted(acl: Sequence[str], kind: str) -> Mapping[str, list[str]]:
    """Return grantee -> sorted privileges of a list that stands by itself, such as one of default privileges."""
    return {grantee: _named(letters, kind) for grantee, letters in sorted(_held(tuple(acl)).items()) if letters}


def _held(acl: tuple[str, ...]) -> dict[str, set[str]]:
    """Return grantee -> letters, each with * where it may be passed on; whoever granted it."""
    held: dict[str, set[str]] = {}
    for item in acl:
        match = _ITEM.match(item)
        if match:
            grantee = match[1][1:-1].replace('""', '"') if match[1].startswith('"') else match[1] or PUBLIC
            held.setdefault(grantee, set()).update(re.findall(r"[a-zA-Z]\*?", match[2]))
    for letters in held.values():
        letters -= {letter[0] for letter in letters if letter.endswith("*")}
    return held


def _is_default(held: Mapping[str, set[str]], owner: str, kind: str) -> bool:
    if kind == "column":
        return not any(held.values())
    public = _PUBLIC_DEFAULT.get(kind, frozenset())
    others = {grantee for grantee, letters in held.items() if letters} - {owner, PUBLIC}
    own = held.get(owner, set())
    return not others and held.get(PUBLIC, set()) == public and not _EVERYTHING[kind] - {letter[0] for letter in own}


def _named(letters: set[str], kind: str) -> list[str]:
    if kind == "table":
        for star in ("", "*"):
            everything = {letter + star for letter in _EVERYTHING[kind]}
            if everything <= letters <= everything | {"m" + star}:
                return ["ALL" + star]
    return sorted(_WORDS[letter[0]] + letter[1:] for letter in letters)
