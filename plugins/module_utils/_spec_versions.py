# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions of extensions, and what a spec may require of them. Pure."""

from __future__ import annotations

import operator
import re
from itertools import zip_longest

_PIECES = re.compile(r"\d+|[a-z]+")
_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "<>": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


def satisfies(version: str, requirement: str) -> bool:
    """Say whether a version fulfils all of the comma-separated requirements, such as `>=0.8`; a bare version is that one."""
    for part in requirement.split(","):
        sign = next((sign for sign in _COMPARISONS if part.strip().startswith(sign)), "")
        if not _COMPARISONS[sign or "="](_order(version, part.strip()[len(sign) :]), 0):
            return False
    return True


def _order(one: str, other: str) -> int:
    """Return below, at or above 0 as one version is older, the same or newer; 0.8 is 0.8.0, and 2.0beta is before 2.0."""
    pieces = (
        [(1, int(piece), "") if piece.isdigit() else (0, 0, piece) for piece in _PIECES.findall(text.lower())]
        for text in (one, other)
    )
    for left, right in zip_longest(*pieces, fillvalue=(1, 0, "")):
        if left != right:
            return 1 if left > right else -1
    return 0
