# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One upgrade: alone on its database, tried again where only a lock was missing, noted in the journal, told truly."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

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
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import closure, first_lines
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._journal import Findings, Journal
from ansible_collections.pgsteward.postgres.plugins.module_utils._lock_waits import Waits
from ansible_collections.pgsteward.postgres.plugins.module_utils._preview import Preview
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer, Applied

if TYPE_CHECKING:
    import psycopg

    Say = Callable[[str], None]

ARGUMENTS: dict[str, dict[str, Any]] = {
    **_alembic.ARGUMENTS,
    **_alembic.MUTATING_ARGUMENTS,
    **_preview.ARGUMENTS,
    "revision": {"type": "list", "elements": "str", "default": ["heads"]},
    "accept_edited": {"type": "list", "elements": "str", "default": []},
}
DURATIONS = ("lock_wait", "lock_timeout", "lock_retry", "statement_timeout")
# Our own statements are short; a journal that a migration's transaction has locked must not stop that for ever.
_IMPATIENT = "SET lock_timeout = '2s'"
# The lock lives as long as our session, which says nothing while env.py prepares itself.
_PATIENT = "SET idle_session_timeout = 0"
_BACKOFF = (0.1, 5.0)  # seconds before the second try, and at most


def run_upgrade(module: Any) -> dict[str, Any]:
    """Do what an AnsibleModule asks for; return its result or raise StewardError."""
    _alembic.settle_secrets(module)
    result = upgrade(module.params, module.check_mode, module.tmpdir, module.warn, module.log)
    if not module._diff:
        del result["diff"]
    return result


def upgrade(
    params: Mapping[str, Any], check: bool, temporary: str, warn: Say, log: Say = lambda _text: None
) -> dict[str, Any]:
    """Bring the database to the wanted revisions, or say in check mode what that would take; return the result.

    temporary: a private directory. log: takes each message as it comes; they are returned too. Raises StewardError, with
    what lasts in its facts.
    """
    messages: list[str] = []

    def say(text: str) -> None:
        messages.append(text)
        log(text)

    try:
        result = Upgrade.prepared(params, check, temporary, warn, say).run()
    except StewardError as error:
        unreachable = str(error).startswith("cannot connect to")
        say(f"{'connection failed' if unreachable else 'failed'}: {error}")
        error.facts["messages"] = messages
        raise
    return {**result, "messages": messages}


@dataclass(frozen=True)
class Told:
    """What is known when the run is over. current: the revisions of the database now."""

    answer: Answer
    current: list[str]
    applied: list[Applied]
    ended: _runner_process.Ended
    retries: int = 0
    seconds: float = 0.0


