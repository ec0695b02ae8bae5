"""What a data directory is, whether it may be replaced, and a copy that is cut short."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _standby_data
from ansible_collections.pgsteward.postgres.plugins.module_utils._base_backup import (
    NOTHING,
    OTHER,
    OWN_STANDBY,
    UNFINISHED,
    Request,
    carry_out,
    clear,
    command,
    copy,
    decide,
    kind_of,
    room_findings,
    set_aside,
    wal_finding,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._standby_data import Primary, size_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import unfinished_mark
from ansible_collections.pgsteward.postgres.plugins.modules.pg_topology_info import newest, observe

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="pg_basebackup runs as the owner of the data, which takes root")

NOW = 1767236400.0  # 2026-01-01 03:00 UTC
CONTROL = """\
Database system identifier:           {identifier}
Database cluster state:               {state}
Latest checkpoint location:           0/3000060
Latest checkpoint's REDO location:    0/3000028
Latest checkpoint's TimeLineID:       2
Latest checkpoint's PrevTimeLineID:   2
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
wal_log_hints setting:                off
Bytes per WAL segment:                16777216
Data page checksum version:           1
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return the directory of the server's programs, which has none yet."""
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def install(programs: Path, name: str, body: str) -> None:
    """Put a program there that is a shell script."""
    (programs / name).write_text(f"#!/bin/sh\n{body}\n")
    (programs / name).chmod(0o755)


def control(programs: Path, state: str, identifier: str = "7") -> None:
    install(programs, "pg_controldata", f"cat <<'END'\n{CONTROL.format(state=state, identifier=identifier)}END")


