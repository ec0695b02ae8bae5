"""A restore drill: what is left of it, and what a host needs for it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _drill, _drill_host, _drill_report
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import Backrest

UTILS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
NOON = 1790856000.0  # 2026-10-01 12:00 UTC
GIVEN = {
    "stanza": "lab",
    "owner": "postgres",
    "bin_directory": "/usr/lib/postgresql/17/bin",
    "data_directory": "/var/lib/postgresql/17/main",
    "directory": "/srv/restores",
    "processes": 2,
    "schedule": "Sun 05:00",
    "delay": "15min",
}


def record(**more: Any) -> dict[str, Any]:
    proven = {
        "kind": "physical",
        "cluster": "lab",
        "host": "db1",
        "begun": NOON,
        "proven": NOON,
        "error": None,
        "seconds": 11.5,
        "removed": True,
        "plan": {"backup": "20261001-010000F", "repository": 1, "target": "the end of the archive"},
        "steps": {
            "restore": {"bytes": 104857600, "bytes_per_second": 52428800, "seconds": 2.0},
            "recover": {"lsn": "0/5000148", "last_commit": "2026-10-01 11:59:00 UTC", "seconds": 6.0},
            "read": {"damaged": 0, "seconds": 0.5},
            "count": {"seconds": 0.2},
            "checksums": {"bad": 0, "seconds": 0.1},
        },
        "databases": [
            {
                "name": "powergym",
                "bytes": 9437184,
                "tables": 12,
                "rows": 34567,
                "estimated": False,
                "revisions": ["002"],
                "drift": {"text": "none, as the live database"},
            }
        ],
    }
    return {**proven, **more}


FAILED = {"proven": None, "error": "pgbackrest restore failed", "steps": {"restore": {"seconds": 1.0}}, "databases": []}


def test_the_page() -> None:
    page = _drill_report.page({**record(), "last_proven": NOON})
    assert page.startswith("# Restore drill of lab: proven\n")
    assert "| restored | 100 MiB, 50 MiB/s |" in page
    assert "| checksums | as they should be |" in page
    assert "| powergym | 9 | 12 | 34,567 | 002 | none, as the live database |" in page
    assert "| last proven | 2026-10-01 12:00:00 UTC |" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (FAILED, "# Restore drill of lab: failed\n\npgbackrest restore failed\n"),
        ({"removed": False}, "| removed afterwards | NO: look at the directory of restores |"),
        (
            {"steps": {**record()["steps"], "read": {"seconds": 1.0}}},
            "| pages and indexes | not as they should be, or not read to the end |",
        ),
        (
            {"steps": {"checksums": {"skipped": "the cluster has none"}}},
            "| checksums | not looked at: the cluster has none |",
        ),
        ({"steps": {}, "plan": None, "databases": []}, "| last proven | never |"),
    ],
)
def test_pages_of_drills_that_prove_less(changes: dict[str, Any], words: str) -> None:
    assert words in _drill_report.page({**record(), **changes, "last_proven": None})


def test_figures() -> None:
    text = _drill_report.figures({**record(cluster='a "b"'), "last_proven": NOON})
    assert 'pgsteward_last_proven_restore_timestamp_seconds{cluster="a \\"b\\"",kind="physical"} 1790856000.0\n' in text
    assert 'pgsteward_restore_drill_success{cluster="a \\"b\\"",kind="physical"} 1\n' in text
    assert all(re.fullmatch(r"(# (HELP|TYPE) .+|\w+\{.+\} \S+)", line) for line in text.splitlines())


def test_a_failure_leaves_what_was_proven_before(tmp_path: Path) -> None:
    exporter, elsewhere = tmp_path / "exporter", tmp_path / "elsewhere"
    exporter.mkdir()
    _drill_report.write(record(), tmp_path / "drill", [exporter, elsewhere])
    kept = _drill_report.write(record(**FAILED, begun=NOON + 60), tmp_path / "drill", [exporter, elsewhere])
    assert (kept["last_proven"], kept["proven"]) == (NOON, None)
    text = (tmp_path / "drill" / "physical.prom").read_text()
    assert 'restore_timestamp_seconds{cluster="lab",kind="physical"} 1790856000.0\n' in text
    assert 'drill_success{cluster="lab",kind="physical"} 0\n' in text
    assert (exporter / "pgsteward_drill_physical.prom").read_text() == text
    assert not elsewhere.exists()
    assert json.loads((tmp_path / "drill" / "physical.json").read_text())["error"] == "pgbackrest restore failed"
    assert len(list((tmp_path / "drill").glob("physical-*.json"))) == 2


def test_records_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(_drill_report.KEPT + 3):
        _drill_report.write(record(begun=NOON + number), tmp_path, [])
    kept = sorted(path.name for path in tmp_path.glob("physical-*.json"))
    assert len(kept) == _drill_report.KEPT
    assert kept[-1] == "physical-20261001T120032Z.json"


def test_damaged_files_are_named() -> None:
    said = """\
