#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module foreign_key_orphans: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: foreign_key_orphans
short_description: Find rows that break a foreign key, move them aside or delete them
version_added: 0.1.0
description:
  - Counts the rows whose parent does not exist, and shows the first of them, for keys that are there but NOT VALID or that are yet to be added.
  - Can move these rows into a side table, or delete them, in batches of one transaction each, so that the key can be added or validated.
  - A row with a NULL in one of the key's columns breaks no key (in all of them, for a key that is there as MATCH FULL).
  - Values are compared by the operators of the unique index that the key refers to, as the key itself would compare them.
options:
  keys:
    description:
      - The foreign keys to look at, whether they are there or not.
      - Without it all keys of the database that are NOT VALID, except for those that are NOT ENFORCED. An empty list is no key at all.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the key in results and reasons. Without it the name that PostgreSQL would give.
        type: str
      table:
        description:
          - Table whose rows refer to another, as V(schema.table). Without a schema it is in C(public).
          - Names are taken as they stand, capitals included. Put a part with a dot in it into double quotes.
        type: str
        required: true
      columns:
        description:
          - Its columns that refer.
        type: list
        elements: str
        required: true
      references:
        description:
          - Table that is referred to, written in the same way.
        type: str
        required: true
      referenced_columns:
        description:
          - The columns that are referred to, in the same order. Without it the primary key.
        type: list
        elements: str
  schemas:
    description:
      - Schemas whose keys to look at, where O(keys) is not given.
    type: list
    elements: str
  project:
    description:
      - Directory of an Alembic project. The keys to look at are those that its pending revisions add or validate, found by a replay of the
        history in a scratch database. Keys of tables and columns that these revisions make as well are left out.
    type: path
  revision:
    description:
      - Revisions up to which others are pending, for O(project).
    type: list
    elements: str
    default: [heads]
  config:
    description:
      - Name of the project's config file, relative to O(project).
    type: str
    default: alembic.ini
  section:
    description:
      - Section of the config file.
    type: str
    default: alembic
  virtualenv:
    description:
      - Virtual environment of the project. A relative path starts at O(project).
    type: path
  python:
    description:
      - Interpreter of the project. The default is the interpreter that runs the module.
    type: path
  environment:
    description:
      - Environment variables for the project's process. URLs of the live database in them lead to the scratch database where it replays.
    type: dict
    default: {}
  x:
    description:
      - Arguments that the project reads by C(context.get_x_argument). They may be logged; give secrets by O(environment).
    type: list
    elements: str
    default: []
  action:
    description:
      - V(report) only counts.
      - V(quarantine) moves whole rows into the side table C(<schema>.<table>__orphans), which is made when it is needed. It has the columns of the
        table without their constraints and defaults, C(orphaned_at) and C(orphan_reason), which names the key and its values. It belongs to the
        owner of the table, and nobody else may read it. A name that gets too long is cut and has a digest in it.
      - V(delete) deletes the rows.
      - A row that goes may be the parent of others, which then break a key of the list in their turn. They are moved or deleted as well.
      - Rows that others refer to by a foreign key that is there are never removed. The module stops and names that key, whatever its ON DELETE says.
    type: str
    choices: [report, quarantine, delete]
    default: report
  confirm:
    description:
      - Name of the database. O(action=delete) wants it.
    type: str
  sample:
    description:
      - How many rows of each key to show, by their primary key and the columns of the key.
    type: int
    default: 5
  batch:
    description:
      - How many rows to move or delete in one transaction.
    type: int
    default: 1000
  statement_timeout:
    description:
      - How long a statement may take. V(0) is without limit.
    type: str
    default: 30s
  lock_timeout:
    description:
      - How long a statement may wait for a lock, since others queue behind it. It is tried six times. V(0) waits for ever.
    type: str
    default: 500ms
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.scratch
  - pgsteward.postgres.scratch.cache
  - pgsteward.postgres.connection.url
attributes:
  check_mode:
    description: Counts in a read-only transaction, and refuses what the real run would refuse because rows refer to the orphans.
    support: full
  diff_mode:
    description: Shows how many rows break each key, before and after.
    support: full
