"""alembic_stamp against a real PostgreSQL: what it proves first, what it refuses, and what it writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
import trees
from support import Database, Ran, Upgrade

Stamp = Callable[..., Ran]
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
T_R1 = "CREATE TABLE t_r1 (id serial PRIMARY KEY)"
T_R2 = "CREATE TABLE t_r2 (id serial PRIMARY KEY)"


@pytest.fixture(scope="module")
def modest() -> Iterator[str]:
    """A login that may create databases and nothing else."""
    role = f"pgsteward_test_{os.getpid()}_stamp"
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}".encode())
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'modest-word'".encode())
        yield role
        connection.execute(f"DROP ROLE {role}".encode())


@pytest.fixture
def stamp(database: Database, collections: Path, modest: str, tmp_path: Path) -> Stamp:
    """Run the module on the project in tmp_path and the test's database; options override."""

    address = database.url.rpartition("@")[2]

    def run(*revisions: str, check: bool = False, **options: Any) -> Ran:
        arguments = {
            "project": str(tmp_path), "url": database.url, "revision": list(revisions), "scratch": "database",
            "scratch_url": f"postgresql://{modest}:modest-word@{address}", "cache": str(tmp_path / "cache"),
        }  # fmt: skip
        ran = support.run_module(collections, "alembic_stamp", {**arguments, **options}, check)
        assert "modest-word" not in ran.text
        assert "\n" not in ran.msg
        return ran

    return run


