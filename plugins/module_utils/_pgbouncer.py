# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a PgBouncer as texts: sizes, entries, settings, rules for clients, accounts. Pure.

The whole of a pooler's configuration is pgbouncer.ini with userlist.txt and hba.conf beside it, and databases.ini, which it includes: all
that a change of primary changes, and nothing else.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _scram
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._safe_versions import number

INI, DATABASES, USERS, HBA = "pgbouncer.ini", "databases.ini", "userlist.txt", "hba.conf"
FORMER = f"{DATABASES}.former"
CONSOLE = "pgbouncer"  # the reserved database name of the admin console
LOOKUP_QUERY = "SELECT username, password FROM pgsteward_pooler.user_lookup($1)"

POOL_CEILING, RESERVE_SIZE, RESERVE_TIMEOUT = 20, 5, 3
SCRAM_ITERATIONS = 4096
LEAST_SHARE = 2  # one connection for a client, and one to look up its password with

# Version from which on PgBouncer checks each name of a list of hosts by itself under verify-full (pgbouncer#1303).
HOST_LISTS = (1, 25)
# Settings of ours that older versions do not know.
SINCE: Mapping[str, tuple[int, ...]] = {"max_prepared_statements": (1, 21)}

_PLAIN_NAME = re.compile(r"[0-9A-Za-z_]+")
_HEADER = "; Managed by pgsteward.postgres: the role pgbouncer writes this file whole."


@dataclass(frozen=True)
class Entry:
    """One line of [databases]. writable: it leads to the primary; pool: connections per account; limit: of all accounts together."""

    name: str
    database: str
    writable: bool
    pool: int
    limit: int
    mode: str = "transaction"


