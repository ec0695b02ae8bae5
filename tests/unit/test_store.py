"""The store that is a directory: files are there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _store
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import LocalStore

KEY = "orders/backup_lab_20260131_020005.dump"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "dumps")


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_file_is_there_when_it_is_whole(store: LocalStore) -> None:
    store.features()
    sink = store.sink(KEY)
    sink.write(b"one ")
    assert store.items() == []
    sink.write(b"two")
    stored = sink.finish()
    assert (stored.key, stored.size) == (KEY, 7)
    assert stored.sha256 == hashlib.sha256(b"one two").hexdigest()
    [item] = store.items()
    assert (item.key, item.size) == (KEY, 7)
    assert b"".join(store.chunks(KEY)) == b"one two"
    assert b"".join(store.chunks(KEY, 4)) == b"two"
    assert names(store.root) == [KEY]
    assert (store.root / KEY).stat().st_mode & 0o777 == 0o640


def test_abort_leaves_nothing(store: LocalStore) -> None:
    sink = store.sink(KEY)
    sink.write(b"x")
    sink.abort()
    assert names(store.root) == []
    assert not (store.root / "orders").exists()


def test_a_writer_that_died_leaves_something_to_sweep(store: LocalStore) -> None:
    dead, alive = store.sink(KEY), store.sink("orders/backup_lab_20260201_020005.dump")
    dead.write(b"x")
    dead._stream.close()  # type: ignore[attr-defined]  # as the kernel does
    assert store.items() == []
    assert store.sweep("other/") == []
    assert store.sweep("orders/") == [KEY]
    assert store.sweep() == []
    alive.finish()
    assert len(store.items()) == 1


def test_two_writers_of_one_file(store: LocalStore) -> None:
    _first = store.sink(KEY)
    with pytest.raises(StewardError, match="is being written by another run"):
        store.sink(KEY)


def test_upload_and_remove(store: LocalStore, tmp_path: Path) -> None:
    file = tmp_path / "toc.dat"  # beside the store, and no part of it
    file.write_bytes(b"toc")
    key = "orders/backup_lab_20260131_020005/toc.dat"
    assert store.upload(key, file).sha256 == _store.digest_of(file)
    assert [item.key for item in store.items("orders/")] == [key]
    assert store.items() == store.items("order") == store.items("orders/backup_lab")
    assert store.items("other/") == []
    store.remove(key)
    store.remove(key)
    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/."])
def test_keys_stay_in_the_store(store: LocalStore, key: str) -> None:
    with pytest.raises(StewardError, match="leaves the store"):
        store.path(key)


def test_no_space_left(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = store.sink(KEY)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StewardError, match=f"no space is left in {store.root} \\([0-9.]+ [A-Za-z]+ free\\): make room"):
        sink.finish()


def test_a_dry_look_makes_nothing(store: LocalStore, tmp_path: Path) -> None:
    store.features(dry=True)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for dry in (True, False):
        with pytest.raises(StewardError, match="file"):
            LocalStore(tmp_path / "file" / "dumps").features(dry)


@pytest.mark.parametrize(
    ("needed", "free", "words"),
    [
        (100, 100, None),
        (100, None, None),
        (
            3 << 30,
            5 << 20,
            "not enough space: the dump takes up to 3.0 GB, and /srv has 5.0 MB free; make room, then run again",
        ),
    ],
)
def test_room(needed: int, free: int | None, words: str | None) -> None:
    assert _store.room_finding(needed, free, "/srv", "the dump") == words


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 kB"), (1 << 40, "1.0 TB"), (5 << 41, "10.0 TB")],
)
def test_sizes(count: int, text: str) -> None:
    assert _store.readable_size(count) == text
