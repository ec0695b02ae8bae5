"""The projects of the role pg_migrate: findings, and one record per database. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

PROJECT_KEYS = frozenset({"name", "source", "config", "requirements", "databases"})
DATABASE_KEYS = frozenset({"name", "section", "user", "revision", "x"})


def databases(projects: Sequence[Mapping[str, Any]], directory: str) -> list[dict[str, Any]]:
    """Return one record per database of `projects`, with the paths of its project below `directory` on the migration host."""
    return [
        {
            "project": project["name"],
            "directory": f"{directory}/{project['name']}/project",
            "virtualenv": f"{directory}/{project['name']}/venv",
            "config": project.get("config", "alembic.ini"),
            "name": database["name"],
            "section": database.get("section", "alembic"),
            "user": database.get("user", f"{database['name']}_migrator"),
            "revision": database.get("revision", "heads"),
            "x": database.get("x", []),
        }
        for project in projects
        for database in project["databases"]
    ]


def findings(projects: Any, passwords: Any) -> list[str]:
    """Return one line for each thing that is wrong with the inputs of pg_migrate; nothing for values of a wrong type,
    which the specification reports."""
    if not isinstance(projects, list) or not isinstance(passwords, Mapping):
        return []
    found = []
    for index, project in enumerate(projects):
        where = f"pg_migrate_projects[{index}]"
        if (
            not isinstance(project, Mapping)
            or not project.get("name")
            or not isinstance(project.get("databases"), list)
        ):
            found.append(f"{where}: needs a name and a list of databases")
            continue
        found += [f"{where}: unknown key {key}" for key in sorted(project.keys() - PROJECT_KEYS)]
        for place, database in enumerate(project["databases"]):
            if not isinstance(database, Mapping) or not database.get("name"):
                found.append(f"{where}.databases[{place}]: needs a name")
                continue
            found += [
                f"{where}.databases[{place}]: unknown key {key}" for key in sorted(database.keys() - DATABASE_KEYS)
            ]
            user = database.get("user", f"{database['name']}_migrator")
            if not passwords.get(user):
                found.append(
                    f"pg_migrate_passwords has no entry for {user}, who migrates {database['name']}: put it into the vault"
                )
    if found:
        return found
    names = Counter(project["name"] for project in projects)
    found += [f"pg_migrate_projects: {name} is listed {count} times" for name, count in names.items() if count > 1]
    return found
