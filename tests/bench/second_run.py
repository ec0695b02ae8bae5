"""Seconds of a first and a second `site` run on three fresh hosts, what the second changed, and its ratio to as many pings."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = "molecule/faults/inventory/hosts.yml"  # three hosts that nothing else uses now


def play(playbook: str) -> tuple[float, str]:
    """Return the seconds and the output of a playbook run; end the program when it fails."""
    started = time.perf_counter()
    command = ["ansible-playbook", "-i", INVENTORY, playbook]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if run.returncode:
        sys.exit(f"{playbook} failed:\n{run.stdout}{run.stderr}")
    return time.perf_counter() - started, run.stdout


def pings(count: int) -> float:
    """Return the seconds of `count` pings of the same hosts: what the connection and Ansible cost by themselves."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml", dir=ROOT / ".cache") as playbook:
        tasks = "    - {name: Ping, ansible.builtin.ping: }\n" * count
        playbook.write(f"- hosts: postgres\n  gather_facts: false\n  tasks:\n{tasks}")
        playbook.flush()
        return play(playbook.name)[0]


def main() -> None:
    """Create, converge twice, compare, destroy."""
    play("molecule/shared/create.yml")
    try:
        first, _ = play("pgsteward.postgres.site")
        second, output = play("pgsteward.postgres.site")
        recap = re.findall(r"ok=(\d+)\s+changed=(\d+)", output)
        tasks, changed = max(int(ok) for ok, _ in recap), sum(int(changed) for _, changed in recap)
        compared = pings(tasks)
        print(f"first run of site on {len(recap)} hosts: {first:.1f} s")
        print(
            f"second run of site on {len(recap)} hosts: {second:.1f} s, changed={changed}, {tasks} tasks a host; "
            f"{second / compared:.2f} x as many pings ({compared:.1f} s)"
        )
    finally:
        play("molecule/shared/destroy.yml")


if __name__ == "__main__":
    main()
