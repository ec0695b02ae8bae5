"""What one server says of itself, and what a cluster of them is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

# States of one instance. `empty`: no data. `stopped`: data, and no server on it. `unreachable`: a server that does not answer.
EMPTY, STOPPED, PRIMARY, STANDBY, UNREACHABLE = "empty", "stopped", "primary", "standby", "unreachable"


class TopologyError(StewardError):
    """The servers do not form one cluster with at most one primary."""


@dataclass(frozen=True)
class Topology:
    """The live cluster: names of hosts by state. primary is None when no server takes writes."""

    primary: str | None
    standbys: tuple[str, ...]
    stopped: tuple[str, ...]
    empty: tuple[str, ...]
    unreachable: tuple[str, ...]
    system_identifier: str | None
    timeline: int | None

    def as_facts(self) -> dict[str, Any]:
        """Return plain data for Ansible."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def judge(instances: Mapping[str, Mapping[str, Any]]) -> Topology:
    """Return the topology that `instances` (host -> result of pg_topology_info) form.

    A host of which nothing is known counts as unreachable. Raises TopologyError, naming the hosts, on two primaries or on two
    system identifiers.
    """

    def hosts(state: str) -> tuple[str, ...]:
        return tuple(sorted(host for host, seen in instances.items() if seen.get("state", UNREACHABLE) == state))

    primaries = hosts(PRIMARY)
    if len(primaries) > 1:
        raise TopologyError(
            f"two primaries: {' and '.join(primaries)} both take writes; stop the one that must not, before anything else",
            hosts=list(primaries),
        )
    identifiers = {
        host: str(seen["system_identifier"])
        for host, seen in sorted(instances.items())
        if seen.get("system_identifier")
    }
    if len(set(identifiers.values())) > 1:
        listed = ", ".join(f"{host} has {identifier}" for host, identifier in identifiers.items())
        raise TopologyError(f"servers of different clusters in one inventory: {listed}", system_identifiers=identifiers)
    primary = primaries[0] if primaries else None
    return Topology(
        primary=primary,
        standbys=hosts(STANDBY),
        stopped=hosts(STOPPED),
        empty=hosts(EMPTY),
        unreachable=hosts(UNREACHABLE),
        system_identifier=next(iter(identifiers.values()), None),
        timeline=instances[primary].get("timeline") if primary else None,
    )
