# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The foreign keys that pending revisions would add to tables that are there, or would validate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _alembic_info,
    _connection,
    _history,
    _orphans,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import closure
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import split
from ansible_collections.pgsteward.postgres.plugins.module_utils._orphans import Wanted
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

if TYPE_CHECKING:
    import psycopg

ARGUMENTS: dict[str, dict[str, Any]] = {
    **{name: option for name, option in _alembic.ARGUMENTS.items() if name not in (*_connection.ARGUMENTS, "url")},
    **_history.ARGUMENTS,
    "project": {"type": "path"},
    "revision": {"type": "list", "elements": "str", "default": ["heads"]},
}

_KEYED = ("primary key", "unique")


def pending_keys(
    connection: psycopg.Connection[Any], place: Place, params: Mapping[str, Any], temporary: str
) -> tuple[list[Wanted], list[str]]:
    """Return the keys that the revisions between the database and the targets add or validate, and notes about those left out.

    The history is replayed on scratch, to where the database is and to the targets. Raises StewardError.
    """
    project, notes = Project.from_params(params), list[str]()
    _alembic_info.check_project(project)
    looked = _alembic_info.look(project, place, connection, params, temporary, notes.append)
    if looked.server.pooled:
        raise StewardError(
            f"{place} is a connection pooler, through which the project is not run: give the address of the server"
        )
    graph = looked.answer.graph or {}
    missing = sorted(set(looked.current) - graph.keys())
    if missing:
        raise StewardError(
            f"{place} is at revision {missing[0]}, and no file of the project has it: bring the missing file back"
        )
    if closure(graph, looked.answer.targets) <= closure(graph, looked.current):
        return [], notes
    table = looked.answer.version_table or "alembic_version"
    source = _history.Source.of(connection, place, project, params, table, _connection.secrets_of(place), temporary)
    before, _notes = _history.at(source, looked.current)
    after, more = _history.at(source, looked.answer.targets)
    keys, left_out = new_keys(before.objects, after.objects)
    return keys, [*notes, *more, *left_out]


def new_keys(before: Objects, after: Objects) -> tuple[list[Wanted], list[str]]:
    """Return the foreign keys that after has, and before has not or only as NOT VALID; and notes about those left out. Pure.

    Tables and columns that before lacks have no rows yet that could break a key.
    """
    keys, notes = [], []
    for table, name, key in _foreign_keys(after):
        earlier = before.get("table", {}).get(table)
        if earlier is None or not set(key["columns"]) <= earlier.get("columns", {}).keys():
            continue
        same = {**key, "valid": False} == earlier.get("constraints", {}).get(name)
        if earlier.get("constraints", {}).get(name) == key or (key.get("valid") is False and same):
            continue
        if not _can_be_referred_to(before.get("table", {}).get(key["references"]), key["referenced_columns"]):
            notes.append(
                f"key {name} of {table} refers to {key['references']} ({', '.join(key['referenced_columns'])}), which the pending"
                " revisions make: its rows cannot be looked at before"
            )
            continue
        keys.append(_wanted(table, name, key))
    return keys, notes


def _foreign_keys(objects: Objects) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for table, held in objects.get("table", {}).items():
        for name, constraint in held.get("constraints", {}).items():
            if (
                constraint["type"] == "foreign key"
                and constraint.get("enforced") is not False
                and not constraint.get("period")
            ):
                yield table, name, constraint


def _can_be_referred_to(table: Mapping[str, Any] | None, columns: list[str]) -> bool:
    """Say whether a table has a key or a unique index on just these columns."""
    if table is None:
        return False
    keys = [item["columns"] for item in table.get("constraints", {}).values() if item["type"] in _KEYED]
    keys += [
        item["columns"] for item in table.get("indexes", {}).values() if item.get("unique") and "predicate" not in item
    ]
    return any(sorted(found) == sorted(columns) for found in keys)


def _wanted(table: str, name: str, key: Mapping[str, Any]) -> Wanted:
    return Wanted(
        name,
        _name(table),
        tuple(key["columns"]),
        _name(key["references"]),
        tuple(key["referenced_columns"]),
        key.get("match") == "full",
    )


def _name(text: str) -> _orphans.Name:
    schema, name = split(text)
    return schema, name
