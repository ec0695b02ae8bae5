"""The S3 store against a bucket in memory that checks what it is sent, and the words for every refusal."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _store_s3
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store_s3 import (
    MIB,
    Bucket,
    S3Store,
    base_of,
    is_passing,
    part_size,
    proves,
    refusal,
    slices,
)
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, SSLError
from botocore.response import StreamingBody

KEY = "orders/backup_lab_20260131_020005.dump"
SECRET = "hunter2-secret"


def md5(data: bytes) -> Any:
    return hashlib.md5(data, usedforsecurity=False)


def answer(code: str, status: int = 400, operation: str = "X") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )


def gone() -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="https://store:9000")


class Memory:
    """What boto3's client does, on one bucket. fail: method -> errors to raise first. etags: how it makes them."""

    def __init__(self, etags: str = "composite", page: int = 1000) -> None:
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.fail: dict[str, list[Exception]] = {}
        self.calls: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.etags, self.page = etags, page
        self.versioning: dict[str, Any] = {}
        self.lock: dict[str, Any] | None = None
        self.spoil: Any = None

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith(("_", "fail", "calls", "spoil")) or not callable(found):
            return found

        def call(**arguments: Any) -> Any:
            assert arguments.pop("Bucket") == "dumps"
            self.calls.append(name)
            errors = self.fail.get(name, [])
            if errors:
                raise errors.pop(0)
            return found(**arguments)

        return call

    def list_objects_v2(self, Prefix: str, MaxKeys: int = 1000, ContinuationToken: str = "") -> dict[str, Any]:  # noqa: N803
        keys = [key for key in sorted(self.files) if key.startswith(Prefix) and key > ContinuationToken]
        shown = keys[: self.page]
        return {
            "Contents": [
                {"Key": key, "Size": len(self.files[key]), "LastModified": datetime.now(UTC)} for key in shown
            ],
            "IsTruncated": len(shown) < len(keys),
            "NextContinuationToken": shown[-1] if shown else "",
        }

    def create_multipart_upload(self, Key: str, **more: Any) -> dict[str, Any]:  # noqa: N803
        self.asked.append(more)
        name = f"u{len(self.calls)}"
        self.uploads[name] = {"Key": Key, "UploadId": name, "Initiated": datetime.now(UTC), "parts": {}}
        return {"UploadId": name}

    def upload_part(self, Key: str, UploadId: str, PartNumber: int, Body: bytes, ContentMD5: str) -> dict[str, Any]:  # noqa: N803
        digest = md5(Body).digest()
        assert base64.b64decode(ContentMD5) == digest
        assert self.uploads[UploadId]["Key"] == Key
        self.uploads[UploadId]["parts"][PartNumber] = bytes(Body)
        return {"ETag": f'"{digest.hex()}"'}

    def list_parts(self, Key: str, UploadId: str, **_more: Any) -> dict[str, Any]:  # noqa: N803
        held = self.uploads[UploadId]["parts"]
        return {
            "Parts": [
                {"PartNumber": number, "Size": len(data), "ETag": f'"{md5(data).hexdigest()}"'}
                for number, data in sorted(held.items())
            ]
        }

    def list_multipart_uploads(self, Prefix: str) -> dict[str, Any]:  # noqa: N803
        return {"Uploads": [one for one in self.uploads.values() if one["Key"].startswith(Prefix)]}

    def complete_multipart_upload(self, Key: str, UploadId: str, MultipartUpload: dict[str, Any]) -> None:  # noqa: N803
        held = self.uploads.pop(UploadId)["parts"]
        numbers = [part["PartNumber"] for part in MultipartUpload["Parts"]]
        assert numbers == sorted(held)
        digests = [md5(held[number]).digest() for number in numbers]
        assert [part["ETag"].strip('"') for part in MultipartUpload["Parts"]] == [digest.hex() for digest in digests]
        self._keep(Key, b"".join(held[number] for number in numbers))
        if self.etags == "composite":
            self.tags[Key] = md5(b"".join(digests)).hexdigest() + f"-{len(digests)}"

    def _keep(self, key: str, data: bytes) -> None:
        self.files[key] = self.spoil(data) if self.spoil else data
        self.tags[key] = md5(self.files[key]).hexdigest() if self.etags != "other" else "0" * 32

    def abort_multipart_upload(self, Key: str, UploadId: str) -> None:  # noqa: N803
        assert self.uploads.pop(UploadId)["Key"] == Key

    def put_object(self, Key: str, Body: bytes, ContentMD5: str, **more: Any) -> None:  # noqa: N803
        self.asked.append(more)
        assert base64.b64decode(ContentMD5) == md5(Body).digest()
        self._keep(Key, bytes(Body))

    def head_object(self, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"ContentLength": len(self.files[Key]), "ETag": f'"{self.tags[Key]}"'}

    def get_object(self, Key: str, Range: str = "bytes=0-", IfMatch: str | None = None) -> dict[str, Any]:  # noqa: N803
        assert IfMatch in (None, self.tags[Key])
        data = self.files[Key][int(Range[6:-1]) :]
        return {"Body": StreamingBody(io.BytesIO(data), len(data)), "ETag": self.tags[Key]}

    def delete_object(self, Key: str) -> None:  # noqa: N803
        self.files.pop(Key, None)

    def get_bucket_versioning(self) -> dict[str, Any]:
        return self.versioning

    def get_object_lock_configuration(self) -> dict[str, Any]:
        if self.lock is None:
            raise answer("ObjectLockConfigurationNotFoundError", 404)
        return {"ObjectLockConfiguration": self.lock}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store_s3, "base_of", lambda _expected: 10)


