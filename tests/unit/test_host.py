"""What is read of a machine, and the two files by which it is prepared."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _host, _safe_versions
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._host import Machine, Wanted
from ansible_collections.pgsteward.postgres.plugins.module_utils._tuning import GB

MEMINFO = """MemTotal:        8388608 kB
SwapTotal:             0 kB
Committed_AS:    2097152 kB
HugePages_Total:       0
Hugepagesize:       2048 kB
"""
SYSCTL = {
    "vm/nr_hugepages": "0\n",
    "vm/swappiness": "60\n",
    "vm/overcommit_memory": "0\n",
    "vm/overcommit_ratio": "50\n",
    "vm/overcommit_kbytes": "0\n",
    "net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine of 8 GB whose kernel takes every value."""
    for path, text in {"meminfo": MEMINFO, **{f"sys/{name}": value for name, value in SYSCTL.items()}}.items():
        there = tmp_path / "proc" / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    return Machine(tmp_path)


class Commands:
    """Answers systemctl and remembers what was asked."""

    def __init__(self, stale: str = "no") -> None:
        self.stale, self.seen = stale, []

    def __call__(self, arguments: list[str]) -> str:
        self.seen.append(arguments[1])
        return self.stale if arguments[1] == "show" else ""


def wanted(tmp_path: Path, **more: Any) -> Wanted:
    given: dict[str, Any] = {
        "sysctl": {},
        "huge_pages": False,
        "shared_buffers": 2 * GB,
        "connections": 100,
        "service": "postgresql@17-main",
        "directives": {"LimitNOFILE": 65536},
        "data_directory": tmp_path / "data",
    }
    return Wanted(**{**given, **more})


@pytest.mark.parametrize(
    ("path", "limit", "memory"),
    [
        (None, "", 8 * GB),
        ("memory.max", "max\n", 8 * GB),
        ("memory.max", "2147483648\n", 2 * GB),
        ("memory.max", "17179869184\n", 8 * GB),
        ("memory/memory.limit_in_bytes", "2147483648\n", 2 * GB),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", 8 * GB),
    ],
)
def test_memory_is_that_of_the_machine_or_the_limit_of_its_group(
    machine: Machine, path: str | None, limit: str, memory: int
) -> None:
    if path:
        there = machine.root / "sys/fs/cgroup" / path
        there.parent.mkdir(exist_ok=True)
        there.write_text(limit)
    assert machine.facts()["memory_bytes"] == memory


