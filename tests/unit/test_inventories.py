"""The example environments parse, name only inputs that exist, and pass the input checks of site and migrate once their secrets are filled in."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest, _pgbouncer, _replica

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ("dev", "staging", "production")
CLUSTERS = ("staging", "production")  # several servers, behind poolers
HOSTS = {  # how many of each group
    "dev": {"postgres": 1, "migrate": 1},
    "staging": {"postgres": 2, "pgbouncer": 1, "migrate": 1},
    "production": {"postgres": 3, "pgbouncer": 2, "pgbackrest": 1, "migrate": 1, "monitor": 1},
}
SHARED = {"pg_version", "pg_port", "pg_cluster_name", "pg_superuser", "pg_no_log"}
SYSTEMS = ("face_recognition", "pixcrawler", "imagemanager", "cats_monitor", "powergym")
# What gathering would find on a host that is supported.
FACTS = {
    "distribution": "Debian",
    "distribution_major_version": "13",
    "distribution_release": "trixie",
    "distribution_version": "13",
    "os_family": "Debian",
    "architecture": "x86_64",
    "all_ipv4_addresses": ["192.0.2.10"],
    "python_version": "3.13.5",
}
STAND_IN = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"facts": {"type": "dict"}}, supports_check_mode=True)
module.exit_json(ansible_facts=module.params["facts"])
"""
MEMORY_GB = {"dev": 2, "staging": 8, "production": 64}


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
    }
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


@cache
def inventory(environment: str) -> dict[str, Any]:
    listed = run("ansible-inventory", "-i", f"inventories/{environment}", "--list")
    assert listed.returncode == 0, listed.stderr
    assert "WARNING" not in listed.stderr, listed.stderr
    return json.loads(listed.stdout)


def files(environment: str) -> dict[str, Path]:
    """Return the files of variables by their names."""
    return {path.name: path for path in (ROOT / "inventories" / environment / "group_vars").rglob("*.yml")}


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def inputs(role: str) -> set[str]:
    return set(load(ROOT / "roles" / role / "defaults" / "main.yml"))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_inventory_parses_and_has_its_groups(environment: str) -> None:
    data = inventory(environment)
    assert set(data["all"]["children"]) - {"ungrouped"} == set(HOSTS[environment])
    for group, count in HOSTS[environment].items():
        assert len(data[group]["hosts"]) == count
        assert all(host.endswith(f".{environment}.example.org") for host in data[group]["hosts"])
    assert data["_meta"]["hostvars"][data["postgres"]["hosts"][0]]["pg_cluster_name"] == environment


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_file_is_of_a_role_and_names_only_its_inputs(environment: str) -> None:
    found = files(environment)
    assert set(found) == {
        "cluster.yml",
        "vault.example.yml",
        "pg_server.yml",
        "pg_hba.yml",
        "pg_access.yml",
        "pg_migrate.yml",
        "pgbackrest.yml",
        *(["pg_replica.yml", "pgbouncer.yml"] if environment in CLUSTERS else []),
        *(["pg_maintain.yml", "pg_monitor.yml"] if environment == "production" else []),
    }
    for name, path in found.items():
        known = {"cluster.yml": SHARED, "vault.example.yml": set(load(path))}.get(name) or inputs(path.stem)
        assert set(load(path)) <= known, path


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_vault_example_lists_exactly_the_secrets_in_use_and_holds_none(environment: str) -> None:
    found = files(environment)
    example = load(found["vault.example.yml"])
    used = {name for path in found.values() for name in re.findall(r"\{\{ (vault_\w+) \}\}", path.read_text())}
    assert set(example) == used
    assert set(example.values()) == {""}
    ignored = run("git", "check-ignore", str(found["vault.example.yml"].with_name("vault.yml")))
    assert ignored.returncode in (0, 128)  # 128: no repository around this copy


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_five_systems_have_their_databases_and_fit_the_server(environment: str) -> None:
    found = files(environment)
    access, server, migrate = (load(found[f"pg_{name}.yml"]) for name in ("access", "server", "migrate"))
    assert [item["name"] for item in access["pg_access_databases"]] == list(SYSTEMS)
    assert [item["name"] for item in migrate["pg_migrate_projects"][0]["databases"]] == list(SYSTEMS)
    limits = sum(item["connection_limit"] for item in access["pg_access_roles"])
    assert limits + 20 <= server["pg_server_connections"]
    assert server.get("pg_server_restart_allowed", False) is (environment == "dev")


