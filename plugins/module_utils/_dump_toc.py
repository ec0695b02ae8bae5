# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which entries of an archive belong to a table or a schema. Pure.

pg_restore's own --table leaves out indexes, keys, triggers and privileges, so the entries are chosen here: by the list of an archive
(pg_restore --list) and by the comments of its script (--verbose), which say which entry depends on which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_plan import described
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

# Entries named "<table> <itself>", which belong to that table only.
_OF_TABLE = frozenset({"CHECK CONSTRAINT", "CONSTRAINT", "DEFAULT", "FK CONSTRAINT", "POLICY", "RULE", "TRIGGER"})
# Entries that go with whatever they depend on.
_ATTACHED = frozenset(
    {"ACL", "COMMENT", "INDEX", "ROW SECURITY", "SECURITY LABEL", "SEQUENCE OWNED BY", "STATISTICS", "STATISTICS DATA"}
    | {"TABLE DATA", "SEQUENCE SET", "MATERIALIZED VIEW DATA"}
)
# Entries that join two others, and want both.
_JOINING = frozenset({"INDEX ATTACH", "TABLE ATTACH"})
_ELSEWHERE = frozenset({"PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA"})
_TABLES = frozenset({"FOREIGN TABLE", "TABLE"})
_DATA = {"TABLE DATA": _TABLES, "SEQUENCE SET": {"SEQUENCE"}, "MATERIALIZED VIEW DATA": {"MATERIALIZED VIEW"}}

_LINE = re.compile(r"(?P<id>[0-9]+); [0-9]+ [0-9]+ (?P<rest>.+)")
_HEAD = re.compile(
    r"^-- TOC entry (?P<id>[0-9]+) \(class [0-9]+ OID [0-9]+\)\n(?:-- Dependencies:(?P<deps>[ 0-9]*)\n)?"
    r"-- Name: (?P<name>.*); Type: (?P<kind>[A-Z ]+); Schema: (?P<schema>.*); Owner: (?P<owner>.*?)(?:; Tablespace: .*)?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Entry:
    """An entry of an archive. line: as the list has it."""

    line: str
    kind: str
    schema: str
    name: str
    needs: frozenset[int]

    def __str__(self) -> str:
        return f"{self.kind.lower()} {self.schema}.{self.name}"


Toc = Mapping[int, Entry]


@dataclass(frozen=True)
class Selection:
    """The lines of a list with what was chosen, in the archive's order, and what belongs to it but could not come along."""

    lines: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def text(self) -> str:
        """The list, for --use-list."""
        return "\n".join(self.lines) + "\n"


def parse(listing: str, script: str) -> dict[int, Entry]:
    """Return the entries of an archive in their order."""
    heads = {int(match["id"]): match for match in _HEAD.finditer(script)}
    owners = {
        (kind, f"{match['schema']} {match['name']} {match['owner']}"): number
        for number, match in heads.items()
        for kind in [match["kind"]]
    }
    found: dict[int, Entry] = {}
    for line in listing.splitlines():
        parts = _LINE.match(line)
        if not parts:
            continue
        number, head = int(parts["id"]), heads.get(int(parts["id"]))
        if head:
            needs = frozenset(map(int, (head["deps"] or "").split()))
            found[number] = Entry(line, head["kind"], head["schema"], head["name"], needs)
            continue
        # The script has definitions only; what comes with data is known by its name.
        kind = next((kind for kind in _DATA if parts["rest"].startswith(f"{kind} ")), "")
        whose = parts["rest"].removeprefix(f"{kind} ")
        owner = next((owners[of, whose] for of in sorted(_DATA.get(kind, ())) if (of, whose) in owners), None)
        if owner is None:
            found[number] = Entry(line, kind or "OTHER", "", "", frozenset())
        else:
            found[number] = Entry(line, kind, heads[owner]["schema"], heads[owner]["name"], frozenset({owner}))
    return found


def select(toc: Toc, tables: Iterable[tuple[str, str]], schemas: Iterable[str], closed: bool) -> Selection:
    """Return the entries of some tables, with all that is theirs, and of whole schemas.

    closed: for a database that has nothing yet; then what they need comes along, and keys that lead to tables which do not are left out.
    Raises StewardError for a table or schema that the archive has not.
    """
    chosen = _roots(toc, tuple(tables), tuple(schemas))
    while more := {number for number, entry in toc.items() if number not in chosen and _belongs(toc, chosen, entry)}:
        chosen |= more
    left_out = {number for number in chosen if closed and _dangles(toc, chosen, toc[number])}
    chosen -= left_out
    if closed:
        waiting = list(chosen)
        while waiting:
            needed = {number for number in toc[waiting.pop()].needs if number in toc} - chosen
            chosen |= needed
            waiting += needed
    return Selection(
        lines=tuple(entry.line for number, entry in toc.items() if number in chosen),
        left_out=tuple(str(toc[number]) for number in toc if number in left_out),
    )


def _roots(toc: Toc, tables: tuple[tuple[str, str], ...], schemas: tuple[str, ...]) -> set[int]:
    named = {(entry.schema, entry.name): number for number, entry in toc.items() if entry.kind in _TABLES}
    missing = [table for table in tables if table not in named]
    if missing:
        raise StewardError(f"the dump has no table {described(missing)}")
    inside = {
        schema: {
            number
            for number, entry in toc.items()
            if entry.kind not in _ELSEWHERE
            and (entry.schema == schema or (entry.kind, entry.name) == ("SCHEMA", schema))
        }
        for schema in schemas
    }
    empty = [schema for schema, numbers in inside.items() if not numbers]
    if empty:
        raise StewardError(f"the dump has no schema {', '.join(empty)}")
    return {named[table] for table in tables}.union(*inside.values())


def _belongs(toc: Toc, chosen: set[int], entry: Entry) -> bool:
    """Say whether an entry is part of what is chosen already."""
    held = entry.needs & chosen
    if not held:
        return False
    if entry.kind in _OF_TABLE:
        return any(
            toc[number].kind in (*_TABLES, "VIEW", "MATERIALIZED VIEW")
            and toc[number].schema == entry.schema
            and entry.name.startswith(f"{toc[number].name} ")
            for number in held
        )
    if entry.kind in _JOINING:
        return held == {number for number in entry.needs if number in toc}
    if entry.kind == "SEQUENCE":  # of an identity column; one that a default only uses may be shared
        return any(toc[number].kind == "TABLE" for number in held)
    if entry.kind == "TABLE":  # a partition
        return any(
            (other.kind, other.schema, other.name) == ("TABLE ATTACH", entry.schema, entry.name) and other.needs & held
            for other in toc.values()
        )
    return entry.kind in _ATTACHED


def _dangles(toc: Toc, chosen: set[int], entry: Entry) -> bool:
    """Say whether an entry is a key that leads to a table which does not come along."""
    others = {number for number in entry.needs if number in toc and toc[number].kind in _TABLES}
    return entry.kind == "FK CONSTRAINT" and not others <= chosen
