# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time per database, and none while a session of a killed run is still at work.

The lock is per database, not per version table: that one is known only once env.py has run, and an env.py may write.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

if TYPE_CHECKING:
    import psycopg

# The first eight bytes of the SHA-256 of "pgsteward alembic", as PostgreSQL's bigint; the server keeps databases apart.
KEY = 3810316526202338722
# What the migration's own session calls itself, so that the next run knows it.
MARKER = "pgsteward migration"
CHECK_INTERVAL = "200ms"  # for client_connection_check_interval: how soon a session notices that its client is gone
GRACE = 0.3  # seconds for it to do so, before it is told
ORPHAN_LIMIT = 30.0  # seconds that a session may take to roll back
_POLL = 0.1

_HOLDER = """
SELECT a.pid, a.application_name, host(a.client_addr), to_char(timezone('UTC', a.backend_start), 'YYYY-MM-DD HH24:MI:SS')
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database()
    AND l.database = a.datid AND (l.classid::bigint << 32) | l.objid::bigint = %s
"""
_SESSIONS = """
SELECT a.pid FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.application_name = %s AND a.pid <> pg_backend_pid() ORDER BY a.pid
"""


def take(connection: psycopg.Connection[Any], place: Place, limit: float) -> float:
    """Take the lock for as long as the connection lasts; return the seconds that it took.

    Polled, and outside of transactions: whoever waits inside one hangs another run's CREATE INDEX CONCURRENTLY. Raises
    StewardError that names the holder when it is not to be had within limit seconds.
    """
    started = time.monotonic()
    while not _try(connection):
        waited = time.monotonic() - started
        if waited >= limit:
            raise StewardError(
                f"another run works on {place}: {_holder(connection)}, and was not done within the {limit:g} s of lock_wait:"
                " wait for it, or raise lock_wait"
            )
        # Several that wait must not keep step with each other.
        time.sleep(min(_POLL * random.uniform(0.5, 1.5), max(limit - waited, 0.001)))  # noqa: S311
    return time.monotonic() - started


def _try(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [KEY]).fetchone()
    return bool(row and row[0])


def _holder(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(_HOLDER, [KEY]).fetchone()
    if row is None:
        return "it ended at this moment"
    pid, application, address, since = row
    place = f" from {address}" if address else ""
    return f"pid {pid} ({application}{place})" + (f", since {since} UTC" if since else "")


def end_orphans(connection: psycopg.Connection[Any], place: Place, say: Callable[[str], None]) -> None:
    """Wait until no session of an earlier run is at work, and end one that does not notice by itself that it should.

    To be called with the lock: whoever else migrates here has lost it. Raises StewardError when a session cannot be ended.
    """
    started, told = time.monotonic(), False
    while pids := [pid for (pid,) in connection.execute(_SESSIONS, [MARKER]).fetchall()]:
        names = ", ".join(map(str, pids))
        if not told:
            told = True
            say(f"waiting for what a killed run left at work: pid {names}")
        waited = time.monotonic() - started
        if waited > ORPHAN_LIMIT:
            raise StewardError(
                f"a session of a killed run is still at work on {place}: end it by SELECT pg_terminate_backend({pids[0]})"
            )
        if waited > GRACE:
            _terminate(connection, pids)
        time.sleep(0.02)


def _terminate(connection: psycopg.Connection[Any], pids: list[int]) -> None:
    import psycopg

    for pid in pids:
        with contextlib.suppress(
            psycopg.errors.InsufficientPrivilege
        ):  # another account's: it ends by itself, or is named
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
