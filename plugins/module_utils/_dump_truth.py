# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The catalogs of dumps as truths, for databases that came back by another way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config as config
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_list as dumps
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _snapshot
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_fetch import fetch_part
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Snapshot


def moment_of(text: str | None) -> datetime | None:
    """Return a moment that a server tells, as in 2026-10-01 03:12:44.12 UTC; None stays None."""
    return datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC) if text else None


def shelves_of(path: Path) -> list[dumps.Shelf]:
    """Return the stores of this host's configuration of dumps; raises StewardError when there is none."""
    if not path.exists():
        raise StewardError("no dumps are configured on this host")
    return [dumps.Shelf(target_of(store, str(store["name"]))) for store in config.read(path).stores]


def before(shelves: Sequence[dumps.Shelf], database: str, moment: datetime | None) -> tuple[Snapshot, str]:
    """Return the catalog of the youngest dump that is not younger than a moment, from the first store that has one; and what it is.

    Raises StewardError where no store has any.
    """
    reasons = []
    for shelf in shelves:
        target = shelf.target
        try:
            manifest = shelf.newest(database, moment).manifest
            text = fetch_part(target, manifest, manifests.CATALOG) if manifest and manifest.whole else None
        except StewardError as error:
            reasons.append(f"{target.name}: {error}")
            continue
        if manifest is None or text is None:
            reasons.append(f"{target.name}: its dump has no catalog of the whole database")
            continue
        name = f"{manifest.name} in {target.name}"
        return _snapshot.parse(text.decode("utf-8", "surrogatepass"), f"the catalog of {name}"), f"the dump {name}"
    raise StewardError("; ".join(reasons))