def fill(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_text("x")
    return directory


def request(tmp_path: Path, **given: Any) -> Request:
    values = {
        "data_directory": tmp_path / "main",
        "bin_directory": tmp_path / "bin",
        "wal_directory": None,
        "host": "10.0.0.1",
        "port": 5432,
        "user": "replicator",
        "pass_file": Path("/etc/pgsteward/replication.pass"),
        "ca_file": Path("/etc/ca.crt"),
        "slot": "pgsteward_b",
        "rate_limit": None,
        "owner": pwd.getpwuid(os.getuid()).pw_name,
        "replace": False,
        "node": "b",
        "confirm": "",
    }
    return Request(**{**values, **given})


STANDBY = ("PG_VERSION", "standby.signal")
SEGMENT = "000000010000000000000003"
WAL_NAMES = (
    SEGMENT,
    f"{SEGMENT}.partial",
    f"{SEGMENT}.00000028.backup",
    "00000002.history",
    "00000002.history.tmp",
    "archive_status",
    "summaries",
    "xlogtemp.17",
    "RECOVERYXLOG",
)
LED = Primary("7", 1, 3, {1: Lsn.parse("0/2000000"), 2: Lsn.parse("0/3000100"), 3: Lsn.parse("0/4000000")})


@pytest.mark.parametrize(
    ("entries", "state", "identifier", "kind", "words"),
    [
        (None, None, "7", NOTHING, "is empty"),
        ((), None, "7", NOTHING, "is empty"),
        (("lost+found",), None, "7", NOTHING, "is empty"),
        (("notes.txt", "a", "b", "c"), None, "7", OTHER, "holds a, b, c, which is no data directory"),
        (STANDBY, "in archive recovery", "7", OWN_STANDBY, "is a standby of this cluster"),
        (STANDBY, "shut down in recovery", "7", OWN_STANDBY, "is a standby of this cluster"),
        ((*STANDBY, "lost+found"), "shut down in recovery", "7", OWN_STANDBY, "is a standby"),
        # A primary's, or that of a server which was promoted since.
        (("PG_VERSION",), "in production", "7", OTHER, "was written by a primary (in production, timeline 2)"),
        (("PG_VERSION",), "shut down", "7", OTHER, "was written by a primary (shut down, timeline 2)"),
        (STANDBY, "shut down", "7", OTHER, "was written by a primary"),
        (("PG_VERSION",), "shut down in recovery", "7", OTHER, "was written by a primary"),
        (STANDBY, "shut down in recovery", "8", OTHER, "belongs to another cluster (system identifier 8, not 7)"),
        (STANDBY, None, "7", OTHER, "cannot be read (cannot run"),
    ],
)
def test_kind_of(
    tmp_path: Path,
    programs: Path,
    entries: tuple[str, ...] | None,
    state: str | None,
    identifier: str,
    kind: str,
    words: str,
) -> None:
    if entries is not None:
        fill(tmp_path / "main", *entries)
    if state:
        control(programs, state, identifier)
    found, phrase = kind_of(tmp_path / "main", programs, LED, {2: Lsn.parse("0/3000100")})
    assert found == kind
    assert words in phrase


@pytest.mark.parametrize(
    ("timeline", "lsn", "words"),
    [
        (
            2,
            "0/3000180",
            "goes up to 0/3000180 on timeline 2, ahead of 0/3000100, where the primary left that timeline for 3",
        ),
        (3, "0/4000100", "goes up to 0/4000100 on timeline 3, ahead of 0/4000000, where the primary is"),
        (4, "0/3000000", "has timeline 4, which the primary on timeline 3 does not know"),
    ],
)
def test_a_standby_ahead_is_no_standby_of_this_primary(
    tmp_path: Path, programs: Path, timeline: int, lsn: str, words: str
) -> None:
    fill(tmp_path / "main", *STANDBY)
    control(programs, "in archive recovery")
    reach = {1: Lsn.parse("0/1000000"), timeline: Lsn.parse(lsn)}
    assert kind_of(tmp_path / "main", programs, LED, reach) == (OTHER, f"is a standby whose WAL {words}")


def test_a_copy_that_was_cut_short_is_known_by_its_mark(tmp_path: Path, programs: Path) -> None:
    directory = fill(tmp_path / "main", "PG_VERSION")
    unfinished_mark(directory).write_text("")
    assert unfinished_mark(directory).parent == tmp_path  # beside the data, which are cleared
    assert kind_of(directory, programs, LED, {})[0] == UNFINISHED
    # So the next run fills the host, and does not take it for a former primary.
    assert observe(directory, programs, None, False, "postgres", 1) == {"state": "empty"}


@pytest.mark.parametrize(
    ("kind", "given", "outcome"),
    [
        (NOTHING, {}, True),
        (UNFINISHED, {}, True),
        (OWN_STANDBY, {}, False),
        (OWN_STANDBY, {"confirm": "b"}, False),
        (OWN_STANDBY, {"replace": True}, True),
        (OTHER, {"replace": True, "confirm": "b"}, True),
        (OTHER, {}, "nothing is copied over it; reinit_standby with -e confirm=b puts it aside"),
        (OTHER, {"confirm": "b"}, "nothing is copied over it"),
        (OTHER, {"replace": True}, "give -e confirm=b to put it aside and copy the primary's data"),
        (
            OTHER,
            {"replace": True, "confirm": "c"},
            "give -e confirm=b to put it aside and copy the primary's data, not c",
        ),
    ],
)
def test_decide(tmp_path: Path, kind: str, given: dict[str, Any], outcome: bool | str) -> None:
    wanted = request(tmp_path, **given)
    if isinstance(outcome, bool):
        assert decide(kind, "is what it is", wanted) is outcome
    else:
        with pytest.raises(StewardError) as caught:
            decide(kind, "is what it is", wanted)
        assert f"{wanted.data_directory} is what it is: " in str(caught.value)
        assert str(caught.value).endswith(outcome) or outcome in str(caught.value)


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda place: asked.append(place) or usage(0, 0, 100 << 20))
    assert room_findings(100 << 20, tmp_path / "not" / "there") is None
    found = room_findings(101 << 20, tmp_path / "not" / "there")
    assert found == f"{tmp_path} has 100 MB free and the copy takes about 101 MB; make room, then run again"
    assert asked == [tmp_path, tmp_path]


def test_set_aside(tmp_path: Path) -> None:
    directory = fill(tmp_path / "main", "PG_VERSION")
    aside, wal_aside = set_aside(directory, NOW)
    assert (aside, wal_aside) == (tmp_path / "main.aside-20260101T030000Z", None)
    assert (aside / "PG_VERSION").read_text() == "x"
    assert not directory.exists()


def test_wal_apart_is_put_aside_with_the_data(tmp_path: Path) -> None:
    directory, wal = fill(tmp_path / "main", "PG_VERSION"), fill(tmp_path / "wal" / "17", SEGMENT)
    (directory / "pg_wal").symlink_to(wal)
    aside, wal_aside = set_aside(directory, NOW)
    assert wal_aside == tmp_path / "wal" / "17.aside-20260101T030000Z"
    assert (aside / "pg_wal").readlink() == wal_aside
    assert (aside / "pg_wal" / SEGMENT).read_text() == "x"
    assert not directory.exists()
    assert not wal.exists()


