#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module pg_dump: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_dump
short_description: Dump a database into a directory or a bucket
version_added: 0.1.0
description:
  - Dumps one database as one moment of it, from a primary or a standby, and writes beside the dump what is needed to prove a restore - row
    counts, the catalog with its fingerprint, extensions, roles, schema revision, versions, and the size and SHA-256 of every file.
  - An archive (V(custom)) and plain SQL (V(plain)) go straight from C(pg_dump) into the store. A V(directory), which several jobs write, is staged
    on the host first; what a run that was killed has staged can be sent by the next run of the commands that the role C(pg_dumps) installs.
  - A dump exists once its manifest does, which is written last. A run that fails leaves nothing in the store; one that is killed leaves
    nothing that is listed as a dump.
  - Also takes a SQLite file (O(sqlite)), by SQLite's own backup, checked for integrity.
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.dump_store
options:
  environment:
    description: Part of the dump's name that says what it is of, such as V(production).
    type: str
    required: true
  format:
    description: What C(pg_dump) writes.
    type: str
    choices: [custom, plain, directory]
    default: custom
  content:
    description: Whether definitions and rows are dumped, or only one of the two.
    type: str
    choices: [all, schema, data]
    default: all
  schemas:
    description: Schemas to dump. Without it all.
    type: list
    elements: str
    default: []
  tables:
    description: Tables to dump, as C(schema.table). Without it all.
    type: list
    elements: str
    default: []
  compression:
    description:
      - V(zstd), V(gzip) or V(none), the first two also with a level such as V(zstd:9). V(auto) is V(zstd:1) where the tools have it (16 and newer), V(gzip)
        where they have not.
    type: str
    default: auto
  jobs:
    description: How many tables are dumped at a time, with O(format=directory).
    type: int
    default: 1
  globals:
    description: Whether roles and tablespaces of the server are dumped beside it.
    type: bool
    default: true
  role_passwords:
    description: Whether their passwords (verifiers) are in that. Takes a superuser.
    type: bool
    default: false
  sqlite:
    description: SQLite file to dump instead of a database of a server.
    type: path
  sqlite_name:
    description: What the store calls it. By default the file's name without its ending.
    type: str
  host:
    description: What the manifest says of where it was taken. By default the host's name.
    type: str
  staging:
    description: Directory for what is staged. By default one that goes with the run.
    type: path
  bin_directory:
    description: Directory of C(pg_dump) and its kin. By default that of the server's version, or the next newer one, among those on the host.
    type: path
attributes:
  check_mode:
    description: Looks at server, tools, store and space, says what would be done, and writes nothing.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: pgsteward.postgres.pg_restore
  - module: pgsteward.postgres.pg_dump_info
  - module: pgsteward.postgres.pg_dump_retention
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Dump the shop database into a bucket, encrypted before it leaves the host
  pgsteward.postgres.pg_dump:
    login_unix_socket: /var/run/postgresql
    login_user: dumps
    login_db: shop
    environment: production
    store:
      bucket: shop-dumps
      endpoint: https://s3.example.org:9000
      access_key: "{{ vault_s3_key }}"
      secret_key: "{{ vault_s3_secret }}"
      encryption_key_file: /etc/pgsteward/dumps.key
  become: true
  become_user: postgres

- name: Dump four tables at a time into a directory
  pgsteward.postgres.pg_dump:
    login_db: shop
    environment: production
    format: directory
    jobs: 4
    store: {path: /srv/dumps}

- name: Dump a SQLite file
  pgsteward.postgres.pg_dump:
    sqlite: /srv/faces/face_recognition.db
    environment: production
    store: {path: /srv/dumps}
"""

RETURN = r"""
name:
  description: Name of the dump.
  returned: success
  type: str
  sample: backup_production_20260131_020005
database:
  description: Name of the database.
  returned: success
  type: str
  sample: shop
store:
  description: Where it is.
  returned: success, not in check mode
  type: str
  sample: s3://shop-dumps
dump_format:
  description: Format of the dump.
  returned: success
  type: str
  sample: custom
compression:
  description: How it is compressed.
  returned: success
  type: str
  sample: zstd
content:
  description: What of the database it has.
  returned: success, without O(sqlite) or not in check mode
  type: str
  sample: all
standby:
  description: Whether a standby was asked.
  returned: success, without O(sqlite) or not in check mode
  type: bool
  sample: false
seconds:
  description: How long it took.
  returned: success, not in check mode
  type: float
  sample: 14.2
bytes:
  description: What it takes in the store.
  returned: success, not in check mode
  type: int
  sample: 73400320
expected_bytes:
  description: What it takes at most, but for odd data.
  returned: check mode
  type: int
  sample: 314572800
files:
  description: How many files it has.
  returned: success, not in check mode
  type: int
  sample: 3
verified:
  description: How it is known that the store has what was sent.
  returned: success, not in check mode
  type: list
  elements: str
  sample: [size and checksum of the store]
tool_version:
  description: Version of C(pg_dump).
  returned: check mode
  type: str
  sample: '17.6'
server_version:
  description: Version of the server.
  returned: check mode
  type: str
  sample: '17.6'
error:
  description: Always none.
  returned: success, not in check mode
  type: str
  sample: null
manifest:
  description: The manifest, as docs/dumps.md describes it.
  returned: success, not in check mode
  type: dict
  sample: {name: backup_production_20260131_020005, rows: {public.orders: 3}, fingerprint: 0c2a…}
notes:
  description: What the dump does not hold, and what the store does not do against loss.
  returned: success
  type: list
  elements: str
  sample: [the passwords of roles are not in it]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _connection,
    _dump_actions,
    _dump_plan,
    _dump_target,
    _errors,
)


def main() -> None:
    """Plan, dump unless in check mode, report."""
    module = AnsibleModule(
        argument_spec={
            **_connection.ARGUMENTS,
            "store": _dump_target.ARGUMENT,
            "environment": {"type": "str", "required": True},
            "format": {"type": "str", "choices": list(_dump_plan.FORMATS), "default": "custom"},
            "content": {"type": "str", "choices": list(_dump_plan.CONTENTS), "default": "all"},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "tables": {"type": "list", "elements": "str", "default": []},
            "compression": {"type": "str", "default": "auto"},
            "jobs": {"type": "int", "default": 1},
            "globals": {"type": "bool", "default": True},
            "role_passwords": {"type": "bool", "default": False, "no_log": False},
            "sqlite": {"type": "path"},
            "sqlite_name": {"type": "str"},
            "host": {"type": "str"},
            "staging": {"type": "path"},
            "bin_directory": {"type": "path"},
        },
        supports_check_mode=True,
        mutually_exclusive=[("sqlite", "login_db")],
        required_one_of=[("sqlite", "login_db")],
    )
    staging = Path(module.tmpdir) / "dump"
    _errors.run(module, lambda: _dump_actions.dump(module.params, staging, module.check_mode))


if __name__ == "__main__":
    main()
