# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The critical section of a planned switchover: what happens in which order, and what is undone when a step fails.

What has been done so far decides: until the promotion is requested, any failure ends with the old primary taking writes. From
then on the old primary stays stopped and fenced until the candidate is seen taking writes. Two primaries are never possible.
The effects are injected (World), so that every failure in every state can be tested without a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import SHUT_DOWN, ControlData, Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

POLL = 0.005  # seconds between two looks at the candidate
DOWN_LIMIT = 1.0  # seconds for which the candidate may refuse connections before it counts as gone
RESUME_POLL = 0.1
SWITCHED, ABORTED, UNDECIDED, PLANNED = "switched", "aborted", "undecided", "planned"
STEPS = (
    "connect", "checkpoint", "catch_up", "fence", "pause", "stop", "control_data", "replay", "promote", "resume", "follow",
    "settle",
)  # fmt: skip


class DownError(StewardError):
    """Nothing listens on the candidate, and its host says so."""


class NotRequestedError(StewardError):
    """The candidate has refused to be promoted: nothing will happen there."""


class InterruptedBySignalError(StewardError):
    """Somebody wants the switchover to end."""


class SwitchoverError(StewardError):
    """The switchover did not end as it should have; facts say how it ended."""


@dataclass(frozen=True)
class Candidate:
    """What the candidate says of itself. replayed: up to where it has applied the WAL."""

    in_recovery: bool
    replayed: Lsn
    timeline: int | None = None


@dataclass(frozen=True)
class Limits:
    """Seconds that each step may take."""

    stop: float = 10.0
    replay: float = 5.0
    promote: float = 10.0
    resume: float = 5.0
    start: float = 60.0


@dataclass(frozen=True)
class Job:
    """Who hands over to whom: names as messages use them."""

    primary: str
    candidate: str
    limits: Limits = Limits()


