"""The report in a browser, Chromium on a host of its own: on a phone, a screen and paper, light and dark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser as browsers
import pytest
import support

sys.path.insert(0, str(support.ROOT / "tests" / "unit"))

import report_cases
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_document, _report, _report_page

TEMPLATES = str(support.ROOT / "roles" / "pg_monitor" / "templates" / "report")
BUILD = str(support.ROOT / "molecule" / "images" / "build")
# The browser of the distribution, of which the archive keeps the last safe one only: no version to pin.
INSTALL = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core"
PAGES = {
    "busy": report_cases.busy,
    "well": report_cases.well,
    "nothing": report_cases.nothing,
    "bare": report_cases.bare,
}
PHONE, SCREEN, PAPER = 390, 1280, 794  # CSS pixels; paper is A4
VIEWS = [(width, scheme, "screen") for width in (PHONE, SCREEN) for scheme in ("light", "dark")] + [
    (PAPER, "dark", "print")
]
FIGURES = """[...document.querySelectorAll('[data-at]')].map(one => [one.dataset.at, one.dataset.form, JSON.parse(one.dataset.value), one.textContent])"""
# What of a figure can be seen: nothing in the drawing that is not for this width; what is folded up has no box either.
SEEN = "[...document.querySelectorAll('[data-at]')].filter(one => one.checkVisibility()).map(one => one.dataset.at)"
# How bright text and ground are, from 0 to 255.
LIGHT = "['color', 'backgroundColor'].map(key => Math.max(...getComputedStyle(document.body)[key].match(/[0-9]+/g).slice(0, 3)))"
# What is wider than the page, so that one would have to move it to and fro.
WIDER = """[...document.querySelectorAll('body *')].filter(one => one.checkVisibility() && !one.closest('svg')
    && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(one => one.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """A host with a browser, and without a network once it has that."""
    image = subprocess.run([BUILD, "debian13"], check=True, capture_output=True, text=True).stdout.strip()
    command = [
        "docker",
        "run",
        "--detach",
        "--rm",
        "--label",
        "pgsteward=lab",
        "--shm-size",
        "512m",
        image,
        "sleep",
        "infinity",
    ]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["docker", "exec", name, "sh", "-c", INSTALL], check=True, capture_output=True, timeout=300)
        subprocess.run(["docker", "network", "disconnect", "bridge", name], check=True)
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


@pytest.fixture(scope="module")
def documents(host: str) -> dict[str, dict[str, Any]]:
    """Return the documents of the pages that are on the host, by name."""
    made = {name: _report.report(_health_document.document(asked())) for name, asked in PAGES.items()}
    for name, document in made.items():
        page = _report_page.page(document, TEMPLATES)
        subprocess.run(
            ["docker", "exec", "-i", host, "tee", f"/{name}.html"],
            input=page.encode(),
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return made


@pytest.fixture(scope="module")
def browser(host: str) -> Iterator[browsers.Browser]:
    """A browser on that host."""
    with browsers.browser(["docker", "exec", "-i", host]) as started:
        yield started


@pytest.mark.parametrize(("width", "scheme", "media"), VIEWS)
@pytest.mark.parametrize("name", PAGES)
def test_page(
    browser: browsers.Browser, documents: dict[str, Any], name: str, width: int, scheme: str, media: str, tmp_path: Path
) -> None:
    address = f"file:///{name}.html"
    browser.open(address, width, scheme, media)
    assert browser.requests() == [address]
    assert browser.complaints() == []
    assert browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert browser.evaluate(WIDER) == []
    ink, ground = browser.evaluate(LIGHT)
    assert (ink > 200 > 50 > ground) if (scheme, media) == ("dark", "screen") else (ink < 50 < 200 < ground)

    told = browser.evaluate(FIGURES)
    assert {at: value for at, _form, value, _text in told} == report_cases.figures(documents[name])
    assert all(text == _report_page.shown(value, form) for _at, form, value, text in told)
    drawings = browser.evaluate(
        "['wide', 'narrow'].filter(one => document.querySelector(`.drawing.${one}`).checkVisibility())"
    )
    assert drawings == (["narrow"] if width == PHONE else ["wide"])
    browser.picture(tmp_path / f"{name}-{width}-{scheme}.png")


@pytest.mark.parametrize("name", PAGES)
def test_paper_shows_everything(browser: browsers.Browser, documents: dict[str, Any], name: str) -> None:
    browser.open(f"file:///{name}.html", PAPER, media="print")
    assert set(browser.evaluate(SEEN)) == report_cases.figures(documents[name]).keys()
    assert browser.paper().startswith(b"%PDF-")
    assert browser.complaints() == []


def test_what_is_folded_up_opens(browser: browsers.Browser, documents: dict[str, Any]) -> None:
    browser.open("file:///busy.html", PHONE)
    folded = report_cases.figures(documents["busy"]).keys() - set(browser.evaluate(SEEN))
    assert folded
    browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert set(browser.evaluate(SEEN)) == report_cases.figures(documents["busy"]).keys()
    assert browser.evaluate(WIDER) == []


def test_the_test_would_notice(browser: browsers.Browser, host: str) -> None:
    page = "<script>console.error('x')</script><img src=http://10.0.0.1/x.png><p style='width: 2000px'>wide"
    command = ["docker", "exec", "-i", host, "tee", "/bad.html"]
    subprocess.run(command, input=page.encode(), check=True, stdout=subprocess.DEVNULL)
    browser.open("file:///bad.html", PHONE)
    assert len(browser.requests()) == 2
    assert browser.complaints()
    assert browser.evaluate(WIDER)
