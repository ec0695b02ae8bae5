"""pgBackRest called: what it says in one line, backups and their record, stanzas, and a configuration that it is let try first."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_archiver as archiver
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_files as files
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_info as info
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_run as pgbackrest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_stanza as stanzas
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from test_pgbackrest_info import OURS, THEIRS, answer, backup

# Says what the list of answers holds for a command, one after the other, and notes how it was called.
FAKE = """#!{python}
import json, pathlib, sys
home = pathlib.Path({home!r})
answers = json.loads((home / "answers.json").read_text())
with (home / "calls").open("a") as stream:
    stream.write(json.dumps(sys.argv[1:]) + chr(10))
listed = answers.get(sys.argv[1], [[0, "", ""]])
code, output, errors = listed.pop(0) if len(listed) > 1 else listed[0]
(home / "answers.json").write_text(json.dumps(answers))
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(code)
"""
NO_STANDBY = "P00  ERROR: [056]: unable to find standby cluster - cannot proceed\n            HINT: are all available clusters in recovery?\n"
WAITED = "2026-11-22 01:30:05.123 P00   INFO: wait for replay on the standby to reach 0/4000028\nP00   INFO: replay on the standby reached 0/4000028\n"


class Fake:
    """A pgBackRest that says what it is told to."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.binary = home / "pgbackrest"
        self.binary.write_text(FAKE.format(python=sys.executable, home=str(home)))
        self.binary.chmod(0o755)
        self.says(version=[(0, "pgBackRest 2.55.1\n", "")])

    def says(self, **answers: list[tuple[int, str, str]]) -> Fake:
        known = json.loads(path.read_text()) if (path := self.home / "answers.json").exists() else {}
        path.write_text(json.dumps({**known, **{name.replace("_", "-"): listed for name, listed in answers.items()}}))
        return self

    @property
    def calls(self) -> list[list[str]]:
        path = self.home / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def program(self) -> pgbackrest.Program:
        return pgbackrest.Program("shop", str(self.binary))


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    home = tmp_path / "fake"
    home.mkdir()
    return Fake(home)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ERROR: [049]: no answer\n", "no answer"),
        ("2026-11-22 01:30:05.123 P00  ERROR: [055]: a\n                    HINT: b\nP00   INFO: c\n", "a HINT: b"),
        ("P00   INFO: a\nP00   WARN: b\nP00  ERROR: [103]: c\n      d\n", "c d"),
        (
            "P00   WARN: unable to check pg1: x\nP00  ERROR: [056]: unable to find primary\n",
            "unable to find primary; unable to check pg1: x",
        ),
        ("Segmentation fault\n", "Segmentation fault"),
        ("", "no reason given (exit code 9)"),
    ],
)
def test_reasons_are_one_line(text: str, line: str) -> None:
    assert pgbackrest.reason(pgbackrest.Outcome(9, text, "")) == line


def test_warnings_of_a_log() -> None:
    text = "WARN: configuration file contains invalid option 'bogus'\nP00   WARN: second\n   goes on\nsomething else\n  no more\n"
    assert pgbackrest.messages(text, "WARN") == ["configuration file contains invalid option 'bogus'", "second goes on"]


def test_versions(fake: Fake) -> None:
    assert pgbackrest.version_of(fake.program) == "2.55.1"
    assert pgbackrest.version_of(pgbackrest.Program("shop", "/no/such/program")) is None
    with pytest.raises(StewardError, match="is not understood: hello"):
        pgbackrest.version_of(fake.says(version=[(0, "hello", "")]).program)


