"""pg_maintain: what it deletes, vacuums, builds again and tells, and what it refuses, as the server's own queries see it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain, _maintain_run, _maintain_session
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import parse_url
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from databases import own_database
from support import Database

JOB = {"name": "old", "table": "results", "column": "at", "older_than": "30 days", "pause": 0.0}
ROWS, OLD = 10_000, 7_000
MAKE = f"""
CREATE TABLE results (id bigint PRIMARY KEY, at timestamptz NOT NULL, note text);
INSERT INTO results SELECT n, now() - CASE WHEN n <= {OLD} THEN interval '31 days' ELSE interval '1 day' END - n * interval '1 second', 'note ' || n
FROM generate_series(1, {ROWS}) n;
"""
INDEX = "CREATE INDEX results_at ON results (at)"

Do = Callable[..., dict[str, Any]]


@pytest.fixture
def do(database: Database) -> Do:
    """Do a task in the test's database; options override."""

    def run(task: str, check: bool = False, jobs: list[dict[str, Any]] | None = None, **options: Any) -> dict[str, Any]:
        thresholds = _maintain.thresholds_of(options.pop("thresholds", {}))
        request = _maintain_run.Request(task, jobs=_maintain_run.jobs_of(jobs or []), thresholds=thresholds, **options)
        return _maintain_run.run(parse_url(database.url), request, check)

    return run


def refusal(do: Do, *given: Any, **options: Any) -> StewardError:
    """Return the error, which is one line."""
    with pytest.raises(StewardError) as caught:
        do(*given, **options)
    assert "\n" not in str(caught.value)
    return caught.value


def count(database: Database, table: str = "results") -> int:
    """Return how many rows a table has."""
    return int(database.rows(f"SELECT count(*) FROM {table}")[0][0])


