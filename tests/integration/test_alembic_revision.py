"""alembic_revision: what it writes, when it writes nothing, and what it refuses. Real server, real alembic."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
import symptoms
import trees
from support import Database, Ran

Revise = Callable[..., Ran]

MODELS = """\
import sqlalchemy as sa

metadata = sa.MetaData()
users = sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("email", sa.String(80)))
"""
PLANS = 'sa.Table("plans", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, index=True))\n'
ENV = trees.sync_env(before="from models import metadata\n", configure=", target_metadata=metadata")
INI = trees.INI.replace("[alembic]\n", "[alembic]\nprepend_sys_path = .\nfile_template = %%(rev)s_%%(slug)s\n")
TEMPLATE = '''\
"""${message}

Revision ID: ${up_revision}
Create Date: ${create_date}
"""
from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''
FIRST = trees.revision(
    "first",
    None,
    'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("email", sa.String(80)))',
)


def write_project(
    root: Path,
    models: str = MODELS,
    env: str = ENV,
    revisions: dict[str, str] | None = None,
    template: str = TEMPLATE,
    ini: str = INI,
) -> Path:
    """Write a project with models; its history makes their first table unless revisions says otherwise."""
    trees.write_tree(root, {"first": FIRST} if revisions is None else revisions, env, ini)
    (root / "models.py").write_text(models)
    if template:
        (root / "migrations" / "script.py.mako").write_text(template)
    return root


@pytest.fixture(scope="module")
def modest() -> Iterator[str]:
    """URL of a login that may create databases, and nothing more."""
    role, password = f"pgsteward_test_{os.getpid()}_revision", secrets.token_hex(12)
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{password}'")
        yield f"postgresql://{role}:{password}@{connection.info.host}:{connection.info.port}/"
        connection.execute(f"DROP ROLE {role}")


@pytest.fixture
def scratch(modest: str, database: Database) -> dict[str, Any]:
    """Options for a scratch database."""
    return {"scratch": "database", "scratch_url": modest + database.name}


@pytest.fixture
def revise(database: Database, scratch: dict[str, Any], collections: Path, tmp_path: Path) -> Revise:
    """Run the module on the project in tmp_path and the test's database; options override."""

    def run(check: bool = False, **options: Any) -> Ran:
        arguments = {"project": str(tmp_path), "url": database.url, "message": "add plans", **scratch, **options}
        return support.run_module(collections, "alembic_revision", arguments, check)

    return run


