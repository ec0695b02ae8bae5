"""A backup becomes a data directory. pgBackRest is a function that answers, and fills the directory that it is told to."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore, _restore_plan
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_source as source_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore import Request
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_plan import Plan
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import Backrest
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import Target, Wish, target_of

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="pgBackRest runs as the owner of the data, which takes root")

NOW = 1790856000.0  # 2026-10-01 12:00 UTC
AS_OF = "2026-10-01 00:00:00.000000+00"
SUM = "0123456789abcdef0123456789abcdef01234567"
IDENTIFIER = "7412345678901234567"
CONTROL = f"""\
Database system identifier:           {IDENTIFIER}
Database cluster state:               {{state}}
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


def name(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}00000000{number:08X}"


class Repository:
    """Answers as pgBackRest would, for one stanza with a backup in segment 2 and an archive from 1 to 9."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.lacks: set[int] = set()
        self.tablespaces: dict[int, str] = {}
        self.files: dict[str, str] = {"PG_VERSION": "17\n", "base": "restored\n", "backup_label": "label\n"}
        self.fails: str | None = None
        self.version = "2.55.1"
        self.size = 1 << 20

    def __call__(self, command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        self.calls.append(command)
        verb = next((word for word in command[1:] if not word.startswith("-")), "")
        if command[0].endswith("/postgres"):
            return self.said("postgres (PostgreSQL) 17.4 (Debian)")
        return {
            "version": lambda: self.said(f"pgBackRest {self.version}"),
            "info": self.info,
            "repo-ls": lambda: self.listing(command[-1]),
            "repo-get": lambda: self.said("1\t0/A000000\tno recovery target specified\n"),
            "restore": lambda: self.restore(command),
        }[verb]()

    @staticmethod
    def said(text: str, code: int = 0, error: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], code, text, error)

    def info(self) -> subprocess.CompletedProcess[str]:
        backup = {
            "label": "20261001-010000F",
            "type": "full",
            "archive": {"start": name(2), "stop": name(2)},
            "database": {"id": 1, "repo-key": 1},
            "error": False,
            "info": {"size": self.size},
            "lsn": {"start": "0/2000028", "stop": "0/2000100"},
            "timestamp": {"start": int(NOW) - 39600, "stop": int(NOW) - 39000},
            "tablespace": [{"oid": oid, "name": "t", "destination": path} for oid, path in self.tablespaces.items()],
        }
        status = {"code": 0, "message": "ok"}
        stanza = {
            "name": "lab",
            "status": status,
            "repo": [{"key": 1, "cipher": "none", "status": status}],
            "db": [{"id": 1, "repo-key": 1, "system-id": int(IDENTIFIER), "version": "17"}],
            "archive": [{"database": {"id": 1, "repo-key": 1}, "id": "17-1", "min": name(1), "max": name(9)}],
            "backup": [backup],
        }
        return self.said(json.dumps([stanza]))

    def listing(self, path: str) -> subprocess.CompletedProcess[str]:
        assert path.startswith("archive/lab/17-1")
        if path.endswith("17-1"):
            return self.said(json.dumps({"0000000100000000": {"type": "path"}}))
        segments = [number for number in range(1, 10) if number not in self.lacks]
        files = {
            f"{name(number)}-{SUM}.gz": {"type": "file", "time": NOW - 40000 + 4000 * number} for number in segments
        }
        return self.said(json.dumps(files))

    def restore(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        into = Path(next(word for word in command if word.startswith("--pg1-path=")).split("=", 1)[1])
        assert into.is_dir()
        for path in into.iterdir():  # as --delta does
            path.unlink() if path.is_file() or path.is_symlink() else None
        for file, text in self.files.items():
            (into / file).write_text(text)
        for directory in ("pg_wal", "pg_tblspc"):
            (into / directory).mkdir(exist_ok=True)
        for word in command:
            if word.startswith("--tablespace-map="):
                oid, place = word.split("=", 1)[1].split("=")
                (into / "pg_tblspc" / oid).unlink(missing_ok=True)
                (into / "pg_tblspc" / oid).symlink_to(place)
                (Path(place) / "rows").write_text("restored\n")
        if self.fails:
            return self.said("", 82, f"2026-10-01 P00  ERROR: {self.fails}\n            HINT: look there\n")
        return self.said("")


class Host:
    """A data directory and the programs of its server below a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.data, self.programs = root, root / "17" / "main", root / "bin"
        self.repository = Repository()
        self.programs.mkdir()
        self.data.mkdir(parents=True)
        (self.data / "PG_VERSION").write_text("17\n")
        (self.data / "base").write_text("former\n")
        (self.data / "pg_wal").mkdir()
        (self.data / "pg_tblspc").mkdir()
        self.control("shut down")

    def control(self, state: str) -> None:
        for program, body in {
            "pg_controldata": f"cat <<'END'\n{CONTROL.format(state=state)}END",
            "pg_waldump": "echo 'pg_waldump: error: error in WAL record at 0/A000028: invalid record length at 0/A000060: x' >&2; exit 1",
        }.items():
            (self.programs / program).write_text(f"#!/bin/sh\n{body}\n")
            (self.programs / program).chmod(0o755)

    def tablespace(self, oid: int) -> Path:
        place = self.root / f"space{oid}"
        place.mkdir()
        (place / "rows").write_text("former\n")
        (self.data / "pg_tblspc" / str(oid)).symlink_to(place)
        self.repository.tablespaces[oid] = str(place)
        return place

    def request(self, target: Target | None = None, **given: Any) -> Request:
        backrest = Backrest("lab", "root", run=self.repository)
        values = {"wish": Wish(), "data_directory": self.data, "bin_directory": self.programs, **given}
        return Request(backrest, target or target_of("latest"), **values)

    def plan(self, target: Target | None = None, **given: Any) -> Plan:
        return _restore.make_plan(self.request(target, **given), NOW, in_place=True)

    def restore(self, target: Target | None = None, now: float = NOW, **given: Any) -> dict[str, Any]:
        request = self.request(target, **given)
        return _restore.in_place(request, _restore.make_plan(request, NOW, in_place=True), now)

    def seen(self) -> list[str]:
        return sorted(path.name for path in self.data.parent.iterdir())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


