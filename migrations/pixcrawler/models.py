"""The schema of PixCrawler at the head of its history."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from pgsteward_models import POSTGRESQL_NAMES
from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, MetaData, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("now()")
FALSE = text("false")
TRUE = text("true")
ZERO = text("0")
PENDING = text("'pending'")


class Base(DeclarativeBase):
    """Common base; its metadata is what `alembic check` compares with."""

    metadata = MetaData(naming_convention=POSTGRESQL_NAMES)
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB()}


class Profile(Base):
    """A user; the id is the identity provider's, so the database makes none."""

    __tablename__ = "profiles"
    __table_args__ = (Index("ix_profiles_email", "email"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255))
    full_name: Mapped[str | None] = mapped_column(String(100))
    avatar_url: Mapped[str | None] = mapped_column(Text())
    role: Mapped[str] = mapped_column(String(20), server_default=text("'user'"))
    is_active: Mapped[bool] = mapped_column(server_default=TRUE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class Project(Base):
    """What a user collects images for."""

    __tablename__ = "projects"
    __table_args__ = (Index("ix_project_user_id", "user_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id"))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text())
    status: Mapped[str] = mapped_column(String(20), server_default=text("'active'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class CrawlJob(Base):
    """One search of the web for a project."""

    __tablename__ = "crawl_jobs"
    __table_args__ = (
        Index("ix_crawl_job_project_id", "project_id"),
        Index("ix_crawl_job_status", "status"),
        Index("ix_crawl_job_project_status", "project_id", "status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(100))
    keywords: Mapped[dict[str, Any]]
    max_images: Mapped[int] = mapped_column(server_default=text("1000"))
    status: Mapped[str] = mapped_column(String(20), server_default=PENDING)
    progress: Mapped[int] = mapped_column(server_default=ZERO)
    downloaded_images: Mapped[int] = mapped_column(server_default=ZERO)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class Image(Base):
    """An image that a crawl job found."""

    __tablename__ = "images"
    __table_args__ = (Index("ix_image_crawl_job_id", "crawl_job_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    crawl_job_id: Mapped[int] = mapped_column(ForeignKey("crawl_jobs.id"))
    original_url: Mapped[str] = mapped_column(Text())
    filename: Mapped[str] = mapped_column(String(255))
    storage_url: Mapped[str | None] = mapped_column(Text())
    width: Mapped[int | None]
    height: Mapped[int | None]
    file_size: Mapped[int | None] = mapped_column(BigInteger())
    format: Mapped[str | None] = mapped_column(String(10))
    content_hash: Mapped[str | None] = mapped_column(String(64))
    is_valid: Mapped[bool] = mapped_column(server_default=TRUE)
    is_duplicate: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ActivityLog(Base):
    """What somebody, or nobody known, did."""

    __tablename__ = "activity_logs"
    __table_args__ = (Index("ix_activity_log_user_id", "user_id"), Index("ix_activity_log_timestamp", "timestamp"))

    id: Mapped[int] = mapped_column(BigInteger(), primary_key=True)
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("profiles.id"))
    action: Mapped[str] = mapped_column(Text())
    resource_type: Mapped[str | None] = mapped_column(String(50))
    resource_id: Mapped[str | None] = mapped_column(String(50))
    details: Mapped[dict[str, Any] | None]
    timestamp: Mapped[datetime] = mapped_column(server_default=NOW)


class ValidationJob(Base):
    """A check of all images of a crawl job."""

    __tablename__ = "validation_jobs"
    __table_args__ = (
        Index("ix_validation_job_status", "status"),
        Index("ix_validation_job_crawl_job_id", "crawl_job_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    crawl_job_id: Mapped[int] = mapped_column(ForeignKey("crawl_jobs.id"))
    name: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20), server_default=PENDING)
    progress: Mapped[int] = mapped_column(server_default=ZERO)
    total_images: Mapped[int] = mapped_column(server_default=ZERO)
    invalid_images: Mapped[int] = mapped_column(server_default=ZERO)
    rules: Mapped[dict[str, Any] | None]
    error_message: Mapped[str | None] = mapped_column(Text())
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ExportJob(Base):
    """A dataset made of a crawl job's images, for somebody to download."""

    __tablename__ = "export_jobs"
    __table_args__ = (
        Index("ix_export_job_status", "status"),
        Index("ix_export_job_user_id", "user_id"),
        Index("ix_export_job_crawl_job_id", "crawl_job_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    crawl_job_id: Mapped[int] = mapped_column(ForeignKey("crawl_jobs.id"))
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id"))
    name: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20), server_default=PENDING)
    progress: Mapped[int] = mapped_column(server_default=ZERO)
    format: Mapped[str] = mapped_column(String(20))
    file_size: Mapped[int | None] = mapped_column(BigInteger())
    download_url: Mapped[str | None] = mapped_column(Text())
    error_message: Mapped[str | None] = mapped_column(Text())
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
