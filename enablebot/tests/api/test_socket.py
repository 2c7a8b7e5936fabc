"""Events through a socket: stored before they are acknowledged, answered once, whatever becomes of the socket."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr

from enablebot.api.main import Api, create_app
from enablebot.api.slack.acceptance import Acceptance
from enablebot.api.slack.socket import SocketListener
from enablebot.config.settings import Settings, SlackSettings
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.database.transport import Argument, Json
from enablebot.shared.errors import (
    DatabaseUnavailable,
    DataRefused,
    SlackError,
    SlackTokenDead,
    SlackUnknownOutcome,
    SlackUnreachable,
)
from enablebot.shared.metrics import Metrics
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClients
from enablebot.tests.api.serving import Observed, opened, settings_for
from enablebot.tests.api.slack_side import grant

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

ACME = "T0SANDBOX1"
APP_TOKEN = "xapp-1-A0ENABLEBOT-of-the-tests"
PATIENCE = 15.0
CONFIG = SandboxConfig(app_token=APP_TOKEN, time_scale=0.01, model_delay_ms=0, rate_limits=False)


class Gated(Observed):
    """A transport that can be told to keep what it is given from being stored."""

    def __init__(self, transport: PostgresTransport) -> None:
        super().__init__(transport)
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        if function == "accept_events":
            self.reached.set()
            await self.gate.wait()
        return await super().call(function, arguments)


@dataclass
class Place:
    """A running api that has no address, the Slack it listens to, and the database behind it."""

    sandbox: Sandbox
    api: Api
    transport: Gated
    admin: Admin

    def figure(self, name: str, **labels: str) -> float:
        return self.api.services.metrics.registry.get_sample_value(f"enablebot_{name}", labels) or 0.0

    async def connected(self, count: int = 1) -> None:
        await self.sandbox.wait_for(lambda: self.sandbox.sockets.connected == count, timeout=PATIENCE)

    async def ask(self, text: str = "why is the sky blue?") -> str:
        return await self.sandbox.post(team=ACME, channel="@bot", user="U0ADA", text=text)

    async def settled(self) -> None:
        """Wait until everything was delivered, handled and settled."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.sandbox.settled()
                if not await self.admin.fetch(
                    "select from enablebot.inbox where state in ('ready', 'queued', 'claimed') limit 1"
                ):
                    break
                await asyncio.sleep(0.02)
        await self.sandbox.settled()

    async def outcomes(self) -> list[str]:
        rows = await self.admin.fetch("select kind, outcome from enablebot.inbox order by id")
        return [f"{row['kind']} {row['outcome']}" for row in rows]

    def answers(self, thread: str, channel: str = "@bot/U0ADA") -> list[dict[str, Any]]:
        return [message for message in self.sandbox.messages(ACME, channel, thread) if message.get("bot_id")]


def by_socket(sandbox: Sandbox, token: str = APP_TOKEN) -> Settings:
    slack = SlackSettings(base_url=sandbox.base_url, app_token=SecretStr(token))
    return settings_for(sandbox, slack=slack)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(CONFIG) as sandbox:
        yield sandbox


@asynccontextmanager
async def place_of(sandbox: Sandbox, api_url: str, admin: Admin) -> AsyncIterator[Place]:
    transport = Gated(await PostgresTransport.connect(api_url))
    async with opened(create_app(by_socket(sandbox), database=Database(transport))) as api:
        installed = sandbox.install(ACME)
        await api.services.installations.save(
            grant(
                ACME,
                bot_token=Sensitive(installed.token),
                bot_user_id=installed.bot_user,
                bot_id=installed.bot_id,
            ),
            audit_actor="U0ADA",
        )
        place = Place(sandbox, api, transport, admin)
        await place.connected()
        yield place
        transport.gate.set()
    await transport.aclose()


@pytest.fixture
async def place(sandbox: Sandbox, api_url: str, admin: Admin) -> AsyncIterator[Place]:
    async with place_of(sandbox, api_url, admin) as place:
        yield place


# Through the whole api


async def test_a_question_through_the_socket_is_answered_once(place: Place) -> None:
    thread = await place.sandbox.post(team=ACME, channel="C0GENERAL", user="U0ADA", text="@EnableBot why blue skies?")
    await place.settled()
    (answer,) = place.answers(thread, "C0GENERAL")
    assert "skies" in answer["text"]
    assert await place.outcomes() == ["mention done"]
    assert place.figure("events_received_total", verdict="accepted") == 1
    assert place.figure("events_received_total", verdict="duplicate") == 1
    assert place.figure("socket_connections") == 1
    assert place.figure("ack_seconds_count") >= 2
    assert not place.sandbox.ledger.violations


