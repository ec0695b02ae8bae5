"""Recognition: which cat it was.

Revision ID: 002_cat_recognition
Revises: 001_initial_schema
Create Date: 2025-07-08 18:30:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "002_cat_recognition"
down_revision: str | None = "001_initial_schema"
branch_labels: str | None = None
depends_on: str | None = None

NOW = sa.text("now()")


def upgrade() -> None:
    """Create features and models, and say in detection_results who was recognised, how and how surely."""
    op.create_table(
        "cat_features",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cat_profile_id", sa.Integer(), nullable=False),
        sa.Column("detection_result_id", sa.Integer()),
        sa.Column("feature_vector", JSONB(), nullable=False),
        sa.Column("extraction_method", sa.String(50), nullable=False),
        sa.Column("quality", sa.Float()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="cat_features_pkey"),
        sa.ForeignKeyConstraint(
            ["cat_profile_id"], ["cat_profiles.id"], name="cat_features_cat_profile_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["detection_result_id"],
            ["detection_results.id"],
            name="cat_features_detection_result_id_fkey",
            ondelete="SET NULL",
        ),
    )
    op.create_index("idx_cat_features_profile", "cat_features", ["cat_profile_id"])
    op.create_index("idx_cat_features_detection", "cat_features", ["detection_result_id"])

    op.create_table(
        "cat_recognition_models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("model_path", sa.Text(), nullable=False),
        sa.Column("accuracy", sa.Float()),
        sa.Column("training_samples", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="cat_recognition_models_pkey"),
        sa.UniqueConstraint("version", name="cat_recognition_models_version_key"),
    )

    op.add_column("detection_results", sa.Column("cat_profile_id", sa.Integer()))
    op.add_column("detection_results", sa.Column("recognition_confidence", sa.Float()))
    op.add_column("detection_results", sa.Column("recognition_method", sa.String(50)))
    op.create_foreign_key(
        "detection_results_cat_profile_id_fkey",
        "detection_results",
        "cat_profiles",
        ["cat_profile_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index("idx_detection_results_cat", "detection_results", ["cat_profile_id"])


def downgrade() -> None:
    """Forget who was recognised; index and key go with their column."""
    op.drop_column("detection_results", "recognition_method")
    op.drop_column("detection_results", "recognition_confidence")
    op.drop_column("detection_results", "cat_profile_id")
    op.drop_table("cat_recognition_models")
    op.drop_table("cat_features")
