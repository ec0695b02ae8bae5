# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where things of the report's drawings are. Pure: figures in, coordinates out; what they look like is the page's affair."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._topology import PRIMARY, STANDBY

UTC = timezone.utc  # noqa: UP017 - as in the rest of what runs on hosts too
BOX_WIDTH, BOX_HEIGHT, GAP, LAYER_GAP = 240, 104, 24, 56
RAIL = 18  # room at the left of a single column for its lines
EDGE = 1.5  # percent at both ends of a timeline, so that no mark is cut off
TICKS = 4

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Box:
    """A node in its place; index: of the node in the document."""

    index: int
    x: float
    y: float
    width: float
    height: float = BOX_HEIGHT

    @property
    def middle(self) -> float:
        """Return where its lines begin and end."""
        return self.x + self.width / 2


@dataclass(frozen=True)
class Line:
    """The way from one node to another; kind: `pool`, or how far a standby is waited for: `sync` or `async`."""

    path: str
    kind: str


@dataclass(frozen=True)
class Drawing:
    """A drawing of servers and poolers."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def topology(nodes: Sequence[Node], room: float) -> Drawing:
    """Return poolers above the primary, standbys below whom they follow, and what stands alone beside the last of these; one column where
    there is little room.
    """
    columns = max(1, int((room + GAP) // (BOX_WIDTH + GAP)))
    rows = [
        (layer[start : start + columns], start + columns >= len(layer))
        for layer in layers(nodes)
        for start in range(0, len(layer), columns)
    ]
    width = room if columns == 1 else max((_taken(len(row)) for row, _last in rows), default=0.0)
    boxes: dict[int, Box] = {}
    top = below = 0.0
    for row, last in rows:
        left = (width - _taken(len(row))) / 2
        for place, index in enumerate(row):
            x = left + place * (BOX_WIDTH + GAP)
            boxes[index] = Box(index, RAIL, top, width - RAIL) if columns == 1 else Box(index, x, top, BOX_WIDTH)
        below = top + BOX_HEIGHT
        top = below + (LAYER_GAP if last and columns > 1 else GAP)
    lines = tuple(_line(boxes[above], boxes[under], node, columns) for above, under, node in links(nodes))
    return Drawing(width, below, tuple(boxes.values()), lines)


def _taken(count: int) -> float:
    return count * (BOX_WIDTH + GAP) - GAP


def layers(nodes: Sequence[Node]) -> list[list[int]]:
    """Return indexes of nodes from top to bottom: poolers, the primary, who follows it, who follows those with the rest."""
    poolers = [index for index, one in enumerate(nodes) if one["kind"] == "pooler"]
    found = [poolers, [index for index, one in enumerate(nodes) if one["role"] == PRIMARY]]
    placed = set(poolers) | set(found[1])
    while found[-1]:
        above = {nodes[index]["host"] for index in found[-1]}
        below = [
            index
            for index, one in enumerate(nodes)
            if index not in placed and one["parent"] in above and one["kind"] == "server"
        ]
        placed |= set(below)
        found.append(below)
    rest = [index for index in range(len(nodes)) if index not in placed]
    found = [layer for layer in found if layer]
    if len(found) > 1 and nodes[found[-1][0]]["role"] == STANDBY:
        return [*found[:-1], found[-1] + rest]
    return [*found, rest] if rest else found


def links(nodes: Sequence[Node]) -> Iterator[tuple[int, int, Node]]:
    """Yield each node that leads to another or follows it, with the indexes of the two, that which stands above first."""
    servers = {one["host"]: index for index, one in enumerate(nodes) if one["kind"] == "server"}
    for index, one in enumerate(nodes):
        parent = servers.get(one["parent"], index)
        if parent != index:
            yield (*((index, parent) if one["kind"] == "pooler" else (parent, index)), one)


def _line(above: Box, below: Box, node: Node, columns: int) -> Line:
    kind = "pool" if node["kind"] == "pooler" else "sync" if node["synchronous"] in ("sync", "quorum") else "async"
    if columns == 1:
        start, end = above.y + above.height / 2, below.y + below.height / 2
        return Line(f"M{above.x:g} {start:g} H{RAIL / 2:g} V{end:g} H{below.x:g}", kind)
    start, end = above.y + above.height, below.y
    half = (start + end) / 2
    return Line(
        f"M{above.middle:g} {start:g} C{above.middle:g} {half:g} {below.middle:g} {half:g} {below.middle:g} {end:g}",
        kind,
    )


def share(moment: float, span: Mapping[str, float]) -> float:
    """Return where a moment is between two others, in percent of the drawing's width; what is outside is at the nearer end."""
    length = span["until"] - span["from"]
    part = (moment - span["from"]) / length if length > 0 else 1.0
    return round(EDGE + (100 - 2 * EDGE) * min(1.0, max(0.0, part)), 3)


def ticks(span: Mapping[str, float]) -> list[tuple[float, str]]:
    """Return marks of a timeline: where they are, and what stands there, as exact as the length of the span wants it."""
    length = span["until"] - span["from"]
    form = "%d %b" if length > 3 * 86400 else "%d %b %H:%M"
    moments = [span["from"] + length * part / TICKS for part in range(TICKS + 1)]
    return [(share(one, span), f"{datetime.fromtimestamp(one, UTC):{form}}") for one in moments]


def parts(values: Sequence[float | None], whole: float | None) -> list[tuple[float, float]]:
    """Return where each part of a bar begins and how wide it is, in percent of what the longest bar of a chart stands for."""
    known = [value or 0.0 for value in values]
    widths = [100 * value / whole if whole else 0.0 for value in known]
    begins = itertools.accumulate(widths, initial=0.0)
    return [(round(begin, 3), round(width, 3)) for begin, width in zip(begins, widths, strict=False)]
