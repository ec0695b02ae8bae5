#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module alembic_upgrade: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alembic_upgrade
short_description: Bring a database to an Alembic revision
version_added: 0.1.0
description:
  - Applies the revisions that a database lacks up to a target, each in a transaction of its own, and reads the result
    again from the database over a connection of its own.
  - Never downgrades. A target that the database is past already is no change, and a warning.
  - The project's C(env.py) runs in the project's own interpreter and directory, as under the C(alembic) command.
options:
  revision:
    description:
      - Revisions to reach, in full, by a beginning that only one revision has, or as Alembic writes targets
        (C(heads), C(head), C(name@head), C(+1)).
      - Relative targets apply again on every run.
    type: list
    elements: str
    default: [heads]
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.alembic
  - pgsteward.postgres.alembic.mutating
notes:
  - Give the address of a server, not that of a connection pooler. Standbys and poolers are refused.
  - Only one run at a time may work on a database.
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Bring the shop database to the newest revision
  pgsteward.postgres.alembic_upgrade:
    project: /srv/shop
    virtualenv: /srv/shop/.venv
    login_host: db1.example.org
    login_user: shop_migrator
    login_password: "{{ shop_migrator_password }}"
    login_db: shop
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/postgres-ca.pem

- name: Show what an upgrade would apply
  pgsteward.postgres.alembic_upgrade:
    project: /srv/shop
    virtualenv: .venv
    url: "{{ shop_database_url }}"
  check_mode: true
  diff: true

- name: Go to one revision of a project with several sections
  pgsteward.postgres.alembic_upgrade:
    project: /srv/migrations
    section: powergym
    url: "{{ powergym_database_url }}"
    revision: 4f1c2a9b7d30
    environment:
      PYTHONPATH: /srv/migrations
    x:
      - tenant=main
"""

RETURN = r"""
state:
  description:
    - "What the database was before the run: V(fresh) (no tables), V(legacy) (tables, no revision), V(behind),
      V(managed) (at the target) or V(ahead) (past it)."
    - None when the run failed before that could be known.
  returned: always, when the project was run
  type: str
  sample: behind
current:
  description: Revisions of the database now, read from its version table.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [4f1c2a9b7d30]
heads:
  description: Newest revisions of the project.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [4f1c2a9b7d30]
pending:
  description: Revisions that the run set out to apply, in order.
  returned: always, when the project was run
  type: list
  elements: dict
  sample:
    - revision: 4f1c2a9b7d30
      message: add plans
      path: migrations/versions/4f1c2a9b7d30_add_plans.py
applied:
  description: Revisions that were applied and are in the database to stay, in order, with the seconds each took.
  returned: always, when the project was run
  type: list
  elements: dict
  sample:
    - revision: 4f1c2a9b7d30
      seconds: 0.041
      message: add plans
sql:
  description: Statements of the pending revisions; empty while RV(sql_method) is V(list).
  returned: always, when the project was run
  type: list
  elements: str
  sample: []
sql_method:
  description: How the statements were found. V(list) names the revisions only.
  returned: always, when the project was run
  type: str
  sample: list
version_table:
  description: Name of the version table that the project uses.
  returned: always, when the project was run
  type: str
  sample: alembic_version
version_table_schema:
  description: Schema that the project names for it; none when the search path decides.
  returned: always, when the project was run
  type: str
  sample: app
target_metadata:
  description: Whether the project gives Alembic its models, which autogenerate needs.
  returned: always, when the project was run
  type: bool
  sample: true
versions:
  description: Versions of Python, Alembic and SQLAlchemy that ran the project.
  returned: always, when the project was run
  type: dict
  sample:
    python: 3.11.2
    alembic: 1.20.1
    sqlalchemy: 2.1.9
output:
  description: The last lines that the project wrote to stdout and stderr, with secrets masked.
  returned: always, when the project was run
  type: list
  elements: str
  sample: ["INFO  [alembic.runtime.migration] Running upgrade  -> 4f1c2a9b7d30, add plans"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _errors


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(
        argument_spec={
            **_alembic.ARGUMENTS,
            **_alembic.MUTATING_ARGUMENTS,
            "revision": {"type": "list", "elements": "str", "default": ["heads"]},
        },
        supports_check_mode=True,
        **_alembic.ARGUMENT_RULES,
    )
    _errors.run(module, lambda: _alembic.run_upgrade(module))


if __name__ == "__main__":
    main()
