# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role pg_dumps: what is wrong with its inputs, and what a host has to have."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_host import (
    configuration,
    files,
    findings,
    key_text,
    to_look_at,
)


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {
            "dumps_configuration": configuration,
            "dumps_files": files,
            "dumps_findings": findings,
            "dumps_keys": key_text,
            "dumps_stores": to_look_at,
        }
