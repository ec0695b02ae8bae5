"""The poolers beside the servers, PgBouncer 1.18, 1.24 and 1.26: who gets in, who does not, and what clients notice of changes."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import lab
import plays
import psycopg
import pytest

PORT = 6432
CLIENTS, POOL = 2000, 20
HOSTS = list(lab.hosts("postgres"))
CARRIES = {"debian12": (1, 18), "debian13": (1, 24), "debian14": (1, 26)}
NOBODY = "10.213.77.250"  # an address of the lab's network that no host has


# A run of the role takes its seconds: CI takes the oldest version, or that and the newest.
on_the_oldest = pytest.mark.parametrize("server", lab.few(HOSTS, "db12"))
on_the_outermost = pytest.mark.parametrize("server", lab.few(HOSTS, "db12", "db14"))


def carried(host: str) -> tuple[int, int]:
    """Return the version of PgBouncer that a host's distribution carries."""
    return CARRIES[lab.hosts("postgres")[host]["lab_image"]]


def through(user: str, database: str, host: str, **changes: Any) -> psycopg.Connection[Any]:
    """Return a connection through the host's pooler, autocommit, without prepared statements unless asked for."""
    return lab.connect(user, database, host, **{"port": PORT, "prepare_threshold": None, **changes})


def console(host: str, command: str) -> str:
    """Return what the admin console answers, asked by the host's own psql over the Unix socket."""
    login = ("-h", "/run/pgbouncer", "-p", str(PORT), "-U", "pgbouncer", "-d", "pgbouncer")
    return lab.run_on(host, "psql", "-XAq", "-F", "\t", "-P", "footer=off", *login, "-c", command)


