# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stage: a scratch database like the live one, with the project set up to run on it instead of on the live one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _connection, _runner_process, _scratch
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import ConfigFiles, Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import first_lines
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, Server
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._runner_process import Ended, Watch
from ansible_collections.pgsteward.postgres.plugins.module_utils._scratch import Live

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "pgsteward scratch run"
# What pg_dump writes and a server may not take: the two lines that restrict psql, and a stamp that newer minor releases keep among
# the options of a column, which an older pg_dump copies.
_NOT_FOR_A_SERVER = re.compile(
    r"^\\(?:un)?restrict \w+$|^ALTER TABLE ONLY .* SET \(pg_attver=\d+\);$|(?<=\()pg_attver=\d+, |, pg_attver=\d+(?=[,)])",
    re.MULTILINE,
)

_UNDEFINED_TABLE = "42P01"

ARGUMENTS: dict[str, dict[str, Any]] = {
    "scratch": {"type": "str", "choices": list(_scratch.KINDS)},
    "scratch_url": {"type": "str", "no_log": True},
    "scratch_template": {"type": "str"},
    "scratch_baseline": {"type": "path"},
}


@dataclass(frozen=True)
class Stage:
    """A project that runs on a scratch database. notes: what the operator should know about that."""

    project: Project
    files: ConfigFiles
    place: Place
    server: Server
    secrets: frozenset[str]
    temporary: str
    notes: tuple[str, ...] = ()

    @classmethod
    def at(
        cls, project: Project, place: Place, secrets: frozenset[str], temporary: str, notes: tuple[str, ...] = ()
    ) -> Stage:
        """Return the stage of a project that is set up for the empty database at place.

        secrets: what texts must not show, beside those of project, place and our environment, which are known here.
        temporary: a private directory. Raises StewardError.
        """
        files = _alembic.find_config(project.directory, project.config, project.section)
        secrets |= _connection.secrets_of(place) | project.secrets() | _alembic.inherited_secrets(os.environ)
        with contextlib.closing(_connection.connect(place, APPLICATION_NAME)) as connection:
            server = _connection.read_server(connection, place)
        return cls(project, files, place, server, secrets, temporary, notes)

    def connect(self) -> psycopg.Connection[Any]:
        """Return a pinned connection of our own to the scratch database; texts are texts, also where it has no encoding."""
        connection = _connection.connect(self.place, APPLICATION_NAME)
        connection.execute("SET client_encoding = 'UTF8'")
        return connection

    def run(self, targets: list[str], watch: Watch | None = None, **request: Any) -> Ended:
        """Let the runner do an action on the scratch database (upgrade, unless request names another); return how it ended."""
        asked = _alembic.build_request(self.project, self.files, self.place, {"revision": targets}, False, self.server)
        python = _alembic.find_python(self.project.python)
        with contextlib.closing(_runner_process.Runner(self.project, python, self.temporary)) as runner:
            return runner.ask({**asked, **request}, self.secrets, watch)


@contextmanager
def stage(
    project: Project, live: Live, params: Mapping[str, Any], secrets: frozenset[str], temporary: str
) -> Iterator[Stage]:
    """Give a stage for as long as the context lasts.

    params: has the options of ARGUMENTS. secrets, temporary: as Stage.at has them. Raises StewardError with a remedy.
    """
    url, template = params.get("scratch_url"), params.get("scratch_template")
    with _scratch.scratch(params.get("scratch"), live, url=url, template=template) as scratch:
        _run_baseline(scratch.place, params)
        environment = _scratch.redirect(project.environment, live.place, scratch.place)
        yield Stage.at(replace(project, environment=environment), scratch.place, secrets, temporary, scratch.notes)


def baseline_of(params: Mapping[str, Any]) -> str | None:
    """Return the SQL of the file scratch_baseline, None when there is none; raises StewardError when it cannot be read."""
    path = params.get("scratch_baseline")
    if not path:
        return None
    try:
        return _NOT_FOR_A_SERVER.sub("", Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StewardError(f"scratch_baseline {path} cannot be read: {error}") from None


def baseline_note(ended: Ended, params: Mapping[str, Any]) -> str:
    """Return what to say of a replay that failed for want of a table, so that no revision may be to blame; else nothing."""
    failure = ended.answer.failure
    if params.get("scratch_baseline") or failure is None or failure.sqlstate != _UNDEFINED_TABLE:
        return ""
    return "; where something else makes that table before the first revision, give its SQL by scratch_baseline"


def _run_baseline(place: Place, params: Mapping[str, Any]) -> None:
    """Run the baseline as the application would, with the search path that it would have."""
    import psycopg

    text = baseline_of(params)
    if text is None:
        return
    with contextlib.closing(_connection.connect_unpinned(place, APPLICATION_NAME)) as connection:
        try:
            connection.execute(text.encode())
        except psycopg.Error as error:
            raise StewardError(
                f"scratch_baseline {params['scratch_baseline']} failed: {first_lines(str(error))}: mend that file"
            ) from None
