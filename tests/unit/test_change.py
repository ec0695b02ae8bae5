"""Who takes over, who may not, what may be lost, and who comes back: all of it before anybody acts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.filter import change as filters
from ansible_collections.pgsteward.postgres.plugins.filter.topology import topology
from ansible_collections.pgsteward.postgres.plugins.module_utils._change import (
    by_position,
    confirmed,
    loss_bound,
    lost_hosts,
    plan_failover,
    plan_switchover,
    pooler_findings,
    position,
    rejoin_findings,
    size,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

Instance = dict[str, Any]
Instances = dict[str, Instance]

SILENT: Instance = {}
EMPTY: Instance = {"state": "empty"}
HUNG: Instance = {"state": "unreachable", "reason": "too many clients already", "standby_signal": False}
ADDRESSES = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}


def follower(name: str, **rest: Any) -> dict[str, Any]:
    return {"name": name, "state": "streaming", "sync_state": "async", "lag_bytes": 0, **rest}


def primary(*followers: dict[str, Any], timeline: int = 1, **rest: Any) -> Instance:
    return {
        "state": "primary",
        "system_identifier": "7",
        "timeline": timeline,
        "lsn": "0/500",
        "followers": list(followers),
        "clients": [],
        "oldest_transaction": 0,
        **rest,
    }


def standby(received: str = "0/500", timeline: int = 1, **rest: Any) -> Instance:
    return {
        "state": "standby",
        "system_identifier": "7",
        "timeline": timeline,
        "lsn": "0/400",
        "received_lsn": received,
        "standby_signal": True,
        "replay_paused": False,
        "last_commit": "2026-01-01T03:00:00",
        **rest,
    }


def stopped(timeline: int = 1, **rest: Any) -> Instance:
    return {"state": "stopped", "system_identifier": "7", "timeline": timeline, "lsn": "0/300", "clean": False, **rest}


def cluster(**instances: Instance) -> dict[str, Any]:
    """Return the fact pg_topology of a cluster."""
    addresses = {host: ADDRESSES[host] for host in instances}
    names = {host: [host, address] for host, address in addresses.items()}
    return {**topology(instances, names), "instances": instances, "addresses": addresses}


# Sizes and positions.


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [(0, 0), ("16", 16), ("10B", 10), ("64kB", 65536), ("16MB", 16 << 20), (" 1 GB ", 1 << 30), ("2TB", 2 << 40)],
)
def test_size(text: Any, bytes_: int) -> None:
    assert size(text) == bytes_


@pytest.mark.parametrize("text", ["", "MB", "16 MiB", "16m", "1.5GB", "-1MB", "16mb", None])
def test_no_size(text: Any) -> None:
    with pytest.raises(StewardError, match="is no size: write a number with kB, MB, GB or TB"):
        size(text)


@pytest.mark.parametrize(
    ("instance", "place"),
    [
        (SILENT, (0, Lsn(0))),
        (standby("0/500"), (1, Lsn(0x500))),
        # Replayed from the archive beyond what was ever streamed.
        (standby("0/100", lsn="0/900"), (1, Lsn(0x900))),
        (standby("1/0", 3, lsn="0/FFFFFFFF"), (3, Lsn(1 << 32))),
        ({"state": "standby", "timeline": 2, "lsn": None, "received_lsn": None}, (2, Lsn(0))),
    ],
)
def test_position(instance: Instance, place: tuple[int, Lsn]) -> None:
    assert position(instance) == place


@pytest.mark.parametrize(
    ("instances", "order"),
    [
        ({"a": standby("0/500"), "b": standby("0/900")}, ["b", "a"]),
        ({"a": standby("0/FFFFFFF0"), "b": standby("1/0")}, ["b", "a"]),
        # Those that are level keep the order of the inventory.
        ({"b": standby(), "a": standby(), "c": standby()}, ["b", "a", "c"]),
        # A higher timeline goes before any number of bytes of a lower one.
        ({"a": standby("0/900", 1), "b": standby("0/500", 2)}, ["b", "a"]),
        ({"a": standby("0/900", 9), "b": standby("0/500", 10), "c": standby("0/600", 10)}, ["c", "b", "a"]),
    ],
)
def test_by_position(instances: Instances, order: list[str]) -> None:
    assert by_position(instances, list(instances)) == order


# Switchover.

LIMITS: dict[str, Any] = {
    "max_lag": "16MB",
    "max_transaction_age": 60,
    "synchronous": "none",
    "poolers": [],
    "lookup_user": "pgbouncer_lookup",
}
HEALTHY = {"a": primary(follower("b"), follower("c")), "b": standby(), "c": standby()}


@pytest.mark.parametrize(
    ("instances", "wanted", "limits", "candidate", "others"),
    [
        (HEALTHY, None, {}, "b", ("c",)),
        (HEALTHY, "c", {}, "c", ("b",)),
        ({**HEALTHY, "c": standby("0/600")}, None, {}, "c", ("b",)),
        # Synchronous ones first, even where another has got further.
        (
            {"a": primary(follower("b", sync_state="sync"), follower("c")), "b": standby(), "c": standby("0/600")},
            None,
            {"synchronous": "priority"},
            "b",
            ("c",),
        ),
        (
            {"a": primary(follower("b"), follower("c", sync_state="quorum")), "b": standby("0/600"), "c": standby()},
            None,
            {"synchronous": "quorum"},
            "c",
            ("b",),
        ),
        # The best one by itself is one that can.
        ({**HEALTHY, "a": primary(follower("b", state="catchup"), follower("c"))}, None, {}, "c", ("b",)),
        ({**HEALTHY, "a": primary(follower("c"))}, None, {}, "c", ("b",)),
        ({**HEALTHY, "b": standby(replay_paused=True)}, None, {}, "c", ("b",)),
        ({**HEALTHY, "a": primary(follower("b", lag_bytes=99), follower("c"))}, None, {"max_lag": 98}, "c", ("b",)),
        # Limits are limits: what is equal to them is right.
        ({**HEALTHY, "a": primary(follower("b", lag_bytes=99), follower("c"))}, "b", {"max_lag": 99}, "b", ("c",)),
        ({**HEALTHY, "a": primary(follower("b"), oldest_transaction=60.0)}, "b", {}, "b", ("c",)),
        ({**HEALTHY, "a": primary(follower("b", lag_bytes=None))}, "b", {}, "b", ("c",)),
    ],
)
def test_switchover(
    instances: Instances, wanted: str | None, limits: dict[str, Any], candidate: str, others: tuple[str, ...]
) -> None:
    plan = plan_switchover(cluster(**instances), wanted, {**LIMITS, **limits})
    assert plan.findings == ()
    assert (plan.operation, plan.primary, plan.candidate, plan.others) == ("switchover", "a", candidate, others)


POOL = {"name": "pool1", "host": "10.0.1.1", "port": 6432, "reached": True}
LOOKUP = {"user": "pgbouncer_lookup", "address": "10.0.1.9"}


@pytest.mark.parametrize(
    ("instances", "wanted", "limits", "words"),
    [
        (HEALTHY, "d", {}, "candidate d is no host of this cluster: the standbys are b, c"),
        (HEALTHY, "a", {}, "candidate a is the primary already: the standbys are b, c"),
        ({**HEALTHY, "c": SILENT}, "c", {}, "candidate c is unreachable: the standbys are b"),
        ({**HEALTHY, "c": stopped(standby_signal=True)}, "c", {}, "candidate c is stopped"),
        ({**HEALTHY, "c": EMPTY}, "c", {}, "candidate c is empty"),
        ({"a": primary()}, None, {}, "a has no standby that answers: there is nobody to take over"),
        ({"a": primary()}, "b", {}, "a has no standby that answers"),
        ({"a": primary(), "b": SILENT}, None, {}, "a has no standby that answers"),
        ({"a": primary(), "b": standby()}, None, {}, "candidate b does not stream from a (not connected to it)"),
        (
            {"a": primary(follower("b", state="catchup")), "b": standby()},
            "b",
            {},
            "candidate b does not stream from a (catchup)",
        ),
        ({**HEALTHY, "b": standby(replay_paused=True)}, "b", {}, "replay on candidate b is paused"),
        (
            {**HEALTHY, "a": primary(follower("b", lag_bytes=17 << 20))},
            "b",
            {},
            f"candidate b is {17 << 20} bytes behind a, more than pg_replica_max_lag (16MB)",
        ),
        (
            {**HEALTHY, "a": primary(follower("b", sync_state="potential"))},
            "b",
            {"synchronous": "priority"},
            "candidate b is not among the synchronous standbys (potential)",
        ),
        (
            {**HEALTHY, "a": primary(follower("b"), oldest_transaction=61.2)},
            "b",
            {},
            "a transaction on a has been open for 61 s, more than pg_replica_max_transaction_age (60 s)",
        ),
        ({**HEALTHY, "a": SILENT}, None, {}, "no server takes writes: b, c wait for a primary; a cannot be asked"),
        ({"a": EMPTY, "b": EMPTY}, None, {}, "there is no primary to hand over"),
        ({"a": primary(), "b": primary(timeline=2), "c": standby(timeline=2)}, None, {}, "two primaries: a and b"),
        ({**HEALTHY, "c": standby(timeline=2)}, "b", {}, "c is on timeline 2, ahead of the primary a"),
        ({**HEALTHY, "c": standby(upstream="10.9.9.9")}, "b", {}, "c follows 10.9.9.9, which is none of a, b, c"),
        ({**HEALTHY, "c": standby(system_identifier="8")}, "b", {}, "servers of different clusters"),
        (HEALTHY, None, {"poolers": [{**POOL, "reached": False}]}, "pool1 cannot be asked"),
        ({**HEALTHY, "a": primary(follower("b"), clients=[LOOKUP])}, "b", {"poolers": [POOL]}, "a pooler at 10.0.1.9"),
    ],
)
def test_switchover_refused(instances: Instances, wanted: str | None, limits: dict[str, Any], words: str) -> None:
    [finding] = plan_switchover(cluster(**instances), wanted, {**LIMITS, **limits}).findings
    assert words in finding


HOLDER = "failover by bob@ops2 since 2026-01-01T03:00:00Z, until 2026-01-01T03:02:00Z at the latest"


@pytest.mark.parametrize("instances", [HEALTHY, {"a": primary(), "b": primary(timeline=2), "c": standby()}])
def test_nothing_else_is_said_while_another_operation_runs(instances: Instances) -> None:
    """What is seen then is half done."""
    held = {"a": HOLDER, "b": "", "c": HOLDER}
    [finding] = plan_switchover(cluster(**instances), None, {**LIMITS, "held": held}).findings
    assert finding.startswith(f"another operation runs: {HOLDER} (on a, c)")
    assert plan_failover(cluster(**instances), None, {**GIVEN, "held": held}).findings == (finding,)


def test_switchover_names_those_that_stay_behind() -> None:
    plan = plan_switchover(cluster(a=primary(follower("b")), b=standby(), c=SILENT), None, LIMITS)
    assert (plan.findings, plan.warnings) == ((), ("c is unreachable and stays behind",))


def test_switchover_wants_a_size() -> None:
    with pytest.raises(AnsibleFilterError, match="16 apples is no size"):
        filters.plan_switchover(cluster(**HEALTHY), "", {**LIMITS, "max_lag": "16 apples"})


@pytest.mark.parametrize(
    ("clients", "poolers", "words"),
    [
        ([], [], []),
        ([], [POOL], []),
        ([{**LOOKUP, "address": "10.0.1.1"}], [POOL], []),
        ([], [{**POOL, "reached": False}], ["pooler pool1 cannot be asked"]),
        ([LOOKUP], [POOL], ["a pooler at 10.0.1.9 serves clients of the primary and is not in the inventory"]),
        ([LOOKUP], [], ["group pgbouncer"]),
        # Only the lookup account gives a pooler away, and only over the network.
        ([{"user": "shop_app", "address": "10.0.1.9"}, {**LOOKUP, "address": None}], [], []),
        ([LOOKUP, LOOKUP, {**LOOKUP, "address": "10.0.1.8"}], [], ["10.0.1.8", "10.0.1.9"]),
        ([LOOKUP], [{**POOL, "reached": False}], ["pool1 cannot", "10.0.1.9"]),
    ],
)
def test_pooler_findings(clients: list[dict[str, Any]], poolers: list[dict[str, Any]], words: list[str]) -> None:
    found = pooler_findings(primary(clients=clients), poolers, "pgbouncer_lookup")
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True)), found


# Failover.

GIVEN: dict[str, Any] = {
    "force": "",
    "confirm": "",
    "fence_command": False,
    "synchronous_hosts": [],
    "synchronous_count": 0,
}
KILLED = {"a": stopped(wal_end="0/900"), "b": standby("0/500"), "c": standby("0/600")}


@pytest.mark.parametrize(
    ("instances", "wanted", "given", "former", "candidate", "others"),
    [
        # The furthest, whatever the order of the inventory.
        (KILLED, None, {}, "a", "c", ("b",)),
        ({**KILLED, "b": standby("0/500", 2)}, None, {}, "a", "b", ("c",)),
        ({**KILLED, "c": standby("0/500")}, None, {}, "a", "b", ("c",)),
        ({**KILLED, "c": standby("0/500")}, "c", {}, "a", "c", ("b",)),
        (KILLED, "b", {"confirm": "b"}, "a", "b", ("c",)),
        # A host that is silent is fenced by a command, or by hand and confirmed.
        ({**KILLED, "a": SILENT}, None, {"fence_command": True}, "a", "c", ("b",)),
        ({**KILLED, "a": SILENT}, None, {"confirm": "a"}, "a", "c", ("b",)),
        ({**KILLED, "b": SILENT}, None, {"confirm": " a , b "}, "a", "c", ()),
        ({**KILLED, "a": SILENT, "b": SILENT}, None, {"confirm": "a,b"}, "a", "c", ()),
        # A server that hangs on a host that answers is stopped there.
        ({**KILLED, "a": HUNG}, None, {}, "a", "c", ("b",)),
        # A healthy one goes by its name only.
        (HEALTHY, None, {"force": "a"}, "a", "b", ("c",)),
        ({"a": primary(), "b": primary(timeline=2), "c": standby()}, None, {"force": "a,b"}, "b", "c", ()),
        # The one that was primary last is the lost one, not whoever comes first in the inventory.
        ({"a": SILENT, "b": stopped(wal_end="0/900"), "c": standby()}, None, {"confirm": "a"}, "b", "c", ()),
        ({"a": stopped(1, clean=True), "b": stopped(2), "c": standby(timeline=2)}, None, {}, "b", "c", ()),
        ({"a": stopped(1), "b": SILENT, "c": standby(timeline=2)}, None, {"confirm": "b"}, "b", "c", ()),
        # A standby that is stopped, and a host without data, are nothing to be afraid of.
        ({"a": stopped(standby_signal=True), "b": EMPTY, "c": standby()}, None, {}, None, "c", ()),
    ],
)
def test_failover(
    instances: Instances,
    wanted: str | None,
    given: dict[str, Any],
    former: str | None,
    candidate: str,
    others: tuple[str, ...],
) -> None:
    plan = plan_failover(cluster(**instances), wanted, {**GIVEN, **given})
    assert plan.findings == ()
    assert (plan.operation, plan.primary, plan.candidate, plan.others) == ("failover", former, candidate, others)


@pytest.mark.parametrize(
    ("instances", "given", "timeline"),
    [
        (KILLED, {}, 1),
        ({"a": stopped(3), "b": standby(timeline=2)}, {}, 3),
        # A host that is silent says nothing: the standby knows whom it followed.
        ({"a": SILENT, "b": standby(timeline=2)}, {"confirm": "a"}, 2),
        ({"a": SILENT, "b": SILENT}, {}, None),
    ],
)
def test_the_timeline_before(instances: Instances, given: dict[str, Any], timeline: int | None) -> None:
    assert plan_failover(cluster(**instances), None, {**GIVEN, **given}).timeline == timeline
    assert plan_switchover(cluster(**HEALTHY), None, LIMITS).timeline == 1


UNKNOWN = {"a": SILENT, "b": standby(last_commit=None)}


@pytest.mark.parametrize(
    ("instances", "wanted", "given", "words"),
    [
        (HEALTHY, None, {}, ["a is a primary that answers: run switchover, which loses nothing"]),
        (HEALTHY, None, {"force": "b"}, ["-e force=a"]),
        (HEALTHY, None, {"force": True}, ["-e force=a"]),
        (HEALTHY, None, {"confirm": "a"}, ["a is a primary that answers"]),
        ({"a": primary(), "b": SILENT}, None, {"force": "a", "confirm": "b"}, ["no standby answers"]),
        ({"a": SILENT}, None, {"confirm": "a"}, ["no standby answers: there is nobody to take over"]),
        ({"a": stopped(), "b": stopped(standby_signal=True)}, "b", {}, ["no standby answers"]),
        (KILLED, "d", {}, ["candidate d is no host of this cluster: the standbys are b, c"]),
        (KILLED, "a", {}, ["candidate a is stopped: the standbys are b, c"]),
        ({**KILLED, "b": EMPTY}, "b", {}, ["candidate b is empty: the standbys are c"]),
        (KILLED, "b", {}, ["candidate b lacks 256 bytes that c has: take c, or give that up by -e confirm=b"]),
        (KILLED, "b", {"confirm": "c"}, ["candidate b lacks 256 bytes"]),
        (
            {**KILLED, "b": standby("0/900"), "c": standby("0/500", 2)},
            "b",
            {},
            ["candidate b lacks timeline 2 that c has"],
        ),
        ({**KILLED, "a": SILENT}, None, {}, ["a does not answer and may still take writes", "-e confirm=a"]),
        ({**KILLED, "a": SILENT}, None, {"confirm": "b"}, ["a does not answer"]),
        ({**KILLED, "a": SILENT}, None, {"force": "a"}, ["a does not answer"]),
        # Each host that is silent has to be fenced: any of them may have been primary.
        ({"a": SILENT, "b": SILENT, "c": standby()}, None, {"confirm": "a"}, ["b does not answer"]),
        (UNKNOWN, None, {"confirm": "a"}, ["it is not known how much", "-e confirm=unknown"]),
        (UNKNOWN, None, {"fence_command": True}, ["-e confirm=unknown"]),
        ({**KILLED, "b": standby("0/500", system_identifier="8")}, None, {}, ["servers of different clusters"]),
        # Two that take writes both answer.
        ({"a": primary(), "b": primary(timeline=2), "c": standby()}, None, {}, ["two primaries: a and b"]),
        ({"a": primary(), "b": primary(timeline=2), "c": standby()}, None, {"force": "a"}, ["two primaries: a and b"]),
    ],
)
def test_failover_refused(instances: Instances, wanted: str | None, given: dict[str, Any], words: list[str]) -> None:
    [finding] = plan_failover(cluster(**instances), wanted, {**GIVEN, **given}).findings
    assert all(word in finding for word in words), finding


def test_failover_tells_every_silent_host() -> None:
    findings = plan_failover(cluster(a=SILENT, b=SILENT, c=standby()), None, GIVEN).findings
    assert [line.split()[0] for line in findings] == ["a", "b"]


def test_an_unknown_loss_may_be_accepted() -> None:
    plan = plan_failover(cluster(**UNKNOWN), None, {**GIVEN, "confirm": "a,unknown"})
    assert (plan.findings, plan.loss["kind"]) == ((), "unknown")


@pytest.mark.parametrize(
    ("instance", "lost"),
    [
        (primary(), True),
        (stopped(), True),
        (stopped(clean=True, fenced=True), True),
        (HUNG, True),
        (SILENT, True),
        (standby(), False),
        (stopped(standby_signal=True), False),
        (EMPTY, False),
    ],
)
def test_lost_hosts(instance: Instance, lost: bool) -> None:
    assert lost_hosts({"a": instance}) == (["a"] if lost else [])


# What may be lost.


@pytest.mark.parametrize(
    ("there", "members", "count", "said"),
    [
        ("bc", "bc", 1, True),  # every commit is on b or on c
        ("b", "bc", 1, False),  # it may be on c alone
        ("b", "bc", 2, True),  # each is on both
        ("", "bc", 2, False),
        ("b", "b", 1, True),
        ("bcd", "bcde", 2, True),
        ("bc", "bcde", 2, False),
        ("bc", "bcde", 3, True),
        ("d", "bc", 1, False),  # nobody waited for d
        ("bc", "bc", 0, False),  # nobody waited at all
        ("", "", 0, False),
    ],
)
def test_confirmed(there: str, members: str, count: int, said: bool) -> None:
    instances = {host: standby() if host in there else SILENT for host in "abcde"}
    assert confirmed(instances, list(members), count) is said


QUORUM = {"synchronous_count": 1}


@pytest.mark.parametrize(
    ("instances", "candidate", "given", "kind", "lost"),
    [
        # Every commit was confirmed by somebody who is there.
        ({**KILLED, "a": SILENT}, "c", QUORUM, "none", 0),
        (KILLED, "c", QUORUM, "none", 0),
        ({**KILLED, "c": SILENT}, "b", {"synchronous_count": 2}, "none", 0),
        ({**KILLED, "c": SILENT}, "b", {**QUORUM, "synchronous_hosts": ["a", "b"]}, "none", 0),
        # … but not by the one that was chosen.
        (KILLED, "b", QUORUM, "exact", 0x400),
        ({**KILLED, "c": SILENT}, "b", QUORUM, "exact", 0x400),
        (KILLED, "c", {**QUORUM, "synchronous_hosts": ["a", "b"]}, "none", 0),
        # The end of the lost one's WAL can be read.
        (KILLED, "c", {}, "exact", 0x300),
        ({**KILLED, "c": standby("0/900")}, "c", {}, "exact", 0),
        ({**KILLED, "c": standby("0/A00")}, "c", {}, "exact", 0),
        ({**KILLED, "a": stopped(lsn="0/700", clean=True)}, "c", {}, "exact", 0x100),
        # … and it has nothing to say of the timeline after it.
        ({"a": stopped(1, wal_end="0/900"), "b": SILENT, "c": standby("0/600", 2)}, "c", {}, "estimated", None),
        # A primary that still runs writes until it is fenced.
        (HEALTHY, "b", {"force": "a"}, "estimated", None),
        # The last checkpoint of one that was lost does not say how far it got after that.
        ({**KILLED, "a": stopped()}, "c", {}, "estimated", None),
        ({**KILLED, "a": SILENT}, "c", {}, "estimated", None),
        (UNKNOWN, "b", {}, "unknown", None),
        ({**UNKNOWN, "a": HUNG}, "b", {}, "unknown", None),
    ],
)
def test_loss_bound(instances: Instances, candidate: str, given: dict[str, Any], kind: str, lost: int | None) -> None:
    bound = loss_bound(instances, "a", candidate, {**GIVEN, **given})
    assert (bound["kind"], bound["bytes"]) == (kind, lost)
    assert bound["text"]


def test_the_text_of_a_loss_names_the_positions() -> None:
    assert loss_bound(KILLED, "a", "c", GIVEN)["text"] == "768 bytes of WAL: a had written up to 0/900, c has 0/600"
    estimated = loss_bound({**KILLED, "a": SILENT}, "a", "c", GIVEN)
    assert estimated["since"] == "2026-01-01T03:00:00"
    assert "2026-01-01T03:00:00 UTC" in estimated["text"]


# Coming back.

LED = {"a": stopped(1), "b": primary(follower("c"), timeline=2), "c": standby(timeline=2)}
SPLIT = {"a": primary(timeline=1), "b": primary(timeline=2), "c": standby(timeline=2)}


@pytest.mark.parametrize(
    ("instances", "node", "confirm", "anew"),
    [
        (LED, "a", "", False),
        (LED, "c", "", False),
        (LED, "c", "", True),
        (LED, "a", "a", True),
        ({**LED, "a": EMPTY}, "a", "", True),
        ({**LED, "a": stopped(1, standby_signal=True)}, "a", "", True),
        ({**LED, "a": HUNG}, "a", "a", False),
        ({**LED, "a": {**HUNG, "standby_signal": True}}, "a", "", True),
        # One that took writes beside the primary is stopped by its name.
        (SPLIT, "a", "a", False),
        (SPLIT, "a", "a", True),
        ({**SPLIT, "b": primary()}, "a", "a", False),
        # What is wrong with this very host is mended by this.
        ({**LED, "a": stopped(3)}, "a", "a", False),
        ({**LED, "a": stopped(1, system_identifier="8")}, "a", "a", True),
        ({**LED, "c": standby(timeline=2, upstream="10.9.9.9")}, "c", "", True),
        # Others that are lost do not keep it away.
        ({**LED, "c": SILENT}, "a", "", False),
    ],
)
def test_rejoin(instances: Instances, node: str, confirm: str, anew: bool) -> None:
    assert rejoin_findings(cluster(**instances), node, confirm, anew) == []


@pytest.mark.parametrize(
    ("instances", "node", "confirm", "anew", "words"),
    [
        (LED, "d", "", False, "d is no host of this cluster; its hosts are a, b, c"),
        (LED, "b", "b", False, "b is the primary; there is nothing to come back to"),
        ({**LED, "a": SILENT}, "a", "a", False, "a does not answer: bring its host back first"),
        ({"a": stopped(), "b": standby()}, "b", "", False, "no server takes writes"),
        ({"a": SILENT, "b": standby()}, "b", "", False, "a cannot be asked"),
        (
            {**LED, "a": EMPTY},
            "a",
            "a",
            False,
            "a holds no data to come back with: run reinit_standby, or site where it never had",
        ),
        (LED, "a", "", True, "a holds data that are no standby's: they are put aside; -e confirm=a"),
        (LED, "a", "b", True, "-e confirm=a"),
        # It takes writes, or may.
        (SPLIT, "a", "", False, "a takes writes, which b does not have"),
        (SPLIT, "a", "b", True, "-e confirm=a"),
        (SPLIT, "b", "b", False, "b is on a higher timeline than a: it is a that has to come back"),
        (SPLIT, "c", "c", True, "two primaries: a and b"),
        ({**SPLIT, "c": primary(timeline=3)}, "a", "a", False, "two primaries: a and b and c"),
        (
            {**LED, "a": HUNG},
            "a",
            "",
            False,
            "a has a server that runs and does not answer, so it may take writes (too many",
        ),
        # It has what the primary never had, whether as a primary or as the standby of another.
        ({**LED, "a": stopped(3)}, "a", "", False, "a is on timeline 3, ahead of b"),
        ({**LED, "c": standby(timeline=3)}, "c", "", True, "c is on timeline 3, ahead of b"),
        # It belongs to another cluster, even as a standby.
        (
            {**LED, "a": stopped(1, system_identifier="8")},
            "a",
            "",
            False,
            "a holds data of another cluster (system identifier 8",
        ),
        ({**LED, "c": standby(timeline=2, system_identifier="8")}, "c", "", True, "c holds data of another cluster"),
        # What is wrong with another host is not mended by this.
        ({**LED, "c": standby(timeline=2, upstream="10.9.9.9")}, "a", "", False, "c follows 10.9.9.9"),
        ({**LED, "c": standby(timeline=3)}, "a", "", False, "c is on timeline 3, ahead"),
        ({**LED, "c": standby(timeline=2, system_identifier="8")}, "a", "", False, "servers of different clusters"),
    ],
)
def test_rejoin_refused(instances: Instances, node: str, confirm: str, anew: bool, words: str) -> None:
    [finding] = rejoin_findings(cluster(**instances), node, confirm, anew)
    assert words in finding


def test_hosts_whose_names_begin_alike_are_told_apart() -> None:
    instances = {"db1": stopped(1), "db10": standby(timeline=3), "db2": primary(timeline=2)}
    facts = {**topology(instances), "instances": instances, "addresses": {}}
    [finding] = rejoin_findings(facts, "db1", "", anew=False)
    assert finding.startswith("db10 is on timeline 3")


# The small filters.


def test_only() -> None:
    assert filters.only({"name": "pool1", "host": "h", "files": {}}, ["name", "host", "port"]) == {
        "name": "pool1",
        "host": "h",
    }


@pytest.mark.parametrize(
    ("values", "turn", "result"),
    [([], 0, []), ([], 3, []), ("abc", 0, ["a", "b", "c"]), ("abc", 1, ["b", "c", "a"]), ("abc", 5, ["c", "a", "b"])],
)
def test_rotated(values: Any, turn: int, result: list[str]) -> None:
    assert filters.rotated(values, turn) == result


def test_pooler_places() -> None:
    variables = {
        "pool1": {
            "ansible_host": "10.0.1.1",
            "pgbouncer_port": "6433",
            "__pgbouncer_place": {"directory": "/etc/pgbouncer"},
        },
        "pool2": {},
    }
    first, second = filters.pooler_places(["pool1", "pool2"], variables)
    assert first == {
        "name": "pool1",
        "host": "10.0.1.1",
        "port": 6433,
        "addresses": ["10.0.1.1"],
        "reached": True,
        "prepared": False,
        "files": {"directory": "/etc/pgbouncer"},
    }
    assert (second["host"], second["port"], second["reached"], second["files"]) == ("pool2", 6432, False, {})


def test_plans_are_plain_data() -> None:
    switchover = filters.plan_switchover(cluster(**HEALTHY), "", LIMITS)
    failover = filters.plan_failover(cluster(**KILLED), "", GIVEN)
    assert (switchover["candidate"], switchover["others"], switchover["findings"]) == ("b", ["c"], [])
    assert (failover["candidate"], failover["others"], failover["loss"]["bytes"]) == ("c", ["b"], 768)
