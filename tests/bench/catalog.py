"""Time to read and to verify a schema of 100, 1000 and 5000 tables, beside SQLAlchemy's reflection and alembic's comparison.

Needs PGSTEWARD_TEST_URL. Each table has 16 columns, a primary key, four indexes and a foreign key. Every measurement has a connection
of its own, whose caches are cold, as for a module. Prints medians in seconds and their ratios, all of one run on one server.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".cache" / "collections"))

import support
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog, _verify
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import connect, parse_url
from sqlalchemy import MetaData, create_engine

TYPES = (
    "integer", "bigint", "text", "varchar(80)", "boolean", "numeric(12, 2)", "timestamptz", "date", "uuid", "jsonb",
    "double precision", "smallint",
)  # fmt: skip
OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("login_host", "spec", "project"), None),
    "truth": "snapshot", "version_table": "alembic_version", "schemas": [], "kinds": [], "without": [], "accept": [], "fail_on": "cosmetic",
}  # fmt: skip
COMMIT_EVERY = 200  # tables; a transaction holds a lock for each


def fill(database: support.Database, tables: int) -> None:
    """Make the tables."""
    with database.connect() as connection:
        for first in range(0, tables, COMMIT_EVERY):
            with connection.transaction():
                for number in range(first, min(first + COMMIT_EVERY, tables)):
                    for statement in statements(number):
                        connection.execute(statement.encode())
        # As a database is that has been there for a while; else autovacuum would come by in the middle of it.
        connection.execute("VACUUM ANALYZE")


def statements(number: int) -> list[str]:
    """Return what makes one table."""
    name, parent = f"t{number:05}", f"t{number // 10:05}"  # a tree: reflection follows a chain by recursion
    columns = [
        f"c{place} {TYPES[place % len(TYPES)]}"
        + " NOT NULL" * (place % 3 == 0)
        + " DEFAULT 'x'" * (TYPES[place % len(TYPES)] == "text")
        for place in range(14)
    ]
    return [
        f"CREATE TABLE {name} (id bigint PRIMARY KEY, parent_id bigint, {', '.join(columns)})",
        *(f"CREATE INDEX {name}_c{place}_idx ON {name} (c{place}, c{place + 4})" for place in range(4)),
        f"ALTER TABLE {name} ADD CONSTRAINT {name}_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES {parent} (id)",
    ]


def median(runs: int, action: Callable[[], Any]) -> float:
    """Return the median seconds of an action."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(tables: int, runs: int, directory: Path) -> dict[str, float]:
    """Return the seconds of each contender on a schema of that size."""
    database = support.create_database(f"pgsteward_bench_{os.getpid()}")
    engine = create_engine(database.url.replace("://", "+psycopg://"))
    try:
        fill(database, tables)
        place = parse_url(database.url)

        def read() -> _catalog.Reading:
            with contextlib.closing(connect(place, "bench")) as connection:
                return _catalog.read(connection, place)

        file = directory / f"{tables}.json"
        file.write_text(read().snapshot.as_text())
        options = {**OPTIONS, "url": database.url, "snapshot": str(file)}

        def verify() -> None:
            assert _verify.verify(options, str(directory), date(2026, 1, 1))["clean"]

        def reflect() -> MetaData:
            metadata = MetaData()
            with engine.connect() as connection:
                metadata.reflect(connection)
            return metadata

        models = reflect()

        def compare() -> None:
            with engine.connect() as connection:
                assert compare_metadata(MigrationContext.configure(connection), models) == []

        slow = runs if tables <= 100 else 1
        return {
            "read": median(runs, read),
            "verify": median(runs, verify),
            "reflect": median(slow, reflect),
            "compare": median(slow, compare),
        }
    finally:
        engine.dispose()
        support.drop_database(database.name)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="runs of each; of the slow contenders one (default 7)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 5000], help="numbers of tables")
    options = parser.parse_args()
    seconds = {}
    with tempfile.TemporaryDirectory() as directory:
        for tables in options.sizes:
            found = seconds[tables] = measure(tables, options.runs, Path(directory))
            print(
                f"catalog of {tables} tables: read {found['read']:.3f} s, verify a snapshot {found['verify']:.3f} s, "
                f"MetaData.reflect {found['reflect']:.3f} s ({found['reflect'] / found['read']:.1f} x read), "
                f"compare_metadata {found['compare']:.3f} s ({found['compare'] / found['verify']:.1f} x verify)",
                flush=True,
            )
    for smaller, larger in zip(options.sizes, options.sizes[1:], strict=False):
        print(
            f"catalog growth from {smaller} to {larger} tables ({larger / smaller:.0f} x): "
            f"read {seconds[larger]['read'] / seconds[smaller]['read']:.1f} x, "
            f"verify {seconds[larger]['verify'] / seconds[smaller]['verify']:.1f} x"
        )


if __name__ == "__main__":
    main()
