# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pgBackRest on this host: what it says, and backups that it takes. Runs on hosts without Ansible too, below timers."""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._children import ending
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import Stanza, parse

RECORD = Path("/var/lib/pgsteward/backup/physical.json")
ASK_LIMIT = 300.0  # seconds; a store that does not answer is asked several times by pgBackRest itself
BACKUP_LIMIT = 7 * 86400.0
CONNECT_SECONDS = 10
# pgBackRest asks a store that does not answer nine times before it says so (tried with 2.45 and 2.55).
LOOK_IO_SECONDS = 5

# Codes of pgBackRest.
LOCKED, DATABASE = 50, 56
_PARAMETER_MISSING = 43  # where a trial is to stop: after the configuration, before anything is done
_NO_STANDBY = "unable to find standby"
_FROM_STANDBY = "replay on the standby"

_LINE = re.compile(r"^(?:[0-9-]+ [0-9:.]+ )?(?:P[0-9]+ +)?(ERROR|WARN|INFO): (.*)$")


@dataclass(frozen=True)
class Program:
    """pgBackRest for one stanza. account: who runs it where we are root; config: None for the file of the host."""

    stanza: str
    binary: str = "pgbackrest"
    account: str | None = None
    config: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """How a command ended. text: all that it printed, logs included; answer: what it printed on its standard output."""

    code: int
    text: str
    answer: str


@dataclass(frozen=True)
class Taken:
    """A backup that was asked for. Times in seconds since 1970; bytes: what it added to the repository; error: None for a good one."""

    repository: int
    type: str
    begun: int
    seconds: int
    label: str | None = None
    bytes: int | None = None
    read_bytes: int | None = None
    from_standby: bool = False
    error: str | None = None


def run(program: Program, command: str, *options: str, limit: float = ASK_LIMIT, silent: bool = True) -> Outcome:
    """Run a command of pgBackRest, with an environment that holds nothing of the caller's; raises StewardError where it cannot be run.

    silent: its answer stands alone on standard output; otherwise its log does.
    """
    logs = ("off", "warn") if silent else ("info", "off")
    line = [program.binary, command]
    if command != "version":  # which takes no options
        line += [f"--config={program.config}"] if program.config else []
        line += [
            f"--stanza={program.stanza}",
            f"--log-level-console={logs[0]}",
            f"--log-level-stderr={logs[1]}",
            *options,
        ]
    try:
        ended = subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit,
            cwd="/",
            env={"PATH": os.defpath + ":/usr/bin:/bin", "LC_ALL": "C", "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS)},
            **as_account(program.account),
        )
    except FileNotFoundError:
        raise StewardError(f"pgBackRest is not installed here: there is no {program.binary}") from None
    except subprocess.TimeoutExpired:
        raise StewardError(f"pgbackrest {command} has not ended within {limit:g} s") from None
    except OSError as error:
        raise StewardError(f"{program.binary} cannot be run: {error.strerror}") from None
    return Outcome(ended.returncode, ended.stdout + ended.stderr, ended.stdout)


def as_account(name: str | None) -> dict[str, Any]:
    """Return how subprocess runs something as an account; nothing where we are no root, or nobody else is asked for."""
    if name is None or os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise StewardError(f"there is no account {name}, who is to run pgBackRest") from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(name, entry.pw_gid)}


def messages(text: str, level: str) -> list[str]:
    """Return what a log says at a level, each with the lines that go on from it, in one line."""
    found: list[str] = []
    going_on = False
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            going_on = match[1] == level
            found += [match[2]] if going_on else []
        elif going_on and line.startswith(" "):
            found[-1] += f" {line.strip()}"
        else:
            going_on = False
    return [" ".join(one.split()) for one in found]


def reason(outcome: Outcome) -> str:
    """Return why a command failed, in one line and without the number and the traces of pgBackRest's own making."""
    said = messages(outcome.text, "ERROR")
    if not said:
        rest = outcome.text.strip().splitlines()
        return rest[-1] if rest else f"no reason given ({ending(outcome.code)})"
    why = re.sub(r"^\[[0-9]+\]: ", "", said[0])
    # Of the hosts that could not be asked it only warns, and then wonders where the primary is.
    asked = [line for line in messages(outcome.text, "WARN") if line.startswith("unable to check pg")]
    return "; ".join([why, *asked]) if "unable to find primary" in why else why


def version_of(program: Program) -> str | None:
    """Return the version of the installed pgBackRest, such as 2.55.1, None where there is none."""
    try:
        answer = run(Program(program.stanza, program.binary), "version").text
    except StewardError as error:
        if "not installed" in str(error):
            return None
        raise
    found = re.search(r"pgBackRest ([0-9][0-9.]*)", answer)
    if found is None:
        raise StewardError(f"{program.binary} version answers what is not understood: {answer.strip()[:80]}")
    return found[1]


def look(program: Program, repository: int | None = None) -> Stanza:
    """Return what pgBackRest knows of the stanza; one repository that cannot be reached is in the answer as such."""
    options = ["--output=json", f"--io-timeout={LOOK_IO_SECONDS}", *([f"--repo={repository}"] if repository else [])]
    outcome = run(program, "info", *options)
    if outcome.code:
        raise StewardError(f"pgbackrest info: {reason(outcome)}")
    return parse(outcome.answer, program.stanza)


