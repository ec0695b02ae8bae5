#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Passwords of roles, set only where they differ from the verifiers that the server has."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_passwords
short_description: Set the passwords of those roles that have another one
version_added: 0.1.0
description:
  - Reads the verifiers of the roles once and computes on the host whether each password belongs to its verifier. Only those that do not
    are set. A verifier that fits stays as it is, because a new salt would make every copy of it stale, such as a pooler's.
  - A new verifier is computed on the client's side, so that no statement carries a clear password. All are set in one transaction.
  - While they are set, the session keeps its statements out of the server's log, of C(pg_stat_activity), C(pg_stat_statements) and
    C(pgaudit). Another extension that records statements may still see a verifier, which is a hash and not a login.
  - A password that is stored as an MD5 hash is set anew, whatever it is.
  - Leaves C(VALID UNTIL) as it is, and takes no password away.
options:
  passwords:
    description:
      - Passwords by role. A value that is itself a SCRAM-SHA-256 verifier is stored as it is.
    type: dict
    required: true
  login_user:
    description:
      - Superuser to log in as. Only superusers may read verifiers.
    type: str
    default: postgres
  login_db:
    description:
      - Database to log in to. Roles belong to all databases alike.
    type: str
    default: postgres
extends_documentation_fragment:
  - pgsteward.postgres.connection
attributes:
  check_mode:
    description: Verifiers are read and compared, and none is set. A role that does not exist counts as one whose password would be set.
    support: full
  diff_mode:
    description: Names the roles, and nothing of their passwords.
    support: full
notes:
  - Refuses a connection pooler, and a standby.
seealso:
  - module: community.postgresql.postgresql_user
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Set the passwords that differ, as the superuser over the local socket
  pgsteward.postgres.pg_passwords:
    passwords: "{{ vault_pg_access_passwords }}"
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres
  no_log: true

- name: Set a password of which only the verifier is known here
  pgsteward.postgres.pg_passwords:
    passwords:
      powergym_app: "{{ vault_powergym_app_verifier }}"
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres
  no_log: true
"""

RETURN = r"""
roles:
  description: Roles whose password was set. In check mode those whose password would be.
  returned: success
  type: list
  elements: str
  sample: [powergym_app]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import (
    connect,
    place_from_params,
    read_server,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._passwords import set_passwords

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "passwords": {"type": "dict", "required": True, "no_log": True},
    "login_host": {"type": "str"},
    "login_unix_socket": {"type": "path"},
    "login_port": {"type": "int"},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str", "default": "postgres"},
    "ssl_mode": {"type": "str", "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_rootcert"]},
}


def main() -> None:
    """Compare, set what differs unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    place = place_from_params(module.params)

    def result() -> dict[str, Any]:
        with connect(place, "pgsteward pg_passwords") as connection:
            read_server(connection, place)
            roles = set_passwords(connection, module.params["passwords"], dry_run=module.check_mode)
        lines = "".join(f"{role}: another password\n" for role in roles)
        diff = {"before": "", "after": lines, "after_header": "passwords"}
        return {"changed": bool(roles), "roles": roles, **({"diff": diff} if module._diff and roles else {})}

    run(module, result)


if __name__ == "__main__":
    main()
