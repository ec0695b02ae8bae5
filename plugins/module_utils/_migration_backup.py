# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a migration can come back to: dumps of the databases that it changes, a restore point, and the commands that go there. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._change import size
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store import readable_size

Result = Mapping[str, Any]
POINTED = "restore_point_in_time"
_WHOLE: Mapping[str, Any] = {"content": "all", "schemas": [], "tables": []}
_ELSEWHERE = "no server that dumps are taken from takes writes"
_MEND_SIZES = "bring it back; to go on without dumps, give -e pg_migrate_dump_limit=0"
_MEND_POINT = """bring the primary back; to go on without, give -e '{"pg_migrate_restore_point_hosts": []}'"""


def limit_findings(limit: Any) -> list[str]:
    """Return what is wrong with pg_migrate_dump_limit."""
    try:
        size(limit)
    except StewardError as error:
        return [f"pg_migrate_dump_limit: {error}; 0 is never"]
    return []


# Before the first change


def plan(names: Iterable[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return which databases are dumped first: `due` (name, host, bytes), `left` (name, why) and `failures`, which stop the run.

    names: the databases that change. asked: `dumps` (host -> entries of pg_dumps_databases), `limit` (as the input has it), and `sizes`: of each
    server the result of the question how large the databases are, to which only one that takes writes gives a row. The dump is taken there: a
    standby may lack what was committed last, and a directory of a standby is not where the dump would be restored.
    """
    answers = [result for result in asked["sizes"] if not result.get("skipped")]
    due: list[dict[str, Any]] = []
    left: list[dict[str, str]] = []
    failures: list[str] = []
    planned = {"due": due, "left": left, "failures": failures}
    told = next((result for result in answers if result.get("query_result")), None)
    if told is None:
        silent = "; ".join(f"{result['item']}: {last_line(result['msg'])}" for result in answers if result.get("msg"))
        if silent:
            failures.append(
                f"no server that takes writes has told how large the databases are ({silent}): {_MEND_SIZES}"
            )
        elif answers:
            left += [{"name": name, "why": _ELSEWHERE} for name in names]
        return planned
    host, sizes = told["item"], told["query_result"][0]["sizes"]
    entries = {entry["name"]: entry for entry in asked["dumps"][host]}
    for name in names:
        why = _left(entries.get(name), sizes.get(name), size(asked["limit"]))
        if why:
            left.append({"name": name, "why": why})
        else:
            due.append({"name": name, "host": host, "bytes": sizes[name]})
    return planned


def _left(entry: Mapping[str, Any] | None, found: int | None, limit: int) -> str | None:
    """Return why a database is not dumped, None when it is."""
    if entry is None:
        return "pg_dumps_databases does not list it"
    if any(entry.get(key) and entry[key] != value for key, value in _WHOLE.items()):
        return "pg_dumps_databases has only a part of it dumped"
    if found is None:
        return "the server does not know it"
    if found > limit:
        return f"it has {readable_size(found)}, and pg_migrate_dump_limit is {readable_size(limit)}"
    return None


# What was taken


def kept(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to come back to: `dumps` by database, `point`, `restore` (the command that goes there) and `failures`.

    asked: `inventory` (sources), `cluster`, `plan` of the dumps, `dumped` (the result of each), and `point` with its `name` and `results`, one for
    each server that was asked for it.
    """
    results = {result["item"]["name"]: result for result in asked["dumped"] if not result.get("skipped")}
    dumps = {item["name"]: _dump(item, results.get(item["name"]), asked["inventory"]) for item in asked["plan"]["due"]}
    dumps |= {item["name"]: {**_dump(item, None, []), "why": item["why"]} for item in asked["plan"]["left"]}
    point, refused = _restore_point(asked["point"])
    failures = [*asked["plan"]["failures"], *(text for item in dumps.values() for text in item["failures"])]
    return {
        "dumps": dumps,
        "point": point,
        "restore": play(asked["inventory"], POINTED, target_name=point["name"], confirm=asked["cluster"])
        if point
        else None,
        "failures": [*failures, *([refused] if refused else [])],
    }


def _dump(item: Mapping[str, Any], result: Result | None, inventory: Sequence[str]) -> dict[str, Any]:
    """Return a dump as a record. restore: the same twice, from the controller and on the host itself."""
    name, host = item["name"], item.get("host")
    found = _named(name, result)
    said = last_line((result or {}).get("stderr")) or last_line((result or {}).get("msg")) or "it has named no dump"
    failed = result is not None and found is None
    record = {
        "name": found,
        "host": host,
        "bytes": item.get("bytes"),
        "why": None,
        "failures": [f"the dump of {name} on {host} failed: {said}"] if failed else [],
        "restore": None,
        "restore_there": None,
    }
    if found:
        record["restore"] = play(inventory, "restore_dump", database=name, dump=found, confirm=name)
        record["restore_there"] = shlex.join(
            ["sudo", "/usr/local/bin/restore-db", found, "--of", name, "--confirm", name]
        )
    return record


def _named(database: str, result: Result | None) -> str | None:
    """Return the dump that backup-db has named: the last one, as those that an earlier run could not send come before."""
    if result is None or result.get("rc") != 0:
        return None
    line = re.compile(rf"^{re.escape(database)} to .+: (backup_[\w-]+), ", re.MULTILINE)
    found: list[str] = line.findall(result.get("stdout") or "")
    return found[-1] if found else None


def _restore_point(asked: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """Return the restore point that the primary has named, None where none was asked for; or why there is none although it was."""
    results = [result for result in asked["results"] if not result.get("skipped")]
    for result in results:
        for row in result.get("query_result") or ():
            return {"name": asked["name"], "host": result["item"], "lsn": row["lsn"]}, None
    if not results:
        return None, None
    said = "; ".join(f"{result['item']}: {last_line(result.get('msg')) or 'a standby'}" for result in results)
    return None, f"no server has named a restore point ({said}): {_MEND_POINT}"


def play(inventory: Sequence[str], playbook: str, **variables: str) -> str:
    """Return the command that runs a playbook with variables."""
    sources = [word for source in inventory for word in ("-i", source)]
    given = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    return shlex.join(["ansible-playbook", *sources, f"pgsteward.postgres.{playbook}", *given])


def last_line(text: Any) -> str:
    """Return the last line that says something."""
    lines = str(text or "").strip().splitlines()
    return lines[-1].strip() if lines else ""


# As text


def dump_line(dump: Mapping[str, Any], check: bool = False) -> str:
    """Return what became of the dump of a database."""
    if dump["why"]:
        return f"dump: none, as {dump['why']}"
    if dump["name"]:
        return f"dump: {dump['name']}, taken on {dump['host']} ({readable_size(dump['bytes'])} in the database)"
    if check:
        return f"dump: would be taken on {dump['host']} ({readable_size(dump['bytes'])} in the database)"
    return "dump: none, as the step was not reached or failed"


def point_line(point: Mapping[str, Any]) -> str:
    """Return where the restore point is."""
    return f"restore point: {point['name']}, at {point['lsn']} on {point['host']}"


def way(text: str, command: str) -> str:
    """Return a way back. The command has a line of its own, or what shows it would break it where it cannot be copied any more."""
    return f"{text}:\n{command}"


def dump_ways(name: str, dump: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield how a database comes back from its dump."""
    if dump and dump["name"]:
        yield way(f"to restore {name} as it was dumped, without what was written since", dump["restore"])
        yield way(f"the same without Ansible, on {dump['host']}", dump["restore_there"])


def point_ways(restore: str | None) -> Iterator[str]:
    """Yield how the cluster comes back to the restore point."""
    if restore:
        yield way("to take the whole cluster back to the restore point, with every database of it", restore)


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return what there is to come back to as lines for the screen."""
    told = [f"{name}: {dump_line(dump)}" for name, dump in found["dumps"].items()]
    told += [point_line(found["point"])] if found["point"] else []
    told += [text for name, dump in found["dumps"].items() for text in dump_ways(name, dump)]
    return [*told, *point_ways(found["restore"])]
