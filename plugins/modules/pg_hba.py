#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole hba file of a PostgreSQL server: exactly the listed clients may connect."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_hba
short_description: Own the hba file of a PostgreSQL server
version_added: 0.1.0
description:
  - Makes the server's C(pg_hba.conf) hold exactly O(rules), in their order. Whoever no rule matches is refused.
  - The server says where its file is. The module runs on the server's host, as the operating system's account that owns the file.
  - Rules are checked by the module itself, then by the server's own programs in a scratch instance, which takes half a second and never
    listens, both before the live file is touched. Once written, the server's view C(pg_hba_file_rules) is asked. If it finds a rule wrong,
    the former file is put back and nothing is reloaded. After the reload O(login_user) logs in anew. If that fails, the former file is put
    back and reloaded.
  - A file that is right but younger than the server's last reload, such as after a run that was cut short, is reloaded.
  - Refuses rules under which O(login_user) might be locked out of the Unix socket. The first rule of type V(local) that may match it must
    be C(peer) for all databases.
options:
  rules:
    description: The rules, first match first.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description:
          - How the client connects. V(hostssl) is TCP with TLS and V(local) the Unix socket.
          - V(host) also lets clients in without TLS. What they send and get can then be read on the way.
          - V(hostnossl) keeps out whoever uses TLS. Outside the host itself it is accepted with the method C(reject) only.
        type: str
        choices: [hostssl, host, hostnossl, hostgssenc, hostnogssenc, local]
        default: hostssl
      databases:
        description:
          - Names, regular expressions that start with a slash (PostgreSQL 16), C(@) and the whole path of a file with names, and the keywords
            C(all), C(sameuser), C(samerole) and C(replication).
          - An entry in double quotes is a name whatever it looks like. V("all") in quotes of its own is a database of that name.
          - C(all) does not include C(replication).
        type: list
        elements: str
        required: true
      users:
        description:
          - Names, regular expressions and files as for O(rules[].databases), C(+) and the name of a role for all its members, and the
            keyword C(all).
        type: list
        elements: str
        required: true
      address:
        description:
          - A network such as V(10.0.0.0/8), a single address, a host name, a suffix of host names such as V(.example.org), or C(all),
            C(samehost) or C(samenet). Required unless O(rules[].type=local), which takes none.
        type: str
      method:
        description:
          - V(scram-sha-256), V(cert) (TLS only), V(peer) (Unix socket only), V(gss), V(ldap), V(pam) or V(reject).
          - With V(ldap) and V(pam) the password itself reaches the server, so outside the host they want TLS; V(ldap) wants it towards the
            directory as well.
          - C(trust), C(password), C(md5), C(ident) and C(radius) are refused.
        type: str
        default: scram-sha-256
      options:
        description: Options of the method, such as C(map) or C(clientcert). Booleans become 1 and 0.
        type: dict
        default: {}
      ldap_bind_password:
        description: The option C(ldapbindpasswd), which is kept out of output and log.
        type: str
      comment:
        description: Text above the rule. It is written once for neighbours that share it.
        type: str
        default: ''
      name:
        description: What messages call the rule. V(rules[0\]) and so on when it is not given.
        type: str
  maps:
    description:
      - The lines of the server's C(pg_ident.conf), which is then owned whole as well. Lines of somebody else's that are not among them are an
        error, because whoever logs in by them would be kept out.
      - Without any, a file that this module did not write is left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      map:
        description: Name of the map, as O(rules[].options) has it.
        type: str
        required: true
      system_user:
        description: Who the client is to the operating system or by its certificate. With a slash at its beginning a regular expression.
        type: str
        required: true
      user:
        description: The account of the server that it may log in as.
        type: str
        required: true
  login_unix_socket:
    description: Directory of the server's Unix socket, the only way in that the module uses.
    type: path
    default: /var/run/postgresql
  login_port:
    description: Port of the server, which is part of the socket's name.
    type: int
    default: 5432
  login_user:
    description: The superuser, also the operating system's account of that name.
    default: postgres
  login_db:
    description: Database to log in to. The rules are those of the whole server.
    default: postgres