def store_of(memory: Memory, **given: Any) -> S3Store:
    bucket = Bucket("dumps", **{"prefix": "lab", "access_key": "AK", "secret_key": SECRET, **given})
    return S3Store(bucket, memory, patience=60, sleep=lambda _seconds: None)


def write(store: S3Store, *pieces: bytes) -> Any:
    return fill(store.sink(KEY), *pieces)


def fill(sink: Any, *pieces: bytes) -> Any:
    for piece in pieces:
        sink.write(piece)
    return sink.finish()


@pytest.mark.parametrize("pieces", [(), (b"abc",), (b"0123456789",), (b"0123", b"456789abcdef" * 5, b"x")])
@pytest.mark.parametrize(
    ("etags", "verified"),
    [("composite", "checksum of the store"), ("md5", "checksum of the store"), ("other", "read back")],
)
def test_what_is_written_is_there(pieces: tuple[bytes, ...], etags: str, verified: str) -> None:
    memory, whole = Memory(etags), b"".join(pieces)
    stored = write(store_of(memory), *pieces)
    assert memory.files == {f"lab/{KEY}": whole}
    assert (stored.key, stored.size, stored.sha256) == (KEY, len(whole), hashlib.sha256(whole).hexdigest())
    assert stored.verified.endswith(verified)
    assert memory.uploads == {}
    assert ("put_object" in memory.calls) == (len(whole) < 10)


def test_nothing_is_seen_before_the_end_and_abort_leaves_nothing() -> None:
    memory = Memory()
    store = store_of(memory)
    sink = store.sink(KEY)
    sink.write(b"x" * 35)
    assert store.items() == []
    assert len(memory.uploads) == 1
    sink.abort()
    assert (memory.files, memory.uploads) == ({}, {})


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"y" + data[1:]])
def test_what_did_not_arrive_whole_is_removed(spoil: Any) -> None:
    memory = Memory("md5")
    memory.spoil = spoil
    with pytest.raises(StewardError, match=r"did not arrive whole in s3://dumps/lab: .*; it was removed, run again"):
        write(store_of(memory), b"x" * 25)
    assert memory.files == {}


def test_a_store_that_is_away_for_a_while_is_waited_for() -> None:
    memory = Memory()
    memory.fail = {"upload_part": [gone(), answer("SlowDown", 503), gone()], "complete_multipart_upload": [gone()]}
    write(store_of(memory), b"x" * 25)
    assert memory.files[f"lab/{KEY}"] == b"x" * 25


def test_but_not_for_ever() -> None:
    memory = Memory()
    memory.fail = {"upload_part": [gone()] * 9}
    store = S3Store(Bucket("dumps"), memory, patience=0, sleep=lambda _seconds: None)
    sink = store.sink(KEY)
    with pytest.raises(StewardError, match=f"^cannot write part 1 of {KEY}: s3://dumps does not answer"):
        fill(sink, b"x" * 25)  # whichever of write and finish learns of it
    memory.fail = {}
    sink.abort()
    assert (memory.files, memory.uploads) == ({}, {})


def test_a_wrong_secret_is_not_tried_twice() -> None:
    memory = Memory()
    memory.fail = {"list_objects_v2": [answer("SignatureDoesNotMatch", 403)]}
    with pytest.raises(StewardError) as caught:
        store_of(memory).features()
    assert str(caught.value) == "cannot list files: s3://dumps/lab refuses the secret key: check it"
    assert memory.calls == ["list_objects_v2"]


def test_a_dry_look_writes_nothing() -> None:
    memory = Memory()
    store_of(memory).features(dry=True)
    assert [name for name in memory.calls if not name.startswith(("list", "get"))] == []


def test_a_bucket_that_cannot_be_written() -> None:
    memory = Memory()
    memory.fail = {"create_multipart_upload": [answer("AccessDenied", 403)]}
    with pytest.raises(StewardError, match=r"^cannot write: s3://dumps/lab does not allow that to this access key"):
        store_of(memory).features()


