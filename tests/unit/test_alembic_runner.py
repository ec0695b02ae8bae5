"""The runner's pure parts, without alembic's command or a server."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.util import CommandError
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic_runner as runner
from ansible_collections.pgsteward.postgres.plugins.module_utils import _run_models, _run_upgrade, _runner_process
from sqlalchemy import ARRAY, Column, Enum, Integer, MetaData, Sequence, Table, create_mock_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

#        a
#       / \
#      b   c     e stands on d, and depends on b
#          |
#          d
GRAPH: dict[str, dict[str, Any]] = {
    name: {"down": down, "labels": []}
    for name, down in {"a1": [], "b1": ["a1"], "c1": ["a1"], "d1": ["c1"], "e1": ["d1", "b1"], "e2": []}.items()
}


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        ([], set()),
        (["a1"], {"a1"}),
        (["d1"], {"a1", "c1", "d1"}),
        (["e1"], {"a1", "b1", "c1", "d1", "e1"}),
        (["b1", "unknown"], {"a1", "b1"}),
    ],
)
def test_closure(revisions: list[str], expected: set[str]) -> None:
    assert runner.closure(GRAPH, revisions) == expected


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [([], []), (["a1", "b1"], ["b1"]), (["b1", "c1"], ["b1", "c1"]), (["e1", "b1", "a1"], ["e1"])],
)
def test_maximal(revisions: list[str], expected: list[str]) -> None:
    assert runner.maximal(GRAPH, revisions) == expected


@pytest.mark.parametrize(("target", "expected"), [("a1", "a1"), ("b", "b1"), ("x", None), ("e1", "e1")])
def test_match_target(target: str, expected: str | None) -> None:
    assert runner.match_target(target, GRAPH) == expected


def test_match_target_refuses_what_is_ambiguous() -> None:
    with pytest.raises(runner.RunnerError, match="e1, e2"):
        runner.match_target("e", GRAPH)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo", "one"),
        ("\n  one  \nLINE 1: x\nDETAIL:  Key (id)=(1).\n", "one DETAIL:  Key (id)=(1)."),
        ("", ""),
    ],
)
def test_first_lines(text: str, expected: str) -> None:
    assert runner.first_lines(text) == expected


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no\nlines"), "ValueError: no"),
        (AssertionError(), "AssertionError"),
        (SystemExit(3), "it ended the process (exit status 3)"),
        (SystemExit(), "it ended the process (exit status 0)"),
        (runner.RunnerError("plain"), "plain"),
        (ProgrammingError("SELECT 1", {}, ValueError("deep")), "ValueError: deep"),
        (_caused(CommandError("wrapper"), KeyError("r0")), "KeyError: 'r0'"),
        (CommandError("for people"), "for people"),
        (_caused(ValueError("mine"), KeyError("theirs")), "ValueError: mine"),
    ],
)
def test_describe(error: BaseException, text: str) -> None:
    assert runner.describe(error)["text"] == text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://app:pw@db1/shop", "app@db1:5432/shop"),
        ("postgresql+psycopg://app@/shop?host=/run&port=6000", "app@/run:6000/shop"),
        ("postgresql://db1:6000", "@db1:6000/"),
        ("postgresql:///shop?host=a&host=b", "@a,b:5432/shop"),
    ],
)
def test_place_of(url: str, expected: str) -> None:
    assert runner.place_text(runner.place_of(make_url(url))) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql+psycopg_async://h/d", "postgresql+psycopg_async://h/d"),
    ],
)
def test_named_driver(url: str, expected: str) -> None:
    assert runner.named_driver(url) == expected


def test_a_driver_that_is_not_there_is_named() -> None:
    with pytest.raises(runner.RunnerError, match="cannot import nodriver: install the driver there"):
        runner.named_driver("postgresql+nodriver://h/d")


# The action create_models


class _Context:
    """As much of a MigrationContext as creating models needs."""

    def __init__(self) -> None:
        self.connection = create_mock_engine("postgresql+psycopg://", self._run)
        self.connection.exec_driver_sql = self._run  # type: ignore[attr-defined]
        self.statements: list[str] = []
        self.transactions: list[bool] = []

    def _run(self, statement: Any, *_arguments: Any) -> None:
        self.statements.append(" ".join(str(statement).split()))

    @contextlib.contextmanager
    def begin_transaction(self, _per_migration: bool = False) -> Iterator[None]:
        self.transactions.append(_per_migration)
        yield


def _models(*tables: str, **options: Any) -> MetaData:
    metadata = MetaData(**options)
    for name in tables:
        Table(name, metadata, Column("id", Integer, primary_key=True))
    return metadata


def _create(metadata: Any) -> tuple[_Context, dict[str, Any]]:
    facts: dict[str, Any] = {}
    context = _Context()
    _run_models.CreateModels({}, facts.update, None, metadata).work(
        context, lambda: pytest.fail("nothing may be migrated")
    )
    return context, facts


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (_models("a", "b"), ["a", "b"]),
        ([_models("a"), _models("b")], ["a", "b"]),
        ((_models("a"), None, _models()), ["a"]),
    ],
)
def test_models_are_created(metadata: Any, expected: list[str]) -> None:
    context, facts = _create(metadata)
    created = [statement.split()[2] for statement in context.statements if statement.startswith("CREATE TABLE")]
    assert (created, facts, context.transactions) == (expected, {"tables": len(expected)}, [True])


def test_schemas_come_first() -> None:
    metadata = _models("a", schema="Odd one")
    metadata.create_all = lambda _connection: None  # type: ignore[method-assign]
    context, _facts = _create(metadata)
    assert context.statements == ['CREATE SCHEMA IF NOT EXISTS "Odd one"']


def test_schemas_of_tables_types_and_sequences() -> None:
    metadata = _models("a")
    mood = Enum("good", "bad", name="mood", schema="types")
    Table(
        "b", metadata, Column("moods", ARRAY(mood)), Column("mood", Enum("x", name="y", schema="kinds")), schema="app"
    )
    Sequence("numbers", metadata=metadata, schema="counters")
    assert _run_models.schemas_of([metadata, _models(schema="whole")]) == ["app", "counters", "kinds", "types", "whole"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "env.py gives no target_metadata: models cannot be compared"),
        ([], "env.py gives no target_metadata"),
        ([None], "env.py gives no target_metadata"),
        (_models(), "target_metadata has no tables: the modules that define the models are not imported by env.py"),
        ([_models(), _models()], "target_metadata has no tables"),
    ],
)
def test_models_that_are_not_there(metadata: Any, message: str) -> None:
    with pytest.raises(runner.RunnerError, match=message):
        _create(metadata)


def test_models_that_cannot_be_created() -> None:
    metadata = _models("a")

    def fail(_connection: Any) -> None:
        raise ProgrammingError("CREATE TABLE", {}, ValueError('type "vector" does not exist\nLINE 1: x'))

    metadata.create_all = fail  # type: ignore[method-assign]
    with pytest.raises(runner.RunnerError) as caught:
        _create(metadata)
    assert str(caught.value) == 'the models cannot be created: ValueError: type "vector" does not exist'


# Statements


def test_statements_of_a_revision_are_kept_and_reported() -> None:
    facts: dict[str, Any] = {}
    statements = _run_upgrade.Statements()
    statements.add("before")

    def body() -> None:
        for text in (" CREATE TABLE a ()\n", "SELECT 1 FROM pg_catalog.pg_class", "select setval('s', 1)"):
            statements.add(text)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # nobody says a word
        statements.during(body, "r1", facts.update)()
    statements.add("after")
    assert facts == {"sql": {"revision": "r1", "statements": ["CREATE TABLE a ()", "select setval('s', 1)"]}}


def test_long_and_many_statements_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run_upgrade, "_SHOWN_STATEMENTS", 2)
    monkeypatch.setattr(_run_upgrade, "_SHOWN_CHARACTERS", 3)
    facts: dict[str, Any] = {}
    statements = _run_upgrade.Statements()
    body = lambda: [statements.add(text) for text in ("one", "three", "4", "5")]  # noqa: E731
    statements.during(body, "r1", facts.update)()  # type: ignore[arg-type]
    assert facts["sql"]["statements"] == ["one", "thr …", "-- and 2 more statements"]


class _Dialect:
    def __init__(self, paramstyle: str) -> None:
        self.paramstyle = paramstyle


@pytest.mark.parametrize(("style", "expected"), [("pyformat", "5 %"), ("format", "5 %"), ("named", "5 %%")])
def test_plain(style: str, expected: str) -> None:
    assert _run_upgrade.plain("5 %%", _Dialect(style)) == expected


class _DriverError(Exception):
    def __init__(self, **attributes: Any) -> None:
        super().__init__("no")
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (_DriverError(sqlstate="55P03"), "55P03"),
        (_DriverError(pgcode="55P03"), "55P03"),
        (ProgrammingError("SELECT 1", {}, _DriverError(pgcode="42P01")), "42P01"),
        (ValueError("no"), None),
        (_DriverError(sqlstate=7), None),
    ],
)
def test_sqlstate(error: BaseException, expected: str | None) -> None:
    assert runner.sqlstate(error) == expected


def test_every_file_of_an_action_is_shipped() -> None:
    """Ansible ships what import statements name, and the runner's sources are written from what was shipped."""
    text = Path(_runner_process.__file__ or "").read_text(encoding="utf-8")
    named = text.partition("if TYPE_CHECKING:")[2].partition("\n\n# ")[0]
    assert sorted(_runner_process.RUNNER) == sorted(["_alembic_runner", *re.findall(r"_run_\w+", named)])
    for name in _runner_process.RUNNER:
        assert (Path(_runner_process.__file__ or "").parent / f"{name}.py").is_file()
