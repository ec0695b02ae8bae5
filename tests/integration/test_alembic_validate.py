"""alembic_validate on real servers: what it finds in trees with one defect each, and that it finds nothing in whole ones."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
import trees
from databases import own_database
from histories import MIGRATIONS, SYSTEMS, WITH_VECTORS
from support import Database, Ran, Upgrade
from test_alembic_versions import stack as stack

Validate = Callable[..., Ran]


def step(name: str, down: str | tuple[str, ...] | None, up: str, back: str, head: str = "") -> str:
    """Return the text of a revision with a way back."""
    text = trees.revision(name, down, up, head="from sqlalchemy.dialects import postgresql\n" + head)
    return text.replace("def downgrade():\n    pass\n", "def downgrade():\n" + textwrap.indent(back, "    ") + "\n")


def made(name: str, down: str | tuple[str, ...] | None, head: str = "") -> str:
    """Return a revision that makes a table t_<name>, and drops it on the way back."""
    up = f'op.create_table("t_{name}", sa.Column("id", sa.Integer, primary_key=True))'
    return step(name, down, up, f'op.drop_table("t_{name}")', head)


def found(ran: Ran) -> list[tuple[str, str, str | None]]:
    """Return severity, check and revision of the findings that squawk has no part in, sorted."""
    items = ((item["severity"], item["check"], item["revision"]) for item in ran.result["findings"])
    return sorted((item for item in items if "-" not in item[1]), key=str)


def of(ran: Ran, check: str) -> dict[str, Any]:
    """Return the one finding of a check."""
    [item] = [item for item in ran.result["findings"] if item["check"] == check]
    return item


@pytest.fixture
def modest(database: Database) -> Iterator[str]:
    """The URL of a login that may create databases and nothing else."""
    role, parts = f"{database.name}_modest", database.parts
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'modest-word'".encode())
        yield f"postgresql://{role}:modest-word@{parts['host']}:{parts.get('port', 5432)}/{database.name}"
        connection.execute(f"DROP ROLE {role}".encode())


@pytest.fixture
def validate(database: Database, modest: str, collections: Path, tmp_path: Path) -> Validate:
    """Run the module on the project in tmp_path and the test's database, with scratch databases beside it; options override."""

    def run(check: bool = False, **options: Any) -> Ran:
        usual = {"project": str(tmp_path), "url": database.url, "scratch": "database", "scratch_url": modest}
        ran = support.run_module(collections, "alembic_validate", {**usual, **options}, check)
        assert "modest-word" not in ran.text
        assert database.parts["password"] not in ran.text
        assert not ran.result.get("changed")
        return ran

    return run


@pytest.fixture
def files(collections: Path, tmp_path: Path) -> Validate:
    """Run the module on the project in tmp_path without a database."""
    return lambda **options: support.run_module(
        collections, "alembic_validate", {"project": str(tmp_path), "fail_on": "never", **options}
    )


# Whole trees

INDEXES = """\
op.create_index("t_a_word", "t_a", ["word"])
with op.get_context().autocommit_block():
    op.create_index("t_a_mood", "t_a", ["mood"], postgresql_concurrently=True)
"""
NO_INDEXES = """\
with op.get_context().autocommit_block():
    op.drop_index("t_a_mood", postgresql_concurrently=True)
op.drop_index("t_a_word", "t_a")
"""
ENUM = """\
mood.create(op.get_bind(), checkfirst=True)
op.create_table("t_a", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("mood", mood), sa.Column("word", sa.Text))
"""
MOOD = 'mood = postgresql.ENUM("sad", "ok", name="mood", create_type=False)\n'
RELABELED = """\
op.execute("ALTER TYPE mood RENAME TO mood_old")
op.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
op.execute("ALTER TABLE t_a ALTER COLUMN mood TYPE mood USING mood::text::mood")
op.execute("DROP TYPE mood_old")
"""
WHOLE = {
    "a": step("a", None, ENUM, 'op.drop_table("t_a")\nmood.drop(op.get_bind(), checkfirst=True)', MOOD),
    "b": step("b", "a", INDEXES, NO_INDEXES),
    "c": step("c", "b", RELABELED, RELABELED.replace(", 'happy'", "")),
    "left": made("left", "c"),
    "right": made("right", "c", head='depends_on = ("left",)\n'),
    "gone": step("gone", "right", 'op.drop_column("t_a", "word")', 'op.add_column("t_a", sa.Column("word", sa.Text))\n'
        'op.create_index("t_a_word", "t_a", ["word"])'),
    "merge": step("merge", ("left", "gone"), "pass", "pass"),
}  # fmt: skip


