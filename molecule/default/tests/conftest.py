"""The tests of this scenario run on the controller: they ask the hosts by testinfra, the server by psql and by a client of its own."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "shared"))
