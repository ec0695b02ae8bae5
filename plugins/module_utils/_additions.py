# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What adds a missing column, constraint, index, … to a table that is there and in use. Pure.

Nothing here drops, rewrites, or keeps a table locked while it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.pgsteward.postgres.plugins.module_utils import _ddl, _ownership
from ansible_collections.pgsteward.postgres.plugins.module_utils._creation import Script
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident, split
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import KEYS, Attributes, Located, index_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects, schema_of

_QUOTED = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|(?P<name>\")(?:[^\"]|\"\")*\"", re.DOTALL)
_CALL = re.compile(r"(::)?([\w.]+)\s*\(")
# Of the functions it is known that one answer serves a whole statement; the others are names of types, whose modifiers look like a call.
_STEADY = frozenset(
    "now transaction_timestamp statement_timestamp current_timestamp current_time localtimestamp localtime coalesce nullif greatest"
    " least varying character numeric bit timestamp time interval".split()
)
_PARTITIONS = "it becomes valid when each partition has its own"


@dataclass(frozen=True)
class Part:
    """A missing part: where it belongs and what it is to be like, its table as found, and everything that was found."""

    wanted: Located
    held: Attributes
    table: Attributes
    found: Objects


def missing_part(wanted: Located, table: Attributes | None, found: Objects) -> Script | None:
    """Return what adds a part to a table, which is given as found; None when that is left to a revision."""
    if wanted.attributes is None or table is None:
        return None
    # Indexes of partitions are made one by one, so that each can be built beside the writers.
    if wanted.get("inherited") and "index" not in wanted.attributes:
        return _inherited(wanted, found)
    return _PARTS[wanted.kind](Part(wanted, wanted.attributes, table, found))


def is_steady(expression: str) -> bool:
    """Say whether an expression, as the server prints it, surely has one value for all rows of a statement."""
    bare = _QUOTED.sub(lambda match: "quoted" if match["name"] else "''", expression)
    return all(is_type or name.lower() in _STEADY for is_type, name in _CALL.findall(bare))


def _inherited(wanted: Located, found: Objects) -> Script | None:
    """What a parent lacks as well comes to its children with the parent's."""
    parents = [wanted.whole["partition_of"]] if "partition_of" in wanted.whole else wanted.whole.get("inherits", [])
    tables = found.get("table", {})
    if any(wanted.name in tables.get(parent, {}).get(KEYS[wanted.kind], {}) for parent in parents):
        return None
    return Script((), (f"it comes along with that of {', '.join(parents)}",))


def _column(part: Part) -> Script | None:
    wanted, held, table = part.wanted, part.held, part.table
    filled = (
        "identity" in held or ("generated" in held and not held.get("virtual")) or _refuses(held["type"], part.found)
    )
    if wanted.owner_kind != "table" or "of_type" in table or filled:
        return None
    column, default, plain = quote_ident(wanted.name), held.get("default"), dict(held)
    after, notes = [], []
    if default is not None and not is_steady(default):
        # Given with the column, it would be worked out for every row.
        del plain["default"]
        after.append(f"ALTER TABLE {wanted.owner} ALTER COLUMN {column} SET DEFAULT {default}")
        notes.append(f"the rows that are there have no {column} yet: fill it by a revision")
    if held.get("not_null") and "default" not in plain:
        del plain["not_null"]
        notes.append(f"{column} is to be NOT NULL: fill it and set that by a revision")
    add = f"ALTER TABLE {wanted.owner} ADD COLUMN {_ddl.column(wanted.name, plain)}"
    return Script((add, *after, *_ddl.column_details(wanted.owner, wanted.name, held)), tuple(notes))


def _refuses(type_: str, found: Objects) -> bool:
    """Say whether a type is a domain that may refuse NULL: a column of it is filled when it is added."""
    domain = found.get("domain", {}).get(type_.removesuffix("[]"), {})
    return bool(domain.get("not_null") or domain.get("constraints"))


