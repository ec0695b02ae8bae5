"""Encrypted files: there and back at every size, and every kind of damage found."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_crypt as crypt
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

KEY = crypt.Key(bytes(range(32)))
OTHER = crypt.Key(bytes(32))
FRAME = 64
HEADER = 36


def sealed(plain: bytes, step: int = 10, key: crypt.Key = KEY) -> bytes:
    encryptor = crypt.Encryptor(key, FRAME)
    parts = [encryptor.update(plain[place : place + step]) for place in range(0, len(plain), step)]
    return b"".join([*parts, encryptor.finish()])


def pieces(data: bytes, step: int) -> Iterator[bytes]:
    return (data[place : place + step] for place in range(0, len(data), step))


def opened(data: bytes, *keys: crypt.Key, step: int = 7) -> bytes:
    return b"".join(crypt.decrypted(pieces(data, step), keys or (KEY,), "x.enc"))


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 5 * FRAME + 3])
@pytest.mark.parametrize("step", [1, 33, 1000])
def test_there_and_back(size: int, step: int) -> None:
    plain = bytes(number % 251 for number in range(size))
    data = sealed(plain, step)
    assert len(data) == crypt.size_of(size, FRAME)
    assert opened(data, step=step) == plain
    assert plain not in data or size < 2


def test_the_key_and_the_plain_text_are_not_in_the_file() -> None:
    data = sealed(b"select secret from everywhere")
    assert b"secret" not in data
    assert KEY.value not in data
    assert "bytes" not in repr(KEY)
    assert KEY.value.hex() not in repr(KEY)


def test_two_files_of_one_text_differ() -> None:
    assert sealed(b"x" * 100)[HEADER:] != sealed(b"x" * 100)[HEADER:]


def damages(data: bytes) -> dict[str, bytes]:
    """Return the file with each kind of damage."""
    frame = FRAME + crypt.TAG
    first, second = slice(HEADER, HEADER + frame), slice(HEADER + frame, HEADER + 2 * frame)
    return {
        "a byte of the salt": data[:20] + bytes([data[20] ^ 1]) + data[21:],
        "a byte of a frame": data[:90] + bytes([data[90] ^ 1]) + data[91:],
        "the last byte": data[:-1] + bytes([data[-1] ^ 1]),
        "the last byte gone": data[:-1],
        "the last frame gone": data[: HEADER + 2 * frame],
        "all frames gone": data[:HEADER],
        "a frame gone": data[: first.start] + data[second.start :],
        "a frame twice": data[: second.start] + data[first] + data[second.start :],
        "frames swapped": data[:HEADER] + data[second] + data[first] + data[second.stop :],
        "something after the end": data + b"x",
    }


@pytest.mark.parametrize("damage", sorted(damages(sealed(b"y" * 200))))
def test_damage_is_found(damage: str) -> None:
    with pytest.raises(
        StewardError, match=r"^x\.enc was changed or cut short since it was written: frame [0-9] is not"
    ):
        opened(damages(sealed(b"y" * 200))[damage])


@pytest.mark.parametrize(
    ("data", "keys", "words"),
    [
        (sealed(b"z"), (OTHER,), f"x.enc is encrypted with the key {KEY.id}, and the key file has {OTHER.id}"),
        (b"", (KEY,), "x.enc is no encrypted dump of ours, or was cut short: it has 0 bytes"),
        (b"-- PostgreSQL database dump, and a lot more of it", (KEY,), "x.enc is no encrypted dump of ours"),
    ],
    ids=["another key", "empty", "plain"],
)
def test_what_cannot_be_opened(data: bytes, keys: tuple[crypt.Key, ...], words: str) -> None:
    with pytest.raises(StewardError) as caught:
        opened(data, *keys)
    assert words in str(caught.value)


def test_without_a_key() -> None:
    with pytest.raises(StewardError, match="there is no key file: give that key"):
        list(crypt.decrypted([sealed(b"z")], (), "x.enc"))


def test_old_keys_go_on_opening() -> None:
    assert opened(sealed(b"old", key=OTHER), KEY, OTHER) == b"old"


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY.value.hex()}\n{base64.b64encode(OTHER.value).decode()}\n")
    path.chmod(0o640)
    assert crypt.read_keys(path) == (KEY, OTHER)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (None, 0, "is not there; make one with: openssl rand -hex 32"),
        ("", 0o600, "is empty"),
        ("secret", 0o600, "holds no key of 32 bytes"),
        ("00" * 31, 0o600, "holds no key of 32 bytes"),
        ("é", 0o600, "holds no key of 32 bytes"),
        ("00" * 32, 0o644, "is open to everybody: chmod 0640"),
    ],
)
def test_bad_key_files(tmp_path: Path, text: str | None, mode: int, words: str) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(StewardError) as caught:
        crypt.read_keys(path)
    assert words in str(caught.value)
    assert not text or text not in str(caught.value).replace(str(path), "")
