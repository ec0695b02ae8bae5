# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change of primary before anybody acts: who may take over, why not, what may be lost. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._operation import held_findings
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import (
    EMPTY,
    PRIMARY,
    STANDBY,
    STOPPED,
    UNREACHABLE,
    judge,
)

Instances = Mapping[str, Mapping[str, Any]]
_UNITS = {"": 1, "B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


@dataclass(frozen=True)
class ChangePlan:
    """Who hands over to whom. findings: why it is refused, one line each. others: standbys that go on as such.

    timeline: of the primary as it was seen, otherwise of the candidate.
    """

    operation: str
    primary: str | None
    candidate: str | None
    others: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    loss: Mapping[str, Any] = field(default_factory=dict)
    timeline: int | None = None

    def as_facts(self) -> dict[str, Any]:
        """Return plain data for Ansible."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def size(text: Any) -> int:
    """Return the bytes that a size such as 16MB means; raises StewardError."""
    match = re.fullmatch(r"\s*(\d+)\s*([kMGT]?B?)\s*", str(text))
    if match is None or match[2] not in _UNITS:
        raise StewardError(f"{text} is no size: write a number with kB, MB, GB or TB")
    return int(match[1]) * _UNITS[match[2]]


def position(instance: Mapping[str, Any]) -> tuple[int, int]:
    """Return how far a standby has got: its timeline, then the greater of what it received and replayed."""
    places = [Lsn.parse(instance[name]) for name in ("lsn", "received_lsn") if instance.get(name)]
    return int(instance.get("timeline") or 0), max(places, default=Lsn(0))


def by_position(instances: Instances, hosts: Sequence[str]) -> list[str]:
    """Return the hosts, the one that has got furthest first; those that are level keep their order."""
    return sorted(hosts, key=lambda host: tuple(-part for part in position(instances[host])))


def standbys(instances: Instances) -> list[str]:
    """Return the hosts on which a standby answers."""
    return [host for host, seen in instances.items() if seen.get("state") == STANDBY]


def plan_switchover(topology: Mapping[str, Any], wanted: str | None, limits: Mapping[str, Any]) -> ChangePlan:
    """Return who takes over from the primary, and why not.

    topology: the fact pg_topology. wanted: the candidate by name; otherwise the best. limits: max_lag (size), max_transaction_age
    (seconds), synchronous (none, quorum, priority), poolers and lookup_user (see pooler_findings), held (see held_findings).
    """
    instances: Instances = topology["instances"]
    primary, followers = topology["primary"], standbys(instances)
    if held := held_findings(limits.get("held") or {}):
        return ChangePlan("switchover", primary, wanted, findings=tuple(held))
    findings = list(topology["problems"])
    if primary is not None:
        findings += pooler_findings(instances[primary], limits.get("poolers") or [], str(limits.get("lookup_user")))
    elif not findings:
        findings.append(topology.get("no_primary") or "there is no primary to hand over: run failover")
    choices = [wanted] if wanted else _preferred(instances, primary, followers)
    candidate, warnings = next(iter(choices), None), []
    if not findings:
        fit = (host for host in choices if not _candidate_findings(topology, host, limits))
        candidate = next(fit, candidate)
        findings += _candidate_findings(topology, candidate, limits)
    if not findings:
        age = float(instances[primary].get("oldest_transaction") or 0)
        if age > float(limits["max_transaction_age"]):
            findings.append(
                f"a transaction on {primary} has been open for {age:.0f} s, more than pg_replica_max_transaction_age"
                f" ({limits['max_transaction_age']} s): the poolers would wait for its end. End it, or come back later"
            )
        away = [host for host in instances if host not in (primary, *followers)]
        warnings += [f"{host} is {instances[host].get('state', UNREACHABLE)} and stays behind" for host in away]
    others = tuple(host for host in followers if host != candidate)
    timeline = _timeline(instances, primary, candidate)
    return ChangePlan("switchover", primary, candidate, others, tuple(findings), tuple(warnings), timeline=timeline)


def pooler_findings(primary: Mapping[str, Any], poolers: Sequence[Mapping[str, Any]], lookup_user: str) -> list[str]:
    """Return why the poolers cannot hold everybody back. poolers: name, host, reached (whether it answers).

    A pooler that the inventory does not know gives itself away by the account with which it looks up passwords.
    """
    found = [
        f"pooler {one['name']} cannot be asked: its clients would meet a server that is going down. Bring it back, or take it out of the inventory"
        for one in poolers
        if not one["reached"]
    ]
    known = {address for one in poolers for address in one.get("addresses", [one["host"]])}
    strangers = sorted(
        {
            one["address"]
            for one in primary.get("clients") or []
            if one["user"] == lookup_user and one["address"] and one["address"] not in known
        }
    )
    return found + [
        f"a pooler at {address} serves clients of the primary and is not in the inventory: add it to the group pgbouncer"
        for address in strangers
    ]


def _preferred(instances: Instances, primary: str | None, followers: Sequence[str]) -> list[str]:
    """Return the standbys, synchronous ones first, then by position."""
    states = {one["name"]: one.get("sync_state") for one in (instances.get(primary or "", {}).get("followers") or [])}
    return sorted(by_position(instances, followers), key=lambda host: states.get(host) not in ("sync", "quorum"))


def _candidate_findings(topology: Mapping[str, Any], candidate: str | None, limits: Mapping[str, Any]) -> list[str]:
    instances, primary = topology["instances"], topology["primary"]
    followers = standbys(instances)
    if not followers:
        return [f"{primary} has no standby that answers: there is nobody to take over"]
    choices = f"the standbys are {', '.join(followers)}"
    if candidate not in instances:
        return [f"candidate {candidate} is no host of this cluster: {choices}"]
    if candidate == primary:
        return [f"candidate {candidate} is the primary already: {choices}"]
    if candidate not in followers:
        return [f"candidate {candidate} is {instances[candidate].get('state', UNREACHABLE)}: {choices}"]
    seen = {one["name"]: one for one in instances[primary].get("followers") or []}.get(candidate)
    if seen is None or seen.get("state") != "streaming":
        state = seen["state"] if seen else "not connected to it"
        return [
            f"candidate {candidate} does not stream from {primary} ({state}): look at its log, or take another; {choices}"
        ]
    if instances[candidate].get("replay_paused"):
        return [
            f"replay on candidate {candidate} is paused: SELECT pg_wal_replay_resume() there, or take another; {choices}"
        ]
    lag, most = int(seen.get("lag_bytes") or 0), size(limits["max_lag"])
    if lag > most:
        return [
            (
                f"candidate {candidate} is {lag} bytes behind {primary}, more than pg_replica_max_lag ({limits['max_lag']}): wait until it has"
                f" caught up, or take another; {choices}"
            )
        ]
    if limits["synchronous"] != "none" and seen.get("sync_state") not in ("sync", "quorum"):
        return [
            (
                f"candidate {candidate} is not among the synchronous standbys ({seen.get('sync_state')}), so commits may be confirmed that it"
                f" lacks: take one that is; {choices}"
            )
        ]
    return []


def plan_failover(topology: Mapping[str, Any], wanted: str | None, given: Mapping[str, Any]) -> ChangePlan:
    """Return who becomes primary without the old one's help, what may be lost, and why not.

    given: force (name of a healthy primary that is to be given up), confirm (names of hosts that are known to write nothing any more,
    or the candidate, or `unknown`; separated by commas), fence_command (whether there is one), synchronous_hosts (members, empty for
    all), synchronous_count (0 where commits do not wait, or need not have waited), held (see held_findings).
    """
    instances: Instances = topology["instances"]
    followers, primary = standbys(instances), topology["primary"]
    if held := held_findings(given.get("held") or {}):  # whose work is seen half done
        return ChangePlan("failover", primary, wanted, findings=tuple(held))
    forced, confirmed_names = _names(given.get("force")), _names(given.get("confirm"))
    lost = lost_hosts(instances)
    healthy = [host for host, seen in instances.items() if seen.get("state") == PRIMARY and host not in forced]
    findings = [line for line in topology["problems"] if healthy or not line.startswith("two primaries")]
    if primary in healthy:
        findings.append(
            f"{primary} is a primary that answers: run switchover, which loses nothing. If it has to be given up all the same, -e"
            f" force={primary}"
        )
    if not followers:
        findings.append(
            "no standby answers: there is nobody to take over. Bring a standby up, or restore from a backup"
        )
    best = next(iter(by_position(instances, followers)), None)
    candidate = wanted or best
    if candidate and followers and candidate not in followers:
        state = instances[candidate].get("state", UNREACHABLE) if candidate in instances else "no host of this cluster"
        findings.append(f"candidate {candidate} is {state}: the standbys are {', '.join(followers)}")
    elif (
        best
        and candidate
        and position(instances[candidate]) < position(instances[best])
        and candidate not in confirmed_names
    ):
        there, here = position(instances[best]), position(instances[candidate])
        lacks = f"{there[1] - here[1]} bytes" if there[0] == here[0] else f"timeline {there[0]}"
        findings.append(
            f"candidate {candidate} lacks {lacks} that {best} has: take {best}, or give that up by -e confirm={candidate}"
        )
    findings += [
        (
            f"{host} does not answer and may still take writes: there is no pg_replica_fence_command to make sure. Fence it by hand (cut its"
            f" power or its network), then say so by -e confirm={host}"
        )
        for host in lost
        if _silent(instances[host]) and not given.get("fence_command") and host not in confirmed_names
    ]
    former = primary or _former(instances, lost, best)
    others = tuple(host for host in followers if host != candidate)
    loss = loss_bound(instances, former, candidate, given) if candidate in followers else {}
    if not findings and loss.get("kind") == "unknown" and "unknown" not in confirmed_names:
        findings.append(
            "it is not known how much the lost primary had written that no standby has: bring its host back to look, or accept that by"
            " -e confirm=unknown"
        )
    timeline = _timeline(instances, former, candidate)
    return ChangePlan("failover", former, candidate, others, tuple(findings), (), loss, timeline)


def _timeline(instances: Instances, *hosts: str | None) -> int | None:
    """Return the timeline of the first of the hosts that has said one."""
    said = (position(instances.get(host or "", {}))[0] for host in hosts)
    return next((timeline for timeline in said if timeline), None)


def lost_hosts(instances: Instances) -> list[str]:
    """Return the hosts that may be or become a primary of their own: they have to be fenced first."""
    return [
        host
        for host, seen in instances.items()
        if seen.get("state") not in (STANDBY, EMPTY)
        and not (seen.get("state") == STOPPED and seen.get("standby_signal"))
    ]


def _former(instances: Instances, lost: Sequence[str], best: str | None) -> str | None:
    """Return the lost host that was primary last: one on the timeline of the standbys or a later one, otherwise one that is silent."""
    timeline = position(instances[best])[0] if best else 0
    known = [host for host in lost if position(instances[host])[0] >= max(timeline, 1)]
    silent = [host for host in lost if not position(instances[host])[0]]
    return next(iter([*by_position(instances, known), *silent, *lost]), None)


def _names(text: Any) -> set[str]:
    return {name.strip() for name in str(text or "").split(",")} - {""}


def _silent(instance: Mapping[str, Any]) -> bool:
    return not instance or "state" not in instance


def confirmed(instances: Instances, members: Sequence[str], count: int) -> bool:
    """Return whether every acknowledged commit is on the furthest of the standbys that answer.

    A commit waited for `count` of the members, so it is on one of any len(members) - count + 1 of them.
    """
    there = [host for host in standbys(instances) if host in members]
    return count > 0 and len(there) >= len(members) - count + 1


def loss_bound(
    instances: Instances, former: str | None, candidate: str | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a failover may lose: kind (none, exact, estimated, unknown), bytes (of WAL, None when not known), and a sentence.

    None where every commit waited for somebody the candidate is level with; exact where the end of the lost primary's WAL can be read;
    estimated where that primary still writes, or from the last commit that the candidate has; unknown where it has none since its start.
    """
    place = instances[candidate or ""]
    (timeline, here), old = position(place), instances.get(former or "", {})
    members = [host for host in given.get("synchronous_hosts") or instances if host != former]
    furthest = max(
        (position(instances[host]) for host in standbys(instances) if host in members), default=(timeline, here)
    )
    if (timeline, here) >= furthest and confirmed(instances, members, int(given.get("synchronous_count") or 0)):
        return {
            "kind": "none",
            "bytes": 0,
            "text": "no acknowledged commit: each had been confirmed by a standby that is there",
        }
    end = old.get("wal_end") or (old.get("lsn") if old.get("clean") or old.get("state") == PRIMARY else None)
    if end and position(old)[0] >= timeline:
        behind = max(0, Lsn.parse(end) - here)
        if old.get("state") == PRIMARY:
            text = f"{behind} bytes of WAL and what {former} writes until it is fenced: it was at {end}, {candidate} has {here}"
            return {"kind": "estimated", "bytes": None, "since": place.get("last_commit"), "text": text}
        return {
            "kind": "exact",
            "bytes": behind,
            "text": f"{behind} bytes of WAL: {former} had written up to {end}, {candidate} has {here}",
        }
    if place.get("last_commit"):
        return {
            "kind": "estimated",
            "bytes": None,
            "since": place["last_commit"],
            "text": f"commits later than {place['last_commit']} UTC, the last one that {candidate} has, which is at {here}",
        }
    return {"kind": "unknown", "bytes": None, "text": f"not known: nothing says up to where {former} had written"}


def rejoin_findings(topology: Mapping[str, Any], node: str, confirm: str, anew: bool) -> list[str]:
    """Return why a host cannot be made a standby again. anew: by a new copy, whatever is there."""
    instances, primary = topology["instances"], topology["primary"]
    writing = [host for host, seen in instances.items() if seen.get("state") == PRIMARY]
    if node not in instances:
        return [f"{node} is no host of this cluster; its hosts are {', '.join(instances)}"]
    seen = instances[node]
    if _silent(seen):
        return [f"{node} does not answer: bring its host back first"]
    if primary is None and len(writing) == 2 and node in writing:
        other = next(host for host in writing if host != node)
        if (seen.get("timeline") or 0) > (instances[other].get("timeline") or 0):
            return [f"{node} is on a higher timeline than {other}: it is {other} that has to come back"]
        if confirm != node:
            return [
                f"{node} takes writes, which {other} does not have: what was written there is kept aside and lost to clients; -e confirm={node}"
            ]
        return []
    if primary is None:
        return [topology.get("no_primary") or "no server takes writes: run failover first"]
    if node == primary:
        return [f"{node} is the primary; there is nothing to come back to"]
    if seen.get("state") == EMPTY and not anew:
        return [f"{node} holds no data to come back with: run reinit_standby, or site where it never had any"]
    reason = _precious(seen, instances[primary], primary, anew)
    if reason and confirm != node:
        return [f"{node} {reason}; -e confirm={node}"]
    # What is wrong with this host is what is mended; the others have to be right.
    names = {host: (host, address) for host, address in topology.get("addresses", {}).items()}
    return list(judge({host: other for host, other in instances.items() if host != node}, names).problems)


def _precious(seen: Mapping[str, Any], leading: Mapping[str, Any], primary: str, anew: bool) -> str | None:
    """Return why the data of a host that is to follow the primary go only with a confirmation, None when they may."""
    mine, theirs = seen.get("system_identifier"), leading.get("system_identifier")
    if mine and theirs and mine != theirs:
        return f"holds data of another cluster (system identifier {mine}, {primary} has {theirs}): they are put aside for a copy of {primary}"
    if int(seen.get("timeline") or 0) > int(leading.get("timeline") or 0):
        return f"is on timeline {seen['timeline']}, ahead of {primary}: what was written there is lost to clients"
    own = seen.get("state") == STANDBY or bool(seen.get("standby_signal"))
    if seen.get("state") == UNREACHABLE and not own:
        return (
            f"has a server that runs and does not answer, so it may take writes ({seen.get('reason')}): it is stopped"
        )
    if anew and not own and seen.get("state") != EMPTY:
        return "holds data that are no standby's: they are put aside"
    return None
