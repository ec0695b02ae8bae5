# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a monitoring reads of a host beside its exporters: figures as text, from what is known of server, backups, pooler and schemas. Pure.

Every release of Debian has these under the same names, whatever its exporters are like. Times are seconds since 1970; an age is for the
rules to compute, so that a figure that nobody renews grows old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.pgsteward.postgres.plugins.module_utils._health_thresholds import SEVERITIES
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import OK, Stanza

Facts = Mapping[str, Any]

# Every metric with what it says; a test holds rules and documentation equal to it.
METRICS: Mapping[str, str] = {
    "pgsteward_monitor_timestamp_seconds": "When the host was last looked at.",
    "pgsteward_server_up": "Whether the server of this host answers.",
    "pgsteward_server_primary": "Whether it is a primary.",
    "pgsteward_cluster_servers": "How many servers the cluster is to have.",
    "pgsteward_standbys": "How many standbys stream from it.",
    "pgsteward_standby_lag_bytes": "What a standby has not replayed yet, as its primary sees it.",
    "pgsteward_standby_lag_seconds": "How long that takes to arrive.",
    "pgsteward_standby_streaming": "Whether this standby receives WAL.",
    "pgsteward_slot_retained_bytes": "WAL that a slot keeps.",
    "pgsteward_slot_lost": "Whether a slot has lost WAL that its reader needs, or is about to.",
    "pgsteward_archive_failing": "Whether the last attempt to archive failed.",
    "pgsteward_archive_waiting_segments": "Segments of WAL that wait for their archive.",
    "pgsteward_database_freeze_age": "Age of the oldest rows of a database in transactions.",
    "pgsteward_blocked_sessions": "Sessions that wait for a lock that another holds.",
    "pgsteward_blocked_seconds": "How long the longest of them has waited.",
    "pgsteward_disk_free_ratio": "Free share of a file system that the server writes to.",
    "pgsteward_certificate_end_timestamp_seconds": "When a certificate ends.",
    "pgsteward_findings": "How many findings there are of a severity.",
    "pgsteward_finding": "What was found, as the playbook status has it.",
    "pgsteward_backup_repository_up": "Whether a repository answers and holds this stanza.",
    "pgsteward_backup_timestamp_seconds": "When the newest backup of a repository ended; 0 where there is none.",
    "pgsteward_dump_timestamp_seconds": "When the newest good dump of a database in a store began; 0 where there is none.",
    "pgsteward_pooler_up": "Whether the console of the pooler answers.",
    "pgsteward_pooler_waiting_clients": "Clients that wait for a connection of a pool.",
    "pgsteward_pooler_longest_wait_seconds": "How long the first of them has waited.",
    "pgsteward_schema_timestamp_seconds": "When the schemas were last compared with their truths.",
    "pgsteward_schema_pending_revisions": "Revisions that a database lacks.",
    "pgsteward_schema_differences": "Differences of a schema from its truth, by severity.",
}
WEAK_SLOTS = ("unreserved", "lost")
# As the module schema_verify grades them.
DRIFTS = ("data_at_risk", "wrong_results", "slower", "cosmetic")


class Figure(NamedTuple):
    """One value of a metric with its labels."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


def text(figures: Iterable[Figure]) -> str:
    """Return the figures in the form that exporters read from files, each metric together, in the order of METRICS."""
    listed = list(figures)
    lines: list[str] = []
    for name, said in METRICS.items():
        of_it = [one for one in listed if one.name == name]
        if of_it:
            lines += [f"# HELP {name} {said}", f"# TYPE {name} gauge", *(_line(one) for one in of_it)]
    return "\n".join(lines) + "\n" if lines else ""


def _line(one: Figure) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in one.labels.items())
    return f"{one.name}{{{labels}}} {one.value:.16g}" if labels else f"{one.name} {one.value:.16g}"


def _escaped(value: str) -> str:
    """Return a label's value in one line of valid text, whatever an owner has called his database."""
    clean = value.encode(errors="replace").decode()
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def server(facts: Facts | None, servers: int) -> Iterator[Figure]:
    """Yield what is known of a server. facts: as pg_health_info has them, None for one that does not answer; servers: of its cluster."""
    yield Figure("pgsteward_server_up", facts is not None)
    yield Figure("pgsteward_cluster_servers", servers)
    if facts is None:
        return
    primary = facts["role"] == "primary"
    yield Figure("pgsteward_server_primary", primary)
    yield from _replication(facts, primary)
    yield from _archive(facts["archiver"], primary)
    for one in facts["databases"]:
        yield Figure("pgsteward_database_freeze_age", one["freeze_age"], {"database": one["name"]})
    yield Figure("pgsteward_blocked_sessions", facts["waiting"])
    yield Figure("pgsteward_blocked_seconds", max([one["longest_wait"] for one in facts["blocking"]], default=0.0))
    for one in facts["disks"]:
        yield Figure(
            "pgsteward_disk_free_ratio",
            one["free_percent"] / 100,
            {"path": one["path"], "holds": ", ".join(one["holds"])},
        )
    for one in {(one["path"], one["subject"]): one for one in facts["certificates"]}.values():
        labels = {"path": one["path"], "subject": one["subject"]}
        yield Figure("pgsteward_certificate_end_timestamp_seconds", one["ends"], labels)


