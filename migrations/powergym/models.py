"""The schema of PowerGym at the head of its history.

Columns that the guide prints are as the guide prints them, nullable ones included. Where it is silent (plans, payments,
attendances, products, inventory_movements) columns are NOT NULL unless a missing value has a meaning.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from pgsteward_models import POSTGRESQL_NAMES, enum_type
from pgsteward_types import Vector
from sqlalchemy import DDL, CheckConstraint, DateTime, ForeignKey, Index, MetaData, Numeric, String, event, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("now()")
NEW_UUID = text("gen_random_uuid()")
TRUE = text("true")
FALSE = text("false")


class Base(DeclarativeBase):
    """Common base; its metadata is what `alembic check` compares with."""

    metadata = MetaData(naming_convention=POSTGRESQL_NAMES)
    type_annotation_map = {datetime: DateTime(timezone=True), Decimal: Numeric(12, 2), str: String()}


class UserRole(enum.Enum):
    """What an account of the staff may do."""

    ADMIN = "admin"
    EMPLOYEE = "employee"


class DocumentType(enum.Enum):
    """Identity documents: citizen's card, minor's card, foreigner's card, passport."""

    CC = "CC"
    TI = "TI"
    CE = "CE"
    PP = "PP"


class GenderType(enum.Enum):
    """As the client states it."""

    MALE = "male"
    FEMALE = "female"
    OTHER = "other"


class BiometricType(enum.Enum):
    """What was captured."""

    FACE = "FACE"
    FINGERPRINT = "FINGERPRINT"


class SubscriptionStatus(enum.Enum):
    """Where a subscription stands."""

    ACTIVE = "active"
    EXPIRED = "expired"
    PENDING_PAYMENT = "pending_payment"
    SCHEDULED = "scheduled"
    CANCELED = "canceled"


class PaymentMethod(enum.Enum):
    """How it was paid."""

    CASH = "cash"
    QR = "qr"


class StockStatus(enum.Enum):
    """How much of a product is left, against its limits."""

    NORMAL = "NORMAL"
    LOW_STOCK = "LOW_STOCK"
    STOCK_OUT = "STOCK_OUT"
    OVERSTOCK = "OVERSTOCK"


class User(Base):
    """An account of the staff."""

    __tablename__ = "users"
    __table_args__ = (Index("idx_users_email", "email"), Index("idx_users_username", "username"))

    username: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    full_name: Mapped[str | None]
    hashed_password: Mapped[str]
    role: Mapped[UserRole] = mapped_column(enum_type(UserRole, "user_role_enum"), server_default=text("'employee'"))
    disabled: Mapped[bool | None] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime | None] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime | None] = mapped_column(server_default=NOW, onupdate=NOW)


