# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is known of the health of a server: asked of itself, over one connection for each database, and of the host that it is on.

What cannot be known (a log that goes elsewhere, a certificate that nobody may read) is listed as such and keeps nobody from the rest.
"""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _certificates,
    _drill_report,
    _health_locks,
    _health_log,
    _health_queries,
    _health_rates,
    _owned_file,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect, mask, secrets_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._lock_waits import shown
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier
from ansible_collections.pgsteward.postgres.plugins.module_utils._safe_versions import number

if TYPE_CHECKING:
    import psycopg

Facts = dict[str, Any]

APPLICATION = "pgsteward health"
FORMAT = 1
QUERY_SHOWN = 120  # characters
# Whatever state the server is in, looking at it must end, and must not add to what it suffers from. Compiling a query that is run once takes
# longer than running it, and where a catalog has just grown, the plan with nested loops takes seconds.
SESSION = "-c statement_timeout={timeout}s -c lock_timeout=1s -c default_transaction_read_only=on -c jit=off -c enable_nestloop=off"


def read(
    place: Place,
    databases: Sequence[str] = (),
    timeout: int = 10,
    before: Mapping[str, Any] | None = None,
    user: str | None = None,
) -> Facts:
    """Return what the server says. place: any database of it; databases: those to look into, all without them.

    before: what an earlier call left. user: the operating system's account to connect as when this is root.
    """
    begun, unknown = time.monotonic(), list[Facts]()
    place = replace(place, query=(*place.query, ("options", SESSION.format(timeout=timeout))))
    with as_account(user), connect(place, APPLICATION) as connection:
        major = connection.info.server_version // 10000
        raw = _one(connection, _health_queries.server(major))
        here = connection.info.dbname
        wanted = _wanted(raw["databases"], databases, unknown)
        inside: dict[str, Facts] = {}
        statements = None
        for name in sorted(wanted, key=lambda one: one != here):
            try:
                with (
                    nullcontext(connection)
                    if name == here
                    else connect(replace(place, database=name), APPLICATION) as one
                ):
                    inside[name] = _one(one, _health_queries.database(major))
                    view = _statements_view(inside[name]) if raw["counts_statements"] and statements is None else None
                    statements = _one(one, _health_queries.statements(view)) if view else statements
            except StewardError as error:
                unknown.append({"what": f"database {name}", "reason": str(error)})
    facts = shaped(raw, inside, statements, secrets_of(place))
    for one in facts["databases"]:
        one["rates"] = _health_rates.of(one, facts, before)
    return {**facts, "seconds": round(time.monotonic() - begun, 3), "unknown": unknown}


@contextmanager
def as_account(user: str | None) -> Iterator[None]:
    """Log in over the socket as an account of the operating system, which the server asks the kernel for; root can be any."""
    if user is None or os.geteuid() != 0:
        yield
        return
    try:
        number_of = pwd.getpwnam(user).pw_uid
    except KeyError:
        yield
        return
    os.seteuid(number_of)
    try:
        yield
    finally:
        os.seteuid(0)


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    import psycopg

    try:
        row = connection.execute(query.encode()).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise StewardError(f"{str(error).splitlines()[0]}: make the account a member of pg_monitor") from None
    except psycopg.Error as error:
        raise StewardError(f"the server does not say how it is: {str(error).splitlines()[0]}") from None
    return row[0] if row else None


def _wanted(known: Sequence[Mapping[str, Any]], asked: Sequence[str], unknown: list[Facts]) -> list[str]:
    there = [one["name"] for one in known if one["connects"] and not one["template"]]
    unknown += [
        {"what": f"database {name}", "reason": "there is none of that name"} for name in asked if name not in there
    ]
    return [name for name in there if not asked or name in asked]


def _statements_view(inside: Mapping[str, Any]) -> str | None:
    """Return the name of the view of statements, which counts those of the whole server, where a database has it."""
    extension = (inside["extensions"] or {}).get("pg_stat_statements")
    if not extension or number(extension["version"]) < _health_queries.STATEMENTS_SINCE:
        return None
    return f"{identifier(extension['schema'])}.pg_stat_statements"


def shaped(raw: Mapping[str, Any], inside: Mapping[str, Facts], statements: Any, secrets: Iterable[str] = ()) -> Facts:
    """Return what the queries gave as facts. Pure; inside: database -> what is known in it."""
    settings = raw["settings"] or {}
    sessions = [_session(one, secrets) for one in raw["sessions"]]
    concerned = {one["pid"] for one in sessions if one["blocked_by"]} | {
        pid for one in sessions for pid in one["blocked_by"]
    }
    return {
        "format": FORMAT,
        "at": raw["at"],
        "version": raw["version"],
        "version_text": raw["version_text"],
        "role": "standby" if raw["standby"] else "primary",
        "started": raw["started"],
        "settings": settings,
        "pending_restart": raw["pending_restart"],
        "connections": connections(raw["backends"], settings, raw["databases"]),
        "longest_transaction": _longest(sessions, "transaction_age"),
        "longest_query": _longest(
            [one for one in sessions if one["state"] == "active" and not one["blocked_by"]], "query_age"
        ),
        "idle_in_transaction": _idle(sessions),
        "prepared_transactions": raw["prepared"],
        "waiting": sum(1 for one in sessions if one["blocked_by"]),
        "blocking": _health_locks.tree([one for one in sessions if one["pid"] in concerned]),
        "databases": [_database(one, inside.get(one["name"])) for one in raw["databases"] if not one["template"]],
        "followers": raw["followers"],
        "receiver": raw["receiver"],
        "replay": raw["replay"],
        "slots": raw["slots"],
        "archiver": {**raw["archiver"], "waiting": raw["archive_waiting"], "mode": settings.get("archive_mode")},
        "checkpoints": {"timed": raw["checkpoints_timed"], "requested": raw["checkpoints_requested"]},
        "wal_bytes": raw["wal_bytes"],
        "lsn": raw["lsn"],
        "tablespaces": raw["tablespaces"],
        "statements": _statements(statements, secrets),
    }


def _session(one: Mapping[str, Any], secrets: Iterable[str]) -> Facts:
    query = shown(one["query"] or "", secrets)
    return {
        **one,
        "blocked_by": sorted(set(one["blocked_by"] or ())),
        "query": query if len(query) <= QUERY_SHOWN else query[: QUERY_SHOWN - 1] + "…",
        **{key: _seconds(one[key]) for key in ("transaction_age", "query_age", "state_age", "waiting")},
    }


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(max(0.0, value), 3)


def _longest(sessions: Iterable[Facts], key: str) -> Facts | None:
    clients = [one for one in sessions if one["type"] == "client backend" and one[key] is not None]
    return max(clients, key=lambda one: float(one[key])) if clients else None


def _idle(sessions: Iterable[Facts]) -> list[Facts]:
    idle = [one for one in sessions if (one["state"] or "").startswith("idle in transaction")]
    return sorted(idle, key=lambda one: -(one["state_age"] or 0.0))[: _health_queries.TOP]


def connections(
    backends: Iterable[Mapping[str, Any]], settings: Mapping[str, Any], databases: Iterable[Mapping[str, Any]]
) -> Facts:
    """Return how many clients there are by state, user and database, against the limits for those that are no superusers."""
    listed = list(backends)
    reserved = sum(int(settings.get(f"{name}reserved_connections") or 0) for name in ("superuser_", ""))
    limit = int(settings["max_connections"]) - reserved
    total = sum(one["count"] for one in listed)

    def by(key: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for one in listed:
            counts[one[key] or "unknown"] = counts.get(one[key] or "unknown", 0) + one["count"]
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    of_databases = by("database")
    return {
        "total": total,
        "limit": limit,
        "percent": round(100 * total / limit, 1) if limit > 0 else 100.0,
        "by_state": by("state"),
        "by_user": by("user"),
        "by_database": of_databases,
        "database_limits": {
            one["name"]: {"total": of_databases.get(one["name"], 0), "limit": one["limit"]}
            for one in databases
            if (one.get("limit") or -1) > 0
        },
    }


def _database(one: Mapping[str, Any], inside: Mapping[str, Any] | None) -> Facts:
    held = dict(inside or {})
    return {
        **one,
        "table_bytes": (held.get("tables") or {}).get("bytes"),
        "index_bytes": (held.get("indexes") or {}).get("bytes"),
        "seen": inside is not None,
        **held,
    }


def _statements(found: Any, secrets: Iterable[str]) -> Facts | None:
    if not found:
        return None
    return {**found, **{name: [_statement(one, secrets) for one in found[name]] for name in ("top", "busiest")}}


def _statement(one: Facts, secrets: Iterable[str]) -> Facts:
    times = {key: round(one[key], 3) for key in ("mean_ms", "total_ms", "max_ms")}
    return {**one, "query": shown(one["query"] or "", secrets)[:QUERY_SHOWN], **times}


# The host


def host(
    facts: Mapping[str, Any],
    certificates: Sequence[str],
    log_file: str | None,
    unknown: list[Facts],
    process: int | None,
) -> Facts:
    """Return what the host knows: disks, certificates, the end of the log, the records of drills. process: of the server."""
    settings = facts["settings"]
    data_directory = settings.get("data_directory")
    return {
        "disks": disks(_places(data_directory, facts["tablespaces"])),
        "certificates": _read_certificates(_certificate_paths(settings, certificates), unknown),
        "log": _log(
            _log_path(log_file, data_directory or "", process),
            settings.get("log_timezone") or "UTC",
            facts["at"],
            unknown,
        ),
        "drills": _drills(unknown),
    }


def _places(data_directory: str | None, tablespaces: Iterable[str]) -> list[tuple[str, Path]]:
    if not data_directory:
        return []
    data = Path(data_directory)
    return [("data", data), ("WAL", data / "pg_wal"), *((f"tablespace {path}", Path(path)) for path in tablespaces)]


def disks(places: Iterable[tuple[str, Path]]) -> list[Facts]:
    """Return each file system that a server writes to once, with what of it is there, and what is left to those who are not root."""
    found: dict[int, Facts] = {}
    for what, path in places:
        try:
            device, room = path.stat().st_dev, os.statvfs(path)
        except OSError:
            continue
        # What is set aside for root, or by a quota, is nobody's room.
        usable = room.f_blocks - room.f_bfree + room.f_bavail
        entry = {
            "holds": [what],
            "path": str(path),
            "bytes": usable * room.f_frsize,
            "free_bytes": room.f_bavail * room.f_frsize,
            "free_percent": round(100 * room.f_bavail / usable, 2) if usable else 100.0,
            "free_inodes_percent": round(100 * room.f_favail / room.f_files, 2) if room.f_files else None,
        }
        if device in found:
            found[device]["holds"].append(what)
        else:
            found[device] = entry
    return list(found.values())


def _certificate_paths(settings: Mapping[str, Any], more: Sequence[str]) -> list[Path]:
    """Return the files that hold certificates: the server's own, and those that are named, by name or by pattern."""
    paths = []
    if settings.get("ssl") == "on":
        directory = Path(settings.get("data_directory") or "/")
        paths = [directory / settings[key] for key in ("ssl_cert_file", "ssl_ca_file") if settings.get(key)]
    for pattern in more:
        paths += (
            sorted(Path("/").glob(pattern.lstrip("/"))) if any(mark in pattern for mark in "*?[") else [Path(pattern)]
        )
    return list(dict.fromkeys(Path(os.path.realpath(path)) for path in paths))


