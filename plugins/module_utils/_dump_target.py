# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A store as options name it, with the key that files are encrypted with before they go there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_crypt as crypt
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import LocalStore, Store
from ansible_collections.pgsteward.postgres.plugins.module_utils._store_s3 import LOCK_MODES, SSE_MODES, Bucket, S3Store

# Suboptions of `store`, and the keys of a store in the configuration of the commands.
OPTIONS: dict[str, dict[str, Any]] = {
    "path": {"type": "path"},
    "bucket": {"type": "str"},
    "prefix": {"type": "str", "default": ""},
    "endpoint": {"type": "str"},
    "region": {"type": "str"},
    "access_key": {"type": "str"},
    "secret_key": {"type": "str", "no_log": True},
    "ca_cert": {"type": "path"},
    "path_style": {"type": "bool", "default": True},
    "server_side_encryption": {"type": "str", "choices": list(SSE_MODES)},
    "kms_key_id": {"type": "str"},
    "lock_mode": {"type": "str", "choices": list(LOCK_MODES)},
    "lock_days": {"type": "int", "default": 0},
    "encryption_key_file": {"type": "path", "no_log": False},
}
ARGUMENT: dict[str, Any] = {"type": "dict", "required": True, "options": OPTIONS}
_OF_BUCKETS = frozenset(OPTIONS) - {"path", "encryption_key_file"}


@dataclass(frozen=True)
class Target:
    """A store, what people call it, and the keys: the first encrypts, none leaves files as they are."""

    name: str
    store: Store
    keys: tuple[crypt.Key, ...] = ()

    @property
    def suffix(self) -> str:
        """What keys of new files end with."""
        return names.ENCRYPTED if self.keys else ""

    def plain(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of a file as they were before encryption."""
        chunks = self.store.chunks(key)
        return crypt.decrypted(chunks, self.keys, key) if key.endswith(names.ENCRYPTED) else chunks

    def put(self, key: str, ending: str, part: str, data: bytes) -> File:
        """Write a small file whole; key is that of the dump without an ending."""
        writing = self.writing(key, ending, part)
        try:
            writing.write(data)
            return writing.finish()
        except BaseException:
            writing.abort()
            raise

    def writing(self, key: str, ending: str, part: str, expected: int = 0) -> Writing:
        """Return what takes the bytes of a file."""
        return Writing(self, key, ending, part, expected)


class Writing:
    """One file on its way into a store, through encryption where there is a key."""

    def __init__(self, target: Target, key: str, ending: str, part: str, expected: int = 0) -> None:
        self._ending, self._part = ending + target.suffix, part
        self._sink = target.store.sink(key + self._ending, expected)
        self._encryptor = crypt.Encryptor(target.keys[0]) if target.keys else None
        self._digest, self._size = hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._encryptor is None:
            self._sink.write(data)
            return
        self._digest.update(data)
        self._size += len(data)
        self._sink.write(self._encryptor.update(data))

    def finish(self) -> File:
        """Have the file in the store, whole and verified."""
        if self._encryptor is None:
            stored = self._sink.finish()
            return File(self._ending, self._part, stored.size, stored.sha256, stored.verified)
        self._sink.write(self._encryptor.finish())
        stored = self._sink.finish()
        plain = (self._size, self._digest.hexdigest())
        return File(self._ending, self._part, stored.size, stored.sha256, stored.verified, *plain)

    def abort(self) -> None:
        """Leave nothing."""
        self._sink.abort()


class StoreMaker(Protocol):
    """Makes a store of a bucket; tests have their own."""

    def __call__(self, bucket: Bucket) -> Store: ...


def findings(given: Mapping[str, Any], name: str = "store") -> list[str]:
    """Return what is wrong with the options of a store; name is what the options call it."""
    unknown = sorted(set(given) - set(OPTIONS) - {"name", "retention"})
    if unknown:
        return [f"{name} has {unknown[0]}, which there is not: there are {', '.join(OPTIONS)}"]
    path, bucket = given.get("path"), given.get("bucket")
    if bool(path) == bool(bucket):
        return [f"{name}: give either path, a directory, or bucket"]
    if path:
        of_buckets = sorted(
            key for key in _OF_BUCKETS if given.get(key) and given.get(key) != OPTIONS[key].get("default")
        )
        found = [f"{name} has {of_buckets[0]}, which is of buckets, beside path"] if of_buckets else []
        return found + ([] if Path(path).is_absolute() else [f"{name}: path {path} has to be absolute"])
    return _bucket_findings(given, name)


def _bucket_findings(given: Mapping[str, Any], name: str) -> list[str]:
    found = []
    if bool(given.get("access_key")) != bool(given.get("secret_key")):
        lacking = "secret_key" if given.get("access_key") else "access_key"
        found.append(
            f"{name}: {lacking} is missing; the two go together, and without both boto3 looks where it always does"
        )
    if given.get("endpoint") and not str(given["endpoint"]).startswith(("https://", "http://")):
        found.append(f"{name}: endpoint {given['endpoint']} has to begin with https://")
    for option, known in (("server_side_encryption", SSE_MODES), ("lock_mode", LOCK_MODES)):
        if given.get(option) and given[option] not in known:
            found.append(f"{name}: {option} {given[option]} is none of {', '.join(known)}")
    if bool(given.get("lock_mode")) != bool(given.get("lock_days")):
        found.append(f"{name}: lock_mode and lock_days go together")
    if given.get("kms_key_id") and given.get("server_side_encryption") != "aws:kms":
        found.append(f"{name}: kms_key_id goes with server_side_encryption aws:kms")
    if "/" in str(given["bucket"]):
        found.append(f"{name}: bucket {given['bucket']} is a name; what follows the first / is the prefix")
    return found


def target_of(given: Mapping[str, Any], name: str = "store", make: StoreMaker = S3Store) -> Target:
    """Return the store that options name. Raises StewardError for wrong options and for a key file that cannot be used."""
    wrong = findings(given, name)
    if wrong:
        raise StewardError(wrong[0])
    keys = crypt.read_keys(Path(given["encryption_key_file"])) if given.get("encryption_key_file") else ()
    if given.get("path"):
        local = LocalStore(Path(given["path"]))
        return Target(str(given.get("name") or local), local, keys)
    store = make(bucket_of(given))
    return Target(str(given.get("name") or store), store, keys)


def bucket_of(given: Mapping[str, Any]) -> Bucket:
    """Return the bucket that options name."""
    path_style = given.get("path_style")
    return Bucket(
        name=str(given["bucket"]),
        prefix=str(given.get("prefix") or "").strip("/"),
        endpoint=given.get("endpoint"),
        region=given.get("region"),
        access_key=given.get("access_key"),
        secret_key=given.get("secret_key"),
        ca=given.get("ca_cert"),
        path_style=True if path_style is None else bool(path_style),
        server_side_encryption=given.get("server_side_encryption"),
        kms_key_id=given.get("kms_key_id"),
        lock_mode=given.get("lock_mode"),
        lock_days=int(given.get("lock_days") or 0),
    )
