# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the inputs of the role pgbouncer, and what a version of PgBouncer lacks. Data and pure functions."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbouncer
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._safe_versions import below, number

# Names of settings, as SHOW CONFIG lists them on 1.18, 1.24 and 1.26. Which of them a version knows, PgBouncer itself is asked.
SETTINGS = frozenset(
    """admin_users application_name_add_host auth_dbname auth_file auth_hba_file auth_ident_file auth_ldap_options auth_query auth_type
    auth_user autodb_idle_timeout cancel_wait_timeout client_idle_timeout client_login_timeout client_tls13_ciphers client_tls_ca_file
    client_tls_cert_file client_tls_ciphers client_tls_dheparams client_tls_ecdhcurve client_tls_key_file client_tls_protocols
    client_tls_sslmode conffile default_pool_size disable_pqexec dns_max_ttl dns_nxdomain_ttl dns_zone_check_period idle_transaction_timeout
    ignore_startup_parameters job_name listen_addr listen_backlog listen_port log_connections log_disconnections log_pooler_errors log_stats
    logfile login_notify_message max_client_conn max_db_client_connections max_db_connections max_packet_size max_prepared_statements
    max_user_client_connections max_user_connections min_pool_size peer_id pidfile pkt_buf pool_idle_timeout pool_mode query_timeout
    query_wait_notify query_wait_timeout reserve_pool_size reserve_pool_timeout resolv_conf sbuf_loopcnt scram_iterations server_check_delay
    server_check_query server_connect_timeout server_fast_close server_idle_timeout server_lifetime server_login_retry server_reset_query
    server_reset_query_always server_round_robin server_tls13_ciphers server_tls_ca_file server_tls_cert_file server_tls_ciphers
    server_tls_key_file server_tls_protocols server_tls_sslmode service_name so_reuseport stats_period stats_users suspend_timeout syslog
    syslog_facility syslog_ident tcp_defer_accept tcp_keepalive tcp_keepcnt tcp_keepidle tcp_keepintvl tcp_socket_buffer tcp_user_timeout
    track_extra_parameters transaction_timeout unix_socket_dir unix_socket_group unix_socket_mode user verbose""".split()
)
DATABASE_KEYS = ("name", "pool_size", "standby_name", "standby_pool_size", "pool_mode")
POOL_MODES = ("transaction", "session", "statement")
LONGEST_NAME = 63  # bytes; longer names are cut by PostgreSQL


@dataclass(frozen=True)
class Hole:
    """A fault of versions from `since` to before `fixed`. patched: distribution -> first revision of its package that has the fix."""

    name: str
    since: str
    fixed: str
    fault: str
    closing: str
    patched: Mapping[str, int] = field(default_factory=dict)


# From the changelogs of PgBouncer and of Debian's packages, November 2026.
HOLES = (
    Hole(
        "CVE-2026-107350",
        "1.17.0",
        "1.26.1",
        "whoever knows a SCRAM password of userlist.txt can log in as any account",
        "that file holds the lookup and the operations account only, and hba.conf refuses both but to the operations hosts",
    ),
    Hole(
        "CVE-2026-107349",
        "1.20.0",
        "1.26.1",
        "a client can make it spin by an empty option",
        "ignore_startup_parameters is written so that the search ends",
    ),
    Hole(
        "CVE-2026-6668",
        "1.0",
        "1.26.0",
        "a client can make it spin by a gigabyte of data",
        "max_packet_size is below a gigabyte",
    ),
    Hole("CVE-2026-19888", "1.11.0", "1.26.0", "a client can crash it by a login without a nonce", ""),
    Hole(
        "CVE-2026-6669",
        "1.11.0",
        "1.26.0",
        "a false server can keep it busy",
        "servers are verified by their certificates",
    ),
    Hole(
        "CVE-2026-6664", "1.11.0", "1.25.2", "a client can crash it by a malformed login", "", {"deb13": 2, "deb12": 2}
    ),
    Hole(
        "CVE-2026-6665",
        "1.11.0",
        "1.25.2",
        "a false server can crash it",
        "servers are verified by their certificates",
        {"deb13": 2, "deb12": 2},
    ),
    Hole(
        "CVE-2025-12819",
        "1.20.0",
        "1.25.1",
        "SQL can run at login by a planted search_path",
        "the lookup names its function by schema, and the function has a path of its own",
        {"deb12": 1, "deb13": 1},
    ),
    Hole(
        "CVE-2025-2291",
        "1.0",
        "1.24.1",
        "passwords past VALID UNTIL are taken",
        "the lookup function looks at VALID UNTIL",
        {"deb12": 1},
    ),
    Hole(
        "unknown user to the console",
        "1.0",
        "1.24.0",
        "an unknown user who asks for the database pgbouncer ends it where auth_user is global",
        "auth_user is set per database",
    ),
)


def open_holes(version: str, package: str = "") -> list[Hole]:
    """Return the faults that a version has. package: its version in the distribution's words, such as 1.24.1-1+deb13u2."""
    revision = re.search(r"\+(deb[0-9]+)u([0-9]+)", package)
    return [
        hole
        for hole in HOLES
        if number(hole.since) <= number(version)
        and below(version, hole.fixed)
        and not (revision and int(revision[2]) >= hole.patched.get(revision[1], 10**6))
    ]


def hole_lines(version: str, package: str = "") -> list[str]:
    """Return one line for each fault of a version, with what closes it here, those that nothing closes first."""
    found = sorted(open_holes(version, package), key=lambda hole: bool(hole.closing))
    return [
        f"PgBouncer {version}: {hole.fault} ({hole.name}, mended in {hole.fixed}): "
        + (f"closed here, {hole.closing}" if hole.closing else "keep the pooler to private addresses, and update it")
        for hole in found
    ]


