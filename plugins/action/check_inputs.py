# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the inputs of a role on the controller, before anything touches the host. Documented in modules/check_inputs.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.pgsteward.postgres.plugins.module_utils._inputs import unknown_names

SHARED = ("pg_version", "pg_port", "pg_cluster_name", "pg_superuser", "pg_no_log", "pg_hosts")


class ActionModule(ActionBase):
    """Unknown names first, then types and choices, then the findings of the role itself: the first one fails the host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validation, arguments = self.validate_argument_spec(
            {"role": {"type": "str", "required": True}, "findings": {"type": "list", "elements": "str", "default": []}}
        )
        role = arguments["role"]
        roles = Path(variables["role_path"]).parent
        options = _options(roles / role)

        errors = unknown_names(variables, role, options, [path.name for path in roles.iterdir()], SHARED)
        errors = errors or self._type_errors(options, variables)
        errors = errors or arguments["findings"]
        result["changed"] = False
        if errors:
            result["failed"] = True
            result["msg"] = f"{variables['inventory_hostname']}: {errors[0]}"
            result["findings"] = errors
        return result

    def _type_errors(self, options: dict[str, Any], variables: dict[str, Any]) -> list[str]:
        given = {name: self._templar.template(variables[name]) for name in options if name in variables}
        outcome = ArgumentSpecValidator(options).validate(
            {name: value for name, value in given.items() if value is not None}
        )
        return [" ".join(message.split()) for message in outcome.error_messages]


def _options(role: Path) -> dict[str, Any]:
    path = role / "meta" / "argument_specs.yml"
    try:
        return yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    except (OSError, KeyError) as error:
        raise AnsibleError(f"role {role.name} has no readable specification of its inputs: {error}") from error
