"""What only a store with versions, object lock and policies can show: nobody deletes the backups for good, and they come back from below the marks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import backups
import buckets
import cluster
import lab
import plays
import pytest
import yaml

SITE = "pgsteward.postgres.site"
THIRD = 3  # the repository in the bucket with object lock
PORT = 5441
ROWS, LATER = 1000, 500  # in the backup, and in the WAL behind it
cluster.LIMIT = 900


@pytest.fixture(scope="module", autouse=True)
def _ready() -> None:
    backups.idle()
    cluster.whole()


def flat(text: str) -> str:
    """Return a text without the line breaks and the quotes that the output of a run puts into messages."""
    return " ".join(text.replace("''", "'").split())


# What the backup's own key may do

MAY = {
    "write": ("put_object", {"Key": "probe", "Body": b"x"}),
    "read": ("get_object", {"Key": "probe"}),
    "list": ("list_objects_v2", {}),
    "delete": ("delete_object", {"Key": "probe"}),
}
MAY_NOT: dict[str, tuple[str, dict[str, Any]]] = {
    "change the lock": (
        "put_object_lock_configuration",
        {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}},
    ),
    "stop versions": ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
    "have versions expire": ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": []}}),
    "give itself more": ("put_bucket_policy", {"Policy": "{}"}),
    "take the policy away": ("delete_bucket_policy", {}),
    "remove the bucket": ("delete_bucket", {}),
}


@lab.full_only
def test_the_key_of_the_backups_is_for_its_buckets_and_for_nothing_else() -> None:
    own = buckets.own()
    for bucket in (buckets.BACKUPS, buckets.DUMPS, buckets.LOCKED):
        for what, (method, options) in MAY.items():
            assert buckets.refusal(getattr(own, method), Bucket=bucket, **options) == "", (what, bucket)
        for what, (method, options) in MAY_NOT.items():
            assert buckets.refusal(getattr(own, method), Bucket=bucket, **options) == "AccessDenied", (what, bucket)
    for what, (method, options) in {**MAY, **MAY_NOT}.items():
        assert buckets.refusal(getattr(own, method), Bucket=buckets.OTHER, **options) == "AccessDenied", what
    assert buckets.refusal(own.create_bucket, Bucket="one-more") == "AccessDenied"


@lab.full_only
@pytest.mark.parametrize("whose", ["own", "administrator"])
def test_the_proof_that_nobody_deletes(whose: str) -> None:
    """By the module, as the runbook has it: the backup's own key is refused by its policy as well, the administrator's by the lock alone."""
    own = {"access_key": lab.password("s3_key"), "secret_key": lab.password("s3_key_secret")}
    keys = own if whose == "own" else buckets.administrator_keys()
    asked = {
        "name": buckets.LOCKED,
        "endpoint": buckets.endpoint(),
        "ca": str(buckets.AUTHORITY),
        "access_key": keys["access_key"],
        "secret_key": keys["secret_key"],
        "lock_days": 1,
        "prove": True,
    }
    here = ["-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    command = ["ansible", "localhost", *here, "-m", "pgsteward.postgres.backup_bucket", "-a", json.dumps(asked)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=lab.ROOT, env=plays.environment())
    assert "cannot be deleted for good by this key, and was read again after its deletion" in flat(ran.stdout), ran
    assert "CHANGED" not in ran.stdout


# Somebody has the key


@dataclass(frozen=True)
class Kept:
    """What was there before: the moment, in whole seconds, and the sum of all rows; the repositories as they are configured."""

    moment: str
    sums: str
    repositories: list[dict[str, Any]]


FILL = f"CREATE TABLE held AS SELECT id, repeat(md5(id::text), 20) AS pad FROM generate_series(1, {ROWS}) AS id"
SUMS = "SELECT count(*) || ' ' || md5(string_agg(id || pad, ',' ORDER BY id)) FROM held"


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """Have a third repository, in the bucket with object lock; rows are in its base backup and in the WAL behind that."""
    text = (lab.INVENTORY.parent / "group_vars" / "all" / "pgbackrest.yml").read_text()
    first, second = yaml.safe_load(text)["pgbackrest_repositories"]
    node = cluster.primary()
    cluster.ask(node, "DROP TABLE IF EXISTS held", cluster.DATABASE)
    cluster.ask(node, FILL, cluster.DATABASE)
    locked = [first, second, {**second, "bucket": buckets.LOCKED}]
    ran = backups.play(SITE, "--tags=pgbackrest", pgbackrest_repositories=locked)
    assert ran.code == 0, ran.text
    backups.idle()
    backups.pgbackrest(backups.STORE, "backup", f"--repo={THIRD}", "--type=full")
    more = f"INSERT INTO held SELECT id, 'later' FROM generate_series({ROWS + 1}, {ROWS + LATER}) AS id"
    cluster.ask(node, more, cluster.DATABASE)
    reaches_the_third(node)
    sums = cluster.ask(node, SUMS, cluster.DATABASE)
    time.sleep(1.1)
    moment = cluster.ask(node, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'")
    time.sleep(1.1)
    yield Kept(moment, sums, locked)
    ran = backups.play(SITE, "--tags=pgbackrest")
    assert ran.code == 0, ran.text


def reaches_the_third(node: str) -> None:
    segment = backups.switch_wal(node)
    cluster.until(lambda: backups.last_wal(THIRD) >= segment, 60, f"{segment} in repository {THIRD}")


def destroyed(node: str) -> int:
    """Do what an intruder does, with the backup's own key; return how many versions could not be deleted for good."""
    cluster.ask(node, "UPDATE held SET pad = 'pay us'", cluster.DATABASE)
    reaches_the_third(node)
    there = buckets.versions(buckets.LOCKED)
    assert {one["Code"] for one in deleted(there)} == {"AccessDenied"}
    assert deleted([{"Key": key} for key in buckets.files(buckets.LOCKED)]) == []
    assert buckets.files(buckets.LOCKED) == []
    assert len(buckets.versions(buckets.LOCKED)) == len(there)
    return len(there)


