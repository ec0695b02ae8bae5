#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The extension vector in all databases of a server."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgvector_update
short_description: Bring the extension vector of every database to the installed version
version_added: 0.1.0
description:
  - Looks into every database of the server, and updates the extension (C(ALTER EXTENSION vector UPDATE)) where it is older than the
    version that is installed on the host, when O(update) allows it.
  - Warns of databases that are behind, and of HNSW indexes that must be built again because an older version may have damaged them. Indexes
    are never built again by this module.
  - Changes nothing on a standby.
options:
  update:
    description: Whether to update. Otherwise the module says which databases are behind.
    type: bool
    default: false
  login_unix_socket:
    description: Directory of the server's Unix socket.
    type: path
    default: /var/run/postgresql
  login_port:
    description: Port of the server.
    type: int
    default: 5432
  login_user:
    description: The superuser to log in with. Run the module as the operating system's account of that name.
    type: str
    default: postgres
attributes:
  check_mode:
    description: Says which databases would be updated.
    support: full
  diff_mode:
    description: Shows the versions before and after.
    support: full
requirements:
  - psycopg >= 3.1 on the host
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Bring the extension to the installed version everywhere
  pgsteward.postgres.pgvector_update:
    update: true
  become: true
  become_user: postgres
"""

RETURN = r"""
installed:
  description: The version that is installed on the host, null when there is none.
  returned: success
  type: str
  sample: 0.8.4
databases:
  description: The version that each database has, after the update; databases without the extension are left out.
  returned: success
  type: dict
  sample: {shop: 0.8.4}
updated:
  description: Databases that were updated.
  returned: success
  type: list
  elements: str
  sample: [shop]
reindex:
  description: HNSW indexes that an older version may have damaged, by database.
  returned: success
  type: dict
  sample: {shop: [public.items_embedding_idx]}
gates:
  description: What the installed version cannot do safely, each with C(since), C(fixed), C(fault) and C(remedy).
  returned: success
  type: list
  elements: dict
  sample: []
findings:
  description: The warnings, one line each.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgvector_update import apply

ARGUMENT_SPEC = {
    "update": {"type": "bool", "default": False},
    "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
}


def main() -> None:
    """Update where it is allowed and not in check mode, warn, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    place = Place("postgres", given["login_unix_socket"], given["login_port"], given["login_user"])
    try:
        result = apply(place, given["update"], dry_run=module.check_mode)
    except StewardError as error:
        module.fail_json(msg=str(error), **error.facts)
    for line in result["findings"]:
        module.warn(line)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
