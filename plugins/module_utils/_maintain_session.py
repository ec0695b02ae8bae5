# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The session that maintenance works in: on a primary, never beside another one, with limits of its own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

if TYPE_CHECKING:
    import psycopg

LOCK = 5_716_480_235_119_061_329  # of nobody else: one heavy task at a time in a database
PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between the tries for a lock
POLL = 2.0
CHECKS_CONNECTION_SINCE = 140000

_SERVER = """
SELECT current_database()::text, current_setting('server_version_num')::int, pg_is_in_recovery(), pg_backend_pid(),
  (SELECT rolsuper FROM pg_roles WHERE rolname = session_user),
  CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') THEN current_setting('data_directory', true) END
"""
_HOLDER = """
SELECT coalesce(a.application_name, ''), a.pid, to_char(timezone('UTC', a.backend_start), 'YYYY-MM-DD HH24:MI "UTC"')
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::int8 << 32) | l.objid::int8) = %(lock)s::int8
"""
# pgBackRest and pg_basebackup copy all databases; pg_dump reads one.
_BACKUPS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name LIKE 'pgBackRest%%backup]' OR application_name = 'pg_basebackup'
  OR (datname = current_database() AND application_name = ANY ('{pg_dump,pg_dumpall,pgsteward dump}'))
"""
_OLDEST = """
SELECT pid, usename::text, coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8
FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() ORDER BY age(backend_xmin) DESC LIMIT 1
"""

T = TypeVar("T")


def escaped(name: str) -> str:
    """Return a name as SQL text within a statement that has parameters."""
    return identifier(name).replace("%", "%%")


@dataclass
class Session:
    """A connection in autocommit mode and what is known of its server. notices: what the server said beside its answers."""

    connection: psycopg.Connection[Any]
    place: Place
    database: str
    version: int
    superuser: bool
    data_directory: str | None = None
    notices: list[str] = field(default_factory=list)

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query, none for a statement that has none."""
        cursor = self.connection.execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the first value of the first row, None without one."""
        rows = self.rows(query, parameters)
        return rows[0][0] if rows else None

    def limit(self, lock: str, statement: str = "0") -> None:
        """Set how long statements may wait for a lock and may take. A session of ours is never a pooler's."""
        self.rows(
            "SELECT set_config('lock_timeout', %(lock)s, false), set_config('statement_timeout', %(statement)s, false)",
            {"lock": lock, "statement": statement},
        )

    def why(self, error: psycopg.Error) -> str:
        """Return in one line what the server said, without values of rows."""
        said = error.diag.message_primary or str(error).strip().split("\n")[0]
        return _connection.mask(said, _connection.secrets_of(self.place))


@contextmanager
def session(place: Place, task: str, *, reads: bool = False) -> Iterator[Session]:
    """Hold a session for a task. reads: standbys are fine. Raises StewardError."""
    import psycopg

    with contextlib.closing(_connection.connect(place, f"pgsteward maintain {task}")) as connection:
        [(database, version, standby, backend, superuser, directory)] = connection.execute(_SERVER).fetchall()
        _connection.refuse_unwritable(place, standby and not reads, backend != connection.info.backend_pid)
        connection.prepare_threshold = None
        held = Session(connection, place, database, version, superuser, directory)
        connection.add_notice_handler(lambda notice: held.notices.append(notice.message_primary or ""))
        # A task that is killed leaves no statement that goes on; what row security hides is an error, and no part of the rows.
        if version >= CHECKS_CONNECTION_SINCE:
            held.rows("SET client_connection_check_interval = '2s'")
        held.rows("SET row_security = off")
        held.limit("5s")
        try:
            yield held
        except psycopg.Error as error:
            raise StewardError(f"{task} of {database}: {held.why(error)}") from None


@contextmanager
def alone(held: Session, wait: float = 0.0) -> Iterator[None]:
    """Keep other heavy tasks of this database away; raises StewardError when one is still at it after `wait` seconds.

    The lock belongs to the session and is tried, never waited for: no snapshot is held that an index build would wait for.
    """
    limit = time.monotonic() + wait
    while not held.one("SELECT pg_try_advisory_lock(%(lock)s)", {"lock": LOCK}):
        if time.monotonic() >= limit:
            raise StewardError(f"{held.database}: {_holder(held)} is at it: wait for its end")
        time.sleep(min(POLL, max(0.1, limit - time.monotonic())))
    try:
        yield
    finally:
        if not held.connection.closed:
            with contextlib.suppress(Exception):
                held.rows("SELECT pg_advisory_unlock(%(lock)s)", {"lock": LOCK})


def _holder(held: Session) -> str:
    for application, pid, since in held.rows(_HOLDER, {"lock": LOCK}):
        return f"{application or 'another session'} (pid {pid}, since {since})"
    return "another task"


def wait_for_backup(held: Session, limit: float, say: Callable[[str], None]) -> bool:
    """Wait until no backup runs, up to `limit` seconds; tell whether none does any more."""
    end, told = time.monotonic() + limit, False
    while held.one(_BACKUPS, {}):
        if time.monotonic() >= end:
            return False
        if not told:
            say(f"{held.database}: a backup runs; waiting up to {limit / 60:.0f} minutes for its end")
            told = True
        time.sleep(POLL)
    return True


def patiently(work: Callable[[], T], doing: str) -> T:
    """Return what work returns; again while a lock cannot be had. Raises StewardError when it never can."""
    import psycopg

    pauses = iter(PAUSES)
    while True:
        try:
            return work()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            pause = next(pauses, None)
        if pause is None:
            raise StewardError(
                f"{doing}: somebody held the lock for longer than lock_timeout, {len(PAUSES) + 1} times: try again later"
            )
        time.sleep(pause)


def oldest(held: Session) -> str | None:
    """Return who holds the oldest snapshot for more than an hour, in words: until its end dead rows stay and index builds wait."""
    for pid, user, seconds in held.rows(_OLDEST):
        if seconds > 3600:
            return f"pid {pid} of {user} has a transaction open for {seconds / 3600:.1f} hours"
    return None


def free_space(held: Session) -> tuple[int, int] | None:
    """Return free and all bytes of the disk that the data are on, None where this is not the server's host or may not be looked at."""
    if not held.data_directory or not (held.place.host or "/").startswith("/"):
        return None
    try:
        disk = os.statvfs(held.data_directory)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def refuse_without_space(held: Session, needed: int, doing: str) -> None:
    """Raise StewardError where a copy of `needed` bytes would leave the disk less than a tenth of it again."""
    space = free_space(held)
    if space and space[0] < needed * 1.1:
        raise StewardError(
            f"{doing} takes {needed / (1 << 20):.0f} MB beside what is there, and {space[0] / (1 << 20):.0f} MB are free"
        )
