"""What lies beside pgBackRest on a host: which files where, and programs that the server and timers run."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_host as host
from test_pgbackrest import LOCAL, OBJECTS, changed

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {name: f"#!{name}\n" for name in (*host.ARCHIVING, host.TAKING, *host.SHIPPED)}
FILES = ROOT / "roles" / "pgbackrest" / "files"


def made(**changes: Any) -> dict[str, Any]:
    return host.files(changed(**changes), PROGRAMS, "abc\n")


def test_a_server_of_a_repository_host_archives_and_has_no_timers() -> None:
    files = made()
    assert f"{host.ARCHIVE}/archive_push" in files["wanted"]
    assert "MACHINE=abc\nQUEUE_MAX=10737418240\n" in files["wanted"][f"{host.ARCHIVE}/archive.conf"]
    assert host.SERVER_UNIT in files["wanted"]
    assert files["unwanted"] == [host.timer("full"), host.timer("diff"), host.timer("incr"), host.BACKUP_UNIT]


def test_a_repository_host_takes_the_backups_and_asks_no_server() -> None:
    files = made(here="store", repository_host=True)
    assert not [path for path in files["wanted"] if path.startswith(host.ARCHIVE)]
    assert files["unwanted"] == [host.timer("diff"), host.timer("incr")]
    assert json.loads(files["wanted"]["/etc/pgsteward/backup.json"]) == {
        "stanza": "shop",
        "repositories": [1, 2],
        "from_standby": True,
        "server": None,
    }
    assert "d /var/lib/pgbackrest 0750 postgres postgres\n" in files["wanted"][host.TMPFILES]


def test_without_one_every_server_has_the_timers() -> None:
    files = made(repositories=[LOCAL, OBJECTS], schedule={"full": "Sun 01:30", "diff": None, "incr": "hourly"})
    conf = json.loads(files["wanted"]["/etc/pgsteward/backup.json"])
    assert conf["server"] == {"socket_directory": "/var/run/postgresql", "port": 5432, "user": "backup"}
    assert conf["repositories"] == [1, 2]
    assert files["unwanted"] == [host.timer("diff")]
    assert "d /srv/backup 0750" in files["wanted"][host.TMPFILES]


def test_a_single_server_without_repository_host_lets_nobody_in() -> None:
    servers = changed()["servers"][:1]
    files = made(repositories=[LOCAL], servers=servers)
    assert host.SERVER_UNIT in files["unwanted"]
    assert not json.loads(files["wanted"]["/etc/pgsteward/backup.json"])["from_standby"]


def test_units_say_when_and_as_whom() -> None:
    wanted = made(repositories=[OBJECTS])["wanted"]
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(wanted[host.timer("full")])
    assert dict(parser["Timer"]) == {
        "OnCalendar": "Sun 01:30",
        "RandomizedDelaySec": "15min",
        "Persistent": "true",
        "Unit": "pgsteward-backup@full.service",
    }
    assert "User=postgres\n" in wanted[host.BACKUP_UNIT]
    assert "on port 8432\n" in wanted[host.SERVER_UNIT]


def test_what_the_configuration_names_comes_first() -> None:
    assert made()["needs"] == [host.TMPFILES]
    own = [{**OBJECTS, "ca": "-----BEGIN CERTIFICATE-----"}]
    assert made(repositories=own)["needs"] == [host.TMPFILES, "/etc/pgsteward/tls/repository-1.crt"]


def test_no_file_but_the_configuration_holds_a_secret() -> None:
    for one in (made(), made(here="store", repository_host=True), made(repositories=[OBJECTS])):
        assert not [path for path, text in one["wanted"].items() if "a secret" in text or "pass phrase" in text]


def test_who_has_to_take_a_first_backup() -> None:
    takers = host.plan(changed())["takers"]
    assert host.unsaved(takers, [{"number": 1, "backups": [1]}, {"number": 2, "backups": []}]) == takers
    assert host.unsaved(takers, [{"number": 1, "backups": [1]}, {"number": 2, "backups": [1]}]) == []


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A directory of programs with a pgbackrest, a logger and a timeout of its own, and a data directory that is the current one."""
    programs, data, spool = (tmp_path / name for name in ("programs", "data", "spool"))
    for path in (programs, spool, data / "pg_wal" / "archive_status"):
        path.mkdir(parents=True)
    for name in host.ARCHIVING:
        (programs / name).write_text((FILES / name).read_text())
        (programs / name).chmod(0o755)
    for name in ("pgbackrest", "logger"):
        (programs / name).write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/{name}.log"\n')
        (programs / name).chmod(0o755)
    (tmp_path / "machine-id").write_text("abc\n")
    values = {
        "STANZA": "shop",
        "MACHINE_FILE": tmp_path / "machine-id",
        "MACHINE": "abc",
        "QUEUE_MAX": 200,
        "SPOOL": spool,
    }
    (programs / "archive.conf").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    (data / "pg_wal" / "0A").write_text("x" * 10)
    return tmp_path


