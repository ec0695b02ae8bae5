# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration of pgBackRest on its host: a candidate is tried by pgBackRest itself, put in place, and read by its server."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest as pgbackrest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_info as info
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_run as runner
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_versions as versions
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

FILE_MODE = 0o640
# pgBackRest reads these as well, or instead; what is in them would be in nobody's inventory.
OTHER_CONFIG = Path("/etc/pgbackrest/pgbackrest.conf")
OTHER_DIRECTORY = Path("/etc/pgbackrest/conf.d")
# A trial is to end after the configuration was read and before anything is done: where no lock can be, or a parameter is missing.
NO_LOCK = "--lock-path=/dev/null/pgsteward"
STOPPED_AT_LOCK, STOPPED_AT_PARAMETER = 50, 43


@dataclass(frozen=True)
class Place:
    """One host's configuration. account: who runs pgBackRest; service: its server, empty for none; watched: files that it reads as well."""

    path: Path
    account: str
    binary: str = "pgbackrest"
    service: str = ""
    watched: tuple[Path, ...] = field(default=())


def converge(
    place: Place, stanza: str, wanted: Mapping[str, Any], expected: info.Expected | None, dry_run: bool
) -> dict[str, Any]:
    """Bring the file, and the server that reads it, to what is wanted; return the module's result.

    wanted: what plan() returns; expected: whose the archives have to be, None for anybody's. Raises StewardError with the file as it was when
    pgBackRest does not take it, when the version lacks what is asked for, or when a repository cannot be reached with it or is another
    cluster's.
    """
    program = runner.Program(stanza, place.binary, place.account)
    version = runner.version_of(program)
    if version is None and not dry_run:
        raise StewardError(f"pgBackRest is not installed here: there is no {place.binary}")
    postgresql = int(wanted.get("postgresql") or 0)
    refused = versions.refusals(version, [tuple(pair) for pair in wanted["asks"]], postgresql) if version else []
    if refused:
        raise StewardError(refused[0], refusals=refused)
    refuse_others(place.path)
    text = pgbackrest.render(wanted["sections"], wanted["secrets"], wanted["names"], version or "")
    before, write = _owned_file.read(place.path), not _stands(place, text)
    if before != text and version:
        refuse_unknown_names(pgbackrest.named_hosts(wanted["sections"], wanted["names"], version), version)
        with candidate(place, text) as config:
            trial = replace(program, config=config)
            refuse_complaints(trial, config, place.path, server="pg1-host" not in wanted["sections"][stanza])
            probe(trial, wanted, expected, dry_run)
    running = bool(place.service) and is_active(place.service)
    due = running and (write or is_stale(place))
    if not dry_run:
        if write:
            _owned_file.write(place.path, text, mode=FILE_MODE, owner=_owner(place))
        if due:
            reload(place.service)
    return {
        "changed": write or due,
        "version": version,
        "written": write,
        "reloaded": due,
        "running": running,
        "warnings": versions.warnings(version, encrypted="cipher-type" in text) if version else [],
        "diff": {
            "before": pgbackrest.masked(_owned_file.readable(before)),
            "after": pgbackrest.masked(text),
            "before_header": str(place.path),
            "after_header": str(place.path),
        },
    }


def refuse_others(path: Path, config: Path = OTHER_CONFIG, directory: Path = OTHER_DIRECTORY) -> None:
    """Raise StewardError for files that pgBackRest would read instead of ours, or beside it."""
    if config.exists() and config != path:
        raise StewardError(
            f"{config} is there, and pgBackRest reads it instead of {path}: move what it says to the inventory, then remove it"
        )
    beside = sorted(directory.glob("*.conf")) if directory.is_dir() else []
    if beside:
        raise StewardError(
            f"{beside[0]} is there, and pgBackRest reads it beside {path}: move what it says to the inventory, then remove it"
        )


def refuse_unknown_names(names: Sequence[str], version: str) -> None:
    """Raise StewardError for a name of a host that does not resolve here."""
    for name in names:
        try:
            socket.getaddrinfo(name, None)
        except OSError:
            raise StewardError(
                f"{name} is not known here, and pgBackRest {version} verifies no addresses (2.53 does): add the name to DNS or /etc/hosts"
            ) from None


