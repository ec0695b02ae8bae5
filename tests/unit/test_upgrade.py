"""The pure parts of an upgrade, and its documentation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _upgrade
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer, Revision

R1 = Revision("r1", "make r1", "versions/r1.py")
PLAN = Answer(current=("r2",), targets=("r1",), pending=(R1,))


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
