"""HNSW in the place of IVFFlat, and an index for L2 distance.

IVFFlat learns its lists from the rows that are there when it is built, and 002_biometrics built it on an empty table.
HNSW has no such training. An index serves the operator of its class only, so the search by `<->` gets one of its own.

Revision ID: 005_hnsw
Revises: 004_attendance_and_stock
Create Date: 2025-06-16 11:20:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgsteward_ops import build_index_concurrently, drop_index_concurrently, replace_index_concurrently

revision: str = "005_hnsw"
down_revision: str | None = "004_attendance_and_stock"
branch_labels: str | None = None
depends_on: str | None = None

COSINE = "biometrics USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)"
L2 = "biometrics USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64)"
IVFFLAT = "biometrics USING ivfflat (embedding vector_cosine_ops) WITH (lists = 100)"

# Parallel HNSW builds of pgvector 0.6.0 to 0.8.1 can write past their memory.
SAFE_IN_PARALLEL = (0, 8, 2)


def upgrade() -> None:
    """Build both while the table is in use; a run that was cut short is gone on with."""
    with op.get_context().autocommit_block():
        serial = not parallel_builds_are_safe()
        if serial:
            op.execute("SET max_parallel_maintenance_workers = 0")
        replace_index_concurrently("idx_biometrics_embedding", method="hnsw", on=COSINE)
        build_index_concurrently("idx_biometrics_embedding_l2", on=L2)
        if serial:
            op.execute("RESET max_parallel_maintenance_workers")


def downgrade() -> None:
    """Bring IVFFlat back, without blocking anyone either."""
    with op.get_context().autocommit_block():
        drop_index_concurrently("idx_biometrics_embedding_l2")
        replace_index_concurrently("idx_biometrics_embedding", method="ivfflat", on=IVFFLAT)


def parallel_builds_are_safe() -> bool:
    """Ask for pgvector's version; offline nobody can be asked, and the careful answer is no."""
    if op.get_context().as_sql:
        return False
    query = sa.text("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'vector'")
    version = str(op.get_bind().execute(query).scalar_one())
    return tuple(int(part) for part in version.split(".")) >= SAFE_IN_PARALLEL
