#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module schema_verify: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: schema_verify
short_description: Compare the schema of a database with a truth
version_added: 0.1.0
description:
  - Reads the catalog as M(pgsteward.postgres.schema_info) does and lists every difference from a truth, each with its severity and with a
    remedy, which is shown and never run.
  - Only reads. It fails when a difference is at least as grave as O(fail_on).
options:
  truth:
    description:
      - V(snapshot) is a file that M(pgsteward.postgres.schema_info) wrote. The comparison judges what the snapshot holds.
      - V(spec) is a short YAML file that a person writes, see docs/spec.md. What it does not name is not judged.
      - V(metadata) are the SQLAlchemy models of an Alembic project, created in a scratch database and read back. They say what tables,
        enums, domains and sequences look like, and nothing about owners, privileges, triggers or storage, so those are not judged.
      - V(history) is what the revisions of an Alembic project make of an empty database, found by a replay in a scratch database. Owners,
        privileges and the versions of extensions are not judged.
    type: str
    choices: [snapshot, spec, metadata, history]
    default: snapshot
  snapshot:
    description:
      - The file of the snapshot, or a directory with one file for each revision, named C(<revision>.json). In a directory the one of the
        revision that the database is at is taken.
    type: path
  spec:
    description:
      - The file of the spec.
    type: path
  version_table:
    description:
      - Table in which Alembic keeps the revision of the database, for choosing a snapshot from a directory. For O(truth=history) the project says which.
    type: str
    default: alembic_version
  project:
    description:
      - Directory of the Alembic project, for O(truth=metadata) and O(truth=history).
    type: path
  config:
    description:
      - Name of its config file, relative to O(project).
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
      - Environment variables for the project's process. URLs of the live database in them lead to the scratch database instead.
    type: dict
    default: {}
  x:
    description:
      - Arguments that the project reads by C(context.get_x_argument). They may be logged; give secrets by O(environment).
    type: list
    elements: str
    default: []
  revision:
    description:
      - Revisions of the project to compare with, for O(truth=history). Without it those that the database names.
    type: list
    elements: str
    default: []
  schemas:
    description:
      - Schemas to judge. Without it all, and what belongs to no schema as well.
    type: list
    elements: str
    default: []
  kinds:
    description:
      - Kinds of objects to judge, such as V(table), V(enum) or V(function). Without it all.
    type: list
    elements: str
    default: []
  without:
    description:
      - Attributes not to judge, such as V(owner), V(privileges), V(comment) or V(version).
    type: list
    elements: str
    default: []
  fail_on:
    description:
      - The slightest severity that fails the module. V(never) only reports.
    type: str
    choices: [data_at_risk, wrong_results, slower, cosmetic, never]
    default: cosmetic
extends_documentation_fragment:
  - pgsteward.postgres.accept
  - pgsteward.postgres.connection
  - pgsteward.postgres.scratch
  - pgsteward.postgres.scratch.cache
  - pgsteward.postgres.connection.url
notes:
  - Tables that M(pgsteward.postgres.foreign_key_orphans) made for rows put aside are no difference.
  - A standby answers as well as a primary. Through a pooler it works in transaction or session mode; in statement mode it is refused.
requirements:
  - Python 3.10 or later for the interpreter that runs the module
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Shows what differs, the truth before and the database after.
    support: full
seealso:
  - module: pgsteward.postgres.schema_info
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Is the shop database what its revision says?
  pgsteward.postgres.schema_verify:
    login_host: db1.example.org
    login_user: shop_readonly
    login_password: "{{ shop_readonly_password }}"
    login_db: shop
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/postgres-ca.pem
    truth: snapshot
    snapshot: /srv/shop/migrations/snapshots
    accept:
      - object: index public.orders_tmp_idx
        reason: helps the campaign of November
        until: "2026-12-15"

- name: Report, whatever differs from what we promised to the analysts
  pgsteward.postgres.schema_verify:
    login_db: shop
    truth: spec
    spec: /srv/shop/promises.yml
    fail_on: never
  register: result

- name: Compare with what the revisions make
  pgsteward.postgres.schema_verify:
    url: "{{ shop_database_url }}"
    truth: history
    project: /srv/shop
    virtualenv: .venv

- name: Compare with the models
  pgsteward.postgres.schema_verify:
    url: "{{ shop_database_url }}"
    truth: metadata
    project: /srv/shop
    virtualenv: .venv
    fail_on: slower
"""

RETURN = r"""
clean:
  description: Whether nothing differs but what is accepted.
  returned: always, once both sides were read
  type: bool
  sample: false
drift:
  description: What differs, gravest first.
  returned: always, once both sides were read
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
  description: Differences that are accepted, each with its reason.
  returned: always, once both sides were read
  type: list
  elements: dict
  sample: []
worst:
  description: Severity of the gravest difference; none when it is clean.
  returned: always, once both sides were read
  type: str
  sample: wrong_results
truth_name:
  description: What the database was compared with.
  returned: always, once both sides were read
  type: str
  sample: snapshot /srv/shop/migrations/snapshots/4f1c2a9b7d30.json
objects:
  description: How many objects were read from the database.
  returned: always, once both sides were read
  type: int
  sample: 41
unseen:
  description: What the account could not see, and what therefore was not judged.
  returned: always, once both sides were read
  type: list
  elements: str
  sample: []
"""

from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _errors, _verify


def main() -> None:
    """Read both sides, compare, report."""
    module = AnsibleModule(argument_spec=_verify.ARGUMENTS, supports_check_mode=True, **_verify.ARGUMENT_RULES)
    today = datetime.now(timezone.utc).date()  # noqa: UP017 - hosts with Python 3.9 have no datetime.UTC
    _errors.run(module, lambda: _verify.run(module, today))


if __name__ == "__main__":
    main()
