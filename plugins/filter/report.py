# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that make the report of an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _report, _report_page


def report_document(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the report says, of the document about an environment."""
    return _report.report(status)


def report_page(document: Mapping[str, Any], directory: str) -> str:
    """Return the report as an HTML page. directory: of its templates."""
    return _report_page.page(document, directory)


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"report_document": report_document, "report_page": report_page}
