# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module's side of an Alembic run: check the project, run the runner, believe only what the database says."""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote

from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic_runner, _connection, _revisions
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "pgsteward alembic_upgrade"
OUTPUT_LINES = 200
OUTPUT_BYTES = 65536

# PWD and OLDPWD are the shell's own.
_SECRET_NAME = re.compile(
    r"pass|secret|token|credential|apikey|(?<!^)(?<!^OLD)pwd$|(^|_)(key|auth)($|_)", re.IGNORECASE
)
_URL_SECRET = re.compile(r"://[^:/@\s]*:([^@\s]+)@")
_PLAIN_VALUE = re.compile(r"\d{0,2}|true|false|yes|no|on|off|none|null", re.IGNORECASE)
_DURATION = re.compile(r"\d+ ?(us|ms|s|min|h|d)?")


ARGUMENTS: dict[str, dict[str, Any]] = {
    **_connection.ARGUMENTS,
    "project": {"type": "path", "required": True},
    "config": {"type": "str", "default": "alembic.ini"},
    "section": {"type": "str", "default": "alembic"},
    "url": {"type": "str", "no_log": True},
    "virtualenv": {"type": "path"},
    "python": {"type": "path"},
    # Not logged; what of it is harmless comes back in clear, see settle_secrets.
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "x": {"type": "list", "elements": "str", "default": []},
}
MUTATING_ARGUMENTS: dict[str, dict[str, Any]] = {
    "lock_timeout": {"type": "str", "default": "500ms"},
    "statement_timeout": {"type": "str"},
}
ARGUMENT_RULES: dict[str, Any] = {
    "mutually_exclusive": [("virtualenv", "python"), *(("url", name) for name in _connection.ARGUMENTS)],
    "required_one_of": [("url", "login_db")],
}


@dataclass(frozen=True)
class Project:
    """An Alembic tree, and how to run it. directory is absolute; environment is for the runner's process."""

    directory: str
    config: str
    section: str
    python: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    x: tuple[str, ...] = ()

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Project:
        """Return the project that a module's options name."""
        directory = Path(params["project"]).absolute()
        python = params.get("python") or sys.executable
        if params.get("virtualenv"):
            python = str(directory / params["virtualenv"] / "bin" / "python")
        environment = {name: _as_text(value) for name, value in (params.get("environment") or {}).items()}
        return cls(
            str(directory), params["config"], params["section"], python, environment, tuple(params.get("x") or ())
        )

    def secrets(self) -> frozenset[str]:
        """Return every spelling of the secrets in environment and x."""
        named = [*self.environment.items(), *(argument.partition("=")[::2] for argument in self.x)]
        found = [secret for name, value in named for secret in secret_values(name, value)]
        return frozenset().union(*(_connection.secret_forms(secret) for secret in found))


def inherited_secrets(environment: Mapping[str, str]) -> frozenset[str]:
    """Return every spelling of the secrets that the project's process inherits; short values are too common to mask."""
    found = [secret for name, value in environment.items() for secret in secret_values(name, value) if len(secret) >= 6]
    return frozenset().union(*(_connection.secret_forms(secret) for secret in found))


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def secret_values(name: str, value: str) -> list[str]:
    """Return what must be kept of a named value: all of it when the name says so, the password of a URL in it."""
    if _PLAIN_VALUE.fullmatch(value):
        return []
    inside = _URL_SECRET.search(value)
    if inside:
        return [value, inside[1], unquote(inside[1])]
    return [value] if _SECRET_NAME.search(name) else []


def settle_secrets(module: Any) -> None:
    """Tell an AnsibleModule which values it must mask in all that it returns, and which not.

    environment is kept from the log as a whole, but masking each of its values everywhere would spoil the result: a
    PYTHONPATH of "." would take every dot.
    """
    project, place = Project.from_params(module.params), _connection.place_from_params(module.params)
    kept = {module.params[name] for name in ("url", "login_password") if module.params.get(name)}
    module.no_log_values.difference_update(set(project.environment.values()) - kept)
    module.no_log_values.update(project.secrets() | _connection.secrets_of(place))


# The project's files


@dataclass(frozen=True)
class ConfigFiles:
    """The files that alembic's Config reads; at least one is there."""

    ini: str | None
    toml: str | None


def find_config(directory: str, config: str, section: str) -> ConfigFiles:
    """Return the config files of a project; raises StewardError when they or the section are not there."""
    project = Path(directory)
    if not project.is_dir():
        raise StewardError(f"project {directory} is no directory")
    ini, toml = project / config, project / "pyproject.toml"
    has_toml = section == "alembic" and _has_alembic_table(toml)
    if ini.name == "pyproject.toml":
        if not has_toml:
            raise StewardError(f"{toml} has no table [tool.alembic]")
        return ConfigFiles(None, str(toml))
    if ini.is_file():
        sections = read_sections(ini)
        if section not in sections and not has_toml:
            raise StewardError(f"{ini} has no section [{section}]; it has: {', '.join(sections) or 'none'}")
        return ConfigFiles(str(ini), str(toml) if has_toml else None)
    if has_toml:
        return ConfigFiles(None, str(toml))
    raise StewardError(
        f"there is no {config} in {directory}: name the project's directory by project, and the file by config"
    )


