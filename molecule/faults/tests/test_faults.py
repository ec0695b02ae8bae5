"""What goes wrong in the middle of a first run stays where it is, and the next run heals it. The tests run in their order."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOSTS = ("full", "lost", "sound")
PLAIN = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}  # Molecule forces colours, which split words
SITE = ["ansible-playbook", "-i", "molecule/faults/inventory/hosts.yml", "pgsteward.postgres.site"]


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


def on(host: str, *command: str) -> str:
    return docker("exec", "-w", "/", f"pgsteward-{host}", *command).stdout.strip()


def answers(host: str) -> bool:
    """Say whether the server of a host answers its superuser over the socket."""
    return (
        on(
            host,
            "runuser",
            "-u",
            "postgres",
            "--",
            "psql",
            "-XAtc",
            "SELECT count(*) FROM pg_database WHERE datname = 'powergym'",
        )
        == "1"
    )


def recap(output: str) -> dict[str, dict[str, int]]:
    """Return the numbers of a play recap by host."""
    found = re.findall(r"^(\w+)\s+: (ok=.*)$", output, re.MULTILINE)
    return {host: {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", numbers)} for host, numbers in found}


@pytest.fixture(scope="module")
def first_run() -> subprocess.CompletedProcess[str]:
    """Run `site` on a host whose data disk is too small, one that is lost on the way, and a sound one."""
    assert (
        docker(
            "exec",
            "pgsteward-full",
            "sh",
            "-c",
            "mkdir -p /var/lib/postgresql && mount -t tmpfs -o size=8m tmpfs /var/lib/postgresql",
        ).returncode
        == 0
    )
    run = subprocess.Popen(SITE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=PLAIN)
    limit = time.monotonic() + 240
    # The host is lost while its packages are being installed.
    while "postgresql-common" not in on(
        "lost",
        "sh",
        "-c",
        "ls /var/cache/apt/archives /usr/share/postgresql-common 2>/dev/null; ls /usr/share | grep postgresql-common",
    ):
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.2)
    assert docker("kill", "pgsteward-lost").returncode == 0
    output, _ = run.communicate(timeout=400)
    return subprocess.CompletedProcess(SITE, run.returncode, output, "")


def test_the_run_fails_and_the_sound_host_is_finished(first_run: subprocess.CompletedProcess[str]) -> None:
    assert first_run.returncode != 0
    numbers = recap(first_run.stdout)
    assert numbers["full"]["failed"] == 1
    assert numbers["lost"]["unreachable"] == 1 or numbers["lost"]["failed"] == 1
    assert (numbers["sound"]["failed"], numbers["sound"]["unreachable"]) == (0, 0)
    assert answers("sound")


def test_the_message_names_the_disk(first_run: subprocess.CompletedProcess[str]) -> None:
    assert "No space left on device" in first_run.stdout


@pytest.mark.usefixtures("first_run")
def test_nothing_half_done_is_left_on_the_full_disk() -> None:
    assert on("full", "sh", "-c", "ls /etc/postgresql/17/main /var/lib/postgresql/17/main 2>/dev/null") == ""
    assert on("full", "systemctl", "is-active", "postgresql@17-main") != "active"


@pytest.fixture(scope="module")
def second_run(first_run: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Mend the disk and the host, and run `site` again."""
    assert first_run.returncode != 0
    assert docker("exec", "pgsteward-full", "umount", "/var/lib/postgresql").returncode == 0
    assert docker("start", "pgsteward-lost").returncode == 0
    limit = time.monotonic() + 60
    while on("lost", "systemctl", "is-system-running") not in ("running", "degraded"):
        assert time.monotonic() < limit
        time.sleep(0.5)
    return subprocess.run(SITE, capture_output=True, text=True, check=False, cwd=ROOT, env=PLAIN)


def test_the_next_run_heals(second_run: subprocess.CompletedProcess[str]) -> None:
    assert second_run.returncode == 0, second_run.stdout + second_run.stderr
    assert [host for host in HOSTS if answers(host)] == list(HOSTS)


@pytest.mark.usefixtures("second_run")
def test_the_run_after_it_changes_nothing() -> None:
    run = subprocess.run(SITE, capture_output=True, text=True, check=False, cwd=ROOT, env=PLAIN)
    assert run.returncode == 0, run.stdout
    assert {host: numbers["changed"] for host, numbers in recap(run.stdout).items()} == dict.fromkeys(HOSTS, 0)
