# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restoring a dump: looked at first, read into a database of its own name where possible, counted, and only then put in place.

What is there already stays as it is until then, and afterwards under another name. Where a dump goes into a database that stays (one table,
one schema, --clean), one job does it in one transaction, so that a failure leaves it as it was.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_globals as globals_
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_load as load
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_source as source
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_toc as toc
from ansible_collections.pgsteward.postgres.plugins.module_utils import _snapshot
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import compare, seen
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_fetch import Fetched, fetch, fetch_part
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_process import (
    Programs,
    find_tools,
    private_directory,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier, literal
from ansible_collections.pgsteward.postgres.plugins.module_utils._safe_versions import parallel_hnsw_is_safe
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import free_below, room_finding

if TYPE_CHECKING:
    import psycopg

APPLICATION = "pgsteward restore"
NAME_LIMIT = 63  # bytes of a database's name
# What a restore into a new database asks of its sessions. A crash before its end leaves nothing that anybody uses.
SETTINGS: Mapping[str, str] = {"synchronous_commit": "off", "jit": "off"}
LEAST_INDEX_MEMORY, MOST_INDEX_MEMORY = (
    256 << 10,
    1 << 20,
)  # kB of maintenance_work_mem for each job, where the server has less
MEMORY_SHARE = 8  # of a host's memory, which all jobs together may take for that
MOST_JOBS = 8
SHOWN = 20  # differences that are named
SWAP_LIMIT = 30.0  # seconds to have the sessions of the former database ended

# How a restore goes about it.
NEW, REPLACE, INTO = "new", "replace", "into"
# What is left after it.
DONE, UNCHANGED, PARTIAL, BESIDE = "done", "unchanged", "partial", "beside"

_SERVER = """
SELECT json_build_object(
  'number', current_setting('server_version_num')::int, 'version', current_setting('server_version'), 'standby', pg_is_in_recovery(),
  'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  'creates', (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user), 'user', current_user,
  'databases', (SELECT json_agg(datname) FROM pg_database),
  'roles', (SELECT json_agg(rolname) FROM pg_roles),
  'extensions', (SELECT json_object_agg(name, default_version) FROM pg_available_extensions),
  'maintenance_kb', (SELECT setting::bigint FROM pg_settings WHERE name = 'maintenance_work_mem'),
  'data_directory', current_setting('data_directory', true))
"""


# Partitioned tables and materialized views, which have statistics of their own.
_UNANALYZED = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind = 'p' OR (c.relkind = 'm' AND c.relispopulated)) AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
"""


@dataclass(frozen=True)
class Request:
    """What to restore where. database: the name it is to have. confirm: that name, where it is there already.

    place leads to a database for administration. role: who becomes the owner of all, instead of the owners of the dump.
    """

    place: Place
    database: str
    staging: Path
    confirm: str = ""
    schemas: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    clean: bool = False
    content: str = plan.ALL
    jobs: int | None = None
    role: str | None = None
    create_roles: bool = False
    keep_former: bool = True
    bin_directory: Path | None = None

    @property
    def partial(self) -> bool:
        """Whether only some of the dump is wanted."""
        return bool(self.schemas or self.tables)


@dataclass(frozen=True)
class Server:
    """What the server says before a restore."""

    number: int
    version: str
    standby: bool
    superuser: bool
    creates: bool
    user: str
    databases: tuple[str, ...]
    roles: tuple[str, ...]
    extensions: Mapping[str, str]
    maintenance_kb: int
    data_directory: str | None

    @property
    def major(self) -> int:
        """The major version."""
        return self.number // 10000


@dataclass(frozen=True)
class Plan:
    """What is going to be done. working: the database that is read into. missing_roles: those that are made first."""

    how: str
    working: str
    former: str | None
    tools: plan.Tools
    jobs: int
    missing_roles: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def server_of(answer: Mapping[str, Any]) -> Server:
    """Return what an answer says of the server."""
    sequences = {name: tuple(answer[name] or ()) for name in ("databases", "roles")}
    return Server(**{**answer, **sequences, "extensions": answer["extensions"] or {}})


# Deciding


def findings(request: Request, manifest: Manifest, server: Server) -> list[str]:
    """Return why the dump is not to be restored so, the most telling first. Pure."""
    return [
        *_of_request(request, manifest),
        *_of_server(request, manifest, server),
        *_of_database(request, server),
        *_of_needs(request, manifest, server),
    ]


def _of_request(request: Request, manifest: Manifest) -> list[str]:
    found = []
    if manifest.kind != manifests.POSTGRESQL:
        found.append(f"{manifest.name} is a dump of {manifest.kind}: restore it to a file")
    if len(request.database.encode()) > NAME_LIMIT:
        found.append(f"database {request.database!r} is longer than the {NAME_LIMIT} bytes of a name")
    if request.schemas and request.tables:
        found.append("schemas and tables are both given: name the one or the other")
    if manifest.dump_format == names.PLAIN:
        asked = [
            word
            for word, given in (("a part", request.partial), ("clean", request.clean), ("role", request.role))
            if given
        ]
        asked += ["content"] if request.content != plan.ALL else []
        if asked:
            found.append(
                f"{manifest.name} is plain SQL, which is restored whole or not at all: {asked[0]} cannot be asked of it"
            )
    if plan.SCHEMA in (manifest.content,) and request.content == plan.DATA:
        found.append(f"{manifest.name} has the schema only, and data are asked for")
    if manifest.content == plan.DATA and request.content == plan.SCHEMA:
        found.append(f"{manifest.name} has data only, and the schema is asked for")
    if request.jobs is not None and request.jobs < 1:
        found.append(f"jobs is {request.jobs}: give at least 1")
    return found


def _of_server(request: Request, manifest: Manifest, server: Server) -> list[str]:
    found = []
    if server.standby:
        found.append(f"{request.place} is a standby, which takes no writes: give the address of the primary")
    dumped_by = major_of(manifest.tool_version)
    if dumped_by > server.major:
        found.append(
            f"{manifest.name} was made by pg_dump {manifest.tool_version}, and the server is PostgreSQL {server.version}: restore it on {dumped_by} or newer"
        )
    if not server.creates and not _stays(request, server):
        found.append(f"{server.user} may not create databases: take an account that may, such as the superuser")
    return found


def _of_database(request: Request, server: Server) -> list[str]:
    there, name = request.database in server.databases, request.database
    if name in ("template0", "template1"):
        return [f"{name} is no place for a dump: give another database"]
    data_only = request.content == plan.DATA
    if not there and (request.clean or data_only):
        return [f"database {name} is not there, and {'clean' if request.clean else 'content data'} wants one that is"]
    if there and request.confirm != name:
        given = f", not {request.confirm}" if request.confirm else ""
        return [f"database {name} is there: give confirm={name} to restore over it{given}, or another name in database"]
    return []


def _of_needs(request: Request, manifest: Manifest, server: Server) -> list[str]:
    found = []
    if request.role and request.role not in server.roles:
        found.append(f"role {request.role} is not there: make it first")
    if not request.role and not request.create_roles:
        missing = globals_.missing_of(manifest.roles, server.roles)
        if missing and not request.partial:
            found.append(
                f"the dump names roles that the server lacks: {', '.join(missing)}; make them, or let create_roles do it, or give role"
            )
    lacking = globals_.missing_of(sorted(manifest.extensions), server.extensions)
    if lacking and not request.partial:
        found.append(f"the dump wants extensions that the server lacks: {', '.join(lacking)}; install their packages")
    return found


def _stays(request: Request, server: Server) -> bool:
    """Say whether the database is read into as it stands."""
    there = request.database in server.databases
    return there and (request.clean or request.partial or request.content == plan.DATA)


def decide(
    request: Request,
    manifest: Manifest,
    server: Server,
    tools: plan.Tools,
    now: datetime,
    cpus: int,
    memory: int | None = None,
) -> Plan:
    """Return how the dump is restored. memory: bytes of the server's host, None where it is another one. Raises StewardError. Pure."""
    found = findings(request, manifest, server)
    if found:
        raise StewardError(found[0])
    stamp = now.astimezone(UTC).strftime(names.STAMP)
    there = request.database in server.databases
    how = INTO if _stays(request, server) or manifest.content == plan.DATA else REPLACE if there else NEW
    if how == INTO and not there:
        raise StewardError(f"{manifest.name} has data only, and there is no database {request.database} to take them")
    parallel = manifest.dump_format != names.PLAIN and how != INTO
    jobs = request.jobs or (min(max(cpus, 1), MOST_JOBS) if parallel else 1)
    missing = globals_.missing_of(manifest.roles, server.roles) if request.create_roles and not request.role else []
    return Plan(
        how,
        request.database if how == INTO else fitting(request.database, f"_restoring_{stamp}"),
        fitting(request.database, f"_before_{stamp}") if how == REPLACE else None,
        tools,
        1 if manifest.dump_format == names.PLAIN else jobs,
        tuple(missing),
        _settings(manifest, server, how, jobs, memory),
        tuple(_notes(manifest, server)),
    )


