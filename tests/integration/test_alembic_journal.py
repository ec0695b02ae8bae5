"""The journal of alembic_upgrade: what it says after runs that went well, failed, or were cut short."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import support
import symptoms
import trees
from support import Database, Upgrade, names
from test_alembic_concurrency import child_of, started, until

ROWS = "SELECT revision, finished >= started, error FROM pgsteward.journal ORDER BY revision"


def test_one_row_per_revision_with_the_digest_of_its_file(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    upgrade(check=True)
    assert database.relations() == []
    upgrade(revision=["r1"])
    upgrade()
    assert not upgrade().result["changed"]
    assert database.rows(ROWS) == [("r1", True, None), ("r2", True, None)]
    file = tmp_path / "migrations" / "versions" / "r1.py"
    assert database.rows("SELECT version_table, sha256 FROM pgsteward.journal WHERE revision = 'r1'") == [
        ("public.alembic_version", hashlib.sha256(file.read_bytes()).hexdigest())
    ]


def test_it_knows_which_version_table(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE SCHEMA app")
    env = trees.sync_env(configure=', version_table="revisions", version_table_schema="app"')
    trees.write_tree(tmp_path, trees.chain(1), env)
    assert not upgrade().failed
    assert database.rows("SELECT version_table, revision FROM pgsteward.journal") == [("app.revisions", "r1")]


def test_failures_are_noted_and_forgotten(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    bad = trees.revision("r2", "r1", 'op.execute("SELECT 1/0")')
    trees.write_tree(tmp_path, {**trees.chain(1), "r2": bad})
    upgrade()
    assert database.rows(ROWS) == [("r1", True, None), ("r2", None, "DivisionByZero: division by zero")]
    (tmp_path / "migrations" / "versions" / "r2.py").write_text(trees.table("r2", "r1"))
    ran = upgrade()
    assert not ran.failed, ran.msg
    assert "edited" not in str(ran.result.get("warnings"))
    assert database.rows(ROWS) == [("r1", True, None), ("r2", True, None)]


def test_what_env_py_rolled_back_is_not_finished(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    bad = trees.revision("r2", "r1", 'op.execute("SELECT 1/0")')
    trees.write_tree(tmp_path, {**trees.chain(1), "r2": bad}, trees.BEGIN)
    upgrade()
    assert [row[:2] for row in database.rows(ROWS)] == [("r1", None), ("r2", None)]
    assert upgrade(check=True).result["state"] == "fresh"


# Files that were edited


def edit(tmp_path: Path, revision: str) -> None:
    """Change the file of a revision without changing what it does."""
    file = tmp_path / "migrations" / "versions" / f"{revision}.py"
    file.write_text(file.read_text() + "\n# later thought\n")


def test_an_edited_file_stops_an_upgrade_until_it_is_accepted(
    database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(3))
    upgrade(revision=["r2"])
    edit(tmp_path, "r1")
    edit(tmp_path, "r2")
    for check in (True, False):
        ran = upgrade(check=check)
        assert ran.failed
        assert "edited after it was applied: r1, r2" in ran.msg
        assert ran.result["edited"] == ["r1", "r2"]
        assert names(ran.result["pending"]) == ["r3"]
    assert "edited after it was applied: r2;" in upgrade(accept_edited=["r1"]).msg
    assert database.tables() == ["r1", "r2"]
    ran = upgrade(accept_edited=["r1", "r2"])
    assert names(ran.result["applied"]) == ["r3"], ran.msg
    assert upgrade().result["edited"] == []
    edit(tmp_path, "r3")
    ran = upgrade()
    assert not ran.failed, ran.msg
    assert not ran.result["changed"]
    assert ran.result["edited"] == ["r3"]
    assert "edited after it was applied: r3" in str(ran.result["warnings"])


def test_a_pending_file_may_be_edited(upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    upgrade(revision=["r1"])
    edit(tmp_path, "r2")
    assert names(upgrade().result["applied"]) == ["r2"]


# Runs that left something half done

UNIQUE = """\
with op.get_context().autocommit_block():
    op.execute("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i_r2 ON twins (id)")
