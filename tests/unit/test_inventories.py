"""The example environments parse, name only inputs that exist, and pass the input checks of site and migrate once their secrets are filled in."""

from __future__ import annotations

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

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ("dev", "staging", "production")
GROUPS = ("postgres", "migrate")
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
    assert set(data["all"]["children"]) - {"ungrouped"} == set(GROUPS)
    for group in GROUPS:
        assert len(data[group]["hosts"]) == 1
        assert data[group]["hosts"][0].endswith(f".{environment}.example.org")
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


def filled(environment: str, **changes: str) -> dict[str, str]:
    """Return every secret of an environment with a value of its own."""
    return {name: f"example of {name}" for name in load(files(environment)["vault.example.yml"])} | changes


def check(environment: str, secrets: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the plays of site and migrate that check the inputs, with facts instead of hosts."""
    plays = []
    for playbook in ("site", "migrate"):
        (play,) = (
            play
            for play in load(ROOT / "playbooks" / f"{playbook}.yml")
            if play["name"] == "Check every input before anything changes"  # type: ignore[attr-defined,union-attr]
        )
        memory = MEMORY_GB[environment] << 30
        machine = {"memory_bytes": memory, "cpus": MEMORY_GB[environment] // 4 or 1, "shm_bytes": memory // 2}
        facts = {"name": "Stand in for the host", "stand_in": {"facts": {**FACTS, "pg_host": machine}}}
        plays.append(
            {
                **play,
                "gather_facts": False,
                "connection": "local",
                "vars": {"ansible_python_interpreter": sys.executable},
                "pre_tasks": [facts],
            }
        )
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


def test_a_secret_that_is_not_filled_in_is_refused_in_one_line(tmp_path: Path) -> None:
    checked = check("production", filled("production", vault_powergym_app=""), tmp_path)
    assert checked.returncode != 0
    line = "db1.production.example.org: pg_access_passwords: the entry for powergym_app is empty"
    assert line in checked.stdout + checked.stderr


@pytest.mark.parametrize("playbook", ["site", "migrate"])
def test_syntax(playbook: str) -> None:
    checked = run("ansible-playbook", "-i", "inventories/staging", f"playbooks/{playbook}.yml", "--syntax-check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
