"""Directory trees as data, and what makes one of another."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _tree
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


def test_read_leaves_caches_out(tmp_path: Path) -> None:
    for name in ("a.py", "versions/001.py", "__pycache__/a.pyc", ".git/HEAD", "versions/stale.pyc"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert _tree.read(tmp_path) == {"a.py": b"a.py", "versions/001.py": b"versions/001.py"}


def test_pack_and_unpack_keep_every_byte() -> None:
    tree = {"a": bytes(range(256)), "b/c": b""}
    assert _tree.unpack(_tree.pack(tree)) == tree


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x"])
def test_unpack_stays_below_its_directory(name: str) -> None:
    with pytest.raises(StewardError, match="leaves the directory"):
        _tree.unpack(_tree.pack({name: b""}))


@pytest.mark.parametrize(
    ("current", "wanted", "written", "removed"),
    [
        ({}, {}, (), ()),
        ({}, {"b": b"", "a": b""}, ("a", "b"), ()),
        ({"a": b"1"}, {"a": b"1"}, (), ()),
        ({"a": b"1"}, {"a": b"2"}, ("a",), ()),
        ({"a": b"1", "old": b""}, {"a": b"1"}, (), ("old",)),
    ],
)
def test_plan(current: _tree.Tree, wanted: _tree.Tree, written: tuple[str, ...], removed: tuple[str, ...]) -> None:
    assert _tree.plan(current, wanted) == _tree.Plan(written, removed)


def test_diffs_show_text_and_the_size_of_the_rest() -> None:
    current, wanted = {"a": b"old\n"}, {"a": b"new\n", "b": b"\xff\xfe"}
    shown = _tree.diffs(current, wanted, _tree.plan(current, wanted))
    assert [(diff["before"], diff["after"]) for diff in shown] == [("old\n", "new\n"), ("", "(2 bytes)\n")]
