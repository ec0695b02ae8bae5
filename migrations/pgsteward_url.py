"""Where the database is: the configuration first, then the environment."""

from __future__ import annotations

from collections.abc import Mapping

from alembic.util import CommandError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

DRIVER = "postgresql+psycopg"

_ASYNCPG_ONLY = ("prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback")


def find_url(configured: str | None, environment: Mapping[str, str]) -> URL | None:
    """Return the database's URL with the driver psycopg, or None when nothing names a database.

    configured is the main option sqlalchemy.url; after it come DATABASE_URL, then POSTGRES_HOST with POSTGRES_DB
    and, where given, POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_PORT. No error ever quotes the URL, which may
    hold a password.

    Raises CommandError when what was given cannot be used.
    """
    if configured:
        return with_psycopg(configured, "sqlalchemy.url")
    if environment.get("DATABASE_URL"):
        return with_psycopg(environment["DATABASE_URL"], "DATABASE_URL")
    return _from_parts(environment)


def with_psycopg(text: str, source: str) -> URL:
    """Parse text and put psycopg in the place of any other PostgreSQL driver; source names it in errors."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise CommandError(f"{source} is not a database URL (postgresql://user:password@host:port/name)") from None
    dialect, _, driver = url.drivername.partition("+")
    if dialect not in ("postgresql", "postgres"):
        raise CommandError(f"{source} names a database of the kind {dialect!r}; the histories are for postgresql")
    if driver == "asyncpg":
        url = _without_asyncpg_options(url)
    return url.set(drivername=DRIVER)


def _without_asyncpg_options(url: URL) -> URL:
    """Say in libpq's words what the query string said in asyncpg's."""
    query = dict(url.query)
    if "ssl" in query:
        query["sslmode"] = {"true": "require", "false": "disable"}.get(str(query["ssl"]).lower(), query["ssl"])
    return url.set(query=query).difference_update_query(["ssl", *_ASYNCPG_ONLY])


def _from_parts(environment: Mapping[str, str]) -> URL | None:
    """Build the URL from the POSTGRES_ variables that container images use."""
    host, database = environment.get("POSTGRES_HOST"), environment.get("POSTGRES_DB")
    if not host and not database:
        return None
    if not host or not database:
        missing = "POSTGRES_DB" if host else "POSTGRES_HOST"
        raise CommandError(f"{missing} is not set; the POSTGRES_ variables name a database only together")
    port = environment.get("POSTGRES_PORT") or "5432"
    if not port.isdecimal():
        raise CommandError("POSTGRES_PORT is not a number")
    return URL.create(
        DRIVER,
        username=environment.get("POSTGRES_USER") or None,
        password=environment.get("POSTGRES_PASSWORD") or None,
        host=host,
        port=int(port),
        database=database,
    )