@pytest.mark.parametrize(("quota", "cpus"), [("max 100000", 64), ("150000 100000", 2), ("50000 100000", 1), (None, 64)])
def test_cpus_are_those_of_the_machine_or_the_quota(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, quota: str | None, cpus: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    if quota:
        (machine.root / "sys/fs/cgroup/cpu.max").write_text(quota + "\n")
    assert machine.facts()["cpus"] == cpus


def test_shared_memory_that_is_not_there(machine: Machine) -> None:
    assert machine.facts()["shm_bytes"] == -1
    (machine.root / "dev/shm").mkdir(parents=True)
    assert machine.facts()["shm_bytes"] > 0


def test_first_run_second_run_and_the_way_back(machine: Machine, tmp_path: Path) -> None:
    kernel, unit = (
        tmp_path / "etc/sysctl.d/60-pgsteward.conf",
        tmp_path / "etc/systemd/system/postgresql@17-main.service.d/50-pgsteward.conf",
    )
    wish = wanted(tmp_path, sysctl={"vm.swappiness": 1, "net.ipv4.tcp_rmem": "4096 131072 6291456"}, huge_pages=True)

    dry = _host.prepare(machine, wish, Commands(), dry_run=True)
    assert dry["changed"]
    assert not kernel.exists()
    assert not unit.exists()
    assert machine.sysctl("vm.swappiness") == "60"

    commands = Commands()
    done = _host.prepare(machine, wish, commands, dry_run=False)
    assert done == dry
    assert commands.seen == ["daemon-reload"]
    assert kernel.read_text() == (
        f"{_host.HEADER}net.ipv4.tcp_rmem = 4096 131072 6291456\nvm.nr_hugepages = 1090\nvm.swappiness = 1\n"
    )
    assert unit.read_text() == f"{_host.HEADER}[Service]\nLimitNOFILE=65536\n"
    assert (kernel.stat().st_mode & 0o777, unit.stat().st_mode & 0o777) == (0o644, 0o644)
    assert (machine.sysctl("vm.swappiness"), machine.sysctl("vm.nr_hugepages")) == ("1", "1090")

    commands = Commands()
    again = _host.prepare(machine, wish, commands, dry_run=False)
    assert (again["changed"], again["diff"], commands.seen) == (False, [], ["show"])

    back = _host.prepare(machine, wanted(tmp_path), Commands(), dry_run=False)
    assert back["changed"]
    assert not kernel.exists()
    assert machine.sysctl("vm.nr_hugepages") == "1090"  # another program may have come to need them


def test_a_reload_that_a_cut_short_run_left_out_is_made(machine: Machine, tmp_path: Path) -> None:
    _host.prepare(machine, wanted(tmp_path), Commands(), dry_run=False)
    commands = Commands(stale="yes")
    assert _host.prepare(machine, wanted(tmp_path), commands, dry_run=False)["changed"]
    assert commands.seen == ["show", "daemon-reload"]


def test_more_huge_pages_than_wanted_stay(machine: Machine, tmp_path: Path) -> None:
    machine.set_sysctl("vm.nr_hugepages", "5000")
    _host.prepare(machine, wanted(tmp_path, huge_pages=True), Commands(), dry_run=False)
    assert machine.sysctl("vm.nr_hugepages") == "5000"


def test_too_few_huge_pages_are_an_error(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Machine, "set_sysctl", lambda self, *_: (self.root / "proc/sys/vm/nr_hugepages").write_text("7\n")
    )
    with pytest.raises(StewardError, match=r"^the kernel has only 7 of 1090 huge pages now"):
        _host.prepare(machine, wanted(tmp_path, huge_pages=True), Commands(), dry_run=False)
    assert (tmp_path / "etc/sysctl.d/60-pgsteward.conf").exists()  # taken at the next boot


@pytest.mark.parametrize(
    ("sysctl", "may_set", "message"),
    [
        ({"vm.no_such": 1}, True, r"^this kernel has no vm\.no_such; take it out of pg_server_sysctl$"),
        ({"vm.swappiness": 1}, False, r"^vm\.swappiness is 60 and cannot be set to 1 here: this is a container"),
        (
            {"vm.overcommit_memory": 2, "vm.overcommit_ratio": 20},
            True,
            r"would allow 1\.6GB, programs here hold 2GB already",
        ),
        (
            {"vm.overcommit_memory": 2, "vm.overcommit_kbytes": 1048576},
            True,
            r"would allow 1GB, programs here hold 2GB",
        ),
        ({"vm.swappiness": 60}, False, None),  # in force already
        ({"vm.overcommit_memory": 2, "vm.overcommit_ratio": 80}, True, None),
    ],
)
def test_what_the_kernel_would_refuse_is_an_error_before_anything_is_written(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sysctl: dict[str, Any],
    may_set: bool,
    message: str | None,
) -> None:
    monkeypatch.setattr(Machine, "may_set", lambda *_: may_set)
    for dry_run in (True, False):
        if message:
            with pytest.raises(StewardError, match=message):
                _host.prepare(machine, wanted(tmp_path, sysctl=sysctl), Commands(), dry_run=dry_run)
            assert not (tmp_path / "etc").exists()
        else:
            assert _host.prepare(machine, wanted(tmp_path, sysctl=sysctl), Commands(), dry_run=dry_run)["changed"]


def test_strict_accounting_of_memory_comes_last(machine: Machine) -> None:
    values = {"vm.overcommit_memory": "2", "vm.overcommit_ratio": "80", "vm.swappiness": "1"}
    assert list(_host.unsatisfied(machine, values)) == ["vm.overcommit_ratio", "vm.swappiness", "vm.overcommit_memory"]


@pytest.mark.parametrize(("started", "needed"), [(-3600, True), (3600, False)])
def test_a_server_older_than_its_limits_wants_a_restart(
    machine: Machine, tmp_path: Path, started: int, needed: bool
) -> None:
    assert _host.prepare(machine, wanted(tmp_path), Commands(), dry_run=False)["restart_needed"] is False  # none runs
    (tmp_path / "data").mkdir()
    pid_file = tmp_path / "data/postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{tmp_path}/data\n{int(time.time()) + started}\n5432\n/run\n")
    assert _host.prepare(machine, wanted(tmp_path), Commands(), dry_run=False)["restart_needed"] is needed
    pid_file.write_text(f"{2**22 + 1}\n{tmp_path}/data\n1\n")
    assert _host.prepare(machine, wanted(tmp_path), Commands(), dry_run=False)["restart_needed"] is False


