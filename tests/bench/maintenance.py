"""What clients feel of maintenance: p99 of their statements alone, while old rows are deleted, and while indexes are built again; as ratios.

`python tests/bench/maintenance.py [ROWS]`, against the server that PGSTEWARD_TEST_URL names.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import conftest  # noqa: E402, F401  # makes the collection importable
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain, _maintain_run  # noqa: E402
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import parse_url  # noqa: E402

DATABASE = "pgsteward_bench_maintenance"
CLIENTS, RATE = 4, 150  # clients, and statements a second of each
LOCK_LIMIT = "500ms"  # what the job is given; a client that waits longer gets an error
YOUNG = 200_000
ALONE = 20.0  # seconds

STATEMENTS = (
    "SELECT note FROM results WHERE id = %(id)s",
    "UPDATE results SET note = note WHERE id = %(id)s",
    "INSERT INTO results (at, note) VALUES (now(), 'new')",
    "SELECT count(*) FROM results WHERE at > now() - interval '1 minute'",
)


def client(
    url: str, first: int, last: int, stop: Event, answers: Queue[tuple[list[tuple[float, float]], list[str]]]
) -> None:
    """Send statements at a steady rate; answer when each began and how long it took, and the errors."""
    chosen, times, errors = random.Random(first), [], []  # noqa: S311  # no secret
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET lock_timeout = '{LOCK_LIMIT}'")
        due = time.monotonic()
        while not stop.is_set():
            due += 1 / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            try:
                connection.execute(chosen.choice(STATEMENTS), {"id": chosen.randint(first, last)})
            except psycopg.Error as error:
                errors.append(str(error))
            times.append((begun, time.monotonic() - begun))
    answers.put((times, errors))


def p99(times: list[tuple[float, float]], begin: float, end: float) -> tuple[int, float, float]:
    """Return how many statements began between two moments, their p99 and the longest, in milliseconds."""
    taken = sorted(seconds for begun, seconds in times if begin <= begun < end)
    return len(taken), 1000 * taken[int(0.99 * (len(taken) - 1))], 1000 * taken[-1]


def measure(work: list[tuple[str, Callable[[], Any]]], url: str, first: int, last: int) -> None:
    """Run the work under load, one after the other, and print what clients felt of each."""
    context = multiprocessing.get_context("spawn")
    stop, answers = context.Event(), context.Queue()
    clients = [context.Process(target=client, args=(url, first, last, stop, answers)) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    time.sleep(5)
    spans = []
    for name, step in work:
        begin = time.monotonic()
        said = step()
        spans.append((name, begin, time.monotonic(), said))
        time.sleep(2)
    stop.set()
    gathered = [answers.get(timeout=60) for _ in clients]
    for one in clients:
        one.join()
    times = [entry for part, _errors in gathered for entry in part]
    errors = [text for _part, texts in gathered for text in texts]
    usual = None
    for name, begin, end, said in spans:
        count, worst, longest = p99(times, begin, end)
        usual = usual or worst
        print(
            f"{name}: {count} statements in {end - begin:.1f} s, p99 {worst:.2f} ms ({worst / usual:.2f} x), longest {longest:.0f} ms"
            f"{'; ' + said if said else ''}"
        )
    print(f"errors of clients, lock waits over {LOCK_LIMIT} among them: {len(errors)} {errors[:1]}")


def main() -> None:
    """Make the rows, measure, clean up."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    server = os.environ["PGSTEWARD_TEST_URL"]
    parts = conninfo.conninfo_to_dict(server)
    url = server.replace(f"/{parts['dbname']}", f"/{DATABASE}", 1)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE results (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, note text)"
            )
            connection.execute(
                f"INSERT INTO results (at, note) SELECT now() - interval '31 days' - n * interval '1 second', md5(n::text) FROM generate_series(1, {rows}) n"
            )
            connection.execute(
                f"INSERT INTO results (at, note) SELECT now() - n * interval '1 second', md5(n::text) FROM generate_series(1, {YOUNG}) n"
            )
            connection.execute("CREATE INDEX results_at ON results (at)")
            connection.execute("CREATE INDEX results_note ON results (note)")
            connection.execute("VACUUM ANALYZE results")
            connection.execute("CHECKPOINT")
        place = parse_url(url)
        job = {"name": "old", "table": "results", "column": "at", "older_than": "30 days"}

        def clean() -> str:
            done = _maintain_run.run(
                place, _maintain_run.Request("clean_up", jobs=_maintain_run.jobs_of([job])), check=False
            )
            entry = done["jobs"][0]
            return f"{done['deleted_count']:,} rows in {entry['batches']} batches, the slowest {1000 * entry['slowest_batch']:.0f} ms"

        def reindex() -> str:
            thresholds = _maintain.thresholds_of({"index_mb": 1, "bloat_percent": 30})
            done = _maintain_run.run(place, _maintain_run.Request("reindex", thresholds=thresholds), check=False)
            return "; ".join(
                f"{one['index']} {one['reason']}: {one['bytes']} -> {one.get('bytes_after')}" for one in done["indexes"]
            )

        def vacuum() -> str:
            return str(_maintain_run.run(place, _maintain_run.Request("vacuum"), check=False)["summary"])

        measure(
            [("alone", lambda: time.sleep(ALONE)), ("clean_up", clean), ("vacuum", vacuum), ("reindex", reindex)],
            url,
            rows + 1,
            rows + YOUNG,
        )
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


if __name__ == "__main__":
    main()
