# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a server, from the facts about it: findings as data, each with what to do next. Pure."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_locks, _health_queries, _safe_versions
from ansible_collections.pgsteward.postgres.plugins.module_utils._health_thresholds import SEVERITIES, Threshold
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import age, size

UTC = datetime.timezone.utc  # noqa: UP017 - hosts with Python 3.9 have no datetime.UTC
CRITICAL, WARNING, NOTICE = SEVERITIES
DAY = 86400.0

LEAST_DEAD = 10_000  # rows: a small table is half dead after a handful of updates, and nobody is the worse for it
GROWTH_OVER = 3600.0  # seconds: over less than that a checkpoint is a trend
GROWTH_FROM = 1 << 30
WEAK_SLOTS = ("unreserved", "lost")

Facts = Mapping[str, Any]
Limits = Mapping[str, Threshold]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. subject: what it is about (a database, a slot, a file), empty for all of the server.

    value and threshold are numbers of `unit`, None where the thing itself is what is wrong.
    """

    name: str
    severity: str
    subject: str
    text: str
    next_step: str
    value: float | None = None
    threshold: float | None = None
    unit: str | None = None

    def as_return(self) -> dict[str, Any]:
        """Return plain data for Ansible."""
        return asdict(self)


def findings(facts: Facts, limits: Limits) -> list[Finding]:
    """Return what is wrong with a server, the gravest first."""
    return ordered(finding for rule in RULES for finding in rule(facts, limits))


def ordered(found: Iterable[Finding]) -> list[Finding]:
    """Return findings by severity, and in the order of the rules within one."""
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


def judged(
    limits: Limits, threshold: str, value: float | None, name: str, subject: str, text: str, next_step: str
) -> Iterator[Finding]:
    """Yield a finding where a figure reaches its threshold."""
    limit = limits[threshold]
    reached = limit.judge(value)
    if reached and value is not None:
        severity, begins = reached
        yield Finding(name, severity, subject, text, next_step, round(float(value), 3), begins, limit.unit)


def _connections(facts: Facts, limits: Limits) -> Iterator[Finding]:
    seen = facts["connections"]
    states = ", ".join(f"{count} {state}" for state, count in seen["by_state"].items())
    yield from judged(
        limits,
        "connections",
        seen["percent"],
        "connections",
        "",
        f"{seen['total']} of {seen['limit']} connections are taken ({states})",
        "see who holds them in `connections` of the JSON; let clients come through the poolers (playbook site, role pgbouncer)",
    )
    for name, one in seen["database_limits"].items():
        yield from judged(
            limits,
            "connections",
            100 * one["total"] / one["limit"],
            "connections",
            name,
            f"{one['total']} of the {one['limit']} connections that the database {name} may have are taken",
            "raise the limit in pg_access_databases and run site, or give the application a smaller pool",
        )


def _transactions(facts: Facts, limits: Limits) -> Iterator[Finding]:
    longest, query = facts["longest_transaction"], facts["longest_query"]
    limit = limits["idle_in_transaction"]
    told = {one["pid"] for one in facts["idle_in_transaction"] if limit.judge(one["state_age"])}
    if longest and longest["pid"] not in told:
        yield from judged(
            limits,
            "transaction",
            longest["transaction_age"],
            "long_transaction",
            longest["database"] or "",
            f"{_health_locks.who(longest)} has had a transaction open for {age(longest['transaction_age'])}{_doing(longest)}",
            f"ask its owner; end it by {_ending(longest)}",
        )
    if query:
        yield from judged(
            limits,
            "query",
            query["query_age"],
            "long_query",
            query["database"] or "",
            f"{_health_locks.who(query)} has worked on a statement for {age(query['query_age'])}{_doing(query)}",
            f"EXPLAIN it; cancel it by SELECT pg_cancel_backend({query['pid']})",
        )
    for one in facts["idle_in_transaction"]:
        yield from judged(
            limits,
            "idle_in_transaction",
            one["state_age"],
            "idle_in_transaction",
            one["database"] or "",
            f"{_health_locks.who(one)} has been idle in a transaction for {age(one['state_age'])}: it keeps its locks, and vacuum from its"
            f" work{_doing(one, 'its last statement')}",
            f"mend the application; end it by {_ending(one)}; idle_in_transaction_session_timeout in pg_server_settings ends such ones",
        )
    for one in facts["prepared_transactions"]:
        yield from judged(
            limits,
            "prepared_transaction",
            one["age"],
            "prepared_transaction",
            one["database"],
            f"the prepared transaction {one['gid']} of {one['owner']} has waited for {age(one['age'])} to be ended: it keeps its locks",
            f"in {one['database']}: COMMIT PREPARED or ROLLBACK PREPARED '{one['gid']}'",
        )


def _doing(session: Facts, word: str = "") -> str:
    query = session.get("query")
    return f" ({word}{': ' if word else ''}{query})" if query else ""


def _ending(session: Facts) -> str:
    return f"SELECT pg_terminate_backend({session['pid']})"


def _blocking(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for root in facts["blocking"]:
        prepared = root["pid"] == _health_locks.PREPARED
        chain = " <- ".join(_chain(root))
        yield from judged(
            limits,
            "blocked",
            root["longest_wait"],
            "blocked",
            root.get("database") or "",
            f"{_health_locks.who(root)} blocks {root['blocked']}, for up to {age(root['longest_wait'])} ({chain}){_doing(root)}",
            "see `prepared_transactions` of the JSON" if prepared else f"ask its owner; end it by {_ending(root)}",
        )


def _chain(root: Facts) -> list[str]:
    """Return the processes on the way to who waits longest."""
    first = root["blocks"][0] if root["blocks"] else None
    return [str(root["pid"]), *(_chain(first) if first else ())]


def _cache(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for one in facts["databases"]:
        ratio = one["rates"]["cache_hit"]
        yield from judged(
            limits,
            "cache_hit",
            ratio,
            "cache_hit",
            one["name"],
            f"{ratio} % of the blocks that {one['name']} asked for were in memory",
            "look at slow statements and missing indexes first; then raise pg_server_memory or shared_buffers and run site",
        )


def _growth(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for one in facts["databases"]:
        rates = one["rates"]
        if (rates["seconds"] or 0) < GROWTH_OVER or (one["bytes"] or 0) < GROWTH_FROM:
            continue
        grown = rates["growth_percent_per_day"]
        yield from judged(
            limits,
            "growth",
            grown,
            "growth",
            one["name"],
            f"{one['name']} grew by {size(rates['growth_bytes'] or 0)} in {age(rates['seconds'])} ({grown} % a day), to {size(one['bytes'])}",
            "see its biggest tables in the JSON; jobs of the role pg_maintain remove what is old",
        )


def _disks(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for one in facts.get("disks") or ():
        held = ", ".join(one["holds"])
        yield from judged(
            limits,
            "disk_free",
            one["free_percent"],
            "disk_free",
            one["path"],
            f"{size(one['free_bytes'])} of {size(one['bytes'])} are free ({one['free_percent']:.1f} %) where the server has {held}",
            "see slots, archiver and the biggest tables first: WAL that cannot leave fills a disk; never remove files of pg_wal by hand",
        )
        yield from judged(
            limits,
            "disk_free",
            one["free_inodes_percent"],
            "disk_free",
            one["path"],
            f"{one['free_inodes_percent'] or 0:.1f} % of the inodes are free where the server has {held}",
            "find the directory with very many files",
        )


def _freeze(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for one in facts["databases"]:
        oldest = (one.get("oldest") or [None])[0]
        where = f", oldest in {_named(oldest)}" if oldest and oldest["age"] else ""
        for key, name, word in (
            ("freeze_age", "freeze_age", "transactions"),
            ("multixact_age", "multixact_age", "multixacts"),
        ):
            yield from judged(
                limits,
                key,
                one[key],
                name,
                one["name"],
                f"the oldest rows of {one['name']} are {one[key]:,} {word} old{where if key == 'freeze_age' else ''}; writing ends at two billion",
                f"end old transactions and slots, which keep rows from being frozen; then {_maintain('freeze', one['name'])}",
            )


def _dead_rows(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for database in facts["databases"]:
        for one in database.get("dead") or ():
            if one["dead"] < LEAST_DEAD:
                continue
            percent = 100 * one["dead"] / (one["dead"] + one["live"])
            when = f"vacuumed {_moment(one['vacuumed'])}" if one["vacuumed"] else "never vacuumed"
            yield from judged(
                limits,
                "dead_rows",
                percent,
                "dead_rows",
                f"{database['name']}.{_named(one)}",
                f"{one['dead']:,} of the rows of {_named(one)} in {database['name']} are dead ({percent:.0f} %), {when}",
                "see whether a long transaction, a slot or a prepared transaction keeps them; then "
                + _maintain("vacuum", database["name"], table=qualified(one["schema"], one["name"])),
            )


def _statements(facts: Facts, limits: Limits) -> Iterator[Finding]:
    seen = facts["statements"]
    for one in (seen or {}).get("top", ()):
        if one["calls"] < _health_queries.LEAST_CALLS:
            continue
        yield from judged(
            limits,
            "statement_mean",
            one["mean_ms"],
            "slow_statement",
            one["database"] or "",
            f"{one['mean_ms']:,.0f} ms on average over {one['calls']} calls by {one['user']}: {one['query']}",
            "EXPLAIN (ANALYZE, BUFFERS) it, with values as the application gives them",
        )


def _indexes(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for database in facts["databases"]:
        for one in database.get("invalid_indexes") or ():
            yield Finding(
                "invalid_index",
                WARNING,
                f"{database['name']}.{_named(one)}",
                f"the index {_named(one)} on {one['table']} in {database['name']} is invalid: it costs writes and serves no reader",
                _maintain("reindex", database["name"], index=qualified(one["schema"], one["name"]))
                + "; or drop it and run the playbook migrate where a revision makes it",
            )
        for one in database.get("unused_indexes") or ():
            yield from judged(
                limits,
                "unused_index",
                one["bytes"],
                "unused_index",
                f"{database['name']}.{_named(one)}",
                f"the index {_named(one)} on {one['table']} in {database['name']} ({size(one['bytes'])}) has not been read since the counters began",
                "see whether it is read on the standbys; then drop it by a revision (playbook new_revision)",
            )


def _replication(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for one in facts["followers"]:
        who = one["name"] or one["address"] or "a standby"
        for key, shown in (("lag_bytes", size), ("lag_seconds", age)):
            if one[key] is not None:
                yield from judged(
                    limits,
                    key,
                    one[key],
                    key,
                    who,
                    f"{who} is {shown(one[key])} behind ({one['state']})",
                    "see the disk, the network and long queries of the standby",
                )
    replay = facts["replay"]
    if replay and replay["paused"]:
        yield Finding(
            "replay_paused",
            CRITICAL,
            "",
            "replay is paused: this standby falls behind, and cannot take over",
            "SELECT pg_wal_replay_resume() on it",
        )
    if facts["role"] == "standby" and (facts["receiver"] or {}).get("status") != "streaming":
        yield Finding(
            "not_streaming",
            CRITICAL,
            "",
            "this standby does not stream from anybody",
            "see its log; run the playbook site, or reinit_standby where the primary no longer has the WAL that it needs",
        )
    elif replay:
        # As the standby sees it: its primary may be gone, and on a quiet one the time since the last transaction says nothing.
        yield from judged(
            limits,
            "lag_bytes",
            replay["bytes"],
            "replay_bytes",
            "",
            f"{size(replay['bytes'] or 0)} are received and not replayed",
            "a long query may hold replay up; see max_standby_streaming_delay",
        )
    names = facts["settings"].get("synchronous_standby_names")
    synchronous = any(one["sync_state"] in ("sync", "quorum") for one in facts["followers"])
    if facts["role"] == "primary" and names and not synchronous:
        yield Finding(
            "no_synchronous_standby",
            CRITICAL,
            "",
            f"no standby is synchronous, and synchronous_standby_names is {names}: every commit waits",
            "bring a standby back, or run the playbook site with pg_replica_sync_policy: degrade",
        )


def _slots(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for one in facts["slots"]:
        if one["temporary"] or one["synced"] or (one["restart_lsn"] is None and one["wal_status"] != "lost"):
            continue  # those that keep nothing: a standby's for its siblings, and what a subscriber's primary sends
        name, kept = one["name"], max(0.0, float(one["retained_bytes"] or 0))
        advice = "bring its reader back, or drop the slot by SELECT pg_drop_replication_slot('{}')".format(
            name.replace("'", "''")
        )
        if one["wal_status"] in WEAK_SLOTS:
            why = f" ({one['invalidation']})" if one["invalidation"] else ""
            yield Finding(
                "slot_lost",
                CRITICAL,
                name,
                f"the slot {name} has lost WAL that its reader needs, or is about to{why}: {one['wal_status']}",
                "run the playbook reinit_standby for its standby; a logical reader starts anew",
            )
            continue
        if not one["active"]:
            since = f" since {_moment(one['inactive_since'])}" if one["inactive_since"] else ""
            yield Finding(
                "slot_inactive",
                WARNING,
                name,
                f"nobody reads from the slot {name}{since}, and it keeps {size(kept)} of WAL",
                advice,
                round(kept, 3),
                None,
                "bytes",
            )
        yield from judged(
            limits,
            "slot_retained",
            kept,
            "slot_retained",
            name,
            f"the slot {name} keeps {size(kept)} of WAL",
            advice,
        )


def _archiver(facts: Facts, limits: Limits) -> Iterator[Finding]:
    seen = facts["archiver"]
    if seen["mode"] in (None, "off") or (facts["role"] == "standby" and seen["mode"] != "always"):
        return
    failed, last = seen["last_failed_time"], seen["last_time"]
    if failed is not None and (last is None or failed > last):
        yield Finding(
            "archiver_failing",
            CRITICAL,
            "",
            f"WAL does not get to the archive: the last attempt, for {seen['last_failed_wal']}, failed {_moment(failed)}, {seen['failed']} failed in all",
            "the server's log says why; pgbackrest check; then run the playbook backup",
        )
    yield from judged(
        limits,
        "archive_waiting",
        seen["waiting"],
        "archive_waiting",
        "",
        f"{seen['waiting']} segments of WAL wait for their archive",
        "see whether the repository is reachable and fast enough; they stay in pg_wal until then",
    )


def _certificates(facts: Facts, limits: Limits) -> Iterator[Finding]:
    for one in facts.get("certificates") or ():
        left = (one["ends"] - facts["at"]) / DAY
        ends = f"ended {_moment(one['ends'])}" if left <= 0 else f"ends {_moment(one['ends'])}, in {age(left * DAY)}"
        yield from judged(
            limits,
            "certificate",
            left,
            "certificate",
            one["path"],
            f"the certificate of {one['subject'] or 'nobody'} {ends}",
            "run the playbook site, which makes those of ours anew; install a new one where it is your own (pg_server_tls_certificate)",
        )


def _log(facts: Facts, limits: Limits) -> Iterator[Finding]:
    seen = facts.get("log")
    if not seen:
        return
    for one in seen["kinds"]:
        if one["meaning"]:
            yield Finding(
                "log_grave",
                CRITICAL,
                seen["path"],
                f"{one['meaning']}: {one['severity']} {one['text']} ({one['count']} times in an hour, last {_moment(one['last'])})",
                f"read {seen['path']} around that time",
            )
    most = seen["kinds"][0] if seen["kinds"] else None
    yield from judged(
        limits,
        "log_errors",
        seen["errors"],
        "log_errors",
        seen["path"],
        f"{seen['errors']} errors in an hour"
        + (f", most often ({most['count']} times): {most['text']}" if most else ""),
        f"read {seen['path']}; see `log` of the JSON for the other kinds",
    )


def _versions(facts: Facts, _limits: Limits) -> Iterator[Finding]:
    today = datetime.datetime.fromtimestamp(facts["at"], UTC).date()
    for text in _safe_versions.warnings(facts["version_text"], None, today):
        yield Finding("version", WARNING, "PostgreSQL", text, "run the playbook update_minor")
    for database in facts["databases"]:
        vector = ((database.get("extensions") or {}).get("vector") or {}).get("version")
        for text in _safe_versions.warnings(None, vector, today):
            step = "run the playbook site with pg_server_pgvector_update: true once the package is there"
            yield Finding("version", WARNING, f"pgvector in {database['name']}", f"{database['name']}: {text}", step)


def _server(facts: Facts, _limits: Limits) -> Iterator[Finding]:
    if facts["pending_restart"]:
        yield Finding(
            "pending_restart",
            WARNING,
            "",
            f"{', '.join(facts['pending_restart'])} take effect at a restart",
            "run the playbook restart_rolling",
        )
    if facts["settings"].get("autovacuum") == "off":
        yield Finding(
            "autovacuum_off", CRITICAL, "", "autovacuum is off", "take it out of pg_server_settings and run site"
        )
    for one in facts["databases"]:
        name = one["name"]
        if one["checksum_failures"]:
            yield Finding(
                "damaged_pages",
                CRITICAL,
                name,
                f"{one['checksum_failures']} pages of {name} were read with a wrong checksum",
                "look at the disk; fail over to a standby (playbook switchover), then reinit_standby, or restore",
                float(one["checksum_failures"]),
                0.0,
                "pages",
            )
        if one["collation"] and one["collation_actual"] and one["collation"] != one["collation_actual"]:
            yield Finding(
                "collation",
                WARNING,
                name,
                f"{name} was made with collation version {one['collation']}, and the system has {one['collation_actual']}: indexes on"
                " text may be in the wrong order",
                _maintain("collations", name, repair="true") + ": it builds them again",
            )


def _maintain(task: str, database: str, **more: str) -> str:
    """Return how a task of maintenance is asked for."""
    inputs = {"task": task, "database": database, **more}
    return "run the playbook maintain " + " ".join(f"-e {name}={shlex.quote(value)}" for name, value in inputs.items())


def _named(one: Facts) -> str:
    return str(one["name"]) if one["schema"] == "public" else f"{one['schema']}.{one['name']}"


def _moment(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


RULES: tuple[Callable[[Facts, Limits], Iterator[Finding]], ...] = (
    _server,
    _replication,
    _slots,
    _archiver,
    _disks,
    _log,
    _blocking,
    _connections,
    _transactions,
    _freeze,
    _certificates,
    _indexes,
    _dead_rows,
    _cache,
    _statements,
    _growth,
    _versions,
)
