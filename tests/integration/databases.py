"""Databases that can hold vectors, also where the tests' role may not create extensions."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from support import Database, drop_database, server_url

_numbers = itertools.count(1)


@contextmanager
def own_database(vector: bool = False) -> Iterator[Database]:
    """Make an empty database, with the extension vector if asked for, and drop it at the end.

    The extension comes from the template database that PGSTEWARD_TEST_TEMPLATE names. Without one it is created, which
    takes a superuser, or a pgvector that is marked as trusted.
    """
    template = os.environ.get("PGSTEWARD_TEST_TEMPLATE", "template1")
    database = Database(f"pgsteward_migrations_{os.getpid()}_{next(_numbers)}")
    drop_database(database.name)
    with psycopg.connect(server_url(), autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(database.name), sql.Identifier(template)))
    try:
        if vector:
            database.rows("CREATE EXTENSION IF NOT EXISTS vector")
        yield database
    finally:
        drop_database(database.name)
