# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What alembic_info does: read the server, let the runner look at the project, read the database at one moment, decide."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _alembic_runner,
    _alembic_state,
    _connection,
    _revisions,
    _runner_process,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_state import Facts, Models
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "pgsteward alembic_info"
LOCK_TIMEOUT = "3s"  # a look must not queue behind the locks of a migration, and others behind the look

# libpq's word. Of a database in SQL_ASCII, which converts nothing, psycopg would bring bytes without it.
_ENCODING = "PGCLIENTENCODING"

# Nothing of the session is relied on: behind a pooler it may be anybody's.
_PIN = (
    "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),"
    " pg_catalog.set_config('client_encoding', 'UTF8', true),"
    f" pg_catalog.set_config('lock_timeout', '{LOCK_TIMEOUT}', true)"
)
_SERVER = (
    "SELECT current_database(), to_char(timezone('UTC', pg_postmaster_start_time()), 'YYYYMMDDHH24MISSUS'),"
    " current_setting('server_version_num')::int, pg_is_in_recovery(), pg_backend_pid()"
)
# Those of an extension are its own affair, and our journal is ours. A version table of Alembic's has one column, of that name.
_RELATIONS = (
    "SELECT n.nspname, c.relname, c.relkind IN ('r', 'p'), c.relnatts = 1 AND EXISTS"
    " (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'version_num')"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND n.nspname NOT IN ('information_schema', 'pgsteward', 'pgsteward_pooler') AND n.nspname NOT LIKE 'pg\\_%'"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
    " AND d.deptype = 'e') ORDER BY 1, 2"
)

# When runs of ours were done with a revision; no row where there is no such journal, or the account may not read it.
_MAY_READ_JOURNAL = (
    "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND NOT c.relrowsecurity"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'pgsteward' AND c.relname = 'journal' AND c.relkind = 'r'"
)
_JOURNAL = (
    "SELECT revision, extract(epoch FROM finished)::float8 FROM pgsteward.journal"
    " WHERE version_table = %s AND finished IS NOT NULL AND error IS NULL"
)


@dataclass(frozen=True)
class Server:
    """What a server says of itself. version as a number, such as 170006; started as _connection.Server has it."""

    database: str
    started: str
    version: int
    standby: bool
    pooled: bool

    def as_return(self) -> dict[str, Any]:
        """Return what a module returns of it."""
        return {
            "connected": True,
            "database": self.database,
            "server_version": self.version,
            "standby": self.standby,
            "pooled": self.pooled,
        }


@dataclass(frozen=True)
class Relation:
    """A relation that somebody made. is_table: it holds rows of its own; versions: it looks like a version table."""

    schema: str
    name: str
    is_table: bool
    versions: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def run_info(module: Any) -> dict[str, Any]:
    """Do what an AnsibleModule asks for; return its result or raise StewardError."""
    _alembic.settle_secrets(module)
    return info(module.params, module.tmpdir, module.warn)


@dataclass(frozen=True)
class Looked:
    """All that a look at a project and a database tells. more: what the runner reports beside an Answer. applied: when, by revision.

    Everything after server is empty behind a pooler.
    """

    server: Server
    answer: Answer = field(default_factory=Answer)
    more: Mapping[str, Any] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()
    table: Relation | None = None
    current: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    applied: Mapping[str, float] = field(default_factory=dict)


def info(params: Mapping[str, Any], temporary: str, warn: Callable[[str], None]) -> dict[str, Any]:
    """Return where a database stands against a project; nothing is written anywhere. temporary: a private directory.

    Raises StewardError.
    """
    project, place = Project.from_params(params), _alembic.place_from_params(params)
    check_project(project)
    with contextlib.closing(connected(place)) as connection:
        looked = look(project, place, connection, params, temporary, warn)
        if looked.server.pooled:
            with _at_one_moment(connection, place):
                return _pooled(looked.server, connection, place)
    known = {
        **looked.server.as_return(),
        "versions": dict(looked.answer.versions or {}),
        "output": list(looked.output),
        "interpreter": _alembic.find_python(project.python),
    }
    return {**known, **as_return(facts_of(looked, project.directory), looked)}


def check_project(project: Project) -> None:
    """Raise StewardError for what can be seen of a project without a server."""
    if not Path(project.directory).is_dir():
        raise StewardError(f"project {project.directory} is no directory: bring it there, as the playbook migrate does")
    _alembic.find_config(project.directory, project.config, project.section)
    _alembic.find_python(project.python)


