# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of restores: what the operator asks for, and on which host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _drill_host as drill
from ansible_collections.pgsteward.postgres.plugins.module_utils import _drill_report as drill_report
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_report as report
from ansible_collections.pgsteward.postgres.plugins.module_utils import _restore_request as request


def restore_request(asked: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is asked for, and what is wrong with it."""
    return request.read(asked, known)


def restore_place(
    asked: Mapping[str, Any], topology: Mapping[str, Any], hosts: Sequence[str], kept: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the host of a restore in place, who is silent, and what is wrong with that."""
    return request.place_of(asked, topology, hosts, kept)


def restore_silence(silent: Sequence[str], confirmed: Sequence[str]) -> list[str]:
    """Return why nothing may be restored while some servers do not answer."""
    return request.silent_findings(silent, confirmed)


def restore_page(record: Mapping[str, Any]) -> str:
    """Return the report of a restore as Markdown."""
    return report.page(record)


def restore_ending(record: Mapping[str, Any]) -> str:
    """Return how a restore ended, in a few sentences."""
    return report.ending(record)


def restore_drifts(
    databases: Sequence[Mapping[str, Any]],
    drifts: Mapping[str, Mapping[str, Any]],
    verified: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return restored databases with how their schemas differ, in words."""
    return report.with_drift(databases, drifts, verified)


def drill_page(record: Mapping[str, Any]) -> str:
    """Return the record of a drill as Markdown."""
    return drill_report.page(record)


def drill_files(given: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Return what lies on a host for restore drills."""
    return {**drill.files(given, command), "shipped": list(drill.SHIPPED)}


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        functions = (
            restore_request,
            restore_place,
            restore_silence,
            restore_page,
            restore_ending,
            restore_drifts,
            drill_files,
            drill_page,
        )
        return {function.__name__: function for function in functions}
