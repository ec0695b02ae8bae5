# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Server settings computed from a machine, and what is wrong with those that an operator chose. Pure.

Amounts of memory are bytes throughout. Formulas called pgtune's are those of https://github.com/le0pard/pgtune
(src/features/configuration/configurationSlice.js); where ours differ, the docstring says how and why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

KB, MB, GB, TB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
UNITS = {"B": 1, "kB": KB, "MB": MB, "GB": GB, "TB": TB}
LEAST_MEMORY = 256 * MB
LEAST_WORK_MEM = MB
MOST_CONNECTIONS = 262143
MOST_HNSW_DIMENSIONS = 2000

OLTP, ANALYTICS, VECTOR, SMALL = PROFILES = ("oltp", "analytics", "vector", "small")
DISKS = {
    # random_page_cost and effective_io_concurrency: pgtune's, and for nvme the most that the server accepts
    "hdd": (4, 2),
    "ssd": (1.1, 200),
    "san": (1.1, 300),
    "nvme": (1.1, 1000),
}

# Settings that are an amount of memory, with the unit of a plain number and the server's own default (pg_settings).
AMOUNTS = {
    "shared_buffers": (8 * KB, 128 * MB),
    "effective_cache_size": (8 * KB, 4 * GB),
    "wal_buffers": (8 * KB, -1),
    "temp_buffers": (8 * KB, 8 * MB),
    "work_mem": (KB, 4 * MB),
    "maintenance_work_mem": (KB, 64 * MB),
    "autovacuum_work_mem": (KB, -1),
    "logical_decoding_work_mem": (KB, 64 * MB),
}
DEFAULT_CONNECTIONS = 100

_AMOUNT = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]*)?)\s*(B|kB|MB|GB|TB)?\s*\Z")

_KERNEL_NAME = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_-]+)+\Z")
_KERNEL_VALUE = re.compile(r"[ -~]+\Z")


class TuningError(StewardError):
    """An input that nothing can be computed from; the text starts with the name of the variable."""


@dataclass(frozen=True)
class Build:
    """The largest HNSW index that is built here."""

    rows: int
    dimensions: int


@dataclass(frozen=True)
class Host:
    """What the settings are computed from."""

    memory: int
    cpus: int
    disk: str = "ssd"
    connections: int = DEFAULT_CONNECTIONS
    profile: str = OLTP
    version: int = 17
    build: Build | None = None
    parallel_hnsw: bool = True


def parse_amount(value: Any, unit: int = 1) -> int | None:
    """Return the bytes of an amount as PostgreSQL reads it (docs, "Parameter Names and Values"), None when it cannot.

    unit: what one of a plain number is, in bytes. Units are case-sensitive, as in the server.
    """
    match = None if isinstance(value, bool) else _AMOUNT.match(str(value))
    if not match:
        return None
    number = float(match[1]) if "." in match[1] else int(match[1])
    return round(number * (UNITS[match[2]] if match[2] else unit))


def render(amount: int) -> str:
    """Return bytes in the largest unit of PostgreSQL that needs no fraction, "0" for nothing and "-1" for automatic."""
    if amount <= 0:
        return str(amount)
    for name in ("TB", "GB", "MB", "kB"):
        if amount % UNITS[name] == 0:
            return f"{amount // UNITS[name]}{name}"
    return f"{amount}B"


def readable(amount: int) -> str:
    """Return bytes for a sentence, with at most two decimals."""
    name = next((unit for unit in ("TB", "GB", "MB", "kB") if amount >= UNITS[unit]), "B")
    return f"{amount / UNITS[name]:.2f}".rstrip("0").rstrip(".") + name


def tidy(amount: float) -> int:
    """Return bytes rounded down to whole MB, below 16 MB to 64 kB: what people write."""
    step = MB if amount >= 16 * MB else 64 * KB
    return int(amount) // step * step


def usable_memory(memory: int) -> int:
    """Return memory rounded down to a 32nd of the power of two below it.

    Ours: a kernel update moves MemTotal by a few MB, which must not change shared_buffers, or every such update would want a
    restart. Costs 3 % at most, and nothing at whole GB up to 64.
    """
    step = (1 << (memory.bit_length() - 1)) // 32
    return memory // step * step


def shared_buffers(host: Host) -> int:
    """Return shared_buffers: a quarter of the memory, a 16th where other programs share the host (pgtune; PostgreSQL docs)."""
    return tidy(host.memory / (16 if host.profile == SMALL else 4))


def effective_cache_size(host: Host) -> int:
    """Return what the planner may take to be cached: three quarters of the memory, a quarter on a shared host (pgtune)."""
    return tidy(host.memory / 4 if host.profile == SMALL else host.memory * 3 / 4)