@pytest.mark.parametrize("mounted", ["main", "wal"])
def test_a_file_system_of_its_own_is_not_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: str
) -> None:
    directory, wal = fill(tmp_path / "main", "PG_VERSION"), fill(tmp_path / "wal", SEGMENT)
    (directory / "pg_wal").symlink_to(wal)
    monkeypatch.setattr(Path, "is_mount", lambda self: self == tmp_path / mounted)
    with pytest.raises(StewardError, match=f"{tmp_path / mounted} is a file system of its own"):
        set_aside(directory, NOW)
    assert (directory / "PG_VERSION").exists()
    assert (directory / "pg_wal" / SEGMENT).exists()


@pytest.mark.parametrize(
    ("wanted", "held", "linked", "words"),
    [
        (None, (), None, None),
        ("wal", None, None, None),
        ("wal", (), None, None),
        # What belongs to the data that go, also where the new copy has its WAL elsewhere or inside.
        ("wal", WAL_NAMES, "wal", None),
        ("other", WAL_NAMES, "wal", None),
        (None, WAL_NAMES, "wal", None),
        ("wal", (), "gone", None),
        # Anything else is somebody's.
        (
            "wal",
            WAL_NAMES,
            None,
            f"/wal holds {SEGMENT}, {SEGMENT}.00000028.backup, {SEGMENT}.partial, which do not belong to",
        ),
        ("wal", WAL_NAMES, "other", "take them away, or name another directory"),
        ("wal", ("lost+found",), None, "/wal holds lost+found, which do not belong to"),
        (
            "wal",
            (*WAL_NAMES, "notes.txt"),
            "wal",
            "/main/pg_wal leads to, holds notes.txt beside WAL: take that away first",
        ),
        (None, ("PG_VERSION", "base"), "wal", "holds PG_VERSION, base beside WAL"),
        ("main/wal", None, None, "/main/wal must be an absolute path apart from the data directory"),
        (".", None, None, "must be an absolute path apart from the data directory"),
    ],
)
def test_wal_finding(
    tmp_path: Path, wanted: str | None, held: tuple[str, ...] | None, linked: str | None, words: str | None
) -> None:
    data = fill(tmp_path / "main", "PG_VERSION")
    fill(tmp_path / "other")
    if held is not None:
        fill(tmp_path / "wal", *held)
    if linked:
        (data / "pg_wal").symlink_to(tmp_path / linked)
    found = wal_finding(data, tmp_path / wanted if wanted else None)
    assert (words in found) if words and found else (words, found) == (None, None)


def test_a_relative_path_is_no_place_for_wal(tmp_path: Path) -> None:
    assert "must be an absolute path" in str(wal_finding(tmp_path / "main", Path("wal")))


def test_clear(tmp_path: Path) -> None:
    elsewhere = fill(tmp_path / "elsewhere", "segment")
    directory = fill(tmp_path / "main", "PG_VERSION")
    fill(directory / "base" / "1", "file")
    fill(directory / "lost+found", "inode")
    (directory / "pg_wal").symlink_to(elsewhere)
    clear(directory)
    assert [path.name for path in directory.iterdir()] == ["lost+found"]
    assert (elsewhere / "segment").exists()  # a link goes, not what it leads to


def test_size_of(tmp_path: Path) -> None:
    directory = fill(tmp_path / "main", "one", "two")
    fill(directory / "base", "three")
    (directory / "link").symlink_to("one")
    assert size_of(directory) == 3


def test_command(tmp_path: Path) -> None:
    line = command(request(tmp_path, wal_directory=Path("/wal/b"), rate_limit="50M"))
    assert line[0] == str(tmp_path / "bin" / "pg_basebackup")
    assert "--no-password" in line
    assert {f"--pgdata={tmp_path / 'main'}", "--slot=pgsteward_b", "--waldir=/wal/b", "--max-rate=50M"} < set(line)
    [login] = [word for word in line if word.startswith("--dbname=")]
    assert "sslmode=verify-full" in login
    assert "passfile=/etc/pgsteward/replication.pass" in login


def test_no_password_is_on_the_command_line(tmp_path: Path) -> None:
    assert not any("password=" in word for word in command(request(tmp_path)))


def test_what_is_not_wanted_is_not_on_the_command_line(tmp_path: Path) -> None:
    line = command(request(tmp_path, slot=None))
    assert not any(word.startswith(("--slot", "--waldir", "--max-rate")) for word in line)


# The copy itself, by a program that does what pg_basebackup would.

MADE = 'for word; do case "$word" in --pgdata=*) directory=${word#*=};; esac; done; echo 17 >"$directory/PG_VERSION"'


@as_root
def test_copy(tmp_path: Path, programs: Path) -> None:
    install(programs, "pg_basebackup", MADE)
    wanted = request(tmp_path, data_directory=tmp_path / "17" / "main")
    result = copy(wanted)
    assert result["bytes"] == 3
    assert sorted(path.name for path in wanted.data_directory.iterdir()) == ["PG_VERSION", "standby.signal"]
    assert wanted.data_directory.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in wanted.data_directory.parent.iterdir()] == ["main"]  # no mark is left


