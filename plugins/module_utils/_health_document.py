# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One document about an environment: what its hosts said, put together, and what only shows in all of them. Pure.

The screen of the playbook `status` and the report are made of it and of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_thresholds as thresholds
from ansible_collections.pgsteward.postgres.plugins.module_utils._health import (
    CRITICAL,
    NOTICE,
    WARNING,
    Finding,
    judged,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._health_thresholds import SEVERITIES
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import OK, age
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_versions import warnings as backup_warnings
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_findings import open_holes
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import PRIMARY, STANDBY, UNREACHABLE

FORMAT = 1
CONSOLE = "pgbouncer"
GOOD = "good"
# As monitoring systems have it.
EXIT_CODES: Mapping[str, int] = {GOOD: 0, NOTICE: 0, WARNING: 1, CRITICAL: 2}
# What a difference of a schema is worth, by what it does to those who use the database.
DRIFT = {"data_at_risk": CRITICAL, "wrong_results": WARNING, "slower": NOTICE, "cosmetic": NOTICE}
SHOWN_DRIFT = 3
# What is kept of a revision in a history, beside its name and what it says.
HISTORY = ("created", "down", "depends_on", "applied")

Asked = Mapping[str, Any]
Document = dict[str, Any]
Placed = tuple[str, Finding]


def document(asked: Asked) -> Document:
    """Return the document.

    asked: `environment`, `at` (seconds since 1970), `thresholds` as an operator gives them; `topology` as the role pg_topology has it, or None;
    `expected`: names of `servers` and `poolers`; by host what modules returned: `health` (pg_health_info), `poolers` (pgbouncer_admin, a result
    for each thing shown), `backups` (pgbackrest_info), `dumps` (pg_dump_info, by store), `looked` (alembic_info, a result for each database),
    `compared` (schema_verify, likewise), `not_looked` (why there are no such results). A host that did not answer has no entry, and what a
    module failed with is in its `msg`.
    """
    limits = thresholds.merged(asked.get("thresholds"))
    made: Document = {
        "format": FORMAT,
        "environment": asked["environment"],
        "at": asked["at"],
        "thresholds": thresholds.as_return(limits),
        "topology": _topology(asked),
        "servers": {host: _server(host, asked) for host in asked["expected"]["servers"]},
        "poolers": {host: _pooler(asked["poolers"].get(host)) for host in asked["expected"]["poolers"]},
        "backups": _backups(asked),
        "dumps": _dumps(asked),
        "drills": _drills(asked),
        "schema": _schema(asked),
    }
    placed = [*_told(asked), *(found for rule in RULES for found in rule(made, limits))]
    made["findings"] = [
        {"host": host, **finding.as_return()}
        for host, finding in sorted(placed, key=lambda one: SEVERITIES.index(one[1].severity))
    ]
    made["unknown"] = list(_unknown(asked, made))
    made["counts"] = {
        severity: sum(1 for one in made["findings"] if one["severity"] == severity) for severity in SEVERITIES
    }
    made["verdict"] = next((severity for severity in SEVERITIES if made["counts"][severity]), GOOD)
    made["exit_code"] = EXIT_CODES[made["verdict"]]
    return made


def reaches(verdict: str, fail_on: str) -> bool:
    """Tell whether a verdict is as grave as what a run fails on, which may be `never`."""
    if verdict == GOOD or fail_on == "never":
        return False
    return SEVERITIES.index(verdict) <= SEVERITIES.index(fail_on)


def told_of_databases(made: Asked) -> tuple[str | None, Asked | None]:
    """Return the host that the figures of databases are taken from, and what it said: the primary, or any that was asked."""
    told = [(host, one["health"]) for host, one in made["servers"].items() if one["health"]]
    return next((one for one in told if one[1]["role"] == PRIMARY), told[0] if told else (None, None))


def _topology(asked: Asked) -> Document:
    known = asked.get("topology") or {}
    servers = list(asked["expected"]["servers"])
    keys = (
        "primary",
        "standbys",
        "stopped",
        "empty",
        "unreachable",
        "fenced",
        "timeline",
        "problems",
        "system_identifier",
    )
    nobody = {"primary": None, "timeline": None, "system_identifier": None, "unreachable": servers}
    return {key: known.get(key, nobody.get(key, [])) for key in keys}


def _server(host: str, asked: Asked) -> Document:
    """Return what is known of a host: what its server is, and how it is where that could be asked."""
    instance = ((asked.get("topology") or {}).get("instances") or {}).get(host) or {}
    told = asked["health"].get(host) or {}
    return {
        "state": instance.get("state", UNREACHABLE),
        "reached": bool(instance),
        "reason": instance.get("reason") or told.get("msg"),
        "fenced": bool(instance.get("fenced")),
        "timeline": instance.get("timeline"),
        "upstream": instance.get("upstream"),
        "health": told.get("health"),
    }


def _pooler(answers: Asked | None) -> Document:
    """Return a pooler: its version, its pools with who waits, and its entries that are held back."""
    results = (answers or {}).get("results") or []
    told = {one["item"]: one["rows"] for one in results if "rows" in one}
    if "pools" not in told:
        return {
            "reached": bool(results),
            "reason": next((one["msg"] for one in results if one.get("msg")), None),
            "version": None,
            "pools": [],
            "paused": [],
            "limit": None,
        }
    pools = [
        {
            "database": row["database"],
            "user": row["user"],
            "active": _integer(row, "cl_active"),
            "waiting": _integer(row, "cl_waiting"),
            "servers_active": _integer(row, "sv_active"),
            "servers_idle": _integer(row, "sv_idle"),
            "longest_wait": round(_integer(row, "maxwait") + _integer(row, "maxwait_us") / 1e6, 3),
        }
        for row in told.get("pools") or ()
        if row["database"] != CONSOLE
    ]
    config = {row["key"]: row["value"] for row in told.get("config") or ()}
    said = " ".join(str(value) for row in told.get("version") or () for value in row.values())
    return {
        "reached": True,
        "reason": None,
        "version": next((word for word in said.split() if word[:1].isdigit()), None),
        "limit": int(config["max_client_conn"]) if str(config.get("max_client_conn", "")).isdigit() else None,
        "clients": sum(one["active"] + one["waiting"] for one in pools),
        "waiting": sum(one["waiting"] for one in pools),
        "longest_wait": max([one["longest_wait"] for one in pools], default=0.0),
        "pools": pools,
        "paused": [
            row["name"] for row in told.get("databases") or () if row.get("paused") == "1" and row["name"] != CONSOLE
        ],
    }


def _integer(row: Asked, key: str) -> int:
    text = str(row.get(key, "") or "0")
    return int(text) if text.isdigit() else 0


def _backups(asked: Asked) -> Document | None:
    """Return the repositories, as the first host that could be asked sees them; None where there are to be none."""
    told = asked.get("backups") or {}
    for host, one in told.items():
        if not one.get("msg"):
            keys = ("version", "busy", "repositories", "figures", "findings")
            return {"host": host, "reason": None, **{key: one[key] for key in keys}}
    for host, one in told.items():
        return {
            "host": host,
            "reason": one["msg"],
            "version": None,
            "repositories": [],
            "figures": {"repositories": []},
            "findings": [],
        }
    return None


def _dumps(asked: Asked) -> list[Document]:
    """Return the newest dump of each database in each store."""
    listed: list[Document] = []
    for host, stores in (asked.get("dumps") or {}).items():
        for store, told in stores.items():
            if told.get("msg"):
                listed.append({"host": host, "store": store, "database": None, "reason": told["msg"]})
                continue
            for database in told.get("wanted") or sorted({one["database"] for one in told["dumps"]}):
                of_it = [one for one in told["dumps"] if one["database"] == database]
                good = [one for one in of_it if one.get("good")]
                newest = max(good, key=lambda one: taken_at(one["name"])) if good else None
                listed.append(
                    {
                        "host": host,
                        "store": store,
                        "database": database,
                        "reason": None,
                        "dumps": len(of_it),
                        "damaged": len(of_it) - len(good),
                        "newest": newest["name"] if newest else None,
                        "begun": taken_at(newest["name"]) if newest else None,
                        "bytes": newest["bytes"] if newest else None,
                        "taken": [
                            {"begun": taken_at(one["name"]), "bytes": one["bytes"], "good": bool(one.get("good"))}
                            for one in of_it
                        ],
                    }
                )
    return listed


def taken_at(name: str) -> float:
    """Return when a dump was taken, which its name says, in seconds since 1970; 0 for a name that is none of ours."""
    parsed = _dump_names.parse(name)
    return parsed.at.timestamp() if parsed else 0.0


def _drills(asked: Asked) -> Document:
    """Return for each kind of drill that there is something to prove with: the last one of all hosts, and when one last proved it."""
    records = [
        record for told in asked["health"].values() for record in ((told or {}).get("health") or {}).get("drills") or ()
    ]
    wanted = {"physical": bool(asked.get("backups")), "dump": bool(asked.get("dumps"))}
    found: Document = {}
    for kind, is_wanted in wanted.items():
        of_kind = [one for one in records if one["kind"] == kind]
        if of_kind or is_wanted:
            last = max(of_kind, key=lambda one: float(one["begun"]), default=None)
            proven = max([one["last_proven"] for one in of_kind if one["last_proven"]], default=None)
            found[kind] = {"last": last, "last_proven": proven}
    return found


def _schema(asked: Asked) -> list[Document]:
    """Return each database of a project: at which revision it is, and how it differs from its truth."""
    listed = [_unread(host, None, reason) for host, reason in (asked.get("not_looked") or {}).items()]
    for host, told in (asked.get("looked") or {}).items():
        results = ((asked.get("compared") or {}).get(host) or {}).get("results") or ()
        compared = {one["item"]["name"]: one for one in results if "item" in one}
        for one in told.get("results") or ():
            name = one["item"]["name"]
            if one.get("state") is None:
                reason = one.get("msg") or " ".join([*one.get("evidence", ()), one.get("next_action", "")]).strip()
                listed.append(_unread(host, name, reason or "no reason given"))
                continue
            listed.append(
                {
                    "host": host,
                    "database": name,
                    "project": one["item"].get("project"),
                    "reason": None,
                    "state": one["state"],
                    "current": list(one["current"]),
                    "heads": list(one["heads"]),
                    "history": _revisions(one.get("history"), *HISTORY),
                    "pending": _revisions(one["pending"]),
                    "next_action": one.get("next_action") or "",
                    "drift": _drift(compared.get(name)),
                }
            )
    return listed


def _revisions(listed: Iterable[Asked] | None, *more: str) -> list[Document]:
    return [{key: one.get(key) for key in ("revision", "message", *more)} for one in listed or ()]


def _unread(host: str, database: str | None, reason: str) -> Document:
    return {
        "host": host,
        "database": database,
        "reason": reason,
        "state": None,
        "current": [],
        "heads": [],
        "pending": [],
        "drift": None,
    }


def _drift(compared: Asked | None) -> Document | None:
    """Return how a schema differs from its truth; None where it was not compared."""
    if compared is None or compared.get("skipped"):
        return None
    if "clean" not in compared:
        return {"clean": None, "reason": compared.get("msg") or "no reason given", "truth": None, "differences": []}
    keys = ("severity", "object", "attribute", "remedy")
    differences = [{key: one.get(key) for key in keys} for one in compared["drift"]]
    return {"clean": compared["clean"], "reason": None, "truth": compared["truth_name"], "differences": differences}


# What hosts found themselves, and what nobody could look at


def _told(asked: Asked) -> Iterator[Placed]:
    for host, told in asked["health"].items():
        for one in (told or {}).get("findings") or ():
            yield host, Finding(**one)


def _unknown(asked: Asked, made: Document) -> Iterator[Document]:
    for host, told in asked["health"].items():
        for one in ((told or {}).get("health") or {}).get("unknown") or ():
            yield {"host": host, **one}
    for one in made["schema"]:
        if one["drift"] and one["drift"]["clean"] is None:
            yield {"host": one["host"], "what": f"drift of {one['database']}", "reason": one["drift"]["reason"]}


# What shows only in all of them


def _hosts(made: Document, _limits: Any) -> Iterator[Placed]:
    topology = made["topology"]
    primary = topology["primary"]
    for problem in topology["problems"]:
        yield "", Finding("topology", CRITICAL, "", problem, "see the runbooks of a change of primary")
    if not primary and not topology["problems"]:
        standbys = ", ".join(topology["standbys"])
        yield (
            "",
            Finding(
                "no_primary",
                CRITICAL,
                "",
                "no server takes writes" + (f": {standbys} wait for a primary" if standbys else ""),
                "bring the primary back, or run the playbook failover" if standbys else "bring the servers back",
            ),
        )
    for host, one in made["servers"].items():
        if one["state"] in (PRIMARY, STANDBY):
            if one["health"] is None:
                text = f"the server runs and cannot be looked into: {one['reason'] or 'no reason given'}"
                yield host, Finding("not_looked_into", WARNING, "", text, "run the playbook status again with -vvv")
            continue
        what = f"the server is {one['state']}" if one["reached"] else "the host does not answer"
        reason = f" ({one['reason']})" if one["reason"] else ""
        step = "run the playbook rejoin" if one["fenced"] else "see whether the host is up; then run the playbook site"
        severity = WARNING if primary else CRITICAL
        yield host, Finding("server_down", severity, "", f"{what}{reason}{', fenced' * one['fenced']}", step)


def _poolers(made: Document, limits: Any) -> Iterator[Placed]:
    reached = [host for host, one in made["poolers"].items() if one["reached"] and not one["reason"]]
    for host, one in made["poolers"].items():
        if host not in reached:
            text = "the pooler does not answer" + (f" ({one['reason']})" if one["reason"] else "")
            step = "see whether host and service are up; then run the playbook site"
            yield host, Finding("pooler_down", WARNING if reached else CRITICAL, "", text, step)
            continue
        if one["paused"]:
            text = f"the pooler holds the clients of {', '.join(one['paused'])} back"
            yield (
                host,
                Finding(
                    "pooler_paused",
                    CRITICAL,
                    "",
                    text,
                    "RESUME on its console, unless a change of primary is under way",
                ),
            )
        for pool in one["pools"]:
            text = f"{pool['waiting']} clients of {pool['user']} wait for {pool['database']}, for up to {pool['longest_wait']:.1f} s"
            step = "see long transactions and queries; then a larger pool_size in pgbouncer_databases, and run site"
            yield from _at(
                host, judged(limits, "pooler_wait", pool["longest_wait"], "pooler_queue", pool["database"], text, step)
            )
        if one["limit"]:
            text = f"{one['clients']} of the {one['limit']} clients that the pooler may have are there"
            percent = 100 * one["clients"] / one["limit"]
            step = "raise pgbouncer_max_client_conn and run site, or give the applications smaller pools"
            yield from _at(host, judged(limits, "connections", percent, "pooler_clients", "", text, step))
        # Those that nothing closes here, and that no distribution has mended in its own package of an older version.
        holes = [hole for hole in open_holes(one["version"] or "") if not hole.closing and not hole.patched]
        if one["version"] and holes:
            text = f"PgBouncer {one['version']}: {holes[0].fault} ({', '.join(hole.name for hole in holes)})"
            yield (
                host,
                Finding(
                    "version",
                    WARNING,
                    "PgBouncer",
                    text,
                    f"keep it to private addresses; update it to {holes[0].fixed}",
                ),
            )


def _at(host: str, found: Iterable[Finding]) -> Iterator[Placed]:
    return ((host, finding) for finding in found)


def _backed_up(made: Document, limits: Any) -> Iterator[Placed]:
    seen = made["backups"]
    if seen is None:
        return
    host = seen["host"]
    if seen["reason"]:
        yield (
            host,
            Finding(
                "backups", CRITICAL, "", f"the backups cannot be looked at: {seen['reason']}", "run the playbook site"
            ),
        )
        return
    for text in seen["findings"]:
        subject, _colon, rest = text.partition(": ")
        yield (
            host,
            Finding("backups", CRITICAL, subject if rest else "", text, "run the playbook backup once that is mended"),
        )
    for one in seen["figures"]["repositories"]:
        if one["status"] != OK:
            continue
        where = f"repository {one['repository']}"
        for key, name in (("backup_age", "last backup"), ("full_age", "last full backup")):
            threshold = "full_backup_age" if key == "full_age" else key
            step = f"run the playbook backup{' with -e type=full' * (key == 'full_age')}; see the timers pgsteward-backup@*"
            if one[key] is not None:
                text = f"{where}: the {name} is {age(one[key])} old"
                yield from _at(host, judged(limits, threshold, one[key], threshold, where, text, step))
    encrypted = any(one["encrypted"] for one in seen["repositories"])
    for text in backup_warnings(seen["version"], encrypted=encrypted):
        yield host, Finding("version", NOTICE, "pgBackRest", text, "update the package pgbackrest")


def _dumped(made: Document, limits: Any) -> Iterator[Placed]:
    for one in made["dumps"]:
        where = f"{one['database']} in {one['store']}" if one["database"] else one["store"]
        if one["reason"]:
            text = f"the dumps in {one['store']} cannot be looked at: {one['reason']}"
            yield one["host"], Finding("dumps", CRITICAL, one["store"], text, "see whether the store answers")
            continue
        if one["damaged"]:
            text = f"{one['damaged']} of {one['dumps']} dumps of {where} are not whole"
            yield one["host"], Finding("dump_damaged", WARNING, where, text, "run the playbook dump; backup-db --help")
        if one["begun"] is None:
            text = f"there is no good dump of {where}"
            yield (
                one["host"],
                Finding("dumps", CRITICAL, where, text, f"run the playbook dump with -e database={one['database']}"),
            )
            continue
        old = made["at"] - one["begun"]
        text = f"the newest dump of {where}, {one['newest']}, is {age(old)} old"
        step = f"run the playbook dump with -e database={one['database']}; see the timer pgsteward-dumps"
        yield from _at(one["host"], judged(limits, "dump_age", old, "dump_age", where, text, step))


def _drilled(made: Document, limits: Any) -> Iterator[Placed]:
    for kind, seen in made["drills"].items():
        what = {"physical": "base backups", "dump": "dumps"}[kind]
        step = f"run the playbook restore_drill with -e kind={kind}"
        last, proven = seen["last"], seen["last_proven"]
        host = last["host"] if last else ""
        if last and last["error"]:
            text = f"the last restore drill of {what} proved nothing: {last['error']}"
            yield host, Finding("restore_drill", CRITICAL, kind, text, step)
        if proven is None:
            yield host, Finding("proven_restore", WARNING, kind, f"no restore of {what} has been proven yet", step)
            continue
        old = made["at"] - proven
        text = f"the last restore of {what} was proven {age(old)} ago"
        yield from _at(host, judged(limits, "proven_restore", old, "proven_restore", kind, text, step))


def _migrated(made: Document, _limits: Any) -> Iterator[Placed]:
    for one in made["schema"]:
        name = one["database"] or "schemas"
        if one["state"] is None:
            text = f"{name}: the revision cannot be read: {one['reason']}"
            yield one["host"], Finding("schema", WARNING, name, text, "run the playbook migration_status")
            continue
        if one["state"] in ("fresh", "behind"):
            text = (
                f"{name}: {len(one['pending'])} revisions are pending, it is at {', '.join(one['current']) or 'none'}"
            )
            step = f"run the playbook migrate with -e database={name}"
            yield (
                one["host"],
                Finding("schema_behind", WARNING, name, text, step, float(len(one["pending"])), 0.0, "revisions"),
            )
        elif one["state"] != "managed":
            yield (
                one["host"],
                Finding(
                    "schema",
                    WARNING,
                    name,
                    f"{name} is {one['state']}: {one['next_action']}",
                    "run the playbook migration_status",
                ),
            )
        drift = one["drift"]
        for severity in SEVERITIES if drift and drift["differences"] else ():
            of_it = [entry for entry in drift["differences"] if DRIFT[entry["severity"]] == severity]
            if of_it:
                listed = ", ".join(f"{entry['object']} ({entry['attribute']})" for entry in of_it[:SHOWN_DRIFT])
                more = f" and {len(of_it) - SHOWN_DRIFT} more" if len(of_it) > SHOWN_DRIFT else ""
                text = f"{name} differs from {drift['truth']}: {listed}{more}"
                step = f"run the playbook verify with -e database={name}, which has the remedies"
                yield one["host"], Finding("drift", severity, name, text, step, float(len(of_it)), 0.0, "differences")


RULES: tuple[Callable[[Document, Any], Iterator[Placed]], ...] = (
    _hosts,
    _poolers,
    _backed_up,
    _dumped,
    _drilled,
    _migrated,
)
