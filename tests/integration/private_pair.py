"""A primary and its standby for a while, in a private directory, from the server's programs on this machine."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils import _private_cluster
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect

LIMIT = 30.0  # seconds
SETTINGS = {"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on", "max_connections": "40"}


@contextmanager
def pair(major: int) -> Iterator[tuple[Place, Place]]:
    """Give the database template1 on a primary and on its standby, for their superuser."""
    binaries = _private_cluster.find_binaries(major)
    with _private_cluster.private_cluster(binaries, "postgres", SETTINGS) as primary:
        directory = Path(str(primary.host))
        home, account = directory / "standby", _private_cluster._account()
        become = {"user": account.pw_uid, "group": account.pw_gid} if account else {}
        subprocess.run(
            [binaries / "pg_basebackup", "-h", directory, "-U", "postgres", "-D", home / "data", "-R", "-c", "fast"],
            env={**os.environ, "PGPASSWORD": str(primary.password)},
            cwd=directory,
            check=True,
            capture_output=True,
            timeout=LIMIT,
            **become,
        )
        standby = replace(primary, port=primary.port + 1 if primary.port else None)
        settings = {**_private_cluster._SETTINGS, **SETTINGS, "port": str(standby.port)}
        with tempfile.TemporaryFile() as log:
            programs = _private_cluster._Programs(binaries, home, account, log)
            process = programs.start({**settings, "unix_socket_directories": str(directory)})
            try:
                _private_cluster._await_start(process, standby, log)
                yield primary, standby
            finally:
                process.kill()
                process.wait()


def caught_up(primary: Place, standby: Place) -> None:
    """Wait until the standby has what the primary has written by now."""
    with connect(primary, "test") as connection:
        [(written,)] = connection.execute("SELECT pg_current_wal_lsn()::text").fetchall()
    limit = time.monotonic() + LIMIT
    with connect(standby, "test") as connection:
        while connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written]).fetchone() != (True,):
            assert time.monotonic() < limit, "the standby does not follow"
            time.sleep(0.02)
