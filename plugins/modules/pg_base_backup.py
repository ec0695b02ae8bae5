#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The data directory of a standby, made by pg_basebackup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_base_backup
short_description: Make the data directory of a standby by pg_basebackup
version_added: 0.1.0
description:
  - Copies the data of the primary into O(data_directory), over TLS with the primary's certificate verified, and marks them as a standby's.
  - An empty directory is filled, and so is one in which a copy of ours was cut short. A standby of the same cluster stays as it is unless
    O(replace) is set. Anything else, such as the data of a former primary, of a standby that has WAL which the primary has not, or of another
    cluster, is only put aside with O(replace) and the name of the node in O(confirm), and never deleted.
  - Asks whether there is room first.
extends_documentation_fragment: [pgsteward.postgres.standby_data]
options:
  wal_directory:
    description:
      - Where it keeps its WAL, when apart. Absent or empty, or the directory where the former data had theirs.
      - The WAL directory of former data goes the way of the data, whatever this one is. One that holds anything but WAL is refused.
    type: path
  authority:
    description: Certificate of the authority that signed the primary's certificate, as PEM.
    type: str
    required: true
  slot:
    description: Slot on the primary that keeps the WAL of the meantime.
    type: str
  rate_limit:
    description: Bytes per second at most, such as V(20M).
    type: str
  replace:
    description: Whether a copy is made where there are data already.
    type: bool
    default: false
  node:
    description: Name of this node, which O(confirm) has to repeat.
    type: str
    default: ''
  confirm:
    description: The name of the node, when data that are no standby's are to be put aside.
    type: str
    default: ''
attributes:
  check_mode:
    description: Says whether a copy would be made, or is refused.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
requirements:
  - psycopg >= 3.1 on the host
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Copy the primary's data
  pgsteward.postgres.pg_base_backup:
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
    host: 10.20.0.11
    user: replicator
    pass_file: /etc/pgsteward/replication.pass
    authority: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"
    slot: pgsteward_db2
    rate_limit: 50M
"""

RETURN = r"""
found:
  description: What was in the data directory, one of V(nothing), V(unfinished), V(own standby), V(other).
  returned: success
  type: str
  sample: nothing
aside:
  description: Where the former content is, when it was put aside.
  returned: success
  type: str
  sample: /var/lib/postgresql/17/main.aside-20260101T030000Z
wal_aside:
  description: Where its WAL is, when that was apart. RV(aside) leads there.
  returned: success
  type: str
  sample: /srv/wal/17.aside-20260101T030000Z
seconds:
  description: How long the copy took.
  returned: success
  type: float
  sample: 12.5
bytes:
  description: How much was copied.
  returned: success
  type: int
  sample: 31457280
"""

import os
import pwd
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._base_backup import Request, carry_out
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._standby_data import ARGUMENTS, with_paths

ARGUMENT_SPEC = {
    **ARGUMENTS,
    "wal_directory": {"type": "path"},
    "authority": {"type": "str", "required": True},
    "slot": {"type": "str"},
    "rate_limit": {"type": "str"},
    "replace": {"type": "bool", "default": False},
    "node": {"type": "str", "default": ""},
    "confirm": {"type": "str", "default": ""},
}


def main() -> None:
    """Look, decide, copy unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = with_paths(ARGUMENT_SPEC, module.params)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".crt") as authority:
        authority.write(given.pop("authority"))
        authority.flush()
        os.fchown(authority.fileno(), pwd.getpwnam(given["owner"]).pw_uid, -1)
        request = Request(**given, ca_file=Path(authority.name))
        run(module, lambda: carry_out(request, dry_run=module.check_mode))


if __name__ == "__main__":
    main()
