#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has that a server is tuned by."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_host_facts
short_description: Memory and CPUs that a server on this host may use
version_added: 0.1.0
description:
  - Reads a handful of small files, where gathering hardware facts takes a second.
  - Memory and CPUs are those of the machine, or the limits of the container's control group if these are lower.
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look at the machine
  pgsteward.postgres.pg_host_facts:

- name: Say how much memory it has
  ansible.builtin.debug:
    msg: "{{ ansible_facts['pg_host'].memory_bytes | human_readable }}"
"""

RETURN = r"""
ansible_facts:
  description: Facts to add.
  returned: success
  type: dict
  contains:
    pg_host:
      description: What the host has.
      type: dict
      contains:
        memory_bytes:
          description: Memory that programs may use.
          type: int
        cpus:
          description: CPUs that programs may use.
          type: int
        shm_bytes:
          description: Size of C(/dev/shm), where parallel index builds keep their data; -1 where there is none.
          type: int
  sample:
    pg_host:
      memory_bytes: 8589934592
      cpus: 4
      shm_bytes: 4294967296
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._host import Machine


def main() -> None:
    """Report."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, ansible_facts={"pg_host": Machine().facts()})


if __name__ == "__main__":
    main()
