#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module alembic_validate: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alembic_validate
short_description: Check the revisions of an Alembic project before they are applied
version_added: 0.1.0
description:
  - Reads every revision file of a project and reports all that is wrong with them at once, also where Alembic itself stops at the first
    broken file.
  - Walks the staircase on a scratch database. Each revision goes up, down and up again, the catalog is compared after each stair, and the
    seconds of each are returned.
  - Lints the statements of the revisions that the live database lacks with squawk, and weighs what it says by the size of the live tables.
  - Without a database (no O(url), no O(login_db), nothing in O(environment)) only the files are checked; RV(checks) says so.
  - Never writes to the live database; the session there is read-only.
options:
  revision:
    description:
      - Revisions up to which to walk and to lint, in full, by a beginning that only one revision has, or as Alembic writes targets
        (C(heads), C(head), C(name@head)).
    type: list
    elements: str
    default: [heads]
  staircase:
    description:
      - Whether to walk the staircase. A downgrade that is empty or refuses is not walked, and named.
    type: bool
    default: true
  lint:
    description:
      - Whether to lint. A C(.squawk.toml) in the project's directory or above holds.
    type: bool
    default: true
  squawk:
    description:
      - Program C(squawk) of the package squawk-cli. Without it the one beside the project's interpreter is taken, then one on the path.
    type: path
  ignore:
    description:
      - Findings that are accepted. They are returned apart, each with its reason, and do not fail the module.
      - An entry that fits no finding is named in a warning.
    type: list
    elements: dict
    default: []
    suboptions:
      check:
        description:
          - Check of the finding, a rule of squawk among them; C(*) and C(?) stand for any text and any character.
        type: str
        required: true
      revision:
        description:
          - Revision of the finding, in the same way.
        type: str
        default: '*'
      reason:
        description:
          - Why this may be.
        type: str
        required: true
  fail_on:
    description:
      - The slightest severity that fails the module. V(never) only reports.
    type: str
    choices: [error, warning, never]
    default: error
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.scratch
  - pgsteward.postgres.alembic
notes:
  - Give the address of a server, not that of a connection pooler. Standbys and poolers are refused.
  - "Checks of the files: V(unimportable), V(duplicate_id), V(missing_down_revision) (also for depends_on) and V(broken_graph), after which
    nothing else can be done; V(several_heads), V(long_id) (longer than the version table takes, usually 32 characters), V(unknown_revision)
    (the database is at a revision that no file has), V(concurrently_in_transaction) and V(enum_created_twice), all errors;
    V(empty_downgrade) and V(enum_left_behind), warnings; V(no_way_back), a note. What is read from the text of a file is taken back where the
    staircase shows that it works."
  - "Checks of the staircase, all errors: V(staircase_failed), V(staircase_down) and V(staircase_again) (the schema is not what it was),
    V(enum_left_behind). Owners, privileges, extensions and the order of columns are not compared."
  - "The rules of squawk are checks under their own names. What locks or rewrites a table is a note where the table is empty or not there yet,
    a warning up to 10,000 rows and 8 MB, and an error beyond; what may break clients is a warning, and what is a matter of taste a note.
    Rules that M(pgsteward.postgres.alembic_upgrade) makes needless, such as those on timeouts, are left out."
  - "The check V(destructive) is an error for each statement of a pending revision that destroys rows or values, or rewrites them, in a table
    that has any; allow it by O(ignore), with the revision's name. It does not depend on O(lint)."
  - "V(squawk_missing), V(lint_missing) and V(staircase_missing), warnings, say that something could not be done."
requirements:
  - squawk-cli 2.70 or later, for O(lint)
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Nothing changes.
    support: none
seealso:
  - module: pgsteward.postgres.alembic_upgrade
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Are the revisions of the shop fit for its database?
  pgsteward.postgres.alembic_validate:
    project: /srv/shop
    virtualenv: .venv
    login_host: db1.example.org
    login_user: shop_migrator
    login_password: "{{ shop_migrator_password }}"
    login_db: shop
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/postgres-ca.pem
    ignore:
      - check: changing-column-type
        revision: 4f1c2a9b7d30
        reason: longer, which rewrites nothing

