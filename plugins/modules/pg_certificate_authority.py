#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The generated authority of a cluster, which signs the certificates of its servers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_certificate_authority
short_description: Sign the certificate of a PostgreSQL server by a generated authority
version_added: 0.1.0
description:
  - Signs a new certificate on every call; M(pgsteward.postgres.pg_certificate) says when one is due. Delegate it to the host of the authority.
  - Makes the authority, C(ca.key) and C(ca.crt) in O(directory), when there is none. Calls for several servers at a time take turns.
  - Renews the authority's certificate when it would end before the certificate that is signed. Key and name stay, so that whoever holds the
    old one trusts certificates from before and after, and has O(days) days to take the new one. A warning says so.
  - Where C(ca.crt) holds several authorities, as while one gives way to another, the first one signs. The others are only trusted, and stay.
  - Refuses when C(ca.crt) is there without its key, and when the server already knows another authority.
options:
  directory:
    description: Directory of the authority's key and certificate.
    type: path
    required: true
  authority_name:
    description: Common name of an authority that is made.
    type: str
    default: PostgreSQL certificate authority
  public_key:
    description: Public key of the server as PEM.
    type: str
    required: true
  common_name:
    description: Common name of the server.
    type: str
    required: true
  names:
    description: Host names and addresses that the certificate is for.
    type: list
    elements: str
    required: true
  days:
    description: Days for which the certificate is valid.
    type: int
    default: 365
  client:
    description: Let the certificate also say to other servers who connects, as that of pgBackRest does. Otherwise it is a server's only.
    type: bool
    default: false
  trusted:
    description: The authority's certificate that the server has so far, as PEM.
    type: str
    default: ''
attributes:
  check_mode:
    description: Not supported, because a signature cannot be foreseen; the task is skipped.
    support: none
  diff_mode:
    description: Shows nothing of its own.
    support: none
requirements:
  - cryptography >= 38 on the host
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Sign the certificate of the server
  pgsteward.postgres.pg_certificate_authority:
    directory: /etc/pgsteward/tls
    public_key: "{{ looked.public_key }}"
    common_name: db1.example.org
    names: [db1.example.org, 10.20.0.11]
    trusted: "{{ looked.authority }}"
  delegate_to: db1.example.org
  when: looked.due
  register: signed
"""

RETURN = r"""
certificate:
  description: The new certificate as PEM.
  returned: success
  type: str
  sample: "-----BEGIN CERTIFICATE-----\n"
authority:
  description: The authority's certificate as PEM.
  returned: success
  type: str
  sample: "-----BEGIN CERTIFICATE-----\n"
ends:
  description: Last day of the new certificate.
  returned: success
  type: str
  sample: "2027-11-20"
replaced_authority_ends:
  description: Last day of the authority's former certificate, when it has been renewed.
  returned: success
  type: str
  sample: null
"""

import platform
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._certificate_files import issue
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run

ARGUMENT_SPEC = {
    "directory": {"type": "path", "required": True},
    "authority_name": {"type": "str", "default": "PostgreSQL certificate authority"},
    "public_key": {"type": "str", "required": True, "no_log": False},
    "common_name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "days": {"type": "int", "default": 365},
    "client": {"type": "bool", "default": False},
    "trusted": {"type": "str", "default": ""},
}


def signed(module: AnsibleModule) -> dict[str, Any]:
    """Sign, and warn when clients have something to do; return the result."""
    result = issue(Path(module.params["directory"]), module.params, platform.node())
    if result["replaced_authority_ends"]:
        module.warn(
            f"the certificate authority on {platform.node()} has been renewed, its key is the same:"
            f" give clients the new ca.crt before {result['replaced_authority_ends']}"
        )
    return result


def main() -> None:
    """Sign, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=False)
    run(module, lambda: signed(module))


if __name__ == "__main__":
    main()
