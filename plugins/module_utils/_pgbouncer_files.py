# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a PgBouncer on its host: a candidate is tried by PgBouncer itself, put in place, and read by the running pooler."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file, _scram
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer import (
    DATABASES,
    FORMER,
    HBA,
    INI,
    USERS,
    Entry,
    databases_ini,
    pgbouncer_ini,
    read_userlist,
    userlist,
    verifier,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_console import (
    ConsoleError,
    ConsolePlace,
    open_console,
)

FILE_MODE = 0o640
TRIAL_LIMIT = 10.0  # seconds; it takes about 0.1
RELOAD_LIMIT = 10.0
SALT_BYTES = 16
STAMP = "reloaded"  # beside the socket: its time is that of our last RELOAD


@dataclass(frozen=True)
class Pooler:
    """One pooler of a host. account: who runs it and reads its files; watched: further files that it reads, such as certificates."""

    directory: Path
    binary: str
    account: str
    socket_directory: Path
    port: int
    watched: tuple[Path, ...] = field(default=())

    @property
    def socket(self) -> Path:
        """Return the socket of the running pooler."""
        return self.socket_directory / f".s.PGSQL.{self.port}"


def version_of(binary: str) -> str | None:
    """Return the version of an installed PgBouncer, such as 1.24.1, None where there is none."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, cwd="/")
    except FileNotFoundError:
        return None
    except (OSError, subprocess.CalledProcessError) as error:
        raise StewardError(f"{binary} --version fails: {error}") from None
    match = re.search(r"PgBouncer ([0-9][0-9.]*)", answer.stdout)
    return match[1] if match else None


def package_of(binary: str) -> str:
    """Return the version of the distribution's package that holds a file, an empty text where that cannot be told."""
    try:
        owner = subprocess.run(["dpkg-query", "--search", binary], capture_output=True, text=True, check=True, cwd="/")
        name = owner.stdout.split(":", 1)[0]
        command = ["dpkg-query", "--show", "--showformat=${Version}", name]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def wanted_texts(pooler: Pooler, given: Mapping[str, Any], version: str) -> dict[str, str]:
    """Return the wanted files by name, databases.ini alone where nothing else is given."""
    listed = [Entry(**one) for one in given["entries"]]
    texts = {
        DATABASES: databases_ini(
            listed, given["primary"], given["standbys"], given["server_port"], given["lookup_user"], version
        )
    }
    if given["settings"] is None:
        return texts
    stored = read_userlist(_owned_file.read(pooler.directory / USERS))
    accounts = {given["lookup_user"]: given["lookup_password"]}
    if given["operations_password"]:
        accounts[given["operations_user"]] = _verifier(
            given["operations_password"], stored.get(given["operations_user"])
        )
    return texts | {
        INI: pgbouncer_ini(given["settings"], str(pooler.directory), version),
        HBA: given["hba"],
        USERS: userlist(accounts),
    }


def _verifier(password: str, stored: str | None) -> str:
    """Return the stored verifier where the password belongs to it, so that a second run changes nothing."""
    if stored and _scram.matches(password, stored):
        return stored
    return password if _scram.parse(password) else verifier(password, os.urandom(SALT_BYTES))


def differing(pooler: Pooler, texts: Mapping[str, str]) -> list[str]:
    """Return the names of the files that are to be written, because of their text, owner or mode."""
    return [name for name, text in texts.items() if not _stands(pooler, pooler.directory / name, text)]


def _stands(pooler: Pooler, path: Path, text: str) -> bool:
    if _owned_file.read(path) != text:
        return False
    found = path.stat()
    return (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (FILE_MODE, 0, _account(pooler).pw_gid)


def _account(pooler: Pooler) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(pooler.account)
    except KeyError:
        raise StewardError(f"there is no account {pooler.account}, who is to run the pooler") from None


def try_out(pooler: Pooler, texts: Mapping[str, str]) -> None:
    """Start PgBouncer with a candidate on a socket of its own, without a port, and end it; raises StewardError with its own words.

    Files that are not in texts are those that stand. Server connections are made by clients only, so none is made.
    """
    account, scratch = _account(pooler), Path(tempfile.mkdtemp(prefix="pgsteward-pooler-"))
    try:
        os.chown(scratch, account.pw_uid, account.pw_gid)
        for name in (INI, DATABASES, USERS, HBA):
            text = texts.get(name, _owned_file.read(pooler.directory / name) or "")
            _owned_file.write(
                scratch / name, _moved(text, pooler.directory, scratch), owner=(account.pw_uid, account.pw_gid)
            )
        overrides = {"listen_addr": "", "unix_socket_dir": scratch, "pidfile": "", "logfile": "", "syslog": 0}
        overrides |= {"max_client_conn": 10, "min_pool_size": 0, "log_stats": 0}
        lines = [f"%include {scratch / INI}", "[pgbouncer]", *(f"{key} = {value}" for key, value in overrides.items())]
        _owned_file.write(scratch / "trial.ini", "\n".join(lines) + "\n", owner=(account.pw_uid, account.pw_gid))
        complaints = _run_trial(pooler, scratch, account)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if complaints:
        said = " / ".join(complaint.replace(str(scratch), str(pooler.directory)) for complaint in complaints[:3])
        raise StewardError(f"PgBouncer refuses the new files, and the old ones stay: {said}", complaints=complaints)


def _moved(text: str, directory: Path, scratch: Path) -> str:
    """Return a file that names its siblings where the trial has them."""
    for name in (DATABASES, USERS, HBA):
        text = text.replace(f"{directory}/{name}", f"{scratch}/{name}")
    return text


def _run_trial(pooler: Pooler, scratch: Path, account: pwd.struct_passwd) -> list[str]:
    """Return what PgBouncer complains about between its start and the moment when it is up."""
    log, limit = scratch / "log", time.monotonic() + TRIAL_LIMIT
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with log.open("wb") as stream:
        trial = subprocess.Popen(
            [pooler.binary, str(scratch / "trial.ini")], stdout=stream, stderr=stream, cwd="/", env=environment, **who
        )
    try:
        text = ""
        while "process up" not in text:
            ended = trial.poll() is not None
            text = log.read_text(errors="replace")
            if ended:
                break
            if time.monotonic() > limit:
                return [f"it is not up within {TRIAL_LIMIT:g} s"]
            time.sleep(0.01)
    finally:
        trial.kill()
        trial.wait()
    return _complaints(text) or ([] if "process up" in text else [text.strip() or "it ends at once"])


def _complaints(text: str) -> list[str]:
    found = re.findall(r"^\S+ \S+ \S+ \[\d+\] (?:WARNING|ERROR|FATAL) (.*)$", text, re.MULTILINE)
    return [line for line in found if "file descriptor" not in line]


def put(pooler: Pooler, texts: Mapping[str, str], names: Sequence[str], *, keep_former: bool) -> dict[str, str | None]:
    """Write the named files and return what they held; keep_former: keep the databases.ini that is replaced beside the new one."""
    owner = (0, _account(pooler).pw_gid) if os.geteuid() == 0 else None
    before = {name: _owned_file.read(pooler.directory / name) for name in names}
    pooler.directory.mkdir(mode=0o755, exist_ok=True)
    former = before.get(DATABASES)
    if keep_former and former is not None:
        _owned_file.write(pooler.directory / FORMER, former, mode=FILE_MODE, owner=owner)
    # What is included comes first: a pooler that starts in between finds whole files.
    for name in sorted(names, key=(USERS, HBA, DATABASES, INI).index):
        _owned_file.write(pooler.directory / name, texts[name], mode=FILE_MODE, owner=owner)
    return before


def is_stale(pooler: Pooler) -> bool:
    """Tell whether the running pooler may not have read its files: one is younger than its start and than our last RELOAD."""
    read = max(_owned_file.modified(pooler.socket) or 0, _owned_file.modified(pooler.socket_directory / STAMP) or 0)
    files = [*(pooler.directory / name for name in (INI, DATABASES, USERS, HBA)), *pooler.watched]
    return any((_owned_file.modified(path) or 0) > read for path in files)


def reload(pooler: Pooler) -> None:
    """Make the running pooler read its files; raises ConsoleError when it says that it cannot."""
    with own_console(pooler) as console:
        console.run("RELOAD", RELOAD_LIMIT)
    account = _account(pooler)
    owner = (account.pw_uid, account.pw_gid) if os.geteuid() == 0 else None
    _owned_file.write(pooler.socket_directory / STAMP, "", mode=0o644, owner=owner)


def waiting(pooler: Pooler, text: str) -> list[str]:
    """Return the settings of pgbouncer.ini that the running pooler takes at a restart only, and does not have."""
    wanted = dict(re.findall(r"^([a-z0-9_]+) = (.*)$", text, re.MULTILINE))
    with own_console(pooler) as console:
        rows = console.show("CONFIG", RELOAD_LIMIT)
    return sorted(
        row["key"]
        for row in rows
        if row["changeable"] == "no" and row["key"] in wanted and _plain(wanted[row["key"]]) != _plain(row["value"])
    )


def _plain(value: str) -> str:
    """Return a value in one spelling: 0700 and 448, yes and 1, 5.0 and 5 are the same."""
    if re.fullmatch(r"0[0-7]+", value):
        return str(int(value, 8))
    if re.fullmatch(r"[0-9]+\.0+", value):
        return value.split(".")[0]
    return {"yes": "1", "on": "1", "true": "1", "no": "0", "off": "0", "false": "0"}.get(value.lower(), value)


@contextmanager
def own_console(pooler: Pooler) -> Iterator[Any]:
    """Give the console of the running pooler, which knows its own account by the Unix socket."""
    user, account = os.geteuid(), _account(pooler)
    place = ConsolePlace("of this host", str(pooler.socket_directory), pooler.port)
    if user == 0:
        os.seteuid(account.pw_uid)
    try:
        console = open_console(place, RELOAD_LIMIT)
    finally:
        if user == 0:
            os.seteuid(0)
    with console:
        yield console


def is_running(pooler: Pooler) -> bool:
    """Tell whether a pooler answers on the socket; one that somebody set up elsewhere does not count."""
    if not pooler.socket.exists():
        return False
    try:
        with own_console(pooler):
            return True
    except ConsoleError:
        return False
