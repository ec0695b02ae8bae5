"""What a node is configured with for replication: the same before and after a change of primary; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._replica import (
    conninfo,
    findings,
    node_settings,
    pass_line,
    primary_conninfo,
    slot_name,
    synchronous_names,
)

ADDRESSES = {"db1": "10.0.0.1", "db2": "10.0.0.2", "db3": "10.0.0.3"}
ACCESS = {"port": 5432, "user": "replicator", "passfile": "/etc/pgsteward/replication.pass", "ca_file": "/etc/ca.crt"}


def inputs(**given: Any) -> dict[str, Any]:
    return {
        "addresses": ADDRESSES,
        "access": ACCESS,
        "user": "replicator",
        "password": "secret",
        "operations_user": "operations",
        "operations_password": "secret too",
        "synchronous": "none",
        "synchronous_count": 1,
        "synchronous_hosts": [],
        "sync_policy": "strict",
        "present": ["db1", "db2", "db3"],
        "max_slot_wal_keep_size": "10GB",
        "rate_limit": None,
        **given,
    }


@pytest.mark.parametrize(
    ("host", "slot"),
    [
        ("db1", "pgsteward_db1"),
        ("DB-1.example.org", "pgsteward_db_1_example_org"),
        ("10.0.0.1", "pgsteward_10_0_0_1"),
        ("dänemark", "pgsteward_d_nemark"),
        ("x" * 80, "pgsteward_" + "x" * 53),
    ],
)
def test_slot_name(host: str, slot: str) -> None:
    assert slot_name(host) == slot
    assert len(slot) <= 63


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"host": "10.0.0.1,10.0.0.2", "port": 5432}, "host=10.0.0.1,10.0.0.2 port=5432"),
        ({"host": "2001:db8::1", "passfile": None}, "host=2001:db8::1"),
        ({"application_name": "pgsteward rejoin"}, "application_name='pgsteward rejoin'"),
        ({"user": ""}, "user=''"),
        ({"user": r"o'neil\x"}, r"user='o\'neil\\x'"),
        ({"user": "a=b"}, "user='a=b'"),
    ],
)
def test_conninfo(options: dict[str, Any], text: str) -> None:
    assert conninfo(options) == text


def test_primary_conninfo_names_every_sibling_and_verifies_it() -> None:
    words = primary_conninfo("db2", ADDRESSES, ACCESS).split()
    assert words[0] == "host=10.0.0.1,10.0.0.3"
    assert {
        "target_session_attrs=read-write",
        "sslmode=verify-full",
        "sslrootcert=/etc/ca.crt",
        "application_name=db2",
        "passfile=/etc/pgsteward/replication.pass",
    } <= set(words)
    assert not any(word.startswith("password=") for word in words)


@pytest.mark.parametrize(
    ("method", "count", "standbys", "text"),
    [
        ("none", 1, ["db2", "db3"], ""),
        ("quorum", 1, [], ""),
        ("quorum", 1, ["db2", "db3"], 'ANY 1 ("db2", "db3")'),
        ("priority", 2, ["db3", "db2"], 'FIRST 2 ("db3", "db2")'),
        # Too few to confirm: commits wait, nobody is left out silently.
        ("quorum", 2, ["db2"], 'ANY 2 ("db2")'),
        ("quorum", 1, ['d"b'], 'ANY 1 ("d""b")'),
    ],
)
def test_synchronous_names(method: str, count: int, standbys: list[str], text: str) -> None:
    assert synchronous_names(method, count, standbys) == text


def test_a_node_alone_has_the_limit_of_slots_only() -> None:
    assert node_settings("db1", inputs(addresses={"db1": "10.0.0.1"})) == {"max_slot_wal_keep_size": "10GB"}


@pytest.mark.parametrize(
    ("node", "hosts", "names"),
    [
        ("db1", [], 'ANY 1 ("db2", "db3")'),
        ("db2", [], 'ANY 1 ("db1", "db3")'),
        ("db1", ["db1", "db3"], 'ANY 1 ("db3")'),
        ("db3", ["db3", "db1", "db2"], 'ANY 1 ("db1", "db2")'),
    ],
)
def test_node_settings(node: str, hosts: list[str], names: str) -> None:
    settings = node_settings(node, inputs(synchronous="quorum", synchronous_hosts=hosts))
    assert settings["synchronous_standby_names"] == names
    assert settings["primary_slot_name"] == slot_name(node)
    assert settings["primary_conninfo"] == primary_conninfo(node, ADDRESSES, ACCESS)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"synchronous": "quorum", "synchronous_count": 2},
        {"synchronous": "priority", "synchronous_hosts": ["db3", "db1"]},
        {"synchronous_hosts": ["db9"], "synchronous_count": 9},  # nobody asks for them
        {"rate_limit": "50M"},
        {"rate_limit": "32"},
        {"rate_limit": 1048576},
        # A node alone has no use for passwords.
        {"addresses": {"db1": "10.0.0.1"}, "password": "", "operations_password": ""},
    ],
)
def test_no_findings(given: dict[str, Any]) -> None:
    assert findings("db1", inputs(**given)) == []


LONG = "x" * 70


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"password": ""}, "pg_replica_password: it is empty"),
        ({"operations_password": ""}, "pg_replica_operations_password: it is empty"),
        ({"operations_user": "replicator"}, "pg_replica_operations_user: replicator is the account of replication"),
        (
            {"synchronous": "quorum", "synchronous_hosts": ["db2", "db9"]},
            "pg_replica_synchronous_hosts: db9 is no host of this cluster; its hosts are db1, db2, db3",
        ),
        (
            {"synchronous": "quorum", "synchronous_count": 3},
            "3 standbys cannot confirm where any one of db1, db2, db3 may",
        ),
        ({"synchronous": "quorum", "synchronous_count": 3}, "give 1 to 2, or pg_replica_synchronous: none"),
        ({"synchronous": "priority", "synchronous_count": 0}, "pg_replica_synchronous_count: 0 standbys"),
        ({"synchronous": "quorum", "synchronous_count": 2, "synchronous_hosts": ["db1", "db2"]}, "give 1, or"),
        # The one that counts confirms nothing while it is primary itself.
        ({"synchronous": "quorum", "synchronous_hosts": ["db2"]}, "name more hosts, or pg_replica_synchronous: none"),
        (
            {"synchronous": "quorum", "addresses": {"db1": "10.0.0.1"}},
            "name more hosts, or pg_replica_synchronous: none",
        ),
        ({"addresses": {"db-1": "10.0.0.1", "db_1": "10.0.0.2"}}, "db-1 and db_1 would share the slot pgsteward_db_1"),
        ({"addresses": {f"{LONG}a": "10.0.0.1", f"{LONG}b": "10.0.0.2"}}, f"{LONG}a and {LONG}b would share the slot"),
        ({"rate_limit": "fast"}, "pg_replica_rate_limit: fast is no rate; write 32k to 1024M"),
        ({"rate_limit": "5"}, "5 is no rate"),
        ({"rate_limit": "1025M"}, "1025M is no rate"),
        ({"rate_limit": "1G"}, "1G is no rate"),
        ({"rate_limit": "-32k"}, "-32k is no rate"),
    ],
)
def test_findings(given: dict[str, Any], words: str) -> None:
    [finding] = findings(next(iter(given.get("addresses", ADDRESSES))), inputs(**given))
    assert words in finding
    assert "\n" not in finding


@pytest.mark.parametrize(
    ("user", "password", "line"),
    [
        ("replicator", "secret", "*:*:*:replicator:secret\n"),
        ("replicator", r"a:b\c", "*:*:*:replicator:a\\:b\\\\c\n"),
        ("re:pl", "x", "*:*:*:re\\:pl:x\n"),
    ],
)
def test_pass_line(user: str, password: str, line: str) -> None:
    assert pass_line(user, password) == line


def test_no_finding_tells_a_password() -> None:
    wrong = inputs(password="hidden", operations_password="", operations_user="replicator", rate_limit="x")
    assert "hidden" not in " ".join(findings("db1", wrong))


@pytest.mark.parametrize(
    ("policy", "present", "names"),
    [
        ("strict", ["db1", "db2"], 'ANY 2 ("db2", "db3")'),
        ("degrade", ["db1", "db2", "db3"], 'ANY 2 ("db2", "db3")'),
        ("degrade", ["db1", "db2"], 'ANY 1 ("db2")'),
        ("degrade", ["db1"], ""),
    ],
)
def test_the_policy_decides_whether_commits_wait_for_those_who_are_away(
    policy: str, present: list[str], names: str
) -> None:
    given = inputs(synchronous="quorum", synchronous_count=2, sync_policy=policy, present=present)
    assert node_settings("db1", given)["synchronous_standby_names"] == names
