# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The eight states that a database can be in against a project, with the evidence and the safe next action. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import closure, maximal

SHOWN = 5  # names in a sentence; more are counted

NEXT_ACTIONS: Mapping[str, str] = {
    "fresh": "Run the playbook migrate: it applies every revision.",
    "managed": "Nothing is to be done; the playbook verify says whether the schema is what the revision says.",
    "behind": "Run the playbook migrate, first with --check --diff: it applies what is pending.",
    "ahead": "Leave the database as it is and bring the project to its revision; the way back is the playbook downgrade, after a dump.",
    "legacy": "Run the playbook adopt before anything else: it stamps the revision that the tables match, on proof, and schema_verify"
    " shows what differs from one.",
    "partial": "Run the playbook verify to see all that is missing, and restore that before the playbook migrate runs again.",
    "diverged": "Make project and database agree before anything else runs: bring the missing files back, or run the playbook stamp,"
    " which looks whether the schema is that of the revision.",
    "foreign": "Run nothing here before login_db, project and section are checked: use the project that made this database.",
}


@dataclass(frozen=True)
class Models:
    """The tables of the models, by where the database and the history stand to them.

    missing: not in the database, although an applied revision names them and no other does. unwritten: not in the
    database, and in no revision. undecided: not in the database, and named by revisions that are not applied.
    """

    present: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unwritten: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What decides. graph: as the runner reports it. version_table: its name, with its schema where it is there.

    current: the rows of the version table. tables: those that somebody made, other than version tables. others: other
    version tables in the database. models: None where the project gives none, or none that could be judged.
    """

    current: tuple[str, ...]
    targets: tuple[str, ...]
    heads: tuple[str, ...]
    graph: Mapping[str, Mapping[str, Any]]
    version_table: str
    has_version_table: bool
    tables: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    models: Models | None = None


@dataclass(frozen=True)
class Verdict:
    """A state, the facts that prove it as sentences, and one sentence about what to do."""

    state: str
    evidence: tuple[str, ...]

    @property
    def next_action(self) -> str:
        """The safe next action, naming a playbook."""
        return NEXT_ACTIONS[self.state]


def words(text: str) -> frozenset[str]:
    """Return the words of a file's text, as names of tables are written."""
    return frozenset(re.findall(r"\w+", text))


def judge_models(
    tables: Iterable[tuple[str | None, str]],
    live: Collection[tuple[str, str]],
    applied: Iterable[frozenset[str]],
    others: Iterable[frozenset[str]],
) -> Models:
    """Return where the tables of the models stand; a table without a schema counts in any schema.

    live: schema and name of all relations. applied, others: the words of the applied revisions' files, and of the rest.
    """
    names = {name for _schema, name in live}
    groups: dict[str, list[str]] = {"present": [], "missing": [], "unwritten": [], "undecided": []}
    in_applied, in_others = frozenset().union(*applied), frozenset().union(*others)
    for schema, name in tables:
        if (schema, name) in live or (schema is None and name in names):
            group = "present"
        elif words(name) <= in_others:
            group = "undecided"
        else:
            group = "missing" if words(name) <= in_applied else "unwritten"
        groups[group].append(name if schema is None else f"{schema}.{name}")
    return Models(**{group: tuple(members) for group, members in groups.items()})


def pending(facts: Facts) -> list[str]:
    """Return the revisions between the database and the targets, oldest first; none where the database names unknown ones."""
    if not set(facts.current) <= facts.graph.keys():
        return []
    lacking = closure(facts.graph, facts.targets) - closure(facts.graph, facts.current)
    return [revision for revision in facts.graph if revision in lacking]


def decide(facts: Facts) -> Verdict:
    """Return the state of a database, and what proves it."""
    if not facts.current:
        return _unversioned(facts)
    unknown = [revision for revision in facts.current if revision not in facts.graph]
    if unknown:
        return _unknown(facts, unknown)
    tops = maximal(facts.graph, facts.current)
    if set(tops) != set(facts.current):
        return _overlapping(facts, tops)
    return _placed(facts)


