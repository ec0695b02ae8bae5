"""docs/troubleshooting.md as data: what is seen, what is typed, what that answers. For the tests that show it all on real servers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
DATABASE = "shop"  # what the document calls the database
GUIDES = "What older guides get wrong"
ANYTHING = "…"
_BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# Ansible's YAML puts quotes around texts, folds them, and shows a list of lines with a dash before each.
_SPACE = re.compile(r"[\s'\"\\]+(?:- [\s'\"\\]*)?")


@dataclass(frozen=True)
class Step:
    """Commands that belong together, and lines that are in what they answer."""

    commands: tuple[str, ...]
    answer: tuple[str, ...] = ()


@dataclass(frozen=True)
class Symptom:
    """A section of the document. steps: first what to ask, then the remedy."""

    title: str
    text: str
    seen: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Guide:
    """A line about something that older guides say: the code of each of its cells."""

    says: tuple[str, ...]
    happens: tuple[str, ...]
    instead: tuple[str, ...]


@cache
def read() -> dict[str, Symptom]:
    """Return the symptoms by their titles."""
    parts = re.split(r"^#{2,3} (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {title: _symptom(title, text) for title, text in zip(parts[::2], parts[1::2], strict=True) if "```" in text}


def _symptom(title: str, text: str) -> Symptom:
    seen: tuple[str, ...] = ()
    steps: list[Step] = []
    for block in _BLOCK.finditer(text):
        lines = tuple(line.strip() for line in block["text"].splitlines() if line.strip())
        if block["kind"] == "sh":
            steps.append(Step(lines))
        elif steps:
            steps[-1] = Step(steps[-1].commands, steps[-1].answer + lines)
        else:
            seen += lines
    return Symptom(title, text, seen, tuple(steps))


@cache
def guides() -> list[Guide]:
    """Return the lines of the table about older guides."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {GUIDES}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [[tuple(re.findall(r"`([^`]+)`", cell)) for cell in row.strip("|").split(" | ")] for row in rows]
    return [Guide(*row) for row in cells]


def guide(word: str) -> Guide:
    """Return the line about what guides say with this word in it."""
    [found] = [one for one in guides() if any(word in text for text in one.says)]
    return found


def missing(lines: Iterable[str], text: str, database: str = DATABASE) -> list[str]:
    """Return the lines of the document that are not in a text, which calls the database otherwise; … stands for anything."""
    within = _plain(text)
    return [line for line in lines if not re.search(_pattern(line, database), within)]


def named(text: str, database: str) -> str:
    """Return text of the document with another name for its database."""
    return re.sub(rf"\b{DATABASE}\b", database, text)


def _pattern(line: str, database: str) -> str:
    return ".*?".join(re.escape(_plain(part)) for part in named(line, database).split(ANYTHING))


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
