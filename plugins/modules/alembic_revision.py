#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module alembic_revision: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alembic_revision
short_description: Write an Alembic revision file
version_added: 0.1.0
description:
  - Writes a revision file, empty or with what the models have and the history does not make, and nothing when there is nothing to say.
  - The project's own C(script.py.mako), C(file_template), C(process_revision_directives) and C(post_write_hooks) are used, as under
    C(alembic revision).
  - The file is imported before it is written, and its functions may name nothing that it does not import. When anything fails no file stays.
  - The database is only read. Tables of extensions and those of the schema C(pgsteward) are never in the file.
options:
  message:
    description:
      - What the revision does, in one line.
    type: str
    required: true
  autogenerate:
    description:
      - Compare the models with the database that O(compare_with) names and write what differs. Else the revision is empty.
    type: bool
    default: true
  compare_with:
    description:
      - V(scratch) compares the models with what the project's own history makes in a scratch database. What somebody changed in some
        database by hand never gets into a revision so.
      - V(database) compares them with the database itself, which must be at the newest revision.
    type: str
    choices: [scratch, database]
    default: scratch
  id:
    description:
      - Identifier of the revision, at most 32 characters. By default Alembic draws one.
    type: str
  head:
    description:
      - Revision that the new one comes after. It must be a head; V(base) begins a new history.
    type: str
    default: head
  depends_on:
    description:
      - Revisions of other branches that must be applied before.
    type: list
    elements: str
    default: []
  branch_label:
    description:
      - Name for the branch that begins with the revision.
    type: str
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.scratch
  - pgsteward.postgres.alembic
notes:
  - A second run changes nothing. The models then say what the new file makes; and an empty revision with the same message that nothing
    comes after serves again.
  - The scratch database gets the extensions, roles and settings of the live one, so a connection to that is needed in either case.
  - The file belongs to the account that the module runs as.
attributes:
  check_mode:
    description: Returns the file and writes nothing. An identifier that Alembic draws is another one in the run that follows.
    support: full
  diff_mode:
    description: Shows the new file.
    support: full
seealso:
  - module: pgsteward.postgres.alembic_upgrade
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Write down what the models of the shop have and its history does not make
  pgsteward.postgres.alembic_revision:
    project: /srv/shop
    virtualenv: .venv
    url: "{{ shop_database_url }}"
    message: add plans
  register: written

- name: Show it
  ansible.builtin.debug:
    msg: "{{ written.content }}"
  when: written.changed

- name: Stop when somebody changed the models without a revision
  pgsteward.postgres.alembic_revision:
    project: /srv/shop
    virtualenv: .venv
    url: "{{ shop_database_url }}"
    message: anything
  check_mode: true
  register: shown
  failed_when: shown is failed or shown is changed

- name: Begin a revision that is written by hand
  pgsteward.postgres.alembic_revision:
    project: /srv/shop
    virtualenv: .venv
    url: "{{ shop_database_url }}"
    message: fill the plans
    autogenerate: false
"""

RETURN = r"""
msg:
  description: What was written, or why nothing was.
  returned: always
  type: str
  sample: "revision 4f1c2a9b7d30 is written to migrations/versions/4f1c2a9b7d30_add_plans.py: create table plans"
revision:
  description: The new revision, or the empty one that serves again; none when nothing is to be written.
  returned: success
  type: str
  sample: 4f1c2a9b7d30
down_revision:
  description: Revisions that it comes after.
  returned: success
  type: list
  elements: str
  sample: [8b1d0c5e2f44]
path:
  description: Its file, relative to the project.
  returned: success
  type: str
  sample: migrations/versions/4f1c2a9b7d30_add_plans.py
content:
  description: What the new file holds; none when nothing is to be written.
  returned: success
  type: str
  sample: "\"\"\"add plans\n\nRevision ID: 4f1c2a9b7d30 …"
operations:
  description: What the revision does, one entry for each operation.
  returned: success
  type: list
  elements: str
  sample: [create table plans, add column users.plan_id]
detected:
  description: What Alembic said about the differences.
  returned: success
  type: list
  elements: str
  sample: ["Detected added table 'plans'"]
versions:
  description: Versions of Python, alembic and SQLAlchemy in the project's interpreter.
  returned: when the project was run
  type: dict
  sample: {python: 3.11.7, alembic: 1.13.3, sqlalchemy: 2.0.36}
output:
  description: Last lines that the project's process printed, secrets masked.
  returned: when the project was run
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _errors, _new_revision


def main() -> None:
    """Compare, write unless in check mode, report."""
    module = AnsibleModule(argument_spec=_new_revision.ARGUMENTS, supports_check_mode=True, **_alembic.ARGUMENT_RULES)
    _errors.run(module, lambda: _new_revision.run_revision(module))


if __name__ == "__main__":
    main()