# The command line


@pytest.mark.parametrize(
    ("target", "there", "not_there"),
    [
        (
            target_of("latest"),
            ["--type=standby", "--target-timeline=current", "--recovery-option=primary_conninfo="],
            ["--target-action=pause", "--archive-mode=off"],
        ),
        (
            target_of("immediate"),
            ["--type=immediate", "--target-action=pause", "--recovery-option=recovery_target_timeline=current"],
            ["--target-timeline=current"],
        ),
        (
            target_of("time", "2026-10-01 02:00Z", exclusive=True),
            [
                "--type=time",
                "--target=2026-10-01 02:00:00.000000+00",
                "--target-exclusive",
                "--target-timeline=current",
            ],
            ["--recovery-option=primary_conninfo="],
        ),
        (target_of("lsn", "0/5000148", "1"), ["--type=lsn", "--target=0/5000148", "--target-timeline=current"], []),
        (target_of("xid", "751"), ["--type=xid", "--target=751"], ["--target-exclusive"]),
        (target_of("name", "before migrate"), ["--type=name", "--target=before migrate"], []),
    ],
)
@root_only
def test_command_lines(host: Host, target: Target, there: list[str], not_there: list[str]) -> None:
    plan = host.plan(target)
    command = _restore.command(host.request(target), plan, host.data, {16400: Path("/srv/t")})
    assert [word for word in ["--set=20261001-010000F", "--repo=1", "--delta", *there] if word not in command] == []
    assert [word for word in not_there if word in command] == []
    assert "--tablespace-map=16400=/srv/t" in command
    assert (
        '--recovery-option=restore_command=pgbackrest --stanza=lab --log-level-stderr=error archive-get %f "%p"'
        in command
    )
    assert command[-1] == "restore"


