"""What a data directory is, whether it may be replaced, and a copy that is cut short."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _base_backup
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
    size_of,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import unfinished_mark
from ansible_collections.pgsteward.postgres.plugins.modules.pg_topology_info import observe

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
    found, phrase = kind_of(tmp_path / "main", programs, "7")
    assert found == kind
    assert words in phrase


def test_a_copy_that_was_cut_short_is_known_by_its_mark(tmp_path: Path, programs: Path) -> None:
    directory = fill(tmp_path / "main", "PG_VERSION")
    unfinished_mark(directory).write_text("")
    assert unfinished_mark(directory).parent == tmp_path  # beside the data, which are cleared
    assert kind_of(directory, programs, "7")[0] == UNFINISHED
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
    aside = set_aside(directory, NOW)
    assert aside == tmp_path / "main.aside-20260101T030000Z"
    assert (aside / "PG_VERSION").read_text() == "x"
    assert not directory.exists()


def test_a_file_system_of_its_own_is_not_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = fill(tmp_path / "main", "PG_VERSION")
    monkeypatch.setattr(Path, "is_mount", lambda self: self == directory)
    with pytest.raises(StewardError, match="is a file system of its own"):
        set_aside(directory, NOW)
    assert (directory / "PG_VERSION").exists()


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
    assert kind_of(wanted.data_directory, programs, "7")[0] == UNFINISHED
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
    monkeypatch.setattr(_base_backup, "ask_primary", lambda _request: ("7", 1))


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
    monkeypatch.setattr(_base_backup, "ask_primary", lambda _request: ("7", 1 << 60))
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
