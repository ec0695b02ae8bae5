"""Names in quotes where the server would put them."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _identifiers as identifiers


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("users", "users"),
        ("_x1", "_x1"),
        ("", '""'),
        ("1st", '"1st"'),
        ("a$b", '"a$b"'),
        ("Users", '"Users"'),
        ("größe", '"größe"'),
        ("odd name", '"odd name"'),
        ("a.b", '"a.b"'),
        ('we"ird', '"we""ird"'),
        ("line\nbreak", '"line\nbreak"'),
        ("user", '"user"'),
        ("order", '"order"'),
        ("timestamp", '"timestamp"'),  # a keyword for names of columns only
        ("left", '"left"'),  # a keyword for names of functions and types only
        ("json_table", '"json_table"'),  # since 17
        ("system_user", '"system_user"'),  # since 16
        ("name", "name"),  # an unreserved keyword
        ("index", "index"),
    ],
)
def test_quote_ident(name: str, quoted: str) -> None:
    assert identifiers.quote_ident(name) == quoted


def test_qualified() -> None:
    assert identifiers.qualified("public", "Odd.Name", "id") == 'public."Odd.Name".id'


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("users", ("users",)),
        ("audit.users", ("audit", "users")),
        ("Odd name", ("Odd name",)),
        ('we"ird', ('we"ird',)),
        ('"a.b"', ("a.b",)),
        ('x."a.b"."c""d"', ("x", "a.b", 'c"d')),
    ],
)
def test_split(text: str, names: tuple[str, ...]) -> None:
    assert identifiers.split(text) == names


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", '"a', '"a"b', '""'])
def test_split_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        identifiers.split(text)


@pytest.mark.parametrize("name", ["users", "Odd.Name", 'we"ird', '"', "user", "ü", " ", "a b.c"])
def test_split_undoes_qualified(name: str) -> None:
    assert identifiers.split(identifiers.qualified(name, name)) == (name, name)


def test_fold_leaves_letters_beyond_ascii() -> None:
    assert identifiers.fold("ÄbC") == "Äbc"