def take(program: Program, repository: int, type_: str, standby: bool, now: Callable[[], float] = time.time) -> Taken:
    """Take a backup into one repository and say how it went; never raises StewardError.

    type_: full, diff or incr; without an earlier one to depend on it becomes a full one by itself. standby: whether to read from a
    standby where one can be reached.
    """
    begun = int(now())
    options = [f"--repo={repository}", f"--type={type_}"]
    record = Taken(repository, type_, begun, 0)
    try:
        found = look(program, repository)
        refusal = _refusal(found, repository)
        if refusal:
            return replace(record, seconds=int(now()) - begun, error=refusal)
        before = _labels(found, repository)
        outcome = _backup(program, options, standby)
        took = int(now()) - begun
        if outcome.code:
            return replace(record, seconds=took, error=_failure(outcome))
        made = [one for one in _backups(look(program, repository), repository) if one.label not in before]
    except StewardError as error:
        return replace(record, seconds=int(now()) - begun, error=str(error))
    if not made:
        return replace(
            record, seconds=took, error="pgbackrest says that all is well, and the repository holds no new backup"
        )
    last = max(made, key=lambda one: one.ended)
    wrong = "pages with wrong checksums were found and kept: look at the server's disk" if last.pages_wrong else None
    return replace(
        record,
        type=last.type,
        seconds=took,
        label=last.label,
        bytes=last.stored_bytes,
        read_bytes=last.read_bytes,
        from_standby=_FROM_STANDBY in outcome.text,
        error=wrong,
    )


def _backup(program: Program, options: Sequence[str], standby: bool) -> Outcome:
    def attempt(wanted: bool) -> Outcome:
        chosen = "--backup-standby" if wanted else "--no-backup-standby"
        return run(program, "backup", *options, chosen, limit=BACKUP_LIMIT, silent=False)

    # Versions from 2.54 on have a word for this; the older ones do not, and this serves all.
    outcome = attempt(standby)
    if standby and outcome.code == DATABASE and _NO_STANDBY in outcome.text:
        outcome = attempt(False)
    return outcome


def _failure(outcome: Outcome) -> str:
    if outcome.code == LOCKED:
        return f"another backup or an expiry runs: {reason(outcome)}"
    return reason(outcome)


def _refusal(stanza: Stanza, repository: int) -> str | None:
    """Return why no backup can be taken into a repository, which pgBackRest itself says minutes later."""
    one = stanza.repository(repository)
    if one is None:
        return "the configuration of this host does not have it"
    return None if one.there else one.message


def _backups(stanza: Stanza, repository: int) -> tuple[Any, ...]:
    found = stanza.repository(repository)
    return found.backups if found else ()


def _labels(stanza: Stanza, repository: int) -> set[str]:
    return {one.label for one in _backups(stanza, repository)}


def take_all(
    program: Program,
    repositories: Iterable[int],
    type_: str,
    standby: bool,
    record: Path | None = RECORD,
    say: Callable[[str], object] = print,
) -> list[Taken]:
    """Take a backup into each repository in turn, whatever becomes of the others; keep the record of each, and say it."""
    taken = []
    for number in repositories:
        say(f"repository {number}: {type_} backup begins")
        one = take(program, number, type_, standby)
        taken.append(one)
        say(told(one))
        if record:
            keep(record, program.stanza, one)
    return taken


def told(one: Taken) -> str:
    """Return one line about a backup."""
    if one.label is None:
        return f"repository {one.repository}: {one.type} backup FAILED after {one.seconds} s: {one.error}"
    source = "a standby" if one.from_standby else "the primary"
    line = f"repository {one.repository}: {one.type} backup {one.label}, {one.bytes} bytes in {one.seconds} s, read from {source}"
    return f"{line}, BUT {one.error}" if one.error else line


def keep(path: Path, stanza: str, one: Taken) -> None:
    """Write what became of a backup to the record of the host: the last attempt and the last good one of each repository.

    A record that cannot be read is begun anew; one that cannot be written is an error, because nobody would see the next failure.
    """
    try:
        known = json.loads(_owned_file.read(path) or "{}")
        before = known["repositories"] if known.get("stanza") == stanza else {}
    except (ValueError, KeyError, AttributeError):
        before = {}
    entry: dict[str, Any] = asdict(one)
    former = before.get(str(one.repository)) or {}
    entry["last_good"] = dict(entry) if one.error is None else former.get("last_good")
    repositories = {**before, str(one.repository): entry}
    content: Mapping[str, Any] = {"stanza": stanza, "host": socket.gethostname(), "repositories": repositories}
    _owned_file.write(path, json.dumps(content, indent=2, sort_keys=True) + "\n", mode=0o644)


def is_standby(socket_directory: str, port: int, user: str) -> bool:
    """Tell whether the server of this host follows another one; raises StewardError where it does not answer."""
    command = ["psql", "-XAtqw", "-h", socket_directory, "-p", str(port), "-U", user, "-d", "postgres"]
    environment = {
        "PATH": os.defpath + ":/usr/bin:/bin",
        "PGOPTIONS": "-c search_path=pg_catalog,pg_temp",
        "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
    }
    try:
        answer = subprocess.run(
            [*command, "-c", "SELECT pg_is_in_recovery()"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=6 * CONNECT_SECONDS,
            cwd="/",
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StewardError(f"the server of this host cannot be asked: {error}") from None
    if answer.returncode:
        raise StewardError(f"the server of this host does not answer: {answer.stderr.strip() or 'no reason given'}")
    return answer.stdout.strip() == "t"