def look(
    project: Project,
    place: Place,
    connection: psycopg.Connection[Any],
    params: Mapping[str, Any],
    temporary: str,
    warn: Callable[[str], None],
) -> Looked:
    """Return what the project says of itself, and what the database behind the connection says at one moment.

    Through a pooler the project is not run: what makes its sessions read-only would stay on the pooler's server
    connections and reach other clients. params: those of build_request. Raises StewardError; its facts say what was known.
    """
    files = _alembic.find_config(project.directory, project.config, project.section)
    if not params["revision"]:
        raise StewardError("revision is empty: name one, or heads")
    python = _alembic.find_python(project.python)
    secrets = _connection.secrets_of(place) | project.secrets() | _alembic.inherited_secrets(os.environ)
    with contextlib.closing(_runner_process.Runner(project, python, temporary)) as runner:
        with _at_one_moment(connection, place):
            server = _read_server(connection)
        if server.pooled:
            return Looked(server)
        identity = _connection.Server(server.database, server.started)
        request = _alembic.build_request(project, files, place, params, True, identity)
        request |= {"action": "info", "lock_timeout": LOCK_TIMEOUT}
        if _ENCODING not in {**os.environ, **project.environment}:
            request["environment"] = {**request["environment"], _ENCODING: "UTF8"}
        watch = _Look()
        ended = runner.ask(request, secrets, watch)
    known = {**server.as_return(), "versions": dict(ended.answer.versions or {}), "output": ended.output}
    _refuse_unfinished(ended, watch.looked, known, warn)
    with _at_one_moment(connection, place):
        relations = _read_relations(connection)
        table = version_table(relations, ended.answer)
        current = _read_versions(connection, table)
        applied = _read_journal(connection, table)
    output = tuple(ended.output)
    return Looked(server, ended.answer, watch.looked, tuple(relations), table, current, output, applied)


@dataclass
class _Look:
    """Keeps what the action info reports beside an Answer; empty while it did not come that far."""

    looked: Mapping[str, Any] = field(default_factory=dict)

    def fact(self, fact: Mapping[str, Any]) -> None:
        """Take what the runner reports."""
        self.looked = fact.get("looked", self.looked)

    def tick(self) -> None:
        """Nothing is to be done while the runner works."""


def _refuse_unfinished(
    ended: _runner_process.Ended, looked: Mapping[str, Any], known: Mapping[str, Any], warn: Callable[[str], None]
) -> None:
    """Raise StewardError unless the project said all there is to say; an env.py may trip over reading only afterwards."""
    answer, failure = ended.answer, ended.answer.failure
    for note in answer.notes:
        warn(note)
    if answer.finished:
        return
    message = _revisions.failure_message(replace(answer, graph=None), (), ended.how, ())
    if "read-only transaction" in message:
        message += ": alembic_info only reads; let env.py write inside of revisions only"
    if not looked or (failure and failure.ours):
        raise StewardError(message, **known)
    warn(f"after everything was read, {message}")


# What the database says


def connected(place: Place) -> psycopg.Connection[Any]:
    """Return a connection for reading, through a pooler too; raises StewardError, whose facts say that there is none."""
    try:
        connection = _connection.connect(place, APPLICATION_NAME, through_pooler=True)
    except StewardError as error:
        error.facts["connected"] = False
        raise
    connection.prepare_threshold = None
    return connection


@contextlib.contextmanager
def _at_one_moment(connection: psycopg.Connection[Any], place: Place) -> Iterator[None]:
    """Read in one transaction that can do nothing else; turn the server's errors into one line with the remedy."""
    import psycopg

    try:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            connection.execute(_PIN)
            yield
        finally:
            connection.execute("ROLLBACK")
    except psycopg.Error as error:
        text = _alembic_runner.first_lines(str(error))
        remedy = "check the server's log"
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            remedy = f"grant SELECT on it to {place.user or 'the account'}"
        elif isinstance(error, psycopg.errors.LockNotAvailable):
            remedy = "wait for the migration that holds it"
        raise StewardError(f"{place} cannot be read: {text}: {remedy}", connected=True) from None


def _read_server(connection: psycopg.Connection[Any]) -> Server:
    [(database, started, version, standby, backend)] = connection.execute(_SERVER).fetchall()
    return Server(database, started, version, standby, backend != connection.info.backend_pid)


def _read_relations(connection: psycopg.Connection[Any]) -> list[Relation]:
    return [Relation(*row) for row in connection.execute(_RELATIONS)]


def _read_versions(connection: psycopg.Connection[Any], table: Relation | None) -> tuple[str, ...]:
    from psycopg import sql

    if table is None:
        return ()
    query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(table.schema, table.name))
    return tuple(sorted(row[0] for row in connection.execute(query)))


def _read_journal(connection: psycopg.Connection[Any], table: Relation | None) -> dict[str, float]:
    row = connection.execute(_MAY_READ_JOURNAL).fetchone()
    if table is None or row is None or not row[0]:
        return {}
    return dict(connection.execute(_JOURNAL, [str(table)]).fetchall())


