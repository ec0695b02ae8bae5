"""Sample data for ImageManager: images in projects of a hundred, classified and commented by a few people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg

from .draw import AS_OF, SEED, Draw
from .loading import analyze, copy_rows

IMAGES_PER_PROJECT = 100
IMAGES_PER_USER = 200
CLASSES = ("good", "blurred", "defect", "unclear")
GROUPS = ("quality", "research", "archive")
STATUSES = ("active", "active", "active", "archived")
SUBJECTS = ("welds", "castings", "circuit-boards", "bottles", "textiles", "bearings")


def load(connection: psycopg.Connection[Any], images: int, seed: int = SEED, as_of: datetime = AS_OF) -> dict[str, int]:
    """Fill the empty tables in one transaction and return the number of rows of each.

    One image in twelve is deleted.
    """
    draw = Draw(seed)
    projects = -(-images // IMAGES_PER_PROJECT)
    users = images // IMAGES_PER_USER + 1
    with connection.transaction():
        rows = {
            "users": copy_rows(
                connection,
                "users",
                ("id", "email", "username", "is_active", "created_at", "updated_at"),
                (_user(draw, n, as_of) for n in range(users)),
            ),
            "projects": copy_rows(
                connection,
                "projects",
                ("id", "name", "description", "meta_group_id", "created_at", "updated_at", "status"),
                (_project(draw, n, as_of) for n in range(projects)),
            ),
            "project_metadata": copy_rows(
                connection,
                "project_metadata",
                ("id", "project_id", "key", "value", "created_at", "updated_at"),
                (row for n in range(projects) for row in _metadata(draw, n, as_of)),
            ),
            "image_classes": copy_rows(
                connection,
                "image_classes",
                ("id", "project_id", "name", "description", "created_at"),
                (row for n in range(projects) for row in _classes(draw, n, as_of)),
            ),
            "data_instances": copy_rows(
                connection,
                "data_instances",
                (
                    *("id", "project_id", "filename", "object_storage_key", "content_type", "size_bytes"),
                    *("uploaded_by", "deletion_reason", "created_at", "updated_at", "deleted_at"),
                ),
                (_image(draw, n, as_of) for n in range(images)),
            ),
            "image_classifications": copy_rows(
                connection,
                "image_classifications",
                ("id", "image_id", "class_id", "created_by", "created_at"),
                (row for n in range(images) for row in _classifications(draw, n, as_of)),
            ),
            "image_comments": copy_rows(
                connection,
                "image_comments",
                ("id", "image_id", "author_id", "text", "created_at", "updated_at"),
                (row for n in range(images) for row in _comments(draw, n, as_of)),
            ),
            "api_keys": copy_rows(
                connection,
                "api_keys",
                ("id", "user_id", "name", "key_hash", "is_active", "created_at", "last_used_at", "expires_at"),
                (_api_key(draw, n, as_of) for n in range(users)),
            ),
        }
        analyze(connection, (table for table, count in rows.items() if count))
    return rows


def _user_of(n: int) -> int:
    """Return the number of the user who deals with an image."""
    return n // IMAGES_PER_USER


def _user(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    joined = as_of - timedelta(minutes=draw.random("user", n).randrange(1, 700 * 24 * 60))
    return draw.uuid("user", n), f"person{n}@imagemanager.example", f"person{n}", n % 15 != 14, joined, joined


def _project(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    chance = draw.random("project", n)
    created = as_of - timedelta(minutes=chance.randrange(1, 600 * 24 * 60))
    subject = chance.choice(SUBJECTS)
    group, status = chance.choice(GROUPS), chance.choice(STATUSES)
    return draw.uuid("project", n), f"{subject} {n}", f"Pictures of {subject}", group, created, created, status


def _metadata(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield what a project keeps under two keys."""
    chance = draw.random("metadata", n)
    for key, value in (("camera", {"model": chance.choice("ABC"), "lens": 50}), ("line", chance.randrange(1, 9))):
        yield draw.uuid("metadata", n, key), draw.uuid("project", n), key, json.dumps(value), as_of, as_of


def _classes(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield the labels of a project."""
    for name in CLASSES:
        yield draw.uuid("class", n, name), draw.uuid("project", n), name, f"Pictures that are {name}", as_of


def _image(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    chance = draw.random("image", n)
    created = as_of - timedelta(minutes=chance.randrange(1, 600 * 24 * 60))
    deleted = as_of if chance.random() < 1 / 12 else None
    return (
        draw.uuid("image", n),
        draw.uuid("project", n // IMAGES_PER_PROJECT),
        f"image_{n:07d}.png",
        f"{n // IMAGES_PER_PROJECT}/{draw.uuid('object', n)}.png",
        "image/png",
        chance.randrange(50_000, 9_000_000),
        draw.uuid("user", _user_of(n)),
        None if deleted is None else "taken twice",
        created,
        deleted or created,
        deleted,
    )


def _classifications(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield the labels that were given to an image: none, one or two."""
    chance = draw.random("classified", n)
    project = n // IMAGES_PER_PROJECT
    for name in chance.sample(CLASSES, chance.choice((0, 1, 1, 2))):
        by = draw.uuid("user", _user_of(n))
        yield draw.uuid("classification", n, name), draw.uuid("image", n), draw.uuid("class", project, name), by, as_of


def _comments(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield a comment on every fifth image."""
    if n % 5 == 0:
        said = draw.random("comment", n).choice(("Edge is out of focus.", "See the scratch, left.", "Take again."))
        yield draw.uuid("comment", n), draw.uuid("image", n), draw.uuid("user", _user_of(n)), said, as_of, as_of


def _api_key(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    """Return a key whose hash is of nothing that anybody holds."""
    created, expires = as_of - timedelta(days=30), as_of + timedelta(days=335)
    digest = draw.digest(32, "api key", n).hex()
    return draw.uuid("api key", n), draw.uuid("user", n), "upload", digest, True, created, as_of, expires
