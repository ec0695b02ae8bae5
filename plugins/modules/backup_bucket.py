#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bucket whose backups nobody can delete before their time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_bucket
short_description: Prepare and prove an S3 bucket that keeps backups against deletion
version_added: 0.1.0
description:
  - Makes the bucket with object lock, and gives it a default retention, so that every file is locked from the moment it arrives. What somebody
    with the backup's own key deletes or overwrites stays below as a former version until then.
  - A retention is made stricter or longer, never weaker or shorter. A bucket without object lock is refused, as it cannot be added.
  - With O(prove) it tries to delete for good what it has just written, and fails unless the store refuses that.
  - Run it on the controller, with an administrator's key to prepare the bucket and with the backup's own key to prove it.
options:
  name:
    description: Name of the bucket.
    type: str
    required: true
  endpoint:
    description: Address of the store, as C(https://store.example.com). Without it, that of AWS in O(region).
    type: str
  region:
    description: Region of the bucket.
    type: str
  access_key:
    description: Access key. Without it, boto3 looks where it always does.
    type: str
  secret_key:
    description: Its secret.
    type: str
  ca:
    description: File with the authorities that the store's certificate is verified by. Without it, those of the system.
    type: path
  path_style:
    description: Whether the bucket's name stands in the path and not in the host name.
    type: bool
    default: true
  lock_days:
    description: Days for which a file cannot be deleted. At least as long as an intruder may stay unseen, and no longer than the backups are kept.
    type: int
    required: true
  lock_mode:
    description: V(COMPLIANCE) can be lifted by nobody, V(GOVERNANCE) by an administrator.
    type: str
    choices: [COMPLIANCE, GOVERNANCE]
    default: COMPLIANCE
  expire_days:
    description: Days after which former versions go. Not touched when left out, and then they stay for good.
    type: int
  prove:
    description: Write a small file and see that this key cannot delete it for good. It stays until its lock ends. Not done in check mode.
    type: bool
    default: false
attributes:
  check_mode:
    description: Looks at the bucket and says what would be done.
    support: full
  diff_mode:
    description: Shows the bucket before and after.
    support: full
requirements:
  - boto3
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Prepare the bucket
  pgsteward.postgres.backup_bucket:
    name: backups
    endpoint: https://store.example.com
    access_key: "{{ vault_store_admin_key }}"
    secret_key: "{{ vault_store_admin_secret }}"
    lock_days: 30
    expire_days: 45
  delegate_to: localhost

- name: See that the backup's own key cannot delete backups
  pgsteward.postgres.backup_bucket:
    name: backups
    endpoint: https://store.example.com
    access_key: "{{ vault_backup_key }}"
    secret_key: "{{ vault_backup_secret }}"
    lock_days: 30
    prove: true
  delegate_to: localhost
"""

RETURN = r"""
bucket:
  description: The bucket at the end, in check mode as it would be. C(days) and C(mode) are its default retention.
  returned: success
  type: dict
  sample: {exists: true, lock: true, mode: COMPLIANCE, days: 30, expiry: 45}
steps:
  description: What was done, in check mode what would be.
  returned: success
  type: list
  elements: str
  sample: [make the bucket with object lock, set the default retention]
notes:
  description: What the operator should know.
  returned: success
  type: list
  elements: str
  sample: ["former versions in backups stay for good and cost their room: expire_days removes them in time"]
proof:
  description: What the proof has shown, null without one.
  returned: success
  type: str
  sample: a file written to s3://backups cannot be deleted for good by this key, and was read again after its deletion
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._backup_bucket import Effects, Wanted, plan
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._store_s3 import Bucket

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "endpoint": {"type": "str"},
    "region": {"type": "str"},
    "access_key": {"type": "str", "no_log": False},
    "secret_key": {"type": "str", "no_log": True},
    "ca": {"type": "path"},
    "path_style": {"type": "bool", "default": True},
    "lock_days": {"type": "int", "required": True},
    "lock_mode": {"type": "str", "choices": ["COMPLIANCE", "GOVERNANCE"], "default": "COMPLIANCE"},
    "expire_days": {"type": "int"},
    "prove": {"type": "bool", "default": False},
}


def converge(given: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Plan, apply unless dry_run, prove when asked; return the result."""
    reach = ("name", "endpoint", "region", "access_key", "secret_key", "ca", "path_style")
    effects = Effects(Bucket(**{name: given[name] for name in reach}))
    found = effects.look()
    decided = plan(found, Wanted(given["lock_days"], given["lock_mode"], given["expire_days"]), given["name"])
    proof = None
    if not dry_run:
        effects.apply(decided)
        proof = effects.prove() if given["prove"] else None
    return {
        "changed": bool(decided.steps),
        "bucket": asdict(decided.after),
        "steps": list(decided.steps),
        "notes": list(decided.notes),
        "proof": proof,
        "diff": {"before": asdict(found), "after": asdict(decided.after)},
    }


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC, supports_check_mode=True, required_together=[("access_key", "secret_key")]
    )
    run(module, lambda: converge(module.params, module.check_mode))


if __name__ == "__main__":
    main()
