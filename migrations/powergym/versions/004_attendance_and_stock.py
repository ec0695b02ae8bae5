"""Attendances, products and the movements of their stock.

Revision ID: 004_attendance_and_stock
Revises: 003_subscriptions
Create Date: 2025-03-03 08:45:00
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM

revision: str = "004_attendance_and_stock"
down_revision: str | None = "003_subscriptions"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the tables of the front desk."""
    op.execute("CREATE TYPE stock_status_enum AS ENUM ('NORMAL', 'LOW_STOCK', 'STOCK_OUT', 'OVERSTOCK')")

    op.create_table(
        "attendances",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("entry_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="attendances_pkey"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="attendances_client_id_fkey"),
    )
    op.create_index("idx_attendances_client", "attendances", ["client_id"])
    op.create_index("idx_attendances_date", "attendances", ["entry_time"])

    op.create_table(
        "products",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String()),
        sa.Column("price", sa.Numeric(12, 2), nullable=False),
        sa.Column("quantity", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("minimum_quantity", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("maximum_quantity", sa.Integer()),
        sa.Column(
            "stock_status",
            ENUM(name="stock_status_enum", create_type=False),
            server_default="STOCK_OUT",
            nullable=False,
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="products_pkey"),
        sa.UniqueConstraint("name", name="products_name_key"),
        sa.CheckConstraint("price >= 0", name="products_price_check"),
        sa.CheckConstraint("quantity >= 0", name="products_quantity_check"),
    )

    op.create_table(
        "inventory_movements",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("recorded_by", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="inventory_movements_pkey"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="inventory_movements_product_id_fkey"),
        sa.ForeignKeyConstraint(["recorded_by"], ["users.username"], name="inventory_movements_recorded_by_fkey"),
        sa.CheckConstraint("quantity <> 0", name="inventory_movements_quantity_check"),
    )
    op.create_index("idx_inventory_movements_product", "inventory_movements", ["product_id"])


def downgrade() -> None:
    """Drop in the opposite order."""
    op.drop_table("inventory_movements")
    op.drop_table("products")
    op.drop_table("attendances")
    op.execute("DROP TYPE stock_status_enum")
