"""Evidently's report as the preview serves it: sandboxed, alone, and drawn."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from driftline.config import Config
from driftline.monitors.raw_rows import evidently_report
from driftline.storage.connection import connect
from driftline.storage.monitoring import reports
from tests import monitored
from tests.unit.monitors.raw_rows.test_evidently import PLANTED, planted, rows

START = datetime(2020, 1, 1, tzinfo=UTC)  # long before what the store holds


def kept(config: Config, html: str, since: datetime) -> int:
    """The number of a report that is stored."""
    until = since + timedelta(hours=1)
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        return reports.store(
            connection, monitored.FRAUD, since, until, rows=500, summary={}, html=html
        )


def test_the_whole_report_is_drawn(page: Page, preview: str, monitored_store: Config) -> None:
    made = evidently_report.make(
        rows(500, shift=2.0, seed=1, labelled=True),
        rows(500, labelled=True),
        "fraud, an hour",
        [("rows", "500")],
    )
    number = kept(monitored_store, made.html, START)
    page.goto(f"{preview}/reports/{number}")
    expect(page.get_by_text("fraud, an hour").first).to_be_visible()
    for part in ("Confusion Matrix", "ROC Curve", "Dataset Drift", "Dataset Summary"):
        expect(page.get_by_text(part).first).to_be_visible(timeout=60_000)
    row = page.locator("tr", has_text="amount").first
    expect(row).to_contain_text("Detected")
    assert page.locator(".js-plotly-plot .main-svg").count() >= 10  # the summary draws its own


@pytest.mark.parametrize("place", ["preview", "alone"])
def test_html_in_events_is_shown_and_does_not_run(
    page: Page, preview: str, monitored_store: Config, place: str
) -> None:
    """As the preview serves it, and without its headers, as `driftline report --open` shows it."""
    current, reference = planted(rows(500, shift=2.0, seed=1)), planted(rows(500))
    made = evidently_report.make(current, reference, "fraud, an hour", [("rows", "500")])
    if place == "preview":
        number = kept(monitored_store, made.html, START + timedelta(days=1))
        page.goto(f"{preview}/reports/{number}")
    else:
        page.set_content(made.html)
    expect(page.get_by_text("Dataset Drift").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text(f"named {PLANTED}").first).to_be_visible()
    assert page.locator(".js-plotly-plot .main-svg").count() >= 10
    assert page.evaluate("window.planted") is None
    assert page.locator("img[src=x], svg[onload]").count() == 0
    links = page.evaluate("[...document.links].map((one) => one.href)")
    links += page.evaluate(
        "[...document.querySelectorAll('svg a')].map((one) => one.getAttribute('xlink:href') ?? '')"
    )
    assert [one for one in links if one and not one.startswith(("http:", "https:", "about:"))] == []