def _pooled(server: Server, connection: psycopg.Connection[Any], place: Place) -> dict[str, Any]:
    """Return the little that is known through a pooler, where no env.py tells which version table counts."""
    evidence = [f"{place} is a connection pooler, through which the project is not run."]
    for table in _read_relations(connection):
        if table.versions:
            names = _read_versions(connection, table)
            evidence.append(f"{table} {'names ' + _alembic_state.some(names) if names else 'has no row'}.")
    return {
        **server.as_return(),
        "changed": False,
        "state": None,
        "evidence": evidence,
        "next_action": "Give alembic_info the address of the server itself.",
    }


# What it means


def version_table(relations: Sequence[Relation], answer: Answer) -> Relation | None:
    """Return the version table that env.py uses, found as its session would find it; None when there is none."""
    schemas = [answer.version_table_schema] if answer.version_table_schema else answer.search_path
    found = {item.schema: item for item in relations if item.name == answer.version_table}
    return next((found[schema] for schema in schemas if schema in found), None)


def facts_of(looked: Looked, directory: str) -> Facts:
    """Return the facts that decide about a database; directory holds the project, whose files are read if need be."""
    answer, relations, table = looked.answer, looked.relations, looked.table
    graph = answer.graph or {}
    wanted = ".".join(filter(None, (answer.version_table_schema, answer.version_table)))
    return Facts(
        current=looked.current,
        targets=answer.targets,
        heads=answer.heads,
        graph=graph,
        version_table=str(table or wanted),
        has_version_table=table is not None,
        tables=tuple(str(item) for item in relations if item.is_table and not item.versions and item is not table),
        others=tuple(str(item) for item in relations if item.versions and item is not table),
        models=_models(looked.more["models"], relations, graph, looked.current, directory),
    )


def _models(
    tables: Sequence[tuple[str | None, str]] | None,
    relations: Sequence[Relation],
    graph: Mapping[str, Mapping[str, Any]],
    current: Sequence[str],
    directory: str,
) -> Models | None:
    """Return where the models' tables stand; the revisions' files are read only when one is missing."""
    if not tables:
        return None
    live = {(item.schema, item.name) for item in relations}
    wanted = [(schema, name) for schema, name in tables]
    found = _alembic_state.judge_models(wanted, live, (), ())
    if not found.unwritten:
        return found
    have = _alembic_runner.closure(graph, current)
    texts = {name: _alembic_state.words(_text(Path(directory, entry["path"]))) for name, entry in graph.items()}
    return _alembic_state.judge_models(
        wanted,
        live,
        [found for name, found in texts.items() if name in have],
        [found for name, found in texts.items() if name not in have],
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def as_return(facts: Facts, looked: Looked) -> dict[str, Any]:
    """Return what the module returns of a database and a project that could be looked at."""
    answer, verdict = looked.answer, _alembic_state.decide(facts)
    behind = ("This was read from a standby, which may be behind its primary.",) * looked.server.standby
    history = history_of(facts.graph, looked.more["files"], looked.applied, facts.current)
    entries = {item["revision"]: item for item in history}
    return {
        "changed": False,
        "state": verdict.state,
        "evidence": [*verdict.evidence, *behind],
        "next_action": verdict.next_action,
        "current": list(facts.current),
        "resolved": [entries[revision] for revision in facts.current if revision in entries],
        "targets": list(facts.targets),
        "heads": list(facts.heads),
        "bases": [item["revision"] for item in history if not item["down"]],
        "branches": branches_of(history, facts.graph),
        "merges": [item["revision"] for item in history if len(item["down"]) > 1],
        "history": history,
        "pending": [
            {key: entries[revision][key] for key in ("revision", "message", "path")}
            for revision in _alembic_state.pending(facts)
        ],
        "version_table": answer.version_table,
        "version_table_schema": answer.version_table_schema,
        "target_metadata": answer.target_metadata,
    }


def history_of(
    graph: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Mapping[str, Any]],
    applied: Mapping[str, float],
    current: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the revisions oldest first, each after those that it stands on or depends on.

    applied: when the journal says that they were; it counts of those that the database has, which somebody else may have taken back.
    """
    there = _alembic_runner.closure(graph, current)
    return [
        {
            "revision": revision,
            "down": files[revision]["down"],
            "depends_on": [name for name in entry["down"] if name not in files[revision]["down"]],
            "message": entry["message"],
            "created": files[revision]["created"],
            "path": entry["path"],
            "applied": applied.get(revision) if revision in there else None,
        }
        for revision, entry in graph.items()
    ]


def branches_of(history: Sequence[Mapping[str, Any]], graph: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return points (each revision that several follow, and those) and labels (each with the newest revisions of its branch)."""
    following: dict[str, list[str]] = {}
    for item in history:
        for revision in item["down"]:
            following.setdefault(revision, []).append(item["revision"])
    labels: dict[str, set[str]] = {}
    for revision, entry in graph.items():
        for label in entry["labels"]:
            labels.setdefault(label, set()).add(revision)
    return {
        "points": [{"revision": name, "next": sorted(after)} for name, after in following.items() if len(after) > 1],
        "labels": {label: _alembic_runner.maximal(graph, members) for label, members in sorted(labels.items())},
    }
