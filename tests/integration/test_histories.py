"""The five histories, both ways, against the snapshots stored beside them, on each version of PostgreSQL that the lab has."""

from __future__ import annotations

import pytest
from alembic import command
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog, _drift, _snapshot
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from databases import own_database
from histories import MIGRATIONS, SCOPE, SYSTEMS, WITH_VECTORS, config_of, replay, revisions, stored
from support import MAJORS, Database, use_server


@pytest.fixture(params=MAJORS)
def major(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Each server."""
    use_server(monkeypatch, request.param)
    return int(request.param)


def expected(system: str, revision: str) -> _snapshot.Snapshot:
    """Return a stored snapshot."""
    path = stored(system, revision)
    return _snapshot.parse(path.read_text(encoding="utf-8"), str(path))


def drifts(wanted: _snapshot.Snapshot, database: Database) -> list[_drift.Drift]:
    """Return how a database differs from a snapshot."""
    with database.connect() as connection:
        return _drift.compare(
            wanted.objects, _catalog.read(connection, Place(database=database.name), SCOPE).snapshot.objects
        )


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.usefixtures("major")
def test_every_revision_is_as_its_snapshot_says_on_the_way_up_and_down(system: str) -> None:
    names = revisions(system)
    with own_database(vector=system in WITH_VECTORS) as database:
        config = config_of(system, database)
        for revision in names:
            command.upgrade(config, revision)
            assert drifts(expected(system, revision), database) == []
        for revision in names[-2::-1]:
            command.downgrade(config, revision)
            assert drifts(expected(system, revision), database) == []
        command.downgrade(config, "base")
        with database.connect() as connection:
            left = _catalog.read(connection, Place(database=database.name), SCOPE).snapshot.objects
    # Alembic's own table stays; extensions may be anybody's.
    assert list(left["table"]) == ["public.alembic_version"]
    assert left.keys() <= {"extension", "schema", "table"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_stored_files_are_what_make_snapshots_writes(system: str) -> None:
    written = {f"{revision}.json": snapshot.as_text() for revision, snapshot in replay(system)}
    assert {
        path.name: path.read_text(encoding="utf-8") for path in (MIGRATIONS / system / "snapshots").iterdir()
    } == written
