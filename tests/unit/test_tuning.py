"""Settings computed from machines, and the findings about those that an operator chose."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.filter.tuning import pg_tune
from ansible_collections.pgsteward.postgres.plugins.module_utils import _settings, _tuning
from ansible_collections.pgsteward.postgres.plugins.module_utils._tuning import GB, KB, MB, TB, Build, Host

CPUS = {1: 1, 4: 2, 8: 4, 64: 16, 512: 64}
HOSTS = [(profile, gigabytes) for profile in _tuning.PROFILES for gigabytes in CPUS]


def host(gigabytes: int, profile: str = "oltp", **more: Any) -> Host:
    return Host(memory=gigabytes * GB, cpus=CPUS.get(gigabytes, 4), profile=profile, **more)


COLUMNS = (
    "shared_buffers",
    "effective_cache_size",
    "maintenance_work_mem",
    "autovacuum_work_mem",
    "work_mem",
    "wal_buffers",
    "min_wal_size",
    "max_wal_size",
)
EXPECTED = """
    oltp        1  256MB 768MB 64MB  16MB  3904kB  7808kB 512MB 2GB
    oltp        4  1GB   3GB   256MB 64MB  10MB    16MB   2GB   8GB
    oltp        8  2GB   6GB   512MB 128MB 19MB    16MB   2GB   8GB
    oltp       64  16GB  48GB  2GB   1GB   141MB   16MB   2GB   8GB
    oltp      512  128GB 384GB 2GB   1GB   799MB   16MB   2GB   8GB
    analytics   1  256MB 768MB 128MB 16MB  3904kB  7808kB 512MB 2GB
    analytics   4  1GB   3GB   512MB 64MB  5MB     16MB   2GB   8GB
    analytics   8  2GB   6GB   1GB   128MB 10048kB 16MB   4GB   16GB
    analytics  64  16GB  48GB  2GB   1GB   70MB    16MB   4GB   16GB
    analytics 512  128GB 384GB 2GB   1GB   399MB   16MB   4GB   16GB
    vector      1  256MB 768MB 128MB 16MB  3904kB  7808kB 512MB 2GB
    vector      4  1GB   3GB   512MB 64MB  10MB    16MB   2GB   8GB
    vector      8  2GB   6GB   1GB   128MB 19MB    16MB   2GB   8GB
    vector     64  16GB  48GB  8GB   1GB   141MB   16MB   2GB   8GB
    vector    512  128GB 384GB 8GB   1GB   799MB   16MB   2GB   8GB
    small       1  64MB  256MB 64MB  16MB  4MB     1920kB 100MB 2GB
    small       4  256MB 1GB   256MB 64MB  4MB     7808kB 100MB 2GB
    small       8  512MB 2GB   512MB 128MB 4160kB  16MB   100MB 2GB
    small      64  4GB   16GB  2GB   1GB   29MB    16MB   100MB 2GB
    small     512  32GB  128GB 2GB   1GB   166MB   16MB   100MB 2GB
"""


@pytest.mark.parametrize("line", EXPECTED.strip().splitlines())
def test_amounts_of_memory(line: str) -> None:
    profile, gigabytes, *expected = line.split()
    tuned = _tuning.tune(host(int(gigabytes), profile), {})
    assert [tuned[name] for name in COLUMNS] == expected


WORKERS = """
    oltp        1  32  1  0  1
    oltp        4  32  2  1  1
    oltp        8  32  4  2  2
    oltp       64  32 16  4  4
    oltp      512  72 64  4  4
    analytics  64  32 16  8  4
    analytics 512  72 64 32  4
    vector      8  32  4  2  2
    vector    512  72 64  4  8
    small     512  72 64  2  4
