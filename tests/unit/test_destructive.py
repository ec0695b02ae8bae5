"""Statements that destroy or rewrite, and those that only look like it."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._destructive import destructive

ROWS = "table public.t: every row of it"


@pytest.mark.parametrize(
    ("statement", "losses"),
    [
        ("DROP TABLE public.t", [ROWS]),
        ("drop table if exists public.t;", [ROWS]),
        ("DROP TABLE public.t CASCADE", [f"{ROWS}, and whatever depends on it"]),
        ('DROP TABLE a, "B" RESTRICT', ["table a, B: every row of it"]),
        ("DROP\n  TABLE\n  public . t", [ROWS]),
        ("DROP SCHEMA app CASCADE", ["schema app: all that is in it, and whatever depends on it"]),
        ("DROP TYPE mood", ["type mood: the type"]),
        ("DROP DOMAIN email", ["domain email: the type"]),
        ("DROP MATERIALIZED VIEW totals", ["materialized view totals: its stored rows"]),
        ("DROP SEQUENCE counter", ["sequence counter: how far it has counted"]),
        ("DROP DATABASE shop", ["database shop: all that is in it"]),
        ("DROP OWNED BY shop", ["owned shop: all that the role owns"]),
        ("DROP VIEW totals CASCADE", ["whatever depends on it"]),
        ("DROP EXTENSION vector CASCADE", ["whatever depends on it"]),
        ("ALTER TABLE public.t DROP COLUMN a", ["column public.t.a with its values"]),
        ("ALTER TABLE ONLY t DROP a", ["column t.a with its values"]),
        ('ALTER TABLE t DROP COLUMN IF EXISTS "A, b" CASCADE', ["column t.A, b with its values, and whatever depends on it"]),
        (
            "ALTER TABLE t ADD COLUMN b numeric(10, 2), DROP COLUMN a, DROP c",
            ["column t.a with its values", "column t.c with its values"],
        ),
        (
            "ALTER TABLE t ALTER COLUMN a TYPE varchar(20) USING left(a, 20)",
            ["rewrites column t.a; values that do not fit the new type are cut or refused"],
        ),
        (
            "ALTER TABLE t ALTER a SET DATA TYPE int",
            ["rewrites column t.a; values that do not fit the new type are cut or refused"],
        ),
        ("ALTER TYPE address DROP ATTRIBUTE street", ["column address.street with its values"]),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey CASCADE", ["whatever depends on it"]),
        ("TRUNCATE t", ["every row of t"]),
        ("TRUNCATE TABLE ONLY a, b RESTART IDENTITY CASCADE", ["every row of a, b, and whatever depends on it"]),
        ("DELETE FROM t", ["every row, of t"]),
        ("delete from only public.t where a = 'x'", ["the rows that fit its condition, of public.t"]),
        ("WITH old AS (DELETE FROM t RETURNING *) INSERT INTO archive SELECT * FROM old", ["rows of t"]),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", ["rows of t"]),
        ("SELECT 1; DROP TABLE public.t; SELECT 2", [ROWS]),
        ("/* a comment /* in */ one */ DROP TABLE public.t", [ROWS]),
        ("-- away with it\nDROP TABLE public.t", [ROWS]),
        ("DO $$ BEGIN IF true THEN DROP TABLE public.t; END IF; END $$", [ROWS]),
        ("DO $body$ BEGIN EXECUTE 'DROP TABLE public.t'; END $body$", [ROWS]),
        ("DO LANGUAGE plpgsql $$ BEGIN EXECUTE format('TRUNCATE t'); END $$", ["every row of t"]),
        # what can be made again, and what only names such words
        ("DROP INDEX CONCURRENTLY ix", []),
        ("DROP INDEX ix", []),
        ("DROP VIEW totals", []),
        ("DROP FUNCTION f(int)", []),
        ("DROP EXTENSION vector", []),
        ("ALTER TABLE t DROP CONSTRAINT t_a_key", []),
        ("ALTER TABLE t ALTER COLUMN a DROP DEFAULT", []),
        ("ALTER TABLE t ALTER COLUMN a DROP NOT NULL, ALTER b DROP IDENTITY", []),
        ("ALTER TABLE t ADD COLUMN type text", []),
        ("ALTER TABLE t RENAME COLUMN a TO drop_table", []),
        ("ALTER TYPE mood ADD VALUE 'drop'", []),
        ("INSERT INTO t VALUES ('DROP TABLE t; DELETE FROM t')", []),
        ("INSERT INTO t VALUES (E'it\\'s; DROP TABLE t')", []),
        ("INSERT INTO t VALUES ('it''s; DROP TABLE t')", []),
        ("INSERT INTO t VALUES ($x$; DROP TABLE t; $x$)", []),
        ("-- DROP TABLE t", []),
        ("/* DROP TABLE t; */ SELECT 1", []),
        ('CREATE TABLE "; DROP TABLE t" (a int)', []),
        ("GRANT DELETE, TRUNCATE ON t TO app", []),
        ("CREATE TRIGGER x BEFORE DELETE ON t EXECUTE FUNCTION f()", []),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t; END $$", []),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES s ON DELETE CASCADE", []),
        ("UPDATE t SET a = 'active'", []),
        ("COMMENT ON TABLE t IS 'DROP TABLE t'", []),
        ("", []),
    ],
)  # fmt: skip
def test_one_statement(statement: str, losses: list[str]) -> None:
    assert [loss for _statement, loss in destructive([statement])] == losses


def test_the_statement_is_named_as_it_was_written() -> None:
    assert destructive(["SELECT 1; DROP TABLE public.t -- now\n;"]) == [("DROP TABLE public.t -- now", ROWS)]


@pytest.mark.parametrize(
    ("statements", "count"),
    [
        (["CREATE TEMPORARY TABLE work (a int)", "DELETE FROM work", "TRUNCATE work", "DROP TABLE work"], 0),
        (["CREATE TABLE app.Work AS SELECT 1", "ALTER TABLE app.work DROP COLUMN a", 'DROP TABLE app."work"'], 0),
        (["CREATE TABLE IF NOT EXISTS work (a int)", "DROP TABLE work"], 1),
        (["CREATE TABLE work (a int)", "DROP TABLE work, t"], 1),
        (["DROP TABLE work", "CREATE TABLE work (a int)"], 1),
    ],
)
def test_what_the_revision_made_itself_is_no_loss(statements: list[str], count: int) -> None:
    assert len(destructive(statements)) == count
