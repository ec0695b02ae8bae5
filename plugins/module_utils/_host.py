# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine below a server: what it has, and the two files by which it is prepared."""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._safe_versions import number
from ansible_collections.pgsteward.postgres.plugins.module_utils._tuning import KB, readable, shared_memory

HEADER = "# Managed by pgsteward.postgres, role pg_server. Change the inventory, not this file.\n"
HUGE_PAGES = "vm.nr_hugepages"
OVERCOMMIT = "vm.overcommit_memory"
NEVER = "2"  # the value of vm.overcommit_memory that refuses what the machine has not got

Run = Callable[[list[str]], str]


@dataclass(frozen=True)
class Machine:
    """Where the machine is read and written; another root serves tests."""

    root: Path = Path("/")

    def text(self, path: str) -> str | None:
        """Return what a file of the kernel says, None when there is none."""
        try:
            return (self.root / path).read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None

    def meminfo(self) -> dict[str, int]:
        """Return /proc/meminfo in bytes, counts as they are."""
        lines = re.findall(r"^(\S+):\s+([0-9]+)( kB)?", self.text("proc/meminfo") or "", re.MULTILINE)
        return {name: int(value) * (KB if unit else 1) for name, value, unit in lines}

    def memory(self) -> int:
        """Return the memory that programs here may use: that of the machine, or the limit of its control group if lower."""
        limits = (self.text("sys/fs/cgroup/memory.max"), self.text("sys/fs/cgroup/memory/memory.limit_in_bytes"))
        amounts = [int(limit) for limit in limits if limit and limit.isdigit()]
        return min([self.meminfo()["MemTotal"], *amounts])

    def cpus(self) -> int:
        """Return the CPUs that programs here may use, a part of one counted as one."""
        usable = len(os.sched_getaffinity(0))
        quota, _, period = (self.text("sys/fs/cgroup/cpu.max") or "max").partition(" ")
        return min(usable, math.ceil(int(quota) / int(period))) if quota.isdigit() and period.isdigit() else usable

    def facts(self) -> dict[str, int]:
        """Return what tuning asks of a machine; see RETURN of the module pg_host_facts."""
        shm = self.root / "dev/shm"
        return {
            "memory_bytes": self.memory(),
            "cpus": self.cpus(),
            "shm_bytes": os.statvfs(shm).f_frsize * os.statvfs(shm).f_blocks if shm.is_dir() else -1,
        }

    def sysctl(self, name: str) -> str:
        """Return the value in force. Raises StewardError when the kernel has no such name."""
        found = self.text(f"proc/sys/{name.replace('.', '/')}")
        if found is None:
            raise StewardError(f"this kernel has no {name}; take it out of pg_server_sysctl")
        return " ".join(found.split())

    def set_sysctl(self, name: str, value: str) -> None:
        """Put a value in force. Raises StewardError in the kernel's words when it refuses."""
        try:
            (self.root / f"proc/sys/{name.replace('.', '/')}").write_text(value, encoding="utf-8")
        except OSError as error:
            raise StewardError(f"cannot set {name} to {value}: {error.strerror}") from None

    def may_set(self, name: str) -> bool:
        """Return whether a value can be put in force here at all: containers often may not."""
        return os.access(self.root / f"proc/sys/{name.replace('.', '/')}", os.W_OK)


@dataclass(frozen=True)
class Wanted:
    """How the machine below one server shall be."""

    sysctl: Mapping[str, Any]
    huge_pages: bool
    shared_buffers: int
    connections: int
    service: str
    directives: Mapping[str, Any]
    data_directory: Path

    def values(self, machine: Machine) -> dict[str, str]:
        """Return the kernel's parameters by name, that of the huge pages included."""
        values = {str(name): " ".join(str(value).split()) for name, value in self.sysctl.items()}
        if self.huge_pages:
            page = machine.meminfo().get("Hugepagesize", 0)
            if not page:
                raise StewardError("this kernel has no huge pages: set pg_server_huge_pages to try or off")
            values[HUGE_PAGES] = str(math.ceil(shared_memory(self.shared_buffers, self.connections) / page))
        return values

    def files(self, machine: Machine) -> dict[Path, str | None]:
        """Return the whole text of each owned file; None for one that shall not be."""
        values = self.values(machine)
        kernel = "".join(f"{name} = {value}\n" for name, value in sorted(values.items()))
        unit = "".join(f"{name}={value}\n" for name, value in self.directives.items())
        return {
            machine.root / "etc/sysctl.d/60-pgsteward.conf": HEADER + kernel if kernel else None,
            self.drop_in(machine): f"{HEADER}[Service]\n{unit}" if unit else None,
        }

    def drop_in(self, machine: Machine) -> Path:
        """Return the file that adds to the service's unit."""
        return machine.root / f"etc/systemd/system/{self.service}.service.d/50-pgsteward.conf"