def files(root: Path) -> set[str]:
    """Return every file and directory of a project."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def alembic(root: Path, database: Database, *arguments: str) -> str:
    """Run the alembic command line on the project, as its people do; return what it prints."""
    environment = {"PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    ini = (root / "alembic.ini").read_text()
    url = database.url.replace("://", "+psycopg://")
    (root / "there.ini").write_text(ini.replace("postgresql://nobody@nowhere.invalid/nothing", url))
    command = [sys.executable, "-m", "alembic", "-c", "there.ini", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout


def test_autogenerate(database: Database, revise: Revise, tmp_path: Path) -> None:
    """Check mode shows the file, the run writes it, the second run writes nothing; alembic itself agrees."""
    write_project(tmp_path, MODELS + PLANS)
    before = files(tmp_path)
    shown = revise(check=True, id="second")
    assert (shown.result["changed"], files(tmp_path), database.relations()) == (True, before, []), shown.text
    ran = revise(id="second")
    new = "migrations/versions/second_add_plans.py"
    assert files(tmp_path) - before == {new}, ran.text
    assert {key: ran.result[key] for key in ("changed", "revision", "down_revision", "path")} == {
        "changed": True,
        "revision": "second",
        "down_revision": ["first"],
        "path": new,
    }
    assert ran.result["operations"] == ["create table plans", "create index ix_plans_name on plans"]
    assert ran.result["detected"] == [
        "Detected added table 'plans'",
        "Detected added index 'ix_plans_name' on '('name',)'",
    ]
    content = (tmp_path / new).read_text()
    assert ran.result["content"] == content == ran.result["diff"]["after"]

    def undated(text: str) -> list[str]:
        return [line for line in text.splitlines() if "Create Date" not in line]

    assert undated(shown.result["content"]) == undated(content)
    assert shown.result["path"] == new
    assert database.relations() == []
    again = revise(id="second")
    assert (again.result["changed"], again.result["msg"]) == (
        False,
        "nothing to write: the models describe what is there already",
    ), again.text
    assert f"`{again.result['msg']}`" in symptoms.read()["Autogenerate sees nothing"].text
    assert files(tmp_path) - before == {new}
    alembic(tmp_path, database, "upgrade", "head")
    assert "No new upgrade operations" in alembic(tmp_path, database, "check")
    assert database.rows("SELECT version_num FROM alembic_version") == [("second",)]


def test_drift_of_the_database_stays_out(database: Database, revise: Revise, tmp_path: Path) -> None:
    """compare_with scratch does not see what somebody did by hand; database does, and warns of what it would drop."""
    write_project(tmp_path)
    alembic(tmp_path, database, "upgrade", "head")
    database.rows("CREATE TABLE by_hand (id int); ALTER TABLE users ADD by_hand int")
    database.rows("CREATE SCHEMA pgsteward; CREATE TABLE pgsteward.journal (id int)")
    assert not revise(check=True).result["changed"]
    seen = revise(check=True, compare_with="database")
    assert seen.result["operations"] == ["drop table by_hand", "drop column users.by_hand"], seen.text
    for name in ("table by_hand", "column users.by_hand"):
        assert f"the revision drops {name} with all that is in it: is that meant?" in str(seen.result["warnings"])


def test_our_tables_and_those_of_extensions(database: Database, revise: Revise, tmp_path: Path) -> None:
    """They are in no revision, though env.py compares all schemas; env.py's own include_object goes on to be asked."""
    included = 'def included(item, name, kind, reflected, other):\n    return name != "theirs"\n'
    env = trees.sync_env(
        before="from models import metadata\n" + included,
        configure=", target_metadata=metadata, include_schemas=True, include_object=included",
    )
    write_project(tmp_path, env=env)
    alembic(tmp_path, database, "upgrade", "head")
    database.rows("CREATE SCHEMA pgsteward; CREATE TABLE pgsteward.journal (id int); CREATE TABLE theirs (id int)")
    # A table becomes an extension's as those of PostGIS are.
    database.rows("CREATE EXTENSION pg_trgm; CREATE TABLE spatial (id int); ALTER EXTENSION pg_trgm ADD TABLE spatial")
    seen = revise(check=True, compare_with="database")
    assert (seen.failed, seen.result.get("operations")) == (False, []), seen.text


def test_empty_revision(database: Database, revise: Revise, tmp_path: Path) -> None:
    """The same message on the same head makes one file, however often it runs; another message makes another."""
    write_project(tmp_path)
    options = {"autogenerate": False, "message": "fill the plans"}
    before = files(tmp_path)
    assert revise(check=True, **options).result["changed"]
    assert files(tmp_path) == before
    first = revise(**options)
    assert first.result["changed"], first.text
    assert first.result["msg"].endswith("_fill_the_plans.py: empty")
    new = first.result["revision"]
    for again in (options, {**options, "head": "first"}, {**options, "head": new}):
        ran = revise(**again)
        assert (ran.result["changed"], ran.result["revision"]) == (False, new), ran.text
    other = revise(**{**options, "message": "and then more"})
    assert (other.result["changed"], other.result["down_revision"]) == (True, [new]), other.text
    path = tmp_path / other.result["path"]
    path.write_text(path.read_text().replace("pass", "op.execute('SELECT 1')", 1))
    assert revise(**{**options, "message": "and then more"}).result["changed"]
    assert alembic(tmp_path, database, "heads").count("(head)") == 1
    assert database.relations() == []


def test_branches(revise: Revise, tmp_path: Path) -> None:
    """Several heads want one of them named; labels and dependencies reach the file."""
    write_project(tmp_path, revisions=trees.BRANCHES)
    options: dict[str, Any] = {"autogenerate": False, "message": "grow"}
    assert "the project has 2 heads (left1, right2): name one of them by head" in revise(**options).msg
    assert "revision 'base0' is no head, but left1, right2 is" in revise(**options, head="base0").msg
    ran = revise(**options, head="left@head", depends_on=["right2"], id="left2")
    assert (ran.result["revision"], ran.result["down_revision"]) == ("left2", ["left1"]), ran.text
    assert "depends_on = 'right2'" in ran.result["content"]
    ran = revise(**options, head="base", branch_label="apart", id="apart1")
    assert (ran.result["down_revision"], "branch_labels = ('apart',)" in ran.result["content"]) == ([], True), ran.text
    assert not revise(**options, head="base", branch_label="apart").result["changed"]
    taken = revise(**{**options, "message": "x"}, head="apart1", branch_label="left")
    assert "branch_label 'left' is taken by revision left1" in taken.msg


