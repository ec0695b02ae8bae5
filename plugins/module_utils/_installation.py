"""What of PostgreSQL is on a host: packages, binaries, instances, data, locales. Only reads."""

from __future__ import annotations

import hashlib
import locale
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SHOWN = 3  # names of foreign files in a message
_DATA_DIRECTORY = re.compile(r"^\s*data_directory\s*=?\s*'([^']*)'", re.MULTILINE)


def look(
    packages: Iterable[str],
    binary: Path,
    configuration: Path,
    data_directory: Path,
    wal_directory: Path | None,
    locale_name: str,
    texts: Iterable[str],
    digests: Iterable[str],
) -> dict[str, Any]:
    """Return what is known of the host; see RETURN of the module pg_installation_info."""
    return {
        "missing_packages": missing(list(packages)),
        "binary": binary.exists(),
        "configuration": configuration.exists(),
        "data": data(data_directory),
        "wal_entries": entries(wal_directory) if wal_directory else [],
        "instances": instances(),
        "charmap": charmap(locale_name),
        "locales": output(["locale", "-a"]).split(),
        "texts": {path: text(Path(path)) for path in texts},
        "digests": {path: digest(Path(path)) for path in digests},
    }


def output(command: list[str]) -> str:
    """Return what a command prints, nothing when it cannot be run; its exit code says nothing here."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def missing(packages: list[str]) -> list[str]:
    """Return those of the packages that are not installed; streams of dnf modules (@name) are no packages.

    A name with a version or anything else that the package database does not list by itself counts as missing, so that the package
    manager decides.
    """
    names = [name for name in packages if not name.startswith("@")]
    if not names:
        return []
    if Path("/var/lib/dpkg/status").exists():
        lines = output(["dpkg-query", "-W", "-f", r"${db:Status-Abbrev}\t${Package}\n", *names]).splitlines()
        installed = {line.split("\t")[1] for line in lines if line.startswith(("ii", "hi"))}
    else:
        installed = set(output(["rpm", "-q", "--qf", r"%{NAME}\n", *names]).splitlines())
    return [name for name in names if name not in installed]


def entries(directory: Path) -> list[str]:
    """Return the first few names in a directory, nothing when there is none."""
    try:
        return sorted(path.name for path in directory.iterdir())[:SHOWN]
    except OSError:
        return []


def data(directory: Path) -> dict[str, Any]:
    """Return the state of a data directory: absent, empty, instance or other; with the version and the WAL directory of an instance."""
    state: dict[str, Any] = {"state": "absent", "version": None, "wal_directory": None, "entries": []}
    if not directory.exists():
        return state
    version = text(directory / "PG_VERSION")
    if version is not None:
        wal = directory / "pg_wal"
        return {
            **state,
            "state": "instance",
            "version": version.strip(),
            "wal_directory": str(wal.resolve()) if wal.is_symlink() else None,
        }
    # A file system of its own brings this along.
    found = [name for name in entries(directory) if name != "lost+found"]
    return {**state, "state": "other" if found else "empty", "entries": found}


def instances() -> list[dict[str, str | None]]:
    """Return the instances in the distributions' own places: name, version, data directory."""
    found: list[dict[str, str | None]] = []
    for configuration in sorted(Path("/etc/postgresql").glob("*/*/postgresql.conf")):
        directories = _DATA_DIRECTORY.findall(text(configuration) or "")
        found.append(
            {
                "name": configuration.parent.name,
                "version": configuration.parent.parent.name,
                "data_directory": directories[-1] if directories else None,
            }
        )
    home = Path("/var/lib/pgsql")
    for path in (home / "data/PG_VERSION", *sorted(home.glob("*/data/PG_VERSION"))):
        version = text(path)
        if version is not None:
            found.append({"name": "main", "version": version.strip(), "data_directory": str(path.parent)})
    return found


def charmap(name: str) -> str | None:
    """Return the character set of a locale, None when this host lacks the locale. It is asked as initdb asks."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
        return locale.nl_langinfo(locale.CODESET)
    except locale.Error:
        return None
    finally:
        locale.setlocale(locale.LC_ALL, before)


def text(path: Path) -> str | None:
    """Return what a small text file holds, None when there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def digest(path: Path) -> str | None:
    """Return the SHA-256 of a file in hexadecimal digits, None when there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
