"""Every role keeps the rules that all roles share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
HEADINGS = ("What changes on the host", "What a second run does", "Check mode", "Rolling back", "Variables", "Tags")
BEGIN, END = "<!-- variables:begin -->", "<!-- variables:end -->"


def load(role: str, path: str) -> Any:
    return yaml.safe_load((ROOT / "roles" / role / path).read_text())


def options(role: str) -> dict[str, Any]:
    return load(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]


@pytest.mark.parametrize("role", ROLES)
def test_specification_and_defaults_agree(role: str) -> None:
    defaults, specified = load(role, "defaults/main.yml"), options(role)
    assert specified.keys() == defaults.keys()
    for name, option in specified.items():
        if "default" in option:
            assert option["default"] == defaults[name], name
        else:  # what is computed and no text cannot be written down there as what it is
            assert option["type"] in ("int", "bool") or option.get("elements") == "dict", name
            assert "{{" in str(defaults[name]), name


@pytest.mark.parametrize("role", ROLES)
def test_inputs_carry_the_role_s_name_and_internals_two_underscores(role: str) -> None:
    assert all(name.startswith(f"{role}_") for name in load(role, "defaults/main.yml"))
    assert all(name.startswith(f"__{role}_") for name in load(role, "vars/main.yml"))


@pytest.mark.parametrize("role", ROLES)
def test_main_is_a_table_of_contents_that_validates_first(role: str) -> None:
    tasks = load(role, "tasks/main.yml")
    assert all("ansible.builtin.import_tasks" in task for task in tasks)
    assert tasks[0]["ansible.builtin.import_tasks"] == "validate.yml"
    assert all("tags" in task for task in tasks)


@pytest.mark.parametrize("role", ROLES)
def test_readme_has_the_sections_and_the_variables(role: str) -> None:
    text = (ROOT / "roles" / role / "README.md").read_text()
    for heading in HEADINGS:
        assert f"## {heading}" in text, f"{role}/README.md lacks {heading!r}"
    table = text.split(BEGIN, 1)[1].split(END, 1)[0]
    assert all(f"`{name}`" in table for name in options(role)), "run tools/role_readme.py"


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reads_a_group_or_uses_a_shell(role: str) -> None:
    for path in (ROOT / "roles" / role).rglob("*.yml"):
        text = path.read_text()
        for forbidden in ("groups[", "group_names", "ansible.builtin.shell", "ignore_errors"):
            assert forbidden not in text, f"{path.relative_to(ROOT)} has {forbidden}"


def test_all_roles_together_have_few_inputs() -> None:
    # About 150 was the aim when there were eleven roles in the plan; the peers have three times as many as this.
    assert sum(len(options(role)) for role in ROLES) <= 200


def test_the_linter_of_migrations_is_the_one_that_tests_use() -> None:
    pins = [
        re.findall(r"^squawk-cli==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name in ("requirements/dev.txt", "roles/pg_migrate/files/tools.txt")
    ]
    assert len(pins[0]) == 1
    assert pins[0] == pins[1]
