# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fence of an instance: while it stands, nothing starts the instance on its host.

It is a marker file, at which an assertion in the systemd unit looks, and on Debian a start.conf that says `disabled`, which
pg_ctlcluster refuses by itself. The marker holds what start.conf said before, so that it comes back as it was.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

DISABLED = "disabled"


@dataclass(frozen=True)
class Place:
    """Where an instance's fence is. start_conf is None where pg_ctlcluster does not start the instance."""

    marker: Path
    start_conf: Path | None = None


@dataclass(frozen=True)
class Fence:
    """A fence that stands. since: an ISO time; both are None in a marker that somebody made by hand.

    start_conf: what that file held before, None when there was none; kept: whether start_conf says so at all.
    """

    reason: str | None = None
    since: str | None = None
    start_conf: str | None = None
    kept: bool = False


def read(place: Place) -> Fence | None:
    """Return the fence of an instance, None when nothing hinders its start; raises StewardError for an unreadable marker."""
    text = _owned_file.read(place.marker)
    if text is None:
        return None
    try:
        said = json.loads(text)
        return Fence(
            **{name: said.get(name) for name in ("reason", "since", "start_conf")}, kept=bool(said.get("kept"))
        )
    except (ValueError, AttributeError):
        return Fence(reason=text.strip() or None)


def is_whole(place: Place) -> bool:
    """Tell whether marker and start.conf both keep the instance from starting."""
    return place.marker.exists() and (place.start_conf is None or _says(place.start_conf) == DISABLED)


def fence(place: Place, reason: str) -> bool:
    """Keep the instance from being started, also over a loss of power; tell whether anything had to be done.

    A server that runs goes on running. A fence that stands keeps its reason. Raises StewardError.
    """
    if is_whole(place):
        return False
    found = read(place) or Fence(reason, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    if not found.kept and place.start_conf is not None:
        found = Fence(found.reason, found.since, _owned_file.read(place.start_conf), kept=True)
    try:
        place.marker.parent.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise StewardError(f"cannot make the directory {place.marker.parent} of the fence: {error.strerror}") from None
    _owned_file.write(place.marker, json.dumps(asdict(found)) + "\n", mode=0o644)
    if place.start_conf is not None:
        text = f"# Fenced by pgsteward, see {place.marker}.\n{DISABLED}\n"
        _owned_file.write(place.start_conf, text, mode=None if place.start_conf.exists() else 0o644)
    return True


def unfence(place: Place) -> bool:
    """Let the instance be started again, with start.conf as it was; tell whether anything had to be done.

    A start.conf that somebody has changed meanwhile stays as it is. The marker goes last, so that a run cut short leaves a
    fence. Raises StewardError.
    """
    found = read(place)
    if found is None:
        return False
    if place.start_conf is not None and found.kept and _says(place.start_conf) == DISABLED:
        _owned_file.restore(place.start_conf, found.start_conf)
    try:
        place.marker.unlink(missing_ok=True)
    except OSError as error:
        raise StewardError(f"cannot remove the fence {place.marker}: {error.strerror}") from None
    return True


def _says(start_conf: Path) -> str | None:
    """Return the one word of a start.conf: auto, manual or disabled; None when it has none."""
    lines = (line.partition("#")[0].strip() for line in (_owned_file.read(start_conf) or "").splitlines())
    return next((line for line in lines if line), None)