def read_sections(path: Path) -> list[str]:
    """Return the names of the sections of an ini file; raises StewardError when it is none or cannot be read."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise StewardError(f"{path} cannot be read: {error}") from None
    return parser.sections()


def _has_alembic_table(path: Path) -> bool:
    if not path.is_file():
        return False
    import tomllib

    try:
        return "alembic" in tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise StewardError(f"{path} cannot be read: {error}") from None


def find_python(python: str) -> str:
    """Return the path of an interpreter; raises StewardError when it is not there or cannot be run."""
    path = shutil.which(python)
    if path is None:
        raise StewardError(f"there is no interpreter {python}: name one by virtualenv or python")
    return path


def check_duration(name: str, value: str | None) -> None:
    """Raise StewardError when value is given and no duration as PostgreSQL writes it, such as 500ms."""
    if value is not None and not _DURATION.fullmatch(value):
        raise StewardError(f"{name} is no duration: write a number and us, ms, s, min, h or d, such as 500ms")


# The runner's process


@dataclass(frozen=True)
class Ended:
    """What a runner's process left behind. how is empty when it ended by itself with status 0."""

    answer: Answer
    output: list[str]
    how: str


class Runner:
    """A runner's process: it imports alembic at once, and waits for the request."""

    def __init__(self, project: Project, python: str, temporary: str) -> None:
        # All three live as long as the process, until close(). The first two have no name that anyone could open.
        self._answer: IO[bytes] = tempfile.TemporaryFile(dir=temporary)  # noqa: SIM115
        self._output: IO[bytes] = tempfile.TemporaryFile(dir=temporary)  # noqa: SIM115
        self._source = tempfile.NamedTemporaryFile(dir=temporary, prefix="alembic_runner_", suffix=".py")  # noqa: SIM115
        self._source.write(_runner_source())
        self._source.flush()
        descriptor = self._answer.fileno()
        # What looks like a secret goes in with the request: a process's first environment can be read from outside.
        plain = {name: value for name, value in project.environment.items() if not secret_values(name, value)}
        try:
            self._process = subprocess.Popen(
                [python, self._source.name, str(descriptor)],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                cwd=project.directory,
                env={**os.environ, **plain},
                pass_fds=(descriptor,),
            )
        except OSError as error:
            raise StewardError(f"{python} cannot be run: {error.strerror}") from None

    def ask(self, request: Mapping[str, Any], secrets: frozenset[str]) -> Ended:
        """Send the request, wait for the end, return the answer with all texts masked."""
        with contextlib.suppress(BrokenPipeError):  # it died before; its output tells why
            self._process.communicate(json.dumps(request).encode())
        status = self._process.wait()
        self._answer.seek(0)
        answer = masked(_revisions.read_answer(self._answer.read().decode("utf-8", "replace")), secrets)
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - OUTPUT_BYTES))
        output = _connection.mask(self._output.read().decode("utf-8", "replace"), secrets).splitlines()[-OUTPUT_LINES:]
        return Ended(answer, output, ending(status, output))

    def close(self) -> None:
        """End the process if it still waits for a request, and remove what belongs to it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        for file in (self._answer, self._output, self._source):
            file.close()


def masked(answer: Answer, secrets: frozenset[str]) -> Answer:
    """Return the answer with its free texts masked; revisions and names stay as they are."""
    failure = answer.failure
    return replace(
        answer,
        failure=replace(failure, text=_connection.mask(failure.text, secrets)) if failure else None,
        notes=tuple(_connection.mask(note, secrets) for note in answer.notes),
    )


def ending(status: int, output: list[str]) -> str:
    """Return how a process without an answer ended: its exit status or signal, and the last line that it wrote."""
    how = (
        f"the process was killed by signal {-status}" if status < 0 else f"the process ended with exit status {status}"
    )
    last = next((line.strip() for line in reversed(output) if line.strip()), "")
    return f"{how}, without an answer" + (f"; its last words: {last}" if last else "")


def _runner_source() -> bytes:
    """Return the runner's source. It travels with this module and may lie in an archive: its loader knows where."""
    spec = _alembic_runner.__spec__
    get_source = getattr(spec.loader if spec else None, "get_source", None)
    source = get_source(_alembic_runner.__name__) if get_source else None
    if source is None:
        raise StewardError("the runner's source is missing from this installation of the collection")
    return str(source).encode()


# What the database says