class TestCleanUp:
    @pytest.mark.parametrize("index", [INDEX, None])
    def test_old_rows_go_and_a_second_run_finds_none(self, do: Do, database: Database, index: str | None) -> None:
        database.rows(MAKE + (index or ""))
        looked = do("clean_up", check=True, jobs=[JOB])
        assert (looked["changed"], looked["deleted_count"], looked["jobs"][0]["expired"]) == (True, 0, OLD)
        assert count(database) == ROWS
        done = do("clean_up", jobs=[JOB])
        assert (done["changed"], done["deleted_count"], done["jobs"][0]["left_count"]) == (True, OLD, 0)
        assert done["jobs"][0]["batches"] >= 7
        assert database.rows("SELECT count(*), min(id) FROM results") == [(ROWS - OLD, OLD + 1)]
        again = do("clean_up", jobs=[JOB])
        assert (again["changed"], again["deleted_count"]) == (False, 0)

    def test_a_locked_row_is_passed_over(self, do: Do, database: Database) -> None:
        database.rows(MAKE + INDEX)
        with database.connect() as other:
            other.execute("BEGIN")
            other.execute("SELECT FROM results WHERE id IN (1, 5000) FOR UPDATE")
            done = do("clean_up", jobs=[JOB])
            assert (done["deleted_count"], done["jobs"][0]["left_count"]) == (OLD - 2, 2)
            assert "locked by others" in done["findings"][0]
        assert do("clean_up", jobs=[JOB])["deleted_count"] == 2

    def test_a_locked_table_ends_it_with_what_was_done(self, do: Do, database: Database, monkeypatch: Any) -> None:
        monkeypatch.setattr(_maintain_session, "PAUSES", (0.01, 0.01))
        database.rows(MAKE + INDEX)
        with database.connect() as other:
            other.execute("BEGIN")
            other.execute("LOCK TABLE results IN SHARE MODE")
            error = refusal(do, "clean_up", jobs=[{**JOB, "lock_timeout": 10}])
        assert "held the lock for longer than lock_timeout, 3 times" in str(error)
        assert error.facts["deleted_count"] == 0

    def test_a_large_table_wants_an_index_or_a_word(self, do: Do, database: Database) -> None:
        database.rows(
            MAKE.replace("note text)", "note text) WITH (fillfactor = 10)").replace("'note ' || n", "repeat('x', 200)")
            + "ANALYZE results"
        )
        error = refusal(do, "clean_up", jobs=[JOB])
        assert "old: public.results.at has no index: every run would read all of public.results, " in str(error)
        assert "about 10,000 rows; CREATE INDEX CONCURRENTLY ON public.results" in str(error)
        assert count(database) == ROWS
        done = do("clean_up", jobs=[{**JOB, "without_index": True}])
        assert (done["deleted_count"], len(done["findings"])) == (OLD, 1)

    def test_partitions(self, do: Do, database: Database) -> None:
        database.rows(
            "CREATE TABLE results (id bigint, at date NOT NULL) PARTITION BY HASH (id);"
            "CREATE TABLE r0 PARTITION OF results FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
            "CREATE TABLE r1 PARTITION OF results FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
            "CREATE INDEX ON results (at);"
            "INSERT INTO results SELECT n, current_date - n % 60 FROM generate_series(1, 6000) n"
        )
        wanted = database.rows(
            "SELECT count(*) FROM results WHERE at < (clock_timestamp() - interval '30 days')::date"
        )[0][0]
        assert do("clean_up", jobs=[JOB])["deleted_count"] == wanted

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"column": "nowhere"}, "old: public.results has no column nowhere: it has id, at, note"),
            ({"column": "note"}, "the column is of type text: older_than wants a date or a timestamp"),
            ({"table": "nothing"}, "there is no table public.nothing in "),
            ({"older_than": "soon"}, "jobs[0].older_than is 'soon', which is no interval"),
            ({"batch": 0}, "jobs[0].batch is 0"),
        ],
    )
    def test_bad_input(self, do: Do, database: Database, change: dict[str, Any], words: str) -> None:
        database.rows(MAKE)
        assert words in str(refusal(do, "clean_up", jobs=[{**JOB, **change}]))
        assert count(database) == ROWS

    def test_one_wrong_job_keeps_all_from_beginning(self, do: Do, database: Database) -> None:
        database.rows(MAKE + INDEX)
        refusal(do, "clean_up", jobs=[JOB, {**JOB, "name": "other", "column": "nowhere"}])
        assert "two jobs of the name old" in str(refusal(do, "clean_up", jobs=[JOB, JOB]))
        assert count(database) == ROWS

    def test_a_superuser_fires_no_triggers(self, do: Do, database: Database) -> None:
        database.rows(MAKE + INDEX)
        database.rows(
            "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called''; END';"
            "CREATE TRIGGER t BEFORE DELETE ON results FOR EACH ROW EXECUTE FUNCTION planted()"
        )
        assert "which would run as a superuser" in str(refusal(do, "clean_up", jobs=[JOB]))

    def test_keys_that_refer_are_named(self, do: Do, database: Database) -> None:
        database.rows(
            MAKE + INDEX + "; CREATE TABLE marks (id bigint REFERENCES results ON DELETE CASCADE);"
            "INSERT INTO marks SELECT n % 3000 + 7001 FROM generate_series(1, 2000) n; ANALYZE marks"
        )
        found = do("clean_up", check=True, jobs=[JOB])["findings"]
        assert ["deletes them as well" in found[0], "has no index" in found[1]] == [True, True]