def _read_certificates(paths: Iterable[Path], unknown: list[Facts]) -> list[Facts]:
    found: list[Facts] = []
    for path in paths:
        try:
            if not _certificates.HAS_CRYPTOGRAPHY:
                raise StewardError("python3-cryptography is not installed on the host")
            text = _owned_file.read(path)
            if text is None:
                raise StewardError("there is no such file")
            for one in _certificates.certificates(text):
                found.append(
                    {
                        "path": str(path),
                        "subject": one.subject.rfc4514_string(),
                        "ends": _certificates.ends(one).timestamp(),
                    }
                )
        except StewardError as error:
            unknown.append({"what": f"certificate {path}", "reason": str(error)})
    return found


def _log_path(given: str | None, data_directory: str, process: int | None) -> Path | None:
    """Return where the server writes its log: what is named, what its collector says, what its standard error is, or where Debian has it."""
    if given:
        return Path(given)
    try:
        collected = dict(
            line.split(" ", 1) for line in Path(data_directory, "current_logfiles").read_text().splitlines()
        )
        return Path(data_directory, collected["stderr"])
    except (OSError, ValueError, KeyError):
        pass  # no collector, or one that writes another format
    try:
        path = Path(os.readlink(f"/proc/{process}/fd/2"))  # noqa: PTH115 - a pipe's name is no path
    except OSError:
        path = Path()
    return path if path.is_absolute() and path.is_file() else _debian_log(data_directory)