def call(archive: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{archive}/programs:/usr/bin:/bin"}
    command = [str(archive / "programs" / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=archive / "data", env=environment)


def said(archive: Path, program: str) -> str:
    path = archive / f"{program}.log"
    return path.read_text() if path.exists() else ""


def test_a_segment_is_pushed(archive: Path) -> None:
    assert call(archive, "archive_push", "pg_wal/0A").returncode == 0
    assert said(archive, "pgbackrest") == "--stanza=shop archive-push pg_wal/0A\n"
    assert said(archive, "logger") == ""


def test_a_copy_of_the_machine_pushes_nothing(archive: Path) -> None:
    (archive / "machine-id").write_text("def\n")
    ended = call(archive, "archive_push", "pg_wal/0A")
    assert ended.returncode == 1
    assert "this machine (def) is a copy of the one that archives stanza shop (abc)" in ended.stderr
    assert said(archive, "pgbackrest") == ""


@pytest.mark.parametrize(("waiting", "warned"), [(7, False), (9, False), (10, True)])
def test_half_of_the_queue_is_told_to_the_journal_once(archive: Path, waiting: int, warned: bool) -> None:
    for number in range(waiting):
        (archive / "data" / "pg_wal" / "archive_status" / f"{number}.ready").touch()
    for _again in range(2):
        assert call(archive, "archive_push", "pg_wal/0A").returncode == 0
    assert said(archive, "logger").count(f"stanza shop: {waiting * 10} bytes of WAL wait") == int(warned)
    assert said(archive, "pgbackrest").count("archive-push") == 2


def test_a_segment_is_fetched_and_one_that_is_not_there_is_no_fault(archive: Path) -> None:
    assert call(archive, "archive_get", "0B", "pg_wal/0B").returncode == 0
    (archive / "programs" / "pgbackrest").write_text("#!/bin/sh\nexit 1\n")
    assert call(archive, "archive_get", "0B", "pg_wal/0B").returncode == 1


def test_a_repository_that_does_not_answer_is_left_alone_for_a_while(archive: Path) -> None:
    (archive / "programs" / "timeout").write_text(f'#!/bin/sh\necho asked >>"{archive}/timeout.log"\nexit 124\n')
    (archive / "programs" / "timeout").chmod(0o755)
    first = call(archive, "archive_get", "0B", "pg_wal/0B")
    assert first.returncode == 1
    assert "does not answer" in first.stderr
    assert call(archive, "archive_get", "0B", "pg_wal/0B").returncode == 1
    assert said(archive, "timeout") == "asked\n"
    os.utime(archive / "spool" / "pgsteward-silent", (1, 1))
    call(archive, "archive_get", "0B", "pg_wal/0B")
    assert said(archive, "timeout") == "asked\nasked\n"


def test_the_program_of_the_timers_needs_nothing_but_what_is_shipped(tmp_path: Path) -> None:
    utils = tmp_path / host.MODULE_UTILS
    utils.mkdir(parents=True)
    for name in host.SHIPPED:
        (utils / name).write_text((ROOT / "plugins" / "module_utils" / name).read_text())
    ended = subprocess.run(
        [sys.executable, "-S", str(FILES / host.TAKING), "weekly"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("backup_physical full|diff|incr")
