"""alembic_downgrade against a real PostgreSQL: what it takes back, what it refuses, and what lasts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support
import symptoms
import trees
from support import Database, Ran, Upgrade, names

Downgrade = Callable[..., Ran]
JOURNAL = "SELECT revision, finished IS NOT NULL, error FROM pgsteward.journal ORDER BY revision"


def revision(name: str, down: str | tuple[str, ...] | None, up: str, back: str, head: str = "") -> str:
    """Return the text of a revision with a way back."""
    text = trees.revision(name, down, up, head=head)
    assert text.endswith("    pass\n")
    return text.removesuffix("    pass\n") + "".join(f"    {line}\n" for line in back.splitlines())


def table(name: str, down: str | tuple[str, ...] | None, head: str = "") -> str:
    """Return a revision that makes a table t_<name>, and drops it on the way back."""
    up = f'op.create_table("t_{name}", sa.Column("id", sa.Integer, primary_key=True))'
    return revision(name, down, up, f'op.drop_table("t_{name}")', head)


def chain(count: int) -> dict[str, str]:
    """Return revisions r1, r2, … in a line, each with a table of its own and a way back."""
    return {
        f"r{number}": table(f"r{number}", f"r{number - 1}" if number > 1 else None) for number in range(1, count + 1)
    }


BRANCHES = {
    "base": table("base0", None),
    "left": table("left1", "base0", head='branch_labels = ("left",)'),
    "right": table("right1", "base0", head='branch_labels = ("right",)'),
    "right2": table("right2", "right1"),
}
MERGED = {**BRANCHES, "merge": trees.revision("merged", ("left1", "right2"), "pass")}


@pytest.fixture
def downgrade(database: Database, collections: Path, tmp_path: Path) -> Downgrade:
    """Run the module on the project in tmp_path and the test's database, confirmed; options override."""

    def run(target: str, check: bool = False, **options: Any) -> Ran:
        arguments = {"project": str(tmp_path), "url": database.url, "confirm": database.name, "revision": target}
        given = {name: value for name, value in {**arguments, **options}.items() if value is not None}
        return support.run_module(collections, "alembic_downgrade", given, check)

    return run


