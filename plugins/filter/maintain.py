# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role pg_maintain: what is wrong with its inputs, and what a host has to have."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_config import accounts
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_host import configuration, files, findings


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {
            "maintain_accounts": accounts,
            "maintain_configuration": configuration,
            "maintain_files": files,
            "maintain_findings": findings,
        }
