# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands backup-db, restore-db and drill-db, for people and timers of a host without Ansible at hand.

Exit codes: 0 all well, 1 something could not be done, 2 refused before anything began (wrong options, no confirmation, no configuration).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _drill,
    _drill_report,
    _dump,
    _dump_drill,
    _dump_restore,
    _dump_sqlite,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config as config
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_foreign as foreign
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_list as dumps
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_retention as retention
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_stage as stage
from ansible_collections.pgsteward.postgres.plugins.module_utils._account import RefusedError, become
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_actions import LATEST, find, maintenance
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_branch import Outcome
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target, target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import LocalStore, readable_size

GOOD, FAILED, REFUSED = 0, 1, 2
Stores = Sequence[tuple[Target, Mapping[str, Any]]]
_STREAMING = (
    "SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication WHERE application_name <> 'pg_basebackup')"
)


def say(text: str) -> None:
    """Tell the one who called."""
    print(text, flush=True)


def complain(program: str, text: str) -> None:
    """Tell what went wrong."""
    print(f"{program}: {text}", file=sys.stderr, flush=True)


def run(program: str, main: Any, argv: Sequence[str]) -> int:
    """Return the exit code of a command, whose errors are one line each."""
    os.umask(0o027)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ended)
    try:
        return int(main(argv))
    except RefusedError as error:
        complain(program, str(error))
        return REFUSED
    except StewardError as error:
        complain(program, str(error))
        return FAILED
    except KeyboardInterrupt:
        complain(program, "interrupted; nothing of this run counts as a dump")
        return FAILED
    except OSError as error:
        complain(program, f"{error.filename or ''}: {error.strerror}".lstrip(": "))
        return FAILED


