#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of PostgreSQL is on this host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_installation_info
short_description: What of PostgreSQL is installed and made on a host
version_added: 0.1.0
description:
  - Looks at packages, binaries, instances, the data directory and locales at once, so that a role can decide what there is to do, and
    refuse what must not be done, before it changes anything.
  - Needs nothing on a bare host. No server is asked; for a running one see M(pgsteward.postgres.pg_topology_info).
options:
  packages:
    description: Packages to look for.
    type: list
    elements: str
    default: []
  bin_directory:
    description: Directory of the C(postgres) binary.
    type: path
    required: true
  config_directory:
    description: Directory of the instance's C(postgresql.conf).
    type: path
    required: true
  data_directory:
    description: Data directory of the instance.
    type: path
    required: true
  wal_directory:
    description: Directory that the instance's WAL has been given, apart from its data.
    type: path
  locale:
    description: Locale to look for.
    type: str
    default: C.UTF-8
  texts:
    description: Small text files whose content to return.
    type: list
    elements: path
    default: []
  digests:
    description: Files whose digests to return.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look at the host
  pgsteward.postgres.pg_installation_info:
    packages: [postgresql-17, postgresql-17-pgvector]
    bin_directory: /usr/lib/postgresql/17/bin
    config_directory: /etc/postgresql/17/main
    data_directory: /var/lib/postgresql/17/main
  become: true
  register: result
"""

RETURN = r"""
installation:
  description: What is known of the host.
  returned: success
  type: dict
  contains:
    missing_packages:
      description: Those of O(packages) that are not installed.
      type: list
      elements: str
    binary:
      description: Whether there is a C(postgres) binary.
      type: bool
    configuration:
      description: Whether there is a C(postgresql.conf).
      type: bool
    data:
      description: The data directory. C(state) is V(absent), V(empty), V(instance) or V(other); C(version), C(wal_directory), C(entries).
      type: dict
    wal_entries:
      description: The first names in O(wal_directory).
      type: list
      elements: str
    instances:
      description: All instances in the distribution's own places, each with C(name), C(version) and C(data_directory).
      type: list
      elements: dict
    charmap:
      description: Character set of O(locale), null when the host lacks it.
      type: str
    locales:
      description: Locales that the host has.
      type: list
      elements: str
    texts:
      description: Content by path, null for a file that is not there.
      type: dict
    digests:
      description: SHA-256 by path, null for a file that is not there.
      type: dict
  sample:
    missing_packages: []
    binary: true
    configuration: true
    data: {state: instance, version: "17", wal_directory: null, entries: []}
    instances: [{name: main, version: "17", data_directory: /var/lib/postgresql/17/main}]
    charmap: UTF-8
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._installation import look

ARGUMENT_SPEC = {
    "packages": {"type": "list", "elements": "str", "default": []},
    "bin_directory": {"type": "path", "required": True},
    "config_directory": {"type": "path", "required": True},
    "data_directory": {"type": "path", "required": True},
    "wal_directory": {"type": "path"},
    "locale": {"type": "str", "default": "C.UTF-8"},
    "texts": {"type": "list", "elements": "path", "default": []},
    "digests": {"type": "list", "elements": "path", "default": []},
}


def main() -> None:
    """Report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    installation = look(
        packages=given["packages"],
        binary=Path(given["bin_directory"]) / "postgres",
        configuration=Path(given["config_directory"]) / "postgresql.conf",
        data_directory=Path(given["data_directory"]),
        wal_directory=Path(given["wal_directory"]) if given["wal_directory"] else None,
        locale_name=given["locale"],
        texts=given["texts"],
        digests=given["digests"],
    )
    module.exit_json(changed=False, installation=installation)


if __name__ == "__main__":
    main()
