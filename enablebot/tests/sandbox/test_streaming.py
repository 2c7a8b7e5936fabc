from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import uvloop
from slack_sdk.models.messages.chunk import MarkdownTextChunk, TaskUpdateChunk
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.tests.sandbox.conftest import ACME
from enablebot.tests.sandbox.played_app import PlayedApp
from enablebot.tests.sandbox.test_posting import refusal

pytestmark = pytest.mark.anyio
LIFETIME = 300.0


@pytest.fixture
async def question(sandbox: Sandbox, acme: Installed) -> str:
    return await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="who approves travel?")


async def start(slack: AsyncWebClient, thread_ts: str, **arguments: Any) -> str:
    return str((await slack.chat_startStream(channel="D0ADA", thread_ts=thread_ts, **arguments))["ts"])


async def test_a_stream_grows_in_order_and_is_read_back_whole(
    slack: AsyncWebClient, sandbox: Sandbox, question: str
) -> None:
    ts = await start(slack, question, markdown_text="Travel is ")
    assert sandbox.messages(ACME, "D0ADA", question)[1]["streaming_state"] == "in_progress"
    await slack.chat_appendStream(channel="D0ADA", ts=ts, markdown_text="approved ")
    await slack.chat_appendStream(channel="D0ADA", ts=ts, chunks=[MarkdownTextChunk(text="by **Ben**")])
    footer = [{"type": "context", "elements": [{"type": "mrkdwn", "text": "AI can be wrong"}]}]
    metadata = {"event_type": "answer", "event_payload": {"id": "1"}}
    answer = await slack.chat_stopStream(channel="D0ADA", ts=ts, markdown_text=".", blocks=footer, metadata=metadata)
    assert answer["message"]["text"] == "Travel is approved by **Ben**."
    thread = (await slack.conversations_replies(channel="D0ADA", ts=question, include_all_metadata=True))["messages"]
    assert thread[1]["text"] == "Travel is approved by **Ben**."
    assert thread[1]["streaming_state"] == "completed"
    assert thread[1]["blocks"][0]["type"] == "context"
    assert thread[1]["metadata"] == metadata
    assert sandbox.messages(ACME, "D0ADA", question)[1]["format"] == "markdown"


async def test_the_sdk_s_own_stream_works(slack: AsyncWebClient, sandbox: Sandbox, question: str) -> None:
    stream = await slack.chat_stream(
        channel="D0ADA", thread_ts=question, recipient_user_id="U0ADA", recipient_team_id=ACME, buffer_size=4
    )
    for piece in ("Ben ", "approves ", "it"):
        await stream.append(markdown_text=piece)
    await stream.stop()
    assert sandbox.messages(ACME, "D0ADA", question)[1]["text"] == "Ben approves it"


async def test_a_stream_in_a_channel_names_its_recipient(
    slack: AsyncWebClient, sandbox: Sandbox, acme: Installed
) -> None:
    root = await sandbox.post(team=ACME, channel="C0GENERAL", user="U0ADA", text="hi")

    def call(**recipient: Any) -> Any:
        return slack.chat_startStream(channel="C0GENERAL", thread_ts=root, **recipient)

    assert await refusal(call()) == "missing_recipient_user_id"
    assert await refusal(call(recipient_user_id="U0ADA")) == "missing_recipient_team_id"
    assert await refusal(call(recipient_user_id="U1EVA", recipient_team_id=ACME)) == "user_not_found"
    assert (await call(recipient_user_id="U0ADA", recipient_team_id=ACME))["ok"]


async def test_a_finished_stream_cannot_be_reopened(slack: AsyncWebClient, question: str) -> None:
    ts = await start(slack, question, markdown_text="x")
    await slack.chat_stopStream(channel="D0ADA", ts=ts)
    for call in (
        slack.chat_appendStream(channel="D0ADA", ts=ts, markdown_text="y"),
        slack.chat_stopStream(channel="D0ADA", ts=ts),
    ):
        assert await refusal(call) == "message_not_in_streaming_state"


