"""docs/troubleshooting.md names nothing that does not exist, says what the code says, and each symptom of it is shown by a test."""

from __future__ import annotations

import json
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_thresholds
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic_state import NEXT_ACTIONS
from ansible_collections.pgsteward.postgres.plugins.module_utils._hba import REFUSED_METHODS
from test_documentation import MODULES, documented
from test_roles import ROLES, options

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "molecule" / "shared"))

import symptoms  # noqa: E402

PAGE = symptoms.read()
TEXT = symptoms.PAGE.read_text(encoding="utf-8")
PLAYBOOKS = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
FLAGS = {"--check", "--diff"}
INPUTS = "\n".join(
    path.read_text(encoding="utf-8")
    for part in ("playbooks", "roles/*/vars", "roles/*/defaults", "roles/*/tasks")
    for path in ROOT.glob(f"{part}/**/*.yml")
)
COMMANDS = sorted({command for one in PAGE.values() for step in one.steps for command in step.commands})
DAY2 = "molecule/day2/tests/test_troubleshooting.py"
# Which tests show a symptom: that it comes about, that the answer of the document is given, that the remedy helps.
SHOWN = {
    "Connection refused": [f"{DAY2}::test_connection_refused"],
    "Connection timed out": [f"{DAY2}::test_connection_timed_out"],
    "Blocked: canceling statement due to lock timeout": [f"{DAY2}::test_blocked"],
    "Slow": [
        f"{DAY2}::test_slow",
        "tests/integration/test_health.py::test_the_slowest_statements_are_told_where_they_are_counted",
    ],
    "No space left on device": [f"{DAY2}::test_no_space"],
    "Relation already exists": [f"{DAY2}::test_the_state_is_asked_for", f"{DAY2}::test_all_of_them_are_healed"],
    "Target database is not up to date": [
        f"{DAY2}::test_the_state_is_asked_for",
        f"{DAY2}::test_all_of_them_are_healed",
    ],
    "Can't locate revision": [f"{DAY2}::test_the_state_is_asked_for", f"{DAY2}::test_all_of_them_are_healed"],
    "Violates foreign key constraint": [
        f"{DAY2}::test_orphans_and_losses_stop_a_migration",
        f"{DAY2}::test_all_of_them_are_healed",
    ],
    'Type "vector" does not exist': [f"{DAY2}::test_the_extension_is_missing"],
    "Data-loss warning": [f"{DAY2}::test_orphans_and_losses_stop_a_migration", f"{DAY2}::test_all_of_them_are_healed"],
    "Index build: canceling statement due to statement timeout": [f"{DAY2}::test_an_index_build_that_was_cut_short"],
    "A migration failed midway": [
        "tests/integration/test_alembic_journal.py::test_an_index_that_failed_is_named_and_never_taken_for_good"
    ],
    "Rollback fails": [
        f"{DAY2}::test_a_revision_without_a_way_back",
        "tests/integration/test_alembic_downgrade.py::test_a_way_without_return_is_refused_before_anything_runs",
        "molecule/backup/tests/test_6_migrate.py::test_a_failed_migration_names_the_commands_that_bring_the_rows_back",
    ],
    "Autogenerate sees nothing": [
        "tests/integration/test_alembic_revision.py::test_refused",
        "tests/integration/test_alembic_revision.py::test_autogenerate",
    ],
    "Unsure of the state": ["molecule/verify/tests/test_status.py::test_other_states_come_with_evidence"],
    "Database disk image is malformed": [f"{DAY2}::test_a_damaged_sqlite_file"],
}


def named(pattern: str, text: str = TEXT) -> set[str]:
    return set(re.findall(pattern, text))


def test_each_symptom_is_shown_by_tests() -> None:
    assert list(SHOWN) == list(PAGE)
    for path, _colons, test in (shown.partition("::") for listed in SHOWN.values() for shown in listed):
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test