@root_only
def test_beside_it_shares_nothing_with_what_is_live(host: Host) -> None:
    request = replace(host.request(), data_directory=Path("/scratch/100%/data"))
    command = _restore.command(request, host.plan(), request.data_directory, {}, Path("/scratch/100%"))
    assert "--archive-mode=off" in command
    assert "--lock-path=/scratch/100%/lock" in command
    [option] = [word for word in command if "restore_command=" in word]
    assert "--pg1-path=/scratch/100%%/data" in option
    assert "--lock-path=/scratch/100%%/lock --spool-path=/scratch/100%%/spool" in option


# Plans


@root_only
def test_a_plan(host: Host) -> None:
    facts = host.plan().as_facts()
    assert (facts["backup"], facts["repository"], facts["timeline"], facts["end"]) == (
        "20261001-010000F",
        1,
        1,
        "0/9000000",
    )
    assert facts["target"] == "the end of the archive"
    assert facts["warnings"] == []
    json.dumps(facts)


@root_only
@pytest.mark.parametrize(
    ("lacks", "target", "words"),
    [
        ({5}, target_of("latest"), "WAL segment 000000010000000000000005 is missing in repository 1"),
        (set(), target_of("latest", "", "4"), "timeline 4 is not in the archive, which knows 1"),
        (set(), target_of("lsn", "0/A000001"), "target LSN 0/A000001 is after the window"),
    ],
)
def test_refusals(host: Host, lacks: set[int], target: Target, words: str) -> None:
    host.repository.lacks = lacks
    with pytest.raises(StewardError) as caught:
        host.plan(target)
    assert words in str(caught.value)
    assert host.seen() == ["main"]


@root_only
def test_features_that_the_version_lacks(host: Host) -> None:
    host.repository.version = "2.53"
    with pytest.raises(StewardError, match=r"takes pgBackRest 2\.54, and this host has 2\.53"):
        _restore.make_plan(as_it_was(host), NOW, in_place=True)


def as_it_was(host: Host, repository: int | None = 1) -> Request:
    """Return a request that reads a repository as it was at an earlier time."""
    config = host.root / "pgbackrest.conf"
    config.write_text("[global]\nrepo1-type=s3\nrepo2-path=/srv\nrepo12-type=s3\n")
    backrest = Backrest("lab", "root", str(config), AS_OF, repository, host.repository)
    return replace(host.request(), backrest=backrest, wish=Wish(repository=repository))


@root_only
def test_the_repository_as_it_was(host: Host) -> None:
    """Every question names time and repository once, and so does the server's own; the WAL of this host is later than what is wanted."""
    (host.data / "pg_wal" / name(10)).write_text("wal\n")
    request = as_it_was(host)
    plan = _restore.make_plan(request, NOW, in_place=True)
    assert (plan.end, plan.local) == (Lsn.parse("0/9000000"), ())
    command = _restore.command(request, plan, host.data, {})
    asked = [call for call in [*host.repository.calls, command] if call[0] == "pgbackrest" and call[1] != "version"]
    assert len(asked) >= 4
    for call in asked:
        assert call.count("--repo=1") == 1
        assert call.count(f"--repo-target-time={AS_OF}") == 1
    [option] = [word for word in command if "restore_command=" in word]
    assert f'"--repo-target-time={AS_OF}" --repo=1 archive-get' in option
    assert "'" not in option


@root_only
def test_a_time_of_no_repository(host: Host) -> None:
    with pytest.raises(StewardError, match=r"repository_time is about one repository, .*, as in repository=2"):
        _restore.make_plan(as_it_was(host, None), NOW, in_place=True)


@root_only
def test_a_time_of_a_repository_that_is_a_directory(host: Host) -> None:
    with pytest.raises(StewardError, match=r"repository 2 cannot be read as it was at a time: it is not in a bucket"):
        _restore.make_plan(as_it_was(host, 2), NOW, in_place=True)
    assert host.repository.calls[1:] == []


