# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values of SQLite as a column of PostgreSQL takes them. Pure.

How a column is converted is decided once. `many` takes a chunk of values and looks at them with few calls for all, and gives up on the
first that is not as it usually is; then `one` looks at each, says what is wrong with it, or finds the way that the policy allows.
Both return texts just as the server prints them, so that the same texts are sent and compared.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID

from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_arrays as arrays

POLICIES = ("fail", "replace", "escape")
UNITS = {"s": 1, "ms": 1000, "us": 1000_000, "ns": 1000_000_000}
SEPARATOR = "\x1f"
_INTEGERS = {"int2": 15, "int4": 31, "int8": 63}
_TRUE, _FALSE = {"1", "t", "true", "y", "yes", "on"}, {"0", "f", "false", "n", "no", "off"}
_EPOCH = datetime(1970, 1, 1)
_DIGITS = 1000  # of a number; more than that is an attack on the reader, not a measurement

Many = Callable[[Sequence[Any]], list[str | None]]
One = Callable[[Any], str]


class RefusedError(Exception):
    """A value that its column does not take; the text says why, to stand behind the place."""


class UnusualError(Exception):
    """A chunk has something that has to be looked at value by value."""


@dataclass(frozen=True)
class Kind:
    """The type of a target column. name as in pg_type, of a domain its base; limit: characters, digits of a second, dimensions."""

    name: str
    shown: str
    limit: int | None = None
    precision: int | None = None
    scale: int = 0
    labels: tuple[str, ...] = ()
    send: str = ""  # the function that writes it in its binary form, as SQL text


@dataclass(frozen=True)
class Rules:
    """How to read what may be read in more than one way. zone: of times that have none, and of columns that keep none."""

    nul: str = "fail"
    encoding: str = "fail"
    zone: tzinfo = UTC
    unit: str | None = None
    rounded: bool = False
    binary: str | None = None  # how a text in a column of bytes is written: hex or utf8
    tally: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Conversion:
    """The way from a source column to a target column. escapes: its texts may hold what COPY has to have escaped."""

    one: One
    many: Many
    escapes: bool = False
    proof: Callable[[str], str] | None = None  # the text that both sides compare, where the server prints another one


def conversion(kind: Kind, rules: Rules) -> Conversion | None:
    """Return the conversion to a type; None when there is none."""
    if kind.name in _INTEGERS:
        return _integers(kind)
    if kind.name in _TEXTS:
        return _texts(kind, rules)
    if kind.labels:
        return _choices(lambda value: _label(kind, value), escapes=True)
    maker = _MAKERS.get(kind.name)
    return maker(kind, rules) if maker else None


def kinds() -> list[str]:
    """Return the names of the types that values are converted to, enums apart."""
    return sorted({*_INTEGERS, *_TEXTS, *_MAKERS})


