# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What changed since the last call, from the counters that it left behind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COUNTERS = ("commits", "rollbacks", "blocks_read", "blocks_hit")
SIZES = ("bytes", "table_bytes", "index_bytes")
LEAST_BLOCKS = 100_000  # read or hit (0.8 GB): before that a ratio says more about the start than about the cache
SHORTEST = 5.0  # seconds between two calls that a rate can be made of
DAY = 86400.0


def kept(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the next call needs of this one."""
    return {
        "at": facts["at"],
        "started": facts["started"],
        "databases": {
            one["name"]: {key: one.get(key) for key in (*COUNTERS, *SIZES, "reset")} for one in facts["databases"]
        },
    }


def of(database: Mapping[str, Any], facts: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a database does per second, how often it finds a block in memory, and how it grows.

    Each is None where it cannot be known: on the first call, and once the counters began anew. seconds: since the last call.
    """
    earlier = ((before or {}).get("databases") or {}).get(database["name"])
    seconds = facts["at"] - before["at"] if before and earlier else None
    counted = None
    if earlier and before and seconds is not None and seconds >= SHORTEST:
        same = before.get("started") == facts["started"] and earlier.get("reset") == database.get("reset")
        if same and all(_number(database, key) >= _number(earlier, key) for key in COUNTERS):
            counted = {key: _number(database, key) - _number(earlier, key) for key in COUNTERS}
    result: dict[str, Any] = {"seconds": round(seconds, 1) if seconds is not None else None}
    result["transactions_per_second"] = (
        round((counted["commits"] + counted["rollbacks"]) / seconds, 2) if counted and seconds else None
    )
    # The last interval tells of now; where it is too quiet for that, all that was counted.
    lately = hit_ratio(counted) if counted else None
    result["cache_hit"] = hit_ratio(database) if lately is None else lately
    for key in SIZES:
        known = earlier and earlier.get(key) is not None and database.get(key) is not None
        result[f"{key.removesuffix('bytes')}growth_bytes"] = database[key] - earlier[key] if known and earlier else None
    grown = result["growth_bytes"]
    result["growth_percent_per_day"] = (
        round(100 * grown / earlier["bytes"] * DAY / seconds, 2)
        if grown is not None and earlier and earlier["bytes"] and seconds and seconds > 0
        else None
    )
    return result


def hit_ratio(counted: Mapping[str, Any]) -> float | None:
    """Return how many percent of the blocks that were asked for were in memory; None where they are too few to tell."""
    hit = _number(counted, "blocks_hit")
    total = hit + _number(counted, "blocks_read")
    return round(100 * hit / total, 2) if total >= LEAST_BLOCKS else None


def _number(counters: Mapping[str, Any], key: str) -> float:
    return float(counters.get(key) or 0)