# pg_basebackup links the WAL directory, which has to be empty, before it copies anything.
MADE_APART = (
    f'for word; do case "$word" in --waldir=*) wal=${{word#*=}};; esac; done; {MADE}; test -z "$(ls -A "$wal")" && ln -s "$wal" "$directory/pg_wal"'
    f' && echo new >"$wal/{SEGMENT}"'
)


@as_root
def test_copy_with_its_wal_apart(tmp_path: Path, programs: Path) -> None:
    install(programs, "pg_basebackup", MADE_APART)
    wal = tmp_path / "wal" / "17"
    assert copy(request(tmp_path, wal_directory=wal))["bytes"] == 7
    assert (tmp_path / "main" / "pg_wal").resolve() == wal
    assert wal.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_copy_that_is_cut_short_clears_its_wal_too(tmp_path: Path, programs: Path) -> None:
    wanted = request(tmp_path, wal_directory=tmp_path / "wal")
    install(programs, "pg_basebackup", f"{MADE_APART}; exit 1")
    with pytest.raises(StewardError):
        copy(wanted)
    assert wal_finding(wanted.data_directory, wanted.wal_directory) is None
    install(programs, "pg_basebackup", MADE_APART)
    copy(wanted)
    assert [path.name for path in (tmp_path / "wal").iterdir()] == [SEGMENT]


@as_root
@pytest.mark.parametrize(
    ("signal", "state", "wanted", "kept"),
    [
        # An own standby goes with its WAL; what a primary wrote is kept with its WAL, wherever the new WAL is.
        (True, "shut down in recovery", "wal", False),
        (True, "shut down in recovery", "other", False),
        (False, "shut down", "wal", True),
        (False, "shut down", "other", True),
    ],
)
@pytest.mark.usefixtures("_primary")
def test_former_wal_goes_the_way_of_the_data(
    tmp_path: Path, programs: Path, signal: bool, state: str, wanted: str, kept: bool
) -> None:
    install(programs, "pg_basebackup", MADE_APART)
    control(programs, state)
    data, wal = fill(tmp_path / "main", *(STANDBY if signal else STANDBY[:1])), fill(tmp_path / "wal", SEGMENT)
    (data / "pg_wal").symlink_to(wal)
    given = request(tmp_path, replace=True, confirm="b", wal_directory=tmp_path / wanted)
    assert carry_out(given, dry_run=True)["changed"]
    assert (wal / SEGMENT).read_text() == "x"
    result = carry_out(given, dry_run=False)
    assert (tmp_path / wanted / SEGMENT).read_text() == "new\n"
    assert (data / "pg_wal").resolve() == tmp_path / wanted
    if kept:
        assert (Path(result["aside"]) / "pg_wal").resolve() == Path(result["wal_aside"])
        assert (Path(result["wal_aside"]) / SEGMENT).read_text() == "x"
    else:
        assert (result["aside"], result["wal_aside"]) == (None, None)
        assert sorted(tmp_path.glob("*.aside-*")) == []
        assert wanted == "wal" or list(wal.iterdir()) == []


@as_root
@pytest.mark.usefixtures("_primary")
def test_foreign_wal_stops_before_anything_is_touched(tmp_path: Path, programs: Path) -> None:
    control(programs, "shut down")
    fill(tmp_path / "main", "PG_VERSION")
    fill(tmp_path / "wal", SEGMENT)
    for dry_run in (True, False):
        with pytest.raises(StewardError, match="which do not belong to"):
            carry_out(request(tmp_path, replace=True, confirm="b", wal_directory=tmp_path / "wal"), dry_run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "main", "wal"]
    assert (tmp_path / "wal" / SEGMENT).exists()


@as_root
def test_a_copy_that_fails_says_why_and_leaves_a_mark(tmp_path: Path, programs: Path) -> None:
    install(
        programs,
        "pg_basebackup",
        f"{MADE}; echo 'pg_basebackup: starting background WAL receiver' >&2; echo 'pg_basebackup: error: out of slots' >&2; exit 1",
    )
    wanted = request(tmp_path)
    with pytest.raises(StewardError) as caught:
        copy(wanted)
    assert str(caught.value) == "pg_basebackup from 10.0.0.1 failed: pg_basebackup: error: out of slots"
    assert kind_of(wanted.data_directory, programs, LED, {})[0] == UNFINISHED
    install(programs, "pg_basebackup", MADE)
    copy(wanted)
    assert not unfinished_mark(wanted.data_directory).exists()