def _settings(manifest: Manifest, server: Server, how: str, jobs: int, memory: int | None) -> dict[str, str]:
    found = {} if how == INTO else dict(SETTINGS)
    share = (memory or 0) // 1024 // MEMORY_SHARE // jobs
    wanted = min(max(share, LEAST_INDEX_MEMORY), MOST_INDEX_MEMORY)
    if server.maintenance_kb < wanted:
        found["maintenance_work_mem"] = f"{wanted}kB"
    if "vector" in manifest.extensions and not parallel_hnsw_is_safe(server.extensions.get("vector")):
        found["max_parallel_maintenance_workers"] = "0"
    return found


def _notes(manifest: Manifest, server: Server) -> Iterator[str]:
    for name, version in sorted(manifest.extensions.items()):
        here = server.extensions.get(name)
        if here not in (None, version):
            yield f"extension {name} was {version} in the dump, and is {here} here"
    if major_of(manifest.server_version) not in (0, server.major):
        yield f"the dump is of PostgreSQL {major_of(manifest.server_version)}, and the server is {server.major}"


def major_of(version: str) -> int:
    """Return the major version that a version text begins with."""
    digits = version.split(".")[0].split(" ")[0]
    return int("".join(letter for letter in digits[:3] if letter.isdigit()) or 0)