async def test_an_event_is_acknowledged_after_it_is_stored(place: Place) -> None:
    place.transport.gate.clear()
    await place.ask()
    await asyncio.wait_for(place.transport.reached.wait(), PATIENCE)
    await asyncio.sleep(0.05)
    (delivery,) = place.sandbox.ledger.deliveries
    assert not delivery.acknowledged
    assert await place.outcomes() == []
    place.transport.gate.set()
    await place.sandbox.wait_for(lambda: delivery.acknowledged, timeout=PATIENCE)
    assert len(await place.outcomes()) == 1


async def test_what_the_database_cannot_take_is_not_acknowledged_and_comes_again(place: Place) -> None:
    place.transport.failure = DatabaseUnavailable("away")
    thread = await place.ask()
    (delivery,) = place.sandbox.ledger.deliveries
    await place.sandbox.wait_for(lambda: len(delivery.attempts) == 1, timeout=PATIENCE)
    place.transport.failure = None
    await place.settled()
    assert delivery.attempts[0].reason == "timeout"
    assert delivery.acknowledged
    assert place.figure("events_received_total", verdict="unavailable") == 1
    assert len(place.answers(thread)) == 1


async def test_a_socket_lost_before_the_acknowledgement_costs_no_second_answer(place: Place) -> None:
    place.transport.gate.clear()
    thread = await place.ask()
    await asyncio.wait_for(place.transport.reached.wait(), PATIENCE)
    assert place.sandbox.sockets.sever() == 1
    place.transport.gate.set()
    await place.settled()
    (delivery,) = [entry for entry in place.sandbox.ledger.deliveries if entry.type == "message"][:1]
    assert delivery.attempts[0].reason == "connection_failed"
    assert delivery.acknowledged
    assert len(place.answers(thread)) == 1
    assert await place.outcomes() == ["message done"]
    assert place.figure("socket_endings_total", outcome="lost") == 1


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled"])
async def test_the_next_socket_is_there_when_slack_ends_one(place: Place, reason: Any) -> None:
    assert place.sandbox.sockets.end(reason) == 1
    async with asyncio.timeout(PATIENCE):
        while place.figure("socket_endings_total", outcome=reason) != 1 or place.figure("socket_connections") != 1:
            await asyncio.sleep(0.02)
    thread = await place.ask()
    await place.settled()
    assert len(place.answers(thread)) == 1
    assert place.figure("socket_connections") == 1


async def test_a_press_on_retry_comes_through_the_socket(place: Place) -> None:
    slack = place.api.services.slack
    bot = await place.api.services.installations.bot(
        await place.admin.fetchval("select id from enablebot.tenants limit 1")
    )
    client = slack.for_workspace(token=bot.token, team_id=ACME)
    button = {"type": "button", "action_id": "enablebot_retry", "text": {"type": "plain_text", "text": "Retry"}}
    ts = await client.post_message(
        channel="C0GENERAL", thread_ts=None, text="sorry", blocks=[{"type": "actions", "elements": [button]}]
    )
    answer = await place.sandbox.click(
        team=ACME, channel="C0GENERAL", ts=ts, user="U0ADA", action_id="enablebot_retry", value="x"
    )
    assert answer.reason == ""
    await place.settled()
    assert [outcome.split()[0] for outcome in await place.outcomes()] == ["interaction"]


async def test_leaving_stores_and_acknowledges_what_is_under_way(sandbox: Sandbox, api_url: str, admin: Admin) -> None:
    async with place_of(sandbox, api_url, admin) as place:
        place.transport.gate.clear()
        await place.ask()
        await asyncio.wait_for(place.transport.reached.wait(), PATIENCE)
        draining = asyncio.create_task(place.api.web.state.pings.drain())
        await asyncio.sleep(0.05)
        assert not draining.done()
        place.transport.gate.set()
        await draining
        delivery = place.sandbox.ledger.deliveries[0]
        await sandbox.wait_for(lambda: delivery.acknowledged, timeout=PATIENCE)
        await place.connected(0)
        assert place.figure("socket_endings_total", outcome="left") == 1


async def test_without_an_app_token_no_socket_is_opened(sandbox: Sandbox, api_database: Database) -> None:
    async with opened(create_app(settings_for(sandbox), database=api_database)) as api:
        assert api.services.socket is None
    assert sandbox.ledger.calls_of("apps.connections.open") == []


# The listener alone


