"""Make `ansible_collections.pgsteward.postgres` importable from this checkout, wherever it lies."""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _package(name: str, path: Path | None) -> None:
    module = types.ModuleType(name)
    module.__path__ = [str(path)] if path else []
    sys.modules.setdefault(name, module)


_package("ansible_collections", None)
_package("ansible_collections.pgsteward", None)
_package("ansible_collections.pgsteward.postgres", ROOT)
