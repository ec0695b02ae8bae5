"""Alembic trees that we did not write: those of the applications in .cache/trees, with their own config files and env files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from support import ROOT, Database

HOME = ROOT / ".cache" / "trees"  # tools/integration makes it from requirements/trees.txt
PYTHON = HOME / "bin" / "python"


def _package(name: str) -> Path:
    """Return the directory of an installed package; a path that leads nowhere when it is not installed."""
    return next(HOME.glob(f"lib/python*/site-packages/{name}"), HOME / name)


# Options of our modules. Each project runs as its people have it: optuna's from its directory, mlflow's from above the package.
OPTUNA: dict[str, Any] = {"project": str(_package("optuna") / "storages" / "_rdb"), "virtualenv": str(HOME)}
MLFLOW: dict[str, Any] = {
    "project": str(_package("mlflow").parent),
    "config": "mlflow/store/db_migrations/alembic.ini",
    "virtualenv": str(HOME),
}
MLFLOW_AUTH: dict[str, Any] = {
    "project": str(_package("mlflow") / "server" / "auth" / "db" / "migrations"),
    "virtualenv": str(HOME),
}

# What the applications do themselves, with the URL of the database as url.
OPTUNA_CREATE_ALL = """\
import sqlalchemy
from optuna.storages._rdb import models
models.BaseModel.metadata.create_all(sqlalchemy.create_engine(url))
"""
OPTUNA_UPGRADE = """\
from alembic import command
from alembic.config import Config
config = Config("{project}/alembic.ini")
config.set_main_option("script_location", "{project}/alembic")
config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
command.upgrade(config, "{revision}")
"""
OPTUNA_WORKS = """\
import optuna
study = optuna.create_study(storage=optuna.storages.RDBStorage(url))
study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=2)
print(len(study.trials))
"""
# mlflow makes its first tables so, before the first revision.
MLFLOW_FIRST_TABLES = """\
import sqlalchemy
from mlflow.store.tracking.dbmodels.initial_models import Base
Base.metadata.create_all(sqlalchemy.create_engine(url))
"""
MLFLOW_ACCEPTS = """\
import sqlalchemy
from mlflow.store.db.utils import _all_tables_exist, _verify_schema
engine = sqlalchemy.create_engine(url)
_verify_schema(engine)
print(_all_tables_exist(engine))
"""


def application(code: str, database: Database) -> str:
    """Run code of an application on a database; return what it prints."""
    ran = tried(code, database)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def tried(code: str, database: Database) -> subprocess.CompletedProcess[str]:
    """Run code of an application on a database, which may fail."""
    url = database.url.replace("://", "+psycopg://")
    command = [str(PYTHON), "-W", "ignore", "-c", "import os\nurl = os.environ['HERE']\n" + code]
    environment = {**os.environ, "HERE": url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def optuna_upgrade(revision: str, database: Database) -> subprocess.CompletedProcess[str]:
    """Upgrade a database by Alembic itself, without our modules."""
    return tried(OPTUNA_UPGRADE.format(project=OPTUNA["project"], revision=revision), database)


def previewed(diff: dict[str, str], word: str = "applied: ") -> dict[str, list[str]]:
    """Return the statements of each revision in the diff of a run, by their first lines. word: what stands before a revision."""
    found: dict[str, list[str]] = {}
    for line in diff["after"].splitlines():
        if line.startswith(word):
            statements = found.setdefault(line.removeprefix(word).partition(" (")[0], [])
        elif line.startswith("    "):
            statements.append(line.strip())
    return found