attributes:
  check_mode:
    description:
      - The live file and the server stay as they are. The rules are checked as in the real run, by the scratch instance too, which lies below
        the temporary directory and is removed at the end.
      - What only the real run can tell is whether the superuser can still log in after the reload.
      - Where no server runs yet, the difference to an empty file is shown with a warning.
    support: full
  diff_mode:
    description: Shows the file before and after. Secrets are masked.
    support: full
notes:
  - O(login_host), O(login_password), O(ssl_mode) and O(ca_cert) are accepted so that defaults of the action group do no harm, and not used.
extends_documentation_fragment: [pgsteward.postgres.connection]
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Let in the superuser locally, the shop from its network, and nobody else
  pgsteward.postgres.pg_hba:
    rules:
      - {type: local, databases: [all], users: [postgres], method: peer}
      - {databases: [shop], users: [shop_app, shop_readonly], address: 10.20.0.0/16, comment: The shop}
  become: true
  become_user: postgres

- name: Members of a group log in with their certificate, to the databases of one customer
  pgsteward.postgres.pg_hba:
    rules:
      - {type: local, databases: [all], users: [postgres], method: peer}
      - databases: ['/^customer7_']
        users: [+analysts]
        address: 192.168.7.0/24
        method: cert
        options: {map: people}
    maps:
      - {map: people, system_user: '/^(.*)@example[.]org$', user: '\1'}
  become: true
  become_user: postgres
"""

RETURN = r"""
hba_file:
  description: The server's hba file. In check mode without a server just its name.
  returned: success
  type: str
  sample: /etc/postgresql/17/main/pg_hba.conf
reloaded:
  description: Whether the server was told to read its files again, and did. In check mode whether it would be.
  returned: success
  type: bool
  sample: true
added:
  description: Rules that the file did not hold before. Spacing, comments and needless quotes make no difference.
  returned: success
  type: list
  elements: str
  sample: ["hostssl shop shop_app 10.20.0.0/16 scram-sha-256"]
removed:
  description: Rules that the file held before and no longer does.
  returned: success
  type: list
  elements: str
  sample: ["host all all 0.0.0.0/0 md5"]
line:
  description: Line of the file in which the server found the error.
  returned: when the server refuses a rule
  type: int
  sample: 12
error:
  description: What the server says about that line.
  returned: when the server refuses a rule
  type: str
  sample: 'unrecognized authentication option name: "mapp"'
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run
from ansible_collections.pgsteward.postgres.plugins.module_utils._hba import TYPES, lockout, parse_rules, render
from ansible_collections.pgsteward.postgres.plugins.module_utils._hba_server import converge

RULE_SPEC = {
    "type": {"type": "str", "choices": list(TYPES), "default": "hostssl"},
    "databases": {"type": "list", "elements": "str", "required": True},
    "users": {"type": "list", "elements": "str", "required": True},
    "address": {"type": "str"},
    "method": {"type": "str", "default": "scram-sha-256"},
    "options": {"type": "dict", "default": {}},
    "ldap_bind_password": {"type": "str", "no_log": True},
    "comment": {"type": "str", "default": ""},
    "name": {"type": "str"},
}
MAP_SPEC = {key: {"type": "str", "required": True} for key in _ident.KEYS}
ARGUMENT_SPEC = {
    "rules": {"type": "list", "elements": "dict", "required": True, "options": RULE_SPEC},
    "maps": {"type": "list", "elements": "dict", "default": [], "options": MAP_SPEC},
    "login_host": {"type": "str"},
    "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str", "default": "postgres"},
    "ssl_mode": {"type": "str", "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_rootcert"]},
}


def own_file(module: AnsibleModule) -> dict[str, Any]:
    """Check the rules, then bring file and server to them unless in check mode; return the result."""
    given = module.params
    rules = parse_rules(given["rules"])
    locked = lockout(rules, given["login_user"])
    if locked:
        raise StewardError(locked)
    database, socket, port, user = (given[f"login_{name}"] for name in ("db", "unix_socket", "port", "user"))
    place = Place(database, host=socket, port=port, user=user)
    maps = _ident.render(_ident.parse(given["maps"])) if given["maps"] else None
    result = converge(place, rules, render(rules), module.check_mode, maps)
    for warning in result.pop("warnings"):
        module.warn(warning)
    return result


def main() -> None:
    """Plan, apply unless in check mode, report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: own_file(module))


if __name__ == "__main__":
    main()
