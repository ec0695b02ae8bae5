# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a restore in place ended: a few sentences, and a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Outcomes: it takes writes; it waits for a decision; the former data are back; neither.
RESTORED, WAITS, UNDONE, STUCK = "restored", "waits", "undone", "stuck"


def ending(record: Mapping[str, Any]) -> str:
    """Return what is there now, what went wrong, and what is to be done."""
    host, environment, end = record["host"], record["environment"], record.get("end")
    said = []
    if record["failure"]:
        said.append(f"restore failed: {str(record['failure']).rstrip('.')}.")
    if record["outcome"] == RESTORED:
        said.append(f"{host} takes writes with what was restored to {record['plan'].get('target', 'its target')}.")
    elif record["outcome"] == WAITS:
        said.append(
            f"{host} is restored to {record['plan'].get('target', 'its target')} and takes no writes: have it do so by -e then=promote, or go back"
            f" by -e then=back, each with -e confirm={environment}. The other servers are stopped until then."
        )
    elif record["outcome"] == UNDONE:
        said.append(f"{_sentence(end)}." if end else f"What was there before is back on {host}.")
    else:
        said.append(f"{_sentence(end)}." if end else f"It is not known what {host} is now: look there.")
    if record["outcome"] == RESTORED and end:
        said.append(f"{_sentence(end)}.")
    if record["aside"]:
        said.append(
            f"What was there before is kept in {', '.join(record['aside'].values())} until -e then=remove -e confirm={environment}."
        )
    for standby, why in record["unfollowed"].items():
        said.append(f"{standby} does not follow ({why}): run reinit_standby with -e node={standby}.")
    return " ".join(said)


def _sentence(text: Any) -> str:
    words = " ".join(str(text).split()).rstrip(".")
    return words[:1].upper() + words[1:]


def page(record: Mapping[str, Any]) -> str:
    """Return the report as Markdown."""
    plan, reached = record["plan"], record["reached"]
    rows = {
        "host": record["host"],
        "begun": record["begun"],
        "ended": record["ended"],
        "seconds": record["seconds"],
        "target": plan.get("target"),
        "backup": f"{plan.get('backup')} in repository {plan.get('repository')}",
        "reached": f"LSN {reached.get('lsn')}, last transaction {reached.get('last_commit') or 'before the backup'}"
        if reached
        else None,
        "timeline": record["timeline"] or reached.get("timeline"),
        "transfer": f"{record['restore_seconds']} s, {record['bytes_per_second'] / (1 << 20):.0f} MiB/s"
        if record["restore_seconds"] and record["bytes_per_second"]
        else None,
    }
    lines = [
        f"# Restore of {record['environment']}: {'failed' if record['failure'] else record['outcome']}",
        "",
        ending(record),
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items() if value is not None),
    ]
    if record["databases"]:
        lines += ["", "| database | MiB | revision |", "|---|---|---|"]
        lines += [
            f"| {one['name']} | {one['bytes'] / (1 << 20):.0f} | {', '.join(one['revisions']) or 'none'} |"
            for one in record["databases"]
        ]
    windows = plan.get("windows") or ()
    if windows:
        lines += ["", "What it could have been restored to:", ""]
        lines += [
            f"* repository {one['repository']}: {one['from']} to {one['to']} (LSN {one['from_lsn']} to {one['to_lsn']})"
            for one in windows
        ]
    if plan.get("warnings"):
        lines += ["", *(f"* {text}" for text in plan["warnings"])]
    return "\n".join(lines) + "\n"
