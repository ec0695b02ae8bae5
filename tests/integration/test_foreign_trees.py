"""Our modules on Alembic trees that we did not write: optuna's, and the two of mlflow. Real server, the applications' own code."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dumps
import foreign_trees
import psycopg
import pytest
import support
from foreign_trees import MLFLOW, MLFLOW_AUTH, OPTUNA, application
from psycopg import sql
from support import Database, Ran, names

pytestmark = pytest.mark.skipif(not foreign_trees.PYTHON.exists(), reason="tools/integration makes .cache/trees")

Module = Callable[..., Ran]

OPTUNA_REVISIONS = [
    "v0.9.0.a", "v1.2.0.a", "v1.3.0.a", "v2.4.0.a", "v2.6.0.a",
    "v3.0.0.a", "v3.0.0.b", "v3.0.0.c", "v3.0.0.d", "v3.2.0.a",
]  # fmt: skip
OPTUNA_HEAD = OPTUNA_REVISIONS[-1]
MLFLOW_HEAD = "dc11669786a5"
AUTH_HEAD = "f1a2b3c4d5e6"


@pytest.fixture
def module(database: Database, collections: Path) -> Module:
    """Run a module on a tree and the test's database."""

    def run(name: str, tree: dict[str, Any], check: bool = False, **options: Any) -> Ran:
        ran = support.run_module(collections, name, {**tree, "url": database.url, **options}, check)
        assert database.parts["password"] not in ran.text
        assert "\n" not in ran.msg
        return ran

    return run


@pytest.fixture
def scratch(database: Database) -> Iterator[dict[str, Any]]:
    """Options for a scratch database, made by a login that may do nothing else."""
    role, password = f"pgsteward_test_{os.getpid()}_trees", secrets.token_hex(12)
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{password}'".encode())
        address = f"{connection.info.host}:{connection.info.port}/{database.name}"
        yield {"scratch": "database", "scratch_url": f"postgresql://{role}:{password}@{address}"}
        connection.execute(f"DROP ROLE {role}".encode())


def test_optuna(database: Database, module: Module, scratch: dict[str, Any]) -> None:
    """Ten revisions, of which the third cannot be rendered offline; in the end the application works on the database."""
    info = module("alembic_info", OPTUNA)
    assert (info.result["state"], names(info.result["pending"])) == ("fresh", OPTUNA_REVISIONS), info.text

    checked = module("alembic_upgrade", OPTUNA, check=True, **scratch)
    shown = foreign_trees.previewed(checked.result["diff"])
    assert checked.result["sql_method"] == "replay", checked.text
    assert list(shown) == OPTUNA_REVISIONS
    assert all(shown.values()), shown
    assert database.relations() == []

    ran = module("alembic_upgrade", OPTUNA)
    assert names(ran.result["applied"]) == OPTUNA_REVISIONS, ran.text
    assert ran.result["sql"] == checked.result["sql"]
    assert database.rows("SELECT version_num FROM alembic_version") == [(OPTUNA_HEAD,)]
    assert not module("alembic_upgrade", OPTUNA).result["changed"]
    assert module("alembic_info", OPTUNA).result["state"] == "managed"

    # Another tool's word: the application itself.
    assert application(foreign_trees.OPTUNA_WORKS, database) == "2\n"


def test_optuna_history_and_models_differ(database: Database, module: Module, scratch: dict[str, Any]) -> None:
    """What no revision ever made is found, and nothing is written in check mode."""
    there = sorted(Path(OPTUNA["project"]).rglob("*.py"))
    shown = module("alembic_revision", OPTUNA, check=True, message="catch up", **scratch)
    assert shown.result["operations"] == [
        "create table trial_heartbeats",
        "alter column trial_values.trial_id",
        "drop index trials_study_id_key on trials",
        "create index ix_trials_study_id on trials",
    ], shown.text
    assert shown.result["down_revision"] == ["v3.2.0.a"]
    assert (sorted(Path(OPTUNA["project"]).rglob("*.py")), database.relations()) == (there, [])


# From here on the server is the one whose programs are on this host too: for private clusters, and for pg_dump.


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """That server."""
    support.use_server(monkeypatch, support.LOCAL_MAJOR)


