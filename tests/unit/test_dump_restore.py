"""How a restore goes about it, and everything that it is refused for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_restore as restores
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_plan import Tools
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_restore import Request, decide, server_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

NOW = datetime(2026, 1, 31, 2, 0, 5, tzinfo=UTC)
TOOLS = Tools(Path("/usr/lib/postgresql/17/bin"), 17, "17.6")
MANIFEST = Manifest(
    name="backup_lab_20260130_020000",
    database="orders",
    environment="lab",
    kind="postgresql",
    begun="2026-01-30T02:00:00Z",
    seconds=1.5,
    host="db1",
    dump_format="custom",
    compression="zstd",
    server_version="17.6 (Debian 17.6-0+deb13u1)",
    tool_version="17.6",
    files=(File(".dump", "dump", 100, "ab"),),
    extensions={"vector": "0.8.0"},
    roles=("orders_owner", "orders_app"),
)
ANSWER: dict[str, Any] = {
    "number": 170006,
    "version": "17.6",
    "standby": False,
    "superuser": True,
    "creates": True,
    "user": "postgres",
    "databases": ["postgres", "orders"],
    "roles": ["postgres", "orders_owner", "orders_app"],
    "extensions": {"vector": "0.8.2"},
    "maintenance_kb": 65536,
    "data_directory": "/var/lib/postgresql/17/main",
}


def request(**given: Any) -> Request:
    return Request(**{"place": Place("postgres"), "database": "copy", "staging": Path("/s"), **given})


def planned(
    given: dict[str, Any], manifest: dict[str, Any] | None = None, server: dict[str, Any] | None = None
) -> restores.Plan:
    return decide(
        request(**given), replace(MANIFEST, **(manifest or {})), server_of({**ANSWER, **(server or {})}), TOOLS, NOW, 4
    )


@pytest.mark.parametrize(
    ("given", "manifest", "how", "working", "former", "jobs"),
    [
        ({}, {}, "new", "copy_restoring_20260131_020005", None, 4),
        ({"jobs": 1}, {}, "new", "copy_restoring_20260131_020005", None, 1),
        ({}, {"dump_format": "plain"}, "new", "copy_restoring_20260131_020005", None, 1),
        (
            {"database": "orders", "confirm": "orders"},
            {},
            "replace",
            "orders_restoring_20260131_020005",
            "orders_before_20260131_020005",
            4,
        ),
        ({"database": "orders", "confirm": "orders", "clean": True}, {}, "into", "orders", None, 1),
        ({"database": "orders", "confirm": "orders", "clean": True, "jobs": 3}, {}, "into", "orders", None, 3),
        ({"database": "orders", "confirm": "orders", "tables": (("public", "t"),)}, {}, "into", "orders", None, 1),
        ({"database": "orders", "confirm": "orders", "content": "data"}, {}, "into", "orders", None, 1),
        ({"database": "orders", "confirm": "orders"}, {"content": "data"}, "into", "orders", None, 1),
        ({"schemas": ("sales",)}, {}, "new", "copy_restoring_20260131_020005", None, 4),
    ],
)
def test_how(
    given: dict[str, Any], manifest: dict[str, Any], how: str, working: str, former: str | None, jobs: int
) -> None:
    plan = planned(given, manifest)
    assert (plan.how, plan.working, plan.former, plan.jobs) == (how, working, former, jobs)


@pytest.mark.parametrize(
    ("given", "manifest", "server", "words"),
    [
        ({"database": "orders"}, {}, {}, "database orders is there: give confirm=orders to restore over it, or another name in database"),
        ({"database": "orders", "confirm": "order"}, {}, {}, "to restore over it, not order, or another name"),
        ({"database": "orders", "clean": True}, {}, {}, "give confirm=orders"),
        ({"database": "orders", "tables": (("public", "t"),)}, {}, {}, "give confirm=orders"),
        ({"clean": True}, {}, {}, "database copy is not there, and clean wants one that is"),
        ({"content": "data"}, {}, {}, "database copy is not there, and content data wants one that is"),
        ({}, {"content": "data"}, {}, "has data only, and there is no database copy to take them"),
        ({"database": "template1", "confirm": "template1"}, {}, {}, "template1 is no place for a dump"),
        ({"database": "x" * 64}, {}, {}, "is longer than the 63 bytes of a name"),
        ({"schemas": ("a",), "tables": (("b", "c"),)}, {}, {}, "name the one or the other"),
        ({"tables": (("b", "c"),)}, {"dump_format": "plain"}, {}, "plain SQL, which is restored whole or not at all: a part"),
        ({"role": "orders_owner"}, {"dump_format": "plain"}, {}, "which is restored whole or not at all: role"),
        ({"jobs": 0}, {}, {}, "jobs is 0: give at least 1"),
        ({}, {"kind": "sqlite"}, {}, "is a dump of sqlite: restore it to a file"),
        ({}, {}, {"standby": True}, "is a standby, which takes no writes"),
        ({}, {"tool_version": "18.1"}, {}, "was made by pg_dump 18.1, and the server is PostgreSQL 17.6: restore it on 18 or newer"),
        ({}, {}, {"creates": False, "user": "me"}, "me may not create databases"),
        ({}, {}, {"roles": ["postgres"]}, "the dump names roles that the server lacks: orders_owner, orders_app; make them"),
        ({}, {}, {"extensions": {}}, "the dump wants extensions that the server lacks: vector; install their packages"),
        ({"role": "nobody"}, {}, {}, "role nobody is not there"),
    ],
)  # fmt: skip
def test_refusals(given: dict[str, Any], manifest: dict[str, Any], server: dict[str, Any], words: str) -> None:
    with pytest.raises(StewardError) as caught:
        planned(given, manifest, server)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "server", "missing"),
    [
        ({"create_roles": True}, {"roles": ["postgres", "orders_app"]}, ("orders_owner",)),
        ({"create_roles": True}, {}, ()),
        ({"create_roles": True, "role": "postgres"}, {"roles": ["postgres"]}, ()),
        ({"role": "postgres"}, {"roles": ["postgres"]}, ()),
        ({"schemas": ("a",)}, {"roles": ["postgres"]}, ()),
    ],
)
def test_roles(given: dict[str, Any], server: dict[str, Any], missing: tuple[str, ...]) -> None:
    assert planned(given, None, server).missing_roles == missing


@pytest.mark.parametrize(
    ("given", "manifest", "server", "settings"),
    [
        ({}, {}, {}, {"synchronous_commit": "off", "jit": "off", "maintenance_work_mem": "262144kB"}),
        ({}, {}, {"maintenance_kb": 1 << 20}, {"synchronous_commit": "off", "jit": "off"}),
        # Parallel builds of HNSW indexes are not safe before 0.8.2.
        (
            {},
            {},
            {"maintenance_kb": 1 << 20, "extensions": {"vector": "0.8.0"}},
            {"synchronous_commit": "off", "jit": "off", "max_parallel_maintenance_workers": "0"},
        ),
        # A database that is in use keeps what it promises of commits.
        ({"database": "orders", "confirm": "orders", "clean": True}, {}, {"maintenance_kb": 1 << 20}, {}),
    ],
)
def test_settings(
    given: dict[str, Any], manifest: dict[str, Any], server: dict[str, Any], settings: dict[str, str]
) -> None:
    assert planned(given, manifest, server).settings == settings


def test_notes() -> None:
    assert planned({}, {"server_version": "15.3"}).notes == (
        "extension vector was 0.8.0 in the dump, and is 0.8.2 here",
        "the dump is of PostgreSQL 15, and the server is 17",
    )


@pytest.mark.parametrize(
    ("name", "fit"),
    [("orders", "orders_before_x"), ("x" * 63, "x" * 54 + "_before_x"), ("ä" * 31, "ä" * 27 + "_before_x")],
)
def test_names_fit(name: str, fit: str) -> None:
    assert restores.fitting(name, "_before_x") == fit
    assert len(fit.encode()) <= 63


@pytest.mark.parametrize(("text", "major"), [("17.6 (Debian)", 17), ("18beta2", 18), ("9.6.1", 9), ("", 0)])
def test_major_of(text: str, major: int) -> None:
    assert restores.major_of(text) == major


def test_words() -> None:
    plan = planned({"database": "orders", "confirm": "orders"})
    assert restores.words_of(plan, request(database="orders"), MANIFEST)[0] == (
        "replace database orders by backup_lab_20260130_020000; what is there now stays as orders_before_20260131_020005"
    )
    assert restores.words_of(plan, request(database="orders", keep_former=False), MANIFEST)[0].endswith("is dropped")
