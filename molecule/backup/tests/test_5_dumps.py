"""Dumps beside the backups: taken by the timer's service, restored from, proven by their own drill, and damage found before it is needed."""

from __future__ import annotations

import json
import time

import cluster
import drills
import lab
import pytest

DUMPS = "/srv/dumps"
DIRECTORY = "/var/lib/pgsteward/backup"
DRILL = drills.DUMPS
STORES = ("near", "offsite")
ROWS = 4321
COUNT = "SELECT count(*) FROM dumped"


@pytest.fixture(scope="module", autouse=True)
def _ready() -> None:
    cluster.whole()


@pytest.fixture(scope="module")
def host() -> str:
    """The server that dumps are taken from, with a table of a known size."""
    node = cluster.primary()
    cluster.ask(node, "DROP TABLE IF EXISTS dumped", cluster.DATABASE)
    statement = f"CREATE TABLE dumped AS SELECT g AS id, md5(g::text) AS word FROM generate_series(1, {ROWS}) AS g"
    cluster.ask(node, f"{statement}; ALTER TABLE dumped ADD PRIMARY KEY (id)", cluster.DATABASE)
    assert cluster.ask(node, COUNT, cluster.DATABASE) == str(ROWS)
    return node


@pytest.fixture(scope="module")
def dump(host: str) -> str:
    """The name of a dump that the timer's service has taken."""
    cluster.on(host, "systemctl", "start", "pgsteward-dumps.service")
    listed = cluster.on(host, "backup-db", "--list").splitlines()
    names = {line.split()[1] for line in listed if line.startswith(f"  {cluster.DATABASE} ") and line.endswith("good")}
    assert all(f"{store}:" in listed for store in STORES), listed
    return max(names)


def test_a_dump_is_in_every_store_and_has_every_row(host: str, dump: str) -> None:
    manifest = json.loads(cluster.on(host, "cat", f"{DUMPS}/{cluster.DATABASE}/{dump}.manifest.json"))
    assert manifest["rows"]["public.dumped"] == ROWS
    state = json.loads(cluster.on(host, "cat", f"{DIRECTORY}/dumps.json"))["databases"][cluster.DATABASE]
    assert {name: state[name]["error"] for name in STORES} == dict.fromkeys(STORES)
    assert {state[name]["last_good"]["name"] for name in STORES} == {dump}


def test_a_deleted_table_comes_back(host: str, dump: str) -> None:
    cluster.ask(host, "DROP TABLE dumped", cluster.DATABASE)
    assert cluster.ask(host, "SELECT to_regclass('dumped') IS NULL", cluster.DATABASE) == "t"
    words = ("--of", cluster.DATABASE, "--table", "public.dumped", "--confirm", cluster.DATABASE)
    cluster.on(host, "restore-db", dump, *words, "--store", "offsite")
    answer = "SELECT count(*), sum(id), count(DISTINCT word) FROM dumped"
    assert cluster.ask(host, answer, cluster.DATABASE) == f"{ROWS}|{ROWS * (ROWS + 1) // 2}|{ROWS}"


def test_a_drill_proves_the_newest_dump_of_every_store(host: str, dump: str) -> None:
    before = cluster.ask(host, "SELECT array_agg(datname ORDER BY 1) FROM pg_database")
    run = cluster.play("restore_drill", kind="dump")
    assert run.code == 0, run.text
    assert (run.report["kind"], run.report["error"]) == ("dump", None)
    found = DRILL.record(host)
    assert found["removed"]
    assert [(one["store"], one["name"]) for one in found["dumps"]] == [(store, dump) for store in STORES]
    manifest = json.loads(cluster.on(host, "cat", f"{DUMPS}/{cluster.DATABASE}/{dump}.manifest.json"))
    for one in found["dumps"]:
        assert one["rows"] == one["expected"] == sum(manifest["rows"].values()) >= ROWS
        assert (one["catalog"], one["amcheck"]) == ("as in the manifest", "no damage")
        assert one["fingerprint"] == manifest["fingerprint"]
        assert one["bytes_per_second"] > 0
    assert DRILL.figure(host, "pgsteward_restore_drill_success") == 1
    assert abs(DRILL.figure(host, "pgsteward_last_proven_restore_timestamp_seconds") - time.time()) < 600
    assert "# Restore drill of dumps of lab: proven" in cluster.on(host, "cat", f"{DRILL.path}.md")
    DRILL.gone(host)
    assert cluster.ask(host, "SELECT array_agg(datname ORDER BY 1) FROM pg_database") == before
    print(
        f"\ndrill of dumps: {found['seconds']} s, {found['steps']['restore']['bytes_per_second'] / (1 << 20):.0f} MiB/s"
    )


