# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server says of a database while it is dumped, all at one moment: facts, row counts, catalog."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import (
    Place,
    connect,
    login_message,
    mask,
    secrets_of,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import KINDS, Scope, Snapshot

if TYPE_CHECKING:
    import psycopg

APPLICATION = "pgsteward dump"
# All that a restore brings back. Subscriptions of others are not shown to the account of dumps; the database itself is in the properties.
SCOPE = Scope.of(None, set(KINDS) - {"database", "subscription"}, None)

_FACTS = """
SELECT json_build_object(
  'version', current_setting('server_version'), 'number', current_setting('server_version_num')::int, 'standby', pg_is_in_recovery(),
  'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  'bypasses', (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user),
  'user', current_user,
  'bytes', pg_database_size(d.oid),
  'table_bytes', (SELECT coalesce(sum(pg_table_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname <> 'pg_catalog') + pg_table_size('pg_largeobject'),
  'extensions', (SELECT coalesce(json_object_agg(extname, extversion), '{}') FROM pg_extension WHERE extname <> 'plpgsql'),
  'roles', (SELECT coalesce(json_agg(DISTINCT r.rolname), '[]') FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
    WHERE s.refclassid = 'pg_authid'::regclass
      AND (s.dbid = d.oid OR (s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = d.oid))),
  'large_objects', (SELECT count(*) FROM pg_largeobject_metadata m WHERE NOT coalesce((
    SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false) AND NOT pg_has_role(m.lomowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
      AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))),
  'foreign_rows', (SELECT count(*) FROM pg_class WHERE relkind = 'f'),
  'unlogged', (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u'))
FROM pg_database d WHERE d.datname = current_database()
"""

# What has rows of its own that a dump holds. Tables of extensions are the extensions' own, unlogged ones have none on a standby, and
# materialized views are filled anew.
_TABLES = """
SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname) ORDER BY n.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
  AND (c.relpersistence = 'p' OR NOT pg_is_in_recovery())
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""

COUNT = "SELECT count(*) FROM ONLY "

# Alembic's version tables, whatever they are called.
_VERSIONS = """
SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname) ORDER BY n.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
  AND ARRAY['version_num'::name] = (SELECT array_agg(a.attname) FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND format_type(a.atttypid, NULL) IN ('character varying', 'text'))
  AND 1 = (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
"""


@dataclass(frozen=True)
class Facts:
    """What a server says of itself and of a database. large_objects: those that the account may not read."""

    version: str
    number: int
    standby: bool
    superuser: bool
    bypasses: bool
    user: str
    bytes: int
    table_bytes: int
    extensions: Mapping[str, str]
    roles: tuple[str, ...]
    large_objects: int
    foreign_rows: int
    unlogged: int

    @property
    def major(self) -> int:
        """The major version."""
        return self.number // 10000


class Moment:
    """A database at one moment, for as long as the transaction is open that has exported it."""

    def __init__(self, connection: psycopg.Connection[Any], place: Place, snapshot: str, facts: Facts) -> None:
        self._connection, self._place, self.snapshot, self.facts = connection, place, snapshot, facts

    def tables(self) -> list[tuple[str, str]]:
        """Return schema and name of the tables that have rows in a dump."""
        return [(schema, name) for schema, name in self._value(_TABLES)]

    def rows(self, tables: Iterable[tuple[str, str]]) -> dict[str, int]:
        """Return how many rows tables have, by their names as SQL quotes them."""
        return {qualified(*table): int(self._value(COUNT + _quoted(table))) for table in tables}

    def revisions(self) -> dict[str, list[str]]:
        """Return the revisions that version tables hold, sorted."""
        tables = [(schema, name) for schema, name in self._value(_VERSIONS)]
        query = "SELECT coalesce(json_agg(version_num ORDER BY version_num), '[]') FROM ONLY "
        return {qualified(*table): list(self._value(query + _quoted(table))) for table in tables}

    def catalog(self) -> Snapshot:
        """Return the catalog; through a connection of its own, as the reader has its own transaction."""
        with contextlib.closing(connect(self._place, APPLICATION)) as connection:
            return _catalog.read(connection, self._place, moment=self.snapshot).snapshot

    def cancel(self) -> None:
        """End what runs on the connection; for another thread."""
        with contextlib.suppress(Exception):
            self._connection.cancel()

    def _value(self, query: str) -> Any:
        with told(self._place):
            row = self._connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def _quoted(table: tuple[str, str]) -> str:
    return ".".join(identifier(part) for part in table)


@contextmanager
def told(place: Place) -> Iterator[None]:
    """Turn an error of the server into one line."""
    import psycopg

    try:
        yield
    except psycopg.OperationalError as error:
        raise StewardError(login_message(place, mask(str(error), secrets_of(place)))) from None
    except psycopg.Error as error:
        raise StewardError(f"{place} answers: {mask(str(error), secrets_of(place)).splitlines()[0]}") from None


@contextmanager
def moment_of(place: Place) -> Iterator[Moment]:
    """Hold a database at one moment, also on a standby. Raises StewardError."""
    with contextlib.closing(connect(place, APPLICATION)) as connection:
        with told(place):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for setting in ("row_security = off", "lock_timeout = '60s'", "statement_timeout = 0"):
                connection.execute(f"SET LOCAL {setting}".encode())
            row = connection.execute(_FACTS).fetchone()
            snapshot = connection.execute("SELECT pg_export_snapshot()").fetchone()
        facts = facts_of(row[0] if row else {})
        refuse_pooler(place, connection)
        yield Moment(connection, place, str(snapshot[0]) if snapshot else "", facts)


def refuse_pooler(place: Place, connection: psycopg.Connection[Any]) -> None:
    """Raise StewardError behind a connection pooler, where a snapshot cannot be shared and a session is anybody's."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row and row[0] != connection.info.backend_pid:
        raise StewardError(f"{place} is a connection pooler: give the address of the server itself")


def facts_of(answer: Mapping[str, Any]) -> Facts:
    """Return the facts that an answer holds."""
    return Facts(**{**answer, "roles": tuple(answer["roles"])})


def findings(facts: Facts) -> list[str]:
    """Return why an account cannot dump the database whole."""
    found = []
    if facts.large_objects:
        found.append(
            f"{facts.user} may not read {facts.large_objects} large objects: GRANT SELECT ON LARGE OBJECT to it, or dump as a superuser"
        )
    return found


def notes(facts: Facts) -> list[str]:
    """Return what a dump of this database does not hold, as sentences."""
    found = []
    if not facts.superuser:
        found.append("taken without superuser: options of user mappings and subscriptions of others are not in it")
    if facts.standby and facts.unlogged:
        found.append(f"taken from a standby: the rows of {facts.unlogged} unlogged tables are not in it")
    if facts.foreign_rows:
        found.append(f"the rows of {facts.foreign_rows} foreign tables are where they were")
    return found
