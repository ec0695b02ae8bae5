"""The witness of the fault tests: clients that write and read all the time, and what each of them was told.

A writer commits one row per id and notes the id as acknowledged once the commit has returned, so that any server can be asked afterwards
whether it still has it (`Report.missing`). Imported by tests, or run by hand:

    PGPASSWORD=… python molecule/shared/load.py --write URL URL --read URL --seconds 30
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

TABLE = "load_commits"
# The walfile's first eight digits are the timeline of the server that takes the row, also right after a promotion.
TIMELINE = "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"
CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    run bigint,
    writer int,
    sequence bigint,
    timeline int NOT NULL DEFAULT {TIMELINE},
    written timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, writer, sequence)
)
"""
# In binary and with the types named, so that no server has to look them up.
INSERT = f"INSERT INTO {TABLE} (run, writer, sequence) VALUES (%b::bigint, %b::int, %b::bigint)"
READ = f"SELECT pg_is_in_recovery(), max(sequence) FROM {TABLE} WHERE run = %b::bigint AND writer = 0"

# A client whose pooler has vanished must get an error in the end: the kernel alone would wait for many minutes.
CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "load",
    "autocommit": True,
    "prepare_threshold": None,  # PgBouncer 1.18 has no prepared statements
}
RECONNECT_PAUSE = 0.05  # seconds
READY_LIMIT = 20.0  # seconds until every client has had its first answer
STOP_LIMIT = 2.0  # seconds for the last answers; then the connections are cut
KEPT_ERRORS = 10_000  # of each client; all are counted
# SQLSTATEs after which nobody can say whether the statement was committed: lost connections, and sessions that were ended, perhaps
# while they waited for a synchronous standby.
UNCERTAIN = re.compile(r"08|57P0[1-5]")
# What PgBouncer says to clients that still wait for a server connection: nothing of theirs was sent.
NEVER_SENT = re.compile(r"server login has been failing|cannot connect to server|query_wait_timeout")


class LoadError(Exception):
    """The load could not be started; the text says which clients had no answer and why."""


@dataclass(frozen=True)
class Failure:
    """One error of one client. at: seconds since the epoch; phase: connect or execute; unknown: the commit may have happened."""

    at: float
    client: str
    phase: str
    kind: str
    text: str
    sequence: int | None = None
    unknown: bool = False


@dataclass(frozen=True)
class Stall:
    """The longest time without a success. began: seconds since the epoch; client: who had to wait, or all."""

    seconds: float
    began: float
    client: str

    def __str__(self) -> str:
        return f"{self.seconds:.3f} s ({self.client}, from {clock(self.began)})"


@dataclass(frozen=True)
class Outage:
    """The gap between two timelines by the servers' own clocks. last, first: times of the rows on either side; seconds: between them."""

    old: int
    new: int
    last: datetime
    first: datetime
    seconds: float


