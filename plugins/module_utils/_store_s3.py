# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The store that is a bucket of S3 or of something that speaks it, through boto3.

Files of unknown length go up in parts while they are made, so nothing is staged and nothing is seen of them before the last part is there. Each
part carries its MD5, which the store checks. Afterwards the store is asked what it has; where its answer proves nothing, the file is read back.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_names import parse_key
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import (
    CHUNK,
    ORPHAN_AGE,
    Features,
    Item,
    Sink,
    Stored,
)

MIB = 1 << 20
LEAST_PART = 16 * MIB
MOST_PARTS = 10_000  # of one file (S3 User Guide, "Amazon S3 multipart upload limits")
EVEN_PARTS = 5_000  # of the first size; from then on it doubles every thousand
WORKERS = 4
PATIENCE = 300.0  # seconds that a store may be away in the middle of a file
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
LOCK_MODES = ("GOVERNANCE", "COMPLIANCE")
SSE_MODES = ("AES256", "aws:kms")

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Bucket:
    """Where the bucket is and how to reach it. Without keys, boto3 looks where it always does. ca: file with the authorities."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    ca: str | None = None
    path_style: bool = True
    server_side_encryption: str | None = None
    kms_key_id: str | None = None
    lock_mode: str | None = None
    lock_days: int = 0

    def __str__(self) -> str:
        prefix = f"/{self.prefix}" if self.prefix else ""
        return f"s3://{self.name}{prefix}"

    @property
    def at(self) -> str:
        """Where it is, for errors."""
        return f"{self} at {self.endpoint}" if self.endpoint else str(self)


# Sizes of parts


def base_of(expected: int) -> int:
    """Return the size of the first parts of a file that has about that many bytes."""
    return max(LEAST_PART, -(-expected // EVEN_PARTS // MIB) * MIB)


def part_size(number: int, base: int) -> int:
    """Return the size of a part, counted from 1. A file that grows past all expectation gets larger parts rather than too many."""
    return base if number <= EVEN_PARTS else base << (1 + (number - EVEN_PARTS - 1) // 1000)


def slices(size: int) -> list[tuple[int, int]]:
    """Return offset and length of each part of a file, the same for the same size, so that an upload can be taken up again."""
    found: list[tuple[int, int]] = []
    base, offset = base_of(size), 0
    while offset < size:
        length = min(part_size(len(found) + 1, base), size - offset)
        found.append((offset, length))
        offset += length
    return found or [(0, 0)]


def proves(etag: str, whole: str, parts: Iterable[bytes]) -> bool:
    """Say whether an ETag is that of the bytes which were sent: their MD5, or the MD5 of the MD5s of their parts."""
    digests = list(parts)
    composite = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest() + f"-{len(digests)}"
    return etag.strip('"').lower() in (whole, composite)


# What the store says when it refuses

_CODES: Mapping[str, str] = {
    "SignatureDoesNotMatch": "refuses the secret key: check it",
    "InvalidAccessKeyId": "does not know the access key: check it",
    "AccessDenied": "does not allow that to this access key: check its policy, and the name of the bucket",
    "403": "does not allow that to this access key: check its policy, and the name of the bucket",
    "NoSuchBucket": "has no such bucket: make it first",
    "NoSuchKey": "has no such file",
    "404": "has no such file or bucket",
    "RequestTimeTooSkewed": "has another time than this host: set the clock",
    "AuthorizationHeaderMalformed": "is in another region: check the region",
    "PermanentRedirect": "is in another region: check the region and the endpoint",
    "301": "is in another region: check the region and the endpoint",
    "EntityTooLarge": "takes no files of that size",
    "QuotaExceeded": "is full: make room, or raise the quota",
    "InsufficientCapacity": "is full: make room",
    "InvalidArgument": "refuses the request: it may know neither that server_side_encryption nor object locks",
    "InvalidRequest": "refuses the request: it may know neither that server_side_encryption nor object locks",
    "KMS.NotFoundException": "has no such KMS key",
}
_PASSING = frozenset(
    {
        "500",
        "502",
        "503",
        "504",
        "429",
        "InternalError",
        "ServiceUnavailable",
        "SlowDown",
        "RequestTimeout",
        "Throttling",
    }
)


def refusal(error: Exception) -> str:
    """Return what a store or the way to it says, as a clause with the remedy."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        said = response.get("Error", {})
        code = str(said.get("Code", ""))
        words = " ".join(str(said.get("Message") or "").split())[:200]
        return _CODES.get(code) or f"answers {code}" + (f": {words}" if words else "")
    text, kind = " ".join(str(error).split()), type(error).__name__
    if "expired" in text and "certificate" in text:
        return "has a certificate that has expired: renew it"
    if kind == "SSLError" or "certificate verify failed" in text or "SSL" in text:
        return f"has a certificate that is not accepted: check ca, and the name in endpoint ({_reason(text)})"
    if kind in ("EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError", "ReadTimeoutError"):
        return "does not answer: check endpoint, and the firewall between"
    if kind in ("NoCredentialsError", "PartialCredentialsError"):
        return "wants keys: give access_key and secret_key"
    return f"cannot be used: {text[:200]}"


