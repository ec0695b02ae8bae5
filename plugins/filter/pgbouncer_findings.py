# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that says what is wrong with the inputs of the role pgbouncer."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_findings import findings

DOCUMENTATION = r"""
name: pgbouncer_findings
short_description: Findings about the inputs of the role pgbouncer
version_added: 0.1.0
description:
  - Returns one line for each thing that is wrong, such as two entries of one name, or pools that all together are larger than the server.
  - No line holds a password.
options:
  _input:
    description: The inputs of the role by their names without the prefix.
    type: dict
    required: true
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look whether the pools fit the servers
  ansible.builtin.debug:
    msg: "{{ __pgbouncer_inputs | pgsteward.postgres.pgbouncer_findings }}"
"""

RETURN = r"""
_value:
  description: One line for each finding.
  type: list
  elements: str
"""


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"pgbouncer_findings": findings}
