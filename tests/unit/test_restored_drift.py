"""How restored databases are said to differ: in the record of a drill, and in the report of a restore."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_truth, _restore_report, _restored_drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_list import Shelf
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_names import name_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_source import SCOPE
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target, target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Server
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Snapshot

ORDERS = {"table": {"public.orders": {"owner": "shop"}}}
THERE = Snapshot(ORDERS, SCOPE)
EMPTY = Snapshot({}, SCOPE)
MANIFEST = Manifest(
    "", "shop", "lab", "postgresql", "2026-10-01T02:00:00Z", 1.0, "db1", "custom", "gzip", "17.6", "17.6", ()
)


@pytest.mark.parametrize(
    ("expected", "found", "count", "text"),
    [
        (THERE, THERE, 0, "none, as the live database"),
        (THERE, EMPTY, 1, "1 difference from the live database: table public.orders: existence"),
        # What no dump holds is not looked at.
        (Snapshot({**ORDERS, "subscription": {"s": {}}}), THERE, 0, "none, as the live database"),
    ],
)
def test_differences(expected: Snapshot, found: Snapshot, count: int, text: str) -> None:
    drift = _restored_drift.differences(expected, found, "the live database")
    assert (drift["count"], drift["text"]) == (count, text)


def test_a_database_that_cannot_be_compared_keeps_no_other_from_it(tmp_path: Path) -> None:
    def truth(name: str) -> tuple[Snapshot, str]:
        raise StewardError(f"there is no {name}")

    found = _restored_drift.drifts(Server(tmp_path, tmp_path), ["a", "b"], truth)
    assert {name: drift["text"] for name, drift in found.items()} == {
        "a": "not compared: there is no a",
        "b": "not compared: there is no b",
    }


# Dumps as the truth


@pytest.fixture
def near(tmp_path: Path) -> Target:
    return target_of({"path": str(tmp_path / "near"), "name": "near"})


def put(target: Target, day: int, snapshot: Snapshot | None) -> str:
    """Put a dump into a store that has nothing but a catalog; return its name."""
    name = str(name_of("lab", datetime(2026, 10, day, 2, tzinfo=UTC)))
    files: tuple[Any, ...] = ()
    if snapshot:
        files = (target.put(f"shop/{name}", ".catalog.json.gz", "catalog", gzip.compress(snapshot.as_text().encode())),)
    target.put(
        f"shop/{name}", ".manifest.json", "manifest", replace(MANIFEST, name=name, files=files).as_text().encode()
    )
    return name


def test_the_dump_from_before_the_moment_is_the_truth(near: Target) -> None:
    first = put(near, 1, THERE)
    second = put(near, 3, EMPTY)
    moment = _dump_truth.moment_of("2026-10-02 12:00:00.12 UTC")
    assert _dump_truth.before([Shelf(near)], "shop", moment) == (THERE, f"the dump {first} in near")
    assert _dump_truth.before([Shelf(near)], "shop", None) == (EMPTY, f"the dump {second} in near")


@pytest.mark.parametrize(
    ("day", "snapshot", "words"),
    [
        (3, THERE, "near: there is no dump of shop from before 2026-10-02 12:00:00"),
        (1, None, "near: its dump has no catalog of the whole database"),
    ],
)
def test_no_dump_is_the_truth(near: Target, day: int, snapshot: Snapshot | None, words: str) -> None:
    put(near, day, snapshot)
    with pytest.raises(StewardError, match=f"^{re.escape(words)}$"):
        _dump_truth.before([Shelf(near)], "shop", datetime(2026, 10, 2, 12, tzinfo=UTC))


def test_a_host_without_dumps(tmp_path: Path) -> None:
    with pytest.raises(StewardError, match=r"^no dumps are configured on this host$"):
        _dump_truth.shelves_of(tmp_path / "dumps.json")


# The report of a restore

VERIFIED = {"item": {"name": "shop"}, "clean": True, "drift": [], "truth_name": "its history"}
ONE = [{"object": "table public.orders", "attribute": "existence"}]


@pytest.mark.parametrize(
    ("drifts", "verified", "words"),
    [
        ({}, [], "not compared: neither a project nor a dump of it is known"),
        ({"shop": {"text": "none, as the dump x"}}, [], "none, as the dump x"),
        ({"shop": {"text": "none, as the dump x"}}, [VERIFIED], "none, as its history"),
        ({}, [{**VERIFIED, "drift": ONE}], "1 difference from its history: table public.orders: existence"),
        ({}, [{"item": {"name": "shop"}, "msg": "no such project"}], "not compared: no such project"),
    ],
)
def test_the_drift_of_a_restored_database(drifts: dict[str, Any], verified: list[dict[str, Any]], words: str) -> None:
    databases = [{"name": "shop", "bytes": 1, "revisions": []}]
    assert _restore_report.with_drift(databases, drifts, verified) == [{**databases[0], "drift": words}]
