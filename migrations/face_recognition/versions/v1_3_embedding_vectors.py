"""Embeddings as vectors beside the packed ones.

The column starts empty, and without an index: the application unpacks the bytea, whose layout it alone knows, and an
index for vectors is best built when they are there.

Revision ID: v1_3_embedding_vectors
Revises: v1_2_face_landmarks
Create Date: 2026-01-12 13:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgsteward_types import Vector

revision: str = "v1_3_embedding_vectors"
down_revision: str | None = "v1_2_face_landmarks"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the extension where it is missing, then the column, which takes no rewrite of the table."""
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.add_column("face_embeddings", sa.Column("embedding_vec", Vector(512)))


def downgrade() -> None:
    """Drop the column; the extension stays, since it may have been there before and others may use it."""
    op.drop_column("face_embeddings", "embedding_vec")
