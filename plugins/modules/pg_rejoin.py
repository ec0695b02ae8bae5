#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A data directory that diverged is made one of a standby by pg_rewind."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_rejoin
short_description: Make a diverged data directory follow the primary
version_added: 0.1.0
description:
  - Runs C(pg_rewind) on a data directory whose server is stopped, so that it can follow the server at O(host), and marks it as a standby's.
  - What had been written after the timelines parted is undone there. With O(keep) the whole directory is copied aside first, as far as the
    file system can do that without copying blocks. WAL that is kept apart becomes a part of that copy; tablespaces do not.
  - Where C(pg_rewind) cannot do it RV(method) is V(failed), and the directory needs a new copy of the primary; see
    M(pgsteward.postgres.pg_base_backup). The module itself does not fail then.
  - A standby whose WAL goes no further than the primary's is left alone. One that has WAL which the primary has not, because another took over
    that had less, could never follow, and is rewound like a former primary.
  - The module fails where the WAL goes further than the primary's on the primary's own timeline. The primary has lost some then, or both took writes.
extends_documentation_fragment: [pgsteward.postgres.standby_data]
options:
  config_file:
    description: The server's C(postgresql.conf), for the recovery that a lost server needs first.
    type: path
    required: true
  ca_file:
    description: Certificate of the authority that signed the primary's certificate.
    type: path
    required: true
  keep:
    description: Whether the diverged directory is copied aside.
    type: bool
    default: true
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
requirements:
  - psycopg >= 3.1 on the host
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Rewind a former primary
  pgsteward.postgres.pg_rejoin:
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
    config_file: /etc/postgresql/17/main/postgresql.conf
    host: 10.20.0.12
    user: replicator
    pass_file: /etc/pgsteward/replication.pass
    ca_file: /etc/pgsteward/tls/ca.crt
"""

RETURN = r"""
method:
  description: V(none) when nothing had to be undone, V(rewind), or V(failed).
  returned: success
  type: str
  sample: rewind
reason:
  description: What C(pg_rewind) says when it failed.
  returned: success
  type: str
  sample: null
aside:
  description: Where the diverged directory is kept.
  returned: success
  type: str
  sample: /var/lib/postgresql/17/main.aside-20260101T030000Z
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 0.9
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._rejoin import Request, rejoin
from ansible_collections.pgsteward.postgres.plugins.module_utils._standby_data import ARGUMENTS, with_paths

ARGUMENT_SPEC = {
    **ARGUMENTS,
    "config_file": {"type": "path", "required": True},
    "ca_file": {"type": "path", "required": True},
    "keep": {"type": "bool", "default": True},
}


def main() -> None:
    """Look, rewind unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    request = Request(**with_paths(ARGUMENT_SPEC, module.params))
    run(module, lambda: rejoin(request, dry_run=module.check_mode))


if __name__ == "__main__":
    main()