EMPTY = {"autogenerate": False}
LIVE = {"compare_with": "database"}  # where nothing hangs on a scratch database, and no history on a database
TAG = """\
class Tag(sa.types.UserDefinedType):
    __module__ = "app.types"
    def get_col_spec(self, **_):
        return "text"
sa.Table("plans", metadata, sa.Column("tag", Tag()))
"""
TWICE = trees.sync_env(
    before="from models import metadata\n",
    configure=", target_metadata=metadata",
    run="context.run_migrations()\ncontext.run_migrations()",
)
FAILS = ENV + "\nif context.config.cmd_opts.cmd[0].__name__ == 'revision': 1 / 0\n"
SAME_NAME = INI.replace("%%(rev)s_%%(slug)s", "first")
HISTORY = {"first": trees.revision("first", None, 'op.execute("SELECT * FROM nowhere")')}
# Project, options, error.
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no models imported": (
        {"models": "import sqlalchemy\nmetadata = sqlalchemy.MetaData()\n", "revisions": {}},
        LIVE,
        "target_metadata has no tables: the modules that define the models are not imported by env.py",
    ),
    "no metadata": ({"env": trees.SYNC, "revisions": {}}, LIVE, "env.py gives no target_metadata"),
    "behind": ({}, LIVE, "is at no revision, and the project at first: run alembic_upgrade first"),
    "long id": ({}, {"id": "x" * 33}, "has 33 characters, and the version table holds 32: give a shorter one"),
    "odd id": ({}, {"id": "../x"}, "id '../x' cannot be one"),
    "known id": (
        {},
        {**EMPTY, "id": "first"},
        "revision 'first' exists already, in migrations/versions/first.py: give another id",
    ),
    "empty message": ({}, {"message": " "}, "message must be one line of text"),
    "quotes": ({}, {"message": 'say """'}, "leave them out"),
    "unknown head": ({}, {**EMPTY, "head": "nowhere"}, "the project has no revision 'nowhere'; its heads are first"),
    "unknown dependency": ({}, {**EMPTY, "depends_on": ["nowhere"]}, "the project has no revision 'nowhere'"),
    "no template": ({"template": ""}, EMPTY, "there is no migrations/script.py.mako: take the one that `alembic init`"),
    "template without revision": ({"template": "x = 1\n"}, EMPTY, "would have no revision: look at script.py.mako"),
    "broken template": ({"template": TEMPLATE + "${nothing.x}"}, EMPTY, "the revision cannot be made: AttributeError"),
    "template that is no Python": ({"template": TEMPLATE + "def\n"}, EMPTY, "would be no Python"),
    "type without import": (
        {"models": MODELS + TAG, "revisions": {}},
        LIVE,
        "would name app without importing it: add the import to script.py.mako",
    ),
    "a history that fails": (
        {"revisions": HISTORY},
        {},
        "the history cannot be replayed on a scratch database: revision first (make first) failed",
    ),
    "several runs": ({"env": TWICE, "revisions": {}}, LIVE, "env.py runs the migrations several times"),
    "a file of that name": ({"ini": SAME_NAME}, EMPTY, "first.py exists already: give another message or id"),
    "env.py that fails afterwards": ({"env": FAILS}, EMPTY, "ZeroDivisionError"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, database: Database, revise: Revise, tmp_path: Path) -> None:
    """One line that names the value and the remedy, and no file."""
    project, options, message = REFUSED[case]
    write_project(tmp_path, **{"models": MODELS + PLANS, **project})
    before = files(tmp_path)
    refused = revise(**options)
    assert message in refused.msg, refused.text
    if case in ("no models imported", "no metadata"):
        assert f"`{message}`" in symptoms.read()["Autogenerate sees nothing"].text
    assert (files(tmp_path), "\n" in refused.msg, database.relations()) == (before, False, [])


