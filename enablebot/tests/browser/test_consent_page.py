"""The consent page in a real browser, which adds headers of its own to a form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from playwright.async_api import Page

from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox whose app lives on another port and answers the redirect with its query."""

    async def arrive(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("Referer", "no referrer"))

    app = web.Application()
    app.router.add_get("/slack/oauth_redirect", arrive)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    redirect = f"http://localhost:{runner.addresses[0][1]}/slack/oauth_redirect"
    async with running(SandboxConfig(redirect_url=redirect)) as sandbox:
        yield sandbox
    await runner.cleanup()


def link(sandbox: Sandbox) -> str:
    return f"{sandbox.base_url}/oauth/v2/authorize?client_id={sandbox.config.client_id}&scope=chat:write&state=s-1"


async def press(page: Page, button: str) -> dict[str, list[str]]:
    await page.get_by_role("button", name=button).click()
    await page.wait_for_url("**/slack/oauth_redirect?**")
    return parse_qs(urlsplit(page.url).query)


async def test_allow_leads_back_to_the_app_with_a_code(sandbox: Sandbox, browser_page: Page) -> None:
    await browser_page.goto(link(sandbox))
    await browser_page.get_by_label("as Eva").check()
    query = await press(browser_page, "Allow")
    assert set(query) == {"code", "state"}
    assert await browser_page.inner_text("body") == "no referrer"
    answer = sandbox.granting.exchange(query["code"][0], redirect_uri=None)
    assert (answer["team"]["name"], answer["authed_user"]["id"]) == ("Globex", "U1EVA")


async def test_cancel_leads_back_to_the_app_with_a_refusal(sandbox: Sandbox, browser_page: Page) -> None:
    await browser_page.goto(link(sandbox))
    assert await press(browser_page, "Cancel") == {"error": ["access_denied"], "state": ["s-1"]}