on_local = pytest.mark.usefixtures("local")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The option for a cache that all tests of this file share."""
    return {"cache": str(tmp_path_factory.mktemp("cache") / "replays")}


@pytest.fixture(scope="module")
def optuna_at() -> Iterator[dict[str, str]]:
    """Names of databases that Alembic itself brought to some of optuna's revisions, for copying."""
    made: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        support.use_server(patch, support.LOCAL_MAJOR)
        before = "template1"
        for number, revision in enumerate(("v2.6.0.a", "v3.0.0.c", OPTUNA_HEAD)):
            database = copied(before, f"pgsteward_test_{os.getpid()}_optuna{number}")
            made[revision] = before = database.name
            ran = foreign_trees.optuna_upgrade(revision, database)
            assert ran.returncode == 0, ran.stderr
        yield made
        for name in made.values():
            support.drop_database(name)


def copied(template: str, name: str) -> Database:
    """Make a database as a copy of another."""
    support.drop_database(name)
    with psycopg.connect(support.server_url(), autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return Database(name)


def forget(database: Database) -> None:
    """Take away what says at which revision a database is."""
    database.rows("DROP TABLE alembic_version")


def differences(ran: Ran) -> set[tuple[str, str]]:
    """Return kind and object of each difference that stands in the way of an adoption."""
    return {(item["kind"], item["object"]) for item in ran.result["drift"] if item["blocks"]}


# How optuna's models differ from its history, beside a table and an index more that no revision knows.
MADE_OTHERWISE = {
    ("changed", "enum public.trialstate"),
    ("changed", "column public.trial_values.trial_id"),
    ("extra", "constraint public.trial_values.trial_values_trial_id_objective_key"),
    ("missing", "constraint public.trial_values.uq_trial_values_trial_id_objective"),
}
HEAD_ONLY = ("missing", "index public.trials_study_id_key")


def accepting(*differing: tuple[str, str]) -> list[dict[str, str]]:
    """Return the option accept for these objects."""
    return [{"object": name, "reason": "create_all made it so"} for _kind, name in sorted(differing)]


@on_local
def test_optuna_made_by_its_models(database: Database, module: Module, cache: dict[str, Any]) -> None:
    """create_all leaves no revision behind, and no revision is what it made: the evidence is shown, and nothing is stamped."""
    application(foreign_trees.OPTUNA_CREATE_ALL, database)
    before = dumps.witness(database)
    info = module("alembic_info", OPTUNA)
    assert info.result["state"] == "legacy", info.text
    assert "Of the 12 tables of the models 12 are there." in info.result["evidence"]

    stopped = module("alembic_adopt", OPTUNA, **cache)
    assert stopped.failed
    assert "is nearest to revision v3.0.0.d, and not at it (1 missing, 1 extra, 2 changed: " in stopped.msg
    distances = {", ".join(item["revision"]): item["distance"] for item in stopped.result["candidates"]}
    assert sorted(distances) == sorted(["", *OPTUNA_REVISIONS])
    assert list(distances.items())[:3] == [("v3.0.0.d", 4), ("v3.2.0.a", 5), ("v3.0.0.c", 7)]
    assert differences(stopped) == MADE_OTHERWISE
    tolerated = {item["object"] for item in stopped.result["drift"] if not item["blocks"] and item["kind"] == "extra"}
    assert {"table public.trial_heartbeats", "index public.ix_trials_study_id"} <= tolerated

    # The newest lacks an index more. Short of one difference, or of a word about which of two that then fit, nothing is stamped.
    named = module("alembic_adopt", OPTUNA, revision=[OPTUNA_HEAD], accept=accepting(*MADE_OTHERWISE), **cache)
    assert (named.failed, differences(named)) == (True, {HEAD_ONLY}), named.text
    everything = accepting(*MADE_OTHERWISE, HEAD_ONLY)
    tied = module("alembic_adopt", OPTUNA, accept=everything, **cache)
    assert (tied.failed, tied.result["ties"]) == (True, [["v3.0.0.d"], ["v3.2.0.a"]]), tied.text
    mended = module(
        "alembic_adopt",
        OPTUNA,
        check=True,
        revision=[OPTUNA_HEAD],
        repair="additive",
        accept=accepting(*MADE_OTHERWISE),
        **cache,
    )
    assert mended.result["repaired"] == [
        "CREATE INDEX CONCURRENTLY trials_study_id_key ON public.trials USING btree (study_id)"
    ], mended.text
    assert dumps.witness(database) == before

    ran = module("alembic_adopt", OPTUNA, revision=[OPTUNA_HEAD], accept=everything, **cache)
    assert (ran.result["current"], ran.result["proven"]) == ([OPTUNA_HEAD], True), ran.text
    assert database.rows("SELECT version_num FROM alembic_version") == [(OPTUNA_HEAD,)]
    assert not module("alembic_upgrade", OPTUNA).result["changed"]
    assert application(foreign_trees.OPTUNA_WORKS, database) == "2\n"


@on_local
def test_optuna_adopted_in_the_middle(
    optuna_at: dict[str, str], database: Database, module: Module, cache: dict[str, Any]
) -> None:
    """The revision is found, and the history goes on from there."""
    copied(optuna_at["v3.0.0.c"], database.name)
    forget(database)
    ran = module("alembic_adopt", OPTUNA, **cache)
    assert (ran.result["current"], ran.result["distance"], ran.result["drift"]) == (["v3.0.0.c"], 0, []), ran.text
    assert database.rows("SELECT version_num FROM alembic_version") == [("v3.0.0.c",)]
    assert names(module("alembic_upgrade", OPTUNA).result["applied"]) == ["v3.0.0.d", "v3.2.0.a"]


@on_local
def test_optuna_adopted_where_neighbours_make_the_same(
    optuna_at: dict[str, str], database: Database, module: Module, cache: dict[str, Any]
) -> None:
    """One of optuna's revisions only moves rows, so two have the same schema: that is said, and a person decides."""
    copied(optuna_at["v2.6.0.a"], database.name)
    forget(database)
    before = dumps.witness(database)
    tied = module("alembic_adopt", OPTUNA, **cache)
    assert "fits several revisions equally well (v2.6.0.a, v3.0.0.a), and a catalog cannot tell" in tied.msg
    assert tied.result["ties"] == [["v2.6.0.a"], ["v3.0.0.a"]]
    assert "is nearest to revision v3.0.0.c, and" in module("alembic_adopt", OPTUNA, revision=["v3.0.0.c"], **cache).msg
    assert dumps.witness(database) == before
    assert module("alembic_adopt", OPTUNA, revision=["v3.0.0.a"], **cache).result["current"] == ["v3.0.0.a"]
    assert database.rows("SELECT version_num FROM alembic_version") == [("v3.0.0.a",)]


@on_local
def test_optuna_stamped(optuna_at: dict[str, str], database: Database, module: Module, cache: dict[str, Any]) -> None:
    """Only with what its schema is."""
    copied(optuna_at["v3.0.0.c"], database.name)
    forget(database)
    before = dumps.witness(database)
    refused = module("alembic_stamp", OPTUNA, revision=["heads"], **cache)
    assert "nothing was stamped" in refused.msg
    assert "index public.trials_study_id_key" in {item["object"] for item in refused.result["drift"]}
    assert dumps.witness(database) == before
    ran = module("alembic_stamp", OPTUNA, revision=["v3.0.0.c"], **cache)
    assert (ran.result["changed"], ran.result["current"], ran.result["drift"]) == (True, ["v3.0.0.c"], []), ran.text
    assert database.rows("SELECT version_num FROM alembic_version") == [("v3.0.0.c",)]
    assert not module("alembic_stamp", OPTUNA, revision=["v3.0.0.c"], **cache).result["changed"]


@on_local
def test_optuna_taken_back(optuna_at: dict[str, str], database: Database, module: Module) -> None:
    """As far as its people wrote the way back, and no step on a way that they did not."""
    copied(optuna_at[OPTUNA_HEAD], database.name)
    before = dumps.witness(database)
    for check in (True, False):
        refused = module("alembic_downgrade", OPTUNA, check=check, revision="base", confirm=database.name)
        assert "there is no way back through revision v2.4.0.a, whose downgrade() does nothing (alembic/" in refused.msg
        assert names(refused.result["one_way"]) == ["v2.4.0.a"]
    shown = module("alembic_downgrade", OPTUNA, check=True, revision="v3.0.0.c")
    back = foreign_trees.previewed(shown.result["diff"], "taken back: ")
    assert (shown.result["sql_method"], list(back)) == ("replay", ["v3.2.0.a", "v3.0.0.d"]), shown.text
    assert all(back.values()), back
    # The downgrade() of v3.0.0.c names something that is not there. A check finds that out on scratch.
    wrong = "revision v3.0.0.c (Add intermediate_value_type column to represent +inf and -inf) failed on the way back: AttributeError"
    checked = module("alembic_downgrade", OPTUNA, check=True, revision="v3.0.0.a")
    assert wrong in str(checked.result["warnings"]), checked.text
    assert dumps.witness(database) == before

    ran = module("alembic_downgrade", OPTUNA, revision="v3.0.0.c", confirm=database.name)
    assert (ran.result["current"], ran.result["sql"]) == (["v3.0.0.c"], shown.result["sql"]), ran.text
    ran = module("alembic_downgrade", OPTUNA, revision="v3.0.0.a", confirm=database.name)
    assert wrong in ran.msg
    assert database.rows("SELECT version_num FROM alembic_version") == [("v3.0.0.c",)]
    assert module("alembic_upgrade", OPTUNA).result["current"] == [OPTUNA_HEAD]
    assert application(foreign_trees.OPTUNA_WORKS, database) == "2\n"


@on_local
def test_optuna_works_in_one_go_only(database: Database, module: Module) -> None:
    """Its v2.4.0.a makes an enum type again, unless the run made it itself. Alembic fails there, and a check says so before."""
    assert foreign_trees.optuna_upgrade("v1.3.0.a", database).returncode == 0
    before = dumps.witness(database)
    said = 'type "studydirection" already exists'
    assert said in foreign_trees.optuna_upgrade("head", database).stderr
    checked = module("alembic_upgrade", OPTUNA, check=True)
    assert checked.result["sql_method"] == "list", checked.text
    assert f"and so did a replay (revision v2.4.0.a (empty message) failed: DuplicateObject: {said}" in str(
        checked.result["warnings"]
    ).replace("\\", "")
    assert dumps.witness(database) == before
    ran = module("alembic_upgrade", OPTUNA)
    assert ran.msg.startswith(f"revision v2.4.0.a (empty message) failed: DuplicateObject: {said}")
    assert database.rows("SELECT version_num FROM alembic_version") == [("v1.3.0.a",)]


@on_local
def test_optuna_validated(database: Database, module: Module) -> None:
    """The same fault is found on the staircase, with what else is wrong; no database is needed to be anywhere for that."""
    ran = module("alembic_validate", OPTUNA, lint=False)
    assert ran.msg.startswith("3 errors, 2 warnings in the revisions of "), ran.msg
    found = [(item["severity"], item["check"], item["revision"]) for item in ran.result["findings"]]
    assert found == [
        ("error", "enum_left_behind", "v0.9.0.a"),
        ("error", "staircase_failed", "v0.9.0.a"),
        ("error", "staircase_failed", "v2.4.0.a"),
        ("warning", "empty_downgrade", "v2.4.0.a"),
        ("warning", "lint_missing", None),  # nobody saw what the later ones would run
    ]
    assert database.relations() == []


def sorted_statements(ran: Ran) -> dict[str, list[str]]:
    """Return what each revision does, whatever the order: mlflow makes its indexes in another one each time."""
    return {name: sorted(lines) for name, lines in foreign_trees.previewed(ran.result["diff"]).items()}


def baseline(database: Database, path: Path) -> dict[str, str]:
    """Write down the schema of a database as an operator does; return the option that names it."""
    path.write_text(dumps.dump(database, "--schema-only", "--no-owner", "--no-privileges"))
    return {"scratch_baseline": str(path)}


@pytest.mark.skipif(not support.FULL, reason="acceptance size (PGSTEWARD_FULL=1): a minute of 67 revisions")
@on_local
def test_mlflow_trees_in_one_database(
    database: Database, module: Module, cache: dict[str, Any], tmp_path: Path
) -> None:
    """Two trees with a version table each, the first on tables that the application makes beforehand."""
    application(foreign_trees.MLFLOW_FIRST_TABLES, database)
    info = module("alembic_info", MLFLOW)
    assert (info.result["state"], len(info.result["pending"])) == ("legacy", 67), info.text
    assert "Of the 63 tables of the models 5 are there." in info.result["evidence"]

    # The first tables are in no revision, so a replay on an empty database cannot get past the first one.
    before = dumps.witness(database)
    stopped = module("alembic_adopt", MLFLOW, **cache)
    assert "revision 451aebb31d03 (add metric step) failed: UndefinedTable" in stopped.msg
    assert stopped.msg.endswith("before the first revision, give its SQL by scratch_baseline")
    first = baseline(database, tmp_path / "first.sql")
    ran = module("alembic_adopt", MLFLOW, **first, **cache)
    assert (ran.failed, ran.result["changed"], ran.result["proven"]) == (False, False, True), ran.text
    assert (ran.result["revision"], ran.result["distance"]) == ([], 0)
    assert ran.result["messages"][-1] == "before the first revision: migrate it"
    checked = module("alembic_upgrade", MLFLOW, check=True, **first)
    assert (checked.result["sql_method"], len(checked.result["pending"])) == ("replay", 67), checked.text
    assert dumps.witness(database) == before

    # What the check showed is what runs, line by line; three revisions have nothing to do on PostgreSQL.
    ran = module("alembic_upgrade", MLFLOW)
    assert (len(ran.result["applied"]), ran.result["current"]) == (67, [MLFLOW_HEAD]), ran.text
    shown, run = (sorted_statements(each) for each in (checked, ran))
    assert shown == run
    assert [name for name, said in run.items() if not said] == ["0a8213491aaa", "c48cb773bb87", "4465047574b1"]
    again = module("alembic_upgrade", MLFLOW)
    assert (again.result["changed"], again.result["state"]) == (False, "managed")
    assert application(foreign_trees.MLFLOW_ACCEPTS, database) == "True\n"

    # The other tree sees nothing of the first but tables that are not its own, which is no reason to adopt anything.
    whole = baseline(database, tmp_path / "whole.sql")
    forget(database)
    ran = module("alembic_adopt", MLFLOW, **first, **cache)
    assert (ran.result["current"], ran.result["distance"]) == ([MLFLOW_HEAD], 0), ran.text
    before = dumps.witness(database)
    info = module("alembic_info", MLFLOW_AUTH)
    assert (info.result["state"], len(info.result["pending"])) == ("fresh", 7), info.text
    assert "Other version tables are there: public.alembic_version." in info.result["evidence"]
    ran = module("alembic_adopt", MLFLOW_AUTH, **cache)
    assert (ran.result["changed"], ran.result["state"]) == (False, "fresh"), ran.text
    checked = module("alembic_upgrade", MLFLOW_AUTH, check=True, **whole)
    assert (checked.result["sql_method"], checked.result["version_table"]) == ("replay", "alembic_version_auth")
    assert dumps.witness(database) == before
    ran = module("alembic_upgrade", MLFLOW_AUTH)
    assert (len(ran.result["applied"]), ran.result["current"]) == (7, [AUTH_HEAD]), ran.text
    # The last one looks first whether mlflow's other tables are there: with them in the baseline the check shows that too.
    shown, run = (sorted_statements(each) for each in (checked, ran))
    assert shown == run
    assert all(run.values()), run
    again = module("alembic_upgrade", MLFLOW_AUTH)
    assert (again.result["changed"], again.result["state"]) == (False, "managed")
    versions = "SELECT a.version_num, b.version_num FROM alembic_version a, alembic_version_auth b"
    assert database.rows(versions) == [(MLFLOW_HEAD, AUTH_HEAD)]

    back = module("alembic_downgrade", MLFLOW, check=True, revision="-1")
    assert "DROP TABLE scheduler_leases" in back.result["sql"]
    back = module("alembic_downgrade", MLFLOW_AUTH, check=True, revision="base")
    assert (back.result["sql_method"], len(back.result["pending"])) == ("replay", 7), back.text
    # Each is what its history says. All that differs is the other one, which is extra; a function, unlike a table, is grave.
    trigger = {"object": "function public.prevent_secrets_aad_mutation()", "reason": "mlflow's other tree has it"}
    for tree, options in ((MLFLOW, first), (MLFLOW_AUTH, {"accept": [trigger]})):
        ran = module("schema_verify", tree, truth="history", fail_on="slower", **options, **cache)
        assert not ran.failed, ran.text
        assert {(item["attribute"], item["expected"], item["severity"]) for item in ran.result["drift"]} == {
            ("existence", "absent", "cosmetic")
        }
