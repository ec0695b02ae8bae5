# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role pg_access: what is wrong with its inputs, where it has to look, and what it has to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _access
from ansible_collections.pgsteward.postgres.plugins.module_utils._access_findings import findings


def access_findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each finding."""
    return findings(inputs)


def access_scope(inputs: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names that the catalog queries look at."""
    return _access.expand(inputs).scope()


def access_plan(inputs: Mapping[str, Any], cluster: Mapping[str, Any], databases: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan as data, with its lines for people."""
    plan = _access.plan(_access.expand(inputs), cluster, databases)
    return {**asdict(plan), "lines": plan.lines()}


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"access_findings": access_findings, "access_scope": access_scope, "access_plan": access_plan}
