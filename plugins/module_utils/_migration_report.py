# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run of pg_migrate as one record: what stops it, what it did, how to go back; and that record as text. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _migration_backup
from ansible_collections.pgsteward.postgres.plugins.module_utils._projects import ORDINARY_STATES, SEVERITIES

Record = dict[str, Any]
Result = Mapping[str, Any]

# The steps that a run goes through, each with one result for every database that it concerned.
STEPS = ("looked", "planned", "asked", "validated", "orphans", "backups", "upgraded", "verified")
OLDEST = 130000  # server_version_num
_CREATE_EXTENSION = re.compile(r'^\s*CREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?"?([\w-]+)', re.IGNORECASE)
_NO_RECORD = "it has left no record"
WELL, STOPPED, FAILED = "well", "stopped", "failed"


# From the results of the steps to a record


def record(databases: Sequence[Mapping[str, Any]], steps: Mapping[str, Any], context: Mapping[str, Any]) -> Record:
    """Return what a run did so far, as data for JSON.

    databases: as _projects.databases() returns them. steps: for each of STEPS the loop results that there are, each with
    its database as item; and checks likewise. context: host, inventory (sources), at (ISO time), check (mode),
    failure (text of what failed otherwise), free (bytes on the migration host, or None), needed (bytes),
    allow_destructive (revisions), backup (whether there is a command), kept (what _migration_backup.kept() takes), drill (whether one was
    `wanted`, and the `records` of those that were begun, empty where one has left none).
    """
    kept = _migration_backup.kept(context["kept"])
    context = {**context, "dumps": kept["dumps"]}
    found = [_database(item, {step: _of(item, steps.get(step)) for step in STEPS}, context) for item in databases]
    checks = [_check(result) for result in steps.get("checks") or ()]
    blockers = [_named(item["name"], text) for item in found for text in item["blockers"]]
    free = context["free"]
    if free is not None and int(free) < context["needed"]:
        blockers.insert(0, f"{context['host']} has {_size(int(free))} free, and {_size(context['needed'])} are needed")
    if not any(item["applied"] for item in found):
        blockers += [*_unproven(context), *kept["failures"]]
    errors = [_named(item["name"], text) for item in found for text in item["errors"]]
    errors += [f"check {item['name']}: {item['detail']}" for item in checks if not item["well"]]
    if context.get("failure") and not blockers and not errors:
        errors = [context["failure"]]
    ended = STOPPED if blockers else FAILED if errors else WELL
    return {
        "host": context["host"],
        "at": context["at"],
        "check_mode": context["check"],
        "ended": ended,
        "message": _message(ended, blockers, errors, found, context["check"]),
        "blockers": blockers,
        "errors": errors,
        "databases": found,
        "checks": checks,
        "drills": [
            {key: drill.get(key) for key in ("kind", "host", "seconds")} for drill in context["drill"]["records"]
        ],
        "restore_point": kept["point"],
        "restore": kept["restore"],
    }


