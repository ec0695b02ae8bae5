# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run one Alembic action in the application's own interpreter.

An env.py imports the application's models and settings, so it runs here, in a process of its own. This file travels
with its actions (_run_*.py) and needs nothing but Python 3.8 and the application's alembic (1.7 or later). The module sends one JSON request as
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
RELATIVE = re.compile(r"(?:.+?@)?\w*?[+-]\d+")
_IDENTITY = (
    "SELECT pg_catalog.current_database(), "
    "pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.pg_postmaster_start_time()), 'YYYYMMDDHH24MISSUS'), "
    "pg_catalog.pg_backend_pid()"
)
SEARCH_PATH = "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false))::pg_catalog.text"
_READ_ONLY = "SET default_transaction_read_only = on"
_TIMEOUTS = "SELECT pg_catalog.current_setting('lock_timeout'), pg_catalog.current_setting('statement_timeout')"
# Cutting CREATE INDEX CONCURRENTLY short leaves an invalid index: outside transactions wait for locks, and long.
_PATIENT = ("SET lock_timeout = 0", "SET statement_timeout = '30min'")


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
    relative = RELATIVE.fullmatch(target)
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
    graph: Graph = field(default_factory=dict)
    current: Sequence[str] = ()
    table: tuple[str, str | None] | None = None
    ran: bool = False
    failure: BaseException | None = None
    permit: Permit = granted

    command: ClassVar[str] = "upgrade"  # of alembic's command line, which env.py may look at
    as_sql: ClassVar[bool] = False
    options: ClassVar[Mapping[str, Any]] = {"transaction_per_migration": True}

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Do the action in place of the run of a MigrationContext; migrate is that run."""
        raise NotImplementedError

    def steps(self, _heads: Sequence[str], _context: Any) -> Iterator[Any]:
        """Yield alembic's steps, for an action that migrates."""
        yield from ()

    def read(self, context: Any) -> None:
        """Read the revisions and the version table, and report what every action knows then."""
        table = (context.version_table, context.version_table_schema)
        if self.table not in (None, table):
            raise RunnerError("env.py uses several version tables: choose one by x or environment")
        self.table = table
        search_path = json.loads(raw(context.connection, [SEARCH_PATH])[0])
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


# Each in a file of its own beside this one, and imported only when it is asked for.
ACTIONS = {
    "upgrade": ("_run_upgrade", "Upgrade"),
    "offline": ("_run_upgrade", "Offline"),
    "create_models": ("_run_models", "CreateModels"),
    "info": ("_run_info", "Info"),
    "downgrade": ("_run_downgrade", "Downgrade"),
    "offline_downgrade": ("_run_downgrade", "OfflineDowngrade"),
    "stamp": ("_run_stamp", "Stamp"),
    "validate": ("_run_validate", "Validate"),
    "validate_files": ("_run_validate", "ValidateFiles"),
    "render": ("_run_validate", "Render"),
    "staircase": ("_run_staircase", "Staircase"),
    "revision": ("_run_revision", "NewRevision"),
}


def action_of(name: str) -> type[Run]:
    """Return the class of an action."""
    file, kind = ACTIONS[name]
    found: type[Run] = getattr(importlib.import_module(f".{file}", __package__), kind)
    return found


def perform(request: Request, report: Report, permit: Permit = granted) -> None:
    """Run env.py with the hook of the action in place. Raises what env.py raised, or RunnerError."""
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    if request["check"]:
        protect_new_connections()
    config = make_config(request)
    script = ScriptDirectory.from_config(config)
    run = action_of(request["action"])(request, report, script, permit=permit)
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

    revision, action = request["targets"][0], action_of(request["action"])
    options = Namespace(
        cmd=(getattr(command, action.command), ["revision"], ["sql", "tag"]),
        config=request["ini"],
        name=request["section"],
        raiseerr=True,
        revision=revision,
        sql=action.as_sql,
        tag=None,
        x=request["x"] or None,
    )
    sys.argv = ["alembic", action.command, revision]
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
