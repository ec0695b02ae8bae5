"""The projects of the role pg_migrate: findings, and one record per database. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._migration_backup import limit_findings

PROJECT_KEYS = frozenset({"name", "source", "config", "requirements", "databases"})
DATABASE_KEYS = frozenset({"name", "section", "user", "revision", "x", "extensions", "baseline", "validate", "verify"})
VERIFY_DEFAULTS: Mapping[str, Any] = {
    "truth": "history",
    "snapshot": None,
    "spec": None,
    "schemas": [],
    "kinds": [],
    "without": [],
    "accept": [],
    "fail_on": "cosmetic",
}
VALIDATE_DEFAULTS: Mapping[str, Any] = {"fail_on": "error", "ignore": []}
SEVERITIES = ("error", "warning", "never")
CHECK_KEYS = frozenset({"name", "url", "status", "retries", "command"})
# Directories beside those of the projects, on the migration host.
RESERVED = frozenset({"tools", "wheels"})
# What the playbook `migrate` takes care of; of the other states a report says why, and what to do.
ORDINARY_STATES = frozenset({"fresh", "behind", "managed"})
SCRATCH_KEYS = frozenset({"kind", "url", "template"})


def databases(
    projects: Sequence[Mapping[str, Any]], directory: str, only: str | None = None, preview: str | None = None
) -> list[dict[str, Any]]:
    """Return one record per database of `projects`, with the paths of its project below `directory` on the migration host.

    only: the database to limit it to, by its name, or as project/name where several projects have one of that name.
    preview: a directory that has the projects' files instead; the environments stay where they are.
    """
    files = preview or directory
    return [
        {
            "project": project["name"],
            "source": project.get("source"),
            "directory": f"{files}/{project['name']}/project",
            "virtualenv": f"{directory}/{project['name']}/venv",
            "config": project.get("config", "alembic.ini"),
            "name": database["name"],
            "section": database.get("section", "alembic"),
            "user": database.get("user", f"{database['name']}_migrator"),
            "revision": database.get("revision", "heads"),
            "x": database.get("x", []),
            "extensions": database.get("extensions", []),
            "baseline": _below(f"{files}/{project['name']}/project", database.get("baseline")),
            "validate": {**VALIDATE_DEFAULTS, **(database.get("validate") or {})},
            "verify": verification(project, database, f"{files}/{project['name']}/project"),
        }
        for project in projects
        for database in project["databases"]
        if only in (None, "", database["name"], f"{project['name']}/{database['name']}")
    ]


def _below(directory: str, path: str | None) -> str | None:
    return None if path is None else str(PurePosixPath(directory) / path)


def verification(project: Mapping[str, Any], database: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """Return how a database is verified, with paths below the project's `directory`: as its key `verify` says.

    Without that, the histories that ship with the collection have a snapshot for each revision; others are compared with their history.
    """
    shipped = (
        {}
        if project.get("source")
        else {"truth": "snapshot", "snapshot": f"{database.get('section', 'alembic')}/snapshots"}
    )
    record = {**VERIFY_DEFAULTS, **(database.get("verify") or shipped)}
    return {
        **record,
        **{key: _below(directory, record[key]) for key in ("snapshot", "spec")},
    }


def report(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each result of schema_verify over the databases, and lines with the details of what differs."""
    lines = []
    for result in results:
        name = result["item"]["name"]
        if "clean" not in result:
            lines.append(f"{name}: not verified: {result.get('msg', 'no reason given')}")
            continue
        accepted = f", {len(result['accepted'])} accepted" if result["accepted"] else ""
        if result["clean"]:
            lines.append(f"{name}: clean, {result['objects']} objects are as in {result['truth_name']}{accepted}")
            continue
        counts = Counter(item["severity"] for item in result["drift"])
        kinds = ", ".join(f"{count} {severity}" for severity, count in counts.items())
        lines.append(f"{name}: {len(result['drift'])} differences from {result['truth_name']} ({kinds}){accepted}")
        for item in result["drift"]:
            lines += [
                f"  {item['severity']}: {item['object']}: {item['attribute']}: expected {_shown(item['expected'])}, found {_shown(item['found'])}",
                *(f"    {line}" for line in f"remedy: {item['remedy']}".splitlines()),
            ]
    return lines


