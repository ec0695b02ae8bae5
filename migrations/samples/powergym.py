"""Sample data for PowerGym: one face, a subscription or two, payments and visits for each client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

from .draw import AS_OF, SEED, Draw
from .loading import analyze, copy_rows, vector_indexes_built_afterwards

# The two searches of the guide; q is a vector, in pgvector's text form or as an adapted type.
SEARCH_COSINE = (
    "SELECT client_id, 1 - (embedding <=> %(q)s) AS similarity FROM biometrics"
    " WHERE embedding <=> %(q)s < 0.4 ORDER BY embedding <=> %(q)s LIMIT 1"
)
SEARCH_L2 = "SELECT client_id, embedding <-> %(q)s AS distance FROM biometrics ORDER BY embedding <-> %(q)s LIMIT 10"

STAFF = (
    ("lcardenas", "Lucía Cárdenas", "admin"),
    ("jmora", "Julián Mora", "employee"),
    ("sprieto", "Sara Prieto", "employee"),
)
PLANS = (
    ("Day pass", "One visit", Decimal("12000.00"), 1),
    ("Monthly", "All opening hours", Decimal("85000.00"), 30),
    ("Quarterly", "All opening hours, three months", Decimal("230000.00"), 90),
    ("Yearly", "All opening hours, with one assessment", Decimal("840000.00"), 365),
)
PRODUCTS = (
    ("Water 600 ml", Decimal("3000.00"), 24, 96),
    ("Isotonic drink", Decimal("5500.00"), 24, 96),
    ("Protein bar", Decimal("8000.00"), 20, 80),
    ("Whey protein 2 lb", Decimal("145000.00"), 4, 20),
    ("Creatine 300 g", Decimal("98000.00"), 4, 20),
    ("Shaker", Decimal("25000.00"), 6, 30),
    ("Towel", Decimal("32000.00"), 10, 40),
    ("Training gloves", Decimal("58000.00"), 5, 25),
)
FIRST_NAMES = ("Ana", "Andrés", "Camila", "Carlos", "Daniela", "Diego", "Laura", "Luis", "María", "Mateo", "Paula")
LAST_NAMES = ("Castro", "Díaz", "Gómez", "Herrera", "López", "Moreno", "Ortiz", "Pérez", "Rojas", "Ruiz", "Suárez")
DOCUMENTS = ("CC", "CC", "CC", "CC", "TI", "CE", "PP")
GENDERS = ("female", "female", "male", "male", "other", None)


@dataclass(frozen=True)
class Term:
    """One subscription of a client: which plan, from when to when, and how it stands."""

    client: int
    number: int
    plan: int
    start: date
    end: date
    status: str


def load(
    connection: psycopg.Connection[Any], clients: int, seed: int = SEED, as_of: datetime = AS_OF
) -> dict[str, int]:
    """Fill the empty tables in one transaction and return the number of rows of each.

    The first n clients and all that belongs to them are the same for every number of clients from n on.
    """
    draw = Draw(seed)
    with connection.transaction():
        rows = _load_counter(connection, draw, as_of)
        rows |= _load_clients(connection, draw, clients, as_of)
        analyze(connection, (table for table, count in rows.items() if count))
    return rows


def _load_counter(connection: psycopg.Connection[Any], draw: Draw, as_of: datetime) -> dict[str, int]:
    """Load what does not depend on the number of clients: staff, plans, products and their stock."""
    products = range(len(PRODUCTS))
    return {
        "users": copy_rows(
            connection,
            "users",
            ("username", "email", "full_name", "hashed_password", "role", "created_at", "updated_at"),
            # No password ever hashes to an exclamation mark: nobody can log in to a sample.
            ((name, f"{name}@powergym.example", full, "!", role, as_of, as_of) for name, full, role in STAFF),
        ),
        "plans": copy_rows(
            connection,
            "plans",
            ("id", "name", "description", "price", "duration_days", "created_at", "updated_at"),
            ((draw.uuid("plan", plan[0]), *plan, as_of, as_of) for plan in PLANS),
        ),
        "products": copy_rows(
            connection,
            "products",
            (
                *("id", "name", "price", "quantity", "minimum_quantity", "maximum_quantity", "stock_status"),
                *("created_at", "updated_at"),
            ),
            (_product(draw, n, as_of) for n in products),
        ),
        "inventory_movements": copy_rows(
            connection,
            "inventory_movements",
            ("id", "product_id", "quantity", "reason", "recorded_by", "created_at"),
            (row for n in products for row in _movements(draw, n, as_of)),
        ),
    }


def _load_clients(connection: psycopg.Connection[Any], draw: Draw, clients: int, as_of: datetime) -> dict[str, int]:
    """Load the clients and all that belongs to them."""
    rows = {
        "clients": copy_rows(
            connection,
            "clients",
            (
                *("id", "dni_type", "dni_number", "first_name", "last_name", "phone", "birth_date", "gender"),
                *("is_active", "created_at", "updated_at"),
            ),
            (_client(draw, n, as_of) for n in range(clients)),
        )
    }
    with vector_indexes_built_afterwards(connection, "biometrics"):
        rows["biometrics"] = copy_rows(
            connection,
            "biometrics",
            ("id", "client_id", "type", "embedding", "thumbnail_encrypted", "created_at"),
            (_biometric(draw, n, as_of) for n in range(clients)),
        )
    rows["subscriptions"] = copy_rows(
        connection,
        "subscriptions",
        ("id", "client_id", "plan_id", "start_date", "end_date", "status", "created_at"),
        (_subscription(draw, term) for n in range(clients) for term in _terms(draw, n, as_of)),
    )
    rows["payments"] = copy_rows(
        connection,
        "payments",
        ("id", "subscription_id", "amount", "method", "paid_at", "received_by"),
        (row for n in range(clients) for row in _payments(draw, n, as_of)),
    )
    rows["attendances"] = copy_rows(
        connection,
        "attendances",
        ("id", "client_id", "entry_time"),
        (row for n in range(clients) for row in _attendances(draw, n, as_of)),
    )
    return rows


def client_id(n: int, seed: int = SEED) -> str:
    """Return the id of the nth client, from 0: whom the search for probe(n) must find."""
    return str(Draw(seed).uuid("client", n))


def probe(n: int, seed: int = SEED) -> str:
    """Return another picture of the nth client's face: a vector at a cosine distance of about 0.1 from the stored one.

    All others are beyond 0.4: the fifteen that look alike near 0.6, the rest near 1.
    """
    return Draw(seed).vector_near("face", n)


def _client(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    chance = draw.random("client fields", n)
    joined = as_of - timedelta(minutes=chance.randrange(1, 3 * 365 * 24 * 60))
    return (
        draw.uuid("client", n),
        chance.choice(DOCUMENTS),
        str(1_000_000_000 + n),
        chance.choice(FIRST_NAMES),
        f"{chance.choice(LAST_NAMES)} {chance.choice(LAST_NAMES)}",
        f"3{chance.randrange(10**9):09d}" if chance.random() < 0.9 else None,
        as_of.date() - timedelta(days=chance.randrange(14 * 365, 75 * 365)),
        chance.choice(GENDERS),
        chance.random() < 0.93,
        joined,
        joined,
    )


def _biometric(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    thumbnail = draw.digest(96, "thumbnail", n)
    taken = as_of - timedelta(minutes=draw.random("taken", n).randrange(1, 365 * 24 * 60))
    return draw.uuid("biometric", n), draw.uuid("client", n), "FACE", draw.vector("face", n), thumbnail, taken


def _terms(draw: Draw, n: int, as_of: datetime) -> list[Term]:
    """Return the client's past subscription, if any, and the current one."""
    chance = draw.random("terms", n)
    today = as_of.date()
    plan = chance.randrange(1, len(PLANS))
    days = PLANS[plan][3]
    if chance.random() < 0.05:
        start, status = today + timedelta(days=chance.randrange(1, 20)), "scheduled"
    else:
        start = today - timedelta(days=chance.randrange(days + days // 4))
        status = "expired" if start + timedelta(days=days) < today else _standing(chance.random())
    terms = [Term(n, 1, plan, start, start + timedelta(days=days), status)]
    if chance.random() < 0.4:
        terms.insert(0, Term(n, 0, plan, start - timedelta(days=days), start, "expired"))
    return terms


def _standing(share: float) -> str:
    """Say how a running subscription stands."""
    return "active" if share < 0.88 else "pending_payment" if share < 0.95 else "canceled"


def _subscription(draw: Draw, term: Term) -> tuple[Any, ...]:
    return (
        draw.uuid("subscription", term.client, term.number),
        draw.uuid("client", term.client),
        draw.uuid("plan", PLANS[term.plan][0]),
        term.start,
        term.end,
        term.status,
        datetime.combine(term.start - timedelta(days=1), AS_OF.timetz()),
    )


def _payments(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield a payment for each subscription that was paid for."""
    for term in _terms(draw, n, as_of):
        if term.status == "pending_payment":
            continue
        chance = draw.random("payment fields", n, term.number)
        yield (
            draw.uuid("payment", n, term.number),
            draw.uuid("subscription", n, term.number),
            PLANS[term.plan][2],
            chance.choice(("cash", "qr")),
            min(datetime.combine(term.start, AS_OF.timetz()), as_of) - timedelta(minutes=chance.randrange(600)),
            chance.choice(STAFF)[0],
        )


def _attendances(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield up to ten visits of the last sixty days."""
    chance = draw.random("visits", n)
    for visit in range(chance.randrange(11)):
        entry = as_of - timedelta(minutes=chance.randrange(1, 60 * 24 * 60))
        yield draw.uuid("attendance", n, visit), draw.uuid("client", n), entry


def _movements(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield what came in and went out; the product's quantity is their sum."""
    name, _, _, maximum = PRODUCTS[n]
    chance = draw.random("movements", n)
    quantities = [maximum, *(-chance.randrange(1, maximum // 5) for _ in range(chance.randrange(1, 6)))]
    for number, quantity in enumerate(quantities):
        moved = as_of - timedelta(days=30 - 5 * number, minutes=chance.randrange(600))
        reason = "delivery" if quantity > 0 else "sale"
        staff = chance.choice(STAFF)[0]
        yield draw.uuid("movement", n, number), draw.uuid("product", name), quantity, reason, staff, moved


def _product(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    name, price, minimum, maximum = PRODUCTS[n]
    quantity = sum(row[2] for row in _movements(draw, n, as_of))
    status = "STOCK_OUT" if quantity == 0 else "LOW_STOCK" if quantity < minimum else "NORMAL"
    return draw.uuid("product", name), name, price, quantity, minimum, maximum, status, as_of, as_of
