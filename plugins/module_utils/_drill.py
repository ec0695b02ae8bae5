# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every restore drill is made of: a server that nobody else sees, what reads it, a record, and that nothing of it is left.

Drills run on hosts without Ansible too, below a timer. Whatever happens, they leave nothing: not when they fail, and what a drill that was
killed has left is removed by the next one and by the unit that it ran in.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from ansible_collections.pgsteward.postgres.plugins.module_utils import _beside, _postmaster, _restore
from ansible_collections.pgsteward.postgres.plugins.module_utils._children import bound_to_parent
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Server
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import as_account

PORT = 5432  # names the socket only
STOP_LIMIT = 300.0
CHECK_LIMIT = 7 * 86400.0
KEPT_LINES = 10  # of what a check says

_BAD_CHECKSUMS = re.compile(r"^Bad checksums:\s+(\d+)$", re.MULTILINE)

Say = Callable[[str], None]
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A server of a drill. base: a directory of its own, for all that it has. owner: its account, and superuser."""

    base: Path
    bin_directory: Path
    owner: str = "postgres"
    processes: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def server(self) -> Server:
        """The server, as those see it who ask it."""
        last_words = ("tail", "-n", "20", str(self.base / "log"))
        return Server(self.base / "data", self.bin_directory, self.owner, None, last_words)


def run(
    base: Path, kind: str, cluster: str, prove: Callable[[Record], None], now: Callable[[], float] = time.time
) -> Record:
    """Do a drill in a directory; return its record, whose `error` is None when prove() has raised nothing.

    Only what keeps a drill from beginning is raised.
    """
    begun = now()
    record: Record = {
        "kind": kind,
        "cluster": cluster,
        "host": socket.gethostname(),
        "begun": round(begun, 3),
        "proven": None,
        "error": None,
        "steps": {},
    }
    with _restore.alone(base):
        clean(base)
        try:
            prove(record)
            record["proven"] = round(begun, 3)  # what it held was as old as this
        except (StewardError, OSError) as error:
            record["error"] = str(error)
        finally:
            clean(base)
    record["removed"] = not base.exists()
    record["seconds"] = round(now() - begun, 2)
    return record


def clean(base: Path) -> bool:
    """Stop the server of a drill and remove its directory; tell whether there was one. A directory of anybody else is left alone."""
    if not base.exists():
        return False
    if _restore.beside_mark(base) is None and any(base.iterdir()):
        raise StewardError(f"{base} was not made by a drill: it is left alone; name another directory")
    if not _postmaster.stop(base / "data", signal.SIGQUIT, 10.0):
        _postmaster.stop(base / "data", signal.SIGKILL, 10.0)
    return _restore.remove_beside(base)


def clean_up(base: Path, say: Say) -> None:
    """Remove what a drill that was killed has left. Nobody is kept away where there is nothing to remove."""
    if base.exists() or _restore.lock_of(base).exists():
        with _restore.alone(base):
            if clean(base):
                say("removed what a drill had left")


@contextmanager
def step(record: Record, name: str, say: Say, about: str = "") -> Iterator[dict[str, Any]]:
    """Give what is to be noted of a step, with its seconds, also when it fails. A step that is done for several things adds up."""
    begun = time.monotonic()
    note: dict[str, Any] = record["steps"].setdefault(name, {})
    before = note.get("seconds", 0.0)
    note["done"] = False
    try:
        yield note
        note["done"] = True
    finally:
        took = time.monotonic() - begun
        note["seconds"] = round(before + took, 2)
        say(f"{name}{about}: {took:.2f} s")


def as_owner(owner: str, work: Callable[[], Any]) -> Any:
    """Return what a function gives as the account of a server, plain data: in a child of ours where we are root. Raises its StewardError."""
    if os.geteuid() != 0:
        return work()
    reading, writing = os.pipe()
    bind = bound_to_parent(signal.SIGTERM)
    child = os.fork()
    if child == 0:
        _work(owner, work, bind, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123  # a descriptor
        text = pipe.read()
    _child, status = os.waitpid(child, 0)
    if not text:
        raise StewardError(f"what ran as {owner} did not come to its end (status {status})")
    answer = json.loads(text)
    if "error" in answer:
        raise StewardError(answer["error"])
    return answer["result"]


def _work(owner: str, work: Callable[[], Any], bind: Callable[[], None], writing: int) -> NoReturn:
    """Be the child: another account, whose end is not that of the parent's program."""
    try:
        account = pwd.getpwnam(owner)
        os.initgroups(owner, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        os.environ["HOME"] = account.pw_dir
        bind()
        try:
            answer = {"result": work()}
        except StewardError as error:
            answer = {"error": str(error)}
        with open(writing, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        os._exit(0)
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(1)


# The server: a child of ours, so that it ends with us


@contextmanager
def running(scratch: Scratch) -> Iterator[Callable[[], bool]]:
    """Run the server; give what tells whether it still does. At the end it has shut down."""
    server = scratch.server
    command = _beside.furnish(server, scratch.base, PORT, scratch.settings)
    with (scratch.base / "log").open("ab") as log:
        process = _start(command, scratch.owner, log)
        try:
            yield lambda: process.poll() is None
            process.send_signal(signal.SIGINT)
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            raise StewardError(
                f"the restored server does not shut down within {STOP_LIMIT:.0f} s: {server.words()}"
            ) from None
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
                _last(process)


def _start(command: Sequence[str], owner: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    become: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(owner)
        become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        return subprocess.Popen(
            list(command),
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=bound_to_parent(signal.SIGQUIT),
            **become,
        )
    except OSError as error:
        raise StewardError(f"{command[0]} cannot be run: {error}") from None


def _last(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# Reading


def amcheck(scratch: Scratch, database: str | None = None) -> dict[str, Any]:
    """Have every table and index of a database, or of all, checked; raises StewardError with what is damaged."""
    program = scratch.bin_directory / "pg_amcheck"
    if not program.exists():
        return {"skipped": "there is no pg_amcheck before PostgreSQL 14"}
    outcome = as_account(
        scratch.owner,
        [
            "env",
            "PGOPTIONS=-c search_path=pg_catalog,pg_temp",
            str(program),
            f"--database={identifier(database)}"
            if database
            else "--all",  # a pattern, in which quotes make a name of it
            "--install-missing=pg_catalog",
            f"--jobs={scratch.processes}",
            *("-h", str(scratch.base / "socket"), "-p", str(PORT), "-U", scratch.owner, "--no-password"),
        ],
        CHECK_LIMIT,
    )
    if outcome.returncode:
        lines = [line.strip() for line in f"{outcome.stdout}\n{outcome.stderr}".splitlines() if line.strip()]
        raise StewardError(f"pg_amcheck finds damage: {' / '.join(lines[:KEPT_LINES])}")
    return {"damaged": 0}


def checksums(server: Server) -> dict[str, Any]:
    """Have the checksum of every page compared, on the server that has shut down; raises StewardError for pages that are wrong."""
    command = [str(server.bin_directory / "pg_checksums"), "--check", "-D", str(server.data_directory)]
    outcome = as_account(server.owner, command, CHECK_LIMIT)
    if "checksums are not enabled" in outcome.stderr:
        return {"skipped": "the cluster has no data checksums"}
    found = _BAD_CHECKSUMS.search(outcome.stdout)
    if outcome.returncode or found is None or int(found[1]):
        wrong = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
        raise StewardError(f"pages with wrong checksums: {' / '.join(wrong[:KEPT_LINES]) or outcome.stdout}")
    return {"bad": 0}
