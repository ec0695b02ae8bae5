#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A physical backup by pgBackRest, now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_backup
short_description: Take a physical backup by pgBackRest now
version_added: 0.1.0
description:
  - Takes a backup into each of O(repositories) in turn. One that fails keeps the next from nothing; in the end the module fails and names it.
  - What became of each is also in O(record), as that of scheduled backups is.
  - Run it where the backups are taken, on the repository host or the primary, as the account that runs pgBackRest.
options:
  stanza:
    description: Name of the stanza.
    type: str
    required: true
  repositories:
    description: Numbers of the repositories.
    type: list
    elements: int
    required: true
  type:
    description: What to copy. V(full) is everything, V(diff) what has changed since the last full backup, V(incr) since the last one of any type.
    type: str
    choices: [full, diff, incr]
    default: incr
  from_standby:
    description: Read the files from a standby where one can be reached.
    type: bool
    default: true
  record:
    description: File that keeps what became of the last backup of each repository.
    type: path
    default: /var/lib/pgsteward/backup/physical.json
  binary:
    description: The program.
    type: str
    default: pgbackrest
attributes:
  check_mode:
    description: Asks whether the stanza is there and says that a backup would be taken.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Take a full backup now
  pgsteward.postgres.pgbackrest_backup:
    stanza: production
    repositories: [1, 2]
    type: full
  become: true
  become_user: postgres
"""

RETURN = r"""
backups:
  description: What became of each repository's backup, in their order. C(bytes) are those that it added to the repository.
  returned: always, but in check mode
  type: list
  elements: dict
  sample:
    - repository: 1
      type: full
      label: 20261122-013000F
      begun: 1795311000
      seconds: 42
      bytes: 2861286
      read_bytes: 23193456
      from_standby: true
      error: null
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_run import Program, look, take_all
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_stanza import failures

ARGUMENT_SPEC = {
    "stanza": {"type": "str", "required": True},
    "repositories": {"type": "list", "elements": "int", "required": True},
    "type": {"type": "str", "choices": ["full", "diff", "incr"], "default": "incr"},
    "from_standby": {"type": "bool", "default": True},
    "record": {"type": "path", "default": "/var/lib/pgsteward/backup/physical.json"},
    "binary": {"type": "str", "default": "pgbackrest"},
}


def result(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Take the backups unless dry_run; return the result."""
    program, stanza = Program(given["stanza"], given["binary"]), given["stanza"]
    found = look(program)
    for number in given["repositories"]:
        one = found.repository(number)
        if one is None:
            raise StewardError(f"repository {number}: the configuration of this host does not have it")
        if not one.there:
            raise StewardError(f"repository {number}: there is no stanza {stanza} ({one.message}): run site")
    if dry_run:
        return {"changed": True}
    taken = take_all(
        program,
        given["repositories"],
        given["type"],
        given["from_standby"],
        Path(given["record"]),
        say=lambda _line: None,
    )
    backups = [asdict(one) for one in taken]
    failed = failures(taken)
    if failed:
        raise StewardError(failed, changed=True, backups=backups)
    return {"changed": True, "backups": backups}


def main() -> None:
    """Take the backups unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: result(module.params, module.check_mode))


if __name__ == "__main__":
    main()