def test_commands_name_stanza_and_configuration_and_hold_no_secret(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBACKREST_REPO1_CIPHER_PASS", "of somebody else")
    pgbackrest.run(pgbackrest.Program("shop", str(fake.binary), config=Path("/c")), "repo-ls", "--repo=2")
    assert fake.calls == [
        ["repo-ls", "--config=/c", "--stanza=shop", "--log-level-console=off", "--log-level-stderr=warn", "--repo=2"]
    ]


def unreadable(message: str) -> str:
    return answer([], db=[], repo=[{"cipher": "none", "key": 1, "status": {"code": 99, "message": message}}])


def told(*backups: dict[str, Any]) -> tuple[int, str, str]:
    return (0, answer(list(backups)), "")


def test_a_backup_is_known_by_what_is_new_in_the_repository(fake: Fake) -> None:
    fake.says(info=[told(backup("A")), told(backup("A"), backup("B", "incr", age=0))], backup=[(0, WAITED, "")])
    taken = pgbackrest.take(fake.program, 1, "incr", True, now=lambda: 100.0)
    assert (taken.label, taken.type, taken.bytes, taken.from_standby, taken.error) == ("B", "incr", 2900000, True, None)
    (call,) = [one for one in fake.calls if one[0] == "backup"]
    assert {"--repo=1", "--type=incr", "--backup-standby"} <= set(call)


def test_what_was_really_taken_is_said(fake: Fake) -> None:
    fake.says(info=[told(), told(backup("A", "full"))])
    assert pgbackrest.take(fake.program, 1, "incr", False).type == "full"


def test_without_a_standby_the_primary_is_read(fake: Fake) -> None:
    fake.says(info=[told(), told(backup("A"))], backup=[(56, NO_STANDBY, ""), (0, "", "")])
    taken = pgbackrest.take(fake.program, 1, "full", True)
    assert (taken.label, taken.from_standby, taken.error) == ("A", False, None)
    assert ["--no-backup-standby" in one for one in fake.calls if one[0] == "backup"] == [False, True]


@pytest.mark.parametrize(
    ("code", "text", "line"),
    [
        (56, "ERROR: [056]: unable to find primary cluster - cannot proceed\n", "unable to find primary cluster"),
        (50, "ERROR: [050]: unable to acquire lock\n", "another backup or an expiry runs: unable to acquire lock"),
        (82, "ERROR: [082]: WAL segment 1 was not archived\n", "WAL segment 1 was not archived"),
        (0, "", "the repository holds no new backup"),
    ],
)
def test_backups_that_fail(fake: Fake, code: int, text: str, line: str) -> None:
    fake.says(info=[told(backup("A"))], backup=[(code, text, "")])
    taken = pgbackrest.take(fake.program, 1, "full", True)
    assert taken.label is None
    assert line in str(taken.error)
    assert "FAILED" in pgbackrest.told(taken)


def test_no_backup_is_tried_into_a_repository_that_does_not_answer(fake: Fake) -> None:
    fake.says(info=[(0, unreadable("[HostConnectError] unable to connect"), "")])
    assert pgbackrest.take(fake.program, 1, "full", True).error == "unable to connect"
    assert pgbackrest.take(fake.program, 2, "full", True).error == "the configuration of this host does not have it"
    assert "backup" not in [call[0] for call in fake.calls]


def test_one_that_fails_keeps_the_next_from_nothing(fake: Fake, tmp_path: Path) -> None:
    both = {1: 0, 2: 0}
    fake.says(
        info=[
            (0, answer([], both), ""),
            (0, answer([], both), ""),
            (0, answer([backup("B", repo=2)], both), ""),
        ],
        backup=[(49, "ERROR: [049]: no answer\n", ""), (0, "", "")],
    )
    said: list[str] = []
    record = tmp_path / "physical.json"
    taken = pgbackrest.take_all(fake.program, [1, 2], "full", False, record, said.append)
    assert [one.error for one in taken] == ["no answer", None]
    assert stanzas.failures(taken) == said[1]
    assert "repository 2: full backup B, 2900000 bytes" in said[3]
    kept = json.loads(record.read_text())
    assert kept["stanza"] == "shop"
    assert (kept["repositories"]["1"]["error"], kept["repositories"]["1"]["last_good"]) == ("no answer", None)
    assert kept["repositories"]["2"]["last_good"]["label"] == "B"


def test_the_last_good_backup_stays_known(tmp_path: Path) -> None:
    record = tmp_path / "physical.json"
    good = pgbackrest.Taken(1, "full", 100, 5, "A", 10)
    for one in (
        good,
        pgbackrest.Taken(1, "diff", 200, 1, error="no answer"),
        pgbackrest.Taken(1, "diff", 300, 1, error="again"),
    ):
        pgbackrest.keep(record, "shop", one)
    entry = json.loads(record.read_text())["repositories"]["1"]
    assert (entry["error"], entry["last_good"]["label"], entry["last_good"]["begun"]) == ("again", "A", 100)
    assert "last_good" not in entry["last_good"]
    record.write_text("damaged")
    pgbackrest.keep(record, "shop", good)
    pgbackrest.keep(record, "another", pgbackrest.Taken(2, "full", 100, 5, "A", 10))
    assert list(json.loads(record.read_text())["repositories"]) == ["2"]


EXPECTED = info.Expected((1,), str(OURS), "17")


@pytest.mark.parametrize(
    ("codes", "action"),
    [({1: 0}, "nothing"), ({1: 2}, "nothing"), ({1: 1}, "create"), ({1: 3}, "create"), ({1: 0, 2: 1}, "create")],
)
def test_what_a_stanza_needs(codes: dict[int, int], action: str) -> None:
    expected = info.Expected(tuple(codes), str(OURS), "17")
    assert stanzas.decide(info.parse(answer([], codes), "shop"), expected, False) == action


def test_another_cluster_s_archive_is_refused_unless_it_became_this_one() -> None:
    found, other = info.parse(answer([]), "shop"), info.Expected((1,), str(THEIRS), "18")
    with pytest.raises(StewardError, match=f"{OURS}.*this cluster is {THEIRS}") as refused:
        stanzas.decide(found, other, False)
    assert refused.value.facts == {"repository": 1, "found": str(OURS), "expected": str(THEIRS)}
    assert stanzas.decide(found, other, True) == "upgrade"


def test_what_cannot_be_looked_into_is_not_made() -> None:
    with pytest.raises(StewardError, match="repository 1: no answer"):
        stanzas.decide(info.parse(answer([], {1: 99}), "shop"), EXPECTED, False)
    with pytest.raises(StewardError, match="repository 2: the configuration of this host does not have it"):
        stanzas.decide(info.parse(answer([]), "shop"), info.Expected((1, 2)), False)


def test_a_stanza_is_made_once(fake: Fake) -> None:
    fake.says(info=[(0, answer([], {1: 1}), ""), (0, answer([], {1: 2}), "")])
    made = stanzas.converge(fake.program, EXPECTED, False, dry_run=False)
    assert (made["changed"], made["action"]) == (True, "create")
    assert [call[0] for call in fake.calls] == ["info", "stanza-create", "info"]
    assert made["diff"][0]["before"] == ""
    assert not stanzas.converge(fake.program, EXPECTED, False, dry_run=False)["changed"]


def test_a_dry_run_only_asks(fake: Fake) -> None:
    fake.says(info=[(0, answer([], {1: 1}), "")])
    assert stanzas.converge(fake.program, EXPECTED, False, dry_run=True)["changed"]
    fake.says(info=[(0, answer([]), "")])
    stanzas.check(fake.program, EXPECTED, dry_run=True)
    assert {call[0] for call in fake.calls} == {"info"}


def test_what_pgbackrest_says_against_it_is_passed_on(fake: Fake) -> None:
    fake.says(
        info=[(0, answer([], {1: 1}), "")], stanza_create=[(55, "P00  ERROR: [055]: archive directory not empty\n", "")]
    )
    with pytest.raises(StewardError, match=r"^pgbackrest stanza-create: archive directory not empty$"):
        stanzas.converge(fake.program, EXPECTED, False, dry_run=False)
    fake.says(info=[(0, answer([]), "")], check=[(82, "P00  ERROR: [082]: WAL segment was not archived\n", "")])
    with pytest.raises(StewardError, match="pgbackrest check: WAL segment was not archived"):
        stanzas.check(fake.program, EXPECTED, dry_run=False)


WANTED: dict[str, Any] = {
    "sections": {"global": {"repo1-path": "/srv", "compress-type": "zst"}, "shop": {"pg1-path": "/data"}},
    "secrets": {"repo1-cipher-pass": "a pass phrase"},
    "names": {},
    "repositories": [1],
    "asks": [],
}
TAKEN = {
    "backup": [(50, "", "ERROR: [050]: no lock\n")],
    "archive_push": [(43, "", "ERROR: [043]: WAL segment to push required\n")],
}


@pytest.fixture
def place(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> files.Place:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fake.says(**TAKEN, info=[(0, answer([], {1: 1}), "")])
    return files.Place(tmp_path / "pgbackrest.conf", "postgres", str(fake.binary))


def test_a_configuration_is_tried_looked_with_and_written_once(fake: Fake, place: files.Place) -> None:
    made = files.converge(place, "shop", WANTED, EXPECTED, dry_run=False)
    assert made["written"]
    assert "repo1-cipher-pass=a pass phrase\n" in place.path.read_text()
    assert "a pass phrase" not in str(made["diff"])
    assert place.path.stat().st_mode & 0o777 == 0o640
    assert [call[0] for call in fake.calls] == ["version", "backup", "archive-push", "info"]
    again = files.converge(place, "shop", WANTED, EXPECTED, dry_run=False)
    assert not again["changed"]
    assert [call[0] for call in fake.calls[4:]] == ["version"]


def test_a_dry_run_tries_and_writes_nothing(fake: Fake, place: files.Place) -> None:
    assert files.converge(place, "shop", WANTED, EXPECTED, dry_run=True)["changed"]
    assert not place.path.exists()
    assert "info" in [call[0] for call in fake.calls]


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        (
            {"backup": [(50, "", "WARN: configuration file contains invalid option 'proces-max'\n")]},
            "invalid option 'proces-max'",
        ),
        (
            {"backup": [(32, "", "ERROR: [032]: boolean option 'start-fast' must be 'y' or 'n'\n")]},
            "'start-fast' must be",
        ),
        (
            {"archive_push": [(31, "", "ERROR: [031]: wrong\n")]},
            "refuses the new configuration, and the old one stays: wrong",
        ),
        (
            {
                "info": [
                    (
                        0,
                        unreadable(
                            "[ProtocolError] HTTP request failed with 403:\n*** Response: SignatureDoesNotMatch"
                        ),
                        "",
                    )
                ]
            },
            "key_secret is wrong",
        ),
        (
            {"info": [(0, unreadable("[HostConnectError] unable to get address"), "")]},
            "repository 1 (/srv) cannot be read, and nothing was changed: unable",
        ),
        (
            {
                "info": [
                    (
                        0,
                        unreadable(
                            "[CryptoError] unable to verify 'store:9000': [10] certificate has expired\\n"
                            "    [CryptoError] on 6 retries from 107-2003ms: unable to verify 'store:9000': [10] certificate has expired"
                        ),
                        "",
                    )
                ]
            },
            "and nothing was changed: unable to verify 'store:9000': [10] certificate has expired",
        ),
        ({"info": [(0, "[]", "")]}, "repository 1: pgbackrest does not know it"),
        (
            {"info": [(0, answer([], db=[{"id": 1, "repo-key": 1, "system-id": THEIRS, "version": "17"}]), "")]},
            f"belongs to the system identifier {THEIRS} (PostgreSQL 17), this cluster is {OURS}",
        ),
    ],
)
def test_what_pgbackrest_does_not_take_never_goes_live(
    fake: Fake, place: files.Place, answers: dict[str, Any], line: str
) -> None:
    place.path.write_text("former")
    fake.says(**answers)
    with pytest.raises(StewardError) as refused:
        files.converge(place, "shop", WANTED, EXPECTED, dry_run=False)
    assert line in str(refused.value)
    assert place.path.read_text() == "former"


