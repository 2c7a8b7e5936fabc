from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.tests.sandbox.conftest import ACME, GLOBEX

pytestmark = [
    pytest.mark.anyio,
    # slack_sdk sends client credentials through the class that aiohttp is about to drop.
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
]
Exchange = Callable[..., Awaitable[Any]]
REDIRECT = "http://localhost:8000/slack/oauth_redirect"


class Browser:
    """A person at the consent page."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self._sandbox, self._http = sandbox, http

    def link(self, **changed: str | None) -> str:
        query: dict[str, str | None] = {
            "client_id": self._sandbox.config.client_id,
            "scope": "chat:write,app_mentions:read",
            "redirect_uri": REDIRECT,
            "state": "s-1",
        }
        kept = {name: value for name, value in (query | changed).items() if value is not None}
        return f"{self._sandbox.base_url}/oauth/v2/authorize?{urlencode(kept)}"

    async def open(self, link: str) -> tuple[int, str]:
        async with self._http.get(link) as page:
            return page.status, await page.text()

    async def answer(
        self, page: str, member: str = f"{ACME}/U0ADA", decision: str = "allow", **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Status, the query the browser returns with, and the page or address."""
        found = re.search(r'name="request" value="([^"]+)"', page)
        assert found
        form = {"request": found.group(1), "member": member, "decision": decision}
        url = f"{self._sandbox.base_url}/oauth/v2/authorize"
        async with self._http.post(url, data=form, headers=headers, allow_redirects=False) as response:
            location = response.headers.get("Location", "")
            query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
            return response.status, query, location or await response.text()

    async def code(self, **changed: str | None) -> str:
        _, page = await self.open(self.link(**changed))
        _, query, _ = await self.answer(page)
        return query["code"]


@pytest.fixture
async def browser(sandbox: Sandbox) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as http:
        yield Browser(sandbox, http)


@pytest.fixture
def exchange(sandbox: Sandbox, client_of: Callable[[str], AsyncWebClient]) -> Exchange:
    async def run(code: str, *, redirect_uri: str | None = REDIRECT, secret: str | None = None) -> Any:
        config: SandboxConfig = sandbox.config
        answer = await client_of("").oauth_v2_access(
            client_id=config.client_id,
            client_secret=secret or config.client_secret,
            code=code,
            redirect_uri=redirect_uri,
        )
        return answer.data

    return run


async def error_of(call: Awaitable[Any]) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


async def test_allow_returns_a_code_that_buys_a_working_token(
    sandbox: Sandbox, browser: Browser, exchange: Exchange, client_of: Callable[[str], AsyncWebClient]
) -> None:
    status, page = await browser.open(browser.link())
    assert status == 200
    for shown in ("Acme", "Globex", "chat:write", "Send messages as @EnableBot", "guest"):
        assert shown in page
    status, query, location = await browser.answer(page)
    assert status == 302
    assert location.startswith(REDIRECT + "?")
    assert query["state"] == "s-1"
    answer = await exchange(query["code"])
    assert answer["team"] == {"id": ACME, "name": "Acme"}
    assert answer["enterprise"] is None
    assert not answer["is_enterprise_install"]
    assert answer["scope"] == "chat:write,app_mentions:read"
    assert answer["authed_user"] == {"id": "U0ADA"}
    assert "bot_id" not in answer
    identity = await client_of(answer["access_token"]).auth_test()
    assert (identity["user_id"], identity["bot_id"]) == (answer["bot_user_id"], "B0BOT1")
    assert answer["bot_user_id"] in sandbox.world.channels["C0GENERAL"].members
    assert answer["bot_user_id"] not in sandbox.world.channels["C0RANDOM"].members


async def test_cancel_returns_access_denied_and_the_state(browser: Browser) -> None:
    _, page = await browser.open(browser.link())
    _, query, _ = await browser.answer(page, decision="cancel")
    assert query == {"error": "access_denied", "state": "s-1"}


async def test_a_guest_may_not_install(browser: Browser, sandbox: Sandbox) -> None:
    _, page = await browser.open(browser.link())
    _, query, _ = await browser.answer(page, member=f"{ACME}/U0GUEST")
    assert query["error"] == "access_denied"
    assert not sandbox.world.installs


async def test_somebody_of_another_workspace_is_refused(browser: Browser) -> None:
    _, page = await browser.open(browser.link())
    status, _, text = await browser.answer(page, member=f"{GLOBEX}/U0ADA")
    assert (status, "user_not_found" in text) == (400, True)


