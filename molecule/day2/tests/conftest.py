"""The tests of this scenario run on the controller. They ask the exporters, Prometheus, psql, systemd and the hosts' files.

What the lab is comes from the scenario's inventory, unless LAB_INVENTORY names another.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SCENARIO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCENARIO.parent / "shared"))
sys.path.insert(0, str(SCENARIO.parents[1] / "tests" / "unit"))  # what alerts are tried with
os.environ.setdefault("LAB_INVENTORY", str(SCENARIO / "inventory" / "hosts.yml"))

import cluster  # noqa: E402, F401
