# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node of a cluster is configured with so that it can follow any other: connection, slots, synchronous names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

SLOT_PREFIX = "pgsteward_"
POLICIES = ("strict", "degrade")
METHODS = {"quorum": "ANY", "priority": "FIRST"}


def slot_name(host: str) -> str:
    """Return the name of the slot that every other node holds for `host`: 63 bytes of lower case letters, digits, underscores."""
    return (SLOT_PREFIX + re.sub(r"[^a-z0-9_]", "_", host.lower()))[:63]


def conninfo(options: Mapping[str, Any]) -> str:
    """Return a libpq connection string of those options that have a value, quoted where they have to be."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in options.items() if value is not None)


def _quoted(value: Any) -> str:
    text = str(value)
    if re.fullmatch(r"[A-Za-z0-9_.,:/@%+-]+", text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def primary_conninfo(node: str, addresses: Mapping[str, str], access: Mapping[str, Any]) -> str:
    """Return how `node` finds its primary: all its siblings, of which libpq takes the one that takes writes.

    So the text is the same before and after a change of primary. addresses: host -> address; access: port, user, passfile, ca_file.
    A host that is lost without a word is noticed within seconds.
    """
    siblings = [address for host, address in addresses.items() if host != node]
    return conninfo(
        {
            "host": ",".join(siblings),
            "port": access["port"],
            "user": access["user"],
            "passfile": access["passfile"],
            "sslmode": "verify-full",
            "sslrootcert": access["ca_file"],
            "target_session_attrs": "read-write",
            "application_name": node,
            "connect_timeout": 3,
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "tcp_user_timeout": 5000,
        }
    )


def synchronous_names(method: str, count: int, standbys: Sequence[str]) -> str:
    """Return synchronous_standby_names: method quorum (any `count` of them) or priority (the first `count`), else nothing.

    With fewer standbys than count nobody is left out: commits wait, which is what count promises.
    """
    if method not in METHODS or not standbys:
        return ""
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in standbys)
    return f"{METHODS[method]} {count} ({quoted})"


def node_settings(node: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the file that a node owns for replication. They hold for a primary and for a standby alike.

    inputs: addresses, access (see primary_conninfo), synchronous, synchronous_count, synchronous_hosts, sync_policy, present (hosts that
    are there), max_slot_wal_keep_size. A node alone follows nobody and has no such settings but the limit of slots.
    """
    siblings = [host for host in inputs["addresses"] if host != node]
    settings: dict[str, Any] = {"max_slot_wal_keep_size": inputs["max_slot_wal_keep_size"]}
    if not siblings:
        return settings
    wanted = [host for host in inputs["synchronous_hosts"] or siblings if host in siblings]
    count = int(inputs["synchronous_count"])
    if inputs["sync_policy"] == "degrade":
        wanted = [host for host in wanted if host in inputs["present"]]
        count = min(count, len(wanted))
    return {
        **settings,
        "primary_conninfo": primary_conninfo(node, inputs["addresses"], inputs["access"]),
        "primary_slot_name": slot_name(node),
        "synchronous_standby_names": synchronous_names(inputs["synchronous"], count, wanted),
        # A standby whose primary went looks for the next one this often; five seconds, the default, would be the wait of a commit
        # that needs its confirmation.
        "wal_retrieve_retry_interval": "500ms",
        # A connection that is dead without a word.
        "wal_receiver_timeout": "10s",
        "wal_sender_timeout": "10s",
        # After a crash the server syncs its files before it recovers: one by one that takes minutes where there are many.
        "recovery_init_sync_method": "syncfs",
    }


def findings(node: str, inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing wrong with the inputs of the role pg_replica; see node_settings, and passwords by account."""
    found = []
    siblings = [host for host in inputs["addresses"] if host != node]
    for account, variable in (
        ("password", "pg_replica_password"),
        ("operations_password", "pg_replica_operations_password"),
    ):
        if siblings and not inputs[account]:
            found.append(f"{variable}: it is empty; put a password of its own for this account into the vault")
    if inputs["user"] == inputs["operations_user"]:
        found.append(
            f"pg_replica_operations_user: {inputs['user']} is the account of replication; give it another name"
        )
    if inputs["synchronous"] != "none":
        strangers = [host for host in inputs["synchronous_hosts"] if host not in inputs["addresses"]]
        known = ", ".join(inputs["addresses"])
        if strangers:
            found.append(
                f"pg_replica_synchronous_hosts: {strangers[0]} is no host of this cluster; its hosts are {known}"
            )
        count, most = int(inputs["synchronous_count"]), len(inputs["synchronous_hosts"] or inputs["addresses"]) - 1
        if not strangers and not 1 <= count <= max(most, 0):
            remedy = f"give {f'1 to {most}' if most > 1 else 1}" if most > 0 else "name more hosts"
            found.append(
                f"pg_replica_synchronous_count: {count} standbys cannot confirm where any one of {known} may be primary; {remedy}, or"
                " pg_replica_synchronous: none"
            )
    slots: dict[str, str] = {}
    for host in inputs["addresses"]:
        other = slots.setdefault(slot_name(host), host)
        if other != host:
            found.append(f"{other} and {host} would share the slot {slot_name(host)}; rename one of the hosts")
    if inputs["rate_limit"] is not None and not _is_rate(str(inputs["rate_limit"])):
        found.append(
            f"pg_replica_rate_limit: {inputs['rate_limit']} is no rate; write 32k to 1024M, in bytes per second"
        )
    return found


def _is_rate(text: str) -> bool:
    """Whether pg_basebackup takes it: kilobytes unless M says otherwise."""
    match = re.fullmatch(r"([0-9]+)([kM]?)", text)
    return match is not None and 32 <= int(match[1]) * (1024 if match[2] == "M" else 1) <= 1024 * 1024


def pass_line(user: str, password: str) -> str:
    """Return the line of a libpq password file that serves `user` everywhere."""
    return f"*:*:*:{_escaped(user)}:{_escaped(password)}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")
