"""Filters over server settings, for the validation of role inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._settings import at_least, name_findings

DOCUMENTATION = r"""
name: settings_findings
short_description: Findings about the names of server settings
version_added: 0.1.0
description: Returns one line for each setting that the given major version of PostgreSQL does not know.
positional: _input, version, variable
options:
  _input:
    description: Setting names and values.
    type: dict
    required: true
  version:
    description: Major version of PostgreSQL.
    type: int
    required: true
  variable:
    description: The input that the lines name.
    type: str
    required: true
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look for misspelt settings
  ansible.builtin.debug:
    msg: "{{ {'shared_bufers': '1GB'} | pgsteward.postgres.settings_findings(17, 'pg_server_settings') }}"
"""

RETURN = r"""
_value:
  description: One line for each finding.
  type: list
  elements: str
"""


def settings_findings(settings: Any, version: Any, variable: str) -> list[str]:
    """Return the findings; nothing for inputs of a wrong type, which the specification reports."""
    if not isinstance(settings, Mapping) or not str(version).isdigit():
        return []
    return name_findings(settings, int(version), variable)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"at_least": at_least, "settings_findings": settings_findings}
