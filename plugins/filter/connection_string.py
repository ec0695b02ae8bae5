# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters for what applications need: how to name a cluster, and whether their pools fit the poolers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection_string
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


def connection_string(hosts: Sequence[str], **options: Any) -> str:
    """Return the string; raise AnsibleFilterError when the cluster cannot be named so."""
    try:
        return _connection_string.connection_string(hosts, **options)
    except (StewardError, TypeError) as error:
        raise AnsibleFilterError(f"connection_string: {error}") from None


def pool_findings(applications: Sequence[Mapping[str, Any]], max_client_conn: int, poolers: int = 1) -> list[str]:
    """Return one line for each finding."""
    return _connection_string.pool_findings(applications, int(max_client_conn), int(poolers))


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"connection_string": connection_string, "pool_findings": pool_findings}