def addresses(environment: str, group: str) -> dict[str, str]:
    """Return the hosts of a group with their addresses."""
    data = inventory(environment)
    return {host: data["_meta"]["hostvars"][host]["ansible_host"] for host in data[group]["hosts"]}


@pytest.mark.parametrize("environment", CLUSTERS)
def test_every_host_of_a_cluster_has_an_address_of_its_own(environment: str) -> None:
    """Poolers take no names, and a host that is named differently from two sides would not be known again."""
    found = [one for group in HOSTS[environment] for one in addresses(environment, group).values()]
    assert len({ipaddress.ip_address(one) for one in found}) == sum(HOSTS[environment].values())
    clients = [
        ipaddress.ip_network(one) for one in load(files(environment)["pgbouncer.yml"])["pgbouncer_client_addresses"]
    ]
    assert not [one for one in found for network in clients if ipaddress.ip_address(one) in network]


@pytest.mark.parametrize("environment", CLUSTERS)
def test_the_pools_fit_the_servers_and_the_applications(environment: str) -> None:
    found = files(environment)
    pooler, access, server = (load(found[name]) for name in ("pgbouncer.yml", "pg_access.yml", "pg_server.yml"))
    poolers, most = HOSTS[environment]["pgbouncer"], pooler["pgbouncer_server_connections"]
    entries = _pgbouncer.entries(pooler["pgbouncer_databases"], most, poolers)
    assert {entry.database for entry in entries} == set(SYSTEMS)
    assert poolers * sum(entry.limit for entry in entries) <= most <= server["pg_server_connections"] - 20
    for role in access["pg_access_roles"]:
        own = [entry.limit for entry in entries if f"{entry.database}_app" == role["name"]]
        assert poolers * sum(own) <= role["connection_limit"], role["name"]
    # An application's pools have as many clients as its account had connections before there were poolers; one pooler may be lost.
    assert sum(role["connection_limit"] for role in access["pg_access_roles"]) <= pooler["pgbouncer_max_client_conn"]


@pytest.mark.parametrize("environment", CLUSTERS)
def test_applications_come_through_the_poolers_and_migrations_find_the_primary(environment: str) -> None:
    found = files(environment)
    hba, migrate, pooler = (load(found[name]) for name in ("pg_hba.yml", "pg_migrate.yml", "pgbouncer.yml"))
    servers, (migrations,) = addresses(environment, "postgres"), addresses(environment, "migrate").values()
    assert hba["pg_hba_pooler_databases"] == list(SYSTEMS)
    assert set(hba["pg_hba_pooler_users"]) == {f"+{name}_{kind}" for name in SYSTEMS for kind in ("app", "readonly")}
    rules = {(*rule["databases"], *rule["users"], rule["address"]) for rule in hba["pg_hba_rules"]}
    assert rules == {(name, f"{name}_migrator", f"{migrations}/32") for name in SYSTEMS}
    assert migrate["pg_migrate_host"].split(",") == list(servers)
    keeper = load(found["pg_server.yml"])["pg_server_tls_ca_host"]
    assert keeper in servers
    assert pooler["pgbouncer_tls_ca_host"] == keeper


@pytest.mark.parametrize("environment", CLUSTERS)
def test_losing_a_server_neither_loses_commits_in_production_nor_stops_them(environment: str) -> None:
    given, servers = load(files(environment)["pg_replica.yml"]), list(addresses(environment, "postgres"))
    method, count = given["pg_replica_synchronous"], given.get("pg_replica_synchronous_count", 1)
    names = _replica.synchronous_names(method, count, servers[1:])
    assert names == {"staging": "", "production": f'ANY 1 ("{servers[1]}", "{servers[-1]}")'}[environment]
    assert count < len(servers) - 1 or method == "none"  # one standby may be down


def test_production_has_three_copies_and_each_of_them_is_encrypted_or_at_home() -> None:
    given = load(files("production")["pgbackrest.yml"])
    assert given["pgbackrest_copies_rule"] == "3-2-1"
    assert _pgbackrest.hosts(given["pgbackrest_repositories"]) == list(addresses("production", "pgbackrest"))
    assert all(one.get("cipher_pass") for one in given["pgbackrest_repositories"] if one.get("offsite"))
    assert given["pgbackrest_tls_ca_host"] == load(files("production")["pg_server.yml"])["pg_server_tls_ca_host"]


