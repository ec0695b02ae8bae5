"""WAL and base backups get into every repository, from the standby, and from nobody else's machine; and what is wrong is said in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import backups
import cluster
import lab
import pytest
import yaml
from backups import REPOSITORIES, STORE

SERVERS = ("bk1", "bk2")
HOSTS = (*SERVERS, STORE)
CONFIG = "/etc/pgbackrest.conf"
ARCHIVE = "/usr/local/lib/pgsteward/pgbackrest"


@pytest.fixture(scope="module", autouse=True)
def _first_backup() -> None:
    """The first full backup begins by itself, and the tests after it."""
    backups.idle()


def setting(name: str, node: str) -> str:
    return cluster.ask(node, f"SHOW {name}")


def repositories() -> list[dict[str, Any]]:
    """Return the repositories as the inventory has them, with their secrets."""
    given = yaml.safe_load((lab.INVENTORY.parent / "group_vars" / "all" / "pgbackrest.yml").read_text())
    first, second = given["pgbackrest_repositories"]
    store = given["s3_store"]
    filled = {
        "endpoint": store["endpoint"],
        "port": store["port"],
        "ca": store["ca"],
        "key": lab.password("s3_key"),
        "key_secret": lab.password("s3_key_secret"),
        "cipher_pass": lab.password("repository_pass"),
    }
    return [first, {**second, **filled}]


def digests(path: str = CONFIG) -> list[str]:
    """Return what tells whether the configuration of a host has changed."""
    return [cluster.on(host, "sha256sum", path) + cluster.on(host, "stat", "-c", "%y", path) for host in HOSTS]


def test_stanza_and_first_backup_are_in_both_repositories() -> None:
    found = backups.info()
    assert [(one["key"], one["status"]["code"]) for one in found["repo"]] == [(1, 0), (2, 0)]
    assert [one["cipher"] for one in found["repo"]] == ["none", "aes-256-cbc"]
    identifier = cluster.ask(cluster.primary(), "SELECT system_identifier FROM pg_control_system()")
    assert {str(one["system-id"]) for one in found["db"]} == {identifier}
    assert all(backups.labels(number) for number in REPOSITORIES)


def test_pgbackrest_itself_finds_nothing_wrong() -> None:
    backups.pgbackrest(STORE, "check")
    for server in SERVERS:
        assert [one["status"]["code"] for one in backups.info(server)["repo"]] == [0, 0]
    assert "completed successfully" in backups.pgbackrest(STORE, "check", "--log-level-console=info")


def test_wal_gets_there_in_seconds() -> None:
    primary = cluster.primary()
    segment = backups.switch_wal(primary)
    took = backups.archived(segment)
    print(f"a segment is in both repositories after {took:.1f} s")
    assert cluster.ask(primary, "SELECT failed_count FROM pg_stat_archiver") == "0"
    assert setting("archive_timeout", primary) == "1min"


@pytest.mark.parametrize("server", SERVERS)
def test_every_server_is_ready_to_be_primary(server: str) -> None:
    assert setting("archive_mode", server) == "on"
    assert setting("archive_command", server) == f"{ARCHIVE}/archive_push %p"
    assert setting("restore_command", server) == f"{ARCHIVE}/archive_get %f %p"
    assert cluster.on(server, "systemctl", "is-active", "pgsteward-pgbackrest-server") == "active"
    assert "pgsteward-backup" not in cluster.on(server, "systemctl", "list-timers", "--all", "--no-pager")


def test_the_timers_wait_on_the_repository_host() -> None:
    timers = json.loads(cluster.on(STORE, "systemctl", "list-timers", "--all", "--output=json", "pgsteward-backup-*"))
    assert {one["unit"]: one["activates"] for one in timers} == {
        "pgsteward-backup-full.timer": "pgsteward-backup@full.service",
        "pgsteward-backup-diff.timer": "pgsteward-backup@diff.service",
    }
    assert all(one["next"] for one in timers)
    shown = cluster.on(STORE, "systemctl", "show", "-PPersistent", "pgsteward-backup-full.timer")
    assert shown == "yes"


def test_the_timer_s_own_service_takes_a_full_backup_from_the_standby() -> None:
    before = {number: backups.labels(number) for number in REPOSITORIES}
    cluster.on(STORE, "systemctl", "start", "pgsteward-backup@full.service")
    assert cluster.on(STORE, "systemctl", "show", "-PResult", "pgsteward-backup@full.service") == "success"
    kept = backups.record()["repositories"]
    for number in REPOSITORIES:
        (label,) = set(backups.labels(number)) - set(before[number])
        entry = kept[str(number)]
        assert (entry["label"], entry["type"], entry["error"], entry["from_standby"]) == (label, "full", None, True)
        assert entry["last_good"]["label"] == label
        assert entry["bytes"] > 0
    journal = cluster.on(STORE, "journalctl", "-u", "pgsteward-backup@full", "-n", "8", "--no-pager", "-o", "cat")
    assert "read from a standby" in journal
    log = cluster.on(STORE, "cat", "/var/log/pgbackrest/lab-backup.log")
    assert "replay on the standby reached" in log


def test_retention_keeps_what_it_says() -> None:
    """Repository 2 keeps two full backups: a third one takes the first one's place."""
    while len(backups.labels(2)) < 2:
        cluster.on(STORE, "systemctl", "start", "pgsteward-backup@full.service")
    oldest, *_rest = backups.labels(2)
    cluster.on(STORE, "systemctl", "start", "pgsteward-backup@full.service")
    kept = backups.labels(2)
    assert len(kept) == 2
    assert oldest not in kept


