# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a dump on this host, as pg_restore and psql read them: proven to be what was written before anything reads them."""

from __future__ import annotations

import gzip
import hashlib
import signal
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_crypt as crypt
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils._children import bound_to_parent
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_process import zstd_program
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import (
    CHUNK,
    LocalStore,
    free_below,
    readable_size,
    room_finding,
)

WORKERS = 4


@dataclass(frozen=True)
class Fetched:
    """A dump on this host. path: the file, or the directory of an archive."""

    manifest: Manifest
    path: Path

    def sql(self) -> Iterator[bytes]:
        """Yield the statements of a plain dump."""
        return unpacked(self.path)


def fetch(target: Target, manifest: Manifest, private: Path) -> Fetched:
    """Return a dump as files of this host: in place where they are here and plain, in a private directory otherwise.

    Every file is read and compared with the manifest. Raises StewardError when one is not what was written, or there is no room.
    """
    files = manifest.of(manifests.DUMP)
    if not files:
        raise StewardError(f"{manifest.database}/{manifest.name} has no files: it is no dump")
    here = isinstance(target.store, LocalStore) and not manifest.encrypted
    if not here:
        needed = total(files)
        finding = room_finding(
            needed, free_below(private), str(private.parent), f"{manifest.name}, which is brought here first,"
        )
        if finding:
            raise StewardError(finding)
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(_prove if here else _bring, target, manifest, file, private) for file in files]
        try:
            paths = [job.result() for job in jobs]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    directory = manifest.dump_format == names.DIRECTORY
    return Fetched(manifest, paths[0].parent if directory else paths[0])


def fetch_part(target: Target, manifest: Manifest, part: str) -> bytes | None:
    """Return the content of a small file of a dump, proven and unpacked; None where the dump has none."""
    files = manifest.of(part)
    if not files:
        return None
    digest, held = hashlib.sha256(), []
    for data in _decrypted(target, manifest, files[0], digest):
        held.append(data)
    _refuse_damaged(manifest, files[0], digest.hexdigest())
    try:
        return gzip.decompress(b"".join(held))
    except (OSError, EOFError, zlib.error) as error:
        raise StewardError(f"{manifest.key(files[0].ending)} cannot be unpacked: {error}") from None


def _prove(target: Target, manifest: Manifest, file: File, _private: Path) -> Path:
    """Read a file of a directory store where it is."""
    assert isinstance(target.store, LocalStore)  # noqa: S101  # fetch() looked
    digest, key = hashlib.sha256(), manifest.key(file.ending)
    for data in target.store.chunks(key):
        digest.update(data)
    _refuse_damaged(manifest, file, digest.hexdigest())
    return target.store.path(key)


def _bring(target: Target, manifest: Manifest, file: File, private: Path) -> Path:
    """Copy a file to the private directory, decrypted."""
    path = private / f"{manifest.name}{file.ending.removesuffix(names.ENCRYPTED)}"
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("wb") as out:
            for data in _decrypted(target, manifest, file, digest):
                out.write(data)
    except OSError as error:
        raise StewardError(
            f"{manifest.key(file.ending)} cannot be brought to {private.parent} ({readable_size(free_below(private))} free): {error.strerror}"
        ) from None
    _refuse_damaged(manifest, file, digest.hexdigest())
    return path


def _decrypted(target: Target, manifest: Manifest, file: File, digest: hashlib._Hash) -> Iterator[bytes]:
    """Yield the plain bytes of a file; digest gets those that the store has."""
    key = manifest.key(file.ending)

    def stored() -> Iterator[bytes]:
        for data in target.store.chunks(key):
            digest.update(data)
            yield data

    return crypt.decrypted(stored(), target.keys, key) if file.encrypted else stored()


def _refuse_damaged(manifest: Manifest, file: File, digest: str) -> None:
    if digest != file.sha256:
        raise StewardError(
            f"{manifest.key(file.ending)} is damaged: its SHA-256 is {digest[:12]}…, and was {file.sha256[:12]}…; nothing was restored from it"
        )


def unpacked(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file that is compressed as its name says."""
    if path.suffix == ".zst":
        yield from _unpacked_zstd(path)
        return
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            while data := stream.read(CHUNK):
                yield data
    except (OSError, EOFError, zlib.error) as error:
        raise StewardError(f"{path.name} cannot be unpacked: {error}") from None


def _unpacked_zstd(path: Path) -> Iterator[bytes]:
    program = zstd_program()
    if program is None:
        raise StewardError(f"{path.name} is compressed with zstd, and this host has no program for it: install zstd")
    with subprocess.Popen(
        [program, "--decompress", "--stdout", "--quiet", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=bound_to_parent(signal.SIGTERM),
    ) as process:
        assert process.stdout is not None  # noqa: S101  # PIPE
        while data := process.stdout.read(CHUNK):
            yield data
    if process.returncode:
        raise StewardError(f"{path.name} cannot be unpacked by zstd")


def total(files: Sequence[File]) -> int:
    """Return the bytes of files before encryption."""
    return sum(file.plain_size if file.plain_size is not None else file.size for file in files)
