# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of types as people write them, compared with how the server's format_type prints them. Pure.

Source of the spellings: PostgreSQL documentation, chapter "Data Types", and format_type.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import fold, qualified, quote_ident

_SPELLINGS = {
    "bigint": "int8",
    "bit varying": "varbit",
    "bit": "",
    "boolean": "bool",
    "bpchar": "",
    "character varying": "varchar, char varying, national character varying, national char varying, nchar varying",
    "character": "char, national character, national char, nchar",
    "double precision": "float8",
    "integer": "int, int4",
    "interval": "",
    "numeric": "decimal, dec",
    "real": "float4",
    "smallint": "int2",
    "time with time zone": "timetz",
    "time without time zone": "time",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
}
_BUILT_IN = {name: name for name in _SPELLINGS} | {
    alias: name for name, aliases in _SPELLINGS.items() for alias in aliases.split(", ") if alias
}
_SERIAL = {
    "serial": "integer",
    "serial4": "integer",
    "bigserial": "bigint",
    "serial8": "bigint",
    "smallserial": "smallint",
    "serial2": "smallint",
}
_LARGEST_REAL = 24  # float(1) to float(24) are real, more is double precision

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_UNITS = r"(?:year|month|day|hour|minute|second)"
_TYPE = re.compile(
    rf"""\s*
    (?:(?P<words>double\s+precision | bit\s+varying | (?:national\s+)?char(?:acter)?\s+varying | nchar\s+varying
        | national\s+char(?:acter)? | interval\s+{_UNITS}(?:\s+to\s+{_UNITS})?)\b
      | (?P<name>{_NAME}(?:\s*\.\s*{_NAME})?))
    (?:\s*\((?P<modifiers>[^()]*)\))?
    (?:\s*\b(?P<zone>with(?:out)?\s+time\s+zone)\b)?
    (?P<array>(?:\s*\[\s*\d*\s*\])+)?
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Type:
    """A type. schema: None if none was written; built_in: one of those that SQL has words for; quoted: written in quotes."""

    name: str
    schema: str | None = None
    modifiers: tuple[str, ...] = ()
    array: bool = False
    built_in: bool = False
    quoted: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        modifiers = f"({','.join(self.modifiers)})" if self.modifiers else ""
        suffix = modifiers + ("[]" if self.array else "")
        if not self.built_in:
            return (qualified(self.schema, self.name) if self.schema else quote_ident(self.name)) + suffix
        word, zone, rest = self.name.partition(" with")
        return f"{word}{modifiers}{zone}{rest}{'[]' if self.array else ''}"


def parse(text: str) -> Type:
    """Return the type that text names. Raises ValueError when it names none."""
    matched = match(text, 0)
    if not matched or text[matched[1] :].strip():
        raise ValueError(f'"{text}" is not a type')
    return matched[0]


def match(text: str, place: int) -> tuple[Type, int] | None:
    """Return the type that stands at a place of text, and where it ends."""
    found = _TYPE.match(text, place)
    if not found:
        return None
    modifiers = tuple(part.strip() for part in found["modifiers"].split(",")) if found["modifiers"] else ()
    array = bool(found["array"])
    words = " ".join((found["words"] or found["name"]).lower().split())
    zone = " ".join((found["zone"] or "").lower().split())
    if zone and words not in ("time", "timestamp"):
        return None
    words = f"{words} {zone}" if zone else words.removeprefix("pg_catalog.")
    if words in _BUILT_IN or words == "float" or found["words"]:
        return _built_in(_BUILT_IN.get(words, words), modifiers, array), found.end()
    *schema, name = (_plain(part) for part in re.findall(_NAME, found["name"]))
    kept = schema[0] if schema and schema[0] != "pg_catalog" else None
    lower = tuple(part.lower() for part in modifiers)
    return Type(name, kept, lower, array, quoted=found["name"].endswith('"')), found.end()


def same(expected: str, found: str) -> bool:
    """Say whether a type as a person writes it is the one that the server prints.

    A name without a schema fits a type of that name in any schema, in its own or in lower case.
    """
    try:
        return equal(parse(expected), parse(found))
    except ValueError:
        return expected == found


def equal(expected: Type, found: Type) -> bool:
    """Say the same of parsed types."""
    if expected.built_in or found.built_in:
        return expected == found
    names = {expected.name} if expected.quoted else {expected.name, fold(expected.name)}
    same_schema = expected.schema in (None, found.schema)
    rest = replace(expected, name=found.name, schema=found.schema)
    return found.name in names and same_schema and rest == found


def base_of_serial(text: str) -> str | None:
    """Return the type that a column declared serial, bigserial or smallserial has; None for other types."""
    return _SERIAL.get(text.strip().lower())


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _built_in(name: str, modifiers: tuple[str, ...], array: bool) -> Type:
    if name == "float":
        name = (
            "real"
            if modifiers and modifiers[0].isdigit() and int(modifiers[0]) <= _LARGEST_REAL
            else "double precision"
        )
        modifiers = ()
    elif name in ("character", "bit") and not modifiers:
        modifiers = ("1",)
    elif name == "bpchar" and modifiers:
        name = "character"
    elif name == "numeric" and len(modifiers) == 1:
        modifiers = (*modifiers, "0")
    return Type(name, None, modifiers, array, built_in=True)
