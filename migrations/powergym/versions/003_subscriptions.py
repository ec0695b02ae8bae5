"""Plans, the clients' subscriptions to them, and payments.

Revision ID: 003_subscriptions
Revises: 002_biometrics
Create Date: 2025-02-10 14:05:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM

revision: str = "003_subscriptions"
down_revision: str | None = "002_biometrics"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the three tables in the order of their keys."""
    op.execute(
        "CREATE TYPE subscription_status_enum AS ENUM ('active', 'expired', 'pending_payment', 'scheduled', 'canceled')"
    )
    op.execute("CREATE TYPE payment_method_enum AS ENUM ('cash', 'qr')")

    op.create_table(
        "plans",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String()),
        sa.Column("price", sa.Numeric(12, 2), nullable=False),
        sa.Column("duration_days", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="plans_pkey"),
        sa.UniqueConstraint("name", name="plans_name_key"),
        sa.CheckConstraint("price >= 0", name="plans_price_check"),
        sa.CheckConstraint("duration_days > 0", name="plans_duration_days_check"),
    )

    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("client_id", sa.Uuid()),
        sa.Column("plan_id", sa.Uuid()),
        sa.Column("start_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=False),
        sa.Column("status", ENUM(name="subscription_status_enum", create_type=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id", name="subscriptions_pkey"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="subscriptions_client_id_fkey"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="subscriptions_plan_id_fkey"),
    )
    op.create_index("idx_subscriptions_client", "subscriptions", ["client_id"])
    op.create_index("idx_subscriptions_status", "subscriptions", ["status"])
    op.create_index("idx_subscriptions_dates", "subscriptions", ["start_date", "end_date"])

    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(12, 2), nullable=False),
        sa.Column("method", ENUM(name="payment_method_enum", create_type=False), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("received_by", sa.String()),
        sa.PrimaryKeyConstraint("id", name="payments_pkey"),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name="payments_subscription_id_fkey"),
        sa.ForeignKeyConstraint(["received_by"], ["users.username"], name="payments_received_by_fkey"),
        sa.CheckConstraint("amount > 0", name="payments_amount_check"),
    )
    op.create_index("idx_payments_subscription", "payments", ["subscription_id"])
    op.create_index("idx_payments_date", "payments", ["paid_at"])


def downgrade() -> None:
    """Drop in the opposite order."""
    op.drop_table("payments")
    op.drop_table("subscriptions")
    op.drop_table("plans")
    op.execute("DROP TYPE payment_method_enum")
    op.execute("DROP TYPE subscription_status_enum")
