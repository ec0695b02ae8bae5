# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is known of a dump: written beside it once all its files are in the store, so that a dump without one is none. Pure.

docs/dumps.md describes the format.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_plan import ALL
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import Item

FORMAT = 1
POSTGRESQL, SQLITE = "postgresql", "sqlite"
DUMP, GLOBALS, CATALOG = "dump", "globals", "catalog"  # what a file is
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class File:
    """A file of a dump as the store has it. ending: of its key. part: what it is. size, sha256: as stored, that is after encryption.

    plain_size, plain_sha256: before it, where the file is encrypted.
    """

    ending: str
    part: str
    size: int
    sha256: str
    verified: str = ""
    plain_size: int | None = None
    plain_sha256: str | None = None

    @property
    def encrypted(self) -> bool:
        """Whether it is encrypted."""
        return self.plain_sha256 is not None


@dataclass(frozen=True)
class Manifest:
    """A dump. rows: table, as SQL quotes it -> count. revisions: version table -> revisions. fingerprint: of the catalog, None where
    there is none to take. properties: of the database, as the catalog reader tells them."""

    name: str
    database: str
    environment: str
    kind: str
    begun: str
    seconds: float
    host: str
    dump_format: str
    compression: str
    server_version: str
    tool_version: str
    files: tuple[File, ...]
    content: str = ALL
    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    standby: bool = False
    database_bytes: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    extensions: Mapping[str, str] = field(default_factory=dict)
    revisions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fingerprint: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    role_passwords: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """What it takes in the store."""
        return sum(file.size for file in self.files)

    @property
    def whole(self) -> bool:
        """Whether it has all of the database, so that a restore can be compared with the catalog of then."""
        return self.content == ALL and not self.schemas and not self.tables

    @property
    def signed(self) -> bool:
        """Whether it says what is in the dump; that of a dump which somebody else made does not."""
        return bool(self.server_version)

    @property
    def encrypted(self) -> bool:
        """Whether its files are encrypted."""
        return any(file.encrypted for file in self.files)

    def key(self, ending: str) -> str:
        """Return the key of one of its files."""
        return f"{names.folder(self.database)}/{self.name}{ending}"

    def of(self, part: str) -> tuple[File, ...]:
        """Return the files that are one part of it."""
        return tuple(file for file in self.files if file.part == part)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the file holds it."""
        held = asdict(self)
        held["files"] = [{name: value for name, value in file.items() if value is not None} for file in held["files"]]
        return {"format": FORMAT, **held}

    def as_text(self) -> str:
        """Return the file."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n"


def moment(at: datetime) -> str:
    """Return a moment as manifests have it."""
    return at.astimezone(UTC).strftime(TIME)


def parse(text: str, key: str) -> Manifest:
    """Return the manifest that a file holds. Raises StewardError for what is none, is of a newer format, or is that of another dump."""
    try:
        held = json.loads(text)
        number = held.pop("format")
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StewardError(f"{key} is no manifest of a dump") from None
    if not isinstance(number, int) or number > FORMAT:
        raise StewardError(
            f"{key} has format {number}, and this version of the collection reads up to {FORMAT}: update it"
        )
    try:
        held["files"] = tuple(File(**file) for file in held["files"])
        held |= {name: tuple(held[name]) for name in ("schemas", "tables", "roles", "notes")}
        manifest = Manifest(**held)
    except (KeyError, TypeError):
        raise StewardError(f"{key} is no manifest of a dump: its fields are others") from None
    stated = names.parse_key(key)
    if stated is None or (str(stated.name), stated.database) != (manifest.name, manifest.database):
        raise StewardError(f"{key} is the manifest of {manifest.database}/{manifest.name}: somebody put it there")
    return manifest


@dataclass(frozen=True)
class Found:
    """A dump in a store, as its keys tell. manifest_key: None when its writer did not come to an end."""

    name: names.Name
    database: str
    manifest_key: str | None
    items: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(item.size for item in self.items)


def found_in(items: Iterable[Item], database: str | None = None) -> list[Found]:
    """Return the dumps among the files of a store, by database and age; other files are left alone."""
    held: dict[tuple[str, datetime, str], list[tuple[names.Key, Item]]] = {}
    for item in items:
        key = names.parse_key(item.key)
        if key and (database is None or key.database == database):
            held.setdefault((key.database, key.name.at, str(key.name)), []).append((key, item))
    return [_found(held[at]) for at in sorted(held)]


def _found(pairs: Sequence[tuple[names.Key, Item]]) -> Found:
    first = pairs[0][0]
    manifests = [item.key for key, item in pairs if key.plain_ending == names.MANIFEST]
    return Found(first.name, first.database, manifests[0] if manifests else None, tuple(item for _key, item in pairs))


def compare_files(manifest: Manifest, items: Iterable[Item]) -> list[str]:
    """Return what is missing or has another size in a store, without reading any of it."""
    there = {item.key: item.size for item in items}
    found = []
    for file in manifest.files:
        key = manifest.key(file.ending)
        if key not in there:
            found.append(f"{key} is missing")
        elif there[key] != file.size:
            found.append(f"{key} has {there[key]} bytes, and had {file.size}")
    return found


def compare_rows(expected: Mapping[str, int], found: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the tables whose rows differ; a table that is not there has None."""
    return [
        {"table": table, "expected": count, "found": found.get(table)}
        for table, count in sorted(expected.items())
        if found.get(table) != count
    ]
