#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module alembic_stamp: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alembic_stamp
short_description: Set the Alembic revision of a database that has its schema already
version_added: 0.1.0
description:
  - Writes a revision into the version table without running it, once the schema is what the history makes up to that revision. The
    history is replayed on a scratch database for that.
  - An object that is missing, or not as the history makes it, stops the stamp; a comment or the order of columns does not. Objects that
    the history does not make are named in a warning.
  - Nothing is stamped after a failure. When the journal C(pgsteward.journal) says that a run failed or was cut short in a revision
    that would count as applied, run M(pgsteward.postgres.alembic_upgrade) again instead.
  - A database that is stamped so already is no change, and is not compared.
  - The project's C(env.py) runs in the project's own interpreter and directory, as under the C(alembic) command, so that the version
    table is the one that the project uses. All is written in one transaction.
options:
  revision:
    description:
      - Revisions to set, in full or by a beginning that only one revision has, V(heads), V(head), or C(name@head).
      - V(base) or C(name@base) takes the revision away; the schema must be empty then.
      - A revision replaces those above and below it. Other branches keep theirs, as with C(alembic stamp).
    type: list
    elements: str
    required: true
  force:
    description:
      - Stamp though the schema differs, could not be compared, or an earlier run failed. The differences are returned all the same.
      - Also replaces a revision that no file of the project has, which Alembic's own C(stamp) cannot without C(--purge).
      - Wants O(confirm).
    type: bool
    default: false
  confirm:
    description:
      - Name of the database. Required with O(force) when there is anything to stamp, but for check mode.
    type: str
extends_documentation_fragment:
  - pgsteward.postgres.accept
  - pgsteward.postgres.connection
  - pgsteward.postgres.scratch
  - pgsteward.postgres.scratch.cache
  - pgsteward.postgres.alembic
  - pgsteward.postgres.alembic.mutating
attributes:
  diff_mode:
    description: Shows the revision before and after.
    support: full
notes:
  - Give the address of a server, not that of a connection pooler. Standbys and poolers are refused.
  - Owners, privileges and versions of extensions are not compared, since the history does not decide them.
  - When it is not known which revision a database is at, M(pgsteward.postgres.alembic_adopt) finds out.
seealso:
  - module: pgsteward.postgres.alembic_adopt
  - module: pgsteward.postgres.alembic_upgrade
  - module: pgsteward.postgres.schema_verify
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: The schema was made by hand as the revision says, so mark it as such
  pgsteward.postgres.alembic_stamp:
    project: /srv/shop
    virtualenv: /srv/shop/.venv
    url: "{{ shop_database_url }}"
    revision: [4f1c2a9b7d30]

- name: The same, though one index is missing for good reason
  pgsteward.postgres.alembic_stamp:
    project: /srv/shop
    virtualenv: /srv/shop/.venv
    url: "{{ shop_database_url }}"
    revision: [4f1c2a9b7d30]
    accept:
      - object: index public.idx_plans_price
        reason: dropped in production, where nobody asks for prices

- name: Replace a revision whose file is lost
  pgsteward.postgres.alembic_stamp:
    project: /srv/shop
    virtualenv: /srv/shop/.venv
    url: "{{ shop_database_url }}"
    revision: [4f1c2a9b7d30]
    force: true
    confirm: shop
"""

RETURN = r"""
state:
  description:
    - "What the database was before the run, against the newest revisions: V(fresh) (no tables), V(legacy) (tables, no revision),
      V(behind), V(managed) (at the newest) or V(diverged) (at a revision that no file has)."
    - None when the run failed before that could be known.
  returned: always, when the project was run
  type: str
  sample: legacy
current:
  description: Revisions of the database now, read from its version table.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [4f1c2a9b7d30]
previous:
  description: Revisions of the database before the run.
  returned: always, when the project was run
  type: list
  elements: str
  sample: []
heads:
  description: Newest revisions of the project.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [4f1c2a9b7d30]
drift:
  description: What is missing or differs, gravest first; none when nothing was compared.
  returned: always, when the project was run
  type: list
  elements: dict
  sample:
    - object: column public.users.email
      attribute: type
      expected: character varying(255)
      found: text
      severity: wrong_results
      remedy: write a revision that changes the type from text to character varying(255)
accepted:
  description: Differences that are accepted, each with its reason; none when nothing was compared.
  returned: always, when the project was run
  type: list
  elements: dict
  sample: []
extra:
  description: Objects that the history does not make; none when nothing was compared.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [table public.notes]
retries:
  description: How often the stamp was tried again because of a lock.
  returned: always, when the project was run
  type: int
  sample: 0
messages:
  description: What the run has to say, in order, as it is in the log of the host.
  returned: always, once the options are read
  type: list
  elements: str
  sample:
    - legacy database detected
    - stamping with revision 4f1c2a9b7d30
    - "completed: nothing was run"
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
  sample: ["INFO  [alembic.runtime.migration] Running stamp_revision  -> 4f1c2a9b7d30"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _errors, _stamp


def main() -> None:
    """Look, compare, write unless in check mode, report."""
    module = AnsibleModule(
        argument_spec=_stamp.ARGUMENTS,
        supports_check_mode=True,
        **_alembic.ARGUMENT_RULES,
    )
    _errors.run(module, lambda: _stamp.Stamp.run_module(module))


if __name__ == "__main__":
    main()
