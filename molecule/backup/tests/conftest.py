"""The tests of this scenario run on the controller. They ask pgBackRest itself, psql, systemd and the hosts' files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SCENARIO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCENARIO.parent / "shared"))
os.environ["LAB_INVENTORY"] = str(SCENARIO / "inventory" / "hosts.yml")

import cluster  # noqa: E402, F401
