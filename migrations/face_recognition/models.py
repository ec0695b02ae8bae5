"""The schema of Face Recognition at the head of its history.

Keys are integers and times carry no zone, as in the SQLite files that are imported: ids must survive the import, and a
zone that was never recorded cannot be invented. The application writes UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pgsteward_models import POSTGRESQL_NAMES
from pgsteward_types import Vector
from sqlalchemy import DDL, ForeignKey, Index, MetaData, String, Text, event, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("CURRENT_TIMESTAMP")
TRUE = text("true")
ZERO = text("0")


class Base(DeclarativeBase):
    """Common base; its metadata is what `alembic check` compares with."""

    metadata = MetaData(naming_convention=POSTGRESQL_NAMES)


class User(Base):
    """An account that persons can be entered under, since 1.1."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(255), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime | None] = mapped_column(server_default=NOW)


class Person(Base):
    """Somebody who can be recognised; kept, but inactive, when removed by the application."""

    __tablename__ = "persons"
    __table_args__ = (Index("idx_persons_name", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text())
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)
    is_active: Mapped[bool] = mapped_column(server_default=TRUE)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class FaceEmbedding(Base):
    """One picture of a person, as the model sees it."""

    __tablename__ = "face_embeddings"
    __table_args__ = (
        Index("idx_face_embeddings_person_id", "person_id"),
        Index("idx_face_embeddings_landmarks", "landmarks", postgresql_using="gin"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id", ondelete="CASCADE"))
    embedding: Mapped[bytes]
    model_name: Mapped[str] = mapped_column(String(100))
    image_path: Mapped[str | None] = mapped_column(String(500))
    quality: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    landmarks: Mapped[Any | None] = mapped_column(JSONB())
    embedding_vec: Mapped[Sequence[float] | None] = mapped_column(Vector(512))


class RecognitionResult(Base):
    """A face was seen; without a person when it was nobody's. Kept for thirty days."""

    __tablename__ = "recognition_results"
    __table_args__ = (
        Index("idx_recognition_results_person_id", "person_id"),
        Index("idx_recognition_results_timestamp", "recognized_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("persons.id", ondelete="SET NULL"))
    confidence: Mapped[float]
    recognized_at: Mapped[datetime] = mapped_column(server_default=NOW)
    source: Mapped[str | None] = mapped_column(String(100))
    image_path: Mapped[str | None] = mapped_column(String(500))


class Dataset(Base):
    """A directory of training images."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str | None] = mapped_column(Text())
    path: Mapped[str] = mapped_column(String(500))
    image_count: Mapped[int] = mapped_column(server_default=ZERO)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ProcessingJob(Base):
    """A batch that runs, or ran, over a dataset."""

    __tablename__ = "processing_jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"))
    job_type: Mapped[str] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(String(20), server_default=text("'pending'"))
    total_items: Mapped[int] = mapped_column(server_default=ZERO)
    processed_items: Mapped[int] = mapped_column(server_default=ZERO)
    error_message: Mapped[str | None] = mapped_column(Text())
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


# The history makes the extension in v1_3_embedding_vectors; a schema made from the models alone needs it just as much.
event.listen(Base.metadata, "before_create", DDL("CREATE EXTENSION IF NOT EXISTS vector"))  # type: ignore[no-untyped-call]
