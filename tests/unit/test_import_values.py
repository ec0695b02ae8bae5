"""Values of SQLite that are not what they should be: converted as the policy says, or refused with the reason, never lost in silence."""

from __future__ import annotations

import json
import struct
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_values as values
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_values import (
    Conversion,
    Kind,
    RefusedError,
    Rules,
    UnusualError,
)

KINDS = {
    "smallint": Kind("int2", "smallint"),
    "integer": Kind("int4", "integer"),
    "bigint": Kind("int8", "bigint"),
    "float4": Kind("float4", "real"),
    "float8": Kind("float8", "double precision"),
    "numeric": Kind("numeric", "numeric"),
    "money": Kind("numeric", "numeric(10,2)", precision=10, scale=2),
    "hundreds": Kind("numeric", "numeric(3,-2)", precision=3, scale=-2),
    "boolean": Kind("bool", "boolean"),
    "text": Kind("text", "text"),
    "varchar": Kind("varchar", "character varying(5)", limit=5),
    "char": Kind("bpchar", "character(3)", limit=3),
    "bytea": Kind("bytea", "bytea"),
    "date": Kind("date", "date"),
    "time": Kind("time", "time without time zone"),
    "timestamp": Kind("timestamp", "timestamp without time zone"),
    "timestamp0": Kind("timestamp", "timestamp(0) without time zone", limit=0),
    "timestamptz": Kind("timestamptz", "timestamp with time zone"),
    "uuid": Kind("uuid", "uuid"),
    "json": Kind("json", "json"),
    "jsonb": Kind("jsonb", "jsonb"),
    "enum": Kind("enum", "public.mood", labels=("sad", "ok")),
    "vector": Kind("vector", "vector(3)", limit=3),
    "anyvector": Kind("vector", "vector"),
    "halfvec": Kind("halfvec", "halfvec(3)", limit=3),
}
SINGLE, DOUBLE = struct.pack("<3f", 0.5, -1.25, 3), struct.pack("<3d", 0.5, -1.25, 3)
FLAT = "[0.5,-1.25,3]"
UUID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
BERLIN = ZoneInfo("Europe/Berlin")


def made(kind: str, **rules: Any) -> Conversion:
    """Return the conversion to a type."""
    found = values.conversion(KINDS[kind], Rules(**rules))
    assert found
    return found