def filled(environment: str, **changes: str) -> dict[str, str]:
    """Return every secret of an environment with a value of its own."""
    return {name: f"example of {name}" for name in load(files(environment)["vault.example.yml"])} | changes


def play(playbook: str, name: str) -> dict[str, Any]:
    """Return a play of a playbook by its name."""
    plays: Any = load(ROOT / "playbooks" / f"{playbook}.yml")
    (found,) = (one for one in plays if one.get("name") == name)
    return {**found, "gather_facts": False, "connection": "local"}


def check(environment: str, secrets: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the plays of site and migrate that check the inputs, with facts instead of hosts."""
    memory = MEMORY_GB[environment] << 30
    machine = {"memory_bytes": memory, "cpus": MEMORY_GB[environment] // 4 or 1, "shm_bytes": memory // 2}
    facts = {"name": "Stand in for the host", "stand_in": {"facts": {**FACTS, "pg_host": machine}}}
    checking = "Check every input before anything changes"
    plays = [play("site", checking), play("migrate", checking)]
    if environment in CLUSTERS:
        servers = addresses(environment, "postgres")
        topology = {
            "addresses": servers,
            "primary": next(iter(servers)),
            "standbys": list(servers)[1:],
            "here": {"port": 5432, "data_directory": "/var/lib/postgresql/17/main"},
            "system_identifier": None,
        }
        known = {"name": "Stand in for the servers", "ansible.builtin.set_fact": {"pg_topology": topology}}
        followers = play("site", "Learn who is primary")
        asking = [task for task in followers.pop("post_tasks") if task["name"].startswith("Check the inputs")]
        del followers["roles"]
        plays += [{**followers, "tasks": [known, *asking]}, play("site", "Learn what the poolers are")]
        plays += [play("site", "Learn what the repository hosts are")]
    for one in plays:
        one["pre_tasks"] = [facts]
        one["vars"] = {**one.get("vars", {}), "ansible_python_interpreter": sys.executable}
    (directory / "library").mkdir()
    (directory / "library" / "stand_in.py").write_text(STAND_IN)
    path = directory / "check.yml"
    path.write_text(yaml.safe_dump(plays, sort_keys=False))
    return run("ansible-playbook", "-i", f"inventories/{environment}", str(path), "-e", json.dumps(secrets))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_input_checks_pass_once_the_secrets_are_filled_in(environment: str, tmp_path: Path) -> None:
    checked = check(environment, filled(environment), tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "failed=0" in checked.stdout


@pytest.mark.parametrize(
    ("secret", "line"),
    [
        ("vault_powergym_app", "db1.production.example.org: pg_access_passwords: the entry for powergym_app is empty"),
        ("vault_replicator", "db1.production.example.org: pg_replica_password: it is empty"),
        ("vault_operations", "db1.production.example.org: pg_replica_operations_password: it is empty"),
        ("vault_pgbouncer_lookup", "pool1.production.example.org: pgbouncer_lookup_password: put the password of"),
        ("vault_backup_s3_secret", "db1.production.example.org: pgbackrest_repositories[1]: key_secret is empty"),
        ("vault_backup_pass", "db1.production.example.org: pgbackrest_repositories[1]: cipher_pass is empty"),
        ("vault_pooler_operations", "pool1.production.example.org: pgbouncer_operations_password: put the password of"),
    ],
)
def test_a_secret_that_is_not_filled_in_is_refused_in_one_line(secret: str, line: str, tmp_path: Path) -> None:
    checked = check("production", filled("production", **{secret: ""}), tmp_path)
    assert checked.returncode != 0
    assert line in checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "playbook",
    [
        "site",
        "backup",
        "migrate",
        "switchover",
        "failover",
        "restart_rolling",
        "update_minor",
        "rejoin",
        "reinit_standby",
    ],
)
def test_syntax(playbook: str) -> None:
    arguments = ["-e", "node=db2.staging.example.org"] if playbook in ("rejoin", "reinit_standby") else []
    checked = run(
        "ansible-playbook", "-i", "inventories/staging", f"playbooks/{playbook}.yml", "--syntax-check", *arguments
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