def test_no_secret_in_the_file(
    secret_role: dict[str, Any], scratch: dict[str, Any], collections: Path, tmp_path: Path
) -> None:
    """Whichever way a password comes into it; words that only contain a short one do not count."""
    template = TEMPLATE.replace("${imports", '# ${config.get_main_option("sqlalchemy.url")}\n${imports')
    write_project(tmp_path, MODELS + PLANS, template=template)
    before = files(tmp_path)
    options = {"project": str(tmp_path), "message": "add plans", **scratch, **secret_role}
    for extra in ({}, {"autogenerate": False}):
        refused = support.run_module(collections, "alembic_revision", {**options, **extra})
        assert "would hold a password or another secret, so it is not written" in refused.msg, refused.text
        assert files(tmp_path) == before
        assert support.PASSWORD not in refused.text
    (tmp_path / "migrations" / "script.py.mako").write_text(TEMPLATE)
    environment = {"APP_PASSWORD": "lumn"}  # in "Column"
    ran = support.run_module(collections, "alembic_revision", {**options, "environment": environment}, check=True)
    assert ran.result["changed"], ran.text


HOOKS = """
def directives(context, revision, found):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("found[0].message = 'their words'", (True, "their words", "")),
        ("if context.config.cmd_opts.autogenerate: found[:] = []", (False, None, "left nothing to write")),
        ("found.append(found[0])", (None, None, "makes 2 revisions of one")),
    ],
)
def test_directives(body: str, expected: tuple[Any, ...], revise: Revise, tmp_path: Path) -> None:
    """process_revision_directives of env.py has its say, with the options that it finds under the command line."""
    hook = HOOKS.format(body=body)
    configure = ", target_metadata=metadata, process_revision_directives=directives"
    write_project(
        tmp_path, MODELS + PLANS, trees.sync_env("from models import metadata\n" + hook, configure=configure), {}
    )
    ran = revise(id="second", **LIVE)
    changed, words, message = expected
    assert message in ran.msg, ran.text
    assert ran.result.get("changed") == changed
    assert words is None or words in (tmp_path / ran.result["path"]).read_text()


def test_write_hooks(revise: Revise, tmp_path: Path) -> None:
    """post_write_hooks run on the file in its place, but not in check mode; what they break does not stay."""
    script = tmp_path / "tidy.py"
    command = f"tidy.executable = {sys.executable}\ntidy.options = {script} REVISION_SCRIPT_FILENAME\n"
    hooks = f"\n[post_write_hooks]\nhooks = tidy\ntidy.type = exec\n{command}"
    write_project(tmp_path, ini=INI + hooks)
    change = "import sys, pathlib\npath = pathlib.Path(sys.argv[1])\npath.write_text(path.read_text() + {text!r})\n"
    script.write_text(change.format(text="# tidy\n"))
    before = files(tmp_path)
    shown = revise(check=True, id="second", **EMPTY)
    assert (files(tmp_path), "# tidy" in shown.result["content"]) == (before, False)
    assert "post_write_hooks of the project are not run" in str(shown.result["warnings"])
    for bad in (change.format(text="def\n"), "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"):
        script.write_text(bad)
        broken = revise(id="second", **EMPTY)
        assert broken.failed, broken.text
        assert files(tmp_path) == before
    script.write_text(change.format(text="# tidy\n"))
    ran = revise(id="second", **EMPTY)
    assert ran.result["content"].endswith("# tidy\n"), ran.text
    assert ran.result["content"] == (tmp_path / ran.result["path"]).read_text()


def test_first_revision(database: Database, revise: Revise, tmp_path: Path) -> None:
    """A project without any revision, on a database with an extension and a table in another schema."""
    models = MODELS + textwrap.dedent(
        """\
        sa.Table("plans", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="shop")
        """
    )
    env = trees.sync_env(
        "from models import metadata\n",
        configure=", target_metadata=metadata, include_schemas=True",
        connected='connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS shop")\nconnection.commit()\n',
    )
    write_project(tmp_path, models, env, revisions={})
    (tmp_path / "migrations" / "versions").rmdir()
    database.rows("CREATE EXTENSION pg_trgm")
    ran = revise(id="one")
    assert ran.result.get("operations") == ["create table shop.plans", "create table users"], ran.text
    assert (ran.result["down_revision"], (tmp_path / ran.result["path"]).exists()) == ([], True)
    assert not revise().result["changed"]
    assert database.relations() == []
