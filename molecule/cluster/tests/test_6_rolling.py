"""Restarts and updates of every server under load: nobody gets an error, nothing is lost."""

from __future__ import annotations

import cluster
import lab

STARTED = "SELECT pg_postmaster_start_time()"
# The same package with a later version, so that there is something to update to.
NEWER = """
set -e
cd "$(mktemp -d)"
apt-get -qq download postgresql-17
dpkg-deb -R postgresql-17_*.deb unpacked
sed -i 's/^Version: .*/&+lab1/' unpacked/DEBIAN/control
mkdir -p /srv/lab-archive
dpkg-deb -b unpacked /srv/lab-archive/postgresql-17-lab.deb >/dev/null
cd /srv/lab-archive
dpkg-scanpackages . > Packages 2>/dev/null
echo 'deb [trusted=yes] file:/srv/lab-archive ./' > /etc/apt/sources.list.d/lab.list
"""


def test_a_rolling_restart() -> None:
    before = {node: cluster.ask(node, STARTED) for node in cluster.nodes()}
    with cluster.loaded() as running:
        run = cluster.play("restart_rolling")
        cluster.goes_on(running)
        report = running.stop()
    assert run.code == 0, run.text
    assert (report.write_errors, report.read_errors) == (0, 0), report
    assert cluster.lost(report) == []
    cluster.whole()
    # The candidate was restarted as a standby before it took over.
    assert all(cluster.ask(node, STARTED) != before[node] for node in cluster.nodes())
    print(
        f"\nrolling restart: {report.write_stall.seconds:.3f} s without a commit of some client, {run.seconds:.0f} s in all"
    )


@lab.full_only
def test_an_update_without_anything_newer_does_nothing() -> None:
    before = {node: cluster.ask(node, STARTED) for node in cluster.nodes()}
    run = cluster.play("update_minor")
    assert run.code == 0, run.text
    assert {node: cluster.ask(node, STARTED) for node in cluster.nodes()} == before


@lab.full_only
def test_an_update_of_the_packages() -> None:
    for node in cluster.nodes():
        cluster.on(node, "sh", "-c", "apt-get -qq install -y dpkg-dev >/dev/null 2>&1")
        cluster.on(node, "sh", "-c", NEWER)
    with cluster.loaded() as running:
        run = cluster.play("update_minor")
        cluster.goes_on(running)
        report = running.stop()
    assert run.code == 0, run.text
    for node in cluster.nodes():
        assert "+lab1" in cluster.on(node, "dpkg-query", "-W", "-f", "${Version}", "postgresql-17"), node
    assert (report.write_errors, report.read_errors) == (0, 0), report
    assert cluster.lost(report) == []
    cluster.whole()


@lab.full_only
def test_a_standby_is_made_anew_under_load() -> None:
    standby = sorted(cluster.followers())[0]
    with cluster.loaded() as running:
        run = cluster.play("reinit_standby", node=standby)
        cluster.goes_on(running)
        report = running.stop()
    assert run.code == 0, run.text
    assert (report.write_errors, report.read_errors) == (0, 0), report
    cluster.whole()
