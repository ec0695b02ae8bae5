# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scratch databases: empty ones, like the live database in all that gives DDL its meaning, for histories and models to run in.

Three kinds. instance: a private cluster on this host, which lives no longer than this process. database: a database on a
server, made by a login of little power. url: an empty database that the operator gives; what was made in it stays there.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import first_lines
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._private_cluster import find_binaries, private_cluster
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier, literal

if TYPE_CHECKING:
    import psycopg

KINDS = ("instance", "database", "url")
APPLICATION = "pgsteward scratch"
PREFIX = "pgsteward_scratch_"

_LIVE = """
SELECT json_build_object(
    'major', current_setting('server_version_num')::int / 10000,
    'started', to_char(timezone('UTC', pg_postmaster_start_time()), 'YYYYMMDDHH24MISSUS'),
    'user', session_user,
    'owner', pg_get_userbyid(d.datdba),
    'database', to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(d.encoding)),
    'extensions', (SELECT json_agg(json_build_array(e.extname, e.extversion, n.nspname) ORDER BY e.oid)
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace),
    'roles', (SELECT json_agg(rolname ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_'),
    'memberships', (SELECT json_agg(DISTINCT jsonb_build_array(g.rolname, m.rolname))
        FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
        WHERE m.rolname !~ '^pg_'),
    'defaults', (SELECT json_agg(json_build_array(s.setdatabase <> 0, s.setrole <> 0,
            ARRAY(SELECT c FROM unnest(s.setconfig) c WHERE c !~ '_preload_libraries=|^default_transaction_read_only=')))
        FROM pg_db_role_setting s WHERE s.setdatabase IN (0, d.oid)
        AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))),
    'session', (SELECT json_object_agg(name, setting) FROM pg_settings
        WHERE name IN ('TimeZone', 'DateStyle', 'IntervalStyle')))
FROM pg_database d WHERE d.datname = current_database()
"""

# 16384 is the first oid that initdb leaves to others.
_OCCUPANTS = """
SELECT pg_describe_object(o.class, o.oid, 0) FROM (
    SELECT 'pg_class'::regclass AS class, oid FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE typtype <> 'm' AND (typrelid = 0 OR typtype = 'c'
        AND (SELECT relkind FROM pg_class c WHERE c.oid = typrelid) = 'c')
        AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
    UNION ALL
    SELECT 'pg_proc'::regclass, oid FROM pg_proc) o
WHERE o.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
ORDER BY 1 LIMIT 3
"""

# Whoever uses a scratch database keeps a session open that bears its name.
_LEFT_BEHIND = """
SELECT d.datname, pg_get_userbyid(d.datdba), EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)
FROM pg_database d
WHERE d.datname ~ %s AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name = d.datname) ORDER BY 1
"""

_POWERS = """
SELECT bool_or(r.rolsuper), bool_or(r.rolcreaterole), bool_or(r.rolcreatedb AND r.rolname = current_user)
FROM pg_roles r WHERE pg_has_role(r.oid, 'MEMBER')
"""


@dataclass(frozen=True)
class Scratch:
    """A scratch database, and what the operator should know about it. The place holds a password: mask secrets_of(place)."""

    place: Place
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Locale:
    """How a database sorts and folds text. provider: c (libc), i (ICU) or b (builtin); locale and rules belong to the latter two."""

    encoding: str
    collate: str
    ctype: str
    provider: str | None = None  # None: the server is older than the choice
    locale: str | None = None
    rules: str | None = None

    def __str__(self) -> str:
        return f"{self.encoding} {self.locale or self.collate}"

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Locale:
        """Return the locale in a row of pg_database, of any version from 13 on."""
        named = row.get("datlocale") or row.get("daticulocale")
        rules = row.get("daticurules")
        return cls(row["encoding"], row["datcollate"], row["datctype"], row.get("datlocprovider"), named, rules)

    def plain(self) -> Locale:
        """Return the nearest locale that every host has."""
        name = "C.UTF-8" if self.encoding == "UTF8" else "C"
        return Locale(self.encoding, name, name, self.provider and "c")

    def clause(self) -> str:
        """Return the locale as options of CREATE DATABASE."""
        options = {"ENCODING": self.encoding, "LC_COLLATE": self.collate, "LC_CTYPE": self.ctype}
        if self.provider:
            options["LOCALE_PROVIDER"] = {"c": "libc", "i": "icu", "b": "builtin"}[self.provider]
        if self.locale:
            options["ICU_LOCALE" if self.provider == "i" else "BUILTIN_LOCALE"] = self.locale
        if self.rules:
            options["ICU_RULES"] = self.rules
        return " ".join(f"{name} = {literal(value)}" for name, value in options.items())