def deleted(what: list[dict[str, str]]) -> list[dict[str, str]]:
    """Delete files, or versions for good, by the hundreds; return what was refused."""
    refused: list[dict[str, str]] = []
    for begin in range(0, len(what), 500):
        some = {"Objects": what[begin : begin + 500]}
        refused += buckets.own().delete_objects(Bucket=buckets.LOCKED, Delete=some).get("Errors", [])
    return refused


@pytest.fixture(scope="module")
def emptied(kept: Kept) -> Kept:
    """All rows are overwritten, all files of the bucket deleted."""
    count = destroyed(cluster.primary())
    print(f"\n{count} versions could not be deleted for good")
    assert "missing" in backups.pgbackrest(backups.STORE, "info", f"--repo={THIRD}")
    return kept


@lab.full_only
@pytest.mark.usefixtures("emptied")
def test_not_even_the_administrator_lifts_the_lock() -> None:
    """The policy refuses the backup's own key as well; here it is the lock alone: what is not locked the administrator deletes."""
    plain = buckets.own().put_object(Bucket=buckets.BACKUPS, Key="probe", Body=b"x")
    assert plain["ETag"]
    assert buckets.refusal(buckets.administrator().delete_object, Bucket=buckets.BACKUPS, Key="probe") == ""
    assert buckets.refusal(buckets.own().get_object, Bucket=buckets.BACKUPS, Key="probe") == "NoSuchKey"
    one = buckets.versions(buckets.LOCKED, "pgbackrest/backup/lab/backup.info")[0]
    store = buckets.administrator()
    assert buckets.refusal(store.delete_object, Bucket=buckets.LOCKED, **one) == "AccessDenied"
    forced = {"BypassGovernanceRetention": True, **one}
    assert buckets.refusal(store.delete_object, Bucket=buckets.LOCKED, **forced) == "AccessDenied"
    assert buckets.refusal(store.delete_bucket, Bucket=buckets.LOCKED) != ""


@lab.full_only
@pytest.mark.usefixtures("emptied")
def test_without_the_time_there_is_nothing_to_restore() -> None:
    ran = cluster.play("restore", beside=PORT, repository=THIRD)
    assert ran.code != 0
    assert f"repository {THIRD} has no backup of 'lab' (missing stanza path)" in flat(ran.text), ran.text


