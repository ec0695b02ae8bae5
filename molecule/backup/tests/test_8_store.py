"""What only a store with versions, object lock and policies can show: nobody deletes the backups for good, and they come back from below the marks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import backups
import buckets
import cluster
import lab
import pytest
import yaml

SITE = "pgsteward.postgres.site"
THIRD = 3  # the repository in the bucket with object lock
PORT = 5441
ROWS, LATER = 1000, 500  # in the backup, and in the WAL behind it
full_only = pytest.mark.skipif(not lab.FULL, reason="acceptance size: Ceph")
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


@full_only
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


# Somebody has the key


@dataclass(frozen=True)
class Kept:
    """What was there before: the moment, in whole seconds, and the sum of all rows."""

    moment: str
    sums: str


SUMS = "SELECT count(*) || ' ' || md5(string_agg(id || pad, ',' ORDER BY id)) FROM held"


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """Have a third repository, in the bucket with object lock; rows are in its base backup and in the WAL behind that."""
    text = (lab.INVENTORY.parent / "group_vars" / "all" / "pgbackrest.yml").read_text()
    first, second = yaml.safe_load(text)["pgbackrest_repositories"]
    node = cluster.primary()
    cluster.ask(node, "DROP TABLE IF EXISTS held", cluster.DATABASE)
    fill = f"CREATE TABLE held AS SELECT id, repeat(md5(id::text), 20) AS pad FROM generate_series(1, {ROWS}) AS id"
    cluster.ask(node, fill, cluster.DATABASE)
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
    yield Kept(moment, sums)
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


@full_only
@pytest.mark.usefixtures("emptied")
def test_not_even_the_administrator_lifts_the_lock() -> None:
    """The policy refuses the backup's own key as well; here it is the lock alone."""
    one = buckets.versions(buckets.LOCKED, "pgbackrest/backup/lab/backup.info")[0]
    store = buckets.administrator()
    assert buckets.refusal(store.delete_object, Bucket=buckets.LOCKED, **one) == "AccessDenied"
    forced = {"BypassGovernanceRetention": True, **one}
    assert buckets.refusal(store.delete_object, Bucket=buckets.LOCKED, **forced) == "AccessDenied"
    assert buckets.refusal(store.delete_bucket, Bucket=buckets.LOCKED) != ""


@full_only
@pytest.mark.usefixtures("emptied")
def test_without_the_time_there_is_nothing_to_restore() -> None:
    ran = cluster.play("restore", beside=PORT, repository=THIRD)
    assert ran.code != 0
    assert f"repository {THIRD} has no backup of 'lab' (missing stanza path)" in flat(ran.text)


@full_only
def test_a_time_wants_its_repository(emptied: Kept) -> None:
    ran = cluster.play("restore", beside=PORT, repository_time=emptied.moment)
    assert ran.code != 0
    assert "repository_time is about one repository, whose storage keeps versions: name that as well" in flat(ran.text)
    ran = cluster.play("restore", beside=PORT, repository_time=emptied.moment, repository=1)
    assert ran.code != 0
    assert "repository 1 cannot be read as it was at a time: it is not in a bucket" in flat(ran.text)


def inside(host: str, query: str) -> str:
    """Ask the restored server."""
    command = ["runuser", "-u", "postgres", "--", "psql", "-h", f"/var/lib/pgsteward/restores/{PORT}/socket"]
    return cluster.on(host, *command, "-p", str(PORT), "-XAtq", "-d", cluster.DATABASE, "-c", query)


@full_only
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


@full_only
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
