#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module pg_maintain: documentation, argument spec and main."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pg_maintain
short_description: Do one task of maintenance in a database now
version_added: 0.1.0
description:
  - Does what the timers of the role C(pg_maintain) do, by the same functions, in one database.
  - Refuses standbys and poolers for what changes something. Of the tasks that change something one at a time runs in a database.
options:
  task:
    description:
      - V(vacuum) vacuums and analyzes the tables that have changed since they last were, and analyzes partitioned tables, which autovacuum does not.
      - V(freeze) freezes the tables whose transaction numbers are older than the threshold C(freeze_age), and says what holds them back.
      - V(reindex) builds invalid and bloated indexes again by C(REINDEX CONCURRENTLY), and drops what one that was cut short has left. With O(index),
        O(table) or O(database) it builds these again, whatever they are like.
      - V(clean_up) deletes the old rows of O(jobs) in batches.
      - V(review) reads and tells; see O(reviews).
      - V(vectors) looks at the indexes of pgvector, and compares searches by them with exact ones.
      - V(collations) tells which collations have another version than the operating system, and which indexes rely on them. See O(repair).
    type: str
    choices: [vacuum, freeze, reindex, clean_up, review, vectors, collations]
    required: true
  table:
    description:
      - Only this table, as V(schema.table). Without a schema it is in C(public).
    type: str
  index:
    description:
      - Only this index, written in the same way, for V(reindex).
    type: str
  database:
    description:
      - Name of the database once more, for O(task=reindex) of all indexes in it.
    type: str
  full:
    description:
      - C(VACUUM FULL) of O(table). Nobody can use the table meanwhile, so it wants O(confirm).
    type: bool
    default: false
  confirm:
    description:
      - What O(table) says, for O(full).
    type: str
  repair:
    description:
      - With O(task=collations), build the indexes again and have the database take note of the version.
    type: bool
    default: false
  jobs:
    description:
      - What to delete, for V(clean_up) and for the review V(retention).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - What the job is called. Each has a name of its own.
        type: str
        required: true
      table:
        description:
          - Table that rows are deleted from, with its partitions.
        type: str
        required: true
      column:
        description:
          - Its column that says how old a row is, a date or a timestamp.
        type: str
        required: true
      older_than:
        description:
          - Age from which on a row goes, a number and a unit, V(30 days).
        type: str
        required: true
      batch:
        description:
          - How many rows go in one transaction, at most. After one that has taken longer than 0.2 seconds there are fewer.
        type: int
        default: 1000
      pause:
        description:
          - Seconds between two of them, at least. It is never less than the one before has taken.
        type: float
        default: 0.1
      lock_timeout:
        description:
          - Milliseconds that a statement may wait for a lock. It is tried six times. Rows that somebody has locked are passed over.
        type: int
        default: 500
      without_index:
        description:
          - Do it although the column has no index, and so all of the table is read each time. Tables of up to 10 MB need none.
        type: bool
        default: false
  reviews:
    description:
      - What to review. V(indexes) for unused ones, duplicates and foreign keys without one; V(statements) for the slowest by C(pg_stat_statements);
        V(disk) for sizes and free space; V(retention) for what O(jobs) have still to delete.
    type: list
    elements: str
    choices: [indexes, statements, disk, retention]
    default: [indexes, statements, disk]
  thresholds:
    description:
      - Instead of the usual ones, any of C(bloat_percent) (40), C(index_mb) (8, from which size on an index is looked at), C(freeze_age) (180000000),
        C(unused_days) (30), C(free_disk_percent) (10), C(recall) (0.9) and C(build_minutes) (30, for one index).
    type: dict
    default: {}
  wait:
    description:
      - Seconds to wait for the end of another task and of a backup.
    type: int
    default: 0
extends_documentation_fragment:
  - pgsteward.postgres.connection
  - pgsteward.postgres.connection.url
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
notes:
  - V(clean_up) fires triggers of the table as the account that is logged in. It is refused to a superuser where a table has any.
  - All else runs code of a table's owner only as the server itself does it, by the owner's rights.
  - An index that fails to build is left as it was, and what was built of it is dropped.
seealso:
  - module: pgsteward.postgres.foreign_key_orphans
author:
  - The pgsteward.postgres authors (@pgsteward)
"""

EXAMPLES = r"""
- name: Build invalid and bloated indexes again
  pgsteward.postgres.pg_maintain:
    task: reindex
    login_unix_socket: /var/run/postgresql
    login_db: face_recognition
  become: true
  become_user: postgres

- name: Remove recognition results that are older than 30 days
  pgsteward.postgres.pg_maintain:
    task: clean_up
    login_host: db1.example.org
    login_user: face_recognition_migrator
    login_password: "{{ face_recognition_migrator_password }}"
    login_db: face_recognition
    jobs:
      - name: old_results
        table: recognition_results
        column: recognized_at
        older_than: 30 days
  register: cleaned

- name: Give a table's space back, with nobody at it
  pgsteward.postgres.pg_maintain:
    task: vacuum
    table: public.images
    full: true
    confirm: public.images
    login_unix_socket: /var/run/postgresql
    login_db: pixcrawler
  become: true
  become_user: postgres
"""

RETURN = r"""
task: {description: What was done., returned: success, type: str, sample: clean_up}
database: {description: Where., returned: success, type: str, sample: face_recognition}
findings:
  description: What somebody should look at, one line each.
  returned: success
  type: list
  elements: str
  sample: ["public.images has no index on crawl_job_id for images_crawl_job_id_fkey: a row that goes from crawl_jobs reads its 400,000 rows"]
