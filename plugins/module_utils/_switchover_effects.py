# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The servers and poolers of a real switchover: what _switchover decides is done here, every wait with a limit.

Connections to the candidate and the poolers are made beforehand. Poolers are asked side by side, each from a thread of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import pwd
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _controldata, _fence, _owned_file, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import PINNED_OPTIONS, Place, connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import ControlData, Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_console import (
    Console,
    ConsolePlace,
    named,
    open_console,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._switchover import (
    Candidate,
    DownError,
    NotRequestedError,
)

if TYPE_CHECKING:
    from typing import Self

    import psycopg

APPLICATION = "pgsteward switchover"
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
CHECKPOINT_LIMIT = 600.0  # seconds; nothing waits for it
QUICK_CHECKPOINT = 0.5  # seconds; after one that took longer there is enough new to write for another one
CHECKPOINTS = 3
ARCHIVE_BACKLOG = 8  # segments; the stop waits until they are archived
START_POLL = 0.02

_LOCAL = """
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(), 'identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'archiving', current_setting('archive_mode') <> 'off')
"""
_CANDIDATE = """
SELECT pg_is_in_recovery(), (SELECT system_identifier::text FROM pg_control_system()),
  has_function_privilege('pg_catalog.pg_promote(boolean, integer)', 'EXECUTE'),
  pg_is_in_recovery() AND pg_is_wal_replay_paused(), current_user
"""
_LOOK = """
SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn(),
  CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END
"""


@dataclass(frozen=True)
class Instance:
    """The server on this host, the primary at the beginning. account: its superuser and the operating system's account."""

    service: str
    data_directory: Path
    bin_directory: Path
    fence: _fence.Place
    account: str
    name: str
    address: str  # as the poolers' entries name it


@dataclass(frozen=True)
class Waits:
    """Seconds: to connect to anything and to answer, and to PAUSE one pooler."""

    connect: float = 2.0
    pause: float = 3.0


def candidate_place(given: Mapping[str, Any], waits: Waits) -> Place:
    """Return where the candidate is; a connection to a host that is gone ends after about the limit."""
    seconds = max(1, math.ceil(waits.connect))
    query = {
        "sslmode": given["ssl_mode"],
        "sslrootcert": given["ca_cert"],
        "connect_timeout": str(seconds),
        "tcp_user_timeout": str(seconds * 1000),
        "keepalives_idle": "1",
        "keepalives_interval": "1",
        "keepalives_count": str(seconds),
    }
    return Place(
        database=given["login_db"],
        host=given["candidate"]["host"],
        port=given["candidate"]["port"],
        user=given["login_user"],
        password=given["login_password"],
        query=tuple((key, value) for key, value in query.items() if value is not None),
    )


@dataclass
class _Pooler:
    """A pooler with those of its entries that lead to the primary: name -> host; one console for each, the first for all."""

    place: ConsolePlace
    entries: dict[str, str] = field(default_factory=dict)
    consoles: list[Console] = field(default_factory=list)
    held: bool = False


class LocalServer:
    """The server on this host: asked over its socket, stopped and started; a context that waits for a start it has begun."""

    def __init__(self, instance: Instance, waits: Waits = Waits()) -> None:
        self.instance, self.waits = instance, waits
        self._starting: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._starting is not None:  # it waits for pg_ctlcluster, which is slow to notice
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._starting.communicate(timeout=_postmaster.SYSTEMCTL_LIMIT)

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def checkpoint(self) -> None:
        """Leave little to write for the shutdown."""
        for _time in range(CHECKPOINTS):
            begun = self.now()
            self._psql("CHECKPOINT", CHECKPOINT_LIMIT)
            if self.now() - begun < QUICK_CHECKPOINT:
                return

    def position(self) -> Lsn:
        return Lsn.parse(self._psql("SELECT pg_current_wal_lsn()", self.waits.connect))

    def unfence(self) -> None:
        _fence.unfence(self.instance.fence)

    def stop(self, limit: float) -> bool:
        return _postmaster.stop(self.instance.data_directory, signal.SIGINT, limit)

    def kill(self) -> None:
        _postmaster.kill(self.instance.data_directory, self.instance.service)

    def start(self, limit: float) -> None:
        """Start the unit and wait until the server answers, which is seconds before systemctl returns."""
        service = self.instance.service
        self._starting, until = _postmaster.starting(service), self.now() + limit
        while True:
            try:
                self._psql("SELECT 1", self.waits.connect)
                return
            except StewardError as error:
                failed, last = self._starting.poll() not in (None, 0), str(error)
            if failed or self.now() > until:
                why = f"{service} does not start" if failed else f"{service} does not answer within {limit:g} s: {last}"
                raise StewardError(f"{why}; its last words: {_postmaster.last_words(service) or 'none'}")
            self.sleep(START_POLL)

    def takes_writes(self) -> bool:
        return self._psql("SELECT NOT pg_is_in_recovery()", self.waits.connect) == "t"

    def follow(self) -> None:
        """Leave the signal by which the server comes up as a standby; primary_conninfo is right on every node at all times."""
        directory = self.instance.data_directory
        owner = directory.stat()
        _owned_file.write(directory / "standby.signal", "", mode=0o600, owner=(owner.st_uid, owner.st_gid))

    def control_data(self) -> ControlData:
        return _controldata.read(self.instance.bin_directory, self.instance.data_directory)

    def _psql(self, query: str, limit: float) -> str:
        """Return what the server answers to its superuser over the Unix socket; raises StewardError."""
        server = _postmaster.find(self.instance.data_directory)
        if server is None:
            raise StewardError(f"no server runs on {self.instance.data_directory}")
        account = pwd.getpwnam(self.instance.account)
        root = os.geteuid() == 0
        command = [str(self.instance.bin_directory / "psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]
        command += ["-h", server.socket_directory, "-p", str(server.port), "-U", account.pw_name, "-c", query]
        environment = {"PATH": os.defpath, "PGOPTIONS": PINNED_OPTIONS, "PGAPPNAME": APPLICATION}
        try:
            answer = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=environment,
                timeout=limit,
                user=account.pw_uid if root else None,
                group=account.pw_gid if root else None,
                extra_groups=[] if root else None,
            )
        except subprocess.TimeoutExpired:
            raise StewardError(f"{self.instance.name} does not answer within {limit:g} s") from None
        except OSError as error:
            raise StewardError(f"cannot run {command[0]}: {error.strerror}") from None
        if answer.returncode:
            raise StewardError(f"{self.instance.name}: {answer.stderr}")
        return answer.stdout.strip()


class RealWorld(LocalServer):
    """What _switchover.World asks for; also a context that holds signals back and closes what was opened."""

    def __init__(
        self,
        instance: Instance,
        candidate: Place,
        candidate_name: str,
        poolers: Iterable[ConsolePlace],
        waits: Waits,
        state_file: Path,
    ) -> None:
        super().__init__(instance, waits)
        self.state_file = state_file
        self._candidate_place, self._candidate_name = candidate, candidate_name
        self._poolers = [_Pooler(place) for place in poolers]
        self._connection: psycopg.Connection[Any] | None = None
        self._signal: str | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._lock: int | None = None
        self._notes: dict[str, Any] = {}
        self._paused_at: float | None = None
        self._resumed_at: float | None = None

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._interrupt) for number in SIGNALS}
        return self

    def __exit__(self, *_exception: object) -> None:
        for pooler in self._poolers:
            for console in pooler.consoles:
                console.close()
        self._disconnect()
        super().__exit__(*_exception)
        if self._lock is not None:
            os.close(self._lock)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    # The wish to end

    def interrupted(self) -> str | None:
        return self._signal

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name

    # Before anything changes

    def leftover(self) -> str | None:
        return leftover_of(self.state_file)

    def connect(self) -> None:
        """Connect to everybody and refuse what cannot end well."""
        here = json.loads(self._psql(_LOCAL, self.waits.connect))
        if here["in_recovery"]:
            raise StewardError(f"{self.instance.name} is a standby: run this on the primary's host")
        if here["archiving"]:
            self._refuse_backlog()
        self._refuse_stranger(here["identifier"])
        for pooler, problem in self._side_by_side(self._open_pooler, self._poolers):
            if problem:
                raise StewardError(
                    f"pooler {pooler.place.name}: {problem}" if pooler.place.name not in problem else problem
                )

    def _refuse_backlog(self) -> None:
        directory = self.instance.data_directory / "pg_wal" / "archive_status"
        waiting = sum(1 for name in directory.iterdir() if name.suffix == ".ready")
        if waiting > ARCHIVE_BACKLOG:
            raise StewardError(
                f"{waiting} WAL segments of {self.instance.name} wait for their archive, and it stops only when they are there:"
                " mend archiving first"
            )

    def _refuse_stranger(self, identifier: str) -> None:
        """Refuse a candidate that is none, or that could not be promoted."""
        name = self._candidate_name
        [(standby, theirs, allowed, replay_paused, user)] = self._ask(_CANDIDATE)
        if theirs != identifier:
            raise StewardError(
                f"{name} belongs to another cluster: its system identifier is {theirs}, and here it is {identifier}"
            )
        if standby != "t":
            raise StewardError(f"{name} takes writes itself: a candidate must be a standby")
        if allowed != "t":
            raise StewardError(f"{user} may not execute pg_promote on {name}: grant it, as the role pg_replica does")
        if replay_paused == "t":
            raise StewardError(f"the replay of {name} is paused: run pg_wal_replay_resume() there first")

    def _open_pooler(self, pooler: _Pooler) -> None:
        """Connect to a pooler and learn which entries are to be paused: those that lead to the primary."""
        console = open_console(pooler.place, self.waits.connect)
        pooler.consoles.append(console)
        rows = [row for row in console.show("DATABASES") if row["host"]]
        pooler.entries = {row["name"]: row["host"] for row in rows if self.instance.address in _hosts(row["host"])}
        if not pooler.entries:
            found = ", ".join(sorted({row["host"] for row in rows})) or "none"
            raise StewardError(
                f"no entry leads to {self.instance.address} (hosts of its entries: {found}): run site first"
            )
        paused = [row["name"] for row in rows if row["name"] in pooler.entries and row.get("paused") == "1"]
        if paused:
            raise StewardError(f"{', '.join(paused)} is paused already: RESUME it first, or wait for the armed RESUME")
        for _further in list(pooler.entries)[1:]:
            pooler.consoles.append(open_console(pooler.place, self.waits.connect))

    def claim(self) -> None:
        """Keep other operations away from this host, and refuse a fence that no earlier run left."""
        directory = self.state_file.parent
        try:
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = os.open(self.state_file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StewardError(f"cannot write {directory}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise StewardError(
                f"another operation runs on {self.instance.name}, see {self.state_file}: wait for its end"
            ) from None
        fence = _fence.read(self.instance.fence)
        if fence is not None and self.leftover() is None:
            os.close(lock)
            raise StewardError(
                f"{self.instance.name} is fenced since {fence.since or 'an unknown time'} ({fence.reason or 'no reason given'}),"
                f" though it runs: find out why, then remove {self.instance.fence.marker}"
            )
        self._lock = lock
        self._notes = {
            "operation": "switchover",
            "primary": self.instance.name,
            "candidate": self._candidate_name,
            "pid": os.getpid(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def note(self, progress: Mapping[str, Any]) -> None:
        """Write how far we are: whole, and without waiting for the disk, since only a killed process is meant."""
        with contextlib.suppress(OSError):
            descriptor, name = tempfile.mkstemp(prefix=".operation.", dir=self.state_file.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump({**self._notes, **progress}, stream)
            Path(name).replace(self.state_file)

    def forget(self) -> None:
        if self._lock is not None:
            self.state_file.unlink(missing_ok=True)

    # The servers

    def fence(self) -> None:
        _fence.fence(self.instance.fence, f"switchover to {self._candidate_name}")

    def candidate(self) -> Candidate:
        [(in_recovery, replayed, timeline)] = self._ask(_LOOK)
        return Candidate(
            in_recovery == "t", Lsn.parse(replayed) if replayed else Lsn(0), int(timeline, 16) if timeline else None
        )

    def promote(self) -> None:
        self._ask("SELECT pg_promote(false)")

    def settle(self) -> None:
        """Bring the control file of the new primary to its new timeline, which tools read there."""
        self._ask("CHECKPOINT", CHECKPOINT_LIMIT)

    def _ask(self, query: str, limit: float | None = None) -> list[tuple[str, ...]]:
        """Return the rows of a query on the candidate, as text. After anything but a plain error the next one connects anew.

        Raises NotRequestedError for an error of the statement alone, DownError where nobody listens, else StewardError.
        """
        from psycopg import Error, pq

        limit, connection = limit or self.waits.connect, self._connected()
        until, rows, refusal = self.now() + limit, [], None
        try:
            pgconn = connection.pgconn
            pgconn.send_query(query.encode())
            poll = select.poll()
            poll.register(pgconn.socket, select.POLLIN)
            while True:
                while pgconn.is_busy():
                    if not poll.poll(max(0.0, until - self.now()) * 1000):
                        raise StewardError(f"{self._candidate_name} does not answer within {limit:g} s")
                    pgconn.consume_input()
                result = pgconn.get_result()
                if result is None:
                    break
                if result.status == pq.ExecStatus.FATAL_ERROR:
                    text = (result.error_message or b"").decode(errors="replace")
                    severity = result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
                    kind = NotRequestedError if severity == b"ERROR" else StewardError
                    refusal = kind(f"{self._candidate_name}: {text}")
                rows += [
                    tuple((result.get_value(row, column) or b"").decode() for column in range(result.nfields))
                    for row in range(result.ntuples)
                ]
        except (Error, StewardError) as error:
            self._disconnect()
            raise StewardError(str(error)) from None
        if refusal is not None:
            if not isinstance(refusal, NotRequestedError):
                self._disconnect()
            raise refusal
        return rows

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            try:
                self._connection = connect(self._candidate_place, APPLICATION)
            except StewardError as error:
                if _nobody_listens(self._candidate_place, self.waits.connect):
                    raise DownError(f"{self._candidate_name}: {error}") from None
                raise StewardError(f"{self._candidate_name}: {error}") from None
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
        self._connection = None

    # The poolers

    def pause(self) -> dict[str, str]:
        """PAUSE every entry that leads to the primary, all at once; return what went wrong by name of the pooler."""
        pairs = []
        for pooler in self._poolers:
            pooler.held = True  # from the first attempt on: a PAUSE that is late goes on waiting
            pairs += [(pooler, console, entry) for console, entry in zip(pooler.consoles, pooler.entries, strict=True)]

        def hold(pair: tuple[_Pooler, Console, str]) -> None:
            pair[1].run(named("PAUSE", pair[2]), self.waits.pause)
            self._paused_at = self._paused_at or self.now()

        return {pair[0].place.name: problem for pair, problem in self._side_by_side(hold, pairs) if problem}

    def find_held(self) -> dict[str, str]:
        """Connect to every pooler that may hold back clients of the server on this host; return problems by name of the pooler."""

        def find(pooler: _Pooler) -> None:
            console = open_console(pooler.place, self.waits.connect)
            pooler.consoles.append(console)
            rows = [row for row in console.show("DATABASES") if self.instance.address in _hosts(row["host"] or "")]
            pooler.entries = {row["name"]: row["host"] for row in rows}
            pooler.held = True

        return {pooler.place.name: problem for pooler, problem in self._side_by_side(find, self._poolers) if problem}

    def resume(self, reload: bool) -> dict[str, str]:
        """RESUME every pooler that is held; with reload, only once it has read that its entries lead elsewhere."""
        held = [pooler for pooler in self._poolers if pooler.held]

        def let_go(pooler: _Pooler) -> None:
            console = pooler.consoles[0]
            if reload:
                console.run("RELOAD", self.waits.connect)
                self._refuse_former(pooler, console)
            for entry in pooler.entries:
                self._resume_entry(console, entry)
            pooler.held, self._resumed_at = False, self.now()

        return {pooler.place.name: problem for pooler, problem in self._side_by_side(let_go, held) if problem}

    def _refuse_former(self, pooler: _Pooler, console: Console) -> None:
        """Refuse to let clients through to a server that is no longer there."""
        hosts = {row["name"]: row["host"] for row in console.show("DATABASES")}
        if all(hosts.get(entry) == host for entry, host in pooler.entries.items()):
            raise StewardError(
                f"pooler {pooler.place.name} still leads to {self.instance.address} after RELOAD: put its new databases.ini in place"
            )

    def _resume_entry(self, console: Console, entry: str) -> None:
        try:
            console.run(named("RESUME", entry), self.waits.connect)
        except StewardError:
            rows = [row for row in console.show("DATABASES") if row["name"] == entry]
            if any(row.get("paused") == "1" for row in rows):
                raise

    def pause_seconds(self) -> float | None:
        if self._paused_at is None or self._resumed_at is None or self.holding():
            return None
        return self._resumed_at - self._paused_at

    def holding(self) -> dict[str, list[str]]:
        """Return the entries that may still be paused, by name of the pooler."""
        return {pooler.place.name: list(pooler.entries) for pooler in self._poolers if pooler.held}

    @staticmethod
    def _side_by_side(work: Callable[[Any], None], items: list[Any]) -> list[tuple[Any, str]]:
        """Do the work on all items at a time; return each with what went wrong, an empty text when nothing did."""

        def attempt(item: Any) -> str:
            try:
                work(item)
            except StewardError as error:
                return str(error)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            return ""

        if not items:
            return []
        with ThreadPoolExecutor(len(items)) as threads:
            return list(zip(items, threads.map(attempt, items), strict=True))


def leftover_of(state_file: Path) -> str | None:
    """Return what is known of an operation that was cut short, None when the last one ended."""
    text = _owned_file.read(state_file)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return (
            f"an earlier {found['operation']} from {found['primary']} to {found['candidate']}, begun {found['started']}, was cut"
            f" short at step {found.get('step', 'connect')}"
            + (", after the promotion was requested" if found.get("promotion_requested") else "")
        )
    except (ValueError, KeyError, TypeError):
        return f"an earlier operation was cut short and left {state_file}, which cannot be read"


def _hosts(text: str) -> list[str]:
    return [host.strip() for host in text.split(",")]


def _nobody_listens(place: Place, limit: float) -> bool:
    """Tell whether the host answers that nothing listens on the port; False when it does not answer at all."""
    try:
        socket.create_connection((place.host or "", place.port or 5432), limit).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
