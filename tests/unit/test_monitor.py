"""What the role pg_monitor puts on a host and tells Prometheus, and the figures that hosts leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import shipping
from ansible_collections.pgsteward.postgres.plugins.filter import monitor as filters
from ansible_collections.pgsteward.postgres.plugins.module_utils import _monitor_command as command
from ansible_collections.pgsteward.postgres.plugins.module_utils import _monitor_figures as figures
from ansible_collections.pgsteward.postgres.plugins.module_utils import _monitor_host as host
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import Backup, Repository, Stanza
from health_cases import facts

SERVER = {
    "account": "prometheus", "socket": "/run/postgresql", "port": 5432, "servers": 2, "databases": [], "certificates": [], "log_file": None,
    "thresholds": {},
}  # fmt: skip
INPUTS: dict[str, Any] = {
    "exporters": ["postgres", "node"], "listen_address": "127.0.0.1", "client_addresses": [], "server_settings": {}, "family": "Debian", "port": 5433,
    "tls": {"certificate": "/t/monitor.crt", "key": "/t/monitor.key"}, "socket": "/run/postgresql", "server": SERVER, "stanza": None,
    "dumps": {"databases": ["shop"], "stores": [{"path": "/srv/dumps"}, {"name": "s3", "bucket": "b", "secret_key": "hush"}]}, "pooler": None,
}  # fmt: skip
POSTGRES = "/etc/systemd/system/prometheus-postgres-exporter.service.d/50-pgsteward.conf"
NODE = POSTGRES.replace("postgres-e", "node-e")
STANZA = {"name": "shop", "account": "postgres", "repositories": [1]}


# What lies on a host


def test_all_that_the_command_needs_is_shipped() -> None:
    assert shipping.needed("_monitor_command.py") == sorted(host.SHIPPED)


def test_files_of_a_host_that_keeps_to_itself() -> None:
    made = host.files(INPUTS)
    assert made["exporters"].keys() == {"prometheus-postgres-exporter.service", "prometheus-node-exporter.service"}
    assert not made["encrypted"]
    text = made["wanted"][POSTGRES]
    assert "--web.listen-address=127.0.0.1:9187\n" in text
    assert '"DATA_SOURCE_NAME=user=prometheus host=/run/postgresql port=5433 dbname=postgres"' in text
    assert "IPAddressDeny=any\nIPAddressAllow=localhost\n" in text
    assert "ProtectSystem=strict" in text
    assert "ProtectSystem" not in made["wanted"][NODE]  # or it would see all file systems as read-only
    assert made["wanted"][NODE].count("$ARGS") == 1
    told = json.loads(made["wanted"][host.CONFIG])
    assert told["dumps"] == {"databases": ["shop"], "stores": ["/srv/dumps", "s3"]}
    assert "hush" not in str(made)
    assert set(made["unwanted"]) == {
        "/etc/pgsteward/monitor-postgres.yml",
        "/etc/pgsteward/monitor-node.yml",
        "/t/monitor.crt",
    }
    compile(made["wanted"][host.COMMAND], "monitor", "exec")


def test_files_of_a_host_that_others_look_at() -> None:
    made = host.files({**INPUTS, "listen_address": "::", "client_addresses": ["10.0.0.0/24", "fd00::7"]})
    assert made["encrypted"]
    assert (
        "--web.listen-address=[::]:9187 --web.config.file=/etc/pgsteward/monitor-postgres.yml\n"
        in made["wanted"][POSTGRES]
    )
    assert "IPAddressAllow=localhost 10.0.0.0/24 fd00::7\n" in made["wanted"][POSTGRES]
    assert (
        "cert_file: /t/monitor.crt\n  key_file: /t/monitor.key\n" in made["wanted"]["/etc/pgsteward/monitor-node.yml"]
    )


def test_a_host_without_a_server_has_no_exporter_of_one() -> None:
    made = host.files({**INPUTS, "server": None, "dumps": None})
    assert list(made["exporters"]) == ["prometheus-node-exporter.service"]
    assert POSTGRES in made["unwanted"]


@pytest.mark.parametrize("exporters", [[], None])
def test_what_is_not_asked_for_goes(exporters: list[str] | None) -> None:
    made = host.files({**INPUTS, "exporters": exporters})
    assert made["wanted"] == made["exporters"] == {}
    assert {POSTGRES, NODE, host.COMMAND, host.CONFIG, f"{host.TEXTFILES}/pgsteward_monitor.prom"} <= set(
        made["unwanted"]
    )
    assert not [path for path in made["unwanted"] if "ansible_collections" in path]  # others' commands live there too


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"exporters": None, "listen_address": "nonsense"}, None),
        ({"exporters": [], "listen_address": "nonsense"}, None),
        ({"exporters": "node"}, None),  # its type is wrong, which is said elsewhere
        ({"exporters": ["mysql"]}, "pg_monitor_exporters has mysql, which there is not: there are postgres, node"),
        ({"family": "RedHat"}, "pg_monitor_exporters: only Debian and Ubuntu have packages"),
        ({"family": "RedHat", "exporters": []}, None),
        ({"listen_address": "localhost"}, "pg_monitor_listen_address is 'localhost', and has to be one address"),
        ({"listen_address": "10.0.0.1"}, "nobody is named who may come"),
        ({"listen_address": "10.0.0.1", "client_addresses": ["10.0.0.7"]}, None),
        ({"listen_address": "::1"}, None),
        ({"client_addresses": ["10.0.0.7/24"]}, "pg_monitor_client_addresses[0] is 10.0.0.7/24, and has to be"),
        ({"client_addresses": ["10.0.0.7\nExecStart=/bin/sh"]}, "pg_monitor_client_addresses[0] is"),
        ({"server_settings": {"Shared_Preload_Libraries": "timescaledb"}}, "add pg_stat_statements and auto_explain to it"),
        ({"server_settings": {"shared_preload_libraries": ["auto_explain"]}}, "add pg_stat_statements to it"),
        ({"server_settings": {"shared_preload_libraries": "auto_explain, pg_stat_statements,x"}}, None),
        ({"server_settings": {"shared_preload_libraries": None}}, "add pg_stat_statements and auto_explain to it"),
    ],
)  # fmt: skip
def test_findings(change: dict[str, Any], words: str | None) -> None:
    found = host.findings({**INPUTS, **change})
    assert found == [] if words is None else words in found[0]


def test_targets() -> None:
    usual = {"pg_monitor_exporters": ["postgres", "node"], "pg_cluster_name": "shop"}
    hosts = [
        {**usual, "inventory_hostname": "db1", "ansible_host": "10.0.0.1", "pg_monitor_listen_address": "10.0.0.1"},
        {**usual, "inventory_hostname": "pool1", "pg_monitor_listen_address": "::1"},
        {"inventory_hostname": "other"},
        {"inventory_hostname": "none", "pg_monitor_exporters": None},
    ]
    told = json.loads(host.targets(hosts, ["db1"]))
    assert [one["targets"] for one in told] == [["10.0.0.1:9187"], ["10.0.0.1:9100"], ["[::1]:9100"]]
    assert told[0]["labels"] == {"__scheme__": "https", "cluster": "shop", "exporter": "postgres", "instance": "db1"}
    assert told[2]["labels"]["__scheme__"] == "http"


# Figures


def text(found: Any) -> str:
    return figures.text(found)


def test_figures_are_valid_text_whatever_things_are_called() -> None:
    said = text([figures.Figure("pgsteward_database_freeze_age", 12, {"database": 'a"b\\c\nd\udc80'})])
    assert said.splitlines()[2] == 'pgsteward_database_freeze_age{database="a\\"b\\\\c\\nd?"} 12'
    assert text([]) == ""


def test_a_server_that_is_down() -> None:
    said = text(figures.server(None, 3))
    assert "pgsteward_server_up 0\n" in said
    assert "pgsteward_server_primary" not in said


def test_a_healthy_primary() -> None:
    said = text(figures.server(facts(), 2))
    for line in (
        "pgsteward_server_up 1",
        "pgsteward_server_primary 1",
        "pgsteward_cluster_servers 2",
        "pgsteward_blocked_seconds 0",
    ):
        assert f"{line}\n" in said


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"role": "standby", "receiver": {"status": "streaming"}}, ["pgsteward_server_primary 0", "pgsteward_standby_streaming 1"]),
        ({"role": "standby", "receiver": None}, ["pgsteward_standby_streaming 0"]),
        (
            {"followers": [
                {"name": "db2", "state": "streaming", "lag_bytes": 5, "lag_seconds": None},
                {"name": "db2", "state": "streaming", "lag_bytes": 9, "lag_seconds": 0.5},
                {"name": "db3", "state": "catchup", "lag_bytes": 1, "lag_seconds": 1},
                {"name": "db4", "state": "streaming", "lag_bytes": 0, "lag_seconds": None},
            ]},
            ["pgsteward_standbys 3", 'pgsteward_standby_lag_seconds{standby="db4"} 0',
             'pgsteward_standby_lag_bytes{standby="db2"} 9', 'pgsteward_standby_lag_seconds{standby="db2"} 0.5'],
        ),
        (
            {"slots": [{"name": "s", "temporary": False, "retained_bytes": -1, "wal_status": "lost"},
                       {"name": "t", "temporary": True, "retained_bytes": 5, "wal_status": "reserved"}]},
            ['pgsteward_slot_retained_bytes{slot="s"} 0', 'pgsteward_slot_lost{slot="s"} 1'],
        ),
        (
            {"archiver": {"mode": "on", "last_failed_time": 9, "last_time": 8, "waiting": 3}},
            ["pgsteward_archive_failing 1", "pgsteward_archive_waiting_segments 3"],
        ),
        ({"blocking": [{"longest_wait": 7.5}], "waiting": 2}, ["pgsteward_blocked_seconds 7.5", "pgsteward_blocked_sessions 2"]),
        (
            {"disks": [{"path": "/d", "holds": ["data", "WAL"], "free_percent": 12.5}]},
            ['pgsteward_disk_free_ratio{path="/d",holds="data, WAL"} 0.125'],
        ),
    ],
)  # fmt: skip
def test_a_server_with_faults(change: dict[str, Any], lines: list[str]) -> None:
    said = text(figures.server({**facts(), **change}, 2)).splitlines()
    assert [line for line in lines if line not in said] == []
    assert not [line for line in said if 'slot="t"' in line or "db3" in line]


@pytest.mark.parametrize("role", ["primary", "standby"])
def test_nothing_is_said_of_an_archive_that_is_none(role: str) -> None:
    mode = "off" if role == "primary" else "on"
    archiver = {"mode": mode, "last_failed_time": 9, "last_time": None, "waiting": 3}
    assert "archive" not in text(figures.server({**facts(), "role": role, "receiver": None, "archiver": archiver}, 2))


def test_findings_as_figures() -> None:
    one = {"name": "log_grave", "subject": "", "severity": "critical"}
    said = text(figures.findings([one, one, {**one, "severity": "notice"}])).splitlines()
    assert 'pgsteward_findings{severity="critical"} 1' in said
    assert 'pgsteward_findings{severity="warning"} 0' in said
    assert 'pgsteward_finding{name="log_grave",subject="",severity="notice"} 1' in said


def _backup(type_: str, ended: int) -> Backup:
    return Backup(f"{ended}", type_, ended - 1, ended, 1, 1, 1, None, None, None, None, 1)


def test_backups_as_figures() -> None:
    held = Repository(1, 0, "ok", False, ({"id": 1},), backups=(_backup("full", 100), _backup("diff", 200)))
    empty = Repository(2, 0, "ok", False, ({"id": 1},))
    silent = Repository(3, 99, "unreachable", False)
    said = text(figures.backups(Stanza("shop", False, (held, empty, silent)), [1, 2, 3, 4])).splitlines()
    assert [line[-1] for line in said if line.startswith("pgsteward_backup_repository_up{")] == ["1", "1", "0", "0"]
    assert 'pgsteward_backup_timestamp_seconds{repository="1",type="full"} 100' in said
    assert 'pgsteward_backup_timestamp_seconds{repository="1",type="any"} 200' in said
    assert 'pgsteward_backup_timestamp_seconds{repository="2",type="any"} 0' in said
    assert not [line for line in said if 'timestamp_seconds{repository="3"' in line]  # nobody knows


def test_pooler_as_figures() -> None:
    pool = {"database": "shop", "user": "app", "cl_waiting": "2", "maxwait": "3", "maxwait_us": "500000"}
    said = text(figures.pooler([pool, {**pool, "database": "pgbouncer"}])).splitlines()
    assert 'pgsteward_pooler_longest_wait_seconds{database="shop",user="app"} 3.5' in said
    assert 'pgsteward_pooler_waiting_clients{database="shop",user="app"} 2' in said
    assert len([line for line in said if line.startswith("pgsteward_pooler_waiting")]) == 1
    assert text(figures.pooler(None)).endswith("pgsteward_pooler_up 0\n")


def test_schemas_as_figures() -> None:
    item = {"name": "shop"}
    looked = [{"item": item, "state": "behind", "pending": [1, 2]}, {"item": {"name": "x"}, "msg": "no"}]
    compared = [{"item": item, "clean": False, "drift": [{"severity": "slower"}]}, {"item": {"name": "x"}, "msg": "no"}]
    said = filters.monitor_schemas(looked, compared, 50.0).splitlines()
    assert 'pgsteward_schema_pending_revisions{database="shop"} 2' in said
    assert 'pgsteward_schema_timestamp_seconds{database="shop"} 50' in said
    assert 'pgsteward_schema_differences{database="shop",severity="slower"} 1' in said
    assert 'pgsteward_schema_differences{database="shop",severity="data_at_risk"} 0' in said
    assert not [line for line in said if '"x"' in line]  # what could not be looked at grows old


# The command


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "REPOSITORIES", tmp_path / "repositories.json")
    monkeypatch.setattr(command, "DUMPS", tmp_path / "dumps.json")


def collected(config: dict[str, Any], now: float = 1000.0) -> tuple[list[str], list[str]]:
    said: list[str] = []
    given = {"server": None, "stanza": None, "dumps": None, "pooler": None, **config}
    return text(command.collect(given, said.append, now)).splitlines(), said


def test_what_cannot_be_looked_at_is_said_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: Any, **_options: Any) -> Any:
        raise StewardError("no")

    monkeypatch.setattr(command._health_facts, "read", fails)
    monkeypatch.setattr(command._pgbackrest_run, "look", fails)
    monkeypatch.setattr(command, "open_console", fails)
    pooler = {"account": "nobody of this host", "socket": "/x", "port": 1}
    lines, said = collected({"server": SERVER, "stanza": STANZA, "pooler": pooler})
    for line in ("pgsteward_server_up 0", 'pgsteward_backup_repository_up{repository="1"} 0', "pgsteward_pooler_up 0"):
        assert line in lines
    assert [line.partition(" cannot")[0] for line in said] == ["the server", "the backups", "the pooler"]


def test_a_store_is_asked_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look(program: Any) -> Stanza:
        asked.append(program.stanza)
        return Stanza(
            program.stanza, False, (Repository(1, 0, "ok", False, ({"id": 1},), backups=(_backup("full", 100),)),)
        )

    monkeypatch.setattr(command._pgbackrest_run, "look", look)
    for now in (1000.0, 1060.0, 1500.0, 1700.0):
        lines, _said = collected({"stanza": STANZA}, now)
        assert 'pgsteward_backup_timestamp_seconds{repository="1",type="any"} 100' in lines
    assert asked == ["shop", "shop"]
    collected({"stanza": {**STANZA, "name": "other"}}, 1701.0)
    assert asked[2:] == ["other"]


def test_dumps_by_what_the_host_has_taken() -> None:
    command.DUMPS.write_text(
        json.dumps({"databases": {"shop": {"near": {"last_good": {"name": "backup_lab_20260131_020005"}}}}})
    )
    lines, _said = collected({"dumps": {"databases": ["shop", "other"], "stores": ["near"]}})
    assert 'pgsteward_dump_timestamp_seconds{database="shop",store="near"} 1769824805' in lines
    assert 'pgsteward_dump_timestamp_seconds{database="other",store="near"} 0' in lines
    command.DUMPS.write_text("[")
    assert (
        'pgsteward_dump_timestamp_seconds{database="shop",store="near"} 0'
        in collected({"dumps": {"databases": ["shop"], "stores": ["near"]}})[0]
    )