@root_only
def test_the_stanza_of_another_cluster(host: Host) -> None:
    text = (host.programs / "pg_controldata").read_text().replace(IDENTIFIER, "42")
    (host.programs / "pg_controldata").write_text(text)
    with pytest.raises(StewardError, match=r"the stanza 'lab' is of another cluster .* confirm 42 as well"):
        host.plan()
    (host.data / "pg_wal" / name(10)).write_text("of the other one")
    assert host.plan(foreign="42").local == ()


@root_only
def test_another_version_of_the_server(host: Host) -> None:
    with pytest.raises(StewardError, match=r"are of PostgreSQL 17, and the server here is 15"):
        _restore_plan.make(host.request().backrest, target_of("latest"), Wish(), NOW, 15, lambda _stanza: {})


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ASSERT: [025]: versioning required\n   noise\n", "[025]: versioning required"),
        (
            "P00  ERROR: [055]: unable to open\n   HINT: stanza-create?\nnoise\n",
            "[055]: unable to open / HINT: stanza-create?",
        ),
        ("just words\n", "just words"),
        ("", "exit code 3"),
    ],
)
def test_reasons(error: str, said: str) -> None:
    assert source_of.words(subprocess.CompletedProcess([], 3, "", error)) == said


# In place


@root_only
def test_what_was_there_is_kept_and_comes_back(host: Host) -> None:
    space = host.tablespace(16400)
    done = host.restore()
    aside = Path(done["aside"][str(host.data)])
    assert (host.data / "base").read_text() == "restored\n"
    assert (aside / "base").read_text() == "former\n"
    assert (space / "rows").read_text() == "restored\n"
    assert (host.data / "pg_tblspc/16400").readlink() == space
    assert (aside / "pg_tblspc/16400").readlink() == Path(done["aside"][str(space)])
    assert (aside / "pg_tblspc/16400/rows").read_text() == "former\n"
    record = _restore.read_record(host.data)
    assert (record["backup"], record["target"], record["at"]) == (
        "20261001-010000F",
        "the end of the archive",
        "2026-10-01T12:00:00Z",
    )
    _restore.put_back(host.data)
    assert (host.data / "base").read_text() == "former\n"
    assert (host.data / "pg_tblspc/16400/rows").read_text() == "former\n"
    assert host.seen() == ["main"]
    assert sorted(path.name for path in host.root.glob("space*")) == ["space16400"]


@root_only
def test_only_a_later_step_removes_it(host: Host) -> None:
    host.tablespace(16400)
    kept = host.restore()["aside"]
    assert sorted(_restore.settle(host.data)) == sorted(kept.values())
    assert host.seen() == ["main"]
    assert (host.data / "base").read_text() == "restored\n"
    with pytest.raises(StewardError, match=r"nothing to go back to, or to remove"):
        _restore.settle(host.data)


@root_only
def test_a_second_try_leaves_what_the_first_one_kept(host: Host) -> None:
    first = host.restore()["aside"][str(host.data)]
    host.repository.files["base"] = "again\n"
    second = host.restore(now=NOW + 60)["aside"][str(host.data)]
    assert (Path(first) / "base").read_text() == "former\n"
    assert (Path(second) / "base").read_text() == "restored\n"
    _restore.put_back(host.data)
    assert (host.data / "base").read_text() == "restored\n"
    _restore.put_back(host.data)
    assert (host.data / "base").read_text() == "former\n"
    assert host.seen() == ["main"]


@root_only
def test_wal_that_was_not_archived_is_brought_along(host: Host) -> None:
    """Segments up to 9 are archived, the server has written 10, and 11 is one that it would write next."""
    for number in (8, 9, 10, 11):
        (host.data / "pg_wal" / name(number)).write_text("wal\n")
    assert host.plan().end == Lsn.parse("0/A000000")
    host.restore()
    assert sorted(path.name for path in (host.data / "pg_wal").iterdir()) == [name(10)]


