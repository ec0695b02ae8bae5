# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal: one row per revision of what runs of ours did, in a schema of its own, outside of the migration's transactions.

Beside the application's tables it would be in the way: autogenerate would propose to drop it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

SCHEMA = "pgsteward"  # all of it is ours
TABLE = "journal"
NAME = f"{SCHEMA}.{TABLE}"

_CREATE = """
CREATE TABLE {} (
    version_table text NOT NULL,
    revision text NOT NULL,
    sha256 text,
    started timestamptz NOT NULL,
    finished timestamptz,
    error text,
    xid xid8 NOT NULL,
    PRIMARY KEY (version_table, revision))
"""
# What is no plain table may be somebody's trap: a trigger or a rule would run as the one who migrates.
_FIND = """
SELECT c.relkind = 'r' AND NOT (c.relhastriggers OR c.relhasrules OR c.relrowsecurity)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_START = """
INSERT INTO {} AS j (version_table, revision, sha256, started, finished, error, xid)
VALUES (%s, %s, %s, clock_timestamp(), NULL, NULL, pg_current_xact_id())
ON CONFLICT (version_table, revision) DO UPDATE
SET sha256 = excluded.sha256, started = excluded.started, finished = NULL, error = NULL, xid = excluded.xid
"""
# The digest stays: it is that of the file that was applied.
_RETURN = """
INSERT INTO {} AS j (version_table, revision, sha256, started, finished, error, xid)
VALUES (%s, %s, %s, clock_timestamp(), NULL, %s, pg_current_xact_id())
ON CONFLICT (version_table, revision) DO UPDATE
SET started = excluded.started, finished = NULL, error = excluded.error, xid = excluded.xid
"""
_ON_THE_WAY_BACK = "on the way back: "
# CREATE INDEX CONCURRENTLY that was cut short; the index of a partitioned table may be invalid for good reasons.
_INVALID = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_'
    AND (%(since)s::text IS NULL OR age(c.xmin) <= age(%(since)s::text::xid8::xid))
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid)
ORDER BY 1
"""


@dataclass(frozen=True)
class Entry:
    """What the journal knows of a revision.

    sha256: of its file as it was then. started: a UTC time as text. xid: of the transaction that noted the start.
    """

    revision: str
    sha256: str | None
    started: str
    finished: bool
    error: str | None
    xid: str

    def __str__(self) -> str:
        if self.error:
            return f"revision {self.revision} failed in an earlier run, started {self.started} UTC ({self.error})"
        return f"an earlier run was cut short in revision {self.revision}, started {self.started} UTC"


class Journal:
    """The rows of one version table. Its connection is in autocommit mode, so that each write lasts at once."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str, version_table: str) -> None:
        from psycopg import sql

        self._connection, self._version_table = connection, f"{schema}.{version_table}"
        self._name = sql.Identifier(SCHEMA, TABLE)

    def exists(self) -> bool:
        """Say whether there is a journal; raises StewardError for something else of that name."""
        row = self._connection.execute(_FIND, [SCHEMA, TABLE]).fetchone()
        if row and not row[0]:
            raise StewardError(f"{NAME} is not the journal that this collection makes: rename it")
        return row is not None

    def create(self) -> None:
        """Make the journal when there is none."""
        if self.exists():
            return
        # IF NOT EXISTS would want the right to create schemas even where there is one.
        if self._connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [SCHEMA]).fetchone() is None:
            self._connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
        self._run(_CREATE, [])

    def entries(self) -> dict[str, Entry]:
        """Return what is known, by revision."""
        if not self.exists():
            return {}
        rows = self._run(
            "SELECT revision, sha256, to_char(timezone('UTC', started), 'YYYY-MM-DD HH24:MI:SS'), finished IS NOT NULL, error,"
            " xid::text FROM {} WHERE version_table = %s",
            [self._version_table],
        )
        return {row[0]: Entry(*row) for row in rows.fetchall()}

    def start(self, revision: str, sha256: str | None) -> None:
        """Note that a revision starts, with the digest of its file; what was known of it is forgotten."""
        self._run(_START, [self._version_table, revision, sha256])

    def finish(self, revisions: Iterable[str]) -> None:
        """Note that revisions are in the database to stay."""
        self._run(
            "UPDATE {} SET finished = clock_timestamp(), error = NULL"
            " WHERE version_table = %s AND revision = ANY (%s) AND finished IS NULL",
            [self._version_table, list(revisions)],
        )

    def start_back(self, revision: str, sha256: str | None) -> None:
        """Note that a revision starts to be taken back; the error says so until it is, also when the run is killed."""
        self._run(_RETURN, [self._version_table, revision, sha256, f"{_ON_THE_WAY_BACK}it was cut short"])

    def fail_back(self, revisions: Iterable[str], error: str) -> None:
        """Note why revisions were not taken back."""
        self.fail(revisions, _ON_THE_WAY_BACK + error)

    def forget(self, revisions: Iterable[str]) -> None:
        """Know nothing more of revisions."""
        self._run(
            "DELETE FROM {} WHERE version_table = %s AND revision = ANY (%s)", [self._version_table, list(revisions)]
        )

    def fail(self, revisions: Iterable[str], error: str) -> None:
        """Note why revisions are not."""
        self._run(
            "UPDATE {} SET finished = NULL, error = %s WHERE version_table = %s AND revision = ANY (%s)",
            [error, self._version_table, list(revisions)],
        )

    def accept(self, digests: Mapping[str, str | None]) -> None:
        """Note other digests for applied revisions."""
        for revision, sha256 in digests.items():
            self._run(
                "UPDATE {} SET sha256 = %s WHERE version_table = %s AND revision = %s",
                [sha256, self._version_table, revision],
            )

    def _run(self, statement: str, values: list[Any]) -> psycopg.Cursor[Any]:
        from psycopg import sql

        query: sql.Composed = sql.SQL(statement).format(self._name)
        return self._connection.execute(query, values)


def digest(directory: str, path: str) -> str | None:
    """Return the SHA-256 of a revision's file; None when it cannot be read. path starts at directory."""
    try:
        return hashlib.sha256((Path(directory) / path).read_bytes()).hexdigest()
    except OSError:
        return None


