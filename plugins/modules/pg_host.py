#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine below one PostgreSQL server: kernel parameters, huge pages and the limits of the service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_host
short_description: Prepare a host for its PostgreSQL server
version_added: 0.1.0
description:
  - Owns two files, C(/etc/sysctl.d/60-pgsteward.conf) and C(50-pgsteward.conf) beside the service's unit, and puts the kernel parameters of
    the first in force. A file that would be empty is removed.
  - Nothing is restarted. RV(restart_needed) says that the server runs since before the second file was written.
  - What the kernel would refuse is an error before anything is written, as in a container that may not set parameters. A value that is in
    force already is never an error.
  - Says by a warning when the installed PostgreSQL or pgvector lacks a fix that matters.
options:
  sysctl:
    description: Kernel parameters by name.
    type: dict
    default: {}
  huge_pages:
    description: >-
      Whether the shared memory of the server shall be in huge pages: as many are reserved as O(shared_buffers) and O(max_connections) make
      necessary. A number that is higher already stays.
    type: bool
    default: false
  shared_buffers:
    description: The server's setting, in PostgreSQL's units.
    type: str
    required: true
  max_connections:
    description: The server's setting.
    type: int
    required: true
  service:
    description: Name of the server's service, without C(.service).
    type: str
    required: true
  directives:
    description: Directives of systemd for the service, by name.
    type: dict
    default: {}
  data_directory:
    description: The server's data directory; it tells since when a server runs.
    type: path
    required: true
  bin_directory:
    description: Directory of the C(postgres) binary.
    type: path
    required: true
attributes:
  check_mode:
    description: The plan is made in full, refusals included; nothing is written.
    support: full
  diff_mode:
    description: Shows both files, and the parameters that are not in force.
    support: full
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Prepare the host
  pgsteward.postgres.pg_host:
    sysctl:
      vm.swappiness: 1
    huge_pages: true
    shared_buffers: 16GB
    max_connections: 200
    service: postgresql@17-main
    directives:
      LimitNOFILE: 65536
    data_directory: /var/lib/postgresql/17/main
    bin_directory: /usr/lib/postgresql/17/bin
"""

RETURN = r"""
restart_needed:
  description: Whether a server runs that was started before the limits of its service were written. In check mode whether it would be so.
  returned: success
  type: bool
  sample: false
versions:
  description: Versions of what is installed, null for what is not.
  returned: success
  type: dict
  sample:
    postgresql: "17.12"
    pgvector: 0.8.3
parallel_hnsw:
  description: Whether the installed pgvector may build HNSW indexes in parallel.
  returned: success
  type: bool
  sample: true
"""

import datetime
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run
from ansible_collections.pgsteward.postgres.plugins.module_utils._host import (
    Machine,
    Wanted,
    installed_versions,
    prepare,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._safe_versions import parallel_hnsw_is_safe, warnings
from ansible_collections.pgsteward.postgres.plugins.module_utils._tuning import AMOUNTS, parse_amount

ARGUMENT_SPEC = {
    "sysctl": {"type": "dict", "default": {}},
    "huge_pages": {"type": "bool", "default": False},
    "shared_buffers": {"type": "str", "required": True},
    "max_connections": {"type": "int", "required": True},
    "service": {"type": "str", "required": True},
    "directives": {"type": "dict", "default": {}},
    "data_directory": {"type": "path", "required": True},
    "bin_directory": {"type": "path", "required": True},
}


def main() -> None:
    """Prepare the host unless in check mode, look at the versions, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    buffers = parse_amount(given["shared_buffers"], AMOUNTS["shared_buffers"][0])
    if buffers is None:
        module.fail_json(msg=f"shared_buffers: {given['shared_buffers']} is not an amount of memory")
    wanted = Wanted(
        sysctl=given["sysctl"],
        huge_pages=given["huge_pages"],
        shared_buffers=buffers,
        connections=given["max_connections"],
        service=given["service"],
        directives=given["directives"],
        data_directory=Path(given["data_directory"]),
    )
    versions = installed_versions(Path(given["bin_directory"]))
    lacking = warnings(versions["postgresql"], versions["pgvector"], datetime.date.today())
    if lacking:
        module.warn("; ".join(lacking))

    def command(arguments: list[str]) -> str:
        status, said, complaint = module.run_command(arguments)
        if status:
            raise StewardError(f"{' '.join(arguments)} fails: {complaint or said}")
        return said.strip()

    run(
        module,
        lambda: {
            **prepare(Machine(), wanted, command, dry_run=module.check_mode),
            "versions": versions,
            "parallel_hnsw": parallel_hnsw_is_safe(versions["pgvector"]),
        },
    )


if __name__ == "__main__":
    main()
