"""The five histories and the snapshots stored beside them, one for each revision.

`python tests/integration/histories.py` (make snapshots) writes them anew: after a revision was added, or when the format changes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / ".cache" / "collections")]

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog, _snapshot
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._history import SCOPE
from databases import own_database
from support import Database

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
SYSTEMS = ("face_recognition", "pixcrawler", "imagemanager", "cats_monitor", "powergym")
WITH_VECTORS = ("face_recognition", "powergym")


def config_of(system: str, database: Database) -> Config:
    """Return the configuration of a system, with the URL as our own runner sets it."""
    config = Config(MIGRATIONS / "alembic.ini", ini_section=system)
    config.set_main_option("sqlalchemy.url", database.url.replace("%", "%%"))
    return config


def revisions(system: str) -> list[str]:
    """Return the revisions, oldest first."""
    config = Config(MIGRATIONS / "alembic.ini", ini_section=system)
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def stored(system: str, revision: str) -> Path:
    """Return the file of a snapshot."""
    return MIGRATIONS / system / "snapshots" / f"{revision}.json"


def replay(system: str) -> Iterator[tuple[str, _snapshot.Snapshot]]:
    """Yield each revision with the snapshot of a database that has come so far."""
    with own_database(vector=system in WITH_VECTORS) as database:
        for revision in revisions(system):
            command.upgrade(config_of(system, database), revision)
            with database.connect() as connection:
                yield revision, _catalog.read(connection, Place(database=database.name), SCOPE).snapshot


def main() -> None:
    """Write every snapshot, and remove those of revisions that are no more."""
    sys.path.insert(0, str(MIGRATIONS))
    for system in SYSTEMS:
        for old in stored(system, "x").parent.glob("*.json"):
            old.unlink()
        for revision, snapshot in replay(system):
            path = stored(system, revision)
            path.parent.mkdir(exist_ok=True)
            path.write_text(snapshot.as_text(), encoding="utf-8")
            print(f"{path.relative_to(MIGRATIONS)}: {snapshot.as_dict()['fingerprint'][:12]}")


if __name__ == "__main__":
    main()
