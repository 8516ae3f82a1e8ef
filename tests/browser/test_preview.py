"""The preview in a real browser: every panel of every dashboard draws what the store holds."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from driftline import names
from driftline.config import Config
from driftline.dashboards.definitions.generate import generate
from tests import monitored
from tests.browser.conftest import loaded

BOARDS = {
    board["uid"]: sum(panel["type"] != "row" for panel in board["panels"])
    for board in generate(monitored.config(Config()))
}
Colour = tuple[float, float, float]  # red, green, blue from 0 to 1
OWN = names.dashboard_uid(monitored.FRAUD)
# What each kind of panel draws for its data.
DRAWN = {
    "timeseries": ".scatterlayer path.js-line, .barlayer path",
    "heatmap": ".heatmaplayer image",
    "state-timeline": ".heatmaplayer image",
    "barchart": ".barlayer path",
    "stat": ".figure",
    "table": "tbody tr",
}


@pytest.mark.parametrize("uid", BOARDS)
def test_every_panel_draws_data(page: Page, preview: str, uid: str) -> None:
    page.goto(f"{preview}/d/{uid}?var-model={monitored.FRAUD}")
    loaded(page)
    panels = page.locator(".panel")
    assert panels.count() == BOARDS[uid]
    for panel in panels.all():
        title = panel.locator("h2 span").inner_text()
        assert panel.get_attribute("data-state") == "data", (title, panel.inner_text())
        drawn = panel.locator(DRAWN[panel.get_attribute("data-kind") or ""])
        assert drawn.count() > 0, title
        box = drawn.first.bounding_box()
        assert box, title
        assert box["height"] + box["width"] > 5, title


def test_the_model_and_the_range_are_chosen(page: Page, preview: str) -> None:
    page.goto(f"{preview}/d/{names.MODELS_UID}")
    loaded(page)
    page.locator("select[name=model]").select_option(monitored.FRAUD)
    expect(page).to_have_url(re.compile("var-model=fraud"))
    loaded(page)
    state = page.locator(".panel[data-kind=stat]").first
    expect(state.locator(".figure")).to_have_text("firing")
    times = page.locator(".panel", has_text="Inference time distribution")
    plot = times.locator(".js-plotly-plot")
    (line,) = plot.evaluate("(one) => one.layout.shapes.filter((s) => s.name === 'objective')")
    assert line["y0"] == plot.evaluate("(one) => one.data[0].y.at(-1)")  # 12 ms: the open bin
    page.locator("#range summary").click()
    page.get_by_role("button", name="24h").click()
    expect(page.locator("#range-text")).to_have_text("Last 24 hours")
    loaded(page)
    page.locator("select[name=model]").select_option(monitored.CHURN)
    expect(state.locator(".figure")).to_have_text("ok")
    page.go_back()
    expect(page).to_have_url(re.compile("var-model=fraud"))
    loaded(page)


def test_all_data_is_what_there_is(page: Page, preview: str) -> None:
    page.goto(f"{preview}/d/{OWN}")
    loaded(page)
    page.keyboard.press("a")
    expect(page.locator("#range-text")).to_contain_text("All data · 20")
    expect(page).to_have_url(re.compile("from=all"))
    loaded(page)


def test_a_range_that_ends_before_it_starts_is_said(page: Page, preview: str) -> None:
    page.goto(f"{preview}/d/{OWN}?from=now&to=now-1h")
    expect(page.locator("#problem")).to_contain_text("select another")


def test_a_column_of_the_timeline_is_looked_into(page: Page, preview: str) -> None:
    page.goto(f"{preview}/d/{OWN}")
    loaded(page)
    timeline = page.locator(".panel", has_text="Drift by column")
    timeline.scroll_into_view_if_needed()
    plot = timeline.locator(".nsewdrag").bounding_box()
    assert plot is not None
    page.mouse.click(plot["x"] + plot["width"] * 0.9, plot["y"] + 8)
    expect(page.locator("select[name=column]")).to_have_value("account_age_days")
    loaded(page)
    title = page.locator(".panel h2", has_text="account_age_days: reference and current")
    expect(title).to_be_visible()


def test_keys(page: Page, preview: str) -> None:
    page.goto(f"{preview}/d/{OWN}")
    loaded(page)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.locator(".panel").first.focus()
    page.keyboard.press("j")
    expect(page.locator(".panel").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".panel.large")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".panel.large")).to_have_count(0)
    page.keyboard.press("1")
    expect(page).to_have_url(re.compile(names.FLEET_UID))
    loaded(page)


def test_each_theme_has_its_colours_and_texts_that_can_be_read(page: Page, preview: str) -> None:
    """WCAG's contrast of 4.5 for text, on what is behind it, charts included."""
    page.goto(f"{preview}/d/{OWN}")
    loaded(page)
    assert _luminance(_back(page, ".panel")) < 0.05
    assert _unread(page) == []
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    loaded(page)
    assert _luminance(_back(page, ".panel")) > 0.9
    assert _unread(page) == []


# Texts, and what is behind them.
READ = {
    "h1": "body",
    "nav a": "body",
    ".panel h2 span": ".panel",
    ".panel[data-kind=timeseries] .xtick text": ".panel",
    ".panel[data-kind=heatmap] .ytick text": ".panel",
    ".panel[data-kind=timeseries] .legendtext": ".panel",
    ".panel[data-kind=table] th": ".panel",
    ".panel[data-kind=table] td": ".panel",
    ".panel[data-kind=state-timeline] .legend span": ".panel",
}


def _unread(page: Page) -> list[str]:
    """Texts that hardly stand out."""
    return [
        text
        for text, place in READ.items()
        if _contrast(_colour(page.locator(text).first), _back(page, place)) < 4.5
    ]


def _back(page: Page, place: str) -> Colour:
    return _colour(page.locator(place).first, "background-color")


def _colour(element: Locator, what: str = "") -> Colour:
    """As Chromium computed it; it is opaque. A chart's text is filled."""
    script = """(one, what) => getComputedStyle(one).getPropertyValue(
        what || (one instanceof SVGElement ? "fill" : "color"))"""
    found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", element.evaluate(script, what))
    assert found, what
    red, green, blue = (int(part) / 255 for part in found.groups())
    return red, green, blue


def _luminance(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: Colour, other: Colour) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_refreshes_by_itself(page: Page, preview: str) -> None:
    page.goto(f"{preview}/d/{names.FLEET_UID}")
    loaded(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#auto").select_option("5")
    with page.expect_response(lambda answer: answer.url.endswith("/panel"), timeout=30_000):
        pass
    assert asked


def test_narrow_screens_do_not_scroll_sideways(page: Page, preview: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{preview}/d/{OWN}")
    loaded(page)
    for panel in page.locator(".panel").all():
        box = panel.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_a_report_runs_without_an_origin(page: Page, preview: str) -> None:
    page.goto(f"{preview}/d/{OWN}")
    loaded(page)
    link = page.get_by_role("link", name="Evidently report").first
    with page.context.expect_page() as opened:
        link.click()
    report = opened.value
    expect(report.locator("h1")).to_have_text("Data drift of fraud")
    expect(report).to_have_title("ran")
    expect(report.locator("p").last).to_have_text("no cookies, no requests")


def test_texts_of_the_store_are_no_html(page: Page, preview: str) -> None:
    page.goto(f"{preview}/d/{OWN}")
    loaded(page)
    expect(page.locator("text=<img src=x onerror=fail()>").first).to_be_attached()
