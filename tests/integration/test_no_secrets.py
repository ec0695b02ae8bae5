"""No password of a database, of a scratch login or in the environment is in anything that a module says, leaves or starts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import support
import trees
from support import Database

TOKEN = "tök3n of-the-app"
SCRATCH = "scr@tch:word/7"

# Whatever an env.py can say of what it was given.
TALKATIVE = """\
import os, sys, logging
print("url", context.config.get_main_option("sqlalchemy.url"), os.environ.get("DATABASE_URL"), os.environ.get("API_TOKEN"))
print(os.environ, file=sys.stderr)
logging.getLogger("app").warning("token %s", os.environ.get("API_TOKEN"))
"""
FAILING = "import os\nraise RuntimeError(f\"no luck with {os.environ['API_TOKEN']} and {op.get_bind().engine.url!r} {os.environ}\")"

MODULES: dict[str, dict[str, Any]] = {
    "alembic_info": {},
    "alembic_upgrade": {},
    "alembic_downgrade": {"revision": "r1"},
    "alembic_stamp": {"revision": ["r2"]},
    "alembic_adopt": {},
    "alembic_revision": {"message": "more"},
    "alembic_validate": {},
    "schema_verify": {"truth": "history"},
    "foreign_key_orphans": {},
}


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """Collect the command lines of all processes for as long as the context lasts."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.fixture
def options(database: Database, secret_role: dict[str, Any], tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Options full of secrets."""
    scratch = f"{database.name}_scratch"
    with database.connect() as connection:
        connection.execute(f"CREATE ROLE {scratch} LOGIN CREATEDB PASSWORD '{SCRATCH}'".encode())
    address = "{login_host}:{login_port}/{login_db}".format(**secret_role)
    yield {
        **secret_role,
        "project": str(tmp_path),
        "environment": {"API_TOKEN": TOKEN},
        "scratch": "database",
        "scratch_url": f"postgresql://{scratch}:{quote(SCRATCH, safe='')}@{address}",
    }
    with database.connect() as connection:
        connection.execute(f"DROP ROLE {scratch}".encode())


@pytest.mark.parametrize("ending", ["well", "badly"] if os.environ.get("PGSTEWARD_FULL") else ["badly"])
@pytest.mark.parametrize("name", MODULES)
def test_no_secret_is_told(
    name: str, ending: str, options: dict[str, Any], database: Database, collections: Path, tmp_path: Path
) -> None:
    chain = trees.chain(2)
    trees.write_tree(tmp_path, chain, trees.sync_env(before=TALKATIVE))
    plain = {key: value for key, value in options.items() if not key.startswith("scratch")}
    if name not in ("alembic_upgrade", "alembic_validate"):
        assert not support.run_module(collections, "alembic_upgrade", plain).failed
    if name in ("alembic_adopt", "alembic_stamp"):
        database.rows("DROP TABLE alembic_version")
    if ending == "badly":
        (tmp_path / "migrations" / "versions" / "r2.py").write_text(
            trees.revision("r2", "r1", FAILING).replace(
                "    pass", FAILING.replace("\n", "\n    ").replace("import os", "    import os", 1)
            )
        )
        (tmp_path / "migrations" / "versions" / "r3.py").write_text(trees.revision("r3", "r2", FAILING))
    asked = {**(plain if name == "alembic_info" else options), **MODULES[name]}
    if name == "alembic_downgrade":
        asked["confirm"] = database.name
        if ending == "badly":
            asked["accept_edited"] = ["r2"]
    with command_lines() as lines:
        for check in (True, False):
            ran = support.run_module(collections, name, {**asked, "_ansible_verbosity": 4}, check)
            # Ansible's own record of the arguments masks those that are marked; everything else is ours.
            for secret in (support.PASSWORD, TOKEN, SCRATCH):
                for form in (secret, quote(secret, safe=""), quote(secret)):
                    assert form not in ran.text, (secret, ran.text)
    assert any("start.py" in line for line in lines)  # the runner was seen
    for secret in (support.PASSWORD, TOKEN, SCRATCH):
        assert not any(secret in line or quote(secret, safe="") in line for line in lines)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in left:
        text = path.read_text(errors="replace")
        assert not any(secret in text for secret in (support.PASSWORD, TOKEN, SCRATCH)), path
