# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Orphan rows in a database, found in one read-only transaction; the session for that, and for removing them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _connection,
    _orphan_queries,
    _orphan_sql,
    _orphans,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._orphans import Found, Key, Pair, Relation, Wanted

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "pgsteward foreign_key_orphans"
PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between the tries for a lock

READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Not READ WRITE: a default of read-only is somebody's will.
WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """How long a statement may take, and how long it may wait for a lock, as PostgreSQL writes durations."""

    statement: str = "30s"
    lock: str = "500ms"


@dataclass(frozen=True)
class Session:
    """A connection in autocommit mode, where it leads, and the limits of its statements."""

    connection: psycopg.Connection[Any]
    place: Place
    limits: Limits = field(default_factory=Limits)

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query, none for a statement that has none."""
        cursor = self.connection.execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def number(self, query: str) -> int:
        """Return the one number that a query answers."""
        return int(self.rows(query)[0][0])

    def transaction(self, begin: str, doing: str, work: Callable[[], T]) -> T:
        """Return what work returns, done in one transaction; again from the start while a lock cannot be had.

        doing: what fails when it fails. Raises StewardError.
        """
        import psycopg

        pauses = iter(PAUSES)
        while True:
            try:
                with self._begun(begin):
                    return work()
            except psycopg.Error as error:
                locked = isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)
                pause = next(pauses, None) if locked else None
                if pause is None:
                    raise StewardError(f"{doing}: {self.why(error)}") from None
            time.sleep(pause)

    @contextmanager
    def _begun(self, begin: str) -> Iterator[None]:
        """Hold a transaction. Nothing is set for the session: behind a pooler it may be anybody's next."""
        import psycopg

        self.connection.prepare_threshold = None  # each batch wants a plan of its own
        self.connection.execute(begin.encode())
        try:
            self.rows(_orphan_queries.SETTINGS, vars(self.limits))
            yield
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def why(self, error: psycopg.Error) -> str:
        """Return the reason and the remedy in one line, without values of rows."""
        from psycopg import errors

        said = error.diag.message_primary or str(error).strip().split("\n")[0]
        text = _connection.mask(said, _connection.secrets_of(self.place))
        remedies: tuple[tuple[bool, str], ...] = (
            ("statement timeout" in text, f"it took longer than {self.limits.statement}: raise statement_timeout"),
            (
                isinstance(error, errors.LockNotAvailable),
                f"somebody held the lock for longer than {self.limits.lock}, {len(PAUSES) + 1} times: try again later, or raise lock_timeout",
            ),
            (
                "row-level security" in text,
                f"{text}: the account would see a part of the rows only: log in as the owner of the table, or as one with BYPASSRLS",
            ),
            (
                isinstance(error, errors.InsufficientPrivilege),
                f"{text}: log in as the owner of the table, or grant SELECT on both tables, and DELETE on the one with the orphans to remove them",
            ),
            (
                isinstance(error, errors.ReadOnlySqlTransaction),
                f"{text}: default_transaction_read_only is on for this account or database; ask who set it",
            ),
            (self.connection.closed, f"the connection is lost ({text}), and the last batch may be done or not"),
        )
        return next((remedy for applies, remedy in remedies if applies), text)


# Finding


def orphans(
    session: Session, wanted: Sequence[Wanted] | None, *, schemas: Sequence[str] | None = None, sample: int = 5
) -> list[Found]:
    """Return for each key the rows that break it, and the first of them.

    wanted: None takes the keys of the database that are NOT VALID, in schemas or in all. Only reads, in one transaction, so
    a standby answers as well, and a pooler that keeps transactions whole. Raises StewardError.
    """

    def work() -> list[Found]:
        keys = resolve(session, _not_valid(session, schemas) if wanted is None else wanted)
        return [_find(session, key, sample) for key in dict.fromkeys(keys)]

    return session.transaction(READ, f"orphans at {session.place} cannot be counted", work)


def _find(session: Session, key: Key, sample: int) -> Found:
    import psycopg

    started = time.monotonic()
    try:
        count = session.number(_orphan_sql.counting(key))
        rows = session.rows(_orphan_sql.sampling(key, sample)) if count and sample else []
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.LockNotAvailable):
            raise
        raise StewardError(
            f"rows of {key.child} that break key {key.name} cannot be counted: {session.why(error)}"
        ) from None
    names = _orphan_sql.sampled_columns(key)
    return Found(key, count, [dict(zip(names, row, strict=True)) for row in rows], time.monotonic() - started)


