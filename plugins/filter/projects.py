"""Filters over the projects of the role pg_migrate."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _projects


def migration_databases(projects: Any, directory: str) -> list[dict[str, Any]]:
    """Return one record per database."""
    return _projects.databases(projects, directory)


def migration_findings(projects: Any, passwords: Any, scratch: Any) -> list[str]:
    """Return one line for each thing that is wrong."""
    return _projects.findings(projects, passwords, scratch)


def verification_report(results: Any) -> list[str]:
    """Return the lines of a report."""
    return _projects.report(results)


def status_report(results: Any) -> list[str]:
    """Return the lines of a report."""
    return _projects.status(results)


class FilterModule:
    """The filters of this file, internal to the role pg_migrate."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        functions = (migration_databases, migration_findings, verification_report, status_report)
        return {function.__name__: function for function in functions}
