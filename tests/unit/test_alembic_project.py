"""Projects, config files and secrets of the Alembic modules, without a process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.doc_fragments import alembic as alembic_fragment
from ansible_collections.pgsteward.postgres.plugins.doc_fragments import connection as connection_fragment
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _runner_process
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from yaml import safe_load

PARAMS: dict[str, Any] = {"project": "/srv/shop", "config": "alembic.ini", "section": "alembic"}


@pytest.mark.parametrize(
    ("params", "python"),
    [
        ({}, sys.executable),
        ({"python": "/usr/bin/python3.12"}, "/usr/bin/python3.12"),
        ({"virtualenv": ".venv"}, "/srv/shop/.venv/bin/python"),
        ({"virtualenv": "/opt/shop"}, "/opt/shop/bin/python"),
    ],
)
def test_interpreter(params: dict[str, str], python: str) -> None:
    assert _alembic.Project.from_params({**PARAMS, **params}).python == python


def test_environment_is_text() -> None:
    project = _alembic.Project.from_params({**PARAMS, "environment": {"A": 1, "B": True, "C": None, "D": "d"}})
    assert project.environment == {"A": "1", "B": "true", "C": "", "D": "d"}


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("PYTHONPATH", ".", []),
        ("DB_PASSWORD", "hunter2", ["hunter2"]),
        ("DB_PWD", "hunter2", ["hunter2"]),
        ("PWD", "/srv/shop", []),
        ("OLDPWD", "/srv", []),
        ("API_KEY", "k", ["k"]),
        ("KEYBOARD", "de", []),
        ("AUTHOR", "ada", []),
        ("USE_AUTH", "true", []),
        ("USE_TOKEN", "1", []),
        ("DATABASE_URL", "postgresql://u@h/d", []),
        ("DATABASE_URL", "postgresql://u:p%40@h/d", ["postgresql://u:p%40@h/d", "p%40", "p@"]),
    ],
)
def test_secret_values(name: str, value: str, secrets: list[str]) -> None:
    assert _alembic.secret_values(name, value) == secrets


def test_secrets_of_x_and_environment() -> None:
    project = _alembic.Project.from_params(
        {**PARAMS, "x": ["token=abc", "tenant=main"], "environment": {"PASSWORD": "p%"}}
    )
    assert project.secrets() == {"abc", "p%", "p%%", "p%25", "p%%25"}


def test_short_inherited_secrets_are_left() -> None:
    assert _alembic.inherited_secrets({"DB_PASSWORD": "short", "OTHER_PASSWORD": "longer"}) == {"longer"}


@pytest.mark.parametrize("value", [None, "0", "500ms", "30 s", "2min"])
def test_durations(value: str | None) -> None:
    _alembic.check_duration("lock_timeout", value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("250", 0.25), ("500ms", 0.5), ("30 s", 30), ("2min", 120), ("1h", 3600), ("1d", 86400)],
)
def test_seconds_of(value: str, seconds: float) -> None:
    assert _alembic.seconds_of(value) == pytest.approx(seconds)


POSTGRES = {"POSTGRES_DB": "shop", "POSTGRES_HOST": "db1", "POSTGRES_PORT": 6000, "POSTGRES_PASSWORD": "p@"}


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"url": "postgresql://u@h/d", "environment": POSTGRES}, Place("d", "h", None, "u")),
        ({"login_db": "d", "environment": POSTGRES}, Place("d")),
        (
            {"environment": {"DATABASE_URL": "postgresql+asyncpg://u:p@h/d?ssl=require", **POSTGRES}},
            Place("d", "h", None, "u", "p", "asyncpg", (("ssl", "require"),)),
        ),
        (
            {"environment": {"DATABASE_URL": "", **POSTGRES}, "ssl_mode": "verify-full"},
            Place("shop", "db1", 6000, None, "p@", None, (("sslmode", "verify-full"),)),
        ),
    ],
)
def test_place_from_params(params: dict[str, Any], place: Place) -> None:
    assert _alembic.place_from_params({**PARAMS, **params}) == place


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "no database is named: give url, login_db, or DATABASE_URL or POSTGRES_DB in environment"),
        ({"login_host": "h", "environment": POSTGRES}, "login_host is given and login_db is not"),
        ({"environment": {"DATABASE_URL": "sqlite:///x"}}, "environment DATABASE_URL: url names the database system"),
        ({"environment": {**POSTGRES, "POSTGRES_PORT": "many"}}, "POSTGRES_PORT is 'many', and no number"),
    ],
)
def test_no_place(params: dict[str, Any], message: str) -> None:
    with pytest.raises(StewardError, match=message):
        _alembic.place_from_params({**PARAMS, **params})


def test_our_own_connection_speaks_to_libpq() -> None:
    place = _alembic.place_from_params(
        {**PARAMS, "url": "postgresql+asyncpg://u@h/d?ssl=require&prepared_statement_cache_size=0"}
    )
    arguments = _alembic._connection.connection_arguments(place, "test")
    assert arguments["sslmode"] == "require"
    assert not {"ssl", "prepared_statement_cache_size"} & set(arguments)


@pytest.mark.parametrize("value", ["", "soon", "-1", "1'; DROP", "5 weeks"])
def test_no_durations(value: str) -> None:
    with pytest.raises(StewardError, match="lock_timeout is no duration"):
        _alembic.check_duration("lock_timeout", value)


@pytest.mark.parametrize(
    ("files", "config", "section", "found"),
    [
        ({"alembic.ini": "[alembic]\n"}, "alembic.ini", "alembic", ("alembic.ini", None)),
        ({"alembic.ini": "[shop]\n"}, "alembic.ini", "shop", ("alembic.ini", None)),
        ({"x/a.cfg": "[alembic]\n"}, "x/a.cfg", "alembic", ("x/a.cfg", None)),
        ({"pyproject.toml": "[tool.alembic]\n"}, "alembic.ini", "alembic", (None, "pyproject.toml")),
        ({"pyproject.toml": "[tool.alembic]\n"}, "pyproject.toml", "alembic", (None, "pyproject.toml")),
        (
            {"alembic.ini": "[loggers]\n", "pyproject.toml": "[tool.alembic]\n"},
            "alembic.ini",
            "alembic",
            ("alembic.ini", "pyproject.toml"),
        ),
        (
            {"alembic.ini": "[alembic]\n", "pyproject.toml": "[tool.ruff]\n"},
            "alembic.ini",
            "alembic",
            ("alembic.ini", None),
        ),
    ],
)
def test_find_config(
    files: dict[str, str], config: str, section: str, found: tuple[str | None, str | None], tmp_path: Path
) -> None:
    write(tmp_path, files)
    expected = tuple(name and str(tmp_path / name) for name in found)
    result = _alembic.find_config(str(tmp_path), config, section)
    assert (result.ini, result.toml) == expected


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "config", "section", "message"),
    [
        ({}, "alembic.ini", "alembic", "there is no alembic.ini in"),
        ({"alembic.ini": "[one]\n[two]\n"}, "alembic.ini", "alembic", r"no section \[alembic\]; it has: one, two"),
        ({"alembic.ini": ""}, "alembic.ini", "alembic", "it has: none"),
        ({"alembic.ini": "no section\n"}, "alembic.ini", "alembic", "cannot be read"),
        ({"pyproject.toml": "[tool.ruff]\n"}, "pyproject.toml", "alembic", "no table"),
        ({"pyproject.toml": "broken"}, "alembic.ini", "alembic", "cannot be read"),
    ],
)
def test_missing_config(files: dict[str, str], config: str, section: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, files)
    with pytest.raises(StewardError, match=message) as caught:
        _alembic.find_config(str(tmp_path), config, section)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "output", "text"),
    [
        (0, [], "the process ended with exit status 0, without an answer"),
        (-9, ["one", " two ", ""], "the process was killed by signal 9, without an answer; its last words: two"),
    ],
)
def test_ending(status: int, output: list[str], text: str) -> None:
    assert _runner_process.ending(status, output) == text


@pytest.mark.parametrize(
    ("fragment", "arguments"),
    [
        (connection_fragment.ModuleDocFragment.DOCUMENTATION, _alembic._connection.ARGUMENTS),
        (
            alembic_fragment.ModuleDocFragment.DOCUMENTATION,
            {name: spec for name, spec in _alembic.ARGUMENTS.items() if name not in _alembic._connection.ARGUMENTS},
        ),
        (alembic_fragment.ModuleDocFragment.MUTATING, _alembic.MUTATING_ARGUMENTS),
    ],
)
def test_documentation_and_arguments_agree(fragment: str, arguments: dict[str, dict[str, Any]]) -> None:
    documented = safe_load(fragment)["options"]
    described = {
        name: {key: value for key, value in option.items() if key != "description"}
        for name, option in documented.items()
    }
    assert described == {
        name: {key: value for key, value in spec.items() if key != "no_log"} for name, spec in arguments.items()
    }
