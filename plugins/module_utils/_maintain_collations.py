# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collations whose order may have changed with the operating system: which indexes rely on them, and building those again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain_indexes as indexes_of
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain_reindex as reindex
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_indexes import Index
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_session import Session
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

SINCE = 150000

_COLLATIONS = """
SELECT 100::int8, '', datname::text, datcollversion, pg_database_collation_actual_version(oid)
FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT c.oid::int8, n.nspname::text, c.collname::text, c.collversion, pg_collation_actual_version(c.oid)
FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace
WHERE c.collprovider <> 'd' AND (c.collversion IS NOT NULL)
  AND c.collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))
"""
_USERS = """
SELECT x.indexrelid::int8, array_agg(DISTINCT u.used)::int8[]
FROM pg_index AS x CROSS JOIN LATERAL unnest(string_to_array(x.indcollation::text, ' ')::int8[]) AS u (used)
WHERE u.used = ANY (%(collations)s::int8[]) GROUP BY 1
"""
_OTHERS = """
SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_partitioned_table AS p ON p.partrelid = c.oid
WHERE string_to_array(p.partcollation::text, ' ')::int8[] && %(collations)s::int8[] ORDER BY 1
"""


@dataclass(frozen=True)
class Collation:
    """A collation; schema is empty for the one of the database itself, whose oid is 100."""

    oid: int
    schema: str
    name: str
    version: str | None
    actual: str | None

    def __str__(self) -> str:
        return qualified(self.schema, self.name) if self.schema else f"database {self.name}"

    @property
    def statement(self) -> str:
        """The statement that takes note of the version that there is."""
        if not self.schema:
            return f"ALTER DATABASE {identifier(self.name)} REFRESH COLLATION VERSION"
        return f"ALTER COLLATION {identifier(self.schema)}.{identifier(self.name)} REFRESH VERSION"


def changed(collations: Sequence[Collation]) -> list[Collation]:
    """Return the collations that the database has of another version than the system."""
    return [one for one in collations if one.version and one.actual and one.version != one.actual]


def settled(
    old: Sequence[Collation], users: Mapping[int, Collection[int]], failed: Collection[int]
) -> tuple[list[Collation], list[Collation]]:
    """Return the collations whose indexes are all built again, and those of which one could not be. failed: oids of indexes."""
    bad = {collation for index, collations in users.items() if index in failed for collation in collations}
    return [one for one in old if one.oid not in bad], [one for one in old if one.oid in bad]


def run(
    held: Session, repair: bool, thresholds: Mapping[str, float], check: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """Tell which versions differ; with repair build the indexes again and take note. Return the result of the module."""
    if held.version < SINCE:
        raise StewardError(f"{held.database}: only PostgreSQL 15 and later note the version of a database's collation")
    old = changed([Collation(*row) for row in held.rows(_COLLATIONS)])
    oids = [one.oid for one in old]
    users = {index: set(collations) for index, collations in held.rows(_USERS, {"collations": oids})}
    affected = [index for index in indexes_of.read(held) if index.oid in users]
    findings = [
        f"{one} is of version {one.version}, and the system has {one.actual}: {_count(one, users, affected)} may be in the wrong order"
        for one in old
    ]
    findings += [
        f"{table} is partitioned by such a text: look whether its rows are in their partitions"
        for (table,) in (held.rows(_OTHERS, {"collations": oids}) if oids else [])
    ]
    result: dict[str, Any] = {
        "changed": False,
        "collations": [{"collation": str(one), "version": one.version, "actual": one.actual} for one in old],
        "indexes": [{"index": str(index), "table": index.of, "bytes": index.size} for index in affected],
        "findings": findings,
        "summary": f"{len(old)} collations of another version, {len(affected)} indexes",
    }
    if not repair or not old:
        return result
    steps = [reindex.Step(index, reindex.BUILD, "the order of its texts may have changed") for index in affected]
    built = reindex.apply(held, steps, thresholds, check, say)
    failed = {index.oid for index, entry in zip(affected, built["indexes"], strict=True) if "error" in entry}
    good, bad = settled(old, users, failed)
    if not check:
        held.limit("5s", "60s")
        for one in good:
            held.rows(one.statement)
    return {
        **result,
        "changed": bool(good) or built["changed"],
        "indexes": built["indexes"],
        "refreshed": [str(one) for one in good],
        "findings": [
            *built["findings"],
            *(f"{one} keeps its version: an index of it could not be built again" for one in bad),
        ],
    }


def _count(one: Collation, users: Mapping[int, Collection[int]], affected: Sequence[Index]) -> str:
    count = sum(one.oid in users[index.oid] for index in affected)
    return f"{count} index{'' if count == 1 else 'es'}"
