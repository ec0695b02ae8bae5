"""Pickled arrays are read and never run; .npy files; what is none of these."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import_arrays as arrays
from ansible_collections.pgsteward.postgres.plugins.module_utils._import_arrays import ArrayError

NUMBERS = [0.5, -1.25, 3.0]

# pickle.dumps(numpy.array([0.5, -1.25, 3], dtype), protocol) of numpy 2.4
PICKLES = {
    "float32, 2": (
        "8002636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e6461727261790a71014b00857102"
        "635f636f646563730a656e636f64650a7103580100000062710458060000006c6174696e317105867106527107877108527109284b014b0385710a636e756d"
        "70790a64747970650a710b58020000006634710c898887710d52710e284b0358010000003c710f4e4e4e4affffffff4affffffff4b0074711062896803580e"
        "0000000000003f0000c2a0c2bf0000404071116805867112527113747114622e"
    ),
    "float64, 2": (
        "8002636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e6461727261790a71014b00857102"
        "635f636f646563730a656e636f64650a7103580100000062710458060000006c6174696e317105867106527107877108527109284b014b0385710a636e756d"
        "70790a64747970650a710b58020000006638710c898887710d52710e284b0358010000003c710f4e4e4e4affffffff4affffffff4b0074711062896803581b"
        "000000000000000000c3a03f000000000000c3b4c2bf000000000000084071116805867112527113747114622e"
    ),
    "float32, 3": (
        "8003636e756d70792e5f636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e6461727261790a71014b00857102"
        "4301627103877104527105284b014b03857106636e756d70790a64747970650a7107580200000066347108898887710952710a284b0358010000003c710b4e"
        "4e4e4affffffff4affffffff4b0074710c6289430c0000003f0000a0bf00004040710d74710e622e"
    ),
    "float32, 4": (
        "80049595000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563749493948c056e756d7079948c07"
        "6e6461727261799493944b0085944301629487945294284b014b03859468038c0564747970659493948c02663494898887945294284b038c013c944e4e4e4a"
        "ffffffff4affffffff4b0074946289430c0000003f0000a0bf00004040947494622e"
    ),
    "float32, 5": (
        "80059580000000000000008c136e756d70792e5f636f72652e6e756d65726963948c0b5f66726f6d62756666657294939428960c000000000000000000003f"
        "0000a0bf00004040948c056e756d7079948c0564747970659493948c02663494898887945294284b038c013c944e4e4e4affffffff4affffffff4b00749462"
        "4b0385948c014394749452942e"
    ),
}  # fmt: skip


def npy(kind: str, shape: str, data: bytes, version: int = 1) -> bytes:
    """Return a .npy file."""
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return arrays.NPY + bytes([version, 0]) + length + header + data


class Runs:
    """Something whose pickle runs a command when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(name: str) -> None:
    data = bytes.fromhex(PICKLES[name])
    assert list(arrays.pickled(data)) == NUMBERS
    assert list(arrays.floats(data, 3)) == NUMBERS
    older = data.replace(b"numpy._core", b"numpy.core")
    if name.endswith(("2", "3")):  # names there have no length before them
        assert list(arrays.pickled(older)) == NUMBERS


@pytest.mark.parametrize("name", PICKLES)
def test_damaged_pickles(name: str) -> None:
    data = bytes.fromhex(PICKLES[name])
    for place in range(len(data)):
        for damaged in (data[:place], data[:place] + b"\xff" + data[place + 1 :], data[:place] + data[place + 1 :]):
            try:
                arrays.pickled(damaged)
            except ArrayError:
                continue
            # What is left is a flat array all the same: a number of it is another one, or a memo is never asked for.


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickles_never_run(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps(Runs(tmp_path / "touched"), protocol)
    with pytest.raises(ArrayError, match="names"):
        arrays.pickled(data)
    assert not (tmp_path / "touched").exists()
    pickle.loads(data)  # noqa: S301 - it would have
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pickle.dumps([0.5, 1.0], 4), "instruction EMPTY_LIST"),
        (pickle.dumps((0.5, 1.0), 4), "something else than a numpy array"),
        (pickle.dumps({"a": 1}, 2), "instruction EMPTY_DICT"),
        (pickle.dumps(print, 4), "names builtins.print"),
        (bytes.fromhex(PICKLES["float32, 4"]).replace(b"f4", b"i4"), "calls something"),
        (bytes.fromhex(PICKLES["float32, 4"]).replace(b"f4", b"f8"), "another length"),
        (b"\x80\x04.", "damaged"),
        (b"\x80\x04garbage", "has 9 bytes"),
        (b"", "has 0 bytes"),
        (npy("<i4", "(3,)", bytes(12)), "and not of floats"),
        (npy("|O", "(3,)", bytes(12)), "and not of floats"),
        (npy("<f4", "(2, 2)", bytes(16)), "not a flat one"),
        (npy("<f4", "()", bytes(4)), "not a flat one"),
        (npy("<f4", "(3,)", bytes(11)), "another length"),
        (npy("<f4", "__import__('os').getcwd()", bytes(12)), "damaged .npy"),
        (arrays.NPY, "damaged .npy"),
        (npy("<f4", "(2,)", bytes(8)), "has 2 dimensions, and the column 3"),
    ],
)
def test_refused(value: bytes, words: str) -> None:
    with pytest.raises(ArrayError) as caught:
        arrays.floats(value, 3)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        struct.pack("<3f", *NUMBERS),
        struct.pack("<3d", *NUMBERS),
        npy("<f4", "(3,)", struct.pack("<3f", *NUMBERS)),
        npy(">f8", "(3,)", struct.pack(">3d", *NUMBERS)),
        npy("<f4", "(1, 3)", struct.pack("<3f", *NUMBERS)),
        npy("<f4", "(3,)", struct.pack("<3f", *NUMBERS), version=2),
        "[0.5, -1.25, 3]",
    ],
)
def test_read(value: bytes | str) -> None:
    assert list(arrays.floats(value, 3)) == NUMBERS


def test_a_pickle_is_no_bomb() -> None:
    with pytest.raises(ArrayError, match="64 MiB"):
        arrays.pickled(b"\x80\x04" + bytes(64 * 1024 * 1024) + b".")
    with pytest.raises(ArrayError):
        arrays.pickled(b"\x80\x02" + b"(" * 1_000_000 + b".")
