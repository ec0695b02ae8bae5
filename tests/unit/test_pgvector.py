"""What versions of pgvector need of an operator."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgvector import open_gates, reindex_after, stamp
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgvector_update import Found, result


@pytest.mark.parametrize(
    ("version", "fixed_in"),
    [
        ("0.4.4", []),  # no HNSW yet
        ("0.5.1", ["0.8.3"]),
        ("0.6.0", ["0.8.2", "0.8.3"]),
        ("0.8.1", ["0.8.2", "0.8.3"]),
        ("0.8.2", ["0.8.3"]),
        ("0.8.3", []),
        ("0.8.10", []),
        ("0.9.0", []),
    ],
)
def test_gates(version: str, fixed_in: list[str]) -> None:
    assert [gate.fixed for gate in open_gates(version)] == fixed_in


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("0.8.0", "0.8.3", True),
        ("0.8.0", "0.8.2", False),
        ("0.8.3", "0.8.4", False),
        ("0.4.4", "0.8.4", False),
        ("0.8.0", "", False),
    ],
)
def test_reindex(before: str, after: str, expected: bool) -> None:
    assert reindex_after(before, after or before) is expected


OLD = Found("shop", "0.8.0", ("public.items_hnsw",))
NEW = Found("other", "0.8.4", ())


@pytest.mark.parametrize(
    ("found", "updated", "expected"),
    [
        ([], [], {"changed": False, "databases": {}, "reindex": {}, "findings": []}),
        ([NEW], [], {"changed": False, "databases": {"other": "0.8.4"}, "reindex": {}, "findings": []}),
        ([OLD, NEW], [OLD], {"changed": True, "databases": {"shop": "0.8.4", "other": "0.8.4"}, "updated": ["shop"]}),
        ([OLD], [], {"changed": False, "databases": {"shop": "0.8.0"}, "reindex": {"shop": ["public.items_hnsw"]}}),
    ],
)
def test_result(found: list[Found], updated: list[Found], expected: dict[str, Any]) -> None:
    answer = result("0.8.4", found, updated)
    assert {key: answer[key] for key in expected} == expected


def test_what_is_behind_and_what_must_be_built_again_is_named() -> None:
    behind, reindex = result("0.8.4", [OLD, NEW], [])["findings"]
    assert "shop (0.8.0)" in behind
    assert "public.items_hnsw" in reindex
    assert result("0.8.4", [OLD, NEW], [OLD])["findings"] == [reindex]


def test_a_stamp_tells_builds_apart() -> None:
    lines = {stamp("0.8.0", "A", "b"), stamp("0.8.1", "a", "b"), stamp("0.8.0", "c", "b"), stamp("0.8.0", "a", "d")}
    assert len(lines) == 4
    assert stamp("0.8.0", "A", "b") == stamp("0.8.0", "a", "b")
