"""The owned settings file of one server: observe, plan, apply. The pure parts are in _settings."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect, read_json, reload
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._settings import (
    after_include,
    changed_names,
    plain,
    render,
    set_names,
    unmanaged,
    with_include,
)

if TYPE_CHECKING:
    import psycopg

    Ask = Callable[[str], str | None]

HEADER = "Managed by pgsteward.postgres, role {role}. Change the inventory, not this file."
OWN_FILE = "# Managed by pgsteward.postgres, role "
APPLICATION = "pgsteward pg_settings"
TLS_FILES = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file")

# One read of all that is needed, as one JSON value. A value that waits for a restart counts as set, though the server calls it an error.
STATE = """
SELECT json_build_object(
  'loaded', (extract(epoch FROM pg_conf_load_time()) * 1000000)::bigint * 1000,
  'pending', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
  'postmaster', (SELECT json_agg(json_build_object('name', lower(name), 'setting', setting))
                 FROM pg_settings WHERE context = 'postmaster'),
  'files', (SELECT coalesce(json_agg(json_build_object(
        'name', lower(f.name), 'value', f.setting, 'file', f.sourcefile, 'line', f.sourceline,
        'setting', s.setting, 'default', s.boot_val) ORDER BY f.seqno), '[]')
    FROM (SELECT DISTINCT ON (lower(name)) * FROM pg_file_settings
          WHERE applied OR error = 'setting could not be applied' ORDER BY lower(name), seqno DESC) f
    LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name)))
"""


@dataclass(frozen=True)
class Edit:
    """A file as it is (None when there is none) and as it is to be."""

    path: Path
    before: str | None
    after: str


@dataclass(frozen=True)
class Report:
    """What a running server says. loaded: its last reload in nanoseconds since 1970; elsewhere: our names in other files."""

    loaded: int = 0
    pending: list[str] = field(default_factory=list)
    postmaster: list[dict[str, Any]] = field(default_factory=list)
    elsewhere: list[dict[str, Any]] = field(default_factory=list)
    unmanaged: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Installation:
    """Where one server keeps what this module touches or asks. role: the one that owns the file, which its first line names."""

    owned_file: Path
    config_file: Path
    data_directory: Path
    bin_directory: Path
    user: str
    role: str = "pg_server"


def apply(
    there: Installation, settings: Mapping[str, Any], dry_run: bool, yielding: Sequence[str] = ()
) -> dict[str, Any]:
    """Bring the owned file and the running server to `settings`; return the module's result.

    yielding: settings that are left out, all of them, as soon as a file of somebody else's sets one of them. Raises StewardError
    with the files and the server as before when the candidate is wrong.
    """
    config = _owned_file.read(there.config_file) or ""
    if yielding and decided_elsewhere(there, config, yielding):
        settings = {name: value for name, value in settings.items() if name.lower() not in yielding}
    before, after = _owned_file.read(there.owned_file), render(settings, [HEADER.format(role=there.role)])
    edits = [
        Edit(there.config_file, config, with_include(config, there.owned_file.parent.name)),
        Edit(there.owned_file, before, after),
    ]
    edits = [edit for edit in edits if edit.before != edit.after]
    ours = frozenset(name.lower() for name, value in settings.items() if value is not None)
    running = running_place(there)
    report = Report() if running is None else examine(read_state(running, APPLICATION, dry_run), there, ours)
    refuse_shadows(there, ours, config, report)
    with candidate(there, after) as ask:
        foreseen = changed_names(before or "", after)
        overridden = [entry for entry in report.elsewhere if edits and differs(ask, entry)]
        waiting = {entry["name"] for entry in report.postmaster if entry["name"] in foreseen and differs(ask, entry)}
    # A file younger than the last reload was written by a run that ended in between, or is a renewed certificate.
    reloads = running is not None and (bool(edits) or youngest(there, settings) > report.loaded)
    pending = sorted(waiting.union(report.pending) - (foreseen - waiting))
    if not dry_run:
        write(there, edits)
        if running and reloads:
            with connect(running, APPLICATION) as connection:
                reload_or_restore(connection, edits)
            pending = read_state(running, APPLICATION, dry_run)["pending"]
    return {
        "changed": bool(edits) or reloads,
        "reloaded": reloads,
        "pending_restart": pending,
        "unmanaged": report.unmanaged,
        "overridden": [{**outline(entry), "becomes": text_of(settings, entry["name"])} for entry in overridden],
        "diff": [
            {
                "before": _owned_file.readable(edit.before),
                "after": edit.after,
                "before_header": str(edit.path),
                "after_header": str(edit.path),
            }
            for edit in edits
        ],
    }


def decided_elsewhere(there: Installation, config: str, names: Iterable[str]) -> bool:
    """Tell whether a file that no role of ours owns sets one of the names."""
    of_roles = [there.owned_file, *files_of_roles(there)]
    beside = [path for path in there.owned_file.parent.glob("*.conf") if path not in of_roles]
    texts = [
        config,
        *(_owned_file.read(path) or "" for path in (*beside, there.data_directory / "postgresql.auto.conf")),
    ]
    return any(set_names(text).intersection(names) for text in texts)


def read_state(place: Place, application: str, dry_run: bool) -> dict[str, Any]:
    """Return what STATE asks of the server. A dry run on a host without the driver, which comes with the packages, asks by psql."""
    state: dict[str, Any] = read_json(place, application, STATE, without_driver=dry_run)
    return state


def examine(state: Mapping[str, Any], there: Installation, ours: frozenset[str]) -> Report:
    """Sort what the server says by what this module does with it."""
    # A file of another role of ours says what the inventory says: it may replace a setting of this one, and is nobody's secret.
    of_roles = {str(there.owned_file), *map(str, files_of_roles(there))}
    elsewhere = [entry for entry in state["files"] if entry["file"] not in of_roles]
    return Report(
        loaded=state["loaded"],
        pending=state["pending"],
        postmaster=state["postmaster"],
        elsewhere=[entry for entry in elsewhere if entry["name"] in ours],
        unmanaged=[outline(entry) for entry in elsewhere if unmanaged(entry, ours)],
    )


def files_of_roles(there: Installation) -> list[Path]:
    """Return the files beside ours that other roles of the collection own."""
    beside = sorted(there.owned_file.parent.glob("*.conf"))
    return [path for path in beside if path != there.owned_file and (_owned_file.read(path) or "").startswith(OWN_FILE)]


def outline(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an operator wants to know of a setting in some file."""
    return {key: entry[key] for key in ("name", "value", "file", "line")}


