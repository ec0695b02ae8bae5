# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One upgrade: each pending revision in a transaction of its own, noted in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _journal,
    _keeper,
    _migration,
    _preview,
    _revisions,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._migration import Migration, Told, flat
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

if TYPE_CHECKING:
    import psycopg

ARGUMENTS: dict[str, dict[str, Any]] = {
    **_migration.ARGUMENTS,
    **_preview.ARGUMENTS,
    "revision": {"type": "list", "elements": "str", "default": ["heads"]},
    "accept_edited": {"type": "list", "elements": "str", "default": []},
}


@dataclass
class Upgrade(Migration):
    """One upgrade of one database."""

    def asked(self) -> dict[str, Any]:
        """Return the targets."""
        return {"action": "upgrade", "targets": list(self.params["revision"])}

    def approve(self, connection: psycopg.Connection[Any], answer: Answer) -> None:
        """Say where the database stands and what is pending; raises StewardError where the journal says no."""
        self.announce(_revisions.state_of(answer, self.tables), answer)
        if answer.pending:
            names = ", ".join(item.revision for item in answer.pending)
            self.say(f"needs migration: {len(answer.pending)} pending ({names})")
        else:
            self.say("up to date")
        findings = _keeper.examined(connection, self.project, answer, self.params.get("accept_edited") or ())
        self.findings = findings
        if answer.pending and findings.refusals:
            raise StewardError(next(iter(findings.refusals.values())))
        if answer.pending and findings.edited:
            raise StewardError(_journal.edited_note(findings.edited))
        for note in findings.notes:
            self.warn(note)
        if findings.edited:
            self.warn(_journal.edited_note(findings.edited))

    def begin(self, answer: Answer) -> None:
        """Say where it goes."""
        self.say(f"running migrations to {', '.join(answer.targets)}")

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
        state = _revisions.state_of(answer, self.tables) if answer.version_table else None
        if answer.finished and (keeper is None or not keeper.planned):
            try:
                self.approve(connection, answer)
            except StewardError as error:
                refusal = str(error)
        preview = self.shown(connection, answer, request, keeper)
        result = {
            **self.common(told, keeper),
            "state": state,
            "pending": [item.as_return() for item in answer.pending],
            "applied": [item.as_return() for item in told.applied],
            "sql": flat(preview.sql, (item.revision for item in answer.pending)),
            "sql_method": preview.method,
            "target_metadata": answer.target_metadata,
            "edited": list(self.findings.edited),
        }
        if refusal:
            raise StewardError(refusal, **result)
        if not answer.finished:
            raise StewardError(self.failure(told, keeper), **result)
        for warning in state_warnings(answer, state):
            self.warn(warning)
        if not self.check and not _revisions.reached(answer, told.current):
            raise StewardError(_revisions.unreached_message(answer, told.current), **result)
        if told.applied:
            self.completed(connection, told)
        return {**result, "changed": bool(answer.pending), "diff": _revisions.difference(answer, preview.sql)}


upgrade = Upgrade.perform


def state_warnings(answer: Answer, state: str | None) -> list[str]:
    """Return what the operator should know though nothing failed."""
    if state == "ahead":
        targets, current = ", ".join(answer.targets), ", ".join(answer.current)
        return [f"the database is past {targets} already, at {current}: nothing was done"]
    if state == "legacy" and answer.pending:
        return ["the database had tables and no recorded revision: it may have been made without Alembic"]
    return []
