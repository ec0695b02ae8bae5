"""Every difference is found, with the right object and attribute, and no other: on the PostgreSQL servers that are there.

The servers come from PGSTEWARD_TEST_URL_15, _17 and _18, libpq URLs of a superuser.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog_queries as queries
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import compare, seen
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import KINDS, PARTS, Snapshot
from drift_matrix import CASES, Case
from psycopg import conninfo, sql
from support import Database

HERE = Path(__file__).parent
SCHEMA = (HERE / "drift_schema.sql").read_text()
OF_DATABASE = (HERE / "drift_database.sql").read_text()
PLANTED = (HERE / "drift_planted.sql").read_text()
MAJORS = (15, 17, 18)
FULL = os.environ.get("PGSTEWARD_FULL") == "1"
ROLES = {"owner": "", "reader": "", "writer": "", "super": "SUPERUSER", "low": "LOGIN"}
CLEAN = "pgsteward_drift_clean"


@dataclass(frozen=True)
class Server:
    """A server, and the databases of ours on it."""

    major: int
    url: str

    def database(self, name: str) -> Database:
        """Return a database, there or not."""
        return Database(name, conninfo.conninfo_to_dict(self.url))

    @contextmanager
    def made(self, name: str, template: str = "template0", options: str = "") -> Iterator[Database]:
        """Make a database and drop it at the end. What the clean one has beside its objects is no part of a copy: make it."""
        database = self.database(name)
        self.database("postgres").rows(f"CREATE DATABASE {name} TEMPLATE {template} {options}")
        try:
            if template == CLEAN:
                database.rows(OF_DATABASE)
            yield database
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self.database(name).rows("DROP SUBSCRIPTION IF EXISTS app_subscription")
        self.database("postgres").rows(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def prepared(self) -> Iterator[Database]:
        """Make the roles, the tablespace and the clean database; leave nothing behind, not even what an earlier run left."""
        self._clean()
        admin = self.database("postgres")
        try:
            for role, options in ROLES.items():
                admin.rows(f"CREATE ROLE pgsteward_drift_{role} {options}")
            with admin.connect() as connection:
                connection.execute("SET allow_in_place_tablespaces = on")
                connection.execute("CREATE TABLESPACE pgsteward_drift_space LOCATION ''")
            with self.made(CLEAN) as clean:
                clean.rows(SCHEMA)
                clean.rows(OF_DATABASE)
                yield clean
        finally:
            self._clean()

    def _clean(self) -> None:
        admin = self.database("postgres")
        for (name,) in admin.rows("SELECT datname FROM pg_database WHERE datname LIKE 'pgsteward\\_drift\\_%'"):
            self._drop(name)
        admin.rows("DROP TABLESPACE IF EXISTS pgsteward_drift_space")
        for role in ROLES:
            admin.rows(f"DROP ROLE IF EXISTS pgsteward_drift_{role}")


def _read(database: Database, account: str | None = None) -> Snapshot:
    """Return the snapshot that the superuser gets, or another account."""
    with database.connect() as connection:
        if account:
            connection.execute(f"SET SESSION AUTHORIZATION {account}".encode())
        return _catalog.read(connection, Place(database=database.name)).snapshot


def _differences(expected: Snapshot, found: Snapshot) -> list[str]:
    """Return what differs, looked at from both sides."""
    there, back = (
        [f"{drift.object}: {drift.attribute}" for drift in compare(one.objects, other.objects)]
        for one, other in ((expected, found), (found, expected))
    )
    assert there == back
    return sorted(there)


# The matrix


def _cases(major: int) -> list[Case]:
    """Return the cases of a server: all that it can do at full size, otherwise a third of them, another one on each server."""
    return [
        case
        for number, case in enumerate(CASES)
        if case.since <= major and (FULL or case.since > MAJORS[0] or number % len(MAJORS) == MAJORS.index(major))
    ]


class Inside:
    """A connection within a transaction, for the reader, whose own transaction becomes a savepoint there."""

    prepare_threshold = None

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.info, self._execute = connection.info, connection.execute

    def execute(self, query: str, parameters: Any = None) -> Any:
        """Execute a query of the reader."""
        if query.startswith("BEGIN"):
            query = "SAVEPOINT reading"
        elif query == "ROLLBACK":
            query = "ROLLBACK TO SAVEPOINT reading"
        return self._execute(query.encode(), parameters)


def _undone(clean: Snapshot, connection: psycopg.Connection[Any], case: Case) -> list[str]:
    """Return the differences of a case that is rolled back."""
    with connection.transaction(force_rollback=True):
        connection.execute(case.statements.replace("{database}", CLEAN).encode())
        reader: Any = Inside(connection)
        return _differences(clean, _catalog.read(reader, Place(database=CLEAN)).snapshot)


def _committed(clean: Snapshot, server: Server, case: Case) -> list[str]:
    """Return the differences of a case in a copy of the database."""
    *statements, last = re.split(r";\s+", case.statements)
    with server.made("pgsteward_drift_copy", CLEAN) as copy:
        for statement in statements:
            copy.rows(statement)
        with pytest.raises(psycopg.Error) if case.fails else nullcontext():
            copy.rows(last)
        return _differences(clean, _read(copy))


def _matrix(server: Server, database: Database) -> dict[str, list[str]]:
    """Return the differences of each case of the server; an error is one of them."""
    clean = _read(database)
    found: dict[str, list[str]] = {}

    def run(differences: Callable[[Case], list[str]], committed: bool) -> None:
        for case in _cases(server.major):
            if case.committed == committed:
                try:
                    found[case.name] = differences(case)
                except (psycopg.Error, StewardError, AssertionError) as error:
                    found[case.name] = [f"error: {error}"]

    with database.connect() as connection:
        run(lambda case: _undone(clean, connection, case), committed=False)
    # Nobody may be connected to a database while it is copied.
    run(lambda case: _committed(clean, server, case), committed=True)
    assert _differences(clean, _read(database)) == []
    return found


@dataclass(frozen=True)
class Stage:
    """A server with its clean database and what the matrix found there."""

    server: Server
    clean: Database
    matrix: Future[dict[str, list[str]]]


@pytest.fixture(scope="module")
def stages() -> Iterator[dict[int, Stage]]:
    """Prepare the servers that are there, and run the matrix on all of them at once."""
    servers = [
        Server(major, os.environ[name]) for major in MAJORS if (name := f"PGSTEWARD_TEST_URL_{major}") in os.environ
    ]
    with ExitStack() as stack, ThreadPoolExecutor(len(servers) or 1) as pool:
        prepared = {server: stack.enter_context(server.prepared()) for server in servers}
        yield {
            server.major: Stage(server, clean, pool.submit(_matrix, server, clean))
            for server, clean in prepared.items()
        }


@pytest.fixture(params=MAJORS)
def stage(request: pytest.FixtureRequest, stages: dict[int, Stage]) -> Stage:
    """Return one server after the other."""
    if request.param not in stages:
        pytest.skip(f"PGSTEWARD_TEST_URL_{request.param} is not set")
    found = stages[request.param]
    found.matrix.result()
    return found


@pytest.fixture
def server(stage: Stage) -> Server:
    """Return one server after the other, with the matrix done."""
    return stage.server


def test_the_matrix_is_large() -> None:
    cases = {major: _cases(major) for major in MAJORS}
    assert all(sum(bool(case.drifts) for case in some) >= 120 for some in cases.values())
    assert {case.name for some in cases.values() for case in some} == {case.name for case in CASES}
    assert len({case.name for case in CASES}) == len(CASES)
    objects = {drift.partition(": ")[0] for case in CASES for drift in case.drifts}
    assert [
        kind for kind in (*KINDS, *PARTS.values()) if not any(name.startswith(f"{kind} ") for name in objects)
    ] == []
    assert sum("app.items" in name or "app.vectors" in name for name in objects) >= 10


@pytest.mark.parametrize(
    ("stage", "case"),
    [(major, case) for major in MAJORS for case in _cases(major)],
    indirect=["stage"],
    ids=lambda value: value.name if isinstance(value, Case) else value,
)
def test_a_drift_is_found_and_nothing_else(stage: Stage, case: Case) -> None:
    assert stage.matrix.result()[case.name] == sorted(case.drifts)


# Nothing changed, nothing found


def test_a_copy_is_the_same_to_the_letter(stage: Stage) -> None:
    with stage.server.made("pgsteward_drift_copy", CLEAN) as copy:
        assert _read(copy).as_text() == _read(stage.clean).as_text()
        copy.rows("COMMENT ON TABLE app.ordered IS 'New'")
        assert _read(copy).as_dict()["fingerprint"] != _read(stage.clean).as_dict()["fingerprint"]


def test_servers_of_different_versions_say_the_same(stages: dict[int, Stage]) -> None:
    snapshots = [(stage.matrix.result(), _read(stage.clean))[1] for stage in stages.values()]
    for one, other in itertools.pairwise(snapshots):
        assert set(_differences(one, other)) <= {"extension vector: version"}  # the distributions' packages


def test_statistics_and_new_files_are_no_difference(stage: Stage) -> None:
    with stage.server.made("pgsteward_drift_copy", CLEAN) as copy:
        before = _read(copy)
        copy.rows("INSERT INTO app.keyed SELECT n, n, n FROM generate_series(1, 1000) AS n")
        copy.rows("ALTER TABLE app.keyed ALTER COLUMN a SET STATISTICS 1000")
        copy.rows("ALTER TABLE app.keyed ALTER COLUMN a SET STATISTICS -1")
        copy.rows("ANALYZE")
        copy.rows("VACUUM FULL")
        copy.rows(f"REINDEX DATABASE {copy.name}")
        copy.rows("REFRESH MATERIALIZED VIEW app.totals")
        assert _differences(before, _read(copy)) == []


# Names

HOSTILE = (
    'with "quotes"', "it's", "a.b", " ", "Grüße", "名前", "select", "User", "json", "--", "x; DROP TABLE y", "%s %(a)s {0}", "back\\slash",
    "tab\tand\nline", "1st", "a$b", "é" * 31 + "x", "X" * 63, "(a, b)", '"', '","', "a on b: c", "🐘", "=", "$1", "NULL",
)  # fmt: skip
# How each name is used, and what a difference calls the object. The schemas are numbered where the name itself is taken.
USES = (
    ("CREATE SCHEMA {q}", "SCHEMA {q}", "schema {q}"),
    ("CREATE TABLE {q}.{q} ({q} integer, other integer)", "TABLE {q}.{q}", "table {q}.{q}"),
    ("ALTER TABLE {q}.{q} ADD CONSTRAINT {q} CHECK ({q} > 0)", "CONSTRAINT {q} ON {q}.{q}", "constraint {q}.{q}.{q}"),
    ("SELECT", "COLUMN {q}.{q}.{q}", "column {q}.{q}.{q}"),
    ("CREATE TRIGGER {q} BEFORE INSERT ON {q}.{q} EXECUTE FUNCTION public.nothing()", "TRIGGER {q} ON {q}.{q}", "trigger {q}.{q}.{q}"),
    ("CREATE RULE {q} AS ON DELETE TO {q}.{q} DO INSTEAD NOTHING", "RULE {q} ON {q}.{q}", "rule {q}.{q}.{q}"),
    ("CREATE POLICY {q} ON {q}.{q} USING ({q} > 0)", "POLICY {q} ON {q}.{q}", "policy {q}.{q}.{q}"),
    ("CREATE FUNCTION {q}.{q}({q} integer) RETURNS integer LANGUAGE sql RETURN {q}", "FUNCTION {q}.{q}(integer)", "function {q}.{q}(integer)"),
    ("CREATE OPERATOR FAMILY {q}.{q} USING btree", "OPERATOR FAMILY {q}.{q} USING btree", "operator family {q}.{q} using btree"),
    ("CREATE TEXT SEARCH DICTIONARY {q}.{q} (TEMPLATE = simple)", "TEXT SEARCH DICTIONARY {q}.{q}", "text search dictionary {q}.{q}"),
    ("CREATE STATISTICS {q}.{q} ON {q}, other FROM {q}.{q}", "STATISTICS {q}.{q}", "statistics {q}.{q}"),
    ("CREATE SCHEMA b{n}; CREATE TABLE b{n}.t ({q} integer)", "TABLE b{n}.t", "table b{n}.t"),
    ("CREATE INDEX {q} ON b{n}.t ({q})", "INDEX b{n}.{q}", "index b{n}.{q}"),
    ("CREATE TYPE b{n}.{q} AS ENUM ({l})", "TYPE b{n}.{q}", "enum b{n}.{q}"),
    ("CREATE SCHEMA c{n}; CREATE SEQUENCE c{n}.{q}", "SEQUENCE c{n}.{q}", "sequence c{n}.{q}"),
    ("CREATE SCHEMA d{n}; CREATE TABLE d{n}.t (a integer CONSTRAINT {q} PRIMARY KEY)", "CONSTRAINT {q} ON d{n}.t", "constraint d{n}.t.{q}"),
    ("SELECT", "INDEX d{n}.{q}", "index d{n}.{q}"),
    ("CREATE DOMAIN d{n}.d AS integer CONSTRAINT {q} CHECK (VALUE > 0)", "CONSTRAINT {q} ON DOMAIN d{n}.d", "constraint d{n}.d.{q}"),
    ("CREATE SCHEMA e{n}; CREATE VIEW e{n}.{q} AS SELECT 1 AS {q}", "VIEW e{n}.{q}", "view e{n}.{q}"),
    ("CREATE FOREIGN DATA WRAPPER {q}", "FOREIGN DATA WRAPPER {q}", "foreign data wrapper {q}"),
    ("CREATE SERVER {q} FOREIGN DATA WRAPPER {q}", "SERVER {q}", "server {q}"),
    ("CREATE PUBLICATION {q} FOR TABLE {q}.{q} ({q})", "PUBLICATION {q}", "publication {q}"),
)  # fmt: skip


def _uses(name: str, number: int) -> list[tuple[str, str, str]]:
    """Return the uses of a name; all of them need quotes."""
    quoted, literal = '"' + name.replace('"', '""') + '"', "'" + name.replace("'", "''") + "'"
    return [
        tuple(text.replace("{q}", quoted).replace("{l}", literal).replace("{n}", str(number)) for text in use)
        for use in USES
    ]  # type: ignore[misc]


def test_hostile_names(server: Server) -> None:
    uses = [use for number, name in enumerate(HOSTILE) for use in _uses(name, number)]
    with server.made("pgsteward_drift_names") as database:
        database.rows("CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        database.rows("; ".join(create for create, _, _ in uses))
        before = _read(database)
        database.rows("; ".join(f"COMMENT ON {target} IS 'x'" for _, target, _ in uses))
        assert _differences(before, _read(database)) == sorted(f"{name}: comment" for _, _, name in uses)
    assert {label for named in before.objects["enum"].values() for label in named["labels_in_order"]} == set(HOSTILE)


def test_hostile_roles(server: Server) -> None:
    names = [f"pgsteward_drift {name}" for name in HOSTILE if len(name.encode()) < 48]
    roles = [sql.Identifier(name) for name in names]
    with server.database("postgres").connect() as admin:
        for role in roles:
            admin.execute(sql.SQL("CREATE ROLE {}").format(role))
        try:
            with server.made("pgsteward_drift_names") as database:
                database.rows(
                    "CREATE TABLE t (); CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w"
                )
                before = _read(database)
                with database.connect() as connection:
                    for role in roles:
                        connection.execute(sql.SQL("GRANT SELECT, INSERT ON t TO {0} WITH GRANT OPTION").format(role))
                        connection.execute(
                            sql.SQL(
                                "ALTER DEFAULT PRIVILEGES FOR ROLE {0} GRANT SELECT ON TABLES TO {0}, PUBLIC"
                            ).format(role)
                        )
                        connection.execute(sql.SQL("CREATE USER MAPPING FOR {} SERVER s").format(role))
                found = _read(database)
                assert found.objects["table"]["public.t"]["privileges"] == {
                    name: ["INSERT*", "SELECT*"] for name in names
                }
                quoted = ['"' + name.replace('"', '""') + '"' for name in names]
                assert _differences(before, found) == sorted(
                    [
                        "table public.t: privileges",
                        *(f"default privileges of {name} on tables: existence" for name in quoted),
                        *(f"user mapping {name} on s: existence" for name in quoted),
                    ]
                )
                assert found.objects["default privileges"][f"of {quoted[0]} on tables"]["privileges"] == {
                    "PUBLIC": ["SELECT"]
                }
        finally:
            for role in roles:
                admin.execute(sql.SQL("DROP ROLE {}").format(role))


# Small and large


def test_empty_databases(server: Server) -> None:
    with server.made("pgsteward_drift_empty") as database:
        fresh = _read(database)
        database.rows("DROP SCHEMA public; DROP EXTENSION plpgsql")
        bare = _read(database)
    assert {kind: sorted(named) for kind, named in fresh.objects.items()} == {
        "database": ["current"], "extension": ["plpgsql"], "schema": ["public"],
    }  # fmt: skip
    assert list(bare.objects) == ["database"]
    assert _differences(fresh, bare) == ["extension plpgsql: existence", "schema public: existence"]


def test_databases_made_otherwise(server: Server) -> None:
    made_otherwise = {
        "ENCODING 'LATIN1' LOCALE 'C'": ["encoding", "locale"],
        "LOCALE 'C'": ["locale"],
        "LOCALE 'C.utf8'": [],  # another spelling of what the servers of the lab have
        "LOCALE_PROVIDER icu ICU_LOCALE 'de'": ["locale"],
        "TABLESPACE pgsteward_drift_space": ["tablespace"],
        "OWNER pgsteward_drift_owner": ["owner"],
    }
    with server.made("pgsteward_drift_empty") as usual:
        expected = _read(usual)
    for options, drifts in made_otherwise.items():
        with server.made("pgsteward_drift_empty", options=options) as other:
            assert _differences(expected, _read(other)) == [f"database current: {attribute}" for attribute in drifts]


def test_ten_thousand_columns(server: Server) -> None:
    with server.made("pgsteward_drift_columns") as database:
        for number in range(7):
            columns = ", ".join(f"c{place} integer DEFAULT {place}" for place in range(1500))
            database.rows(f"CREATE TABLE t{number} ({columns})")
        before = _read(database)
        assert sum(len(table["columns"]) for table in before.objects["table"].values()) == 10_500
        database.rows("ALTER TABLE t6 ALTER COLUMN c1499 SET DEFAULT 1")
        assert _differences(before, _read(database)) == ["column public.t6.c1499: default"]


# Accounts that may not see everything


LOW = "pgsteward_drift_low"
MAPPINGS = ['user mapping pgsteward_drift_writer on "far away"', 'user mapping public on "far away"']


def test_an_account_without_any_right_reads_the_same(stage: Stage) -> None:
    all_seen, found = _read(stage.clean), _read(stage.clean, LOW)
    assert found.unseen == tuple((mapping, "options") for mapping in MAPPINGS)
    assert _differences(all_seen, found) == [f"{MAPPINGS[0]}: options"]
    assert seen(compare(all_seen.objects, found.objects), found.unseen) == []
    assert "not to be seen" not in all_seen.as_text()


def test_catalogs_that_are_kept_from_the_account(server: Server) -> None:
    kept = {
        "pg_policy": ("policy",),
        "pg_trigger": ("trigger",),
        "pg_sequence": ("sequence",),
        "pg_publication_rel": _catalog.QUESTIONS["globals"].tells,
    }
    with server.made("pgsteward_drift_kept", CLEAN) as database:
        database.rows(f"REVOKE SELECT ON {', '.join(kept)} FROM PUBLIC")
        all_seen, found = _read(database), _read(database, LOW)
    assert set(found.unseen) == {(kind, "*") for kinds in kept.values() for kind in kinds}
    drifts = compare(all_seen.objects, found.objects)
    assert {drift.object.split(" ")[0] for drift in drifts} >= {"policy", "trigger", "sequence", "publication"}
    assert seen(drifts, found.unseen) == []


def test_a_catalog_that_nothing_can_be_read_without(server: Server) -> None:
    with server.made("pgsteward_drift_kept", CLEAN) as database:
        database.rows("REVOKE SELECT ON pg_catalog.pg_attribute FROM PUBLIC")
        with pytest.raises(
            StewardError, match=r"may not read pg_attribute: grant SELECT on pg_catalog\.pg_attribute"
        ) as raised:
            _read(database, LOW)
        assert "\n" not in str(raised.value)


# What the owner of a database plants in it

PATH = "public, pg_catalog"


def _planted() -> str:
    asked = " ".join(
        [
            queries.UNREADABLE,
            queries.CONTEXT,
            *(question.query for question in _catalog.QUESTIONS.values()),
            _catalog.SETTINGS,
        ]
    )
    functions = sorted(
        set(re.findall(r"\b([a-z_]+) ?\(", asked)) | {"current_database", "current_setting", "set_config"}
    )
    return PLANTED.replace("{functions}", " ".join(functions)).replace("{catalogs}", " ".join(queries.CATALOGS))


def test_nothing_planted_is_called(server: Server) -> None:
    with server.made("pgsteward_drift_planted", options="OWNER pgsteward_drift_owner") as database:
        with database.connect() as connection:
            connection.execute("SET ROLE pgsteward_drift_owner")
            connection.execute(_planted().encode())
            connection.execute(f"ALTER DATABASE {database.name} SET search_path = {PATH}".encode())
        database.rows(f"ALTER ROLE CURRENT_USER IN DATABASE {database.name} SET search_path = {PATH}")

        def calls() -> int:
            ((value, called),) = database.rows("SELECT last_value, is_called FROM public.calls")
            return int(value) if called else 0

        with database.connect() as connection:
            shown = connection.execute("SHOW search_path").fetchone()
            assert shown == (PATH,)
            # The control: the same queries without the reader's settings.
            schemas = ",".join(str(oid) for (oid,) in database.rows("SELECT oid FROM pg_catalog.pg_namespace"))
            parameters = {"schemas": f"{{{schemas}}}", "relations": "{}", "functions": "{}", "types": "{}"}
            for query in (queries.RELATIONS, queries.DATABASE, queries.TYPES):
                before = calls()
                connection.execute(query.encode(), parameters)
                assert calls() > before
        before = calls()
        found = _read(database)
        assert len(found.objects["operator"]) > 1000
        assert found.objects["view"]["public.v"]["columns"]
        assert calls() == before
