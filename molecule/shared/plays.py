"""Playbooks of the collection, run from the tests against a server of the lab, with what they report as data."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import Any

import lab

SITE = "pgsteward.postgres.site"
MIGRATE = "pgsteward.postgres.migrate"


@dataclass(frozen=True)
class Played:
    """How a run ended."""

    code: int
    text: str

    @property
    def changed(self) -> int:
        """How many tasks changed something, on all hosts together."""
        return sum(int(count) for count in re.findall(r"\bchanged=(\d+)", self.text))


def play(playbook: str, *options: str, host: str = "db1", variables: dict[str, Any] | None = None) -> Played:
    """Run a playbook on one host of the lab, with extra variables."""
    paths = {"ANSIBLE_CONFIG": "ansible.cfg", "ANSIBLE_COLLECTIONS_PATH": ".cache/collections"}
    # Molecule asks for colours, which would stand between the words that tests look for.
    plain = {"ANSIBLE_FORCE_COLOR": "false", "PY_COLORS": "0"}
    environment = {**os.environ, **plain, **{name: str(lab.ROOT / path) for name, path in paths.items()}}
    command = ["ansible-playbook", "-i", str(lab.INVENTORY), "--limit", host, playbook, *options]
    if variables:
        command += ["--extra-vars", json.dumps(variables)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=lab.ROOT, env=environment)
    return Played(run.returncode, run.stdout + run.stderr)


def converge(*options: str, **rest: Any) -> Played:
    """Run site, which has to end well."""
    run = play(SITE, *options, **rest)
    assert run.code == 0, run.text
    return run
