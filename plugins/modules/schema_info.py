#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module schema_info: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: schema_info
short_description: Snapshot of the catalog of a database
version_added: 0.1.0
description:
  - Reads everything that the catalog of a database says about its schema, as canonical data with a fingerprint for each object and for the
    whole. The same schema gives the same snapshot on every supported version of PostgreSQL.
  - Only reads, in one read-only transaction with a fixed number of queries, from a primary or a standby, directly or through a pooler in
    transaction or session mode.
  - Values that a name marks as secret, such as passwords in options of user mappings, are not read.
options:
  schemas:
    description:
      - Schemas to read. Without it all, and what belongs to no schema as well.
    type: list
    elements: str
    default: []
  kinds:
    description:
      - Kinds of objects to read, such as V(table), V(enum) or V(function). Without it all.
    type: list
    elements: str
    default: []
  without:
    description:
      - Attributes to leave out of every object, such as V(owner), V(privileges), V(comment) or V(version).
        V(privileges) leaves out default privileges and privileges on system objects too.
    type: list
    elements: str
    default: []
  path:
    description:
      - File to write the snapshot to, instead of returning it. It is left alone when it holds the same snapshot already, and in check mode.
    type: path
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.connection.url
requirements:
  - Python 3.10 or later for the interpreter that runs the module
attributes:
  check_mode:
    description: Only reads; in check mode O(path) is not written.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: pgsteward.postgres.schema_verify
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Store the schema of the shop database beside its migrations
  pgsteward.postgres.schema_info:
    login_host: db1.example.org
    login_user: shop_readonly
    login_password: "{{ shop_readonly_password }}"
    login_db: shop
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/postgres-ca.pem
    without: [owner, privileges, version]
    path: /srv/shop/migrations/snapshots/4f1c2a9b7d30.json

- name: Learn the tables of one schema
  pgsteward.postgres.schema_info:
    login_db: shop
    schemas: [orders]
    kinds: [table]
  register: result
"""

RETURN = r"""
snapshot:
  description: The snapshot, as docs/snapshots.md describes it.
  returned: success, without O(path)
  type: dict
  sample:
    format: 1
    scope: {schemas: null, kinds: [enum], without: []}
    unseen: []
    objects: {enum: {public.mood: {owner: shop_owner, labels_in_order: [sad, ok]}}}
    fingerprints: {enum: {public.mood: 5d1f…}}
    fingerprint: 0c2a…
fingerprint:
  description: SHA-256 of scope and objects.
  returned: success
  type: str
  sample: 0c2a73e1f5…
objects:
  description: How many objects of each kind were read.
  returned: success
  type: dict
  sample: {table: 12, enum: 7, schema: 1}
written:
  description: Whether O(path) was written, or would be in check mode.
  returned: success, with O(path)
  type: bool
  sample: true
unseen:
  description: What the account could not see.
  returned: success
  type: list
  elements: str
  sample: [user mapping alice on archive options]
server_version:
  description: Version of the server as a number.
  returned: success
  type: int
  sample: 170012
standby:
  description: Whether a standby answered.
  returned: success
  type: bool
  sample: false
pooled:
  description: Whether a connection pooler stands between.
  returned: success
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection, _errors, _schema_info, _verify


def main() -> None:
    """Read, and write the file if one is named."""
    module = AnsibleModule(
        argument_spec={
            **_connection.ARGUMENTS,
            **_connection.URL_ARGUMENT,
            **_verify.SCOPE_ARGUMENTS,
            "path": {"type": "path"},
        },
        supports_check_mode=True,
        **_connection.URL_RULES,
    )
    _errors.run(module, lambda: _schema_info.info(module.params, module.check_mode))


if __name__ == "__main__":
    main()
