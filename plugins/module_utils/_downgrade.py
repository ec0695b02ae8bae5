# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One downgrade: revisions taken back, newest first, each in a transaction of its own, once somebody confirmed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.pgsteward.postgres.plugins.module_utils import _keeper, _migration, _preview, _revisions
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_state import some
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._migration import Migration, Told, flat
from ansible_collections.pgsteward.postgres.plugins.module_utils._preview import Preview, Previewer
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer, Revision
from ansible_collections.pgsteward.postgres.plugins.module_utils._runner_process import Ended

if TYPE_CHECKING:
    import psycopg

SHOWN = 10  # revisions in the one line of an error

ARGUMENTS: dict[str, dict[str, Any]] = {
    **_migration.ARGUMENTS,
    **_preview.ARGUMENTS,
    "revision": {"type": "str", "required": True},
    "confirm": {"type": "str"},
    "accept_edited": {"type": "list", "elements": "str", "default": []},
}


@dataclass
class Downgrade(Migration):
    """One downgrade of one database."""

    application_name: ClassVar[str] = "pgsteward alembic_downgrade"
    way: ClassVar[_keeper.Way] = _keeper.WayBack()

    def asked(self) -> dict[str, Any]:
        """Return the target; the configuration of alembic wants it among the targets."""
        return {"action": "downgrade", "targets": [self.params["revision"]], "revision": self.params["revision"]}

    def settled(self, answer: Answer) -> dict[str, Any]:
        """Return what a later try is asked otherwise: -1 would mean another revision by then."""
        return {"targets": [self.params["revision"]], "settled": [item.revision for item in answer.pending]}

    def approve(self, connection: psycopg.Connection[Any], answer: Answer) -> None:
        """Say what is to be taken back; raises StewardError where the journal says no, or nobody confirmed it."""
        self.announce(_revisions.standing_of(answer, self.tables), answer)
        pending = [item.revision for item in answer.pending]
        self.say(f"to be taken back: {len(pending)} ({', '.join(pending)})" if pending else "nothing to take back")
        findings = _keeper.examined(connection, self.project, answer, self.params.get("accept_edited") or ())
        self.findings = findings
        for revision, text in findings.refusals.items():
            if revision in pending:
                raise StewardError(text)
            self.warn(text)
        edited = [revision for revision in findings.edited if revision in pending]
        if edited:
            raise StewardError(edited_note(edited))
        for note in findings.notes:
            self.warn(note)
        unconfirmed = confirm_note(self.params.get("confirm"), self.database, answer.pending, self.check)
        if unconfirmed:
            raise StewardError(unconfirmed)

    def begin(self, answer: Answer) -> None:
        """Say where it goes."""
        self.say(f"running downgrades to {', '.join(answer.targets) or 'base'}")

    def judged(
        self,
        connection: psycopg.Connection[Any],
        told: Told,
        request: Mapping[str, Any],
        keeper: _keeper.Keeper | None = None,
    ) -> dict[str, Any]:
        """Return the result of a run, or raise StewardError with it."""
        answer, refusal = told.answer, None
        for note in answer.notes:
            self.warn(note)
        if answer.finished and (keeper is None or not keeper.planned):
            try:
                self.approve(connection, answer)
            except StewardError as error:
                refusal = str(error)
        preview = self.shown(connection, answer, request, keeper)
        result = {
            **self.common(told, keeper),
            "state": _revisions.standing_of(answer, self.tables) if answer.graph is not None else None,
            "pending": [item.as_return() for item in answer.pending],
            "reverted": [item.as_return() for item in told.applied],
            "one_way": [item.as_return() for item in answer.one_way],
            "sql": flat(preview.sql, (item.revision for item in answer.pending)),
            "sql_method": preview.method,
            "edited": list(self.findings.edited),
        }
        if refusal:
            raise StewardError(refusal, **result)
        if not answer.finished:
            raise StewardError(self.failure(told, keeper), **result)
        if not self.check and not _revisions.exactly_at(answer, told.current):
            raise StewardError(_revisions.unreached_message(answer, told.current), **result)
        if told.applied:
            self.completed(connection, told)
        difference = _revisions.difference(answer, preview.sql, back=True)
        return {**result, "changed": bool(answer.pending), "diff": difference}

    def previewer(self, request: Mapping[str, Any]) -> Previewer:
        """Return what finds the statements of a way back."""
        return _PreviewerBack(self.project, self.files, self.place, self.params, request, self.secrets, self.temporary)


class _PreviewerBack(Previewer):
    """The same ladder for a way back."""

    def _ask(self, request: Mapping[str, Any]) -> Ended:
        return super()._ask({**request, "action": "offline_downgrade"})

    def _replay(self, connection: psycopg.Connection[Any], answer: Answer) -> Preview:
        """Run the history on a scratch database up to where the live one is, and return what the way back did there."""
        from ansible_collections.pgsteward.postgres.plugins.module_utils import _scratch, _stage

        live, pending = _scratch.read_live(connection, self.place), [item.revision for item in answer.pending]
        target = self.request["revision"]
        with _stage.stage(self.project, live, self.params, self.secrets, self.temporary) as stage:
            there = stage.run(list(answer.current))
            if not there.answer.finished:
                raise StewardError(_revisions.failure_message(there.answer, (), there.how, ()))
            found = stage.run([target], action="downgrade", revision=target, settled=pending)
        if not found.answer.finished:
            raise StewardError(_revisions.failure_message(found.answer, (), found.how, (), back=True))
        return Preview("replay", {name: found.answer.sql.get(name, ()) for name in pending}, stage.notes)


def confirm_note(confirm: str | None, database: str, pending: Sequence[Revision], check: bool) -> str | None:
    """Return why a way back must not begin: what would be lost, and what confirms that. None when it may.

    A check needs no confirmation, and a name that is wrong is wrong in a check too.
    """
    if confirm == database or (not confirm and (check or not pending)):
        return None
    said = f"is {confirm!r}" if confirm else "is missing"
    if not pending:
        return f"confirm {said}, and this database is {database}: check which one is meant"
    return (
        f"confirm {said}: {some([str(item) for item in pending], SHOWN)} would be taken back from database {database}, with all the data that"
        f" only they have a place for: give confirm={database}"
    )


def edited_note(revisions: Sequence[str]) -> str:
    """Return what is to be said about revisions to take back whose files were edited."""
    return (
        f"edited after it was applied: {', '.join(revisions)}; its downgrade() may not undo what the file did then: bring that"
        " back, or name it in accept_edited"
    )
