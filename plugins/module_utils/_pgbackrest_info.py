# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `pgbackrest info --output=json` says of one stanza, as data; what is wrong with it, and its figures. Pure.

Runs on hosts without Ansible too, below commands and timers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

# Codes of a repository's status.
OK, NO_STANZA, NO_BACKUP, NO_STANZA_DATA, UNREACHABLE = 0, 1, 2, 3, 99
TYPES = ("full", "diff", "incr")
WARN_SHARE = 0.5  # of archive-push-queue-max: the warning comes while there is as much time again

_ERROR_NAME = re.compile(r"^\[[A-Za-z]+Error\] ")
_TRIED_AGAIN = re.compile(r"\s*\[[A-Za-z]+Error\] on \d+ retries .*", re.DOTALL)


@dataclass(frozen=True)
class Backup:
    """One backup of a repository. Times are seconds since 1970; read_bytes: of the cluster, stored_bytes: in the repository by it alone.

    needs: the labels that it cannot be restored without. pages_wrong: whether checksums of pages were wrong when it was taken.
    """

    label: str
    type: str
    begun: int
    ended: int
    cluster_bytes: int
    read_bytes: int
    stored_bytes: int
    wal_first: str | None
    wal_last: str | None
    lsn_first: str | None
    lsn_last: str | None
    database: int
    needs: tuple[str, ...] = ()
    pages_wrong: bool = False

    @property
    def seconds(self) -> int:
        """How long it took."""
        return self.ended - self.begun


@dataclass(frozen=True)
class Repository:
    """One repository of a stanza. databases: every cluster that has used it, the present one last; wal: the segments of that one."""

    number: int
    code: int
    message: str
    encrypted: bool
    databases: tuple[Mapping[str, Any], ...] = ()
    wal_first: str | None = None
    wal_last: str | None = None
    backups: tuple[Backup, ...] = ()

    @property
    def there(self) -> bool:
        """Whether it holds this stanza."""
        return self.code in (OK, NO_BACKUP) or bool(self.databases)

    @property
    def system_identifier(self) -> str | None:
        """The cluster that may use it now."""
        return str(self.databases[-1]["system_identifier"]) if self.databases else None

    @property
    def version(self) -> str | None:
        """Major version of that cluster."""
        return str(self.databases[-1]["version"]) if self.databases else None

    def last(self, *types: str) -> Backup | None:
        """Return the newest backup of the present cluster that is of one of the types, of any without them."""
        present = self.databases[-1]["id"] if self.databases else None
        listed = [one for one in self.backups if one.database == present and (not types or one.type in types)]
        return max(listed, key=lambda one: one.ended) if listed else None

    def as_facts(self) -> dict[str, Any]:
        """Return plain data for Ansible."""
        return {
            **asdict(self),
            "databases": [dict(one) for one in self.databases],
            "backups": [{**asdict(one), "needs": list(one.needs), "seconds": one.seconds} for one in self.backups],
            "system_identifier": self.system_identifier,
            "version": self.version,
        }


@dataclass(frozen=True)
class Stanza:
    """A stanza in all its repositories. busy: whether a backup, an expiry or a stanza command runs now."""

    name: str
    busy: bool
    repositories: tuple[Repository, ...]

    def repository(self, number: int) -> Repository | None:
        """Return a repository by its number."""
        return next((one for one in self.repositories if one.number == number), None)


