"""Foreign keys, indexes, and the tables of validation and export jobs.

The tables hold millions of rows in the field and are in use meanwhile. So no step holds a lock for longer than a
moment: keys come NOT VALID and are validated afterwards, indexes are built concurrently. That cannot be one
transaction. Each step is skipped when it was already done, so a run that broke off is simply repeated.

Revision ID: 001
Revises: 000
Create Date: 2024-11-14 12:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgsteward_ops import (
    Key,
    add_key_not_valid,
    build_index_concurrently,
    drop_index_concurrently,
    drop_key,
    refuse_orphans,
    validate_key,
)
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "001"
down_revision: str | None = "000"
branch_labels: str | None = None
depends_on: str | None = None

NOW = sa.text("now()")

KEYS = (
    Key("projects", "user_id", "profiles"),
    Key("crawl_jobs", "project_id", "projects"),
    Key("images", "crawl_job_id", "crawl_jobs"),
    Key("activity_logs", "user_id", "profiles"),
)

INDEXES = {
    "ix_profiles_email": "profiles USING btree (email)",
    "ix_project_user_id": "projects USING btree (user_id)",
    "ix_crawl_job_project_id": "crawl_jobs USING btree (project_id)",
    "ix_crawl_job_status": "crawl_jobs USING btree (status)",
    "ix_crawl_job_project_status": "crawl_jobs USING btree (project_id, status)",
    "ix_image_crawl_job_id": "images USING btree (crawl_job_id)",
    "ix_activity_log_user_id": "activity_logs USING btree (user_id)",
    "ix_activity_log_timestamp": 'activity_logs USING btree ("timestamp")',
}


def upgrade() -> None:
    """Stop at orphan rows before anything changes; then tables and keys; then what may take its time."""
    refuse_orphans(KEYS)
    create_validation_jobs()
    create_export_jobs()
    for key in KEYS:
        add_key_not_valid(key)
    with op.get_context().autocommit_block():
        for name, on in INDEXES.items():
            build_index_concurrently(name, on)
        for key in KEYS:
            validate_key(key)


def create_validation_jobs() -> None:
    """Create the table with its key and indexes: it is empty, so they cost nothing."""
    op.create_table(
        "validation_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("crawl_job_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("status", sa.String(20), server_default="pending", nullable=False),
        sa.Column("progress", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_images", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("invalid_images", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rules", JSONB()),
        sa.Column("error_message", sa.Text()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="validation_jobs_pkey"),
        sa.ForeignKeyConstraint(["crawl_job_id"], ["crawl_jobs.id"], name="validation_jobs_crawl_job_id_fkey"),
        if_not_exists=True,
    )
    op.create_index("ix_validation_job_status", "validation_jobs", ["status"], if_not_exists=True)
    op.create_index("ix_validation_job_crawl_job_id", "validation_jobs", ["crawl_job_id"], if_not_exists=True)


def create_export_jobs() -> None:
    """Create the table with its keys and indexes."""
    op.create_table(
        "export_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("crawl_job_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("status", sa.String(20), server_default="pending", nullable=False),
        sa.Column("progress", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("format", sa.String(20), nullable=False),
        sa.Column("file_size", sa.BigInteger()),
        sa.Column("download_url", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="export_jobs_pkey"),
        sa.ForeignKeyConstraint(["crawl_job_id"], ["crawl_jobs.id"], name="export_jobs_crawl_job_id_fkey"),
        sa.ForeignKeyConstraint(["user_id"], ["profiles.id"], name="export_jobs_user_id_fkey"),
        if_not_exists=True,
    )
    op.create_index("ix_export_job_status", "export_jobs", ["status"], if_not_exists=True)
    op.create_index("ix_export_job_user_id", "export_jobs", ["user_id"], if_not_exists=True)
    op.create_index("ix_export_job_crawl_job_id", "export_jobs", ["crawl_job_id"], if_not_exists=True)


def downgrade() -> None:
    """Drop the indexes without blocking anyone, then keys and tables in one transaction."""
    with op.get_context().autocommit_block():
        for name in INDEXES:
            drop_index_concurrently(name)
    for key in KEYS:
        drop_key(key)
    op.drop_table("export_jobs")
    op.drop_table("validation_jobs")
