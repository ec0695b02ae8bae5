"""What the tests of restore drills do and ask: by systemctl and the files of the hosts, past everything that is under test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cluster

FLIP = (
    "import sys; p = sys.argv[1]; b = bytearray(open(p, 'rb').read()); b[len(b) // 2] ^= 0x55; open(p, 'r+b').write(b)"
)


@dataclass(frozen=True)
class Drill:
    """A kind of drill. files: what its records are called. base: the directory that its server has while it runs."""

    kind: str
    files: str
    unit: str
    base: str

    @property
    def path(self) -> str:
        """Return where its records are, without an ending."""
        return f"/var/lib/pgsteward/drill/{self.files}"

    def record(self, host: str) -> dict[str, Any]:
        """Return what the last one has left."""
        return dict(json.loads(cluster.on(host, "cat", f"{self.path}.json")))

    def figure(self, host: str, name: str) -> float:
        """Return a figure as the monitoring reads it."""
        lines = cluster.on(host, "cat", f"{self.path}.prom").splitlines()
        [line] = [line for line in lines if line.startswith(f"{name}{{")]
        assert line.startswith(f'{name}{{cluster="lab",kind="{self.kind}"}} ')
        return float(line.split()[-1])

    def proves(self, host: str) -> bool:
        """Do a drill without Ansible, as the timer does; tell whether it proved anything."""
        return cluster.on(host, "sh", "-c", f"systemctl start {self.unit} && echo proven", check=False) == "proven"

    def gone(self, host: str) -> None:
        """Nothing of a drill is left: no file, no process, no lock. Where all of the unit was killed, another one sees to that."""
        directory, _slash, name = self.base.rpartition("/")

        def left() -> list[str]:
            files = cluster.on(host, "find", directory, "-maxdepth", "1", "-name", f"*{name}*", check=False)
            return [*files.split(), *cluster.on(host, "pgrep", "-f", self.base, check=False).split()]

        cluster.until(lambda: not left(), 10, "nothing left")

    def killed(self, host: str, whom: str, sign: str) -> None:
        """Begin a drill, and kill its command, its server, or everything, once a file below its directory is there; wait for its end."""
        cluster.on(host, "systemctl", "start", "--no-block", self.unit)
        cluster.until(lambda: cluster.on(host, "ls", f"{self.base}/{sign}", check=False), 60, "the drill has begun")
        if whom == "server":
            socket = f"{self.base}/socket/.s.PGSQL.5432"
            cluster.until(lambda: cluster.on(host, "ls", socket, check=False), 60, "its server")
            cluster.on(host, "sh", "-c", f"kill -9 $(head -n 1 {self.base}/data/postmaster.pid)")
        else:
            cluster.on(host, "systemctl", "kill", f"--kill-whom={whom}", "--signal=SIGKILL", self.unit)
        ended = ("inactive", "failed")
        cluster.until(
            lambda: cluster.on(host, "systemctl", "is-active", self.unit, check=False) in ended, 60, "its end"
        )
        self.gone(host)
        cluster.on(host, "systemctl", "reset-failed", self.unit, check=False)


PHYSICAL = Drill("physical", "physical", "pgsteward-restore-drill@here", "/var/lib/pgsteward/restores/drill")
DUMPS = Drill("dump", "dumps", "pgsteward-dumps-drill@here", "/var/lib/pgsteward/backup/drill")


@contextmanager
def damaged(host: str, file: str) -> Iterator[None]:
    """Have one byte of a stored file wrong for a while."""
    cluster.on(host, "python3", "-c", FLIP, file)
    try:
        yield
    finally:
        cluster.on(host, "python3", "-c", FLIP, file)
