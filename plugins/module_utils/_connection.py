# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a database is, and connections of our own to it.

A place comes from a URL as SQLAlchemy writes it or from the login_* options. SQLAlchemy is not needed here. Connections
are pinned: whoever owns a database may plant functions and operators in it, so the search path holds pg_catalog only.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlencode

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

if TYPE_CHECKING:
    import psycopg

MASK = "********"
PINNED_OPTIONS = "-c search_path=pg_catalog,pg_temp"
CONNECT_TIMEOUT = 10
RELOAD_LIMIT = 10.0  # seconds; a postmaster that does not read its files within this time needs a person

ARGUMENTS: dict[str, dict[str, Any]] = {
    "login_host": {"type": "str"},
    "login_unix_socket": {"type": "path"},
    "login_port": {"type": "int"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "ssl_mode": {"type": "str", "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_rootcert"]},
}

# For modules that take a URL as well.
URL_ARGUMENT: dict[str, dict[str, Any]] = {"url": {"type": "str", "no_log": True}}
URL_RULES: dict[str, Any] = {
    "mutually_exclusive": [("url", name) for name in ARGUMENTS],
    "required_one_of": [("url", "login_db")],
}

# The grammar of sqlalchemy.engine.make_url: a name, an account, an address, a database, a query.
_URL = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?)?"
    r"(?:/(?P<database>[^?]*))?"
    r"(?:\?(?P<query>.*))?",
)
_DIALECTS = ("postgresql", "postgres")

# What libpq understands of a URL's query. The rest (async_fallback, …) speaks to the application's driver.
# fmt: off
_LIBPQ_OPTIONS = frozenset(
    {
        "channel_binding", "client_encoding", "connect_timeout", "gssencmode", "gsslib", "hostaddr",
        "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
        "load_balance_hosts", "options", "passfile", "require_auth", "ssl_max_protocol_version",
        "ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcrl", "sslcrldir", "sslkey", "sslmode",
        "sslnegotiation", "sslpassword", "sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout",
    }
)
# fmt: on

_REMEDIES = (
    (r"password authentication failed|no password supplied", "check the user and the password"),
    (r"database .* does not exist", "create the database or check its name"),
    (r"role .* does not exist", "create the role or check login_user"),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "add a pg_hba rule for this client, or use TLS if the rules want it",
    ),
    (r"resolve|translate host name|name or service", "check the host name"),
    (r"refused|no such file|no route|unreachable", "check that the server runs and listens there"),
    (r"timeout|timed out", "check the address and the firewall between"),
    (r"certificate|ssl|tls", "check ssl_mode and ca_cert"),
    (r"too many|connection slots|connection limit", "free a connection or raise the limit"),
    (r"starting up|shutting down|recovery mode", "wait until the server is up"),
    (r"unsupported startup parameter", "give the server's own address, not that of a connection pooler"),
    (r"permission denied", "grant CONNECT on the database to the user"),
)


@dataclass(frozen=True)
class Place:
    """A database as a client names it. host is a name, an address, a socket directory or None (libpq decides)."""

    database: str | None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    driver: str | None = None
    query: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return (
            f"host {self.host or 'local socket'} port {self.port or 5432} database {self.database or 'of that name'} "
            + (f"user {self.user}" if self.user else "user of that name")
        )


def parse_url(text: str) -> Place:
    """Return the place that a SQLAlchemy URL names; the text itself never appears in an error.

    Accepts postgresql://, postgres:// and postgresql+driver://. Raises StewardError when text is none of these.
    """
    match = _URL.fullmatch(text.strip())
    if match is None:
        raise StewardError("url is no database URL: write postgresql://user:password@host:port/database")
    parts = match.groupdict()
    dialect, _plus, driver = parts["scheme"].partition("+")
    if dialect not in _DIALECTS:
        raise StewardError(f"url names the database system {dialect!r}, and only postgresql is served")
    host, query = parts["ipv6"] or parts["host"], parse_qsl(parts["query"] or "", keep_blank_values=True)
    if host and "@" in host:
        raise StewardError("url has two @ before its host: write %40 for an @ in the user or the password")
    if parts["port"] and not parts["port"].isdigit():
        raise StewardError("url has a port that is no number: write postgresql://user:password@host:port/database")
    named = {key: ",".join(value for name, value in query if name == key) for key, _value in query}
    port = parts["port"] or named.get("port")
    return Place(
        database=_unquoted(parts["database"]) or named.get("dbname") or None,
        host=named.get("host") or host or None,
        port=_one_port(port),
        user=_unquoted(parts["user"]) or named.get("user") or None,
        password=_unquoted(parts["password"]) or named.get("password") or None,
        driver=driver or None,
        query=tuple(query),
    )


