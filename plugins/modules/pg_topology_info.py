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
  - Needs nothing on a bare host. Where there is a server it is asked by its own C(psql), as O(login_user) over the local socket. A server
    that does not run is known by its control file (C(pg_controldata)).
options:
  data_directory:
    description: Data directory of the instance.
    type: path
    required: true
  bin_directory:
    description: Directory of the server's own programs, C(psql) and C(pg_controldata). Without it they are looked for where packages put them.
    type: path
  fence_file:
    description: The file that keeps the server from starting, see M(pgsteward.postgres.pg_fence).
    type: path
  wal_end:
    description: Look up to where a server that is stopped has written. It reads all WAL since the last checkpoint.
    type: bool
    default: false
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
      description: Timeline on which the server writes, or up to which it follows.
      type: int
    lsn:
      description: Position that was written (primary), replayed (standby), or of the last checkpoint (stopped).
      type: str
    received_lsn:
      description: Position up to which a standby has received and flushed the WAL.
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
    last_commit:
      description: When the last commit that a standby has replayed was made, as UTC.
      type: str
    replay_paused:
      description: Whether a standby's replay is paused.
      type: bool
    slots:
      description: Physical replication slots, with whether they are in use, what they keep (C(wal_status)) and their position.
      type: list
      elements: dict
    synchronous_standby_names:
      description: The setting of that name.
      type: str
    floor:
      description: Settings of a primary that its standbys must not have lower.
      type: dict
    oldest_transaction:
      description: Seconds since the oldest open transaction of a client began; 0 without any.
      type: float
    clients:
      description: Accounts and addresses that are connected over the network, each pair once.
      type: list
      elements: dict
    archiving:
      description: Whether the server archives its WAL.
      type: bool
    standby_signal:
      description: Whether the data directory says that the server is to start as a standby.
      type: bool
    wal_end:
      description: Where the WAL of a stopped server ends, with O(wal_end). It is behind RV(instance.lsn) when the server was lost.
      type: str
    clean:
      description: Whether a stopped server was shut down, rather than lost.
      type: bool
    fenced:
      description: Whether the server is kept from starting.
      type: bool
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
    standby_signal: false
    fenced: false
"""

import json
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _controldata, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import (
    EMPTY,
    STANDBY,
    STOPPED,
    UNREACHABLE,
    unfinished_mark,
)

ARGUMENT_SPEC = {
    "data_directory": {"type": "path", "required": True},
    "bin_directory": {"type": "path"},
    "fence_file": {"type": "path"},
    "wal_end": {"type": "bool", "default": False},
    "login_user": {"type": "str", "default": "postgres"},
    "timeout": {"type": "int", "default": 10},
}

# The timeline of a primary is in the name of the file it writes: its control file shows the old one until the first checkpoint after a
# promotion. A standby is where its receiver is, or where its control file says that it has to get to, or where its WAL is (observe).
QUERY = """
SELECT json_build_object(
  'state', CASE WHEN recovery THEN 'standby' ELSE 'primary' END,
  'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', CASE WHEN recovery THEN greatest(
      (SELECT timeline_id FROM pg_control_checkpoint()), (SELECT received_tli FROM pg_stat_wal_receiver),
      (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'lsn', CASE WHEN recovery THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
  'received_lsn', CASE WHEN recovery THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) END,
  'replay_paused', CASE WHEN recovery THEN pg_is_wal_replay_paused() ELSE false END,
  'version', current_setting('server_version_num')::int,
  'last_commit', CASE WHEN recovery THEN pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC' END,
  'upstream', (SELECT sender_host FROM pg_stat_wal_receiver WHERE status = 'streaming'),
  'synchronous_standby_names', current_setting('synchronous_standby_names'),
  'archiving', current_setting('archive_mode') <> 'off',
  'floor', (SELECT json_object_agg(name, setting::int) FROM pg_settings WHERE name IN ('max_connections', 'max_worker_processes',
      'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')),
  'oldest_transaction', (SELECT coalesce(round(extract(epoch FROM max(clock_timestamp() - xact_start))::numeric, 3), 0)
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  'clients', (SELECT coalesce(json_agg(DISTINCT jsonb_build_object('user', usename, 'address', host(client_addr))), '[]'::json)
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND client_addr IS NOT NULL),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'active', active, 'wal_status', wal_status,
      'lsn', restart_lsn) ORDER BY slot_name), '[]'::json) FROM pg_replication_slots WHERE slot_type = 'physical'),
  'followers', (SELECT coalesce(json_agg(json_build_object(
      'name', application_name, 'address', client_addr, 'state', state, 'sync_state', sync_state,
      'lag_bytes', CASE WHEN recovery THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) END)
      ORDER BY application_name), '[]'::json) FROM pg_stat_replication))
