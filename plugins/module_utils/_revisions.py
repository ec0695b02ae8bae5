# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the runner's answer means: plan, state, difference and failure, as pure functions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import closure


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
    """A revision that was applied, and the seconds until its commit."""

    revision: Revision
    seconds: float

    def as_return(self) -> dict[str, Any]:
        """Return the revision and its seconds as a module returns them."""
        return {"revision": self.revision.revision, "seconds": self.seconds, "message": self.revision.message}


@dataclass(frozen=True)
class Failure:
    """Why the runner stopped. ours: it was the runner that stopped, not the application's code."""

    text: str
    where: str
    ours: bool


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
    ahead: bool = False
    external: bool = False
    finished: bool = False
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    version_table: str | None = None
    version_table_schema: str | None = None
    search_path: tuple[str, ...] = ()
    target_metadata: bool = False
    versions: Mapping[str, str] | None = None


def read_answer(text: str) -> Answer:
    """Return the answer that lines of JSON hold; a last line cut short by a killed runner is left out."""
    facts: dict[str, Any] = {}
    applied: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            fact = json.loads(line)
        except ValueError:
            break
        if "applied" in fact:
            applied.append(fact["applied"])
            fact = {"running": None}
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
        pending=tuple(revision(name) for name in facts.get("pending", ())),
        applied=tuple(Applied(revision(item["revision"]), item["seconds"]) for item in applied),
        running=revision(facts["running"]) if facts.get("running") else None,
        failure=Failure(error["text"], error["where"], facts["ours"]) if error else None,
    )


def state_of(answer: Answer, has_tables: bool) -> str:
    """Return the state of the database before the run: fresh, legacy, behind, ahead or managed."""
    if not answer.current:
        return "legacy" if has_tables else "fresh"
    if answer.pending:
        return "behind"
    return "ahead" if answer.ahead else "managed"


def lasting(answer: Answer, current: Iterable[str]) -> list[Applied]:
    """Return the applied revisions that the database still knows: a rollback by env.py takes back what was reported."""
    known = closure(answer.graph or {}, current)
    return [item for item in answer.applied if item.revision.revision in known]


def reached(answer: Answer, current: Collection[str]) -> bool:
    """Say whether a database at the revisions current holds everything that was aimed at."""
    graph = answer.graph or {}
    return all(revision in graph for revision in current) and set(answer.targets) <= closure(graph, current)


def after_heads(answer: Answer) -> list[str]:
    """Return the revisions that the plan leads to: the current ones and the pending, without those below others."""
    graph = answer.graph or {}
    names = {*answer.current, *(item.revision for item in answer.pending)}
    below = closure(graph, (parent for name in names if name in graph for parent in graph[name]["down"]))
    return sorted(names - below)


def difference(answer: Answer) -> dict[str, str]:
    """Return the plan as Ansible shows a difference: revision before and after, and what leads there."""

    def text(revisions: Iterable[str], pending: Iterable[Revision]) -> str:
        lines = [f"revision: {', '.join(revisions) or 'none'}"]
        lines += [f"applied: {item}" for item in pending]
        return "\n".join(lines) + "\n"

    return {
        "before_header": "database",
        "after_header": "database",
        "before": text(answer.current, ()),
        "after": text(after_heads(answer), answer.pending),
    }


def failure_message(answer: Answer, current: Collection[str], ended: str, applied: Collection[Applied]) -> str:
    """Return the one line about a run that failed: what, why, what lasts, where the database is now, what to do next.

    current: the revisions read from the database after the run. ended: how the process ended, when it gave no answer.
    """
    failure = answer.failure
    reason = failure.text if failure else ended
    if failure and failure.where:
        reason += f" ({failure.where})"
    if answer.running is None:
        if failure and failure.ours:
            return reason
        return f"env.py failed: {reason}" + _env_remedy(reason) + _standing(answer, current, applied)
    remedy = f"mend {answer.running.path} and run again"
    if "AssertionError" in reason and answer.external:
        remedy = "let env.py connect without beginning a transaction (autocommit_block needs that), and run again"
    return f"revision {answer.running} failed: {reason}" + _standing(answer, current, applied) + f"; {remedy}"


def _env_remedy(reason: str) -> str:
    if reason.startswith("ModuleNotFoundError"):
        return ": install it in that interpreter, or name its directory by environment PYTHONPATH or prepend_sys_path"
    return ""


def _standing(answer: Answer, current: Collection[str], applied: Collection[Applied]) -> str:
    """Return what lasts and where the database is, once the run had a plan."""
    if answer.graph is None:
        return ""
    done = ", ".join(item.revision.revision for item in applied) or "nothing"
    return f"; applied before: {done}; the database is at {', '.join(sorted(current)) or 'no revision'}"


def unreached_message(answer: Answer, current: Collection[str]) -> str:
    """Return the one line about a run that ended well and yet left the database short of the target."""
    cause = "nothing was committed" if set(current) == set(answer.current) else "not everything was committed"
    if answer.external:
        cause += ", because env.py had a transaction open before context.configure: commit that first"
    found = ", ".join(sorted(current)) or "no revision"
    return (
        f"env.py ended without an error, but the database is at {found} instead of {', '.join(answer.targets)}: {cause}"
    )
