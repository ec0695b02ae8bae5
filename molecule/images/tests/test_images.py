"""A host of each image is a bare Debian of its version that booted under systemd."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
VERSIONS = {"debian12": "12", "debian13": "13", "debian14": "14"}


def test_booted(host: Host) -> None:
    assert host.check_output("ps -p 1 -o comm=") == "systemd"
    assert host.check_output("systemctl list-units --failed --no-legend") == ""


def test_version(host: Host) -> None:
    name = host.check_output("hostname")
    # The testing suite carries the number of the release that it will become.
    codename = {"12": "bookworm", "13": "trixie", "14": "forky"}[VERSIONS[name]]
    assert codename in host.file("/etc/os-release").content_string


@pytest.mark.parametrize("package", ["postgresql-common", "python3-psycopg"])
def test_is_bare(host: Host, package: str) -> None:
    assert not host.package(package).is_installed


def test_shared_memory_suffices_for_parallel_index_builds(host: Host) -> None:
    assert int(host.check_output("df --output=size --block-size=1M /dev/shm | tail -n 1")) >= 1024


def test_what_a_distribution_does_not_carry_is_refused_before_anything_changes() -> None:
    command = [
        "ansible-playbook",
        "-i",
        "molecule/images/inventory/hosts.yml",
        "pgsteward.postgres.site",
        "-e",
        "pg_hosts=debian12",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode != 0
    assert (
        "debian12: pg_server_pgvector: Debian 12 has no package of pgvector for PostgreSQL 15"
        in run.stdout + run.stderr
    )
    assert "changed=0" in run.stdout
