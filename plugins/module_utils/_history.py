# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a project's history makes of an empty database: the catalog after each revision, found by a replay on scratch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _catalog,
    _history_cache,
    _revisions,
    _scratch,
    _snapshot,
    _stage,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import maximal
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._follower import Follower
from ansible_collections.pgsteward.postgres.plugins.module_utils._runner_process import Ended
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import (
    KINDS,
    PRIVILEGE_KINDS,
    Objects,
    Scope,
    Snapshot,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._stage import Stage

if TYPE_CHECKING:
    import psycopg

ARGUMENTS: dict[str, dict[str, Any]] = {**_stage.ARGUMENTS, "cache": {"type": "path"}}

# What a history decides: not who owns it, who may use it, which version of an extension serves it, nor the database around it.
SCOPE = Scope.of(None, set(KINDS) - {"database", *PRIVILEGE_KINDS}, ["owner", "privileges", "version"])


@dataclass(frozen=True)
class Step:
    """A state that the history passes through. heads: as the version table holds them then, sorted; none before the first.

    objects: the catalog, without the version table.
    """

    heads: tuple[str, ...]
    objects: Objects


@dataclass(frozen=True)
class History:
    """The states of a replay in their order, the empty database first. notes: what the operator should know of it."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    cached: bool = False

    def at(self, heads: Sequence[str]) -> Step | None:
        """Return the state with these heads, where the replay passed through it."""
        return next((step for step in self.steps if step.heads == tuple(sorted(heads))), None)


@dataclass(frozen=True)
class Source:
    """Whose history, and like which database: all that decides what a replay gives, and where that may be kept.

    version_table: its name, which is left out of every catalog. params: has the options of ARGUMENTS.
    """

    project: Project
    live: _scratch.Live
    server_version: int
    version_table: str
    params: Mapping[str, Any]
    secrets: frozenset[str]
    temporary: str

    @classmethod
    def of(
        cls,
        connection: psycopg.Connection[Any],
        place: Place,
        project: Project,
        params: Mapping[str, Any],
        version_table: str,
        secrets: frozenset[str],
        temporary: str,
    ) -> Source:
        """Return the source for the live database behind a pinned connection."""
        live, version = _scratch.read_live(connection, place), connection.info.server_version
        return cls(project, live, version, version_table, params, secrets, temporary)

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """Give a stage for the project."""
        with _stage.stage(self.project, self.live, self.params, self.secrets, self.temporary) as stage:
            yield stage

    def cache(self, what: Sequence[str]) -> _history_cache.Cache:
        """Return where the result of a replay of what is kept."""
        baseline = _stage.baseline_of(self.params)
        like = [self.server_version, self.version_table, self.live.as_key(), baseline, list(what)]
        return _history_cache.find(self.project, like, self.params.get("cache"))


def whole(source: Source, targets: Sequence[str]) -> History:
    """Return the history up to targets with all states that it passes through; raises StewardError.

    A history with several heads is replayed once as a whole, and once for each of them alone, since a database may have
    only one of its branches.
    """
    cache = source.cache(["whole", *targets])
    kept = _read(cache)
    if kept:
        return kept
    steps, notes = _replay(source, list(targets))
    heads = steps[-1].heads
    for head in heads if len(heads) > 1 else ():
        steps += _replay(source, [head])[0]
    return _write(cache, History(_once(steps), notes))


def at(source: Source, revisions: Sequence[str]) -> tuple[Step, tuple[str, ...]]:
    """Return the state that the history leads to at revisions (none: the empty database), and notes; raises StewardError."""
    kept = _read(source.cache(["at", *sorted(revisions)]))
    if kept:
        return kept.steps[-1], kept.notes
    with source.stage() as stage:
        ended = _finished(stage.run(list(revisions)), source.params) if revisions else None
        with contextlib.closing(stage.connect()) as connection:
            step = Step(tuple(sorted(revisions)), _read_catalog(connection, stage, source.version_table))
        notes = (*stage.notes, *(ended.answer.notes if ended else ()))
    _write(source.cache(["at", *sorted(revisions)]), History((step,), notes))
    return step, notes


@dataclass(frozen=True)
class Expected:
    """The catalog that a history makes, as a truth to compare with."""

    snapshot: Snapshot
    notes: tuple[str, ...]


def expected_at(
    connection: psycopg.Connection[Any],
    place: Place,
    project: Project,
    params: Mapping[str, Any],
    revisions: Sequence[str],
    secrets: frozenset[str],
    temporary: str,
    version_table: str = "alembic_version",
) -> Expected:
    """Return the catalog that the history makes up to revisions (none: an empty database).

    connection: pinned, to the live database. params: has the options of ARGUMENTS. Compare in the snapshot's own scope, and
    leave the version table out by _snapshot.without_table. Raises StewardError.
    """
    source = Source.of(connection, place, project, params, version_table, secrets, temporary)
    step, notes = at(source, revisions)
    return Expected(Snapshot(step.objects, SCOPE), notes)


# The replay


@dataclass
class _Recorder:
    """Reads the catalog between the revisions of a run, while the runner waits."""

    follower: Follower
    version_table: str
    steps: list[Step] = field(default_factory=list)
    external: bool = False
    _graph: Mapping[str, Any] = field(default_factory=dict)
    _applied: list[str] = field(default_factory=list)

    def fact(self, fact: Mapping[str, Any]) -> None:
        """Take what the runner reports."""
        self._graph = fact.get("graph", self._graph)
        self.external = fact.get("external", self.external)
        if "applied" in fact:
            self._applied.append(fact["applied"]["revision"])
        if fact.get("asks") == "revision" and not self.external:
            self.read()

    def tick(self) -> None:
        """Nothing is to be done while a revision runs."""

    def read(self) -> None:
        """Keep the catalog as it is now."""
        objects = _snapshot.without_table(self.follower.read(), self.version_table)
        self.steps.append(Step(tuple(maximal(self._graph, self._applied)), objects))


def _replay(source: Source, targets: list[str], partial: bool = True) -> tuple[list[Step], tuple[str, ...]]:
    """Return the states up to targets, and notes. partial: only what a revision touches is read after it."""
    with source.stage() as stage, contextlib.closing(stage.connect()) as connection:
        follower = Follower(connection, stage.place, SCOPE)
        if partial:
            follower.follow()
        recorder = _Recorder(follower, source.version_table)
        ended = _finished(stage.run(targets, recorder), source.params)
        if recorder.external:
            raise StewardError(
                "env.py has a transaction open before context.configure, so nothing can be seen between the revisions: "
                "let it connect without beginning a transaction"
            )
        recorder.read()
        whole = not follower.partial or follower.read_all() == follower.objects
    if not whole:  # a change that nobody noted
        return _replay(source, targets, partial=False)
    return recorder.steps, (*stage.notes, *ended.answer.notes)


def _finished(ended: Ended, params: Mapping[str, Any]) -> Ended:
    if not ended.answer.finished:
        message = _revisions.failure_message(ended.answer, (), ended.how, ended.answer.applied)
        message += _stage.baseline_note(ended, params)
        raise StewardError(f"the history cannot be replayed on scratch: {message}", output=ended.output)
    return ended


def _read_catalog(connection: psycopg.Connection[Any], stage: Stage, version_table: str) -> Objects:
    return _snapshot.without_table(_catalog.read(connection, stage.place, SCOPE).snapshot.objects, version_table)


def _once(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps without those whose heads came before."""
    first: dict[tuple[str, ...], Step] = {}
    for step in steps:
        first.setdefault(step.heads, step)
    return tuple(first.values())


# What is kept: each state as its difference to the one before


def _read(cache: _history_cache.Cache) -> History | None:
    held = cache.read()
    if held is None:
        return None
    steps: list[Step] = []
    objects: Objects = {}
    for item in held["steps"]:
        objects = {kind: dict(named) for kind, named in objects.items()} if item["changed"] else objects
        for kind, name, attributes in item["changed"]:
            if attributes is None:
                del objects[kind][name]
            else:
                objects.setdefault(kind, {})[name] = attributes
        steps.append(Step(tuple(item["heads"]), objects))
    return History(tuple(steps), tuple(held["notes"]), cached=True)


def _write(cache: _history_cache.Cache, history: History) -> History:
    kept, earlier = [], Objects()
    for step in history.steps:
        kept.append({"heads": list(step.heads), "changed": changes(earlier, step.objects)})
        earlier = step.objects
    cache.write({"steps": kept, "notes": list(history.notes)})
    return history


def changes(earlier: Objects, later: Objects) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Return kind, name and attributes of each object that is another one later; None where it is gone.

    Objects are told apart by identity, as Follower leaves them.
    """
    found: list[tuple[str, str, dict[str, Any] | None]] = []
    for kind in {**earlier, **later}:
        before, after = earlier.get(kind, {}), later.get(kind, {})
        if before is after:
            continue
        found += [(kind, name, held) for name, held in after.items() if before.get(name) is not held]
        found += [(kind, name, None) for name in before if name not in after]
    return found
