# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the report of an environment says: the document of the playbook `status`, cut to what people look at. Pure.

The page shows this and nothing else, and shows every figure of it. Ages are seconds, moments are seconds since 1970, sizes are bytes; what is not
known is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import closure
from ansible_collections.pgsteward.postgres.plugins.module_utils._health_document import GOOD, told_of_databases
from ansible_collections.pgsteward.postgres.plugins.module_utils._health_thresholds import SEVERITIES
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import OK, age, size
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_wal import WHOLE
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import PRIMARY, STANDBY

FORMAT = 1
TOP = 10  # tables
DAY = 86400
NONE, UNKNOWN = "none", "unknown"  # lights of what is not set up, and of what nobody could ask
APPLIED, PENDING, OPEN = "applied", "pending", "open"  # open: in the project's files, and nothing that is to be applied

Document = dict[str, Any]
Status = Mapping[str, Any]

# What each light is about, and the findings that it takes its colour from.
AREAS: Mapping[str, tuple[str, ...]] = {
    "servers": ("no_primary", "topology", "server_down", "not_looked_into"),
    "replication": (
        *("lag_bytes", "lag_seconds", "replay_bytes", "not_streaming", "replay_paused", "no_synchronous_standby"),
        *("slot_lost", "slot_inactive", "slot_retained"),
    ),
    "poolers": ("pooler_down", "pooler_paused", "pooler_queue", "pooler_clients"),
    "activity": (
        *("connections", "blocked", "idle_in_transaction", "long_query", "long_transaction", "prepared_transaction"),
        *("slow_statement", "cache_hit"),
    ),
    "storage": (
        *("disk_free", "growth", "freeze_age", "multixact_age", "dead_rows", "autovacuum_off", "damaged_pages"),
        *("invalid_index", "unused_index", "collation"),
    ),
    "backups": (
        *("backups", "backup_age", "full_backup_age", "archive_waiting", "archiver_failing"),
        *("dumps", "dump_age", "dump_damaged"),
    ),
    "restores": ("restore_drill", "proven_restore"),
    "schema": ("schema", "schema_behind", "drift"),
    "upkeep": ("certificate", "version", "pending_restart", "log_errors", "log_grave"),
}
OTHERWISE = "upkeep"  # where a finding is that stands nowhere above
# What only a server that answers can say that there is none of.
ASKED = ("replication", "backups", "restores", "schema")
# What a host is told of because its server is so, and not because it is the one that was asked.
OF_SERVERS = ("servers", "replication", "activity", "storage", "upkeep")


def report(status: Status) -> Document:
    """Return the report's document. status: see _health_document.document()."""
    made: Document = {
        "format": FORMAT,
        **{key: status[key] for key in ("environment", "at", "verdict", "exit_code", "counts")},
        "reached": any(one["reached"] for one in status["servers"].values()),
        "topology": _topology(status),
        "sizes": _sizes(status),
        "backups": _backups(status),
        "migrations": _migrations(status),
        "drift": _drift(status),
        "statements": _statements(status),
        "findings": list(status["findings"]),
        "unknown": list(status["unknown"]),
    }
    return {**made, "lights": [_light(area, status, made) for area in AREAS]}


def _worst(found: Iterable[Mapping[str, Any]]) -> str:
    return min((one["severity"] for one in found), key=SEVERITIES.index, default=GOOD)


# Servers and poolers


def _topology(status: Status) -> Document:
    # By the name of a standby, which is that of its host: whom it follows, and what that one says of it.
    following: dict[str, tuple[str, Status]] = {
        one["name"]: (host, one)
        for host, server in status["servers"].items()
        for one in (server["health"] or {}).get("followers") or ()
    }
    nodes = [_server(host, one, following.get(host), status) for host, one in status["servers"].items()]
    nodes += [_pooler(host, one, status) for host, one in status["poolers"].items()]
    known = status["topology"]
    return {"primary": known["primary"], "timeline": known["timeline"], "nodes": nodes}


