# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SQL expressions as people write them, compared with how the server's pg_get_expr prints them. Pure.

Both texts become trees in which what the server adds is gone: brackets, casts of literals, its own spellings of IN, LIKE and
BETWEEN. What this reader does not know (CASE, subqueries, …) is compared as text: it may seem to differ, but never to agree.
The types of literals are all that is not compared. Source of the precedences: PostgreSQL documentation, chapter "Lexical Structure".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _spec_types as types
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import fold, split

Node = tuple[Any, ...]  # what it is, then its parts; names are tuples of their own

_TRUE = frozenset("t true y yes on 1".split())
_FALSE = frozenset("f false n no off 0".split())
_VALUES = frozenset(
    """
    current_catalog current_date current_role current_schema current_time current_timestamp current_user localtime localtimestamp
    session_user user
    """.split()
)
_UNKNOWN = frozenset("case exists row select".split())
_LIKE = {"like": ("~~", "!~~"), "ilike": ("~~*", "!~~*")}
_TRIM = {"both": "btrim", "leading": "ltrim", "trailing": "rtrim"}
_NUMBERS = frozenset({"smallint", "integer", "bigint", "real", "double precision", "numeric"})
_BINDING = {"or": 1, "and": 2, "is": 4, "isnull": 4, "notnull": 4} | dict.fromkeys(("<", ">", "=", "<=", ">=", "<>"), 5)
_BINDING |= dict.fromkeys(("in", "like", "ilike", "between", "not"), 6)
_BINDING |= {"+": 8, "-": 8, "*": 9, "/": 9, "%": 9, "^": 10, "at": 11, "collate": 12, "[": 14, "::": 15}
_NOT, _OTHER, _SIGN = 3, 7, 13

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?(?![\w.]))
  | (?P<string>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")+")
  | (?P<word>[^\W\d][\w$]*)
  | (?P<sign>::|[()\[\],.:])
  | (?P<operator>[-+*/<>=~!@\#%^&|`?]+)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# A text that calls something, quotes something or casts something is SQL, not the bare text of a literal.
_SQL = re.compile(r"[\w\"]\(|'|::")


class _UnknownError(ValueError):
    """The text is beyond this reader."""


class _Name(tuple[str, ...]):
    """A name, one item a part; without its first parts it fits a longer one."""

    __slots__ = ()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def same(expected: str, found: str, relabelled: Iterable[str] = ()) -> bool:
    """Say whether two expressions are the same; found is the server's text.

    relabelled: the columns of type character varying, which the server casts to text wherever an operator reads them.
    """
    columns = frozenset(relabelled)
    try:
        return _same(_parse(expected, columns), _parse(found, columns))
    except (_UnknownError, RecursionError):
        return _words(expected) == _words(found)


def same_default(expected: str | None, found: str | None) -> bool:
    """Say whether the default of a column is the expected one; None is no default, and so is a NULL in the server's text.

    expected is an expression, or the bare text of a literal: `employee` is `'employee'::user_role_enum`.
    """
    literal = _literal(found)
    if expected is None or found is None or literal == ("null",):
        return expected is None and (found is None or literal == ("null",))
    if same(expected, found):
        return True
    if literal is None or _SQL.search(expected) or expected.lower() in _VALUES:
        return False
    kind, value = literal
    if kind == "bool":
        return value is _boolean(expected)
    return bool(value == (expected if kind == "str" else _decimal(expected)))


def _literal(text: str | None) -> Node | None:
    try:
        node = _parse(text, frozenset()) if text is not None else None
    except (_UnknownError, RecursionError):
        return None
    return node if node and node[0] in ("str", "num", "bool", "null") else None


def _same(expected: Any, found: Any) -> bool:
    if isinstance(expected, _Name) and isinstance(found, _Name):
        return found[-len(expected) :] == expected
    if isinstance(expected, types.Type) and isinstance(found, types.Type):
        return types.equal(expected, found)
    if not (isinstance(expected, tuple) and isinstance(found, tuple)):
        return bool(expected == found)
    # A literal in quotes takes the type of what it meets.
    if expected[:1] == ("str",) and found[:1] == ("num",):
        return bool(found[1] == _decimal(expected[1]))
    if expected[:1] == ("str",) and found[:1] == ("bool",):
        return _boolean(expected[1]) is found[1]
    return len(expected) == len(found) and all(map(_same, expected, found))


def _words(text: str) -> list[str]:
    """Return the tokens of a text, unquoted words folded, without the brackets around all of it."""
    words, place, text = [], 0, text.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found or not found.lastgroup:
            return [text]
        word = found[found.lastgroup]
        words.append(fold(word) if found.lastgroup == "word" else word)
        place = found.end()
    return words[1:-1] if words[:1] == ["("] and words[-1:] == [")"] else words


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _boolean(text: str) -> bool | None:
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _parse(text: str, relabelled: frozenset[str]) -> Node:
    parser = _Parser(text, relabelled)
    node = parser.expression(0)
    if parser.token.kind != "end":
        raise _UnknownError(text)
    return node


def _tokens(text: str) -> list[_Token]:
    text = text.rstrip()
    tokens, place = [], 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found or not found.lastgroup:
            raise _UnknownError(text)
        kind, word = found.lastgroup, found[found.lastgroup]
        place = found.end()
        if kind == "operator":
            word = _operator(word)
            place = found.start("operator") + len(word)
        tokens.append(_Token(kind, word, found.start(kind), place))
    return [*tokens, _Token("end", "", len(text), len(text))]


def _operator(run: str) -> str:
    """Return the operator that a run of operator characters starts with: only those with a special character end in a sign."""
    if "--" in run or "/*" in run:
        raise _UnknownError(run)
    while len(run) > 1 and run[-1] in "+-" and not set(run) & set("~!@#%^&|`?"):
        run = run[:-1]
    return run


class _Parser:
    """A parser by operator precedence. Raises _UnknownError for what it does not know."""

    def __init__(self, text: str, relabelled: frozenset[str]) -> None:
        self.text, self.relabelled = text.strip(), relabelled
        self.tokens, self.place = _tokens(self.text), 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.place]

    def next(self) -> _Token:
        """Return the token here and step over it."""
        token = self.token
        self.place = min(self.place + 1, len(self.tokens) - 1)
        return token

    def word(self, token: _Token | None = None) -> str:
        """Return the keyword or sign that a token is; empty for names in quotes and literals."""
        token = token or self.token
        return token.text.lower() if token.kind in ("word", "sign", "operator") else ""

    def accept(self, *words: str) -> bool:
        """Step over words if they are here."""
        if [self.word(token) for token in self.tokens[self.place : self.place + len(words)]] != list(words):
            return False
        self.place += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise _UnknownError(self.text)

    def expression(self, binding: int) -> Node:
        """Return the expression from here on whose operators bind at least that much."""
        node = self.operand()
        while True:
            word = self.word()
            strength = _BINDING.get("<>" if word == "!=" else word, _OTHER if self.token.kind == "operator" else -1)
            if strength < max(binding, 1):
                return node
            node = self.operation(node, self.next(), strength)

    def operand(self) -> Node:
        token = self.token
        if token.kind == "number":
            return ("num", Decimal(self.next().text))
        if token.kind == "string":
            return ("str", self.next().text[1:-1].replace("''", "'"))
        if self.accept("("):
            node = self.expression(0)
            self.expect(")")
            return node
        if self.accept("not"):
            return ("not", self.expression(_NOT))
        if token.kind == "operator":
            return self.signed(self.next().text)
        if token.kind not in ("word", "quoted") or self.word() in _UNKNOWN:
            raise _UnknownError(self.text)
        return self.typed_literal() or self.named()

    def signed(self, sign: str) -> Node:
        node = self.expression(_SIGN if sign in "+-" else _OTHER)
        if sign == "-" and node[0] == "num":
            return ("num", -node[1])
        return node if sign == "+" else ("sign", sign, node)

    def typed_literal(self) -> Node | None:
        """Return a literal behind the name of its type, as in interval '1 day'."""
        found = types.match(self.text, self.token.start)
        if not found:
            return None
        here = next(i for i in range(self.place + 1, len(self.tokens)) if self.tokens[i].start >= found[1])
        if self.tokens[here].kind != "string":
            return None
        if self.tokens[here].start == self.tokens[here - 1].end:
            raise _UnknownError(self.text)  # E'…', B'…' and their kin
        self.place = here
        return self.cast(self.operand(), found[0])

    def named(self) -> Node:
        """Return what starts with a name: a column, a call, or one of the values and calls that have words of their own."""
        word = self.word()
        if word in ("true", "false", "null"):
            self.next()
            return ("null",) if word == "null" else ("bool", word == "true")
        if self.accept("array", "["):
            return ("array", self.list_to("]"))
        if self.accept("cast", "("):
            node = self.expression(0)
            self.expect("as")
            node = self.cast(node, self.type())
            self.expect(")")
            return node
        if word in ("extract", "trim") and self.accept(word, "("):
            return self.extract() if word == "extract" else self.trim()
        parts = [self.part()]
        while self.accept("."):
            parts.append(self.part())
        if len(parts) > 1 and parts[0] == "pg_catalog":
            parts = parts[1:]
        if self.accept("("):
            return self.call(parts, self.list_to(")"))
        if word in _VALUES and len(parts) == 1:
            return ("call", _Name(["now" if word == "current_timestamp" else word]), ())
        return ("name", _Name(parts))

    def part(self) -> str:
        token = self.next()
        if token.kind == "quoted":
            return token.text[1:-1].replace('""', '"')
        if token.kind != "word":
            raise _UnknownError(self.text)
        return fold(token.text)

    def call(self, parts: list[str], arguments: tuple[Node, ...]) -> Node:
        if parts[-1] == "nextval" and arguments and arguments[0][0] == "str":
            # The argument names a sequence, which the server prints with its schema.
            try:
                arguments = (("name", _Name(split(arguments[0][1]))),)
            except ValueError:
                raise _UnknownError(self.text) from None
        return ("call", _Name(parts), arguments)

    def extract(self) -> Node:
        unit = ("str", self.next().text.lower().strip("'"))
        self.expect("from")
        node = self.expression(0)
        self.expect(")")
        return ("call", _Name(["extract"]), (unit, node))

    def trim(self) -> Node:
        side = _TRIM[self.next().text.lower() if self.word() in _TRIM else "both"]
        arguments = [] if self.accept("from") else [self.expression(0)]
        if not arguments or self.accept("from"):
            arguments.insert(0, self.expression(0))
        elif self.accept(","):
            arguments.append(self.expression(0))
        self.expect(")")
        return ("call", _Name([side]), tuple(arguments))

    def list_to(self, end: str) -> tuple[Node, ...]:
        """Return the expressions up to a closing sign."""
        if self.accept(end):
            return ()
        nodes = [self.expression(0)]
        while self.accept(","):
            nodes.append(self.expression(0))
        self.expect(end)
        return tuple(nodes)

    def type(self) -> types.Type:
        found = types.match(self.text, self.token.start)
        if not found:
            raise _UnknownError(self.text)
        while self.token.kind != "end" and self.token.start < found[1]:
            self.next()
        return found[0]

    def cast(self, node: Node, to: types.Type) -> Node:
        """Return a node cast: a literal becomes a value of the type, and what the server added is left out."""
        if node[0] == "str" and not to.array:
            number = _decimal(node[1]) if to.name in _NUMBERS else None
            truth = _boolean(node[1]) if to.name == "boolean" else None
            if truth is not None:
                return ("bool", truth)
            return node if number is None else ("num", number)
        if node[0] in ("str", "num", "bool", "null"):
            return node
        if node[0] == "array" and all(item[0] in ("str", "num", "bool", "null") for item in node[1]):
            return node
        if node[0] == "name" and to.name == "text" and node[1][-1] in self.relabelled:
            return node
        return ("cast", to, node)

    def operation(self, left: Node, operator: _Token, strength: int) -> Node:
        """Return the operation of an operator that was stepped over; left is what stands before it."""
        word = self.word(operator)
        if word in ("and", "or"):
            return _joined(word, left, self.expression(strength + 1))
        if word == "is":
            return self.is_(left)
        if word in ("isnull", "notnull"):
            return ("is", "null" if word == "isnull" else "not null", left)
        if word in ("in", "like", "ilike", "between", "not"):
            return self.membership(left, word)
        if word == "::":
            return self.cast(left, self.type())
        if word == "[":
            node = self.expression(0)
            self.expect("]")
            return ("item", left, node)
        if word == "at":
            self.expect("time", "zone")
            return ("call", _Name(["timezone"]), (self.expression(strength + 1), left))
        if word == "collate":
            return ("collate", left, self.expression(strength + 1))
        return self.binary(left, "<>" if word == "!=" else word, strength)

    def binary(self, left: Node, operator: str, strength: int) -> Node:
        for quantifier in ("any", "some", "all"):
            if self.accept(quantifier, "("):
                right = self.expression(0)
                self.expect(")")
                return ("all" if quantifier == "all" else "any", operator, left, right)
        return ("operation", operator, left, self.expression(strength + 1))

    def is_(self, left: Node) -> Node:
        negated = self.accept("not")
        if self.accept("distinct", "from"):
            node = ("distinct", left, self.expression(_BINDING["="]))
            return ("not", node) if negated else node
        word = self.word(self.next())
        if word not in ("null", "true", "false", "unknown"):
            raise _UnknownError(self.text)
        return ("is", f"not {word}" if negated else word, left)

    def membership(self, left: Node, word: str) -> Node:
        negated = word == "not"
        word = self.word(self.next()) if negated else word
        if word == "in":
            self.expect("(")
            items = self.list_to(")")
            operator = "<>" if negated else "="
            if len(items) == 1:
                return ("operation", operator, left, items[0])
            return ("all" if negated else "any", operator, left, ("array", items))
        if word == "between":
            low = self.expression(_OTHER)
            self.expect("and")
            high = self.expression(_OTHER)
            bounds = [
                ("operation", sign, left, limit)
                for sign, limit in zip("<>" if negated else (">=", "<="), (low, high), strict=True)
            ]
            return _joined("or" if negated else "and", *bounds)
        if word not in _LIKE:
            raise _UnknownError(self.text)
        return ("operation", _LIKE[word][negated], left, self.expression(_OTHER))


def _joined(word: str, left: Node, right: Node) -> Node:
    """Return two conditions joined by and or or, as one list with those that either side has already."""
    parts = [node[1] if node[0] == word else (node,) for node in (left, right)]
    return (word, (*parts[0], *parts[1]))
