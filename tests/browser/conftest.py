"""Debian's Chromium, and a preview of the monitored store."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from driftline.config import Config
from driftline.dashboards.preview import access
from driftline.dashboards.preview.serve import served

# Without these Chromium asks for hosts of its maker's at every start.
_QUIET = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "of-the-tests"
_PATIENCE = 60_000  # ms


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing: 'make browser' installs it"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=_QUIET)
        yield running
        running.close()


@pytest.fixture(scope="session")
def preview(monitored_store: Config) -> Iterator[str]:
    with served(monitored_store, TOKEN) as address:
        yield address


def signed_in(context: BrowserContext, preview: str) -> None:
    """As who has opened the address that the command prints."""
    assert context.request.get(access.link(preview, TOKEN)).ok


@pytest.fixture
def page(browser: Browser, preview: str) -> Iterator[Page]:
    """A page that fails the test on any error of its scripts, or when it asks another host."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    signed_in(context, preview)
    made = context.new_page()
    problems: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((preview, "data:", "blob:")):
            problems.append(request.url)

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on("console", said)
    made.on("request", asked)
    yield made
    context.close()
    assert problems == []


def loaded(page: Page) -> None:
    """Wait until every panel has its answer."""
    page.locator(".panel").first.wait_for()
    waiting = page.locator(".panel:not([data-state]), .panel[data-state=loading]")
    expect(waiting).to_have_count(0, timeout=_PATIENCE)