def _server(host: str, one: Status, following: tuple[str, Status] | None, status: Status) -> Document:
    health = one["health"] or {}
    parent, follower = following or (None, {})
    lag = follower.get("lag_bytes")
    return {
        "host": host,
        "kind": "server",
        "role": one["state"],
        "fenced": one["fenced"],
        "light": _worst(one for one in status["findings"] if _server_of(one, status) == host),
        "parent": parent if one["state"] == STANDBY else None,
        "version": str(health.get("version_text") or "").split(" ")[0] or None,
        "timeline": one["timeline"],
        "clients": (health.get("connections") or {}).get("total"),
        "client_limit": (health.get("connections") or {}).get("limit"),
        "synchronous": follower.get("sync_state"),
        "lag_bytes": (health.get("replay") or {}).get("bytes") if lag is None else lag,
        "lag_seconds": follower.get("lag_seconds"),
        "held_back": [],
        "reason": one["reason"],
    }


def _server_of(one: Status, status: Status) -> str | None:
    """Return the server that a finding is about: a primary also tells of those that follow it, by their names."""
    area = area_of(one["name"])
    if area == "replication" and one["subject"] in status["servers"]:
        return str(one["subject"])
    return str(one["host"]) if area in OF_SERVERS else None


def _pooler(host: str, one: Status, status: Status) -> Document:
    answers = one["reached"] and not one["reason"]
    return {
        "host": host,
        "kind": "pooler",
        "role": "pooler" if answers else "unreachable",
        "fenced": False,
        "light": _worst(one for one in status["findings"] if one["host"] == host and area_of(one["name"]) == "poolers"),
        "parent": status["topology"]["primary"] if answers else None,
        "version": one["version"],
        "clients": one.get("clients"),
        "client_limit": one["limit"],
        "waiting": one.get("waiting"),
        "longest_wait": one.get("longest_wait"),
        "held_back": list(one["paused"]),
        "reason": one["reason"],
    }


# Room


def _sizes(status: Status) -> Document:
    host, health = told_of_databases(status)
    databases = sorted((health or {}).get("databases") or (), key=lambda one: -(one["bytes"] or 0))
    tables = [
        {"database": one["name"], **{key: table[key] for key in ("schema", "name", "bytes", "rows")}}
        for one in databases
        for table in one.get("biggest_tables") or ()
        if table["bytes"]  # no vacuum or analyze has looked at the others yet
    ]
    return {
        "host": host,
        "bytes": sum(one["bytes"] or 0 for one in databases) if health else None,
        "databases": [_database(one) for one in databases],
        "tables": sorted(tables, key=lambda one: -one["bytes"])[:TOP],
        "disks": [
            {"host": name, **{key: disk[key] for key in ("holds", "bytes", "free_bytes", "free_percent")}}
            for name, server in status["servers"].items()
            for disk in (server["health"] or {}).get("disks") or ()
        ],
    }


def _database(one: Status) -> Document:
    """Return what takes room in a database. Tables and indexes are as the last vacuum or analyze saw them, the whole is exact."""
    total, tables, indexes = one["bytes"], one.get("table_bytes"), one.get("index_bytes")
    known = None not in (total, tables, indexes)
    return {
        "name": one["name"],
        "bytes": total,
        "table_bytes": tables,
        "index_bytes": indexes,
        "other_bytes": max(0, total - tables - indexes) if known else None,
        "growth_bytes": one["rates"]["growth_bytes"],
        "growth_seconds": one["rates"]["seconds"] if one["rates"]["growth_bytes"] is not None else None,
    }


# Backups


def _backups(status: Status) -> Document:
    seen = status["backups"]
    made: Document = {
        "host": (seen or {}).get("host"),
        "reason": (seen or {}).get("reason"),
        "repositories": [_repository(one, status) for one in (seen or {"repositories": []})["repositories"]],
        "dumps": [
            {
                **{key: one[key] for key in ("store", "database", "reason")},
                "taken": [dict(dump) for dump in one.get("taken") or ()],
            }
            for one in status["dumps"]
        ],
        "drills": [
            {
                "kind": kind,
                "last_proven": one["last_proven"],
                "begun": (one["last"] or {}).get("begun"),
                "seconds": (one["last"] or {}).get("seconds"),
                "error": (one["last"] or {}).get("error"),
            }
            for kind, one in status["drills"].items()
        ],
    }
    begins = [backup["begun"] for one in made["repositories"] for backup in one["backups"]]
    begins += [dump["begun"] for one in made["dumps"] for dump in one["taken"]]
    return {**made, "span": {"from": min(begins), "until": status["at"]} if begins else None}


