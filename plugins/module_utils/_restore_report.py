# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a restore in place ended: a few sentences, and a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Outcomes: it takes writes; it waits for a decision; the former data are back; neither.
RESTORED, WAITS, UNDONE, STUCK = "restored", "waits", "undone", "stuck"
SHOWN = 5  # differences that are named


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


def _cell(one: Mapping[str, Any]) -> str:
    return str(one.get("drift", "not compared")).replace("|", "/")


def with_drift(
    databases: Sequence[Mapping[str, Any]],
    drifts: Mapping[str, Mapping[str, Any]],
    verified: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return restored databases with their drift in words: from the truth of their project where they have one, otherwise from their dump.

    drifts: those of pg_restored_drift. verified: results of schema_verify, each with its `item`.
    """
    of_projects = {result["item"]["name"]: _verdict(result) for result in verified}
    of_dumps = {name: drift["text"] for name, drift in drifts.items()}
    nothing = "not compared: neither a project nor a dump of it is known"
    return [{**one, "drift": of_projects.get(one["name"]) or of_dumps.get(one["name"], nothing)} for one in databases]


def _verdict(result: Mapping[str, Any]) -> str:
    """Return what a comparison with the truth of a project has shown."""
    if "clean" not in result:
        return f"not compared: {result.get('msg', 'no reason given')}"
    if not result["drift"]:
        return f"none, as {result['truth_name']}"
    first = ", ".join(f"{one['object']}: {one['attribute']}" for one in result["drift"][:SHOWN])
    many = f"{len(result['drift'])} difference{'s' if len(result['drift']) > 1 else ''}"
    return f"{many} from {result['truth_name']}: {first}"


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
        lines += ["", "| database | MiB | revision | drift |", "|---|---|---|---|"]
        lines += [
            f"| {one['name']} | {one['bytes'] / (1 << 20):.0f} | {', '.join(one['revisions']) or 'none'} | {_cell(one)} |"
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
