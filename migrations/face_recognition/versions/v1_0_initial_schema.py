"""Schema 1.0: persons, embeddings, results, datasets and jobs.

Revision ID: v1_0_initial_schema
Revises:
Create Date: 2025-11-13 09:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "v1_0_initial_schema"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

NOW = sa.text("CURRENT_TIMESTAMP")


def upgrade() -> None:
    """Create what the SQLite files held, under the same names."""
    op.create_table(
        "persons",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("created_at", sa.DateTime(), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(), server_default=NOW, nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="persons_pkey"),
    )
    op.create_index("idx_persons_name", "persons", ["name"])

    op.create_table(
        "face_embeddings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.Column("model_name", sa.String(100), nullable=False),
        sa.Column("image_path", sa.String(500)),
        sa.Column("quality", sa.Float()),
        sa.Column("created_at", sa.DateTime(), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="face_embeddings_pkey"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["persons.id"], name="face_embeddings_person_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("idx_face_embeddings_person_id", "face_embeddings", ["person_id"])

    op.create_table(
        "recognition_results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer()),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("recognized_at", sa.DateTime(), server_default=NOW, nullable=False),
        sa.Column("source", sa.String(100)),
        sa.Column("image_path", sa.String(500)),
        sa.PrimaryKeyConstraint("id", name="recognition_results_pkey"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["persons.id"], name="recognition_results_person_id_fkey", ondelete="SET NULL"
        ),
    )
    op.create_index("idx_recognition_results_person_id", "recognition_results", ["person_id"])
    op.create_index("idx_recognition_results_timestamp", "recognition_results", ["recognized_at"])

    op.create_table(
        "datasets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("path", sa.String(500), nullable=False),
        sa.Column("image_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="datasets_pkey"),
        sa.UniqueConstraint("name", name="datasets_name_key"),
    )

    op.create_table(
        "processing_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer()),
        sa.Column("job_type", sa.String(50), nullable=False),
        sa.Column("status", sa.String(20), server_default="pending", nullable=False),
        sa.Column("total_items", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("processed_items", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error_message", sa.Text()),
        sa.Column("created_at", sa.DateTime(), server_default=NOW, nullable=False),
        sa.Column("started_at", sa.DateTime()),
        sa.Column("finished_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("id", name="processing_jobs_pkey"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="processing_jobs_dataset_id_fkey", ondelete="SET NULL"
        ),
    )


def downgrade() -> None:
    """Drop in the opposite order; the sequences go with their tables."""
    op.drop_table("processing_jobs")
    op.drop_table("datasets")
    op.drop_table("recognition_results")
    op.drop_table("face_embeddings")
    op.drop_table("persons")