summary: {description: The same in a few words., returned: success, type: str, sample: 3 of 3 indexes}
seconds: {description: How long it took., returned: success, type: float, sample: 12.3}
deleted_count:
  description: How many rows were deleted by all jobs.
  returned: with O(task=clean_up), also when it failed in the middle
  type: int
  sample: 500000
jobs:
  description: What became of each job.
  returned: with O(task=clean_up), also when it failed in the middle
  type: list
  elements: dict
  contains:
    name: {description: Its name., type: str, sample: old_results}
    table: {description: Its table., type: str, sample: public.recognition_results}
    cutoff: {description: Rows before this went., type: str, sample: '2026-01-01 03:30:00+00'}
    expired: {description: How many rows were old enough. In check mode how many there are., type: int, sample: 500000}
    deleted_count: {description: How many of them went., type: int, sample: 500000}
    left_count: {description: 'How many stayed because somebody had locked them, counted up to 1000.', type: int, sample: 0}
    batches: {description: In how many transactions., type: int, sample: 500}
    slowest_batch: {description: How many seconds the slowest took., type: float, sample: 0.041}
    seconds: {description: How long all took., type: float, sample: 68.2}
    warnings: {description: 'What is costly about it, one line each.', type: list, elements: str, sample: []}
tables:
  description: Tables that were vacuumed, with C(statement), C(seconds) and C(error), where one was passed over.
  returned: with V(vacuum) and V(freeze)
  type: list
  elements: dict
  sample: [{table: public.images, statement: 'VACUUM (ANALYZE, SKIP_LOCKED) "public"."images"', bytes: 8192, dead: 12, age: 100, seconds: 0.02}]
age: {description: The age of the database in transactions., returned: with V(freeze), type: int, sample: 1200}
indexes:
  description: Indexes that were built again or dropped, with C(reason), C(bytes) before and C(bytes_after), C(bloat_percent), C(statement) and C(error).
  returned: with V(reindex) and V(collations)
  type: list
  elements: dict
  sample: [{index: public.ix_images, table: public.images, reason: invalid, bytes: 8192, bytes_after: 8192, bloat_percent: null, seconds: 0.1}]
indexes_review:
  description: Indexes by C(unused), C(duplicate), C(missing) and C(invalid), each with the C(statement) that settles it, which is never run.
  returned: with the review V(indexes)
  type: dict
  sample: {unused: [], duplicate: [], missing: [], invalid: [], days: 31.0, unused_known: true}
statements:
  description: The slowest statements by their mean time, without values.
  returned: with the review V(statements)
  type: list
  elements: dict
  sample: [{query: SELECT 1, calls: 10, mean_ms: 0.1, total_seconds: 0.001, rows: 10}]
disk:
  description: Sizes, and how the disk is.
  returned: with the review V(disk)
  type: dict
  sample: {bytes: 8192000, free_bytes: 1000000000, disk_bytes: 2000000000, days_left: null, bytes_per_day: null, tables: [], grown: []}
retention:
  description: How many rows each job has still to delete.
  returned: with the review V(retention)
  type: list
  elements: dict
  sample: [{name: old_results, table: public.recognition_results, expired: 0, error: null}]
vectors:
  description: Indexes of pgvector, with what a search by them finds of the ten nearest (C(recall)).
  returned: with V(vectors)
  type: list
  elements: dict
  sample: [{index: public.idx_biometrics_embedding, method: ivfflat, rows: 100000, lists: 100, wanted_lists: 100, recall: 0.97}]
version: {description: Version of pgvector., returned: with V(vectors), type: str, sample: 0.8.2}
collations:
  description: Collations of another version than the operating system's.
  returned: with V(collations)
  type: list
  elements: dict
  sample: [{collation: database shop, version: '2.36', actual: '2.41'}]
refreshed:
  description: Collations whose new version was taken note of.
  returned: with V(collations) and O(repair)
  type: list
  elements: str
  sample: [database shop]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection, _errors, _maintain, _maintain_run

JOB_OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"type": "str", "required": True} for name in _maintain.JOB_NEEDS},
    "batch": {"type": "int", "default": 1000},
    "pause": {"type": "float", "default": 0.1},
    "lock_timeout": {"type": "int", "default": 500},
    "without_index": {"type": "bool", "default": False},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "task": {"type": "str", "choices": list(_maintain.TASKS), "required": True},
    "table": {"type": "str"},
    "index": {"type": "str"},
    "database": {"type": "str"},
    "full": {"type": "bool", "default": False},
    "confirm": {"type": "str"},
    "repair": {"type": "bool", "default": False},
    "jobs": {"type": "list", "elements": "dict", "options": JOB_OPTIONS, "default": []},
    "reviews": {
        "type": "list",
        "elements": "str",
        "choices": list(_maintain.REVIEWS),
        "default": ["indexes", "statements", "disk"],
    },
    "thresholds": {"type": "dict", "default": {}},
    "wait": {"type": "int", "default": 0},
}


def maintain(params: dict[str, Any], check: bool) -> dict[str, Any]:
    """Do what the parameters say."""
    request = _maintain_run.Request(
        **{name: params[name] for name in ("task", "table", "index", "database", "full", "confirm", "repair")},
        jobs=_maintain_run.jobs_of(params["jobs"]),
        reviews=tuple(params["reviews"]),
        thresholds=_maintain.thresholds_of(params["thresholds"]),
        wait=float(params["wait"]),
    )
    return _maintain_run.run(_connection.place_from_params(params), request, check)


def main() -> None:
    """Do it, or say what would be done."""
    module = AnsibleModule(
        argument_spec={**_connection.ARGUMENTS, **_connection.URL_ARGUMENT, **ARGUMENTS},
        supports_check_mode=True,
        **_connection.URL_RULES,
    )
    _errors.run(module, lambda: maintain(module.params, module.check_mode))


if __name__ == "__main__":
    main()
