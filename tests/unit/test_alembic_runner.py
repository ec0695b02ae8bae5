"""The runner's pure parts, without alembic's command or a server."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.util import CommandError
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic_runner as runner
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