def test_what_the_version_lacks_is_refused_first(fake: Fake, place: files.Place) -> None:
    fake.says(version=[(0, "pgBackRest 2.45\n", "")])
    with pytest.raises(StewardError, match=r"2\.45 does not know block incremental backups"):
        files.converge(place, "shop", {**WANTED, "asks": [["block", "here"]]}, None, dry_run=False)
    with pytest.raises(StewardError, match=r"2\.45 does not know PostgreSQL 18"):
        files.converge(place, "shop", {**WANTED, "postgresql": 18}, None, dry_run=False)


def test_before_it_is_installed(place: files.Place) -> None:
    bare = files.Place(place.path, "postgres", "/no/such/program")
    assert files.converge(bare, "shop", WANTED, EXPECTED, dry_run=True)["version"] is None
    with pytest.raises(StewardError, match="not installed here"):
        files.converge(bare, "shop", WANTED, EXPECTED, dry_run=False)


def test_other_files_that_pgbackrest_reads_are_refused(tmp_path: Path) -> None:
    beside, config = tmp_path / "conf.d", tmp_path / "pgbackrest.conf"
    files.refuse_others(tmp_path / "ours", config, beside)
    beside.mkdir()
    (beside / "extra.conf").write_text("")
    with pytest.raises(StewardError, match=r"extra\.conf is there, and pgBackRest reads it beside"):
        files.refuse_others(tmp_path / "ours", config, beside)
    config.write_text("")
    with pytest.raises(StewardError, match="reads it instead of"):
        files.refuse_others(tmp_path / "ours", config, beside)


