"""Answers at response URLs: only to Slack, without a token, and with every failure in our own words."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.errors import SlackError, SlackRefused, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.slack.client import SlackClients
from enablebot.shared.slack.origins import KnownHosts, origin_of

pytestmark = pytest.mark.anyio
ACME = "T0SANDBOX1"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(time_scale=0.001)) as sandbox:
        yield sandbox


@pytest.fixture
async def clients(sandbox: Sandbox) -> AsyncIterator[SlackClients]:
    clients = SlackClients(base_url=sandbox.base_url, timeout_seconds=0.5)
    await clients.open()
    yield clients
    await clients.aclose()


async def shortcut_url(sandbox: Sandbox) -> str:
    """The response URL of a shortcut that Ada used in #general."""
    sandbox.install(ACME)
    ts = await sandbox.post(team=ACME, channel="C0GENERAL", user="U0BEN", text="hello")
    message = sandbox.world.log("C0GENERAL").by_ts[ts]
    return f"{sandbox.base_url}/actions/{ACME}/{sandbox.interactivity._response_address(message, 'U0ADA')}"


async def test_a_response_is_for_the_eyes_of_who_acted(sandbox: Sandbox, clients: SlackClients) -> None:
    url = await shortcut_url(sandbox)
    await clients.respond(url, text="only for Ada")
    shown = sandbox.messages(ACME, "C0GENERAL")[-1]
    assert (shown["text"], shown["ephemeral_to"]) == ("only for Ada", "U0ADA")


async def test_a_url_that_is_used_up_is_a_refusal_with_slacks_word(sandbox: Sandbox, clients: SlackClients) -> None:
    url = await shortcut_url(sandbox)
    for number in range(5):
        await clients.respond(url, text=str(number))
    with pytest.raises(SlackRefused) as refused:
        await clients.respond(url, text="once more")
    assert refused.value.slack_code == "used_url"
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://hooks.slack.com/actions/T1/1/x", "http://127.0.0.1:1/x", "http://evil.example/x", "file:///x", ""],
)
async def test_where_slack_is_played_nobody_else_is_called(clients: SlackClients, url: str) -> None:
    with pytest.raises(SlackRefused, match="was not called"):
        await clients.respond(url, text="x")


def test_at_slack_only_its_own_host_for_this_is_known() -> None:
    hosts = KnownHosts("https://slack.com", ["hooks.slack.com"])
    assert hosts.know("https://hooks.slack.com/actions/T1/1/x")
    for other in (
        "http://hooks.slack.com/x",
        "https://hooks.slack.com:444/x",
        "https://hooks.slack.com.evil.example/x",
        "https://x@hooks.slack.com/x",
        "https://slack.com/x",
        "https://evil.example\\@hooks.slack.com/x",
    ):
        assert not hosts.know(other), other
    # A base address that makes no sense knows nobody at all, `None` included.
    assert not KnownHosts("nonsense", []).know("nonsense")
    assert origin_of("https://HOOKS.slack.com/x") == ("https", "hooks.slack.com", 443)


async def test_a_server_that_fails_or_is_not_there_is_told_apart(clients: SlackClients, sandbox: Sandbox) -> None:
    async def answer(status: bytes) -> tuple[asyncio.Server, str]:
        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65_536)
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(say, "127.0.0.1", 0)
        return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    expected: list[tuple[bytes, type[SlackError]]] = [
        (b"500 No", SlackUnknownOutcome),
        (b"302 Found\r\nLocation: http://127.0.0.1:1/stolen", SlackRefused),
        (b"404 No", SlackRefused),
    ]
    for status, error in expected:
        server, base = await answer(status)
        async with server:
            other = SlackClients(base_url=base, timeout_seconds=2)
            await other.open()
            with pytest.raises(error):
                await other.respond(f"{base}/x", text="x")
            await other.aclose()
    other = SlackClients(base_url=base, timeout_seconds=2)
    await other.open()
    with pytest.raises(SlackUnreachable):
        await other.respond(f"{base}/x", text="x")
    await other.aclose()
