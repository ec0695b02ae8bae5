# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One task of maintenance in one database, for the module and for the command alike."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _maintain,
    _maintain_clean,
    _maintain_collations,
    _maintain_reindex,
    _maintain_review,
    _maintain_session,
    _maintain_vacuum,
    _maintain_vectors,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain import (
    CLEAN_UP,
    COLLATIONS,
    FREEZE,
    REINDEX,
    REVIEW,
    VACUUM,
    VECTORS,
    Job,
)

# What changes nothing may run beside anything.
READING = (REVIEW, VECTORS)


@dataclass(frozen=True)
class Request:
    """What is to be done. wait: seconds for the end of another task, and of a backup."""

    task: str
    table: str | None = None
    index: str | None = None
    database: str | None = None
    full: bool = False
    repair: bool = False
    confirm: str | None = None
    jobs: tuple[Job, ...] = ()
    reviews: tuple[str, ...] = _maintain.REVIEWS
    thresholds: Mapping[str, float] = field(default_factory=lambda: _maintain.thresholds_of({}))
    wait: float = 0.0
    before: Mapping[str, Any] | None = None


def findings(request: Request) -> list[str]:
    """Return why a request makes no sense, before anybody connects."""
    found = []
    named = [name for name in ("index", "table", "database") if getattr(request, name)]
    if request.index and request.task != REINDEX:
        found.append(f"index is for the task {REINDEX}, and this is {request.task}")
    if request.database and request.task != REINDEX:
        found.append(f"database is for the task {REINDEX}, and this is {request.task}")
    if request.table and request.task not in (VACUUM, FREEZE, REINDEX):
        found.append(f"table is for the tasks {VACUUM}, {FREEZE} and {REINDEX}, and this is {request.task}")
    if len(named) > 1:
        found.append(f"{' and '.join(named)} are given: name one")
    if request.full and request.task != VACUUM:
        found.append(f"full is for the task {VACUUM}, and this is {request.task}")
    elif request.full:
        found += _maintain_vacuum.full_findings(request.table, request.confirm)
    if request.repair and request.task != COLLATIONS:
        found.append(f"repair is for the task {COLLATIONS}, and this is {request.task}")
    if request.task == CLEAN_UP and not request.jobs:
        found.append(f"jobs is empty: the task {CLEAN_UP} wants at least one")
    return found


def run(place: Place, request: Request, check: bool, say: Callable[[str], None] = lambda _text: None) -> dict[str, Any]:
    """Do it; return the result of the module. Raises StewardError."""
    wrong = findings(request)
    if wrong:
        raise StewardError(wrong[0])
    begun = time.monotonic()
    reading = request.task in READING or (request.task == COLLATIONS and not request.repair)
    late = []
    with (
        _maintain_session.session(place, request.task, reads=reading) as held,
        contextlib.nullcontext() if reading or check else _maintain_session.alone(held, request.wait),
    ):
        # Transaction numbers wait for no backup.
        waiting = request.wait if not (reading or check or request.task == FREEZE) else 0.0
        if waiting and not _maintain_session.wait_for_backup(held, waiting, say):
            late.append(f"{held.database}: a backup still runs: the task has begun beside it")
        result = _do(held, request, check, say)
    result["findings"] = [*late, *result.get("findings", ())]
    result["seconds"] = round(time.monotonic() - begun, 3)
    return {"task": request.task, "database": held.database, **result}


def _do(held: _maintain_session.Session, request: Request, check: bool, say: Callable[[str], None]) -> dict[str, Any]:
    if request.task == VACUUM and request.full:
        return _maintain_vacuum.full(held, str(request.table), check)
    if request.task == VACUUM:
        return _maintain_vacuum.vacuum(held, request.table, check)
    if request.task == FREEZE:
        return _maintain_vacuum.freeze(held, request.table, request.thresholds["freeze_age"], check)
    if request.task == REINDEX:
        named = {"index": request.index, "table": request.table, "database": request.database}
        return _maintain_reindex.run(held, named, request.thresholds, check, say)
    if request.task == CLEAN_UP:
        return _maintain_clean.run(held, request.jobs, check)
    if request.task == VECTORS:
        return _maintain_vectors.run(held, request.thresholds)
    if request.task == COLLATIONS:
        return _maintain_collations.run(held, request.repair, request.thresholds, check, say)
    return _maintain_review.run(held, request.reviews, request.thresholds, request.jobs, request.before, time.time())


def jobs_of(given: Sequence[Mapping[str, Any]], where: str = "jobs") -> tuple[Job, ...]:
    """Return the jobs that a list describes. Raises StewardError with what is wrong first."""
    for finding in _maintain.job_findings(given, where):
        raise StewardError(finding)
    return tuple(_maintain.job_of(one) for one in given)
