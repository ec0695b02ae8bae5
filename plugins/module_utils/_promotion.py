# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a promotion ended that was requested and not seen: decided on the candidate's own host, so that nobody has to guess.

A server that runs may still become primary, so it is waited for. One that is gone, or does not come within the limit, is fenced and
stopped; then its control file says whether it ever took writes. The effects are injected (World).
"""

from __future__ import annotations

from typing import Protocol

from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import ControlData
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

PRIMARY, STANDBY = "primary", "standby"
POLL = 0.05


class World(Protocol):
    """The candidate and the clock. Effects raise StewardError."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def runs(self) -> bool: ...
    def takes_writes(self) -> bool: ...  # raises while it does not answer
    def fence(self) -> None: ...
    def unfence(self) -> None: ...
    def kill(self) -> None: ...
    def control_data(self) -> ControlData: ...
    def start(self, limit: float) -> None: ...


def decide(world: World, wait: float, start: float) -> str:
    """Return PRIMARY when the candidate takes writes, STANDBY when it never did and is fenced and stopped; seconds are limits.

    Raises StewardError when neither can be said; the candidate may then have taken writes, and nobody else may.
    """
    if _comes(world, wait):
        return PRIMARY
    world.fence()
    world.kill()
    if world.control_data().in_recovery:
        return STANDBY
    # It was primary for a moment: what it holds is the truth.
    world.unfence()
    world.start(start)
    if not world.takes_writes():
        raise StewardError("the candidate was promoted, and came up as a standby: look at its log")
    return PRIMARY


def _comes(world: World, wait: float) -> bool:
    """Wait for the promotion for as long as there is a server; tell whether it came."""
    until = world.now() + wait
    while world.runs() and world.now() < until:
        try:
            if world.takes_writes():
                return True
        except StewardError:  # on its way up or down: the next look tells
            pass
        world.sleep(POLL)
    return False
