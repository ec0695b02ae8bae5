# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What foreign_key_orphans does: report orphan rows, or move or delete them in batches of one transaction each."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _connection,
    _orphan_queries,
    _orphan_rows,
    _orphan_sql,
    _orphans,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._orphan_rows import READ, WRITE, Limits, Session
from ansible_collections.pgsteward.postgres.plugins.module_utils._orphans import Found, Key, Relation, Wanted
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import grantee, identifier

BATCHES_PER_SCAN = 100  # a scan finds the rows of so many batches: few scans, and a bounded list here
SCANS_IN_VAIN = 3  # rows may find a parent or change their place just before their batch, but not again and again

ACTIONS = ("report", "quarantine", "delete")
KEY_OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str"},
    "table": {"type": "str", "required": True},
    "columns": {"type": "list", "elements": "str", "required": True},
    "references": {"type": "str", "required": True},
    "referenced_columns": {"type": "list", "elements": "str"},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "keys": {"type": "list", "elements": "dict", "options": KEY_OPTIONS},
    "schemas": {"type": "list", "elements": "str"},
    "action": {"type": "str", "choices": list(ACTIONS), "default": "report"},
    "confirm": {"type": "str"},
    "sample": {"type": "int", "default": 5},
    "batch": {"type": "int", "default": 1000},
    "statement_timeout": {"type": "str", "default": "30s"},
    "lock_timeout": {"type": "str", "default": "500ms"},
}


@dataclass(frozen=True)
class Job:
    """The removal of what was found. referrers: keys that are there, by the oid of the table that they refer to, it or
    a partition of it."""

    session: Session
    action: str
    batch: int
    found: Mapping[Key, Found]
    referrers: Mapping[int, Sequence[Key]]
    ready: set[int] = field(default_factory=set)  # oids of the tables whose side tables are as they should be


def plan(session: Session, action: str, batch: int, found: Sequence[Found]) -> Job:
    """Return the removal of orphans; raises StewardError when rows refer to them by keys that are there."""

    def work() -> Job:
        tables = {item.key.child.oid for item in found}
        job = Job(
            session,
            action,
            batch,
            {item.key: item for item in found},
            {oid: _referrers(session, oid) for oid in tables},
        )
        for item in found:
            if item.orphans:
                _refuse_referred(job, item.key, item.key.broken())
        return job

    return session.transaction(READ, f"what refers to orphans at {session.place} cannot be counted", work)


def _referrers(session: Session, table: int) -> list[Key]:
    rows = session.rows(_orphan_queries.REFERRERS, {"table": table})
    return _orphan_rows.resolve(session, [_orphan_rows.wanted_of(*row) for row in rows])


def _refuse_referred(job: Job, key: Key, those: str) -> None:
    for referrer in job.referrers.get(key.child.oid, ()):
        count = job.session.number(_orphan_sql.referring(referrer, those))
        if count:
            raise StewardError(_orphans.referred_message(key, referrer, count))


def clear(job: Job) -> None:
    """Remove the orphans of all keys, and those that this makes, until there are none; raises StewardError, and counts what was
    done until then in job.found."""
    order = _orphans.in_order(job.found)
    pending = {key for key in order if job.found[key].orphans}
    while pending:
        key = next(key for key in order if key in pending)
        pending.discard(key)
        started = time.monotonic()
        try:
            removed = _clear(job, key)
        finally:
            job.found[key].seconds += time.monotonic() - started
        for other in order:
            if removed and other.parent.root == key.child.root:
                job.found[other].cascaded = True
                pending.add(other)


def _clear(job: Job, key: Key) -> int:
    """Remove the orphans of one key; return how many went."""
    session, item = job.session, job.found[key]
    before, in_vain = item.removed, 0
    doing = f"rows of {key.child} that break key {key.name} cannot be {_orphans.DONE[job.action]}"
    scan = _orphan_sql.locating(key, BATCHES_PER_SCAN * job.batch)
    while rows := session.transaction(READ, doing, lambda: session.rows(scan)):
        if in_vain == SCANS_IN_VAIN:
            raise StewardError(_orphans.stuck_message(key, len(rows)))
        done = item.removed
        for those in _orphans.batches(rows, job.batch):
            item.removed += session.transaction(WRITE, doing, functools.partial(_remove, job, key, those))
            job.ready.add(key.child.oid)
        in_vain = in_vain + 1 if item.removed == done else 0
    return item.removed - before


