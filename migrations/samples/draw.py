"""Where the values of the sample rows come from: a hash.

Every value depends only on the seed and on what it is for, never on what was drawn before. So row 17 is the same
whether ten rows are loaded or ten million, and can be made again without making the others.
"""

from __future__ import annotations

import hashlib
import math
import random
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import NormalDist

SEED = 1
# The day the samples are about; a fixed one, or the rows would differ from one day to the next.
AS_OF = datetime(2025, 11, 1, 12, 0, tzinfo=UTC)

DIMENSIONS = 512
# Sixteen vectors after another look alike, sharing this many components: a cosine distance of about 0.6 between them,
# of about 1 to all others. Faces come in such groups too, and an approximate index finds its way among them.
_ALIKE = 16
_SHARED = 205
# How much another picture of the same face differs: a cosine distance of about 0.1.
_NOISE = 0.5


def _steps() -> list[float]:
    """Return components of a normal distribution that make a vector of length 1, to the five digits that are stored."""
    normal = [NormalDist().inv_cdf((step + 0.5) / DIMENSIONS) for step in range(DIMENSIONS)]
    length = math.hypot(*normal)
    return [round(part / length, 5) for part in normal]


# Every vector is an order of these same components. That makes all of the same length, as the embeddings of the usual
# face models are, and an order is cheap to draw.
_STEPS = _steps()
_STEPS_AS_TEXT = [f"{step:.5f}" for step in _STEPS]


@dataclass(frozen=True)
class Draw:
    """Draws values; the key of a value is what it is for, such as ("client", 17)."""

    seed: int = SEED

    def digest(self, length: int, *key: object) -> bytes:
        """Return bytes that look random."""
        return hashlib.shake_128("/".join(map(str, (self.seed, *key))).encode()).digest(length)

    def random(self, *key: object) -> random.Random:
        """Return a generator of its own for the values of one row."""
        return random.Random(self.digest(16, *key))  # noqa: S311

    def uuid(self, *key: object) -> uuid.UUID:
        """Return a version 4 UUID."""
        return uuid.UUID(bytes=self.digest(16, *key), version=4)

    def vector(self, kind: str, n: int) -> str:
        """Return the nth vector of a kind in pgvector's text form."""
        return "[" + ",".join(map(_STEPS_AS_TEXT.__getitem__, self._components(kind, n))) + "]"

    def packed_vector(self, kind: str, n: int) -> bytes:
        """Return the same vector as little-endian single precision floats, as numpy's tobytes() stores it."""
        return struct.pack(f"<{DIMENSIONS}f", *map(_STEPS.__getitem__, self._components(kind, n)))

    def vector_near(self, kind: str, n: int) -> str:
        """Return a vector at a cosine distance of about 0.1 from the nth, in text form."""
        scale = 1 / math.sqrt(1 + _NOISE**2)
        noise = self._order(DIMENSIONS, kind, "noise", n)
        pairs = zip(self._components(kind, n), noise, strict=True)
        return "[" + ",".join(f"{(_STEPS[here] + _NOISE * _STEPS[there]) * scale:.5f}" for here, there in pairs) + "]"

    def _components(self, kind: str, n: int) -> list[int]:
        """Return which step stands where: the group's order, with the part that is not shared put into one's own."""
        group = self._order(DIMENSIONS, kind, "alike", n // _ALIKE)
        own = self._order(DIMENSIONS - _SHARED, kind, n)
        return [group[place] for place in own] + group[-_SHARED:]

    def _order(self, count: int, *key: object) -> list[int]:
        """Return the numbers from 0 to count in an order that looks random."""
        words = struct.unpack(f"<{count}H", self.digest(2 * count, *key))
        return sorted(range(count), key=words.__getitem__)
