#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module alembic_downgrade: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alembic_downgrade
short_description: Take Alembic revisions back, down to a named one
version_added: 0.1.0
description:
  - Takes back the revisions that a database has above a target, newest first, each in a transaction of its own, and reads the
    result again from the database over a connection of its own. What only these revisions have a place for is lost.
  - Wants O(confirm). Without it, it names the revisions that would be taken back, and does nothing.
  - Refuses the whole way before anything is run, when one of its revisions has no way back, because its C(downgrade()) is empty or
    raises at once. A revision whose C(upgrade()) is empty too, such as a merge, needs none.
  - Waits for other runs, ends what a killed run left at work, and tries a revision again that cannot have a lock in time, as
    M(pgsteward.postgres.alembic_upgrade) does.
  - Keeps the journal C(pgsteward.journal). A revision that was taken back is no longer in it; one that failed on the way back stays
    in it with the error.
  - The project's C(env.py) runs in the project's own interpreter and directory, as under the C(alembic) command.
options:
  revision:
    description:
      - Revision to go back to, in full or by a beginning that only one revision has, V(base), or as Alembic writes targets
        (C(-1), C(name@base), C(name@-1)).
      - A revision that the database is at already is no change. One that it does not have is refused.
      - Of several branches only the one above the revision is taken back, with what depends on it.
      - Relative targets such as C(-1) take back again on every run.
    type: str
    required: true
  confirm:
    description:
      - Name of the database. Required when there is anything to take back, but for check mode.
    type: str
  accept_edited:
    description:
      - Revisions, in full, whose files may differ from what was applied, though it is their C(downgrade()) that runs. Others stop a downgrade.
    type: list
    elements: str
    default: []
  scratch:
    description:
      - Where check mode replays the history and the way back to see the statements that cannot be rendered offline.
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
  - Take a fresh dump before.
  - Give the address of a server, not that of a connection pooler. Standbys and poolers are refused.
  - Check mode renders the way back as C(alembic downgrade --sql) does, which runs the revisions' Python code without a database.
seealso:
  - module: pgsteward.postgres.alembic_upgrade
  - module: pgsteward.postgres.alembic_info
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Show what a downgrade would take back, with its statements
  pgsteward.postgres.alembic_downgrade:
    project: /srv/shop
    virtualenv: /srv/shop/.venv
    url: "{{ shop_database_url }}"
    revision: 81d0c7a5e2f4
  check_mode: true
  diff: true

- name: Go back to one revision
  pgsteward.postgres.alembic_downgrade:
    project: /srv/shop
    virtualenv: /srv/shop/.venv
    url: "{{ shop_database_url }}"
    revision: 81d0c7a5e2f4
    confirm: shop

- name: Take everything of one branch back
  pgsteward.postgres.alembic_downgrade:
    project: /srv/shop
    virtualenv: /srv/shop/.venv
    url: "{{ shop_database_url }}"
    revision: reports@base
    confirm: shop
"""

RETURN = r"""
state:
  description:
    - "What the database was before the run, against the newest revisions: V(fresh) (no tables), V(legacy) (tables, no revision),
      V(behind) or V(managed) (at the newest)."
    - None when the run failed before that could be known.
  returned: always, when the project was run
  type: str
  sample: managed
current:
  description: Revisions of the database now, read from its version table.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [81d0c7a5e2f4]
heads:
  description: Newest revisions of the project.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [4f1c2a9b7d30]
pending:
  description: Revisions that the run set out to take back, newest first.
  returned: always, when the project was run
  type: list
  elements: dict
  sample:
    - revision: 4f1c2a9b7d30
      message: add plans
      path: migrations/versions/4f1c2a9b7d30_add_plans.py
reverted:
  description: Revisions that were taken back for good, in order, with the seconds each took.
  returned: always, when the project was run
  type: list
  elements: dict
  sample:
    - revision: 4f1c2a9b7d30
      seconds: 0.028
      message: add plans
one_way:
  description: Those of the pending revisions that have no way back. When there are any, nothing is run.
  returned: always, when the project was run
  type: list
  elements: dict
  sample: []
sql:
  description:
    - Statements of the pending revisions, without those on the version table. Values that a driver sends apart are not in them.
    - Of a revision with more than 500 statements the first 500.
  returned: always, when the project was run
  type: list
  elements: str
  sample: ["ALTER TABLE plans DROP COLUMN price"]
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
    - stamped with revision 4f1c2a9b7d30
    - "to be taken back: 1 (4f1c2a9b7d30)"
    - running downgrades to 81d0c7a5e2f4
    - "completed: 1 taken back in 0.028 s"
    - stamped with revision 81d0c7a5e2f4
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
  sample: ["INFO  [alembic.runtime.migration] Running downgrade 4f1c2a9b7d30 -> 81d0c7a5e2f4, add plans"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _downgrade, _errors


def main() -> None:
    """Plan, take back unless in check mode, report."""
    module = AnsibleModule(
        argument_spec=_downgrade.ARGUMENTS,
        supports_check_mode=True,
        **_alembic.ARGUMENT_RULES,
    )
    _errors.run(module, lambda: _downgrade.Downgrade.run_module(module))


if __name__ == "__main__":
    main()
