#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fence that keeps an instance from being started on its host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_fence
short_description: Keep a PostgreSQL instance from being started
version_added: 0.1.0
description:
  - Puts up or takes away the fence of the instance on this host. While it stands, neither systemd nor a boot nor C(pg_ctlcluster) starts it.
  - The fence is the file O(fence_file), at which an assertion in the systemd unit looks, and, on Debian, the word C(disabled) in
    O(start_conf). What that file held before comes back when the fence goes.
  - The unit wants C(AssertPathExists=!) and the name of O(fence_file) in a drop-in, which the role C(pg_replica) installs.
  - Nothing is started by taking the fence away.
options:
  state:
    description: Whether the fence is to stand.
    type: str
    choices: [present, absent]
    default: present
  service:
    description: Systemd unit of the instance.
    type: str
    required: true
  data_directory:
    description: Data directory of the instance.
    type: path
    required: true
  fence_file:
    description: File that is the fence.
    type: path
    required: true
  start_conf:
    description: Debian's C(start.conf) of the instance. Not given where C(pg_ctlcluster) does not start it.
    type: path
  reason:
    description: Why, for whoever finds the fence. One that stands keeps its own.
    type: str
    default: fenced by hand
  stop:
    description:
      - Whether a server that runs is stopped at once, by immediate shutdown, and by SIGKILL where that does not help. Open connections end
        without having committed anything more. It is stopped even when the fence cannot be written.
      - For O(state=present) only.
    type: bool
    default: false
attributes:
  check_mode:
    description: Nothing is written or stopped.
    support: full
  diff_mode:
    description: Shows whether the fence stands and whether a server runs.
    support: full
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Fence a former primary, and stop it whatever it does
  pgsteward.postgres.pg_fence:
    service: postgresql@17-main
    data_directory: /var/lib/postgresql/17/main
    fence_file: /etc/pgsteward/fenced-postgresql@17-main
    start_conf: /etc/postgresql/17/main/start.conf
    reason: failover to node2
    stop: true
  become: true

- name: Let it be started again
  pgsteward.postgres.pg_fence:
    service: postgresql@17-main
    data_directory: /var/lib/postgresql/17/main
    fence_file: /etc/pgsteward/fenced-postgresql@17-main
    start_conf: /etc/postgresql/17/main/start.conf
    state: absent
  become: true
"""

RETURN = r"""
fenced:
  description: Whether the fence stands at the end. In check mode whether it would.
  returned: success
  type: bool
  sample: true
running:
  description: Whether a server runs at the end. In check mode whether it would.
  returned: success
  type: bool
  sample: false
reason:
  description: Reason of the fence that was found, null without one.
  returned: success
  type: str
  sample: failover to node2
since:
  description: Time of the fence that was found, null without one.
  returned: success
  type: str
  sample: "2026-10-01T03:12:45+00:00"
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 0.137
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _fence, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "service": {"type": "str", "required": True},
    "data_directory": {"type": "path", "required": True},
    "fence_file": {"type": "path", "required": True},
    "start_conf": {"type": "path"},
    "reason": {"type": "str", "default": "fenced by hand"},
    "stop": {"type": "bool", "default": False},
}


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Fence or unfence, unless in check mode; return the result."""
    begun = time.monotonic()
    given, data = module.params, Path(module.params["data_directory"])
    place = _fence.Place(Path(given["fence_file"]), Path(given["start_conf"]) if given["start_conf"] else None)
    wanted, stop = given["state"] == "present", given["stop"]
    if stop and not wanted:
        raise StewardError("stop has no meaning with state absent: leave it out, or use state present")
    found, whole, ran = _fence.read(place), _fence.is_whole(place), _postmaster.find(data) is not None
    before = {"fenced": found is not None, "running": ran}
    after = {"fenced": wanted, "running": ran and not stop}
    changed = before != after or (wanted and not whole)
    if not module.check_mode:
        try:
            _fence.fence(place, given["reason"]) if wanted else _fence.unfence(place)
        finally:
            if stop:
                _postmaster.kill(data, given["service"])
    return {
        "changed": changed,
        **after,
        "reason": found.reason if found else None,
        "since": found.since if found else None,
        "seconds": round(time.monotonic() - begun, 3),
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: converge(module))


if __name__ == "__main__":
    main()
