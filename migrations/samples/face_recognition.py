"""Sample data for Face Recognition: persons with one to three pictures each, and where they were seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg

from .draw import AS_OF, SEED, Draw
from .loading import advance_sequences, analyze, copy_rows

FIRST_NAMES = ("Alice", "Bruno", "Chiara", "David", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Leon")
LAST_NAMES = ("Adler", "Bianchi", "Costa", "Dvorak", "Eriksen", "Fischer", "Garnier", "Horvat", "Ivanov", "Jansen")
ACCOUNTS = ("frontdesk", "security")
CAMERAS = ("entrance", "loading bay", "lobby", "parking")
DATASETS = ("staff portraits", "visitors 2025", "night pictures")
MODEL = "arcface-r50"
PICTURES = 3
SIGHTINGS = 10
# Results older than thirty days are what the application's cleanup removes; a part of the samples always is.
SIGHTING_DAYS = 60


def load(
    connection: psycopg.Connection[Any], persons: int, seed: int = SEED, as_of: datetime = AS_OF
) -> dict[str, int]:
    """Fill the empty tables in one transaction and return the number of rows of each.

    One person in ten is inactive, and half of the sightings are older than thirty days before as_of.
    """
    draw = Draw(seed)
    now = as_of.replace(tzinfo=None)
    with connection.transaction():
        rows = {
            "users": copy_rows(
                connection,
                "users",
                ("id", "username", "password_hash", "created_at"),
                # No password ever hashes to an exclamation mark: nobody can log in to a sample.
                ((number, name, "!", now) for number, name in enumerate(ACCOUNTS, 1)),
            ),
            "persons": copy_rows(
                connection,
                "persons",
                ("id", "name", "description", "created_at", "updated_at", "is_active", "user_id"),
                (_person(draw, n, now) for n in range(persons)),
            ),
            "face_embeddings": copy_rows(
                connection,
                "face_embeddings",
                (
                    *("id", "person_id", "embedding", "model_name", "image_path", "quality", "created_at"),
                    *("landmarks", "embedding_vec"),
                ),
                (row for n in range(persons) for row in _embeddings(draw, n, now)),
            ),
            "recognition_results": copy_rows(
                connection,
                "recognition_results",
                ("id", "person_id", "confidence", "recognized_at", "source", "image_path"),
                (row for n in range(persons) for row in _sightings(draw, n, now)),
            ),
            "datasets": copy_rows(
                connection,
                "datasets",
                ("id", "name", "description", "path", "image_count", "created_at"),
                (_dataset(draw, n, now) for n in range(len(DATASETS))),
            ),
            "processing_jobs": copy_rows(
                connection,
                "processing_jobs",
                (
                    *("id", "dataset_id", "job_type", "status", "total_items", "processed_items", "error_message"),
                    *("created_at", "started_at", "finished_at"),
                ),
                (_job(draw, n, now) for n in range(len(DATASETS))),
            ),
        }
        filled = [table for table, count in rows.items() if count]
        advance_sequences(connection, filled)
        analyze(connection, filled)
    return rows


def probe(n: int, seed: int = SEED) -> str:
    """Return another picture of the nth person, from 0, at a cosine distance of about 0.1 from the first one."""
    return Draw(seed).vector_near("face", n * PICTURES)


def _person(draw: Draw, n: int, now: datetime) -> tuple[Any, ...]:
    chance = draw.random("person", n)
    entered = now - timedelta(minutes=chance.randrange(1, 400 * 24 * 60))
    name = f"{chance.choice(FIRST_NAMES)} {chance.choice(LAST_NAMES)}"
    description = chance.choice(("", "night shift", "visitor", None))
    return n + 1, name, description, entered, entered, n % 10 != 9, chance.choice((1, 2, None))


def _embeddings(draw: Draw, n: int, now: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield one to three pictures, packed as the application packs them and as a vector."""
    chance = draw.random("pictures", n)
    for number in range(chance.randrange(1, PICTURES + 1)):
        picture = n * PICTURES + number
        landmarks = {
            point: [chance.randrange(112), chance.randrange(112)] for point in ("left_eye", "right_eye", "nose")
        }
        yield (
            picture + 1,
            n + 1,
            draw.packed_vector("face", picture),
            MODEL,
            f"faces/{n + 1}/{number}.jpg",
            round(chance.uniform(0.5, 1.0), 4),
            now - timedelta(days=chance.randrange(1, 400)),
            json.dumps(landmarks),
            draw.vector("face", picture),
        )


def _sightings(draw: Draw, n: int, now: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield up to ten results; one in eight is of somebody unknown."""
    chance = draw.random("sightings", n)
    for number in range(chance.randrange(SIGHTINGS + 1)):
        known = chance.random() < 0.875
        seen = now - timedelta(seconds=chance.randrange(1, SIGHTING_DAYS * 24 * 3600))
        confidence = round(chance.uniform(0.6, 1.0) if known else chance.uniform(0.1, 0.6), 4)
        camera = chance.choice(CAMERAS)
        yield (
            n * SIGHTINGS + number + 1,
            n + 1 if known else None,
            confidence,
            seen,
            camera,
            f"{camera}/{seen:%Y%m%d}.jpg",
        )


def _dataset(draw: Draw, n: int, now: datetime) -> tuple[Any, ...]:
    name = DATASETS[n]
    images = draw.random("dataset", n).randrange(50, 500)
    return n + 1, name, f"All {name}", f"/data/{name.replace(' ', '_')}", images, now - timedelta(days=90 - n)


def _job(draw: Draw, n: int, now: datetime) -> tuple[Any, ...]:
    """Return the batch of one dataset: one done, one failed, one waiting."""
    status = ("completed", "failed", "pending")[n]
    total = draw.random("dataset", n).randrange(50, 500)
    done = {"completed": total, "failed": total // 3, "pending": 0}[status]
    created = now - timedelta(days=80 - n)
    started = None if status == "pending" else created + timedelta(minutes=1)
    finished = None if started is None else started + timedelta(minutes=20)
    error = "image 17 has no face" if status == "failed" else None
    return n + 1, n + 1, "embed", status, total, done, error, created, started, finished
