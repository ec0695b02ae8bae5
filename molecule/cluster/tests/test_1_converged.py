"""What `site` has made of bare hosts: asked of the catalogs, over the network, and of the hosts' files."""

from __future__ import annotations

import re

import cluster
import lab
import psycopg
import pytest


def test_one_primary_and_everybody_follows_it() -> None:
    cluster.whole()


@pytest.mark.parametrize("node", cluster.nodes())
def test_every_node_can_be_either(node: str) -> None:
    settings = dict(
        line.split("|", 1)
        for line in cluster.ask(
            node,
            "SELECT name, setting FROM pg_settings WHERE name IN ('primary_conninfo', 'primary_slot_name', 'data_checksums',"
            " 'max_slot_wal_keep_size')",
        ).splitlines()
    )
    siblings = [cluster.address(other) for other in cluster.nodes() if other != node]
    assert all(address in settings["primary_conninfo"] for address in siblings)
    assert "target_session_attrs=read-write" in settings["primary_conninfo"]
    assert "sslmode=verify-full" in settings["primary_conninfo"]
    assert "password" not in settings["primary_conninfo"]
    assert settings["primary_slot_name"] == f"pgsteward_{node}"
    assert settings["data_checksums"] == "on"
    assert cluster.on(node, "cat", f"{cluster.DATA}/postgresql.auto.conf").count("primary_conninfo") == 0
    assert cluster.on(node, "stat", "-c", "%U %a", "/etc/pgsteward/replication.pass") == "postgres 600"


@pytest.mark.parametrize("node", cluster.nodes())
def test_slots_keep_wal_on_the_primary_only(node: str) -> None:
    slots = dict(
        line.split("|")
        for line in cluster.ask(
            node, "SELECT slot_name, restart_lsn IS NOT NULL FROM pg_replication_slots"
        ).splitlines()
    )
    kept = "t" if node == cluster.primary() else "f"
    assert slots == {f"pgsteward_{other}": kept for other in cluster.nodes() if other != node}


def test_replication_is_over_tls() -> None:
    query = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_replication USING (pid) WHERE ssl"
    assert cluster.ask(cluster.primary(), query) == str(len(cluster.nodes()) - 1)


def test_the_operations_account_can_promote_and_nothing_else() -> None:
    query = (
        "SELECT has_function_privilege('operations', 'pg_promote(boolean,integer)', 'execute'),"
        " has_function_privilege('operations', 'pg_reload_conf()', 'execute'),"
        " has_function_privilege('operations', 'pg_read_file(text)', 'execute'),"
        " (SELECT rolsuper OR rolreplication OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = 'operations'),"
        " (SELECT string_agg(r.rolname, ' ' ORDER BY r.rolname) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid"
        "  JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = 'operations')"
    )
    assert cluster.ask(cluster.primary(), query) == "t|t|f|f|pg_checkpoint pg_monitor"


def test_nobody_but_the_cluster_may_use_its_accounts() -> None:
    for user in ("operations", "replicator"):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            cluster.connect(cluster.primary(), user, "postgres")


@pytest.mark.parametrize("pooler", cluster.poolers())
def test_poolers_lead_to_the_primary_and_to_standbys(pooler: str) -> None:
    for database, standby in ((cluster.DATABASE, False), (f"{cluster.DATABASE}_ro", True)):
        with cluster.connect(pooler, cluster.WRITER, database, port=6432, prepare_threshold=None) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (standby,)
            assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize("pooler", cluster.poolers())
def test_poolers_know_two_accounts(pooler: str) -> None:
    names = re.findall(r'^"([^"]+)"', cluster.on(pooler, "cat", "/etc/pgbouncer/userlist.txt"), re.MULTILINE)
    assert sorted(names) == ["pgbouncer_lookup", "pooler_operations"]
    assert lab.password("pooler_operations") not in cluster.on(pooler, "cat", "/etc/pgbouncer/userlist.txt")


def test_no_secret_is_in_a_process_list_or_a_journal() -> None:
    for host in (*cluster.nodes(), *cluster.poolers()):
        seen = cluster.on(host, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl --no-pager -q")
        for account in ("replicator", "operations", "pgbouncer_lookup", "pooler_operations", "powergym_app"):
            assert lab.password(account) not in seen, (host, account)
