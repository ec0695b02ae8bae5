# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of dumps, encrypted before they leave the host: AES-256-GCM in frames, so that files of any size go through little memory.

A file is a header (magic, id of the key, salt, size of the frames) and frames: each is the ciphertext of at most that many bytes with its tag.
The key of the file is derived from the key and the salt by HKDF-SHA256, so nonces can count: the number of the frame in 11 bytes, and a byte
that is 1 in the last frame only. With the header authenticated in every frame, nothing can be changed, cut off, repeated or moved unseen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"PGSDUMP1"
FRAME = 1 << 20  # bytes of plain text
TAG = 16
KEY_BYTES = 32
_ID_BYTES, _SALT_BYTES = 8, 16
_HEADER = struct.Struct(f">{len(MAGIC)}s{_ID_BYTES}s{_SALT_BYTES}sI")
_MOST_FRAME = 1 << 26
_INFO = b"pgsteward dump file"
MAKE_ONE = "make one with: openssl rand -hex 32"


@dataclass(frozen=True)
class Key:
    """A key of 256 bits. Its id tells which one it is, and nothing about it."""

    value: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """The first bytes of a digest of it, in hex."""
        return hashlib.sha256(b"id of " + self.value).digest()[:_ID_BYTES].hex()


def parse_key(text: str, name: str) -> Key:
    """Return the key that a text holds, 32 bytes in hex or base64; name is where it comes from, for errors."""
    text = text.strip()
    try:
        value = bytes.fromhex(text) if re.fullmatch(r"[0-9A-Fa-f]{64}", text) else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != KEY_BYTES:
        raise StewardError(f"{name} holds no key of {KEY_BYTES} bytes in hex or base64; {MAKE_ONE}")
    return Key(value)


def read_keys(path: Path) -> tuple[Key, ...]:
    """Return the keys of a file, one on each line. The first encrypts; all decrypt, so that old dumps outlive a change of keys."""
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        raise StewardError(f"the key file {path} is not there; {MAKE_ONE}") from None
    except UnicodeDecodeError:
        raise StewardError(f"{path} holds no key of {KEY_BYTES} bytes in hex or base64; {MAKE_ONE}") from None
    except OSError as error:
        raise StewardError(f"cannot read the key file {path}: {error.strerror}") from None
    if mode & stat.S_IRWXO:
        raise StewardError(f"the key file {path} is open to everybody: chmod 0640 {path}")
    if not lines:
        raise StewardError(f"the key file {path} is empty; {MAKE_ONE}")
    return tuple(parse_key(line, str(path)) for line in lines)


def _cipher(key: Key, salt: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        raise StewardError(
            f"the Python library cryptography cannot be imported by this host's interpreter: install python3-cryptography ({error})"
        ) from None
    return AESGCM(HKDF(hashes.SHA256(), KEY_BYTES, salt, _INFO).derive(key.value))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class Encryptor:
    """Turns plain bytes into those of the encrypted file: update() as often as wanted, finish() once."""

    def __init__(self, key: Key, frame: int = FRAME, random: Callable[[int], bytes] = os.urandom) -> None:
        salt = random(_SALT_BYTES)
        self._header = _HEADER.pack(MAGIC, bytes.fromhex(key.id), salt, frame)
        self._cipher, self._frame, self._number = _cipher(key, salt), frame, 0
        self._held = bytearray()
        self._begun = False

    def update(self, data: bytes | memoryview) -> bytes:
        """Return what can be written by now."""
        self._held += data
        out = [self._start()]
        # The last frame is known by being the last: one is held back until there is more, or the end.
        while len(self._held) > self._frame:
            out.append(self._seal(bytes(self._held[: self._frame]), last=False))
            del self._held[: self._frame]
        return b"".join(out)

    def finish(self) -> bytes:
        """Return the rest."""
        return self._start() + self._seal(bytes(self._held), last=True)

    def _start(self) -> bytes:
        first, self._begun = not self._begun, True
        return self._header if first else b""

    def _seal(self, data: bytes, last: bool) -> bytes:
        sealed: bytes = self._cipher.encrypt(_nonce(self._number, last), data, self._header)
        self._number += 1
        return sealed


def size_of(plain: int, frame: int = FRAME) -> int:
    """Return how many bytes the encrypted file of that many has."""
    return _HEADER.size + plain + TAG * max(1, -(-plain // frame))


def decrypted(chunks: Iterable[bytes], keys: Iterable[Key], name: str) -> Iterator[bytes]:
    """Yield the plain bytes of an encrypted file, each authentic. Only its end says that none is missing: use nothing before.

    Raises StewardError for another key, and for a file that was changed or cut short.
    """
    held, stream = bytearray(), iter(chunks)
    while len(held) < _HEADER.size:
        more = next(stream, None)
        if more is None:
            raise StewardError(f"{name} is no encrypted dump of ours, or was cut short: it has {len(held)} bytes")
        held += more
    header = bytes(held[: _HEADER.size])
    del held[: _HEADER.size]
    cipher, frame = _open(header, keys, name)
    number = 0
    for more in stream:
        held += more
        while len(held) > frame + TAG:
            yield _unsealed(cipher, bytes(held[: frame + TAG]), number, False, header, name)
            del held[: frame + TAG]
            number += 1
    while len(held) > frame + TAG:  # what came with the header
        yield _unsealed(cipher, bytes(held[: frame + TAG]), number, False, header, name)
        del held[: frame + TAG]
        number += 1
    yield _unsealed(cipher, bytes(held), number, True, header, name)


def _open(header: bytes, keys: Iterable[Key], name: str) -> tuple[AESGCM, int]:
    magic, identity, salt, frame = _HEADER.unpack(header)
    if magic != MAGIC or not 0 < frame <= _MOST_FRAME:
        raise StewardError(f"{name} is no encrypted dump of ours")
    known = {key.id: key for key in keys}
    if identity.hex() not in known:
        ours = f"the key file has {', '.join(known)}" if known else "there is no key file"
        raise StewardError(f"{name} is encrypted with the key {identity.hex()}, and {ours}: give that key")
    return _cipher(known[identity.hex()], salt), frame


def _unsealed(cipher: AESGCM, data: bytes, number: int, last: bool, header: bytes, name: str) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        plain: Any = cipher.decrypt(_nonce(number, last), data, header)
    except (InvalidTag, ValueError):
        raise StewardError(
            f"{name} was changed or cut short since it was written: frame {number} is not authentic"
        ) from None
    return bytes(plain)
