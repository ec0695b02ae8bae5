"""What a bucket lacks to keep backups against deletion, and what it can never be."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._backup_bucket import (
    EXPIRE,
    LOCK,
    MAKE,
    Found,
    Wanted,
    plan,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

LOCKED = Found(True, True, "COMPLIANCE", 30, 45)


@pytest.mark.parametrize(
    ("found", "wanted", "steps", "after"),
    [
        (Found(False), Wanted(30), (MAKE, LOCK), Found(True, True, "COMPLIANCE", 30)),
        (Found(False), Wanted(30, expiry=45), (MAKE, LOCK, EXPIRE), LOCKED),
        (LOCKED, Wanted(30, expiry=45), (), LOCKED),
        (LOCKED, Wanted(30), (), LOCKED),
        (LOCKED, Wanted(31, expiry=45), (LOCK,), Found(True, True, "COMPLIANCE", 31, 45)),
        (LOCKED, Wanted(7, "GOVERNANCE", 45), (), LOCKED),
        (LOCKED, Wanted(7, expiry=10), (EXPIRE,), Found(True, True, "COMPLIANCE", 30, 30)),
        (Found(True, True, "GOVERNANCE", 30, 45), Wanted(30, expiry=45), (LOCK,), LOCKED),
        (Found(True, True, None, 0, 45), Wanted(30, expiry=45), (LOCK,), LOCKED),
    ],
)
def test_plan(found: Found, wanted: Wanted, steps: tuple[str, ...], after: Found) -> None:
    decided = plan(found, wanted, "backups")
    assert (decided.steps, decided.after) == (steps, after)
    assert plan(decided.after, wanted, "backups").steps == ()


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        (LOCKED, Wanted(7, expiry=45), "locked for 30 days, longer than the 7 asked for"),
        (LOCKED, Wanted(30, "GOVERNANCE", 45), "in COMPLIANCE mode, stricter than GOVERNANCE"),
        (Found(False), Wanted(30, "GOVERNANCE"), "an administrator's key can lift locks in GOVERNANCE mode"),
        (Found(False), Wanted(30), "former versions in backups stay for good"),
    ],
)
def test_notes(found: Found, wanted: Wanted, words: str) -> None:
    assert any(words in note for note in plan(found, wanted, "backups").notes)


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        (Found(True), Wanted(30), "the bucket backups has no object lock, and a bucket gets it when it is made"),
        (Found(False), Wanted(0), "lock_days is 0"),
        (LOCKED, Wanted(30, expiry=29), "expire_days is 29, and files are locked for 30"),
    ],
)
def test_refusals(found: Found, wanted: Wanted, words: str) -> None:
    with pytest.raises(StewardError, match=words):
        plan(found, wanted, "backups")
