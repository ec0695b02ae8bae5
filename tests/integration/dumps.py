"""What pg_dump says of a database: a witness that shares nothing with our catalog reader. For the server of support.LOCAL_MAJOR."""

from __future__ import annotations

import os
import re
import subprocess

from support import Database

_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}


def dump(database: Database, *options: str) -> str:
    """Return a dump of a database as pg_dump writes it."""
    environment = {name: str(database.parts[part]) for part, name in _VARIABLES.items() if database.parts.get(part)}
    command = ["pg_dump", "--dbname", database.name, *options]
    ran = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def witness(database: Database) -> str:
    """Return schema and rows of a database, the same text for the same database."""
    return re.sub(r"^\\(un)?restrict \w+$", "", dump(database), flags=re.MULTILINE)
