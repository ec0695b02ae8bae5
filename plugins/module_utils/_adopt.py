# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One adoption: find the revision that a database without one is at, prove it, stamp it, prove it again."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _adoption,
    _alembic,
    _alembic_info,
    _alembic_state,
    _catalog,
    _connection,
    _history,
    _keeper,
    _remedies,
    _repair,
    _revisions,
    _runner_lock,
    _runner_process,
    _snapshot,
    _verify,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._adoption import Candidate, Choice
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

if TYPE_CHECKING:
    import psycopg

    Say = Callable[[str], None]

APPLICATION_NAME = "pgsteward alembic_adopt"
ADDITIVE = "additive"

ARGUMENTS: dict[str, dict[str, Any]] = {
    **_alembic.ARGUMENTS,
    **_history.ARGUMENTS,
    "lock_wait": _alembic.MUTATING_ARGUMENTS["lock_wait"],
    "lock_timeout": _alembic.MUTATING_ARGUMENTS["lock_timeout"],
    "revision": {"type": "list", "elements": "str", "default": []},
    "repair": {"type": "str", "choices": ["none", ADDITIVE], "default": "none"},
    "accept": {"type": "list", "elements": "dict", "default": [], "options": _verify.ACCEPT_OPTIONS},
}
# The lock lives as long as our session, which says nothing while a history is replayed.
_SESSION = "SET idle_session_timeout = 0; SET client_encoding = 'UTF8'"
_READ_ONLY = "SET default_transaction_read_only = on"


def run(module: Any, today: datetime.date) -> dict[str, Any]:
    """Do what an AnsibleModule asks for; return its result or raise StewardError."""
    _alembic.settle_secrets(module)
    messages: list[str] = []

    def say(text: str) -> None:
        messages.append(text)
        module.log(text)

    try:
        adoption = Adoption.prepared(module.params, module.check_mode, module.tmpdir, module.warn, say, today)
        result = adoption.run()
    except StewardError as error:
        unreachable = str(error).startswith("cannot connect to")
        say(f"{'connection failed' if unreachable else 'failed'}: {error}")
        error.facts["messages"] = messages
        raise
    if not module._diff:
        result.pop("diff", None)
    return {**result, "messages": messages}


