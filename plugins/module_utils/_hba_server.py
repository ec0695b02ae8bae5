# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hba file of one server: observe, plan, apply. The rules and the text are made in _hba."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _ident, _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect, read_json, reload
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._hba import Rendered, Rule, masked, rule_lines

if TYPE_CHECKING:
    import psycopg

APPLICATION = "pgsteward pg_hba"
SCRATCH_LIMIT = 60  # seconds for each of the two programs of a scratch check
# A regular expression was an ordinary name before this version: no error there, and no match.
FIRST_WITH_REGEX = 160000
# The server lists this as an error of the line, loads the line all the same, and nobody matches it.
_TLS_IS_OFF = "SSL is disabled"
_UNCHECKED = "PostgreSQL itself has not checked the rules, a run without check mode lets it"

FIRST_WITH_IDENT_VIEW = 150000

FILE_ERRORS = "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL ORDER BY line_number"

IDENT_ERRORS = "SELECT line_number, error FROM pg_ident_file_mappings WHERE error IS NOT NULL ORDER BY line_number"

Errors = Sequence[tuple[int, str]]


@dataclass(frozen=True)
class Found:
    """A file as it was found. Times are nanoseconds since 1970."""

    path: Path
    text: str | None
    modified: int | None


@dataclass(frozen=True)
class Observed:
    """What the server and the host say. Times are nanoseconds since 1970; version as server_version_num has it; ident: the file of maps."""

    path: Path
    text: str | None
    modified: int | None
    loaded: int
    version: int
    tls: bool
    bin_directory: Path
    ident: Found = field(default_factory=lambda: Found(Path("pg_ident.conf"), None, None))


@dataclass(frozen=True)
class Plan:
    """What a run does: write the file, reload the server. Both are the same in check mode. ident: the text of the maps, where they change."""

    write: bool
    reload: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]
    ident: str | None = None


def make_plan(found: str | None, wanted: str, modified: int | None, loaded: int) -> Plan:
    """Return the plan for a file that holds `found`.

    A file younger than the last reload is reloaded even when its text is right: a run that ended between the two left it so.
    """
    before, after = rule_lines(found or ""), rule_lines(wanted)
    write = found != wanted
    return Plan(
        write=write,
        reload=write or (modified or 0) > loaded,
        added=tuple(line for line in after if line not in before),
        removed=tuple(line for line in before if line not in after),
    )


def with_maps(plan: Plan, observed: Observed, maps: str | None) -> Plan:
    """Return the plan with what becomes of the file of maps. maps: its wanted text, None where nobody asks for maps.

    A file that somebody else wrote is left alone then. Raises StewardError for lines of it that would be lost otherwise.
    """
    found = observed.ident
    if maps is None and not _ident.is_ours(found.text):
        return plan
    wanted = maps if maps is not None else _ident.render(())
    lost = _ident.strange(found.text, wanted)
    if lost:
        raise StewardError(
            f"{found.path} holds a map of somebody else's ({lost[0]}): list it in pg_hba_maps, or remove it from the file, and run again"
        )
    if found.text != wanted:
        return replace(plan, ident=wanted, reload=True)
    return replace(plan, reload=plan.reload or (found.modified or 0) > observed.loaded)


def converge(
    place: Place, rules: Sequence[Rule], wanted: Rendered, dry_run: bool, maps: str | None = None
) -> dict[str, Any]:
    """Bring the hba file of the server at `place`, on this host, to `wanted`, and the server to that file; return the result.

    maps: the text of its file of maps, None where nobody asks for any. Raises StewardError, with the files and the rules in force as before,
    when the server finds a rule wrong or would not let `place` in again.
    """
    absent = absence(place)
    if absent and dry_run:
        return _foresee(place, wanted, absent)
    if absent:
        raise StewardError(absent)
    import psycopg

    try:
        with connect(place, APPLICATION) as connection:
            observed = observe(connection)
            refuse_old(observed, rules)
            plan = make_plan(observed.text, wanted.text, observed.modified, observed.loaded)
            plan = with_maps(plan, observed, maps)
            warnings = _warnings(observed, rules)
            if plan.write:
                _owned_file.refuse_unwritable(observed.path)
                unchecked = check_candidate(observed.bin_directory, wanted)
                warnings += unchecked if dry_run else []  # the real run asks the live server as well
            if plan.ident is not None:
                _owned_file.refuse_unwritable(observed.ident.path)
            if plan.reload and not dry_run:
                apply(connection, place, observed, wanted, plan)
    except psycopg.Error as error:
        raise StewardError(f"the server at {place} gave up: {error}") from None
    return _result(_owned_file.readable(observed.text), wanted, plan, observed.path, warnings, observed.ident)


