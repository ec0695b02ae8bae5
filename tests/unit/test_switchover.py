"""The decisions of a switchover, in a world where everything can fail at any moment; and the fence, on real files."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _fence, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import ControlData, Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._promotion import decide
from ansible_collections.pgsteward.postgres.plugins.module_utils._switchover import (
    STEPS,
    Candidate,
    DownError,
    Job,
    Limits,
    NotRequestedError,
    Switchover,
    SwitchoverError,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._switchover_effects import leftover_of

END = Lsn.parse("0/5000028")
CONTROL = ControlData("shut down", "7", END, END, 1, 1, None, None, True, False, 1 << 24)
JOB = Job("node1", "node2", Limits(stop=3, replay=2, promote=4, resume=1, start=5))
POOLERS = ("pool1", "pool2")
Fault = Callable[["World"], None]


class World:
    """Two servers and two poolers in memory. faults: what happens when an effect is called for the nth time."""

    def __init__(self, **faults: Fault) -> None:
        self.faults = {name.rpartition("__")[0] or name: fault for name, fault in faults.items()}
        self.when = {name.rpartition("__")[0]: int(name.rpartition("__")[2]) for name in faults if "__" in name}
        self.calls: list[str] = []
        self.time = 0.0
        self.signal: str | None = None
        self.running, self.standby, self.fenced = True, False, False
        self.candidate_state, self.replayed, self.promotes_in = "standby", END + 120, 0.02
        self.promoting_since: float | None = None
        self.held: set[str] = set()
        self.notes: list[Mapping[str, Any]] = []
        self.forgotten = False
        self.stops, self.starts, self.control, self.earlier = True, True, CONTROL, None
        self.pause_problems: dict[str, str] = {}
        self.resume_problems: dict[str, str] = {}
        self.find_problems: dict[str, str] = {}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self._age()
        assert not (self.primary_writes and self.candidate_state == "primary"), f"two primaries at {name}"
        fault = self.faults.get(name)
        if fault and self.when.get(name, self.calls.count(name)) == self.calls.count(name):
            fault(self)

    def _age(self) -> None:
        promoting = self.promoting_since is not None and self.time - self.promoting_since >= self.promotes_in
        if self.candidate_state == "standby" and promoting:
            self.candidate_state = "primary"

    @property
    def primary_writes(self) -> bool:
        return self.running and not self.standby

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def interrupted(self) -> str | None:
        return self.signal

    def leftover(self) -> str | None:
        self._called("leftover")
        return self.earlier

    def connect(self) -> None:
        self._called("connect")

    def claim(self) -> None:
        self._called("claim")

    def note(self, progress: Mapping[str, Any]) -> None:
        self.notes.append(progress)
        self._called("note")

    def forget(self) -> None:
        self._called("forget")
        self.forgotten = True

    def checkpoint(self) -> None:
        self._called("checkpoint")

    def position(self) -> Lsn:
        self._called("position")
        return END

    def fence(self) -> None:
        self.fenced = True
        self._called("fence")

    def unfence(self) -> None:
        self._called("unfence")
        self.fenced = False

    def pause(self) -> Mapping[str, str]:
        self.held = set(POOLERS)
        self._called("pause")
        return self.pause_problems

    def find_held(self) -> Mapping[str, str]:
        self._called("find_held")
        return self.find_problems

    def resume(self, reload: bool) -> Mapping[str, str]:
        self._called("reload" if reload else "resume")
        self.held = set(self.resume_problems)
        return self.resume_problems

    def pause_seconds(self) -> float | None:
        return 0.25 if "pause" in self.calls and not self.held else None

    def stop(self, limit: float) -> bool:
        self._called("stop")
        if self.stops:
            self.running = False
        else:
            self.time += limit
        return self.stops

    def kill(self) -> None:
        self._called("kill")
        self.running = False

    def start(self, limit: float) -> None:
        self._called("start")
        if self.fenced or not self.starts:
            raise StewardError("node1 does not start")
        self.running = True
        self._called("started")

    def takes_writes(self) -> bool:
        self._called("takes_writes")
        return self.primary_writes

    def follow(self) -> None:
        self._called("follow")
        self.standby = True

    def control_data(self) -> ControlData:
        self._called("control_data")
        return self.control

    def candidate(self) -> Candidate:
        self._called("candidate")
        if self.candidate_state == "down":
            raise DownError("node2: nobody listens")
        primary = self.candidate_state == "primary"
        return Candidate(not primary, Lsn(self.replayed), 2 if primary else None)

    def promote(self) -> None:
        self._called("promote")
        if self.candidate_state == "down":
            raise DownError("node2: nobody listens")
        self.promoting_since = self.time if self.promoting_since is None else self.promoting_since

    def settle(self) -> None:
        self._called("settle")


def fails(error: Exception) -> Fault:
    """Return a fault that raises."""

    def fault(_world: World) -> None:
        raise error

    return fault


def becomes(**values: Any) -> Fault:
    """Return a fault that changes the world."""

    def fault(world: World) -> None:
        for name, value in values.items():
            setattr(world, name, value)

    return fault


def dies(error: Exception | None = None) -> Fault:
    """Return a fault that takes the candidate down, in the middle of a question when there is an error."""

    def fault(world: World) -> None:
        world.candidate_state, world.promoting_since = "down", None
        if error:
            raise error

    return fault


LOST = StewardError("the connection is lost")


def run(world: World) -> tuple[dict[str, Any], str]:
    """Return the report and the error, empty when there was none, of a switchover."""
    try:
        return Switchover(world, JOB).run(), ""
    except SwitchoverError as error:
        return error.facts, str(error)


def test_all_goes_well() -> None:
    world = World()
    report, error = run(world)
    assert error == ""
    assert [call for call in world.calls if call not in ("note", "candidate", "takes_writes")] == (
        "leftover connect claim checkpoint position fence pause stop control_data promote reload follow unfence start"
        " started settle forget"
    ).split()
    assert (world.running, world.standby, world.fenced, world.held) == (True, True, False, set())
    assert [step["name"] for step in report["steps"]] == list(STEPS)
    expected = {
        "changed": True,
        "outcome": "switched",
        "serving": "node2",
        "promotion_requested": True,
        "pause_seconds": 0.25,
        "lsn": "0/5000028",
        "candidate_lsn": "0/50000A0",
        "timeline_before": 1,
        "timeline_after": 2,
        "warnings": [],
    }
    assert {name: report[name] for name in expected} == expected


def test_the_notes_say_how_far_it_is() -> None:
    world = World()
    run(world)
    assert list(dict.fromkeys(note["step"] for note in world.notes)) == list(STEPS[1:])
    assert [note["promotion_requested"] for note in world.notes if note["step"] in ("stop", "resume")] == [False, True]


def test_the_request_is_noted_before_it_is_made() -> None:
    seen: list[bool] = []
    run(World(promote=lambda world: seen.append(world.notes[-1]["promotion_requested"])))
    assert seen == [True]


def test_plan_changes_nothing() -> None:
    world = World()
    report = Switchover(world, JOB).plan()
    assert world.calls == ["leftover", "connect"]
    assert (report["outcome"], report["changed"], report["serving"]) == ("planned", True, "node1")
    assert [step["name"] for step in report["steps"]] == list(STEPS)


def test_plan_refuses() -> None:
    world = World(connect=fails(StewardError("pooler pool2 does not answer")))
    with pytest.raises(SwitchoverError, match="refused, nothing was changed: pooler pool2") as caught:
        Switchover(world, JOB).plan()
    assert (caught.value.facts["outcome"], caught.value.facts["changed"]) == ("aborted", False)


FAULTS: list[tuple[str, dict[str, Fault], str, str | None, tuple[str, ...]]] = [
    # what happens, outcome, who serves at the end, words of the error
    ("no candidate", {"connect": fails(LOST)}, "aborted", "node1", ("refused, nothing was changed", "is lost")),
    ("another runs", {"claim": fails(StewardError("another operation"))}, "aborted", "node1", ("another operation",)),
    (
        "lags",
        {"position": becomes(replayed=END - 1)},
        "aborted",
        "node1",
        ("0/5000027 and not 0/5000028", "nothing was"),
    ),
    (
        "no disk for the fence",
        {"fence": fails(StewardError("full"))},
        "aborted",
        "node1",
        ("at fence: full", "goes on as"),
    ),
    (
        "a pooler refuses",
        {"pause": becomes(pause_problems={"pool2": "pool2: late"})},
        "aborted",
        "node1",
        ("aborted at pause: pool2: late; node1 goes on as the primary",),
    ),
    ("does not stop", {"stop": becomes(stops=False)}, "aborted", "node1", ("within 3 s", "node1 takes writes again")),
    (
        "stops badly",
        {"control_data": becomes(control=dataclasses.replace(CONTROL, state="in production"))},
        "aborted",
        "node1",
        ("did not shut down properly", "'in production'", "takes writes again"),
    ),
    ("no control data", {"control_data": fails(StewardError("gone"))}, "aborted", "node1", ("control_data: gone",)),
    (
        "candidate dies",
        {"stop": dies()},
        "aborted",
        "node1",
        ("at replay: node2: nobody listens", "takes writes again"),
    ),
    (
        "last WAL missing",
        {"stop": becomes(replayed=END)},
        "aborted",
        "node1",
        ("replayed 0/5000028 and not 0/5000029 within 2 s", "takes writes again"),
    ),
    (
        "refuses promotion",
        {"promote": fails(NotRequestedError("permission denied"))},
        "aborted",
        "node1",
        ("at promote: permission denied", "takes writes again"),
    ),
    (
        "somebody else promotes it",
        {"stop": becomes(candidate_state="primary", running=False)},
        "undecided",
        "node2",
        ("takes writes already", "stays fenced"),
    ),
    (
        "somebody else promotes it at the last moment",
        {
            "promote": lambda world: (
                becomes(candidate_state="primary")(world),
                fails(NotRequestedError("not in recovery"))(world),
            )[0]
        },
        "switched",
        "node2",
        (),
    ),
    (
        "request lost, heard",
        {"promote": lambda w: (becomes(promoting_since=0)(w), fails(LOST)(w))[0]},
        "switched",
        "node2",
        (),
    ),
    ("request lost, unheard", {"promote__1": fails(LOST)}, "switched", "node2", ()),
    ("promotion is slow", {"promote": becomes(promotes_in=3.9)}, "switched", "node2", ()),
    (
        "promotion is too slow",
        {"promote": becomes(promotes_in=9)},
        "undecided",
        None,
        ("not seen within 4.0 s: it is in recovery at 0/50000A0", "may still happen", "node1 is stopped at 0/5000028"),
    ),
    (
        "candidate dies when asked",
        {"promote": dies(LOST)},
        "undecided",
        None,
        ("not seen within 1.0 s: node2: nobody listens", "stays fenced", "the poolers hold"),
    ),
    (
        "candidate falls silent",
        {"candidate__4": lambda world: world.faults.update(candidate=fails(LOST)) or world.when.clear()},
        "undecided",
        None,
        ("within 4.0 s: the connection is lost",),
    ),
    (
        "a pooler keeps holding",
        {"reload": becomes(resume_problems={"pool2": "no answer"})},
        "switched",
        "node2",
        ("node2 is the primary now, but pooler pool2 may still hold its clients until its armed RESUME: no answer",),
    ),
    (
        "no standby.signal",
        {"follow": fails(StewardError("full"))},
        "switched",
        "node2",
        ("full; node1 stays stopped and f",),
    ),
    ("does not follow", {"follow": becomes(starts=False)}, "switched", "node2", ("but node1 does not start",)),
    ("no last checkpoint", {"settle": fails(LOST)}, "switched", "node2", ()),
    (
        "neither starts",
        {"control_data": lambda world: (becomes(starts=False)(world), fails(StewardError("gone"))(world))[0]},
        "aborted",
        None,
        ("at control_data: gone", "node1 does not start", "no server takes writes"),
    ),
    (
        "a pooler keeps holding after an abort",
        {"pause": becomes(pause_problems={"pool2": "late"}, resume_problems={"pool2": "gone"})},
        "aborted",
        "node1",
        ("at pause: late", "pooler pool2 may still hold"),
    ),
]


@pytest.mark.parametrize(
    ("faults", "outcome", "serving", "words"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_fault(faults: dict[str, Fault], outcome: str, serving: str | None, words: tuple[str, ...]) -> None:
    world = World(**faults)
    report, error = run(world)
    assert (report["outcome"], report["serving"]) == (outcome, serving), error
    assert bool(error) == bool(words)
    assert [word for word in words if word not in error] == []
    check_end(world, report, error)


def check_end(world: World, report: dict[str, Any], error: str) -> None:
    """Assert that the world is as the report says, and safe."""
    candidate_writes = world.candidate_state == "primary"
    assert not (world.primary_writes and candidate_writes)
    if report["outcome"] == "undecided":
        assert (world.running, world.fenced, world.held, world.forgotten) == (False, True, set(POOLERS), False)
    elif report["outcome"] == "switched":
        assert candidate_writes
        assert not world.primary_writes
    elif report["serving"]:
        assert world.primary_writes
    assert not (error == "" and (world.fenced or world.held or not (world.forgotten or report["warnings"])))
    assert report["serving"] != "node1" or not world.fenced or "fence" in error
    assert "\n" not in error


def effects() -> list[tuple[str, int]]:
    """Return every call of a good run, as the name of the effect and its number."""
    world = World()
    run(world)
    return [(name, number + 1) for name in dict.fromkeys(world.calls) for number in range(world.calls.count(name))]


@pytest.mark.parametrize("error", [StewardError("it fails"), OSError("it fails")], ids=["expected", "unexpected"])
@pytest.mark.parametrize(("name", "number"), effects())
def test_every_call_fails(name: str, number: int, error: Exception) -> None:
    world = World(**{f"{name}__{number}": fails(error)})
    report, said = run(world)
    check_end(world, report, said)
    assert report["serving"] in ("node1", "node2")
    assert world.held == set()
    assert not world.fenced or (name, report["outcome"]) in (("follow", "switched"), ("unfence", "switched"))


SECOND = ("unfence", "kill", "start", "resume", "takes_writes", "forget", "candidate", "promote")


@pytest.mark.parametrize(
    ("name", "number", "second"),
    [(name, number, second) for name, number in effects() for second in SECOND if second != name],
)
def test_two_calls_fail(name: str, number: int, second: str) -> None:
    world = World(**{f"{name}__{number}": fails(LOST), second: fails(StewardError("so does this"))})
    report, error = run(world)
    check_end(world, report, error)
    assert report["outcome"] == "undecided" or world.held == set() or second == "resume"


@pytest.mark.parametrize(("name", "number"), effects())
def test_candidate_dies_at_every_call(name: str, number: int) -> None:
    world = World(**{f"{name}__{number}": dies()})
    report, error = run(world)
    assert not (world.running and not world.standby and world.promoting_since is not None)
    assert report["outcome"] in ("switched", "aborted", "undecided")
    assert report["outcome"] != "aborted" or world.primary_writes
    assert report["outcome"] != "undecided" or (world.fenced and not world.running)
    assert bool(error) == (report["outcome"] != "switched")


@pytest.mark.parametrize(("name", "number"), effects())
def test_signal_at_every_call(name: str, number: int) -> None:
    world = World(**{f"{name}__{number}": becomes(signal="SIGTERM")})
    report, error = run(world)
    check_end(world, report, error)
    assert report["outcome"] == ("aborted" if error else "switched")
    assert ("SIGTERM came" in error) == bool(error)
    assert error == "" or "promote" not in world.calls


def test_a_signal_ends_the_wait_for_the_replay() -> None:
    world = World(stop=becomes(replayed=END), candidate__3=becomes(signal="SIGHUP"))
    assert "SIGHUP came" in run(world)[1]
    assert world.primary_writes


def test_a_candidate_that_was_restarted_is_asked_again() -> None:
    def restart(world: World) -> None:
        world.promoting_since = None
        raise LOST

    world = World(promote=becomes(promotes_in=0.01), candidate__3=restart)
    report, error = run(world)
    assert (error, report["outcome"], world.calls.count("promote")) == ("", "switched", 2)


def test_old_primary_that_comes_up_writable_is_stopped() -> None:
    world = World()
    world.takes_writes = lambda: True  # type: ignore[method-assign]  # were it so, the world would see two primaries
    report, error = run(world)
    assert "came up taking writes, and is stopped and fenced" in error
    assert (report["serving"], world.running, world.fenced) == ("node2", False, True)


def test_leftover_is_told() -> None:
    world = World()
    world.earlier = "an earlier switchover was cut short"
    assert run(world)[0]["warnings"] == ["an earlier switchover was cut short"]
    world = World(connect=fails(StewardError("no server runs")))
    world.earlier = "an earlier switchover was cut short"
    assert "no server runs; an earlier switchover was cut short" in run(world)[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        (
            json.dumps(
                {"operation": "switchover", "primary": "a", "candidate": "b", "started": "then", "step": "stop"}
            ),
            "an earlier switchover from a to b, begun then, was cut short at step stop",
        ),
        (
            json.dumps(
                {
                    "operation": "switchover", "primary": "a", "candidate": "b", "started": "then", "step": "promote",
                    "promotion_requested": True,
                }
            ),
            "an earlier switchover from a to b, begun then, was cut short at step promote, after the promotion was requested",
        ),
        ("{", "which cannot be read"),
        ("[]", "which cannot be read"),
    ],
)  # fmt: skip
def test_leftover(tmp_path: Path, text: str | None, expected: str | None) -> None:
    file = tmp_path / "operation.json"
    if text is not None:
        file.write_text(text)
    found = leftover_of(file)
    assert found is None if expected is None else expected in (found or "")


# The fence


@pytest.fixture
def place(tmp_path: Path) -> _fence.Place:
    """Return a place with a start.conf as Debian writes it."""
    start_conf = tmp_path / "start.conf"
    start_conf.write_text("# Automatic startup configuration\n#   auto: start it\n\nauto\n")
    start_conf.chmod(0o640)
    return _fence.Place(tmp_path / "etc" / "fenced", start_conf)


def start_conf_of(place: _fence.Place) -> str:
    assert place.start_conf is not None
    return place.start_conf.read_text()


def test_fence_and_back(place: _fence.Place) -> None:
    before = start_conf_of(place)
    assert _fence.read(place) is None
    assert _fence.fence(place, "switchover to node2")
    found = _fence.read(place)
    assert found is not None
    assert (found.reason, found.start_conf, found.kept) == ("switchover to node2", before, True)
    assert start_conf_of(place).splitlines()[-1] == "disabled"
    assert not _fence.fence(place, "again")
    assert _fence.read(place) == found
    assert _fence.unfence(place)
    assert start_conf_of(place) == before
    assert place.start_conf is not None
    assert stat.S_IMODE(place.start_conf.stat().st_mode) == 0o640
    assert not place.marker.exists()
    assert not _fence.unfence(place)


def test_fence_without_start_conf(tmp_path: Path) -> None:
    place = _fence.Place(tmp_path / "fenced")
    assert _fence.fence(place, "why")
    assert not _fence.fence(place, "why")
    assert _fence.unfence(place)
    assert list(tmp_path.iterdir()) == []


def test_start_conf_that_was_not_there_goes_again(tmp_path: Path) -> None:
    place = _fence.Place(tmp_path / "fenced", tmp_path / "start.conf")
    _fence.fence(place, "why")
    assert start_conf_of(place).endswith("disabled\n")
    _fence.unfence(place)
    assert list(tmp_path.iterdir()) == []


def test_fence_that_lost_its_half_is_made_whole(place: _fence.Place) -> None:
    before = start_conf_of(place)
    _fence.fence(place, "why")
    assert place.start_conf is not None
    place.start_conf.write_text("auto\n")
    assert not _fence.is_whole(place)
    assert _fence.fence(place, "again")
    assert _fence.read(place) is not None
    _fence.unfence(place)
    assert start_conf_of(place) == before


def test_start_conf_changed_meanwhile_stays(place: _fence.Place) -> None:
    _fence.fence(place, "why")
    assert place.start_conf is not None
    place.start_conf.write_text("manual\n")
    _fence.unfence(place)
    assert start_conf_of(place) == "manual\n"


@pytest.mark.parametrize(("text", "reason"), [("", None), ("by me\n", "by me"), ("[]", "[]"), ('"x"', '"x"')])
def test_marker_made_by_hand(place: _fence.Place, text: str, reason: str | None) -> None:
    place.marker.parent.mkdir()
    place.marker.write_text(text)
    before = start_conf_of(place)
    assert _fence.read(place) == _fence.Fence(reason)
    assert _fence.fence(place, "why")
    _fence.unfence(place)
    assert start_conf_of(place) == before
    assert not place.marker.exists()


# The server's process


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no number\n",
        "999999999\n/data\n0\n5432\n/run\n",
        pytest.param(f"{os.getpid()}\n/data\n0\n5432\n/run\n", id="lives, and is something else"),
    ],
)
def test_no_postmaster(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "postmaster.pid").write_text(text)
    assert _postmaster.find(tmp_path) is None
    assert not _postmaster.kill(tmp_path, "no.service")


def undecided(**faults: Fault) -> World:
    """Return the world as a promotion leaves it that did not come: the primary stopped and fenced, clients held, the candidate down."""
    world = World(**faults)
    world.running, world.fenced, world.held, world.candidate_state = False, True, set(POOLERS), "down"
    return world


def given_back(world: World) -> tuple[dict[str, Any], str]:
    try:
        return Switchover(world, JOB).give_back(), ""
    except SwitchoverError as error:
        return error.facts, str(error)


def test_the_old_primary_serves_again() -> None:
    world = undecided()
    report, error = given_back(world)
    assert error == ""
    assert (report["outcome"], report["serving"], report["changed"]) == ("aborted", "node1", True)
    assert [step["name"] for step in report["steps"]] == ["claim", "start", "resume"]
    assert (world.primary_writes, world.fenced, world.held, world.forgotten) == (True, False, set(), True)


@pytest.mark.parametrize(
    ("faults", "serving", "words"),
    [
        ({"claim": fails(StewardError("another operation"))}, None, "could not be made the primary again: another"),
        ({"unfence": fails(StewardError("full"))}, None, "could not be made the primary again: full"),
        ({"start": becomes(starts=False)}, None, "node1 does not start"),
        ({"start": becomes(standby=True)}, None, "it came up as a standby"),
        (
            {"find_held": becomes(find_problems={"pool2": "gone"})},
            "node1",
            "takes writes again, but pooler pool2: gone",
        ),
        (
            {"resume": becomes(resume_problems={"pool1": "x"})},
            "node1",
            "takes writes again, but pooler pool1 may still",
        ),
    ],
)
def test_the_old_primary_does_not_serve_again(faults: dict[str, Fault], serving: str | None, words: str) -> None:
    report, error = given_back(undecided(**faults))
    assert words in error
    assert (report["outcome"], report["serving"]) == ("aborted", serving)


class Asked:
    """A candidate whose promotion was requested. answers: what it says, look by look; then `gone`, or it stays as it said last."""

    def __init__(self, answers: str, state: str, starts_as: bool = True) -> None:
        self.answers, self.state, self.starts_as = answers.split(), state, starts_as
        self.time, self.fenced, self.killed, self.started = 0.0, False, False, False

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        if len(self.answers) > 1:
            self.answers.pop(0)

    def runs(self) -> bool:
        return self.answers[0] != "gone"

    def takes_writes(self) -> bool:
        if self.started:
            return self.starts_as
        if self.answers[0] == "silent":
            raise StewardError("does not answer")
        return self.answers[0] == "primary"

    def fence(self) -> None:
        self.fenced = True

    def unfence(self) -> None:
        self.fenced = False

    def kill(self) -> None:
        self.killed = True

    def control_data(self) -> ControlData:
        assert self.killed
        return dataclasses.replace(CONTROL, state=self.state)

    def start(self, limit: float) -> None:
        assert not self.fenced
        self.started = True


@pytest.mark.parametrize(
    ("asked", "outcome", "fenced"),
    [
        (Asked("standby silent primary", ""), "primary", False),
        (Asked("gone", "in archive recovery"), "standby", True),
        (Asked("standby silent gone", "shut down in recovery"), "standby", True),
        (Asked("standby", "in archive recovery"), "standby", True),  # until the limit
        (Asked("silent", "in archive recovery"), "standby", True),
        (Asked("gone", "in production"), "primary", False),
    ],
)
def test_a_promotion_that_nobody_saw(asked: Asked, outcome: str, fenced: bool) -> None:
    assert decide(asked, wait=2, start=5) == outcome
    assert asked.fenced == fenced
    assert asked.time < 3


def test_a_promotion_that_nobody_can_judge() -> None:
    with pytest.raises(StewardError, match="came up as a standby"):
        decide(Asked("gone", "in production", starts_as=False), wait=2, start=5)
