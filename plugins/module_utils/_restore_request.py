# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operator asks of a restore on the command line: which of its ways, with which target, and what is wrong with that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import (
    IMMEDIATE,
    LATEST,
    ONE_REPOSITORY,
    POINTED,
    target_of,
)

# Ways: into the place of the live data, beside them, away with that again; and what a restore in place has left to decide.
IN_PLACE, BESIDE, REMOVE, PROMOTE, BACK, SETTLE = "in_place", "beside", "remove", "promote", "back", "settle"
_THEN = {"promote": PROMOTE, "back": BACK, "remove": SETTLE}
ENDS = (LATEST, IMMEDIATE)


def read(asked: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return `way`, `kind` and `text` of the target, `confirmed` (what else was confirmed), `port`, and `findings`.

    asked: the words of the command line. known: `cluster` (its name), `servers` and `hosts` (those that a restore beside may go to),
    `pointed` (whether the playbook wants a point in time), `check` (a dry run confirms nothing).
    """
    confirmed = [word.strip() for word in str(asked["confirm"] or "").split(",") if word.strip()]
    way = _way(asked)
    kind, text = _target(asked)
    findings = [*_of_the_way(asked, known, way, confirmed), *_of_the_target(asked, known, way)]
    return {
        "way": way,
        "kind": kind,
        "text": text,
        "confirmed": [word for word in confirmed if word != known["cluster"]],
        "port": int(asked["beside"]) if _is_port(asked["beside"]) else None,
        "findings": findings,
    }


def _way(asked: Mapping[str, Any]) -> str:
    if asked["then"]:
        return _THEN.get(str(asked["then"]), PROMOTE)
    if not asked["beside"]:
        return IN_PLACE
    return REMOVE if asked["state"] == "absent" else BESIDE


def _named(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return the points that are named, by kind."""
    return {kind: str(asked[f"target_{kind}"]) for kind in POINTED if str(asked[f"target_{kind}"] or "")}


def _target(asked: Mapping[str, Any]) -> tuple[str, str]:
    named = _named(asked)
    if named:
        return next(iter(named.items()))
    return str(asked["target"] or LATEST), ""


def _of_the_way(
    asked: Mapping[str, Any], known: Mapping[str, Any], way: str, confirmed: Sequence[str]
) -> Iterator[str]:
    cluster, then = known["cluster"], str(asked["then"] or "")
    if then and then not in _THEN:
        yield f"then={then} is none of {', '.join(_THEN)}"
    if then and asked["beside"]:
        yield f"then={then} is for a restore in place; a restored server beside is removed by -e beside={asked['beside']} -e state=absent"
    if asked["beside"] and not _is_port(asked["beside"]):
        yield f"beside={asked['beside']} is no port from 1024 to 65535"
    if asked["state"] not in ("", "present", "absent"):
        yield f"state={asked['state']} is neither present nor absent"
    if asked["state"] == "absent" and not asked["beside"]:
        yield "state=absent removes a restored server beside: name it by -e beside=PORT"
    if asked["on"] and not asked["beside"]:
        yield f"on={asked['on']} is for a restored server beside: name its port by -e beside=PORT"
    if asked["on"] and asked["on"] not in known["hosts"]:
        yield f"on={asked['on']} is no host that knows the repositories: it is one of {', '.join(known['hosts'])}"
    if asked["node"] and asked["node"] not in known["servers"]:
        yield f"node={asked['node']} is no server of this cluster: it is one of {', '.join(known['servers'])}"
    if way in (BESIDE, REMOVE) or known["check"] or cluster in confirmed:
        return
    if confirmed:
        yield f"confirm={asked['confirm']} is not the name of this cluster, which is {cluster}: is it the right inventory?"
        return
    what = {
        IN_PLACE: f"it replaces the data of {cluster}",
        PROMOTE: f"the restored data of {cluster} take writes from then on",
        BACK: f"it gives the restored data of {cluster} up",
        SETTLE: f"it removes what was there before the restore of {cluster}, for good",
    }[way]
    beside = "; to look first, restore beside by -e beside=PORT" if way == IN_PLACE else ""
    yield f"{what}: confirm that by -e confirm={cluster}{beside}"


def _of_the_target(asked: Mapping[str, Any], known: Mapping[str, Any], way: str) -> Iterator[str]:
    named = _named(asked)
    given = [*(f"target_{kind}" for kind in named), *(["target"] if asked["target"] else [])]
    if way not in (IN_PLACE, BESIDE):
        if given:
            yield f"{', '.join(given)} is for a restore, and this is none: leave it out"
        return
    if len(given) > 1:
        yield f"{' and '.join(given)} are given: a restore aims at one of them"
        return
    if known["pointed"] and not named:
        yield (
            f"a point in time is missing: give one of {', '.join(f'target_{kind}' for kind in POINTED)}, such as"
            " -e \"target_time='2026-10-01 03:12:45+00'\"; the playbook restore goes to the end of the archive"
        )
        return
    if not known["pointed"] and named:
        yield f"{given[0]} is for the playbook restore_point_in_time"
    if asked["target"] and asked["target"] not in ENDS:
        yield f"target={asked['target']} is none of {', '.join(ENDS)}"
        return
    kind, text = _target(asked)
    try:
        target_of(kind, text, str(asked["timeline"] or LATEST), bool(asked["exclusive"]))
        for name in ("before", "repository_time"):
            if asked[name]:
                target_of("time", str(asked[name]))
    except StewardError as error:
        yield str(error)
    if asked["repository_time"] and not asked["repository"]:
        yield ONE_REPOSITORY
    if asked["repository"] and not (str(asked["repository"]).isdigit() and int(asked["repository"]) > 0):
        yield f"repository={asked['repository']} is no number of a repository"


def _is_port(text: Any) -> bool:
    return str(text).isascii() and str(text).isdigit() and 1024 <= int(str(text)) <= 65535


# Where


def place_of(
    asked: Mapping[str, Any], topology: Mapping[str, Any], hosts: Sequence[str], kept: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the `host` of a restore in place, who is `silent`, and `findings`. topology: the fact of the role pg_topology.

    It is the primary, unless another server is named; where there is no primary, one has to be named, or there is only one.
    kept: hosts that an earlier restore has left something on, where that is to be decided; it is one of them then.
    """
    instances = topology["instances"]
    silent = [host for host in instances if not instances[host].get("state")]
    if kept is not None:
        left = [host for host in kept if asked["node"] in ("", host)]
        findings = [] if len(left) == 1 else [_undecided(asked, kept)]
        return {"host": left[0] if left else None, "silent": silent, "findings": findings}
    host = asked["node"] or topology["primary"] or (hosts[0] if len(hosts) == 1 else None)
    findings = []
    if host is None:
        states = ", ".join(f"{name} is {instances[name].get('state') or 'silent'}" for name in instances)
        findings.append(f"no server takes writes ({states}): name the one to restore on by -e node=HOST")
    elif host in silent:
        findings.append(f"{host} does not answer: bring its host up, or restore on another one by -e node=HOST")
    identifiers = [line for line in topology.get("problems", ()) if line.startswith("servers of different clusters")]
    return {"host": host, "silent": silent, "findings": [*findings, *identifiers]}


def _undecided(asked: Mapping[str, Any], kept: Sequence[str]) -> str:
    if kept and not asked["node"]:
        return f"restores in place are on record on {' and '.join(kept)}: name the host by -e node=HOST"
    where = f"on {asked['node']}" if asked["node"] else "on any server that answers"
    return f"no restore in place is on record {where}: there is nothing to {asked['then']}"


def silent_findings(silent: Sequence[str], confirmed: Sequence[str]) -> list[str]:
    """Return why nothing may be restored beside servers that do not answer: one of them may take writes. confirmed: those that are given up."""
    left = [host for host in silent if host not in confirmed]
    if not left:
        return []
    names = ", ".join(left)
    return [
        (
            f"{names} {'does' if len(left) == 1 else 'do'} not answer and may still take writes: bring the host up, or make sure that it is off and"
            f" stays so, then confirm its name as well, as in -e confirm=CLUSTER,{left[0]}"
        )
    ]
