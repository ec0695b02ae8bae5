#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The key and the certificate of a PostgreSQL server: looked at, and put in place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_certificate
short_description: Look at the certificate of a PostgreSQL server, or put one in place
version_added: 0.1.0
description:
  - Without O(certificate) it looks at the generated certificate and says by RV(due) whether a new one has to be made and why. Then it makes
    the key of the server when there is none that can be read. M(pgsteward.postgres.pg_certificate_authority) signs for it.
  - One that comes from another than the first authority of O(authority_path) is due as well.
  - With O(certificate) it puts what is given in place, as far as it differs. A key that does not belong to the certificate is refused.
  - Reloads nothing. M(pgsteward.postgres.pg_settings) makes the server read its files when they are younger than its last reload.
options:
  path:
    description: File of the certificate, or of its whole chain with the server's own first.
    type: path
    required: true
  key_path:
    description: File of the key, which only O(owner) may read.
    type: path
    required: true
  authority_path:
    description: File of the authority's certificate.
    type: path
    required: true
  owner:
    description: The operating system's account that runs the server.
    type: str
    default: postgres
  names:
    description: Host names and addresses that the generated certificate has to name. More of them in it do no harm.
    type: list
    elements: str
    default: []
  renew_days:
    description: A generated certificate is due this number of days before its end.
    type: int
    default: 30
  certificate:
    description: The certificate to put in place, as PEM.
    type: str
  key:
    description: The key to put in place, as PEM without a passphrase. The one on the host stays when it is not given.
    type: str
  authority:
    description: The authority's certificate to put in place, as PEM.
    type: str
attributes:
  check_mode:
    description: Nothing is written. A certificate that is due counts as a change.
    support: full
  diff_mode:
    description: Shows names, issuer, end and fingerprint of the certificate before and after, and never a key.
    support: full
requirements:
  - cryptography >= 38 on the host
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Look at the certificate of the server
  pgsteward.postgres.pg_certificate:
    path: /etc/pgsteward/tls/server.crt
    key_path: /etc/pgsteward/tls/server.key
    authority_path: /etc/pgsteward/tls/ca.crt
    names: [db1.example.org, 10.20.0.11]
  register: looked

- name: Put a certificate in place that somebody else has signed
  pgsteward.postgres.pg_certificate:
    path: /etc/pgsteward/tls/own.crt
    key_path: /etc/pgsteward/tls/own.key
    authority_path: /etc/pgsteward/tls/own-ca.crt
    certificate: "{{ lookup('ansible.builtin.file', 'db1.crt') }}"
    key: "{{ lookup('ansible.builtin.file', 'db1.key') }}"
"""

RETURN = r"""
due:
  description: Whether a new certificate has to be made.
  returned: when O(certificate) is not given
  type: bool
  sample: true
reason:
  description: Why it is due.
  returned: when O(certificate) is not given
  type: str
  sample: it ends on 2026-12-01
public_key:
  description: Public key of the server as PEM. In check mode null when there is none yet.
  returned: when O(certificate) is not given
  type: str
  sample: "-----BEGIN PUBLIC KEY-----\n"
authority:
  description: The authority's certificate as the server has it, as PEM. Empty when there is none.
  returned: when O(certificate) is not given
  type: str
  sample: "-----BEGIN CERTIFICATE-----\n"
written:
  description: Files that are written. In check mode those that would be.
  returned: when O(certificate) is given
  type: list
  elements: str
  sample: [/etc/pgsteward/tls/own.crt]
days_left:
  description: Days until the end of the certificate that is given.
  returned: when O(certificate) is given
  type: int
  sample: 364
ends:
  description: Last day of the certificate.
  returned: success
  type: str
  sample: "2027-11-20"
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils._certificate_files import Files, look, put
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import run

ARGUMENT_SPEC = {
    "path": {"type": "path", "required": True},
    "key_path": {"type": "path", "required": True, "no_log": False},
    "authority_path": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "postgres"},
    "names": {"type": "list", "elements": "str", "default": []},
    "renew_days": {"type": "int", "default": 30},
    "certificate": {"type": "str"},
    "key": {"type": "str", "no_log": True},
    "authority": {"type": "str"},
}


def result(module: AnsibleModule) -> dict[str, Any]:
    """Look or put in place; return the result."""
    given = module.params
    files = Files(Path(given["path"]), Path(given["key_path"]), Path(given["authority_path"]), given["owner"])
    if given["certificate"]:
        outcome = put(files, given["certificate"], given["key"], given["authority"], module.check_mode)
        if outcome["days_left"] is not None and outcome["days_left"] < given["renew_days"]:
            module.warn(
                f"the certificate of this server, {files.certificate}, ends on {outcome['ends']}: give a new one"
            )
        return outcome
    return look(files, given["names"], given["renew_days"], module.check_mode)


def main() -> None:
    """Look or put in place, report."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_by={"key": ("certificate",), "authority": ("certificate",)},
    )
    run(module, lambda: result(module))


if __name__ == "__main__":
    main()
