# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Actions of the runner: a look at every file of a revision, also where alembic stops at the first that is broken."""

from __future__ import annotations

import contextlib
import json
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ._alembic_runner import SEARCH_PATH, Run, RunnerError, closure, describe, maximal, raw, read_graph, resolve_target
from ._run_upgrade import Offline, plain

if TYPE_CHECKING:
    from ._alembic_runner import Graph

# What alembic takes for a revision's file.
_REVISION_FILE = re.compile(r"(?!\.#|__init__).*\.py$")
# What a revision's statements have between them where they leave their transaction, and where the next one begins.
LEAVES, ENTERS = "COMMIT", "BEGIN"


class Validate(Run):
    """The run that only looks: at the files, at the graph, and where the database stands in it."""

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Report what the files say, and what is pending where that can be told."""
        table = (context.version_table, context.version_table_schema)
        if self.table not in (None, table):
            raise RunnerError("env.py uses several version tables: choose one by x or environment")
        self.table = table
        self.report(
            version_table=table[0],
            version_table_schema=table[1],
            target_metadata=self.metadata is not None,
            version_length=version_length(context),
        )
        graph = report_files(self)
        if self.as_sql:
            return
        search_path = json.loads(raw(context.connection, [SEARCH_PATH])[0])
        current = sorted(context.get_current_heads())
        self.report(search_path=search_path, current=current)
        if graph is not None:
            self.report(**planned(self, graph, current))


class ValidateFiles(Validate):
    """The same without a database: env.py runs as it does offline, and where it cannot the config alone says where the files are."""

    as_sql: ClassVar[bool] = True

    def adopt(self, connection: Any) -> None:
        """Look at a connection only where env.py makes one though it is offline."""
        if connection is not None:
            super().adopt(connection)

    def attach(self, context: Any) -> None:
        """Put our action in place; there is no session."""
        self.replace_run(context)

    def hook(self, environment: Any) -> None:
        """Go on without env.py where that fails."""
        super().hook(environment)
        run_env = self.script.run_env

        def run_env_or_go_on() -> None:
            try:
                run_env()
            except BaseException as error:
                if self.ran:
                    raise
                self.table = None
                self.report(env_failed=describe(error)["text"])
                report_files(self)
                self.ran, self.failure = True, None

        self.script.run_env = run_env_or_go_on


class Render(Offline):
    """The rendering of pending revisions, with marks where the statements leave their transaction."""

    def collect(self, text: str) -> None:
        """Keep a rendered statement."""
        self.statements.add(text.strip().rstrip(";"))

    def attach(self, context: Any) -> None:
        """Collect what alembic would print; its own transactions are around the revisions, so that no mark of theirs is kept."""
        self.replace_run(context)
        context.impl.static_output = lambda text: self.collect(plain(text, context.dialect))


# What the files say


def report_files(run: Run) -> Graph | None:
    """Report each file of a revision; return the graph as alembic reads it, None where it cannot."""
    with loading_once() as load:
        graph: Graph | None = None
        notes: list[str] = []
        broken = ""
        try:
            graph, notes = read_graph(run.script)
        except (RunnerError, SystemExit) as error:
            broken = describe(error)["text"]
        files = [file_facts(path, load) for path in revision_files(run.script)]
    heads = sorted(run.script.get_heads()) if graph is not None else []
    run.report(files=files, broken=broken, notes=notes, heads=heads)
    if graph is not None:
        run.report(graph=graph)
    return graph


def planned(run: Run, graph: Graph, current: Sequence[str]) -> dict[str, Any]:
    """Return targets and pending, or why they cannot be told."""
    unknown = [revision for revision in current if revision not in graph]
    if unknown:
        return {"unknown": unknown}
    try:
        found = [resolve_target(target, run.script, graph, current) for target in run.request["targets"]]
    except RunnerError as error:
        return {"unresolved": str(error)}
    targets = [revision for revisions in found for revision in revisions]
    missing = closure(graph, targets) - closure(graph, current)
    return {"targets": maximal(graph, targets), "pending": [revision for revision in graph if revision in missing]}


@contextlib.contextmanager
def loading_once() -> Iterator[Callable[[str, str], Any]]:
    """Let each file be loaded once, and give what loads one: code that runs twice may trip over itself."""
    from alembic import util

    original, known = util.load_python_file, {}

    def load(directory: Any, filename: Any) -> Any:
        path = str(Path(directory, filename).resolve())
        if path not in known:
            try:
                known[path] = original(directory, filename)
            except BaseException as error:
                known[path] = error
        if isinstance(known[path], BaseException):
            raise known[path]
        return known[path]

    util.load_python_file = load
    try:
        yield load
    finally:
        util.load_python_file = original


def revision_files(script: Any) -> list[str]:
    """Return the files that alembic reads, each once."""
    recursive = getattr(script, "recursive_version_locations", False)
    found: dict[str, None] = {}
    for location in script._version_locations:
        for directory, below, names in os.walk(str(location)):
            below[:] = sorted(below) if recursive and not directory.endswith("__pycache__") else []
            if not directory.endswith("__pycache__"):
                wanted = (name for name in sorted(names) if _REVISION_FILE.match(name))
                found.update((str(Path(directory, name).resolve()), None) for name in wanted)
    return list(found)


def file_facts(path: str, load: Callable[[str, str], Any]) -> dict[str, Any]:
    """Return what a revision's file says of itself, or why it cannot be imported and in which of its lines."""
    facts: dict[str, Any] = {"path": os.path.relpath(path)}
    try:
        module = load(*os.path.split(path))
    except BaseException as error:
        return {**facts, "error": describe(error)["text"], "line": line_of(error, path)}
    if not isinstance(getattr(module, "revision", None), str):
        return {**facts, "error": "it has no revision", "line": None}
    return {
        **facts,
        "revision": module.revision,
        "down": names_of(getattr(module, "down_revision", None)),
        "depends": names_of(getattr(module, "depends_on", None)),
        "labels": names_of(getattr(module, "branch_labels", None)),
    }


def names_of(value: Any) -> list[str]:
    """Return the names in what a revision's file may say: none, one, or several."""
    if value is None:
        return []
    several: Iterable[Any] = [value] if isinstance(value, str) else value
    return [str(name) for name in several if name is not None]


def line_of(error: BaseException, path: str) -> int | None:
    """Return the line of a file in which an error arose."""
    if isinstance(error, SyntaxError) and error.filename and os.path.realpath(error.filename) == path:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if os.path.realpath(frame.filename) == path]
    return lines[-1] if lines else None


def version_length(context: Any) -> int | None:
    """Return how long an id the version table that env.py would make takes; None where it has no limit."""
    found = getattr(context._version.c.version_num.type, "length", None)
    return found if isinstance(found, int) else None
