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
  - Runs on the same database wait for each other. A session that a killed run left at work is ended first.
  - A revision that cannot have a lock in time is tried again. Who blocked it is returned, and named in the error.
  - Notes each revision in the table C(pgsteward.journal), with its times, the digest of its file and its error. The schema is its
    own, so that autogenerate does not see it. The first run that has something to apply makes it.
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
  accept_edited:
    description:
      - Applied revisions, in full, whose files may differ from what was applied. Others stop an upgrade.
      - The next upgrade that has something to apply notes their new digests.
    type: list
    elements: str
    default: []
  scratch:
    description:
      - Where check mode replays the history to see the statements of pending revisions that cannot be rendered offline.
      - V(instance) is a private cluster on this host, which lives as long as the module runs; it needs the server's binaries of the same
        major version, and is the default where they are.
      - V(database) is a scratch database on a server, made and dropped by the login O(scratch_url). V(url) is an empty database there.
      - V(none) lists the revisions without their statements then.
    type: str
    choices: [none, instance, database, url]
extends_documentation_fragment:
  - pgsteward.postgres.scratch
  - pgsteward.postgres.connection
  - pgsteward.postgres.alembic
  - pgsteward.postgres.alembic.mutating
notes:
  - Give the address of a server, not that of a connection pooler. Standbys and poolers are refused.
  - When a run was cut short in a revision and left an index invalid, the next run stops and names the statement that removes it.
  - Check mode renders pending revisions as C(alembic upgrade --sql) does, which runs their Python code without a database.
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

- name: Show what an upgrade would apply, with its statements
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
  description:
    - Statements of the pending revisions, without those on the version table. Values that a driver sends apart are not in them.
    - Of a revision with more than 500 statements the first 500.
  returned: always, when the project was run
  type: list
  elements: str
  sample: ["ALTER TABLE plans ADD COLUMN price NUMERIC"]
sql_method:
  description:
    - How the statements were found. V(executed) are those that ran. In check mode, V(offline) are rendered without a database,
      V(replay) were seen in a replay on a scratch database.
    - V(list) when there are none, as nothing is pending or they cannot be shown.
  returned: always, when the project was run
  type: str
  sample: offline
waits:
  description: Sessions that kept revisions waiting for a lock.
  returned: always, when the project was run
  type: list
  elements: dict
  contains:
    revision:
      description: Revision that waited.
      type: str
    pid:
      description: Process of the session that blocked; V(0) for a prepared transaction.
      type: int
    user:
      description: Its role.
      type: str
    application:
      description: Its application name.
      type: str
    query:
      description: Beginning of its last statement, without values; none when the account may not see it.
      type: str
    age:
      description: Seconds that its transaction had lasted when it was last seen.
      type: float
    seconds:
      description: Seconds that the revision was seen waiting for it.
      type: float
  sample:
    - revision: 4f1c2a9b7d30
      pid: 4711
      user: reporting
      application: nightly
      query: SELECT * FROM plans
      age: 2.85
      seconds: 0.451
retries:
  description: How often a revision was tried again because of a lock.
  returned: always, when the project was run
  type: int
  sample: 0
edited:
  description: Applied revisions whose files are not what they were then, and that O(accept_edited) does not name.
  returned: always, when the project was run
  type: list
  elements: str
  sample: []
messages:
  description: What the run has to say, in order, as it is in the log of the host.
  returned: always, once the options are read
  type: list
  elements: str
  sample:
    - stamped with revision 81d0c7a5e2f4
    - "needs migration: 1 pending (4f1c2a9b7d30)"
    - running migrations to 4f1c2a9b7d30
    - "completed: 1 applied in 0.041 s"
    - stamped with revision 4f1c2a9b7d30
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
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _errors, _upgrade


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(
        argument_spec=_upgrade.ARGUMENTS,
        supports_check_mode=True,
        **_alembic.ARGUMENT_RULES,
    )
    _errors.run(module, lambda: _upgrade.Upgrade.run_module(module))


if __name__ == "__main__":
    main()
