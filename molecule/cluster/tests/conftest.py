"""The tests of this scenario run on the controller; each leaves the cluster whole for the next one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

SCENARIO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCENARIO.parent / "shared"))
os.environ["LAB_INVENTORY"] = str(SCENARIO / "inventory" / "hosts.yml")

import cluster  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def healed() -> Iterator[None]:
    """Begin with a whole cluster, and bring it back afterwards."""
    cluster.whole()
    yield
    cluster.heal()
