"""The first minutes of a new person in a real browser: landing page, Add to Slack, consent, dashboard, sign out.

Set ENABLEBOT_SCREENSHOTS to a directory to keep the pictures that the last test takes.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Browser, Page, expect

from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.tests.web.visiting import settings_for
from enablebot.web.main import create_app

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

PHONE, DESK = (390, 844), (1280, 800)


class _Guest(uvicorn.Server):
    """A server inside the test's process, which keeps the signals to itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(with_openai=False, time_scale=0.001)) as sandbox:
        yield sandbox


@pytest.fixture
async def web_address(sandbox: Sandbox, web_database: Database) -> AsyncIterator[str]:
    """The web service on a port of its own, known to the sandbox."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://localhost:{listener.getsockname()[1]}"
    sandbox.config_urls(redirect_url=f"{address}/slack/oauth_redirect")
    app = create_app(settings_for(sandbox.base_url, public_url=address), database=web_database)
    server = _Guest(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    yield address
    server.should_exit = True
    await serving


async def install(page: Page, address: str) -> None:
    await page.goto(address)
    await page.get_by_role("link", name="Add to Slack").first.click()
    await page.get_by_label("as Ada").check()
    await page.get_by_role("button", name="Allow").click()
    await page.wait_for_url(f"{address}/dashboard")


async def test_from_the_landing_page_to_the_dashboard_and_out_again(
    web_address: str, browser_page: Page, sandbox: Sandbox
) -> None:
    page = browser_page
    await install(page, web_address)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Acme")
    await expect(page.get_by_role("heading", name="EnableBot is in place")).to_be_visible()
    assert sorted(sandbox.world.installs["T0SANDBOX1"].scopes) == sorted(
        await page.locator(".scope-name").all_inner_texts()
    )
    await page.get_by_role("link", name="Open it in Slack").click()
    await page.wait_for_url(f"{sandbox.base_url}/**")
    await page.go_back()
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(f"{web_address}/?signed-out")
    await expect(page.get_by_role("status")).to_contain_text("You are signed out")
    await page.goto(f"{web_address}/dashboard")
    await expect(page.get_by_role("heading", level=1)).to_have_text("You are not signed in")


async def test_cancelling_leads_to_a_page_from_which_one_can_start_again(web_address: str, browser_page: Page) -> None:
    page = browser_page
    await page.goto(f"{web_address}/slack/install")
    await page.get_by_label("as Ada").check()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("EnableBot was not added")
    await page.get_by_role("link", name="Start again").click()
    await expect(page.get_by_role("button", name="Allow")).to_be_visible()


async def test_going_back_after_installing_explains_itself(web_address: str, browser_page: Page) -> None:
    page = browser_page
    callbacks: list[str] = []
    page.on(
        "request", lambda request: callbacks.append(request.url) if "/slack/oauth_redirect?" in request.url else None
    )
    await install(page, web_address)
    await page.goto(callbacks[0])
    await expect(page.get_by_role("heading", level=1)).to_have_text("This attempt cannot be used any more")
    await page.goto(f"{web_address}/dashboard")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Acme")


async def test_an_example_is_copied_with_one_press(web_address: str, browser_page: Page) -> None:
    page = browser_page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=web_address)
    await install(page, web_address)
    await page.get_by_role("button", name="Copy: /invite @EnableBot").click()
    await expect(page.locator("#copied")).to_have_text("Copied to the clipboard.")
    assert await page.evaluate("navigator.clipboard.readText()") == "/invite @EnableBot"


async def test_the_whole_way_can_be_walked_by_keyboard(web_address: str, browser_page: Page) -> None:
    page = browser_page
    await page.goto(web_address)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Add to Slack").first).to_be_focused()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Allow").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{web_address}/dashboard")
    await page.get_by_role("button", name="Sign out").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{web_address}/?signed-out")


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[str], Path]:
    directory = Path(os.environ.get("ENABLEBOT_SCREENSHOTS", tmp_path))
    directory.mkdir(parents=True, exist_ok=True)
    return lambda name: directory / f"{name}.png"


@pytest.mark.parametrize(
    ("size", "scheme", "script"),
    [
        pytest.param(DESK, "light", True, id="desk-light"),
        pytest.param(DESK, "dark", True, id="desk-dark"),
        pytest.param(PHONE, "light", True, id="phone-light"),
        pytest.param(PHONE, "dark", True, id="phone-dark"),
        pytest.param(PHONE, "light", False, id="phone-without-script"),
    ],
)
async def test_every_page_fits_its_screen(
    web_address: str,
    browser: Browser,
    pictures: Callable[[str], Path],
    size: tuple[int, int],
    scheme: str,
    script: bool,
) -> None:
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    foreign: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(web_address) else foreign.append(request.url))

    async def look(name: str) -> None:
        picture = pictures(f"{name}-{scheme}-{'phone' if size == PHONE else 'desk'}{'' if script else '-plain'}")
        await page.screenshot(path=picture, full_page=True)
        width = int.from_bytes(picture.read_bytes()[16:20], "big")
        assert width == size[0], f"{name} is wider than its screen"

    await page.goto(web_address)
    await look("landing")
    await page.goto(f"{web_address}/slack/oauth_redirect?code=1&state=2")
    await look("notice")
    assert foreign == []
    await install(page, web_address)
    foreign.clear()
    await page.reload()
    await look("dashboard")
    assert foreign == []
    await context.close()