async def test_an_ordinary_message_is_no_stream(slack: AsyncWebClient, question: str) -> None:
    ts = (await slack.chat_postMessage(channel="D0ADA", text="x", thread_ts=question))["ts"]
    call = slack.chat_appendStream(channel="D0ADA", ts=ts, markdown_text="y")
    assert await refusal(call) == "message_not_in_streaming_state"
    call = slack.chat_appendStream(channel="D0ADA", ts=question, markdown_text="y")
    assert await refusal(call) == "message_not_owned_by_app"
    call = slack.chat_appendStream(channel="D0ADA", ts="1.000000", markdown_text="y")
    assert await refusal(call) == "message_not_found"


async def test_a_streaming_message_is_not_updated_until_it_is_finished(slack: AsyncWebClient, question: str) -> None:
    ts = await start(slack, question, markdown_text="x")
    assert await refusal(slack.chat_update(channel="D0ADA", ts=ts, text="y")) == "streaming_state_conflict"
    await slack.chat_stopStream(channel="D0ADA", ts=ts)
    assert (await slack.chat_update(channel="D0ADA", ts=ts, text="y"))["text"] == "y"


async def test_a_stream_dies_of_old_age_whatever_is_appended(
    slack: AsyncWebClient, sandbox: Sandbox, question: str
) -> None:
    ts = await start(slack, question, markdown_text="half")
    sandbox.clock.advance(LIFETIME - 5)
    await slack.chat_appendStream(channel="D0ADA", ts=ts, markdown_text=" an answer")
    sandbox.clock.advance(5)
    call = slack.chat_appendStream(channel="D0ADA", ts=ts, markdown_text=" more")
    assert await refusal(call) == "message_not_in_streaming_state"
    message = sandbox.messages(ACME, "D0ADA", question)[1]
    assert (message["text"], message["streaming_state"]) == ("half an answer", "errored")
    assert (await slack.chat_update(channel="D0ADA", ts=ts, text="whole"))["text"] == "whole"


async def test_an_abandoned_stream_ends_by_itself(config: SandboxConfig, played_app: PlayedApp) -> None:
    async with running(replace(config, stream_seconds=50)) as sandbox:
        slack = AsyncWebClient(sandbox.install(ACME).token, base_url=f"{sandbox.base_url}/api/", retry_handlers=[])
        root = await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hi")
        ts = await start(slack, root, markdown_text="half")
        message = sandbox.world.log("D0ADA").by_ts[ts]
        await sandbox.wait_for(lambda: message.streaming_state == "errored")
        await sandbox.settled()
        changed = next(e for e in played_app.events("message/message_changed") if e["message"]["ts"] == ts)
        assert changed["message"]["streaming_state"] == "errored"
        session = sandbox.sessions.find("D0ADA", root)
        assert session
        assert session.status == "active"


async def test_the_stop_button_ends_the_stream_and_tells_the_app(
    slack: AsyncWebClient, sandbox: Sandbox, played_app: PlayedApp, question: str
) -> None:
    ts = await start(slack, question, markdown_text="a long")
    assert sandbox.people.stop(team=ACME, channel="@bot", user="U0ADA", thread_ts=question) == [ts]
    await sandbox.settled()
    event = played_app.events("agent_session_stopped")[0]
    assert (event["channel"], event["thread_ts"], event["user"]) == ("D0ADA", question, "U0ADA")
    assert event["streaming_message_ts"] == [ts]
    call = slack.chat_appendStream(channel="D0ADA", ts=ts, markdown_text=" answer")
    assert await refusal(call) == "stopped_by_user"
    assert await refusal(slack.chat_stopStream(channel="D0ADA", ts=ts)) == "message_not_in_streaming_state"
    session = sandbox.sessions.find("D0ADA", question)
    assert session
    assert session.status == "processing"


