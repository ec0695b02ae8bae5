# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one exception root of the collection, and the one place that hands it to Ansible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol


class StewardError(Exception):
    """A failure that the operator can act on: one line of text, and data about it.

    facts: what the module returns beside msg, for instance the revisions applied before a failure.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(" ".join(message.split()))
        self.facts: dict[str, Any] = facts


class Module(Protocol):
    """The two ways out of an Ansible module."""

    def exit_json(self, **kwargs: Any) -> NoReturn: ...

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn: ...


def run(module: Module, function: Callable[[], Mapping[str, Any]]) -> NoReturn:
    """End the module with what function returns, or fail it with the error that it raises."""
    try:
        result = function()
    except StewardError as error:
        module.fail_json(msg=str(error), **error.facts)
    module.exit_json(**result)
