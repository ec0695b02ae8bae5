# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The document about an environment as one screen of text. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_locks
from ansible_collections.pgsteward.postgres.plugins.module_utils._health_document import told_of_databases
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import age, size

UTC = timezone.utc  # noqa: UP017 - hosts with Python 3.9 have no datetime.UTC
WIDTH = 118
NOTHING = "-"
SHOWN_DATABASES = 8
SHOWN_OF_A_KIND = 3  # findings of one name and severity on one host; the JSON has all of them

Document = Mapping[str, Any]
Row = Sequence[str]


def screen(document: Document) -> list[str]:
    """Return the lines of the screen."""
    lines = [_headline(document), ""]
    lines += _table(
        ("server", "state", "version", "tl", "clients", "tx/s", "longest", "blocked", "lag", "disk free"),
        _servers(document),
    )
    lines += _table(("pooler", "version", "clients", "waiting", "longest wait", "held back"), _poolers(document))
    lines += _table(
        ("database", "size", "grew", "cache hit", "freeze age", "dead rows", "revision", "schema"), _databases(document)
    )
    lines += _kept(document)
    for root in _blocking(document):
        lines += [_cut(line) for line in root]
    lines += [*_findings(document["findings"]), *_unknown(document["unknown"])]
    return [line.rstrip() for line in lines]


def _headline(document: Document) -> str:
    counts = ", ".join(
        f"{count} {severity}{'s' * (count != 1 and severity != 'critical')}"
        for severity, count in document["counts"].items()
        if count
    )
    verdict = str(document["verdict"]).upper()
    return f"{document['environment']}: {verdict}{f' ({counts})' if counts else ''}, {_moment(document['at'])}"


def _servers(document: Document) -> Iterator[Row]:
    lags = _lags(document)
    for host, one in document["servers"].items():
        health = one["health"]
        state = one["state"] + (", fenced" if one["fenced"] else "")
        if health is None:
            yield (host, state, *[NOTHING] * 8)
            continue
        rates = [database["rates"]["transactions_per_second"] for database in health["databases"]]
        known = [rate for rate in rates if rate is not None]
        longest = health["longest_transaction"]
        disks = [disk["free_percent"] for disk in health.get("disks") or ()]
        yield (
            host,
            state,
            str(health["version_text"]).split()[0],
            str(one["timeline"] or NOTHING),
            f"{health['connections']['total']}/{health['connections']['limit']}",
            f"{sum(known):,.1f}" if known else NOTHING,
            age(longest["transaction_age"]) if longest else NOTHING,
            str(health["waiting"]),
            lags.get(host) or _own_lag(health),
            f"{min(disks):.0f} %" if disks else NOTHING,
        )


def _lags(document: Document) -> dict[str, str]:
    """Return how far each standby is behind, as its primary sees it; standbys call themselves by their host's name."""
    found = {}
    for one in document["servers"].values():
        for follower in (one["health"] or {}).get("followers") or ():
            if follower["name"] in document["servers"] and follower["lag_bytes"] is not None:
                seconds = f", {follower['lag_seconds']:.1f} s" if follower["lag_seconds"] else ""
                found[follower["name"]] = f"{size(follower['lag_bytes'])}{seconds}"
    return found


def _own_lag(health: Document) -> str:
    replay = health.get("replay")
    return size(replay["bytes"]) if replay and replay["bytes"] is not None else NOTHING


def _poolers(document: Document) -> Iterator[Row]:
    for host, one in document["poolers"].items():
        if not one["reached"] or one["reason"]:
            yield (host, "does not answer", *[NOTHING] * 4)
            continue
        clients = f"{one['clients']}/{one['limit'] or '?'}"
        paused = ", ".join(one["paused"]) or NOTHING
        yield (host, one["version"] or "?", clients, str(one["waiting"]), f"{one['longest_wait']:.1f} s", paused)


def _databases(document: Document) -> Iterator[Row]:
    schemas = {one["database"]: one for one in document["schema"]}
    _host, seen = told_of_databases(document)
    listed = sorted(
        (seen or {"databases": []})["databases"], key=lambda one: (one["name"] not in schemas, -(one["bytes"] or 0))
    )
    for one in listed[:SHOWN_DATABASES]:
        tables, rates = one.get("tables") or {}, one["rates"]
        rows = (tables.get("live_rows") or 0) + (tables.get("dead_rows") or 0)
        schema = schemas.get(one["name"])
        yield (
            one["name"],
            size(one["bytes"]) if one["bytes"] is not None else NOTHING,
            _grown(rates),
            f"{rates['cache_hit']:.1f} %" if rates["cache_hit"] is not None else NOTHING,
            f"{one['freeze_age'] / 1e6:,.1f} M",
            f"{100 * tables['dead_rows'] / rows:.0f} %" if rows else NOTHING,
            (", ".join(schema["current"]) or "none") if schema and schema["state"] else NOTHING,
            _schema(schema),
        )
    if len(listed) > SHOWN_DATABASES:
        yield (f"and {len(listed) - SHOWN_DATABASES} more", *[""] * 7)