def shortened(value: Any) -> str:
    """Return a value as a message shows it."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes {value[:8].hex()}{'…' if len(value) > 8 else ''}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}…{text[-1]}"


def _each(one: One) -> Many:
    """Return the conversion of a chunk where nothing quicker is known."""

    def many(values: Sequence[Any]) -> list[str | None]:
        try:
            return [None if value is None else one(value) for value in values]
        except RefusedError:
            raise UnusualError from None

    return many


def _choices(one: One, *, escapes: bool = False) -> Conversion:
    """Return the conversion of a column with few different values: each is looked at once in a chunk."""

    def many(values: Sequence[Any]) -> list[str | None]:
        different = dict.fromkeys(values)
        try:
            for value in different:
                if value is not None:
                    different[value] = one(value)
        except RefusedError:
            raise UnusualError from None
        return [different[value] for value in values]

    return Conversion(one, many, escapes)


def _types(values: Sequence[Any], *wanted: type) -> None:
    if not set(map(type, values)) <= {*wanted, type(None)}:
        raise UnusualError


def _present(values: Sequence[Any]) -> Sequence[Any]:
    return [value for value in values if value is not None] if None in values else values


# Numbers

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")


def _integers(kind: Kind) -> Conversion:
    limit = 1 << _INTEGERS[kind.name]

    def one(value: Any) -> str:
        number = _integer(value)
        if not -limit <= number < limit:
            raise RefusedError(f"is out of the range of {kind.shown}")
        return str(number)

    def many(values: Sequence[Any]) -> list[str | None]:
        _types(values, int)
        present = _present(values)
        if not present:
            return list(values)
        if min(present) < -limit or max(present) >= limit:
            raise UnusualError
        return list(map(str, values)) if present is values else [None if v is None else str(v) for v in values]

    return Conversion(one, many)


def _integer(value: Any) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip(" ")):
        return int(value)
    raise RefusedError("is no integer")


def _floats(kind: Kind, _rules: Rules) -> Conversion:
    double = kind.name == "float8"

    def one(value: Any) -> str:
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip(" ")):
            number = float(value)
            if math.isinf(number):
                raise RefusedError(f"is out of the range of {kind.shown}")
        elif isinstance(value, int):
            number = float(value)
            if double and int(number) != value:
                raise RefusedError(f"is an integer that {kind.shown} cannot hold exactly")
        elif isinstance(value, float):
            number = value
        else:
            raise RefusedError("is no number")
        return repr(number) if double else _single(number, kind)

    def many(values: Sequence[Any]) -> list[str | None]:
        if not double:
            return _each(one)(values)
        _types(values, float)
        return (
            [None if value is None else repr(value) for value in values] if None in values else list(map(repr, values))
        )

    width = ">d" if double else ">f"
    return Conversion(one, many, proof=lambda text: struct.pack(width, float(text)).hex())


def _single(number: float, kind: Kind) -> str:
    try:
        kept = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        raise RefusedError(f"is out of the range of {kind.shown}") from None
    if number and not kept:
        raise RefusedError(f"is too small for {kind.shown}")
    return f"{kept:.9g}"


def _numerics(kind: Kind, rules: Rules) -> Conversion:
    least = Decimal(1).scaleb(-kind.scale)

    def one(value: Any) -> str:
        number = _decimal(value)
        if kind.precision is None:
            return _plain(number)
        try:
            kept = number.quantize(least)
        except InvalidOperation:
            raise RefusedError(f"has more digits than {kind.shown} takes") from None
        if kept != number and not rules.rounded:
            raise RefusedError(f"would be rounded by {kind.shown}")
        if kept.adjusted() >= kind.precision - kind.scale and kept:
            raise RefusedError(f"has more digits than {kind.shown} takes")
        if kept != number:
            rules.tally["rounded"] += 1
        return _plain(kept)

    limit = 10.0 ** (min(kind.precision, 15) - kind.scale) if kind.precision is not None else 0.0

    def many(values: Sequence[Any]) -> list[str | None]:
        present = _present(values)
        if limit <= 1 or kind.scale < 0 or not present or set(map(type, present)) != {float}:
            return _each(one)(values)
        texts = [f"{value:.{kind.scale}f}" for value in present]
        # A text that gives the same double again is that number, to the last digit that a double has.
        if list(map(float, texts)) != list(present) or max(map(abs, present)) >= limit:
            raise UnusualError
        if "-0" in "".join(texts):
            return _each(one)(values)
        if present is values:
            return list(texts)
        rest = iter(texts)
        return [None if value is None else next(rest) for value in values]

    return Conversion(one, many)


def _decimal(value: Any) -> Decimal:
    text = value.strip(" ") if isinstance(value, str) else repr(value) if isinstance(value, int | float) else ""
    if not _NUMBER.fullmatch(text) or len(text) > _DIGITS:
        raise RefusedError("is no number")
    number = Decimal(text)
    if number and not -_DIGITS < number.adjusted() < _DIGITS:
        raise RefusedError("is a number of more than a thousand digits")
    return number


def _plain(number: Decimal) -> str:
    """Return a number as the server prints it: no exponent, no sign of zero."""
    return format(number if number else abs(number), "f")


def _booleans(_kind: Kind, _rules: Rules) -> Conversion:
    def one(value: Any) -> str:
        text = str(int(value)) if value in (0, 1) else value.strip(" ").lower() if isinstance(value, str) else ""
        if text in _TRUE:
            return "true"
        if text in _FALSE:
            return "false"
        raise RefusedError("is neither true nor false")

    return _choices(one)


def _label(kind: Kind, value: Any) -> str:
    if value in kind.labels:
        return str(value)
    raise RefusedError(f"is no label of {kind.shown}, which has {', '.join(kind.labels)}"[:200])


# Texts

_TEXTS = ("text", "varchar", "bpchar", "name", "citext")
_BAD = re.compile("[\ud800-\udfff]+")


def _cleaner(rules: Rules) -> Callable[[str], str]:
    """Return what becomes of a text with a NUL, or with bytes that are no UTF-8 (which are single surrogates here)."""

    def clean(text: str) -> str:
        if "\0" in text:
            if rules.nul == "fail":
                raise RefusedError("has a NUL, which no text of PostgreSQL holds: choose nul_bytes")
            rules.tally["nul_bytes"] += 1
            text = text.replace("\0", "\ufffd" if rules.nul == "replace" else "\\x00")
        if not text.isascii() and _BAD.search(text):
            if rules.encoding == "fail":
                raise RefusedError("has bytes that are no UTF-8: choose bad_utf8")
            rules.tally["bad_utf8"] += 1
            text = _BAD.sub(
                lambda found: "\ufffd" if rules.encoding == "replace" else "".join(map(_escaped, found[0])), text
            )
        return text

    return clean


def _escaped(mark: str) -> str:
    code = ord(mark)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _texts(kind: Kind, rules: Rules) -> Conversion:
    clean = _cleaner(rules)
    padded = kind.name == "bpchar"

    def one(value: Any) -> str:
        if isinstance(value, int | float):
            rules.tally["numbers_as_text"] += 1
        elif not isinstance(value, str):
            raise RefusedError(f"is a BLOB, and {kind.shown} takes text")
        text = clean(str(value))
        kept = text.rstrip(" ") if padded else text
        if kind.limit is not None and len(kept) > kind.limit:
            raise RefusedError(f"has {len(kept)} characters, and {kind.shown} takes {kind.limit}")
        if kind.name == "name" and len(kept.encode()) > 63:
            raise RefusedError("has more than 63 bytes, and a name takes 63")
        return kept

    def many(values: Sequence[Any]) -> list[str | None]:
        _types(values, str)
        present = _present(values)
        joined = SEPARATOR.join(present)
        if "\0" in joined or padded or kind.name == "name" or (not joined.isascii() and _BAD.search(joined)):
            return _each(one)(values)
        if kind.limit is not None and present and max(map(len, present)) > kind.limit:
            raise UnusualError
        return list(values)

    return Conversion(one, many, escapes=True)


def _bytes(_kind: Kind, rules: Rules) -> Conversion:
    def one(value: Any) -> str:
        if isinstance(value, str) and rules.binary == "hex":
            try:
                value = bytes.fromhex(value.removeprefix("\\x").removeprefix("0x"))
            except ValueError:
                raise RefusedError("is no hex") from None
        elif isinstance(value, str) and rules.binary == "utf8":
            value = value.encode("utf-8", "surrogateescape")
        if not isinstance(value, bytes):
            raise RefusedError("is no BLOB: say by binary how a text is to become bytes")
        return "\\x" + value.hex()

    def many(values: Sequence[Any]) -> list[str | None]:
        _types(values, bytes)
        return [None if value is None else "\\x" + value.hex() for value in values]

    return Conversion(one, many, escapes=True, proof=lambda text: hashlib.sha256(bytes.fromhex(text[2:])).hexdigest())


def _uuids(_kind: Kind, _rules: Rules) -> Conversion:
    def one(value: Any) -> str:
        if isinstance(value, bytes) and len(value) == 16:
            return str(UUID(bytes=value))
        if isinstance(value, str) and _UUID.fullmatch(value):
            return str(UUID(value.strip("{}")))
        raise RefusedError("is no UUID")

    return Conversion(one, _shaped(["00000000-0000-0000-0000-000000000000"], None, one))


_UUID = re.compile(r"\{?[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}\}?")


# What the digits of an ASCII text become, so that texts of one shape are equal.
_SHAPE = bytes.maketrans(b"123456789abcdef", b"0" * 15)


def _shaped(
    shapes: Sequence[str],
    parse: Callable[[str], Any] | None,
    one: One,
    change: Callable[[Sequence[str]], Sequence[str]] | None = None,
) -> Many:
    """Return the conversion of a chunk of texts that all have one of the shapes; of anything else, that of each value.

    shapes: with 0 for every digit. parse: raises ValueError. change: gives the texts as the server prints them.
    """
    lines = {shape: (shape + SEPARATOR).encode() for shape in shapes}

    def many(values: Sequence[Any]) -> list[str | None]:
        present = _present(values)
        if set(map(type, present)) != {str}:
            return _each(one)(values)
        joined = SEPARATOR.join(present) + SEPARATOR
        shape = present[0].encode(errors="replace").translate(_SHAPE).decode()
        line = lines.get(shape)
        if line is None or not joined.isascii() or joined.encode().translate(_SHAPE) != line * len(present):
            return _each(one)(values)
        try:
            if parse:
                deque(map(parse, present), maxlen=0)
        except ValueError:
            raise UnusualError from None
        texts = change(present) if change else present
        if present is values:
            return list(texts)
        rest = iter(texts)
        return [None if value is None else next(rest) for value in values]

    return many


# JSON


class _Digits(str):
    """A number of a JSON document, as it was written."""

    __slots__ = ()


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _documents(kind: Kind, rules: Rules) -> Conversion:
    clean = _cleaner(rules)
    binary = kind.name == "jsonb"
    decode = json.JSONDecoder(parse_float=_Digits, parse_constant=_no_number).decode

    def one(value: Any) -> str:
        if isinstance(value, bytes):
            raise RefusedError("is a BLOB, and JSON is text")
        # A column that is declared JSON has turned "5" into a number.
        text = value if isinstance(value, str) else repr(value)
        if not text.isascii():
            text = clean(text)
        try:
            document = decode(text)
            return _printed(document, clean) if binary else text
        except (ValueError, RecursionError):
            raise RefusedError("is no JSON") from None

    return Conversion(one, _each(one), escapes=True)


def _printed(value: Any, clean: Callable[[str], str]) -> str:
    """Return a document as jsonb prints it: keys by length and then by bytes, numbers in full."""
    if type(value) is str:
        return encode_basestring(value if value.isascii() and "\0" not in value else clean(value))
    if type(value) is dict:
        pairs = ((clean(key), item) for key, item in value.items())
        ordered = sorted(((key.encode(), key, item) for key, item in pairs), key=lambda pair: (len(pair[0]), pair[0]))
        return (
            "{" + ", ".join(f"{encode_basestring(key)}: {_printed(item, clean)}" for _bytes, key, item in ordered) + "}"
        )
    if type(value) is list:
        return "[" + ", ".join([_printed(item, clean) for item in value]) + "]"
    if type(value) is _Digits:
        return _plain(_decimal(value))
    return (
        {True: "true", False: "false", None: "null"}[value] if value in (None,) or type(value) is bool else str(value)
    )


# Times

_ZONED = r"(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_STAMP = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ Tt](?P<hour>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2})?(?:\.(?P<fraction>[0-9]{1,18}))? ?" + _ZONED + r")?"
)
_TIME = re.compile(r"(?P<hour>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2})?(?:\.(?P<fraction>[0-9]{1,18}))?")
_STAMPS = [f"0000-00-00{mark}00:00:00{rest}" for mark in " T" for rest in ("", ".000000")]
_NUMERIC = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")


def unit_of(low: float, high: float) -> str | None:
    """Return the unit in which all numbers from low to high are plausible times since 1970; None when that is not clear.

    Seconds: the largest number is from 10^8 (1973) to 10^11 (5138); milliseconds and the others by the same years.
    """
    sizes = [abs(low), abs(high)]
    for number, unit in enumerate(UNITS):
        top = 10.0 ** (11 + 3 * number)
        if max(sizes) < top:
            least = min(size for size in sizes) if low * high > 0 else 0
            usual = max(sizes) >= top / 1000 and (unit == "s" or least == 0 or least >= top / 1000)
            return unit if usual else None
    return None


def _microseconds(value: float, unit: str) -> int:
    if isinstance(value, float):
        found = value * (1000_000 / UNITS[unit])
        if not math.isfinite(found):
            raise RefusedError("is no time")
        return round(found)
    if unit == "ns" and value % 1000:
        raise RefusedError("has nanoseconds, and PostgreSQL keeps microseconds")
    return value * 1000_000 // UNITS[unit]


def _moment(value: Any, rules: Rules) -> tuple[datetime, bool]:
    """Return a time, and whether it is known where on earth. Without: as it stands; with: in UTC, without its zone."""
    if isinstance(value, str):
        text = value.strip(" ")
        if _NUMERIC.fullmatch(text) and len(text) < 25:
            value = float(text) if "." in text else int(text)
        else:
            return _written(text)
    if not isinstance(value, int | float):
        raise RefusedError("is no time")
    if rules.unit is None:
        raise RefusedError("is a number, and nothing says whether it counts seconds or something else: choose unit")
    try:
        return _EPOCH + timedelta(microseconds=_microseconds(value, rules.unit)), True
    except OverflowError:
        raise RefusedError("is a time out of the years 1 to 9999") from None


def _written(text: str) -> tuple[datetime, bool]:
    found = _STAMP.fullmatch(text)
    if not found:
        raise RefusedError("is no time: write it as ISO 8601 does")
    fraction = _six(found["fraction"])
    try:
        stamp = datetime.fromisoformat(f"{found['day']} {found['hour'] or '00:00'}{found['second'] or ':00'}")
        stamp = stamp.replace(microsecond=fraction)
        zone = found["zone"]
        if not zone:
            return stamp, False
        digits = "0000" if zone in "Zz" else zone[1:].replace(":", "").ljust(4, "0")
        shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        if shift > timedelta(hours=15, minutes=59):
            raise ValueError
        return stamp + (shift if zone[0] == "-" else -shift), True
    except (ValueError, OverflowError):
        raise RefusedError("is no time that exists") from None


def _six(fraction: str | None) -> int:
    """Return digits behind a second as microseconds."""
    if not fraction:
        return 0
    if fraction[6:].strip("0"):
        raise RefusedError("has more than six digits of a second, and PostgreSQL keeps six")
    return int(fraction[:6].ljust(6, "0"))


def _iso(stamp: datetime) -> str:
    text = stamp.isoformat(" ")
    return text.rstrip("0") if stamp.microsecond else text


def _kept(stamp: datetime, kind: Kind) -> datetime:
    if kind.limit is not None and kind.limit < 6 and stamp.microsecond % 10 ** (6 - kind.limit):
        raise RefusedError(f"has a fraction of a second that {kind.shown} would round")
    return stamp


def _stamps(kind: Kind, rules: Rules) -> Conversion:
    zoned = kind.name == "timestamptz"
    suffix = "+00" if zoned else ""
    utc = rules.zone is UTC

    def one(value: Any) -> str:
        stamp, known = _moment(value, rules)
        try:
            if zoned and not known and not utc:
                stamp = stamp.replace(tzinfo=rules.zone).astimezone(UTC).replace(tzinfo=None)
            elif known and not zoned and not utc:
                stamp = stamp.replace(tzinfo=UTC).astimezone(rules.zone).replace(tzinfo=None)
        except (ValueError, OverflowError):
            raise RefusedError("is a time out of the years 1 to 9999") from None
        if zoned != known and isinstance(value, str):
            rules.tally["zone_assumed" if zoned else "zone_dropped"] += 1
        return _iso(_kept(stamp, kind)) + suffix

    def printed(texts: Sequence[str]) -> Sequence[str]:
        if texts[0][10] == "T":
            texts = SEPARATOR.join(texts).replace("T", " ").split(SEPARATOR)
        if len(texts[0]) > 19:  # all have six digits behind the point
            texts = [text.rstrip("0") for text in texts]
            joined = SEPARATOR.join(texts) + SEPARATOR
            if f".{SEPARATOR}" in joined:
                texts = joined.replace(f".{SEPARATOR}", SEPARATOR).split(SEPARATOR)[:-1]
        if zoned:
            rules.tally["zone_assumed"] += len(texts)
            texts = [text + suffix for text in texts]
        return texts

    texts = _shaped(_STAMPS, datetime.fromisoformat, one, printed)
    numbers = _counted(rules.unit, suffix) if rules.unit in ("s", "ms") and utc and kind.limit in (None, 6) else None

    def many(values: Sequence[Any]) -> list[str | None]:
        if numbers and set(map(type, values)) <= {int, type(None)}:
            return numbers(values)
        if (zoned and not utc) or kind.limit not in (None, 6):
            return _each(one)(values)
        return texts(values)

    return Conversion(one, many)


class _Days(dict[int, str]):
    """The days since 1970 as texts, made as they are asked for."""

    def __missing__(self, number: int) -> str:
        try:
            text = self[number] = f"{(_EPOCH + timedelta(days=number)):%Y-%m-%d} "
        except OverflowError:
            raise UnusualError from None
        if number < -262000:  # years before 1000 may lack their zeros
            raise UnusualError
        return text


class _Times(dict[int, str]):
    """The parts of a day as texts, made as they are asked for. Of milliseconds there are too many to keep."""

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix

    def __missing__(self, second: int) -> str:
        text = self[second] = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{self.suffix}"
        return text


def _counted(unit: str | None, suffix: str) -> Many:
    """Return the conversion of whole seconds or milliseconds since 1970."""
    days, seconds, bare = _Days(), _Times(suffix), _Times("")
    if unit == "s":
        return lambda values: [
            None if value is None else days[value // 86400] + seconds[value % 86400] for value in values
        ]
    rest = [suffix, *(f".{number:03d}".rstrip("0") + suffix for number in range(1, 1000))]
    return lambda values: [
        None if value is None else days[value // 86400_000] + bare[value // 1000 % 86400] + rest[value % 1000]
        for value in values
    ]


def _dates(_kind: Kind, rules: Rules) -> Conversion:
    def one(value: Any) -> str:
        stamp, known = _moment(value, rules)
        if known and rules.zone is not UTC:
            stamp = stamp.replace(tzinfo=UTC).astimezone(rules.zone).replace(tzinfo=None)
        if stamp.time() != datetime.min.time():
            raise RefusedError("has a time of day, which a date does not keep")
        return stamp.date().isoformat()

    return Conversion(one, _shaped(["0000-00-00"], date.fromisoformat, one))


def _times(kind: Kind, _rules: Rules) -> Conversion:
    def one(value: Any) -> str:
        found = _TIME.fullmatch(value.strip(" ")) if isinstance(value, str) else None
        if not found:
            raise RefusedError("is no time of day: write it as 14:30:00")
        try:
            stamp = datetime.fromisoformat(f"1970-01-01 {found['hour']}{found['second'] or ':00'}")
        except ValueError:
            raise RefusedError("is no time of day that exists") from None
        return _iso(_kept(stamp.replace(microsecond=_six(found["fraction"])), kind))[11:]

    return Conversion(one, _each(one))


# Embeddings


def _vectors(kind: Kind, _rules: Rules) -> Conversion:
    def one(value: Any) -> str:
        if not isinstance(value, bytes | str):
            raise RefusedError("is no embedding")
        try:
            found = arrays.floats(value, kind.limit)
        except arrays.ArrayError as error:
            raise RefusedError(str(error)) from None
        if len(found) > 16000:
            raise RefusedError("has more than 16,000 dimensions")
        single = array("f", found)
        if not all(map(math.isfinite, single)):
            raise RefusedError("has a number that is infinite or none, or too large for float32")
        if kind.name == "halfvec" and max(map(abs, single)) > 65504:
            raise RefusedError("has a number that is too large for float16")
        return "[" + ",".join(["%.9g"] * len(single)) % tuple(single) + "]"

    width = "e" if kind.name == "halfvec" else "f"

    def proof(text: str) -> str:
        single = array("f", map(float, text[1:-1].split(",")))
        packed = struct.pack(f">hh{len(single)}{width}", len(single), 0, *single)
        return hashlib.sha256(packed).hexdigest()

    return Conversion(one, _each(one), proof=proof)


_MAKERS: dict[str, Callable[[Kind, Rules], Conversion]] = {
    "bool": _booleans,
    "bytea": _bytes,
    "date": _dates,
    "float4": _floats,
    "float8": _floats,
    "halfvec": _vectors,
    "json": _documents,
    "jsonb": _documents,
    "numeric": _numerics,
    "time": _times,
    "timestamp": _stamps,
    "timestamptz": _stamps,
    "uuid": _uuids,
    "vector": _vectors,
}