notes:
  - It takes SELECT on the tables to count, DELETE to remove rows, and what the owner of the table may do to make its side table; UPDATE as well
    where keys refer to the table.
  - Triggers of the table fire, as the account that is logged in. Who owns a table decides what they do, so log in as the least account that can
    do the work, not as a superuser.
  - Row security is switched off. An account that it concerns gets an error instead of a part of the rows.
  - Standbys and poolers are fine for V(report), and refused otherwise.
  - After a failure the batches that were done stay done. The message says how many rows that is, and the same run again goes on with the rest.
seealso:
  - module: pgsteward.postgres.alembic_upgrade
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Count the rows that stand in the way of a key
  pgsteward.postgres.foreign_key_orphans:
    login_host: db1.example.org
    login_user: pixcrawler_readonly
    login_password: "{{ pixcrawler_readonly_password }}"
    login_db: pixcrawler
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/postgres-ca.pem
    keys:
      - table: images
        columns: [crawl_job_id]
        references: crawl_jobs
  register: orphans

- name: Show them
  ansible.builtin.debug:
    var: orphans.found

- name: Count the rows that stand in the way of what is pending
  pgsteward.postgres.foreign_key_orphans:
    url: "{{ pixcrawler_owner_url }}"
    project: /srv/pixcrawler
    virtualenv: .venv

- name: Move aside what breaks any key that is not validated yet
  pgsteward.postgres.foreign_key_orphans:
    url: "{{ pixcrawler_owner_url }}"
    action: quarantine

- name: Delete rows of a key of two columns
  pgsteward.postgres.foreign_key_orphans:
    url: "{{ shop_owner_url }}"
    keys:
      - table: sales.order_lines
        columns: [shop, order_number]
        references: sales.orders
        referenced_columns: [shop, number]
    action: delete
    confirm: shop
"""

RETURN = r"""
found:
  description: What was found of each key.
  returned: success, and failure while rows were moved or deleted
  type: list
  elements: dict
  contains:
    name: {description: Name of the key., type: str, sample: images_crawl_job_id_fkey}
    table: {description: Table with the rows., type: str, sample: public.images}
    columns: {description: Its columns., type: list, elements: str, sample: [crawl_job_id]}
    references: {description: Table that is referred to., type: str, sample: public.crawl_jobs}
    referenced_columns: {description: Its columns., type: list, elements: str, sample: [id]}
    orphans: {description: How many rows broke the key at first., type: int, sample: 3}
    sample:
      description: The first of them, as texts, by columns of the primary key and of the key.
      type: list
      elements: dict
      sample: [{id: '17', crawl_job_id: '2000000000'}]
    moved:
      description: How many rows were moved because of this key, with those that became orphans meanwhile. In check mode the orphans.
      type: int
      sample: 3
    deleted: {description: How many rows were deleted because of this key., type: int, sample: 0}
    side_table:
      description: Where the rows are, or would be.
      returned: with O(action=quarantine)
      type: str
      sample: public.images__orphans
    seconds: {description: How long it took., type: float, sample: 0.041}
total:
  description: How many times rows broke a key at first.
  returned: success, and failure while rows were moved or deleted
  type: int
  sample: 3
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _connection,
    _errors,
    _orphan_removal,
    _pending_keys,
)


def main() -> None:
    """Find, and remove if asked to."""
    module = AnsibleModule(
        argument_spec={
            **_connection.ARGUMENTS,
            **_connection.URL_ARGUMENT,
            **_orphan_removal.ARGUMENTS,
            **_pending_keys.ARGUMENTS,
        },
        supports_check_mode=True,
        required_one_of=_connection.URL_RULES["required_one_of"],
        mutually_exclusive=[
            *_connection.URL_RULES["mutually_exclusive"],
            ("virtualenv", "python"),
            ("keys", "schemas"),
            ("project", "keys"),
            ("project", "schemas"),
        ],
    )
    _errors.run(module, lambda: _run(module))


def _run(module: AnsibleModule) -> dict[str, Any]:
    if module.params["project"]:
        _alembic.settle_secrets(module)
    return _orphan_removal.run(module.params, module.check_mode, module.warn, module.tmpdir)


if __name__ == "__main__":
    main()
