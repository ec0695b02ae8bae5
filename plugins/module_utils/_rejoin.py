# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A former primary, or a standby that is ahead of the primary, follows it by pg_rewind, with what it had kept aside."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _controldata, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils import _standby_data as standby_data
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._standby_data import SIGNAL, Standby

NOT_NEEDED = "no rewind required"
APPLICATION = "pgsteward rejoin"


@dataclass(frozen=True)
class Request(Standby):
    """What to rewind, and to whom. keep: whether the diverged directory is copied aside first."""

    config_file: Path
    keep: bool


def command(request: Request, *options: str) -> list[str]:
    """Return pg_rewind's command line. The password is in the pass file."""
    return [
        str(request.bin_directory / "pg_rewind"),
        f"--target-pgdata={request.data_directory}",
        f"--source-server={standby_data.login(request, APPLICATION, dbname='postgres')}",
        f"--config-file={request.config_file}",
        *options,
    ]


def rejoin(request: Request, dry_run: bool) -> dict[str, Any]:
    """Make the data directory follow the source; return the module's result.

    method: none (its WAL is part of the source's already), rewind, or failed with the reason, when only a new copy helps. Raises
    StewardError where a server runs, where the primary lacks WAL of its own timeline, or where the diverged directory cannot be kept.
    """
    data, begun = request.data_directory, time.monotonic()
    if _postmaster.find(data):
        raise StewardError(f"a server runs in {data}: stop it first")
    control = _controldata.read(request.bin_directory, data)
    # Before the primary is asked, which only gets further.
    mine = standby_data.reached(request.bin_directory, data, control)
    primary = standby_data.ask_primary(request, APPLICATION)
    if control.system_identifier != primary.system_identifier:
        return _result("failed", begun, f"{data} belongs to another cluster")
    surplus = standby_data.ahead(mine, primary)
    if surplus and standby_data.beyond(mine, primary.reach) == primary.timeline:
        raise StewardError(
            f"{data} {surplus}: {request.host} has lost what it had written, or both took writes, and pg_rewind can undo nothing on one timeline."
            " Find out which of the two is right; reinit_standby with -e confirm=HOST puts these data aside for a copy"
        )
    marked = (data / SIGNAL).exists()
    if surplus is None and control.in_recovery:
        if not (marked or dry_run):
            standby_data.mark_standby(data, request.owner)
        return _result("none", begun, changed=not marked)
    needed, aside = True, None
    if control.state in (_controldata.SHUT_DOWN, _controldata.SHUT_DOWN_IN_RECOVERY):
        tried = _run(request, "--dry-run")
        if tried.returncode:
            return _result("failed", begun, _reason(tried))
        needed = NOT_NEEDED not in _output(tried)
        if surplus and not needed:
            return _result(
                "failed", begun, f"what was received and not replayed {surplus}, and pg_rewind does not see it"
            )
    if dry_run:
        return _result("rewind" if needed else "none", begun)
    if needed and request.keep:
        aside = keep(data, time.time())
    method, reason = "none", None
    if needed:
        if control.in_recovery and marked:  # or the server would refuse the recovery that pg_rewind has it do first
            (data / SIGNAL).unlink()
        outcome = _run(request)
        method = "none" if NOT_NEEDED in _output(outcome) else "rewind"
        if outcome.returncode:
            method, reason = "failed", _reason(outcome)
    if method != "failed":
        standby_data.mark_standby(data, request.owner)
    return _result(method, begun, reason, aside)


def keep(data: Path, now: float) -> Path:
    """Copy a data directory aside with its WAL, sharing blocks where the file system can; return the copy. Raises StewardError without room.

    WAL that is apart becomes a part of the copy: a link would lead to what is rewound.
    """
    aside, wal = standby_data.aside_of(data, now), standby_data.wal_apart(data)
    needed, free = standby_data.size_of(data) + standby_data.size_of(wal), shutil.disk_usage(data).free
    if free < needed * 1.1:
        raise StewardError(
            f"{data.parent} has {free >> 20} MB free, and the diverged directory, which is kept aside, has {needed >> 20} MB: make room, or give"
            " it up by -e pg_replica_keep_diverged=false"
        )
    _copy(data, aside, aside)
    if wal:
        (aside / standby_data.WAL).unlink()
        _copy(wal, aside / standby_data.WAL, aside)
    return aside


def _copy(source: Path, target: Path, whole: Path) -> None:
    """Copy a directory; what was copied of the whole goes again when it cannot be finished."""
    command = ["cp", "--archive", "--reflink=auto", str(source), str(target)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        shutil.rmtree(whole, ignore_errors=True)
        raise StewardError(f"the diverged directory cannot be kept aside: {outcome.stderr}")


def _result(
    method: str, begun: float, reason: str | None = None, aside: Path | None = None, changed: bool = True
) -> dict[str, Any]:
    return {
        "changed": changed,
        "method": method,
        "reason": reason,
        "aside": str(aside) if aside else None,
        "seconds": round(time.monotonic() - begun, 2),
    }


def _run(request: Request, *options: str) -> subprocess.CompletedProcess[str]:
    return standby_data.run_as_owner(request.owner, command(request, *options))


def _output(outcome: subprocess.CompletedProcess[str]) -> str:
    return outcome.stdout + outcome.stderr


def _reason(outcome: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in _output(outcome).splitlines() if "error:" in line or "fatal:" in line]
    return " / ".join(lines or _output(outcome).splitlines()[-2:])
