"""The pure parts of an upgrade, and its documentation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic, _upgrade
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer, Revision
from ansible_collections.pgsteward.postgres.plugins.modules import alembic_upgrade
from yaml import safe_load

R1 = Revision("r1", "make r1", "versions/r1.py")
PLAN = Answer(current=("r2",), targets=("r1",), pending=(R1,))


def test_documentation_and_arguments_agree() -> None:
    documented = {
        name: {key: value for key, value in option.items() if key != "description"}
        for name, option in safe_load(alembic_upgrade.DOCUMENTATION)["options"].items()
    }
    shared = {*_alembic.ARGUMENTS, *_alembic.MUTATING_ARGUMENTS}
    own = {name: spec for name, spec in _upgrade.ARGUMENTS.items() if name not in shared}
    own = {name: {key: value for key, value in spec.items() if key != "no_log"} for name, spec in own.items()}
    assert documented == own


def test_every_return_has_a_sample() -> None:
    assert [name for name, entry in safe_load(alembic_upgrade.RETURN).items() if "sample" not in entry] == []


@pytest.mark.parametrize(
    ("answer", "state", "warning"),
    [
        (replace(PLAN, pending=()), "ahead", "the database is past r1 already, at r2"),
        (PLAN, "legacy", "made without Alembic"),
        (PLAN, "behind", ""),
        (replace(PLAN, pending=()), "managed", ""),
    ],
)
def test_state_warnings(answer: Answer, state: str, warning: str) -> None:
    found = _upgrade.state_warnings(answer, state)
    assert len(found) == bool(warning)
    assert warning in "".join(found)


def test_statements_come_in_the_order_of_the_revisions() -> None:
    assert _upgrade.flat({"r2": ("c",), "r1": ("a", "b")}, ["r1", "r2", "r3"]) == ["a", "b", "c"]
