# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where dumps are kept: what every store can do, and the one that is a directory of this host.

A file is there whole or not at all: it has its name only once all of it is written. Keys are paths with slashes, below the store's own place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

CHUNK = 1 << 20  # bytes
DIRECTORY_MODE, FILE_MODE = 0o750, 0o640
PARTIAL = ".partial"
ORPHAN_AGE = timedelta(hours=24)


@dataclass(frozen=True)
class Item:
    """A file of a store."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Stored:
    """A file that was put into a store whole. verified: how it is known that the store has what was sent."""

    key: str
    size: int
    sha256: str
    verified: str


@dataclass(frozen=True)
class Features:
    """What a store does by itself against loss. notes: what it does not, as sentences."""

    versioning: str | None = None
    object_lock: str | None = None
    notes: tuple[str, ...] = ()


class Sink(Protocol):
    """Takes the bytes of one file. Until finish() the store shows nothing of it, and abort() leaves nothing."""

    def write(self, data: bytes) -> None: ...

    def finish(self) -> Stored: ...

    def abort(self) -> None: ...


class Store(Protocol):
    """A place for files. Every method raises StewardError, in one line that names the store."""

    def __str__(self) -> str: ...

    def features(self, dry: bool = False) -> Features:
        """Make sure that files can be written and read, and return what the store does by itself. dry: without trying to write."""
        ...

    def items(self, prefix: str = "") -> list[Item]:
        """Return the files whose keys begin so, by key."""
        ...

    def sink(self, key: str, expected: int = 0) -> Sink:
        """Return what takes a new file. expected: about how many bytes it will have."""
        ...

    def upload(self, key: str, path: Path) -> Stored:
        """Put a file of this host into the store. What an upload that was cut short has brought there is not sent again."""
        ...

    def chunks(self, key: str, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file from an offset on."""
        ...

    def remove(self, key: str) -> None:
        """Remove a file; one that is not there is fine."""
        ...

    def sweep(self, prefix: str = "", age: timedelta = ORPHAN_AGE) -> list[str]:
        """Remove what writers that died have left; return the keys."""
        ...

    def free(self) -> int | None:
        """Return the bytes that are free, None where nobody can say."""
        ...


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def readable_size(count: int) -> str:
    """Return a number of bytes for people."""
    for unit, factor in (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def room_finding(needed: int, free: int | None, place: str, what: str) -> str | None:
    """Return why bytes do not fit somewhere, None when they do or nobody can say."""
    if free is None or free >= needed:
        return None
    return f"not enough space: {what} takes up to {readable_size(needed)}, and {place} has {readable_size(free)} free; make room, then run again"


def free_below(path: Path) -> int:
    """Return the free bytes of the file system that a path is on, or will be."""
    return shutil.disk_usage(next(parent for parent in (path, *path.parents) if parent.exists())).free


class LocalStore:
    """A directory of this host."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def features(self, dry: bool = False) -> Features:
        with _told(self.root):
            if not dry:
                _make(self.root)
            place = next(path for path in (self.root, *self.root.parents) if path.exists())
        if not place.is_dir() or not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            raise StewardError(f"{self.root} cannot be written by this account: give it the directory")
        return Features()

    def items(self, prefix: str = "") -> list[Item]:
        start = self.root / prefix.rpartition("/")[0]
        found = []
        with _told(self.root):
            for parent, directories, names in os.walk(start, onerror=_raise_unless_absent):
                directories[:] = [name for name in directories if not name.startswith(".")]
                for name in names:
                    path = Path(parent) / name
                    key = path.relative_to(self.root).as_posix()
                    if not name.startswith(".") and key.startswith(prefix):
                        status = path.stat()
                        found.append(Item(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
        return sorted(found, key=lambda item: item.key)

    def sink(self, key: str, expected: int = 0) -> Sink:
        with _told(self.root):
            return _LocalSink(self, key)

    def upload(self, key: str, path: Path) -> Stored:
        sink = self.sink(key)
        try:
            with _told(path), path.open("rb") as stream:
                while data := stream.read(CHUNK):
                    sink.write(data)
        except BaseException:
            sink.abort()
            raise
        return sink.finish()

    def chunks(self, key: str, offset: int = 0) -> Iterator[bytes]:
        with _told(self.root), self.path(key).open("rb") as stream:
            stream.seek(offset)
            while data := stream.read(CHUNK):
                yield data

    def remove(self, key: str) -> None:
        path = self.path(key)
        with _told(self.root):
            path.unlink(missing_ok=True)
            for parent in path.parents[: len(Path(key).parts) - 1]:
                with contextlib.suppress(OSError):  # not empty, or gone already
                    parent.rmdir()

    def sweep(self, prefix: str = "", age: timedelta = ORPHAN_AGE) -> list[str]:
        """Remove what is only partly written and locked by nobody; a writer that lives holds a lock, so age does not matter."""
        found = []
        for path in sorted(self.root.rglob(f".*{PARTIAL}")):
            key = path.with_name(path.name[1:].removesuffix(PARTIAL)).relative_to(self.root).as_posix()
            if key.startswith(prefix) and _abandoned(path):
                with _told(self.root):
                    path.unlink(missing_ok=True)
                found.append(key)
        return found

    def free(self) -> int | None:
        return free_below(self.root)

    def path(self, key: str) -> Path:
        """Return where a file is."""
        parts = key.split("/")
        if not all(parts) or {".", ".."} & set(parts):
            raise StewardError(f"{key!r} leaves the store {self.root}")
        return self.root.joinpath(*parts)


class _LocalSink:
    def __init__(self, store: LocalStore, key: str) -> None:
        self._store, self._key, self._path = store, key, store.path(key)
        _make(self._path.parent)
        self._partial = self._path.with_name(f".{self._path.name}{PARTIAL}")
        self._stream = self._create()
        self._digest, self._size = hashlib.sha256(), 0

    def _create(self) -> BinaryIO:
        descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StewardError(f"{self._path} is being written by another run") from None
        os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, "wb", buffering=0)

    def write(self, data: bytes) -> None:
        with _told(self._store.root):
            view = memoryview(data)
            while view:
                view = view[self._stream.write(view) :]
        self._digest.update(data)
        self._size += len(data)

    def finish(self) -> Stored:
        with _told(self._store.root):
            os.fsync(self._stream.fileno())
            self._partial.replace(self._path)
            self._stream.close()
            descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            size = self._path.stat().st_size
        if size != self._size:
            self._path.unlink()
            raise StewardError(f"{self._path} has {size} bytes and was sent {self._size}: look at that file system")
        return Stored(self._key, self._size, self._digest.hexdigest(), "size, on disk")

    def abort(self) -> None:
        self._partial.unlink(missing_ok=True)
        self._stream.close()
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()


def _abandoned(path: Path) -> bool:
    """Say whether nobody writes a file: who does holds a lock on it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _make(path: Path) -> None:
    for missing in reversed([one for one in (path, *path.parents) if not one.exists()]):
        missing.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def _raise_unless_absent(error: OSError) -> None:
    if error.errno != errno.ENOENT:
        raise error


@contextmanager
def _told(root: Path) -> Iterator[None]:
    """Turn an error of the system into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StewardError(
                f"no space is left in {root} ({readable_size(free_below(root))} free): make room"
            ) from None
        raise StewardError(f"{error.filename or root}: {error.strerror}") from None