def fitting(name: str, ending: str) -> str:
    """Return a name with an ending, cut so that the server takes it."""
    room = NAME_LIMIT - len(ending.encode())
    return name.encode()[:room].decode("utf-8", "ignore") + ending


# Doing


def ask(place: Place) -> Server:
    """Return what the server says. Raises StewardError."""
    with contextlib.closing(connect(place, APPLICATION)) as connection, source.told(place):
        source.refuse_pooler(place, connection)
        row = connection.execute(_SERVER).fetchone()
    return server_of(row[0] if row else {})


def preview(request: Request, manifest: Manifest) -> Plan:
    """Return what restore() would do, having looked and changed nothing. Raises StewardError."""
    server = ask(request.place)
    tools = find_tools(max(server.major, major_of(manifest.tool_version)), request.bin_directory)
    memory = _memory() if _is_local(request.place) else None
    planned = decide(request, manifest, server, tools, datetime.now(UTC), os.cpu_count() or 1, memory)
    if planned.how != INTO:
        _refuse_full(manifest, server, request)
    return planned


def restore(request: Request, target: Target, manifest: Manifest, planned: Plan | None = None) -> dict[str, Any]:
    """Restore a dump; return what a module returns. planned: what preview() said. Raises StewardError with `state` among its facts."""
    begun = time.monotonic()
    planned = planned or preview(request, manifest)
    with private_directory(request.staging) as private:
        fetched = fetch(target, manifest, private)
        run = _Run(request, planned, manifest, fetched, private)
        try:
            run.make_roles(fetch_part(target, manifest, manifests.GLOBALS))
            catalog = fetch_part(target, manifest, manifests.CATALOG)
            result = run.into(catalog) if planned.how == INTO else run.beside(catalog)
        except StewardError as error:
            state = str(error.facts.get("state", UNCHANGED))
            raise StewardError(
                f"{error}; {run.left(state)}", **{**error.facts, "state": state, "database": request.database}
            ) from None
    return {**result, "seconds": round(time.monotonic() - begun, 2)}


def _refuse_full(manifest: Manifest, server: Server, request: Request) -> None:
    """Raise StewardError where the server is on this host and its disk cannot hold the database a second time."""
    local = (
        not request.place.host
        or request.place.host.startswith("/")
        or request.place.host in ("localhost", "127.0.0.1", "::1")
    )
    directory = Path(server.data_directory) if server.data_directory else None
    if not local or directory is None or not directory.parent.is_dir() or request.partial:
        return
    finding = room_finding(
        manifest.database_bytes, free_below(directory.parent), str(directory), f"database {request.database}"
    )
    if finding:
        raise StewardError(finding)


def _is_local(place: Place) -> bool:
    return not place.host or place.host.startswith("/") or place.host in ("localhost", "127.0.0.1", "::1")