def maintenance_work_mem(host: Host, buffers: int) -> int:
    """Return maintenance_work_mem: a 16th of the memory, an eighth for analytics, at most 2 GB (pgtune).

    Ours: for vectors an eighth, at most 8 GB, since an HNSW build that leaves memory is up to 3.8 times slower; and what the
    largest build needs, if that is more and can be had.
    """
    usual = min(
        host.memory // (8 if host.profile in (ANALYTICS, VECTOR) else 16), (8 if host.profile == VECTOR else 2) * GB
    )
    needed = hnsw_memory(host.build) if host.build else 0
    return max(tidy(usual), min(math.ceil(needed / MB) * MB, most_for_a_build(host, buffers)))


def hnsw_memory(build: Build) -> int:
    """Return the bytes that building an HNSW index of m = 16 takes: rows * (4 * dimensions + 730), and a tenth more.

    pgvector keeps the graph in maintenance_work_mem: the vector of 4 bytes a dimension, the element, and its neighbours. The
    constant was measured with pgvector 0.8.
    """
    return -(-build.rows * (4 * build.dimensions + 730) * 11 // 10)


def most_for_a_build(host: Host, buffers: int) -> int:
    """Return the most that one index build may take: half of what shared_buffers leaves. Ours."""
    return tidy(max(host.memory - buffers, 0) / 2)


def autovacuum_work_mem(host: Host) -> int:
    """Return the memory of one autovacuum worker: a 64th of the memory, at most 1 GB.

    Ours, so that three workers never take three times a maintenance_work_mem that was sized for index builds (PostgreSQL docs warn
    of that); before version 17 a vacuum could not use more than 1 GB.
    """
    return tidy(min(host.memory / 64, GB))


def work_mem(host: Host, buffers: int, connections: int) -> int:
    """Return work_mem: what shared_buffers leaves, divided by three times connections and parallel workers (pgtune).

    Analytics get half of that, because there one query runs many sorts, and a shared host a sixth (pgtune). At least 4 MB, the server's
    default. Ours, and stronger: all connections together stay within half of what shared_buffers leaves, so that hash tables, which
    may take twice work_mem (hash_mem_multiplier), still fit.
    """
    rest = max(host.memory - buffers, 0)
    factor = {ANALYTICS: 2, SMALL: 6}.get(host.profile, 1)
    fair = rest / ((connections + host.cpus) * 3) / factor
    return max(tidy(min(max(fair, 4 * MB), rest / 2 / connections)), 64 * KB)


def wal_buffers(buffers: int) -> int:
    """Return wal_buffers: 3 % of shared_buffers up to 16 MB, a whole 16 MB from 14 MB on, at least 32 kB (pgtune)."""
    amount = tidy(min(buffers * 3 / 100, 16 * MB))
    return 16 * MB if amount > 14 * MB else max(amount, 32 * KB)


def wal_sizes(host: Host) -> tuple[int, int]:
    """Return min_wal_size and max_wal_size (pgtune: 2 and 8 GB, analytics 4 and 16 GB, small 100 MB and 2 GB).

    Ours: never more than twice the memory, and a quarter of that kept, since little memory usually comes with a small disk.
    """
    least, most = {ANALYTICS: (4 * GB, 16 * GB), SMALL: (100 * MB, 2 * GB)}.get(host.profile, (2 * GB, 8 * GB))
    most = min(most, 2 * host.memory)
    return tidy(min(least, most / 4)), tidy(most)


def worker_settings(host: Host) -> dict[str, int]:
    """Return the numbers of background workers.

    Parallel ones: as many as CPUs; half of them for one query or one index build, at most 4, for analytics without that limit (pgtune).
    Ours: none for a query on a single CPU, at most 8 for index builds of vectors and none for them where pgvector's parallel build
    is unsafe. max_worker_processes is the same on all hosts up to 24 CPUs, because a standby with fewer than its primary stops replaying.
    """
    half = math.ceil(host.cpus / 2)
    gather = half if host.profile == ANALYTICS else min(half, 2 if host.profile == SMALL else 4)
    build = min(half, 8 if host.profile == VECTOR else 4)
    if host.profile == VECTOR and not host.parallel_hnsw:
        build = 0
    return {
        "max_worker_processes": max(32, host.cpus + 8),
        "max_parallel_workers": host.cpus,
        "max_parallel_workers_per_gather": gather if host.cpus > 1 else 0,
        "max_parallel_maintenance_workers": build,
    }


def tune(host: Host, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by name for a host; what follows from shared_buffers and max_connections follows from the operator's, if given.

    checkpoint_completion_target 0.9 is pgtune's and the server's own since 14; hash_mem_multiplier 2 is the server's own since 15;
    default_statistics_target is 500 for analytics (pgtune).
    """
    host = Host(**{**host.__dict__, "memory": usable_memory(host.memory)})
    chosen = _lower(overrides)
    buffers = _amount("shared_buffers", chosen, shared_buffers(host))
    connections = _connections(chosen, host.connections)
    least_wal, most_wal = wal_sizes(host)
    page_cost, io_concurrency = DISKS[host.disk]
    return {
        "max_connections": host.connections,
        "shared_buffers": render(shared_buffers(host)),
        "effective_cache_size": render(effective_cache_size(host)),
        "maintenance_work_mem": render(maintenance_work_mem(host, buffers)),
        "autovacuum_work_mem": render(autovacuum_work_mem(host)),
        "work_mem": render(work_mem(host, buffers, connections)),
        "wal_buffers": render(wal_buffers(buffers)),
        "min_wal_size": render(least_wal),
        "max_wal_size": render(most_wal),
        "checkpoint_completion_target": 0.9,
        "default_statistics_target": 500 if host.profile == ANALYTICS else 100,
        "random_page_cost": page_cost,
        "effective_io_concurrency": io_concurrency,
        **worker_settings(host),
        **({"hash_mem_multiplier": 2} if host.version < 15 else {}),
    }


def shared_memory(buffers: int, connections: int) -> int:
    """Return at least the bytes of shared memory that a server with these settings asks for.

    Measured with shared_memory_size of PostgreSQL 17 up to 128 GB: 2.2 to 2.5 % of shared_buffers for their descriptors, 50 kB a
    connection, 25 to 45 MB for the rest. What is added here leaves some room for extensions.
    """
    return math.ceil(buffers * 1.03) + 64 * MB + connections * 64 * KB


def host_of(inputs: Mapping[str, Any]) -> Host:
    """Return the host that the inputs describe; the keys are those of the filter pg_tune. Raises TuningError for the first wrong one."""
    memory = parse_amount(inputs.get("memory"))
    if memory is None:
        raise TuningError(
            f"pg_server_memory: {inputs.get('memory')!r} is not an amount of memory; write it like 8GB (units: {', '.join(UNITS)})"
        )
    if memory < LEAST_MEMORY:
        raise TuningError(
            f"pg_server_memory: {readable(memory)} is too little for a server; it takes {render(LEAST_MEMORY)}"
        )
    return Host(
        memory=memory,
        cpus=_whole("cpus", inputs.get("cpus"), 1, 1 << 16),
        connections=_whole(
            "pg_server_connections", inputs.get("connections", DEFAULT_CONNECTIONS), 5, MOST_CONNECTIONS
        ),
        version=_whole("pg_server_version", inputs.get("version", 17), 1, 99),
        disk=_one_of("pg_server_disk", inputs.get("disk", "ssd"), DISKS),
        profile=_one_of("pg_server_profile", inputs.get("profile", OLTP), PROFILES),
        build=_build(inputs.get("build")),
        parallel_hnsw=bool(inputs.get("parallel_hnsw", True)),
    )


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each input or sum that this machine cannot serve; the keys are those of the filter pg_tune."""
    try:
        host = host_of(inputs)
    except TuningError as error:
        return [str(error)]
    chosen = _lower(inputs.get("overrides") or {})
    found = [*_memory_findings(host, inputs), *_amount_findings(host, chosen)]
    found += _sysctl_findings(inputs.get("sysctl") or {}, bool(inputs.get("huge_pages")))
    if not found:
        found = [*_sum_findings(host, chosen), *_build_findings(host, chosen, inputs)]
    return found


def _memory_findings(host: Host, inputs: Mapping[str, Any]) -> list[str]:
    machine = parse_amount(inputs.get("machine_memory", host.memory)) or host.memory
    if host.memory > machine:
        return [f"pg_server_memory: {readable(host.memory)} is more than the {readable(machine)} that this host has"]
    return []


def _amount_findings(host: Host, chosen: Mapping[str, Any]) -> list[str]:
    found = []
    for name in sorted(chosen.keys() & AMOUNTS.keys()):
        amount = _amount(name, chosen, None)
        if amount is None:
            found.append(
                f"pg_server_settings: {name} {chosen[name]!r} is not an amount of memory; write it like 64MB (units: {', '.join(UNITS)})"
            )
        elif chosen[name] is not None and amount > host.memory:
            found.append(
                f"pg_server_settings: {name} {readable(amount)} is larger than the memory of this host, {readable(host.memory)}"
            )
    if _connections(chosen, 0) < 0:
        found.append(
            f"pg_server_settings: max_connections {chosen['max_connections']!r} is not a number of connections"
        )
    return found


def _sum_findings(host: Host, chosen: Mapping[str, Any]) -> list[str]:
    tuned = tune(host, chosen)
    each = _amount("work_mem", chosen, parse_amount(tuned["work_mem"])) or 0
    connections = _connections(chosen, host.connections)
    variable = (
        "pg_server_settings"
        if chosen.keys() & {"work_mem", "max_connections", "shared_buffers"}
        else "pg_server_connections"
    )
    if "work_mem" not in chosen and each < LEAST_WORK_MEM:
        buffers = _amount("shared_buffers", chosen, shared_buffers(host))
        return [
            (
                f"{variable}: {connections} connections would have {readable(each)} of work_mem each in what shared_buffers {readable(buffers)} leaves"
                f" of {readable(host.memory)}; lower one of them, a pooler needs few connections"
            )
        ]
    if connections * each <= host.memory:
        return []
    return [
        (
            f"{variable}: {connections} connections times work_mem {readable(each)} is {readable(connections * each)}, beyond the memory of"
            f" this host, {readable(host.memory)}; lower one of them, a pooler needs few connections"
        )
    ]


def _build_findings(host: Host, chosen: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    if not host.build or chosen.get("maintenance_work_mem") is not None:
        return []
    buffers = _amount("shared_buffers", chosen, shared_buffers(host)) or 0
    needed, most = hnsw_memory(host.build), most_for_a_build(host, buffers)
    wanted = f"pg_server_vector_build: an HNSW index of {host.build.rows} rows of {host.build.dimensions} dimensions takes {readable(needed)} to build"
    if needed > most:
        return [
            f"{wanted}, this host has {readable(most)} for it; give it more memory, or leave the input out and accept a slow build"
        ]
    shared = parse_amount(inputs.get("shm", -1))
    if shared is not None and 0 <= shared < needed:
        return [
            f"{wanted}, /dev/shm of this host is {readable(shared)}; make it larger, parallel builds keep the graph there"
        ]
    return []


def _sysctl_findings(given: Any, huge_pages: bool) -> list[str]:
    if not isinstance(given, Mapping):
        return []
    found = [
        f"pg_server_sysctl: {name!r} is not the name of a kernel parameter, or its value is not one"
        for name, value in given.items()
        if not _KERNEL_NAME.match(str(name)) or not _KERNEL_VALUE.match(str(value)) or isinstance(value, bool)
    ]
    if huge_pages and "vm.nr_hugepages" in given:
        found.append("pg_server_sysctl: vm.nr_hugepages is computed when pg_server_huge_pages is on; take it out")
    if str(given.get("vm.overcommit_memory")) == "2" and not given.keys() & {
        "vm.overcommit_ratio",
        "vm.overcommit_kbytes",
    }:
        found.append(
            "pg_server_sysctl: vm.overcommit_memory 2 needs vm.overcommit_ratio, by default half of the memory could not be used"
        )
    return found


def _lower(settings: Any) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in settings.items()} if isinstance(settings, Mapping) else {}


def _amount(name: str, chosen: Mapping[str, Any], otherwise: int | None) -> Any:
    """Return the bytes of an operator's setting, the server's default where he takes ours away, `otherwise` without one."""
    unit, default = AMOUNTS[name]
    if name not in chosen:
        return otherwise
    return default if chosen[name] is None else parse_amount(chosen[name], unit)


def _connections(chosen: Mapping[str, Any], otherwise: int) -> int:
    value = chosen.get("max_connections", otherwise)
    if value is None:
        return DEFAULT_CONNECTIONS
    return int(value) if re.fullmatch(r"[0-9]+", str(value)) and not isinstance(value, bool) else -1


def _whole(variable: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]+", str(value)) or not least <= int(value) <= most:
        raise TuningError(f"{variable}: {value!r} is not a number from {least} to {most}")
    return int(value)


def _one_of(variable: str, value: Any, choices: Any) -> str:
    if value not in choices:
        raise TuningError(f"{variable}: {value!r} is not one of {', '.join(choices)}")
    return str(value)


def _build(given: Any) -> Build | None:
    if not given:
        return None
    if not isinstance(given, Mapping) or given.keys() != {"rows", "dimensions"}:
        raise TuningError("pg_server_vector_build: give rows and dimensions, nothing else")
    return Build(
        _whole("pg_server_vector_build.rows", given["rows"], 1, 1 << 40),
        _whole("pg_server_vector_build.dimensions", given["dimensions"], 1, MOST_HNSW_DIMENSIONS),
    )
