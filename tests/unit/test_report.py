"""The report: what its document says, and that its page shows that and nothing else, whatever stands in a database."""

from __future__ import annotations

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import report_cases as cases
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _health_document,
    _report,
    _report_drawing,
    _report_page,
)
from health_cases import DAY, NOW

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = str(ROOT / "roles" / "pg_monitor" / "templates" / "report")
ENVIRONMENTS = {
    "busy": cases.busy,
    "well": cases.well,
    "held": cases.held,
    "nothing": cases.nothing,
    "bare": cases.bare,
}
# What a page may be made of: nothing that runs, and nothing that fetches.
TAGS = set(
    "html head meta title style body svg symbol circle path rect line text tspan g use header main footer nav section a p span b code div ul ol li"
    " h1 h2 h3 details summary table thead tbody tr th td".split()
)
LOADS = ("src", "srcset", "srcdoc", "style", "action", "formaction", "data", "background", "poster")
# How a figure is written, by its key; numbers where it is not named.
FORMS = {
    **dict.fromkeys(("at", "from", "until", "begun", "ended", "last_proven"), "moment"),
    **dict.fromkeys(
        (
            "bytes",
            "free_bytes",
            "table_bytes",
            "index_bytes",
            "other_bytes",
            "cluster_bytes",
            "stored_bytes",
            "lag_bytes",
        ),
        "bytes",
    ),
    **dict.fromkeys(("seconds", "lag_seconds", "longest_wait"), "seconds"),
    **dict.fromkeys(("mean_ms", "max_ms", "total_ms"), "milliseconds"),
    "growth_bytes": "change",
    "growth_seconds": "age",
    "free_percent": "percent",
}


