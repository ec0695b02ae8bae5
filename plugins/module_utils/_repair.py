# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Adds what a database lacks of a state: tables, columns, indexes, constraints. Drops, alters and rewrites nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _journal, _orphan_rows
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_runner import first_lines
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._located import locate
from ansible_collections.pgsteward.postgres.plugins.module_utils._remedies import script_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects

if TYPE_CHECKING:
    import psycopg

# A column before its index, a table before the key that refers to it; more than this is no order but a circle.
ROUNDS = 10
PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between the tries for a lock
ADDED = (
    "schema",
    "extension",
    "enum",
    "domain",
    "composite type",
    "sequence",
    "table",
    "column",
    "constraint",
    "index",
)
_VALIDATION = re.compile(r"ALTER TABLE (.+) VALIDATE CONSTRAINT (.+)", re.DOTALL)


@dataclass(frozen=True)
class Plan:
    """What would be run, in order; and the differences that adding cannot mend, each with the reason."""

    statements: tuple[str, ...] = ()
    left: tuple[tuple[Drift, str], ...] = ()


def plan(drifts: Iterable[Drift], expected: Objects, found: Objects) -> Plan:
    """Return how differences are mended by adding. Pure."""
    statements: list[str] = []
    left = []
    for drift in sorted(drifts, key=_order):
        kind = locate(drift.object, expected).kind
        missing = drift.attribute == EXISTENCE and drift.expected == PRESENT and kind in ADDED
        validated = drift.attribute == "valid" and kind == "constraint"
        # The sequence behind a column is its own only once that is said.
        owned = drift.attribute == "owned_by" and drift.found is None
        if not (missing or validated or owned):
            left.append(
                (drift, "it is there and differs" if drift.attribute != EXISTENCE else "only a revision adds it")
            )
            continue
        script = script_of(drift, expected, found)
        if script is None or (script.notes and not script.statements):
            left.append(
                (drift, "; ".join(script.notes) if script else "it cannot be added beside those who use the table")
            )
        elif script.notes and kind == "column":
            left.append((drift, "; ".join(script.notes)))
        else:
            statements += [text for text in script.statements if text not in statements]
    return Plan(tuple(statements), tuple(left))


def _order(drift: Drift) -> int:
    kinds = [place for place, kind in enumerate(ADDED) if drift.object.startswith(f"{kind} ")]
    return kinds[0] if kinds else len(ADDED)


@dataclass
class Repair:
    """A repair under way. connection: in autocommit mode, to the live database. look: reads its catalog anew.

    drifts_of: the differences that stand in the way, of a catalog. done: statements that were run.
    """

    connection: psycopg.Connection[Any]
    place: Place
    expected: Objects
    look: Callable[[], Objects]
    drifts_of: Callable[[Objects], Sequence[Drift]]
    say: Callable[[str], None]
    lock_timeout: str = "500ms"
    done: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        """Add until nothing is missing; return the statements. Raises StewardError with what was done and what is left."""
        try:
            for _round in range(ROUNDS):
                found = self.look()
                drifts = self.drifts_of(found)
                if not drifts:
                    return self.done
                self._add(drifts, found)
            raise StewardError(
                f"differences are left after {ROUNDS} rounds: {', '.join(item.object for item in drifts)}"
            )
        except StewardError as error:
            lasts = f"; {len(self.done)} statements were run before and stay" if self.done else "; nothing was changed"
            raise StewardError(f"repair: {error}{lasts}", **error.facts, sql=self.done) from None

    def _add(self, drifts: Sequence[Drift], found: Objects) -> None:
        """Run what can be run in this round: some of it wants other objects first."""
        import psycopg

        steps = plan(drifts, self.expected, found)
        if steps.left:
            drift, reason = steps.left[0]
            raise StewardError(f"{drift.object} cannot be added: {reason}")
        waiting, before = [], len(self.done)
        for statement in steps.statements:
            validation = _VALIDATION.fullmatch(statement)
            if validation:
                self._refuse_orphans(validation[1])
            try:
                self._execute(statement)
            except (
                psycopg.errors.UndefinedTable,
                psycopg.errors.UndefinedObject,
                psycopg.errors.UndefinedColumn,
            ) as error:
                waiting.append(f"{first_lines(str(error))} ({statement})")
            except psycopg.Error as error:
                left = _journal.invalid_indexes(self.connection) if "CONCURRENTLY" in statement else []
                remedy = f": {_journal.drop_remedy(left)}, and run again" if left else ""
                raise StewardError(f"{first_lines(str(error))} ({statement}){remedy}") from None
        if waiting and len(self.done) == before:
            raise StewardError(waiting[0])

    def _execute(self, statement: str) -> None:
        """Run a statement; one that would keep others waiting for its lock is tried again instead."""
        import psycopg

        patient = "CONCURRENTLY" in statement
        self.connection.execute(f"SET lock_timeout = '{'0' if patient else self.lock_timeout}'".encode())
        for pause in (*PAUSES, None):
            try:
                self.connection.execute(statement.encode())
            except psycopg.errors.LockNotAvailable:
                if pause is None:
                    raise StewardError(
                        f"a lock was not to be had within {self.lock_timeout}, {len(PAUSES) + 1} times, for {statement}:"
                        " end what blocks, or raise lock_timeout"
                    ) from None
                time.sleep(pause)
            else:
                break
        self.done.append(statement)
        self.say(f"repaired: {statement}")

    def _refuse_orphans(self, table: str) -> None:
        """Raise StewardError where rows break a key of the table that is NOT VALID yet."""
        session = _orphan_rows.Session(self.connection, self.place)
        for item in _orphan_rows.orphans(session, None, sample=0):
            if item.orphans and str(item.key.child) == table.removeprefix("ONLY "):
                raise StewardError(
                    f"{item.orphans} rows of {item.key.child} break key {item.key.name}, which is there now as NOT VALID and not"
                    " validated: move them aside by foreign_key_orphans with action quarantine, and run again"
                )
