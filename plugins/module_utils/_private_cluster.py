# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A PostgreSQL server of our own for a while: in a private directory, on a socket in it, no longer alive than this process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._children import bound_to_parent
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

# Short, because the path of a socket ends at 107 bytes, and open to the server's account, which Ansible's directories are not.
BASE = Path("/tmp")  # noqa: S108  # only directories with random names and mode 0700 are made in it
PREFIX = "pgsteward_scratch_"
STEP_LIMIT = 60.0  # seconds that initdb, the start and the stop may take each
PORT = 5432  # only names the socket

# Quick, private, and of no consequence. Shared memory is mapped from the data directory, so that it goes with it.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "huge_pages": "off",
    "max_connections": "40",
    "max_parallel_maintenance_workers": "0",
    "log_min_error_statement": "panic",  # a statement may hold a password
}


# The server's programs


def find_binaries(major: int, bindir: str | None = None) -> Path:
    """Return the directory with the server's programs of a major version; raises StewardError when there is none."""
    if bindir is not None:
        found = _server_major(Path(bindir))
        if found != major:
            has = f"PostgreSQL {found}" if found else "no server"
            raise StewardError(
                f"{bindir} has {has}, and the live server is PostgreSQL {major}: name that one's programs"
            )
        return Path(bindir)
    for directory in _usual_directories(major):
        if _server_major(directory) == major:
            return directory
    raise StewardError(
        f"there are no server binaries of PostgreSQL {major} on this host: install postgresql-{major}, or choose"
        " scratch: database with scratch_url"
    )


def _usual_directories(major: int) -> Iterator[Path]:
    yield Path(f"/usr/lib/postgresql/{major}/bin")
    yield Path(f"/usr/pgsql-{major}/bin")
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        yield Path(subprocess.check_output(["pg_config", "--bindir"], text=True, timeout=STEP_LIMIT).strip())


def _server_major(directory: Path) -> int | None:
    """Return the major version of the server whose programs are in a directory, None when it is not there whole."""
    try:
        text = subprocess.check_output([directory / "postgres", "--version"], text=True, timeout=STEP_LIMIT)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\) (\d+)", text)
    return int(version[1]) if version and (directory / "initdb").exists() else None


# The cluster


@contextmanager
def private_cluster(binaries: Path, user: str, settings: Mapping[str, str]) -> Iterator[Place]:
    """Give a new cluster whose superuser is user, with a random password; the place leads to its template1.

    settings go beside those that make it quick and private. Raises StewardError with the server's last words.
    """
    remove_leftovers()
    account = _account()
    with _directory() as directory, tempfile.TemporaryFile() as log:
        programs = _Programs(binaries, directory, account, log)
        place = Place("template1", str(directory), PORT, user, secrets.token_urlsafe(24))
        programs.initdb(place)
        process = programs.start({**_SETTINGS, **settings, "unix_socket_directories": str(directory)})
        try:
            _await_start(process, place, log)
            yield place
        finally:
            process.send_signal(signal.SIGQUIT)  # the immediate shutdown
            _await_end(process)


@dataclass(frozen=True)
class _Programs:
    """How to run the server's programs. account: whose they run as, None for our own."""

    binaries: Path
    directory: Path
    account: pwd.struct_passwd | None
    log: IO[bytes]

    def initdb(self, place: Place) -> None:
        """Make the data directory."""
        password = self.directory / "password"
        password.write_text(f"{place.password}\n")
        if self.account:
            # The last time that we write there: an account could put a link in our way.
            for path in (password, self.directory):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", f"--username={place.user}"]
        process = self._run("initdb", [f"--pgdata={self.directory}/data", f"--pwfile={password}", *options])
        if _await_end(process):
            raise StewardError(f"initdb cannot make a private cluster: {_last_words(self.log)}")
        password.unlink()

    def start(self, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the server."""
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self._run("postgres", ["-D", f"{self.directory}/data", *options])

    def _run(self, program: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        become: dict[str, Any] = {}
        if self.account:
            become = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        try:
            return subprocess.Popen(
                [self.binaries / program, *arguments],
                cwd=self.directory,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt from the terminal is for us
                preexec_fn=bound_to_parent(signal.SIGQUIT),
                **become,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StewardError(f"{self.binaries / program} cannot be run: {error}") from None


def _account() -> pwd.struct_passwd | None:
    """Return the account for the server: None for our own, another where that is root, which the server refuses."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise StewardError("a private cluster cannot run as root, and there is no account postgres or nobody: make one")


def _await_start(process: subprocess.Popen[bytes], place: Place, log: IO[bytes]) -> None:
    limit = time.monotonic() + STEP_LIMIT
    while True:
        try:
            connect(place, "pgsteward scratch").close()
        except StewardError as error:
            if process.poll() is not None or time.monotonic() > limit:
                raise StewardError(f"the private cluster does not start: {_last_words(log) or error}") from None
            time.sleep(0.01)
        else:
            return


def _await_end(process: subprocess.Popen[bytes]) -> int:
    """Return the exit status of a process; one that does not end in time is killed."""
    try:
        return process.wait(STEP_LIMIT)
    except BaseException as error:
        process.kill()
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return -signal.SIGKILL
        raise


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])


# Its directory: locked by whoever uses it, so one without a lock is a leftover


@contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=BASE))
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        directory = directory.rename(BASE / directory.name[1:])  # from now on others see it
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def remove_leftovers() -> None:
    """Remove the directories of runs that were killed; those of others are left alone where we have no right to them."""
    for directory in BASE.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(lock)