class Client(Base):
    """A member of the gym."""

    __tablename__ = "clients"
    __table_args__ = (Index("idx_clients_dni", "dni_number"), Index("idx_clients_active", "is_active"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    dni_type: Mapped[DocumentType] = mapped_column(enum_type(DocumentType, "document_type_enum"))
    dni_number: Mapped[str] = mapped_column(unique=True)
    first_name: Mapped[str]
    last_name: Mapped[str]
    phone: Mapped[str | None]
    birth_date: Mapped[date | None]
    gender: Mapped[GenderType | None] = mapped_column(enum_type(GenderType, "gender_type_enum"))
    is_active: Mapped[bool | None] = mapped_column(server_default=TRUE)
    created_at: Mapped[datetime | None] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime | None] = mapped_column(server_default=NOW, onupdate=NOW)


class Biometric(Base):
    """What a client is recognised by; two HNSW indexes, since each serves one kind of distance only."""

    __tablename__ = "biometrics"
    __table_args__ = (
        Index(
            "idx_biometrics_embedding",
            "embedding",
            postgresql_using="hnsw",
            postgresql_ops={"embedding": "vector_cosine_ops"},
            postgresql_with={"m": 16, "ef_construction": 64},
        ),
        Index(
            "idx_biometrics_embedding_l2",
            "embedding",
            postgresql_using="hnsw",
            postgresql_ops={"embedding": "vector_l2_ops"},
            postgresql_with={"m": 16, "ef_construction": 64},
        ),
        Index("idx_biometrics_client", "client_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id"))
    type: Mapped[BiometricType] = mapped_column(enum_type(BiometricType, "biometric_type_enum"))
    embedding: Mapped[Sequence[float] | None] = mapped_column(Vector(512))
    thumbnail_encrypted: Mapped[bytes | None]
    is_active: Mapped[bool | None] = mapped_column(server_default=TRUE)
    created_at: Mapped[datetime | None] = mapped_column(server_default=NOW)


class Plan(Base):
    """What the gym sells: a price for a number of days."""

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("price >= 0", name="plans_price_check"),
        CheckConstraint("duration_days > 0", name="plans_duration_days_check"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    price: Mapped[Decimal]
    duration_days: Mapped[int]
    is_active: Mapped[bool] = mapped_column(server_default=TRUE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class Subscription(Base):
    """A client's plan from one day to another."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("idx_subscriptions_client", "client_id"),
        Index("idx_subscriptions_status", "status"),
        Index("idx_subscriptions_dates", "start_date", "end_date"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id"))
    plan_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("plans.id"))
    start_date: Mapped[date]
    end_date: Mapped[date]
    status: Mapped[SubscriptionStatus] = mapped_column(enum_type(SubscriptionStatus, "subscription_status_enum"))
    created_at: Mapped[datetime | None] = mapped_column(server_default=NOW)


class Payment(Base):
    """Money received for a subscription."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount > 0", name="payments_amount_check"),
        Index("idx_payments_subscription", "subscription_id"),
        Index("idx_payments_date", "paid_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    subscription_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("subscriptions.id"))
    amount: Mapped[Decimal]
    method: Mapped[PaymentMethod] = mapped_column(enum_type(PaymentMethod, "payment_method_enum"))
    paid_at: Mapped[datetime] = mapped_column(server_default=NOW)
    received_by: Mapped[str | None] = mapped_column(ForeignKey("users.username"))


class Attendance(Base):
    """A client came in."""

    __tablename__ = "attendances"
    __table_args__ = (Index("idx_attendances_client", "client_id"), Index("idx_attendances_date", "entry_time"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id"))
    entry_time: Mapped[datetime] = mapped_column(server_default=NOW)


class Product(Base):
    """Something on the shelf, with the limits that its stock status is judged by."""

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("price >= 0", name="products_price_check"),
        CheckConstraint("quantity >= 0", name="products_quantity_check"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    price: Mapped[Decimal]
    quantity: Mapped[int] = mapped_column(server_default=text("0"))
    minimum_quantity: Mapped[int] = mapped_column(server_default=text("0"))
    maximum_quantity: Mapped[int | None]
    stock_status: Mapped[StockStatus] = mapped_column(
        enum_type(StockStatus, "stock_status_enum"), server_default=text("'STOCK_OUT'")
    )
    is_active: Mapped[bool] = mapped_column(server_default=TRUE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class InventoryMovement(Base):
    """A change of a product's quantity: positive when goods come in, negative when they go out."""

    __tablename__ = "inventory_movements"
    __table_args__ = (
        CheckConstraint("quantity <> 0", name="inventory_movements_quantity_check"),
        Index("idx_inventory_movements_product", "product_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    product_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("products.id"))
    quantity: Mapped[int]
    reason: Mapped[str | None]
    recorded_by: Mapped[str | None] = mapped_column(ForeignKey("users.username"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


# The history makes the extension in 002_biometrics; a schema made from the models alone needs it just as much.
event.listen(Base.metadata, "before_create", DDL("CREATE EXTENSION IF NOT EXISTS vector"))  # type: ignore[no-untyped-call]
