"""Names of role inputs: which variables look like one and are not. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


def unknown_names(
    variables: Iterable[str], role: str, options: Collection[str], roles: Collection[str], shared: Collection[str]
) -> list[str]:
    """Return one line for each name of `variables` that nobody reads.

    Judged are names that start with `<role>_`, and names that start with `pg_` but with the prefix of none of `roles`
    and are not one of the `shared` values: both are what a misspelling looks like.
    """
    found = []
    for name in sorted(variables):
        if name.startswith(f"{role}_") and name not in options:
            found.append((name, options))
        elif (
            name.startswith("pg_")
            and name not in (*shared, *roles)
            and not any(name.startswith(f"{other}_") for other in roles)
        ):
            found.append((name, [*options, *shared]))
    return [f"unknown variable {name}{_guess(name, candidates)}" for name, candidates in found]


def _guess(name: str, candidates: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {close[0]}?" if close else ""
