"""Server settings: which names a version knows, how values are written, and what a settings file looks like. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._settings_names import ASKED, COMMON, PARTIAL

_PLAIN = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?\Z|[A-Za-z_][A-Za-z0-9_]*\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_$]*)?\Z")


def known_names(version: int) -> frozenset[str]:
    """Return the setting names that PostgreSQL `version` (major) knows.

    A version that was not asked itself gets what its neighbours know: too lenient rather than wrong, and the server's own
    check of the candidate file still follows.
    """
    asked = (
        {version}
        if version in ASKED
        else {
            max(v for v in ASKED if v <= max(version, ASKED[0])),
            min((v for v in ASKED if v >= version), default=ASKED[-1]),
        }
    )
    return COMMON | {name for name, versions in PARTIAL.items() if versions & asked}


def name_findings(settings: Iterable[str], version: int, variable: str) -> list[str]:
    """Return one line for each name of `settings` that PostgreSQL `version` does not know.

    Names with a dot belong to extensions and are left to the server. `variable` is the input that the lines name.
    """
    known = known_names(version)
    findings = []
    for name in settings:
        if not _NAME.match(str(name)):
            findings.append(f"{variable}: {name!r} is not a setting name")
        elif "." not in name and name.lower() not in known:
            findings.append(f"{variable}: PostgreSQL {version} has no setting {name!r}{_guess(name, known)}")
    return findings


def _guess(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def plain(value: Any) -> str:
    """Return `value` as the server shows it: booleans as on/off, lists joined by commas."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)


def literal(value: Any) -> str:
    """Return `value` as it is written in postgresql.conf, quoted when needed."""
    text = plain(value)
    if _PLAIN.match(text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def render(settings: Mapping[str, Any], header: Iterable[str]) -> str:
    """Return the text of an owned settings file: `header` as comments, then one `name = value` line each, sorted by name.

    A value of None leaves the setting out, so that an operator can take a default of ours away.
    """
    lines = [f"# {line}".rstrip() for line in header]
    lines += [f"{name} = {literal(value)}" for name, value in sorted(settings.items()) if value is not None]
    return "\n".join(lines) + "\n"


# What a standby takes its place in shared memory by: a lower number than its primary's stops its replay.
DEFAULTS = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 10,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


def at_least(settings: Mapping[str, Any], least: Mapping[str, int]) -> dict[str, Any]:
    """Return `settings` with no number below that of `least`; what is not set counts as the server's own default."""
    raised = {
        name: int(number)
        for name, number in least.items()
        if int(number) > int(DEFAULTS.get(name, 0) if settings.get(name) is None else settings[name])
    }
    return {**settings, **raised}


_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(?:=|\s)\s*(.*)")


def _lines(text: str) -> dict[str, str]:
    matches = (_LINE.match(line) for line in text.splitlines())
    return {match[1].lower(): match[2] for match in matches if match}


def set_names(text: str) -> frozenset[str]:
    """Return the lower-case names that a settings file sets."""
    return frozenset(_lines(text))


def changed_names(before: str, after: str) -> frozenset[str]:
    """Return the names whose lines differ between two settings files, missing ones included."""
    old, new = _lines(before), _lines(after)
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


# What initdb and the distribution's packaging write into postgresql.conf of every instance: nobody chose it.
_PACKAGING = frozenset(
    "data_directory hba_file ident_file external_pid_file stats_temp_directory datestyle default_text_search_config"
    " lc_messages lc_monetary lc_numeric lc_time".split()
)


def unmanaged(entry: Mapping[str, Any], ours: frozenset[str]) -> bool:
    """Tell whether a setting of somebody's file is a choice that stays in force and is not in the inventory.

    entry: `name` in lower case, `setting` in force and `default` as pg_settings has them.
    """
    chosen = (
        entry["setting"] is None or entry["setting"] != entry["default"]
    )  # None: an extension's, which is not loaded
    return chosen and entry["name"] not in ours | _PACKAGING


def _include(directory: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*include_dir[ \t]*=?[ \t]*'(?:[^'\n]*/)?{re.escape(directory)}/?'.*$", re.MULTILINE)


def with_include(text: str, directory: str) -> str:
    """Return the text of postgresql.conf with the line that includes `directory`, at its end when it has none."""
    if _include(directory).search(text):
        return text
    return f"{text.rstrip()}\n\ninclude_dir = '{directory}'\n".lstrip()


def after_include(text: str, directory: str) -> str:
    """Return what follows the last line that includes `directory`: the server lets it override the files there."""
    found = list(_include(directory).finditer(text))
    return text[found[-1].end() :] if found else ""
