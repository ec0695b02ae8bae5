# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The versions below which a server lacks a fix that matters, as data, and the sentence about it. Pure.

Those of pgvector are the gates of _pgvector.
"""

from __future__ import annotations

import datetime
import re

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgvector

# The minor releases of November 2026, which come out for all majors on one day; for 13 the last one there is.
POSTGRESQL = {13: "13.23", 14: "14.25", 15: "15.20", 16: "16.16", 17: "17.12", 18: "18.6"}

# The day after which a major version gets no fixes (https://www.postgresql.org/support/versioning/).
POSTGRESQL_END = {
    13: datetime.date(2025, 11, 13),
    14: datetime.date(2026, 11, 12),
    15: datetime.date(2027, 11, 11),
    16: datetime.date(2028, 11, 9),
    17: datetime.date(2029, 11, 8),
    18: datetime.date(2030, 11, 14),
}


def number(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, for comparison: (17, 12) for "17.12 (Debian 17.12-0+deb13u1)"."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def below(version: str | None, least: str) -> bool:
    """Return whether a version is known and older than `least`."""
    return bool(version and number(version)) and number(version or "") < number(least)


def parallel_hnsw_is_safe(pgvector: str | None) -> bool:
    """Return whether this pgvector may build HNSW indexes in parallel; an unknown version may."""
    return _pgvector.PARALLEL_BUILD not in _pgvector.open_gates(pgvector or "")


def warnings(postgresql: str | None, pgvector: str | None, today: datetime.date) -> list[str]:
    """Return one clause for each thing that an installed version lacks; nothing for what is not installed."""
    found = []
    major = (number(postgresql or "") or (0,))[0]
    least, end = POSTGRESQL.get(major), POSTGRESQL_END.get(major)
    if least and below(postgresql, least):
        found.append(f"PostgreSQL {postgresql} lacks fixes of {least}: update it")
    if end and today > end:
        found.append(f"PostgreSQL {major} gets no fixes since {end.isoformat()}: plan an upgrade")
    if pgvector:
        found += [
            f"pgvector {pgvector} is below {gate.fixed}, {gate.fault}: {gate.remedy}"
            for gate in _pgvector.open_gates(pgvector)
        ]
    return found
