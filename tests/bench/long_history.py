"""A history of 500 revisions with a table each: upgrading through all of it, and adopting a database that lost its revision.

Needs PGSTEWARD_TEST_URL of a server whose programs are on this machine too. Prints one line for the run of alembic_upgrade against
`alembic upgrade head`, and one for alembic_adopt, the first time and with the replay in the cache, against that command as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import support
import trees


def body(number: int) -> str:
    """Return what a revision does: a table of five columns, with an index and a key to the table before it."""
    parent = f', sa.Column("parent_id", sa.Integer, sa.ForeignKey("t_r{number - 1}.id"))' if number > 1 else ""
    return (
        f'op.create_table("t_r{number}", sa.Column("id", sa.Integer, primary_key=True),'
        ' sa.Column("name", sa.String(100), nullable=False), sa.Column("amount", sa.Numeric(10, 2), server_default="0"),'
        f' sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now()){parent})\n'
        f'op.create_index("ix_t_r{number}_name", "t_r{number}", ["name"])'
    )


def history(count: int) -> dict[str, str]:
    """Return the revisions."""
    return {
        f"r{number}": trees.revision(f"r{number}", f"r{number - 1}" if number > 1 else None, body(number))
        for number in range(1, count + 1)
    }


def timed(
    command: list[str], directory: Path, environment: dict[str, str], text: str | None = None
) -> tuple[float, Any]:
    """Return how long a process took, and the JSON that it printed if any; its failure ends the measurement."""
    started = time.perf_counter()
    ended = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **environment},
        input=text,
        text=True,
        capture_output=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if ended.returncode:
        raise SystemExit(f"{command[-1]}: {ended.stdout}{ended.stderr}")
    return seconds, json.loads(ended.stdout) if ended.stdout.strip().startswith("{") else None


def measure(count: int, runs: int, directory: Path) -> tuple[list[float], list[float], list[float], float]:
    """Return the seconds of the command line and of the module for a whole upgrade, of first adoptions, and of one from the cache."""
    project, collections = directory / "project", support.collections_path(directory / "collections")
    trees.write_tree(project, history(count), trees.FROM_ENVIRONMENT)
    alembic = [str(Path(sys.executable).with_name("alembic")), "upgrade", "head"]

    def module(name: str, **options: Any) -> float:
        asked = {"project": str(project), "url": database.url, **options}
        program = [sys.executable, "-m", f"ansible_collections.pgsteward.postgres.plugins.modules.{name}"]
        seconds, result = timed(
            program, project, {"PYTHONPATH": str(collections)}, json.dumps({"ANSIBLE_MODULE_ARGS": asked})
        )
        if not result["changed"]:
            raise SystemExit(f"{name} changed nothing")
        return seconds

    commands, modules, firsts = [], [], []
    for run in range(runs):
        database = support.create_database(f"pgsteward_bench_{os.getpid()}")
        modules.append(module("alembic_upgrade"))
        database = support.create_database(f"pgsteward_bench_{os.getpid()}")
        url = database.url.replace("://", "+psycopg://")
        commands.append(timed(alembic, project, {"DATABASE_URL": url})[0])
        database.rows("DROP TABLE alembic_version")
        firsts.append(module("alembic_adopt", cache=str(directory / f"cache{run}")))
    database.rows("DROP TABLE alembic_version")
    second = module("alembic_adopt", cache=str(directory / f"cache{runs - 1}"))
    support.drop_database(database.name)
    return commands, modules, firsts, second


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3, help="of each, but for the adoption from the cache (default 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        commands, modules, firsts, second = measure(options.revisions, options.runs, Path(directory))
    command, module, first = min(commands), min(modules), min(firsts)
    print(
        f"{options.revisions} revisions, best of {options.runs}: alembic_upgrade {module:.2f} s, alembic upgrade head {command:.2f} s,"
        f" ratio {module / command:.2f}"
    )
    print(
        f"adoption of {options.revisions} revisions and tables: first {first:.2f} s (target 15), again {second:.2f} s (target 2),"
        f" ratios to alembic upgrade head {first / command:.2f} and {second / command:.2f}"
    )


if __name__ == "__main__":
    main()
