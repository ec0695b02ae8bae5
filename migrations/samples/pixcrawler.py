"""Sample data for PixCrawler: fifty images in each crawl job, four jobs in a project, three projects of a profile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg

from .draw import AS_OF, SEED, Draw
from .loading import advance_sequences, analyze, copy_rows

IMAGES_PER_JOB = 50
JOBS_PER_PROJECT = 4
PROJECTS_PER_PROFILE = 3
IMAGES_PER_LOG = 10

SUBJECTS = ("sparrow", "tram", "lighthouse", "bicycle", "oak", "espresso", "violin", "glacier", "harbour", "tulip")
FORMATS = ("jpeg", "png", "webp")
EXPORTS = ("zip", "coco", "yolo")
# A parent that no loader makes: ids count up from 1.
NO_PARENT = 2_000_000_000


def load(
    connection: psycopg.Connection[Any], images: int, seed: int = SEED, as_of: datetime = AS_OF, orphans: int = 0
) -> dict[str, int]:
    """Fill the empty tables in one transaction and return the number of rows of each.

    orphans adds that many images whose crawl job does not exist, which only a database at revision 000 accepts.
    """
    draw = Draw(seed)
    jobs = -(-images // IMAGES_PER_JOB)
    projects = -(-jobs // JOBS_PER_PROJECT)
    profiles = -(-projects // PROJECTS_PER_PROFILE)
    with connection.transaction():
        rows = {
            "profiles": copy_rows(
                connection,
                "profiles",
                ("id", "email", "full_name", "avatar_url", "role", "created_at", "updated_at"),
                (_profile(draw, n, as_of) for n in range(profiles)),
            ),
            "projects": copy_rows(
                connection,
                "projects",
                ("id", "user_id", "name", "description", "status", "created_at", "updated_at"),
                (_project(draw, n, as_of) for n in range(projects)),
            ),
            "crawl_jobs": copy_rows(
                connection,
                "crawl_jobs",
                (
                    *("id", "project_id", "name", "keywords", "max_images", "status", "progress", "downloaded_images"),
                    *("started_at", "completed_at", "created_at", "updated_at"),
                ),
                (_crawl_job(draw, n, as_of) for n in range(jobs)),
            ),
            "images": copy_rows(
                connection,
                "images",
                (
                    *("id", "crawl_job_id", "original_url", "filename", "storage_url", "width", "height", "file_size"),
                    *("format", "content_hash", "is_valid", "is_duplicate", "created_at"),
                ),
                (_image(draw, n, images, as_of) for n in range(images + orphans)),
            ),
            "activity_logs": copy_rows(
                connection,
                "activity_logs",
                ("id", "user_id", "action", "resource_type", "resource_id", "details", "timestamp"),
                (_log(draw, n, as_of) for n in range(images // IMAGES_PER_LOG)),
            ),
            "validation_jobs": copy_rows(
                connection,
                "validation_jobs",
                (
                    *("id", "crawl_job_id", "name", "status", "progress", "total_images", "invalid_images", "rules"),
                    *("error_message", "started_at", "completed_at", "created_at"),
                ),
                (_validation(draw, n, as_of) for n in range(jobs)),
            ),
            "export_jobs": copy_rows(
                connection,
                "export_jobs",
                (
                    *("id", "crawl_job_id", "user_id", "name", "status", "progress", "format", "file_size"),
                    *("download_url", "started_at", "completed_at", "created_at"),
                ),
                (row for n in range(jobs) for row in _exports(draw, n, as_of)),
            ),
        }
        filled = [table for table, count in rows.items() if count]
        advance_sequences(connection, (table for table in filled if table != "profiles"))
        analyze(connection, filled)
    return rows


def _owner(project: int) -> int:
    """Return the number of the profile that a project belongs to."""
    return project // PROJECTS_PER_PROFILE


def _profile(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    joined = as_of - timedelta(minutes=draw.random("profile", n).randrange(1, 500 * 24 * 60))
    avatar = f"https://pixcrawler.example/avatars/{n}.png" if n % 3 else None
    role = "admin" if n == 0 else "user"
    return draw.uuid("profile", n), f"user{n}@pixcrawler.example", f"User {n}", avatar, role, joined, joined


def _project(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    chance = draw.random("project", n)
    created = as_of - timedelta(minutes=chance.randrange(1, 300 * 24 * 60))
    subject = chance.choice(SUBJECTS)
    status = "active" if chance.random() < 0.9 else "archived"
    return n + 1, draw.uuid("profile", _owner(n)), f"{subject} {n}", f"Pictures of {subject}", status, created, created


def _status(draw: Draw, kind: str, n: int) -> str:
    """Return how a job stands; most are done."""
    return draw.random("status", kind, n).choice(("completed",) * 6 + ("failed", "running", "pending"))


def _times(draw: Draw, kind: str, n: int, as_of: datetime) -> tuple[datetime | None, datetime | None, datetime]:
    """Return when a job was started, completed and created, as its status has it."""
    status = _status(draw, kind, n)
    created = as_of - timedelta(minutes=draw.random("times", kind, n).randrange(120, 200 * 24 * 60))
    started = None if status == "pending" else created + timedelta(minutes=2)
    completed = created + timedelta(minutes=45) if status in ("completed", "failed") else None
    return started, completed, created


def _progress(status: str) -> int:
    return {"completed": 100, "failed": 40, "running": 60, "pending": 0}[status]


def _crawl_job(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    chance = draw.random("crawl", n)
    status = _status(draw, "crawl", n)
    words = json.dumps({"keywords": chance.sample(SUBJECTS, 2), "engine": chance.choice(("google", "bing"))})
    started, completed, created = _times(draw, "crawl", n, as_of)
    downloaded = IMAGES_PER_JOB * _progress(status) // 100
    return (
        *(n + 1, n // JOBS_PER_PROJECT + 1, f"crawl {n}", words, IMAGES_PER_JOB, status, _progress(status), downloaded),
        *(started, completed, created, completed or created),
    )


def _image(draw: Draw, n: int, images: int, as_of: datetime) -> tuple[Any, ...]:
    """Return the nth image; from the number that was asked for on they are orphans."""
    chance = draw.random("image", n)
    kind = chance.choice(FORMATS)
    return (
        n + 1,
        n // IMAGES_PER_JOB + 1 if n < images else NO_PARENT + n - images,
        f"https://images.example/{n}.{kind}",
        f"{n:08d}.{kind}",
        f"s3://pixcrawler/{n:08d}.{kind}",
        chance.choice((640, 800, 1024, 1920)),
        chance.choice((480, 600, 768, 1080)),
        chance.randrange(10_000, 4_000_000),
        kind,
        draw.digest(32, "content", n).hex(),
        chance.random() < 0.96,
        chance.random() < 0.03,
        as_of - timedelta(minutes=chance.randrange(1, 200 * 24 * 60)),
    )


def _log(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    """Return what the owner of an image's project did, or nobody known."""
    chance = draw.random("log", n)
    job = n * IMAGES_PER_LOG // IMAGES_PER_JOB
    user = draw.uuid("profile", _owner(job // JOBS_PER_PROJECT)) if chance.random() < 0.9 else None
    action = chance.choice(("start_crawl", "open_project", "download_export", "validate"))
    details = json.dumps({"address": f"192.0.2.{chance.randrange(1, 255)}"})
    return n + 1, user, action, "crawl_job", str(job + 1), details, as_of - timedelta(seconds=chance.randrange(10**7))


def _validation(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    status = _status(draw, "validation", n)
    invalid = draw.random("validation", n).randrange(5) if status == "completed" else 0
    error = "object store did not answer" if status == "failed" else None
    rules = json.dumps({"minimum_width": 256, "formats": FORMATS})
    return (
        *(n + 1, n + 1, f"validation {n}", status, _progress(status), IMAGES_PER_JOB, invalid, rules, error),
        *_times(draw, "validation", n, as_of),
    )


def _exports(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield the export of every other crawl job."""
    if n % 2:
        return
    status = _status(draw, "export", n)
    done = status == "completed"
    chance = draw.random("export", n)
    kind = chance.choice(EXPORTS)
    size = chance.randrange(10**6, 10**9) if done else None
    address = f"s3://pixcrawler/exports/{n}.zip" if done else None
    owner = draw.uuid("profile", _owner(n // JOBS_PER_PROJECT))
    yield (
        *(n // 2 + 1, n + 1, owner, f"export {n}", status, _progress(status), kind, size, address),
        *_times(draw, "export", n, as_of),
    )
