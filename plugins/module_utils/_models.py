# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The schema that an application's models describe, made in a scratch database by the application's own env.py."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _connection,
    _revisions,
    _runner_process,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

APPLICATION_NAME = "pgsteward models"


def create_models(project: Project, place: Place, secrets: frozenset[str], temporary: str) -> tuple[str, ...]:
    """Create what env.py's target_metadata describes in the empty database at place; return notes for the operator.

    secrets: what texts must not show, beside the secrets of project, place and our environment, which are known here.
    temporary: a private directory. Raises StewardError when it cannot be done or does not last; output is in its facts.
    """
    files = _alembic.find_config(project.directory, project.config, project.section)
    secrets |= _connection.secrets_of(place) | project.secrets() | _alembic.inherited_secrets(os.environ)
    python = _alembic.find_python(project.python)
    with (
        contextlib.closing(_runner_process.Runner(project, python, temporary)) as runner,
        _connection.connect(place, APPLICATION_NAME) as connection,
    ):
        server = _connection.read_server(connection, place)
        request = _alembic.build_request(project, files, place, {"revision": ["heads"]}, False, server)
        ended = runner.ask({**request, "action": "create_models"}, secrets)
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
