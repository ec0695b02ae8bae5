# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Physical slots that a node holds for its siblings: which to make, drop, reserve or release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, connect, has_driver
from ansible_collections.pgsteward.postgres.plugins.module_utils._replica import SLOT_PREFIX

if TYPE_CHECKING:
    import psycopg

_STATE = """
SELECT pg_is_in_recovery(), coalesce((SELECT json_object_agg(slot_name, json_build_object(
  'active', active, 'reserved', restart_lsn IS NOT NULL, 'lost', wal_status = 'lost'))
  FROM pg_replication_slots WHERE slot_type = 'physical'), '{}')
"""


UNASKED: dict[str, Any] = {
    "dropped": [],
    "created": [],
    "reserved": None,
    "busy": [],
    "diff": {"before": "", "after": ""},
}


@dataclass(frozen=True)
class SlotPlan:
    """Slots to drop and to create, in this order; one that is to change is in both. reserve: whether the new ones keep WAL at once.

    busy: ours that nobody wants and somebody uses.
    """

    drop: tuple[str, ...]
    create: tuple[str, ...]
    reserve: bool
    busy: tuple[str, ...]


def plan(slots: Mapping[str, Mapping[str, bool]], wanted: Sequence[str], reserve: bool) -> SlotPlan:
    """Return what brings the slots of ours to `wanted`. slots: name -> active, reserved, lost. Those of others are left alone.

    A slot in use is never dropped. One that is lost cannot be used again and is made anew. One that keeps WAL for nobody on a
    node that should not (reserve false) would fill its disk: it is made anew without.
    """
    unwanted = [name for name in slots if name.startswith(SLOT_PREFIX) and name not in wanted]
    idle = [name for name in wanted if name in slots and not slots[name]["active"]]
    again = [name for name in idle if slots[name]["lost"] or slots[name]["reserved"] != reserve]
    return SlotPlan(
        drop=(*(name for name in unwanted if not slots[name]["active"]), *again),
        create=(*again, *(name for name in wanted if name not in slots)),
        reserve=reserve,
        busy=tuple(name for name in unwanted if slots[name]["active"]),
    )


def apply(place: Place, wanted: Sequence[str], reserve: bool | None, dry_run: bool) -> dict[str, Any]:
    """Bring the slots of a server to `wanted`; return the module's result. reserve None: a primary does, a standby does not."""
    if dry_run and not has_driver():
        # A server that somebody else has set up: its driver comes with the packages. What is there cannot be asked yet.
        return {**UNASKED, "changed": bool(wanted), "created": list(wanted)}
    with connect(place, "pgsteward pg_slots") as connection:
        [(standby, slots)] = connection.execute(_STATE).fetchall()
        todo = plan(slots, wanted, reserve=not standby if reserve is None else reserve)
        if not dry_run:
            carry_out(connection, todo)
    after = (set(slots) - set(todo.drop)) | set(todo.create)
    return {
        "changed": bool(todo.drop or todo.create),
        "dropped": [name for name in todo.drop if name not in todo.create],
        "created": list(todo.create),
        "reserved": todo.reserve,
        "busy": list(todo.busy),
        "diff": {"before": lines(slots), "after": lines(after), "before_header": "slots", "after_header": "slots"},
    }


def lines(names: Any) -> str:
    """Return names one a line, in their order."""
    return "".join(f"{name}\n" for name in sorted(names))


def carry_out(connection: psycopg.Connection[Any], todo: SlotPlan) -> None:
    """Drop and create; each statement by itself, as slots know no transactions."""
    for name in todo.drop:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    for name in todo.create:
        connection.execute("SELECT pg_create_physical_replication_slot(%s, %s)", (name, todo.reserve))
