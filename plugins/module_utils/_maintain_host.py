# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role pg_maintain puts on a host: the command, the code behind it, unit, timers, configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_host, _maintain, _maintain_config
from ansible_collections.pgsteward.postgres.plugins.module_utils._drill_host import timer

LIBRARY = "/usr/local/lib/pgsteward/python"
MODULE_UTILS = f"{LIBRARY}/ansible_collections/pgsteward/postgres/plugins/module_utils"
COMMAND = "/usr/local/bin/maintain-db"
SERVICE = "pgsteward-maintain"
UNITS = "/etc/systemd/system"
UNIT = f"{UNITS}/{SERVICE}@.service"
TMPFILES = "/etc/tmpfiles.d/pgsteward-maintain.conf"
DIRECTORY = "/var/lib/pgsteward/maintain"
HEADER = "# Managed by pgsteward.postgres: the role pg_maintain writes this file whole.\n"
DELAY = "5min"

# The modules that the command is made of; a test holds it equal to what they import.
SHIPPED = tuple(
    f"_{name}.py"
    for name in """
    account connection errors identifiers lock_waits maintain maintain_clean maintain_collations maintain_command maintain_config maintain_indexes
    maintain_reindex maintain_review maintain_run maintain_session maintain_vacuum maintain_vectors owned_file pgvector quoting
    """.split()
)


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the inputs of the role, by their names without its prefix, each named as the role has it.

    inputs has, beside those, `backups`: the times of backups, as systemd has them.
    """
    if not _shaped(inputs):
        return []  # whoever checks the types of inputs says so
    found: list[str] = []
    for number, database in enumerate(inputs["databases"]):
        found += _database(database, f"pg_maintain_databases[{number}]")
    names = [str(one.get("name")) for one in inputs["databases"]]
    found += [f"pg_maintain_databases has {name} twice" for name in sorted(set(names)) if names.count(name) > 1]
    found += _maintain.schedule_findings(inputs["schedules"], "pg_maintain_schedules")
    found += _maintain.threshold_findings(inputs["thresholds"], "pg_maintain_thresholds")
    found += _maintain.job_findings(inputs["clean_up"], "pg_maintain_clean_up")
    for number, job in enumerate(inputs["clean_up"]):
        where = f"pg_maintain_clean_up[{number}]"
        if not job.get("database"):
            found.append(f"{where} has no database")
        elif job["database"] not in names:
            found.append(f"{where}.database is {job['database']}, which pg_maintain_databases does not list")
        if job.get("user") == inputs["superuser"]:
            found.append(
                f"{where}.user is {job['user']}: triggers of the table would run as a superuser; name the account that owns it"
            )
    return found or _maintain.backup_findings(
        {**_maintain.SCHEDULES, **inputs["schedules"]}, inputs["backups"], "pg_maintain_schedules"
    )


def _shaped(inputs: Mapping[str, Any]) -> bool:
    lists = all(
        isinstance(inputs[name], list) and all(isinstance(one, Mapping) for one in inputs[name])
        for name in ("databases", "clean_up")
    )
    return lists and all(isinstance(inputs[name], Mapping) for name in ("schedules", "thresholds"))


def _database(database: Mapping[str, Any], where: str) -> list[str]:
    unknown = sorted(set(database) - set(_maintain.DATABASE_KEYS))
    if unknown:
        return [f"{where} has {unknown[0]}, which there is not: there are {', '.join(_maintain.DATABASE_KEYS)}"]
    if not database.get("name"):
        return [f"{where} has no name"]
    for key in ("schedules", "thresholds"):
        if not isinstance(database.get(key) or {}, Mapping):
            return [f"{where}.{key} is {database[key]!r}: write names and values"]
    return [
        *_maintain.schedule_findings(database.get("schedules") or {}, f"{where}.schedules"),
        *_maintain.threshold_findings(database.get("thresholds") or {}, f"{where}.thresholds"),
    ]


def times(inputs: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return when each task of each database comes: (task, database) -> time of systemd."""
    jobs = {job["database"] for job in inputs["clean_up"]}
    found = {}
    for database in inputs["databases"]:
        name = str(database["name"])
        schedules = {**_maintain.SCHEDULES, **inputs["schedules"], **(database.get("schedules") or {})}
        for task, when in schedules.items():
            if when and (task != _maintain.CLEAN_UP or name in jobs):
                found[task, name] = when
    return found


def instance(task: str, database: str) -> str:
    """Return the instance of the unit for a task of a database, as systemd-escape writes it."""
    text = f"{task}:{database}"
    return "".join(
        letter if re.fullmatch(r"[a-zA-Z0-9:_.]", letter) else "-" if letter == "/" else _escaped(letter)
        for letter in text
    )


def _escaped(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode())


def configuration(inputs: Mapping[str, Any]) -> str:
    """Return the configuration of the command."""
    return _maintain_config.text_of(inputs, DIRECTORY)


def files(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts that are `wanted` by path, the `timers` with their times, and the modules that are `shipped`."""
    wanted = {
        COMMAND: program("_maintain_command"),
        UNIT: _unit(inputs["superuser"]),
        TMPFILES: _tmpfiles(inputs["superuser"]),
    }
    # A package of that name elsewhere would hide ours: only a regular one, found first, does not look further.
    wanted[f"{LIBRARY}/ansible_collections/__init__.py"] = _dump_host.HEADER  # one text, whichever role writes it
    timers = {}
    for (task, database), when in times(inputs).items():
        name = f"{SERVICE}@{instance(task, database)}"
        timers[f"{name}.timer"] = when
        wanted[f"{UNITS}/{name}.timer"] = HEADER + timer(
            f"Maintenance of the database {database}: {task}", when, DELAY, f"{name}.service"
        )
    return {"wanted": wanted, "timers": timers, "shipped": list(SHIPPED)}


def program(module: str, header: str = HEADER) -> str:
    """Return the text of a command that a module of ours is the main part of, for hosts without Ansible."""
    return f"""#!/usr/bin/python3 -I
{header}import sys

sys.path.insert(0, "{LIBRARY}")
sys.dont_write_bytecode = True

from ansible_collections.pgsteward.postgres.plugins.module_utils.{module} import main

main()
"""


def _tmpfiles(account: str) -> str:
    return HEADER + f"d /var/lib/pgsteward 0755 root root\nd {DIRECTORY} 0755 {account} {account}\n"


def _unit(account: str) -> str:
    return (
        HEADER
        + f"""[Unit]
Description=Maintenance of this host's databases (%I)
After=postgresql.service
[Service]
Type=oneshot
User={account}
ExecStart={COMMAND} --scheduled -- %I
ExecStopPost=+{COMMAND} publish
Nice=10
IOSchedulingPriority=7
NoNewPrivileges=true
"""
    )
