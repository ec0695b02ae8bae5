# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that says what is wrong with the TLS inputs of the role pg_server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._certificates import UTC, findings

DOCUMENTATION = r"""
name: tls_findings
short_description: Findings about the TLS inputs of the role pg_server
version_added: 0.1.0
description:
  - Returns one line for each thing that is wrong, such as a key that does not belong to its certificate, or a certificate that has expired.
  - No line holds a key or a part of one.
positional: _input, generated
options:
  _input:
    description: >-
      The texts C(certificate), C(key) and C(ca) in PEM form. Null stands for one that is not given, an empty text for one that
      could not be read.
    type: dict
    required: true
  generated:
    description: C(days) and C(renew_days) of generated certificates.
    type: dict
    required: true
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look whether key and certificate belong together
  ansible.builtin.debug:
    msg: "{{ __pg_server_tls_own | pgsteward.postgres.tls_findings({'days': 365, 'renew_days': 30}) }}"
"""

RETURN = r"""
_value:
  description: One line for each finding.
  type: list
  elements: str
"""


def tls_findings(own: Mapping[str, Any], generated: Mapping[str, Any]) -> list[str]:
    """Return the findings; nothing about numbers that are none, which the specification reports."""
    if not all(str(value).lstrip("-").isdigit() for value in generated.values()):
        return []
    numbers = {name: int(value) for name, value in generated.items()}
    return findings(dict(own), numbers, datetime.now(UTC))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"tls_findings": tls_findings}
