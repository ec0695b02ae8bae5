#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module pg_restore: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore a dump
version_added: 0.1.0
description:
  - Restores a dump of M(pgsteward.postgres.pg_dump), whole, or one schema or table of it, from a directory or a bucket.
  - Every file is read, decrypted where it is encrypted, and compared with its SHA-256 before the first byte reaches the server.
  - A whole dump is read into a new database. Its rows are counted and its catalog is compared with that of the dump, and then it gets its name,
    in one transaction. A database that had the name is there afterwards as C(<name>_before_<time>), unless O(keep_former) is false. A failure before
    that leaves it as it was.
  - With O(clean), O(schemas), O(tables) or O(content=data) a database that is there is read into. One job does that in one transaction.
  - Roles that own or may use something have to be there. Their passwords are not in dumps unless that was asked for.
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.dump_store
options:
  login_db:
    description: Database for administration. By default V(postgres), or V(template1) where V(postgres) is restored.
  name:
    description: Name of the dump, or V(latest) for the newest good one.
    type: str
    default: latest
  source:
    description: Database that the dump is of. Needed where the store has dumps of several.
    type: str
  database:
    description: Database to restore to. By default the one that the dump is of.
    type: str
  confirm:
    description: The name of that database (with O(path) the path), where it is there already.
    type: str
    default: ''
  schemas:
    description: Schemas to restore. In a new database without the keys that lead out of them.
    type: list
    elements: str
    default: []
  tables:
    description:
      - Tables to restore, as C(schema.table), each with its rows, indexes, keys, triggers, sequences and privileges.
      - In a new database also with the types and functions they need, and without the keys that lead to other tables.
    type: list
    elements: str
    default: []
  clean:
    description: Whether what is there is dropped first, object by object (C(--clean --if-exists)), and the database itself stays.
    type: bool
    default: false
  content:
    description: Whether definitions and rows are restored, or only one of the two.
    type: str
    choices: [all, schema, data]
    default: all
  jobs:
    description: How many jobs read at a time. By default as many as there are processors, at most 8; one where the database stays.
    type: int
  role:
    description:
      - Role that becomes the owner of everything, in the place of the owners in the dump, and as which the dump is read. Privileges are not restored then.
    type: str
  create_roles:
    description: Whether roles that the server lacks are made from the dump, without passwords unless it has them.
    type: bool
    default: false
  keep_former:
    description: Whether a database that is replaced stays, under another name.
    type: bool
    default: true
  path:
    description: Where to restore the dump of a SQLite file to. A file that is there is kept beside it.
    type: path
  staging:
    description: Directory for what is brought here first. By default one that goes with the run.
    type: path
  bin_directory:
    description: Directory of C(pg_restore) and C(psql). By default that of the server's version, or the next newer one, among those on the host.
    type: path
attributes:
  check_mode:
    description: Looks at dump, server and space, says what would be done, and changes nothing.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: pgsteward.postgres.pg_dump
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Bring the shop back as it was last night
  pgsteward.postgres.pg_restore:
    login_unix_socket: /var/run/postgresql
    login_user: postgres
    source: shop
    confirm: shop
    store: {path: /srv/dumps}
  become: true
  become_user: postgres

- name: Look at one table as it was then, in a database of its own
  pgsteward.postgres.pg_restore:
    name: backup_production_20260131_020005
    source: shop
    tables: [public.orders]
    database: shop_orders_then
    store: {path: /srv/dumps}
"""

RETURN = r"""
name:
  description: Name of the dump.
  returned: success
  type: str
  sample: backup_production_20260131_020005
database:
  description: The database.
  returned: success, without O(path)
  type: str
  sample: shop
path:
  description: The file.
  returned: success, with O(path)
  type: str
  sample: /srv/faces/face_recognition.db
former:
  description: What was there before, as it is called now.
  returned: success
  type: str
  sample: shop_before_20260131_091500
state:
  description:
    - V(done). When it fails, V(unchanged), V(partial) (several jobs read a part of it into a database that stays), or V(beside) (all of it is in a database of
      another name, which the message has).
  returned: always, not in check mode
  type: str
  sample: done
rows:
  description: How many rows there are and should be, and the tables where they differ.
  returned: success, not in check mode
  type: dict
  sample: {tables: 12, expected: 40213, found: 40213, different: []}
catalog:
  description: How the catalog differs from that of the dump, for a dump that has the whole database.
  returned: success, not in check mode
  type: dict
  sample: {equal: true, expected: 0c2a…, found: 0c2a…, differences: [], count: 0}
revisions:
  description: What the version tables say.
  returned: success, not in check mode
  type: dict
  sample: {public.alembic_version: [003_refunds]}
roles_created:
  description: Roles that were made.
  returned: success, without O(path), not in check mode
  type: list
  elements: str
  sample: []
left_out:
  description: Keys of the tables or schemas that lead to something which was not restored.
  returned: success, without O(path), not in check mode
  type: list
  elements: str
  sample: [fk constraint public.orders orders_customer_id_fkey]
bytes:
  description: What the dump takes in the store.
  returned: success, without O(path), not in check mode
  type: int
  sample: 73400320
notes:
  description: What differs between the server of the dump and this one.
  returned: success, without O(path), not in check mode
  type: list
  elements: str
  sample: []
seconds:
  description: How long it took.
  returned: success, not in check mode
  type: float
  sample: 21.7
plan:
  description: What would be done.
  returned: check mode
  type: list
  elements: str
  sample: [make database shop from backup_production_20260131_020005]
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
    """Look, decide, restore unless in check mode, report."""
    module = AnsibleModule(
        argument_spec={
            **_connection.ARGUMENTS,
            "store": _dump_target.ARGUMENT,
            "name": {"type": "str", "default": "latest"},
            "source": {"type": "str"},
            "database": {"type": "str"},
            "confirm": {"type": "str", "default": ""},
            "schemas": {"type": "list", "elements": "str", "default": []},
            "tables": {"type": "list", "elements": "str", "default": []},
            "clean": {"type": "bool", "default": False},
            "content": {"type": "str", "choices": list(_dump_plan.CONTENTS), "default": "all"},
            "jobs": {"type": "int"},
            "role": {"type": "str"},
            "create_roles": {"type": "bool", "default": False},
            "keep_former": {"type": "bool", "default": True},
            "path": {"type": "path"},
            "staging": {"type": "path"},
            "bin_directory": {"type": "path"},
        },
        supports_check_mode=True,
        mutually_exclusive=[("path", "database")],
    )
    staging = Path(module.tmpdir) / "restore"
    _errors.run(module, lambda: _dump_actions.restore(module.params, staging, module.check_mode))


if __name__ == "__main__":
    main()
