#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A data directory made from a backup of pgBackRest, in place or beside."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_restore
short_description: Restore a cluster from a pgBackRest repository
version_added: 0.1.0
description:
  - Chooses the newest backup from which the target can be reached, makes sure that the archive holds every WAL segment on the way and that there is
    room, and restores. What cannot be reached is refused before anything is touched, with the window that could be. Check mode is that plan.
  - In place, the former data are copied beside themselves (sharing blocks where the file system can), the copy is made equal to the backup, and
    both change places by renames. Whatever fails before leaves them untouched. They are kept aside until O(state=settled) removes them, and
    O(state=undone) puts them back. WAL that a lost server had written and not archived comes along.
  - Beside (O(beside)), the restore goes into a directory of its own, with a configuration that has no network and no archive.
  - Nothing is started. See M(pgsteward.postgres.pg_recovery), which waits for the target.
  - Tablespaces and a WAL directory of its own are followed. The server's configuration is that of today, also where it lies among the data.
options:
  state:
    description:
      - V(restored) restores. V(undone) undoes that. In place it puts the former data back, which is refused once the restored server has
        been promoted; beside it removes the directory.
      - V(settled) removes what restores in place had put aside.
    type: str
    choices: [restored, undone, settled]
    default: restored
  stanza:
    description: Name of the stanza. Required with O(state=restored).
    type: str
  target_type:
    description: What is aimed at. V(latest) is the end of the archive, V(immediate) that of the backup; the others want O(target).
    type: str
    choices: [latest, immediate, time, lsn, xid, name]
    default: latest
  target:
    description: A time with its zone, such as V(2026-10-01 03:12:45.5+00), a position such as V(0/5000148), a transaction, or a restore point.
    type: str
    default: ''
  timeline:
    description: Timeline to follow, V(latest) or its number.
    type: str
    default: latest
  exclusive:
    description: Whether to stop just before the target.
    type: bool
    default: false
  repository:
    description: Number of the repository to restore from. Without it all are looked at.
    type: int
  backup:
    description: Label of the backup to begin with.
    type: str
  before:
    description: A time with its zone that the backup has to be older than, for targets that say nothing of their time.
    type: str
  repository_time:
    description: Read O(repository) as it was at this time (C(repo-target-time)), where its storage keeps versions. Needs pgBackRest 2.54. WAL that
      only this host has is left out then.
    type: str
  data_directory:
    description: Data directory of the instance, for a restore in place.
    type: path
  bin_directory:
    description: Directory of the server's programs. Required with O(state=restored), and with O(state=undone) in place.
    type: path
  foreign:
    description: System identifier of another cluster whose data are in O(data_directory) and may be put aside, as after the loss of all hosts.
    type: str
  wal_directory:
    description: Where the server keeps its WAL, when apart. It stays apart where it was.
    type: path
  beside:
    description: Directory to restore into instead.
    type: path
  port:
    description: Port of the server beside. It names the socket only.
    type: int
  settings:
    description: Settings of the server beside.
    type: dict
    default: {}
  processes:
    description: How many processes transfer at a time.
    type: int
    default: 2
  timeout:
    description: Seconds that the transfer may take.
    type: int
    default: 604800
  config:
    description: Configuration of pgBackRest, where it is not the usual one.
    type: path
  owner:
    description: Account that owns the data and runs pgBackRest, superuser of the instance.
    type: str
    default: postgres
attributes:
  check_mode:
    description: Makes the plan, with all that could refuse it.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Restore to a moment, in place of a server that is stopped
  pgsteward.postgres.pgbackrest_restore:
    stanza: production
    target_type: time
    target: 2026-10-01 03:12:45+00
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
  become: true

- name: Put back what was there
  pgsteward.postgres.pgbackrest_restore:
    state: undone
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
  become: true

- name: Restore the newest state beside the live server
  pgsteward.postgres.pgbackrest_restore:
    stanza: production
    beside: /var/lib/pgsteward/restores/5440
    port: 5440
    bin_directory: /usr/lib/postgresql/17/bin
  become: true
"""

RETURN = r"""
plan:
  description: What is restored, and what could have been.
  returned: O(state=restored)
  type: dict
  contains:
    target:
      description: The target in words.
      type: str
    repository:
      description: Number of the repository.
      type: int
    backup:
      description: Label of the backup.
      type: str
    size:
      description: Bytes of the restored data.
      type: int
    timeline:
      description: Timeline that is followed.
      type: int
    end:
      description: Where the last segment begins, for V(latest).
      type: str
    windows:
      description: From when to when each repository could be restored to.
      type: list
      elements: dict
    warnings:
      description: What may keep it from its target.
      type: list
      elements: str
  sample:
    target: time 2026-10-01 03:12:45 UTC
    repository: 1
    backup: 20261001-010000F
    size: 31457280
    timeline: 1
    end: null
    windows: []
    warnings: []
aside:
  description: Where what was there is kept, by where it was.
  returned: success
  type: dict
  sample: {"/var/lib/postgresql/17/main": "/var/lib/postgresql/17/main.aside-20261001T040000Z"}
removed:
  description: What O(state=settled) has removed.
  returned: success
  type: list
  elements: str
  sample: []
start:
  description: The command that starts the server beside as a transient unit.
  returned: success
  type: list
  elements: str
  sample: []
service:
  description: That unit.
  returned: success
  type: str
  sample: pgsteward-restored-5440
connect:
  description: How to look into the server beside.
  returned: success
  type: str
  sample: sudo -u postgres psql -h /var/lib/pgsteward/restores/5440/socket -p 5440
