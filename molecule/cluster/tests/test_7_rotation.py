"""Passwords and the authority are changed as the runbooks say, under load: nobody gets an error, and the old ones end."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import cluster
import lab
import plays
import psycopg

TLS = "/etc/pgsteward/tls"
pytestmark = lab.full_only


def renewed(*accounts: str) -> dict[str, str]:
    """Let the lab make new passwords at the next run, as an edit of the vault does; return the old ones."""
    old = {account: lab.password(account) for account in accounts}
    for account in accounts:
        (lab.STATE / "secrets" / account).unlink()
    return old


def by_hand(hosts: str, module: str, arguments: str) -> None:
    """Run one of the runbook's ad hoc commands."""
    command = ["ansible", "-i", str(lab.INVENTORY), "-b", hosts, "-m", f"ansible.builtin.{module}", "-a", arguments]
    subprocess.run(command, check=True, capture_output=True, cwd=lab.ROOT, env=plays.environment())


def served(pooler: str, **changes: str) -> bool:
    """Tell whether a new client of a pooler gets an answer."""
    try:
        with cluster.connect(pooler, cluster.WRITER, port=6432, prepare_threshold=None, **changes) as client:
            return client.execute("SELECT 1").fetchall() == [(1,)]
    except psycopg.OperationalError:
        return False


def test_the_passwords_of_replication_and_of_changes() -> None:
    old = renewed("replicator", "operations")
    with cluster.loaded() as running:
        run = cluster.play("site", "--tags", "pg_replica")
        cluster.goes_on(running)
        assert run.code == 0, run.text
        for node in sorted(cluster.followers()):
            cluster.ask(
                cluster.primary(),
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = '{node}'",
            )
            cluster.whole()
        # The operations account with its new password.
        change = cluster.play("switchover")
        cluster.goes_on(running)
        report = running.stop()
    assert change.code == 0, change.text
    assert (report.write_errors, report.read_errors) == (0, 0), report
    assert cluster.lost(report) == []
    cluster.whole()
    leading, node = cluster.primary(), sorted(cluster.followers())[0]
    for account, password in old.items():
        assert password != lab.password(account)
        login = f"host={cluster.address(leading)} user={account} dbname=postgres sslmode=require"
        asked = f"PGPASSWORD={shlex.quote(password)} psql -XAtqc 'SELECT 1' {shlex.quote(login)} 2>&1"
        assert "password authentication failed" in cluster.on(node, "sh", "-c", asked, check=False)
    again = cluster.play("site", "--tags", "pg_replica")
    assert plays.Played(again.code, again.text).changed == 0, again.text


def test_the_passwords_of_the_poolers() -> None:
    renewed("pgbouncer_lookup", "pooler_operations")
    with cluster.loaded() as running:
        run = cluster.play("site", "--tags", "pgbouncer")
        cluster.goes_on(running)
        assert run.code == 0, run.text
        assert all(served(pooler) for pooler in cluster.poolers())
        change = cluster.play("switchover")
        cluster.goes_on(running)
        report = running.stop()
    assert change.code == 0, change.text
    assert (report.write_errors, report.read_errors) == (0, 0), report
    assert cluster.lost(report) == []
    assert all(served(pooler) for pooler in cluster.poolers())
    cluster.whole()
    again = cluster.play("site", "--tags", "pgbouncer")
    assert plays.Played(again.code, again.text).changed == 0, again.text


def test_the_authority(tmp_path: Path) -> None:
    first, everybody = "node1", "postgres:pgbouncer"
    files = {name: tmp_path / f"{name}.crt" for name in ("old", "new", "old-first", "new-first")}
    request = (
        f"openssl req -x509 -new -key {TLS}/ca-next.key -sha256 -days 3650 -subj '/CN=lab certificate authority 2'"
        f" -addext keyUsage=critical,keyCertSign,cRLSign -out {TLS}/ca-next.crt"
    )
    by_hand(first, "command", f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {TLS}/ca-next.key")
    by_hand(first, "file", f"path={TLS}/ca-next.key mode=0600 owner=root")
    by_hand(first, "command", request)
    by_hand(first, "fetch", f"src={TLS}/ca.crt dest={files['old']} flat=true")
    by_hand(first, "fetch", f"src={TLS}/ca-next.crt dest={files['new']} flat=true")
    files["old-first"].write_text(files["old"].read_text() + files["new"].read_text())
    files["new-first"].write_text(files["new"].read_text() + files["old"].read_text())

    def step(trusted: str) -> None:
        by_hand(everybody, "copy", f"src={files[trusted]} dest={TLS}/ca.crt mode=0644")
        run = cluster.play("site")
        assert run.code == 0, run.text
        cluster.whole()

    def accepted(trusted: str) -> set[bool]:
        return {served(pooler, sslrootcert=str(files[trusted])) for pooler in cluster.poolers()}

    with cluster.loaded() as running:
        step("old-first")
        assert accepted("old") == {True}
        assert accepted("new") == {False}
        by_hand(first, "command", f"mv {TLS}/ca.key {TLS}/ca-old.key")
        by_hand(first, "command", f"mv {TLS}/ca-next.key {TLS}/ca.key")
        step("new-first")
        assert accepted("old-first") == accepted("new") == {True}
        assert accepted("old") == {False}
        step("new")
        by_hand(first, "command", f"rm {TLS}/ca-old.key {TLS}/ca-next.crt")
        assert accepted("new") == {True}
        cluster.goes_on(running)
        report = running.stop()
    assert (report.write_errors, report.read_errors) == (0, 0), report
    cluster.authority.cache_clear()
    assert cluster.lost(report) == []
    again = cluster.play("site")
    assert plays.Played(again.code, again.text).changed == 0, again.text
