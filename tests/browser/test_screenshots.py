"""The pictures of README and docs: drawn anew by `make screenshots`, else only drawn."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from driftline import names
from tests import monitored
from tests.browser.conftest import loaded, signed_in

DOCS = Path(__file__).parents[2] / "docs"
OWN = names.dashboard_uid(monitored.FRAUD)
RANGE = "from=now-3d&to=now"


@dataclass(frozen=True)
class Picture:
    """One picture: which page, from which heading on."""

    name: str
    path: str
    heading: str | None = None
    width: int = 1360
    height: int = 1000
    theme: Literal["dark", "light"] = "dark"

    def __str__(self) -> str:
        return self.name


PICTURES = [
    Picture("fleet", f"/d/{names.FLEET_UID}?{RANGE}", height=1040),
    Picture("model", f"/d/{OWN}?{RANGE}", height=1300),
    Picture("performance", f"/d/{OWN}?{RANGE}", "Performance", height=1200, theme="light"),
    Picture("pipeline", f"/d/{names.PIPELINE_UID}?from=now-12h&to=now&var-model=fraud"),
    Picture("narrow", f"/d/{OWN}?{RANGE}", width=390, height=844),
]


@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_screenshot(browser: Browser, preview: str, tmp_path: Path, picture: Picture) -> None:
    folder = DOCS if os.environ.get("DRIFTLINE_SCREENSHOTS") == "write" else tmp_path
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme=picture.theme,
        reduced_motion="reduce",
    )
    signed_in(context, preview)
    page = context.new_page()
    page.goto(preview + picture.path)
    loaded(page)
    if picture.heading is not None:
        heading = page.locator("h2.row", has_text=picture.heading).bounding_box()
        assert heading is not None
        page.mouse.wheel(0, heading["y"] - 70)
    page.wait_for_timeout(500)  # Plotly places labels in a frame of their own
    target = folder / f"preview-{picture.name}.png"
    page.screenshot(path=target)
    context.close()
    assert 10_000 < target.stat().st_size < 300_000