def _debian_log(data_directory: str) -> Path | None:
    """Return where Debian's packages have the log of an instance, whose process may not be looked at in some containers."""
    *_base, version, instance = ("", "", *Path(data_directory).parts)
    path = Path(f"/var/log/postgresql/postgresql-{version}-{instance}.log")
    return path if path.is_file() else None


def _log(path: Path | None, zone: str, now: float, unknown: list[Facts]) -> Facts | None:
    if path is None:
        reason = "it is in no file that this can find (a journal, or a server elsewhere): name one in log_file"
        unknown.append({"what": "server log", "reason": reason})
        return None
    try:
        found = _health_log.entries(_health_log.tail(path), zone)
    except OSError as error:
        unknown.append({"what": "server log", "reason": f"{path} cannot be read: {error.strerror}"})
        return None
    return {"path": str(path), **_health_log.summary(found, now)}


def _drills(unknown: list[Facts], directory: Path = _drill_report.DIRECTORY) -> list[Facts]:
    """Return the last restore drill of each kind that this host has had, in short."""
    found = []
    for kind, name in _drill_report.FILES.items():
        try:
            text = _owned_file.read(directory / f"{name}.json")
            if text:
                record = json.loads(text)
                keys = ("cluster", "host", "begun", "seconds", "error", "proven", "last_proven")
                found.append({"kind": kind, **{key: record.get(key) for key in keys}})
        except (StewardError, ValueError) as error:
            unknown.append({"what": f"record of drills ({kind})", "reason": mask(str(error), ())})
    return found


# What one call leaves for the next


def read_state(path: Path | None) -> Mapping[str, Any] | None:
    """Return what an earlier call left; None where there is nothing that can be read, which is as good as a first call."""
    try:
        text = _owned_file.read(path) if path else None
        state = json.loads(text) if text else None
    except (StewardError, ValueError):
        return None
    return state if isinstance(state, dict) and {"at", "started", "databases"} <= state.keys() else None


def keep_state(path: Path, facts: Mapping[str, Any]) -> None:
    """Leave for the next call what it compares with; raises StewardError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StewardError(f"cannot make {path.parent}: {error.strerror}") from None
    _owned_file.write(path, json.dumps(_health_rates.kept(facts)) + "\n", mode=0o644)
