#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stanza of a cluster in the repositories of pgBackRest: made, upgraded, checked, and never another cluster's."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_stanza
short_description: Make, upgrade or check the stanza of a cluster, and refuse another cluster's
version_added: 0.1.0
description:
  - A stanza belongs to one cluster, which its system identifier tells. Where a repository holds an archive of another one under this name,
    the module refuses and names both identifiers, unless O(upgrade) says that it is the same cluster after C(pg_upgrade).
  - With O(state=present) it makes the stanza in each repository that has none.
  - With O(state=checked) pgBackRest then has the primary archive a segment, and waits until it is in every repository.
  - Run it where the backups are taken, on the repository host or the primary, as the account that runs pgBackRest. pgBackRest itself makes
    stanzas nowhere else.
options:
  stanza:
    description: Name of the stanza.
    type: str
    required: true
  state:
    description: What is to be.
    type: str
    choices: [present, checked]
    default: present
  repositories:
    description: Numbers of the repositories that this host has.
    type: list
    elements: int
    required: true
  system_identifier:
    description: System identifier of the cluster. Where it is not given pgBackRest compares, and names none.
    type: str
  postgresql:
    description: Major version of the cluster.
    type: str
  upgrade:
    description: Let the cluster take over the stanza of another system identifier or another major version, which it was before.
    type: bool
    default: false
  binary:
    description: The program.
    type: str
    default: pgbackrest
attributes:
  check_mode:
    description: Looks whose the stanza is and says what would be done. Nothing is archived.
    support: full
  diff_mode:
    description: Shows whose the stanza is in each repository, before and after.
    support: full
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Make the stanza
  pgsteward.postgres.pgbackrest_stanza:
    stanza: production
    repositories: [1, 2]
    system_identifier: "{{ pg_topology.system_identifier }}"
    postgresql: "17"
  become: true
  become_user: postgres

- name: See that WAL gets into every repository
  pgsteward.postgres.pgbackrest_stanza:
    stanza: production
    state: checked
    repositories: [1, 2]
  become: true
  become_user: postgres
"""

RETURN = r"""
action:
  description: What was done, V(nothing), V(create) or V(upgrade). In check mode what would be.
  returned: success
  type: str
  sample: create
repositories:
  description: Each repository with the cluster that its stanza belongs to.
  returned: success
  type: list
  elements: dict
  sample: [{repository: 1, system_identifier: "7443276231442413607", version: "17", encrypted: false, backups: 3}]
repository:
  description: Number of the repository that is another cluster's.
  returned: when it is refused
  type: int
  sample: 1
found:
  description: The system identifier that the archive belongs to.
  returned: when it is refused
  type: str
  sample: "7443276231442413607"
expected:
  description: The system identifier of this cluster.
  returned: when it is refused
  type: str
  sample: "7551034817329910224"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import Expected
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_run import Program
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_stanza import check, converge

ARGUMENT_SPEC = {
    "stanza": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "checked"], "default": "present"},
    "repositories": {"type": "list", "elements": "int", "required": True},
    "system_identifier": {"type": "str"},
    "postgresql": {"type": "str"},
    "upgrade": {"type": "bool", "default": False},
    "binary": {"type": "str", "default": "pgbackrest"},
}


def result(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Bring the stanza to its state unless dry_run; return the result."""
    program = Program(given["stanza"], given["binary"])
    expected = Expected(given["repositories"], given["system_identifier"], given["postgresql"])
    if given["state"] == "checked":
        return check(program, expected, dry_run)
    return converge(program, expected, given["upgrade"], dry_run)


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: result(module.params, module.check_mode))


if __name__ == "__main__":
    main()
