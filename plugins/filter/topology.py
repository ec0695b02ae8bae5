"""The cluster that single servers form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import judge, no_primary

DOCUMENTATION = r"""
name: topology
short_description: The cluster that single servers form
version_added: 0.1.0
description:
  - Takes what M(pgsteward.postgres.pg_topology_info) said of each host and returns who is primary, who follows, and which hosts are
    stopped, empty or unreachable.
  - Two primaries, servers with different system identifiers, a standby of a stranger, and a host on a timeline ahead of the primary's are
    among its C(problems), one line each.
positional: _input
options:
  _input:
    description: Results of M(pgsteward.postgres.pg_topology_info) by host name. An empty dictionary stands for a host that did not answer.
    type: dict
    required: true
  addresses:
    description: By host name every name and address by which a standby may name it. Without them nobody is taken for a stranger.
    type: dict
    default: {}
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Say who is primary
  ansible.builtin.debug:
    msg: "{{ ({'db1': db1_result, 'db2': db2_result} | pgsteward.postgres.topology).primary }}"
"""

RETURN = r"""
_value:
  description:
    - The topology, with the keys primary, standbys, stopped, empty, unreachable, fenced, system_identifier, timeline, problems, parts (by
      host C(first), C(leading), C(following) or C(left_alone)) and no_primary (why a run cannot go on without one, or null).
  type: dict
"""


def topology(
    instances: Mapping[str, Mapping[str, Any]], addresses: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Return the topology as plain data."""
    facts = judge(instances, addresses).as_facts()
    return {**facts, "no_primary": no_primary(facts)}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"topology": topology}
