"""schema_info and schema_verify as modules: what they return, what they refuse, and that they leave everything as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support
import trees
from support import Database, Ran

MAKE = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE people (id bigint PRIMARY KEY, name varchar(80) NOT NULL, feels mood DEFAULT 'ok');
CREATE INDEX people_name ON people (name);
CREATE SCHEMA side;
CREATE TABLE side.notes (id integer, people_id bigint CONSTRAINT notes_people REFERENCES people, note text CHECK (note <> ''));
"""

Run = Callable[..., Ran]


@pytest.fixture
def made(database: Database) -> Database:
    """A small database."""
    database.rows(MAKE)
    return database


@pytest.fixture
def info(made: Database, collections: Path) -> Run:
    """Run schema_info on it; options override."""
    return lambda check=False, **options: support.run_module(
        collections, "schema_info", {"url": made.url, **options}, check
    )


@pytest.fixture
def verify(made: Database, collections: Path) -> Run:
    """Run schema_verify on it; options override."""
    return lambda check=False, **options: support.run_module(
        collections, "schema_verify", {"url": made.url, **options}, check
    )


@pytest.fixture
def stored(info: Run, tmp_path: Path) -> str:
    """The file of its snapshot."""
    path = tmp_path / "snapshot.json"
    assert info(path=str(path)).result["written"]
    return str(path)


class TestInfo:
    """schema_info."""

    def test_snapshot_as_data(self, info: Run) -> None:
        result = info().result
        assert not result["changed"]
        assert result["objects"]["table"] == 2
        assert result["snapshot"]["fingerprint"] == result["fingerprint"]
        table = result["snapshot"]["objects"]["table"]["public.people"]
        assert table["columns"]["name"] == {"type": "character varying(80)", "not_null": True}
        assert table["columns"]["feels"] == {"type": "public.mood", "default": "'ok'::public.mood"}
        assert table["indexes"] == {"people_name": {"method": "btree", "columns": ["name"]}}

    def test_file_is_written_once_and_not_in_check_mode(self, info: Run, made: Database, tmp_path: Path) -> None:
        path = tmp_path / "s.json"
        assert info(check=True, path=str(path)).result["written"]
        assert not path.exists()
        first = info(path=str(path)).result
        assert (first["written"], first["changed"], "snapshot" in first) == (True, False, False)
        assert json.loads(path.read_text())["fingerprint"] == first["fingerprint"]
        assert not info(path=str(path)).result["written"]
        made.rows("COMMENT ON TABLE people IS 'somebody'")
        assert info(path=str(path)).result["written"]

    @pytest.mark.parametrize(
        ("options", "objects"),
        [
            ({"schemas": ["side"]}, {"schema": 1, "table": 1}),
            ({"kinds": ["enum", "table"]}, {"enum": 1, "table": 2}),
            ({"kinds": ["table"], "schemas": ["public"]}, {"table": 1}),
        ],
    )
    def test_scope(self, info: Run, options: dict[str, Any], objects: dict[str, int]) -> None:
        assert info(**options).result["objects"] == objects

    def test_our_own_journal_is_nobody_s_schema(self, info: Run, made: Database) -> None:
        before = info().result["fingerprint"]
        made.rows("CREATE SCHEMA pgsteward; CREATE TABLE pgsteward.journal (revision text PRIMARY KEY)")
        assert info().result["fingerprint"] == before

    def test_without(self, info: Run) -> None:
        text = json.dumps(info(without=["owner", "privileges"]).result["snapshot"]["objects"])
        assert '"owner"' not in text
        assert '"privileges"' not in text

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"kinds": ["tables"]}, "kinds has 'tables', which is no kind: there are access method, "),
            ({"schemas": ["nowhere"]}, "has no schema 'nowhere': it has public, side"),
            (
                {"path": "/nowhere/s.json"},
                "path /nowhere/s.json cannot be written: there is no directory /nowhere; make it first",
            ),
            ({"url": "mysql://x/y"}, "url names the database system 'mysql', and only postgresql is served"),
        ],
    )
    def test_bad_input(self, info: Run, options: dict[str, Any], words: str) -> None:
        ran = info(**options)
        assert ran.failed
        assert words in ran.msg
        assert "\n" not in ran.msg

    def test_a_database_that_is_not_there(self, info: Run, made: Database) -> None:
        ran = info(url=made.url.replace(made.name, "pgsteward_nowhere"))
        assert ran.msg.endswith('database "pgsteward_nowhere" does not exist: create the database or check its name')