def parse(text: str, stanza: str) -> Stanza:
    """Return what the answer says of one stanza; raises StewardError when it is no such answer."""
    try:
        listed = json.loads(text, strict=False)  # messages hold what files hold, also damaged ones
        found: Mapping[str, Any] = next((one for one in listed if one["name"] == stanza), {})
        repositories = tuple(_repository(found, one) for one in found.get("repo", ()))
        busy = bool(found.get("status", {}).get("lock", {}).get("backup", {}).get("held"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StewardError(f"pgbackrest info answers what is not understood: {error!r}") from None
    return Stanza(stanza, busy, repositories)


def _repository(found: Mapping[str, Any], one: Mapping[str, Any]) -> Repository:
    key = one["key"]
    databases = sorted((item for item in found["db"] if item["repo-key"] == key), key=lambda item: item["id"])
    present = databases[-1]["id"] if databases else None
    archive: Mapping[str, Any] = next(
        (item for item in found["archive"] if item["database"] == {"id": present, "repo-key": key}), {}
    )
    return Repository(
        number=key,
        code=one["status"]["code"],
        message=_message(one["status"]["message"]),
        encrypted=one["cipher"] != "none",
        databases=tuple(
            {"id": item["id"], "system_identifier": str(item["system-id"]), "version": str(item["version"])}
            for item in databases
        ),
        wal_first=archive.get("min"),
        wal_last=archive.get("max"),
        backups=tuple(_backup(item) for item in found["backup"] if item["database"]["repo-key"] == key),
    )


def _message(text: str) -> str:
    """Return what pgBackRest says of a repository, on one line, without what it said at every further try."""
    return " ".join(_TRIED_AGAIN.sub("", _ERROR_NAME.sub("", text)).split())


def _backup(item: Mapping[str, Any]) -> Backup:
    archive, lsn, size = item.get("archive") or {}, item.get("lsn") or {}, item["info"]
    stored = size.get("repository") or {}
    return Backup(
        label=item["label"],
        type=item["type"],
        begun=item["timestamp"]["start"],
        ended=item["timestamp"]["stop"],
        cluster_bytes=size["size"],
        read_bytes=size["delta"],
        # A repository of small files in bundles knows what was added, and not what a backup is in all.
        stored_bytes=stored.get("delta") or 0,
        wal_first=archive.get("start"),
        wal_last=archive.get("stop"),
        lsn_first=lsn.get("start"),
        lsn_last=lsn.get("stop"),
        database=item["database"]["id"],
        needs=tuple(item.get("reference") or ()),
        pages_wrong=bool(item.get("error")),
    )


@dataclass(frozen=True)
class Archiver:
    """What the server of this host says of its archiving. Times are seconds since 1970; None where nothing of the kind has happened.

    ready: segments that wait; ready_since: how long the first of them does.
    """

    primary: bool
    mode: str
    command: str
    segment_bytes: int
    ready: int = 0
    ready_since: float | None = None
    archived: int = 0
    last_wal: str | None = None
    last_time: float | None = None
    failed: int = 0
    last_failed_wal: str | None = None
    last_failed_time: float | None = None

    @property
    def queue_bytes(self) -> int:
        """What waits, in bytes."""
        return self.ready * self.segment_bytes

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self.last_failed_time is not None and (self.last_time is None or self.last_failed_time > self.last_time)


@dataclass(frozen=True)
class Limits:
    """What is late or too much. Ages in seconds, None: not looked at; queue: archive-push-queue-max in bytes, 0: none."""

    full_age: float | None = None
    backup_age: float | None = None
    wal_age: float | None = None
    queue: int = 0


@dataclass(frozen=True)
class Expected:
    """What a stanza should be: which repositories there are, and whose they are. None: not known."""

    repositories: Sequence[int] = field(default_factory=tuple)
    system_identifier: str | None = None
    version: str | None = None


def findings(stanza: Stanza, archiver: Archiver | None, expected: Expected, limits: Limits, now: float) -> list[str]:
    """Return one line for each thing that is wrong, the worst first."""
    found = []
    for number in expected.repositories or [one.number for one in stanza.repositories]:
        one = stanza.repository(number)
        where = f"repository {number}"
        if one is None:
            found.append(f"{where}: pgbackrest does not know it: run site")
            continue
        found += strangers(one, expected) or _states(one, where)
        if one.code == OK:
            found += _ages(one, where, limits, now)
    return found + (_archiving(archiver, limits, now) if archiver else [])


def strangers(one: Repository, expected: Expected) -> list[str]:
    """Return why a repository is another cluster's, with both identifiers; nothing when it is ours, or when nobody's."""
    theirs, ours = one.system_identifier, expected.system_identifier
    if theirs and ours and theirs != ours:
        return [
            (
                f"repository {one.number}: its archive belongs to the system identifier {theirs} (PostgreSQL {one.version}), this cluster is"
                f" {ours}: give this cluster a stanza or a path of its own. If it is the same one after an upgrade or a restore by other means, set"
                " pgbackrest_stanza_upgrade: true"
            )
        ]
    if theirs and expected.version and one.version != expected.version:
        return [
            (
                f"repository {one.number}: its archive is of PostgreSQL {one.version}, this cluster is {expected.version}: set"
                " pgbackrest_stanza_upgrade: true after an upgrade"
            )
        ]
    return []


def _states(one: Repository, where: str) -> list[str]:
    if one.code in (NO_STANZA, NO_STANZA_DATA):
        return [f"{where}: there is no stanza ({one.message}): run site"]
    if one.code == NO_BACKUP:
        return [f"{where}: there is no backup yet: run the playbook backup"]
    return [] if one.code == OK else [f"{where}: {one.message}"]


def _ages(one: Repository, where: str, limits: Limits, now: float) -> list[str]:
    full, last = one.last("full"), one.last()
    found = []
    if full is None or last is None:
        return [f"{where}: there is no backup of the present cluster yet: run the playbook backup"]
    if limits.full_age is not None and now - full.ended > limits.full_age:
        found.append(
            f"{where}: the last full backup, {full.label}, is {age(now - full.ended)} old, more than {age(limits.full_age)}"
        )
    if limits.backup_age is not None and now - last.ended > limits.backup_age:
        found.append(
            f"{where}: the last backup, {last.label}, is {age(now - last.ended)} old, more than {age(limits.backup_age)}"
        )
    wrong = [backup.label for backup in one.backups if backup.pages_wrong]
    if wrong:
        found.append(
            f"{where}: {', '.join(wrong)} holds pages with wrong checksums: look at the server's disk, see pgbackrest info --set={wrong[-1]}"
        )
    return found


def _archiving(archiver: Archiver, limits: Limits, now: float) -> list[str]:
    if not archiver.primary:
        return []
    found = []
    if archiver.mode == "off":
        found.append(
            "archive_mode is off: nothing is archived. It takes effect at a restart; see the playbook restart_rolling"
        )
    elif archiver.command in ("", "/bin/true"):
        found.append(f"archive_command is {archiver.command or 'empty'}: nothing is archived: run site")
    if archiver.failing:
        found.append(f"the last attempt to archive failed, for {archiver.last_failed_wal}: the server's log says why")
    if limits.queue and archiver.queue_bytes >= limits.queue:
        found.append(
            f"{size(archiver.queue_bytes)} of WAL wait for their archive, all that pgbackrest_queue_max allows: pgBackRest gives WAL up from here on,"
            " and no moment after that can be restored until the next backup. Mend archiving, then take a backup"
        )
    elif limits.queue and archiver.queue_bytes >= WARN_SHARE * limits.queue:
        found.append(
            f"{size(archiver.queue_bytes)} of WAL wait for their archive; at {size(limits.queue)} (pgbackrest_queue_max) pgBackRest gives WAL up"
        )
    waits = now - archiver.ready_since if archiver.ready_since is not None else 0
    if limits.wal_age is not None and waits > limits.wal_age:
        found.append(
            f"the oldest WAL that waits for its archive does so for {age(waits)}, more than {age(limits.wal_age)}"
        )
    return found


def figures(stanza: Stanza, archiver: Archiver | None, limits: Limits, now: float) -> dict[str, Any]:
    """Return what a monitoring looks at; ages in seconds, None where there is nothing to be of an age."""
    repositories = []
    for one in stanza.repositories:
        full, last = one.last("full"), one.last()
        repositories.append(
            {
                "repository": one.number,
                "status": one.code,
                "full_age": now - full.ended if full else None,
                "backup_age": now - last.ended if last else None,
                "backup_seconds": last.seconds if last else None,
                "backup_bytes": last.stored_bytes if last else None,
                "backups": len(one.backups),
                "wal_last": one.wal_last,
            }
        )
    values: dict[str, Any] = {"repositories": repositories}
    if archiver and archiver.primary:
        values |= {
            "wal_age": now - archiver.last_time if archiver.last_time is not None else None,
            "queue_age": now - archiver.ready_since if archiver.ready_since is not None else 0,
            "queue_segments": archiver.ready,
            "queue_bytes": archiver.queue_bytes,
            "queue_limit_bytes": limits.queue or None,
            "archive_failures": archiver.failed,
            "archive_failing": archiver.failing,
        }
    return values


def age(seconds: float) -> str:
    """Return a duration in the two largest units that tell something: 3d 4h, 5min 10s, 12s."""
    whole = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count}{unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0")) or "0s"


def size(count: float) -> str:
    """Return a number of bytes as a person reads it: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"
