# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an upgrade, a downgrade and a stamp have in common: alone on their database, tried again for a lock, told truly."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _connection,
    _journal,
    _lock_waits,
    _preview,
    _revisions,
    _runner_lock,
    _runner_process,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._journal import Findings
from ansible_collections.pgsteward.postgres.plugins.module_utils._keeper import Keeper, Way, driver_error
from ansible_collections.pgsteward.postgres.plugins.module_utils._preview import Preview
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer, Applied

if TYPE_CHECKING:
    import psycopg

Say = Callable[[str], None]

ARGUMENTS: dict[str, dict[str, Any]] = {**_alembic.ARGUMENTS, **_alembic.MUTATING_ARGUMENTS}
DURATIONS = ("lock_wait", "lock_timeout", "lock_retry", "statement_timeout")
# Our own statements are short; a journal that a migration's transaction has locked must not stop that for ever.
_IMPATIENT = "SET lock_timeout = '2s'"
# The lock lives as long as our session, which says nothing while env.py prepares itself.
_PATIENT = "SET idle_session_timeout = 0"
_BACKOFF = (0.1, 5.0)  # seconds before the second try, and at most


@dataclass(frozen=True)
class Told:
    """What is known when the run is over. current: the revisions of the database now. applied: what was done, and lasts."""

    answer: Answer
    current: list[str]
    applied: list[Applied]
    ended: _runner_process.Ended
    retries: int = 0
    seconds: float = 0.0


