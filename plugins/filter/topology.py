"""The cluster that single servers form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import TopologyError, judge

DOCUMENTATION = r"""
name: topology
short_description: The cluster that single servers form
version_added: 0.1.0
description:
  - Takes what M(pgsteward.postgres.pg_topology_info) said of each host and returns who is primary, who follows, and which hosts are
    stopped, empty or unreachable.
  - Fails on two primaries and on servers with different system identifiers.
positional: _input
options:
  _input:
    description: Results of M(pgsteward.postgres.pg_topology_info) by host name. An empty dictionary stands for a host that did not answer.
    type: dict
    required: true
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Say who is primary
  ansible.builtin.debug:
    msg: "{{ ({'db1': db1_result, 'db2': db2_result} | pgsteward.postgres.topology).primary }}"
"""

RETURN = r"""
_value:
  description: The topology, with the keys primary, standbys, stopped, empty, unreachable, system_identifier and timeline.
  type: dict
"""


def topology(instances: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the topology as plain data; raise AnsibleFilterError when the servers form no cluster."""
    try:
        return judge(instances).as_facts()
    except TopologyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"topology": topology}
