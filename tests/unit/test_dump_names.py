"""Names of dumps and of their files, there and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

AT = datetime(2026, 1, 31, 2, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("environment", "at", "text"),
    [
        ("production", AT, "backup_production_20260131_020005"),
        ("eu-west_2", AT, "backup_eu-west_2_20260131_020005"),
        ("lab", AT.replace(microsecond=999999), "backup_lab_20260131_020005"),
        ("lab", AT.astimezone(timezone(timedelta(hours=9))), "backup_lab_20260131_020005"),
    ],
)
def test_there_and_back(environment: str, at: datetime, text: str) -> None:
    name = names.name_of(environment, at)
    assert str(name) == text
    assert names.parse(text) == name
    assert name.environment == environment


@pytest.mark.parametrize("environment", ["", "a b", "-a", "a_", "ä", "a/b", "a.b", "x" * 41])
def test_environments_that_names_cannot_hold(environment: str) -> None:
    with pytest.raises(StewardError, match="cannot be part of a dump's name"):
        names.name_of(environment, AT)


@pytest.mark.parametrize(
    "text",
    [
        "", "backup_20260131_020005", "backup_lab_20260231_020005", "backup_lab_20260131_250005", "backup_lab_20260131",
        "backup_lab_20260131_020005.dump", "dump_lab_20260131_020005", "backup_lab_20260131_0200051", " backup_lab_20260131_020005",
    ],
)  # fmt: skip
def test_no_names(text: str) -> None:
    assert names.parse(text) is None


@pytest.mark.parametrize(
    ("database", "ending", "text", "encrypted", "plain"),
    [
        ("orders", ".dump", "orders/backup_lab_20260131_020005.dump", False, ".dump"),
        ("orders", ".sql.zst.enc", "orders/backup_lab_20260131_020005.sql.zst.enc", True, ".sql.zst"),
        ("orders", "/toc.dat", "orders/backup_lab_20260131_020005/toc.dat", False, "/toc.dat"),
        ("a/b c%", ".dump", "a%2Fb%20c%25/backup_lab_20260131_020005.dump", False, ".dump"),
        ("..", ".dump", "%2E./backup_lab_20260131_020005.dump", False, ".dump"),
        ("Bücher", ".manifest.json", "B%C3%BCcher/backup_lab_20260131_020005.manifest.json", False, ".manifest.json"),
    ],
)
def test_keys(database: str, ending: str, text: str, encrypted: bool, plain: str) -> None:
    key = names.Key(database, names.name_of("lab", AT), ending)
    assert str(key) == text
    assert names.parse_key(text) == key
    assert (key.encrypted, key.plain_ending) == (encrypted, plain)


@pytest.mark.parametrize(
    "text", ["orders", "orders/notes.txt", "orders/backup_lab_20260131_020005", "backup_lab_20260131_020005.dump"]
)
def test_other_files_of_a_store_are_no_dumps(text: str) -> None:
    assert names.parse_key(text) is None


@pytest.mark.parametrize(
    ("form", "method", "ending"),
    [
        ("custom", "zstd", ".dump"),
        ("custom", "none", ".dump"),
        ("plain", "gzip", ".sql.gz"),
        ("plain", "zstd", ".sql.zst"),
        ("plain", "none", ".sql"),
        ("directory", "gzip", "/"),
        ("sqlite", "gzip", ".sqlite.gz"),
    ],
)
def test_endings(form: str, method: str, ending: str) -> None:
    assert names.dump_ending(form, method) == ending