class TestVacuum:
    def test_what_has_changed_once(self, do: Do, database: Database) -> None:
        database.rows(MAKE)
        looked = do("vacuum", check=True)
        assert [one["table"] for one in looked["tables"] if one["table"].startswith("public")] == ["public.results"]
        assert database.rows("SELECT last_vacuum FROM pg_stat_user_tables") == [(None,)]
        assert do("vacuum")["changed"]
        assert database.rows("SELECT last_vacuum IS NOT NULL, last_analyze IS NOT NULL FROM pg_stat_user_tables") == [
            (True, True)
        ]
        assert do("vacuum") | {"seconds": 0, "findings": []} == {
            "task": "vacuum", "database": database.name, "changed": False, "tables": [], "findings": [], "summary": "0 of 0 tables, 0 B", "seconds": 0,
        }  # fmt: skip

    def test_a_locked_table_is_passed_over(self, do: Do, database: Database) -> None:
        database.rows(MAKE + "; CREATE TABLE other (id int); INSERT INTO other VALUES (1)")
        with database.connect() as holder:
            holder.execute("BEGIN")
            holder.execute("LOCK TABLE results")
            done = do("vacuum")
        assert "public.results was passed over: somebody had it locked" in done["findings"]
        assert database.rows("SELECT relname FROM pg_stat_user_tables WHERE last_vacuum IS NOT NULL") == [("other",)]

    def test_partitioned_tables_are_analyzed(self, do: Do, database: Database) -> None:
        database.rows(
            "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000);"
            "INSERT INTO p SELECT generate_series(1, 500)"
        )
        do("vacuum")
        assert database.rows("SELECT count(*) FROM pg_stats WHERE tablename = 'p' AND inherited") == [(1,)]
        assert not [one for one in do("vacuum")["tables"] if one["table"] == "public.p"]

    def test_full_takes_the_name_twice(self, do: Do, database: Database) -> None:
        database.rows(MAKE + f"; DELETE FROM results WHERE id <= {OLD}")
        for confirm in (None, "results"):
            assert "it wants confirm: public.results" in str(
                refusal(do, "vacuum", table="public.results", full=True, confirm=confirm)
            )
        done = do("vacuum", table="public.results", full=True, confirm="public.results")["tables"][0]
        assert done["bytes_after"] < done["bytes"] / 2
        assert "no table public.nothing" in str(refusal(do, "vacuum", table="nothing", full=True, confirm="nothing"))

    def test_the_freeze_guard(self, do: Do, database: Database) -> None:
        database.rows(MAKE)
        assert do("freeze")["changed"] is False
        done = do("freeze", table="results")
        assert [one["statement"] for one in done["tables"]] == ['VACUUM (FREEZE) "public"."results"']
        assert database.rows("SELECT age(relfrozenxid) < 10 FROM pg_class WHERE relname = 'results'") == [(True,)]