def _reason(text: str) -> str:
    """Return the part of OpenSSL's words that says what is wrong."""
    said = text.partition("certificate verify failed: ")[2] or text
    return said.partition(" (_ssl")[0][:120]


def is_passing(error: Exception) -> bool:
    """Say whether the same request may do a little later."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        return bool({status, str(response.get("Error", {}).get("Code", ""))} & _PASSING)
    return "SSL" not in type(error).__name__ and "certificate" not in str(error) and _is_connection(error)


def _is_connection(error: Exception) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(
        kinds
        & {
            "ConnectionError",
            "HTTPClientError",
            "EndpointConnectionError",
            "IncompleteReadError",
            "ProtocolError",
            "TimeoutError",
        }
    )


def client_of(bucket: Bucket) -> Any:
    """Return boto3's client."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise StewardError(
            f"the Python library boto3 cannot be imported by this host's interpreter: install python3-boto3 ({error})"
        ) from None
    options: dict[str, Any] = {
        "signature_version": "s3v4",
        "s3": {"addressing_style": "path" if bucket.path_style else "auto"},
        "connect_timeout": 10,
        "read_timeout": 60,
        "retries": {"mode": "standard", "max_attempts": 3},
        "max_pool_connections": WORKERS + 4,
    }
    # From 1.36 on boto3 adds checksums as trailers, which older stores refuse; every part has its MD5 anyway.
    trailers = dict.fromkeys(("request_checksum_calculation", "response_checksum_validation"), "when_required")
    try:
        config = Config(**options, **trailers)
    except TypeError:
        config = Config(**options)
    if bucket.ca and not Path(bucket.ca).is_file():
        raise StewardError(f"{bucket.at} is verified by {bucket.ca}, which is not there")
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=bucket.endpoint,
            region_name=bucket.region or "us-east-1",
            aws_access_key_id=bucket.access_key,
            aws_secret_access_key=bucket.secret_key,
            verify=bucket.ca or True,
            config=config,
        )
    except ValueError as error:
        raise StewardError(f"{bucket.at} cannot be used: {error}") from None