async def test_a_consent_page_is_answered_once_and_only_from_itself(browser: Browser) -> None:
    _, page = await browser.open(browser.link())
    status, _, _ = await browser.answer(page, Origin="http://evil.example")
    assert status == 400
    assert (await browser.answer(page))[0] == 302
    status, _, text = await browser.answer(page)
    assert (status, "used already" in text) == (400, True)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"client_id": "another"}, "invalid_client_id"),
        ({"scope": "chat:write,mind:read"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"redirect_uri": "http://localhost:8000/elsewhere"}, "bad_redirect_uri"),
        ({"redirect_uri": REDIRECT + "_evil"}, "bad_redirect_uri"),
        ({"redirect_uri": REDIRECT + "/../../evil"}, "bad_redirect_uri"),
        ({"redirect_uri": REDIRECT + "#token"}, "bad_redirect_uri"),
        ({"redirect_uri": "http://localhost:8000@evil.example/slack/oauth_redirect"}, "bad_redirect_uri"),
        ({"redirect_uri": "https://evil.example/slack/oauth_redirect"}, "bad_redirect_uri"),
    ],
)
async def test_a_wrong_link_is_refused_on_a_page(browser: Browser, changed: dict[str, str], error: str) -> None:
    status, page = await browser.open(browser.link(**changed))
    assert (status, f"<code>{error}</code>" in page) == (400, True)


async def test_plain_http_redirects_are_only_for_this_machine(browser: Browser, sandbox: Sandbox) -> None:
    sandbox.config_urls(redirect_url="http://bot.example/slack/oauth_redirect")
    status, page = await browser.open(browser.link(redirect_uri="http://bot.example/slack/oauth_redirect"))
    assert (status, "bad_redirect_uri" in page) == (400, True)
    sandbox.config_urls(redirect_url="https://bot.example/slack/oauth_redirect")
    status, _ = await browser.open(browser.link(redirect_uri="https://bot.example/slack/oauth_redirect/eu"))
    assert status == 200


async def test_what_a_link_says_is_shown_as_text(browser: Browser) -> None:
    _, page = await browser.open(browser.link(scope="<script>alert(1)</script>"))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


async def test_a_link_without_state_is_held_against_the_app(browser: Browser, sandbox: Sandbox) -> None:
    await browser.open(browser.link(state=None))
    assert [entry.kind for entry in sandbox.ledger.violations] == ["missing_state"]


async def test_a_code_works_once(browser: Browser, exchange: Exchange) -> None:
    code = await browser.code()
    await exchange(code)
    assert await error_of(exchange(code)) == "invalid_code"


async def test_a_code_lives_ten_minutes(browser: Browser, exchange: Exchange, sandbox: Sandbox) -> None:
    code = await browser.code()
    sandbox.clock.advance(601)
    assert await error_of(exchange(code)) == "invalid_code"


async def test_an_unknown_code_is_refused(exchange: Exchange) -> None:
    assert await error_of(exchange("made.up")) == "invalid_code"


async def test_the_redirect_address_must_be_the_same_in_both_steps(browser: Browser, exchange: Exchange) -> None:
    code = await browser.code()
    assert await error_of(exchange(code, redirect_uri=REDIRECT + "/eu")) == "bad_redirect_uri"
    assert await error_of(exchange(code, redirect_uri=None)) == "bad_redirect_uri"
    unnamed = await browser.code(redirect_uri=None)
    await exchange(unnamed, redirect_uri=None)


async def test_a_wrong_secret_is_refused_and_leaves_the_code_alone(browser: Browser, exchange: Exchange) -> None:
    code = await browser.code()
    assert await error_of(exchange(code, secret="guess")) == "bad_client_secret"
    await exchange(code)


async def test_credentials_may_come_in_the_body_but_not_in_the_address(browser: Browser, sandbox: Sandbox) -> None:
    config = sandbox.config
    url = f"{sandbox.base_url}/api/oauth.v2.access"
    form = {"code": await browser.code(), "redirect_uri": REDIRECT, "client_id": config.client_id}
    async with aiohttp.ClientSession() as http:
        async with http.post(url, params={"client_secret": config.client_secret}, data=form) as response:
            assert (await response.json())["error"] == "bad_client_secret"
        assert [entry.kind for entry in sandbox.ledger.violations] == ["secret_in_query"]
        async with http.post(url, data=form | {"client_secret": config.client_secret}) as response:
            assert (await response.json())["ok"]


async def test_scopes_add_up_and_an_installed_app_keeps_its_token(browser: Browser, exchange: Exchange) -> None:
    first = await exchange(await browser.code())
    second = await exchange(await browser.code(scope="users:read"))
    assert first["access_token"] == second["access_token"]
    assert second["scope"] == "chat:write,app_mentions:read,users:read"
