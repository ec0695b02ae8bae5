# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters that compute server settings from a machine, and say which ones it cannot serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.module_utils._tuning import TuningError, findings, host_of, tune


def pg_tune(inputs: Any) -> dict[str, Any]:
    """Return the settings. Raises AnsibleFilterError for an input that nothing can be computed from."""
    if not isinstance(inputs, Mapping):
        raise AnsibleFilterError("pg_tune reads a dictionary; see its documentation")
    try:
        return tune(host_of(inputs), inputs.get("overrides") or {})
    except TuningError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"pg_tune": pg_tune, "pg_tune_findings": findings}
