"""Operations that several revisions repeat.

Revisions are immutable once applied and so is what they call: a function may be added here, but its behaviour is not
changed afterwards.

Indexes. CREATE INDEX CONCURRENTLY leaves an INVALID index behind when it is cut short, and IF NOT EXISTS then takes it
for the index. The functions for them look at pg_index.indisvalid instead, so that a revision which died half-way can
simply be run again. They must be called inside ``op.get_context().autocommit_block()``. Rendered offline, where nothing
can be looked up, they start from scratch: drop, then build.

Foreign keys. ADD CONSTRAINT would scan the table under a lock that stops writers; NOT VALID does not scan, and VALIDATE
does not stop them. The two must be in different transactions, or the first one's lock is held to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

_FIND_INDEX = sa.text(
    "SELECT i.indisvalid AND i.indisready AND i.indislive AS valid, a.amname AS method"
    " FROM pg_catalog.pg_index i"
    " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
    " JOIN pg_catalog.pg_am a ON a.oid = c.relam"
    " WHERE c.oid = pg_catalog.to_regclass(:name)"
)


@dataclass(frozen=True)
class FoundIndex:
    """What the catalog says about an index: whether it is complete, and its access method."""

    valid: bool
    method: str


def build_index_concurrently(name: str, on: str) -> None:
    """Build the index unless a complete one of that name exists; an INVALID one is dropped and built again.

    on is what follows ON in CREATE INDEX, for example "images USING btree (crawl_job_id)".
    """
    found = _find_index(name)
    if found is not None and found.valid:
        return
    drop_index_concurrently(name)
    op.execute(f"CREATE INDEX CONCURRENTLY {_quoted(name)} ON {on}")


def replace_index_concurrently(name: str, method: str, on: str) -> None:
    """Put an index with another access method in the place of the one that bears the name.

    The new one is built as <name>_new while the old one serves; then the old one is dropped and the new one takes the
    name. Each step is skipped when it was already done, so this goes on where an earlier run stopped.
    """
    successor = f"{name}_new"
    found = _find_index(name)
    if found is not None and found.valid and found.method == method:
        drop_index_concurrently(successor)
        return
    build_index_concurrently(successor, on)
    drop_index_concurrently(name)
    op.execute(f"ALTER INDEX {_quoted(successor)} RENAME TO {_quoted(name)}")


def drop_index_concurrently(name: str) -> None:
    """Drop the index if it is there, without blocking writers."""
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_quoted(name)}")


@dataclass(frozen=True)
class Key:
    """A foreign key of one column, under the name that PostgreSQL would give it."""

    table: str
    column: str
    parent: str
    parent_column: str = "id"

    @property
    def name(self) -> str:
        """Return the constraint's name."""
        return f"{self.table}_{self.column}_fkey"


def refuse_orphans(keys: Sequence[Key]) -> None:
    """Raise one error that counts the rows which would break each key, before anything has changed.

    The count is made by the server, so that SQL rendered offline refuses as well.
    """
    counts = "\n    UNION ALL\n".join(_orphan_count(key) for key in keys)
    op.execute(
        "DO $refuse$\n"  # noqa: S608
        "DECLARE orphans text;\n"
        "BEGIN\n"
        "  SELECT string_agg(format('%s: %s', reference, missing), ', ' ORDER BY reference) INTO orphans FROM (\n"
        f"{counts}\n"
        "  ) AS counted WHERE missing > 0;\n"
        "  IF orphans IS NOT NULL THEN\n"
        "    RAISE EXCEPTION 'rows whose parent does not exist: %', orphans\n"
        "      USING ERRCODE = 'foreign_key_violation', HINT = 'Repair or remove them, then run the upgrade again.';\n"
        "  END IF;\n"
        "END $refuse$"
    )


def add_key_not_valid(key: Key) -> None:
    """Add the key for rows to come, unless it is there; existing rows are left to validate_key."""
    op.execute(
        "DO $add$\n"
        "BEGIN\n"
        "  IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint\n"
        f"    WHERE conrelid = '{_quoted(key.table)}'::regclass AND conname = '{key.name}') THEN\n"
        f"    ALTER TABLE {_quoted(key.table)} ADD CONSTRAINT {_quoted(key.name)} FOREIGN KEY ({_quoted(key.column)})\n"
        f"      REFERENCES {_quoted(key.parent)} ({_quoted(key.parent_column)}) NOT VALID;\n"
        "  END IF;\n"
        "END $add$"
    )


def validate_key(key: Key) -> None:
    """Check the existing rows, under a lock that lets others read and write; nothing to do when that was done."""
    op.execute(f"ALTER TABLE {_quoted(key.table)} VALIDATE CONSTRAINT {_quoted(key.name)}")


def drop_key(key: Key) -> None:
    """Drop the key."""
    op.execute(f"ALTER TABLE {_quoted(key.table)} DROP CONSTRAINT {_quoted(key.name)}")


def _orphan_count(key: Key) -> str:
    """Return the query that counts one key's orphan rows."""
    column, parent_column = _quoted(key.column), _quoted(key.parent_column)
    return (
        f"    SELECT '{key.table}.{key.column}' AS reference, count(*) AS missing FROM {_quoted(key.table)} AS child\n"  # noqa: S608
        f"      WHERE child.{column} IS NOT NULL AND NOT EXISTS (\n"
        f"        SELECT FROM {_quoted(key.parent)} AS parent WHERE parent.{parent_column} = child.{column})"
    )


def _find_index(name: str) -> FoundIndex | None:
    """Look the index up along the search path; None when it is missing or nothing can be asked."""
    if op.get_context().as_sql:
        return None
    row = op.get_bind().execute(_FIND_INDEX, {"name": _quoted(name)}).one_or_none()
    return None if row is None else FoundIndex(valid=row.valid, method=row.method)


def _quoted(name: str) -> str:
    """Quote an identifier where PostgreSQL wants it quoted."""
    return str(postgresql.dialect().identifier_preparer.quote(name))  # type: ignore[no-untyped-call]