def _remove(job: Job, key: Key, those: str) -> int:
    """Remove one batch within a transaction; return how many rows went.

    Rows that found a parent meanwhile, or moved to another place, are passed over: the next scan sees them.
    """
    session, side = job.session, None
    if job.action == "quarantine":
        side = _orphans.side_of(key.child)
        if key.child.oid not in job.ready:
            _prepare_side(session, key.child)
    if job.referrers.get(key.child.oid):
        session.rows(_orphan_sql.locking(key, those))
        _refuse_referred(job, key, those)
    [(gone, kept)] = session.rows(_orphan_sql.removing(key, those, side))
    if gone != kept:
        raise StewardError(
            f"{qualified(*side or ())} took {kept} of {gone} rows of {key.child}, so the batch was undone: look at its triggers"
        )
    return int(gone)


def _prepare_side(session: Session, table: Relation) -> None:
    """Make the side table for its owner alone, or add the columns that it lacks."""
    name = _orphans.side_of(table)
    side = _orphan_rows.read_relation(session, name)
    for statement in _orphan_sql.side_statements(table, side):
        session.rows(statement)
    if side is None:
        made = ".".join(map(identifier, name))
        # Default privileges, and row security of the table, are about other readers than those of removed rows.
        for (role,) in session.rows(_orphan_queries.GRANTEES, {"schema": name[0], "name": name[1]}):
            session.rows(f"REVOKE ALL ON {made} FROM {grantee(role)}")
        if session.rows("SELECT current_user")[0][0] != table.owner:
            session.rows(f"ALTER TABLE {made} OWNER TO {identifier(table.owner)}")


# The module


def run(params: Mapping[str, Any], check: bool, warn: Callable[[str], None], temporary: str) -> dict[str, Any]:
    """Return the result of foreign_key_orphans; raises StewardError, with what was done until then in its facts.

    temporary: a private directory.
    """
    place, action = _connection.place_from_params(params), params["action"]
    given = params.get("keys")
    wanted = None if given is None else [Wanted.of(item, f"keys[{n}]") for n, item in enumerate(given)]
    for name, least in (("sample", 0), ("batch", 1)):
        if params[name] < least:
            raise StewardError(f"{name} is {params[name]}: give at least {least}")
    limits = Limits(params["statement_timeout"], params["lock_timeout"])
    acting = action != "report"
    with contextlib.closing(
        _connection.connect(place, _orphan_rows.APPLICATION_NAME, through_pooler=not acting)
    ) as connection:
        if acting:
            _refuse_unconfirmed(action, params.get("confirm"), _connection.read_server(connection, place).database)
        if params.get("project"):
            # Few look at pending revisions, and the others need not wait for the import.
            from ansible_collections.pgsteward.postgres.plugins.module_utils import _pending_keys

            wanted, notes = _pending_keys.pending_keys(connection, place, params, temporary)
            for note in notes:
                warn(note)
        session = Session(connection, place, limits)
        found = _orphan_rows.orphans(session, wanted, schemas=params.get("schemas"), sample=params["sample"])
        if acting and any(item.orphans for item in found):
            job = plan(session, action, params["batch"], found)
            if not check:
                _clear_or_tell(job, found)
    for words in _orphans.cascade_words(found, action):
        warn(words)
    return _orphans.result(found, action, check)


def _refuse_unconfirmed(action: str, confirm: str | None, database: str) -> None:
    if action == "delete" and confirm != database:
        said = "is missing" if confirm is None else f"is {confirm!r}"
        raise StewardError(f"confirm {said}: rows of database {database} are deleted only with confirm: {database}")


def _clear_or_tell(job: Job, found: Sequence[Found]) -> None:
    try:
        clear(job)
    except StewardError as error:
        facts = _orphans.result(found, job.action, check=False)
        del facts["diff"]
        raise StewardError(f"{error}; {_orphans.done_words(found, job.action)}", **facts) from None