TAKEN: list[tuple[str, Any, str, dict[str, Any]]] = [
    # integers, also those that were kept as text
    ("integer", 7, "7", {}),
    ("integer", "42", "42", {}),
    ("integer", " -42 ", "-42", {}),
    ("integer", "+007", "7", {}),
    ("integer", 3.0, "3", {}),
    ("bigint", -(2**63), str(-(2**63)), {}),
    # numbers with a point
    ("float8", 0.1, "0.1", {}),
    ("float8", 5, "5.0", {}),
    ("float8", "1e-3", "0.001", {}),
    ("float4", 0.1, "0.100000001", {}),
    ("numeric", 0.1, "0.1", {}),
    ("numeric", "1e5", "100000", {}),
    ("numeric", "-0.0", "0.0", {}),
    ("numeric", "123456789012345678901234567890.5", "123456789012345678901234567890.5", {}),
    ("money", 19.99, "19.99", {}),
    ("money", 5, "5.00", {}),
    ("money", "7.5", "7.50", {}),
    ("money", 0.1 + 0.2, "0.30", {"rounded": True}),
    ("hundreds", 12300, "12300", {}),
    # truth
    ("boolean", 0, "false", {}),
    ("boolean", 1, "true", {}),
    ("boolean", 1.0, "true", {}),
    ("boolean", "t", "true", {}),
    ("boolean", "TRUE", "true", {}),
    ("boolean", "off", "false", {}),
    # texts
    ("text", "", "", {}),
    ("text", "tab\tline\nback\\slash \\N \\.", "tab\tline\nback\\slash \\N \\.", {}),
    ("text", "a\0b", "a\ufffdb", {"nul": "replace"}),
    ("text", "a\0b", "a\\x00b", {"nul": "escape"}),
    ("text", "caf\udce9 ", "caf\ufffd ", {"encoding": "replace"}),
    ("text", "caf\udce9\udcff", "caf\\xe9\\xff", {"encoding": "escape"}),
    ("text", 5, "5", {}),
    ("text", 1.5, "1.5", {}),
    ("varchar", "äöüß€", "äöüß€", {}),
    ("char", "ab   ", "ab", {}),
    ("enum", "ok", "ok", {}),
    # bytes
    ("bytea", b"\x00\xff", "\\x00ff", {}),
    ("bytea", b"", "\\x", {}),
    ("bytea", "00ff", "\\x00ff", {"binary": "hex"}),
    ("bytea", "é", "\\xc3a9", {"binary": "utf8"}),
    # identities
    ("uuid", UUID, UUID, {}),
    ("uuid", UUID.upper().replace("-", ""), UUID, {}),
    ("uuid", "{" + UUID + "}", UUID, {}),
    ("uuid", bytes.fromhex(UUID.replace("-", "")), UUID, {}),
    # times
    ("timestamp", "2025-11-13 09:00:00", "2025-11-13 09:00:00", {}),
    ("timestamp", "2025-11-13T09:00:00.120000", "2025-11-13 09:00:00.12", {}),
    ("timestamp", "2025-11-13 09:00:00.000000", "2025-11-13 09:00:00", {}),
    ("timestamp", "2025-11-13 09:00", "2025-11-13 09:00:00", {}),
    ("timestamp", "2025-11-13", "2025-11-13 00:00:00", {}),
    ("timestamp", "2025-11-13T09:00:00Z", "2025-11-13 09:00:00", {}),
    ("timestamp", "2025-11-13T09:00:00+02:00", "2025-11-13 07:00:00", {}),
    ("timestamp", "2025-11-13T09:00:00Z", "2025-11-13 10:00:00", {"zone": BERLIN}),
    ("timestamp", 1763024400, "2025-11-13 09:00:00", {"unit": "s"}),
    ("timestamp", 1763024400.5, "2025-11-13 09:00:00.5", {"unit": "s"}),
    ("timestamp", 1763024400120, "2025-11-13 09:00:00.12", {"unit": "ms"}),
    ("timestamp", "1763024400", "2025-11-13 09:00:00", {"unit": "s"}),
    ("timestamp", 1763024400, "2025-11-13 10:00:00", {"unit": "s", "zone": BERLIN}),
    ("timestamp", -1, "1969-12-31 23:59:59", {"unit": "s"}),
    ("timestamptz", "2025-11-13 09:00:00", "2025-11-13 09:00:00+00", {}),
    ("timestamptz", "2025-07-13 09:00:00", "2025-07-13 07:00:00+00", {"zone": BERLIN}),
    ("timestamptz", "2025-11-13 09:00:00-0530", "2025-11-13 14:30:00+00", {}),
    ("timestamptz", 1763024400001, "2025-11-13 09:00:00.001+00", {"unit": "ms"}),
    ("date", "2025-11-13", "2025-11-13", {}),
    ("date", "2025-11-13 00:00:00", "2025-11-13", {}),
    ("date", 1762992000, "2025-11-13", {"unit": "s"}),
    ("time", "09:05", "09:05:00", {}),
    ("time", "09:05:01.250", "09:05:01.25", {}),
    # JSON
    ("json", '{"b": 1, "a": [1.0]}', '{"b": 1, "a": [1.0]}', {}),
    ("jsonb", '{"bb":1,"a":[1.10,true,null,-0],"a":2}', '{"a": 2, "bb": 1}', {}),
    ("jsonb", '[1e2, 1.50, "é\\n\\u00e9"]', '[100, 1.50, "é\\né"]', {}),
    ("jsonb", 5, "5", {}),
    ("jsonb", '"a\\u0000b"', '"a\ufffdb"', {"nul": "replace"}),
    # embeddings
    ("vector", SINGLE, FLAT, {}),
    ("vector", DOUBLE, FLAT, {}),
    ("vector", "[0.5, -1.25, 3]", FLAT, {}),
    ("anyvector", "[0.5]", "[0.5]", {}),
    ("halfvec", SINGLE, FLAT, {}),
]
REFUSED: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("integer", 2**31, "is out of the range of integer", {}),
    ("smallint", "32768", "is out of the range of smallint", {}),
    ("bigint", "9223372036854775808", "is out of the range of bigint", {}),
    ("integer", 3.5, "is no integer", {}),
    ("integer", "", "is no integer", {}),
    ("integer", "4 2", "is no integer", {}),
    ("integer", "0x10", "is no integer", {}),
    ("integer", "٤٢", "is no integer", {}),
    ("integer", b"42", "is no integer", {}),
    ("float8", 2**53 + 1, "is an integer that double precision cannot hold exactly", {}),
    ("float8", "1e400", "is out of the range of double precision", {}),
    ("float8", "NaN", "is no number", {}),
    ("float4", 1e300, "is out of the range of real", {}),
    ("float4", 1e-300, "is too small for real", {}),
    ("numeric", "1,5", "is no number", {}),
    ("numeric", "1e999999", "is a number of more than a thousand digits", {}),
    ("numeric", float("inf"), "is no number", {}),
    ("money", 0.1 + 0.2, "would be rounded by numeric(10,2)", {}),
    ("money", "0.001", "would be rounded by numeric(10,2)", {}),
    ("money", 123456789, "has more digits than numeric(10,2) takes", {}),
    ("hundreds", 123456, "would be rounded by numeric(3,-2)", {}),
    ("boolean", 2, "is neither true nor false", {}),
    ("boolean", "", "is neither true nor false", {}),
    ("boolean", "maybe", "is neither true nor false", {}),
    ("text", "a\0b", "has a NUL", {}),
    ("text", "caf\udce9", "has bytes that are no UTF-8", {}),
    ("text", b"abc", "is a BLOB, and text takes text", {}),
    ("varchar", "sechs!", "has 6 characters, and character varying(5) takes 5", {}),
    ("varchar", "abc  \0", "has 9 characters", {"nul": "escape"}),
    ("varchar", "abc   ", "has 6 characters", {}),
    ("char", "abcd", "has 4 characters", {}),
    ("enum", "OK", "is no label of public.mood, which has sad, ok", {}),
    ("enum", 1, "is no label", {}),
    ("bytea", "00ff", "is no BLOB", {}),
    ("bytea", "0g", "is no hex", {"binary": "hex"}),
    ("uuid", "not-a-uuid", "is no UUID", {}),
    ("uuid", UUID + "0", "is no UUID", {}),
    ("uuid", b"short", "is no UUID", {}),
    ("timestamp", "13.11.2025", "is no time: write it as ISO 8601 does", {}),
    ("timestamp", "2025-02-30 00:00:00", "is no time that exists", {}),
    ("timestamp", "2025-11-13 24:00:01", "is no time that exists", {}),
    ("timestamp", "0000-00-00 00:00:00", "is no time that exists", {}),
    ("timestamp", "2025-11-13T09:00:00+25:00", "is no time that exists", {}),
    ("timestamp", "2025-11-13 09:00:00.1234567", "has more than six digits of a second", {}),
    ("timestamp", "now", "is no time", {}),
    ("timestamp", "infinity", "is no time", {}),
    ("timestamp", 2025, "is a number, and nothing says", {}),
    ("timestamp", 10**30, "is a time out of the years 1 to 9999", {"unit": "s"}),
    ("timestamp", float("inf"), "is no time", {"unit": "s"}),
    ("timestamp", 1763024400000000001, "has nanoseconds", {"unit": "ns"}),
    ("timestamp0", "2025-11-13 09:00:00.5", "has a fraction of a second", {}),
    ("date", "2025-11-13 09:00:00", "has a time of day", {}),
    ("time", "25:00", "is no time of day that exists", {}),
    ("time", 900, "is no time of day", {}),
    ("json", "{'a': 1}", "is no JSON", {}),
    ("json", "", "is no JSON", {}),
    ("json", "[NaN]", "is no JSON", {}),
    ("jsonb", "[1]x", "is no JSON", {}),
    ("jsonb", "[" * 100_000, "is no JSON", {}),
    ("jsonb", '"a\\u0000b"', "has a NUL", {}),
    ("jsonb", '"\\ud800"', "has bytes that are no UTF-8", {}),
    ("jsonb", '{"a": 1e99999999}', "is a number of more than a thousand digits", {}),
    ("jsonb", b"{}", "is a BLOB, and JSON is text", {}),
    ("vector", SINGLE[:8], "has 8 bytes: 3 dimensions take 12 as float32 or 24 as float64", {}),
    ("vector", "[1,2]", "has 2 dimensions, and the column 3", {}),
    ("vector", "[1,2,null]", "is no JSON list of numbers", {}),
    ("vector", "[1,2,NaN]", "is no JSON list of numbers", {}),
    ("vector", "[1,2,1e400]", "has a number that is infinite", {}),
    ("vector", struct.pack("<3f", 1, float("nan"), 2), "has a number that is infinite or none", {}),
    ("vector", struct.pack("<3d", 1, 1e300, 2), "has a number that is infinite or none, or too large", {}),
    ("vector", 5, "is no embedding", {}),
    ("anyvector", SINGLE, "has 12 bytes, and float32 or float64 cannot be told apart", {}),
    ("anyvector", "[]", "has no dimension", {}),
    ("halfvec", "[1,2,70000]", "has a number that is too large for float16", {}),
]