def _repository(one: Status, status: Status) -> Document:
    keys = ("label", "type", "begun", "ended", "seconds", "cluster_bytes", "stored_bytes", "pages_wrong")
    return {
        "number": one["number"],
        "well": one["code"] == OK,
        "message": one["message"],
        "encrypted": one["encrypted"],
        "restorable": _restorable(one, status),
        "backups": [
            {key: backup[key] for key in keys} for backup in sorted(one["backups"], key=lambda backup: -backup["ended"])
        ],
    }


def _restorable(one: Status, status: Status) -> Document | None:
    """Return from when to when a repository can restore to, as it and the primary tell: from the end of its oldest whole backup, whose WAL is
    there, to the segment that was archived last. Where the primary cannot say when that was, it is the end of the newest backup.
    """
    present = one["databases"][-1]["id"] if one["databases"] else None
    there = {backup["label"] for backup in one["backups"]}
    usable = [
        backup
        for backup in one["backups"]
        if backup["database"] == present
        and there.issuperset(backup["needs"])
        and (backup["wal_first"] or "")[8:] >= (one["wal_first"] or "")[8:]
    ]
    if not usable:
        return None
    begins = min(backup["ended"] for backup in usable) + WHOLE
    primary = status["servers"].get(status["topology"]["primary"] or "") or {}
    archiver = (primary.get("health") or {}).get("archiver") or {}
    archived = archiver.get("last_time") if archiver.get("last_wal") == one["wal_last"] else None
    return {"from": begins, "until": max(begins, archived or max(backup["ended"] for backup in usable))}


# Schemas


def _migrations(status: Status) -> list[Document]:
    return [
        {
            **{key: one.get(key) for key in ("host", "database", "project", "state", "reason", "next_action")},
            **_counted(list(_revisions(one))),
        }
        for one in status["schema"]
    ]


def _counted(revisions: list[Document]) -> Document:
    counts = {state: sum(1 for one in revisions if one["state"] == state) for state in (APPLIED, PENDING)}
    return {**counts, "revisions": revisions}


def _revisions(one: Status) -> Iterator[Document]:
    """Yield every revision of a project, oldest first, with what it is to the database."""
    history = {revision["revision"]: revision for revision in one.get("history") or ()}
    graph = {name: {"down": [*(each["down"] or ()), *(each["depends_on"] or ())]} for name, each in history.items()}
    applied, pending = closure(graph, one["current"]), {each["revision"] for each in one["pending"]}
    for name, revision in history.items():
        state = PENDING if name in pending else APPLIED if name in applied else OPEN
        yield {
            "revision": name,
            "message": revision["message"],
            "created": revision["created"],
            "applied": revision["applied"],
            "current": name in one["current"],
            "state": state,
        }


def _drift(status: Status) -> list[Document]:
    return [
        {
            **{key: one[key] for key in ("host", "database")},
            **{key: one["drift"][key] for key in ("clean", "reason", "truth")},
            "differences": list(one["drift"]["differences"]),
        }
        for one in status["schema"]
        if one["drift"]
    ]


def _statements(status: Status) -> Document | None:
    host, health = told_of_databases(status)
    seen = (health or {}).get("statements")
    if not seen:
        return None
    keys = ("database", "user", "calls", "mean_ms", "total_ms", "max_ms", "rows", "query")
    return {"host": host, "held": seen["held"], "top": [{key: one[key] for key in keys} for one in seen["top"]]}


# Lights


def _light(area: str, status: Status, made: Status) -> Document:
    """Return the light of an area: the gravest of its findings, or that there is nothing there, or nobody to ask."""
    ours = [one for one in status["findings"] if area_of(one["name"]) == area]
    text, shown = TEXTS[area](made, status)
    if shown == NONE and area in ASKED and not made["reached"]:
        text, shown = "not known", UNKNOWN
    return {
        "area": area,
        "light": _worst(ours) if ours or shown == GOOD else shown,
        "findings": len(ours),
        "text": text,
    }