def _foresee(place: Place, wanted: Rendered, absent: str) -> dict[str, Any]:
    """Return the result of a dry run where the server cannot be asked as usual: psql may still say where its file is."""
    if not _socket(place).exists():
        plan = make_plan(None, wanted.text, None, 0)
        return _result("", wanted, plan, Path("pg_hba.conf"), [f"{absent}; shown against an empty file"])
    path = Path(read_json(place, APPLICATION, "SELECT to_json(current_setting('hba_file'))", without_driver=True))
    text = _owned_file.read(path)
    plan = make_plan(text, wanted.text, None, 0)
    return _result(_owned_file.readable(text), wanted, plan, path, [f"{absent}; {_UNCHECKED}"])


def _socket(place: Place) -> Path:
    return Path(place.host or "") / f".s.PGSQL.{place.port}"


def absence(place: Place) -> str | None:
    """Return why no server can be asked at all, and the remedy; None when one can."""
    socket = _socket(place)
    if not socket.exists():
        return f"no server at {socket}: install and start one, as the role pg_server does, or correct the socket directory and the port"
    if importlib.util.find_spec("psycopg") is None:
        return f"the server at {socket} cannot be asked without psycopg 3: install python3-psycopg, as the role pg_server does"
    return None


def observe(connection: psycopg.Connection[Any]) -> Observed:
    """Ask the server for its file and its state, and read the file."""
    connection.execute("SET lc_messages = 'C'")
    rows = connection.execute(
        "SELECT current_setting('hba_file'), (extract(epoch FROM pg_conf_load_time()) * 1000000)::bigint,"
        " current_setting('server_version_num')::int, current_setting('ssl') = 'on',"
        " (SELECT setting FROM pg_config WHERE name = 'BINDIR'), current_setting('ident_file')"
    ).fetchall()
    file, loaded, version, tls, bin_directory, ident_file = rows[0]
    found, maps = (
        Found(path, _owned_file.read(path), _owned_file.modified(path)) for path in (Path(file), Path(ident_file))
    )
    return Observed(found.path, found.text, found.modified, loaded * 1000, version, tls, Path(bin_directory), maps)


def refuse_old(observed: Observed, rules: Iterable[Rule]) -> None:
    """Raise StewardError for a rule that this version of the server would load and understand otherwise."""
    for rule in rules:
        if observed.version < FIRST_WITH_REGEX and any(item.kind == "regex" for item in (*rule.databases, *rule.users)):
            major = observed.version // 10000
            raise StewardError(
                f"{rule.name} ({rule}): PostgreSQL {major} knows no regular expressions here, 16 is the first; list the names"
            )


def apply(connection: psycopg.Connection[Any], place: Place, observed: Observed, wanted: Rendered, plan: Plan) -> None:
    """Write, let the server check, reload, and prove that the superuser still gets in; undo what was done when it does not.

    Only a reload that is not confirmed leaves the new file: the server may have it by then, and the next run looks again.
    """
    try:
        # Maps first: a rule that names a map of nobody's would keep its accounts out.
        if plan.ident is not None:
            _owned_file.write(observed.ident.path, plan.ident)
        if plan.write:
            _owned_file.write(observed.path, wanted.text)
        state = f"{'the former file is back and ' if plan.write else ''}nothing was reloaded"
        refuse_errors(file_errors(connection), wanted, state, observed.tls)
        if plan.ident is not None and observed.version >= FIRST_WITH_IDENT_VIEW:
            refuse_map_errors(connection.execute(IDENT_ERRORS).fetchall(), observed.ident.path, state)
    except BaseException:
        put_back(observed, plan)
        raise
    reload(connection)
    try:
        connect(place, APPLICATION).close()
    except StewardError as error:
        put_back(observed, plan)
        reload(connection)
        state = "the former rules are back in force" if plan.write else "and they are what the file held already"
        raise StewardError(f"under the new rules {place.user} could not log in again, {state}: {error}") from None


def put_back(observed: Observed, plan: Plan) -> None:
    """Restore the files that were found, their time of modification too, so that no reload seems to be pending."""
    if plan.write:
        _owned_file.restore(observed.path, observed.text, observed.modified)
    if plan.ident is not None:
        _owned_file.restore(observed.ident.path, observed.ident.text, observed.ident.modified)


