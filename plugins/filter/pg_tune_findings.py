# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that says which settings a machine cannot serve."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._tuning import findings

DOCUMENTATION = r"""
name: pg_tune_findings
short_description: Findings about the memory that settings ask for
version_added: 0.1.0
description:
  - Returns one line for each input that nothing can be computed from, for an operator's setting that is larger than the memory, for connections
    times C(work_mem) beyond the memory, and for an HNSW index that cannot be built in it.
  - Each line names the variable to change.
options:
  _input:
    description: >-
      The dictionary that P(pgsteward.postgres.pg_tune#filter) reads, and beside it C(machine_memory) (what the host has, where C(memory) is the
      operator's), C(shm) (bytes of C(/dev/shm)), C(sysctl) (kernel parameters by name) and C(huge_pages) (whether they are reserved).
    type: dict
    required: true
seealso:
  - plugin: pgsteward.postgres.pg_tune
    plugin_type: filter
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look whether the settings fit a machine of 8 GB
  ansible.builtin.debug:
    msg: "{{ {'memory': '8GB', 'cpus': 4, 'overrides': {'shared_buffers': '16GB'}} | pgsteward.postgres.pg_tune_findings }}"
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
        return {"pg_tune_findings": findings}
