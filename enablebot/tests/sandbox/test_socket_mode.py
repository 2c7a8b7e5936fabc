"""Socket Mode as the sandbox plays it: tickets, hello, envelopes, acknowledgements, and every way a socket ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.__main__ import configured
from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.sandbox.sockets import MOST_CONNECTIONS
from enablebot.tests.sandbox.conftest import ACME, Page
from enablebot.tests.sandbox.played_app import PlayedApp

pytestmark = pytest.mark.anyio

APP_TOKEN = "xapp-1-A0ENABLEBOT-sandbox"
PATIENCE = 5.0


@pytest.fixture
def config(played_app: PlayedApp) -> SandboxConfig:
    return SandboxConfig(
        app_token=APP_TOKEN,
        events_url=f"{played_app.url}/slack/events",
        interactions_url=f"{played_app.url}/slack/interactions",
        time_scale=0.001,
        stream_seconds=300_000,
        model_delay_ms=0,
    )


class Link:
    """The app's end of one socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def frame(self) -> dict[str, Any]:
        told: dict[str, Any] = await self.socket.receive_json(timeout=PATIENCE)
        return told

    async def acknowledge(self, envelope: dict[str, Any], **more: Any) -> None:
        await self.socket.send_json({"envelope_id": envelope["envelope_id"], **more})

    async def closed(self) -> bool:
        return (await self.socket.receive(timeout=PATIENCE)).type in {
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.CLOSING,
        }


Connect = Callable[..., Any]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def app(client_of: Callable[[str], AsyncWebClient]) -> AsyncWebClient:
    return client_of(APP_TOKEN)


@pytest.fixture
def connect(app: AsyncWebClient, http: aiohttp.ClientSession) -> Connect:
    async def open_link(extra: str = "") -> Link:
        url = (await app.api_call("apps.connections.open"))["url"]
        return Link(await http.ws_connect(url + extra))

    return open_link


async def ask(sandbox: Sandbox, text: str = "@EnableBot good morning") -> str:
    return await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text=text)


async def refusal(client: AsyncWebClient, method: str) -> str:
    with pytest.raises(SlackApiError) as told:
        await client.api_call(method)
    return str(told.value.response["error"])


async def test_only_the_app_level_token_opens_a_socket(
    app: AsyncWebClient, client_of: Callable[[str], AsyncWebClient], acme: Installed
) -> None:
    answer = await app.api_call("apps.connections.open")
    assert answer["url"].startswith("ws://localhost:")
    assert "/link/?ticket=" in answer["url"]
    assert "&app_id=A0ENABLEBOT" in answer["url"]
    assert await refusal(client_of(acme.token), "apps.connections.open") == "not_allowed_token_type"
    assert await refusal(client_of("xapp-1-unknown"), "apps.connections.open") == "invalid_auth"
    assert await refusal(client_of(""), "apps.connections.open") == "not_authed"


async def test_the_app_level_token_opens_nothing_else(app: AsyncWebClient) -> None:
    assert await refusal(app, "auth.test") == "not_allowed_token_type"


async def test_without_an_app_level_token_no_token_opens_a_socket(played_app: PlayedApp) -> None:
    async with running(SandboxConfig(with_openai=False)) as sandbox:
        client = AsyncWebClient(APP_TOKEN, base_url=f"{sandbox.base_url}/api/", retry_handlers=[])
        assert await refusal(client, "apps.connections.open") == "invalid_auth"