@lab.full_only
def test_a_time_wants_its_repository(emptied: Kept) -> None:
    ran = cluster.play("restore", beside=PORT, repository_time=emptied.moment)
    assert ran.code != 0
    assert "repository_time is about one repository, whose storage keeps versions: name that as well" in flat(
        ran.text
    ), ran.text
    ran = cluster.play("restore", beside=PORT, repository_time=emptied.moment, repository=1)
    assert ran.code != 0
    assert "repository 1 cannot be read as it was at a time: it is not in a bucket" in flat(ran.text), ran.text


def inside(host: str, query: str) -> str:
    """Ask the restored server."""
    command = ["runuser", "-u", "postgres", "--", "psql", "-h", f"/var/lib/pgsteward/restores/{PORT}/socket"]
    return cluster.on(host, *command, "-p", str(PORT), "-XAtq", "-d", cluster.DATABASE, "-c", query)


@lab.full_only
def test_everything_comes_back_beside(emptied: Kept) -> None:
    host = sorted(cluster.followers() or cluster.nodes())[0]
    began = time.monotonic()
    try:
        ran = cluster.play("restore", beside=PORT, repository=THIRD, repository_time=emptied.moment)
        assert ran.code == 0, ran.text
        print(f"\nbeside: {time.monotonic() - began:.0f} s")
        assert inside(host, SUMS) == emptied.sums
        assert emptied.sums.startswith(f"{ROWS + LATER} ")
    finally:
        cluster.play("restore", beside=PORT, on=host, state="absent")


@lab.full_only
def test_the_marks_of_deletion_can_be_taken_away(emptied: Kept) -> None:
    """By the program of the runbook, with the administrator's keys: for versions of pgBackRest that cannot read what was there."""
    assert unmarked("pgbackrest/", emptied.moment) > 0
    found = json.loads(backups.pgbackrest(backups.STORE, "info", f"--repo={THIRD}", "--output=json"))
    assert found[0]["status"]["code"] == 0
    assert deleted([{"Key": key} for key in buckets.files(buckets.LOCKED)]) == []


def unmarked(prefix: str, since: str) -> int:
    """Run the runbook's program; return how many marks it has taken away."""
    text = (lab.ROOT / "docs" / "runbooks" / "ransomware.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    keys = buckets.administrator_keys()
    given = {
        "AWS_ACCESS_KEY_ID": keys["access_key"],
        "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
        "AWS_CA_BUNDLE": str(buckets.AUTHORITY),
    }
    ran = subprocess.run(
        [sys.executable, "-c", program, buckets.endpoint(), buckets.LOCKED, prefix, since],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return len(ran.stdout.splitlines())


@lab.full_only
def test_everything_comes_back_in_place(emptied: Kept) -> None:
    node = cluster.primary()
    began = time.monotonic()
    ran = cluster.play("restore", confirm="lab", repository=THIRD, repository_time=emptied.moment)
    assert ran.code == 0, ran.text
    print(f"\nin place: {time.monotonic() - began:.0f} s")
    assert ran.report["outcome"] == "restored"
    assert cluster.primary() == node
    assert cluster.ask(node, SUMS, cluster.DATABASE) == emptied.sums
    cluster.whole()


@lab.full_only
def test_archive_and_backups_begin_again(emptied: Kept) -> None:
    """In the emptied bucket, by site alone."""
    ran = backups.play(SITE, "--tags=pgbackrest", pgbackrest_repositories=emptied.repositories)
    assert ran.code == 0, ran.text
    backups.idle()
    assert backups.labels(THIRD)
    reaches_the_third(cluster.primary())


# Dumps

CONFIG, STATE = "/etc/pgsteward/dumps-store.json", "/var/lib/pgsteward/dumps-store"
BIG, MEGABYTES = "store_big", 600
PART, PARTS = (
    16 << 20,
    10,
)  # bytes of one; how many there are at least when it is killed: more than are on the way at a time
# The environment's own configuration with one store, whose secrets stay on the host.
EDIT = f"""
import json, os, shutil, sys
held, asked = json.load(open("/etc/pgsteward/dumps.json")), json.loads(sys.argv[1])
usual = next(one for one in held["stores"] if "bucket" in one)
held |= {{"directory": "{STATE}", "stores": [usual | {{"name": "store", "prefix": "tests"}} | asked["store"]]}}
held["databases"] = [held["databases"][0] | one for one in asked["databases"]]
os.umask(0o027)
os.makedirs("{STATE}", exist_ok=True)
shutil.chown("{STATE}", "postgres", "postgres")
json.dump(held, open("{CONFIG}", "w"))
shutil.chown("{CONFIG}", "root", "postgres")
"""


@pytest.fixture
def host() -> Iterator[str]:
    """The server that dumps are taken from; what the tests give it besides goes away."""
    node = cluster.primary()
    yield node
    cluster.on(node, "rm", "-rf", CONFIG, STATE)


def told(host: str, *databases: dict[str, Any], **store: Any) -> None:
    """Have backup-db told of one store that is like the environment's bucket but for what is given."""
    asked = {"databases": databases or [{"name": cluster.DATABASE}], "store": store}
    cluster.on(host, "python3", "-c", EDIT, json.dumps(asked))


def command(host: str, *words: str) -> str:
    """Return what a command says, on either stream."""
    return cluster.on(host, "sh", "-c", '"$@" 2>&1', "sh", *words, "--config", CONFIG, check=False)


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ({"secret_key": "not the secret"}, "refuses the secret key: check it"),
        ({"access_key": "nobody"}, "does not know the access key: check it"),
        ({"bucket": "nowhere"}, "has no such bucket: make it first"),
        pytest.param({"bucket": buckets.OTHER}, "does not allow that to this access key", marks=lab.full_only),
    ],
)
def test_what_the_store_refuses_is_one_line(host: str, store: dict[str, Any], words: str) -> None:
    told(host, **store)
    said = command(host, "backup-db").splitlines()
    assert len(said) == 1, said
    assert said[0].startswith(f"backup-db: {cluster.DATABASE} to store: ")
    assert words in said[0]


