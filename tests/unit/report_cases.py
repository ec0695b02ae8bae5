"""Environments to report on: one with a bit of everything, one that is well, one of which nothing is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import health_cases
import test_health_document as status_cases
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health, _health_thresholds
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import Backup, Repository
from health_cases import DAY, NOW

HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)>&{{ 7 * 7 }}"
DATABASES = {"face_recognition": 20 << 30, "shop": 8 << 30, "imagemanager": 5 << 30, "powergym": 900 << 20}
QUERIES = (
    "SELECT i.*, count(c.*) FROM images i LEFT JOIN image_classifications c ON c.image_id = i.id WHERE i.project_id = $1 GROUP BY i.id",
    "UPDATE crawl_jobs SET status = $1 WHERE id = $2",
    f"SELECT * FROM {HOSTILE}",
)
MESSAGES = (
    "initial schema",
    "lookup indexes",
    "API keys",
    "project status",
    "vectors",
    "landmarks",
    "users",
    "audit",
    "HNSW",
)
HISTORY = [
    {
        "revision": f"{number:03d}_step",
        "message": message,
        "created": f"2026-0{number}-12 10:00:00",
        "down": [f"{number - 1:03d}_step"] if number > 1 else [],
        "depends_on": [],
        "applied": None,
    }
    for number, message in enumerate(MESSAGES, 1)
]
DRIFT = (
    {
        "severity": "wrong_results",
        "object": "table public.orders",
        "attribute": "state",
        "remedy": "ALTER TABLE public.orders ALTER COLUMN state SET NOT NULL",
    },
    {"severity": "slower", "object": "index public.idx_orders", "attribute": "exists", "remedy": None},
)
LAST_WAL = "000000010000000000000004"  # what the server of health_cases has archived last


def backup(days: float, kind: str = "full", **changes: Any) -> Backup:
    """Return a backup that was begun so many days ago and took ten minutes."""
    begun = int(NOW - days * DAY)
    segment = f"00000001000000000000000{3 - min(2, int(days) // 7)}"
    return Backup(
        **{
            "label": f"{int(days * 10):06d}{kind[0].upper()}",
            "type": kind,
            "begun": begun,
            "ended": begun + 600,
            "cluster_bytes": 8 << 30,
            "read_bytes": 8 << 30,
            "stored_bytes": 2 << 30,
            "wal_first": segment,
            "wal_last": segment,
            "lsn_first": None,
            "lsn_last": None,
            "database": 1,
            **changes,
        }
    )


def repository(*backups: Backup, **changes: Any) -> dict[str, Any]:
    """Return a repository as pgbackrest_info returns it."""
    held = {
        "number": 1,
        "code": 0,
        "message": "ok",
        "encrypted": True,
        "databases": ({"id": 1, "system_identifier": "7", "version": "18"},),
        "wal_first": "000000010000000000000001",
        "wal_last": LAST_WAL,
    }
    return Repository(**{**held, **changes}, backups=backups).as_facts()


def backups(*repositories: dict[str, Any]) -> dict[str, Any]:
    """Return what hosts said of repositories."""
    figures = [{**status_cases.REPOSITORY, "repository": one["number"]} for one in repositories]
    return {"db1": status_cases.backups(repositories=list(repositories), figures={"repositories": figures})}


def dumps(count: int = 5) -> dict[str, Any]:
    """Return what hosts said of dumps: one a day, the third of them damaged."""
    listed = [
        {
            "name": f"backup_shop_202611{20 - day:02d}_020000",
            "database": "shop",
            "good": day != 2,
            "bytes": (1 << 30) - day,
        }
        for day in range(count)
    ]
    return {"db1": {"nas": status_cases.dumps(dumps=listed)}}


def looked(name: str, applied: int = len(HISTORY), **changes: Any) -> dict[str, Any]:
    """Return what alembic_info says of a database that has so many revisions of its project."""
    pending = HISTORY[applied:]
    done = [{**one, "applied": NOW - (20 - place) * DAY} for place, one in enumerate(HISTORY[:applied])]
    return status_cases.looked(
        **{
            "item": {"name": name, "project": "systems"},
            "state": "behind" if pending else "managed",
            "current": [HISTORY[applied - 1]["revision"]] if applied else [],
            "heads": [HISTORY[-1]["revision"]],
            "pending": pending,
            "history": [*done, *pending],
            "next_action": "Run the playbook migrate." if pending else "",
            **changes,
        }
    )


def server() -> dict[str, Any]:
    """Return what pg_health_info says of a busy primary of two standbys."""
    lagging = {
        "name": "db3",
        "address": "10.0.0.3",
        "state": "streaming",
        "sync_state": "async",
        "lag_bytes": 90 << 20,
        "lag_seconds": 41.2,
    }
    near = {
        **lagging,
        "name": "db2",
        "address": "10.0.0.2",
        "sync_state": "quorum",
        "lag_bytes": 120,
        "lag_seconds": 0.01,
    }
    told = health_cases.facts(
        health_cases.raw(
            databases=[health_cases.database(name=name, bytes=size) for name, size in DATABASES.items()],
            followers=[near, lagging],
        )
    )
    for number, one in enumerate(told["databases"]):
        table = {
            "schema": "public",
            "name": f"orders{HOSTILE * number}"[:63],
            "bytes": one["bytes"] // 3,
            "rows": 900_000,
        }
        parts = {"table_bytes": one["bytes"] * 6 // 10, "index_bytes": one["bytes"] // 4}
        one.update(parts, biggest_tables=[table, {**table, "name": "empty", "bytes": 0}])
        one["rates"].update(growth_bytes=-(3 << 20) if number else 300 << 20, seconds=86400.0)
    top = [
        {**health_cases.STATEMENT, "query": query, "mean_ms": 2500.5 / place} for place, query in enumerate(QUERIES, 1)
    ]
    told.update(statements={"held": 412, "most": 5000, "top": top}, drills=status_cases.PROVEN)
    return {
        "health": told,
        "findings": [one.as_return() for one in _health.findings(told, _health_thresholds.merged({}))],
    }


def standby() -> dict[str, Any]:
    """Return what pg_health_info says of a standby without drills."""
    told = status_cases.standby()
    return {**told, "health": {**told["health"], "drills": []}}


def busy(**changes: Any) -> dict[str, Any]:
    """Return what hosts said of an environment with poolers, standbys, a host that is down, backups, dumps, pending revisions and drift."""
    states = {"db1": "primary", "db2": "standby", "db3": "standby", "db4": None}
    instances = {host: {"state": state, "timeline": 3} if state else {} for host, state in states.items()}
    series = [backup(day + 0.3, "full" if day % 7 == 0 else "diff" if day % 7 == 4 else "incr") for day in range(15)]
    return status_cases.asked(
        **{
            "expected": {"servers": list(states), "poolers": ["pool1", "pool2"]},
            "topology": status_cases.topology(standbys=["db2", "db3"], unreachable=["db4"], instances=instances),
            "health": {"db1": server(), "db2": standby(), "db3": standby()},
            "poolers": {"pool1": status_cases.pooler(), "pool2": status_cases.pooler(pools=[status_cases.QUEUE])},
            "backups": backups(repository(*series), repository(*series[:8], number=2, encrypted=False)),
            "dumps": dumps(),
            "looked": {
                "db1": {"results": [looked("shop", 7), looked("imagemanager"), looked("powergym", 0, state="fresh")]}
            },
            "compared": {
                "db1": {
                    "results": [
                        {"item": {"name": "shop"}, "clean": False, "truth_name": "its history", "drift": list(DRIFT)},
                        {"item": {"name": "imagemanager"}, "clean": True, "truth_name": "its history", "drift": []},
                        {"item": {"name": "powergym"}, "msg": f"no scratch: {HOSTILE}"},
                    ]
                }
            },
            **changes,
        }
    )


def held() -> dict[str, Any]:
    """Return what hosts said of an environment whose pooler holds clients back, with a standby that follows a standby."""
    asked = well(poolers={"pool1": status_cases.pooler(databases=[{"name": HOSTILE, "paused": "1"}])})
    followers = asked["health"]["db1"]["health"]["followers"]
    followers[0]["lag_bytes"] = None
    return asked


def well(**changes: Any) -> dict[str, Any]:
    """Return what hosts said of an environment that nothing is wrong with."""
    held = {
        "backups": backups(repository(backup(8), backup(0.3, "incr"))),
        "looked": {"db1": {"results": [looked("shop")]}},
    }
    return status_cases.healthy(**{**held, **changes})


def nothing() -> dict[str, Any]:
    """Return what is left where no host answers."""
    none: dict[str, Any] = {
        "topology": None,
        "health": {},
        "poolers": {},
        "backups": {},
        "dumps": {},
        "looked": {},
        "compared": {},
    }
    return status_cases.asked(**none)


def bare() -> dict[str, Any]:
    """Return what a server says that has no poolers, no standby, no backups and no projects."""
    none: dict[str, Any] = {"poolers": {}, "backups": {}, "dumps": {}, "looked": {}, "compared": {}}
    alone = status_cases.topology(standbys=[], instances={"db1": {"state": "primary", "timeline": 1}})
    told = status_cases.health(followers=[], slots=[])
    told["health"].update(statements=None, drills=[])
    return status_cases.asked(
        **none, topology=alone, health={"db1": told}, expected={"servers": ["db1"], "poolers": []}
    )


def figures(document: dict[str, Any]) -> dict[str, float]:
    """Return every figure of a report's document by its place, but for the version of its shape."""

    def walk(value: Any, at: str) -> Iterator[tuple[str, float]]:
        if isinstance(value, dict | list):
            for key, one in value.items() if isinstance(value, dict) else enumerate(value):
                yield from walk(one, f"{at}/{key}")
        elif type(value) in (int, float):
            yield at, value

    return {at: value for at, value in walk(document, "") if at != "/format"}
