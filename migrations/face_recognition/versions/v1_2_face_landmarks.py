"""Schema 1.2: landmarks of a face, searchable.

Revision ID: v1_2_face_landmarks
Revises: v1_1_user_authentication
Create Date: 2025-12-04 15:10:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgsteward_ops import build_index_concurrently, drop_index_concurrently
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "v1_2_face_landmarks"
down_revision: str | None = "v1_1_user_authentication"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the column, then index it while faces go on being stored; may be run again after a break in between."""
    op.add_column("face_embeddings", sa.Column("landmarks", JSONB()), if_not_exists=True)
    with op.get_context().autocommit_block():
        build_index_concurrently("idx_face_embeddings_landmarks", on="face_embeddings USING gin (landmarks)")


def downgrade() -> None:
    """Drop the index without blocking anyone, then the column."""
    with op.get_context().autocommit_block():
        drop_index_concurrently("idx_face_embeddings_landmarks")
    op.drop_column("face_embeddings", "landmarks")
