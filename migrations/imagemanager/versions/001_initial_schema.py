"""Users, projects, images, their classes and comments.

Revision ID: 001_initial_schema
Revises:
Create Date: 2023-09-18 09:00:00
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
NEW_UUID = sa.text("gen_random_uuid()")


def upgrade() -> None:
    """Create the tables in the order of their keys."""
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("username", sa.String(255)),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("email", name="users_email_key"),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("meta_group_id", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="projects_pkey"),
    )
    create_images()
    create_classes()
    op.create_table(
        "image_comments",
        sa.Column("id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="image_comments_pkey"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["data_instances.id"], name="image_comments_image_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name="image_comments_author_id_fkey"),
    )
    op.create_table(
        "project_metadata",
        sa.Column("id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("value", JSONB()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="project_metadata_pkey"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="project_metadata_project_id_fkey", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("project_id", "key", name="project_metadata_project_id_key_key"),
    )


def create_images() -> None:
    """Create the table of images, which lie in the object store."""
    op.create_table(
        "data_instances",
        sa.Column("id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("object_storage_key", sa.String(1024), nullable=False),
        sa.Column("content_type", sa.String(100)),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("uploaded_by", sa.Uuid()),
        sa.Column("deletion_reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="data_instances_pkey"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="data_instances_project_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["uploaded_by"], ["users.id"], name="data_instances_uploaded_by_fkey", ondelete="SET NULL"
        ),
        sa.UniqueConstraint("object_storage_key", name="data_instances_object_storage_key_key"),
    )


def create_classes() -> None:
    """Create the labels, and what was labelled with them."""
    op.create_table(
        "image_classes",
        sa.Column("id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="image_classes_pkey"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="image_classes_project_id_fkey", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("project_id", "name", name="image_classes_project_id_name_key"),
    )
    op.create_table(
        "image_classifications",
        sa.Column("id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("class_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="image_classifications_pkey"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["data_instances.id"], name="image_classifications_image_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["class_id"], ["image_classes.id"], name="image_classifications_class_id_fkey", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="image_classifications_created_by_fkey"),
        sa.UniqueConstraint(
            "image_id", "class_id", "created_by", name="image_classifications_image_id_class_id_created_by_key"
        ),
    )


def downgrade() -> None:
    """Drop in the opposite order."""
    op.drop_table("project_metadata")
    op.drop_table("image_comments")
    op.drop_table("image_classifications")
    op.drop_table("image_classes")
    op.drop_table("data_instances")
    op.drop_table("projects")
    op.drop_table("users")