def file_errors(connection: psycopg.Connection[Any]) -> Errors:
    """Return line and message of each error that the server finds in its hba file; the rules in force are another matter."""
    return connection.execute(FILE_ERRORS).fetchall()


def refuse_errors(errors: Errors, wanted: Rendered, state: str, tls: bool = True) -> None:
    """Raise StewardError for the first error, naming the rule and saying in which state things are."""
    for line, error in errors:
        if _TLS_IS_OFF in error and not tls:
            continue
        rule = wanted.rules.get(line)
        where = f"{rule.name} ({masked(str(rule))})" if rule else f"line {line}"
        raise StewardError(f"{where}: PostgreSQL says: {error}; {state}", line=line, error=error)


def refuse_map_errors(errors: Errors, path: Path, state: str) -> None:
    """Raise StewardError for the first error that the server finds in its file of maps."""
    for line, error in errors:
        raise StewardError(f"{path} line {line}: PostgreSQL says: {error}; {state}", line=line, error=error)


def check_candidate(bin_directory: Path, wanted: Rendered) -> list[str]:
    """Let PostgreSQL judge the text before it gets near the live file; return a warning when that cannot be done here.

    Raises StewardError for a rule that the server would refuse.
    """
    try:
        errors = candidate_errors(bin_directory, wanted.text)
    except OSError as error:
        return [f"{_UNCHECKED}: {error.filename}: {error.strerror}"]
    except subprocess.SubprocessError as error:
        return [f"{_UNCHECKED}: {(getattr(error, 'stderr', None) or str(error)).strip().splitlines()[-1]}"]
    refuse_errors(errors, wanted, "nothing was changed")
    return []


def candidate_errors(bin_directory: Path, text: str) -> Errors:
    """Let the server's own program judge a file: a scratch instance below the temporary directory, single-user, for a second.

    The instance never listens, and is removed at the end. TLS counts as on. Raises OSError or subprocess.SubprocessError
    when the programs cannot run here.
    """
    with tempfile.TemporaryDirectory(prefix="pgsteward-hba-") as scratch:
        data, candidate, answer = Path(scratch, "data"), Path(scratch, "pg_hba.conf"), Path(scratch, "errors.csv")
        candidate.write_text(text, encoding="utf-8")
        initdb = ["initdb", "--username=postgres", "--no-locale", "--encoding=UTF8", "--auth=reject", "--no-sync"]
        _run(bin_directory, [*initdb, f"--pgdata={data}"])
        settings = (f"hba_file={candidate}", "ssl=on", "shared_buffers=1MB", "fsync=off", "logging_collector=off")
        options = [option for setting in settings for option in ("-c", setting)]
        copy = f"COPY ({FILE_ERRORS}) TO '{answer}' (FORMAT csv)\n"
        _run(bin_directory, ["postgres", "--single", "-D", str(data), *options, "template1"], copy)
        with answer.open(encoding="utf-8", newline="") as stream:
            return [(int(line), error) for line, error in csv.reader(stream)]


def _run(bin_directory: Path, command: Sequence[str], text: str = "") -> None:
    program, *arguments = command
    environment: Mapping[str, str] = {**os.environ, "LC_ALL": "C"}
    subprocess.run(
        [bin_directory / program, *arguments],
        input=text,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=SCRATCH_LIMIT,
        cwd="/",
    )


def _warnings(observed: Observed, rules: Iterable[Rule]) -> list[str]:
    waiting = [rule for rule in rules if rule.type == "hostssl"]
    if observed.tls or not waiting:
        return []
    return [f"TLS is off on this server: {len(waiting)} rules of type hostssl match nobody until the setting ssl is on"]


def _result(
    before: str, wanted: Rendered, plan: Plan, path: Path, warnings: list[str], ident: Found | None = None
) -> dict[str, Any]:
    rules = {
        "before": masked(before),
        "after": masked(wanted.text),
        "before_header": str(path),
        "after_header": str(path),
    }
    maps = (
        {
            "before": _owned_file.readable(ident.text),
            "after": plan.ident,
            "before_header": str(ident.path),
            "after_header": str(ident.path),
        }
        if ident and plan.ident is not None
        else None
    )
    return {
        "changed": plan.reload,
        "hba_file": str(path),
        "reloaded": plan.reload,
        "added": list(plan.added),
        "removed": list(plan.removed),
        "warnings": warnings,
        "diff": [rules, maps] if maps else rules,
    }