@dataclass
class Migration:
    """One run on one database. database: its name, as the server has it. tables: whether it had any before the run."""

    project: Project
    place: Place
    files: _alembic.ConfigFiles
    params: Mapping[str, Any]
    check: bool
    secrets: frozenset[str]
    temporary: str
    warn: Say
    say: Say
    database: str = ""
    tables: bool = False
    findings: Findings = field(default_factory=Findings)

    application_name: ClassVar[str] = _alembic.APPLICATION_NAME
    way: ClassVar[Way] = Way()

    @classmethod
    def run_module(cls, module: Any) -> dict[str, Any]:
        """Do what an AnsibleModule asks for; return its result or raise StewardError."""
        _alembic.settle_secrets(module)
        result = cls.perform(module.params, module.check_mode, module.tmpdir, module.warn, module.log)
        if not module._diff:
            del result["diff"]
        return result

    @classmethod
    def perform(
        cls, params: Mapping[str, Any], check: bool, temporary: str, warn: Say, log: Say = lambda _text: None
    ) -> dict[str, Any]:
        """Do what the options say, or say in check mode what that would be; return the result.

        temporary: a private directory. log: takes each message as it comes; they are returned too. Raises StewardError,
        with what lasts in its facts.
        """
        messages: list[str] = []

        def say(text: str) -> None:
            messages.append(text)
            log(text)

        try:
            result = cls.prepared(params, check, temporary, warn, say).run()
        except StewardError as error:
            unreachable = str(error).startswith("cannot connect to")
            say(f"{'connection failed' if unreachable else 'failed'}: {error}")
            error.facts["messages"] = messages
            raise
        return {**result, "messages": messages}

    @classmethod
    def prepared(cls, params: Mapping[str, Any], check: bool, temporary: str, warn: Say, say: Say) -> Migration:
        """Return the run that a module's options describe; raises StewardError for what can be seen without a server."""
        project, place = Project.from_params(params), _alembic.place_from_params(params)
        files = _alembic.find_config(project.directory, project.config, project.section)
        for name in DURATIONS:
            _alembic.check_duration(name, params.get(name))
        if not params["revision"]:
            raise StewardError("revision is empty: name one, or heads")
        secrets = _connection.secrets_of(place) | project.secrets() | _alembic.inherited_secrets(os.environ)
        if params.get("scratch_url"):
            secrets |= _connection.secrets_of(_connection.parse_url(params["scratch_url"]))
        return cls(project, place, files, params, check, secrets, temporary, warn, say)

    def run(self) -> dict[str, Any]:
        """Do it; return the module's result."""
        # While we connect, the runner imports alembic; it touches nothing of the project before it has the request.
        with (
            contextlib.closing(self.runner()) as runner,
            _connection.connect(self.place, self.application_name) as connection,
            _alembic.queries(self.place),
        ):
            request = self.entered(connection)
            if self.check:
                return self.judged(connection, self.looked(connection, runner, request), request)
            keeper = Keeper(self, connection)
            return self.judged(connection, self.tried(keeper, runner, request), request, keeper)

    # What differs

    def asked(self) -> dict[str, Any]:
        """Return what of the runner's request is the action's own, targets among it."""
        raise NotImplementedError

    def approve(self, connection: psycopg.Connection[Any], answer: Answer) -> None:
        """Say what the answer plans and take what the journal says; raises StewardError where it must not begin."""
        raise NotImplementedError

    def begin(self, answer: Answer) -> None:
        """Say that the plan is begun."""
        raise NotImplementedError

    def judged(
        self,
        connection: psycopg.Connection[Any],
        told: Told,
        request: Mapping[str, Any],
        keeper: Keeper | None = None,
    ) -> dict[str, Any]:
        """Return the result of a run, or raise StewardError with it."""
        raise NotImplementedError

    # The run

    def runner(self) -> _runner_process.Runner:
        """Return a new process for the project."""
        return _runner_process.Runner(self.project, _alembic.find_python(self.project.python), self.temporary)

    def seconds(self, name: str, default: str) -> float:
        """Return the seconds of an option that is a duration."""
        return _alembic.seconds_of(self.params.get(name) or default)

    def entered(self, connection: psycopg.Connection[Any]) -> dict[str, Any]:
        """Return the runner's request for the server behind a connection; outside of check mode that keeps others away now."""
        server, modern = _connection.read_server(connection, self.place), connection.info.server_version >= 140000
        self.database = server.database
        if not self.check:
            connection.execute(f"{_IMPATIENT}; {_PATIENT}" if modern else _IMPATIENT)
            _runner_lock.take(connection, self.place, self.seconds("lock_wait", "10min"))
            _runner_lock.end_orphans(connection, self.place, self.say)
        # Before the run: afterwards the revisions' own tables are there.
        self.tables = _alembic.has_tables(connection)
        asked = {**self.params, "revision": []}
        request = _alembic.build_request(self.project, self.files, self.place, asked, self.check, server)
        request.update(self.asked())
        if not self.check:
            if modern:
                request["session"]["client_connection_check_interval"] = _runner_lock.CHECK_INTERVAL
            request["session"]["application_name"] = _runner_lock.MARKER
            # What libpq sets from the first moment on, before env.py comes to configure.
            request["environment"]["PGAPPNAME"] = _runner_lock.MARKER
        return request

    def looked(
        self, connection: psycopg.Connection[Any], runner: _runner_process.Runner, request: Mapping[str, Any]
    ) -> Told:
        """Return what a check finds."""
        ended = runner.ask(request, self.secrets)
        return Told(ended.answer, _alembic.heads_now(connection, self.place, ended.answer), [], ended)

    def tried(self, keeper: Keeper, runner: _runner_process.Runner, request: Mapping[str, Any]) -> Told:
        """Return how the run ended; each try is a process of its own, since env.py can run only once in one."""
        limit, started = self.seconds("lock_retry", "5min"), time.monotonic()
        earlier, retries, met = None, 0, None
        with contextlib.ExitStack() as runners:
            while True:
                ended = runner.ask(request, self.secrets, keeper.again())
                current = _alembic.heads_now(keeper.connection, self.place, ended.answer)
                answer = _revisions.continued(earlier, ended.answer)
                applied = self.lasting(answer, current)
                keeper.settle(answer, current)
                now = time.monotonic()
                met = met or now
                if not _revisions.locked_out(ended.answer) or now - met >= limit:
                    return Told(answer, current, applied, ended, retries, now - started)
                earlier, retries = replace(answer, applied=tuple(applied)), retries + 1
                request = {**request, **self.settled(answer)}
                self.say(f"a lock was not to be had in time{_listed(keeper.blocked(answer))}: trying again")
                runner = runners.enter_context(contextlib.closing(self.runner()))
                pause = min(_BACKOFF[0] * 2 ** (retries - 1), _BACKOFF[1]) * random.uniform(0.5, 1.0)  # noqa: S311
                time.sleep(min(pause, max(limit - (now - met), 0.0)))

    def lasting(self, answer: Answer, current: Sequence[str]) -> list[Applied]:
        """Return what was done and lasts, where the database is at the revisions current."""
        return (_revisions.taken_back if self.way.back else _revisions.lasting)(answer, current)

    def settled(self, answer: Answer) -> dict[str, Any]:
        """Return what a later try is asked otherwise: what relative targets mean was settled by the first plan."""
        return {"targets": list(answer.targets)} if answer.targets else {}

    # What is said about it

    def announce(self, state: str, answer: Answer) -> None:
        """Say where the database stands."""
        if state in ("fresh", "legacy"):
            self.say(f"{state} database detected")
        else:
            self.say(stamped_with(answer.current))

    def failure(self, told: Told, keeper: Keeper | None) -> str:
        """Return the line about a run that failed."""
        answer, circumstances, first = told.answer, "", ""
        if keeper and _revisions.locked_out(answer):
            tries = f"tried {told.retries + 1} times in {told.seconds:.0f} s" if told.retries else ""
            circumstances = ", ".join(filter(None, [tries, _lock_waits.blocked_by(keeper.blocked(answer))]))
        if keeper and answer.autocommit and answer.running:
            first = _journal.drop_remedy(keeper.left_invalid(answer.running.revision))
        return _revisions.failure_message(
            answer,
            told.current,
            told.ended.how,
            told.applied,
            circumstances=circumstances,
            first=first,
            back=self.way.back,
        )

    def completed(self, connection: psycopg.Connection[Any], told: Told) -> None:
        """Say what was done; what is invalid now may have been there before, and is no less useless."""
        seconds = sum(item.seconds for item in told.applied)
        self.say(f"completed: {len(told.applied)} {'taken back' if self.way.back else 'applied'} in {seconds:.3f} s")
        self.say(stamped_with(told.current))
        with contextlib.suppress(driver_error()):  # the work is done, whatever becomes of this look
            left = _journal.invalid_indexes(connection)
            if left:
                self.warn(
                    f"invalid indexes, which cost writes and serve no reads: {', '.join(left)}: {_journal.drop_remedy(left)},"
                    " and create them again"
                )

    def previewer(self, request: Mapping[str, Any]) -> _preview.Previewer:
        """Return what finds the statements of a plan."""
        return _preview.Previewer(
            self.project, self.files, self.place, self.params, request, self.secrets, self.temporary
        )

    def shown(
        self, connection: psycopg.Connection[Any], answer: Answer, request: Mapping[str, Any], keeper: Keeper | None
    ) -> Preview:
        """Return the statements that ran, or in check mode those that would, with warnings where they cannot be had."""
        if keeper is None and answer.finished and answer.pending:
            preview = self.previewer(request).preview(connection, answer)
            for note in preview.notes:
                self.warn(note)
            return preview
        return Preview("executed" if keeper and answer.pending else "list", answer.sql)

    def common(self, told: Told, keeper: Keeper | None) -> dict[str, Any]:
        """Return what every result has."""
        answer = told.answer
        return {
            "changed": bool(told.applied),
            "current": told.current,
            "heads": list(answer.heads),
            "waits": keeper.waits.as_return() if keeper else [],
            "retries": told.retries,
            "version_table": answer.version_table,
            "version_table_schema": answer.version_table_schema,
            "versions": dict(answer.versions or {}),
            "output": told.ended.output,
        }


def stamped_with(revisions: Iterable[str]) -> str:
    """Return the message that tells the revision of a database."""
    return f"stamped with revision {', '.join(revisions) or 'base'}"


def flat(sql: Mapping[str, Sequence[str]], revisions: Iterable[str]) -> list[str]:
    """Return the statements of revisions in their order."""
    return [statement for revision in revisions for statement in sql.get(revision, ())]


def _listed(waits: list[_lock_waits.Wait]) -> str:
    found = _lock_waits.blocked_by(waits)
    return f", {found}" if found else ""
