"""The databases of this scenario, named <system>_<state>: made by plain SQL, with rows in them, and looked at by psql and pg_dump.

`states.py make HOST` makes them on a host, `states.py projects` the copies of the migrations tree that some of them belong to, and
`states.py note HOST` writes down what they are like at that moment. Everything is kept in .cache/scenario_migrate.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SCENARIO = Path(__file__).resolve().parent
sys.path[:0] = [str(SCENARIO.parent / "shared")]

import lab  # noqa: E402
import psycopg  # noqa: E402
from alembic import command  # noqa: E402
from alembic.config import Config  # noqa: E402
from alembic.script import Script, ScriptDirectory  # noqa: E402
from psycopg import sql  # noqa: E402

MIGRATIONS = lab.ROOT / "migrations"
KEPT = lab.ROOT / ".cache" / "scenario_migrate"


@dataclass(frozen=True)
class System:
    """What is particular to a system. legacy: the revision that its unversioned databases are at.

    lacks: the statement that makes such a database partial, with the objects that are then missing. drops: a column that a
    destructive revision drops.
    """

    size: int
    legacy: str
    lacks: str
    missing: tuple[str, ...]
    drops: tuple[str, str]


EVERY_SYSTEM = {
    "face_recognition": System(
        40,
        "v1_1_user_authentication",
        "DROP TABLE processing_jobs",
        ("sequence public.processing_jobs_id_seq", "table public.processing_jobs"),
        ("persons", "description"),
    ),
    "pixcrawler": System(
        100,
        "000",
        "ALTER TABLE profiles DROP COLUMN full_name",
        ("column public.profiles.full_name",),
        ("profiles", "avatar_url"),
    ),
    "imagemanager": System(
        100,
        "002_lookup_indexes",
        "DROP INDEX ix_projects_name",
        ("index public.ix_projects_name",),
        ("projects", "description"),
    ),
    "cats_monitor": System(
        100,
        "002_cat_recognition",
        "DROP TABLE cat_recognition_models",
        ("sequence public.cat_recognition_models_id_seq", "table public.cat_recognition_models"),
        ("cat_profiles", "description"),
    ),
    "powergym": System(
        40,
        "003_subscriptions",
        "DROP INDEX idx_subscriptions_dates",
        ("index public.idx_subscriptions_dates",),
        ("clients", "phone"),
    ),
}
# scenario_systems in the inventory of each size says the same to the playbooks.
SYSTEMS = {name: EVERY_SYSTEM[name] for name in lab.few(EVERY_SYSTEM, "pixcrawler", "imagemanager", "powergym")}
WITH_VECTORS = ("face_recognition", "powergym")
# Made one after the other; the rest are copies of these.
STATES = ("fresh", "behind", "managed", "legacy")
COPIES = {"ahead": "managed", "heads": "managed", "partial": "legacy"}
DATABASES = tuple(f"{system}_{state}" for system in SYSTEMS for state in (*STATES, *COPIES))

DESTRUCTIVE, BRANCH = "drop_it", "another_branch"
REVISION = '''"""{message}

