#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore drill, done by the unit of the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_drill
short_description: Have a host prove that its backups can be restored
version_added: 0.1.0
description:
  - Starts the unit of a restore drill on the host, waits for its end, and returns the record that it has left. The units are those of the roles
    C(pgbackrest) and C(pg_dumps).
  - A drill that proves nothing is a result, with RV(record.error), and not a failure of the module. One that leaves no record is a failure.
options:
  kind:
    description: V(physical) for the newest base backup, V(dump) for the newest dumps.
    type: str
    choices: [physical, dump]
    required: true
attributes:
  check_mode:
    description: Nothing is done, and there is no record.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Prove the newest dumps
  pgsteward.postgres.restore_drill:
    kind: dump
  async: 86400
  poll: 5
  register: drilled
  become: true
"""

RETURN = r"""
record:
  description: What was restored, read and found. In check mode there is none.
  returned: success
  type: dict
  contains:
    kind:
      description: That of the drill.
      type: str
    begun:
      description: When it began, in seconds since 1970.
      type: float
    seconds:
      description: How long it took.
      type: float
    error:
      description: Why nothing is proven; none when everything is.
      type: str
    removed:
      description: Whether nothing is left of it.
      type: bool
    last_proven:
      description: When the last drill began that has proven everything.
      type: float
    steps:
      description: The steps with their seconds.
      type: dict
    databases:
      description: What a base backup holds.
      type: list
      elements: dict
    dumps:
      description: What became of each dump.
      type: list
      elements: dict
  sample: {"kind": "dump", "begun": 1790856000.0, "seconds": 11.5, "error": null, "removed": true}
"""

import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _drill_report, _errors


def drill(kind: str) -> dict[str, Any]:
    """Start the unit, wait, return what it has left."""
    begun = time.time()
    unit = f"{_drill_report.UNITS[kind]}@here.service"
    try:
        started = subprocess.run(["systemctl", "start", unit], capture_output=True, text=True, check=False)
    except OSError as error:
        raise _errors.StewardError(f"systemd cannot be asked: {error.strerror}") from None
    record = _drill_report.since(kind, begun)
    if record is None:
        reason = " ".join(started.stderr.split()) or "it ended without a word"
        raise _errors.StewardError(f"the drill left no record: {reason}; journalctl -u {unit} says why")
    return {"changed": False, "record": record}


def main() -> None:
    """Do it unless in check mode, report."""
    module = AnsibleModule(
        argument_spec={"kind": {"type": "str", "choices": ["physical", "dump"], "required": True}},
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, record={})
    _errors.run(module, lambda: drill(module.params["kind"]))


if __name__ == "__main__":
    main()
