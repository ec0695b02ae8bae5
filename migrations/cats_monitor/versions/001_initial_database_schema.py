"""Feedback, cat profiles and detection results.

Revision ID: 001_initial_schema
Revises:
Create Date: 2025-07-01 10:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "001_initial_schema"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

NOW = sa.text("now()")
EMPTY_LIST = sa.text("'[]'::jsonb")


def upgrade() -> None:
    """Create the basic tables, as databases made by init.sql have them."""
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("feedback_id", sa.String(36), nullable=False),
        sa.Column("image_filename", sa.String(255), nullable=False),
        sa.Column("image_path", sa.Text()),
        sa.Column("original_detections", JSONB(), server_default=EMPTY_LIST, nullable=False),
        sa.Column("user_annotations", JSONB(), server_default=EMPTY_LIST, nullable=False),
        sa.Column("feedback_type", sa.String(50), nullable=False),
        sa.Column("notes", sa.Text()),
        sa.Column("timestamp", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="feedback_pkey"),
        sa.UniqueConstraint("feedback_id", name="feedback_feedback_id_key"),
    )
    op.create_index("idx_feedback_timestamp", "feedback", ["timestamp"])

    op.create_table(
        "cat_profiles",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("color", sa.String(100)),
        sa.Column("breed", sa.String(100)),
        sa.Column("bounding_box_color", sa.String(7), server_default="#FFA500", nullable=False),
        sa.Column("total_detections", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="cat_profiles_pkey"),
        sa.UniqueConstraint("name", name="cat_profiles_name_key"),
    )

    op.create_table(
        "detection_results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_name", sa.String(255), nullable=False),
        sa.Column("image_filename", sa.String(255)),
        sa.Column("cat_detected", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("cats_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("confidence", sa.Float()),
        sa.Column("detections", JSONB(), server_default=EMPTY_LIST, nullable=False),
        sa.Column("activities", JSONB(), server_default=EMPTY_LIST, nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="detection_results_pkey"),
    )
    op.create_index("idx_detection_results_timestamp", "detection_results", ["timestamp"])
    op.create_index("idx_detection_results_source", "detection_results", ["source_name"])


def downgrade() -> None:
    """Drop the tables; nothing refers to any of them at this level."""
    op.drop_table("detection_results")
    op.drop_table("cat_profiles")
    op.drop_table("feedback")
