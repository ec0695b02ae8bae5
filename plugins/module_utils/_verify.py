# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare a live catalog with a truth, weigh what differs, and say what was accepted."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _alembic_info,
    _catalog,
    _connection,
    _drift,
    _history,
    _orphans,
    _scratch,
    _snapshot,
    _spec,
    _stage,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils import _models as _models_in
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._remedies import remedy
from ansible_collections.pgsteward.postgres.plugins.module_utils._severity import SEVERITIES, at_least, severity
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects, Scope, Snapshot

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "pgsteward schema_verify"
SHOWN = 3  # drifts named in the one line of an error
NEVER = "never"
RUN_PROJECT = ("metadata", "history")  # truths for which the project runs on a scratch database

SCOPE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "schemas": {"type": "list", "elements": "str", "default": []},
    "kinds": {"type": "list", "elements": "str", "default": []},
    "without": {"type": "list", "elements": "str", "default": []},
}

# Models say what tables look like, not whose they are, how they are stored or who watches them. Columns that a revision added stand
# last in the table, wherever the model has them.
MODELS_SCOPE = Scope(
    kinds=("domain", "enum", "sequence", "table"),
    without=(
        "access_method", "column_order", "compression", "labels", "options", "owner", "persistence", "policies", "privileges",
        "replica_identity", "row_security", "rules", "statistics", "storage", "tablespace", "toast_options", "triggers",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Accepted:
    """A difference that somebody decided to live with. object and attribute may have * and ?; until is the last day."""

    object: str
    attribute: str
    reason: str
    until: datetime.date | None

    def fits(self, drift: Drift) -> bool:
        """Say whether this is about the drift."""
        return fnmatchcase(drift.object, self.object) and fnmatchcase(drift.attribute, self.attribute)


ACCEPT_OPTIONS: dict[str, dict[str, Any]] = {
    "object": {"type": "str", "required": True},
    "attribute": {"type": "str", "default": "*"},
    "reason": {"type": "str", "required": True},
    "until": {"type": "str"},
}


def accepted_of(items: Sequence[Mapping[str, Any]]) -> list[Accepted]:
    """Return the accepted differences that a module's option names; raises StewardError for a date that is none."""
    found = []
    for index, item in enumerate(items):
        try:
            until = datetime.date.fromisoformat(item["until"]) if item.get("until") else None
        except ValueError:
            raise StewardError(f"accept[{index}].until is {item['until']!r}: write a date as 2026-12-31") from None
        if not item["reason"].strip():
            raise StewardError(f"accept[{index}].reason is empty: say why {item['object']} may differ")
        found.append(Accepted(item["object"], item.get("attribute") or "*", item["reason"], until))
    return found


ARGUMENTS: dict[str, dict[str, Any]] = {
    **_connection.ARGUMENTS,
    **_connection.URL_ARGUMENT,
    **SCOPE_ARGUMENTS,
    "truth": {"type": "str", "choices": ["snapshot", "spec", "metadata", "history"], "default": "snapshot"},
    "snapshot": {"type": "path"},
    "spec": {"type": "path"},
    "version_table": {"type": "str", "default": "alembic_version"},
    **{
        name: dict(_alembic.ARGUMENTS[name])
        for name in ("config", "section", "virtualenv", "python", "environment", "x")
    },
    "project": {"type": "path"},
    **_history.ARGUMENTS,
    "revision": {"type": "list", "elements": "str", "default": []},
    "accept": {"type": "list", "elements": "dict", "default": [], "options": ACCEPT_OPTIONS},
    "fail_on": {"type": "str", "choices": [*SEVERITIES, NEVER], "default": SEVERITIES[-1]},
}
ARGUMENT_RULES: dict[str, Any] = {
    **_connection.URL_RULES,
    "mutually_exclusive": [*_connection.URL_RULES["mutually_exclusive"], ("virtualenv", "python")],
    "required_if": [
        ("truth", "snapshot", ["snapshot"]),
        ("truth", "spec", ["spec"]),
        ("truth", "metadata", ["project"]),
        ("truth", "history", ["project"]),
    ],
}


def run(module: Any, today: datetime.date) -> dict[str, Any]:
    """Do what an AnsibleModule asks for; return its result, or raise StewardError with it."""
    if module.params["truth"] in RUN_PROJECT:
        _alembic.settle_secrets(module)
    try:
        result = verify(module.params, module.tmpdir, today)
    except StewardError as error:
        _tell(module, error.facts)
        raise
    _tell(module, result)
    return result


def _tell(module: Any, result: dict[str, Any]) -> None:
    """Hand the warnings to Ansible, and the difference only where it is asked for."""
    for text in result.pop("warnings", ()):
        module.warn(text)
    if not module._diff:
        result.pop("diff", None)


# Pure: from drifts to a judgement


@dataclass(frozen=True)
class Weighed:
    """A drift with its severity and its remedy; accepted is the reason, where there is one."""

    drift: Drift
    severity: str
    remedy: str
    accepted: str | None = None

    def as_return(self) -> dict[str, Any]:
        """Return the drift as a module returns it."""
        item = {
            "object": self.drift.object,
            "attribute": self.drift.attribute,
            "expected": self.drift.expected,
            "found": self.drift.found,
            "severity": self.severity,
            "remedy": self.remedy,
        }
        return {**item, "reason": self.accepted} if self.accepted else item


def weigh(
    drifts: Sequence[Drift], expected: Objects, found: Objects, accepted: Sequence[Accepted], today: datetime.date
) -> tuple[list[Weighed], list[str]]:
    """Return the drifts, gravest first, and what is to be said of the accepted ones: out of date, or of no use."""
    notes = []
    for item in accepted:
        about = f"the accepted difference {item.object} {item.attribute} ({item.reason})"
        if item.until is not None and item.until < today:
            notes.append(f"{about} ended on {item.until}: mend the difference, or decide anew")
        elif not any(item.fits(drift) for drift in drifts):
            notes.append(f"{about} differs no more: take it off the list")
    valid = [item for item in accepted if item.until is None or item.until >= today]
    weighed = [
        Weighed(
            drift,
            severity(drift, expected, found),
            remedy(drift, expected, found),
            next((item.reason for item in valid if item.fits(drift)), None),
        )
        for drift in drifts
    ]
    return sorted(weighed, key=lambda item: SEVERITIES.index(item.severity)), notes


def summary(name: str, truth: str, weighed: Sequence[Weighed]) -> str:
    """Return one line: how many drifts of which severity, and the first of them."""
    counts = Counter(item.severity for item in weighed)
    kinds = ", ".join(f"{counts[word]} {word}" for word in SEVERITIES if counts[word])
    shown = ", ".join(f"{item.drift.object} ({item.drift.attribute})" for item in weighed[:SHOWN])
    more = f" and {len(weighed) - SHOWN} more" if len(weighed) > SHOWN else ""
    return f"{name} differs from {truth} in {len(weighed)} ways ({kinds}): {shown}{more}"


def difference(truth: str, database: str, weighed: Sequence[Weighed]) -> dict[str, str]:
    """Return the drifts as Ansible shows a difference: the truth before, the database after."""

    def lines(value: Callable[[Drift], Any]) -> str:
        return "".join(
            f"{item.drift.object}: {item.drift.attribute} = {_shown(value(item.drift))}\n" for item in weighed
        )

    return {
        "before_header": truth,
        "after_header": database,
        "before": lines(lambda drift: drift.expected),
        "after": lines(lambda drift: drift.found),
    }


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


# The truths


@dataclass(frozen=True)
class Truth:
    """What a database is compared with: its name for people, and what it holds.

    beside: a table that is none of the truth's business, since models do not know Alembic's own.
    """

    name: str
    held: Snapshot | _spec.Spec
    notes: tuple[str, ...] = ()
    beside: str | None = None

    def scope(self, asked: Scope) -> Scope:
        """Return what can be judged: no more than the truth holds."""
        return asked.within(self.held.scope) if isinstance(self.held, Snapshot) else asked

    def drifts(self, found: Snapshot, scope: Scope) -> tuple[list[Drift], Objects]:
        """Return the differences, and the objects as expected; a spec does not describe any as a whole."""
        if not isinstance(self.held, Snapshot):
            return _drift.seen(_spec.drifts(self.held, found.objects), found.unseen), {}
        expected = _limited(self.held, scope)
        there = found.objects if self.beside is None else _snapshot.without_table(found.objects, self.beside)
        drifts = _drift.compare(expected, _without_side_tables(there, expected))
        return _drift.seen(drifts, (*self.held.unseen, *found.unseen)), expected


def _without_side_tables(found: Objects, expected: Objects) -> Objects:
    """Return objects without the tables that foreign_key_orphans made: rows kept for a person to look through are no drift."""
    known = expected.get("table", {})
    kept = {
        name: held
        for name, held in found.get("table", {}).items()
        if name in known or not _orphans.is_side_table(name, held)
    }
    return {**{kind: named for kind, named in found.items() if kind != "table"}, **({"table": kept} if kept else {})}


def _limited(snapshot: Snapshot, scope: Scope) -> Objects:
    """Return the objects of a snapshot that are within a scope, schemas included."""
    objects = _snapshot.limit(snapshot.objects, scope)
    if scope.schemas is None or scope.schemas == snapshot.scope.schemas:
        return objects
    wanted = {quote_ident(name) for name in scope.schemas}
    kept = {
        kind: {name: found for name, found in named.items() if _snapshot.schema_of_object(kind, name) in wanted}
        for kind, named in objects.items()
    }
    return {kind: named for kind, named in kept.items() if named}


def read_file(path: str, what: str) -> str:
    """Return what a file holds; raises StewardError in one line when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise StewardError(f"{what} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StewardError(f"{what} {path} is no text in UTF-8: give a file made for this") from None


def snapshot_file(path: str, connection: psycopg.Connection[Any], place: Place, version_table: str) -> str:
    """Return the file of a snapshot: path itself, or, in a directory, the one named after the database's revision."""
    directory = Path(path)
    if not directory.is_dir():
        return path
    revision = _revision(connection, place, version_table)
    file = directory / f"{revision}.json"
    if not file.exists():
        there = ", ".join(sorted(item.stem for item in directory.glob("*.json"))) or "none"
        raise StewardError(
            f"{place} is at revision {revision}, of which {directory} has no snapshot (it has {there}): "
            "take one with schema_info, or migrate to one of these"
        )
    return str(file)


def _revision(connection: psycopg.Connection[Any], place: Place, version_table: str) -> str:
    """Return the revision that a database is at; several heads are joined by +."""
    import psycopg
    from psycopg import sql

    try:
        with connection.transaction():
            tables = connection.execute(
                "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
                " WHERE c.relname OPERATOR(pg_catalog.=) %s AND c.relkind OPERATOR(pg_catalog.=) 'r'",
                [version_table],
            ).fetchall()
            if len(tables) != 1:
                found = "none" if not tables else "one in each of " + ", ".join(sorted(name for (name,) in tables))
                raise StewardError(
                    f"{place} has no single table {version_table} that would tell its revision ({found}): name one snapshot file"
                )
            table = sql.Identifier(tables[0][0], version_table)
            rows = connection.execute(sql.SQL("SELECT version_num FROM {}").format(table)).fetchall()
    except psycopg.Error as error:
        raise StewardError(f"{version_table} of {place} cannot be read: {str(error).splitlines()[0]}") from None
    if not rows:
        raise StewardError(f"{place} is at no revision yet: migrate it first, or name one snapshot file")
    return "+".join(sorted(str(row[0]) for row in rows))


# One verification


def verify(params: Mapping[str, Any], temporary: str, today: datetime.date) -> dict[str, Any]:
    """Compare a database with the truth that the options name; return the result, or raise StewardError with the drift in it."""
    place = _connection.place_from_params(params)
    accepted = accepted_of(params["accept"])
    asked = Scope.of(params["schemas"], params["kinds"], params["without"])
    through_pooler = params["truth"] not in RUN_PROJECT  # the live session describes the scratch database
    with contextlib.closing(_connection.connect(place, APPLICATION_NAME, through_pooler=through_pooler)) as connection:
        truth = _truth(params, connection, place, temporary)
        scope = truth.scope(asked)
        reading = _catalog.read(connection, place, scope)
    drifts, expected = truth.drifts(reading.snapshot, scope)
    weighed, notes = weigh(drifts, expected, reading.snapshot.objects, accepted, today)
    return result_of(params, truth, reading, weighed, [*truth.notes, *notes])


def result_of(
    params: Mapping[str, Any], truth: Truth, reading: _catalog.Reading, weighed: Sequence[Weighed], notes: Sequence[str]
) -> dict[str, Any]:
    """Return what the module returns; raises StewardError with it when a drift is at least as grave as fail_on."""
    standing = [item for item in weighed if item.accepted is None]
    unseen = [f"{item} {attribute}".removesuffix(" *") for item, attribute in reading.snapshot.unseen]
    result = {
        "changed": False,
        "clean": not standing,
        "drift": [item.as_return() for item in standing],
        "accepted": [item.as_return() for item in weighed if item.accepted is not None],
        "worst": standing[0].severity if standing else None,
        "truth_name": truth.name,
        "objects": sum(len(named) for named in reading.snapshot.objects.values()),
        "unseen": unseen,
        "warnings": [
            *notes,
            *([f"the account could not see, so this was not judged: {', '.join(unseen)}"] if unseen else []),
        ],
        "diff": difference(truth.name, f"database {reading.database}", standing),
    }
    threshold = params["fail_on"]
    if threshold != NEVER and any(at_least(item.severity, threshold) for item in standing):
        raise StewardError(summary(reading.database, truth.name, standing), **result)
    return result


def _truth(params: Mapping[str, Any], connection: psycopg.Connection[Any], place: Place, temporary: str) -> Truth:
    if params["truth"] == "snapshot":
        path = snapshot_file(params["snapshot"], connection, place, params["version_table"])
        return Truth(f"snapshot {path}", _snapshot.parse(read_file(path, "snapshot"), path))
    if params["truth"] == "spec":
        path = params["spec"]
        limits = [name for name in SCOPE_ARGUMENTS if params[name]]
        if limits:
            raise StewardError(
                f"{' and '.join(limits)} cannot be given with truth spec: what a spec does not name is not judged anyway"
            )
        return Truth(f"spec {path}", _spec.parse(read_file(path, "spec"), path))
    if params["truth"] == "history":
        return _replayed(params, connection, place, temporary)
    return _models(params, connection, place, temporary)


def _replayed(params: Mapping[str, Any], connection: psycopg.Connection[Any], place: Place, temporary: str) -> Truth:
    """Return what the history makes of an empty database up to the revisions asked for, or those that the database is at."""
    project, notes = _alembic.Project.from_params(params), list[str]()
    _alembic_info.check_project(project)
    asked = {**params, "revision": params["revision"] or ["heads"]}
    looked = _alembic_info.look(project, place, connection, asked, temporary, notes.append)
    answer = looked.answer
    revisions = answer.targets if params["revision"] else looked.current
    if not revisions:
        raise StewardError(
            f"{place} is at no revision yet: migrate it, adopt it when it was made without Alembic, or name a revision to compare with"
        )
    missing = sorted(set(revisions) - (answer.graph or {}).keys())
    if missing:
        raise StewardError(
            f"{place} is at revision {', '.join(missing)}, and no file of {project.directory} has it: bring the missing file back, or"
            " use the project that made this database"
        )
    table = answer.version_table or params["version_table"]
    source = _history.Source.of(connection, place, project, params, table, _connection.secrets_of(place), temporary)
    step, more = _history.at(source, revisions)
    name = f"the history of {project.directory} at {', '.join(revisions)}"
    return Truth(name, Snapshot(step.objects, _history.SCOPE), (*notes, *more), table)


def _models(params: Mapping[str, Any], connection: psycopg.Connection[Any], place: Place, temporary: str) -> Truth:
    """Create the models in a scratch database like the live one, and read them back."""
    project = _alembic.Project.from_params(params)
    live = _scratch.read_live(connection, place)
    with _stage.stage(project, live, params, _connection.secrets_of(place), temporary) as stage:
        notes = _models_in.create_models(stage)
        with contextlib.closing(stage.connect()) as there:
            expected = _catalog.read(there, stage.place, MODELS_SCOPE).snapshot
    return Truth(f"the models of {project.directory}", expected, (*stage.notes, *notes), params["version_table"])
