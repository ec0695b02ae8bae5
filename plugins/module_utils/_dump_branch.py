# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A dump on its way into one of several stores: what fails there ends there, and leaves nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target, Writing
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


@dataclass(frozen=True)
class Outcome:
    """How a dump ended in one store: with a manifest, or with an error."""

    target: str
    manifest: Manifest | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()

    def as_return(self) -> dict[str, Any]:
        """Return it as a module returns it."""
        manifest = self.manifest
        return {
            "store": self.target,
            "error": self.error,
            "notes": list(self.notes),
            "bytes": manifest.bytes if manifest else None,
            "files": len(manifest.files) if manifest else None,
            "verified": sorted({file.verified for file in manifest.files}) if manifest else None,
        }


class Branch:
    """What goes into one store. The first error is kept, and from then on the store gets nothing more."""

    def __init__(self, target: Target, key: str, notes: tuple[str, ...] = ()) -> None:
        self.target, self.key, self.notes = target, key, notes
        self.files: list[File] = []
        self.manifest: Manifest | None = None
        self.error: str | None = None
        self._writing: Writing | None = None

    def attempt(self, action: Callable[..., None], *given: Any) -> None:
        """Do something for this store; an error ends only this one."""
        if self.error is None:
            try:
                action(*given)
            except StewardError as error:
                self.fail(str(error))

    def open(self, ending: str, expected: int) -> None:
        """Begin the file of the dump."""
        self._writing = self.target.writing(self.key, ending, manifests.DUMP, expected)

    def write(self, data: bytes) -> None:
        """Take the next bytes of it."""
        assert self._writing is not None  # noqa: S101  # open() came before, or error is set
        self._writing.write(data)

    def close(self) -> None:
        """Have it in the store."""
        assert self._writing is not None  # noqa: S101
        self.files.insert(0, self._writing.finish())
        self._writing = None

    def put(self, ending: str, part: str, data: bytes) -> None:
        """Write a small file."""
        self.files.append(self.target.put(self.key, ending, part, data))

    def seal(self, manifest: Manifest) -> None:
        """Write the manifest: from now on there is a dump."""
        told = replace(manifest, files=tuple(self.files))
        self.target.put(self.key, names.MANIFEST, "manifest", told.as_text().encode())
        self.manifest = told

    def sealed(self, manifest: Manifest) -> Outcome:
        """Write the manifest if all went well; return how it ended."""
        self.attempt(self.seal, manifest)
        return Outcome(self.target.name, self.manifest, self.error, self.notes)

    def fail(self, error: str) -> None:
        """Leave nothing of the dump in this store."""
        self.error = error
        if self._writing:
            with contextlib.suppress(StewardError):
                self._writing.abort()
            self._writing = None
        for file in self.files:
            with contextlib.suppress(StewardError):
                self.target.store.remove(self.key + file.ending)
        self.files = []


def refuse_none_left(branches: Sequence[Branch]) -> None:
    """Raise StewardError when no store is left to write to."""
    if all(branch.error for branch in branches):
        raise StewardError(str(branches[0].error))
