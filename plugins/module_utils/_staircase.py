# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The staircase: on a scratch database each revision goes up, down and up again, and the catalog is read after each stair."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _drift, _revisions, _snapshot, _stage
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import ABSENT, EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._follower import Follower
from ansible_collections.pgsteward.postgres.plugins.module_utils._revision_files import ERROR, Finding, Revision
from ansible_collections.pgsteward.postgres.plugins.module_utils._run_staircase import AGAIN, DOWN, UP
from ansible_collections.pgsteward.postgres.plugins.module_utils._scratch import Live
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects, Scope

MOST_WALKS = 8  # a revision that cannot come back costs a scratch database of its own
SHOWN = 3  # differences named in the one line of a finding

# What a history decides. An extension may have been there before it, and others may use it, so none is dropped on the way down; a
# column that comes back comes last.
SCOPE = Scope.of(
    None,
    set(_snapshot.KINDS) - {"database", "extension", *_snapshot.PRIVILEGE_KINDS},
    ["owner", "privileges", "column_order"],
)


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was. after: the stair, down or again."""

    after: str
    drift: Drift

    def as_return(self) -> dict[str, Any]:
        """Return the difference as a module returns it."""
        return {"after": self.after, **self.drift.__dict__}

    @property
    def left_enum(self) -> str | None:
        """The enum type that was left behind, if that is what it is."""
        kind, _space, name = self.drift.object.partition(" ")
        left = (self.drift.attribute, self.drift.expected, self.drift.found) == (EXISTENCE, ABSENT, PRESENT)
        return name if left and kind == "enum" and self.after == DOWN else None


@dataclass(frozen=True)
class Failure:
    """A stair that could not be taken, and why."""

    stair: str
    text: str


@dataclass(frozen=True)
class Climb:
    """What one revision did. seconds: of each stair that it took, without looking at the catalog."""

    revision: str
    seconds: Mapping[str, float]
    differences: tuple[Difference, ...] = ()
    failure: Failure | None = None

    def as_return(self) -> dict[str, Any]:
        """Return the climb as a module returns it."""
        return {
            "revision": self.revision,
            **{stair: self.seconds.get(stair) for stair in (UP, DOWN, AGAIN)},
            "differences": [item.as_return() for item in self.differences],
        }


@dataclass(frozen=True)
class Walk:
    """One or more walks, taken together. unwalked: what lies behind a revision that could not be passed."""

    climbs: tuple[Climb, ...] = ()
    sql: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unwalked: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


# Walking


@dataclass(frozen=True)
class Course:
    """What to walk: the targets, what must not be walked down, and what is passed without a look."""

    targets: tuple[str, ...]
    one_way: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()


def walk(
    project: Project, live: Live, params: Mapping[str, Any], secrets: frozenset[str], temporary: str, course: Course
) -> Walk:
    """Walk a history on scratch; what cannot come back is passed on a new one, as long as that can be had.

    params: has the options of _stage.ARGUMENTS. Raises StewardError when there is no scratch, or env.py fails on it.
    """
    known: dict[str, Climb] = {}
    for number in range(MOST_WALKS):
        with _stage.stage(project, live, params, secrets, temporary) as stage:
            found, order = _walked(stage, course)
        known = {**{climb.revision: climb for climb in found.climbs}, **known}
        failed = next((climb for climb in found.climbs if climb.failure and known[climb.revision] is climb), None)
        stuck = failed is None or (failed.failure is not None and failed.failure.stair == UP)
        if failed is None or stuck or params.get("scratch") == "url" or number == MOST_WALKS - 1:
            break
        before = order[: order.index(failed.revision) + 1]
        course = Course(course.targets, course.one_way, frozenset(before))
    climbs = tuple(known[revision] for revision in order if revision in known)
    unwalked = tuple(revision for revision in order if revision not in known)
    return Walk(climbs, found.sql, unwalked, found.output, found.notes)


def replay(
    project: Project, live: Live, params: Mapping[str, Any], secrets: frozenset[str], temporary: str, course: Course
) -> Walk:
    """Run a history up without a look, for its statements; raises StewardError when that fails."""
    with _stage.stage(project, live, params, secrets, temporary) as stage:
        found, _order = _walked(stage, Course(course.targets, course.one_way, course.one_way), look=False)
    for climb in found.climbs:
        if climb.failure:
            raise StewardError(f"revision {climb.revision}: {climb.failure.text}")
    return found


def _walked(stage: _stage.Stage, course: Course, *, look: bool = True) -> tuple[Walk, list[str]]:
    """Return one walk, and the revisions in their order. look: whether any stair is looked at."""
    with contextlib.closing(stage.connect()) as connection:
        follower = Follower(connection, stage.place, SCOPE)
        if look:
            follower.follow()
        watcher = Watcher(follower)
        ended = stage.run(
            list(course.targets), watcher, action="staircase",
            one_way=sorted(course.one_way), passed=sorted(course.passed),
        )  # fmt: skip
    answer = ended.answer
    order = [item.revision for item in answer.pending]
    if not answer.finished and (answer.running is None or watcher.stair is None):
        raise StewardError(_revisions.failure_message(answer, (), ended.how, ()), output=ended.output)
    climbs = [
        Climb(name, seconds, tuple(watcher.differences.get(name, ()))) for name, seconds in watcher.seconds.items()
    ]
    if not answer.finished and answer.running and watcher.stair:
        name = answer.running.revision
        text, where = (answer.failure.text, answer.failure.where) if answer.failure else (ended.how, "")
        failure = Failure(watcher.stair, f"{text} ({where})" if where else text)
        climbs = [climb for climb in climbs if climb.revision != name]
        climbs.append(Climb(name, watcher.seconds.get(name, {}), tuple(watcher.differences.get(name, ())), failure))
    return Walk(tuple(climbs), answer.sql, (), tuple(ended.output), stage.notes), order


class Watcher:
    """Looks at the catalog whenever the runner pauses, and notes what differs from what it must be."""

    def __init__(self, follower: Follower) -> None:
        self.seconds: dict[str, dict[str, float]] = {}
        self.differences: dict[str, list[Difference]] = {}
        self.stair: str | None = None
        self._follower = follower
        self._table: tuple[str | None, str | None] = (None, None)
        self._last: tuple[str, str] | None = None
        self._below: Objects = {}
        self._above: Objects = {}

    def fact(self, fact: Mapping[str, Any]) -> None:
        """Take what the runner reports; look where it asks for that."""
        if "version_table" in fact:
            self._table = fact["version_table_schema"], fact["version_table"]
        self.stair = fact.get("stair", self.stair)
        if fact.get("climbed"):
            revision, stair = fact["climbed"]["revision"], fact["climbed"]["stair"]
            self.seconds.setdefault(revision, {})[stair] = fact["climbed"]["seconds"]
            self._last = revision, stair
        if fact.get("asks") == "look":
            self._look()

    def tick(self) -> None:
        """Nothing is to be done while a revision works."""

    def _look(self) -> None:
        schema, name = self._table
        found = self._follower.read()
        if name is not None:
            found = _snapshot.without_table(found, name, schema)
        if self._last is None or self._last[1] == UP:
            self._below, self._above = self._above, found
            return
        revision, stair = self._last
        drifts = _drift.compare(self._below if stair == DOWN else self._above, found)
        self.differences.setdefault(revision, []).extend(Difference(stair, drift) for drift in drifts)
        if stair == AGAIN:
            self._above = found


# What it means


def taken(climbs: Sequence[Climb]) -> dict[str, Collection[str]]:
    """Return the stairs that each revision took."""
    return {climb.revision: climb.seconds.keys() for climb in climbs}


def findings_of(climbs: Sequence[Climb], revisions: Mapping[str, Revision]) -> Iterator[Finding]:
    """Yield what is wrong with the climbs."""
    for climb in climbs:
        revision = revisions[climb.revision]
        enums = [item.left_enum for item in climb.differences if item.left_enum]
        if enums:
            yield revision.finding(
                "enum_left_behind", ERROR, f"the downgrade of {revision.name} leaves the enum type {', '.join(enums)} behind",
                "drop it in downgrade() after the tables that use it", revision.line("downgrade"),
            )  # fmt: skip
        for stair, word, remedy in (
            (DOWN, "differs after its downgrade", "let downgrade() undo all that upgrade() does"),
            (AGAIN, "differs after its second upgrade", "let downgrade() undo all that upgrade() does, and upgrade() depend on nothing else"),
        ):  # fmt: skip
            drifts = [item.drift for item in climb.differences if item.after == stair and not item.left_enum]
            if drifts:
                message = f"the schema {word} at {revision.name} in {len(drifts)} ways: {shown(drifts)}"
                if len(drifts) == 1:
                    message = f"the schema {word} at {revision.name}: {shown(drifts)}"
                yield revision.finding(f"staircase_{stair}", ERROR, message, remedy, revision.line("downgrade"))
        if climb.failure:
            yield _failed(revision, climb.failure)


_STAIRS = {UP: "upgrade", DOWN: "downgrade", AGAIN: "second upgrade, after its downgrade,"}


def _failed(revision: Revision, failure: Failure) -> Finding:
    function = "downgrade" if failure.stair == DOWN else "upgrade"
    remedy = f"mend {function}() in {revision.file.path}"
    if failure.stair == AGAIN:
        remedy = f"let downgrade() in {revision.file.path} undo all that upgrade() does"
    return revision.finding(
        "staircase_failed",
        ERROR,
        f"the {_STAIRS[failure.stair]} of {revision.name} failed: {failure.text}",
        remedy,
        revision.line(function),
    )


def shown(drifts: Sequence[Drift]) -> str:
    """Return the first of several differences as text."""
    texts = [f"{drift.object} {_how(drift)}" for drift in drifts[:SHOWN]]
    more = [f"and {len(drifts) - SHOWN} more"] if len(drifts) > SHOWN else []
    return ", ".join([*texts, *more])


def _how(drift: Drift) -> str:
    if drift.attribute == EXISTENCE:
        return "is missing" if drift.found == ABSENT else "is left"
    return f"({drift.attribute}: {drift.expected!r} is now {drift.found!r})"