class World(Protocol):
    """The servers, the poolers, the clock. All but the clock raise StewardError; pooler problems come by name of the pooler."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def interrupted(self) -> str | None: ...  # the name of a signal that came

    def leftover(self) -> str | None: ...  # what is known of an operation that was cut short
    def connect(self) -> None: ...  # checks both servers and every pooler, changes nothing
    def claim(self) -> None: ...  # this host's only operation from here on
    def note(self, progress: Mapping[str, Any]) -> None: ...  # for whoever finds a killed run
    def forget(self) -> None: ...  # takes the notes back

    def checkpoint(self) -> None: ...
    def position(self) -> Lsn: ...  # up to where the primary has written
    def fence(self) -> None: ...
    def unfence(self) -> None: ...
    def pause(self) -> Mapping[str, str]: ...
    def resume(self, reload: bool) -> Mapping[str, str]: ...  # of all that is still held
    def find_held(self) -> Mapping[str, str]: ...  # what an earlier run has paused
    def pause_seconds(self) -> float | None: ...

    def stop(self, limit: float) -> bool: ...  # fast; False when the server still runs after the limit
    def kill(self) -> None: ...
    def start(self, limit: float) -> None: ...  # until it answers
    def takes_writes(self) -> bool: ...  # the server on this host
    def follow(self) -> None: ...  # makes the next start one of a standby
    def control_data(self) -> ControlData: ...

    def candidate(self) -> Candidate: ...
    def promote(self) -> None: ...  # only requests it
    def settle(self) -> None: ...  # a checkpoint on the new primary


@dataclass(frozen=True)
class Step:
    """A step and the seconds it took."""

    name: str
    seconds: float


class Switchover:
    """One run. The flags say what was begun, and so what an abort must undo."""

    def __init__(self, world: World, job: Job) -> None:
        self.world, self.job = world, job
        self.steps: list[Step] = []
        self.warnings: list[str] = []
        self.step = "connect"
        self.fencing = self.pausing = self.stopping = self.requested = False
        self.control: ControlData | None = None
        self.seen: Candidate | None = None
        self.replayed: Lsn | None = None  # by the candidate when it was asked
        self.serving: str | None = job.primary

    def plan(self) -> dict[str, Any]:
        """Return what run() would do, after every check that changes nothing; raises SwitchoverError."""
        try:
            self._look_back()
            self.world.connect()
        except Exception as error:
            raise self._refuse(error) from error
        return {**self._report(PLANNED), "steps": [asdict(Step(name, 0.0)) for name in STEPS]}

    def run(self) -> dict[str, Any]:
        """Hand over and return the report; raises SwitchoverError, with the report in its facts, on anything less."""
        heard = True
        try:
            self._hand_over()
        except Exception as error:
            if not self.fencing:
                raise self._refuse(error) from error
            if not self.requested:
                raise self._abort(error) from error
            heard = False
            self.warnings.append(f"the answer to the request of the promotion was lost: {error}")
        self._await_promotion(heard)
        self.serving = self.job.candidate
        with self._step("resume"):
            held = self._resume(reload=True, limit=0)
        problems = self._follow()
        if not problems:
            self.warnings += self._undo(self.world.forget)
        if held:  # what does not obey at once must not keep the old primary from following
            problems = self._resume(reload=True, limit=self.job.limits.resume) + problems
        if problems:
            said = "; ".join(problems)
            raise SwitchoverError(f"{self.job.candidate} is the primary now, but {said}", **self._report(SWITCHED))
        return self._report(SWITCHED)

    def give_back(self) -> dict[str, Any]:
        """Make the old primary serve again after a promotion that did not come, and return the report; raises SwitchoverError.

        Only for whoever has seen on the candidate's host that it never took writes and is fenced there.
        """
        world, primary, self.serving = self.world, self.job.primary, None
        try:
            with self._step("claim"):
                world.claim()
            with self._step("start"):
                self.fencing = True
                world.unfence()
                world.start(self.job.limits.start)
                if not world.takes_writes():
                    raise StewardError("it came up as a standby")
        except Exception as error:
            raise SwitchoverError(
                f"{primary} could not be made the primary again: {error}", **self._report(ABORTED)
            ) from error
        self.serving = primary
        with self._step("resume"):
            problems = [f"pooler {name}: {why}" for name, why in sorted(world.find_held().items())]
            problems += self._resume(reload=False, limit=self.job.limits.resume)
        if problems:
            raise SwitchoverError(f"{primary} takes writes again, but {'; '.join(problems)}", **self._report(ABORTED))
        self._undo(world.forget)
        return self._report(ABORTED)

    # Until the promotion is requested

    def _hand_over(self) -> None:
        world, limits = self.world, self.job.limits
        with self._step("connect"):
            self._look_back()
            world.connect()
            world.claim()
        with self._step("checkpoint"):
            world.checkpoint()
        with self._step("catch_up"):
            self._await_replay(world.position(), "nothing was begun")
        with self._step("fence"):
            self.fencing = True
            world.fence()
        with self._step("pause"):
            self.pausing = True
            problems = world.pause()
            if problems:
                raise StewardError("; ".join(problems[name] for name in sorted(problems)))
        with self._step("stop"):
            self.stopping = True
            if not world.stop(limits.stop):
                raise StewardError(
                    f"{self.job.primary} did not stop within {limits.stop:g} s: look for WAL that waits for its archive,"
                    " and for a standby that does not receive"
                )
        with self._step("control_data"):
            self.control = world.control_data()
            if self.control.state != SHUT_DOWN:
                raise StewardError(
                    f"{self.job.primary} did not shut down properly: its state is {self.control.state!r}"
                )
        with self._step("replay"):
            self._await_replay(self.control.checkpoint + 1, "the last of its WAL is not there")
            self.replayed = self.seen.replayed if self.seen else None
        with self._step("promote"):
            self._request_promotion()

    def _look_back(self) -> None:
        leftover = self.world.leftover()
        self.warnings += [leftover] if leftover else []

    def _await_replay(self, wanted: int, meaning: str) -> None:
        """Wait until the candidate has replayed up to `wanted`."""
        limit = self.world.now() + self.job.limits.replay
        while True:
            self.seen = self.world.candidate()
            if not self.seen.in_recovery:
                raise StewardError(
                    f"{self.job.candidate} takes writes already, without having been asked to: look at it"
                )
            if self.seen.replayed >= wanted:
                return
            self._refuse_interrupted()
            if self.world.now() > limit:
                raise StewardError(
                    f"{self.job.candidate} has replayed {self.seen.replayed} and not {Lsn(wanted)} within"
                    f" {self.job.limits.replay:g} s: {meaning}"
                )
            self.world.sleep(POLL)

    def _request_promotion(self) -> None:
        """Ask the candidate. Any other failure than its refusal as a standby leaves open whether it was heard."""
        self.requested = True
        self._note()
        try:
            self.world.promote()
        except NotRequestedError:
            self.seen = self.world.candidate()
            self.requested = not self.seen.in_recovery  # a primary refuses as well
            raise

    def _refuse(self, error: Exception) -> SwitchoverError:
        """Return the error of a run that has changed nothing."""
        self._undo(self.world.forget)
        self.serving = self.job.primary if self._takes_writes() else None
        text = "; ".join([f"switchover refused, nothing was changed: {error}", *self.warnings])
        return SwitchoverError(text, **self._report(ABORTED))

    def _abort(self, error: Exception) -> SwitchoverError:
        """Make the old primary serve again, as far as it had been stopped, and return the error that says how that went."""
        world, primary = self.world, self.job.primary
        if self.stopping and self.seen and not self.seen.in_recovery:
            self.serving = self.job.candidate
            held = f"{primary} is stopped and stays fenced, and the poolers hold their clients until their armed RESUME"
            return SwitchoverError(f"switchover aborted at {self.step}: {error}; {held}", **self._report(UNDECIDED))
        fence = [f"the fence of {primary} stays: {problem}" for problem in self._undo(world.unfence)]
        problems = list(fence)
        if self.stopping:
            problems += self._undo(world.kill)
            problems += self._undo(lambda: world.start(self.job.limits.start))
        if self.pausing:
            problems += self._resume(reload=False, limit=self.job.limits.resume)
        self.serving = primary if self._takes_writes() else None
        if self.serving is None:
            problems.append("no server takes writes")
        elif not fence:
            self._undo(world.forget)
        if self.serving:
            problems.insert(0, f"{primary} {'takes writes again' if self.stopping else 'goes on as the primary'}")
        text = "; ".join([f"switchover aborted at {self.step}: {error}", *problems])
        return SwitchoverError(text, **self._report(ABORTED))

    # From the request on

    def _await_promotion(self, heard: bool) -> None:
        """Look until the candidate takes writes; one that may not have heard of it, or has forgotten, is asked again."""
        world, begun, request = self.world, self.world.now(), self.steps.pop()
        down_since, lost, last = None, not heard, ""
        while True:
            try:
                self.seen = world.candidate()
                if not self.seen.in_recovery:
                    break
                if lost:
                    world.promote()
                down_since, lost, last = None, False, f"it is in recovery at {self.seen.replayed}"
            except DownError as error:
                down_since, lost, last = down_since or world.now(), True, str(error)
            except Exception as error:
                down_since, lost, last = None, True, str(error)
            waited = world.now() - begun
            if waited > self.job.limits.promote or (down_since is not None and world.now() - down_since > DOWN_LIMIT):
                self.steps.append(Step(request.name, request.seconds + waited))
                raise self._undecided(waited, last)
            world.sleep(POLL)
        self.steps.append(Step(request.name, request.seconds + world.now() - begun))

    def _undecided(self, seconds: float, last: str) -> SwitchoverError:
        primary, candidate = self.job.primary, self.job.candidate
        self.serving = None
        stopped = f" at {self.control.checkpoint}" if self.control else ""
        return SwitchoverError(
            f"the promotion of {candidate} was requested and not seen within {seconds:.1f} s: {last}. It may still happen."
            f" {primary} is stopped{stopped} and stays fenced, and the poolers hold their clients, until somebody has found out on the host"
            f" of {candidate} how it ended (module pg_promotion)",
            **self._report(UNDECIDED),
        )

    def _follow(self) -> list[str]:
        """Start the old primary as a standby; return what went wrong."""
        world = self.world
        with self._step("follow"):
            problems = self._undo(world.follow)
            if problems:
                return [*problems, f"{self.job.primary} stays stopped and fenced"]
            problems = self._undo(world.unfence) or self._undo(lambda: world.start(self.job.limits.start))
            if not problems and self._takes_writes():
                problems = [f"{self.job.primary} came up taking writes, and is stopped and fenced"]
                problems += self._undo(world.kill) + self._undo(world.fence)
        with self._step("settle"):
            self.warnings += self._undo(world.settle)
        return problems

    # What both sides need

    def _resume(self, reload: bool, limit: float) -> list[str]:
        """RESUME every pooler, again and again for limit seconds; return the problems of those that still hold."""
        until = self.world.now() + limit
        while True:
            try:
                problems = self.world.resume(reload)
            except Exception as error:
                problems = {"": str(error)}
            if not problems:
                return []
            if self.world.now() >= until:
                still = "may still hold its clients until its armed RESUME"
                return [f"pooler {name or '(which is unknown)'} {still}: {problems[name]}" for name in sorted(problems)]
            self.world.sleep(RESUME_POLL)

    def _undo(self, effect: Callable[[], object]) -> list[str]:
        """Do what must not keep the rest from being done; return the problem, if any."""
        try:
            effect()
        except Exception as error:
            return [str(error) or type(error).__name__]
        return []

    def _takes_writes(self) -> bool:
        try:
            return self.world.takes_writes()
        except Exception:
            return False

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._refuse_interrupted()
        self.step, begun = name, self.world.now()
        if name != "connect":
            self._note()
        try:
            yield
        finally:
            self.steps.append(Step(name, self.world.now() - begun))

    def _refuse_interrupted(self) -> None:
        name = None if self.requested else self.world.interrupted()
        if name:
            raise InterruptedBySignalError(f"{name} came, before the promotion was requested")

    def _note(self) -> None:
        progress = {"step": self.step, "promotion_requested": self.requested, "steps": self._seconds()}
        self._undo(lambda: self.world.note(progress))

    def _seconds(self) -> list[dict[str, Any]]:
        return [{"name": step.name, "seconds": round(step.seconds, 4)} for step in self.steps]

    def _report(self, outcome: str) -> dict[str, Any]:
        switched = outcome == SWITCHED
        paused = self.world.pause_seconds()
        return {
            "changed": self.fencing or outcome == PLANNED,
            "outcome": outcome,
            "serving": self.serving,
            "promotion_requested": self.requested,
            "steps": self._seconds(),
            "pause_seconds": None if paused is None else round(paused, 4),
            "lsn": str(self.control.checkpoint) if self.control else None,
            "candidate_lsn": str(self.replayed) if self.replayed else None,
            "timeline_before": self.control.timeline if self.control else None,
            "timeline_after": self.seen.timeline if switched and self.seen else None,
            "warnings": self.warnings,
        }
