"""Each alert has figures on which it fires, and figures on which it does not; all of them are explained, and made of figures that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import rule_cases
import yaml
from ansible_collections.pgsteward.postgres.plugins.module_utils import _drill_report, _maintain_config
from ansible_collections.pgsteward.postgres.plugins.module_utils._monitor_figures import METRICS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "monitoring.md"
RULES: list[dict[str, Any]] = yaml.safe_load(rule_cases.RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
OURS = {
    *METRICS,
    *(name for name, _text, _key in _drill_report._FIGURES),
    *(name for name, _text in _maintain_config._FIGURES.values()),
}
PROMTOOL = shutil.which("promtool")


def test_every_alert_is_tried() -> None:
    assert [rule["alert"] for rule in RULES] == list(rule_cases.CASES)
    assert all(firing and quiet for firing, quiet in rule_cases.CASES.values())


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed; the scenario day2 has it")
def test_alerts_fire_when_they_should_and_never_else(tmp_path: Path) -> None:
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(rule_cases.document(str(rule_cases.RULES))), encoding="utf-8")
    ended = subprocess.run([str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_are_made_of_figures_that_there_are(rule: dict[str, Any]) -> None:
    assert set(re.findall(r"\bpgsteward_\w+", rule["expr"])) <= OURS
    assert rule["labels"].keys() == {"severity"}
    assert rule["annotations"].keys() == {"summary", "next_step"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_are_explained(rule: dict[str, Any]) -> None:
    assert f"| `{rule['alert']}` |" in PAGE.read_text(encoding="utf-8")
