"""The hosts are measured: every figure that an alert rests on is really there, under this release's exporters; nobody gets at them who should not."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cluster
import lab
import plays
import psycopg
import pytest
import rule_cases
import yaml

HOST = next(iter(lab.hosts("postgres")))
ADDRESS = cluster.address(HOST)
EXPORTERS = {"postgres": 9187, "node": 9100}
RULES: list[dict[str, Any]] = yaml.safe_load(rule_cases.RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
# Only a standby has it of itself; that it is right is a matter of the unit tests.
ELSEWHERE = {"pgsteward_standby_streaming"}
TEXTFILES = "/var/lib/prometheus/node-exporter"


def tls() -> ssl.SSLContext:
    """Return what trusts the authority of the cluster and nobody else."""
    return ssl.create_default_context(cadata=cluster.on(HOST, "cat", "/etc/pgsteward/tls/ca.crt"))


def scrape(exporter: str) -> str:
    """Return what an exporter says to somebody of the network."""
    with urllib.request.urlopen(
        f"https://{ADDRESS}:{EXPORTERS[exporter]}/metrics", context=tls(), timeout=20
    ) as answer:
        return str(answer.read().decode())


def figures(text: str) -> dict[str, float]:
    """Return what was scraped: series -> value."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def looked() -> dict[str, float]:
    """Have the host looked at now; return its own figures."""
    cluster.on(HOST, "systemctl", "start", "pgsteward-monitor")
    return {name: value for name, value in figures(scrape("node")).items() if name.startswith("pgsteward_")}


def prometheus(path: str) -> Any:
    """Return what Prometheus answers."""
    return json.loads(cluster.on(HOST, "python3", "-c", ASK, f"http://127.0.0.1:9090/api/v1/{path}"))["data"]


READY = "http://127.0.0.1:9090/-/ready"
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


@contextmanager
def pooled() -> Iterator[psycopg.Connection[Any]]:
    """Be a client of the pooler."""
    with psycopg.connect(cluster.url(HOST), autocommit=True) as connection:
        yield connection


@contextmanager
def followed() -> Iterator[None]:
    """Have a standby follow the primary, on the same host, with a slot."""
    binaries, directory = f"/usr/lib/postgresql/{cluster.MAJOR}/bin", "/var/lib/postgresql/follower"
    config = f"/etc/postgresql/{cluster.MAJOR}/main"
    as_server = ["runuser", "-u", "postgres", "--"]
    given = {
        "config_file": f"{config}/postgresql.conf", "data_directory": directory, "hba_file": f"{config}/pg_hba.conf", "port": 5444,
        "unix_socket_directories": directory, "external_pid_file": "", "archive_mode": "off", "listen_addresses": "",
    }  # fmt: skip
    options = " ".join(f"-c {name}='{value}'" for name, value in given.items())
    control = [*as_server, f"{binaries}/pg_ctl", "-s", "-w", "-D", directory]
    streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL"
    cluster.on(
        HOST, *as_server, f"{binaries}/pg_basebackup", "-D", directory, "-R", "-C", "-S", "follower", "-c", "fast"
    )
    try:
        cluster.on(HOST, *control, "-o", options, "-l", f"{directory}/log", "start")
        cluster.until(lambda: cluster.ask(HOST, streams) == "1", 20, "somebody follows")
        yield
    finally:
        cluster.on(HOST, *control, "-m", "immediate", "stop", check=False)
        cluster.on(HOST, "rm", "-rf", directory)
        cluster.until(
            lambda: cluster.ask(HOST, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots") == "",
            10,
            "it is gone",
        )


@contextmanager
def blocked() -> Iterator[None]:
    """Have one session wait for another."""
    wait = ["runuser", "-u", "postgres", "--", "psql", "-XAtqc", "SELECT pg_advisory_lock(7)", cluster.DATABASE]
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with cluster.connect(HOST, "pgsteward_test") as holder:
        holder.execute("SELECT pg_advisory_lock(7)")
        waiting = subprocess.Popen(["docker", "exec", f"pgsteward-{HOST}", *wait])
        try:
            cluster.until(lambda: cluster.ask(HOST, waits) == "1", 20, "somebody waits")
            yield
        finally:
            holder.execute("SELECT pg_advisory_unlock(7)")
            waiting.wait(timeout=20)


@pytest.fixture(scope="module")
def everything() -> set[str]:
    """Return the names of all figures of a host on which everything happens that there are figures of."""
    info = ("runuser", "-u", "postgres", "--", "pgbackrest", "info", "--output=json")  # 2.60 does not run as root
    cluster.until(lambda: '"label"' in cluster.on(HOST, *info), 120, "the first backup")
    for unit in ("dumps", "maintain@vacuum:powergym", "restore-drill@scheduled", "dumps-drill@scheduled"):
        cluster.on(HOST, "systemctl", "start", f"pgsteward-{unit}.service", check=False)
    status = cluster.play("status", fail_on="never")
    assert status.code == 0, status.text
    cluster.on(HOST, "rm", "-f", "/var/lib/pgsteward/monitor/repositories.json")
    with pooled() as client, followed(), blocked():
        client.execute("SELECT 1")
        looked()
        return {name.partition("{")[0] for exporter in EXPORTERS for name in figures(scrape(exporter))}


def metrics(rule: dict[str, Any]) -> set[str]:
    """Return the figures that an alert rests on; `up` is made by Prometheus itself."""
    return set(re.findall(r"\b(?:pgsteward|pg|node)_[a-z0-9_]+", rule["expr"]))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_the_figures_of_every_alert_are_scraped(rule: dict[str, Any], everything: set[str]) -> None:
    assert metrics(rule) - everything - ELSEWHERE == set()


def test_rules_fire_when_they_should_by_this_release_s_promtool(tmp_path: Path) -> None:
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(rule_cases.document("/etc/prometheus/pgsteward/rules.yml")), encoding="utf-8")
    cluster.docker("cp", str(path), f"pgsteward-{HOST}:/root/test.yml")
    try:
        assert "SUCCESS" in cluster.on(HOST, "promtool", "test", "rules", "/root/test.yml")
    finally:
        cluster.on(HOST, "rm", "/root/test.yml")


