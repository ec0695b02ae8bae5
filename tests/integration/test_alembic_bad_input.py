"""Bad input gets one line with the remedy, from every Alembic module that can meet it, and changes nothing.

The servers are a primary and its standby of our own, so no lab is needed. CI takes every third pair of case and module.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import private_pair
import pytest
import support
import trees
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect

FULL = os.environ.get("PGSTEWARD_FULL") == "1"
MODULES: dict[str, dict[str, Any]] = {
    "alembic_info": {},
    "alembic_upgrade": {},
    "alembic_downgrade": {"revision": "r1"},
    "alembic_stamp": {"revision": ["r1"]},
    "alembic_adopt": {},
    "alembic_revision": {"message": "more", "autogenerate": False},
    "alembic_validate": {},
    "foreign_key_orphans": {},
    "schema_verify": {"truth": "history"},
}
WRITERS = ("alembic_upgrade", "alembic_downgrade", "alembic_stamp", "alembic_adopt")
DROPPED = 'def downgrade():\n    op.drop_table("t_{}")'
REVISIONS = {
    name: text.replace("def downgrade():\n    pass", DROPPED.format(name))
    for name, text in {**trees.chain(1), "ab1": trees.table("ab1", "r1"), "ab2": trees.table("ab2", "ab1")}.items()
}
# In managed the first two revisions are applied, legacy has the table of the first, lost a revision that no file has.
MADE = "CREATE TABLE public.t_r1 (id serial PRIMARY KEY); CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY);"
DATABASES = {
    "managed": MADE
    + "CREATE TABLE public.t_ab1 (id serial PRIMARY KEY); INSERT INTO public.alembic_version VALUES ('ab1')",
    "legacy": "CREATE TABLE public.t_r1 (id serial PRIMARY KEY)",
    "lost": MADE + "INSERT INTO public.alembic_version VALUES ('deadbeef')",
}
KEY = {"table": "public.t_r1", "columns": ["id"], "references": "public.t_r1"}


@dataclass(frozen=True)
class Case:
    """One kind of bad input. says: what the line has to say; in a module's own words where words has them.

    only: modules that can meet it; options: for all of them, own: for single ones, {tmp} is the directory of the projects.
    """

    says: str
    only: tuple[str, ...] = tuple(MODULES)
    options: dict[str, Any] = field(default_factory=dict)
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    database: str = "managed"
    standby: bool = False
    user: tuple[str, str] | None = None
    driver: str = ""
    url: str | None = None


CASES = {
    "no alembic.ini": Case(
        r"there is no nowhere\.ini in \S+: name the project's directory by project, and the file by config",
        options={"config": "nowhere.ini"},
    ),
    "wrong section": Case(r"alembic\.ini has no section \[shop\]; it has: alembic, other", options={"section": "shop"}),
    "missing driver": Case(
        r"/python\S* cannot import nodriver: install the driver there",
        own={"alembic_revision": {"autogenerate": True}},
        driver="+nodriver",
    ),
    "unreachable server": Case(
        r"^cannot connect to host 127\.0\.0\.1 port 1 .*: check that the server runs and listens there",
        url="postgresql://nobody:hush@127.0.0.1:1/none",
    ),
    "wrong password": Case(
        r"^cannot connect to .*password authentication failed .*: check the user and the password",
        user=("reader", "mistaken"),
    ),
    "unknown revision": Case(
        r"revision 'deadbeef', and no file of this project has it: bring the missing file back, ",
        database="lost",
        only=(
            "alembic_upgrade",
            "alembic_downgrade",
            "alembic_stamp",
            "alembic_validate",
            "foreign_key_orphans",
            "schema_verify",
        ),
        words={
            "alembic_validate": "unknown_revision: the database is at revision deadbeef, and no file of this project has it",
            "foreign_key_orphans": "is at revision deadbeef, and no file of the project has it: bring the missing file back",
            "schema_verify": "is at revision deadbeef, and no file of .* has it: bring the missing file back, ",
        },
    ),
    "ambiguous id": Case(
        "revision 'ab' is ambiguous: ab1, ab2 begin like that; write one in full",
        options={"revision": ["ab"]},
        own={"alembic_downgrade": {"revision": "ab"}, "alembic_revision": {"revision": None, "head": "ab"}},
    ),
    "below base": Case(
        "revision '-9' leads below base: the database is at ab1, 2 above it",
        only=("alembic_downgrade",),
        own={"alembic_downgrade": {"revision": "-9", "confirm": "managed"}},
    ),
    "standby": Case(
        "is a standby, which takes no writes: give the address of the primary",
        only=(*WRITERS, "alembic_revision", "alembic_validate", "foreign_key_orphans"),
        own={"foreign_key_orphans": {"project": None, "keys": [KEY], "action": "quarantine"}},
        standby=True,
    ),
    "read-only account": Case(
        r"InsufficientPrivilege: .*[:;] run it as an account that may do this, such as the owner of the schema",
        only=WRITERS,
        own={"alembic_downgrade": {"confirm": "managed"}},
        words={
            "alembic_upgrade": r"revision ab2 .* permission denied for schema public .*; run it as an account that may"
        },
        user=("reader", "letmeread"),
    ),
    "no alembic": Case(
        r"/bare/bin/python cannot import alembic \(No module named 'alembic'\): install it there",
        options={"virtualenv": "{tmp}/bare"},
    ),
}
PAIRS = [(case, module) for case, each in CASES.items() for module in each.only]


@dataclass(frozen=True)
class Servers:
    """A primary and its standby, with DATABASES and the account reader on both, and a directory with projects."""

    primary: Place
    standby: Place
    directory: Path


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers, for all tests of this file."""
    directory = tmp_path_factory.mktemp("bad")
    trees.write_tree(directory / "tree", REVISIONS)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory / "bare")], check=True)
    with private_pair.pair(support.LOCAL_MAJOR) as (primary, standby):
        run(primary, "CREATE ROLE reader LOGIN PASSWORD 'letmeread'")
        for name, statements in DATABASES.items():
            run(primary, f"CREATE DATABASE {name}")
            run(replace(primary, database=name), f"{statements}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        private_pair.caught_up(primary, standby)
        yield Servers(primary, standby, directory)


def run(place: Place, query: str) -> list[tuple[Any, ...]]:
    """Run statements as the superuser; return the rows."""
    with connect(place, "test") as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def everything(servers: Servers) -> str:
    """Return what pg_dumpall says of the primary."""
    ran = subprocess.run(
        [
            "pg_dumpall",
            "-h",
            str(servers.primary.host),
            "-p",
            str(servers.primary.port),
            "-U",
            str(servers.primary.user),
        ],
        env={**os.environ, "PGPASSWORD": str(servers.primary.password)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return re.sub(r"^\\(un)?restrict \w+$", "", ran.stdout, flags=re.MULTILINE)


def arguments(case: Case, module: str, servers: Servers) -> dict[str, Any]:
    """Return the options of a module in a case."""
    place = servers.standby if case.standby else servers.primary
    user, password = case.user or (place.user, place.password)
    database = (
        "legacy" if module in ("alembic_stamp", "alembic_adopt") and case.database == "managed" else case.database
    )
    url = case.url or f"postgresql{case.driver}://{user}:{password}@/{database}?host={place.host}&port={place.port}"
    options = {"project": str(servers.directory / "tree"), "url": url, **MODULES[module], **case.options}
    options.update(case.own.get(module, {}))
    return {
        name: value.format(tmp=servers.directory) if name == "virtualenv" else value
        for name, value in options.items()
        if value is not None
    }


@pytest.fixture(scope="module")
def before(servers: Servers) -> str:
    """What the primary had at first."""
    return everything(servers)


@pytest.mark.parametrize(("name", "module"), PAIRS if FULL else PAIRS[::3])
def test_one_line_with_the_remedy(name: str, module: str, servers: Servers, before: str, collections: Path) -> None:
    case = CASES[name]
    given = arguments(case, module, servers)
    ran = support.run_module(collections, module, given)
    assert ran.failed, ran.text
    assert re.search(case.words.get(module, case.says), ran.msg), ran.msg
    assert "\n" not in ran.msg
    assert "Traceback" not in ran.msg
    assert "exception" not in ran.result
    told = json.dumps({key: value for key, value in ran.result.items() if key != "invocation"})
    assert str(servers.primary.password) not in told
    assert "letmeread" not in told
    assert "mistaken" not in told
    assert everything(servers) == before


def test_what_may_be_read_on_a_standby(servers: Servers, collections: Path) -> None:
    """Looking is no reason to go to the primary."""
    case = Case("", standby=True)
    for module in ("alembic_info", "foreign_key_orphans", "schema_verify"):
        ran = support.run_module(collections, module, arguments(case, module, servers))
        assert (ran.failed, ran.result["changed"]) == (False, False), ran.text


def test_an_adoption_of_somebody_elses_database_warns(servers: Servers, before: str, collections: Path) -> None:
    """There is a revision, so nothing is adopted; that no file has it is not passed over."""
    ran = support.run_module(
        collections, "alembic_adopt", arguments(CASES["unknown revision"], "alembic_adopt", servers)
    )
    assert (ran.failed, ran.result["changed"], ran.result["state"]) == (False, False, "foreign"), ran.text
    assert "names deadbeef, and no file of the project has it" in str(ran.result["warnings"])
    assert everything(servers) == before
