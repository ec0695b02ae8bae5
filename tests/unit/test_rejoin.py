"""A former primary comes back: what is tried, what is kept aside, what is left alone. pg_rewind is a script that notes its calls."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _standby_data
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._rejoin import Request, command, keep, rejoin
from ansible_collections.pgsteward.postgres.plugins.module_utils._standby_data import Primary

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="pg_rewind runs as the owner of the data, which takes root")

NOW = 1767236400.0  # 2026-01-01 03:00 UTC
CONTROL = """\
Database system identifier:           7
Database cluster state:               {state}
Latest checkpoint location:           0/3000060
Latest checkpoint's REDO location:    0/3000028
Latest checkpoint's TimeLineID:       1
Latest checkpoint's PrevTimeLineID:   1
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
wal_log_hints setting:                off
Bytes per WAL segment:                16777216
Data page checksum version:           1
"""
REWINDS = "echo 'pg_rewind: servers diverged at WAL location 0/3000100 on timeline 1' >&2"
NOT_NEEDED = "echo 'pg_rewind: no rewind required' >&2"
FAILS = "echo 'pg_rewind: connected' >&2; echo 'pg_rewind: error: could not find previous WAL record' >&2; exit 1"


class Host:
    """A data directory and the programs of its server, below a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.data, self.programs = root, root / "main", root / "bin"
        self.calls = root / "calls"
        self.data.mkdir()
        self.programs.mkdir()
        (self.data / "PG_VERSION").write_text("17\n")

    def install(self, name: str, body: str) -> None:
        """Put a program there that is a shell script."""
        (self.programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.programs / name).chmod(0o755)

    def control(self, state: str) -> None:
        self.install("pg_controldata", f"cat <<'END'\n{CONTROL.format(state=state)}END")

    def wal(self, **ends: str) -> None:
        """Have the WAL of timeline 1 end there (t1), that of timeline 2 (t2)."""
        said = "pg_waldump: error: error in WAL record at 0/28: invalid record length at {}: wanted 24, got 0"
        cases = " ".join(f'*"--timeline={name[1:]} "*) echo "{said.format(end)}" >&2;;' for name, end in ends.items())
        self.install("pg_waldump", f'case " $* " in {cases} esac; exit 1')

    def rewind(self, trial: str, real: str) -> None:
        """Have pg_rewind say `trial` with --dry-run, `real` without."""
        self.install(
            "pg_rewind", f'echo called >>{self.calls}\ncase " $* " in *" --dry-run "*) {trial};; *) {real};; esac'
        )

    def request(self, **given: Any) -> Request:
        values = {
            "data_directory": self.data,
            "bin_directory": self.programs,
            "config_file": Path("/etc/postgresql/17/main/postgresql.conf"),
            "host": "10.0.0.2",
            "port": 5432,
            "user": "replicator",
            "pass_file": Path("/etc/pgsteward/replication.pass"),
            "ca_file": Path("/etc/ca.crt"),
            "owner": pwd.getpwuid(os.getuid()).pw_name,
            "keep": True,
        }
        return Request(**{**values, **given})

    @property
    def called(self) -> int:
        """How often pg_rewind was called."""
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    @property
    def asides(self) -> list[Path]:
        return sorted(self.root.glob("main.aside-*"))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    led_by(monkeypatch, {1: "0/3000100", 2: "0/4000000"})
    return Host(tmp_path)


def led_by(monkeypatch: pytest.MonkeyPatch, reach: dict[int, str], identifier: str = "7") -> None:
    """Have a primary that left all timelines but the last one where `reach` says, and is on the last one there."""
    led = Primary(identifier, 1, max(reach), {timeline: Lsn.parse(lsn) for timeline, lsn in reach.items()})
    monkeypatch.setattr(_standby_data, "ask_primary", lambda *_arguments: led)


CLEAN, LOST, SIGNAL = "shut down", "in production", "standby.signal"


@pytest.mark.parametrize(
    ("state", "trial", "real", "method", "calls", "aside"),
    [
        # A clean one is asked first whether there is anything to undo.
        (CLEAN, NOT_NEEDED, FAILS, "none", 1, False),
        (CLEAN, REWINDS, REWINDS, "rewind", 2, True),
        (CLEAN, REWINDS, FAILS, "failed", 2, True),
        # What cannot be rewound is not copied aside either: the new copy puts it aside as it is.
        (CLEAN, FAILS, REWINDS, "failed", 1, False),
        # A standby that only lacks its signal has nothing to undo.
        ("shut down in recovery", REWINDS, REWINDS, "none", 0, False),
        ("in archive recovery", REWINDS, REWINDS, "none", 0, False),
        # One that was lost needs its own recovery before anybody can tell.
        (LOST, FAILS, REWINDS, "rewind", 1, True),
        (LOST, FAILS, NOT_NEEDED, "none", 1, True),
        (LOST, REWINDS, FAILS, "failed", 1, True),
    ],
)
def test_rejoin(host: Host, state: str, trial: str, real: str, method: str, calls: int, aside: bool) -> None:
    host.control(state)
    host.rewind(trial, real)
    result = rejoin(host.request(), dry_run=False)
    assert (result["method"], result["changed"], host.called) == (method, True, calls)
    assert (host.data / SIGNAL).exists() is (method != "failed")
    assert [str(path) for path in host.asides] == ([result["aside"]] if aside else [])
    assert result["reason"] == ("pg_rewind: error: could not find previous WAL record" if method == "failed" else None)


