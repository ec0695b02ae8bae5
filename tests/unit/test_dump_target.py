"""Stores as options name them, and files that are encrypted on their way there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_crypt as crypt
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import (
    OPTIONS,
    bucket_of,
    findings,
    target_of,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store_s3 import Bucket

BUCKET = {"bucket": "dumps", "access_key": "a", "secret_key": "hunter2"}
KEY = "orders/backup_lab_20260131_020005"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": "/srv/dumps"}, None),
        (BUCKET, None),
        ({"bucket": "dumps"}, None),
        ({**BUCKET, "name": "offsite", "retention": {}}, None),
        ({**{name: option.get("default") for name, option in OPTIONS.items()}, "path": "/srv/dumps"}, None),
        ({}, "give either path, a directory, or bucket"),
        ({"path": "/srv", "bucket": "dumps"}, "give either path, a directory, or bucket"),
        ({"path": "dumps"}, "path dumps has to be absolute"),
        ({"path": "/srv", "endpoint": "https://s3"}, "has endpoint, which is of buckets, beside path"),
        ({"pfad": "/srv"}, "has pfad, which there is not"),
        ({"bucket": "dumps", "access_key": "a"}, "secret_key is missing; the two go together"),
        ({"bucket": "dumps", "secret_key": "hunter2"}, "access_key is missing"),
        ({**BUCKET, "endpoint": "s3.example.org"}, "endpoint s3.example.org has to begin with https://"),
        ({**BUCKET, "server_side_encryption": "rot13"}, "server_side_encryption rot13 is none of AES256, aws:kms"),
        ({**BUCKET, "lock_mode": "COMPLIANCE"}, "lock_mode and lock_days go together"),
        ({**BUCKET, "kms_key_id": "k"}, "kms_key_id goes with server_side_encryption aws:kms"),
        ({**BUCKET, "bucket": "dumps/lab"}, "what follows the first / is the prefix"),
    ],
)
def test_findings(given: dict[str, Any], words: str | None) -> None:
    found = findings(given, "offsite")
    assert found == [] if words is None else (words in found[0] and found[0].startswith("offsite"))
    assert "hunter2" not in str(found)
    if words:
        with pytest.raises(StewardError):
            target_of(given)


@pytest.mark.parametrize(
    ("given", "bucket"),
    [
        (BUCKET, Bucket("dumps", access_key="a", secret_key="hunter2")),
        (
            {
                **BUCKET,
                "prefix": "/lab/",
                "path_style": False,
                "ca_cert": "/ca.crt",
                "lock_mode": "GOVERNANCE",
                "lock_days": 3,
            },
            Bucket("dumps", "lab", None, None, "a", "hunter2", "/ca.crt", False, None, None, "GOVERNANCE", 3),
        ),
    ],
)
def test_buckets(given: dict[str, Any], bucket: Bucket) -> None:
    assert bucket_of(given) == bucket


def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "dumps.key"
    path.write_text("07" * 32)
    path.chmod(0o640)
    return path


def test_plain_files(tmp_path: Path) -> None:
    target = target_of({"path": str(tmp_path / "d")})
    file = target.put(KEY, ".dump", "dump", b"rows")
    assert (file.ending, file.size, file.encrypted) == (".dump", 4, False)
    assert (tmp_path / "d" / f"{KEY}.dump").read_bytes() == b"rows"
    assert b"".join(target.plain(f"{KEY}.dump")) == b"rows"
    assert target.name == str(tmp_path / "d")


def test_encrypted_files(tmp_path: Path) -> None:
    target = target_of({"path": str(tmp_path / "d"), "encryption_key_file": str(key_file(tmp_path)), "name": "near"})
    file = target.put(KEY, ".dump", "dump", b"rows")
    stored = (tmp_path / "d" / f"{KEY}.dump.enc").read_bytes()
    assert (file.ending, file.size, file.sha256) == (".dump.enc", len(stored), hashlib.sha256(stored).hexdigest())
    assert (file.plain_size, file.plain_sha256) == (4, hashlib.sha256(b"rows").hexdigest())
    assert b"rows" not in stored
    assert len(stored) == crypt.size_of(4)
    assert b"".join(target.plain(f"{KEY}.dump.enc")) == b"rows"
    assert target.name == "near"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = target_of({"path": str(tmp_path / "d")})
    writing = target.writing(KEY, ".dump", "dump")
    writing.write(b"x")
    writing.abort()
    assert target.store.items() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_key_file_that_is_missing_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(StewardError, match="is not there; make one with"):
        target_of({"path": str(tmp_path / "d"), "encryption_key_file": str(tmp_path / "none")})
    assert list(tmp_path.iterdir()) == []
