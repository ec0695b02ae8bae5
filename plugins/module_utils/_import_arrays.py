# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Embeddings as applications keep them: packed floats, JSON, .npy files, and pickled numpy arrays. Pure.

A pickle is a program. Here its instructions are read, those that build one flat array of floats are followed with data of our own,
and everything else is refused: no name is looked up, nothing is imported, nothing is called.
"""

from __future__ import annotations

import ast
import json
import pickletools
import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any

NPY = b"\x93NUMPY"
_PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_LIMIT = 64 * 1024 * 1024  # bytes; no embedding is anywhere near
_CODES = {"f4": "f", "f8": "d"}


class ArrayError(ValueError):
    """What was found is no flat array of floats; the text says what it is."""


def floats(value: bytes | str, dimension: int | None) -> Sequence[float]:
    """Return the numbers of an embedding. dimension: as the column has it, None for any. Raises ArrayError."""
    found = _from_text(value) if isinstance(value, str) else _from_bytes(value, dimension)
    if dimension is not None and len(found) != dimension:
        raise ArrayError(f"has {len(found)} dimensions, and the column {dimension}")
    if not found:
        raise ArrayError("has no dimension")
    return found


def _from_text(text: str) -> list[float]:
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ArrayError("is no JSON list of numbers") from None
    if not isinstance(found, list) or not all(type(item) in (int, float) for item in found):
        raise ArrayError("is no JSON list of numbers")
    try:
        return [float(item) for item in found]
    except OverflowError:
        raise ArrayError("has a number that is too large") from None


def _no_number(name: str) -> float:
    raise ValueError(name)


def _from_bytes(data: bytes, dimension: int | None) -> Sequence[float]:
    if data.startswith(NPY):
        return npy(data)
    if (data.startswith(_PICKLES) or data.startswith(b"cnumpy")) and data.endswith(b"."):
        return pickled(data)
    if dimension is None:
        raise ArrayError(
            f"has {len(data)} bytes, and float32 or float64 cannot be told apart where the column has no dimension"
        )
    for width, code in ((4, "f"), (8, "d")):
        if len(data) == width * dimension:
            return _array(code, data, "<")
    raise ArrayError(
        f"has {len(data)} bytes: {dimension} dimensions take {4 * dimension} as float32 or {8 * dimension} as float64"
    )


def _array(code: str, data: bytes | bytearray, order: str) -> array[float]:
    found: array[float] = array(code)
    found.frombytes(data)
    if order in "<>" and (order == ">") != (sys.byteorder == "big"):
        found.byteswap()
    return found


def npy(data: bytes) -> Sequence[float]:
    """Return the numbers of a .npy file with one flat array of floats. Raises ArrayError."""
    try:
        version = data[6]
        start, length = (10, "<H") if version == 1 else (12, "<I")
        size = struct.unpack_from(length, data, 8)[0]
        header = ast.literal_eval(data[start : start + size].decode("latin-1").strip())
        kind, shape = header["descr"], header["shape"]
    except (IndexError, KeyError, TypeError, ValueError, SyntaxError, struct.error, MemoryError, RecursionError):
        raise ArrayError("is a damaged .npy file") from None
    return _typed(kind, shape, data[start + size :])


def _typed(kind: Any, shape: Any, data: bytes | bytearray) -> Sequence[float]:
    """Return the numbers of raw data with a type such as <f4 and a shape such as (512,) or (1, 512)."""
    if not isinstance(kind, str) or kind.lstrip("<>=|") not in _CODES:
        raise ArrayError(f"is an array of {str(kind)[:20]!r}, and not of floats")
    if not isinstance(shape, tuple) or not all(type(extent) is int and extent >= 0 for extent in shape):
        raise ArrayError("is an array without a shape")
    if not shape or max(shape) != _product(shape):
        raise ArrayError(f"is an array of shape {shape}, and not a flat one")
    code = _CODES[kind.lstrip("<>=|")]
    if len(data) != _product(shape) * (4 if code == "f" else 8):
        raise ArrayError("is an array whose data has another length than its shape")
    return _array(code, data, kind[0] if kind[0] in "<>" else "=")


def _product(shape: tuple[int, ...]) -> int:
    found = 1
    for extent in shape:
        found *= extent
    return found


# Pickles

_RECONSTRUCT = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
_FROM_BUFFER = {("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")}
_NDARRAY, _DTYPE, _ENCODE = ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")
_BYTES = ("builtins", "bytes"), ("__builtin__", "bytes")
_KNOWN = {*_RECONSTRUCT, *_FROM_BUFFER, _NDARRAY, _DTYPE, _ENCODE, *_BYTES}

_MARK = object()
# Instructions that put their own argument on the stack.
_PUSH = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 STRING BINSTRING"
    " SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Name(tuple[str, str]):
    """A name that a pickle mentions. It stays a name."""

    __slots__ = ()


class _Type:
    """The type of an array: f4 or f8 with its byte order."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Made:
    """An array that is being built."""

    def __init__(self) -> None:
        self.state: Any = None