@pytest.mark.parametrize("major", support.MAJORS)
def test_a_whole_tree(
    major: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    support.use_server(monkeypatch, major)
    database, validate = request.getfixturevalue("database"), request.getfixturevalue("validate")
    trees.write_tree(tmp_path, WHOLE)
    if Path(f"/usr/lib/postgresql/{major}/bin/initdb").exists():
        ran = validate(check=True, scratch="instance")
    else:
        scratch = support.create_database(f"{database.name}_scratch")
        ran = validate(check=True, scratch="url", scratch_url=scratch.url)
        support.drop_database(scratch.name)
    assert not ran.failed, ran.msg
    assert (found(ran), ran.result["valid"], ran.result["heads"]) == ([], True, ["merge"])
    assert ran.result["checks"] == dict.fromkeys(("graph", "files", "staircase", "destructive", "lint"), "done")
    assert sorted(item["revision"] for item in ran.result["staircase"]) == sorted(WHOLE)
    for item in ran.result["staircase"]:
        assert item["differences"] == []
        assert all(0 <= item[stair] < 10 for stair in ("up", "down", "again"))
    assert ran.result["revisions"] == len(ran.result["pending"]) == len(WHOLE)
    assert ran.result["sql_method"] == "offline"
    assert {item["severity"] for item in ran.result["findings"]} <= {"note"}
    assert database.relations() == []
    assert database.scratches() == []


def test_an_env_file_with_a_transaction_around_all(database: Database, validate: Validate, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, {"a": made("a", None), "b": made("b", "a")}, trees.BEGIN)
    ran = validate()
    assert not ran.failed, ran.msg
    assert (found(ran), ran.result["checks"]["staircase"]) == ([], "done")
    assert database.relations() == []


def test_our_own_histories(collections: Path) -> None:
    # The others at acceptance size.
    for system in SYSTEMS if os.environ.get("PGSTEWARD_FULL") == "1" else ("pixcrawler", "powergym"):
        with own_database(system in WITH_VECTORS) as live, own_database(system in WITH_VECTORS) as scratch:
            options = {"project": str(MIGRATIONS), "section": system, "url": live.url, "fail_on": "warning"}
            ran = support.run_module(
                collections, "alembic_validate", {**options, "scratch": "url", "scratch_url": scratch.url}
            )
        assert not ran.failed, ran.msg
        assert (found(ran), ran.result["sql_method"], ran.result["checks"]["staircase"]) == ([], "offline", "done")


@pytest.mark.skipif(os.environ.get("PGSTEWARD_FULL") != "1", reason="acceptance size (PGSTEWARD_FULL=1)")
@pytest.mark.parametrize(("env", "driver"), [(trees.SYNC, ""), (trees.ASYNC, "+asyncpg")], ids=["sync", "async"])
def test_versions(
    env: str, driver: str, stack: tuple[Path, list[str]], database: Database, validate: Validate, tmp_path: Path
) -> None:
    python, packages = stack
    if driver and "asyncpg" not in packages:
        pytest.skip("this stack has no asyncpg")
    trees.write_tree(tmp_path, {**WHOLE, "broken": "import nowhere\n"}, env)
    options = {"python": str(python), "url": database.url.replace("://", f"{driver}://")}
    assert found(validate(**options)) == [("error", "unimportable", None)]
    (tmp_path / "migrations" / "versions" / "broken.py").unlink()
    ran = validate(**options)
    assert (found(ran), ran.failed) == ([], False), ran.msg
    assert ran.result["checks"] == dict.fromkeys(("graph", "files", "staircase", "destructive", "lint"), "done")


def test_thirty_revisions(validate: Validate, tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(30)]
    trees.write_tree(
        tmp_path, {name: made(name, names[index - 1] if index else None) for index, name in enumerate(names)}
    )
    ran = validate()
    assert (found(ran), [item["revision"] for item in ran.result["staircase"]]) == ([], names)
    assert sum(item[stair] for item in ran.result["staircase"] for stair in ("up", "down", "again")) < 10


# What the files say


def test_all_broken_files_at_once(files: Validate, tmp_path: Path) -> None:
    trees.write_tree(
        tmp_path,
        {
            "a": made("a", None),
            "b": "def upgrade(:\n",
            "c": made("c", "a") + "import nowhere\n",
            "d": made("d", "a") + "import sys\nsys.exit(3)\n",
            "e": "# no revision at all\n",
            "f1": made("f", "a"),
            "f2": made("f", "c"),
            "g": made("g", "lost"),
            "h": made("h", "f", head='depends_on = "also_lost"\n'),
            "i" * 33: made("i" * 33, "h"),
        },
    )
    ran = files()
    assert found(ran) == [
        ("error", "duplicate_id", "f"),
        ("error", "long_id", "i" * 33),
        ("error", "missing_down_revision", "g"),
        ("error", "missing_down_revision", "h"),
        ("error", "several_heads", None),
        ("error", "unimportable", "c"),
        ("error", "unimportable", "d"),
        ("error", "unimportable", None),
        ("error", "unimportable", None),
    ]
    places = {
        (item["path"].rpartition("/")[2], item["line"], item["message"].partition(": ")[2])
        for item in ran.result["findings"]
        if item["check"] == "unimportable"
    }
    assert ("e.py", None, "it has no revision") in places
    assert any(path == "b.py" and line == 1 and text.startswith("SyntaxError") for path, line, text in places)
    assert any(path == "c.py" and line == 13 and "No module named 'nowhere'" in text for path, line, text in places)
    assert any(path == "d.py" and "exit status 3" in text for path, line, text in places)
    assert "f1.py" in of(ran, "duplicate_id")["message"]
    assert "f2.py" in of(ran, "duplicate_id")["message"]
    assert ran.result["checks"]["staircase"].startswith("not done: no database is named")
    assert "env.py does not run without a database, so only the config" in str(ran.result["warnings"])
    assert not ran.result["valid"]
    ours = files(project=str(MIGRATIONS), section="powergym", fail_on="warning")
    assert (ours.failed, ours.result["findings"], ours.result.get("warnings")) == (False, [], None)


def test_a_broken_graph_stops_what_follows(validate: Validate, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, {"a": made("a", "b"), "b": made("b", "a")})
    ran = validate()
    assert found(ran) == [("error", "broken_graph", None)]
    assert ran.failed
    assert "1 error in the revisions of" in ran.msg
    assert (
        ran.result["checks"]["staircase"]
        == ran.result["checks"]["lint"]
        == "not done: the graph of the revisions is broken"
    )


def test_functions_of_files(files: Validate, tmp_path: Path) -> None:
    enum = 'op.create_table("t_{0}", sa.Column("m", sa.Enum("x", name="kind")))'
    trees.write_tree(
        tmp_path,
        {
            "a": step("a", None, enum.format("a"), 'op.drop_table("t_a")'),
            "b": step("b", "a", enum.format("b"), '"""Later."""\npass'),
            "c": step("c", "b", 'op.execute("CREATE INDEX CONCURRENTLY i ON t_a (m)")', "raise NotImplementedError"),
        },
    )
    ran = files()
    assert found(ran) == [
        ("error", "concurrently_in_transaction", "c"),
        ("error", "enum_created_twice", "b"),
        ("note", "no_way_back", "c"),
        ("warning", "empty_downgrade", "b"),
        ("warning", "enum_left_behind", "a"),
    ]
    assert of(ran, "concurrently_in_transaction")["line"] == 9


def test_long_ids_fit_a_wider_table(database: Database, validate: Validate, tmp_path: Path) -> None:
    name = "r" * 40
    trees.write_tree(tmp_path, {"r": made(name, None)})
    options: dict[str, Any] = {"staircase": False, "lint": False}
    assert found(validate(**options)) == [("error", "long_id", name)]
    database.rows("CREATE TABLE alembic_version (version_num varchar(64) PRIMARY KEY)")
    assert found(validate(**options)) == []


def test_a_revision_that_no_file_has(database: Database, validate: Validate, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, {"a": made("a", None)})
    database.rows("CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('gone')")
    ran = validate(staircase=False)
    assert found(ran) == [("error", "unknown_revision", "gone")]
    assert ran.result["checks"]["lint"] == "not done: what is pending cannot be told"


# The staircase

ENUM_LEFT = 'op.create_table("t_b", sa.Column("m", sa.Enum("x", name="kind")))'


def test_what_is_wrong_with_each_stair(validate: Validate, database: Database, tmp_path: Path) -> None:
    trees.write_tree(
        tmp_path,
        {
            "a": made("a", None),
            "b": step("b", "a", ENUM_LEFT, 'op.drop_table("t_b")'),
            "c": step("c", "b", 'op.create_index("i_c", "t_b", ["m"])\nop.add_column("t_a", sa.Column("c", sa.Text))',
                'op.drop_column("t_a", "c")\nop.execute("ALTER INDEX i_c RENAME TO i_c2")'),
            "d": step("d", "c", 'op.execute("CREATE VIEW v_d AS SELECT 1 AS one")', 'op.execute("DROP VIEW nowhere")'),
            "e": step("e", "d", 'op.execute("CREATE INDEX CONCURRENTLY i_e ON t_a (c)")', 'op.drop_index("i_e")'),
            "f": made("f", "e"),
        },
    )  # fmt: skip
    ran = validate(lint=False)
    assert found(ran) == [
        ("error", "concurrently_in_transaction", "e"),
        ("error", "enum_left_behind", "b"),
        ("error", "staircase_again", "c"),
        ("error", "staircase_down", "c"),
        ("error", "staircase_failed", "b"),
        ("error", "staircase_failed", "d"),
        ("error", "staircase_failed", "e"),
    ]
    climbs = {item["revision"]: item for item in ran.result["staircase"]}
    assert (climbs["b"]["up"] > 0, climbs["b"]["down"] > 0, climbs["b"]["again"]) == (True, True, None)
    assert climbs["b"]["differences"] == [
        {
            "after": "down",
            "object": "enum public.kind",
            "attribute": "existence",
            "expected": "absent",
            "found": "present",
        }
    ]
    assert [(item["after"], item["object"]) for item in climbs["c"]["differences"]] == [
        ("down", "index public.i_c2"), ("again", "index public.i_c2"),
    ]  # fmt: skip
    failures = {
        item["revision"]: item["message"] for item in ran.result["findings"] if item["check"] == "staircase_failed"
    }
    assert (
        'the second upgrade, after its downgrade, of b failed: DuplicateObject: type "kind" already exists'
        in failures["b"]
    )
    assert 'the downgrade of d failed: UndefinedTable: view "nowhere" does not exist' in failures["d"]
    assert "migrations/versions/d.py line 12" in failures["d"]
    assert "the upgrade of e failed: ActiveSqlTransaction" in failures["e"]
    assert ran.result["checks"]["staircase"] == "not done for f, which come after one that failed"
    assert "enum_left_behind: " in ran.msg or "concurrently_in_transaction: " in ran.msg
    assert "; and 4 more" in ran.msg
    assert database.relations() == []
    assert database.scratches() == []


def test_the_staircase_takes_back_what_only_looked_wrong(validate: Validate, tmp_path: Path) -> None:
    hidden = 'block = op.get_context().autocommit_block\nwith block():\n    op.execute("CREATE INDEX CONCURRENTLY i ON t_a (id)")'
    trees.write_tree(
        tmp_path,
        {
            "a": made("a", None),
            "b": step("b", "a", hidden, 'op.drop_index("i")'),
            "c": step("c", "b", 'op.execute("CREATE TYPE kind AS ENUM ()")', 'for word in ("TYPE",):\n    op.execute(" ".join(["DROP", word, "kind"]))'),
        },
    )  # fmt: skip
    assert found(validate(staircase=False, lint=False)) == [
        ("error", "concurrently_in_transaction", "b"),
        ("warning", "enum_left_behind", "c"),
    ]
    ran = validate(lint=False)
    assert (found(ran), ran.result["checks"]["staircase"]) == ([], "done")


def test_no_scratch_is_a_warning(validate: Validate, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, {"a": made("a", None)})
    ran = validate(scratch_url="postgresql://nobody:hush@127.0.0.1:1/none", lint=False)
    assert not ran.failed
    assert found(ran) == [("warning", "staircase_missing", None)]
    assert ran.result["checks"]["staircase"].startswith("not done: cannot connect to host 127.0.0.1")
    assert validate(scratch_url="postgresql://nobody:hush@127.0.0.1:1/none", lint=False, fail_on="warning").failed


# The lint

LOCKS = """\
op.create_index("i_big", "big", ["id"])
op.create_index("i_small", "small", ["id"])
op.create_index("i_empty", "empty", ["id"])
op.create_index("i_odd", "Odd one", ["id"], schema="side")
op.execute("ALTER TABLE parts ADD CONSTRAINT positive CHECK (id > 0)")
op.execute("DROP INDEX big_id")
op.drop_column("small", "more")
op.execute("ALTER TABLE big RENAME TO large")
op.execute("ALTER TABLE large ADD UNIQUE (id)")
"""
TABLES = """
CREATE TABLE big (id int); INSERT INTO big SELECT generate_series(1, 20000); CREATE INDEX big_id ON big (id);
CREATE TABLE small (id int, more int); INSERT INTO small SELECT generate_series(1, 50);
CREATE TABLE empty (id int);
CREATE SCHEMA side; CREATE TABLE side."Odd one" (id int); INSERT INTO side."Odd one" SELECT generate_series(1, 20000);
CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (99999);
INSERT INTO parts SELECT generate_series(1, 20000);
CREATE TABLE uncounted (id int); INSERT INTO uncounted VALUES (1);
"""


def weights(ran: Ran) -> dict[tuple[str, str], tuple[str, str]]:
    """Return severity and message of each of squawk's findings but those of taste, by rule and the end of the statement."""
    return {
        (item["check"], item["statement"].rpartition("ON ")[2].partition(" (")[0]): (item["severity"], item["message"])
        for item in ran.result["findings"]
        if "-" in item["check"] and not item["check"].startswith("prefer-")
    }


def test_findings_are_weighed_by_the_live_tables(database: Database, validate: Validate, tmp_path: Path) -> None:
    database.rows(TABLES)
    for statement in ("ANALYZE big, small, empty", 'ANALYZE side."Odd one"', "ANALYZE parts"):
        database.rows(statement)
    new = 'op.create_index("i_a", "t_a", ["id"])\nop.create_index("i_uncounted", "uncounted", ["id"])'
    trees.write_tree(
        tmp_path, {"a": made("a", None), "b": step("b", "a", LOCKS, "pass"), "c": step("c", "b", new, "pass")}
    )
    before = database.relations()
    ran = validate(staircase=False)
    assert (ran.result["sql_method"], ran.result["checks"]["lint"]) == ("offline", "done")
    said = weights(ran)
    plain = {key: severity for key, (severity, _message) in said.items()}
    rule = "require-concurrent-index-creation"
    assert {name: plain[rule, name] for name in ("big", "small", "empty", 'side."Odd one"', "t_a", "uncounted")} == {
        "big": "error", "small": "warning", "empty": "note", 'side."Odd one"': "error", "t_a": "note", "uncounted": "warning",
    }  # fmt: skip
    assert plain["constraint-missing-not-valid", "ALTER TABLE parts ADD CONSTRAINT positive CHECK"] == "error"
    assert plain["require-concurrent-index-deletion", "DROP INDEX big_id"] == "error"
    assert plain["ban-drop-column", "ALTER TABLE small DROP COLUMN more"] == "warning"
    assert plain["disallowed-unique-constraint", "ALTER TABLE large ADD UNIQUE"] == "error"
    assert "(public.big has about 20,000 rows, " in said[rule, "big"][1]
    assert "(public.empty has no rows)" in said[rule, "empty"][1]
    assert "(public.uncounted has an unknown number of rows, " in said[rule, "uncounted"][1]
    assert "(t_a is not in the database yet)" in said[rule, "t_a"][1]
    assert of_revision(ran, rule, "big") == "b"
    assert ran.failed
    assert database.relations() == before


def of_revision(ran: Ran, check: str, table: str) -> str:
    """Return the revision of a finding about a table."""
    [found] = [
        item["revision"]
        for item in ran.result["findings"]
        if item["check"] == check and f"ON {table} " in item["statement"]
    ]
    return str(found)


BOUND = 'op.get_bind().execute(sa.text("SELECT 1")).scalar()\nop.execute("ALTER TABLE t_a DROP COLUMN id")'


def test_statements_are_replayed_where_they_cannot_be_rendered(validate: Validate, tmp_path: Path) -> None:
    odd = 'op.execute("CREATE TABLE t_c (id int) WITH (fillfactor = 70) USING heap")'
    trees.write_tree(
        tmp_path, {"a": made("a", None), "b": step("b", "a", BOUND, "pass"), "c": step("c", "b", odd, "pass")}
    )
    ran = validate(staircase=False)
    assert ran.result["sql_method"] is None
    assert "and so did a replay (revision c: " in of(ran, "lint_missing")["message"]
    (tmp_path / "migrations" / "versions" / "c.py").unlink()
    ran = validate(
        staircase=False, ignore=[{"check": "empty_*", "reason": "later"}, {"check": "enum_*", "reason": "never was"}]
    )
    assert ran.result["sql_method"] == "replay"
    assert of(ran, "ban-drop-column")["statement"] == "ALTER TABLE t_a DROP COLUMN id"
    assert [(item["check"], item["reason"]) for item in ran.result["ignored"]] == [("empty_downgrade", "later")]
    assert "the entry enum_* of ignore (never was) fits" in str(ran.result["warnings"])


def test_without_squawk_there_is_a_warning(validate: Validate, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, {"a": made("a", None)})
    ran = validate(staircase=False, squawk="/nowhere/squawk")
    assert (found(ran), ran.failed) == ([("warning", "squawk_missing", None)], False)
    assert ran.result["checks"]["lint"] == "not done: squawk is not there"
    broken = tmp_path / "squawk"
    broken.write_text("#!/bin/sh\necho 'unexpected argument' >&2\nexit 2\n")
    broken.chmod(0o755)
    ran = validate(staircase=False, squawk=str(broken))
    assert f"{broken} cannot be used: unexpected argument: install squawk-cli" in of(ran, "lint_missing")["message"]


def test_what_is_pending_and_destroys_rows(
    validate: Validate, upgrade: Upgrade, database: Database, tmp_path: Path
) -> None:
    """An error where rows are lost, a note where the table is empty, nothing where the revisions made it themselves; allowed by name."""
    body = 'op.drop_column("t_a", "id")\nop.execute("DROP TABLE t_b")\nop.execute("CREATE TABLE x (i int)")\nop.execute("DROP TABLE x")'
    trees.write_tree(tmp_path, {"a": made("a", None), "b": made("b", "a"), "c": trees.revision("c", "b", body)})
    assert not upgrade(revision=["b"]).failed
    database.rows("INSERT INTO t_a SELECT generate_series(1, 100); ANALYZE t_a; ANALYZE t_b")
    options: dict[str, Any] = {"staircase": False, "lint": False}
    ran = validate(**options)
    findings = [
        (item["severity"], item["statement"]) for item in ran.result["findings"] if item["check"] == "destructive"
    ]
    assert findings == [("error", "ALTER TABLE t_a DROP COLUMN id"), ("note", "DROP TABLE t_b")], ran.text
    assert ran.failed
    assert "about 100 rows" in ran.text
    allowed = validate(**options, ignore=[{"check": "destructive", "revision": "c", "reason": "the column moved"}])
    assert not allowed.failed, allowed.msg
    assert len(allowed.result["ignored"]) == 2
