# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command maintain-db, for people and timers of a host without Ansible at hand.

Exit codes: 0 all well, or left to the primary; 1 something could not be done; 2 refused before anything began.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain, _maintain_run
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain_config as config
from ansible_collections.pgsteward.postgres.plugins.module_utils._account import RefusedError, become
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, read_json
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_run import Request

GOOD, FAILED, REFUSED = 0, 1, 2
PROGRAM = "maintain-db"
SCHEDULED_WAIT = 3600.0  # seconds, for the end of another task and of a backup
# What takes the disk from others; of several databases one after the other.
HEAVY = (_maintain.VACUUM, _maintain.REINDEX, _maintain.CLEAN_UP)
SHOW = "show"
PUBLISH = "publish"
VERBS = (*_maintain.TASKS, *(task for task in _maintain.SCHEDULED if task not in _maintain.TASKS), SHOW, PUBLISH)
_STANDBY = "SELECT to_json(pg_is_in_recovery())"


def say(text: str) -> None:
    """Tell the one who called."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Tell what went wrong."""
    print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)


def arguments() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Does one task of maintenance now, in one database or in all that the inventory lists, on a primary.",
        epilog="Exit code: 0 all well, 1 something could not be done, 2 refused before anything began. Configuration: "
        f"{config.PATH}, written by the role pg_maintain. What became of it is in /var/lib/pgsteward/maintain.",
    )
    parser.add_argument("task", metavar="TASK", help=f"one of {', '.join(VERBS)}; of a timer, TASK:DATABASE")
    parser.add_argument("database", nargs="*", help="only these (default: all that are listed)")
    parser.add_argument("--table", metavar="SCHEMA.NAME", help="only this table")
    parser.add_argument("--index", metavar="SCHEMA.NAME", help="only this index")
    parser.add_argument("--everything", action="store_true", help="reindex: all indexes, whatever they are like")
    parser.add_argument("--job", action="append", metavar="NAME", help="clean_up: only this job")
    parser.add_argument(
        "--full", action="store_true", help="vacuum: VACUUM FULL of the table, which nobody can use meanwhile"
    )
    parser.add_argument(
        "--repair", action="store_true", help="collations: build the indexes again and take note of the version"
    )
    parser.add_argument("--confirm", metavar="NAME", help="name of the table once more, for --full")
    parser.add_argument("--dry-run", action="store_true", help="look, say what would be done, do nothing")
    parser.add_argument("--scheduled", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, default=config.PATH, help=argparse.SUPPRESS)
    return parser


def maintain(argv: Sequence[str]) -> int:
    """Do what maintain-db is called for; return its exit code."""
    options = arguments().parse_args(argv)
    task, _colon, database = options.task.partition(":")
    if task not in VERBS:
        raise RefusedError(f"{task} is no task: there are {', '.join(VERBS)}")
    try:
        held = config.read(options.config)
    except StewardError as error:
        raise RefusedError(str(error)) from None
    if task == PUBLISH:
        config.publish(held.state)
        return GOOD
    become(held.account, "pg_maintain")
    databases = wanted(held, [*options.database, *([database] if database else [])])
    if task == SHOW:
        return show(held, databases)
    code = GOOD
    for name in databases:
        code = max(code, _one(held, name, task, options))
    return code


def wanted(held: config.Config, asked: Sequence[str]) -> list[str]:
    """Return the databases that were asked for. Raises RefusedError."""
    unknown = [name for name in asked if name not in held.databases]
    if unknown:
        raise RefusedError(
            f"{unknown[0]} is not in the configuration, which lists {', '.join(held.databases) or 'nothing'}:"
            " name it in pg_maintain_databases, and run the playbook site"
        )
    return list(asked or held.databases)


def requests(
    held: config.Config, database: str, task: str, options: argparse.Namespace, before: Mapping[str, Any] | None
) -> list[tuple[str, Request]]:
    """Return what a task is made of: the account and the request of each part. Raises StewardError."""
    base = Request(
        task,
        table=options.table,
        index=options.index,
        database=database if options.everything else None,
        full=options.full,
        repair=options.repair,
        confirm=options.confirm,
        thresholds=held.databases[database],
        wait=SCHEDULED_WAIT if options.scheduled else 0.0,
        before=before,
    )
    jobs = held.jobs_in(database)
    if task == _maintain.CLEAN_UP:
        named = {str(job["name"]) for listed in jobs.values() for job in listed}
        for name in options.job or ():
            if name not in named:
                raise RefusedError(
                    f"there is no job {name} in {database}: there are {', '.join(sorted(named)) or 'none'}"
                )
        chosen = {
            user: [job for job in listed if not options.job or job["name"] in options.job]
            for user, listed in jobs.items()
        }
        return [(user, replace(base, jobs=_maintain_run.jobs_of(listed))) for user, listed in chosen.items() if listed]
    if task not in _maintain.PARTS:
        return [(held.account, replace(base, reviews=tuple(one for one in base.reviews if one != "retention")))]
    found = []
    for part in _maintain.PARTS[task]:
        if part == "retention":
            found += [
                (user, replace(base, task=_maintain.REVIEW, reviews=(part,), jobs=_maintain_run.jobs_of(listed)))
                for user, listed in jobs.items()
            ]
        elif part in _maintain.REVIEWS:
            found.append((held.account, replace(base, task=_maintain.REVIEW, reviews=(part,))))
        else:
            found.append((held.account, replace(base, task=part)))
    return found