def _unproven(context: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a run that wants a restore drill before it has none."""
    drill = context["drill"]
    failed = [record for record in drill["records"] if record.get("error", _NO_RECORD) is not None]
    if not drill["wanted"] or context["check"] or (drill["records"] and not failed):
        return
    said = "; ".join(f"{record.get('host', 'a server')}: {record.get('error', _NO_RECORD)}" for record in failed)
    yield (
        "pg_migrate_drill wants a restore drill that proves the backups, and there is none"
        f" ({said or 'no server has done one'}): see what the playbook restore_drill says"
    )


def _named(name: str, text: str) -> str:
    """Return a text that says which database it is about."""
    return text if text.startswith(f"{name} ") else f"{name}: {text}"


def _of(database: Mapping[str, Any], results: Sequence[Result] | None) -> Result | None:
    """Return the result that a step has for a database; None where the step did not come to it."""
    wanted = [database[key] for key in ("project", "name", "section")]
    for result in results or ():
        item = result.get("item")
        if isinstance(item, Mapping) and [item.get(key) for key in ("project", "name", "section")] == wanted:
            return None if result.get("skipped") else result
    return None


def _database(item: Mapping[str, Any], steps: Mapping[str, Result | None], context: Mapping[str, Any]) -> Record:
    looked, planned, upgraded = (steps[name] or {} for name in ("looked", "planned", "upgraded"))
    before = list(looked.get("current") or ())
    applied = list(upgraded.get("applied") or ())
    pending = list(planned.get("pending") or looked.get("pending") or ())
    threshold = item["validate"]["fail_on"]
    validated, allowed = _judged(steps["validated"], threshold, context["allow_destructive"])
    found = {
        "name": item["name"],
        "project": item["project"],
        "section": item["section"],
        "state": looked.get("state"),
        "before": before,
        "pending": [{"revision": entry["revision"], "message": entry.get("message")} for entry in pending],
        "applied": applied,
        "retries": upgraded.get("retries", 0),
        "waits": list(upgraded.get("waits") or ()),
        "findings": validated,
        "allowed": allowed,
        "orphans": _orphans(steps["orphans"]),
        "backup": _backup(steps["backups"], context["backup"]),
        "dump": context["dumps"].get(item["name"]),
        "verified": _verified(steps["verified"]),
        "now": list(upgraded.get("current") or before),
        "seen": steps["looked"] is not None,
    }
    found["blockers"] = [*_blockers(item, steps, found, threshold)] if not steps["upgraded"] else []
    found["errors"] = [*_errors(steps)]
    found["go_back"] = go_back(item["name"], before, context["inventory"]) if found["now"] != before else []
    return found


def go_back(name: str, revisions: Sequence[str], inventory: Sequence[str]) -> list[str]:
    """Return the commands that take a database back to where it was; one for each branch that it was on."""
    return [
        _migration_backup.play(inventory, "downgrade", database=name, revision=revision, confirm=name)
        for revision in revisions or ["base"]
    ]


def _judged(
    result: Result | None, threshold: str, allowed: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the findings of alembic_validate that stand, each with whether it blocks, and those that are allowed by name."""
    findings = [dict(item) for item in (result or {}).get("findings") or ()]
    named = [item for item in findings if item["check"] == "destructive" and item["revision"] in allowed]
    grave = SEVERITIES[: SEVERITIES.index(threshold) + 1] if threshold != "never" else ()
    standing = [
        {key: item.get(key) for key in ("check", "severity", "revision", "path", "line", "message", "remedy")}
        # What destroys is allowed by the name of its revision, and in no other way.
        | {"blocks": item["severity"] in grave or (item["check"] == "destructive" and item["severity"] == "error")}
        for item in findings
        if item not in named
    ]
    return standing, [{"revision": item["revision"], "message": item["message"]} for item in named]


def _orphans(result: Result | None) -> dict[str, Any] | None:
    """Return counts and keys, without the sample: a report is no place for rows."""
    if result is None:
        return None
    if result.get("msg"):
        return {"total": None, "keys": [], "unknown": result["msg"]}
    names = ("name", "table", "columns", "references", "orphans")
    keys = [{name: key.get(name) for name in names} for key in result.get("found") or ()]
    return {"total": result.get("total", 0), "keys": keys, "unknown": None}


def _backup(result: Result | None, wanted: bool) -> dict[str, Any]:
    if result is None:
        return {"taken": False, "command": wanted, "said": None}
    return {
        "taken": result.get("rc") == 0,
        "command": True,
        "said": _migration_backup.last_line(result.get("stdout")) or None,
    }


def _verified(result: Result | None) -> dict[str, Any] | None:
    if result is None:
        return None
    if "clean" not in result:
        return {"clean": None, "truth": None, "drift": [], "unknown": result.get("msg", "no reason given")}
    keys = ("object", "attribute", "expected", "found", "severity", "remedy")
    drift = [{key: item.get(key) for key in keys} for item in result["drift"]]
    return {"clean": result["clean"], "truth": result["truth_name"], "drift": drift, "unknown": None}


def _check(result: Result) -> dict[str, Any]:
    """Return how a check of the application ended."""
    item = result["item"]
    if item.get("url"):
        wanted, status = item.get("status", 200), result.get("status")
        if status in (None, -1):
            return {"name": item["name"], "well": False, "detail": result.get("msg", "no answer")}
        detail = f"status {status}" if status == wanted else f"status {status}, and {wanted} is wanted"
        return {"name": item["name"], "well": status == wanted, "detail": detail}
    said = (
        _migration_backup.last_line(result.get("stderr"))
        or _migration_backup.last_line(result.get("stdout"))
        or result.get("msg", "")
    )
    detail = f"exit status {result.get('rc')}" + (f": {said}" if said and result.get("rc") != 0 else "")
    return {"name": item["name"], "well": result.get("rc") == 0, "detail": detail}


# What stops a run before it changes anything


def _blockers(
    item: Mapping[str, Any], steps: Mapping[str, Result | None], found: Mapping[str, Any], threshold: str
) -> Iterator[str]:
    looked, planned, validated, backup = (steps[name] for name in ("looked", "planned", "validated", "backups"))
    if looked is not None:
        yield from _standing(looked)
    if planned is not None and planned.get("msg"):
        way = f" (pg_migrate_accept_edited: [{', '.join(planned['edited'])}])" if planned.get("edited") else ""
        yield f"{planned['msg']}{way}"
    yield from _lacking(item, steps["asked"], (planned or {}).get("sql") or ())
    if validated is not None and validated.get("msg") and "findings" not in validated:
        yield f"the revisions cannot be validated: {validated['msg']}"
    blocking = [entry for entry in found["findings"] if entry["blocks"]]
    for entry in blocking:
        yield f"{_finding(entry)}{_way_on(entry, threshold)}"
    for key in (found["orphans"] or {"keys": []})["keys"]:
        if key["orphans"]:
            rows = f"{_many(key['orphans'], 'row')} break{'s' * (key['orphans'] == 1)}"
            yield (
                f"{rows} the key {key['name']} of {key['table']}, as {key['references']} does not have the value:"
                " look with foreign_key_orphans, and move them aside by its action quarantine"
            )
    if backup is not None and backup.get("rc") != 0:
        said = _migration_backup.last_line(backup.get("stderr")) or backup.get("msg", "no reason given")
        yield f"pg_migrate_backup_command failed with exit status {backup.get('rc')}: {said}"


def _standing(looked: Result) -> Iterator[str]:
    """Yield why the database is not one that migrations may run on."""
    state = looked.get("state")
    if state is None:
        said = " ".join([*looked.get("evidence", ()), looked.get("next_action", "")]).strip()
        yield looked.get("msg") or said or "it could not be looked at, without a reason: run again with -vvv"
        return
    if looked.get("standby"):
        yield "a standby answered: give pg_migrate_host the address of the primary"
    if looked.get("server_version", OLDEST) < OLDEST:
        yield f"the server is PostgreSQL {looked['server_version'] // 10000}, and 13 is the oldest that is supported"
    if state not in ORDINARY_STATES:
        yield " ".join([f"the database is {state}.", *looked["evidence"], looked["next_action"]])


def _lacking(item: Mapping[str, Any], asked: Result | None, statements: Iterable[str]) -> Iterator[str]:
    """Yield which extensions are not there: those that are listed, and those that a revision cannot create by this account."""
    if asked is None:
        return
    if asked.get("msg") and not asked.get("query_result"):
        yield f"the extensions cannot be read: {asked['msg']}"
        return
    facts = asked["query_result"][0]
    present, available = set(facts["installed"]), {entry["name"]: entry for entry in facts["available"]}
    creating = [match[1].lower() for text in statements if (match := _CREATE_EXTENSION.match(text))]
    for name in dict.fromkeys([*item["extensions"], *creating]):
        if name in present:
            continue
        if name not in available:
            yield f"extension {name} is not on the server: install its package there"
        elif name not in creating:
            yield f"extension {name} is not in the database: list it in pg_access_databases, and run the playbook site"
        elif not (facts["superuser"] or (available[name]["trusted"] and facts["creates"])):
            yield (
                f"extension {name} is to be created by a revision, and {item['user']} must not: list it in"
                " pg_access_databases, and run the playbook site"
            )


def _way_on(entry: Mapping[str, Any], threshold: str) -> str:
    if entry["check"] == "destructive":
        return f": if that is meant, allow it by pg_migrate_allow_destructive: [{entry['revision']}]"
    remedy = f": {entry['remedy']}" if entry["remedy"] else ""
    return f"{remedy}; or accept it by validate.ignore of the database" if threshold != "never" else remedy


def _errors(steps: Mapping[str, Result | None]) -> Iterator[str]:
    """Yield what went wrong after the first change."""
    upgraded, verified = steps["upgraded"], steps["verified"]
    if upgraded is not None and upgraded.get("msg"):
        yield upgraded["msg"]
    if verified is not None and "clean" not in verified:
        yield f"the schema could not be verified: {verified.get('msg', 'no reason given')}"
    elif verified is not None and verified.get("msg"):  # differs more than its fail_on
        yield verified["msg"]


def _message(ended: str, blockers: Sequence[str], errors: Sequence[str], found: Sequence[Record], check: bool) -> str:
    """Return the run in one line."""
    if ended == STOPPED:
        return f"stopped before anything was changed: {'; '.join(blockers)}"
    if ended == FAILED:
        return "; ".join(errors)
    seen = [item for item in found if item["seen"]]
    total = sum(len(item["pending"] if check else item["applied"]) for item in seen)
    parts = [f"{_many(total, 'revision')} {'would be ' * check}applied"] if total else []
    parts += [f"nothing is pending in {_many(len(seen), 'database')}"] if seen and not total else []
    parts += (
        [f"{_many(len(found) - len(seen), 'database')} could not be looked at yet"] if len(seen) < len(found) else []
    )
    return ", ".join(parts) or "there is no database to migrate"


# The record as text


def lines(found: Record) -> list[str]:
    """Return the record as lines for the screen: one for each database, indented ones that explain it."""
    told = [found["message"]] if found["ended"] == WELL else []
    for item in found["databases"]:
        told.append(f"{item['name']}: {_headline(item, found['check_mode'])}")
        told += [f"  {line}" for line in _details(item, found)]
    told += [*_restore_lines(found)]
    told += [
        f"check {item['name']}: {'well' if item['well'] else 'FAILED'}, {item['detail']}" for item in found["checks"]
    ]
    return [*told, *(_ways(found) if found["ended"] == FAILED else ())]


def markdown(found: Record) -> str:
    """Return the record as a page of Markdown."""
    title = {WELL: "Migration", STOPPED: "Migration stopped", FAILED: "Migration failed"}[found["ended"]]
    page = [f"# {title}: {found['host']}, {found['at']}", "", _escaped(found["message"])]
    for item in found["databases"]:
        page += ["", f"## {item['name']}", "", _escaped(_headline(item, found["check_mode"])) + ".", ""]
        page += [f"* {_escaped(line)}" for line in _details(item, found, commands=False)]
        if item["applied"]:
            page += ["", "| revision | seconds | message |", "|---|---|---|"]
            page += [
                f"| {entry['revision']} | {entry['seconds']:.3f} | {_cell(entry['message'])} |"
                for entry in item["applied"]
            ]
        drift = (item["verified"] or {"drift": []})["drift"]
        if drift:
            page += ["", "| object | attribute | severity |", "|---|---|---|"]
            page += [
                f"| {_cell(entry['object'])} | {_cell(entry['attribute'])} | {entry['severity']} |" for entry in drift
            ]
        dump = item["dump"] or {"restore": None}
        ways = [*item["go_back"], *([dump["restore"]] if dump["restore"] else [])]
        if ways:
            page += ["", "The way back:", "", "```sh", *ways, "```"]
    if found["restore_point"]:
        page += ["", "## Restore point", *(f"* {_escaped(line)}" for line in _restore_lines(found))]
        page += ["", "```sh", found["restore"], "```"]
    if found["checks"]:
        page += ["", "## Checks", "", "| check | result |", "|---|---|"]
        page += [
            f"| {_cell(item['name'])} | {'well' if item['well'] else 'failed'}, {_cell(item['detail'])} |"
            for item in found["checks"]
        ]
    return "\n".join([*page, ""])


def _headline(item: Mapping[str, Any], check: bool) -> str:
    now = ", ".join(item["now"]) or "base"
    if item["blockers"]:
        return "BLOCKED, nothing was changed"
    if item["errors"] and not item["pending"]:
        return f"FAILED, nothing was pending, at {now}"
    if item["errors"]:
        return f"FAILED, {len(item['applied'])} of {len(item['pending'])} revisions are applied, it is at {now}"
    if not item["seen"]:
        return "not looked at"
    if item["applied"]:
        return f"{_many(len(item['applied']), 'revision')} applied, now at {now}"
    if not item["pending"]:
        return f"nothing pending, at {now}"
    names = ", ".join(entry["revision"] for entry in item["pending"])
    return f"{'would apply' if check else 'not applied'}: {names}; it is at {now}"


def _details(item: Mapping[str, Any], found: Record, commands: bool = True) -> Iterator[str]:
    yield from item["blockers"]
    yield from item["errors"]
    if item["pending"]:
        yield f"before: {item['state']}, at {', '.join(item['before']) or 'no revision'}"
    if commands:
        for entry in item["applied"]:
            yield f"{entry['revision']}: {entry['seconds']:.3f} s" + (
                f" ({entry['message']})" if entry.get("message") else ""
            )
    for wait in item["waits"]:
        who = " ".join(filter(None, [wait.get("user"), wait.get("application")]))
        yield f"{wait['revision']} waited {wait['seconds']} s for process {wait['pid']}{f' of {who}' * bool(who)}"
    if item["findings"]:
        yield f"validated: {_counted(item['findings'])}"
        yield from (
            f"  {_finding(entry)}"
            for entry in item["findings"]
            if entry["severity"] == "warning" and not entry["blocks"]
        )
    for entry in item["allowed"]:
        yield f"allowed by name: {entry['revision']}: {entry['message']}"
    orphans = item["orphans"]
    if orphans and orphans["unknown"]:
        yield f"orphans: not counted: {orphans['unknown']}"
    elif orphans and not orphans["total"]:
        yield f"orphans: none in {_many(len(orphans['keys']), 'key')}"
    if found["check_mode"] and item["dump"]:
        yield _migration_backup.dump_line(item["dump"], check=True)
    if item["applied"] or (item["errors"] and item["pending"]):
        yield from _backup_lines(item)
    yield from _verified_lines(item["verified"], commands)
    if item["errors"] and not item["go_back"]:
        yield f"no revision is to be taken back: it is where it was, at {', '.join(item['before']) or 'base'}"


def _restore_lines(found: Record) -> Iterator[str]:
    if any(item["applied"] or item["errors"] for item in found["databases"]):
        for drill in found["drills"]:
            yield f"restore drill ({drill['kind']}): proven on {drill['host']} in {drill['seconds']} s"
        if found["restore_point"]:
            yield _migration_backup.point_line(found["restore_point"])


def _ways(found: Record) -> Iterator[str]:
    """Yield how to come back from a run that failed."""
    pending = [item for item in found["databases"] if item["pending"]]
    changed = [item for item in pending if item["applied"] or item["errors"]]
    for item in changed or pending:  # where it is not known, any of them may be
        before = ", ".join(item["before"]) or "base"
        yield from (_migration_backup.way(f"to take {item['name']} back to {before}", way) for way in item["go_back"])
        if item["go_back"] and item["backup"]["taken"]:
            yield f"or restore the backup of {item['name']} that was taken before"
        yield from _migration_backup.dump_ways(item["name"], item["dump"])
    if pending:
        yield from _migration_backup.point_ways(found["restore"])


def _backup_lines(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield which backups there are of a database that was to change."""
    backup, dump = item["backup"], item["dump"]
    if dump:
        yield _migration_backup.dump_line(dump)
    if backup["taken"]:
        yield "backup: taken before" + (f" ({backup['said']})" if backup["said"] else "")
    elif backup["command"]:
        yield "backup: none was taken, as the step was not reached"
    elif not dump:
        yield "backup: none was taken, as neither dumps nor pg_migrate_backup_command are set"


def _verified_lines(verified: Mapping[str, Any] | None, drift: bool) -> Iterator[str]:
    if verified is None or verified["clean"] is None:
        return
    if verified["clean"]:
        yield f"schema: as in {verified['truth']}"
        return
    yield f"schema: {_many(len(verified['drift']), 'difference')} from {verified['truth']}"
    if drift:
        for item in verified["drift"]:
            yield f"  {item['severity']}: {item['object']}: {item['attribute']}"


def _finding(entry: Mapping[str, Any]) -> str:
    where = f" in {entry['revision']}" if entry.get("revision") else ""
    return f"{entry['check']}{where}: {entry['message']}"


def _counted(findings: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(entry["severity"] for entry in findings)
    return ", ".join(_many(count, word) for word, count in counts.items())


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def _escaped(text: str) -> str:
    """Return text as Markdown shows it unchanged."""
    return re.sub(r"([*`<>|\[\]])", r"\\\1", text)


def _cell(text: Any) -> str:
    return _escaped(" ".join(str(text or "").split()))


# The other playbooks


def validation(results: Sequence[Result]) -> list[str]:
    """Return a line for each result of alembic_validate over the databases, and lines with what was found."""
    told = []
    for result in results:
        name = result["item"]["name"]
        if "findings" not in result:
            told.append(f"{name}: not validated: {result.get('msg', 'no reason given')}")
            continue
        found = _counted(result["findings"])
        told.append(f"{name}: {found or 'nothing found'}, {len(result['pending'])} pending")
        told += [f"  {step}: {text}" for step, text in result["checks"].items()]
        for entry in result["findings"]:
            told.append(f"  {entry['severity']}: {_finding(entry)}")
            if entry["severity"] != "note" and entry["remedy"]:
                told.append(f"    remedy: {entry['remedy']}")
        told += [f"  ignored: {_finding(entry)} ({entry['reason']})" for entry in result["ignored"]]
        for stair in result["staircase"]:
            seconds = [f"{word} {stair[word]:.3f} s" for word in ("up", "down", "again") if stair[word] is not None]
            told.append(f"  {stair['revision']}: {', '.join(seconds)}")
    return told


def adoption(results: Sequence[Result], check: bool = False) -> list[str]:
    """Return a line for each result of alembic_adopt over the databases, and lines with the evidence."""
    told = []
    for result in results:
        name = result["item"]["name"]
        if "candidates" not in result:
            current = ", ".join(result.get("current") or ()) or "no revision"
            told.append(f"{name}: " + (result.get("msg") or f"nothing to adopt, it is {result['state']}, at {current}"))
            continue
        best = ", ".join(result.get("revision") or ())
        if result.get("msg"):
            told += [f"{name}: not adopted", f"  {result['msg']}"]
        else:
            told.append(f"{name}: {'would be ' * check}stamped with {best}, which is proven")
        told += [
            f"  candidate {', '.join(entry['revision']) or 'base'}: {_many(entry['distance'], 'difference')}"
            f" ({entry['missing']} missing, {entry['extra']} extra, {entry['changed']} changed)"
            for entry in result["candidates"][:5]
        ]
        told += [
            f"  as near as others: {', '.join(names) or 'base'}; -e revision= takes one of them"
            for names in result.get("ties") or ()
        ]
        for entry in result.get("drift") or ():
            told.append(
                f"  {entry['kind']}: {entry['object']}: {entry['attribute']}{' (blocks)' * bool(entry['blocks'])}"
            )
            if entry["blocks"] and entry["remedy"]:
                told += [f"    {line}" for line in f"remedy: {entry['remedy']}".splitlines()]
        told += [f"  {'would run' if check else 'ran'}: {statement}" for statement in result.get("repaired") or ()]
    return told