@dataclass(frozen=True)
class Extension:
    """An extension of a database."""

    name: str
    version: str
    schema: str


@dataclass(frozen=True)
class Live:
    """What a scratch database takes from the live one.

    memberships: (role, member). defaults: stored settings as (of this database?, of this login?, name=value …). session:
    settings of the server that change what DDL means.
    """

    place: Place
    major: int
    started: str
    database: str
    user: str
    owner: str
    locale: Locale
    extensions: tuple[Extension, ...] = ()
    roles: tuple[str, ...] = ()
    memberships: tuple[tuple[str, str], ...] = ()
    defaults: tuple[tuple[bool, bool, tuple[str, ...]], ...] = ()
    session: Mapping[str, str] = field(default_factory=dict)

    def as_key(self) -> list[Any]:
        """Return what makes two databases alike in what a history makes of them. Roles come and go, and only own and use things."""
        return [
            value for name, value in asdict(self).items() if name not in ("place", "started", "roles", "memberships")
        ]


def read_live(connection: psycopg.Connection[Any], place: Place) -> Live:
    """Return what a scratch database takes from the one behind a pinned connection; place is where that leads."""
    [[facts]] = connection.execute(_LIVE).fetchall()
    return Live(
        place=place,
        **{name: facts[name] for name in ("major", "started", "user", "owner", "session")},
        database=facts["database"]["datname"],
        locale=Locale.of(facts["database"]),
        extensions=tuple(Extension(*item) for item in facts["extensions"] or ()),
        roles=tuple(facts["roles"] or ()),
        memberships=tuple((role, member) for role, member in facts["memberships"] or ()),
        defaults=tuple((database, login, tuple(values)) for database, login, values in facts["defaults"] or ()),
    )


def choose(kind: str | None, major: int, bindir: str | None = None) -> str:
    """Return the kind of scratch to use: the one named, or instance where its binaries are; raises StewardError where not."""
    if kind is None:
        find_binaries(major, bindir)
    elif kind not in KINDS:
        raise StewardError(f"scratch is {kind!r}: choose one of {', '.join(KINDS)}")
    return kind or "instance"


def scratch(
    kind: str | None, live: Live, *, url: str | None = None, template: str | None = None, bindir: str | None = None
) -> AbstractContextManager[Scratch]:
    """Give a scratch database with the live one's extensions for as long as the context lasts.

    kind: instance, database, url, or None for instance where the server's binaries are. url: the login that makes the
    database (kind database; it has CREATEDB and neither SUPERUSER nor CREATEROLE), or the empty database (kind url; it is
    left as the run leaves it). template: a database to copy instead of template0 (kind database), for extensions that only
    a superuser may create. bindir: where the server's binaries are, if not in a usual place (kind instance).
    Raises StewardError with a remedy.
    """
    kind = choose(kind, live.major, bindir)
    if kind == "instance":
        return _instance(live, find_binaries(live.major, bindir))
    if not url:
        raise StewardError(f"scratch: {kind} needs scratch_url: {_WHAT_URL[kind]}")
    login = _connection.parse_url(url)
    return _database(live, login, template) if kind == "database" else _given(live, login)


_WHAT_URL = {
    "database": "the URL of a login with CREATEDB and without SUPERUSER and CREATEROLE",
    "url": "the URL of an empty database",
}


def redirect(environment: Mapping[str, str], live: Place, place: Place) -> dict[str, str]:
    """Return the environment of a project with each URL of the live database replaced by that of the scratch database."""
    redirected = dict(environment)
    for name, value in environment.items():
        with contextlib.suppress(StewardError):
            named = _connection.parse_url(value)
            if (named.host, named.port or 5432, named.database) == (live.host, live.port or 5432, live.database):
                redirected[name] = _connection.render_url(replace(place, driver=named.driver or place.driver))
    return redirected


# A database on a server


