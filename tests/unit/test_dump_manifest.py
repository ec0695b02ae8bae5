"""Manifests there and back, and the dumps that the files of a store are."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import Item

NAME = "backup_lab_20260131_020005"
KEY = f"orders/{NAME}.manifest.json"
AT = datetime(2026, 1, 31, tzinfo=UTC)
MANIFEST = Manifest(
    name=NAME,
    database="orders",
    environment="lab",
    kind="postgresql",
    begun="2026-01-31T02:00:05Z",
    seconds=1.5,
    host="db1",
    dump_format="custom",
    compression="zstd",
    server_version="17.6",
    tool_version="17.6",
    files=(
        File(".dump", "dump", 100, "ab", "size"),
        File(".globals.sql.gz.enc", "globals", 50, "cd", "size", 20, "ef"),
    ),
    rows={"public.orders": 3, "public.items": 0},
    extensions={"vector": "0.8.0"},
    revisions={"public.alembic_version": ["003"]},
    fingerprint="0c2a",
    roles=("orders_owner",),
    notes=("odd",),
)


def test_there_and_back() -> None:
    text = MANIFEST.as_text()
    assert manifests.parse(text, KEY).as_text() == text
    assert json.loads(text)["format"] == 1
    back = manifests.parse(text, KEY)
    assert (back.bytes, back.encrypted, back.whole) == (150, True, True)
    assert back.files == MANIFEST.files
    assert [file.ending for file in back.of("dump")] == [".dump"]
    assert back.key(".dump") == f"orders/{NAME}.dump"


@pytest.mark.parametrize(
    ("change", "whole"),
    [({"content": "schema"}, False), ({"schemas": ("a",)}, False), ({"tables": ("a.b",)}, False), ({}, True)],
)
def test_whole(change: dict[str, Any], whole: bool) -> None:
    assert replace(MANIFEST, **change).whole is whole


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("", KEY, "is no manifest of a dump"),
        ("[]", KEY, "is no manifest of a dump"),
        ("{}", KEY, "is no manifest of a dump"),
        ('{"format": 2}', KEY, "has format 2, and this version of the collection reads up to 1"),
        ('{"format": 1, "files": []}', KEY, "its fields are others"),
        (MANIFEST.as_text(), KEY.replace("orders", "shop"), f"is the manifest of orders/{NAME}: somebody put it there"),
        (MANIFEST.as_text(), KEY.replace("0131", "0130"), "somebody put it there"),
    ],
)
def test_what_is_no_manifest(text: str, key: str, words: str) -> None:
    with pytest.raises(StewardError) as caught:
        manifests.parse(text, key)
    assert words in str(caught.value)


def items(*keys: str, size: int = 10) -> list[Item]:
    return [Item(key, size, AT) for key in keys]


def test_found_in() -> None:
    later = NAME.replace("0131", "0201")
    there = items(
        f"orders/{later}.dump",
        f"orders/{later}.manifest.json.enc",
        f"orders/{NAME}/toc.dat",
        f"orders/{NAME}/3.dat.gz",
        "orders/notes.txt",
        f"a%2Fb/{NAME}.sql.gz",
        f"a%2Fb/{NAME}.manifest.json",
    )
    found = manifests.found_in(there)
    assert [(one.database, str(one.name), one.manifest_key is not None, one.bytes) for one in found] == [
        ("a/b", NAME, True, 20),
        ("orders", NAME, False, 20),
        ("orders", later, True, 20),
    ]
    assert manifests.found_in(there, "orders") == found[1:]


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (items(f"orders/{NAME}.dump", size=100) + items(f"orders/{NAME}.globals.sql.gz.enc", size=50), []),
        (items(f"orders/{NAME}.dump", size=100), [f"orders/{NAME}.globals.sql.gz.enc is missing"]),
        (
            items(f"orders/{NAME}.dump", size=99) + items(f"orders/{NAME}.globals.sql.gz.enc", size=50),
            [f"orders/{NAME}.dump has 99 bytes, and had 100"],
        ),
    ],
)
def test_compare_files(there: list[Item], words: list[str]) -> None:
    assert manifests.compare_files(MANIFEST, there) == words


@pytest.mark.parametrize(
    ("found", "different"),
    [
        ({"public.orders": 3, "public.items": 0, "public.more": 1}, []),
        (
            {"public.orders": 2},
            [
                {"table": "public.items", "expected": 0, "found": None},
                {"table": "public.orders", "expected": 3, "found": 2},
            ],
        ),
    ],
)
def test_compare_rows(found: dict[str, int], different: list[dict[str, Any]]) -> None:
    assert manifests.compare_rows(MANIFEST.rows, found) == different
