"""The extension vector in all databases of a server: which versions they have, and bringing them to the installed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgvector
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect, has_driver

if TYPE_CHECKING:
    import psycopg

_DATABASES = """
SELECT coalesce((SELECT default_version FROM pg_available_extensions WHERE name = 'vector'), ''), pg_is_in_recovery(),
       ARRAY(SELECT datname::text FROM pg_database WHERE datallowconn ORDER BY datname)
"""
# The access method belongs to the extension, so this finds the indexes in every schema.
_INSIDE = """
SELECT x.extversion,
       ARRAY(SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c
             JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'i' AND a.amname = 'hnsw' ORDER BY 1)
FROM pg_extension x WHERE x.extname = 'vector'
"""


@dataclass(frozen=True)
class Found:
    """The extension in one database: its version, and the HNSW indexes there."""

    database: str
    version: str
    hnsw: tuple[str, ...]


def apply(place: Place, allowed: bool, dry_run: bool) -> dict[str, Any]:
    """Update the extension where it is older than what is installed, if that is allowed; return the module's result."""
    if dry_run and not has_driver():
        return result("", [], [])
    with connect(place, "pgsteward pgvector_update") as connection:
        [(installed, standby, databases)] = connection.execute(_DATABASES).fetchall()
    found, updated = [], []
    for database in databases if installed else []:
        with connect(Place(database, place.host, place.port, place.user), "pgsteward pgvector_update") as connection:
            there = inside(connection, database)
            if there is None:
                continue
            found.append(there)
            if allowed and not standby and _pgvector.number(there.version) < _pgvector.number(installed):
                updated.append(there)
                if not dry_run:
                    connection.execute("ALTER EXTENSION vector UPDATE")
    return result(installed, found, updated)


def inside(connection: psycopg.Connection[Any], database: str) -> Found | None:
    """Return what a database has of the extension, None when it does not have it."""
    row = connection.execute(_INSIDE).fetchone()
    return Found(database, row[0], tuple(row[1])) if row else None


def result(installed: str, found: list[Found], updated: list[Found]) -> dict[str, Any]:
    """Return the module's result: what is there, what was updated, and what the operator must do. Pure."""
    reindex = {
        there.database: list(there.hnsw)
        for there in found
        if there.hnsw and _pgvector.reindex_after(there.version, installed)
    }
    warnings = []
    behind = [
        f"{there.database} ({there.version})"
        for there in found
        if there not in updated and _pgvector.number(there.version) < _pgvector.number(installed)
    ]
    if behind:
        warnings.append(
            f"the extension vector is behind the installed {installed} in: {', '.join(behind)}; it may be updated by"
            " pg_server_pgvector_update: true"
        )
    for database, indexes in reindex.items():
        warnings.append(
            f"{database}: vacuum may have damaged these HNSW indexes before pgvector {_pgvector.VACUUM.fixed}; build them again by"
            f" REINDEX INDEX CONCURRENTLY: {', '.join(indexes)}"
        )
    return {
        "changed": bool(updated),
        "installed": installed or None,
        "databases": {there.database: installed if there in updated else there.version for there in found},
        "updated": [there.database for there in updated],
        "reindex": reindex,
        "gates": [vars(gate) for gate in _pgvector.open_gates(installed)] if installed else [],
        "findings": warnings,
    }
