"""What the role pg_dumps puts on a host, and what is wrong with its inputs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import shipping
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_host as host

KEY = "07" * 32
INPUTS: dict[str, Any] = {
    "environment": "production", "host": "db1", "user": "dumps", "superuser": "postgres", "port": 5432, "from": "primary",
    "socket_directory": "/var/run/postgresql", "databases": [{"name": "shop"}], "sqlite": [],
    "stores": [{"path": "/srv/dumps"}, {"bucket": "shop-dumps", "access_key": "a", "secret_key": "hunter2"}],
    "retention": {"days": 30}, "schedule": "*-*-* 02:00:00", "random_delay": "15min", "drill_schedule": "Sun 06:00",
    "encryption_keys": [],
}  # fmt: skip


def test_all_that_the_commands_need_is_shipped() -> None:
    assert shipping.needed("_dump_commands.py") == sorted(host.SHIPPED)


def test_files() -> None:
    made = host.files(INPUTS)
    assert made["unwanted"] == []
    timer = made["wanted"][host.TIMER]
    assert "OnCalendar=*-*-* 02:00:00\nRandomizedDelaySec=15min\nPersistent=true\n" in timer
    assert "User=postgres\nExecStart=/usr/local/bin/backup-db --scheduled\n" in made["wanted"][host.UNIT]
    drill = made["wanted"][host.DRILL_TIMER]
    assert "OnCalendar=Sun 06:00\n" in drill
    assert "Unit=pgsteward-dumps-drill@scheduled.service\n" in drill
    unit = made["wanted"][host.DRILL_UNIT]
    assert "OnFailure=%p@clean.service\n" in unit
    assert "ExecStart=/usr/local/bin/drill-db %i\n" in unit
    assert "ExecStopPost=/usr/local/bin/drill-db clean\n" in unit
    assert "d /srv/dumps 0750 postgres postgres\n" in made["wanted"][host.TMPFILES]
    for name in host.COMMANDS:
        text = made["wanted"][f"/usr/local/bin/{name}"]
        assert text.startswith("#!/usr/bin/python3 -I\n# Managed by")
        compile(text, name, "exec")
    assert "hunter2" not in json.dumps(made)


def test_without_a_schedule_there_is_no_timer() -> None:
    made = host.files({**INPUTS, "schedule": None, "drill_schedule": None})
    assert made["unwanted"] == [host.TIMER, host.DRILL_TIMER]
    assert not set(made["unwanted"]) & set(made["wanted"])


@pytest.mark.parametrize(
    ("keys", "stores", "keyed"),
    [
        ([], INPUTS["stores"], [False, False]),
        ([KEY], INPUTS["stores"], [True, True]),
        ([KEY], [{"path": "/srv", "encrypted": False}, {"bucket": "b"}], [False, True]),
    ],
)
def test_configuration(keys: list[str], stores: list[dict[str, Any]], keyed: list[bool]) -> None:
    held = json.loads(host.configuration({**INPUTS, "encryption_keys": keys, "stores": stores}))
    assert [store.get("encryption_key_file") == host.KEY_FILE for store in held["stores"]] == keyed
    assert not any("encrypted" in store for store in held["stores"])
    assert (held["account"], held["directory"], held["stores"][0]["retention"]) == (
        "postgres",
        host.DIRECTORY,
        {"days": 30},
    )
    assert KEY not in json.dumps(held)


def test_those_who_look_into_a_store_get_what_modules_take() -> None:
    stores = [
        {"name": "nas", "path": "/srv", "retention": {"days": 9}, "region": None},
        {"bucket": "b", "prefix": "p", "encrypted": False},
    ]
    assert host.to_look_at({**INPUTS, "encryption_keys": [KEY], "stores": stores}) == [
        {"name": "nas", "store": {"path": "/srv", "encryption_key_file": host.KEY_FILE}},
        {"name": "s3://b/p", "store": {"bucket": "b", "prefix": "p"}},
    ]


def test_keys() -> None:
    assert host.key_text({**INPUTS, "encryption_keys": [KEY, "x"]}) == f"{KEY}\nx\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"encryption_keys": [KEY], "stores": [{"path": "/srv", "encrypted": True}]}, None),
        ({"environment": ""}, "pg_dumps_environment '' cannot be part"),
        ({"stores": [{"path": "srv"}]}, "pg_dumps_stores[0]: path srv has to be absolute"),
        ({"retention": {"days": 0}}, "pg_dumps_retention would remove every dump"),
        ({"from": "x"}, "pg_dumps_from 'x' is none of"),
        ({"encryption_keys": ["short"]}, "pg_dumps_encryption_keys[0] holds no key of 32 bytes"),
        (
            {"stores": [{"path": "/srv", "encrypted": True}]},
            "pg_dumps_encryption_keys is empty, and the store /srv is to be encrypted",
        ),
    ],
)
def test_findings(change: dict[str, Any], words: str | None) -> None:
    found = host.findings({**INPUTS, **change})
    assert found == [] if words is None else words in found[0]
