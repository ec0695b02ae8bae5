"""The schema of ImageManager at the head of its history."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from pgsteward_models import POSTGRESQL_NAMES
from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, MetaData, String, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("now()")
NEW_UUID = text("gen_random_uuid()")
TRUE = text("true")


class Base(DeclarativeBase):
    """Common base; its metadata is what `alembic check` compares with."""

    metadata = MetaData(naming_convention=POSTGRESQL_NAMES)
    type_annotation_map = {datetime: DateTime(timezone=True)}


class User(Base):
    """Somebody who works on projects, known by the address that the identity provider gives."""

    __tablename__ = "users"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    username: Mapped[str | None] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(server_default=TRUE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class Project(Base):
    """A collection of images; the group decides who may see it."""

    __tablename__ = "projects"
    __table_args__ = (Index("ix_projects_name", "name"), Index("idx_projects_meta_group", "meta_group_id"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text())
    meta_group_id: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)
    # The history fills existing rows once and leaves no default on the server: the application always says the status.
    status: Mapped[str] = mapped_column(String(50), default="active")


class DataInstance(Base):
    """An image in the object store; deleted_at is set when it was moved to the bin."""

    __tablename__ = "data_instances"
    __table_args__ = (
        Index("idx_images_project", "project_id"),
        Index("idx_images_deleted", "deleted_at", postgresql_where=text("deleted_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    filename: Mapped[str] = mapped_column(String(255))
    object_storage_key: Mapped[str] = mapped_column(String(1024), unique=True)
    content_type: Mapped[str | None] = mapped_column(String(100))
    size_bytes: Mapped[int | None] = mapped_column(BigInteger())
    uploaded_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    deletion_reason: Mapped[str | None] = mapped_column(Text())
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)
    deleted_at: Mapped[datetime | None]


class ImageClass(Base):
    """A label of a project."""

    __tablename__ = "image_classes"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text())
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ImageClassification(Base):
    """Somebody gave an image a label; each label once per image and person."""

    __tablename__ = "image_classifications"
    __table_args__ = (
        Index("idx_classifications_image", "image_id"),
        UniqueConstraint("image_id", "class_id", "created_by"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    image_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("data_instances.id", ondelete="CASCADE"))
    class_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("image_classes.id", ondelete="CASCADE"))
    created_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ImageComment(Base):
    """What somebody said about an image."""

    __tablename__ = "image_comments"
    __table_args__ = (Index("idx_comments_image", "image_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    image_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("data_instances.id", ondelete="CASCADE"))
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    text: Mapped[str] = mapped_column(Text())
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class ProjectMetadata(Base):
    """A value that a project keeps under a key."""

    __tablename__ = "project_metadata"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(255))
    value: Mapped[Any | None] = mapped_column(JSONB())
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW, onupdate=NOW)


class ApiKey(Base):
    """A key for programs; only its hash is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("idx_api_keys_user", "user_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    is_active: Mapped[bool] = mapped_column(server_default=TRUE)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
