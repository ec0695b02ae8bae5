#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health of a server: figures, and what of them is wrong."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_health_info
short_description: Say how a PostgreSQL server is, what is wrong with it and what to do next
version_added: 0.1.0
description:
  - Asks a server for its connections, transactions, locks (who blocks whom, as a tree), cache, sizes, freeze ages, dead rows, slow statements,
    indexes, replication, slots, archiving and pending restarts, and the host that it is on for its disks, certificates, the errors of the last
    hour in the server's log, and the last restore drills.
  - Opens one connection for each database and asks a constant number of questions, however many tables there are. None of them waits for a
    lock or reads a table; sizes of tables and indexes are those of the last vacuum or analyze, sizes of databases are exact.
  - Holds the figures against O(thresholds) and returns what is wrong as data, the gravest first.
  - Only reads. With O(state_file) it leaves a few counters on the host, from which the next call computes rates and growth.
options:
  databases:
    description: Databases to look into. Without it all that take connections and are no templates.
    type: list
    elements: str
    default: []
  thresholds:
    description:
      - >-
        From where on a figure is a V(notice), a V(warning) or V(critical), by its name, such as C({connections: {warning: 70, critical: 90}}).
      - A bare number is where the warning begins, and null takes a threshold away. What is not named has its default, see
        RV(thresholds).
    type: dict
    default: {}
  certificates:
    description: Files with certificates whose end is looked at beside the server's own. A name may be a pattern.
    type: list
    elements: str
    default: []
  log_file:
    description: The server's log. By default where the server writes it, if that is a file.
    type: path
  state_file:
    description: File that keeps a few counters from one call to the next. Without it there are no rates and no growth. Not written in check mode.
    type: path
  timeout:
    description: Seconds that each question may take.
    type: int
    default: 10
extends_documentation_fragment: [pgsteward.postgres.connection]
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
notes:
  - The account has to be a member of C(pg_monitor), which sees everything that a superuser does, and to be let into each database.
  - Run as root on the server's host, it logs in over the socket as the operating system's account O(login_user), and can read certificates and
    the log. What could not be looked at is in RV(health.unknown).
  - With O(login_host) the server is taken for one of another host, and nothing is asked of this one.
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look at the server
  pgsteward.postgres.pg_health_info:
    login_user: postgres
    state_file: /var/lib/pgsteward/health.json
    thresholds:
      connections: {warning: 70, critical: 90}
      query: null
  become: true
  register: result

- name: Fail when something is critical
  ansible.builtin.fail:
    msg: "{{ result.findings | selectattr('severity', 'equalto', 'critical') | map(attribute='text') | list }}"
  when: result.severity == 'critical'
"""

RETURN = r"""
health:
  description: The facts. Ages are seconds, moments are seconds since 1970, sizes are bytes; what is not known is null.
  returned: success
  type: dict
  contains:
    format:
      description: Version of this shape.
      type: int
    at:
      description: When the server was asked, by its own clock.
      type: float
    seconds:
      description: How long that took.
      type: float
    role:
      description: V(primary) or V(standby).
      type: str
    version:
      description: Version of the server as a number; C(version_text) is the text.
      type: int
    connections:
      description: Clients by state, user and database, against what the server has room for.
      type: dict
    longest_transaction:
      description: The session with the oldest open transaction.
      type: dict
    longest_query:
      description: The session that has been active for the longest.
      type: dict
    idle_in_transaction:
      description: Sessions that do nothing and keep a transaction open, the longest first.
      type: list
      elements: dict
    blocking:
      description: Sessions that hold others up and wait for nobody; those that wait for one are in its C(blocks), and so on.
      type: list
      elements: dict
    databases:
      description: >-
        Each database with its size, freeze age, counters, C(rates) since the last call, its biggest tables and indexes, dead rows, invalid
        and unused indexes, and extensions.
      type: list
      elements: dict
    followers:
      description: Standbys that stream from this server, with their lag in bytes and seconds.
      type: list
      elements: dict
    slots:
      description: Replication slots with the WAL that they keep.
      type: list
      elements: dict
    archiver:
      description: What became of archiving.
      type: dict
    statements:
      description: >-
        The ten statements with the longest mean time over five calls or more as C(top), and the ten that took most time in all as C(busiest), where
        pg_stat_statements is there.
      type: dict
    disks:
      description: File systems that the server writes to.
      type: list
      elements: dict
    certificates:
      description: Certificates with their end.
      type: list
      elements: dict
    log:
      description: Errors of the last hour by kind, without their values.
      type: dict
    drills:
      description: The last restore drill of each kind on this host.
      type: list
      elements: dict
    pending_restart:
      description: Settings that take effect at a restart.
      type: list
      elements: str
    unknown:
      description: What could not be looked at, and why.
      type: list
      elements: dict
  sample: {format: 1, role: primary, version: 170012, seconds: 0.08, connections: {total: 12, limit: 97, percent: 12.4}, unknown: []}
findings:
  description: What is wrong, the gravest first.
  returned: success
  type: list
  elements: dict
  sample:
    - name: slot_inactive
      severity: warning
      subject: old_standby
      text: nobody reads from the slot old_standby since 2026-11-20 03:12 UTC, and it keeps 3.1 GB of WAL
      next_step: bring its reader back, or drop the slot by SELECT pg_drop_replication_slot('old_standby')
      value: 3328599654.0
      threshold: null
      unit: bytes
severity:
  description: The gravest severity of all findings, null without any.
  returned: success
  type: str
  sample: warning
thresholds:
  description: The thresholds that were used.
  returned: success
  type: dict
  sample: {connections: {unit: percent, notice: null, warning: 80, critical: 95}}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection, _health, _health_facts, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_thresholds as thresholds
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **_connection.ARGUMENTS,
    "databases": {"type": "list", "elements": "str", "default": []},
    "thresholds": {"type": "dict", "default": {}},
    "certificates": {"type": "list", "elements": "str", "default": []},
    "log_file": {"type": "path"},
    "state_file": {"type": "path"},
    "timeout": {"type": "int", "default": 10},
}


def look(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Return the result; only the state file is written, unless dry_run."""
    limits = thresholds.merged(given["thresholds"])
    if given["timeout"] < 1:
        raise StewardError("timeout: give at least 1 second")
    here = not given["login_host"]
    place = _connection.place_from_params({**given, "login_db": given["login_db"] or "postgres"})
    state_file = Path(given["state_file"]) if given["state_file"] else None
    facts = _health_facts.read(
        place,
        given["databases"],
        given["timeout"],
        _health_facts.read_state(state_file),
        (given["login_user"] or "postgres") if here else None,
    )
    unknown = facts["unknown"]
    if here:
        data_directory = facts["settings"].get("data_directory")
        server = _postmaster.find(Path(data_directory)) if data_directory else None
        facts |= _health_facts.host(
            facts, given["certificates"], given["log_file"], unknown, server.pid if server else None
        )
    else:
        unknown.append(
            {"what": "host", "reason": "the server is one of another host: disks, certificates, log and drills"}
        )
    if state_file and not dry_run:
        try:
            _health_facts.keep_state(state_file, facts)
        except StewardError as error:
            unknown.append({"what": "rates of the next call", "reason": str(error)})
    found = _health.findings(facts, limits)
    return {
        "changed": False,
        "health": facts,
        "findings": [one.as_return() for one in found],
        "severity": found[0].severity if found else None,
        "thresholds": thresholds.as_return(limits),
    }


def main() -> None:
    """Report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: look(module.params, module.check_mode))


if __name__ == "__main__":
    main()
