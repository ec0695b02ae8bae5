"""One operation at a time: who gets the lock, who is refused, and what the log says; against a systemd that is a dictionary."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.filter import change as filters
from ansible_collections.pgsteward.postgres.plugins.module_utils import _operation
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._operation import (
    UNIT,
    Begun,
    Ended,
    append,
    begin,
    claim_of,
    end,
    held_findings,
    holder,
    log_line,
    parts_of,
    start_command,
)
from ansible_collections.pgsteward.postgres.plugins.modules import pg_operation

NOW = datetime(2026, 1, 1, 3, 0, 0, tzinfo=UTC)
MINE = claim_of("failover", "alice@ops1", NOW, 120)
OTHER = claim_of("switchover", "bob@ops2", NOW - timedelta(seconds=30), 120)


class Systemd:
    """Units of one name: its state and description. ends: how many looks a unit that is going away takes; refuses: what it always says."""

    def __init__(
        self, state: str = "inactive", description: str = UNIT, ends: int = 0, refuses: str = "", hangs: bool = False
    ) -> None:
        self.state, self.description, self.ends, self.refuses, self.hangs = state, description, ends, refuses, hangs
        self.calls: list[str] = []

    def __call__(self, command: Sequence[str]) -> tuple[int | None, str]:
        verb = command[1] if command[0] == "systemctl" else "run"
        self.calls.append(verb)
        if self.hangs:
            return None, "timed out after 5 seconds"
        return getattr(self, verb.replace("-", "_"))(command)

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        if self.refuses:
            return 1, self.refuses
        if self.state != "inactive":
            return 1, f"Failed to start transient service unit: Unit {UNIT} was already loaded"
        self.state = "active"
        self.description = next(part.split("=", 1)[1] for part in command if part.startswith("--description="))
        return 0, ""

    def show(self, _command: Sequence[str]) -> tuple[int, str]:
        state = self.state
        if self.ends:
            self.ends -= 1
            self.state = self.state if self.ends else "inactive"
        return 0, f"Description={self.description}\nActiveState={state}\n"

    def stop(self, _command: Sequence[str]) -> tuple[int, str]:
        if self.refuses:
            return 1, self.refuses
        self.state = "inactive"
        return 0, ""

    def reset_failed(self, _command: Sequence[str]) -> tuple[int, str]:
        self.state = "inactive" if self.state == "failed" else self.state
        return 0, ""


def ignore(_seconds: float) -> None:
    """Wait for nothing."""


def test_a_claim_says_who_and_until_when() -> None:
    assert MINE == "failover by alice@ops1 since 2026-01-01T03:00:00Z, until 2026-01-01T03:02:00Z at the latest"
    assert parts_of(MINE) == {
        "operation": "failover",
        "by": "alice@ops1",
        "since": "2026-01-01T03:00:00Z",
        "until": "2026-01-01T03:02:00Z",
    }


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("alice by night@ops 1", "alice by night@ops 1"),
        ("a\nb\t c@d", "a b c@d"),
        ("a\x1b[31mb@c", "a [31mb@c"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_claim_is_one_printable_line(by: str, said: str) -> None:
    assert parts_of(claim_of("failover", by, NOW, 5))["by"] == said


@pytest.mark.parametrize("text", ["", UNIT, "failover by alice@ops1", "sleep infinity"])
def test_a_unit_made_by_hand_is_no_claim(text: str) -> None:
    assert parts_of(text) == {}


def test_times_are_utc() -> None:
    assert "since 2026-01-01T03:00:00Z" in claim_of("x", "y", NOW.astimezone(timezone(timedelta(hours=5))), 1)


def test_the_unit_ends_by_itself_and_leaves_its_name_free() -> None:
    command = start_command(MINE, 90)
    assert command[0] == "systemd-run"
    assert {"--collect", "--property=RuntimeMaxSec=90", f"--unit={UNIT}", f"--description={MINE}"} <= set(command)


@pytest.mark.parametrize(
    ("systemd", "take_over", "begun", "calls"),
    [
        (Systemd(), False, Begun(claim=MINE), ["run"]),
        (Systemd(), True, Begun(claim=MINE), ["run"]),
        (Systemd("active", OTHER), False, Begun(holder=OTHER), ["run", "show"]),
        (Systemd("deactivating", OTHER), False, Begun(holder=OTHER), ["run", "show"]),
        (Systemd("active", OTHER), True, Begun(claim=MINE, took_over=OTHER), ["run", "show", "stop", "run"]),
        # One that has failed, or has ended meanwhile, hinders nobody.
        (Systemd("failed", OTHER), False, Begun(claim=MINE), ["run", "show", "reset-failed", "run"]),
        (Systemd("stuck", OTHER, ends=1), False, Begun(claim=MINE), ["run", "show", "reset-failed", "run"]),
        # A systemd that does not do it is told of, and soon.
        (Systemd(refuses="no bus"), False, Begun(problem="no bus"), ["run", "show", "reset-failed"] * 3),
        (Systemd(hangs=True), False, Begun(problem="timed out after 5 seconds"), ["run"]),
    ],
)
def test_begin(systemd: Systemd, take_over: bool, begun: Begun, calls: list[str]) -> None:
    assert begin(systemd, MINE, 120, take_over, ignore) == begun
    assert systemd.calls == calls


@pytest.mark.parametrize(
    ("systemd", "ended", "left"),
    [
        (Systemd("active", MINE), Ended(held=True), "inactive"),
        # Another one's, or none any more: it stays as it is.
        (Systemd("active", OTHER), Ended(held=False), "active"),
        (Systemd("failed", MINE), Ended(held=False), "failed"),
        (Systemd(), Ended(held=False), "inactive"),
        (Systemd("active", MINE, refuses="no bus"), Ended(held=True, problem="no bus"), "active"),
        (Systemd("active", MINE, hangs=True), Ended(held=False), "active"),
    ],
)
def test_end(systemd: Systemd, ended: Ended, left: str) -> None:
    assert end(systemd, MINE) == ended
    assert systemd.state == left


@pytest.mark.parametrize(
    ("state", "held"), [("active", True), ("activating", True), ("failed", False), ("inactive", False)]
)
def test_holder(state: str, held: bool) -> None:
    assert holder(Systemd(state, OTHER)) == (OTHER if held else None)


def test_two_at_once_and_one_gets_it() -> None:
    host = Systemd()
    assert begin(host, MINE, 120, take_over=False, sleep=ignore).claim == MINE
    assert begin(host, OTHER, 120, take_over=False, sleep=ignore).holder == MINE
    assert end(host, OTHER) == Ended(held=False)
    assert end(host, MINE) == Ended(held=True)
    assert begin(host, OTHER, 120, take_over=False, sleep=ignore).claim == OTHER


@pytest.mark.parametrize(
    ("holders", "lines"),
    [
        ({}, []),
        ({"a": None, "b": ""}, []),
        (
            {"a": OTHER, "b": None, "c": OTHER},
            [
                f"another operation runs: {OTHER} (on a, c). Wait for its end; once that run is known to be dead, -e take_over=true"
            ],
        ),
        ({"a": OTHER, "b": MINE}, [f"{OTHER} (on a)", f"{MINE} (on b)"]),
    ],
)
def test_held_findings(holders: dict[str, str | None], lines: list[str]) -> None:
    found = held_findings(holders)
    assert len(found) == len(lines)
    assert all(line in one for line, one in zip(lines, found, strict=True)), found


# The log.


def test_a_line_of_the_log() -> None:
    assert json.loads(log_line("ended", MINE, NOW, what="a to b", result="done", lock=None)) == {
        "at": "2026-01-01T03:00:00Z",
        "event": "ended",
        "operation": "failover",
        "by": "alice@ops1",
        "what": "a to b",
        "result": "done",
    }
    assert log_line("begun", MINE, NOW, what="x\ny").count("\n") == 1


def test_the_log_is_for_root_only_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "log" / "operations.log"
    assert [append(path, "one\n"), append(path, "two\n")] == [None, None]
    assert path.read_text() == "one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750


@pytest.mark.parametrize("spoil", ["directory is a file", "link"])
def test_a_log_that_cannot_be_written_is_told(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "log" / "operations.log"
    if spoil == "link":
        path.parent.mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.parent.write_text("")
    assert "cannot write" in (append(path, "one\n") or "")
    assert not (tmp_path / "elsewhere").exists()


def test_a_program_that_is_not_there() -> None:
    status, said = _operation.call_program(["/nonexistent/systemd-run"])
    assert status is None
    assert "No such file" in said
    assert _operation.call_program(["sh", "-c", "echo so; exit 3"]) == (3, "so\n")
    assert _operation.call_program(["sh", "-c", "echo no >&2; exit 1"]) == (1, "no\n")


# The module.


class Module:
    """What a step takes of an AnsibleModule."""

    def __init__(self, log: Path, check_mode: bool = False, **given: Any) -> None:
        self.params = {
            **{name: option.get("default") for name, option in pg_operation.ARGUMENT_SPEC.items()},
            "log_file": str(log),
            **given,
        }
        self.check_mode = check_mode
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


Made = Callable[..., Module]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return lambda check_mode=False, **given: Module(tmp_path / "operations.log", check_mode, **given)


def logged(module: Module) -> list[dict[str, Any]]:
    path = Path(module.params["log_file"])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


WANTED = {"operation": "failover", "by": "alice@ops1", "what": "candidate b"}


def test_the_module_begins_and_ends(made: Made) -> None:
    host, begun = Systemd(), made(**WANTED)
    assert pg_operation.begin(begun, host, NOW) == {  # type: ignore[arg-type]
        "changed": True,
        "claim": MINE,
        "took_over": None,
        "diff": {"before": {"operation": None}, "after": {"operation": MINE}},
    }
    ended = made(claim=MINE, result="done", what="a to b")
    assert pg_operation.end(ended, host, NOW)["held"] is True  # type: ignore[arg-type]
    assert [(line["event"], line["what"], line.get("result")) for line in logged(ended)] == [
        ("begun", "candidate b", None),
        ("ended", "a to b", "done"),
    ]
    assert begun.warnings + ended.warnings == []
    assert host.state == "inactive"


def test_the_module_refuses_beside_another(made: Made) -> None:
    module = made(**WANTED)
    with pytest.raises(StewardError, match="another operation runs: switchover by bob@ops2") as caught:
        pg_operation.begin(module, Systemd("active", OTHER), NOW)  # type: ignore[arg-type]
    assert caught.value.facts == {"holder": OTHER}
    assert [(line["event"], line["by"], line["held"]) for line in logged(module)] == [("refused", "alice@ops1", OTHER)]


def test_the_module_takes_over(made: Made) -> None:
    module = made(**WANTED, take_over=True)
    result = pg_operation.begin(module, Systemd("active", OTHER), NOW)  # type: ignore[arg-type]
    assert (result["claim"], result["took_over"]) == (MINE, OTHER)
    assert logged(module)[0]["took_over"] == OTHER


def test_the_module_goes_on_without_systemd_or_log(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    module = made(**WANTED, log_file=str(tmp_path / "file" / "operations.log"))
    result = pg_operation.begin(module, Systemd(hangs=True), NOW)  # type: ignore[arg-type]
    assert (result["changed"], result["claim"]) == (False, None)
    assert [warning.split(":")[0] for warning in module.warnings] == [
        "other operations cannot be kept away from this host",
        "the log of operations lacks a line",
    ]


@pytest.mark.parametrize(("host", "held"), [(Systemd("active", OTHER), False), (Systemd(), False)])
def test_the_module_says_that_its_lock_was_lost(made: Made, host: Systemd, held: bool) -> None:
    module = made(claim=MINE, result="done")
    assert pg_operation.end(module, host, NOW)["held"] is held  # type: ignore[arg-type]
    assert "had ended before it" in module.warnings[0]
    assert logged(module)[0]["lock"] == "lost"


def test_a_dry_run_looks_and_takes_nothing(made: Made) -> None:
    host, module = Systemd(), made(check_mode=True, **WANTED)
    result = pg_operation.begin(module, host, NOW)  # type: ignore[arg-type]
    assert (result["changed"], result["claim"]) == (True, None)
    with pytest.raises(StewardError, match="another operation runs"):
        pg_operation.begin(module, Systemd("active", OTHER), NOW)  # type: ignore[arg-type]
    over = made(check_mode=True, **WANTED, take_over=True)
    assert pg_operation.begin(over, Systemd("active", OTHER), NOW)["took_over"] == OTHER  # type: ignore[arg-type]
    mine = Systemd("active", MINE)
    assert pg_operation.end(made(check_mode=True, claim=MINE), mine, NOW)["held"] is True  # type: ignore[arg-type]
    assert (host.state, mine.state, logged(module)) == ("inactive", "active", [])


# Who it is.


@pytest.mark.parametrize(("user", "said"), [("alice", "alice@ops1"), ("", "root@ops1")])
def test_operator(user: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "ops1")
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    assert filters.operator(user) == said


def test_an_operator_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("socket.gethostname", lambda: "ops1")
    monkeypatch.setattr("getpass.getuser", nobody)
    assert filters.operator("") == "unknown@ops1"
