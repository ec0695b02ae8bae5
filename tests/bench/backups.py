"""How fast WAL gets into the archive and how fast a full backup is, beside `cp` of the same files on the same machine.

The hosts of scenario backup are up and converged (tools/bench sees to it): the repository is on another host, reached by TLS. Only that one is
measured; the store of the lab stands for no store of anybody.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ["LAB_INVENTORY"] = str(ROOT / "molecule" / "backup" / "inventory" / "hosts.yml")
sys.path.insert(0, str(ROOT / "molecule" / "shared"))

import backups  # noqa: E402
import cluster  # noqa: E402

SEGMENTS = 64
ROWS = 5_000_000
MIB = 1 << 20
COPY = "/var/tmp/bench-copy"  # noqa: S108 - on a host of the lab
# Random texts, so that compression has something to do, and a full backup of half a gigabyte and more.
FILL = f"CREATE TABLE bench AS SELECT n, md5(n::text) || md5((n * 7)::text) AS pad FROM generate_series(1, {ROWS}) AS n"
READY = f"ls {cluster.DATA}/pg_wal/archive_status | grep -c ready"


def ready(node: str) -> int:
    """Return how many segments wait for their archive."""
    return int(cluster.on(node, "sh", "-c", READY, check=False) or 0)


def statement(node: str, text: str) -> None:
    """Have a server do what takes long."""
    command = ["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", cluster.DATABASE]
    cluster.on(node, *command, "-c", text)


def copied(host: str, files: str) -> tuple[float, int]:
    """Copy files on their host and have them on the disk; return seconds and bytes."""
    cluster.on(host, "sh", "-c", f"rm -rf {COPY}; mkdir {COPY}; sync -f {COPY}")
    began = time.monotonic()
    cluster.on(host, "sh", "-c", f"cp -a {files} {COPY} && sync -f {COPY}")
    seconds = time.monotonic() - began
    size = int(cluster.on(host, "du", "-sb", COPY).split()[0])
    cluster.on(host, "rm", "-rf", COPY)
    return seconds, size


def archiving(node: str) -> None:
    """Let WAL wait, then let it go; print how fast it does."""
    cluster.ask(node, "ALTER SYSTEM SET archive_command = '/bin/false'")
    cluster.ask(node, "SELECT pg_reload_conf()")
    try:
        number = 0
        while ready(node) < SEGMENTS:
            number += 1
            statement(
                node,
                f"CREATE TABLE bench_{number} AS SELECT n, md5(n::text) AS pad FROM generate_series(1, 500000) AS n",
            )
        waiting = ready(node)
        files = f"$(ls {cluster.DATA}/pg_wal/archive_status/*.ready | sed 's|archive_status/||; s|.ready$||')"
        plain, size = copied(node, files)
    finally:
        cluster.ask(node, "ALTER SYSTEM RESET archive_command")
    began = time.monotonic()
    cluster.ask(node, "SELECT pg_reload_conf()")
    cluster.until(lambda: ready(node) == 0, 600, "everything is archived")
    seconds = time.monotonic() - began
    print(
        f"archive: {waiting} segments of WAL into both repositories in {seconds:.1f} s, {waiting / seconds:.1f} a second;"
        f" cp and sync of the same {size / MIB:.0f} MiB {plain:.1f} s, {seconds / plain:.1f} x"
    )


def full_backup() -> None:
    """Take a full backup into the repository host; print how fast it was."""
    standby = sorted(cluster.followers())[0]
    backups.idle()
    began = time.monotonic()
    backups.pgbackrest(
        backups.STORE, "backup", "--type=full", "--repo=1", "--backup-standby=y", "--log-level-console=warn"
    )
    seconds = time.monotonic() - began
    newest = [one for one in backups.info()["backup"] if one["database"]["repo-key"] == 1][-1]
    size = newest["info"]["size"]
    plain, _bytes = copied(standby, f"{cluster.DATA}/base {cluster.DATA}/global")
    print(
        f"full backup of {size / MIB:.0f} MiB from a standby by TLS, zstd: {seconds:.1f} s, {size / MIB / seconds:.0f} MiB/s, stored"
        f" {newest['info']['repository']['delta'] / MIB:.0f} MiB; cp and sync of the same files on the standby"
        f" {size / MIB / plain:.0f} MiB/s, {plain / seconds:.2f} of its speed"
    )


def main() -> None:
    """Measure and print."""
    backups.idle()
    cluster.whole()
    node = cluster.primary()
    statement(node, FILL)
    archiving(node)
    full_backup()


if __name__ == "__main__":
    main()
