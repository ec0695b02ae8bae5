# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the catalogs of a restored server differ from what they are held against. Only reads; what cannot be compared is said to be so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog, _postmaster, _snapshot
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import compare, seen
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_source import SCOPE
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._recovery import Server
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Snapshot

APPLICATION = "pgsteward restore"
SHOWN = 5  # differences that are named

# Returns the truth of a database, and what it is, for people.
Truth = Callable[[str], tuple[Snapshot, str]]


def differences(expected: Snapshot, found: Snapshot, against: str) -> dict[str, Any]:
    """Return how many differences there are and the first ones. Pure."""
    drifts = seen(
        compare(_snapshot.limit(expected.objects, SCOPE), _snapshot.limit(found.objects, SCOPE)),
        (*expected.unseen, *found.unseen),
    )
    first = [f"{drift.object}: {drift.attribute}" for drift in drifts[:SHOWN]]
    many = f"{len(drifts)} difference{'s' if len(drifts) > 1 else ''}"
    text = f"{many} from {against}: {', '.join(first)}" if drifts else f"none, as {against}"
    return {"against": against, "count": len(drifts), "first": first, "text": text}


def unknown(reason: str) -> dict[str, Any]:
    """Return that nothing is known, and why. Pure."""
    return {"against": None, "count": None, "first": [], "text": f"not compared: {reason}"}


def place_of(server: Server, database: str) -> Place:
    """Return how the owner of a server of this host reaches a database. Raises StewardError when it does not run."""
    running = _postmaster.find(server.data_directory)
    if running is None:
        raise StewardError(f"no server runs in {server.data_directory}")
    return Place(database, running.socket_directory, running.port, server.owner)


def catalog(place: Place) -> Snapshot:
    """Return the catalog of a database, in the scope that dumps have."""
    with contextlib.closing(connect(place, APPLICATION)) as connection:
        return _catalog.read(connection, place, SCOPE).snapshot


def live(server: Server) -> Truth:
    """Return the databases of a server that runs as the truth."""
    return lambda name: (catalog(place_of(server, name)), "the live database")


def drifts(restored: Server, databases: Iterable[str], truth: Truth) -> dict[str, dict[str, Any]]:
    """Return the drift of each database; for the account that owns the restored server."""
    found = {}
    for name in databases:
        try:
            found[name] = differences(*_both(restored, name, truth))
        except StewardError as error:
            found[name] = unknown(str(error))
    return found


def _both(restored: Server, name: str, truth: Truth) -> tuple[Snapshot, Snapshot, str]:
    expected, against = truth(name)
    return expected, catalog(place_of(restored, name)), against
