"""The column type of pgvector, as far as models and revisions need it.

A class of our own rather than the pgvector package: most releases of that require numpy, which a host that only runs
migrations has no other use for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Float
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.operators import Operators
from sqlalchemy.types import TypeEngine, UserDefinedType


class Vector(UserDefinedType[Sequence[float]]):
    """vector(dimensions); values are sequences of float, single precision on the server."""

    cache_ok = True

    def __init__(self, dimensions: int | None = None) -> None:
        self.dimensions = dimensions

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in DDL."""
        return "vector" if self.dimensions is None else f"vector({self.dimensions})"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:
        """Return what turns a sequence into the server's text form."""
        return _to_text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], list[float] | None]:
        """Return what turns the server's text form into a list."""
        return _from_text

    class Comparator(TypeEngine.Comparator[Sequence[float]]):
        """The two distances that the systems search by."""

        def cosine_distance(self, other: object) -> Operators:
            """0 for the same direction, 1 for orthogonal, 2 for opposite."""
            return self.op("<=>", return_type=Float())(other)

        def l2_distance(self, other: object) -> Operators:
            """Return the Euclidean distance."""
            return self.op("<->", return_type=Float())(other)

    comparator_factory = Comparator


def _to_text(value: Sequence[float] | None) -> str | None:
    return None if value is None else "[" + ",".join(str(float(part)) for part in value) + "]"


def _from_text(value: str | None) -> list[float] | None:
    return None if value is None else [float(part) for part in value[1:-1].split(",")]


# Without this, reflection (and so `alembic check`) would not know the type nor see its dimensions.
ischema_names["vector"] = Vector