def _one_port(text: str | None) -> int | None:
    """Return the port that a text names, also for each of several hosts; None when it is none or they differ."""
    listed = set((text or "").split(","))
    only = listed.pop() if len(listed) == 1 else ""
    return int(only) if only.isdigit() else None


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def place_from_params(params: Mapping[str, Any]) -> Place:
    """Return the place that a module's url or login_* options name."""
    if params.get("url"):
        return parse_url(params["url"])
    host = params.get("login_unix_socket") or params.get("login_host") or None
    query: Iterable[tuple[str, Any]] = (("sslmode", params.get("ssl_mode")), ("sslrootcert", params.get("ca_cert")))
    if host and "," in host:  # all servers of a cluster: the primary, also for sessions that are read-only
        query = (*query, ("target_session_attrs", "primary"))
    return Place(
        database=params.get("login_db"),
        host=host,
        port=params.get("login_port"),
        user=params.get("login_user") or None,
        password=params.get("login_password") or None,
        query=tuple((key, value) for key, value in query if value),
    )


def render_url(place: Place) -> str:
    """Return the SQLAlchemy URL of a place made from login_* options; it names a driver only when the place does."""
    account = quote(place.user or "", safe="")
    if place.password:
        account += ":" + quote(place.password, safe="")
    host, port, query = place.host or "", place.port, place.query
    if "," in host:  # SQLAlchemy wants a port for each of several hosts
        ports = (("port", ",".join([str(port)] * len(host.split(",")))),) if port else ()
        host, port, query = "", None, (("host", host), *ports, *query)
    elif host.startswith(("/", "@")):
        host, query = "", (("host", host), *query)
    elif ":" in host:
        host = f"[{host}]"
    scheme = "postgresql" + (f"+{place.driver}" if place.driver else "")
    address = (f"{account}@" if account else "") + host + (f":{port}" if port else "")
    return f"{scheme}://{address}/{quote(place.database or '', safe='')}" + (f"?{urlencode(query)}" if query else "")


def connection_arguments(place: Place, application_name: str) -> dict[str, Any]:
    """Return the keyword arguments for psycopg.connect, pinned; options of the URL itself come before the pin."""
    query = dict(place.query)
    if "ssl" in query and "sslmode" not in query:  # asyncpg's word for it
        query["sslmode"] = {"true": "require", "false": "disable"}.get(query["ssl"].lower(), query["ssl"])
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT}
    arguments.update({key: value for key, value in query.items() if key in _LIBPQ_OPTIONS})
    arguments["options"] = f"{query.get('options', '')} {PINNED_OPTIONS}".strip()
    arguments["application_name"] = application_name
    named = {
        "host": place.host,
        "port": place.port,
        "user": place.user,
        "password": place.password,
        "dbname": place.database,
    }
    arguments.update({key: value for key, value in named.items() if value is not None})
    return arguments


def connect(place: Place, application_name: str, *, through_pooler: bool = False) -> psycopg.Connection[Any]:
    """Return a pinned psycopg 3 connection in autocommit mode.

    through_pooler: where a pooler refuses the pin, connect without it; the caller then sets what it needs in each transaction.
    Raises StewardError with one line that names the place and the remedy, never the password.
    """
    try:
        import psycopg
    except ImportError as error:
        raise StewardError(
            f"psycopg 3 cannot be imported by this host's interpreter: install psycopg there ({error})"
        ) from None
    arguments = connection_arguments(place, application_name)
    failures = []
    for attempt in chain([arguments], _by_address(arguments)):
        try:
            return psycopg.connect(autocommit=True, **attempt)
        except psycopg.Error as error:
            failures.append(mask(str(error), secrets_of(place)))
        if through_pooler and "unsupported startup parameter" in failures[-1] and "options" in attempt:
            unpinned = {**place.__dict__, "query": tuple(item for item in place.query if item[0] != "options")}
            return connect_unpinned(Place(**unpinned), application_name)
        if "FATAL" in failures[-1]:
            break
    # Raised outside the handler: the driver's error keeps its arguments, and must not travel along.
    raise StewardError(login_message(place, next((text for text in failures if "FATAL" in text), failures[0])))


def connect_unpinned(place: Place, application_name: str) -> psycopg.Connection[Any]:
    """Return a connection as connect does, with the search path that the server gives it."""
    import psycopg

    arguments = {key: value for key, value in connection_arguments(place, application_name).items() if key != "options"}
    try:
        return psycopg.connect(autocommit=True, **arguments)
    except psycopg.Error as error:
        text = mask(str(error), secrets_of(place))
    raise StewardError(login_message(place, text))


def has_driver() -> bool:
    """Tell whether psycopg 3 is there; it comes with the packages, so a dry run on somebody's server may be without."""
    return importlib.util.find_spec("psycopg") is not None


