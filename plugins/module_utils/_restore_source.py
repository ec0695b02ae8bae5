# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the repositories hold for a restore, asked of pgBackRest on this host: backups, timelines, segments, tablespaces."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_target as aim
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_wal as wal
from ansible_collections.pgsteward.postgres.plugins.module_utils._children import bound_to_parent, ending
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import (
    IMMEDIATE,
    LATEST,
    Backup,
    Source,
    Stanza,
    Target,
    Wish,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_wal import Archive

PROGRAM = "pgbackrest"
LIMIT = 300.0  # seconds for a question; a bucket with a year of WAL takes a while
FEW = 8  # directories that are listed one by one; of more, the whole archive is
# Features and the version from which on they do what they say (tried, or by the release notes).
GATES: Mapping[str, tuple[int, ...]] = {"repo-target-time": (2, 54)}

CONFIG = Path("/etc/pgbackrest.conf")
STORES = ("s3", "gcs", "azure")  # those that can keep versions

_REASON = re.compile(r"^.*?(ERROR|ASSERT): ")
_DAMAGE = re.compile(r"INFO: (invalid \w+|missing file|unable to \w+|other error) '([^']+)'")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def as_account(
    owner: str, command: Sequence[str], limit: float | None = LIMIT, run: Run = subprocess.run, bound: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program as an account, when we are root, with a small environment; raises StewardError where it cannot be run or does not end.

    bound: it is told to end when we are killed.
    """
    become: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(owner)
        become = {
            "user": account.pw_uid,
            "group": account.pw_gid,
            "extra_groups": os.getgrouplist(owner, account.pw_gid),
        }
    try:
        return run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            timeout=limit,
            preexec_fn=bound_to_parent(signal.SIGTERM) if bound else None,
            **become,
        )
    except subprocess.TimeoutExpired:
        raise StewardError(f"{command[0]} did not end within {limit:.0f} s") from None
    except OSError as error:
        raise StewardError(f"cannot run {command[0]}: {error.strerror}; is it installed here?") from None


def words(outcome: subprocess.CompletedProcess[str]) -> str:
    """Return what pgBackRest gives as the reason of a failure, on one line."""
    lines = [line.strip() for line in f"{outcome.stderr}\n{outcome.stdout}".splitlines() if line.strip()]
    begun = next((index for index, line in enumerate(lines) if _REASON.search(line)), None)
    if begun is None:
        return " / ".join(lines[-2:]) or ending(outcome.returncode)
    taken = [lines[begun], *(line for line in lines[begun + 1 :] if line.startswith("HINT:") or "ERROR:" in line)]
    return " / ".join(_REASON.sub("", line) for line in taken[:4])


@dataclass(frozen=True)
class Backrest:
    """pgBackRest as it is configured on this host. as_of: `repository` is read as it was then, where its storage keeps versions."""

    stanza: str
    owner: str = "postgres"
    config: str | None = None
    as_of: str | None = None
    repository: int | None = None
    run: Run = field(default=subprocess.run, repr=False)

    def command(self, verb: str, *options: str) -> list[str]:
        """Return a command line of pgBackRest. Nothing but the answer goes to its output."""
        return [
            PROGRAM,
            *([f"--config={self.config}"] if self.config else []),
            "--log-level-console=off",
            "--log-level-stderr=error",
            *self.of_then(options),
            *options,
            verb,
        ]

    def of_then(self, options: Sequence[str] = ()) -> list[str]:
        """Return the options that read the repository as it was; they want it named, once."""
        if self.as_of is None:
            return []
        named = any(option.startswith("--repo=") for option in options)
        return [f"--repo-target-time={self.as_of}", *([] if named else [f"--repo={self.repository}"])]

    def ask(self, verb: str, *options: str, argument: str | None = None) -> str:
        """Return what pgBackRest answers; raises StewardError with its reason."""
        command = [*self.command(verb, *options), *([argument] if argument else [])]
        outcome = as_account(self.owner, command, LIMIT, self.run)
        if outcome.returncode:
            raise StewardError(f"pgbackrest {verb} failed: {words(outcome)}")
        return outcome.stdout

    def version(self) -> tuple[int, ...]:
        """Return the version of pgBackRest; raises StewardError where it is not installed."""
        outcome = as_account(self.owner, [PROGRAM, "version"], LIMIT, self.run)
        match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", outcome.stdout)
        if match is None:
            raise StewardError(f"pgbackrest version says {words(outcome)!r}: install pgBackRest here")
        return tuple(int(part) for part in match.groups() if part)

    def refuse_old(self) -> None:
        """Raise StewardError when what is asked for is more than this version can do."""
        if self.as_of is None:
            return
        if self.repository is None:
            raise StewardError(aim.ONE_REPOSITORY)
        config = Path(self.config) if self.config else CONFIG
        finding = versions_finding(config.read_text(encoding="utf-8"), self.repository) if config.is_file() else None
        if finding:
            raise StewardError(finding)
        version, least = self.version(), GATES["repo-target-time"]
        if version < least:
            raise StewardError(
                f"to read the repository as it was at {self.as_of} takes pgBackRest {_dotted(least)}, and this host has {_dotted(version)}:"
                " restore on a host that has a newer one"
            )

    def stanza_facts(self) -> Stanza:
        """Return what the repositories hold of the stanza."""
        return aim.stanza_of(self.ask("info", f"--stanza={self.stanza}", "--output=json"), self.stanza)

    def listing(self, repository: int, path: str, recurse: bool = False) -> Archive:
        """Return what a directory of the archive holds."""
        options = [f"--stanza={self.stanza}", f"--repo={repository}", "--output=json"]
        answer = self.ask("repo-ls", *options, *(["--recurse"] if recurse else []), argument=path)
        return wal.listed(json.loads(answer))

    def text(self, repository: int, path: str) -> str:
        """Return the content of a file of a repository, decrypted."""
        return self.ask("repo-get", f"--repo={repository}", f"--stanza={self.stanza}", argument=path)

    def damage(self, repository: int, limit: float = 3600.0) -> list[str] | None:
        """Return what is wrong with the files of a repository, which are all read for that; None where that cannot be done, or not in limit seconds.

        With 2.45 another host than that of the repository cannot have it read: the connection ends at once.
        """
        command = [PROGRAM, *([f"--config={self.config}"] if self.config else []), f"--stanza={self.stanza}"]
        command += [f"--repo={repository}", "--log-level-console=info", "--log-level-stderr=off", "verify"]
        try:
            outcome = as_account(self.owner, command, limit, self.run)
        except StewardError:
            return None
        found = [f"{match[1]} {match[2]}" for match in _DAMAGE.finditer(outcome.stdout)]
        return found or (None if outcome.returncode else [])

    def tablespaces(self, backup: Backup) -> dict[int, Path]:
        """Return the tablespaces in a backup, by oid, and where they were."""
        options = [f"--stanza={self.stanza}", f"--repo={backup.repository}", f"--set={backup.label}", "--output=json"]
        answer = json.loads(self.ask("info", *options), strict=False)
        found = [one for entry in answer for one in entry.get("backup", ()) if one["label"] == backup.label]
        return {int(space["oid"]): Path(space["destination"]) for one in found for space in one.get("tablespace") or ()}


def versions_finding(config: str, repository: int) -> str | None:
    """Return why a repository cannot be read as it was, by the configuration: on disks pgBackRest would give what is there now."""
    kind = re.search(rf"^[ \t]*repo{repository}-type[ \t]*=[ \t]*(\S+)", config, re.MULTILINE)
    if kind and kind[1] in STORES:
        return None
    return f"repository {repository} cannot be read as it was at a time: it is not in a bucket, and nothing else keeps versions"


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def archive_path(stanza: Stanza, repository: int) -> str:
    """Return where a repository keeps the archive of the stanza's database."""
    return f"archive/{stanza.name}/{stanza.archives[repository][0]}"


def look(backrest: Backrest, stanza: Stanza, repository: int, target: Target, local: Mapping[str, float]) -> Source:
    """Return what is needed of a repository to choose a backup: its timelines, and how far its archive goes.

    local: segments that are at hand on this host and not archived, by name.
    """
    path, newest = archive_path(stanza, repository), stanza.archives[repository][1]
    archive = backrest.listing(repository, path)
    wanted = wal.newest_timeline(archive) if target.timeline == LATEST else int(target.timeline)
    texts = {}
    if wanted in archive.histories:
        texts[wanted] = backrest.text(repository, f"{path}/{wanted:08X}.history")
    way = aim.way_to(target, archive, texts)
    size, ends = stanza.segment_bytes, {newest[:16]} if newest else set()
    for leg in way[-2:]:  # the last one may have no WAL yet
        ends |= set([name for name in archive.directories if int(name[:8], 16) == leg.timeline][-1:])
    # Where a restore left a timeline; see _restore_wal.undone.
    ends |= {
        wal.name_of(leg.timeline, max(0, leg.end // size - 1), size)[:16] for leg in way if leg.restored and leg.end
    }
    for directory in sorted(ends & set(archive.directories)):
        archive |= backrest.listing(repository, f"{path}/{directory}")
    return Source(repository, archive | Archive(segments=local), way)


def look_everywhere(
    backrest: Backrest, stanza: Stanza, target: Target, wish: Wish, local: Mapping[str, float]
) -> tuple[list[Source], dict[int, str]]:
    """Return the repositories that can be read, and why the others cannot. Raises StewardError where none can."""
    sources, problems = [], {}
    for repository in sorted(stanza.archives):
        if wish.repository not in (None, repository):
            continue
        try:
            sources.append(look(backrest, stanza, repository, target, local))
        except StewardError as error:
            problems[repository] = str(error)
    if problems and not sources:
        raise StewardError("; ".join(f"repository {key}: {text}" for key, text in problems.items()))
    return sources, problems


def complete(backrest: Backrest, stanza: Stanza, source: Source, backup: Backup, target: Target) -> Source:
    """Return a repository with all the segments that a restore may ask of it."""
    path, archive = archive_path(stanza, source.repository), source.archive
    wanted = wal.directories_from(archive, backup.first)
    if target.kind == IMMEDIATE:
        wanted = [name for name in wanted if name in (backup.first[:16], backup.last[:16])]
    if len(wanted) > FEW:
        return replace(source, archive=archive | backrest.listing(source.repository, path, recurse=True))
    for directory in wanted:
        archive |= backrest.listing(source.repository, f"{path}/{directory}")
    return replace(source, archive=archive)


def now() -> float:
    """Return the time, in seconds since 1970."""
    return time.time()