@dataclass
class Upgrade:
    """One upgrade of one database. state: before the run, once it is known."""

    project: Project
    place: Place
    files: _alembic.ConfigFiles
    params: Mapping[str, Any]
    check: bool
    secrets: frozenset[str]
    temporary: str
    warn: Say
    say: Say
    tables: bool = False
    findings: Findings = field(default_factory=Findings)

    @classmethod
    def prepared(cls, params: Mapping[str, Any], check: bool, temporary: str, warn: Say, say: Say) -> Upgrade:
        """Return the upgrade that a module's options describe; raises StewardError for what can be seen without a server."""
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
            contextlib.closing(self._runner()) as runner,
            _connection.connect(self.place, _alembic.APPLICATION_NAME) as connection,
            _alembic.queries(self.place),
        ):
            server = _connection.read_server(connection, self.place)
            if not self.check:
                modern = connection.info.server_version >= 140000
                connection.execute(f"{_IMPATIENT}; {_PATIENT}" if modern else _IMPATIENT)
                _runner_lock.take(connection, self.place, self._seconds("lock_wait", "10min"))
                _runner_lock.end_orphans(connection, self.place, self.say)
            # Before the run: afterwards the revisions' own tables are there.
            self.tables = _alembic.has_tables(connection)
            request = _alembic.build_request(self.project, self.files, self.place, self.params, self.check, server)
            if self.check:
                return self._judged(connection, self._looked(connection, runner, request), request)
            if modern:
                request["session"]["client_connection_check_interval"] = _runner_lock.CHECK_INTERVAL
            request["session"]["application_name"] = _runner_lock.MARKER
            # What libpq sets from the first moment on, before env.py comes to configure.
            request["environment"]["PGAPPNAME"] = _runner_lock.MARKER
            keeper = Keeper(self, connection)
            return self._judged(connection, self._tried(keeper, runner, request), request, keeper)

    def _runner(self) -> _runner_process.Runner:
        return _runner_process.Runner(self.project, _alembic.find_python(self.project.python), self.temporary)

    def _seconds(self, name: str, default: str) -> float:
        return _alembic.seconds_of(self.params.get(name) or default)

    # The run

    def _looked(
        self, connection: psycopg.Connection[Any], runner: _runner_process.Runner, request: Mapping[str, Any]
    ) -> Told:
        """Return what a check finds."""
        ended = runner.ask(request, self.secrets)
        return Told(ended.answer, _alembic.heads_now(connection, self.place, ended.answer), [], ended)

    def _tried(self, keeper: Keeper, runner: _runner_process.Runner, request: Mapping[str, Any]) -> Told:
        """Return how the run ended; each try is a process of its own, since env.py can run only once in one."""
        limit, started = self._seconds("lock_retry", "5min"), time.monotonic()
        earlier, retries, met = None, 0, None
        with contextlib.ExitStack() as runners:
            while True:
                ended = runner.ask(request, self.secrets, keeper.again())
                current = _alembic.heads_now(keeper.connection, self.place, ended.answer)
                answer = _revisions.continued(earlier, ended.answer)
                applied = _revisions.lasting(answer, current)
                keeper.settle(answer, current)
                now = time.monotonic()
                met = met or now
                if not _revisions.locked_out(ended.answer) or now - met >= limit:
                    return Told(answer, current, applied, ended, retries, now - started)
                earlier, retries = replace(answer, applied=tuple(applied)), retries + 1
                # What +1 means was settled by the first plan.
                request = {**request, "targets": list(answer.targets) or request["targets"]}
                self.say(f"a lock was not to be had in time{_listed(keeper.blocked(answer))}: trying again")
                runner = runners.enter_context(contextlib.closing(self._runner()))
                pause = min(_BACKOFF[0] * 2 ** (retries - 1), _BACKOFF[1]) * random.uniform(0.5, 1.0)  # noqa: S311
                time.sleep(min(pause, max(limit - (now - met), 0.0)))

    # What is said about it

    def announce(self, answer: Answer) -> None:
        """Say where the database stands and what is to be done."""
        state = _revisions.state_of(answer, self.tables)
        if state in ("fresh", "legacy"):
            self.say(f"{state} database detected")
        else:
            self.say(f"stamped with revision {', '.join(answer.current)}")
        if answer.pending:
            names = ", ".join(item.revision for item in answer.pending)
            self.say(f"needs migration: {len(answer.pending)} pending ({names})")
        else:
            self.say("up to date")

    def take_findings(self, findings: Findings, pending: bool) -> None:
        """Warn of what the journal says; raises StewardError where the run must not begin."""
        self.findings = findings
        if pending and findings.refusal:
            raise StewardError(findings.refusal)
        if pending and findings.edited:
            raise StewardError(_journal.edited_note(findings.edited))
        for note in findings.notes:
            self.warn(note)

    def _judged(
        self,
        connection: psycopg.Connection[Any],
        told: Told,
        request: Mapping[str, Any],
        keeper: Keeper | None = None,
    ) -> dict[str, Any]:
        """Return the result of a run, or raise StewardError with it."""
        answer = told.answer
        for note in answer.notes:
            self.warn(note)
        state = _revisions.state_of(answer, self.tables) if answer.version_table else None
        preview = Preview("executed" if keeper and answer.pending else "list", answer.sql)
        refusal = None
        if answer.finished and (keeper is None or not keeper.planned):
            self.announce(answer)
            try:
                self.take_findings(examined(connection, self.project, answer, self.params), bool(answer.pending))
            except StewardError as error:
                refusal = str(error)
            if self.check and answer.pending:
                previewer = _preview.Previewer(
                    self.project, self.files, self.place, self.params, request, self.secrets, self.temporary
                )
                preview = previewer.preview(connection, answer)
                for note in preview.notes:
                    self.warn(note)
        result = {
            **as_return(answer, state, told, preview),
            "waits": keeper.waits.as_return() if keeper else [],
            "retries": told.retries,
            "edited": list(self.findings.edited),
        }
        if refusal:
            raise StewardError(refusal, **result)
        if not answer.finished:
            raise StewardError(self._failure(connection, told, keeper), **result)
        for warning in state_warnings(answer, state):
            self.warn(warning)
        if not self.check and not _revisions.reached(answer, told.current):
            raise StewardError(_revisions.unreached_message(answer, told.current), **result)
        if told.applied:
            self._complete(connection, told)
        return {
            **result,
            "changed": bool(answer.pending),
            "diff": _revisions.difference(answer, preview.sql),
        }

    def _failure(self, connection: psycopg.Connection[Any], told: Told, keeper: Keeper | None) -> str:
        """Return the line about a run that failed."""
        answer, circumstances, first = told.answer, "", ""
        if keeper and _revisions.locked_out(answer):
            tries = f"tried {told.retries + 1} times in {told.seconds:.0f} s" if told.retries else ""
            circumstances = ", ".join(filter(None, [tries, _lock_waits.blocked_by(keeper.blocked(answer))]))
        if keeper and answer.autocommit and answer.running:
            first = _journal.drop_remedy(keeper.left_invalid(answer.running.revision))
        return _revisions.failure_message(
            answer, told.current, told.ended.how, told.applied, circumstances=circumstances, first=first
        )

    def _complete(self, connection: psycopg.Connection[Any], told: Told) -> None:
        """Say what was done; what is invalid now may have been there before, and is no less useless."""
        seconds = sum(item.seconds for item in told.applied)
        self.say(f"completed: {len(told.applied)} applied in {seconds:.3f} s")
        self.say(f"stamped with revision {', '.join(told.current)}")
        with contextlib.suppress(_driver_error()):  # the work is done, whatever becomes of this look
            left = _journal.invalid_indexes(connection)
            if left:
                self.warn(
                    f"invalid indexes, which cost writes and serve no reads: {', '.join(left)}: {_journal.drop_remedy(left)},"
                    " and create them again"
                )