- name: Check the files alone, as before a commit
  pgsteward.postgres.alembic_validate:
    project: "{{ playbook_dir }}/shop"
    fail_on: warning

- name: Report, whatever is found
  pgsteward.postgres.alembic_validate:
    project: /srv/migrations
    section: powergym
    url: "{{ powergym_database_url }}"
    scratch: database
    scratch_url: "{{ scratch_login_url }}"
    fail_on: never
  register: result
"""

RETURN = r"""
valid:
  description: Whether no finding is an error, but those that are ignored.
  returned: always, when the project was run
  type: bool
  sample: false
findings:
  description: What was found, gravest first.
  returned: always, when the project was run
  type: list
  elements: dict
  contains:
    check:
      description: Name of the check, or of the rule of squawk.
      type: str
    severity:
      description: V(error), V(warning) or V(note).
      type: str
    message:
      description: What is wrong, and where it matters how large the table is.
      type: str
    remedy:
      description: What to do about it.
      type: str
    revision:
      description: Revision that it is about; none for the project as a whole.
      type: str
    path:
      description: Its file, relative to the project.
      type: str
    line:
      description: Line in that, where it is known.
      type: int
    statement:
      description: Statement that a rule of squawk is about.
      type: str
  sample:
    - check: require-concurrent-index-creation
      severity: error
      message: >-
        During normal index creation, table updates are blocked, but reads are still allowed. (public.orders has about 1,204,000 rows, 96 MB)
      remedy: Use `concurrently` to avoid blocking writes.
      revision: 4f1c2a9b7d30
      path: migrations/versions/4f1c2a9b7d30_add_plans.py
      line: null
      statement: CREATE INDEX ix_orders_plan ON orders (plan_id)
ignored:
  description: Findings that O(ignore) accepts, each with its reason.
  returned: always, when the project was run
  type: list
  elements: dict
  sample: []
staircase:
  description: What each revision did, oldest first.
  returned: always, when the project was run
  type: list
  elements: dict
  contains:
    revision:
      description: The revision.
      type: str
    up:
      description: Seconds of its upgrade.
      type: float
    down:
      description: Seconds of its downgrade; none when that was not walked.
      type: float
    again:
      description: Seconds of its second upgrade; none when that was not walked.
      type: float
    differences:
      description: What was not as it had been, each with the stair V(down) or V(again) after which it was seen.
      type: list
      elements: dict
  sample:
    - revision: 4f1c2a9b7d30
      up: 0.041
      down: 0.012
      again: 0.038
      differences:
        - after: down
          object: enum public.plan_state
          attribute: existence
          expected: absent
          found: present
heads:
  description: Newest revisions of the project.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [4f1c2a9b7d30]
revisions:
  description: How many revisions the project has.
  returned: always, when the project was run
  type: int
  sample: 12
current:
  description: Revisions of the live database.
  returned: always, when the project was run
  type: list
  elements: str
  sample: [81d0c7a5e2f4]
pending:
  description: Revisions that the live database lacks, in order.
  returned: always, when the project was run
  type: list
  elements: dict
  sample:
    - revision: 4f1c2a9b7d30
      message: add plans
      path: migrations/versions/4f1c2a9b7d30_add_plans.py
sql_method:
  description:
    - How the linted statements were found. V(offline) are rendered without a database, V(replay) ran on a scratch database.
    - None when there are none.
  returned: always, when the project was run
  type: str
  sample: offline
checks:
  description: What was done, and what was not and why.
  returned: always, when the project was run
  type: dict
  sample:
    graph: done
    files: done
    staircase: done
    lint: "done: nothing is pending"
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
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _errors, _validate


def main() -> None:
    """Look, judge, report."""
    module = AnsibleModule(argument_spec=_validate.ARGUMENTS, supports_check_mode=True, **_alembic.ARGUMENT_RULES)
    _errors.run(module, lambda: _validate.run_validate(module))


if __name__ == "__main__":
    main()
