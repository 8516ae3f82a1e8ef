"""Evidently's report as the preview serves it: sandboxed, alone, and drawn."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from playwright.sync_api import Page, expect

from driftline.config import Config
from driftline.storage import reports
from driftline.storage.connection import connect
from monitors.raw import evidently_report
from tests import monitored

START = datetime(2020, 1, 1, tzinfo=UTC)  # long before what the store holds


def sampled(seed: int, shift: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    score = rng.uniform(0, 1, 500)
    return pa.table(
        {
            "amount": rng.normal(100 + shift, 10, 500),
            "country": rng.choice(["de", "fr"], 500),
            "score": score,
            "label": (rng.uniform(0, 1, 500) < score).astype(float),
        }
    )


def test_the_whole_report_is_drawn(page: Page, preview: str, monitored_store: Config) -> None:
    made = evidently_report.make(
        sampled(1, 20.0), sampled(0, 0.0), "fraud, an hour", [("rows", "500")]
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
