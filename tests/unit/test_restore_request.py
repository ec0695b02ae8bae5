"""What an operator may ask of a restore."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_request as request

WORDS = (
    "confirm beside on state then node target target_time target_lsn target_xid target_name timeline exclusive repository backup before"
    " repository_time"
).split()
KNOWN = {
    "cluster": "lab",
    "servers": ["db1", "db2"],
    "hosts": ["db1", "db2", "store"],
    "pointed": False,
    "check": False,
}
POINTED = {**KNOWN, "pointed": True}
TIME = {"target_time": "2026-10-01 03:12:45+00"}


def read(known: dict[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    return request.read({**dict.fromkeys(WORDS, ""), **asked}, known or KNOWN)


@pytest.mark.parametrize(
    ("asked", "known", "way", "target"),
    [
        ({"confirm": "lab"}, KNOWN, "in_place", ("latest", "")),
        ({"confirm": "lab", "target": "immediate"}, KNOWN, "in_place", ("immediate", "")),
        ({"confirm": "lab", **TIME}, POINTED, "in_place", ("time", TIME["target_time"])),
        ({"confirm": "lab", "target_xid": 751}, POINTED, "in_place", ("xid", "751")),
        ({}, {**KNOWN, "check": True}, "in_place", ("latest", "")),
        ({"beside": "5440"}, KNOWN, "beside", ("latest", "")),
        ({"beside": 5440, "on": "store", "target_name": "x"}, POINTED, "beside", ("name", "x")),
        ({"beside": "5440", "state": "absent"}, KNOWN, "remove", ("latest", "")),
        ({"then": "promote", "confirm": "lab"}, KNOWN, "promote", ("latest", "")),
        ({"then": "back", "confirm": "lab"}, POINTED, "back", ("latest", "")),
        ({"then": "remove", "confirm": "lab"}, KNOWN, "settle", ("latest", "")),
    ],
)
def test_ways(asked: dict[str, Any], known: dict[str, Any], way: str, target: tuple[str, str]) -> None:
    found = read(known, **asked)
    assert found["findings"] == []
    assert (found["way"], (found["kind"], found["text"])) == (way, target)


def test_what_else_is_confirmed() -> None:
    assert read(confirm="lab, db2,7412345678901234567")["confirmed"] == ["db2", "7412345678901234567"]


@pytest.mark.parametrize(
    ("asked", "known", "words"),
    [
        (
            {},
            KNOWN,
            "it replaces the data of lab: confirm that by -e confirm=lab; to look first, restore beside by -e beside=PORT",
        ),
        (
            {"confirm": "production"},
            KNOWN,
            "confirm=production is not the name of this cluster, which is lab: is it the right inventory?",
        ),
        (
            {"then": "remove"},
            KNOWN,
            "it removes what was there before the restore of lab, for good: confirm that by -e confirm=lab",
        ),
        ({"then": "back", **TIME, "confirm": "lab"}, POINTED, "target_time is for a restore, and this is none"),
        ({"then": "forget", "confirm": "lab"}, KNOWN, "then=forget is none of promote, back, remove"),
        ({"then": "back", "beside": "5440", "confirm": "lab"}, KNOWN, "then=back is for a restore in place"),
        ({"beside": "80"}, KNOWN, "beside=80 is no port from 1024 to 65535"),
        ({"beside": "here"}, KNOWN, "beside=here is no port"),
        (
            {"state": "absent", "confirm": "lab"},
            KNOWN,
            "state=absent removes a restored server beside: name it by -e beside=PORT",
        ),
        ({"state": "gone", "beside": "5440"}, KNOWN, "state=gone is neither present nor absent"),
        ({"on": "db2", "confirm": "lab"}, KNOWN, "on=db2 is for a restored server beside"),
        (
            {"on": "db9", "beside": "5440"},
            KNOWN,
            "on=db9 is no host that knows the repositories: it is one of db1, db2, store",
        ),
        ({"node": "store", "confirm": "lab"}, KNOWN, "node=store is no server of this cluster: it is one of db1, db2"),
        (
            {"confirm": "lab"},
            POINTED,
            "a point in time is missing: give one of target_time, target_lsn, target_xid, target_name",
        ),
        ({"confirm": "lab", **TIME}, KNOWN, "target_time is for the playbook restore_point_in_time"),
        (
            {"confirm": "lab", **TIME, "target_lsn": "0/5"},
            POINTED,
            "target_time and target_lsn are given: a restore aims at one of them",
        ),
        ({"confirm": "lab", "target": "yesterday"}, KNOWN, "target=yesterday is none of latest, immediate"),
        ({"confirm": "lab", "target_time": "2026-10-01 03:12:45"}, POINTED, "has no zone"),
        ({"confirm": "lab", **TIME, "timeline": "new"}, POINTED, "timeline 'new' is neither"),
        ({"confirm": "lab", "before": "noon"}, KNOWN, "target time 'noon' cannot be read"),
        ({"confirm": "lab", "repository": "two"}, KNOWN, "repository=two is no number of a repository"),
        (
            {"confirm": "lab", "repository_time": "2026-10-01 03:00+00"},
            KNOWN,
            "repository_time is about one repository, whose storage keeps versions: name that as well, as in repository=2",
        ),
    ],
)
def test_findings(asked: dict[str, Any], known: dict[str, Any], words: str) -> None:
    found = read(known, **asked)["findings"]
    assert len(found) == 1, found
    assert words in found[0]


def instances(**states: str | None) -> dict[str, Any]:
    return {host: {"state": state} if state else {} for host, state in states.items()}


@pytest.mark.parametrize(
    ("states", "primary", "node", "host", "words"),
    [
        ({"db1": "primary", "db2": "standby"}, "db1", "", "db1", None),
        ({"db1": "primary", "db2": "standby"}, "db1", "db2", "db2", None),
        ({"db1": "stopped"}, None, "", "db1", None),
        (
            {"db1": "stopped", "db2": "standby"},
            None,
            "",
            None,
            "no server takes writes (db1 is stopped, db2 is standby): name the one to restore on",
        ),
        ({"db1": None, "db2": "standby"}, None, "", None, "db1 is silent"),
        ({"db1": None, "db2": "standby"}, None, "db1", "db1", "db1 does not answer: bring its host up"),
    ],
)
def test_places(states: dict[str, Any], primary: str | None, node: str, host: str | None, words: str | None) -> None:
    topology = {"instances": instances(**states), "primary": primary, "problems": []}
    found = request.place_of({"node": node}, topology, list(states))
    assert found["host"] == host
    assert found["findings"] == [] if words is None else words in found["findings"][0]


def test_silent_servers_are_given_up_by_name() -> None:
    assert request.silent_findings([], []) == []
    assert request.silent_findings(["db2"], ["db2"]) == []
    [line] = request.silent_findings(["db2", "db3"], ["db2"])
    assert line.startswith("db3 does not answer and may still take writes")
    assert line.endswith("-e confirm=CLUSTER,db3")
