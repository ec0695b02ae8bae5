"""The schema of Cat Activities Monitor at the head of its history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgsteward_models import POSTGRESQL_NAMES
from sqlalchemy import DateTime, ForeignKey, Index, MetaData, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("now()")
TRUE = text("true")
FALSE = text("false")
ZERO = text("0")
EMPTY_LIST = text("'[]'::jsonb")


class Base(DeclarativeBase):
    """Common base; its metadata is what `alembic check` compares with."""

    metadata = MetaData(naming_convention=POSTGRESQL_NAMES)
    type_annotation_map = {datetime: DateTime(timezone=True), Any: JSONB()}


class Feedback(Base):
    """What somebody corrected in a picture's detections."""

    __tablename__ = "feedback"
    __table_args__ = (Index("idx_feedback_timestamp", "timestamp"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    feedback_id: Mapped[str] = mapped_column(String(36), unique=True)
    image_filename: Mapped[str] = mapped_column(String(255))
    image_path: Mapped[str | None] = mapped_column(Text())
    original_detections: Mapped[Any] = mapped_column(server_default=EMPTY_LIST)
    user_annotations: Mapped[Any] = mapped_column(server_default=EMPTY_LIST)
    feedback_type: Mapped[str] = mapped_column(String(50))
    notes: Mapped[str | None] = mapped_column(Text())
    timestamp: Mapped[datetime] = mapped_column(server_default=NOW)


class CatProfile(Base):
    """A cat that is known by name."""

    __tablename__ = "cat_profiles"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    description: Mapped[str | None] = mapped_column(Text())
    color: Mapped[str | None] = mapped_column(String(100))
    breed: Mapped[str | None] = mapped_column(String(100))
    bounding_box_color: Mapped[str] = mapped_column(String(7), server_default=text("'#FFA500'"))
    total_detections: Mapped[int] = mapped_column(server_default=ZERO)
    last_seen_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class DetectionResult(Base):
    """What the detector saw in one picture of one camera."""

    __tablename__ = "detection_results"
    __table_args__ = (
        Index("idx_detection_results_timestamp", "timestamp"),
        Index("idx_detection_results_source", "source_name"),
        Index("idx_detection_results_cat", "cat_profile_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    source_name: Mapped[str] = mapped_column(String(255))
    image_filename: Mapped[str | None] = mapped_column(String(255))
    cat_detected: Mapped[bool] = mapped_column(server_default=FALSE)
    cats_count: Mapped[int] = mapped_column(server_default=ZERO)
    confidence: Mapped[float | None]
    detections: Mapped[Any] = mapped_column(server_default=EMPTY_LIST)
    activities: Mapped[Any] = mapped_column(server_default=EMPTY_LIST)
    timestamp: Mapped[datetime] = mapped_column(server_default=NOW)
    # Since 002_cat_recognition.
    cat_profile_id: Mapped[int | None] = mapped_column(ForeignKey("cat_profiles.id", ondelete="SET NULL"))
    recognition_confidence: Mapped[float | None]
    recognition_method: Mapped[str | None] = mapped_column(String(50))


class CatFeature(Base):
    """What a cat looked like in one detection, as numbers."""

    __tablename__ = "cat_features"
    __table_args__ = (
        Index("idx_cat_features_profile", "cat_profile_id"),
        Index("idx_cat_features_detection", "detection_result_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    cat_profile_id: Mapped[int] = mapped_column(ForeignKey("cat_profiles.id", ondelete="CASCADE"))
    detection_result_id: Mapped[int | None] = mapped_column(ForeignKey("detection_results.id", ondelete="SET NULL"))
    feature_vector: Mapped[Any]
    extraction_method: Mapped[str] = mapped_column(String(50))
    quality: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class CatRecognitionModel(Base):
    """A trained model that tells cats apart; one is in use."""

    __tablename__ = "cat_recognition_models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[str] = mapped_column(String(50), unique=True)
    model_path: Mapped[str] = mapped_column(Text())
    accuracy: Mapped[float | None]
    training_samples: Mapped[int] = mapped_column(server_default=ZERO)
    is_active: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ActivityFeature(Base):
    """What a cat did in one detection, with the pose and movement that say so."""

    __tablename__ = "activity_features"
    __table_args__ = (
        Index("idx_activity_features_detection", "detection_result_id"),
        Index("idx_activity_features_cat", "cat_profile_id"),
        Index("idx_activity_features_activity", "activity_type", "timestamp"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    detection_result_id: Mapped[int] = mapped_column(ForeignKey("detection_results.id", ondelete="CASCADE"))
    cat_profile_id: Mapped[int | None] = mapped_column(ForeignKey("cat_profiles.id", ondelete="SET NULL"))
    activity_type: Mapped[str] = mapped_column(String(50))
    confidence: Mapped[float]
    pose_features: Mapped[Any | None]
    movement_features: Mapped[Any | None]
    timestamp: Mapped[datetime] = mapped_column(server_default=NOW)


class ActivityModel(Base):
    """A trained model that names activities; one per cat, or one for all."""

    __tablename__ = "activity_models"

    id: Mapped[int] = mapped_column(primary_key=True)
    cat_profile_id: Mapped[int | None] = mapped_column(ForeignKey("cat_profiles.id", ondelete="CASCADE"))
    version: Mapped[str] = mapped_column(String(50), unique=True)
    model_path: Mapped[str] = mapped_column(Text())
    metrics: Mapped[Any | None]
    is_active: Mapped[bool] = mapped_column(server_default=TRUE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
