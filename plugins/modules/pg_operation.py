#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One operation at a time on a server, and the log of operations."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_operation
short_description: Hold an operation on a server so that no other one begins
version_added: 0.1.0
description:
  - Keeps two runs from changing the primary at the same time. A run begins on every server that answers before it looks at them, and ends
    there when it is done.
  - The lock is the transient systemd unit C(pgsteward-operation), which is made or refused in one step. Its description says who has it. It ends
    by itself after O(limit), so that a run that was killed keeps nobody away for longer.
  - Each beginning, refusal and end is a line of JSON in O(log_file), which only root and its group may read. A log that cannot be written is a
    warning, and so is a systemd that does not answer, since the other servers keep others away then.
options:
  state:
    description: V(begun) takes the lock and fails while another run has it. V(ended) gives it back where it is still that of O(claim).
    type: str
    choices: [begun, ended]
    default: begun
  operation:
    description: What is done, in one word. Required with O(state=begun).
    type: str
  by:
    description: Who does it, and from where. Required with O(state=begun).
    type: str
  what:
    description: To what it is done, for the log.
    type: str
  limit:
    description: Seconds after which the lock ends by itself.
    type: int
    default: 120
  take_over:
    description: End the lock of another run, one that is known to be dead, and take it.
    type: bool
    default: false
  claim:
    description: RV(claim) of the beginning. Required with O(state=ended).
    type: str
  result:
    description: How the operation ended, for the log.
    type: str
  log_file:
    description: The log. Its directory is made.
    type: path
    default: /var/log/pgsteward/operations.log
attributes:
  check_mode:
    description: Fails while another run has the lock; takes none and writes nothing.
    support: full
  diff_mode:
    description: Shows who holds the operation.
    support: full
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Keep other operations away
  pgsteward.postgres.pg_operation:
    operation: failover
    by: alice@ops1
    what: candidate node2
  become: true
  register: begun

- name: Let other operations begin
  pgsteward.postgres.pg_operation:
    state: ended
    claim: "{{ begun.claim }}"
    result: done
  become: true
"""

RETURN = r"""
claim:
  description: The lock of this run, null where it has none, as in check mode or without systemd.
  returned: success
  type: str
  sample: failover by alice@ops1 since 2026-10-01T03:12:45Z, until 2026-10-01T03:14:45Z at the latest
holder:
  description: The lock of another run, because of which this one failed.
  returned: when another run has it
  type: str
  sample: switchover by bob@ops2 since 2026-10-01T03:12:40Z, until 2026-10-01T03:14:40Z at the latest
took_over:
  description: The lock of another run that was ended by O(take_over).
  returned: success
  type: str
  sample: null
held:
  description: Whether the lock was held until now. If not it had ended by itself, or another run has taken over.
  returned: O(state=ended)
  type: bool
  sample: true
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _operation
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["begun", "ended"], "default": "begun"},
    "operation": {"type": "str"},
    "by": {"type": "str"},
    "what": {"type": "str"},
    "limit": {"type": "int", "default": 120},
    "take_over": {"type": "bool", "default": False},
    "claim": {"type": "str"},
    "result": {"type": "str"},
    "log_file": {"type": "path", "default": "/var/log/pgsteward/operations.log"},
}


def begin(module: AnsibleModule, call: _operation.Call, now: datetime) -> dict[str, Any]:
    """Take the lock, unless in check mode; raises StewardError while another run has it."""
    given = module.params
    claim = _operation.claim_of(given["operation"], given["by"], now, given["limit"])
    if module.check_mode:
        other = _operation.holder(call)
        if other and not given["take_over"]:
            raise StewardError(_operation.held_findings({"this host": other})[0], holder=other)
        return {"changed": True, "claim": None, "took_over": other, "diff": _difference(other, claim)}
    begun = _operation.begin(call, claim, given["limit"], given["take_over"])
    if begun.holder:
        note(module, "refused", claim, now, what=given["what"], held=begun.holder)
        raise StewardError(_operation.held_findings({"this host": begun.holder})[0], holder=begun.holder)
    if begun.problem:
        module.warn(f"other operations cannot be kept away from this host: {begun.problem}")
    note(module, "begun", claim, now, what=given["what"], took_over=begun.took_over, unlocked=begun.problem)
    return {
        "changed": begun.claim is not None,
        "claim": begun.claim,
        "took_over": begun.took_over,
        "diff": _difference(begun.took_over, begun.claim or begun.took_over),
    }


def end(module: AnsibleModule, call: _operation.Call, now: datetime) -> dict[str, Any]:
    """Give the lock back, unless in check mode."""
    given = module.params
    claim = given["claim"]
    if module.check_mode:
        held = _operation.holder(call) == claim
        return {"changed": held, "claim": claim, "held": held, "diff": _difference(claim if held else None, None)}
    ended = _operation.end(call, claim)
    if ended.problem:
        module.warn(f"other operations are kept away from this host until the end of {claim}: {ended.problem}")
    if not ended.held:
        module.warn(f"the lock of this run had ended before it, so another one may have run beside it: {claim}")
    note(module, "ended", claim, now, what=given["what"], result=given["result"], lock=None if ended.held else "lost")
    return {
        "changed": ended.held,
        "claim": claim,
        "held": ended.held,
        "diff": _difference(claim if ended.held else None, None),
    }


def note(module: AnsibleModule, event: str, claim: str, now: datetime, **more: str | None) -> None:
    """Write to the log; where that cannot be done the operation goes on."""
    problem = _operation.append(Path(module.params["log_file"]), _operation.log_line(event, claim, now, **more))
    if problem:
        module.warn(f"the log of operations lacks a line: {problem}")


def _difference(before: str | None, after: str | None) -> dict[str, Any]:
    return {"before": {"operation": before}, "after": {"operation": after}}


def main() -> None:
    """Begin or end, report."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "begun", ("operation", "by")), ("state", "ended", ("claim",))],
        supports_check_mode=True,
    )
    step = begin if module.params["state"] == "begun" else end
    run(module, lambda: step(module, _operation.call_program, datetime.now(UTC)))


if __name__ == "__main__":
    main()