def status(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line with the name and state of each result of alembic_info over the databases, and lines that explain it."""
    lines = []
    for result in results:
        state = result.get("state")
        lines.append(f"{result['item']['name']}: {state or 'not read'}")
        lines += [f"  {line}" for line in (_status_lines(result) if state else _unread_lines(result))]
    return lines


def _status_lines(result: Mapping[str, Any]) -> list[str]:
    known = {item["revision"] for item in result["history"]}
    current = [name if name in known else f"{name} (in no file of the project)" for name in result["current"]]
    # What lies between the database and an unknown revision, nobody knows.
    needs = "Unknown" if set(result["current"]) - known else "Yes" if result["pending"] else "No"
    lines = [
        "Database Connection: Connected",
        f"Current Revision: {', '.join(current) or 'none'}",
        f"Head Revision: {', '.join(result['heads']) or 'none'}",
        f"Needs Migration: {needs}",
        f"Total Migrations: {len(result['history'])}",
    ]
    if needs == "No":
        lines.append("No pending migrations")
    lines += [
        f"Pending: {item['revision']}" + (f" ({item['message']})" if item["message"] else "")
        for item in result["pending"]
    ]
    if result["state"] in ORDINARY_STATES:
        return lines
    return [*lines, *result["evidence"], result["next_action"]]


def _unread_lines(result: Mapping[str, Any]) -> list[str]:
    reason = result.get("msg") or " ".join([*result.get("evidence", ()), result.get("next_action", "no reason given")])
    if "connected" not in result:  # it did not come to that
        return [f"Not read: {reason}"]
    if not result["connected"]:
        return [f"Database Connection: Failed: {reason}"]
    return ["Database Connection: Connected", f"Not read: {reason}"]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that is wrong with the inputs of pg_migrate, by their names without the prefix.

    Nothing for values of a wrong type, which the specification reports.
    """
    projects, passwords, scratch = (inputs.get(name) for name in ("projects", "passwords", "scratch"))
    if not isinstance(projects, list) or not isinstance(passwords, Mapping) or not isinstance(scratch, Mapping):
        return []
    found = [f"pg_migrate_scratch: unknown key {key}" for key in sorted(scratch.keys() - SCRATCH_KEYS)]
    if scratch.get("kind") in ("database", "url") and not scratch.get("url"):
        found.append(f"pg_migrate_scratch: kind {scratch['kind']} needs a url")
    found += _check_findings(inputs.get("checks") or [])
    found += limit_findings(inputs.get("dump_limit", 0))
    for index, project in enumerate(projects):
        where = f"pg_migrate_projects[{index}]"
        if (
            not isinstance(project, Mapping)
            or not project.get("name")
            or not isinstance(project.get("databases"), list)
        ):
            found.append(f"{where}: needs a name and a list of databases")
            continue
        if project["name"] in RESERVED:
            found.append(f"{where}: the name {project['name']} is taken by a directory of the role: choose another")
        found += [f"{where}: unknown key {key}" for key in sorted(project.keys() - PROJECT_KEYS)]
        for place, database in enumerate(project["databases"]):
            found += _database_findings(f"{where}.databases[{place}]", database, passwords)
    if found:
        return found
    names = Counter(project["name"] for project in projects)
    found += [f"pg_migrate_projects: {name} is listed {count} times" for name, count in names.items() if count > 1]
    return found or _only_findings(projects, inputs.get("database"))


def _database_findings(where: str, database: Any, passwords: Mapping[str, Any]) -> list[str]:
    if not isinstance(database, Mapping) or not database.get("name"):
        return [f"{where}: needs a name"]
    found = [f"{where}: unknown key {key}" for key in sorted(database.keys() - DATABASE_KEYS)]
    if not isinstance(database.get("extensions", []), list):
        found.append(f"{where}.extensions: needs a list of names")
    found += _validate_findings(f"{where}.validate", database.get("validate"))
    found += _verify_findings(f"{where}.verify", database.get("verify"))
    user = database.get("user", f"{database['name']}_migrator")
    if not passwords.get(user):
        found.append(
            f"pg_migrate_passwords has no entry for {user}, who migrates {database['name']}: put it into the vault"
        )
    return found


def _only_findings(projects: Sequence[Mapping[str, Any]], only: str | None) -> list[str]:
    """Return what is wrong with the name of the one database that a run is limited to."""
    if not only or databases(projects, "", only):
        return []
    names = ", ".join(record["name"] for record in databases(projects, ""))
    return [f"pg_migrate_database: no project has a database {only}; there are: {names or 'none'}"]


def _check_findings(checks: Sequence[Any]) -> list[str]:
    found = []
    for index, check in enumerate(checks):
        where = f"pg_migrate_checks[{index}]"
        if (
            not isinstance(check, Mapping)
            or not check.get("name")
            or bool(check.get("url")) == bool(check.get("command"))
        ):
            found.append(f"{where}: needs a name, and either url or command")
            continue
        found += [f"{where}: unknown key {key}" for key in sorted(check.keys() - CHECK_KEYS)]
        if check.get("command") and not isinstance(check["command"], list):
            found.append(f"{where}: command needs a list of words, as no shell reads it")
    return found


def _validate_findings(where: str, validate: Any) -> list[str]:
    if validate is None:
        return []
    if not isinstance(validate, Mapping):
        return [f"{where}: needs keys such as fail_on and ignore"]
    found = [f"{where}: unknown key {key}" for key in sorted(validate.keys() - VALIDATE_DEFAULTS.keys())]
    if validate.get("fail_on", "error") not in SEVERITIES:
        found.append(f"{where}: fail_on {validate['fail_on']} is none of {', '.join(SEVERITIES)}")
    for index, entry in enumerate(validate.get("ignore") or []):
        if not isinstance(entry, Mapping) or not entry.get("check") or not entry.get("reason"):
            found.append(f"{where}.ignore[{index}]: needs a check and a reason")
    return found


def _verify_findings(where: str, verify: Any) -> list[str]:
    if verify is None:
        return []
    if not isinstance(verify, Mapping):
        return [f"{where}: needs keys such as truth and accept"]
    found = [f"{where}: unknown key {key}" for key in sorted(verify.keys() - VERIFY_DEFAULTS.keys())]
    truth = verify.get("truth", VERIFY_DEFAULTS["truth"])
    if truth in ("snapshot", "spec") and not verify.get(truth):
        found.append(f"{where}: truth {truth} needs the key {truth}, a path in the project")
    return found
