# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What schema_info does: read, and write the file if one is named."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog, _connection, _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Scope

APPLICATION_NAME = "pgsteward schema_info"


def info(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """Return the snapshot that the options ask for, or write it to path; raises StewardError."""
    place = _connection.place_from_params(params)
    scope = Scope.of(params["schemas"], params["kinds"], params["without"])
    with contextlib.closing(_connection.connect(place, APPLICATION_NAME, through_pooler=True)) as connection:
        reading = _catalog.read(connection, place, scope)
    snapshot = reading.snapshot
    held = snapshot.as_dict()
    result = {
        "changed": False,
        "fingerprint": held["fingerprint"],
        "objects": {kind: len(named) for kind, named in sorted(snapshot.objects.items())},
        "unseen": [f"{item} {attribute}".removesuffix(" *") for item, attribute in snapshot.unseen],
        "server_version": reading.version,
        "standby": reading.standby,
        "pooled": reading.pooled,
    }
    if params.get("path") is None:
        return {**result, "snapshot": held}
    return {**result, "written": _store(Path(params["path"]), snapshot.as_text(), check)}


def _store(path: Path, text: str, check: bool) -> bool:
    """Write the file unless it holds the text already; return whether it did, or would."""
    if not path.parent.is_dir():
        raise StewardError(f"path {path} cannot be written: there is no directory {path.parent}; make it first")
    if _owned_file.read(path) == text:
        return False
    _owned_file.refuse_unwritable(path)
    if not check:
        _owned_file.write(path, text, mode=0o644)
    return True
