#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module pg_dump_retention: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_dump_retention
short_description: Remove old dumps by rule
version_added: 0.1.0
description:
  - Removes the dumps of a store that no rule wants. A dump stays when any of the rules wants it.
  - The last good dump of a database always stays. Rules that want none of the dumps of a database are refused, before anything is removed.
  - A dump that lacks files or has some of another size is not good, and takes the place of no other in a rule.
  - What runs that were killed have left goes once it is a day old, uploads that never ended among it.
extends_documentation_fragment: [pgsteward.postgres.dump_store]
options:
  databases:
    description: Databases whose dumps are looked at. Without it all that the store has.
    type: list
    elements: str
    default: []
  days:
    description: Dumps younger than that stay.
    type: int
  count:
    description: The newest so many stay.
    type: int
  daily:
    description: The newest dump of each of the last so many days that have one, in UTC.
    type: int
  weekly:
    description: The same for ISO weeks.
    type: int
  monthly:
    description: The same for months.
    type: int
  yearly:
    description: The same for years.
    type: int
  damaged:
    description: Names of dumps that are known to be damaged, as M(pgsteward.postgres.pg_dump_info) found them. They count as not good.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says what would go.
    support: full
  diff_mode:
    description: Shows the dumps before and after.
    support: full
seealso:
  - module: pgsteward.postgres.pg_dump_info
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Keep a month of dumps, and the last one of each month for a year
  pgsteward.postgres.pg_dump_retention:
    days: 30
    monthly: 12
    store: {path: /srv/dumps}
"""

RETURN = r"""
databases:
  description: For each database what stays, with the rules that want it, and what goes.
  returned: success
  type: dict
  sample:
    shop:
      changed: true
      kept: {backup_production_20260131_020005: [days, last good]}
      removed: [backup_production_20251231_020004]
      leftovers: []
      orphans: []
      freed_bytes: 73400320
freed_bytes:
  description: What is free again, but for versions and locks of a bucket.
  returned: success
  type: int
  sample: 73400320
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _dump_actions,
    _dump_retention,
    _dump_target,
    _errors,
)


def main() -> None:
    """Look, decide, remove unless in check mode, report."""
    module = AnsibleModule(
        argument_spec={
            "store": _dump_target.ARGUMENT,
            "databases": {"type": "list", "elements": "str", "default": []},
            **{rule: {"type": "int"} for rule in _dump_retention.RULES},
            "damaged": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
        required_one_of=[_dump_retention.RULES],
    )
    _errors.run(module, lambda: _dump_actions.prune(module.params, module.check_mode))


if __name__ == "__main__":
    main()
