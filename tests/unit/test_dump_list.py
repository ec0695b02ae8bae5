"""The dumps of a directory: listed, verified, and removed by rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_list as dumps
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_names import name_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_retention import Policy
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target, target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

NOW = datetime(2026, 3, 15, 2, 0, tzinfo=UTC)
Make = Callable[..., str]


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return target_of({"path": str(tmp_path / "dumps")})


@pytest.fixture
def encrypting(tmp_path: Path) -> Target:
    key = tmp_path / "key"
    key.write_text("07" * 32)
    key.chmod(0o600)
    return target_of({"path": str(tmp_path / "dumps"), "encryption_key_file": str(key)})


def make(target: Target, age: float, database: str = "orders", finished: bool = True) -> str:
    """Put a small dump into a store; return its name."""
    name = str(name_of("lab", NOW - timedelta(days=age)))
    key = f"{database}/{name}"
    files: list[File] = [
        target.put(key, ".dump", "dump", b"rows"),
        target.put(key, ".globals.sql.gz", "globals", b"roles"),
    ]
    manifest = Manifest(
        name, database, "lab", "postgresql", "2026-01-01T00:00:00Z", 1.0, "db1", "custom", "gzip", "17.6", "17.6", tuple(files),
        rows={"public.t": 1},
    )  # fmt: skip
    if finished:
        target.put(key, ".manifest.json", "manifest", manifest.as_text().encode())
    return name


def damage(target: Target, name: str, ending: str = ".dump", database: str = "orders") -> None:
    """Flip a bit."""
    path = target.store.root / database / f"{name}{ending}"  # type: ignore[attr-defined]
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def test_listing(target: Target) -> None:
    old, new, other = make(target, 2), make(target, 1), make(target, 1, "shop")
    lost = make(target, 0, finished=False)
    (target.store.root / "orders" / "notes.txt").write_text("x")  # type: ignore[attr-defined]
    here = dumps.listing(target)
    assert [(dump.found.database, dump.name, dump.good) for dump in here.dumps] == [
        ("orders", old, True),
        ("orders", new, True),
        ("shop", other, True),
    ]
    assert [str(found.name) for found in here.unfinished] == [lost]
    assert [dump.name for dump in dumps.listing(target, "shop").dumps] == [other]
    assert [dump.name for dump in dumps.listing(target, wanted=[new]).dumps if dump.found.database == "orders"] == [new]
    told = here.dumps[0].as_return()
    assert (told["name"], told["verified"], told["findings"], "rows" in told) == (old, False, [], False)
    assert here.dumps[0].as_return(rows=True)["rows"] == {"public.t": 1}


def test_a_missing_file_is_seen_without_reading(target: Target) -> None:
    name = make(target, 1)
    target.store.remove(f"orders/{name}.dump")
    [dump] = dumps.listing(target).dumps
    assert (dump.good, dump.findings) == (False, (f"orders/{name}.dump is missing",))


@pytest.mark.parametrize("ending", [".dump", ".globals.sql.gz"])
def test_a_flipped_bit_is_found_and_named(target: Target, ending: str) -> None:
    make(target, 2)
    name = make(target, 1)
    damage(target, name, ending)
    verified = [dumps.verify(target, dump) for dump in dumps.listing(target).dumps]
    assert [(dump.good, dump.verified) for dump in verified] == [(True, True), (False, True)]
    assert len(verified[1].findings) == 1
    assert verified[1].findings[0].startswith(f"orders/{name}{ending} is damaged: its SHA-256 is ")


def test_encrypted_dumps(target: Target, encrypting: Target) -> None:
    name = make(encrypting, 1)
    [dump] = dumps.listing(encrypting).dumps
    assert dump.good
    assert dumps.verify(encrypting, dump).good
    damage(encrypting, name, ".dump.enc")
    assert "is damaged" in dumps.verify(encrypting, dump).findings[0]
    # Without the key it is listed, and nobody says that it is good.
    [dump] = dumps.listing(target).dumps
    assert not dump.good
    assert "is encrypted with the key" in dump.as_return()["findings"][0]


def test_a_manifest_that_was_put_elsewhere_is_refused(target: Target) -> None:
    old, new = make(target, 2), make(target, 1)
    root = target.store.root / "orders"  # type: ignore[attr-defined]
    (root / f"{old}.manifest.json").replace(root / f"{new}.manifest.json")
    [dump] = dumps.listing(target).dumps
    assert "somebody put it there" in str(dump.problem)


def test_pruning(target: Target) -> None:
    made = [make(target, age) for age in (40, 20, 1)]
    make(target, 40, "shop")
    pruning = dumps.plan_pruning(target, "orders", Policy(days=30), NOW)
    assert [str(found.name) for found in pruning.removed] == made[:1]
    assert len(dumps.listing(target).dumps) == 4
    told = dumps.prune(target, "orders", pruning).as_return()
    assert (told["changed"], told["removed"], told["freed_bytes"]) == (True, made[:1], pruning.bytes)
    assert [dump.name for dump in dumps.listing(target, "orders").dumps] == made[1:]
    assert not list(target.store.root.glob(f"orders/{made[0]}*"))  # type: ignore[attr-defined]
    again = dumps.plan_pruning(target, "orders", Policy(days=30), NOW)
    assert again.as_return()["changed"] is False


def test_leftovers_go_once_they_are_old(target: Target) -> None:
    make(target, 0)
    lost = make(target, 1, finished=False)
    for hours, gone in ((1, []), (30, [lost])):
        pruning = dumps.plan_pruning(target, "orders", Policy(count=1), datetime.now(UTC) + timedelta(hours=hours))
        assert [str(found.name) for found in pruning.leftovers] == gone


def test_a_dump_that_is_known_to_be_damaged_takes_nobody_s_place(target: Target) -> None:
    good, bad = make(target, 2), make(target, 1)
    pruning = dumps.plan_pruning(target, "orders", Policy(count=1), NOW, known_bad=[bad])
    assert list(pruning.kept) == [good]


def test_dumps_that_cannot_be_read_here_are_not_taken_for_damaged(target: Target, encrypting: Target) -> None:
    make(encrypting, 2)
    new = make(encrypting, 1)
    assert list(dumps.plan_pruning(target, "orders", Policy(count=1), NOW).kept) == [new]


def test_nothing_goes_when_the_rules_want_nothing(target: Target) -> None:
    make(target, 40)
    with pytest.raises(StewardError, match="would remove every dump, 1 of them, the newest from 2026-02-03"):
        dumps.plan_pruning(target, "orders", Policy(days=30), NOW)
