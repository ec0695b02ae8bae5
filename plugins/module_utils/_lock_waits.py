# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who kept a migration waiting for a lock, seen from another connection while it waits."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection

if TYPE_CHECKING:
    import psycopg

SHOWN_QUERY = 80  # characters
SHOWN_BLOCKERS = 3  # in the one line of an error

# The filter is cheap; who blocks is asked only while somebody does.
_BLOCKERS = """
SELECT DISTINCT w.pid, b.usename, b.application_name, left(b.query, %s),
    extract(epoch FROM clock_timestamp() - coalesce(b.xact_start, b.query_start))::float8
FROM pg_stat_activity m CROSS JOIN LATERAL unnest(pg_blocking_pids(m.pid)) AS w (pid)
LEFT JOIN pg_stat_activity b ON b.pid = w.pid
WHERE m.pid = %s AND m.wait_event_type = 'Lock'
"""
_LITERAL = re.compile(r"'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)


@dataclass(frozen=True)
class Wait:
    """A blocker of a revision. age: seconds of its transaction so far; seconds: how long the revision was seen waiting for it.

    pid is 0 for a prepared transaction. What the account may not see is None.
    """

    revision: str
    pid: int
    user: str | None
    application: str | None
    query: str | None
    age: float | None
    seconds: float

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction"
        who = f"pid {self.pid}" + (f" of {self.user}" if self.user else "")
        age = "" if self.age is None else f", {self.age:.1f} s old"
        return f"{who}{age}" + (f": {self.query}" if self.query else "")

    def as_return(self) -> dict[str, Any]:
        """Return the wait as a module returns it."""
        return dict(self.__dict__)


class Waits:
    """The blockers of a run so far."""

    def __init__(self, secrets: frozenset[str]) -> None:
        self._secrets = secrets
        self._seen: dict[tuple[str, int], Wait] = {}
        self._before = time.monotonic()

    def sample(self, connection: psycopg.Connection[Any], backend: int, revision: str) -> None:
        """Look who blocks the backend that applies a revision."""
        now = time.monotonic()
        passed, self._before = now - self._before, now
        rows = connection.execute(_BLOCKERS, [SHOWN_QUERY, backend]).fetchall()
        for pid, user, application, query, age in rows:
            earlier = self._seen.get((revision, pid))
            self._seen[revision, pid] = Wait(
                revision,
                pid,
                user,
                application,
                shown(query, self._secrets) if query else None,
                None if age is None else round(age, 3),
                round((earlier.seconds if earlier else 0.0) + passed, 3),
            )

    def of(self, revision: str) -> list[Wait]:
        """Return the blockers of a revision, the one that it waited for longest first."""
        found = [wait for wait in self._seen.values() if wait.revision == revision]
        return sorted(found, key=lambda wait: -wait.seconds)

    def as_return(self) -> list[dict[str, Any]]:
        """Return all waits as a module returns them."""
        return [wait.as_return() for wait in self._seen.values()]


def shown(query: str, secrets: Iterable[str]) -> str:
    """Return another session's query in one line, without its values: they are none of our business."""
    return _connection.mask(" ".join(_LITERAL.sub("'…'", query).split()), secrets)


def blocked_by(waits: list[Wait]) -> str:
    """Return the blockers as the middle of a sentence; nothing when none was seen."""
    if not waits:
        return ""
    more = f" and {len(waits) - SHOWN_BLOCKERS} more" if len(waits) > SHOWN_BLOCKERS else ""
    return "blocked by " + "; ".join(map(str, waits[:SHOWN_BLOCKERS])) + more
