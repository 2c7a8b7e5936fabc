"""A real browser for the tests that need one: any Chromium or Chrome of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WITHOUT = (
    "BROWSER TESTS DID NOT RUN: no Chromium or Chrome was found on this machine. "
    "Install one (Debian, Ubuntu: apt-get install chromium; macOS: brew install --cask chromium) and run them again."
)


def find_browser() -> str | None:
    """The path of a Chromium or Chrome, or None."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    return found or shutil.which(_MAC)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One loud line, whatever else was printed, when there was no browser to test with."""
    if find_browser() is None:
        terminalreporter.write_line(_WITHOUT, red=True, bold=True)


@pytest.fixture(scope="session")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    """One browser for the whole run; fails without one where ENABLEBOT_REQUIRE_BROWSER is set, else skips."""
    path = find_browser()
    if path is None:
        if os.environ.get("ENABLEBOT_REQUIRE_BROWSER"):
            pytest.fail(_WITHOUT)
        pytest.skip("no Chromium or Chrome on this machine")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest.fixture
async def browser_page(browser: Browser) -> AsyncIterator[Page]:
    """A fresh page with its own cookies; the test fails if the page threw or was refused something by its policy."""
    context = await browser.new_context(viewport={"width": 1360, "height": 820}, reduced_motion="reduce")
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"the page threw: {error}"))
    page.on(
        "console",
        lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield page
    await context.close()
    assert faults == []
