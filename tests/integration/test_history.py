"""The truth history: what a project's revisions make, replayed on scratch, compared with a database that somebody changed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support
import trees
from support import Database, Ran, Upgrade

Run = Callable[..., Ran]
MIGRATIONS = support.ROOT / "migrations"


@pytest.fixture(autouse=True)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server whose programs are on this host too, for private clusters; one that lets other accounts in where that is not needed."""
    if "scratch" not in request.fixturenames:
        support.use_server(monkeypatch, support.LOCAL_MAJOR)


@pytest.fixture
def verify(database: Database, collections: Path, tmp_path: Path) -> Run:
    """Compare the database with the history of the project in tmp_path; options override."""

    def run(**options: Any) -> Ran:
        arguments = {
            "url": database.url,
            "truth": "history",
            "project": str(tmp_path / "project"),
            "cache": str(tmp_path / "cache"),
            **options,
        }
        return support.run_module(collections, "schema_verify", arguments)

    return run


def drifts(ran: Ran) -> list[tuple[str, str]]:
    """Return object and attribute of each difference."""
    found = [(item["object"], item["attribute"]) for item in ran.result["drift"]]
    return [item for item in found if not item[0].startswith("sequence")]  # they come and go with their tables


def cached(tmp_path: Path) -> list[Path]:
    """Return the files of the cache."""
    return sorted((tmp_path / "cache").glob("history-*.json"))


def test_clean_until_somebody_changes_something(
    verify: Run, upgrade: Upgrade, database: Database, tmp_path: Path
) -> None:
    project = trees.write_tree(tmp_path / "project", trees.chain(3))
    upgrade(project=str(project), revision=["r2"])
    first = verify()
    assert not first.failed, first.msg
    assert first.result["clean"]
    assert first.result["truth_name"].endswith("at r2")
    database.rows("ALTER TABLE t_r1 ADD COLUMN note text; DROP TABLE t_r2")
    second = verify()
    assert second.failed
    assert drifts(second) == [("table public.t_r2", "existence"), ("column public.t_r1.note", "existence")]
    # The newest revision would have one table more.
    third = verify(revision=["heads"])
    assert ("table public.t_r3", "existence") in drifts(third)
    assert third.result["truth_name"].endswith("at r3")


def test_the_replay_is_kept_until_something_changes(
    verify: Run, upgrade: Upgrade, database: Database, tmp_path: Path
) -> None:
    """What is kept is told by a mark in the file; whatever the result depends on makes another file."""
    project = trees.write_tree(tmp_path / "project", trees.chain(2))
    upgrade(project=str(project))
    verify()
    [file] = cached(tmp_path)
    held = json.loads(file.read_text())
    held["notes"] = ["from the cache"]
    file.write_text(json.dumps(held))
    assert "from the cache" in verify().text
    (project / "migrations" / "versions" / "r2.py").write_text(
        trees.table("r2", "r1").replace("primary_key=True)", 'primary_key=True), sa.Column("name", sa.Text)')
    )
    edited = verify()
    assert drifts(edited) == [("column public.t_r2.name", "existence")]
    assert len(cached(tmp_path)) == 2
    database.rows("CREATE EXTENSION pgcrypto")
    assert ("extension pgcrypto", "existence") not in drifts(verify())
    assert len(cached(tmp_path)) == 3


def test_a_cache_that_others_may_write_is_not_believed(verify: Run, upgrade: Upgrade, tmp_path: Path) -> None:
    project = trees.write_tree(tmp_path / "project", trees.chain(1))
    upgrade(project=str(project))
    verify()
    [file] = cached(tmp_path)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    held = json.loads(file.read_text())
    held["steps"] = [{"heads": ["r1"], "changed": []}]
    file.write_text(json.dumps(held))
    assert verify().failed  # it believes its own file
    file.parent.chmod(0o777)
    assert not verify().failed
    file.parent.chmod(0o700)
    file.write_text("{")
    assert not verify().failed


@pytest.mark.parametrize("scratch", ["database", "url"])
def test_other_scratches(scratch: str, verify: Run, upgrade: Upgrade, database: Database, tmp_path: Path) -> None:
    project = trees.write_tree(tmp_path / "project", trees.chain(2))
    upgrade(project=str(project))
    login, name = f"{database.name}_login", f"{database.name}_scratch"
    database.rows(f"CREATE ROLE {login} LOGIN CREATEDB PASSWORD 'geheim'")
    database.rows(f"CREATE DATABASE {name} OWNER {login}")
    url = "postgresql://{login}:geheim@{login_host}:{login_port}/".format(**{**database.login, "login": login})
    try:
        ran = verify(scratch=scratch, scratch_url=url + (database.name if scratch == "database" else name))
        assert ran.result["clean"], ran.text
        assert "geheim" not in ran.text
    finally:
        support.drop_database(name)
        database.rows(f"DROP ROLE {login}")


def test_several_heads(verify: Run, upgrade: Upgrade, database: Database, tmp_path: Path) -> None:
    project = trees.write_tree(tmp_path / "project", trees.BRANCHES)
    upgrade(project=str(project))
    assert verify().result["clean"]
    database.rows("DROP TABLE t_left1")
    assert drifts(verify()) == [("table public.t_left1", "existence")]


@pytest.mark.parametrize("system", ["pixcrawler", "cats_monitor"])
def test_a_system(system: str, verify: Run, upgrade: Upgrade, database: Database) -> None:
    """Its live database has what a migration by hand would have, and what the history makes is the same."""
    options = {"project": str(MIGRATIONS), "section": system}
    assert not upgrade(**options, url=database.url).failed
    assert verify(**options).result["clean"]
    database.rows("ALTER TABLE alembic_version ADD CONSTRAINT short CHECK (length(version_num) < 33)")
    assert verify(**options).result["clean"]


def test_refusals(verify: Run, upgrade: Upgrade, tmp_path: Path) -> None:
    project = trees.write_tree(tmp_path / "project", trees.chain(2))
    assert "is at no revision yet" in verify().msg
    upgrade(project=str(project))
    (project / "migrations" / "versions" / "r2.py").unlink()
    assert "is at revision r2, and no file of" in verify().msg
    (project / "migrations" / "versions" / "r2.py").write_text(trees.revision("r2", "r1", "raise ValueError('no')"))
    assert "the history cannot be replayed on scratch: revision r2 (make r2) failed: ValueError: no" in verify().msg
