# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Actions of the runner: the way back to a revision, and the rendering of what it would do."""

from __future__ import annotations

import ast
import dis
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ._alembic_runner import RELATIVE, RunnerError, closure, describe, match_target, maximal
from ._run_upgrade import Offline, Upgrade

if TYPE_CHECKING:
    from ._alembic_runner import Graph

_SHOWN = 5  # files in a sentence; all are reported
# What remains of a function that does nothing, whichever Python compiled it; and where the straight way through one ends.
_IDLE = frozenset({"CACHE", "LOAD_CONST", "LOAD_SMALL_INT", "NOP", "NOT_TAKEN", "POP_TOP", "RESUME"})
_TURNS = ("FOR_ITER", "JUMP", "POP_JUMP", "SETUP_", "STORE_", "YIELD")

EMPTY = "does nothing"


@dataclass
class Downgrade(Upgrade):
    """The run back to a revision. Request: revision beside the usual, and settled on a later try, the revisions to take back."""

    command: ClassVar[str] = "downgrade"

    def plan(self, context: Any) -> None:
        """Work out which revisions are to be taken back, and report all that is known before anything is written."""
        self.request["targets"] = []  # an upgrade to nothing looks at everything and plans nothing
        super().plan(context)
        have, settled = closure(self.graph, self.current), self.request.get("settled")
        if settled is None:
            self.pending = way_back(self.request["revision"], self.script, self.graph, self.current)
        else:
            self.pending = [revision for revision in settled if revision in have]
        self.report(targets=maximal(self.graph, have - set(self.pending)), pending=self.pending, ahead=False)
        self.refuse_one_way()

    def refuse_one_way(self) -> None:
        """Raise RunnerError when a revision has no way back: half of the way would be worse than none."""
        found = [(revision, one_way(self.script.get_revision(revision))) for revision in self.pending]
        without = [(revision, reason) for revision, reason in found if reason]
        if not without:
            return
        self.report(one_way=[revision for revision, _reason in without])
        shown = [
            f"revision {revision}, whose downgrade() {reason} ({self.graph[revision]['path']})"
            for revision, reason in without[:_SHOWN]
        ]
        more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
        raise RunnerError(
            f"there is no way back through {', '.join(shown)}{more}: write it there, or restore a backup instead;"
            " nothing was run"
        )

    def step_of(self, item: Any) -> Any:
        """Return alembic's step back from a revision."""
        return _step_back(self.script, item)


@dataclass
class OfflineDowngrade(Offline):
    """The run that renders the way back through given revisions and executes none of it."""

    command: ClassVar[str] = "downgrade"

    def step_of(self, item: Any) -> Any:
        """Return alembic's step back from a revision."""
        return _step_back(self.script, item)


def _step_back(script: Any, item: Any) -> Any:
    from alembic.runtime.migration import MigrationStep

    return MigrationStep.downgrade_from_script(script.revision_map, item)


# Which revisions are taken back


def way_back(target: str, script: Any, graph: Graph, current: Sequence[str]) -> list[str]:
    """Return the revisions above target that the database has, newest first, as alembic's downgrade takes them.

    Raises RunnerError where target means nothing, several, or no way back.
    """
    have = closure(graph, current)
    at = f"the database is at {', '.join(current) or 'no revision'}"
    relative = bool(RELATIVE.fullmatch(target)) and target not in graph
    labels = {label for entry in graph.values() for label in entry["labels"]}
    if target in ("head", "heads") or (relative and target.startswith("+")):
        raise RunnerError(f"revision {target!r} leads forward, and a downgrade only goes back: use alembic_upgrade")
    if relative and not current:
        raise RunnerError(f"revision {target!r} leads below base: {at}, so there is nothing to take back")
    if relative and target.startswith("-") and len(current) > 1:
        raise RunnerError(
            f"revision {target!r} is ambiguous, as {at}: name the revision to go back to, or a branch as in name@{target}"
        )
    branch, _at, _name = target.rpartition("@")
    if branch and branch not in labels | set(graph):  # alembic would take it for no branch at all, and go all the way
        raise RunnerError(f"the project has no branch {branch!r}: it has {', '.join(sorted(labels)) or 'none'}")
    destination = target
    if not (relative or "@" in target or target == "base" or target in labels):
        found = match_target(target, graph)
        if found is None:
            raise RunnerError(f"the project has no revision {target!r}; {at}")
        if found not in have:
            raise RunnerError(f"revision {found} is not below: {at}, and only alembic_upgrade leads to what it lacks")
        destination = found
    if not current:
        return []
    try:
        steps = script.revision_map.iterate_revisions(tuple(current), destination, select_for_downgrade=True)
        return [item.revision for item in steps]
    except Exception as error:
        if relative and _steps(target) < -len(have):
            raise RunnerError(
                f"revision {target!r} leads below base: {at}, {len(have)} above it: write base to take back everything"
            ) from error
        reason = describe(error)["text"]
        raise RunnerError(
            f"revision {target!r} is no way back: {at} ({reason}): name the revision to go back to"
        ) from error


