"""Restore drills of dumps: which dump is proven, what counts as proven, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _drill, _drill_report, _dump_drill
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_config import (
    damaged_in,
    mark_damaged,
    read_state,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_list import Shelf
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_names import name_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target, target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

NOON = 1790856000.0  # 2026-10-01 12:00 UTC
MANIFEST = Manifest(
    "backup_lab_20261001_020000", "shop", "lab", "postgresql", "2026-10-01T02:00:00Z", 1.0, "db1", "custom", "gzip", "17.6", "17.6", (),
    rows={"public.orders": 3}, revisions={"public.alembic_version": ["002"]},
)  # fmt: skip
CATALOG = {"equal": True, "expected": "ab", "found": "ab", "differences": [], "count": 0}
OTHER = {"equal": False, "expected": "ab", "found": "cd", "differences": ["table public.orders: existence"], "count": 1}
RESULT: dict[str, Any] = {
    "seconds": 2.0,
    "rows": {"tables": 2, "expected": 3, "found": 3},
    "catalog": CATALOG,
    "revisions": {"public.alembic_version": ["002"]},
    "notes": [],
}


@pytest.fixture
def near(tmp_path: Path) -> Target:
    return target_of({"path": str(tmp_path / "near"), "name": "near"})


def put(target: Target, day: int, **change: Any) -> str:
    """Put a small dump into a store; return its name."""
    name = str(name_of("lab", datetime(2026, 10, day, 2, tzinfo=UTC)))
    files = (target.put(f"shop/{name}", ".dump", "dump", b"rows"),)
    manifest = replace(MANIFEST, name=name, files=files, **change)
    target.put(f"shop/{name}", ".manifest.json", "manifest", manifest.as_text().encode())
    return name


def test_the_newest_dump_is_proven(near: Target) -> None:
    put(near, 1)
    newest = put(near, 2)
    entries: list[dict[str, Any]] = []
    case = _dump_drill.choose(Shelf(near), "shop", entries)
    assert case is not None
    assert (case.manifest.name, case.about) == (newest, " shop from near")
    assert entries == [
        {"store": "near", "database": "shop", "name": newest, "error": None, "begun": "2026-10-01T02:00:00Z", "format": "custom",
         "stored_bytes": 4},
    ]  # fmt: skip


def test_there_is_no_dump(near: Target) -> None:
    entries: list[dict[str, Any]] = []
    assert _dump_drill.choose(Shelf(near), "shop", entries) is None
    assert entries[0]["error"] == "there is no dump of shop"


def test_an_older_dump_does_not_stand_in_for_a_bad_one(near: Target) -> None:
    put(near, 1)
    bad = put(near, 2)
    near.store.remove(f"shop/{bad}.dump")
    entries: list[dict[str, Any]] = []
    assert _dump_drill.choose(Shelf(near), "shop", entries) is None
    assert entries[0]["error"] == f"shop/{bad}.dump is missing"


def test_rows_alone_are_skipped(near: Target) -> None:
    put(near, 1, content="data")
    entries: list[dict[str, Any]] = []
    assert _dump_drill.choose(Shelf(near), "shop", entries) is None
    assert (entries[0]["error"], entries[0]["skipped"]) == (
        None,
        "it has rows only, which go into a database that is there",
    )


@pytest.mark.parametrize(
    ("change", "manifest", "major", "words"),
    [
        ({}, {}, 17, None),
        ({"catalog": None}, {}, 17, None),
        ({"catalog": OTHER}, {}, 17, "the catalog differs from that of the manifest in 1 places: table public.orders: existence"),
        ({"catalog": OTHER}, {}, 18, None),
        ({"revisions": {"public.alembic_version": ["001"]}}, {}, 17, "the revisions are {'public.alembic_version': ['001']}"),
        ({"revisions": {"public.alembic_version": []}}, {"content": "schema"}, 17, None),
    ],
)  # fmt: skip
def test_what_a_restore_brought_is_held_against_the_manifest(
    change: dict[str, Any], manifest: dict[str, Any], major: int, words: str | None
) -> None:
    found = _dump_drill.difference(replace(MANIFEST, **manifest), {**RESULT, **change}, major)
    assert found is None if words is None else words in str(found)


def proven(**change: Any) -> dict[str, Any]:
    """Return the entry of a dump that was proven."""
    entry = {"store": "near", "database": "shop", "name": "backup_lab_20261001_020000", "error": None}
    _dump_drill.note_result(entry, RESULT, 8 << 20, ["a note"])
    return {**entry, "amcheck": "no damage", "proven": True, **change}


def record(*dumps: dict[str, Any]) -> dict[str, Any]:
    steps = {"restore": {"seconds": 5.0}, "read": {"seconds": 1.0, "damaged": 0}}
    return {
        "kind": "dump", "cluster": "lab", "host": "db1", "begun": NOON, "proven": NOON, "error": None, "seconds": 9.0, "removed": True,
        "steps": steps, "dumps": list(dumps),
    }  # fmt: skip


FAILED = {"store": "off|site", "database": "shop", "name": None, "error": "there is no dump of shop"}


def test_the_sum() -> None:
    found = record(proven(), proven(store="offsite"), {**FAILED, "error": None, "skipped": "rows only"})
    _dump_drill.sum_up(found)
    assert found["steps"]["restore"] == {"seconds": 5.0, "bytes": 16 << 20, "bytes_per_second": 4 << 20}


@pytest.mark.parametrize(
    ("dumps", "words"),
    [
        ((proven(), FAILED), r"^shop from off\|site: there is no dump of shop$"),
        ((proven(error="a", proven=None), FAILED), "^shop from near: a; shop from off"),
        ((), "^there is no dump that could be proven$"),
        (({**FAILED, "error": None, "skipped": "rows only"},), "^there is no dump that could be proven$"),
    ],
)
def test_the_sum_of_what_failed(dumps: tuple[dict[str, Any], ...], words: str) -> None:
    with pytest.raises(StewardError, match=words):
        _dump_drill.sum_up(record(*dumps))


def test_damage_that_pg_amcheck_found_is_not_covered_by_what_was_well() -> None:
    found = record({key: value for key, value in proven(error="damage").items() if key not in ("amcheck", "proven")})
    with pytest.raises(StewardError):
        _dump_drill.sum_up(found)
    assert "| pages and indexes | not as they should be, or not read to the end |" in _drill_report.page(
        {**found, "last_proven": None}
    )


def test_the_page_and_the_figures() -> None:
    found = {**record(proven(), FAILED), "last_proven": NOON, "error": "shop from offsite: there is no dump of shop"}
    page = _drill_report.page(found)
    assert page.startswith("# Restore drill of dumps of lab: failed\n")
    assert (
        "| shop | near | backup_lab_20261001_020000 | 8 | 2.0 | 4 | 2 | 3 | as in the manifest | 002 | proven |" in page
    )
    assert "| there is no dump of shop |\n" in page
    assert 'pgsteward_restore_drill_success{cluster="lab",kind="dump"} 0\n' in _drill_report.figures(found)


def test_the_files_and_since_when_a_record_counts(tmp_path: Path) -> None:
    _drill_report.write(record(proven()), tmp_path, [])
    assert {path.name for path in tmp_path.iterdir()} == {
        "dumps.json", "dumps.md", "dumps.prom", "dumps-20261001T120000Z.json",
    }  # fmt: skip
    assert (_drill_report.since("dump", NOON, tmp_path) or {})["last_proven"] == NOON
    assert _drill_report.since("dump", NOON + 1, tmp_path) is None
    assert _drill_report.since("physical", NOON, tmp_path) is None


def test_a_dump_that_was_found_damaged_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "dumps.json"
    for name in ("b", "a", "b"):
        mark_damaged(path, "shop", "near", name, datetime(2026, 10, 1, tzinfo=UTC))
    assert damaged_in(read_state(path), "shop", "near") == ["a", "b"]


# The frame


def test_a_drill_that_fails_leaves_its_reason_and_nothing_else(tmp_path: Path) -> None:
    base = tmp_path / "drill"

    def prove(record: _drill.Record) -> None:
        _dump_drill._prepare(base)
        with _drill.step(record, "restore", lambda _text: None):
            raise StewardError("no such dump")

    found = _drill.run(base, "dump", "lab", prove, lambda: NOON)
    assert (found["error"], found["proven"], found["removed"]) == ("no such dump", None, True)
    assert found["steps"]["restore"]["done"] is False
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_is_done_twice_adds_up() -> None:
    record: dict[str, Any] = {"steps": {}}
    said: list[str] = []
    for number in range(2):
        with _drill.step(record, "restore", said.append, f" {number}") as note:
            note["seconds"] = 100.0  # what is noted of a step does not count twice
    assert record["steps"]["restore"]["done"]
    assert record["steps"]["restore"]["seconds"] < 1
    assert [line.partition(":")[0] for line in said] == ["restore 0", "restore 1"]


def test_a_store_that_does_not_answer_is_asked_once(near: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def items(prefix: str = "") -> Any:
        asked.append(prefix)
        raise StewardError("it does not answer")

    monkeypatch.setattr(near.store, "items", items)
    shelf, entries = Shelf(near), []  # type: ignore[var-annotated]
    assert [_dump_drill.choose(shelf, name, entries) for name in ("shop", "faces")] == [None, None]
    assert [entry["error"] for entry in entries] == ["it does not answer"] * 2
    assert len(asked) == 1
