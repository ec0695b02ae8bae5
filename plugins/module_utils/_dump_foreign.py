# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dumps that were made by pg_dump alone: without a manifest there is nothing to compare them with, and they are restored all the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_list import Listed
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File, Found, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import LocalStore, digest_of

_ARCHIVE = b"PGDMP"
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
ENDINGS = {"gzip": ".gz", "zstd": ".zst", "none": ""}


def kind_of(path: Path) -> tuple[str, str]:
    """Return format and compression of a dump, by its first bytes. Raises StewardError for what is none."""
    if path.is_dir():
        if (path / "toc.dat").is_file():
            return names.DIRECTORY, "none"
        raise StewardError(f"{path} is no dump: it has no toc.dat")
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_ARCHIVE))
    except OSError as error:
        raise StewardError(f"{path} cannot be read: {error.strerror}") from None
    if head == _ARCHIVE:
        return names.CUSTOM, "none"
    method = next((method for magic, method in _COMPRESSED.items() if head.startswith(magic)), "none")
    if method != "none" and path.suffix != ENDINGS[method]:
        raise StewardError(f"{path} is compressed with {method}: let its name end in {ENDINGS[method]}")
    if not head:
        raise StewardError(f"{path} is empty")
    return names.PLAIN, method


def listed(path: Path, database: str) -> tuple[Target, Listed]:
    """Return a dump as if it had a manifest that says nothing of its content. Raises StewardError."""
    path = path.absolute()
    form, method = kind_of(path)
    paths = sorted(one for one in path.iterdir() if one.is_file()) if form == names.DIRECTORY else [path]
    # toc.dat stays last, and the directory is that of the first file.
    files = tuple(File(_ending(path, one), manifests.DUMP, one.stat().st_size, digest_of(one)) for one in paths)
    manifest = _Unsigned(
        name=path.name,
        database=database,
        environment="",
        kind=manifests.POSTGRESQL,
        begun=manifests.moment(datetime.fromtimestamp(path.stat().st_mtime, UTC)),
        seconds=0.0,
        host="",
        dump_format=form,
        compression=method,
        server_version="",
        tool_version="",
        files=files,
        content="all",
        notes=("nothing is known of its content",),
    )
    name = names.Name("", datetime.fromtimestamp(path.stat().st_mtime, UTC))
    return Target(str(path.parent), LocalStore(path.parent)), Listed(Found(name, database, str(path), ()), manifest)


def _ending(path: Path, one: Path) -> str:
    return "" if one == path else f"/{one.name}"


class _Unsigned(Manifest):
    """A manifest whose files stand right below the store."""

    def key(self, ending: str) -> str:
        return self.name + ending