class TestVerify:
    """schema_verify."""

    def test_clean(self, verify: Run, stored: str) -> None:
        result = verify(snapshot=stored).result
        assert (result["changed"], result["clean"], result["drift"], result["worst"]) == (False, True, [], None)
        assert result["diff"]["before"] == result["diff"]["after"] == ""

    def test_drift_fails_with_its_details(self, verify: Run, made: Database, stored: str) -> None:
        made.rows("DROP INDEX people_name; ALTER TABLE people ALTER name DROP NOT NULL; COMMENT ON TABLE people IS 'x'")
        ran = verify(snapshot=stored)
        assert ran.failed
        assert ran.msg == (
            f"{made.name} differs from snapshot {stored} in 3 ways (1 data_at_risk, 1 slower, 1 cosmetic): column public.people.name"
            " (not_null), index public.people_name (existence), table public.people (comment)"
        )
        first, second, third = ran.result["drift"]
        assert first | {"remedy": ""} == {
            "object": "column public.people.name",
            "attribute": "not_null",
            "expected": True,
            "found": None,
            "severity": "data_at_risk",
            "remedy": "",
        }
        assert second["remedy"] == "CREATE INDEX CONCURRENTLY people_name ON public.people USING btree (name);"
        assert third["severity"] == "cosmetic"
        assert "index public.people_name: existence = present\n" in ran.result["diff"]["before"]
        assert "index public.people_name: existence = absent\n" in ran.result["diff"]["after"]
        # Shown, not run.
        assert made.rows("SELECT to_regclass('people_name')") == [(None,)]

    @pytest.mark.parametrize(
        ("fail_on", "failed"), [("cosmetic", True), ("slower", True), ("wrong_results", False), ("never", False)]
    )
    def test_fail_on(self, verify: Run, made: Database, stored: str, fail_on: str, failed: bool) -> None:
        made.rows("DROP INDEX people_name")
        ran = verify(snapshot=stored, fail_on=fail_on)
        assert ran.failed is failed
        assert (ran.result["clean"], len(ran.result["drift"]), ran.result["worst"]) == (False, 1, "slower")

    def test_accepted(self, verify: Run, made: Database, stored: str) -> None:
        made.rows("DROP INDEX people_name")
        ran = verify(
            snapshot=stored,
            accept=[{"object": "index public.people_*", "reason": "built at night", "until": "2099-01-01"}],
        )
        assert not ran.failed
        assert (ran.result["clean"], ran.result["drift"]) == (True, [])
        assert ran.result["accepted"][0]["reason"] == "built at night"

    def test_expired_and_needless_acceptances_are_told(self, verify: Run, made: Database, stored: str) -> None:
        made.rows("DROP INDEX people_name")
        accept = [
            {"object": "index public.people_name", "reason": "once", "until": "2020-01-01"},
            {"object": "index public.gone", "reason": "long ago"},
        ]
        ran = verify(snapshot=stored, accept=accept)
        assert ran.failed
        assert "index public.people_name * (once) ended on 2020-01-01: mend the difference, or decide anew" in ran.text
        assert "index public.gone * (long ago) differs no more: take it off the list" in ran.text

    def test_only_what_both_sides_hold_is_judged(self, verify: Run, info: Run, made: Database, tmp_path: Path) -> None:
        path = tmp_path / "part.json"
        info(path=str(path), schemas=["side"], without=["comment"])
        made.rows("DROP INDEX people_name; COMMENT ON TABLE side.notes IS 'x'")
        assert verify(snapshot=str(path)).result["clean"]
        made.rows("ALTER TABLE side.notes ADD more text")
        assert [item["object"] for item in verify(snapshot=str(path)).result["drift"]] == ["column side.notes.more"]
        assert verify(snapshot=str(path), kinds=["sequence"]).result["clean"]

    def test_a_schema_of_a_whole_snapshot(self, verify: Run, made: Database, stored: str) -> None:
        made.rows("DROP INDEX people_name")
        assert verify(snapshot=stored, schemas=["side"]).result["clean"]
        assert not verify(snapshot=stored, schemas=["public"]).result["clean"]

    def test_a_directory_has_a_snapshot_for_each_revision(
        self, verify: Run, info: Run, made: Database, tmp_path: Path
    ) -> None:
        made.rows("CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('one')")
        info(path=str(tmp_path / "one.json"))
        assert verify(snapshot=str(tmp_path)).result["truth_name"] == f"snapshot {tmp_path}/one.json"
        made.rows("UPDATE alembic_version SET version_num = 'two'")
        assert "is at revision two, of which" in verify(snapshot=str(tmp_path)).msg
        assert "has no snapshot (it has one): take one with schema_info" in verify(snapshot=str(tmp_path)).msg
        made.rows("DELETE FROM alembic_version")
        assert (
            "is at no revision yet: migrate it first, or name one snapshot file" in verify(snapshot=str(tmp_path)).msg
        )
        made.rows("DROP TABLE alembic_version")
        assert (
            "has no single table alembic_version that would tell its revision (none)"
            in verify(snapshot=str(tmp_path)).msg
        )

    def test_models(self, verify: Run, database: Database, tmp_path: Path) -> None:
        """The models' tables in a scratch database at hand; what models do not say is not judged."""
        models = (
            "import sqlalchemy as sa\nmetadata = sa.MetaData()\n"
            'sa.Table("people", metadata, sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),'
            ' sa.Column("name", sa.String(80), nullable=False, index=True))\n'
        )
        trees.write_tree(tmp_path, {}, trees.sync_env(before=models, configure=", target_metadata=metadata"))
        scratch = support.create_database(f"{database.name}_scratch")
        try:
            ran = verify(
                truth="metadata",
                project=str(tmp_path),
                scratch="url",
                scratch_url=scratch.url,
                fail_on="never",
                schemas=["public"],
            )
        finally:
            support.drop_database(scratch.name)
        found = {(item["object"], item["attribute"]) for item in ran.result["drift"]}
        assert found == {
            ("enum public.mood", "existence"),
            ("column public.people.feels", "existence"),
            ("index public.people_name", "existence"),
            ("index public.ix_people_name", "existence"),
        }, ran.text

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "cannot be read: No such file or directory"),
            ("not json", "is no catalog snapshot: it is not JSON"),
            ('{"resources": []}', "is no catalog snapshot: it lacks format, objects or fingerprint"),
            (
                '{"format": 2, "objects": {}, "fingerprint": ""}',
                "has snapshot format 2, and this version of the collection reads up to 1",
            ),
            (b"\xff\xfe", "is no text in UTF-8"),
        ],
    )
    def test_bad_snapshots(self, verify: Run, tmp_path: Path, content: Any, words: str) -> None:
        path = tmp_path / "bad.json"
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        ran = verify(snapshot=str(path))
        assert ran.failed
        assert words in ran.msg
        assert str(path) in ran.msg
        assert "\n" not in ran.msg

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({}, "truth is snapshot but all of the following are missing: snapshot"),
            ({"truth": "spec"}, "truth is spec but all of the following are missing: spec"),
            ({"truth": "metadata"}, "truth is metadata but all of the following are missing: project"),
            (
                {"snapshot": "x", "accept": [{"object": "x", "reason": " "}]},
                "accept[0].reason is empty: say why x may differ",
            ),
            (
                {"snapshot": "x", "accept": [{"object": "x", "reason": "y", "until": "soon"}]},
                "accept[0].until is 'soon': write a date",
            ),
            ({"snapshot": "x", "kinds": ["tables"]}, "kinds has 'tables', which is no kind"),
        ],
    )
    def test_bad_options(self, verify: Run, options: dict[str, Any], words: str) -> None:
        ran = verify(**options)
        assert ran.failed
        assert words in ran.msg
        assert "\n" not in ran.msg

    def test_a_spec_names_the_line(self, verify: Run, tmp_path: Path) -> None:
        path = tmp_path / "shop.yml"
        path.write_text("format: 1\ntables:\n  people:\n    colums: {id: bigint}\n")
        assert (
            verify(truth="spec", spec=str(path)).msg
            == f'{path} line 4: unknown key "colums" in table people: did you mean columns?'
        )
        path.write_text("format: 1\ntables:\n  people:\n    columns: {id: bigint, name: varchar(80)}\n")
        assert verify(truth="spec", spec=str(path)).result["clean"]
        assert "cannot be given with truth spec" in verify(truth="spec", spec=str(path), kinds=["table"]).msg

    def test_passwords_are_nowhere(
        self, verify: Run, stored: str, secret_role: dict[str, Any], collections: Path
    ) -> None:
        ran = support.run_module(collections, "schema_verify", {**secret_role, "snapshot": stored, "fail_on": "never"})
        assert "drift" in ran.result, ran.text
        assert support.PASSWORD not in ran.text
