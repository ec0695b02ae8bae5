"""Indexes for what the pages look up.

Revision ID: 002_lookup_indexes
Revises: 001_initial_schema
Create Date: 2023-12-05 16:40:00
"""

from __future__ import annotations

from alembic import op
from pgsteward_ops import build_index_concurrently, drop_index_concurrently

revision: str = "002_lookup_indexes"
down_revision: str | None = "001_initial_schema"
branch_labels: str | None = None
depends_on: str | None = None

INDEXES = {
    "ix_projects_name": "projects USING btree (name)",
    "idx_projects_meta_group": "projects USING btree (meta_group_id)",
    "idx_images_project": "data_instances USING btree (project_id)",
    "idx_images_deleted": "data_instances USING btree (deleted_at) WHERE deleted_at IS NULL",
    "idx_classifications_image": "image_classifications USING btree (image_id)",
    "idx_comments_image": "image_comments USING btree (image_id)",
}


def upgrade() -> None:
    """Build them while people work; a repeated run goes on with what is missing or was cut short."""
    with op.get_context().autocommit_block():
        for name, on in INDEXES.items():
            build_index_concurrently(name, on)


def downgrade() -> None:
    """Drop them, blocking nobody."""
    with op.get_context().autocommit_block():
        for name in INDEXES:
            drop_index_concurrently(name)
