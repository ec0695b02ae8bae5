# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be said of revision files without running them: how they hang together, and what their functions do. Pure."""

from __future__ import annotations

import ast
import re
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)  # gravest first

# Without an exact graph nothing of what follows can be done.
BREAKING = frozenset({"broken_graph", "duplicate_id", "missing_down_revision", "unimportable"})


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or may be. path is relative to the project; statement is the one that a rule of the linter is about."""

    check: str
    severity: str
    message: str
    remedy: str
    revision: str | None = None
    path: str | None = None
    line: int | None = None
    statement: str | None = None

    def as_return(self) -> dict[str, Any]:
        """Return the finding as a module returns it."""
        return dict(self.__dict__)


# How the files hang together


@dataclass(frozen=True)
class File:
    """A revision's file as it was imported. error: why it could not be; revision and down are then what its text says."""

    path: str
    revision: str | None = None
    down: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    error: str = ""
    line: int | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any], text: str) -> File:
        """Return the file that the runner describes; text is what is in it."""
        if facts.get("error"):
            revision, down = guessed_ids(text)
            return cls(facts["path"], revision, down, error=facts["error"], line=facts["line"])
        down, depends, labels = (tuple(facts[key]) for key in ("down", "depends", "labels"))
        return cls(facts["path"], facts["revision"], down, depends, labels)


_ASSIGNED = r"^%s\b[^=\n]*=\s*(\([^)]*\)|\[[^\]]*\]|[^\n#]+)"


