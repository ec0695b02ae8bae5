# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role pg_monitor over exporters, figures and what Prometheus is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _monitor_figures
from ansible_collections.pgsteward.postgres.plugins.module_utils._monitor_host import files, findings, targets


def monitor_schemas(looked: Iterable[Mapping[str, Any]], compared: Iterable[Mapping[str, Any]], at: float) -> str:
    """Return the figures of schemas as text."""
    return _monitor_figures.text(_monitor_figures.schemas(at, looked, compared))


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {
            "monitor_files": files,
            "monitor_findings": findings,
            "monitor_schemas": monitor_schemas,
            "monitor_targets": targets,
        }