def area_of(name: str) -> str:
    """Return the area that a finding belongs to."""
    return next((area for area, names in AREAS.items() if name in names), OTHERWISE)


# What is told of an area beside its light, and what that is without findings.
Told = tuple[str, str]


def _told_servers(made: Status, _status: Status) -> Told:
    servers = [one for one in made["topology"]["nodes"] if one["kind"] == "server"]
    up = sum(1 for one in servers if one["role"] in (PRIMARY, STANDBY))
    return f"{up} of {len(servers)} run", GOOD


def _told_replication(made: Status, _status: Status) -> Told:
    standbys = [one for one in made["topology"]["nodes"] if one["role"] == STANDBY]
    lags = [one["lag_bytes"] for one in standbys if one["lag_bytes"] is not None]
    if not standbys:
        return "no standbys", NONE
    behind = f", at most {size(max(lags))} behind" if lags else ""
    return f"{_many(len(standbys), 'standby')}{behind}", GOOD if lags else UNKNOWN


def _told_poolers(made: Status, _status: Status) -> Told:
    poolers = [one for one in made["topology"]["nodes"] if one["kind"] == "pooler"]
    answer = [one for one in poolers if one["role"] == "pooler"]
    waiting = sum(one["waiting"] for one in answer)
    return (f"{len(answer)} of {len(poolers)} answer, {waiting} waiting", GOOD) if poolers else ("no poolers", NONE)


def _told_activity(_made: Status, status: Status) -> Told:
    _host, health = told_of_databases(status)
    if not health:
        return "not known", UNKNOWN
    seen = health["connections"]
    return f"{seen['total']} of {seen['limit']} connections", GOOD


def _told_storage(made: Status, _status: Status) -> Told:
    sizes = made["sizes"]
    if sizes["bytes"] is None:
        return "not known", UNKNOWN
    free = [one["free_percent"] for one in sizes["disks"]]
    return f"{size(sizes['bytes'])}{f', {min(free):.0f} % of disk free' if free else ''}", GOOD


def _told_backups(made: Status, status: Status) -> Told:
    seen = made["backups"]
    if status["backups"] is None and not seen["dumps"]:
        return "none are set up", NONE
    ends = [backup["ended"] for one in seen["repositories"] for backup in one["backups"]]
    ends += [dump["begun"] for one in seen["dumps"] for dump in one["taken"] if dump["good"]]
    return (f"last {age(made['at'] - max(ends))} ago" if ends else "there is none"), GOOD


def _told_restores(made: Status, _status: Status) -> Told:
    drills = made["backups"]["drills"]
    proven = [one["last_proven"] for one in drills if one["last_proven"]]
    if not drills:
        return "nothing to prove", NONE
    return (f"proven {age(made['at'] - max(proven))} ago" if proven else "never proven"), GOOD


def _told_schema(made: Status, _status: Status) -> Told:
    if not made["migrations"]:
        return "no projects", NONE
    pending = sum(one[PENDING] for one in made["migrations"])
    differences = sum(len(one["differences"]) for one in made["drift"])
    read = all(one["state"] for one in made["migrations"])
    text = f"{pending} pending, {_many(differences, 'difference')}" if read else "not all could be read"
    return text, GOOD if read else UNKNOWN


def _told_upkeep(made: Status, status: Status) -> Told:
    _host, health = told_of_databases(status)
    if not health:
        return "not known", UNKNOWN
    ends = [
        one["ends"]
        for server in status["servers"].values()
        for one in (server["health"] or {}).get("certificates") or ()
    ]
    until = f", TLS for {_many(max(0, int((min(ends) - made['at']) // DAY)), 'day')}" if ends else ""
    return f"PostgreSQL {str(health['version_text']).split(' ')[0]}{until}", GOOD


TEXTS: Mapping[str, Callable[[Status, Status], Told]] = {
    "servers": _told_servers,
    "replication": _told_replication,
    "poolers": _told_poolers,
    "activity": _told_activity,
    "storage": _told_storage,
    "backups": _told_backups,
    "restores": _told_restores,
    "schema": _told_schema,
    "upkeep": _told_upkeep,
}


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"