def guessed_ids(text: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the revision and the ones below that a text names, though it may be no Python."""
    named: dict[str, list[str]] = {}
    for name in ("revision", "down_revision"):
        found = re.search(_ASSIGNED % name, text, re.MULTILINE)
        named[name] = re.findall(r"""["']([^"'\n]+)["']""", found[1]) if found else []
    return (named["revision"] or [None])[0], tuple(named["down_revision"])  # type: ignore[list-item]


def heads_of(files: Iterable[File]) -> list[str]:
    """Return the revisions that no other one follows, sorted."""
    files = list(files)
    below = {name for file in files for name in file.down}
    return sorted({file.revision for file in files if file.revision and file.revision not in below})


def graph_findings(files: Sequence[File], broken: str, length: int | None) -> list[Finding]:
    """Return what is wrong with the files together. broken: what alembic says; length: of the longest id that can be stored."""
    found = [*_unimportable(files), *_duplicates(files), *_missing(files)]
    if broken and not found:
        found.append(Finding("broken_graph", ERROR, broken, "mend what down_revision and depends_on name"))
    return [*found, *_several_heads(files), *_long_ids(files, length)]


def _unimportable(files: Sequence[File]) -> Iterator[Finding]:
    for file in files:
        if file.error:
            yield Finding(
                "unimportable", ERROR, f"{file.path} cannot be imported: {file.error}",
                "mend it, or move it out of the directory if it is no revision", file.revision, file.path, file.line,
            )  # fmt: skip


def _duplicates(files: Sequence[File]) -> Iterator[Finding]:
    holders: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file.revision:
            holders[file.revision].append(file.path)
    for revision, paths in holders.items():
        if len(paths) > 1:
            yield Finding(
                "duplicate_id", ERROR, f"revision {revision} is in several files: {', '.join(paths)}",
                "give each its own id, and name that as down_revision in what follows", revision, paths[-1],
            )  # fmt: skip


def _missing(files: Sequence[File]) -> Iterator[Finding]:
    ids = {file.revision for file in files if file.revision}
    labels = {label for file in files for label in file.labels}
    for file in files:
        lost = [("down_revision", name) for name in file.down if name not in ids]
        lost += [("depends_on", name) for name in file.depends if not _depended(name, ids, labels)]
        for word, name in lost:
            yield Finding(
                "missing_down_revision", ERROR, f"{word} of {file.revision} is {name}, and no file has that revision",
                "bring the missing file back, or name the revision that comes before", file.revision, file.path,
            )  # fmt: skip


def _depended(name: str, ids: Collection[str], labels: Collection[str]) -> bool:
    """Say whether a dependency can be found; alembic takes labels and beginnings of ids."""
    plain = name.partition("@")[2] or name
    return name in labels or plain in ("head", "heads") or any(revision.startswith(plain) for revision in ids)


def _several_heads(files: Sequence[File]) -> Iterator[Finding]:
    heads = heads_of(files)
    if len(heads) > 1:
        yield Finding(
            "several_heads", ERROR, f"the project has {len(heads)} heads: {', '.join(heads)}",
            "join them (alembic merge heads), or let one follow the other by down_revision",
        )  # fmt: skip


def _long_ids(files: Sequence[File], length: int | None) -> Iterator[Finding]:
    for file in files:
        if length is not None and file.revision and len(file.revision) > length:
            yield Finding(
                "long_id", ERROR, f"revision {file.revision} has {len(file.revision)} characters, and the version table takes {length}",
                "give it a shorter id", file.revision, file.path,
            )  # fmt: skip


# What their functions do


@dataclass(frozen=True)
class Enum:
    """An enum type as a file writes it. made_with_table: a table that has a column of it creates it; checks: its create() looks first."""

    name: str
    made_with_table: bool
    checks: bool


@dataclass(frozen=True)
class Event:
    """Something that a function does. what: create, drop or concurrently; name: of the type; certain: whenever the function runs."""

    what: str
    name: str
    line: int
    certain: bool
    outside: bool = False  # of the transaction


ANY = "*"  # the name of a type that only running would tell


@dataclass(frozen=True)
class Source:
    """A parsed revision file: its functions, and what simple names in it stand for."""

    functions: Mapping[str, ast.FunctionDef]
    texts: Mapping[str, str]
    enums: Mapping[str, Enum]

    @classmethod
    def parse(cls, text: str) -> Source | None:
        """Return the source of a file; None when it is no Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the compiler thinks of it is the author's business
                tree = ast.parse(text)
        except (SyntaxError, ValueError):
            return None
        functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assigned = [
            (target.id, node.value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        ]
        texts: dict[str, str] = {}
        for name, value in assigned:
            found = text_of(value, texts)
            if found is not None:
                texts[name] = f"{texts[name]}\n{found}" if name in texts else found
        enums = {name: enum for name, value in assigned if (enum := enum_of(value, texts))}
        return cls(functions, texts, enums)

    def body(self, name: str) -> list[ast.stmt]:
        """Return the statements of a function that do anything; none when it is not there."""
        function = self.functions.get(name)
        return [node for node in function.body if not _does_nothing(node)] if function else []

    def refuses(self, name: str) -> bool:
        """Say whether the first thing that a function does is to raise an error."""
        return isinstance(next(iter(self.body(name)), None), ast.Raise)

    def events(self, name: str) -> list[Event]:
        """Return what a function does to types and indexes, through its file's own helpers too, in the order of the text."""
        walk = _Walk(self)
        if name in self.functions:
            walk.function(self.functions[name])
        return walk.events


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Return):
        return node.value is None or isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def text_of(node: ast.expr, names: Mapping[str, str]) -> str | None:
    """Return the text that an expression gives, as far as it stands there; … stands for what only running would tell."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.FormattedValue) else part for part in node.values)
        return "".join(text_of(part, names) or "…" for part in parts)
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.BinOp):
        sides = [text_of(side, names) for side in (node.left, node.right)]
        return None if sides == [None, None] else "".join(side or "…" for side in sides)
    if isinstance(node, ast.Call):  # sa.text("…"), "…".format(…)
        inside = node.func.value if isinstance(node.func, ast.Attribute) and node.func.attr == "format" else None
        return text_of(inside or node.args[0], names) if inside or node.args else None
    return None


def _called(call: ast.Call) -> str:
    """Return the last word of what is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def enum_of(node: ast.expr, texts: Mapping[str, str]) -> Enum | None:
    """Return the enum type that an expression makes; None when it makes none, or one without a type of its own."""
    if (
        not isinstance(node, ast.Call)
        or _called(node) not in ("Enum", "ENUM")
        or _is(_keyword(node, "native_enum"), False)
    ):
        return None
    named = _keyword(node, "name")
    name = text_of(named, texts) if named else None
    if not name and node.args and isinstance(node.args[0], ast.Name):  # a Python class gives its name
        name = node.args[0].id
    if not name or "…" in name:
        return None
    return Enum(name.lower(), not _is(_keyword(node, "create_type"), False), _called(node) == "ENUM")


_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CONCURRENTLY = re.compile(
    r"\b(CREATE\s+(UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\b[^;]*?|DETACH\s+PARTITION\s+\S+)\s+CONCURRENTLY\b",
    re.IGNORECASE,
)
_CREATES_TYPE = re.compile(r"\bCREATE\s+TYPE\s+([\w.\"…$]+)\s+AS\s+ENUM\b", re.IGNORECASE)
_DROPS_TYPE = re.compile(r"\bDROP\s+TYPE\s+(?:IF\s+EXISTS\s+)?([\w.\"…$]+(?:\s*,\s*[\w.\"…$]+)*)", re.IGNORECASE)
_RENAMES_TYPE = re.compile(r"\bALTER\s+TYPE\s+([\w.\"…$]+)\s+RENAME\s+TO\b", re.IGNORECASE)
_ENDS = re.compile(r"\s*(COMMIT|END)\s*;?\s*", re.IGNORECASE)
_BEGINS = re.compile(r"\s*(BEGIN|START\s+TRANSACTION)\s*;?\s*", re.IGNORECASE)
_RUNS_SQL = frozenset({"execute", "exec_driver_sql", "scalar"})


def _type_name(written: str) -> str:
    """Return the name of a type as it stands in SQL, without its schema."""
    return ANY if "…" in written else written.rpartition(".")[2].strip('"').lower()


@dataclass
class _Walk:
    """The way through a function. outside: in an autocommit block; ended: a COMMIT of its own ended the transaction."""

    source: Source
    events: list[Event] = field(default_factory=list)
    outside: bool = False
    ended: bool = False
    certain: bool = True
    within: tuple[str, ...] = ()

    def function(self, function: ast.FunctionDef) -> None:
        if function.name in self.within:
            return
        self.within += (function.name,)
        self.all(function.body)
        self.within = self.within[:-1]

    def all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):  # a function counts where it is called
            return
        before = (self.outside, self.certain)
        if isinstance(node, (ast.With, ast.AsyncWith)):
            contexts = [item.context_expr for item in node.items]
            self.outside |= any(isinstance(item, ast.Call) and _called(item) == "autocommit_block" for item in contexts)
        elif isinstance(node, (ast.If, ast.For, ast.While, ast.Try, ast.IfExp)):
            self.certain = False
        if isinstance(node, ast.Call):
            self.call(node)
        self.all(ast.iter_child_nodes(node))
        self.outside, self.certain = before

    def call(self, call: ast.Call) -> None:
        name = _called(call)
        if isinstance(call.func, ast.Name) and name in self.source.functions:
            self.function(self.source.functions[name])
        elif _is(_keyword(call, "postgresql_concurrently"), True):
            self.add("concurrently", "", call)
        elif name == "create_table":
            for enum in self.enums_in(call):
                if enum.made_with_table:
                    self.add("create", enum.name, call)
        elif name in ("create", "drop") and isinstance(call.func, ast.Attribute):
            made = self.enum(call.func.value)
            if made:
                self.add(name, made.name, call, sure=not self.looks_first(made, call))
        elif name in _RUNS_SQL and call.args:
            self.sql(text_of(call.args[0], self.source.texts) or "", call)

    def sql(self, text: str, call: ast.Call) -> None:
        if _ENDS.fullmatch(text) or _BEGINS.fullmatch(text):
            self.ended = bool(_ENDS.fullmatch(text))
            return
        text = _COMMENT.sub(" ", text)
        if _CONCURRENTLY.search(text):
            self.add("concurrently", "", call)
        found = [(match.start(), "create", match[1]) for match in _CREATES_TYPE.finditer(text)]
        found += [(match.start(), "drop", match[1]) for match in _RENAMES_TYPE.finditer(text)]
        for match in _DROPS_TYPE.finditer(text):
            found += [(match.start(), "drop", written.strip()) for written in match[1].split(",")]
        for _start, what, written in sorted(found):
            self.add(what, _type_name(written), call, sure="$" not in text)  # a block may look first

    def add(self, what: str, name: str, call: ast.Call, sure: bool = True) -> None:
        self.events.append(Event(what, name, call.lineno, self.certain and sure, self.outside or self.ended))

    def enum(self, node: ast.expr) -> Enum | None:
        if isinstance(node, ast.Name):
            return self.source.enums.get(node.id)
        return enum_of(node, self.source.texts)

    def enums_in(self, call: ast.Call) -> list[Enum]:
        found = [self.enum(node) for node in ast.walk(call) if isinstance(node, (ast.Call, ast.Name))]
        return list(dict.fromkeys(enum for enum in found if enum))

    @staticmethod
    def looks_first(enum: Enum, call: ast.Call) -> bool:
        """Say whether create() looks whether the type is there: PostgreSQL's ENUM does so by itself, the general Enum does not."""
        chosen = _keyword(call, "checkfirst")
        return enum.checks if chosen is None else not _is(chosen, False)