2026-10-01 P02   INFO: invalid checksum '17-1/0000000100000000/000000010000000000000006-dbdc40.zst'
2026-10-01 P02   INFO: invalid checksum '20261001-010000F/bundle/2'
2026-10-01 P02   INFO: missing file '20261001-010000F/bundle/3'
2026-10-01 P00   INFO: stanza: lab
"""
    backrest = Backrest("lab", "root", run=lambda *_command, **_options: subprocess.CompletedProcess([], 0, said, ""))
    assert backrest.damage(1) == [
        "invalid checksum 17-1/0000000100000000/000000010000000000000006-dbdc40.zst",
        "invalid checksum 20261001-010000F/bundle/2",
        "missing file 20261001-010000F/bundle/3",
    ]


@pytest.mark.parametrize(("code", "expected"), [(0, []), (101, None)])
def test_nothing_damaged_is_not_the_same_as_nobody_could_look(code: int, expected: list[str] | None) -> None:
    said = subprocess.CompletedProcess([], code, "2026-10-01 P00  ERROR: [101]: TLS error\n", "")
    assert Backrest("lab", "root", run=lambda *_command, **_options: said).damage(1) == expected


def test_only_what_a_drill_has_made_is_removed(tmp_path: Path) -> None:
    base = tmp_path / "drill"
    assert not _drill.clean(base)
    (base / "data").mkdir(parents=True)
    with pytest.raises(StewardError, match=r"was not made by a drill: it is left alone"):
        _drill.clean(base)
    (base / "restore.json").write_text("{}")
    assert _drill.clean(base)
    assert not base.exists()


# On a host


def test_what_lies_on_a_host() -> None:
    found = _drill_host.files(GIVEN, "#!/usr/bin/python3\n")
    texts = found["wanted"]
    told = json.loads(texts["/etc/pgsteward/restore_drill.json"])
    assert (told["base"], told["live_directory"]) == ("/srv/restores/drill", "/var/lib/postgresql/17/main")
    unit = texts["/etc/systemd/system/pgsteward-restore-drill@.service"]
    assert "ExecStart=/usr/local/lib/pgsteward/restore_drill %i\n" in unit
    assert "ExecStopPost=/usr/local/lib/pgsteward/restore_drill clean\n" in unit
    timer = texts["/etc/systemd/system/pgsteward-restore-drill.timer"]
    assert "OnCalendar=Sun 05:00\nRandomizedDelaySec=15min\n" in timer
    assert found["unwanted"] == []


def test_no_drill_by_itself() -> None:
    found = _drill_host.files({**GIVEN, "schedule": None}, "")
    assert found["unwanted"] == ["/etc/systemd/system/pgsteward-restore-drill.timer"]
    assert not set(found["unwanted"]) & set(found["wanted"])


def imports(name: str) -> set[str]:
    """Return the files of the collection that a file of it imports."""
    text = (UTILS / name).read_text()
    named = set(re.findall(r"module_utils\.(_\w+) import", text))
    for group in re.findall(r"plugins\.module_utils import (\((?:[^)]*)\)|[^\n]+)", text):
        named |= set(re.findall(r"(?<!as )\b(_\w+)", re.sub(r"\bas \w+", "", group)))
    return {f"{one}.py" for one in named}


def test_all_that_the_command_uses_is_shipped() -> None:
    wanted, left = (
        set(),
        {"_drill.py", "_drill_physical.py", "_drill_report.py", "_recovery.py", "_restore.py", "_errors.py"},
    )
    while left:
        name = left.pop()
        wanted.add(name)
        left |= imports(name) - wanted
    assert sorted(wanted) == sorted(_drill_host.SHIPPED)


def test_nothing_that_is_shipped_wants_ansible() -> None:
    assert [name for name in _drill_host.SHIPPED if "from ansible.module_utils" in (UTILS / name).read_text()] == []
