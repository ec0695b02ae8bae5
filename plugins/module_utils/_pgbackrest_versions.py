# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a version of pgBackRest has, lacks and gets wrong, as data, and the sentences about it. Pure.

From the release notes of pgBackRest; what older versions do with a feature that they lack was tried with Debian's packages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """A feature that versions below `since` lack, and what to do there."""

    since: str
    feature: str
    remedy: str


@dataclass(frozen=True)
class Fault:
    """What versions below `fixed` get wrong, and what to do as long as it is there."""

    fixed: str
    fault: str
    remedy: str


LEAST = "2.45"  # the oldest that any of this was tried with

GATES = {
    # 2.45 takes the setting in silence and does without.
    "block": Gate("2.46", "block incremental backups (block: true)", "leave block out"),
    "addresses": Gate(
        "2.53", "certificates that name an address", "name the host, by a name that the other hosts resolve"
    ),
    "target_time": Gate(
        "2.54",
        "a restore of the repository as it was at a time (repo-target-time)",
        "restore what the repository holds now",
    ),
    "prefer_standby": Gate("2.54", "backups from a standby where there is one (backup-standby=prefer)", ""),
    "http": Gate("2.58", "an endpoint without TLS (http://)", "give the store a certificate, and its authority as ca"),
}

# The first release that knows a major version of PostgreSQL.
POSTGRESQL = {15: "2.41", 16: "2.48", 17: "2.53.1", 18: "2.55.0"}

FAULTS = (
    Fault(
        "2.59.3",
        "the key of an encrypted repository is derived weakly",
        "update it, and keep the pass phrase long and random",
    ),
    Fault(
        "2.59",
        "WAL that cannot be pushed because of an error does not count towards archive-push-queue-max",
        "watch the disk that holds pg_wal",
    ),
)
ENCRYPTED_ONLY = FAULTS[0]

# Not a fault, but what an operator of the version has to know.
REFUSES_ROOT = "2.60"


def number(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparison: (2, 53, 1) for 2.53.1; 2.59 and 2.59.0 are the same."""
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    parts = [int(part) for part in found[0].split(".")] if found else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def has(version: str, feature: str) -> bool:
    """Tell whether a version has a feature of GATES."""
    return number(version) >= number(GATES[feature].since)


def refusals(version: str, asked: Iterable[tuple[str, str]], postgresql: int | None = None) -> list[str]:
    """Return one line for each thing that is asked for and that the version lacks.

    asked: names of GATES, each with what the operator calls the input that asks for it. postgresql: major version of the server.
    """
    if number(version) < number(LEAST):
        return [f"pgBackRest {version} is older than {LEAST}, the oldest that is served: update it"]
    found = []
    for feature, where in asked:
        gate = GATES[feature]
        if not has(version, feature):
            remedy = f", or {gate.remedy}" if gate.remedy else ""
            found.append(
                f"{where}: pgBackRest {version} does not know {gate.feature}, {gate.since} is the first that does: update it{remedy}"
            )
    least = POSTGRESQL.get(postgresql or 0)
    if least and number(version) < number(least):
        found.append(
            f"pgBackRest {version} does not know PostgreSQL {postgresql}, {least} is the first that does: update it"
        )
    return found


def warnings(version: str, *, encrypted: bool) -> list[str]:
    """Return one line for each fault of a version that matters here. encrypted: whether any repository has a pass phrase."""
    return [
        f"pgBackRest {version}: {one.fault} (mended in {one.fixed}): {one.remedy}"
        for one in FAULTS
        if number(version) < number(one.fixed) and (encrypted or one is not ENCRYPTED_ONLY)
    ]
