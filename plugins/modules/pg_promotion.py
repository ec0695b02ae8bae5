#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a promotion ended that was requested and not seen."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_promotion
short_description: Find out how a promotion ended that was requested and not seen
version_added: 0.1.0
description:
  - Runs on the host of a standby whose promotion was requested by a process that did not see it happen. Until this is known, the former
    primary may not take writes again.
  - A server that runs is given O(wait) seconds to come up as primary. One that is gone, or does not come, is fenced and stopped; then
    C(pg_controldata) says whether it was ever promoted.
  - With RV(outcome=standby) it was not, and cannot be by itself any more, since the fence stays. The former primary may be started.
    A rejoin takes the fence away.
  - With RV(outcome=primary) it takes writes. One that was promoted and had stopped is started for that.
  - Fails when neither can be said. It then stays fenced, or is left as it came up, and the message says what was seen.
options:
  service:
    description: Systemd unit of the instance.
    type: str
    required: true
  data_directory:
    description: Data directory of the instance.
    type: path
    required: true
  bin_directory:
    description: Directory of the server's programs.
    type: path
    required: true
  fence_file:
    description: File that is the fence.
    type: path
    required: true
  start_conf:
    description: Debian's C(start.conf) of the instance. Not given where C(pg_ctlcluster) does not start it.
    type: path
  login_user:
    description: Superuser of the server, and the account of the operating system that logs in as it over the Unix socket.
    type: str
    default: postgres
  wait:
    description: Seconds for which a server that runs may still come up as primary.
    type: float
    default: 20
  start_timeout:
    description: Seconds for a server that was promoted and is started again.
    type: float
    default: 30
attributes:
  check_mode:
    description: Says nothing and does nothing, since to find out may take a stop.
    support: none
  diff_mode:
    description: Nothing is shown.
    support: none
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Find out whether the candidate was promoted
  pgsteward.postgres.pg_promotion:
    service: postgresql@17-main
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
    fence_file: /etc/pgsteward/fenced-postgresql@17-main
    start_conf: /etc/postgresql/17/main/start.conf
  become: true
"""

RETURN = r"""
outcome:
  description: V(primary) when the server takes writes, V(standby) when it never did, and is fenced and stopped.
  returned: success
  type: str
  sample: standby
seconds:
  description: How long it took to know.
  returned: success
  type: float
  sample: 0.318
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _fence, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._promotion import STANDBY, decide
from ansible_collections.pgsteward.postgres.plugins.module_utils._switchover_effects import Instance, LocalServer

ARGUMENT_SPEC = {
    "service": {"type": "str", "required": True},
    "data_directory": {"type": "path", "required": True},
    "bin_directory": {"type": "path", "required": True},
    "fence_file": {"type": "path", "required": True},
    "start_conf": {"type": "path"},
    "login_user": {"type": "str", "default": "postgres"},
    "wait": {"type": "float", "default": 20.0},
    "start_timeout": {"type": "float", "default": 30.0},
}


class Candidate(LocalServer):
    """The server on this host, which was asked to become primary."""

    def runs(self) -> bool:
        return _postmaster.find(self.instance.data_directory) is not None

    def fence(self) -> None:
        _fence.fence(self.instance.fence, "its promotion was not seen")


def find_out(given: dict[str, Any]) -> dict[str, Any]:
    """Return the result."""
    begun = time.monotonic()
    place = _fence.Place(Path(given["fence_file"]), Path(given["start_conf"]) if given["start_conf"] else None)
    instance = Instance(
        service=given["service"],
        data_directory=Path(given["data_directory"]),
        bin_directory=Path(given["bin_directory"]),
        fence=place,
        account=given["login_user"],
        name="the candidate",
        address="",
    )
    with Candidate(instance) as candidate:
        outcome = decide(candidate, given["wait"], given["start_timeout"])
    return {"changed": outcome == STANDBY, "outcome": outcome, "seconds": round(time.monotonic() - begun, 3)}


def main() -> None:
    """Find out, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC)
    run(module, lambda: find_out(module.params))


if __name__ == "__main__":
    main()
