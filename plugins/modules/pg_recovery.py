#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restored server on its way to its target."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_recovery
short_description: Have a restored server reach its target, look at it, and promote it
version_added: 0.1.0
description:
  - Waits for a server that was restored by M(pgsteward.postgres.pgbackrest_restore) until it has reached its target, and says what is there. That
    the server is consistent and answers is not enough, since replay goes on behind that.
  - A server that stops replaying for another reason, such as settings below those of the former primary, has not reached its target. One that ends
    because recovery ended before the target is an error with the last lines of its log.
  - The end of the archive is reached when the last segment that was known at the restore has been replayed and the archive has no more. A
    repository that does not answer for a while is no end.
  - Every wait has a limit.
options:
  data_directory:
    description: Data directory of the server.
    type: path
    required: true
  bin_directory:
    description: Directory of its programs.
    type: path
    required: true
  service:
    description: Its systemd unit.
    type: str
  start:
    description: Whether to start O(service) first.
    type: bool
    default: false
  target_type:
    description: What is aimed at, as at the restore.
    type: str
    choices: [latest, immediate, time, lsn, xid, name]
    default: latest
  target:
    description: The target in words, for messages. RV(pgsteward.postgres.pgbackrest_restore#module:plan.target).
    type: str
    default: the target
  end:
    description: Where the last segment begins, for V(latest). RV(pgsteward.postgres.pgbackrest_restore#module:plan.end).
    type: str
  promote:
    description:
      - Whether the server then takes writes. What the restore had set for its recovery goes away with that, for which O(service) is restarted once,
        where it is given.
    type: bool
    default: false
  timeout:
    description: Seconds until the target has to be reached.
    type: int
    default: 86400
  stall_timeout:
    description: Seconds that may pass without any progress.
    type: int
    default: 1800
  promote_timeout:
    description: Seconds that the promotion may take.
    type: int
    default: 300
  last_words:
    description: Command that prints the end of the server's log. The journal of O(service) when it is not given.
    type: list
    elements: str
    default: []
  owner:
    description: Account that owns the data, and superuser.
    type: str
    default: postgres
attributes:
  check_mode:
    description: Nothing is waited for or changed.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Wait for the target
  pgsteward.postgres.pg_recovery:
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
    service: postgresql@17-main
    start: true
    target_type: time
    target: "{{ restored.plan.target }}"
  become: true
"""

RETURN = r"""
reached:
  description: Where replay has stopped.
  returned: success
  type: dict
  contains:
    lsn:
      description: Position up to which the WAL was replayed.
      type: str
    last_commit:
      description: When the last transaction that was replayed had ended.
      type: str
    timeline:
      description: Timeline that it is on.
      type: int
  sample: {"lsn": "0/5000148", "last_commit": "2026-10-01 03:12:44.123456 UTC", "timeline": 1}
databases:
  description: What is there, with the revisions of Alembic.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "powergym", "bytes": 9437184, "revisions": ["002"]}]
promoted:
  description: Whether the server takes writes.
  returned: success
  type: bool
  sample: false
timeline:
  description: Timeline of the server at the end.
  returned: success
  type: int
  sample: 1
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 4.2
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _recovery
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "data_directory": {"type": "path", "required": True},
    "bin_directory": {"type": "path", "required": True},
    "service": {"type": "str"},
    "start": {"type": "bool", "default": False},
    "target_type": {
        "type": "str",
        "choices": ["latest", "immediate", "time", "lsn", "xid", "name"],
        "default": "latest",
    },
    "target": {"type": "str", "default": "the target"},
    "end": {"type": "str"},
    "promote": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 86400},
    "stall_timeout": {"type": "int", "default": 1800},
    "promote_timeout": {"type": "int", "default": 300},
    "last_words": {"type": "list", "elements": "str", "default": []},
    "owner": {"type": "str", "default": "postgres"},
}


def recover(given: dict[str, Any]) -> dict[str, Any]:
    """Wait, look, promote; return the result."""
    begun = time.monotonic()
    server = _recovery.Server(
        Path(given["data_directory"]),
        Path(given["bin_directory"]),
        given["owner"],
        given["service"],
        tuple(given["last_words"]),
    )
    alive = _recovery.starting(server) if given["start"] else None
    aim = _recovery.Aim(given["target_type"], given["target"], Lsn.parse(given["end"]) if given["end"] else None)
    seen = _recovery.reach(server, aim, _recovery.Limits(given["timeout"], given["stall_timeout"]), alive)
    there = _recovery.databases(server)
    after = seen
    if given["promote"]:
        after = _recovery.promote(server, given["promote_timeout"])
        _recovery.forget_recovery(server)
        _recovery.restart_if_due(server, given["promote_timeout"])
    return {
        "changed": given["start"] or given["promote"],
        "reached": seen.as_facts(),
        "databases": there,
        "promoted": given["promote"],
        "timeline": after.timeline,
        "seconds": round(time.monotonic() - begun, 2),
    }


def main() -> None:
    """Wait unless in check mode, report."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC, required_if=[("start", True, ("service",))], supports_check_mode=True
    )
    if module.check_mode:
        module.exit_json(
            changed=module.params["promote"], reached={}, databases=[], promoted=False, timeline=None, seconds=0.0
        )
    run(module, lambda: recover(module.params))


if __name__ == "__main__":
    main()