class Keeper:
    """Looks on while the runner works: keeps the journal, and notes who blocks. One for all tries of a run."""

    def __init__(self, upgrade: Upgrade, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.waits = Waits(upgrade.secrets)
        self.planned = False
        self._upgrade = upgrade
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
                self._write(lambda journal: journal.finish([fact["applied"]["revision"]]))

    def tick(self) -> None:
        """Look who blocks."""
        if self._running and self._backend:
            with contextlib.suppress(_driver_error()):  # a lost connection is found before the next revision
                self.waits.sample(self.connection, self._backend, self._running)

    def blocked(self, answer: Answer) -> list[_lock_waits.Wait]:
        """Return who blocked the revision that failed."""
        return self.waits.of(answer.running.revision) if answer.running else []

    def left_invalid(self, revision: str) -> list[str]:
        """Return the invalid indexes made since the revision started."""
        with contextlib.suppress(_driver_error()):
            entry = self._journal.entries().get(revision) if self._journal else None
            return _journal.invalid_indexes(self.connection, entry.xid) if entry else []
        return []

    def settle(self, answer: Answer, current: Sequence[str]) -> None:
        """Note what became of all revisions that were started: the database knows."""
        there = closure(answer.graph or {}, current)
        done = [revision for revision in self._started if revision in there]
        lost = [revision for revision in self._started if revision not in there]
        if done:
            self._write(lambda journal: journal.finish(done))
        # A process that died may have left its session at work: the next run finds the row open, and looks.
        if lost and (answer.failure or answer.finished):
            reason = answer.failure.text if answer.failure else "env.py did not commit it"
            self._write(lambda journal: journal.fail(lost, reason))

    def _plan(self, answer: Answer) -> None:
        if self.planned:
            return
        self.planned = True
        self._upgrade.announce(answer)
        findings = examined(self.connection, self._upgrade.project, answer, self._upgrade.params)
        self._upgrade.take_findings(findings, pending=True)
        self._upgrade.say(f"running migrations to {', '.join(answer.targets)}")
        schema = _alembic.version_schema(self.connection, answer) or _revisions.home_schema(answer)
        if schema and answer.version_table:
            self._journal = Journal(self.connection, schema, answer.version_table)
            self._write(lambda journal: journal.create())
            self._write(lambda journal: journal.finish(findings.unsettled))
            self._write(lambda journal: journal.accept(findings.accepted))

    def _start(self, revision: str) -> None:
        import psycopg

        graph = _revisions.answer_of(self._facts).graph or {}
        sha256 = _journal.digest(self._upgrade.project.directory, graph[revision]["path"])
        try:
            self.connection.execute("SELECT")
        except psycopg.OperationalError:
            raise StewardError(
                f"the connection that keeps other runs away was lost, so revision {revision} was not begun: run again"
            ) from None
        self._write(lambda journal: journal.start(revision, sha256))
        self._started.append(revision)
        self._running = revision

    def _write(self, action: Callable[[Journal], None]) -> None:
        """Write to the journal; where that cannot be done it is said once, and the migration goes on without."""
        import psycopg

        if self._journal is None:
            return
        try:
            action(self._journal)
        except psycopg.Error as error:
            self._journal = None
            self._upgrade.warn(
                f"the journal {_journal.NAME} could not be written: {first_lines(str(error))}: let the account create schemas"
            )


def examined(
    connection: psycopg.Connection[Any], project: Project, answer: Answer, params: Mapping[str, Any]
) -> Findings:
    """Return what the journal says about the plan; nothing when there is none."""
    import psycopg

    schema = _alembic.version_schema(connection, answer) or _revisions.home_schema(answer)
    if schema is None or answer.version_table is None:
        return Findings()
    graph = answer.graph or {}
    try:
        entries = Journal(connection, schema, answer.version_table).entries()
    except psycopg.errors.InsufficientPrivilege as error:
        return Findings(notes=(f"the journal {_journal.NAME} could not be read: {first_lines(str(error))}",))
    return _journal.examine(
        connection,
        entries,
        closure(graph, answer.current),
        {revision: entry["path"] for revision, entry in graph.items()},
        project.directory,
        params.get("accept_edited") or (),
    )


def _driver_error() -> type[Exception]:
    import psycopg

    return psycopg.Error


def _listed(waits: list[_lock_waits.Wait]) -> str:
    found = _lock_waits.blocked_by(waits)
    return f", {found}" if found else ""


def state_warnings(answer: Answer, state: str | None) -> list[str]:
    """Return what the operator should know though nothing failed."""
    if state == "ahead":
        targets, current = ", ".join(answer.targets), ", ".join(answer.current)
        return [f"the database is past {targets} already, at {current}: nothing was done"]
    if state == "legacy" and answer.pending:
        return ["the database had tables and no recorded revision: it may have been made without Alembic"]
    return []


def as_return(answer: Answer, state: str | None, told: Told, preview: Preview) -> dict[str, Any]:
    """Return what every ending of a run returns; changed tells what lasts."""
    return {
        "changed": bool(told.applied),
        "state": state,
        "current": told.current,
        "heads": list(answer.heads),
        "pending": [item.as_return() for item in answer.pending],
        "applied": [item.as_return() for item in told.applied],
        "sql": flat(preview.sql, (item.revision for item in answer.pending)),
        "sql_method": preview.method,
        "version_table": answer.version_table,
        "version_table_schema": answer.version_table_schema,
        "target_metadata": answer.target_metadata,
        "versions": dict(answer.versions or {}),
        "output": told.ended.output,
    }


def flat(sql: Mapping[str, Sequence[str]], revisions: Iterable[str]) -> list[str]:
    """Return the statements of revisions in their order."""
    return [statement for revision in revisions for statement in sql.get(revision, ())]
