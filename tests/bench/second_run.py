"""Seconds of a second `site` and `migrate` run on the lab, what they changed, and the ratio to a run of as many empty tasks."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def play(playbook: str) -> tuple[float, str]:
    """Return the seconds and the output of a playbook run; end the program when it fails."""
    started = time.perf_counter()
    run = subprocess.run(["ansible-playbook", playbook], capture_output=True, text=True, check=False, cwd=ROOT)
    if run.returncode:
        sys.exit(f"{playbook} failed:\n{run.stdout}{run.stderr}")
    return time.perf_counter() - started, run.stdout


def empty_tasks(count: int) -> float:
    """Return the seconds of `count` pings of the same hosts: what the connection and Ansible cost by themselves."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml", dir=ROOT / ".cache") as playbook:
        tasks = "    - {name: Ping, ansible.builtin.ping: }\n" * count
        playbook.write(f"- hosts: postgres\n  gather_facts: false\n  tasks:\n{tasks}")
        playbook.flush()
        return play(playbook.name)[0]


def main() -> None:
    """Converge, then measure."""
    for playbook in ("pgsteward.postgres.site", "pgsteward.postgres.migrate"):
        play(playbook)
        seconds, output = play(playbook)
        recap = re.findall(r"ok=(\d+)\s+changed=(\d+)", output)
        tasks, changed = sum(int(ok) for ok, _ in recap), sum(int(changed) for _, changed in recap)
        pings = empty_tasks(tasks)
        print(
            f"second run of {playbook}: {seconds:.1f} s, changed={changed}, {tasks} tasks; "
            f"{seconds / pings:.2f} x as many pings ({pings:.1f} s)"
        )


if __name__ == "__main__":
    main()
