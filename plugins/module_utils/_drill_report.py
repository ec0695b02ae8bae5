# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is left of a restore drill: a record, a page, and figures for the monitoring."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file

DIRECTORY = Path("/var/lib/pgsteward/drill")
# Where exporters of Debian's and of others' packages read figures from; those that are there get them too.
TEXTFILES = (Path("/var/lib/prometheus/node-exporter"), Path("/var/lib/node_exporter/textfile_collector"))
KEPT = 30  # records of earlier drills
MODE = 0o644
FILES = {"physical": "physical", "dump": "dumps"}  # kind of drill -> what its files are called
UNITS = {"physical": "pgsteward-restore-drill", "dump": "pgsteward-dumps-drill"}

_FIGURES = (
    (
        "pgsteward_last_proven_restore_timestamp_seconds",
        "When the last drill began that restored and read everything.",
        "last_proven",
    ),
    ("pgsteward_restore_drill_timestamp_seconds", "When the last drill began.", "begun"),
    ("pgsteward_restore_drill_success", "Whether the last drill proved that everything can be restored.", "success"),
    ("pgsteward_restore_drill_seconds", "How long the last drill took.", "seconds"),
    ("pgsteward_restore_drill_bytes", "Bytes that the last drill restored.", "bytes"),
    ("pgsteward_restore_drill_bytes_per_second", "How many of them came in a second.", "bytes_per_second"),
)