@dataclass(frozen=True)
class Revision:
    """A revision with the text of its file; source is None when that is no Python."""

    file: File
    source: Source | None

    def finding(self, check: str, severity: str, message: str, remedy: str, line: int | None = None) -> Finding:
        """Return a finding about it."""
        return Finding(check, severity, message, remedy, self.file.revision, self.file.path, line)

    def line(self, function: str) -> int | None:
        """Return the line in which a function begins."""
        found = self.source.functions.get(function) if self.source else None
        return found.lineno if found else None

    @property
    def name(self) -> str:
        """The id."""
        return self.file.revision or self.file.path

    @property
    def empty(self) -> bool:
        """Whether its downgrade does nothing although its upgrade does something."""
        return bool(self.source and self.source.body("upgrade") and not self.source.body("downgrade"))

    @property
    def refusing(self) -> bool:
        """Whether its downgrade refuses."""
        return bool(self.source and self.source.refuses("downgrade"))


def file_findings(revision: Revision) -> Iterator[Finding]:
    """Yield what the functions of a revision do or leave undone."""
    if revision.source is None:
        return
    if revision.empty:
        yield revision.finding(
            "empty_downgrade", WARNING, f"the downgrade of {revision.name} does nothing",
            "write the way back, or let it raise NotImplementedError with the reason", revision.line("downgrade"),
        )  # fmt: skip
    if revision.refusing:
        yield revision.finding(
            "no_way_back",
            NOTE,
            f"the downgrade of {revision.name} refuses",
            "take a dump before it is applied",
            revision.line("downgrade"),
        )
    for function in ("upgrade", "downgrade"):
        for event in revision.source.events(function):
            if event.what == "concurrently" and not event.outside:
                yield revision.finding(
                    "concurrently_in_transaction", ERROR,
                    f"{function}() of {revision.name} uses CONCURRENTLY inside of a transaction, which the server refuses",
                    "put it into `with op.get_context().autocommit_block():`", event.line,
                )  # fmt: skip
    left = left_behind(revision.source)
    if left and not revision.empty and not revision.refusing:
        yield revision.finding(
            "enum_left_behind", WARNING, f"the downgrade of {revision.name} seems to leave the enum type {', '.join(left)} behind",
            "drop it in downgrade() after the tables that use it", revision.line("downgrade"),
        )  # fmt: skip


