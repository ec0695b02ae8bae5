# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running the tools of a dump: which ones there are, what they are told beside their command line, and the bytes that go in and out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils._children import bound_to_parent, ending
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, mask, secrets_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import CHUNK

PATTERNS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")  # Debian; PGDG on RHEL
_F_SETPIPE_SZ = 1031  # linux/fcntl.h
PROGRAM_LIMIT = 30.0  # seconds for a tool to say its version

YOUNG = 5.0  # seconds
_PRIVATE = ".private-"

Take = Callable[[bytes], None]


def find_tools(server_major: int, bin_directory: Path | None = None, root: Path = Path("/")) -> plan.Tools:
    """Return the tools of this host that fit a server; raises StewardError when none do."""
    if bin_directory is not None:
        directories = [bin_directory]
    else:
        directories = sorted(path for pattern in PATTERNS for path in root.glob(pattern))
        on_path = shutil.which("pg_dump")
        directories += [Path(on_path).parent] if on_path else []
    return plan.choose([tools for directory in directories if (tools := _look(directory))], server_major)


def _look(directory: Path) -> plan.Tools | None:
    if not all(os.access(directory / program, os.X_OK) for program in plan.PROGRAMS):
        return None
    try:
        said = subprocess.run(
            [directory / "pg_dump", "--version"], capture_output=True, text=True, check=False, timeout=PROGRAM_LIMIT
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return plan.tools_of(directory, said.stdout)


@contextmanager
def private_directory(staging: Path) -> Iterator[Path]:
    """Give a directory below the staging directory for pass files and the like; what killed runs have left of theirs goes."""
    try:
        staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in staging.glob(f"{_PRIVATE}*"):
            _remove_abandoned(left)
        directory = Path(tempfile.mkdtemp(prefix=_PRIVATE, dir=staging))
    except OSError as error:
        raise StewardError(f"the staging directory {staging} cannot be used: {error.strerror}") from None
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


def _remove_abandoned(directory: Path) -> None:
    """Remove a directory whose lock nobody holds; one that is just being made is not locked yet, and young."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - directory.stat().st_mtime > YOUNG:
                shutil.rmtree(directory, ignore_errors=True)
        finally:
            os.close(descriptor)


class Programs:
    """The tools on one place: they get its password by a pass file that only this account may read."""

    def __init__(self, place: Place, private: Path, settings: Mapping[str, str] | None = None) -> None:
        self.place = place
        passfile = private / "pgpass"
        if place.password:
            passfile.touch(mode=0o600)
            passfile.write_text(plan.pass_line(place.password), encoding="utf-8")
        self.environment = plan.environment(place, os.environ, passfile, settings)

    def stream(self, command: Sequence[str], take: Take) -> tuple[str, ...]:
        """Hand the output of a tool on, piece by piece; return its warnings. Raises StewardError when it fails."""
        with tempfile.TemporaryFile() as errors, self._running(command, errors, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101  # PIPE
            _widen(process.stdout)
            while data := process.stdout.read(CHUNK):
                take(data)
            return self._ended(command, process, errors)

    def capture(self, command: Sequence[str]) -> tuple[bytes, tuple[str, ...]]:
        """Return the output of a tool, and its warnings."""
        held: list[bytes] = []
        warnings = self.stream(command, held.append)
        return b"".join(held), warnings

    def feed(self, command: Sequence[str], chunks: Iterable[bytes]) -> tuple[str, ...]:
        """Give a tool its input, piece by piece; return its warnings."""
        with tempfile.TemporaryFile() as errors, self._running(command, errors, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None  # noqa: S101  # PIPE
            _widen(process.stdin)
            with contextlib.suppress(BrokenPipeError):  # it has ended, and says why itself
                for data in chunks:
                    _write(process.stdin, data)
                process.stdin.close()
            return self._ended(command, process, errors)

    def pipe(self, source: Sequence[str], sink: Sequence[str], begin: Callable[[bytes], bytes | None]) -> None:
        """Hand what one tool prints to another. begin: turns the beginning into what is handed on, None while that is too short."""
        with tempfile.TemporaryFile() as errors, self._running(source, errors, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101  # PIPE
            _widen(process.stdout)
            output = process.stdout

            def chunks() -> Iterator[bytes]:
                head, begun = b"", None
                while begun is None:
                    data = output.read(CHUNK)
                    if not data:  # its error, if it has one, is told below
                        return
                    head += data
                    begun = begin(head)
                yield begun
                while data := output.read(CHUNK):
                    yield data

            self.feed(sink, chunks())
            self._ended(source, process, errors)

    def _ended(self, command: Sequence[str], process: subprocess.Popen[bytes], errors: IO[bytes]) -> tuple[str, ...]:
        status = process.wait()
        errors.seek(0)
        said = mask(errors.read().decode("utf-8", "replace"), secrets_of(self.place))
        if status < 0:
            raise StewardError(f"{Path(command[0]).name}: {ending(status)}")
        if status:
            raise StewardError(plan.last_words(Path(command[0]).name, said))
        return plan.warnings_of(said)

    @contextmanager
    def _running(
        self,
        command: Sequence[str],
        errors: IO[bytes],
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a tool that ends when we do, and is ended when we fail."""
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=errors,
                cwd="/",
                env=self.environment,
                bufsize=0,
                preexec_fn=bound_to_parent(signal.SIGTERM),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StewardError(f"{command[0]} cannot be run: {error}") from None
        try:
            yield process
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PROGRAM_LIMIT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _write(pipe: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold what we read at once; the kernel may say no."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, CHUNK)


def zstd_program() -> str | None:
    """Return where zstd is, None where it is not."""
    return shutil.which("zstd")
