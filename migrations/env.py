"""Runs the history of one system: the one whose section of alembic.ini is in use."""

from __future__ import annotations

import importlib
import os
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError
from pgsteward_url import find_url
from sqlalchemy import MetaData, engine_from_config
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

config = context.config
system = config.config_ini_section


def metadata_of(name: str) -> MetaData:
    """Return the metadata of the system's models."""
    try:
        models = importlib.import_module(f"{name}.models")
    except ModuleNotFoundError as error:
        if error.name not in (name, f"{name}.models"):
            raise
        raise CommandError(f"there is no system {name!r} here: name a section of alembic.ini with -n") from None
    metadata: MetaData = models.Base.metadata
    return metadata


def configure(**target: object) -> None:
    """Configure the context; target is either a connection or what offline rendering needs."""
    context.configure(
        **target,  # type: ignore[arg-type]
        target_metadata=metadata_of(system),
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
    )


def render(url: URL | None) -> None:
    """Print the SQL; no database is needed, so neither is a URL."""
    where: dict[str, object] = {"dialect_name": "postgresql"} if url is None else {"url": url}
    configure(literal_binds=True, dialect_opts={"paramstyle": "named"}, **where)
    with context.begin_transaction():
        context.run_migrations()


def run(url: URL | None) -> None:
    """Run on a connection of its own, closed at the end."""
    if url is None:
        raise CommandError(f"no database named for {system}: set DATABASE_URL, or POSTGRES_HOST and POSTGRES_DB")
    options = config.get_section(system, {})
    engine = engine_from_config(options, prefix="sqlalchemy.", url=url, poolclass=NullPool)
    with engine.connect() as connection:
        configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


# Only the command line has cmd_opts. A program that calls Alembic has set up its own logging.
if config.cmd_opts is not None and config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)

location = find_url(config.get_main_option("sqlalchemy.url"), os.environ)
if context.is_offline_mode():
    render(location)
else:
    run(location)
