"""Evidently's report as the preview serves it: sandboxed, alone, and drawn."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, expect

from driftline.config import Config
from driftline.storage import reports
from driftline.storage.connection import connect
from monitors.raw import evidently_report
from tests import monitored
from tests.unit.monitors.test_evidently import rows

START = datetime(2020, 1, 1, tzinfo=UTC)  # long before what the store holds


def test_the_whole_report_is_drawn(page: Page, preview: str, monitored_store: Config) -> None:
    made = evidently_report.make(
        rows(500, shift=2.0, seed=1, labelled=True),
        rows(500, labelled=True),
        "fraud, an hour",
        [("rows", "500")],
    )
    with connect(monitored_store.local_postgres(), "write", autocommit=True) as connection:
        number = reports.keep(
            connection,
            monitored.FRAUD,
            START,
            START + timedelta(hours=1),
            rows=500,
            summary=made.numbers,
            html=made.html,
        )
    page.goto(f"{preview}/reports/{number}")
    expect(page.get_by_text("fraud, an hour").first).to_be_visible()
    for part in ("Confusion Matrix", "ROC Curve", "Dataset Drift", "Dataset Summary"):
        expect(page.get_by_text(part).first).to_be_visible(timeout=60_000)
    row = page.locator("tr", has_text="amount").first
    expect(row).to_contain_text("Detected")
    assert page.locator(".js-plotly-plot .main-svg").count() >= 10  # the summary draws its own
