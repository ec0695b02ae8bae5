"""The tests of this scenario run on the controller; what the lab is comes from this scenario's inventory, in the size that is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SCENARIO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCENARIO.parent / "shared"))
os.environ["LAB_INVENTORY"] = str(SCENARIO / "inventory" / f"{os.environ.get('PGSTEWARD_SIZE') or 'ci'}.yml")

import lab  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(scope="module", params=lab.hosts("postgres"))
def server(request: pytest.FixtureRequest) -> str:
    """Return the name of one server after the other."""
    return str(request.param)
