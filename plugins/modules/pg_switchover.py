#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The critical section of a planned switchover, in one process."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_switchover
short_description: Hand the primary's part over to a standby
version_added: 0.1.0
description:
  - Runs as root on the primary's host. Connects to the candidate and to every pooler first, then does what clients wait for in one process, namely
    PAUSE on all poolers, fast shutdown, the proof that the candidate has replayed the shutdown checkpoint, promotion, RELOAD and RESUME.
    Then the old primary starts as a standby.
  - The playbook C(pgsteward.postgres.switchover) is the way to use it. That checks lags and transactions beforehand, puts the poolers' new
    C(databases.ini) beside their configuration, arms their RESUME, and proves the end.
  - Until the promotion is requested, any failure, SIGHUP, SIGINT and SIGTERM make the old primary take writes again and the poolers go on
    (RV(outcome=aborted)). One that does not stop in O(stop_timeout) is stopped at once and recovers, since a fast shutdown cannot be called
    off.
  - Once it was requested, the old primary stays stopped and fenced until the candidate is seen taking writes. When that does not happen in
    O(promote_timeout), or nothing listens there any more for a second, the module fails with RV(outcome=undecided). It cannot stop the
    candidate, and leaves the poolers paused, so that their clients wait and get no errors, until the operator or the armed RESUME decides.
  - Only those entries of a pooler are paused whose host is O(primary_address). Read-only entries of standbys go on.
options:
  name:
    description: What messages call the primary. O(primary_address) when it is not given.
    type: str
  service:
    description: Systemd unit of the instance on this host.
    type: str
    required: true
  data_directory:
    description: Its data directory.
    type: path
    required: true
  bin_directory:
    description: Directory with C(pg_controldata) and C(psql) of its version.
    type: path
    required: true
  start_conf:
    description: Debian's C(start.conf) of the instance. Not given where C(pg_ctlcluster) does not start it.
    type: path
  fence_file:
    description: File whose existence keeps the unit from being started; see M(pgsteward.postgres.pg_fence).
    type: path
    required: true
  primary_address:
    description: Address of this host as the poolers' entries name it.
    type: str
    required: true
  candidate:
    description: The standby that becomes the primary.
    type: dict
    required: true
    suboptions:
      name:
        description: What messages call it.
        type: str
        required: true
      host:
        description: Its address.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 5432
  login_user:
    description: Account on the candidate that may execute C(pg_promote) and is a member of C(pg_monitor) and C(pg_checkpoint).
    type: str
    default: operations
  login_password:
    description: Its password.
    type: str
  login_db:
    description: Database to log in to.
    type: str
    default: postgres
  ssl_mode:
    description: How the candidate and the poolers are verified.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: verify-full
  ca_cert:
    description: Certificate of the authority that signed the candidate's.
    type: path
    aliases: [ssl_rootcert]
  login_user_local:
    description: Superuser of the instance on this host and the operating system's account of that name. Logs in over the Unix socket.
    type: str
    default: postgres
  poolers:
    description: Every PgBouncer through which clients reach the primary.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What messages call it.
        type: str
        required: true
      host:
        description: Its address.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 6432
  pooler_user:
    description: Account that may use the poolers' admin console.
    type: str
    default: pooler_operations
  pooler_password:
    description: Its password.
    type: str
  pooler_ca_cert:
    description: Certificate of the authority that signed the poolers'. O(ca_cert) when it is not given.
    type: path
  pause_timeout:
    description: Seconds within which every pooler must have answered PAUSE, which waits for open transactions.
    type: float
    default: 3.0
  stop_timeout:
    description: Seconds that the fast shutdown may take.
    type: float
    default: 10.0
  replay_timeout:
    description: Seconds within which the candidate must have replayed what is there, before the section and again at the shutdown.
    type: float
    default: 5.0
  promote_timeout:
    description: Seconds within which the candidate must take writes once it was asked.
    type: float
    default: 10.0
  resume_timeout:
    description: Seconds for which a RESUME that fails is tried again.
    type: float
    default: 5.0
  connect_timeout:
    description: Seconds for each connection and each answer.
    type: float
    default: 2.0
  give_back:
    description:
      - Do not hand over, but end a switchover whose outcome was V(undecided), let the primary of this host take writes again and RESUME the
        poolers. Only for a caller that has seen, by M(pgsteward.postgres.pg_promotion) on the candidate's host, that the candidate never took
        writes and is fenced; or that has had its host fenced.
      - The result is RV(outcome=aborted).
    type: bool
    default: false
  state_file:
    description: File that says how far a run is, for whoever finds a killed one. Removed at a clean end.
    type: path
    default: /var/lib/pgsteward/operation.json
attributes:
  check_mode:
    description: Connects, makes every check that changes nothing, and returns RV(outcome=planned).
    support: full
  diff_mode:
    description: Shows which server takes writes.
    support: full
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Hand over to node2
  pgsteward.postgres.pg_switchover:
    service: postgresql@17-main
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
    start_conf: /etc/postgresql/17/main/start.conf
    fence_file: /etc/pgsteward/fenced-postgresql@17-main
    primary_address: 10.20.0.11
    candidate: {name: node2, host: 10.20.0.12}
    login_password: "{{ vault_operations_password }}"
    ca_cert: /etc/pgsteward/ca.crt
    poolers:
      - {name: pool1, host: 10.20.0.21}
      - {name: pool2, host: 10.20.0.22}
    pooler_password: "{{ vault_pooler_operations_password }}"
  become: true
"""

RETURN = r"""
outcome:
  description:
    - V(switched), V(aborted) (the old primary was not replaced), V(undecided) (the promotion was requested and not seen) or V(planned) (check
      mode). A failed module returns it too. V(switched) with a failure means that the candidate is the primary and something after that
      went wrong.
  returned: always
  type: str
  sample: switched
