"""What one server says of itself, and what a cluster of them is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# States of one instance. `empty`: no data. `stopped`: data, and no server on it. `unreachable`: a server that does not answer.
EMPTY, STOPPED, PRIMARY, STANDBY, UNREACHABLE = "empty", "stopped", "primary", "standby", "unreachable"

# What a run that converges does with a host.
FIRST = "first"  # the primary where nothing follows it yet: made, started, configured before everybody else
LEADING = "leading"  # the primary of running standbys, which go first where they have to
FOLLOWING = "following"  # a standby, or a host without data that becomes one
LEFT_ALONE = "left_alone"  # a former primary, which has to rejoin first, or a host that does not answer


@dataclass(frozen=True)
class Topology:
    """The live cluster: names of hosts by state. primary is None when no server takes writes.

    problems: why these servers are no cluster that a run may work on, one line each. parts: host -> what a converging run does with it.
    """

    primary: str | None
    standbys: tuple[str, ...]
    stopped: tuple[str, ...]
    empty: tuple[str, ...]
    unreachable: tuple[str, ...]
    fenced: tuple[str, ...]
    system_identifier: str | None
    timeline: int | None
    parts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def as_facts(self) -> dict[str, Any]:
        """Return plain data for Ansible."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def unfinished_mark(data_directory: Path) -> Path:
    """Return the file beside a data directory that says that a copy into it has begun and not ended."""
    return data_directory.with_name(f".{data_directory.name}.pgsteward_unfinished")


def judge(instances: Mapping[str, Mapping[str, Any]], addresses: Mapping[str, Sequence[str]] | None = None) -> Topology:
    """Return the topology that `instances` (host -> result of pg_topology_info) form, with what is wrong with it.

    A host of which nothing is known counts as unreachable. addresses: host -> every name and address by which a standby may name it;
    without them nobody is taken for a stranger.
    """

    def hosts(state: str) -> tuple[str, ...]:
        return tuple(host for host, seen in instances.items() if seen.get("state", UNREACHABLE) == state)

    primaries = hosts(PRIMARY)
    identifiers = {
        host: str(seen["system_identifier"]) for host, seen in instances.items() if seen.get("system_identifier")
    }
    primary = primaries[0] if len(primaries) == 1 else None
    timeline = instances[primary].get("timeline") if primary else None
    problems = [
        *_two_primaries(instances, primaries),
        *_strange_identifiers(identifiers),
        *_strange_upstreams(instances, hosts(STANDBY), addresses or {}),
        *_timelines_ahead(instances, primary, timeline),
    ]
    topology = Topology(
        primary=primary,
        standbys=hosts(STANDBY),
        stopped=hosts(STOPPED),
        empty=hosts(EMPTY),
        unreachable=hosts(UNREACHABLE),
        fenced=tuple(host for host, seen in instances.items() if seen.get("fenced")),
        system_identifier=next(iter(identifiers.values()), None),
        timeline=timeline,
        problems=tuple(problems),
    )
    return Topology(**{**asdict(topology), "parts": _parts(topology, instances)})


def _two_primaries(instances: Mapping[str, Mapping[str, Any]], primaries: Sequence[str]) -> list[str]:
    if len(primaries) < 2:
        return []
    timelines = {host: instances[host].get("timeline") or 0 for host in primaries}
    newest = max(primaries, key=lambda host: timelines[host])
    others = [host for host in primaries if host != newest]
    level = len(set(timelines.values())) == 1
    said = "they are on one timeline" if level else f"{newest} is on the highest timeline"
    other = "HOST" if level or len(others) > 1 else others[0]
    return [
        (
            f"two primaries: {' and '.join(primaries)} both take writes; {said} ({timelines[newest]}). Decide which one holds the truth, then"
            f" stop the other at once (playbook rejoin with -e node={other} -e confirm={other} makes it a standby again)"
        )
    ]


def _strange_identifiers(identifiers: Mapping[str, str]) -> list[str]:
    if len(set(identifiers.values())) < 2:
        return []
    listed = ", ".join(f"{host} has {identifier}" for host, identifier in identifiers.items())
    return [
        f"servers of different clusters in one inventory (system identifiers): {listed}; take the stranger out of the inventory"
    ]


def _strange_upstreams(
    instances: Mapping[str, Mapping[str, Any]], standbys: Iterable[str], addresses: Mapping[str, Sequence[str]]
) -> list[str]:
    known = {address for names in addresses.values() for address in names}
    return [
        (
            f"{host} follows {instances[host]['upstream']}, which is none of {', '.join(addresses)}: a standby of a stranger, or a run with"
            " --limit; take it out of the inventory, or run without --limit"
        )
        for host in standbys
        if known and instances[host].get("upstream") and instances[host]["upstream"] not in known
    ]


def _timelines_ahead(
    instances: Mapping[str, Mapping[str, Any]], primary: str | None, timeline: int | None
) -> list[str]:
    if primary is None or timeline is None:
        return []
    return [
        (
            f"{host} is on timeline {seen['timeline']}, ahead of the primary {primary} on {timeline}: it took writes that {primary} does"
            f" not have. Nothing is changed: find out what they are, then make it a standby by reinit_standby with -e confirm={host}"
        )
        for host, seen in instances.items()
        if host != primary and seen.get("state") in (STANDBY, STOPPED) and (seen.get("timeline") or 0) > timeline
    ]


def _parts(topology: Topology, instances: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what a converging run does with each host; nobody but one becomes or stays primary."""
    follows = [
        host
        for host in instances
        if host in topology.standbys or (host in topology.stopped and instances[host].get("standby_signal"))
    ]
    leader = topology.primary or _startable(topology, instances, follows)
    if leader is None and topology.empty == tuple(instances):
        leader = next(iter(instances), None)
    parts = {}
    for host in instances:
        if host == leader:
            parts[host] = LEADING if host == topology.primary and follows else FIRST
        elif host in follows or (host in topology.empty and leader is not None):
            parts[host] = FOLLOWING
        else:
            parts[host] = LEFT_ALONE
    return parts


def _startable(topology: Topology, instances: Mapping[str, Mapping[str, Any]], follows: Sequence[str]) -> str | None:
    """Return the one stopped primary that may be started because nobody is ahead of it and nobody unknown may be.

    A fenced one is not: another may have taken over.
    """
    stopped = [host for host in topology.stopped if host not in follows]
    writes = any(seen.get("state") == PRIMARY for seen in instances.values())
    if writes or len(stopped) != 1 or stopped[0] in topology.fenced or topology.unreachable:
        return None
    ahead = max((instances[host].get("timeline") or 0 for host in follows), default=0)
    return stopped[0] if (instances[stopped[0]].get("timeline") or 0) >= ahead else None


def no_primary(topology: Mapping[str, Any]) -> str | None:
    """Return why a converging run cannot go on without a primary, None when it can. topology: the facts of judge()."""
    if topology["primary"] or FIRST in topology["parts"].values():
        return None
    for line in topology["problems"]:
        if line.startswith("two primaries"):
            return str(line)
    silent = f"; {', '.join(topology['unreachable'])} cannot be asked" if topology["unreachable"] else ""
    fenced = f"; fenced: {', '.join(topology['fenced'])}" if topology["fenced"] else ""
    if topology["standbys"]:
        return (
            f"no server takes writes: {', '.join(topology['standbys'])} wait for a primary{silent}{fenced}. Bring the primary back, or run the"
            " playbook failover"
        )
    return (
        f"no server takes writes, and none may be made or started while it is not known who was primary{silent}{fenced}. Bring all hosts of"
        " the cluster up first, or take those that are gone for good out of the inventory"
    )