@dataclass
class Adoption:
    """One adoption of one database."""

    project: Project
    place: Place
    params: Mapping[str, Any]
    check: bool
    secrets: frozenset[str]
    temporary: str
    warn: Say
    say: Say
    accepted: Sequence[_verify.Accepted]
    told: dict[str, Any] = field(default_factory=dict)  # what every ending returns, as far as it is known
    repaired: list[str] = field(default_factory=list)

    @classmethod
    def prepared(
        cls, params: Mapping[str, Any], check: bool, temporary: str, warn: Say, say: Say, today: datetime.date
    ) -> Adoption:
        """Return the adoption that a module's options describe; raises StewardError for what can be seen without a server."""
        project, place = Project.from_params(params), _alembic.place_from_params(params)
        _alembic_info.check_project(project)
        for name in ("lock_wait", "lock_timeout"):
            _alembic.check_duration(name, params[name])
        accepted = [item for item in _verify.accepted_of(params["accept"]) if not item.until or item.until >= today]
        secrets = _connection.secrets_of(place) | project.secrets() | _alembic.inherited_secrets(os.environ)
        if params["scratch_url"]:
            secrets |= _connection.secrets_of(_connection.parse_url(params["scratch_url"]))
        return cls(project, place, params, check, secrets, temporary, warn, say, accepted)

    def run(self) -> dict[str, Any]:
        """Do it; return the module's result."""
        with (
            contextlib.closing(_connection.connect(self.place, APPLICATION_NAME)) as connection,
            _alembic.queries(self.place),
        ):
            server = _connection.read_server(connection, self.place)
            connection.execute(_SESSION)
            if self.check:
                connection.execute(_READ_ONLY)
            else:
                _runner_lock.take(connection, self.place, _alembic.seconds_of(self.params["lock_wait"]))
                _runner_lock.end_orphans(connection, self.place, self.say)
            looked = self._look(connection)
            self.told = _told(looked)
            verdict = _alembic_state.decide(_alembic_info.facts_of(looked, self.project.directory))
            if verdict.state != self.told["state"]:
                return self._nothing_to_adopt(looked, verdict)
            self.say("legacy database detected")
            self._refuse_after_failure(connection, looked)
            case = self._case(connection, looked)
            best = self._proven(case)
            self.told |= {"changed": bool(self.repaired), "current": []}
            if not best.heads:
                self.say("before the first revision: migrate it")
            elif not self.check:
                self.told |= {"changed": True, "current": self._stamp(case, best, server)}
                best = self._verified(case, best)
            return {
                **self.told,
                **_evidence(best),
                "changed": bool(best.heads or self.repaired),
                "current": list(best.heads),
                "repaired": self.repaired,
                "diff": _difference(best, self.repaired),
            }

    # What is there

    def _look(self, connection: psycopg.Connection[Any]) -> _alembic_info.Looked:
        params = {**self.params, "revision": self.params["revision"] or ["heads"]}
        return _alembic_info.look(self.project, self.place, connection, params, self.temporary, self.warn)

    def _nothing_to_adopt(self, looked: _alembic_info.Looked, verdict: _alembic_state.Verdict) -> dict[str, Any]:
        """Return the result for a database that has a revision already, or no table of this project."""
        if verdict.state in ("diverged", "foreign"):
            self.warn(" ".join((*verdict.evidence, verdict.next_action)))
        if looked.current:
            self.say(f"stamped with revision {', '.join(looked.current)}")
        else:
            self.say("fresh database detected")
        return {**self.told, "state": verdict.state, "changed": False, "current": list(looked.current), "diff": {}}

    def _refuse_after_failure(self, connection: psycopg.Connection[Any], looked: _alembic_info.Looked) -> None:
        """Raise StewardError where a run of ours did not come to its end: what it left is no revision."""
        journal = _keeper.journal_of(connection, looked.answer)
        entries = journal.entries() if journal else {}
        broken = [str(entry) for entry in entries.values() if not entry.finished]
        if broken:
            raise StewardError(
                f"{broken[0]}: run alembic_upgrade again, which goes on from there; nothing is stamped after a failure"
            )

    def _case(self, connection: psycopg.Connection[Any], looked: _alembic_info.Looked) -> Case:
        """Return the history to compare with."""
        table = looked.answer.version_table or "alembic_version"
        source = _history.Source.of(
            connection, self.place, self.project, self.params, table, self.secrets, self.temporary
        )
        history = _history.whole(source, ["heads"])
        for note in history.notes:
            self.warn(note)
        self.told["history"] = {"states": len(history.steps), "cached": history.cached}
        return Case(connection, self.place, looked, history, table, tuple(self.accepted))

    # What it means

    def _proven(self, case: Case) -> Candidate:
        """Return the one state that the database is in, after a repair where that is asked for; raises StewardError with the evidence."""
        named = case.looked.answer.targets if self.params["revision"] else ()
        if named and case.history.at(named) is None:
            raise StewardError(f"the history does not pass through {', '.join(named)} alone: name one that it does")
        found = case.read()
        if found.unseen:
            unseen = ", ".join(f"{item} {attribute}".removesuffix(" *") for item, attribute in found.unseen)
            self.warn(f"the account could not see, so this was not judged: {unseen}")
        compared = case.compared(found)
        choice = _adoption.choose(compared, named, baseline=bool(self.params["scratch_baseline"]))
        several = len(choice.nearest) > 1
        self.told |= {
            "candidates": [item.as_return() for item in sorted(compared, key=lambda item: item.nearness)],
            "ties": [list(item.heads) for item in choice.nearest] if several else [],
        }
        if choice.best is None:
            evidence = _evidence(choice.nearest[0]) if choice.nearest else {}
            raise StewardError(_adoption.summary(self._name, choice, False), **self.told, **evidence)
        return self._mended(case, choice, choice.best) if choice.best.blocking else choice.best

    @property
    def _name(self) -> str:
        return f"database {self.place.database}"

    def _mended(self, case: Case, choice: Choice, best: Candidate) -> Candidate:
        """Return the state after a repair; raises StewardError where none is wanted, or none is possible."""
        steps = _repair.plan([item.drift for item in best.blocking], best.step.objects, best.found)
        wanted = self.params["repair"] == ADDITIVE
        if not wanted or steps.left:
            message = _adoption.summary(self._name, choice, not steps.left)
            if wanted:
                drift, reason = steps.left[0]
                message += f"; repair: additive changed nothing, as it cannot mend {drift.object}: {reason}"
            raise StewardError(message, **self.told, **_evidence(best))
        if self.check:
            self.repaired += steps.statements
            return best

        def blocking(objects: Objects) -> list[Drift]:
            return [item.drift for item in case.judged(best, objects).blocking]

        repair = _repair.Repair(
            case.connection,
            self.place,
            best.step.objects,
            lambda: case.read().objects,
            blocking,
            self.say,
            self.params["lock_timeout"],
            self.repaired,
        )
        try:
            repair.run()
        except StewardError as error:
            facts = {**self.told, **_evidence(case.judged(best, case.read().objects)), "repaired": self.repaired}
            raise StewardError(f"{error}; nothing is stamped", **facts, changed=bool(self.repaired)) from None
        return case.judged(best, case.read().objects)

    # The stamp

    def _stamp(self, case: Case, best: Candidate, server: _connection.Server) -> list[str]:
        """Write the revision through env.py, as the application would; return what the database says afterwards."""
        files = _alembic.find_config(self.project.directory, self.project.config, self.project.section)
        params = {**self.params, "revision": list(best.heads)}
        request = _alembic.build_request(self.project, files, self.place, params, False, server)
        request |= {"action": "stamp", "expected": []}
        request["session"]["application_name"] = _runner_lock.MARKER
        python = _alembic.find_python(self.project.python)
        with contextlib.closing(_runner_process.Runner(self.project, python, self.temporary)) as runner:
            ended = runner.ask(request, self.secrets)
        current = _alembic.heads_now(case.connection, self.place, case.looked.answer)
        if not ended.answer.finished or current != sorted(best.heads):
            message = _revisions.failure_message(ended.answer, current, ended.how, ())
            self.told |= {"current": current, "output": ended.output, "repaired": self.repaired}
            raise StewardError(
                f"revision {best.named()} is proven, but the stamp failed: {message}",
                **self.told,
                **_evidence(best),
            )
        self.say(f"stamped with revision {', '.join(current)}")
        return current

    def _verified(self, case: Case, best: Candidate) -> Candidate:
        """Return the state as it is after the stamp; raises StewardError when the schema changed while we worked."""
        now = case.judged(best, case.read().objects)
        if now.blocking:
            raise StewardError(
                f"{self._name} is stamped with {best.named()}, and somebody changed its schema meanwhile:"
                f" {now.blocking[0].drift.object} differs now: look with schema_verify and truth: history, and mend that",
                **self.told,
                **_evidence(now),
            )
        return now


