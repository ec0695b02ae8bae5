"""The pure parts of a way back and of a stamp, and the documentation of both."""

from __future__ import annotations

import importlib.util
import py_compile
import textwrap
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _downgrade,
    _journal,
    _revisions,
    _run_downgrade,
    _run_stamp,
    _stamp,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import RunnerError, read_graph
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._journal import Entry
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer, Applied, Failure, Revision
from ansible_collections.pgsteward.postgres.plugins.module_utils._verify import Weighed

# Targets, as alembic itself understands them


class Tree:
    """A history in a directory: revision -> the revisions below it, and perhaps its branch."""

    def __init__(self, root: Path, history: dict[str, tuple[tuple[str, ...], str | None]]) -> None:
        versions = root / "versions"
        versions.mkdir()
        for name, (down, label) in history.items():
            below = repr(down[0] if len(down) == 1 else down or None)
            text = f"revision = {name!r}\ndown_revision = {below}\nbranch_labels = {(label,) if label else None!r}\n"
            (versions / f"{name}.py").write_text(text)
        self.script = ScriptDirectory(str(root))
        self.graph, _notes = read_graph(self.script)


BRANCHES = {
    "r1": ((), None),
    "r2": (("r1",), None),
    "r3": (("r2",), None),
    "left": (("r3",), "port"),
    "right1": (("r3",), "starboard"),
    "right2": (("right1",), None),
    "merged": (("left", "right2"), None),
}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A history with two branches that meet again."""
    return Tree(tmp_path, BRANCHES)


@pytest.mark.parametrize(
    ("current", "target", "back"),
    [
        (["r3"], "r1", ["r3", "r2"]),
        (["r3"], "r3", []),
        (["r3"], "-1", ["r3"]),
        (["r3"], "-3", ["r3", "r2", "r1"]),
        (["r3"], "r3-2", ["r3", "r2"]),
        (["r3"], "base", ["r3", "r2", "r1"]),
        (["left"], "starboard@base", ["left", "r3", "r2", "r1"]),  # the roots are everybody's
        ([], "base", []),
        (["left", "right2"], "lef", []),
        (["left", "right2"], "right1", ["right2"]),
        (["left", "right2"], "starboard@-1", ["right2"]),
        (["merged"], "left", ["merged"]),
        (["merged"], "right1", ["merged", "right2"]),
    ],
)
def test_way_back(current: list[str], target: str, back: list[str], tree: Tree) -> None:
    assert _run_downgrade.way_back(target, tree.script, tree.graph, current) == back


@pytest.mark.parametrize(
    ("current", "target", "message"),
    [
        (["r2"], "-9", "revision '-9' leads below base: the database is at r2, 2 above it"),
        ([], "-1", "revision '-1' leads below base: the database is at no revision"),
        (
            ["r2"],
            "r3",
            "revision r3 is not below: the database is at r2, and only alembic_upgrade leads to what it lacks",
        ),
        (["left"], "right1", "revision right1 is not below"),
        ([], "r1", "revision r1 is not below: the database is at no revision"),
        (["r2"], "nothing", "the project has no revision 'nothing'; the database is at r2"),
        (["r2"], "r", "revision 'r' is ambiguous: r1, r2, r3, right1, right2"),
        (["r2"], "heads", "revision 'heads' leads forward"),
        (["r2"], "+1", "revision '+1' leads forward"),
        (["left", "right2"], "-1", "revision '-1' is ambiguous, as the database is at left, right2: name"),
        (["merged"], "-1", "revision '-1' is no way back: the database is at merged"),
        (["r2"], "nobody@base", "the project has no branch 'nobody': it has port, starboard"),
    ],
)
def test_no_way_back(current: list[str], target: str, message: str, tree: Tree) -> None:
    with pytest.raises(RunnerError) as caught:
        _run_downgrade.way_back(target, tree.script, tree.graph, current)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "targets", "after", "whole"),
    [
        ([], ["heads"], ["merged"], False),
        ([], ["r2", "left"], ["left"], False),
        (["left"], ["right1"], ["left", "right1"], False),
        (["left", "right2"], ["left", "right1"], ["left", "right1"], True),  # alembic's steps would lose left
        (["left", "right2"], ["r2"], ["r2"], False),
        (["left", "right2"], ["merged"], ["merged"], False),
        (["r2"], ["port", "right2"], ["left", "right2"], False),
        (["r1", "r3"], ["right2"], ["right2"], True),  # r1 is below r3: no run of alembic's wrote this
        (["left", "gone"], ["right1"], ["left", "right1"], True),
        (["gone"], ["base"], [], True),
        (["left", "right2"], ["base"], [], False),
        (["merged"], ["mer"], ["merged"], False),
    ],
)
def test_rows_of_a_stamp(rows: list[str], targets: list[str], after: list[str], whole: bool, tree: Tree) -> None:
    facts: dict[str, Any] = {}
    stamp = _run_stamp.Stamp({"targets": targets}, facts.update, tree.script)
    stamp.plan(Context(rows))
    assert (stamp.after, stamp.whole) == (after, whole)
    assert (facts["current"], facts["targets"]) == (sorted(rows), after)
    # What alembic would do from there leads there.
    start = () if whole else tuple(rows)
    assert _run_stamp.reached(start, stamp.steps(start, None)) == after


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["-1"], "revision '-1' is relative"),
        (["r1", "base"], "revision 'base' stands alone"),
        (["nobody@base"], "the project has no branch 'nobody'"),
        (["r"], "revision 'r' is ambiguous"),
        (["nothing"], "no revision 'nothing'"),
    ],
)
def test_wrong_rows(targets: list[str], message: str, tree: Tree) -> None:
    with pytest.raises(RunnerError, match=message):
        _run_stamp.wanted(targets, tree.script, tree.graph)


class Context:
    """As much of a MigrationContext as the plan of a stamp needs."""

    version_table, version_table_schema = "alembic_version", None

    def __init__(self, rows: list[str]) -> None:
        self.connection = self
        self._rows = rows
        self.description = [("path",)]

    def get_current_heads(self) -> tuple[str, ...]:
        return tuple(self._rows)

    def cursor(self) -> Context:
        return self

    def execute(self, _statement: str) -> None: ...

    def fetchone(self) -> tuple[str]:
        return ('["public"]',)

    def in_transaction(self) -> bool:
        return True

    def close(self) -> None: ...


# What a function does


@pytest.mark.parametrize(
    ("body", "deed"),
    [
        ("pass", "does nothing"),
        ('"""Nothing."""', "does nothing"),
        ("...", "does nothing"),
        ("return", "does nothing"),
        ('"""Nothing."""\n# really\npass\nreturn None', "does nothing"),
        ("return 0\nop.drop_table('t')", "does nothing"),
        ("raise NotImplementedError", "raises NotImplementedError"),
        ('"""No."""\nraise NotImplementedError("write the way back")', "raises NotImplementedError"),
        ("op.drop_table('t')", None),
        ("return op.drop_table('t')", None),
        ("if op:\n    raise NotImplementedError", None),
        ("op.drop_table('t')\nraise NotImplementedError", None),
        ("for _ in ():\n    pass", None),
    ],
)
@pytest.mark.parametrize("compiled", [False, True], ids=["source", "compiled"])
def test_deed_of(body: str, deed: str | None, compiled: bool, tmp_path: Path) -> None:
    assert _deed(f"def downgrade():\n{textwrap.indent(body, '    ')}\n", compiled, tmp_path) == deed


@pytest.mark.parametrize(
    ("text", "deed"),
    [
        ("def downgrade():\n    raise RuntimeError('no')\n", "raises RuntimeError"),
        ("def nothing():\n    pass\ndowngrade = nothing\n", "does nothing"),
        ("def downgrade():\n    pass\ndef undo():\n    op.drop()\ndowngrade = undo\n", None),
        ("def twice(f):\n    return lambda: f() or f()\n@twice\ndef downgrade():\n    pass\n", None),
        ("if True:\n    def downgrade():\n        pass\n", "does nothing"),
        ("downgrade = print\n", None),
        ("def downgrade(engine):\n    globals()['downgrade_' + engine]()\n", None),
    ],
)
def test_other_ways_to_define_it(text: str, deed: str | None, tmp_path: Path) -> None:
    assert _deed(text, False, tmp_path) == deed


def _deed(text: str, compiled: bool, tmp_path: Path) -> str | None:
    source = tmp_path / "r1.py"
    source.write_text(text)
    path = Path(py_compile.compile(str(source), str(tmp_path / "compiled" / "r1.pyc"))) if compiled else source
    spec = importlib.util.spec_from_file_location("r1", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return _run_downgrade.deed_of(module, "downgrade", str(path))


# What is said


R1, R2 = Revision("r1", "make r1", "versions/r1.py"), Revision("r2", "make r2", "versions/r2.py")
GRAPH = {
    name: {"down": down, "message": f"make {name}", "path": f"versions/{name}.py", "labels": []}
    for name, down in {"r1": [], "r2": ["r1"]}.items()
}


@pytest.mark.parametrize(
    ("confirm", "pending", "check", "message"),
    [
        ("shop", (R2,), False, None),
        (None, (), False, None),
        (None, (R2,), True, None),
        (
            None,
            (R2, R1),
            False,
            "confirm is missing: r2 (make r2), r1 (make r1) would be taken back from database shop",
        ),
        ("stop", (R2,), True, "confirm is 'stop': r2 (make r2) would be taken back from database shop"),
        ("stop", (), False, "confirm is 'stop', and this database is shop"),
    ],
)
def test_confirm_note(confirm: str | None, pending: tuple[Revision, ...], check: bool, message: str | None) -> None:
    found = _downgrade.confirm_note(confirm, "shop", pending, check)
    assert found == message if message is None else message in str(found)


def test_many_revisions_are_counted() -> None:
    assert _downgrade.some([f"r{number}" for number in range(12)], 10).endswith("r9 and 2 more")


def test_a_failure_on_the_way_back() -> None:
    answer = Answer(
        current=("r2",),
        graph=GRAPH,
        running=R1,
        failure=Failure("sad", "versions/r1.py line 3", False),
        version_table="v",
    )
    assert _revisions.failure_message(answer, ["r1"], "", [Applied(R2, 0.1)], back=True) == (
        "revision r1 (make r1) failed on the way back: sad (versions/r1.py line 3); taken back before: r2; the database is at"
        " r1; mend versions/r1.py and run again"
    )


@pytest.mark.parametrize(
    ("current", "back", "exact"), [([], ["r2", "r1"], False), (["r1"], ["r2"], True), (["r2"], [], False), (["x"], ["r2", "r1"], False)]
)  # fmt: skip
def test_what_was_taken_back(current: list[str], back: list[str], exact: bool) -> None:
    answer = Answer(targets=("r1",), graph=GRAPH, applied=(Applied(R2, 0.1), Applied(R1, 0.1)))
    assert [item.revision.revision for item in _revisions.taken_back(answer, current)] == back
    assert _revisions.exactly_at(answer, current) == exact


@pytest.mark.parametrize(
    ("current", "tables", "state"),
    [((), False, "fresh"), ((), True, "legacy"), (("r1",), True, "behind"), (("r2",), True, "managed"), (("x",), True, "diverged")],
)  # fmt: skip
def test_standing_of(current: tuple[str, ...], tables: bool, state: str) -> None:
    assert _revisions.standing_of(Answer(current=current, heads=("r2",), graph=GRAPH), tables) == state


def test_what_failed_on_the_way_back_was_not_edited(tmp_path: Path) -> None:
    (tmp_path / "r1.py").write_text("mended\n")
    entries = {"r1": Entry("r1", "old", "2026-11-21 12:00:00", False, "on the way back: sad", "700")}
    assert _journal.edited(entries, {"r1"}, {"r1": "new"}) == []
    found = _journal.examine(NoIndexes(), entries, {"r1"}, {"r1": "r1.py"}, str(tmp_path), ())  # type: ignore[arg-type]
    assert (found.edited, found.unsettled, list(found.accepted)) == ((), ("r1",), ["r1"])
    assert (
        "revision r1 failed in an earlier run, started 2026-11-21 12:00:00 UTC (on the way back: sad)" in found.notes[0]
    )
    assert list(found.failed) == ["r1"]


class NoIndexes:
    """A connection to a database without invalid indexes."""

    def execute(self, *_arguments: Any) -> NoIndexes:
        return self

    def fetchall(self) -> list[Any]:
        return []


def test_differences_are_sorted_out() -> None:
    missing, changed = Drift("table a", "existence", "present", "absent"), Drift("column a.b", "type", "int", "text")
    extra = Drift("table c", "existence", "absent", "present")
    weighed = [Weighed(item, "cosmetic", "") for item in (missing, changed, extra)]
    weighed.append(Weighed(extra, "cosmetic", "", "why not"))
    found = _stamp.Compared.of(weighed)
    assert ([item.drift for item in found.standing], found.extra, len(found.accepted)) == (
        [missing, changed],
        ("table c",),
        1,
    )


STAMP = Answer(current=("r1",), targets=("r2",), graph=GRAPH)


@pytest.mark.parametrize(
    ("force", "confirm", "answer", "check", "message"),
    [
        (True, "shop", STAMP, False, None),
        (False, None, STAMP, False, None),
        (True, None, STAMP, True, None),
        (True, None, Answer(current=("r1",), targets=("r1",)), False, None),
        (True, None, STAMP, False, "confirm is missing: force would mark database shop as r2 instead of r1"),
        (True, "stop", STAMP, True, "confirm is 'stop': force would mark database shop"),
        (False, "stop", STAMP, False, "confirm is 'stop', and this database is shop"),
    ],
)
def test_confirm_note_of_a_stamp(
    force: bool, confirm: str | None, answer: Answer, check: bool, message: str | None
) -> None:
    found = _stamp.confirm_note(force, confirm, "shop", answer, check)
    assert found == message if message is None else message in str(found)