def stamp(seconds: float | None) -> str:
    """Return a time as people read it."""
    return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def figures(record: Mapping[str, Any]) -> str:
    """Return the figures in the form that exporters read from files."""
    restored = record["steps"].get("restore", {})
    values = {
        "last_proven": record["last_proven"],
        "begun": record["begun"],
        "success": 0 if record["error"] else 1,
        "seconds": record["seconds"],
        "bytes": restored.get("bytes"),
        "bytes_per_second": restored.get("bytes_per_second"),
    }
    label = f'{{cluster="{_escaped(record["cluster"])}",kind="{record["kind"]}"}}'
    lines = []
    for name, text, key in _FIGURES:
        if values[key] is not None:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name}{label} {values[key]}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def page(record: Mapping[str, Any]) -> str:
    """Return the record as Markdown."""
    what = {"physical": "", "dump": " of dumps"}[record["kind"]]
    lines = [
        f"# Restore drill{what} of {record['cluster']}: {'failed' if record['error'] else 'proven'}",
        "",
        *([record["error"], ""] if record["error"] else []),
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _summary(record).items() if value is not None),
        "",
        "| step | seconds |",
        "|---|---|",
        *(f"| {name} | {note.get('seconds')} |" for name, note in record["steps"].items()),
        *_databases(record.get("databases") or ()),
        *_dumps(record.get("dumps") or ()),
    ]
    return "\n".join(lines) + "\n"


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of the drill as a whole; None is not said."""
    plan, steps = record.get("plan") or {}, record["steps"]
    restored, reached = steps.get("restore", {}), steps.get("recover", {})
    return {
        "host": record["host"],
        "begun": stamp(record["begun"]),
        "seconds": record["seconds"],
        "backup": f"{plan['backup']} of repository {plan['repository']}" if plan else None,
        "target": plan.get("target"),
        "reached": f"LSN {reached['lsn']}, last transaction {reached['last_commit'] or 'before the backup'}"
        if reached.get("lsn")
        else None,
        "restored": f"{_mib(restored['bytes'])} MiB, {_mib(restored['bytes_per_second'])} MiB/s"
        if restored.get("bytes")
        else None,
        "pages and indexes": _verdict(steps.get("read")),
        "checksums": _verdict(steps.get("checksums")),
        "removed afterwards": "yes" if record["removed"] else "NO: look at the directory of restores",
        "last proven": stamp(record["last_proven"]),
    }


def _databases(found: Sequence[Mapping[str, Any]]) -> list[str]:
    if not found:
        return []
    return [
        *("", "| database | MiB | tables | rows | revision | drift |", "|---|---|---|---|---|---|"),
        *(
            f"| {one['name']} | {_mib(one['bytes'])} | {one['tables']} | {'about ' if one['estimated'] else ''}{one['rows']:,} |"
            f" {', '.join(one['revisions']) or 'none'} | {drift(one)} |"
            for one in found
        ),
    ]


def drift(one: Mapping[str, Any]) -> str:
    """Return how the catalog of a database differs from what it was held against, in a cell of a table."""
    return str((one.get("drift") or {}).get("text", "not compared")).replace("|", "/")


def _dumps(found: Sequence[Mapping[str, Any]]) -> list[str]:
    if not found:
        return []
    head = ("database", "store", "dump", "MiB", "seconds", "MiB/s", "tables", "rows", "catalog", "revision", "verdict")
    return [
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(_dump(one))} |" for one in found),
    ]


def _dump(one: Mapping[str, Any]) -> tuple[str, ...]:
    verdict = str(one["error"] or "").replace("|", "/") or (
        f"skipped: {one['skipped']}" if one.get("skipped") else "proven"
    )
    known = (one["database"], one["store"], one["name"] or "none")
    if "bytes" not in one:
        return (*known, *[""] * 7, verdict)
    figures_of = (_mib(one["bytes"]), f"{one['seconds']:.1f}", _mib(one["bytes_per_second"] or 0))
    rows = (str(one["tables"]), f"{one['rows']:,}", one["catalog"], ", ".join(one["revisions"]) or "none")
    return (*known, *figures_of, *rows, verdict)


def _mib(size: float) -> str:
    return f"{size / (1 << 20):,.0f}"


def _verdict(note: Mapping[str, Any] | None) -> str | None:
    if note is None:
        return None
    if "skipped" in note:
        return f"not looked at: {note['skipped']}"
    return (
        "as they should be"
        if note.get("damaged") == 0 or note.get("bad") == 0
        else "not as they should be, or not read to the end"
    )


def write(record: dict[str, Any], directory: Path = DIRECTORY, textfiles: Iterable[Path] = TEXTFILES) -> dict[str, Any]:
    """Keep the record, its page and its figures; return it with when it was last proven."""
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(0o755)  # whatever the one who calls lets others see
    kind = FILES[record["kind"]]
    earlier = _owned_file.read(directory / f"{kind}.json")
    before = json.loads(earlier).get("last_proven") if earlier else None
    record = {**record, "last_proven": record["proven"] or before}
    text, shown = json.dumps(record, indent=1, ensure_ascii=False) + "\n", figures(record)
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(record["begun"]))
    for path, content in {
        directory / f"{kind}-{name}.json": text,
        directory / f"{kind}.json": text,
        directory / f"{kind}.md": page(record),
        directory / f"{kind}.prom": shown,
    }.items():
        _owned_file.write(path, content, mode=MODE)
    for place in textfiles:
        if place.is_dir() and os.access(place, os.W_OK):
            _owned_file.write(place / f"pgsteward_drill_{kind}.prom", shown, mode=MODE)
    for old in sorted(directory.glob(f"{kind}-*.json"))[:-KEPT]:
        old.unlink()
    return record


def since(kind: str, begun: float, directory: Path = DIRECTORY) -> dict[str, Any] | None:
    """Return the record of a drill that has begun since then, None where there is none."""
    text = _owned_file.read(directory / f"{FILES[kind]}.json")
    record: dict[str, Any] = json.loads(text) if text else {}
    return record if record.get("begun", 0.0) >= round(begun, 3) else None


def keep(record: dict[str, Any], say: Callable[[str], None]) -> int:
    """Keep what a drill has brought and say it in a line; return the exit code."""
    return verdict(write(record), say)


def verdict(record: Mapping[str, Any], say: Callable[[str], None]) -> int:
    """Say in a line what a drill has brought; return the exit code."""
    say(f"not proven: {record['error']}" if record["error"] else f"proven in {record['seconds']} s")
    return 1 if record["error"] or not record["removed"] else 0
