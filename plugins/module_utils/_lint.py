# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What squawk says of the statements of pending revisions, weighed by the size of the tables that they touch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._destructive import destructive
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._revision_files import (
    ERROR,
    NOTE,
    WARNING,
    Finding,
    Revision,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._run_validate import ENTERS, LEAVES

if TYPE_CHECKING:
    import psycopg

LIMIT = 120  # seconds for squawk; it takes milliseconds
SMALL_ROWS = 10_000
SMALL_BYTES = 8 * 1024 * 1024
SHOWN = 400  # characters of a statement in a finding
SYNTAX = "syntax-error"

# What alembic_upgrade sees to itself, and advice that would do harm: IF NOT EXISTS takes an invalid index for a whole one.
SETTLED = frozenset(
    {
        "ban-uncommitted-transaction",
        "prefer-robust-stmts",
        "require-lock-timeout",
        "require-statement-timeout",
        "require-timeout-settings",
        "transaction-nesting",
    }
)
# What the server refuses, whatever the table.
REFUSED = frozenset({"ban-concurrent-index-creation-in-transaction"})
# How long the table is locked, or whether it is rewritten, is a matter of its size.
LOCKING = frozenset(
    {
        "adding-exclusion-constraint",
        "adding-field-with-default",
        "adding-foreign-key-constraint",
        "adding-not-nullable-field",
        "adding-required-field",
        "adding-serial-primary-key-field",
        "changing-column-type",
        "constraint-missing-not-valid",
        "disallowed-unique-constraint",
        "require-concurrent-index-creation",
        "require-concurrent-index-deletion",
        "require-concurrent-partition-detach",
        "require-concurrent-reindex",
    }
)
# How a person likes to write a schema.
_TASTE = re.compile(
    r"prefer-(?!repack).*|ban-char-field|identifier-too-long|require-enum-value-ordering|require-table-schema"
)


# The statements, as squawk reads them


@dataclass(frozen=True)
class Script:
    """The statements of one revision, with the marks LEAVES and ENTERS between them."""

    revision: str
    statements: tuple[str, ...]

    def without(self, broken: frozenset[int]) -> tuple[str, list[tuple[int, int, int]]]:
        """Return the script as text, and first line, last line (from 0) and number of each statement; broken ones are left out."""
        lines = [f"-- revision {' '.join(self.revision.split())}", f"{ENTERS};"]
        places: list[tuple[int, int, int]] = []
        for number, statement in enumerate(self.statements):
            if number in broken or not statement.strip() or statement.startswith("-- and "):
                continue
            begin = len(lines)
            lines += readable(statement).splitlines()
            places.append((begin, len(lines) - 1, number))
        return "\n".join([*lines, f"{LEAVES};", ""]), places


_PLACEHOLDER = re.compile(r"%\(\w+\)s|(?<![\w%])%s")


def readable(statement: str) -> str:
    """Return a statement as squawk can read it: ended, and with NULL for the values that a driver sends apart."""
    text = _PLACEHOLDER.sub("NULL", statement.strip()).rstrip("; \n")
    commented = "--" in text.rpartition("\n")[2]
    return text + ("\n;" if commented else ";")


def statement_at(places: Sequence[tuple[int, int, int]], line: int) -> int | None:
    """Return the number of the statement that a line (from 0) belongs to."""
    return next((number for first, last, number in places if first <= line <= last), None)


# Which table a statement is about

_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_NAME = rf"({_IDENTIFIER}(?:\s*\.\s*{_IDENTIFIER})?)"
_IF = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?"
_WITH_TABLE = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        rf"\s*(?:ALTER|DROP|TRUNCATE|LOCK|REINDEX)\s+TABLE\s+(?:CONCURRENTLY\s+)?{_IF}{_NAME}",
        rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\b.*?\sON\s+(?:ONLY\s+)?{_NAME}",
        rf"\s*(?:DROP|ALTER|REINDEX)\s+INDEX\s+(?:CONCURRENTLY\s+)?{_IF}{_NAME}",
        rf"\s*(?:UPDATE|DELETE\s+FROM|INSERT\s+INTO|TRUNCATE)\s+{_IF}{_NAME}",
        rf"\s*CREATE\s+TRIGGER\b.*?\sON\s+{_NAME}",
    )
)
_KIND = r"(?:(?:FOREIGN\s+)?TABLE|TYPE|DOMAIN|SEQUENCE|(?:MATERIALIZED\s+)?VIEW|SCHEMA)"
_BEFORE = r"(?:OR\s+REPLACE\s+|UNLOGGED\s+|GLOBAL\s+|LOCAL\s+|TEMP(?:ORARY)?\s+)*"
_CREATES = re.compile(rf"\s*CREATE\s+{_BEFORE}{_KIND}\s+{_IF}{_NAME}", re.IGNORECASE)
_RENAMES = re.compile(rf"\s*ALTER\s+{_KIND}\s+{_IF}{_NAME}\s+RENAME\s+TO\s+({_IDENTIFIER})", re.IGNORECASE)
_CHANGES = re.compile(rf"\s*(?:ALTER|DROP)\s+{_KIND}\s+{_IF}{_NAME}", re.IGNORECASE)
_PART = re.compile(_IDENTIFIER)
_LEADING_COMMENT = re.compile(r"(?:\s*--[^\n]*\n|\s*/\*.*?\*/)+", re.DOTALL)

