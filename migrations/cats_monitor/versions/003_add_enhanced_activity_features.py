"""Activities: what the cat was doing.

Revision ID: 003_activity_features
Revises: 002_cat_recognition
Create Date: 2025-07-19 20:15:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "003_activity_features"
down_revision: str | None = "002_cat_recognition"
branch_labels: str | None = None
depends_on: str | None = None

NOW = sa.text("now()")


def upgrade() -> None:
    """Create activities and the models that name them."""
    op.create_table(
        "activity_features",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("detection_result_id", sa.Integer(), nullable=False),
        sa.Column("cat_profile_id", sa.Integer()),
        sa.Column("activity_type", sa.String(50), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("pose_features", JSONB()),
        sa.Column("movement_features", JSONB()),
        sa.Column("timestamp", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="activity_features_pkey"),
        sa.ForeignKeyConstraint(
            ["detection_result_id"],
            ["detection_results.id"],
            name="activity_features_detection_result_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["cat_profile_id"], ["cat_profiles.id"], name="activity_features_cat_profile_id_fkey", ondelete="SET NULL"
        ),
    )
    op.create_index("idx_activity_features_detection", "activity_features", ["detection_result_id"])
    op.create_index("idx_activity_features_cat", "activity_features", ["cat_profile_id"])
    op.create_index("idx_activity_features_activity", "activity_features", ["activity_type", "timestamp"])

    op.create_table(
        "activity_models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cat_profile_id", sa.Integer()),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("model_path", sa.Text(), nullable=False),
        sa.Column("metrics", JSONB()),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="activity_models_pkey"),
        sa.ForeignKeyConstraint(
            ["cat_profile_id"], ["cat_profiles.id"], name="activity_models_cat_profile_id_fkey", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("version", name="activity_models_version_key"),
    )


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("activity_models")
    op.drop_table("activity_features")
