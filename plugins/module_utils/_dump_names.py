# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What dumps and their files are called: `<database>/backup_<environment>_YYYYMMDD_HHMMSS<ending>` in every store. Pure.

The moment is UTC, so that names sort by age through any change of clocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

STAMP = "%Y%m%d_%H%M%S"
ENCRYPTED = ".enc"
MANIFEST, GLOBALS, CATALOG = ".manifest.json", ".globals.sql.gz", ".catalog.json.gz"
CUSTOM, PLAIN, DIRECTORY, SQLITE = "custom", "plain", "directory", "sqlite"
# What the file of a dump ends with; those of a directory stand below its name.
ENDINGS = {CUSTOM: ".dump", PLAIN: ".sql", DIRECTORY: "/", SQLITE: ".sqlite"}
COMPRESSED = {"gzip": ".gz", "zstd": ".zst", "none": ""}

_ENVIRONMENT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,38}[A-Za-z0-9])?")
_NAME = re.compile(r"backup_(?P<environment>[A-Za-z0-9][A-Za-z0-9_-]*)_(?P<stamp>[0-9]{8}_[0-9]{6})")
_KEY = re.compile(rf"(?P<folder>[^/]+)/(?P<name>{_NAME.pattern})(?P<ending>[./].+)")


@dataclass(frozen=True)
class Name:
    """The name of a dump. at: when it began, in whole seconds."""

    environment: str
    at: datetime

    def __str__(self) -> str:
        return f"backup_{self.environment}_{self.at.astimezone(UTC).strftime(STAMP)}"


@dataclass(frozen=True)
class Key:
    """A file in a store. ending: what follows the name of the dump, with a dot or, in a directory, with a slash."""

    database: str
    name: Name
    ending: str

    def __str__(self) -> str:
        return folder(self.database) + f"/{self.name}{self.ending}"

    @property
    def encrypted(self) -> bool:
        """Whether it is encrypted."""
        return self.ending.endswith(ENCRYPTED)

    @property
    def plain_ending(self) -> str:
        """The ending without the one of encryption."""
        return self.ending.removesuffix(ENCRYPTED)


def name_of(environment: str, at: datetime) -> Name:
    """Return the name of a dump that begins now; raises StewardError for an environment that cannot be part of it."""
    if not _ENVIRONMENT.fullmatch(environment):
        raise StewardError(
            f"environment {environment!r} cannot be part of a dump's name: take letters, digits, - and _, at most 40 of them"
        )
    return Name(environment, at.astimezone(UTC).replace(microsecond=0))


def parse(text: str) -> Name | None:
    """Return the name of a dump that a text is, None when it is none."""
    match = _NAME.fullmatch(text)
    if not match:
        return None
    try:
        at = datetime.strptime(match["stamp"], STAMP).replace(tzinfo=UTC)
    except ValueError:  # 31 February
        return None
    return Name(match["environment"], at)


def parse_key(text: str) -> Key | None:
    """Return what a key of a store says, None when it is no file of a dump."""
    match = _KEY.fullmatch(text)
    name = parse(match["name"]) if match else None
    return Key(unfolded(match["folder"]), name, match["ending"]) if match and name else None


def folder(database: str) -> str:
    """Return what the files of a database stand below: its name, percent-encoded where a path or an address would misread it."""
    quoted = quote(database, safe="")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def unfolded(text: str) -> str:
    """Return the database of a folder."""
    return unquote(text)


def dump_ending(form: str, method: str) -> str:
    """Return what the file of a dump ends with. A custom archive is compressed within."""
    return ENDINGS[form] + (COMPRESSED[method] if form in (PLAIN, SQLITE) else "")
