#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module sqlite_import: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sqlite_import
short_description: Import a SQLite file into a schema that is there
version_added: 0.1.0
description:
  - Reads the tables of a SQLite file and loads them by C(COPY) into tables that a migration made. Ids are kept.
  - The file is opened read-only, with its write-ahead log, and checked by C(integrity_check) and C(foreign_key_check) before anything else.
  - SQLite keeps any value in any column. How a column is converted is decided once, by the type of the column that it goes to, and every
    value is looked at. What does not fit ends the import with its table, column and row, and nothing is changed; or it is left out and written
    to a file, as far as O(max_rejected) allows. Nothing is cut, rounded, emptied or replaced unless that was asked for, and then it is counted.
  - At the end the rows are counted, and a checksum of each column of what was read is compared with one that the server works out from what
    is there, before the transaction is committed.
  - A table that holds just the rows of the file already is left as it is. So a second run changes nothing, and an import that was cut short goes on.
options:
  source:
    description:
      - The SQLite file, on the host where the module runs. It may be in use.
    type: path
    required: true
  schema:
    description:
      - Schema of the tables.
    type: str
    default: public
  tables:
    description:
      - Where tables of the file go, as names in the file and names in the database. A null leaves a table out.
      - Those that are not listed go to the table of their name. C(alembic_version) is never imported.
    type: dict
    default: {}
  columns:
    description:
      - What names and types alone do not say about columns of the file. Those that are not listed go to the column of their name.
    type: list
    elements: dict
    default: []
    suboptions:
      table:
        description: Table in the file.
        type: str
        required: true
      name:
        description: Column in the file. It may be listed several times, to go to several columns.
        type: str
        required: true
      to:
        description: Column in the database, where it has another name.
        type: str
      ignore:
        description: Whether the column is left out.
        type: bool
        default: false
      unit:
        description:
          - What numbers count that stand for times since 1970. Without it the unit is taken that makes plausible times of all of them, from 1973
            on, and the import is refused when that is not clear.
        type: str
        choices: [s, ms, us, ns]
      binary:
        description: How a text becomes bytes, where the column in the database is C(bytea).
        type: str
        choices: [hex, utf8]
      round:
        description: Whether numbers with more digits than a C(numeric) column keeps are rounded.
        type: bool
        default: false
      empty_as_null:
        description: Whether an empty text is NULL.
        type: bool
        default: false
  timezone:
    description:
      - Zone of times that have none and go to a C(timestamptz), and in which a C(timestamp) column keeps those that have one.
    type: str
    default: UTC
  on_nul:
    description:
      - What to do with a text that has a NUL, which PostgreSQL does not hold. V(replace) puts U+FFFD in its place, V(escape) the four characters C(\x00).
    type: str
    choices: [fail, replace, escape]
    default: fail
  on_bad_utf8:
    description:
      - What to do with a text whose bytes are no UTF-8. V(replace) puts U+FFFD in their place, V(escape) their hex value behind a C(\x).
    type: str
    choices: [fail, replace, escape]
    default: fail
  on_orphan:
    description:
      - What to do with rows that refer, by a foreign key of the database, to rows that neither the file nor, for O(mode=append), the database has.
    type: str
    choices: [fail, reject]
    default: fail
  max_rejected:
    description:
      - How many rows may be left out. Rows that refer to one that is left out are left out as well.
    type: int
    default: 0
  rejects:
    description:
      - File for the rows that are left out, one JSON object a line with table, key, column, reason and the value shortened.
    type: path
  mode:
    description:
      - V(fail) refuses tables that have other rows than those of the file.
      - V(append) adds to them.
      - V(replace) empties all tables of the import first, within the transaction. It wants O(confirm).
    type: str
    choices: [fail, append, replace]
    default: fail
  confirm:
    description:
      - Name of the database. O(mode=replace) wants it.
    type: str
  commit:
    description:
      - V(all) loads everything in one transaction. V(table) commits each table, or each group of tables that refer to one another; after a failure
        the same import goes on with the rest. With O(mode=replace) the former rows are gone from its start on, also when it fails later.
    type: str
    choices: [all, table]
    default: all
  lock_timeout:
    description:
      - How long to wait for the locks on the tables. They keep other writers away until the end, and readers too where tables are empty.
    type: str
    default: 5s
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.connection.url
attributes:
  check_mode:
    description: Reads and converts everything, and compares it with what is there, in a read-only transaction.
    support: full
  diff_mode:
    description: Shows how many rows of the file each table has, before and after.
    support: full
