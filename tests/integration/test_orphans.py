"""foreign_key_orphans: what it counts, moves, deletes and refuses, as the server's own queries see it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import support
from alembic import command
from ansible_collections.pgsteward.postgres.plugins.module_utils import _orphan_removal, _orphan_rows, _orphans
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import connect, parse_url
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from histories import config_of
from support import Database
from test_migrations import load, upgrade

MAKE = """
CREATE TABLE parents (id integer PRIMARY KEY);
CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint, note text NOT NULL DEFAULT 'none');
INSERT INTO parents SELECT generate_series(1, 10);
INSERT INTO children SELECT n, n % 13, 'note ' || n FROM generate_series(1, 1300) n;
INSERT INTO children VALUES (9001, NULL, 'nobody''s');
"""
KEY = {"table": "children", "columns": ["parent_id"], "references": "parents"}
ORPHANS = 300  # the rest 0, 11 and 12 of thirteen
DEFAULTS = {name: option.get("default") for name, option in _orphan_removal.ARGUMENTS.items()}

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def made(database: Database) -> Database:
    """Parents and children, 300 of which have no parent."""
    database.rows(MAKE)
    return database


@pytest.fixture
def warned() -> list[str]:
    """What the module warned of."""
    return []


@pytest.fixture
def ask(database: Database, warned: list[str]) -> Ask:
    """Do what the module does, in this process, for keys of the test's database; options override."""

    def run(*keys: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
        params = {**DEFAULTS, "url": database.url, "keys": list(keys) or None, **options}
        return _orphan_removal.run(params, check, warned.append, "/nowhere")

    return run


def refusal(ask: Ask, *keys: dict[str, Any], **options: Any) -> StewardError:
    """Return the error, which is one line."""
    with pytest.raises(StewardError) as caught:
        ask(*keys, **options)
    assert "\n" not in str(caught.value)
    return caught.value


def key(table: str, columns: list[str], references: str, referenced: list[str] | None = None) -> dict[str, Any]:
    """Return an item of keys."""
    return {"table": table, "columns": columns, "references": references, "referenced_columns": referenced}


def counts(result: dict[str, Any]) -> list[int]:
    """Return how many orphans each key has."""
    return [item["orphans"] for item in result["found"]]


def everything(database: Database) -> list[tuple[Any, ...]]:
    """Return the relations of a database and all rows of its tables."""
    names = database.rows(
        "SELECT relname, relkind::text, relowner, relacl::text FROM pg_class WHERE oid >= 16384 ORDER BY 1"
    )
    return [
        *names,
        *database.rows("SELECT 'c', t.* FROM children t ORDER BY id"),
        *database.rows("TABLE parents ORDER BY 1"),
    ]


BAD_KEYS = (
    (key("childs", ["parent_id"], "parents"), "key childs_parent_id_fkey: there is no table public.childs: check the name"),
    (key("children", ["parent_id"], "x.parents"), "there is no table x.parents: check the name, and its schema if"),
    (key("children", ["parent"], "parents"), "public.children has no column 'parent': it has id, parent_id, note"),
    (key("children", ["parent_id"], "parents", ["key"]), "public.parents has no column 'key': it has id"),
    (key("children", ["id", "parent_id"], "parents"), "the primary key of public.parents is (id), and 2 columns refer to it"),
    (key("children", ["note"], "parents"), "column note of public.children is text, and id of public.parents integer, and the server"),
    (key("children", ["id"], "children", ["parent_id"]), "public.children has no unique index on (parent_id), which a foreign key"),
    (key("seen", ["id"], "parents"), "public.seen is a view, and foreign keys are for tables: name the table behind it"),
    (key("a.b.c", ["id"], "parents"), "keys[0].table is 'a.b.c', which names no table: write schema.table"),
)  # fmt: skip


class TestReport:
    """Counting."""

    def test_as_the_server_counts(self, ask: Ask, made: Database) -> None:
        result = ask(KEY)
        assert made.rows(
            "SELECT count(*) FROM children WHERE parent_id NOT IN (SELECT id FROM parents)"
        ) == [(ORPHANS,)] == [(result["total"],)]  # fmt: skip
        [found] = result["found"]
        assert found["sample"] == [{"id": str(n), "parent_id": str(n % 13)} for n in (11, 12, 13, 24, 25)]
        assert (result["changed"], found["name"], found["moved"], found["table"]) == (
            False, "children_parent_id_fkey", 0, "public.children"
        )  # fmt: skip
        assert (
            result["diff"]["before"]
            == result["diff"]["after"]
            == "public.children children_parent_id_fkey: 300 orphans\n"
        )
        assert ask(KEY, sample=0)["found"][0]["sample"] == []

    def test_keys_that_are_not_valid(self, ask: Ask, made: Database) -> None:
        add = "ALTER TABLE {0} ADD CONSTRAINT {1} FOREIGN KEY ({2}) REFERENCES {3} NOT VALID"
        assert ask()["found"] == []
        made.rows("CREATE SCHEMA side; CREATE TABLE side.t (a integer, b integer, p integer REFERENCES parents)")
        made.rows("CREATE TABLE pairs (a integer, b integer, PRIMARY KEY (b, a)); INSERT INTO pairs VALUES (1, 2)")
        made.rows("INSERT INTO side.t VALUES (1, 2), (2, 1), (1, NULL), (NULL, NULL)")
        made.rows(add.format("children", "one", "parent_id", "parents"))
        made.rows(add.format("side.t", "two", "a, b", "pairs (a, b)"))
        made.rows(add.format("side.t", "three", "a, b", "pairs (a, b) MATCH FULL"))
        found = {item["name"]: item["orphans"] for item in ask()["found"]}
        assert found == {"one": ORPHANS, "two": 1, "three": 2}
        assert [item["name"] for item in ask(schemas=["side"])["found"]] == ["three", "two"]
        assert ask(keys=[])["found"] == []
        assert "has no schema 'sid': it has public, side" in str(refusal(ask, schemas=["sid"]))

    def test_hostile_names(self, ask: Ask, database: Database) -> None:
        parts = ['odd.sch"ema %s', "Tab'le %", 'col"umn %(x)s', "$1 \\ ; --"]
        schema, table, one, two = ('"' + part.replace('"', '""') + '"' for part in parts)
        database.rows(
            f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.parents ({one} integer, {two} text, PRIMARY KEY ({one}, {two}));"
            f'CREATE TABLE {schema}.{table} ({two} text, {one} integer, "select" text);'
            f"INSERT INTO {schema}.parents VALUES (1, 'a'); INSERT INTO {schema}.{table} VALUES ('a', 1, 'ok'), ('b''\\%', 1, 'orphan')"
        )
        asked = key(f"{schema}.{table}", parts[:1:-1], f"{schema}.parents", parts[:1:-1])
        result = ask(asked, action="quarantine")
        assert result["found"][0]["sample"] == [{parts[3]: "b'\\%", parts[2]: "1"}]
        side = f'{schema}."Tab\'le %__orphans"'
        assert result["found"][0]["side_table"] == side
        assert database.rows(f'SELECT {two}, {one}, "select" FROM {side}') == [("b'\\%", 1, "orphan")]
        assert database.rows(f"SELECT count(*) FROM {schema}.{table}") == [(1,)]

    def test_types_are_compared_as_a_key_compares_them(self, database: Database) -> None:
        """For each pair of types: whether the server takes the key, and whether this finds a comparison."""
        types = [
            "integer",
            "bigint",
            "numeric",
            "double precision",
            "text",
            "varchar(9)",
            "character(4)",
            "name",
            "uuid",
        ]
        types += [
            "date",
            "timestamptz",
            "bigint[]",
            "mood",
            "other_mood",
            "posint",
            "other_posint",
            "ext.citext",
            "pair",
        ]
        database.rows(
            "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE TYPE mood AS ENUM ('a'); CREATE TYPE other_mood AS ENUM ('a');"
            "CREATE DOMAIN posint AS integer CHECK (value > 0); CREATE DOMAIN other_posint AS posint; CREATE TYPE pair AS (a integer, b integer);"
            + "".join(
                f"CREATE TABLE p{n} (x {type_} PRIMARY KEY); CREATE TABLE c{n} (x {type_});"
                for n, type_ in enumerate(types)
            )
        )
        pairs = list(itertools.product(range(len(types)), repeat=2))
        with database.connect() as connection:
            connection.execute("SET search_path = public, ext")
            taken = set()
            for child, parent in pairs:
                try:
                    with connection.transaction(force_rollback=True):
                        connection.execute(f"ALTER TABLE c{child} ADD FOREIGN KEY (x) REFERENCES p{parent} NOT VALID")  # type: ignore[call-overload]
                    taken.add((child, parent))
                except psycopg.errors.DatatypeMismatch:
                    pass
        place = parse_url(database.url)
        found = set()
        with connect(place, "test") as pinned:
            session = _orphan_rows.Session(pinned, place)
            for child, parent in pairs:
                try:
                    _orphan_rows.orphans(
                        session, [_orphans.Wanted("k", ("public", f"c{child}"), ("x",), ("public", f"p{parent}"))]
                    )
                    found.add((child, parent))
                except StewardError as error:
                    assert "has no comparison of its own for them" in str(error), error  # noqa: PT017
        named = {(types[child], types[parent]) for child, parent in taken ^ found}
        assert named == set()
        assert len(taken) > len(types)

    def test_equality_is_that_of_the_referenced_index(self, ask: Ask, database: Database) -> None:
        """Case does not count for citext and a collation that ignores it, padding not for character, scale not for numeric."""
        database.rows(
            "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;"
            "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
            "CREATE TABLE a (x ext.citext PRIMARY KEY); CREATE TABLE b (x ext.citext); INSERT INTO a VALUES ('One'); INSERT INTO b VALUES ('oNE'), ('two');"
            "CREATE TABLE c (x text COLLATE blind PRIMARY KEY); CREATE TABLE d (x text); INSERT INTO c VALUES ('One'); INSERT INTO d VALUES ('oNE'), ('two');"
            "CREATE TABLE e (x character(5) PRIMARY KEY); CREATE TABLE f (x character(9)); INSERT INTO e VALUES ('One'); INSERT INTO f VALUES ('One'), ('two');"
            "CREATE TABLE g (x numeric PRIMARY KEY); CREATE TABLE h (x integer); INSERT INTO g VALUES (1.00); INSERT INTO h VALUES (1), (2)"
        )
        result = ask(*(key(child, ["x"], parent) for child, parent in ("ba", "dc", "fe", "hg")))
        assert counts(result) == [1, 1, 1, 1]

    def test_whose_rows_count(self, ask: Ask, database: Database) -> None:
        """All partitions on both sides; of a table that others inherit from its own rows alone, as the keys have it."""
        database.rows(
            "CREATE TABLE p (id integer PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);"
            "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200); INSERT INTO p VALUES (1), (101);"
            "CREATE TABLE c (p_id integer, k integer) PARTITION BY LIST (k); CREATE TABLE c1 PARTITION OF c FOR VALUES IN (1);"
            "CREATE TABLE c2 PARTITION OF c FOR VALUES IN (2); INSERT INTO c VALUES (1, 1), (101, 2), (2, 1), (3, 1), (102, 2);"
            "CREATE TABLE old (id integer PRIMARY KEY); CREATE TABLE younger () INHERITS (old); INSERT INTO younger VALUES (7);"
            "CREATE TABLE son (x integer); CREATE TABLE grandson () INHERITS (son); INSERT INTO son VALUES (7); INSERT INTO grandson VALUES (8)"
        )
        keys = key("c", ["p_id"], "p"), key("c1", ["p_id"], "p"), key("son", ["x"], "old")
        assert counts(ask(*keys)) == [3, 2, 1]
        result = ask(keys[0], keys[2], action="quarantine", batch=1)
        assert [item["moved"] for item in result["found"]] == [3, 1]
        assert database.rows("SELECT p_id, k FROM c__orphans ORDER BY 1") == [(2, 1), (3, 1), (102, 2)]
        assert database.rows("SELECT p_id FROM c ORDER BY 1") == [(1,), (101,)]
        assert database.rows("SELECT x FROM son") == [(8,)]

    def test_bad_input(self, ask: Ask, made: Database) -> None:
        assert str(refusal(ask, KEY, batch=0)) == "batch is 0: give at least 1"
        assert str(refusal(ask, KEY, sample=-1)) == "sample is -1: give at least 0"
        made.rows("CREATE VIEW seen AS SELECT * FROM children")
        for asked, words in BAD_KEYS:
            assert words in str(refusal(ask, asked))

    def test_nothing_planted_is_called(self, ask: Ask, made: Database) -> None:
        """Operators, functions and casts in the database's own schemas; a call would fail in a read-only transaction, and show."""
        made.rows(
            "CREATE SEQUENCE calls; CREATE TYPE mine AS ENUM ('1', '2'); CREATE TYPE trap AS ENUM ('1'); CREATE DOMAIN mine_too AS integer;"
            "CREATE FUNCTION evil(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT nextval(''public.calls'') > 0';"
            "CREATE FUNCTION evil(bigint, integer) RETURNS boolean LANGUAGE sql AS 'SELECT nextval(''public.calls'') > 0';"
            "CREATE FUNCTION evil(mine, mine) RETURNS boolean LANGUAGE sql AS 'SELECT nextval(''public.calls'') > 0';"
            "CREATE FUNCTION evil(mine) RETURNS text LANGUAGE sql AS 'SELECT nextval(''public.calls'')::text';"
            "CREATE FUNCTION evil_int(trap) RETURNS integer LANGUAGE sql AS 'SELECT nextval(''public.calls'')::integer';"
            "CREATE FUNCTION concat(bigint) RETURNS text LANGUAGE sql AS 'SELECT nextval(''public.calls'')::text';"
            "CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql AS 'SELECT to_timestamp(nextval(''public.calls''))';"
            "CREATE OPERATOR = (FUNCTION = evil, LEFTARG = bigint, RIGHTARG = bigint);"
            "CREATE OPERATOR = (FUNCTION = evil, LEFTARG = bigint, RIGHTARG = integer);"
            "CREATE OPERATOR = (FUNCTION = evil, LEFTARG = mine, RIGHTARG = mine);"
            "CREATE CAST (mine AS text) WITH FUNCTION evil(mine) AS ASSIGNMENT; CREATE CAST (trap AS integer) WITH FUNCTION evil_int(trap) AS IMPLICIT;"
            "CREATE TABLE of_mine (x mine PRIMARY KEY); CREATE TABLE to_mine (x mine, y mine_too, z trap UNIQUE); INSERT INTO of_mine VALUES ('1');"
            "INSERT INTO to_mine VALUES ('1', 1), ('2', 99); ALTER ROLE CURRENT_USER IN DATABASE "
            f"{made.name} SET search_path = public, pg_catalog"
        )
        keys = KEY, key("to_mine", ["x"], "of_mine"), key("to_mine", ["y"], "parents")
        assert counts(ask(*keys)) == [ORPHANS, 1, 1]
        assert "has no comparison of its own for them" in str(refusal(ask, key("to_mine", ["z"], "parents")))
        assert "operator is not unique" in str(refusal(ask, key("to_mine", ["z"], "to_mine", ["z"])))
        assert sum(item["moved"] for item in ask(*keys, action="quarantine")["found"]) == ORPHANS + 1
        assert made.rows("SELECT is_called FROM calls") == [(False,)]

    def test_row_security(self, ask: Ask, made: Database, secret_role: dict[str, Any]) -> None:
        """An account that sees a part of the rows is told so; one that may read nothing as well; its password is nowhere."""
        login = {"url": None, **secret_role}
        assert "permission denied for table children: log in as the owner of the table, or grant SELECT" in str(
            refusal(ask, KEY, **login)
        )
        made.rows(
            f'GRANT SELECT ON parents, children TO "{secret_role["login_user"]}"; ALTER TABLE parents ENABLE ROW LEVEL SECURITY'
        )
        error = refusal(ask, KEY, **login)
        assert (
            'row-level security policy for table "parents": the account would see a part of the rows only: log in'
            in str(error)
        )
        made.rows("ALTER TABLE parents DISABLE ROW LEVEL SECURITY")
        assert counts(ask(KEY, **login)) == [ORPHANS]
        error = refusal(ask, KEY, action="delete", confirm=made.name, **login)
        assert (
            "rows of public.children that break key children_parent_id_fkey cannot be deleted: permission denied"
            in str(error)
        )
        assert str(error).endswith("; nothing was deleted")
        assert (error.facts["changed"], error.facts["total"]) == (False, ORPHANS)
        assert support.PASSWORD not in str(error)

    def test_timeouts(self, ask: Ask, made: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody holds a lock: a statement ends by its own time limit or by that for locks; tries go on, and may succeed."""
        with made.connect() as holder:
            holder.execute("BEGIN; LOCK TABLE children IN ACCESS EXCLUSIVE MODE")
            error = refusal(ask, KEY, statement_timeout="30ms")
            assert "rows of public.children that break key children_parent_id_fkey cannot be counted" in str(error)
            assert "it took longer than 30ms: raise statement_timeout" in str(error)
            waits: list[float] = []
            monkeypatch.setattr(_orphan_rows, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
            error = refusal(ask, KEY, lock_timeout="10ms")
            assert "cannot be counted: somebody held the lock for longer than 10ms, 6 times: try again later" in str(
                error
            )
            assert waits == list(_orphan_rows.PAUSES)
            release = SimpleNamespace(sleep=lambda _pause: holder.execute("ROLLBACK"), monotonic=time.monotonic)
            monkeypatch.setattr(_orphan_rows, "time", release)
            assert counts(ask(KEY, lock_timeout="10ms")) == [ORPHANS]
        assert 'invalid value for parameter "statement_timeout": "soon"' in str(
            refusal(ask, KEY, statement_timeout="soon")
        )


class TestQuarantine:
    """Moving rows aside."""

    def test_every_value_arrives(self, ask: Ask, database: Database) -> None:
        database.rows(
            "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN short AS varchar(9) CHECK (value <> 'x'); CREATE TABLE p (id integer PRIMARY KEY);"
            "CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY, p_id integer NOT NULL UNIQUE, gone text, n numeric DEFAULT 1, f double precision,"
            ' j jsonb, b bytea, m mood, s short, a text[], w timestamptz, c text COLLATE "C", twice integer GENERATED ALWAYS AS (p_id * 2) STORED,'
            " ch character(7), e text CHECK (e <> '')); ALTER TABLE t DROP gone;"
            "INSERT INTO t (p_id, n, f, j, b, m, s, a, w, c, ch, e) SELECT x, 'NaN', 1e-300 / x, '{\"a\": [1, null]}', '\\x0001ff', 'ok', 'Ünï', '{a,NULL}',"
            " '2020-01-01 00:00:00.123456+05', E'tab\\t', 'ab ', NULL FROM generate_series(1, 50) x; INSERT INTO t (p_id, w, f) VALUES (99, 'infinity', '-0');"
            "INSERT INTO p VALUES (1), (2)"
        )
        kept = "SELECT to_jsonb(t) FROM t WHERE p_id > 2 ORDER BY id"
        before, rest = database.rows(kept), database.rows("SELECT to_jsonb(t) FROM t WHERE p_id <= 2 ORDER BY id")
        assert ask(key("t", ["p_id"], "p"), action="quarantine", batch=7)["found"][0]["moved"] == len(before) == 49
        marks = "'orphaned_at' - 'orphan_reason'"
        assert database.rows(f"SELECT to_jsonb(o) - {marks} FROM t__orphans o ORDER BY id") == before
        assert database.rows("SELECT to_jsonb(t) FROM t ORDER BY id") == rest
        assert database.rows(
            "SELECT bool_and(now() - orphaned_at < '1 min'), min(orphan_reason), sum(f) FILTER (WHERE p_id = 99)::text FROM t__orphans"
        ) == [(True, "t_p_id_fkey: (p_id) = (10) is not in public.p (id)", "-0")]
        # Of the table only columns: no constraint, default, identity or generated column.
        assert database.rows(
            "SELECT count(*) FROM pg_constraint WHERE conrelid = 't__orphans'::regclass AND contype <> 'n' UNION ALL"
            " SELECT count(*) FROM pg_attrdef WHERE adrelid = 't__orphans'::regclass UNION ALL"
            " SELECT count(*) FROM pg_attribute WHERE attrelid = 't__orphans'::regclass AND (attidentity <> '' OR attgenerated <> '')"
        ) == [(0,), (0,), (0,)]  # fmt: skip

    def test_second_run_and_check_mode(self, ask: Ask, made: Database) -> None:
        before = everything(made)
        result = ask(KEY, action="quarantine", check=True)
        assert everything(made) == before
        assert (result["changed"], result["found"][0]["moved"]) == (True, ORPHANS)
        assert result["diff"]["after"] == "public.children children_parent_id_fkey: 0 orphans\n"
        assert ask(KEY, action="quarantine")["diff"] == result["diff"]
        moved = everything(made)
        again = ask(KEY, action="quarantine")
        assert (again["changed"], again["total"], everything(made)) == (False, 0, moved)

    def test_batches_are_transactions(self, ask: Ask, made: Database) -> None:
        """2,500 rows in batches of 1,000: three. A failure in the second leaves the first, and says so; the next run goes on."""
        made.rows("TRUNCATE children; INSERT INTO children SELECT n, 0 FROM generate_series(1, 2500) n")
        made.rows(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF old.id = 1500 THEN RAISE EXCEPTION $$not %$$, old.id; END IF;"
            " RETURN old; END'; CREATE TRIGGER stop BEFORE DELETE ON children FOR EACH ROW EXECUTE FUNCTION stop()"
        )
        error = refusal(ask, KEY, action="quarantine")
        assert str(error) == (
            "rows of public.children that break key children_parent_id_fkey cannot be moved: not 1500;"
            " 1000 rows of public.children (children_parent_id_fkey) moved before it stay moved, and the same again goes on with the rest"
        )
        assert (error.facts["changed"], error.facts["found"][0]["moved"], error.facts["total"]) == (True, 1000, 2500)
        assert made.rows("SELECT count(*), max(id) FROM children__orphans") == [(1000, 1000)]
        made.rows("DROP TRIGGER stop ON children")
        assert ask(KEY, action="quarantine")["found"][0]["moved"] == 1500
        assert made.rows("SELECT count(*), count(DISTINCT xmin::text), count(DISTINCT id) FROM children__orphans") == [
            (2500, 3, 2500)
        ]
        assert made.rows("SELECT count(*) FROM children") == [(0,)]

    def test_many_scans(self, ask: Ask, made: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_orphan_removal, "BATCHES_PER_SCAN", 2)
        assert ask(KEY, action="quarantine", batch=50)["found"][0]["moved"] == ORPHANS
        assert made.rows("SELECT count(DISTINCT xmin::text) FROM children__orphans") == [(6,)]

    def test_orphans_of_orphans(self, ask: Ask, database: Database, warned: list[str]) -> None:
        """A chain within one table, and one over three, given in the wrong order."""
        database.rows(
            "CREATE TABLE a (id integer PRIMARY KEY, up integer); INSERT INTO a SELECT n, n - 1 FROM generate_series(1, 4) n; INSERT INTO a VALUES (9, 9);"
            "CREATE TABLE b (id integer PRIMARY KEY, a integer); INSERT INTO b VALUES (1, 2), (2, 4), (3, 9), (4, 77), (5, NULL);"
            "CREATE TABLE c (b integer); INSERT INTO c VALUES (1), (3), (4), (5)"
        )
        keys = key("c", ["b"], "b"), key("b", ["a"], "a"), key("a", ["up"], "a")
        result = ask(*keys, action="quarantine")
        assert counts(result) == [0, 1, 1]
        assert [item["moved"] for item in result["found"]] == [2, 3, 4]
        assert database.rows("SELECT id FROM a UNION ALL SELECT id FROM b UNION ALL SELECT b FROM c") == [
            (9,),
            (3,),
            (5,),
            (3,),
            (5,),
        ]
        assert len(warned) == 3
        assert warned[0] == (
            "key c_b_fkey: 2 rows of public.c moved, 0 of them orphans at first: the others referred to rows that this run moved"
        )
        assert not ask(*keys, action="quarantine")["changed"]

    def test_rows_that_others_refer_to_stay(self, ask: Ask, made: Database) -> None:
        words = {
            "CASCADE": "would delete them",
            "SET NULL": "would empty their columns",
            "SET DEFAULT": "would change their columns",
        }
        before = everything(made)
        for on_delete in (*words, "RESTRICT", "NO ACTION"):
            made.rows(f"CREATE TABLE notes (child bigint CONSTRAINT theirs REFERENCES children ON DELETE {on_delete})")
            made.rows("INSERT INTO notes VALUES (1), (11), (11), (12), (NULL)")
            for check in (True, False):
                assert str(refusal(ask, KEY, action="quarantine", check=check)) == (
                    "3 rows of public.notes refer by key theirs to orphans of key children_parent_id_fkey in public.children, and it"
                    f" {words.get(on_delete, 'forbids to remove those')}: repair or remove the referring rows first, or drop that key"
                )
            assert made.rows("SELECT count(*), count(child) FROM notes") == [(5, 4)]
            made.rows("DROP TABLE notes")
        assert everything(made) == before
        made.rows(
            "CREATE TABLE notes (child bigint REFERENCES children ON DELETE CASCADE); INSERT INTO notes VALUES (1)"
        )
        assert ask(KEY, action="quarantine")["found"][0]["moved"] == ORPHANS
        assert made.rows("SELECT count(*) FROM notes") == [(1,)]

    def test_keys_on_a_single_partition_count_too(self, ask: Ask, database: Database) -> None:
        database.rows(
            "CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE c (id integer PRIMARY KEY, p_id integer) PARTITION BY RANGE (id);"
            "CREATE TABLE c1 PARTITION OF c FOR VALUES FROM (0) TO (9); INSERT INTO c VALUES (1, 1), (2, 2);"
            "CREATE TABLE leaf (c integer CONSTRAINT to_leaf REFERENCES c1 ON DELETE CASCADE); INSERT INTO leaf VALUES (2)"
        )
        message = "1 row of public.leaf refer by key to_leaf to orphans"
        assert message in str(refusal(ask, key("c", ["p_id"], "p"), action="quarantine"))
        database.rows(
            "ALTER TABLE leaf DROP CONSTRAINT to_leaf, ADD CONSTRAINT to_root FOREIGN KEY (c) REFERENCES c ON DELETE CASCADE"
        )
        for table in ("c", "c1"):
            assert "1 row of public.leaf refer by key to_root to orphans" in str(
                refusal(ask, key(table, ["p_id"], "p"), action="quarantine")
            )
        assert database.rows("SELECT count(*) FROM leaf") == [(1,)]

    def test_a_lost_connection(self, ask: Ask, made: Database) -> None:
        made.rows(
            "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN old; END';"
            "CREATE TRIGGER cut BEFORE DELETE ON children FOR EACH ROW WHEN (old.id > 600) EXECUTE FUNCTION cut()"
        )
        error = refusal(ask, KEY, action="quarantine", batch=50)
        assert "cannot be moved: the connection is lost (terminating connection" in str(error)
        assert "and the last batch may be done or not; 100 rows of public.children" in str(error)
        assert made.rows("SELECT count(*) FROM children__orphans") == [(100,)]

    def test_rows_that_become_orphans_and_are_referred_to(self, ask: Ask, made: Database) -> None:
        """Seen only when their batch comes; the message says what was moved before."""
        made.rows("CREATE TABLE notes (child bigint); INSERT INTO notes VALUES (11)")
        made.rows(
            "ALTER TABLE notes ADD id integer PRIMARY KEY DEFAULT 1; CREATE TABLE ends (note integer REFERENCES notes ON DELETE CASCADE)"
        )
        made.rows("INSERT INTO ends VALUES (1)")
        error = refusal(ask, KEY, key("notes", ["child"], "children"), action="quarantine")
        assert str(error) == (
            "1 row of public.ends refer by key ends_note_fkey to orphans of key notes_child_fkey in public.notes, and it would delete them:"
            " repair or remove the referring rows first, or drop that key; 300 rows of public.children (children_parent_id_fkey) moved before"
            " it stay moved, and the same again goes on with the rest"
        )
        assert made.rows("SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM ends)") == [(1, 1)]

    def test_rows_that_a_trigger_keeps(self, ask: Ask, made: Database) -> None:
        made.rows("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        made.rows(
            "CREATE TRIGGER keep BEFORE DELETE ON children FOR EACH ROW WHEN (old.id > 1200) EXECUTE FUNCTION keep()"
        )
        error = refusal(ask, KEY, action="quarantine")
        assert (
            "24 rows of public.children that break key children_parent_id_fkey stay when they are deleted: a BEFORE"
            in str(error)
        )
        assert error.facts["found"][0]["moved"] == ORPHANS - 24
        assert made.rows("SELECT count(*) FROM children__orphans") == [(ORPHANS - 24,)]

    def test_rows_that_find_a_parent_meanwhile_stay(
        self, ask: Ask, made: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = _orphans.batches

        def late(rows: Any, size: int) -> Iterator[str]:
            made.rows(
                "INSERT INTO parents VALUES (11) ON CONFLICT DO NOTHING; UPDATE children SET note = 'x' WHERE id = 12 AND note <> 'x'"
            )
            return plain(rows, size)

        monkeypatch.setattr(_orphans, "batches", late)
        assert ask(KEY, action="quarantine")["found"][0]["moved"] == 200
        assert made.rows("SELECT count(*) FROM children WHERE parent_id = 11") == [(100,)]
        assert made.rows("SELECT note FROM children__orphans WHERE id = 12") == [("x",)]

    def test_side_table_follows_the_table(self, ask: Ask, made: Database) -> None:
        orphan = "INSERT INTO children (id, parent_id) VALUES ({}, 99)"
        ask(KEY, action="quarantine")
        made.rows("ALTER TABLE children ADD since date NOT NULL DEFAULT '2020-02-02', DROP note;" + orphan.format(5001))
        assert ask(KEY, action="quarantine")["found"][0]["moved"] == 1
        assert made.rows(
            "SELECT since::text, note, count(*) FROM children__orphans GROUP BY 1, 2 ORDER BY 1 LIMIT 1"
        ) == [("2020-02-02", None, 1)]
        made.rows("ALTER TABLE children ALTER parent_id TYPE integer;" + orphan.format(5002))
        assert (
            'column "parent_id" integer of public.children is "parent_id" bigint in public.children__orphans: rename'
            in str(refusal(ask, KEY, action="quarantine"))
        )
        made.rows("DROP TABLE children__orphans; CREATE TABLE children__orphans (id bigint)")
        assert (
            "public.children__orphans is not a table for orphans, which has orphaned_at and orphan_reason: rename it"
            in str(refusal(ask, KEY, action="quarantine"))
        )
        made.rows("ALTER TABLE children ADD orphaned_at date")
        assert "public.children has a column orphaned_at of its own" in str(refusal(ask, KEY, action="quarantine"))

    def test_side_table_is_the_owners_alone(self, ask: Ask, made: Database, secret_role: dict[str, Any]) -> None:
        role = secret_role["login_user"]
        made.rows(
            f'ALTER TABLE children OWNER TO "{role}"; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC, pg_monitor'
        )
        ask(KEY, action="quarantine")
        assert made.rows(
            "SELECT DISTINCT relowner::regrole::text, grantee::regrole::text FROM pg_class, aclexplode(relacl) WHERE relname = 'children__orphans'"
        ) == [(role, role)]
        made.rows("ALTER TABLE children__orphans OWNER TO CURRENT_USER; INSERT INTO children VALUES (9002, 99)")
        assert f"and public.children to {role}: give both to one owner" in str(refusal(ask, KEY, action="quarantine"))
        made.rows(f'ALTER TABLE children__orphans OWNER TO "{role}"; GRANT SELECT ON parents TO "{role}"')
        # The owner itself does it, without any power.
        assert ask(KEY, action="quarantine", url=None, **secret_role)["found"][0]["moved"] == 1

    def test_long_name(self, ask: Ask, made: Database) -> None:
        made.rows(f"ALTER TABLE children RENAME TO {'c' * 62}é".replace("cé", "é"))
        result = ask({**KEY, "table": "c" * 61 + "é"}, action="quarantine")
        [[name]] = made.rows("SELECT relname FROM pg_class WHERE relname LIKE '%\\_\\_orphans'")
        assert result["found"][0]["side_table"] == f"public.{name}"
        assert len(name.encode()) == 63

    def test_read_only_session(self, ask: Ask, made: Database) -> None:
        made.rows(f'ALTER DATABASE "{made.name}" SET default_transaction_read_only = on')
        assert counts(ask(KEY)) == [ORPHANS]
        assert (
            "in a read-only transaction: default_transaction_read_only is on for this account or database; ask who set it;"
            in str(refusal(ask, KEY, action="quarantine"))
        )


class TestDelete:
    """Deleting rows."""

    def test_confirmed(self, ask: Ask, made: Database) -> None:
        before = everything(made)
        for confirm in (None, "children", made.name.upper()):
            for check in (True, False):
                error = refusal(ask, KEY, action="delete", confirm=confirm, check=check)
                assert f": rows of database {made.name} are deleted only with confirm: {made.name}" in str(error)
        check = ask(KEY, action="delete", confirm=made.name, check=True)
        assert (check["changed"], check["found"][0]["deleted"], everything(made)) == (True, ORPHANS, before)
        result = ask(KEY, action="delete", confirm=made.name)
        assert (result["found"][0]["deleted"], result["found"][0]["moved"]) == (ORPHANS, 0)
        assert made.rows("SELECT count(*), count(parent_id) FROM children") == [(1001, 1000)]
        assert made.rows("SELECT to_regclass('children__orphans')") == [(None,)]
        made.rows("ALTER TABLE children ADD FOREIGN KEY (parent_id) REFERENCES parents")
        assert not ask(KEY, action="delete", confirm=made.name)["changed"]


class TestModule:
    """As Ansible runs it."""

    def test_runs(self, made: Database, collections: Path) -> None:
        def run(check: bool = False, **options: Any) -> support.Ran:
            return support.run_module(collections, "foreign_key_orphans", {"url": made.url, **options}, check)

        assert run(keys=[KEY]).result["total"] == ORPHANS
        assert run(keys=[KEY], action="quarantine", check=True).result["changed"]
        done = run(keys=[KEY], action="quarantine")
        assert (done.result["changed"], "deprecations" in done.result) == (True, False)
        assert "mutually exclusive: keys|schemas" in run(keys=[KEY], schemas=["public"]).msg
        assert "missing required arguments: columns" in run(keys=[{"table": "x", "references": "y"}]).msg
        lost = run(keys=[{**KEY, "table": "nowhere"}])
        assert lost.failed
        assert "there is no table public.nowhere" in lost.msg


class TestPixcrawler:
    """Revision 001, which refuses to run over orphans."""

    KEYS = (
        key("projects", ["user_id"], "profiles"),
        key("crawl_jobs", ["project_id"], "projects"),
        key("images", ["crawl_job_id"], "crawl_jobs"),
        key("activity_logs", ["user_id"], "profiles"),
    )

    def test_quarantine_lets_it_run(self, ask: Ask, database: Database) -> None:
        upgrade("pixcrawler", database, "000")
        load("pixcrawler", database, 1000, orphans=3)
        database.rows("DELETE FROM profiles WHERE id = (SELECT user_id FROM projects WHERE id = 1)")
        tables = ("projects", "crawl_jobs", "images", "activity_logs")
        rows = {table: database.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables}
        assert "there is no table public.export_jobs" in str(
            refusal(ask, *self.KEYS, key("export_jobs", ["user_id"], "profiles"))
        )
        with pytest.raises(Exception, match=r"images\.crawl_job_id: 3, projects\.user_id: "):
            command.upgrade(config_of("pixcrawler", database), "001")
        result = ask(*self.KEYS, action="quarantine")
        projects, jobs, images, logs = result["found"]
        assert (projects["orphans"], jobs["orphans"], images["orphans"]) == (3, 0, 3)
        assert (projects["moved"], jobs["moved"], images["moved"], logs["moved"]) == (3, 12, 603, logs["orphans"])
        assert images["sample"][0] == {"id": "1001", "crawl_job_id": "2000000000"}
        for table in tables:
            columns = ", ".join(name for (name,) in database.rows(
                f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
            ))  # fmt: skip
            now = f"SELECT {columns} FROM {table} UNION ALL SELECT {columns} FROM {table}__orphans"
            assert database.rows(f"SELECT t::text FROM ({now}) t ORDER BY 1") == rows[table]
        upgrade("pixcrawler", database, "001")
        assert database.rows("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated") == [(7,)]
