"""foreign_key_orphans with a project: the rows that break the keys which its pending revisions add."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support
import trees
from support import Database, Ran, Upgrade

Orphans = Callable[..., Ran]
PIXCRAWLER = {"project": str(support.ROOT / "migrations"), "section": "pixcrawler"}


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server whose programs are on this host too, for private clusters."""
    support.use_server(monkeypatch, support.LOCAL_MAJOR)


@pytest.fixture
def orphans(database: Database, collections: Path, tmp_path: Path) -> Orphans:
    """Look at the database; options override."""

    def run(check: bool = False, **options: Any) -> Ran:
        arguments = {"url": database.url, "cache": str(tmp_path / "cache"), **options}
        return support.run_module(collections, "foreign_key_orphans", arguments, check)

    return run


def test_a_system(orphans: Orphans, upgrade: Upgrade, database: Database, collections: Path, tmp_path: Path) -> None:
    """Pixcrawler's tables without keys have orphans; its next revision adds the keys, and those of two new tables."""
    assert orphans(**PIXCRAWLER).result["found"] == []
    upgrade(**PIXCRAWLER, url=database.url, revision=["000"])
    [(key,)] = database.rows(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'images'::regclass AND attname = 'crawl_job_id'"
    )
    value = "gen_random_uuid()" if key == "uuid" else "4711"
    needed = database.rows(
        "SELECT quote_ident(attname), format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'images'::regclass AND attnum > 0"
        " AND attnotnull AND NOT atthasdef AND attidentity = '' AND attname <> 'crawl_job_id'"
    )
    names = ", ".join(["crawl_job_id", *(name for name, _type in needed)])
    values = ", ".join(
        [
            value,
            *(
                f"{'1' if 'char' not in kind and kind != 'uuid' else 'gen_random_uuid()'}::{kind}"
                for _name, kind in needed
            ),
        ]
    )
    database.rows(f"INSERT INTO images ({names}) VALUES ({values})")
    ran = orphans(**PIXCRAWLER)
    assert not ran.failed, ran.msg
    counts = {(item["table"], *item["columns"]): item["orphans"] for item in ran.result["found"]}
    assert counts == {
        ("public.projects", "user_id"): 0,
        ("public.crawl_jobs", "project_id"): 0,
        ("public.images", "crawl_job_id"): 1,
        ("public.activity_logs", "user_id"): 0,
    }
    moved = orphans(**PIXCRAWLER, action="quarantine")
    assert moved.result["changed"], moved.text
    assert database.rows("SELECT count(*) FROM images__orphans") == [(1,)]
    assert not upgrade(**PIXCRAWLER, url=database.url).failed
    # Rows that were put aside are no drift.
    truth = {"truth": "history", "url": database.url, "cache": str(tmp_path / "cache"), **PIXCRAWLER}
    assert support.run_module(collections, "schema_verify", truth).result["clean"]
    assert orphans(**PIXCRAWLER).result["found"] == []


def test_what_cannot_be_looked_at_is_said(
    orphans: Orphans, upgrade: Upgrade, database: Database, tmp_path: Path
) -> None:
    """A key on a table that a pending revision makes, one that is added and validated in steps, one on a new column."""
    body = (
        'op.create_table("new", sa.Column("id", sa.Integer, primary_key=True))\n'
        'op.execute("ALTER TABLE t_r2 ADD CONSTRAINT to_new FOREIGN KEY (other) REFERENCES new (id)")\n'
        'op.execute("ALTER TABLE t_r2 ADD CONSTRAINT later FOREIGN KEY (other) REFERENCES t_r1 (id) NOT VALID")\n'
        'op.add_column("t_r2", sa.Column("fresh", sa.Integer, sa.ForeignKey("t_r1.id")))'
    )
    chain = {
        "r1": trees.table("r1", None),
        "r2": trees.revision("r2", "r1", 'op.execute("CREATE TABLE t_r2 (id int PRIMARY KEY, other int)")'),
    }
    chain["r3"] = trees.revision("r3", "r2", body)
    chain["r4"] = trees.revision("r4", "r3", 'op.execute("ALTER TABLE t_r2 VALIDATE CONSTRAINT later")')
    trees.write_tree(tmp_path / "project", chain)
    project = {"project": str(tmp_path / "project")}
    upgrade(**project, revision=["r2"])
    database.rows("INSERT INTO t_r2 VALUES (1, 5)")
    ran = orphans(**project)
    assert [(item["name"], item["orphans"]) for item in ran.result["found"]] == [("later", 1)], ran.text
    assert "key to_new of public.t_r2 refers to public.new (id), which the pending revisions make" in ran.text
    assert [item["name"] for item in orphans(**project, revision=["r3"]).result["found"]] == ["later"]
    database.rows("UPDATE t_r2 SET other = NULL")
    upgrade(**project, revision=["r3"])
    assert [item["name"] for item in orphans(**project).result["found"]] == ["later"]
    # A database that is past what is asked for has nothing pending.
    assert orphans(**project, revision=["r2"]).result["found"] == []


def test_refusals(orphans: Orphans, tmp_path: Path) -> None:
    assert "is no directory" in orphans(project=str(tmp_path / "nowhere")).msg
    trees.write_tree(tmp_path / "project", trees.chain(1))
    assert "mutually exclusive" in orphans(project=str(tmp_path / "project"), schemas=["public"]).msg
