from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox
from enablebot.sandbox.faults import Faults
from enablebot.tests.sandbox.conftest import ACME
from enablebot.tests.sandbox.test_posting import refusal

pytestmark = pytest.mark.anyio
POST: dict[str, Any] = {"channel": "C0GENERAL", "text": "hello"}


@pytest.fixture
async def http(acme: Installed) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {acme.token}"}) as session:
        yield session


async def test_a_lost_answer_took_effect_and_slack_s_client_sees_a_dropped_connection(
    slack: AsyncWebClient, sandbox: Sandbox
) -> None:
    sandbox.faults.add("chat.postMessage", "lost_answer")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await slack.chat_postMessage(channel="C0GENERAL", text="hello")
    assert [message["text"] for message in sandbox.messages(ACME, "C0GENERAL")] == ["hello"]
    call = sandbox.ledger.calls_of("chat.postMessage")[0]
    assert (call.ok, call.fault, call.ts) == (True, "lost_answer", sandbox.messages(ACME, "C0GENERAL")[0]["ts"])


async def test_a_lost_answer_sends_not_one_byte(sandbox: Sandbox, acme: Installed) -> None:
    sandbox.faults.add("auth.test", "lost_answer")
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection("127.0.0.1" if host == "localhost" else host, int(port))
    writer.write(
        f"POST /api/auth.test HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {acme.token}\r\n"
        "Content-Length: 0\r\n\r\n".encode()
    )
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_slack_s_own_retry_doubles_a_post_whose_answer_was_lost(sandbox: Sandbox, acme: Installed) -> None:
    sandbox.faults.add("chat.postMessage", "lost_answer")
    retrying = AsyncWebClient(acme.token, base_url=f"{sandbox.base_url}/api/")
    await retrying.chat_postMessage(channel="C0GENERAL", text="hello")
    assert len(sandbox.messages(ACME, "C0GENERAL")) == 2


async def test_a_lost_answer_over_a_reused_connection(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    url = f"{sandbox.base_url}/api/chat.postMessage"
    async with http.post(url, json=POST) as response:
        assert (await response.json())["ok"]
    sandbox.faults.add("chat.postMessage", "lost_answer")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await http.post(url, json=POST)
    async with http.post(url, json=POST) as response:
        assert (await response.json())["ok"]
    assert len(sandbox.messages(ACME, "C0GENERAL")) == 3


@pytest.mark.parametrize("lost", ["close", "reset", "half", "hang"])
async def test_however_an_answer_is_lost_the_post_is_there(
    http: aiohttp.ClientSession, sandbox: Sandbox, lost: str
) -> None:
    sandbox.faults.add("chat.postMessage", "lost_answer", lost=lost)

    async def post() -> None:
        url, patience = f"{sandbox.base_url}/api/chat.postMessage", aiohttp.ClientTimeout(total=0.3)
        async with http.post(url, json=POST, timeout=patience) as response:
            await response.read()

    expected = {"half": aiohttp.ClientPayloadError, "hang": TimeoutError}
    with pytest.raises(expected.get(lost, aiohttp.ClientConnectionError)):
        await post()
    assert len(sandbox.messages(ACME, "C0GENERAL")) == 1


def test_an_unknown_way_to_lose_an_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown way to lose an answer 'eaten'"):
        Faults().add("chat.postMessage", "lost_answer", lost="eaten")


async def test_a_reset_has_no_effect(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    sandbox.faults.add("chat.*", "reset")
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await http.post(f"{sandbox.base_url}/api/chat.postMessage", json=POST)
    assert sandbox.messages(ACME, "C0GENERAL") == []


async def test_a_status_an_error_and_a_rate_limit_have_no_effect(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    sandbox.faults.add("chat.postMessage", "error", error="channel_not_found")
    sandbox.faults.add("chat.postMessage", "ratelimit", retry_after=7)
    sandbox.faults.add("chat.postMessage", "status", status=503)
    assert await refusal(slack.chat_postMessage(**POST)) == "channel_not_found"
    with pytest.raises(SlackApiError) as caught:
        await slack.chat_postMessage(**POST)
    assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (429, "7")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of a page that is not JSON
        await slack.chat_postMessage(**POST)
    assert sandbox.messages(ACME, "C0GENERAL") == []
    assert [call.status for call in sandbox.ledger.calls] == [200, 429, 503]
    await slack.chat_postMessage(**POST)


async def test_a_hanging_call_ends_with_its_caller(http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    sandbox.faults.add("chat.postMessage", "hang")
    with pytest.raises(TimeoutError):
        await http.post(
            f"{sandbox.base_url}/api/chat.postMessage", json=POST, timeout=aiohttp.ClientTimeout(total=0.05)
        )
    assert await sandbox.wait_for(lambda: sandbox.ledger.calls_of("chat.postMessage"))
    assert sandbox.messages(ACME, "C0GENERAL") == []


async def test_a_slow_call_is_only_late(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    sandbox.faults.add("*", "slow", seconds=0.01)
    await slack.chat_postMessage(channel="C0GENERAL", text="hello")
    assert (sandbox.ledger.calls[0].ok, sandbox.ledger.calls[0].fault) == (True, "slow")
    assert len(sandbox.messages(ACME, "C0GENERAL")) == 1


def test_a_rule_skips_then_strikes_then_is_used_up() -> None:
    faults = Faults()
    faults.add("chat.postMessage", "status", skip=1, times=2)
    assert faults.take("chat.update") is None
    struck = [faults.take("chat.postMessage") is not None for _ in range(4)]
    assert struck == [False, True, True, False]
    assert faults.left() == []


def test_a_rule_for_one_workspace_or_for_certain_words_lets_other_calls_pass_uncounted() -> None:
    faults = Faults()
    faults.add("chat.*", "status", team=ACME, containing="parcel 7", skip=1)
    said = {"text": "where is parcel 7?"}
    assert faults.take("chat.update", team="T0OTHER", said=said) is None
    assert faults.take("chat.update", team=ACME, said={"text": "where is parcel 8?"}) is None
    struck = [faults.take("chat.update", team=ACME, said=said) is not None for _ in range(3)]
    assert struck == [False, True, False]


def test_a_rule_with_an_unknown_kind_or_field_is_refused() -> None:
    faults = Faults()
    faults.add("chat.postMessage")
    with pytest.raises(ValueError, match="unknown kind"):
        faults.replace([{"method": "*", "kind": "meteor"}])
    with pytest.raises(ValueError, match="no field colour"):
        faults.replace([{"method": "*", "kind": "status", "colour": "red"}])
    assert len(faults.left()) == 1
