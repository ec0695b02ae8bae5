"""Accounts of the staff, and the clients.

Revision ID: 001_core
Revises:
Create Date: 2025-01-15 10:00:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM

revision: str = "001_core"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the enum types first: both tables use them."""
    op.execute("CREATE TYPE user_role_enum AS ENUM ('admin', 'employee')")
    op.execute("CREATE TYPE document_type_enum AS ENUM ('CC', 'TI', 'CE', 'PP')")
    op.execute("CREATE TYPE gender_type_enum AS ENUM ('male', 'female', 'other')")

    op.create_table(
        "users",
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("email", sa.String()),
        sa.Column("full_name", sa.String()),
        sa.Column("hashed_password", sa.String(), nullable=False),
        sa.Column("role", ENUM(name="user_role_enum", create_type=False), server_default="employee", nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("false")),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("username", name="users_pkey"),
        sa.UniqueConstraint("email", name="users_email_key"),
    )
    op.create_index("idx_users_email", "users", ["email"])
    op.create_index("idx_users_username", "users", ["username"])

    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("dni_type", ENUM(name="document_type_enum", create_type=False), nullable=False),
        sa.Column("dni_number", sa.String(), nullable=False),
        sa.Column("first_name", sa.String(), nullable=False),
        sa.Column("last_name", sa.String(), nullable=False),
        sa.Column("phone", sa.String()),
        sa.Column("birth_date", sa.Date()),
        sa.Column("gender", ENUM(name="gender_type_enum", create_type=False)),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true")),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id", name="clients_pkey"),
        sa.UniqueConstraint("dni_number", name="clients_dni_number_key"),
    )
    op.create_index("idx_clients_dni", "clients", ["dni_number"])
    op.create_index("idx_clients_active", "clients", ["is_active"])


def downgrade() -> None:
    """Drop the tables, then the types that nothing uses any more."""
    op.drop_table("clients")
    op.drop_table("users")
    op.execute("DROP TYPE gender_type_enum")
    op.execute("DROP TYPE document_type_enum")
    op.execute("DROP TYPE user_role_enum")
