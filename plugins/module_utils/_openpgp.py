"""Fingerprints of OpenPGP public keys, without an OpenPGP program. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

_ARMOR = re.compile(r"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
_PUBLIC_KEY = 6


def fingerprints(text: str) -> list[str]:
    """Return the fingerprints (40 hexadecimal digits, upper case) of the primary keys in an armored text.

    RFC 4880, 12.2: SHA-1 over 0x99, the length of the key's packet in two bytes, and the packet. Raises StewardError when text holds no
    armored key, or a key of another version than 4.
    """
    blocks = _ARMOR.findall(text)
    if not blocks:
        raise StewardError("no armored OpenPGP public key")
    found = []
    for block in blocks:
        body = re.split(r"\r?\n[ \t]*\r?\n", block, maxsplit=1)[-1]  # after the headers' empty line
        lines = [line.strip() for line in body.splitlines() if line.strip() and not line.strip().startswith("=")]
        try:
            data = base64.b64decode("".join(lines), validate=True)
            packets = list(_packets(data))
        except (binascii.Error, IndexError) as error:
            raise StewardError(f"the armored OpenPGP key is damaged: {error}") from None
        for tag, packet in packets:
            if tag != _PUBLIC_KEY:
                continue
            if packet[:1] != b"\x04":
                raise StewardError("the OpenPGP key is not of version 4")
            digest = hashlib.sha1(b"\x99" + len(packet).to_bytes(2, "big") + packet, usedforsecurity=False)
            found.append(digest.hexdigest().upper())
    return found


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each packet (RFC 4880, 4.2)."""
    position = 0
    while position < len(data):
        head = data[position]
        position += 1
        if head & 0x40:
            tag, first = head & 0x3F, data[position]
            if first < 192:
                length, size = first, 1
            elif first < 224:
                length, size = ((first - 192) << 8) + data[position + 1] + 192, 2
            else:
                length, size = int.from_bytes(data[position + 1 : position + 5], "big"), 5
        else:
            tag, size = (head >> 2) & 0x0F, 1 << (head & 3)
            length = int.from_bytes(data[position : position + size], "big")
        position += size
        if position + length > len(data):
            raise IndexError("it ends in the middle of a packet")
        yield tag, data[position : position + length]
        position += length