@contextmanager
def _database(live: Live, login: Place, template: str | None) -> Iterator[Scratch]:
    name = PREFIX + secrets.token_hex(8)
    login = replace(login, database=login.database or "postgres")
    with _open(login, name) as admin:
        with _queries(login):
            _refuse_other_server(admin, live, login)
            _refuse_powers(admin, login)
            # The name of this session tells other runs that the database is in use.
            admin.execute("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'")
            notes = _drop_leftovers(admin)
        try:
            with _queries(login):
                _create_database(admin, name, live.locale, template)
            place = replace(_dressed(login, live.place), database=name)
            notes += _furnish(place, live)
            yield Scratch(place, tuple(notes))
        except BaseException:
            with contextlib.suppress(StewardError):  # the first error tells more, and the next run drops it as well
                _drop(admin, login, name)
            raise
        _drop(admin, login, name)


def _drop(admin: psycopg.Connection[Any], login: Place, name: str) -> None:
    import psycopg

    statement = f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)".encode()
    with _queries(login):
        try:
            admin.execute(statement)
        except psycopg.OperationalError:  # the run took hours, and the connection is lost
            with _open(login, name) as again:
                again.execute(statement)


def _refuse_powers(admin: psycopg.Connection[Any], login: Place) -> None:
    [(superuser, creates_roles, creates_databases)] = admin.execute(_POWERS).fetchall()
    powers = [word for word, has in (("SUPERUSER", superuser), ("CREATEROLE", creates_roles)) if has]
    if powers:
        raise StewardError(
            f"scratch_url: {login} has {' and '.join(powers)}, by itself or by a role that it is a member of, and a history"
            " can run anything: give a login with CREATEDB and without these"
        )
    if not creates_databases:
        raise StewardError(f"scratch_url: {login} may not create databases: give the account CREATEDB")


def _refuse_other_server(connection: psycopg.Connection[Any], live: Live, place: Place) -> None:
    """Raise StewardError for a standby, a pooler, and a server of another version than the live one."""
    _connection.read_server(connection, place)
    major = connection.info.server_version // 10000
    if major != live.major:
        raise StewardError(
            f"scratch_url: {place} runs PostgreSQL {major}, and the live server {live.major}: give one of that version"
        )


def _drop_leftovers(admin: psycopg.Connection[Any]) -> list[str]:
    """Drop what earlier runs of this account left behind, and say so; name what belongs to others or is in use."""
    notes = []
    for name, owner, used in admin.execute(_LEFT_BEHIND, [f"^{PREFIX}[0-9a-f]+$"]).fetchall():
        found = f"scratch database {name} was left behind by an earlier run"
        if owner != admin.info.user:
            notes.append(f"{found} of {owner}: drop it")
        elif used:
            notes.append(f"{found}, and somebody is connected to it: drop it")
        else:
            admin.execute(f"DROP DATABASE IF EXISTS {identifier(name)}".encode())
            notes.append(f"{found}: it is dropped now")
    return notes


# A database that the operator gives


@contextmanager
def _given(live: Live, login: Place) -> Iterator[Scratch]:
    place = _dressed(login, live.place)
    with _open(place, APPLICATION) as connection, _queries(place):
        _refuse_other_server(connection, live, place)
        given = read_live(connection, place)
    if (given.database, given.started) == (live.database, live.started):
        raise StewardError(f"scratch_url leads to the live database {live.database} itself: give an empty one")
    notes = _furnish(place, live)
    yield Scratch(place, (*notes, f"scratch database {given.database} is not ours: what this run made in it stays"))


# What a database of any kind needs


def _create_database(
    admin: psycopg.Connection[Any], name: str, locale: Locale, template: str | None = None, owner: str | None = None
) -> None:
    """Create a database in the locale, or in the nearest one that the host has; a copy has that of its template."""
    import psycopg

    statement = f"CREATE DATABASE {identifier(name)}" + (f" OWNER {identifier(owner)}" if owner else "")
    if template:
        admin.execute(f"{statement} TEMPLATE {identifier(template)}".encode())
        return
    try:
        admin.execute(f"{statement} TEMPLATE template0 {locale.clause()}".encode())
    except (psycopg.errors.WrongObjectType, psycopg.errors.InvalidParameterValue):  # no such locale, libc's or ICU's
        admin.execute(f"{statement} TEMPLATE template0 {locale.plain().clause()}".encode())


def _furnish(place: Place, live: Live) -> list[str]:
    """Check that the database is empty, and create the live one's extensions; return what is not as it is there."""
    with _open(place, APPLICATION) as connection, _queries(place):
        occupants = [row[0] for row in connection.execute(_OCCUPANTS).fetchall()]
        if occupants:
            raise StewardError(f"{place} is not empty, it has {', '.join(occupants)}: a scratch database must be empty")
        notes = _create_extensions(connection, live)
        found = read_live(connection, place).locale
    if found != live.locale:
        notes.append(f"the scratch database has {found}, the live one {live.locale}: texts may sort and fold otherwise")
    return notes