def test_wal_of_a_server_that_runs(tmp_path: Path) -> None:
    """What it writes now was written last; what it will write later has later names and is older."""
    (tmp_path / "pg_wal" / "archive_status").mkdir(parents=True)
    for number, written in {8: 10.0, 9: 20.0, 10: 30.0, 11: 5.0}.items():
        (tmp_path / "pg_wal" / name(number)).touch()
        os.utime(tmp_path / "pg_wal" / name(number), (written, written))
    assert _restore.live_segments(tmp_path, 16 << 20, NOW) == {name(8): 10.0, name(9): 20.0, name(10): NOW}


@root_only
@pytest.mark.parametrize("wanted", [True, False])
def test_wal_that_is_kept_apart(host: Host, wanted: bool) -> None:
    apart = host.root / "wal" / "17"
    apart.mkdir(parents=True)
    if not wanted:  # it is where it was
        (host.data / "pg_wal").rmdir()
        (host.data / "pg_wal").symlink_to(apart)
    (apart / name(3)).write_text("former\n")
    done = host.restore(wal_directory=apart if wanted else None)
    assert (host.data / "pg_wal").readlink() == apart
    assert list(apart.iterdir()) == []
    kept = Path(done["aside"][str(apart)])
    assert (kept / name(3)).read_text() == "former\n"
    if not wanted:
        assert (Path(done["aside"][str(host.data)]) / "pg_wal").readlink() == kept
    _restore.put_back(host.data)
    assert (apart / name(3)).read_text() == "former\n"
    assert (host.data / "pg_wal").is_symlink() != wanted


@root_only
def test_the_configuration_of_today_is_kept_where_it_lies_among_the_data(host: Host) -> None:
    host.repository.files["postgresql.conf"] = "of the backup\n"
    (host.data / "postgresql.conf").write_text("of today\n")
    (host.data / "conf.d").mkdir()
    (host.data / "conf.d" / "x.conf").write_text("of today\n")
    host.restore()
    assert (host.data / "postgresql.conf").read_text() == "of today\n"
    assert (host.data / "conf.d" / "x.conf").read_text() == "of today\n"


@root_only
def test_a_restore_that_fails_leaves_what_was_there(host: Host) -> None:
    host.tablespace(16400)
    host.repository.fails = "[113]: file base/1 has a checksum that does not fit"
    with pytest.raises(StewardError) as caught:
        host.restore()
    assert "pgbackrest restore of 20261001-010000F from repository 1 failed: [113]: file base/1" in str(caught.value)
    assert "HINT: look there" in str(caught.value)
    assert host.seen() == ["main"]
    assert (host.data / "base").read_text() == "former\n"
    assert sorted(path.name for path in host.root.glob("space*")) == ["space16400"]


@root_only
def test_leftovers_of_a_run_that_was_killed_are_no_hindrance(host: Host) -> None:
    (host.data.parent / "main.restoring").mkdir()
    (host.data.parent / "main.restoring" / "half").write_text("x")
    host.restore()
    assert not (host.data / "half").exists()


