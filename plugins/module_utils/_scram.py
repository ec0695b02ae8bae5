# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SCRAM-SHA-256 verifiers as PostgreSQL stores them: reading one, and telling whether a password belongs to it. Pure.

A verifier reads `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, the last three in base64 (RFC 5803).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import stringprep
import unicodedata
from base64 import b64decode
from dataclasses import dataclass, field

_VERIFIER = re.compile(r"SCRAM-SHA-256\$([1-9][0-9]{0,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
_KEY_BYTES = 32
_MAX_ITERATIONS = 2**31 - 1

# RFC 4013, section 2.3. C.1.1, the plain space, is allowed.
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


@dataclass(frozen=True)
class Verifier:
    """What the server keeps of a password. salt and keys are raw bytes and stay out of repr()."""

    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def parse(text: str | None) -> Verifier | None:
    """Return the verifier that text spells, or None when it is none: no password, an MD5 hash, a clear password."""
    match = _VERIFIER.fullmatch(text or "")
    if match is None:
        return None
    try:
        salt, stored_key, server_key = (b64decode(part, validate=True) for part in match.groups()[1:])
    except binascii.Error:
        return None
    iterations = int(match[1])
    if len(stored_key) != _KEY_BYTES or len(server_key) != _KEY_BYTES or iterations > _MAX_ITERATIONS:
        return None
    return Verifier(iterations, salt, stored_key, server_key)


def derive(password: str, salt: bytes, iterations: int) -> Verifier:
    """Return the verifier of a clear password for a given salt (RFC 5802, section 3)."""
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Verifier(iterations, salt, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


def matches(password: str, stored: str | None) -> bool:
    """Tell whether what the server stores belongs to password, which is clear or itself a verifier."""
    verifier = parse(stored)
    if verifier is None:
        return False
    wanted = parse(password) or derive(password, verifier.salt, verifier.iterations)
    same_terms = (wanted.iterations, wanted.salt) == (verifier.iterations, verifier.salt)
    # Both keys are compared whatever the first comparison says: neither may be forged alone.
    stored_key = hmac.compare_digest(wanted.stored_key, verifier.stored_key)
    server_key = hmac.compare_digest(wanted.server_key, verifier.server_key)
    return same_terms and stored_key and server_key


def prepared(password: str) -> str:
    """Return password as libpq hashes it: after SASLprep, or as it is where SASLprep forbids it.

    libpq leaves ASCII alone, control characters included, and falls back to the raw text instead of refusing
    (src/common/saslprep.c). Its tables are those of Unicode 3.2, its normalisation is current.
    """
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        # U+200B is in both tables; libpq looks at the spaces first.
        if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
    )
    if not mapped:
        return password
    normalised = unicodedata.normalize("NFKC", mapped)
    forbidden = any(test(character) for character in mapped for test in _PROHIBITED) or not _direction_is_sound(mapped)
    return password if forbidden else normalised


def _direction_is_sound(text: str) -> bool:
    """Tell whether right-to-left text holds no left-to-right letters and starts and ends right-to-left (RFC 3454, section 6)."""
    if not any(stringprep.in_table_d1(character) for character in text):
        return True
    if any(stringprep.in_table_d2(character) for character in text):
        return False
    return stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
