"""Which slots a node makes and drops for its siblings."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._slots import SlotPlan, lines, plan

A, B, OLD, FOREIGN = "pgsteward_a", "pgsteward_b", "pgsteward_old", "backup"
Slots = dict[str, dict[str, bool]]


def slot(active: bool = False, reserved: bool = True, lost: bool = False) -> dict[str, bool]:
    return {"active": active, "reserved": reserved, "lost": lost}


@pytest.mark.parametrize(
    ("slots", "wanted", "reserve", "drop", "create", "busy"),
    [
        ({}, [], True, (), (), ()),
        ({}, [A, B], True, (), (A, B), ()),
        ({}, [A, B], False, (), (A, B), ()),
        # As they should be, on a primary and on a standby.
        ({A: slot(active=True), B: slot()}, [A, B], True, (), (), ()),
        ({A: slot(reserved=False), B: slot(reserved=False)}, [A, B], False, (), (), ()),
        # Those of a former primary would fill its disk; those of a standby that is to be primary have to keep WAL.
        ({A: slot(), B: slot(reserved=False)}, [A, B], False, (A,), (A,), ()),
        ({A: slot(), B: slot(reserved=False)}, [A, B], True, (B,), (B,), ()),
        # One that is in use stays, whatever it should be.
        ({A: slot(active=True)}, [A], False, (), (), ()),
        ({A: slot(active=True, reserved=False)}, [A], True, (), (), ()),
        # The server has given it up.
        ({A: slot(reserved=False, lost=True)}, [A], True, (A,), (A,), ()),
        ({A: slot(reserved=False, lost=True)}, [A], False, (A,), (A,), ()),
        # Nodes that are gone; one that is still used is named.
        ({OLD: slot(), A: slot()}, [A], True, (OLD,), (), ()),
        ({OLD: slot(active=True), A: slot()}, [A], True, (), (), (OLD,)),
        ({OLD: slot(reserved=False, lost=True)}, [A], True, (OLD,), (A,), ()),
        # Those of others.
        ({FOREIGN: slot(), "pgstewardess": slot()}, [A], True, (), (A,), ()),
    ],
)
def test_plan(
    slots: Slots,
    wanted: list[str],
    reserve: bool,
    drop: tuple[str, ...],
    create: tuple[str, ...],
    busy: tuple[str, ...],
) -> None:
    assert plan(slots, wanted, reserve) == SlotPlan(drop, create, reserve, busy)


@pytest.mark.parametrize("reserve", [True, False])
def test_a_second_run_has_nothing_to_do(reserve: bool) -> None:
    slots = {A: slot(), B: slot(reserved=False, lost=True), OLD: slot(), FOREIGN: slot()}
    todo = plan(slots, [A, B], reserve)
    after = {name: seen for name, seen in slots.items() if name not in todo.drop}
    after |= {name: slot(reserved=todo.reserve) for name in todo.create}
    assert plan(after, [A, B], reserve) == SlotPlan((), (), reserve, ())


def test_lines() -> None:
    assert (lines([]), lines([B, A])) == ("", f"{A}\n{B}\n")
