"""alembic_upgrade with projects whose interpreters hold other versions and drivers. Acceptance size: it installs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import support
import trees
from support import Database, names

pytestmark = pytest.mark.skipif(
    os.environ.get("PGSTEWARD_FULL") != "1", reason="acceptance size (PGSTEWARD_FULL=1): installs virtual environments"
)

STACKS = {
    "alembic 1.7, SQLAlchemy 1.4": ["alembic==1.7.7", "sqlalchemy==1.4.54", "psycopg2-binary", "setuptools<80"],
    "alembic 1.13, SQLAlchemy 2.0": ["alembic==1.13.3", "sqlalchemy[asyncio]==2.0.*", "psycopg[binary]", "asyncpg"],
    "newest": ["alembic", "sqlalchemy[asyncio]", "psycopg2-binary", "asyncpg"],
}


@pytest.fixture(scope="module", params=STACKS, ids=STACKS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The interpreter of a virtual environment, and what was installed in it."""
    directory = tmp_path_factory.mktemp("stack")
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    packages = STACKS[request.param]
    subprocess.run([str(directory / "bin" / "pip"), "install", "--quiet", *packages], check=True)
    return directory / "bin" / "python", packages


CONCURRENTLY = """\
with op.get_context().autocommit_block():
    op.create_index("i_r3", "t_r1", ["id"], postgresql_concurrently=True)
"""


@pytest.mark.parametrize(
    ("env", "driver"),
    [(trees.SYNC, ""), (trees.FROM_ENVIRONMENT, ""), (trees.ASYNC, "+asyncpg")],
    ids=["sync", "DATABASE_URL", "async"],
)
def test_versions(
    env: str, driver: str, stack: tuple[Path, list[str]], database: Database, collections: Path, tmp_path: Path
) -> None:
    python, packages = stack
    trees.write_tree(tmp_path, {**trees.chain(2), "r3": trees.revision("r3", "r2", CONCURRENTLY)}, env)
    options = {"project": str(tmp_path), "python": str(python), "url": database.url.replace("://", f"{driver}://")}
    if driver and "asyncpg" not in packages:
        assert "install the driver there" in support.run_module(collections, "alembic_upgrade", options).msg
        return
    checked = support.run_module(collections, "alembic_upgrade", options, check=True)
    assert (names(checked.result["pending"]), database.relations()) == (["r1", "r2", "r3"], []), checked.msg
    ran = support.run_module(collections, "alembic_upgrade", options)
    assert names(ran.result["applied"]) == ["r1", "r2", "r3"], ran.msg
    assert (checked.result["sql_method"], ran.result["sql_method"]) == ("offline", "executed"), checked.text
    assert [text.split("(")[0] for text in checked.result["sql"]] == [text.split("(")[0] for text in ran.result["sql"]]
    assert len(ran.result["sql"]) == 3
    assert not support.run_module(collections, "alembic_upgrade", options).result["changed"]
    bad = trees.revision("r4", "r3", 'op.execute("SELECT * FROM nowhere")')
    (tmp_path / "migrations" / "versions" / "r4.py").write_text(bad)
    failed = support.run_module(collections, "alembic_upgrade", options)
    assert 'relation "nowhere" does not exist (migrations/versions/r4.py line 8)' in failed.msg
    assert failed.result["current"] == ["r3"]
