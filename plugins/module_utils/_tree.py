"""A directory tree as data: packed on the controller, compared and written on the host."""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

SKIPPED = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})

Tree = Mapping[str, bytes]  # relative path with slashes -> content


def read(directory: Path) -> dict[str, bytes]:
    """Return the files below `directory`, without caches and version control. A directory that is not there has none."""
    found = {}
    for parent, directories, names in os.walk(directory):
        directories[:] = sorted(set(directories) - SKIPPED)
        for name in names:
            path = Path(parent) / name
            if not name.endswith(".pyc"):
                found[path.relative_to(directory).as_posix()] = path.read_bytes()
    return found


def pack(tree: Tree) -> dict[str, str]:
    """Return `tree` in a form that JSON carries."""
    return {name: base64.b64encode(zlib.compress(content)).decode("ascii") for name, content in sorted(tree.items())}


def unpack(packed: Mapping[str, str]) -> dict[str, bytes]:
    """Return the tree that pack() packed. Raises StewardError on a path that leaves the directory."""
    for name in packed:
        if name.startswith("/") or ".." in Path(name).parts:
            raise StewardError(f"{name!r} leaves the directory that it is to be written to")
    return {name: zlib.decompress(base64.b64decode(content)) for name, content in packed.items()}


@dataclass(frozen=True)
class Plan:
    """What makes one tree of another: relative paths, sorted."""

    written: tuple[str, ...]
    removed: tuple[str, ...]


def plan(current: Tree, wanted: Tree) -> Plan:
    """Return what has to be written and removed so that `current` becomes `wanted`."""
    return Plan(
        written=tuple(sorted(name for name, content in wanted.items() if current.get(name) != content)),
        removed=tuple(sorted(current.keys() - wanted.keys())),
    )


def diffs(current: Tree, wanted: Tree, steps: Plan) -> list[dict[str, str]]:
    """Return Ansible diffs of the files that `steps` touches; a file that is no text shows its size."""
    return [
        {
            "before_header": name,
            "after_header": name,
            "before": _text(current.get(name)),
            "after": _text(wanted.get(name)),
        }
        for name in (*steps.written, *steps.removed)
    ]


def _text(content: bytes | None) -> str:
    if content is None:
        return ""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return f"({len(content)} bytes)\n"
