# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One text for one definition, whichever server printed it and however often it went through a dump. Pure.

The texts are those of PostgreSQL's ruleutils.c, printed with an empty search_path and without pretty flags: keywords are
in capitals, names that are not plain lower case in quotes, nearly every operation in brackets. The results are for
comparison; they read like SQL but need not be what any server would print.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

_TOKEN = re.compile(
    r"'(?:[^']|'')*'"
    r"|[eE]'(?:[^'\\]|\\.|'')*'"
    r'|"(?:[^"]|"")*"'
    r"|(?P<tag>\$(?:[^\W\d]\w*)?\$).*?(?P=tag)"
    r"|\w+|::|\s+|[-+*/<>=~!@#%^&|`?]+|.",
    re.DOTALL,
)
_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
_NAME = re.compile(r'[a-z_][a-z0-9_]*|".*"', re.DOTALL)
# Names that PostgreSQL 16 and 17 began to quote, because they made keywords of them.
_NEWLY_QUOTED = frozenset(
    f'"{name}"'
    for name in "json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar"
    " json_serialize json_table json_value merge_action system_user".split()
)
_MAYBE_NEWLY_QUOTED = re.compile('"(?:json|merge_action"|system_user")')
_CLOSER = {"(": ")", "[": "]"}
# Operations that bring their own brackets; whether they get a second pair in an index depends on the minor release.
_BRACKETED = frozenset({"AT", "NORMALIZED", "OVERLAPS"})
_NO_INDENT = [" ", "NO", " ", "INDENT"]
_QUERY = frozenset({"SELECT", "VALUES", "WITH"})
_SET_OPERATION = frozenset({"EXCEPT", "INTERSECT", "UNION"})
_AFTER_FROM = frozenset({"WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR", ";"})


@dataclass(frozen=True, eq=False)
class _Group:
    """A pair of brackets and what stands in it."""

    opener: str
    items: list[_Item]
    text: str


_Item = str | _Group


def expression(text: str) -> str:
    """Return the one form of a printed expression, or of a definition that holds some: an index, a trigger, a rule, a body.

    Most texts are in it already; those come back at once.
    """
    if (
        "])::" in text
        or "]::" in text
        or ")) AND " in text
        or ")) OR " in text
        or " AT " in text
        or " OVERLAPS " in text
        or " NORMALIZED" in text
        or " IS DOCUMENT" in text
        or " NO INDENT" in text
        or ('"' in text and _MAYBE_NEWLY_QUOTED.search(text))
    ):
        return _rewritten(text)
    return text


def view(text: str, major: int) -> str:
    """Return the one form of the query of a view or materialized view, as a server of that major version printed it.

    From PostgreSQL 16 on, a query that reads a single table has its columns without the name of that table.
    """
    return expression(text if major >= 16 else _without_prefixes(text))


def _tokens(text: str) -> list[str]:
    return [match[0] for match in _TOKEN.finditer(text)]


def _text(items: Sequence[_Item]) -> str:
    return "".join(item if isinstance(item, str) else item.text for item in items)


def _group(opener: str, items: list[_Item]) -> _Group:
    return _Group(opener, items, opener + _text(items) + _CLOSER[opener])


def _rewritten(text: str) -> str:
    """Apply every rule but that of view(), innermost brackets first; without recursion, since long sums nest deeply."""
    stack: list[tuple[str, list[_Item]]] = [("", [])]
    for word in _tokens(text):
        opener, items = stack[-1]
        if word in _CLOSER:
            stack.append((word, []))
        elif word == _CLOSER.get(opener):
            stack.pop()
            around = stack[-1][1]
            around += _closed(opener, _settled(items), around)
        else:
            items.append(word[1:-1] if word in _NEWLY_QUOTED else word)
    return "".join(opener + _text(_settled(items)) for opener, items in stack)


def _closed(opener: str, items: list[_Item], before: Sequence[_Item]) -> list[_Item]:
    """Return what a pair of brackets becomes, given what stands in it and before it."""
    if opener == "(" and _is_name_end(before):  # the arguments of a function
        # PostgreSQL 16 and later say this where 15 has nothing to say.
        return [_group(opener, items[:-4] if items[-4:] == _NO_INDENT else items)]
    match items:
        # Some releases of PostgreSQL 18 leave the brackets off.
        case [*operand, " ", "IS", " ", "DOCUMENT"] if opener == "(" and not any(map(_is_space, operand)):
            return items
        case [_Group("(", inner)] if opener == "(" and any(word in inner for word in _BRACKETED):
            return items
    return [_group(opener, items)]


def _is_name_end(before: Sequence[_Item]) -> bool:
    return bool(before) and isinstance(before[-1], str) and (before[-1][-1].isalnum() or before[-1][-1] in '_"')


def _is_space(item: _Item) -> bool:
    return isinstance(item, str) and item.isspace()


def _settled(items: list[_Item]) -> list[_Item]:
    """Return what stands in a pair of brackets, after the rules for its parts."""
    return _flat(_with_casts_inside(items))


def _flat(items: list[_Item]) -> list[_Item]:
    """Turn `(a AND b) AND c` into `a AND b AND c`, as the parser does, except when BETWEEN or IN makes the first part."""
    match items:
        case [_Group("(", inner), " ", "AND" | "OR" as word, *_] if word in inner:
            return [*inner, *items[1:]]
    return items