Revision ID: {revision}
Revises: {down}
Create Date: 2026-11-02 09:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {back}
'''


# The histories


@cache
def scripts(system: str) -> tuple[Script, ...]:
    """Return the revisions of a system with their files, oldest first."""
    config = Config(MIGRATIONS / "alembic.ini", ini_section=system)
    return tuple(ScriptDirectory.from_config(config).walk_revisions())[::-1]


def revisions(system: str) -> list[str]:
    """Return the revisions of a system, oldest first."""
    return [script.revision for script in scripts(system)]


def head(system: str) -> str:
    """Return the newest revision."""
    return revisions(system)[-1]


def at(system: str, state: str) -> str | None:
    """Return the revision that a database is made at; None for no revision at all."""
    return {"fresh": None, "behind": revisions(system)[-2], "managed": head(system), "legacy": SYSTEMS[system].legacy}[
        COPIES.get(state, state)
    ]


def rendered(system: str, revision: str) -> str:
    """Return the SQL up to a revision, as `alembic upgrade --sql` prints it."""
    config = Config(MIGRATIONS / "alembic.ini", ini_section=system, output_buffer=io.StringIO())
    command.upgrade(config, revision, sql=True)
    return str(config.output_buffer.getvalue())


def write_projects() -> None:
    """Write the copies: one without the newest revisions, one with two heads, one with a revision that destroys."""
    for name in ("older", "forked", "destructive"):
        shutil.copytree(MIGRATIONS, KEPT / name, ignore=shutil.ignore_patterns("__pycache__", "samples", "snapshots"))
    for system, particular in SYSTEMS.items():
        (KEPT / "older" / Path(scripts(system)[-1].path).relative_to(MIGRATIONS)).unlink()
        write_revision(
            KEPT / "forked" / system,
            BRANCH,
            at(system, "behind"),
            "What somebody else did meanwhile.",
            'op.create_table("notes", sa.Column("id", sa.Integer(), primary_key=True))',
            'op.drop_table("notes")',
        )
        table, column = particular.drops
        write_revision(
            KEPT / "destructive" / system,
            DESTRUCTIVE,
            head(system),
            f"Nobody reads {table}.{column}.",
            f'op.drop_column("{table}", "{column}")',
            f'op.add_column("{table}", sa.Column("{column}", sa.Text()))',
        )


def write_revision(project: Path, revision: str, down: str | None, message: str, up: str, back: str) -> None:
    """Add a revision to the copy of a system."""
    path = project / "versions" / f"{revision}.py"
    path.write_text(REVISION.format(revision=revision, down=down, message=message, up=up, back=back))


# The databases


def make(host: str) -> None:
    """Make every database anew."""
    psql(host, "\n".join(creation(system, state) for system in SYSTEMS for state in STATES))
    for system, particular in SYSTEMS.items():
        loader = importlib.import_module(f"samples.{system}")
        for state in ("behind", "managed", "legacy"):
            with connect(host, f"{system}_{state}") as connection:
                loader.load(connection, particular.size)
    psql(host, "\n".join(copy(system, state) for system in SYSTEMS for state in COPIES))


def creation(system: str, state: str) -> str:
    """Return the script for psql that makes a database, as its owner."""
    revision = at(system, state)
    return "\n".join(
        [
            anew(system, state, "template0"),
            "CREATE EXTENSION vector;" if system in WITH_VECTORS else "",
            f"SET ROLE {system}_owner;",
            rendered(system, revision) if revision else "",
            "DROP TABLE alembic_version;" if state == "legacy" else "",  # made by hand, nobody wrote that down
        ]
    )


def copy(system: str, state: str) -> str:
    """Return the script for psql that makes a database from another."""
    lacks = f"{SYSTEMS[system].lacks};" if state == "partial" else ""
    return f"{anew(system, state, f'{system}_{COPIES[state]}')}\nSET ROLE {system}_owner;\n{lacks}"


def anew(system: str, state: str, template: str) -> str:
    """Return the script for psql that creates a database and goes there."""
    name = f"{system}_{state}"
    return (
        "\\connect postgres\n"
        f"DROP DATABASE IF EXISTS {name} WITH (FORCE);\n"
        f"CREATE DATABASE {name} OWNER {system}_owner TEMPLATE {template};\n"
        f"\\connect {name}"
    )


def connect(host: str, database: str) -> psycopg.Connection[Any]:
    """Return an autocommit connection of the tests' own account, which may look everywhere."""
    return psycopg.connect(
        host=str(lab.hosts("postgres")[host]["ansible_host"]),
        dbname=database,
        user="pgsteward_test",
        password=lab.password("pgsteward_test"),
        sslmode="verify-full",
        sslrootcert=str(lab.authority(host)),
        autocommit=True,
    )


def psql(host: str, script: str) -> None:
    """Run a script by the host's own psql as its superuser."""
    full = ["docker", "exec", "-i", f"pgsteward-{host}", "runuser", "-u", "postgres", "--"]
    full += ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]
    run = subprocess.run(full, input=script, capture_output=True, text=True, check=False, cwd="/")
    assert run.returncode == 0, run.stderr


# What they are like


def schemas(host: str, databases: Iterable[str] = DATABASES, *options: str) -> dict[str, str]:
    """Return each database as `pg_dump --schema-only` writes it."""
    script = f'for d in {" ".join(databases)}; do echo "@@ $d"; pg_dump --schema-only {" ".join(options)} $d; done'
    # \restrict comes with a word that is another one each time.
    lines = lab.run_on(host, "sh", "-euc", script).splitlines()
    text = "\n".join(line for line in lines if not line.startswith(("\\restrict ", "\\unrestrict ")))
    parts = (part.partition("\n") for part in text.split("@@ ")[1:])
    return {name: body.strip() for name, _, body in parts}


Rows = dict[str, list[Any]]  # table: [columns, checksum], as JSON has it


def rows(host: str, database: str, of: Rows | None = None) -> Rows:
    """Return for each table its columns, and a checksum of all its rows; of: only the tables and columns that are there.

    What a run of ours leaves beside the application's tables does not count: version tables and side tables of orphans.
    """
    found: Rows = {}
    with connect(host, database) as connection:
        columns = of and {table: names for table, (names, _) in of.items()}
        for table, names in (columns or dict(connection.execute(COLUMNS).fetchall())).items():
            row = sql.SQL("ROW({})::text").format(sql.SQL(", ").join(sql.Identifier(name) for name in names))
            query = sql.SQL("SELECT md5(string_agg({row}, '|' ORDER BY {row})) FROM public.{table}")
            [checksum] = connection.execute(query.format(row=row, table=sql.Identifier(table))).fetchone() or (None,)
            found[table] = [list(names), checksum]
    return found


COLUMNS = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attname)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version' AND c.relname NOT LIKE '%__orphans'
GROUP BY c.relname
"""

Look = dict[str, dict[str, Any]]


def digest(schema: str) -> str:
    """Return what stands for a schema in the notes."""
    return hashlib.sha256(schema.encode()).hexdigest()


def look(host: str, databases: Sequence[str] = DATABASES) -> Look:
    """Return what databases are like: schema, rows and revision."""
    return {
        name: {
            "schema": digest(schema),
            "rows": rows(host, name),
            "revision": revision(host, name),
        }
        for name, schema in schemas(host, databases).items()
    }


def revision(host: str, database: str) -> list[str] | None:
    """Return what the version table says; None where there is none."""
    with connect(host, database) as connection:
        [there] = connection.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL").fetchone() or (False,)
        if not there:
            return None
        return [name for (name,) in connection.execute("SELECT version_num FROM public.alembic_version ORDER BY 1")]


def notes(host: str) -> list[Look]:
    """Return what was written down so far."""
    path = KEPT / f"notes-{host}.json"
    return list(json.loads(path.read_text())) if path.exists() else []


def note(host: str) -> None:
    """Write down what the databases are like."""
    (KEPT / f"notes-{host}.json").write_text(json.dumps([*notes(host), look(host)]))


def main(action: str, host: str = "") -> None:
    """Do what the command line says."""
    if action == "projects":  # what comes first: nothing of an earlier run stays
        shutil.rmtree(KEPT, ignore_errors=True)
        write_projects()
    elif action == "make":
        make(host)
        note(host)
    else:
        note(host)


if __name__ == "__main__":
    main(*sys.argv[1:])
