# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module's side of an Alembic run: check the project, run the runner, believe only what the database says."""

from __future__ import annotations

import configparser
import contextlib
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic_runner, _connection, _journal
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "pgsteward alembic_upgrade"

# PWD and OLDPWD are the shell's own.
_SECRET_NAME = re.compile(
    r"pass|secret|token|credential|apikey|(?<!^)(?<!^OLD)pwd$|(^|_)(key|auth)($|_)", re.IGNORECASE
)
_URL_SECRET = re.compile(r"://[^:/@\s]*:([^@\s]+)@")
_PLAIN_VALUE = re.compile(r"\d{0,2}|true|false|yes|no|on|off|none|null", re.IGNORECASE)
_DURATION = re.compile(r"(\d+) ?(us|ms|s|min|h|d)?")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


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
    "lock_wait": {"type": "str", "default": "10min"},
    "lock_timeout": {"type": "str", "default": "500ms"},
    "lock_retry": {"type": "str", "default": "5min"},
    "statement_timeout": {"type": "str"},
}
ARGUMENT_RULES: dict[str, Any] = {
    "mutually_exclusive": [("virtualenv", "python"), *(("url", name) for name in _connection.ARGUMENTS)],
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


def place_from_params(params: Mapping[str, Any]) -> Place:
    """Return the place that url or login_* name, or DATABASE_URL or POSTGRES_DB and its kin in environment.

    Raises StewardError when none of them names a database.
    """
    if params.get("url") or params.get("login_db"):
        return _connection.place_from_params(params)
    environment = Project.from_params(params).environment
    named = [name for name in _connection.ARGUMENTS if name.startswith("login_") and params.get(name)]
    if named:
        raise StewardError(f"{named[0]} is given and login_db is not: name the database by login_db")
    if environment.get("DATABASE_URL"):
        try:
            return _connection.parse_url(environment["DATABASE_URL"])
        except StewardError as error:
            raise StewardError(f"environment DATABASE_URL: {error}") from None
    if not environment.get("POSTGRES_DB"):
        raise StewardError("no database is named: give url, login_db, or DATABASE_URL or POSTGRES_DB in environment")
    port = environment.get("POSTGRES_PORT") or None
    if port and not port.isdigit():
        raise StewardError(f"environment POSTGRES_PORT is {port!r}, and no number")
    transport = _connection.place_from_params(params)
    return replace(
        transport,
        database=environment["POSTGRES_DB"],
        host=environment.get("POSTGRES_HOST") or None,
        port=int(port) if port else None,
        user=environment.get("POSTGRES_USER") or None,
        password=environment.get("POSTGRES_PASSWORD") or None,
    )


def settle_secrets(module: Any) -> None:
    """Tell an AnsibleModule which values it must mask in all that it returns, and which not.

    environment is kept from the log as a whole, but masking each of its values everywhere would spoil the result: a
    PYTHONPATH of "." would take every dot.
    """
    project, place = Project.from_params(module.params), place_from_params(module.params)
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


def seconds_of(duration: str) -> float:
    """Return the seconds of a duration that check_duration accepts; PostgreSQL takes a bare number for milliseconds."""
    match = _DURATION.fullmatch(duration)
    return int(match[1]) * _UNITS[match[2] or "ms"] if match else 0.0


# What the database says


@contextlib.contextmanager
def queries(place: Place) -> Iterator[None]:
    """Turn errors of our own queries into one line."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise StewardError(f"a query of our own failed at {place}: {_alembic_runner.first_lines(str(error))}") from None


def version_schema(connection: psycopg.Connection[Any], answer: Answer) -> str | None:
    """Return the schema of the version table that env.py uses; None when there is no such table."""
    if answer.version_table is None:
        return None
    schemas = [answer.version_table_schema] if answer.version_table_schema else list(answer.search_path)
    found = connection.execute(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = %s AND n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'f')"
        " ORDER BY array_position(%s::name[], n.nspname) LIMIT 1",
        [answer.version_table, schemas, schemas],
    ).fetchone()
    return found[0] if found else None


def read_heads(connection: psycopg.Connection[Any], answer: Answer) -> list[str]:
    """Return the revisions in the version table that env.py uses, sorted; none when there is no such table."""
    from psycopg import sql

    schema = version_schema(connection, answer)
    if schema is None or answer.version_table is None:
        return []
    table = sql.Identifier(schema, answer.version_table)
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
    """Say whether somebody made tables in this database, other than those of revisions, of our journal or of an extension."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'"
        " AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'version_num')"
        " AND n.nspname <> %s"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
        " AND d.deptype = 'e'))",
        [_journal.SCHEMA],
    ).fetchone()
    return bool(row and row[0])


# What the runner is asked


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
        "session": {},
    }