Name = tuple[str | None, str]  # schema, if it is written, and name, as the catalog has them


def parse_name(written: str) -> Name:
    """Return a name as the catalog has it: folded, unless it stands in quotes."""
    parts = [part[1:-1].replace('""', '"') if part.startswith('"') else part.lower() for part in _PART.findall(written)]
    return (parts[0], parts[1]) if len(parts) > 1 else (None, parts[0])


def _match(pattern: re.Pattern[str], statement: str) -> re.Match[str] | None:
    comment = _LEADING_COMMENT.match(statement)
    return pattern.match(statement, comment.end() if comment else 0)


def table_of(statement: str) -> Name | None:
    """Return the table, or the index, that a statement changes; None when it changes none."""
    found = next((match for pattern in _WITH_TABLE if (match := _match(pattern, statement))), None)
    return parse_name(found[1]) if found else None


def same(one: Name, other: Name) -> bool:
    """Say whether two names may mean the same table."""
    return one[1] == other[1] and (one[0] == other[0] or None in (one[0], other[0]))


def object_of(statement: str) -> Name | None:
    """Return the table, the type or whatever else a statement changes or drops; None when it does neither."""
    found = _match(_CHANGES, statement)
    return table_of(statement) or (parse_name(found[1]) if found else None)


def created_in(statements: Sequence[str]) -> list[Name]:
    """Return the tables, types and the like that statements create."""
    return [parse_name(match[1]) for statement in statements if (match := _match(_CREATES, statement))]


def renamed_in(statements: Sequence[str]) -> dict[Name, Name]:
    """Return the new names of tables and the like that statements rename, each with the first one."""
    names: dict[Name, Name] = {}
    for statement in statements:
        match = _match(_RENAMES, statement)
        if match:
            old = parse_name(match[1])
            names[old[0], parse_name(match[2])[1]] = names.get(old, old)
    return names


# How large it is


@dataclass(frozen=True)
class Size:
    """A live table. rows: as the planner reckons, None where nobody has counted."""

    name: str
    rows: int | None
    bytes: int

    def __str__(self) -> str:
        rows = "an unknown number of" if self.rows is None else f"about {self.rows:,}" if self.rows else "no"
        kilobytes = self.bytes / 1024
        amount = f"{kilobytes / 1024:,.0f} MB" if kilobytes >= 1024 else f"{kilobytes:,.0f} kB"
        return f"{self.name} has {rows} rows" + (f", {amount}" if self.rows != 0 else "")

    @property
    def small(self) -> bool:
        """Whether nobody notices a scan of it."""
        return (self.rows is None or self.rows <= SMALL_ROWS) and self.bytes < SMALL_BYTES


