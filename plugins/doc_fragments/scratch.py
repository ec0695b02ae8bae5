# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that say where histories and models run on trial."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION: the scratch database. CACHE: where results of replays are kept."""

    DOCUMENTATION = r"""
options:
  scratch:
    description:
      - Where a history is replayed, or models are created, to see what comes of it. Nothing of it touches the live database.
      - V(instance) is a private cluster on this host, which lives as long as the module runs; it needs the server's binaries of the same
        major version, and is the default where they are.
      - V(database) is a scratch database on a server, made and dropped by the login O(scratch_url). V(url) is an empty database there, which
        serves one replay.
    type: str
    choices: [instance, database, url]
  scratch_url:
    description:
      - URL of a login with CREATEDB and neither SUPERUSER nor CREATEROLE (O(scratch=database)), or of an empty database (O(scratch=url)).
    type: str
  scratch_template:
    description:
      - Database to copy for O(scratch=database), where an extension can only be created by a superuser.
    type: str
  scratch_baseline:
    description:
      - SQL file that is run in the scratch database first, for a history that starts from tables which something else makes, such as
        C(create_all) of the application. C(pg_dump --schema-only --no-owner --no-privileges) writes one.
    type: path
"""

    CACHE = r"""
options:
  cache:
    description:
      - Directory for the results of replays, which are taken again as long as nothing has changed that they depend on - the project's files,
        the packages of its interpreter, what O(environment) and O(x) say, the server's version, extensions and settings of the database.
      - It belongs to the account that runs the module, and nobody else may write there. The default is C(~/.cache/pgsteward).
    type: path
"""
