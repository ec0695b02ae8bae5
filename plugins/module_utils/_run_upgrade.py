# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Actions of the runner: the upgrade, and the rendering of what it would do."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ._alembic_runner import Run, RunnerError, closure, maximal, resolve_target

if TYPE_CHECKING:
    from ._alembic_runner import Report

_SHOWN_STATEMENTS = 500  # of one revision; a revision that fills tables may run millions
_SHOWN_CHARACTERS = 20000  # of one statement


@dataclass
class Upgrade(Run):
    """The run towards the targets."""

    pending: Sequence[str] = ()
    statements: Statements = field(default_factory=lambda: Statements())

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Migrate when there is anything to do and it is not a check."""
        self.plan(context)
        if self.pending and not self.request["check"]:
            self.report(asks="plan")
            self.permit()
            record_statements(context.connection, lambda text: self.statements.add(text))
            migrate()

    def plan(self, context: Any) -> None:
        """Work out the pending revisions, and report all that is known before anything is written."""
        self.read(context)
        unknown = [revision for revision in self.current if revision not in self.graph]
        if unknown:
            raise RunnerError(
                f"the database is at revision {', '.join(map(repr, unknown))}, and no file of this project has it: "
                "bring the missing file back, or use the project that made this database"
            )
        asked = self.request["targets"]
        targets = [
            revision for target in asked for revision in resolve_target(target, self.script, self.graph, self.current)
        ]
        have, wanted = closure(self.graph, self.current), closure(self.graph, targets)
        self.pending = [revision for revision in self.graph if revision in wanted - have]
        self.report(
            targets=maximal(self.graph, targets),
            pending=self.pending,
            ahead=not self.pending and bool(have - wanted),
            graph=self.graph,
        )

    def steps(self, heads: Sequence[str], _context: Any) -> Iterator[Any]:
        """Yield alembic's step for each pending revision; whoever asks for the next one has committed the last."""
        if sorted(heads) != self.current:
            raise RunnerError("another run changed the revision of this database meanwhile: run again")
        for revision in self.pending:
            item = self.script.get_revision(revision)
            self.report(running=revision, autocommit=False, asks="revision")
            self.permit()
            started = time.monotonic()
            yield self.statements.step(self.step_of(item), revision, self.report)
            self.report(applied={"revision": revision, "seconds": round(time.monotonic() - started, 3)})

    def step_of(self, item: Any) -> Any:
        """Return alembic's step for a revision."""
        from alembic.runtime.migration import MigrationStep

        return MigrationStep.upgrade_from_script(self.script.revision_map, item)


@dataclass
class Statements:
    """The statements of one revision at a time; those between revisions, on the version table, are alembic's own."""

    texts: list[str] = field(default_factory=list)
    more: int = 0
    recording: bool = False

    def add(self, text: str) -> None:
        """Keep a statement, unless no revision runs or SQLAlchemy only looks something up in the catalog."""
        text = text.strip()
        if not self.recording or (text[:6].upper() == "SELECT" and "pg_catalog." in text):
            return
        if len(self.texts) < _SHOWN_STATEMENTS:
            cut = len(text) > _SHOWN_CHARACTERS
            self.texts.append(text[:_SHOWN_CHARACTERS] + " \u2026" if cut else text)
        else:
            self.more += 1

    def step(self, step: Any, revision: str, report: Report) -> Any:
        """Return alembic's step for a revision as one whose statements are kept."""
        step.migration_fn = self.during(step.migration_fn, revision, report)
        return step

    def during(self, function: Callable[..., None], revision: str, report: Report) -> Callable[..., None]:
        """Return a revision's function as one whose statements are kept, and reported however it ends."""

        @functools.wraps(function)  # alembic logs its name
        def recorded(**kwargs: Any) -> None:
            self.texts, self.more, self.recording = [], 0, True
            try:
                function(**kwargs)
            finally:
                self.recording = False
                rest = [f"-- and {self.more} more statements"] if self.more else []
                report(sql={"revision": revision, "statements": self.texts + rest})

        return recorded


def record_statements(connection: Any, add: Callable[[str], None]) -> None:
    """Call add with the text of each statement that goes through a SQLAlchemy connection; values are left out."""
    from sqlalchemy import event

    def listener(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        compiled = getattr(context, "compiled", None) is not None
        add(plain(statement, connection.dialect) if compiled else statement)

    event.listen(connection, "before_cursor_execute", listener)


def plain(statement: str, dialect: Any) -> str:
    """Return a statement that SQLAlchemy compiled without what only the driver wants: some want each % twice."""
    return statement.replace("%%", "%") if "format" in dialect.paramstyle else statement


@dataclass
class Offline(Run):
    """The run that renders the statements of given revisions and executes none; request: pending and current beside the usual."""

    statements: Statements = field(default_factory=Statements)

    as_sql: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Any]] = {"transaction_per_migration": True, "literal_binds": True}

    def adopt(self, connection: Any) -> None:
        """Look at a connection only where env.py makes one though it is offline."""
        if connection is not None:
            super().adopt(connection)

    def attach(self, context: Any) -> None:
        """Collect what alembic would print; no session has to be patient."""
        self.replace_run(context)
        context.impl.static_output = lambda text: self.collect(plain(text, context.dialect))

    def collect(self, text: str) -> None:
        """Keep a rendered statement, without alembic's transactions."""
        text = text.strip().rstrip(";")
        if text not in ("BEGIN", "COMMIT"):
            self.statements.add(text)

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Render."""
        if context.dialect.name != "postgresql":
            raise RunnerError(f"env.py renders for {context.dialect.name} when it is offline")
        migrate()

    def steps(self, _heads: Sequence[str], _context: Any) -> Iterator[Any]:
        """Yield alembic's step for each revision of the request."""
        for revision in self.request["pending"]:
            yield self.statements.step(self.step_of(self.script.get_revision(revision)), revision, self.report)

    def step_of(self, item: Any) -> Any:
        """Return alembic's step for a revision."""
        from alembic.runtime.migration import MigrationStep

        return MigrationStep.upgrade_from_script(self.script.revision_map, item)