def _create_extensions(connection: psycopg.Connection[Any], live: Live) -> list[str]:
    """Create the extensions that are not there; return notes about those with another version than the live one's."""
    present = dict(connection.execute("SELECT extname, extversion FROM pg_extension").fetchall())
    offered = set(connection.execute("SELECT name, version FROM pg_available_extension_versions").fetchall())
    for extension in live.extensions:
        if extension.name not in present:
            _create_extension(connection, extension, (extension.name, extension.version) in offered)
    present = dict(connection.execute("SELECT extname, extversion FROM pg_extension").fetchall())
    return [
        f"extension {item.name} is {present[item.name]} in the scratch database, and {item.version} in the live one"
        for item in live.extensions
        if present[item.name] != item.version
    ]


def _create_extension(connection: psycopg.Connection[Any], extension: Extension, offered: bool) -> None:
    """Create one extension, in its own version where that is offered; raises StewardError with a remedy."""
    import psycopg

    if not extension.schema.startswith("pg_"):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(extension.schema)}".encode())
    version = f" VERSION {literal(extension.version)}" if offered else ""
    statement = f"CREATE EXTENSION {identifier(extension.name)} SCHEMA {identifier(extension.schema)}{version}"
    try:
        connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        remedy = "this account may not create it: name a database that has it by scratch_template, or choose scratch: instance"
    except (psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported):
        remedy = "the server does not have it: install its package there, or choose another scratch"
    except psycopg.Error as error:
        remedy = f"{first_lines(str(error))}: choose another scratch"
    else:
        return
    raise StewardError(f"extension {extension.name} of the live database cannot be made in the scratch one: {remedy}")


def _dressed(login: Place, live: Place) -> Place:
    """Return a login with the driver and the options that the live URL gives to env.py, but for those of the transport."""
    transport = _connection.connection_arguments(live, "").keys() - {"options"} | {"ssl", "dbname"}
    own = {key for key, _value in login.query}
    carried = [(key, value) for key, value in live.query if key not in transport | own]
    return replace(login, driver=login.driver or live.driver, query=(*login.query, *carried))


def _open(place: Place, application_name: str) -> psycopg.Connection[Any]:
    """Return a pinned connection whose texts are texts: without an encoding, as SQL_ASCII has none, they come as bytes."""
    connection = connect(place, application_name)
    connection.execute("SET client_encoding = 'UTF8'")
    return connection


@contextmanager
def _queries(place: Place) -> Iterator[None]:
    """Turn errors of our own statements into one line."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise StewardError(f"scratch: {place}: {first_lines(str(error))}") from None


# A private cluster


@contextmanager
def _instance(live: Live, binaries: Path) -> Iterator[Scratch]:
    with private_cluster(binaries, live.user, live.session) as login:
        with _open(login, APPLICATION) as admin, _queries(login):
            _create_roles(admin, live)
            if live.database == "postgres":  # initdb makes one of that name
                admin.execute("DROP DATABASE postgres")
            _create_database(admin, live.database, live.locale, owner=live.owner)
            place = replace(_dressed(login, live.place), database=live.database)
            notes = _furnish(place, live)
            _store_defaults(admin, live)
        yield Scratch(place, tuple(notes))


def _create_roles(admin: psycopg.Connection[Any], live: Live) -> None:
    """Create the live server's roles, which histories name in grants; none but the first can log in."""
    statements = [f"CREATE ROLE {identifier(role)}" for role in live.roles if role != live.user]
    statements += [f"GRANT {identifier(role)} TO {identifier(member)}" for role, member in live.memberships]
    if statements:
        admin.execute("; ".join(statements).encode())


def _store_defaults(admin: psycopg.Connection[Any], live: Live) -> None:
    """Store the settings of the database and of the login as the live server has them: a role to work as, a search path.

    They go into the catalog as they are: the statements for it would want each list of names taken apart.
    """
    for of_database, of_login, values in live.defaults:
        admin.execute(
            "INSERT INTO pg_db_role_setting VALUES ("
            " coalesce((SELECT oid FROM pg_database WHERE %s AND datname = %s), 0),"
            " coalesce((SELECT oid FROM pg_roles WHERE %s AND rolname = %s), 0), %s)",
            [of_database, live.database, of_login, live.user, list(values)],
        )
