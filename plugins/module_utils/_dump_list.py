# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dumps of a store: which there are, whether they are what was written, and which of them go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_retention as retention
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Found, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_names import ENCRYPTED, folder
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import ORPHAN_AGE, Item

WORKERS = 8


@dataclass(frozen=True)
class Listed:
    """A dump in a store. problem: why its manifest cannot be read. findings: what is missing or damaged, as far as was looked."""

    found: Found
    manifest: Manifest | None = None
    problem: str | None = None
    findings: tuple[str, ...] = ()
    verified: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.found.name)

    @property
    def good(self) -> bool:
        """Whether it has a manifest and nothing is known to be wrong with it."""
        return self.found.manifest_key is not None and not self.findings and not self.problem

    def as_return(self, rows: bool = False) -> dict[str, Any]:
        """Return it as a module returns it; rows: with the row counts."""
        told = self.manifest.as_dict() if self.manifest else {}
        told = {
            key: value for key, value in told.items() if key != "format" and (rows or key not in ("rows", "properties"))
        }
        return {
            **told,
            "name": self.name,
            "database": self.found.database,
            "bytes": self.found.bytes,
            "good": self.good,
            "verified": self.verified,
            "findings": [*self.findings, *([self.problem] if self.problem else [])],
        }


@dataclass(frozen=True)
class Listing:
    """All dumps of a store, by database and age, and what unfinished ones have left."""

    dumps: tuple[Listed, ...]
    unfinished: tuple[Found, ...] = field(default_factory=tuple)

    def of(self, database: str) -> list[Listed]:
        """Return the dumps of a database, oldest first."""
        return [dump for dump in self.dumps if dump.found.database == database]


def listing(target: Target, database: str | None = None, wanted: Collection[str] = ()) -> Listing:
    """Return the dumps of a store, with their manifests. wanted: names to look at, empty for all."""
    found = manifests.found_in(target.store.items(), database)
    found = [one for one in found if not wanted or str(one.name) in wanted]
    written = [one for one in found if one.manifest_key]
    with ThreadPoolExecutor(WORKERS) as pool:
        dumps = tuple(pool.map(lambda one: _listed(target, one), written))
    return Listing(dumps, tuple(one for one in found if not one.manifest_key))


class Shelf:
    """A store that is listed once, when it is first asked for; one that does not answer is not asked again, as that takes minutes."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._items: list[Item] | None = None
        self._problem: str | None = None

    def newest(self, database: str, moment: datetime | None = None) -> Listed:
        """Return the newest dump of a database, be it good or not, that is not younger than a moment. Raises StewardError without one."""
        written = [one for one in manifests.found_in(self._listed(), database) if one.manifest_key]
        written = [one for one in written if moment is None or one.name.at <= moment]
        if not written:
            when = f" from before {moment:%Y-%m-%d %H:%M:%S}" if moment else ""
            raise StewardError(f"there is no dump of {database}{when}")
        return _listed(self.target, written[-1])

    def _listed(self) -> list[Item]:
        if self._items is None and self._problem is None:
            try:
                self._items = list(self.target.store.items())
            except StewardError as error:
                self._problem = str(error)
        if self._problem is not None:
            raise StewardError(self._problem)
        return self._items or []


def _listed(target: Target, found: Found) -> Listed:
    try:
        manifest = read_manifest(target, str(found.manifest_key))
    except StewardError as error:
        return Listed(found, problem=str(error))
    return Listed(found, manifest, findings=tuple(manifests.compare_files(manifest, found.items)))


def read_manifest(target: Target, key: str) -> Manifest:
    """Return the manifest of a key. Raises StewardError, also where it is encrypted and the key for that is not here."""
    text = b"".join(target.plain(key)).decode("utf-8", "replace")
    return manifests.parse(text, key.removesuffix(ENCRYPTED))


def verify(target: Target, dump: Listed) -> Listed:
    """Read every file of a dump and compare it with what was written; return it with what was found."""
    if dump.manifest is None:
        return dump
    found = list(dump.findings)
    there = {item.key for item in dump.found.items}
    for file in dump.manifest.files:
        key = dump.manifest.key(file.ending)
        if key not in there or any(finding.startswith(f"{key} ") for finding in found):
            continue
        digest = hashlib.sha256()
        try:
            for data in target.store.chunks(key):
                digest.update(data)
        except StewardError as error:
            found.append(str(error))
            continue
        if digest.hexdigest() != file.sha256:
            found.append(f"{key} is damaged: its SHA-256 is {digest.hexdigest()[:12]}…, and was {file.sha256[:12]}…")
    return Listed(dump.found, dump.manifest, dump.problem, tuple(found), verified=True)


# Retention


@dataclass(frozen=True)
class Pruning:
    """What goes of a store. kept: name -> rules that want it. leftovers: files of dumps that were never finished, and old."""

    kept: Mapping[str, Sequence[str]]
    removed: tuple[Found, ...]
    leftovers: tuple[Found, ...]
    orphans: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """What it frees."""
        return sum(found.bytes for found in (*self.removed, *self.leftovers))

    def as_return(self) -> dict[str, Any]:
        """Return it as a module returns it."""
        return {
            "changed": bool(self.removed or self.leftovers or self.orphans),
            "kept": {name: list(rules) for name, rules in self.kept.items()},
            "removed": [str(found.name) for found in self.removed],
            "leftovers": [str(found.name) for found in self.leftovers],
            "orphans": list(self.orphans),
            "freed_bytes": self.bytes,
        }


def plan_pruning(
    target: Target, database: str, policy: retention.Policy, now: datetime, known_bad: Collection[str] = ()
) -> Pruning:
    """Return what goes of a database's dumps. known_bad: names of dumps that were found damaged. Raises StewardError.

    No file is read: whether the files of a dump are there, with their sizes, is what the store lists.
    """
    here = listing(target, database)
    dumps = [
        retention.Dump(
            dump.name, dump.found.name.at, (dump.good or _only_unreadable(dump)) and dump.name not in known_bad
        )
        for dump in here.dumps
    ]
    decision = retention.decide(dumps, policy, now)
    by_name = {dump.name: dump.found for dump in here.dumps}
    old = tuple(found for found in here.unfinished if _is_old(found.items, now))
    return Pruning(decision.kept, tuple(by_name[name] for name in decision.removed), old)


def _only_unreadable(dump: Listed) -> bool:
    """Say whether nothing is wrong with a dump but that its manifest is encrypted with a key that is not here."""
    return bool(dump.problem and "is encrypted with the key" in dump.problem)


def _is_old(items: Iterable[Item], now: datetime) -> bool:
    return all(now - item.modified > ORPHAN_AGE for item in items)


def prune(target: Target, database: str, pruning: Pruning, say: Callable[[str], None] = lambda _text: None) -> Pruning:
    """Remove what goes, the manifest of each dump first: what is left of one that was cut short is no dump. Returns it with orphans."""
    for found in (*pruning.removed, *pruning.leftovers):
        keys = [item.key for item in found.items]
        for key in sorted(keys, key=lambda key: (key != found.manifest_key, key)):
            target.store.remove(key)
        say(f"removed {found.database}/{found.name}")
    orphans = target.store.sweep(folder(database) + "/")
    return Pruning(pruning.kept, pruning.removed, pruning.leftovers, tuple(orphans))
