# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that puts the rules of a host together from the inputs of the role pg_hba."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._hba import assemble

DOCUMENTATION = r"""
name: hba_rules
short_description: The rules of a host from the inputs of the role pg_hba
version_added: 0.1.0
description:
  - Returns the automatic rules and after them the operator's own, each with the name that messages call it.
  - The inputs must be without findings. See P(pgsteward.postgres.hba_findings#filter).
options:
  _input:
    description: The inputs of the role by their names without the prefix.
    type: dict
    required: true
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Show the rules of this host
  ansible.builtin.debug:
    msg: "{{ __pg_hba_inputs | pgsteward.postgres.hba_rules }}"
"""

RETURN = r"""
_value:
  description: Rules as the module M(pgsteward.postgres.pg_hba) takes them.
  type: list
  elements: dict
"""


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"hba_rules": assemble}