async def test_a_stream_carries_its_session_along(slack: AsyncWebClient, sandbox: Sandbox, question: str) -> None:
    ts = await start(slack, question)
    session = sandbox.sessions.find("D0ADA", question)
    assert session
    assert (session.status, session.initiator) == ("processing", "U0ADA")
    await slack.chat_stopStream(channel="D0ADA", ts=ts, markdown_text="x", session_status="suspended")
    assert session.status == "suspended"


async def test_a_stream_is_announced_at_its_start_and_changed_at_its_end(
    slack: AsyncWebClient, sandbox: Sandbox, played_app: PlayedApp, question: str
) -> None:
    await sandbox.settled()
    played_app.heard.clear()
    ts = await start(slack, question, markdown_text="a")
    await slack.chat_appendStream(channel="D0ADA", ts=ts, markdown_text="b")
    await slack.chat_stopStream(channel="D0ADA", ts=ts, markdown_text="c")
    await sandbox.settled()
    plain = next(event for event in played_app.events() if "subtype" not in event)
    assert (plain["ts"], plain["streaming_state"]) == (ts, "in_progress")
    changed = next(e for e in played_app.events("message/message_changed") if e["message"]["ts"] == ts)
    assert (changed["message"]["text"], changed["previous_message"]["text"]) == ("abc", "ab")
    assert changed["message"]["streaming_state"] == "completed"


async def test_task_cards_replace_title_and_grow_details(
    slack: AsyncWebClient, sandbox: Sandbox, question: str
) -> None:
    ts = await start(slack, question)
    for chunk in (
        TaskUpdateChunk(id="t", title="Searching", status="in_progress", details="policy"),
        TaskUpdateChunk(id="t", title="Searched", status="complete", details=", rates", output="2 found"),
    ):
        await slack.chat_appendStream(channel="D0ADA", ts=ts, chunks=[chunk])
    card = sandbox.messages(ACME, "D0ADA", question)[1]["blocks"][0]
    assert card == {
        "type": "task_card",
        "task_id": "t",
        "title": "Searched",
        "status": "complete",
        "details": "policy, rates",
        "output": "2 found",
    }


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "no_text"),
        ({"chunks": []}, "no_text"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"chunks": [{"type": "markdown_text", "text": "x" * 12_001}]}, "msg_too_long"),
        ({"chunks": [{"type": "poem", "text": "x"}]}, "invalid_chunks"),
        ({"chunks": [{"type": "task_update", "id": "1", "title": "x", "status": "done"}]}, "invalid_chunks"),
        ({"chunks": [{"type": "plan_update"}]}, "invalid_chunks"),
        ({"markdown_text": "x", "chunks": [{"type": "markdown_text", "text": "x"}]}, "invalid_arguments"),
    ],
)
async def test_an_append_slack_would_refuse_is_refused(
    slack: AsyncWebClient, sandbox: Sandbox, question: str, arguments: dict[str, Any], error: str
) -> None:
    ts = await start(slack, question, markdown_text="kept")
    call = slack.api_call("chat.appendStream", json={"channel": "D0ADA", "ts": ts} | arguments)
    assert await refusal(call) == error
    assert sandbox.messages(ACME, "D0ADA", question)[1]["text"] == "kept"


def test_a_stream_whose_time_is_up_leaves_the_next_one_alone_on_the_loop_that_serves() -> None:
    async def play() -> list[str]:
        # uvloop gives no timer, but a handle without a time, for what is due at once.
        async with running(SandboxConfig(stream_seconds=0.0, events_url="http://127.0.0.1:9/")) as sandbox:
            token = sandbox.install(ACME).token
            slack = AsyncWebClient(token, base_url=f"{sandbox.base_url}/api/", retry_handlers=[], timeout=5)
            asked = await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hi")
            for _ in range(3):
                await slack.chat_startStream(
                    channel="D0ADA",
                    thread_ts=asked,
                    markdown_text="hello",
                    recipient_user_id="U0ADA",
                    recipient_team_id=ACME,
                )
            return [message["text"] for message in sandbox.messages(ACME, "D0ADA") if message.get("bot_id")]

    assert uvloop.run(play()) == ["hello"] * 3