@pytest.mark.parametrize(("kind", "value", "text", "rules"), TAKEN)
def test_taken(kind: str, value: Any, text: str, rules: dict[str, Any]) -> None:
    assert made(kind, **rules).one(value) == text


@pytest.mark.parametrize(("kind", "value", "text", "rules"), TAKEN)
def test_taken_in_a_chunk(kind: str, value: Any, text: str, rules: dict[str, Any]) -> None:
    conversion = made(kind, **rules)
    try:
        found = conversion.many([value, None, value])
    except UnusualError:
        return  # then each is asked for by itself
    assert found == [text, None, text]


@pytest.mark.parametrize(("kind", "value", "words", "rules"), REFUSED)
def test_refused(kind: str, value: Any, words: str, rules: dict[str, Any]) -> None:
    conversion = made(kind, **rules)
    with pytest.raises(RefusedError) as caught:
        conversion.one(value)
    assert str(caught.value).startswith(words)
    with pytest.raises(UnusualError):
        conversion.many([value])


def test_there_are_enough_of_them() -> None:
    assert len(REFUSED) >= 40


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_nothing_and_nulls(kind: str) -> None:
    conversion = made(kind, unit="s")
    assert conversion.many([]) == []
    assert conversion.many([None, None]) == [None, None]


@pytest.mark.parametrize(
    ("kind", "given", "texts"),
    [
        ("integer", [1, None, -3], ["1", None, "-3"]),
        ("float8", [0.5, None, 1e22], ["0.5", None, "1e+22"]),
        ("money", [0.5, None, 19.99], ["0.50", None, "19.99"]),
        ("money", [-0.001, 1.0], None),
        ("money", [1e9, 1.0], None),
        ("boolean", [0, "t", None], ["false", "true", None]),
        ("text", ["a", None, "b\x1fc"], ["a", None, "b\x1fc"]),
        ("bytea", [b"a", None], ["\\x61", None]),
        ("timestamp", ["2025-01-01 00:00:00", None, "2025-01-01T10:20:30.000100"], ["2025-01-01 00:00:00", None, "2025-01-01 10:20:30.0001"]),
        ("timestamptz", ["2025-01-01 00:00:00", None], ["2025-01-01 00:00:00+00", None]),
        ("date", ["2025-01-01", None, "0001-01-01"], ["2025-01-01", None, "0001-01-01"]),
    ],
)  # fmt: skip
def test_chunks(kind: str, given: list[Any], texts: list[str | None] | None) -> None:
    conversion = made(kind)
    if texts is None:
        with pytest.raises(UnusualError):
            conversion.many(given)
    else:
        assert conversion.many(given) == texts


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_counted_times_are_the_same_one_by_one(unit: str) -> None:
    given = [number * values.UNITS[unit] for number in (0, 1, 86399, 86400, -1, -86401, 951782400, 253402300799)]
    for kind in ("timestamp", "timestamptz"):
        conversion = made(kind, unit=unit)
        assert conversion.many(given) == [conversion.one(value) for value in given]
    assert made("timestamp", unit="ms").many([1, 10, 100, 1500]) == [
        "1970-01-01 00:00:00.001", "1970-01-01 00:00:00.01", "1970-01-01 00:00:00.1", "1970-01-01 00:00:01.5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "unit"),
    [
        (1.5e9, 1.7e9, "s"),
        (0, 1.7e9, "s"),
        (5, 1.7e9, "s"),
        (1.5e12, 1.7e12, "ms"),
        (0, 1.7e12, "ms"),
        (1.5e15, 1.7e15, "us"),
        (1.5e18, 1.7e18, "ns"),
        (1.5e9, 1.7e12, None),  # seconds and milliseconds mixed
        (5, 1.7e12, None),
        (1990, 2025, None),  # years
        (20250101, 20251231, None),  # digits of a date
        (2460000.5, 2460990.5, None),  # days as astronomers count them
        (0, 0, None),
        (0, 1e30, None),
    ],
)
def test_units(low: float, high: float, unit: str | None) -> None:
    assert values.unit_of(low, high) == unit


