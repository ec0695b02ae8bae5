# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server process of an instance: found by its data directory, stopped by its own signals, started by systemd.

The signals go to the process itself, since pg_ctlcluster takes longer to come up than a server to shut down; systemd sees the
end of its main process and agrees.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

QUIT_LIMIT = 0.5  # seconds that an immediate shutdown may take before everything of the unit is killed
KILL_LIMIT = 3.0
SYSTEMCTL_LIMIT = 10.0


@dataclass(frozen=True)
class Postmaster:
    """A server that runs: its process and where its socket is."""

    pid: int
    port: int
    socket_directory: str


def find(data_directory: Path) -> Postmaster | None:
    """Return the server that runs on a data directory, None when there is none, whatever a stale postmaster.pid says."""
    try:
        lines = (data_directory / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid = int(lines[0])
        if not _serves(Path(f"/proc/{pid}"), data_directory):
            return None
        port, directory = ([*lines[3:5], "", ""])[:2]
        return Postmaster(pid, int(port or 5432), directory.strip() or "localhost")
    except (OSError, ValueError, IndexError):
        return None


def _serves(process: Path, data_directory: Path) -> bool:
    """Tell whether a process is the server of these data, and not a later one that got the number of a dead server.

    Its working directory would say so plainly, but even root may not read it in some containers.
    """
    if process.stat().st_uid != data_directory.stat().st_uid:
        return False
    command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    if not Path(command[0]).name.startswith("post") or ":" in command[0]:  # "postgres: walwriter" is a child
        return False
    named = [value for option, value in pairwise(command) if option == "-D"]
    return not named or Path(named[0]).resolve() == data_directory.resolve()


def stop(data_directory: Path, ending: signal.Signals, limit: float) -> bool:
    """Ask the server to end (SIGINT: fast, SIGQUIT: immediate) and wait; tell whether it is gone within limit seconds."""
    with _watched(data_directory) as descriptor:
        if descriptor is None:
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, ending)
        return _ended(descriptor, limit)


def kill(data_directory: Path, service: str) -> bool:
    """Stop the server at once, by immediate shutdown, and what does not obey by SIGKILL; tell whether there was one.

    Nothing acknowledged is lost, and the next start begins with recovery. Raises StewardError when something stays alive.
    """
    with _watched(data_directory) as descriptor:
        if descriptor is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGQUIT)
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)  # a stopped process sees no other signal
        if _ended(descriptor, QUIT_LIMIT):
            return True
        # Without its backends: one of them that stays would hold the shared memory, and the next start would be refused.
        systemctl("kill", "--signal=SIGKILL", service)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        if not _ended(descriptor, KILL_LIMIT):
            raise StewardError(f"the server on {data_directory} does not end, not even by SIGKILL: look at its host")
    return True


def starting(service: str) -> subprocess.Popen[str]:
    """Begin to start a unit and return the systemctl that waits for it; a server answers long before pg_ctlcluster says so."""
    systemctl("reset-failed", service)  # and with it the limit of starts in a row
    return subprocess.Popen(
        ["systemctl", "start", service],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def systemctl(*arguments: str) -> None:
    """Run systemctl for its effect; what it says does not matter."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(["systemctl", *arguments], capture_output=True, check=False, timeout=SYSTEMCTL_LIMIT)


def last_words(service: str) -> str:
    """Return the last lines that a unit wrote, on one line, for an error."""
    command = ["journalctl", "--unit", service, "--lines=6", "--output=cat", "--no-pager"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SYSTEMCTL_LIMIT)
    except (OSError, subprocess.SubprocessError):
        return ""
    return " | ".join(line.strip() for line in answer.stdout.splitlines() if line.strip())


@contextmanager
def _watched(data_directory: Path) -> Iterator[int | None]:
    """Give a descriptor that stands for the server's process and for no later one of that number; None without a server."""
    server, descriptor = find(data_directory), None
    if server is not None:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(server.pid)
    if descriptor is not None and find(data_directory) != server:
        os.close(descriptor)
        descriptor = None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _ended(descriptor: int, limit: float) -> bool:
    poll, until = select.poll(), time.monotonic() + limit
    poll.register(descriptor, select.POLLIN)
    while True:
        if poll.poll(max(0.0, until - time.monotonic()) * 1000):
            return True
        if time.monotonic() >= until:
            return False