def _unversioned(facts: Facts) -> Verdict:
    table = f"{facts.version_table} has no row" if facts.has_version_table else f"There is no {facts.version_table}"
    evidence = [f"{table}, so no revision is recorded."]
    if facts.others:
        evidence.append(f"Other version tables are there: {some(facts.others)}.")
    if not facts.tables:
        return Verdict("fresh", (*evidence, "There are no tables."))
    if facts.others and facts.models is not None and not facts.models.present:
        # Another project keeps its tables here, and its revision with them.
        return Verdict(
            "fresh", (*evidence, f"There are tables, none of the models: {some(facts.tables)}.", _shares(facts.models))
        )
    evidence.append(f"There are tables: {some(facts.tables)}.")
    if facts.models is not None:
        evidence.append(_shares(facts.models))
    return Verdict("legacy", tuple(evidence))


def _unknown(facts: Facts, unknown: Sequence[str]) -> Verdict:
    """A missing file of this project, or another project's database: known neighbours or the models' tables tell."""
    known = [revision for revision in facts.current if revision in facts.graph]
    evidence = [
        f"{facts.version_table} names {some(unknown)}, and no file of the project has {'it' if len(unknown) == 1 else 'them'}."
    ]
    models = facts.models
    ours = models is not None and len(models.present) > len(_absent(models))
    if known:
        evidence.append(f"It also names {some(known)}, of this project.")
    if models is not None:
        evidence.append(_shares(models))
    if known or ours:
        return Verdict("diverged", (*evidence, f"So the file of {some(unknown)} is missing from this project."))
    evidence.append(f"The project has {some(list(facts.graph)) if facts.graph else 'no revisions'}.")
    if models is None:
        evidence.append("Without target_metadata a missing file cannot be told from another project's database.")
    return Verdict("foreign", tuple(evidence))


def _overlapping(facts: Facts, tops: Sequence[str]) -> Verdict:
    below = [revision for revision in facts.current if revision not in tops]
    return Verdict(
        "diverged",
        (
            f"{facts.version_table} names {some(facts.current)} at once.",
            f"But {some(below)} {'is' if len(below) == 1 else 'are'} part of {some(tops)} already, so no run of Alembic wrote this.",
        ),
    )


def _placed(facts: Facts) -> Verdict:
    """A consistent set of known revisions."""
    waiting = pending(facts)
    have, wanted = closure(facts.graph, facts.current), closure(facts.graph, facts.targets)
    evidence = [f"{facts.version_table} is at {some(facts.current)}."]
    if waiting:
        state = "behind"
        evidence.append(f"{len(waiting)} of {len(facts.graph)} revisions are pending: {some(waiting)}.")
    elif have - wanted:
        state = "ahead"
        evidence.append(f"That is past {some(facts.targets) if facts.targets else 'the base'}, which is wanted.")
    else:
        state = "managed"
        whole = facts.current == tuple(maximal(facts.graph, facts.heads))
        evidence.append(
            f"{'That is the newest revision' if whole else 'That is what is wanted'}, and nothing is pending."
        )
    models = facts.models
    if models is None:
        evidence.append("Whether tables are missing is not judged, as the project gives no models that tell.")
        return Verdict(state, tuple(evidence))
    if models.missing:
        one = len(models.missing) == 1
        count = len(models.present) + len(_absent(models))
        text = f"{len(models.missing)} of the {count} tables of the models {'is' if one else 'are'} missing, though"
        text += f" applied revisions name {'it' if one else 'them'}: {some(models.missing)}."
        return Verdict("partial", (*evidence, text))
    if models.unwritten:
        evidence.append(
            f"The models have tables that no revision names, and that are not there: {some(models.unwritten)}."
        )
    elif models.undecided:
        evidence.append(
            f"No table that the applied revisions promise is missing; still to come: {some(models.undecided)}."
        )
    else:
        evidence.append(f"All {len(models.present)} tables of the models are there.")
    return Verdict(state, tuple(evidence))


def _absent(models: Models) -> tuple[str, ...]:
    return (*models.missing, *models.unwritten, *models.undecided)


def _shares(models: Models) -> str:
    return f"Of the {len(models.present) + len(_absent(models))} tables of the models {len(models.present)} are there."


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """Return names in a sentence: the first few, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