# The server knows no time of a standby that has all there is.
_LAGS: Mapping[str, Callable[[Facts], float | None]] = {
    "bytes": lambda one: one["lag_bytes"],
    "seconds": lambda one: 0 if one["lag_seconds"] is None and one["lag_bytes"] == 0 else one["lag_seconds"],
}


def _replication(facts: Facts, primary: bool) -> Iterator[Figure]:
    followers = [one for one in facts["followers"] if one["state"] == "streaming"]
    if primary:
        yield Figure("pgsteward_standbys", len(followers))
    else:
        yield Figure("pgsteward_standby_streaming", (facts["receiver"] or {}).get("status") == "streaming")
    # Two that stream under one name, such as backups, are told by the worse of them.
    for name in dict.fromkeys(one["name"] for one in followers):
        of_it = [one for one in followers if one["name"] == name]
        for unit in ("bytes", "seconds"):
            values = [value for value in map(_LAGS[unit], of_it) if value is not None]
            if values:
                yield Figure(f"pgsteward_standby_lag_{unit}", max(0, *values), {"standby": name})
    for one in facts["slots"]:
        if not one["temporary"]:
            labels = {"slot": one["name"]}
            yield Figure("pgsteward_slot_retained_bytes", max(0, one["retained_bytes"] or 0), labels)
            yield Figure("pgsteward_slot_lost", one["wal_status"] in WEAK_SLOTS, labels)


def _archive(archiver: Facts, primary: bool) -> Iterator[Figure]:
    if archiver["mode"] in (None, "off") or (not primary and archiver["mode"] != "always"):
        return
    failed, last = archiver["last_failed_time"], archiver["last_time"]
    yield Figure("pgsteward_archive_failing", failed is not None and (last is None or failed > last))
    if archiver["waiting"] is not None:
        yield Figure("pgsteward_archive_waiting_segments", archiver["waiting"])


def findings(found: Iterable[Facts]) -> Iterator[Figure]:
    """Yield what was found on a host; one name and subject once."""
    listed = list({(one["name"], one["subject"], one["severity"]): one for one in found}.values())
    for severity in SEVERITIES:
        count = sum(1 for one in listed if one["severity"] == severity)
        yield Figure("pgsteward_findings", count, {"severity": severity})
    for one in listed:
        yield Figure("pgsteward_finding", 1, {key: one[key] for key in ("name", "subject", "severity")})


def backups(stanza: Stanza, expected: Iterable[int]) -> Iterator[Figure]:
    """Yield what is known of the repositories; expected: numbers of those that there are to be."""
    for number in expected:
        labels = {"repository": str(number)}
        one = stanza.repository(number)
        yield Figure("pgsteward_backup_repository_up", one is not None and one.code == OK, labels)
        if one is None or one.code != OK:
            continue  # of a store that does not answer nothing is known, and least that it holds none
        for type_, newest in (("full", one.last("full")), ("any", one.last())):
            yield Figure("pgsteward_backup_timestamp_seconds", newest.ended if newest else 0, {**labels, "type": type_})


def pooler(pools: Iterable[Mapping[str, str]] | None) -> Iterator[Figure]:
    """Yield who waits; pools: what SHOW POOLS says, None of a pooler that does not answer."""
    yield Figure("pgsteward_pooler_up", pools is not None)
    for one in pools or ():
        if one["database"] == "pgbouncer":
            continue
        labels = {"database": one["database"], "user": one["user"]}
        waited = float(one["maxwait"] or 0) + float(one.get("maxwait_us") or 0) / 1e6
        yield Figure("pgsteward_pooler_waiting_clients", float(one["cl_waiting"] or 0), labels)
        yield Figure("pgsteward_pooler_longest_wait_seconds", waited, labels)


def schemas(at: float, looked: Iterable[Facts], compared: Iterable[Facts]) -> Iterator[Figure]:
    """Yield where schemas stand. looked, compared: results of alembic_info and schema_verify for each database."""
    for one in looked:
        if one.get("state") is not None:
            yield Figure("pgsteward_schema_pending_revisions", len(one["pending"]), {"database": one["item"]["name"]})
    for one in compared:
        if "clean" not in one:
            continue
        database = one["item"]["name"]
        yield Figure("pgsteward_schema_timestamp_seconds", at, {"database": database})
        for severity in DRIFTS:
            count = sum(1 for entry in one["drift"] if entry["severity"] == severity)
            yield Figure("pgsteward_schema_differences", count, {"database": database, "severity": severity})
