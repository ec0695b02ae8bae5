# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restored server on its way to a target: waited for, looked at, promoted. Consistent is not there yet, and ended is not reached."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file, _postmaster
from ansible_collections.pgsteward.postgres.plugins.module_utils._controldata import Lsn
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier, literal
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_source import as_account
from ansible_collections.pgsteward.postgres.plugins.module_utils._restore_target import LATEST

PAUSE = 0.5  # seconds between two looks
QUERY_LIMIT = 30
GONE_LIMIT = 5.0  # seconds that a server may be gone from sight before it counts as ended
WAIT, REACHED = "wait", "reached"

# What the startup process waits for when there is no more WAL: it asks the archive again after a while.
_IDLE = ("RecoveryRetrieveRetryInterval", "RecoveryWalStream", "WalReceiverWaitStart")
_NEEDED = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}
_NEEDED_LINE = re.compile(r"^(max_\w+) setting:\s+(\d+)$", re.MULTILINE)
_TITLE = re.compile(rb"startup .*?([0-9A-F]{24})")
_DAMAGED = "the WAL that comes is damaged there: pgbackrest verify names the segment. Aim before it, or take another repository"
_REMEDIES = (
    ("incorrect resource manager data checksum", _DAMAGED),
    ("invalid magic number", _DAMAGED),
    ("contrecord", _DAMAGED),
    (
        "ended before configured recovery target",
        "the target is not in the WAL that could be read: aim earlier, or at latest for all there is",
    ),
    ("before consistent recovery point", "the backup was not complete by then: begin with an older one (backup=…)"),
    ("is not a child of this server's history", "name the timeline on which the backup was taken (timeline=…)"),
    ("insufficient parameter settings", "raise the settings that the log names to what the primary had then"),
    ("No space left on device", "make room"),
)

_QUERY = """
SELECT json_build_object(
  'recovering', recovers,
  'paused', CASE WHEN recovers THEN {paused} ELSE false END,
  'lsn', CASE WHEN recovers THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
  'last_commit', CASE WHEN recovers THEN pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC' END,
  'timeline', CASE WHEN recovers THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()),
      (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'waits', (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'),
  'settings', (SELECT json_object_agg(name, setting::int) FROM pg_settings WHERE name IN ({settings})))
FROM pg_is_in_recovery() AS here (recovers)
"""
_DATABASES = """
SELECT coalesce(json_agg(json_build_object('name', datname, 'bytes', pg_database_size(oid), 'connects', datallowconn AND NOT datistemplate)
  ORDER BY datname), '[]') FROM pg_database
"""
_VERSION_TABLES = """
SELECT coalesce(json_agg(nspname ORDER BY nspname), '[]') FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relname = 'alembic_version' AND relkind IN ('r', 'p')
"""
_REVISIONS = "SELECT version_num FROM {schema}.alembic_version ORDER BY 1"


@dataclass(frozen=True)
class Server:
    """A restored server on this host. owner: its account, and its superuser. last_words: a command that prints the end of its log."""

    data_directory: Path
    bin_directory: Path
    owner: str = "postgres"
    service: str | None = None
    last_words: Sequence[str] = ()

    def psql(self, statement: str, database: str = "postgres", limit: int = QUERY_LIMIT) -> str | None:
        """Return what the server answers, None where it does not (yet)."""
        running = _postmaster.find(self.data_directory)
        if running is None:
            return None
        try:
            answer = as_account(
                self.owner,
                [
                    "env",
                    f"PGOPTIONS=-c search_path=pg_catalog,pg_temp -c statement_timeout={limit}s",
                    f"PGCONNECT_TIMEOUT={limit}",
                    f"PGDATABASE={database}",
                    str(self.bin_directory / "psql"),
                    *("-h", running.socket_directory, "-p", str(running.port), "-U", self.owner),
                    *("-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", statement),
                ],
                2.0 * limit,
            )
        except StewardError:
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    def words(self) -> str:
        """Return the end of the server's log, on one line."""
        if not self.last_words:
            return _postmaster.last_words(self.service) if self.service else ""
        try:
            answer = subprocess.run(self.last_words, capture_output=True, text=True, check=False, timeout=QUERY_LIMIT)
        except (OSError, subprocess.SubprocessError):
            return ""
        return " | ".join(line.strip() for line in answer.stdout.splitlines()[-8:] if line.strip())


