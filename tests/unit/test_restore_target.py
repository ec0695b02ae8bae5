"""To what a cluster can be restored, from which backup, and why not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_target as restore
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_wal as wal
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import Source, Wish, target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_wal import Archive

DAY = 1790812800.0  # 2026-10-01 00:00 UTC
NOON = DAY + 12 * 3600
PROMOTED = "1\t0/A000148\tno recovery target specified\n"
RESTORED = "1\t0/A000148\tbefore 2026-10-01 09:00:00+00\n"


def at(hour: float) -> float:
    return DAY + hour * 3600


def backup(
    label: str, hour: float, segment: int, repository: int = 1, timeline: int = 1, **more: Any
) -> dict[str, Any]:
    """Return a backup that takes ten minutes from that hour on, within one segment."""
    name = wal.name_of(timeline, segment)
    return {
        "label": label,
        "type": "full",
        "archive": {"start": name, "stop": name},
        "database": {"id": 1, "repo-key": repository},
        "error": False,
        "info": {"size": 31457280, "delta": 31457280, "repository": {"size": 4194304, "delta": 4194304}},
        "lsn": {"start": f"0/{segment:X}000028", "stop": f"0/{segment:X}000100"},
        "timestamp": {"start": int(at(hour)), "stop": int(at(hour)) + 600},
        **more,
    }


def info(*backups: dict[str, Any], repositories: tuple[int, ...] = (1,), code: int = 0, **more: Any) -> str:
    """Return the JSON of a stanza."""
    status = {"code": code, "message": {0: "ok", 1: "missing stanza path", 2: "no valid backups"}[code]}
    keys = () if code == 1 else repositories
    entry = {
        "name": "lab",
        "status": status,
        "repo": [{"key": key, "cipher": "none", "status": status} for key in repositories],
        "db": [{"id": 1, "repo-key": key, "system-id": 7412345678901234567, "version": "17"} for key in keys],
        "archive": [
            {"database": {"id": 1, "repo-key": key}, "id": "17-1", "min": wal.name_of(1, 1), "max": wal.name_of(1, 20)}
            for key in keys
        ],
        "backup": list(backups),
        **more,
    }
    return json.dumps([entry])


# Backups that end at 01:10, 05:10 and, in the second repository, 07:10; a segment is archived every half hour.
EARLY, LATE, OTHER = backup("E", 1, 2), backup("L", 5, 10), backup("O", 7, 14, repository=2)
STANZA = restore.stanza_of(info(EARLY, LATE, OTHER, repositories=(1, 2)), "lab")
SEGMENTS = {wal.name_of(1, number): at(number / 2) for number in range(1, 21)}


def source(repository: int = 1, timeline: int = 1, history: str = "", **archive: Any) -> Source:
    held = Archive(**{"segments": SEGMENTS, **archive})
    return Source(repository, held, wal.legs(timeline, history))


BOTH = (source(1), source(2))


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        ("time", "2026-10-01 03:12:45.123456+00", "2026-10-01 03:12:45.123456+00"),
        ("time", "2026-10-01T03:12:45Z", "2026-10-01 03:12:45.000000+00"),
        ("time", "2026-10-01 05:12:45,5 +0200", "2026-10-01 03:12:45.500000+00"),
        ("time", "2026-10-01 05:42:45+02:30", "2026-10-01 03:12:45.000000+00"),
        ("time", "2026-10-01 03:12 utc", "2026-10-01 03:12:00.000000+00"),
        ("lsn", "0/5000148", "0/5000148"),
        ("lsn", "00/05000abc", "0/5000ABC"),
        ("xid", "0751", "751"),
        ("name", "before_migrate", "before_migrate"),
        ("latest", "", ""),
        ("immediate", "", ""),
    ],
)
def test_targets(kind: str, given: str, text: str) -> None:
    target = target_of(kind, given)
    assert (target.kind, target.text) == (kind, text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("noon", "x"), "aims at one of latest, immediate, time, lsn, xid, name"),
        (("time", ""), "target time has no value"),
        (("latest", "0/5"), "takes no value"),
        (("time", "2026-10-01 03:12:45"), "has no zone: add one, as in 2026-10-01 03:12:45+00 for UTC"),
        (("time", "2026-10-01"), "write it like 2026-10-01 03:12:45.5+00"),
        (("time", "yesterday"), "cannot be read"),
        (("time", "2026-13-01 03:12:45+00"), "is none"),
        (("time", "2026-10-01 03:12:45 Europe/Berlin"), "cannot be read"),
        (("lsn", "5000148"), "is no position in the WAL"),
        (("xid", "2"), "is none: give its number"),
        (("xid", "12a"), "is none"),
        (("name", "x" * 64), "up to 63 bytes"),
        (("name", "two\nlines"), "printable"),
        (("time", "2026-10-01 03:12:45Z", "current"), "neither 'latest' nor a number"),
        (("immediate", "", "2"), "no timeline to follow"),
        (("name", "x", "latest", True), "cannot be exclusive"),
    ],
)
def test_targets_that_are_none(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(StewardError) as caught:
        target_of(*arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (target_of("latest"), "the end of the archive"),
        (target_of("time", "2026-10-01 03:12:45.5Z"), "time 2026-10-01 03:12:45.5 UTC"),
        (target_of("xid", "751", "2", exclusive=True), "just before transaction 751 on timeline 2"),
        (target_of("name", "a b"), "restore point 'a b'"),
    ],
)
def test_targets_in_words(target: restore.Target, text: str) -> None:
    assert str(target) == text


def test_what_a_stanza_holds() -> None:
    assert (STANZA.version, STANZA.system_identifier, STANZA.segment_bytes) == ("17", "7412345678901234567", 16 << 20)
    assert [(one.label, one.repository, one.timeline) for one in STANZA.backups] == [
        ("E", 1, 1),
        ("L", 1, 1),
        ("O", 2, 1),
    ]
    assert STANZA.archives == {1: ("17-1", wal.name_of(1, 20)), 2: ("17-1", wal.name_of(1, 20))}


def test_backups_of_a_former_version_do_not_count() -> None:
    text = info(
        backup("old", 1, 2),
        backup("new", 5, 10, database={"id": 2, "repo-key": 1}),
        db=[
            {"id": 1, "repo-key": 1, "system-id": 1, "version": "15"},
            {"id": 2, "repo-key": 1, "system-id": 2, "version": "17"},
        ],
    )
    stanza = restore.stanza_of(text, "lab")
    assert (stanza.version, [one.label for one in stanza.backups]) == ("17", ["new"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "unknown stanza 'lab': the configured repositories know no backups of that name"),
        (info(code=1), "unknown stanza 'lab' (repository 1: missing stanza path): name the right one"),
        (info(code=2), "there is no backup of the stanza 'lab' (repository 1: no valid backups)"),
        (
            info(code=1)
            .replace("missing stanza path", "[AccessError] raised from remote-0: access\ndenied")
            .replace('"code": 1', '"code": 99'),
            "unknown stanza 'lab', or one that this host may not read (repository 1: [AccessError] raised from remote-0: access denied)",
        ),
        ("no JSON", "pgbackrest info says nothing that is known here"),
        ('[{"name": "lab"}]', "pgbackrest info says nothing that is known here"),
    ],
)
def test_stanzas_without_anything(text: str, words: str) -> None:
    with pytest.raises(StewardError) as caught:
        restore.stanza_of(text, "lab")
    assert words in str(caught.value)


def chosen(kind: str, text: str = "", wish: Wish | None = None, sources: tuple[Source, ...] = BOTH, **more: Any) -> str:
    found, _source = restore.choose(STANZA, target_of(kind, text, **more), sources, wish or Wish(), NOON)
    return found.label


@pytest.mark.parametrize(
    ("arguments", "wish", "label"),
    [
        (("latest",), Wish(), "O"),
        (("immediate",), Wish(), "O"),
        (("immediate",), Wish(label="E"), "E"),
        (("latest",), Wish(repository=1), "L"),
        (("latest",), Wish(before=at(5)), "E"),
        (("time", "2026-10-01 06:00Z"), Wish(), "L"),
        (("time", "2026-10-01 05:10:01Z"), Wish(), "L"),
        (("time", "2026-10-01 05:10:00.5Z"), Wish(), "E"),  # the repository notes whole seconds
        (("time", "2026-10-01 09:59Z"), Wish(label="E"), "E"),
        (("lsn", "0/A000100"), Wish(), "L"),
        (("lsn", "0/A0000FF"), Wish(), "E"),
        (("lsn", "0/F000000"), Wish(), "O"),
        (("xid", "751"), Wish(), "O"),
        (("xid", "751"), Wish(before=at(6)), "L"),
        (("name", "before_migrate"), Wish(), "O"),
        (("name", "migrate_20261001T060000Z"), Wish(), "L"),
        (("name", "migrate_20261001T060000Z"), Wish(before=at(2)), "E"),
    ],
)
def test_which_backup_is_taken(arguments: tuple[str, ...], wish: Wish, label: str) -> None:
    assert chosen(*arguments, wish=wish) == label


def test_of_equal_backups_the_first_repository_serves() -> None:
    stanza = restore.stanza_of(info(backup("X", 1, 2, 2), backup("X", 1, 2), repositories=(1, 2)), "lab")
    assert restore.choose(stanza, target_of("latest"), BOTH, Wish(), NOON)[1].repository == 1


@pytest.mark.parametrize(
    ("arguments", "wish", "words"),
    [
        (
            ("time", "2026-10-01 13:00Z"),
            Wish(),
            "target time 2026-10-01 13:00:00 UTC is in the future: it is 2026-10-01 12:00:00 UTC now",
        ),
        (
            ("time", "2026-10-01 01:00Z"),
            Wish(repository=1),
            (
                "target time 2026-10-01 01:00:00 UTC is before the window: repository 1: from 2026-10-01 01:10:01 UTC (LSN 0/2000100, end of"
                " backup E) to 2026-10-01 10:00:00 UTC (LSN 0/15000000, end of the newest WAL)"
            ),
        ),
        (
            ("time", "2026-10-01 01:00Z"),
            Wish(),
            "; repository 2: from 2026-10-01 07:10:01 UTC (LSN 0/E000100, end of backup O)",
        ),
        (
            ("time", "2026-10-01 11:00Z"),
            Wish(),
            "is after the window, as the newest WAL was archived at 2026-10-01 10:00:00 UTC",
        ),
        (("time", "2026-10-01 04:00Z"), Wish(label="L"), "is before backup L, which is too young for it"),
        (
            ("lsn", "0/2000099"),
            Wish(),
            "target LSN 0/2000099 is before the window: repository 1: from 2026-10-01 01:10:01",
        ),
        (("lsn", "0/15000001"), Wish(), "target LSN 0/15000001 is after the window"),
        (("xid", "751"), Wish(before=at(1)), "no backup is older than 2026-10-01 01:00:00 UTC: repository 1: from"),
        (("latest",), Wish(repository=3), "repository 3 has no backup of 'lab'; there are some in 1, 2"),
        (("latest",), Wish(label="nobody"), "there is no backup 'nobody'; the newest ones are O, L, E"),
        (("latest",), Wish(repository=1, label="O"), "there is no backup to begin with"),
    ],
)
def test_refusals(arguments: tuple[str, ...], wish: Wish, words: str) -> None:
    with pytest.raises(StewardError) as caught:
        chosen(*arguments, wish=wish)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_repository_can_be_read() -> None:
    with pytest.raises(StewardError, match="no repository can be read"):
        chosen("latest", sources=())


# Timelines


def test_a_timeline_that_is_not_there() -> None:
    with pytest.raises(StewardError) as caught:
        restore.way_to(target_of("latest", "", "5"), Archive(histories={2: 0.0}), {2: PROMOTED})
    assert "timeline 5 is not in the archive, which knows 1, 2" in str(caught.value)


def test_archiving_that_began_on_a_later_timeline() -> None:
    """Its history is not in the archive: backups of that timeline do without, older ones cannot be followed by it."""
    archive = Archive(directories=("0000000300000000",), segments={wal.name_of(3, 12): at(6)})
    way = restore.way_to(target_of("latest"), archive, {})
    assert [leg.timeline for leg in way] == [3]
    sources = (Source(1, archive, way),)
    stanza = restore.stanza_of(info(EARLY, backup("T", 5, 12, timeline=3)), "lab")
    assert restore.choose(stanza, target_of("latest"), sources, Wish(), NOON)[0].label == "T"
    with pytest.raises(StewardError) as caught:
        restore.choose(stanza, target_of("latest"), sources, Wish(label="E"), NOON)
    words = "no backup leads to timeline 3, and the archive lacks its history (00000003.history): those that may be taken are of timeline 1"
    assert words in str(caught.value)


def test_the_way_is_that_to_the_newest_timeline_or_to_the_one_that_is_named() -> None:
    archive = Archive(histories={2: 0.0})
    assert [leg.timeline for leg in restore.way_to(target_of("latest"), archive, {2: PROMOTED})] == [1, 2]
    assert [leg.timeline for leg in restore.way_to(target_of("latest", "", "1"), archive, {2: PROMOTED})] == [1]


def test_a_backup_that_a_timeline_has_left_behind_is_not_taken() -> None:
    """Timeline 2 begins at 0/A000148: of two backups on timeline 1 the younger one was complete only after that."""
    text = info(backup("E", 1, 2), backup("L", 6, 12))
    stanza = restore.stanza_of(text, "lab")
    way = (source(timeline=2, history=PROMOTED, histories={2: at(5)}),)
    assert restore.choose(stanza, target_of("latest"), way, Wish(), NOON)[0].label == "E"
    with pytest.raises(StewardError) as caught:
        restore.choose(stanza, target_of("latest"), way, Wish(label="L"), NOON)
    assert (
        "backup L was complete at LSN 0/C000100 of timeline 1, which was left at 0/A000148 for timeline 2: follow its own by timeline 1"
        in str(caught.value)
    )
    assert restore.choose(stanza, target_of("immediate"), way, Wish(), NOON)[0].label == "L"


def test_a_time_that_a_restore_has_undone_wants_a_decision() -> None:
    held = {**SEGMENTS, **{wal.name_of(2, number): at(9.5 + number / 20) for number in range(10, 41)}}
    way = (source(timeline=2, history=RESTORED, histories={2: at(9.8)}, segments=held),)
    with pytest.raises(StewardError) as caught:
        chosen("time", "2026-10-01 09:30Z", sources=way)
    assert (
        "is of a time that was undone: a restore left timeline 1 at 0/A000148 (before 2026-10-01 09:00:00+00) for timeline 2"
        in str(caught.value)
    )
    assert "Choose: timeline=1 has what was there at that time, timeline=2 is what came of the restore" in str(
        caught.value
    )
    assert chosen("time", "2026-10-01 09:30Z", sources=way, timeline="2") == "L"
    assert chosen("time", "2026-10-01 08:30Z", sources=way) == "L"
    assert chosen("time", "2026-10-01 09:55Z", sources=way) == "L"


# WAL that is missing


@pytest.mark.parametrize(
    ("arguments", "lacks", "refusal", "warning"),
    [
        (("latest",), 15, "WAL segment 00000001000000000000000F is missing in repository 1, between backup L", None),
        (("latest",), 9, None, None),  # before the backup
        (("immediate",), 10, "WAL segment 00000001000000000000000A is missing", None),
        (("immediate",), 11, None, None),
        (("lsn", "0/E000000"), 15, None, None),
        (("lsn", "0/F000000"), 15, "nothing from LSN 0/F000000 on can be reached", None),
        (("time", "2026-10-01 08:00Z"), 15, "WAL segment 00000001000000000000000F is missing", None),
        (("time", "2026-10-01 06:30Z"), 15, None, "00000001000000000000000F is missing"),
        (("xid", "751"), 15, None, "the target is reached only if it is before that"),
        (("name", "x"), 15, None, "the target is reached only if it is before that"),
    ],
)
def test_missing_segments(arguments: tuple[str, ...], lacks: int, refusal: str | None, warning: str | None) -> None:
    held = {name: when for name, when in SEGMENTS.items() if name != wal.name_of(1, lacks)}
    late = next(one for one in STANZA.backups if one.label == "L")
    findings = restore.gap_findings(STANZA, target_of(*arguments), late, source(segments=held))
    for found, words in zip(findings, (refusal, warning), strict=True):
        assert (found is None) == (words is None), found
        assert words is None or words in str(found)


def test_targets_whose_place_nobody_knows() -> None:
    assert restore.unknown_place(target_of("latest"), Wish()) is None
    text = restore.unknown_place(target_of("name", "before_migrate"), Wish())
    assert text is not None
    assert "whether restore point 'before_migrate' exists shows only when the WAL is replayed" in text
