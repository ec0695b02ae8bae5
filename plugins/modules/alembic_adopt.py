#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module alembic_adopt: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alembic_adopt
short_description: Find out which Alembic revision a legacy database is at, prove it, and stamp it
version_added: 0.1.0
description:
  - Takes a database that has tables and no recorded revision, as C(init.sql) or C(create_all) leave them. Replays the history of a project in
    a scratch database, reads the catalog after each revision, and works out from which of these states the live catalog differs least.
  - Stamps only on proof, when nothing of that state is missing or different, and looks again afterwards. Several states that fit equally well
    are a tie, which is reported and never decided.
  - A database that has a revision already, or no table of this project, is left as it is.
options:
  revision:
    description:
      - The revision to take, where several fit equally well, or the only one to look at. It is proven as any other.
    type: list
    elements: str
    default: []
  repair:
    description:
      - V(none) stops when something is missing, with the list.
      - V(additive) adds what is missing of the nearest state - schemas, types, sequences, tables, columns that are nullable or have a default,
        indexes (C(CONCURRENTLY)) and constraints (C(NOT VALID), validated once no row breaks them). It never drops, alters or rewrites anything,
        and does nothing at all unless all that differs can be mended so.
    type: str
    choices: [none, additive]
    default: none
  lock_wait:
    description:
      - How long to wait for another run on the same database.
    type: str
    default: 10min
  lock_timeout:
    description:
      - How long a statement of O(repair=additive) may wait for a lock, since others queue behind it. It is tried six times.
    type: str
    default: 500ms
extends_documentation_fragment:
  - pgsteward.postgres.accept
  - pgsteward.postgres.connection
  - pgsteward.postgres.scratch
  - pgsteward.postgres.scratch.cache
  - pgsteward.postgres.alembic
attributes:
  check_mode:
    description: Compares and proves, and says what would be repaired and stamped. The session to the database only reads.
    support: full
  diff_mode:
    description: Shows the revision, and the statements of a repair.
    support: full
notes:
  - What decides are tables, columns, constraints, indexes, types, sequences, views, functions and triggers. Owners, privileges, comments, the
    order of columns and the versions of extensions do not.
  - Objects that no revision makes, such as a backup table, are listed and stand in nobody's way. A column, constraint or trigger on a table of
    the history does.
  - Nothing is stamped after a failure; when an earlier run of M(pgsteward.postgres.alembic_upgrade) was cut short, run that again.
  - Give the address of a server, not that of a connection pooler. Standbys and poolers are refused.
seealso:
  - module: pgsteward.postgres.alembic_stamp
  - module: pgsteward.postgres.schema_verify
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Say which revision a database made by init.sql is at
  pgsteward.postgres.alembic_adopt:
    project: /srv/cats
    virtualenv: .venv
    url: "{{ cats_database_url }}"
  check_mode: true
  register: adoption

- name: Adopt it, and add the index that somebody dropped
  pgsteward.postgres.alembic_adopt:
    project: /srv/cats
    virtualenv: .venv
    login_host: db1.example.org
    login_user: cats_migrator
    login_password: "{{ cats_migrator_password }}"
    login_db: cats
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/postgres-ca.pem
    repair: additive

- name: Adopt one whose labels were never all there, and say why that is well
  pgsteward.postgres.alembic_adopt:
    project: /srv/optuna
    url: "{{ optuna_database_url }}"
    revision: [v3.2.0.a]
    accept:
      - object: enum public.trialstate
        attribute: labels_in_order
        reason: the models of that release have one more
"""

RETURN = r"""
state:
  description: What the database was before the run, as M(pgsteward.postgres.alembic_info) says; V(legacy) is what can be adopted.
  returned: always, once the project was looked at
  type: str
  sample: legacy
revision:
  description: Revisions of the state that is nearest to the database.
  returned: when a history was compared
  type: list
  elements: str
  sample: [002_cat_recognition]
proven:
  description: Whether nothing of that state is missing or different.
  returned: when a history was compared
  type: bool
  sample: true
distance:
  description: How many objects and parts of objects differ from it.
  returned: when a history was compared
  type: int
  sample: 0
drift:
  description: Each difference from it.
  returned: when a history was compared
  type: list
  elements: dict
  contains:
    object: {description: Object or part of one., type: str, sample: index public.idx_feedback_created}
    attribute: {description: What differs of it., type: str, sample: existence}
    kind: {description: 'V(missing), V(extra) or V(changed).', type: str, sample: missing}
    expected: {description: As the history has it., type: raw, sample: present}
    found: {description: As the database has it., type: raw, sample: absent}
    severity: {description: As in M(pgsteward.postgres.schema_verify)., type: str, sample: slower}
    blocks: {description: Whether a database with it is not in that state., type: bool, sample: true}
    remedy: {description: What mends it., type: str, sample: CREATE INDEX CONCURRENTLY …}
candidates:
  description: All states that the history passes through, the nearest first, with how far away they are.
  returned: when a history was compared
  type: list
  elements: dict
  contains:
    revision: {description: Its revisions., type: list, elements: str, sample: [002_cat_recognition]}
    distance: {description: How many objects and parts differ., type: int, sample: 0}
    missing: {description: Differences of this kind., type: int, sample: 0}
    extra: {description: Differences of this kind., type: int, sample: 0}
    changed: {description: Differences of this kind., type: int, sample: 0}
ties:
  description: The revisions of the states that are equally near, where there are several.
  returned: when a history was compared
  type: list
  elements: list
  sample: []
repaired:
  description: Statements that were run to add what was missing; in check mode those that would be.
  returned: when a history was compared
  type: list
  elements: str
  sample: []
history:
  description: How many states were compared, and whether the replay was taken from the cache.
  returned: when a history was compared
  type: dict
  sample: {states: 4, cached: false}
current:
  description: Revisions of the database now; in check mode those that it would be stamped with.
  returned: always, once the project was looked at
  type: list
  elements: str
  sample: [002_cat_recognition]
heads:
  description: Newest revisions of the project.
  returned: always, once the project was looked at
  type: list
  elements: str
  sample: [003_activity_features]
messages:
  description: What the run has to say, in order, as it is in the log of the host.
  returned: always, once the options are read
  type: list
  elements: str
  sample: [legacy database detected, stamped with revision 002_cat_recognition]
version_table:
  description: Name of the version table that the project uses.
  returned: always, once the project was looked at
  type: str
  sample: alembic_version
version_table_schema:
  description: Schema that the project names for it; none when the search path decides.
  returned: always, once the project was looked at
  type: str
  sample: app
versions:
  description: Versions of Python, Alembic and SQLAlchemy that ran the project.
  returned: always, once the project was looked at
  type: dict
  sample:
    python: 3.11.2
    alembic: 1.20.1
    sqlalchemy: 2.1.9
output:
  description: The last lines that the project wrote to stdout and stderr, with secrets masked.
  returned: always, once the project was looked at
  type: list
  elements: str
  sample: []
"""

import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _adopt, _alembic, _errors


def main() -> None:
    """Compare, prove, stamp unless in check mode, report."""
    module = AnsibleModule(
        argument_spec=_adopt.ARGUMENTS,
        supports_check_mode=True,
        **_alembic.ARGUMENT_RULES,
    )
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()  # noqa: UP017  # Python 3.10 has no datetime.UTC
    _errors.run(module, lambda: _adopt.run(module, today))


if __name__ == "__main__":
    main()