def _ended(_number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


# backup-db


def backup_arguments() -> argparse.ArgumentParser:
    """Return the parser of backup-db."""
    parser = argparse.ArgumentParser(
        prog="backup-db",
        description="Dumps the databases of this host, and shows, verifies and removes their dumps.",
        epilog="Exit code: 0 all well, 1 something could not be done, 2 refused before anything began. Configuration: "
        f"{config.PATH}, written by the role pg_dumps.",
    )
    parser.add_argument(
        "database", nargs="*", help="what to dump, of what the configuration lists (default: all of it)"
    )
    parser.add_argument("--store", action="append", metavar="NAME", help="only this store (more than once for several)")
    parser.add_argument("--format", choices=plan.FORMATS, help="instead of what the configuration says")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--schema-only", action="store_true", help="definitions without rows")
    only.add_argument("--data-only", action="store_true", help="rows without definitions")
    parser.add_argument("--dry-run", action="store_true", help="look at everything, say what would be done, do nothing")
    verb = parser.add_mutually_exclusive_group()
    verb.add_argument("--list", action="store_true", help="show the dumps")
    verb.add_argument(
        "--verify",
        nargs="?",
        const="",
        metavar="DUMP",
        help="read the dumps, or one, and name every file that is damaged",
    )
    verb.add_argument("--prune", action="store_true", help="remove the dumps that no rule of the retention wants")
    verb.add_argument("--probe", action="store_true", help="look whether every store can be reached and written")
    verb.add_argument("--scheduled", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, default=config.PATH, help=argparse.SUPPRESS)
    return parser


def backup(argv: Sequence[str]) -> int:
    """Do what backup-db is called for; return its exit code."""
    options = backup_arguments().parse_args(argv)
    held = _configured(options.config)
    wanted = _wanted(held, options.database)
    stores = _stores(held, options.store)
    if options.list:
        return _show(held, stores, options.database)
    if options.verify is not None:
        return _verify(held, stores, options.database, options.verify)
    if options.prune:
        return _prune(held, stores, wanted, options.dry_run)
    if options.probe:
        return _probe(stores)
    if not wanted:
        raise RefusedError(f"there is nothing to dump: {options.config} lists no database")
    try:
        if options.scheduled and not _is_our_turn(held, wanted):
            return GOOD
    except StewardError as error:
        _note_all(held, wanted, str(error))
        raise
    if options.dry_run:
        return _dry(held, stores, wanted, options)
    with _one_at_a_time(held):
        code = _send_waiting(held, stores)
        for entry in wanted:
            code = max(code, _dump_one(held, stores, entry, options))
        if options.scheduled:
            code = max(code, _prune(held, stores, wanted, dry=False))
    return code


def _configured(path: Path) -> config.Config:
    """Read the configuration as the account of the commands. Raises RefusedError."""
    try:
        held = config.read(path)
        become(held.account, "pg_dumps")
    except RefusedError:
        raise
    except StewardError as error:
        raise RefusedError(str(error)) from None
    return held


def _wanted(held: config.Config, databases: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the entries of the configuration that were asked for."""
    listed = {str(entry["name"]): entry for entry in (*held.databases, *held.sqlite)}
    unknown = [name for name in databases if name not in listed]
    if unknown:
        raise RefusedError(f"{unknown[0]} is not in the configuration, which lists {', '.join(listed) or 'nothing'}")
    return [listed[name] for name in databases or listed]


def _stores(held: config.Config, asked: Sequence[str] | None) -> list[tuple[Target, Mapping[str, Any]]]:
    """Return the stores that were asked for, with their entries."""
    listed = {str(store["name"]): store for store in held.stores}
    unknown = [name for name in asked or () if name not in listed]
    if unknown:
        raise RefusedError(f"there is no store {unknown[0]}: the configuration has {', '.join(listed) or 'none'}")
    try:
        return [(target_of(listed[name], name), listed[name]) for name in asked or listed]
    except StewardError as error:
        raise RefusedError(str(error)) from None


@contextmanager
def _one_at_a_time(held: config.Config) -> Iterator[None]:
    """Keep a second run away: it would only take the disk from the first."""
    path = held.directory / "dumps.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StewardError("another run is at it: wait for its end") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _probe(stores: Stores) -> int:
    ready, failed = _dump.look_at([target for target, _entry in stores])
    for target, features in ready:
        say(f"{target.name}: can be written" + (f", versions {features.versioning}" if features.versioning else ""))
        for note in (*((f"object lock: {features.object_lock}",) if features.object_lock else ()), *features.notes):
            say(f"  note: {note}")
    for outcome in failed:
        complain("backup-db", f"{outcome.target}: {outcome.error}")
    return FAILED if failed else GOOD


def _place(held: config.Config, database: str | None, user: str) -> Place:
    return Place(database, held.socket, held.port, user)


def _is_our_turn(held: config.Config, wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether this server is the one that dumps are taken from, and tell why not."""
    databases = [str(entry["name"]) for entry in wanted if "path" not in entry]
    if held.dumped_from == config.ANY or not databases:
        return True
    with contextlib.closing(connect(_place(held, databases[0], held.user), "pgsteward dump")) as connection:
        row = connection.execute(_STREAMING).fetchone()
    standby, followers = (bool(row[0]), int(row[1])) if row else (False, 0)
    if held.dumped_from == config.PRIMARY and standby:
        say("this server is a standby, and dumps are taken from the primary: nothing to do")
        return False
    if held.dumped_from == config.STANDBY and not standby and followers:
        say("this server is the primary, and dumps are taken from a standby: nothing to do")
        return False
    return True


def _note_all(held: config.Config, wanted: Sequence[Mapping[str, Any]], error: str) -> None:
    """Have every dump that was due count as failed."""
    for entry in wanted:
        _note(held, str(entry["name"]), [Outcome(str(store["name"]), error=error) for store in held.stores])


def _note(held: config.Config, database: str, outcomes: Sequence[Outcome]) -> None:
    state = config.read_state(held.state)
    for outcome in outcomes:
        state = config.with_outcome(state, database, outcome, _dump.now())
    config.write_state(held.state, {**state, "host": held.host})


def _request(held: config.Config, entry: Mapping[str, Any], options: argparse.Namespace) -> _dump.Request:
    form = options.format or entry["format"]
    content = plan.SCHEMA if options.schema_only else plan.DATA if options.data_only else entry["content"]
    return _dump.Request(
        _place(held, str(entry["name"]), held.user),
        held.environment,
        held.host,
        held.staging,
        form=form,
        compression=entry["compression"],
        content=content,
        schemas=tuple(entry["schemas"]),
        tables=plan.table_names(entry["tables"]),
        jobs=int(entry["jobs"]) if form == names.DIRECTORY else 1,
        with_globals=entry["globals"],
        bin_directory=held.bin_directory,
    )


def _sqlite_request(held: config.Config, entry: Mapping[str, Any]) -> _dump_sqlite.Request:
    return _dump_sqlite.Request(Path(entry["path"]), entry["name"], held.environment, held.host, held.staging)


def _dump_one(held: config.Config, stores: Stores, entry: Mapping[str, Any], options: argparse.Namespace) -> int:
    """Dump one database into all stores, tell how it went, and keep that."""
    targets, database = [target for target, _entry in stores], str(entry["name"])
    try:
        outcomes = _taken(held, targets, entry, options)
    except StewardError as error:
        outcomes = [Outcome(target.name, error=str(error)) for target in targets]
    _note(held, database, outcomes)
    for outcome in outcomes:
        _tell(database, outcome)
    for note in dict.fromkeys(note for outcome in outcomes for note in _notes(outcome)):
        say(f"  note: {note}")
    return FAILED if any(outcome.error for outcome in outcomes) else GOOD


def _taken(
    held: config.Config, targets: Sequence[Target], entry: Mapping[str, Any], options: argparse.Namespace
) -> list[Outcome]:
    if "path" in entry:
        return _dump_sqlite.take(_sqlite_request(held, entry), targets)
    return _dump.take(_request(held, entry, options), targets)


def _notes(outcome: Outcome) -> tuple[str, ...]:
    return (*outcome.notes, *(outcome.manifest.notes if outcome.manifest else ()))


def _tell(database: str, outcome: Outcome) -> None:
    manifest = outcome.manifest
    if manifest is None:
        complain("backup-db", f"{database} to {outcome.target}: {outcome.error}")
        return
    verified = ", ".join(sorted({file.verified for file in manifest.files}))
    say(
        f"{database} to {outcome.target}: {manifest.name}, {readable_size(manifest.bytes)} in {manifest.seconds:.1f} s, {len(manifest.files)} files,"
        f" checked by {verified}"
    )


def _send_waiting(held: config.Config, stores: Stores) -> int:
    """Send what earlier runs have staged and could not send."""
    code = GOOD
    for staged in stage.waiting(held.staging):
        database = staged.manifest.database
        outcomes = []
        for target, _entry in stores:
            manifest, error = staged.send(target)
            outcomes.append(Outcome(target.name, manifest, error))
        say(f"{database}: {staged.manifest.name}, which an earlier run had staged:")
        for outcome in outcomes:
            _tell(database, outcome)
        _note(held, database, outcomes)
        waiting = [outcome.target for outcome in outcomes if outcome.error]
        staged.forget(unless_waiting=waiting)
        code = max(code, FAILED if waiting else GOOD)
    return code


def _dry(held: config.Config, stores: Stores, wanted: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> int:
    code, targets = GOOD, [target for target, _entry in stores]
    for entry in wanted:
        where = ", ".join(target.name for target in targets)
        try:
            if "path" in entry:
                told = _dump_sqlite.preview(_sqlite_request(held, entry), targets)
            else:
                request = _request(held, entry, options)
                told = _dump.preview(request, targets)[0].as_return(request)
        except StewardError as error:
            complain("backup-db", f"{entry['name']}: {error}")
            code = FAILED
        else:
            say(
                f"would dump {entry['name']} to {where}: {told['dump_format']}, {told['compression']}, up to {readable_size(told['expected_bytes'])}"
            )
    return code


def _show(held: config.Config, stores: Stores, databases: Sequence[str]) -> int:
    code = GOOD
    for target, _entry in stores:
        here = dumps.listing(target)
        say(f"{target.name}:")
        for dump in here.dumps:
            if databases and dump.found.database not in databases:
                continue
            what = dump.manifest.dump_format if dump.manifest else "?"
            word = "good" if dump.good else "; ".join(dump.as_return()["findings"])
            known = config.damaged_in(config.read_state(held.state), dump.found.database, target.name)
            word = "found damaged" if dump.name in known else word
            say(f"  {dump.found.database:20} {dump.name:42} {what:10} {readable_size(dump.found.bytes):>12}  {word}")
            code = max(code, GOOD if dump.good else FAILED)
        for found in here.unfinished:
            say(f"  {found.database:20} {found.name!s:42} never finished; goes with the next pruning")
    return code


def _verify(held: config.Config, stores: Stores, databases: Sequence[str], name: str) -> int:
    """Read dumps, name what is damaged, and have retention know it."""
    code, seen = GOOD, 0
    for target, _entry in stores:
        here = dumps.listing(target, None, (name,) if name else ())
        bad: dict[str, list[str]] = {}
        for dump in here.dumps:
            if databases and dump.found.database not in databases:
                continue
            seen += 1
            verified = dumps.verify(target, dump)
            bad.setdefault(dump.found.database, [])
            if verified.good:
                say(
                    f"{target.name}: {dump.found.database}/{dump.name}: {readable_size(dump.found.bytes)}, as it was written"
                )
                continue
            code = FAILED
            bad[dump.found.database].append(dump.name)
            for finding in verified.as_return()["findings"]:
                complain("backup-db", f"{target.name}: {finding}")
        state = config.read_state(held.state)
        for database, damaged in bad.items():
            known = [] if not name else [one for one in config.damaged_in(state, database, target.name) if one != name]
            state = config.with_damage(state, database, target.name, [*known, *damaged], _dump.now())
        if bad:
            config.write_state(held.state, {**state, "host": held.host})
    if name and not seen:
        raise RefusedError(f"there is no dump {name} in {', '.join(target.name for target, _entry in stores)}")
    return code


def _prune(held: config.Config, stores: Stores, wanted: Sequence[Mapping[str, Any]], dry: bool) -> int:
    """Remove what no rule wants. A store or a database that cannot be pruned keeps the others from nothing."""
    code = GOOD
    for target, entry in stores:
        policy = retention.policy_of(entry.get("retention") or {})
        if policy is None:
            continue
        state = config.read_state(held.state)
        for database in (str(one["name"]) for one in wanted):
            try:
                damaged = config.damaged_in(state, database, target.name)
                pruning = dumps.plan_pruning(target, database, policy, _dump.now(), damaged)
                if not dry:
                    pruning = dumps.prune(target, database, pruning)
            except StewardError as error:
                complain("backup-db", f"{database} in {target.name}: {error}")
                code = FAILED
                continue
            gone = [str(found.name) for found in (*pruning.removed, *pruning.leftovers)]
            verb = "would remove" if dry else "removed"
            if gone:
                say(
                    f"{database} in {target.name}: {verb} {', '.join(gone)} ({readable_size(pruning.bytes)}); {len(pruning.kept)} stay"
                )
            elif dry:
                say(f"{database} in {target.name}: nothing to remove; {len(pruning.kept)} stay")
    return code


# restore-db


def restore_arguments() -> argparse.ArgumentParser:
    """Return the parser of restore-db."""
    parser = argparse.ArgumentParser(
        prog="restore-db",
        description="Restores a dump. A database that is there already is only replaced with --confirm and its name, and stays as <name>_before_<time>.",
        epilog="Exit code: 0 restored, rows as in the manifest; 1 it failed, and the last words say what is there; 2 refused before anything began.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="name of a dump as backup-db --list shows it, or latest, or the path or s3:// address of one of its files",
    )
    parser.add_argument(
        "--of", metavar="DATABASE", help="the database that the dump is of, where stores have dumps of several"
    )
    parser.add_argument("--store", action="append", metavar="NAME", help="only look in this store")
    parser.add_argument(
        "--into", metavar="NAME", help="restore to a database of this name (default: the one that was dumped)"
    )
    parser.add_argument("--to", metavar="PATH", type=Path, help="restore the dump of a SQLite file to this path")
    parser.add_argument(
        "--confirm", metavar="NAME", default="", help="the name of the database (or the path) that may be replaced"
    )
    parser.add_argument("--schema", action="append", default=[], metavar="NAME", help="only this schema")
    parser.add_argument(
        "--table", action="append", default=[], metavar="SCHEMA.TABLE", help="only this table, with all that is its own"
    )
    parser.add_argument(
        "--clean",
        action="store_true",
        help="drop and make again what is in the dump; the database stays, and whatever else is in it",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--schema-only", action="store_true", help="definitions without rows")
    only.add_argument("--data-only", action="store_true", help="rows without definitions")
    parser.add_argument("--jobs", type=int, metavar="N", help="how many jobs read at a time")
    parser.add_argument("--role", metavar="NAME", help="the owner of everything, instead of those in the dump")
    parser.add_argument("--create-roles", action="store_true", help="make the roles that the server lacks")
    parser.add_argument("--drop-former", action="store_true", help="drop the database that was replaced")
    parser.add_argument(
        "--unverified", action="store_true", help="FILE is a dump that backup-db did not make; wants --into"
    )
    parser.add_argument("--dry-run", action="store_true", help="look at everything, say what would be done, do nothing")
    parser.add_argument("--config", type=Path, default=config.PATH, help=argparse.SUPPRESS)
    return parser


def restore(argv: Sequence[str]) -> int:
    """Do what restore-db is called for; return its exit code."""
    options = restore_arguments().parse_args(argv)
    held = _read_configuration(options.config)
    if not options.to:  # a file belongs to whoever has it, and only root may write over those of others
        become(held.account, "pg_dumps")
    target, found = _look_up(held, options)
    manifest = found.manifest
    if manifest is None:
        raise StewardError(str(found.problem))
    if options.to:
        return _restore_file(held, target, manifest, options)
    request = _restore_request(held, options, manifest.database)
    try:
        planned = _dump_restore.preview(request, manifest)
    except StewardError as error:
        raise RefusedError(str(error)) from None
    for line in _dump_restore.words_of(planned, request, manifest):
        say(f"{'would ' if options.dry_run else ''}{line}")
    if options.dry_run:
        return GOOD
    _report(_dump_restore.restore(request, target, manifest, planned))
    return GOOD


def _read_configuration(path: Path) -> config.Config:
    try:
        return config.read(path)
    except StewardError as error:
        raise RefusedError(str(error)) from None


def _restore_request(held: config.Config, options: argparse.Namespace, database: str) -> _dump_restore.Request:
    name = options.into or database
    try:
        tables = plan.table_names(options.table)
    except StewardError as error:
        raise RefusedError(str(error)) from None
    return _dump_restore.Request(
        place=maintenance(_place(held, None, held.superuser), name),
        database=name,
        staging=held.staging,
        confirm=options.confirm,
        schemas=tuple(options.schema),
        tables=tables,
        clean=options.clean,
        content=plan.SCHEMA if options.schema_only else plan.DATA if options.data_only else plan.ALL,
        jobs=options.jobs,
        role=options.role,
        create_roles=options.create_roles,
        keep_former=not options.drop_former,
        bin_directory=held.bin_directory,
    )


def _restore_file(held: config.Config, target: Target, manifest: Any, options: argparse.Namespace) -> int:
    path = options.to.absolute()
    confirm = str(Path(options.confirm).absolute()) if options.confirm else ""
    try:
        _dump_sqlite.refuse(manifest, path, confirm)
    except StewardError as error:
        raise RefusedError(str(error)) from None
    say(f"{'would ' if options.dry_run else ''}restore {manifest.name} to {path}")
    if not options.dry_run:
        _report(_dump_sqlite.restore(target, manifest, path, confirm, held.staging))
    return GOOD


def _report(result: Mapping[str, Any]) -> None:
    rows = result["rows"]
    expected = f", {rows['expected']} expected" if rows["expected"] is not None else ""
    say(
        f"restored {result['name']} in {result['seconds']:.1f} s: {rows['found']} rows in {rows['tables']} tables{expected}"
    )
    catalog = result.get("catalog")
    if catalog:
        say(
            "the catalog is that of the dump"
            if catalog["equal"]
            else f"the catalog differs from that of the dump in {catalog['count']} places:"
        )
        for difference in catalog["differences"]:
            say(f"  {difference}")
    for table, revisions in result["revisions"].items():
        say(f"{table}: {', '.join(revisions) or 'no revision'}")
    for left_out in result.get("left_out", ()):
        say(f"not restored, as it leads to something that was not: {left_out}")
    for note in result.get("notes", ()):
        say(f"note: {note}")
    if result.get("former"):
        say(f"what was there before is kept as {result['former']}")


def _look_up(held: config.Config, options: argparse.Namespace) -> tuple[Target, dumps.Listed]:
    """Return the dump that FILE names, and where it is. Raises RefusedError when there is none such."""
    stores = [target for target, _entry in _stores(held, options.store)]
    if options.unverified:
        if not options.into:
            raise RefusedError("--unverified wants --into and the name of the database")
        return foreign.listed(Path(options.file), options.into)
    try:
        return _look_up_in(stores, options.file, options.of)
    except RefusedError:
        raise
    except StewardError as error:
        raise RefusedError(str(error)) from None


def _look_up_in(stores: Sequence[Target], file: str, database: str | None) -> tuple[Target, dumps.Listed]:
    if file.startswith("s3://"):
        for target in stores:
            if file.startswith(f"{target.store}/"):
                return target, _by_key(target, file.removeprefix(f"{target.store}/"), file)
        raise RefusedError(f"{file} is in none of the stores {', '.join(str(target.store) for target in stores)}")
    if "/" in file:
        path = Path(os.path.abspath(file))  # noqa: PTH100  # without following links: the name tells which dump it is
        keys = tuple(dict.fromkeys(key for target in stores for key in target.keys))
        for depth in (1, 2):
            root = path.parents[depth] if len(path.parents) > depth else path.parent
            key = names.parse_key(str(path.relative_to(root))) or names.parse_key(f"{path.relative_to(root)}/x")
            if key:
                target = Target(str(root), LocalStore(root), keys)
                return target, find(target, key.database, str(key.name))
        raise RefusedError(
            f"{file} is no file of a dump of backup-db: give --unverified for one that somebody else made"
        )
    errors = []
    for target in stores:
        try:
            return target, find(target, database, file)
        except StewardError as error:
            errors.append(str(error))
    known = "" if file == LATEST or names.parse(file) else "; a file in this directory is written ./" + file
    raise RefusedError("; ".join(errors or ["there is no store"]) + known)


def _by_key(target: Target, text: str, file: str) -> dumps.Listed:
    key = names.parse_key(text) or names.parse_key(f"{text}/x")
    if key is None:
        raise RefusedError(f"{file} is no file of a dump of backup-db")
    return find(target, key.database, str(key.name))


# drill-db

HERE, SCHEDULED, CLEAN = "here", "scheduled", "clean"


def drill_arguments() -> argparse.ArgumentParser:
    """Return the parser of drill-db."""
    parser = argparse.ArgumentParser(
        prog="drill-db",
        description="Restores the newest dump of every database from every store into a server that nobody else sees, reads everything, and removes"
        f" it again. What became of it is in {_drill_report.DIRECTORY}: dumps.json, dumps.md, dumps.prom.",
        epilog="Exit code: 0 proven (or left to others), 1 not, 2 refused before anything began.",
    )
    parser.add_argument(
        "verb",
        choices=(HERE, SCHEDULED, CLEAN),
        help="here: now; scheduled: if dumps are taken from this server; clean: remove what a drill that was killed has left",
    )
    parser.add_argument(
        "database",
        nargs="*",
        help="only the dumps of these (default: all); what is proven of a part is told and not kept",
    )
    parser.add_argument("--store", action="append", metavar="NAME", help="only from this store")
    parser.add_argument("--config", type=Path, default=config.PATH, help=argparse.SUPPRESS)
    return parser


def drill(argv: Sequence[str]) -> int:
    """Do what drill-db is called for; return its exit code. All that has to do with dumps is done as the account of the server."""
    options = drill_arguments().parse_args(argv)
    held = _read_configuration(options.config)
    if options.verb == CLEAN:
        become(held.account, "pg_dumps")
        _drill.clean_up(_dump_drill.base_of(held), say)
        return GOOD
    if os.geteuid() != 0:
        raise RefusedError("run this as root, as what it finds is kept where only root may write")
    wanted = _wanted(held, options.database)
    _stores(held, options.store)  # refused before anything begins
    record = _drill.as_owner(held.account, lambda: _drilled(held, wanted, options))
    if record is None:
        return GOOD
    # A part proves nothing of the rest, so it is told and not kept.
    return (_drill_report.verdict if options.database or options.store else _drill_report.keep)(record, say)


def _drilled(
    held: config.Config, wanted: Sequence[Mapping[str, Any]], options: argparse.Namespace
) -> dict[str, Any] | None:
    """Return the record of a drill, None where it is another server's turn."""
    if options.verb == SCHEDULED and not _is_our_turn(held, wanted):
        return None
    targets = [target for target, _entry in _stores(held, options.store)]
    return _dump_drill.run(held, targets, [str(entry["name"]) for entry in wanted], say)


def main(program: str) -> NoReturn:
    """Run one of the commands."""
    sys.exit(run(program, {"backup-db": backup, "restore-db": restore, "drill-db": drill}[program], sys.argv[1:]))
