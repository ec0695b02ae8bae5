"""Ten thousand faces go in, in CI a fifth of them, and the guide's searches come back through the index, equal to an exact scan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import lab
import psycopg
import pytest
from samples import powergym

CLIENTS = 10_000 if lab.FULL else 2_000
FACES = (0, 17, CLIENTS // 2, CLIENTS - 1)


@pytest.fixture(scope="module")
def application(server: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of the application, to a database that holds the samples."""
    assert lab.fill_powergym(CLIENTS, server) == CLIENTS
    with lab.connect("powergym_app", "powergym", server) as connection:
        yield connection


def indexes_used(connection: psycopg.Connection[Any], query: str, parameters: dict[str, Any]) -> set[str]:
    """Return the indexes in the plan of a query."""
    row = connection.execute(f"EXPLAIN (FORMAT JSON) {query}", parameters).fetchone()  # type: ignore[call-overload]
    assert row
    text = json.dumps(row[0])
    return {name for name in ("idx_biometrics_embedding", "idx_biometrics_embedding_l2") if f'"{name}"' in text}


def exact(connection: psycopg.Connection[Any], query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a query that may not use an index."""
    with connection.transaction():
        connection.execute("SET LOCAL enable_indexscan = off")
        return connection.execute(query, parameters).fetchall()  # type: ignore[call-overload]


@pytest.mark.parametrize("face", FACES)
def test_cosine_search_finds_the_face_through_the_index(application: psycopg.Connection[Any], face: int) -> None:
    parameters = {"q": powergym.probe(face)}
    assert indexes_used(application, powergym.SEARCH_COSINE, parameters) == {"idx_biometrics_embedding"}
    rows = application.execute(powergym.SEARCH_COSINE, parameters).fetchall()
    assert [str(client) for client, _ in rows] == [powergym.client_id(face)]
    assert rows[0][1] > 0.6
    assert rows == exact(application, powergym.SEARCH_COSINE, parameters)


@pytest.mark.parametrize("face", FACES)
def test_l2_search_finds_the_face_through_its_index(application: psycopg.Connection[Any], face: int) -> None:
    parameters = {"q": powergym.probe(face)}
    assert indexes_used(application, powergym.SEARCH_L2, parameters) == {"idx_biometrics_embedding_l2"}
    found = application.execute(powergym.SEARCH_L2, parameters).fetchall()
    assert found[0] == exact(application, powergym.SEARCH_L2, parameters)[0]
    assert str(found[0][0]) == powergym.client_id(face)


def test_a_face_that_nobody_has_is_not_found(application: psycopg.Connection[Any]) -> None:
    assert application.execute(powergym.SEARCH_COSINE, {"q": powergym.probe(CLIENTS + 1)}).fetchall() == []


def test_every_vector_has_512_dimensions(application: psycopg.Connection[Any]) -> None:
    query = "SELECT vector_dims(embedding), count(*) FROM biometrics GROUP BY 1"
    assert application.execute(query).fetchall() == [(512, CLIENTS)]
