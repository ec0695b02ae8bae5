#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pgvector, built from its source archive for one installed server."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgvector_build
short_description: Build pgvector from a source archive
version_added: 0.1.0
description:
  - Builds the extension for the installed server and puts its files where the server looks for them. For distributions that have no
    package of it.
  - Remembers in O(stamp) what was built from which archive, and does nothing when that has been done and the library is still the one
    that came out of it.
  - Everything happens in a temporary directory beside O(stamp), which is removed in any case. An archive that is another one than
    O(checksum) and O(version) say, or does not build, leaves the host as it was.
  - The servers and their databases are not touched; see M(pgsteward.postgres.pgvector_update).
options:
  archive:
    description: The upstream archive, on the host.
    type: path
    required: true
  checksum:
    description: Its SHA-256.
    type: str
    required: true
  version:
    description: The version of pgvector that it must hold.
    type: str
    required: true
  pg_config:
    description: The C(pg_config) of the server to build for.
    type: path
    required: true
  development_package:
    description:
      - Debian package that holds the server's headers. It is unpacked for the build and not installed.
      - Without it the headers that O(pg_config) names are used.
    type: str
  stamp:
    description: File that remembers the build.
    type: path
    required: true
attributes:
  check_mode:
    description: Says whether it would build.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
requirements:
  - make and a C compiler on the host
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Build pgvector
  pgsteward.postgres.pgvector_build:
    archive: /var/lib/pgsteward/pgvector-0.8.0.tar.gz
    checksum: 867a2c328d4928a5a9d6f052cd3bc78c7d60228a9b914ad32aa3db88e9de27b0
    version: 0.8.0
    pg_config: /usr/lib/postgresql/15/bin/pg_config
    development_package: postgresql-server-dev-15
    stamp: /var/lib/pgsteward/pgvector-15
  become: true
"""

RETURN = r"""# """

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgvector_build import Build, apply

ARGUMENT_SPEC = {
    "archive": {"type": "path", "required": True},
    "checksum": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "pg_config": {"type": "path", "required": True},
    "development_package": {"type": "str"},
    "stamp": {"type": "path", "required": True},
}


def main() -> None:
    """Build unless it is done or in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    build = Build(
        archive=Path(given["archive"]),
        checksum=given["checksum"],
        version=given["version"],
        pg_config=Path(given["pg_config"]),
        development_package=given["development_package"],
        stamp=Path(given["stamp"]),
    )
    run(module, lambda: apply(build, dry_run=module.check_mode))


if __name__ == "__main__":
    main()