def _memory() -> int:
    """Return the memory of this host, or what its control group may have of it."""
    held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        held = min(held, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return held


class _Run:
    """One restore while it is done."""

    def __init__(self, request: Request, planned: Plan, manifest: Manifest, fetched: Fetched, private: Path) -> None:
        self._request, self._plan, self._manifest, self._fetched = request, planned, manifest, fetched
        self._private = private
        self._working = replace(request.place, database=planned.working)
        self._programs = Programs(self._working, private, planned.settings)
        self._left_out: tuple[str, ...] = ()

    def left(self, state: str) -> str:
        """Return what is there after a failure."""
        name, working = self._request.database, self._plan.working
        if state == PARTIAL:
            return f"database {name} has a part of it: several jobs cannot do it in one transaction; run again with clean, or drop it"
        if state == BESIDE:
            return f"what was restored is in database {working}, and {name} is as it was"
        return f"database {name} is as it was" if self._plan.how != NEW else f"there is no database {name}"

    def make_roles(self, text: bytes | None) -> None:
        """Make the roles that the server lacks, from the globals of the dump."""
        missing = self._plan.missing_roles
        if not missing:
            return
        held = (text or b"").decode("utf-8", "replace")
        unknown = globals_.missing_of(missing, globals_.roles_in(held))
        if unknown:
            raise StewardError(f"the dump has no definition of the roles {', '.join(unknown)}: make them first")
        with self._connected(self._request.place) as connection, connection.transaction():
            roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
            for statement in globals_.role_statements(held, missing, roles):
                connection.execute(statement.encode())

    def into(self, catalog: bytes | None) -> dict[str, Any]:
        """Read entries into the database as it stands."""
        single = self._plan.jobs == 1
        try:
            self._read(closed=False)
        except StewardError as error:
            raise StewardError(str(error), state=UNCHANGED if single else PARTIAL) from None
        return self._result(catalog, former=None)

    def beside(self, catalog: bytes | None) -> dict[str, Any]:
        """Read the dump into a new database, look at what came of it, and give it the name."""
        self._drop_leftovers()
        self._create()
        try:
            self._read(closed=self._request.partial)
            self._finish()
            result = self._result(catalog, former=self._plan.former)
        except BaseException:
            self._drop(self._plan.working)
            raise
        if result["rows"]["different"]:
            first = result["rows"]["different"][0]
            raise StewardError(
                f"{len(result['rows']['different'])} tables have other rows than the dump's manifest says, {first['table']} has {first['found']}"
                f" instead of {first['expected']}",
                **{**result, "state": BESIDE},
            )
        self._put_in_place()
        return result

    # A new database

    def _create(self) -> None:
        properties = self._manifest.properties
        if self._request.role:
            properties = {**properties, "owner": self._request.role}
        with self._connected(self._request.place) as connection:
            server_major = connection.info.server_version // 10000
            connection.execute(globals_.create_database(self._plan.working, properties, server_major).encode())
            connection.execute(
                f"COMMENT ON DATABASE {identifier(self._plan.working)} IS {literal(self._mark)}".encode()
            )
            if self._request.role or properties.get("owner") in self._roles(connection):
                # Before anything is read: extensions and schema public are made for the owner of the database.
                owner = identifier(str(properties["owner"]))
                connection.execute(f"ALTER DATABASE {identifier(self._plan.working)} OWNER TO {owner}".encode())

    @property
    def _mark(self) -> str:
        return f"pgsteward restores {self._manifest.name} for {self._request.database}"

    def _finish(self) -> None:
        """Give the database its properties and its statistics."""
        properties = dict(self._manifest.properties)
        if self._request.role:
            properties = {
                key: value for key, value in properties.items() if key not in ("owner", "privileges", "role_settings")
            }
        with self._connected(self._request.place) as connection:
            for statement in globals_.property_statements(
                self._plan.working, properties, True, self._roles(connection)
            ):
                connection.execute(statement.encode())

    @staticmethod
    def _roles(connection: psycopg.Connection[Any]) -> Collection[str]:
        return {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}

    def _drop_leftovers(self) -> None:
        """Drop what restores of this database have left that were killed: nobody is in it, and its comment says whose it was."""
        query = """
            SELECT d.datname FROM pg_database d JOIN pg_shdescription s ON s.objoid = d.oid AND s.classoid = 'pg_database'::regclass
            WHERE starts_with(s.description, 'pgsteward restores ') AND right(s.description, %s) = %s
              AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)
        """
        with self._connected(self._request.place) as connection:
            ending = f" for {self._request.database}"
            left = [name for (name,) in connection.execute(query, (len(ending), ending)).fetchall()]
        for name in left:
            self._drop(name)

    def _drop(self, name: str) -> None:
        with contextlib.suppress(StewardError), self._connected(self._request.place) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)".encode())

    def _put_in_place(self) -> None:
        """Give the new database the name, and the one that had it another, in one transaction."""
        working, name = identifier(self._plan.working), identifier(self._request.database)
        comment = self._manifest.properties.get("comment")
        renames = [
            f"ALTER DATABASE {working} RENAME TO {name}",
            f"COMMENT ON DATABASE {name} IS {literal(comment) if comment else 'NULL'}",
        ]
        if self._plan.former:
            renames.insert(0, f"ALTER DATABASE {name} RENAME TO {identifier(self._plan.former)}")
        try:
            with self._connected(self._request.place) as connection, self._sessions_ended(), connection.transaction():
                connection.execute("SET LOCAL synchronous_commit = on")
                for statement in renames:
                    connection.execute(statement.encode())
        except StewardError as error:
            raise StewardError(str(error), state=BESIDE) from None
        if self._plan.former and not self._request.keep_former:
            self._drop(self._plan.former)

    @contextmanager
    def _sessions_ended(self) -> Iterator[None]:
        """End the sessions of the database that is renamed, again and again: the rename keeps new ones out, and waits for the old ones."""
        done, query = (
            threading.Event(),
            (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s) AND pid <> pg_backend_pid()"
            ),
        )

        def end() -> None:
            with contextlib.suppress(StewardError), self._connected(self._request.place) as connection:
                limit = time.monotonic() + SWAP_LIMIT
                while not done.is_set() and time.monotonic() < limit:
                    connection.execute(query.encode(), ([self._request.database, self._plan.working],))
                    done.wait(0.1)

        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        try:
            yield
        finally:
            done.set()
            ending.join(SWAP_LIMIT)

    # Reading

    def _read(self, closed: bool) -> None:
        fetched, tools, request = self._fetched, self._plan.tools, self._request
        if self._manifest.dump_format == names.PLAIN:
            self._programs.feed(plan.psql_command(tools, self._working), fetched.sql())
            return
        wanted = plan.Restore(self._plan.jobs, request.clean, None, request.role, request.content)
        largest = max(self._manifest.rows.values(), default=0)
        by_parts = self._plan.how != INTO and request.content == plan.ALL and largest >= load.LARGE
        if not (request.partial or by_parts):
            self._restore(wanted)
            return
        listing, _warnings = self._programs.capture(plan.list_command(tools, fetched.path))
        script, _warnings = self._programs.capture(plan.script_command(tools, fetched.path))
        entries = toc.parse(listing.decode(), script.decode("utf-8", "replace"))
        lines = tuple(entry.line for entry in entries.values())
        if request.partial:
            selection = toc.select(entries, request.tables, request.schemas, closed)
            self._left_out, lines = selection.left_out, selection.lines
            wanted = replace(wanted, use_list=self._list("entries", lines))
        if by_parts:
            self._read_by_parts(wanted, load.divide(entries, lines, self._manifest.rows))
        else:
            self._restore(wanted)

    def _read_by_parts(self, wanted: plan.Restore, division: load.Division) -> None:
        """Read definitions, the rows of large tables, all other rows, and at last what is made of rows."""
        plan_ = self._plan
        self._restore(replace(wanted, section="pre-data", jobs=1))
        loader = load.Loader(self._working, self._programs, plan_.tools, self._fetched.path, self._private, wanted.role)
        loader.load(division.large, plan_.jobs)
        self._restore(replace(wanted, section="data", use_list=self._list("rest", division.rest)))
        self._restore(replace(wanted, section="post-data"))

    def _restore(self, wanted: plan.Restore) -> None:
        self._programs.capture(plan.restore_command(self._plan.tools, self._working, self._fetched.path, wanted))

    def _list(self, name: str, lines: Sequence[str]) -> Path:
        path = self._private / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    # Looking at what came of it

    def _result(self, catalog: bytes | None, former: str | None) -> dict[str, Any]:
        with source.moment_of(self._working) as moment:
            whole = self._manifest.whole and not self._request.partial and self._request.content == plan.ALL
            snapshot = moment.catalog() if whole and catalog else None
            revisions, there = moment.revisions(), moment.tables()
        expected = self._expected_rows()
        # A dump that somebody else made has no counts to compare with.
        found = self._counted([t for t in there if qualified(*t) in expected or not self._manifest.signed])
        different = manifests.compare_rows(expected, found)
        return {
            "changed": True,
            "state": DONE,
            "database": self._request.database,
            "former": former if self._request.keep_former else None,
            "name": self._manifest.name,
            "rows": {
                "tables": len(found),
                "expected": sum(expected.values()) if self._manifest.signed else None,
                "found": sum(found.values()),
                "different": different,
            },
            "catalog": self._compared(snapshot, catalog),
            "revisions": revisions,
            "roles_created": list(self._plan.missing_roles),
            "left_out": list(self._left_out),
            "bytes": sum(file.size for file in self._manifest.of(manifests.DUMP)),
            "notes": list(self._plan.notes),
        }

    def _counted(self, tables: Sequence[tuple[str, str]]) -> dict[str, int]:
        """Give tables their statistics and count them, several at a time; then everything that has none yet."""
        waiting: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        for table in sorted(tables, key=lambda one: -self._manifest.rows.get(qualified(*one), 0)):
            waiting.put(table)
        found: dict[str, int] = {}

        def work() -> None:
            with self._connected(self._working) as connection:
                connection.execute("SELECT set_config('jit', 'off', false), set_config('row_security', 'off', false)")
                with contextlib.suppress(queue.Empty):
                    while True:
                        schema, name = waiting.get_nowait()
                        quoted = f"{identifier(schema)}.{identifier(name)}"
                        connection.execute(f"ANALYZE {quoted}".encode())
                        row = connection.execute((source.COUNT + quoted).encode()).fetchone()
                        found[qualified(schema, name)] = int(row[0]) if row else 0

        with ThreadPoolExecutor(self._plan.jobs) as pool:
            for one in [pool.submit(work) for _job in range(self._plan.jobs)]:
                one.result()
        with self._connected(self._working) as connection:
            left = connection.execute(_UNANALYZED).fetchall()
            for (quoted,) in left:
                connection.execute(f"ANALYZE {quoted}".encode())
        return found

    def _expected_rows(self) -> dict[str, int]:
        """Return what the manifest says of the tables that were asked for."""
        request = self._request
        if request.content == plan.SCHEMA:
            return {}
        wanted = {qualified(*table) for table in request.tables}
        schemas = {qualified(schema) for schema in request.schemas}
        return {
            table: count
            for table, count in self._manifest.rows.items()
            if (not wanted or table in wanted) and (not schemas or _snapshot.schema_of(table) in schemas)
        }

    def _compared(self, found: _snapshot.Snapshot | None, catalog: bytes | None) -> dict[str, Any] | None:
        """Return how the catalog differs from that of the dump; None where there is nothing to compare."""
        if found is None or catalog is None:
            return None
        text = catalog.decode("utf-8", "surrogatepass")
        expected = _snapshot.parse(text, f"the catalog of {self._manifest.name}")
        scoped = _snapshot.limit(found.objects, source.SCOPE)
        drifts = seen(compare(expected.objects, scoped), (*expected.unseen, *found.unseen))
        if self._request.role:
            drifts = [drift for drift in drifts if drift.attribute not in ("owner", "privileges")]
        fingerprint = _snapshot.Snapshot(scoped, source.SCOPE).as_dict()["fingerprint"]
        return {
            "equal": not drifts,
            "expected": self._manifest.fingerprint,
            "found": fingerprint,
            "differences": [f"{drift.object}: {drift.attribute}" for drift in drifts[:SHOWN]],
            "count": len(drifts),
        }

    @contextmanager
    def _connected(self, place: Place) -> Iterator[psycopg.Connection[Any]]:
        with contextlib.closing(connect(place, APPLICATION)) as connection, source.told(place):
            yield connection


def words_of(planned: Plan, request: Request, manifest: Manifest) -> Sequence[str]:
    """Return what is going to be done, for people."""
    fate = f"stays as {planned.former}" if request.keep_former else "is dropped"
    what = {
        NEW: f"make database {request.database} from {manifest.name}",
        REPLACE: f"replace database {request.database} by {manifest.name}; what is there now {fate}",
        INTO: f"read {manifest.name} into database {request.database}, which stays",
    }[planned.how]
    return [what, *(f"make role {role}" for role in planned.missing_roles), *planned.notes]
