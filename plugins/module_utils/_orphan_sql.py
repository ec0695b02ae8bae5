# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SQL that finds orphan rows, removes them, and makes the tables that they are moved to. Pure.

All of it is whole text without parameters: a % in a name would otherwise be taken for one.
"""

from __future__ import annotations

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._orphans import (
    MARKS,
    Key,
    Name,
    Relation,
    given,
    qualified_sql,
    side_of,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier, literal


def counting(key: Key) -> str:
    """Return the query that counts the rows which break a key."""
    return f"SELECT count(*) FROM {key.child.rows('c')} WHERE {key.broken()}"  # noqa: S608


def sampled_columns(key: Key) -> list[str]:
    """Return the columns that a sample shows: those of the primary key and of the key, since others may hold personal data."""
    return list(dict.fromkeys((*key.child.primary_key, *key.columns)))


def sampling(key: Key, limit: int) -> str:
    """Return the query for the first rows that break a key, by primary key, as texts in the order of sampled_columns."""
    # concat() takes a type's own output function; a cast to text might be somebody's own.
    values = ", ".join(
        f"CASE WHEN {given('c', name)} THEN concat(c.{identifier(name)}) END" for name in sampled_columns(key)
    )
    order = ", ".join(f"c.{identifier(name)}" for name in sampled_columns(key))
    return f"SELECT {values} FROM {key.child.rows('c')} WHERE {key.broken()} ORDER BY {order} LIMIT {limit}"  # noqa: S608


def locating(key: Key, limit: int) -> str:
    """Return the query for the places (tableoid, ctid) of rows that break a key."""
    return (
        f"SELECT c.tableoid, c.ctid FROM {key.child.rows('c')} WHERE {key.broken()}"  # noqa: S608
        f" ORDER BY c.tableoid, c.ctid LIMIT {limit}"
    )


def locking(key: Key, those: str) -> str:
    """Return the query after which nobody can come to refer to these rows by a key that is there."""
    return f"SELECT FROM {key.child.rows('c')} WHERE {those} AND {key.broken()} FOR UPDATE OF c"


def referring(referrer: Key, those: str) -> str:
    """Return the query that counts the rows which refer to rows of the referrer's parent for which those holds of c."""
    return (
        f"SELECT count(*) FROM {referrer.child.rows('r')} WHERE EXISTS"  # noqa: S608
        f" (SELECT FROM {referrer.parent.rows('c')} WHERE {referrer.match('c', 'r')} AND {those})"
    )


def removing(key: Key, those: str, side: Name | None) -> str:
    """Return the statement that deletes these rows, or moves them to side; it returns how many went and how many were kept."""
    columns = ", ".join(identifier(column.name) for column in key.child.columns)
    gone = f"DELETE FROM {key.child.rows('c')} WHERE {those} AND {key.broken()} RETURNING "  # noqa: S608
    if side is None:
        return f"WITH gone AS ({gone}1) SELECT count(*), count(*) FROM gone"  # noqa: S608
    taken = ", ".join(f"c.{identifier(column.name)}" for column in key.child.columns)
    into = f"{qualified_sql(side)} ({columns}, {', '.join(map(identifier, MARKS))})"
    return (
        f"WITH gone AS ({gone}{taken}),"  # noqa: S608
        f" kept AS (INSERT INTO {into} SELECT {columns}, now(), {reason(key)} FROM gone AS c RETURNING 1)"
        " SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM kept)"
    )


def reason(key: Key) -> str:
    """Return the expression for why the row c was moved: the key and its values."""
    values = ", ', ', ".join(f"c.{identifier(column)}" for column in key.columns)
    before = f"{key.name}: ({', '.join(key.columns)}) = ("
    after = f") is not in {key.parent} ({', '.join(key.referenced)})"
    return f"concat({literal(before)}, {values}, {literal(after)})"


# The side table


def side_statements(table: Relation, side: Relation | None) -> list[str]:
    """Return what makes the side table, or adds the columns that the table got meanwhile; raises StewardError.

    It has the table's columns and nothing else of it: no constraint, default or trigger may refuse or change a row.
    """
    name = side_of(table)
    own = sorted(set(MARKS) & {column.name for column in table.columns})
    if own:
        raise StewardError(
            f"{table} has a column {own[0]} of its own, which {qualified(*name)} needs for itself: rename it, or delete the rows"
        )
    if side is None:
        marks = [f"{identifier(mark)} {type_} NOT NULL" for mark, type_ in MARKS.items()]
        columns = ", ".join([column.definition for column in table.columns] + marks)
        return [f"CREATE TABLE {qualified_sql(name)} ({columns})"]
    there = {column.name: column for column in side.columns}
    if side.kind != "r" or {mark: there[mark].type for mark in MARKS if mark in there} != MARKS:
        raise StewardError(f"{side} is not a table for orphans, which has {' and '.join(MARKS)}: rename it")
    if side.owner != table.owner:
        raise StewardError(f"{side} belongs to {side.owner}, and {table} to {table.owner}: give both to one owner")
    for column in table.columns:
        kept = there.get(column.name, column)
        if kept != column:
            raise StewardError(
                f"column {column.definition} of {table} is {kept.definition} in {side}: rename {side}, and a new one will be made"
            )
    return [
        f"ALTER TABLE {side.sql} ADD COLUMN {column.definition}" for column in table.columns if column.name not in there
    ]
