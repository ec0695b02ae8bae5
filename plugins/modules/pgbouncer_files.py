#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a PgBouncer: tried by PgBouncer itself, put in place, and read without dropping clients."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_files
short_description: Own the configuration of a PgBouncer
version_added: 0.1.0
description:
  - Writes C(pgbouncer.ini), C(databases.ini), C(hba.conf) and C(userlist.txt) whole, as far as they differ, and makes the running pooler
    read them. Clients stay connected.
  - Before anything is touched, PgBouncer itself is started with the new files on a socket of its own, without a port, and ended again,
    which takes about 0.1 seconds. If it complains of a single line, the old files stay.
  - If the running pooler does not take the new files, the old ones are put back.
  - Files that are right but younger than the pooler's last reload, such as after a run that was cut short or after a new certificate, are
    reloaded.
  - Must run as root, on the pooler's host.
options:
  entries:
    description: The entries of C(databases.ini), as P(pgsteward.postgres.pgbouncer_plan#filter) makes them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What clients call it.
        type: str
        required: true
      database:
        description: Database on the server.
        type: str
        required: true
      writable:
        description: Whether it leads to the primary rather than to the standbys.
        type: bool
        required: true
      pool:
        description: Server connections for each account.
        type: int
        required: true
      limit:
        description: Server connections for all accounts together.
        type: int
        required: true
      mode:
        description: When a server connection goes back to the pool.
        type: str
        choices: [transaction, session, statement]
        default: transaction
  primary:
    description: Address of the server that takes writes.
    type: str
    required: true
  standbys:
    description: Addresses of the servers that follow it. Without any, reading entries lead to the primary.
    type: list
    elements: str
    default: []
  server_port:
    description: Port of the servers.
    type: int
    default: 5432
  lookup_user:
    description: Account that looks up passwords on the servers.
    type: str
    default: pgbouncer_lookup
  lookup_password:
    description: Its password.
    type: str
  operations_user:
    description: Admin of the pooler, who is no account of the servers.
    type: str
    default: pooler_operations
  operations_password:
    description: Its password or SCRAM verifier. Without it there is no such account.
    type: str
  settings:
    description:
      - Settings of C(pgbouncer.ini) by name. Null leaves one out. Those of ours that the installed version does not know are left out.
      - Without it, C(databases.ini) is the only file that is looked at.
    type: dict
  hba:
    description: Text of C(hba.conf). Required with O(settings).
    type: str
  watched:
    description: Further files that the pooler reads, such as certificates.
    type: list
    elements: path
    default: []
  keep_former:
    description: Keep the C(databases.ini) that is replaced as C(databases.ini.former).
    type: bool
    default: false
  reload:
    description: Make the running pooler read the files. Without it they wait for the next reload.
    type: bool
    default: true
  directory:
    description: Directory of the files.
    type: path
    default: /etc/pgbouncer
  socket_directory:
    description: Directory of the running pooler's Unix socket.
    type: path
    default: /run/pgbouncer
  port:
    description: Port of the pooler, which is part of the socket's name.
    type: int
    default: 6432
  account:
    description: The operating system's account that runs the pooler.
    type: str
    default: postgres
  binary:
    description: The program.
    type: path
    default: /usr/sbin/pgbouncer
attributes:
  check_mode:
    description: The candidate is tried as in the real run, below the temporary directory. Nothing is written or reloaded.
    support: full
  diff_mode:
    description: Shows every file but C(userlist.txt), of which the names are shown.
    support: full
requirements:
  - psycopg 3 for the interpreter that runs the module
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Lead all entries to the new primary from the next reload on
  pgsteward.postgres.pgbouncer_files:
    entries: "{{ __pgbouncer_plan.entries }}"
    primary: 10.20.0.12
    standbys: [10.20.0.11, 10.20.0.13]
    keep_former: true
    reload: false
"""

RETURN = r"""
version:
  description: Version of the installed PgBouncer. Null in check mode where there is none yet.
  returned: success
  type: str
  sample: 1.24.1
written:
  description: Files that are written. In check mode those that would be.
  returned: success
  type: list
  elements: str
  sample: [databases.ini]
reloaded:
  description: Whether the running pooler read its files. In check mode whether it would.
  returned: success
  type: bool
  sample: true
running:
  description: Whether a pooler answers on the Unix socket.
  returned: success
  type: bool
  sample: true
waiting:
  description: Settings that the running pooler takes at a restart only, and does not have yet.
  returned: success
  type: list
  elements: str
  sample: [listen_addr]
holes:
  description: What the installed version lacks, one line each.
  returned: success
  type: list
  elements: str
  sample: []
limits:
  description: What clients and operators of the installed version have to know, one line each.
  returned: success
  type: list
  elements: str
  sample: []
complaints:
  description: What PgBouncer says of the new files.
  returned: when it refuses them
  type: list
  elements: str
  sample: ['unknown parameter: pgbouncer/pool_idle_timeout in configuration (/etc/pgbouncer/pgbouncer.ini:9)']
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbouncer_files as files
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer import INI, USERS, read_userlist
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_findings import hole_lines, limits

ENTRY_SPEC = {
    "name": {"type": "str", "required": True},
    "database": {"type": "str", "required": True},
    "writable": {"type": "bool", "required": True},
    "pool": {"type": "int", "required": True},
    "limit": {"type": "int", "required": True},
    "mode": {"type": "str", "choices": ["transaction", "session", "statement"], "default": "transaction"},
}
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "entries": {"type": "list", "elements": "dict", "required": True, "options": ENTRY_SPEC},
    "primary": {"type": "str", "required": True},
    "standbys": {"type": "list", "elements": "str", "default": []},
    "server_port": {"type": "int", "default": 5432},
    "lookup_user": {"type": "str", "default": "pgbouncer_lookup"},
    "lookup_password": {"type": "str", "no_log": True},
    "operations_user": {"type": "str", "default": "pooler_operations"},
    "operations_password": {"type": "str", "no_log": True},
    "settings": {"type": "dict"},
    "hba": {"type": "str"},
    "watched": {"type": "list", "elements": "path", "default": []},
    "keep_former": {"type": "bool", "default": False},
    "reload": {"type": "bool", "default": True},
    "directory": {"type": "path", "default": "/etc/pgbouncer"},
    "socket_directory": {"type": "path", "default": "/run/pgbouncer"},
    "port": {"type": "int", "default": 6432},
    "account": {"type": "str", "default": "postgres"},
    "binary": {"type": "path", "default": "/usr/sbin/pgbouncer"},
}


