# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the runner's answer means: plan, state, difference and failure, as pure functions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import closure

LOCK_NOT_AVAILABLE = "55P03"  # sqlstate
INSUFFICIENT_PRIVILEGE = "42501"
RIGHTS = "run it as an account that may do this, such as the owner of the schema"


@dataclass(frozen=True)
class Revision:
    """One file of the project. path is relative to the project."""

    revision: str
    message: str
    path: str

    def __str__(self) -> str:
        return f"{self.revision} ({self.message})" if self.message else self.revision

    def as_return(self) -> dict[str, str]:
        """Return the revision as a module returns it."""
        return {"revision": self.revision, "message": self.message, "path": self.path}


@dataclass(frozen=True)
class Applied:
    """A revision that was applied, or on the way back taken back, and the seconds until its commit."""

    revision: Revision
    seconds: float

    def as_return(self) -> dict[str, Any]:
        """Return the revision and its seconds as a module returns them."""
        return {"revision": self.revision.revision, "seconds": self.seconds, "message": self.revision.message}


@dataclass(frozen=True)
class Failure:
    """Why the runner stopped. ours: it was the runner that stopped, not the application's code. sqlstate: the server's code."""

    text: str
    where: str
    ours: bool
    sqlstate: str | None = None


@dataclass(frozen=True)
class Answer:
    """All that the runner told. Fields are empty or None where the run did not come that far."""

    current: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    pending: tuple[Revision, ...] = ()
    applied: tuple[Applied, ...] = ()
    graph: Mapping[str, Mapping[str, Any]] | None = None
    running: Revision | None = None
    autocommit: bool = False  # the running revision, or the last one, did something outside of its transaction
    sql: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # revision -> statements that it ran
    ahead: bool = False
    external: bool = False
    finished: bool = False
    one_way: tuple[Revision, ...] = ()  # of the pending on a way back, those that have none
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    version_table: str | None = None
    version_table_schema: str | None = None
    search_path: tuple[str, ...] = ()
    target_metadata: bool = False
    versions: Mapping[str, str] | None = None


def read_answer(text: str) -> Answer:
    """Return the answer that lines of JSON hold; a last line cut short by a killed runner is left out."""
    told: list[Mapping[str, Any]] = []
    for line in text.splitlines():
        try:
            told.append(json.loads(line))
        except ValueError:
            break
    return answer_of(told)


def answer_of(told: Iterable[Mapping[str, Any]]) -> Answer:
    """Return the answer that the runner has given so far."""
    facts: dict[str, Any] = {}
    applied: list[dict[str, Any]] = []
    sql: dict[str, tuple[str, ...]] = {}
    for fact in told:
        if "applied" in fact:
            applied.append(fact["applied"])
            fact = {"running": None}
        if "sql" in fact:
            sql[fact["sql"]["revision"]] = tuple(fact["sql"]["statements"])
        facts.update(fact)
    graph = facts.get("graph", {})

    def revision(name: str) -> Revision:
        return Revision(name, graph[name]["message"], graph[name]["path"])

    error = facts.get("error")
    lists: dict[str, Any] = {
        key: tuple(facts.get(key, ())) for key in ("current", "heads", "targets", "notes", "search_path")
    }
    plain: dict[str, Any] = {
        key: facts[key]
        for key in (
            "ahead",
            "autocommit",
            "external",
            "finished",
            "graph",
            "target_metadata",
            "version_table",
            "version_table_schema",
            "versions",
        )
        if key in facts
    }
    return Answer(
        **lists,
        **plain,
        sql=sql,
        pending=tuple(revision(name) for name in facts.get("pending", ())),
        applied=tuple(Applied(revision(item["revision"]), item["seconds"]) for item in applied),
        one_way=tuple(revision(name) for name in facts.get("one_way", ())),
        running=revision(facts["running"]) if facts.get("running") else None,
        failure=Failure(error["text"], error["where"], facts["ours"], error.get("sqlstate")) if error else None,
    )


def continued(earlier: Answer | None, later: Answer) -> Answer:
    """Return what two tries say together: the plan of the first that had one, and the ending of the later."""
    if earlier is None or earlier.graph is None:
        return later
    return replace(
        later if later.graph is not None else earlier,
        current=earlier.current,
        targets=earlier.targets,
        pending=earlier.pending,
        ahead=earlier.ahead,
        applied=earlier.applied + later.applied,
        sql={**earlier.sql, **later.sql},
        running=later.running,
        autocommit=later.autocommit,
        finished=later.finished,
        failure=later.failure,
    )


def locked_out(answer: Answer) -> bool:
    """Say whether all that failed is that a lock was not to be had in time, so that the same can be tried again.

    Not where a revision did something outside of its transaction, which a second try would do again.
    """
    failure = answer.failure
    return failure is not None and failure.sqlstate == LOCK_NOT_AVAILABLE and not answer.autocommit


def state_of(answer: Answer, has_tables: bool) -> str:
    """Return the state of the database before the run: fresh, legacy, behind, ahead or managed."""
    if not answer.current:
        return "legacy" if has_tables else "fresh"
    if answer.pending:
        return "behind"
    return "ahead" if answer.ahead else "managed"


def standing_of(answer: Answer, has_tables: bool) -> str:
    """Return the state of the database against the newest revisions, whatever was asked.

    fresh, legacy, behind, managed, or diverged where it is at a revision that no file has.
    """
    graph = answer.graph or {}
    if not answer.current:
        return "legacy" if has_tables else "fresh"
    if not set(answer.current) <= set(graph):
        return "diverged"
    return "managed" if set(answer.heads) <= closure(graph, answer.current) else "behind"


