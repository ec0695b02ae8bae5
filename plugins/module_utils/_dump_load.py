# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading the rows of an archive into a new database: large tables by COPY with FREEZE, several at a time.

pg_restore has no FREEZE. Without it the first scan of a table, which is the first index, writes every page a second time to mark its rows as
committed, and with checksums writes it to the WAL once more (seen after a checkpoint: 497 MB of WAL for the indexes of 382 MB of rows,
and 156 MB with FREEZE). A frozen row needs no mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_process import Programs
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_toc import Toc
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

LARGE = 50_000  # rows from which a table is worth a pg_restore of its own, which reads the whole list of the archive
MOST_LARGE = 200
_COPY, _FROM = b"COPY ", b" FROM stdin;"


@dataclass(frozen=True)
class Table:
    """The rows of a large table in an archive. line: as the list has it."""

    line: str
    schema: str
    name: str

    def __str__(self) -> str:
        return qualified(self.schema, self.name)


@dataclass(frozen=True)
class Division:
    """Which tables are loaded one by one, the largest first, and the lines of all other data."""

    large: tuple[Table, ...]
    rest: tuple[str, ...]


def divide(toc: Toc, lines: Iterable[str], rows: Mapping[str, int]) -> Division:
    """Return how the data of an archive are read. lines: the wanted ones of its list. rows: what the manifest says. Pure."""
    wanted = set(lines)
    entries = [entry for entry in toc.values() if entry.line in wanted]
    data = [
        Table(entry.line, entry.schema, entry.name) for entry in entries if entry.kind == "TABLE DATA" and entry.name
    ]
    large = [table for table in data if rows.get(str(table), 0) >= LARGE]
    large = sorted(large, key=lambda table: -rows[str(table)])[:MOST_LARGE]
    apart = {table.line for table in large}
    return Division(tuple(large), tuple(entry.line for entry in entries if entry.line not in apart))


def frozen(head: bytes, table: Table) -> bytes | None:
    """Return the beginning of a table's script with FREEZE in its COPY; None until the statement is there whole. Pure.

    The table is emptied in the same transaction, which is what FREEZE wants. Raises StewardError for rows that are no COPY.
    """
    start = 0 if head.startswith(_COPY) else head.find(b"\n" + _COPY) + 1
    end = head.find(b"\n", start)
    if not head[start:].startswith(_COPY) or end < 0:
        return None
    if not head[start:end].endswith(_FROM):
        raise StewardError("its rows are no COPY in the dump")
    empty = f"TRUNCATE TABLE ONLY {identifier(table.schema)}.{identifier(table.name)};\n".encode()
    return head[:start] + empty + head[start : end - 1] + b" WITH (FREEZE);" + head[end:]


class Loader:
    """Loads tables of one archive into one database. role: who does it, where that is somebody else."""

    def __init__(
        self, place: Place, programs: Programs, tools: plan.Tools, archive: Path, private: Path, role: str | None
    ) -> None:
        self._place, self._programs, self._tools, self._archive = place, programs, tools, archive
        self._private, self._role = private, role

    def load(self, tables: Sequence[Table], jobs: int) -> None:
        """Load tables, several at a time. Raises StewardError that names the table."""
        with ThreadPoolExecutor(jobs) as pool:
            running = [pool.submit(self._load, number, table) for number, table in enumerate(tables)]
            try:
                for one in running:
                    one.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _load(self, number: int, table: Table) -> None:
        use_list = self._private / f"table{number}"
        use_list.write_text(table.line + "\n", encoding="utf-8")
        source = plan.rows_command(self._tools, self._archive, use_list, self._role)
        try:
            self._programs.pipe(source, plan.psql_command(self._tools, self._place), lambda head: frozen(head, table))
        except StewardError as error:
            raise StewardError(f"{table}: {error}") from None
