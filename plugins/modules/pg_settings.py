#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One owned settings file of a PostgreSQL server, checked before it is put in place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_settings
short_description: Own one settings file of a PostgreSQL server
version_added: 0.1.0
description:
  - Writes O(settings) to O(path), a file that the server's configuration includes and that nothing else writes.
  - A candidate is checked by the server's own binary first (C(postgres -C) with a configuration that ends with the candidate), so that
    an unknown name or a wrong value never gets near the live configuration.
  - After that the file is put in place, C(pg_file_settings) is asked, the server reloads, and the module waits until it has done so.
    If the server finds an error, the former file is put back and nothing is reloaded.
  - Settings of ours that something read after the file would override are an error, because they would not be in force. That is a later file,
    a line of O(config_file) behind the one that includes the directory, or C(postgresql.auto.conf). The error names all of them.
    A later file that another role of the collection owns may override ours, as that of archiving does.
  - The server also reloads when one of the files that O(settings) names for TLS is younger than its last reload.
  - Makes the directory of O(path), and the line of O(config_file) that includes it, when they are missing.
  - Restarts nothing. RV(pending_restart) says which settings wait for a restart.
options:
  path:
    description: The file to own, below a directory that O(config_file) includes.
    type: path
    required: true
  settings:
    description: Setting names and values. Booleans become on and off, lists are joined by commas, null leaves a setting out.
    type: dict
    required: true
  yielding:
    description: Names of settings that are left out, all of them, as soon as a file that no role of the collection owns sets one of them.
    type: list
    elements: str
    default: []
  config_file:
    description: The server's C(postgresql.conf).
    type: path
    required: true
  data_directory:
    description: The server's data directory. It tells whether a server runs, and on which socket and port.
    type: path
    required: true
  bin_directory:
    description: Directory of the C(postgres) binary of the same major version.
    type: path
    required: true
  role:
    description:
      - The role that owns the file, which its first line names. A file that an earlier run made under another name is ours all the same, and
        gets the right one once.
    type: str
    default: pg_server
  login_user:
    description: The superuser to log in with, over the local socket. Run the module as the operating system's account of that name.
    type: str
    default: postgres
attributes:
  check_mode:
    description: The candidate is checked in full; nothing is written and nothing is reloaded.
    support: full
  diff_mode:
    description: Shows the file before and after.
    support: full
requirements:
  - psycopg >= 3.1 on the host when the server runs; check mode makes do with C(psql)
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Give the server its settings
  pgsteward.postgres.pg_settings:
    path: /etc/postgresql/17/main/conf.d/50-pgsteward.conf
    settings:
      shared_buffers: 2GB
      log_min_duration_statement: 1s
    config_file: /etc/postgresql/17/main/postgresql.conf
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
  become: true
  become_user: postgres
"""

RETURN = r"""
pending_restart:
  description: Settings that take effect at a restart only. In check mode those that would.
  returned: success
  type: list
  elements: str
  sample: [shared_buffers]
unmanaged:
  description: Settings that other files set to something else than the default, and O(settings) does not name. They stay in force.
  returned: success
  type: list
  elements: dict
  sample: [{name: deadlock_timeout, value: 2s, file: /etc/postgresql/17/main/conf.d/10-admin.conf, line: 3}]
overridden:
  description: Settings that other files set, and that get another value from this run.
  returned: success
  type: list
  elements: dict
  sample: [{name: max_connections, value: "300", file: /etc/postgresql/17/main/postgresql.conf, line: 65, becomes: "100"}]
reloaded:
  description: Whether the server was told to read its configuration again, and did. In check mode whether it would be.
  returned: success
  type: bool
  sample: true
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._server_settings import Installation, apply

ARGUMENT_SPEC = {
    "path": {"type": "path", "required": True},
    "settings": {"type": "dict", "required": True},
    "yielding": {"type": "list", "elements": "str", "default": []},
    "config_file": {"type": "path", "required": True},
    "data_directory": {"type": "path", "required": True},
    "bin_directory": {"type": "path", "required": True},
    "role": {"type": "str", "default": "pg_server"},
    "login_user": {"type": "str", "default": "postgres"},
}


def main() -> None:
    """Check the candidate, put it in place unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    installation = Installation(
        owned_file=Path(given["path"]),
        config_file=Path(given["config_file"]),
        data_directory=Path(given["data_directory"]),
        bin_directory=Path(given["bin_directory"]),
        user=given["login_user"],
        role=given["role"],
    )
    run(module, lambda: apply(installation, given["settings"], module.check_mode, given["yielding"]))


if __name__ == "__main__":
    main()
