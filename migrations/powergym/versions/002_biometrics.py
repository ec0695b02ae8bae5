"""Biometrics with face embeddings and the IVFFlat index of the guide.

Revision ID: 002_biometrics
Revises: 001_core
Create Date: 2025-01-22 09:30:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgsteward_types import Vector
from sqlalchemy.dialects.postgresql import ENUM

revision: str = "002_biometrics"
down_revision: str | None = "001_core"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the extension where it is missing, then the table.

    The account that migrates need not be allowed to create extensions: where vector is already there, IF NOT EXISTS
    asks for no right at all.
    """
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.execute("CREATE TYPE biometric_type_enum AS ENUM ('FACE', 'FINGERPRINT')")

    op.create_table(
        "biometrics",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("client_id", sa.Uuid()),
        sa.Column("type", ENUM(name="biometric_type_enum", create_type=False), nullable=False),
        sa.Column("embedding", Vector(512)),
        sa.Column("thumbnail_encrypted", sa.LargeBinary()),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true")),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id", name="biometrics_pkey"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="biometrics_client_id_fkey"),
    )
    op.create_index("idx_biometrics_client", "biometrics", ["client_id"])
    op.create_index(
        "idx_biometrics_embedding",
        "biometrics",
        ["embedding"],
        postgresql_using="ivfflat",
        postgresql_ops={"embedding": "vector_cosine_ops"},
        postgresql_with={"lists": 100},
    )


def downgrade() -> None:
    """Drop the table and its type.

    The extension stays: it may have been there before this history, and others may use it.
    """
    op.drop_table("biometrics")
    op.execute("DROP TYPE biometric_type_enum")