@dataclass(frozen=True)
class Report:
    """What the clients saw. acknowledged, unknown: sequence numbers of each writer; times are seconds; cpu_seconds: of the clients' threads."""

    run: int
    seconds: float
    acknowledged: Mapping[int, frozenset[int]] = field(repr=False)
    unknown: Mapping[int, frozenset[int]] = field(repr=False)
    reads: int
    reads_on_standby: int
    write_failures: tuple[Failure, ...] = field(repr=False)
    read_failures: tuple[Failure, ...] = field(repr=False)
    write_errors: int
    read_errors: int
    write_stall: Stall
    write_stall_of_all: Stall
    read_stall: Stall
    read_stall_of_all: Stall
    cpu_seconds: float
    cut: tuple[str, ...] = ()

    @property
    def commits(self) -> int:
        """The number of acknowledged commits."""
        return sum(map(len, self.acknowledged.values()))

    @property
    def commits_per_second(self) -> float:
        return self.commits / self.seconds

    def missing(self, connection: Connection) -> list[tuple[int, int]]:
        """Return acknowledged ids, as (writer, sequence), that the database does not have: lost commits."""
        return _less(self.acknowledged, self._rows(connection))

    def extra(self, connection: Connection) -> list[tuple[int, int]]:
        """Return ids that the database has although their writer was told that they failed."""
        known = {writer: ids | self.unknown[writer] for writer, ids in self.acknowledged.items()}
        return _less(self._rows(connection), known)

    def landed(self, connection: Connection) -> list[tuple[int, int]]:
        """Return ids of unknown outcome that were committed after all."""
        rows = self._rows(connection)
        return sorted(
            (writer, number) for writer, ids in self.unknown.items() for number in ids & rows.get(writer, frozenset())
        )

    def outage(self, connection: Connection) -> list[Outage]:
        """Return the gap of each change of timeline in this run, oldest first; empty when there was none."""
        rows = connection.execute(
            f"SELECT timeline, min(written), max(written) FROM {TABLE} WHERE run = %s GROUP BY timeline ORDER BY timeline",
            [self.run],
        ).fetchall()
        return [
            Outage(old, new, last, first, (first - last).total_seconds())
            for (old, _, last), (new, first, _) in itertools.pairwise(rows)
        ]

    def _rows(self, connection: Connection) -> dict[int, frozenset[int]]:
        rows = connection.execute(
            f"SELECT writer, array_agg(sequence) FROM {TABLE} WHERE run = %s GROUP BY writer", [self.run]
        )
        return {writer: frozenset(ids) for writer, ids in rows}

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it; ids are counted, errors grouped by their text."""
        stalls = ("write_stall", "write_stall_of_all", "read_stall", "read_stall_of_all")
        return {
            "run": self.run,
            "seconds": round(self.seconds, 3),
            "commits": self.commits,
            "commits_per_second": round(self.commits_per_second, 1),
            "unknown": sum(map(len, self.unknown.values())),
            "reads": self.reads,
            "reads_on_standby": self.reads_on_standby,
            "write_errors": self.write_errors,
            "read_errors": self.read_errors,
            **{name: vars(getattr(self, name)) for name in stalls},
            "cpu_seconds": round(self.cpu_seconds, 2),
            "cut": list(self.cut),
            "errors": grouped(self.write_failures + self.read_failures),
        }

    def __str__(self) -> str:
        """Return the report for people."""
        speed = f"{self.commits} commits in {self.seconds:.1f} s, {self.commits_per_second:.0f} a second"
        reads = f"{self.reads} reads, {self.reads_on_standby} of them on a standby"
        errors = f"{self.write_errors} of writers, {self.read_errors} of readers"
        lines = [
            f"{speed}; {reads}; {self.cpu_seconds:.1f} s of CPU",
            f"errors: {errors}; commits of unknown outcome: {sum(map(len, self.unknown.values()))}",
            f"longest stall of a writer {self.write_stall}; no commit at all for {self.write_stall_of_all}",
            f"longest stall of a reader {self.read_stall}; no read at all for {self.read_stall_of_all}",
        ]
        for entry in grouped(self.write_failures + self.read_failures):
            lines.append(f"  {entry['count']} times {entry['text']} (first {clock(entry['first'])})")
        if self.cut:
            lines.append(f"without an answer at the end, and cut off: {', '.join(self.cut)}")
        return "\n".join(lines)


def clock(at: float) -> str:
    """Return the time of day, UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def grouped(failures: Iterable[Failure]) -> list[dict[str, Any]]:
    """Return failures by phase, kind and text, the most frequent first, with the time of the first and the last."""
    times: dict[str, list[float]] = {}
    for failure in failures:
        times.setdefault(f"{failure.phase}: {failure.kind}: {failure.text}", []).append(failure.at)
    entries = [{"text": text, "count": len(at), "first": min(at), "last": max(at)} for text, at in times.items()]
    return sorted(entries, key=lambda entry: (-int(entry["count"]), entry["text"]))  # type: ignore[call-overload]


