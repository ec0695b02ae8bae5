#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The admin console of a PgBouncer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_admin
short_description: Pause, resume, reload, reconnect and look at a PgBouncer
version_added: 0.1.0
description:
  - Runs one command on the admin console, over the Unix socket as the account that runs the pooler, or over TCP with TLS as one of its admins.
  - C(pause) holds the clients of entries back as soon as their open transactions have ended. If that takes longer than O(timeout), everything
    that this call has paused is resumed and the task fails. Entries that are paused already stay so, and resumed ones too.
  - C(reload) makes the pooler read its files. C(reconnect) replaces each server connection when it is next free, as is needed after DDL
    that changes what a prepared statement returns.
options:
  command:
    description: What to do.
    type: str
    choices: [pause, resume, reload, reconnect, show]
    required: true
  database:
    description: The entry to pause, resume or reconnect. All of them when it is not given.
    type: str
  what:
    description: What to show, such as V(databases), V(pools), V(clients), V(servers), V(stats), V(config) or V(version).
    type: str
    default: databases
  timeout:
    description: Seconds that the command may take; for C(pause) all entries together.
    type: float
    default: 3
  login_host:
    description: Address of the pooler. Without it the Unix socket is used.
    type: str
  login_unix_socket:
    description: Directory of the pooler's Unix socket.
    type: path
    default: /run/pgbouncer
  login_port:
    description: Port of the pooler, which is part of the socket's name.
    type: int
    default: 6432
  login_user:
    description:
      - One of the pooler's admins. V(pgbouncer) is let in over the Unix socket without a password when the module runs as the account that runs
        the pooler.
    type: str
    default: pgbouncer
  ssl_mode:
    description: How TLS is used over TCP and what is verified.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: verify-full
extends_documentation_fragment: [pgsteward.postgres.connection]
attributes:
  check_mode:
    description: Looks at the entries, and says what would be done. C(show) works as usual.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
notes:
  - O(login_db) is accepted so that defaults of the action group do no harm, and not used.
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Hold the clients of one database back
  pgsteward.postgres.pgbouncer_admin:
    command: pause
    database: powergym
    timeout: 5
  become: true
  become_user: postgres

- name: Let all clients go on
  pgsteward.postgres.pgbouncer_admin:
    command: resume
  become: true
  become_user: postgres

- name: See how many clients wait, from another host
  pgsteward.postgres.pgbouncer_admin:
    command: show
    what: pools
    login_host: 10.20.0.21
    login_user: pooler_operations
    login_password: "{{ vault_pooler_operations }}"
    ca_cert: /etc/pgsteward/tls/ca.crt
"""

RETURN = r"""
entries:
  description: Entries that were paused, resumed or reconnected. In check mode those that would be.
  returned: success
  type: list
  elements: str
  sample: [powergym]
rows:
  description: What C(show) answers, by column, all of it text.
  returned: success
  type: list
  elements: dict
  sample: [{"database": "powergym", "user": "powergym_app", "cl_active": "12", "cl_waiting": "0", "sv_active": "3"}]
seconds:
  description: How long the command took.
  returned: success
  type: float
  sample: 0.012
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbouncer_admin as admin
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_console import (
    Console,
    ConsolePlace,
    named,
    open_console,
)

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "command": {"type": "str", "choices": ["pause", "resume", "reload", "reconnect", "show"], "required": True},
    "database": {"type": "str"},
    "what": {"type": "str", "default": "databases"},
    "timeout": {"type": "float", "default": 3},
    "login_host": {"type": "str"},
    "login_unix_socket": {"type": "path", "default": "/run/pgbouncer"},
    "login_port": {"type": "int", "default": 6432},
    "login_user": {"type": "str", "default": "pgbouncer"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "ssl_mode": {
        "type": "str",
        "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "default": "verify-full",
    },
    "ca_cert": {"type": "path", "aliases": ["ssl_rootcert"]},
}


def place_of(given: dict[str, Any]) -> ConsolePlace:
    """Return the console that the options name."""
    remote = given["login_host"]
    return ConsolePlace(
        name=remote or "of this host",
        host=remote or given["login_unix_socket"],
        port=given["login_port"],
        user=given["login_user"],
        password=given["login_password"],
        ca_cert=given["ca_cert"] if remote else None,
        ssl_mode=given["ssl_mode"] if remote else None,
    )


def act(console: Console, given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Do what is asked for unless dry_run; return the result without its time."""
    command, database, timeout = given["command"], given["database"], given["timeout"]
    if command == "show":
        return {"changed": False, "entries": [], "rows": console.show(given["what"], timeout)}
    if command in ("pause", "resume"):
        names = admin.chosen(console, database, paused=command == "resume")
        if names and not dry_run:
            admin.pause(console, names, timeout) if command == "pause" else admin.resume(console, names)
        return {"changed": bool(names), "entries": names, "rows": []}
    names = []
    if command == "reconnect":
        names = sorted({*admin.chosen(console, database, paused=True), *admin.chosen(console, database, paused=False)})
    if not dry_run:
        console.run(named("RECONNECT", database) if command == "reconnect" else "RELOAD", timeout)
    return {"changed": True, "entries": names, "rows": []}


def main() -> None:
    """Connect, act unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)

    def result() -> dict[str, Any]:
        with open_console(place_of(module.params)) as console:
            begun = time.monotonic()
            done = act(console, module.params, module.check_mode)
            return {**done, "seconds": round(time.monotonic() - begun, 3)}

    run(module, result)


if __name__ == "__main__":
    main()
