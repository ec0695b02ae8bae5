"""What clients of a cluster feel: the stall of a switchover against the same steps by hand, the seconds of a failover and of the playbooks.

The hosts of scenario cluster are up and converged (tools/bench sees to it).
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ["LAB_INVENTORY"] = str(ROOT / "molecule" / "cluster" / "inventory" / "hosts.yml")
sys.path.insert(0, str(ROOT / "molecule" / "shared"))

import cluster  # noqa: E402

ROUNDS = 4


def by_hand() -> float:
    """Return the longest stall of a client during the steps without any of our modules."""
    old = cluster.primary()
    new = sorted(cluster.followers())[0]
    script = ROOT / "molecule" / "shared" / "raw_switchover.sh"
    with cluster.loaded() as running:
        subprocess.run([str(script), old, new, *cluster.poolers()], capture_output=True, check=True)
        cluster.goes_on(running)
        report = running.stop()
    cluster.whole()
    return report.write_stall.seconds


def ours() -> tuple[float, float, int]:
    """Return the longest stall of a client, the seconds of the playbook, and errors and lost commits together."""
    with cluster.loaded() as running:
        run = cluster.play("switchover")
        assert run.code == 0, run.text
        cluster.goes_on(running)
        report = running.stop()
    cluster.whole()
    return report.write_stall.seconds, run.seconds, report.write_errors + report.read_errors + len(cluster.lost(report))


def failover() -> tuple[float, float, int]:
    """Return the seconds from the start of the playbook to the first commit, those of the playbook, and the commits that were lost."""
    lost = cluster.primary()
    with cluster.loaded() as running:
        cluster.goes_on(running)
        cluster.cut_power(lost)
        started = time.time()
        run = cluster.play("failover", **cluster.FENCE)
        assert run.code == 0, run.text
        cluster.goes_on(running)
        report = running.stop()
    with cluster.connect(cluster.primary(), cluster.WRITER) as connection:
        first = report.outage(connection)[-1].first.timestamp()
    return first - started, run.seconds, len(cluster.lost(report))


def main() -> None:
    """Measure and print."""
    cluster.heal()
    raw = statistics.median(by_hand() for _round in range(2))
    rounds = [ours() for _round in range(ROUNDS)]
    stalls = [stall for stall, _seconds, _wrong in rounds]
    print(
        f"switchover, 8 writers and 8 readers: stall median {statistics.median(stalls):.3f} s, longest {max(stalls):.3f} s;"
        f" by hand {raw:.3f} s, {statistics.median(stalls) / raw:.2f} x; errors and lost commits: {sum(wrong for *_rest, wrong in rounds)};"
        f" the playbook {statistics.median(seconds for _stall, seconds, _wrong in rounds):.1f} s"
    )
    writable, seconds, lost = failover()
    print(
        f"failover after a power cut: writable {writable:.1f} s after the playbook starts, which takes {seconds:.1f} s; {lost} commits lost"
    )
    runs = cluster.heal()
    print(f"rejoin: {runs[0].seconds:.1f} s")
    cluster.play("site")
    site = cluster.play("site")
    changed = sum(int(count) for count in re.findall(r"changed=(\d+)", site.text))
    print(f"second run of site on five hosts: {site.seconds:.1f} s, changed={changed}")


if __name__ == "__main__":
    main()
