"""Command line: python -m samples powergym 10000 [--seed N], with the database in DATABASE_URL."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

import psycopg
from alembic.util import CommandError
from pgsteward_url import find_url

from .draw import SEED

SYSTEMS = ("face_recognition", "pixcrawler", "imagemanager", "cats_monitor", "powergym")


def main() -> int:
    """Load one system's samples and print the number of rows of each table."""
    parser = argparse.ArgumentParser(prog="python -m samples", description="Load sample data into empty tables.")
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("size", type=int, help="how many clients, persons, images and so on, as the system has them")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed gives other rows (default %(default)s)")
    arguments = parser.parse_args()
    loader = importlib.import_module(f"samples.{arguments.system}")
    try:
        with psycopg.connect(_conninfo()) as connection:
            rows = loader.load(connection, arguments.size, seed=arguments.seed)
    except (CommandError, psycopg.Error) as error:
        print(f"samples: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 1
    for table, count in rows.items():
        print(f"{table} {count}")
    return 0


def _conninfo() -> str:
    """Return the URL as libpq reads it."""
    url = find_url(None, os.environ)
    if url is None:
        raise CommandError("no database named: set DATABASE_URL, or POSTGRES_HOST and POSTGRES_DB")
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


if __name__ == "__main__":
    sys.exit(main())
