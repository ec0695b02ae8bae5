# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which state of a history a database is in: the distance to each, the nearest, and what stands in the way of its stamp. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import ABSENT, EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._history import Step, changes
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import KEYS, locate
from ansible_collections.pgsteward.postgres.plugins.module_utils._severity import severity
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import PARTS, Objects, are_parts

COSMETIC = "cosmetic"
KINDS = ("missing", "extra", "changed")
SHOWN = 3  # differences and revisions named in the one line of an error
# An index or a view that the history does not know stands in nobody's way.
_TOLERATED_PARTS = ("index",)


@dataclass(frozen=True)
class Difference:
    """A drift against a state of the history. weight: how many objects and parts it is about; 0 for what is cosmetic.

    blocks: a database with it is not in that state.
    """

    drift: Drift
    severity: str
    weight: int
    blocks: bool

    @property
    def kind(self) -> str:
        """Return missing, extra or changed."""
        if self.drift.attribute != EXISTENCE:
            return "changed"
        return "missing" if self.drift.found == ABSENT else "extra"


@dataclass(frozen=True)
class Candidate:
    """A state of the history, and how the database, with the objects found, differs from it."""

    step: Step
    found: Objects
    differences: tuple[Difference, ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        """The revisions that a database in this state is at."""
        return self.step.heads

    @property
    def distance(self) -> int:
        """How many objects and parts differ."""
        return sum(item.weight for item in self.differences)

    @property
    def nearness(self) -> tuple[int, int]:
        """What the candidates are ordered by: the distance, then how much else differs."""
        return self.distance, len(self.differences)

    @property
    def blocking(self) -> tuple[Difference, ...]:
        """The differences that keep the database from being in this state."""
        return tuple(item for item in self.differences if item.blocks)

    def named(self) -> str:
        """The state in words."""
        return ", ".join(self.heads) or "the baseline"

    def as_return(self) -> dict[str, Any]:
        """Return what a module returns of a candidate that is not the best: how far away it is."""
        counts = Counter(item.kind for item in self.differences)
        return {"revision": list(self.heads), "distance": self.distance, **{kind: counts[kind] for kind in KINDS}}


def candidates(steps: Sequence[Step], live: Objects, hidden: Sequence[tuple[str, str]] = ()) -> list[Candidate]:
    """Return each state of the history with its differences from the live catalog, in the order of the history.

    hidden: what the account could not read, as Snapshot.unseen. Each version of an object is compared once, however many
    states have it.
    """
    known = _known(steps)
    standing = {
        (kind, name): _judged(_one(kind, name, None, held), {}, {kind: {name: held}}, known, hidden)
        for kind, named in live.items()
        for name, held in named.items()
    }
    found, earlier = [], Objects()
    for step in steps:
        for kind, name, held in changes(earlier, step.objects):
            there = live.get(kind, {}).get(name)
            expected = {kind: {name: held}} if held is not None else {}
            actual = {kind: {name: there}} if there is not None else {}
            standing[kind, name] = _judged(_one(kind, name, held, there), expected, actual, known, hidden)
        found.append(Candidate(step, live, tuple(item for key in sorted(standing) for item in standing[key])))
        earlier = step.objects
    return found


def _one(kind: str, name: str, expected: dict[str, Any] | None, found: dict[str, Any] | None) -> list[Drift]:
    return _drift.compare(
        {kind: {name: expected}} if expected is not None else {}, {kind: {name: found}} if found is not None else {}
    )


@dataclass(frozen=True)
class _Known:
    """What any state of the history has: objects as (kind, name), and their parts as a drift calls them."""

    objects: frozenset[tuple[str, str]]
    parts: frozenset[str] = field(default_factory=frozenset)


def _known(steps: Sequence[Step]) -> _Known:
    objects: set[tuple[str, str]] = set()
    parts: set[str] = set()
    earlier = Objects()
    for step in steps:
        for kind, name, held in changes(earlier, step.objects):
            objects.add((kind, name))
            if held is not None:
                parts |= {drift.object for drift in _drift.compare({kind: {name: held}}, {kind: {name: _bare(held)}})}
        earlier = step.objects
    return _Known(frozenset(objects), frozenset(parts))


def _bare(held: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without its parts, so that a comparison names them all."""
    return {key: value for key, value in held.items() if not are_parts(key, value)}


def _judged(
    drifts: Iterable[Drift], expected: Objects, found: Objects, known: _Known, hidden: Sequence[tuple[str, str]]
) -> list[Difference]:
    return [_difference(drift, expected, found, known) for drift in _drift.seen(drifts, hidden)]


def _difference(drift: Drift, expected: Objects, found: Objects, known: _Known) -> Difference:
    if drift.attribute != EXISTENCE:
        grave = severity(drift, expected, found)
        return Difference(drift, grave, int(grave != COSMETIC), grave != COSMETIC)
    grave = severity(drift, expected, found)
    if drift.found == PRESENT and not _of_the_history(drift, found, known):
        return Difference(drift, grave, 0, False)
    return Difference(drift, grave, _weight(drift, expected if drift.expected == PRESENT else found), True)


def _of_the_history(drift: Drift, found: Objects, known: _Known) -> bool:
    """Say whether something superfluous has to do with the history: it is made somewhere in it, or sits on a table of it."""
    there = locate(drift.object, found)
    if there.kind not in KEYS:
        return (there.kind, there.name) in known.objects
    return drift.object in known.parts or (
        there.kind not in _TOLERATED_PARTS and (there.owner_kind, there.owner) in known.objects
    )


def _weight(drift: Drift, objects: Objects) -> int:
    held = locate(drift.object, objects)
    attributes = held.attributes or {}
    return 1 + sum(len(attributes[key]) for key in PARTS if are_parts(key, attributes.get(key)))


# The choice


@dataclass(frozen=True)
class Choice:
    """The nearest candidates; several are a tie."""

    nearest: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate | None:
        """The one that is nearer than all others."""
        return self.nearest[0] if len(self.nearest) == 1 else None


def choose(found: Sequence[Candidate], named: Collection[str] = (), *, baseline: bool = False) -> Choice:
    """Return the nearest of the candidates; named: only the state with these heads is looked at.

    The state before the first revision is a candidate only when it is a baseline. The empty database is none: what has no
    table of the history was not made by it.
    """
    wanted = tuple(sorted(named))
    possible = [item for item in found if (item.heads or baseline) and (not wanted or item.heads == wanted)]
    least = min((item.nearness for item in possible), default=None)
    return Choice(tuple(item for item in possible if item.nearness == least))


# Words


def summary(name: str, choice: Choice, additive: bool) -> str:
    """Return why a database is not adopted, in one line, with the next step."""
    if not choice.nearest:
        return f"{name} cannot be adopted: the history has no revision"
    first = choice.nearest[0]
    if len(choice.nearest) > 1:
        tied = ", ".join(item.named() for item in choice.nearest[:SHOWN])
        more = f" and {len(choice.nearest) - SHOWN} more" if len(choice.nearest) > SHOWN else ""
        fits = "fits" if not first.blocking else f"is at distance {first.distance} of"
        return (
            f"{name} {fits} several revisions equally well ({tied}{more}), and a catalog cannot tell which:"
            " name the one that was applied last by revision"
        )
    counts = Counter(item.kind for item in first.blocking)
    listed = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    shown = ", ".join(f"{item.kind} {_named(item.drift)}" for item in first.blocking[:SHOWN])
    more = f" and {len(first.blocking) - SHOWN} more" if len(first.blocking) > SHOWN else ""
    remedy = "mend these by hand"
    if additive:
        remedy = "let repair: additive add what is missing"
    return (
        f"{name} is nearest to {'revision ' * bool(first.heads)}{first.named()}, and not at it ({listed}: {shown}{more}): {remedy}, or accept"
        " single differences with a reason"
    )


def _named(drift: Drift) -> str:
    return drift.object if drift.attribute == EXISTENCE else f"{drift.object} ({drift.attribute})"
