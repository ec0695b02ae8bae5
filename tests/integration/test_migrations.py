"""The five histories on a real server: up, down and up again, over data, after a crash, by an account with few rights."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from databases import own_database
from histories import MIGRATIONS, SYSTEMS, WITH_VECTORS, config_of
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from support import Database, drop_database, server_url

sys.path.insert(0, str(MIGRATIONS))

from samples import powergym as gym

# What is in a database, as the server describes it, but for what belongs to an extension and Alembic's own table.
CATALOG = """
WITH ours AS (
  SELECT c.oid, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'public' AND c.relname NOT LIKE 'alembic_version%'
    AND NOT EXISTS (SELECT FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT 'column', relname || '.' || attname, format_type(atttypid, atttypmod) || ' ' || attnotnull || ' '
    || coalesce(pg_get_expr(adbin, adrelid), '')
  FROM ours JOIN pg_attribute a ON a.attrelid = ours.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', relname || '.' || conname, pg_get_constraintdef(k.oid) || ' ' || convalidated
  FROM ours JOIN pg_constraint k ON k.conrelid = ours.oid WHERE contype <> 'n'
UNION ALL
SELECT 'index', relname, pg_get_indexdef(ours.oid) || ' ' || indisvalid FROM ours JOIN pg_index ON indexrelid = ours.oid
UNION ALL
SELECT 'sequence', relname, '' FROM ours WHERE relkind = 'S'
UNION ALL
SELECT 'enum', typname, string_agg(enumlabel, ',' ORDER BY enumsortorder)
  FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY typname
UNION ALL
SELECT 'function', p.oid::regprocedure::text, '' FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend d
      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
"""


def catalog(database: Database) -> set[tuple[str, str, str]]:
    """Return everything that somebody made in the database."""
    return {(kind, name, definition) for kind, name, definition in database.rows(CATALOG)}


def history(system: str) -> list[Script]:
    """Return the revisions, oldest first."""
    config = Config(MIGRATIONS / "alembic.ini", ini_section=system)
    return list(ScriptDirectory.from_config(config).walk_revisions())[::-1]


def upgrade(system: str, database: Database, revision: str = "head") -> None:
    """Bring the database to a revision."""
    command.upgrade(config_of(system, database), revision)


def load(system: str, database: Database, size: int, **options: Any) -> dict[str, int]:
    """Load the system's samples, as many as fit the revision that the database is at."""
    with database.connect() as connection:
        rows: dict[str, int] = importlib.import_module(f"samples.{system}").load(connection, size, **options)
        return rows


def counts(database: Database, tables: list[str]) -> dict[str, int]:
    """Return how many rows the tables have."""
    return {table: database.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    """Each of the five."""
    return str(request.param)


@pytest.fixture
def fresh(system: str) -> Iterator[Database]:
    """Make an empty database for the system."""
    with own_database(vector=system in WITH_VECTORS) as database:
        yield database


@pytest.fixture
def gym_database() -> Iterator[Database]:
    """Make an empty database for PowerGym."""
    with own_database(vector=True) as database:
        yield database


class TestEveryHistory:
    """What holds for all five."""

    def test_the_head_is_what_the_models_say(self, system: str, fresh: Database) -> None:
        """Autogenerate finds nothing to do, types and defaults included."""
        upgrade(system, fresh)
        command.check(config_of(system, fresh))

    def test_the_models_alone_make_the_same_schema(self, system: str, fresh: Database) -> None:
        """create_all and the history agree to the last name: what the server prints is the same text."""
        upgrade(system, fresh)
        with own_database(vector=system in WITH_VECTORS) as other:
            engine = create_engine(other.url.replace("postgresql:", "postgresql+psycopg:"))
            importlib.import_module(f"{system}.models").Base.metadata.create_all(engine)
            engine.dispose()
            assert catalog(other) == catalog(fresh)

    def test_each_revision_goes_up_down_and_up(self, system: str, fresh: Database) -> None:
        """Over data, which was there before the second revision; down leaves exactly what was before."""
        empty = catalog(fresh)
        loaded: dict[str, int] = {}
        for script in history(system):
            before = catalog(fresh)
            upgrade(system, fresh, script.revision)
            after = catalog(fresh)
            assert after != before, script.revision
            command.downgrade(config_of(system, fresh), str(script.down_revision or "base"))
            assert catalog(fresh) == before, script.revision
            upgrade(system, fresh, script.revision)
            assert catalog(fresh) == after, script.revision
            if not loaded:
                loaded = {table: count for table, count in load(system, fresh, 40).items() if count}
        assert loaded
        assert counts(fresh, list(loaded)) == loaded
        command.check(config_of(system, fresh))
        command.downgrade(config_of(system, fresh), "base")
        assert catalog(fresh) == empty
        assert fresh.rows("SELECT count(*) FROM alembic_version") == [(0,)]

    def test_rendered_sql_does_the_same(self, system: str, fresh: Database) -> None:
        """The script of `alembic upgrade --sql` gives the same schema, and the one back leaves nothing."""
        empty = catalog(fresh)
        head = history(system)[-1].revision
        run_script(fresh, rendered(system, fresh, command.upgrade, "head"))
        command.check(config_of(system, fresh))
        run_script(fresh, rendered(system, fresh, command.downgrade, f"{head}:base"))
        assert catalog(fresh) == empty

    def test_samples_are_the_same_each_time(self, system: str, fresh: Database) -> None:
        """Same seed, same rows; another seed, others; a smaller load is a part of a larger one."""
        upgrade(system, fresh)
        first = loaded_rows(system, fresh, 60)
        assert first == loaded_rows(system, fresh, 60)
        assert all(first.values()), "a table without rows"
        other = loaded_rows(system, fresh, 60, seed=2)
        assert all(first[table] != other[table] for table in first if table not in UNSEEDED)
        smaller = loaded_rows(system, fresh, 30)
        assert all(smaller[table] <= first[table] for table in first if table not in AGGREGATED)

    def test_samples_leave_room_for_more_rows(self, system: str, fresh: Database) -> None:
        """The ids that the server gives out come after those of the samples."""
        upgrade(system, fresh)
        load(system, fresh, 20)
        query = (
            "SELECT c.relname, pg_get_serial_sequence(c.oid::regclass::text, 'id') FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND attname = 'id' AND atttypid IN (20, 23)"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
        )
        for table, sequence in fresh.rows(query):
            assert fresh.rows(f"SELECT nextval('{sequence}') = max(id) + 1 FROM {table}") == [(True,)], table


# Tables whose rows do not depend on the seed, and those whose rows sum up others.
UNSEEDED = {"users", "cat_recognition_models", "activity_models"}
AGGREGATED = {"cat_profiles"}


def loaded_rows(system: str, database: Database, size: int, **options: Any) -> dict[str, set[str]]:
    """Load into emptied tables and return all rows as text."""
    tables = list(importlib.import_module(f"{system}.models").Base.metadata.tables)
    database.rows(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
    load(system, database, size, **options)
    return {table: {row for (row,) in database.rows(f"SELECT t::text FROM {table} t")} for table in tables}


def rendered(system: str, database: Database, direction: Any, span: str) -> str:
    """Return the SQL of a part of the history."""
    config = config_of(system, database)
    config.output_buffer = io.StringIO()
    direction(config, span, sql=True)
    return config.output_buffer.getvalue()


def run_script(database: Database, script: str) -> None:
    """Run a rendered script statement by statement, as psql would."""
    with database.connect() as connection:
        for statement in script.split(";\n\n"):
            if statement.strip():
                connection.execute(statement)  # type: ignore[call-overload]


def test_the_command_line_reads_the_environment(database: Database) -> None:
    """DATABASE_URL with the application's own driver is enough; a wrong password is not printed."""
    done = alembic_command(
        "cats_monitor", database.url.replace("postgresql:", "postgresql+asyncpg:"), "upgrade", "head"
    )
    assert done.returncode == 0, done.stderr
    assert database.rows("SELECT version_num FROM alembic_version") == [("003_activity_features",)]
    assert alembic_command("cats_monitor", database.url, "check").returncode == 0

    wrong = url_as(database, "somebody", "not-the-pass-word")
    failed = alembic_command("cats_monitor", wrong, "current")
    assert failed.returncode != 0
    assert "not-the-pass-word" not in failed.stdout + failed.stderr


def alembic_command(system: str, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Alembic as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(MIGRATIONS / "alembic.ini"), "-n", system, *arguments],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_samples_have_a_command_line(database: Database) -> None:
    """It prints the rows of each table, and one line when it cannot."""
    upgrade("imagemanager", database)
    arguments = [sys.executable, "-m", "samples", "imagemanager", "10"]
    environment = {**os.environ, "DATABASE_URL": database.url}
    runs = [
        subprocess.run(
            arguments, cwd=MIGRATIONS, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        for _ in range(2)
    ]
    assert runs[0].returncode == 0, runs[0].stderr
    assert "data_instances 10\n" in runs[0].stdout
    assert runs[1].returncode == 1
    assert runs[1].stderr.startswith("samples: duplicate key value")
    assert len(runs[1].stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def loaded() -> Iterator[psycopg.Connection[Any]]:
    """PowerGym at head with ten thousand faces, on a connection with the costs of a disk that does not turn."""
    with own_database(vector=True) as database:
        upgrade("powergym", database)
        assert load("powergym", database, 10_000)["biometrics"] == 10_000
        with database.connect() as connection:
            connection.execute("SET random_page_cost = 1.1")
            yield connection


class TestPowerGymSearch:
    """The searches of the guide, answered through the indexes, and right."""

    @pytest.mark.parametrize(
        ("query", "index"),
        [(gym.SEARCH_COSINE, "idx_biometrics_embedding"), (gym.SEARCH_L2, "idx_biometrics_embedding_l2")],
    )
    def test_uses_the_index(self, loaded: psycopg.Connection[Any], query: str, index: str) -> None:
        """The plan names it."""
        plan = loaded.execute(f"EXPLAIN {query}", {"q": gym.probe(17)}).fetchall()
        assert f"Index Scan using {index} on biometrics" in "\n".join(line for (line,) in plan)

    @pytest.mark.parametrize("query", [gym.SEARCH_COSINE, gym.SEARCH_L2])
    def test_finds_what_an_exact_scan_finds(self, loaded: psycopg.Connection[Any], query: str) -> None:
        """Every hundredth client is found by another picture, as the first one, and so by reading all rows."""
        for n in range(0, 10_000, 100):
            found = loaded.execute(query, {"q": gym.probe(n)}).fetchall()
            assert str(found[0][0]) == gym.client_id(n)
            assert found[:1] == exact(loaded, query, n)[:1]

    def test_finds_nobody_for_a_stranger(self, loaded: psycopg.Connection[Any]) -> None:
        """A face that was never stored is nearer than 0.4 to none."""
        for n in range(20):
            assert loaded.execute(gym.SEARCH_COSINE, {"q": gym.probe(n, seed=99)}).fetchall() == []

    def test_all_ten_nearest_are_right(self, loaded: psycopg.Connection[Any]) -> None:
        """Nineteen in twenty lists of ten are the exact ones: approximate, not arbitrary."""
        probes = range(50, 10_000, 200)
        same = [
            loaded.execute(gym.SEARCH_L2, {"q": gym.probe(n)}).fetchall() == exact(loaded, gym.SEARCH_L2, n)
            for n in probes
        ]
        assert sum(same) >= 0.95 * len(same)


def exact(connection: psycopg.Connection[Any], query: str, n: int) -> list[tuple[Any, ...]]:
    """Answer a search without any index."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL enable_indexscan = off")
        assert "Seq Scan" in str(connection.execute(f"EXPLAIN {query}", {"q": gym.probe(n)}).fetchall())
        return connection.execute(query, {"q": gym.probe(n)}).fetchall()


HNSW = "biometrics USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)"
HNSW_L2 = "biometrics USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64)"


def leave_invalid(database: Database, name: str, on: str, busy: str) -> None:
    """Cut a concurrent build short, as a crash would: it waits for a writer of the table busy, and is cancelled."""
    query = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')"
    ended: list[type[BaseException]] = []

    def build() -> None:
        try:
            builder.execute(f"CREATE INDEX CONCURRENTLY {name} ON {on}")  # type: ignore[call-overload]
        except psycopg.Error as error:
            ended.append(type(error))

    with database.connect() as writer, database.connect() as builder, writer.transaction(force_rollback=True):
        writer.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(sql.Identifier(busy)))
        thread = threading.Thread(target=build)
        thread.start()
        while thread.is_alive() and not database.rows(query):
            time.sleep(0.02)
        builder.cancel_safe()
        thread.join()
    assert ended == [psycopg.errors.QueryCanceled]
    assert database.rows(query) == [(False,)]


class TestHnswAfterACrash:
    """Revision 005 goes on from wherever an earlier run stopped."""

    @pytest.mark.parametrize(
        "left",
        ["invalid new", "new beside old", "only new", "renamed", "renamed, new again", "invalid l2", "neither"],
    )
    def test_goes_on(self, gym_database: Database, left: str) -> None:
        """Whatever was left, the end is the same and nothing else is left over."""
        upgrade("powergym", gym_database, "004_attendance_and_stock")
        load("powergym", gym_database, 200)
        self.stop_at(gym_database, left)
        upgrade("powergym", gym_database)
        command.check(config_of("powergym", gym_database))
        found = {name: text for kind, name, text in catalog(gym_database) if kind == "index" and "embedding" in name}
        assert set(found) == {"idx_biometrics_embedding", "idx_biometrics_embedding_l2"}
        assert "USING hnsw (embedding vector_cosine_ops) WITH (m='16', ef_construction='64') true" in str(found)
        assert "USING hnsw (embedding vector_l2_ops) WITH (m='16', ef_construction='64') true" in str(found)

    @staticmethod
    def stop_at(database: Database, left: str) -> None:
        """Leave the database as a run that was killed at that point does."""
        if left in ("invalid new", "invalid l2"):
            name, on = (
                ("idx_biometrics_embedding_new", HNSW)
                if left == "invalid new"
                else ("idx_biometrics_embedding_l2", HNSW_L2)
            )
            leave_invalid(database, name, on, busy="biometrics")
            return
        if left == "neither":
            database.rows("DROP INDEX idx_biometrics_embedding")
            return
        database.rows(f"CREATE INDEX idx_biometrics_embedding_new ON {HNSW}")
        if left == "new beside old":
            return
        database.rows("DROP INDEX idx_biometrics_embedding")
        if left.startswith("renamed"):
            database.rows("ALTER INDEX idx_biometrics_embedding_new RENAME TO idx_biometrics_embedding")
        if left == "renamed, new again":
            database.rows(f"CREATE INDEX idx_biometrics_embedding_new ON {HNSW}")

    def test_the_way_back_goes_on_too(self, gym_database: Database) -> None:
        """A half-built IVFFlat index is built again."""
        upgrade("powergym", gym_database, "004_attendance_and_stock")
        before = catalog(gym_database)
        upgrade("powergym", gym_database)
        ivfflat = "biometrics USING ivfflat (embedding vector_cosine_ops) WITH (lists = 100)"
        leave_invalid(gym_database, "idx_biometrics_embedding_new", ivfflat, busy="biometrics")
        command.downgrade(config_of("powergym", gym_database), "004_attendance_and_stock")
        assert catalog(gym_database) == before

    def test_writers_go_on_meanwhile(self, gym_database: Database) -> None:
        """No write waits for a build: each ends within its own short time limit."""
        upgrade("powergym", gym_database, "004_attendance_and_stock")
        load("powergym", gym_database, 2000)
        client = gym.client_id(0)
        touch = "UPDATE biometrics SET is_active = NOT is_active WHERE client_id = %s"
        stop = threading.Event()
        written: list[float] = []
        errors: list[psycopg.Error] = []

        def write() -> None:
            with gym_database.connect() as connection:
                connection.execute("SET statement_timeout = '1s'")
                try:
                    while not stop.wait(0.01):
                        connection.execute(touch, [client])
                        written.append(time.monotonic())
                except psycopg.Error as error:
                    errors.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            started = time.monotonic()
            upgrade("powergym", gym_database)
            ended = time.monotonic()
        finally:
            stop.set()
            writer.join()
        assert errors == []
        assert len([moment for moment in written if started < moment < ended]) > 5
        command.check(config_of("powergym", gym_database))


def test_powergym_by_an_account_with_few_rights() -> None:
    """The migrator may create no extension and owns nothing: at login it becomes the owner, whose all tables then are."""
    with own_database(vector=True) as database:
        owner, migrator = f"{database.name}_owner", f"{database.name}_migrator"
        try:
            with database.connect() as connection:
                connection.execute(f'CREATE ROLE "{owner}" NOLOGIN')
                connection.execute(f'CREATE ROLE "{migrator}" LOGIN PASSWORD \'few-rights\' IN ROLE "{owner}"')
                connection.execute(f'ALTER ROLE "{migrator}" SET role = "{owner}"')
                connection.execute(f'GRANT USAGE, CREATE ON SCHEMA public TO "{owner}"')
            config = config_of("powergym", database)
            config.set_main_option("sqlalchemy.url", url_as(database, migrator, "few-rights"))
            command.upgrade(config, "head")
            query = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            assert database.rows(query) == [(owner,)]
            command.downgrade(config, "base")
            assert database.rows("SELECT extname FROM pg_extension WHERE extname = 'vector'") == [("vector",)]
        finally:
            drop_database(database.name)
            with psycopg.connect(server_url(), autocommit=True) as connection:
                connection.execute(f'DROP ROLE IF EXISTS "{migrator}", "{owner}"')


def url_as(database: Database, user: str, password: str) -> str:
    """Return the URL of the database for another account."""
    return f"postgresql://{user}:{password}@{database.parts['host']}:{database.parts.get('port', 5432)}/{database.name}"


class TestPixcrawlerKeys:
    """Revision 001 over data that grew without keys."""

    def test_orphans_stop_it_before_anything_changes(self, database: Database) -> None:
        """All are counted in one error; once they are gone the same upgrade works."""
        upgrade("pixcrawler", database, "000")
        load("pixcrawler", database, 100, orphans=3)
        database.rows("INSERT INTO projects (user_id, name) VALUES (gen_random_uuid(), 'nobody''s')")
        before = catalog(database)
        with pytest.raises(IntegrityError, match=r"images\.crawl_job_id: 3, projects\.user_id: 1"):
            upgrade("pixcrawler", database)
        assert catalog(database) == before
        database.rows("DELETE FROM images WHERE crawl_job_id > 1000000")
        database.rows("DELETE FROM projects WHERE name = 'nobody''s'")
        upgrade("pixcrawler", database)
        command.check(config_of("pixcrawler", database))

    def test_goes_on_after_a_crash(self, database: Database) -> None:
        """One index done, one INVALID, one key not validated: the rerun completes them, the rest is kept."""
        upgrade("pixcrawler", database)
        head = catalog(database)
        load("pixcrawler", database, 100)
        command.stamp(config_of("pixcrawler", database), "000")
        for index in ("ix_crawl_job_status", "ix_activity_log_user_id", "ix_activity_log_timestamp"):
            database.rows(f"DROP INDEX {index}")
        leave_invalid(database, "ix_crawl_job_status", "crawl_jobs (status)", busy="crawl_jobs")
        database.rows("ALTER TABLE images DROP CONSTRAINT images_crawl_job_id_fkey")
        database.rows(
            "ALTER TABLE images ADD CONSTRAINT images_crawl_job_id_fkey FOREIGN KEY (crawl_job_id)"
            " REFERENCES crawl_jobs (id) NOT VALID"
        )
        assert catalog(database) != head
        upgrade("pixcrawler", database)
        assert catalog(database) == head

    def test_keys_hold_afterwards(self, database: Database) -> None:
        """An orphan is refused, and a parent with children stays."""
        upgrade("pixcrawler", database)
        load("pixcrawler", database, 50)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            database.rows("DELETE FROM profiles")


def test_imagemanager_projects_get_a_status(database: Database) -> None:
    """Projects from before are active; from now on each must say its status."""
    upgrade("imagemanager", database, "003_api_keys")
    load("imagemanager", database, 300)
    upgrade("imagemanager", database)
    assert database.rows("SELECT status, count(*) FROM projects GROUP BY status") == [("active", 3)]
    with pytest.raises(psycopg.errors.NotNullViolation):
        database.rows("INSERT INTO projects (name, meta_group_id) VALUES ('new', 'quality')")


def test_face_recognition_old_results_are_there_to_be_removed() -> None:
    """A part of the sightings is older than thirty days, and one person in ten is inactive."""
    with own_database(vector=True) as database:
        upgrade("face_recognition", database)
        load("face_recognition", database, 50)
        old = database.rows(
            "SELECT count(*) FILTER (WHERE recognized_at < timestamp '2025-11-01 12:00' - interval '30 days') > 50,"
            " count(*) FILTER (WHERE recognized_at >= timestamp '2025-11-01 12:00' - interval '30 days') > 50"
            " FROM recognition_results"
        )
        assert old == [(True, True)]
        assert database.rows("SELECT count(*) FROM persons WHERE NOT is_active") == [(5,)]
        # The packed embedding and the vector are the same numbers.
        packed, vector = database.rows("SELECT embedding, embedding_vec::text FROM face_embeddings WHERE id = 1")[0]
        assert list(memoryview(packed).cast("f")) == pytest.approx([float(part) for part in vector[1:-1].split(",")])


def test_a_login_that_is_refused_raises_at_once(database: Database) -> None:
    """The server's own reason comes through."""
    config = config_of("powergym", database)
    config.set_main_option("sqlalchemy.url", url_as(database, "nobody_here", "x"))
    with pytest.raises(DBAPIError, match="nobody_here"):
        command.current(config)