def converge(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Bring the files and the running pooler to what is given unless dry_run; return the result."""
    pooler = files.Pooler(
        directory=Path(given["directory"]),
        binary=given["binary"],
        account=given["account"],
        socket_directory=Path(given["socket_directory"]),
        port=given["port"],
        watched=tuple(Path(path) for path in given["watched"]),
    )
    version = files.version_of(pooler.binary)
    if version is None and not dry_run:
        raise StewardError(f"PgBouncer is not installed here: there is no {pooler.binary}")
    texts = files.wanted_texts(pooler, given, version or "")
    names = files.differing(pooler, texts) if version else list(texts)
    diff = [_difference(pooler, name, texts[name]) for name in names]
    if names and version:
        files.try_out(pooler, texts)
    running = bool(version) and files.is_running(pooler)
    due = given["reload"] and running and (bool(names) or files.is_stale(pooler))
    if not dry_run:
        before = files.put(pooler, texts, names, keep_former=given["keep_former"])
        if due:
            _reload_or_restore(pooler, before)
    return {
        "changed": bool(names) or due,
        "version": version,
        "written": names,
        "reloaded": due,
        "running": running,
        "waiting": files.waiting(pooler, texts[INI]) if running and INI in texts else [],
        "holes": hole_lines(version or "", files.package_of(pooler.binary)) if version else [],
        "limits": limits(version) if version else [],
        "diff": diff,
    }


def _reload_or_restore(pooler: files.Pooler, before: dict[str, str | None]) -> None:
    try:
        files.reload(pooler)
    except StewardError as error:
        for name, text in before.items():
            _owned_file.restore(pooler.directory / name, text)
        files.reload(pooler)
        raise StewardError(
            f"the running pooler does not take the new files, and the old ones are back: {error}"
        ) from None


def _difference(pooler: files.Pooler, name: str, text: str) -> dict[str, str]:
    path = pooler.directory / name
    before, after = _owned_file.readable(_owned_file.read(path)), text
    if name == USERS:
        before, after = (
            "".join(f"{user}: (a secret)\n" for user in read_userlist(content)) for content in (before, after)
        )
    return {"before": before, "after": after, "before_header": str(path), "after_header": str(path)}


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
    )
    if module.params["settings"] is not None and (module.params["hba"] is None or not module.params["lookup_password"]):
        module.fail_json(msg="settings are the whole configuration: give hba and lookup_password as well")
    run(module, lambda: converge(module.params, module.check_mode))


if __name__ == "__main__":
    main()
