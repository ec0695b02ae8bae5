"""A healthy server and a healthy environment, as the queries and the hosts tell of them; the tests break one thing at a time."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_facts, _health_rates

NOW = 1_795_300_000.0  # 2026-11-21
DAY = 86400


def raw(**changes: Any) -> dict[str, Any]:
    """Return what the query for a whole server gives."""
    settings = {
        "archive_mode": "on",
        "autovacuum": "on",
        "cluster_name": "shop",
        "data_directory": "/var/lib/postgresql/18/main",
        "log_timezone": "Etc/UTC",
        "max_connections": "100",
        "reserved_connections": "0",
        "superuser_reserved_connections": "3",
        "ssl": "on",
        "synchronous_standby_names": "",
    }
    return {
        "version": 180006,
        "version_text": "18.6 (Debian 18.6-1)",
        "standby": False,
        "at": NOW,
        "started": NOW - 5 * DAY,
        "loaded": NOW - DAY,
        "superuser": True,
        "settings": {**settings, **changes.pop("settings", {})},
        "counts_statements": True,
        "pending_restart": [],
        "backends": [
            {"type": "client backend", "state": "idle", "database": "shop", "user": "shop_app", "count": 10},
            {"type": "client backend", "state": "active", "database": "shop", "user": "shop_app", "count": 2},
        ],
        "walsenders": 1,
        "sessions": [],
        "prepared": [],
        "databases": [database(), database(name="template0", template=True, connects=False)],
        "checkpoints_timed": 100,
        "checkpoints_requested": 2,
        "lsn": "0/5000000",
        "followers": [
            {"name": "db2", "address": "10.0.0.2", "state": "streaming", "sync_state": "async", "lag_bytes": 120, "lag_seconds": 0.01}
        ],
        "receiver": None,
        "replay": None,
        "slots": [slot()],
        "archiver": {
            "archived": 100,
            "last_wal": "000000010000000000000004",
            "last_time": NOW - 60,
            "failed": 1,
            "last_failed_wal": "000000010000000000000003",
            "last_failed_time": NOW - 3600,
        },
        "archive_waiting": 0,
        "wal_bytes": 1 << 28,
        "tablespaces": [],
        **changes,
    }  # fmt: skip


def database(**changes: Any) -> dict[str, Any]:
    """Return a database of that answer."""
    return {
        "name": "shop",
        "connects": True,
        "template": False,
        "limit": -1,
        "bytes": 8 << 30,
        "freeze_age": 50_000_000,
        "multixact_age": 1000,
        "collation": "2.36",
        "collation_actual": "2.36",
        "commits": 1_000_000,
        "rollbacks": 100,
        "blocks_read": 10_000,
        "blocks_hit": 990_000,
        "deadlocks": 0,
        "temp_bytes": 0,
        "conflicts": 0,
        "checksum_failures": 0,
        "reset": None,
        **changes,
    }


def slot(**changes: Any) -> dict[str, Any]:
    """Return a replication slot that is read from."""
    return {
        "name": "db2",
        "type": "physical",
        "database": None,
        "active": True,
        "temporary": False,
        "wal_status": "reserved",
        "restart_lsn": "0/4FFFF00",
        "synced": False,
        "retained_bytes": 256,
        "safe_bytes": None,
        "inactive_since": None,
        "invalidation": None,
        **changes,
    }


def session(pid: int, **changes: Any) -> dict[str, Any]:
    """Return a session of a client that has begun a moment ago."""
    return {
        "pid": pid,
        "user": "shop_app",
        "database": "shop",
        "application": "web",
        "address": None,
        "type": "client backend",
        "state": "active",
        "wait": "",
        "transaction_age": 0.2,
        "query_age": 0.1,
        "state_age": 0.1,
        "waiting": None,
        "xmin_age": 1,
        "blocked_by": None,
        "query": "UPDATE orders SET state = 'paid' WHERE id = 7",
        **changes,
    }


def inside(**changes: Any) -> dict[str, Any]:
    """Return what the query inside a database gives."""
    return {
        "tables": {"count": 40, "bytes": 6 << 30, "live_rows": 1_000_000, "dead_rows": 5000, "sequential_scans": 10},
        "indexes": {"count": 90, "bytes": 1 << 30, "scans": 10_000, "read": 20_000, "fetched": 15_000},
        "biggest_tables": [{"schema": "public", "name": "orders", "bytes": 4 << 30, "rows": 900_000}],
        "biggest_indexes": [],
        "dead": [{"schema": "public", "name": "orders", "live": 900_000, "dead": 5000, "vacuumed": NOW - DAY, "analyzed": NOW - DAY}],
        "oldest": [{"schema": "public", "name": "orders", "age": 50_000_000}],
        "invalid_indexes": [],
        "unused_indexes": [],
        "extensions": {"plpgsql": {"version": "1.0", "schema": "pg_catalog"}},
        **changes,
    }  # fmt: skip


STATEMENT = {
    "id": "-77", "database": "shop", "user": "shop_app", "calls": 1000, "mean_ms": 12.5, "total_ms": 12500.0, "max_ms": 80.0, "rows": 1000,
    "query": "SELECT * FROM orders WHERE id = $1",
}  # fmt: skip

HOST = {
    "disks": [
        {"holds": ["data", "WAL"], "path": "/var/lib/postgresql/18/main", "bytes": 1 << 40, "free_bytes": 1 << 39, "free_percent": 50.0,
         "free_inodes_percent": 90.0}
    ],
    "certificates": [{"path": "/etc/pgsteward/tls/server.crt", "subject": "CN=db1", "ends": NOW + 200 * DAY}],
    "log": {"path": "/var/log/postgresql/postgresql-18-main.log", "window": 3600.0, "errors": 0, "counts": {}, "kinds": []},
    "drills": [
        {"kind": "physical", "cluster": "shop", "host": "db2", "begun": NOW - DAY, "seconds": 60.0, "error": None, "proven": NOW - DAY,
         "last_proven": NOW - DAY}
    ],
}  # fmt: skip


def facts(
    told: dict[str, Any] | None = None,
    within: dict[str, Any] | None = None,
    host: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the facts about a server, healthy but for what is given."""
    held = {"held": 100, "most": 5000, "top": [STATEMENT], "busiest": [STATEMENT]}
    shaped = _health_facts.shaped(told or raw(), {"shop": within or inside()}, held)
    for one in shaped["databases"]:
        one["rates"] = _health_rates.of(one, shaped, before)
    return {**shaped, "seconds": 0.1, "unknown": [], **HOST, **(host or {})}
