# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of a table on their way: read in chunks, converted column by column, told apart from those that are refused."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_source as source
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_values as values
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_plan import Bar, Load, Pair
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_proof import Texts

_SPECIAL = "\\\n\r\t"
_NOWHERE = "is NULL, and the column takes none"


@dataclass
class Rejects:
    """The rows that are left out; more than limit end the import."""

    limit: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)

    def add(self, item: dict[str, Any]) -> None:
        """Take a row in. Raises StewardError when it is one too many."""
        self.items.append(item)
        if len(self.items) > self.limit:
            more = f"; that is one more than the {self.limit} that may be left out" if self.limit else ""
            raise StewardError(f"{words(item)}{more}", rejected=self.items[:20])


def words(item: dict[str, Any]) -> str:
    """Return what is wrong with a row."""
    key = ", ".join(f"{name}={value}" for name, value in item["key"].items()) or "without a key"
    column = f".{item['column']}" if item["column"] else ""
    value = f": {item['value']}" if item["value"] is not None else ""
    return f"{item['table']}{column}, row {key}, {item['reason']}{value}"


def converted(
    connection: sqlite3.Connection, load: Load, size: int, bars: Sequence[Bar], rejects: Rejects
) -> Iterator[list[Texts]]:
    """Yield the rows of a table as texts, column by column, without those that are refused. Raises StewardError."""
    own = [bar for bar in bars if bar.child is load]
    theirs = [bar for bar in bars if bar.parent is load]
    for rows in source.chunks(connection, load.source, load.read, size):
        columns = list(zip(*rows, strict=True))
        refused: dict[int, tuple[str | None, Any, str]] = {}
        for bar in own:
            if bar.missing:
                _bar(load, bar, columns, refused)
        texts = [_column(pair, columns[place], refused) for place, pair in enumerate(load.pairs)]
        if refused:
            for row in sorted(refused):
                for bar in theirs:
                    bar.missing.add(tuple(str(columns[load.read.index(name)][row]) for name in bar.referenced))
                rejects.add(_item(load, columns, row, *refused[row]))
            texts = [[text for row, text in enumerate(column) if row not in refused] for column in texts]
        if texts[0]:
            yield texts


def _column(pair: Pair, given: Sequence[Any], refused: dict[int, tuple[str | None, Any, str]]) -> Texts:
    """Return the values of a column as texts; what cannot be converted is put into refused, by its place."""
    if pair.empty_as_null and "" in given:
        given = [None if value == "" else value for value in given]
    before = Counter(pair.tally)
    try:
        texts = pair.conversion.many(given)
        if not (pair.column.required and None in texts):
            return texts
    except values.UnusualError:
        pass
    pair.tally.clear()
    pair.tally.update(before)
    return [_single(pair, value, place, refused) for place, value in enumerate(given)]


def _single(pair: Pair, value: Any, place: int, refused: dict[int, tuple[str | None, Any, str]]) -> str | None:
    try:
        if value is None:
            if pair.column.required:
                raise values.RefusedError(_NOWHERE)
            return None
        return pair.conversion.one(value)
    except values.RefusedError as error:
        refused.setdefault(place, (pair.name, value, str(error)))
        return None


def _bar(
    load: Load, bar: Bar, columns: Sequence[Sequence[Any]], refused: dict[int, tuple[str | None, Any, str]]
) -> None:
    own = [columns[load.read.index(name)] for name in bar.columns]
    for place, referring in enumerate(zip(*own, strict=True)):
        if None not in referring and tuple(map(str, referring)) in bar.missing:
            refused.setdefault(place, (", ".join(bar.columns), referring[0], bar.why()))


def _item(
    load: Load, columns: Sequence[Sequence[Any]], row: int, column: str | None, value: Any, reason: str
) -> dict[str, Any]:
    keys = columns[len(load.pairs) :]
    return {
        "table": load.source.name,
        "key": {name: printable(key[row]) for name, key in zip(load.shown, keys, strict=True)},
        "column": column,
        "reason": reason,
        "value": None if value is None else printable(values.shortened(value)),
    }


def printable(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, bytes):
        return value.hex()
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def lines(load: Load, columns: Sequence[Texts]) -> bytes:
    """Return rows as COPY takes them in its text format."""
    fields = [_fields(texts, pair.conversion.escapes) for texts, pair in zip(columns, load.pairs, strict=True)]
    return ("\n".join(map("\t".join, zip(*fields, strict=True))) + "\n").encode()


def _fields(texts: Sequence[Any], escapes: bool) -> Sequence[str]:
    nulls = None in texts
    if escapes:
        joined = values.SEPARATOR.join([text for text in texts if text is not None] if nulls else texts)
        if any(mark in joined for mark in _SPECIAL):
            return ["\\N" if text is None else _escaped(text) for text in texts]
    return ["\\N" if text is None else text for text in texts] if nulls else texts


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