def test_prometheus_takes_rules_and_targets_and_finds_nothing_wrong() -> None:
    # It was there before the authority's certificate was, and Prometheus 3 never tries such a job again.
    cluster.on(HOST, "systemctl", "restart", "prometheus")
    cluster.until(
        lambda: "ready" in cluster.on(HOST, "python3", "-c", ASK, READY, check=False).lower(), 30, "it is ready"
    )
    cluster.until(
        lambda: [one["health"] for one in prometheus("targets")["activeTargets"]] == ["up", "up"],
        30,
        "both are scraped",
    )
    rules = prometheus("rules")["groups"][0]["rules"]
    assert [one["name"] for one in rules] == [one["alert"] for one in RULES]
    assert {one["health"] for one in rules} <= {"ok", "unknown"}  # unknown until it was looked at once
    labels = {(one["labels"]["cluster"], one["labels"]["instance"]) for one in prometheus("targets")["activeTargets"]}
    assert labels == {("lab", HOST)}


def test_whoever_waits_is_seen(everything: set[str]) -> None:
    assert everything
    quiet = looked()
    assert quiet["pgsteward_blocked_sessions"] == 0
    assert quiet["pgsteward_server_up"] == quiet["pgsteward_pooler_up"] == quiet["pgsteward_server_primary"] == 1
    with blocked():
        told = looked()
    assert told["pgsteward_blocked_sessions"] == 1
    assert told["pgsteward_blocked_seconds"] > 0


def test_the_account_may_look_and_nothing_else() -> None:
    account = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit FROM pg_roles WHERE rolname = 'prometheus'"
    assert cluster.ask(HOST, account) == "f|f|f|f|f|8"
    assert cluster.ask(HOST, "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'prometheus'") == "t"
    member = (
        "SELECT string_agg(g.rolname, ' ') FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member"
        " JOIN pg_roles g ON g.oid = m.roleid WHERE r.rolname = 'prometheus'"
    )
    assert cluster.ask(HOST, member) == "pg_monitor"
    ask = ["runuser", "-u", "prometheus", "--", "psql", "-XAtq", "-d", "powergym", "-c"]
    assert cluster.on(HOST, *ask, "SHOW search_path") == "pg_catalog, pg_temp"
    assert cluster.on(HOST, *ask, "TABLE public.clients", check=False) == ""
    # Nobody else gets in under its name.
    other = ["runuser", "-u", "nobody", "--", "psql", "-XAtq", "-U", "prometheus", "-d", "postgres", "-c", "SELECT 1"]
    assert cluster.on(HOST, *other, check=False) == ""