@dataclass
class Told:
    """An intake that stores nothing: it says what it is told to say."""

    verdicts: list[Any] = field(default_factory=list)
    accepted: list[Any] = field(default_factory=list)

    async def accept(self, relevant: Any, body: bytes) -> str:
        self.accepted.append(relevant)
        verdict = self.verdicts.pop(0) if self.verdicts else "accepted"
        if isinstance(verdict, Exception):
            raise verdict
        return str(verdict)


@dataclass
class Ear:
    sandbox: Sandbox
    told: Told
    metrics: Metrics
    listener: SocketListener

    def figure(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"enablebot_{name}", labels) or 0.0


@asynccontextmanager
async def listening(sandbox: Sandbox, *, token: str = APP_TOKEN, timeout_seconds: float = 5) -> AsyncIterator[Ear]:
    clients = SlackClients(base_url=sandbox.base_url, timeout_seconds=timeout_seconds)
    await clients.open()
    told, metrics = Told(), Metrics()
    intake: Any = told
    listener = SocketListener(
        lambda: clients.connect_socket(Sensitive(token)),
        Acceptance(intake),
        metrics=metrics,
        first_pause_seconds=0.01,
    )
    listener.start()
    try:
        yield Ear(sandbox, told, metrics, listener)
    finally:
        await listener.aclose()
        await clients.aclose()


async def heard(sandbox: Sandbox, text: str = "hello") -> Any:
    await sandbox.wait_for(lambda: sandbox.sockets.connected, timeout=PATIENCE)
    await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text=text)
    await sandbox.settled()
    return sandbox.ledger.deliveries[-1]


async def test_what_can_never_be_stored_is_acknowledged_so_that_it_does_not_come_again(sandbox: Sandbox) -> None:
    sandbox.install(ACME)
    async with listening(sandbox) as ear:
        ear.told.verdicts = [DataRefused("no")]
        delivery = await heard(sandbox)
    assert (len(delivery.attempts), delivery.acknowledged) == (1, True)
    assert ear.figure("events_received_total", verdict="refused") == 1


