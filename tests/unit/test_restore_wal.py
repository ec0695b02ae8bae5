"""The WAL that a restore replays: names of segments, timelines, and what is missing."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_wal as wal
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_wal import Archive, Gap, Leg

MB = 1 << 20
SUM = "0123456789abcdef0123456789abcdef01234567"
PROMOTED = "1\t0/5000148\tno recovery target specified\n"
RESTORED = "1\t0/5000148\tbefore 2026-10-01 03:00:00.5+00\n"
TWICE = PROMOTED + "2\t0/8000000\tbefore transaction 751\n"


@pytest.mark.parametrize(
    ("name", "size", "number"),
    [
        ("000000010000000000000005", 16 * MB, 5),
        ("0000000A00000002000000FF", 16 * MB, 2 * 256 + 255),
        ("000000010000000100000003", 64 * MB, 64 + 3),
        ("0000000100000001000003E8", MB, 4096 + 1000),
    ],
)
def test_numbers_and_names(name: str, size: int, number: int) -> None:
    assert wal.number_of(name, size) == number
    assert wal.name_of(wal.timeline_of(name), number, size) == name


def test_what_is_no_segment() -> None:
    with pytest.raises(StewardError, match=r"no name of a WAL segment"):
        wal.number_of("00000002.history")


@pytest.mark.parametrize(
    ("pairs", "size"),
    [
        ([("000000010000000000000005", "0/5000028")], 16 * MB),
        ([("000000010000000000000001", "0/5000028")], 64 * MB),
        ([("000000010000000000000050", "0/5000028")], MB),
        ([("000000010000000000000000", "0/28")], 16 * MB),
        ([("000000010000000000000005", "")], 16 * MB),
    ],
)
def test_size_of_segments(pairs: list[tuple[str, str]], size: int) -> None:
    assert wal.segment_bytes_of((name, Lsn.parse(lsn) if lsn else None) for name, lsn in pairs) == size


def test_listing() -> None:
    listing = {
        ".": {"type": "path"},
        "0000000100000000": {"type": "path"},
        f"0000000100000000/000000010000000000000005-{SUM}.gz": {"type": "file", "size": 1, "time": 100},
        f"000000010000000000000006-{SUM}": {"type": "file", "size": 1, "time": 101},
        f"000000010000000000000007.partial-{SUM}.zst": {"type": "file", "size": 1, "time": 102},
        "000000010000000000000003.00000028.backup": {"type": "file", "size": 1, "time": 99},
        "00000002.history": {"type": "file", "size": 1, "time": 103},
    }
    assert wal.listed(listing) == Archive(
        histories={2: 103.0},
        segments={"000000010000000000000005": 100.0, "000000010000000000000006": 101.0},
        directories=("0000000100000000",),
    )


def test_two_repositories_together() -> None:
    one, other = Archive({2: 5.0}, {"a": 1.0}, ("x",)), Archive({2: 9.0}, {"a": 2.0, "b": 3.0}, ("x", "y"))
    assert one | other == Archive({2: 5.0}, {"a": 1.0, "b": 3.0}, ("x", "y"))


def test_directories() -> None:
    archive = Archive(directories=("0000000100000000", "0000000100000001", "0000000200000001", "0000000200000002"))
    assert wal.directories_from(archive, "0000000100000001000000FE") == list(archive.directories[1:])
    assert wal.newest_timeline(archive) == 2
    assert wal.newest_timeline(Archive(histories={4: 0.0})) == 4
    assert wal.newest_timeline(Archive()) == 1


def test_the_way_to_a_timeline() -> None:
    first, second, third = wal.legs(3, f"# a comment\n\n{TWICE}")
    assert (first.timeline, str(first.begin), str(first.end), first.restored) == (1, "0/0", "0/5000148", False)
    assert (second.timeline, str(second.begin), str(second.end), second.restored) == (2, "0/5000148", "0/8000000", True)
    assert (third.timeline, str(third.begin), third.end, third.restored) == (3, "0/8000000", None, False)
    assert wal.legs(1, "") == (Leg(1, Lsn(0)),)


@pytest.mark.parametrize(
    ("history", "moment"),
    [(RESTORED, 1790823600.5), (PROMOTED, None), ("1\t0/5000148\tafter LSN 0/5000100\n", None)],
)
def test_the_moment_at_which_a_timeline_was_left(history: str, moment: float | None) -> None:
    assert wal.legs(2, history)[0].left_at == moment


def segments(timeline: int, numbers: range, since: float = 0) -> dict[str, float]:
    """Return segments that were archived ten seconds after each other, number 0 at `since`."""
    return {wal.name_of(timeline, number): since + 10 * number for number in numbers}


@pytest.mark.parametrize(
    ("history", "at", "found"),
    [
        (PROMOTED, 1790823700.0, False),  # a failover undoes nothing
        (RESTORED, 1790823500.0, False),  # before what was restored
        (RESTORED, 1790823700.0, True),
        (RESTORED, 1790830000.0, False),  # after the restore
        ("1\t0/5000148\tafter transaction 751\n", 1790823700.0, True),
        ("1\t0/5000148\tafter transaction 751\n", 30.0, False),  # its segment was archived before
    ],
)
def test_times_that_a_restore_has_undone(history: str, at: float, found: bool) -> None:
    archive = Archive({2: 1790829999.0}, segments(1, range(9)))
    left = wal.undone(wal.legs(2, history), archive, at, wal.SEGMENT_BYTES)
    assert (left is not None) == found
    assert left is None or left.timeline == 1


@pytest.mark.parametrize(("at", "timeline"), [(50.0, None), (150.0, 2), (250.0, None)])
def test_times_of_a_timeline_that_nothing_came_of(at: float, timeline: int | None) -> None:
    """Timeline 2 was given up for the end of timeline 1, which then went on as 3."""
    archive = Archive({2: 100.0, 3: 200.0})
    left = wal.undone(wal.legs(3, PROMOTED), archive, at, wal.SEGMENT_BYTES)
    assert (left.timeline if left else None) == timeline
    assert wal.undone(wal.legs(3, ""), Archive(), at, wal.SEGMENT_BYTES) is None  # archiving began there


@pytest.mark.parametrize(
    ("held", "last"),
    [
        (segments(1, range(1, 6)) | segments(2, range(5, 9)), "000000020000000000000008"),
        (
            segments(1, range(1, 9)),
            "000000010000000000000005",
        ),  # nothing of the new one yet; the rest of the old one is not on the way
        ({}, None),
    ],
)
def test_how_far_it_reaches(held: dict[str, float], last: str | None) -> None:
    found = wal.reach(wal.legs(2, PROMOTED), Archive(segments=held), wal.SEGMENT_BYTES)
    assert (found[1] if found else None) == last


def names(held: dict[str, float], way: tuple[Leg, ...], first: str, last: int) -> list[str]:
    """Return the last two digits of timeline and number of each step, and whether it is there."""
    walked = wal.steps(way, Archive(segments=held), first, last, wal.SEGMENT_BYTES)
    return [f"{step.name[7]}:{step.name[-2:]}{'' if step.archived is not None else '!'}" for step in walked]


def test_the_steps_follow_the_timelines() -> None:
    held = segments(1, range(2, 6)) | segments(2, range(5, 8))
    first = "000000010000000000000003"
    assert names(held, wal.legs(2, PROMOTED), first, 8) == ["1:03", "1:04", "2:05", "2:06", "2:07", "2:08!"]
    # The copy with which the new timeline begins is not there: up to the point where it was left the old one does.
    del held["000000020000000000000005"]
    assert names(held, wal.legs(2, PROMOTED), first, 6) == ["1:03", "1:04", "1:05", "2:06"]
    # A backup of the new timeline looks for nothing of the old one.
    assert names({}, wal.legs(2, PROMOTED), "000000020000000000000005", 6) == ["2:05!", "2:06!"]
    # Left exactly at the end of a segment.
    assert names(held, wal.legs(3, TWICE), "000000020000000000000007", 8) == ["2:07", "3:08!"]


@pytest.mark.parametrize(
    ("lacks", "at", "certain", "found"),
    [
        ([], None, True, None),
        ([4], None, True, Gap("000000010000000000000004", True)),
        ([4], None, False, Gap("000000010000000000000004", False)),
        ([4], 35.0, True, Gap("000000010000000000000004", True)),  # 3 was archived at 30, so the target is behind it
        (
            [4],
            25.0,
            True,
            Gap("000000010000000000000004", False),
        ),  # the target is in 3 or before, unless the archive was late
        ([1], 25.0, True, Gap("000000010000000000000001", True)),
        ([4, 5], 100.0, True, Gap("000000010000000000000004", True)),
    ],
)
def test_gaps(lacks: list[int], at: float | None, certain: bool, found: Gap | None) -> None:
    held = {name: when for name, when in segments(1, range(1, 8)).items() if wal.number_of(name) not in lacks}
    walked = wal.steps((Leg(1, Lsn(0)),), Archive(segments=held), "000000010000000000000001", 7, wal.SEGMENT_BYTES)
    assert wal.gap(walked, at, certain) == found
