"""What a migration can come back to: a dump and a restore point. A failed one names the commands, and those work as they are printed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from typing import Any

import backups
import cluster
import lab
import plays
import pytest
import yaml

DATABASE = "shop"
MIGRATOR = cluster.OWNER  # has a password and a way in; it owns the database
CONFIG = "/etc/pgsteward/dumps.json"
KEPT = lab.ROOT / ".cache" / "scenario_backup"
PROJECT, EXTRA, REPORTS = KEPT / "shop", KEPT / "migrate.yml", KEPT / "reports"
cluster.LIMIT = 900

ENVIRONMENT = """\
from alembic import context
from sqlalchemy import engine_from_config, pool

engine = engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """\
from alembic import op
revision, down_revision = "{name}", {after!r}

def upgrade():
{body}

def downgrade():
    op.execute("{back}")
"""
ITEMS = "CREATE TABLE items (id int PRIMARY KEY, price int NOT NULL)"
# The database after the first revision, as Alembic leaves it.
FIRST = f"""
SET ROLE {MIGRATOR};
{ITEMS};
INSERT INTO items SELECT g, g FROM generate_series(1, 1000) AS g;
CREATE TABLE alembic_version (version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY);
INSERT INTO alembic_version VALUES ('r1');
"""
# The rows are changed for good when the index fails on them. Scratch databases are empty: no check before sees it.
BROKEN = """\
with op.get_context().autocommit_block():
    op.execute("UPDATE items SET price = 1")
    op.execute("CREATE UNIQUE INDEX CONCURRENTLY items_price ON items (price)")
"""


def revision(name: str, after: str | None, body: str, back: str) -> None:
    """Write a revision of the project."""
    text = REVISION.format(name=name, after=after, body=textwrap.indent(body, "    "), back=back)
    (PROJECT / "migrations" / "versions" / f"{name}.py").write_text(text)


