"""What pgbackrest says of a stanza, what of that is wrong, and its figures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_info as info
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

NOW = 1_800_000_000.0
OURS, THEIRS = 7000000000000000001, 7000000000000000002
DAY = 86400


def backup(
    label: str, type_: str = "full", age: int = 3600, repo: int = 1, id_: int = 1, **changes: Any
) -> dict[str, Any]:
    return {
        "archive": {"start": "000000010000000000000003", "stop": "000000010000000000000003"},
        "backrest": {"format": 5, "version": "2.55.1"},
        "database": {"id": id_, "repo-key": repo},
        "error": False,
        "info": {"delta": 23000000, "repository": {"delta": 2900000}, "size": 23000000},
        "label": label,
        "lsn": {"start": "0/3000028", "stop": "0/3000158"},
        "prior": None,
        "reference": None,
        "timestamp": {"start": int(NOW) - age - 20, "stop": int(NOW) - age},
        "type": type_,
        **changes,
    }


def answer(backups: list[dict[str, Any]], codes: dict[int, int] | None = None, **changes: Any) -> str:
    """Return an answer of pgbackrest about stanza `shop`; codes: repository -> status."""
    codes = codes or {1: 0}
    held = {number: code for number, code in codes.items() if code in (0, 2)}
    messages = {
        0: "ok",
        1: "missing stanza path",
        2: "no valid backups",
        3: "missing stanza data",
        99: "[HostConnectError] no answer\nHINT: x",
    }
    stanza = {
        "archive": [
            {
                "database": {"id": 1, "repo-key": number},
                "id": "17-1",
                "max": "000000010000000000000009",
                "min": "000000010000000000000002",
            }
            for number in held
        ],
        "backup": backups,
        "cipher": "mixed",
        "db": [{"id": 1, "repo-key": number, "system-id": OURS, "version": "17"} for number in held],
        "name": "shop",
        "repo": [
            {
                "cipher": "none" if number == 1 else "aes-256-cbc",
                "key": number,
                "status": {"code": code, "message": messages[code]},
            }
            for number, code in codes.items()
        ],
        "status": {"code": 0, "lock": {"backup": {"held": False}}, "message": "ok"},
    }
    return json.dumps([{"name": "other"}, {**stanza, **changes}])


def read(*arguments: Any, **changes: Any) -> info.Stanza:
    return info.parse(answer(*arguments, **changes), "shop")


def archiver(**changes: Any) -> info.Archiver:
    return info.Archiver(**{"primary": True, "mode": "on", "command": "push %p", "segment_bytes": 16 << 20, **changes})


EXPECTED = info.Expected((1,), str(OURS), "17")
LIMITS = info.Limits(full_age=8 * DAY, backup_age=2 * DAY, wal_age=600, queue=1 << 30)


def findings(stanza: info.Stanza, there: info.Archiver | None = None, **expected: Any) -> list[str]:
    wanted = info.Expected(**{**EXPECTED.__dict__, **expected})
    return info.findings(stanza, there, wanted, LIMITS, NOW)


def test_a_stanza_as_it_should_be() -> None:
    stanza = read(
        [
            backup("20270115-010000F", age=DAY),
            backup("20270115-010000F_20270116-010000I", "incr", reference=["20270115-010000F"]),
        ]
    )
    (one,) = stanza.repositories
    assert (one.system_identifier, one.version, one.code, one.encrypted, one.there) == (str(OURS), "17", 0, False, True)
    assert (one.wal_first, one.wal_last) == ("000000010000000000000002", "000000010000000000000009")
    full, last = one.last("full"), one.last()
    assert full is not None
    assert last is not None
    assert (full.label, full.seconds, full.stored_bytes) == ("20270115-010000F", 20, 2900000)
    assert (last.type, last.needs) == ("incr", ("20270115-010000F",))
    assert findings(stanza) == []
    json.dumps(one.as_facts())


def test_each_repository_has_its_own() -> None:
    stanza = read([backup("a"), backup("b", repo=2)], {1: 0, 2: 0, 3: 99})
    assert [[one.label for one in repository.backups] for repository in stanza.repositories] == [["a"], ["b"], []]
    third = stanza.repository(3)
    assert third is not None
    assert third.message == "no answer HINT: x"
    assert not third.there


def test_backups_of_a_former_cluster_are_not_the_present_one_s() -> None:
    databases = [
        {"id": 2, "repo-key": 1, "system-id": OURS, "version": "17"},
        {"id": 1, "repo-key": 1, "system-id": THEIRS, "version": "15"},
    ]
    (one,) = read([backup("old", id_=1)], db=databases).repositories
    assert one.system_identifier == str(OURS)
    assert [item["system_identifier"] for item in one.databases] == [str(THEIRS), str(OURS)]
    assert one.last() is None
    assert one.wal_last is None


def test_a_stanza_that_nobody_knows() -> None:
    assert info.parse("[]", "shop").repositories == ()
    assert findings(info.parse("[]", "shop")) == ["repository 1: pgbackrest does not know it: run site"]


@pytest.mark.parametrize("text", ["", "no json", "{}", '[{"name": "shop", "repo": [{}]}]', "[1]"])
def test_what_is_no_answer(text: str) -> None:
    if text == "{}":
        assert info.parse(text, "shop").repositories == ()
        return
    with pytest.raises(StewardError, match="not understood"):
        info.parse(text, "shop")


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        ({1: 1}, "repository 1: there is no stanza (missing stanza path): run site"),
        ({1: 2}, "repository 1: there is no backup yet: run the playbook backup"),
        ({1: 3}, "repository 1: there is no stanza (missing stanza data): run site"),
        ({1: 99}, "repository 1: no answer HINT: x"),
    ],
)
def test_states(codes: dict[int, int], line: str) -> None:
    assert findings(read([], codes)) == [line]


def test_ages() -> None:
    old = read([backup("F", age=9 * DAY), backup("I", "incr", age=3 * DAY)])
    assert findings(old) == [
        "repository 1: the last full backup, F, is 9d old, more than 8d",
        "repository 1: the last backup, I, is 3d old, more than 2d",
    ]
    assert info.findings(old, None, EXPECTED, info.Limits(), NOW) == []


def test_pages_with_wrong_checksums_are_named() -> None:
    assert "F holds pages with wrong checksums" in findings(read([backup("F", error=True)]))[0]


def test_an_archive_of_another_cluster_is_refused_with_both_identifiers() -> None:
    (line,) = findings(read([backup("F")]), system_identifier=str(THEIRS))
    assert str(OURS) in line
    assert str(THEIRS) in line
    assert info.strangers(read([]).repositories[0], info.Expected()) == []
    (line,) = findings(read([backup("F")]), version="18")
    assert "is of PostgreSQL 17, this cluster is 18" in line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, None),
        ({"primary": False, "mode": "off"}, None),
        ({"mode": "off"}, "archive_mode is off"),
        ({"command": "/bin/true"}, "archive_command is /bin/true: nothing is archived"),
        ({"command": ""}, "archive_command is empty"),
        ({"last_failed_time": 5.0, "last_failed_wal": "0A"}, "the last attempt to archive failed, for 0A"),
        ({"last_failed_time": 5.0, "last_time": 6.0}, None),
        ({"ready": 31}, None),
        (
            {"ready": 32},
            "512 MB of WAL wait for their archive; at 1.0 GB (pgbackrest_queue_max) pgBackRest gives WAL up",
        ),
        ({"ready": 64}, "1.0 GB of WAL wait for their archive, all that pgbackrest_queue_max allows"),
        ({"ready": 1, "ready_since": NOW - 700}, "does so for 11min 40s, more than 10min"),
    ],
)
def test_archiving(changes: dict[str, Any], line: str | None) -> None:
    found = findings(read([backup("F")]), archiver(**changes))
    assert found == [] if line is None else len(found) == 1 and line in found[0], found


def test_figures() -> None:
    stanza = read([backup("F", age=100)], {1: 0, 2: 2})
    there = archiver(last_time=NOW - 5, ready=2, ready_since=NOW - 3, failed=1)
    values = info.figures(stanza, there, LIMITS, NOW)
    first, second = values.pop("repositories")
    assert (first["full_age"], first["backup_age"], first["backup_seconds"], first["backups"]) == (100, 100, 20, 1)
    assert (second["status"], second["full_age"], second["backups"]) == (2, None, 0)
    assert values == {
        "wal_age": 5,
        "queue_age": 3,
        "queue_segments": 2,
        "queue_bytes": 32 << 20,
        "queue_limit_bytes": 1 << 30,
        "archive_failures": 1,
        "archive_failing": False,
    }
    assert set(info.figures(stanza, None, LIMITS, NOW)) == {"repositories"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1min"),
        (700, "11min 40s"),
        (3601, "1h"),
        (2 * DAY + 3600, "2d 1h"),
        (9 * DAY, "9d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert info.age(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(5, "5 B"), (1536, "1.5 kB"), (16 << 20, "16 MB"), (3 << 40, "3.0 TB")])
def test_sizes(count: int, text: str) -> None:
    assert info.size(count) == text
