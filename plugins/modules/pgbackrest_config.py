#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration of pgBackRest on a host: tried by pgBackRest itself before it goes live."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_config
short_description: Own the configuration of pgBackRest
version_added: 0.1.0
description:
  - Writes O(path) whole, for root and the group of O(account) only, as it holds secrets.
  - Refuses what the installed version lacks, naming both versions, and warns of what it gets wrong.
  - Before anything is touched pgBackRest itself reads a candidate, and looks into each repository with it. A setting that it does not know, a
    wrong value, a wrong secret, a repository that cannot be reached and the archive of another cluster are errors of one line, and the old file
    stays.
  - Makes the running O(service) read the file when it is younger than its last reload; so it does for O(watched), such as certificates.
  - Must run as root.
options:
  stanza:
    description: Name of the stanza.
    type: str
    required: true
  sections:
    description: Settings by section, C(global) and the name of the stanza. A value of several lines is one setting for each.
    type: dict
    required: true
  secrets:
    description: Settings of the section C(global) that nobody may see.
    type: dict
    default: {}
  names:
    description: What to call a host of an address, for versions that verify no addresses.
    type: dict
    default: {}
  repositories:
    description: Numbers of the repositories to look into.
    type: list
    elements: int
    default: []
  asks:
    description: Features that a version may lack, each with the input that asks for it.
    type: list
    elements: list
    default: []
  postgresql:
    description: Major version of the servers, to refuse a pgBackRest that does not know it.
    type: int
  system_identifier:
    description:
      - System identifier of the cluster. The archive of another one in a repository under this name is an error that names both, unless O(upgrade).
    type: str
  upgrade:
    description: Take the archive of another system identifier or major version, which M(pgsteward.postgres.pgbackrest_stanza) is to upgrade.
    type: bool
    default: false
  service:
    description: The unit of pgBackRest's server on this host.
    type: str
    default: ''
  watched:
    description: Further files that the server reads.
    type: list
    elements: path
    default: []
  path:
    description: The file.
    type: path
    default: /etc/pgbackrest.conf
  account:
    description: The operating system's account that runs pgBackRest.
    type: str
    default: postgres
  binary:
    description: The program.
    type: str
    default: pgbackrest
attributes:
  check_mode:
    description:
      - The candidate is tried as in the real run. Nothing is written or reloaded.
      - Before pgBackRest is installed, the file is shown and nothing is tried. Repositories behind a certificate that is not made yet are left out.
    support: full
  diff_mode:
    description: Shows the file before and after, with its secrets masked.
    support: full
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Keep backups in a directory
  pgsteward.postgres.pgbackrest_config:
    stanza: shop
    sections:
      global: {repo1-path: /srv/backup, repo1-retention-full: "2"}
      shop: {pg1-path: /var/lib/postgresql/17/main}
    repositories: [1]
"""

RETURN = r"""
version:
  description: Version of the installed pgBackRest. Null in check mode where there is none yet.
  returned: success
  type: str
  sample: 2.55.1
written:
  description: Whether the file was written. In check mode whether it would be.
  returned: success
  type: bool
  sample: true
reloaded:
  description: Whether the server read its files again. In check mode whether it would.
  returned: success
  type: bool
  sample: false
running:
  description: Whether O(service) runs.
  returned: success
  type: bool
  sample: true
complaints:
  description: What pgBackRest says of the candidate.
  returned: when it refuses it
  type: list
  elements: str
  sample: ["configuration file contains invalid option 'proces-max'"]
refusals:
  description: What is asked for and the version lacks.
  returned: when that is the reason
  type: list
  elements: str
  sample: []
repository:
  description: Number of the repository that cannot be read, or is another cluster's.
  returned: when that is the reason
  type: int
  sample: 2
found:
  description: The system identifier that its archive belongs to.
  returned: when it is another cluster's
  type: str
  sample: "7443276231442413607"
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_files import Place, converge
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import Expected

ARGUMENT_SPEC = {
    "stanza": {"type": "str", "required": True},
    "sections": {"type": "dict", "required": True},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "names": {"type": "dict", "default": {}},
    "repositories": {"type": "list", "elements": "int", "default": []},
    "asks": {"type": "list", "elements": "list", "default": []},
    "postgresql": {"type": "int"},
    "system_identifier": {"type": "str"},
    "upgrade": {"type": "bool", "default": False},
    "service": {"type": "str", "default": ""},
    "watched": {"type": "list", "elements": "path", "default": []},
    "path": {"type": "path", "default": "/etc/pgbackrest.conf"},
    "account": {"type": "str", "default": "postgres"},
    "binary": {"type": "str", "default": "pgbackrest"},
}


def own_file(module: AnsibleModule) -> dict[str, Any]:
    """Bring the file to what is given unless in check mode; return the result."""
    given = module.params
    place = Place(
        path=Path(given["path"]),
        account=given["account"],
        binary=given["binary"],
        service=given["service"],
        watched=tuple(Path(path) for path in given["watched"]),
    )
    version = str(given["postgresql"]) if given["postgresql"] else None
    expected = None if given["upgrade"] else Expected((), given["system_identifier"], version)
    result = converge(place, given["stanza"], given, expected, module.check_mode)
    for warning in result.pop("warnings"):
        module.warn(warning)
    return result


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: own_file(module))


if __name__ == "__main__":
    main()
