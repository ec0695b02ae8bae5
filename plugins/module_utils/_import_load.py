# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tables of a SQLite file brought into the database: looked at, sent by COPY, compared, committed."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_plan as plans
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_proof as proof
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_source as source
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_stream as stream
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_plan import Bar, Load
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_stream import Rejects
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier, literal

if TYPE_CHECKING:
    import psycopg

AHEAD = 8  # chunks that wait to be sent
EMPTY, SAME, OTHER = "empty", "same", "other"
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
# Row security off: an account that it concerns gets an error, not a part of the rows. The rest is how values are printed, and that a
# transaction may wait for the file.
SETTINGS = """
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('row_security', 'off', true),
       pg_catalog.set_config('client_encoding', 'UTF8', true), pg_catalog.set_config('datestyle', 'ISO, MDY', true),
       pg_catalog.set_config('timezone', 'UTC', true), pg_catalog.set_config('bytea_output', 'hex', true),
       pg_catalog.set_config('standard_conforming_strings', 'on', true), pg_catalog.set_config('jit', 'off', true),
       pg_catalog.set_config('statement_timeout', '0', true), pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true),
       pg_catalog.set_config('lock_timeout', %(lock)s, true)
"""
# Of a table that is empty: what is taken off and put back just as it was once the rows are there, in the same transaction. To check a key for all
# rows, and to build an index from all of them, takes a fraction of the time, and an IVFFlat index has something to learn from. What its
# definition does not say all of stays: comments, tablespaces, marks.
ASIDE = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', k.conrelid::regclass, k.conname),
       format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)), k.conname::text
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid
WHERE k.conrelid = %(table)s::regclass AND k.contype = 'f' AND c.relkind = 'r' AND p.relkind = 'r' AND k.convalidated AND k.coninhcount = 0
  AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AND k.confrelid = ANY (%(tables)s::regclass[])
  AND pg_has_role(c.relowner, 'USAGE') AND pg_has_role(p.relowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_description d WHERE d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid)
UNION ALL
SELECT format('DROP INDEX %%s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid), NULL
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = %(table)s::regclass AND x.relkind = 'i' AND NOT x.relispartition AND x.reltablespace = 0 AND pg_has_role(x.relowner, 'USAGE')
  AND NOT (i.indisunique OR i.indisprimary OR i.indisclustered OR i.indisreplident OR i.indisexclusion) AND i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.deptype IN ('e', 'x'))
  AND NOT EXISTS (SELECT FROM pg_description d WHERE d.classoid = 'pg_class'::regclass AND d.objoid = x.oid)
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = x.oid AND coalesce(a.attstattarget, -1) >= 0)
"""
OURS = "t.xmin = pg_current_xact_id()::xid"  # the rows that this transaction wrote


@dataclass
class Done:
    """What became of a table. state: loaded or same; seconds and checksums once it is through."""

    load: Load
    state: str
    rows: int = 0
    rejected: int = 0
    seconds: float = 0.0
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass
class Job:
    """An import. mode: fail, append or replace."""

    file: sqlite3.Connection
    connection: psycopg.Connection[Any]
    place: Place
    loads: Sequence[Load]
    mode: str
    lock_timeout: str
    rejects: Rejects
    bars: Sequence[Bar]
    sizes: dict[str, int]  # rows of a chunk, by the table of the file
    done: dict[str, Done] = field(default_factory=dict)  # by the table of the file
    counters: list[str] = field(default_factory=list)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, none for a statement that has none."""
        cursor = self.connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


# Reading only


def rehearse(job: Job) -> None:
    """Convert everything and write nothing; say in job.done what would be done. Raises StewardError."""
    with _begun(job, READ, "the import cannot be rehearsed"):
        states = _states(job)
        _refuse_filled(job, states)
    for group in plans.groups(job.loads):
        _settle(job, group)
        for load in group:
            if states[load.source.name] != SAME or (job.mode == "replace" and OTHER in states.values()):
                _record(job, load, "loaded", _passed(job, load))