notes:
  - Log in as the owner of the tables. From empty tables their keys to others of the import and their plain indexes are taken off, and put back as they were
    in the same transaction, once the rows are there. So nobody else reads these tables meanwhile. Keys between tables that have rows and refer to each other
    are made deferrable until the end of the transaction.
  - Triggers of the tables fire. One that changes what is loaded ends the import, since what is there is not what was sent.
  - Embeddings are taken as packed float32 or float64, as JSON, as C(.npy) and as pickled numpy arrays. Pickles are read by a reader that knows flat
    arrays of floats and nothing else; none is ever run.
  - An IVFFlat index of an empty table is built from the rows of the file. One of a table that had rows learns nothing from the new ones, so rebuild it.
requirements:
  - Python 3.11 or later for the interpreter that runs the module
seealso:
  - module: pgsteward.postgres.foreign_key_orphans
  - module: pgsteward.postgres.alembic_upgrade
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: See what an import would do
  pgsteward.postgres.sqlite_import:
    login_unix_socket: /var/run/postgresql
    login_user: face_recognition_owner
    login_db: face_recognition
    source: /srv/old/faces.db
  check_mode: true
  diff: true

- name: Import it, the embeddings as bytes and as vectors
  pgsteward.postgres.sqlite_import:
    url: "{{ face_recognition_owner_url }}"
    source: /srv/old/faces.db
    tables:
      faces: face_embeddings
      schema_info: null
    columns:
      - {table: faces, name: embedding}
      - {table: faces, name: embedding, to: embedding_vec}
      - {table: recognition_results, name: seen_at, to: recognized_at, unit: ms}
    timezone: Europe/Berlin
    on_bad_utf8: escape
    on_orphan: reject
    max_rejected: 1000
    rejects: /srv/old/faces.rejected.jsonl

- name: Import it anew
  pgsteward.postgres.sqlite_import:
    url: "{{ face_recognition_owner_url }}"
    source: /srv/old/faces.db
    mode: replace
    confirm: face_recognition
"""

RETURN = r"""
rows:
  description: How many rows of the file each table has now, or would have.
  returned: success, and failure after some were committed
  type: dict
  sample: {public.persons: 1200, public.face_embeddings: 3400}
checksums:
  description: A checksum of each column, the same for what was read and for what is there. Two imports of the same file have the same.
  returned: success, and failure after some were committed
  type: dict
  sample: {public.persons: {id: 5d1f…, name: 0c2a…}}
tables:
  description: What became of each table, in the order in which they were loaded.
  returned: success, and failure after some were committed
  type: list
  elements: dict
  contains:
    source: {description: Its name in the file., type: str, sample: faces}
    target: {description: Its name in the database., type: str, sample: public.face_embeddings}
    state: {description: "V(loaded), in check mode what would be; or V(same) when the rows were there already.", type: str, sample: loaded}
    rows: {description: Rows of the file., type: int, sample: 3400}
    rejected: {description: Rows that were left out., type: int, sample: 2}
    changed_values:
      description: By column, how many values are not just what they were, as the options allow.
      type: dict
      sample: {name: {bad_utf8: 3}, created_at: {zone_assumed: 3400}}
    seconds: {description: How long it took., type: float, sample: 1.42}
rejected:
  description: The first rows that were left out, or that ended the import.
  returned: always but for an early failure
  type: list
  elements: dict
  sample: [{table: persons, key: {id: 17}, column: name, reason: 'has 300 characters, and character varying(255) takes 255', value: '''Alice…'''}]
rejected_count:
  description: How many rows were left out.
  returned: always but for an early failure
  type: int
  sample: 2
rejects:
  description: The file that holds them.
  returned: when rows were left out
  type: str
  sample: /srv/old/faces.rejected.jsonl
summary:
  description: A line for each table, for people.
  returned: success
  type: list
  elements: str
  sample: ['faces to public.face_embeddings: 3400 rows loaded, 2 left out']
sequences:
  description: Counters that were set to follow the rows.
  returned: success
  type: list
  elements: str
  sample: [public.persons_id_seq]
seconds:
  description: How long it took to look, and altogether.
  returned: success
  type: dict
  sample: {look: 0.4, total: 3.1}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection, _errors, _import


def main() -> None:
    """Import, or say what that would do."""
    module = AnsibleModule(
        argument_spec={**_connection.ARGUMENTS, **_connection.URL_ARGUMENT, **_import.ARGUMENTS},
        supports_check_mode=True,
        **_connection.URL_RULES,
    )
    _errors.run(module, lambda: _import.run(module.params, module.check_mode, module.tmpdir))


if __name__ == "__main__":
    main()
