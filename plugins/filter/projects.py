# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters over the projects of the role pg_migrate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _migration_backup, _migration_report, _projects


def migration_databases(
    projects: Any, directory: str, only: str | None = None, preview: str | None = None
) -> list[dict[str, Any]]:
    """Return one record per database."""
    return _projects.databases(projects, directory, only, preview)


def migration_findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that is wrong."""
    return _projects.findings(inputs)


def verification_report(results: Any) -> list[str]:
    """Return the lines of a report."""
    return _projects.report(results)


def status_report(results: Any) -> list[str]:
    """Return the lines of a report."""
    return _projects.status(results)


def validation_report(results: Any) -> list[str]:
    """Return the lines of a report."""
    return _migration_report.validation(results)


def adoption_report(results: Any, check: bool = False) -> list[str]:
    """Return the lines of a report."""
    return _migration_report.adoption(results, check)


def migration_dumps(databases: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return which databases are dumped before they change."""
    return _migration_backup.plan(databases, asked)


def migration_backups(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to come back to, with the lines that say so."""
    found = _migration_backup.kept(asked)
    return {**found, "lines": _migration_backup.lines(found)}


def migration_record(databases: Any, steps: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run as data."""
    return _migration_report.record(databases, steps, context)


def migration_report(record: Mapping[str, Any]) -> list[str]:
    """Return a record as lines for the screen."""
    return _migration_report.lines(dict(record))


def migration_page(record: Mapping[str, Any]) -> str:
    """Return a record as a page of Markdown."""
    return _migration_report.markdown(dict(record))


class FilterModule:
    """The filters of this file, internal to the role pg_migrate."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        functions = (
            migration_databases,
            migration_findings,
            verification_report,
            status_report,
            validation_report,
            adoption_report,
            migration_dumps,
            migration_backups,
            migration_record,
            migration_report,
            migration_page,
        )
        return {function.__name__: function for function in functions}
