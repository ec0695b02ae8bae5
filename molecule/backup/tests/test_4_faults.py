"""What goes wrong while clients write: WAL waits where it is, is named, gets there afterwards, and no acknowledged row is missing in any repository."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import backups
import cluster
import lab
import load
import pytest
import restores

CONFIG = "/etc/pgbackrest.conf"
REPOSITORY = f"/var/lib/pgbackrest/archive/{backups.STANZA}"
TLS = "/etc/pgsteward/tls"
SERVICE = "pgsteward-pgbackrest-server"
LASTS = {"store down": 150.0 if lab.FULL else 5.0}  # seconds that a fault lasts once it is seen


@pytest.fixture(scope="module")
def running() -> Iterator[load.Load]:
    """Clients that write all the while, from before the first fault until after the last."""
    backups.idle()
    cluster.whole()
    with backups.loaded() as clients:
        yield clients


def said(words: str) -> int:
    """Return how often the logs of server and archiver have said something."""
    logs = "/var/log/postgresql/*.log /var/log/pgbackrest/*-push-async.log"
    return int(cluster.on(cluster.primary(), "sh", "-c", f"cat {logs} | grep -cF {shlex.quote(words)}", check=False))


def waiting() -> int:
    """Return how many segments wait for their archive."""
    found = cluster.on(
        cluster.primary(), "sh", "-c", f"ls {cluster.DATA}/pg_wal/archive_status | grep -c ready", check=False
    )
    return int(found or 0)


# The faults. Each gives the words with which pgBackRest names it.


@contextmanager
def store_is_down() -> Iterator[str]:
    with backups.store_down():
        yield "unable to connect"


@contextmanager
def secret_is_wrong() -> Iterator[str]:
    """The store has another secret than the one this server was told."""
    node = cluster.primary()
    with changed(node, CONFIG, r"s/^(repo2-s3-key-secret=).*/\1another/"):
        yield "403"


@contextmanager
def changed(host: str, file: str, expression: str) -> Iterator[None]:
    """Have a file edited for a while; it stays the same file, with its owner and rights."""
    cluster.on(host, "cp", "-a", file, f"{file}.kept")
    cluster.on(host, "sed", "-E", "-i", expression, file)
    try:
        yield
    finally:
        cluster.on(host, "mv", f"{file}.kept", file)


@contextmanager
def repository_is_full() -> Iterator[str]:
    """The archive lies on a disk of its own for a while, which has no room for anything more."""
    aside = "/srv/aside"
    cluster.on(backups.STORE, "systemctl", "stop", SERVICE)
    cluster.on(backups.STORE, "mkdir", "-p", aside)
    cluster.on(backups.STORE, "cp", "-a", f"{REPOSITORY}/.", aside)
    cluster.on(backups.STORE, "mount", "-t", "tmpfs", "-o", "mode=0750", "tmpfs", REPOSITORY)
    cluster.on(backups.STORE, "sh", "-c", f"cp -a {aside}/. {REPOSITORY} && chown postgres: {REPOSITORY}")
    used = int(cluster.on(backups.STORE, "df", "--output=used", "-B1", REPOSITORY).split()[-1])
    cluster.on(backups.STORE, "mount", "-o", f"remount,size={used}", REPOSITORY)
    cluster.on(backups.STORE, "systemctl", "start", SERVICE)
    try:
        yield "No space left on device"
    finally:
        # More room is given, as an operator would, and everything gets there; only then is the disk exchanged again.
        cluster.on(backups.STORE, "mount", "-o", "remount,size=4g", REPOSITORY)
        backups.archived(backups.switch_wal(cluster.primary()), 120)
        cluster.on(backups.STORE, "systemctl", "stop", SERVICE)
        cluster.on(backups.STORE, "cp", "-a", f"{REPOSITORY}/.", aside)
        cluster.on(backups.STORE, "umount", REPOSITORY)
        cluster.on(backups.STORE, "sh", "-c", f"cp -a {aside}/. {REPOSITORY} && rm -r {aside}")
        cluster.on(backups.STORE, "systemctl", "start", SERVICE)


@contextmanager
def certificate_has_expired() -> Iterator[str]:
    """The repository host shows a certificate of the right authority and name, of last year."""
    host, key, old = backups.STORE, f"{TLS}/pgbackrest.key", f"{TLS}/pgbackrest.crt"
    signer = sorted(cluster.nodes())[0]
    request = cluster.on(host, "openssl", "req", "-new", "-key", key, "-subj", f"/CN={subject(host)}")
    # `openssl x509` cannot set dates before 3.4.
    script = (
        f"cd $(mktemp -d) && touch index && printf '%s\\n' {shlex.quote(request)} >request && cat >extensions <<'END'\n"
        f"[ca]\ndefault_ca = one\n[one]\ndatabase = index\nrand_serial = yes\npolicy = any\n[any]\ncommonName = supplied\n"
        f"[names]\nsubjectAltName={names(host)}\nextendedKeyUsage=serverAuth,clientAuth\nEND\n"
        f"openssl ca -batch -notext -config extensions -extensions names -md sha256 -in request -out out.crt -outdir . -cert {TLS}/ca.crt"
        f" -keyfile {backups.AUTHORITY_KEY} -startdate 20250101000000Z -enddate 20250201000000Z 2>/dev/null && cat out.crt"
    )
    expired = cluster.on(signer, "sh", "-c", script)
    cluster.on(host, "cp", "-a", old, f"{old}.kept")
    cluster.on(host, "sh", "-c", f"cat >{old} <<'END'\n{expired}\nEND")
    cluster.on(host, "systemctl", "restart", SERVICE)
    try:
        yield "certificate has expired"
    finally:
        cluster.on(host, "mv", f"{old}.kept", old)
        cluster.on(host, "systemctl", "restart", SERVICE)


def shown(host: str, *what: str) -> str:
    return cluster.on(host, "openssl", "x509", "-noout", *what, "-in", f"{TLS}/pgbackrest.crt")


def subject(host: str) -> str:
    return shown(host, "-subject", "-nameopt", "multiline").split("commonName")[1].strip(" =\n")


def names(host: str) -> str:
    return shown(host, "-ext", "subjectAltName").splitlines()[-1].strip().replace("IP Address", "IP")


FAULTS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "store down": store_is_down,
    "wrong secret": secret_is_wrong,
    "repository full": repository_is_full,
    "expired certificate": certificate_has_expired,
}


@pytest.mark.parametrize("fault", lab.few(FAULTS, "store down", "expired certificate"))
def test_wal_waits_for_its_repository_and_is_not_lost(fault: str, running: load.Load) -> None:
    node = cluster.primary()
    with FAULTS[fault]() as words:
        before = said(words)
        backups.switch_wal(node)
        cluster.until(lambda: said(words) > before, 90, f"the log says: {words}")
        until = time.monotonic() + LASTS.get(fault, 5.0)
        while time.monotonic() < until:
            backups.switch_wal(node)
            cluster.goes_on(running)
        queued = waiting()
        assert queued > 0
    took = backups.archived(backups.switch_wal(node), 180)
    cluster.until(lambda: waiting() == 0, 60, "nothing waits any more")
    print(f"\n{fault}: {queued} segments waited, all are in both repositories {took:.1f} s after its end")


@pytest.mark.usefixtures("running")
def test_a_backup_that_is_killed_leaves_the_next_one_nothing_to_do() -> None:
    before = {number: backups.labels(number) for number in backups.REPOSITORIES}
    cluster.on(backups.STORE, "systemctl", "start", "--no-block", "pgsteward-backup@full.service")
    lock = "pgbackrest.*--repo=1.* backup|pgbackrest backup.*--repo=1"
    cluster.until(lambda: cluster.on(backups.STORE, "pgrep", "-f", lock, check=False), 60, "a backup runs")
    cluster.on(backups.STORE, "systemctl", "kill", "--signal=SIGKILL", "pgsteward-backup@full.service")
    backups.idle()
    assert {number: backups.labels(number) for number in backups.REPOSITORIES} == before
    cluster.on(backups.STORE, "systemctl", "reset-failed", "pgsteward-backup@full.service", check=False)
    cluster.on(backups.STORE, "systemctl", "start", "pgsteward-backup@full.service")
    assert [one["status"]["code"] for one in backups.info()["repo"]] == [0, 0]
    for number in backups.REPOSITORIES:
        assert backups.labels(number)[-1] > before[number][-1]


def kill(host: str, pattern: str) -> int:
    """Kill the processes that a pattern names; return how many there were."""
    found = cluster.on(host, "pgrep", "-f", pattern, check=False).split()
    if found:
        cluster.on(host, "kill", "-9", *found, check=False)
    return len(found)


@lab.full_only
def test_an_upload_that_is_killed_is_done_again(running: load.Load) -> None:
    """The store is down, so that the upload is surely in the middle of something."""
    node = cluster.primary()
    for _round in range(5 if lab.FULL else 2):
        with backups.store_down():
            backups.switch_wal(node)
            killed = cluster.until(lambda: kill(node, "archive-push:async"), 30, "an upload")
            cluster.goes_on(running)
        took = backups.archived(backups.switch_wal(node), 120)
        print(f"\n{killed} processes of an upload killed; everything is there {took:.1f} s after the store's return")


@pytest.mark.usefixtures("running")
def test_a_restore_that_is_killed_can_be_done_again() -> None:
    host = sorted(cluster.followers())[0]
    restoring = restores.start(host, "pgbackrest_restore", **restores.BESIDE)
    cluster.until(lambda: kill(host, "pgbackrest .*restore"), 60, "pgbackrest restores")
    refused = restores.finish(restoring)
    assert "it was ended by SIGKILL" in refused["msg"], refused
    assert cluster.on(host, "ls", "-A", restores.BASE) == ""
    assert "\n" not in refused["msg"]
    assert cluster.followers() == set(cluster.nodes()) - {cluster.primary()}
    with restores.beside(host) as reached:
        assert "reached" in reached, reached


@lab.full_only
@pytest.mark.usefixtures("running")
def test_a_disk_that_is_full_in_the_middle_of_a_restore_is_named() -> None:
    """It has the room that was asked for, and then no entry left for another file."""
    host, small = sorted(cluster.followers())[0], "/mnt/few"
    cluster.on(host, "mkdir", "-p", small)
    cluster.on(host, "mount", "-t", "tmpfs", "-o", "size=2g,nr_inodes=300", "tmpfs", small)
    try:
        beside = {**restores.BESIDE, "beside": f"{small}/x"}
        refused = restores.module(host, "pgbackrest_restore", **beside)
        left = cluster.on(host, "ls", "-A", small)
    finally:
        cluster.on(host, "umount", small)
    assert "No space left on device" in refused["msg"], refused
    assert "\n" not in refused["msg"]
    assert left == ""


@pytest.mark.parametrize("repository", lab.few(backups.REPOSITORIES, 2))
def test_each_repository_has_every_row_that_was_acknowledged(repository: int, running: load.Load) -> None:
    """The clients have stopped by now; the same rows are asked of a server restored from each repository alone."""
    report = running.stop()
    assert report.write_errors == 0, report
    backups.archived(backups.switch_wal(cluster.primary()), 60)
    host = sorted(cluster.followers())[0]
    with restores.beside(host, repository=repository) as reached:
        assert "reached" in reached, reached
        found = restores.committed(host, report.run)
    missing = [
        (writer, one) for writer, ids in report.acknowledged.items() for one in ids - found.get(writer, frozenset())
    ]
    assert missing == []
    print(f"\nrepository {repository}: {report.commits} acknowledged commits of {report.seconds:.0f} s, none missing")