@as_root
def test_a_program_that_is_missing_is_named(tmp_path: Path, programs: Path) -> None:
    with pytest.raises(StewardError, match=f"cannot run {programs}/pg_basebackup"):
        copy(request(tmp_path))


@pytest.fixture
def _primary(monkeypatch: pytest.MonkeyPatch) -> None:
    """A primary of cluster 7 with one byte of data."""
    monkeypatch.setattr(_standby_data, "ask_primary", lambda *_arguments, **_options: LED)


@as_root
@pytest.mark.parametrize(
    ("entries", "state", "given", "found", "changed", "aside"),
    [
        ((), None, {}, NOTHING, True, False),
        (STANDBY, "shut down in recovery", {}, OWN_STANDBY, False, False),
        (STANDBY, "shut down in recovery", {"replace": True}, OWN_STANDBY, True, False),
        (("PG_VERSION",), "shut down", {"replace": True, "confirm": "b"}, OTHER, True, True),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.usefixtures("_primary")
def test_carry_out(
    tmp_path: Path,
    programs: Path,
    entries: tuple[str, ...],
    state: str | None,
    given: dict[str, Any],
    found: str,
    changed: bool,
    aside: bool,
    dry_run: bool,
) -> None:
    install(programs, "pg_basebackup", MADE)
    fill(tmp_path / "main", *entries)
    if state:
        control(programs, state)
    result = carry_out(request(tmp_path, **given), dry_run)
    assert (result["found"], result["changed"]) == (found, changed)
    assert (result["aside"] is not None) is (aside and not dry_run)
    if dry_run:
        assert sorted(path.name for path in (tmp_path / "main").iterdir()) == sorted(entries)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "main"]
    elif changed:
        assert (tmp_path / "main" / "PG_VERSION").read_text() == "17\n"
    if aside and not dry_run:
        assert (Path(result["aside"]) / "PG_VERSION").read_text() == "x"


@as_root
@pytest.mark.parametrize(("name", "runs"), [("postgres", True), ("cron", False)])
@pytest.mark.usefixtures("_primary")
def test_data_of_a_server_that_runs_are_not_touched(tmp_path: Path, programs: Path, name: str, runs: bool) -> None:
    install(programs, "pg_basebackup", MADE)
    control(programs, "in archive recovery")
    fill(tmp_path / "main", *STANDBY)
    process = subprocess.Popen([name, "60"], executable=shutil.which("sleep"))
    try:
        (tmp_path / "main" / "postmaster.pid").write_text(f"{process.pid}\n{tmp_path / 'main'}\n")
        if runs:
            with pytest.raises(StewardError, match=f"a server runs in {tmp_path / 'main'}: stop it first"):
                carry_out(request(tmp_path, replace=True), dry_run=False)
            assert (tmp_path / "main" / "PG_VERSION").read_text() == "x"
        else:  # the number of a server that was lost belongs to somebody else by now
            assert carry_out(request(tmp_path, replace=True), dry_run=False)["changed"]
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("_primary")
def test_a_disk_that_is_too_small_stops_before_anything_is_touched(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control(programs, "shut down")
    fill(tmp_path / "main", "PG_VERSION")
    large = dataclasses.replace(LED, size=1 << 60)
    monkeypatch.setattr(_standby_data, "ask_primary", lambda *_arguments, **_options: large)
    with pytest.raises(StewardError, match="make room"):
        carry_out(request(tmp_path, replace=True, confirm="b"), dry_run=False)
    assert [path.name for path in (tmp_path / "main").iterdir()] == ["PG_VERSION"]


def test_the_copy_runs_as_the_owner_with_a_small_environment(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def run(line: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.update(options)
        return subprocess.CompletedProcess(line, 0, "", "")

    copy(request(tmp_path), run)
    assert (seen["user"], seen["extra_groups"], seen["env"]["LC_ALL"]) == (os.getuid(), [], "C")
    assert set(seen["env"]) == {"PATH", "LC_ALL"}


@pytest.mark.parametrize(("state", "timeline"), [("standby", {"timeline": 13}), ("primary", {}), ("unreachable", {})])
def test_a_standby_without_a_primary_is_on_the_timeline_of_its_wal(
    tmp_path: Path, state: str, timeline: dict[str, int]
) -> None:
    (tmp_path / "pg_wal").mkdir()
    for name in ("0000000D000000000000000D", "0000000D.history"):
        (tmp_path / "pg_wal" / name).touch()
    assert newest({"state": state, "timeline": 12}, tmp_path) == timeline
