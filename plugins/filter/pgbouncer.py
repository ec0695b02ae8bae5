# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role pgbouncer: what is wrong with its inputs, and the configuration that they make."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer import plan
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_findings import findings


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"pgbouncer_findings": findings, "pgbouncer_plan": plan}
