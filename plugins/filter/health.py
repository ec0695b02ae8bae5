# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters over the health of an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _health_document,
    _health_screen,
    _health_thresholds,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


def health_document(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document about an environment."""
    try:
        return _health_document.document(asked)
    except StewardError as error:
        raise AnsibleFilterError(str(error)) from error


def health_screen(document: Mapping[str, Any]) -> list[str]:
    """Return the document as lines of text."""
    return _health_screen.screen(document)


def threshold_findings(given: Any, name: str = "thresholds") -> list[str]:
    """Return one line for each thing that is wrong with thresholds."""
    return _health_thresholds.findings(given, name)


def health_reaches(document: Mapping[str, Any], fail_on: str) -> bool:
    """Tell whether what was found is as grave as what a run fails on."""
    return _health_document.reaches(document["verdict"], fail_on)


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        functions = (health_document, health_reaches, health_screen, threshold_findings)
        return {function.__name__: function for function in functions}