def left_behind(source: Source) -> list[str]:
    """Return the enum types that upgrade() leaves in place and downgrade() does not drop."""
    alive: dict[str, None] = {}
    for event in source.events("upgrade"):
        if event.what == "create":
            alive[event.name] = None
        elif event.what == "drop":
            alive.pop(event.name, None)
    dropped = {event.name for event in source.events("downgrade") if event.what == "drop"}
    return [name for name in alive if name not in dropped and name != ANY] if ANY not in dropped else []


def created_twice(revisions: Sequence[Revision]) -> Iterator[Finding]:
    """Yield the enum types that a revision creates though an earlier one did and nobody dropped them."""
    alive: dict[str, tuple[Revision, bool]] = {}
    for revision in revisions:
        for event in revision.source.events("upgrade") if revision.source else ():
            if event.what == "drop":
                alive = (
                    {} if event.name == ANY else {name: first for name, first in alive.items() if name != event.name}
                )
            elif event.what == "create" and event.name != ANY:
                first, sure = alive.setdefault(event.name, (revision, event.certain))
                # A creation that looks first harms nobody the second time.
                if first is not revision and event.certain:
                    yield revision.finding(
                        "enum_created_twice", ERROR if sure else WARNING,
                        f"the enum type {event.name} is created by {first.name} and by {revision.name}" + ("" if sure else ", it seems"),
                        "give the column postgresql.ENUM(…, create_type=False)", event.line,
                    )  # fmt: skip


def settled(findings: Iterable[Finding], climbed: Mapping[str, Collection[str]]) -> list[Finding]:
    """Return the findings without those that a walk has settled. climbed: the stairs that each revision took."""
    kept = []
    for finding in findings:
        stairs = climbed.get(finding.revision or "", ())
        there, back = "up" in stairs, "down" in stairs
        in_upgrade = finding.message.startswith("upgrade()")
        disproved = {
            "concurrently_in_transaction": there if in_upgrade else back,
            "enum_created_twice": there,
            "enum_left_behind": back,
        }
        if not disproved.get(finding.check):
            kept.append(finding)
    return kept
