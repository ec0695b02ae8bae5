"""Sample data for Cat Activities Monitor: detections of four cats by three cameras, a minute apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg

from .draw import AS_OF, SEED, Draw
from .loading import advance_sequences, analyze, copy_rows

CATS = (
    ("Miso", "grey, white paws", "grey", "British Shorthair"),
    ("Pepper", "sleeps on the printer", "black", "Bombay"),
    ("Saffron", "shy", "ginger", "domestic"),
    ("Tofu", "loud", "white", "Turkish Angora"),
)
CAMERAS = ("kitchen", "living_room", "garden")
ACTIVITIES = ("sleeping", "eating", "walking", "playing", "grooming", "sitting")
METHOD = "resnet50"
FEATURES = 32


def load(
    connection: psycopg.Connection[Any], detections: int, seed: int = SEED, as_of: datetime = AS_OF
) -> dict[str, int]:
    """Fill the empty tables in one transaction and return the number of rows of each.

    Two detections in three saw a cat, and one cat in five was not recognised.
    """
    draw = Draw(seed)
    with connection.transaction():
        rows = {
            "cat_profiles": copy_rows(
                connection,
                "cat_profiles",
                (
                    *("id", "name", "description", "color", "breed", "bounding_box_color", "total_detections"),
                    *("last_seen_at", "created_at", "updated_at"),
                ),
                _profiles(draw, detections, as_of),
            ),
            "detection_results": copy_rows(
                connection,
                "detection_results",
                (
                    *("id", "source_name", "image_filename", "cat_detected", "cats_count", "confidence", "detections"),
                    *("activities", "timestamp", "cat_profile_id", "recognition_confidence", "recognition_method"),
                ),
                (_detection(draw, n, as_of) for n in range(detections)),
            ),
            "feedback": copy_rows(
                connection,
                "feedback",
                (
                    *("id", "feedback_id", "image_filename", "image_path", "original_detections", "user_annotations"),
                    *("feedback_type", "notes", "timestamp"),
                ),
                (_feedback(draw, n, as_of) for n in range(-(-detections // 20))),
            ),
            "cat_features": copy_rows(
                connection,
                "cat_features",
                (
                    *("id", "cat_profile_id", "detection_result_id", "feature_vector", "extraction_method", "quality"),
                    "created_at",
                ),
                (row for n in range(detections) for row in _features(draw, n, as_of)),
            ),
            "cat_recognition_models": copy_rows(
                connection,
                "cat_recognition_models",
                ("id", "name", "version", "model_path", "accuracy", "training_samples", "is_active", "created_at"),
                (_recognition_model(n, as_of) for n in range(2)),
            ),
            "activity_features": copy_rows(
                connection,
                "activity_features",
                (
                    *("id", "detection_result_id", "cat_profile_id", "activity_type", "confidence", "pose_features"),
                    *("movement_features", "timestamp"),
                ),
                (row for n in range(detections) for row in _activities(draw, n, as_of)),
            ),
            "activity_models": copy_rows(
                connection,
                "activity_models",
                ("id", "cat_profile_id", "version", "model_path", "metrics", "is_active", "created_at"),
                (_activity_model(n, as_of) for n in range(len(CATS) + 1)),
            ),
        }
        filled = [table for table, count in rows.items() if count]
        advance_sequences(connection, filled)
        analyze(connection, filled)
    return rows


def _cat(draw: Draw, n: int) -> int | None:
    """Return which cat the nth detection saw, or None for an empty picture."""
    return draw.random("cat", n).choice((0, 1, 2, 3, None, None))


def _recognised(draw: Draw, n: int) -> int | None:
    """Return the profile's id, or None for an empty picture or a cat that was not recognised."""
    cat = _cat(draw, n)
    return None if cat is None or draw.random("recognised", n).random() < 0.2 else cat + 1


def _seen_at(n: int, as_of: datetime) -> datetime:
    """Return when the nth detection was, counting back from the last one."""
    return as_of - timedelta(minutes=n)


def _boxes(draw: Draw, n: int) -> str:
    if _cat(draw, n) is None:
        return "[]"
    chance = draw.random("box", n)
    box = {side: chance.randrange(100, 500) for side in ("x", "y", "width", "height")}
    return json.dumps([{"class": "cat", "confidence": round(chance.uniform(0.5, 1.0), 3), "box": box}])


