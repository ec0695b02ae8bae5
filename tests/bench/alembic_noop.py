"""Time of a run that has nothing to do: the module alembic_upgrade against `alembic upgrade head`.

Needs PGSTEWARD_TEST_URL. Makes a database and a small project, upgrades, then runs in turn, each as a process of its own:
the module; its core, which is the module without Ansible's handling of arguments; the command line. Prints the medians and
their ratios on one line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import support
import trees

CORE = """
import json, sys, tempfile
from ansible_collections.pgsteward.postgres.plugins.module_utils._upgrade import upgrade
assert not upgrade(json.load(sys.stdin), False, tempfile.gettempdir(), print)["changed"]
"""


def seconds(command: list[str], directory: Path, environment: dict[str, str], text: str | None = None) -> float:
    """Return how long a process took; its failure ends the measurement."""
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **environment},
        input=text,
        text=True,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - started


def measure(runs: int, revisions: int, directory: Path) -> dict[str, float]:
    """Return the median seconds of the module, of its core and of the command line."""
    database = support.create_database(f"pgsteward_bench_{os.getpid()}")
    try:
        project, collections = directory / "project", support.collections_path(directory)
        trees.write_tree(project, trees.chain(revisions), trees.FROM_ENVIRONMENT)
        options = {"project": str(project), "url": database.url}
        defaults = {"config": "alembic.ini", "section": "alembic", "revision": ["heads"], "lock_timeout": "500ms"}
        path = {"PYTHONPATH": str(collections)}
        module = [sys.executable, "-m", "ansible_collections.pgsteward.postgres.plugins.modules.alembic_upgrade"]
        alembic = [str(Path(sys.executable).with_name("alembic")), "upgrade", "head"]
        contenders: dict[str, tuple[list[str], dict[str, str], str | None]] = {
            "module": (module, path, json.dumps({"ANSIBLE_MODULE_ARGS": options})),
            "core": ([sys.executable, "-c", CORE], path, json.dumps({**defaults, **options})),
            "command": (alembic, {"DATABASE_URL": database.url.replace("://", "+psycopg://")}, None),
        }
        seconds(module, project, path, contenders["module"][2])
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _run in range(runs):
            for name, (command, environment, text) in contenders.items():
                times[name].append(seconds(command, project, environment, text))
    finally:
        support.drop_database(database.name)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="runs of each (default 15)")
    parser.add_argument("--revisions", type=int, default=10, help="revisions of the project (default 10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        medians = measure(options.runs, options.revisions, Path(directory))
    module, core, command = (medians[name] for name in ("module", "core", "command"))
    print(
        f"alembic_upgrade no-op, {options.revisions} revisions, median of {options.runs}: "
        f"module {module:.3f} s, core {core:.3f} s, alembic upgrade head {command:.3f} s, "
        f"ratio {module / command:.2f}, core {core / command:.2f}"
    )


if __name__ == "__main__":
    main()