@dataclass(frozen=True)
class Seen:
    """What one look showed. segment: the WAL that is replayed, by the title of the process. needed: settings that the WAL asks for."""

    running: bool
    answers: bool = False
    recovering: bool = False
    paused: bool = False
    lsn: Lsn | None = None
    last_commit: str | None = None
    timeline: int | None = None
    waits: str | None = None
    segment: str | None = None
    settings: Mapping[str, int] = field(default_factory=dict)
    needed: Mapping[str, int] = field(default_factory=dict)

    @property
    def lacking(self) -> list[str]:
        """Return the settings for which a server stops replaying though its target is elsewhere."""
        return [
            f"{name} = {self.settings[name]} (the WAL wants {least})"
            for name, least in self.needed.items()
            if name in self.settings and self.settings[name] < least
        ]

    def as_facts(self) -> dict[str, Any]:
        """Return plain data about where it is."""
        return {
            "lsn": str(self.lsn) if self.lsn is not None else None,
            "last_commit": f"{self.last_commit.replace('T', ' ')} UTC" if self.last_commit else None,
            "timeline": self.timeline,
        }


@dataclass(frozen=True)
class Aim:
    """What is waited for. end: where the last segment begins, for the end of the archive; None where that is not known."""

    kind: str
    words: str
    end: Lsn | None = None


@dataclass(frozen=True)
class Limits:
    """Seconds: for the whole way, and without any progress on it."""

    whole: float = 86400.0
    stall: float = 1800.0


# Looking


def look(server: Server) -> Seen:
    """Return what the server is doing."""
    running = _postmaster.find(server.data_directory)
    if running is None:
        return Seen(running=False)
    segment, answer = _segment(running.pid), server.psql(_query(server))
    if not answer:
        return Seen(running=True, segment=segment)
    found = json.loads(answer)
    return Seen(
        running=True,
        answers=True,
        recovering=found["recovering"],
        paused=found["paused"],
        lsn=Lsn.parse(found["lsn"]) if found["lsn"] else None,
        last_commit=found["last_commit"],
        timeline=found["timeline"],
        waits=found["waits"],
        segment=segment,
        settings=found["settings"],
        needed=needed_settings(server) if found["paused"] else {},
    )


def _query(server: Server) -> str:
    major = int((server.data_directory / "PG_VERSION").read_text(encoding="ascii").strip())
    paused = "pg_get_wal_replay_pause_state() = 'paused'" if major >= 14 else "pg_is_wal_replay_paused()"
    return _QUERY.format(paused=paused, settings=", ".join(literal(name) for name in _NEEDED.values()))


def needed_settings(server: Server) -> dict[str, int]:
    """Return what the WAL wants some settings to be at least, by the control file."""
    program = str(server.bin_directory / "pg_controldata")
    answer = as_account(server.owner, [program, "-D", str(server.data_directory)], QUERY_LIMIT)
    found = dict(_NEEDED_LINE.findall(answer.stdout))
    return {setting: int(found[name]) for name, setting in _NEEDED.items() if name in found}


def _segment(postmaster: int) -> str | None:
    """Return the segment that the startup process says it replays."""
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split()
        titles = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    except OSError:
        return None
    found = [match[1].decode() for match in map(_TITLE.search, titles) if match]
    return found[0] if found else None


# Waiting


def verdict(seen: Seen, before: Seen | None, aim: Aim) -> str:
    """Return whether the target is reached by now, or is to be waited for; raises StewardError when it will not be."""
    if not seen.answers:
        return WAIT
    if not seen.recovering:
        raise StewardError(
            f"the server takes writes already, on timeline {seen.timeline}: somebody promoted it before {aim.words} was seen to be reached"
        )
    if seen.paused:
        if seen.lacking:
            raise StewardError(
                f"replay has stopped at LSN {seen.lsn}, before {aim.words}, as settings are below what the primary had then:"
                f" {', '.join(seen.lacking)}. Raise them, and restore again"
            )
        return REACHED
    if aim.kind != LATEST:
        return WAIT
    # The archive has no end that could be seen in it: it is reached when the last segment that is known was replayed and no more comes.
    still = before is not None and before.lsn == seen.lsn and before.waits in _IDLE and seen.waits in _IDLE
    known = aim.end is None or (seen.lsn is not None and seen.lsn >= aim.end)
    return REACHED if still and known else WAIT


