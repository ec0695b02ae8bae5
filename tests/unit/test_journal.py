"""What the journal says, without a database."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _journal
from ansible_collections.pgsteward.postgres.plugins.module_utils._journal import Entry


def entry(revision: str, sha256: str | None = "old", *, finished: bool = True, error: str | None = None) -> Entry:
    return Entry(revision, sha256, "2026-11-21 12:00:00", finished, error, "700")


@pytest.mark.parametrize(
    ("applied", "digests", "expected"),
    [
        ({"r1", "r2"}, {"r1": "old", "r2": "new"}, ["r2"]),
        ({"r1", "r2"}, {"r1": "new", "r2": "new"}, ["r1", "r2"]),
        ({"r1"}, {"r2": "new"}, []),
        ({"r1"}, {"r1": None}, []),
        ({"r1", "r3"}, {"r1": "old", "r3": "new"}, []),
    ],
    ids=["one", "both", "not applied", "cannot be read", "unknown"],
)
def test_edited(applied: set[str], digests: dict[str, str | None], expected: list[str]) -> None:
    entries = {name: entry(name) for name in ("r1", "r2")}
    assert _journal.edited(entries, applied, digests) == expected


def test_a_revision_without_a_digest_is_not_judged() -> None:
    assert _journal.edited({"r1": entry("r1", None)}, {"r1"}, {"r1": "new"}) == []


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "r1.py").write_text("pass\n")
    assert _journal.digest(str(tmp_path), "r1.py") == hashlib.sha256(b"pass\n").hexdigest()
    assert _journal.digest(str(tmp_path), "r2.py") is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "an earlier run was cut short in revision r1, started 2026-11-21 12:00:00 UTC"),
        ("sad", "revision r1 failed in an earlier run, started 2026-11-21 12:00:00 UTC (sad)"),
    ],
)
def test_an_open_entry_tells_what_happened(error: str | None, text: str) -> None:
    assert str(entry("r1", finished=False, error=error)) == text


def test_drop_remedy() -> None:
    assert (
        _journal.drop_remedy(["public.a", '"B".c']) == 'DROP INDEX CONCURRENTLY public.a; DROP INDEX CONCURRENTLY "B".c'
    )
    assert _journal.drop_remedy([]) == ""
