# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file that tells the command maintain-db what there is, and the one in which it tells how it went. Pure but for the files."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain, _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

PATH = Path("/etc/pgsteward/maintain.json")
STATE = "maintain.json"
FIGURES = "pgsteward_maintain.prom"
STATE_FORMAT = 1
MODE = 0o644
POLL = 2.0
# Where exporters of Debian's and of others' packages read figures from; those that are there get them too.
TEXTFILES = (Path("/var/lib/prometheus/node-exporter"), Path("/var/lib/node_exporter/textfile_collector"))

# Key of an entry -> name and explanation of its metric.
_FIGURES: Mapping[str, tuple[str, str]] = {
    "begun": ("pgsteward_maintain_timestamp_seconds", "When the task last began."),
    "last_good": ("pgsteward_maintain_last_success_timestamp_seconds", "When the task last began that came to a good end."),
    "seconds": ("pgsteward_maintain_seconds", "How long it took."),
    "success": ("pgsteward_maintain_success", "Whether it came to a good end."),
    "finding_count": ("pgsteward_maintain_findings", "How many findings it told."),
    "deleted_count": ("pgsteward_maintain_deleted_rows", "How many rows its clean-up has deleted."),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """What there is to maintain, and by which account of the system and the server. databases: name -> its thresholds."""

    account: str
    socket: str
    port: int
    directory: Path
    databases: Mapping[str, Mapping[str, float]]
    jobs: tuple[Mapping[str, Any], ...]

    @property
    def state(self) -> Path:
        """The file that tells how it went."""
        return self.directory / STATE

    def jobs_in(self, database: str) -> dict[str, list[Mapping[str, Any]]]:
        """Return the jobs of a database by the account that they delete as."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for job in self.jobs:
            if job["database"] == database:
                found.setdefault(str(job["user"]), []).append(job)
        return found


def text_of(inputs: Mapping[str, Any], directory: str) -> str:
    """Return the file that tells the command; inputs: those of the role, by their names without its prefix."""
    held = {
        "account": inputs["superuser"],
        "socket": inputs["socket_directory"],
        "port": int(inputs["port"]),
        "directory": directory,
        "databases": {
            str(one["name"]): _maintain.thresholds_of(inputs["thresholds"], one.get("thresholds") or {})
            for one in inputs["databases"]
        },
        "jobs": [{**job, "user": account_of(job)} for job in inputs["clean_up"]],
    }
    return json.dumps(held, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def account_of(job: Mapping[str, Any]) -> str:
    """Return the account that a job deletes as: the migrator of the database, which acts as its owner, where nothing else is said."""
    return str(job.get("user") or f"{job['database']}_migrator")


def accounts(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the accounts that clean-up jobs log in as over the local socket."""
    return sorted({account_of(job) for job in jobs if job.get("user") or job.get("database")})


def read(path: Path = PATH) -> Config:
    """Return what the file tells. Raises StewardError."""
    text = _owned_file.read(path)
    if text is None:
        raise StewardError(f"{path} is not there: the role pg_maintain writes it")
    try:
        held = json.loads(text)
        return Config(
            account=held["account"],
            socket=held["socket"],
            port=int(held["port"]),
            directory=Path(held["directory"]),
            databases=held["databases"],
            jobs=tuple(held["jobs"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StewardError(f"{path} cannot be read: {error}; run the role pg_maintain") from None


# How it went


def parse_state(text: str | None) -> dict[str, Any]:
    """Return what the last runs told; nothing where there was none, or the file is no such thing."""
    try:
        held = json.loads(text or "")
    except ValueError:
        return {}
    return held if isinstance(held, dict) and held.get("format") == STATE_FORMAT else {}


def with_outcome(
    state: Mapping[str, Any], database: str, task: str, begun: float, seconds: float, error: str | None, result: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """Return the state after a task of a database has ended."""
    databases = {name: dict(tasks) for name, tasks in state.get("databases", {}).items()}
    tasks = databases.setdefault(database, {})
    former = tasks.get(task, {})
    found = list(result.get("findings", ()))
    tasks[task] = {
        "begun": round(begun, 3),
        "seconds": round(seconds, 3),
        "error": error,
        "success": int(error is None),
        "last_good": round(begun, 3) if error is None else former.get("last_good"),
        "finding_count": len(found),
        **({"deleted_count": result["deleted_count"]} if "deleted_count" in result else {}),
        "result": {**result, "findings": found},
    }
    return {"format": STATE_FORMAT, "databases": databases}


def without_gone(state: Mapping[str, Any], databases: Sequence[str]) -> dict[str, Any]:
    """Return the state without databases that are no longer maintained."""
    held = {name: tasks for name, tasks in state.get("databases", {}).items() if name in databases}
    return {"format": STATE_FORMAT, "databases": held}


def figures(state: Mapping[str, Any]) -> str:
    """Return the figures in the form that exporters read from files. Nothing but numbers and names of tasks gets there."""
    lines = []
    for key, (name, text) in _FIGURES.items():
        values = [
            (database, task, entry[key])
            for database, tasks in sorted(state.get("databases", {}).items())
            for task, entry in sorted(tasks.items())
            if task in _maintain.SCHEDULED and isinstance(entry.get(key), int | float)
        ]
        if values:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
            lines += [
                f'{name}{{database="{_maintain.label(database)}",task="{task}"}} {value}'
                for database, task, value in values
            ]
    return "\n".join(lines) + "\n" if lines else ""


def keep(path: Path, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Change the state while nobody else does; return it."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        state = change(parse_state(_owned_file.read(path)))
        _owned_file.write(path, json.dumps(state, indent=1, sort_keys=True, ensure_ascii=False) + "\n", mode=MODE)
        _owned_file.write(path.with_name(FIGURES), figures(state), mode=MODE)
    finally:
        os.close(descriptor)
    return state


@contextmanager
def turn(path: Path, limit: float, say: Callable[[str], None]) -> Iterator[None]:
    """Have the heavy tasks of all databases of a host run one after the other; after `limit` seconds it goes on all the same."""
    descriptor = os.open(path.with_name("heavy.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        end, told = time.monotonic() + limit, False
        while not _locked(descriptor) and time.monotonic() < end:
            if not told:
                say("another database has its turn; waiting for its end")
                told = True
            time.sleep(min(POLL, limit))
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def publish(path: Path, textfiles: Sequence[Path] = TEXTFILES) -> list[Path]:
    """Give the figures to the exporters that are there, as root; return the files.

    The state belongs to another account, so its text is read as numbers and written anew, and never through a link.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        text = figures(parse_state(stream.read()))
    written = [place / FIGURES for place in textfiles if place.is_dir() and os.access(place, os.W_OK)]
    for one in written:
        _owned_file.write(one, text, mode=MODE)
    return written
