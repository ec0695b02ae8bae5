"""The powergym schema as the catalog has it."""

from __future__ import annotations

import lab
import pytest

INDEXES = {
    "idx_users_email": "btree (email)",
    "idx_users_username": "btree (username)",
    "idx_clients_dni": "btree (dni_number)",
    "idx_clients_active": "btree (is_active)",
    "idx_subscriptions_client": "btree (client_id)",
    "idx_subscriptions_status": "btree (status)",
    "idx_subscriptions_dates": "btree (start_date, end_date)",
    "idx_attendances_client": "btree (client_id)",
    "idx_attendances_date": "btree (entry_time)",
    "idx_biometrics_embedding": "hnsw (embedding vector_cosine_ops)",
}

ENUMS = {
    "user_role_enum": "admin,employee",
    "document_type_enum": "CC,TI,CE,PP",
    "gender_type_enum": "male,female,other",
    "biometric_type_enum": "FACE,FINGERPRINT",
    "subscription_status_enum": "active,expired,pending_payment,scheduled,canceled",
    "payment_method_enum": "cash,qr",
    "stock_status_enum": "NORMAL,LOW_STOCK,STOCK_OUT,OVERSTOCK",
}


def test_tables(server: str) -> None:
    tables = {
        name for (name,) in lab.psql("powergym", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", server)
    }
    assert tables == {
        *("users", "clients", "biometrics", "plans", "subscriptions", "payments", "attendances"),
        *("products", "inventory_movements", "alembic_version"),
    }


@pytest.mark.parametrize(("name", "columns"), INDEXES.items())
def test_index(server: str, name: str, columns: str) -> None:
    ((definition, valid),) = lab.psql(
        "powergym",
        f"SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index WHERE indexrelid = '{name}'::regclass",
        server,
    )
    assert columns in definition
    assert valid == "t"


@pytest.mark.parametrize(("name", "labels"), ENUMS.items())
def test_enum(server: str, name: str, labels: str) -> None:
    query = f"SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = '{name}'::regtype"
    assert lab.psql("powergym", query, server) == [[labels]]


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        ("biometrics", "embedding", "vector(512)"),
        ("biometrics", "thumbnail_encrypted", "bytea"),
        ("clients", "id", "uuid"),
        ("clients", "created_at", "timestamp with time zone"),
        ("users", "role", "user_role_enum"),
        ("subscriptions", "start_date", "date"),
    ],
)
def test_column(server: str, table: str, column: str, kind: str) -> None:
    query = f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{column}'"
    assert lab.psql("powergym", query, server) == [[kind]]


def test_version_table_is_at_the_head(server: str) -> None:
    assert lab.psql("powergym", "SELECT version_num FROM alembic_version", server) == [["005_hnsw"]]