"""


def test_an_index_that_failed_is_named_and_never_taken_for_good(
    database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    database.rows("CREATE TABLE twins AS SELECT 1 AS id FROM generate_series(1, 2)")
    trees.write_tree(tmp_path, {**trees.chain(1), "r2": trees.revision("r2", "r1", UNIQUE)})
    ran = upgrade()
    assert "revision r2 (make r2) failed: UniqueViolation" in ran.msg
    assert "DROP INDEX CONCURRENTLY public.i_r2, then mend migrations/versions/r2.py and run again" in ran.msg
    assert not symptoms.missing(symptoms.read()["A migration failed midway"].steps[0].answer, ran.msg)
    assert ran.result["current"] == ["r1"]
    database.rows("TRUNCATE twins")
    for check in (True, False):
        ran = upgrade(check=check)
        assert "left invalid: public.i_r2, which IF NOT EXISTS would take for good" in ran.msg
        assert "DROP INDEX CONCURRENTLY public.i_r2, and run again" in ran.msg
        assert "\n" not in ran.msg
    assert database.rows("SELECT version_num FROM alembic_version") == [("r1",)]
    database.rows("DROP INDEX CONCURRENTLY public.i_r2")
    ran = upgrade()
    assert names(ran.result["applied"]) == ["r2"], ran.msg
    assert database.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i_r2'::regclass") == [(True,)]


def test_an_index_of_a_killed_run_is_found(
    database: Database, collections: Path, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, {**trees.chain(1), "r2": trees.revision("r2", "r1", UNIQUE)})
    database.rows("CREATE TABLE twins (id int)")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'virtualxid'"
    with database.connect() as writer, contextlib.ExitStack() as stack:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO twins VALUES (1)")
        process = stack.enter_context(started(collections, tmp_path, database))
        until(lambda: database.rows(waiting))
        os.kill(child_of(process), signal.SIGKILL)
        process.wait()
        ran = upgrade()
        writer.execute("COMMIT")
    assert "an earlier run was cut short in revision r2, started 20" in ran.msg
    assert "DROP INDEX CONCURRENTLY public.i_r2, and run again" in ran.msg
    database.rows("DROP INDEX CONCURRENTLY public.i_r2")
    ran = upgrade()
    assert names(ran.result["applied"]) == ["r2"], ran.msg
    assert database.rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_an_invalid_index_of_before_is_told_after_a_run(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE TABLE twins AS SELECT 1 AS id FROM generate_series(1, 2)")
    with contextlib.suppress(Exception):
        database.rows("CREATE UNIQUE INDEX CONCURRENTLY old ON twins (id)")
    trees.write_tree(tmp_path, trees.chain(1))
    ran = upgrade()
    assert not ran.failed, ran.msg
    assert "DROP INDEX CONCURRENTLY public.old" in str(ran.result["warnings"])


# Journals that cannot be written


def test_something_else_of_that_name_is_left_alone(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE SCHEMA pgsteward; CREATE VIEW pgsteward.journal AS SELECT 1")
    trees.write_tree(tmp_path, trees.chain(1))
    ran = upgrade()
    assert "pgsteward.journal is not the journal" in ran.msg
    assert database.tables() == []


def test_without_the_right_to_read_it_the_rest_is_told(
    database: Database, secret_role: dict[str, Any], upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    upgrade()
    database.rows(f"GRANT SELECT ON alembic_version TO {secret_role['login_user']}")
    ran = upgrade(check=True, **secret_role)
    assert (ran.result["state"], ran.result["changed"]) == ("managed", False), ran.msg
    assert "the journal pgsteward.journal could not be read: permission denied" in str(ran.result["warnings"])


def test_without_the_right_to_make_it_the_migration_goes_on(
    database: Database, secret_role: dict[str, Any], upgrade: Upgrade, tmp_path: Path
) -> None:
    role = secret_role["login_user"]
    database.rows("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    database.rows(f"ALTER TABLE alembic_version OWNER TO {role}")
    database.rows(f"ALTER DATABASE {database.name} OWNER TO {support.Database(database.name).parts['user']}")
    database.rows(f"REVOKE CREATE ON SCHEMA public FROM {role}")
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, 'op.execute("SELECT 1")')})
    ran = upgrade(**secret_role)
    assert not ran.failed, ran.msg
    assert names(ran.result["applied"]) == ["r1"]
    assert "the journal pgsteward.journal could not be written: permission denied" in str(ran.result["warnings"])