def show(host: str, what: str) -> list[dict[str, str]]:
    """Return the rows of SHOW by column."""
    names, *rows = [line.split("\t") for line in console(host, f"SHOW {what}").splitlines()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def process(host: str) -> str:
    """Return the process number of the running pooler."""
    return lab.run_on(host, "systemctl", "show", "pgbouncer", "--property=MainPID", "--value", user="root").strip()


def converge(host: str, *options: str, **variables: Any) -> plays.Played:
    """Run the role on one host."""
    return plays.play(plays.SITE, "--tags", "pgbouncer", *options, host=host, variables=variables or None)


def admin(host: str, *options: str, **arguments: Any) -> dict[str, Any]:
    """Run the module pgbouncer_admin on the host as the account that runs the pooler."""
    who = ["--become", "--become-user", "postgres", "--extra-vars", "ansible_remote_tmp=/tmp", *options]
    command = [
        "ansible",
        "-i",
        str(lab.INVENTORY),
        host,
        *who,
        "--one-line",
        "-m",
        "pgsteward.postgres.pgbouncer_admin",
    ]
    environment = {**os.environ, **plays.PLAIN, **{name: str(lab.ROOT / path) for name, path in plays.PATHS.items()}}
    run = subprocess.run(
        [*command, "-a", json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=lab.ROOT,
        env=environment,
    )
    assert "{" in run.stdout, run.stdout + run.stderr
    return dict(json.loads(run.stdout[run.stdout.index("{") :]))


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition; fail when it does not come."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds} s"
        time.sleep(0.05)


def paused(host: str) -> list[str]:
    """Return the entries that are paused."""
    return sorted(row["name"] for row in show(host, "DATABASES") if str(row["paused"]) == "1")


@contextmanager
def account(host: str, options: str) -> Iterator[str]:
    """Give a role on the server that poolers may bring, with a password of its own."""
    lab.psql("powergym", "DROP ROLE IF EXISTS lab_pooled", host)
    lab.psql("powergym", f"CREATE ROLE lab_pooled LOGIN PASSWORD 'correct horse' {options}", host)
    lab.psql("powergym", "GRANT CONNECT ON DATABASE powergym TO lab_pooled", host)
    try:
        yield "lab_pooled"
    finally:
        lab.psql("powergym", "REVOKE ALL ON DATABASE powergym FROM lab_pooled", host)
        lab.psql("powergym", "DROP ROLE lab_pooled", host)


@pytest.mark.parametrize("entry", ["powergym", "powergym_ro"])
def test_clients_reach_the_server_with_scram_and_verified_tls(server: str, entry: str) -> None:
    with through("powergym_app", entry, server) as connection:
        [row] = connection.execute(
            "SELECT current_user, current_database(), host(inet_client_addr()), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchall()
    assert row == ("powergym_app", "powergym", lab.address(server), True)


def test_the_version_is_the_one_that_the_distribution_carries(server: str) -> None:
    answer = admin(server, command="show", what="version")
    assert answer["rows"][0]["version"].startswith("PgBouncer {}.{}.".format(*carried(server)))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong password": ({"password": "wrong"}, "authentication failed|no such user"),
    "an empty password": ({"password": ""}, "no password|authentication failed|no such user"),
    "an unknown account": ({"user": "nobody_at_all", "password": "x"}, "authentication failed|no such user"),
    "SQL for a name": ({"user": "x'; DROP TABLE users; --", "password": "x"}, "authentication failed|no such user"),
    "SQL that would find an account": (
        {"user": "powergym_app' OR '1'='1", "password": "x"},
        "authentication failed|no such user",
    ),
    "a name with quotes and backslashes": (
        {"user": '"\\powergym_app\\"', "password": "x"},
        "authentication failed|no such user",
    ),
    "no TLS": ({"sslmode": "disable"}, "SSL required"),
    "a superuser with its password": ({"user": "pgsteward_test"}, "authentication failed|no such user"),
    "the lookup account": (
        {"user": "pgbouncer_lookup"},
        "login rejected|no authentication|authentication failed|no such user",
    ),
    "the operations account to a database": (
        {"user": "pooler_operations"},
        "login rejected|no authentication|authentication failed|no such user",
    ),
    "an account of the server to the console": (
        {"dbname": "pgbouncer"},
        "not allowed|login rejected|authentication failed|no such user",
    ),
    "an unknown account to the console": (
        {"user": "nobody_at_all", "password": "x", "dbname": "pgbouncer"},
        "not allowed|login rejected|authentication failed|no such user",
    ),
    "a database that has no entry": (
        {"dbname": "postgres"},
        "no such database|login rejected|no authentication|authentication failed|no such user",
    ),
    "options before the login": ({"user": "nobody_at_all", "password": "x", "options": "-c="}, "."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_refused_and_the_pooler_goes_on(server: str, case: str) -> None:
    changes, message = REFUSED[case]
    before = process(server)
    user = changes.get("user", "powergym_app")
    with pytest.raises(psycopg.OperationalError, match=message):
        through(
            user,
            changes.get("dbname", "powergym"),
            server,
            **{k: v for k, v in changes.items() if k not in ("user", "dbname")},
        )
    with through("powergym_app", "powergym", server) as connection:
        connection.execute("SELECT 1")
    assert process(server) == before


def from_host(container: str, server: str, user: str, database: str) -> str:
    """Return what psql says on a host of the lab; the password goes over stdin."""
    script = 'read -r PGPASSWORD; export PGPASSWORD; exec psql -XAtw -c "SHOW VERSION" "$1"'
    target = f"host={lab.address(server)} port={PORT} user={user} dbname={database} sslmode=require"
    command = ["docker", "exec", "-i", f"pgsteward-{container}", "sh", "-c", script, "sh", target]
    run = subprocess.run(command, input=lab.password(user) + "\n", capture_output=True, text=True, check=False)
    return run.stdout + run.stderr


def test_the_operations_account_enters_the_console_from_its_hosts_only(server: str) -> None:
    assert "PgBouncer 1" in from_host(server, server, "pooler_operations", "pgbouncer")
    assert "FATAL" in from_host("client1", server, "pooler_operations", "pgbouncer")
    with pytest.raises(psycopg.OperationalError, match=r"login rejected|authentication|not allowed"):
        through("pooler_operations", "pgbouncer", server)


def test_from_another_address_no_client_gets_in(server: str) -> None:
    assert "FATAL" in from_host("client1", server, "powergym_app", "powergym")


@pytest.mark.parametrize(
    ("options", "enters"),
    [("VALID UNTIL '2001-01-01'", False), ("VALID UNTIL 'infinity'", True), ("REPLICATION", False)],
)
def test_a_password_is_good_until_its_end_and_not_for_every_kind_of_role(
    server: str, options: str, enters: bool
) -> None:
    with account(server, options) as user:
        if enters:
            with through(user, "powergym", server, password="correct horse") as connection:
                assert connection.execute("SELECT current_user").fetchone() == (user,)
        else:
            with pytest.raises(psycopg.OperationalError, match=r"authentication failed|no such user"):
                through(user, "powergym", server, password="correct horse")


def test_the_lookup_account_reads_verifiers_and_nothing_else(server: str) -> None:
    ask = "SET ROLE pgbouncer_lookup; SELECT count(*) FROM pgsteward_pooler.user_lookup('{}')"
    counts = {
        name: lab.psql("powergym", ask.format(name), server)[-1][0]
        for name in ("powergym_app", "pgsteward_test", "postgres")
    }
    assert counts == {"powergym_app": "1", "pgsteward_test": "0", "postgres": "0"}
    for denied in ("SELECT * FROM pg_authid", "SELECT * FROM users"):
        with pytest.raises(subprocess.CalledProcessError):
            lab.psql("powergym", f"SET ROLE pgbouncer_lookup; {denied}", server)
    with pytest.raises(subprocess.CalledProcessError):
        lab.psql(
            "powergym", "SET ROLE powergym_owner; SELECT * FROM pgsteward_pooler.user_lookup('powergym_app')", server
        )


def test_prepared_statements(server: str) -> None:
    """Another client takes the server connection that knows the statement."""

    def prepared() -> None:
        with (
            through("powergym_app", "powergym", server, prepare_threshold=0) as one,
            through("powergym_app", "powergym", server) as other,
        ):
            one.execute("SELECT count(*) FROM users WHERE username = %s", ("nobody",))
            with other.transaction():
                other.execute("SELECT 1")
                one.execute("SELECT count(*) FROM users WHERE username = %s", ("nobody",))

    if carried(server) >= (1, 21):
        prepared()
    else:
        with pytest.raises(psycopg.errors.InvalidSqlStatementName, match="does not exist"):
            prepared()


@on_the_outermost
def test_pause_and_resume_are_idempotent(server: str) -> None:
    assert admin(server, "--check", command="pause")["entries"] == ["powergym", "powergym_ro"]
    assert paused(server) == []
    assert admin(server, command="pause", database="powergym")["changed"] is True
    assert paused(server) == ["powergym"]
    assert admin(server, command="pause", database="powergym")["changed"] is False
    with through("powergym_app", "powergym_ro", server) as connection:  # the other entry is served
        connection.execute("SELECT 1")
    assert admin(server, command="resume")["entries"] == ["powergym"]
    assert paused(server) == []
    assert admin(server, command="resume")["changed"] is False
    assert "there is no entry shop" in admin(server, command="pause", database="shop")["msg"]


def test_a_pause_that_is_late_is_taken_back(server: str) -> None:
    with through("powergym_app", "powergym", server) as connection, connection.transaction():
        connection.execute("SELECT 1")
        answer = admin(server, command="pause", timeout=0.5)
        assert "powergym is not paused within 0.5 s: a transaction is open; what was paused is resumed" in answer["msg"]
        assert paused(server) == []
    with through("powergym_app", "powergym", server) as connection:
        connection.execute("SELECT 1")


@on_the_oldest
def test_a_second_run_changes_nothing(server: str) -> None:
    for options in lab.few([(), ("--check",)], ("--check",)):  # the step idempotence is the other
        run = converge(server, *options)
        assert (run.code, run.changed) == (0, 0), run.text


@on_the_oldest
def test_a_change_is_taken_over_without_dropping_a_client(server: str) -> None:
    before = process(server)
    with through("powergym_app", "powergym", server) as connection:
        (backend,) = connection.execute("SELECT 1").fetchone() or ()
        run = converge(server, pgbouncer_settings={"query_wait_timeout": 55})
        assert run.code == 0, run.text
        values = {row["key"]: row["value"] for row in show(server, "CONFIG")}
        assert float(values["query_wait_timeout"]) == 55
        assert converge(server).changed > 0
        assert connection.execute("SELECT 1").fetchone() == (backend,)
    assert process(server) == before


BROKEN: dict[str, Any] = {
    "max_packet_size": "huge",
    "pool_mode": "sometimes",
    "transaction_timeout": 5,  # known from 1.25 on
}


@on_the_oldest
@pytest.mark.parametrize("name", lab.few(BROKEN, "max_packet_size"))
def test_a_broken_file_never_goes_live(server: str, name: str) -> None:
    if name == "transaction_timeout" and carried(server) >= (1, 25):
        pytest.skip("this version has the setting")
    before = (
        lab.run_on(server, "sha256sum", "/etc/pgbouncer/pgbouncer.ini", "/etc/pgbouncer/databases.ini", user="root"),
        process(server),
    )
    run = converge(server, pgbouncer_settings={name: BROKEN[name]})
    assert run.code != 0
    assert "PgBouncer refuses the new files" in run.text
    assert name in run.text
    after = (
        lab.run_on(server, "sha256sum", "/etc/pgbouncer/pgbouncer.ini", "/etc/pgbouncer/databases.ini", user="root"),
        process(server),
    )
    assert after == before


@on_the_oldest
def test_what_needs_a_restart_waits_for_leave(server: str) -> None:
    before = process(server)
    run = converge(server, pgbouncer_settings={"listen_backlog": 256})
    assert run.code == 0, run.text
    assert "listen_backlog takes effect at a restart" in run.text
    assert process(server) == before
    run = converge(server, pgbouncer_settings={"listen_backlog": 256}, pgbouncer_restart_allowed=True)
    assert run.code == 0, run.text
    assert process(server) != before
    assert {row["key"]: row["value"] for row in show(server, "CONFIG")}["listen_backlog"] == "256"
    assert converge(server, pgbouncer_restart_allowed=True).code == 0
    if lab.FULL:
        assert converge(server).changed == 0


def test_a_restart_under_clients_ends_them_and_serves_new_ones(server: str) -> None:
    connections = [through("powergym_app", "powergym", server) for _ in range(10)]
    for connection in connections:
        connection.execute("SELECT 1")
    lab.run_on(server, "systemctl", "kill", "--signal=SIGKILL", "pgbouncer", user="root")  # the unit starts it again

    def serves() -> bool:
        try:
            with through("powergym_app", "powergym", server) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    until(serves)
    for connection in connections:
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()


def test_no_secret_shows(server: str) -> None:
    secrets = [lab.password(user) for user in ("pgbouncer_lookup", "pooler_operations", "powergym_app")]
    seen = lab.run_on(server, "ps", "axww", user="root")
    seen += lab.run_on(server, "journalctl", "--no-pager", "--output=cat", user="root")
    seen += lab.run_on(server, "sh", "-c", "cat /var/log/postgresql/*.log", user="root")
    assert len(seen) > 1000
    assert [secret for secret in secrets if secret in seen] == []
    modes = lab.run_on(server, "stat", "--format=%a %U %G", "/etc/pgbouncer/userlist.txt", user="root").strip()
    assert modes == "640 root postgres"
    held = lab.run_on(server, "cat", "/etc/pgbouncer/userlist.txt", user="root")
    assert re.findall(r'^"(\w+)" "(SCRAM-SHA-256\$|\w)', held, re.MULTILINE) == [
        ("pgbouncer_lookup", secrets[0][0]),
        ("pooler_operations", "SCRAM-SHA-256$"),
    ]


def forgotten_pause(host: str) -> None:
    """Pause an entry, as a change of primary does."""
    console(host, "PAUSE powergym")
    assert paused(host) == ["powergym"]


def test_a_forgotten_pause_is_ended_by_the_armed_timer(server: str) -> None:
    forgotten_pause(server)
    script = "/usr/local/lib/pgsteward/pooler_resume"
    lab.run_on(
        server,
        "systemd-run",
        "--on-active=1",
        "--collect",
        "--timer-property=AccuracySec=100ms",
        "--unit=pgsteward-resume-test",
        script,
        user="root",
    )
    until(lambda: paused(server) == [])
    assert lab.run_on(server, script, user="root").strip() == "nothing is paused: nothing to do"


@on_the_oldest
def test_the_armed_resume_puts_the_former_entries_back_when_their_primary_takes_writes(server: str) -> None:
    live, former = "/etc/pgbouncer/databases.ini", "/etc/pgbouncer/databases.ini.former"
    right = lab.run_on(server, "cat", live, user="root")
    lab.run_on(server, "cp", "-p", live, former, user="root")
    lab.run_on(server, "sed", "-i", f"s/host={lab.address(server)} /host={NOBODY} /", live, user="root")
    lab.run_on(server, "chgrp", "postgres", live, user="root")
    try:
        forgotten_pause(server)
        console(server, "RELOAD")
        said = lab.run_on(server, "/usr/local/lib/pgsteward/pooler_resume", user="root")
        assert f"{lab.address(server)} takes writes: the former databases.ini is back in place" in said
        assert lab.run_on(server, "cat", live, user="root") == right
        assert paused(server) == []
        with through("powergym_app", "powergym", server) as connection:
            connection.execute("SELECT 1")
    finally:
        lab.run_on(server, "rm", "-f", former, user="root")
    assert converge(server).changed <= 1  # the files are younger than the last reload of the role
    if lab.FULL:
        assert converge(server).changed == 0


@pytest.mark.parametrize("host", lab.few(HOSTS, "db1"))
def test_two_thousand_clients_share_twenty_server_connections(host: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * CLIENTS)), hard))
    lab.authority(host)
    with ThreadPoolExecutor(16) as threads:
        connections = list(
            threads.map(lambda _: through("powergym_app", "powergym", host, connect_timeout=60), range(CLIENTS))
        )
        try:
            answers = list(
                threads.map(
                    lambda one: one.execute("SELECT pg_backend_pid(), pg_sleep(0.01)").fetchone()[0], connections
                )
            )
            [[backends]] = lab.psql(
                "powergym", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'powergym_app'", host
            )
            pools = [
                row for row in show(host, "POOLS") if row["user"] == "powergym_app" and row["database"] == "powergym"
            ]
        finally:
            list(threads.map(lambda one: one.close(), connections))
    assert len(answers) == CLIENTS
    assert len(set(answers)) <= POOL
    assert int(backends) <= POOL
    assert sum(int(pool["cl_active"]) for pool in pools) == CLIENTS