serving:
  description: Name of the server that takes writes at the end, null when none does or none is known to.
  returned: always
  type: str
  sample: node2
promotion_requested:
  description: Whether the candidate was asked to become the primary. If so and it is not seen as such, the old primary must not be started.
  returned: always
  type: bool
  sample: true
steps:
  description: The steps that were begun with the seconds they took. Undoing is not counted.
  returned: always
  type: list
  elements: dict
  sample: [{name: pause, seconds: 0.021}, {name: stop, seconds: 0.072}]
pause_seconds:
  description: Seconds from the first PAUSE that was answered to the last RESUME that was answered, null when one of them was not.
  returned: always
  type: float
  sample: 0.31
lsn:
  description: Position of the shutdown checkpoint.
  returned: always
  type: str
  sample: 0/5000028
candidate_lsn:
  description: Position up to which the candidate had replayed when it was asked.
  returned: always
  type: str
  sample: 0/50000A0
timeline_before:
  description: Timeline of the old primary.
  returned: always
  type: int
  sample: 1
timeline_after:
  description: Timeline of the new primary.
  returned: always
  type: int
  sample: 2
holding:
  description: Entries that may still be paused, by name of the pooler.
  returned: always
  type: dict
  sample: {}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _fence
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_console import ConsolePlace
from ansible_collections.pgsteward.postgres.plugins.module_utils._switchover import Job, Limits, Switchover
from ansible_collections.pgsteward.postgres.plugins.module_utils._switchover_effects import (
    Instance,
    RealWorld,
    Waits,
    candidate_place,
)

MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


def server_spec(port: int) -> dict[str, Any]:
    """Return the options that name a server with its usual port."""
    return {
        "name": {"type": "str", "required": True},
        "host": {"type": "str", "required": True},
        "port": {"type": "int", "default": port},
    }


ARGUMENT_SPEC = {
    "name": {"type": "str"},
    "service": {"type": "str", "required": True},
    "data_directory": {"type": "path", "required": True},
    "bin_directory": {"type": "path", "required": True},
    "start_conf": {"type": "path"},
    "fence_file": {"type": "path", "required": True},
    "primary_address": {"type": "str", "required": True},
    "candidate": {"type": "dict", "required": True, "options": server_spec(5432)},
    "login_user": {"type": "str", "default": "operations"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str", "default": "postgres"},
    "ssl_mode": {"type": "str", "choices": MODES, "default": "verify-full"},
    "ca_cert": {"type": "path", "aliases": ["ssl_rootcert"]},
    "login_user_local": {"type": "str", "default": "postgres"},
    "poolers": {"type": "list", "elements": "dict", "default": [], "options": server_spec(6432)},
    "pooler_user": {"type": "str", "default": "pooler_operations"},
    "pooler_password": {"type": "str", "no_log": True},
    "pooler_ca_cert": {"type": "path"},
    "pause_timeout": {"type": "float", "default": 3.0},
    "stop_timeout": {"type": "float", "default": 10.0},
    "replay_timeout": {"type": "float", "default": 5.0},
    "promote_timeout": {"type": "float", "default": 10.0},
    "resume_timeout": {"type": "float", "default": 5.0},
    "connect_timeout": {"type": "float", "default": 2.0},
    "give_back": {"type": "bool", "default": False},
    "state_file": {"type": "path", "default": "/var/lib/pgsteward/operation.json"},
}


def instance_of(given: dict[str, Any]) -> Instance:
    """Return the instance on this host."""
    return Instance(
        service=given["service"],
        data_directory=Path(given["data_directory"]),
        bin_directory=Path(given["bin_directory"]),
        fence=_fence.Place(Path(given["fence_file"]), Path(given["start_conf"]) if given["start_conf"] else None),
        account=given["login_user_local"],
        name=given["name"] or given["primary_address"],
        address=given["primary_address"],
    )


def poolers_of(given: dict[str, Any]) -> list[ConsolePlace]:
    """Return where the consoles of the poolers are."""
    return [
        ConsolePlace(
            **pooler,
            user=given["pooler_user"],
            password=given["pooler_password"],
            ca_cert=given["pooler_ca_cert"] or given["ca_cert"],
            ssl_mode=given["ssl_mode"],
        )
        for pooler in given["poolers"]
    ]


def switch_over(module: AnsibleModule) -> dict[str, Any]:
    """Hand over, or plan it in check mode; return the result."""
    given, instance = module.params, instance_of(module.params)
    limits = Limits(*(given[f"{step}_timeout"] for step in ("stop", "replay", "promote", "resume")))
    job = Job(instance.name, given["candidate"]["name"], limits)
    waits = Waits(given["connect_timeout"], given["pause_timeout"])
    place = candidate_place(given, waits)
    world = RealWorld(instance, place, job.candidate, poolers_of(given), waits, Path(given["state_file"]))
    switchover = Switchover(world, job)
    with world:
        try:
            work = (
                switchover.plan if module.check_mode else switchover.give_back if given["give_back"] else switchover.run
            )
            result = work()
        except StewardError as error:
            error.facts.setdefault("outcome", "aborted")
            error.facts["holding"] = world.holding()
            warn(module, error.facts)
            raise
    warn(module, result)
    diff = {"before": {"primary": job.primary}, "after": {"primary": result["serving"] or job.candidate}}
    return {**result, "holding": world.holding(), "diff": diff}


def warn(module: AnsibleModule, result: dict[str, Any]) -> None:
    """Hand the warnings of a result to Ansible."""
    for warning in result.pop("warnings", []):
        module.warn(warning)


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: switch_over(module))


if __name__ == "__main__":
    main()