def _settle(job: Job, group: Sequence[Load]) -> None:
    """Find out which rows refer to rows that are refused only later, in the same table or in one of a ring."""
    names = [load.source.name for load in group]
    inside = [bar for bar in job.bars if bar.child.source.name in names and bar.parent.source.name in names]
    if not inside or not job.rejects.limit:
        return
    known = -1
    while known != (known := sum(len(bar.missing) for bar in inside)):
        for load in group:
            size = job.sizes[load.source.name]
            for _texts in stream.converted(job.file, load, size, job.bars, Rejects(job.rejects.limit)):
                pass


def _forget(load: Load) -> None:
    """Count what is changed of values from the start: a table may be read more than once."""
    for pair in load.pairs:
        pair.tally.clear()


def _states(job: Job) -> dict[str, str]:
    states = {}
    for group in plans.groups(job.loads):
        _settle(job, group)
        states.update({load.source.name: _state(job, load) for load in group})
    return states


def _state(job: Job, load: Load) -> str:
    """Say whether a table is empty, or holds just what the file does, or something else."""
    if not _filled(job, load):
        return EMPTY
    there = job.rows(f"SELECT count(*) FROM {load.target.rows}")[0][0]  # noqa: S608
    rows = source.count(job.file, load.source)
    if not rows - job.rejects.limit <= there <= rows:
        return OTHER
    kept = len(job.rejects.items)
    missing = [set(bar.missing) for bar in job.bars]
    found = _passed(job, load)
    if _found(job, load, "true") == (found.rows, found.result()):
        _record(job, load, SAME, found, len(job.rejects.items) - kept)
        return SAME
    del job.rejects.items[kept:]
    for bar, before in zip(job.bars, missing, strict=True):
        bar.missing = before
    return OTHER


Sums = proof.Ordered | proof.Unordered


def _sums(job: Job, load: Load) -> Sums:
    if load.ordered:
        return proof.Ordered(_compared(load), job.sizes[load.source.name])
    return proof.Unordered(_compared(load))


def _compared(load: Load) -> list[proof.Compared]:
    return [proof.Compared(pair.column.name, pair.column.kind, pair.conversion.proof) for pair in load.pairs]


def _passed(job: Job, load: Load) -> Sums:
    """Read and convert a table, and return its checksums."""
    _forget(load)
    sums = _sums(job, load)
    for texts in stream.converted(job.file, load, job.sizes[load.source.name], job.bars, job.rejects):
        sums.add(texts)
    return sums


def _found(job: Job, load: Load, which: str) -> tuple[int, list[str]]:
    """Return the rows and the checksums of what is in the database."""
    size = job.sizes[load.source.name]
    [(rows, *sums)] = job.rows(proof.query(load.target.rows, _compared(load), load.ordered, size, which))
    return int(rows), sums


def _record(job: Job, load: Load, state: str, sums: Sums, rejected: int = 0, seconds: float = 0.0) -> None:
    names = [pair.column.name for pair in load.pairs]
    checksums = dict(zip(names, sums.result(), strict=True))
    job.done[load.source.name] = Done(load, state, sums.rows, rejected, seconds, checksums)


def _refuse_filled(job: Job, states: dict[str, str]) -> None:
    filled = [str(load.target) for load in job.loads if states[load.source.name] == OTHER]
    if filled and job.mode == "fail":
        raise StewardError(
            f"{', '.join(filled)} of {job.place} has rows already, and not those of the file: choose mode append, or replace with confirm"
        )


def excuse(connection: psycopg.Connection[Any], bars: Sequence[Bar]) -> None:
    """Take from what refers to nothing in the file what refers to rows that are in the database."""
    for bar in bars:
        if not bar.missing:
            continue
        names = ", ".join(f"concat({identifier(name)})" for name in bar.key.referenced)
        wanted = ", ".join("(" + ", ".join(map(literal, values)) + ")" for values in bar.missing)
        query = f"SELECT {names} FROM {bar.parent.target.rows} WHERE ({names}) IN ({wanted})"  # noqa: S608
        found = connection.execute(query.encode(errors="replace"))
        bar.missing -= set(found.fetchall())


# Writing


