# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A former primary becomes a standby again by pg_rewind, with what it had kept aside."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _controldata, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils._base_backup import size_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._replica import conninfo

NOT_NEEDED = "no rewind required"
SIGNAL = "standby.signal"


@dataclass(frozen=True)
class Request:
    """What to rewind, and to whom. keep: whether the diverged directory is copied aside first."""

    data_directory: Path
    bin_directory: Path
    config_file: Path
    host: str
    port: int
    user: str
    pass_file: Path
    ca_file: Path
    owner: str
    keep: bool


def command(request: Request, *options: str) -> list[str]:
    """Return pg_rewind's command line. The password is in the pass file."""
    source = conninfo(
        {
            "host": request.host,
            "port": request.port,
            "user": request.user,
            "dbname": "postgres",
            "passfile": request.pass_file,
            "sslmode": "verify-full",
            "sslrootcert": request.ca_file,
            "connect_timeout": 10,
            "application_name": "pgsteward rejoin",
        }
    )
    return [
        str(request.bin_directory / "pg_rewind"),
        f"--target-pgdata={request.data_directory}",
        f"--source-server={source}",
        f"--config-file={request.config_file}",
        *options,
    ]


def rejoin(request: Request, dry_run: bool) -> dict[str, Any]:
    """Make the data directory follow the source; return the module's result.

    method: none (its WAL is part of the source's already), rewind, or failed with the reason, when only a new copy helps. Raises
    StewardError where a server runs, or where the diverged directory cannot be kept.
    """
    data = request.data_directory
    if _postmaster.find(data):
        raise StewardError(f"a server runs in {data}: stop it first")
    control = _controldata.read(request.bin_directory, data)
    clean = control.state in (_controldata.SHUT_DOWN, _controldata.SHUT_DOWN_IN_RECOVERY)
    if (data / SIGNAL).exists() and control.in_recovery:
        return {"changed": False, "method": "none", "aside": None, "reason": None, "seconds": 0.0}
    begun, needed, aside = time.monotonic(), True, None
    if clean:
        tried = _run(request, command(request, "--dry-run"))
        if tried.returncode:
            return {"changed": True, "method": "failed", "aside": None, "reason": _reason(tried), "seconds": 0.0}
        needed = NOT_NEEDED not in _output(tried)
    if dry_run:
        return {
            "changed": True,
            "method": "rewind" if needed else "none",
            "aside": None,
            "reason": None,
            "seconds": 0.0,
        }
    if needed and request.keep:
        aside = keep(data, time.time())
    method, reason = "none", None
    if needed:
        outcome = _run(request, command(request))
        method = "rewind"
        if outcome.returncode:
            method, reason = "failed", _reason(outcome)
        elif NOT_NEEDED in _output(outcome):
            method = "none"
    if method != "failed":
        _signal(data, request.owner)
    return {
        "changed": True,
        "method": method,
        "reason": reason,
        "aside": str(aside) if aside else None,
        "seconds": round(time.monotonic() - begun, 2),
    }


def keep(data: Path, now: float) -> Path:
    """Copy a data directory aside, sharing blocks where the file system can; return the copy. Raises StewardError without room."""
    aside = data.with_name(f"{data.name}.aside-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}")
    needed, free = size_of(data), shutil.disk_usage(data).free
    if free < needed * 1.1:
        raise StewardError(
            f"{data.parent} has {free >> 20} MB free, and the diverged directory, which is kept aside, has {needed >> 20} MB: make room, or give"
            " it up by -e pg_replica_keep_diverged=false"
        )
    outcome = subprocess.run(
        ["cp", "--archive", "--reflink=auto", str(data), str(aside)], capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        shutil.rmtree(aside, ignore_errors=True)
        raise StewardError(f"the diverged directory cannot be kept aside: {outcome.stderr}")
    return aside


def _run(request: Request, line: list[str]) -> subprocess.CompletedProcess[str]:
    account = pwd.getpwnam(request.owner)
    try:
        return subprocess.run(
            line,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
        )
    except OSError as error:
        raise StewardError(f"cannot run {line[0]}: {error}") from None


def _output(outcome: subprocess.CompletedProcess[str]) -> str:
    return outcome.stdout + outcome.stderr


def _reason(outcome: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in _output(outcome).splitlines() if "error:" in line or "fatal:" in line]
    return " / ".join(lines or _output(outcome).splitlines()[-2:])


def _signal(data: Path, owner: str) -> None:
    account = pwd.getpwnam(owner)
    (data / SIGNAL).touch(mode=0o600)
    os.chown(data / SIGNAL, account.pw_uid, account.pw_gid)