def reach(
    server: Server,
    aim: Aim,
    limits: Limits,
    alive: Callable[[], bool] | None = None,
    looking: Callable[[Server], Seen] = look,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Seen:
    """Wait until the server has reached its target; return what was seen then.

    alive: says whether a server that is not seen is still to come. Raises StewardError with the end of its log when it ends before, when
    nothing goes on for too long, and when the whole takes too long.
    """
    begun = progressed = seen_at = clock()
    before: Seen | None = None
    while True:
        seen = looking(server)
        if verdict(seen, before, aim) == REACHED:
            return seen
        now = clock()
        if seen.running or (alive and alive()):
            seen_at = now
        if before is None or (seen.lsn, seen.segment, seen.answers) != (before.lsn, before.segment, before.answers):
            progressed = now
        if now - seen_at > GONE_LIMIT:
            raise ended(server, aim)
        if now - begun > limits.whole or now - progressed > limits.stall:
            raise StewardError(
                f"{aim.words} was not reached within {now - begun:.0f} s"
                + (f", and nothing went on for {now - progressed:.0f} s" if now - progressed > limits.stall else "")
                + f" (LSN {seen.lsn or 'unknown'}, segment {seen.segment or 'unknown'}): {remark(server)}"
            )
        before = seen
        sleep(PAUSE)


def remark(server: Server) -> str:
    """Return what the end of the log means, and the end of the log."""
    words = server.words()
    remedy = next((text for sign, text in _REMEDIES if sign in words), "its log says why")
    return f"{remedy}. Its log ends with: {words or '(nothing)'}"


def ended(server: Server, aim: Aim) -> StewardError:
    """Return the error of a server that has ended before its target."""
    return StewardError(f"the server ended before it had reached {aim.words}: {remark(server)}")


# What is there, and what becomes of it


def databases(server: Server) -> list[dict[str, Any]]:
    """Return the databases of the server: name, bytes, and the revisions that tables of Alembic hold."""
    found = []
    for one in json.loads(server.psql(_DATABASES) or "[]"):
        entry = {"name": one["name"], "bytes": one["bytes"], "revisions": []}
        schemas = json.loads(server.psql(_VERSION_TABLES, one["name"]) or "[]") if one["connects"] else []
        for schema in schemas:
            rows = server.psql(_REVISIONS.format(schema=identifier(schema)), one["name"])
            entry["revisions"] += (rows or "").splitlines()
        if one["connects"]:
            found.append(entry)
    return found


def promote(server: Server, limit: int, sleep: Callable[[float], None] = time.sleep) -> Seen:
    """Have the server take writes, and wait until it does; return what is seen then. Raises StewardError when it does not within limit."""
    server.psql(f"SELECT pg_promote(true, {limit})", limit=limit + QUERY_LIMIT)
    until = time.monotonic() + limit
    while True:
        seen = look(server)
        if seen.answers and not seen.recovering:
            server.psql("CHECKPOINT", limit=limit + QUERY_LIMIT)  # the control file shows the new timeline from then on
            return look(server)
        if not seen.running or time.monotonic() > until:
            raise StewardError(f"the server was told to take writes and does not after {limit} s: {remark(server)}")
        sleep(PAUSE)


_RECOVERY_SETTING = re.compile(
    r"^\s*(restore_command|recovery_target\w*|primary_conninfo|primary_slot_name)\s*=|^# (Recovery settings generated|Removed) by pgBackRest",
)


def without_recovery(text: str) -> str:
    """Return postgresql.auto.conf without what a restore has put there."""
    kept = [line for line in text.splitlines() if not _RECOVERY_SETTING.match(line)]
    return "\n".join(kept).rstrip("\n") + "\n"


def forget_recovery(server: Server) -> bool:
    """Take the settings of the restore out of the server, so that those of its own files hold; tell whether there were any."""
    path = server.data_directory / "postgresql.auto.conf"
    text = _owned_file.read(path) or ""
    wanted = without_recovery(text)
    if wanted == text:
        return False
    _owned_file.write(path, wanted)
    server.psql("SELECT pg_reload_conf()")
    return True


_PENDING = "SELECT count(*) FROM pg_settings WHERE pending_restart AND name LIKE 'recovery_target%'"


def restart_if_due(server: Server, limit: int, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Restart the server when it still holds settings of the restore that only a restart takes away; tell whether it was.

    Nobody else may meet them: its standbys would be copied with them, and the next change of any setting would be refused because of them.
    Raises StewardError when it does not come back within limit seconds.
    """
    if server.service is None or not int(server.psql(_PENDING) or 0):
        return False
    try:
        subprocess.run(["systemctl", "restart", server.service], capture_output=True, check=False, timeout=limit)
    except (OSError, subprocess.SubprocessError) as error:
        raise StewardError(f"{server.service} cannot be restarted: {error}") from None
    until = time.monotonic() + limit
    while not (seen := look(server)).answers or seen.recovering:
        if time.monotonic() > until:
            raise StewardError(f"{server.service} was restarted and takes no writes after {limit} s: {remark(server)}")
        sleep(PAUSE)
    return True


def starting(server: Server) -> Callable[[], bool]:
    """Begin to start the server by its unit; return what tells whether it may still come."""
    if server.service is None:
        raise StewardError("no service was named that could be started")
    process = _postmaster.starting(server.service)
    return lambda: process.poll() is None


def stop(server: Server, limit: float) -> None:
    """Stop the server by a fast shutdown, by an immediate one where that takes too long."""
    if not _postmaster.stop(server.data_directory, signal.SIGINT, limit):
        _postmaster.kill(server.data_directory, server.service or "")
