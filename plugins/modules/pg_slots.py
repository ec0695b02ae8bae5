#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The physical slots that a server holds for the other nodes of its cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_slots
short_description: Hold physical replication slots for the other nodes of a cluster
version_added: 0.1.0
description:
  - Makes the slots of O(slots) and drops those of our own (their names begin with C(pgsteward_)) that are not named. Slots of others are
    left alone, and so is one that is in use.
  - A primary's slots keep WAL from the moment they are made; a standby's keep none until somebody uses them, because it would fill the disk.
    Those of a former primary are made anew.
  - A slot that the server has given up (C(wal_status) V(lost)) is made anew. The standby it belonged to needs a new base backup.
options:
  slots:
    description: Names of the wanted slots.
    type: list
    elements: str
    required: true
  reserved:
    description: Whether new slots keep WAL at once. By default on a primary, and not on a standby.
    type: bool
  login_unix_socket:
    description: Directory of the server's socket.
    type: path
    default: /var/run/postgresql
  login_port:
    description: Port of the server.
    type: int
    default: 5432
  login_user:
    description: Superuser to log in as.
    type: str
    default: postgres
attributes:
  check_mode:
    description: Nothing is made or dropped.
    support: full
  diff_mode:
    description: Shows the names before and after.
    support: full
requirements:
  - psycopg >= 3.1 on the host
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Hold slots for the two other nodes
  pgsteward.postgres.pg_slots:
    slots: [pgsteward_db2, pgsteward_db3]
  become: true
  become_user: postgres
"""

RETURN = r"""
created:
  description: Slots that were made, also those made anew.
  returned: success
  type: list
  elements: str
  sample: [pgsteward_db2]
dropped:
  description: Slots that were dropped.
  returned: success
  type: list
  elements: str
  sample: []
reserved:
  description: Whether the new ones keep WAL at once.
  returned: success
  type: bool
  sample: true
busy:
  description: Slots of ours that are not wanted and in use, so they stay.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._slots import apply

ARGUMENT_SPEC = {
    "slots": {"type": "list", "elements": "str", "required": True},
    "reserved": {"type": "bool"},
    "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
}


def main() -> None:
    """Compare, make and drop unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    place = Place("postgres", given["login_unix_socket"], given["login_port"], given["login_user"])
    try:
        result = apply(place, given["slots"], given["reserved"], dry_run=module.check_mode)
    except StewardError as error:
        module.fail_json(msg=str(error), **error.facts)
    for name in result["busy"]:
        module.warn(
            f"the slot {name} belongs to no node of this cluster and is in use; take its standby down, then run again"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
