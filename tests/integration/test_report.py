"""The playbook `report` where no host answers: it is made all the same, on the controller, and in check mode it is not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

GONE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}  # nobody listens there
GROUPS = {"postgres": ["db1", "db2"], "pgbouncer": ["pool1"], "migrate": ["db1"]}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return a directory with the inventory of an environment whose hosts are all gone."""
    groups = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in GROUPS.items()}
    inventory = {"all": {"vars": {**GONE, "pg_cluster_name": "shop"}, "children": groups}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    return tmp_path


def play(environment: Path, playbook: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["ansible-playbook", "-i", str(environment / "hosts.yml"), f"pgsteward.postgres.{playbook}", *options]
    return subprocess.run(
        [*command, "-e", f"pg_monitor_report_directory={environment}/reports"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_made_of_what_there_is(environment: Path) -> None:
    run = play(environment, "report", "--check")
    assert (run.returncode, "shop is critical: the report would be" in run.stdout) == (0, True), run.stdout
    assert not (environment / "reports").exists()

    run = play(environment, "report")
    assert (run.returncode, f"the report is {environment}/reports/shop-report.html" in run.stdout) == (0, True), (
        run.stdout
    )
    assert "changed=1" not in run.stdout
    document = json.loads((environment / "reports" / "shop-report.json").read_text())
    page = (environment / "reports" / "shop-report.html").read_text()
    lights = {one["area"]: one["light"] for one in document["lights"]}
    assert (document["verdict"], lights["servers"], lights["poolers"], lights["backups"]) == (
        *["critical"] * 3,
        "unknown",
    )
    assert [one["role"] for one in document["topology"]["nodes"]] == ["unreachable"] * 3
    figures = dict(re.findall(r'data-at="([^"]+)" data-form="[^"]+" data-value="([^"]+)"', page))
    assert figures["/counts/critical"] == str(document["counts"]["critical"]) == str(len(document["findings"]))
    assert float(figures["/at"]) == document["at"]


def test_the_status_says_the_same_and_fails(environment: Path) -> None:
    run = play(environment, "status")
    assert (run.returncode, "shop is critical: 4 critical" in run.stdout) == (2, True), run.stdout
    assert json.loads((environment / "reports" / "shop-status.json").read_text())["exit_code"] == 2
