# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dumps that are written to this host before they are sent: a directory is, because several tables are written at a time.

What was staged stays until every store has it, so that a run that was killed, or a store that was away, costs no new dump: the next run
sends the rest. Files are encrypted on this host before they are sent, so what is sent again is what was sent before.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_crypt as crypt
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import CHUNK, digest_of

MANIFEST, SENT = "manifest.json", "sent.jsonl"
DATA, BESIDE = "data", "beside"
TABLE_OF_CONTENTS = "toc.dat"  # without it a directory is no archive, so it is sent last
WORKERS = 4


class Staged:
    """A dump below the staging directory."""

    def __init__(self, directory: Path, lock: int | None = None) -> None:
        self.directory, self._lock = directory, lock
        self.data = directory / DATA

    def complete(self, manifest: Manifest, beside: Sequence[tuple[str, str, bytes]]) -> None:
        """Have the dump ready to be sent: from now on it outlives this run. beside: ending, part and content of the small files."""
        (self.directory / BESIDE).mkdir()
        for ending, part, data in beside:
            (self.directory / BESIDE / f"{part}{ending}").write_bytes(data)
        partial = self.directory / f".{MANIFEST}"
        partial.write_text(manifest.as_text(), encoding="utf-8")
        partial.replace(self.directory / MANIFEST)

    @property
    def manifest(self) -> Manifest:
        """What is known of the dump; without files, which every store has in its own form."""
        held = (self.directory / MANIFEST).read_text(encoding="utf-8")
        stated = json.loads(held)
        return manifests.parse(held, f"{names.folder(stated['database'])}/{stated['name']}{names.MANIFEST}")

    def files(self) -> list[tuple[str, str, Path]]:
        """Return ending, part and path of all files, the table of contents last."""
        paths = sorted(
            (path for path in self.data.iterdir() if path.is_file()), key=lambda path: (-path.stat().st_size, path.name)
        )
        inside = [path for path in paths if path.name != TABLE_OF_CONTENTS]
        inside += [path for path in paths if path.name == TABLE_OF_CONTENTS]
        beside = [
            (f".{path.name.partition('.')[2]}", path.name.partition(".")[0], path)
            for path in sorted((self.directory / BESIDE).iterdir())
            if not path.name.endswith(names.ENCRYPTED)
        ]
        data = [(f"/{path.name}", manifests.DUMP, path) for path in inside if not path.name.endswith(names.ENCRYPTED)]
        return [*beside, *data]

    def send(self, target: Target) -> tuple[Manifest | None, str | None]:
        """Send what a store has not got yet; return the manifest, or why it could not be done."""
        try:
            return self._send(target), None
        except StewardError as error:
            return None, str(error)
        except OSError as error:
            return None, f"{error.filename or self.directory}: {error.strerror}"

    def _send(self, target: Target) -> Manifest:
        manifest, sent = self.manifest, self._sent(target)
        key = manifest.key("")
        there = {item.key: item.size for item in target.store.items(key)}
        if key + names.MANIFEST + target.suffix in there and len(sent) == len(self.files()):
            return replace(manifest, files=tuple(sent.values()))
        waiting = [
            (ending, part, path)
            for ending, part, path in self.files()
            if ending not in sent or there.get(key + sent[ending].ending) != sent[ending].size
        ]
        last = [one for one in waiting if one[0] == f"/{TABLE_OF_CONTENTS}"]
        with ThreadPoolExecutor(WORKERS) as pool:
            first = [one for one in waiting if one not in last]
            try:
                for (ending, _part, _path), file in zip(
                    first, pool.map(lambda one: self._send_file(target, key, *one), first), strict=True
                ):
                    sent[ending] = self._note(target, ending, file)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        for ending, part, path in last:
            sent[ending] = self._note(target, ending, self._send_file(target, key, ending, part, path))
        whole = replace(manifest, files=tuple(sent[ending] for ending, _part, _path in self.files()))
        target.put(key, names.MANIFEST, "manifest", whole.as_text().encode())
        return whole

    def _send_file(self, target: Target, key: str, ending: str, part: str, path: Path) -> File:
        if not target.keys:
            stored = target.store.upload(key + ending, path)
            return File(ending, part, stored.size, stored.sha256, stored.verified)
        sealed = self._sealed(target, path)
        stored = target.store.upload(key + ending + names.ENCRYPTED, sealed)
        file = File(
            ending + names.ENCRYPTED,
            part,
            stored.size,
            stored.sha256,
            stored.verified,
            path.stat().st_size,
            digest_of(path),
        )
        sealed.unlink()
        return file

    def _sealed(self, target: Target, path: Path) -> Path:
        """Return a file encrypted for a store; one that an earlier run has made is taken as it is, so that its upload can go on."""
        sealed = path.with_name(f"{path.name}.{target.keys[0].id}{names.ENCRYPTED}")
        if sealed.exists():
            return sealed
        partial, encryptor = sealed.with_name(f".{sealed.name}"), crypt.Encryptor(target.keys[0])
        with path.open("rb") as plain, partial.open("wb") as out:
            while data := plain.read(CHUNK):
                out.write(encryptor.update(data))
            out.write(encryptor.finish())
        partial.replace(sealed)
        return sealed

    def _note(self, target: Target, ending: str, file: File) -> File:
        """Remember that a store has a file."""
        line = json.dumps({"store": target.name, "of": ending, **asdict(file)})
        with (self.directory / SENT).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        return file

    def _sent(self, target: Target) -> dict[str, File]:
        """Return the files that a store has, by their ending before encryption."""
        found: dict[str, File] = {}
        path = self.directory / SENT
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            with contextlib.suppress(ValueError, TypeError, KeyError):  # the last line of a run that was killed
                held = json.loads(line)
                if held.pop("store") == target.name:
                    found[held.pop("of")] = File(**held)
        return found

    def forget(self, unless_waiting: Sequence[str] = ()) -> None:
        """Remove the files, unless stores wait for them."""
        if not unless_waiting:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def new(staging: Path, database: str, name: str) -> Iterator[Staged]:
    """Give a place for a dump to be written to; when that fails, nothing is left."""
    directory = staging / names.folder(database) / name
    directory.mkdir(mode=0o700, parents=True)
    staged = Staged(directory, _locked(directory))
    try:
        yield staged
    except BaseException:
        staged.forget()
        raise


def waiting(staging: Path, databases: Sequence[str] | None = None) -> Iterator[Staged]:
    """Yield the dumps that earlier runs have staged and not sent whole, oldest first; remove those that were not even written whole."""
    for directory in sorted(staging.glob("*/backup_*"), key=lambda path: path.name):
        if databases is not None and names.unfolded(directory.parent.name) not in databases:
            continue
        lock = _locked(directory)
        if lock is None:
            continue
        staged = Staged(directory, lock)
        if (directory / MANIFEST).exists():
            yield staged
        else:
            staged.forget()


def _locked(directory: Path) -> int | None:
    """Return what holds the directory for this run, None where another has it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
