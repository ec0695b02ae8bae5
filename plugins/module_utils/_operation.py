# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One operation at a time: a transient systemd unit that a run holds on each server, and a log of who did what.

A lock in the server would go with the session that took it, and a server that is lost holds none. A unit outlives the task, is made or
refused in one step, says by its description who has it, and ends by itself when a run that was killed cannot end it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

UNIT = "pgsteward-operation.service"
LIVE = ("active", "activating", "reloading", "deactivating")
TRIES = 3
PAUSE = 0.1  # seconds; for a unit that is just going away
CALL_LIMIT = 5.0
LOG_MODE, DIRECTORY_MODE = 0o640, 0o750

# Runs a command; returns its exit status, None where it could not be run or did not end, and what it printed.
Call = Callable[[Sequence[str]], tuple[int | None, str]]

_CLAIM = re.compile(r"(?P<operation>\S+) by (?P<by>.+) since (?P<since>\S+), until (?P<until>\S+) at the latest")


@dataclass(frozen=True)
class Begun:
    """How a try to begin ended: with a claim, with another one's claim (holder), or with neither (problem)."""

    claim: str | None = None
    holder: str | None = None
    took_over: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Ended:
    """Whether the claim was still held until now; problem: why the unit may be there still."""

    held: bool
    problem: str | None = None


def stamp(moment: datetime) -> str:
    """Return a moment as people and programs read it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def claim_of(operation: str, by: str, since: datetime, limit: int) -> str:
    """Return the description of the unit: who does what, since when, until when at the latest. limit: seconds."""
    return f"{_clean(operation)} by {_clean(by)} since {stamp(since)}, until {stamp(since + timedelta(seconds=limit))} at the latest"


def parts_of(claim: str) -> dict[str, str]:
    """Return operation, by, since and until of a claim; nothing of a text that is none."""
    match = _CLAIM.fullmatch(claim)
    return match.groupdict() if match else {}


def _clean(text: str) -> str:
    """Return text as one line of printable characters, short enough for a description."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))[:100].strip()


def start_command(claim: str, limit: int) -> list[str]:
    """Return the command that makes the unit, and fails while there is one. A unit that has failed leaves its name free."""
    return [
        "systemd-run",
        "--quiet",
        f"--unit={UNIT}",
        "--collect",
        f"--property=RuntimeMaxSec={limit}",
        f"--description={claim}",
        "sleep",
        "infinity",
    ]


def holder(call: Call) -> str | None:
    """Return the claim of the run that holds the operation on this host, None when nobody does."""
    status, said = call(["systemctl", "show", "--property=ActiveState,Description", UNIT])
    seen = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return seen.get("Description", UNIT) if status == 0 and seen.get("ActiveState") in LIVE else None


def begin(call: Call, claim: str, limit: int, take_over: bool, sleep: Callable[[float], None] = time.sleep) -> Begun:
    """Hold the operation on this host for `limit` seconds, unless another run does. take_over: end that one's claim first."""
    took_over, said = None, ""
    for turn in range(TRIES):
        if turn:
            sleep(PAUSE)
        status, said = call(start_command(claim, limit))
        if status == 0:
            return Begun(claim=claim, took_over=took_over)
        if status is None:  # nothing answers here; asking it again would only take time
            break
        other = holder(call)
        if other is not None and not take_over:
            return Begun(holder=other)
        if other is not None:
            took_over = other
            call(["systemctl", "stop", UNIT])
        else:
            call(["systemctl", "reset-failed", UNIT])
    return Begun(took_over=took_over, problem=" ".join(said.split()) or "no reason given")


def end(call: Call, claim: str) -> Ended:
    """Let others begin, where the unit is still that of this claim."""
    if holder(call) != claim:
        return Ended(held=False)
    status, said = call(["systemctl", "stop", UNIT])
    return Ended(held=True, problem=None if status == 0 else " ".join(said.split()) or "no reason given")


def held_findings(holders: Mapping[str, str | None]) -> list[str]:
    """Return why nothing may begin: one line for each other run. holders: host -> the claim of another run, empty where there is none."""
    claims = dict.fromkeys(claim for claim in holders.values() if claim)
    return [
        f"another operation runs: {claim} (on {', '.join(host for host, held in holders.items() if held == claim)}). Wait for its end; once"
        " that run is known to be dead, -e take_over=true"
        for claim in claims
    ]


def log_line(event: str, claim: str, at: datetime, **more: str | None) -> str:
    """Return one line of the log: at, event, operation, by, and what else is known."""
    parts = parts_of(claim)
    line = {"at": stamp(at), "event": event, "operation": parts.get("operation"), "by": parts.get("by")}
    return json.dumps({**line, **{name: value for name, value in more.items() if value}}, ensure_ascii=False) + "\n"


def append(path: Path, line: str) -> str | None:
    """Append a line to the log, which only root and its group may read; return why that could not be done, None when it was."""
    try:
        path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, LOG_MODE)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, LOG_MODE)
            stream.write(line.encode("utf-8", errors="replace"))
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    return None


def call_program(command: Sequence[str]) -> tuple[int | None, str]:
    """Run a program of systemd; see Call."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CALL_LIMIT,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return None, str(error)
    return done.returncode, done.stdout or done.stderr