def test_the_playbook_takes_one_now_and_says_what_it_took() -> None:
    ran = backups.play("pgsteward.postgres.backup", type="diff")
    assert ran.code == 0, ran.text
    for number in REPOSITORIES:
        label = backups.labels(number)[-1]
        assert label.endswith("D")
        assert label in ran.text
    assert re.search(r"seconds: \d+", ran.text)
    assert backups.record()["repositories"]["2"]["type"] == "diff"
    wrong = backups.play("pgsteward.postgres.backup", type="weekly")
    assert wrong.code != 0
    assert "pgbackrest_backup_type: weekly is none of full, diff, incr" in wrong.text


@lab.full_only
def test_a_repository_that_is_down_fails_the_run_and_not_the_other_backup() -> None:
    before = {number: backups.labels(number) for number in REPOSITORIES}
    with backups.store_down():
        cluster.on(STORE, "systemctl", "start", "pgsteward-backup@incr.service", check=False)
        assert cluster.on(STORE, "systemctl", "show", "-PResult", "pgsteward-backup@incr.service") == "exit-code"
    kept = backups.record()["repositories"]
    assert (kept["1"]["error"], kept["1"]["label"] in before[1]) == (None, False)
    assert "unable to connect" in kept["2"]["error"]
    assert kept["2"]["last_good"]["label"] in before[2]
    journal = cluster.on(STORE, "journalctl", "-u", "pgsteward-backup@incr", "-n", "20", "--no-pager", "-o", "cat")
    assert "repository 2: incr backup FAILED" in journal
    backups.archived(backups.switch_wal(cluster.primary()), 120)
    cluster.on(STORE, "systemctl", "start", "pgsteward-backup@incr.service")
    assert backups.record()["repositories"]["2"]["error"] is None


@contextmanager
def another_machine(node: str) -> Iterator[None]:
    """Make a server look like a copy of it: the same disk, another machine."""
    cluster.on(node, "sh", "-c", "echo 0123456789abcdef0123456789abcdef >/run/clone-id")
    cluster.on(node, "mount", "--bind", "/run/clone-id", "/etc/machine-id")
    try:
        yield
    finally:
        cluster.on(node, "umount", "/etc/machine-id")


def test_a_clone_pushes_nothing() -> None:
    primary = cluster.primary()
    with another_machine(primary):
        segment = backups.switch_wal(primary)
        failed = "SELECT last_failed_wal FROM pg_stat_archiver"
        cluster.until(lambda: cluster.ask(primary, failed) == segment, 30, "the clone is refused")
        assert all(backups.last_wal(number) < segment for number in REPOSITORIES)
        log = cluster.on(primary, "sh", "-c", "tail -n 30 /var/log/postgresql/*.log")
        assert "is a copy of the one that archives stanza lab" in log
    backups.archived(segment, 90)


