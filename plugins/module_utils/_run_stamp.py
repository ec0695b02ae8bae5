# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of the runner: another revision in the version table, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ._alembic_runner import RELATIVE, Run, RunnerError, closure, maximal, resolve_target

if TYPE_CHECKING:
    from ._alembic_runner import Graph


@dataclass
class Stamp(Run):
    """The run that sets the version. Request: targets; outside of check mode expected, the version table's rows as they were planned on."""

    asked: Sequence[str] = ()
    after: Sequence[str] = ()
    whole: bool = False  # the rows are replaced all together

    command: ClassVar[str] = "stamp"

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Write when anything would change and it is not a check."""
        self.plan(context)
        if self.request["check"] or self.current == self.after:
            return
        if self.current != self.request["expected"]:
            raise RunnerError("another run changed the revision of this database meanwhile: run again")
        context.purge = self.whole
        # One transaction for all steps: halfway, the database would be at a revision that nobody asked for.
        with context.begin_transaction(_per_migration=True):
            context.begin_transaction = lambda **_options: contextlib.nullcontext()
            migrate()

    def plan(self, context: Any) -> None:
        """Work out what the version table is to hold, and report it."""
        self.read(context)
        self.asked = wanted(self.request["targets"], self.script, self.graph)
        # What alembic can start from: rows without a file, and rows below others, are none of its own making.
        sound = maximal(self.graph, [revision for revision in self.current if revision in self.graph])
        stepped = reached(sound, self.script._stamp_revs(self.asked, tuple(sound)))
        based = self.asked[0] not in self.graph
        self.after = stepped if based else joined(self.graph, sound, self.asked)
        self.whole = self.current != sound or self.after != stepped
        self.report(targets=self.after, graph=self.graph)

    def steps(self, heads: Sequence[str], _context: Any) -> Iterator[Any]:
        """Yield alembic's steps to the wanted rows: from those that are there, or from none."""
        if not self.whole:
            yield from self.script._stamp_revs(self.asked, tuple(heads))
        elif self.after:
            yield from self.script._stamp_revs(tuple(self.after), ())


def wanted(targets: Sequence[str], script: Any, graph: Graph) -> tuple[str, ...]:
    """Return the revisions that targets mean, without those below others; or the one base that they name.

    Raises RunnerError where they mean nothing, several, or something relative.
    """
    bases = [target for target in targets if target == "base" or target.endswith("@base")]
    if bases and len(targets) > 1:
        raise RunnerError(f"revision {bases[0]!r} stands alone: a database at base is at nothing else")
    if bases:
        labels = {label for entry in graph.values() for label in entry["labels"]}
        branch = bases[0].rpartition("@")[0]
        if branch and branch not in labels | set(graph):
            raise RunnerError(f"the project has no branch {branch!r}: it has {', '.join(sorted(labels)) or 'none'}")
        return (bases[0],)
    relative = [target for target in targets if RELATIVE.fullmatch(target) and target not in graph]
    if relative:
        raise RunnerError(f"revision {relative[0]!r} is relative: name the revision itself, heads or base")
    found = [revision for target in targets for revision in resolve_target(target, script, graph, ())]
    if not found:
        raise RunnerError("the project has no revisions: nothing can be stamped but base")
    return tuple(maximal(graph, found))


def reached(heads: Iterable[str], steps: Iterable[Any]) -> list[str]:
    """Return the rows that alembic's stamp steps make of those that are there, sorted."""
    rows = set(heads)
    for step in steps:
        rows = rows - set(step.from_) | set(step.to_)
    return sorted(rows)


def joined(graph: Graph, heads: Iterable[str], asked: Sequence[str]) -> list[str]:
    """Return the asked revisions with those of the heads that are neither above nor below any of them, sorted."""
    below = closure(graph, asked)
    others = [head for head in heads if head not in below and not closure(graph, [head]) & set(asked)]
    return maximal(graph, [*asked, *others])