@root_only
def test_nothing_was_there(host: Host) -> None:
    for path in sorted(host.data.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    host.data.rmdir()
    (host.programs / "pg_controldata").write_text("#!/bin/sh\nexit 1\n")
    assert host.restore()["aside"] == {}
    assert (host.data / "base").read_text() == "restored\n"
    _restore.put_back(host.data)
    assert host.seen() == []


@root_only
def test_a_swap_that_was_cut_short_is_undone_as_well(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data have changed places, and the tablespace has not."""
    space = host.tablespace(16400)
    rename = Path.rename

    def failing(self: Path, target: Any) -> Path:
        if self == space:
            raise OSError("Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StewardError, match=r"cannot take the place of the former: Input/output error"):
        host.restore()
    monkeypatch.undo()
    assert host.seen() == ["main"]
    assert (host.data / "base").read_text() == "former\n"
    assert (host.data / "pg_tblspc/16400/rows").read_text() == "former\n"


@root_only
def test_room(host: Host) -> None:
    host.repository.size = 1 << 60
    with pytest.raises(
        StewardError,
        match=r"not enough room for the restore: it takes 1,099,511,627,840 MiB below .*main, and .* has [\d,]+ MiB free",
    ):
        host.restore()
    assert host.seen() == ["main"]


@root_only
def test_a_directory_that_is_a_file_system(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == host.data)
    with pytest.raises(StewardError, match=r"main is a file system of its own"):
        host.restore()


@root_only
@pytest.mark.parametrize(
    ("state", "label", "promoted"),
    [("in production", True, False), ("in archive recovery", False, False), ("in production", False, True)],
)
def test_whether_it_was_promoted(host: Host, state: str, label: bool, promoted: bool) -> None:
    host.restore()
    host.control(state)
    if not label:
        (host.data / "backup_label").unlink()
    assert _restore.was_promoted(host.programs, host.data) == promoted


# Beside


@root_only
def test_beside_and_away_again(host: Host) -> None:
    base = host.root / "restores" / "5440"
    host.repository.tablespaces[16400] = str(host.root / "space")
    request = replace(host.request(), data_directory=base / "data")
    plan = _restore.make_plan(request, NOW, in_place=False)
    _restore.beside(request, plan, base, NOW)
    assert (base / "data/base").read_text() == "restored\n"
    assert (base / "data/pg_tblspc/16400").readlink() == base / "tablespaces/16400"
    assert (base.stat().st_mode & 0o777, (base / "data").stat().st_mode & 0o777) == (0o700, 0o700)
    assert (host.data / "base").read_text() == "former\n"
    with pytest.raises(
        StewardError,
        match=r"there is a restored server at .*5440 already \(the end of the archive, since 2026-10-01T12:00:00Z\)",
    ):
        _restore.beside(request, plan, base, NOW)
    (base / "restore.json").write_text('{"complete": false}')  # a run that was killed
    _restore.beside(request, plan, base, NOW)
    assert _restore.remove_beside(base)
    assert not base.exists()
    assert not _restore.remove_beside(base)


@root_only
def test_beside_that_fails_leaves_nothing(host: Host) -> None:
    base = host.root / "restores" / "5440"
    host.repository.fails = "[041]: no space left on device"
    request = replace(host.request(), data_directory=base / "data")
    with pytest.raises(StewardError, match=r"no space left on device"):
        _restore.beside(request, _restore.make_plan(request, NOW, in_place=False), base, NOW)
    assert not base.exists()


@root_only
def test_a_directory_of_somebody_else_is_left_alone(host: Host, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    assert "holds something that no restore has made" in str(_restore.beside_finding(tmp_path, host.plan()))
    with pytest.raises(StewardError, match=r"was not made by a restore"):
        _restore.remove_beside(tmp_path)


def test_what_is_still_written_is_removed_in_the_end(tmp_path: Path) -> None:
    """Another process writes for half a second more, as workers of a program that was killed do."""
    base = tmp_path / "made"
    (base / "data" / "base").mkdir(parents=True)
    (base / _restore.MARK).write_text("{}")
    script = (
        "import pathlib, sys, time\n"
        "until, number = time.monotonic() + 0.5, 0\n"
        "while time.monotonic() < until:\n"
        "    number += 1\n"
        "    try:\n"
        "        (pathlib.Path(sys.argv[1]) / str(number)).touch()\n"
        "    except FileNotFoundError:\n"
        "        break\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(base / "data" / "base")]) as writer:
        assert _restore.remove_beside(base)
        writer.wait(10)
    assert not base.exists()


def test_the_mark_of_a_directory_is_the_last_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "made"
    (base / "data").mkdir(parents=True)
    (base / _restore.MARK).write_text("{}")

    def refused(_path: Path) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(_restore, "STILL_WRITTEN", 0.0)
    monkeypatch.setattr(shutil, "rmtree", refused)
    with pytest.raises(StewardError, match="cannot be removed: Directory not empty: remove it yourself"):
        _restore.remove_beside(base)
    assert _restore.beside_mark(base) == {}