def _constraint(part: Part) -> Script | None:
    wanted, held, table = part.wanted, part.held, part.table
    if wanted.owner_kind == "domain":
        return _domain_constraint(wanted, held)
    by_index = held["type"] == "exclude" or held.get("without_overlaps")
    if wanted.owner_kind != "table" or by_index or (held["type"] == "foreign key" and "partition_by" in table):
        return None
    if held["type"] in ("primary key", "unique"):
        return _key(wanted, held, table)
    add = f"ALTER TABLE {wanted.owner} ADD {_ddl.constraint(wanted.name, held)}"
    details = _ddl.constraint_details(wanted.name, held, wanted.owner)
    if held.get("enforced") is False:
        return Script((add, *details))
    validate = f"ALTER TABLE {wanted.owner} VALIDATE CONSTRAINT {quote_ident(wanted.name)}"
    return Script((f"{add} NOT VALID", *[validate] * (held.get("valid") is not False), *details))


def _domain_constraint(wanted: Located, held: Attributes) -> Script:
    note = f"{quote_ident(wanted.name)} is checked from now on; validating it by a revision blocks writes to the tables that use it"
    statements = (
        f"ALTER DOMAIN {wanted.owner} ADD {_ddl.constraint(wanted.name, held)} NOT VALID",
        *_ownership.remarks("constraint", wanted.name, held, wanted.owner, of_domain=True),
    )
    return Script(statements, () if held.get("valid") is False else (note,))


def _key(wanted: Located, held: Attributes, table: Attributes) -> Script | None:
    """A key is made of an index that was built beside the writers. What is not yet NOT NULL would be read under a lock."""
    columns, name, index = table.get("columns", {}), quote_ident(wanted.name), index_of(held)
    if held["type"] == "primary key" and not all(columns.get(column, {}).get("not_null") for column in held["columns"]):
        return None
    details = _ddl.constraint_details(wanted.name, held, wanted.owner)
    if "partition_by" in table:
        add = f"ALTER TABLE ONLY {wanted.owner} ADD {_ddl.constraint(wanted.name, held)}"
        return Script((add, *details, *_attached(wanted, index)), (_PARTITIONS,))
    create = _ddl.index(wanted.name, index, wanted.owner, columns, "CONCURRENTLY")
    built = table.get("indexes", {}).get(wanted.name)
    if create is None or built not in (None, index):
        return None
    add = (
        f"ALTER TABLE {wanted.owner} ADD CONSTRAINT {name} {held['type'].upper()} USING INDEX {name}{_ddl.timing(held)}"
    )
    return Script((*[create] * (built is None), add, *details, *_attached(wanted, index)))


def _index(part: Part) -> Script | None:
    wanted, held, table = part.wanted, part.held, part.table
    partitioned, bare = "partition_by" in table, split(wanted.name)[-1]
    how = "" if partitioned else "CONCURRENTLY"
    create = _ddl.index(bare, held, wanted.owner, table.get("columns", {}), how, partitioned)
    if create is None or wanted.behind:
        return None
    details = _ddl.index_details(bare, held, wanted.owner)
    return Script((create, *details, *_attached(wanted, held)), (_PARTITIONS,) if partitioned else ())


def _attached(wanted: Located, index: Attributes) -> Iterator[str]:
    """Yield what makes the index of a partition a part of its parent's."""
    if index.get("partition_of"):
        name = wanted.name if wanted.kind == "index" else f"{schema_of(wanted.owner)}.{quote_ident(wanted.name)}"
        yield f"ALTER INDEX {index['partition_of']} ATTACH PARTITION {name}"


def _defined(part: Part) -> Script:
    return Script(tuple(_ddl.defined(part.wanted.kind, part.wanted.name, part.held, part.wanted.owner)))


def _policy(part: Part) -> Script:
    return Script(tuple(_ddl.policy(part.wanted.name, part.held, part.wanted.owner)))


_PARTS: Mapping[str, Callable[[Part], Script | None]] = {
    "column": _column,
    "constraint": _constraint,
    "index": _index,
    "policy": _policy,
    "rule": _defined,
    "trigger": _defined,
}