@dataclass(frozen=True)
class Case:
    """A database without a revision, and the history that may have made it."""

    connection: psycopg.Connection[Any]
    place: Place
    looked: _alembic_info.Looked
    history: _history.History
    version_table: str
    accepted: tuple[_verify.Accepted, ...]

    def read(self) -> _snapshot.Snapshot:
        """Return the catalog as it is now, without the version table."""
        found = _catalog.read(self.connection, self.place, _history.SCOPE).snapshot
        return replace(found, objects=_snapshot.without_table(found.objects, self.version_table))

    def compared(self, found: _snapshot.Snapshot) -> list[Candidate]:
        """Return all states of the history, with what a catalog differs in from each."""
        compared = _adoption.candidates(self.history.steps, found.objects, found.unseen)
        return [self._without_accepted(item) for item in compared]

    def judged(self, candidate: Candidate, objects: Objects) -> Candidate:
        """Return a candidate as it stands to another catalog."""
        compared = _adoption.candidates(self.history.steps, objects)
        return next(self._without_accepted(item) for item in compared if item.heads == candidate.heads)

    def _without_accepted(self, candidate: Candidate) -> Candidate:
        if not self.accepted:
            return candidate
        kept = [item for item in candidate.differences if not any(one.fits(item.drift) for one in self.accepted)]
        return replace(candidate, differences=tuple(kept))


def _told(looked: _alembic_info.Looked) -> dict[str, Any]:
    """Return what every result has."""
    answer = looked.answer
    return {
        "state": "legacy",
        "heads": list(answer.heads),
        "version_table": answer.version_table,
        "version_table_schema": answer.version_table_schema,
        "versions": dict(answer.versions or {}),
        "output": list(looked.output),
    }


def _evidence(candidate: Candidate) -> dict[str, Any]:
    """Return the best candidate with each difference, as a module returns it."""
    return {
        "revision": list(candidate.heads),
        "distance": candidate.distance,
        "proven": not candidate.blocking,
        "drift": [
            {
                "object": item.drift.object,
                "attribute": item.drift.attribute,
                "kind": item.kind,
                "expected": item.drift.expected,
                "found": item.drift.found,
                "severity": item.severity,
                "blocks": item.blocks,
                "remedy": _remedies.remedy(item.drift, candidate.step.objects, candidate.found),
            }
            for item in candidate.differences
        ],
    }


def _difference(best: Candidate, repaired: Sequence[str]) -> dict[str, str]:
    """Return the plan as Ansible shows a difference."""
    lines = [f"revision: {', '.join(best.heads) or 'none'}", *(f"repaired: {text};" for text in repaired)]
    return {
        "before_header": "database",
        "after_header": "database",
        "before": "revision: none\n",
        "after": "\n".join(lines) + "\n",
    }
