# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: check_inputs
short_description: Check the inputs of a role before anything touches the host
version_added: 0.1.0
description:
  - Fails on a variable that starts with the role's prefix and is not one of its inputs, such as a misspelt name.
  - Fails on a value whose type or choice is not what the role's C(meta/argument_specs.yml) says.
  - Fails on the first of O(findings), which the role computes with its own filters.
  - The message is one line that names the host and the variable. Runs on the controller; the host is not contacted.
options:
  role:
    description: Name of the role. It must be the role that calls this action.
    type: str
    required: true
  findings:
    description: What the role itself has found wrong with its inputs, one line each.
    type: list
    elements: str
    default: []
author: The pgsteward maintainers (@pgsteward)
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
extends_documentation_fragment: []
"""

EXAMPLES = r"""
- name: Check the inputs
  pgsteward.postgres.check_inputs:
    role: pg_server
    findings: "{{ pg_server_settings | pgsteward.postgres.settings_findings(17, 'pg_server_settings') }}"
"""

RETURN = r"""
findings:
  description: Everything that was found at the failing step; the message carries the first.
  returned: failure
  type: list
  elements: str
  sample: ["unknown variable pg_server_prot; did you mean pg_server_port?"]
"""
