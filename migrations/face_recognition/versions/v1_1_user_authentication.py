"""Schema 1.1: accounts, and who entered a person.

Revision ID: v1_1_user_authentication
Revises: v1_0_initial_schema
Create Date: 2025-11-20 10:30:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "v1_1_user_authentication"
down_revision: str | None = "v1_0_initial_schema"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create users; persons entered before have none."""
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(255), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime(), server_default=sa.text("CURRENT_TIMESTAMP")),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("username", name="users_username_key"),
    )
    op.add_column("persons", sa.Column("user_id", sa.Integer()))
    op.create_foreign_key("persons_user_id_fkey", "persons", "users", ["user_id"], ["id"])


def downgrade() -> None:
    """Forget who entered whom, and the accounts."""
    op.drop_column("persons", "user_id")
    op.drop_table("users")
