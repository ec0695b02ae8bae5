# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that makes a pooler's configuration of the inputs of the role pgbouncer."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer import plan

DOCUMENTATION = r"""
name: pgbouncer_plan
short_description: The configuration that the role pgbouncer writes
version_added: 0.1.0
description:
  - Returns C(settings), C(entries) and C(hba) as the module M(pgsteward.postgres.pgbouncer_files) takes them, with the sizes of all pools.
  - The inputs must be without findings. See P(pgsteward.postgres.pgbouncer_findings#filter).
options:
  _input:
    description: The inputs of the role by their names without the prefix, and its paths.
    type: dict
    required: true
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Show the pools of this host
  ansible.builtin.debug:
    msg: "{{ (__pgbouncer_inputs | pgsteward.postgres.pgbouncer_plan).entries }}"
"""

RETURN = r"""
_value:
  description: The configuration.
  type: dict
"""


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"pgbouncer_plan": plan}
