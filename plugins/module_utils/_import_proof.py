# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checksums of columns, worked out here from what was read and by the server from what is there. Pure.

Where both sides have an order in common, values are put together in groups and digested with few calls; elsewhere each value is
digested by itself, and the digests are added up.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._import_values import SEPARATOR, Kind
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier

Texts = Sequence["str | None"]
_NULL = "\x1e"


@dataclass(frozen=True)
class Compared:
    """A column of the database that is compared. proof: makes the text that is compared, where the server prints another one."""

    name: str
    kind: Kind
    proof: Callable[[str], str] | None = None


class Ordered:
    """The checksums of columns whose rows come in an order that the server has as well; size: rows of a group."""

    def __init__(self, columns: Sequence[Compared], size: int) -> None:
        self.size = size
        self.rows = 0
        self._columns = columns
        self._sums = [hashlib.sha256() for _column in columns]
        self._waiting: list[list[str | None]] = [[] for _column in columns]

    def add(self, columns: Sequence[Texts]) -> None:
        """Take some rows in, column by column."""
        count = len(columns[0])
        self.rows += count
        if count == self.size and not self._waiting[0]:
            self._close(columns)
            return
        for waiting, texts in zip(self._waiting, columns, strict=True):
            waiting.extend(texts)
        while len(self._waiting[0]) >= self.size:
            self._close([waiting[: self.size] for waiting in self._waiting])
            for waiting in self._waiting:
                del waiting[: self.size]

    def _close(self, columns: Sequence[Texts]) -> None:
        for total, column, texts in zip(self._sums, self._columns, columns, strict=True):
            data = _doubles(texts) if column.kind.name == "float8" else _joined(_compared(column, texts))
            total.update(hashlib.sha256(data).hexdigest().encode())

    def result(self) -> list[str]:
        """Return a checksum for each column, once all rows are in."""
        if self._waiting[0]:
            self._close(self._waiting)
            self._waiting = [[] for _column in self._sums]
        return [total.hexdigest() for total in self._sums]


def _compared(column: Compared, texts: Texts) -> Texts:
    proof = column.proof
    return texts if proof is None else [None if text is None else proof(text) for text in texts]


def _joined(texts: Sequence[Any]) -> bytes:
    return SEPARATOR.join([_NULL if text is None else text for text in texts] if None in texts else texts).encode()


def _doubles(texts: Sequence[Any]) -> bytes:
    """Return numbers in the binary form of the server. SQLite has no NaN, so that stands for NULL."""
    found = array("d", map(float, ["nan" if text is None else text for text in texts] if None in texts else texts))
    if sys.byteorder == "little":
        found.byteswap()
    return found.tobytes()


class Unordered:
    """The checksums of columns whose rows come in any order."""

    def __init__(self, columns: Sequence[Compared]) -> None:
        self.rows = 0
        self._columns = columns
        self._sums = [0] * len(columns)
        self._counts = [0] * len(columns)

    def add(self, columns: Sequence[Texts]) -> None:
        """Take some rows in, column by column."""
        self.rows += len(columns[0])
        for place, (column, texts) in enumerate(zip(self._columns, columns, strict=True)):
            wanted = _compared(column, texts)
            digests = [hashlib.sha256(text.encode()).digest() for text in wanted if text is not None]
            self._counts[place] += len(digests)
            self._sums[place] += sum(int.from_bytes(digest[:7], "big") for digest in digests)

    def result(self) -> list[str]:
        """Return a checksum for each column."""
        return [f"{total}:{count}" for total, count in zip(self._sums, self._counts, strict=True)]


def _packed(column: Compared) -> str:
    nan = "\\x7ff8000000000000"
    return f"coalesce({column.kind.send}(t.{identifier(column.name)}), '{nan}'::bytea)"


def _text(column: Compared) -> str:
    """Return the SQL of a value as the text that is compared; what somebody else's cast may do is not asked for."""
    name, kind = f"t.{identifier(column.name)}", column.kind
    if kind.name == "bytea":
        return f"encode(sha256({name}), 'hex')"
    if kind.name in ("vector", "halfvec"):
        return f"encode(sha256({kind.send}({name})), 'hex')"
    if kind.name in ("float4", "float8"):
        return f"encode({kind.send}({name}), 'hex')"
    if kind.name in ("enum", "citext"):
        return f"CASE WHEN {name} IS NOT NULL THEN concat({name}) END"
    return f"{name}::text"


def query(table: str, columns: Sequence[Compared], order: str | None, size: int, which: str = "true") -> str:
    """Return the query for the number of rows and the checksum of each column.

    table: SQL text. order: the column by which both sides are ordered, size as of Ordered. which: the rows that count, on the alias t.
    """
    packed = [order is not None and column.kind.name == "float8" for column in columns]
    texts = [_packed(column) if is_packed else _text(column) for column, is_packed in zip(columns, packed, strict=True)]
    listed = ", ".join(f"{text} AS c{place}" for place, text in enumerate(texts))
    if order is None:
        rows = f"SELECT {listed} FROM {table} AS t WHERE {which}"  # noqa: S608
        sums = ", ".join(
            f"coalesce(sum(('x' || substr(encode(sha256(convert_to(c{place}, 'UTF8')), 'hex'), 1, 14))::bit(56)::bigint), 0)"
            f" || ':' || count(c{place})"
            for place in range(len(columns))
        )
        return f"SELECT count(*), {sums} FROM ({rows}) AS s"  # noqa: S608
    number = f"(row_number() OVER (ORDER BY t.{identifier(order)}) - 1) / {size} AS n"
    rows = f"SELECT {number}, {listed} FROM {table} AS t WHERE {which}"  # noqa: S608
    inner = ", ".join(
        f"encode(sha256(string_agg(c{place}, ''::bytea)), 'hex') AS c{place}"
        if is_packed
        else f"{_digest(f'string_agg(coalesce(c{place}, chr(30)), chr(31))')} AS c{place}"
        for place, is_packed in enumerate(packed)
    )
    outer = ", ".join(_digest(f"coalesce(string_agg(c{place}, '' ORDER BY n), '')") for place in range(len(columns)))
    # The rows leave the window in its order, and the groups take them in as they come.
    return f"SELECT coalesce(sum(rows), 0), {outer} FROM (SELECT n, count(*) AS rows, {inner} FROM ({rows}) AS r GROUP BY n) AS g"  # noqa: S608


def _digest(text: str) -> str:
    return f"encode(sha256(convert_to({text}, 'UTF8')), 'hex')"
