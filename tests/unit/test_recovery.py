"""A restored server is waited for until its target, and not until it answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _beside, _recovery
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Aim, Limits, Seen, Server

SLEEPS, ASKS = "RecoveryRetrieveRetryInterval", "RestoreCommand"
TIME = Aim("time", "time 2026-10-01 03:12:45 UTC")
END = Aim("latest", "the end of the archive", Lsn.parse("0/9000000"))
GONE, STARTS = Seen(running=False), Seen(running=True)


def seen(lsn: str = "0/5000000", **more: Any) -> Seen:
    return Seen(**{"running": True, "answers": True, "recovering": True, "lsn": Lsn.parse(lsn), **more})


PAUSED = seen(paused=True)


@pytest.mark.parametrize(
    ("now", "before", "aim", "verdict"),
    [
        (GONE, None, TIME, "wait"),
        (STARTS, None, TIME, "wait"),
        (seen(), None, TIME, "wait"),  # consistent, and on its way
        (seen(waits=SLEEPS), seen(waits=SLEEPS), TIME, "wait"),
        (PAUSED, None, TIME, "reached"),
        (seen(paused=True, settings={"max_connections": 100}, needed={"max_connections": 100}), None, TIME, "reached"),
        # The end of the archive: nothing more comes, and all that was known has been replayed.
        (seen("0/9000100", waits=SLEEPS), seen("0/9000100", waits=SLEEPS), END, "reached"),
        (seen("0/9000100", waits=SLEEPS), None, END, "wait"),
        (seen("0/9000100", waits=ASKS), seen("0/9000100", waits=SLEEPS), END, "wait"),
        (seen("0/9000100", waits=SLEEPS), seen("0/9000000", waits=SLEEPS), END, "wait"),
        (
            seen("0/8000000", waits=SLEEPS),
            seen("0/8000000", waits=SLEEPS),
            END,
            "wait",
        ),  # the repository does not answer
    ],
)
def test_verdicts(now: Seen, before: Seen | None, aim: Aim, verdict: str) -> None:
    assert _recovery.verdict(now, before, aim) == verdict


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (
            seen(paused=True, settings={"max_connections": 50}, needed={"max_connections": 100}),
            (
                "replay has stopped at LSN 0/5000000, before time 2026-10-01 03:12:45 UTC, as settings are below what the primary had then:"
                " max_connections = 50 (the WAL wants 100)"
            ),
        ),
        (seen(recovering=False, timeline=2), "the server takes writes already, on timeline 2"),
    ],
)
def test_what_is_no_target(now: Seen, words: str) -> None:
    with pytest.raises(StewardError) as caught:
        _recovery.verdict(now, None, TIME)
    assert words in str(caught.value)


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait(
    looks: list[Seen], aim: Aim = TIME, limits: Limits | None = None, words: str = "", alive: bool | None = None
) -> tuple[Seen, float]:
    """Wait for a server that shows itself so, the last look again and again; return what was seen, and how long it took."""
    clock, left = Clock(), iter(looks)

    class Quiet(Server):
        def words(self) -> str:
            return words

    def looking(_server: Server, last: list[Seen] = looks[-1:]) -> Seen:
        return next(left, last[0])

    found = _recovery.reach(
        Quiet(Path("/data"), Path("/bin")),
        aim,
        limits or Limits(100, 20),
        (lambda: alive) if alive is not None else None,
        looking,
        clock,
        clock.sleep,
    )
    return found, clock.now


def test_the_wait() -> None:
    looks = [GONE, STARTS, *(seen(f"0/{number}000000") for number in range(3, 9)), seen("0/9000000", paused=True)]
    found, seconds = wait(looks)
    assert (str(found.lsn), seconds) == ("0/9000000", 4.0)


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        (
            "FATAL: recovery ended before configured recovery target was reached",
            "the target is not in the WAL that could be read: aim earlier",
        ),
        (
            "FATAL: requested recovery stop point is before consistent recovery point",
            "begin with an older one (backup=…)",
        ),
        (
            "FATAL: requested timeline 3 is not a child of this server's history",
            "name the timeline on which the backup was taken",
        ),
        ("something else", "its log says why"),
        ("", "Its log ends with: (nothing)"),
    ],
)
def test_a_server_that_ends_before_its_target(log: str, remedy: str) -> None:
    with pytest.raises(StewardError) as caught:
        wait([STARTS, seen(), GONE], words=log)
    assert "the server ended before it had reached time 2026-10-01 03:12:45 UTC: " in str(caught.value)
    assert remedy in str(caught.value)
    assert log in str(caught.value)


def test_a_server_that_is_still_being_started_is_not_gone() -> None:
    with pytest.raises(StewardError, match=r"was not reached within 20 s, and nothing went on for 20 s"):
        wait([GONE], alive=True)
    with pytest.raises(StewardError, match=r"the server ended before"):
        wait([GONE], alive=False)


@pytest.mark.parametrize(
    ("looks", "limits", "words"),
    [
        (
            [seen()],
            Limits(100, 20),
            "nothing went on for 20 s (LSN 0/5000000, segment unknown): its log says why. Its log ends with: the last words",
        ),
        ([STARTS], Limits(10, 20), "time 2026-10-01 03:12:45 UTC was not reached within 10 s (LSN unknown"),
    ],
)
def test_limits(looks: list[Seen], limits: Limits, words: str) -> None:
    with pytest.raises(StewardError) as caught:
        wait(looks, limits=limits, words="the last words")
    assert words in str(caught.value)


def test_replay_before_the_server_answers_is_progress() -> None:
    """A large cluster replays for long before it is consistent; the title of the process says where it is."""

    def looks() -> Iterator[Seen]:
        for number in range(30):
            yield from [Seen(running=True, segment=f"{number:024X}")] * 20
        yield PAUSED

    found, seconds = wait(list(looks()), limits=Limits(1000, 15))
    assert (found, seconds) == (PAUSED, 300.0)


AUTO = """\
# Do not edit this file manually!
# It will be overwritten by the ALTER SYSTEM command.
work_mem = '8MB'
# Removed by pgBackRest restore on 2026-10-01 04:00:00 # recovery_target_time = '2026-09-01 00:00:00+00'