def _one(held: config.Config, database: str, task: str, options: argparse.Namespace) -> int:
    """Do a task in a database, tell how it went, and keep that."""
    begun, error = time.time(), None
    results: list[Mapping[str, Any]] = []
    try:
        if is_standby(held, database):
            if not options.scheduled:
                raise RefusedError(f"{database}: this server is a standby: maintenance is done on the primary")
            say(f"{database}: this server is a standby, and maintenance is done on the primary: nothing to do")
            return GOOD
        before = last_disk(config.parse_state(_read(held.state)), database)
        wished = requests(held, database, task, options, before)
        begun_by_timer = options.scheduled and task in HEAVY
        with config.turn(held.state, SCHEDULED_WAIT, say) if begun_by_timer else contextlib.nullcontext():
            for user, request in wished:
                place = Place(database, held.socket, held.port, user)
                results.append(_maintain_run.run(place, request, options.dry_run, say))
    except RefusedError:
        raise
    except StewardError as raised:
        error = str(raised)
        results.append(raised.facts)
    result, seconds = merged(results), time.time() - begun
    _tell(database, task, result, error, seconds)
    if not options.dry_run and task in _maintain.SCHEDULED and not (options.table or options.index or options.job):
        config.keep(
            held.state,
            lambda state: config.without_gone(
                config.with_outcome(state, database, task, begun, seconds, error, result), list(held.databases)
            ),
        )
    return FAILED if error else GOOD


def is_standby(held: config.Config, database: str) -> bool:
    """Tell whether the server takes no writes."""
    return bool(read_json(Place(database, held.socket, held.port, held.account), "pgsteward maintain", _STANDBY))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def last_disk(state: Mapping[str, Any], database: str) -> Mapping[str, Any] | None:
    """Return the sizes that the last review of the disk has left."""
    found = state.get("databases", {}).get(database, {}).get(_maintain.WEEKLY, {}).get("result", {}).get("disk")
    return found if isinstance(found, dict) else None


def merged(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the parts of a task have found, as one."""
    whole: dict[str, Any] = {}
    for result in results:
        whole |= {key: value for key, value in result.items() if key not in ("task", "database", "summary", "seconds")}
    summaries = [str(result["summary"]) for result in results if result.get("summary")]
    if any("deleted_count" in result for result in results):
        whole["deleted_count"] = sum(result.get("deleted_count", 0) for result in results)
        whole["jobs"] = [job for result in results for job in result.get("jobs", ())]
        summaries.append(f"{whole['deleted_count']:,} rows deleted")
    whole["findings"] = list(dict.fromkeys(text for result in results for text in result.get("findings", ())))
    whole["changed"] = any(result.get("changed") for result in results)
    whole["summary"] = "; ".join(summaries)
    return whole


def _tell(database: str, task: str, result: Mapping[str, Any], error: str | None, seconds: float) -> None:
    for job in result.get("jobs", ()):
        say(
            f"{database}: {job['name']}: {job['deleted_count']:,} rows deleted, {job['expired']:,} were old enough, {job['seconds']:.1f} s"
        )
    for entry in (*result.get("tables", ()), *result.get("indexes", ())):
        if "statement" in entry:
            say(f"{database}: {entry['statement']}" + (f": {entry['seconds']:.1f} s" if "seconds" in entry else ""))
    for finding in result.get("findings", ()):
        say(f"{database}: note: {finding}")
    if error:
        complain(f"{database}: {task}: {error}")
    else:
        changed = ", changed" if result.get("changed") else ""
        say(f"{database}: {task}: {result.get('summary') or 'nothing to do'}, {seconds:.1f} s{changed}")


def show(held: config.Config, databases: Sequence[str]) -> int:
    """Show how the last runs went."""
    state, code = config.parse_state(_read(held.state)), GOOD
    for name in databases:
        for task, entry in sorted(state.get("databases", {}).get(name, {}).items()):
            at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(entry["begun"]))
            say(
                f"{name:20} {task:10} {at} {entry['seconds']:8.1f} s  {entry['error'] or entry['result'].get('summary', '')}"
            )
            for finding in entry["result"]["findings"]:
                say(f"{'':20} note: {finding}")
            code = max(code, FAILED if entry["error"] else GOOD)
    return code


def run(argv: Sequence[str]) -> int:
    """Return the exit code of the command, whose errors are one line each."""
    os.umask(0o022)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ended)
    try:
        return maintain(argv)
    except RefusedError as error:
        complain(str(error))
        return REFUSED
    except StewardError as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        complain("interrupted; what was done until then stays done")
        return FAILED
    except OSError as error:
        complain(f"{error.filename or ''}: {error.strerror}".lstrip(": "))
        return FAILED


def _ended(_number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the command."""
    sys.exit(run(sys.argv[1:]))
