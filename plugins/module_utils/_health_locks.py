# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who blocks whom, as a tree, from what the server says of its sessions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PREPARED = 0  # the process that pg_blocking_pids() names for a prepared transaction


def tree(sessions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the sessions that hold others up and wait for nobody, each with those that wait for it below `blocks`, the longest wait first.

    sessions: each with its `pid`, and `blocked_by`, the processes that it waits for. One that waits for several stands below the first of
    them that is not below itself. Of a ring of sessions, which the server is about to break as a deadlock, the lowest process is the root.
    """
    known = {int(one["pid"]): one for one in sessions}
    waits = {pid: [int(other) for other in one.get("blocked_by") or ()] for pid, one in known.items()}
    for pid in sorted({other for listed in waits.values() for other in listed} - known.keys()):
        known[pid], waits[pid] = {"pid": pid}, []
    parents = {pid: _parent(pid, waits) for pid in sorted(known)}
    below: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        if parent is not None:
            below.setdefault(parent, []).append(pid)
    roots = [pid for pid, parent in parents.items() if parent is None and pid in below]
    grown = [_grown(pid, known, below) for pid in roots]
    return sorted(grown, key=lambda one: -one["longest_wait"])


def _parent(pid: int, waits: Mapping[int, Sequence[int]]) -> int | None:
    """Return the first session that one waits for and that does not itself wait for it by way of lower processes."""
    for other in waits[pid]:
        if other != pid and not (pid < other and _leads(other, pid, waits)):
            return other
    return None


def _leads(start: int, end: int, waits: Mapping[int, Sequence[int]]) -> bool:
    """Tell whether waiting leads from one session to another, and back: whether both are in a ring whose lowest process is `end`."""
    seen, ahead = {start}, [start]
    while ahead:
        for other in waits[ahead.pop()]:
            if other == end:
                return True
            if other > end and other not in seen:
                seen.add(other)
                ahead.append(other)
    return False


def _grown(pid: int, known: Mapping[int, Mapping[str, Any]], below: Mapping[int, Sequence[int]]) -> dict[str, Any]:
    blocks = [_grown(other, known, below) for other in below.get(pid, ())]
    own = float(known[pid].get("waiting") or 0.0)
    return {
        **{key: value for key, value in known[pid].items() if key != "blocked_by"},
        "blocked_by": list(known[pid].get("blocked_by") or ()),
        "blocks": sorted(blocks, key=lambda one: -one["longest_wait"]),
        "blocked": len(blocks) + sum(one["blocked"] for one in blocks),
        "longest_wait": max([own, *(one["longest_wait"] for one in blocks)]),
    }


def lines(roots: Sequence[Mapping[str, Any]], depth: int = 0) -> Iterator[str]:
    """Yield the tree as text, a session a line, indented by how far it is from who began it."""
    for one in roots:
        waiting = one.get("waiting")
        said = f"waits {waiting:.0f} s, " if waiting is not None and one.get("blocked_by") else ""
        yield f"{'  ' * depth}{who(one)}: {said}{one.get('state') or 'state unknown'}" + (
            f": {one['query']}" if one.get("query") else ""
        )
        yield from lines(one["blocks"], depth + 1)


def who(session: Mapping[str, Any]) -> str:
    """Return a session as the subject of a sentence."""
    if session["pid"] == PREPARED:
        return "a prepared transaction"
    parts = [f"pid {session['pid']}"]
    if session.get("user"):
        parts.append(f"of {session['user']}")
    if session.get("database"):
        parts.append(f"in {session['database']}")
    if session.get("application"):
        parts.append(f"({session['application']})")
    return " ".join(parts)
