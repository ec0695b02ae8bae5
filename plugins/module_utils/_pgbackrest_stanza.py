# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stanza belongs to one cluster: made where there is none, upgraded when asked, refused where it is another's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_info as info
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_run as pgbackrest
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

NOTHING, CREATE, UPGRADE = "nothing", "create", "upgrade"
_HALF = re.compile(r"\w+\.info exists but \w+\.info is missing on repo(\d+)")
CHECK_LIMIT = 600.0  # seconds; pgBackRest itself waits 60 for a segment


def decide(stanza: info.Stanza, expected: info.Expected, upgrade: bool) -> str:
    """Return what has to be done: nothing, create or upgrade.

    Raises StewardError for a repository that is another cluster's unless `upgrade` says that it became this one, and for one that
    cannot be reached: what is in it is not known.
    """
    action = NOTHING
    for number in expected.repositories:
        one = stanza.repository(number)
        if one is None:
            raise StewardError(f"repository {number}: the configuration of this host does not have it: run site")
        if one.code not in (info.OK, info.NO_STANZA, info.NO_BACKUP, info.NO_STANZA_DATA):
            raise StewardError(f"repository {number}: {one.message}")
        strange = info.strangers(one, expected)
        if strange and not upgrade:
            raise StewardError(
                strange[0], repository=number, found=one.system_identifier, expected=expected.system_identifier
            )
        if strange:
            action = UPGRADE
        elif not one.there and action == NOTHING:
            action = CREATE
    return action


def converge(program: pgbackrest.Program, expected: info.Expected, upgrade: bool, dry_run: bool) -> dict[str, Any]:
    """Make or upgrade the stanza in all repositories of this host unless dry_run; return the module's result."""
    before = pgbackrest.look(program)
    action = decide(before, expected, upgrade)
    after = before
    if action != NOTHING and not dry_run:
        outcome = pgbackrest.run(program, f"stanza-{action}", silent=False)
        if outcome.code:
            reason = pgbackrest.reason(outcome)
            raise StewardError(f"pgbackrest stanza-{action}: {reason}{remedy(program.stanza, reason)}")
        after = pgbackrest.look(program)
        left = decide(after, expected, False)
        if left != NOTHING:
            raise StewardError(f"pgbackrest stanza-{action} ended well, and the stanza still is not there")
    return {
        "changed": action != NOTHING,
        "action": action,
        "repositories": [facts(one) for one in after.repositories],
        "diff": [
            {
                "before": _line(program.stanza, before, number),
                "after": f"stanza {program.stanza} of {expected.system_identifier or 'this cluster'}\n"
                if action != NOTHING
                else _line(program.stanza, before, number),
                "before_header": f"repository {number}",
                "after_header": f"repository {number}",
            }
            for number in expected.repositories
        ],
    }


def remedy(stanza: str, reason: str) -> str:
    """Return what to do about a stanza that was made in part only, nothing for any other reason."""
    half = _HALF.search(reason)
    if half is None:
        return ""
    command = f"pgbackrest --stanza={stanza}"
    return (
        f"; making it was ended in the middle, or somebody removed files. Where repository {half[1]} holds nothing that you need"
        f" ({command} --repo={half[1]} info), as postgres: {command} stop && {command} --repo={half[1]} --force stanza-delete; then run site again"
    )


def check(program: pgbackrest.Program, expected: info.Expected, dry_run: bool) -> dict[str, Any]:
    """Let pgBackRest archive a segment into each repository and wait for it; a dry run only looks whose the stanza is.

    Raises StewardError with its own words.
    """
    found = pgbackrest.look(program)
    if decide(found, expected, False) != NOTHING:
        raise StewardError(f"there is no stanza {program.stanza} in every repository: run site")
    if not dry_run:
        outcome = pgbackrest.run(program, "check", silent=False, limit=CHECK_LIMIT)
        if outcome.code:
            raise StewardError(f"pgbackrest check: {pgbackrest.reason(outcome)}")
    return {"changed": False, "action": NOTHING, "repositories": [facts(one) for one in found.repositories]}


def facts(one: info.Repository) -> dict[str, Any]:
    """Return what a stanza module says of a repository."""
    return {
        "repository": one.number,
        "system_identifier": one.system_identifier,
        "version": one.version,
        "encrypted": one.encrypted,
        "backups": len(one.backups),
    }


def _line(name: str, stanza: info.Stanza, number: int) -> str:
    one = stanza.repository(number)
    return f"stanza {name} of {one.system_identifier}\n" if one and one.there else ""


def failures(taken: Sequence[pgbackrest.Taken]) -> str | None:
    """Return one line about the backups that failed, None when none did."""
    lines = [pgbackrest.told(one) for one in taken if one.error]
    return "; ".join(lines) or None
