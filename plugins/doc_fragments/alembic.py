# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options and attributes that the Alembic modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION: which project, how it is run. MUTATING: attributes of the modules that write."""

    DOCUMENTATION = r"""
options:
  project:
    description:
      - Directory that holds C(alembic.ini) or C(pyproject.toml); the project runs in it.
    type: path
    required: true
  config:
    description:
      - Name of the config file, relative to O(project).
      - When it is not there, a C([tool.alembic]) table in C(pyproject.toml) serves (Alembic 1.16 or later).
    type: str
    default: alembic.ini
  section:
    description:
      - Section of the config file.
    type: str
    default: alembic
  url:
    description:
      - Database URL as SQLAlchemy writes it, instead of O(login_host) and its kin. Percent-encode its password.
      - Without it and without O(login_db), the database is named by C(DATABASE_URL) in O(environment), or by C(POSTGRES_DB) with
        C(POSTGRES_HOST), C(POSTGRES_PORT), C(POSTGRES_USER) and C(POSTGRES_PASSWORD).
      - C(postgresql://) without a driver takes psycopg 3 or psycopg2, whichever the project's interpreter has.
        A named driver such as C(postgresql+asyncpg://) is kept for the project; the module itself connects by psycopg 3.
      - The project finds it as C(sqlalchemy.url) in its config and in the variable C(DATABASE_URL).
        If the project connects to anywhere else, the module stops before it changes anything.
    type: str
  virtualenv:
    description:
      - Virtual environment of the project, with alembic and the database driver in it.
        A relative path starts at O(project).
    type: path
  python:
    description:
      - Interpreter of the project. The default is the interpreter that runs the module.
    type: path
  environment:
    description:
      - Environment variables for the project's process. A C(DATABASE_URL) in here is left as it is.
      - Values whose names look like secrets (password, token, key and the like) or that are URLs with a password are
        masked in everything the module returns, and are not in the process's environment when it starts.
    type: dict
    default: {}
  x:
    description:
      - Arguments that the project reads by C(context.get_x_argument), as after C(alembic -x).
      - They may be logged; give secrets by O(environment).
    type: list
    elements: str
    default: []
requirements:
  - alembic 1.7 or later and SQLAlchemy 1.4 or later for the project's interpreter (Python 3.8 or later)
"""

    MUTATING = r"""
options:
  lock_wait:
    description:
      - How long to wait for another run on the same database, which works on it alone. V(0) fails at once.
      - The error names the session that holds the lock.
    type: str
    default: 10min
  lock_timeout:
    description:
      - How long a statement may wait for a lock, since others queue behind it. V(0) waits for ever.
      - Inside C(autocommit_block) no such limit holds, and a statement may take 30 minutes, because
        C(CREATE INDEX CONCURRENTLY) cut short leaves an invalid index.
    type: str
    default: 500ms
  lock_retry:
    description:
      - How long to go on trying a revision that met O(lock_timeout), each time from its beginning and with longer pauses. V(0) tries once.
      - A revision that did something inside C(autocommit_block) is not tried again.
    type: str
    default: 5min
  statement_timeout:
    description:
      - How long a statement may take. Without it the server's setting holds.
    type: str
attributes:
  check_mode:
    description: Can run without changing anything; the session is read-only then, and no lock is taken.
    support: full
  diff_mode:
    description: Shows the revision before and after, the revisions between and their statements.
    support: full
"""