def test_what_was_changed_is_counted() -> None:
    tally: Counter[str] = Counter()
    conversion = made("text", nul="replace", encoding="escape", tally=tally)
    for value in ("a\0", "\udcff", 5, "fine"):
        conversion.one(value)
    assert tally == {"nul_bytes": 1, "bad_utf8": 1, "numbers_as_text": 1}


def test_what_is_compared() -> None:
    assert made("float8").proof("0.5") == struct.pack(">d", 0.5).hex()  # type: ignore[misc]
    assert made("float4").proof("0.100000001") == struct.pack(">f", 0.1).hex()  # type: ignore[misc]
    assert made("text").proof is None


@pytest.mark.parametrize("document", ['{"a": {"bb": [], "b": {}}, "é": "\\u007f\\u001f"}', "[]", '"x"', "null", "-5"])
def test_jsonb_keeps_what_it_says(document: str) -> None:
    assert json.loads(made("jsonb").one(document)) == json.loads(document)


def test_types_without_a_way() -> None:
    assert values.conversion(Kind("inet", "inet"), Rules()) is None


@pytest.mark.parametrize(
    ("value", "text"), [("x" * 99, "'" + "x" * 35 + "…'"), (b"\x01" * 20, "20 bytes 0101010101010101…"), (5, "5")]
)
def test_shortened(value: Any, text: str) -> None:
    assert values.shortened(value) == text
