# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What lies beside pgBackRest on a host: programs, units, timers, and what they read. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest as config
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_findings import advice, queue_bytes

LIBRARY = "/usr/local/lib/pgsteward"
ARCHIVE = f"{LIBRARY}/pgbackrest"  # pgBackRest wants its name in archive_command
MODULE_UTILS = "ansible_collections/pgsteward/postgres/plugins/module_utils"
UNITS = "/etc/systemd/system"
SERVICE = "pgsteward-pgbackrest-server"
SERVER_UNIT = f"{UNITS}/{SERVICE}.service"
BACKUP_UNIT = f"{UNITS}/pgsteward-backup@.service"
TMPFILES = "/etc/tmpfiles.d/pgsteward-pgbackrest.conf"
SPOOL = "/var/spool/pgbackrest"
MACHINE_FILE = "/etc/machine-id"
HEADER = "# Managed by pgsteward.postgres: the role pgbackrest writes this file whole.\n"
# Where archive_push and archive_get are needed, and where backup_physical is.
ARCHIVING = ("archive_push", "archive_get")
TAKING = "backup_physical"
# What backup_physical uses of the collection: no host needs Ansible for a scheduled backup.
SHIPPED = ("_children.py", "_errors.py", "_owned_file.py", "_pgbackrest_info.py", "_pgbackrest_run.py")


def timer(type_: str) -> str:
    """Return the path of the timer of a type of backups."""
    return f"{UNITS}/pgsteward-backup-{type_}.timer"


def plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host has to have: what config.plan() returns, and what is done with it.

    `takers` (who takes backups), `times` (type -> when this host takes one), `reads_standbys`, `queue_bytes`, and `advice`.
    """
    made = config.plan(given)
    others = len(given["servers"]) > 1
    return {
        **made,
        "takers": config.takers(given["repositories"]),
        "times": {type_: when for type_, when in given["schedule"].items() if when} if made["takes"] else {},
        "reads_standbys": bool(given["from_standby"] and others and made["takes"]),
        "queue_bytes": queue_bytes(given["queue_max"]),
        "advice": advice(given),
    }


def files(given: Mapping[str, Any], programs: Mapping[str, str], machine: str | None) -> dict[str, Any]:
    """Return the texts that are `wanted` by path, the paths of those that the configuration `needs` first, and of those `unwanted` (any more).

    given: as for plan(). programs: ARCHIVING, TAKING and SHIPPED -> their texts. machine: the content of MACHINE_FILE.
    """
    made, account, stanza = plan(given), given["superuser"], given["stanza"]
    wanted = {TMPFILES: _tmpfiles(account, _directories(given, made["repositories"]))}
    wanted |= config.authorities(given["repositories"], made["repositories"])
    needs = list(wanted)
    if made["serves"]:
        wanted[SERVER_UNIT] = _server_unit(account, stanza, given["port"])
    if not given["repository_host"]:
        wanted |= {f"{ARCHIVE}/{name}": programs[name] for name in ARCHIVING}
        wanted[f"{ARCHIVE}/archive.conf"] = _archive_conf(stanza, machine or "", made["queue_bytes"])
    if made["takes"]:
        wanted |= {f"{LIBRARY}/{TAKING}": programs[TAKING], BACKUP_UNIT: _backup_unit(account, stanza)}
        wanted |= {f"{LIBRARY}/python/{MODULE_UTILS}/{name}": programs[name] for name in SHIPPED}
        wanted["/etc/pgsteward/backup.json"] = _backup_conf(given, made)
        wanted |= {timer(type_): _timer(type_, when, given) for type_, when in made["times"].items()}
    possible = [*map(timer, config.BACKUPS), BACKUP_UNIT, SERVER_UNIT]
    return {"wanted": wanted, "needs": needs, "unwanted": [path for path in possible if path not in wanted]}


def unsaved(takers: Sequence[Mapping[str, Any]], repositories: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those who take backups of a repository that holds none. repositories: as the module pgbackrest_info says."""
    empty = {one["number"] for one in repositories if not one["backups"]}
    return [one for one in takers if empty.intersection(one["repositories"])]


def _directories(given: Mapping[str, Any], numbers: Sequence[int]) -> list[str]:
    """Return the directories of repositories on this very host."""
    wanted = config.HOST if given["repository_host"] else config.LOCAL
    listed = [given["repositories"][number - 1] for number in numbers]
    return [str(one.get("path") or config.DEFAULT_PATH[wanted]) for one in listed if config.kind(one) == wanted]


def _tmpfiles(account: str, directories: Sequence[str]) -> str:
    private = ["/var/log/pgbackrest", SPOOL, *directories]
    lines = [
        "d /var/lib/pgsteward 0755 root root",
        f"d /var/lib/pgsteward/backup 0755 {account} {account}",
        *(f"d {path} 0750 {account} {account}" for path in dict.fromkeys(private)),
    ]
    return HEADER + "\n".join(lines) + "\n"


def _server_unit(account: str, stanza: str, port: int) -> str:
    return (
        HEADER
        + f"""[Unit]
Description=pgBackRest for the other hosts of stanza {stanza}, on port {port}
Wants=network-online.target
After=network-online.target
[Service]
User={account}
ExecStart=/usr/bin/pgbackrest server
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=1
NoNewPrivileges=true
[Install]
WantedBy=multi-user.target
"""
    )


def _backup_unit(account: str, stanza: str) -> str:
    return (
        HEADER
        + f"""[Unit]
Description=Backup of type %i by pgBackRest of stanza {stanza}
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
User={account}
Environment=PYTHONPATH={LIBRARY}/python PYTHONDONTWRITEBYTECODE=1
ExecStart={LIBRARY}/{TAKING} %i
Nice=10
IOSchedulingPriority=7
NoNewPrivileges=true
"""
    )


def _timer(type_: str, when: str, given: Mapping[str, Any]) -> str:
    return (
        HEADER
        + f"""[Unit]
Description=Backup of type {type_} by pgBackRest of stanza {given["stanza"]}
[Timer]
OnCalendar={when}
RandomizedDelaySec={given["random_delay"]}
Persistent=true
Unit=pgsteward-backup@{type_}.service
[Install]
WantedBy=timers.target
"""
    )


def _archive_conf(stanza: str, machine: str, queue: int) -> str:
    values = {
        "STANZA": stanza,
        "MACHINE_FILE": MACHINE_FILE,
        "MACHINE": machine.strip(),
        "QUEUE_MAX": queue,
        "SPOOL": SPOOL,
    }
    return HEADER + "".join(f"{name}={value}\n" for name, value in values.items())


def _backup_conf(given: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    own = next((one for one in given["servers"] if one["name"] == given["here"]), None)
    server = (
        {"socket_directory": given["socket_directory"], "port": int(own["port"]), "user": given["user"]}
        if own and not given["repository_host"]
        else None
    )
    content = {
        "stanza": given["stanza"],
        "repositories": made["takes"],
        "from_standby": made["reads_standbys"],
        "server": server,
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