def _with_casts_inside(items: list[_Item]) -> list[_Item]:
    """Turn each `(ARRAY[a, b])::t[]` into `ARRAY[(a)::t, (b)::t]`, as the parser does, except when IN makes the array."""
    done: list[_Item] = []
    start = 0
    while start < len(items):
        match items[start : start + 3]:
            case [_Group("(", ["ARRAY", _Group("[", [_, *_]) as array]), "::", _] if end := _end_of_type(
                items, start + 2
            ):
                done += ["ARRAY", _cast(array, items[start + 2 : end])]
                start = end + 1
            # pg_get_statisticsobjdef() prints pretty, that is with few brackets.
            case ["ARRAY", _Group("[", [_, *_]) as array, "::"] if end := _end_of_type(items, start + 3):
                done += ["ARRAY", _cast(array, items[start + 3 : end], pretty=True)]
                start = end + 1
            case _:
                done.append(items[start])
                start += 1
    return done


def _end_of_type(items: Sequence[_Item], start: int) -> int:
    """Return where the [] stands that ends the name of a type which begins at start; 0 when that is no array type."""
    for position in range(start, len(items)):
        match items[position]:
            case _Group("[", []):
                return position
            case _Group("(") | " " | ".":  # numeric(5,2), character varying, public.mood
                pass
            case str(word) if _NAME.fullmatch(word):
                pass
            case _:
                return 0
    return 0


def _cast(array: _Group, element_type: list[_Item], pretty: bool = False) -> _Group:
    """Return the brackets of an array literal with each element cast, or each element of the arrays in it."""
    elements: list[list[_Item]] = [[]]
    for item in array.items:
        if item == ",":
            elements.append([])
        elif item != " " or elements[-1]:
            elements[-1].append(item)
    done: list[_Item] = []
    for element in elements:
        match element:
            case ["ARRAY", _Group("[") as inner]:
                cast: list[_Item] = ["ARRAY", _cast(inner, element_type, pretty)]
            case _ if pretty and not any(isinstance(item, str) and _OPERATOR.fullmatch(item) for item in element):
                cast = [*element, "::", *element_type]
            case _:
                cast = [_group("(", element), "::", *element_type]
        done += [",", " ", *cast] if done else cast
    return _group("[", done)


def _without_prefixes(text: str) -> str:
    """Return a query that PostgreSQL 15 printed, with its columns as later releases write them.

    Source of the conditions: get_query_def() and get_variable() of ruleutils.c. A query that reads one table (or view,
    subquery, function) has no prefixes, but the queries within it have.
    """
    words = _tokens(text)
    closers, queries = _brackets(words)
    outer = [position for position in _outer(closers, len(words)) if not words[position].isspace()]
    outline = [words[position] for position in outer]
    if "FROM" not in outline or not _SET_OPERATION.isdisjoint(outline):
        return text
    start = outline.index("FROM")
    end = next((number for number in range(start, len(outline)) if outline[number] in _AFTER_FROM), len(outline))
    sources = outline[start + 1 : end]
    joined = not {",", "JOIN"}.isdisjoint(sources) or (sources[0] == "(" and outer[start + 1] not in queries)
    names = [word for word in itertools.takewhile(lambda word: word != "TABLESAMPLE", sources) if _NAME.fullmatch(word)]
    if joined or not names:
        return text
    kept = {opener: closers[opener] for opener in queries}
    kept[outer[start]] = outer[end] - 1 if end < len(outer) else len(words) - 1
    renamed = {outline[number + 1] for number in range(start) if outline[number] == "AS"}
    dropped = _prefixes(words, kept, names[-1], renamed)
    return "".join(word for position, word in enumerate(words) if position not in dropped)


def _brackets(words: Sequence[str]) -> tuple[dict[int, int], set[int]]:
    """Return at which positions brackets open and close, and the opening ones of those that hold a query."""
    closers: dict[int, int] = {}
    queries: set[int] = set()
    opened: list[int] = []
    last = ""
    for position, word in enumerate(words):
        if word in _CLOSER:
            opened.append(position)
        elif opened and word == _CLOSER[words[opened[-1]]]:
            closers[opened.pop()] = position
        elif opened and (word in _SET_OPERATION or (last == "(" and word in _QUERY)):
            queries.add(opened[-1])
        last = last if word.isspace() else word
    return closers, queries & closers.keys()


def _outer(closers: Mapping[int, int], count: int) -> Iterator[int]:
    """Yield the positions that are in no brackets, and those of the opening ones."""
    position = 0
    while position < count:
        yield position
        position = closers.get(position, position) + 1


def _prefixes(words: Sequence[str], kept: Mapping[int, int], table: str, renamed: Set[str]) -> set[int]:
    """Return the positions of the prefixes that go: the name of the table and the dot.

    A prefix stays in the stretches `kept` (first position to last), and where ORDER BY, PARTITION BY or DISTINCT ON would
    take the bare name for an output column of that name (`renamed`), which is another.
    """
    dropped: set[int] = set()
    sorting = [False]  # for each open bracket, whether the items of such a list stand in it
    before, last = "", ""
    position = 0
    while position < len(words):
        position = kept.get(position, position)
        word = words[position]
        dot, column, following = (*words[position + 1 : position + 4], "", "", "")[:3]
        if word in _CLOSER:
            sorting.append((before, last) == ("DISTINCT", "ON"))
        elif word in _CLOSER.values() and len(sorting) > 1:
            sorting.pop()
        elif word == "BY":
            sorting[-1] = last in ("ORDER", "PARTITION")
        elif (
            (word, dot) == (table, ".")
            and _NAME.fullmatch(column)
            and following != "("  # a function in a schema of the same name
            and last not in ("::", "AS", "COLLATE")  # a type or collation there
        ):
            alone = sorting[-1] and last in ("BY", ",", "(") and following != "["
            if not (alone and column in renamed):
                dropped |= {position, position + 1}
        if not word.isspace():
            before, last = last, word
        position += 1
    return dropped
