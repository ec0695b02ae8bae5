# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role pgbackrest: what is wrong with its inputs, what a host has to have, and who has to take a first backup."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_findings import findings
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_host import files, plan, unsaved


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {
            "pgbackrest_files": files,
            "pgbackrest_findings": findings,
            "pgbackrest_plan": plan,
            "pgbackrest_unsaved": unsaved,
        }
