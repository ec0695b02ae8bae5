"""The owned settings file of one server: observe, plan, apply. The pure parts are in _settings."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect, reload
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._settings import changed_names, render, set_names

if TYPE_CHECKING:
    import psycopg

HEADER = ("Managed by pgsteward.postgres, role pg_server. Change the inventory, not this file.",)


@dataclass(frozen=True)
class Installation:
    """Where one server keeps what this module touches or asks."""

    owned_file: Path
    config_file: Path
    data_directory: Path
    bin_directory: Path
    user: str


def apply(there: Installation, settings: Mapping[str, Any], dry_run: bool) -> dict[str, Any]:
    """Bring the owned file and the running server to `settings`; return the module's result.

    Raises StewardError with the files and the server as before when the candidate is wrong.
    """
    before, after = _owned_file.read(there.owned_file), render(settings, HEADER)
    refuse_shadows(there, settings)
    check_candidate(there, after)
    changed = before != after
    running = running_place(there)
    reloads, pending = False, []
    with connect(running, "pgsteward pg_settings") if running else nullcontext() as connection:
        # A file younger than the last reload was written by a run that ended in between.
        if connection:
            reloads = changed or (_owned_file.modified(there.owned_file) or 0) > loaded_at(connection)
        if changed and not dry_run:
            _owned_file.write(there.owned_file, after)
        if connection:
            if reloads and not dry_run:
                reload_or_restore(connection, there, before)
            pending = pending_restart(connection, changed_names(before or "", after) if dry_run else frozenset())
    return {
        "changed": changed or reloads,
        "reloaded": reloads,
        "pending_restart": pending,
        "diff": {
            "before": _owned_file.readable(before),
            "after": after,
            "before_header": str(there.owned_file),
            "after_header": str(there.owned_file),
        },
    }


def refuse_shadows(there: Installation, settings: Mapping[str, Any]) -> None:
    """Raise StewardError when a file that is read after ours sets one of our names."""
    ours = {name.lower() for name, value in settings.items() if value is not None}
    later = [path for path in sorted(there.owned_file.parent.glob("*.conf")) if path.name > there.owned_file.name]
    auto = there.data_directory / "postgresql.auto.conf"
    for path in (*later, auto):
        for name in sorted(ours & set_names(_owned_file.read(path) or "")):
            remedy = f"ALTER SYSTEM RESET {name}" if path == auto else "take the line out of that file"
            raise StewardError(
                f"{name} is also set in {path}, which would override it: {remedy}, then run again", setting=name
            )


def check_candidate(there: Installation, text: str) -> None:
    """Raise StewardError with the server's own words when its binary refuses `text` on top of its configuration."""
    with tempfile.TemporaryDirectory() as directory:
        candidate, config = Path(directory) / "candidate.conf", Path(directory) / "postgresql.conf"
        candidate.write_text(text, encoding="utf-8")
        config.write_text(f"include '{there.config_file}'\ninclude '{candidate}'\n", encoding="utf-8")
        command = [str(there.bin_directory / "postgres"), "-C", "data_directory", "-c", f"config_file={config}"]
        try:
            outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            raise StewardError(f"{command[0]} cannot check the settings: {error}") from None
        if outcome.returncode:
            raise StewardError(
                f"PostgreSQL refuses the settings, nothing was changed: {reason(outcome.stderr, str(candidate))}"
            )


def reason(output: str, candidate: str) -> str:
    """Return the telling line of what `postgres` prints: the first that is no mere consequence, without our temporary path."""
    lines = [
        re.sub(r"^.*?\b(LOG|FATAL|ERROR|WARNING|HINT|DETAIL):\s+", "", line)
        for line in output.splitlines()
        if line.strip()
    ]
    telling = [line for line in lines if "contains errors" not in line] or lines or ["no reason given"]
    return re.sub(rf' in file "{re.escape(candidate)}" line \d+', "", telling[0])


def running_place(there: Installation) -> Place | None:
    """Return how to reach the server of this data directory over its socket, or None when it does not run.

    The port comes from the server's own pid file: the settings may name another that waits for a restart.
    """
    lines = (_owned_file.read(there.data_directory / "postmaster.pid") or "").splitlines()
    if len(lines) < 5 or not Path(f"/proc/{lines[0]}").exists():
        return None
    return Place(database="postgres", host=lines[4].strip() or "localhost", port=int(lines[3]), user=there.user)


def reload_or_restore(connection: psycopg.Connection[Any], there: Installation, before: str | None) -> None:
    """Make the server read its files and wait until it has; put the former file back when the server finds an error in them."""
    # A setting that needs a restart is listed with this error too, and is none.
    error = connection.execute(
        "SELECT sourcefile || ' line ' || sourceline || ': ' || coalesce(name, '') || ' ' || error FROM pg_file_settings"
        " WHERE error IS NOT NULL AND error <> 'setting could not be applied' ORDER BY seqno LIMIT 1"
    ).fetchone()
    if error:
        _owned_file.restore(there.owned_file, before)
        raise StewardError(f"the server finds an error in its configuration, the former settings are back: {error[0]}")
    reload(connection)


def loaded_at(connection: psycopg.Connection[Any]) -> int:
    """Return when the server last read its files, in nanoseconds since 1970."""
    row = connection.execute("SELECT (extract(epoch FROM pg_conf_load_time()) * 1000000)::bigint * 1000").fetchone()
    return int(row[0]) if row else 0


def pending_restart(connection: psycopg.Connection[Any], foreseen: frozenset[str]) -> list[str]:
    """Return the settings that wait for a restart, and those of `foreseen` that would."""
    rows = connection.execute(
        "SELECT name FROM pg_settings WHERE pending_restart OR (context = 'postmaster' AND name = ANY(%s)) ORDER BY name",
        [list(foreseen)],
    ).fetchall()
    return [row[0] for row in rows]