def test_the_journal_warns_before_wal_is_let_go() -> None:
    primary, conf = cluster.primary(), f"{ARCHIVE}/archive.conf"
    before = cluster.on(primary, "cat", conf)
    cluster.on(primary, "rm", "-f", "/var/spool/pgbackrest/pgsteward-warned")
    cluster.on(primary, "sed", "-i", "s/^QUEUE_MAX=.*/QUEUE_MAX=134217728/", conf)
    try:
        with backups.store_down():
            for _segment in range(9):
                last = backups.switch_wal(primary)
            warned = ["journalctl", "-t", "pgsteward-archive", "--no-pager", "-o", "cat"]
            cluster.until(lambda: "bytes of WAL wait" in cluster.on(primary, *warned, check=False), 90, "a warning")
    finally:
        cluster.on(primary, "sh", "-c", f"cat >{conf} <<'END'\n{before}\nEND")
    backups.archived(last, 120)


def test_a_wrong_secret_is_named_before_anything_changes() -> None:
    before = digests()
    first, second = repositories()
    ran = backups.play(
        "pgsteward.postgres.site",
        "--tags=pgbackrest",
        pgbackrest_repositories=[first, {**second, "key_secret": "not the secret of this store"}],
    )
    assert ran.code != 0
    assert "repository 2 (pgsteward-store) cannot be read, and nothing was changed: the store refuses" in flat(ran.text)
    assert ran.changed == 0
    assert digests() == before


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"key_secret": ""}, "pgbackrest_repositories[1]: key_secret is empty: put it into the vault"),
        ({"offsite": False}, "pgbackrest_copies_rule: 3-2-1 wants a copy elsewhere"),
        ({"retention_full": 0}, "pgbackrest_repositories[1]: retention_full: 0 would remove everything"),
    ],
)
def test_inputs_that_are_wrong_are_one_line(change: dict[str, Any], line: str) -> None:
    first, second = repositories()
    variables = {"pgbackrest_repositories": [first, {**second, **change}]}
    ran = backups.play("pgsteward.postgres.site", "--tags=pgbackrest", **variables)
    assert ran.code != 0
    assert line in flat(ran.text)
    assert ran.changed == 0


def test_a_setting_that_pgbackrest_does_not_know_never_goes_live() -> None:
    before = digests()
    ran = backups.play("pgsteward.postgres.site", "--tags=pgbackrest", pgbackrest_settings={"proces-max": 4})
    assert ran.code != 0
    assert "pgBackRest refuses the new configuration" in flat(ran.text)
    assert "proces-max" in ran.text
    assert digests() == before


FOREIGN = f"""
set -eu
PATH=$PATH:/usr/lib/postgresql/{cluster.MAJOR}/bin
cd /tmp
rm -rf foreign foreign.conf
initdb -D foreign -A peer >/dev/null
echo "port = 5499
unix_socket_directories = '/tmp'
listen_addresses = ''" >>foreign/postgresql.conf
pg_ctl -D foreign -w -l foreign/log start >/dev/null
trap 'pg_ctl -D foreign -w -m immediate stop >/dev/null; rm -rf foreign foreign.conf' EXIT
(umask 077; sed '/^repo1/d; /^tls/d; /^\\[lab\\]/,$d' /etc/pgbackrest.conf >foreign.conf)
printf '[foreign]\\npg1-path=/tmp/foreign\\npg1-port=5499\\npg1-socket-path=/tmp\\n' >>foreign.conf
psql -XAtq -h /tmp -p 5499 -d postgres -c 'SELECT system_identifier FROM pg_control_system()'
pgbackrest --config=/tmp/foreign.conf --stanza=foreign stanza-create
"""


@lab.full_only
def test_the_archive_of_another_cluster_is_refused_with_both_identifiers() -> None:
    standby = next(node for node in SERVERS if node != cluster.primary())
    theirs = cluster.on(standby, "runuser", "-u", "postgres", "--", "sh", "-c", FOREIGN).split()[0]
    ours = cluster.ask(standby, "SELECT system_identifier FROM pg_control_system()")
    before = digests()
    ran = backups.play("pgsteward.postgres.site", "--tags=pgbackrest", pgbackrest_stanza="foreign")
    assert ran.code != 0
    words = f"repository 2: its archive belongs to the system identifier {theirs} (PostgreSQL {cluster.MAJOR}), this cluster is {ours}"
    assert words in flat(ran.text)
    assert ran.changed == 0
    assert digests() == before
    backups.archived(backups.switch_wal(cluster.primary()))


