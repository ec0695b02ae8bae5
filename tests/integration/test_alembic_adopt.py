"""alembic_adopt: databases that were made without Alembic, by plain SQL, at each level and in between, with rows in them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
import trees
from alembic import command
from histories import config_of
from support import Database, Ran, Upgrade

Adopt = Callable[..., Ran]
MIGRATIONS = support.ROOT / "migrations"
LEVELS = ("001_initial_schema", "002_cat_recognition", "003_activity_features")
CATS = {"project": str(MIGRATIONS), "section": "cats_monitor"}


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server whose programs are on this host too, for private clusters."""
    support.use_server(monkeypatch, support.LOCAL_MAJOR)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests of this file."""
    return tmp_path_factory.mktemp("cache") / "replays"


@pytest.fixture
def adopt(database: Database, collections: Path, cache: Path) -> Adopt:
    """Adopt the database; options override."""

    def run(check: bool = False, **options: Any) -> Ran:
        arguments = {"url": database.url, "cache": str(cache), **options}
        return support.run_module(collections, "alembic_adopt", arguments, check)

    return run


@pytest.fixture(scope="module")
def init_sql() -> Iterator[dict[str, str]]:
    """The plain SQL of each level, as alembic prints it, without a word about revisions."""
    scripts = {}
    for level in LEVELS:
        config = config_of("cats_monitor", Database("nowhere", {"user": "u", "password": "p", "host": "h"}))
        config.output_buffer = io.StringIO()
        command.upgrade(config, level, sql=True)
        text = config.output_buffer.getvalue()
        kept = [part for part in text.split(";\n") if "alembic_version" not in part]
        scripts[level] = ";\n".join(part for part in kept if not re.fullmatch(r"\s*(BEGIN|COMMIT)?\s*", part))
    return scripts


def fill(database: Database) -> dict[str, str]:
    """Put rows into each table, whatever its columns; return the checksum of each."""
    with database.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        for (table,) in tables_of(database):
            columns = connection.execute(
                "SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a WHERE a.attrelid = %s::regclass"
                " AND a.attnum > 0 AND NOT a.attisdropped",
                [table],
            ).fetchall()
            values = ", ".join(f"{sample(kind)} AS {name}" for name, kind in columns)
            names = ", ".join(name for name, _kind in columns)
            connection.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM generate_series(1, 20) n")
    return checksums(database)


def sample(kind: str) -> str:
    """Return an expression of a type, another one for each n."""
    if kind.startswith("timestamp"):
        return "now()::timestamp + n * interval '1 hour'"
    if kind in ("integer", "bigint", "double precision", "real", "numeric", "smallint"):
        return f"n::{kind}"
    if kind == "boolean":
        return "n % 2 = 0"
    if kind in ("json", "jsonb"):
        return f"json_build_object('n', n)::{kind}"
    return f"('v' || n)::{kind}"


def tables_of(database: Database) -> list[tuple[str]]:
    """Return the tables of public, those of revisions left out."""
    return database.rows(
        "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND relname <> 'alembic_version' ORDER BY 1"
    )


def checksums(database: Database, columns: dict[str, str] | None = None) -> dict[str, str]:
    """Return a checksum of all rows of each table; columns: only those, by table."""
    found = {}
    for (table,) in tables_of(database):
        what = (columns or {}).get(table) or ", ".join(
            f"{name}::text"
            for (name,) in database.rows(
                f"SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
                " AND NOT attisdropped ORDER BY attname"
            )
        )
        if not columns or table in columns:
            found[table] = what + str(
                database.rows(f"SELECT md5(string_agg(row({what})::text, '|' ORDER BY id)) FROM {table}")
            )
    return found


def blocking(ran: Ran) -> list[tuple[str, str]]:
    """Return kind and object of each difference that stands in the way."""
    return [(item["kind"], item["object"]) for item in ran.result["drift"] if item["blocks"]]


@pytest.mark.parametrize("level", support.few(LEVELS, LEVELS[1]))
def test_a_level_made_by_plain_sql(
    level: str, adopt: Adopt, upgrade: Upgrade, database: Database, init_sql: dict[str, str]
) -> None:
    """Adopted where it is, upgraded to the newest, and every row is still what it was."""
    database.rows(init_sql[level])
    before = fill(database)
    tables = database.relations()
    checked = adopt(check=True, **CATS)
    assert checked.result["changed"], checked.text
    assert checked.result["current"] == [level]
    assert database.relations() == tables
    ran = adopt(**CATS)
    assert not ran.failed, ran.msg
    assert (ran.result["state"], ran.result["proven"], ran.result["distance"]) == ("legacy", True, 0)
    assert ran.result["candidates"][0]["revision"] == [level]
    assert ran.result["messages"] == ["legacy database detected", f"stamped with revision {level}"]
    assert database.rows("SELECT version_num FROM alembic_version") == [(level,)]
    again = adopt(**CATS)
    assert not again.result["changed"]
    assert again.result["messages"] == [f"stamped with revision {level}"]
    upgraded = upgrade(**CATS, url=database.url)
    assert upgraded.result["current"] == [LEVELS[-1]], upgraded.text
    columns = {table: text.partition("[")[0] for table, text in before.items()}
    assert checksums(database, columns) == before


PARTIAL = {
    "column missing": ("ALTER TABLE feedback DROP COLUMN weight", [("missing", "column public.feedback.{}")]),
    "index missing": ("DROP INDEX idx_feedback_timestamp", [("missing", "index public.idx_feedback_timestamp")]),
    "table missing": (
        "DROP TABLE cat_recognition_models",
        [("missing", "sequence public.cat_recognition_models_id_seq"), ("missing", "table public.cat_recognition_models")],
    ),
    "extra column": ("ALTER TABLE feedback ADD COLUMN extra int", [("extra", "column public.feedback.extra")]),
    "wrong type": ("ALTER TABLE feedback ALTER COLUMN image_filename TYPE text", [("changed", "column public.feedback.image_filename")]),
}  # fmt: skip


def nullable_column(database: Database, table: str) -> str:
    """Return a column that may be NULL, has no default and no index or key on it."""
    [(name,)] = database.rows(
        f"SELECT attname FROM pg_attribute a WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attnotnull AND NOT atthasdef"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refobjid = a.attrelid AND d.refobjsubid = a.attnum) ORDER BY 1 LIMIT 1"
    )
    return str(name)


@pytest.mark.parametrize("case", support.few(PARTIAL, "table missing", "wrong type"))
def test_partial(case: str, adopt: Adopt, database: Database, init_sql: dict[str, str]) -> None:
    """Stopped with the exact list; what only lacks something is mended, the rest is left as it is."""
    database.rows(init_sql[LEVELS[1]])
    statement, expected = PARTIAL[case]
    if case == "column missing":
        column = nullable_column(database, "feedback")
        statement, expected = (
            f"ALTER TABLE feedback DROP COLUMN {column}",
            [(expected[0][0], expected[0][1].format(column))],
        )
    database.rows(statement)
    before, schema = fill(database), database.relations()
    stopped = adopt(**CATS)
    assert stopped.failed
    assert blocking(stopped) == expected
    assert "is nearest to revision 002_cat_recognition, and not at it" in stopped.msg
    assert (database.relations(), checksums(database)) == (schema, before)
    checked = adopt(check=True, repair="additive", **CATS)
    assert (database.relations(), checksums(database)) == (schema, before)
    mended = adopt(repair="additive", **CATS)
    if case in ("extra column", "wrong type"):
        assert checked.failed
        assert "repair: additive changed nothing, as it cannot mend" in mended.msg
        assert (database.relations(), checksums(database)) == (schema, before)
        return
    assert not mended.failed, mended.msg
    assert checked.result["repaired"]
    assert mended.result["repaired"]
    assert mended.result["current"] == [LEVELS[1]]
    columns = {table: text.partition("[")[0] for table, text in before.items()}
    assert checksums(database, columns) == before
    if case == "index missing":
        assert "CONCURRENTLY" in mended.result["repaired"][0]
        assert database.rows(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_feedback_timestamp'::regclass"
        ) == [(True,)]


def test_an_accepted_difference_does_not_stand_in_the_way(
    adopt: Adopt, database: Database, init_sql: dict[str, str]
) -> None:
    database.rows(
        init_sql[LEVELS[0]] + "; ALTER TABLE feedback ADD COLUMN extra int; CREATE TABLE backup_of_cats (id int)"
    )
    accept = [{"object": "column public.feedback.extra", "reason": "the analysts have it"}]
    assert adopt(**CATS).failed
    assert adopt(**CATS, accept=[{**accept[0], "until": "2020-01-01"}]).failed
    ran = adopt(**CATS, accept=accept)
    assert ran.result["current"] == [LEVELS[0]], ran.text


class TestKeys:
    """A foreign key that is missing, with rows that break it."""

    REVISIONS = {
        "r1": trees.revision(
            "r1",
            None,
            'op.create_table("a", sa.Column("id", sa.Integer, primary_key=True))\n'
            'op.create_table("b", sa.Column("id", sa.Integer, primary_key=True), sa.Column("a_id", sa.Integer, sa.ForeignKey("a.id", name="b_a")))',
        )
    }
    SQL = "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id serial PRIMARY KEY, a_id int); INSERT INTO a VALUES (1)"

    def test_validated_where_no_row_breaks_it(self, adopt: Adopt, database: Database, tmp_path: Path) -> None:
        trees.write_tree(tmp_path, self.REVISIONS)
        database.rows(self.SQL + "; INSERT INTO b VALUES (1, 1)")
        ran = adopt(project=str(tmp_path), repair="additive")
        assert not ran.failed, ran.msg
        assert [text.rpartition(" ")[2] for text in ran.result["repaired"]] == ["VALID", "b_a"]
        assert database.rows("SELECT convalidated FROM pg_constraint WHERE conname = 'b_a'") == [(True,)]

    def test_orphans_stop_it(self, adopt: Adopt, database: Database, tmp_path: Path) -> None:
        trees.write_tree(tmp_path, self.REVISIONS)
        database.rows(self.SQL + "; INSERT INTO b VALUES (1, 1), (2, 7)")
        ran = adopt(project=str(tmp_path), repair="additive")
        assert ran.failed
        assert "1 rows of public.b break key b_a" in ran.msg
        assert "1 statements were run before and stay" in ran.msg
        assert ran.result["changed"]
        assert "nothing is stamped" in ran.msg
        assert "public.alembic_version" not in database.relations()
        assert database.rows("SELECT convalidated FROM pg_constraint WHERE conname = 'b_a'") == [(False,)]
        assert database.rows("SELECT count(*) FROM b") == [(2,)]
        database.rows("DELETE FROM b WHERE id = 2")
        assert adopt(project=str(tmp_path), repair="additive").result["current"] == ["r1"]


def test_revisions_that_make_the_same_schema_are_a_tie(adopt: Adopt, database: Database, tmp_path: Path) -> None:
    revisions = {**trees.chain(2), "r3": trees.revision("r3", "r2", 'op.execute("SELECT 1")')}
    trees.write_tree(tmp_path, revisions)
    database.rows("CREATE TABLE t_r1 (id serial PRIMARY KEY); CREATE TABLE t_r2 (id serial PRIMARY KEY)")
    ran = adopt(project=str(tmp_path))
    assert "fits several revisions equally well (r2, r3)" in ran.msg
    assert ran.result["ties"] == [["r2"], ["r3"]]
    assert "public.alembic_version" not in database.relations()
    assert "nearest to revision r1, and not at it" in adopt(project=str(tmp_path), revision=["r1"]).msg
    assert adopt(project=str(tmp_path), revision=["r2"]).result["current"] == ["r2"]


def test_a_branch_alone(adopt: Adopt, database: Database, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.BRANCHES)
    for table in ("base0", "right1", "right2"):
        database.rows(f"CREATE TABLE t_{table} (id serial PRIMARY KEY)")
    ran = adopt(project=str(tmp_path))
    assert ran.result["current"] == ["right2"], ran.text


def test_a_fresh_database_and_a_managed_one_are_left_alone(adopt: Adopt, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(2))
    ran = adopt(project=str(tmp_path))
    assert (ran.result["changed"], ran.result["state"]) == (False, "fresh")
    upgrade(revision=["r1"])
    ran = adopt(project=str(tmp_path))
    assert (ran.result["changed"], ran.result["state"], ran.result["current"]) == (False, "behind", ["r1"])


def test_nothing_is_stamped_after_a_failure(adopt: Adopt, upgrade: Upgrade, database: Database, tmp_path: Path) -> None:
    """A first revision that failed behind its autocommit block left a table, which looks like that of a legacy database."""
    body = (
        "with op.get_context().autocommit_block():\n"
        '    op.execute("CREATE TABLE t_r1 (id serial PRIMARY KEY)")\n'
        'raise ValueError("no")'
    )
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, body)})
    assert upgrade().failed
    trees_before = database.relations()
    (tmp_path / "migrations" / "versions" / "r1.py").write_text(trees.table("r1", None))
    ran = adopt(project=str(tmp_path))
    assert "nothing is stamped after a failure" in ran.msg
    assert database.rows("SELECT * FROM alembic_version") == []
    assert database.relations() == trees_before


def test_the_session_of_a_check_only_reads(adopt: Adopt, database: Database, init_sql: dict[str, str]) -> None:
    database.rows(init_sql[LEVELS[0]])
    database.rows(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    assert adopt(check=True, **CATS).result["current"] == [LEVELS[0]]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        database.rows("CREATE TABLE no (id int)")


def test_what_stands_nowhere_near(adopt: Adopt, database: Database, tmp_path: Path) -> None:
    """Somebody else's database is no candidate's."""
    trees.write_tree(tmp_path, trees.chain(3))
    database.rows("CREATE TABLE others (id int)")
    ran = adopt(project=str(tmp_path))
    assert "is nearest to revision r1, and not at it (2 missing" in ran.msg
    assert "public.alembic_version" not in database.relations()