def _not_valid(session: Session, schemas: Sequence[str] | None) -> list[Wanted]:
    """Return the keys that the server enforces for new rows only."""
    if schemas is not None:
        there = {name for (name,) in session.rows(_orphan_queries.SCHEMAS)}
        missing = [name for name in schemas if name not in there]
        if missing:
            raise StewardError(
                f"{session.place} has no schema {missing[0]!r}: it has {', '.join(sorted(there)) or 'none'}"
            )
    parameters = {"schemas": None if schemas is None else list(schemas)}
    return [wanted_of(*row) for row in session.rows(_orphan_queries.NOT_VALID, parameters)]


def wanted_of(name: str, schema: str, table: str, columns: list[str], *rest: Any) -> Wanted:
    """Return the key in a row of _orphan_queries.NOT_VALID or REFERRERS; raises StewardError for one over periods."""
    parent_schema, parent, referenced, full, on_delete, period = rest
    if period:
        raise StewardError(
            f"key {name} of {qualified(schema, table)} has a PERIOD, and such keys cannot be handled here: name others by keys"
        )
    return Wanted(name, (schema, table), tuple(columns), (parent_schema, parent), tuple(referenced), full, on_delete)


def resolve(session: Session, wanted: Sequence[Wanted]) -> list[Key]:
    """Return the keys with what the catalog says of their tables and columns; raises StewardError for what is not there."""
    names = dict.fromkeys(name for key in wanted for name in (key.table, key.references))
    tables = {name: read_relation(session, name) for name in names}
    return [_resolve(session, key, tables) for key in wanted]


def read_relation(session: Session, name: _orphans.Name) -> Relation | None:
    """Return a relation of any kind, None when there is none of that name."""
    rows = session.rows(_orphan_queries.RELATION, {"schema": name[0], "name": name[1]})
    if not rows:
        return None
    facts = rows[0][0]
    columns = tuple(_orphans.Column(*column) for column in facts.pop("columns") or ())
    return Relation(**{**facts, "primary_key": tuple(facts["primary_key"] or ())}, columns=columns)


def _resolve(session: Session, key: Wanted, tables: Mapping[_orphans.Name, Relation | None]) -> Key:
    child, parent = (_table(key, name, tables[name]) for name in (key.table, key.references))
    referenced = key.referenced_columns or parent.primary_key
    if len(referenced) != len(key.columns):
        raise StewardError(
            f"key {key.name}: the primary key of {parent} is ({', '.join(referenced)}), and {len(key.columns)} columns refer to it:"
            " name referenced_columns"
        )
    for table, names in ((child, key.columns), (parent, referenced)):
        there = [column.name for column in table.columns]
        for name in names:
            if name not in there:
                raise StewardError(
                    f"key {key.name}: {table} has no column {name!r}: it has {', '.join(there) or 'none'}"
                )
    parameters = {
        "child": child.oid, "parent": parent.oid, "columns": list(key.columns), "referenced": list(referenced)
    }  # fmt: skip
    rows = session.rows(_orphan_queries.PAIRS, parameters)
    if not rows:
        raise StewardError(
            f"key {key.name}: {parent} has no unique index on ({', '.join(referenced)}), which a foreign key needs: make it first"
        )
    pairs = []
    for column, other, type_, other_type, operator, *rest in rows:
        if operator is None:
            raise StewardError(
                f"key {key.name}: column {column} of {child} is {type_}, and {other} of {parent} {other_type}, and the server has no"
                " comparison of its own for them: change one of the types first"
            )
        pairs.append(Pair(column, other, operator, *rest))
    return Key(key.name, child, parent, tuple(pairs), key.full, key.on_delete)


def _table(key: Wanted, name: _orphans.Name, found: Relation | None) -> Relation:
    if found is None:
        raise StewardError(
            f"key {key.name}: there is no table {qualified(*name)}: check the name, and its schema if that is not public"
        )
    if found.kind not in _orphans.TABLES:
        kind = _orphans.KINDS.get(found.kind, "not a table")
        raise StewardError(
            f"key {key.name}: {found} is {kind}, and foreign keys are for tables: name the table behind it"
        )
    return found
