#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the schemas of a restored server differ from those of its dumps."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restored_drift
short_description: Say how the databases of a restored server differ from those of its dumps
version_added: 0.1.0
description:
  - Compares the catalog of each database with that of its youngest dump from before the moment that was restored to. Only reads.
  - A database that cannot be compared, as no dump of it is there or the store does not answer, is told as such, and is no failure.
options:
  data_directory:
    description: Data directory of the restored server, which runs.
    type: path
    required: true
  bin_directory:
    description: Directory of its programs.
    type: path
    required: true
  databases:
    description: Names of the databases.
    type: list
    elements: str
    required: true
  moment:
    description: When the last transaction that was restored had ended, as RV(pgsteward.postgres.pg_recovery#module:reached.last_commit), or the backup
      where there was none behind it. The newest dump counts when it is not given.
    type: str
  configuration:
    description: What the role C(pg_dumps) has told the commands of this host.
    type: path
    default: /etc/pgsteward/dumps.json
  owner:
    description: Account that owns the data, and superuser.
    type: str
    default: postgres
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Compare the schemas
  pgsteward.postgres.pg_restored_drift:
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
    databases: [powergym]
  become: true
"""

RETURN = r"""
drifts:
  description: What each database differs in.
  returned: success
  type: dict
  sample:
    powergym:
      against: the dump backup_production_20261001_020005 in near
      count: 1
      first: ["table public.orders: existence"]
      text: "1 difference from the dump backup_production_20261001_020005 in near: table public.orders: existence"
"""

from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _drill, _dump_truth, _errors, _restored_drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Server


def drifts(given: dict[str, Any]) -> dict[str, Any]:
    """Compare; return the drift of each database."""
    try:
        shelves = _dump_truth.shelves_of(Path(given["configuration"]))
        moment = _dump_truth.moment_of(given["moment"])
    except (_errors.StewardError, ValueError) as error:
        return {name: _restored_drift.unknown(str(error)) for name in given["databases"]}
    server = Server(Path(given["data_directory"]), Path(given["bin_directory"]), given["owner"])
    truth = partial(_dump_truth.before, shelves, moment=moment)
    found: dict[str, Any] = _drill.as_owner(
        given["owner"], lambda: _restored_drift.drifts(server, given["databases"], truth)
    )
    return found


def main() -> None:
    """Compare, report."""
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "path", "required": True},
            "bin_directory": {"type": "path", "required": True},
            "databases": {"type": "list", "elements": "str", "required": True},
            "moment": {"type": "str"},
            "configuration": {"type": "path", "default": "/etc/pgsteward/dumps.json"},
            "owner": {"type": "str", "default": "postgres"},
        },
        supports_check_mode=True,
    )
    _errors.run(module, lambda: {"changed": False, "drifts": drifts(module.params)})


if __name__ == "__main__":
    main()