def longest_gap(times: Sequence[float], end: float) -> tuple[float, float]:
    """Return the longest gap between neighbours of `times` (sorted, seconds) or up to `end`, and when it began."""
    if not times:
        return 0.0, end
    return max(
        ((after - before, before) for before, after in zip(times, (*times[1:], end), strict=True)),
        key=lambda gap: (gap[0], -gap[1]),
    )


def outcome_is_unknown(error: psycopg.Error) -> bool:
    """Tell whether a statement that failed so may have been committed."""
    if error.sqlstate is None:
        return True
    return UNCERTAIN.match(error.sqlstate) is not None and not NEVER_SENT.search(error.diag.message_primary or "")


def prepare(connection: Connection) -> None:
    """Create the table of the commits unless it is there; the writers' account needs to be able to insert."""
    connection.execute(CREATE)


def _less(these: Mapping[int, frozenset[int]], those: Mapping[int, frozenset[int]]) -> list[tuple[int, int]]:
    return sorted((writer, number) for writer, ids in these.items() for number in ids - those.get(writer, frozenset()))


class _Client(ABC):
    """A thread with one connection that asks the same again and again, `rate` times a second or as often as it can."""

    def __init__(self, name: str, url: str, rate: float | None, stop: threading.Event) -> None:
        self.name = name
        self.successes = array("d")  # monotonic seconds
        self.failures: list[Failure] = []
        self.errors = 0
        self.ready = threading.Event()
        self.last_error = "no answer"
        self.cpu_seconds = 0.0
        self._was_cut = False
        self._url = url
        self._interval = 1 / rate if rate else 0.0
        self._stop = stop
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def act(self, cursor: psycopg.Cursor[Any]) -> None:
        """Ask once."""

    def noted(self, _error: psycopg.Error) -> tuple[int | None, bool]:
        """Return the sequence number that failed, if the client has such, and whether its outcome is unknown."""
        return None, False

    def start(self) -> None:
        self._thread.start()

    def join(self, until: float) -> bool:
        """Wait for the end of the thread until a monotonic time; tell whether it has ended."""
        self._thread.join(max(0.0, until - time.monotonic()))
        return not self._thread.is_alive()

    def cut(self) -> None:
        """Shut the connection's socket under the thread, which then gets an error that counts for nothing."""
        self._was_cut = True
        with contextlib.suppress(OSError, psycopg.Error, AttributeError):
            assert self._connection is not None
            with socket.socket(fileno=os.dup(self._connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._stop.is_set():
            phase = "connect"
            try:
                with psycopg.connect(self._url, **CONNECT) as self._connection:  # type: ignore[arg-type]
                    phase = "execute"
                    self._ask(self._connection.cursor())
            except psycopg.Error as error:
                self._note(phase, error)
                self._stop.wait(RECONNECT_PAUSE)
        self.cpu_seconds = time.thread_time()

    def _ask(self, cursor: psycopg.Cursor[Any]) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self.act(cursor)
            now = time.monotonic()
            self.successes.append(now)
            if not self.ready.is_set():
                self.ready.set()
            # After a stall the client goes on in step; it does not catch up.
            due = max(due + self._interval, now)
            if due > now:
                self._stop.wait(due - now)

    def _note(self, phase: str, error: psycopg.Error) -> None:
        text = " ".join((error.diag.message_primary or str(error)).split())
        self.last_error = f"{type(error).__name__}: {text}"
        sequence, unknown = self.noted(error) if phase == "execute" else (None, False)
        if self._was_cut or not self.ready.is_set():
            return  # not ready: a standby may not have the table yet; whoever never gets an answer fails the start
        self.errors += 1
        if len(self.failures) < KEPT_ERRORS:
            self.failures.append(Failure(time.time(), self.name, phase, type(error).__name__, text, sequence, unknown))


class _Writer(_Client):
    def __init__(self, run: int, number: int, explicit: bool, *arguments: Any) -> None:
        super().__init__(f"writer {number}", *arguments)
        self.number = number
        self.acknowledged = array("q")
        self.unknown = array("q")
        self._key = (run, number)
        self._explicit = explicit
        self._sequence = 0
        self._certain = False

    def act(self, cursor: psycopg.Cursor[Any]) -> None:
        self._sequence += 1
        self._certain = self._explicit  # nothing is committed before COMMIT was sent
        if self._explicit:
            cursor.execute("BEGIN")
        cursor.execute(INSERT, (*self._key, self._sequence))
        if self._explicit:
            self._certain = False
            cursor.execute("COMMIT")
        self.acknowledged.append(self._sequence)

    def noted(self, error: psycopg.Error) -> tuple[int | None, bool]:
        unknown = not self._certain and outcome_is_unknown(error)
        if unknown:
            self.unknown.append(self._sequence)
        return self._sequence, unknown


class _Reader(_Client):
    def __init__(self, run: int, number: int, *arguments: Any) -> None:
        super().__init__(f"reader {number}", *arguments)
        self.on_standby = 0
        self._run_id = (run,)

    def act(self, cursor: psycopg.Cursor[Any]) -> None:
        row = cursor.execute(READ, self._run_id).fetchone()
        self.on_standby += bool(row and row[0])


class Load:
    """Writers and readers, spread over the URLs in turn.

    rate, read_rate: commits or reads a second of each client, None for as many as it can. explicit: BEGIN, INSERT, COMMIT instead of
    one INSERT by itself. The table must be there (`prepare`).
    """

    def __init__(
        self,
        write: Sequence[str],
        read: Sequence[str] = (),
        *,
        writers: int = 8,
        readers: int = 8,
        rate: float | None = 80.0,
        read_rate: float | None = 20.0,
        explicit: bool = False,
    ) -> None:
        self.run = time.time_ns()
        self._stopping = threading.Event()
        self._writers = [
            _Writer(self.run, number, explicit, write[number % len(write)], rate, self._stopping)
            for number in range(writers if write else 0)
        ]
        self._readers = [
            _Reader(self.run, number, read[number % len(read)], read_rate, self._stopping)
            for number in range(readers if read else 0)
        ]
        self._clients: list[_Client] = [*self._writers, *self._readers]
        self._began = 0.0
        self._epoch = 0.0
        self._report: Report | None = None

    def start(self, limit: float = READY_LIMIT) -> Load:
        """Start the clients and wait until each has had its first answer; raise LoadError when one has none within `limit` seconds."""
        until = time.monotonic() + limit
        for client in self._clients:
            client.start()
        silent = [client for client in self._clients if not client.ready.wait(max(0.0, until - time.monotonic()))]
        if silent:
            self.stop()
            reasons = Counter(client.last_error for client in silent)
            raise LoadError(
                f"{len(silent)} of {len(self._clients)} clients had no answer within {limit:g} s: "
                + "; ".join(f"{count} times {text}" for text, count in reasons.most_common())
            )
        self._began = time.monotonic()
        return self

    def commits(self) -> int:
        """Return how many commits were acknowledged so far; for waits on progress."""
        return sum(len(writer.acknowledged) for writer in self._writers)

    def stop(self) -> Report:
        """Stop the clients and return what they saw; ends within a few seconds whatever the servers do. Twice gives the same report."""
        if self._report:
            return self._report
        ended = time.monotonic()
        self._epoch = time.time() - ended
        self._stopping.set()
        until = ended + STOP_LIMIT
        late = [client for client in self._clients if not client.join(until)]
        for client in late:
            client.cut()
        until = time.monotonic() + CONNECT["connect_timeout"] + STOP_LIMIT  # type: ignore[operator]
        for client in late:
            client.join(until)
        self._report = self._made(ended, tuple(client.name for client in late))
        return self._report

    def __enter__(self) -> Load:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self.stop()

    def _made(self, ended: float, cut: tuple[str, ...]) -> Report:
        return Report(
            run=self.run,
            seconds=max(ended - (self._began or ended), 1e-6),
            acknowledged={writer.number: frozenset(writer.acknowledged) for writer in self._writers},
            unknown={writer.number: frozenset(writer.unknown) for writer in self._writers},
            reads=sum(len(reader.successes) for reader in self._readers),
            reads_on_standby=sum(reader.on_standby for reader in self._readers),
            write_failures=_merged(self._writers),
            read_failures=_merged(self._readers),
            write_errors=sum(writer.errors for writer in self._writers),
            read_errors=sum(reader.errors for reader in self._readers),
            write_stall=self._stall(self._writers, ended),
            write_stall_of_all=self._stall_of_all(self._writers, ended),
            read_stall=self._stall(self._readers, ended),
            read_stall_of_all=self._stall_of_all(self._readers, ended),
            cpu_seconds=sum(client.cpu_seconds for client in self._clients),
            cut=cut,
        )

    def _stall(self, clients: Sequence[_Client], ended: float) -> Stall:
        """Return the longest stall of a single client; one that was still waiting at the end waits up to there."""
        gaps = [(*longest_gap(client.successes, ended), client.name) for client in clients]
        seconds, began, name = max(gaps, default=(0.0, ended, "nobody"))
        return Stall(round(seconds, 4), self._epoch + began, name)

    def _stall_of_all(self, clients: Sequence[_Client], ended: float) -> Stall:
        times = sorted(moment for client in clients for moment in client.successes)
        seconds, began = longest_gap(times, ended)
        return Stall(round(seconds, 4), self._epoch + began, "all")


def _merged(clients: Sequence[_Client]) -> tuple[Failure, ...]:
    failures = (failure for client in clients for failure in client.failures)
    return tuple(sorted(failures, key=lambda failure: failure.at))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a load from the command line; 0 when there was no error and no acknowledged commit is missing."""
    parser = argparse.ArgumentParser(
        description="Commit and read all the time, and report errors, stalls and lost commits.",
        epilog="Keep passwords off the command line: PGPASSWORD or PGPASSFILE serve every URL.",
    )
    parser.add_argument("--write", nargs="+", default=[], metavar="URL", help="read-write entries, one per pooler")
    parser.add_argument("--read", nargs="+", default=[], metavar="URL", help="read-only entries, one per pooler")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument(
        "--rate", type=float, default=80.0, help="commits a second of each writer; 0 for as many as it can"
    )
    parser.add_argument(
        "--read-rate", type=float, default=20.0, help="reads a second of each reader; 0 for as many as it can"
    )
    parser.add_argument("--explicit", action="store_true", help="BEGIN, INSERT, COMMIT instead of one INSERT")
    parser.add_argument("--prepare", metavar="URL", help="create the table there first")
    parser.add_argument("--check", metavar="URL", help="ask there for lost commits; by default the first of --write")
    given = parser.parse_args(arguments)
    if given.prepare:
        _with(given.prepare, prepare)
    load = Load(
        given.write,
        given.read,
        writers=given.writers,
        readers=given.readers,
        rate=given.rate or None,
        read_rate=given.read_rate or None,
        explicit=given.explicit,
    )
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: enough.set())
    try:
        with load:
            enough.wait(given.seconds)
    except LoadError as error:
        parser.exit(2, f"{error}\n")
    report = load.stop()
    found = report.as_dict()
    missing: list[tuple[int, int]] = []
    if given.write:
        missing = _with(given.check or given.write[0], report.missing)
        found["missing"] = missing
        found["outage"] = [vars(gap) for gap in _with(given.check or given.write[0], report.outage)]
    print(json.dumps(found, indent=1, default=str))
    print(report, f"lost commits: {len(missing)}", sep="\n", file=sys.stderr)
    return 1 if missing or report.write_errors or report.read_errors else 0


def _with(url: str, ask: Callable[[Connection], Any]) -> Any:
    with psycopg.connect(url, **CONNECT) as connection:  # type: ignore[arg-type]
        return ask(connection)


if __name__ == "__main__":
    sys.exit(main())
