# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that computes server settings from a machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.module_utils._tuning import TuningError, host_of, tune

DOCUMENTATION = r"""
name: pg_tune
short_description: Server settings for a machine
version_added: 0.1.0
description:
  - Returns memory, WAL, planner and worker settings for a machine and the kind of work that it does. The same input gives the same settings.
  - The formulas are pgtune's where there is one. Ours on top are that all C(work_mem) together stays within half of the memory that
    C(shared_buffers) leaves, that autovacuum has a C(autovacuum_work_mem) of its own, and that index builds of vectors get what their graph takes.
  - What depends on C(shared_buffers) or C(max_connections) follows the operator's values where C(overrides) has them.
options:
  _input:
    description: >-
      What to compute from. C(memory) (bytes, or with a unit of PostgreSQL) and C(cpus) are required. Further C(disk) (ssd, nvme, san, hdd),
      C(connections) (100), C(profile) (oltp, analytics, vector, small), C(version) (major), C(build) (C(rows) and C(dimensions) of the largest
      HNSW index), C(parallel_hnsw) (whether the installed pgvector may build in parallel) and C(overrides) (the operator's own settings).
    type: dict
    required: true
seealso:
  - plugin: pgsteward.postgres.pg_tune_findings
    plugin_type: filter
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Show the settings for a machine of 8 GB and 4 CPUs
  ansible.builtin.debug:
    msg: "{{ {'memory': '8GB', 'cpus': 4} | pgsteward.postgres.pg_tune }}"
"""

RETURN = r"""
_value:
  description: Settings by name, amounts of memory in PostgreSQL's units.
  type: dict
"""


def pg_tune(inputs: Any) -> dict[str, Any]:
    """Return the settings. Raises AnsibleFilterError for an input that nothing can be computed from."""
    if not isinstance(inputs, Mapping):
        raise AnsibleFilterError("pg_tune reads a dictionary; see its documentation")
    try:
        return tune(host_of(inputs), inputs.get("overrides") or {})
    except TuningError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"pg_tune": pg_tune}