def unsatisfied(machine: Machine, values: Mapping[str, str]) -> dict[str, str]:
    """Return the kernel's parameters that are not in force, vm.overcommit_memory last: it needs the others.

    More huge pages than wanted are left alone: they may be another program's. Raises StewardError where the value cannot be set here.
    """
    missing = {}
    for name in sorted(values, key=lambda name: (name == OVERCOMMIT, name)):
        found, value = machine.sysctl(name), values[name]
        enough = name == HUGE_PAGES and found.isdigit() and value.isdigit() and int(found) >= int(value)
        if found != value and not enough:
            missing[name] = value
            if not machine.may_set(name):
                raise StewardError(
                    f"{name} is {found} and cannot be set to {value} here: this is a container that may not;"
                    " set it on the machine that runs it, or take it out of the inventory"
                )
    return missing


def refuse_overcommit_that_is_used(machine: Machine, values: Mapping[str, str]) -> None:
    """Raise StewardError when strict accounting of memory would refuse what programs here have already been promised.

    The limit is the kernel's: swap, and overcommit_ratio percent of the memory without huge pages (docs, overcommit-accounting).
    """
    found = machine.meminfo()
    huge = max(int(values.get(HUGE_PAGES, 0)), found.get("HugePages_Total", 0)) * found.get("Hugepagesize", 0)
    ratio = int(values.get("vm.overcommit_ratio") or machine.sysctl("vm.overcommit_ratio"))
    fixed = int(values.get("vm.overcommit_kbytes") or machine.sysctl("vm.overcommit_kbytes")) * KB
    limit = (fixed or (found["MemTotal"] - huge) * ratio // 100) + found.get("SwapTotal", 0)
    used = found.get("Committed_AS", 0)
    if used > limit:
        raise StewardError(
            f"{OVERCOMMIT} {NEVER} would allow {readable(limit)}, programs here hold {readable(used)} already: raise vm.overcommit_ratio"
            f" (it is {ratio})"
        )


def prepare(machine: Machine, wanted: Wanted, run: Run, dry_run: bool) -> dict[str, Any]:
    """Bring both files and the kernel to what is wanted; return the module's result. Never restarts anything.

    Raises StewardError before anything is written where the kernel would refuse.
    """
    values, files = wanted.values(machine), wanted.files(machine)
    missing = unsatisfied(machine, values)
    if missing.get(OVERCOMMIT) == NEVER:
        refuse_overcommit_that_is_used(machine, values)
    before = {path: _owned_file.read(path) for path in files}
    stale = {path: text for path, text in files.items() if text != before[path]}
    drop_in = wanted.drop_in(machine)
    reload = drop_in in stale or run(["systemctl", "show", "-P", "NeedDaemonReload", wanted.service]) == "yes"
    if not dry_run:
        for path, text in stale.items():
            _put(path, text)
        if reload:
            run(["systemctl", "daemon-reload"])
        for name, value in missing.items():
            machine.set_sysctl(name, value)
        _refuse_too_few_pages(machine, missing)
    return {
        "changed": bool(stale or missing or reload),
        "restart_needed": _older(wanted.data_directory, drop_in, drop_in in stale),
        "diff": [
            *(
                {
                    "before_header": str(path),
                    "after_header": str(path),
                    "before": before[path] or "",
                    "after": text or "",
                }
                for path, text in stale.items()
            ),
            *({"prepared": f"sysctl {name} = {value}\n"} for name, value in missing.items()),
        ],
    }


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _owned_file.write(path, text)
    path.chmod(0o644)


def _refuse_too_few_pages(machine: Machine, values: Mapping[str, str]) -> None:
    """Raise StewardError when the kernel found fewer huge pages than asked for, which it does not call an error."""
    if HUGE_PAGES in values and int(machine.sysctl(HUGE_PAGES)) < int(values[HUGE_PAGES]):
        raise StewardError(
            f"the kernel has only {machine.sysctl(HUGE_PAGES)} of {values[HUGE_PAGES]} huge pages now, and a server that insists on them would"
            " not start: restart the host, which takes them at boot, then run again"
        )


def _older(data_directory: Path, drop_in: Path, stale: bool) -> bool:
    """Return whether a server runs here that was started before the drop-in was written."""
    lines = (_owned_file.read(data_directory / "postmaster.pid") or "").splitlines()
    if len(lines) < 3 or not Path(f"/proc/{lines[0]}").exists():
        return False
    return stale or (_owned_file.modified(drop_in) or 0) > int(lines[2]) * 10**9


def installed_versions(bin_directory: Path) -> dict[str, str | None]:
    """Return the versions of the server's binary and of the pgvector that CREATE EXTENSION would make, None for what is absent."""
    try:
        said = subprocess.run(
            [str(bin_directory / "postgres"), "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {"postgresql": None, "pgvector": None}
    server = said.split(") ", 1)[-1].split()[0]
    major = number(server)[:1]
    shared = (
        bin_directory.parent / "share",
        Path(f"/usr/share/postgresql/{major[0] if major else ''}"),
        Path("/usr/share/pgsql"),
    )
    control = next(
        (text for text in (_owned_file.read(path / "extension/vector.control") for path in shared) if text), ""
    )
    vector = re.search(r"^default_version\s*=\s*'([^']+)'", control, re.MULTILINE)
    return {"postgresql": server, "pgvector": vector[1] if vector else None}
