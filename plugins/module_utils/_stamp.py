# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One stamp: the revision of a database set without running anything, once its catalog is what that revision makes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _catalog,
    _connection,
    _drift,
    _history,
    _keeper,
    _migration,
    _revisions,
    _snapshot,
    _verify,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import closure
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._journal import Journal
from ansible_collections.pgsteward.postgres.plugins.module_utils._migration import Migration, Say, Told, stamped_with
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer
from ansible_collections.pgsteward.postgres.plugins.module_utils._severity import SEVERITIES
from ansible_collections.pgsteward.postgres.plugins.module_utils._verify import Weighed

if TYPE_CHECKING:
    import psycopg

ARGUMENTS: dict[str, dict[str, Any]] = {
    **_migration.ARGUMENTS,
    **_history.ARGUMENTS,
    "revision": {"type": "list", "elements": "str", "required": True},
    "accept": {"type": "list", "elements": "dict", "default": [], "options": _verify.ACCEPT_OPTIONS},
    "force": {"type": "bool", "default": False},
    "confirm": {"type": "str"},
}


@dataclass(frozen=True)
class Compared:
    """How a catalog differs from the history, gravest first. standing: missing or changed, and not accepted.

    extra: names of objects that the history does not make, and that nobody accepted.
    """

    standing: tuple[Weighed, ...]
    accepted: tuple[Weighed, ...]
    extra: tuple[str, ...]

    @property
    def grave(self) -> tuple[Weighed, ...]:
        """What keeps the database from being at the revision: all that stands but comments, the order of columns and the like."""
        return tuple(item for item in self.standing if item.severity != SEVERITIES[-1])

    @classmethod
    def of(cls, weighed: Sequence[Weighed]) -> Compared:
        """Return the drifts sorted out."""
        accepted = tuple(item for item in weighed if item.accepted is not None)
        open_ = [item for item in weighed if item.accepted is None]
        return cls(
            tuple(item for item in open_ if not _is_extra(item)),
            accepted,
            tuple(item.drift.object for item in open_ if _is_extra(item)),
        )


def _is_extra(item: Weighed) -> bool:
    return item.drift.attribute == _drift.EXISTENCE and item.drift.expected == _drift.ABSENT


