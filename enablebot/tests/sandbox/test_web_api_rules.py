from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.limits import RateLimits
from enablebot.sandbox.server import running
from enablebot.tests.sandbox.conftest import ACME, GLOBEX
from enablebot.tests.sandbox.test_posting import refusal

pytestmark = pytest.mark.anyio
Raw = Callable[..., Any]


@pytest.fixture
async def raw(sandbox: Sandbox, acme: Installed) -> AsyncIterator[Raw]:
    """A call as bytes: method, then aiohttp's arguments; `auth=False` leaves the token out."""
    async with aiohttp.ClientSession() as http:

        async def call(method: str, *, auth: bool = True, **how: Any) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {acme.token}"} if auth else {}
            headers |= how.pop("headers", {})
            async with http.post(f"{sandbox.base_url}/api/{method}", headers=headers, **how) as response:
                body: dict[str, Any] = await response.json()
                return body

        yield call


@pytest.mark.parametrize("place", ["params", "data", "json"])
async def test_arguments_are_taken_from_query_form_and_json(raw: Raw, place: str) -> None:
    answer = await raw("chat.postMessage", **{place: {"channel": "C0GENERAL", "text": "hello"}})
    assert answer["ok"]


async def test_structures_in_a_form_are_json_strings(raw: Raw) -> None:
    blocks = '[{"type":"divider","block_id":"line"}]'
    answer = await raw("chat.postMessage", data={"channel": "C0GENERAL", "text": "x", "blocks": blocks})
    assert answer["message"]["blocks"] == [{"type": "divider", "block_id": "line"}]
    answer = await raw("chat.postMessage", data={"channel": "C0GENERAL", "text": "x", "blocks": "[{"})
    assert answer["error"] == "invalid_blocks_format"


async def test_a_form_may_carry_the_token_but_json_may_not(raw: Raw, acme: Installed) -> None:
    assert (await raw("auth.test", auth=False, data={"token": acme.token}))["ok"]
    assert (await raw("auth.test", auth=False, json={"token": acme.token}))["error"] == "not_authed"


async def test_a_token_in_the_address_is_refused_and_held_against_the_app(
    raw: Raw, acme: Installed, sandbox: Sandbox
) -> None:
    assert (await raw("auth.test", auth=False, params={"token": acme.token}))["error"] == "not_authed"
    assert [entry.kind for entry in sandbox.ledger.violations] == ["secret_in_query"]
    assert acme.token not in str(sandbox.ledger.as_json())


async def test_a_method_nobody_knows_is_held_against_the_app(raw: Raw, sandbox: Sandbox) -> None:
    answer = await raw("chat.sendTelepathy")
    assert (answer["error"], answer["req_method"]) == ("unknown_method", "chat.sendTelepathy")
    assert [entry.kind for entry in sandbox.ledger.violations] == ["unknown_method"]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, "invalid_json"),
        ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, "json_not_object"),
        ({"data": b"channel=C0GENERAL", "headers": {"Content-Type": "text/csv"}}, "invalid_post_type"),
        ({"json": {"text": "x"}}, "invalid_arguments"),
        ({"json": {"channel": "C0GENERAL", "text": ["x"]}}, "invalid_arguments"),
    ],
)
async def test_a_body_slack_does_not_understand_is_refused(raw: Raw, how: dict[str, Any], error: str) -> None:
    assert (await raw("chat.postMessage", **how))["error"] == error


async def test_json_without_a_charset_is_warned_about(raw: Raw) -> None:
    assert (await raw("auth.test", json={}))["warning"] == "missing_charset"


@pytest.mark.parametrize(("token", "error"), [("", "not_authed"), ("xoxb-made-up", "invalid_auth")])
async def test_a_call_needs_a_token_that_exists(
    client_of: Callable[[str], AsyncWebClient], token: str, error: str
) -> None:
    assert await refusal(client_of(token).auth_test()) == error