class S3Store:
    """A bucket, below a prefix."""

    def __init__(
        self,
        bucket: Bucket,
        client: Any = None,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bucket = bucket
        self.client = client or client_of(bucket)
        self._patience, self._sleep = patience, sleep
        self._lock: dict[str, Any] | None = None

    def __str__(self) -> str:
        return str(self.bucket)

    def full(self, key: str) -> str:
        """Return the key within the bucket."""
        return f"{self.bucket.prefix}/{key}" if self.bucket.prefix else key

    def own(self, full: str) -> str:
        """Return a key of the bucket as one of the store."""
        return full.removeprefix(f"{self.bucket.prefix}/") if self.bucket.prefix else full

    def call(self, doing: str, method: str, patient: bool = True, **arguments: Any) -> Any:
        """Return what the store answers. patient: wait for one that is away. Raises StewardError that says what was being done."""
        return self._until(doing, lambda: getattr(self.client, method)(Bucket=self.bucket.name, **arguments), patient)

    def _until(self, doing: str, action: Callable[[], Answer], patient: bool) -> Answer:
        limit, pause = time.monotonic() + self._patience, FIRST_PAUSE
        while True:
            try:
                return action()
            except StewardError:
                raise
            except Exception as error:
                if not patient or not is_passing(error) or time.monotonic() + pause > limit:
                    raise StewardError(f"{doing}: {self.bucket.at} {refusal(error)}") from None
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    # What is there

    def features(self, dry: bool = False) -> Features:
        """Look and write once, without leaving anything: an upload is begun and given up."""
        self.call("cannot list files", "list_objects_v2", patient=False, Prefix=self.full(""), MaxKeys=1)
        if not dry:
            probe = self.full(".pgsteward-write-check")
            begun = self.call(
                "cannot write", "create_multipart_upload", patient=False, Key=probe, **self._written_with()
            )
            self.call("cannot write", "abort_multipart_upload", patient=False, Key=probe, UploadId=begun["UploadId"])
        notes = []
        versioning, problem = self._ask("get_bucket_versioning", lambda said: said.get("Status"))
        if versioning != "Enabled":
            notes.append(problem or f"{self} keeps no versions: what is overwritten or deleted there is gone")
        lock, problem = self._ask("get_object_lock_configuration", _lock_of)
        self._lock = self._locked_until if lock and self.bucket.lock_mode else None
        if not lock:
            asked = ", so nothing is locked although lock_mode asks for it" if self.bucket.lock_mode else ""
            notes.append((problem or f"{self} has no object lock: whoever has its key can delete dumps") + asked)
        if self.bucket.endpoint and self.bucket.endpoint.startswith("http:"):
            notes.append(
                f"{self} is reached without TLS: whoever is on the way can read and change what is not encrypted here"
            )
        return Features(versioning, lock, tuple(notes))

    def _ask(self, method: str, read: Callable[[Any], str | None]) -> tuple[str | None, str | None]:
        """Return what a bucket says of itself, or why it does not."""
        try:
            return read(getattr(self.client, method)(Bucket=self.bucket.name)), None
        except Exception as error:
            code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
            if code in ("AccessDenied", "403"):
                return (
                    None,
                    f"{self}: its access key may not ask for {'versions' if 'versioning' in method else 'the object lock'}",
                )
            return None, None

    @property
    def _locked_until(self) -> dict[str, Any]:
        until = datetime.now(UTC) + timedelta(days=self.bucket.lock_days)
        return {"ObjectLockMode": self.bucket.lock_mode, "ObjectLockRetainUntilDate": until}

    def _written_with(self) -> dict[str, Any]:
        """Return what new files are asked to have."""
        bucket, wanted = self.bucket, dict(self._lock or {})
        if bucket.server_side_encryption:
            wanted["ServerSideEncryption"] = bucket.server_side_encryption
        if bucket.kms_key_id:
            wanted["SSEKMSKeyId"] = bucket.kms_key_id
        return wanted

    def items(self, prefix: str = "") -> list[Item]:
        found: list[Item] = []
        more: dict[str, Any] = {}
        while True:
            page = self.call("cannot list files", "list_objects_v2", Prefix=self.full(prefix), **more)
            found += [
                Item(self.own(entry["Key"]), int(entry["Size"]), entry["LastModified"])
                for entry in page.get("Contents", ())
            ]
            if not page.get("IsTruncated"):
                return sorted(found, key=lambda item: item.key)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def chunks(self, key: str, offset: int = 0) -> Iterator[bytes]:
        doing, etag, tried = f"cannot read {key}", None, 0
        while True:
            arguments: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
            if etag:
                arguments["IfMatch"] = etag  # a connection that broke goes on in the same file
            answer = self.call(doing, "get_object", Key=self.full(key), **arguments)
            etag = answer.get("ETag")
            try:
                for data in answer["Body"].iter_chunks(CHUNK):
                    offset, tried = offset + len(data), 0
                    yield data
            except StewardError:
                raise
            except Exception as error:
                tried += 1
                if tried > WORKERS or not _is_connection(error):
                    raise StewardError(f"{doing}: {self.bucket.at} {refusal(error)}") from None
                self._sleep(FIRST_PAUSE)
            else:
                return

    def remove(self, key: str) -> None:
        self.call(f"cannot remove {key}", "delete_object", Key=self.full(key))

    def sweep(self, prefix: str = "", age: timedelta = ORPHAN_AGE) -> list[str]:
        """Give up uploads of dumps that began long ago: their parts cost money, and nothing shows them."""
        before, found = datetime.now(UTC) - age, []
        for upload in self._uploads(prefix):
            key = self.own(upload["Key"])
            if parse_key(key) and upload["Initiated"] <= before:
                self.call(
                    f"cannot give up {key}", "abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"]
                )
                found.append(key)
        return found

    def _uploads(self, prefix: str) -> list[Mapping[str, Any]]:
        """Return the uploads that have begun and not ended; none where the store does not tell."""
        found: list[Mapping[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            try:
                page = self.client.list_multipart_uploads(Bucket=self.bucket.name, Prefix=self.full(prefix), **more)
            except Exception as error:
                if getattr(error, "response", None) is None:
                    raise StewardError(f"cannot list uploads: {self.bucket.at} {refusal(error)}") from None
                return found
            found += page.get("Uploads", ())
            if not page.get("IsTruncated"):
                return found
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def free(self) -> int | None:
        return None

    # What comes to be there

    def sink(self, key: str, expected: int = 0) -> Sink:
        return _S3Sink(self, key, base_of(expected))

    def put(self, key: str, data: bytes) -> None:
        """Write a small file in one piece."""
        self.call(
            f"cannot write {key}",
            "put_object",
            Key=self.full(key),
            Body=data,
            ContentMD5=_encoded(_md5(data)),
            **self._written_with(),
        )

    def begin(self, key: str) -> str:
        """Begin an upload in parts; return its id."""
        begun = self.call(f"cannot write {key}", "create_multipart_upload", Key=self.full(key), **self._written_with())
        return str(begun["UploadId"])

    def put_part(self, key: str, upload: str, number: int, data: bytes) -> dict[str, Any]:
        """Send a part; return what the end of the upload has to say of it."""
        answer = self.call(
            f"cannot write part {number} of {key}",
            "upload_part",
            Key=self.full(key),
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ContentMD5=_encoded(_md5(data)),
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def complete(self, key: str, upload: str, parts: Iterable[Mapping[str, Any]]) -> None:
        """End an upload: from now on the file is there."""
        ordered = sorted(parts, key=lambda part: int(part["PartNumber"]))
        self.call(
            f"cannot end the upload of {key}",
            "complete_multipart_upload",
            Key=self.full(key),
            UploadId=upload,
            MultipartUpload={"Parts": ordered},
        )

    def give_up(self, key: str, upload: str) -> None:
        """Leave nothing of an upload; where even that fails, sweep() comes by later."""
        with contextlib.suppress(StewardError):
            self.call("", "abort_multipart_upload", patient=False, Key=self.full(key), UploadId=upload)

    def verify(self, key: str, size: int, sha256: str, whole: str, parts: Iterable[bytes]) -> Stored:
        """Return the file as the store has it; remove it and raise StewardError when that is not what was sent."""
        said = self.call(f"cannot look at {key}", "head_object", Key=self.full(key))
        if int(said["ContentLength"]) != size:
            self._drop(key, f"it has {said['ContentLength']} bytes there, and {size} were sent")
        if proves(str(said.get("ETag", "")), whole, parts):
            return Stored(key, size, sha256, "size and checksum of the store")
        digest = hashlib.sha256()
        for data in self.chunks(key):
            digest.update(data)
        if digest.hexdigest() != sha256:
            self._drop(key, "what was read back is not what was sent")
        return Stored(key, size, sha256, "read back")

    def _drop(self, key: str, why: str) -> None:
        with contextlib.suppress(StewardError):
            self.remove(key)
        raise StewardError(f"{key} did not arrive whole in {self.bucket.at}: {why}; it was removed, run again")

    def upload(self, key: str, path: Path) -> Stored:
        planned, size = slices(path.stat().st_size), path.stat().st_size
        sha256, whole = _digests(path)
        if len(planned) == 1:
            self.put(key, path.read_bytes())
            return self.verify(key, size, sha256, whole, ())
        upload, held = self._taken_up(key)
        digests: list[bytes] = []
        with path.open("rb") as stream, ThreadPoolExecutor(WORKERS) as pool:
            slots, sent = threading.Semaphore(WORKERS + 1), []
            for number, (_offset, length) in enumerate(planned, start=1):
                data = stream.read(length)
                digests.append(_md5(data))
                if held.get(number) == (length, digests[-1].hex()):
                    sent.append(_done({"PartNumber": number, "ETag": f'"{digests[-1].hex()}"'}))
                    continue
                sent.append(_submitted(pool, slots, lambda n, d: self.put_part(key, upload, n, d), number, data))
            parts = [one.result() for one in sent]
        self.complete(key, upload, parts)
        return self.verify(key, size, sha256, whole, digests)

    def _taken_up(self, key: str) -> tuple[str, dict[int, tuple[int, str]]]:
        """Return the upload of a file that was cut short, with size and MD5 of the parts that are there, or a new one."""
        mine = [upload for upload in self._uploads(key) if upload["Key"] == self.full(key)]
        if not mine:
            return self.begin(key), {}
        upload = str(max(mine, key=lambda one: one["Initiated"])["UploadId"])
        held: dict[int, tuple[int, str]] = {}
        more: dict[str, Any] = {}
        try:
            while True:
                page = self.client.list_parts(Bucket=self.bucket.name, Key=self.full(key), UploadId=upload, **more)
                for part in page.get("Parts", ()):
                    held[int(part["PartNumber"])] = (int(part["Size"]), str(part["ETag"]).strip('"').lower())
                if not page.get("IsTruncated"):
                    return upload, held
                more = {"PartNumberMarker": page["NextPartNumberMarker"]}
        except Exception:  # it ended meanwhile, or the store does not tell
            return self.begin(key), {}


class _S3Sink:
    """Cuts what comes into parts and sends several at a time; a writer that is faster than the store waits."""

    def __init__(self, store: S3Store, key: str, base: int) -> None:
        self._store, self._key, self._base = store, key, base
        self._sha256, self._whole = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._size = self._held_size = 0
        self._held: list[bytes | memoryview] = []
        self._upload: str | None = None
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="upload")
        self._slots = threading.Semaphore(WORKERS + 1)
        self._sent: list[Future[dict[str, Any]]] = []
        self._digests: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._whole.update(data)
        self._size += len(data)
        view = memoryview(data)
        while len(view) >= (room := part_size(len(self._sent) + 1, self._base) - self._held_size):
            self._held.append(view[:room])
            view = view[room:]
            self._send()
        if view:
            self._held.append(view)
            self._held_size += len(view)

    def _send(self) -> None:
        data = b"".join(self._held)
        self._held, self._held_size = [], 0
        if len(self._sent) >= MOST_PARTS:
            raise StewardError(f"{self._key} is too large for {self._store}: more than {MOST_PARTS} parts")
        if self._upload is None:
            self._upload = self._store.begin(self._key)
        for one in self._sent[-2 * WORKERS :]:  # say so as soon as a part could not be sent
            if one.done():
                one.result()
        upload = self._upload
        self._digests.append(_md5(data))
        self._sent.append(
            _submitted(
                self._pool,
                self._slots,
                lambda number, part: self._store.put_part(self._key, upload, number, part),
                len(self._sent) + 1,
                data,
            )
        )

    def finish(self) -> Stored:
        if self._upload is None:
            data = b"".join(self._held)
            self._pool.shutdown()
            self._store.put(self._key, data)
        else:
            if self._held:
                self._send()
            parts = [one.result() for one in self._sent]
            self._pool.shutdown()
            self._store.complete(self._key, self._upload, parts)
            self._upload = None
        return self._store.verify(
            self._key, self._size, self._sha256.hexdigest(), self._whole.hexdigest(), self._digests
        )

    def abort(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._held = []
        if self._upload is not None:
            self._store.give_up(self._key, self._upload)
            self._upload = None


def _submitted(
    pool: ThreadPoolExecutor,
    slots: threading.Semaphore,
    send: Callable[[int, bytes], dict[str, Any]],
    number: int,
    data: bytes,
) -> Future[dict[str, Any]]:
    """Hand a part to the pool once there is a slot, so that only so many are in memory."""
    slots.acquire()
    sent = pool.submit(send, number, data)
    sent.add_done_callback(lambda _sent: slots.release())
    return sent


def _done(part: dict[str, Any]) -> Future[dict[str, Any]]:
    done: Future[dict[str, Any]] = Future()
    done.set_result(part)
    return done


def _lock_of(said: Mapping[str, Any]) -> str | None:
    """Return what an object lock does, as text; None when there is none."""
    held = said.get("ObjectLockConfiguration", {})
    if held.get("ObjectLockEnabled") != "Enabled":
        return None
    kept = held.get("Rule", {}).get("DefaultRetention")
    if not kept:
        return "Enabled, without a retention of its own"
    return f"{kept['Mode']} for {kept.get('Days') or kept.get('Years')} {'days' if kept.get('Days') else 'years'}"


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _digests(path: Path) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while data := stream.read(CHUNK):
            sha256.update(data)
            md5.update(data)
    return sha256.hexdigest(), md5.hexdigest()
