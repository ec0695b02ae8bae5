# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What alembic_validate does: look at the files, walk the staircase, lint what is pending, judge. Nothing live is written."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _connection,
    _lint,
    _revision_files,
    _revisions,
    _runner_process,
    _stage,
    _staircase,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._revision_files import (
    BREAKING,
    ERROR,
    SEVERITIES,
    WARNING,
    File,
    Finding,
    Revision,
    Source,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "pgsteward alembic_validate"
LOCK_TIMEOUT = "3s"  # a look must not queue behind the locks of a migration, and others behind the look
NEVER = "never"
SHOWN = 3  # findings named in the one line of an error
DONE = "done"
_LINT_OFF = "not done: lint is false"
_NO_DATABASE = "not done: no database is named (url, login_db, or DATABASE_URL or POSTGRES_DB in environment)"

IGNORE_OPTIONS: dict[str, dict[str, Any]] = {
    "check": {"type": "str", "required": True},
    "revision": {"type": "str", "default": "*"},
    "reason": {"type": "str", "required": True},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    **_alembic.ARGUMENTS,
    **_stage.ARGUMENTS,
    "revision": {"type": "list", "elements": "str", "default": ["heads"]},
    "staircase": {"type": "bool", "default": True},
    "lint": {"type": "bool", "default": True},
    "squawk": {"type": "path"},
    "ignore": {"type": "list", "elements": "dict", "default": [], "options": IGNORE_OPTIONS},
    "fail_on": {"type": "str", "choices": [ERROR, WARNING, NEVER], "default": ERROR},
}


# Pure: from findings to a judgement


@dataclass(frozen=True)
class Ignored:
    """Findings that somebody decided to live with. check and revision may have * and ?."""

    check: str
    revision: str
    reason: str

    def fits(self, finding: Finding) -> bool:
        """Say whether this is about the finding."""
        return fnmatchcase(finding.check, self.check) and fnmatchcase(finding.revision or "", self.revision)


def ignored_of(items: Sequence[Mapping[str, Any]]) -> list[Ignored]:
    """Return what a module's option names; raises StewardError for an entry without a reason."""
    for index, item in enumerate(items):
        if not item["reason"].strip():
            raise StewardError(f"ignore[{index}].reason is empty: say why {item['check']} may be")
    return [Ignored(item["check"], item.get("revision") or "*", item["reason"]) for item in items]


@dataclass(frozen=True)
class Judgement:
    """The findings that stand, gravest first, those that are ignored with their reasons, and entries that fit nothing."""

    standing: tuple[Finding, ...]
    ignored: tuple[tuple[Finding, str], ...] = ()
    notes: tuple[str, ...] = ()

    def at_least(self, threshold: str) -> bool:
        """Say whether a finding is as grave as the threshold, or graver."""
        if threshold == NEVER:
            return False
        return any(SEVERITIES.index(item.severity) <= SEVERITIES.index(threshold) for item in self.standing)


def judge(findings: Sequence[Finding], ignored: Sequence[Ignored]) -> Judgement:
    """Return what stands and what does not."""
    found = sorted(findings, key=lambda item: SEVERITIES.index(item.severity))
    reasons = [(item, next((entry.reason for entry in ignored if entry.fits(item)), None)) for item in found]
    useless = [entry for entry in ignored if not any(entry.fits(item) for item in found)]
    return Judgement(
        tuple(item for item, reason in reasons if reason is None),
        tuple((item, reason) for item, reason in reasons if reason is not None),
        tuple(
            f"nothing is found any more that the entry {item.check} of ignore ({item.reason}) fits: take it off the list"
            for item in useless
        ),
    )


def summary(name: str, findings: Sequence[Finding]) -> str:
    """Return one line: how many findings of which severity, and the first of them."""
    counts = Counter(item.severity for item in findings)
    kinds = ", ".join(f"{counts[word]} {word}{'s' * (counts[word] > 1)}" for word in SEVERITIES if counts[word])
    first = "; ".join(f"{item.check}: {item.message}" for item in findings[:SHOWN])
    more = f"; and {len(findings) - SHOWN} more" if len(findings) > SHOWN else ""
    return f"{kinds} in the revisions of {name}: {first}{more}"


# One validation


def run_validate(module: Any) -> dict[str, Any]:
    """Do what an AnsibleModule asks for; return its result or raise StewardError."""
    if place_of(module.params):
        _alembic.settle_secrets(module)
    else:
        project = Project.from_params(module.params)
        module.no_log_values.difference_update(project.environment.values())
        module.no_log_values.update(project.secrets())
    return validate(module.params, module.tmpdir, module.warn)


def place_of(params: Mapping[str, Any]) -> Place | None:
    """Return the database that the options name; None when they name none."""
    environment = Project.from_params(params).environment
    named = [params.get("url"), environment.get("DATABASE_URL"), environment.get("POSTGRES_DB")]
    named += [params.get(name) for name in _connection.ARGUMENTS if name.startswith("login_")]
    return _alembic.place_from_params(params) if any(named) else None


def validate(params: Mapping[str, Any], temporary: str, warn: Callable[[str], None]) -> dict[str, Any]:
    """Return what there is to say about the revisions of a project. temporary: a private directory.

    Raises StewardError with the same in its facts when a finding is as grave as fail_on.
    """
    validation = Validation.prepared(params, temporary)
    ignored = ignored_of(params["ignore"])
    validation.run()
    for note in validation.notes:
        warn(note)
    judgement = judge(validation.findings, ignored)
    for note in judgement.notes:
        warn(note)
    result = {
        "changed": False,
        "valid": not judgement.at_least(ERROR),
        "findings": [item.as_return() for item in judgement.standing],
        "ignored": [{**item.as_return(), "reason": reason} for item, reason in judgement.ignored],
        **validation.as_return(),
    }
    if judgement.at_least(params["fail_on"]):
        raise StewardError(summary(validation.name, judgement.standing), **result)
    return result


@dataclass(frozen=True)
class Look:
    """What the runner said of the files, beside its answer."""

    answer: Answer
    output: Sequence[str]
    files: Sequence[File]
    broken: str
    length: int | None
    unknown: Sequence[str]
    unresolved: str


@dataclass
class Validation:
    """One validation; run() fills what is found."""

    project: Project
    files: _alembic.ConfigFiles
    place: Place | None
    params: Mapping[str, Any]
    secrets: frozenset[str]
    temporary: str
    python: str
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)
    walk: _staircase.Walk = field(default_factory=_staircase.Walk)
    walked: bool = False
    sql_method: str | None = None
    look: Look | None = None
    broken: bool = False

    @classmethod
    def prepared(cls, params: Mapping[str, Any], temporary: str) -> Validation:
        """Return the validation that a module's options describe; raises StewardError for what can be seen without running it."""
        project, place = Project.from_params(params), place_of(params)
        files = _alembic.find_config(project.directory, project.config, project.section)
        if not params["revision"]:
            raise StewardError("revision is empty: name one, or heads")
        secrets = project.secrets() | _alembic.inherited_secrets(os.environ)
        secrets |= _connection.secrets_of(place) if place else frozenset()
        if params.get("scratch_url"):
            secrets |= _connection.secrets_of(_connection.parse_url(params["scratch_url"]))
        return cls(project, files, place, params, secrets, temporary, _alembic.find_python(project.python))

    @property
    def name(self) -> str:
        """The project, for people."""
        return f"{self.project.directory} [{self.project.section}]"

    def run(self) -> None:
        """Look, walk, lint."""
        if self.place is None:
            self._check_files(self._looked(None))
            self.checks |= dict.fromkeys(("staircase", "destructive", "lint"), _NO_DATABASE)
            return
        with (
            contextlib.closing(_connection.connect(self.place, APPLICATION_NAME)) as connection,
            _alembic.queries(self.place),
        ):
            look = self._looked(connection)
            revisions = self._check_files(look)
            self._climb(connection, look, revisions)
            self._judge_pending(connection, look, revisions)

    # The files

    def _looked(self, connection: psycopg.Connection[Any] | None) -> Look:
        """Return what the runner sees; raises StewardError when env.py does not let it."""
        request, watch = self._request(connection), _Facts()
        ended = self._ask({**request, "action": "validate" if connection else "validate_files"}, watch)
        answer, facts = ended.answer, watch.facts
        if not answer.finished:
            message = _revisions.failure_message(replace(answer, graph=None), (), ended.how, ())
            if "files" not in facts or (answer.failure and answer.failure.ours):
                raise StewardError(message, versions=dict(answer.versions or {}), output=ended.output)
            self.notes.append(f"after everything was read, {message}")
        if facts.get("env_failed"):
            reason = _connection.mask(facts["env_failed"], self.secrets)
            self.notes.append(
                f"env.py does not run without a database, so only the config says where the files are: {reason}"
            )
        length = facts.get("version_length", 32)
        if connection:
            length = live_length(connection, answer, length)
        masked = {key: _connection.mask(facts.get(key) or "", self.secrets) for key in ("broken", "unresolved")}
        files = [self._file(item) for item in facts["files"]]
        self.look = Look(answer, ended.output, files, length=length, unknown=facts.get("unknown", ()), **masked)
        return self.look

    def _file(self, facts: Mapping[str, Any]) -> File:
        error = _connection.mask(facts.get("error") or "", self.secrets)
        return File.of({**facts, "error": error}, self._text(facts["path"]))

    def _text(self, path: str) -> str:
        try:
            return Path(self.project.directory, path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _check_files(self, look: Look) -> dict[str, Revision]:
        """Add what the files say; return the revisions, oldest first where their graph is whole."""
        found = _revision_files.graph_findings(look.files, look.broken, look.length)
        found += [
            Finding(
                "unknown_revision", ERROR, f"the database is at revision {name}, and no file of this project has it",
                "bring the missing file back, or use the project that made this database", name,
            )
            for name in look.unknown
        ]  # fmt: skip
        self.checks["graph"] = DONE
        self.broken = any(item.check in BREAKING for item in found)
        if not self.broken:
            self.notes += look.answer.notes
        if look.unresolved and not any(item.check == "several_heads" for item in found):
            raise StewardError(look.unresolved)
        revisions = [Revision(file, Source.parse(self._text(file.path))) for file in look.files]
        order = {name: index for index, name in enumerate(look.answer.graph or {})}
        revisions.sort(key=lambda item: order.get(item.name, len(order)))
        found += [finding for revision in revisions for finding in _revision_files.file_findings(revision)]
        if not self.broken:
            found += _revision_files.created_twice(revisions)
        unread = [item.file.path for item in revisions if item.source is None and not item.file.error]
        newer = f"not done for {', '.join(unread)}: the module's interpreter is older than their Python"
        self.checks["files"] = newer if unread else DONE
        self.findings += found
        return {revision.name: revision for revision in revisions}

    # The staircase

    def _climb(self, connection: psycopg.Connection[Any], look: Look, revisions: Mapping[str, Revision]) -> None:
        """Walk, add what differs, and take back what the walk disproves."""
        reason = "the graph of the revisions is broken" if self.broken else look.unresolved
        if not self.params["staircase"]:
            reason = "staircase is false"
        elif not revisions:
            reason = "there are no revisions"
        if reason:
            self.checks["staircase"] = f"not done: {reason}"
            return
        one_way = frozenset(name for name, item in revisions.items() if item.empty or item.refusing)
        targets = look.answer.targets or tuple(self.params["revision"])
        try:
            self.walk = _staircase.walk(
                self.project,
                self._live(connection),
                self.params,
                self.secrets,
                self.temporary,
                _staircase.Course(targets, one_way),
            )
        except StewardError as error:
            self.checks["staircase"] = f"not done: {error}"
            self.findings.append(
                Finding(
                    "staircase_missing",
                    WARNING,
                    f"the staircase was not walked: {error}",
                    "choose another scratch, or set staircase to false",
                )
            )
            return
        self.walked = True
        self.notes += self.walk.notes
        self.findings = _revision_files.settled(self.findings, _staircase.taken(self.walk.climbs))
        self.findings += _staircase.findings_of(self.walk.climbs, revisions)
        unwalked = self.walk.unwalked
        self.checks["staircase"] = (
            f"not done for {', '.join(unwalked)}, which come after one that failed" if unwalked else DONE
        )

    def _live(self, connection: psycopg.Connection[Any]) -> Any:
        from ansible_collections.pgsteward.postgres.plugins.module_utils import _scratch

        assert self.place is not None  # noqa: S101
        return _scratch.read_live(connection, self.place)

    # The lint

    def _judge_pending(
        self, connection: psycopg.Connection[Any], look: Look, revisions: Mapping[str, Revision]
    ) -> None:
        """Look at the statements of what is pending: what they destroy, and what squawk says of them."""
        reason = "the graph of the revisions is broken" if self.broken else look.unresolved
        if look.unknown:
            reason = "what is pending cannot be told"
        pending = [item.revision for item in look.answer.pending]
        if reason or not pending:
            told = f"not done: {reason}" if reason else f"{DONE}: nothing is pending"
            self.checks |= {"destructive": told, "lint": told if self.params["lint"] else _LINT_OFF}
            return
        try:
            scripts = self._scripts(connection, look, revisions, pending)
        except StewardError as error:
            self._not_seen(str(error))
            return
        sizes = _lint.read_sizes(connection, _lint.names_in(scripts), look.answer.search_path)
        self.findings += _lint.losses(scripts, sizes, revisions)
        self.checks["destructive"] = DONE
        self._lint_scripts(connection, scripts, sizes, revisions)

    def _not_seen(self, reason: str) -> None:
        self.checks |= {"destructive": f"not done: {reason}", "lint": f"not done: {reason}"}
        self.findings.append(
            Finding(
                "lint_missing", WARNING, f"the statements of pending revisions were not looked at: {reason}",
                "mend that, or look through the files by eye",
            )
        )  # fmt: skip

    def _lint_scripts(
        self,
        connection: psycopg.Connection[Any],
        scripts: Sequence[_lint.Script],
        sizes: _lint.Sizes,
        revisions: Mapping[str, Revision],
    ) -> None:
        """Let squawk read the statements, and add what it says."""
        if not self.params["lint"]:
            self.checks["lint"] = _LINT_OFF
            return
        squawk = _lint.find_squawk(self.params.get("squawk"), self.python)
        if squawk is None:
            self.checks["lint"] = "not done: squawk is not there"
            self.findings.append(
                Finding(
                    "squawk_missing", WARNING, "there is no squawk, so the statements of pending revisions are not linted",
                    "install squawk-cli into the virtualenv of the project, or name it by squawk, or set lint to false",
                )
            )  # fmt: skip
            return
        major = connection.info.server_version // 10000
        try:
            hits = _lint.ask(squawk, scripts, major, self.project.directory, self.temporary)
        except StewardError as error:
            self.checks["lint"] = f"not done: {error}"
            self.findings.append(
                Finding(
                    "lint_missing",
                    WARNING,
                    f"pending revisions are not linted: {error}",
                    "mend that, or set lint to false",
                )
            )
            return
        self.findings += _lint.weighed(hits, scripts, sizes, revisions)
        self.checks["lint"] = DONE

    def _scripts(
        self, connection: psycopg.Connection[Any], look: Look, revisions: Mapping[str, Revision], pending: Sequence[str]
    ) -> list[_lint.Script]:
        """Return the statements of what is pending by the first way that works; raises StewardError when none does."""
        request = {
            **self._request(connection),
            "action": "render",
            "pending": list(pending),
            "current": list(look.answer.current),
        }
        ended = self._ask(request)
        self.sql_method, sql = "offline", ended.answer.sql
        if not ended.answer.finished or not set(pending) <= set(sql):
            failure = ended.answer.failure
            offline = failure.text if failure else ended.how or "not every revision was rendered"
            self.sql_method, sql = "replay", self.walk.sql
            if not self.walked:
                sql = self._replayed(connection, look, revisions, offline)
            if not set(pending) <= set(sql):
                self.sql_method = None
                raise StewardError(f"offline rendering failed ({offline}), and the staircase did not come so far")
        return [_lint.Script(name, sql[name]) for name in pending]

    def _replayed(
        self, connection: psycopg.Connection[Any], look: Look, revisions: Mapping[str, Revision], offline: str
    ) -> Mapping[str, tuple[str, ...]]:
        course = _staircase.Course(look.answer.targets, frozenset(revisions))
        try:
            walk = _staircase.replay(
                self.project, self._live(connection), self.params, self.secrets, self.temporary, course
            )
        except StewardError as error:
            self.sql_method = None
            raise StewardError(f"offline rendering failed ({offline}), and so did a replay ({error})") from None
        self.notes += walk.notes
        return walk.sql

    # The runner

    def _request(self, connection: psycopg.Connection[Any] | None) -> dict[str, Any]:
        if connection is None or self.place is None:
            nowhere = Place("none", "nowhere.invalid")  # where an env.py that connects all the same gets nowhere
            request = _alembic.build_request(
                self.project, self.files, nowhere, self.params, True, _connection.Server("", "")
            )
            return {**request, "current": []}
        server = _connection.read_server(connection, self.place)
        request = _alembic.build_request(self.project, self.files, self.place, self.params, True, server)
        return {**request, "lock_timeout": LOCK_TIMEOUT}

    def _ask(self, request: Mapping[str, Any], watch: _Facts | None = None) -> _runner_process.Ended:
        with contextlib.closing(_runner_process.Runner(self.project, self.python, self.temporary)) as runner:
            return runner.ask(request, self.secrets, watch)

    def as_return(self) -> dict[str, Any]:
        """Return what the module returns beside the findings."""
        assert self.look is not None  # noqa: S101
        answer = self.look.answer
        return {
            "staircase": [climb.as_return() for climb in self.walk.climbs],
            "heads": list(answer.heads) or _revision_files.heads_of(self.look.files),
            "revisions": len({file.revision or file.path for file in self.look.files}),
            "current": list(answer.current),
            "pending": [item.as_return() for item in answer.pending],
            "sql_method": self.sql_method,
            "checks": self.checks,
            "versions": dict(answer.versions or {}),
            "output": [*self.look.output, *self.walk.output],
        }


class _Facts:
    """Keeps what the runner reports."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def fact(self, fact: Mapping[str, Any]) -> None:
        """Take what the runner reports."""
        self.facts.update(fact)

    def tick(self) -> None:
        """Nothing is to be done while the runner works."""


def live_length(connection: psycopg.Connection[Any], answer: Answer, made: int | None) -> int | None:
    """Return how long an id the version table takes; made: where there is none yet, the one that env.py would make."""
    schema = _alembic.version_schema(connection, answer)
    if schema is None:
        return made
    row = connection.execute(
        "SELECT CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4 THEN a.atttypmod - 4 END"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attname = 'version_num'",
        [schema, answer.version_table],
    ).fetchone()
    return row[0] if row else made
