# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which statements of a revision destroy data, or rewrite it. Pure; reads SQL and runs none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_LEXER = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*)
  | (?P<literal>\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
  | (?P<dollar>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_NAMES = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_IF_EXISTS = r"(?:IF\s+EXISTS\s+)?"
# What goes with it, for what DROP may name; an index, a view or a function can be made again from its definition.
_DROPPED = {
    "TABLE": "every row of it",
    "SCHEMA": "all that is in it",
    "TYPE": "the type",
    "DOMAIN": "the type",
    "MATERIALIZED VIEW": "its stored rows",
    "SEQUENCE": "how far it has counted",
    "DATABASE": "all that is in it",
    "OWNED": "all that the role owns",
}
_CASCADE = "whatever depends on it"
# Where a statement that counts may begin in a body of PL/pgSQL, after BEGIN, THEN, LOOP and the like.
_INSIDE = re.compile(r"(?<![\w.])(?:DROP|TRUNCATE|DELETE\s+FROM|ALTER\s+(?:TABLE|TYPE)|WITH)(?=\s)", re.IGNORECASE)
_EXECUTED = re.compile(r"\bEXECUTE\s+(?:format\s*\(\s*)?\x00(\d+)\x00", re.IGNORECASE)


@dataclass(frozen=True)
class _Piece:
    """One statement as it was written, and with spaces for comments and a numbered mark for each literal."""

    written: str
    bare: str
    literals: tuple[str, ...]

    def starts(self, pattern: str) -> re.Match[str] | None:
        """Return the match of a pattern at the beginning, whatever the capitals."""
        return re.match(pattern, self.bare, re.IGNORECASE | re.DOTALL)


def destructive(statements: Sequence[str]) -> list[tuple[str, str]]:
    """Return each statement of one revision that destroys or rewrites something, with what that is.

    The contents of a table that an earlier statement of the same revision made are no loss.
    """
    made: set[str] = set()
    found = []
    for statement in statements:
        for piece in _pieces(statement):
            made |= _made(piece)
            found += [(piece.written, loss) for loss in _losses(piece, made)]
    return found


def _pieces(text: str) -> Iterator[_Piece]:
    """Yield the statements of a text; it may hold several, with semicolons between them."""
    bare: list[str] = []
    literals: list[str] = []
    begin = place = 0
    while match := _LEXER.search(text, place):
        bare.append(text[place : match.start()])
        place = match.end()
        if match["comment"] == "/*":
            place = _comment_end(text, match.start())
        if match["comment"]:
            bare.append(" ")
        elif match["literal"] or match["dollar"]:
            bare.append(f"\x00{len(literals)}\x00")
            literals.append(_content(match))
        elif match["quoted"]:
            bare.append(match[0])
        else:
            yield _piece(text[begin : match.start()], bare, literals)
            begin, bare, literals = place, [], []
    yield _piece(text[begin:], [*bare, text[place:]], literals)


def _piece(written: str, bare: Iterable[str], literals: Iterable[str]) -> _Piece:
    return _Piece(written.strip(), "".join(bare).strip(), tuple(literals))


def _comment_end(text: str, begin: int) -> int:
    """Return where a comment ends; comments of this kind nest."""
    depth, place = 0, begin
    while match := re.compile(r"/\*|\*/").search(text, place):
        depth, place = depth + (1 if match[0] == "/*" else -1), match.end()
        if depth == 0:
            return place
    return len(text)


def _content(match: re.Match[str]) -> str:
    if match["dollar"]:
        mark = len(match["tag"]) + 2
        return match["dollar"][mark:-mark]
    return match["literal"].partition("'")[2][:-1].replace("''", "'")


def _name(written: str) -> str:
    """Return a name as the server folds it, without spaces around its dots."""
    parts = re.findall(_NAME, written)
    return ".".join(part[1:-1].replace('""', '"') if part.startswith('"') else part.lower() for part in parts)


def _made(piece: _Piece) -> set[str]:
    """Return the table that a statement certainly makes; with IF NOT EXISTS it may have been there."""
    match = piece.starts(
        rf"CREATE\s+(?:(?:GLOBAL|LOCAL)\s+)?(?:TEMP(?:ORARY)?\s+|UNLOGGED\s+)?TABLE\s+(?!IF\s+NOT)({_NAMES})"
    )
    return {_name(match[1])} if match else set()


def _losses(piece: _Piece, made: set[str]) -> Iterator[str]:
    """Yield what a statement destroys or rewrites."""
    word = piece.bare[:32].partition(" ")[0].split("\n")[0].upper()
    if word == "DROP":
        yield from _drop(piece, made)
    elif word == "TRUNCATE":
        names = _listed(piece, rf"TRUNCATE\s+(?:TABLE\s+)?(?:ONLY\s+)?(.*?){_TAIL}")
        if not set(names) <= made:
            yield f"every row of {', '.join(names)}{_and_more(piece)}"
    elif word == "DELETE":
        match = piece.starts(rf"DELETE\s+FROM\s+(?:ONLY\s+)?({_NAMES})")
        if match and _name(match[1]) not in made:
            some = re.search(r"\bWHERE\b", piece.bare, re.IGNORECASE)
            yield f"{'the rows that fit its condition' if some else 'every row'}, of {_name(match[1])}"
    elif word in ("WITH", "MERGE"):
        pattern = (
            rf"\bDELETE\s+FROM\s+({_NAMES})" if word == "WITH" else rf"^MERGE\s+INTO\s+({_NAMES}).*\bTHEN\s+DELETE\b"
        )
        for match in re.finditer(pattern, piece.bare, re.IGNORECASE | re.DOTALL):
            if _name(match[1]) not in made:
                yield f"rows of {_name(match[1])}"
    elif word == "ALTER":
        yield from _alter(piece, made)
    elif word == "DO":
        yield from _block(piece, made)


_TAIL = r"(?:\s+(?:CASCADE|RESTRICT|RESTART\s+IDENTITY|CONTINUE\s+IDENTITY)\b.*)?$"


def _listed(piece: _Piece, pattern: str) -> list[str]:
    match = piece.starts(pattern)
    return [_name(item) for item in match[1].split(",")] if match else []


def _and_more(piece: _Piece) -> str:
    return f", and {_CASCADE}" if re.search(r"\bCASCADE\s*$", piece.bare, re.IGNORECASE) else ""


def _drop(piece: _Piece, made: set[str]) -> Iterator[str]:
    kinds = "|".join(kind.replace(" ", r"\s+") for kind in _DROPPED)
    match = piece.starts(rf"DROP\s+({kinds})\s+(?:BY\s+)?{_IF_EXISTS}(.*?){_TAIL}")
    if match:
        kind = " ".join(match[1].upper().split())
        names = [_name(item) for item in match[2].split(",")]
        if kind != "TABLE" or not set(names) <= made:
            yield f"{kind.lower()} {', '.join(names)}: {_DROPPED[kind]}{_and_more(piece)}"
    elif _and_more(piece):
        yield _CASCADE


def _alter(piece: _Piece, made: set[str]) -> Iterator[str]:
    match = piece.starts(rf"ALTER\s+(?:FOREIGN\s+)?(TABLE|TYPE)\s+{_IF_EXISTS}(?:ONLY\s+)?({_NAMES})\s*\*?\s+(.*)$")
    if not match or _name(match[2]) in made:
        return
    table = _name(match[2])
    for action in _actions(match[3]):
        begun = re.match(
            rf"(?:(DROP)\s+(?:COLUMN\s+|ATTRIBUTE\s+|(?!CONSTRAINT\b)){_IF_EXISTS}({_NAME})"
            rf"|(ALTER)\s+(?:COLUMN\s+|ATTRIBUTE\s+)?({_NAME})\s+(?:SET\s+DATA\s+)?TYPE\b)",
            action,
            re.IGNORECASE,
        )
        if begun and begun[1]:
            more = f", and {_CASCADE}" if re.search(r"\bCASCADE\s*$", action, re.IGNORECASE) else ""
            yield f"column {table}.{_name(begun[2])} with its values{more}"
        elif begun:
            yield f"rewrites column {table}.{_name(begun[4])}; values that do not fit the new type are cut or refused"
        elif re.match(r"DROP\s+CONSTRAINT\b.*\bCASCADE\s*$", action, re.IGNORECASE | re.DOTALL):
            yield _CASCADE


def _actions(text: str) -> list[str]:
    """Return the actions of an ALTER, which commas outside of parentheses part."""
    depth, found = 0, [""]
    for part in re.findall(r'"(?:[^"]|"")*"|.', text, re.DOTALL):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == "," and depth == 0:
            found.append("")
        else:
            found[-1] += part
    return [action.strip() for action in found]


def _block(piece: _Piece, made: set[str]) -> Iterator[str]:
    """Yield what the body of a DO destroys, and the texts that it gives to EXECUTE."""
    for body in piece.literals:
        for inner in _pieces(body):
            match = _INSIDE.search(inner.bare)
            if match:
                yield from _losses(_Piece(inner.written, inner.bare[match.start() :], inner.literals), made)
            for executed in _EXECUTED.finditer(inner.bare):
                for run in _pieces(inner.literals[int(executed[1])]):
                    yield from _losses(run, made)