@pytest.mark.parametrize(
    ("versioning", "lock", "given", "found", "notes"),
    [
        ({}, None, {}, (None, None), ("keeps no versions", "has no object lock: whoever has its key")),
        (
            {"Status": "Enabled"},
            {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}},
            {},
            ("Enabled", "COMPLIANCE for 30 days"),
            (),
        ),
        (
            {"Status": "Enabled"},
            {"ObjectLockEnabled": "Enabled"},
            {},
            ("Enabled", "Enabled, without a retention of its own"),
            (),
        ),
        (
            {"Status": "Suspended"},
            None,
            {"lock_mode": "COMPLIANCE", "lock_days": 3, "endpoint": "http://store:9000"},
            ("Suspended", None),
            ("keeps no versions", "so nothing is locked although lock_mode asks for it", "is reached without TLS"),
        ),
    ],
)
def test_features(
    versioning: dict[str, Any],
    lock: dict[str, Any] | None,
    given: dict[str, Any],
    found: tuple[str | None, str | None],
    notes: tuple[str, ...],
) -> None:
    memory = Memory()
    memory.versioning, memory.lock = versioning, lock
    features = store_of(memory, **given).features()
    assert (features.versioning, features.object_lock) == found
    assert len(features.notes) == len(notes)
    assert all(words in note for words, note in zip(notes, features.notes, strict=True))
    assert (memory.files, memory.uploads) == ({}, {})


def test_locks_and_encryption_are_asked_for_where_the_bucket_has_them() -> None:
    memory = Memory()
    memory.lock = {"ObjectLockEnabled": "Enabled"}
    store = store_of(memory, lock_mode="GOVERNANCE", lock_days=3, server_side_encryption="aws:kms", kms_key_id="k")
    store.features()
    write(store, b"x" * 25)
    asked = memory.asked[-1]
    assert (asked["ObjectLockMode"], asked["ServerSideEncryption"], asked["SSEKMSKeyId"]) == (
        "GOVERNANCE",
        "aws:kms",
        "k",
    )
    assert timedelta(days=2, hours=23) < asked["ObjectLockRetainUntilDate"] - datetime.now(UTC) <= timedelta(days=3)


def test_an_upload_is_taken_up_again(tmp_path: Path) -> None:
    memory, file = Memory(), tmp_path / "toc.dat"
    file.write_bytes(bytes(range(100)))
    memory.fail = {"upload_part": []}
    store = store_of(memory)
    sink = store.sink(KEY)  # as a killed run leaves it: two parts there, no end
    sink.write(file.read_bytes()[:20])
    for sent in sink._sent:  # type: ignore[attr-defined]
        sent.result()
    memory.calls.clear()
    stored = store.upload(KEY, file)
    assert memory.calls.count("upload_part") == 8
    assert memory.calls.count("create_multipart_upload") == 0
    assert memory.files == {f"lab/{KEY}": bytes(range(100))}
    assert stored.sha256 == hashlib.sha256(bytes(range(100))).hexdigest()


def test_a_part_that_changed_is_sent_again(tmp_path: Path) -> None:
    memory, file = Memory(), tmp_path / "toc.dat"
    store = store_of(memory)
    sink = store.sink(KEY)
    sink.write(b"z" * 20)
    for sent in sink._sent:  # type: ignore[attr-defined]
        sent.result()
    file.write_bytes(b"y" * 15)
    store.upload(KEY, file)
    assert memory.files == {f"lab/{KEY}": b"y" * 15}


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11])
def test_uploads_of_any_size(tmp_path: Path, size: int) -> None:
    memory, file = Memory(), tmp_path / "x"
    file.write_bytes(b"a" * size)
    store_of(memory).upload(KEY, file)
    assert memory.files == {f"lab/{KEY}": b"a" * size}


def test_reading_goes_on_where_a_connection_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    store = store_of(memory)
    write(store, bytes(range(40)))
    whole = memory.get_object

    def broken(**arguments: Any) -> dict[str, Any]:
        said = whole(Bucket="dumps", **{name: value for name, value in arguments.items() if name != "Bucket"})
        if "Range" not in arguments:
            body = said["Body"].read(15)

            def chunks(_size: int) -> Any:
                yield body
                raise ConnectionError("reset")

            said["Body"].iter_chunks = chunks
        return said

    monkeypatch.setattr(memory, "get_object", broken, raising=False)
    monkeypatch.setattr(store, "client", memory)
    assert b"".join(store.chunks(KEY)) == bytes(range(40))


def test_listing_has_all_pages_and_the_store_s_own_keys() -> None:
    memory = Memory(page=2)
    memory.files = {f"lab/orders/{number}": b"x" for number in range(5)} | {"other/orders/1": b"x"}
    items = store_of(memory).items("orders/")
    assert [item.key for item in items] == [f"orders/{number}" for number in range(5)]


