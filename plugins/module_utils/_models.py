# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The schema that an application's models describe, made in a scratch database by the application's own env.py."""

from __future__ import annotations

import contextlib

from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _revisions
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._stage import Stage


def create_models(stage: Stage) -> tuple[str, ...]:
    """Create what env.py's target_metadata describes in the empty database of a stage; return notes for the operator.

    Raises StewardError when it cannot be done or does not last; output is in its facts.
    """
    ended = stage.run(["heads"], action="create_models")
    with contextlib.closing(stage.connect()) as connection:
        lasts = _alembic.has_tables(connection)
    if not ended.answer.finished:
        message = _revisions.failure_message(ended.answer, (), ended.how, ())
        raise StewardError(message, output=ended.output)
    if not lasts:
        raise StewardError(
            "env.py ended without an error, but the tables of its models are not there: it must commit what it did",
            output=ended.output,
        )
    return ended.answer.notes
