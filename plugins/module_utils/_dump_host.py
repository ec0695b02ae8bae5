# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role pg_dumps puts on a host: commands, the code behind them, unit, timer, configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config as config
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_crypt as crypt
from ansible_collections.pgsteward.postgres.plugins.module_utils._drill_host import timer, unit
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import OPTIONS
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

LIBRARY = "/usr/local/lib/pgsteward/python"
MODULE_UTILS = f"{LIBRARY}/ansible_collections/pgsteward/postgres/plugins/module_utils"
COMMANDS = ("backup-db", "restore-db", "drill-db")
SERVICE = "pgsteward-dumps"
UNIT, TIMER = f"/etc/systemd/system/{SERVICE}.service", f"/etc/systemd/system/{SERVICE}.timer"
DRILL = "pgsteward-dumps-drill"
DRILL_UNIT, DRILL_TIMER = f"/etc/systemd/system/{DRILL}@.service", f"/etc/systemd/system/{DRILL}.timer"
TMPFILES = "/etc/tmpfiles.d/pgsteward-dumps.conf"
KEY_FILE = "/etc/pgsteward/dumps.key"
DIRECTORY = "/var/lib/pgsteward/backup"
HEADER = "# Managed by pgsteward.postgres: the role pg_dumps writes this file whole.\n"

# The modules that the commands are made of; a test holds it equal to what they import.
SHIPPED = tuple(
    f"_{name}.py"
    for name in """
    account beside canonical catalog catalog_objects catalog_others catalog_queries catalog_record catalog_tables catalog_types children connection
    controldata drift drill drill_report dump dump_actions dump_branch dump_commands dump_config dump_crypt dump_drill dump_fetch dump_foreign
    dump_globals dump_list dump_load dump_manifest dump_names dump_plan dump_process dump_restore dump_retention dump_source dump_sqlite dump_stage
    dump_target dump_toc errors identifiers owned_file pgvector postmaster privileges quoting recovery replica restore restore_plan restore_source
    restore_target restore_wal safe_versions snapshot standby_data store store_s3
    """.split()
)


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the inputs of the role, by their names without its prefix, each named as the role has it."""
    found = [
        f"pg_dumps_{text}"
        for text in config.findings({**inputs, "stores": [_bare(store) for store in inputs["stores"]]})
    ]
    for number, key in enumerate(inputs["encryption_keys"]):
        name = f"pg_dumps_encryption_keys[{number}]"
        try:
            crypt.parse_key(str(key), name)
        except StewardError as error:
            found.append(str(error))
    keyless = [store for store in inputs["stores"] if store.get("encrypted") and not inputs["encryption_keys"]]
    if keyless:
        found.append(
            f"pg_dumps_encryption_keys is empty, and the store {config.store_name(keyless[0])} is to be encrypted"
        )
    return found


def _bare(store: Mapping[str, Any]) -> dict[str, Any]:
    """Return a store without the key that is of the role only."""
    return {key: value for key, value in store.items() if key != "encrypted"}


def stores(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the stores as the commands want them: with the key file, where the store does not say that it is not to be encrypted."""
    keyed = bool(inputs["encryption_keys"])
    return [
        {**_bare(store), **({"encryption_key_file": KEY_FILE} if keyed and store.get("encrypted", True) else {})}
        for store in inputs["stores"]
    ]


def to_look_at(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the stores by `name`, each as the modules take a `store`, for those who want to see what is in them."""
    return [
        {
            "name": config.store_name(store),
            "store": {key: value for key, value in store.items() if key in OPTIONS and value is not None},
        }
        for store in stores(inputs)
    ]


def configuration(inputs: Mapping[str, Any]) -> str:
    """Return the configuration of the commands. It has the secrets of the stores."""
    held = {
        key: inputs[key]
        for key in ("environment", "host", "user", "superuser", "port", "from", "databases", "sqlite", "retention")
    }
    return config.text_of(
        {
            **held,
            "account": inputs["superuser"],
            "socket": inputs["socket_directory"],
            "directory": DIRECTORY,
            "bin_directory": None,
            "stores": stores(inputs),
        }
    )


def key_text(inputs: Mapping[str, Any]) -> str:
    """Return the key file."""
    return "".join(f"{key}\n" for key in inputs["encryption_keys"])


def commands() -> dict[str, str]:
    """Return the text of each command, by its path."""
    return {f"/usr/local/bin/{name}": _command(name) for name in COMMANDS}


def files(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts that are wanted by path, the paths of those that are not (any more), and the modules that are shipped. None is secret."""
    wanted = commands()
    # A package of that name elsewhere would hide ours: only a regular one, found first, does not look further.
    wanted[f"{LIBRARY}/ansible_collections/__init__.py"] = HEADER
    wanted[TMPFILES] = _tmpfiles(inputs["superuser"], local_stores(inputs))
    wanted[UNIT] = _unit(inputs["superuser"])
    wanted[DRILL_UNIT] = HEADER + unit("Restore drill (%i) of the dumps of this host", "/usr/local/bin/drill-db")
    timers = {
        TIMER: (inputs["schedule"], "Dumps of the databases of this host", f"{SERVICE}.service"),
        DRILL_TIMER: (
            inputs["drill_schedule"],
            "Restore drill of the dumps of this host",
            f"{DRILL}@scheduled.service",
        ),
    }
    wanted |= {
        path: HEADER + timer(description, when, inputs["random_delay"], service)
        for path, (when, description, service) in timers.items()
        if when
    }
    return {"wanted": wanted, "unwanted": [path for path in timers if path not in wanted], "shipped": list(SHIPPED)}


def local_stores(inputs: Mapping[str, Any]) -> list[str]:
    """Return the directories of this host among the stores."""
    return [str(store["path"]) for store in inputs["stores"] if store.get("path")]


def _command(name: str) -> str:
    return f"""#!/usr/bin/python3 -I
{HEADER}import sys

sys.path.insert(0, "{LIBRARY}")
sys.dont_write_bytecode = True

from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_commands import main

main("{name}")
"""


def _tmpfiles(account: str, directories: Sequence[str]) -> str:
    lines = [
        "d /var/lib/pgsteward 0755 root root",
        f"d {DIRECTORY} 0755 {account} {account}",
        f"d {DIRECTORY}/staging 0700 {account} {account}",
        *(f"d {path} 0750 {account} {account}" for path in dict.fromkeys(directories)),
    ]
    return HEADER + "\n".join(lines) + "\n"


def _unit(account: str) -> str:
    return (
        HEADER
        + f"""[Unit]
Description=Dumps of the databases of this host
Wants=network-online.target
After=network-online.target postgresql.service
[Service]
Type=oneshot
User={account}
ExecStart=/usr/local/bin/backup-db --scheduled
Nice=10
IOSchedulingPriority=7
NoNewPrivileges=true
"""
    )