def test_each_symptom_begins_with_something_to_ask_and_has_a_remedy() -> None:
    for one in PAGE.values():
        assert len(one.steps) >= 2 or "|" in one.text, one.title
        assert all(len(step.commands) == 1 for step in one.steps[:1]) or one.title == "Unsure of the state"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_what_there_is(command: str) -> None:
    words = shlex.split(command)
    if words[0] not in ("ansible", "ansible-playbook"):
        assert words[0] in ("sudo", "sqlite3")
        return
    assert words[1:3] == ["-i", "inventories/production"]
    assert (ROOT / words[2]).is_dir()
    rest = iter(words[4:])
    if words[0] == "ansible-playbook":
        assert words[3].removeprefix("pgsteward.postgres.") in PLAYBOOKS
        for word in rest:
            assert word == "-e" or word in FLAGS, word
            for name in given(next(rest)) if word == "-e" else ():
                assert re.search(rf"\b{name}(:| \| default\()", INPUTS), name
    else:
        values = dict(pairwise(words))
        module, arguments = values["-m"].removeprefix("pgsteward.postgres."), json.loads(values["-a"])
        known = documented(module)
        assert arguments.keys() <= known.keys()
        assert arguments["action"] in known["action"]["choices"]


def given(text: str) -> list[str]:
    """Return the names of extra variables."""
    return list(json.loads(text)) if text.startswith("{") else [text.partition("=")[0]]


def test_what_the_text_names_is_there() -> None:
    inputs: dict[str, Any] = {name: option for role in ROLES for name, option in options(role).items()}
    assert {name for name in named(r"`(pg_\w+|pgbouncer_\w+|pgbackrest_\w+)`") if name not in inputs} <= {
        "pg_stat_statements",
        "pg_wal",
        "pg_restore",
    }
    verbs = PLAYBOOKS | set(MODULES)
    for guide in symptoms.guides():
        for word in (text.split()[0] for text in guide.instead):
            assert word in verbs or word in ("mean_exec_time", "scram-sha-256"), word
    assert "pg_access_databases" in inputs


def test_findings_are_called_as_the_code_calls_them() -> None:
    code = "".join((ROOT / "plugins" / "module_utils" / f"_health{part}.py").read_text() for part in ("", "_document"))
    for name in named(r"^\| `(\w+)`", PAGE["No space left on device"].text):
        assert f'"{name}"' in code
    assert {"growth", "slot_retained", "archive_waiting"} <= set(
        _health_thresholds.as_return(_health_thresholds.merged({}))
    )


def test_each_state_has_its_line() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", PAGE["Unsure of the state"].text, re.MULTILINE)
    assert sorted(state for state, _next in rows) == sorted(NEXT_ACTIONS)
    for state, action in rows:
        for playbook in named(r"`(\w+)[^`]*`", action):
            assert playbook in PLAYBOOKS
            assert playbook in NEXT_ACTIONS[state]


def test_links_lead_somewhere() -> None:
    for target in named(r"\]\(([^)]+)\)"):
        path, _hash, anchor = target.partition("#")
        file = symptoms.PAGE if not path else (symptoms.PAGE.parent / path)
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file), target


def anchors(file: Path) -> set[str]:
    """Return what headings of a page are linked by."""
    found = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def test_each_symptom_is_in_the_table_of_contents() -> None:
    contents = TEXT.partition("\n## ")[0]
    titles = [*PAGE, symptoms.GUIDES]
    linked = named(r"\(#([^)]+)\)", contents)
    assert linked == {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_md5_is_refused_in_the_words_of_the_page() -> None:
    assert not symptoms.missing(symptoms.guide("md5").happens[1:], REFUSED_METHODS["md5"])


@pytest.mark.parametrize(
    ("line", "text", "found"),
    [
        ("shop: legacy", "    - 'shop: legacy'\n", True),
        ("shop: legacy", "- 'shops: legacy'", False),
        ("of … are free (…) where", 'of 5 GB are\n    - "          free (1 %) where"', True),
        ('relation "x" is', "    - 'relation \"x\"\n        is there'", True),
        ("db1 … primary", "primary db1", False),
    ],
)
def test_a_line_is_found_in_what_ansible_prints(line: str, text: str, found: bool) -> None:
    assert bool(symptoms.missing([line], text)) is not found


def test_the_database_has_another_name_elsewhere() -> None:
    assert symptoms.missing(["shop: behind"], "shop_keys: behind", "shop_keys") == []
    assert (
        symptoms.named("-e database=shop -e confirm=shop shop_migrator", "x")
        == "-e database=x -e confirm=x shop_migrator"
    )
