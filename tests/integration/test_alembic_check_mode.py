"""Check mode changes nothing, in the word of pg_dump, for every module that can write, where the run itself would change something."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dumps
import pytest
import support
import trees
from support import Database

DROPPED = 'def downgrade():\n    op.drop_table("t_{}")'
REVISIONS = {
    name: text.replace("def downgrade():\n    pass", DROPPED.format(name)) for name, text in trees.chain(3).items()
}
MODELS = """\
import sqlalchemy
models = sqlalchemy.MetaData()
for name in ("t_r1", "t_r2", "t_r3", "t_r4"):
    sqlalchemy.Table(name, models, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))
"""
TABLE = "CREATE TABLE {} (id serial PRIMARY KEY);"
FIRST = TABLE.format("t_r1")
SECOND = FIRST + TABLE.format("t_r2")
VERSION = (
    "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY);"
    "INSERT INTO alembic_version VALUES ('{}');"
)
DATABASE = "the name of the database"
KEY = {"table": "images", "columns": ["job_id"], "references": "jobs"}
ORPHANS = "CREATE TABLE jobs (id int PRIMARY KEY); CREATE TABLE images (id int PRIMARY KEY, job_id int); INSERT INTO images VALUES (1, 7)"


@dataclass(frozen=True)
class Case:
    """A module with something to do. made: the statements that make the database."""

    module: str
    made: str
    options: dict[str, Any] = field(default_factory=dict)
    real: dict[str, Any] = field(default_factory=dict)  # options of the run that does it
    writes: str = "database"  # or project


CASES = {
    "upgrade": Case("alembic_upgrade", FIRST + VERSION.format("r1")),
    "upgrade of a fresh database": Case("alembic_upgrade", ""),
    "downgrade": Case("alembic_downgrade", SECOND + VERSION.format("r2"), {"revision": "r1"}, {"confirm": DATABASE}),
    "stamp": Case("alembic_stamp", SECOND, {"revision": ["r2"]}),
    "stamp by force": Case(
        "alembic_stamp", FIRST + VERSION.format("r1"), {"revision": ["r3"], "force": True}, {"confirm": DATABASE}
    ),
    "adopt": Case("alembic_adopt", SECOND),
    "adopt with a repair": Case(
        "alembic_adopt", SECOND.replace("serial PRIMARY KEY", "serial", 1), {"revision": ["r2"], "repair": "additive"}
    ),
    "revision": Case(
        "alembic_revision", SECOND + TABLE.format("t_r3") + VERSION.format("r3"),
        {"message": "catch up", "compare_with": "database"}, writes="project",
    ),
    "quarantine": Case("foreign_key_orphans", ORPHANS, {"project": None, "keys": [KEY], "action": "quarantine"}),
    "delete": Case(
        "foreign_key_orphans", ORPHANS, {"project": None, "keys": [KEY], "action": "delete", "confirm": DATABASE}
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server whose programs, pg_dump among them, are on this host too."""
    support.use_server(monkeypatch, support.LOCAL_MAJOR)


def files(project: Path) -> dict[str, str]:
    """Return the revisions of a project with their text."""
    return {path.name: path.read_text() for path in sorted((project / "migrations" / "versions").glob("*.py"))}


def named(options: dict[str, Any], database: Database) -> dict[str, Any]:
    """Return options with the name of the database where a confirmation is to be."""
    return {key: database.name if key == "confirm" else value for key, value in options.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_check_changes_nothing(name: str, database: Database, collections: Path, tmp_path: Path) -> None:
    case = CASES[name]
    env = trees.sync_env(before=MODELS, configure=", target_metadata=models")
    project = trees.write_tree(tmp_path / "tree", REVISIONS, env)
    mako = Path(trees.__file__).parents[2] / "migrations" / "script.py.mako"
    (project / "migrations" / "script.py.mako").write_text(mako.read_text())
    if case.made:
        database.rows(case.made)
    options = {"project": str(project), "url": database.url, **case.options}
    options = named({key: value for key, value in options.items() if value is not None}, database)
    before = (dumps.witness(database), files(project))

    checked = support.run_module(collections, case.module, options, check=True)
    assert (checked.failed, checked.result.get("changed")) == (False, True), checked.text
    assert (dumps.witness(database), files(project)) == before

    ran = support.run_module(collections, case.module, {**options, **named(case.real, database)})
    assert (ran.failed, ran.result["changed"]) == (False, True), ran.text
    after = (dumps.witness(database), files(project))
    assert (after[0] != before[0], after[1] != before[1]) == (case.writes == "database", case.writes == "project")