@contextmanager
def candidate(place: Place, text: str) -> Iterator[Path]:
    """Give the file that is to be, where only the account may read it."""
    scratch = Path(tempfile.mkdtemp(prefix="pgsteward-pgbackrest-"))
    try:
        owner = _owner(place, own=True)
        if owner:
            os.chown(scratch, *owner)
        _owned_file.write(scratch / "pgbackrest.conf", text, mode=0o600, owner=owner)
        yield scratch / "pgbackrest.conf"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def refuse_complaints(trial: runner.Program, config: Path, path: Path, *, server: bool) -> None:
    """Raise StewardError with pgBackRest's own words when it does not take the file, or has never heard of a setting in it.

    server: whether the host has a server of its own, without which pgBackRest pushes nothing.
    """
    attempts: list[tuple[tuple[str, ...], int]] = [(("backup", NO_LOCK), STOPPED_AT_LOCK)]
    attempts += [(("archive-push",), STOPPED_AT_PARAMETER)] if server else []
    for (command, *options), expected in attempts:
        outcome = runner.run(trial, command, *options)
        complaints = runner.messages(outcome.text, "WARN")
        if outcome.code != expected:
            complaints.insert(0, runner.reason(outcome))
        if complaints:
            said = complaints[0].replace(str(config), str(path))
            raise StewardError(
                f"pgBackRest refuses the new configuration, and the old one stays: {said}", complaints=complaints
            )


def probe(trial: runner.Program, wanted: Mapping[str, Any], expected: info.Expected | None, dry_run: bool) -> None:
    """Look into each repository with the new file; raises StewardError for the first that cannot be reached or read, or is another cluster's.

    expected: whose it has to be, None for anybody's.
    """
    settings = wanted["sections"]["global"]
    for number in wanted["repositories"]:
        key = settings.get(f"repo{number}-host-key-file")
        if dry_run and key and not Path(key).exists():
            continue  # the certificate is made by the real run
        one = runner.look(trial, number).repository(number)
        if one is None:
            raise StewardError(
                f"repository {number}: pgbackrest does not know it, and nothing was changed", repository=number
            )
        if one.code not in (info.OK, info.NO_STANZA, info.NO_BACKUP, info.NO_STANZA_DATA):
            place = next((settings[name] for name in _places(number) if name in settings), "")
            raise StewardError(
                f"repository {number} ({place}) cannot be read, and nothing was changed: {_refusal(one.message)}",
                repository=number,
            )
        strange = info.strangers(one, expected) if expected else []
        if strange:
            raise StewardError(strange[0], repository=number, found=one.system_identifier)


def _places(number: int) -> list[str]:
    return [f"repo{number}-{name}" for name in ("s3-endpoint", "host", "path")]


def _refusal(text: str) -> str:
    """Return why a store said no: its own word for a wrong key or secret, where there is one, rather than its whole answer."""
    for word, meaning in (
        ("InvalidAccessKeyId", "the store does not know the key"),
        ("SignatureDoesNotMatch", "the store refuses the signature: key_secret is wrong"),
        ("AccessDenied", "the store refuses access: key and key_secret are wrong, or may not use the bucket"),
        ("NoSuchBucket", "the store has no such bucket"),
    ):
        if word in text:
            return f"{meaning} ({word})"
    return text.split(" *** ")[0][:400]


def _stands(place: Place, text: str) -> bool:
    if _owned_file.read(place.path) != text:
        return False
    found, owner = place.path.stat(), _owner(place)
    return (found.st_mode & 0o7777) == FILE_MODE and (owner is None or (found.st_uid, found.st_gid) == owner)


def _owner(place: Place, *, own: bool = False) -> tuple[int, int] | None:
    """Return owner and group of the file: root and the account's group, or the account itself; None where we are no root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(place.account)
    except KeyError:
        raise StewardError(f"there is no account {place.account}, who is to run pgBackRest") from None
    return (entry.pw_uid if own else 0, entry.pw_gid)


def is_active(service: str) -> bool:
    """Tell whether a service runs."""
    return _shown(service).get("ActiveState") == "active"


def is_stale(place: Place) -> bool:
    """Tell whether the running server may not have read its files: one is younger than its start and its last reload."""
    microseconds = int(_shown(place.service).get("StateChangeTimestampMonotonic") or 0)
    read = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC) + microseconds * 1000
    return any((_owned_file.modified(path) or 0) > read for path in (place.path, *place.watched))


def _shown(service: str) -> dict[str, str]:
    command = ["systemctl", "show", "--property=ActiveState,StateChangeTimestampMonotonic", service]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", timeout=30)
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)


def reload(service: str) -> None:
    """Make the server read its files; connections that it serves stay."""
    try:
        subprocess.run(
            ["systemctl", "reload", service], capture_output=True, text=True, check=True, cwd="/", timeout=60
        )
    except subprocess.CalledProcessError as error:
        raise StewardError(f"{service} does not reload: {error.stderr.strip()}") from None