def project() -> None:
    """Write the project with its first revision, and what the environment has beside the scenario's inventory."""
    shutil.rmtree(KEPT, ignore_errors=True)
    (PROJECT / "migrations" / "versions").mkdir(parents=True)
    (PROJECT / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    (PROJECT / "migrations" / "env.py").write_text(ENVIRONMENT)
    shutil.copy(lab.ROOT / "migrations" / "requirements.txt", PROJECT)
    revision("r1", None, f'op.execute("{ITEMS}")', "DROP TABLE items")
    migrating = {
        "pg_migrate_projects": [
            {"name": "shop", "source": str(PROJECT), "databases": [{"name": DATABASE, "user": MIGRATOR}]}
        ],
        "pg_migrate_passwords": {MIGRATOR: lab.password(MIGRATOR)},
        "pg_migrate_wheelhouse": str(lab.ROOT / ".cache" / "wheelhouse"),
        "pg_migrate_lint": False,
        "pg_migrate_staircase": False,
        "pg_migrate_report_directory": str(REPORTS),
    }
    dumping = {
        "pg_dumps_databases": [{"name": DATABASE}],
        "pg_replica_report_directory": str(cluster.REPORTS),
    }
    # Of the hosts: those come before what the scenario has of its groups.
    groups = {
        "migrate": {"hosts": {cluster.primary(): migrating}},
        "postgres": {"hosts": dict.fromkeys(cluster.nodes(), dumping)},
    }
    EXTRA.write_text(yaml.safe_dump({"all": {"children": groups}}))
    EXTRA.chmod(0o600)


def play(playbook: str, **variables: Any) -> plays.Played:
    """Run a playbook on the environment."""
    sources = ["-i", str(lab.INVENTORY), "-i", str(EXTRA)]
    return run(["ansible-playbook", *sources, playbook, "--extra-vars", json.dumps(variables)])


def run(command: list[str]) -> plays.Played:
    """Run a command line on the controller."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=lab.ROOT, env=plays.environment())
    return plays.Played(ended.returncode, ended.stdout + ended.stderr)


def shop(query: str) -> str:
    return cluster.ask(cluster.primary(), query, DATABASE)


def state() -> str:
    """Return what is in the database: a digest of the rows, and the revision."""
    rows = "SELECT md5(string_agg(id || ' ' || price, ',' ORDER BY id)) FROM items"
    return shop(f"SELECT ({rows}) || ' ' || (SELECT string_agg(version_num, ',') FROM alembic_version)")


def wal(node: str, lsn: str) -> str:
    """Return what pg_waldump says of the segment that a position is in."""
    segment = cluster.ask(node, f"SELECT pg_walfile_name('{lsn}')")
    program = f"/usr/lib/postgresql/{cluster.MAJOR}/bin/pg_waldump"
    return cluster.on(node, program, "--rmgr=XLOG", f"{cluster.DATA}/pg_wal/{segment}", check=False)


def report() -> dict[str, Any]:
    """Return the last report of a migration."""
    return dict(json.loads(max(REPORTS.glob("*.json")).read_text()))


def printed(text: str, pattern: str) -> list[str]:
    """Return the words of the one line on the screen that is a command with a pattern."""
    [line] = set(re.findall(rf"^ *((?:ansible-playbook|sudo) .*{pattern}.*)$", text, re.MULTILINE))
    return shlex.split(line)


def tell(node: str, text: str) -> None:
    """Tell the commands of a server what there is to dump; the file keeps its owner and mode."""
    cluster.on(node, "sh", "-c", f"cat > {CONFIG} <<'END'\n{text}\nEND")


@pytest.fixture(scope="module", autouse=True)
def _ready() -> Iterator[None]:
    backups.idle()
    cluster.whole()
    project()
    cluster.ask(cluster.primary(), f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    cluster.ask(cluster.primary(), f"CREATE DATABASE {DATABASE} OWNER {MIGRATOR}")
    shop(FIRST)
    assert state().endswith(" r1")
    # As the role pg_dumps writes it; a run of site would be most of the time that this takes.
    told = {node: cluster.on(node, "cat", CONFIG) for node in cluster.nodes()}
    for node, text in told.items():
        tell(node, json.dumps({**json.loads(text), "databases": [{"name": DATABASE}]}))
    yield
    for node, text in told.items():
        tell(node, text)
    cluster.ask(cluster.primary(), f"DROP DATABASE {DATABASE} WITH (FORCE)")


def test_a_failed_migration_names_the_commands_that_bring_the_rows_back() -> None:
    before = state()
    revision("r2", "r1", BROKEN, "DROP INDEX items_price")
    failed = play(plays.MIGRATE)
    assert failed.code != 0
    assert shop("SELECT min(price) = max(price) FROM items") == "t", failed.text
    node, kept = cluster.primary(), report()
    assert kept["databases"][0]["dump"]["name"] in cluster.on(node, "backup-db", "--list", DATABASE)
    assert kept["restore_point"]["host"] == node
    assert f"RESTORE_POINT {kept['restore_point']['name']}" in wal(node, kept["restore_point"]["lsn"])
    # On the host.
    cluster.on(node, *printed(failed.text, "restore-db "))
    assert state() == before
    # From the controller; CI has the way itself in other tests.
    for playbook in lab.few(["restore_dump", "restore_point_in_time"]):
        shop("DELETE FROM items WHERE id > 10")
        restored = run(printed(failed.text, f"{playbook} "))
        assert restored.code == 0, restored.text
        assert state() == before
        cluster.whole()
    if lab.FULL:
        assert cluster.play("restore", then="remove", confirm=backups.STANZA).code == 0


@lab.full_only
def test_a_dump_that_fails_stops_the_migration() -> None:
    revision("r2", "r1", 'op.execute("UPDATE items SET price = 1")', "SELECT 1")
    before, node = state(), cluster.primary()
    text = cluster.on(node, "cat", CONFIG)
    tell(node, json.dumps({**json.loads(text), "databases": []}))
    try:
        stopped = play(plays.MIGRATE)
    finally:
        tell(node, text)
    assert stopped.code != 0
    words = " ".join(stopped.text.split())
    assert f"stopped before anything was changed: the dump of {DATABASE} on {node} failed: " in words, stopped.text
    assert state() == before


@lab.full_only
def test_a_migration_goes_on_once_a_drill_has_proven_the_backups() -> None:
    revision("r2", "r1", 'op.execute("ALTER TABLE items ADD COLUMN note text")', "ALTER TABLE items DROP COLUMN note")
    node, spoilt = sorted(cluster.followers())[0], "/var/lib/pgsteward/restores/drill"
    cluster.on(node, "install", "-D", "/dev/null", f"{spoilt}/somebody")
    try:
        stopped = play(plays.MIGRATE, pg_migrate_drill=True)
    finally:
        cluster.on(node, "rm", "-r", spoilt)
    assert stopped.code != 0
    assert "and there is none (a server: it has left no record)" in " ".join(stopped.text.split()), stopped.text
    assert shop("SELECT version_num FROM alembic_version") == "r1"
    done = play(plays.MIGRATE, pg_migrate_drill=True)
    assert done.code == 0, done.text
    assert done.text.count("): proven on ") == 2, done.text
    assert shop("SELECT version_num FROM alembic_version") == "r2"
