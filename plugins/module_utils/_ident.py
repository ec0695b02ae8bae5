# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Maps that say which account of the operating system may log in as which account of the server: checked, and written as pg_ident.conf. Pure.

The grammar is that of the PostgreSQL documentation, chapter "User Name Maps"; its tokens are those of pg_hba.conf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._hba import NAME_BYTES, RuleError, bare, rule_lines

LOCAL_MAP = (
    "pgsteward"  # of the automatic rules: what the account of the server may be over the socket beside the superuser
)
HEADER = "# Managed by pgsteward.postgres, role pg_hba. Change the inventory, not this file.\n"
KEYS = ("map", "system_user", "user")
_COLUMNS = ("MAP", "SYSTEM USER", "USER")


@dataclass(frozen=True)
class Identity:
    """One line: under the map, who is system_user to the operating system may be user."""

    map: str
    system_user: str
    user: str

    @property
    def cells(self) -> tuple[str, str, str]:
        """The fields as they are written."""
        return (bare(self.map), bare(self.system_user), bare(self.user))


def parse(lines: Sequence[Mapping[str, Any]], variable: str = "maps") -> tuple[Identity, ...]:
    """Return the lines checked; raises RuleError with one line for the first that is wrong."""
    found = []
    for index, line in enumerate(lines):
        where = f"{variable}[{index}]"
        unknown = sorted(set(line) - set(KEYS))
        if unknown:
            raise RuleError(f"{where}: {unknown[0]} is no key; the keys are {', '.join(KEYS)}")
        for key in KEYS:
            text = line.get(key)
            if not isinstance(text, str) or not text or not text.isprintable() or len(text.encode()) > NAME_BYTES:
                raise RuleError(f"{where}: {key} has to be a name of up to {NAME_BYTES} bytes")
        found.append(Identity(**{key: line[key] for key in KEYS}))
    return tuple(found)


def local(users: Sequence[str], superuser: str) -> list[dict[str, str]]:
    """Return the lines by which the account of the server may be each of the users over the socket."""
    return [{"map": LOCAL_MAP, "system_user": superuser, "user": user} for user in users]


def assemble(inputs: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the lines of a host from the inputs of the role by their names without the prefix."""
    return [*local(inputs["local_users"], inputs["superuser"]), *inputs["maps"]]


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for the first thing that is wrong with the operator's own lines."""
    try:
        parse(inputs["maps"], "pg_hba_maps")
    except RuleError as error:
        return [str(error)]
    return []


def render(lines: Sequence[Identity]) -> str:
    """Return the file: a header, and one line each in aligned columns."""
    table = [_COLUMNS, *(line.cells for line in lines)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    rows = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    return HEADER + "\n" + "\n".join([f"# {rows[0]}", *rows[1:]]) + "\n"


def is_ours(text: str | None) -> bool:
    """Tell whether a file was written here."""
    return (text or "").startswith(HEADER)


def strange(text: str | None, wanted: str) -> list[str]:
    """Return the lines of a file that somebody else wrote and that would be lost."""
    return [] if is_ours(text) else [line for line in rule_lines(text or "") if line not in rule_lines(wanted)]