class Page(HTMLParser):
    """What a page consists of. figures: by their place in the document, each with form, value and text, as often as it is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.figures, self.text = set[str](), list[tuple[str, str]](), list[list[str]](), ""
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and, where it is one, that a figure begins."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        held = dict(attrs)
        self._open = "data-at" in held
        if self._open:
            self.figures.append([*(held[f"data-{name}"] or "" for name in ("at", "form", "value")), ""])

    def handle_endtag(self, tag: str) -> None:
        """Note that a figure ends."""
        self._open = False

    def handle_data(self, data: str) -> None:
        """Note what is read."""
        self.text += data
        if self._open:
            self.figures[-1][3] += data


def made(asked: dict[str, Any]) -> dict[str, Any]:
    return _report.report(_health_document.document(asked))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_page_shows_every_figure_of_the_document_and_no_other(name: str) -> None:
    document = made(ENVIRONMENTS[name]())
    page = Page(_report_page.page(document, TEMPLATES))
    units = {one["unit"] for one in document["findings"] if one["unit"]}
    assert {at: json.loads(value) for at, _form, value, _text in page.figures} == cases.figures(document)
    for at, form, value, text in page.figures:
        key = at.rpartition("/")[2]
        wanted = ("number", *units) if key in ("value", "threshold") else (FORMS.get(key, "number"),)
        wanted = ("moment",) if "/revisions/" in at else wanted
        assert form in wanted, at
        assert text == _report_page.shown(json.loads(value), form), at


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_document_is_plain_data(name: str) -> None:
    document = made(ENVIRONMENTS[name]())
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_page_needs_nothing_and_runs_nothing(name: str) -> None:
    document = made(ENVIRONMENTS[name]())
    text = _report_page.page(document, TEMPLATES)
    page = Page(text)
    assert page.tags <= TAGS
    assert not [one for one in page.attributes if one[0].startswith("on") or one[0] in LOADS]
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert "url(" not in text
    assert "@import" not in text


def hostile(value: Any) -> Any:
    """Return a document in which every text is what somebody hopes to have run."""
    if isinstance(value, dict):
        return {key: one if key == "kind" else hostile(one) for key, one in value.items()}
    if isinstance(value, list):
        return [hostile(one) for one in value]
    return cases.HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_text_is_only_text(name: str) -> None:
    document = hostile(made(ENVIRONMENTS[name]()))
    page = Page(_report_page.page(document, TEMPLATES))
    assert page.tags <= TAGS
    assert not [one for one in page.attributes if one[0].startswith("on") or one[0] in LOADS]
    assert cases.HOSTILE in page.text  # as it is, and its braces are not looked into
    assert {at for at, *_rest in page.figures} == cases.figures(document).keys()


def test_a_hostile_table_and_statement_are_read_as_they_are_named() -> None:
    page = Page(_report_page.page(made(cases.busy()), TEMPLATES))
    assert f"public.{f'orders{cases.HOSTILE}'[:63]}" in page.text
    assert cases.QUERIES[2] in page.text


def test_what_sessions_do_and_settings_are_left_out() -> None:
    asked = cases.busy()
    asked["health"]["db1"]["health"]["blocking"] = [{"pid": 1, "query": "SELECT pg_sleep('secret')", "blocks": []}]
    text = json.dumps(made(asked))
    assert "secret" not in text
    assert "data_directory" not in text


def test_every_finding_has_its_light() -> None:
    names = set()
    for module in ("_health", "_health_document"):
        tree = ast.parse((ROOT / "plugins" / "module_utils" / f"{module}.py").read_text())
        for call in (one for one in ast.walk(tree) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)):
            place = {"Finding": 0, "judged": 3}.get(call.func.id if isinstance(call.func, ast.Name) else "")
            if place is not None and len(call.args) > place and isinstance(call.args[place], ast.Constant):
                names.add(call.args[place].value)  # type: ignore[attr-defined]
    known = {name for listed in _report.AREAS.values() for name in listed}
    assert names <= known
    assert len(names) > 30
    assert _report.area_of("one that is made tomorrow") == "upkeep"


UNSEEN = ("replication", "activity", "storage", "backups", "restores", "schema", "upkeep")
LIGHTS: list[tuple[Any, dict[str, tuple[str, str]]]] = [
    (
        cases.well(),
        {
            "servers": ("good", "2 of 2 run"),
            "replication": ("good", "1 standby, at most 120 B behind"),
            "poolers": ("good", "1 of 1 answer, 0 waiting"),
            "activity": ("good", "12 of 97 connections"),
            "storage": ("good", "8.0 GB, 50 % of disk free"),
            "backups": ("good", "last 7h 2min ago"),
            "restores": ("good", "proven 1d ago"),
            "schema": ("good", "0 pending, 0 differences"),
            "upkeep": ("good", "PostgreSQL 18.6, TLS for 200 days"),
        },
    ),
    (
        cases.busy(),
        {
            "servers": ("warning", "3 of 4 run"),
            "replication": ("warning", "2 standbys, at most 90 MB behind"),
            "poolers": ("warning", "2 of 2 answer, 7 waiting"),
            "activity": ("notice", "12 of 97 connections"),
            "backups": ("warning", "last 7h 2min ago"),
            "schema": ("warning", "11 pending, 2 differences"),
        },
    ),
    (
        cases.nothing(),
        {
            "servers": ("critical", "0 of 2 run"),
            "poolers": ("critical", "0 of 1 answer, 0 waiting"),
            **dict.fromkeys(UNSEEN, ("unknown", "not known")),
        },
    ),
    (cases.bare(), {"replication": ("none", "no standbys"), "poolers": ("none", "no poolers"), "storage": ("good", "8.0 GB, 50 % of disk free")}),
    (cases.well(backups=cases.backups(cases.repository()), dumps={}), {"backups": ("good", "there is none")}),
    (cases.well(looked={}, not_looked={"db1": "no route"}), {"schema": ("warning", "not all could be read")}),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "expected"), LIGHTS)
def test_lights(asked: dict[str, Any], expected: dict[str, tuple[str, str]]) -> None:
    lights = {one["area"]: (one["light"], one["text"]) for one in made(asked)["lights"]}
    assert {area: lights[area] for area in expected} == expected


def test_each_finding_counts_for_one_light() -> None:
    document = made(cases.busy())
    assert sum(one["findings"] for one in document["lights"]) == len(document["findings"])


def test_servers_and_poolers() -> None:
    keys = ("host", "role", "light", "parent", "clients", "client_limit", "synchronous", "lag_bytes")
    assert [tuple(one.get(key) for key in keys) for one in made(cases.busy())["topology"]["nodes"]] == [
        ("db1", "primary", "notice", None, 12, 97, None, None),
        ("db2", "standby", "good", "db1", 12, 97, "quorum", 120),
        ("db3", "standby", "warning", "db1", 12, 97, "async", 90 << 20),
        ("db4", "unreachable", "warning", None, None, None, None, None),
        ("pool1", "pooler", "good", "db1", 12, 1000, None, None),
        ("pool2", "pooler", "warning", "db1", 19, 1000, None, None),
    ]


def test_a_standby_whose_primary_is_gone_tells_its_own_lag() -> None:
    asked = cases.busy()
    del asked["health"]["db1"]
    node = made(asked)["topology"]["nodes"][1]
    assert (node["parent"], node["lag_bytes"], node["lag_seconds"]) == (None, 0, None)


def test_sizes() -> None:
    sizes = made(cases.busy())["sizes"]
    assert [one["name"] for one in sizes["databases"]] == list(cases.DATABASES)
    assert all(
        one["table_bytes"] + one["index_bytes"] + one["other_bytes"] == one["bytes"] for one in sizes["databases"]
    )
    assert sizes["bytes"] == sum(cases.DATABASES.values())
    assert [one["database"] for one in sizes["tables"]] == list(cases.DATABASES)  # the empty ones are left out
    assert made(cases.nothing())["sizes"] == {"host": None, "bytes": None, "databases": [], "tables": [], "disks": []}


FULL, LATER = cases.backup(8), cases.backup(1, "incr")
RESTORABLE: list[tuple[dict[str, Any], tuple[float, float] | None]] = [
    (cases.repository(FULL, LATER), (FULL.ended + 1, NOW - 60)),  # to what was archived last, by the server's clock
    (
        cases.repository(FULL, LATER, wal_last="000000010000000000000003"),
        (FULL.ended + 1, LATER.ended),
    ),  # this one lags
    (cases.repository(), None),
    (cases.repository(cases.backup(1, needs=("gone",))), None),
    (cases.repository(cases.backup(1, database=0)), None),  # of a cluster that used it before
    (
        cases.repository(FULL, LATER, wal_first="000000010000000000000003"),
        (LATER.ended + 1, NOW - 60),
    ),  # its WAL is expired
    (cases.repository(databases=()), None),
]


@pytest.mark.parametrize(("repository", "expected"), RESTORABLE)
def test_what_can_be_restored(repository: dict[str, Any], expected: tuple[float, float] | None) -> None:
    (seen,) = made(cases.well(backups=cases.backups(repository)))["backups"]["repositories"]
    assert seen["restorable"] == (expected and {"from": expected[0], "until": expected[1]})


def test_backups_and_dumps_with_their_times() -> None:
    backups = made(cases.busy())["backups"]
    assert [len(one["backups"]) for one in backups["repositories"]] == [15, 8]
    assert backups["repositories"][0]["backups"][0]["begun"] == int(NOW - 0.3 * DAY)  # the newest first
    assert [one["good"] for one in backups["dumps"][0]["taken"]] == [True, True, False, True, True]
    assert backups["span"] == {"from": int(NOW - 14.3 * DAY), "until": NOW}
    assert {one["kind"]: one["last_proven"] for one in backups["drills"]} == {"physical": NOW - DAY, "dump": NOW - DAY}


def test_backups_that_cannot_be_looked_at() -> None:
    backups = made(cases.well(backups={"db1": {"msg": "no route to the store"}}, dumps={}))["backups"]
    assert (backups["host"], backups["reason"], backups["span"]) == ("db1", "no route to the store", None)


BRANCHED = [
    {"revision": "a", "message": "base", "down": [], "depends_on": []},
    {"revision": "b", "message": "left", "down": ["a"], "depends_on": []},
    {"revision": "c", "message": "right", "down": ["a"], "depends_on": ["x"]},
    {"revision": "x", "message": "needed", "down": [], "depends_on": []},
    {"revision": "d", "message": "later", "down": ["b"], "depends_on": []},
]
REVISIONS: list[tuple[dict[str, Any], str]] = [
    ({"current": ["b"], "pending": []}, "applied applied open open open"),
    ({"current": ["c"], "pending": []}, "applied open applied applied open"),
    ({"current": ["b", "c"], "pending": [{"revision": "d"}]}, "applied applied applied applied pending"),
    ({"current": [], "pending": [{"revision": name} for name in "abcxd"]}, "pending pending pending pending pending"),
    ({"current": ["nobody's"], "pending": []}, "open open open open open"),
]


@pytest.mark.parametrize(("changes", "expected"), REVISIONS)
def test_revisions(changes: dict[str, Any], expected: str) -> None:
    told = cases.looked("shop", history=BRANCHED, heads=["d"], **changes)
    (seen,) = made(cases.well(looked={"db1": {"results": [told]}}, compared={}))["migrations"]
    states = expected.split()
    assert [one["state"] for one in seen["revisions"]] == states
    assert (seen["applied"], seen["pending"]) == (states.count("applied"), states.count("pending"))
    assert [one["revision"] for one in seen["revisions"] if one["current"]] == [
        name for name in "abcxd" if name in changes["current"]
    ]


def test_drift() -> None:
    listed = [(one["database"], one["clean"], len(one["differences"])) for one in made(cases.busy())["drift"]]
    assert listed == [("shop", False, 2), ("imagemanager", True, 0), ("powergym", None, 0)]


def test_statements() -> None:
    statements = made(cases.busy())["statements"]
    assert statements is not None
    assert (statements["host"], statements["held"], len(statements["top"])) == ("db1", 412, 3)
    assert made(cases.bare())["statements"] is None


def brightness(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2, "relative luminance")."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("ground", ["page", "card"])
@pytest.mark.parametrize("ink", ["ink", "soft", "link", "good", "notice", "warning", "critical"])
def test_what_is_written_can_be_read(scheme: int, ground: str, ink: str) -> None:
    blocks = re.findall(r":root \{([^}]*)\}", Path(TEMPLATES, "style.css").read_text())
    colours = dict(re.findall(r"--(\w+): (#\w{6})", blocks[scheme]))
    dark, bright = sorted((brightness(colours[ink]), brightness(colours[ground])))
    assert (bright + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, level AA


# The drawings


def node(host: str, role: str = "standby", parent: str | None = None, kind: str = "server") -> dict[str, Any]:
    return {"host": host, "role": role, "parent": parent, "kind": kind, "synchronous": None}


PRIMARY = node("db1", "primary")
POOLERS = [node(f"pool{number}", "pooler", "db1", "pooler") for number in range(6)]
LAYERS: list[tuple[list[dict[str, Any]], list[list[int]]]] = [
    ([PRIMARY], [[0]]),
    ([PRIMARY, node("db2", parent="db1"), POOLERS[0]], [[2], [0], [1]]),
    ([node("db3", parent="db2"), node("db2", parent="db1"), PRIMARY], [[2], [1], [0]]),
    ([PRIMARY, node("db2", parent="db1"), node("db3", "unreachable")], [[0], [1, 2]]),
    ([PRIMARY, node("db3", "unreachable")], [[0], [1]]),
    ([node("db1", "unreachable"), node("db2"), node("pool1", "unreachable", None, "pooler")], [[2], [0, 1]]),
    ([node("db1", parent="db2"), node("db2", parent="db1")], [[0, 1]]),  # as two say that are being turned round
    ([], []),
]


@pytest.mark.parametrize(("nodes", "expected"), LAYERS)
def test_layers(nodes: list[dict[str, Any]], expected: list[list[int]]) -> None:
    assert _report_drawing.layers(nodes) == expected


@pytest.mark.parametrize("room", [318, 600, 1008])
@pytest.mark.parametrize(
    "nodes", [*(nodes for nodes, _layers in LAYERS), [PRIMARY, *POOLERS, node("db2", parent="db1")]]
)
def test_nothing_overlaps_or_sticks_out(nodes: list[dict[str, Any]], room: float) -> None:
    drawing = _report_drawing.topology(nodes, room)
    assert sorted(box.index for box in drawing.boxes) == list(range(len(nodes)))
    assert len(drawing.lines) == sum(1 for one in nodes if one["parent"])
    for box in drawing.boxes:
        assert 0 <= box.x <= box.x + box.width <= drawing.width <= room
        assert 0 <= box.y <= box.y + box.height <= drawing.height
        for other in drawing.boxes:
            apart = box.x + box.width < other.x or box.y + box.height < other.y
            assert box.index <= other.index or apart or other.x + other.width < box.x or other.y + other.height < box.y


SPAN = {"from": 1000.0, "until": 2000.0}


@pytest.mark.parametrize(
    ("moment", "span", "expected"),
    [
        (1000, SPAN, 1.5),
        (1500, SPAN, 50),
        (2000, SPAN, 98.5),
        (0, SPAN, 1.5),
        (9000, SPAN, 98.5),
        (5, {"from": 5, "until": 5}, 98.5),
    ],
)
def test_share(moment: float, span: dict[str, float], expected: float) -> None:
    assert _report_drawing.share(moment, span) == expected


@pytest.mark.parametrize(
    ("length", "expected"), [(7 * DAY, "14 Nov 18 Nov 21 Nov"), (DAY, "20 Nov 22:26 21 Nov 10:26 21 Nov 22:26")]
)
def test_ticks(length: float, expected: str) -> None:
    marks = _report_drawing.ticks({"from": NOW - length, "until": NOW})
    assert " ".join(text for _at, text in marks[::2]) == expected
    assert [at for at, _text in marks] == [1.5, 25.75, 50, 74.25, 98.5]


@pytest.mark.parametrize(
    ("values", "whole", "expected"),
    [
        ([50, 25, 25], 100, [(0, 50), (50, 25), (75, 25)]),
        ([10, None, 10], 40, [(0, 25), (25, 0), (25, 25)]),
        ([0], 0, [(0, 0)]),
    ],
)
def test_parts(values: list[float | None], whole: float, expected: list[tuple[float, float]]) -> None:
    assert _report_drawing.parts(values, whole) == expected


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (8 << 30, "bytes", "8.0 GB"),
        (-(3 << 20), "change", "-3.0 MB"),
        (12, "change", "+12 B"),
        (NOW, "moment", "2026-11-21 22:26:40 UTC"),
        (1_234_567, "number", "1,234,567"),
        (0.25, "number", "0.2"),
        (1.5, "seconds", "1.5 s"),
        (3700.0, "seconds", "1h 1min"),
        (12.5, "milliseconds", "12.5 ms"),
        (12_500.0, "milliseconds", "12.5 s"),
        (50.04, "percent", "50.0 %"),
        (3.0, "revisions", "3 revisions"),
    ],
)
def test_forms(value: float, form: str, expected: str) -> None:
    assert _report_page.shown(value, form) == expected
