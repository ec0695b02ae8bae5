"""What alembic_validate says of revision files and statements, as tables."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _lint,
    _revision_files,
    _run_validate,
    _snapshot,
    _staircase,
    _validate,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import ABSENT, EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._lint import Hit, Script, Size, Sizes
from ansible_collections.pgsteward.postgres.plugins.module_utils._revision_files import File, Finding, Revision, Source
from ansible_collections.pgsteward.postgres.plugins.module_utils._staircase import Climb, Difference, Failure

HEAD = "from alembic import op\nimport sqlalchemy as sa\nfrom sqlalchemy.dialects import postgresql\n"


def source(up: str, back: str = "op.drop_table('t')", head: str = "") -> Source:
    """Return the source of a revision with these functions."""
    bodies = [
        f"def {name}():\n{textwrap.indent(body, '    ')}\n" for name, body in (("upgrade", up), ("downgrade", back))
    ]
    parsed = Source.parse(HEAD + head + "\n" + "".join(bodies))
    assert parsed
    return parsed


def revision(name: str, up: str, back: str = "op.drop_table('t')", head: str = "") -> Revision:
    """Return a revision with these functions."""
    return Revision(File(f"{name}.py", name), source(up, back, head))


def checks(findings: Any) -> list[tuple[str, str, str | None]]:
    """Return check, severity and revision of findings, sorted."""
    return sorted((item.check, item.severity, item.revision) for item in findings)


# The graph

GRAPHS: list[tuple[str, list[File], list[str]]] = [
    ("none", [], []),
    ("a line", [File("a.py", "a"), File("b.py", "b", ("a",))], []),
    ("two heads", [File("a.py", "a"), File("b.py", "b", ("a",)), File("c.py", "c", ("a",))], ["several_heads"]),
    ("two trees", [File("a.py", "a"), File("b.py", "b")], ["several_heads"]),
    ("a merge", [File("a.py", "a"), File("b.py", "b"), File("c.py", "c", ("a", "b"))], []),
    ("twice", [File("a.py", "a"), File("a2.py", "a")], ["duplicate_id"]),
    ("a gap", [File("b.py", "b", ("a",))], ["missing_down_revision"]),
    ("needs nothing there is", [File("a.py", "a", (), ("z",))], ["missing_down_revision"]),
    ("needs a label", [File("a.py", "a", labels=("x",)), File("b.py", "b", ("a",), ("x",))], []),
    ("needs a beginning", [File("abc.py", "abc"), File("b.py", "b", ("abc",), ("ab",))], []),
    ("broken, id known", [File("a.py", "a", error="no"), File("b.py", "b", ("a",))], ["unimportable"]),
    ("long", [File("a.py", "a" * 33)], ["long_id"]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), [row[1:] for row in GRAPHS], ids=[row[0] for row in GRAPHS])
def test_graph(files: list[File], expected: list[str]) -> None:
    assert [item.check for item in _revision_files.graph_findings(files, "", 32)] == expected


def test_what_alembic_says_counts_where_nothing_else_is_found() -> None:
    files = [File("a.py", "a", ("a",))]
    assert [item.check for item in _revision_files.graph_findings(files, "a loop", 32)] == ["broken_graph"]
    assert [item.check for item in _revision_files.graph_findings([File("a.py", "a", ("z",))], "KeyError", 32)] == [
        "missing_down_revision"
    ]


def test_a_wide_or_unlimited_version_table_takes_long_ids() -> None:
    files = [File("a.py", "a" * 40)]
    assert [_revision_files.graph_findings(files, "", length) != [] for length in (39, 40, None)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("revision = 'b'\ndown_revision = 'a'\n", ("b", ("a",))),
        ('revision: str = "b"\ndown_revision: Union[str, None] = None  # "a"\n', ("b", ())),
        ("revision = 'm'\ndown_revision = (\n    'a',\n    'b',\n)\ndef upgrade(:", ("m", ("a", "b"))),
        ("nothing of it", (None, ())),
    ],
)
def test_ids_of_a_text_that_is_no_python(text: str, expected: tuple[str | None, tuple[str, ...]]) -> None:
    assert _revision_files.guessed_ids(text) == expected


# What the functions do


@pytest.mark.parametrize(
    ("body", "empty", "refusing"),
    [
        ("pass", True, False),
        ('"""Nothing."""', True, False),
        ('"""Nothing."""\n...\nreturn None', True, False),
        ("op.drop_table('t')", False, False),
        ("raise NotImplementedError('no')", False, True),
        ('"""Why."""\nraise RuntimeError', False, True),
        ("if True:\n    raise ValueError", False, False),
    ],
)
def test_ways_back(body: str, empty: bool, refusing: bool) -> None:
    item = revision("r", "op.create_table('t')", body)
    assert (item.empty, item.refusing) == (empty, refusing)


def test_a_merge_needs_no_way_back() -> None:
    assert not revision("m", "pass", "pass").empty


INSIDE = 'op.create_index("i", "t", ["c"], postgresql_concurrently=True)'
BLOCK = f"with op.get_context().autocommit_block():\n    {INSIDE}"
CONCURRENTLY = [
    ("create_index", INSIDE, 1),
    ("not wanted", INSIDE.replace("True", "False"), 0),
    ("drop_index", 'op.drop_index("i", postgresql_concurrently=True)', 1),
    ("a block", BLOCK, 0),
    ("a block, then not", f"{BLOCK}\n{INSIDE}", 1),
    ("a block around a loop", f'with op.get_context().autocommit_block():\n    for name in "ab":\n        {INSIDE}', 0),
    ("text", 'op.execute("create unique index concurrently i on t (c)")', 1),
    ("f-string", 'op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")', 1),
    ("sa.text", 'op.execute(sa.text("REINDEX TABLE CONCURRENTLY t"))', 1),
    ("a named text", 'sql = "CREATE INDEX CONCURRENTLY i ON t (c)"\nop.get_bind().execute(sql)', 1),
    ("a refresh may be", 'op.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY m")', 0),
    ("a comment in SQL", 'op.execute("SELECT 1 -- CREATE INDEX CONCURRENTLY")', 0),
    ("a text that is not run", 'note = "CREATE INDEX CONCURRENTLY i ON t (c)"', 0),
    ("after its own COMMIT", f'op.execute("COMMIT")\n{INSIDE}', 0),
    ("after a COMMIT and a BEGIN", f'op.execute("COMMIT")\nop.execute("BEGIN")\n{INSIDE}', 1),
    ("a helper, outside", "build()", 1),
    ("a helper, in a block", "with op.get_context().autocommit_block():\n    build()", 0),
    ("a helper of its own", f"def inner():\n    {INSIDE}\ninner()", 1),
    ("a helper that nobody calls", f"def inner():\n    {INSIDE}", 0),
]  # fmt: skip


@pytest.mark.parametrize(("body", "count"), [row[1:] for row in CONCURRENTLY], ids=[row[0] for row in CONCURRENTLY])
def test_concurrently(body: str, count: int) -> None:
    head = f"def build():\n    {INSIDE}\n    build()\n"
    found = [
        item for item in _revision_files.file_findings(revision("r", body, head=head)) if "concurrently" in item.check
    ]
    assert len(found) == count
    assert all(item.severity == "error" and item.message.startswith("upgrade() of r") for item in found)


TABLE = 'op.create_table("t", sa.Column("m", sa.Enum("x", name="mood")))'
CHECKED = 'postgresql.ENUM("x", name="mood").create(op.get_bind())'
ENUMS = [
    ("two tables", TABLE, TABLE, "error"),
    ("not created", TABLE, TABLE.replace('sa.Enum("x", name="mood")', 'postgresql.ENUM(name="mood", create_type=False)'), None),
    ("no type of its own", TABLE, TABLE.replace('name="mood"', 'name="mood", native_enum=False'), None),
    ("another", TABLE, TABLE.replace("mood", "other"), None),
    ("SQL", 'op.execute("CREATE TYPE public.mood AS ENUM ()")', 'op.execute("CREATE TYPE mood AS ENUM ()")', "error"),
    ("SQL that looks first", TABLE, 'op.execute("DO $$ BEGIN CREATE TYPE mood AS ENUM (); END $$")', None),
    ("ENUM.create looks first", TABLE, CHECKED, None),
    ("ENUM.create does not", TABLE, CHECKED.replace("()", "(), checkfirst=False"), "error"),
    ("Enum.create does not", TABLE, 'sa.Enum("x", name="mood").create(op.get_bind())', "error"),
    ("looked first before", CHECKED, TABLE, "warning"),
    ("under a condition", TABLE, f"if missing():\n    {TABLE}", None),
    ("dropped first", TABLE, f'op.execute("DROP TYPE IF EXISTS mood CASCADE")\n{TABLE}', None),
    ("renamed first", TABLE, f'op.execute("ALTER TYPE mood RENAME TO mood_old")\n{TABLE}', None),
    ("dropped by an object", TABLE, f'sa.Enum(name="mood").drop(op.get_bind())\n{TABLE}', None),
    ("dropped by who knows what", TABLE, f'op.execute(f"DROP TYPE {{name}}")\n{TABLE}', None),
    ("a variable", "mood.create(op.get_bind(), checkfirst=False)", 'op.create_table("t", sa.Column("m", mood))', "error"),
    ("a class", TABLE, 'op.create_table("t", sa.Column("m", sa.Enum(Mood)))', "error"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "expected"), [row[1:] for row in ENUMS], ids=[row[0] for row in ENUMS])
def test_enums_created_twice(first: str, second: str, expected: str | None) -> None:
    head = 'mood = postgresql.ENUM("x", name="mood")\n'
    found = list(_revision_files.created_twice([revision("a", first, head=head), revision("b", second, head=head)]))
    assert checks(found) == ([("enum_created_twice", expected, "b")] if expected else [])


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        ("op.drop_table('t')", ["mood"]),
        ("op.drop_table('t')\nop.execute('DROP TYPE mood')", []),
        ("op.execute('DROP TYPE IF EXISTS other, public.\"mood\"')", []),
        ("op.drop_table('t')\nsa.Enum(name='mood').drop(op.get_bind(), checkfirst=False)", []),
        ("for name in names:\n    op.execute(f'DROP TYPE {name}')", []),
        ("op.execute('DROP TYPE {}'.format(name))", ["mood"]),
    ],
)
def test_enums_left_behind(back: str, expected: list[str]) -> None:
    assert _revision_files.left_behind(source(TABLE, back)) == expected


def test_the_staircase_settles_what_was_only_read() -> None:
    found = [
        Finding("concurrently_in_transaction", "error", "upgrade() of a …", "", "a"),
        Finding("concurrently_in_transaction", "error", "downgrade() of a …", "", "a"),
        Finding("enum_created_twice", "error", "…", "", "b"),
        Finding("enum_left_behind", "warning", "…", "", "c"),
        Finding("empty_downgrade", "warning", "…", "", "d"),
    ]
    climbed = {"a": {"up"}, "b": {"up", "down"}, "c": {"up", "down"}, "d": {"up", "down", "again"}}
    assert _revision_files.settled(found, climbed) == [found[1], found[4]]
    assert _revision_files.settled(found, {}) == found


def test_a_text_that_is_no_python_has_no_source() -> None:
    assert Source.parse("def upgrade(:") is None
    assert list(_revision_files.file_findings(Revision(File("a.py", "a"), None))) == []


@pytest.mark.parametrize(
    ("value", "names"), [(None, []), ("a", ["a"]), (("a", "b"), ["a", "b"]), ([], []), ({"a"}, ["a"])]
)
def test_names_of(value: Any, names: list[str]) -> None:
    assert _run_validate.names_of(value) == names


# The staircase

LEFT = Drift("enum public.mood", EXISTENCE, ABSENT, PRESENT)
TYPE = Drift("column public.t.c", "type", "integer", "bigint")


def test_what_a_climb_comes_to() -> None:
    climbs = [
        Climb("a", {"up": 0.1, "down": 0.1, "again": 0.1}),
        Climb(
            "b", {"up": 0.1, "down": 0.1}, (Difference("down", LEFT), Difference("down", TYPE)), Failure("again", "no")
        ),
        Climb("c", {"up": 0.1, "down": 0.1, "again": 0.1}, (Difference("again", LEFT),)),
    ]
    revisions = {name: revision(name, "pass") for name in "abc"}
    found = list(_staircase.findings_of(climbs, revisions))
    assert checks(found) == [
        ("enum_left_behind", "error", "b"),
        ("staircase_again", "error", "c"),
        ("staircase_down", "error", "b"),
        ("staircase_failed", "error", "b"),
    ]
    messages = {item.check: item.message for item in found}
    assert messages["staircase_down"] == (
        "the schema differs after its downgrade at b: column public.t.c (type: 'integer' is now 'bigint')"
    )
    assert messages["staircase_again"].endswith("at c: enum public.mood is left")
    assert climbs[1].as_return()["again"] is None


@pytest.mark.parametrize(
    ("schema", "kept"),
    [(None, ["public.t"]), ("public", ["other.alembic_version", "public.t"]), ("else", None)],
)
def test_the_version_table_is_no_part_of_the_schema(schema: str | None, kept: list[str] | None) -> None:
    tables: dict[str, dict[str, Any]] = {"public.t": {}, "public.alembic_version": {}, "other.alembic_version": {}}
    left = _snapshot.without_table({"table": tables, "view": {}}, "alembic_version", schema)
    assert sorted(left["table"]) == (kept or sorted(tables))
    assert _snapshot.without_table({"table": {"x.v": {}}}, "v") == {}


# The statements


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("ALTER TABLE orders ADD COLUMN x int", (None, "orders")),
        ('ALTER TABLE ONLY "Side"."Odd ""one" DROP COLUMN x', ("Side", 'Odd "one')),
        ("alter table if exists Side.Orders rename to o", ("side", "orders")),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON side.t (on_time)", ("side", "t")),
        ("CREATE INDEX ON t (x)", (None, "t")),
        ("DROP INDEX CONCURRENTLY IF EXISTS side.i", ("side", "i")),
        ("REINDEX TABLE t", (None, "t")),
        ("DROP TABLE t CASCADE", (None, "t")),
        ("TRUNCATE t", (None, "t")),
        ("-- why\n/* and how */ UPDATE t SET x = 1", (None, "t")),
        ("DELETE FROM ONLY t", (None, "t")),
        ("CREATE TYPE mood AS ENUM ()", None),
        ("SELECT 1", None),
    ],
)
def test_table_of(statement: str, name: _lint.Name | None) -> None:
    assert _lint.table_of(statement) == name


def test_script_and_its_lines() -> None:
    script = Script(
        "a\nb", ("CREATE TABLE t (\n  id int\n);", "-- and 3 more statements", "COMMIT", "SELECT %(x)s -- odd", "BEGIN")
    )
    text, places = script.without(frozenset())
    assert text.splitlines() == [
        "-- revision a b", "BEGIN;", "CREATE TABLE t (", "  id int", ");", "COMMIT;", "SELECT NULL -- odd", ";", "BEGIN;", "COMMIT;",
    ]  # fmt: skip
    assert places == [(2, 4, 0), (5, 5, 2), (6, 7, 3), (8, 8, 4)]
    assert [_lint.statement_at(places, line) for line in (1, 2, 4, 7, 9)] == [None, 0, 0, 3, None]
    assert "CREATE TABLE" not in script.without(frozenset({0}))[0]


BIG, SMALL = Size("public.big", 20_000, 900_000), Size("public.small", 10_000, 900_000)
WEIGHTS = [
    ("require-concurrent-index-creation", "CREATE INDEX i ON big (x)", "error"),
    ("require-concurrent-index-creation", "CREATE INDEX i ON small (x)", "warning"),
    ("require-concurrent-index-creation", "CREATE INDEX i ON empty (x)", "note"),
    ("require-concurrent-index-creation", "CREATE INDEX i ON made (x)", "note"),
    ("require-concurrent-index-creation", "CREATE INDEX i ON heavy (x)", "error"),
    ("require-concurrent-index-creation", "CREATE INDEX i ON uncounted (x)", "warning"),
    ("require-concurrent-index-creation", "CREATE INDEX i ON nowhere (x)", "note"),
    ("require-concurrent-index-creation", "CREATE INDEX i ON side.big (x)", "note"),
    ("require-concurrent-index-creation", "CREATE INDEX i ON renamed (x)", "error"),
    ("require-concurrent-index-deletion", "DROP INDEX big_x", "error"),
    ("ban-drop-column", "ALTER TABLE big DROP COLUMN x", "warning"),
    ("ban-drop-column", "ALTER TABLE made DROP COLUMN x", "note"),
    ("ban-drop-type", "DROP TYPE mood", "warning"),
    ("ban-drop-type", "DROP TYPE fresh_old", "note"),
    ("ban-something-new", "ALTER TABLE big DO SOMETHING", "warning"),
    ("prefer-text-field", "ALTER TABLE big ADD COLUMN x varchar(9)", "note"),
    ("syntax-error", "ALTER TABLE big DO SOMETHING", "note"),
    ("ban-concurrent-index-creation-in-transaction", "CREATE INDEX CONCURRENTLY i ON empty (x)", "error"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "statement", "severity"), WEIGHTS, ids=[f"{row[0]}: {row[1]}" for row in WEIGHTS])
def test_weights(rule: str, statement: str, severity: str) -> None:
    before = (
        "CREATE TABLE made (x int)",
        "CREATE TYPE fresh AS ENUM ()",
        "ALTER TYPE fresh RENAME TO fresh_old",
        "ALTER TABLE big RENAME TO renamed",
    )
    scripts = [Script("a", before), Script("b", (statement,))]
    tables = {
        ("public", "big"): BIG, ("public", "big_x"): BIG, ("public", "small"): SMALL, ("public", "empty"): Size("public.empty", 0, 8192),
        ("public", "heavy"): Size("public.heavy", 10, 8 * 1024 * 1024), ("public", "uncounted"): Size("public.uncounted", None, 8192),
    }  # fmt: skip
    revisions = {"b": revision("b", "pass")}
    [found] = _lint.weighed([Hit(1, 0, rule, "Said.", "Do.")], scripts, Sizes(tables, ("app", "public")), revisions)
    assert (found.severity, found.check, found.revision, found.path, found.statement) == (
        severity,
        rule,
        "b",
        "b.py",
        statement,
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (BIG, "public.big has about 20,000 rows, 879 kB"),
        (Size("s.t", None, 3 * 1024 * 1024), "s.t has an unknown number of rows, 3 MB"),
        (Size("s.t", 0, 8192), "s.t has no rows"),
    ],
)
def test_sizes_as_text(size: Size, text: str) -> None:
    assert str(size) == text


# The judgement

FOUND = [
    Finding("no_way_back", "note", "n", "r", "a"),
    Finding("ban-drop-column", "warning", "w", "r", "b"),
    Finding("several_heads", "error", "e", "r"),
]


def ignore(check: str, revision: str = "*") -> _validate.Ignored:
    """Return an entry of ignore."""
    return _validate.Ignored(check, revision, "so be it")


@pytest.mark.parametrize(
    ("entries", "standing", "fails_on", "notes"),
    [
        ([], ["several_heads", "ban-drop-column", "no_way_back"], ["error", "warning"], 0),
        ([ignore("several_heads")], ["ban-drop-column", "no_way_back"], ["warning"], 0),
        ([ignore("ban-*", "b"), ignore("*heads")], ["no_way_back"], [], 0),
        ([ignore("ban-*", "c")], ["several_heads", "ban-drop-column", "no_way_back"], ["error", "warning"], 1),
        ([ignore("*")], [], [], 0),
    ],
)
def test_judgement(entries: list[_validate.Ignored], standing: list[str], fails_on: list[str], notes: int) -> None:
    judged = _validate.judge(FOUND, entries)
    assert [item.check for item in judged.standing] == standing
    assert [word for word in ("error", "warning", "never") if judged.at_least(word)] == fails_on
    assert len(judged.notes) == notes
    assert len(judged.ignored) == len(FOUND) - len(standing)


def test_an_entry_without_a_reason_is_refused() -> None:
    with pytest.raises(StewardError, match=r"ignore\[0\]\.reason is empty: say why several_heads may be"):
        _validate.ignored_of([{"check": "several_heads", "revision": "*", "reason": " "}])


def test_summary() -> None:
    assert _validate.summary("/p [alembic]", [*FOUND[::-1], FOUND[1]]) == (
        "1 error, 2 warnings, 1 note in the revisions of /p [alembic]: several_heads: e; ban-drop-column: w; no_way_back: n; and 1 more"
    )
