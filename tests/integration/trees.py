"""Alembic projects for the tests: env files as applications write them, and revisions."""

from __future__ import annotations

import textwrap
from pathlib import Path

INI = """\
[alembic]
script_location = %(here)s/migrations
sqlalchemy.url = postgresql://nobody@nowhere.invalid/nothing

[other]
script_location = %(here)s/other
"""

SYNC = """\
from alembic import context
from sqlalchemy import engine_from_config, pool

settings = context.config.get_section(context.config.config_ini_section)
engine = engine_from_config(settings, prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

FROM_ENVIRONMENT = """\
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

ASYNC = """\
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""


def sync_env(
    before: str = "", connected: str = "", configure: str = "", run: str = "context.run_migrations()", after: str = ""
) -> str:
    """Return a synchronous env.py with lines put before it, after connect(), into configure(), around the run, at its end."""
    text = SYNC.replace(
        "    context.configure(connection=connection)",
        f"{{connected}}    context.configure(connection=connection{configure})",
    )
    text = text.replace("{connected}", textwrap.indent(connected, "    "))
    text = text.replace("        context.run_migrations()\n", textwrap.indent(run, "        ") + "\n")
    return text.replace("\n\n", "\n" + before, 1) + after


BEGIN = SYNC.replace("engine.connect()", "engine.begin()")

ENVIRONMENTS = {"sync": SYNC, "engine.begin": BEGIN, "DATABASE_URL": FROM_ENVIRONMENT}


def revision(name: str, down: str | tuple[str, ...] | None, body: str, message: str = "", head: str = "") -> str:
    """Return the text of a revision file; body is what upgrade() does, head what stands before it."""
    return (
        f'"""{message or "make " + name}"""\n'
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision = {name!r}\ndown_revision = {down!r}\n{head}\n"
        f"def upgrade():\n{textwrap.indent(body, '    ')}\n\n"
        "def downgrade():\n    pass\n"
    )


def table(name: str, down: str | tuple[str, ...] | None, head: str = "") -> str:
    """Return a revision that makes a table t_<name>."""
    return revision(
        name, down, f'op.create_table("t_{name}", sa.Column("id", sa.Integer, primary_key=True))', head=head
    )


def write_tree(root: Path, revisions: dict[str, str], env: str = SYNC, ini: str = INI) -> Path:
    """Write a project into root and return root. revisions: file stem -> text."""
    versions = root / "migrations" / "versions"
    versions.mkdir(parents=True)
    (root / "alembic.ini").write_text(ini)
    (root / "migrations" / "env.py").write_text(env)
    for stem, text in revisions.items():
        (versions / f"{stem}.py").write_text(text)
    return root


def chain(count: int) -> dict[str, str]:
    """Return count revisions r1, r2, … in a line, each with a table of its own."""
    return {
        f"r{number}": table(f"r{number}", f"r{number - 1}" if number > 1 else None) for number in range(1, count + 1)
    }


BRANCHES = {
    "base": table("base0", None),
    "left": table("left1", "base0", head='branch_labels = ("left",)'),
    "right": table("right1", "base0", head='branch_labels = ("right",)'),
    "right2": table("right2", "right1"),
}
