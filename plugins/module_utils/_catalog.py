# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalog reader: one read-only transaction, a fixed number of queries, one snapshot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog_queries as queries
from ansible_collections.pgsteward.postgres.plugins.module_utils._catalog_objects import Catalog, objects_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import (
    Place,
    login_message,
    mask,
    secrets_of,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import literal
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import KINDS, Objects, Scope, Snapshot, limit

if TYPE_CHECKING:
    import psycopg

OLDEST = 15


@dataclass(frozen=True)
class Question:
    """A query, and what stays unknown when the account may not read one of its catalogs; nothing named: the reader stops."""

    query: str
    tells: tuple[str, ...] = ()


_RELATION_KINDS = ("table", "foreign table", "view", "materialized view")
_OPERATOR_KINDS = (
    "operator", "operator family", "operator class", "cast", "conversion", "collation", "text search configuration",
    "text search dictionary", "text search parser", "text search template",
)  # fmt: skip
_GLOBAL_KINDS = (
    "language", "access method", "transform", "foreign data wrapper", "server", "user mapping", "publication", "event trigger",
)  # fmt: skip

# In this order, after the context, which says what the parameters are.
QUESTIONS: Mapping[str, Question] = {
    "relations": Question(queries.RELATIONS),
    "inherits": Question(queries.INHERITS),
    "columns": Question(queries.COLUMNS),
    "constraints": Question(queries.CONSTRAINTS),
    "not_nulls": Question(queries.NOT_NULLS),
    "indexes": Question(queries.INDEXES),
    "classes": Question(queries.CLASSES),
    "index_columns": Question(queries.INDEX_COLUMNS),
    "index_collations": Question(queries.INDEX_COLLATIONS),
    "triggers": Question(queries.TRIGGERS, ("trigger",)),
    "rules": Question(queries.RULES, ("rule",)),
    "policies": Question(queries.POLICIES, ("policy",)),
    "sequences": Question(queries.SEQUENCES, ("sequence",)),
    "types": Question(queries.TYPES, ("enum", "domain", "composite type", "range type", "base type")),
    "functions": Question(queries.FUNCTIONS, ("function", "procedure", "aggregate")),
    "remarks": Question(queries.REMARKS, ("comment", "label")),
    "statistics": Question(queries.STATISTICS, ("statistics",)),
    "operators": Question(queries.OPERATORS, _OPERATOR_KINDS),
    "globals": Question(queries.GLOBALS, _GLOBAL_KINDS),
    "subscriptions": Question(queries.SUBSCRIPTIONS, ("subscription",)),
    "database": Question(queries.DATABASE, ("database",)),
    "default_privileges": Question(queries.DEFAULT_PRIVILEGES, ("default privileges",)),
    "system_privileges": Question(queries.SYSTEM_PRIVILEGES, ("system privileges",)),
}

# What decides how the server prints names and values. Nothing of the session is relied on: behind a pooler it may be anybody's.
# A migration may hold its locks long; the reader queues behind it, and others would behind the reader.
SETTINGS = "SELECT " + ", ".join(
    f"pg_catalog.set_config('{name}', '{value}', true)"
    for name, value in {
        "search_path": "",
        "quote_all_identifiers": "off",
        "standard_conforming_strings": "on",
        "bytea_output": "hex",
        "datestyle": "ISO, MDY",
        "intervalstyle": "postgres",
        "timezone": "UTC",
        "extra_float_digits": "1",
        "lock_timeout": "10s",
        "jit": "off",  # compiling takes longer than the largest of the queries
    }.items()
)
_CATALOG_NAME = re.compile(r"\bpg_[a-z_]+\b")


@dataclass(frozen=True)
class Reading:
    """A snapshot, and what the server said of itself meanwhile. version as a number, such as 170006."""

    snapshot: Snapshot
    database: str
    version: int
    standby: bool
    pooled: bool


def read(
    connection: psycopg.Connection[Any], place: Place, scope: Scope | None = None, moment: str | None = None
) -> Reading:
    """Return the snapshot of a database, limited to scope.

    The connection is in autocommit mode; all is read in one transaction, so a pooler that keeps transactions whole may stand
    between, and a standby answers as well. moment: a snapshot that another transaction has exported. Raises StewardError.
    """
    reading, _catalog = read_whole(connection, place, scope or Scope(), moment)
    return reading


def read_whole(
    connection: psycopg.Connection[Any], place: Place, scope: Scope, moment: str | None = None
) -> tuple[Reading, Catalog]:
    """Return what read does, and what it was made from."""
    connection.prepare_threshold = None
    with _one_line(place):
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            if moment is not None:
                connection.execute(f"SET TRANSACTION SNAPSHOT {literal(moment)}".encode())
            connection.execute(SETTINGS)
            version = int(_value(connection, "SELECT pg_catalog.current_setting('server_version_num')", {}))
            if version < OLDEST * 10000:
                raise StewardError(
                    f"{place} runs PostgreSQL {version // 10000}, and snapshots are read from {OLDEST} on: update the server"
                )
            answers, unseen = _answers(connection, version // 10000, place, scope)
            database = str(_value(connection, "SELECT pg_catalog.current_database()", {}))
        finally:
            connection.execute("ROLLBACK")
    catalog = objects_of(answers, version // 10000)
    objects = limit(_within(catalog, scope), scope)
    snapshot = Snapshot(objects, scope, tuple(sorted({*catalog.unseen, *unseen})))
    context = answers["context"]
    pooled = context["backend"] != connection.info.backend_pid
    return Reading(snapshot, database, version, context["standby"], pooled), catalog


def _answers(
    connection: psycopg.Connection[Any], major: int, place: Place, scope: Scope
) -> tuple[dict[str, Any], set[tuple[str, str]]]:
    """Return the answers by name, and what could not be asked."""
    unreadable = set(_value(connection, queries.UNREADABLE, {"catalogs": queries.CATALOGS}))
    _refuse_unreadable(place, unreadable, queries.CONTEXT)
    context = _value(connection, queries.CONTEXT, {})
    _refuse_missing(place, context, scope)
    members = context["members"] or {}
    parameters = {
        "schemas": array(item["oid"] for item in context["schemas"]),
        "relations": array(members.get("pg_class", ())),
        "functions": array(members.get("pg_proc", ())),
        "types": array(members.get("pg_type", ())),
    }
    answers: dict[str, Any] = {"context": context}
    unseen: set[tuple[str, str]] = set()
    for name, question in QUESTIONS.items():
        if not _wanted(question, scope):
            continue
        if unreadable & set(_CATALOG_NAME.findall(question.query)):
            if not question.tells:
                _refuse_unreadable(place, unreadable, question.query)
            unseen |= {(kind, "*") for kind in question.tells}
            continue
        answers[name] = _value(connection, for_version(question.query, major), parameters)
    return answers, unseen


def _wanted(question: Question, scope: Scope) -> bool:
    """Say whether the scope asks for anything that a query tells. Parts of tables go with the tables."""
    kinds = [kind for kind in question.tells if kind in KINDS]
    return not kinds or len(kinds) < len(question.tells) or any(scope.has_kind(kind) for kind in kinds)


def for_version(query: str, major: int) -> str:
    """Return a query with the fields that only newer servers have."""
    newer = major >= 18
    more = [
        "'origin', nullif(s.suborigin, 'any')",
        "'no_password_required', NOT s.subpasswordrequired",
        "'run_as_owner', s.subrunasowner",
    ]
    more = more * (major >= 16) + ["'failover', s.subfailover"] * (major >= 17)
    return (
        query.replace("{enforced}", "k.conenforced" if newer else "true")
        .replace("{period}", "k.conperiod" if newer else "false")
        .replace("{more}", ", ".join(more))
    )


def array(oids: Any) -> str:
    return "{" + ",".join(str(oid) for oid in oids) + "}"


def _value(connection: psycopg.Connection[Any], query: str, parameters: Mapping[str, Any]) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _refuse_unreadable(place: Place, unreadable: set[str], query: str) -> None:
    missing = sorted(unreadable & set(_CATALOG_NAME.findall(query)))
    if missing:
        tables = ", ".join(missing)
        raise StewardError(
            f"{place} may not read {tables}: grant SELECT on pg_catalog.{missing[0]}, or log in as another account"
        )


def _refuse_missing(place: Place, context: Mapping[str, Any], scope: Scope) -> None:
    there = {item["name"] for item in context["schemas"]}
    missing = sorted(set(scope.schemas or ()) - there)
    if missing:
        raise StewardError(
            f"{place} has no schema {', '.join(map(repr, missing))}: it has {', '.join(sorted(there)) or 'none'}"
        )


def _within(catalog: Catalog, scope: Scope) -> Objects:
    """Return the objects of the schemas in scope; what belongs to no schema is out of a scope that names some."""
    if scope.schemas is None:
        return catalog.objects
    wanted = {
        catalog.schemas[str(item["oid"])]
        for item in catalog.answers["context"]["schemas"]
        if item["name"] in scope.schemas
    }
    kept = {
        kind: {name: found for name, found in named.items() if catalog.schema_of[kind, name] in wanted}
        for kind, named in catalog.objects.items()
    }
    return {kind: named for kind, named in kept.items() if named}


@contextmanager
def _one_line(place: Place) -> Iterator[None]:
    """Turn errors of the server into one line with the remedy."""
    import psycopg

    try:
        yield
    except psycopg.OperationalError as error:
        text = mask(str(error), secrets_of(place))
        if "transaction blocks not allowed" in text:
            raise StewardError(
                f"{place} is a connection pooler in statement mode, through which nothing can be read at one moment:"
                " give the server's own address, or a pool in transaction or session mode"
            ) from None
        if isinstance(error, psycopg.errors.LockNotAvailable):
            raise StewardError(
                f"the catalog of {place} cannot be read: somebody changes a table and holds its lock for more than 10 s: try again later"
            ) from None
        raise StewardError(login_message(place, text)) from None
    except psycopg.Error as error:
        text = mask(str(error), secrets_of(place)).splitlines()[0]
        raise StewardError(f"the catalog of {place} cannot be read: {text}") from None
