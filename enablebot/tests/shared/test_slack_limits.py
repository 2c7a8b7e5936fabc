"""What Slack limits is left alone by every client of the process; what it refuses is told apart by one table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

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
from enablebot.shared.slack.pauses import Pauses
from enablebot.shared.slack.refusals import refusal

pytestmark = pytest.mark.anyio

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"
GENERAL = "C0GENERAL"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(with_openai=False, rate_limits=False, time_scale=0.001)) as sandbox:
        yield sandbox


@pytest.fixture
async def clients(sandbox: Sandbox) -> AsyncIterator[SlackClients]:
    clients = SlackClients(base_url=sandbox.base_url, timeout_seconds=5)
    await clients.open()
    yield clients
    await clients.aclose()


def client_of(sandbox: Sandbox, clients: SlackClients, team: str) -> SlackClient:
    return clients.for_workspace(token=Sensitive(sandbox.install(team).token), team_id=team)


def calls(sandbox: Sandbox, method: str) -> int:
    return len(sandbox.ledger.calls_of(method))


async def test_after_a_429_no_client_of_the_process_calls_that_method_for_that_workspace(
    sandbox: Sandbox, clients: SlackClients
) -> None:
    one, another = (client_of(sandbox, clients, ACME) for _ in range(2))
    sandbox.faults.add("auth.test", "ratelimit", retry_after=1)
    with pytest.raises(SlackRateLimited) as told:
        await one.auth_test()
    assert told.value.retry_after == 1

    with pytest.raises(SlackRateLimited) as remembered:
        await another.auth_test()

    assert 0 < remembered.value.retry_after <= 1
    assert calls(sandbox, "auth.test") == 1
    # Another method, and another workspace, are another matter.
    await one.post_message(channel=GENERAL, thread_ts=None, text="hello")
    await client_of(sandbox, clients, GLOBEX).auth_test()

    while (left := another.left("auth.test")) > 0:
        await asyncio.sleep(left)
    await another.auth_test()
    first, *later = sandbox.ledger.calls_of("auth.test", team=ACME)
    assert later[0].at - first.at >= 0.99


async def test_each_method_and_each_workspace_keeps_the_longest_wait_it_was_told() -> None:
    now = [100.0]
    pauses = Pauses(clock=lambda: now[0])
    pauses.note(ACME, "chat.update", 30)
    pauses.note(ACME, "chat.update", 1)
    assert pauses.left(ACME, "chat.update") == 30
    assert pauses.left(ACME, "chat.postMessage") == 0
    assert pauses.left(GLOBEX, "chat.update") == 0
    now[0] = 129.9
    assert pauses.left(ACME, "chat.update") > 0
    now[0] = 130.0
    assert pauses.left(ACME, "chat.update") == 0


# Every answer with `ok: false` that the methods we call may give, by what it means for us.
TERMINAL = [
    "channel_not_found",
    "not_in_channel",
    "is_archived",
    "restricted_action",
    "restricted_action_read_only_channel",
    "restricted_action_thread_locked",
    "msg_too_long",
    "msg_blocks_too_long",
    "invalid_blocks",
    "no_text",
    "messages_tab_disabled",
    "cannot_reply_to_message",
    "thread_not_found",
    "missing_scope",
    "not_allowed_token_type",
    "no_permission",
    "access_denied",
    "team_access_not_granted",
    "ekm_access_denied",
    "enterprise_is_restricted",
    "accesslimited",
    "message_not_found",
    "cant_update_message",
    "cant_delete_message",
    "edit_window_closed",
    "streaming_state_conflict",
    "message_not_in_streaming_state",
    "stopped_by_user",
    "channel_type_not_supported",
    "message_limit_exceeded",
    "metadata_too_large",
    "invalid_arguments",
    "method_deprecated",
    "not_authed",
    "a_code_of_tomorrow",
]
DEAD = ["account_inactive", "token_revoked", "token_expired", "invalid_auth"]
IN_DOUBT = ["fatal_error", "internal_error", "service_unavailable", "request_timeout", "messaging_processing_failed"]
NOT_NOW = ["team_added_to_org", "org_login_required"]
LIMITED = ["ratelimited", "rate_limited"]


@pytest.mark.parametrize(
    ("slack_code", "kind"),
    [
        *((code, SlackRefused) for code in TERMINAL),
        *((code, SlackTokenDead) for code in DEAD),
        *((code, SlackUnknownOutcome) for code in IN_DOUBT),
        *((code, SlackUnreachable) for code in NOT_NOW),
        *((code, SlackRateLimited) for code in LIMITED),
    ],
)
def test_every_refusal_of_slack_has_its_meaning(slack_code: str, kind: type[SlackError]) -> None:
    error = refusal(method="chat.postMessage", slack_code=slack_code)
    assert type(error) is kind
    assert error.slack_code == slack_code
    assert slack_code.replace("rate_limited", "limits").replace("ratelimited", "limits") in error.message


@asynccontextmanager
async def listening(heard: list[bytes], connected: list[int]) -> AsyncIterator[str]:
    """A server that notes who connects and what it is told."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(1)
        while data := await reader.read(65_536):
            heard.append(data)
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}')
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_whoever_may_not_send_is_held_back_when_the_connection_stands_and_not_a_byte_leaves() -> None:
    heard, connected, asked = list[bytes](), list[int](), list[int]()
    may_send = [False]

    def ask() -> bool:
        asked.append(1)
        return may_send[0]

    async with listening(heard, connected) as url:
        clients = SlackClients(base_url=url, timeout_seconds=5)
        await clients.open()
        client = clients.for_workspace(token=Sensitive("xoxb-1"), team_id=ACME, may_send=ask)
        with pytest.raises(SlackUnreachable):
            await client.auth_test()
        # Long after the call began: whoever was stopped while it connected is asked all the same.
        while not connected:
            await asyncio.sleep(0.005)
        assert asked == [1]
        assert heard == []

        may_send[0] = True
        await client.auth_test()
        assert heard
        may_send[0] = False
        before = len(heard)
        # On a connection that was kept, too.
        with pytest.raises(SlackUnreachable):
            await client.auth_test()
        await asyncio.sleep(0.05)
        await clients.aclose()
    assert len(heard) == before


async def test_a_message_is_taken_away_and_taking_it_away_again_is_a_refusal(
    sandbox: Sandbox, clients: SlackClients
) -> None:
    acme = client_of(sandbox, clients, ACME)
    ts = await acme.post_message(channel=GENERAL, thread_ts=None, text="hello")

    await acme.delete_message(channel=GENERAL, ts=ts)

    assert ts not in [message["ts"] for message in sandbox.messages(ACME, GENERAL, None)]
    with pytest.raises(SlackRefused) as refused:
        await acme.delete_message(channel=GENERAL, ts=ts)
    assert refused.value.slack_code == "message_not_found"