# Rows per page at the last count, times the pages now; of a partitioned table, of all its partitions.
_SIZES = """
SELECT n.nspname, c.relname, tn.nspname, t.relname, s.rows, s.bytes
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_class t ON t.oid = coalesce(i.indrelid, c.oid)
JOIN pg_namespace tn ON tn.oid = t.relnamespace
CROSS JOIN LATERAL (
    SELECT CASE WHEN bool_or(p.rows IS NULL) THEN NULL ELSE sum(p.rows)::bigint END, sum(p.bytes)::bigint
    FROM (
        SELECT pg_table_size(m.oid) AS bytes, CASE
            WHEN m.relkind = 'p' OR k.pages = 0 THEN 0
            WHEN m.reltuples >= 0 AND m.relpages > 0 THEN round(m.reltuples / m.relpages * k.pages)
        END AS rows
        FROM (SELECT t.oid UNION SELECT relid FROM pg_partition_tree(t.oid)) AS part (oid)
        JOIN pg_class m ON m.oid = part.oid
        CROSS JOIN LATERAL (SELECT pg_relation_size(m.oid) / current_setting('block_size')::int) AS k (pages)
    ) p
) AS s (rows, bytes)
WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I') AND c.relname = ANY (%s)
"""


@dataclass(frozen=True)
class Sizes:
    """The live tables by schema and name, an index under its own name; schemas: the search path."""

    tables: Mapping[tuple[str, str], Size]
    schemas: Sequence[str]

    def of(self, name: Name) -> Size | None:
        """Return the table that a name means; None when there is none."""
        schemas = [name[0]] if name[0] else self.schemas
        return next((self.tables[schema, name[1]] for schema in schemas if (schema, name[1]) in self.tables), None)


def read_sizes(connection: psycopg.Connection[Any], names: Sequence[str], schemas: Sequence[str]) -> Sizes:
    """Return the sizes of the tables that bear one of the names, or that an index of one belongs to, in one query."""
    rows = connection.execute(_SIZES, [list(names)]).fetchall() if names else []
    found = {(row[0], row[1]): Size(f"{row[2]}.{row[3]}", row[4], row[5]) for row in rows}
    return Sizes(found, schemas)


# What it comes to


@dataclass(frozen=True)
class Hit:
    """What a rule says of a statement; number: of the statement in its script."""

    script: int
    number: int
    rule: str
    message: str
    help: str


def severity_of(rule: str, harmless: bool, size: Size | None) -> str:
    """Return how grave a hit is. harmless: nobody uses yet what the statement is about; size: of its live table."""
    if rule in REFUSED:
        return ERROR
    if rule == SYNTAX or _TASTE.fullmatch(rule) or harmless:
        return NOTE
    if rule in LOCKING and size is not None and not size.small:
        return ERROR
    return WARNING


def weighed(
    hits: Sequence[Hit], scripts: Sequence[Script], sizes: Sizes, revisions: Mapping[str, Revision]
) -> Iterator[Finding]:
    """Yield a finding for each hit; scripts are in the order in which the revisions run."""
    everything = [statement for script in scripts for statement in script.statements]
    for hit in hits:
        script = scripts[hit.script]
        statement = script.statements[hit.number]
        subject = object_of(statement)
        size, fresh = _standing(statement, everything, sizes)
        message = hit.message
        if hit.rule == SYNTAX:
            message = f"squawk cannot read this statement, so no rule looked at it: {message}"
        elif size:
            message += f" ({size})"
        elif fresh and subject:
            message += f" ({'.'.join(filter(None, subject))} is not in the database yet)"
        severity = severity_of(hit.rule, fresh or (size is not None and size.rows == 0), size)
        yield Finding(
            hit.rule, severity, message, hit.help or "let no running client need it any more before this is applied", script.revision,
            revisions[script.revision].file.path, None, _cut(statement),
        )  # fmt: skip


def losses(scripts: Sequence[Script], sizes: Sizes, revisions: Mapping[str, Revision]) -> Iterator[Finding]:
    """Yield a finding for each statement that destroys or rewrites something; nobody loses what is not in the database yet."""
    everything = [statement for script in scripts for statement in script.statements]
    for script in scripts:
        for statement, loss in destructive(script.statements):
            size, fresh = _standing(statement, everything, sizes)
            if fresh:
                continue
            harmless, known = size is not None and size.rows == 0, f" ({size})" if size else ""
            yield Finding(
                "destructive", NOTE if harmless else ERROR, f"the revision costs {loss}{known}",
                "take a dump, and allow the revision by its name", script.revision, revisions[script.revision].file.path, None,
                _cut(statement),
            )  # fmt: skip