log:
  description: Log of the server beside.
  returned: success
  type: str
  sample: /var/lib/pgsteward/restores/5440/log
bytes:
  description: Bytes of the restored data.
  returned: success
  type: int
  sample: 31457280
bytes_per_second:
  description: How many of them came in a second.
  returned: success
  type: int
  sample: 104857600
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 12.5
"""

import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _beside, _restore
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_source as source_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Server
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import Wish, target_of

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["restored", "undone", "settled"], "default": "restored"},
    "stanza": {"type": "str"},
    "target_type": {
        "type": "str",
        "choices": ["latest", "immediate", "time", "lsn", "xid", "name"],
        "default": "latest",
    },
    "target": {"type": "str", "default": ""},
    "timeline": {"type": "str", "default": "latest"},
    "exclusive": {"type": "bool", "default": False},
    "repository": {"type": "int"},
    "backup": {"type": "str"},
    "before": {"type": "str"},
    "repository_time": {"type": "str"},
    "data_directory": {"type": "path"},
    "bin_directory": {"type": "path"},
    "foreign": {"type": "str"},
    "wal_directory": {"type": "path"},
    "beside": {"type": "path"},
    "port": {"type": "int"},
    "settings": {"type": "dict", "default": {}},
    "processes": {"type": "int", "default": 2},
    "timeout": {"type": "int", "default": 604800},
    "config": {"type": "path"},
    "owner": {"type": "str", "default": "postgres"},
}


def request_of(given: dict[str, Any]) -> _restore.Request:
    """Return what is asked for; raises StewardError with what is wrong with it."""
    beside = Path(given["beside"]) if given["beside"] else None
    as_of = target_of("time", given["repository_time"]).text if given["repository_time"] else None
    return _restore.Request(
        backrest=source_of.Backrest(given["stanza"], given["owner"], given["config"], as_of, given["repository"]),
        target=target_of(given["target_type"], given["target"], given["timeline"], given["exclusive"]),
        wish=Wish(
            repository=given["repository"],
            label=given["backup"] or None,
            before=target_of("time", given["before"]).at if given["before"] else None,
        ),
        data_directory=beside / "data" if beside else Path(given["data_directory"]),
        bin_directory=Path(given["bin_directory"]),
        wal_directory=Path(given["wal_directory"]) if given["wal_directory"] else None,
        processes=given["processes"],
        limit=given["timeout"],
        foreign=given["foreign"] or None,
    )


def in_place(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Restore in place; return the result."""
    request, now = request_of(given), source_of.now()
    plan = _restore.make_plan(request, now, in_place=True)
    finding = _restore.in_place_finding(request, plan)
    if finding:
        raise StewardError(finding, plan=plan.as_facts())
    done = {} if dry_run else _restore.in_place(request, plan, now)
    return {"changed": True, "plan": plan.as_facts(), **done}


def beside(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Restore beside; return the result, with the command that starts it."""
    request, now, base, port = request_of(given), source_of.now(), Path(given["beside"]), given["port"]
    finding = _beside.socket_finding(base, port) or _beside.port_finding(port)
    if finding:
        raise StewardError(finding)
    plan = _restore.make_plan(request, now, in_place=False)
    finding = _restore.beside_finding(base, plan)
    if finding:
        raise StewardError(finding, plan=plan.as_facts())
    result = {"changed": True, "plan": plan.as_facts()}
    if dry_run:
        return result
    done = _restore.beside(request, plan, base, now)
    unit, log = _beside.UNIT.format(port=port), base / "log"
    words = _beside.furnish(
        Server(request.data_directory, request.bin_directory, given["owner"]), base, port, given["settings"]
    )
    return {
        **result,
        **done,
        "service": unit,
        "log": str(log),
        "start": _beside.unit_command(unit, log, given["owner"], words),
        "connect": _beside.how_to_connect(base, port, given["owner"]),
    }


def undo(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Undo a restore; return the result."""
    if given["beside"]:
        base = Path(given["beside"])
        if dry_run:
            return {"changed": base.exists()}
        if given["port"]:
            unit = _beside.UNIT.format(port=given["port"])
            subprocess.run(["systemctl", "stop", unit], capture_output=True, check=False, timeout=120)
        with _restore.alone(base):
            return {"changed": _restore.remove_beside(base)}
    data = Path(given["data_directory"])
    record = _restore.read_record(data)
    if _restore.was_promoted(Path(given["bin_directory"]), data):
        raise StewardError(
            f"the restored server in {data} has taken writes, which would be lost without a trace: go back by the playbook restore with"
            f" timeline={record['timeline']}; what was there before is kept in {', '.join(record['aside'].values()) or '(nothing)'}",
            promoted=True,
        )
    if not dry_run:
        _restore.put_back(data)
    return {"changed": True, "aside": record["aside"]}


def settle(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Remove what was put aside; return the result."""
    data = Path(given["data_directory"])
    record = _restore.read_record(data)
    return {"changed": True, "removed": list(record["aside"].values()) if dry_run else _restore.settle(data)}


def main() -> None:
    """Plan, restore unless in check mode, report."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "restored", ("stanza", "bin_directory")), ("state", "settled", ("data_directory",))],
        required_one_of=[("data_directory", "beside")],
        mutually_exclusive=[("data_directory", "beside")],
        required_by={"beside": "port"},
        supports_check_mode=True,
    )
    given = module.params
    step = {"restored": beside if given["beside"] else in_place, "undone": undo, "settled": settle}[given["state"]]
    run(module, lambda: step(given, module.check_mode))


if __name__ == "__main__":
    main()
