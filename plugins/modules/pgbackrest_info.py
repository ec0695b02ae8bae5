#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pgBackRest holds of a cluster, what waits to get there, and what is wrong with both."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_info
short_description: Say what pgBackRest holds of a cluster, and what is wrong with it
version_added: 0.1.0
description:
  - Asks pgBackRest for the backups and the archive of O(stanza) in each repository, and, with O(data_directory), the server of this host
    for what waits for its archive.
  - Compares them with what is expected. A repository that cannot be reached is a finding; the others are reported all the same.
  - Only reads. Run it as the operating system's account that runs pgBackRest.
options:
  stanza:
    description: Name of the stanza.
    type: str
    required: true
  repositories:
    description: Numbers of the repositories that there should be. Those of the configuration when it is not given.
    type: list
    elements: int
    default: []
  system_identifier:
    description: The cluster whose archive it should be.
    type: str
  postgresql:
    description: Its major version.
    type: str
  full_age:
    description: Seconds after which the last full backup is too old.
    type: int
  backup_age:
    description: Seconds after which the last backup of any type is too old.
    type: int
  wal_age:
    description: Seconds that the first segment of WAL may wait for its archive.
    type: int
  queue_max:
    description: What pgBackRest's C(archive-push-queue-max) is, such as V(10GiB). Half of it is a finding.
    type: str
  data_directory:
    description: Data directory of the server of this host. Without it no server is asked, as on a repository host.
    type: path
  login_unix_socket:
    description: Directory of the server's Unix socket.
    type: path
    default: /var/run/postgresql
  login_port:
    description: Port of the server, which is part of the socket's name.
    type: int
    default: 5432
  login_user:
    description: Account to log in with; any will do.
    type: str
    default: postgres
  binary:
    description: The program.
    type: str
    default: pgbackrest
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
requirements:
  - psycopg 3 on the host with O(data_directory)
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look at the backups of the cluster
  pgsteward.postgres.pgbackrest_info:
    stanza: production
    full_age: 691200
    queue_max: 10GiB
    data_directory: /var/lib/postgresql/17/main
  become: true
  become_user: postgres
  register: backups
"""

RETURN = r"""
version:
  description: Version of pgBackRest.
  returned: success
  type: str
  sample: 2.55.1
busy:
  description: Whether a backup, an expiry or a stanza command runs now.
  returned: success
  type: bool
  sample: false
repositories:
  description: Each repository with its stanza, the clusters that have used it, the first and the last segment of WAL, and its backups.
  returned: success
  type: list
  elements: dict
  sample:
    - number: 1
      code: 0
      message: ok
      encrypted: false
      system_identifier: "7443276231442413607"
      version: "17"
      wal_first: "000000010000000000000002"
      wal_last: "00000001000000000000000A"
      backups:
        - {label: 20261122-013000F, type: full, begun: 1795311000, ended: 1795311042, seconds: 42, stored_bytes: 2861286, needs: []}
archiver:
  description: What the server says of its archiving, null where none was asked. Times are seconds since 1970.
  returned: success
  type: dict
  sample: {primary: true, mode: "on", segment_bytes: 16777216, ready: 0, archived: 31, failed: 0, last_wal: "00000001000000000000000A"}
figures:
  description: What a monitoring looks at. Ages are seconds, null where there is nothing to be of an age.
  returned: success
  type: dict
  sample:
    repositories: [{repository: 1, status: 0, full_age: 3600.0, backup_age: 3600.0, backups: 1}]
    wal_age: 12.5
    queue_age: 0
    queue_segments: 0
    queue_bytes: 0
    queue_limit_bytes: 10737418240
    archive_failures: 0
    archive_failing: false
findings:
  description: One line for each thing that is wrong.
  returned: success
  type: list
  elements: str
  sample: ["repository 2: there is no backup yet: run the playbook backup"]
"""

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_archiver as archiver
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_info as info
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_findings import queue_bytes
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_run import Program, look, version_of

ARGUMENT_SPEC = {
    "stanza": {"type": "str", "required": True},
    "repositories": {"type": "list", "elements": "int", "default": []},
    "system_identifier": {"type": "str"},
    "postgresql": {"type": "str"},
    "full_age": {"type": "int"},
    "backup_age": {"type": "int"},
    "wal_age": {"type": "int"},
    "queue_max": {"type": "str"},
    "data_directory": {"type": "path"},
    "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "binary": {"type": "str", "default": "pgbackrest"},
}


def report(given: dict[str, Any]) -> dict[str, Any]:
    """Return the result."""
    program = Program(given["stanza"], given["binary"])
    version = version_of(program)
    if version is None:
        raise StewardError("pgBackRest is not installed here: run site")
    stanza, there = look(program), None
    if given["data_directory"]:
        place = Place("postgres", host=given["login_unix_socket"], port=given["login_port"], user=given["login_user"])
        there = archiver.read(place, Path(given["data_directory"]))
    queue = queue_bytes(given["queue_max"]) if given["queue_max"] else 0
    limits = info.Limits(given["full_age"], given["backup_age"], given["wal_age"], queue)
    expected = info.Expected(given["repositories"], given["system_identifier"], given["postgresql"])
    now = time.time()
    return {
        "changed": False,
        "version": version,
        "busy": stanza.busy,
        "repositories": [one.as_facts() for one in stanza.repositories],
        "archiver": {item.name: getattr(there, item.name) for item in fields(there)} if there else None,
        "figures": info.figures(stanza, there, limits, now),
        "findings": info.findings(stanza, there, expected, limits, now),
    }


def main() -> None:
    """Report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: report(module.params))


if __name__ == "__main__":
    main()