def test_what_is_kept_aside_is_what_was_there(host: Host) -> None:
    host.control(CLEAN)
    host.rewind(REWINDS, f"{REWINDS}; echo other >{host.data}/PG_VERSION")
    rejoin(host.request(), dry_run=False)
    [aside] = host.asides
    assert (aside / "PG_VERSION").read_text() == "17\n"
    assert (host.data / "PG_VERSION").read_text() == "other\n"
    assert not (aside / SIGNAL).exists()


def test_nothing_is_kept_where_nobody_wants_it(host: Host) -> None:
    host.control(CLEAN)
    host.rewind(REWINDS, REWINDS)
    assert rejoin(host.request(keep=False), dry_run=False)["aside"] is None
    assert host.asides == []


@pytest.mark.parametrize(
    ("state", "trial", "method"),
    [(CLEAN, NOT_NEEDED, "none"), (CLEAN, REWINDS, "rewind"), (CLEAN, FAILS, "failed"), (LOST, FAILS, "rewind")],
)
def test_a_dry_run_only_looks(host: Host, state: str, trial: str, method: str) -> None:
    host.control(state)
    host.rewind(trial, "touch called; exit 9")
    before = sorted(host.data.iterdir())
    result = rejoin(host.request(), dry_run=True)
    assert (result["method"], result["changed"], result["aside"]) == (method, True, None)
    assert (sorted(host.data.iterdir()), host.asides) == (before, [])


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("state", ["in archive recovery", "shut down in recovery"])
def test_a_standby_is_left_alone(host: Host, state: str, dry_run: bool) -> None:
    host.control(state)
    (host.data / SIGNAL).touch()
    host.rewind(FAILS, FAILS)
    result = rejoin(host.request(), dry_run)
    assert (result["changed"], result["method"], host.called) == (False, "none", 0)


@contextmanager
def process(name: str) -> Iterator[int]:
    """Run something that is called `name`; give its number."""
    running = subprocess.Popen([name, "60"], executable=shutil.which("sleep"))
    try:
        # The kernel shows the new name a moment after the old program is gone.
        while not Path(f"/proc/{running.pid}/cmdline").read_bytes().startswith(name.encode()):
            time.sleep(0.001)
        yield running.pid
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize(("name", "runs"), [("postgres", True), ("cron", False)])
def test_a_server_that_runs_is_not_touched(host: Host, name: str, runs: bool) -> None:
    host.control(CLEAN)
    host.rewind(NOT_NEEDED, NOT_NEEDED)
    with process(name) as pid:
        (host.data / "postmaster.pid").write_text(f"{pid}\n{host.data}\n1767236400\n5432\n/var/run/postgresql\n")
        if runs:
            with pytest.raises(StewardError, match=f"a server runs in {host.data}: stop it first"):
                rejoin(host.request(), dry_run=False)
        else:  # the number of a server that was lost belongs to somebody else by now
            assert rejoin(host.request(), dry_run=False)["method"] == "none"


def test_a_program_that_is_missing_is_named(host: Host) -> None:
    host.control(CLEAN)
    with pytest.raises(StewardError, match=f"cannot run {host.programs}/pg_rewind"):
        rejoin(host.request(), dry_run=False)


def test_without_room_nothing_is_touched(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    host.control(CLEAN)
    host.rewind(REWINDS, f"{REWINDS}; touch {host.data}/called")
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage(0, 0, 2))
    with pytest.raises(StewardError, match="make room, or give it up by -e pg_replica_keep_diverged=false"):
        rejoin(host.request(), dry_run=False)
    assert [path.name for path in host.data.iterdir()] == ["PG_VERSION"]