def _activity(draw: Draw, n: int) -> str:
    return draw.random("activity", n).choice(ACTIVITIES)


def _profiles(draw: Draw, detections: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield the four cats, with how often and when last they were recognised."""
    seen: dict[int, list[int]] = {cat + 1: [] for cat in range(len(CATS))}
    for n in range(detections):
        profile = _recognised(draw, n)
        if profile is not None:
            seen[profile].append(n)
    for number, cat in enumerate(CATS, 1):
        last = _seen_at(seen[number][0], as_of) if seen[number] else None
        color = f"#{draw.digest(3, 'color', number).hex().upper()}"
        yield number, *cat, color, len(seen[number]), last, as_of - timedelta(days=100), as_of


def _detection(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    chance = draw.random("detection", n)
    cat, profile = _cat(draw, n), _recognised(draw, n)
    activities = [] if cat is None else [{"activity": _activity(draw, n), "confidence": 0.8}]
    return (
        n + 1,
        CAMERAS[n % len(CAMERAS)],
        f"{CAMERAS[n % len(CAMERAS)]}_{n:07d}.jpg",
        cat is not None,
        int(cat is not None),
        None if cat is None else round(chance.uniform(0.5, 1.0), 3),
        _boxes(draw, n),
        json.dumps(activities),
        _seen_at(n, as_of),
        profile,
        None if profile is None else round(chance.uniform(0.6, 1.0), 3),
        None if profile is None else METHOD,
    )


def _feedback(draw: Draw, n: int, as_of: datetime) -> tuple[Any, ...]:
    """Return what was said about every twentieth picture."""
    picture = n * 20
    chance = draw.random("feedback", n)
    kind = chance.choice(("confirmation", "correction", "addition"))
    name = f"{CAMERAS[picture % len(CAMERAS)]}_{picture:07d}.jpg"
    annotations = json.dumps([{"class": "cat", "name": chance.choice(CATS)[0]}])
    notes = "wrong cat" if kind == "correction" else None
    when = _seen_at(picture, as_of) + timedelta(hours=2)
    identifier = str(draw.uuid("feedback", n))
    return n + 1, identifier, name, f"/images/{name}", _boxes(draw, picture), annotations, kind, notes, when


def _features(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield what every second recognised cat looked like."""
    profile = _recognised(draw, n)
    if profile is None or n % 2:
        return
    vector = [round(byte / 255, 3) for byte in draw.digest(FEATURES, "features", n)]
    quality = round(draw.random("quality", n).uniform(0.3, 1.0), 3)
    yield n // 2 + 1, profile, n + 1, json.dumps(vector), METHOD, quality, _seen_at(n, as_of)


def _recognition_model(n: int, as_of: datetime) -> tuple[Any, ...]:
    """Return an old model, or the one in use."""
    path = f"/models/recognition-{n + 1}.pkl"
    return n + 1, METHOD, f"1.{n}", path, 0.81 + n / 10, 200 + 300 * n, n == 1, as_of - timedelta(days=60 - 30 * n)


def _activities(draw: Draw, n: int, as_of: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield what a cat was doing, recognised or not."""
    if _cat(draw, n) is None:
        return
    chance = draw.random("pose", n)
    pose = json.dumps({"aspect_ratio": round(chance.uniform(0.5, 2.5), 2), "area": round(chance.random(), 3)})
    movement = json.dumps({"speed": round(chance.uniform(0, 5), 2), "direction": chance.randrange(360)})
    confidence = round(chance.uniform(0.5, 1.0), 3)
    yield n + 1, n + 1, _recognised(draw, n), _activity(draw, n), confidence, pose, movement, _seen_at(n, as_of)


def _activity_model(n: int, as_of: datetime) -> tuple[Any, ...]:
    """Return the model of one cat, or, first, the one for all."""
    metrics = json.dumps({"accuracy": 0.9, "classes": len(ACTIVITIES)})
    return n + 1, n or None, f"2.{n}", f"/models/activity-{n}.pkl", metrics, True, as_of - timedelta(days=10)