async def test_a_ticket_opens_one_socket_and_not_for_long(
    sandbox: Sandbox, app: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    url = (await app.api_call("apps.connections.open"))["url"]
    async with http.ws_connect(url) as socket:
        hello = await socket.receive_json(timeout=PATIENCE)
        assert (hello["type"], hello["num_connections"]) == ("hello", 1)
        assert hello["connection_info"] == {"app_id": "A0ENABLEBOT"}
        for address in (url, sandbox.socket_url, f"{sandbox.socket_url}?ticket=made-up"):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await http.ws_connect(address)
    late = (await app.api_call("apps.connections.open"))["url"]
    sandbox.clock.advance(31)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(late)


@pytest.mark.usefixtures("acme")
async def test_an_event_goes_through_the_socket_and_not_by_http(
    sandbox: Sandbox, connect: Connect, played_app: PlayedApp
) -> None:
    link = await connect()
    await link.frame()
    ts = await ask(sandbox)
    envelope = await link.frame()
    assert (envelope["type"], envelope["accepts_response_payload"]) == ("events_api", False)
    assert (envelope["retry_attempt"], envelope["retry_reason"]) == (0, "")
    assert envelope["payload"]["type"] == "event_callback"
    assert envelope["payload"]["event"]["ts"] == ts
    await link.acknowledge(envelope)
    await sandbox.settled()
    assert [entry.acknowledged for entry in sandbox.ledger.deliveries] == [True]
    assert played_app.heard == []
    assert not sandbox.ledger.violations


@pytest.mark.usefixtures("acme")
async def test_what_is_not_acknowledged_comes_again_and_says_so(played_app: PlayedApp, config: SandboxConfig) -> None:
    async with running(replace(config, ack_seconds=0.1)) as sandbox, aiohttp.ClientSession() as http:
        sandbox.install(ACME)
        link = Link(await http.ws_connect(f"{sandbox.socket_url}?ticket={sandbox.sockets.ticket()}"))
        await link.frame()
        await ask(sandbox)
        first, second = await link.frame(), await link.frame()
        assert (second["retry_attempt"], second["retry_reason"]) == (1, "timeout")
        assert first["payload"] == second["payload"]
        assert first["envelope_id"] != second["envelope_id"]
        await link.acknowledge(second)
        await sandbox.settled()
        (delivery,) = sandbox.ledger.deliveries
        assert [attempt.reason for attempt in delivery.attempts] == ["timeout", ""]
        assert [violation.kind for violation in sandbox.ledger.violations] == ["late_acknowledgement"]


@pytest.mark.usefixtures("acme")
async def test_a_socket_lost_in_mid_flight_has_its_events_sent_through_the_next(
    sandbox: Sandbox, connect: Connect
) -> None:
    lost, other = await connect(), await connect()
    await lost.frame()
    await other.frame()
    await ask(sandbox)
    await ask(sandbox)
    held = await lost.frame()
    lost.socket._response.close()  # the connection breaks: no closing handshake
    seen = [await other.frame() for _ in range(2)]
    for envelope in seen:
        await other.acknowledge(envelope)
    await sandbox.settled()
    assert held["payload"]["event_id"] in {envelope["payload"]["event_id"] for envelope in seen}
    assert all(delivery.acknowledged for delivery in sandbox.ledger.deliveries)


@pytest.mark.usefixtures("acme")
async def test_without_any_socket_an_event_is_tried_four_times_and_then_lost(
    sandbox: Sandbox, played_app: PlayedApp
) -> None:
    await ask(sandbox)
    await sandbox.settled()
    (delivery,) = sandbox.ledger.deliveries
    assert [attempt.reason for attempt in delivery.attempts] == ["connection_failed"] * 4
    assert played_app.heard == []


@pytest.mark.usefixtures("acme")
async def test_a_click_is_an_interactive_envelope_and_is_never_repeated(
    sandbox: Sandbox, connect: Connect, slack: AsyncWebClient, page: Page
) -> None:
    link = await connect()
    await link.frame()
    button = {"type": "button", "action_id": "retry", "text": {"type": "plain_text", "text": "Retry"}}
    blocks = [{"type": "actions", "elements": [button]}]
    posted = asyncio.create_task(slack.chat_postMessage(channel="C0GENERAL", text="failed", blocks=blocks))
    await link.acknowledge(await link.frame())
    where = {"team": ACME, "channel": "C0GENERAL", "user": "U0ADA", "ts": (await posted)["ts"], "action_id": "retry"}
    pressing = asyncio.create_task(page.post("click", **where))
    envelope = await link.frame()
    assert (envelope["type"], envelope["payload"]["type"]) == ("interactive", "block_actions")
    assert (envelope["accepts_response_payload"], "retry_attempt" in envelope) == (True, False)
    await link.acknowledge(envelope)
    assert (await pressing)["acknowledged"]
    await link.socket.close()
    await sandbox.wait_for(lambda: not sandbox.sockets.connected)
    assert (await page.post("click", **where))["reason"] == "connection_failed"


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("frame", ["not json", "[]", "{}", '{"envelope_id": 7}', '{"envelope_id": "made-up"}'])
async def test_an_acknowledgement_of_nothing_is_a_violation(sandbox: Sandbox, connect: Connect, frame: str) -> None:
    link = await connect()
    await link.frame()
    await link.socket.send_str(frame)
    (violation,) = await sandbox.wait_for(lambda: list(sandbox.ledger.violations))
    assert violation.kind == ("unknown_envelope" if "made-up" in frame else "malformed_acknowledgement")


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled"])
async def test_slack_says_why_it_ends_a_socket_and_then_ends_it(page: Page, connect: Connect, reason: str) -> None:
    link = await connect()
    await link.frame()
    assert (await page.post("sockets", reason=reason))["ended"] == 1
    goodbye = await link.frame()
    assert (goodbye["type"], goodbye["reason"]) == ("disconnect", reason)
    assert await link.closed()


async def test_an_unknown_way_to_end_is_refused(page: Page, connect: Connect) -> None:
    link = await connect()
    await link.frame()
    assert (await page.post("sockets", reason="boredom"))["http"] == 400
    assert (await page.post("sockets", reason="sever"))["ended"] == 1
    assert await link.closed()


async def test_a_socket_lives_its_time_and_a_tenth_of_it_for_who_debugs_reconnects(
    played_app: PlayedApp, config: SandboxConfig
) -> None:
    async with running(replace(config, socket_seconds=600)) as sandbox, aiohttp.ClientSession() as http:
        links = []
        for extra in ("", "&debug_reconnects=true"):
            links.append(Link(await http.ws_connect(f"{sandbox.socket_url}?ticket={sandbox.sockets.ticket()}{extra}")))
            await links[-1].frame()
        long, short = sandbox.sockets._connections
        assert (long.seconds, short.seconds) == (600, 60)
    async with running(replace(config, socket_seconds=0.05)) as sandbox, aiohttp.ClientSession() as http:
        link = Link(await http.ws_connect(f"{sandbox.socket_url}?ticket={sandbox.sockets.ticket()}"))
        await link.frame()
        assert (await link.frame())["reason"] == "warning"
        assert await link.closed()


async def test_the_eleventh_socket_is_turned_away(connect: Connect, sandbox: Sandbox) -> None:
    links = [await connect() for _ in range(MOST_CONNECTIONS)]
    assert [(await link.frame())["num_connections"] for link in links] == list(range(1, MOST_CONNECTIONS + 1))
    one_more = await connect()
    assert await one_more.frame() == {
        "type": "disconnect",
        "reason": "too_many_websockets",
        "debug_info": {"host": "applink-sandbox"},
    }
    assert await one_more.closed()
    assert sandbox.sockets.connected == MOST_CONNECTIONS


@pytest.mark.usefixtures("acme")
async def test_slack_s_own_client_is_content_with_it(sandbox: Sandbox) -> None:
    web = AsyncWebClient(base_url=f"{sandbox.base_url}/api/", retry_handlers=[])
    client = SocketModeClient(APP_TOKEN, web_client=web)
    heard: list[SocketModeRequest] = []

    async def hear(_: Any, request: SocketModeRequest) -> None:
        heard.append(request)
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    client.socket_mode_request_listeners.append(hear)
    await client.connect()  # type: ignore[no-untyped-call]
    await sandbox.wait_for(lambda: sandbox.sockets.connected)
    await ask(sandbox)
    await sandbox.settled()
    assert [request.payload["event"]["type"] for request in heard] == ["message"]
    assert not sandbox.ledger.violations
    await client.close()  # type: ignore[no-untyped-call]


def test_the_app_token_comes_from_the_command_line_or_the_environment() -> None:
    assert configured([], {})[0].app_token is None
    assert configured([], {"SANDBOX_APP_TOKEN": "xapp-1"})[0].app_token == "xapp-1"
    assert configured(["--app-token", "xapp-2"], {"SANDBOX_APP_TOKEN": "xapp-1"})[0].app_token == "xapp-2"
