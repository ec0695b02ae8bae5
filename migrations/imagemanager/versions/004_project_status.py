"""A status for projects.

Revision ID: 004_project_status
Revises: 003_api_keys
Create Date: 2024-06-10 08:20:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "004_project_status"
down_revision: str | None = "003_api_keys"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the column nullable, fill it, forbid NULL.

    All in one transaction: no project can slip in without a status between the second step and the third.
    """
    op.add_column("projects", sa.Column("status", sa.String(50), nullable=True))
    op.execute("UPDATE projects SET status = 'active' WHERE status IS NULL")
    op.alter_column("projects", "status", nullable=False)


def downgrade() -> None:
    """Drop the column and with it what was set."""
    op.drop_column("projects", "status")
