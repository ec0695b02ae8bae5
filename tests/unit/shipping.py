"""Which modules of ours a command of a host is made of."""

from __future__ import annotations

import ast
from pathlib import Path

UTILS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
PREFIX = "ansible_collections.pgsteward.postgres.plugins.module_utils"


def imported(name: str) -> set[str]:
    """Return the modules of ours that a module imports."""
    found = set()
    for node in ast.walk(ast.parse((UTILS / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == PREFIX:
            found |= {f"{alias.name}.py" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{PREFIX}."):
            found.add(f"{str(node.module).rpartition('.')[2]}.py")
    return found


def needed(command: str) -> list[str]:
    """Return all that a module needs, with itself, sorted; fails where one of them needs Ansible."""
    found: set[str] = set()
    waiting = {command}
    while waiting:
        found |= waiting
        waiting = set().union(*map(imported, waiting)) - found
    for name in found:
        assert "from ansible." not in (UTILS / name).read_text(encoding="utf-8"), name
    return sorted(found)