async def test_a_missing_scope_is_named(sandbox: Sandbox, client_of: Callable[[str], AsyncWebClient]) -> None:
    weak = client_of(sandbox.install(ACME, scopes=("chat:write", "im:history")).token)
    with pytest.raises(SlackApiError) as caught:
        await weak.users_info(user="U0ADA")
    answer = caught.value.response
    assert (answer["error"], answer["needed"]) == ("missing_scope", "users:read")
    assert answer["provided"] == "chat:write,im:history"
    assert answer.headers["x-oauth-scopes"] == "chat:write,im:history"
    with pytest.raises(SlackApiError) as caught:
        await weak.conversations_history(channel="C0GENERAL")
    assert caught.value.response["needed"] == "channels:history"


async def test_a_token_reaches_only_its_own_workspace(
    sandbox: Sandbox, acme: Installed, client_of: Callable[[str], AsyncWebClient]
) -> None:
    globex = client_of(sandbox.install(GLOBEX).token)
    ts = await sandbox.post(team=ACME, channel="C0GENERAL", user="U0ADA", text="secret")
    await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="secret")
    for call in (
        globex.conversations_replies(channel="C0GENERAL", ts=ts),
        globex.conversations_history(channel="D0ADA"),
        globex.conversations_info(channel="C0GENERAL"),
        globex.chat_postMessage(channel="D0ADA", text="x"),
        globex.reactions_add(channel="C0GENERAL", timestamp=ts, name="eyes"),
    ):
        assert await refusal(call) == "channel_not_found"
    assert await refusal(globex.users_info(user="U0ADA")) == "user_not_found"
    assert await refusal(globex.team_info(team=ACME)) == "team_not_found"


async def test_a_channel_takes_one_post_a_second_after_a_burst(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    for _ in range(sandbox.config.post_burst):
        await slack.chat_postMessage(channel="C0GENERAL", text="x")
    with pytest.raises(SlackApiError) as caught:
        await slack.chat_postMessage(channel="C0GENERAL", text="x")
    answer = caught.value.response
    assert (answer.status_code, answer["error"], answer.headers["Retry-After"]) == (429, "ratelimited", "1")
    await slack.chat_postMessage(channel="U0ADA", text="another channel")
    sandbox.clock.advance(1)
    await slack.chat_postMessage(channel="C0GENERAL", text="x")
    assert [call.status for call in sandbox.ledger.calls_of("chat.postMessage")].count(429) == 1


async def test_a_method_has_its_minute_in_each_workspace(
    slack: AsyncWebClient, sandbox: Sandbox, client_of: Callable[[str], AsyncWebClient]
) -> None:
    root = await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hi")
    for _ in range(20):
        await slack.chat_startStream(channel="D0ADA", thread_ts=root)
    with pytest.raises(SlackApiError) as caught:
        await slack.chat_startStream(channel="D0ADA", thread_ts=root)
    assert caught.value.response.status_code == 429
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 60
    globex = client_of(sandbox.install(GLOBEX).token)
    await globex.api_call("chat.startStream", json={"channel": "U1EVA"})
    sandbox.clock.advance(61)
    await slack.chat_startStream(channel="D0ADA", thread_ts=root)


def test_a_sliding_minute_frees_one_place_when_one_call_is_a_minute_old() -> None:
    limits = RateLimits(enforced=True, post_burst=5)
    waits = [limits.minute(team="T", method="m", limit=2, now=now) for now in (0.0, 30.0, 45.0, 60.0, 61.0, 90.0)]
    assert waits == [0, 0, 15, 0, 29, 0]


async def test_apps_outside_the_marketplace_read_fifteen_messages_a_minute(config: SandboxConfig) -> None:
    async with running(replace(config, history_cap=True)) as sandbox:
        slack = AsyncWebClient(sandbox.install(ACME).token, base_url=f"{sandbox.base_url}/api/", retry_handlers=[])
        for number in range(20):
            await sandbox.post(team=ACME, channel="C0GENERAL", user="U0ADA", text=f"{number}")
        answer = await slack.conversations_history(channel="C0GENERAL", limit=200)
        assert (len(answer["messages"]), answer["has_more"]) == (15, True)
        assert await refusal(slack.conversations_history(channel="C0GENERAL")) == "ratelimited"