def test_no_secret_is_where_others_see_it() -> None:
    secrets = {lab.password(name) for name in ("powergym_app", "pgbouncer_lookup", "pooler_operations")}
    seen = cluster.on(
        HOST, "sh", "-c",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; systemctl cat 'prometheus-*' 'pgsteward-monitor*'; cat /etc/pgsteward/monitor*;"
        f" cat {TEXTFILES}/*.prom; cat /etc/prometheus/pgsteward/*",
    )  # fmt: skip
    assert "pgsteward-monitor" in seen
    assert not [secret for secret in secrets if secret in seen]
    assert "password" not in seen.lower()
    assert cluster.on(HOST, "stat", "-c", "%U %a", "/etc/pgsteward/tls/monitor.key") == "prometheus 600"


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_exporters_speak_tls_and_are_tied_down(exporter: str) -> None:
    assert "# HELP" in scrape(exporter)
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://{ADDRESS}:{EXPORTERS[exporter]}/metrics", timeout=10)
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"https://{ADDRESS}:{EXPORTERS[exporter]}/metrics", timeout=10)
    shown = cluster.on(
        HOST, "systemctl", "show", f"prometheus-{exporter}-exporter",
        "-p", "User,NoNewPrivileges,CapabilityBoundingSet,IPAddressDeny,IPAddressAllow",
    )  # fmt: skip
    held = dict(line.split("=", 1) for line in shown.splitlines())
    assert (held["User"], held["NoNewPrivileges"], held["CapabilityBoundingSet"]) == ("prometheus", "yes", "")
    assert set(held["IPAddressDeny"].split()) == {"::/0", "0.0.0.0/0"}
    assert f"{ADDRESS}/32" in held["IPAddressAllow"]


def test_what_is_slow_is_counted_and_explained() -> None:
    assert cluster.ask(HOST, "SHOW shared_preload_libraries") == "pg_stat_statements, auto_explain"
    assert cluster.ask(HOST, "SHOW auto_explain.log_min_duration") == "10s"
    assert int(cluster.ask(HOST, "SELECT count(*) FROM pg_stat_statements")) > 0
    assert cluster.ask(HOST, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"


def test_a_server_that_is_down_is_told() -> None:
    service = f"postgresql@{cluster.MAJOR}-main"
    cluster.on(HOST, "systemctl", "stop", service)
    try:
        told = looked()
        assert told["pgsteward_server_up"] == 0
        assert told["pgsteward_monitor_timestamp_seconds"] > 0
        assert figures(scrape("postgres"))["pg_up"] == 0
    finally:
        cluster.on(HOST, "systemctl", "start", service)
    cluster.until(lambda: looked()["pgsteward_server_up"] == 1, 30, "it is back")


def test_bad_input_is_one_line_and_changes_nothing() -> None:
    wrong = {"pg_monitor_client_addresses": [], "pg_server_settings": {"shared_preload_libraries": "x"}}
    run = plays.play(plays.SITE, "--tags", "pg_monitor", host=HOST, variables=wrong)
    assert run.code != 0
    said = " ".join(run.text.split())
    assert "nobody is named who may come" in said, run.text
    assert "add pg_stat_statements and auto_explain" in said
    assert run.changed == 0


@lab.full_only
def test_taking_it_away_leaves_nothing_that_runs() -> None:
    without = {"pg_monitor_exporters": []}
    run = plays.play(plays.SITE, "--tags", "pg_monitor", host=HOST, variables=without)
    assert run.code == 0, run.text
    units = ("prometheus-node-exporter", "prometheus-postgres-exporter", "pgsteward-monitor.timer")
    assert [cluster.on(HOST, "systemctl", "is-active", one, check=False) for one in units] == ["inactive"] * 3
    found = cluster.on(
        HOST,
        "sh",
        "-c",
        f"ls -d /etc/pgsteward/monitor* /etc/pgsteward/tls/monitor* {TEXTFILES}/pgsteward_[ms][oc]*",
        check=False,
    )
    assert found == ""
    assert plays.play(plays.SITE, "--tags", "pg_monitor", host=HOST, variables=without).changed == 0
    assert plays.converge("--tags", "pg_monitor", host=HOST).changed > 0
    assert "# HELP" in scrape("node")
