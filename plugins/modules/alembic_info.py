#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module alembic_info: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alembic_info
short_description: Where a database stands against an Alembic project
version_added: 0.1.0
description:
  - Says in which of eight states a database is, what proves that, and what may safely be done next; and lists the history of the project
    with the revisions that the database lacks.
  - The project's C(env.py) runs in the project's own interpreter and directory, as under the C(alembic) command, with every session
    read-only. No version table is made. An C(env.py) that writes before it runs the migrations, a C(CREATE SCHEMA) for instance, fails.
  - A standby serves as well. Through a connection pooler the project is not run, because a session that was made read-only could reach
    other clients of the pooler; RV(state) is none then, and RV(evidence) says what the version tables hold.
options:
  revision:
    description:
      - Revisions that the database is wanted at, in full, by a beginning that only one revision has, or as Alembic writes targets
        (C(heads), C(head), C(name@head), C(+1)).
    type: list
    elements: str
    default: [heads]
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.alembic
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
notes:
  - Missing tables are judged without a replay of the history. A table counts as missing when C(target_metadata) has it, an applied revision
    names it, no other revision does, and the database has none of that name. Projects without C(target_metadata) are not judged, which
    RV(evidence) says, and columns, indexes and constraints are not looked at; M(pgsteward.postgres.schema_verify) does that.
seealso:
  - module: pgsteward.postgres.alembic_upgrade
  - module: pgsteward.postgres.schema_verify
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Look where the shop database stands
  pgsteward.postgres.alembic_info:
    project: /srv/shop
    virtualenv: .venv
    login_host: db1.example.org
    login_user: shop_migrator
    login_password: "{{ shop_migrator_password }}"
    login_db: shop
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/postgres-ca.pem
  register: shop

- name: Stop before anything that was not made by this project
  ansible.builtin.assert:
    that: shop.state in ['fresh', 'behind', 'managed']
    fail_msg: "{{ shop.evidence | join(' ') }} {{ shop.next_action }}"
"""

RETURN = r"""
state:
  description:
    - V(fresh) (no tables, no revision), V(managed) (at the wanted revision), V(behind) (revisions are pending), V(ahead) (past the wanted
      revision), V(legacy) (tables, no revision), V(partial) (a revision is recorded, and tables that it promises are missing),
      V(diverged) (the recorded revisions do not fit together, or the file of one is missing) or V(foreign) (the recorded revisions are
      another project's).
    - A version table with nothing but unknown revisions is V(diverged) where most tables of the models are there, and else V(foreign).
    - None through a connection pooler.
  returned: success
  type: str
  sample: behind
evidence:
  description: The facts behind RV(state), as sentences.
  returned: success
  type: list
  elements: str
  sample:
    - public.alembic_version is at 8b1d0c5e2f44.
    - "1 of 2 revisions are pending: 4f1c2a9b7d30."
    - All 12 tables of the models are there.
next_action:
  description: What may safely be done, in one sentence that names a playbook.
  returned: success
  type: str
  sample: "Run the playbook migrate, first with --check --diff: it applies what is pending."
current:
  description: Rows of the version table, as they are.
  returned: when the project was run
  type: list
  elements: str
  sample: [8b1d0c5e2f44]
resolved:
  description: Those of RV(current) that the project has, as in RV(history).
  returned: when the project was run
  type: list
  elements: dict
  sample:
    - revision: 8b1d0c5e2f44
      down: []
      depends_on: []
      message: first tables
      created: "2025-01-15 10:00:00"
      path: migrations/versions/8b1d0c5e2f44_first_tables.py
targets:
  description: Revisions that O(revision) means.
  returned: when the project was run
  type: list
  elements: str
  sample: [4f1c2a9b7d30]
heads:
  description: Newest revisions of the project.
  returned: when the project was run
  type: list
  elements: str
  sample: [4f1c2a9b7d30]
bases:
  description: Revisions that stand on no other.
  returned: when the project was run
  type: list
  elements: str
  sample: [8b1d0c5e2f44]
branches:
  description: Under C(points) each revision that several follow, with those; under C(labels) each label with the newest revisions of its branch.
  returned: when the project was run
  type: dict
  sample:
    points: [{revision: 8b1d0c5e2f44, next: [4f1c2a9b7d30, 9e0d7c6b5a43]}]
    labels: {billing: [9e0d7c6b5a43]}
merges:
  description: Revisions that join several.
  returned: when the project was run
  type: list
  elements: str
  sample: []
history:
  description:
    - Every revision of the project, oldest first.
    - C(down) are the revisions right below it, C(depends_on) others that it needs. C(created) is the "Create Date" of its file as it is
      written there, none where it is not.
    - C(applied) is when a run of this collection was done with it, in seconds since 1970, of a revision that the database has; none where
      somebody else applied it, and where the account may not read the journal.
  returned: when the project was run
  type: list
  elements: dict
  sample:
    - revision: 8b1d0c5e2f44
      down: []
      depends_on: []
      message: first tables
      created: "2025-01-15 10:00:00"
      path: migrations/versions/8b1d0c5e2f44_first_tables.py
      applied: 1736935260.5
pending:
  description: Revisions that the database lacks, in the order in which they would be applied; empty where it names unknown ones.
  returned: when the project was run
  type: list
  elements: dict
  sample:
    - revision: 4f1c2a9b7d30
      message: add plans
      path: migrations/versions/4f1c2a9b7d30_add_plans.py
version_table:
  description: Name of the version table that the project uses.
  returned: when the project was run
  type: str
  sample: alembic_version
version_table_schema:
  description: Schema that the project names for it; none when the search path decides.
  returned: when the project was run
  type: str
  sample: app
target_metadata:
  description: Whether the project gives Alembic its models.
  returned: when the project was run
  type: bool
  sample: true
versions:
  description: Versions of Python, Alembic and SQLAlchemy that ran the project.
  returned: when the project was run
  type: dict
  sample:
    python: 3.11.2
    alembic: 1.20.1
    sqlalchemy: 2.1.9
interpreter:
  description: Interpreter that ran the project.
  returned: when the project was run
  type: str
  sample: /srv/shop/.venv/bin/python
output:
  description: The last lines that the project wrote to stdout and stderr, with secrets masked.
  returned: always, when the project was run
  type: list
  elements: str
  sample: []
connected:
  description: Whether the database answered.
  returned: always, once it was asked
  type: bool
  sample: true
database:
  description: Name of the database, as it says itself.
  returned: always, when it answered
  type: str
  sample: shop
server_version:
  description: Version of the server as a number.
  returned: always, when it answered
  type: int
  sample: 170012
standby:
  description: Whether a standby answered.
  returned: always, when it answered
  type: bool
  sample: false
pooled:
  description: Whether a connection pooler stands between.
  returned: always, when it answered
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _alembic_info, _errors


def main() -> None:
    """Look, decide, report."""
    module = AnsibleModule(
        argument_spec={
            **_alembic.ARGUMENTS,
            "revision": {"type": "list", "elements": "str", "default": ["heads"]},
        },
        supports_check_mode=True,
        **_alembic.ARGUMENT_RULES,
    )
    _errors.run(module, lambda: _alembic_info.run_info(module))


if __name__ == "__main__":
    main()
