# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that says what is wrong with the inputs of the role pg_hba."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._hba import findings

DOCUMENTATION = r"""
name: hba_findings
short_description: Findings about the inputs of the role pg_hba
version_added: 0.1.0
description:
  - Returns one line for each rule or address that must not be written, and one when the rules would lock the local superuser out.
  - Each line names the variable and, where only one thing can be meant, what to write instead.
options:
  _input:
    description: The inputs of the role by their names without the prefix.
    type: dict
    required: true
seealso:
  - plugin: pgsteward.postgres.hba_rules
    plugin_type: filter
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Show what is wrong with the inputs
  ansible.builtin.debug:
    msg: "{{ __pg_hba_inputs | pgsteward.postgres.hba_findings }}"
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
        return {"hba_findings": findings}
