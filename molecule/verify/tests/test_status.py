"""The playbook `migration_status`, and alembic_info where no primary of its own answers: exact lines, and nothing is changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lab
import plays
import pytest
import test_reading
import yaml

STATUS = "pgsteward.postgres.migration_status"
# system: revision of its head, number of revisions
SYSTEMS = {
    "face_recognition": ("v1_3_embedding_vectors", 4),
    "pixcrawler": ("001", 2),
    "imagemanager": ("004_project_status", 4),
    "cats_monitor": ("003_activity_features", 3),
    "powergym": ("005_hnsw", 5),
}
HISTORIES = "/opt/pgsteward/systems"

pair, pooler = test_reading.pair, test_reading.pooler


def reports(run: plays.Played) -> dict[str, list[str]]:
    """Return the lines that a run reports about each host."""
    told = re.findall(r"^ok: \[(\w+)\] => *\n((?:    .*\n)+)", run.text, re.MULTILINE)
    return {host: yaml.safe_load(block)["msg"] for host, block in told}


def about(system: str, lines: list[str]) -> list[str]:
    """Return the lines about one database, without its name and the indentation."""
    start = next(index for index, line in enumerate(lines) if line.startswith(f"{system}: "))
    after = [index for index, line in enumerate(lines) if index > start and not line.startswith(" ")]
    return [lines[start].removeprefix(f"{system}: "), *(line[2:] for line in lines[start + 1 : (after or [None])[0]])]


def managed(system: str) -> list[str]:
    """Return what is told of a database at the head."""
    head, count = SYSTEMS[system]
    return [
        "managed",
        "Database Connection: Connected",
        f"Current Revision: {head}",
        f"Head Revision: {head}",
        "Needs Migration: No",
        f"Total Migrations: {count}",
        "No pending migrations",
    ]


@contextmanager
def changed(host: str, database: str, statement: str, undo: str) -> Iterator[None]:
    """Let a statement hold for as long as the context lasts."""
    try:
        lab.psql(database, statement, host)
        yield
    finally:
        lab.psql(database, undo, host)


def test_every_database_on_every_host() -> None:
    run = plays.play(STATUS, host="all")
    assert (run.code, run.changed) == (0, 0), run.text
    told = reports(run)
    assert set(told) == set(lab.hosts("postgres"))
    for lines in told.values():
        assert [line for line in lines if not line.startswith(" ")] == [f"{system}: managed" for system in SYSTEMS]
        for system in SYSTEMS:
            assert about(system, lines) == managed(system)


def test_a_database_one_revision_back(server: str) -> None:
    back, undo = (
        f"UPDATE alembic_version SET version_num = '{name}'"
        for name in ("002_cat_recognition", "003_activity_features")
    )
    with changed(server, "cats_monitor", back, undo):
        run = plays.play(STATUS, host=server)
    assert (run.code, run.changed) == (0, 0), run.text
    lines = reports(run)[server]
    assert about("cats_monitor", lines) == [
        "behind",
        "Database Connection: Connected",
        "Current Revision: 002_cat_recognition",
        "Head Revision: 003_activity_features",
        "Needs Migration: Yes",
        "Total Migrations: 3",
        "Pending: 003_activity_features (Activities: what the cat was doing.)",
    ]
    assert about("powergym", lines) == managed("powergym")


STATES = [
    (
        "legacy",
        "DELETE FROM alembic_version",
        "INSERT INTO alembic_version VALUES ('001')",
        "public.alembic_version has no row, so no revision is recorded.",
        "Run the playbook adopt before anything else",
    ),
    (
        "partial",
        "ALTER TABLE export_jobs RENAME TO export_jobs_aside",
        "ALTER TABLE export_jobs_aside RENAME TO export_jobs",
        "1 of the 7 tables of the models is missing, though applied revisions name it: export_jobs.",
        "Run the playbook verify",
    ),
    (
        "diverged",
        "UPDATE alembic_version SET version_num = '002'",
        "UPDATE alembic_version SET version_num = '001'",
        "public.alembic_version names 002, and no file of the project has it.",
        "Make project and database agree",
    ),
    (
        "diverged",
        "INSERT INTO alembic_version VALUES ('000')",
        "DELETE FROM alembic_version WHERE version_num = '000'",
        "But 000 is part of 001 already, so no run of Alembic wrote this.",
        "Make project and database agree",
    ),
]


@pytest.mark.parametrize(("state", "statement", "undo", "evidence", "action"), STATES)
def test_other_states_come_with_evidence(state: str, statement: str, undo: str, evidence: str, action: str) -> None:
    database = {"name": "pixcrawler", "section": "pixcrawler"}
    with changed("pg18", "pixcrawler", statement, undo):
        run = plays.play(STATUS, host="pg18", variables={"scenario_databases": [database]})
    assert (run.code, run.changed) == (0, 0), run.text
    told = about("pixcrawler", reports(run)["pg18"])
    assert told[0] == state
    assert evidence in told
    assert told[-1].startswith(action)


def test_what_could_not_be_read_is_named_and_the_others_are_shown() -> None:
    databases = [
        {"name": "nowhere", "section": "powergym", "user": "powergym_migrator"},
        {"name": "pixcrawler", "section": "no_such_section"},
        {"name": "powergym", "section": "powergym"},
    ]
    run = plays.play(STATUS, host="pg18", variables={"scenario_databases": databases})
    assert (run.code, run.changed) == (2, 0), run.text
    lines = reports(run)["pg18"]
    assert about("nowhere", lines)[1].startswith(
        "Database Connection: Failed: cannot connect to host localhost port 5432"
    )
    assert "has no section [no_such_section]" in about("pixcrawler", lines)[1]
    assert about("powergym", lines) == managed("powergym")
    assert "2 of 3 databases could not be read: nowhere, pixcrawler" in " ".join(run.text.split())
    assert not any(lab.password(f"{system}_migrator") in run.text for system in SYSTEMS)


# Where no primary of its own answers


def alembic_info(host: str, **options: Any) -> dict[str, Any]:
    """Run the module on a host as the account postgres, with the histories that were shipped there; return its result."""
    project = {"project": f"{HISTORIES}/project", "virtualenv": f"{HISTORIES}/venv", "section": "powergym"}
    paths = {"ANSIBLE_CONFIG": "ansible.cfg", "ANSIBLE_COLLECTIONS_PATH": ".cache/collections"}
    run = subprocess.run(
        [
            *("ansible", "-i", str(lab.INVENTORY), host, "--become", "--become-user", "postgres", "-o"),
            *("-m", "pgsteward.postgres.alembic_info", "-e", "ansible_remote_tmp=/tmp"),
            *("-a", json.dumps({**project, **options})),
        ],
        env={**os.environ, **{name: str(lab.ROOT / path) for name, path in paths.items()}, "ANSIBLE_FORCE_COLOR": "false"},
        capture_output=True, text=True, check=False, cwd=lab.ROOT,
    )  # fmt: skip
    return dict(json.loads(run.stdout[run.stdout.index("{") :]))


def test_a_standby_answers_as_its_primary_does(server: str, pair: dict[str, int]) -> None:
    primary, standby = (
        alembic_info(server, login_db="postgres", login_unix_socket=test_reading.CLUSTER, login_port=pair[name])
        for name in test_reading.PAIR
    )
    assert "msg" not in standby, standby
    assert (primary["standby"], standby["standby"]) == (False, True)
    assert (primary["state"], standby["state"]) == ("legacy", "legacy")  # the pair has a table of its own
    assert standby["evidence"] == [
        *primary["evidence"],
        "This was read from a standby, which may be behind its primary.",
    ]
    assert standby["pending"] == primary["pending"]
    assert standby["interpreter"] == f"{HISTORIES}/venv/bin/python"


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_through_a_pooler_the_project_is_not_run(server: str, pooler: dict[str, str], mode: str) -> None:
    direct = alembic_info(server, login_db="powergym")
    assert (direct["state"], direct["pooled"]) == ("managed", False), direct
    pooled = alembic_info(server, login_db="powergym", login_unix_socket=pooler[mode], login_port=6432)
    assert "msg" not in pooled, pooled
    assert (pooled["state"], pooled["pooled"], "versions" in pooled) == (None, True, False)
    assert "public.alembic_version names 005_hnsw." in pooled["evidence"]
    # Nothing of a read-only session stays with the pooler.
    write = f"psql -XAtq -h {pooler[mode]} -p 6432 -d powergym -c 'CREATE TEMPORARY TABLE t (id int)'"
    test_reading.shell(server, write)