class TestReindex:
    def bloat(self, database: Database) -> None:
        """Make an index that has ten times the pages that it needs, one that is invalid, and what a REINDEX has left."""
        database.rows(
            "CREATE TABLE wide (id int PRIMARY KEY, k text NOT NULL);"
            "INSERT INTO wide SELECT n, md5(n::text) FROM generate_series(1, 60000) n;"
            "CREATE INDEX wide_k ON wide (k); DELETE FROM wide WHERE id % 10 > 0;"
        )
        database.rows("VACUUM ANALYZE wide")
        database.rows("CREATE TABLE twice (a int); INSERT INTO twice VALUES (1), (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            database.rows("CREATE UNIQUE INDEX CONCURRENTLY twice_a ON twice (a)")
        database.rows("DELETE FROM twice WHERE ctid = '(0,2)'; CREATE INDEX left_over ON wide (k)")
        database.rows(
            "ALTER INDEX left_over RENAME TO wide_k_ccnew; UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'wide_k_ccnew'::regclass"
        )

    def sizes(self, database: Database) -> dict[str, tuple[int, bool]]:
        """Return the indexes with their sizes, and whether they are valid."""
        rows = database.rows(
            "SELECT i.relname::text, pg_relation_size(i.oid), x.indisvalid FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
            " WHERE i.relnamespace = 'public'::regnamespace"
        )
        return {name: (size, valid) for name, size, valid in rows}

    @pytest.mark.parametrize("measured", [False, True])
    def test_what_is_bloated_invalid_or_left(self, do: Do, database: Database, measured: bool) -> None:
        self.bloat(database)
        if measured:
            database.rows("CREATE SCHEMA tools; CREATE EXTENSION pgstattuple SCHEMA tools")
        before, few = self.sizes(database), {"index_mb": 1}
        looked = do("reindex", check=True, thresholds=few)
        assert self.sizes(database) == before
        done = do("reindex", thresholds=few)
        assert [one["index"] for one in done["indexes"]] == [one["index"] for one in looked["indexes"]]
        assert sorted(one["index"] for one in done["indexes"]) == [
            "public.twice_a", "public.wide_k", "public.wide_k_ccnew", "public.wide_pkey",
        ]  # fmt: skip
        after = self.sizes(database)
        assert "wide_k_ccnew" not in after
        assert after["twice_a"][1]
        assert after["wide_k"][0] < before["wide_k"][0] / 5
        assert do("reindex", thresholds=few)["indexes"] == []

    def test_an_index_that_cannot_be_built_is_left_as_it_was(self, do: Do, database: Database) -> None:
        self.bloat(database)
        database.rows("INSERT INTO twice VALUES (1)")
        assert "could not create unique index" in str(refusal(do, "reindex", index="twice_a"))
        assert set(self.sizes(database)) == {"wide_pkey", "wide_k", "wide_k_ccnew", "twice_a"}

    def test_by_name(self, do: Do, database: Database) -> None:
        database.rows(MAKE + INDEX)
        assert [one["index"] for one in do("reindex", index="results_at")["indexes"]] == ["public.results_at"]
        assert len(do("reindex", table="public.results")["indexes"]) == 2
        assert len(do("reindex", database=database.name)["indexes"]) == 2
        assert f"this is {database.name}" in str(refusal(do, "reindex", database="other"))
        assert "no index public.x in" in str(refusal(do, "reindex", index="x"))


class TestReviews:
    def test_indexes(self, do: Do, database: Database) -> None:
        database.rows(
            MAKE + INDEX + "; CREATE INDEX again ON results (at); CREATE INDEX wider ON results (at, id);"
            "CREATE TABLE marks (id bigint REFERENCES results)"
        )
        told = do("review", reviews=("indexes",))["indexes_review"]
        assert sorted(one["index"] for one in told["duplicate"]) == ["public.again", "public.results_at"]
        assert [(one["key"], one["columns"]) for one in told["missing"]] == [("marks_id_fkey", ["id"])]

    def test_all_of_them_change_nothing(self, do: Do, database: Database) -> None:
        database.rows(MAKE + INDEX)
        told = do("review", reviews=_maintain.REVIEWS, jobs=[JOB])
        assert (told["changed"], told["retention"][0]["expired"]) == (False, OLD)
        assert told["disk"]["tables"][0]["table"] == "public.results"
        assert count(database) == ROWS

    def test_collations(self, do: Do, database: Database) -> None:
        database.rows(
            'CREATE TABLE t (a text PRIMARY KEY, b text COLLATE "C", n int); CREATE INDEX t_b ON t (b); CREATE INDEX t_n ON t (n)'
        )
        database.rows("CREATE COLLATION odd (provider = icu, locale = 'de'); CREATE INDEX t_odd ON t (a COLLATE odd)")
        assert do("collations")["collations"] == []
        database.rows("UPDATE pg_collation SET collversion = '1' WHERE collname = 'odd'")
        database.rows("UPDATE pg_database SET datcollversion = '2.0' WHERE datname = current_database()")
        wanted = (
            2
            if database.rows(
                "SELECT pg_database_collation_actual_version(oid) FROM pg_database WHERE datname = current_database()"
            )[0][0]
            else 1
        )
        told = do("collations")
        assert (told["changed"], len(told["collations"])) == (False, wanted)
        assert {one["index"] for one in told["indexes"]} >= {"public.t_odd"}
        assert "public.t_b" not in {one["index"] for one in told["indexes"]}
        done = do("collations", repair=True)
        assert (done["changed"], len(done["refreshed"])) == (True, wanted)
        assert do("collations")["collations"] == []

    def test_vectors(self) -> None:
        with own_database(vector=True) as database:
            database.rows(
                "CREATE TABLE faces (id int, e vector(16)); SELECT setseed(0.5);"
                "INSERT INTO faces SELECT n, ARRAY(SELECT random() + n * 0 FROM generate_series(1, 16))::real[]::vector FROM generate_series(1, 20000) n;"
                "CREATE INDEX faces_lists ON faces USING ivfflat (e vector_l2_ops) WITH (lists = 200); ANALYZE faces"
            )
            place = parse_url(database.url)
            told = _maintain_run.run(place, _maintain_run.Request("vectors"), check=False)
            [index] = told["vectors"]
            assert (index["lists"], index["wanted_lists"]) == (200, 20)
            assert index["recall"] < 0.9
            assert any("has 200 lists for 20,000 rows, where 20 fit" in text for text in told["findings"])
            assert any("with ivfflat.probes = 1: set 14" in text for text in told["findings"])
            database.rows("DROP INDEX faces_lists; CREATE INDEX faces_graph ON faces USING hnsw (e vector_l2_ops)")
            [index] = _maintain_run.run(place, _maintain_run.Request("vectors"), check=False)["vectors"]
            assert index["recall"] > 0.8
            done = _maintain_run.run(place, _maintain_run.Request("reindex", index="faces_graph"), check=False)
            assert (done["changed"], done["findings"]) == (True, [])


class TestAlone:
    def test_nothing_runs_beside_itself(self, do: Do, database: Database) -> None:
        database.rows(MAKE + INDEX)
        with _maintain_session.session(parse_url(database.url), "reindex") as held, _maintain_session.alone(held):
            said = str(refusal(do, "clean_up", jobs=[JOB]))
            assert "pgsteward maintain reindex (pid " in said
            assert "is at it: wait for its end" in said
            assert do("review", reviews=("disk",))["changed"] is False
        assert do("clean_up", jobs=[JOB])["deleted_count"] == OLD

    def test_the_next_waits_where_it_may(self, do: Do, database: Database) -> None:
        database.rows(MAKE + INDEX)
        with database.connect() as other:
            other.execute("SELECT pg_advisory_lock(%s)", [_maintain_session.LOCK])
            threading.Timer(1.0, other.close).start()
            assert do("clean_up", jobs=[JOB], wait=20.0)["deleted_count"] == OLD


def test_nothing_planted_is_called(do: Do, database: Database) -> None:
    database.rows(MAKE + INDEX)
    boom = "LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''planted''; END'"
    database.rows(
        f"CREATE FUNCTION public.before(timestamptz, timestamptz) RETURNS bool {boom};"
        "CREATE OPERATOR public.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = public.before);"
        f"CREATE FUNCTION public.count(text) RETURNS int8 {boom}; CREATE FUNCTION public.age(xid) RETURNS int {boom};"
        f"CREATE FUNCTION public.pg_relation_size(oid) RETURNS int8 {boom}; CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz {boom};"
        f"CREATE FUNCTION public.pgstatindex(regclass) RETURNS int {boom}"
    )
    for task in ("vacuum", "freeze", "reindex", "review", "vectors", "collations"):
        do(task, thresholds={"index_mb": 0})
    assert do("clean_up", jobs=[JOB])["deleted_count"] == OLD


def test_the_module(collections: Path, database: Database) -> None:
    database.rows(MAKE + INDEX)
    given = {"url": database.url, "task": "clean_up", "jobs": [JOB]}
    looked = support.run_module(collections, "pg_maintain", given, check=True)
    assert (looked.result["changed"], count(database)) == (True, ROWS)
    assert support.run_module(collections, "pg_maintain", given).result["deleted_count"] == OLD
    assert support.run_module(collections, "pg_maintain", given).result["changed"] is False
    wrong = support.run_module(collections, "pg_maintain", {**given, "thresholds": {"bloat_percent": 5}})
    assert wrong.msg == "thresholds.bloat_percent is 5: give a number from 10 to 95"