def made(database: Database, rows: list[str], tables: list[str]) -> None:
    """Make what revisions would have made, in less time and without a journal."""
    database.rows("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    for row in rows:
        database.rows(f"INSERT INTO alembic_version VALUES ('{row}')")
    for name in tables:
        database.rows(f"CREATE TABLE t_{name} (id int)")


def heads(database: Database) -> list[str]:
    """Return the rows of the version table."""
    return [name for (name,) in database.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


# The plain way


def test_takes_back_to_a_named_revision_and_not_twice(
    database: Database, upgrade: Upgrade, downgrade: Downgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, chain(3))
    upgrade()
    before = database.relations()
    checked = downgrade("r1", check=True, confirm=None)
    assert (checked.result["changed"], checked.result["sql_method"]) == (True, "offline"), checked.text
    assert checked.result["sql"] == ["DROP TABLE t_r3", "DROP TABLE t_r2"]
    assert checked.result["diff"]["after"].splitlines() == [
        "revision: r1", "taken back: r3 (make r3)", "    DROP TABLE t_r3;", "taken back: r2 (make r2)", "    DROP TABLE t_r2;",
    ]  # fmt: skip
    assert (heads(database), database.relations()) == (["r3"], before)
    ran = downgrade("r1")
    assert not ran.failed, ran.msg
    assert (ran.result["changed"], ran.result["state"], ran.result["current"]) == (True, "managed", ["r1"])
    assert names(ran.result["pending"]) == names(ran.result["reverted"]) == ["r3", "r2"]
    assert (heads(database), database.tables()) == (["r1"], ["r1"])
    assert (ran.result["sql"], ran.result["sql_method"]) == (checked.result["sql"], "executed")
    assert ran.result["diff"] == checked.result["diff"]
    assert database.rows(JOURNAL) == [("r1", True, None)]
    for check in (True, False):
        again = downgrade("r1", check=check)
        assert (again.result["changed"], again.result["state"], again.result["reverted"]) == (False, "behind", [])
    assert names(upgrade().result["applied"]) == ["r2", "r3"]


@pytest.mark.parametrize("env", [trees.BEGIN, trees.FROM_ENVIRONMENT], ids=["engine.begin", "DATABASE_URL"])
def test_env_files(env: str, database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, chain(2), env)
    made(database, ["r2"], ["r1", "r2"])
    ran = downgrade("base")
    assert names(ran.result["reverted"]) == ["r2", "r1"], ran.msg
    assert (heads(database), database.tables()) == ([], [])


def test_messages(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, chain(1))
    made(database, ["r1"], ["r1"])
    *first, completed, stamped = downgrade("base").result["messages"]
    assert first == ["stamped with revision r1", "to be taken back: 1 (r1)", "running downgrades to base"]
    assert completed.startswith("completed: 1 taken back in 0.")
    assert stamped == "stamped with revision base"
    assert downgrade("base").result["messages"] == ["fresh database detected", "nothing to take back"]
    failed = downgrade("-1")
    assert failed.result["messages"] == [f"failed: {failed.msg}"]
    unreachable = downgrade("base", url="postgresql://nobody:hush@127.0.0.1:1/none")
    assert unreachable.result["messages"] == [f"connection failed: {unreachable.msg}"]


def test_branches(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, MERGED)
    made(database, ["merged"], ["base0", "left1", "right1", "right2"])
    for target, current in {"left1": ["left1", "right2"], "right1": ["left1", "right1"], "base0": ["base0"]}.items():
        ran = downgrade(target)
        assert ran.result["current"] == heads(database) == current, ran.msg
    assert database.tables() == ["base0"]


def test_one_of_several_bases(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    needy = table("b2", "b1", 'depends_on = ("a1",)')
    label = 'branch_labels = ("{}",)'
    trees.write_tree(
        tmp_path, {"a1": table("a1", None, label.format("a")), "b1": table("b1", None, label.format("b")), "b2": needy}
    )
    made(database, ["b2"], ["a1", "b1", "b2"])
    ran = downgrade("a@base")
    assert names(ran.result["reverted"]) == ["b2", "a1"], ran.msg  # b2 needs a1
    assert (heads(database), database.tables()) == (["b1"], ["b1"])


# What it refuses


def test_wrong_targets_change_nothing(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, chain(3))
    made(database, ["r2"], ["r1", "r2"])
    below = "revision '-9' leads below base: the database is at r2, 2 above it: write base to take back everything"
    assert (downgrade("-9").msg, downgrade("-9", check=True).msg) == (below, below)
    assert "revision r3 is not below: the database is at r2" in downgrade("r3").msg
    assert (heads(database), database.tables()) == (["r2"], ["r1", "r2"])


def test_a_revision_that_no_file_has(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, chain(1))
    made(database, ["r2"], ["r1", "r2"])
    assert "at revision 'r2', and no file of this project has it: bring the missing file back" in downgrade("r1").msg
    assert heads(database) == ["r2"]


def test_without_confirmation_what_would_be_lost_is_named(
    database: Database, downgrade: Downgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, chain(3))
    made(database, ["r3"], ["r1", "r2", "r3"])
    lost = f"r3 (make r3), r2 (make r2) would be taken back from database {database.name}, with all the data that only they"
    for check, confirm, said in (
        (False, None, "is missing"),
        (False, "shop", "is 'shop'"),
        (True, "shop", "is 'shop'"),
    ):
        ran = downgrade("r1", check=check, confirm=confirm)
        assert ran.msg == f"confirm {said}: {lost} have a place for: give confirm={database.name}"
        assert names(ran.result["pending"]) == ["r3", "r2"]
        assert (ran.result["changed"], ran.result["reverted"]) == (False, [])
    assert (heads(database), database.tables()) == (["r3"], ["r1", "r2", "r3"])
    # Nothing would be lost, but whoever names another database means another one.
    assert downgrade("r3", confirm="shop").failed


def test_a_way_without_return_is_refused_before_anything_runs(
    database: Database, downgrade: Downgrade, tmp_path: Path
) -> None:
    up = 'op.execute("CREATE TABLE t_up (id int)")'
    trees.write_tree(
        tmp_path,
        {
            **chain(1),
            "r2": revision("r2", "r1", up, '"""Nothing to do."""\n...\nreturn None'),
            "r3": trees.revision("r3", "r2", "pass"),  # as a merge: nothing to undo
            "r4": revision("r4", "r3", up.replace("t_up", "t_r4"), 'raise NotImplementedError("write the way back")'),
            "r5": table("r5", "r4"),
        },
    )
    made(database, ["r5"], ["r1", "up", "r4", "r5"])
    for check in (True, False):
        ran = downgrade("base", check=check)
        assert ran.msg == (
            "there is no way back through revision r4, whose downgrade() raises NotImplementedError (migrations/versions/r4.py),"
            " revision r2, whose downgrade() does nothing (migrations/versions/r2.py): write it there, or restore a backup"
            " instead; nothing was run"
        )
        assert not symptoms.missing(symptoms.read()["Rollback fails"].steps[0].answer, ran.msg)
        assert [item["path"] for item in ran.result["one_way"]] == [
            "migrations/versions/r4.py", "migrations/versions/r2.py",
        ]  # fmt: skip
    assert heads(database) == ["r5"]
    assert downgrade("r4").result["current"] == ["r4"]


# What fails on the way


def test_a_failure_names_everything_and_can_be_mended(
    database: Database, upgrade: Upgrade, downgrade: Downgrade, tmp_path: Path
) -> None:
    up = 'op.execute("CREATE TABLE t_r2 (id int)")'
    trees.write_tree(
        tmp_path,
        {
            **chain(1),
            "r2": revision("r2", "r1", up, 'op.execute("DROP TABLE t_r2")\nop.execute("SELECT 1/0")'),
            "r3": table("r3", "r2"),
        },
    )
    upgrade()
    ran = downgrade("base")
    assert ran.msg == (
        "revision r2 (make r2) failed on the way back: DivisionByZero: division by zero (migrations/versions/r2.py line 12);"
        " taken back before: r3; the database is at r2; mend migrations/versions/r2.py and run again"
    )
    assert (names(ran.result["reverted"]), ran.result["current"], ran.result["changed"]) == (["r3"], ["r2"], True)
    assert (heads(database), database.tables()) == (["r2"], ["r1", "r2"])
    assert database.rows(JOURNAL) == [
        ("r1", True, None), ("r2", False, "on the way back: DivisionByZero: division by zero"),
    ]  # fmt: skip
    (tmp_path / "migrations" / "versions" / "r2.py").write_text(
        revision("r2", "r1", up, 'op.execute("DROP TABLE t_r2")')
    )
    again = upgrade()  # nobody edited what was applied
    assert names(again.result["applied"]) == ["r3"], again.msg
    assert database.rows(JOURNAL)[1] == ("r2", True, None)
    assert upgrade().result["edited"] == []
    last = downgrade("base")
    assert (names(last.result["reverted"]), database.tables()) == (["r3", "r2", "r1"], []), last.msg
    assert database.rows(JOURNAL) == []


def test_a_run_that_was_cut_short_is_told_by_the_next(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    back = 'op.execute("DROP TABLE t_r2")\nimport os, pathlib\n'
    back += 'if not pathlib.Path("tried").exists():\n    pathlib.Path("tried").touch()\n    os.kill(os.getpid(), 9)'
    trees.write_tree(tmp_path, {**chain(1), "r2": revision("r2", "r1", "pass", back)})
    made(database, ["r2"], ["r1", "r2"])
    ran = downgrade("r1")
    assert "revision r2 (make r2) failed on the way back: the process was killed by signal 9" in ran.msg
    assert database.rows(JOURNAL) == [("r2", False, "on the way back: it was cut short")]
    ran = downgrade("r1")
    assert names(ran.result["reverted"]) == ["r2"], ran.msg
    assert "revision r2 failed in an earlier run, started 20" in str(ran.result["warnings"])
    assert (heads(database), database.tables(), database.rows(JOURNAL)) == (["r1"], ["r1"], [])


def test_a_rollback_by_env_py_is_seen(
    database: Database, upgrade: Upgrade, downgrade: Downgrade, tmp_path: Path
) -> None:
    bad = revision("r1", None, 'op.execute("CREATE TABLE t_r1 (id int)")', 'op.execute("SELECT 1/0")')
    trees.write_tree(tmp_path, {"r1": bad, "r2": table("r2", "r1")}, trees.BEGIN)
    upgrade()
    ran = downgrade("base")
    assert "taken back before: nothing; the database is at r2" in ran.msg
    assert (ran.result["reverted"], ran.result["changed"], database.tables()) == ([], False, ["r1", "r2"])
    assert {error is not None for _revision, _finished, error in database.rows(JOURNAL)} == {True}


def test_an_edited_file_stops_it_until_it_is_accepted(
    database: Database, upgrade: Upgrade, downgrade: Downgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, chain(3))
    upgrade()
    for name in ("r1", "r3"):
        file = tmp_path / "migrations" / "versions" / f"{name}.py"
        file.write_text(file.read_text() + "\n# later thought\n")
    for check in (True, False):
        ran = downgrade("r1", check=check)
        assert "edited after it was applied: r3; its downgrade() may not undo" in ran.msg
        assert ran.result["edited"] == ["r1", "r3"]
    assert heads(database) == ["r3"]
    ran = downgrade("r1", accept_edited=["r3"])
    assert names(ran.result["reverted"]) == ["r3", "r2"], ran.msg


# Among others


def test_a_reader_is_waited_for(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, chain(3))
    made(database, ["r3"], ["r1", "r2", "r3"])
    with database.connect() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t_r2")
        support.commit_when_waited_for(reader, database, 1.0)
        ran = downgrade("-2", lock_timeout="100ms")
        pid = reader.info.backend_pid
    assert names(ran.result["reverted"]) == names(ran.result["pending"]) == ["r3", "r2"], ran.msg
    assert ran.result["retries"] > 0
    assert [wait["revision"] for wait in ran.result["waits"] if wait["pid"] == pid] == ["r2"]
    assert heads(database) == ["r1"]


def test_the_one_who_holds_the_lock_is_named(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, chain(1))
    made(database, ["r1"], ["r1"])
    with database.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(3810316526202338722)")
        assert "another run works on" in downgrade("base", lock_wait="0").msg
        assert not downgrade("base", check=True, lock_wait="0").failed
    assert heads(database) == ["r1"]


# Check mode


def test_what_cannot_be_rendered_is_replayed(
    monkeypatch: pytest.MonkeyPatch, collections: Path, tmp_path: Path
) -> None:
    support.use_server(monkeypatch, 15)
    if not Path("/usr/lib/postgresql/15/bin/initdb").exists():
        pytest.skip("the server's binaries of PostgreSQL 15 are not on this host")
    back = "name = op.get_bind().execute(sa.text(\"SELECT min(relname) FROM pg_class WHERE relname LIKE 't_%'\")).scalar()\n"
    back += 'op.execute(f"DROP TABLE {name}")'
    trees.write_tree(
        tmp_path, {**chain(2), "r3": revision("r3", "r2", 'op.execute("CREATE TABLE t_a (id int)")', back)}
    )
    database = support.create_database(f"pgsteward_test_{os.getpid()}_downgrade")
    try:
        options = {"project": str(tmp_path), "url": database.url}
        support.run_module(collections, "alembic_upgrade", options)
        before = database.relations()
        checked = support.run_module(collections, "alembic_downgrade", {**options, "revision": "r1"}, check=True)
        assert checked.result["sql_method"] == "replay", checked.text
        assert checked.result["sql"][-2:] == ["DROP TABLE t_a", "DROP TABLE t_r2"]
        assert database.relations() == before
        listed = {**options, "revision": "r1", "scratch": "none"}
        checked = support.run_module(collections, "alembic_downgrade", listed, check=True)
        assert (checked.result["sql_method"], names(checked.result["pending"])) == ("list", ["r3", "r2"])
    finally:
        support.drop_database(database.name)


def test_check_mode_is_read_only_for_env_py_too(database: Database, downgrade: Downgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, chain(1))
    made(database, ["r1"], ["r1"])
    run = 'connection.exec_driver_sql("CREATE TABLE early (id int)")\ncontext.run_migrations()'
    (tmp_path / "migrations" / "env.py").write_text(trees.sync_env(run=run))
    assert "read-only transaction" in downgrade("base", check=True).msg
    assert "public.early" not in database.relations()