def test_sweep_gives_up_old_uploads_of_dumps_only() -> None:
    memory = Memory()
    store = store_of(memory)
    for key, hours in ((KEY, 30), (KEY.replace("2026", "2027"), 3), ("orders/film.mkv", 30)):
        memory.uploads[store.begin(key)]["Initiated"] -= timedelta(hours=hours)
    assert store.sweep("orders/") == [KEY]
    assert len(memory.uploads) == 2


@pytest.mark.parametrize(
    ("expected", "base"),
    [(0, 16 * MIB), (1 << 30, 16 * MIB), (80_000 * MIB, 16 * MIB), (80_001 * MIB, 17 * MIB), (1 << 40, 210 * MIB)],
)
def test_base(expected: int, base: int) -> None:
    assert base_of(expected) == base


@pytest.mark.parametrize(
    ("number", "factor"), [(1, 1), (5000, 1), (5001, 2), (6000, 2), (6001, 4), (9000, 16), (9001, 32), (10000, 32)]
)
def test_part_size(number: int, factor: int) -> None:
    assert part_size(number, 16 * MIB) == factor * 16 * MIB


def test_parts_hold_more_than_was_expected() -> None:
    assert sum(part_size(number, 16 * MIB) for number in range(1, 10_001)) > 1 << 40


@pytest.mark.parametrize("size", [0, 1, 10, 25, 10 * 5000 + 20 * 3 + 1])
def test_slices(size: int) -> None:
    found = slices(size)
    assert sum(length for _offset, length in found) == size
    assert [offset for offset, _length in found] == [sum(n for _o, n in found[:place]) for place in range(len(found))]


@pytest.mark.parametrize(
    ("etag", "proven"),
    [
        ('"900150983cd24fb0d6963f7d28e17f72"', True),
        ("900150983CD24FB0D6963F7D28E17F72", True),
        ('"' + md5(md5(b"ab").digest() + md5(b"c").digest()).hexdigest() + '-2"', True),
        ('"900150983cd24fb0d6963f7d28e17f72-2"', False),
        ("", False),
    ],
)
def test_proves(etag: str, proven: bool) -> None:
    parts = [md5(b"ab").digest(), md5(b"c").digest()]
    assert proves(etag, md5(b"abc").hexdigest(), parts) is proven


def tls(words: str) -> SSLError:
    return SSLError(endpoint_url="https://store:9000", error=f"[SSL: CERTIFICATE_VERIFY_FAILED] {words} (_ssl.c:992)")


@pytest.mark.parametrize(
    ("error", "words", "passing"),
    [
        (answer("SignatureDoesNotMatch", 403), "refuses the secret key", False),
        (answer("InvalidAccessKeyId", 403), "does not know the access key", False),
        (answer("403", 403), "does not allow that to this access key", False),
        (answer("NoSuchBucket", 404), "has no such bucket", False),
        (answer("RequestTimeTooSkewed", 403), "set the clock", False),
        (answer("Odd", 418), "answers Odd: no", False),
        (answer("InvalidArgument", 400), "it may know neither that server_side_encryption nor object locks", False),
        (answer("InternalError", 500), "answers InternalError", True),
        (answer("XYZ", 503), "answers XYZ", True),
        (gone(), "does not answer: check endpoint", True),
        (NoCredentialsError(), "wants keys", False),
        (
            tls("certificate verify failed: certificate has expired"),
            "has a certificate that has expired: renew it",
            False,
        ),
        (
            tls("certificate verify failed: unable to get local issuer certificate"),
            "is not accepted: check ca, and the name in endpoint (unable to get local issuer certificate)",
            False,
        ),
        (ValueError("odd"), "cannot be used: odd", False),
    ],
)
def test_refusals(error: Exception, words: str, passing: bool) -> None:
    assert words in refusal(error)
    assert is_passing(error) is passing


def test_the_secret_is_in_no_text() -> None:
    bucket = Bucket("dumps", access_key="AK", secret_key=SECRET)
    assert SECRET not in f"{bucket} {bucket!r} {bucket.at}"


def test_a_certificate_authority_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StewardError, match="which is not there"):
        S3Store(
            Bucket("dumps", endpoint="https://store:9000", ca=str(tmp_path / "ca.crt"), access_key="a", secret_key="b")
        )


def test_the_client_knows_path_style_and_sends_no_trailers() -> None:
    store = S3Store(Bucket("dumps", endpoint="https://store:9000", access_key="a", secret_key="b"))
    config = store.client.meta.config
    assert config.s3["addressing_style"] == "path"
    assert config.request_checksum_calculation == "when_required"


def test_an_endpoint_that_is_no_address() -> None:
    with pytest.raises(StewardError, match="cannot be used"):
        S3Store(Bucket("dumps", endpoint="store", access_key="a", secret_key="b"))