def pickled(data: bytes) -> Sequence[float]:
    """Return the numbers of a pickled flat numpy array of floats. Raises ArrayError for every other pickle."""
    if len(data) > _LIMIT:
        raise ArrayError("is a pickle of more than 64 MiB")
    try:
        made = _follow(data)
    except ArrayError:
        raise
    except Exception:  # pickletools raises about anything for bytes that are no pickle
        raise ArrayError("is a damaged pickle") from None
    if not isinstance(made, _Made) or made.state is None:
        raise ArrayError("is a pickle of something else than a numpy array")
    _version, shape, kind, _fortran, raw = made.state
    if not isinstance(kind, _Type) or not isinstance(raw, bytes | bytearray):
        raise ArrayError("is a pickle of an array of objects")
    return _typed(kind.kind, shape, raw)


def _follow(data: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    given: Any
    for code, given, _place in pickletools.genops(data):
        name, argument = code.name, given
        if name in _PUSH:
            stack.append(argument)
        elif name in _FIXED:
            stack.append(_FIXED[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "TUPLE":
            start = len(stack) - 1 - stack[::-1].index(_MARK)
            stack[start:] = [tuple(stack[start + 1 :])]
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_known(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack[-2:] = [_known(*stack[-2:])]
        elif name == "REDUCE":
            stack[-2:] = [_reduced(*stack[-2:])]
        elif name == "BUILD":
            _build(stack[-2], stack.pop())
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ArrayError(f"is a pickle with the instruction {name}, which no array of floats has")
    if len(stack) != 1:
        raise ArrayError("is a damaged pickle")
    return stack[0]


def _known(module: Any, name: Any) -> _Name:
    if (module, name) not in _KNOWN:
        raise ArrayError(f"is a pickle that names {str(module)[:40]}.{str(name)[:40]}, which no array of floats does")
    return _Name((module, name))


def _reduced(function: Any, arguments: Any) -> Any:
    """Return what a call stands for; only the calls that arrays are made with stand for anything."""
    if isinstance(function, _Name) and isinstance(arguments, tuple):
        if tuple(function) in _RECONSTRUCT and arguments and arguments[0] == _Name(_NDARRAY):
            return _Made()
        if tuple(function) == _DTYPE and arguments and arguments[0] in _CODES:
            return _Type(arguments[0])
        if tuple(function) == _ENCODE and len(arguments) == 2 and arguments[1] == "latin1":
            return arguments[0].encode("latin-1")
        if tuple(function) in _BYTES and not arguments:
            return b""
        if tuple(function) in _FROM_BUFFER and len(arguments) == 4:
            made = _Made()
            raw, kind, shape, _order = arguments
            made.state = (1, shape, kind, False, raw)
            return made
    raise ArrayError("is a pickle that calls something, which no array of floats does")


def _build(target: Any, state: Any) -> None:
    if isinstance(target, _Type) and isinstance(state, tuple) and len(state) >= 2 and state[1] in ("<", ">", "="):
        target.kind = state[1] + target.kind.lstrip("<>=")
    elif isinstance(target, _Made) and isinstance(state, tuple) and len(state) == 5:
        target.state = state
    else:
        raise ArrayError("is a pickle that sets the state of something else than an array")
