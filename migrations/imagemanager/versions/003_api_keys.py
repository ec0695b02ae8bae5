"""Keys for programs.

Revision ID: 003_api_keys
Revises: 002_lookup_indexes
Create Date: 2024-03-21 11:15:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "003_api_keys"
down_revision: str | None = "002_lookup_indexes"
branch_labels: str | None = None
depends_on: str | None = None

NOW = sa.text("now()")


def upgrade() -> None:
    """Create the table; 64 characters hold a SHA-256 in hexadecimal."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="api_keys_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="api_keys_user_id_fkey", ondelete="CASCADE"),
        sa.UniqueConstraint("key_hash", name="api_keys_key_hash_key"),
    )
    op.create_index("idx_api_keys_user", "api_keys", ["user_id"])


def downgrade() -> None:
    """Drop the table; programs are locked out."""
    op.drop_table("api_keys")