def run(job: Job, whole: bool) -> None:
    """Load every table that does not hold the file's rows already, in one transaction or one for each group. Raises StewardError.

    With one for each group, what was committed before a failure stays, and the same import again takes it for done once it is
    proven to be the same.
    """
    groups = plans.groups(job.loads)
    if whole:
        with _begun(job, WRITE, "nothing was imported"):
            _lock(job, job.loads)
            states = _emptied(job)
            for group in groups:
                _load_group(job, [load for load in group if states[load.source.name] != SAME])
            _advance(job, job.loads)
        return
    with _begun(job, WRITE, "nothing was imported"):
        _lock(job, job.loads)
        states = _emptied(job)
    for group in groups:
        wanted = [load for load in group if states[load.source.name] != SAME]
        with _begun(job, WRITE, f"{', '.join(str(load.target) for load in group)} was not imported"):
            _lock(job, group)
            _refuse_meanwhile(job, [load for load in wanted if states[load.source.name] == EMPTY])
            _load_group(job, wanted)
            _advance(job, group)


def _refuse_meanwhile(job: Job, loads: Sequence[Load]) -> None:
    for load in loads:
        if _filled(job, load):
            raise StewardError(f"somebody wrote to {load.target} meanwhile")


def _filled(job: Job, load: Load) -> bool:
    return bool(job.rows(f"SELECT EXISTS (SELECT FROM {load.target.rows})")[0][0])  # noqa: S608


def _lock(job: Job, loads: Sequence[Load]) -> None:
    job.rows(f"LOCK TABLE {', '.join(load.target.sql for load in loads)} IN SHARE ROW EXCLUSIVE MODE")


def _emptied(job: Job) -> dict[str, str]:
    """Return the state of each table, after those that are to be replaced were emptied."""
    states = _states(job)
    _refuse_filled(job, states)
    if job.mode == "replace" and OTHER in states.values():
        # All of them: a table cannot be emptied while another one refers to it.
        job.rows(f"TRUNCATE {', '.join(load.target.sql for load in job.loads)}")
        job.done.clear()
        job.rejects.items.clear()
        return dict.fromkeys(states, EMPTY)
    return states


def _load_group(job: Job, group: Sequence[Load]) -> None:
    """Load tables within a transaction; those that refer to each other hold their keys until all are there."""
    _settle(job, group)
    back, gone = _aside(job, [load for load in group if not _filled(job, load)])
    crossing = [(table, key) for table, key in plans.crossing(group) if (table.name, key.name) not in gone]
    for table, key in crossing:
        if not key.deferrable:
            job.rows(f"ALTER TABLE {table.sql} ALTER CONSTRAINT {identifier(key.name)} DEFERRABLE INITIALLY DEFERRED")
    if crossing:
        job.rows("SET CONSTRAINTS ALL DEFERRED")
    for load in group:
        _load(job, load)
    if crossing:
        job.rows("SET CONSTRAINTS ALL IMMEDIATE")
    for table, key in crossing:
        if not key.deferrable:
            job.rows(f"ALTER TABLE {table.sql} ALTER CONSTRAINT {identifier(key.name)} NOT DEFERRABLE")
    for statement in back:
        job.rows(statement)


def _aside(job: Job, empty: Sequence[Load]) -> tuple[list[str], set[tuple[str, str]]]:
    """Take keys and indexes off empty tables; return the statements that put them back, and the keys by table and name."""
    back: list[str] = []
    gone: set[tuple[str, str]] = set()
    tables = [load.target.sql for load in job.loads]
    for load in empty:
        for drop, make, key in job.connection.execute(
            ASIDE.encode(), {"table": load.target.sql, "tables": tables}
        ).fetchall():
            job.rows(drop)
            if key is None:
                back.insert(0, make)
            else:
                back.append(make)
                gone.add((load.target.name, key))
    # pgvector before 0.8.2 must not build HNSW in parallel.
    if any(" USING hnsw " in statement for statement in back):
        back.insert(0, "SET LOCAL max_parallel_maintenance_workers = 0")
    return back, gone


def _load(job: Job, load: Load) -> None:
    begun, kept = time.monotonic(), len(job.rejects.items)
    _forget(load)
    sums = _sums(job, load)
    size = job.sizes[load.source.name]
    columns = ", ".join(identifier(pair.column.name) for pair in load.pairs)
    statement = f"COPY {load.target.sql} ({columns}) FROM STDIN (FORMAT text, ENCODING 'UTF8')"
    with job.connection.cursor() as cursor, cursor.copy(statement.encode()) as copy, _sender(copy.write) as send:
        for texts in stream.converted(job.file, load, size, job.bars, job.rejects):
            send(stream.lines(load, texts))
            sums.add(texts)
    # Of a table that had rows before, those of this transaction.
    which = OURS if job.mode == "append" else "true"
    rows, found = _found(job, load, which)
    if (rows, found) != (sums.rows, sums.result()):
        raise StewardError(_difference(load, sums, rows, found))
    job.rows(f"ANALYZE {load.target.sql}")
    _record(job, load, "loaded", sums, len(job.rejects.items) - kept, time.monotonic() - begun)


