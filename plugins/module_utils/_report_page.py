# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report's document as one HTML page that needs nothing else. Pure but for reading the templates.

Whatever came from a database is text to the page: the templates escape everything that they are given, and the page forbids scripts to itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _report_drawing
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import age, size

UTC = timezone.utc  # noqa: UP017 - as in the rest of what runs on hosts too
NOTHING = "-"  # what is not known


def _moment(value: float) -> str:
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _change(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{size(abs(value))}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else age(value)


def _milliseconds(value: float) -> str:
    return f"{value:,.1f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"


# How a figure is written, by what it is.
FORMS: Mapping[str, Callable[[Any], str]] = {
    "age": age,
    "bytes": size,
    "change": _change,
    "milliseconds": _milliseconds,
    "moment": _moment,
    "number": _number,
    "percent": lambda value: f"{value:.1f} %",
    "seconds": _seconds,
}


def page(document: Mapping[str, Any], directory: str) -> str:
    """Return the page. directory: where the templates are, page.html.j2 first."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cut"] = cut
    environment.globals.update(figure=_figures(document), forms=FORMS, draw=_report_drawing)
    return environment.get_template("page.html.j2").render(document=document) + "\n"


def _figures(document: Mapping[str, Any]) -> Callable[..., Any]:
    from markupsafe import Markup

    def figure(at: str, form: str = "number", tag: str = "span") -> Markup:
        """Return the figure at a place of the document (a JSON pointer) as people read it, with its place, exact value and form beside that."""
        value = resolve(document, at)
        if value is None:
            return Markup("<{0}>{1}</{0}>").format(tag, NOTHING)
        whole = Markup('<{0} data-at="{1}" data-form="{2}" data-value="{3}">{4}</{0}>')
        return whole.format(tag, at, form, json.dumps(value), shown(value, form))

    return figure


def resolve(document: Any, at: str) -> Any:
    """Return what is at a place of a document, `/sizes/databases/0/bytes`; raises KeyError or IndexError where there is no such place."""
    for part in at.split("/")[1:]:
        document = document[int(part) if isinstance(document, list) else part]
    return document


def shown(value: Any, form: str) -> str:
    """Return a figure as people read it; a form that is none of FORMS is a unit."""
    return FORMS[form](value) if form in FORMS else f"{_number(value)} {form}"


def cut(text: Any, length: int) -> str:
    """Return the beginning of a text that would not fit."""
    whole = str(text)
    return whole if len(whole) <= length else f"{whole[: length - 1]}…"