def test_a_flipped_byte_in_a_stored_dump_is_found_and_named(host: str, dump: str) -> None:
    before = DRILL.figure(host, "pgsteward_last_proven_restore_timestamp_seconds")
    key = f"{cluster.DATABASE}/{dump}.dump"
    with drills.damaged(host, f"{DUMPS}/{key}"):
        assert not DRILL.proves(host)
        verified = cluster.on(host, "sh", "-c", f"backup-db --store near --verify {dump} 2>&1", check=False)
    found = DRILL.record(host)
    assert f"{key} is damaged: its SHA-256 is" in found["error"], found["error"]
    assert f"near: {key} is damaged" in verified
    # The other store is as good as it was, and is said to be.
    assert {one["store"]: one.get("proven") for one in found["dumps"]} == {"near": None, "offsite": True}
    assert DRILL.figure(host, "pgsteward_last_proven_restore_timestamp_seconds") == before
    assert DRILL.figure(host, "pgsteward_restore_drill_success") == 0
    DRILL.gone(host)
    assert f"{dump}.dump" in cluster.on(host, "sh", "-c", f"ls {DUMPS}/{cluster.DATABASE}")
    cluster.on(host, "backup-db", "--store", "near", "--verify", dump)  # and is well again for the retention too
    assert "damaged" not in cluster.on(host, "backup-db", "--list")
    cluster.on(host, "systemctl", "reset-failed", DRILL.unit, check=False)


@pytest.mark.parametrize("whom", lab.few(["main", "server", "all"], "main"))
def test_a_drill_that_is_killed_leaves_nothing(host: str, dump: str, whom: str) -> None:
    assert dump
    DRILL.killed(host, whom, "socket/.s.PGSQL.5432")


def test_the_account_of_dumps_reads_and_writes_nothing(host: str) -> None:
    # Without the read-only default of its sessions, which anybody may lift.
    lifted = [
        "env",
        "PGOPTIONS=-c default_transaction_read_only=off",
        "psql",
        "-XAtqw",
        "-U",
        "dumps",
        "-d",
        cluster.DATABASE,
        "-c",
    ]

    def told(statement: str) -> str:
        words = ["runuser", "-u", "postgres", "--", *lifted, statement]
        return cluster.on(host, "sh", "-c", '"$@" 2>&1', "sh", *words, check=False)

    assert told("SELECT count(*) >= 0 FROM dumped") == "t"
    for statement in (
        "DELETE FROM dumped",
        "CREATE TABLE planted ()",
        "CREATE ROLE planted",
        "ALTER SYSTEM SET port = 1",
    ):
        assert "permission denied" in told(statement), statement
    properties = "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication, rolpassword IS NULL FROM pg_authid WHERE rolname = 'dumps'"
    assert cluster.ask(host, properties) == "f|t"


def test_no_secret_can_be_read_by_others(host: str) -> None:
    secrets = [lab.password(name) for name in ("s3_key_secret", "dumps_key")]
    places = f"/etc/pgsteward /etc/systemd/system /usr/local {DIRECTORY} /var/lib/pgsteward/drill"
    for secret in secrets:
        read = f"setpriv --reuid=65534 --regid=65534 --clear-groups grep -rlF -- {secret} {places} 2>/dev/null"
        assert cluster.on(host, "sh", "-c", read, check=False) == ""
        logged = cluster.on(host, "sh", "-c", f"journalctl -o cat | grep -cF -- {secret}", check=False)
        assert logged == "0", "in the journal"
    assert "0640 root postgres" in cluster.on(host, "stat", "-c", "%04a %U %G", "/etc/pgsteward/dumps.json")
