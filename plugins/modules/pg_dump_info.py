#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module pg_dump_info: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_dump_info
short_description: List the dumps of a store, and verify them
version_added: 0.1.0
description:
  - Lists the dumps of a directory or a bucket with what their manifests say, and whether all their files are there with the right size.
  - With O(verify) every file is read and compared with its SHA-256, so that a flipped bit is found and its file named.
  - Changes nothing.
extends_documentation_fragment: [pgsteward.postgres.dump_store]
options:
  database:
    description: Database whose dumps are listed. Without it all.
    type: str
  names:
    description: Dumps to look at, by name. Without it all.
    type: list
    elements: str
    default: []
  verify:
    description: Whether every file is read.
    type: bool
    default: false
  rows:
    description: Whether the answer has the row counts and the properties of the databases too.
    type: bool
    default: false
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: pgsteward.postgres.pg_dump
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Read the newest dumps of the shop and make sure that they are what was written
  pgsteward.postgres.pg_dump_info:
    database: shop
    verify: true
    store: {path: /srv/dumps}
  register: result
  failed_when: result.damaged | length > 0
"""

RETURN = r"""
dumps:
  description: The dumps, by database and age, with what their manifests say.
  returned: success
  type: list
  elements: dict
  sample:
    - name: backup_production_20260131_020005
      database: shop
      dump_format: custom
      bytes: 73400320
      good: true
      verified: true
      findings: []
damaged:
  description: What is missing or is not what was written, one line for each file.
  returned: success
  type: list
  elements: str
  sample: ['shop/backup_production_20260131_020005.dump is damaged: its SHA-256 is 5d1f0c2a73e1…, and was 0c2a73e1f5d1…']
unfinished:
  description: Files of dumps whose run did not come to an end.
  returned: success
  type: list
  elements: str
  sample: []
bytes:
  description: What the dumps take.
  returned: success
  type: int
  sample: 73400320
versioning:
  description: Whether the bucket keeps versions, as it says it.
  returned: success
  type: str
  sample: Enabled
object_lock:
  description: How the bucket locks files.
  returned: success
  type: str
  sample: COMPLIANCE for 30 days
notes:
  description: What the store does not do against loss.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_actions, _dump_target, _errors


def main() -> None:
    """List, verify if asked, report."""
    module = AnsibleModule(
        argument_spec={
            "store": _dump_target.ARGUMENT,
            "database": {"type": "str"},
            "names": {"type": "list", "elements": "str", "default": []},
            "verify": {"type": "bool", "default": False},
            "rows": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _errors.run(module, lambda: _dump_actions.info(module.params))


if __name__ == "__main__":
    main()
