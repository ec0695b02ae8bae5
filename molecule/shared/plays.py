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
VERIFY = "pgsteward.postgres.verify"
PATHS = {"ANSIBLE_CONFIG": "ansible.cfg", "ANSIBLE_COLLECTIONS_PATH": ".cache/collections"}
# Molecule asks for colours, which would stand between the words that tests look for.
PLAIN = {"ANSIBLE_FORCE_COLOR": "false", "PY_COLORS": "0"}


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
    command = ["ansible-playbook", "-i", str(lab.INVENTORY), "--limit", host, playbook, *options]
    if variables:
        command += ["--extra-vars", json.dumps(variables)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=lab.ROOT, env=environment())
    return Played(run.returncode, run.stdout + run.stderr)


def module(name: str, host: str = "db1", **options: Any) -> dict[str, Any]:
    """Run a module on a host of the lab as the account postgres; return its result, failed or not."""
    who = ["--become", "--become-user", "postgres", "--extra-vars", "ansible_remote_tmp=/tmp"]
    command = ["ansible", "-i", str(lab.INVENTORY), host, *who, "--one-line", "-m", name, "-a", json.dumps(options)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=lab.ROOT, env=environment())
    assert "{" in run.stdout, run.stdout + run.stderr
    return dict(json.loads(run.stdout[run.stdout.index("{") :]))


def environment() -> dict[str, str]:
    return {**os.environ, **PLAIN, **{name: str(lab.ROOT / path) for name, path in PATHS.items()}}


def converge(*options: str, **rest: Any) -> Played:
    """Run site, which has to end well."""
    run = play(SITE, *options, **rest)
    assert run.code == 0, run.text
    return run