def flat(text: str) -> str:
    """Return a text without the line breaks and the quotes that the output of a run puts into messages."""
    return " ".join(text.replace("''", "'").split())


def test_the_account_of_backups_cannot_write() -> None:
    primary = cluster.primary()
    as_backup = ["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-U", "backup", "-v", "ON_ERROR_STOP=1"]
    assert cluster.on(primary, *as_backup, "-d", "postgres", "-c", "SELECT current_user") == "backup"
    for statement in (
        "CREATE TABLE t (i int)",
        "CREATE ROLE r",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ):
        refused = ["sh", "-c", '"$@" 2>&1 || true', "sh", *as_backup, "-d", "postgres", "-c", statement]
        assert re.search("permission denied|must be superuser", cluster.on(primary, *refused)), statement
    facts = "rolsuper OR rolreplication OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolpassword IS NOT NULL"
    assert cluster.ask(primary, f"SELECT {facts} FROM pg_authid WHERE rolname = 'backup'") == "f"
    assert cluster.ask(primary, "SELECT count(*) FROM pg_ident_file_mappings WHERE error IS NOT NULL") == "0"


@pytest.mark.parametrize("host", HOSTS)
def test_no_secret_is_where_somebody_else_could_read_it(host: str) -> None:
    assert cluster.on(host, "stat", "-c", "%U:%G %a", CONFIG) == "root:postgres 640"
    readable = (
        "{ find /etc /usr/local /var/log /var/lib/pgsteward /var/spool/pgbackrest /run/systemd -type f -perm -o=r -size -2M -print0 2>/dev/null"
        " | xargs -0 cat; cat /proc/[0-9]*/cmdline; journalctl --no-pager -q; cat /var/log/pgbackrest/*; }"
        " 2>/dev/null | LC_ALL=C tr -c '\\11\\12\\40-\\176' ' '"
    )
    seen = cluster.on(host, "sh", "-c", readable, check=False)
    assert "pgsteward" in seen
    for secret in backups.secrets():
        assert secret not in seen


def test_only_the_names_of_this_stanza_are_let_in() -> None:
    """A server's own certificate is signed by the same authority, and does not let anybody in."""
    tls = "/etc/pgsteward/tls"
    named = cluster.on("bk1", "pgbackrest", "version").split()[1] < "2.53"  # it verifies no addresses
    options = [
        "--config=/dev/null",
        f"--repo1-host={backups.STORE if named else cluster.address(backups.STORE)}",
        "--repo1-host-type=tls",
        f"--repo1-host-ca-file={tls}/ca.crt",
        f"--repo1-host-cert-file={tls}/server.crt",
        f"--repo1-host-key-file={tls}/server.key",
    ]
    command = [
        "sh",
        "-c",
        '"$@" 2>&1 || true',
        "sh",
        "runuser",
        "-u",
        "postgres",
        "--",
        "pgbackrest",
        "repo-ls",
        *options,
    ]
    assert "ERROR" in cluster.on("bk1", *command)
    other = [one.replace("server.", "pgbackrest.") for one in command]
    assert "access denied" in cluster.on("bk1", *other, "--stanza=another")
    assert "archive" in cluster.on("bk1", *other, "--stanza=lab")


@lab.full_only
def test_archive_and_backups_go_on_after_a_change_of_primary() -> None:
    former = cluster.primary()
    ran = cluster.play("switchover")
    assert ran.code == 0, ran.text
    new = cluster.primary()
    assert new != former
    print(f"clients waited for {ran.report.get('pause_seconds')} s")
    backups.archived(backups.switch_wal(new), 60)
    cluster.on(STORE, "systemctl", "start", "pgsteward-backup@incr.service")
    assert all(one["error"] is None and one["from_standby"] for one in backups.record()["repositories"].values())
    again = backups.play("pgsteward.postgres.site")
    assert (again.code, again.changed) == (0, 0), again.text
