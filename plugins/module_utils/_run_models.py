# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of the runner: the application's models, created without any revision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ._alembic_runner import Run, RunnerError, describe


class CreateModels(Run):
    """The run that creates what the application's models describe, in an empty database and without any revision."""

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Create the schemas and the tables, in a transaction of our own unless env.py has one open."""
        several = isinstance(self.metadata, (list, tuple))
        collection = [item for item in (self.metadata if several else [self.metadata]) if item is not None]
        if not collection:
            raise RunnerError("env.py gives no target_metadata: models cannot be compared")
        tables = sum(len(metadata.tables) for metadata in collection)
        if not tables:
            raise RunnerError(
                "target_metadata has no tables: the modules that define the models are not imported by env.py"
            )
        connection = context.connection
        quote = connection.dialect.identifier_preparer.quote_identifier
        try:
            with context.begin_transaction(_per_migration=True):
                for schema in schemas_of(collection):
                    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
                for metadata in collection:
                    metadata.create_all(connection)
        except Exception as error:
            raise RunnerError(f"the models cannot be created: {describe(error)['text']}") from error
        self.report(tables=tables)


def schemas_of(collection: Iterable[Any]) -> list[str]:
    """Return the schemas that the tables, types and sequences of several MetaData name, sorted."""
    found: set[str | None] = set()
    for metadata in collection:
        found |= {metadata.schema, *(sequence.schema for sequence in metadata._sequences.values())}
        for table in metadata.tables.values():
            types = [getattr(column.type, "item_type", column.type) for column in table.columns]
            found |= {table.schema, *(getattr(kind, "schema", None) for kind in types)}
    return sorted(schema for schema in found if schema)