FROM pg_is_in_recovery() AS here (recovery)
"""


def observe(
    data_directory: Path, bin_directory: Path | None, fence_file: Path | None, wal_end: bool, user: str, timeout: int
) -> dict[str, Any]:
    """Return what is known of the instance in `data_directory`; see RETURN."""
    # A copy of the primary that was cut short is as good as no data.
    if not (data_directory / "PG_VERSION").exists() or unfinished_mark(data_directory).exists():
        return {"state": EMPTY}
    marks = {
        "standby_signal": (data_directory / "standby.signal").exists(),
        "fenced": fence_file is not None and fence_file.exists(),
    }
    server = _postmaster.find(data_directory)
    if server is None:
        return {**stopped(data_directory, bin_directory, wal_end), **marks}
    psql = str(bin_directory / "psql") if bin_directory and (bin_directory / "psql").exists() else "psql"
    answer = ask([psql, "-h", server.socket_directory, "-p", str(server.port), "-U", user], user, timeout)
    return {**answer, **marks, **newest(answer, data_directory)}


def newest(answer: dict[str, Any], data_directory: Path) -> dict[str, Any]:
    """Return the timeline of an answer, or that of a standby's newest WAL where this is later: nobody streams once the primary is lost."""
    held = _controldata.written(data_directory, 0) if answer["state"] == STANDBY else None
    return {"timeline": max(answer["timeline"], held.timeline)} if held else {}


def stopped(data_directory: Path, bin_directory: Path | None, wal_end: bool) -> dict[str, Any]:
    """Return what the control file of a server that does not run says; little where the programs are missing."""
    programs = bin_directory or packaged(data_directory)
    try:
        control = _controldata.read(programs, data_directory)
        held = _controldata.written(data_directory, control.wal_segment_bytes)
        end = _controldata.wal_end(programs, data_directory, _controldata.newest(control, held)) if wal_end else None
    except StewardError as error:
        return {"state": STOPPED, "reason": str(error)}
    return {
        "state": STOPPED,
        "system_identifier": control.system_identifier,
        "timeline": max(control.timeline, control.min_recovery_timeline or 0, held.timeline if held else 0),
        "lsn": str(max(control.checkpoint, control.min_recovery or control.checkpoint)),
        "clean": control.state in (_controldata.SHUT_DOWN, _controldata.SHUT_DOWN_IN_RECOVERY),
        **({"wal_end": str(end)} if end else {}),
    }


def packaged(data_directory: Path) -> Path:
    """Return where packages put the programs of the version that `data_directory` holds."""
    version = (data_directory / "PG_VERSION").read_text().strip()
    places = [Path(f"/usr/lib/postgresql/{version}/bin"), Path(f"/usr/pgsql-{version}/bin")]
    return next((place for place in places if place.exists()), Path("/usr/bin"))


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
        instance=observe(
            Path(given["data_directory"]),
            Path(given["bin_directory"]) if given["bin_directory"] else None,
            Path(given["fence_file"]) if given["fence_file"] else None,
            given["wal_end"],
            given["login_user"],
            given["timeout"],
        ),
    )


if __name__ == "__main__":
    main()