def text_of(settings: Mapping[str, Any], name: str) -> str:
    """Return the value that `settings` give to a setting."""
    return next(plain(value) for key, value in settings.items() if key.lower() == name)


def youngest(there: Installation, settings: Mapping[str, Any]) -> int:
    """Return when the last of the files that a reload reads was written, in nanoseconds since 1970."""
    named = [Path(str(settings[name])) for name in TLS_FILES if settings.get(name)]
    return max(_owned_file.modified(path) or 0 for path in (there.owned_file, *named))


def write(there: Installation, edits: Sequence[Edit]) -> None:
    """Write the files in their order, the settings last; their directory is made when there is none."""
    if not there.owned_file.parent.exists():
        there.owned_file.parent.mkdir()
        there.owned_file.parent.chmod(0o755)
    for edit in edits:
        _owned_file.write(edit.path, edit.after)


def refuse_shadows(there: Installation, ours: frozenset[str], config: str, report: Report) -> None:
    """Raise StewardError that names every setting of ours which something read after our file sets too."""
    of_roles = files_of_roles(there)
    beside = [path for path in sorted(there.owned_file.parent.glob("*.conf")) if path not in of_roles]
    later = [path for path in beside if path.name > there.owned_file.name]
    auto = there.data_directory / "postgresql.auto.conf"
    texts = [(path, _owned_file.read(path) or "") for path in later]
    texts += [(there.config_file, after_include(config, there.owned_file.parent.name))]
    taken = [f"{name} in {path}" for path, text in texts for name in sorted(ours & set_names(text))]
    reset = sorted(ours & set_names(_owned_file.read(auto) or ""))
    remedies = [f"take out {', '.join(taken)}"] if taken else []
    if reset:
        remedies.append(f"run {'; '.join(f'ALTER SYSTEM RESET {name}' for name in reset)} for those in {auto}")
    if remedies:
        names = sorted({*reset, *(entry.split(" in ")[0] for entry in taken)})
        raise StewardError(
            f"{', '.join(names)}: set by hand where the server reads it after our file, which would override ours:"
            f" {', and '.join(remedies)}; then run again",
            settings=names,
            unmanaged=report.unmanaged,
        )


@contextmanager
def candidate(there: Installation, text: str) -> Iterator[Ask]:
    """Raise StewardError with the server's own words when its binary refuses `text` on top of its configuration.

    Yields a function that returns the value a setting would have, in the unit of pg_settings.setting, None when it is not known.
    """
    with tempfile.TemporaryDirectory() as directory:
        owned, config = Path(directory) / "candidate.conf", Path(directory) / "postgresql.conf"
        owned.write_text(text, encoding="utf-8")
        config.write_text(f"include '{there.config_file}'\ninclude '{owned}'\n", encoding="utf-8")

        def run(name: str) -> subprocess.CompletedProcess[str]:
            command = [str(there.bin_directory / "postgres"), "-C", name, "-c", f"config_file={config}"]
            try:
                return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            except (OSError, subprocess.SubprocessError) as error:
                raise StewardError(f"{command[0]} cannot check the settings: {error}") from None

        def ask(name: str) -> str | None:
            outcome = run(name)
            return None if outcome.returncode else outcome.stdout.rstrip("\n")

        outcome = run("data_directory")
        if outcome.returncode:
            raise StewardError(
                f"PostgreSQL refuses the settings, nothing was changed: {reason(outcome.stderr, str(owned))}"
            )
        yield ask


def differs(ask: Ask, entry: Mapping[str, str | None]) -> bool:
    """Tell whether a setting would get another value than the one in force."""
    return ask(entry["name"] or "") != entry["setting"]


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


def reload_or_restore(connection: psycopg.Connection[Any], edits: Sequence[Edit]) -> None:
    """Make the server read its files and wait until it has; put the former files back when the server finds an error in them."""
    # A setting that needs a restart is listed with this error too, and is none.
    error = connection.execute(
        "SELECT sourcefile || ' line ' || sourceline || ': ' || coalesce(name, '') || ' ' || error FROM pg_file_settings"
        " WHERE error IS NOT NULL AND error <> 'setting could not be applied' ORDER BY seqno LIMIT 1"
    ).fetchone()
    if error:
        for edit in reversed(edits):
            _owned_file.restore(edit.path, edit.before)
        raise StewardError(f"the server finds an error in its configuration, the former settings are back: {error[0]}")
    reload(connection)
