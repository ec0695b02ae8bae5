# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From where on a figure is a finding: the defaults as data, and what an operator gives in their place. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

SEVERITIES = ("critical", "warning", "notice")  # gravest first

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MB, _GB = 1 << 20, 1 << 30
_NEVER = 2**62


@dataclass(frozen=True)
class Threshold:
    """From where on a figure is a notice, a warning or critical; None: never. below: whether small figures are the bad ones.

    low and high: what an operator may set it to.
    """

    unit: str
    notice: float | None = None
    warning: float | None = None
    critical: float | None = None
    low: float = 0
    high: float = _NEVER
    below: bool = False

    def judge(self, value: float | None) -> tuple[str, float] | None:
        """Return the gravest severity that a figure reaches, with where that begins; None for a good or an unknown one."""
        if value is None:
            return None
        for severity in SEVERITIES:
            limit = getattr(self, severity)
            if limit is not None and (value < limit if self.below else value > limit):
                return severity, limit
        return None


DEFAULTS: Mapping[str, Threshold] = {
    "archive_waiting": Threshold("segments", warning=16, critical=128, high=10**6),
    "backup_age": Threshold("seconds", warning=36 * _HOUR, critical=3 * _DAY, low=_MINUTE),
    "blocked": Threshold("seconds", notice=0, warning=5, critical=_MINUTE),
    "cache_hit": Threshold("percent", warning=90, high=100, below=True),
    "certificate": Threshold("days", warning=21, critical=7, high=3650, below=True),
    "connections": Threshold("percent", warning=80, critical=95, high=100),
    "dead_rows": Threshold("percent", warning=20, high=100),
    "disk_free": Threshold("percent", warning=15, critical=5, high=100, below=True),
    "dump_age": Threshold("seconds", warning=36 * _HOUR, critical=3 * _DAY, low=_MINUTE),
    "freeze_age": Threshold("transactions", warning=200_000_000, critical=1_000_000_000, low=10_000, high=2_000_000_000),
    "full_backup_age": Threshold("seconds", warning=8 * _DAY, critical=15 * _DAY, low=_MINUTE),
    "growth": Threshold("percent per day", notice=25, high=10**6),
    "idle_in_transaction": Threshold("seconds", warning=_MINUTE, critical=10 * _MINUTE),
    "lag_bytes": Threshold("bytes", warning=64 * _MB, critical=_GB),
    "lag_seconds": Threshold("seconds", warning=30, critical=5 * _MINUTE),
    "log_errors": Threshold("errors in the last hour", warning=100, high=10**9),
    "multixact_age": Threshold("multixacts", warning=400_000_000, critical=1_000_000_000, low=10_000, high=2_000_000_000),
    "pooler_wait": Threshold("seconds", warning=1, critical=10),
    "prepared_transaction": Threshold("seconds", warning=5 * _MINUTE, critical=_HOUR),
    "proven_restore": Threshold("seconds", warning=35 * _DAY, critical=90 * _DAY, low=_MINUTE),
    "query": Threshold("seconds", notice=5, warning=5 * _MINUTE),
    "slot_retained": Threshold("bytes", warning=_GB, critical=10 * _GB),
    "statement_mean": Threshold("milliseconds", notice=1000),
    "transaction": Threshold("seconds", warning=5 * _MINUTE, critical=_HOUR),
    "unused_index": Threshold("bytes", notice=100 * _MB),
}  # fmt: skip


def merged(given: Mapping[str, Any] | None) -> dict[str, Threshold]:
    """Return the thresholds with those that an operator gives; raises StewardError with the first thing that is wrong."""
    wrong = findings(given)
    if wrong:
        raise StewardError(wrong[0])
    return {name: _with(default, (given or {}).get(name, {})) for name, default in DEFAULTS.items()}


def _with(default: Threshold, given: Any) -> Threshold:
    """Return a threshold with what is given of it: a bare number is where the warning begins and all there is, null is never."""
    if given is None:
        return Threshold(default.unit, low=default.low, high=default.high, below=default.below)
    if not isinstance(given, Mapping):
        return Threshold(default.unit, warning=float(given), low=default.low, high=default.high, below=default.below)
    limits = {
        severity: None if limit is None else float(limit)
        for severity in SEVERITIES
        for limit in [given.get(severity, getattr(default, severity))]
    }
    return Threshold(default.unit, **limits, low=default.low, high=default.high, below=default.below)


def findings(given: Any, name: str = "thresholds") -> list[str]:
    """Return one line for each thing that is wrong with thresholds as an operator gives them; name: of the input."""
    if given is None:
        return []
    if not isinstance(given, Mapping):
        return [f"{name}: give a dictionary such as {{connections: {{warning: 80, critical: 95}}}}"]
    found = []
    for key, value in given.items():
        default = DEFAULTS.get(str(key))
        if default is None:
            near = difflib.get_close_matches(str(key), DEFAULTS, 1)
            found.append(
                f"{name}: there is no threshold {key}"
                + (f", is {near[0]} meant?" if near else f": they are {', '.join(DEFAULTS)}")
            )
            continue
        found += _one(f"{name}.{key}", default, value)
    return found


def _one(where: str, default: Threshold, value: Any) -> list[str]:
    if value is None:
        return []
    limits = value if isinstance(value, Mapping) else {"warning": value}
    found = [
        f"{where}: {severity} is no severity: they are {', '.join(SEVERITIES)}"
        for severity in limits
        if severity not in SEVERITIES
    ]
    for severity, limit in limits.items():
        if limit is not None and not found:
            found += _number(where if limits is not value else f"{where}.{severity}", default, limit)
    if found:
        return found
    kept = _with(default, value)
    listed = [getattr(kept, severity) for severity in reversed(SEVERITIES)]
    known = [limit for limit in listed if limit is not None]
    if known != sorted(known, reverse=default.below):
        order = "fall" if default.below else "rise"
        said = ", ".join(
            f"{severity} {limit:g}"
            for severity, limit in zip(reversed(SEVERITIES), listed, strict=True)
            if limit is not None
        )
        return [f"{where}: its limits must {order} from notice over warning to critical, and are {said}"]
    return []


def _number(where: str, default: Threshold, limit: Any) -> list[str]:
    try:
        number = None if isinstance(limit, bool) else float(limit)
    except (TypeError, ValueError):
        number = None
    if number is None or number != number:
        return [f"{where}: {limit!r} is no number of {default.unit}"]
    if not default.low <= number <= default.high:
        bound = f"at least {default.low:g}" if default.high == _NEVER else f"from {default.low:g} to {default.high:g}"
        return [f"{where}: {number:g} is out of range: give {bound} {default.unit}"]
    return []


def as_return(limits: Mapping[str, Threshold]) -> dict[str, dict[str, Any]]:
    """Return thresholds as plain data."""
    return {
        name: {"unit": one.unit, **{severity: getattr(one, severity) for severity in reversed(SEVERITIES)}}
        for name, one in limits.items()
    }
