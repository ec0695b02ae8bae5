"""Following a catalog: after every change the same as reading it anew, whatever the change is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import support
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import connect, parse_url
from ansible_collections.pgsteward.postgres.plugins.module_utils._follower import Follower
from ansible_collections.pgsteward.postgres.plugins.module_utils._history import SCOPE
from support import Database

# Each with whether a look at relations is enough.
CHANGES = [
    ("CREATE TABLE one (id serial PRIMARY KEY, name text NOT NULL DEFAULT 'x', CHECK (name <> ''))", True),
    ("CREATE TABLE two (id int REFERENCES one, at timestamptz DEFAULT now())", True),
    ("CREATE INDEX CONCURRENTLY two_at ON two (at DESC) WHERE id > 0", True),
    ("ALTER TABLE one ADD COLUMN more numeric(10, 2), ALTER COLUMN name DROP NOT NULL", True),
    ("COMMENT ON COLUMN one.name IS 'said'", True),
    ("COMMENT ON TABLE two IS 'said'", True),
    ("GRANT SELECT ON one TO PUBLIC", True),
    ("DROP INDEX two_at", True),
    ("ALTER TABLE two DROP CONSTRAINT two_id_fkey", True),
    ("ALTER TABLE two ADD CONSTRAINT back FOREIGN KEY (id) REFERENCES one ON DELETE CASCADE NOT VALID", True),
    ("ALTER TABLE two VALIDATE CONSTRAINT back", True),
    ("CREATE TABLE child (extra int) INHERITS (one)", True),
    ("ALTER TABLE one ADD COLUMN inherited int", True),
    ("CREATE TABLE parts (a int, b text) PARTITION BY LIST (a); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)", True),
    ("CREATE INDEX parts_b ON parts (b)", True),
    ("ALTER TABLE parts ADD PRIMARY KEY (a)", True),
    ("ALTER TABLE parts DETACH PARTITION parts_1", True),
    ("CREATE TYPE mood AS ENUM ('sad', 'glad')", False),
    ("ALTER TABLE one ADD COLUMN mood mood", True),
    ("ALTER TYPE mood ADD VALUE 'mad'", False),
    ("ALTER TYPE mood RENAME TO temper", False),
    ("CREATE VIEW seen AS SELECT id, name FROM one", None),
    ("CREATE MATERIALIZED VIEW kept AS SELECT name FROM one; CREATE UNIQUE INDEX kept_name ON kept (name)", None),
    ("ALTER TABLE one RENAME COLUMN name TO called", False),
    ("ALTER TABLE one RENAME TO first", False),
    ("ALTER SEQUENCE one_id_seq RENAME TO first_id_seq", False),
    ("CREATE TRIGGER t BEFORE UPDATE ON first FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", False),
    ("ALTER TABLE first DISABLE TRIGGER t", True),
    ("DROP TRIGGER t ON first", True),
    ("ALTER TABLE first ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON first USING (id > 0)", False),
    ("DROP POLICY p ON first", True),
    ("CREATE RULE nothing AS ON DELETE TO two DO INSTEAD NOTHING", None),
    ("DROP RULE nothing ON two", True),
    ("CREATE TEMPORARY TABLE passing (id int)", True),
    ("CREATE SCHEMA app; ALTER TABLE two SET SCHEMA app", False),
    ("CREATE TABLE copied AS SELECT 1 AS n", True),
    ("CREATE TABLE made AS SELECT 1 AS n; DROP TABLE made", True),
    ("CREATE SEQUENCE counted; ALTER SEQUENCE counted OWNED BY copied.n", True),
    ("DROP TABLE first CASCADE", None),
    ("DROP TYPE temper", False),
    ("DROP SCHEMA app CASCADE", False),
    ("DO $$ BEGIN EXECUTE 'CREATE TABLE hidden (id int)'; END $$", True),
    ("DO $$ BEGIN SET session_replication_role = replica; CREATE TABLE quiet (id int); END $$", True),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", False),
    ("CREATE STATISTICS s ON a, b FROM parts", False),
]  # fmt: skip


@pytest.fixture(params=support.MAJORS)
def followed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty database on each server."""
    support.use_server(monkeypatch, request.param)
    name = f"pgsteward_follower_{request.param}"
    yield support.create_database(name)
    support.drop_database(name)


def test_every_change_is_seen(followed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    wholes: list[str] = []
    place = parse_url(followed.url)
    with connect(place, "test") as connection, connect(place, "test") as other:
        follower = Follower(connection, place, SCOPE)
        follower.follow()
        assert follower.partial
        follower.read()
        whole = Follower._read_all
        monkeypatch.setattr(Follower, "_read_all", lambda self: (wholes.append(change), whole(self)))
        for change, some in CHANGES:
            wholes.clear()
            earlier = follower.objects
            for statement in [change] if "$$" in change else change.split("; "):
                followed.rows(statement)
            found = follower.read()
            expected = _catalog.read(other, place, SCOPE).snapshot.objects
            triggers = {"event trigger": {}}
            assert {**found, **triggers} == {**expected, **triggers}, change
            assert "event trigger" not in found
            assert some is None or bool(wholes) is not some, change
            # What did not change is what it was, by identity.
            kept = [(kind, name) for kind, named in earlier.items() for name in named if found.get(kind, {}).get(name) == named[name]]  # fmt: skip
            assert all(found[kind][name] is earlier[kind][name] for kind, name in kept), change


def test_an_account_that_may_not_have_event_triggers(database: Database) -> None:
    place, role = parse_url(database.url), f"{database.name}_plain"
    database.rows(f"CREATE ROLE {role}; GRANT CREATE ON DATABASE {database.name} TO {role}")
    try:
        with connect(place, "test") as connection:
            connection.execute(f"SET ROLE {role}")
            follower = Follower(connection, place, SCOPE)
            follower.follow()
            assert not follower.partial
            follower.read()
            database.rows("CREATE TABLE one (id int)")
            assert "public.one" in follower.read()["table"]
            assert database.rows("SELECT FROM pg_namespace WHERE nspname = 'pgsteward'") == []
    finally:
        database.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")