def test_what_a_bucket_does_not_keep_is_said(host: str) -> None:
    told(host)
    said = command(host, "backup-db", "--probe")
    assert "store: can be written\n" in said
    assert "s3://dumps/tests keeps no versions: what is overwritten or deleted there is gone" in said
    assert "s3://dumps/tests has no object lock: whoever has its key can delete dumps" in said


@lab.full_only
def test_a_certificate_that_has_expired_is_named(host: str) -> None:
    """By the dumps, and by the role pgbackrest before it changes anything."""
    told(host)
    with buckets.expired():
        said = command(host, "backup-db").splitlines()
        ran = backups.play(SITE, "--tags=pgbackrest", pgbackrest_settings={"archive-timeout": 31})
    store = buckets.reached()["endpoint"]
    assert len(said) == 1, said
    assert "has a certificate that has expired: renew it" in said[0]
    assert ran.code != 0
    assert ran.changed == 0
    words = rf"repository 2 \({store}\) cannot be read, and nothing was changed: unable to verify certificate [^[]*\[10\] certificate has expired"
    assert re.search(words, flat(ran.text)), ran.text


@lab.full_only
def test_a_dump_is_locked_and_comes_back_from_below_the_marks(host: str) -> None:
    cluster.ask(host, "DROP TABLE IF EXISTS held", cluster.DATABASE)
    cluster.ask(host, FILL, cluster.DATABASE)
    told(host, bucket=buckets.LOCKED, lock_mode="COMPLIANCE", lock_days=2)
    said = command(host, "backup-db", "--probe")
    assert "store: can be written, versions Enabled\n" in said
    assert "object lock: COMPLIANCE for 1 days" in said
    said = command(host, "backup-db")
    [name] = re.findall(
        rf"^{cluster.DATABASE} to store: (backup_\w+), .* checked by size and checksum", said, re.MULTILINE
    )
    prefix = f"tests/{cluster.DATABASE}/{name}"
    there = buckets.versions(buckets.LOCKED, prefix)
    assert there
    for one in there:
        lock = buckets.own().get_object_retention(Bucket=buckets.LOCKED, **one)["Retention"]
        assert lock["Mode"] == "COMPLIANCE"
        assert lock["RetainUntilDate"].timestamp() - time.time() > 1.9 * 86400  # longer than by the bucket itself
        assert buckets.refusal(buckets.own().delete_object, Bucket=buckets.LOCKED, **one) == "AccessDenied"
        assert buckets.refusal(buckets.administrator().delete_object, Bucket=buckets.LOCKED, **one) == "AccessDenied"
    assert deleted([{"Key": one["Key"]} for one in there]) == []
    assert name not in command(host, "backup-db", "--list")
    assert unmarked(prefix, "2026-01-01 00:00:00+00") == len(there)
    assert name in command(host, "backup-db", "--list")
    try:
        said = command(host, "restore-db", name, "--of", cluster.DATABASE, "--into", "store_back")
        assert "the catalog is that of the dump" in said
        assert cluster.ask(host, SUMS, "store_back") == cluster.ask(host, SUMS, cluster.DATABASE) != ""
    finally:
        cluster.ask(host, "DROP DATABASE IF EXISTS store_back")


