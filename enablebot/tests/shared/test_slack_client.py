"""Slack's Web API as this product calls it: against the played Slack, and against a server that answers oddly."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.errors import (
    SlackError,
    SlackRateLimited,
    SlackRefused,
    SlackTokenDead,
    SlackUnknownOutcome,
    SlackUnreachable,
)
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClient, SlackClients
from enablebot.shared.slack.wire import proxy_for

pytestmark = pytest.mark.anyio

ACME = "T0SANDBOX1"
GENERAL = "C0GENERAL"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(with_openai=False, time_scale=0.001, stream_seconds=300_000)) as sandbox:
        yield sandbox


@pytest.fixture
def calls() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def clients(sandbox: Sandbox, calls: list[tuple[str, str]]) -> AsyncIterator[SlackClients]:
    clients = SlackClients(
        base_url=sandbox.base_url, timeout_seconds=5, on_call=lambda method, outcome: calls.append((method, outcome))
    )
    await clients.open()
    yield clients
    await clients.aclose()


@pytest.fixture
def acme(sandbox: Sandbox, clients: SlackClients) -> SlackClient:
    return clients.for_workspace(token=Sensitive(sandbox.install(ACME).token), team_id=ACME)


@pytest.fixture
async def oddly() -> AsyncIterator[Callable[[Answer], Awaitable[SlackClient]]]:
    """A client of a server that gives one odd answer to everything."""
    closing: list[Callable[[], Awaitable[None]]] = []

    async def serve(answer: Answer) -> SlackClient:
        app = web.Application()
        app.router.add_route("*", "/api/{method}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        clients = SlackClients(base_url=f"http://{host}:{port}", timeout_seconds=0.5)
        await clients.open()
        closing.extend((clients.aclose, runner.cleanup))
        return clients.for_workspace(token=Sensitive("xoxb-odd"), team_id=None)

    yield serve
    for close in closing:
        await close()


async def test_posts_and_updates_without_unfurling(sandbox: Sandbox, acme: SlackClient) -> None:
    ts = await acme.post_message(channel=GENERAL, thread_ts=None, text="<https://example.com|a link>")
    await acme.update_message(channel=GENERAL, ts=ts, text="changed")
    (message,) = sandbox.messages(ACME, GENERAL)
    assert (message["ts"], message["text"]) == (ts, "changed")
    (posted,) = [call for call in sandbox.ledger.calls if call.method == "chat.postMessage"]
    assert posted.args_summary["unfurl_links"] is False
    assert posted.args_summary["unfurl_media"] is False


async def test_streams_from_start_to_stop(sandbox: Sandbox, acme: SlackClient) -> None:
    question = await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hello")
    direct = sandbox.messages(ACME, "@bot/U0ADA")[0]
    channel = str(direct.get("channel") or sandbox.world.direct_channel(ACME, "U0ADA").id)
    ts = await acme.start_stream(
        channel=channel, thread_ts=question, recipient_user_id="U0ADA", recipient_team_id=ACME, markdown_text="one "
    )
    await acme.append_stream(channel=channel, ts=ts, markdown_text="two ")
    await acme.stop_stream(channel=channel, ts=ts, markdown_text="three")
    streamed = next(message for message in sandbox.messages(ACME, "@bot/U0ADA") if message["ts"] == ts)
    assert streamed["text"].split() == ["one", "two", "three"]
    assert not sandbox.ledger.violations


async def test_reads_a_thread_with_the_metadata_of_its_messages(sandbox: Sandbox, acme: SlackClient) -> None:
    root = await acme.post_message(channel=GENERAL, thread_ts=None, text="root")
    metadata = {"event_type": "enablebot_answer", "event_payload": {"answer": "a", "part": 0}}
    reply = await acme.post_message(channel=GENERAL, thread_ts=root, text="reply", metadata=metadata)
    messages = await acme.replies(channel=GENERAL, thread_ts=root)
    assert [message["ts"] for message in messages] == [root, reply]
    assert messages[1]["metadata"]["event_payload"]["answer"] == "a"


async def test_knows_itself_and_counts_its_calls(acme: SlackClient, calls: list[tuple[str, str]]) -> None:
    who = await acme.auth_test()
    assert who["team_id"] == ACME
    assert calls == [("auth.test", "ok")]


async def test_tells_a_refusal_from_a_dead_token(
    sandbox: Sandbox, acme: SlackClient, calls: list[tuple[str, str]]
) -> None:
    with pytest.raises(SlackRefused) as refused:
        await acme.post_message(channel="C0NOWHERE", thread_ts=None, text="hello")
    assert (refused.value.method, refused.value.slack_code) == ("chat.postMessage", "channel_not_found")
    sandbox.uninstall(ACME)
    with pytest.raises(SlackTokenDead) as dead:
        await acme.auth_test()
    assert dead.value.slack_code == "account_inactive"
    assert calls == [("chat.postMessage", "slack_refused"), ("auth.test", "slack_token_dead")]


async def test_names_the_scope_that_is_missing(sandbox: Sandbox, clients: SlackClients) -> None:
    token = sandbox.install(ACME, scopes=("im:history",)).token
    with pytest.raises(SlackRefused, match="chat:write"):
        await clients.for_workspace(token=Sensitive(token), team_id=ACME).post_message(
            channel=GENERAL, thread_ts=None, text="hello"
        )


async def test_passes_slacks_own_waiting_time_on(sandbox: Sandbox, acme: SlackClient) -> None:
    sandbox.faults.add("chat.postMessage", "ratelimit", retry_after=17)
    with pytest.raises(SlackRateLimited) as limited:
        await acme.post_message(channel=GENERAL, thread_ts=None, text="hello")
    assert limited.value.retry_after == 17


async def test_a_lost_answer_is_an_unknown_outcome_and_is_never_repeated(sandbox: Sandbox, acme: SlackClient) -> None:
    sandbox.faults.add("chat.postMessage", "lost_answer")
    with pytest.raises(SlackUnknownOutcome):
        await acme.post_message(channel=GENERAL, thread_ts=None, text="once")
    assert [message["text"] for message in sandbox.messages(ACME, GENERAL)] == ["once"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_is_an_unknown_outcome(sandbox: Sandbox, acme: SlackClient, status: int) -> None:
    sandbox.faults.add("chat.postMessage", "status", status=status)
    with pytest.raises(SlackUnknownOutcome):
        await acme.post_message(channel=GENERAL, thread_ts=None, text="hello")


async def test_a_reset_connection_is_an_unknown_outcome(sandbox: Sandbox, acme: SlackClient) -> None:
    sandbox.faults.add("chat.postMessage", "reset")
    with pytest.raises(SlackUnknownOutcome):
        await acme.post_message(channel=GENERAL, thread_ts=None, text="hello")


async def test_what_never_left_is_safe_to_repeat(sandbox: Sandbox) -> None:
    clients = SlackClients(base_url="http://127.0.0.1:1", timeout_seconds=2)
    await clients.open()
    try:
        with pytest.raises(SlackUnreachable):
            await clients.for_workspace(token=Sensitive("xoxb-1"), team_id=None).auth_test()
    finally:
        await clients.aclose()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>maintenance</html>", "text/html"),
        ("ok", "text/plain"),
        ("[1, 2]", "application/json"),
        ("null", "application/json"),
        ("", "application/json"),
        ("{broken", "application/json"),
        ('{"ok": true}', "application/json"),
        ('{"ok": false}', "application/json"),
        ('{"ok": false, "error": "fatal_error"}', "application/json"),
        ('{"ok": false, "error": "internal_error"}', "application/json"),
    ],
)
async def test_an_answer_without_use_is_an_unknown_outcome(
    oddly: Callable[[Answer], Awaitable[SlackClient]], body: str, content_type: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type=content_type)

    client = await oddly(answer)
    with pytest.raises(SlackUnknownOutcome):
        await client.post_message(channel=GENERAL, thread_ts=None, text="hello")


async def test_a_silent_server_is_an_unknown_outcome(oddly: Callable[[Answer], Awaitable[SlackClient]]) -> None:
    given_up = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await given_up.wait()
        return web.Response()

    client = await oddly(answer)
    with pytest.raises(SlackUnknownOutcome):
        await client.post_message(channel=GENERAL, thread_ts=None, text="hello")
    given_up.set()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (None, 1.0), ("soon", 1.0), ("-5", 1.0), ("inf", 1.0), ("nan", 1.0), ("1e9", 3600.0)],
)
async def test_a_rate_limit_without_a_sane_time_means_a_second(
    oddly: Callable[[Answer], Awaitable[SlackClient]], header: str | None, seconds: float
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={} if header is None else {"Retry-After": header})

    client = await oddly(answer)
    with pytest.raises(SlackRateLimited) as limited:
        await client.auth_test()
    assert limited.value.retry_after == seconds


async def test_both_spellings_of_a_rate_limit_are_one(oddly: Callable[[Answer], Awaitable[SlackClient]]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"ok": False, "error": "rate_limited"})

    client = await oddly(answer)
    with pytest.raises(SlackRateLimited):
        await client.auth_test()


@pytest.mark.parametrize("code", ["account_inactive", "token_revoked", "token_expired", "invalid_auth"])
async def test_every_word_for_a_dead_token_is_understood(
    oddly: Callable[[Answer], Awaitable[SlackClient]], code: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"ok": False, "error": code})

    client = await oddly(answer)
    with pytest.raises(SlackTokenDead):
        await client.auth_test()


async def test_errors_and_logs_repeat_neither_token_nor_message(
    oddly: Callable[[Answer], Awaitable[SlackClient]], caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text='{"ok": false, "said": "a-private-word"', content_type="application/json")

    caplog.set_level(logging.DEBUG)
    client = await oddly(answer)
    with pytest.raises(SlackError) as failed:
        await client.post_message(channel=GENERAL, thread_ts=None, text="a-private-word")
    told = f"{failed.value!r} {failed.value} {failed.value.__cause__!r} {caplog.text}"
    assert "a-private-word" not in told
    assert "xoxb-odd" not in told


async def test_a_token_travels_in_the_header_only(oddly: Callable[[Answer], Awaitable[SlackClient]]) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((str(request.url), await request.text(), request.headers.get("Authorization")))
        return web.json_response({"ok": True, "ts": "1.0", "messages": []})

    client = await oddly(answer)
    await client.post_message(channel=GENERAL, thread_ts=None, text="hello")
    await client.replies(channel=GENERAL, thread_ts="1.0")
    await client.auth_test()
    assert all("xoxb-odd" not in url + body and header == "Bearer xoxb-odd" for url, body, header in seen)
    assert len(seen) == 3


async def test_exchanges_a_code_with_the_secret_in_the_header_only() -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((str(request.url), await request.text(), request.headers.get("Authorization")))
        return web.json_response({"ok": True, "access_token": "xoxb-new"})

    app = web.Application()
    app.router.add_post("/api/oauth.v2.access", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    clients = SlackClients(base_url=f"http://{host}:{port}")
    await clients.open()
    try:
        grant = await clients.exchange_code(
            client_id="id", client_secret=Sensitive("very-secret"), code="c0de", redirect_uri="https://example.com/back"
        )
    finally:
        await clients.aclose()
        await runner.cleanup()
    assert grant["access_token"] == "xoxb-new"
    ((url, body, header),) = seen
    assert "very-secret" not in url + body
    assert "c0de" in body
    assert header == "Basic aWQ6dmVyeS1zZWNyZXQ="


async def test_a_client_before_open_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match=r"open\(\)"):
        SlackClients(base_url="http://127.0.0.1:1").for_workspace(token=Sensitive("xoxb-1"), team_id=None)


def test_a_proxy_is_not_asked_for_this_machine_or_what_no_proxy_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "slack.example")
    assert proxy_for("https://slack.com/api/") == "http://proxy.example:3128"
    assert proxy_for("https://slack.example/api/") is None
    assert proxy_for("http://localhost:8002/api/") is None
