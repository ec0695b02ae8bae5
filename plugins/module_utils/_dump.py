# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking a dump: one moment of a database, into one or more stores at once.

Archives and plain SQL go from pg_dump straight into the stores. The manifest is written last: until then there is no dump. A store that
fails does not keep the others from getting theirs.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_source as source
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_stage as stage
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_branch import Branch, Outcome, refuse_none_left
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_process import (
    Programs,
    find_tools,
    private_directory,
    zstd_program,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Snapshot, limit
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import (
    Features,
    free_below,
    readable_size,
    room_finding,
)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Request:
    """What to dump. staging: directory of this account for what cannot be streamed."""

    place: Place
    environment: str
    host: str
    staging: Path
    form: str = names.CUSTOM
    compression: str = plan.AUTO
    content: str = plan.ALL
    schemas: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    jobs: int = 1
    with_globals: bool = True
    role_passwords: bool = False
    bin_directory: Path | None = None

    @property
    def database(self) -> str:
        """The database."""
        return str(self.place.database)


@dataclass(frozen=True)
class Plan:
    """What is going to be done. expected: bytes, at most but for odd data."""

    name: names.Name
    tools: plan.Tools
    dump: plan.Dump
    facts: source.Facts
    expected: int

    def as_return(self, request: Request) -> dict[str, Any]:
        """Return it as a module returns it."""
        return {
            "name": str(self.name),
            "database": request.database,
            "dump_format": self.dump.form,
            "compression": str(self.dump.compression),
            "content": self.dump.content,
            "tool_version": self.tools.version,
            "server_version": self.facts.version,
            "standby": self.facts.standby,
            "expected_bytes": self.expected,
        }


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def preview(request: Request, targets: Sequence[Target]) -> tuple[Plan, list[tuple[Target, Features]]]:
    """Return what take() would do, having looked at the server and the stores, and written nothing. Raises StewardError."""
    refuse(request)
    with source.moment_of(request.place) as moment:
        planned = _planned(request, moment.facts, now())
    ready, failed = look_at(targets, dry=True)
    failed += _without_room(planned, ready)
    if failed:
        raise StewardError(str(failed[0].error))
    _refuse_full_staging(request, planned)
    return planned, ready


def take(request: Request, targets: Sequence[Target], clock: Clock = now) -> list[Outcome]:
    """Take a dump into every store. Raises StewardError when it could not be taken at all, with nothing left of it anywhere."""
    refuse(request)
    ready, failed = look_at(targets)
    if not ready:
        raise StewardError(str(failed[0].error))
    with private_directory(request.staging) as private, _alone(request), source.moment_of(request.place) as moment:
        planned = _planned(request, moment.facts, _free_moment(request, ready, clock))
        failed += _without_room(planned, ready)
        lacking = {outcome.target for outcome in failed}
        ready = [(target, features) for target, features in ready if target.name not in lacking]
        if not ready:
            raise StewardError(str(failed[0].error))
        run = _Run(request, planned, moment, Programs(request.place, private))
        outcomes = run.staged(ready) if request.form == names.DIRECTORY else run.streamed(ready)
    return [*outcomes, *failed]


def refuse(request: Request) -> None:
    """Raise StewardError for what cannot go together."""
    names.name_of(request.environment, now())
    if request.schemas and request.tables:
        raise StewardError("schemas and tables are both given: name the one or the other")
    found = plan.findings(plan.Dump(request.form, plan.Compression(plan.GZIP), jobs=request.jobs))
    if found:
        raise StewardError(found[0])


def look_at(targets: Sequence[Target], dry: bool = False) -> tuple[list[tuple[Target, Features]], list[Outcome]]:
    """Return the stores that can be written, and those that cannot."""
    ready, failed = [], []
    for target in targets:
        try:
            ready.append((target, target.store.features(dry)))
        except StewardError as error:
            failed.append(Outcome(target.name, error=str(error)))
    return ready, failed


def _planned(request: Request, facts: source.Facts, at: datetime) -> Plan:
    found = (
        source.findings(facts) if request.content != plan.SCHEMA and not request.schemas and not request.tables else []
    )
    if request.role_passwords and not facts.superuser:
        found.append(f"role_passwords: only a superuser may read the passwords of roles, and {facts.user} is none")
    if found:
        raise StewardError(found[0])
    tools = find_tools(facts.major, request.bin_directory)
    compression = plan.compression_of(request.compression, tools, request.form, zstd_program() is not None)
    dump = plan.Dump(request.form, compression, request.content, request.schemas, request.tables, request.jobs)
    expected = plan.expected_bytes(0 if request.content == plan.SCHEMA else facts.table_bytes, compression)
    return Plan(names.name_of(request.environment, at), tools, dump, facts, expected)


def _without_room(planned: Plan, ready: Sequence[tuple[Target, Features]]) -> list[Outcome]:
    what = f"the dump of {readable_size(planned.facts.table_bytes)} of tables"
    found = []
    for target, _features in ready:
        finding = room_finding(planned.expected, target.store.free(), str(target.store), what)
        if finding:
            found.append(Outcome(target.name, error=finding))
    return found


def _refuse_full_staging(request: Request, planned: Plan) -> None:
    if request.form != names.DIRECTORY:
        return
    what = f"the dump of {readable_size(planned.facts.table_bytes)} of tables, which is staged before it is sent,"
    finding = room_finding(planned.expected, free_below(request.staging), str(request.staging), what)
    if finding:
        raise StewardError(finding)


@contextmanager
def _alone(request: Request) -> Iterator[None]:
    """Let one run at a time dump a database from this host."""
    path = request.staging / f".{names.folder(request.database)}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StewardError(f"another run dumps {request.database} right now: wait for its end") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _free_moment(request: Request, ready: Sequence[tuple[Target, Features]], clock: Clock) -> datetime:
    """Return a moment whose name no store has yet: names have seconds only."""
    while True:
        at = clock()
        start = f"{names.folder(request.database)}/{names.name_of(request.environment, at)}"
        if not any(target.store.items(start) for target, _features in ready):
            return at
        time.sleep(1)


@dataclass(frozen=True)
class _Around:
    """What was seen of the database meanwhile."""

    rows: dict[str, int]
    revisions: dict[str, list[str]]
    catalog: Snapshot


class _Run:
    """One dump while it is taken."""

    def __init__(self, request: Request, planned: Plan, moment: source.Moment, programs: Programs) -> None:
        self._request, self._plan, self._moment, self._programs = request, planned, moment, programs
        self._key = f"{names.folder(request.database)}/{planned.name}"
        self._begun = time.monotonic()

    def streamed(self, ready: Sequence[tuple[Target, Features]]) -> list[Outcome]:
        """Send the dump to all stores while pg_dump writes it."""
        plan_ = self._plan
        branches = [Branch(target, self._key, features.notes) for target, features in ready]
        ending = names.dump_ending(plan_.dump.form, plan_.dump.compression.method)
        try:
            for branch in branches:
                branch.attempt(branch.open, ending, plan_.expected)

            def take_in(data: bytes) -> None:
                for branch in branches:
                    branch.attempt(branch.write, data)
                refuse_none_left(branches)

            with self._looking() as looking:
                refuse_none_left(branches)
                command = plan.dump_command(plan_.tools, self._request.place, plan_.dump, self._moment.snapshot)
                warnings = self._programs.stream(command, take_in)
                around = looking.result()
            beside = self._beside(around)
            for branch in branches:
                for file in beside:
                    branch.attempt(branch.put, *file)
                branch.attempt(branch.close)
        except BaseException as error:
            for branch in branches:
                if branch.error is None:
                    branch.fail(str(error))
            raise
        manifest = self._manifest(around, warnings)
        return [branch.sealed(manifest) for branch in branches]

    def staged(self, ready: Sequence[tuple[Target, Features]]) -> list[Outcome]:
        """Write the dump below the staging directory, several tables at a time, then send its files."""
        plan_, request = self._plan, self._request
        _refuse_full_staging(request, plan_)
        with stage.new(request.staging, request.database, str(plan_.name)) as staged:
            with self._looking() as looking:
                command = plan.dump_command(plan_.tools, request.place, plan_.dump, self._moment.snapshot, staged.data)
                _output, warnings = self._programs.capture(command)
                around = looking.result()
            staged.complete(self._manifest(around, warnings), self._beside(around))
        outcomes = []
        for target, features in ready:
            manifest, error = staged.send(target)
            outcomes.append(Outcome(target.name, manifest, error, features.notes))
        staged.forget(unless_waiting=[outcome.target for outcome in outcomes if outcome.error])
        return outcomes

    @contextmanager
    def _looking(self) -> Iterator[Future[_Around]]:
        """Count and read the catalog while pg_dump works."""
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(self._look_around)
            try:
                yield looking
            except BaseException:
                self._moment.cancel()
                raise

    def _look_around(self) -> _Around:
        request = self._request
        tables = [
            table
            for table in self._moment.tables()
            if (not request.schemas or table[0] in request.schemas) and (not request.tables or table in request.tables)
        ]
        catalog = self._moment.catalog()
        rows = {} if request.content == plan.SCHEMA else self._moment.rows(tables)
        return _Around(rows, self._moment.revisions(), catalog)

    def _beside(self, around: _Around) -> list[tuple[str, str, bytes]]:
        """Return ending, part and content of the small files."""
        scoped = Snapshot(limit(around.catalog.objects, source.SCOPE), source.SCOPE, around.catalog.unseen)
        files = [(names.CATALOG, manifests.CATALOG, _gzipped(scoped.as_text().encode("utf-8", "surrogatepass")))]
        if self._request.with_globals:
            command = plan.globals_command(self._plan.tools, self._request.place, self._request.role_passwords)
            output, _warnings = self._programs.capture(command)
            files.append((names.GLOBALS, manifests.GLOBALS, _gzipped(output)))
        return files

    def _manifest(self, around: _Around, warnings: Sequence[str]) -> Manifest:
        request, plan_, facts = self._request, self._plan, self._plan.facts
        catalog = around.catalog
        fingerprint = Snapshot(limit(catalog.objects, source.SCOPE), source.SCOPE).as_dict()["fingerprint"]
        unseen = [f"not seen: {item} {attribute}".removesuffix(" *") for item, attribute in catalog.unseen]
        return Manifest(
            name=str(plan_.name),
            database=request.database,
            environment=request.environment,
            kind=manifests.POSTGRESQL,
            begun=manifests.moment(plan_.name.at),
            seconds=round(time.monotonic() - self._begun, 2),
            host=request.host,
            dump_format=plan_.dump.form,
            compression=str(plan_.dump.compression),
            server_version=facts.version,
            tool_version=plan_.tools.version,
            files=(),
            content=request.content,
            schemas=request.schemas,
            tables=tuple(qualified(*table) for table in request.tables),
            standby=facts.standby,
            database_bytes=facts.bytes,
            rows=around.rows,
            extensions=facts.extensions,
            revisions=around.revisions,
            fingerprint=str(fingerprint),
            properties=catalog.objects.get("database", {}).get("current", {}),
            roles=facts.roles,
            role_passwords=request.role_passwords if request.with_globals else None,
            notes=(*source.notes(facts), *self._notes_of_globals(), *unseen, *warnings),
        )

    def _notes_of_globals(self) -> list[str]:
        if not self._request.with_globals:
            return ["roles and tablespaces are not in it"]
        return [] if self._request.role_passwords else ["the passwords of roles are not in it"]


def _gzipped(data: bytes) -> bytes:
    """Return data compressed, the same for the same data."""
    return gzip.compress(data, 6, mtime=0)