def read_json(place: Place, application_name: str, query: str, *, without_driver: bool = False) -> Any:
    """Return what a query of one JSON value answers, read only.

    without_driver: where psycopg is not installed, ask by the psql beside the server. Raises StewardError.
    """
    if without_driver and not has_driver():
        return _psql_json(place, application_name, query)
    with connect(place, application_name) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def _psql_json(place: Place, application_name: str, query: str) -> Any:
    command = ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", query]
    named = {"-h": place.host, "-p": place.port, "-U": place.user, "-d": place.database}
    command += [part for option, value in named.items() if value is not None for part in (option, str(value))]
    environment = {
        **os.environ,
        "PGOPTIONS": f"{PINNED_OPTIONS} -c default_transaction_read_only=on",
        "PGAPPNAME": application_name,
        "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT),
    }
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=environment)
    except OSError as error:
        raise StewardError(f"neither psycopg nor psql can be used here: {error.strerror}") from None
    if answer.returncode:
        reason = re.sub(r"^psql: error: ", "", answer.stderr)
        raise StewardError(login_message(place, mask(reason, secrets_of(place))))
    return json.loads(answer.stdout)


def _by_address(arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the arguments for each address of a host name that has several.

    psycopg reports what the last address said (often an IPv6 one that nobody listens on), not what a server answered.
    """
    host = str(arguments.get("host", ""))
    if not host or host.startswith(("/", "@")) or "," in host or "hostaddr" in arguments:
        return
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if len(addresses) > 1:
        yield from ({**arguments, "hostaddr": address} for address in addresses)


def login_message(place: Place, driver_message: str) -> str:
    """Return one line for a failed login: where, why, and what to do about it."""
    lines = [line.strip() for line in driver_message.splitlines() if line.strip()] or ["no reason given"]
    # libpq tries again without TLS and appends that error, which is the lesser one: the first tells the reason.
    reason = re.sub(r"^(connection failed: )?(connection to server .*? failed: )?(FATAL:\s*)?", "", lines[0])
    remedy = next(
        (text for pattern, text in _REMEDIES if re.search(pattern, reason, re.IGNORECASE)), "check url or login_*"
    )
    return f"cannot connect to {place}: {reason}: {remedy}"


@dataclass(frozen=True)
class Server:
    """What identifies a server and a database from inside. started is a UTC time with microseconds, digits only."""

    database: str
    started: str


def read_server(connection: psycopg.Connection[Any], place: Place) -> Server:
    """Return the identity of the server behind a connection; raises StewardError on a standby and behind a pooler."""
    [(database, started, standby, backend)] = connection.execute(
        "SELECT current_database(), to_char(timezone('UTC', pg_postmaster_start_time()), 'YYYYMMDDHH24MISSUS'),"
        " pg_is_in_recovery(), pg_backend_pid()"
    ).fetchall()
    refuse_unwritable(place, standby, backend != connection.info.backend_pid)
    return Server(database, started)


def refuse_unwritable(place: Place, standby: bool, pooled: bool) -> None:
    """Raise StewardError for a server that must not be migrated through this connection.

    pooled: the process that answers is not the one that answered the login, as behind a connection pooler. What a
    session sets would stay behind on the pooler's server connections and reach other clients, a read-only default
    above all.
    """
    if standby:
        raise StewardError(f"{place} is a standby, which takes no writes: give the address of the primary")
    if pooled:
        raise StewardError(f"{place} is a connection pooler: give the address of the server itself")


def secret_forms(secret: str) -> frozenset[str]:
    """Return the spellings in which a secret may show up: raw, quoted for a URL, with % doubled for a config file."""
    plain = {secret, quote(secret, safe=""), quote(secret, safe=" +"), quote_plus(secret), repr(secret)[1:-1]}
    return frozenset(plain | {text.replace("%", "%%") for text in plain})


def secrets_of(place: Place) -> frozenset[str]:
    """Return every spelling of the secrets that reach a place: its password, that of its key, PGPASSWORD."""
    values = [place.password, os.environ.get("PGPASSWORD")]
    values += [value for key, value in place.query if key in ("password", "sslpassword")]
    return frozenset().union(*(secret_forms(value) for value in values if value))


_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]+(?=@)")
_NAMED_PASSWORD = re.compile(
    r"(\b\w*(?:password|passwd)['\"]?\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s,;)&\0]+)", re.IGNORECASE
)


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return text without the secrets, and without any password that its place in a URL or its name gives away."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _URL_PASSWORD.sub(rf"\g<1>{MASK}", text)
    return _NAMED_PASSWORD.sub(rf"\g<1>{MASK}", text)


def reload(connection: psycopg.Connection[Any]) -> None:
    """Make the server read its files and wait until it has; raises StewardError when it does not within RELOAD_LIMIT.

    Logins from then on are judged by the new rules, and the new settings hold in this session.
    """
    loaded = connection.execute("SELECT pg_conf_load_time()").fetchone()
    connection.execute("SELECT pg_reload_conf()")
    limit = time.monotonic() + RELOAD_LIMIT
    while connection.execute("SELECT pg_conf_load_time()").fetchone() == loaded:
        if time.monotonic() > limit:
            raise StewardError(
                f"the files are written, but the server has not read them within {RELOAD_LIMIT:.0f} s of the reload: look at its log"
            )
        time.sleep(0.02)
