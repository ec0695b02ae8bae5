# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names as the server's quote_ident writes them: in quotes only where they need them. Pure."""

from __future__ import annotations

import re
import string

# What quote_ident puts into quotes on any of 15 to 18 (source: pg_get_keywords() of 15.20, 17.12 and 18.6). One list for
# all, so that a name looks the same whatever the server; 15 itself leaves json and its kin and system_user bare.
KEYWORDS = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
    case cast char character check coalesce collate collation column concurrently constraint create cross
    current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
    decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
    freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect
    interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query
    json_scalar json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on
    only or order out outer overlaps overlay placing position precision primary real references returning right
    row select session_user setof similar smallint some substring symmetric system_user table tablesample then
    time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when
    where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi
    xmlroot xmlserialize xmltable
    """.split()
)

_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_PART = re.compile(r'(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<bare>[^".][^.]*))(?P<end>\.|\Z)', re.DOTALL)


def quote_ident(name: str) -> str:
    """Return a name as SQL text, in double quotes if it is a keyword or anything but lower-case ASCII, digits and _."""
    if _PLAIN.fullmatch(name) and name not in KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def qualified(*parts: str) -> str:
    """Return names joined by dots, each as quote_ident writes it."""
    return ".".join(map(quote_ident, parts))


def fold(name: str) -> str:
    """Return what the server takes a name without quotes for: ASCII capitals become small, others stay."""
    return name.translate(_FOLD)


def split(text: str) -> tuple[str, ...]:
    """Return the plain names of a qualified one. A part keeps its dots in double quotes; without them it is taken as it
    stands, capitals and spaces included. Raises ValueError when text is no such name."""
    names, place, end = [], 0, "."
    while end:
        part = _PART.match(text, place)
        if not part:
            raise ValueError(f"{text!r} is not a name")
        names.append(part["quoted"].replace('""', '"') if part["quoted"] else part["bare"])
        place, end = part.end(), part["end"]
    return tuple(names)