@contextlib.contextmanager
def _queries(place: Place) -> Iterator[None]:
    """Turn errors of our own queries into one line."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise StewardError(f"a query of our own failed at {place}: {_alembic_runner.first_lines(str(error))}") from None


def read_heads(connection: psycopg.Connection[Any], answer: Answer) -> list[str]:
    """Return the revisions in the version table that env.py uses, sorted; none when there is no such table."""
    from psycopg import sql

    if answer.version_table is None:
        return []
    schemas = [answer.version_table_schema] if answer.version_table_schema else list(answer.search_path)
    found = connection.execute(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = %s AND n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'f')"
        " ORDER BY array_position(%s::name[], n.nspname) LIMIT 1",
        [answer.version_table, schemas, schemas],
    ).fetchone()
    if found is None:
        return []
    table = sql.Identifier(found[0], answer.version_table)
    return sorted(row[0] for row in connection.execute(sql.SQL("SELECT version_num FROM {}").format(table)))


def heads_now(connection: psycopg.Connection[Any], place: Place, answer: Answer) -> list[str]:
    """Return read_heads, over a new connection when the first one was lost in the hours that a migration may take."""
    import psycopg

    try:
        return read_heads(connection, answer)
    except psycopg.OperationalError:
        with _connection.connect(place, APPLICATION_NAME) as again:
            return read_heads(again, answer)


def has_tables(connection: psycopg.Connection[Any]) -> bool:
    """Say whether somebody made tables in this database, other than a table of revisions or those of an extension."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"
        " AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'version_num')"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
        " AND d.deptype = 'e'))"
    ).fetchone()
    return bool(row and row[0])


# One upgrade


def build_request(
    project: Project,
    files: ConfigFiles,
    place: Place,
    params: Mapping[str, Any],
    check: bool,
    server: _connection.Server,
) -> dict[str, Any]:
    """Return the request for the runner: everything that it needs, the secrets among it."""
    return {
        "action": "upgrade",
        "check": check,
        "ini": files.ini,
        "toml": files.toml,
        "section": project.section,
        "url": (params.get("url") or _connection.render_url(place)).strip(),
        "place": {"host": place.host, "port": place.port or 5432, "database": place.database, "user": place.user},
        "identity": [server.database, server.started],
        "targets": list(params["revision"]),
        "x": list(project.x),
        "environment": {name: value for name, value in project.environment.items() if secret_values(name, value)},
        "given_names": sorted(project.environment),
        "lock_timeout": params.get("lock_timeout"),
        "statement_timeout": params.get("statement_timeout"),
    }


def run_upgrade(module: Any) -> dict[str, Any]:
    """Do what an AnsibleModule asks for; return its result or raise StewardError."""
    settle_secrets(module)
    result = upgrade(module.params, module.check_mode, module.tmpdir, module.warn)
    if not module._diff:
        del result["diff"]
    return result


def upgrade(params: Mapping[str, Any], check: bool, temporary: str, warn: Callable[[str], None]) -> dict[str, Any]:
    """Bring the database to the wanted revisions, or say in check mode what that would take; return the result.

    temporary: a private directory. Raises StewardError, with what lasts in its facts.
    """
    project, place = Project.from_params(params), _connection.place_from_params(params)
    files = find_config(project.directory, project.config, project.section)
    for name in ("lock_timeout", "statement_timeout"):
        check_duration(name, params.get(name))
    if not params["revision"]:
        raise StewardError("revision is empty: name one, or heads")
    secrets = _connection.secrets_of(place) | project.secrets() | inherited_secrets(os.environ)
    # While we connect, the runner imports alembic; it touches nothing of the project before it has the request.
    with (
        contextlib.closing(Runner(project, find_python(project.python), temporary)) as runner,
        _connection.connect(place, APPLICATION_NAME) as connection,
        _queries(place),
    ):
        server = _connection.read_server(connection, place)
        # Before the run: afterwards the revisions' own tables are there.
        tables = has_tables(connection)
        ended = runner.ask(build_request(project, files, place, params, check, server), secrets)
        answer = ended.answer
        for note in answer.notes:
            warn(note)
        current = heads_now(connection, place, answer)
    applied = _revisions.lasting(answer, current)
    state = _revisions.state_of(answer, tables) if answer.version_table else None
    result = as_return(answer, state, current, applied, ended.output)
    if not answer.finished:
        raise StewardError(_revisions.failure_message(answer, current, ended.how, applied), **result)
    for warning in state_warnings(answer, state):
        warn(warning)
    if not check and not _revisions.reached(answer, current):
        raise StewardError(_revisions.unreached_message(answer, current), **result)
    return {**result, "changed": bool(answer.pending), "diff": _revisions.difference(answer)}


def state_warnings(answer: Answer, state: str | None) -> list[str]:
    """Return what the operator should know though nothing failed."""
    if state == "ahead":
        targets, current = ", ".join(answer.targets), ", ".join(answer.current)
        return [f"the database is past {targets} already, at {current}: nothing was done"]
    if state == "legacy" and answer.pending:
        return ["the database had tables and no recorded revision: it may have been made without Alembic"]
    return []


def as_return(
    answer: Answer, state: str | None, current: list[str], applied: list[_revisions.Applied], output: list[str]
) -> dict[str, Any]:
    """Return what every ending of a run returns; changed tells what lasts."""
    return {
        "changed": bool(applied),
        "state": state,
        "current": current,
        "heads": list(answer.heads),
        "pending": [item.as_return() for item in answer.pending],
        "applied": [item.as_return() for item in applied],
        "sql": [],
        "sql_method": "list",
        "version_table": answer.version_table,
        "version_table_schema": answer.version_table_schema,
        "target_metadata": answer.target_metadata,
        "versions": dict(answer.versions or {}),
        "output": output,
    }
