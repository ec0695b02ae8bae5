# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters for what applications need: how to name a cluster, and whether their pools fit the poolers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.module_utils import _connection_string
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

DOCUMENTATION = r"""
name: connection_string
short_description: A connection string with all servers of a cluster
version_added: 0.1.0
description:
  - Returns a connection string for an application that connects without a pooler. It names every server of the cluster and asks for the one that takes
    writes, so that it stays right after a change of primary.
  - The server's certificate is always verified, with the host name in it (C(sslmode=verify-full)).
  - No password is in it unless one is given. Better leave it to a password file or the environment.
positional: _input
options:
  _input:
    description:
      - Host names or addresses of all servers of the cluster, as their certificates have them.
      - They are tried in this order. The order needs no change when the primary changes.
    type: list
    elements: str
    required: true
  database:
    description: The database.
    type: str
    required: true
  user:
    description: The account.
    type: str
    required: true
  password:
    description: Its password, which then stands in the string.
    type: str
  port:
    description: The port of all servers.
    type: int
    default: 5432
  form:
    description:
      - V(uri) is libpq's URL, for C(psql), psycopg, psycopg2, asyncpg and most other drivers.
      - V(keywords) is libpq's other form, C(host=… dbname=…).
      - V(sqlalchemy) is a URL for C(create_engine) of SQLAlchemy 2.0.
    type: str
    choices: [uri, keywords, sqlalchemy]
    default: uri
  driver:
    description:
      - Who reads the string. It matters for V(sqlalchemy), whose URL names it, and for V(asyncpg), which has no C(connect_timeout) in a URL.
      - With O(form=sqlalchemy) V(asyncpg) takes no path of an authority either. Give it in the environment as E(PGSSLROOTCERT).
    type: str
    choices: [psycopg, psycopg2, asyncpg]
    default: psycopg
  read_only:
    description: Ask for a standby, and for the primary only where no standby answers. Otherwise for the server that takes writes.
    type: bool
    default: false
  sslrootcert:
    description: The file on the application's machine with the certificate of the servers' authority.
    type: str
  options:
    description: Further parameters of libpq, such as C(application_name) or C(passfile). asyncpg knows fewer of them.
    type: dict
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Write the URL of the shop's database
  ansible.builtin.copy:
    dest: /etc/shop/database_url
    mode: "0640"
    content: "{{ servers | pgsteward.postgres.connection_string(database='shop', user='shop_app', sslrootcert='/etc/shop/ca.crt') }}"
  vars:
    servers: [db1.example.org, db2.example.org, db3.example.org]

- name: Show the URL of the shop's reports for SQLAlchemy
  ansible.builtin.debug:
    msg: >-
      {{ ['10.0.0.11', '10.0.0.12'] | pgsteward.postgres.connection_string(database='shop', user='shop_readonly', read_only=true, form='sqlalchemy') }}
"""

RETURN = r"""
_value:
  description: The connection string.
  type: str
"""


def connection_string(hosts: Sequence[str], **options: Any) -> str:
    """Return the string; raise AnsibleFilterError when the cluster cannot be named so."""
    try:
        return _connection_string.connection_string(hosts, **options)
    except (StewardError, TypeError) as error:
        raise AnsibleFilterError(f"connection_string: {error}") from None


def pool_findings(applications: Sequence[Mapping[str, Any]], max_client_conn: int, poolers: int = 1) -> list[str]:
    """Return one line for each finding."""
    return _connection_string.pool_findings(applications, int(max_client_conn), int(poolers))


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"connection_string": connection_string, "pool_findings": pool_findings}