# Recovery settings generated by pgBackRest restore on 2026-10-01 04:00:00
restore_command = 'pgbackrest --stanza=lab archive-get %f "%p"'
recovery_target_time = '2026-10-01 03:12:45+00'
recovery_target_timeline = '1'
primary_conninfo = ''
"""


def test_settings_of_the_restore_go_and_others_stay() -> None:
    left = _recovery.without_recovery(AUTO)
    assert left.splitlines()[-1] == "work_mem = '8MB'"
    assert "recovery" not in left
    assert _recovery.without_recovery(left) == left


# Beside


def test_a_server_beside_has_no_network_and_no_archive() -> None:
    given = _beside.settings(
        5440,
        Path("/x/socket"),
        {"max_connections": 300},
        {"listen_addresses": "*", "archive_mode": "on", "shared_buffers": "1GB", "work_mem": "64MB"},
    )
    assert (given["listen_addresses"], given["archive_mode"], given["port"]) == ("", "off", "5440")
    assert (given["shared_buffers"], given["work_mem"], given["max_connections"]) == ("1GB", "64MB", "300")
    command = _beside.command(Server(Path("/x/data"), Path("/bin")), Path("/x"), given)
    assert command[:3] == ["/bin/postgres", "-D", "/x/data"]
    assert "archive_mode=off" in command
    assert "hba_file=/x/pg_hba.conf" in command


@pytest.mark.parametrize(
    ("port", "words"), [(5440, None), (80, "is not from 1024 to 65535"), (70000, "is not from 1024 to 65535")]
)
def test_ports(port: int, words: str | None) -> None:
    found = _beside.port_finding(port)
    assert (found is None) == (words is None)
    assert words is None or words in str(found)


def test_sockets() -> None:
    assert _beside.socket_finding(Path("/var/lib/pgsteward/restores/5440"), 5440) is None
    assert "is longer than a socket's path may be" in str(_beside.socket_finding(Path("/" + "x" * 100), 5440))
