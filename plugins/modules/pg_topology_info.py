#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the server on this host says of itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_topology_info
short_description: State of the PostgreSQL server on a host
version_added: 0.1.0
description:
  - Says whether the host holds data, whether a server runs on it, and whether that is a primary or a standby, on which timeline, at which
    position, with which followers. The server is asked, never the inventory.
  - Needs nothing on a bare host. Where there is a server it is asked by its own C(psql), as O(login_user) over the local socket.
options:
  data_directory:
    description: Data directory of the instance.
    type: path
    required: true
  psql:
    description: Name or path of the C(psql) command.
    type: str
    default: psql
  login_user:
    description: Superuser of the instance and the operating system's account of that name.
    type: str
    default: postgres
  timeout:
    description: Seconds to wait for an answer of the server.
    type: int
    default: 10
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
- name: Ask the server
  pgsteward.postgres.pg_topology_info:
    data_directory: /var/lib/postgresql/17/main
  become: true
  register: result
"""

RETURN = r"""
instance:
  description: What is known of the instance.
  returned: success
  type: dict
  contains:
    state:
      description: One of V(empty), V(stopped), V(primary), V(standby), V(unreachable).
      type: str
    system_identifier:
      description: Identity of the cluster, as text; it exceeds what JSON numbers hold.
      type: str
    timeline:
      description: Timeline of the last checkpoint.
      type: int
    lsn:
      description: Position that was written (primary) or replayed (standby).
      type: str
    version:
      description: Version of the server as a number.
      type: int
    followers:
      description: Standbys that stream from this server, with their state and lag in bytes.
      type: list
      elements: dict
    upstream:
      description: Host that a standby streams from.
      type: str
    reason:
      description: Why the server is V(unreachable).
      type: str
  sample:
    state: primary
    system_identifier: "7412345678901234567"
    timeline: 1
    lsn: 0/3000148
    version: 170012
    followers: []
"""

import json
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import EMPTY, STOPPED, UNREACHABLE

ARGUMENT_SPEC = {
    "data_directory": {"type": "path", "required": True},
    "psql": {"type": "str", "default": "psql"},
    "login_user": {"type": "str", "default": "postgres"},
    "timeout": {"type": "int", "default": 10},
}

QUERY = """
SELECT json_build_object(
  'state', CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
  'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', (SELECT timeline_id FROM pg_control_checkpoint()),
  'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
  'version', current_setting('server_version_num')::int,
  'upstream', (SELECT sender_host FROM pg_stat_wal_receiver),
  'followers', (SELECT coalesce(json_agg(json_build_object(
      'name', application_name, 'address', client_addr, 'state', state, 'sync_state', sync_state,
      'lag_bytes', CASE WHEN pg_is_in_recovery() THEN NULL
                        ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) END)), '[]'::json)
    FROM pg_stat_replication))
"""


def observe(data_directory: Path, psql: str, user: str, timeout: int) -> dict[str, Any]:
    """Return what is known of the instance in `data_directory`; see RETURN."""
    if not (data_directory / "PG_VERSION").exists():
        return {"state": EMPTY}
    try:
        pid, _directory, _started, port, socket_directory = (
            (data_directory / "postmaster.pid").read_text().splitlines()[:5]
        )
    except (FileNotFoundError, ValueError):
        return {"state": STOPPED}
    if not Path(f"/proc/{pid}").exists():
        return {"state": STOPPED}
    return ask([psql, "-h", socket_directory.strip() or "localhost", "-p", port, "-U", user], user, timeout)


def ask(command: list[str], user: str, timeout: int) -> dict[str, Any]:
    """Return the answer of the server that `command` (a psql with its address) reaches, as the account `user` when run as root."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PGOPTIONS": f"-c search_path=pg_catalog,pg_temp -c statement_timeout={timeout}s",
        "PGCONNECT_TIMEOUT": str(timeout),
    }
    account = pwd.getpwnam(user)
    identity: dict[str, Any] = (
        {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    try:
        answer = subprocess.run(
            [*command, "-d", "postgres", "-XAtqw", "-c", QUERY],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=environment,
            timeout=2 * timeout,
            **identity,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {"state": UNREACHABLE, "reason": str(error)}
    if answer.returncode:
        return {"state": UNREACHABLE, "reason": " ".join(answer.stderr.split())}
    return json.loads(answer.stdout)


def main() -> None:
    """Report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    module.exit_json(
        changed=False,
        instance=observe(Path(given["data_directory"]), given["psql"], given["login_user"], given["timeout"]),
    )


if __name__ == "__main__":
    main()