@dataclass
class Stamp(Migration):
    """One stamp of one database. compared: none where nothing was compared."""

    compared: Compared | None = None
    today: date = field(default_factory=lambda: datetime.now(timezone.utc).date())  # noqa: UP017 - Python 3.10

    application_name: ClassVar[str] = "pgsteward alembic_stamp"

    @classmethod
    def prepared(cls, params: Mapping[str, Any], check: bool, temporary: str, warn: Say, say: Say) -> Migration:
        """Return the run that a module's options describe; raises StewardError for what can be seen without a server."""
        _verify.accepted_of(params["accept"])
        return super().prepared(params, check, temporary, warn, say)

    def asked(self) -> dict[str, Any]:
        """Return the targets."""
        return {"action": "stamp", "targets": list(self.params["revision"])}

    def settled(self, _answer: Answer) -> dict[str, Any]:
        """Return what a later try is asked otherwise: nothing, as no target is relative."""
        return {}

    def run(self) -> dict[str, Any]:
        """Look, judge, then write: what is compared may take minutes, and no session of env.py is open meanwhile."""
        with (
            contextlib.closing(self.runner()) as runner,
            _connection.connect(self.place, self.application_name) as connection,
            _alembic.queries(self.place),
        ):
            request = self.entered(connection)
            looked = self.looked(connection, runner, {**request, "check": True})
            answer = looked.answer
            for note in answer.notes:
                self.warn(note)
            if not answer.finished:
                raise StewardError(self.failure(looked, None), **self.told(looked))
            try:
                self.approve(connection, answer)
            except StewardError as error:
                raise StewardError(str(error), **{**self.told(looked), **error.facts}) from None
            if self.check or not changes(answer):
                return {**self.told(looked), "changed": changes(answer), "diff": difference(answer)}
            self.begin(answer)
            with contextlib.closing(self.runner()) as writer:
                wanted = {**request, "expected": list(answer.current)}
                told = self.tried(_keeper.Keeper(self, connection), writer, wanted)
            return self.stamped(connection, replace(told, answer=replace(told.answer, current=answer.current)))

    # Whether it may be

    def approve(self, connection: psycopg.Connection[Any], answer: Answer) -> None:
        """Say where the database stands; raises StewardError where it is not what its new revision says."""
        self.announce(_revisions.standing_of(answer, self.tables), answer)
        force, confirm = self.params["force"], self.params.get("confirm")
        refused = confirm_note(force, confirm, self.database, answer, self.check)
        if refused:
            raise StewardError(refused)
        if not changes(answer):
            self.say("up to date")
            return
        way_out = f"or give force, and confirm={self.database}"
        unknown = [revision for revision in answer.current if revision not in (answer.graph or {})]
        if unknown and not force:
            raise StewardError(
                f"the database is at revision {', '.join(map(repr, unknown))}, and no file of this project has it: bring the"
                f" missing file back, use the project that made this database, {way_out} to replace it"
            )
        failed = self._failed(connection, answer)
        if failed and not force:
            raise StewardError(
                f"{failed}; nothing is stamped after a failure: run alembic_upgrade again, which goes on from there, {way_out}"
            )
        self._compare(connection, answer, tolerant=force)
        grave = self.compared.grave if self.compared else ()
        if grave:
            truth = f"what the history makes at {', '.join(answer.targets) or 'base'}"
            text = _verify.summary(f"database {self.database}", truth, grave)
            if not force:
                raise StewardError(f"{text}; nothing was stamped: mend that, name it in accept, {way_out}")
            self.warn(f"{text}; it is stamped by force")

    def _failed(self, connection: psycopg.Connection[Any], answer: Answer) -> str | None:
        """Return what the journal says of a failure in a revision that would count as applied; None when nothing."""
        self.findings = _keeper.examined(connection, self.project, answer)
        meant = closure(answer.graph or {}, answer.targets)
        return next((text for revision, text in self.findings.failed.items() if revision in meant), None)

    def _compare(self, connection: psycopg.Connection[Any], answer: Answer, tolerant: bool) -> None:
        """Compare the catalog with the history; tolerant: only warn where that cannot be done."""
        try:
            weighed = self._weighed(connection, answer)
        except StewardError as error:
            if not tolerant:
                raise
            self.warn(f"the schema was not compared with the history: {error}")
            return
        self.compared = Compared.of(weighed)
        if self.compared.extra:
            self.warn(f"not made by the history, and left alone: {', '.join(self.compared.extra)}")

    def _weighed(self, connection: psycopg.Connection[Any], answer: Answer) -> list[Weighed]:
        table = str(answer.version_table)
        expected = _history.expected_at(
            connection, self.place, self.project, self.params, answer.targets, self.secrets, self.temporary, table
        )
        found = _catalog.read(connection, self.place, expected.snapshot.scope).snapshot
        objects = _snapshot.without_table(found.objects, table)
        drifts = _drift.compare(expected.snapshot.objects, objects)
        drifts = _drift.seen(drifts, (*expected.snapshot.unseen, *found.unseen))
        accepted = _verify.accepted_of(self.params["accept"])
        weighed, notes = _verify.weigh(drifts, expected.snapshot.objects, objects, accepted, self.today)
        for note in (*expected.notes, *notes):
            self.warn(note)
        return weighed

    # What is said about it

    def begin(self, answer: Answer) -> None:
        """Say what is written."""
        self.say(f"stamping with revision {', '.join(answer.targets) or 'base'}")

    def stamped(self, connection: psycopg.Connection[Any], told: Told) -> dict[str, Any]:
        """Return the result of a stamp, or raise StewardError with it."""
        answer, result = told.answer, self.told(told)
        if not answer.finished:
            raise StewardError(self.failure(told, None), **result)
        if told.current != sorted(answer.targets):
            raise StewardError(_revisions.unreached_message(answer, told.current), **result)
        self._forget(connection, answer)
        self.say("completed: nothing was run")
        self.say(stamped_with(told.current))
        return {**result, "changed": True, "diff": difference(answer)}

    def failure(self, told: Told, keeper: _keeper.Keeper | None) -> str:
        """Return the line about a run that failed; what the server says against the stamp is no fault of env.py."""
        failure = told.answer.failure
        if failure is None or failure.sqlstate is None:
            return super().failure(told, keeper)
        tries = f", tried {told.retries + 1} times in {told.seconds:.0f} s" if told.retries else ""
        remedy = {
            _revisions.LOCK_NOT_AVAILABLE: "end what blocks it, or raise lock_timeout or lock_retry, and run again",
            _revisions.INSUFFICIENT_PRIVILEGE: _revisions.RIGHTS,
        }.get(failure.sqlstate, "mend that and run again")
        at = ", ".join(told.current) or "no revision"
        return f"the stamp failed: {failure.text}{tries}; the database is at {at}; {remedy}"

    def _forget(self, connection: psycopg.Connection[Any], answer: Answer) -> None:
        """Let the journal know nothing of the revisions whose mark has changed: what it knows is not how they came about."""
        journal, graph = _keeper.journal_of(connection, answer), answer.graph or {}
        others = closure(graph, answer.current) ^ closure(graph, answer.targets)

        def forget(journal: Journal) -> None:
            if journal.exists():
                journal.forget(others)

        if journal:
            _keeper.written(journal, forget, self.warn)

    def told(self, told: Told) -> dict[str, Any]:
        """Return what every result has."""
        answer, compared = told.answer, self.compared
        common = self.common(told, None)
        del common["waits"]  # nobody looks who blocks
        return {
            **common,
            "changed": answer.graph is not None and told.current != list(answer.current),
            "state": _revisions.standing_of(answer, self.tables) if answer.graph is not None else None,
            "previous": list(answer.current),
            "drift": [item.as_return() for item in compared.standing] if compared else None,
            "accepted": [item.as_return() for item in compared.accepted] if compared else None,
            "extra": list(compared.extra) if compared else None,
        }


def changes(answer: Answer) -> bool:
    """Say whether the version table is to hold something else than it does."""
    return sorted(answer.current) != sorted(answer.targets)


def difference(answer: Answer) -> dict[str, str]:
    """Return the revision before and after as Ansible shows a difference."""
    before, after = (f"revision: {', '.join(revisions) or 'none'}\n" for revisions in (answer.current, answer.targets))
    return {"before_header": "database", "after_header": "database", "before": before, "after": after}


def confirm_note(force: bool, confirm: str | None, database: str, answer: Answer, check: bool) -> str | None:
    """Return why a stamp must not be forced: what would be taken for true, and what confirms that. None when it may.

    A check needs no confirmation, and a name that is wrong is wrong in a check too.
    """
    if confirm == database or (not confirm and (check or not force or not changes(answer))):
        return None
    if not (force and changes(answer)):
        return f"confirm is {confirm!r}, and this database is {database}: check which one is meant"
    said = f"is {confirm!r}" if confirm else "is missing"
    after, before = (", ".join(revisions) or "no revision" for revisions in (answer.targets, answer.current))
    return (
        f"confirm {said}: force would mark database {database} as {after} instead of {before}, whatever its schema is:"
        f" give confirm={database}"
    )
