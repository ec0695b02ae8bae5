# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role pg_hba: what is wrong with its inputs, and the rules and maps that they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _hba, _ident


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that is wrong with rules and maps."""
    return _hba.findings(inputs) or _ident.findings(inputs)


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"hba_findings": findings, "hba_maps": _ident.assemble, "hba_rules": _hba.assemble}