def _grown(rates: Document) -> str:
    grown = rates["growth_bytes"]
    if grown is None:
        return NOTHING
    return f"{'-' if grown < 0 else '+'}{size(abs(grown))} in {age(rates['seconds'])}"


def _schema(schema: Document | None) -> str:
    if schema is None:
        return NOTHING
    if schema["state"] is None:
        return "not read"
    drift = schema["drift"]
    differs = (
        ""
        if not drift
        else ", not compared"
        if drift["clean"] is None
        else f", {_many(drift['differences'])}"
        if drift["differences"]
        else ", clean"
    )
    pending = f" ({len(schema['pending'])} pending)" if schema["pending"] else ""
    return f"{schema['state']}{pending}{differs}"


def _many(differences: Sequence[Document]) -> str:
    return f"{len(differences)} difference{'s' * (len(differences) != 1)}"


def _kept(document: Document) -> Iterator[str]:
    """Yield a line for each place that backups are in, and one for what restores have proven."""
    backups = document["backups"]
    lines = []
    for one in (backups or {"figures": {"repositories": []}})["figures"]["repositories"]:
        ages = [
            f"{word} {age(one[key])} ago"
            for key, word in (("full_age", "full"), ("backup_age", "last"))
            if one[key] is not None
        ]
        lines.append(
            f"repository {one['repository']}: {one['backups']} backups, {', '.join(ages) or 'none of this cluster'}"
        )
    for one in document["dumps"]:
        if one["database"]:
            when = f"{age(document['at'] - one['begun'])} ago, {size(one['bytes'])}" if one["begun"] else "none"
            lines.append(f"dump of {one['database']} in {one['store']}: {when}")
    for kind, one in document["drills"].items():
        proven = f"{age(document['at'] - one['last_proven'])} ago" if one["last_proven"] else "never"
        lines.append(f"last proven restore ({kind}): {proven}")
    if lines:
        yield from (*map(_cut, lines), "")


def _blocking(document: Document) -> Iterator[list[str]]:
    for host, one in document["servers"].items():
        roots = (one["health"] or {}).get("blocking") or ()
        if roots:
            yield [f"{host}: who blocks whom", *(f"  {line}" for line in _health_locks.lines(roots)), ""]


def _findings(found: Sequence[Document]) -> Iterator[str]:
    shown: dict[tuple[str, str, str], int] = {}
    for one in found:
        key = (one["severity"], one["name"], one["host"])
        shown[key] = shown.get(key, 0) + 1
        if shown[key] <= SHOWN_OF_A_KIND:
            yield from _finding(one)
    for (severity, name, host), count in shown.items():
        if count > SHOWN_OF_A_KIND:
            yield f"{severity.upper():<9} and {count - SHOWN_OF_A_KIND} more of {name}{f' on {host}' * bool(host)}: see the JSON"
    if not found:
        yield "Nothing was found."


def _finding(one: Document) -> Iterator[str]:
    threshold = "" if not one["threshold"] or one["unit"] is None else f" [{_limit(one)}]"
    where = f"{one['host']}: " if one["host"] else ""
    indented = " " * 10
    yield from textwrap.wrap(
        f"{one['severity'].upper():<9} {where}{one['text']}{threshold}", WIDTH, subsequent_indent=indented
    )
    yield from textwrap.wrap(
        f"-> {one['next_step']}", WIDTH, initial_indent=indented, subsequent_indent=indented + "   "
    )


def _limit(one: Document) -> str:
    """Return the threshold in the words of its unit."""
    value, unit = one["threshold"], one["unit"]
    if unit == "bytes":
        return f"limit {size(value)}"
    if unit == "seconds":
        return f"limit {age(value)}"
    return f"limit {value:,.0f} {unit}"


def _unknown(listed: Sequence[Document]) -> Iterator[str]:
    for one in listed:
        where = f"{one['host']}: " if one["host"] else ""
        yield from textwrap.wrap(
            f"{'UNKNOWN':<9} {where}{one['what']}: {one['reason']}", WIDTH, subsequent_indent=" " * 10
        )


def _table(head: Row, rows: Iterable[Row]) -> list[str]:
    """Return rows in columns under their heads, and an empty line; nothing without rows."""
    listed = [head, *rows]
    if len(listed) == 1:
        return []
    widths = [max(len(row[column]) for row in listed) for column in range(len(head))]
    return [
        *(_cut("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))) for row in listed),
        "",
    ]


def _cut(line: str) -> str:
    line = line.rstrip()
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