def edited(entries: Mapping[str, Entry], applied: Collection[str], digests: Mapping[str, str | None]) -> list[str]:
    """Return the applied revisions whose files are not what they were when they were applied, sorted.

    A file that cannot be read, and a revision that the journal does not know, say nothing. A revision that failed on the
    way back was mended since.
    """
    return sorted(
        revision
        for revision, entry in entries.items()
        if not entry.error and _differs(entry, applied, digests.get(revision))
    )


def _differs(entry: Entry, applied: Collection[str], sha256: str | None) -> bool:
    return entry.revision in applied and bool(entry.sha256) and sha256 not in (None, entry.sha256)


@dataclass(frozen=True)
class Findings:
    """What the journal says before a run. edited: applied revisions whose files are others now, and nobody said that this is well.

    accepted: digests of those where somebody did, and of those that were mended. unsettled: applied revisions whose end was
    not noted. refusals: why a run into a revision must not begin. failed: revisions whose last run was no success, as text.
    """

    edited: tuple[str, ...] = ()
    accepted: Mapping[str, str | None] = field(default_factory=dict)
    unsettled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def examine(
    connection: psycopg.Connection[Any],
    entries: Mapping[str, Entry],
    applied: Collection[str],
    paths: Mapping[str, str],
    directory: str,
    accept: Collection[str],
) -> Findings:
    """Return what the entries say about a run that begins.

    applied: the revisions that the database has. paths: the file of each revision, starting at directory. accept: revisions
    whose files may have changed.
    """
    digests = {revision: digest(directory, paths[revision]) for revision in entries if revision in paths}
    changed = edited(entries, applied, digests)
    others = tuple(revision for revision in changed if revision not in accept)
    mended = [name for name, entry in entries.items() if entry.error and _differs(entry, applied, digests.get(name))]
    notes, refusals, failed = [], {}, {}
    for entry in entries.values():
        # An applied revision without an error is well, though nobody was left to note its end.
        well = entry.finished or (entry.revision in applied and not entry.error)
        if well or entry.revision not in paths:
            continue
        failed[entry.revision] = str(entry)
        left = invalid_indexes(connection, entry.xid)
        if left:
            refusals[entry.revision] = (
                f"{entry}, and left invalid: {', '.join(left)}, which IF NOT EXISTS would take for good:"
                f" {drop_remedy(left)}, and run again"
            )
        elif entry.revision in applied or not entry.error:
            notes.append(
                f"{entry}; its transaction is undone, and what it did outside of one is not: {paths[entry.revision]} says what"
            )
    return Findings(
        others,
        {revision: digests[revision] for revision in changed if revision in accept}
        | {revision: digests[revision] for revision in mended},
        tuple(entry.revision for entry in entries.values() if entry.revision in applied and not entry.finished),
        tuple(notes),
        refusals,
        failed,
    )


def edited_note(revisions: Collection[str]) -> str:
    """Return what is to be said about applied revisions whose files were edited."""
    names = ", ".join(revisions)
    return (
        f"edited after it was applied: {names}; the database has what the file said then: bring that back and write a new"
        f" revision, or name it in accept_edited"
    )


def invalid_indexes(connection: psycopg.Connection[Any], since: str | None = None) -> list[str]:
    """Return the indexes that are invalid and not being built: all, or those made since the transaction since."""
    return [name for (name,) in connection.execute(_INVALID, {"since": since}).fetchall()]


def drop_remedy(indexes: Iterable[str]) -> str:
    """Return the statements that remove indexes which CREATE INDEX CONCURRENTLY left invalid."""
    return "; ".join(f"DROP INDEX CONCURRENTLY {name}" for name in indexes)