def entries(databases: Sequence[Mapping[str, Any]], connections: int, poolers: int) -> tuple[Entry, ...]:
    """Return two entries per database, one to the primary and one to the standbys.

    connections: what one server has for all poolers together. Each pooler gets an equal part. An entry with a `pool_size` takes that and
    a quarter of it on top, the others share the rest; a fifth of a share is left for the lookup account and further accounts. The limits
    of all entries together never exceed the part, even when all of them lead to one server. Raises StewardError when they cannot.
    """
    part = connections // max(1, poolers)
    wanted = [(one, writable) for one in databases for writable in (True, False)]
    fixed = sum(limit_for(size) for one, writable in wanted if (size := _size(one, writable)))
    free = sum(1 for one, writable in wanted if not _size(one, writable))
    share = (part - fixed) // free if free else 0
    if part < fixed or (free and share < LEAST_SHARE):
        need = poolers * (fixed + free * LEAST_SHARE)
        raise StewardError(
            f"pgbouncer_server_connections: {connections} connections are too few for {len(wanted)} entries on {poolers} pooler(s), which need"
            f" {need}: raise max_connections of the servers and this value, or lower pool_size in pgbouncer_databases"
        )
    return tuple(
        Entry(
            name=str(one["name"]) if writable else standby_name(one),
            database=str(one["name"]),
            writable=writable,
            pool=_size(one, writable) or min(POOL_CEILING, share - share // 5),
            limit=limit_for(_size(one, writable)) or share,
            mode=str(one.get("pool_mode") or "transaction"),
        )
        for one, writable in wanted
    )


def standby_name(database: Mapping[str, Any]) -> str:
    """Return the name under which clients reach the standbys."""
    return str(database.get("standby_name") or f"{database['name']}_ro")


def limit_for(size: int) -> int:
    """Return the connections that an entry with a pool of the given size may have in all, lookups and reserve included."""
    return size and size + max(1, min(RESERVE_SIZE, size // 4))


def _size(database: Mapping[str, Any], writable: bool) -> int:
    return int(database.get("pool_size" if writable else "standby_pool_size") or 0)


def databases_ini(
    listed: Sequence[Entry], primary: str, standbys: Sequence[str], port: int, lookup_user: str, version: str
) -> str:
    """Return databases.ini. Without a standby, reading entries lead to the primary.

    version: that of the pooler. One that cannot verify the servers of a list is given the first standby only: give each pooler the list
    in an order of its own.
    """
    readers = list(standbys) or [primary]
    if number(version) < HOST_LISTS:
        readers = readers[:1]
    lines = [_HEADER.replace("role pgbouncer writes", "role pgbouncer and a change of primary write"), "[databases]"]
    for entry in listed:
        words = {
            "host": primary if entry.writable else ",".join(readers),
            "port": port,
            "dbname": entry.database,
            "auth_user": lookup_user,
            "pool_mode": entry.mode,
            "pool_size": entry.pool,
            "max_db_connections": entry.limit,
        }
        # Quotes around what needs none: one way to write a value.
        lines.append(f"{_name(entry.name)} = " + " ".join(f"{key}={_value(word)}" for key, word in words.items()))
    return "\n".join(lines) + "\n"


def _name(text: str) -> str:
    return text if _PLAIN_NAME.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def _value(word: Any) -> str:
    text = str(word)
    return text if re.fullmatch(r"[0-9A-Za-z_.:,/-]+", text) else "'" + text.replace("'", "''") + "'"


def base_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that every pooler of ours has; given: the inputs of the role without their prefix, and its paths."""
    directory = given["directory"]
    return {
        "listen_addr": ",".join(given["listen_addresses"]),
        "listen_port": given["port"],
        "unix_socket_dir": given["socket_directory"],
        "unix_socket_mode": "0700",
        "pidfile": f"{given['socket_directory']}/pgbouncer.pid",
        "admin_users": given["operations_user"],
        "auth_type": "hba",
        "auth_file": f"{directory}/{USERS}",
        "auth_hba_file": f"{directory}/{HBA}",
        "auth_query": LOOKUP_QUERY,
        "pool_mode": "transaction",
        "max_client_conn": given["max_client_conn"],
        "default_pool_size": POOL_CEILING,
        "reserve_pool_size": RESERVE_SIZE,
        "reserve_pool_timeout": RESERVE_TIMEOUT,
        "max_prepared_statements": 200,
        "ignore_startup_parameters": ignored([]),
        # Just under a gigabyte, more than any message of PostgreSQL: larger ones make versions before 1.26 spin.
        "max_packet_size": 1073676288,
        # A server that is gone is noticed within five seconds, and one that is back is found after one.
        "server_login_retry": 1,
        "server_connect_timeout": 2,
        "tcp_keepalive": 1,
        "tcp_keepidle": 3,
        "tcp_keepintvl": 1,
        "tcp_keepcnt": 2,
        "tcp_user_timeout": 3000,
        # Longer than the 35 s after which a pause that nobody ends is ended by the pooler's own host.
        "query_wait_timeout": 60,
        "client_login_timeout": 15,
        "client_tls_sslmode": "require",
        "client_tls_cert_file": given["certificate_file"],
        "client_tls_key_file": given["key_file"],
        "client_tls_protocols": "secure",
        "server_tls_sslmode": "verify-full",
        "server_tls_ca_file": given["server_ca_file"],
        "server_tls_protocols": "secure",
    }


def ignored(names: Sequence[str]) -> str:
    """Return ignore_startup_parameters: what drivers send at login and a pooler cannot keep apart, and the operator's own.

    The blank after the comma matters. An option without a name sends 1.20 to 1.26.0 round and round in this list (CVE-2026-107349), whether
    `options` is in it or not, unless there is an empty word to find: seen with 1.24.1, which spins on "extra_float_digits,options" and on
    "options", and does not with the blank.
    """
    return ", ".join(dict.fromkeys(["extra_float_digits", "options", *names]))


# What an operator may not set in pgbouncer_settings: inputs of the role decide it, or its promises rest on it.
OWNED = frozenset(
    """listen_addr listen_port unix_socket_dir unix_socket_mode pidfile admin_users auth_type auth_file auth_hba_file auth_query auth_user
    auth_dbname auth_ident_file auth_ldap_options client_tls_sslmode client_tls_cert_file client_tls_key_file server_tls_sslmode
    server_tls_ca_file max_client_conn default_pool_size conffile user so_reuseport peer_id logfile syslog service_name""".split()
)


def pgbouncer_ini(settings: Mapping[str, Any], directory: str, version: str = "") -> str:
    """Return pgbouncer.ini: the settings that the version knows, None left out, and the entries by inclusion."""
    known = {
        name: value
        for name, value in settings.items()
        if value is not None and not (number(version) and number(version) < SINCE.get(name, ()))
    }
    lines = [f"{name} = {_setting(value)}" for name, value in known.items()]
    return "\n".join([_HEADER, "[pgbouncer]", *lines, "", f"%include {directory}/{DATABASES}"]) + "\n"


def _setting(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def hba(
    listed: Sequence[Entry],
    client_addresses: Sequence[str],
    operations_user: str,
    operations_addresses: Sequence[str],
    lookup_user: str,
) -> str:
    """Return hba.conf, first match first; whoever no line matches is refused.

    The local admin needs no line: PgBouncer lets its own account in over the Unix socket. Words that 1.18 knows only.
    """
    everywhere = ("0.0.0.0/0", "::/0")
    lines = ["# Managed by pgsteward.postgres: the role pgbouncer writes this file whole."]
    lines += [
        f"hostssl {CONSOLE} {_quoted(operations_user)} {address(one)} scram-sha-256" for one in operations_addresses
    ]
    lines += [f"host {CONSOLE} all {one} reject" for one in everywhere]
    lines += [f"host all {_quoted(user)} {one} reject" for user in (operations_user, lookup_user) for one in everywhere]
    names = ",".join(_quoted(entry.name) for entry in listed)
    lines += [f"hostssl {names} all {address(one)} scram-sha-256" for one in client_addresses]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def address(text: str) -> str:
    """Return a network as the hba file wants it: a single address is a network of its own."""
    return text if "/" in text else f"{text}/{128 if ':' in text else 32}"


def userlist(accounts: Mapping[str, str]) -> str:
    """Return userlist.txt. accounts: password or SCRAM verifier by name."""
    lines = [f"{_quoted(name)} {_quoted(secret)}" for name, secret in accounts.items()]
    return "\n".join(["; Managed by pgsteward.postgres: the role pgbouncer writes this file whole.", *lines]) + "\n"


def read_userlist(text: str | None) -> dict[str, str]:
    """Return what userlist() was given."""
    pairs = re.findall(r'^"((?:[^"]|"")*)" "((?:[^"]|"")*)"', text or "", re.MULTILINE)
    return {name.replace('""', '"'): secret.replace('""', '"') for name, secret in pairs}


def verifier(password: str, salt: bytes) -> str:
    """Return the SCRAM verifier of a password, as PostgreSQL would store it."""
    made = _scram.derive(password, salt, SCRAM_ITERATIONS)
    shown = [b64encode(part).decode("ascii") for part in (made.salt, made.stored_key, made.server_key)]
    return f"SCRAM-SHA-256${made.iterations}:{shown[0]}${shown[1]}:{shown[2]}"


def plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the module pgbouncer_files is given: settings, entries, rules. given: the role's inputs without their prefix."""
    listed = entries(given["databases"], int(given["server_connections"]), int(given["poolers"]))
    rules = hba(
        listed,
        given["client_addresses"],
        given["operations_user"],
        given["operations_addresses"],
        given["lookup_user"],
    )
    settings = base_settings(given) | dict(given["settings"])
    own = str(settings.get("ignore_startup_parameters") or "")
    settings["ignore_startup_parameters"] = ignored([word.strip() for word in own.split(",") if word.strip()])
    return {
        "settings": settings,
        "entries": [vars(entry) for entry in listed],
        "hba": rules,
    }