def heads(database: Database) -> list[str]:
    """Return the rows of the version table; none when there is no such table."""
    if "public.alembic_version" not in database.relations():
        return []
    return [name for (name,) in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


# What is proven


def test_stamps_what_is_as_the_history_says_and_not_twice(database: Database, stamp: Stamp, tmp_path: Path) -> None:
    database.rows(f"{T_R1}; {T_R2}")
    trees.write_tree(tmp_path, trees.chain(3))
    before = database.relations()
    checked = stamp("r2", check=True)
    assert not checked.failed, checked.msg
    assert (checked.result["changed"], checked.result["current"], database.relations()) == (True, [], before)
    ran = stamp("r2")
    assert not ran.failed, ran.msg
    assert (ran.result["changed"], ran.result["state"], ran.result["previous"]) == (True, "legacy", [])
    assert ran.result["current"] == heads(database) == ["r2"]
    assert (ran.result["drift"], ran.result["accepted"], ran.result["extra"]) == ([], [], [])
    assert ran.result["diff"] == checked.result["diff"]
    assert (ran.result["diff"]["before"], ran.result["diff"]["after"]) == ("revision: none\n", "revision: r2\n")
    assert ran.result["messages"] == [
        "legacy database detected", "stamping with revision r2", "completed: nothing was run", "stamped with revision r2",
    ]  # fmt: skip
    # Without any scratch: nothing is compared.
    again = stamp("r2", scratch_url=NOWHERE)
    assert (again.result["changed"], again.result["drift"]) == (False, None), again.msg
    assert again.result["messages"] == ["stamped with revision r2", "up to date"]


def test_what_is_missing_or_changed_refuses(database: Database, stamp: Stamp, tmp_path: Path) -> None:
    database.rows("CREATE TABLE t_r1 (id bigint PRIMARY KEY)")
    trees.write_tree(tmp_path, trees.chain(2))
    for check in (True, False):
        ran = stamp("heads", check=check)
        assert ran.failed
        assert f"database {database.name} differs from what the history makes at r2 in " in ran.msg
        assert (
            f"nothing was stamped: mend that, name it in accept, or give force, and confirm={database.name}" in ran.msg
        )
        found = {(item["object"], item["attribute"]) for item in ran.result["drift"]}
        assert found >= {("column public.t_r1.id", "type"), ("table public.t_r2", "existence")}
        assert set(ran.result["drift"][0]) == {"object", "attribute", "expected", "found", "severity", "remedy"}
    assert heads(database) == []


def test_what_is_more_is_told_and_what_is_accepted_counts_not(database: Database, stamp: Stamp, tmp_path: Path) -> None:
    database.rows(f"{T_R1}; CREATE TABLE by_hand (id int)")
    trees.write_tree(tmp_path, trees.chain(2))
    ran = stamp("r2", accept=[{"object": "* public.t_r2*", "reason": "comes tomorrow"}])
    assert not ran.failed, ran.msg
    assert (ran.result["drift"], ran.result["extra"]) == ([], ["table public.by_hand"])
    assert [item["reason"] for item in ran.result["accepted"]] == ["comes tomorrow"] * 2
    assert "left alone: table public.by_hand" in str(ran.result["warnings"])
    assert heads(database) == ["r2"]


def test_base_is_an_empty_database(database: Database, upgrade: Upgrade, stamp: Stamp, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    assert not stamp("base").result["changed"]
    assert database.relations() == []
    upgrade()
    ran = stamp("base")
    assert "table public.t_r1" in str(ran.result["extra"]), ran.msg  # more than nothing, and left alone
    assert (ran.result["current"], heads(database)) == ([], [])


def test_force_wants_the_name_and_tells_what_differs(database: Database, stamp: Stamp, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    missing = stamp("r2", force=True)
    assert missing.msg == (
        f"confirm is missing: force would mark database {database.name} as r2 instead of no revision, whatever its schema is:"
        f" give confirm={database.name}"
    )
    assert heads(database) == []
    ran = stamp("r2", force=True, confirm=database.name)
    assert not ran.failed, ran.msg
    assert {item["object"] for item in ran.result["drift"]} > {"table public.t_r1", "table public.t_r2"}
    assert "it is stamped by force" in str(ran.result["warnings"])
    assert heads(database) == ["r2"]
    # Not even the comparison stands in the way.
    ran = stamp("r1", force=True, confirm=database.name, scratch_url=NOWHERE)
    assert (ran.result["drift"], heads(database)) == (None, ["r1"]), ran.msg
    assert "was not compared with the history" in str(ran.result["warnings"])


# What is written


@pytest.mark.parametrize(
    ("rows", "revisions", "after"),
    [
        ([], ["heads"], ["left1", "right2"]),
        (["left1", "right2"], ["right1"], ["left1", "right1"]),
        (["base0", "left1", "gone"], ["right1"], ["left1", "right1"]),  # replaced as a whole
        (["gone"], ["base"], []),
    ],
)
def test_rows(
    rows: list[str], revisions: list[str], after: list[str], database: Database, stamp: Stamp, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, trees.BRANCHES)
    database.rows("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    for row in rows:
        database.rows(f"INSERT INTO alembic_version VALUES ('{row}')")
    ran = stamp(*revisions, force=True, confirm=database.name, scratch_url=NOWHERE)
    assert not ran.failed, ran.msg
    assert ran.result["previous"] == sorted(rows)
    assert ran.result["current"] == heads(database) == after


def test_a_revision_without_a_file_is_replaced_only_by_force(database: Database, stamp: Stamp, tmp_path: Path) -> None:
    database.rows(f"{T_R1}; CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    database.rows("INSERT INTO alembic_version VALUES ('gone')")
    trees.write_tree(tmp_path, trees.chain(2))
    ran = stamp("r1")
    assert "at revision 'gone', and no file of this project has it: bring the missing file back" in ran.msg
    assert (ran.result["state"], heads(database)) == ("diverged", ["gone"])
    ran = stamp("r1", force=True, confirm=database.name)
    assert (ran.result["drift"], heads(database)) == ([], ["r1"]), ran.msg


@pytest.mark.parametrize("env", [trees.BEGIN, trees.FROM_ENVIRONMENT], ids=["engine.begin", "DATABASE_URL"])
def test_env_files(env: str, database: Database, stamp: Stamp, tmp_path: Path) -> None:
    database.rows(T_R1)
    trees.write_tree(tmp_path, trees.chain(1), env)
    ran = stamp("r1")
    assert heads(database) == ["r1"], ran.msg


def test_version_table_of_the_project(database: Database, stamp: Stamp, tmp_path: Path) -> None:
    database.rows("CREATE SCHEMA app")
    env = trees.sync_env(configure=', version_table="revisions", version_table_schema="app"')
    trees.write_tree(tmp_path, trees.chain(1), env)
    ran = stamp("r1", force=True, confirm=database.name, scratch_url=NOWHERE)
    assert database.rows("SELECT version_num FROM app.revisions") == [("r1",)], ran.msg
    assert (ran.result["version_table"], ran.result["version_table_schema"]) == ("revisions", "app")


def test_wrong_targets(database: Database, stamp: Stamp, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    assert "revision '-1' is relative: name the revision itself, heads or base" in stamp("-1").msg
    assert database.relations() == []


def test_a_locked_version_table_is_waited_for(database: Database, stamp: Stamp, tmp_path: Path) -> None:
    database.rows("CREATE TABLE alembic_version AS SELECT 'r1'::varchar(32) AS version_num")
    trees.write_tree(tmp_path, trees.chain(2))
    forced = {"force": True, "confirm": database.name, "scratch_url": NOWHERE, "lock_timeout": "100ms"}
    with database.connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE alembic_version IN SHARE MODE")
        ran = stamp("r2", lock_retry="1s", **forced)
        assert "the stamp failed: LockNotAvailable" in ran.msg
        assert ", tried " in ran.msg
        assert "the database is at r1; end what blocks it" in ran.msg
        assert ran.result["retries"] > 0


# After a failure


def test_nobody_stamps_after_a_failure(database: Database, upgrade: Upgrade, stamp: Stamp, tmp_path: Path) -> None:
    bad = trees.revision("r2", "r1", f'op.execute("{T_R2}")\nop.execute("SELECT 1/0")')
    trees.write_tree(tmp_path, {**trees.chain(1), "r2": bad, "r3": trees.revision("r3", "r2", "pass")})
    assert upgrade().failed
    database.rows(T_R2)
    (tmp_path / "migrations" / "versions" / "r2.py").write_text(trees.table("r2", "r1"))
    for revision in ("r2", "r3"):
        ran = stamp(revision)
        assert "revision r2 failed in an earlier run, started 20" in ran.msg
        assert "nothing is stamped after a failure: run alembic_upgrade again, which goes on from there" in ran.msg
    assert heads(database) == ["r1"]
    ran = stamp("r2", force=True, confirm=database.name)
    assert (ran.result["drift"], heads(database)) == ([], ["r2"]), ran.msg
    # What the journal knew is not how r2 came about.
    assert database.rows("SELECT revision FROM pgsteward.journal") == [("r1",)]
    assert not upgrade().failed