def test_keep(host: Host) -> None:
    wal = host.root / "wal" / "17"
    (wal / "archive_status").mkdir(parents=True)
    (wal / "000000010000000000000003").write_text("before")
    (host.data / "pg_wal").symlink_to(wal)
    (host.data / "base").mkdir(mode=0o700)
    aside = keep(host.data, NOW)
    assert aside == host.root / "main.aside-20260101T030000Z"
    # A link would lead to what is rewound.
    (wal / "000000010000000000000003").write_text("after")
    assert not (aside / "pg_wal").is_symlink()
    assert (aside / "pg_wal" / "archive_status").is_dir()
    assert (aside / "pg_wal" / "000000010000000000000003").read_text() == "before"
    assert (host.data / "pg_wal").resolve() == wal
    assert (aside / "base").stat().st_mode & 0o777 == 0o700
    assert (host.data / "PG_VERSION").exists()


def test_half_a_copy_is_removed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.install("cp", 'for last; do :; done; mkdir "$last"; echo "cp: no space left on device" >&2; exit 1')
    monkeypatch.setenv("PATH", str(host.programs), prepend=os.pathsep)
    with pytest.raises(StewardError) as caught:
        keep(host.data, NOW)
    assert str(caught.value) == "the diverged directory cannot be kept aside: cp: no space left on device"
    assert host.asides == []


def test_command(host: Host) -> None:
    line = command(host.request(), "--dry-run")
    assert line[0] == str(host.programs / "pg_rewind")
    assert line[-1] == "--dry-run"
    assert {f"--target-pgdata={host.data}", "--config-file=/etc/postgresql/17/main/postgresql.conf"} < set(line)
    [source] = [word for word in line if word.startswith("--source-server=")]
    assert {"sslmode=verify-full", "passfile=/etc/pgsteward/replication.pass", "dbname=postgres"} < set(source.split())
    assert not any("password=" in word for word in line)


# A standby of which another one that had less became the primary.

LEFT = {1: "0/3000100", 2: "0/4000000"}


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("state", "ends", "trial", "real", "method", "calls"),
    [
        # Level with where the primary left the timeline, or behind it; the header of a page is no WAL.
        ("in archive recovery", {"t1": "0/3000100"}, FAILS, FAILS, None, 0),
        ("in archive recovery", {}, FAILS, FAILS, None, 0),
        # Further than that: it recovers by itself first, and is rewound then. Its signal would keep it from that.
        ("in archive recovery", {"t1": "0/3000180"}, FAILS, "test ! -e {data}/standby.signal || exit 9", "rewind", 1),
        ("in archive recovery", {"t1": "0/3000180"}, FAILS, FAILS, "failed", 1),
        ("shut down in recovery", {"t1": "0/3000180"}, REWINDS, REWINDS, "rewind", 2),
        # What was received only is what pg_rewind does not look at.
        ("shut down in recovery", {"t1": "0/3000180"}, NOT_NEEDED, FAILS, "failed", 1),
        ("shut down in recovery", {"t1": "0/3000180"}, FAILS, REWINDS, "failed", 1),
    ],
)
def test_a_standby_ahead_is_rewound(
    host: Host,
    state: str,
    ends: dict[str, str],
    trial: str,
    real: str,
    method: str | None,
    calls: int,
    dry_run: bool,
) -> None:
    host.control(state)
    host.wal(**ends)
    host.rewind(trial, real.format(data=host.data))
    (host.data / SIGNAL).touch()
    result = rejoin(host.request(), dry_run)
    assert result["changed"] is (method is not None)
    if dry_run:
        assert ((host.data / SIGNAL).exists(), host.asides) == (True, [])
        return
    assert (result["method"], host.called) == (method or "none", calls)
    for aside in host.asides:  # what is kept is the standby as it was
        assert (aside / SIGNAL).exists()
    assert len(host.asides) == (1 if calls and calls == (1 if state == "in archive recovery" else 2) else 0)


def test_wal_that_the_primary_has_lost_is_for_people(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    led_by(monkeypatch, {1: "0/3000100"})
    host.control("in archive recovery")
    host.wal(t1="0/3000180")
    host.rewind(REWINDS, REWINDS)
    (host.data / SIGNAL).touch()
    with pytest.raises(StewardError) as caught:
        rejoin(host.request(), dry_run=False)
    assert (
        "goes up to 0/3000180 on timeline 1, ahead of 0/3000100, where the primary is: 10.0.0.2 has lost what"
        in str(caught.value)
    )
    assert "reinit_standby with -e confirm=HOST puts these data aside" in str(caught.value)
    assert (host.called, host.asides, (host.data / SIGNAL).exists()) == (0, [], True)


def test_data_of_another_cluster_are_not_rewound(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    led_by(monkeypatch, {1: "0/3000100"}, identifier="8")
    host.control("in archive recovery")
    host.wal(t1="0/3000180")
    (host.data / SIGNAL).touch()
    result = rejoin(host.request(), dry_run=False)
    assert (result["method"], result["reason"]) == ("failed", f"{host.data} belongs to another cluster")
