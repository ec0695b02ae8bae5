# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run one Alembic action in the application's own interpreter.

An env.py imports the application's models and settings, so it runs here, in a process of its own. This file travels
alone and needs nothing but Python 3.8 and the application's alembic (1.7 or later). The module sends one JSON request as
the first line on stdin. The answer leaves through the file descriptor named on the command line, one JSON object per line,
as things happen: whatever becomes of this process, the lines that arrived are true. Where an answer asks, the run goes on
when the module has sent another line. stdout and stderr belong to env.py.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import inspect
import json
import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    Request = dict[str, Any]
    Report = Callable[..., None]
    Permit = Callable[[], None]
    Graph = dict[str, dict[str, Any]]  # revision -> down (all it needs, dependencies too), message, path, labels

# As alembic reads them: an optional branch, an optional starting revision, a signed number of steps.
_RELATIVE = re.compile(r"(?:.+?@)?\w*?[+-]\d+")
_IDENTITY = (
    "SELECT pg_catalog.current_database(), "
    "pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.pg_postmaster_start_time()), 'YYYYMMDDHH24MISSUS'), "
    "pg_catalog.pg_backend_pid()"
)
_SEARCH_PATH = "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false))::pg_catalog.text"
_READ_ONLY = "SET default_transaction_read_only = on"
_CREATED = re.compile(r"^[ \t]*Create Date:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_TIMEOUTS = "SELECT pg_catalog.current_setting('lock_timeout'), pg_catalog.current_setting('statement_timeout')"
# Cutting CREATE INDEX CONCURRENTLY short leaves an invalid index: outside transactions wait for locks, and long.
_PATIENT = ("SET lock_timeout = 0", "SET statement_timeout = '30min'")
_SHOWN_STATEMENTS = 500  # of one revision; a revision that fills tables may run millions
_SHOWN_CHARACTERS = 20000  # of one statement


class RunnerError(Exception):
    """A reason to stop, in one line."""


def granted() -> None:
    """Let a run go on without asking anybody."""


# Pure functions over the revision graph


def closure(graph: Mapping[str, Mapping[str, Any]], revisions: Iterable[str]) -> set[str]:
    """Return the revisions with everything that they stand on; unknown ones are left out."""
    found: set[str] = set()
    waiting = [revision for revision in revisions if revision in graph]
    while waiting:
        revision = waiting.pop()
        if revision not in found:
            found.add(revision)
            waiting.extend(graph[revision]["down"])
    return found


def maximal(graph: Mapping[str, Mapping[str, Any]], revisions: Iterable[str]) -> list[str]:
    """Return those of the revisions that none of the others stands on, sorted."""
    chosen = set(revisions)
    below: set[str] = set()
    for revision in chosen:
        below |= closure(graph, graph[revision]["down"])
    return sorted(chosen - below)


def match_target(target: str, graph: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the revision that target spells in full or by a unique beginning; None when it does neither.

    Raises RunnerError when several revisions begin like that.
    """
    found = [target] if target in graph else [revision for revision in graph if revision.startswith(target)]
    if len(found) > 1:
        raise RunnerError(
            f"revision {target!r} is ambiguous: {', '.join(sorted(found))} begin like that; write one in full"
        )
    return found[0] if found else None


# The revision graph, read after env.py has set up what it wants


def read_graph(script: Any) -> tuple[Graph, list[str]]:
    """Return the revisions of a ScriptDirectory, each after those that it stands on, and alembic's warnings about them.

    Raises RunnerError when a file is broken.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            newest_first = list(script.walk_revisions())
        except Exception as error:
            # Alembic warns about a missing down_revision, then stumbles over it with a bare KeyError.
            stumbled = isinstance(root_cause(error), KeyError) and caught
            text = first_lines(str(caught[-1].message)) if stumbled else describe(error)["text"]
            raise RunnerError(f"the revisions cannot be read: {text}") from error
    graph = {
        item.revision: {
            "down": list(item._all_down_revisions),
            "message": " ".join((item.doc or "").split()),
            "path": os.path.relpath(item.path),
            "labels": list(item.branch_labels),
        }
        for item in reversed(newest_first)
    }
    # Deprecations are the author's business, and others come in twos.
    notes = [first_lines(str(item.message)) for item in caught if item.category is UserWarning]
    return graph, sorted(set(notes))


def resolve_target(target: str, script: Any, graph: Graph, current: Sequence[str]) -> list[str]:
    """Return the revisions that target means; raises RunnerError where it means nothing, several, or a way back."""
    heads = list(script.get_heads())
    if target == "head" and len(heads) > 1:
        raise RunnerError(f"the project has {len(heads)} heads ({', '.join(heads)}): write heads, or one of them")
    if target in ("head", "heads"):
        return heads
    relative = _RELATIVE.fullmatch(target)
    if target == "base" or target.endswith("@base") or (relative and "-" in target and target not in graph):
        raise RunnerError(f"revision {target!r} leads back, and an upgrade never goes back")
    labels = {label for entry in graph.values() for label in entry["labels"]}
    try:
        if relative and target not in graph:
            return maximal(graph, [step.revision.revision for step in script._upgrade_revs(target, tuple(current))])
        if target in labels or "@" in target:
            return [item.revision for item in script.get_revisions(target) if item is not None]
    except Exception as error:
        raise RunnerError(f"revision {target!r} cannot be found: {describe(error)['text']}") from error
    revision = match_target(target, graph)
    if revision is None:
        raise RunnerError(f"the project has no revision {target!r}; its heads are {', '.join(heads) or 'none'}")
    return [revision]


# What stands behind an exception


def first_lines(text: str) -> str:
    """Return the first line of an error text and its DETAIL line, which is all that helps of a server's message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:1] + [line for line in lines[1:] if line.startswith("DETAIL:")])


def root_cause(error: BaseException) -> BaseException:
    """Return what alembic's CommandError or SQLAlchemy's wrapper hides; the error itself when it hides nothing."""
    for _depth in range(10):
        origin = getattr(error, "orig", None)
        hidden = origin if isinstance(origin, BaseException) else error.__cause__
        wrapper = origin is not None or type(error).__module__.split(".")[0] in ("alembic", "sqlalchemy")
        if not wrapper or hidden is None:
            break
        error = hidden
    return error


def describe(error: BaseException) -> dict[str, str]:
    """Return the text of an error, with its class, and the place in the project where it arose, one line each."""
    if isinstance(error, SystemExit):
        return {"text": f"it ended the process (exit status {error.code or 0})", "where": ""}
    if isinstance(error, RunnerError):
        return {"text": str(error), "where": ""}
    cause = root_cause(error)
    text = first_lines(str(cause)) or first_lines(str(error))
    if type(cause).__module__.startswith("alembic"):
        # The cause is a class of alembic's own, and the wrapper's text was written for people.
        text = first_lines(str(error)) or text
    else:
        text = f"{type(cause).__name__}: {text}" if text else type(cause).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)]
    where = f"{os.path.relpath(frames[-1].filename)} line {frames[-1].lineno}" if frames else ""
    return {"text": text, "where": where}


def sqlstate(error: BaseException) -> str | None:
    """Return the server's code for an error, whatever driver brought it."""
    cause = root_cause(error)
    found = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return found if isinstance(found, str) else None


def _is_ours(path: str) -> bool:
    """Say whether path is a file of the project: inside its directory, and not in an environment inside that."""
    file = Path(path).absolute()
    return Path.cwd() in file.parents and "site-packages" not in file.parts and file.exists()


# The connection that env.py made


def place_of(url: Any) -> dict[str, Any]:
    """Return host, port, database and user of a SQLAlchemy URL object, wherever it holds them."""
    query = {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}
    return {
        "host": query.get("host") or url.host or None,
        "port": int(url.port or query.get("port") or 5432),
        "database": url.database or query.get("dbname") or None,
        "user": url.username or query.get("user") or None,
    }


def place_text(place: Mapping[str, Any]) -> str:
    """Return a place as text, without its password."""
    return f"{place['user'] or ''}@{place['host'] or 'local socket'}:{place['port']}/{place['database'] or ''}"


def raw(connection: Any, statements: Sequence[str]) -> tuple[Any, ...]:
    """Run statements on the driver's connection and return the last one's row.

    SQLAlchemy must not notice: a statement through its own connection begins a transaction, which alembic then takes
    for the caller's and never commits.
    """
    driver = connection.connection
    cursor = driver.cursor()
    row: tuple[Any, ...] = ()
    try:
        for statement in statements:
            cursor.execute(statement)
            if cursor.description:
                row = tuple(cursor.fetchone())
    finally:
        cursor.close()
    if not connection.in_transaction():
        driver.commit()
    return row


def protect_new_connections() -> None:
    """Make every PostgreSQL session of this process read-only from its first moment, those before configure() too."""
    from sqlalchemy import event, pool

    os.environ["PGOPTIONS"] = f"{os.environ.get('PGOPTIONS', '')} -c default_transaction_read_only=on"

    def listener(driver: Any, _record: Any) -> None:
        # Another database system may refuse the statement; the migration's own session is looked at again in adopt().
        with contextlib.suppress(Exception):
            cursor = driver.cursor()
            try:
                cursor.execute(_READ_ONLY)
            finally:
                cursor.close()
                driver.commit()

    event.listen(pool.Pool, "connect", listener)


# One run of env.py


@dataclass
class Run:
    """One run of env.py: what it was asked, and how far it came. What it does on the connection is the action's."""

    request: Request
    report: Report
    script: Any
    metadata: Any = None
    ran: bool = False
    failure: BaseException | None = None
    permit: Permit = granted

    as_sql: ClassVar[bool] = False
    options: ClassVar[Mapping[str, Any]] = {"transaction_per_migration": True}

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Do the action in place of the run of a MigrationContext; migrate is that run."""
        raise NotImplementedError

    def steps(self, _heads: Sequence[str], _context: Any) -> Iterator[Any]:
        """Yield alembic's steps, for an action that migrates."""
        yield from ()

    def hook(self, environment: Any) -> None:
        """Replace configure on the instance: options of the constructor are overwritten by env files."""
        configure = environment.configure
        signature = inspect.signature(configure)

        def hooked(*args: Any, **kwargs: Any) -> None:
            bound = signature.bind(*args, **kwargs)
            with self.remembered():
                self.adopt(bound.arguments.get("connection"))
            bound.arguments.update(self.options)
            configure(*bound.args, **bound.kwargs)
            self.metadata = bound.arguments.get("target_metadata")
            self.attach(environment.get_context())

        environment.configure = hooked

    @contextlib.contextmanager
    def remembered(self) -> Iterator[None]:
        """Keep an error that passes by: an env.py may swallow it."""
        try:
            yield
        except BaseException as error:
            self.failure = self.failure or error
            raise

    def adopt(self, connection: Any) -> None:
        """Check that the connection leads where the module was told to, and set its session up."""
        if connection is None:
            raise RunnerError(
                "env.py configures no connection: it must pass one to context.configure when it is online"
            )
        if connection.dialect.name != "postgresql":
            raise RunnerError(f"env.py connects to {connection.dialect.name}, and only postgresql is served")
        given, seen = self.request["place"], place_of(connection.engine.url)
        if {key: value or None for key, value in given.items()} != seen:
            raise RunnerError(
                f"env.py connects to {place_text(seen)}, but the module was given {place_text(given)}: "
                "let env.py take sqlalchemy.url from its config, or DATABASE_URL"
            )
        *identity, backend = raw(connection, [_IDENTITY])
        if identity != self.request["identity"]:
            raise RunnerError(
                f"env.py's connection reaches another server or database than its URL {place_text(seen)} says"
            )
        settings = [(name, self.request[name]) for name in ("lock_timeout", "statement_timeout") if self.request[name]]
        settings += self.request.get("session", {}).items()
        statements = [f"SET {name} = '{value}'" for name, value in settings]
        if self.request["check"]:
            # The default rules the transactions to come; one that env.py has open already is told by itself.
            statements += [_READ_ONLY] + ["SET transaction_read_only = on"] * connection.in_transaction()
            if raw(connection, [*statements, "SHOW default_transaction_read_only"]) != ("on",):
                raise RunnerError("env.py's connection cannot be made read-only, so there is no check of this project")
        elif statements:
            raw(connection, statements)
        self.report(external=bool(connection.in_transaction()), backend=backend)

    def attach(self, context: Any) -> None:
        """Put our action in place of the run of a MigrationContext, and patience into its autocommit blocks."""
        self.replace_run(context)
        self.make_patient(context)

    def replace_run(self, context: Any) -> None:
        """Put our action in place of the run of a MigrationContext."""
        run = context.run_migrations

        def run_migrations(**kwargs: Any) -> None:
            with self.remembered():
                self.work(context, lambda: run(**kwargs))
                # An env.py that tried again after an error is as good as one that had none.
                self.ran, self.failure = True, None

        context.run_migrations = run_migrations

    def make_patient(self, context: Any) -> None:
        """Let statements in autocommit blocks wait for locks, and take their time."""
        block = context.autocommit_block

        @contextlib.contextmanager
        def autocommit_block() -> Iterator[None]:
            with block():
                self.report(autocommit=True)
                timeouts = raw(context.connection, [_TIMEOUTS])
                restore = [f"SET lock_timeout = '{timeouts[0]}'", f"SET statement_timeout = '{timeouts[1]}'"]
                raw(context.connection, _PATIENT)
                try:
                    yield
                except BaseException:
                    with contextlib.suppress(Exception):  # the first error tells more than that of a lost connection
                        raw(context.connection, restore)
                    raise
                raw(context.connection, restore)

        context.autocommit_block = autocommit_block


@dataclass
class Upgrade(Run):
    """The run towards the targets."""

    graph: Graph = field(default_factory=dict)
    pending: Sequence[str] = ()
    current: Sequence[str] = ()
    table: tuple[str, str | None] | None = None
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
        table = (context.version_table, context.version_table_schema)
        if self.table not in (None, table):
            raise RunnerError("env.py runs the migrations of several version tables: choose one by x or environment")
        self.table = table
        search_path = json.loads(raw(context.connection, [_SEARCH_PATH])[0])
        self.graph, notes = read_graph(self.script)
        self.current = sorted(context.get_current_heads())
        self.report(
            current=self.current,
            heads=sorted(self.script.get_heads()),
            version_table=table[0],
            version_table_schema=table[1],
            search_path=search_path,
            target_metadata=self.metadata is not None,
            notes=notes,
        )
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
        from alembic.runtime.migration import MigrationStep

        if sorted(heads) != self.current:
            raise RunnerError("another run changed the revision of this database meanwhile: run again")
        for revision in self.pending:
            item = self.script.get_revision(revision)
            self.report(running=revision, autocommit=False, asks="revision")
            self.permit()
            started = time.monotonic()
            step = MigrationStep.upgrade_from_script(self.script.revision_map, item)
            step.migration_fn = self.statements.during(step.migration_fn, revision, self.report)
            yield step
            self.report(applied={"revision": revision, "seconds": round(time.monotonic() - started, 3)})


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

    def during(self, function: Callable[..., None], revision: str, report: Report) -> Callable[..., None]:
        """Return a revision's function as one whose statements are kept, and reported however it ends."""

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
        from alembic.runtime.migration import MigrationStep

        for revision in self.request["pending"]:
            item = self.script.get_revision(revision)
            step = MigrationStep.upgrade_from_script(self.script.revision_map, item)
            step.migration_fn = self.statements.during(step.migration_fn, revision, self.report)
            yield step


class CreateModels(Run):
    """The run that creates what the application's models describe, in an empty database and without any revision."""

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Create the schemas and the tables, in a transaction of our own unless env.py has one open."""
        several = isinstance(self.metadata, (list, tuple))
        collection = [item for item in (self.metadata if several else [self.metadata]) if item is not None]
        if not collection:
            raise RunnerError("env.py gives no target_metadata: models cannot be compared")
        tables = sum(len(metadata.tables) for metadata in collection)
        if not tables:
            raise RunnerError(
                "target_metadata has no tables: the modules that define the models are not imported by env.py"
            )
        connection = context.connection
        quote = connection.dialect.identifier_preparer.quote_identifier
        try:
            with context.begin_transaction(_per_migration=True):
                for schema in schemas_of(collection):
                    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
                for metadata in collection:
                    metadata.create_all(connection)
        except Exception as error:
            raise RunnerError(f"the models cannot be created: {describe(error)['text']}") from error
        self.report(tables=tables)


def schemas_of(collection: Iterable[Any]) -> list[str]:
    """Return the schemas that the tables, types and sequences of several MetaData name, sorted."""
    found: set[str | None] = set()
    for metadata in collection:
        found |= {metadata.schema, *(sequence.schema for sequence in metadata._sequences.values())}
        for table in metadata.tables.values():
            types = [getattr(column.type, "item_type", column.type) for column in table.columns]
            found |= {table.schema, *(getattr(kind, "schema", None) for kind in types)}
    return sorted(schema for schema in found if schema)


class Info(Run):
    """The run that only looks: at the revisions, at the models, and where the database stands among them."""

    table: tuple[str, str | None] | None = None

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Report all that the project says; the database itself is read by the module."""
        table = (context.version_table, context.version_table_schema)
        if self.table not in (None, table):
            raise RunnerError("env.py looks at several version tables: choose one by x or environment")
        self.table = table
        search_path = json.loads(raw(context.connection, [_SEARCH_PATH])[0])
        graph, notes = read_graph(self.script)
        current = sorted(context.get_current_heads())
        targets = [
            revision
            for target in self.request["targets"]
            for revision in resolve_target(target, self.script, graph, current)
        ]
        self.report(
            current=current,
            heads=sorted(self.script.get_heads()),
            version_table=table[0],
            version_table_schema=table[1],
            search_path=search_path,
            target_metadata=self.metadata is not None,
            notes=notes,
            targets=maximal(graph, targets),
            graph=graph,
            looked={
                "files": {revision: file_facts(self.script.get_revision(revision)) for revision in graph},
                "models": models_of(self.metadata, context),
            },
        )


def file_facts(item: Any) -> dict[str, Any]:
    """Return what a revision's file says beyond the graph: the revisions right below it, and when it was created."""
    down = item.down_revision or ()
    created = _CREATED.search(item.longdoc or "")
    return {"down": [down] if isinstance(down, str) else list(down), "created": created[1] if created else None}


def models_of(metadata: Any, context: Any) -> list[list[str | None]] | None:
    """Return schema and name of each table that the models describe and env.py lets autogenerate compare.

    None where that cannot be told: without models, and where the connection puts other schemas in place of theirs.
    """
    if metadata is None or context.connection.get_execution_options().get("schema_translate_map"):
        return None
    collection = metadata if isinstance(metadata, (list, tuple)) else [metadata]
    tables = [table for item in collection for table in item.tables.values()]
    included = context.opts.get("include_object")
    if included is not None:
        tables = [table for table in tables if included(table, table.name, "table", False, None)]
    return sorted(([table.schema, table.name] for table in tables), key=str)


ACTIONS: dict[str, type[Run]] = {"upgrade": Upgrade, "offline": Offline, "create_models": CreateModels, "info": Info}


def perform(request: Request, report: Report, permit: Permit = granted) -> None:
    """Run env.py with the hook of the action in place. Raises what env.py raised, or RunnerError."""
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    if request["check"]:
        protect_new_connections()
    config = make_config(request)
    script = ScriptDirectory.from_config(config)
    run = ACTIONS[request["action"]](request, report, script, permit=permit)
    starting = {"starting_rev": request["current"] or "base"} if run.as_sql else {}
    environment = EnvironmentContext(
        config, script, fn=run.steps, as_sql=run.as_sql, destination_rev=request["targets"][0], tag=None, **starting
    )
    run.hook(environment)
    try:
        with environment:
            script.run_env()
    except BaseException as error:
        # sys.exit(0) after the work is a way to end; whether the work lasts is looked at later.
        if not (run.ran and isinstance(error, SystemExit) and not error.code):
            run.failure = run.failure or error
    if run.failure is not None:
        raise run.failure
    if not run.ran:
        raise RunnerError("env.py came to its end without running the migrations: it must call context.run_migrations")


def make_config(request: Request) -> Any:
    """Return alembic's Config as its command line would make it, with our URL in it."""
    from argparse import Namespace

    from alembic import command
    from alembic.config import Config

    revision = request["targets"][0]
    options = Namespace(
        cmd=(command.upgrade, ["revision"], ["sql", "tag"]),
        config=request["ini"],
        name=request["section"],
        raiseerr=True,
        revision=revision,
        sql=ACTIONS[request["action"]].as_sql,
        tag=None,
        x=request["x"] or None,
    )
    sys.argv = ["alembic", "upgrade", revision]
    files = {"file_": request["ini"]}
    if request["toml"]:
        if "toml_file" in inspect.signature(Config.__init__).parameters:
            files["toml_file"] = request["toml"]
        elif not request["ini"]:
            raise RunnerError("this alembic reads no pyproject.toml: update it to 1.16, or write an alembic.ini")
    config = Config(ini_section=request["section"], cmd_opts=options, **files)
    # The config interpolates: a % of the URL is written twice.
    config.set_main_option("sqlalchemy.url", request["url"].replace("%", "%%"))
    return config


def named_driver(url: str) -> str:
    """Return url with the driver that this interpreter can import; raises RunnerError when it can import none."""
    scheme, _separator, rest = url.partition("://")
    _dialect, _plus, driver = scheme.partition("+")
    modern = int(importlib.import_module("sqlalchemy").__version__.split(".")[0]) >= 2
    candidates = [driver] if driver else [name for name in ("psycopg", "psycopg2") if modern or name != "psycopg"]
    for name in candidates:
        # SQLAlchemy names the driver psycopg with its async twin too; both are the module psycopg.
        with contextlib.suppress(ImportError):
            importlib.import_module("psycopg" if name.startswith("psycopg_") else name)
            return f"postgresql+{name}://{rest}"
    raise RunnerError(f"{sys.executable} cannot import {' or '.join(candidates)}: install the driver there")


def preload() -> str | None:
    """Import alembic while the module is still connecting; return the reason when it cannot be had."""
    try:
        for name in ("alembic.command", "alembic.config", "sqlalchemy.pool"):
            importlib.import_module(name)
    except ImportError as error:
        return str(error)
    return None


def answer(request: Request, report: Report, permit: Permit, unimportable: str | None) -> None:
    """Run the request and report how it ended, whatever happens."""
    try:
        if unimportable:
            raise RunnerError(f"{sys.executable} cannot import alembic ({unimportable}): install it there")
        import alembic
        import sqlalchemy

        report(
            versions={
                "python": sys.version.split()[0],
                "alembic": alembic.__version__,
                "sqlalchemy": sqlalchemy.__version__,
            }
        )
        os.environ.update(request["environment"])
        request["url"] = named_driver(request["url"])
        if "DATABASE_URL" not in request["given_names"]:
            os.environ["DATABASE_URL"] = request["url"]
        perform(request, report, permit)
        report(finished=True)
    except BaseException as error:
        if not isinstance(error, (RunnerError, SystemExit)):
            traceback.print_exc()
        report(error={**describe(error), "sqlstate": sqlstate(error)}, ours=isinstance(error, RunnerError))


def leave() -> None:
    """End at once: taking hundreds of imported modules apart takes a fifth of a short run and helps nobody."""
    with contextlib.suppress(Exception):  # env.py may have closed them
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def main() -> None:
    """Read the request from stdin, do it, write the answer to the descriptor in argv."""
    atexit.register(leave)  # registered first, called last: the application's own handlers come before
    # The interpreter may have put this file's directory first; the alembic command line has none of that.
    if Path(sys.path[0]) == Path(__file__).parent:
        del sys.path[0]
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    unimportable = preload()
    # What comes in is the module's; env.py finds nothing on its stdin.
    commands = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    text = commands.readline()
    if not text:
        return  # the module changed its mind
    lines: IO[str]
    with os.fdopen(descriptor, "w", encoding="utf-8") as lines:

        def report(**facts: Any) -> None:
            lines.write(json.dumps(facts) + "\n")
            lines.flush()

        def permit() -> None:
            if not commands.readline():
                raise RunnerError("the module that started this run is gone")

        answer(json.loads(text), report, permit, unimportable)


if __name__ == "__main__":
    main()
