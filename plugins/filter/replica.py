# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role pg_replica: settings of a node, its slot, its pass file, findings about the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._replica import (
    findings,
    node_settings,
    pass_line,
    slot_name,
)


def replica_settings(inputs: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Return the settings of `node`; see node_settings."""
    return node_settings(node, inputs)


def replica_findings(inputs: Mapping[str, Any], node: str) -> list[str]:
    """Return the findings about the inputs on `node`."""
    return findings(node, inputs)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {
            "replica_findings": replica_findings,
            "replica_pass_line": pass_line,
            "replica_settings": replica_settings,
            "slot_name": slot_name,
        }
