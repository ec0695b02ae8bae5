# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of the runner: each revision up, down and up again, with a pause after each stair for whoever looks at the database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ._run_upgrade import Statements, Upgrade
from ._run_validate import ENTERS, LEAVES

UP, DOWN, AGAIN = "up", "down", "again"


@dataclass
class Staircase(Upgrade):
    """The walk. request: passed (revisions to go up without a pause) and one_way (those not to go down) beside the usual."""

    def attach(self, context: Any) -> None:
        """Note where the statements leave their transaction."""
        super().attach(context)
        mark_blocks(context, self.statements)

    def steps(self, _heads: Sequence[str], context: Any) -> Iterator[Any]:
        """Yield alembic's steps."""
        passed, one_way = set(self.request["passed"]), set(self.request["one_way"])
        looking = False
        for revision in self.pending:
            looks = revision not in passed
            if looks and not looking:
                looking = True
                self.pause()
            stairs = (UP,) if not looks or revision in one_way else (UP, DOWN, AGAIN)
            for stair in stairs:
                yield from self.climb(context, revision, stair, looks)

    def climb(self, context: Any, revision: str, stair: str, looks: bool) -> Iterator[Any]:
        """Yield one step, commit it, and pause."""
        from alembic.runtime.migration import MigrationStep

        make = MigrationStep.downgrade_from_script if stair == DOWN else MigrationStep.upgrade_from_script
        step = make(self.script.revision_map, self.script.get_revision(revision))
        self.report(running=revision, stair=stair, autocommit=False)
        if stair == UP:
            step.migration_fn = self.statements.during(step.migration_fn, revision, self.report)
        # What the impl remembers of types made in this process, the next process will not know.
        getattr(context.impl, "memo", {}).clear()
        started = time.monotonic()
        yield step
        # Where env.py has a transaction around all, nobody else would see the step. The database is not one to keep whole.
        context.connection.connection.commit()
        seconds = round(time.monotonic() - started, 3)
        self.report(running=None, climbed={"revision": revision, "stair": stair, "seconds": seconds})
        if looks:
            self.pause()

    def pause(self) -> None:
        """Let the module look at the database."""
        self.report(asks="look")
        self.permit()


def mark_blocks(context: Any, statements: Statements) -> None:
    """Put marks between the statements where an autocommit block begins and ends."""
    block = context.autocommit_block

    @contextlib.contextmanager
    def autocommit_block() -> Iterator[None]:
        with block():
            statements.add(LEAVES)
            try:
                yield
            finally:
                statements.add(ENTERS)

    context.autocommit_block = autocommit_block
