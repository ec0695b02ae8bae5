# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PAUSE and RESUME of single entries over the admin console, by what SHOW DATABASES says of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer import CONSOLE
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_console import Console, ConsoleError, named

RESUME_LIMIT = 5.0  # seconds for each RESUME, which waits for nothing


def entries(console: Console) -> dict[str, bool]:
    """Return the pooler's entries with whether each is paused."""
    return {row["name"]: row["paused"] == "1" for row in console.show("DATABASES") if row["name"] != CONSOLE}


def chosen(console: Console, database: str | None, *, paused: bool) -> list[str]:
    """Return which entries are in the given state: `database` or all of them. Raises ConsoleError for one that does not exist."""
    there = entries(console)
    if database is not None and database not in there:
        names = ", ".join(sorted(there)) or "none"
        raise ConsoleError(
            f"pooler {console.place.name}: there is no entry {database}: its entries are {names}", entries=sorted(there)
        )
    return [name for name, is_paused in there.items() if is_paused == paused and database in (None, name)]


def pause(console: Console, names: Sequence[str], timeout: float) -> None:
    """Pause entries, all or none, within timeout seconds for all together.

    PAUSE ends when the last transaction of an entry has ended. Raises ConsoleError when one is late or refused; those that were paused
    are resumed, and the one that was late is.
    """
    limit, begun = time.monotonic() + timeout, list[str]()
    for name in names:
        begun.append(name)
        try:
            console.run(named("PAUSE", name), max(0.01, limit - time.monotonic()))
        except ConsoleError as error:
            failed = _resume_each(console, begun)
            after = f"not taken back: {', '.join(failed)}" if failed else "what was paused is resumed"
            reason = f"{name} is not paused within {timeout:g} s: a transaction is open" if error.late else str(error)
            raise ConsoleError(f"pooler {console.place.name}: {reason}; {after}", late=error.late) from None


def resume(console: Console, names: Sequence[str]) -> None:
    """Resume entries, as many as can be; raises ConsoleError with the first failure."""
    failed = _resume_each(console, names)
    if failed:
        raise ConsoleError(f"pooler {console.place.name}: {next(iter(failed.values()))}", failed=sorted(failed))


def _resume_each(console: Console, names: Sequence[str]) -> dict[str, str]:
    """Resume each entry; return what went wrong, by entry. One that is not paused is no failure."""
    failed = {}
    for name in names:
        try:
            console.run(named("RESUME", name), RESUME_LIMIT)
        except ConsoleError as error:
            if "not paused" not in str(error):
                failed[name] = str(error)
    return failed