def _steps(target: str) -> int:
    """Return the signed number at the end of a relative target."""
    return int(target[max(target.rfind("+"), target.rfind("-")) :])


# What a function does, told without running it


def one_way(item: Any) -> str | None:
    """Return why a revision cannot be taken back; None when it can, as far as the code of its file tells.

    A revision that does nothing on the way up, such as a merge, needs nothing on the way back.
    """
    if not hasattr(item.module, "downgrade"):
        return "is not there"
    reason = deed_of(item.module, "downgrade", item.path)
    return None if reason == EMPTY and deed_of(item.module, "upgrade", item.path) == EMPTY else reason


def deed_of(module: Any, name: str, path: str) -> str | None:
    """Return what a function of a revision's file is for nothing: EMPTY, or that it raises at once; None when it does anything."""
    defined = definition(path, name)
    if defined is not None:
        return deed_of_body(defined.body)
    function = inspect.unwrap(getattr(module, name))
    code = getattr(function, "__code__", None)
    return deed_of_code(dis.get_instructions(code)) if code else None


def definition(path: str, name: str) -> ast.FunctionDef | None:
    """Return the one plain definition of a function in a source file; None when it is not there, or comes about otherwise."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):  # compiled files only
        return None
    found = [item for item in tree.body if isinstance(item, ast.FunctionDef) and item.name == name]
    stores = [item for item in ast.walk(tree) if isinstance(item, ast.Name) and item.id == name]
    plain = len(found) == 1 and not found[0].decorator_list
    return found[0] if plain and not any(isinstance(item.ctx, ast.Store) for item in stores) else None


def deed_of_body(body: Sequence[ast.stmt]) -> str | None:
    """Return what the statements of a function are for nothing; see deed_of."""
    for statement in body:
        if isinstance(statement, ast.Raise):
            return f"raises {_raised(statement.exc)}"
        if isinstance(statement, ast.Return):
            return EMPTY if statement.value is None or isinstance(statement.value, ast.Constant) else None
        constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not (constant or isinstance(statement, ast.Pass)):
            return None
    return EMPTY


def _raised(expression: ast.expr | None) -> str:
    called = expression.func if isinstance(expression, ast.Call) else expression
    name = getattr(called, "attr", None) or getattr(called, "id", None)
    return str(name or "an error")


def deed_of_code(instructions: Iterable[dis.Instruction]) -> str | None:
    """Return what the compiled code of a function is for nothing; see deed_of."""
    idle = True
    loads: list[Any] = []
    for item in instructions:
        if item.opname == "RAISE_VARARGS":  # what follows is never reached
            return "raises NotImplementedError" if loads[:1] == ["NotImplementedError"] else None
        if item.opname.startswith("RETURN_"):
            return EMPTY if idle else None
        if item.opname.startswith(_TURNS):
            return None
        idle = idle and item.opname in _IDLE
        loads += [item.argval] if item.opname == "LOAD_GLOBAL" else []
    return None
