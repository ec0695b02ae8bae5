"""schema_info where no primary of its own answers: through a pooler in each mode, and on a standby. Run by Ansible on the host."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import lab
import plays
import pytest

POOLER = "/var/tmp/pooler"  # noqa: S108 - on a host of the lab
CLUSTER = "/var/tmp/pair"  # noqa: S108
PAIR = ("primary", "standby")


def shell(host: str, script: str, user: str = "postgres") -> str:
    """Return what a script prints on a host."""
    return lab.run_on(host, "sh", "-euc", script, user=user)


def schema_info(host: str, **options: Any) -> dict[str, Any]:
    """Return the result of the module on a host."""
    return plays.module("pgsteward.postgres.schema_info", host, **options)


@pytest.fixture(scope="module")
def pooler(server: str) -> Iterator[dict[str, str]]:
    """Run a PgBouncer on the host for each mode; return the directory of each mode's socket."""
    shell(
        server,
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qq install -y pgbouncer >/dev/null; systemctl stop pgbouncer",
        "root",
    )
    directories = {mode: f"{POOLER}/{mode}" for mode in ("transaction", "session", "statement")}
    try:
        for mode, directory in directories.items():
            settings = textwrap.dedent(
                f"""\
                [databases]
                * = host=/var/run/postgresql
                [pgbouncer]
                listen_addr =
                unix_socket_dir = {directory}
                listen_port = 6432
                auth_type = hba
                auth_hba_file = {directory}/hba
                auth_file = {directory}/users
                pool_mode = {mode}
                logfile = {directory}/log
                pidfile = {directory}/pid
                """
            )
            shell(server, f"mkdir -p {directory}; cat > {directory}/ini <<'EOF'\n{settings}EOF")
            shell(server, f"echo 'local all all peer' > {directory}/hba; echo '\"postgres\" \"\"' > {directory}/users")
            shell(server, f"pgbouncer -q -d {directory}/ini 2>&1")
        yield directories
    finally:
        for directory in directories.values():
            shell(server, f"test ! -e {directory}/pid || kill $(cat {directory}/pid)")
        shell(server, f"rm -rf {POOLER}")


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_may_stand_between(server: str, pooler: dict[str, str], mode: str) -> None:
    direct = schema_info(server, login_db="powergym")
    pooled = schema_info(server, login_db="powergym", login_unix_socket=pooler[mode], login_port=6432)
    assert "msg" not in pooled, pooled
    assert pooled["fingerprint"] == direct["fingerprint"]
    assert (direct["pooled"], pooled["pooled"]) == (False, True)


def test_a_pooler_that_tears_transactions_apart_is_refused(server: str, pooler: dict[str, str]) -> None:
    refused = schema_info(server, login_db="powergym", login_unix_socket=pooler["statement"], login_port=6432)
    assert refused["msg"] == (
        f"host {pooler['statement']} port 6432 database powergym user of that name is a connection pooler in statement mode, through which"
        " nothing can be read at one moment: give the server's own address, or a pool in transaction or session mode"
    )


@pytest.fixture(scope="module")
def pair(server: str) -> Iterator[dict[str, int]]:
    """Run a primary and its standby on the host, for this test only; return their ports."""
    binaries = f"/usr/lib/postgresql/{lab.version(server)}/bin"
    ports = dict(zip(PAIR, (6001, 6002), strict=True))

    def start(name: str) -> str:
        options = f"-p {ports[name]} -k {CLUSTER} -c listen_addresses= -c shared_buffers=16MB"
        return f"{binaries}/pg_ctl start -w -s -D {CLUSTER}/{name} -l {CLUSTER}/{name}.log -o '{options}'"

    try:
        shell(
            server,
            f"mkdir -m 700 {CLUSTER}; {binaries}/initdb -A peer -N -D {CLUSTER}/primary >/dev/null; {start('primary')}",
        )
        query = "CREATE TABLE t (id int PRIMARY KEY, note text DEFAULT 'x'); CREATE INDEX ON t (note)"
        shell(server, f'psql -XAtq -h {CLUSTER} -p 6001 -c "{query}"')
        shell(
            server,
            f"{binaries}/pg_basebackup -h {CLUSTER} -p 6001 -D {CLUSTER}/standby -R -X stream -c fast; {start('standby')}",
        )
        yield ports
    finally:
        for name in reversed(PAIR):
            shell(
                server,
                f"test ! -e {CLUSTER}/{name}/postmaster.pid || {binaries}/pg_ctl stop -s -m immediate -D {CLUSTER}/{name}",
            )
        shell(server, f"rm -rf {CLUSTER}")


def test_a_standby_answers_as_its_primary_does(server: str, pair: dict[str, int]) -> None:
    primary, standby = (
        schema_info(server, login_db="postgres", login_unix_socket=CLUSTER, login_port=pair[name]) for name in PAIR
    )
    assert "msg" not in standby, standby
    assert (primary["standby"], standby["standby"]) == (False, True)
    assert primary["objects"]["table"] == 1
    assert standby["fingerprint"] == primary["fingerprint"]
