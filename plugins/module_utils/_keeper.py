# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What looks on while the runner migrates: it keeps the journal, and notes who blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _journal, _lock_waits, _revisions
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import closure, first_lines
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._journal import Findings, Journal
from ansible_collections.pgsteward.postgres.plugins.module_utils._lock_waits import Waits
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

if TYPE_CHECKING:
    import psycopg
    from ansible_collections.pgsteward.postgres.plugins.module_utils._migration import Migration


class Way:
    """What an upgrade writes into the journal about a revision."""

    back: ClassVar[bool] = False

    def start(self, journal: Journal, revision: str, sha256: str | None) -> None:
        """Note that a revision starts."""
        journal.start(revision, sha256)

    def finish(self, journal: Journal, revisions: Iterable[str]) -> None:
        """Note that revisions are done."""
        journal.finish(revisions)

    def fail(self, journal: Journal, revisions: Iterable[str], error: str) -> None:
        """Note why revisions are not done."""
        journal.fail(revisions, error)


class WayBack(Way):
    """What a downgrade writes: the journal forgets what is taken back."""

    back: ClassVar[bool] = True

    def start(self, journal: Journal, revision: str, sha256: str | None) -> None:
        """Note that a revision starts to be taken back."""
        journal.start_back(revision, sha256)

    def finish(self, journal: Journal, revisions: Iterable[str]) -> None:
        """Forget revisions that were taken back."""
        journal.forget(revisions)

    def fail(self, journal: Journal, revisions: Iterable[str], error: str) -> None:
        """Note why revisions were not taken back."""
        journal.fail_back(revisions, error)


class Keeper:
    """The watch of a migration. One for all tries of a run."""

    def __init__(self, migration: Migration, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.waits = Waits(migration.secrets)
        self.planned = False
        self._migration = migration
        self._journal: Journal | None = None
        self._facts: list[Mapping[str, Any]] = []
        self._backend: int | None = None
        self._running: str | None = None
        self._external = False
        self._started: list[str] = []

    def again(self) -> Keeper:
        """Get ready for another try."""
        self._facts, self._backend, self._running, self._started = [], None, None, []
        return self

    def fact(self, fact: Mapping[str, Any]) -> None:
        """Take what the runner reports; raises StewardError where it must not go on."""
        if "sql" not in fact:
            self._facts.append(fact)
        self._backend = fact.get("backend", self._backend)
        self._external = fact.get("external", self._external)
        if fact.get("asks") == "plan":
            self._plan(_revisions.answer_of(self._facts))
        elif fact.get("asks") == "revision":
            self._start(fact["running"])
        elif "applied" in fact:
            self._running = None
            # With a transaction of env.py's own around it, nothing is committed before the end.
            if not self._external:
                self._write(lambda journal: self._migration.way.finish(journal, [fact["applied"]["revision"]]))

    def tick(self) -> None:
        """Look who blocks."""
        if self._running and self._backend:
            with contextlib.suppress(driver_error()):  # a lost connection is found before the next revision
                self.waits.sample(self.connection, self._backend, self._running)

    def blocked(self, answer: Answer) -> list[_lock_waits.Wait]:
        """Return who blocked the revision that failed."""
        return self.waits.of(answer.running.revision) if answer.running else []

    def left_invalid(self, revision: str) -> list[str]:
        """Return the invalid indexes made since the revision started."""
        with contextlib.suppress(driver_error()):
            entry = self._journal.entries().get(revision) if self._journal else None
            return _journal.invalid_indexes(self.connection, entry.xid) if entry else []
        return []

    def settle(self, answer: Answer, current: Sequence[str]) -> None:
        """Note what became of all revisions that were started: the database knows."""
        way, there = self._migration.way, closure(answer.graph or {}, current)
        done = [revision for revision in self._started if (revision in there) != way.back]
        lost = [revision for revision in self._started if (revision in there) == way.back]
        if done:
            self._write(lambda journal: way.finish(journal, done))
        # A process that died may have left its session at work: the next run finds the row open, and looks.
        if lost and (answer.failure or answer.finished):
            reason = answer.failure.text if answer.failure else "env.py did not commit it"
            self._write(lambda journal: way.fail(journal, lost, reason))

    def _plan(self, answer: Answer) -> None:
        if self.planned:
            return
        self.planned = True
        self._migration.approve(self.connection, answer)
        self._migration.begin(answer)
        findings = self._migration.findings
        self._journal = journal_of(self.connection, answer)
        self._write(lambda journal: journal.create())
        self._write(lambda journal: journal.finish(findings.unsettled))
        self._write(lambda journal: journal.accept(findings.accepted))

    def _start(self, revision: str) -> None:
        import psycopg

        graph = _revisions.answer_of(self._facts).graph or {}
        sha256 = _journal.digest(self._migration.project.directory, graph[revision]["path"])
        try:
            self.connection.execute("SELECT")
        except psycopg.OperationalError:
            raise StewardError(
                f"the connection that keeps other runs away was lost, so revision {revision} was not begun: run again"
            ) from None
        self._write(lambda journal: self._migration.way.start(journal, revision, sha256))
        self._started.append(revision)
        self._running = revision

    def _write(self, action: Callable[[Journal], None]) -> None:
        """Write to the journal; where that cannot be done it is said once, and the migration goes on without."""
        if self._journal is not None and not written(self._journal, action, self._migration.warn):
            self._journal = None


def journal_of(connection: psycopg.Connection[Any], answer: Answer) -> Journal | None:
    """Return the journal of the version table that env.py uses; None where it is known of none."""
    schema = _alembic.version_schema(connection, answer) or _revisions.home_schema(answer)
    return Journal(connection, schema, answer.version_table) if schema and answer.version_table else None


def written(journal: Journal, action: Callable[[Journal], None], warn: Callable[[str], None]) -> bool:
    """Write to the journal; return whether that could be done, and warn where not."""
    import psycopg

    try:
        action(journal)
    except psycopg.Error as error:
        warn(
            f"the journal {_journal.NAME} could not be written: {first_lines(str(error))}: let the account create schemas"
        )
        return False
    return True


def examined(
    connection: psycopg.Connection[Any], project: Project, answer: Answer, accept: Collection[str] = ()
) -> Findings:
    """Return what the journal says about the plan; nothing when there is none. accept: revisions whose files may have changed."""
    import psycopg

    journal = journal_of(connection, answer)
    if journal is None:
        return Findings()
    graph = answer.graph or {}
    try:
        entries = journal.entries()
    except psycopg.errors.InsufficientPrivilege as error:
        return Findings(notes=(f"the journal {_journal.NAME} could not be read: {first_lines(str(error))}",))
    return _journal.examine(
        connection,
        entries,
        closure(graph, answer.current),
        {revision: entry["path"] for revision, entry in graph.items()},
        project.directory,
        accept,
    )


def driver_error() -> type[Exception]:
    """Return the root of psycopg's errors; it is imported late, since a host may be without it."""
    import psycopg

    return psycopg.Error
