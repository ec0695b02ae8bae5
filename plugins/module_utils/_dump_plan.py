# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How pg_dump, pg_dumpall, pg_restore and psql are called for a dump and its way back. Pure.

No command line has a secret in it: the password is in a pass file that the environment names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import (
    PINNED_OPTIONS,
    Place,
    connection_arguments,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_names import CUSTOM, DIRECTORY, PLAIN
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, split
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier
from ansible_collections.pgsteward.postgres.plugins.module_utils._replica import conninfo

FORMATS = (CUSTOM, PLAIN, DIRECTORY)
ALL, SCHEMA, DATA = "all", "schema", "data"
CONTENTS = (ALL, SCHEMA, DATA)
AUTO, GZIP, ZSTD, NONE = "auto", "gzip", "zstd", "none"
ZSTD_SINCE = 16  # PostgreSQL 16 release notes: pg_dump learnt zstd
ZSTD_LEVEL = 1  # of auto: 400 MB of SQL took 0.9 s and 108 MB; level 3 2.2 s and 116 MB, gzip 7.7 s and 124 MB
LEVELS = {GZIP: range(1, 10), ZSTD: range(1, 23)}
LOCK_WAIT = 60_000  # ms that pg_dump waits for a table; it holds back changes of the schema while it waits
PROGRAMS = ("pg_dump", "pg_dumpall", "pg_restore", "psql")

_VERSION = re.compile(r"\(PostgreSQL\) (?P<full>(?P<major>[0-9]+)\S*)")


@dataclass(frozen=True)
class Tools:
    """The client programs of one version. version: as they print it."""

    directory: Path
    major: int
    version: str

    def path(self, program: str) -> str:
        """Return where a program is."""
        return str(self.directory / program)


@dataclass(frozen=True)
class Compression:
    """How a dump is compressed; level None is the tool's own."""

    method: str
    level: int | None = None

    def __str__(self) -> str:
        return self.method + (f":{self.level}" if self.level is not None else "")


@dataclass(frozen=True)
class Dump:
    """What is dumped and how. schemas, tables (schema and name): empty for everything."""

    form: str
    compression: Compression
    content: str = ALL
    schemas: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    jobs: int = 1


def tools_of(directory: Path, said: str) -> Tools | None:
    """Return the tools whose pg_dump says its version so."""
    match = _VERSION.search(said)
    return Tools(directory, int(match["major"]), match["full"]) if match else None


def choose(found: Iterable[Tools], server_major: int) -> Tools:
    """Return the tools for a server: those of its own version, or else the next newer ones; older ones refuse to dump it."""
    fit = sorted((tools for tools in found if tools.major >= server_major), key=lambda tools: tools.major)
    if fit:
        return fit[0]
    there = sorted({tools.major for tools in found})
    has = f"only those of {', '.join(map(str, there))} are here" if there else "there are none here"
    raise StewardError(
        f"the server is PostgreSQL {server_major}, and {has}: install postgresql-client-{server_major}, or give bin_directory"
    )


def compression_of(wanted: str, tools: Tools, form: str = CUSTOM, zstd_program: bool = True) -> Compression:
    """Return how to compress. wanted: auto, or a method with or without a level.

    zstd_program: whether the host has the program zstd, without which nobody here reads a plain dump compressed so.
    """
    method, colon, level = wanted.partition(":")
    if method == AUTO and not colon:
        able = tools.major >= ZSTD_SINCE and (form != PLAIN or zstd_program)
        return Compression(ZSTD, ZSTD_LEVEL) if able else Compression(GZIP)
    if method not in (GZIP, ZSTD, NONE) or (method == NONE and colon):
        raise StewardError(f"compression {wanted!r} is none of auto, gzip, zstd and none, with a level as in zstd:9")
    if colon and (not level.isdigit() or int(level) not in LEVELS[method]):
        raise StewardError(f"compression {wanted!r}: the level of {method} goes from 1 to {LEVELS[method][-1]}")
    if method == ZSTD and tools.major < ZSTD_SINCE:
        raise StewardError(
            f"compression zstd needs the tools of PostgreSQL {ZSTD_SINCE}, and here is pg_dump {tools.version}: take gzip, or auto"
        )
    if method == ZSTD and form == PLAIN and not zstd_program:
        raise StewardError("a plain dump in zstd needs the program zstd to read it again: install zstd, or take gzip")
    return Compression(method, int(level) if colon else None)


def findings(dump: Dump) -> list[str]:
    """Return what cannot go together in a dump."""
    found = []
    if dump.jobs < 1:
        found.append(f"jobs is {dump.jobs}: give at least 1")
    if dump.jobs > 1 and dump.form != DIRECTORY:
        found.append(
            f"jobs is {dump.jobs}, and only the format directory is written in parallel: leave jobs out, or take format: directory"
        )
    return found


def login(place: Place, application: str, database: str | None = None) -> str:
    """Return the connection string of a place, without its password."""
    named = connection_arguments(place, application)
    for secret in ("password", "sslpassword"):
        named.pop(secret, None)
    if database is not None:
        named["dbname"] = database
    named.pop("options")  # PGOPTIONS has them, with the settings of this run
    return conninfo(dict(sorted(named.items())))


def environment(
    place: Place, base: Mapping[str, str], passfile: Path | None, settings: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a tool: pinned, in English, without what the caller's own environment says of servers."""
    kept = {name: value for name, value in base.items() if not name.startswith("PG") and not name.startswith("LC_")}
    options = [f"-c {name}={_option_value(value)}" for name, value in (settings or {}).items()]
    named = {"PGOPTIONS": " ".join([PINNED_OPTIONS, *options]), "LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"}
    if place.password and passfile:
        named["PGPASSFILE"] = str(passfile)
    return {**kept, **named}


def _option_value(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def pass_line(password: str) -> str:
    """Return the line of a pass file that gives a password to whatever server the tool was told of."""
    return "*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n"


# Dumping


def dump_command(tools: Tools, place: Place, dump: Dump, snapshot: str, output: Path | None = None) -> list[str]:
    """Return the command that dumps what a snapshot shows, to its standard output or, as a directory, to output."""
    return [
        tools.path("pg_dump"),
        f"--dbname={login(place, 'pgsteward dump')}",
        "--no-password",
        f"--format={dump.form}",
        f"--compress={_compress(dump.compression, tools)}",
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={LOCK_WAIT}",
        *([f"--jobs={dump.jobs}"] if dump.form == DIRECTORY else []),
        *([f"--file={output}", "--no-sync"] if output else []),
        *_content(dump.content),
        *(f"--schema={identifier(schema)}" for schema in dump.schemas),
        *(f"--table={identifier(schema)}.{identifier(name)}" for schema, name in dump.tables),
    ]


def _compress(compression: Compression, tools: Tools) -> str:
    """Return the argument of --compress, which knows levels of gzip only before 16."""
    if tools.major >= ZSTD_SINCE:
        return str(compression)
    return "0" if compression.method == NONE else str(compression.level or 6)


def _content(content: str) -> list[str]:
    return [] if content == ALL else [f"--{content}-only"]


def globals_command(tools: Tools, place: Place, role_passwords: bool) -> list[str]:
    """Return the command that dumps roles, tablespaces and their settings. Only a superuser may read the passwords of roles."""
    return [
        tools.path("pg_dumpall"),
        "--globals-only",
        f"--dbname={login(place, 'pgsteward dump')}",
        f"--database={place.database}",
        "--no-password",
        *([] if role_passwords else ["--no-role-passwords"]),
    ]


def expected_bytes(table_bytes: int, compression: Compression) -> int:
    """Return what a dump takes at most, but for odd data: tables as they are on disk, where it is compressed; without that, text of binary
    columns is twice their size."""
    return table_bytes * (2 if compression.method == NONE else 1) + (1 << 20)


# The way back


@dataclass(frozen=True)
class Restore:
    """How an archive is read back. use_list: file with the entries to take. role: who becomes the owner of all, in the place of those of the dump.

    section: pre-data, data or post-data, of which each takes what is left by the others.
    """

    jobs: int = 1
    clean: bool = False
    use_list: Path | None = None
    role: str | None = None
    content: str = ALL
    section: str | None = None


def restore_command(tools: Tools, place: Place, source: Path, restore: Restore) -> list[str]:
    """Return the command that reads an archive into a database. One job does it in one transaction, several cannot."""
    return [
        tools.path("pg_restore"),
        f"--dbname={login(place, 'pgsteward restore')}",
        "--no-password",
        "--exit-on-error",
        *([f"--jobs={restore.jobs}"] if restore.jobs > 1 else ["--single-transaction"]),
        *(["--clean", "--if-exists"] if restore.clean else []),
        *([f"--use-list={restore.use_list}"] if restore.use_list else []),
        *(["--no-owner", "--no-privileges", f"--role={restore.role}"] if restore.role else []),
        *([f"--section={restore.section}"] if restore.section else []),
        *_content(restore.content),
        str(source),
    ]


def rows_command(tools: Tools, source: Path, use_list: Path, role: str | None = None) -> list[str]:
    """Return the command that prints the rows of the entries of a list."""
    as_role = [f"--role={role}"] if role else []
    return [tools.path("pg_restore"), "--data-only", f"--use-list={use_list}", *as_role, "--file=-", str(source)]


def list_command(tools: Tools, source: Path) -> list[str]:
    """Return the command that lists an archive."""
    return [tools.path("pg_restore"), "--list", str(source)]


def script_command(tools: Tools, source: Path) -> list[str]:
    """Return the command that prints the definitions of an archive; its comments say which entry depends on which."""
    return [tools.path("pg_restore"), "--verbose", "--schema-only", "--file=-", str(source)]


def psql_command(tools: Tools, place: Place, single_transaction: bool = True) -> list[str]:
    """Return the command that reads a plain dump from its standard input."""
    return [
        tools.path("psql"),
        f"--dbname={login(place, 'pgsteward restore')}",
        "--no-password",
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        *(["--single-transaction"] if single_transaction else []),
        "--output=/dev/null",
        "--file=-",
    ]


# What a tool says when it fails

_SAID = re.compile(r"^(pg_dump|pg_dumpall|pg_restore|psql)(:[^ ]*)?: ")
_TELLING = re.compile(r"\b(error|ERROR|FATAL|PANIC|fatal|detail|DETAIL):")
_REMEDIES: tuple[tuple[str, str], ...] = (
    (r"permission denied for large object", "large objects want GRANT SELECT ON LARGE OBJECT, or a dump by a superuser"),
    (r"permission denied|must be superuser", "the account of dumps is a member of pg_read_all_data and may bypass row security"),
    (r"would be affected by row-level security", "the account of dumps wants BYPASSRLS"),
    (r"server version mismatch|aborting because of server version", "install the client programs of the server's version"),
    (r"conflict with recovery", "set hot_standby_feedback on the standby, or raise max_standby_streaming_delay"),
    (r"lock timeout|lock_timeout", "somebody changes a table for more than a minute: run again later"),
    (r"unsupported version \(|unrecognized data block type|did not find magic string|input file", "the file is no archive of these tools' version or older"),
    (r"No space left|could not write|could not extend file", "make room, then run again"),
    (r'role "[^"]*" does not exist', "make the role first, or restore with role"),
    (r'extension "[^"]*" is not available|could not open extension control file', "install the extension's package on the server"),
    (r"not support compression|compression is not supported", "these tools were built without it: take compression gzip"),
)  # fmt: skip


def last_words(program: str, stderr: str, limit: int = 3) -> str:
    """Return why a tool failed, in one line with the remedy."""
    lines = [" ".join(_SAID.sub("", line).split()) for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)] or lines[-limit:]
    text = " / ".join(line.removeprefix("error: ") for line in telling[:limit])[:600] or "no reason given"
    remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, stderr)), None)
    return f"{program} failed: {text}" + (f"; {remedy}" if remedy else "")


def warnings_of(stderr: str) -> tuple[str, ...]:
    """Return what a tool that succeeded warned of."""
    found = [" ".join(line.split()) for line in stderr.splitlines() if re.search(r"\bwarning:|\bWARNING:", line)]
    return tuple(dict.fromkeys(_SAID.sub("", line).removeprefix("warning: ") for line in found))


def described(parts: Sequence[tuple[str, str]]) -> str:
    """Return names of tables for people."""
    return ", ".join(qualified(*part) for part in parts)


def table_names(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return schema and name of tables that options name as schema.table, each part plain or in double quotes."""
    found: list[tuple[str, str]] = []
    for text in given:
        try:
            parts: Any = split(text)
        except ValueError:
            parts = ()
        if len(parts) not in (1, 2):
            raise StewardError(f"{text!r} is no table: write schema.table")
        found.append(("public", parts[0]) if len(parts) == 1 else (parts[0], parts[1]))
    return tuple(found)