@pytest.fixture
def big(host: str) -> Iterator[str]:
    """A database whose dump takes a while to be sent."""
    cluster.ask(host, f"CREATE DATABASE {BIG}")
    cluster.ask(
        host,
        f"CREATE TABLE much AS SELECT n, repeat(md5(n::text), 32768) AS x FROM generate_series(1, {MEGABYTES}) AS n",
        BIG,
    )
    yield BIG
    cluster.ask(host, f"DROP DATABASE {BIG} WITH (FORCE)")
    buckets.clear(buckets.DUMPS, "tests/")


def killed(host: str) -> dict[str, Any]:
    """Kill backup-db in the middle of an upload, with all of its processes; return that upload."""
    unit = "pgsteward-store-test"
    cluster.on(host, "systemd-run", "--collect", f"--unit={unit}", "backup-db", "--config", CONFIG)
    cluster.until(
        lambda: any(len(one["parts"]) >= PARTS for one in buckets.uploads(buckets.DUMPS, "tests/")), 120, "parts"
    )
    cluster.on(host, "systemctl", "kill", "--signal=KILL", f"{unit}.service")
    cluster.until(lambda: cluster.on(host, "systemctl", "is-active", unit, check=False) != "active", 30, "its end")
    [left] = buckets.uploads(buckets.DUMPS, "tests/")
    assert "good" not in command(host, "backup-db", "--list", BIG)
    return left


def sent(upload: str) -> int:
    """Return how many parts the store has received for an upload, by its own log."""
    log = cluster.on(
        backups.STORE, "sh", "-c", f"cat /var/log/ceph/*rgw*.log | grep -F 'uploadId={upload}'", check=False
    )
    return len(re.findall(r'"PUT /[^"]*partNumber=', log))


@lab.full_only
def test_an_upload_that_was_killed_is_taken_up(host: str, big: str) -> None:
    told(host, {"name": big, "format": "directory", "compression": "none"})
    left = killed(host)
    began = time.monotonic()
    said = command(host, "backup-db")
    print(f"\nthe rest, and a new dump of {MEGABYTES} MB, took {time.monotonic() - began:.1f} s")
    listed = buckets.own().list_objects_v2(Bucket=buckets.DUMPS, Prefix=left["key"])["Contents"]
    needed, received = -(-listed[0]["Size"] // PART), sent(left["id"])
    print(f"it has {needed} parts, {len(left['parts'])} were there; the store has received {received} in both runs")
    assert needed <= received < needed + len(left["parts"])
    assert "which an earlier run had staged:" in said
    assert buckets.uploads(buckets.DUMPS, "tests/") == []
    assert "damaged" not in command(host, "backup-db", "--verify")
    assert command(host, "backup-db", "--list", big).count("good") == 2


SWEEP = f"""
import datetime, json
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import target_of
[store] = json.load(open("{CONFIG}"))["stores"]
print(target_of(store, "store").store.sweep("", datetime.timedelta(0)))
"""


@lab.full_only
def test_what_a_killed_stream_has_left_is_swept(host: str, big: str) -> None:
    told(host, {"name": big, "format": "custom", "compression": "none"})
    left = killed(host)
    command(host, "backup-db", "--prune")
    assert [one["id"] for one in buckets.uploads(buckets.DUMPS, "tests/")] == [left["id"]]  # it may still be at it
    python = ["env", "PYTHONPATH=/usr/local/lib/pgsteward/python", "python3", "-c", SWEEP]
    assert big in cluster.on(host, *python)
    assert buckets.uploads(buckets.DUMPS, "tests/") == []
