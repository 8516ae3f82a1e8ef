"""Texts of somebody who wants to run scripts, in all places of every page of the preview.

What the server answers is real; each text in it is then one of these.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from driftline import names
from driftline.config import Config
from driftline.dashboards.definitions.generate import generate
from tests import monitored
from tests.browser.conftest import loaded, signed_in

PAGES = [board["uid"] for board in generate(monitored.config(Config()))]
TEXTS = (
    "<img src=x onerror=ran()>",
    "<script>ran()</script>",
    '"><svg onload=ran()>',
    "</script><script>ran()</script>",
    "<a href='javascript:ran()'>here</a>",
    "<a href='https://evil.example/'>here</a>",
    "javascript:ran()",
    "data:text/html,<script>ran()</script>",
    "//evil.example/x",
    "%{customdata} {{constructor.constructor('ran()')()}} ${ran()}",
    "&lt;img src=x onerror=ran()&gt;",
    "\u202etxt.exe\u200b\u2066<b>bold</b>",
    "<b>" + "x" * 10_000,
    "null",
    "__proto__",
    "constructor",
    "hasOwnProperty",
)
WATCH = """
  window.found = [];
  window.ran = () => window.found.push("a script ran");
  document.addEventListener("securitypolicyviolation", (event) =>
    window.found.push(event.violatedDirective));
"""
#: Links anywhere, also in charts; and elements that no panel makes.
LINKS = """() => [...document.querySelectorAll("a")].map((one) => one.getAttribute("href")
  ?? one.getAttribute("xlink:href")).filter((href) => href !== null)"""
FOREIGN = "main :is(img, script, iframe, b, svg a, [onload], [onerror]), header b, .bar b"


def planted(content: Any, texts: Iterator[str]) -> Any:
    """The answer with other texts: names of series, cells of tables, events, titles."""
    if isinstance(content, dict) and "answers" in content:
        return {**content, "answers": [_answer(one, texts) for one in content["answers"]]}
    if isinstance(content, dict) and "panels" in content:
        for one in (content, *content["panels"]):
            one.update(title=next(texts), description=next(texts))
        return content
    if isinstance(content, list):
        return [_listed(one, texts) if isinstance(one, dict) else one for one in content]
    return content


def _answer(answer: Any, texts: Iterator[str]) -> Any:
    if isinstance(answer, list):  # each has a name of its own
        numbers = itertools.count()
        return [{**one, "name": f"{next(texts)} {next(numbers)}"} for one in answer]
    rows = [[next(texts) if isinstance(cell, str) else cell for cell in r] for r in answer["rows"]]
    return {**answer, "rows": rows}


def _listed(one: dict[str, Any], texts: Iterator[str]) -> dict[str, Any]:
    if "rows" in one:  # events: since, until, text
        return {**one, "rows": [[*row[:2], next(texts)] for row in one["rows"]]}
    if "options" in one:
        options = [{**option, "text": next(texts)} for option in one["options"]]
        return {**one, "label": next(texts), "options": options}
    return {**one, "title": next(texts)}


@pytest.fixture
def hostile(browser: Browser, preview: str) -> Iterator[Page]:
    """A page of which every answer is planted; nothing may run, or leave this machine."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    signed_in(context, preview)
    context.add_init_script(WATCH)
    page, texts = context.new_page(), itertools.cycle(TEXTS)
    outside: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((preview, "blob:")):
            outside.append(request.url)

    def answered(route: Route) -> None:
        answer = route.fetch()
        assert answer.ok, answer.text()
        route.fulfill(response=answer, body=json.dumps(planted(answer.json(), texts)))

    page.on("request", asked)
    page.on("dialog", lambda dialog: outside.append(dialog.message))
    page.on("pageerror", lambda error: outside.append(str(error)))
    page.route("**/api/**", answered)
    yield page
    assert page.evaluate("window.found") == []
    context.close()
    assert [url for url in outside if not url.startswith("data:image/")] == []


@pytest.mark.parametrize("uid", PAGES)
def test_every_text_is_shown_as_text(hostile: Page, preview: str, uid: str) -> None:
    hostile.goto(f"{preview}/d/{uid}?var-model={monitored.FRAUD}&var-__proto__=x&constructor=x")
    loaded(hostile)
    assert hostile.locator(".panel[data-state=error]").count() == 0
    assert hostile.locator(FOREIGN).count() == 0
    for link in hostile.evaluate(LINKS):
        assert link.startswith(("/", "http://", "https://", "#")), link
    for drawn in ("td", ".ytick text, .xtick text, .legendtext"):
        shown = [one for one in hostile.locator(drawn).all_text_contents() if one]
        if drawn == "td" and not hostile.locator("td").count():
            continue
        assert any("<" in one for one in shown), shown[:5]
    for chart in hostile.locator(".panel .nsewdrag").all()[:6]:  # what is shown below the mouse
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        assert box is not None
        hostile.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        hostile.wait_for_timeout(100)
        assert hostile.locator(FOREIGN).count() == 0
    assert "undefined" not in hostile.locator("main").inner_text()


def test_names_of_objects_are_texts_of_cells(hostile: Page, preview: str) -> None:
    hostile.goto(f"{preview}/d/{names.FLEET_UID}")
    loaded(hostile)
    for text in ("__proto__", "constructor", "null"):
        expect(hostile.locator("td", has_text=text).first).to_be_attached()
