"""What the models of all systems share.

Constraint names follow PostgreSQL's own defaults. The guides create tables by plain SQL without naming constraints, and
databases made that way exist; with the server's own names they and ours are alike down to the last name.
"""

from __future__ import annotations

import enum

from sqlalchemy.dialects.postgresql import ENUM

# A check constraint is named in full where it stands: one rule cannot give it PostgreSQL's default name.
POSTGRESQL_NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}


def enum_type(labels: type[enum.Enum], name: str) -> ENUM:
    """Return the PostgreSQL enum whose labels are the values of labels, in their order."""
    return ENUM(labels, name=name, values_callable=lambda members: [member.value for member in members])
