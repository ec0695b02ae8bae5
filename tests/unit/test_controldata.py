"""What pg_controldata prints, and positions in the WAL."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import (
    ControlData,
    Lsn,
    Written,
    newest,
    parse,
    read,
    wal_end,
    written,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

# Of PostgreSQL 17; those of 15 and 18 differ in lines that are not read.
PRIMARY = """\
pg_control version number:            1700
Database system identifier:           7710689966351440559
Database cluster state:               in production
pg_control last modified:             Sat Nov 21 18:28:38 2026
Latest checkpoint location:           1/16038658
Latest checkpoint's REDO location:    1/1602B440
Latest checkpoint's REDO WAL file:    000000090000000100000016
Latest checkpoint's TimeLineID:       9
Latest checkpoint's PrevTimeLineID:   8
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
wal_log_hints setting:                on
Bytes per WAL segment:                16777216
Data page checksum version:           0
Mock authentication nonce:            eb134212e5846921
"""
STANDBY = (
    PRIMARY.replace("in production", "in archive recovery")
    .replace("ending location:     0/0", "ending location:     1/17000060")
    .replace("loc's timeline:   0", "loc's timeline:   9")
    .replace("checksum version:           0", "checksum version:           1")
)


def test_parse() -> None:
    assert parse(PRIMARY) == ControlData(
        state="in production",
        system_identifier="7710689966351440559",
        checkpoint=Lsn.parse("1/16038658"),
        redo=Lsn.parse("1/1602B440"),
        timeline=9,
        previous_timeline=8,
        min_recovery=None,
        min_recovery_timeline=None,
        checksums=False,
        wal_log_hints=True,
        wal_segment_bytes=16 * 1024 * 1024,
    )


def test_parse_standby() -> None:
    said = parse(STANDBY)
    assert (said.min_recovery, said.min_recovery_timeline, said.checksums) == (Lsn.parse("1/17000060"), 9, True)


@pytest.mark.parametrize(
    ("state", "in_recovery"),
    [
        ("in production", False),
        ("shut down", False),
        ("shutting down", False),
        ("in crash recovery", False),
        ("in archive recovery", True),
        ("shut down in recovery", True),
    ],
)
def test_in_recovery(state: str, in_recovery: bool) -> None:
    assert dataclasses.replace(parse(PRIMARY), state=state).in_recovery is in_recovery


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Minimum recovery"),
        (PRIMARY.replace("Latest checkpoint location", "Letzter Checkpoint"), "'Latest checkpoint location'"),
        (PRIMARY.replace("TimeLineID:       9", "TimeLineID:       nine"), "TimeLineID"),
    ],
)
def test_parse_refuses(text: str, word: str) -> None:
    with pytest.raises(StewardError, match=word):
        parse(text)


@pytest.mark.parametrize(
    ("text", "number"), [("0/0", 0), ("0/3000148", 0x3000148), ("1/0", 1 << 32), ("FFFFFFFF/FFFFFFFF", 2**64 - 1)]
)
def test_lsn(text: str, number: int) -> None:
    position = Lsn.parse(text)
    assert (int(position), str(position), f"{position}", repr(position)) == (number, text, text, text)


def test_lsn_in_order() -> None:
    texts = ["0/9", "0/A", "0/10", "0/FFFFFFFF", "1/0", "10/0"]
    assert [str(position) for position in sorted(Lsn.parse(text) for text in reversed(texts))] == texts


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/G", "0/3000148 x", "123456789/0", "-1/0"])
def test_no_lsn(text: str) -> None:
    with pytest.raises(StewardError, match="no position in the WAL"):
        Lsn.parse(text)


@pytest.mark.parametrize(
    ("script", "word"),
    [(None, "cannot run"), ("#!/bin/sh\necho 'could not open file' >&2\nexit 1\n", "could not open file")],
)
def test_read_refuses(tmp_path: Path, script: str | None, word: str) -> None:
    if script:
        (tmp_path / "pg_controldata").write_text(script)
        (tmp_path / "pg_controldata").chmod(0o755)
    with pytest.raises(StewardError, match=word):
        read(tmp_path, tmp_path)


def test_read(tmp_path: Path) -> None:
    (tmp_path / "pg_controldata").write_text(f"#!/bin/sh\n[ $LC_ALL = C ] && cat <<'END'\n{STANDBY}END\n")
    (tmp_path / "pg_controldata").chmod(0o755)
    assert read(tmp_path, tmp_path) == parse(STANDBY)


@pytest.mark.parametrize(
    ("script", "end"),
    [
        (
            "echo 'pg_waldump: error: error in WAL record at 0/658C0D8: invalid record length at 0/658C110: expected at least 24, got 0' >&2",
            "0/658C110",
        ),
        ("echo 'pg_waldump: error: could not find file \"00000001\": No such file or directory' >&2", None),
        (None, None),
    ],
)
def test_wal_end(tmp_path: Path, script: str | None, end: str | None) -> None:
    if script:
        (tmp_path / "pg_waldump").write_text(f"#!/bin/sh\necho $* >{tmp_path}/asked\n{script}\nexit 1\n")
        (tmp_path / "pg_waldump").chmod(0o755)
    found = wal_end(tmp_path, tmp_path / "main", parse(PRIMARY))
    assert found == (Lsn.parse(end) if end else None)
    if script:
        asked = (tmp_path / "asked").read_text().split()
        assert asked == ["--quiet", f"--path={tmp_path}/main/pg_wal", "--timeline=9", "--start=1/1602B440"]


@pytest.mark.parametrize(
    ("files", "timeline", "since"),
    [
        (["000000090000000100000016", "000000090000000100000017", "00000009.history", "archive_status"], 9, "1/16000000"),
        (["000000100000000100000016", "0000000F0000000100000016", "0000000F.history"], 15, "1/16000000"),
        (["0000000C000000000000000C", "0000000D000000000000000C", "0000000D000000000000000D", "0000000D.history"], 13, "0/C000000"),
        (["0000000C000000000000000C.partial", "0000000B000000000000000A", "0000000B.history", "0000000C.history"], 11, "0/A000000"),
        (["0000000100000000000000FF", "000000010000000100000000"], 1, "0/FF000000"),
    ],
)  # fmt: skip
def test_written(tmp_path: Path, files: list[str], timeline: int, since: str) -> None:
    (tmp_path / "pg_wal").mkdir()
    for name in files:
        (tmp_path / "pg_wal" / name).touch()
    assert written(tmp_path, 16 << 20) == Written(timeline, Lsn.parse(since))


def test_nothing_written(tmp_path: Path) -> None:
    assert written(tmp_path, 16 << 20) is None
    (tmp_path / "pg_wal").mkdir()
    assert written(tmp_path, 16 << 20) is None


@pytest.mark.parametrize(
    ("held", "timeline", "redo"),
    [
        (None, 9, "1/1602B440"),
        (Written(9, Lsn.parse("1/10000000")), 9, "1/1602B440"),
        (Written(10, Lsn.parse("1/18000000")), 10, "1/18000000"),
        (Written(10, Lsn.parse("1/16000000")), 10, "1/1602B440"),  # the fork is in the segment of the last checkpoint
    ],
)
def test_newest(held: Written | None, timeline: int, redo: str) -> None:
    found = newest(parse(PRIMARY), held)
    assert (found.timeline, found.redo) == (timeline, Lsn.parse(redo))


def test_wal_end_reads_the_timeline_that_it_is_asked_for(tmp_path: Path) -> None:
    """A rejoin compares timeline by timeline: the WAL of a later one says nothing of an earlier one."""
    (tmp_path / "pg_waldump").write_text(f"#!/bin/sh\necho $* >{tmp_path}/asked\n")
    (tmp_path / "pg_waldump").chmod(0o755)
    (tmp_path / "main" / "pg_wal").mkdir(parents=True)
    for name in ("0000000A0000000100000018", "0000000A.history"):
        (tmp_path / "main" / "pg_wal" / name).touch()
    wal_end(tmp_path, tmp_path / "main", parse(PRIMARY))
    assert (tmp_path / "asked").read_text().split()[2:] == ["--timeline=9", "--start=1/1602B440"]
