# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The statements of pending revisions before they run: rendered offline, else seen in a replay on scratch, else none."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _revisions, _runner_process
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import ConfigFiles, Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

if TYPE_CHECKING:
    import psycopg

NO_SCRATCH = "none"

ARGUMENTS: dict[str, dict[str, Any]] = {
    "scratch": {"type": "str", "choices": [NO_SCRATCH, "instance", "database", "url"]},
    "scratch_url": {"type": "str", "no_log": True},
    "scratch_template": {"type": "str"},
    "scratch_baseline": {"type": "path"},
}


@dataclass(frozen=True)
class Preview:
    """The statements of each revision, and how they were found: offline, replay or list (no statements)."""

    method: str
    sql: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Previewer:
    """What a preview needs of the run that it belongs to. request: what the runner was asked, in check mode."""

    project: Project
    files: ConfigFiles
    place: Place
    params: Mapping[str, Any]
    request: Mapping[str, Any]
    secrets: frozenset[str]
    temporary: str

    def preview(self, connection: psycopg.Connection[Any], answer: Answer) -> Preview:
        """Return the statements of the answer's pending revisions by the first way that works."""
        sql, offline = self._offline(answer)
        if not offline:
            return Preview("offline", sql)
        if self.params.get("scratch") == NO_SCRATCH:
            return Preview("list", notes=(f"the statements are not shown: offline rendering failed ({offline})",))
        try:
            return self._replay(connection, answer)
        except StewardError as error:
            reasons = f"offline rendering failed ({offline}), and so did a replay ({error})"
            return Preview("list", notes=(f"the statements are not shown: {reasons}",))

    def _offline(self, answer: Answer) -> tuple[Mapping[str, tuple[str, ...]], str]:
        """Return the rendered statements, and the reason when there are none."""
        pending = [item.revision for item in answer.pending]
        request = {**self.request, "action": "offline", "pending": pending, "current": list(answer.current)}
        found = self._ask(request)
        if found.answer.finished and set(pending) <= set(found.answer.sql):
            return {revision: found.answer.sql[revision] for revision in pending}, ""
        return {}, found.answer.failure.text if found.answer.failure else found.how or "not every revision was rendered"

    def _replay(self, connection: psycopg.Connection[Any], answer: Answer) -> Preview:
        """Run the history on a scratch database and return what the pending revisions did; raises StewardError."""
        # Few runs come this far, and the others need not wait for the import.
        from ansible_collections.pgsteward.postgres.plugins.module_utils import _scratch, _stage

        live = _scratch.read_live(connection, self.place)
        with _stage.stage(self.project, live, self.params, self.secrets, self.temporary) as stage:
            # What is there already in a process of its own: a history may work in one go and not from here on.
            found = stage.run(list(answer.current)) if answer.current else None
            if found is None or found.answer.finished:
                found = stage.run(list(answer.targets))
        if not found.answer.finished:
            message = _revisions.failure_message(found.answer, (), found.how, ())
            raise StewardError(message + _stage.baseline_note(found, self.params))
        sql = {item.revision: found.answer.sql.get(item.revision, ()) for item in answer.pending}
        return Preview("replay", sql, stage.notes)

    def _ask(self, request: Mapping[str, Any]) -> _runner_process.Ended:
        python = _alembic.find_python(self.project.python)
        with contextlib.closing(_runner_process.Runner(self.project, python, self.temporary)) as runner:
            return runner.ask(request, self.secrets)
