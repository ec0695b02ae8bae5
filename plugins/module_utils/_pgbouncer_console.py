# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The admin console of a PgBouncer: commands with a limit of time each, and what SHOW answers as data.

The console speaks the simple query protocol only and sends everything as text. psycopg 3 waits without a limit, so the commands go
through its libpq wrapper, which runs on every version of psycopg 3.
"""

from __future__ import annotations

import re
import select
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import (
    Place,
    login_message,
    mask,
    secrets_of,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

CONSOLE_DATABASE = "pgbouncer"


class ConsoleError(StewardError):
    """The console cannot be reached, refuses a command, or is late.

    late: no answer came within the limit. Whether the command took effect is not known, and a PAUSE goes on waiting: take it back.
    """

    def __init__(self, message: str, *, late: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.late = late


@dataclass(frozen=True)
class ConsolePlace:
    """Where a console is. name: what messages call the pooler; host: an address, or the directory of the Unix socket."""

    name: str
    host: str
    port: int = 6432
    user: str = "pgbouncer"
    password: str | None = field(default=None, repr=False)
    ca_cert: str | None = None
    ssl_mode: str | None = None


class Console:
    """One connection to a console, not for several threads at a time. After a late answer the next command makes a new connection."""

    def __init__(self, place: ConsolePlace, timeout: float) -> None:
        self.place = place
        self._timeout = timeout
        self._connection: PGconn | None = None

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def show(self, what: str, timeout: float | None = None) -> list[dict[str, str]]:
        """Return the rows of SHOW `what`, such as DATABASES, by column; NULL is an empty text. Raises ConsoleError."""
        if not re.fullmatch(r"[A-Za-z_]+( [A-Za-z_]+)*", what):
            raise ConsoleError(f"{what!r} is nothing that SHOW can show: give one word such as DATABASES or POOLS")
        return _rows(self._ask(f"SHOW {what}", self._timeout if timeout is None else timeout))

    def run(self, command: str, timeout: float | None = None) -> None:
        """Run a command such as `PAUSE "shop"` and wait for its end, timeout seconds at most. Raises ConsoleError."""
        self._ask(command, self._timeout if timeout is None else timeout)

    def open(self) -> PGconn:
        """Return the connection, a new one where none stands; raises ConsoleError."""
        if self._connection is None:
            self._connection = _connect(self.place, self._timeout)
        return self._connection

    def close(self) -> None:
        """End the connection; a command that is under way goes on in the pooler."""
        if self._connection is not None:
            self._connection.finish()
        self._connection = None

    def _ask(self, command: str, timeout: float) -> PGresult:
        connection = self.open()
        try:
            return _answer(connection, self.place, command, timeout)
        except ConsoleError as error:
            # An answer that comes later would be taken for that of the next command.
            if error.late or connection.status != 0:
                self.close()
            raise


def open_console(place: ConsolePlace, timeout: float = 5.0) -> Console:
    """Return a console that is connected. timeout: seconds for the login, and for each command that is given none. Raises ConsoleError."""
    console = Console(place, timeout)
    console.open()
    return console


def named(command: str, database: str | None) -> str:
    """Return a command for one entry of the pooler, quoted, or for all of them."""
    return command if database is None else f'{command} "{database.replace(chr(34), chr(34) * 2)}"'


def _connect(place: ConsolePlace, timeout: float) -> PGconn:
    """Return a connection that is made within timeout seconds; errors name the place and the remedy, never the password."""
    try:
        from psycopg import pq
        from psycopg.conninfo import make_conninfo
    except ImportError as error:
        raise ConsoleError(f"psycopg 3 cannot be imported by this interpreter: install psycopg ({error})") from None
    given: dict[str, str | int | None] = {
        "host": place.host,
        "port": place.port,
        "user": place.user,
        "password": place.password,
        "dbname": CONSOLE_DATABASE,
        "sslmode": place.ssl_mode,
        "sslrootcert": place.ca_cert,
        "application_name": "pgsteward",
    }
    text = make_conninfo("", **{key: value for key, value in given.items() if value is not None})
    connection, limit = pq.PGconn.connect_start(text.encode()), time.monotonic() + timeout
    reason, state = "", pq.PollingStatus.WRITING
    while state in (pq.PollingStatus.WRITING, pq.PollingStatus.READING):
        if connection.status == pq.ConnStatus.BAD:
            state = pq.PollingStatus.FAILED
        elif not _wait(connection, limit, writing=state == pq.PollingStatus.WRITING):
            reason, state = f"timeout after {timeout:g} s", pq.PollingStatus.FAILED
        else:
            state = pq.PollingStatus(connection.connect_poll())
    if state == pq.PollingStatus.OK:
        return connection
    reason = reason or _text(connection.error_message)
    connection.finish()
    where = Place(CONSOLE_DATABASE, place.host, place.port, place.user, place.password)
    said = login_message(where, mask(reason, secrets_of(where)))
    raise ConsoleError(f"pooler {place.name}: {said}", late=reason.startswith("timeout"), pooler=place.name)


def _answer(connection: PGconn, place: ConsolePlace, command: str, timeout: float) -> PGresult:
    """Send one command by the simple protocol and return the last of its results."""
    from psycopg import errors, pq

    limit, reason, result = time.monotonic() + timeout, "", None
    try:
        connection.send_query(command.encode())
        while True:
            while connection.is_busy():
                if not _wait(connection, limit):
                    raise ConsoleError(
                        f"pooler {place.name}: no answer to {command} within {timeout:g} s",
                        late=True,
                        pooler=place.name,
                    )
                connection.consume_input()
            step = connection.get_result()
            if step is None:
                break
            if step.status == pq.ExecStatus.FATAL_ERROR:
                reason = reason or _text(step.error_message)
            result = step
    except errors.Error as error:
        reason = reason or str(error)
    if reason or result is None:
        said = re.sub(r"^(ERROR|FATAL):\s*", "", (reason or "the connection is lost").splitlines()[0])
        raise ConsoleError(f"pooler {place.name}: {command} failed: {said}", pooler=place.name)
    return result


def _wait(connection: PGconn, limit: float, *, writing: bool = False) -> bool:
    """Wait until the connection can go on; tell whether it could before the limit, a time of time.monotonic()."""
    descriptor = connection.socket
    poll = select.poll()  # select() itself knows no descriptor above 1023
    poll.register(descriptor, select.POLLOUT if writing else select.POLLIN)
    left = limit - time.monotonic()
    return left > 0 and bool(poll.poll(left * 1000))


def _rows(result: PGresult) -> list[dict[str, str]]:
    names = [_text(result.fname(column)) for column in range(result.nfields)]
    return [
        {name: _text(result.get_value(row, column)) for column, name in enumerate(names)}
        for row in range(result.ntuples)
    ]


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", errors="replace").strip()
