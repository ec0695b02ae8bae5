# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runner's process, as the module sees it: started, asked, looked at while it works, ended."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic_runner, _connection, _revisions
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project, secret_values
from ansible_collections.pgsteward.postgres.plugins.module_utils._children import bound_to_parent
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer

if TYPE_CHECKING:
    # Not imported here. Ansible ships what any import statement names.
    from ansible_collections.pgsteward.postgres.plugins.module_utils import (  # noqa: F401
        _run_downgrade,
        _run_info,
        _run_models,
        _run_revision,
        _run_staircase,
        _run_stamp,
        _run_upgrade,
        _run_validate,
    )

# The files that travel beside the runner's own: those of the actions, and what they share.
RUNNER = ("_alembic_runner", *sorted({file for file, _kind in _alembic_runner.ACTIONS.values()}))

OUTPUT_LINES = 200
OUTPUT_BYTES = 65536
TICK = 0.05  # seconds between two looks of a watch

# The alembic command line has no directory of ours on its path; actions are found by the package they stand in.
_START = """\
import sys
sys.path.insert(0, __file__.rpartition("/")[0])
from pgsteward_runner import _alembic_runner
sys.path[:] = [entry for entry in sys.path if entry != __file__.rpartition("/")[0]]
_alembic_runner.main()
"""


@dataclass(frozen=True)
class Ended:
    """What a runner's process left behind. how is empty when it ended by itself with status 0."""

    answer: Answer
    output: list[str]
    how: str


class Watch(Protocol):
    """What looks on while a runner works. An error that it raises ends the runner."""

    def fact(self, fact: Mapping[str, Any]) -> None:
        """Take what the runner reports; where that asks, the runner goes on when this has returned."""

    def tick(self) -> None:
        """Look around; called every TICK or so."""


class Runner:
    """A runner's process: it imports alembic at once, and waits for the request. It dies with this process."""

    def __init__(self, project: Project, python: str, temporary: str) -> None:
        # Both live as long as the process, until close(). The first has no name that anyone could open.
        self._output: IO[bytes] = tempfile.TemporaryFile(dir=temporary)  # noqa: SIM115
        self._sources = tempfile.TemporaryDirectory(dir=temporary, prefix="alembic_runner_")
        start = _write_sources(self._sources.name)
        # What looks like a secret goes in with the request: a process's first environment can be read from outside.
        plain = {name: value for name, value in project.environment.items() if not secret_values(name, value)}
        self._answer, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [python, start, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                cwd=project.directory,
                env={**os.environ, **plain},
                pass_fds=(theirs,),
                # Whoever holds no lock must not migrate.
                preexec_fn=bound_to_parent(signal.SIGKILL),
            )
        except (OSError, subprocess.SubprocessError) as error:
            os.close(self._answer)
            raise StewardError(f"{python} cannot be run: {getattr(error, 'strerror', error)}") from None
        finally:
            os.close(theirs)

    def ask(self, request: Mapping[str, Any], secrets: frozenset[str], watch: Watch | None = None) -> Ended:
        """Send the request, look on until the end, return the answer with all texts masked.

        A StewardError of watch ends the run, and is its failure.
        """
        received, refusal = bytearray(), None
        try:
            self._send(json.dumps(request))
            self._follow(received, watch)
            status = self._process.wait()
        except StewardError as error:
            refusal = _revisions.Failure(str(error), "", True)
            status = self._end()
        except BaseException:
            # Before any connection of ours is closed, and with it the lock that this process needs.
            self._end()
            raise
        answer = _revisions.read_answer(received.decode("utf-8", "replace"))
        answer = masked(replace(answer, running=None, failure=refusal) if refusal else answer, secrets)
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - OUTPUT_BYTES))
        output = _connection.mask(self._output.read().decode("utf-8", "replace"), secrets).splitlines()[-OUTPUT_LINES:]
        return Ended(answer, output, ending(status, output))

    def _send(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin:
            with contextlib.suppress(BrokenPipeError):  # it died before; its output tells why
                stdin.write(line.encode() + b"\n")
                stdin.flush()

    def _follow(self, received: bytearray, watch: Watch | None) -> None:
        """Collect all that the runner reports, and hand it to watch line by line."""
        taken = 0
        while True:
            if select.select([self._answer], [], [], TICK)[0]:
                chunk = os.read(self._answer, 65536)
                if not chunk:
                    break
                received += chunk
                *lines, _rest = bytes(received[taken:]).split(b"\n")
                for line in lines:
                    taken += len(line) + 1
                    self._take(line, watch)
            elif self._process.poll() is not None:  # and a child of its own still holds the pipe
                break
            if watch:
                watch.tick()

    def _take(self, line: bytes, watch: Watch | None) -> None:
        try:
            fact = json.loads(line)
        except ValueError:  # where read_answer stops as well
            return
        if watch:
            watch.fact(fact)
        if fact.get("asks"):
            self._send("go on")

    def _end(self) -> int:
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()

    def close(self) -> None:
        """End the process if it still waits for a request, and remove what belongs to it."""
        self._end()
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._answer)
        self._output.close()
        self._sources.cleanup()


def masked(answer: Answer, secrets: frozenset[str]) -> Answer:
    """Return the answer with its free texts masked; revisions and names stay as they are."""
    failure = answer.failure
    return replace(
        answer,
        failure=replace(failure, text=_connection.mask(failure.text, secrets)) if failure else None,
        notes=tuple(_connection.mask(note, secrets) for note in answer.notes),
        sql={
            revision: tuple(_connection.mask(text, secrets) for text in texts) for revision, texts in answer.sql.items()
        },
    )


def ending(status: int, output: list[str]) -> str:
    """Return how a process without an answer ended: its exit status or signal, and the last line that it wrote."""
    how = (
        f"the process was killed by signal {-status}" if status < 0 else f"the process ended with exit status {status}"
    )
    last = next((line.strip() for line in reversed(output) if line.strip()), "")
    return f"{how}, without an answer" + (f"; its last words: {last}" if last else "")


def _write_sources(directory: str) -> str:
    """Write the runner's files into a package in directory; return the path of the script that starts it.

    The sources travel with this module and may lie in an archive: their loader knows where.
    """
    package = Path(directory, "pgsteward_runner")
    package.mkdir()
    (package / "__init__.py").touch()
    home = __name__.rpartition(".")[0]
    for name in RUNNER:
        spec = importlib.util.find_spec(f"{home}.{name}")
        get_source = getattr(spec.loader if spec else None, "get_source", None)
        source = get_source(f"{home}.{name}") if get_source else None
        if source is None:
            raise StewardError("the runner's source is missing from this installation of the collection")
        (package / f"{name}.py").write_text(source, encoding="utf-8")
    start = Path(directory, "start.py")
    start.write_text(_START, encoding="utf-8")
    return str(start)