def home_schema(answer: Answer) -> str | None:
    """Return the schema in which alembic would make the version table; None where there is none to make it in."""
    return answer.version_table_schema or next(iter(answer.search_path), None)


def lasting(answer: Answer, current: Iterable[str]) -> list[Applied]:
    """Return the applied revisions that the database still knows: a rollback by env.py takes back what was reported."""
    known = closure(answer.graph or {}, current)
    return [item for item in answer.applied if item.revision.revision in known]


def taken_back(answer: Answer, current: Iterable[str]) -> list[Applied]:
    """Return the revisions that were taken back, and that the database does not know again since."""
    known = closure(answer.graph or {}, current)
    return [item for item in answer.applied if item.revision.revision not in known]


def reached(answer: Answer, current: Collection[str]) -> bool:
    """Say whether a database at the revisions current holds everything that was aimed at."""
    graph = answer.graph or {}
    return all(revision in graph for revision in current) and set(answer.targets) <= closure(graph, current)


def exactly_at(answer: Answer, current: Collection[str]) -> bool:
    """Say whether a database at the revisions current holds what was aimed at, and nothing else."""
    graph = answer.graph or {}
    return all(revision in graph for revision in current) and closure(graph, answer.targets) == closure(graph, current)


def after_heads(answer: Answer) -> list[str]:
    """Return the revisions that the plan leads to: the current ones and the pending, without those below others."""
    graph = answer.graph or {}
    names = {*answer.current, *(item.revision for item in answer.pending)}
    below = closure(graph, (parent for name in names if name in graph for parent in graph[name]["down"]))
    return sorted(names - below)


def difference(answer: Answer, sql: Mapping[str, Sequence[str]], *, back: bool = False) -> dict[str, str]:
    """Return the plan as Ansible shows a difference: revision before and after, and what leads there.

    sql: the statements of each pending revision, as far as they are known. back: they are taken back.
    """
    word = "taken back" if back else "applied"

    def text(revisions: Iterable[str], pending: Iterable[Revision]) -> str:
        lines = [f"revision: {', '.join(revisions) or 'none'}"]
        for item in pending:
            lines.append(f"{word}: {item}")
            lines += [f"    {line}" for statement in sql.get(item.revision, ()) for line in _ended(statement)]
        return "\n".join(lines) + "\n"

    return {
        "before_header": "database",
        "after_header": "database",
        "before": text(answer.current, ()),
        "after": text(answer.targets if back else after_heads(answer), answer.pending),
    }


def _ended(statement: str) -> list[str]:
    lines = statement.splitlines()
    comment = lines and lines[-1].startswith("--")
    return lines if comment or not lines else [*lines[:-1], lines[-1].rstrip().rstrip(";") + ";"]


def failure_message(
    answer: Answer,
    current: Collection[str],
    ended: str,
    applied: Collection[Applied],
    *,
    circumstances: str = "",
    first: str = "",
    back: bool = False,
) -> str:
    """Return the one line about a run that failed: what, why, what lasts, where the database is now, what to do next.

    current: the revisions read from the database after the run. ended: how the process ended, when it gave no answer.
    circumstances: more about the why. first: what to do before the rest. back: revisions were to be taken back.
    """
    failure = answer.failure
    standing = _standing(answer, current, applied, "taken back" if back else "applied")
    reason = failure.text if failure else ended
    if failure and failure.where:
        reason += f" ({failure.where})"
    if circumstances:
        reason += f", {circumstances}"
    if answer.running is None:
        if failure and failure.ours:
            return reason
        return f"env.py failed: {reason}" + _env_remedy(reason) + standing
    remedy = f"mend {answer.running.path} and run again"
    if "AssertionError" in reason and answer.external:
        remedy = "let env.py connect without beginning a transaction (autocommit_block needs that), and run again"
    elif failure and failure.sqlstate == LOCK_NOT_AVAILABLE:
        remedy = "end what blocks, or raise lock_timeout or lock_retry, and run again"
    elif failure and failure.sqlstate == INSUFFICIENT_PRIVILEGE:
        remedy = RIGHTS
    if first:
        remedy = f"{first}, then {remedy}"
    failed = "failed on the way back" if back else "failed"
    return f"revision {answer.running} {failed}: {reason}{standing}; {remedy}"


def _env_remedy(reason: str) -> str:
    if reason.startswith("ModuleNotFoundError"):
        return ": install it in that interpreter, or name its directory by environment PYTHONPATH or prepend_sys_path"
    if "InsufficientPrivilege" in reason.partition(":")[0]:
        return f": {RIGHTS}"
    return ""


def _standing(answer: Answer, current: Collection[str], applied: Collection[Applied], word: str) -> str:
    """Return what lasts and where the database is, once the run had a plan."""
    if answer.graph is None:
        return ""
    done = ", ".join(item.revision.revision for item in applied) or "nothing"
    return f"; {word} before: {done}; the database is at {', '.join(sorted(current)) or 'no revision'}"


def unreached_message(answer: Answer, current: Collection[str]) -> str:
    """Return the one line about a run that ended well and yet left the database short of the target."""
    cause = "nothing was committed" if set(current) == set(answer.current) else "not everything was committed"
    if answer.external:
        cause += ", because env.py had a transaction open before context.configure: commit that first"
    found, wanted = (", ".join(revisions) or "no revision" for revisions in (sorted(current), answer.targets))
    return f"env.py ended without an error, but the database is at {found} instead of {wanted}: {cause}"
