# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names and values as SQL text. Pure."""

from __future__ import annotations

PUBLIC = "public"  # PostgreSQL reserves the word: no role can have this name


def identifier(name: str) -> str:
    """Return a name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a value in single quotes."""
    quoted = text.replace("'", "''")
    # The escape form reads a backslash the same whatever standard_conforming_strings says.
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"


def grantee(role: str) -> str:
    """Return whom a GRANT names: a role, or everyone."""
    return "PUBLIC" if role == PUBLIC else identifier(role)