@contextmanager
def _sender(write: Callable[[bytes], None]) -> Iterator[Callable[[bytes], None]]:
    """Send in a thread of its own, so that the server has work while the next rows are converted."""
    waiting: queue.Queue[bytes | None] = queue.Queue(AHEAD)
    failures: list[BaseException] = []

    def work() -> None:
        while (data := waiting.get()) is not None:
            try:
                if not failures:
                    write(data)
            except BaseException as error:
                failures.append(error)

    def send(data: bytes) -> None:
        if failures:
            raise failures[0]
        waiting.put(data)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield send
    finally:
        waiting.put(None)
        thread.join()
    if failures:
        raise failures[0]


def _difference(load: Load, sums: Sums, rows: int, found: Sequence[str]) -> str:
    if rows != sums.rows:
        return f"{load.target} has {rows} rows after {sums.rows} were sent: look at its triggers and rules"
    other = [pair.column.name for pair, one, two in zip(load.pairs, sums.result(), found, strict=True) if one != two]
    return f"{load.target}.{other[0]} does not hold what was sent: look at the triggers of the table"


def _advance(job: Job, loads: Sequence[Load]) -> None:
    """Let counters follow the rows, and the numbers that the file gave to rows which are gone."""
    for load in loads:
        for pair in load.pairs:
            name = pair.column.sequence
            if name is None:
                continue
            [(greatest,)] = job.rows(f"SELECT max({identifier(pair.column.name)}) FROM {load.target.rows}")  # noqa: S608
            [(last, called)] = job.rows(f"SELECT last_value, is_called FROM {name}")  # noqa: S608
            remembered = load.source.highest if pair.name == load.source.rowid else None
            wanted = max((number for number in (greatest, remembered) if number is not None), default=0)
            if wanted > last or (wanted == last and not called and greatest is not None):
                job.rows(f"SELECT setval({literal(name)}::regclass, {wanted})")
                job.counters.append(name)


# Transactions


@contextmanager
def _begun(job: Job, begin: str, failing: str) -> Iterator[None]:
    """Hold a transaction; say in one line why it failed. Raises StewardError."""
    import psycopg

    done, kept = dict(job.done), len(job.rejects.items)
    try:
        job.connection.execute(begin.encode())
        job.connection.execute(SETTINGS, {"lock": job.lock_timeout})
        yield
        job.connection.execute("COMMIT")
    except BaseException as error:
        with contextlib.suppress(psycopg.Error):
            job.connection.execute("ROLLBACK")
        job.done = done
        del job.rejects.items[kept:]
        if isinstance(error, StewardError):
            raise StewardError(f"{failing}: {error}", **error.facts) from None
        if isinstance(error, psycopg.Error):
            raise StewardError(f"{failing}: {why(job, error)}") from None
        raise


def why(job: Job, error: psycopg.Error) -> str:
    """Return what the server said, in one line, and what to do about it."""
    from psycopg import errors

    said = error.diag.message_primary or str(error).strip().split("\n")[0]
    place = ".".join(filter(None, (error.diag.schema_name, error.diag.table_name, error.diag.column_name)))
    detail = (error.diag.message_detail or "")[:200]
    text = _connection.mask(
        " ".join(f"{place + ': ' if place else ''}{said}{'. ' + detail if detail else ''}".split()),
        _connection.secrets_of(job.place),
    )
    if isinstance(error, errors.LockNotAvailable):
        return f"somebody holds a lock on one of the tables for longer than {job.lock_timeout}: try again later, or raise lock_timeout"
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{text}: log in as the owner of the tables"
    if isinstance(error, errors.ForeignKeyViolation):
        return f"{text}: bring the rows that it refers to along, or choose on_orphan reject"
    if job.connection.closed:
        return f"the connection is lost ({text})"
    return text
