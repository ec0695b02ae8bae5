# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""YAML text as values that know their line, for messages that name it. Pure.

Scalars keep the text as it was written, so `on`, `1.10` and `0x1F` are names and versions like any other. Nothing is constructed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

MAXIMUM_BYTES = 1024 * 1024
# Aliases multiply what a small file holds, so values are counted as they unfold.
MAXIMUM_VALUES = 100_000
MAXIMUM_CHARACTERS = 10_000  # of one text

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_SCALARS = frozenset(f"{_TAG}{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"))
_COLLECTIONS = frozenset({f"{_TAG}map", f"{_TAG}seq"})
_SHOWN = 100  # characters of a text in a message
_TRUE = frozenset({"true", "yes", "on"})


class LineError(ValueError):
    """What is wrong, and on which line (counted from 1; None: in the file as a whole)."""

    def __init__(self, line: int | None, text: str) -> None:
        super().__init__(" ".join(text.split()))
        self.line = line


@dataclass(frozen=True)
class Value:
    """A value of YAML. kind: mapping, list, text, boolean or null; text is that of a scalar, as written; line counts from 1,
    and is the line of its key for a value of a mapping."""

    line: int
    kind: str
    text: str = ""
    items: tuple[Value, ...] = ()
    entries: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def truth(self) -> bool:
        """The value of a boolean."""
        return self.text.lower() in _TRUE

    def __str__(self) -> str:
        """How a message calls the value."""
        named = {"mapping": "a mapping", "list": "a list", "null": "nothing"}
        return named.get(self.kind) or f'"{_short(self.text)}"'


def read(text: str) -> Value:
    """Return the one document that text holds. Raises LineError, and StewardError where PyYAML is missing."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise StewardError("PyYAML cannot be imported by this host's interpreter: install python3-yaml there") from None
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAXIMUM_BYTES:
        raise LineError(None, f"has {size} bytes; at most {MAXIMUM_BYTES} are read")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise LineError(None, "is empty")
        return _Unfolding().value(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # PyYAML marks the end of the text by the character 0.
        reason = _short(", ".join(filter(None, (error.context, error.problem))).replace(repr("\0"), "at the end"))
        raise LineError(mark.line + 1 if mark else None, f"not YAML: {reason}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise LineError(line, f"not YAML: character {error.character!r} is not allowed") from None
    except RecursionError:
        raise LineError(None, "is nested too deeply, or holds itself") from None


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class _Unfolding:
    """Turns PyYAML's nodes into values, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def value(self, node: Any, line: int | None = None) -> Value:
        """Return a node as a value; line is that of its key."""
        line = line or node.start_mark.line + 1
        self._counted()
        if node.tag not in (_SCALARS if isinstance(node.value, str) else _COLLECTIONS):
            raise LineError(line, f"tag {_short(node.tag.replace(_TAG, '!!'))} has no meaning here")
        if isinstance(node.value, str):
            if len(node.value) > MAXIMUM_CHARACTERS:
                raise LineError(line, f"a text has {len(node.value)} characters; at most {MAXIMUM_CHARACTERS} are read")
            kind = {f"{_TAG}bool": "boolean", f"{_TAG}null": "null"}.get(node.tag, "text")
            return Value(line, kind, node.value)
        if node.tag == f"{_TAG}seq":
            return Value(line, "list", items=tuple(self.value(item) for item in node.value))
        return Value(line, "mapping", entries=self._entries(node))

    def _entries(self, node: Any) -> Mapping[str, Value]:
        own: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key, content in node.value:
            line = key.start_mark.line + 1
            if key.tag == _MERGE:
                for part in self._merged(content, line):
                    merged = {**part, **merged}
                continue
            if not isinstance(key.value, str):
                raise LineError(line, "a key must be a name, not a list or a mapping")
            if key.value in own:
                raise LineError(line, f'"{_short(key.value)}" stands twice; first on line {own[key.value].line}')
            own[key.value] = self.value(content, line)
        return MappingProxyType({**merged, **own})

    def _merged(self, node: Any, line: int) -> Iterator[Mapping[str, Value]]:
        self._counted()
        for part in node.value if node.tag == f"{_TAG}seq" else [node]:
            if part.tag != f"{_TAG}map":
                raise LineError(line, "<< takes mappings only")
            yield self._entries(part)

    def _counted(self) -> None:
        self.count += 1
        if self.count > MAXIMUM_VALUES:
            raise LineError(None, f"holds more than {MAXIMUM_VALUES} values, aliases unfolded")
