# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packs a directory of the controller and hands it to the module of the same name, which documents both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.pgsteward.postgres.plugins.module_utils import _tree


class ActionModule(ActionBase):
    """Read the source here, so that one module run writes it there."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        source = Path(str(self._task.args.get("src", ""))).expanduser()
        files = _tree.read(source) if source.is_dir() else {}
        only = self._task.args.get("only") or list(files)
        absent = sorted(set(only) - set(files))
        if files and absent:
            return {**result, "failed": True, "msg": f"only: {source} has no {', '.join(absent)}"}
        files = {name: files[name] for name in only if name in files}
        if not files:
            return {**result, "failed": True, "msg": f"src: {source} is no directory with files on the controller"}
        arguments = {**self._task.args, "files": _tree.pack(files)}
        answer = self._execute_module(module_args=arguments, task_vars=task_vars)
        answer.get("invocation", {}).get("module_args", {}).pop("files", None)
        return {**result, **answer}
