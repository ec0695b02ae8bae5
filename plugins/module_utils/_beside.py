# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restored server beside everything that is live: no network, no archive, a socket in a directory that only its account may enter."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Server, needed_settings

UNIT = "pgsteward-restored-{port}"
SOCKET_PATH_LIMIT = 107  # bytes, by the kernel

_PRIVATE: Mapping[str, str] = {
    "listen_addresses": "",
    "archive_mode": "off",
    "archive_command": "",
    "primary_conninfo": "",
    "ssl": "off",
    "max_logical_replication_workers": "0",  # it must not take what subscriptions of the live one wait for
    "logging_collector": "off",
    "log_destination": "stderr",
    "hot_standby": "on",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "cluster_name": "pgsteward_restored",
}
_RULES = "# Managed by pgsteward.postgres: only the owner of the data, over the socket.\nlocal all {owner} peer\n"


def settings(port: int, socket: Path, needed: Mapping[str, int], more: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of the server. needed: what its WAL wants at least. more: what goes beside; it cannot open the network."""
    wanted = {name: str(value) for name, value in more.items() if name not in _PRIVATE or name == "shared_buffers"}
    return {
        **{name: str(value) for name, value in needed.items()},
        **_PRIVATE,
        **wanted,
        "port": str(port),
        "unix_socket_directories": str(socket),
        "unix_socket_permissions": "0700",
    }


def command(server: Server, base: Path, given: Mapping[str, str]) -> list[str]:
    """Return how the server is started. On the command line, since postgresql.auto.conf of the backup comes after every file."""
    options = {
        "config_file": str(base / "postgresql.conf"),
        "hba_file": str(base / "pg_hba.conf"),
        "ident_file": str(base / "pg_ident.conf"),
        **given,
    }
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return [str(server.bin_directory / "postgres"), "-D", str(server.data_directory), *words]


def furnish(server: Server, base: Path, port: int, more: Mapping[str, Any]) -> list[str]:
    """Write the files that the server needs beside its data; return the command that starts it."""
    account = pwd.getpwnam(server.owner)
    owner = (account.pw_uid, account.pw_gid)
    given = settings(port, base / "socket", needed_settings(server), more)
    for name, text in {
        "postgresql.conf": "# Managed by pgsteward.postgres: everything is on the command line.\n",
        "pg_hba.conf": _RULES.format(owner=server.owner),
        "pg_ident.conf": "",
    }.items():
        _owned_file.write(base / name, text, owner=owner)
    return command(server, base, given)


def unit_command(unit: str, log: Path, owner: str, words: list[str]) -> list[str]:
    """Return what makes a transient unit of the server. It is gone with the host's next boot, its directory is not."""
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={unit}",
        f"--uid={owner}",
        "--description=A restored PostgreSQL beside the live one",
        "--property=KillMode=mixed",
        "--property=KillSignal=SIGINT",
        "--property=TimeoutStopSec=60",
        "--property=OOMScoreAdjust=500",
        f"--property=StandardOutput=append:{log}",
        f"--property=StandardError=append:{log}",
        "--",
        *words,
    ]


def how_to_connect(base: Path, port: int, owner: str) -> str:
    """Return what an operator types to look into it."""
    return f"sudo -u {owner} psql -h {base / 'socket'} -p {port}"


def socket_finding(base: Path, port: int) -> str | None:
    """Return why the socket cannot be made there, None when it can."""
    path = base / "socket" / f".s.PGSQL.{port}"
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        return f"{path} is longer than a socket's path may be ({SOCKET_PATH_LIMIT} bytes): name a shorter directory"
    return None


def port_finding(port: int) -> str | None:
    """Return why a port cannot be the restored server's, None when it can. It only names the socket, but people take ports for servers."""
    for directory in ("/var/run/postgresql", "/run/postgresql", "/tmp"):  # noqa: S108
        if (Path(directory) / f".s.PGSQL.{port}").exists():
            return f"port {port} is that of a server which runs here: take another one for the restored server"
    return None if 1024 <= port <= 65535 else f"port {port} is not from 1024 to 65535"
