"""How far the WAL of a directory goes, and whether the primary has all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _controldata, _standby_data
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import ControlData, Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._standby_data import (
    ARGUMENTS,
    Standby,
    ask_primary,
    beyond,
    forks,
    reached,
    with_paths,
)

HERE = Standby(Path("/data"), Path("/bin"), "10.0.0.1", 5432, "replicator", Path("/pass"), Path("/ca.crt"), "postgres")


def test_with_paths() -> None:
    specification = {**ARGUMENTS, "wal_directory": {"type": "path"}}
    given = {"data_directory": "/data", "host": "/socket", "port": 5432, "wal_directory": None}
    assert with_paths(specification, given) == {**given, "data_directory": Path("/data")}


def reach(**positions: str) -> dict[int, Lsn]:
    """Return positions by timeline; t1 stands for timeline 1."""
    return {int(name[1:]): Lsn.parse(lsn) for name, lsn in positions.items()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("1\t0/3000148\tno recovery target specified\n", reach(t1="0/3000148")),
        ("# made by hand\n\n1\t0/3000148\tx\n\n2\t1/A000000\tbefore 2026\n", reach(t1="0/3000148", t2="1/A000000")),
    ],
)
def test_forks(text: str, found: dict[int, Lsn]) -> None:
    assert forks(text) == found


@pytest.mark.parametrize(
    ("mine", "theirs", "timeline"),
    [
        ({}, reach(t1="0/3000148"), None),
        (reach(t1="0/3000148"), reach(t1="0/3000148"), None),
        (reach(t1="0/3000150"), reach(t1="0/3000148"), 1),
        (reach(t1="0/3000148", t2="0/4000000"), reach(t1="0/3000148", t2="0/5000000"), None),
        (reach(t1="0/3000150", t2="0/4000000"), reach(t1="0/3000148", t2="0/5000000"), 1),
        (reach(t1="0/3000148", t2="0/5000001"), reach(t1="0/3000148", t2="0/5000000"), 2),
        (reach(t3="0/3000000"), reach(t1="0/3000148", t2="0/5000000"), 3),
        # The header of a page is there for the record to come.
        (reach(t1="0/3002018"), reach(t1="0/3002000"), None),
        (reach(t1="0/3000028"), reach(t1="0/3000000"), None),
        (reach(t1="0/3002000"), reach(t1="0/3002018"), None),
        (reach(t1="0/3002020"), reach(t1="0/3002000"), 1),
    ],
)
def test_beyond(mine: dict[int, Lsn], theirs: dict[int, Lsn], timeline: int | None) -> None:
    assert beyond(mine, theirs) == timeline


def control(**given: Any) -> ControlData:
    values = {
        "state": "in archive recovery",
        "system_identifier": "7",
        "checkpoint": Lsn.parse("0/3000060"),
        "redo": Lsn.parse("0/3000028"),
        "timeline": 1,
        "previous_timeline": 1,
        "min_recovery": None,
        "min_recovery_timeline": None,
        "checksums": True,
        "wal_log_hints": False,
        "wal_segment_bytes": 16 << 20,
    }
    return ControlData(**{**values, **given})


@pytest.mark.parametrize(
    ("given", "ends", "found"),
    [
        # The end of the WAL where it can be read, otherwise what the control file says.
        ({}, {(1, "0/3000028"): "0/3000700"}, reach(t1="0/3000700")),
        ({}, {}, reach(t1="0/3000060")),
        (
            {"min_recovery": Lsn.parse("0/3000500"), "min_recovery_timeline": 1},
            {(1, "0/3000028"): "0/3000700"},
            reach(t1="0/3000700"),
        ),
        ({"min_recovery": Lsn.parse("0/3000500"), "min_recovery_timeline": 1}, {}, reach(t1="0/3000500")),
        # Recovery went on to another timeline since.
        (
            {"min_recovery": Lsn.parse("0/4000000"), "min_recovery_timeline": 2},
            {(1, "0/3000028"): "0/3000700", (2, "0/4000000"): "0/4000300"},
            reach(t1="0/3000700", t2="0/4000300"),
        ),
        (
            {"min_recovery": Lsn.parse("0/4000000"), "min_recovery_timeline": 2},
            {(1, "0/3000028"): "0/3000700"},
            reach(t1="0/3000700", t2="0/4000000"),
        ),
    ],
)
def test_reached(
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    ends: dict[tuple[int, str], str],
    found: dict[int, Lsn],
) -> None:
    def wal_end(_programs: Path, _data: Path, seen: ControlData) -> Lsn | None:
        end = ends.get((seen.timeline, str(seen.redo)))
        return Lsn.parse(end) if end else None

    monkeypatch.setattr(_controldata, "wal_end", wal_end)
    assert reached(Path("/bin"), Path("/data"), control(**given)) == found


class Connection:
    """A primary that answers one question after the other."""

    def __init__(self, *answers: tuple[Any, ...]) -> None:
        self.answers = list(answers)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_ending: object) -> None:
        assert self.answers == []

    def execute(self, _query: str, _values: object = None) -> Connection:
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [self.answers.pop(0)]


@pytest.mark.parametrize(
    ("answers", "history", "found"),
    [
        ([(False,), ("7", 9, "0/3000148", 1)], True, reach(t1="0/3000148")),
        ([(False,), ("7", 9, "0/4000000", 2), (b"1\t0/3000148\tx\n",)], True, reach(t1="0/3000148", t2="0/4000000")),
        # Whoever has nothing to compare need not be allowed to read files.
        ([(False,), ("7", 9, "0/4000000", 2)], False, reach(t2="0/4000000")),
    ],
)
def test_ask_primary(
    monkeypatch: pytest.MonkeyPatch, answers: list[tuple[Any, ...]], history: bool, found: dict[int, Lsn]
) -> None:
    monkeypatch.setattr(_standby_data, "connect", lambda *_arguments: Connection(*answers))
    primary = ask_primary(HERE, "test", history)
    assert (primary.system_identifier, primary.size, primary.timeline) == ("7", 9, max(found))
    assert primary.reach == found


def test_a_standby_is_not_taken_for_the_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_standby_data, "connect", lambda *_arguments: Connection((True,)))
    with pytest.raises(StewardError, match=r"10\.0\.0\.1 is a standby: name the primary"):
        ask_primary(HERE, "test")
