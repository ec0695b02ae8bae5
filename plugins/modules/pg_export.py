#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module pg_export: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pg_export
short_description: Write tables to JSON lines or to a SQLite file
version_added: 0.1.0
description:
  - Writes all rows of some tables, as they are at one moment, with their ids, in the order of their primary keys.
  - A file is put in its place once it is complete, and left alone when it holds the same already. Others than its owner cannot read it.
options:
  schema:
    description:
      - Schema of the tables.
    type: str
    default: public
  tables:
    description:
      - Names of the tables.
    type: list
    elements: str
    required: true
  format:
    description:
      - V(jsonl) writes a file C(<table>.jsonl) for each table, one object a line, as C(row_to_json) makes it.
      - V(sqlite) writes one SQLite file with a table for each, its primary key, and the foreign keys between them. Numbers with a point that are
        C(numeric), times, JSON, vectors and whatever SQLite has no type for are texts there, as the server prints them; times with a zone
        are in UTC, and a zero has no sign.
        M(pgsteward.postgres.sqlite_import) reads such a file back to the same rows.
    type: str
    choices: [jsonl, sqlite]
    default: jsonl
  path:
    description:
      - Directory for the files of V(jsonl), the SQLite file otherwise.
    type: path
    required: true
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.connection.url
attributes:
  check_mode:
    description: Counts the rows, and writes nothing. Whether a file that is there would change is not known before it is written.
    support: partial
  diff_mode:
    description: Has nothing to show.
    support: none
notes:
  - It takes SELECT on the tables. Row security is switched off, so an account that it concerns gets an error instead of a part of the rows.
  - A standby answers as well.
requirements:
  - Python 3.11 or later for the interpreter that runs the module
seealso:
  - module: pgsteward.postgres.sqlite_import
  - module: pgsteward.postgres.pg_dump
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Hand out persons and faces
  pgsteward.postgres.pg_export:
    url: "{{ face_recognition_readonly_url }}"
    tables: [persons, face_embeddings]
    path: /srv/export

- name: The same as a SQLite file
  pgsteward.postgres.pg_export:
    url: "{{ face_recognition_readonly_url }}"
    tables: [persons, face_embeddings]
    format: sqlite
    path: /srv/export/faces.db
"""

RETURN = r"""
rows:
  description: How many rows of each table were written, or would be.
  returned: success
  type: dict
  sample: {public.persons: 1200}
files:
  description: The files.
  returned: success
  type: list
  elements: str
  sample: [/srv/export/persons.jsonl]
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 0.8
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection, _errors, _export


def main() -> None:
    """Write the files, or say what would be in them."""
    module = AnsibleModule(
        argument_spec={**_connection.ARGUMENTS, **_connection.URL_ARGUMENT, **_export.ARGUMENTS},
        supports_check_mode=True,
        **_connection.URL_RULES,
    )
    _errors.run(module, lambda: _export.run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