async def test_an_error_nobody_foresaw_costs_one_envelope_and_not_the_socket(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.install(ACME)
    async with listening(sandbox) as ear:
        ear.told.verdicts = [ZeroDivisionError("a bug")]
        delivery = await heard(sandbox)
        assert [attempt.reason for attempt in delivery.attempts] == ["timeout", ""]
        assert ear.figure("socket_connections") == 1
    assert "does not know" in caplog.text


async def test_a_socket_outlives_the_deadline_of_a_call(sandbox: Sandbox) -> None:
    sandbox.install(ACME)
    async with listening(sandbox, timeout_seconds=0.2) as ear:
        await sandbox.wait_for(lambda: sandbox.sockets.connected, timeout=PATIENCE)
        await asyncio.sleep(0.5)
        assert (await heard(sandbox)).acknowledged
        assert ear.figure("socket_endings_total", outcome="lost") == 0


async def test_the_next_socket_is_open_while_the_warned_one_still_listens() -> None:
    # Slack's own ten seconds between its warning and the end.
    async with running(replace(CONFIG, time_scale=1)) as sandbox, listening(sandbox) as ear:
        sandbox.install(ACME)
        await sandbox.wait_for(lambda: sandbox.sockets.connected == 1, timeout=PATIENCE)
        sandbox.sockets.end("warning")
        await sandbox.wait_for(lambda: sandbox.sockets.connected == 2, timeout=PATIENCE)
        assert (await heard(sandbox)).acknowledged
        assert ear.figure("socket_endings_total", outcome="warning") == 0


async def test_a_refused_token_is_told_with_its_remedy_and_without_itself_and_tried_again(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with listening(sandbox, token="xapp-1-another") as ear:
        await sandbox.wait_for(lambda: len(sandbox.ledger.calls_of("apps.connections.open")) >= 3, timeout=PATIENCE)
        assert ear.figure("socket_endings_total", outcome="not_opened") >= 2
    assert "SLACK_APP_TOKEN" in caplog.text
    assert "xapp-1-another" not in caplog.text


@pytest.mark.parametrize("fault", ["status", "ratelimit", "reset", "lost_answer"])
async def test_a_slack_that_stumbles_is_asked_again(sandbox: Sandbox, fault: Any) -> None:
    sandbox.install(ACME)
    sandbox.faults.add("apps.connections.open", fault, times=2 if fault != "ratelimit" else 1)
    async with listening(sandbox):
        assert (await heard(sandbox)).acknowledged


async def test_a_connection_that_is_never_greeted_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enablebot.api.slack.socket._HELLO_SECONDS", 0.05)
    opened_sockets: list[web.WebSocketResponse] = []

    async def silent(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        opened_sockets.append(socket)
        async for _ in socket:
            pass
        return socket

    async with serving(silent) as url, aiohttp.ClientSession() as session:
        intake: Any = Told()
        metrics = Metrics()
        listener = SocketListener(
            lambda: session.ws_connect(url), Acceptance(intake), metrics=metrics, first_pause_seconds=0.01
        )
        listener.start()
        async with asyncio.timeout(PATIENCE):
            while len(opened_sockets) < 3:
                await asyncio.sleep(0.01)
        await listener.aclose()
    assert metrics.registry.get_sample_value("enablebot_socket_connections") == 0


@pytest.mark.parametrize(
    "frame",
    [
        "not json",
        "[]",
        "{}",
        '{"envelope_id": 1}',
        '{"envelope_id": "E1"}',
        '{"envelope_id": "E1", "payload": []}',
        '{"type": "events_api", "envelope_id": "E1", "payload": null}',
        '{"type": "disconnect", "reason": ["x"]}',
    ],
)
async def test_a_frame_that_makes_no_sense_is_not_acknowledged_and_does_no_harm(frame: str) -> None:
    said: list[str] = []
    finished = asyncio.Event()

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        await socket.send_str(frame)
        await socket.send_json({"type": "slash_commands", "envelope_id": "E2", "payload": {}})
        async for message in socket:
            said.append(message.data)
            finished.set()
        return socket

    async with serving(talk) as url, aiohttp.ClientSession() as session:
        intake: Any = Told()
        listener = SocketListener(lambda: session.ws_connect(url), Acceptance(intake), metrics=Metrics())
        listener.start()
        await asyncio.wait_for(finished.wait(), PATIENCE)
        await listener.aclose()
    assert set(said) == {'{"envelope_id": "E2"}'}


async def test_a_lone_surrogate_in_a_question_is_kept() -> None:
    bodies: list[bytes] = []

    class Keeping(Told):
        async def accept(self, relevant: Any, body: bytes) -> str:
            bodies.append(body)
            return await super().accept(relevant, body)

    payload = (
        '{"type":"event_callback","event_id":"Ev1","authorizations":[{"team_id":"T1","user_id":"UB"}],"event":'
        '{"type":"message","channel_type":"im","channel":"D1","user":"U1","ts":"1.2","text":"half \\ud83d"}}'
    )

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello"})
        await socket.send_str(f'{{"type":"events_api","envelope_id":"E1","payload":{payload}}}')
        await socket.receive()
        finished.set()
        await socket.receive()
        return socket

    finished = asyncio.Event()
    async with serving(talk) as url, aiohttp.ClientSession() as session:
        intake: Any = Keeping()
        listener = SocketListener(lambda: session.ws_connect(url), Acceptance(intake), metrics=Metrics())
        listener.start()
        await asyncio.wait_for(finished.wait(), PATIENCE)
        await listener.aclose()
    assert b'"half \\ud83d"' in bodies[0]


# The address


@asynccontextmanager
async def serving(handler: Any, path: str = "/") -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ws://elsewhere.example/link/?ticket=secret", SlackUnknownOutcome),
        ("wss://127.0.0.1:{port}/link/?ticket=secret", SlackUnknownOutcome),
        ("ws://127.0.0.1:9/link/?ticket=secret", SlackUnknownOutcome),
        ("ws://user@127.0.0.1:{port}/?ticket=secret", SlackUnknownOutcome),
        ("http://127.0.0.1:{port}/?ticket=secret", SlackUnknownOutcome),
        ("ws://[", SlackUnknownOutcome),
        (None, SlackUnknownOutcome),
        (["ws://127.0.0.1:{port}/"], SlackUnknownOutcome),
        ("ws://127.0.0.1:{port}/no-socket?ticket=secret", SlackUnreachable),
    ],
)
async def test_a_socket_is_opened_at_slack_s_own_address_only(given: Any, expected: type[SlackError]) -> None:
    async def answer(request: web.Request) -> web.Response:
        port = request.url.port
        url = given.replace("{port}", str(port)) if isinstance(given, str) else given
        return web.json_response({"ok": True, "url": url})

    async with serving(answer, "/api/apps.connections.open") as base_url:
        clients = SlackClients(base_url=base_url)
        await clients.open()
        with pytest.raises(expected) as refused:
            await clients.connect_socket(Sensitive(APP_TOKEN))
        await clients.aclose()
    assert "secret" not in refused.value.message


async def test_a_token_that_opens_no_socket_is_a_dead_one(sandbox: Sandbox) -> None:
    clients = SlackClients(base_url=sandbox.base_url)
    await clients.open()
    with pytest.raises(SlackTokenDead):
        await clients.connect_socket(Sensitive("xapp-1-another"))
    await clients.aclose()