def test_versions_of_what_is_installed(tmp_path: Path) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    assert _host.installed_versions(binaries) == {"postgresql": None, "pgvector": None}
    server = binaries / "postgres"
    server.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 99.3 (Debian 99.3-0+deb13u1)'\n")
    server.chmod(0o755)
    assert _host.installed_versions(binaries) == {"postgresql": "99.3", "pgvector": None}
    control = tmp_path / "share/extension/vector.control"
    control.parent.mkdir(parents=True)
    control.write_text("comment = 'vector data type'\ndefault_version = '0.8.2'\n")
    assert _host.installed_versions(binaries) == {"postgresql": "99.3", "pgvector": "0.8.2"}


TODAY = datetime.date(2026, 11, 20)


@pytest.mark.parametrize(
    ("postgresql", "pgvector", "words"),
    [
        (None, None, []),
        ("17.12", "0.8.3", []),
        ("17.13", "0.9.0", []),
        ("19beta1", None, []),
        ("17.9", None, ["PostgreSQL 17.9 lacks fixes of 17.12"]),
        ("13.23", None, ["PostgreSQL 13 gets no fixes since 2025-11-13"]),
        ("14.3", None, ["PostgreSQL 14.3 lacks fixes of 14.25", "PostgreSQL 14 gets no fixes since 2026-11-12"]),
        ("17.12", "0.8.2", ["pgvector 0.8.2 is below 0.8.3"]),
        ("17.12", "0.8.0", ["pgvector 0.8.0 is below 0.8.2", "pgvector 0.8.0 is below 0.8.3"]),
        ("17.12", "0.5.1", ["pgvector 0.5.1 is below 0.8.3"]),
    ],
)
def test_warnings(postgresql: str | None, pgvector: str | None, words: list[str]) -> None:
    found = _safe_versions.warnings(postgresql, pgvector, TODAY)
    assert len(found) == len(words)
    assert all(line.startswith(start) and "\n" not in line for line, start in zip(found, words, strict=True))


@pytest.mark.parametrize(
    ("pgvector", "safe"),
    [(None, True), ("0.5.1", True), ("0.6.0", False), ("0.8.1", False), ("0.8.2", True), ("0.10.0", True)],
)
def test_parallel_hnsw(pgvector: str | None, safe: bool) -> None:
    assert _safe_versions.parallel_hnsw_is_safe(pgvector) is safe


def test_every_supported_major_has_a_floor_and_an_end() -> None:
    assert _safe_versions.POSTGRESQL.keys() == _safe_versions.POSTGRESQL_END.keys() == set(range(13, 19))
    assert all(_safe_versions.number(least)[0] == major for major, least in _safe_versions.POSTGRESQL.items())
