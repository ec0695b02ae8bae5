"""Maintenance: jobs, thresholds and times as data; which tables, indexes and collations want something; what reviews say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _maintain,
    _maintain_clean,
    _maintain_collations,
    _maintain_indexes,
    _maintain_reindex,
    _maintain_review,
    _maintain_run,
    _maintain_vacuum,
    _maintain_vectors,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_clean import Leaf
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_collations import Collation
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_indexes import ForeignKey, Index
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_run import Request
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_vacuum import Table
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_vectors import Settings, VectorIndex

MB = 1 << 20
JOB = {"name": "old", "table": "recognition_results", "column": "recognized_at", "older_than": "30 days"}


# Jobs, thresholds, times


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"older_than": "1 year 6 months"}, None),
        ({"batch": 100_000, "pause": 0, "lock_timeout": 10, "without_index": True}, None),
        ({"older_than": "0 days"}, ".older_than is '0 days', which is no interval"),
        ({"older_than": "yesterday"}, "which is no interval"),
        ({"older_than": "-3 days"}, "which is no interval"),
        ({"older_than": "30 days'; DROP TABLE x"}, "which is no interval"),
        ({"older_than": None}, "jobs[0] has no older_than"),
        ({"column": ""}, "jobs[0] has no column"),
        ({"colum": "x"}, "jobs[0] has colum, which there is not"),
        ({"name": "Old results"}, ".name is 'Old results'"),
        ({"table": "a.b.c"}, ".table is 'a.b.c', which is no name"),
        ({"batch": 0}, "jobs[0].batch is 0: give a number from 1 to 100,000"),
        ({"pause": "soon"}, "jobs[0].pause is 'soon'"),
        ({"lock_timeout": True}, "jobs[0].lock_timeout is True"),
    ],
)
def test_job_findings(change: dict[str, Any], words: str | None) -> None:
    found = _maintain.job_findings([{**JOB, **change}], "jobs")
    assert found == [] if words is None else words in (found[0] if found[0].startswith("jobs[0]") else "")


def test_jobs_that_collide() -> None:
    assert _maintain.job_findings([JOB, {**JOB, "table": "other"}], "jobs") == [
        "jobs has two jobs of the name old: give each its own"
    ]


def test_job() -> None:
    job = _maintain.job_of({**JOB, "table": 'Sales."or.ders"', "batch": None})
    assert (job.schema, job.table, job.batch, str(job)) == (
        "Sales",
        "or.ders",
        1000,
        'old: "Sales"."or.ders".recognized_at',
    )
    with pytest.raises(StewardError, match="no interval"):
        _maintain.job_of({**JOB, "older_than": "x"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, None),
        ({"bloat_percent": 10, "recall": 1}, None),
        ({"bloat_percent": 9}, "t.bloat_percent is 9: give a number from 10 to 95"),
        ({"bloat_percent": "much"}, "t.bloat_percent is 'much'"),
        ({"freeze_age": 2_000_000_000}, "t.freeze_age is 2000000000: give a number from 1,000,000 to 1,500,000,000"),
        ({"recall": 0.4}, "t.recall is 0.4"),
        ({"bloat": 40}, "t has bloat, which there is not"),
    ],
)
def test_threshold_findings(given: dict[str, Any], words: str | None) -> None:
    found = _maintain.threshold_findings(given, "t")
    assert found == [] if words is None else words in found[0]


def test_later_thresholds_come_first() -> None:
    assert _maintain.thresholds_of({"recall": 0.8, "index_mb": 1}, {"recall": 0.7})["recall"] == 0.7
    with pytest.raises(StewardError, match="recall"):
        _maintain.thresholds_of({"recall": 7})


@pytest.mark.parametrize(
    ("calendar", "hours"),
    [
        ("*-*-* 02:00:00", {2}),
        ("Sun *-*-* 5:30", {5}),
        ("*-*-* 00/6:15:00", {0, 6, 12, 18}),
        ("Mon..Fri 08,12..14:00", {8, 12, 13, 14}),
        ("Mon..Sat 01:30", {1}),
        ("hourly", set()),
        ("*-*-* *:00", set()),
    ],
)
def test_hours(calendar: str, hours: set[int]) -> None:
    assert _maintain.hours(calendar) == hours


@pytest.mark.parametrize(
    ("schedules", "backups", "words"),
    [
        ({"vacuum": "*-*-* 04:30"}, ["*-*-* 02:00:00", None], None),
        ({"vacuum": "*-*-* 02:30"}, ["*-*-* 02:00:00"], "vacuum is *-*-* 02:30, in the hour of a backup"),
        ({"freeze": "*-*-* 00/2:15", "vacuum": None}, ["*-*-* 02:00:00"], None),
    ],
)
def test_backup_findings(schedules: dict[str, Any], backups: list[str], words: str | None) -> None:
    found = _maintain.backup_findings(schedules, backups, "s")
    assert found == [] if words is None else words in found[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vacuum": None, "weekly": "Mon 06:00"}, None),
        ({"daily": "02:00"}, "s has daily, which is never scheduled"),
        ({"vacuum": 5}, "s.vacuum is 5"),
        ({"vacuum": "a\nb"}, "s.vacuum is"),
    ],
)
def test_schedule_findings(given: dict[str, Any], words: str | None) -> None:
    found = _maintain.schedule_findings(given, "s")
    assert found == [] if words is None else words in found[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "vacuum"}, None),
        ({"task": "reindex", "index": "i"}, None),
        ({"task": "reindex", "index": "i", "table": "t"}, "index and table are given: name one"),
        ({"task": "vacuum", "index": "i"}, "index is for the task reindex"),
        ({"task": "clean_up"}, "jobs is empty"),
        ({"task": "reindex", "full": True}, "full is for the task vacuum"),
        ({"task": "vacuum", "full": True}, "full wants table"),
        ({"task": "vacuum", "full": True, "table": "t"}, "confirm is missing"),
        ({"task": "vacuum", "full": True, "table": "t", "confirm": "u"}, "confirm is 'u'"),
        ({"task": "vacuum", "full": True, "table": "t", "confirm": "t"}, None),
        ({"task": "review", "repair": True}, "repair is for the task collations"),
    ],
)
def test_request_findings(change: dict[str, Any], words: str | None) -> None:
    found = _maintain_run.findings(Request(**change))
    assert found == [] if words is None else words in found[0]


# Clean-up

SMALL, LARGE = (Leaf("public", "t", pages * 8192, pages, False) for pages in (100, 100_000))
KEYED = replace(LARGE, keyed=True)


@pytest.mark.parametrize(
    ("leaves", "type_", "without_index", "words"),
    [
        ([KEYED], "timestamp with time zone", False, None),
        ([SMALL], "date", False, None),
        ([LARGE], "date", True, None),
        ([LARGE], "date", False, "has no index: every run would read all of public.recognition_results, 781.2 MB, about 5,000,000 rows"),
        ([KEYED, LARGE], "date", False, "781.2 MB"),
        ([KEYED], "integer", False, "the column is of type integer"),
    ],
)  # fmt: skip
def test_refusal(leaves: list[Leaf], type_: str, without_index: bool, words: str | None) -> None:
    job = replace(_maintain.job_of(JOB), without_index=without_index)
    found = _maintain_clean.refusal(job, leaves, type_, 5e6)
    assert found is None if words is None else words in (found or "")


@pytest.mark.parametrize(
    ("batch", "seconds", "then"),
    [(1000, 0.5, 500), (60, 9, 50), (20, 9, 20), (1000, 0.15, 1000), (500, 0.01, 625), (900, 0.01, 1000), (1, 0.01, 2)],
)
def test_next_batch(batch: int, seconds: float, then: int) -> None:
    assert _maintain_clean.next_batch(batch, seconds, 1000 if batch != 20 else 20) == then


def test_half_of_the_time_is_the_others() -> None:
    assert (_maintain_clean.rest(0.02, 0.1), _maintain_clean.rest(0.7, 0.1)) == (0.1, 0.7)


def test_ranges_are_all_pages_once() -> None:
    assert list(_maintain_clean.ranges(300)) == [(0, 128), (128, 256), (256, 300)]
    assert list(_maintain_clean.ranges(0)) == []


def test_names_are_quoted() -> None:
    odd = Leaf('a"b', "c%d", 0, 0, True)
    for statement in (
        _maintain_clean.keyed_statement(odd, "e f", "date"),
        _maintain_clean.paged_statement(odd, "e f", "date"),
    ):
        assert 'ONLY "a""b"."c%%d"' in statement
        assert '"e f" < %(cutoff)s::date' in statement


@pytest.mark.parametrize(
    ("referrer", "words"),
    [
        (("k", "images", "a", 10.0, True), []),
        (("k", "images", "c", 10.0, True), ["deletes them as well"]),
        (("k", "images", "a", 5000.0, False), ["each row that is deleted reads its 5,000 rows"]),
        (("k", "images", "n", 5000.0, False), ["empties", "no index"]),
    ],
)
def test_referrer_warnings(referrer: tuple[Any, ...], words: list[str]) -> None:
    found = _maintain_clean.referrer_warnings(_maintain.job_of(JOB), [referrer])
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


# Vacuum

TABLE = Table("public", "t", "r", MB, 0, 0, 0, True, True, 1000, 10, 7, 7)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, False),
        ({"dead": 1}, True),
        ({"inserted": 5}, True),
        ({"modified": 5}, True),
        ({"analyzed": False}, True),
        ({"vacuumed": False}, True),
        ({"kind": "p", "dead": 1}, False),
        ({"schema": "pg_catalog", "dead": 1000}, False),
        ({"schema": "pg_catalog", "dead": 1001}, True),
    ],
)
def test_wants_vacuum(change: dict[str, Any], wanted: bool) -> None:
    assert _maintain_vacuum.wants_vacuum(replace(TABLE, **change)) == wanted


def test_a_partitioned_table_is_analyzed_with_its_partitions() -> None:
    parent = replace(TABLE, kind="p", oid=1, root=1)
    partition = replace(TABLE, oid=2, root=1)
    other = replace(TABLE, kind="p", oid=3, root=3)
    assert _maintain_vacuum.to_analyze([parent, partition, other], [partition]) == [parent]
    never = replace(other, analyzed=False)
    assert _maintain_vacuum.to_analyze([parent, never], []) == [never]


def test_the_oldest_is_frozen_first() -> None:
    tables = [replace(TABLE, name=name, age=age, multixact_age=multi) for name, age, multi in
              (("a", 100, 0), ("b", 300, 0), ("c", 200, 0), ("d", 0, 500))]  # fmt: skip
    assert [one.name for one in _maintain_vacuum.to_freeze(tables, 150)] == ["b", "c", "d"]


def test_a_table_that_is_not_there() -> None:
    assert _maintain_vacuum.named([TABLE], "t", "shop") is TABLE
    with pytest.raises(StewardError, match=r"no table public\.u in shop"):
        _maintain_vacuum.named([TABLE], "u", "shop")


def test_skipped() -> None:
    assert _maintain_vacuum.skipped(['skipping vacuum of "t" --- lock not available'])
    assert not _maintain_vacuum.skipped(["something else"])


# Indexes

INDEX = Index(
    1, "public", "i", "t", 9, "btree", True, False, False, False, False, False, 22 * MB, 1e6, 5, (1,), 1, "1978/0/0", None, None,
    key_width=8.0, width_known=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        ({}, 0.0, 12.0),  # a million bigints just built take 21.4 MB
        ({"size": 43 * MB}, 50.0, 56.0),
        ({"rows": 0.0}, 99.0, 100.0),
        ({"size": 10 * MB}, 0.0, 0.0),  # many equal keys share their tuples
    ],
)
def test_bloat(change: dict[str, Any], least: float, most: float) -> None:
    percent = _maintain_indexes.bloat_percent(replace(INDEX, **change))
    assert percent is not None
    assert least <= percent <= most


@pytest.mark.parametrize("change", [{"method": "gin"}, {"key_width": None}, {"width_known": False}, {"size": 0}])
def test_bloat_that_nobody_knows(change: dict[str, Any]) -> None:
    assert _maintain_indexes.bloat_percent(replace(INDEX, **change)) is None


@pytest.mark.parametrize(("density", "fill", "percent"), [(90, 90, 0.0), (45, 90, 50.0), (95, 90, 0.0), (70, 70, 0.0)])
def test_density(density: float, fill: int, percent: float) -> None:
    assert _maintain_indexes.density_percent(density, fill) == percent


@pytest.mark.parametrize(
    ("density", "pages", "used"), [(90.0, 2816, 90.0), (90.0, 1408, 45.0), (float("nan"), 1, 0.0), (90.0, 9000, 90.0)]
)
def test_empty_pages_count(density: float, pages: int, used: float) -> None:
    assert _maintain_indexes.used_percent(density, pages, INDEX) == pytest.approx(used)


BROKEN = replace(INDEX, oid=2, name="j", valid=False)
LEFT = replace(INDEX, oid=3, name="i_ccnew1", valid=False)
NO_ORIGINAL = replace(INDEX, oid=4, name="k_ccnew", valid=False)


@pytest.mark.parametrize(
    ("name", "original", "left"),
    [
        ("i_ccnew", {}, True),
        ("i_ccold2", {}, True),
        ("i_ccnew", {"valid": False}, True),
        ("i_ccold", {"valid": False}, False),
        ("i_ccnew", {"name": "other"}, False),
        ("i_ccnew", {"columns": (2,)}, False),
        ("i_ccnew", {"table_oid": 1}, False),
        ("i_new", {}, False),
    ],
)
def test_left_over(name: str, original: dict[str, Any], left: bool) -> None:
    index = replace(INDEX, oid=2, name=name, valid=False)
    assert _maintain_indexes.left_over(index, [index, replace(INDEX, **original)]) == left


def test_plan() -> None:
    building = replace(INDEX, oid=5, name="l", valid=False, building=True)
    small = replace(INDEX, oid=6, name="m", size=MB)
    bloat = {1: (55.0, "measured"), 6: (80.0, "estimated")}
    steps = _maintain_reindex.plan([INDEX, BROKEN, LEFT, NO_ORIGINAL, building, small], bloat, 40, 8 * MB)
    assert [(step.verb, step.index.name) for step in steps] == [
        ("drop", "i_ccnew1"),
        ("build", "j"),
        ("build", "k_ccnew"),
        ("build", "i"),
    ]
    assert steps[0].statement == 'DROP INDEX CONCURRENTLY IF EXISTS "public"."i_ccnew1"'
    assert steps[-1].reason == "55 % more than it needs, measured"
    assert _maintain_reindex.plan([INDEX], {1: (39.9, "")}, 40, 8 * MB) == []


@pytest.mark.parametrize(
    ("index", "table", "names"),
    [("i", None, ["i"]), (None, "t", ["i", "j"]), (None, None, ["i", "j", "o"])],
)
def test_by_name(index: str | None, table: str | None, names: list[str]) -> None:
    other = replace(INDEX, oid=8, name="o", table="u")
    assert [step.index.name for step in _maintain_reindex.by_name([INDEX, BROKEN, other], index, table, "d")] == names


@pytest.mark.parametrize(
    ("index", "table", "words"),
    [
        ("x.i", None, "no index x.i in d"),
        (None, "v", "no table public.v with indexes in d"),
        ("a.b.c", None, "no name"),
    ],
)
def test_by_a_wrong_name(index: str | None, table: str | None, words: str) -> None:
    with pytest.raises(StewardError, match=words):
        _maintain_reindex.by_name([INDEX], index, table, "d")


def test_exclusion_constraints_are_left_alone() -> None:
    step = _maintain_reindex.Step(replace(INDEX, exclusion=True), "build", "named")
    assert "cannot be built concurrently" in (_maintain_reindex.refusal(step) or "")
    assert _maintain_reindex.refusal(replace(step, index=INDEX)) is None


@pytest.mark.parametrize(
    ("needed", "setting", "available", "value", "enough"),
    [
        (100, 64, 4000, 100, True),
        (10, 64, 4000, 64, True),
        (5000, 64, 4000, 1000, False),
        (100, 64, None, 64, False),
    ],
)
def test_memory_for(needed: int, setting: int, available: int | None, value: int, enough: bool) -> None:
    assert _maintain_reindex.memory_for(needed, setting, available) == (value, enough)


def test_build_memory_is_that_of_the_tuning() -> None:
    assert _maintain_reindex.build_memory(100_000, 512, 16) == int(100_000 * (4 * 512 + 730) * 1.1)
    assert _maintain_reindex.available_memory("MemTotal: 9 kB\nMemAvailable:   2048 kB\n") == 2 * MB
    assert _maintain_reindex.available_memory("") is None


@pytest.mark.parametrize(
    ("change", "is_unused"),
    [
        ({"scans": 0}, True),
        ({"scans": 1}, False),
        ({"scans": 0, "unique": True}, False),
        ({"scans": 0, "constraint": True}, False),
        ({"scans": 0, "identity": True}, False),
        ({"scans": 0, "size": 8192}, False),
        ({"scans": 0, "valid": False}, False),
    ],
)
def test_unused(change: dict[str, Any], is_unused: bool) -> None:
    assert bool(_maintain_indexes.unused([replace(INDEX, **change)], MB)) == is_unused


@pytest.mark.parametrize(
    ("change", "superfluous"),
    [
        ({}, ["b"]),
        ({"constraint": True, "unique": True}, ["i"]),
        ({"scans": 100}, ["i"]),
        ({"classes": "1979/0/0"}, []),
        ({"predicate": "x"}, []),
        ({"table_oid": 10}, []),
        ({"columns": (1, 2), "keys": 2, "classes": "1978 1978/0 0/0 0"}, ["i"]),
        ({"columns": (1, 2), "keys": 2, "classes": "1979 1978/0 0/0 0"}, []),
        ({"columns": (2, 1), "keys": 2, "classes": "1978 1978/0 0/0 0"}, []),
        ({"columns": (1, 2), "keys": 1}, []),  # one column more, INCLUDE
    ],
)
def test_duplicates(change: dict[str, Any], superfluous: list[str]) -> None:
    other = replace(INDEX, **{"oid": 2, "name": "b", **change})
    assert [index.name for index, _kept, _why in _maintain_indexes.duplicates([INDEX, other])] == superfluous


KEY = ForeignKey("k", 9, "public", "t", "public.p", (2, 3), ("a", "b"), 50_000.0, MB)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"columns": (2, 3), "keys": 2}, False),
        ({"columns": (3, 2, 1), "keys": 3}, False),
        ({"columns": (2,), "keys": 1}, True),
        ({"columns": (2, 3), "keys": 1}, True),
        ({"columns": (2, 3), "keys": 2, "predicate": "x"}, True),
        ({"columns": (2, 3), "keys": 2, "valid": False}, True),
        ({"columns": (2, 3), "keys": 2, "table_oid": 1}, True),
    ],
)
def test_keys_without_index(change: dict[str, Any], missing: bool) -> None:
    assert bool(_maintain_indexes.without_index([KEY], [replace(INDEX, **change)])) == missing


def test_review_of_indexes() -> None:
    idle = replace(INDEX, oid=7, name="idle", scans=0, columns=(4,))
    told = _maintain_indexes.review([INDEX, idle, BROKEN], [KEY], _maintain.thresholds_of({}), 31.0)
    assert [one["statement"] for one in told["unused"]] == ["DROP INDEX CONCURRENTLY public.idle"]
    assert told["missing"][0]["statement"] == 'CREATE INDEX CONCURRENTLY ON public.t ("a", "b")'
    assert [one["index"] for one in told["invalid"]] == ["public.j"]
    assert len(told["findings"]) == 3
    young = _maintain_indexes.review([idle], [], _maintain.thresholds_of({}), 3.0)
    assert (young["unused"], young["unused_known"], young["findings"]) == ([], False, [])


# Collations


def test_collations() -> None:
    base = Collation(100, "", "shop", "2.36", "2.41")
    same = Collation(5, "public", "german", "153", "153")
    plain = Collation(6, "pg_catalog", "C", None, None)
    assert _maintain_collations.changed([base, same, plain]) == [base]
    assert base.statement == 'ALTER DATABASE "shop" REFRESH COLLATION VERSION'
    assert replace(same, actual="154").statement == 'ALTER COLLATION "public"."german" REFRESH VERSION'
    other = replace(same, actual="154")
    assert _maintain_collations.settled([base, other], {1: {100}, 2: {100, 5}}, {1}) == ([other], [base])


# Vectors

VECTOR = VectorIndex(
    "public",
    "v",
    "t",
    "ivfflat",
    True,
    MB,
    100_000.0,
    512,
    "vector_cosine_ops",
    "embedding",
    False,
    {"lists": "100"},
    3,
)
SETTINGS = Settings(64 * MB, "1", "40", "off", "off")


@pytest.mark.parametrize(("rows", "lists"), [(0, 1), (100_000, 100), (1_000_000, 1000), (4_000_000, 2000)])
def test_wanted_lists(rows: float, lists: int) -> None:
    assert _maintain_vectors.wanted_lists(rows) == lists


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"rows": 1_000_000.0}, ["100 lists for 1,000,000 rows, where 1000 fit"]),
        ({"rows": 500.0}, []),
        ({"valid": False}, ["is invalid"]),
        ({"method": "hnsw", "options": {}}, ["takes 291.4 MB to build, and maintenance_work_mem is 64.0 MB"]),
        ({"method": "hnsw", "options": {}, "rows": 1000.0}, []),
    ],
)
def test_vector_findings(change: dict[str, Any], words: list[str]) -> None:
    found = _maintain_vectors.index_findings(replace(VECTOR, **change), SETTINGS)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("version", "settings", "words"),
    [
        ("0.8.3", replace(SETTINGS, hnsw_iterative="strict_order"), []),
        ("0.8.3", SETTINGS, ["hnsw.iterative_scan is off"]),
        ("0.8.0", SETTINGS, ["can overflow a buffer", "vacuum can damage", "iterative_scan is off"]),
        ("0.7.4", SETTINGS, ["can overflow", "vacuum can", "has no iterative scan"]),
    ],
)
def test_extension_findings(version: str, settings: Settings, words: list[str]) -> None:
    found = _maintain_vectors.extension_findings(version, settings, ["hnsw"])
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_recall() -> None:
    assert _maintain_vectors.overlap([0.1, 0.2, 0.5], [0.1, 0.2, 0.3]) == pytest.approx(2 / 3)
    assert _maintain_vectors.overlap([0.3, 0.3], [0.3, 0.3]) == 1.0
    assert _maintain_vectors.overlap([], []) == 1.0
    assert _maintain_vectors.recall_finding(VECTOR, 0.95, 0.9, SETTINGS) is None
    assert "finds 62% of the 10 nearest with ivfflat.probes = 1: set 10" in str(
        _maintain_vectors.recall_finding(VECTOR, 0.62, 0.9, SETTINGS)
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"valid": False}, "invalid"),
        ({"column": None}, "on an expression, which is not ours to run"),
        ({"partial": True}, "with a predicate, which is not ours to run"),
        ({"opclass": "my_ops"}, "of the operator class my_ops, which is not known here"),
    ],
)
def test_unsearchable(change: dict[str, Any], why: str | None) -> None:
    assert _maintain_vectors.unsearchable(replace(VECTOR, **change)) == why


@pytest.mark.parametrize(
    ("opclass", "operator"),
    [("vector_l2_ops", "<->"), ("halfvec_cosine_ops", "<=>"), ("vector_ip_ops", "<#>"), ("vector_l1_ops", "<+>"),
     ("bit_hamming_ops", "<~>"), ("bit_jaccard_ops", "<%>"), ("sparsevec_l2_ops", "<->")],
)  # fmt: skip
def test_operator(opclass: str, operator: str) -> None:
    assert replace(VECTOR, opclass=opclass).operator == operator


def test_a_search_takes_the_operator_of_the_extension_only() -> None:
    assert 'OPERATOR("ext".<=>) %(vector)s' in _maintain_vectors.search(VECTOR, "ext")


# Reviews


def test_slow_findings() -> None:
    rows = [("SELECT 'secret'", 7, 2500.0, 0, 0), ("SELECT 2", 7, 900.0, 0, 0), ("REINDEX INDEX x", 7, 90000.0, 0, 0)]
    found = _maintain_review.slow_findings(rows)
    assert found == ["2.5 s on average in 7 calls: SELECT '…'"]


def test_growth_and_disk() -> None:
    before = {"at": 0.0, "bytes": 100 * MB, "tables": [{"table": "public.t", "bytes": MB}]}
    now = {
        "at": 86400.0,
        "bytes": 200 * MB,
        "tables": [{"table": "public.t", "bytes": 90 * MB}],
        "free_bytes": 1000 * MB,
        "disk_bytes": 20000 * MB,
    }
    grown = _maintain_review.growth(now, before)
    assert grown == {"bytes_per_day": 100 * MB, "days_left": 10.0, "grown": [{"table": "public.t", "bytes": 89 * MB}]}
    found = _maintain_review.disk_findings("shop", {**now, **grown}, 10)
    assert len(found) == 2
    assert "less than 10 %" in found[0]
    assert "shop grows by 100.0 MB a day, most of it public.t: the disk is full in 10 days" in found[1]
    for earlier in (None, {**before, "at": 86000.0}):
        assert _maintain_review.growth(now, earlier)["bytes_per_day"] is None