def test_names_are_looked_up() -> None:
    files.refuse_unknown_names(["localhost"], "2.45")
    with pytest.raises(StewardError, match=r"nowhere\.invalid is not known here, and pgBackRest 2\.45"):
        files.refuse_unknown_names(["nowhere.invalid"], "2.45")


def test_segments_that_wait(tmp_path: Path) -> None:
    status = tmp_path / "pg_wal" / "archive_status"
    assert archiver.waiting(tmp_path) == (0, None)
    status.mkdir(parents=True)
    for name in ("000000010000000000000001.ready", "000000010000000000000002.done", "00000002.history.ready"):
        (status / name).touch()
    os.utime(status / "000000010000000000000001.ready", (5, 5))
    assert archiver.waiting(tmp_path) == (1, 5.0)


@pytest.mark.parametrize(
    ("status", "line"),
    [(-9, "no reason given (it was ended by SIGKILL)"), (28, "no reason given (exit code 28)")],
)
def test_the_end_without_words(status: int, line: str) -> None:
    assert pgbackrest.reason(pgbackrest.Outcome(status, "", "")) == line


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        (
            "archive.info exists but backup.info is missing on repo2 HINT: this may be a symptom of repository corruption!",
            "pgbackrest --stanza=shop stop && pgbackrest --stanza=shop --repo=2 --force stanza-delete; then run site again",
        ),
        ("backup.info exists but archive.info is missing on repo1", "--repo=1 --force stanza-delete"),
        ("timeout after 2000ms", ""),
    ],
)
def test_a_stanza_that_was_made_in_part_has_a_remedy(reason: str, command: str) -> None:
    assert command in stanzas.remedy("shop", reason)
    assert bool(command) == bool(stanzas.remedy("shop", reason))
