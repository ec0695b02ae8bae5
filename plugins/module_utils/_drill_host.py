# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What lies on a host for restore drills: the command, its unit and timer, and what it is told. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LIBRARY = "/usr/local/lib/pgsteward"
COMMAND = f"{LIBRARY}/restore_drill"
CONFIG = "/etc/pgsteward/restore_drill.json"
UNIT = "/etc/systemd/system/pgsteward-restore-drill@.service"
TIMER = "/etc/systemd/system/pgsteward-restore-drill.timer"
HEADER = "# Managed by pgsteward.postgres: the role pgbackrest writes this file whole.\n"
# What the command uses of the collection: no host needs Ansible for a drill.
SHIPPED = (
    "_beside.py", "_canonical.py", "_catalog.py", "_catalog_objects.py", "_catalog_others.py", "_catalog_queries.py",
    "_catalog_record.py", "_catalog_tables.py", "_catalog_types.py", "_children.py", "_connection.py", "_controldata.py", "_drift.py",
    "_drill.py", "_drill_physical.py", "_drill_report.py", "_dump_source.py", "_errors.py", "_identifiers.py", "_owned_file.py",
    "_postmaster.py", "_privileges.py", "_quoting.py", "_recovery.py", "_replica.py", "_restore.py", "_restore_plan.py",
    "_restore_source.py", "_restore_target.py", "_restore_wal.py", "_restored_drift.py", "_snapshot.py", "_standby_data.py",
)  # fmt: skip


def files(given: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Return the texts that are `wanted` by path, and the paths of those that are `unwanted` (any more).

    given: `stanza`, `bin_directory`, `data_directory`, `directory` (for restores), `owner`, `processes`, `schedule` (a time of systemd, or
    None), `delay`. command: the text of the command.
    """
    wanted = {COMMAND: command, CONFIG: _config(given), UNIT: _unit(given["stanza"])}
    if given["schedule"]:
        wanted[TIMER] = _timer(given)
    return {"wanted": wanted, "unwanted": [path for path in (TIMER,) if path not in wanted]}


def _config(given: Mapping[str, Any]) -> str:
    told = {
        "stanza": given["stanza"],
        "owner": given["owner"],
        "bin_directory": given["bin_directory"],
        "live_directory": given["data_directory"],
        "base": f"{given['directory']}/drill",
        "processes": int(given["processes"]),
    }
    return json.dumps(told, indent=1) + "\n"


def _unit(stanza: str) -> str:
    environment = f"Environment=PYTHONPATH={LIBRARY}/python PYTHONDONTWRITEBYTECODE=1\n"
    return HEADER + unit(f"Restore drill (%i) of stanza {stanza}", COMMAND, environment)


def unit(description: str, command: str, more: str = "") -> str:
    """Return the unit of a drill, whose instance is what the command is told; more: lines of its own."""
    return f"""[Unit]
Description={description}
Wants=network-online.target
After=network-online.target
# Whatever became of it, and however it was killed: nothing of it is left. Where everything in the unit is killed at once, that is the end of
# ExecStopPost too (systemd 257).
OnFailure=%p@clean.service
[Service]
Type=oneshot
{more}ExecStart={command} %i
ExecStopPost={command} clean
Nice=10
IOSchedulingPriority=7
OOMScoreAdjust=500
"""


def _timer(given: Mapping[str, Any]) -> str:
    service = "pgsteward-restore-drill@scheduled.service"
    return HEADER + timer(f"Restore drill of stanza {given['stanza']}", given["schedule"], given["delay"], service)


def timer(description: str, when: str, delay: str, service: str) -> str:
    """Return the timer of a service; one that was missed is made up for."""
    return f"""[Unit]
Description={description}
[Timer]
OnCalendar={when}
RandomizedDelaySec={delay}
Persistent=true
Unit={service}
[Install]
WantedBy=timers.target
"""