"""


@pytest.mark.parametrize("line", WORKERS.strip().splitlines())
def test_numbers_of_workers(line: str) -> None:
    profile, *numbers = line.split()
    gigabytes, *expected = (int(number) for number in numbers)
    assert list(_tuning.worker_settings(host(gigabytes, profile)).values()) == expected


@pytest.mark.parametrize(("profile", "gigabytes"), HOSTS)
@pytest.mark.parametrize("connections", [20, 100, 300])
def test_all_that_may_be_taken_at_once_fits(profile: str, gigabytes: int, connections: int) -> None:
    tuned = _tuning.tune(host(gigabytes, profile, connections=connections), {})
    memory = {name: _tuning.parse_amount(tuned[name]) or 0 for name in COLUMNS}
    rest = gigabytes * GB - memory["shared_buffers"]
    assert connections * memory["work_mem"] <= rest / 2
    assert memory["maintenance_work_mem"] <= rest / 2
    assert 3 * memory["autovacuum_work_mem"] <= rest / 10
    assert memory["effective_cache_size"] <= gigabytes * GB
    assert 64 * MB <= memory["min_wal_size"] <= memory["max_wal_size"] <= 2 * gigabytes * GB
    assert _tuning.findings({"memory": gigabytes * GB, "cpus": 2, "profile": profile, "connections": connections}) == []


@pytest.mark.parametrize(("profile", "gigabytes"), HOSTS)
@pytest.mark.parametrize("version", range(13, 19))
def test_every_name_is_known_and_every_value_can_be_written(profile: str, gigabytes: int, version: int) -> None:
    tuned = _tuning.tune(host(gigabytes, profile, version=version), {})
    assert _settings.name_findings(tuned, version, "tuned") == []
    assert ("hash_mem_multiplier" in tuned) is (version < 15)
    assert tuned == _tuning.tune(host(gigabytes, profile, version=version), {})


@pytest.mark.parametrize(
    ("disk", "page_cost", "concurrency"), [("hdd", 4, 2), ("ssd", 1.1, 200), ("san", 1.1, 300), ("nvme", 1.1, 1000)]
)
def test_disk(disk: str, page_cost: float, concurrency: int) -> None:
    tuned = _tuning.tune(host(8, disk=disk), {})
    assert (tuned["random_page_cost"], tuned["effective_io_concurrency"]) == (page_cost, concurrency)


def test_other_settings() -> None:
    assert _tuning.tune(host(8, connections=40), {})["max_connections"] == 40
    assert _tuning.tune(host(8), {})["checkpoint_completion_target"] == 0.9
    assert _tuning.tune(host(8), {})["default_statistics_target"] == 100
    assert _tuning.tune(host(8, "analytics"), {})["default_statistics_target"] == 500


def test_unsafe_pgvector_builds_alone() -> None:
    workers = {
        profile: _tuning.worker_settings(host(64, profile, parallel_hnsw=False))["max_parallel_maintenance_workers"]
        for profile in _tuning.PROFILES
    }
    assert workers == {"oltp": 4, "analytics": 4, "vector": 0, "small": 4}


@pytest.mark.parametrize(
    ("overrides", "work_mem"),
    [
        ({}, "19MB"),
        ({"shared_buffers": "4GB"}, "13440kB"),
        ({"Shared_Buffers": 524288}, "13440kB"),  # a plain number counts blocks of 8 kB
        ({"max_connections": 50}, "37MB"),
        ({"max_connections": None, "shared_buffers": None}, "25MB"),  # the server's own: 100 and 128MB
    ],
)
def test_what_depends_on_an_operator_s_setting_follows_it(overrides: dict[str, Any], work_mem: str) -> None:
    assert _tuning.tune(host(8), overrides)["work_mem"] == work_mem


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (24684092 * KB, 24684092 * KB - 5 * MB),  # what a kernel update may take
        (8132360 * KB, 8129000 * KB),
    ],
)
def test_a_few_megabytes_change_nothing(before: int, after: int) -> None:
    assert _tuning.tune(Host(before, 4), {}) == _tuning.tune(Host(after, 4), {})


@pytest.mark.parametrize("memory", [256 * MB, 300 * MB, GB, 7 * GB + 900 * MB, 63 * GB, 500 * GB, 3 * TB])
def test_usable_memory_is_a_little_less_and_never_more(memory: int) -> None:
    assert memory * 0.968 <= _tuning.usable_memory(memory) <= memory


@pytest.mark.parametrize(
    ("rows", "dimensions", "amount"),
    [(1, 1, 808), (1_000_000, 512, 3_055_800_000), (1_000_000, 1536, 7_561_400_000), (100_000, 128, 136_620_000)],
)
def test_memory_of_an_hnsw_build(rows: int, dimensions: int, amount: int) -> None:
    assert _tuning.hnsw_memory(Build(rows, dimensions)) == amount


@pytest.mark.parametrize(
    ("profile", "build", "maintenance"),
    [
        ("vector", None, "1GB"),
        ("vector", Build(100_000, 512), "1GB"),
        ("vector", Build(1_000_000, 512), "2915MB"),
        ("oltp", Build(1_000_000, 512), "2915MB"),
        ("vector", Build(10_000_000, 512), "3GB"),  # the most that this host has for it; findings refuse it
    ],
)
def test_the_largest_build_sets_maintenance_work_mem(profile: str, build: Build | None, maintenance: str) -> None:
    assert _tuning.tune(host(8, profile, build=build), {})["maintenance_work_mem"] == maintenance


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("64MB", KB, 64 * MB),
        (" 64 MB ", KB, 64 * MB),
        ("1.5GB", KB, 1536 * MB),
        ("2TB", KB, 2 * TB),
        ("512kB", 8 * KB, 512 * KB),
        ("100B", KB, 100),
        ("16384", 8 * KB, 128 * MB),
        (16384, 8 * KB, 128 * MB),
        (4096, KB, 4 * MB),
        (-1, 1, -1),
        ("64mb", KB, None),
        ("64M", KB, None),
        ("", KB, None),
        ("MB", KB, None),
        ("64MB 2", KB, None),
        (True, KB, None),
        (None, KB, None),
        (["64MB"], KB, None),
    ],
)
def test_parse_amount(text: Any, unit: int, amount: int | None) -> None:
    assert _tuning.parse_amount(text, unit) == amount


@pytest.mark.parametrize(
    ("amount", "written", "said"),
    [
        (0, "0", "0B"),
        (-1, "-1", "-1B"),
        (2 * GB, "2GB", "2GB"),
        (1536 * MB, "1536MB", "1.5GB"),
        (7808 * KB, "7808kB", "7.62MB"),
        (3 * TB, "3TB", "3TB"),
        (1000, "1000B", "1000B"),
    ],
)
def test_render(amount: int, written: str, said: str) -> None:
    assert (_tuning.render(amount), _tuning.readable(amount)) == (written, said)


MACHINE = {"memory": "8GB", "cpus": 4}
UNITS = "(units: B, kB, MB, GB, TB)"
FINDINGS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"overrides": {"shared_buffers": "2GB", "effective_cache_size": "6GB", "work_mem": "64MB"}}, None),
    ({"overrides": {"wal_buffers": -1, "autovacuum_work_mem": -1, "work_mem": None}}, None),
    (
        {"overrides": {"shared_buffers": "8GB"}},
        (
            "pg_server_settings: 100 connections would have 64kB of work_mem each in what shared_buffers 8GB leaves of 8GB;"
            " lower one of them, a pooler needs few connections"
        ),
    ),
    (
        {"overrides": {"shared_buffers": "9GB"}},
        "pg_server_settings: shared_buffers 9GB is larger than the memory of this host, 8GB",
    ),
    (
        {"overrides": {"SHARED_BUFFERS": 2000000}},
        "pg_server_settings: shared_buffers 15.26GB is larger than the memory of this host, 8GB",
    ),
    (
        {"overrides": {"work_mem": "64mb"}},
        f"pg_server_settings: work_mem '64mb' is not an amount of memory; write it like 64MB {UNITS}",
    ),
    (
        {"overrides": {"work_mem": "128MB"}},
        (
            "pg_server_settings: 100 connections times work_mem 128MB is 12.5GB, beyond the memory of this host, 8GB;"
            " lower one of them, a pooler needs few connections"
        ),
    ),
    (
        {"overrides": {"work_mem": "64MB"}, "connections": 200},
        (
            "pg_server_settings: 200 connections times work_mem 64MB is 12.5GB, beyond the memory of this host, 8GB;"
            " lower one of them, a pooler needs few connections"
        ),
    ),
    (
        {"overrides": {"work_mem": None, "max_connections": 4000}},
        (
            "pg_server_settings: 4000 connections times work_mem 4MB is 15.62GB, beyond the memory of this host, 8GB;"
            " lower one of them, a pooler needs few connections"
        ),
    ),
    (
        {"connections": 10000},
        (
            "pg_server_connections: 10000 connections would have 256kB of work_mem each in what shared_buffers 2GB leaves of 8GB;"
            " lower one of them, a pooler needs few connections"
        ),
    ),
    (
        {"overrides": {"max_connections": "many"}},
        "pg_server_settings: max_connections 'many' is not a number of connections",
    ),
    ({"connections": 1}, "pg_server_connections: 1 is not a number from 5 to 262143"),
    ({"connections": "many"}, "pg_server_connections: 'many' is not a number from 5 to 262143"),
    ({"connections": True}, "pg_server_connections: True is not a number from 5 to 262143"),
    ({"memory": "eight"}, f"pg_server_memory: 'eight' is not an amount of memory; write it like 8GB {UNITS}"),
    ({"memory": "100MB"}, "pg_server_memory: 100MB is too little for a server; it takes 256MB"),
    ({"machine_memory": 4 * GB}, "pg_server_memory: 8GB is more than the 4GB that this host has"),
    ({"disk": "tape"}, "pg_server_disk: 'tape' is not one of hdd, ssd, san, nvme"),
    ({"profile": "web"}, "pg_server_profile: 'web' is not one of oltp, analytics, vector, small"),
    ({"build": {"rows": 1_000_000, "dimensions": 512}}, None),
    ({"build": {"rows": 1_000_000, "dimensions": 512}, "shm": 4 * GB}, None),
    (
        {"build": {"rows": 1_000_000, "dimensions": 512}, "shm": 64 * MB},
        (
            "pg_server_vector_build: an HNSW index of 1000000 rows of 512 dimensions takes 2.85GB to build, /dev/shm of this host is 64MB;"
            " make it larger, parallel builds keep the graph there"
        ),
    ),
    (
        {"build": {"rows": 10_000_000, "dimensions": 512}},
        (
            "pg_server_vector_build: an HNSW index of 10000000 rows of 512 dimensions takes 28.46GB to build, this host has 3GB for it;"
            " give it more memory, or leave the input out and accept a slow build"
        ),
    ),
    ({"build": {"rows": 10_000_000, "dimensions": 512}, "overrides": {"maintenance_work_mem": "4GB"}}, None),
    ({"build": {"rows": 10}}, "pg_server_vector_build: give rows and dimensions, nothing else"),
    ({"build": [1]}, "pg_server_vector_build: give rows and dimensions, nothing else"),
    (
        {"build": {"rows": 1, "dimensions": 4000}},
        "pg_server_vector_build.dimensions: 4000 is not a number from 1 to 2000",
    ),
    ({"sysctl": {"vm.swappiness": 1, "vm.overcommit_memory": 2, "vm.overcommit_ratio": 90}}, None),
    (
        {"sysctl": {"vm.overcommit_memory": 2}},
        "pg_server_sysctl: vm.overcommit_memory 2 needs vm.overcommit_ratio, by default half of the memory could not be used",
    ),
    (
        {"sysctl": {"vm.nr_hugepages": 10}, "huge_pages": True},
        "pg_server_sysctl: vm.nr_hugepages is computed when pg_server_huge_pages is on; take it out",
    ),
    (
        {"sysctl": {"swappiness": 1}},
        "pg_server_sysctl: 'swappiness' is not the name of a kernel parameter, or its value is not one",
    ),
    (
        {"sysctl": {"vm.swappiness": "1\nvm.panic_on_oom = 1"}},
        "pg_server_sysctl: 'vm.swappiness' is not the name of a kernel parameter, or its value is not one",
    ),
    ({"sysctl": "all", "overrides": "none"}, None),  # the specification reports wrong types
]


@pytest.mark.parametrize(("inputs", "line"), FINDINGS)
def test_findings(inputs: dict[str, Any], line: str | None) -> None:
    assert _tuning.findings({**MACHINE, **inputs}) == ([line] if line else [])


def test_filter_says_what_is_wrong() -> None:
    with pytest.raises(Exception, match="pg_server_disk: 'tape' is not one of"):
        pg_tune({**MACHINE, "disk": "tape"})
    assert pg_tune({**MACHINE, "overrides": {"shared_buffers": "1GB"}})["shared_buffers"] == "2GB"


@pytest.mark.parametrize(
    ("buffers", "connections", "measured"),
    [
        (16 * MB, 100, 42),
        (16 * MB, 1000, 86),
        (GB, 100, 1081),
        (8 * GB, 100, 8438),
        (8 * GB, 1000, 8482),
        (64 * GB, 1000, 67142),
        (128 * GB, 100, 133932),
    ],
)
def test_shared_memory_is_enough_for_what_a_server_said(buffers: int, connections: int, measured: int) -> None:
    estimate = _tuning.shared_memory(buffers, connections)
    assert measured * MB <= estimate <= measured * MB * 1.01 + 110 * MB
