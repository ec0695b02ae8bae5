# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that say where a database is."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION: the login_* options, named as in community.postgresql. URL: a database URL in their place."""

    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Name or address of the server. Without it and O(login_unix_socket), libpq decides,
        by C(PGHOST) or its default socket.
    type: str
  login_unix_socket:
    description:
      - Directory of the server's Unix socket.
    type: path
  login_port:
    description:
      - Port of the server. Without it libpq decides, by C(PGPORT) or 5432.
    type: int
  login_user:
    description:
      - Role to log in as. Take the least account that can do the work.
    type: str
  login_password:
    description:
      - Password of that role. Without it, libpq looks in C(PGPASSWORD) and in its password file.
    type: str
  login_db:
    description:
      - Database to work in.
    type: str
  ssl_mode:
    description:
      - How TLS is used and what is verified, as in libpq's C(sslmode), whose default is C(prefer).
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description:
      - File with the certificate authorities that may have signed the server's certificate.
    type: path
    aliases: [ssl_rootcert]
requirements:
  - psycopg 3 for the interpreter that runs the module
"""

    URL = r"""
options:
  url:
    description:
      - Database URL as SQLAlchemy writes it, instead of O(login_host) and its kin. Percent-encode its password.
    type: str
"""