def limits(version: str) -> list[str]:
    """Return what clients and operators of a version have to know."""
    found = []
    if below(version, "1.21"):
        found.append(
            f"PgBouncer {version} keeps no prepared statements: drivers must not prepare (psycopg: prepare_threshold=None, asyncpg:"
            " statement_cache_size=0, JDBC: prepareThreshold=0)"
        )
    if below(version, "1.25"):
        found.append(
            f"PgBouncer {version} cannot verify several standbys of one entry: it uses the first of pgbouncer_standbys"
        )
    return found


def findings(given: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that is wrong; given: the inputs by their names without the prefix.

    Wrong types are the specification's matter and pass over here.
    """
    found = [*_databases(given.get("databases")), *_addresses(given), *_accounts(given), *_settings(given)]
    if not given.get("primary"):
        found.append("pgbouncer_primary: give the address of the server that takes writes")
    for name in ("port", "server_port"):
        if not 1 <= _integer(given.get(name)) <= 65535:
            found.append(f"pgbouncer_{name}: {given.get(name)} is not a port; give 1 to 65535")
    for name in ("max_client_conn", "poolers", "server_connections"):
        if _integer(given.get(name)) < 1:
            found.append(f"pgbouncer_{name}: {given.get(name)} is too small; give at least 1")
    return found or _size(given)


def _databases(databases: Any) -> Iterator[str]:
    if not isinstance(databases, list) or not all(isinstance(one, Mapping) for one in databases):
        return
    if not databases:
        yield "pgbouncer_databases: name at least one database"
    names: list[str] = []
    for index, one in enumerate(databases):
        where = f"pgbouncer_databases[{index}]"
        for key in one:
            if key not in DATABASE_KEYS:
                yield f"{where}: unknown key {key}{_guess(str(key), DATABASE_KEYS)}"
        if not one.get("name"):
            yield f"{where}: name is missing"
            continue
        own = [str(one["name"]), _pgbouncer.standby_name(one)]
        names += own
        yield from _names(where, own)
        if str(one.get("pool_mode") or "transaction") not in POOL_MODES:
            yield f"{where}: pool_mode {one['pool_mode']} is none; give one of {', '.join(POOL_MODES)}"
        for key in ("pool_size", "standby_pool_size"):
            if one.get(key) is not None and _integer(one[key]) < 1:
                yield f"{where}: {key} {one[key]} is too small; give at least 1, or leave it out to have it computed"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"pgbouncer_databases: {name} is the name of two entries; give one of them another standby_name"


def _names(where: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name == _pgbouncer.CONSOLE:
            yield f"{where}: the name {name} is that of PgBouncer's console; give the database another one"
        elif len(name.encode()) > LONGEST_NAME or not name.isprintable() or name == "*" or "," in name:
            yield f"{where}: {name!r} cannot be the name of an entry: give one of up to {LONGEST_NAME} bytes, without commas"


def _addresses(given: Mapping[str, Any]) -> Iterator[str]:
    for name in ("client_addresses", "operations_addresses"):
        for text in given.get(name) or ():
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                reason = "has bits of a host set" if "host bits" in str(error) else "is no address or network"
                yield f"pgbouncer_{name}: {text} {reason}; PgBouncer takes such as 10.20.0.0/16 or 10.20.0.7, and no names"
    hosts = [given.get("primary") or "", *(given.get("standbys") or ())]
    for text in hosts:
        if not re.fullmatch(r"[0-9A-Za-z_.:-]*", str(text)):
            yield f"pgbouncer_primary, pgbouncer_standbys: {text} is no address or name of a host"


def _accounts(given: Mapping[str, Any]) -> Iterator[str]:
    for account in ("lookup", "operations"):
        user, secret = given.get(f"{account}_user"), given.get(f"{account}_password")
        if user == _pgbouncer.CONSOLE or not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", str(user)):
            yield f"pgbouncer_{account}_user: {user} cannot be the name of this account: give one of small letters, digits and _"
        if account == "operations" and not secret and not given.get("operations_addresses"):
            continue  # a pooler without an operations account
        if not secret or not isinstance(secret, str) or not secret.isprintable():
            yield f"pgbouncer_{account}_password: put the password of {user} into the vault, in quotes and without control characters"
    if given.get("lookup_user") == given.get("operations_user"):
        yield "pgbouncer_operations_user: it must be another account than pgbouncer_lookup_user"
    if str(given.get("lookup_password") or "").startswith("SCRAM-SHA-256$"):
        yield "pgbouncer_lookup_password: PgBouncer logs in with it, so it must be the password itself, not its verifier"


def _settings(given: Mapping[str, Any]) -> Iterator[str]:
    settings = given.get("settings")
    if not isinstance(settings, Mapping):
        return
    for name, value in settings.items():
        if name in _pgbouncer.OWNED:
            yield f"pgbouncer_settings: {name} is the role's own; use the inputs that decide it, or take it away"
        elif name not in SETTINGS:
            yield f"pgbouncer_settings: PgBouncer has no setting {name}{_guess(str(name), sorted(SETTINGS))}"
        elif "\n" in str(value):
            yield f"pgbouncer_settings: the value of {name} has several lines; write it in one"


def _size(given: Mapping[str, Any]) -> list[str]:
    databases = given.get("databases")
    if not isinstance(databases, list):
        return []
    try:
        _pgbouncer.entries(databases, _integer(given.get("server_connections")), _integer(given.get("poolers")))
    except StewardError as error:
        return [str(error)]
    return []


def _guess(name: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _integer(value: Any) -> int:
    return int(value) if re.fullmatch(r"-?[0-9]+", str(value)) else 0