def _cut(statement: str) -> str:
    return statement if len(statement) <= SHOWN else statement[:SHOWN] + " …"


def _standing(statement: str, everything: Sequence[str], sizes: Sizes) -> tuple[Size | None, bool]:
    """Return the live table that a statement is about, and whether what it is about is not in the database yet."""
    renamed = renamed_in(everything)
    subject = object_of(statement)
    first = renamed.get(subject, subject) if subject else None
    created_here = first is not None and any(same(first, name) for name in created_in(everything))
    size = sizes.of(first) if first and table_of(statement) and not created_here else None
    return size, created_here or (table_of(statement) is not None and size is None)


def names_in(scripts: Sequence[Script]) -> list[str]:
    """Return the names of all tables and indexes that statements change, without their schemas, sorted."""
    statements = [statement for script in scripts for statement in script.statements]
    found = {name[1] for statement in statements if (name := table_of(statement))}
    return sorted(found | {old[1] for old in renamed_in(statements).values()})


# squawk itself


def find_squawk(squawk: str | None, python: str) -> str | None:
    """Return the path of squawk: the one that is named, else the one beside the project's interpreter or on the path; None for none."""
    if squawk is not None:
        return shutil.which(squawk)
    return shutil.which(str(Path(python).with_name("squawk"))) or shutil.which("squawk")


def ask(squawk: str, scripts: Sequence[Script], major: int, directory: str, temporary: str) -> list[Hit]:
    """Return what squawk says, in the project's directory, whose .squawk.toml holds. Raises StewardError.

    A statement that it cannot read keeps it from the rest of its file, so that it is asked again without that one.
    """
    hits, broken = _ask(squawk, scripts, major, directory, temporary, {})
    if broken:
        more, _broken = _ask(squawk, scripts, major, directory, temporary, broken)
        hits = [*hits, *(hit for hit in more if hit.rule != SYNTAX)]
    return sorted(hits, key=lambda hit: (hit.script, hit.number))


def _ask(
    squawk: str,
    scripts: Sequence[Script],
    major: int,
    directory: str,
    temporary: str,
    broken: Mapping[int, frozenset[int]],
) -> tuple[list[Hit], dict[int, frozenset[int]]]:
    """Return the hits, each once, and the statements of each script that cannot be read; broken ones are left out."""
    with tempfile.TemporaryDirectory(dir=temporary, prefix="squawk_") as place:
        places = []
        for index, script in enumerate(scripts):
            text, lines = script.without(broken.get(index, frozenset()))
            places.append(lines)
            Path(place, f"{index}.sql").write_text(text, encoding="utf-8")
        told = _run(squawk, [str(Path(place, f"{index}.sql")) for index in range(len(scripts))], major, directory)
    hits: dict[Hit, None] = {}
    unread: dict[int, frozenset[int]] = {}
    for item in told:
        index = int(Path(item["file"]).stem)
        number = statement_at(places[index], item["line"])
        if number is None or item["rule_name"] in SETTLED:
            continue
        if item["rule_name"] == SYNTAX:
            if number in unread.get(index, ()):
                continue
            unread[index] = unread.get(index, frozenset()) | {number}
        hits[Hit(index, number, item["rule_name"], item["message"], item["help"] or "")] = None
    return list(hits), unread


def _run(squawk: str, paths: Sequence[str], major: int, directory: str) -> list[dict[str, Any]]:
    command = [squawk, "--reporter", "json", "--pg-version", str(major), *paths]
    try:
        ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False)
        told = json.loads(ended.stdout)
        if ended.returncode in (0, 1) and isinstance(told, list):
            return told
        reason = f"exit status {ended.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"it did not end within {LIMIT} s"
    except OSError as error:
        reason = str(error.strerror)
    except ValueError:
        reason = next((line for line in ended.stderr.splitlines() if line.strip()), f"exit status {ended.returncode}")
    raise StewardError(
        f"{squawk} cannot be used: {reason}: install squawk-cli 2.70 or later, or name another by squawk"
    )
