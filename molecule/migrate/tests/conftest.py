"""The tests of this scenario run on the controller; what the lab is comes from this scenario's inventory, in the size that is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SCENARIO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(SCENARIO), str(SCENARIO.parent / "shared")]
os.environ["LAB_INVENTORY"] = str(SCENARIO / "inventory" / f"{os.environ.get('PGSTEWARD_SIZE') or 'ci'}.yml")
