# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How applications name a cluster: strings with all of its servers, and whether their pools fit the poolers. Pure.

Grammar: PostgreSQL documentation, "Connection Strings" and "Specifying Multiple Hosts"; SQLAlchemy, "Specifying multiple fallback
hosts"; asyncpg's connect(), whose URL is libpq's but for connect_timeout, and whose arguments, which SQLAlchemy uses, know no sslrootcert.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

FORMS = ("uri", "keywords", "sqlalchemy")
DRIVERS = ("psycopg", "psycopg2", "asyncpg")
READ_WRITE, READ_ONLY = "read-write", "prefer-standby"
CONNECT_TIMEOUT = 5  # seconds for each host; libpq tries them one after the other

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_PLAIN_VALUE = re.compile(r"[^\s'\\]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What the string says by itself. Another sslmode would verify less.
_OWN_OPTIONS = frozenset(
    {"host", "hostaddr", "port", "dbname", "database", "user", "password", "sslmode", "ssl", "sslrootcert"}
    | {"target_session_attrs", "connect_timeout"}
)
_APPLICATION_KEYS = ("name", "processes", "pool_size", "max_overflow")


class ConnectionStringError(StewardError):
    """A cluster that cannot be named so, and what to write instead."""


@dataclass(frozen=True)
class Target:
    """Where an application connects to. hosts: every server of the cluster, as names or addresses that are in their certificates."""

    hosts: tuple[str, ...]
    port: int
    database: str
    user: str
    password: str | None = field(default=None, repr=False)
    read_only: bool = False
    sslrootcert: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    def parameters(self, connect_timeout: bool) -> dict[str, str]:
        """Return what is said beside the address, by libpq's names."""
        return {
            "target_session_attrs": READ_ONLY if self.read_only else READ_WRITE,
            "sslmode": "verify-full",
            **({"sslrootcert": self.sslrootcert} if self.sslrootcert else {}),
            **({"connect_timeout": str(CONNECT_TIMEOUT)} if connect_timeout else {}),
            **dict(self.options),
        }


def connection_string(
    hosts: Sequence[str],
    database: str,
    user: str,
    password: str | None = None,
    port: int = 5432,
    form: str = "uri",
    driver: str = "psycopg",
    read_only: bool = False,
    sslrootcert: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Return a string that leads to the server of the cluster that takes writes, or to a standby if there is one.

    form: uri and keywords are libpq's, sqlalchemy is a URL for create_engine; driver: who reads it. Raises ConnectionStringError,
    which never has the password in it.
    """
    if form not in FORMS:
        raise ConnectionStringError(f"form {form} is none of {', '.join(FORMS)}")
    if driver not in DRIVERS:
        raise ConnectionStringError(f"driver {driver} is none of {', '.join(DRIVERS)}")
    if (form, driver) == ("keywords", "asyncpg"):
        raise ConnectionStringError("asyncpg reads no keywords: write form=uri")
    target = Target(
        hosts=_hosts(hosts),
        port=_port(port),
        database=_text("database", database),
        user=_text("user", user),
        password=_text("password", password) if password else None,
        read_only=read_only,
        sslrootcert=_text("sslrootcert", sslrootcert) if sslrootcert else None,
        options=_options(options or {}),
    )
    if form == "keywords":
        return _keywords(target)
    if form == "sqlalchemy":
        return _sqlalchemy(target, driver)
    # asyncpg hands what it does not know on to the server as a setting, which refuses it.
    return _uri(target, connect_timeout=driver != "asyncpg")


def _uri(target: Target, connect_timeout: bool) -> str:
    addresses = ",".join(f"{_bracketed(host)}:{target.port}" for host in target.hosts)
    return f"postgresql://{_account(target)}@{addresses}/{_coded(target.database)}?{_query(target.parameters(connect_timeout))}"


def _keywords(target: Target) -> str:
    words = {"host": ",".join(target.hosts), "port": str(target.port), "dbname": target.database, "user": target.user}
    if target.password:
        words["password"] = target.password
    words |= target.parameters(connect_timeout=True)
    return " ".join(f"{key}={_keyword_value(value)}" for key, value in words.items())


def _sqlalchemy(target: Target, driver: str) -> str:
    where = {"host": ",".join(target.hosts), "port": ",".join(str(target.port) for _host in target.hosts)}
    said = target.parameters(connect_timeout=driver != "asyncpg")
    if driver == "asyncpg":
        # Its arguments: the CA comes from the environment (PGSSLROOTCERT) or from an SSLContext in connect_args.
        said.pop("sslrootcert", None)
        said["ssl"] = said.pop("sslmode")
    return f"postgresql+{driver}://{_account(target)}@/{_coded(target.database)}?{_query(where | said)}"


def _account(target: Target) -> str:
    return _coded(target.user) + (f":{_coded(target.password)}" if target.password else "")


def _coded(text: str) -> str:
    return quote(text, safe="")


def _query(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{_coded(key)}={quote(value, safe='/,:')}" for key, value in parameters.items())


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _keyword_value(value: str) -> str:
    if _PLAIN_VALUE.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _hosts(hosts: Any) -> tuple[str, ...]:
    if isinstance(hosts, str) or not isinstance(hosts, Iterable):
        raise ConnectionStringError("hosts must be a list of names or addresses, one for each server of the cluster")
    checked = tuple(_host(host) for host in hosts)
    if not checked:
        raise ConnectionStringError("hosts is empty: name every server of the cluster")
    twice = sorted({host for host in checked if checked.count(host) > 1})
    if twice:
        raise ConnectionStringError(f"hosts has {twice[0]} twice")
    return checked


def _host(host: Any) -> str:
    text = str(host)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not isinstance(host, str) or not _HOST_NAME.fullmatch(text):
        raise ConnectionStringError(
            f"hosts has {text!r}, which is no host name and no address; the port is given by port"
        )
    return text


def _port(port: Any) -> int:
    if isinstance(port, bool) or not str(port).isdigit() or not 0 < int(port) < 65536:
        raise ConnectionStringError(f"port {port!r} is no number from 1 to 65535")
    return int(port)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise ConnectionStringError(f"{name} must be a text without control characters, and not empty")
    return value


def _options(options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    for name in options:
        if name in _OWN_OPTIONS:
            raise ConnectionStringError(f"options has {name}, which the string says by itself")
        if not re.fullmatch(r"[a-z_0-9]+", str(name)):
            raise ConnectionStringError(f"options has {name!r}, which is no name of a parameter")
    return tuple((name, _text(f"options.{name}", str(value))) for name, value in options.items())


def pool_findings(applications: Sequence[Mapping[str, Any]], max_client_conn: int, poolers: int = 1) -> list[str]:
    """Return one line for each way in which the pools of applications do not fit the poolers' max_client_conn.

    applications: name, processes (of all its machines together), pool_size and max_overflow as SQLAlchemy calls them. max_client_conn:
    of each pooler. poolers: how many there are; one of them may fail, and its clients come to the others.
    """
    findings = []
    wanted: list[tuple[int, str]] = []
    for number, application in enumerate(applications):
        wrong = _misread(application)
        name = str(application.get("name") or f"applications[{number}]")
        if wrong:
            findings.append(f"{name}: {wrong}")
        else:
            connections = application["pool_size"] + application.get("max_overflow", 0)
            wanted.append((application["processes"] * connections, name))
    total = sum(count for count, _name in wanted)
    listed = ", ".join(f"{name} {count}" for count, name in sorted(wanted, key=lambda entry: (-entry[0], entry[1])))
    opened = f"applications can open {total} connections ({listed})"
    remedy = "raise max_client_conn to {}, or make the pools smaller"
    if total > max_client_conn * poolers:
        room = f"there is room for {max_client_conn * poolers} (poolers: {poolers}, max_client_conn: {max_client_conn})"
        findings.append(f"{opened}, and {room}: {remedy.format(-(-total // poolers))}")
    elif poolers > 1 and total > max_client_conn * (poolers - 1):
        room = f"there is room for {max_client_conn * (poolers - 1)} when one of {poolers} poolers is lost"
        findings.append(f"{opened}, and {room}: {remedy.format(-(-total // (poolers - 1)))}")
    return findings


def _misread(application: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an application's figures, or None."""
    unknown = sorted(set(application) - set(_APPLICATION_KEYS))
    if unknown:
        return f"{unknown[0]} is no key of an application; the keys are {', '.join(_APPLICATION_KEYS)}"
    for key, least in (("processes", 1), ("pool_size", 0), ("max_overflow", -1)):
        value = application.get(key, 0 if key == "max_overflow" else None)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            return f"{key} must be a number, {max(least, 0)} or more"
    if application["pool_size"] == 0 or application.get("max_overflow") == -1:
        return "pool_size 0 and max_overflow -1 mean a pool without a limit, which fits no pooler: give both a number"
    return None
